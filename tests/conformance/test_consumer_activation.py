"""The activation hook on the stage machine: every stage, under every value of every switch.

However a run ends, exactly one revision is active afterwards, and it is one that serves. And whatever
happens on the way, nobody is active for at least a lease between two revisions that are.
"""

import functools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby, pairwise
from typing import Any

import pytest

from hooks.consumer_activation.state import State, is_void, parse
from rehearsal.aws.cloud import Cloud
from rehearsal.model import ServiceDeployment, Status
from rehearsal.outcome import Happening, HookCalled, Outcome, StatusChanged
from rehearsal.scenario import Scenario
from rehearsal.switches import Switches, values
from rehearsal.world import Rehearsal
from shared.lifecycle import Stage
from tests.conformance.cases import every_switch

PARAMETER = "/ecs-consumers/shop/checkout/consumers"
ATTACHED = (Stage.RECONCILE_SERVICE, Stage.PRE_SCALE_UP, Stage.PRODUCTION_TRAFFIC_SHIFT)
USELESS_AT = tuple(stage for stage in Stage if stage not in ATTACHED)

CANARY = {"type": "CANARY", "canaryPercent": 10, "canaryBakeTimeInMinutes": 5}
LINEAR = {"type": "LINEAR", "stepPercent": 33.3, "stepBakeTimeInMinutes": 1}

EARLIER = datetime(2026, 2, 1, tzinfo=UTC)

# Without a queue; by time, so that no actor is needed that works.
BY_TIME = {"drainSeconds": 10}


@dataclass(frozen=True)
class Run:
    """What came of a run."""

    outcome: Outcome
    versions: list[tuple[datetime, State]]
    """Those that hold, and when they were written."""
    deployments: list[ServiceDeployment]

    @property
    def active(self) -> list[str | None]:
        """Who was active, in order."""
        return [state.active for _, state in self.versions]

    def colours(self) -> list[str]:
        """Return who was active, by colour. A rollback that finds blue active writes so once more."""
        names = {None: "nobody", self.deployments[0].target.arn.id: "green"}
        return [names.get(revision, "blue") for revision, _ in groupby(self.active)]

    @property
    def serves(self) -> str | None:
        """The revision that serves when all is over."""
        last = self.deployments[-1]
        if last.status is Status.SUCCESSFUL:
            return last.target.arn.id
        rollback = last.rollback and last.rollback.service_revision_arn
        return rollback.id if rollback else None


def rehearse(
    rehearsal: Rehearsal,
    switches: dict[str, str],
    *actors: dict[str, Any],
    stages: Sequence[Stage] = ATTACHED,
    details: dict[str, Any] | None = None,
    others: Sequence[dict[str, Any]] = (),
    seed: int = 0,
    prepared: bool = True,
    **parts: Any,
) -> Run:
    """Run a deployment of a headless service, and hold what must always hold against it.

    Where it is *prepared*, an earlier deployment has made blue the active one.
    """
    service = {"exposure": "alb" if "strategy" in parts else "headless", "scaleUp": 5}
    if "nlb_delay" in switches:
        # What a switch is about has to be there.
        service["exposure"] = "nlb"
    hook = {"hook": "consumer_activation", "stages": list(stages), "hookDetails": details or BY_TIME}
    scenario = Scenario.model_validate(
        {
            "name": "conformance",
            "hooks": [hook, *others],
            "actors": list(actors),
            "expect": {"status": "SUCCESSFUL"},
            **parts,
            "service": {**service, **parts.get("service", {})},
        }
    )
    outcome = rehearsal.run(
        scenario,
        seed=seed,
        switches=switches,
        saw=functools.partial(activate_blue, rehearsal.cloud) if prepared else lambda _: None,
    )
    ssm = rehearsal.cloud.client("ssm", user="admin")
    pages = ssm.get_paginator("get_parameter_history").paginate(Name=PARAMETER)
    try:
        history = [version for page in pages for version in page["Parameters"]]
    except ssm.exceptions.ParameterNotFound:
        history = []
    versions = [
        (version["LastModifiedDate"], parse(version["Value"]))
        for version in history
        if not is_void(version["Value"], version["Version"])
    ]
    run = Run(outcome, versions, list(rehearsal.cloud.control_plane.deployments.values()))
    assert_exclusive(run)
    assert_never_refused_on_the_way_back(run)
    return run


def activate_blue(cloud: Cloud, happening: Happening) -> None:
    """Write the parameter as an earlier deployment did, when the first one of the run begins."""
    deployments = list(cloud.control_plane.deployments.values())
    if not isinstance(happening, StatusChanged) or happening.status != "PENDING" or len(deployments) > 1:
        return
    for source in deployments[0].sources:
        if source.production_weight:
            state = State(version=1, epoch=1, active=source.arn.id)
            cloud.parameters.write_earlier(PARAMETER, state.write(), EARLIER)


