"""The probe never guesses: what fits none of a switch's values, or was not seen, is said to be so."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from examples.contract_probe.evidence import Evidence, Image, Recording
from examples.contract_probe.inference import SWITCHES
from tests.examples.contract_probe.probed import default_evidence, found, hook_events, value_and_why


def change_events(evidence: Evidence, step: str, change: Callable[[dict[str, Any], Recording], None]) -> None:
    """Rewrite the events of a step's calls."""
    for recording in hook_events(evidence, step):
        event = json.loads(recording.event)
        change(event, recording)
        recording.event = json.dumps(event)


def at(stage: str, hook: str = "first") -> Callable[[Recording], bool]:
    return lambda recording: recording.hook == hook and f'"lifecycleStage": "{stage}"' in recording.event


def drop(evidence: Evidence, step: str, which: Callable[[Recording], bool]) -> None:
    gone = {recording.request_id for recording in hook_events(evidence, step) if which(recording)}
    assert gone
    evidence.recordings = [one for one in evidence.recordings if one.request_id not in gone]


def test_of_nothing_seen_nothing_is_said() -> None:
    assert {switch: finding.value for switch, finding in found(Evidence()).items()} == dict.fromkeys(SWITCHES)


def test_without_a_deployment_only_what_it_settles_is_open() -> None:
    evidence = default_evidence()
    del evidence.deployments["network"]

    assert [name for name, finding in found(evidence).items() if finding.value is None] == [
        "duplicate_delivery",
        "nlb_delay",
    ]


def test_that_calls_never_come_twice_is_never_settled() -> None:
    evidence = default_evidence()

    value, why = value_and_why(evidence, "duplicate_delivery")

    assert (value, why) == (
        None,
        f"not seen in {len(evidence.recordings)} calls; that it can't happen is not to be shown",
    )


def test_one_call_that_comes_again_is_enough() -> None:
    evidence = default_evidence()
    again = hook_events(evidence, "connected")[3].model_copy(update={"request_id": "again"})
    evidence.recordings.append(again.model_copy(update={"at": again.at + 0.2}))

    assert value_and_why(evidence, "duplicate_delivery") == (
        "on",
        "1 call came again with the same event, such as connected at POST_SCALE_UP",
    )


def test_a_poll_is_no_call_that_comes_again_even_when_hook_details_do_not_come_back() -> None:
    evidence = default_evidence()

    def forget(event: dict[str, Any], _recording: Recording) -> None:
        event["hookDetails"] = {"configured": True}

    change_events(evidence, "canary", forget)

    assert value_and_why(evidence, "duplicate_delivery")[0] is None


def _deeply(event: dict[str, Any], recording: Recording) -> None:
    if recording.attempt > 1:
        event["hookDetails"]["nested"] = {"configured": True, "returned": True}


def _empty_object(event: dict[str, Any], recording: Recording) -> None:
    if recording.hook == "second":
        event.setdefault("hookDetails", {})


def _one_id_for_two_of_three(event: dict[str, Any], recording: Recording) -> None:
    event["executionId"] = f"{event['lifecycleStage']} {recording.hook} {recording.attempt // 2}"


def _texts(event: dict[str, Any], _recording: Recording) -> None:
    for weights in (
        event["executionDetails"][name] for name in ("testTrafficWeights", "productionTrafficWeights")
    ):
        weights.update({arn: str(weight) for arn, weight in weights.items()})


@pytest.mark.parametrize(
    ("switch", "step", "change", "why"),
    [
        ("merge", "polled", _deeply, "none of the values: objects within hookDetails are merged as well"),
        ("hook_details_absent_form", "polled", _empty_object, "a hook without hookDetails got '{}'"),
        ("execution_id", "polled", _one_id_for_two_of_three, "2 executionIds in 3 calls"),
        ("weights_type", "headless", _texts, "were strs"),
    ],
)
def test_what_fits_no_value_is_named(
    switch: str, step: str, change: Callable[[dict[str, Any], Recording], None], why: str
) -> None:
    evidence = default_evidence()
    change_events(evidence, step, change)

    value, said = value_and_why(evidence, switch)

    assert value is None
    assert why in said


def test_integers_and_floats_together_are_neither() -> None:
    evidence = default_evidence()

    def float_up(event: dict[str, Any], _recording: Recording) -> None:
        weights = event["executionDetails"]["productionTrafficWeights"]
        weights.update({arn: float(weight) for arn, weight in weights.items()})

    change_events(evidence, "canary", float_up)

    value, why = value_and_why(evidence, "weights_type")

    assert value is None
    assert why.startswith("not always the same: ")


