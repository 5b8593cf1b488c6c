"""A verdict follows from its record alone, whichever step it was."""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest

from hooks.consumer_activation.handler import handler
from shared import record
from tests.hooks.consumer_activation.service import (
    QUEUE,
    Aws,
    Deployment,
    Invocation,
    Message,
    Service,
    event,
    moment,
)

BLUE, GREEN = "1000", "2000"
FAST = {"queue": QUEUE, "monitorMinutes": 1, "drainTimeoutSeconds": 30}


@dataclass
class Rehearsed:
    """A service whose workers are left out: only the hook moves, and what it records is kept."""

    service: Service = field(default_factory=lambda: Service(lag=3))
    records: list[dict[str, Any]] = field(default_factory=list)
    metrics: list[dict[str, Any]] = field(default_factory=list)

    def deploy(self, sources: tuple[str, ...] = (BLUE,), **details: Any) -> Deployment:
        deployment = Deployment("deployment-1", GREEN, sources, {**FAST, **details})
        self.service.deployments = [deployment]
        return deployment

    def call(self, green: float | None = 100, stage: str = "PRODUCTION_TRAFFIC_SHIFT") -> str:
        """Call the hook once, and wait as it says."""
        (deployment,) = self.service.deployments
        invocation = Invocation(event(deployment, stage, green), "", self.service.now)
        reply = Aws(self.service, invocation, metrics=self.metrics).ask_the_hook(RECORD_BUCKET="evidence")
        deployment.details = reply.get("hookDetails", deployment.details)
        self.service.pass_time(reply.get("callBackDelay", 0))
        return str(reply["hookStatus"])

    def walk(self, green: float | None = 100, stage: str = "PRODUCTION_TRAFFIC_SHIFT") -> str:
        """Call until there is an answer."""
        return next(status for status in iter(lambda: self.call(green, stage), "") if status != "IN_PROGRESS")

    def held_by(self, active: str | None, **changes: Any) -> None:
        value = {"schema": 1, "epoch": 7, "active": active, "leaseSeconds": 15, "readSeconds": 5}
        self.service.history.put(json.dumps({**value, "readLagSeconds": 3, **changes}), self.service.now)
        self.service.pass_time(600)

    def verdicts(self) -> list[tuple[str, str]]:
        return [(kept["verdict"]["answer"], kept["verdict"]["reason"]) for kept in self.records]


@pytest.fixture
def rehearsed() -> Iterator[Rehearsed]:
    log = logging.getLogger("ecs-lifecycle-hooks")
    level, log.level = log.level, logging.CRITICAL
    found = Rehearsed()
    with mock.patch.object(record, "keep", lambda document, _: found.records.append(document)):
        yield found
    log.setLevel(level)


def a_first_deployment(it: Rehearsed) -> None:
    it.deploy(sources=())
    assert it.walk() == "SUCCEEDED"


def a_clean_switch(it: Rehearsed) -> None:
    it.held_by(BLUE)
    it.deploy()
    assert it.walk() == "SUCCEEDED"


def a_switch_that_is_not_watched(it: Rehearsed) -> None:
    it.held_by(BLUE)
    it.deploy(queue=None, drainBy="time")
    assert it.walk() == "SUCCEEDED"


def a_switch_over_garbage(it: Rehearsed) -> None:
    it.service.history.put("consumers", 0.0)
    it.deploy()
    assert it.walk() == "SUCCEEDED"


def a_green_that_poisons_messages(it: Rehearsed) -> None:
    it.held_by(BLUE)
    it.deploy()
    while it.service.history.active != GREEN:
        assert it.call() == "IN_PROGRESS"
    it.service.messages.append(Message("poison", dead=True))
    assert it.walk() == "FAILED"


def a_green_that_stalls(it: Rehearsed) -> None:
    it.held_by(BLUE)
    it.deploy(stalledMinutes=1)
    while it.service.history.active != GREEN:
        assert it.call() == "IN_PROGRESS"
    minute = moment(it.service.now).replace(second=0, microsecond=0) + timedelta(minutes=1)
    it.metrics = [
        {"Id": "waiting", "Timestamps": [minute], "Values": [8.0]},
        {"Id": "deleted", "Timestamps": [minute], "Values": [0.0]},
    ]
    it.service.pass_time(180)
    assert it.walk() == "FAILED"


def a_blue_that_is_never_done(it: Rehearsed) -> None:
    it.held_by(BLUE)
    it.deploy()
    it.service.messages.append(Message("long", visible_at=9e9))
    assert it.walk() == "FAILED"


def a_blue_that_is_never_done_beside_green(it: Rehearsed) -> None:
    it.held_by(BLUE)
    it.deploy(onDrainTimeout="activate")
    it.service.messages.append(Message("long", visible_at=9e9))
    assert it.walk() == "SUCCEEDED"


def a_rollback_of_green(it: Rehearsed) -> None:
    it.held_by(GREEN)
    it.deploy()
    assert it.walk(0) == "SUCCEEDED"


def a_rollback_half_way(it: Rehearsed) -> None:
    it.held_by(BLUE)
    it.deploy()
    assert it.call() == "IN_PROGRESS"
    assert it.call(0) == "SUCCEEDED"


def a_rollback_that_finds_blue(it: Rehearsed) -> None:
    it.held_by(BLUE)
    it.deploy()
    assert [it.call(0), it.call(0)] == ["SUCCEEDED", "SUCCEEDED"]


def a_repair(it: Rehearsed) -> None:
    it.held_by("3000", since="2026-03-05T11:00:00Z", released="2026-03-05T10:59:30Z", deadLetters=4)
    it.deploy()
    assert it.walk(None, "PRE_SCALE_UP") == "SUCCEEDED"


