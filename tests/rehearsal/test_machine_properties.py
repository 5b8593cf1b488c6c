"""What holds of every deployment, whatever its hooks answer and whatever interrupts it."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rehearsal.machine import StageMachine
from rehearsal.model import LifecycleHook
from rehearsal.polling import Invocation, Target
from rehearsal.strategy import Strategy
from rehearsal.switches import Switches, values
from shared.lifecycle import Stage
from tests.rehearsal.scripted_deployment import (
    BLUE,
    EVERY_STAGE,
    LEFT,
    Answers,
    ScriptedDeployment,
    pause,
    scripted,
    serving,
)

# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-deployment.html
ARROWS = {
    "PENDING": {"IN_PROGRESS", "ROLLBACK_REQUESTED", "STOP_REQUESTED", "STOPPED"},
    "IN_PROGRESS": {"SUCCESSFUL", "STOP_REQUESTED", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS", "STOPPED"},
    "STOP_REQUESTED": {"STOPPED"},
    "ROLLBACK_REQUESTED": {"SUCCESSFUL", "ROLLBACK_IN_PROGRESS", "STOPPED"},
    "ROLLBACK_IN_PROGRESS": {"ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED"},
}
ENDS = {"SUCCESSFUL", "STOPPED", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED"}

statuses = st.sampled_from(
    ["SUCCEEDED", "SUCCEEDED", "SUCCEEDED", "IN_PROGRESS", "FAILED", "OK", None, 1, ["x"]]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)
replies = st.one_of(
    st.just({"hookStatus": "SUCCEEDED"}),
    st.just({"hookStatus": "SUCCEEDED"}),
    st.fixed_dictionaries(
        {"hookStatus": statuses},
        optional={
            "callBackDelay": st.integers(100, 100_000) | json_values,
            "hookDetails": st.dictionaries(st.text(max_size=5), json_values, max_size=3) | json_values,
        },
    ),
    st.builds(Invocation, error=st.just("raised")),
    st.builds(Invocation, refused_by_lambda=st.just("throttled")),
    json_values,
)
stages = st.lists(st.sampled_from(EVERY_STAGE), min_size=1, max_size=8, unique=True)
actions: st.SearchStrategy[Any] = st.sampled_from(["ROLLBACK", "CONTINUE"])


@st.composite
def functions(draw: st.DrawFn) -> tuple[LifecycleHook, Target]:
    number = draw(st.integers(0, 10**9))
    return scripted(
        f"hook-{number}",
        # The last answer is given for ever, and should not always be to wait.
        Answers(*draw(st.lists(replies, min_size=1, max_size=6)), *draw(st.sampled_from([(), ({},)]))),
        *draw(stages),
        details=draw(
            st.none() | st.dictionaries(st.text(max_size=5), json_values, max_size=3) | st.text(max_size=5)
        ),
        timeout_minutes=draw(st.integers(1, 60)),
        timeout_action=draw(actions),
    )


@st.composite
def pauses(draw: st.DrawFn) -> tuple[LifecycleHook, Target]:
    barred = {Stage.TEST_TRAFFIC_SHIFT, Stage.PRODUCTION_TRAFFIC_SHIFT}
    allowed = [stage for stage in EVERY_STAGE if stage not in barred]
    return pause(
        *draw(st.lists(st.sampled_from(allowed), min_size=1, unique=True)),
        timeout_minutes=draw(st.integers(1, 600)),
        timeout_action=draw(actions),
    )


deployments = st.sampled_from(
    [
        {"type": "BLUE_GREEN"},
        {"type": "ROLLING"},
        {"type": "CANARY", "canaryPercent": 0.1},
        {"type": "CANARY", "canaryPercent": 10},
        {"type": "LINEAR", "stepPercent": 33.3},
        {"type": "LINEAR", "stepPercent": 25, "stepBakeTimeInMinutes": 0},
    ]
).map(Strategy.model_validate)

switches = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(values(name)) for name in Switches.model_fields}
)


def answer_pauses(action: str) -> Callable[[StageMachine], object]:
    def act(machine: StageMachine) -> None:
        for run in list(machine.deployment.hook_runs):
            if run.hook.target_type == "PAUSE":
                machine.continue_hook(run, action)

    return act


interrupts = st.tuples(
    st.floats(0, 4_000),
    st.sampled_from(
        [
            StageMachine.supersede,
            lambda machine: machine.request_stop("ROLLBACK"),
            lambda machine: machine.request_stop("ABORT"),
            lambda machine: machine.sound_alarm("green-5xx"),
            answer_pauses("CONTINUE"),
            answer_pauses("ROLLBACK"),
        ]
    ),
)
# Moments at which something else happens too: the start, the stages, the shifts.
moments = st.sampled_from([0.0, 1.0, 61.0, 66.0, 71.0])
interrupts = interrupts | st.builds(lambda at, interrupt: (at, interrupt[1]), moments, interrupts)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    hooks=st.lists(functions(), max_size=4, unique_by=lambda entry: entry[0].name),
    paused=st.lists(pauses(), max_size=1),
    strategy=deployments,
    exposure=st.sampled_from(["alb", "nlb", "service-connect", "headless"]),
    chosen=switches,
    start=st.sampled_from(["first", "update", "leftovers"]),
    scale_up_fails=st.sampled_from([False, False, False, True]),
    happening=st.lists(interrupts, max_size=4),
    seed=st.integers(0, 3),
)
def test_every_deployment_ends_in_order(
    *,
    hooks: list[tuple[LifecycleHook, Target]],
    paused: list[tuple[LifecycleHook, Target]],
    strategy: Strategy,
    exposure: Any,
    chosen: dict[str, str],
    start: str,
    scale_up_fails: bool,
    happening: list[tuple[float, Callable[[StageMachine], object]]],
    seed: int,
) -> None:
    weight = None if strategy.type == "ROLLING" else 100.0
    blue = serving(BLUE, weight)
    sources = {"first": [], "update": [blue], "leftovers": [serving(LEFT, weight and 0.0), blue]}[start]
    run = ScriptedDeployment(
        *hooks,
        *paused,
        strategy=strategy,
        exposure=exposure,
        switches=chosen,
        sources=sources,
        leftovers=start == "leftovers",
        scale_up_fails=scale_up_fails,
        alarms=["green-5xx"],
        seed=seed,
    )
    for at, act in happening:
        run.at(at, act)
    machine_processes = len(run.env.started)
    run.run()

    # It ends, once, along the arrows.
    assert run.statuses[0] == "PENDING"
    assert run.statuses[-1] in ENDS
    assert run.deployment.status == run.statuses[-1]
    for before, after in pairwise(run.statuses):
        assert after in ARROWS.get(before, set()), run.statuses
    # Traffic is always whole, and goes where the end says.
    for route, green, blue_share in run.moves:
        whole = 100 if start != "first" else green
        assert green + blue_share == pytest.approx(whole), route
    production = run.deployment.target.production_weight
    if strategy.type != "ROLLING":
        assert production == {"SUCCESSFUL": 100, "ROLLBACK_SUCCESSFUL": 0}.get(run.statuses[-1], production)
    # Every map of weights in an event is whole or empty.
    for *_, test, to_production in run.calls:
        for weights in (test, to_production):
            assert not weights or len(weights) == 1 or sum(weights.values()) == pytest.approx(100)
    # Nothing is left: no hook is shown, no child process waits.
    assert run.deployment.hook_runs == []
    children = [process for process in run.env.started[machine_processes:] if process.is_alive]
    assert all(process.name == "_later" for process in children), children
    # Nothing is called after the end, whoever still speaks up.
    calls = len(run.hook_calls)
    run.env.run()
    assert len(run.hook_calls) == calls
    assert run.statuses[-1] == run.deployment.status
    # Forward calls come in the order of the stages; where hooks are attached.
    attached = {hook.name: set(hook.stages) for hook, _ in hooks}
    assert all(Stage(call.stage) in attached[call.hook] for call in run.hook_calls)
    assert [call.rollback for call in run.hook_calls] == sorted(call.rollback for call in run.hook_calls)
