"""The reference system's templates are wired as ECS wants it, told from the templates themselves.

Sources of the rules: docs/ecs-contract.md, and
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/blue-green-deployment-implementation.html
"""

import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import pytest

from hooks.consumer_activation.settings import ConsumerSettings
from rehearsal.check import check
from rehearsal.check.findings import Severity
from rehearsal.check.hooks import known_hooks
from rehearsal.check.view import HookView, ServiceView, Stack
from rehearsal.lambda_functions import as_list
from rehearsal.runtime.lambda_python import ROOT
from rehearsal.template import Resource, Template

DIGEST = "sha256:" + "a1" * 32
IMAGES = {
    f"UnicornWatch{name}Image": f"123456789012.dkr.ecr.us-east-1.amazonaws.com/unicorn-watch@{DIGEST}"
    for name in ("Ui", "Catalog", "Notifications", "Streaming", "LoadGenerator")
}
SERVICES = ("ui", "catalog", "notifications", "streaming")
BALANCED = ("ui", "catalog", "streaming")
RULE = "AWS::ElasticLoadBalancingV2::ListenerRule"
LISTENER = "AWS::ElasticLoadBalancingV2::Listener"
TARGET_GROUP = "AWS::ElasticLoadBalancingV2::TargetGroup"


@cache
def whole(strategy: str = "CANARY") -> Template:
    """Return the root template with the reference system in it."""
    return Template.read(
        ROOT / "template.yaml",
        parameters={"IncludeUnicornWatch": "true", "UnicornWatchCatalogStrategy": strategy, **IMAGES},
    )


@cache
def service(name: str, strategy: str = "CANARY") -> ServiceView:
    stack = Stack(whole(strategy), known_hooks())
    return next(one for one in stack.services if one.properties["ServiceName"] == name)


def hooks(view: ServiceView) -> dict[str, list[str]]:
    return {hook.ours.name: [stage.value for _, stage in hook.stages] for hook in view.hooks if hook.ours}


def balancer(name: str) -> dict[str, Any]:
    [entry] = service(name).properties["LoadBalancers"]
    return {**entry, **entry["AdvancedConfiguration"]}


def found(reference: object, kind: str) -> Resource:
    resource = whole().find(reference, kind)
    assert resource is not None, reference
    return resource


def conditions(rule: Resource) -> dict[str, Any]:
    return {
        one["Field"]: one.get("PathPatternConfig") or one.get("HttpHeaderConfig")
        for one in rule.properties["Conditions"]
    }


def test_each_service_has_the_hooks_and_the_strategy_that_its_kind_of_traffic_calls_for() -> None:
    trust = {"image_trust": ["PRE_SCALE_UP", "POST_SCALE_UP"]}

    assert {name: (service(name).strategy, hooks(service(name))) for name in SERVICES} == {
        "ui": ("BLUE_GREEN", trust | {"manual_approval": ["POST_TEST_TRAFFIC_SHIFT"]}),
        "catalog": (
            "CANARY",
            trust
            | {
                "load_test": ["POST_TEST_TRAFFIC_SHIFT"],
                "canary_comparison": ["PRODUCTION_TRAFFIC_SHIFT"],
            },
        ),
        "notifications": (
            "BLUE_GREEN",
            trust
            | {"consumer_activation": ["RECONCILE_SERVICE", "PRE_SCALE_UP", "PRODUCTION_TRAFFIC_SHIFT"]},
        ),
        "streaming": ("BLUE_GREEN", trust),
    }


@pytest.mark.parametrize(
    ("strategy", "configuration"),
    [
        ("CANARY", {"CanaryConfiguration": {"CanaryPercent": 10, "CanaryBakeTimeInMinutes": 10}}),
        ("LINEAR", {"LinearConfiguration": {"StepPercent": 25, "StepBakeTimeInMinutes": 5}}),
    ],
)
def test_catalog_goes_by_either_strategy_with_the_same_hooks(
    strategy: str, configuration: dict[str, Any]
) -> None:
    view = service("catalog", strategy)
    chosen = {
        key: {name: float(number) for name, number in value.items()}
        for key, value in view.deployment.items()
        if key in {"CanaryConfiguration", "LinearConfiguration"}
    }

    assert (view.strategy, chosen) == (strategy, configuration)
    assert hooks(view) == hooks(service("catalog"))


@pytest.mark.parametrize("strategy", ["CANARY", "LINEAR"])
def test_nothing_in_it_would_be_rejected_or_would_bite(strategy: str) -> None:
    findings = check(whole(strategy), known_hooks())

    assert [one for one in findings if one.severity is not Severity.INFO] == []


@pytest.mark.parametrize("name", SERVICES)
def test_what_runs_out_of_time_rolls_back_and_every_deployment_fits_into_33_hours(name: str) -> None:
    view = service(name)
    bakes = [view.deployment["BakeTimeInMinutes"]]
    if name == "catalog":
        bakes += [view.deployment["CanaryConfiguration"]["CanaryBakeTimeInMinutes"]]

    assert [hook.timeout["Action"] for hook in view.hooks] == ["ROLLBACK"] * len(view.hooks)
    assert (
        sum(float(hook.timeout["TimeoutInMinutes"]) for hook in view.hooks) + sum(map(float, bakes)) <= 1980
    )


