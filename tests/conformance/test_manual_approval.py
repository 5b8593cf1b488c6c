"""The approval hook on the stage machine: every stage, under every value of every switch."""

import random
from collections.abc import Sequence
from typing import Any

import pytest

from rehearsal.outcome import HookCalled, Outcome
from rehearsal.scenario import Scenario
from rehearsal.switches import Switches, values
from rehearsal.world import Rehearsal
from shared.lifecycle import Stage
from tests.conformance.cases import every_switch

ASKS_AT = (Stage.POST_TEST_TRAFFIC_SHIFT, Stage.PRE_PRODUCTION_TRAFFIC_SHIFT)
USELESS_AT = tuple(stage for stage in Stage if stage not in ASKS_AT)


def rehearse(
    rehearsal: Rehearsal,
    switches: dict[str, str],
    stages: Sequence[Stage],
    *actors: dict[str, Any],
    details: dict[str, Any] | None = None,
    others: Sequence[dict[str, Any]] = (),
    seed: int = 0,
    **parts: Any,
) -> Outcome:
    """Run a deployment with the hook at *stages*."""
    service = {
        # What a switch is about has to be there.
        "exposure": "headless" if "headless_weights" in switches and "strategy" not in parts else "alb",
        "scaleUp": 5,
        **parts.pop("service", {}),
    }
    if "nlb_delay" in switches:
        service["exposure"] = "nlb"
    hook = {"hook": "manual_approval", "stages": list(stages), "hookDetails": details or {}}
    scenario = Scenario.model_validate(
        {
            "name": "conformance",
            "service": service,
            "hooks": [hook, *others],
            "actors": list(actors),
            "expect": {"status": "SUCCESSFUL"},
            **parts,
        }
    )
    return rehearsal.run(scenario, seed=seed, switches=switches)


def calls(outcome: Outcome, *, rollback: bool = False) -> list[HookCalled]:
    return [call for call in outcome.calls if call.hook == "manual_approval" and call.rollback == rollback]


def verdicts(outcome: Outcome) -> list[tuple[str, float | None, str]]:
    """Return the answers that ended a stage: stage, step, answer."""
    return [
        (call.stage, call.step, call.answer)
        for call in outcome.calls
        if call.hook == "manual_approval" and not call.rollback and call.answer != "IN_PROGRESS"
    ]


def assert_called_back_in_peace(outcome: Outcome) -> None:
    """A rollback call is always answered SUCCEEDED, and at once: the hook has changed nothing."""
    assert {call.answer for call in calls(outcome, rollback=True)} <= {"SUCCEEDED"}


def reason(outcome: Outcome) -> str:
    """Return the reason of the last verdict on the way forward."""
    records = [call.record for call in calls(outcome) if call.record and call.answer != "IN_PROGRESS"]
    return str(records[-1]["verdict"]["reason"]) if records else ""


ALICE = {"approver": {"name": "alice", "after": "1m"}}
ALICE_EACH = {"approver": {"name": "alice", "after": "1m", "each": True}}
BOB_REJECTS = {"approver": {"name": "bob", "answer": "REJECTED", "comment": "too slow", "after": "1m"}}
ALICE_EXTENDS = {
    "approver": {
        "name": "alice",
        "text": '{"state": "extended", "expiresAt": "9999-12-31T23:59:59Z"}',
        "after": "1m",
    }
}
BOB_LATE = {"approver": {"name": "bob", "after": "8m"}}
ALARM = {"alarm": {"since": "hook", "after": "90s"}}

CANARY = {"type": "CANARY", "canaryPercent": 0.1, "canaryBakeTimeInMinutes": 1}
LINEAR = {"type": "LINEAR", "stepPercent": 33.3, "stepBakeTimeInMinutes": 0}


# Asked, and answered


@every_switch
@pytest.mark.parametrize("stage", ASKS_AT)
def test_an_approval_lets_the_deployment_go_on(
    rehearsal: Rehearsal, switches: dict[str, str], stage: Stage
) -> None:
    outcome = rehearse(rehearsal, switches, [stage], ALICE)

    assert outcome.status == "SUCCESSFUL"
    assert [(where, answer) for where, _, answer in verdicts(outcome)] == [(stage, "SUCCEEDED")]
    assert reason(outcome).endswith("assumed-role/approver/alice")
    # Nothing is passed before somebody has answered.
    assert calls(outcome)[-1].at >= calls(outcome)[0].at + 60


@every_switch
@pytest.mark.parametrize("stage", ASKS_AT)
def test_a_rejection_rolls_the_deployment_back(
    rehearsal: Rehearsal, switches: dict[str, str], stage: Stage
) -> None:
    outcome = rehearse(rehearsal, switches, [stage], BOB_REJECTS)

    assert outcome.status == "ROLLBACK_SUCCESSFUL"
    assert [(where, answer) for where, _, answer in verdicts(outcome)] == [(stage, "FAILED")]
    assert reason(outcome).endswith("assumed-role/approver/bob: too slow")