def a_step(it: Rehearsed) -> None:
    it.held_by(BLUE)
    it.deploy()
    assert it.call(10) == "SUCCEEDED"


def a_green_that_is_only_observed(it: Rehearsed) -> None:
    it.held_by(BLUE)
    it.deploy(mode="observe")
    while it.service.history.active != GREEN:
        assert it.call() == "IN_PROGRESS"
    it.service.messages.append(Message("poison", dead=True))
    assert it.walk() == "SUCCEEDED"


RELEASE = ("wait", "for the leases of 1000 to run out")
IDLE = "0 messages of mail in flight"
WATCH = ("wait", f"and watch 2000, just activated: {IDLE}")
WELL = ("proceed", "2000 consumes: no complete minute yet, 0 dead letters")
DEAD = "2000: 1 dead letters since, at most 0 may be"
STALLED = "2000: 8 messages wait and none was deleted in 1 minutes"


@pytest.mark.parametrize(
    ("situation", "verdicts"),
    [
        (
            a_first_deployment,
            [("wait", "and watch 2000, just activated: nobody else was active since"), WELL],
        ),
        (a_clean_switch, [RELEASE, WATCH, WELL]),
        (a_switch_that_is_not_watched, [RELEASE, ("proceed", "2000 is active: it is given 30 s")]),
        (a_switch_over_garbage, [("wait", "for the leases of whoever was active to run out"), WATCH, WELL]),
        (
            a_green_that_poisons_messages,
            [RELEASE, WATCH, ("wait", f"for the leases of 2000 to run out ({DEAD})"), ("refuse", DEAD)],
        ),
        (
            a_green_that_stalls,
            [RELEASE, WATCH, ("wait", f"for the leases of 2000 to run out ({STALLED})"), ("refuse", STALLED)],
        ),
        (a_blue_that_is_never_done, [RELEASE, ("refuse", mock.ANY)]),
        (a_blue_that_is_never_done_beside_green, [RELEASE, ("wait", mock.ANY), WELL]),
        (
            a_rollback_of_green,
            [
                ("wait", "for the leases of 2000 to run out (the deployment is rolled back)"),
                ("proceed", "1000 is active; the deployment is rolled back"),
            ],
        ),
        (a_rollback_half_way, [RELEASE, ("proceed", "1000 is active; the deployment is rolled back")]),
        (
            a_rollback_that_finds_blue,
            [
                ("proceed", "1000 is active since epoch 7; the deployment is rolled back"),
                ("proceed", mock.ANY),
            ],
        ),
        (a_repair, [("wait", "for the leases of 3000 to run out"), ("proceed", "1000 is active")]),
        (a_step, [("proceed", "1000 is active since epoch 7")]),
        (a_green_that_is_only_observed, [RELEASE, WATCH, ("refuse", DEAD)]),
    ],
)
def test_every_record_of_a_decision_can_be_replayed(
    rehearsed: Rehearsed, situation: Callable[[Rehearsed], None], verdicts: list[tuple[str, str]]
) -> None:
    situation(rehearsed)

    assert rehearsed.verdicts() == verdicts
    for kept in rehearsed.records:
        from_the_file = json.loads(record.canonical(kept))
        assert record.canonical(handler.replay(from_the_file)) == record.canonical(kept["verdict"])


def test_a_record_that_was_tampered_with_says_something_else(rehearsed: Rehearsed) -> None:
    a_green_that_poisons_messages(rehearsed)
    kept = next(kept for kept in rehearsed.records if kept["inputs"]["seen"])
    kept["inputs"]["seen"]["dead_letters"] = 0

    assert handler.replay(kept)["answer"] == "wait"
    assert handler.replay(kept) != kept["verdict"]


def test_a_call_that_came_too_late_to_write_is_not_recorded_as_decided(rehearsed: Rehearsed) -> None:
    rehearsed.held_by(BLUE)
    deployment = rehearsed.deploy()
    service = rehearsed.service
    invocation = Invocation(event(deployment, "PRODUCTION_TRAFFIC_SHIFT", 100), "", service.now)
    aws = Aws(service, invocation, faults={"put_parameter": ["repeated"]})

    reply = aws.ask_the_hook(RECORD_BUCKET="evidence")

    assert (reply["hookStatus"], reply["callBackDelay"]) == ("IN_PROGRESS", 2)
    assert rehearsed.records == []
    # The first of the two writes holds, and the next call goes on from it.
    assert service.history.holding == service.history.versions[1]
    assert rehearsed.call() == "IN_PROGRESS"
    assert len(service.history.versions) == 3


def test_a_queue_outside_the_policy_s_list_is_refused_and_nothing_is_touched(rehearsed: Rehearsed) -> None:
    rehearsed.held_by(BLUE)
    deployment = rehearsed.deploy()
    before = rehearsed.service.history.versions
    invocation = Invocation(event(deployment, "PRODUCTION_TRAFFIC_SHIFT", 100), "", rehearsed.service.now)
    aws = Aws(rehearsed.service, invocation)

    reply = aws.ask_the_hook(RECORD_BUCKET="evidence", HOOK_POLICY='{"allowedQueues": ["orders-*", "mai?s"]}')

    assert reply == {"hookStatus": "FAILED"}
    assert rehearsed.verdicts() == [
        ("refuse", "queue: 'mail' is not among the policy's allowedQueues: orders-*, mai?s")
    ]
    assert rehearsed.service.history.versions == before
    assert invocation.tape == []
