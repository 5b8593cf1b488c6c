"""The load test hook on the stage machine: under every value of every switch, with the generator's agent.

A green that holds the load goes on, one that does not is turned back, and no run is left over: not by a
deployment that was stopped, turned back or superseded, and not by a call that came twice.
"""

import random
import re
from collections.abc import Sequence
from typing import Any

import pytest

from hooks.load_test.handler import handler
from rehearsal.outcome import ActorSpoke, HookCalled, Outcome
from rehearsal.scenario import Scenario
from rehearsal.switches import Switches, values
from rehearsal.world import Rehearsal
from shared.lifecycle import Stage
from tests.conformance.cases import every_switch

LOADS_AT = Stage.POST_TEST_TRAFFIC_SHIFT
USELESS_AT = tuple(stage for stage in Stage if stage is not LOADS_AT)

HOLDS: dict[str, Any] = {"blue": {"errors": 0}}
FAILS: dict[str, Any] = {**HOLDS, "green": {"errors": 0.1}}

# Half a minute, in which errors alone are counted: a run is about when the hook is called.
DETAILS: dict[str, Any] = {
    "load": [{"seconds": 5, "to": 40}, {"seconds": 25, "at": 40}],
    "graceSeconds": 2,
    "rules": ["errors < 1%"],
    "pollSeconds": 10,
}
RUN_SECONDS = 30
ENDLESS: dict[str, Any] = {"load": [{"seconds": 1000, "at": 5}]}
ALARM: dict[str, Any] = {"alarm": {"since": "hook", "after": "15s"}}

# The hook's own least, and how late the agent may come to see that it is over.
LEASE_SECONDS = 90
LOOK_SECONDS = 10


def rehearse(
    rehearsal: Rehearsal,
    switches: dict[str, str],
    *actors: dict[str, Any],
    stages: Sequence[Stage] = (LOADS_AT,),
    generator: dict[str, Any] | None = HOLDS,
    details: dict[str, Any] | None = None,
    seed: int = 0,
    **parts: Any,
) -> Outcome:
    """Run a deployment with the hook at *stages*, and hold what must always hold against it."""
    service = {"exposure": "service-connect", "scaleUp": 5, **parts.pop("service", {})}
    scenario = Scenario.model_validate(
        {
            "name": "conformance",
            "service": service,
            "strategy": {"type": "BLUE_GREEN", "bakeTimeInMinutes": 1},
            "hooks": [
                {
                    "hook": "load_test",
                    "stages": list(stages),
                    "hookDetails": {**DETAILS, **(details or {})},
                }
            ],
            "actors": [*([{"generator": generator}] if generator is not None else []), *actors],
            "expect": {"status": "SUCCESSFUL"},
            **parts,
        }
    )
    outcome = rehearsal.run(scenario, seed=seed, switches=switches)
    assert {call.answer for call in calls(outcome, rollback=True)} <= {"SUCCEEDED"}
    begun, over = runs(outcome)
    assert sorted(begun) == sorted(over), "a run is left over"
    for call in outcome.calls:
        if call.record and call.record["inputs"]:
            assert handler.replay(call.record) == call.record["verdict"]
    return outcome


def calls(outcome: Outcome, *, rollback: bool = False) -> list[HookCalled]:
    return [call for call in outcome.calls if call.rollback == rollback]


def reason(outcome: Outcome) -> str:
    """Return the reason of the last answer that ended the stage on the way forward."""
    records = [call.record for call in calls(outcome) if call.record and call.answer != "IN_PROGRESS"]
    return str(records[-1]["verdict"]["reason"])


def told(outcome: Outcome) -> list[tuple[float, str]]:
    happenings = (one for one in outcome.happenings if isinstance(one, ActorSpoke))
    return [(one.at, one.text) for one in happenings if one.actor == "generator"]


def runs(outcome: Outcome) -> tuple[dict[str, float], dict[str, float]]:
    """Return when each run began, and when it was over."""
    begun: dict[str, float] = {}
    over: dict[str, float] = {}
    for at, text in told(outcome):
        if found := re.fullmatch(r"run (\d(?: of [\w-]+)?): .* requests a second", text):
            assert found[1] not in begun
            begun[found[1]] = at
        elif found := re.match(r"run (\d(?: of [\w-]+)?): (?:finished|ended)", text):
            over[found[1]] = at
    return begun, over


