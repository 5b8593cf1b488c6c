"""Load balancers of rehearsed services at the Elastic Load Balancing API."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from rehearsal.aws.cloud import Cloud
from rehearsal.aws.server import Server
from rehearsal.model import RevisionSummary, service_connect_configuration
from tests.rehearsal.aws.sample_deployments import (
    ACCOUNT,
    BLUE,
    GREEN,
    REGION,
    add_deployment,
    add_revision,
    body,
)
from tests.rehearsal.aws.test_server import remote

PREFIX = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}"
GROUPS = (f"{PREFIX}:targetgroup/web-a/6d0ecf831eec9f09", f"{PREFIX}:targetgroup/web-b/73e2d6bc24d8a067")
BALANCER = "shop/50dc6c495c0c9188"
PRODUCTION = f"app/{BALANCER}/f2f7dc8efc522ab2"
TEST = f"app/{BALANCER}/0467ef3c8400ae65"
RULE = "9683b2d02a6cabee"


@pytest.fixture(params=["in process", "over HTTP"])
def elbv2(cloud: Cloud, request: pytest.FixtureRequest) -> Iterator[Any]:
    with contextlib.ExitStack() as opened:
        if request.param == "over HTTP":
            yield remote(cloud, opened.enter_context(Server(cloud)), "elbv2")
        else:
            yield cloud.client("elbv2", user="alice")


def rule(listener: str) -> str:
    return f"{PREFIX}:listener-rule/{listener}/{RULE}"


def behind(cloud: Cloud, production: str, test: str) -> None:
    """Put blue and green behind a load balancer, green with all test traffic."""
    configured = {
        "targetGroupArn": GROUPS[0],
        "containerName": "app",
        "containerPort": 8080,
        "advancedConfiguration": {
            "alternateTargetGroupArn": GROUPS[1],
            "productionListenerRule": production,
            "testListenerRule": test,
            "roleArn": f"arn:aws:iam::{ACCOUNT}:role/ecs",
        },
    }
    for revision, group in zip((BLUE, GREEN), GROUPS, strict=True):
        resolved = [{"targetGroupArn": group, "productionListenerRule": production}]
        add_revision(cloud, revision, load_balancers=[configured], resolved_load_balancers=resolved)
    add_deployment(
        cloud,
        sources=[RevisionSummary(arn=BLUE, test_weight=0.0, production_weight=90.0)],
        target=RevisionSummary(arn=GREEN, test_weight=100.0, production_weight=10.0),
    )


def forward(*weights: int) -> dict[str, Any]:
    targets = [
        {"TargetGroupArn": group, "Weight": weight} for group, weight in zip(GROUPS, weights, strict=True)
    ]
    return {"Type": "forward", "Order": 1, "ForwardConfig": {"TargetGroups": targets}}


def refusal(call: Any, **parameters: object) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_a_test_rule_wants_the_test_header_and_a_production_rule_does_not(cloud: Cloud, elbv2: Any) -> None:
    behind(cloud, rule(PRODUCTION), rule(TEST))
    path = {"Field": "path-pattern", "Values": ["/*"], "PathPatternConfig": {"Values": ["/*"]}}
    header = {
        "Field": "http-header",
        "HttpHeaderConfig": {"HttpHeaderName": "x-release", "Values": ["green"]},
    }
    common = {"Priority": "10", "IsDefault": False}

    rules = body(elbv2.describe_rules(RuleArns=[rule(TEST), rule(PRODUCTION)]))

    assert rules == {
        "Rules": [
            {"RuleArn": rule(TEST), "Conditions": [path, header], "Actions": [forward(0, 100)], **common},
            {"RuleArn": rule(PRODUCTION), "Conditions": [path], "Actions": [forward(90, 10)], **common},
        ]
    }


def test_the_way_from_a_rule_leads_to_the_load_balancers_address(cloud: Cloud, elbv2: Any) -> None:
    behind(cloud, rule(PRODUCTION), rule(TEST))
    arns = [f"{PREFIX}:listener/{TEST}", f"{PREFIX}:listener/{PRODUCTION}"]
    balancer = f"{PREFIX}:loadbalancer/app/{BALANCER}"

    listeners = elbv2.describe_listeners(ListenerArns=arns)["Listeners"]
    balancers = body(elbv2.describe_load_balancers(LoadBalancerArns=[balancer]))

    assert [
        (one["ListenerArn"], one["LoadBalancerArn"], one["Port"], one["Protocol"]) for one in listeners
    ] == [
        (arns[0], balancer, 8080, "HTTP"),
        (arns[1], balancer, 80, "HTTP"),
    ]
    assert balancers == {
        "LoadBalancers": [
            {
                "LoadBalancerArn": balancer,
                "DNSName": f"shop-123456789.{REGION}.elb.amazonaws.com",
                "LoadBalancerName": "shop",
                "Scheme": "internal",
                "State": {"Code": "active"},
                "Type": "application",
                "IpAddressType": "ipv4",
            }
        ]
    }


def test_a_network_load_balancer_has_listeners_and_no_rules(cloud: Cloud, elbv2: Any) -> None:
    production, test = (f"{PREFIX}:listener/{one.replace('app/', 'net/', 1)}" for one in (PRODUCTION, TEST))
    behind(cloud, production, test)
    balancer = f"{PREFIX}:loadbalancer/net/{BALANCER}"

    listeners = body(elbv2.describe_listeners(ListenerArns=[test]))
    [found] = elbv2.describe_load_balancers(LoadBalancerArns=[balancer])["LoadBalancers"]

    assert listeners == {
        "Listeners": [
            {
                "ListenerArn": test,
                "LoadBalancerArn": balancer,
                "Port": 8080,
                "Protocol": "TCP",
                "DefaultActions": [forward(0, 100)],
            }
        ]
    }
    assert (found["Type"], found["DNSName"]) == ("network", f"shop-123456789.elb.{REGION}.amazonaws.com")


@pytest.mark.parametrize(
    ("operation", "parameter", "kind", "error"),
    [
        ("describe_rules", "RuleArns", f"listener-rule/{PRODUCTION}/{RULE}", "RuleNotFound"),
        ("describe_listeners", "ListenerArns", f"listener/{PRODUCTION}", "ListenerNotFound"),
        (
            "describe_load_balancers",
            "LoadBalancerArns",
            f"loadbalancer/app/{BALANCER}",
            "LoadBalancerNotFound",
        ),
    ],
)
def test_what_no_revision_names_is_not_there(
    cloud: Cloud, elbv2: Any, operation: str, parameter: str, kind: str, error: str
) -> None:
    behind(cloud, rule(PRODUCTION), rule(TEST))
    known = f"{PREFIX}:{kind}"
    unknown = known.replace("/app/shop/", "/app/bank/")

    refused = [
        refusal(getattr(elbv2, operation), **{parameter: arns})[0] for arns in ([unknown], [known, unknown])
    ]

    assert refused == [error, error]


def test_other_load_balancers_are_motos(cloud: Cloud, elbv2: Any) -> None:
    assert elbv2.describe_load_balancers()["LoadBalancers"] == []


def test_the_header_of_test_traffic_is_the_same_behind_a_load_balancer_as_in_service_connect(
    cloud: Cloud, elbv2: Any
) -> None:
    behind(cloud, rule(PRODUCTION), rule(TEST))
    [described] = elbv2.describe_rules(RuleArns=[rule(TEST)])["Rules"]
    [config] = [one["HttpHeaderConfig"] for one in described["Conditions"] if one["Field"] == "http-header"]
    [connected] = service_connect_configuration("http", "shop", "web", 8080)["services"]
    header = connected["clientAliases"][0]["testTrafficRules"]["header"]

    assert (config["HttpHeaderName"], config["Values"]) == (header["name"], [header["value"]["exact"]])
