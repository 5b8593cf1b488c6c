import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Misconfigured
from shared.lifecycle import (
    MAX_HOOK_DETAILS_BYTES,
    Direction,
    LifecycleEvent,
    ServiceArn,
    ServiceDeploymentArn,
    ServiceRevisionArn,
    Stage,
)
from tests.shared.checkout import (
    BLUE,
    DEPLOYMENT,
    GREEN,
    POST_TEST,
    PRE_PRODUCTION,
    PRODUCTION,
    SERVICE,
    TEST_SHIFT,
    event,
    split,
)

ROOT = Path(__file__).parents[2]
EVENTS = ROOT / "tests" / "conformance" / "events"
# The events that are published for all projects; a clone of this one alone does not have them.
PUBLISHED = ROOT.parent / "shared" / "data" / "events"


def golden(expected: Path) -> list[Any]:
    if not expected.exists():
        return []
    rows = json.loads(expected.read_text())["lifecycle"]
    return [
        pytest.param(row["file"], row["direction"], row["lifecycleStage"], id=row["file"]) for row in rows
    ]


def refusal(payload: object) -> str:
    with pytest.raises(Misconfigured) as caught:
        LifecycleEvent.parse(payload)
    return str(caught.value)


def classified(folder: Path, file: str) -> tuple[str | None, str | None]:
    payload = json.loads((folder / file).read_text())
    try:
        parsed = LifecycleEvent.parse(payload)
    except Misconfigured as error:
        assert "the flat shape of superseded documentation" in str(error)
        return None, None
    return parsed.direction.value, parsed.stage


@pytest.mark.parametrize(("file", "direction", "stage"), golden(EVENTS / "expected.json"))
def test_every_golden_event_is_classified(file: str, direction: str, stage: str) -> None:
    assert classified(EVENTS, file) == (direction, stage)


@pytest.mark.parametrize(("file", "direction", "stage"), golden(PUBLISHED / "expected" / "directions.json"))
def test_every_published_event_is_classified(file: str, direction: str, stage: str) -> None:
    assert classified(PUBLISHED, file) == (direction, stage)


def test_golden_events_and_expectations_are_the_same_set() -> None:
    rows = json.loads((EVENTS / "expected.json").read_text())["lifecycle"]

    assert {row["file"] for row in rows} == {path.name for path in EVENTS.glob("*.json")} - {"expected.json"}


def test_our_golden_events_cover_what_the_published_ones_cover() -> None:
    if not PUBLISHED.exists():
        pytest.skip("no ../shared/data/events beside this clone")

    def covered(folder: Path, expected: str) -> set[tuple[Any, ...]]:
        rows = json.loads((folder / expected).read_text())["lifecycle"]
        return {
            (row["lifecycleStage"], row["direction"], *shape(json.loads((folder / row["file"]).read_text())))
            for row in rows
        }

    assert covered(EVENTS, "expected.json") == covered(PUBLISHED, "expected/directions.json")


def shape(payload: dict[str, Any]) -> tuple[Any, ...]:
    """Reduce an event to what a hook might trip over."""
    details = payload.get("executionDetails", payload)
    maps = [details["testTrafficWeights"], details["productionTrafficWeights"]]
    target = details["targetServiceRevisionArn"]
    return (
        next(iter(payload)),
        type(payload.get("hookDetails", ...)).__name__,
        tuple(tuple(sorted(type(weight).__name__ for weight in weights.values())) for weights in maps),
        tuple(next(iter(weights), target) == target for weights in maps),
    )


def test_an_event_is_read_whole() -> None:
    payload = event(
        PRODUCTION, test=split(100, 0), production=split(12.5, 87.5), details={"requiredApprovals": 2}
    )

    assert LifecycleEvent.parse({**payload, "addedLater": [1]}) == LifecycleEvent(
        execution_id="3f1c7d52-8a4e-4c0b-9d61-0b7a2e95c8f4",
        stage_name=PRODUCTION,
        deployment=DEPLOYMENT,
        service=SERVICE,
        target=GREEN,
        test_weights={GREEN: 100.0, BLUE: 0.0},
        production_weights={GREEN: 12.5, BLUE: 87.5},
        hook_details={"requiredApprovals": 2},
    )


