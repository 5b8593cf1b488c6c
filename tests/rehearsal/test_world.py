"""Whole runs: every built-in scenario, and what makes runs comparable."""

import gc
import logging
import math
from typing import Any

import pytest

from rehearsal.outcome import HookCalled, Outcome, StageEntered, StatusChanged
from rehearsal.scenario import Scenario, built_in
from rehearsal.world import Rehearsal

from .conftest import Tour

SCENARIOS = {name: Scenario.read(file) for name, file in built_in().items()}


def scenario(**parts: Any) -> Scenario:
    return Scenario.model_validate({"name": "test", "expect": {"status": "SUCCESSFUL"}, **parts})


def scripted(
    *replies: Any, stages: tuple[str, ...] = ("POST_TEST_TRAFFIC_SHIFT",), **more: Any
) -> dict[str, Any]:
    return {"hook": "scripted", "stages": list(stages), "replies": list(replies), **more}


SUCCEEDED, FAILED = {"hookStatus": "SUCCEEDED"}, {"hookStatus": "FAILED"}
WAITS = {"hookStatus": "IN_PROGRESS", "callBackDelay": 60}


def statuses(outcome: Outcome) -> dict[str, list[str]]:
    """Return the statuses of every deployment, in order of appearance."""
    seen: dict[str, list[str]] = {}
    for happening in outcome.happenings:
        if isinstance(happening, StatusChanged):
            seen.setdefault(happening.deployment, []).append(happening.status)
    return seen


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_built_in_scenario_ends_as_it_expects(tour: Tour, name: str) -> None:
    outcome = tour.outcomes[name]

    assert [check for check in outcome.checks if not check.held] == []
    assert outcome.checks
    assert outcome.as_expected


# One run could only colour another through something that it has: an actor, a hook, the service's shape.
# These few have all that there is.
EVERY_PART = (
    "alarm-while-waiting",
    "canary",
    "linear",
    "first-deployment-rejected",
    "superseded",
    "throttled",
    "stopped-by-hand",
    "pause-hook",
    "deployer-excluded",
    "blue-suffers",
    "left-behind",
    "edited-by-hand",
    "service-connect",
    "registry-throttled",
    "smoke-refused",
)


def parts(*names: str) -> set[tuple[str, Any]]:
    """Return what scenarios are made of."""
    found = [SCENARIOS[name] for name in names]
    return {
        *(("actor", kind) for one in found for actor in one.actors for kind in actor),
        *(("hook", hook.hook) for one in found for hook in one.hooks),
        *(("strategy", one.strategy.type) for one in found),
        *(("exposure", one.service.exposure) for one in found),
        *(("first deployment", one.service.first_deployment) for one in found),
    }


@pytest.mark.thorough
def test_runs_are_the_same_in_another_order_and_when_run_again(rehearsal: Rehearsal, tour: Tour) -> None:
    assert parts(*EVERY_PART) == parts(*SCENARIOS), "a new scenario has a part that none of these has"

    differing = []
    # The tour had them in about this order; the first of them is now run after all others, and again.
    for name in (*reversed(EVERY_PART), EVERY_PART[0]):
        again = rehearsal.run(SCENARIOS[name]).model_dump_json()
        if again != tour.outcomes[name].model_dump_json():
            differing.append(name)

    assert differing == []


def test_a_new_rehearsal_makes_no_difference_either() -> None:
    outcomes = []
    for _ in range(2):
        with Rehearsal() as rehearsal:
            outcomes.append(
                rehearsal.run(
                    SCENARIOS["rejected"],
                    seed=5,
                    switches={"map_order": "random", "duplicate_delivery": "on"},
                )
            )

    assert outcomes[0].model_dump_json() == outcomes[1].model_dump_json()


def test_another_seed_is_another_run(rehearsal: Rehearsal) -> None:
    first, second = (rehearsal.run(scenario(), seed=seed) for seed in (1, 2))

    assert statuses(first).keys() != statuses(second).keys()
    assert list(statuses(first).values()) == list(statuses(second).values())


def test_an_outcome_survives_json(tour: Tour) -> None:
    for outcome in tour.outcomes.values():
        assert Outcome.model_validate_json(outcome.model_dump_json()) == outcome


def test_what_is_seen_live_is_what_the_outcome_holds(rehearsal: Rehearsal) -> None:
    live: list[Any] = []
    outcome = rehearsal.run(scenario(hooks=[scripted(WAITS, SUCCEEDED)]), saw=live.append)

    assert live == outcome.happenings


def test_happenings_are_in_order_of_time(tour: Tour) -> None:
    for outcome in tour.outcomes.values():
        times = [happening.at for happening in outcome.happenings]
        assert times == sorted(times)