@every_switch
@pytest.mark.parametrize("stage", ASKS_AT)
def test_without_an_answer_the_request_expires_and_is_refused(
    rehearsal: Rehearsal, switches: dict[str, str], stage: Stage
) -> None:
    outcome = rehearse(rehearsal, switches, [stage], details={"expiresAfterMinutes": 2})

    assert outcome.status == "ROLLBACK_SUCCESSFUL"
    assert reason(outcome).startswith("nobody decided by ")


@every_switch
@pytest.mark.parametrize("strategy", [CANARY, LINEAR], ids=["CANARY", "LINEAR"])
def test_each_step_asks_anew_and_each_answer_counts_once(
    rehearsal: Rehearsal, switches: dict[str, str], strategy: dict[str, Any]
) -> None:
    outcome = rehearse(rehearsal, switches, ASKS_AT, ALICE_EACH, strategy=strategy)

    steps = [0.1, 100] if strategy is CANARY else [33.3, 66.6, 99.9, 100]
    assert outcome.status == "SUCCESSFUL"
    assert verdicts(outcome) == [
        ("POST_TEST_TRAFFIC_SHIFT", None, "SUCCEEDED"),
        *(("PRE_PRODUCTION_TRAFFIC_SHIFT", step, "SUCCEEDED") for step in steps),
    ]


@every_switch
def test_the_approval_of_one_step_never_passes_the_next(
    rehearsal: Rehearsal, switches: dict[str, str]
) -> None:
    once = {"approver": {"name": "alice", "after": "1m", "times": 1}}
    outcome = rehearse(
        rehearsal,
        switches,
        [Stage.PRE_PRODUCTION_TRAFFIC_SHIFT],
        once,
        details={"expiresAfterMinutes": 3},
        strategy=CANARY,
    )

    assert outcome.status == "ROLLBACK_SUCCESSFUL"
    assert verdicts(outcome) == [
        ("PRE_PRODUCTION_TRAFFIC_SHIFT", 0.1, "SUCCEEDED"),
        ("PRE_PRODUCTION_TRAFFIC_SHIFT", 100, "FAILED"),
    ]


# Turned back while it waits


@every_switch
@pytest.mark.parametrize("stage", ASKS_AT)
def test_an_alarm_while_it_waits_turns_the_deployment_back_without_it(
    rehearsal: Rehearsal, switches: dict[str, str], stage: Stage
) -> None:
    stages = [stage, Stage.PRODUCTION_TRAFFIC_SHIFT]
    outcome = rehearse(rehearsal, switches, stages, ALARM, alarms=["green-5xx"])

    assert outcome.status == "ROLLBACK_SUCCESSFUL"
    assert verdicts(outcome) == []
    assert [(call.stage, call.answer) for call in calls(outcome, rollback=True)] == [
        ("PRODUCTION_TRAFFIC_SHIFT", "SUCCEEDED")
    ]


@every_switch
def test_a_sibling_that_refuses_wins_whatever_people_answer(
    rehearsal: Rehearsal, switches: dict[str, str]
) -> None:
    at = Stage.POST_TEST_TRAFFIC_SHIFT
    sibling = {"hook": "scripted", "stages": [at], "replies": [{"hookStatus": "FAILED"}]}
    outcome = rehearse(rehearsal, switches, [at], ALICE, others=[sibling])

    assert outcome.status == "ROLLBACK_SUCCESSFUL"


@every_switch
def test_a_newer_deployment_needs_an_approval_of_its_own(
    rehearsal: Rehearsal, switches: dict[str, str]
) -> None:
    # Alice answers the first request when the second deployment has already begun.
    outcome = rehearse(
        rehearsal,
        switches,
        [Stage.POST_TEST_TRAFFIC_SHIFT],
        {"release": {"after": "15m"}},
        {"approver": {"name": "alice", "after": "17m"}},
        details={"expiresAfterMinutes": 20},
        expect={"status": "STOPPED", "later": {"2": "ROLLBACK_SUCCESSFUL"}},
    )

    assert outcome.as_expected, outcome.checks
    assert verdicts(outcome) == [("POST_TEST_TRAFFIC_SHIFT", None, "FAILED")]
    assert reason(outcome).startswith("nobody decided by ")


# Where it has no use


@every_switch
@pytest.mark.parametrize("stage", USELESS_AT)
def test_where_it_has_no_use_it_refuses_and_is_called_back_in_peace(
    rehearsal: Rehearsal, switches: dict[str, str], stage: Stage
) -> None:
    outcome = rehearse(rehearsal, switches, [stage], service={"leftovers": True})

    assert outcome.status == "ROLLBACK_SUCCESSFUL"
    assert [(where, answer) for where, _, answer in verdicts(outcome)] == [(stage, "FAILED")]
    assert f"has no use at {stage}" in reason(outcome)
    assert_called_back_in_peace(outcome)