@pytest.mark.parametrize(
    ("details", "read"),
    [
        ({}, {}),
        (None, {}),
        ("", {}),
        ("  ", {}),
        ("null", None),
        ('{"a": {"b": [1, null]}}', {"a": {"b": [1, None]}}),
        ({"a": "ü", "b": 1.5}, {"a": "ü", "b": 1.5}),
        ("[]", None),
        ("not JSON", None),
        ("[" * 100_000, None),
        ("1" * 5000, None),
        ('{"a": NaN}', None),
        ({"a": float("nan")}, None),
        ({"a": float("inf")}, None),
        ({"a": "\ud800"}, None),
        ({1: "a"}, None),
        ({"a": ...}, None),
        (["a"], None),
        (5, None),
        (True, None),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_hook_details_are_read_in_every_spelling_or_refused_by_name(
    details: object, read: dict[str, Any] | None
) -> None:
    payload = event(details=details)
    if read is None:
        assert refusal(payload).startswith("hookDetails: ")
    else:
        assert LifecycleEvent.parse(payload).hook_details == read


@pytest.mark.parametrize("wrap", [lambda details: details, json.dumps], ids=["object", "string"])
def test_oversized_hook_details_are_refused(wrap: Any) -> None:
    fits = {"a": "x" * (MAX_HOOK_DETAILS_BYTES - len('{"a": ""}'))}
    too_large = {"a": fits["a"] + "x"}

    assert LifecycleEvent.parse(event(details=wrap(fits))).hook_details == fits
    assert re.search(r"hookDetails: .*6553[67]", refusal(event(details=wrap(too_large))))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"executionDetails": None}, "executionDetails: expected an object, got None"),
        ({"executionDetails": [1]}, "executionDetails: expected an object, got an array of 1"),
        ({"lifecycleStage": None}, "lifecycleStage: expected a string, got None"),
        ({"lifecycleStage": ""}, "lifecycleStage: expected a string, got ''"),
        ({"lifecycleStage": 7}, "lifecycleStage: expected a string, got 7"),
        ({"resourceArn": None}, "resourceArn: expected the ARN of an ECS service deployment, got None"),
        (
            {"resourceArn": str(SERVICE)},
            f"resourceArn: expected the ARN of an ECS service deployment, got '{SERVICE}'",
        ),
        (
            {"resourceArn": str(DEPLOYMENT).replace("checkout", "mailer")},
            f"resourceArn: {str(DEPLOYMENT).replace('checkout', 'mailer')} does not belong to {SERVICE}",
        ),
        (
            {"resourceArn": str(DEPLOYMENT).replace("us-east-1", "eu-west-1")},
            f"resourceArn: {str(DEPLOYMENT).replace('us-east-1', 'eu-west-1')} does not belong to {SERVICE}",
        ),
    ],
)
def test_an_event_that_is_none_is_refused_with_the_key_and_the_value(
    change: dict[str, Any], text: str
) -> None:
    assert refusal({**event(), **change}) == text


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"serviceArn": "x"}, "serviceArn: expected the ARN of an ECS service, got 'x'"),
        (
            {"targetServiceRevisionArn": None},
            "targetServiceRevisionArn: expected the ARN of an ECS service revision, got None",
        ),
        (
            {"targetServiceRevisionArn": str(GREEN).replace("123456789012", "999999999999")},
            f"targetServiceRevisionArn: {str(GREEN).replace('123456789012', '999999999999')} "
            f"does not belong to {SERVICE}",
        ),
        (
            {"testTrafficWeights": [1]},
            "testTrafficWeights: expected a map of at most 100 revisions, got an array of 1",
        ),
        (
            {"testTrafficWeights": {str(n): 1 for n in range(101)}},
            "testTrafficWeights: expected a map of at most 100 revisions, got an object of 101",
        ),
        (
            {"productionTrafficWeights": {"green": 100}},
            "productionTrafficWeights: expected the ARN of an ECS service revision, got 'green'",
        ),
        (
            {"productionTrafficWeights": {str(GREEN).replace("shop", "other"): 100}},
            f"productionTrafficWeights: {str(GREEN).replace('shop', 'other')} does not belong to {SERVICE}",
        ),
    ]
    + [
        ({"productionTrafficWeights": {str(GREEN): weight}}, f"productionTrafficWeights: expected {said}")
        for weight, said in (
            ("100", f"a percentage for {GREEN}, got '100'"),
            (True, f"a percentage for {GREEN}, got True"),
            (None, f"a percentage for {GREEN}, got None"),
            (float("nan"), f"0 to 100 for {GREEN}, got nan"),
            (float("inf"), f"0 to 100 for {GREEN}, got inf"),
            (-1, f"0 to 100 for {GREEN}, got -1"),
            (100.1, f"0 to 100 for {GREEN}, got 100.1"),
            (10**400, f"0 to 100 for {GREEN}, got an integer of 1329 bits"),
        )
    ],
)
def test_execution_details_that_are_wrong_are_refused_with_the_key_and_the_value(
    change: dict[str, Any], text: str
) -> None:
    payload = event()
    payload["executionDetails"] |= change

    assert refusal(payload) == text


