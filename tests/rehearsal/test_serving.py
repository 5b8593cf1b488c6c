"""`rehearse serve`: the rehearsal's AWS over HTTP, in a process of its own."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from rehearsal.aws.cloud import Cloud
from rehearsal.aws.identities import ALLOW_ALL
from rehearsal.model import ControlPlane
from rehearsal.serving import know, make_queue

SERVICE = "arn:aws:ecs:us-east-1:123456789012:service/shop/checkout"
DEPLOYMENT = "arn:aws:ecs:us-east-1:123456789012:service-deployment/shop/checkout/EZe5RNVLH6PPzHXINuP28"

SCENARIO = """\
service: {name: checkout, cluster: shop, scaleUp: 5m}
expect: {status: SUCCESSFUL}
"""


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "rehearsal", "serve", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        line = process.stdout.readline()
        match = re.match(r"AWS_ENDPOINT_URL=(http://127\.0\.0\.1:\d+) AWS_ACCESS_KEY_ID=\S+", line)
        assert match, (line, process.stderr.read())
        yield process, match[1]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def event(**weights: float) -> dict[str, Any]:
    return {
        "executionId": "f4fcae0f-9bec-41c6-ba87-0eaa0cef8af5",
        "lifecycleStage": "PRODUCTION_TRAFFIC_SHIFT" if weights else "POST_TEST_TRAFFIC_SHIFT",
        "resourceArn": DEPLOYMENT,
        "executionDetails": {
            "serviceArn": SERVICE,
            "targetServiceRevisionArn": revision("2"),
            "testTrafficWeights": {},
            "productionTrafficWeights": {revision(number[-1]): share for number, share in weights.items()},
        },
    }


def revision(identifier: str) -> str:
    return f"arn:aws:ecs:us-east-1:123456789012:service-revision/shop/checkout/{identifier}"


def client(service: Any, url: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )


def test_an_idle_account_answers_over_http_and_ends_on_sigterm() -> None:
    with serving() as (process, url):
        ecs = client("ecs", url)
        described = ecs.describe_service_deployments(serviceDeploymentArns=[DEPLOYMENT])
        with pytest.raises(ClientError) as caught:
            ecs.list_service_deployments(service="checkout", cluster="shop")
        ssm = client("ssm", url)
        ssm.put_parameter(Name="/a", Value="b", Type="String")

        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)

    assert (described["serviceDeployments"], described["failures"]) == (
        [],
        [{"arn": DEPLOYMENT, "reason": "MISSING"}],
    )
    assert caught.value.response["Error"]["Code"] == "ClusterNotFoundException"
    assert (process.returncode, errors) == (0, "")


@pytest.mark.parametrize(
    ("weights", "sources"),
    [({}, ["1"]), ({"rev2": 100}, []), ({"rev2": 10, "rev7": 90}, ["7"])],
    ids=["says nothing about blue", "first deployment", "says what blue is"],
)
def test_ecs_is_in_the_middle_of_the_deployment_of_a_sample_event(
    weights: dict[str, int], sources: list[str]
) -> None:
    plane = ControlPlane()

    know(plane, event(**weights))

    (deployment,) = plane.deployments.values()
    assert (str(deployment.arn), deployment.status) == (DEPLOYMENT, "IN_PROGRESS")
    assert [(str(source.arn), source.running_task_count) for source in deployment.sources] == [
        (revision(one), 2) for one in sources
    ]
    assert str(deployment.target.arn) == revision("2")
    assert set(plane.revisions) == {revision(one) for one in (*sources, "2")}


def balancers(plane: ControlPlane) -> dict[str, Any]:
    return {revision.arn.id: revision.resolved_load_balancers for revision in plane.revisions.values()}


def test_split_weights_tell_of_a_canary_behind_a_load_balancer() -> None:
    plane = ControlPlane()

    know(plane, event(rev2=12.5, rev7=87.5))

    (deployment,) = plane.deployments.values()
    assert deployment.configuration == {
        "strategy": "CANARY",
        "canaryConfiguration": {"canaryPercent": 12.5, "canaryBakeTimeInMinutes": 10},
    }
    weights = {one.arn.id: one.production_weight for one in (*deployment.sources, deployment.target)}
    assert weights == {"7": 87.5, "2": 12.5}
    assert deployment.started_at == deployment.created_at <= datetime.now(UTC) - timedelta(minutes=20)
    prefix = "arn:aws:elasticloadbalancing:us-east-1:123456789012"
    rule = f"{prefix}:listener-rule/app/shop/50dc6c495c0c9188/f2f7dc8efc522ab2/9683b2d02a6cabee"
    assert balancers(plane) == {
        number: [
            {
                "targetGroupArn": f"{prefix}:targetgroup/checkout-{group}",
                "productionListenerRule": rule,
            }
        ]
        for number, group in (("2", "a/6d0ecf831eec9f09"), ("7", "b/73e2d6bc24d8a067"))
    }


@pytest.mark.parametrize("green", [100, 0], ids=["last step", "rollback"])
def test_of_several_events_the_first_tells_of_the_canary_and_the_last_how_far_it_is(green: int) -> None:
    plane, canary = ControlPlane(), ControlPlane()
    know(canary, event(rev2=5, rev7=95))

    know(plane, event(rev2=5, rev7=95))
    know(plane, event(rev2=green, rev7=100 - green))

    (deployment,), (first,) = plane.deployments.values(), canary.deployments.values()
    assert deployment.configuration == first.configuration
    assert deployment.target.production_weight == green
    assert [source.production_weight for source in deployment.sources] == [100 - green]
    assert balancers(plane) == balancers(canary)


def test_an_event_of_another_deployment_takes_no_load_balancer_away() -> None:
    plane = ControlPlane()
    know(plane, event(rev2=5, rev7=95))
    before = balancers(plane)

    other = event(rev2=100, rev7=0)
    know(plane, {**other, "resourceArn": DEPLOYMENT[:-1]})

    assert len(plane.deployments) == 2
    assert balancers(plane) == before


def test_weights_that_are_not_split_tell_of_no_canary() -> None:
    plane = ControlPlane()

    know(plane, event(rev2=100, rev7=0))

    (deployment,) = plane.deployments.values()
    assert deployment.configuration == {"strategy": "BLUE_GREEN"}
    assert balancers(plane) == {"2": None, "7": None}


@pytest.mark.parametrize(
    ("details", "queues"),
    [
        ({"queue": "mails"}, {"mails": "mails-dead", "mails-dead": None}),
        ({"queue": "mails.fifo"}, {"mails.fifo": "mails-dead.fifo", "mails-dead.fifo": None}),
        ({"queue": "no name of a queue"}, {}),
        ({"queue": 7}, {}),
        ({}, {}),
    ],
    ids=str,
)
def test_the_queue_that_a_sample_event_names_is_there_with_its_dead_letter_queue(
    details: dict[str, Any], queues: dict[str, str | None]
) -> None:
    with Cloud() as cloud:
        for _ in range(2):  # of two events, both may name it
            make_queue(cloud, {**event(), "hookDetails": details})

        sqs = cloud.client("sqs", user="reader", policies=[ALLOW_ALL])
        found = {}
        for url in sqs.list_queues().get("QueueUrls", []):
            attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
            redrive = json.loads(attributes.get("RedrivePolicy", "{}"))
            found[url.rpartition("/")[2]] = redrive.get("deadLetterTargetArn", "").rpartition(":")[2] or None
    assert found == queues


@pytest.mark.parametrize("payload", [None, {}, [], {"source": "aws.scheduler"}], ids=str)
def test_an_event_of_another_kind_adds_nothing(payload: object) -> None:
    plane = ControlPlane()

    know(plane, payload)
    with Cloud() as cloud:
        make_queue(cloud, payload)
        queues = cloud.client("sqs", user="reader", policies=[ALLOW_ALL]).list_queues()

    assert (plane.deployments, plane.revisions) == ({}, {})
    assert queues.get("QueueUrls", []) == []


def test_a_scenario_can_be_watched_and_stopped_over_http(tmp_path: Any) -> None:
    file = tmp_path / "slow.yaml"
    file.write_text(SCENARIO)
    with serving(str(file)) as (process, url):
        assert process.stdout is not None
        # The deployment is there once its first status is printed.
        for line in process.stdout:
            if "IN_PROGRESS" in line:
                break
        ecs = client("ecs", url)
        (listed,) = ecs.list_service_deployments(service="checkout", cluster="shop")["serviceDeployments"]
        (described,) = ecs.describe_service_deployments(
            serviceDeploymentArns=[listed["serviceDeploymentArn"]]
        )["serviceDeployments"]

        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)

    assert described["serviceArn"] == SERVICE
    assert described["status"] == "IN_PROGRESS"
    assert described["sourceServiceRevisions"][0]["requestedProductionTrafficWeight"] == 100
    assert process.returncode != 0


def test_an_address_that_is_taken_is_said_in_one_line() -> None:
    with serving() as (_, url):
        port = url.rpartition(":")[2]
        second = subprocess.run(
            [sys.executable, "-m", "rehearsal", "serve", "--port", port],
            capture_output=True,
            text=True,
            check=False,
        )

    assert second.returncode == 2
    assert second.stderr.startswith(f"rehearse: 127.0.0.1:{port}: Address already in use")
    assert len(second.stderr.splitlines()) == 1