def test_state_that_survives_to_the_next_step_but_not_to_the_next_stage_is_neither() -> None:
    evidence = default_evidence()

    def carry(event: dict[str, Any], recording: Recording) -> None:
        if event["lifecycleStage"] == "PRODUCTION_TRAFFIC_SHIFT" and recording.attempt == 1:
            event["hookDetails"] = {"probe": {"here": "earlier", "attempt": 8}}

    change_events(evidence, "canary", carry)

    assert value_and_why(evidence, "hook_details_scope") == (
        None,
        "not always the same: what polled returned at one stage was gone at the next stage; "
        "but what canary returned at one stage was still there at the next step",
    )


def test_a_rollbacks_own_state_is_not_what_was_returned_on_the_way() -> None:
    evidence = default_evidence()
    back = [one for one in hook_events(evidence, "turned-back") if one.attempt == 1 and one.hook == "first"][
        -2:
    ]
    production, test = (json.loads(one.event) for one in back)
    assert (production["lifecycleStage"], test["lifecycleStage"]) == (
        "PRODUCTION_TRAFFIC_SHIFT",
        "TEST_TRAFFIC_SHIFT",
    )

    def carry(event: dict[str, Any], recording: Recording) -> None:
        if recording is back[1]:
            assert back[0].reply
            event["hookDetails"] = back[0].reply["hookDetails"]

    change_events(evidence, "turned-back", carry)

    assert value_and_why(evidence, "hook_details_on_rollback")[0] == "config-only"


def _without_weights(event: dict[str, Any], _recording: Recording) -> None:
    event["executionDetails"]["testTrafficWeights"] = {}


def test_a_rollback_is_known_by_what_came_before_it_and_not_by_its_weights() -> None:
    evidence = default_evidence()
    change_events(evidence, "turned-back", _without_weights)

    assert value_and_why(evidence, "rollback_order")[0] == "production-then-test"
    assert value_and_why(evidence, "hook_details_on_rollback")[0] == "config-only"


@pytest.mark.parametrize(("whose", "shown"), [("another", "nothing"), ("target", "0 %")])
def test_of_a_canary_whose_maps_are_not_as_expected_nothing_is_concluded(whose: str, shown: str) -> None:
    evidence = default_evidence()

    def change(event: dict[str, Any], _recording: Recording) -> None:
        details = event["executionDetails"]
        arn = details["targetServiceRevisionArn"] if whose == "target" else whose
        details["productionTrafficWeights"] = {arn: 0}

    change_events(evidence, "canary", change)

    why = f"the canary's maps gave the target {shown}; expected 10 %, and then 100 %"
    assert value_and_why(evidence, "shift_and_hook") == (None, why)
    assert value_and_why(evidence, "bake_and_hook") == (None, why)


def test_weights_that_move_while_the_hook_is_asked_are_neither_before_nor_after_it() -> None:
    evidence = default_evidence()
    for recording in hook_events(evidence, "canary"):
        if recording.attempt <= 2 and recording.seen.deployment:
            recording.seen.deployment["targetServiceRevision"]["requestedProductionTrafficWeight"] = 0.0

    value, why = value_and_why(evidence, "shift_and_hook")

    assert value is None
    assert "60 s after the first call, while the hook was asked again" in why


def test_a_listener_that_contradicts_the_api_leaves_it_open() -> None:
    evidence = default_evidence()
    for recording in hook_events(evidence, "canary"):
        if recording.seen.entrance:
            blue, green = recording.seen.entrance["Actions"][0]["ForwardConfig"]["TargetGroups"]
            blue["Weight"], green["Weight"] = 100, 0

    value, why = value_and_why(evidence, "shift_and_hook")

    assert value is None
    assert why.startswith("not always the same: ")
    assert "the listener did not show 10 %" in why


def _later(evidence: Evidence, step: str, stage: str, seconds: float) -> None:
    """Let everything from a stage's first call on happen later."""
    first = min(one.at for one in hook_events(evidence, step) if at(stage)(one))
    for recording in hook_events(evidence, step):
        if recording.at >= first:
            recording.at += seconds


