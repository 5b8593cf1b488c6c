from datetime import timedelta
from typing import Any

import pytest
import time_machine

from rehearsal.aws.cloud import Cloud
from rehearsal.model import HookRun, HookStatus, LifecycleHook, RevisionSummary, Rollback, Status
from shared.deployment import Deployment, _revision
from shared.errors import Misconfigured, Transient
from shared.lifecycle import LifecycleEvent, ServiceRevisionArn, Stage
from shared.revision import AccessLogs, ClientAlias, Image, Revision
from shared.revision import TestHeader as Header
from tests.shared.checkout import (
    BLUE,
    DEPLOYMENT,
    GREEN,
    HEX,
    POST_TEST,
    PRE_PRODUCTION,
    START,
    TASK_DEFINITION,
    deploy,
    event,
    split,
)

DESCRIBE = "ecs:DescribeServiceDeployments"
OLDER = ServiceRevisionArn("aws", BLUE.region, BLUE.account, "shop", "checkout", "1000000000000000001")
GROUP = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/checkout-2/0123456789abcdef"


@pytest.fixture(autouse=True)
def hook(cloud: Cloud) -> Any:
    with cloud.acting_as("hook"), time_machine.travel(START, tick=False):
        yield


def of(stage: str = POST_TEST, **weights: Any) -> Deployment:
    return Deployment(LifecycleEvent.parse(event(stage, **weights)))


def test_green_and_blue_are_read_whole(cloud: Cloud) -> None:
    deploy(cloud)
    revision = cloud.control_plane.revisions[str(GREEN)]
    revision.resolved_load_balancers = [{"targetGroupArn": GROUP, "productionListenerRule": "rule"}, {}]
    revision.load_balancers = [
        {"advancedConfiguration": {"testListenerRule": "test-rule"}},
        {"advancedConfiguration": {"productionListenerRule": "rule"}},
        {"targetGroupArn": GROUP},
    ]
    revision.service_connect = {
        "enabled": True,
        "namespace": "shop",
        "services": [
            {"portName": "admin"},
            {
                "portName": "http",
                "clientAliases": [
                    {"port": 81},
                    {
                        "port": 80,
                        "testTrafficRules": {"header": {"name": "x-try", "value": {"exact": "1.5"}}},
                    },
                ],
            },
        ],
    }

    assert of().green == Revision(
        arn=GREEN,
        task_definition_arn=TASK_DEFINITION,
        images=(
            Image("app", "shop/app:1.5", f"sha256:{HEX}"),
            Image("proxy", "shop/proxy:2", f"sha256:{HEX}"),
        ),
        target_groups=(GROUP,),
        test_header=Header("x-try", "1.5"),
        load_balancers=(None,),
        aliases=(
            ClientAlias("http", "http.shop", 81, Header("x-amzn-ecs-blue-green-test", None)),
            ClientAlias("http", "http.shop", 80, Header("x-try", "1.5")),
        ),
        test_listener_rules=("test-rule",),
    )
    assert of().blue == Revision(
        arn=BLUE,
        task_definition_arn=TASK_DEFINITION,
        images=(
            Image("app", "shop/app:1.4", f"sha256:{HEX}"),
            Image("proxy", "shop/proxy:2", f"sha256:{HEX}"),
        ),
        target_groups=(),
        test_header=None,
    )


@pytest.mark.parametrize(
    ("rule", "load_balancer"),
    [
        (
            "listener-rule/app/shop/50dc6c495c0c9188/f2f7dc8efc522ab2/9683b2d02a6cabee",
            "app/shop/50dc6c495c0c9188",
        ),
        ("listener/app/shop/50dc6c495c0c9188/f2f7dc8efc522ab2", "app/shop/50dc6c495c0c9188"),
        ("listener/net/shop/50dc6c495c0c9188/f2f7dc8efc522ab2", "net/shop/50dc6c495c0c9188"),
        ("listener/app/shop", None),
        ("listener-rule/lattice/shop/50dc6c495c0c9188/f2f7dc8efc522ab2", None),
        ("rule", None),
        (None, None),
    ],
)
def test_the_load_balancer_of_a_target_group_is_told_by_its_listener_rule(
    cloud: Cloud, rule: str | None, load_balancer: str | None
) -> None:
    deploy(cloud)
    prefix = "arn:aws:elasticloadbalancing:us-east-1:123456789012:"
    balancer = {"targetGroupArn": GROUP} | ({"productionListenerRule": prefix + rule} if rule else {})
    without_group = {
        "productionListenerRule": f"{prefix}listener/app/other/50dc6c495c0c9188/f2f7dc8efc522ab2"
    }
    cloud.control_plane.revisions[str(GREEN)].resolved_load_balancers = [without_group, balancer]

    green = of().green

    assert (green.target_groups, green.load_balancers) == ((GROUP,), (load_balancer,))