def test_weights_may_be_absent_or_null() -> None:
    payload = event(PRODUCTION)
    payload["executionDetails"]["testTrafficWeights"] = None
    del payload["executionDetails"]["productionTrafficWeights"]

    parsed = LifecycleEvent.parse(payload)

    assert (dict(parsed.test_weights), dict(parsed.production_weights)) == ({}, {})
    assert parsed.direction is Direction.NO_WEIGHTS


OTHER = str(GREEN)[:-1]


@pytest.mark.parametrize(
    ("stage", "weights", "direction"),
    [
        (PRODUCTION, {}, Direction.NO_WEIGHTS),
        (PRODUCTION, split(100, 0), Direction.FORWARD_FINAL),
        (PRODUCTION, split(99.995, 0.005), Direction.FORWARD_FINAL),
        (PRODUCTION, split(99.9, 0.1), Direction.FORWARD_STEP),
        (PRODUCTION, split(0.1, 99.9), Direction.FORWARD_STEP),
        (PRODUCTION, split(0, 100), Direction.ROLLBACK),
        (PRODUCTION, split(0.005, 99.995), Direction.ROLLBACK),
        (PRODUCTION, {**split(0, 0), OTHER: 100}, Direction.ROLLBACK),
        (PRODUCTION, {str(GREEN): 100}, Direction.FIRST_DEPLOYMENT),
        (PRODUCTION, {str(GREEN): 50}, Direction.FORWARD_STEP),
        (PRODUCTION, {str(GREEN): 0}, Direction.UNEXPECTED),
        (PRODUCTION, split(0, 50), Direction.UNEXPECTED),
        (PRODUCTION, {str(BLUE): 100}, Direction.UNEXPECTED),
        (TEST_SHIFT, split(0, 100), Direction.ROLLBACK),
        (TEST_SHIFT, split(100, 0), Direction.FORWARD_FINAL),
        (PRE_PRODUCTION, split(0, 100), Direction.FORWARD),
        (POST_TEST, split(0, 100), Direction.FORWARD),
        ("SOME_DAY", split(0, 100), Direction.FORWARD),
    ],
)
def test_direction_follows_from_stage_and_weights(
    stage: str, weights: dict[str, float], direction: Direction
) -> None:
    key = "test" if stage == TEST_SHIFT else "production"

    assert LifecycleEvent.parse(event(stage, **{key: weights})).direction is direction  # type: ignore[arg-type]


def test_each_shift_stage_looks_at_its_own_map_only() -> None:
    both: dict[str, Any] = {"test": split(0, 100), "production": split(100, 0)}

    assert LifecycleEvent.parse(event(TEST_SHIFT, **both)).direction is Direction.ROLLBACK
    assert LifecycleEvent.parse(event(PRODUCTION, **both)).direction is Direction.FORWARD_FINAL


@pytest.mark.parametrize(
    ("stage", "green", "step"),
    [
        (PRE_PRODUCTION, 0, "0"),
        (PRE_PRODUCTION, 10.0, "10"),
        (PRODUCTION, 12.5, "12.5"),
        (PRODUCTION, 99.99999999999999, "100"),
        (PRODUCTION, 0.1, "0.1"),
        (TEST_SHIFT, 100, ""),
        (POST_TEST, 100, ""),
        ("SOME_DAY", 100, ""),
    ],
)
def test_a_step_is_named_where_the_stage_recurs(stage: str, green: float, step: str) -> None:
    assert LifecycleEvent.parse(event(stage, production=split(green, 100 - green))).step == step