def assert_exclusive(run: Run) -> None:
    """Nobody was active between two that were, for as long as a lease of the first may have lasted."""
    holder: str | None = None
    released: datetime | None = None
    quiet = 0.0
    for (_, before), (at, state) in pairwise(run.versions):
        assert state.epoch > before.epoch
        if before.active is not None:
            holder, released, quiet = before.active, at, before.quiet_seconds
        if state.active is not None and holder is not None and state.active != holder:
            assert before.active is None
            assert released is not None
            # An HTTP date has whole seconds.
            assert (at - released).total_seconds() >= quiet


def assert_never_refused_on_the_way_back(run: Run) -> None:
    assert {call.answer for call in calls(run, rollback=True)} <= {"SUCCEEDED", "IN_PROGRESS"}


def calls(run: Run, *, rollback: bool = False) -> list[HookCalled]:
    found = [call for call in run.outcome.calls if call.hook == "consumer_activation"]
    return [call for call in found if call.rollback == rollback]


def reason(run: Run) -> str:
    """Return the reason of the last verdict on the way forward."""
    records = [call.record for call in calls(run) if call.record and call.answer != "IN_PROGRESS"]
    return str(records[-1]["verdict"]["reason"]) if records else ""


def alarm(after: str, stage: str) -> dict[str, Any]:
    return {"alarm": {"since": "stage", "stage": stage, "after": after}}


# Forward


@every_switch
def test_a_deployment_hands_the_queue_over(rehearsal: Rehearsal, switches: dict[str, str]) -> None:
    run = rehearse(rehearsal, switches)

    assert run.outcome.status == "SUCCESSFUL"
    assert run.colours() == ["blue", "nobody", "green"]
    assert run.active[-1] == run.serves


@every_switch
@pytest.mark.parametrize(
    ("stages", "colours"),
    [
        (ATTACHED, ["nobody", "blue", "nobody", "green"]),
        ([Stage.PRODUCTION_TRAFFIC_SHIFT], ["nobody", "green"]),
    ],
    ids=["from PRE_SCALE_UP on", "at the shift alone"],
)
def test_also_where_there_is_no_parameter_yet(
    rehearsal: Rehearsal, switches: dict[str, str], stages: Sequence[Stage], colours: list[str]
) -> None:
    run = rehearse(rehearsal, switches, stages=stages, prepared=False)

    assert run.outcome.status == "SUCCESSFUL"
    assert run.colours() == colours
    assert run.active[-1] == run.serves


@every_switch
@pytest.mark.parametrize("strategy", [CANARY, LINEAR], ids=["CANARY", "LINEAR"])
def test_while_traffic_is_split_blue_stays_the_only_one(
    rehearsal: Rehearsal, switches: dict[str, str], strategy: dict[str, Any]
) -> None:
    run = rehearse(rehearsal, switches, strategy=strategy)

    assert run.outcome.status == "SUCCESSFUL"
    assert run.colours() == ["blue", "nobody", "green"]
    # Only the last step moves it, and is waited for.
    assert {call.answer for call in calls(run) if call.step not in {None, 100.0}} == {"SUCCEEDED"}


@every_switch
def test_a_first_deployment_is_active_at_once(rehearsal: Rehearsal, switches: dict[str, str]) -> None:
    run = rehearse(rehearsal, switches, service={"firstDeployment": True})

    assert run.outcome.status == "SUCCESSFUL"
    assert run.colours() == ["green"]
    assert run.active[-1] == run.serves


@every_switch
def test_what_earlier_deployments_left_running_is_no_obstacle(
    rehearsal: Rehearsal, switches: dict[str, str]
) -> None:
    run = rehearse(rehearsal, switches, service={"leftovers": True})

    assert run.outcome.status == "SUCCESSFUL"
    assert run.colours() == ["blue", "nobody", "green"]
    assert calls(run)[0].stage == "RECONCILE_SERVICE"
    assert run.active[-1] == run.serves


# Turned back


@every_switch
@pytest.mark.parametrize(
    ("after", "stage"),
    [
        ("1s", "POST_TEST_TRAFFIC_SHIFT"),
        ("5s", "PRODUCTION_TRAFFIC_SHIFT"),
        ("20s", "PRODUCTION_TRAFFIC_SHIFT"),
        ("0s", "POST_PRODUCTION_TRAFFIC_SHIFT"),
        ("1m", "BAKE_TIME"),
    ],
    ids=["before the shift", "leases run out", "blue drains", "green is active", "bake time"],
)
def test_an_alarm_at_any_moment_ends_with_blue_active(
    rehearsal: Rehearsal, switches: dict[str, str], after: str, stage: str
) -> None:
    run = rehearse(
        rehearsal,
        switches,
        alarm(after, stage),
        alarms=["green-5xx"],
        strategy={"type": "BLUE_GREEN", "bakeTimeInMinutes": 5},
        service={"exposure": "headless"},
    )

    assert run.outcome.status == "ROLLBACK_SUCCESSFUL"
    assert (run.colours()[-1], run.active[-1]) == ("blue", run.serves)


