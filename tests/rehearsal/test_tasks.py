"""The service's tasks, as the ECS API shows them on the way of a deployment."""

from collections import Counter
from typing import Any

import pytest

from rehearsal.outcome import Happening, Outcome, StageEntered, StatusChanged
from rehearsal.scenario import Scenario
from rehearsal.world import Rehearsal

AT = "POST_TEST_TRAFFIC_SHIFT"
FAILS = {"hook": "scripted", "stages": [AT], "replies": [{"hookStatus": "FAILED"}]}
WAITS = {"hook": "scripted", "stages": [AT], "replies": [{"hookStatus": "IN_PROGRESS"}]}

Tasks = dict[str, dict[str, int]]


class Watch:
    """Looks at the tasks whenever something happens; revisions are named in the order they were seen."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        self._rehearsal = rehearsal
        self._names: dict[str, str] = {}
        self.seen: list[tuple[str, Tasks]] = []

    def __call__(self, happening: Happening) -> None:
        if isinstance(happening, StageEntered) and not happening.rollback:
            self.look(happening.stage)
        if isinstance(happening, StatusChanged):
            self.look(happening.status)

    def look(self, when: str) -> None:
        ecs = self._rehearsal.cloud.client("ecs", user="admin")
        found: Tasks = {}
        for desired in ("RUNNING", "STOPPED"):
            arns = ecs.list_tasks(cluster="shop", serviceName="checkout", desiredStatus=desired)["taskArns"]
            tasks = ecs.describe_tasks(cluster="shop", tasks=arns)["tasks"] if arns else []
            for task in tasks:
                revision = task["startedBy"]
                name = self._names.setdefault(revision, f"r{len(self._names) + 1}")
                # By whom it was started is a filter of its own, and says the same.
                if desired == "RUNNING":
                    assert task["taskArn"] in ecs.list_tasks(cluster="shop", startedBy=revision)["taskArns"]
                found.setdefault(name, Counter())[task["lastStatus"]] += 1
        found = {name: dict(tasks) for name, tasks in found.items()}
        if not self.seen or self.seen[-1][1] != found:
            self.seen.append((when, found))


def watched(rehearsal: Rehearsal, **parts: Any) -> tuple[Outcome, list[tuple[str, Tasks]]]:
    watch = Watch(rehearsal)
    scenario = {"name": "test", "expect": {"status": "SUCCESSFUL"}, **parts}
    outcome = rehearsal.run(Scenario.model_validate(scenario), saw=watch)
    return outcome, watch.seen


def test_green_starts_at_scale_up_and_blue_stops_at_clean_up(rehearsal: Rehearsal) -> None:
    _, seen = watched(rehearsal, service={"tasks": 3, "exposure": "headless"})

    assert seen == [
        ("PENDING", {"r1": {"RUNNING": 3}}),
        ("POST_SCALE_UP", {"r1": {"RUNNING": 3}, "r2": {"RUNNING": 3}}),
        ("SUCCESSFUL", {"r1": {"STOPPED": 3}, "r2": {"RUNNING": 3}}),
    ]


def test_green_is_pending_until_it_is_scaled_up(rehearsal: Rehearsal) -> None:
    outcome, seen = watched(rehearsal, service={"scaleUpFails": True})

    assert outcome.status == "ROLLBACK_SUCCESSFUL"
    assert seen == [
        ("PENDING", {"r1": {"RUNNING": 2}}),
        ("ROLLBACK_IN_PROGRESS", {"r1": {"RUNNING": 2}, "r2": {"PENDING": 2}}),
        ("ROLLBACK_SUCCESSFUL", {"r1": {"RUNNING": 2}, "r2": {"STOPPING": 2}}),
    ]


def test_a_rollback_stops_green(rehearsal: Rehearsal) -> None:
    _, seen = watched(rehearsal, hooks=[FAILS])

    assert seen == [
        ("PENDING", {"r1": {"RUNNING": 2}}),
        ("POST_SCALE_UP", {"r1": {"RUNNING": 2}, "r2": {"RUNNING": 2}}),
        ("ROLLBACK_SUCCESSFUL", {"r1": {"RUNNING": 2}, "r2": {"STOPPING": 2}}),
    ]


def test_nothing_runs_before_a_first_deployment(rehearsal: Rehearsal) -> None:
    _, seen = watched(rehearsal, service={"firstDeployment": True})

    assert seen == [("PENDING", {}), ("POST_SCALE_UP", {"r1": {"RUNNING": 2}})]


@pytest.mark.parametrize(
    ("superseded_after", "left"),
    [("30s", {"r2": {"STOPPING": 2}}), ("10m", {"r2": {"RUNNING": 2}})],
    ids=["before it runs", "while it waits"],
)
def test_a_superseded_deployment_leaves_tasks_only_if_they_ran(
    rehearsal: Rehearsal, superseded_after: str, left: Tasks
) -> None:
    once = {
        "hook": "scripted",
        "stages": [AT],
        "replies": [{"hookStatus": "IN_PROGRESS", "callBackDelay": 3600}, {"hookStatus": "SUCCEEDED"}],
    }
    _, seen = watched(
        rehearsal,
        hooks=[once] if superseded_after == "10m" else [],
        actors=[{"release": {"after": superseded_after}}],
    )

    last = seen[-1][1]
    at_stop = next(tasks for when, tasks in reversed(seen) if "r3" not in tasks)
    assert at_stop == {"r1": {"RUNNING": 2}, **left}
    assert last == {"r1": {"STOPPED": 2}, "r2": {"STOPPED": 2}, "r3": {"RUNNING": 2}}


def test_task_ids_depend_on_nothing_but_the_run(rehearsal: Rehearsal) -> None:
    ids = []
    for tasks in (2, 4):
        watched(rehearsal, service={"tasks": tasks})
        plane = rehearsal.cloud.control_plane
        ids.append(
            (list(plane.deployments), list(plane.revisions), {task.id for task in plane.tasks.values()})
        )

    assert ids[0][:2] == ids[1][:2]
    assert ids[0][2] < ids[1][2]
