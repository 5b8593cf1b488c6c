"""The way back: what triggers it, whom it calls, how it ends, and what is said about it."""

from collections.abc import Callable
from typing import Any

import pytest

from rehearsal.machine import StageMachine
from rehearsal.model import Status
from rehearsal.outcome import StageEntered
from rehearsal.polling import Invocation
from rehearsal.strategy import Strategy
from shared.lifecycle import Stage
from tests.rehearsal.scripted_deployment import (
    BLUE,
    EVERY_STAGE,
    FAILED,
    IN_PROGRESS,
    LEFT,
    SUCCEEDED,
    Answers,
    By,
    ScriptedDeployment,
    canary,
    is_rollback,
    linear,
    pause,
    rolling,
    scripted,
    serving,
)

TARGET = "arn:aws:lambda:us-east-1:123456789012:function:check"
BECAUSE = "Service deployment rolled back because"
BACK = [
    ("PRODUCTION_TRAFFIC_SHIFT", None, True, {}, {"green": 0, "blue": 100}),
    ("TEST_TRAFFIC_SHIFT", None, True, {"green": 0, "blue": 100}, {}),
]
FROM_PROGRESS = ["PENDING", "IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "ROLLBACK_SUCCESSFUL"]


def failing_at(stage: Stage, step: float | None = None) -> By:
    """Answer FAILED at a stage on the way forward, SUCCEEDED anywhere else."""

    def reply(event: dict[str, Any]) -> Any:
        weights = event["executionDetails"]["productionTrafficWeights"]
        there = event["lifecycleStage"] == stage and not is_rollback(event)
        return FAILED if there and (step is None or step in weights.values()) else SUCCEEDED

    return By(reply)


# Triggers


INVALID = f"{BECAUSE} POST_TEST_TRAFFIC_SHIFT lifecycle hook(s) failed. "
NO_STATUS = f"{INVALID}ECS was unable to parse the response from {TARGET} due to HookStatus must not be null"


def unknown(status: str) -> str:
    return f"{INVALID}[ECS was unable to parse the response from {TARGET}: {status} is no hook status]"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        pytest.param(
            FAILED, f"{INVALID}Lifecycle hook target {TARGET} returned FAILED status.", id="returns FAILED"
        ),
        pytest.param(Invocation(error="KeyError: 'serviceArn'"), NO_STATUS, id="raises"),
        pytest.param(
            Invocation(error="Task timed out after 3.00 seconds"), NO_STATUS, id="times out in Lambda"
        ),
        pytest.param({}, NO_STATUS, id="no status"),
        pytest.param({"hookStatus": None}, NO_STATUS, id="null status"),
        pytest.param({"statusCode": 500, "body": '{"hookStatus": "SUCCEEDED"}'}, NO_STATUS, id="API Gateway"),
        pytest.param({"status": "SUCCEEDED"}, NO_STATUS, id="another key"),
        pytest.param(None, NO_STATUS, id="returns nothing"),
        pytest.param("SUCCEEDED", NO_STATUS, id="returns a bare string"),
        pytest.param([SUCCEEDED], NO_STATUS, id="returns a list"),
        pytest.param({"hookStatus": "OK"}, unknown("'OK'"), id="unknown status"),
        pytest.param({"hookStatus": "succeeded"}, unknown("'succeeded'"), id="lower case"),
        pytest.param({"hookStatus": ["SUCCEEDED"]}, unknown("\"['SUCCEEDED']\""), id="a list as status"),
        pytest.param({"hookStatus": True}, unknown("'True'"), id="a boolean as status"),
        pytest.param({"hookStatus": ""}, unknown("''"), id="an empty status"),
        pytest.param(
            Invocation(refused_by_lambda="Rate Exceeded."),
            f"{INVALID}ECS was unable to invoke hook target {TARGET} due to Rate Exceeded.",
            id="throttled by Lambda",
        ),
    ],
)
def test_whatever_is_not_a_valid_answer_rolls_back_and_says_why(reply: Any, reason: str) -> None:
    run = ScriptedDeployment(scripted("check", Answers(reply), Stage.POST_TEST_TRAFFIC_SHIFT)).run()

    assert run.end == ("ROLLBACK_SUCCESSFUL", reason)
    assert run.statuses == FROM_PROGRESS
    assert run.deployment.rollback is not None
    assert (run.deployment.rollback.reason, run.deployment.rollback.service_revision_arn) == (reason, BLUE)


