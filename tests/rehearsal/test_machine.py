"""The walk forward: stages in order, calls and their weights, times."""

from itertools import pairwise
from typing import Any

import pytest

from rehearsal.machine import Exposure
from rehearsal.strategy import Strategy
from shared.lifecycle import Stage
from tests.rehearsal.scripted_deployment import (
    BLUE,
    LEFT,
    SUCCEEDED,
    Answers,
    ScriptedDeployment,
    blue_green,
    canary,
    linear,
    rolling,
    scripted,
    serving,
)

Weights = dict[str, float]

TO_GREEN: Weights = {"green": 100, "blue": 0}
AT_BLUE: Weights = {"green": 0, "blue": 100}


def walked(*steps: tuple[float, Weights, Weights]) -> list[Any]:
    """Write down all calls of a deployment whose steps have these weights before and after."""
    calls: list[Any] = [
        ("PRE_SCALE_UP", None, False, {}, {}),
        ("POST_SCALE_UP", None, False, {}, {}),
        ("TEST_TRAFFIC_SHIFT", None, False, TO_GREEN, {}),
        ("POST_TEST_TRAFFIC_SHIFT", None, False, {}, {}),
    ]
    for step, before, after in steps:
        calls.append(("PRE_PRODUCTION_TRAFFIC_SHIFT", step, False, {}, before))
        calls.append(("PRODUCTION_TRAFFIC_SHIFT", step, False, {}, after))
    return [*calls, ("POST_PRODUCTION_TRAFFIC_SHIFT", None, False, {}, {})]


def share(green: float) -> Weights:
    return {"green": green, "blue": round(100 - green, 1)}


def in_steps(*greens: float) -> list[Any]:
    return walked(*((after, share(before), share(after)) for before, after in pairwise((0, *greens))))


@pytest.mark.parametrize(
    ("strategy", "calls"),
    [
        pytest.param(blue_green(), walked((100, AT_BLUE, TO_GREEN)), id="BLUE_GREEN"),
        pytest.param(canary(10), in_steps(10, 100), id="CANARY 10 %"),
        pytest.param(canary(0.1), in_steps(0.1, 100), id="CANARY 0.1 %"),
        pytest.param(canary(100), in_steps(100), id="CANARY 100 %"),
        pytest.param(linear(10), in_steps(10, 20, 30, 40, 50, 60, 70, 80, 90, 100), id="LINEAR 10 %"),
        pytest.param(linear(30), in_steps(30, 60, 90, 100), id="LINEAR 30 %"),
        pytest.param(linear(33.3), in_steps(33.3, 66.6, 99.9, 100), id="LINEAR 33.3 %"),
        pytest.param(linear(25), in_steps(25, 50, 75, 100), id="LINEAR 25 %"),
        pytest.param(linear(100), in_steps(100), id="LINEAR 100 %"),
        pytest.param(rolling(), [("PRE_SCALE_UP", None, False, {}, {})], id="ROLLING"),
    ],
)
def test_every_stage_is_called_once_or_once_per_step_with_the_weights_of_the_contract(
    strategy: Strategy, calls: list[Any]
) -> None:
    run = ScriptedDeployment(scripted("hook", Answers()), strategy=strategy).run()

    assert run.calls == calls
    assert run.end == ("SUCCESSFUL", None)


@pytest.mark.parametrize("exposure", ["alb", "nlb", "service-connect", "alb+service-connect", "headless"])
def test_the_walk_is_the_same_however_traffic_reaches_the_service(exposure: Exposure) -> None:
    run = ScriptedDeployment(scripted("hook", Answers()), exposure=exposure).run()

    assert run.calls == walked((100, AT_BLUE, TO_GREEN))