@pytest.mark.thorough
def test_memory_stays_flat_over_many_runs(rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch) -> None:
    # pytest keeps every line that reaches the root logger.
    monkeypatch.setattr(logging.getLogger("ecs-lifecycle-hooks"), "propagate", False)
    approved = scenario(
        hooks=[{"hook": "manual_approval", "stages": ["POST_TEST_TRAFFIC_SHIFT"]}],
        actors=[{"approver": {"after": "20s"}}],
    )
    counts = {}
    for number in range(1, 61):
        assert rehearsal.run(approved, seed=number).as_expected
        if number in {20, 60}:
            gc.collect()
            counts[number] = len(gc.get_objects())

    # A run makes tens of thousands of objects; forty of them may leave a few in caches.
    assert counts[60] - counts[20] < 200


def test_switches_given_for_a_run_go_before_those_of_the_scenario(rehearsal: Rehearsal) -> None:
    outcome = rehearsal.run(
        scenario(switches={"weights_type": "float", "merge": "replace"}), switches={"merge": "shallow"}
    )

    assert outcome.switches == {"weights_type": "float"}


def test_an_outcome_says_what_was_rehearsed(rehearsal: Rehearsal) -> None:
    outcome = rehearsal.run(
        scenario(
            description="A test.",
            service={"name": "web", "cluster": "prod", "exposure": "nlb"},
            strategy={"type": "CANARY"},
        ),
        seed=7,
    )

    described = outcome.model_dump(exclude={"happenings", "started_at", "checks"})
    assert described == {
        "scenario": "test",
        "description": "A test.",
        "seed": 7,
        "switches": {},
        "duration_seconds": 1 + 60 + 3 * 605 + 600 + 900 + 60,
        "service": "web in prod",
        "strategy": "CANARY",
        "exposure": "nlb",
        "status": "SUCCESSFUL",
        "status_reason": None,
        "consumption": None,
    }


def test_two_hooks_of_one_kind_have_answers_of_their_own(rehearsal: Rehearsal) -> None:
    outcome = rehearsal.run(
        scenario(
            hooks=[scripted(WAITS, WAITS, SUCCEEDED), scripted(FAILED)],
            expect={
                "status": "ROLLBACK_SUCCESSFUL",
                "answers": {"scripted": "SUCCEEDED", "scripted-2": "FAILED"},
            },
        )
    )

    assert outcome.as_expected
    assert outcome.status_reason is not None
    assert "function:scripted-2 returned FAILED" in outcome.status_reason


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ({"raise": "KeyError"}, "HookStatus must not be null"),
        ({"throttle": "Rate Exceeded."}, "due to Rate Exceeded."),
        ({"statusCode": 200}, "HookStatus must not be null"),
        ("SUCCEEDED", "HookStatus must not be null"),
    ],
    ids=str,
)
def test_a_scripted_hook_can_fail_in_every_way(rehearsal: Rehearsal, reply: Any, words: str) -> None:
    outcome = rehearsal.run(
        scenario(hooks=[scripted(reply)], expect={"status": "ROLLBACK_SUCCESSFUL", "reason": words})
    )

    assert outcome.as_expected, outcome.status_reason


def test_a_deployment_that_never_ends_is_given_up_after_sixty_days(rehearsal: Rehearsal) -> None:
    outcome = rehearsal.run(scenario(service={"scaleUp": "365d"}))

    assert (outcome.status, outcome.as_expected) == ("IN_PROGRESS", False)
    assert math.isclose(outcome.duration_seconds, 60 * 86_400)


def test_every_expectation_is_held_against_what_happened(rehearsal: Rehearsal) -> None:
    outcome = rehearsal.run(
        scenario(
            hooks=[scripted(WAITS, SUCCEEDED)],
            expect={
                "status": "STOPPED",
                "reason": "words",
                "answers": {"scripted": "FAILED"},
                "because": {"scripted": "words"},
                "callsAtMost": {"scripted": 1},
                "callsAtLeast": {"scripted": 3},
                "lastsAtLeast": "2h",
                "lastsAtMost": "1m",
                "later": {"2": "SUCCESSFUL"},
            },
        )
    )

    assert [(check.text, check.seen, check.held) for check in outcome.checks] == [
        ("status is STOPPED", "SUCCESSFUL", False),
        ("the reason says 'words'", "", False),
        ("scripted ends with FAILED", "SUCCEEDED", False),
        ("scripted says 'words'", "nothing recorded", False),
        ("scripted is called at most 1 times", "2", False),
        ("scripted is called at least 3 times", "2", False),
        ("deployment 2 ends SUCCESSFUL", "no such deployment", False),
        ("lasts 7200 s or longer", "1091 s", False),
        ("lasts 60 s or less", "1091 s", False),
    ]


# From one deployment to the next


def stages(outcome: Outcome) -> list[tuple[str, bool]]:
    return [(seen.stage, seen.rollback) for seen in outcome.happenings if isinstance(seen, StageEntered)]


