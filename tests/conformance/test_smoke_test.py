"""The smoke test hook on the stage machine: at every stage, under every value of every switch.

A green that answers as it should goes on; one that does not, or that nobody reaches, is turned back.
"""

import random
from collections.abc import Sequence
from typing import Any

import pytest

from hooks.smoke_test.handler import handler
from rehearsal.outcome import ActorSpoke, Outcome
from rehearsal.scenario import Scenario
from rehearsal.switches import Switches, values
from rehearsal.world import Rehearsal
from shared.lifecycle import Stage
from tests.conformance.cases import every_switch

USEFUL_AT = (Stage.POST_TEST_TRAFFIC_SHIFT, Stage.POST_PRODUCTION_TRAFFIC_SHIFT)
USELESS_AT = tuple(stage for stage in Stage if stage not in USEFUL_AT)

LATE = {"after": "25s"}
BROKEN = {"errors": True}
UNREACHED: tuple[dict[str, Any], ...] = ({"wrongRevision": True}, {"refuses": True}, {"after": "1h"})


def rehearse(
    rehearsal: Rehearsal,
    switches: dict[str, str],
    green: dict[str, Any],
    *,
    stages: Sequence[Stage] = USEFUL_AT[:1],
    seed: int = 0,
    **parts: Any,
) -> Outcome:
    """Run a deployment with the hook at *stages*, and hold what must always hold against it."""
    scenario = Scenario.model_validate(
        {
            "name": "conformance",
            "service": {"exposure": "alb", "scaleUp": 5, **parts.pop("service", {})},
            "strategy": {"type": "BLUE_GREEN", "bakeTimeInMinutes": 1},
            "hooks": [
                {
                    "hook": "smoke_test",
                    "stages": list(stages),
                    "hookDetails": {
                        "url": "http://localhost:8080",
                        "header": {"name": "x-release", "value": "green"},
                        "checks": [
                            {"path": "/health", "bodyContains": "ok"},
                            {"path": "/", "method": "HEAD"},
                        ],
                    },
                    "policy": {"allowedHosts": ["localhost:8080"]},
                }
            ],
            "actors": [{"site": {"green": green}}],
            "expect": {"status": "SUCCESSFUL"},
            **parts,
        }
    )
    outcome = rehearsal.run(scenario, seed=seed, switches=switches)
    assert {call.answer for call in outcome.calls if call.rollback} <= {"SUCCEEDED"}
    for call in outcome.calls:
        if call.record and call.record["inputs"]:
            assert handler.replay(call.record) == call.record["verdict"]
    return outcome


def reason(outcome: Outcome) -> str:
    records = [call.record for call in outcome.calls if call.record and not call.rollback]
    return str(records[-1]["verdict"]["reason"])


@every_switch
def test_a_green_that_comes_late_and_answers_as_it_should_goes_on(
    rehearsal: Rehearsal, switches: dict[str, str]
) -> None:
    outcome = rehearse(rehearsal, switches, LATE)

    assert outcome.status == "SUCCESSFUL"
    assert reason(outcome) == ("green answers as it should: GET /health: 200 in 0 ms; HEAD /: 200 in 0 ms")


@every_switch
def test_a_broken_one_is_turned_back(rehearsal: Rehearsal, switches: dict[str, str]) -> None:
    outcome = rehearse(rehearsal, switches, BROKEN)

    assert outcome.status == "ROLLBACK_SUCCESSFUL"
    assert reason(outcome).startswith("green fails the smoke test: GET /health: 500 in 0 ms, expected 200")


@pytest.mark.parametrize("green", UNREACHED, ids=str)
def test_one_that_is_never_reached_is_turned_back(rehearsal: Rehearsal, green: dict[str, Any]) -> None:
    outcome = rehearse(rehearsal, {}, green)

    assert outcome.status == "ROLLBACK_SUCCESSFUL"
    assert reason(outcome).startswith("green does not answer as it should in 6 attempts: ")


@pytest.mark.parametrize("strategy", ["CANARY", "LINEAR"])
@pytest.mark.parametrize("stage", USEFUL_AT)
def test_every_strategy_comes_by_once(rehearsal: Rehearsal, strategy: str, stage: Stage) -> None:
    outcome = rehearse(rehearsal, {}, {}, stages=[stage], strategy={"type": strategy})

    assert (outcome.status, len(outcome.calls)) == ("SUCCESSFUL", 1)


@pytest.mark.parametrize("first", [True, False], ids=["first deployment", "later"])
def test_in_production_it_is_asked_as_everybody_asks_and_turned_back_all_the_same(
    rehearsal: Rehearsal, *, first: bool
) -> None:
    service = {"firstDeployment": first}
    outcome = rehearse(rehearsal, {}, BROKEN, stages=USEFUL_AT[1:], service=service)

    assert outcome.status == ("ROLLBACK_FAILED" if first else "ROLLBACK_SUCCESSFUL")
    assert reason(outcome).startswith("green fails the smoke test: ")


@pytest.mark.parametrize("stage", USELESS_AT)
def test_where_it_has_no_use_it_refuses(rehearsal: Rehearsal, stage: Stage) -> None:
    outcome = rehearse(rehearsal, {}, {}, stages=[stage], service={"leftovers": True})

    assert outcome.status == "ROLLBACK_SUCCESSFUL"
    assert reason(outcome).startswith(f"smoke_test has no use at {stage}")
    assert [one for one in outcome.happenings if isinstance(one, ActorSpoke)] == []


@every_switch
def test_where_ecs_shifts_traffic_it_refuses_on_the_way_and_lets_everybody_back(
    rehearsal: Rehearsal, switches: dict[str, str]
) -> None:
    outcome = rehearse(rehearsal, switches, {}, stages=[Stage.PRODUCTION_TRAFFIC_SHIFT])

    assert outcome.status == "ROLLBACK_SUCCESSFUL"
    assert [call.answer for call in outcome.calls if not call.rollback][-1] == "FAILED"


@pytest.mark.parametrize("seed", range(4))
def test_no_combination_of_switches_passes_what_fails_or_refuses_what_holds(
    rehearsal: Rehearsal, seed: int
) -> None:
    rng = random.Random(seed)
    switches = {name: rng.choice(values(name)) for name in Switches.model_fields}
    holds = rehearse(rehearsal, switches, LATE, seed=seed)
    fails = rehearse(rehearsal, switches, BROKEN, seed=seed)

    assert (holds.status, fails.status) == ("SUCCESSFUL", "ROLLBACK_SUCCESSFUL")


def test_equal_seeds_give_equal_outcomes_although_ports_differ(rehearsal: Rehearsal) -> None:
    outcomes = [rehearse(rehearsal, {}, LATE).model_dump_json() for _ in range(2)]

    assert outcomes[0] == outcomes[1]
