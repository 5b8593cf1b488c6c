from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from rehearsal.aws.cloud import Cloud
from rehearsal.aws.shapes import WrongAnswerError, check_shape
from rehearsal.model import Rollback, Status
from rehearsal.switches import Switches
from tests.rehearsal.aws.sample_deployments import (
    ACCOUNT,
    BLUE,
    GREEN,
    LAMBDA_ID,
    PAUSE_ID,
    REGION,
    SERVICE,
    START,
    add_deployment,
    add_revision,
    body,
    deployment_arn,
)


@pytest.fixture
def ecs(cloud: Cloud) -> Any:
    return cloud.client("ecs", user="operator")


NOT_WAITING = (
    "Provided hookId is either completed, unavailable, or not associated with the given Resource ARN"
)


def refusal(call: Any, **parameters: object) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_a_deployment_is_described_as_ecs_does(cloud: Cloud, ecs: Any) -> None:
    deployment = add_deployment(cloud)
    missing = str(deployment_arn("gone"))

    described = ecs.describe_service_deployments(serviceDeploymentArns=[str(deployment.arn), missing])

    assert body(described) == {
        "serviceDeployments": [
            {
                "serviceDeploymentArn": str(deployment.arn),
                "serviceArn": str(SERVICE),
                "clusterArn": SERVICE.cluster_arn,
                "createdAt": START,
                "startedAt": START + timedelta(seconds=5),
                "updatedAt": START,
                "sourceServiceRevisions": [
                    {
                        "arn": str(BLUE),
                        "requestedTaskCount": 2,
                        "runningTaskCount": 0,
                        "pendingTaskCount": 0,
                        "requestedTestTrafficWeight": 0.0,
                        "requestedProductionTrafficWeight": 100.0,
                    }
                ],
                "targetServiceRevision": {
                    "arn": str(GREEN),
                    "requestedTaskCount": 2,
                    "runningTaskCount": 0,
                    "pendingTaskCount": 0,
                    "requestedTestTrafficWeight": 100.0,
                    "requestedProductionTrafficWeight": 0.0,
                },
                "status": "IN_PROGRESS",
                "lifecycleStage": "POST_TEST_TRAFFIC_SHIFT",
                "lifecycleHookDetails": [
                    {
                        "hookId": LAMBDA_ID,
                        "targetType": "AWS_LAMBDA",
                        "targetArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:approve",
                        "status": "IN_PROGRESS",
                        "expiresAt": START + timedelta(days=1),
                        "timeoutAction": "ROLLBACK",
                    },
                    {
                        "hookId": PAUSE_ID,
                        "targetType": "PAUSE",
                        "status": "AWAITING_ACTION",
                        "expiresAt": START + timedelta(days=1),
                        "timeoutAction": "ROLLBACK",
                    },
                ],
                "deploymentConfiguration": deployment.configuration,
            }
        ],
        "failures": [{"arn": missing, "reason": "MISSING"}],
    }


def test_a_rolling_deployment_shows_no_weights(cloud: Cloud, ecs: Any) -> None:
    deployment = add_deployment(cloud, configuration={"strategy": "ROLLING"})
    deployment.target.test_weight = deployment.target.production_weight = None

    described = ecs.describe_service_deployments(serviceDeploymentArns=[str(deployment.arn)])

    assert described["serviceDeployments"][0]["targetServiceRevision"] == {
        "arn": str(GREEN),
        "requestedTaskCount": 2,
        "runningTaskCount": 0,
        "pendingTaskCount": 0,
    }


def test_a_rollback_is_shown_with_its_reason(cloud: Cloud, ecs: Any) -> None:
    rollback = Rollback(reason="the hook said so", started_at=START, service_revision_arn=BLUE)
    deployment = add_deployment(cloud, rollback=rollback, status=Status.ROLLBACK_IN_PROGRESS)

    described = ecs.describe_service_deployments(serviceDeploymentArns=[str(deployment.arn)])

    assert described["serviceDeployments"][0]["rollback"] == {
        "reason": "the hook said so",
        "startedAt": START,
        "serviceRevisionArn": str(BLUE),
    }