def green_target_groups(rehearsal: Rehearsal) -> list[str]:
    """Return the target group of blue, then of each deployment's green."""
    revisions = rehearsal.cloud.control_plane.revisions.values()
    return [
        revision.resolved_load_balancers[0]["targetGroupArn"]
        for revision in revisions
        if revision.resolved_load_balancers
    ]


def test_what_a_superseded_deployment_leaves_is_reconciled_by_the_next(rehearsal: Rehearsal) -> None:
    outcome = rehearsal.run(
        scenario(
            hooks=[scripted(SUCCEEDED, stages=("RECONCILE_SERVICE",))],
            strategy={"bakeTimeInMinutes": 5},
            actors=[{"release": {"after": "70s"}}],
            expect={"status": "STOPPED", "later": {"2": "SUCCESSFUL"}, "callsAtLeast": {"scripted": 1}},
        )
    )

    assert outcome.as_expected
    assert list(statuses(outcome).values()) == [
        ["PENDING", "IN_PROGRESS", "STOP_REQUESTED", "STOPPED"],
        ["PENDING", "IN_PROGRESS", "SUCCESSFUL"],
    ]
    assert [call.stage for call in outcome.calls] == ["RECONCILE_SERVICE"]
    _, second = rehearsal.cloud.control_plane.deployments.values()
    assert len(second.sources) == 2


@pytest.mark.parametrize(
    ("after", "blue_of_the_next"),
    [("62s", "blue"), ("5m", "green")],
    ids=["before the shift", "while baking"],
)
def test_the_blue_of_the_next_deployment_is_what_serves(
    rehearsal: Rehearsal, after: str, blue_of_the_next: str
) -> None:
    outcome = rehearsal.run(
        scenario(
            hooks=[scripted(SUCCEEDED, stages=("PRODUCTION_TRAFFIC_SHIFT",))],
            actors=[{"release": {"after": after}}],
        )
    )

    first, second = rehearsal.cloud.control_plane.deployments.values()
    serves = {"blue": first.sources[0].arn, "green": first.target.arn}[blue_of_the_next]
    weights = outcome.calls[-1].event["executionDetails"]["productionTrafficWeights"]
    assert weights == {str(second.target.arn): 100, str(serves): 0}


def test_two_releases_at_once_supersede_one_another(rehearsal: Rehearsal) -> None:
    outcome = rehearsal.run(
        scenario(
            actors=[{"release": {"after": "70s"}}, {"release": {"after": "72s"}}],
            expect={"status": "STOPPED", "later": {"2": "STOPPED", "3": "SUCCESSFUL"}},
        )
    )

    assert outcome.as_expected, list(statuses(outcome).values())


def test_colours_alternate_from_one_success_to_the_next_and_not_after_a_failure(rehearsal: Rehearsal) -> None:
    rehearsal.run(
        scenario(
            # The first deployment is refused, the second passes.
            hooks=[scripted(FAILED, SUCCEEDED)],
            actors=[{"release": {"after": "75s"}}, {"sweeper": {"after": "1h"}}],
            expect={"status": "ROLLBACK_SUCCESSFUL"},
        )
    )

    blue, first, second = green_target_groups(rehearsal)
    assert blue != first
    assert first == second


def test_a_first_deployment_that_failed_is_a_first_deployment_when_tried_again(rehearsal: Rehearsal) -> None:
    outcome = rehearsal.run(
        scenario(
            service={"firstDeployment": True},
            hooks=[scripted(FAILED, SUCCEEDED)],
            actors=[{"release": {"after": "75s"}}, {"sweeper": {"after": "1h"}}],
            expect={"status": "ROLLBACK_FAILED", "later": {"2": "SUCCESSFUL"}},
        )
    )

    assert outcome.as_expected
    assert [len(made.sources) for made in rehearsal.cloud.control_plane.deployments.values()] == [0, 0]
    assert ("RECONCILE_SERVICE", False) not in stages(outcome)


def test_the_rehearsals_own_defects_are_not_taken_for_aws(rehearsal: Rehearsal) -> None:
    broken = RuntimeError("a defect")

    def break_it(happening: Any) -> None:
        if isinstance(happening, HookCalled):
            rehearsal.cloud.defects.append(broken)

    with pytest.raises(RuntimeError, match="a defect"):
        rehearsal.run(scenario(hooks=[scripted(SUCCEEDED)]), saw=break_it)
    assert rehearsal.run(scenario()).as_expected


def test_blue_is_gone_when_the_scenario_says(rehearsal: Rehearsal) -> None:
    lasts = [rehearsal.run(scenario(service={"cleanUp": seconds})).duration_seconds for seconds in (1, 60)]

    assert lasts[1] - lasts[0] == 59