@pytest.mark.parametrize("weights", [{}, {str(BLUE): 100}])
def test_a_step_without_green_in_its_map_has_no_name(weights: dict[str, float]) -> None:
    assert LifecycleEvent.parse(event(PRE_PRODUCTION, production=weights)).step == ""


def test_an_unknown_stage_is_kept_by_name() -> None:
    parsed = LifecycleEvent.parse(event("PRE_BAKE"))

    assert (parsed.stage, parsed.stage_name, parsed.direction) == (None, "PRE_BAKE", Direction.FORWARD)


def test_stages_are_in_the_order_of_a_deployment() -> None:
    assert [stage for stage in Stage if stage.recurs or stage.shifts_traffic] == [
        Stage.TEST_TRAFFIC_SHIFT,
        Stage.PRE_PRODUCTION_TRAFFIC_SHIFT,
        Stage.PRODUCTION_TRAFFIC_SHIFT,
    ]
    assert (next(iter(Stage)), list(Stage)[-1]) == (
        Stage.RECONCILE_SERVICE,
        Stage.POST_PRODUCTION_TRAFFIC_SHIFT,
    )


def test_arns_are_written_as_they_were_read() -> None:
    for kind, text in (
        (ServiceArn, "arn:aws-cn:ecs:cn-north-1:123456789012:service/shop/checkout"),
        (ServiceDeploymentArn, "arn:aws:ecs:eu-west-1:123456789012:service-deployment/shop/checkout/a-B_9"),
        (ServiceRevisionArn, "arn:aws-us-gov:ecs:us-gov-west-1:1234567890:service-revision/s/c/01275892"),
    ):
        assert str(kind.parse(text)) == text
    assert SERVICE.cluster_arn == "arn:aws:ecs:us-east-1:123456789012:cluster/shop"


@pytest.mark.parametrize(
    "text",
    [
        "arn:aws:ecs:eu-west-1:123456789012:service/checkout",
        "arn:aws:ecs:eu-west-1:123456789012:service/shop/checkout/",
        "arn:aws:ecs:eu-west-1:123456789012:service/shop/checkout\n",
        "arn:aws:ecs:eu-west-1:123456789012:service/../checkout",
        "arn:aws:ecs:eu-west-1:123456789012:service/shop/" + "c" * 256,
        "arn:aws:ecs::123456789012:service/shop/checkout",
        "arn:evil:ecs:eu-west-1:123456789012:service/shop/checkout",
        b"arn:aws:ecs:eu-west-1:123456789012:service/shop/checkout",
    ],
)
def test_what_only_looks_like_a_service_arn_is_refused(text: object) -> None:
    with pytest.raises(Misconfigured, match=r"^serviceArn: expected the ARN of an ECS service, got "):
        ServiceArn.parse(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["executionId", "lifecycleStage", "resourceArn", "executionDetails", "hookDetails", "else"]
)


@given(JSON | st.builds(lambda changes: {**event(), **changes}, st.dictionaries(KEYS, JSON, max_size=3)))
def test_any_json_is_an_event_or_is_refused_on_purpose(payload: object) -> None:
    try:
        parsed = LifecycleEvent.parse(payload)
    except Misconfigured as error:
        assert len(str(error)) < 500
    else:
        assert parsed.deployment == DEPLOYMENT


# What lies within a rounding error of the tolerance may be read either way.
@given(
    st.floats(0, 0.0099) | st.floats(0.0101, 99.9899) | st.floats(99.9901, 100),
    st.sampled_from([TEST_SHIFT, PRODUCTION]),
)
def test_a_shift_away_from_green_is_never_taken_for_a_shift_to_it(green: float, stage: str) -> None:
    weights: dict[str, Any] = {"test": split(green, 100 - green), "production": split(green, 100 - green)}
    direction = LifecycleEvent.parse(event(stage, **weights)).direction

    expected = (
        Direction.ROLLBACK
        if green <= 0.01
        else Direction.FORWARD_FINAL
        if green >= 99.99
        else Direction.FORWARD_STEP
    )
    assert direction is expected