@pytest.mark.parametrize("stage", EVERY_STAGE)
def test_a_failure_at_any_stage_rolls_back_and_names_the_stage(stage: Stage) -> None:
    run = ScriptedDeployment(scripted("check", failing_at(stage)), leftovers=True).run()

    assert run.end == (
        "ROLLBACK_SUCCESSFUL",
        f"{BECAUSE} {stage} lifecycle hook(s) failed. Lifecycle hook target {TARGET} returned FAILED status.",
    )
    before = [(passed.value, False) for passed in EVERY_STAGE[: EVERY_STAGE.index(stage) + 1]]
    assert run.directions == [*before, ("PRODUCTION_TRAFFIC_SHIFT", True), ("TEST_TRAFFIC_SHIFT", True)]
    assert run.calls[-2:] == BACK


@pytest.mark.parametrize(
    ("retry", "ends", "invocations"), [("none", "ROLLBACK_SUCCESSFUL", 1), ("one-retry", "SUCCESSFUL", 2)]
)
def test_a_throttled_invocation_may_or_may_not_be_tried_once_more(
    retry: str, ends: str, invocations: int
) -> None:
    hook = Answers(Invocation(refused_by_lambda="Rate Exceeded."), SUCCEEDED)
    run = ScriptedDeployment(
        scripted("check", hook, Stage.PRE_SCALE_UP), switches={"lambda_error_retry": retry}
    ).run()

    assert run.deployment.status == ends
    assert len(hook.events) == invocations
    assert len({str(event) for event in hook.events}) == 1


def test_a_retry_that_is_throttled_as_well_rolls_back() -> None:
    hook = Answers(Invocation(refused_by_lambda="Rate Exceeded."))
    run = ScriptedDeployment(
        scripted("check", hook, Stage.PRE_SCALE_UP), switches={"lambda_error_retry": "one-retry"}
    ).run()

    assert run.deployment.status == "ROLLBACK_SUCCESSFUL"
    assert len(hook.events) == 2


def test_a_function_that_raises_is_never_retried() -> None:
    hook = Answers(Invocation(error="ValueError"), SUCCEEDED)
    run = ScriptedDeployment(
        scripted("check", hook, Stage.PRE_SCALE_UP), switches={"lambda_error_retry": "one-retry"}
    ).run()

    assert (run.deployment.status, len(hook.events)) == ("ROLLBACK_SUCCESSFUL", 1)


@pytest.mark.parametrize(
    ("action", "end"),
    [
        (
            "ROLLBACK",
            (
                "ROLLBACK_SUCCESSFUL",
                f"{INVALID}[Lifecycle hook target {TARGET} was still IN_PROGRESS at its time-out.]",
            ),
        ),
        ("CONTINUE", ("SUCCESSFUL", None)),
    ],
)
def test_a_hook_still_in_progress_at_its_time_out_ends_as_its_action_says(
    action: Any, end: tuple[str, str]
) -> None:
    hook = scripted(
        "check", Answers(IN_PROGRESS), Stage.POST_TEST_TRAFFIC_SHIFT, timeout_minutes=5, timeout_action=action
    )
    run = ScriptedDeployment(hook).run()

    assert run.end == end
    assert len(run.calls) == 5 * 60 / 30


def test_a_stage_takes_at_most_24_hours() -> None:
    answers = Answers({"hookStatus": "IN_PROGRESS", "callBackDelay": 10**6})
    run = ScriptedDeployment(scripted("check", answers, Stage.PRE_SCALE_UP)).run()

    assert run.deployment.status == "ROLLBACK_SUCCESSFUL"
    assert 1440 <= run.minutes < 1441
    assert len(run.calls) == 1