@every_switch
def test_a_sibling_that_refuses_while_the_queue_is_handed_over_ends_with_blue_active(
    rehearsal: Rehearsal, switches: dict[str, str]
) -> None:
    # A duplicate of a call uses up a reply of its own.
    times = 2 if switches.get("duplicate_delivery") == "on" else 1
    script = [{"hookStatus": "IN_PROGRESS", "callBackDelay": 20}, {"hookStatus": "FAILED"}]
    sibling = {
        "hook": "scripted",
        "stages": ["PRODUCTION_TRAFFIC_SHIFT"],
        "replies": [*(reply for reply in script for _ in range(times)), {"hookStatus": "SUCCEEDED"}],
    }
    run = rehearse(rehearsal, switches, others=[sibling])

    assert run.outcome.status == "ROLLBACK_SUCCESSFUL"
    assert (run.colours()[-1], run.active[-1]) == ("blue", run.serves)


@every_switch
def test_green_that_never_gets_healthy_leaves_blue_active(
    rehearsal: Rehearsal, switches: dict[str, str]
) -> None:
    run = rehearse(rehearsal, switches, service={"scaleUpFails": True})

    assert run.outcome.status == "ROLLBACK_SUCCESSFUL"
    assert run.colours() == ["blue"]
    assert run.active[-1] == run.serves


@every_switch
@pytest.mark.parametrize("after", ["1s", "12s", "25s", "45s", "2m", "10m"])
def test_a_deployment_that_is_superseded_at_any_moment_is_made_good_by_the_next(
    rehearsal: Rehearsal, switches: dict[str, str], after: str
) -> None:
    run = rehearse(
        rehearsal,
        switches,
        {"release": {"after": after}},
        strategy={"type": "BLUE_GREEN", "bakeTimeInMinutes": 20},
        service={"exposure": "headless"},
    )

    assert [deployment.status for deployment in run.deployments] == ["STOPPED", "SUCCESSFUL"]
    assert run.active[-1] == run.serves


@every_switch
@pytest.mark.parametrize("after", ["1s", "15s", "35s", "3m"])
def test_one_that_is_stopped_by_hand_goes_back_to_blue(
    rehearsal: Rehearsal, switches: dict[str, str], after: str
) -> None:
    run = rehearse(
        rehearsal,
        switches,
        {"stop": {"after": after}},
        strategy={"type": "BLUE_GREEN", "bakeTimeInMinutes": 20},
        service={"exposure": "headless"},
    )

    assert run.outcome.status == "ROLLBACK_SUCCESSFUL"
    assert (run.colours()[-1], run.active[-1]) == ("blue", run.serves)


@every_switch
@pytest.mark.parametrize(
    "stages",
    [[Stage.PRE_SCALE_UP], [Stage.RECONCILE_SERVICE, Stage.PRE_SCALE_UP]],
    ids=["without RECONCILE_SERVICE", "with it"],
)
@pytest.mark.parametrize("after", ["15s", "35s", "3m"])
def test_what_an_aborted_deployment_left_is_put_right_by_the_next(
    rehearsal: Rehearsal, switches: dict[str, str], after: str, stages: list[Stage]
) -> None:
    # The newer one is asked for while the abort takes effect.
    run = rehearse(
        rehearsal,
        switches,
        {"stop": {"after": after, "stopType": "ABORT"}},
        {"release": {"after": after}},
        stages=[*stages, Stage.PRODUCTION_TRAFFIC_SHIFT],
        strategy={"type": "BLUE_GREEN", "bakeTimeInMinutes": 20},
        service={"exposure": "headless"},
    )

    assert [deployment.status for deployment in run.deployments] == ["STOPPED", "SUCCESSFUL"]
    assert run.active[-1] == run.serves


@every_switch
def test_a_newer_one_that_is_rolled_back_leaves_a_revision_active_that_serves(
    rehearsal: Rehearsal, switches: dict[str, str]
) -> None:
    run = rehearse(
        rehearsal,
        switches,
        {"release": {"after": "40s"}},
        {"stop": {"after": "2m"}},
        strategy={"type": "BLUE_GREEN", "bakeTimeInMinutes": 20},
        service={"exposure": "headless"},
    )

    assert [deployment.status for deployment in run.deployments] == ["STOPPED", "ROLLBACK_SUCCESSFUL"]
    assert run.active[-1] == run.serves