@pytest.mark.parametrize("name", SERVICES)
def test_a_circuit_breaker_and_an_alarm_roll_back_too(name: str) -> None:
    deployment = service(name).deployment
    [alarm] = deployment["Alarms"]["AlarmNames"]

    assert found(alarm, "AWS::CloudWatch::Alarm").properties["TreatMissingData"] == "notBreaching"
    assert {key: deployment["Alarms"][key] for key in ("Enable", "Rollback")} == {
        "Enable": True,
        "Rollback": True,
    }
    assert deployment["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}


@pytest.mark.parametrize("name", BALANCED)
def test_an_alarm_looks_at_both_target_groups_because_either_may_be_green(name: str) -> None:
    [alarm] = service(name).deployment["Alarms"]["AlarmNames"]
    metrics = found(alarm, "AWS::CloudWatch::Alarm").properties["Metrics"]
    groups = {
        dimension["Value"]
        for metric in metrics
        for dimension in metric.get("MetricStat", {}).get("Metric", {}).get("Dimensions", [])
        if dimension["Name"] == "TargetGroup"
    }
    [expression] = [metric["Expression"] for metric in metrics if "Expression" in metric]

    assert len(groups) == 2
    assert expression.startswith("MAX([")


@pytest.mark.parametrize("name", ["ui", "catalog"])
def test_both_target_groups_are_on_both_rules_and_one_of_them_has_all_traffic(name: str) -> None:
    groups = balancer(name)
    both = [groups["TargetGroupArn"], groups["AlternateTargetGroupArn"]]

    for key in ("ProductionListenerRule", "TestListenerRule"):
        [action] = found(groups[key], RULE).properties["Actions"]
        entries = action["ForwardConfig"]["TargetGroups"]
        assert [entry["TargetGroupArn"] for entry in entries] == both
        assert [float(entry["Weight"]) for entry in entries] == [1, 0]
    assert len(set(both)) == 2


@pytest.mark.parametrize(("name", "path"), [("ui", "/frontend/*"), ("catalog", "/catalog/*")])
def test_test_traffic_is_production_s_path_with_a_header_and_is_matched_first(name: str, path: str) -> None:
    production, test = (
        found(balancer(name)[key], RULE) for key in ("ProductionListenerRule", "TestListenerRule")
    )

    assert conditions(production) == {"path-pattern": {"Values": [path]}}
    assert conditions(test) == {
        "path-pattern": {"Values": [path]},
        "http-header": {"HttpHeaderName": "X-BG-Test", "Values": ["green"]},
    }
    assert production.properties["ListenerArn"] == test.properties["ListenerArn"]
    assert float(test.properties["Priority"]) < float(production.properties["Priority"])


def test_no_two_rules_of_the_listener_have_one_priority() -> None:
    rules = [rule for template in whole().tree() for rule in template.resources(RULE)]
    priorities = [(rule.properties["ListenerArn"], float(rule.properties["Priority"])) for rule in rules]

    assert len(priorities) == 4
    assert len(set(priorities)) == 4


def test_a_network_load_balancer_is_given_listeners_of_a_port_each_that_lead_to_both_groups() -> None:
    groups = balancer("streaming")
    production, test = (
        found(groups[key], LISTENER) for key in ("ProductionListenerRule", "TestListenerRule")
    )

    assert (float(production.properties["Port"]), float(test.properties["Port"])) == (80, 9000)
    assert [
        one.properties["DefaultActions"] for one in (production, test)
    ] == [
        [{"Type": "forward", "TargetGroupArn": groups["TargetGroupArn"]}],
        [{"Type": "forward", "TargetGroupArn": groups["AlternateTargetGroupArn"]}],
    ]  # fmt: skip
    assert production.properties["LoadBalancerArn"] == test.properties["LoadBalancerArn"]


def test_inside_the_namespace_the_same_header_leads_to_green_and_only_the_catalog_is_loaded() -> None:
    [offered] = service("catalog").properties["ServiceConnectConfiguration"]["Services"]
    [alias] = offered["ClientAliases"]
    generator = service("load-generator")
    task = found(generator.properties["TaskDefinition"], "AWS::ECS::TaskDefinition")
    [container] = task.properties["ContainerDefinitions"]
    variables = {one["Name"]: one["Value"] for one in container["Environment"]}

    assert alias["TestTrafficRules"] == {"Header": {"Name": "X-BG-Test", "Value": {"Exact": "green"}}}
    assert variables["LOAD_TARGETS"] == f"{alias['DnsName']}:{alias['Port']:g}"
    assert (
        generator.properties["ServiceConnectConfiguration"]["Namespace"]
        == service("catalog").properties["ServiceConnectConfiguration"]["Namespace"]
    )
    assert "Services" not in generator.properties["ServiceConnectConfiguration"]


def test_the_worker_reads_the_parameter_that_the_hook_writes_and_poison_shows_within_the_watch() -> None:
    view = service("notifications")
    task = found(view.properties["TaskDefinition"], "AWS::ECS::TaskDefinition")
    [container] = task.properties["ContainerDefinitions"]
    variables = {one["Name"]: one["Value"] for one in container["Environment"]}
    details = json.loads(str(hook(view, "consumer_activation").details))
    [queue] = [
        one
        for template in whole().tree()
        for one in template.resources("AWS::SQS::Queue")
        if one.properties.get("QueueName") == details["queue"]
    ]
    settings = ConsumerSettings.model_validate(details)
    function = hook(view, "consumer_activation").function
    assert function is not None

    assert variables["ACTIVATION_PARAMETER"] == (
        f"{function.environment['CONSUMER_PARAMETER_PREFIX']}/unicorn-watch/notifications/consumers"
    )
    assert variables["QUEUE_URL"] == queue.ref
    poison = float(queue.properties["RedrivePolicy"]["maxReceiveCount"]) * float(
        queue.properties["VisibilityTimeout"]
    )
    assert poison < settings.monitor_minutes * 60
    assert variables["VISIBILITY_SECONDS"] == f"{queue.properties['VisibilityTimeout']:g}"


@pytest.mark.parametrize("name", SERVICES)
def test_ecs_can_assume_the_hooks_role_and_invoke_with_it_what_is_attached(name: str) -> None:
    for one in service(name).hooks:
        role = found(one.entry["RoleArn"], "AWS::IAM::Role")
        [trust] = role.properties["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Principal"] == {"Service": "ecs.amazonaws.com"}
        assert allowed(whole().statements_of(role), "lambda:InvokeFunction", str(one.target))


@pytest.mark.parametrize("name", BALANCED)
def test_ecs_changes_listeners_with_the_role_that_aws_made_for_it(name: str) -> None:
    role = found(balancer(name)["RoleArn"], "AWS::IAM::Role")
    [trust] = role.properties["AssumeRolePolicyDocument"]["Statement"]

    assert trust["Principal"] == {"Service": "ecs.amazonaws.com"}
    assert role.properties["ManagedPolicyArns"] == [
        "arn:aws:iam::aws:policy/AmazonECSInfrastructureRolePolicyForLoadBalancers"
    ]
    assert "Role" not in service(name).properties


def test_whoever_deploys_may_pass_on_the_roles_that_it_takes_and_no_others() -> None:
    passed: dict[str, set[str]] = {"ecs-tasks.amazonaws.com": set(), "ecs.amazonaws.com": set()}
    for name in SERVICES:
        task = found(service(name).properties["TaskDefinition"], "AWS::ECS::TaskDefinition")
        passed["ecs-tasks.amazonaws.com"] |= {
            task.properties["TaskRoleArn"],
            task.properties["ExecutionRoleArn"],
        }
        passed["ecs.amazonaws.com"] |= {str(one.entry["RoleArn"]) for one in service(name).hooks}
        if name in BALANCED:
            passed["ecs.amazonaws.com"].add(balancer(name)["RoleArn"])
    [policy] = [
        one
        for template in whole().tree()
        for one in template.resources("AWS::IAM::ManagedPolicy")
        if one.logical_id == "DeploymentPolicy"
    ]
    statements = policy.properties["PolicyDocument"]["Statement"]

    assert {
        statement["Condition"]["StringEquals"]["iam:PassedToService"]: set(statement["Resource"])
        for statement in statements
        if statement["Action"] == "iam:PassRole"
    } == passed
    # Who deploys answers no hook, and writes nothing that one believes.
    actions = {action for statement in statements for action in as_list(statement["Action"])}
    assert {action.split(":")[0] for action in actions} == {"ecs", "iam"}
    assert "ecs:ContinueServiceDeployment" not in actions


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_runs_one_container_of_an_image_by_digest_that_can_write_nothing(name: str) -> None:
    task = found(service(name).properties["TaskDefinition"], "AWS::ECS::TaskDefinition")
    [container] = task.properties["ContainerDefinitions"]

    assert container["Image"].endswith(f"@{DIGEST}")
    assert (container["Command"], container["ReadonlyRootFilesystem"], task.properties["Family"]) == (
        [name],
        True,
        name,
    )


def test_every_setting_in_it_is_one_that_the_hook_takes() -> None:
    taken = [(hook.ours.name, hook.ours.settings.model_validate(json.loads(str(hook.details or "{}"))))
             for view in map(service, SERVICES) for hook in view.hooks if hook.ours]  # fmt: skip

    assert len(taken) == 8


def hook(view: ServiceView, name: str) -> HookView:
    return next(one for one in view.hooks if one.ours and one.ours.name == name)


def allowed(statements: list[dict[str, Any]], action: str, resource: str) -> bool:
    def texts(value: object) -> Iterator[str]:
        yield from (str(one) for one in as_list(value))

    return any(
        statement["Effect"] == "Allow"
        and any(fnmatchcase(action, pattern) for pattern in texts(statement["Action"]))
        and any(fnmatchcase(resource, pattern) for pattern in texts(statement["Resource"]))
        for statement in statements
    )
