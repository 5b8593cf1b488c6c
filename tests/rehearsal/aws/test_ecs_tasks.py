"""Tasks of a rehearsed service at the ECS API."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from botocore.exceptions import ClientError

from rehearsal.aws.cloud import Cloud
from rehearsal.model import Task
from shared.lifecycle import ServiceRevisionArn
from tests.rehearsal.aws.sample_deployments import (
    ACCOUNT,
    BLUE,
    GREEN,
    REGION,
    SERVICE,
    START,
    add_revision,
    body,
)

DEFINITION = f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/web:7"


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(START, tick=False) as clock:
        yield clock


@pytest.fixture
def ecs(cloud: Cloud, clock: time_machine.Traveller) -> Any:
    add_revision(cloud, BLUE)
    cloud.control_plane.desired_counts[SERVICE] = 2
    return cloud.client("ecs", user="operator")


def arn(name: str) -> str:
    return f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/shop/{name}"


def add(cloud: Cloud, name: str, revision: ServiceRevisionArn = BLUE, **changes: Any) -> Task:
    task = Task(
        arn=arn(name),
        service=SERVICE,
        revision=revision,
        task_definition=DEFINITION,
        containers=("app",),
        created_at=START - timedelta(minutes=2),
        started_at=START - timedelta(minutes=1),
    )
    for attribute, value in changes.items():
        setattr(task, attribute, value)
    cloud.control_plane.tasks[task.arn] = task
    return task


def refusal(call: Any, **parameters: object) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def listed(ecs: Any, **filters: Any) -> list[str]:
    return [found.rpartition("/")[2] for found in ecs.list_tasks(cluster="shop", **filters)["taskArns"]]


def protect(ecs: Any, *names: str, enabled: bool = True, **more: Any) -> dict[str, Any]:
    return body(
        ecs.update_task_protection(cluster="shop", tasks=list(names), protectionEnabled=enabled, **more)
    )


def test_tasks_are_listed_by_the_revision_that_started_them(cloud: Cloud, ecs: Any) -> None:
    for name, revision in (("b1", BLUE), ("b2", BLUE), ("g1", GREEN)):
        add(cloud, name, revision)

    assert listed(ecs, startedBy=f"ecs-svc/{BLUE.id}") == ["b1", "b2"]
    assert listed(ecs, startedBy=f"ecs-svc/{GREEN.id}") == ["g1"]
    assert listed(ecs, startedBy="ecs-svc/1") == []
    assert listed(ecs) == listed(ecs, serviceName="web") == listed(ecs, family="web") == ["b1", "b2", "g1"]
    assert listed(ecs, serviceName="other") == listed(ecs, family="other") == []


@pytest.mark.parametrize("beside", ["serviceName", "family", "desiredStatus"])
def test_no_filter_goes_with_who_started_a_task(ecs: Any, beside: str) -> None:
    assert refusal(ecs.list_tasks, cluster="shop", startedBy="x", **{beside: "RUNNING"}) == (
        "InvalidParameterException",
        "When you specify startedBy as the filter, it must be the only filter that you use.",
    )


def test_tasks_are_listed_in_pages(cloud: Cloud, ecs: Any) -> None:
    for number in range(5):
        add(cloud, f"t{number}")
    pages = ecs.get_paginator("list_tasks").paginate(
        cluster="shop", startedBy=f"ecs-svc/{BLUE.id}", PaginationConfig={"PageSize": 2}
    )

    assert [page["taskArns"] for page in pages] == [
        [arn("t0"), arn("t1")],
        [arn("t2"), arn("t3")],
        [arn("t4")],
    ]


def test_a_task_is_described_as_ecs_does(cloud: Cloud, ecs: Any) -> None:
    add(cloud, "b1")

    assert body(ecs.describe_tasks(cluster="shop", tasks=["b1", arn("gone")])) == {
        "tasks": [
            {
                "taskArn": arn("b1"),
                "clusterArn": SERVICE.cluster_arn,
                "taskDefinitionArn": DEFINITION,
                "group": "service:web",
                "startedBy": f"ecs-svc/{BLUE.id}",
                "lastStatus": "RUNNING",
                "desiredStatus": "RUNNING",
                "launchType": "FARGATE",
                "containers": [{"name": "app", "lastStatus": "RUNNING", "taskArn": arn("b1")}],
                "createdAt": START - timedelta(minutes=2),
                "startedAt": START - timedelta(minutes=1),
            }
        ],
        "failures": [{"arn": arn("gone"), "reason": "MISSING"}],
    }


def test_a_task_goes_through_its_states_by_the_clock(
    cloud: Cloud, ecs: Any, clock: time_machine.Traveller
) -> None:
    task = add(cloud, "b1", started_at=None)
    seen = []

    def look() -> None:
        [found] = ecs.describe_tasks(cluster="shop", tasks=["b1"])["tasks"]
        seen.append((found["lastStatus"], found["desiredStatus"], listed(ecs), found.get("stoppedAt")))

    look()
    task.started_at = START
    look()
    task.unwanted_since = START + timedelta(seconds=5)
    clock.shift(timedelta(seconds=10))
    look()
    clock.shift(timedelta(seconds=30))
    look()

    assert seen == [
        ("PENDING", "RUNNING", ["b1"], None),
        ("RUNNING", "RUNNING", ["b1"], None),
        ("STOPPING", "STOPPED", [], None),
        ("STOPPED", "STOPPED", [], START + timedelta(seconds=35)),
    ]
    assert listed(ecs, desiredStatus="STOPPED") == ["b1"]
    clock.shift(timedelta(hours=1))
    assert listed(ecs, desiredStatus="STOPPED") == []
    assert body(ecs.describe_tasks(cluster="shop", tasks=["b1"]))["failures"] == [
        {"arn": arn("b1"), "reason": "MISSING"}
    ]


def test_protection_ends_by_the_clock(cloud: Cloud, ecs: Any, clock: time_machine.Traveller) -> None:
    add(cloud, "b1")
    add(cloud, "b2")
    protected = {
        "taskArn": arn("b1"),
        "protectionEnabled": True,
        "expirationDate": START + timedelta(minutes=5),
    }

    assert protect(ecs, "b1", expiresInMinutes=5) == {"protectedTasks": [protected], "failures": []}
    seen = []
    for seconds in (0, 299, 1):
        clock.shift(timedelta(seconds=seconds))
        seen.append(ecs.get_task_protection(cluster="shop", tasks=["b1", arn("b2")])["protectedTasks"])

    other = {"taskArn": arn("b2"), "protectionEnabled": False}
    assert seen == [
        [protected, other],
        [protected, other],
        [{"taskArn": arn("b1"), "protectionEnabled": False}, other],
    ]


def test_protection_lasts_two_hours_unless_it_is_taken_back(cloud: Cloud, ecs: Any) -> None:
    add(cloud, "b1")

    [protected] = protect(ecs, "b1")["protectedTasks"]

    assert protected["expirationDate"] == START + timedelta(hours=2)
    assert protect(ecs, "b1", enabled=False)["protectedTasks"] == [
        {"taskArn": arn("b1"), "protectionEnabled": False}
    ]


def test_no_more_tasks_are_protected_than_the_service_is_to_have(cloud: Cloud, ecs: Any) -> None:
    for name, revision in (("b1", BLUE), ("b2", BLUE), ("g1", GREEN)):
        add(cloud, name, revision)

    assert protect(ecs, "b1", "b2")["failures"] == []
    blocked = protect(ecs, "g1", "b1")
    assert [task["taskArn"] for task in blocked["protectedTasks"]] == [arn("b1")]
    assert [(failure["arn"], failure["reason"]) for failure in blocked["failures"]] == [
        (arn("g1"), "DEPLOYMENT_BLOCKED")
    ]
    protect(ecs, "b2", enabled=False)
    assert protect(ecs, "g1")["failures"] == []


@pytest.mark.parametrize(
    ("ends", "stops"),
    [
        ("by itself", START + timedelta(minutes=10)),
        ("by hand", START + timedelta(minutes=7)),
    ],
)
def test_a_protected_task_is_not_stopped_before_its_protection_ends(
    cloud: Cloud, ecs: Any, clock: time_machine.Traveller, ends: str, stops: Any
) -> None:
    task = add(cloud, "b1")
    protect(ecs, "b1", expiresInMinutes=10)
    task.unwanted_since = START + timedelta(minutes=1)
    clock.shift(timedelta(minutes=7))
    assert listed(ecs) == ["b1"]

    if ends == "by hand":
        protect(ecs, "b1", enabled=False)
    clock.shift(timedelta(minutes=5))

    [found] = ecs.describe_tasks(cluster="shop", tasks=["b1"])["tasks"]
    assert (found["stoppingAt"], found["lastStatus"]) == (stops, "STOPPED")


@pytest.mark.parametrize(
    ("ends", "code", "stopped"),
    [
        ({"unwanted_since": START - timedelta(minutes=1)}, "ServiceSchedulerInitiated", -30),
        ({"exited_at": START - timedelta(minutes=1)}, "EssentialContainerExited", -60),
    ],
)
def test_a_task_says_why_it_ended(
    cloud: Cloud, ecs: Any, ends: dict[str, Any], code: str, stopped: int
) -> None:
    add(cloud, "b1", stop_reason="why", **ends)

    [found] = ecs.describe_tasks(cluster="shop", tasks=["b1"])["tasks"]

    assert {key: found[key] for key in ("stopCode", "stoppedReason", "stoppingAt", "stoppedAt")} == {
        "stopCode": code,
        "stoppedReason": "why",
        "stoppingAt": START - timedelta(minutes=1),
        "stoppedAt": START + timedelta(seconds=stopped),
    }


def test_a_task_that_has_ended_has_no_protection_to_speak_of(cloud: Cloud, ecs: Any) -> None:
    add(cloud, "b1", unwanted_since=START - timedelta(minutes=1))

    gone = [{"arn": arn("b1"), "reason": "MISSING"}]
    assert body(ecs.get_task_protection(cluster="shop", tasks=["b1"])) == {
        "protectedTasks": [],
        "failures": gone,
    }
    assert protect(ecs, "b1") == {"protectedTasks": [], "failures": gone}


@pytest.mark.parametrize(
    ("operation", "parameters", "code"),
    [
        ("list_tasks", {"maxResults": 101}, "InvalidParameterException"),
        ("list_tasks", {"nextToken": "x"}, "InvalidParameterException"),
        ("list_tasks", {"launchType": "EC2"}, "InvalidParameterException"),
        ("describe_tasks", {"tasks": []}, "InvalidParameterException"),
        ("describe_tasks", {"tasks": ["x"] * 101}, "InvalidParameterException"),
        ("get_task_protection", {}, "InvalidParameterException"),
        (
            "update_task_protection",
            {"tasks": [str(number) for number in range(11)], "protectionEnabled": True},
            "InvalidParameterException",
        ),
        (
            "update_task_protection",
            {"tasks": ["x"], "protectionEnabled": True, "expiresInMinutes": 2881},
            "InvalidParameterException",
        ),
        ("get_task_protection", {"cluster": "other", "tasks": ["x"]}, "ClusterNotFoundException"),
    ],
)
def test_a_request_that_ecs_rejects_is_rejected(
    ecs: Any, operation: str, parameters: dict[str, Any], code: str
) -> None:
    assert refusal(getattr(ecs, operation), **{"cluster": "shop", **parameters})[0] == code


def test_tasks_of_other_clusters_are_motos(cloud: Cloud, ecs: Any) -> None:
    ecs.create_cluster(clusterName="elsewhere")

    assert ecs.list_tasks(cluster="elsewhere")["taskArns"] == []