# Loaded, and judged


@every_switch
def test_a_green_that_holds_the_load_goes_on_after_one_run(
    rehearsal: Rehearsal, switches: dict[str, str]
) -> None:
    outcome = rehearse(rehearsal, switches)
    begun, over = runs(outcome)

    assert outcome.status == "SUCCESSFUL"
    assert reason(outcome).startswith("green holds the load: errors < 1%: 0 of ")
    assert list(begun) == ["1"]
    assert over["1"] - begun["1"] >= RUN_SECONDS
    assert calls(outcome)[-1].at >= over["1"]


@every_switch
def test_one_that_fails_is_turned_back(rehearsal: Rehearsal, switches: dict[str, str]) -> None:
    outcome = rehearse(rehearsal, switches, generator=FAILS)

    assert outcome.status == "ROLLBACK_SUCCESSFUL"
    assert reason(outcome).startswith("green fails the load test: errors < 1%: ")
    assert list(runs(outcome)[0]) == ["1"]


@pytest.mark.parametrize("exposure", ["alb", "alb+service-connect"])
def test_behind_a_load_balancer_it_is_no_different(rehearsal: Rehearsal, exposure: str) -> None:
    holds = rehearse(rehearsal, {}, service={"exposure": exposure})
    fails = rehearse(rehearsal, {}, service={"exposure": exposure}, generator=FAILS)

    assert (holds.status, fails.status) == ("SUCCESSFUL", "ROLLBACK_SUCCESSFUL")


@pytest.mark.parametrize("strategy", ["CANARY", "LINEAR"])
def test_every_strategy_comes_by_the_stage_once(rehearsal: Rehearsal, strategy: str) -> None:
    holds = rehearse(rehearsal, {}, strategy={"type": strategy})
    fails = rehearse(rehearsal, {}, strategy={"type": strategy}, generator=FAILS)

    assert (holds.status, fails.status) == ("SUCCESSFUL", "ROLLBACK_SUCCESSFUL")
    assert [list(runs(outcome)[0]) for outcome in (holds, fails)] == [["1"], ["1"]]


# Nothing to load, or nothing to load it with


@every_switch
@pytest.mark.parametrize("stage", USELESS_AT)
def test_where_it_has_no_use_it_refuses(rehearsal: Rehearsal, switches: dict[str, str], stage: Stage) -> None:
    outcome = rehearse(rehearsal, switches, stages=[stage], generator=None, service={"leftovers": True})

    assert outcome.status == "ROLLBACK_SUCCESSFUL"
    assert f"load_test has no use at {stage}" in reason(outcome)


@pytest.mark.parametrize("switches", [{}, {"headless_weights": "empty"}], ids=str)
def test_nothing_leads_load_to_a_headless_service(rehearsal: Rehearsal, switches: dict[str, str]) -> None:
    outcome = rehearse(rehearsal, switches, generator=None, service={"exposure": "headless"})

    assert outcome.status == "ROLLBACK_SUCCESSFUL"
    assert reason(outcome).startswith("nothing leads test traffic to green")


@pytest.mark.parametrize("switches", [{}, {"nlb_delay": "before-hook"}], ids=str)
def test_behind_a_network_load_balancer_blue_and_green_are_not_told_apart(
    rehearsal: Rehearsal, switches: dict[str, str]
) -> None:
    outcome = rehearse(rehearsal, switches, generator=None, service={"exposure": "nlb"})

    assert outcome.status == "ROLLBACK_SUCCESSFUL"
    assert "behind a network load balancer nothing tells requests" in reason(outcome)


FIRST: dict[str, Any] = {"service": {"firstDeployment": True}}
BESIDE_BLUE = ["errors < 1%", "p(95) <= 1.25 x blue"]