@pytest.mark.parametrize(
    ("strategy", "stages"),
    [
        (
            blue_green(),
            [
                ("PRE_SCALE_UP", None),
                ("SCALE_UP", None),
                ("POST_SCALE_UP", None),
                ("TEST_TRAFFIC_SHIFT", None),
                ("POST_TEST_TRAFFIC_SHIFT", None),
                ("PRE_PRODUCTION_TRAFFIC_SHIFT", 100),
                ("PRODUCTION_TRAFFIC_SHIFT", 100),
                ("POST_PRODUCTION_TRAFFIC_SHIFT", None),
                ("BAKE_TIME", None),
                ("CLEAN_UP", None),
            ],
        ),
        (
            linear(50),
            [
                ("PRE_SCALE_UP", None),
                ("SCALE_UP", None),
                ("POST_SCALE_UP", None),
                ("TEST_TRAFFIC_SHIFT", None),
                ("POST_TEST_TRAFFIC_SHIFT", None),
                ("PRE_PRODUCTION_TRAFFIC_SHIFT", 50),
                ("PRODUCTION_TRAFFIC_SHIFT", 50),
                ("BAKE_TIME", 50),
                ("PRE_PRODUCTION_TRAFFIC_SHIFT", 100),
                ("PRODUCTION_TRAFFIC_SHIFT", 100),
                ("POST_PRODUCTION_TRAFFIC_SHIFT", None),
                ("BAKE_TIME", None),
                ("CLEAN_UP", None),
            ],
        ),
        (rolling(), [("PRE_SCALE_UP", None), ("SCALE_UP", None)]),
    ],
    ids=lambda value: value.type if isinstance(value, Strategy) else "",
)
def test_the_deployment_passes_its_stages_in_order(strategy: Strategy, stages: list[Any]) -> None:
    assert ScriptedDeployment(strategy=strategy).run().stages == stages


def test_a_step_bakes_after_every_shift_but_the_last() -> None:
    run = ScriptedDeployment(strategy=linear(10)).run()

    assert [step for stage, step in run.stages if stage == "BAKE_TIME"] == [*range(10, 100, 10), None]


def test_traffic_moves_as_the_steps_say() -> None:
    run = ScriptedDeployment(strategy=linear(33.3)).run()

    assert run.moves == [
        ("production", 0, 100),
        ("test", 100, 0),
        ("production", 33.3, 66.7),
        ("production", 66.6, 33.4),
        ("production", 99.9, 0.1),
        ("production", 100, 0),
    ]


def test_a_successful_deployment_is_pending_then_in_progress_then_successful() -> None:
    run = ScriptedDeployment().run()

    assert run.statuses == ["PENDING", "IN_PROGRESS", "SUCCESSFUL"]
    assert run.deployment.finished_at is not None
    assert run.deployment.rollback is None


def test_after_success_green_has_everything_and_blue_has_no_task() -> None:
    deployment = ScriptedDeployment().run().deployment

    (blue,) = deployment.sources
    assert (deployment.target.production_weight, deployment.target.test_weight) == (100, 100)
    assert (blue.production_weight, blue.requested_task_count, blue.running_task_count) == (0, 0, 0)


def test_a_rolling_deployment_reports_no_stage_and_no_weights() -> None:
    stages = set()

    def look(_event: dict[str, Any]) -> None:
        stages.add(run.deployment.lifecycle_stage)

    class Looking(Answers):
        def __call__(self, event: dict[str, Any]) -> Any:
            look(event)
            return super().__call__(event)

    run = ScriptedDeployment(scripted("hook", Looking()), strategy=rolling())
    run.run()

    assert stages == {None}
    assert run.moves == []
    assert run.deployment.target.production_weight is None


def test_the_deployment_shows_the_stage_of_the_hook_that_is_called() -> None:
    seen = []

    class Looking(Answers):
        def __call__(self, event: dict[str, Any]) -> Any:
            seen.append(
                (event["lifecycleStage"], run.deployment.lifecycle_stage, run.deployment.status.value)
            )
            return super().__call__(event)

    run = ScriptedDeployment(scripted("hook", Looking()))
    run.run()

    assert seen == [(stage.value, stage.value, "IN_PROGRESS") for stage in list(Stage)[1:]]


def test_hooks_are_called_at_their_own_stages_only() -> None:
    run = ScriptedDeployment(
        scripted("admission", Answers(), Stage.PRE_SCALE_UP, Stage.POST_SCALE_UP),
        scripted("approval", Answers(), Stage.POST_TEST_TRAFFIC_SHIFT),
    ).run()

    assert [(call.hook, call.stage) for call in run.hook_calls] == [
        ("admission", "PRE_SCALE_UP"),
        ("admission", "POST_SCALE_UP"),
        ("approval", "POST_TEST_TRAFFIC_SHIFT"),
    ]