@pytest.mark.parametrize(
    ("reported_as", "shown"),
    [("itself", "PRE_PRODUCTION_TRAFFIC_SHIFT"), ("production", "PRODUCTION_TRAFFIC_SHIFT")],
)
def test_the_pre_production_stage_is_shown_as_the_switch_says(
    cloud: Cloud, ecs: Any, reported_as: Any, shown: str
) -> None:
    cloud.reset(switches=Switches(pre_production_reported_as=reported_as))
    cloud.identity(user="operator")
    deployment = add_deployment(cloud, lifecycle_stage="PRE_PRODUCTION_TRAFFIC_SHIFT")

    described = ecs.describe_service_deployments(serviceDeploymentArns=[str(deployment.arn)])

    assert described["serviceDeployments"][0]["lifecycleStage"] == shown


@pytest.mark.parametrize(
    ("operation", "parameters", "code", "message"),
    [
        (
            "describe_service_deployments",
            {"serviceDeploymentArns": [str(deployment_arn(f"d{n}")) for n in range(21)]},
            "InvalidParameterException",
            "serviceDeploymentArns can have at most 20 items.",
        ),
        (
            "describe_service_deployments",
            {"serviceDeploymentArns": []},
            "InvalidParameterException",
            "serviceDeploymentArns can not be empty.",
        ),
        (
            "describe_service_revisions",
            {"serviceRevisionArns": [str(SERVICE)]},
            "InvalidParameterException",
            f"Invalid identifier: expected the ARN of a service-revision, got '{SERVICE}'.",
        ),
        (
            "list_service_deployments",
            {"service": "web", "cluster": "nowhere"},
            "ClusterNotFoundException",
            "Cluster not found.",
        ),
        (
            "list_service_deployments",
            {"service": "nothing", "cluster": "shop"},
            "ServiceNotFoundException",
            "Service not found.",
        ),
        (
            "list_service_deployments",
            {"service": "web", "cluster": "shop", "maxResults": 101},
            "InvalidParameterException",
            "maxResults must be between 1 and 100.",
        ),
        (
            "list_service_deployments",
            {"service": "web", "cluster": "shop", "nextToken": "nonsense"},
            "InvalidParameterException",
            "Invalid nextToken.",
        ),
        (
            "continue_service_deployment",
            {"serviceDeploymentArn": str(deployment_arn("gone")), "hookId": PAUSE_ID},
            "ServiceDeploymentNotFoundException",
            "Service deployment not found.",
        ),
        (
            "continue_service_deployment",
            {"serviceDeploymentArn": str(deployment_arn("one")), "hookId": "pause"},
            "InvalidParameterException",
            "Invalid hookId: hookId must follow the format: ecs-{hookType}-{id}",
        ),
        *(
            (
                "continue_service_deployment",
                {"serviceDeploymentArn": str(deployment_arn("one")), "hookId": hook_id},
                "InvalidParameterException",
                NOT_WAITING,
            )
            for hook_id in (LAMBDA_ID, "ecs-lambda-done", "ecs-pause-unknown")
        ),
        (
            "continue_service_deployment",
            {"serviceDeploymentArn": str(deployment_arn("ended")), "hookId": PAUSE_ID},
            "InvalidParameterException",
            "Continuing a service deployment is not allowed for service deployment in terminal states.",
        ),
        (
            "stop_service_deployment",
            {"serviceDeploymentArn": str(deployment_arn("gone"))},
            "ServiceDeploymentNotFoundException",
            "Service deployment not found.",
        ),
        (
            "stop_service_deployment",
            {"serviceDeploymentArn": str(deployment_arn("ended"))},
            "ConflictException",
            f"The service deployment {deployment_arn('ended')} can not be stopped: it is SUCCESSFUL.",
        ),
    ],
)
def test_a_request_that_ecs_rejects_is_rejected(
    cloud: Cloud, ecs: Any, operation: str, parameters: dict[str, object], code: str, message: str
) -> None:
    add_deployment(cloud, "one")
    add_deployment(cloud, "ended", status=Status.SUCCESSFUL)

    assert refusal(getattr(ecs, operation), **parameters) == (code, message)


