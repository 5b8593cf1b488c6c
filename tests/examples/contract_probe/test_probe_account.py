"""What the probe asks of a real account: every call as the API's own model takes it."""

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.response import StreamingBody
from botocore.stub import Stubber

from examples.contract_probe.account import AwsAccount, Stack, UnusableError
from examples.contract_probe.evidence import Image
from examples.contract_probe.plan import PLAN, Step
from shared.lifecycle import Stage

REGION = "eu-west-1"
NOW = datetime(2026, 3, 2, 9, 0, 30, tzinfo=UTC)
CLUSTER = "probe-Cluster-1"
FUNCTION = f"arn:aws:lambda:{REGION}:123456789012:function:probe"
ROLE = "arn:aws:iam::123456789012:role/probe-HookInvocationRole"
OUTPUTS = {
    "Cluster": CLUSTER,
    "Bucket": "probe-bucket",
    "Image": "public.ecr.aws/docker/library/busybox:stable",
    "HookInvocationRoleArn": ROLE,
    "FirstRecorderArn": f"{FUNCTION}-FirstRecorder-1",
    "SecondRecorderArn": f"{FUNCTION}-SecondRecorder-1",
    "ThrottledRecorderArn": f"{FUNCTION}-ThrottledRecorder-1",
}
DEPLOYMENT = f"arn:aws:ecs:{REGION}:123456789012:service-deployment/{CLUSTER}/alb/EZe5RNVLH6PPzHXINuP28"
IMAGE = Image(reference=OUTPUTS["Image"], index="sha256:1", platforms={"arm64": "sha256:2"})
STEPS = {step.name: step for step in PLAN}


class Clients:
    """Clients that answer what a test says, and take only what it expects; botocore's models check both."""

    def __init__(self) -> None:
        self._clients: dict[str, Any] = {}
        self.stubs: dict[str, Stubber] = {}

    def __call__(self, service: str) -> Any:
        if service not in self._clients:
            connect: Any = boto3.client
            client = connect(
                service,
                region_name=REGION,
                aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
                aws_secret_access_key="example",
            )
            self._clients[service] = client
            self.stubs[service] = Stubber(client)
            self.stubs[service].activate()
        return self._clients[service]

    def answers(self, service: str, operation: str, answer: Any, expected: Any) -> None:
        self(service)
        self.stubs[service].add_response(operation, answer, expected)


@pytest.fixture
def clients() -> Iterator[Clients]:
    clients = Clients()
    yield clients
    for stub in clients.stubs.values():
        stub.assert_no_pending_responses()


class Clock:
    def __init__(self) -> None:
        self.at = NOW.timestamp()

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def account(clients: Clients, clock: Clock) -> AwsAccount:
    stack = Stack("probe", REGION, OUTPUTS)
    return AwsAccount(stack, clients, now=clock.now, sleep=clock.sleep, digests=lambda _reference: IMAGE)


def hook(name: str, stages: tuple[Stage, ...], **more: Any) -> dict[str, Any]:
    return {
        "targetType": "AWS_LAMBDA",
        "hookTargetArn": f"{FUNCTION}-{name}-1",
        "roleArn": ROLE,
        "lifecycleStages": [stage.value for stage in stages],
        "timeoutConfiguration": {"timeoutInMinutes": 60, "action": "ROLLBACK"},
        **more,
    }