def test_the_event_has_the_documented_keys_and_no_others() -> None:
    hook = Answers()
    run = ScriptedDeployment(scripted("hook", hook, Stage.POST_SCALE_UP, details={"key": "value"})).run()

    (event,) = hook.events
    assert event == {
        "executionId": event["executionId"],
        "lifecycleStage": "POST_SCALE_UP",
        "resourceArn": str(run.deployment.arn),
        "executionDetails": {
            "serviceArn": "arn:aws:ecs:us-east-1:123456789012:service/shop/checkout",
            "targetServiceRevisionArn": str(run.deployment.target.arn),
            "testTrafficWeights": {},
            "productionTrafficWeights": {},
        },
        "hookDetails": {"key": "value"},
    }


# How weights are written


def weights_at_production(**options: Any) -> list[dict[str, float]]:
    run = ScriptedDeployment(scripted("hook", Answers(), Stage.PRODUCTION_TRAFFIC_SHIFT), **options).run()
    return [production for *_, production in run.calls]


@pytest.mark.parametrize(("kind", "types"), [("int", {int}), ("float", {float})])
def test_whole_weights_are_of_the_type_the_switch_says(kind: str, types: set[type]) -> None:
    (weights,) = weights_at_production(switches={"weights_type": kind})

    assert {type(weight) for weight in weights.values()} == types


def test_fractional_weights_stay_fractional_whatever_the_switch_says() -> None:
    weights = weights_at_production(strategy=canary(0.1), switches={"weights_type": "int"})

    assert weights == [{"green": 0.1, "blue": 99.9}, {"green": 100, "blue": 0}]


@pytest.mark.parametrize(
    ("order", "expected"), [("target-first", ["green", "blue"]), ("source-first", ["blue", "green"])]
)
def test_the_map_is_in_the_order_the_switch_says(order: str, expected: list[str]) -> None:
    assert [list(weights) for weights in weights_at_production(switches={"map_order": order})] == [expected]


def test_a_random_order_is_now_this_now_that_and_the_same_for_the_same_seed() -> None:
    options: dict[str, Any] = {"strategy": linear(10), "switches": {"map_order": "random"}}
    orders = [[list(weights) for weights in weights_at_production(**options, seed=seed)] for seed in (3, 3)]

    assert orders[0] == orders[1]
    assert {tuple(order) for order in orders[0]} == {("green", "blue"), ("blue", "green")}


def test_a_headless_service_may_get_empty_maps_everywhere() -> None:
    run = ScriptedDeployment(
        scripted("hook", Answers()),
        exposure="headless",
        leftovers=True,
        switches={"headless_weights": "empty"},
    ).run()

    assert {(str(test), str(production)) for *_, test, production in run.calls} == {("{}", "{}")}
    assert len(run.calls) == 8


def test_a_service_with_a_load_balancer_never_gets_empty_maps_at_a_shift() -> None:
    assert weights_at_production(switches={"headless_weights": "empty"}) == [TO_GREEN]


# First deployment, and more than one revision at the start


def test_on_a_first_deployment_maps_have_a_single_key() -> None:
    run = ScriptedDeployment(scripted("hook", Answers()), sources=[]).run()

    assert run.calls == [
        ("PRE_SCALE_UP", None, False, {}, {}),
        ("POST_SCALE_UP", None, False, {}, {}),
        ("TEST_TRAFFIC_SHIFT", None, False, {"green": 100}, {}),
        ("POST_TEST_TRAFFIC_SHIFT", None, False, {}, {}),
        ("PRE_PRODUCTION_TRAFFIC_SHIFT", 100, False, {}, {"green": 0}),
        ("PRODUCTION_TRAFFIC_SHIFT", 100, False, {}, {"green": 100}),
        ("POST_PRODUCTION_TRAFFIC_SHIFT", None, False, {}, {}),
    ]
    assert run.moves == [("production", 0, 0), ("test", 100, 0), ("production", 100, 0)]


def test_reconcile_service_comes_first_when_more_than_one_revision_is_active() -> None:
    run = ScriptedDeployment(
        scripted("hook", Answers(SUCCEEDED)),
        leftovers=True,
        sources=[serving(LEFT, 0.0), serving(BLUE, 100.0)],
    ).run()

    assert run.calls == [
        ("RECONCILE_SERVICE", None, False, TO_GREEN, TO_GREEN),
        *walked((100, AT_BLUE, TO_GREEN)),
    ]