def test_deployments_are_listed_newest_first_in_pages(cloud: Cloud, ecs: Any) -> None:
    made = [add_deployment(cloud, f"d{n}", created_at=START + timedelta(hours=n)) for n in range(5)]

    first = ecs.list_service_deployments(cluster="shop", service="web", maxResults=2)
    add_deployment(cloud, "later", created_at=START + timedelta(hours=9))
    second = ecs.list_service_deployments(service=str(SERVICE), maxResults=3, nextToken=first["nextToken"])

    listed = [
        brief["serviceDeploymentArn"] for page in (first, second) for brief in page["serviceDeployments"]
    ]
    assert listed == [str(deployment.arn) for deployment in reversed(made)]
    assert "nextToken" not in second
    assert first["serviceDeployments"][0] == {
        "serviceDeploymentArn": str(made[4].arn),
        "serviceArn": str(SERVICE),
        "clusterArn": SERVICE.cluster_arn,
        "startedAt": START + timedelta(seconds=5),
        "createdAt": START + timedelta(hours=4),
        "targetServiceRevisionArn": str(GREEN),
        "status": "IN_PROGRESS",
    }


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"status": ["SUCCESSFUL"]}, ["d0"]),
        ({"status": ["SUCCESSFUL", "IN_PROGRESS"]}, ["d2", "d1", "d0"]),
        ({"createdAt": {"after": START + timedelta(hours=1)}}, ["d2", "d1"]),
        ({"createdAt": {"after": START, "before": START + timedelta(hours=1)}}, ["d1", "d0"]),
        ({"status": ["STOPPED"]}, []),
    ],
)
def test_the_list_is_filtered(
    cloud: Cloud, ecs: Any, filters: dict[str, object], expected: list[str]
) -> None:
    for hour, status in enumerate((Status.SUCCESSFUL, Status.IN_PROGRESS, Status.IN_PROGRESS)):
        add_deployment(cloud, f"d{hour}", created_at=START + timedelta(hours=hour), status=status)

    listed = ecs.list_service_deployments(service="web", cluster=SERVICE.cluster_arn, **filters)

    assert [brief["serviceDeploymentArn"] for brief in listed["serviceDeployments"]] == [
        str(deployment_arn(name)) for name in expected
    ]


def test_a_service_of_moto_without_deployments_has_an_empty_list(ecs: Any) -> None:
    ecs.create_cluster(clusterName="shop")
    ecs.register_task_definition(
        family="web", containerDefinitions=[{"name": "app", "image": "web:1", "memory": 64}]
    )
    ecs.create_service(cluster="shop", serviceName="web", taskDefinition="web", desiredCount=0)

    assert body(ecs.list_service_deployments(cluster="shop", service="web")) == {"serviceDeployments": []}


def test_a_revision_is_described_with_what_is_resolved_of_it(cloud: Cloud, ecs: Any) -> None:
    group = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/green/0123456789abcdef"
    add_revision(cloud, BLUE)
    add_revision(
        cloud, GREEN, resolved_load_balancers=[{"targetGroupArn": group}], service_connect={"enabled": False}
    )

    described = ecs.describe_service_revisions(serviceRevisionArns=[str(GREEN), str(BLUE)])

    plain = {
        "serviceArn": str(SERVICE),
        "clusterArn": SERVICE.cluster_arn,
        "taskDefinition": f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/web:7",
        "loadBalancers": [],
        "containerImages": [
            {"containerName": "app", "image": "shop/web:7", "imageDigest": "sha256:" + "0" * 64}
        ],
        "createdAt": START,
    }
    assert body(described) == {
        "serviceRevisions": [
            {
                "serviceRevisionArn": str(GREEN),
                **plain,
                "serviceConnectConfiguration": {"enabled": False},
                "resolvedConfiguration": {"loadBalancers": [{"targetGroupArn": group}]},
            },
            {"serviceRevisionArn": str(BLUE), **plain},
        ],
        "failures": [],
    }