def test_every_step_of_a_linear_deployment_has_24_hours_of_its_own() -> None:
    day = {"hookStatus": "IN_PROGRESS", "callBackDelay": 86_000}
    run = ScriptedDeployment(
        scripted("check", Answers(day, SUCCEEDED, day, SUCCEEDED), Stage.PRODUCTION_TRAFFIC_SHIFT),
        strategy=linear(50),
    ).run()

    assert run.deployment.status == "SUCCESSFUL"
    assert run.minutes > 2 * 86_000 / 60


def sound(machine: StageMachine) -> bool:
    return machine.sound_alarm("green-5xx")


def test_an_alarm_rolls_back_without_waiting_for_hooks() -> None:
    run = (
        ScriptedDeployment(
            scripted("check", Answers(IN_PROGRESS), Stage.POST_TEST_TRAFFIC_SHIFT),
            alarms=["green-5xx", "slow"],
        )
        .at(600, sound)
        .run()
    )

    assert run.end == ("ROLLBACK_SUCCESSFUL", f"[{BECAUSE} CloudWatch alarms went off: green-5xx.]")
    assert run.statuses == FROM_PROGRESS
    assert run.env.now == 605
    assert run.deployment.alarms == {
        "status": "TRIGGERED",
        "alarmNames": ["green-5xx", "slow"],
        "triggeredAlarmNames": ["green-5xx"],
    }


def test_an_alarm_counts_until_the_bake_is_over() -> None:
    baking = ScriptedDeployment(alarms=["green-5xx"]).at(900, sound).run()
    cleaning_up = ScriptedDeployment(alarms=["green-5xx"]).at(999, sound).run()

    assert baking.stages[-1] == ("BAKE_TIME", None)
    assert baking.deployment.status == "ROLLBACK_SUCCESSFUL"
    assert cleaning_up.stages[-1] == ("CLEAN_UP", None)
    assert cleaning_up.deployment.status == "SUCCESSFUL"


@pytest.mark.parametrize(
    ("alarms", "name", "at"),
    [
        pytest.param([], "green-5xx", 60, id="no alarms"),
        pytest.param(["green-5xx"], "another", 60, id="not an alarm of this deployment"),
        pytest.param(["green-5xx"], "green-5xx", 0.5, id="before the deployment has started"),
    ],
)
def test_an_alarm_that_does_not_concern_the_deployment_changes_nothing(
    alarms: list[str], name: str, at: float
) -> None:
    heard = []
    run = ScriptedDeployment(alarms=alarms)
    run.at(at, lambda machine: heard.append(machine.sound_alarm(name))).run()

    assert heard == [False]
    assert run.statuses == ["PENDING", "IN_PROGRESS", "SUCCESSFUL"]
    assert run.deployment.alarms is None or run.deployment.alarms["triggeredAlarmNames"] == []


@pytest.mark.parametrize("strategy", [Strategy(), rolling()], ids=["BLUE_GREEN", "ROLLING"])
def test_alarms_are_no_longer_monitored_once_a_deployment_has_ended(strategy: Strategy) -> None:
    run = ScriptedDeployment(alarms=["green-5xx"], strategy=strategy).run()

    assert run.deployment.alarms is not None
    assert run.deployment.alarms["status"] == "MONITORING_COMPLETE"
    assert not run.machine.sound_alarm("green-5xx")


def test_the_circuit_breaker_rolls_back_before_any_shift() -> None:
    run = ScriptedDeployment(scripted("check", Answers()), scale_up_fails=True).run()

    assert run.end == ("ROLLBACK_SUCCESSFUL", f"{BECAUSE} the circuit breaker threshold was exceeded.")
    assert run.directions == [
        ("PRE_SCALE_UP", False),
        ("PRODUCTION_TRAFFIC_SHIFT", True),
        ("TEST_TRAFFIC_SHIFT", True),
    ]
    assert run.moves == [("production", 0, 100)]


def stop(kind: str) -> Callable[[StageMachine], object]:
    return lambda machine: machine.request_stop(kind)