@every_switch
def test_attached_at_shift_stages_as_well_it_refuses_forward_and_never_backward(
    rehearsal: Rehearsal, switches: dict[str, str]
) -> None:
    stages = [Stage.PRE_PRODUCTION_TRAFFIC_SHIFT, Stage.PRODUCTION_TRAFFIC_SHIFT, Stage.TEST_TRAFFIC_SHIFT]
    outcome = rehearse(rehearsal, switches, stages, ALICE)

    assert outcome.status == "ROLLBACK_SUCCESSFUL"
    assert verdicts(outcome) == [("TEST_TRAFFIC_SHIFT", None, "FAILED")]
    assert {(call.stage, call.answer) for call in calls(outcome, rollback=True)} == {
        ("PRODUCTION_TRAFFIC_SHIFT", "SUCCEEDED"),
        ("TEST_TRAFFIC_SHIFT", "SUCCEEDED"),
    }


@every_switch
def test_at_every_stage_at_once_it_refuses_the_first_and_is_called_back_in_peace(
    rehearsal: Rehearsal, switches: dict[str, str]
) -> None:
    outcome = rehearse(rehearsal, switches, list(Stage), service={"leftovers": True})

    assert outcome.status == "ROLLBACK_SUCCESSFUL"
    assert verdicts(outcome) == [("RECONCILE_SERVICE", None, "FAILED")]
    assert_called_back_in_peace(outcome)


# First deployment


@every_switch
@pytest.mark.parametrize(
    ("answer", "ends"),
    [(ALICE, "SUCCESSFUL"), (BOB_REJECTS, "ROLLBACK_FAILED")],
    ids=["approved", "rejected"],
)
def test_a_first_deployment_asks_like_any_other(
    rehearsal: Rehearsal, switches: dict[str, str], answer: dict[str, Any], ends: str
) -> None:
    outcome = rehearse(
        rehearsal, switches, [Stage.POST_TEST_TRAFFIC_SHIFT], answer, service={"firstDeployment": True}
    )

    assert outcome.status == ends
    assert calls(outcome, rollback=True) == []


@every_switch
@pytest.mark.parametrize("stage", ASKS_AT)
def test_a_first_deployment_can_go_unasked(
    rehearsal: Rehearsal, switches: dict[str, str], stage: Stage
) -> None:
    details = {"onFirstDeployment": "skip"}
    first = rehearse(rehearsal, switches, [stage], details=details, service={"firstDeployment": True})
    update = rehearse(rehearsal, switches, [stage], BOB_REJECTS, details=details)

    assert (first.status, len(calls(first))) == ("SUCCESSFUL", 1)
    assert update.status == "ROLLBACK_SUCCESSFUL"


# All of it at once


@pytest.mark.parametrize("seed", range(25))
def test_no_combination_of_switches_passes_a_stage_unapproved(rehearsal: Rehearsal, seed: int) -> None:
    rng = random.Random(seed)
    switches = {name: rng.choice(values(name)) for name in Switches.model_fields}
    stages = [*ASKS_AT]
    approved = rehearse(rehearsal, switches, stages, ALICE_EACH, strategy=CANARY, seed=seed)
    unanswered = rehearse(
        rehearsal, switches, stages, details={"expiresAfterMinutes": 2}, strategy=CANARY, seed=seed
    )
    rejected = rehearse(rehearsal, switches, stages, BOB_REJECTS, strategy=CANARY, seed=seed)

    assert (approved.status, unanswered.status, rejected.status) == (
        "SUCCESSFUL",
        "ROLLBACK_SUCCESSFUL",
        "ROLLBACK_SUCCESSFUL",
    )
    assert {answer for *_, answer in verdicts(unanswered)} == {"FAILED"}
    assert {answer for *_, answer in verdicts(rejected)} == {"FAILED"}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("answer", "ends"), [(BOB_LATE, "SUCCESSFUL"), ({}, "ROLLBACK_SUCCESSFUL")], ids=["approved", "expired"]
)
def test_an_extended_request_waits_for_longer_and_not_for_ever(
    rehearsal: Rehearsal, answer: dict[str, Any], ends: str, seed: int
) -> None:
    rng = random.Random(seed)
    switches = {name: rng.choice(values(name)) for name in Switches.model_fields}
    details = {"expiresAfterMinutes": 2, "extendableToMinutes": 10}
    actors = [actor for actor in (ALICE_EXTENDS, answer) if actor]
    outcome = rehearse(
        rehearsal, switches, [Stage.POST_TEST_TRAFFIC_SHIFT], *actors, details=details, seed=seed
    )

    assert outcome.status == ends
    asked, decided = calls(outcome)[0].at, calls(outcome)[-1].at
    if answer:
        assert reason(outcome).endswith("assumed-role/approver/bob")
        assert decided >= asked + 8 * 60
    else:
        assert reason(outcome).startswith("nobody decided by ")
        assert asked + 10 * 60 <= decided <= asked + 11 * 60
