import contextlib
import json
import logging
import math
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto.sns.models import sns_backends

from rehearsal.aws.cloud import ACCOUNT, Cloud
from rehearsal.model import Status
from shared import record
from shared.clock import timestamp
from shared.errors import Misconfigured, Transient, Untrusted
from shared.hook import EVIDENCE_SECONDS, RESERVE_SECONDS, Call, Hook, lifecycle_hook, logger
from shared.lifecycle import Direction, LifecycleEvent, Stage
from shared.response import STATE_KEY, Proceed, Refuse, Result, Wait
from shared.settings import Settings
from tests.shared.checkout import (
    BLUE,
    DEPLOYMENT,
    FORWARD_PRODUCTION,
    GREEN,
    POST_TEST,
    PRE_PRODUCTION,
    PRODUCTION,
    REGION,
    ROLLBACK_PRODUCTION,
    SERVICE,
    START,
    TEST_SHIFT,
    Context,
    assert_valid,
    deploy,
    event,
    split,
)
from tests.shared.conftest import Log

SUCCEEDED = {"hookStatus": "SUCCEEDED"}
FAILED = {"hookStatus": "FAILED"}
OF = f"{DEPLOYMENT.id}/{POST_TEST}/"
BUCKET = "decision-records"

# A budget of 50 ms, whatever is kept back.
SHORT = Context(int((RESERVE_SECONDS + EVIDENCE_SECONDS + 0.05) * 1000))


class Greeting(Settings):
    """Settings with one key of the hook's own."""

    voices: int = 1


Decide = Callable[[Call[Greeting, Greeting]], Result]


def greeting(
    decide: Decide,
    *,
    restore: Decide | None = None,
    stages: set[Stage] = frozenset(Stage),  # type: ignore[assignment]
    replay: Callable[[Mapping[str, Any]], Result] | None = None,
) -> Hook[Greeting, Greeting]:
    wear = lifecycle_hook(
        "greeting", stages=stages, settings=Greeting, policy=Greeting, restore=restore, replay=replay
    )
    return wear(decide)


def raising(error: BaseException) -> Decide:
    def decide(_call: Call[Greeting, Greeting]) -> Result:
        raise error

    return decide


def never(_call: Call[Greeting, Greeting]) -> Result:
    raise AssertionError("must not be called")


def says(result: Any) -> Decide:
    return lambda _call: result


def state(
    *, of: str = OF, since: datetime = START, troubles: Any = 0, data: Any = None, **other: Any
) -> dict[str, Any]:
    return {
        "version": 1,
        "of": of,
        "since": timestamp(since),
        "troubles": troubles,
        "data": data or {},
        **({"troubledSince": timestamp(START)} if troubles else {}),
        **other,
    }


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOOK_POLICY", "RECORD_BUCKET", "NOTIFICATION_TOPIC_ARN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


@pytest.fixture
def noon() -> Any:
    with time_machine.travel(START, tick=False) as travelled:
        yield travelled


# ---------------------------------------------------------------------------------- the way through


def test_a_handler_is_given_the_whole_call(noon: Any) -> None:
    seen: list[Call[Greeting, Greeting]] = []

    def decide(call: Call[Greeting, Greeting]) -> Result:
        seen.append(call)
        return Proceed("hello")

    details = {"voices": 3, STATE_KEY: state(data={"sung": 2})}
    assert greeting(decide)(event(details=details), Context()) == SUCCEEDED

    [call] = seen
    assert call.event == LifecycleEvent.parse(event(details=details))
    assert (call.settings, call.policy) == (Greeting(voices=3), Greeting())
    assert (call.state, call.now, call.deployment.arn) == ({"sung": 2}, START, DEPLOYMENT)


@pytest.mark.parametrize(
    ("result", "reply"),
    [
        (Proceed("yes"), SUCCEEDED),
        (Refuse("no"), FAILED),
        (
            Wait("soon", 7.2, {"sung": 3}),
            {
                "hookStatus": "IN_PROGRESS",
                "callBackDelay": 8,
                "hookDetails": {"voices": 2, STATE_KEY: state(data={"sung": 3})},
            },
        ),
    ],
)
def test_what_a_handler_returns_is_what_ecs_is_told(noon: Any, result: Result, reply: dict[str, Any]) -> None:
    assert greeting(says(result))(event(details={"voices": 2}), Context()) == reply


@pytest.mark.parametrize(
    ("error", "metric", "said"),
    [
        (Untrusted("not signed"), "Untrusted", "refused: not signed"),
        (Misconfigured("no topic"), "Misconfigured", "refused: no topic"),
        (KeyError("x"), None, "refused: a defect in the hook: KeyError: \"'x'\""),
        (RecursionError("deep"), None, "refused: a defect in the hook: RecursionError: 'deep'"),
        (SystemExit(0), None, "refused: a defect in the hook: SystemExit: '0'"),
    ],
)
def test_every_error_but_a_transient_one_refuses_and_says_why(
    log: Log, capsys: pytest.CaptureFixture[str], error: BaseException, metric: str | None, said: str
) -> None:
    assert greeting(raising(error))(event(), Context()) == FAILED

    assert said in log.messages("ERROR")
    assert counted(capsys) == [name for name in (metric, "Refused") if name]
    traces = [line for line in log.lines if "exception" in line]
    assert bool(traces) == (metric is None)


@pytest.mark.parametrize("result", [None, True, "SUCCEEDED", {"hookStatus": "SUCCEEDED"}, Proceed])
def test_what_is_no_result_never_passes_for_one(log: Log, result: object) -> None:
    assert greeting(says(result))(event(), Context()) == FAILED
    assert log.messages("ERROR")[-1].startswith("refused: a defect in the hook: TypeError: ")


def test_ctrl_c_still_stops_a_rehearsal() -> None:
    with pytest.raises(KeyboardInterrupt):
        greeting(raising(KeyboardInterrupt()))(event(), Context())