@pytest.mark.parametrize("step", PLAN, ids=lambda step: step.name)
def test_a_deployment_is_asked_for_with_its_hooks_and_whatever_else_the_service_has(
    account: AwsAccount, clients: Clients, step: Step
) -> None:
    strategy = {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0, "maximumPercent": 200}
    hooks = [
        hook("FirstRecorder", tuple(Stage), hookDetails={"configured": True, "nested": {"configured": True}}),
        hook("SecondRecorder", tuple(Stage)),
    ]
    if step.name == "throttled":
        hooks.append(hook("ThrottledRecorder", (Stage.PRE_SCALE_UP,)))
    clients.answers(
        "ecs",
        "describe_services",
        {"services": [{"deploymentConfiguration": {**strategy, "lifecycleHooks": hooks[:1]}}]},
        {"cluster": CLUSTER, "services": [step.service]},
    )
    clients.answers(
        "ecs",
        "update_service",
        {},
        {
            "cluster": CLUSTER,
            "service": step.service,
            "deploymentConfiguration": {**strategy, "lifecycleHooks": hooks},
            "forceNewDeployment": True,
        },
    )

    account.deploy(step)


def test_a_service_that_is_gone_is_named(account: AwsAccount, clients: Clients) -> None:
    clients.answers("ecs", "describe_services", {"services": []}, {"cluster": CLUSTER, "services": ["alb"]})

    with pytest.raises(UnusableError, match=f"cluster {CLUSTER} has no service alb; deploy the stack again"):
        account.deploy(STEPS["polled"])


def test_the_script_is_written_where_the_recorder_reads_it(account: AwsAccount, clients: Clients) -> None:
    step = STEPS["sibling"]
    expected = {
        "Bucket": "probe-bucket",
        "Key": "scripts/service-connect.json",
        "Body": json.dumps(step.script).encode(),
    }
    clients.answers("s3", "put_object", {}, expected)

    account.write_script(step)

    assert step.script == {
        "name": "sibling",
        "replies": {
            "first": {"POST_SCALE_UP": {"polls": 1, "delay": 20, "then": "FAILED"}},
            "second": {"POST_SCALE_UP": {"polls": 6, "delay": 15, "then": "SUCCEEDED"}},
        },
    }


def test_deployments_are_found_newest_first(account: AwsAccount, clients: Clients) -> None:
    found = [
        {"serviceDeploymentArn": f"{DEPLOYMENT}{n}", "createdAt": datetime(2026, 3, 2, 9, n, tzinfo=UTC)}
        for n in (1, 3, 2)
    ]
    clients.answers(
        "ecs",
        "list_service_deployments",
        {"serviceDeployments": found},
        {"cluster": CLUSTER, "service": "alb", "createdAt": {"after": NOW}},
    )

    assert account.newest("alb", NOW.timestamp()) == [f"{DEPLOYMENT}{n}" for n in (3, 2, 1)]


def test_deployments_are_described_in_json(account: AwsAccount, clients: Clients) -> None:
    shown = {"serviceDeploymentArn": DEPLOYMENT, "status": "IN_PROGRESS", "createdAt": NOW}
    clients.answers(
        "ecs",
        "describe_service_deployments",
        {"serviceDeployments": [shown]},
        {"serviceDeploymentArns": [DEPLOYMENT]},
    )

    assert account.describe([DEPLOYMENT]) == {DEPLOYMENT: {**shown, "createdAt": "2026-03-02 09:00:30+00:00"}}


def recording(number: int) -> dict[str, Any]:
    return {
        "version": 1,
        "hook": "first",
        "requestId": str(number),
        "at": float(number),
        "script": "polled",
        "attempt": 1,
        "event": "{}",
        "seen": {"problems": []},
        "reply": {"hookStatus": "SUCCEEDED"},
    }


def serve(clients: Clients, listed: list[str], bodies: dict[str, bytes]) -> None:
    prefix = "recordings/EZe5RNVLH6PPzHXINuP28/"
    clients.answers(
        "s3",
        "list_objects_v2",
        {"Contents": [{"Key": f"{prefix}{name}"} for name in listed]},
        {"Bucket": "probe-bucket", "Prefix": prefix},
    )
    for name, body in bodies.items():
        clients.answers(
            "s3",
            "get_object",
            {"Body": StreamingBody(io.BytesIO(body), len(body))},
            {"Bucket": "probe-bucket", "Key": f"{prefix}{name}"},
        )