def test_a_network_load_balancers_minutes_beside_the_hooks_are_neither() -> None:
    evidence = default_evidence()
    for stage in ("POST_TEST_TRAFFIC_SHIFT", "POST_PRODUCTION_TRAFFIC_SHIFT"):
        _later(evidence, "network", stage, -120)

    assert value_and_why(evidence, "nlb_delay") == (
        None,
        "none of the values: at TEST_TRAFFIC_SHIFT, 5 s passed before the hooks and 480 s after them",
    )


@pytest.mark.parametrize(
    ("seconds", "value", "why"),
    [
        (-240, "overlapping", "the next step began 60 s after a hook that held for 240 s"),
        (-120, None, "none of the values: with a bake of 300 s, the next step began 180 s after"),
        (120, None, "none of the values: with a bake of 300 s, the next step began 420 s after"),
    ],
)
def test_a_bake_is_told_by_when_the_next_step_begins(seconds: float, value: str | None, why: str) -> None:
    evidence = default_evidence()
    second = max(one.at for one in hook_events(evidence, "canary") if at("PRE_PRODUCTION_TRAFFIC_SHIFT")(one))
    for recording in hook_events(evidence, "canary"):
        if recording.at >= second:
            recording.at += seconds

    found_value, said = value_and_why(evidence, "bake_and_hook")

    assert found_value == value
    assert why in said


def test_a_bake_is_not_told_where_ecs_itself_is_as_slow() -> None:
    evidence = default_evidence()
    _later(evidence, "canary", "PRODUCTION_TRAFFIC_SHIFT", 200)

    assert value_and_why(evidence, "bake_and_hook") == (
        None,
        "ECS took 205 s between stages; too long to tell a bake from it",
    )


def test_a_sibling_that_is_asked_once_more_and_then_dropped_is_neither() -> None:
    evidence = default_evidence()
    refusal = next(one for one in hook_events(evidence, "sibling") if one.reply == {"hookStatus": "FAILED"})
    late = [one for one in hook_events(evidence, "sibling") if one.hook == "second" and one.at > refusal.at]
    polls = [one.request_id for one in late if "POST_SCALE_UP" in one.event]
    drop(evidence, "sibling", lambda one: one.request_id in polls[1:])

    assert value_and_why(evidence, "siblings_of_a_refusal") == (
        None,
        "none of the values: the other hook was asked once more, and then dropped",
    )


def test_early_refusals_that_are_turned_back_differently_leave_it_open() -> None:
    evidence = default_evidence()
    drop(evidence, "refused-early", lambda one: "_TRAFFIC_SHIFT" in json.loads(one.event)["lifecycleStage"])

    value, why = value_and_why(evidence, "rollback_before_shift")

    assert value is None
    assert why == (
        "not always the same: after a refusal at PRE_SCALE_UP no shift hook was called, and it ended "
        "ROLLBACK_SUCCESSFUL; but after a refusal at POST_SCALE_UP, PRODUCTION_TRAFFIC_SHIFT and "
        "TEST_TRAFFIC_SHIFT were called"
    )


def test_rollback_calls_side_by_side_have_no_order() -> None:
    evidence = default_evidence()
    refusal = next(
        one for one in hook_events(evidence, "turned-back") if one.reply == {"hookStatus": "FAILED"}
    )
    back = [one for one in hook_events(evidence, "turned-back") if one.at >= refusal.at]
    test = [one for one in back if '"TEST_TRAFFIC_SHIFT"' in one.event]
    earlier = test[0].at - refusal.at
    for one in test:
        one.at -= earlier

    value, why = value_and_why(evidence, "rollback_order")

    assert value is None
    assert "side by side" in why


@pytest.mark.parametrize(
    ("throttles", "value", "why"),
    [
        (1, "none", "Lambda refused 1 call of one hook at one stage, and a function error brought 1 call"),
        (2, "one-retry", "Lambda refused 2 calls"),
        (3, None, "none of the values: Lambda refused 3 calls"),
        (0, None, "Lambda counts no throttled call"),
        (None, None, "Lambda counts no throttled call"),
    ],
)
def test_retries_are_counted_by_lambda(throttles: int | None, value: str | None, why: str) -> None:
    evidence = default_evidence()
    evidence.throttles = throttles

    found_value, said = value_and_why(evidence, "lambda_error_retry")

    assert found_value == value
    assert said.startswith(why)