def test_another_region_does_not_see_the_deployment(cloud: Cloud) -> None:
    deployment = add_deployment(cloud)
    elsewhere = cloud.session(user="operator").client("ecs", region_name="us-west-2")

    described = elsewhere.describe_service_deployments(serviceDeploymentArns=[str(deployment.arn)])

    assert body(described) == {
        "serviceDeployments": [],
        "failures": [{"arn": str(deployment.arn), "reason": "MISSING"}],
    }


@pytest.mark.parametrize(("given", "passed_on"), [({}, "CONTINUE"), ({"action": "ROLLBACK"}, "ROLLBACK")])
def test_continuing_answers_the_pause_hook_once(
    cloud: Cloud, ecs: Any, given: dict[str, str], passed_on: str
) -> None:
    deployment = add_deployment(cloud)
    answers: list[tuple[str, str, str]] = []
    cloud.control_plane.on_continue = lambda which, run, action: answers.append(
        (which.arn.id, run.hook_id, action)
    )
    request = {"serviceDeploymentArn": str(deployment.arn), "hookId": PAUSE_ID, **given}

    assert body(ecs.continue_service_deployment(**request)) == {"serviceDeploymentArn": str(deployment.arn)}
    assert answers == [(deployment.arn.id, PAUSE_ID, passed_on)]
    assert refusal(ecs.continue_service_deployment, **request)[0] == "InvalidParameterException"


@pytest.mark.parametrize(
    ("status", "given", "passed_on"),
    [
        (Status.PENDING, {}, ["ROLLBACK"]),
        (Status.IN_PROGRESS, {"stopType": "ABORT"}, ["ABORT"]),
        (Status.STOP_REQUESTED, {}, []),
        (Status.ROLLBACK_REQUESTED, {}, []),
        (Status.ROLLBACK_IN_PROGRESS, {}, []),
    ],
)
def test_stopping_asks_the_stage_machine_unless_it_stops_already(
    cloud: Cloud, ecs: Any, status: Status, given: dict[str, str], passed_on: list[str]
) -> None:
    deployment = add_deployment(cloud, status=status)
    asked: list[str] = []
    cloud.control_plane.on_stop = lambda _, stop_type: asked.append(stop_type)

    answer = ecs.stop_service_deployment(serviceDeploymentArn=str(deployment.arn), **given)

    assert body(answer) == {"serviceDeploymentArn": str(deployment.arn)}
    assert asked == passed_on


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"configuration": {"strategie": "CANARY"}}, "strategie"),
        ({"configuration": {"strategy": "GREEN_BLUE"}}, "'GREEN_BLUE' is not one of"),
        ({"lifecycle_stage": "SHIFTING"}, "'SHIFTING' is not one of"),
        ({"status_reason": 7}, "Invalid type for parameter serviceDeployments"),
    ],
)
def test_what_ecs_can_not_say_is_a_loud_defect(changes: dict[str, Any], complaint: str) -> None:
    with Cloud(region=REGION) as cloud:
        deployment = add_deployment(cloud, **changes)
        ecs = cloud.client("ecs", user="operator")

        with pytest.raises(
            WrongAnswerError, match="DescribeServiceDeployments would answer what ECS can't"
        ) as caught:
            ecs.describe_service_deployments(serviceDeploymentArns=[str(deployment.arn)])

        assert complaint in str(caught.value)
        assert cloud.defects == [caught.value]


def test_a_right_answer_passes_the_check() -> None:
    check_shape("ecs", "StopServiceDeployment", {"serviceDeploymentArn": "arn"})