@pytest.mark.parametrize(
    ("service_connect", "header"),
    [
        (None, None),
        ({"enabled": False}, None),
        ({"enabled": True}, Header("x-amzn-ecs-blue-green-test", None)),
        (
            {"enabled": True, "services": [{"portName": "http", "clientAliases": [{"port": 80}]}]},
            Header("x-amzn-ecs-blue-green-test", None),
        ),
        (
            {
                "enabled": True,
                "services": [
                    {
                        "portName": "http",
                        "clientAliases": [{"port": 80, "testTrafficRules": {"header": {"name": "x-try"}}}],
                    }
                ],
            },
            Header("x-try", None),
        ),
    ],
)
def test_the_test_header_is_the_service_s_own_or_service_connect_s(
    cloud: Cloud, service_connect: Any, header: Header | None
) -> None:
    deploy(cloud)
    cloud.control_plane.revisions[str(GREEN)].service_connect = service_connect

    assert of().green.test_header == header


DEFAULT = Header("x-amzn-ecs-blue-green-test", None)
NAMESPACE_ARN = "arn:aws:servicediscovery:us-east-1:123456789012:namespace/ns-7tbfb6zarbjz6yfy"
NAMED = {"port": 8080, "dnsName": "checkout"}
UNNAMED = {"port": 8080}


@pytest.mark.parametrize(
    ("service_connect", "aliases"),
    [
        (None, ()),
        ({"enabled": False, "services": [{"portName": "http", "clientAliases": [NAMED]}]}, ()),
        ({"enabled": True, "namespace": "shop"}, ()),
        ({"enabled": True, "services": [{"portName": "http"}]}, ()),
        # A name of its own needs no namespace's.
        (
            {"enabled": True, "services": [{"portName": "http", "clientAliases": [NAMED]}]},
            (ClientAlias("http", "checkout", 8080, DEFAULT),),
        ),
        # Without one it is the discovery name, or else the port's, in the namespace.
        (
            {
                "enabled": True,
                "namespace": "shop.internal",
                "services": [
                    {"portName": "http", "discoveryName": "checkout-http", "clientAliases": [UNNAMED]},
                    {"portName": "grpc", "clientAliases": [{**UNNAMED, "port": 9000}]},
                ],
            },
            (
                ClientAlias("http", "checkout-http.shop.internal", 8080, DEFAULT),
                ClientAlias("grpc", "grpc.shop.internal", 9000, DEFAULT),
            ),
        ),
        # Which name a namespace of this ARN has, only Cloud Map knows.
        (
            {
                "enabled": True,
                "namespace": NAMESPACE_ARN,
                "services": [{"portName": "http", "clientAliases": [NAMED, UNNAMED]}],
            },
            (
                ClientAlias("http", "checkout", 8080, DEFAULT),
                ClientAlias("http", None, 8080, DEFAULT),
            ),
        ),
        (
            {"enabled": True, "services": [{"portName": "http", "clientAliases": [UNNAMED]}]},
            (ClientAlias("http", None, 8080, DEFAULT),),
        ),
        # Each has its own rule for test traffic.
        (
            {
                "enabled": True,
                "services": [
                    {
                        "portName": "http",
                        "clientAliases": [
                            {
                                **NAMED,
                                "testTrafficRules": {"header": {"name": "x-try", "value": {"exact": "1.5"}}},
                            }
                        ],
                    },
                    {
                        "portName": "grpc",
                        "clientAliases": [
                            {**NAMED, "port": 9000, "testTrafficRules": {"header": {"name": "x-any"}}}
                        ],
                    },
                ],
            },
            (
                ClientAlias("http", "checkout", 8080, Header("x-try", "1.5")),
                ClientAlias("grpc", "checkout", 9000, Header("x-any", None)),
            ),
        ),
    ],
)
def test_clients_in_the_namespace_reach_a_service_by_its_aliases(
    cloud: Cloud, service_connect: Any, aliases: tuple[ClientAlias, ...]
) -> None:
    deploy(cloud)
    cloud.control_plane.revisions[str(GREEN)].service_connect = service_connect

    assert of().green.aliases == aliases