@every_switch
def test_a_first_deployment_is_loaded_alone(rehearsal: Rehearsal, switches: dict[str, str]) -> None:
    outcome = rehearse(rehearsal, switches, details={"rules": BESIDE_BLUE}, **FIRST)

    assert outcome.status == "SUCCESSFUL"
    assert "there is no blue" in reason(outcome)


def test_a_first_deployment_that_fails_is_refused_with_nothing_to_go_back_to(rehearsal: Rehearsal) -> None:
    outcome = rehearse(rehearsal, {}, generator=FAILS, details={"rules": BESIDE_BLUE}, **FIRST)

    assert outcome.status == "ROLLBACK_FAILED"
    assert reason(outcome).startswith("green fails the load test: ")


def test_without_a_generator_nothing_passes(rehearsal: Rehearsal) -> None:
    details = {"startWithinSeconds": 20, "attempts": 1}
    outcome = rehearse(rehearsal, {}, generator=None, details=details)

    assert outcome.status == "ROLLBACK_SUCCESSFUL"
    assert reason(outcome).startswith("not tested, because of the generator: no generator took the run")


# Turned back, stopped, superseded


def assert_ends_with_its_lease(outcome: Outcome) -> None:
    _, over = runs(outcome)
    assert outcome.status == "ROLLBACK_SUCCESSFUL"
    assert "FAILED" not in {call.answer for call in calls(outcome)}
    assert over["1"] <= calls(outcome)[-1].at + LEASE_SECONDS + 2 * LOOK_SECONDS


@every_switch
def test_after_an_alarm_nobody_asks_about_a_run_any_more_and_it_ends_with_its_lease(
    rehearsal: Rehearsal, switches: dict[str, str]
) -> None:
    outcome = rehearse(rehearsal, switches, ALARM, details=ENDLESS, alarms=["green-5xx"])

    assert_ends_with_its_lease(outcome)


def test_stopped_by_hand_it_ends_with_its_lease_at_the_latest(rehearsal: Rehearsal) -> None:
    outcome = rehearse(rehearsal, {}, {"stop": {"after": "40s"}}, details=ENDLESS)

    assert_ends_with_its_lease(outcome)


@every_switch
def test_a_rollback_that_calls_the_hook_ends_the_run_at_once(
    rehearsal: Rehearsal, switches: dict[str, str]
) -> None:
    stages = [LOADS_AT, Stage.PRODUCTION_TRAFFIC_SHIFT]
    outcome = rehearse(rehearsal, switches, ALARM, stages=stages, details=ENDLESS, alarms=["green-5xx"])
    back = calls(outcome, rollback=True)
    _, over = runs(outcome)

    assert outcome.status == "ROLLBACK_SUCCESSFUL"
    if back:
        assert over["1"] <= back[0].at + 2 * LOOK_SECONDS
        assert "run 1 ends: the deployment is rolled back" in [text for _, text in told(outcome)]
    else:
        assert switches == {"rollback_before_shift": "fires-none"}


@every_switch
def test_a_newer_deployment_has_a_run_of_its_own(rehearsal: Rehearsal, switches: dict[str, str]) -> None:
    outcome = rehearse(
        rehearsal,
        switches,
        {"release": {"after": "25s"}},
        expect={"status": "STOPPED", "later": {"2": "SUCCESSFUL"}},
    )
    begun, over = runs(outcome)

    assert outcome.as_expected, outcome.checks
    assert list(begun) == ["1", "1 of green-2"]
    # Of one service, one at a time.
    assert over["1"] <= begun["1 of green-2"]


# All of it at once


@pytest.mark.parametrize("seed", range(8))
def test_no_combination_of_switches_passes_what_fails_or_refuses_what_holds(
    rehearsal: Rehearsal, seed: int
) -> None:
    rng = random.Random(seed)
    switches = {name: rng.choice(values(name)) for name in Switches.model_fields}
    service = {"exposure": rng.choice(["service-connect", "alb", "alb+service-connect"])}
    holds = rehearse(rehearsal, switches, service=service, seed=seed)
    fails = rehearse(rehearsal, switches, service=service, seed=seed, generator=FAILS)

    assert (holds.status, fails.status) == ("SUCCESSFUL", "ROLLBACK_SUCCESSFUL")