def counted(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the names of the metrics that were published, in order."""
    published = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    assert all(
        (found["hook"], found["service"]) == ("greeting", "ecs-lifecycle-hooks") for found in published
    )
    return [
        metric["Name"]
        for found in published
        for directive in found["_aws"]["CloudWatchMetrics"]
        for metric in directive["Metrics"]
    ]


@pytest.mark.parametrize(
    ("result", "names"),
    [(Proceed("yes"), ["Proceeded"]), (Refuse("no"), ["Refused"]), (Wait("soon", 5), [])],
)
def test_answers_are_counted(capsys: pytest.CaptureFixture[str], result: Result, names: list[str]) -> None:
    greeting(says(result))(event(), Context())

    assert counted(capsys) == names


def test_log_lines_carry_deployment_stage_and_direction_of_their_own_call(log: Log) -> None:
    hook = greeting(says(Proceed("hello")))
    hook(FORWARD_PRODUCTION, Context())
    hook({"not": "an event"}, Context())

    [first, _record, second] = log.lines
    keys = ("message", "correlation_id", "hook", "stage", "step", "direction")
    assert {key: first[key] for key in keys} == {
        "message": "proceeds: hello",
        "correlation_id": str(DEPLOYMENT),
        "hook": "greeting",
        "stage": PRODUCTION,
        "step": "100",
        "direction": "FORWARD_FINAL",
    }
    assert (second["message"], second["hook"]) == (
        "refused: executionDetails: expected an object, got None",
        "greeting",
    )
    assert not {"correlation_id", "stage", "step", "direction"} & set(second)


@pytest.mark.parametrize("also", [None, "exception"])
@pytest.mark.parametrize("error", [OSError("standard output is closed"), SystemExit(1)])
def test_not_even_a_log_that_fails_lets_an_error_out(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, also: str | None
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(logger, "clear_state", fail)
    if also and isinstance(error, Exception):
        monkeypatch.setattr(logger, also, fail)

    assert greeting(says(Proceed("hello")))(event(), Context()) == FAILED


# ---------------------------------------------------------------------------------- where it may act


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (
            event("PRE_BAKE"),
            "refused: lifecycleStage: 'PRE_BAKE' is unknown to this version of the hook",
        ),
        (
            event("POST_SCALE_UP"),
            "refused: greeting has no use at POST_SCALE_UP; attach it at one of: POST_TEST_TRAFFIC_SHIFT, "
            "PRODUCTION_TRAFFIC_SHIFT",
        ),
        (
            event(PRODUCTION, production=split(0, 50)),
            "refused: weights of PRODUCTION_TRAFFIC_SHIFT that are no shift: "
            f'{{"{GREEN}": 0.0, "{BLUE}": 50.0}}',
        ),
        (
            event(details={"voice": 1}),
            "refused: hookDetails: unknown key 'voice', did you mean 'voices'?",
        ),
        (FORWARD_PRODUCTION["executionDetails"], None),
        (None, None),
        ("{}", None),
        ([event()], None),
    ],
)
def test_a_call_that_makes_no_sense_is_refused_and_never_acted_on(
    log: Log, payload: Any, said: str | None
) -> None:
    hook = greeting(never, stages={Stage.POST_TEST_TRAFFIC_SHIFT, Stage.PRODUCTION_TRAFFIC_SHIFT})

    assert hook(payload, Context()) == FAILED
    assert len(log.messages("ERROR")) == 1
    assert said is None or log.messages("ERROR") == [said]


def test_a_policy_that_can_t_be_read_refuses(monkeypatch: pytest.MonkeyPatch, log: Log) -> None:
    monkeypatch.setenv("HOOK_POLICY", "{")

    assert greeting(never)(event(), Context()) == FAILED
    assert log.messages("ERROR") == ["refused: HOOK_POLICY: not JSON: '{'"]


def test_a_service_that_asks_for_less_than_the_policy_is_told(
    monkeypatch: pytest.MonkeyPatch, log: Log
) -> None:
    monkeypatch.setenv("HOOK_POLICY", '{"mode": "enforce", "onTrouble": "refuse"}')
    details = {"mode": "observe", "onTrouble": "proceed"}

    assert greeting(says(Refuse("no")))(event(details=details), Context()) == FAILED
    assert log.messages("WARNING") == ["the organisation's policy overrules hookDetails: mode, onTrouble"]


# ---------------------------------------------------------------------------------- rollbacks


def test_a_rollback_restores_and_does_not_decide() -> None:
    assert (
        greeting(never, restore=says(Proceed("traffic is back")))(ROLLBACK_PRODUCTION, Context()) == SUCCEEDED
    )


def test_a_hook_that_changes_nothing_has_nothing_to_restore(log: Log) -> None:
    assert greeting(never)(ROLLBACK_PRODUCTION, Context()) == SUCCEEDED
    assert log.messages("INFO")[0] == "proceeds: rollback: this hook has changed nothing"


@pytest.mark.parametrize("stages", [{Stage.POST_TEST_TRAFFIC_SHIFT}, {Stage.PRODUCTION_TRAFFIC_SHIFT}])
@pytest.mark.parametrize(
    ("restore", "details"),
    [
        (says(Refuse("can't")), {}),
        (says(None), {}),
        (raising(Untrusted("no")), {}),
        (raising(Misconfigured("no")), {}),
        (raising(ZeroDivisionError()), {}),
        (raising(SystemExit(1)), {}),
        (never, {"no": "such key"}),
        (never, {"voices": "many"}),
        (says(Refuse("can't")), {"mode": "observe"}),
    ],
)
def test_a_rollback_is_never_refused(restore: Decide, details: dict[str, Any], stages: set[Stage]) -> None:
    payload = {**ROLLBACK_PRODUCTION, "hookDetails": details}

    assert greeting(never, restore=restore, stages=stages)(payload, Context()) == SUCCEEDED


def test_a_rollback_under_a_broken_policy_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_POLICY", "[]")

    assert greeting(never)(ROLLBACK_PRODUCTION, Context()) == SUCCEEDED


@pytest.mark.parametrize("details", [{"no": "such key"}, {"voices": "many"}])
@pytest.mark.parametrize("policy", ["", "[]"])
def test_a_rollback_restores_by_the_defaults_where_settings_can_t_be_read(
    monkeypatch: pytest.MonkeyPatch, log: Log, details: dict[str, Any], policy: str
) -> None:
    restored: list[Greeting] = []

    def restore(call: Call[Greeting, Greeting]) -> Result:
        restored.append(call.settings)
        return Proceed("restored")

    monkeypatch.setenv("HOOK_POLICY", policy)
    greeting(never, restore=restore)({**ROLLBACK_PRODUCTION, "hookDetails": details}, Context())

    assert restored == [Greeting()]
    [complaint] = log.messages("ERROR")
    assert complaint.startswith("rolls back by the defaults: ")


@pytest.mark.parametrize("since", ["0001-01-01T00:00:00+23:59", "2999-01-01T00:00:00Z", 7, None])
def test_a_rollback_with_forged_state_is_not_refused(since: object) -> None:
    of = f"{DEPLOYMENT.id}/{PRODUCTION}/0/rollback"
    payload = {**ROLLBACK_PRODUCTION, "hookDetails": {STATE_KEY: {**state(of=of), "since": since}}}

    assert greeting(never)(payload, Context()) == SUCCEEDED


def test_a_rollback_may_wait_but_not_for_long(noon: Any) -> None:
    hook = greeting(never, restore=raising(Transient("throttled")))
    waited, replies = follow(hook, ROLLBACK_PRODUCTION, noon)

    assert replies[-1] == SUCCEEDED
    assert timedelta(minutes=15) <= waited <= timedelta(minutes=18)


@pytest.mark.parametrize("stage", [TEST_SHIFT, PRODUCTION])
def test_a_rollback_has_its_own_patience_and_state(noon: Any, stage: str) -> None:
    # Whether a rollback call is shown what the forward call left is not documented.
    key = "test" if stage == TEST_SHIFT else "production"
    forward: dict[str, Any] = {key: split(100, 0)}
    back: dict[str, Any] = {key: split(0, 100)}
    seen: list[Any] = []

    def restore(call: Call[Greeting, Greeting]) -> Result:
        seen.append(call.state)
        raise Transient("throttled")

    hook = greeting(says(Wait("for it", 30, {"mine": 1})), restore=restore)
    left = hook(event(stage, **forward), Context())["hookDetails"]
    noon.shift(timedelta(hours=2))

    assert hook(event(stage, **back, details=left), Context())["hookStatus"] == "IN_PROGRESS"
    assert seen == [{}]


@pytest.mark.parametrize(
    ("status", "reply"),
    [
        (Status.IN_PROGRESS, FAILED),
        (Status.ROLLBACK_IN_PROGRESS, SUCCEEDED),
        (Status.ROLLBACK_REQUESTED, SUCCEEDED),
    ],
)
def test_without_weights_the_deployment_itself_tells_a_rollback(
    cloud: Cloud, status: Status, reply: dict[str, Any]
) -> None:
    deploy(cloud, status=status)
    hook = greeting(says(Refuse("decided")), restore=says(Proceed("restored")))

    with cloud.acting_as("hook"):
        assert hook(event(PRODUCTION), Context()) == reply


def test_without_weights_a_rollback_s_state_is_not_the_forward_call_s(cloud: Cloud, noon: Any) -> None:
    deployment = deploy(cloud)
    hook = greeting(says(Wait("for it", 30, {"mine": 1})), restore=raising(Transient("throttled")))

    with cloud.acting_as("hook"):
        left = hook(event(PRODUCTION), Context())["hookDetails"]
        deployment.status = Status.ROLLBACK_IN_PROGRESS
        noon.shift(timedelta(hours=2))
        reply = hook(event(PRODUCTION, details=left), Context())

    assert reply["hookStatus"] == "IN_PROGRESS"
    assert reply["hookDetails"][STATE_KEY] == state(
        of=f"{DEPLOYMENT.id}/{PRODUCTION}//rollback",
        since=START + timedelta(hours=2),
        troubles=1,
        troubledSince=timestamp(START + timedelta(hours=2)),
    )


def test_ecs_failing_to_tell_the_direction_is_waited_out(cloud: Cloud) -> None:
    cloud.faults.add(action="ecs:*", error="ThrottlingException")

    with cloud.acting_as("hook"):
        assert greeting(never)(event(PRODUCTION), Context())["hookStatus"] == "IN_PROGRESS"


# ---------------------------------------------------------------------------------- trouble


def follow(
    hook: Hook[Greeting, Greeting],
    payload: dict[str, Any],
    travelled: Any,
    *,
    merge: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]] = lambda old, new: {**old, **new},
    most: int = 2000,
) -> tuple[timedelta, list[dict[str, Any]]]:
    """Poll as ECS does until the answer is final; return how long that took and all replies."""
    details = payload.get("hookDetails") or {}
    replies: list[dict[str, Any]] = []
    waited = timedelta()
    for _ in range(most):
        reply = hook({**payload, "hookDetails": details}, Context())
        assert_valid(reply)
        replies.append(reply)
        if reply["hookStatus"] != "IN_PROGRESS":
            break
        waited += timedelta(seconds=reply["callBackDelay"])
        travelled.shift(timedelta(seconds=reply["callBackDelay"]))
        details = merge(details, reply["hookDetails"])
    return waited, replies


MERGES = [
    pytest.param(lambda old, new: {**old, **new}, id="merge"),
    pytest.param(lambda _old, new: new, id="replace"),
]


@pytest.mark.parametrize("merge", MERGES)
def test_trouble_is_met_with_growing_delays(noon: Any, merge: Any) -> None:
    hook = greeting(raising(Transient("throttled")))
    _, replies = follow(hook, event(details={"voices": 2}), noon, merge=merge, most=7)

    spread = replies[4]["callBackDelay"] / 120
    assert 0.75 <= spread <= 1.26
    for reply, delay in zip(replies, (10, 20, 40, 80, 120, 120, 120), strict=True):
        assert abs(reply["callBackDelay"] - delay * spread) <= 1
    assert replies[2]["hookDetails"] == {"voices": 2, STATE_KEY: state(troubles=3)}


def test_deployments_that_fail_together_come_back_apart(noon: Any) -> None:
    hook = greeting(raising(Transient("throttled")))
    delays = []
    for number in range(500):
        arn = str(DEPLOYMENT) + str(number)
        payload = {**event(), "resourceArn": arn}
        payload["hookDetails"] = {STATE_KEY: state(of=f"{DEPLOYMENT.id}{number}/{POST_TEST}/", troubles=9)}
        delays.append(hook(payload, Context())["callBackDelay"])

    assert (min(delays), max(delays)) == (90, 150)
    assert max(delays.count(delay) for delay in delays) < 25


def test_trouble_that_is_over_is_forgotten(noon: Any) -> None:
    troubled = greeting(raising(Transient("throttled")))
    _, replies = follow(troubled, event(), noon, most=5)
    well = greeting(says(Wait("soon", 30)))(event(details=replies[-1]["hookDetails"]), Context())

    assert well["hookDetails"][STATE_KEY] == state(troubles=0)
    assert troubled(event(details=well["hookDetails"]), Context())["callBackDelay"] <= 13


def test_trouble_after_a_long_wait_is_given_its_own_time(noon: Any) -> None:
    details = {"giveUpAfterMinutes": 10}
    troubled = greeting(raising(Transient("throttled")))
    waiting = greeting(says(Wait("soon", 30)))(event(details=details), Context())
    noon.shift(timedelta(hours=3))
    first = troubled(event(details=waiting["hookDetails"]), Context())
    noon.shift(timedelta(minutes=10))

    assert first["hookStatus"] == "IN_PROGRESS"
    assert troubled(event(details=first["hookDetails"]), Context()) == FAILED


def test_trouble_is_given_up_before_ecs_ends_the_stage(noon: Any) -> None:
    waiting = greeting(says(Wait("soon", 30)))(event(), Context())
    noon.shift(timedelta(hours=23))

    assert (
        greeting(raising(Transient("throttled")))(event(details=waiting["hookDetails"]), Context()) == FAILED
    )


def test_what_the_handler_left_survives_trouble(noon: Any) -> None:
    details = {STATE_KEY: state(data={"sung": 2})}
    reply = greeting(raising(Transient("throttled")))(event(details=details), Context())

    assert reply["hookDetails"] == {STATE_KEY: state(troubles=1, data={"sung": 2})}


@pytest.mark.parametrize("merge", MERGES)
@pytest.mark.parametrize(
    ("details", "policy", "minutes", "reply"),
    [
        ({}, "", 1380, FAILED),
        ({"giveUpAfterMinutes": 30}, "", 30, FAILED),
        ({"giveUpAfterMinutes": 30, "onTrouble": "proceed"}, "", 30, SUCCEEDED),
        ({"onTrouble": "proceed"}, '{"onTrouble": "refuse", "giveUpAfterMinutes": 60}', 60, FAILED),
        ({"giveUpAfterMinutes": 30, "mode": "observe"}, "", 30, SUCCEEDED),
    ],
)
def test_trouble_that_does_not_end_is_given_up_before_ecs_does(
    noon: Any,
    monkeypatch: pytest.MonkeyPatch,
    log: Log,
    merge: Any,
    details: dict[str, Any],
    policy: str,
    minutes: int,
    reply: dict[str, Any],
) -> None:
    monkeypatch.setenv("HOOK_POLICY", policy)
    waited, replies = follow(
        greeting(raising(Transient("throttled"))), event(details=details), noon, merge=merge
    )

    assert replies[-1] == reply
    assert timedelta(minutes=minutes) <= waited <= timedelta(minutes=minutes, seconds=150)
    assert ("fails open, because onTrouble says so" in log.messages("WARNING")) == (
        details.get("onTrouble") == "proceed" and not policy
    )


def test_lost_state_costs_patience_and_nothing_else(noon: Any) -> None:
    _, replies = follow(
        greeting(raising(Transient("throttled"))),
        event(details={"voices": 2}),
        noon,
        merge=lambda old, _: old,
        most=20,
    )

    assert {reply["callBackDelay"] for reply in replies} == {replies[0]["callBackDelay"]}
    assert {reply["hookStatus"] for reply in replies} == {"IN_PROGRESS"}


FORGED: list[Any] = [
    state(of=f"another-one/{POST_TEST}/"),
    state(of=f"{DEPLOYMENT.id}/{PRE_PRODUCTION}/"),
    state(of=f"{DEPLOYMENT.id}/{POST_TEST}/10"),
    state(of=f"{OF}/rollback"),
    state(since=START + timedelta(seconds=1)),
    state(version=2),
    state(version="1"),
    {**state(), "since": "yesterday"},
    {**state(), "since": "0001-01-01T00:00:00+23:59"},
    {**state(), "since": None},
    state(troubles=-1),
    state(troubles=True),
    state(troubles="3"),
    state(troubles=1e300),
    state(troubles=10**400),
    state(troubles=None),
    state(data=["sung"]),
    state(data="sung"),
    {},
    [],
    "state",
    7,
    None,
]


@pytest.mark.parametrize("forged", FORGED, ids=lambda forged: repr(forged)[:60])
def test_foreign_and_garbled_state_is_as_good_as_none(noon: Any, forged: Any) -> None:
    if isinstance(forged, dict) and forged.get("data") == {}:
        forged["data"] = {"sung": 99}
    seen: list[Any] = []

    def decide(call: Call[Greeting, Greeting]) -> Result:
        seen.append(call.state)
        return Wait("soon", 30)

    reply = greeting(decide)(event(details={STATE_KEY: forged, "voices": 2}), Context())

    assert seen == [{}]
    assert reply["hookDetails"] == {"voices": 2, STATE_KEY: state()}


def test_a_call_knows_when_the_first_of_its_step_came(noon: Any) -> None:
    seen: list[datetime] = []

    def decide(call: Call[Greeting, Greeting]) -> Result:
        seen.append(call.since)
        return Wait("for it", 30)

    hook, details = greeting(decide), {}
    for step in (split(5, 95), split(5, 95), split(100, 0)):
        details = hook(event(PRODUCTION, production=step, details=details), Context())["hookDetails"]
        noon.shift(timedelta(minutes=2))

    assert seen == [START, START, START + timedelta(minutes=4)]


LEFT = {"sung": 2}


@pytest.mark.parametrize(
    ("left", "production", "own", "earlier"),
    [
        (state(of=f"{DEPLOYMENT.id}/{PRODUCTION}/5", data=LEFT), split(5, 95), LEFT, {}),
        (state(of=f"{DEPLOYMENT.id}/{PRODUCTION}/5", data=LEFT), split(100, 0), {}, LEFT),
        (state(of=f"{DEPLOYMENT.id}/{PRODUCTION}/5", data=LEFT), split(0, 100), {}, {}),
        (state(of=f"{DEPLOYMENT.id}/{PRODUCTION}/0/rollback", data=LEFT), split(100, 0), {}, {}),
        (state(of=f"{DEPLOYMENT.id}/{PRE_PRODUCTION}/5", data=LEFT), split(100, 0), {}, {}),
        (state(of=f"another-one/{PRODUCTION}/5", data=LEFT), split(100, 0), {}, {}),
        (state(of=f"{DEPLOYMENT.id}/{PRODUCTION}", data=LEFT), split(100, 0), {}, {}),
        (state(of=f"{DEPLOYMENT.id}/{PRODUCTION}/5", data=["sung"]), split(100, 0), {}, {}),
        (state(of=f"{DEPLOYMENT.id}/{PRODUCTION}/5", data=LEFT, version=2), split(100, 0), {}, {}),
    ],
    ids=[
        "this step's",
        "an earlier step's",
        "a rollback sees neither",
        "a rollback's",
        "another stage's",
        "another deployment's",
        "no step's",
        "garbled",
        "of another version",
    ],
)
def test_what_an_earlier_step_left_is_told_apart_from_what_this_one_did(
    noon: Any, left: Any, production: dict[str, float], own: Any, earlier: Any
) -> None:
    seen: list[tuple[Any, Any, datetime]] = []

    def decide(call: Call[Greeting, Greeting]) -> Result:
        seen.append((call.state, call.earlier, call.since))
        return Proceed("heard")

    noon.shift(timedelta(minutes=5))
    payload = event(PRODUCTION, production=production, details={STATE_KEY: left})
    assert greeting(decide, restore=decide)(payload, Context()) == SUCCEEDED
    # When an earlier step began says nothing of when this one did.
    assert seen == [(own, earlier, START if own else START + timedelta(minutes=5))]


def test_what_an_earlier_step_left_is_there_for_one_call(noon: Any) -> None:
    seen: list[tuple[Any, Any]] = []

    def decide(call: Call[Greeting, Greeting]) -> Result:
        seen.append((call.state, call.earlier))
        return Wait("for it", 30, {"sung": len(seen)})

    hook, details = greeting(decide), {}
    for production in (split(5, 95), split(100, 0), split(100, 0)):
        reply = hook(event(PRODUCTION, production=production, details=details), Context())
        details = reply["hookDetails"]

    assert seen == [({}, {}), ({}, {"sung": 1}), ({"sung": 2}, {})]


def test_counts_that_came_back_as_floats_still_count(noon: Any) -> None:
    details = {STATE_KEY: state(troubles=3.0, data={"sung": 2.0})}
    reply = greeting(raising(Transient("throttled")))(event(details=details), Context())

    assert reply["hookDetails"] == {STATE_KEY: state(troubles=4, data={"sung": 2.0})}


@pytest.mark.parametrize("spell", [lambda details: details, json.dumps], ids=["object", "string"])
def test_all_of_hook_details_is_echoed_however_it_was_spelled(noon: Any, spell: Any) -> None:
    details = {"voices": 2, STATE_KEY: state(data={"old": 1})}
    reply = greeting(says(Wait("soon", 30, {"new": 1})))(event(details=spell(details)), Context())

    assert reply["hookDetails"] == {"voices": 2, STATE_KEY: state(data={"new": 1})}


# ---------------------------------------------------------------------------------- time budget


@pytest.fixture
def untraced() -> Iterator[None]:
    """Keep coverage out: it locks without a `with`, and an alarm that rings in there leaves it locked."""
    tracer = sys.gettrace()
    sys.settrace(None)
    yield
    sys.settrace(tracer)


def busy() -> None:
    while True:
        pass


def blocked() -> None:
    near, far = socket.socketpair()
    with near, far:
        near.recv(1)


def retrying() -> None:
    while True:
        try:
            blocked()
        except Exception:  # noqa: BLE001  # as a retry loop does
            continue


def cleaning_up() -> None:
    try:
        busy()
    finally:
        sum(range(1000))


def losing_the_alarm() -> None:
    with contextlib.suppress(BaseException):  # as Python does in a finalizer
        busy()
    blocked()


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("hang", [busy, blocked, retrying, cleaning_up, losing_the_alarm])
def test_a_handler_that_hangs_is_interrupted_in_time_and_asked_again(noon: Any, log: Log, hang: Any) -> None:
    before = signal.getsignal(signal.SIGALRM)

    def decide(_call: Call[Greeting, Greeting]) -> Result:
        hang()
        return Proceed("never said")

    reply = greeting(decide)(event(), SHORT)

    assert reply["hookStatus"] == "IN_PROGRESS"
    assert reply["hookDetails"] == {STATE_KEY: state(troubles=1)}
    assert log.messages("INFO") == [f"waits {reply['callBackDelay']} s: out of time in this invocation"] or (
        log.messages("INFO")[0].endswith(" s: out of time in this invocation")
    )
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.parametrize("milliseconds", [-1000, 0, 1, 999, 1000, 5000])
def test_with_no_time_left_nothing_is_begun(milliseconds: int) -> None:
    assert greeting(never)(event(), Context(milliseconds))["hookStatus"] == "IN_PROGRESS"


@pytest.mark.usefixtures("untraced")
def test_a_rollback_that_hangs_is_asked_again_and_then_let_go(noon: Any) -> None:
    hook = greeting(never, restore=lambda _call: busy() or Proceed(""))  # type: ignore[func-returns-value]
    of = f"{DEPLOYMENT.id}/{PRODUCTION}/0/rollback"

    assert hook(ROLLBACK_PRODUCTION, SHORT)["hookStatus"] == "IN_PROGRESS"
    earlier = START - timedelta(minutes=16)
    late = {STATE_KEY: state(of=of, since=earlier, troubles=3, troubledSince=timestamp(earlier))}
    assert hook({**ROLLBACK_PRODUCTION, "hookDetails": late}, SHORT) == SUCCEEDED


@pytest.mark.usefixtures("untraced")
def test_an_alarm_that_rings_at_any_moment_leaves_a_valid_reply() -> None:
    rounds = iter(range(10_000))

    def decide(_call: Call[Greeting, Greeting]) -> Result:
        for _ in range(next(rounds) % 100 * 40):
            pass
        return Refuse("decided")

    hook = greeting(decide)
    just = Context(int((RESERVE_SECONDS + EVIDENCE_SECONDS) * 1000) + 1)
    replies = [hook(event(), just) for _ in range(300)]

    for reply in replies:
        assert_valid(reply)
        assert reply["hookStatus"] != "SUCCEEDED"
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_outside_the_main_thread_a_hook_works_without_alarm() -> None:
    replies: list[Any] = []
    hook = greeting(says(Proceed("hello")))
    thread = threading.Thread(target=lambda: replies.append(hook(event(), Context())))
    thread.start()
    thread.join()

    assert replies == [SUCCEEDED]


# ---------------------------------------------------------------------------------- observe mode


def test_an_observed_refusal_proceeds_and_says_what_it_would_have_done(
    noon: Any, log: Log, capsys: pytest.CaptureFixture[str]
) -> None:
    hook = greeting(says(Refuse("too slow")))

    assert hook(event(details={"mode": "observe"}), Context()) == SUCCEEDED
    assert log.messages("WARNING") == ["proceeds: observe mode: would have refused: too slow"]
    assert counted(capsys) == ["WouldHaveRefused"]
    [kept] = log.records
    assert (kept["verdict"], kept["wouldRefuse"], kept["reply"]) == (
        {"answer": "refuse", "reason": "too slow"},
        True,
        "SUCCEEDED",
    )


@pytest.mark.parametrize("error", [Untrusted("no"), Misconfigured("no"), KeyError("no")])
def test_an_observed_hook_never_refuses(error: Exception) -> None:
    assert greeting(raising(error))(event(details={"mode": "observe"}), Context()) == SUCCEEDED


def test_settings_that_can_t_be_read_can_t_ask_to_be_observed() -> None:
    assert greeting(never)(event(details={"mode": "observe", "no": "such key"}), Context()) == FAILED


# ---------------------------------------------------------------------------------- evidence


def decided(call: Call[Greeting, Greeting]) -> Result:
    call.evidence.inputs = {"voices": call.settings.voices, "seen": [1, 2.5]}
    call.evidence.changes.append("sang")
    call.evidence.blue = str(BLUE)
    return Refuse("out of tune")


RECORD = {
    "schema": 1,
    "hook": "greeting",
    "at": "2026-03-05T12:00:00Z",
    "deployment": str(DEPLOYMENT),
    "service": str(SERVICE),
    "stage": PRE_PRODUCTION,
    "step": "12.5",
    "direction": "FORWARD",
    "revisions": {"green": str(GREEN), "blue": str(BLUE)},
    "settings": {"mode": "enforce", "giveUpAfterMinutes": 1380, "onTrouble": "refuse", "voices": 2},
    "settingsDigest": record.digest(
        {"mode": "enforce", "giveUpAfterMinutes": 1380, "onTrouble": "refuse", "voices": 2}
    ),
    "inputs": {"voices": 2, "seen": [1, 2.5]},
    "changes": ["sang"],
    "verdict": {"answer": "refuse", "reason": "out of tune"},
    "wouldRefuse": False,
    "reply": "FAILED",
    "next": "ECS rolls the deployment back",
}
STEP = event(PRE_PRODUCTION, production=split(12.5, 87.5), details={"voices": 2})


def test_a_decision_is_recorded_whole(noon: Any, log: Log) -> None:
    assert greeting(decided)(STEP, Context()) == FAILED
    assert log.records == [RECORD]


def test_an_unreadable_setting_is_recorded_with_what_is_known(noon: Any, log: Log) -> None:
    greeting(never)(event(details={"voice": 1}), Context())

    [kept] = log.records
    assert kept == {
        **RECORD,
        "stage": POST_TEST,
        "step": "",
        "revisions": {"green": str(GREEN), "blue": None},
        "settings": None,
        "settingsDigest": record.digest(None),
        "inputs": {},
        "changes": [],
        "verdict": {
            "answer": "refuse",
            "reason": "hookDetails: unknown key 'voice', did you mean 'voices'?",
        },
    }


def test_a_poll_is_recorded_only_when_it_changed_something(log: Log) -> None:
    def decide(call: Call[Greeting, Greeting]) -> Result:
        call.evidence.changes += ["sang"] * (call.settings.voices - 1)
        return Wait("for applause", 30)

    hook = greeting(decide)
    hook(event(details={"voices": 1}), Context())
    hook(event(details={"voices": 2}), Context())

    [kept] = log.records
    assert (kept["changes"], kept["verdict"], kept["next"]) == (
        ["sang"],
        {"answer": "wait", "reason": "for applause", "afterSeconds": 30},
        "ECS asks again after the delay",
    )


def test_a_record_has_charts_where_the_hook_drew_some(log: Log) -> None:
    chart = {"title": "pitch", "unit": "Hz", "series": [], "thresholds": []}

    def decide(call: Call[Greeting, Greeting]) -> Result:
        call.evidence.charts.append(chart)
        return Proceed("in tune")

    greeting(decide)(event(), Context())

    assert [kept["charts"] for kept in log.records] == [[chart]]


def test_inputs_that_did_not_lead_to_the_answer_are_not_recorded(log: Log) -> None:
    def decide(call: Call[Greeting, Greeting]) -> Result:
        decided(call)
        raise Transient("throttled")

    greeting(decide)(event(), Context())

    assert [kept["inputs"] for kept in log.records] == [{}]


@dataclass
class Outside:
    """The bucket and the topic."""

    cloud: Cloud
    topic: str
    objects: Any = field(init=False)

    @property
    def kept(self) -> list[tuple[str, Any]]:
        s3 = self.cloud.client("s3", user="admin")
        found = s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return [
            (one["Key"], json.loads(s3.get_object(Bucket=BUCKET, Key=one["Key"])["Body"].read()))
            for one in found
        ]

    @property
    def mails(self) -> list[tuple[str, str]]:
        sent = sns_backends[ACCOUNT][REGION].topics[self.topic].sent_notifications
        return [(subject, message) for _, message, subject, *_ in sent]


@pytest.fixture
def outside(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Any:
    cloud.client("s3", user="admin").create_bucket(Bucket=BUCKET)
    topic = cloud.client("sns", user="admin").create_topic(Name="people")["TopicArn"]
    monkeypatch.setenv("RECORD_BUCKET", BUCKET)
    monkeypatch.setenv("NOTIFICATION_TOPIC_ARN", topic)
    with cloud.acting_as("hook"):
        yield Outside(cloud, topic)


MAIL = (
    "Refused: checkout in shop (greeting)",
    f"greeting refused deployment {DEPLOYMENT.id} of checkout in shop at {PRE_PRODUCTION}: out of tune\n\n"
    "ECS rolls the deployment back.\n",
)


def test_a_refusal_is_kept_in_the_bucket_and_told_to_people(noon: Any, outside: Outside) -> None:
    assert greeting(decided)(STEP, Context()) == FAILED

    assert outside.kept == [(record.object_key(RECORD), RECORD)]
    assert outside.mails == [MAIL]


@pytest.mark.parametrize("details", [{}, {"mode": "observe"}])
def test_people_are_told_of_refusals_only(outside: Outside, details: dict[str, Any]) -> None:
    decide = says(Refuse("no") if details else Proceed("yes"))
    greeting(decide)(event(details=details), Context())

    assert len(outside.kept) == 1
    assert outside.mails == []


def hangs(_call: object, _who: str) -> Exception | None:
    busy()
    return None


class Shrinking(Context):
    """A context whose time runs out while evidence is kept."""

    def get_remaining_time_in_millis(self) -> int:
        self.milliseconds, left = int(RESERVE_SECONDS * 1000) + 50, self.milliseconds
        return left


@pytest.mark.parametrize("decide", [decided, says(Proceed("yes"))])
@pytest.mark.parametrize(
    "fault",
    [
        {"action": "s3:*", "error": "AccessDenied", "status": 403},
        {"action": "s3:*", "error": "SlowDown", "status": 503},
        {"action": "sns:*", "error": "AuthorizationError", "status": 403},
        {"action": "sns:*", "error": "Throttling"},
        {"action": "*", "error": "InternalServerError", "status": 500},
        {"action": "s3:*", "make": hangs},
        {"action": "sns:*", "make": hangs},
    ],
    ids=lambda fault: f"{fault['action']} {fault.get('error', 'hangs')}",
)
def test_lost_evidence_never_changes_the_answer(
    outside: Outside, decide: Decide, fault: dict[str, Any]
) -> None:
    outside.cloud.faults.add(**fault)

    assert greeting(decide)(STEP, Shrinking()) == (FAILED if decide is decided else SUCCEEDED)


def test_lost_evidence_is_said_and_counted(
    noon: Any, outside: Outside, log: Log, capsys: pytest.CaptureFixture[str]
) -> None:
    outside.cloud.faults.add(action="s3:PutObject", error="AccessDenied", status=403)
    greeting(decided)(STEP, Context())

    assert log.messages("ERROR") == [
        "refused: out of tune",
        "keeping the decision record failed: the function's role may not s3:PutObject on "
        f"{BUCKET}/{record.object_key(RECORD)}; add it to the role's policy",
    ]
    assert counted(capsys) == ["Refused", "EvidenceLost"]
    assert outside.mails == [MAIL]


@pytest.mark.parametrize(
    "reason", ["a half \ud800 of a pair", "x" * 300_000, "two\nlines\0"], ids=["half", "long", "lines"]
)
def test_no_reason_is_too_strange_for_the_answer(
    outside: Outside, log: Log, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    # Half a pair can't be handed from one of pytest's processes to another, as what a test has logged is.
    monkeypatch.setattr(logging.getLogger("ecs-lifecycle-hooks"), "propagate", False)
    assert greeting(says(Proceed(reason)))(event(), Context()) == SUCCEEDED
    assert greeting(says(Refuse(reason)))(event(), Context()) == FAILED


def test_inputs_that_are_no_json_cost_the_record_and_not_the_answer(outside: Outside, log: Log) -> None:
    def decide(call: Call[Greeting, Greeting]) -> Result:
        call.evidence.inputs = {"seen": object()}
        return Proceed("yes")

    assert greeting(decide)(event(), Context()) == SUCCEEDED
    assert outside.kept == []


# ---------------------------------------------------------------------------------- replay


def test_a_verdict_is_computed_again_from_its_record() -> None:
    hook = greeting(decided, replay=lambda inputs: Refuse(f"heard {inputs['voices']}"))

    assert hook.replay(RECORD) == {"answer": "refuse", "reason": "heard 2"}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"hook": "load_test"}, "not a greeting record of schema 1"),
        ({"schema": 2}, "not a greeting record of schema 1"),
        ({"inputs": {}}, "the verdict was not computed from inputs; its reason says why"),
    ],
)
def test_what_can_t_be_replayed_says_why(change: dict[str, Any], text: str) -> None:
    hook = greeting(decided, replay=lambda _: Refuse(""))

    with pytest.raises(Misconfigured) as caught:
        hook.replay({**RECORD, **change})
    assert str(caught.value) == text


# ---------------------------------------------------------------------------------- whatever comes


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
WEIGHTS = st.dictionaries(
    st.sampled_from([str(GREEN), str(BLUE), str(BLUE)[:-1], "green"]),
    st.sampled_from([0, 100, 0.0, 100.0, 99.99999999999999, 50, -1, "100", True, None]) | st.floats(0, 100),
    max_size=3,
)
STATE = st.fixed_dictionaries(
    {},
    optional={
        "version": st.sampled_from([1, 1.0, 2, "1"]),
        "of": st.sampled_from([OF, f"{DEPLOYMENT.id}/{PRODUCTION}/100", ""]) | st.text(),
        "since": st.sampled_from([timestamp(START), "0001-01-01T00:00:00+23:59"]) | JSON,
        "troubles": JSON,
        "data": st.dictionaries(st.text(max_size=4), JSON, max_size=2) | JSON,
    },
)
DETAILS = st.fixed_dictionaries(
    {},
    optional={
        "mode": st.sampled_from(["enforce", "observe", "OBSERVE", None]),
        "voices": st.integers() | st.text(max_size=3),
        "onTrouble": st.sampled_from(["refuse", "proceed"]),
        "giveUpAfterMinutes": st.integers(-1, 2000),
        STATE_KEY: STATE | JSON,
        "else": JSON,
    },
)


@st.composite
def events(draw: st.DrawFn) -> Any:
    """Lifecycle events, most of them with something wrong."""
    made = event(
        draw(st.sampled_from([*Stage, *Stage, "PRE_BAKE", "", "production_traffic_shift"])),
        test=draw(WEIGHTS),
        production=draw(WEIGHTS),
    )
    made["hookDetails"] = draw(DETAILS | DETAILS.map(json.dumps) | JSON)
    if draw(st.integers(0, 4)) == 0:
        made[draw(st.sampled_from(sorted(made)))] = draw(JSON)
    if (
        draw(st.integers(0, 4)) == 0
        and isinstance(made["executionDetails"], dict)
        and made["executionDetails"]
    ):
        made["executionDetails"][draw(st.sampled_from(sorted(made["executionDetails"])))] = draw(JSON)
    return made


@pytest.fixture(scope="module")
def standing_cloud() -> Any:
    with Cloud(region=REGION) as cloud, cloud.acting_as("hook"):
        deploy(cloud)
        yield cloud


RESULTS = (
    st.sampled_from([Proceed("p"), Refuse("r"), Wait("w", 30, {"a": 1}), None, "SUCCEEDED"])
    | st.builds(
        Wait, st.text(), st.floats(), st.dictionaries(st.text(st.characters(codec="utf-8")), st.integers())
    )
    | st.sampled_from([Transient("t"), Misconfigured("m"), Untrusted("u"), KeyError("k"), SystemExit(2)])
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(payload=events() | JSON)
def test_a_hook_that_always_refuses_lets_nothing_pass_but_rollbacks_and_what_is_observed(
    standing_cloud: Cloud, payload: Any
) -> None:
    reply = greeting(says(Refuse("always")))(payload, Context())

    assert_valid(reply)
    try:
        parsed = LifecycleEvent.parse(payload)
    except Misconfigured:
        assert reply == FAILED
        return
    if parsed.direction is Direction.ROLLBACK:
        assert reply == SUCCEEDED
    elif parsed.hook_details.get("mode") == "observe":
        assert reply in (SUCCEEDED, FAILED)
    else:
        assert reply == FAILED


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(payload=events(), result=RESULTS, milliseconds=st.sampled_from([0, 900, 60_000]))
def test_whatever_comes_and_whatever_the_handler_does_the_reply_is_valid(
    standing_cloud: Cloud, payload: Any, result: Any, milliseconds: int
) -> None:
    decide = raising(result) if isinstance(result, BaseException) else says(result)

    assert_valid(greeting(decide, restore=decide)(payload, Context(milliseconds)))


def test_the_least_delay_is_a_second() -> None:
    reply = greeting(says(Wait("at once", -math.inf)))(event(), Context())

    assert reply["callBackDelay"] == 1
