"""The canary hook on the stage machine: every stage, under every value of every switch.

A green as good as blue gets all traffic. One that is worse is refused before it gets more than its first
step, wherever there is time to see that.
"""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hooks.canary_comparison.handler import handler
from rehearsal.outcome import HookCalled, Outcome, WeightsChanged
from rehearsal.scenario import Scenario
from rehearsal.switches import Switches, values
from rehearsal.world import Rehearsal
from shared.errors import Misconfigured
from shared.lifecycle import Direction, LifecycleEvent, Stage
from tests.conformance.cases import every_switch, golden_events, in_its_account
from tests.shared.checkout import Context, assert_valid

COMPARES_AT = (Stage.PRE_PRODUCTION_TRAFFIC_SHIFT, Stage.PRODUCTION_TRAFFIC_SHIFT)
USELESS_AT = tuple(stage for stage in Stage if stage not in COMPARES_AT)

either_stage = pytest.mark.parametrize("stage", COMPARES_AT)

CANARY = {"type": "CANARY", "canaryPercent": 10, "canaryBakeTimeInMinutes": 10}
LINEAR = {"type": "LINEAR", "stepPercent": 33.3, "stepBakeTimeInMinutes": 5}
BLUE_GREEN = {"type": "BLUE_GREEN", "bakeTimeInMinutes": 5}
FIRST_STEP = {"CANARY": 10, "LINEAR": 33.3}
either_strategy = pytest.mark.parametrize("strategy", [CANARY, LINEAR], ids=["CANARY", "LINEAR"])

HEALTHY: dict[str, Any] = {"requestsPerMinute": 6000, "errors": 0.005}
WORSE: dict[str, Any] = {**HEALTHY, "green": {"errors": 0.05}}

# One metric and few looks: a run is about when the hook is called, and what it makes of that.
DETAILS: dict[str, Any] = {"metrics": [{"source": "alb", "measure": "errors"}], "lookSeconds": 120}
EMF = {
    "name": "declined",
    "source": "emf",
    "kind": "proportion",
    "namespace": "Shop",
    "dimensions": {"ServiceRevision": "{revision}"},
    "bad": "Declined",
    "total": "Payments",
}


# A run with access logs costs ten of the others; these switches are those that move when hooks are called.
MOVING = ("bake_and_hook", "duplicate_delivery", "hook_details_scope", "shift_and_hook")


def rehearse(
    rehearsal: Rehearsal,
    switches: dict[str, str],
    stages: Sequence[Stage],
    *actors: dict[str, Any],
    traffic: dict[str, Any] | None = HEALTHY,
    details: dict[str, Any] | None = None,
    seed: int = 0,
    **parts: Any,
) -> Outcome:
    """Run a deployment with the hook at *stages*, and hold what must always hold against it."""
    service = {"exposure": "alb", "scaleUp": 5, **parts.pop("service", {})}
    given, sent = {**DETAILS, **(details or {})}, dict(traffic or {})
    if "nlb_delay" in switches and service["exposure"] == "alb":
        # What a switch is about has to be there; and such a load balancer counts no requests.
        service["exposure"] = "nlb"
        given["metrics"], sent["publish"] = [EMF], ["emf"]
    scenario = Scenario.model_validate(
        {
            "name": "conformance",
            "service": service,
            "strategy": CANARY,
            "hooks": [{"hook": "canary_comparison", "stages": list(stages), "hookDetails": given}],
            "actors": [*([{"traffic": sent}] if traffic else []), *actors],
            "expect": {"status": "SUCCESSFUL"},
            **parts,
        }
    )
    outcome = rehearsal.run(scenario, seed=seed, switches=switches)
    assert {call.answer for call in calls(outcome, rollback=True)} <= {"SUCCEEDED"}
    for call in outcome.calls:
        if call.record and call.record["inputs"]:
            assert handler.replay(call.record) == call.record["verdict"]
    return outcome


def calls(outcome: Outcome, *, rollback: bool = False) -> list[HookCalled]:
    found = [call for call in outcome.calls if call.hook == "canary_comparison"]
    return [call for call in found if call.rollback == rollback]


def verdicts(outcome: Outcome) -> list[str]:
    """Return the reasons of the answers that ended a stage on the way forward."""
    records = [call.record for call in calls(outcome) if call.record and call.answer != "IN_PROGRESS"]
    return [str(record["verdict"]["reason"]) for record in records]


def most(outcome: Outcome) -> float:
    """Return the most that green had of the production traffic, in percent."""
    moved = [event for event in outcome.happenings if isinstance(event, WeightsChanged)]
    return max((event.green for event in moved if event.route == "production"), default=0.0)