def test_each_recording_is_fetched_once(account: AwsAccount, clients: Clients) -> None:
    serve(clients, ["1"], {"1": json.dumps(recording(1)).encode()})
    serve(clients, ["1", "2"], {"2": json.dumps(recording(2)).encode()})

    first = [one.request_id for one in account.recordings(DEPLOYMENT)]
    then = [one.request_id for one in account.recordings(DEPLOYMENT)]

    assert (first, then) == (["1"], ["1", "2"])


@pytest.mark.parametrize(
    "body", [b"{}", b"no JSON", json.dumps({**recording(1), "version": 2}).encode(), b" " * 1024 * 1025]
)
def test_a_recording_of_another_kind_is_named(account: AwsAccount, clients: Clients, body: bytes) -> None:
    serve(clients, ["1"], {"1": body})

    with pytest.raises(
        UnusableError, match=r"^s3://probe-bucket/recordings/EZe5RNVLH6PPzHXINuP28/1 is not what"
    ):
        account.recordings(DEPLOYMENT)


def metric(clients: Clients, *sums: float) -> None:
    clients.answers(
        "cloudwatch",
        "get_metric_statistics",
        {"Datapoints": [{"Sum": value} for value in sums]},
        {
            "Namespace": "AWS/Lambda",
            "MetricName": "Throttles",
            "Dimensions": [{"Name": "FunctionName", "Value": "probe-ThrottledRecorder-1"}],
            "StartTime": datetime(2026, 3, 2, 9, 0, tzinfo=UTC),
            "EndTime": datetime(2026, 3, 2, 9, 2, tzinfo=UTC),
            "Period": 60,
            "Statistics": ["Sum"],
        },
    )


def test_throttles_are_counted_once_the_metric_can_be_complete(
    account: AwsAccount, clients: Clients, clock: Clock
) -> None:
    ended = NOW.timestamp() + 60
    clock.at = ended + 545
    metric(clients)
    metric(clients, 1.0)
    metric(clients, 1.0, 1.0)

    assert account.throttles(NOW.timestamp(), ended) == 2
    assert clock.at == ended + 605


def test_no_throttle_is_said_only_when_the_metric_is_complete(
    account: AwsAccount, clients: Clients, clock: Clock
) -> None:
    clock.at += 6000
    metric(clients)

    assert account.throttles(NOW.timestamp(), NOW.timestamp() + 60) == 0


def test_the_images_digests_are_the_registrys(account: AwsAccount) -> None:
    assert account.image() == IMAGE


def stack(clients: Clients, status: str, outputs: dict[str, str]) -> Stack:
    named = [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()]
    shown = {"StackName": "probe", "CreationTime": NOW, "StackStatus": status, "Outputs": named}
    clients.answers("cloudformation", "describe_stacks", {"Stacks": [shown]}, {"StackName": "probe"})
    return Stack.read(clients("cloudformation"), "probe")


def test_the_stacks_outputs_say_where_everything_is(clients: Clients) -> None:
    assert stack(clients, "UPDATE_COMPLETE", OUTPUTS) == Stack("probe", REGION, OUTPUTS)


@pytest.mark.parametrize(
    ("status", "outputs", "why"),
    [
        ("CREATE_IN_PROGRESS", OUTPUTS, "stack probe is CREATE_IN_PROGRESS; wait for it, or deploy it again"),
        ("UPDATE_ROLLBACK_COMPLETE", OUTPUTS, "stack probe is UPDATE_ROLLBACK_COMPLETE"),
        (
            "CREATE_COMPLETE",
            {"Cluster": "shop"},
            "has no output Bucket, FirstRecorderArn, HookInvocationRoleArn",
        ),
    ],
)
def test_another_stack_is_not_used(clients: Clients, status: str, outputs: dict[str, str], why: str) -> None:
    with pytest.raises(UnusableError, match=why):
        stack(clients, status, outputs)
