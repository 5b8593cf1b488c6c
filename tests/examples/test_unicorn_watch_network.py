"""How requests reach the reference system's services, and who may send them.

Sources of the rules: docs/ecs-contract.md, and
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/alb-resources-for-blue-green.html and
nlb-resources-for-blue-green.html beside it.
"""

from collections.abc import Sequence
from typing import Any

import pytest

from rehearsal.template import Resource
from tests.examples.unicorn_watch_stack import (
    CLIENT,
    STACKS,
    balancer,
    container,
    found,
    less,
    properties,
    resource,
    resources,
    service,
)

RULE = "AWS::ElasticLoadBalancingV2::ListenerRule"
LISTENER = "AWS::ElasticLoadBalancingV2::Listener"
TARGET_GROUP = "AWS::ElasticLoadBalancingV2::TargetGroup"
GROUPS = ("TargetGroupArn", "AlternateTargetGroupArn")
LOAD_BALANCER = "AWS::ElasticLoadBalancingV2::LoadBalancer"

HTTP_GROUP = {
    "TargetType": "ip",
    "Protocol": "HTTP",
    "Port": 8080,
    "HealthCheckPath": "/health",
    "HealthCheckIntervalSeconds": 10,
    "HealthyThresholdCount": 2,
    "TargetGroupAttributes": [{"Key": "deregistration_delay.timeout_seconds", "Value": "30"}],
}
TCP_GROUP = {
    **HTTP_GROUP,
    "Protocol": "TCP",
    "HealthCheckProtocol": "HTTP",
    "TargetGroupAttributes": [{"Key": "deregistration_delay.timeout_seconds", "Value": "120"}],
}


def conditions(rule: Resource) -> dict[str, Any]:
    return {
        one["Field"]: one.get("PathPatternConfig") or one.get("HttpHeaderConfig")
        for one in rule.properties["Conditions"]
    }


def without_descriptions(rules: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [less(rule, "Description") for rule in rules]


# --- Target groups, listeners and their rules -----------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"), [("ui", HTTP_GROUP), ("catalog", HTTP_GROUP), ("streaming", TCP_GROUP)]
)
def test_both_target_groups_are_alike_because_either_may_be_green(
    name: str, expected: dict[str, Any]
) -> None:
    groups = [found(balancer(name)[key], TARGET_GROUP) for key in GROUPS]

    assert [group.properties for group in groups] == [
        {"VpcId": resource("Foundation.Vpc").ref, **expected},
    ] * 2
    assert groups[0].arn != groups[1].arn


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
    assert {one.properties["ListenerArn"] for one in (production, test)} == {
        resource("Foundation.HttpListener").ref
    }
    assert float(test.properties["Priority"]) < float(production.properties["Priority"])


def test_no_two_rules_of_the_listener_have_one_priority() -> None:
    rules = resources(RULE).values()
    priorities = [(rule.properties["ListenerArn"], float(rule.properties["Priority"])) for rule in rules]

    assert len(priorities) == 4
    assert len(set(priorities)) == 4


def test_what_no_rule_matches_reaches_nobody() -> None:
    nobody = resource("Foundation.Nobody").ref

    assert properties("Foundation.HttpListener") == {
        "LoadBalancerArn": resource("Foundation.ApplicationLoadBalancer").ref,
        "Port": 80,
        "Protocol": "HTTP",
        "DefaultActions": [{"Type": "forward", "TargetGroupArn": nobody}],
    }
    assert nobody not in {balancer(name)[key] for name in ("ui", "catalog") for key in GROUPS}


def test_a_network_load_balancer_is_given_listeners_of_a_port_each_that_lead_to_both_groups() -> None:
    groups = balancer("streaming")
    nlb = {"LoadBalancerArn": resource("Foundation.NetworkLoadBalancer").ref, "Protocol": "TCP"}

    def to(group: str) -> list[dict[str, Any]]:
        return [{"Type": "forward", "TargetGroupArn": groups[group]}]

    assert {
        key: found(groups[key], LISTENER).properties for key in ("ProductionListenerRule", "TestListenerRule")
    } == {
        "ProductionListenerRule": {**nlb, "Port": 80, "DefaultActions": to("TargetGroupArn")},
        "TestListenerRule": {**nlb, "Port": 9000, "DefaultActions": to("AlternateTargetGroupArn")},
    }


# --- Service Connect ------------------------------------------------------------------------------------


def test_inside_the_namespace_the_same_header_leads_to_green() -> None:
    configured = service("catalog").properties["ServiceConnectConfiguration"]
    [mapping] = container("catalog")["PortMappings"]

    assert less(configured, "LogConfiguration") == {
        "Enabled": True,
        "Namespace": resource("Foundation.Namespace").arn,
        "Services": [
            {
                "PortName": mapping["Name"],
                "DiscoveryName": "catalog",
                "ClientAliases": [
                    {
                        "Port": 8080,
                        "DnsName": "catalog",
                        "TestTrafficRules": {"Header": {"Name": "X-BG-Test", "Value": {"Exact": "green"}}},
                    }
                ],
            }
        ],
    }
    # Without it the proxy knows connections, and no headers.
    assert mapping["AppProtocol"] == "http"