def test_a_retry_of_function_errors_alone_is_neither() -> None:
    evidence = default_evidence()
    error = next(one for one in hook_events(evidence, "raised") if one.reply is None)
    evidence.recordings.append(error.model_copy(update={"request_id": "again", "at": error.at + 1}))

    value, why = value_and_why(evidence, "lambda_error_retry")

    assert value is None
    assert why.endswith("only a function error is tried again")
    assert value_and_why(evidence, "duplicate_delivery")[0] is None


def test_retries_are_not_counted_where_some_calls_come_again_anyway() -> None:
    evidence = default_evidence()
    again = hook_events(evidence, "connected")[3].model_copy(update={"request_id": "again"})
    evidence.recordings.append(again)

    value, why = value_and_why(evidence, "lambda_error_retry")

    assert value is None
    assert why.endswith("calls came again, so that a retry can't be told from that")


@pytest.mark.parametrize("status", ["SUCCESSFUL", "ROLLBACK_SUCCESSFUL"])
def test_a_deployment_that_a_newer_one_does_not_stop_is_neither(status: str) -> None:
    evidence = default_evidence()
    evidence.deployments["superseded"].snapshots[-1].deployment["status"] = status

    assert value_and_why(evidence, "superseded") == (
        None,
        f"none of the values: the deployment that a newer one was to replace ended {status}",
    )


def test_a_superseded_deployment_that_calls_back_without_weights_is_neither() -> None:
    evidence = default_evidence()
    call = next(one for one in hook_events(evidence, "superseded") if at("TEST_TRAFFIC_SHIFT")(one))
    event = json.loads(call.event)
    event["executionDetails"]["testTrafficWeights"] = {}
    changed = {"request_id": "late", "at": call.at + 60, "event": json.dumps(event)}
    evidence.recordings.append(call.model_copy(update=changed))

    assert value_and_why(evidence, "superseded") == (
        None,
        "none of the values: a superseded deployment called TEST_TRAFFIC_SHIFT with weights []",
    )


def test_another_stage_than_the_two_at_pre_production_is_neither() -> None:
    evidence = default_evidence()
    for recording in hook_events(evidence, "polled"):
        if "PRE_PRODUCTION" in recording.event and recording.seen.deployment:
            recording.seen.deployment["lifecycleStage"] = "POST_TEST_TRAFFIC_SHIFT"

    assert value_and_why(evidence, "pre_production_reported_as") == (
        None,
        "none of the values: DescribeServiceDeployments said POST_TEST_TRAFFIC_SHIFT during the stage",
    )


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (None, "which digests the image's tag leads to is not known"),
        (
            Image(reference="r/i:t", index="sha256:1", platforms={"arm64": "sha256:1"}),
            "r/i:t is for one platform, so that there is one digest only",
        ),
        (
            Image(reference="r/i:t", index="sha256:1", platforms={"arm64": "sha256:2"}),
            f"none of the values: sha256:{'1' * 64} is neither the index nor an image of it; "
            "the tag may have moved",
        ),
    ],
)
def test_a_digest_says_something_only_beside_those_of_the_registry(image: Image | None, why: str) -> None:
    evidence = default_evidence()
    evidence.image = image

    assert value_and_why(evidence, "recorded_digest") == (None, why)


def test_a_container_that_somebody_else_injects_is_not_service_connects() -> None:
    evidence = default_evidence()
    for recording in hook_events(evidence, "connected"):
        if recording.seen.revision:
            recording.seen.revision["containerImages"].append({"containerName": "aws-guardduty-agent-x"})

    assert value_and_why(evidence, "injected_containers") == (
        None,
        "none of the values: with Service Connect, a revision listed app, aws-guardduty-agent-x "
        "once its tasks ran",
    )


def test_few_maps_have_no_order() -> None:
    evidence = default_evidence()
    evidence.deployments = {"headless": evidence.deployments["headless"]}

    assert value_and_why(evidence, "map_order") == (
        None,
        "6 maps with two revisions; fewer than 20 say nothing of an order",
    )


def test_calls_of_deployments_that_the_probe_did_not_make_are_left_out() -> None:
    evidence = default_evidence()
    before = found(evidence)
    strange = [
        one.model_copy(update={"request_id": f"{one.request_id} x"})
        for one in hook_events(evidence, "polled")
    ]
    for recording in strange:
        event = json.loads(recording.event)
        event["resourceArn"] += "x"
        event["executionDetails"]["productionTrafficWeights"] = {"a": 1.0, "b": "c"}
        recording.event = json.dumps(event)
    evidence.recordings += [*strange, strange[0].model_copy(update={"event": "[]"})]

    assert found(evidence) == before