OPTIONS = {
    "awslogs-group": "/ecs/proxies",
    "awslogs-region": "us-east-1",
    "awslogs-stream-prefix": "checkout",
}


@pytest.mark.parametrize(
    ("service_connect", "access_logs"),
    [
        (None, None),
        ({"enabled": True}, None),
        ({"enabled": True, "logConfiguration": {"logDriver": "awslogs", "options": OPTIONS}}, None),
        ({"enabled": True, "accessLogConfiguration": {"format": "JSON"}}, None),
        (
            {
                "enabled": False,
                "logConfiguration": {"logDriver": "awslogs", "options": OPTIONS},
                "accessLogConfiguration": {"format": "JSON"},
            },
            None,
        ),
        (
            {
                "enabled": True,
                "logConfiguration": {"logDriver": "awslogs", "options": OPTIONS},
                "accessLogConfiguration": {"format": "JSON", "includeQueryParameters": "DISABLED"},
            },
            AccessLogs("awslogs", "/ecs/proxies", "us-east-1", "checkout", "JSON"),
        ),
        (
            {
                "enabled": True,
                "logConfiguration": {"logDriver": "awsfirelens"},
                "accessLogConfiguration": {"format": "TEXT"},
            },
            AccessLogs("awsfirelens", "", "", "", "TEXT"),
        ),
    ],
)
def test_access_logs_are_where_the_service_connect_proxies_write_them(
    cloud: Cloud, service_connect: Any, access_logs: AccessLogs | None
) -> None:
    deploy(cloud)
    cloud.control_plane.revisions[str(GREEN)].service_connect = service_connect

    assert of().green.access_logs == access_logs


def test_an_image_without_digest_yet_has_none(cloud: Cloud) -> None:
    deploy(cloud)
    cloud.control_plane.revisions[str(GREEN)].container_images[0].image_digest = None

    assert of().green.images[0] == Image("app", "shop/app:1.5", None)


def test_ecs_is_asked_once_for_each_thing_and_only_when_it_is_wanted(cloud: Cloud) -> None:
    deploy(cloud)
    deployment = of()

    with cloud.recording() as calls:
        assert deployment.arn == DEPLOYMENT
        assert calls == []
        for _ in range(2):
            assert (deployment.status, deployment.strategy) == ("IN_PROGRESS", "BLUE_GREEN")
            assert deployment.started_at == START - timedelta(minutes=4)
            assert (deployment.is_first, deployment.is_rolling_back) == (False, False)
            assert (deployment.green.arn, deployment.blue and deployment.blue.arn) == (GREEN, BLUE)

    assert [(call.action, call.resource) for call in calls] == [
        (DESCRIBE, str(DEPLOYMENT)),
        ("ecs:DescribeServiceRevisions", str(GREEN)),
        ("ecs:DescribeServiceRevisions", str(BLUE)),
    ]


def test_blue_is_the_other_key_of_the_weights_before_anything_is_asked(cloud: Cloud) -> None:
    with cloud.recording() as calls:
        assert of(PRE_PRODUCTION, production=split(0, 100)).blue_arn == BLUE
        assert of(POST_TEST, test=split(100, 0)).blue_arn == BLUE
        assert of(PRE_PRODUCTION, production={**split(0, 60), str(OLDER): 40}).blue_arn == BLUE

    assert calls == []


def test_of_several_sources_the_one_with_the_traffic_is_blue(cloud: Cloud) -> None:
    deploy(
        cloud,
        sources=[
            RevisionSummary(arn=OLDER, production_weight=None),
            RevisionSummary(arn=BLUE, production_weight=100.0),
        ],
    )

    assert of().blue_arn == BLUE


def test_while_it_rolls_back_blue_is_what_ecs_says_it_rolls_back_to(cloud: Cloud) -> None:
    sources = [RevisionSummary(arn=arn, production_weight=0.0) for arn in (OLDER, BLUE)]
    rollback = Rollback(reason="alarm", started_at=START, service_revision_arn=BLUE)
    deploy(cloud, sources=sources, status=Status.ROLLBACK_IN_PROGRESS, rollback=rollback)

    assert of().blue_arn == BLUE