def test_the_generator_is_a_client_in_that_namespace_and_offers_nothing() -> None:
    assert service("load-generator").properties["ServiceConnectConfiguration"] == {
        "Enabled": True,
        "Namespace": resource("Foundation.Namespace").arn,
    }
    assert "LoadBalancers" not in service("load-generator").properties


# --- The network ----------------------------------------------------------------------------------------


def test_who_may_reach_whom() -> None:
    balancers = resource("Foundation.LoadBalancerSecurityGroup").ref
    tasks = resource("Foundation.TaskSecurityGroup").ref
    kinds = (
        "AWS::EC2::SecurityGroup",
        "AWS::EC2::SecurityGroupIngress",
        "AWS::EC2::SecurityGroupEgress",
    )
    written = {
        name: {
            key: without_descriptions(value) if isinstance(value, list) else value
            for key, value in less(one.properties, "Description", "GroupDescription").items()
        }
        for name, one in resources(*kinds).items()
    }
    vpc = {"VpcId": resource("Foundation.Vpc").ref}
    app = {"IpProtocol": "tcp", "FromPort": 8080, "ToPort": 8080}

    assert written == {
        "Foundation.LoadBalancerSecurityGroup": {
            **vpc,
            "SecurityGroupIngress": [
                {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "CidrIp": CLIENT},
                {"IpProtocol": "tcp", "FromPort": 9000, "ToPort": 9000, "CidrIp": CLIENT},
            ],
            "SecurityGroupEgress": [{**app, "CidrIp": properties("Foundation.Vpc")["CidrBlock"]}],
        },
        # Egress is not said, which allows all: images, queues and logs are outside.
        "Foundation.TaskSecurityGroup": vpc,
        "Foundation.FromLoadBalancers": {"GroupId": tasks, "SourceSecurityGroupId": balancers, **app},
        "Foundation.FromOtherTasks": {"GroupId": tasks, "SourceSecurityGroupId": tasks, **app},
    }


def test_both_subnets_have_the_way_out_that_tasks_fetch_their_images_by() -> None:
    gateway = {"VpcId": resource("Foundation.Vpc").ref, "InternetGatewayId": ref("Gateway")}

    assert {
        name: one.properties
        for name, one in resources(
            "AWS::EC2::Route", "AWS::EC2::SubnetRouteTableAssociation", "AWS::EC2::VPCGatewayAttachment"
        ).items()
    } == {
        "Foundation.GatewayAttachment": gateway,
        "Foundation.DefaultRoute": {
            "RouteTableId": ref("RouteTable"),
            "DestinationCidrBlock": "0.0.0.0/0",
            "GatewayId": ref("Gateway"),
        },
        "Foundation.RoutesA": {"SubnetId": ref("SubnetA"), "RouteTableId": ref("RouteTable")},
        "Foundation.RoutesB": {"SubnetId": ref("SubnetB"), "RouteTableId": ref("RouteTable")},
    }
    zones = [properties(f"Foundation.{name}")["AvailabilityZone"] for name in ("SubnetA", "SubnetB")]
    assert len(set(zones)) == 2


def test_both_load_balancers_are_behind_the_security_group_that_says_who_may_come_in() -> None:
    open_to_clients = {
        "Scheme": "internet-facing",
        "Subnets": [ref("SubnetA"), ref("SubnetB")],
        "SecurityGroups": [ref("LoadBalancerSecurityGroup")],
    }

    assert {name: one.properties for name, one in resources(LOAD_BALANCER).items()} == {
        "Foundation.ApplicationLoadBalancer": {
            "Type": "application",
            **open_to_clients,
            "LoadBalancerAttributes": [
                {"Key": "routing.http.drop_invalid_header_fields.enabled", "Value": "true"}
            ],
        },
        "Foundation.NetworkLoadBalancer": {"Type": "network", **open_to_clients},
    }


@pytest.mark.parametrize("name", STACKS)
def test_tasks_have_a_public_address_to_fetch_images_with_because_there_is_no_nat(name: str) -> None:
    assert service(name).properties["NetworkConfiguration"] == {
        "AwsvpcConfiguration": {
            "Subnets": [ref("SubnetA"), ref("SubnetB")],
            "SecurityGroups": [ref("TaskSecurityGroup")],
            "AssignPublicIp": "ENABLED",
        }
    }


def ref(name: str) -> object:
    return resource(f"Foundation.{name}").ref
