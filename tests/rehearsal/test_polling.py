"""One hook at one stage: delays, hookDetails on their way through, ids, duplicates, siblings."""

from typing import Any

import pytest

from rehearsal.outcome import PauseChanged
from shared.lifecycle import Stage
from tests.rehearsal.scripted_deployment import (
    FAILED,
    IN_PROGRESS,
    SUCCEEDED,
    Answers,
    By,
    ScriptedDeployment,
    canary,
    is_rollback,
    linear,
    pause,
    scripted,
)

AT = Stage.POST_TEST_TRAFFIC_SHIFT


def waiting(delay: Any = 10, **details: Any) -> dict[str, Any]:
    return {"hookStatus": "IN_PROGRESS", "callBackDelay": delay, "hookDetails": details}


# callBackDelay


@pytest.mark.parametrize(
    ("reply", "seconds"),
    [
        pytest.param({"callBackDelay": 60}, 60, id="as asked"),
        pytest.param({"callBackDelay": 1}, 1, id="a second"),
        pytest.param({}, 30, id="absent"),
        pytest.param({"callBackDelay": None}, 30, id="null"),
        pytest.param({"callBackDelaySeconds": 60}, 30, id="the older spelling"),
        pytest.param({"callbackDelay": 60}, 30, id="another spelling"),
        pytest.param({"callBackDelay": "60"}, 30, id="a string"),
        pytest.param({"callBackDelay": 60.5}, 30, id="a float"),
        pytest.param({"callBackDelay": True}, 30, id="a boolean"),
        pytest.param({"callBackDelay": [60]}, 30, id="a list"),
        pytest.param({"callBackDelay": 0}, 30, id="zero"),
        pytest.param({"callBackDelay": -5}, 30, id="negative"),
    ],
)
def test_the_next_call_comes_after_the_delay_or_after_30_seconds(
    reply: dict[str, Any], seconds: float
) -> None:
    run = ScriptedDeployment(scripted("hook", Answers({**IN_PROGRESS, **reply}, SUCCEEDED), AT)).run()

    assert run.times == [("hook", 0), ("hook", seconds)]
    assert [call.attempt for call in run.hook_calls] == [1, 2]
    assert [call.callback_seconds for call in run.hook_calls] == [seconds, None]


def test_a_delay_beyond_all_numbers_ends_at_the_time_out() -> None:
    run = ScriptedDeployment(scripted("hook", Answers({**IN_PROGRESS, "callBackDelay": 10**400}), AT)).run()

    assert run.deployment.status == "ROLLBACK_SUCCESSFUL"
    assert len(run.calls) == 1


def test_keys_that_are_no_part_of_a_reply_are_tolerated() -> None:
    run = ScriptedDeployment(scripted("hook", Answers({**SUCCEEDED, "reason": "because"}), AT)).run()

    assert run.deployment.status == "SUCCESSFUL"


# hookDetails


def test_configured_details_arrive_on_every_call() -> None:
    hook = Answers()
    ScriptedDeployment(scripted("hook", hook, details={"key": "value"})).run()

    assert hook.details == [{"key": "value"}] * 7


@pytest.mark.parametrize(("form", "seen"), [("missing", "missing"), ("null", None)])
def test_no_details_are_spelled_as_the_switch_says(form: str, seen: object) -> None:
    hook = Answers()
    ScriptedDeployment(scripted("hook", hook, AT), switches={"hook_details_absent_form": form}).run()

    assert hook.details == [seen]


@pytest.mark.parametrize(
    ("merge", "second", "third"),
    [
        ("shallow", {"a": 1, "deep": {"y": 2}, "new": 3}, {"a": 9, "deep": {"y": 2}, "new": 3}),
        ("replace", {"deep": {"y": 2}, "new": 3}, {"a": 9}),
    ],
)
def test_returned_details_are_merged_or_replace_what_was_there(
    merge: str, second: dict[str, Any], third: dict[str, Any]
) -> None:
    hook = Answers(waiting(deep={"y": 2}, new=3), waiting(a=9), SUCCEEDED)
    ScriptedDeployment(
        scripted("hook", hook, AT, details={"a": 1, "deep": {"x": 1}}), switches={"merge": merge}
    ).run()

    assert hook.details == [{"a": 1, "deep": {"x": 1}}, second, third]