@pytest.mark.parametrize(
    ("older", "blue", "serving"),
    [
        ((2, None), (2, None), (OLDER, BLUE)),  # a service without load balancer has no weights
        ((2, None), (2, 100.0), (BLUE,)),
        ((2, 0.0), (2, 100.0), (BLUE,)),
        ((2, 0.0), (0, 100.0), (OLDER,)),
        ((0, 0.0), (0, 100.0), ()),
    ],
)
def test_whoever_runs_tasks_and_has_the_most_traffic_serves(
    cloud: Cloud,
    older: tuple[int, float | None],
    blue: tuple[int, float | None],
    serving: tuple[ServiceRevisionArn, ...],
) -> None:
    deploy(
        cloud,
        sources=[
            RevisionSummary(arn=arn, running_task_count=running, production_weight=weight)
            for arn, (running, weight) in ((OLDER, older), (BLUE, blue))
        ],
    )

    assert of().serving == serving


def test_a_deployment_without_source_is_the_first_and_has_no_blue(cloud: Cloud) -> None:
    deploy(cloud, sources=[])

    assert (of().is_first, of().blue_arn, of().blue) == (True, None, None)
    assert of().green.arn == GREEN


@pytest.mark.parametrize(
    ("status", "rolling_back"),
    [
        (Status.PENDING, False),
        (Status.IN_PROGRESS, False),
        (Status.STOP_REQUESTED, False),
        (Status.ROLLBACK_REQUESTED, True),
        (Status.ROLLBACK_IN_PROGRESS, True),
    ],
)
def test_the_status_tells_a_rollback(cloud: Cloud, status: Status, rolling_back: bool) -> None:
    deploy(cloud, status=status)

    assert (of().status, of().is_rolling_back) == (status.value, rolling_back)


def test_a_deployment_that_has_not_started_dates_from_its_creation(cloud: Cloud) -> None:
    deploy(cloud, started_at=None)

    assert of().started_at == START - timedelta(minutes=5)


def test_a_deployment_without_strategy_is_a_rolling_one(cloud: Cloud) -> None:
    deploy(cloud, configuration={})

    assert of().strategy == "ROLLING"


def test_the_task_definition_is_ecs_own(cloud: Cloud) -> None:
    admin = cloud.client("ecs", user="admin")
    registered = admin.register_task_definition(
        family="checkout", containerDefinitions=[{"name": "app", "image": "shop/app:1.5", "memory": 256}]
    )["taskDefinition"]
    deploy(cloud)
    cloud.control_plane.revisions[str(GREEN)].task_definition = registered["taskDefinitionArn"]
    deployment = of()

    found = deployment.task_definition(deployment.green)

    assert (found["taskDefinitionArn"], found["containerDefinitions"][0]["image"]) == (
        registered["taskDefinitionArn"],
        "shop/app:1.5",
    )


def test_what_ecs_does_not_know_may_come_to_be_known(cloud: Cloud) -> None:
    with pytest.raises(Transient) as unknown:
        of().status  # noqa: B018  # the access is the call
    deploy(cloud)
    del cloud.control_plane.revisions[str(GREEN)]
    with pytest.raises(Transient) as missing:
        of().green  # noqa: B018  # the access is the call

    assert str(unknown.value) == f"ecs:DescribeServiceDeployments does not know {DEPLOYMENT} (yet)"
    assert str(missing.value) == f"ecs:DescribeServiceRevisions does not know {GREEN} (yet)"


def test_a_missing_permission_is_named(cloud: Cloud) -> None:
    with cloud.enforcing_iam(), pytest.raises(Misconfigured) as denied:
        of().status  # noqa: B018  # the access is the call

    assert (
        str(denied.value)
        == f"the function's role may not {DESCRIBE} on {DEPLOYMENT}; add it to the role's policy"
    )


FARGATE, SPOT, OWN = (
    {"capacityProvider": name, "weight": 1, "base": 0} for name in ("FARGATE", "FARGATE_SPOT", "own")
)