def test_of_several_sources_blue_is_the_one_with_the_traffic() -> None:
    run = ScriptedDeployment(
        scripted("hook", Answers(), Stage.PRODUCTION_TRAFFIC_SHIFT),
        leftovers=True,
        sources=[serving(BLUE, 90.0), serving(LEFT, 10.0)],
    ).run()

    assert run.calls == [("PRODUCTION_TRAFFIC_SHIFT", 100, False, {}, TO_GREEN)]
    assert [source.production_weight for source in run.deployment.sources] == [0, 0]


def test_a_rolling_deployment_has_no_reconcile_service() -> None:
    run = ScriptedDeployment(scripted("hook", Answers()), strategy=rolling(), leftovers=True).run()

    assert run.directions == [("PRE_SCALE_UP", False)]


# Times


@pytest.mark.parametrize(
    ("strategy", "shifts"),
    [(blue_green(), 2), (canary(10), 3), (linear(25), 5)],
    ids=lambda value: str(value)[:12],
)
def test_a_network_load_balancer_takes_ten_minutes_at_each_shift(strategy: Strategy, shifts: int) -> None:
    quick = ScriptedDeployment(strategy=strategy).run()
    slow = ScriptedDeployment(strategy=strategy, exposure="nlb").run()

    assert slow.env.now - quick.env.now == 600 * shifts


@pytest.mark.parametrize(("delay", "seconds"), [("before-hook", 605), ("after-hook", 5)])
def test_the_ten_minutes_pass_before_or_after_the_hooks(delay: str, seconds: float) -> None:
    run = ScriptedDeployment(
        scripted(
            "hook", Answers(), Stage.POST_SCALE_UP, Stage.TEST_TRAFFIC_SHIFT, Stage.POST_TEST_TRAFFIC_SHIFT
        ),
        exposure="nlb",
        switches={"nlb_delay": delay},
    ).run()

    assert run.times == [("hook", 0), ("hook", seconds), ("hook", 605)]


def test_the_bake_of_a_step_follows_its_hooks_or_runs_beside_them() -> None:
    def ended(switch: str, held_minutes: int) -> float:
        hook = Answers({"hookStatus": "IN_PROGRESS", "callBackDelay": 60 * held_minutes}, SUCCEEDED)
        return (
            ScriptedDeployment(
                scripted("hook", hook, Stage.PRODUCTION_TRAFFIC_SHIFT),
                strategy=canary(10, bake=10),
                switches={"bake_and_hook": switch},
            )
            .run()
            .minutes
        )

    alone = ScriptedDeployment(strategy=canary(10, bake=10)).run().minutes

    assert ended("bake-after-hook", 4) == pytest.approx(alone + 4)
    assert ended("overlapping", 4) == pytest.approx(alone)
    assert ended("overlapping", 14) == pytest.approx(alone + 4)


@pytest.mark.parametrize(
    ("switch", "share_during_hooks"), [("shift-first", [100, 10, 100]), ("hook-first", [0, 0, 10])]
)
def test_traffic_moves_before_or_after_the_hooks_of_a_shift(
    switch: str, share_during_hooks: list[float]
) -> None:
    seen = []

    class Looking(Answers):
        def __call__(self, event: dict[str, Any]) -> Any:
            target = run.deployment.target
            test = event["lifecycleStage"] == "TEST_TRAFFIC_SHIFT"
            seen.append(target.test_weight if test else target.production_weight)
            return super().__call__(event)

    run = ScriptedDeployment(
        scripted("hook", Looking(), Stage.TEST_TRAFFIC_SHIFT, Stage.PRODUCTION_TRAFFIC_SHIFT),
        strategy=canary(10),
        switches={"shift_and_hook": switch},
    )
    run.run()

    assert seen == share_during_hooks
    assert run.moves[1:] == [("test", 100, 0), ("production", 10, 90), ("production", 100, 0)]


def test_bakes_of_24_hours_pass_in_no_time() -> None:
    run = ScriptedDeployment(
        scripted("hook", Answers()),
        strategy=Strategy.model_validate({"type": "LINEAR", "stepPercent": 3, "stepBakeTimeInMinutes": 1440}),
    ).run()

    assert len(run.calls) == 5 + 2 * 34
    assert 33 * 1440 < run.minutes < 34 * 1440