@pytest.mark.parametrize("returned", [None, "text", ["a"], 7], ids=lambda value: type(value).__name__)
def test_returned_details_that_are_no_object_change_nothing(returned: object) -> None:
    hook = Answers({**IN_PROGRESS, "hookDetails": returned}, SUCCEEDED)
    ScriptedDeployment(scripted("hook", hook, AT, details={"a": 1})).run()

    assert hook.details == [{"a": 1}, {"a": 1}]


def test_details_configured_as_a_string_arrive_as_one_until_something_is_merged_into_them() -> None:
    hook = Answers(IN_PROGRESS, waiting(b=2), SUCCEEDED)
    ScriptedDeployment(scripted("hook", hook, AT, details='{"a": 1}')).run()

    assert hook.details == ['{"a": 1}', '{"a": 1}', {"a": 1, "b": 2}]


@pytest.mark.parametrize("text", ["not JSON", "[1]"])
def test_a_configured_string_that_is_no_object_is_lost_in_the_merge(text: str) -> None:
    hook = Answers(waiting(b=2), SUCCEEDED)
    ScriptedDeployment(scripted("hook", hook, AT, details=text)).run()

    assert hook.details == [text, {"b": 2}]


def test_details_are_kept_only_with_in_progress() -> None:
    hook = Answers({**SUCCEEDED, "hookDetails": {"b": 2}})
    ScriptedDeployment(
        scripted("hook", hook, details={"a": 1}), switches={"hook_details_scope": "per-hook-entry"}
    ).run()

    assert hook.details == [{"a": 1}] * 7


def test_a_function_can_not_change_what_ecs_keeps_by_changing_its_event() -> None:
    def reply(event: dict[str, Any]) -> Any:
        seen.append(event["hookDetails"].copy())
        event["hookDetails"]["a"] = "changed"
        return SUCCEEDED if len(seen) > 1 else IN_PROGRESS

    seen: list[Any] = []
    ScriptedDeployment(scripted("hook", By(reply), AT, details={"a": 1})).run()

    assert seen == [{"a": 1}, {"a": 1}]


def test_details_never_reach_another_hook() -> None:
    one, other = Answers(waiting(mine=1), SUCCEEDED), Answers(IN_PROGRESS, SUCCEEDED)
    ScriptedDeployment(
        scripted("one", one, AT),
        scripted("other", other, AT),
        switches={"hook_details_scope": "per-hook-entry"},
    ).run()

    assert (one.details, other.details) == (["missing", {"mine": 1}], ["missing", "missing"])


@pytest.mark.parametrize(
    ("scope", "seen"),
    [
        ("per-stage-step", [{}, {"from": 10}, {}, {"from": 100}]),
        ("per-hook-entry", [{}, {"from": 10}, {"from": 10}, {"from": 100}]),
    ],
)
def test_details_travel_from_step_to_step_or_not(scope: str, seen: list[Any]) -> None:
    hook = Answers(waiting(**{"from": 10}), SUCCEEDED, waiting(**{"from": 100}), SUCCEEDED)
    ScriptedDeployment(
        scripted("hook", hook, Stage.PRODUCTION_TRAFFIC_SHIFT, details={}),
        strategy=canary(10),
        switches={"hook_details_scope": scope},
    ).run()

    assert hook.details == seen


@pytest.mark.parametrize(
    ("scope", "at_the_next_stage"),
    [("per-stage-step", {}), ("per-hook-entry", {"from": "TEST_TRAFFIC_SHIFT"})],
)
def test_details_travel_from_stage_to_stage_or_not(scope: str, at_the_next_stage: dict[str, Any]) -> None:
    hook = Answers(waiting(**{"from": "TEST_TRAFFIC_SHIFT"}), SUCCEEDED)
    ScriptedDeployment(
        scripted("hook", hook, Stage.TEST_TRAFFIC_SHIFT, AT, details={}),
        switches={"hook_details_scope": scope},
    ).run()

    assert hook.details == [{}, {"from": "TEST_TRAFFIC_SHIFT"}, at_the_next_stage]


CONFIGURED = {"configured": True}
TEST_STATE = {"configured": True, "last": ["TEST_TRAFFIC_SHIFT", 0]}
PRODUCTION_STATE = {"configured": True, "last": ["PRODUCTION_TRAFFIC_SHIFT", 20]}