@pytest.mark.parametrize(
    ("described", "is_on_fargate"),
    [
        ({"launchType": "FARGATE"}, True),
        ({"launchType": "EC2"}, False),
        ({"launchType": "EXTERNAL"}, False),
        ({}, False),
        ({"platformFamily": "Linux"}, False),
        ({"capacityProviderStrategy": []}, False),
        ({"capacityProviderStrategy": [FARGATE]}, True),
        ({"capacityProviderStrategy": [FARGATE, SPOT]}, True),
        ({"capacityProviderStrategy": [FARGATE, OWN]}, False),
        # A strategy takes the place of the launch type.
        ({"capacityProviderStrategy": [OWN], "launchType": "FARGATE"}, False),
        ({"capacityProviderStrategy": [{}], "launchType": "FARGATE"}, False),
        ({"capacityProviderStrategy": None, "launchType": "FARGATE"}, True),
    ],
)
def test_where_tasks_run_is_told_by_launch_type_or_capacity_providers(
    described: dict[str, Any], is_on_fargate: bool
) -> None:
    assert _revision({"serviceRevisionArn": str(GREEN), **described}).is_on_fargate == is_on_fargate


@pytest.mark.parametrize(
    ("described", "architecture"),
    [
        ({}, None),
        ({"overrides": None}, None),
        ({"overrides": {"runtimePlatform": {}}}, None),
        ({"overrides": {"runtimePlatform": {"cpuArchitecture": "ARM64"}}}, "ARM64"),
    ],
)
def test_what_ecs_runs_it_on_all_the_same_is_read(
    described: dict[str, Any], architecture: str | None
) -> None:
    assert _revision({"serviceRevisionArn": str(GREEN), **described}).architecture == architecture


def test_the_hooks_are_those_that_the_deployment_was_started_with(cloud: Cloud) -> None:
    one = {"hookTargetArn": "arn:aws:lambda:...", "lifecycleStages": ["PRE_SCALE_UP"]}
    deploy(cloud, configuration={"strategy": "BLUE_GREEN", "lifecycleHooks": [one]})
    assert list(of().hooks) == [one]

    deploy(cloud, configuration={"strategy": "ROLLING"})
    assert list(of().hooks) == []


def test_a_deployment_that_is_named_says_itself_what_is_green_and_blue(cloud: Cloud) -> None:
    deploy(cloud)

    named = Deployment(DEPLOYMENT)

    assert (named.arn, named.green_arn, named.blue_arn) == (DEPLOYMENT, GREEN, BLUE)
    assert (named.green, named.blue) == (of().green, of().blue)
    assert (named.status, named.lifecycle_stage, named.is_first) == ("IN_PROGRESS", POST_TEST, False)


def test_a_deployment_that_is_named_and_rolls_back_goes_to_blue(cloud: Cloud) -> None:
    rollback = Rollback(reason="asked to", started_at=START, service_revision_arn=BLUE)
    deploy(cloud, status=Status.ROLLBACK_IN_PROGRESS, sources=[], rollback=rollback)

    assert (Deployment(DEPLOYMENT).green_arn, Deployment(DEPLOYMENT).blue_arn) == (GREEN, BLUE)


def test_a_deployment_without_a_target_has_no_green(monkeypatch: pytest.MonkeyPatch) -> None:
    named = Deployment(DEPLOYMENT)
    monkeypatch.setitem(vars(named), "_description", {"status": "PENDING"})

    assert named.lifecycle_stage == ""
    with pytest.raises(
        Misconfigured, match="targetServiceRevision: expected the ARN of an ECS service revision"
    ):
        _ = named.green


def test_the_active_hooks_are_those_that_ecs_waits_for(cloud: Cloud) -> None:
    hook = LifecycleHook(name="pause", stages=(Stage.POST_TEST_TRAFFIC_SHIFT,), target_type="PAUSE")
    run = HookRun(
        hook_id="ecs-pause-1",
        hook=hook,
        stage=Stage.POST_TEST_TRAFFIC_SHIFT,
        status=HookStatus.AWAITING_ACTION,
        expires_at=START + timedelta(days=14),
    )
    deploy(cloud, hook_runs=[run])
    assert [(one["hookId"], one["status"], one["expiresAt"]) for one in of().active_hooks] == [
        ("ecs-pause-1", "AWAITING_ACTION", START + timedelta(days=14))
    ]

    deploy(cloud)
    assert list(of().active_hooks) == []