def compared(outcome: Outcome) -> bool:
    """Tell whether anything was decided by metrics."""
    return any(call.record and call.record["inputs"] for call in calls(outcome))


# Held, watched and judged


@every_switch
@either_strategy
@either_stage
def test_a_green_as_good_as_blue_gets_all_traffic(
    rehearsal: Rehearsal, switches: dict[str, str], strategy: dict[str, Any], stage: Stage
) -> None:
    outcome = rehearse(rehearsal, switches, [stage], strategy=strategy)

    assert (outcome.status, most(outcome)) == ("SUCCESSFUL", 100)
    assert compared(outcome)


@every_switch
@either_strategy
@either_stage
def test_a_worse_one_never_gets_beyond_its_first_step(
    rehearsal: Rehearsal, switches: dict[str, str], strategy: dict[str, Any], stage: Stage
) -> None:
    outcome = rehearse(rehearsal, switches, [stage], traffic=WORSE, strategy=strategy)

    assert outcome.status == "ROLLBACK_SUCCESSFUL"
    assert verdicts(outcome)[-1].startswith("green is worse: ")
    assert most(outcome) == FIRST_STEP[strategy["type"]]


@every_switch
def test_at_both_stages_at_once_it_is_no_different(rehearsal: Rehearsal, switches: dict[str, str]) -> None:
    healthy = rehearse(rehearsal, switches, COMPARES_AT)
    worse = rehearse(rehearsal, switches, COMPARES_AT, traffic=WORSE)

    assert (healthy.status, most(healthy)) == ("SUCCESSFUL", 100)
    assert (worse.status, most(worse)) == ("ROLLBACK_SUCCESSFUL", 10)


@every_switch
@either_stage
def test_without_a_hold_the_first_call_starts_and_the_second_judges(
    rehearsal: Rehearsal, switches: dict[str, str], stage: Stage
) -> None:
    details = {"holdMinutes": 0}
    healthy = rehearse(rehearsal, switches, [stage], details=details)
    worse = rehearse(rehearsal, switches, [stage], traffic=WORSE, details=details)

    assert healthy.status == "SUCCESSFUL"
    assert worse.status == "ROLLBACK_SUCCESSFUL"
    assert {call.step for call in calls(worse)} == {10, 100}
    assert {call.answer for call in calls(worse) if call.step == 10} <= {"IN_PROGRESS", "SUCCEEDED"}
    assert verdicts(worse)[-1].startswith("green is worse: ")


@pytest.mark.parametrize("switches", [{}, *({name: values(name)[1]} for name in MOVING)], ids=str)
def test_where_only_service_connect_leads_to_a_service_its_proxies_logs_are_compared(
    rehearsal: Rehearsal, switches: dict[str, str]
) -> None:
    details = {"metrics": ["serviceConnectAccessLogs"]}
    service = {"exposure": "service-connect"}
    stages = [Stage.PRODUCTION_TRAFFIC_SHIFT]
    healthy = rehearse(rehearsal, switches, stages, details=details, service=service)
    worse = rehearse(rehearsal, switches, stages, traffic=WORSE, details=details, service=service)

    assert (healthy.status, compared(healthy)) == ("SUCCESSFUL", True)
    assert (worse.status, most(worse)) == ("ROLLBACK_SUCCESSFUL", 10)


# Nothing to compare


@every_switch
@either_stage
def test_blue_green_is_let_through_at_once_for_the_two_never_share_traffic(
    rehearsal: Rehearsal, switches: dict[str, str], stage: Stage
) -> None:
    service = {"exposure": "headless"} if "headless_weights" in switches else {}
    traffic = None if service else WORSE
    outcome = rehearse(rehearsal, switches, [stage], traffic=traffic, strategy=BLUE_GREEN, service=service)

    assert outcome.status == "SUCCESSFUL"
    assert {call.answer for call in calls(outcome)} == {"SUCCEEDED"}
    assert {reason.partition(":")[0] for reason in verdicts(outcome)} == {"nothing to compare"}


@every_switch
@either_strategy
@either_stage
def test_a_first_deployment_is_let_through_at_once_for_there_is_no_blue(
    rehearsal: Rehearsal, switches: dict[str, str], strategy: dict[str, Any], stage: Stage
) -> None:
    outcome = rehearse(
        rehearsal, switches, [stage], traffic=None, strategy=strategy, service={"firstDeployment": True}
    )

    assert outcome.status == "SUCCESSFUL"
    assert {call.answer for call in calls(outcome)} == {"SUCCEEDED"}
    assert not compared(outcome)