def test_a_stopped_deployment_is_polled_while_the_request_is_pending_then_rolls_back() -> None:
    run = (
        ScriptedDeployment(
            scripted("check", Answers({"hookStatus": "IN_PROGRESS", "callBackDelay": 1}), Stage.POST_SCALE_UP)
        )
        .at(120, stop("ROLLBACK"))
        .run()
    )

    assert run.statuses == [
        "PENDING",
        "IN_PROGRESS",
        "ROLLBACK_REQUESTED",
        "ROLLBACK_IN_PROGRESS",
        "ROLLBACK_SUCCESSFUL",
    ]
    assert run.end[1] == f"[{BECAUSE} StopServiceDeployment was called.]"
    assert max(call.at for call in run.hook_calls) == 124


def test_a_deployment_can_be_stopped_before_it_has_started() -> None:
    run = ScriptedDeployment(scripted("check", Answers())).at(0.5, stop("ROLLBACK")).run()

    assert run.statuses == ["PENDING", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS", "ROLLBACK_SUCCESSFUL"]


def test_an_aborted_deployment_stops_where_it_stands() -> None:
    run = (
        ScriptedDeployment(scripted("check", Answers(SUCCEEDED)), strategy=canary(10))
        .at(120, stop("ABORT"))
        .run()
    )

    assert run.statuses == ["PENDING", "IN_PROGRESS", "STOP_REQUESTED", "STOPPED"]
    assert run.end == ("STOPPED", "[Service deployment stopped because StopServiceDeployment was called.]")
    assert run.moves[-1] == ("production", 10, 90)
    assert not any(rollback for _, rollback in run.directions)
    assert run.deployment.stopped_at is not None


def test_stopping_a_deployment_that_is_rolling_back_changes_nothing() -> None:
    run = ScriptedDeployment(
        scripted("check", By(lambda event: IN_PROGRESS if is_rollback(event) else FAILED), timeout_minutes=1)
    )
    run.at(30, stop("ROLLBACK")).at(31, stop("ABORT")).at(32, StageMachine.supersede).run()

    assert run.statuses == ["PENDING", "IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "ROLLBACK_FAILED"]


@pytest.mark.parametrize("first", ["ROLLBACK", "ABORT"])
@pytest.mark.parametrize("second", ["ROLLBACK", "ABORT"])
def test_the_first_request_to_stop_is_the_one_that_counts(first: str, second: str) -> None:
    run = ScriptedDeployment().at(100, stop(first)).at(102, stop(second)).run()

    assert run.deployment.status == {"ROLLBACK": "ROLLBACK_SUCCESSFUL", "ABORT": "STOPPED"}[first]
    assert run.env.now == {"ROLLBACK": 110, "ABORT": 105}[first]


def answer(action: str) -> Callable[[StageMachine], object]:
    return lambda machine: machine.continue_hook(machine.deployment.hook_runs[0], action)


@pytest.mark.parametrize(
    ("action", "end"),
    [
        ("CONTINUE", ("SUCCESSFUL", None)),
        (
            "ROLLBACK",
            (
                "ROLLBACK_SUCCESSFUL",
                f"[{BECAUSE} the POST_TEST_TRAFFIC_SHIFT pause hook was answered ROLLBACK.]",
            ),
        ),
    ],
)
def test_a_pause_hook_waits_for_its_answer(action: str, end: tuple[str, str | None]) -> None:
    run = ScriptedDeployment(pause(Stage.POST_TEST_TRAFFIC_SHIFT)).at(600, answer(action)).run()

    assert run.end == end


@pytest.mark.parametrize(
    ("action", "end"),
    [
        ("ROLLBACK", ("ROLLBACK_SUCCESSFUL", f"{BECAUSE} POST_TEST_TRAFFIC_SHIFT pause hook timed out.")),
        ("CONTINUE", ("SUCCESSFUL", None)),
    ],
)
def test_a_pause_hook_that_nobody_answers_ends_as_its_action_says(
    action: Any, end: tuple[str, str | None]
) -> None:
    run = ScriptedDeployment(
        pause(Stage.POST_TEST_TRAFFIC_SHIFT, timeout_minutes=20_160, timeout_action=action)
    ).run()

    assert run.end == end
    assert run.minutes > 20_160


def test_each_step_has_a_pause_of_its_own() -> None:
    run = ScriptedDeployment(pause(Stage.PRE_PRODUCTION_TRAFFIC_SHIFT), strategy=linear(20))
    seen = []

    def answer_each(machine: StageMachine) -> None:
        def wait() -> Any:
            while machine.process.is_alive:
                for waiting in list(machine.deployment.hook_runs):
                    seen.append(waiting.hook_id)
                    machine.continue_hook(waiting, "CONTINUE")
                yield machine.env.timeout(60)

        machine.env.process(wait())

    run.at(10, answer_each).run()

    assert run.deployment.status == "SUCCESSFUL"
    assert len(seen) == len(set(seen)) == 5
    assert all(hook_id.startswith("ecs-pause-") for hook_id in seen)


# Whom it calls, in which order


@pytest.mark.parametrize("order", ["production-then-test", "test-then-production"])
def test_the_shift_hooks_are_called_back_in_the_order_of_the_switch(order: str) -> None:
    run = ScriptedDeployment(
        scripted("check", failing_at(Stage.POST_PRODUCTION_TRAFFIC_SHIFT)), switches={"rollback_order": order}
    ).run()

    assert run.calls[-2:] == (BACK if order == "production-then-test" else BACK[::-1])
    assert [(route, green) for route, green, _ in run.moves[-2:]] == (
        [("production", 0), ("test", 0)]
        if order == "production-then-test"
        else [("test", 0), ("production", 0)]
    )


@pytest.mark.parametrize(
    ("strategy", "green_at_the_time"),
    [(canary(10), 10), (linear(25), 25), (linear(33.3), 33.3)],
    ids=["CANARY", "LINEAR 25", "LINEAR 33.3"],
)
def test_production_returns_in_one_jump_from_any_step(strategy: Strategy, green_at_the_time: float) -> None:
    run = ScriptedDeployment(
        scripted("check", failing_at(Stage.PRODUCTION_TRAFFIC_SHIFT, green_at_the_time)), strategy=strategy
    ).run()

    assert run.calls[-2:] == BACK
    assert run.moves[-3:] == [
        ("production", green_at_the_time, pytest.approx(100 - green_at_the_time)),
        ("production", 0, 100),
        ("test", 0, 100),
    ]


@pytest.mark.parametrize(
    ("switch", "called_back"),
    [("fires-shift-hooks", BACK), ("fires-none", [])],
    ids=lambda value: str(value)[:17],
)
@pytest.mark.parametrize("stage", [Stage.PRE_SCALE_UP, Stage.POST_SCALE_UP])
def test_before_any_shift_the_hooks_may_or_may_not_be_called_back(
    switch: str, called_back: list[Any], stage: Stage
) -> None:
    run = ScriptedDeployment(
        scripted("check", failing_at(stage)), switches={"rollback_before_shift": switch}
    ).run()

    assert [call for call in run.calls if call[2]] == called_back
    assert run.moves == [("production", 0, 100)]
    assert run.deployment.status == "ROLLBACK_SUCCESSFUL"


@pytest.mark.parametrize("stage", EVERY_STAGE[EVERY_STAGE.index(Stage.TEST_TRAFFIC_SHIFT) :])
def test_after_a_shift_the_hooks_are_called_back_whatever_the_switch_says(stage: Stage) -> None:
    run = ScriptedDeployment(
        scripted("check", failing_at(stage)), switches={"rollback_before_shift": "fires-none"}
    ).run()

    assert [call for call in run.calls if call[2]] == BACK


def test_only_the_shift_stages_are_entered_on_the_way_back() -> None:
    run = ScriptedDeployment(scripted("check", failing_at(Stage.POST_TEST_TRAFFIC_SHIFT))).run()

    entered = [seen.stage for seen in run.happenings if isinstance(seen, StageEntered) and seen.rollback]
    assert entered == ["PRODUCTION_TRAFFIC_SHIFT", "TEST_TRAFFIC_SHIFT"]


@pytest.mark.parametrize("switch", ["shift-first", "hook-first"])
def test_on_the_way_back_too_traffic_moves_before_or_after_the_hooks(switch: str) -> None:
    seen = []

    def look(event: dict[str, Any]) -> Any:
        if is_rollback(event):
            seen.append((run.deployment.target.production_weight, run.deployment.target.test_weight))
            return SUCCEEDED
        return FAILED if event["lifecycleStage"] == Stage.POST_PRODUCTION_TRAFFIC_SHIFT else SUCCEEDED

    run = ScriptedDeployment(scripted("check", By(look)), switches={"shift_and_hook": switch})
    run.run()

    assert seen == ([(0, 100), (0, 0)] if switch == "shift-first" else [(100, 100), (0, 100)])
    assert run.moves[-2:] == [("production", 0, 100), ("test", 0, 100)]


def test_rolling_back_a_rolling_deployment_calls_no_hook() -> None:
    run = ScriptedDeployment(scripted("check", Answers(FAILED)), strategy=rolling()).run()

    assert run.directions == [("PRE_SCALE_UP", False)]
    assert run.deployment.status == "ROLLBACK_SUCCESSFUL"


def test_after_a_rollback_blue_has_everything_and_green_has_no_task() -> None:
    deployment = (
        ScriptedDeployment(scripted("check", failing_at(Stage.POST_PRODUCTION_TRAFFIC_SHIFT)))
        .run()
        .deployment
    )

    (blue,) = deployment.sources
    assert (blue.production_weight, blue.test_weight, blue.running_task_count) == (100, 100, 2)
    assert (deployment.target.production_weight, deployment.target.test_weight) == (0, 0)
    assert deployment.target.running_task_count == 0


def test_of_several_sources_the_one_that_served_gets_everything_back() -> None:
    deployment = (
        ScriptedDeployment(
            scripted("check", failing_at(Stage.POST_PRODUCTION_TRAFFIC_SHIFT)),
            leftovers=True,
            sources=[serving(LEFT, 0.0), serving(BLUE, 100.0)],
        )
        .run()
        .deployment
    )

    assert [source.production_weight for source in deployment.sources] == [0, 100]
    assert deployment.rollback is not None
    assert deployment.rollback.service_revision_arn == BLUE


# How it ends


@pytest.mark.parametrize("back_at", [Stage.PRODUCTION_TRAFFIC_SHIFT, Stage.TEST_TRAFFIC_SHIFT])
@pytest.mark.parametrize(
    "reply", [FAILED, {}, Invocation(error="ValueError")], ids=["FAILED", "no status", "raises"]
)
def test_a_hook_that_fails_while_rolling_back_makes_the_rollback_fail(back_at: Stage, reply: Any) -> None:
    def answer_back(event: dict[str, Any]) -> Any:
        if is_rollback(event):
            return reply if event["lifecycleStage"] == back_at else SUCCEEDED
        return FAILED if event["lifecycleStage"] == Stage.POST_TEST_TRAFFIC_SHIFT else SUCCEEDED

    run = ScriptedDeployment(scripted("check", By(answer_back))).run()

    assert run.end == ("ROLLBACK_FAILED", "[Rollback failed.]")
    assert run.statuses == [*FROM_PROGRESS[:-1], "ROLLBACK_FAILED"]
    assert run.directions[-1] == (back_at, True)


def test_a_hook_may_hold_the_rollback_until_it_has_restored_what_it_changed() -> None:
    def answer_back(event: dict[str, Any]) -> Any:
        if event["lifecycleStage"] == Stage.POST_TEST_TRAFFIC_SHIFT:
            return FAILED
        return IN_PROGRESS if is_rollback(event) and run.env.now < 600 else SUCCEEDED

    run = ScriptedDeployment(scripted("check", By(answer_back)))
    run.run()

    assert run.end[0] == "ROLLBACK_SUCCESSFUL"
    assert run.env.now > 600


@pytest.mark.parametrize("stage", EVERY_STAGE[1:])
def test_a_first_deployment_has_nothing_to_roll_back_to_and_calls_no_hook_back(stage: Stage) -> None:
    run = ScriptedDeployment(scripted("check", failing_at(stage)), sources=[]).run()

    assert run.end == ("ROLLBACK_FAILED", "No rollback candidate was found to run the rollback.")
    assert run.statuses == [*FROM_PROGRESS[:-1], "ROLLBACK_FAILED"]
    assert not any(rollback for _, rollback in run.directions)


def test_a_first_deployment_can_be_turned_back_while_a_hook_waits() -> None:
    run = (
        ScriptedDeployment(
            scripted("check", Answers(IN_PROGRESS), Stage.POST_TEST_TRAFFIC_SHIFT),
            pause(Stage.POST_TEST_TRAFFIC_SHIFT),
            sources=[],
            alarms=["green-5xx"],
        )
        .at(600, sound)
        .run()
    )

    assert run.end == ("ROLLBACK_FAILED", "No rollback candidate was found to run the rollback.")
    assert run.deployment.hook_runs == []


# Superseded by a newer deployment


@pytest.mark.parametrize("switch", ["stopped-silently", "shift-hooks-called"])
def test_a_superseded_deployment_is_stopped_and_its_shift_hooks_may_hear_of_it(switch: str) -> None:
    run = (
        ScriptedDeployment(
            scripted("check", By(lambda event: SUCCEEDED if is_rollback(event) else waits_after_test(event))),
            switches={"superseded": switch},
        )
        .at(600, StageMachine.supersede)
        .run()
    )

    assert run.statuses == ["PENDING", "IN_PROGRESS", "STOP_REQUESTED", "STOPPED"]
    assert run.end[1] == "[Service deployment stopped because a newer deployment of the service started.]"
    assert [call for call in run.calls if call[2]] == (BACK if switch == "shift-hooks-called" else [])


def waits_after_test(event: dict[str, Any]) -> dict[str, Any]:
    return IN_PROGRESS if event["lifecycleStage"] == Stage.POST_TEST_TRAFFIC_SHIFT else SUCCEEDED


def test_a_hook_that_fails_while_a_superseded_deployment_stops_changes_nothing() -> None:
    run = (
        ScriptedDeployment(
            scripted("check", Answers(IN_PROGRESS, FAILED), Stage.PRE_SCALE_UP),
            switches={"superseded": "shift-hooks-called"},
        )
        .at(30, StageMachine.supersede)
        .run()
    )

    assert [call.answer for call in run.hook_calls] == ["IN_PROGRESS", "FAILED"]
    assert run.statuses == ["PENDING", "IN_PROGRESS", "STOP_REQUESTED", "STOPPED"]


def test_an_alarm_while_a_superseded_deployment_stops_changes_nothing() -> None:
    run = ScriptedDeployment(alarms=["green-5xx"]).at(100, StageMachine.supersede).at(102, sound).run()

    assert run.statuses == ["PENDING", "IN_PROGRESS", "STOP_REQUESTED", "STOPPED"]


def test_a_deployment_that_would_have_ended_meanwhile_is_stopped_all_the_same() -> None:
    whole = ScriptedDeployment().run().env.now
    run = ScriptedDeployment().at(whole - 2, StageMachine.supersede).run()

    assert run.statuses == ["PENDING", "IN_PROGRESS", "STOP_REQUESTED", "STOPPED"]


def test_a_deployment_that_was_asked_to_roll_back_does_so_before_a_newer_one_starts() -> None:
    run = ScriptedDeployment().at(100, stop("ROLLBACK")).at(102, StageMachine.supersede).run()

    assert run.statuses == [
        "PENDING",
        "IN_PROGRESS",
        "ROLLBACK_REQUESTED",
        "ROLLBACK_IN_PROGRESS",
        "ROLLBACK_SUCCESSFUL",
    ]


def test_a_newer_deployment_waits_until_this_one_has_ended() -> None:
    ended = []

    def supersede(machine: StageMachine) -> None:
        process = machine.supersede()
        process.callbacks.append(lambda _: ended.append(machine.deployment.status))

    run = ScriptedDeployment().at(100, supersede).run()
    run.env.run()

    assert ended == [Status.STOPPED]