# Where it has no use, and what it does not understand


@every_switch
@pytest.mark.parametrize("stage", USELESS_AT)
def test_where_it_has_no_use_it_refuses_and_changes_nothing(
    rehearsal: Rehearsal, switches: dict[str, str], stage: Stage
) -> None:
    run = rehearse(rehearsal, switches, stages=[Stage.PRE_SCALE_UP, stage])

    assert run.outcome.status == "ROLLBACK_SUCCESSFUL"
    assert f"consumer_activation has no use at {stage}" in reason(run)
    assert run.colours() == ["blue"]


@every_switch
@pytest.mark.parametrize(
    "details",
    [{"queue": "nowhere"}, {"leaseSeconds": 4}, {"drainsBy": "time"}],
    ids=["a queue that is not there", "a lease that is too short", "a key that is misspelt"],
)
def test_bad_settings_are_refused_with_blue_active(
    rehearsal: Rehearsal, switches: dict[str, str], details: dict[str, Any]
) -> None:
    run = rehearse(rehearsal, switches, details=details, stages=[Stage.PRODUCTION_TRAFFIC_SHIFT])

    assert run.outcome.status == "ROLLBACK_SUCCESSFUL"
    assert run.colours() == ["blue"]
    assert next(iter(details)) in reason(run) or "nowhere" in reason(run)


# With workers at a queue


# A run with workers costs a hundred of the others; these switches are those that move when hooks are called.
MOVING = ("duplicate_delivery", "headless_weights", "rollback_before_shift", "shift_and_hook", "superseded")
QUEUE = {"queue": {"name": "orders", "messagesPerMinute": 10, "visibilityTimeout": 10}}


@pytest.mark.parametrize("switches", [{}, *({name: values(name)[1]} for name in MOVING)], ids=str)
@pytest.mark.parametrize(
    ("workers", "actors", "expected"),
    [
        ({}, [], {"status": "SUCCESSFUL", "consumes": "green", "handledTwice": 0, "deadLetters": 0}),
        ({"green": "poisons"}, [], {"status": "ROLLBACK_SUCCESSFUL", "consumes": "blue"}),
        (
            {},
            [{"release": {"after": "20s"}}],
            {"status": "STOPPED", "consumes": "green-2", "handledTwice": 0, "later": {"2": "SUCCESSFUL"}},
        ),
    ],
    ids=["green is well", "green fails on every message", "superseded half-way"],
)
def test_no_two_revisions_are_at_the_queue_and_no_message_is_lost(
    rehearsal: Rehearsal,
    switches: dict[str, str],
    workers: dict[str, Any],
    actors: list[dict[str, Any]],
    expected: dict[str, Any],
) -> None:
    run = rehearse(
        rehearsal,
        switches,
        QUEUE,
        {"workers": {"queue": "orders", "handling": 5, "visibilityTimeout": 10, **workers}},
        *actors,
        details={"queue": "orders", "monitorMinutes": 2},
        strategy={"type": "BLUE_GREEN", "bakeTimeInMinutes": 0},
        service={"exposure": "headless", "tasks": 1},
        expect={**expected, "overlapAtMost": "0s", "lost": 0},
    )

    assert run.outcome.as_expected, run.outcome.checks
    assert run.active[-1] == run.serves


# All of it at once


@pytest.mark.parametrize("seed", range(40))
def test_no_combination_of_switches_leaves_the_queue_with_the_wrong_revision_or_none(
    rehearsal: Rehearsal, seed: int
) -> None:
    rng = random.Random(seed)
    switches = {name: rng.choice(values(name)) for name in Switches.model_fields}
    bake = {"type": "BLUE_GREEN", "bakeTimeInMinutes": 5}
    parts = {"strategy": bake, "service": {"exposure": "headless", "leftovers": rng.random() < 0.5}}
    after = f"{rng.randrange(1, 100)}s"
    forward = rehearse(rehearsal, switches, seed=seed, **parts)
    stopped = rehearse(rehearsal, switches, {"stop": {"after": after}}, seed=seed, **parts)
    superseded = rehearse(rehearsal, switches, {"release": {"after": after}}, seed=seed, **parts)

    assert forward.outcome.status == "SUCCESSFUL"
    assert stopped.outcome.status == "ROLLBACK_SUCCESSFUL"
    assert [one.status for one in superseded.deployments] == ["STOPPED", "SUCCESSFUL"]
    for run in (forward, stopped, superseded):
        assert run.active[-1] == run.serves