@every_switch
@pytest.mark.parametrize("stage", USELESS_AT)
def test_where_it_has_no_use_it_refuses_and_is_called_back_in_peace(
    rehearsal: Rehearsal, switches: dict[str, str], stage: Stage
) -> None:
    outcome = rehearse(rehearsal, switches, [stage], traffic=None, service={"leftovers": True})

    assert outcome.status == "ROLLBACK_SUCCESSFUL"
    assert f"canary_comparison has no use at {stage}" in verdicts(outcome)[-1]


# Turned back, stopped, superseded


@every_switch
@either_stage
def test_an_alarm_while_it_watches_turns_the_deployment_back_without_it(
    rehearsal: Rehearsal, switches: dict[str, str], stage: Stage
) -> None:
    alarm = {"alarm": {"since": "hook", "after": "150s"}}
    outcome = rehearse(rehearsal, switches, [stage], alarm, alarms=["green-5xx"])

    assert outcome.status == "ROLLBACK_SUCCESSFUL"
    assert "FAILED" not in {call.answer for call in calls(outcome)}


@every_switch
@pytest.mark.parametrize("after", ["100s", "5m"])
@pytest.mark.parametrize(
    ("traffic", "ends"),
    [(HEALTHY, "SUCCESSFUL"), (WORSE, "ROLLBACK_SUCCESSFUL")],
    ids=["as good as blue", "worse"],
)
def test_a_newer_deployment_is_judged_by_its_own_revision(
    rehearsal: Rehearsal, switches: dict[str, str], after: str, traffic: dict[str, Any], ends: str
) -> None:
    # What is worse, is so only once it is superseded.
    if "green" in traffic:
        traffic = {**traffic, "green": {**traffic["green"], "after": "8m"}}
    outcome = rehearse(
        rehearsal,
        switches,
        [Stage.PRODUCTION_TRAFFIC_SHIFT],
        {"release": {"after": after}},
        traffic=traffic,
        details={"holdMinutes": 20, "minimumMinutes": 20},
        expect={"status": "STOPPED", "later": {"2": ends}},
    )

    assert outcome.as_expected, outcome.checks


# Events by themselves


@pytest.mark.parametrize("strategy", ["BLUE_GREEN", "CANARY", "LINEAR"])
@pytest.mark.parametrize("path", golden_events())
def test_every_golden_event_gets_a_valid_answer_and_a_rollback_is_never_refused(
    path: Path, strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = json.loads(path.read_text())
    monkeypatch.setenv("HOOK_POLICY", "{}")
    try:
        call = LifecycleEvent.parse(event)
    except Misconfigured:
        # Without a deployment there is nothing that AWS could be asked.
        assert handler(event, Context()) == {"hookStatus": "FAILED"}
        return
    with in_its_account(event) as cloud:
        for deployment in cloud.control_plane.deployments.values():
            deployment.configuration = {"strategy": strategy}
        replies = [handler(event, Context()) for _ in range(2)]

    assert replies[0] == replies[1]
    assert_valid(replies[0])
    if call.direction is Direction.ROLLBACK:
        assert replies[0] == {"hookStatus": "SUCCEEDED"}
    elif call.stage not in COMPARES_AT:
        assert replies[0] == {"hookStatus": "FAILED"}
    elif call.direction is Direction.FIRST_DEPLOYMENT or strategy == "BLUE_GREEN":
        assert replies[0] == {"hookStatus": "SUCCEEDED"}


# All of it at once


@pytest.mark.parametrize("seed", range(10))
def test_no_combination_of_switches_passes_a_worse_green_or_refuses_a_good_one(
    rehearsal: Rehearsal, seed: int
) -> None:
    rng = random.Random(seed)
    switches = {name: rng.choice(values(name)) for name in Switches.model_fields}
    stages = rng.choice([COMPARES_AT[:1], COMPARES_AT[1:], COMPARES_AT])
    # Without a hold only the bake is left, and of five minutes two are not known when the next call comes.
    linear = {**LINEAR, "stepBakeTimeInMinutes": 10}
    parts = {"strategy": rng.choice([CANARY, linear]), "details": {"holdMinutes": rng.choice([0, 5, 15])}}
    healthy = rehearse(rehearsal, switches, stages, seed=seed, **parts)
    worse = rehearse(rehearsal, switches, stages, traffic=WORSE, seed=seed, **parts)

    assert (healthy.status, worse.status) == ("SUCCESSFUL", "ROLLBACK_SUCCESSFUL")
