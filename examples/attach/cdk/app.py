"""The service checkout in the cluster shop, with three lifecycle hooks attached, by the AWS CDK.

What is there already (network, listener, cluster, alarm) stands in cdk.json, with the outputs of the
hooks' stack.

The construct library knows strategy, alarms and target groups. Of a hook it knows function, role and stages,
but neither HookDetails nor TimeoutConfiguration nor the stage PRE_PRODUCTION_TRAFFIC_SHIFT (2.275.0): so the
hooks are written as CloudFormation has them, in ``add_property_override``.
"""

import json
from typing import Any

from aws_cdk import App, Duration, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from constructs import Construct


class Checkout(Stack):
    """The service, its target groups, its two rules."""

    def __init__(self, scope: Construct, name: str) -> None:
        super().__init__(scope, name)
        vpc = ec2.Vpc.from_vpc_attributes(
            self,
            "Vpc",
            vpc_id=self._given("vpcId"),
            availability_zones=self._given("availabilityZones"),
            private_subnet_ids=self._given("subnetIds"),
        )
        group_a, group_b = (self._target_group(vpc, letter) for letter in "AB")
        # The test rule has the lower number: what it matches, the production rule matches too.
        test_rule = self._rule("TestRule", 10, group_a, group_b, marked=True)
        production_rule = self._rule("ProductionRule", 20, group_a, group_b, marked=False)

        service = self._service(vpc)
        target = service.load_balancer_target(
            container_name="app",
            container_port=8080,
            # It makes the role with which ECS moves the rules' weights.
            alternate_target=ecs.AlternateTarget(
                "AlternateTarget",
                alternate_target_group=group_b,
                production_listener=ecs.ListenerRuleConfiguration.application_listener_rule(production_rule),
                test_listener=ecs.ListenerRuleConfiguration.application_listener_rule(test_rule),
            ),
        )
        target.attach_to_application_target_group(group_a)
        resource = service.node.default_child
        assert isinstance(resource, ecs.CfnService)
        resource.add_property_override("DeploymentConfiguration.LifecycleHooks", self._hooks())

    def _hooks(self) -> list[dict[str, Any]]:
        def hook(function: str, stages: list[str], minutes: int, **details: object) -> dict[str, Any]:
            return {
                "HookTargetArn": self._given(function),
                "RoleArn": self._given("hookInvocationRoleArn"),
                "LifecycleStages": stages,
                **({"HookDetails": json.dumps(details)} if details else {}),
                "TimeoutConfiguration": {"TimeoutInMinutes": minutes, "Action": "ROLLBACK"},
            }

        return [
            hook("imageTrustFunctionArn", ["PRE_SCALE_UP", "POST_SCALE_UP"], 60),
            hook(
                "manualApprovalFunctionArn",
                ["POST_TEST_TRAFFIC_SHIFT"],
                500,
                requiredApprovals=2,
                expiresAfterMinutes=480,
            ),
            hook("canaryComparisonFunctionArn", ["PRODUCTION_TRAFFIC_SHIFT"], 60, holdMinutes=15),
        ]

    def _service(self, vpc: ec2.IVpc) -> ecs.FargateService:
        tasks = ecs.FargateTaskDefinition(self, "TaskDefinition", family="checkout")
        tasks.add_container(
            "app",
            image=ecs.ContainerImage.from_ecr_repository(
                ecr.Repository.from_repository_name(self, "Repository", self._given("repository")),
                self._given("imageDigest"),
            ),
            port_mappings=[ecs.PortMapping(container_port=8080)],
        )
        return ecs.FargateService(
            self,
            "Service",
            service_name="checkout",
            cluster=ecs.Cluster.from_cluster_attributes(self, "Cluster", cluster_name="shop", vpc=vpc),
            task_definition=tasks,
            desired_count=2,
            min_healthy_percent=100,
            security_groups=[self._security_group("SecurityGroup", "securityGroupId")],
            deployment_strategy=ecs.DeploymentStrategy.CANARY,
            canary_configuration=ecs.TrafficShiftConfig(step_percent=10, step_bake_time=Duration.minutes(10)),
            bake_time=Duration.minutes(30),
            deployment_alarms=ecs.DeploymentAlarmConfig(
                alarm_names=[self._given("alarmName")], behavior=ecs.AlarmBehavior.ROLLBACK_ON_ALARM
            ),
        )

    def _target_group(self, vpc: ec2.IVpc, letter: str) -> elbv2.ApplicationTargetGroup:
        return elbv2.ApplicationTargetGroup(
            self,
            f"TargetGroup{letter}",
            vpc=vpc,
            target_type=elbv2.TargetType.IP,
            protocol=elbv2.ApplicationProtocol.HTTP,
            port=8080,
            health_check=elbv2.HealthCheck(path="/health"),
        )

    def _rule(
        self,
        name: str,
        priority: int,
        first: elbv2.ApplicationTargetGroup,
        second: elbv2.ApplicationTargetGroup,
        *,
        marked: bool,
    ) -> elbv2.ApplicationListenerRule:
        conditions = [elbv2.ListenerCondition.path_patterns(["/checkout/*"])]
        if marked:
            conditions.append(elbv2.ListenerCondition.http_header("X-BG-Test", ["green"]))
        return elbv2.ApplicationListenerRule(
            self,
            name,
            listener=elbv2.ApplicationListener.from_application_listener_attributes(
                self,
                f"ListenerOf{name}",
                listener_arn=self._given("listenerArn"),
                security_group=self._security_group(f"LoadBalancerOf{name}", "loadBalancerSecurityGroupId"),
            ),
            priority=priority,
            conditions=conditions,
            # What the rule begins with; from the first deployment on, the weights are ECS's.
            action=elbv2.ListenerAction.weighted_forward(
                [
                    elbv2.WeightedTargetGroup(target_group=first, weight=1),
                    elbv2.WeightedTargetGroup(target_group=second, weight=0),
                ]
            ),
        )

    def _security_group(self, name: str, key: str) -> ec2.ISecurityGroup:
        return ec2.SecurityGroup.from_security_group_id(self, name, self._given(key), mutable=False)

    def _given(self, key: str) -> Any:
        """Return what stands in cdk.json, or after ``cdk deploy -c``."""
        value = self.node.try_get_context(key)
        if not value:
            raise SystemExit(f"cdk.json: context.{key} is missing")
        return value


app = App()
Checkout(app, "checkout")
app.synth()