@pytest.mark.parametrize(
    ("scope", "on_rollback", "at_production", "at_test"),
    [
        ("per-stage-step", "config-only", CONFIGURED, CONFIGURED),
        ("per-hook-entry", "config-only", CONFIGURED, CONFIGURED),
        ("per-stage-step", "config+runtime", PRODUCTION_STATE, TEST_STATE),
        ("per-hook-entry", "config+runtime", PRODUCTION_STATE, PRODUCTION_STATE),
    ],
)
def test_a_rollback_call_sees_what_the_switches_say(
    scope: str, on_rollback: str, at_production: dict[str, Any], at_test: dict[str, Any]
) -> None:
    """Two steps of a linear deployment leave state; then the hook after the second one refuses."""
    back: list[Any] = []
    polled: set[Any] = set()

    def reply(event: dict[str, Any]) -> Any:
        stage = event["lifecycleStage"]
        if is_rollback(event):
            back.append((stage, event["hookDetails"]))
            return SUCCEEDED
        green = max(event["executionDetails"]["productionTrafficWeights"].values(), default=0)
        share = 0 if stage == "TEST_TRAFFIC_SHIFT" else 100 - green
        if (stage, share) in polled:
            return SUCCEEDED
        polled.add((stage, share))
        return waiting(last=[stage, share])

    refuses_third = Answers(SUCCEEDED, SUCCEEDED, FAILED)
    ScriptedDeployment(
        scripted(
            "hook", By(reply), Stage.TEST_TRAFFIC_SHIFT, Stage.PRODUCTION_TRAFFIC_SHIFT, details=CONFIGURED
        ),
        scripted("other", refuses_third, Stage.PRE_PRODUCTION_TRAFFIC_SHIFT),
        strategy=linear(10),
        switches={"hook_details_scope": scope, "hook_details_on_rollback": on_rollback},
    ).run()

    assert back == [("PRODUCTION_TRAFFIC_SHIFT", at_production), ("TEST_TRAFFIC_SHIFT", at_test)]


@pytest.mark.parametrize("on_rollback", ["config-only", "config+runtime"])
@pytest.mark.parametrize("scope", ["per-stage-step", "per-hook-entry"])
def test_a_rollback_call_that_is_polled_gets_its_own_details_back(on_rollback: str, scope: str) -> None:
    back: list[Any] = []

    def reply(event: dict[str, Any]) -> Any:
        if not is_rollback(event):
            return FAILED if event["lifecycleStage"] == "POST_TEST_TRAFFIC_SHIFT" else SUCCEEDED
        back.append((event["lifecycleStage"], event["hookDetails"].get("n", 0)))
        return SUCCEEDED if back[-1][1] == 2 else waiting(n=back[-1][1] + 1)

    ScriptedDeployment(
        scripted("hook", By(reply), Stage.TEST_TRAFFIC_SHIFT, AT, details={}),
        switches={"hook_details_on_rollback": on_rollback, "hook_details_scope": scope},
    ).run()

    assert back == [("TEST_TRAFFIC_SHIFT", 0), ("TEST_TRAFFIC_SHIFT", 1), ("TEST_TRAFFIC_SHIFT", 2)]


# executionId, duplicates


@pytest.mark.parametrize(("switch", "different"), [("stable-per-stage", 1), ("new-per-invocation", 3)])
def test_the_execution_id_is_stable_or_new_while_a_stage_is_polled(switch: str, different: int) -> None:
    hook = Answers(IN_PROGRESS, IN_PROGRESS, SUCCEEDED)
    ScriptedDeployment(scripted("hook", hook, AT), switches={"execution_id": switch}).run()

    assert len({event["executionId"] for event in hook.events}) == different


def test_every_stage_step_direction_and_hook_has_an_execution_id_of_its_own() -> None:
    one = By(
        lambda event: FAILED if event["lifecycleStage"] == "POST_PRODUCTION_TRAFFIC_SHIFT" else SUCCEEDED
    )
    run = ScriptedDeployment(scripted("one", one), scripted("other", Answers()), strategy=linear(25)).run()

    identifiers = [call.event["executionId"] for call in run.hook_calls]
    assert len(identifiers) == 2 * (5 + 2 * 4 + 2)
    assert len(set(identifiers)) == len(identifiers)


def test_a_duplicate_delivery_is_the_same_event_twice_and_one_of_the_replies_counts() -> None:
    counted = set()
    for seed in range(20):
        hook = Answers(SUCCEEDED, FAILED)
        run = ScriptedDeployment(
            scripted("hook", hook, AT), switches={"duplicate_delivery": "on"}, seed=seed
        ).run()
        counted.add(run.hook_calls[0].answer)
        assert hook.events[0] == hook.events[1]
        assert hook.events[0] is not hook.events[1]

    assert counted == {"SUCCEEDED", "FAILED"}


# Several hooks at one stage


def test_hooks_of_one_stage_run_side_by_side_and_the_stage_ends_with_the_last() -> None:
    run = ScriptedDeployment(
        scripted("quick", Answers(), AT, Stage.PRE_PRODUCTION_TRAFFIC_SHIFT),
        scripted("slow", Answers(waiting(100), waiting(50), SUCCEEDED), AT),
    ).run()

    assert run.times == [("quick", 0), ("slow", 0), ("slow", 100), ("slow", 150), ("quick", 150)]


@pytest.mark.parametrize(
    ("switch", "calls", "ended_after"),
    [
        ("polled-on", [("refuses", 0), ("waits", 0), ("waits", 100), ("waits", 200)], 200),
        ("dropped", [("refuses", 0), ("waits", 0)], 0),
    ],
)
@pytest.mark.parametrize("last_word", [SUCCEEDED, FAILED], ids=["succeeds", "fails"])
def test_one_failure_wins_and_siblings_are_polled_on_or_dropped(
    switch: str, calls: list[Any], ended_after: float, last_word: dict[str, str]
) -> None:
    run = ScriptedDeployment(
        scripted("refuses", Answers(FAILED), AT),
        scripted("waits", Answers(waiting(100), waiting(100), last_word), AT),
        switches={"siblings_of_a_refusal": switch},
    ).run()

    assert run.times == calls
    assert run.end == (
        "ROLLBACK_SUCCESSFUL",
        (
            "Service deployment rolled back because POST_TEST_TRAFFIC_SHIFT lifecycle hook(s) failed. "
            f"Lifecycle hook target {run.machine.plan.hooks[0].target_arn} returned FAILED status."
        ),
    )
    assert run.env.now - run.hook_calls[0].at == ended_after + 5


@pytest.mark.parametrize("switch", ["polled-on", "dropped"])
def test_a_failure_that_comes_second_wins_as_well(switch: str) -> None:
    run = ScriptedDeployment(
        scripted("agrees", Answers(), AT),
        scripted("refuses", Answers(waiting(100), FAILED), AT),
        switches={"siblings_of_a_refusal": switch},
    ).run()

    assert run.deployment.status == "ROLLBACK_SUCCESSFUL"
    assert run.times == [("agrees", 0), ("refuses", 0), ("refuses", 100)]


def test_a_dropped_pause_hook_is_waited_for_no_longer() -> None:
    run = ScriptedDeployment(
        pause(AT), scripted("refuses", Answers(FAILED), AT), switches={"siblings_of_a_refusal": "dropped"}
    ).run()

    assert run.deployment.status == "ROLLBACK_SUCCESSFUL"
    assert run.minutes < 5
    assert run.deployment.hook_runs == []


def test_a_pause_hook_and_a_function_at_one_stage_must_both_agree() -> None:
    run = ScriptedDeployment(
        pause(AT, timeout_minutes=7, timeout_action="CONTINUE"), scripted("hook", Answers(), AT)
    )
    run.run()

    assert run.deployment.status == "SUCCESSFUL"
    assert [(seen.status, seen.stage) for seen in run.happenings if isinstance(seen, PauseChanged)] == [
        ("AWAITING_ACTION", "POST_TEST_TRAFFIC_SHIFT"),
        ("TIMED_OUT", "POST_TEST_TRAFFIC_SHIFT"),
    ]


# What DescribeServiceDeployments shows of them


def test_only_hooks_that_run_are_shown_each_with_an_id_and_the_time_it_expires() -> None:
    seen = []

    def look(_event: dict[str, Any]) -> Any:
        runs = run.deployment.hook_runs
        seen.append([(hook.hook.name, hook.stage.value, hook.status.value) for hook in runs])
        (mine,) = (hook for hook in runs if hook.hook.name == "one")
        assert mine.hook_id.startswith("ecs-lambda-")
        assert (mine.expires_at - run.env.epoch).total_seconds() == run.env.now + 300
        return SUCCEEDED

    run = ScriptedDeployment(
        pause(Stage.PRE_SCALE_UP, timeout_minutes=3, timeout_action="CONTINUE"),
        scripted("one", By(look), Stage.PRE_SCALE_UP, Stage.POST_SCALE_UP, timeout_minutes=5),
    )
    run.run()

    assert seen == [
        [("pause", "PRE_SCALE_UP", "AWAITING_ACTION"), ("one", "PRE_SCALE_UP", "IN_PROGRESS")],
        [("one", "POST_SCALE_UP", "IN_PROGRESS")],
    ]
    assert run.deployment.hook_runs == []
