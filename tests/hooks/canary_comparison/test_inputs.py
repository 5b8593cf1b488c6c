import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.canary_comparison.decision import Rules, decide
from hooks.canary_comparison.inputs import Inputs
from hooks.canary_comparison.judge import Rule, Standards
from hooks.canary_comparison.observation import MINUTE, Kind, Observation, Reading, Split
from hooks.canary_comparison.watch import Phase, Watch
from hooks.canary_comparison.window import Window

START = datetime(2026, 3, 5, 12, 0, 20, tzinfo=UTC)
FIRST = datetime(2026, 3, 5, 12, 1, tzinfo=UTC)
ERRORS = Rule(name="errors", kind=Kind.PROPORTION, tolerated=1.25)
LATENCY = Rule(name="latency", kind=Kind.GAUGE, tolerated=1.25, direction="decrease", on_unknown="ignore")
RULES = Rules(
    metrics=(ERRORS, LATENCY),
    standards=Standards(false_alarm_rate=0.01, miss_rate=0.05, unacceptable=2.0, warm_up=3),
    holds=True,
    minimum_minutes=5,
    extend_minutes=30,
    unknown_minutes=10,
    on_inconclusive="extend",
    look_seconds=60,
    lag_seconds=120,
    judge="sequential",
    pass_score=95,
    marginal_score=75,
)
WATCH = Watch(
    phase=Phase.LAST_HOLD,
    window=Window(START, START + 10 * MINUTE),
    note="worked out",
    step=START - 2 * MINUTE,
)
INPUTS = Inputs(
    observations=(
        Observation(
            metric="errors",
            kind=Kind.PROPORTION,
            minutes=(Split(FIRST, 1.0, 50.0, 4.0, 950.0), Split(FIRST + 2 * MINUTE, 0.5, 50.0, 3.0, 950.0)),
            missing=(FIRST + MINUTE,),
            problem="not yet",
            threshold=0.25,
        ),
        Observation(
            metric="latency", kind=Kind.GAUGE, minutes=(Reading(FIRST + MINUTE, 0.1, 0.2),), problem=""
        ),
    ),
    rules=RULES,
    watch=WATCH,
    now=START + timedelta(minutes=6, microseconds=123456),
)
WRITTEN: dict[str, Any] = {
    "now": "2026-03-05T12:06:20.123456+00:00",
    "watch": {
        "phase": "last hold",
        "start": "2026-03-05T12:00:20+00:00",
        "end": "2026-03-05T12:10:20+00:00",
        "note": "worked out",
        "step": "2026-03-05T11:58:20+00:00",
    },
    "rules": {
        "metrics": [
            {
                "name": "errors",
                "kind": "proportion",
                "tolerated": 1.25,
                "weight": 1.0,
                "direction": "increase",
                "critical": True,
                "observe": False,
                "on_unknown": "wait",
                "good_below": 0.0,
            },
            {
                "name": "latency",
                "kind": "gauge",
                "tolerated": 1.25,
                "weight": 1.0,
                "direction": "decrease",
                "critical": True,
                "observe": False,
                "on_unknown": "ignore",
                "good_below": 0.0,
            },
        ],
        "standards": {"false_alarm_rate": 0.01, "miss_rate": 0.05, "unacceptable": 2.0, "warm_up": 3},
        "holds": True,
        "minimum_minutes": 5,
        "extend_minutes": 30,
        "unknown_minutes": 10,
        "on_inconclusive": "extend",
        "look_seconds": 60,
        "lag_seconds": 120,
        "judge": "sequential",
        "pass_score": 95,
        "marginal_score": 75,
    },
    "firstMinute": "2026-03-05T12:01:00+00:00",
    "observations": [
        {
            "metric": "errors",
            "kind": "proportion",
            "minutes": [[0, 1.0, 50.0, 4.0, 950.0], [2, 0.5, 50.0, 3.0, 950.0]],
            "missing": [1],
            "problem": "not yet",
            "threshold": 0.25,
        },
        {
            "metric": "latency",
            "kind": "gauge",
            "minutes": [[1, 0.1, 0.2]],
            "missing": [],
            "problem": "",
            "threshold": None,
        },
    ],
}


def through_json(inputs: Inputs) -> Inputs:
    return Inputs.read(json.loads(json.dumps(inputs.write(), allow_nan=False)))


def test_what_a_decision_was_made_from_is_written_in_rows() -> None:
    assert json.loads(json.dumps(INPUTS.write())) == WRITTEN


def test_and_read_back_as_it_was() -> None:
    assert Inputs.read(WRITTEN) == INPUTS


TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))
COUNTS = st.floats(0, 1e12)
VALUES = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(max_size=20)
NUMBERS = st.lists(st.integers(0, 400), unique=True, max_size=12).map(sorted)


@st.composite
def observations(draw: st.DrawFn, first: datetime) -> Observation:
    kind = draw(st.sampled_from(Kind))
    at = [first + number * MINUTE for number in draw(NUMBERS)]
    known = draw(st.integers(0, len(at)))
    minutes: Sequence[Split] | Sequence[Reading]
    if kind.is_counted:
        minutes = [Split(start, *draw(st.tuples(COUNTS, COUNTS, COUNTS, COUNTS))) for start in at[:known]]
    else:
        minutes = [Reading(start, *draw(st.tuples(VALUES, VALUES))) for start in at[:known]]
    return Observation(
        metric=draw(TEXTS),
        kind=kind,
        minutes=tuple(minutes),  # type: ignore[arg-type]  # of one kind, as the branches above have it
        missing=tuple(at[known:]),
        problem=draw(TEXTS),
        threshold=draw(st.one_of(st.none(), st.floats(1e-6, 3600))),
    )


@st.composite
def everything(draw: st.DrawFn) -> Inputs:
    first = draw(TIMES).replace(second=0, microsecond=0)
    start, end, now = draw(TIMES), draw(TIMES), draw(TIMES)
    rules = draw(
        st.builds(
            Rules,
            metrics=st.lists(st.builds(Rule, tolerated=st.floats(1.01, 100)), max_size=3).map(tuple),
            standards=st.builds(
                Standards,
                false_alarm_rate=st.floats(1e-6, 0.2),
                miss_rate=st.floats(1e-6, 0.5),
                unacceptable=st.floats(1.01, 100),
            ),
            pass_score=st.floats(0, 100),
            marginal_score=st.floats(0, 100),
        )
    )
    return Inputs(
        observations=tuple(draw(st.lists(observations(first), max_size=3))),
        rules=rules,
        watch=Watch(
            phase=draw(st.sampled_from(Phase)),
            window=Window(start, end),
            note=draw(TEXTS),
            step=draw(st.none() | TIMES),
        ),
        now=now,
    )


@pytest.mark.thorough
@given(everything())
def test_whatever_was_observed_is_the_same_after_it_was_written_and_read(inputs: Inputs) -> None:
    assert through_json(inputs) == inputs


def test_minutes_are_numbered_from_the_first_that_anything_is_known_of() -> None:
    """Even where that is a missing one, or one before the window began."""
    early = Observation(metric="errors", kind=Kind.PROPORTION, minutes=(), missing=(FIRST - 5 * MINUTE,))
    late = Observation(metric="latency", kind=Kind.GAUGE, minutes=(Reading(FIRST, 1.0, 2.0),))
    inputs = Inputs(observations=(late, early), rules=RULES, watch=WATCH, now=START)

    written = inputs.write()

    assert written["firstMinute"] == "2026-03-05T11:56:00+00:00"
    assert [seen["minutes"] for seen in written["observations"]] == [[[5, 1.0, 2.0]], []]
    assert [seen["missing"] for seen in written["observations"]] == [[], [0]]
    assert through_json(inputs) == inputs


def test_without_any_minute_they_would_be_numbered_from_the_window_s_start() -> None:
    inputs = Inputs(observations=(), rules=RULES, watch=WATCH, now=START)

    assert inputs.write()["firstMinute"] == START.isoformat()
    assert through_json(inputs) == inputs


def test_what_was_read_decides_as_what_was_written() -> None:
    read = through_json(INPUTS)

    assert decide(read.observations, read.rules, read.watch, read.now) == decide(
        INPUTS.observations, INPUTS.rules, INPUTS.watch, INPUTS.now
    )


def test_a_record_of_another_time_zone_is_of_the_same_minutes() -> None:
    elsewhere = timezone(timedelta(hours=5, minutes=30))
    moved = {**WRITTEN, "firstMinute": FIRST.astimezone(elsewhere).isoformat()}

    assert Inputs.read(moved) == INPUTS


@pytest.mark.parametrize("size", [360])
def test_a_record_of_six_hours_stays_small(size: int) -> None:
    """Ten metrics of which each minute has five numbers: less than 150 kB."""
    minutes = tuple(Split(FIRST + n * MINUTE, 12.0, 1234.0, 123.0, 12345.0) for n in range(size))
    seen = Observation(metric="errors", kind=Kind.PROPORTION, minutes=minutes)
    inputs = Inputs(observations=(seen,) * 10, rules=RULES, watch=WATCH, now=START)

    assert len(json.dumps(inputs.write())) < 150_000


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"now": "yesterday"}, ValueError),
        ({"now": None}, TypeError),
        ({"firstMinute": "now"}, ValueError),
        ({"watch": {**WRITTEN["watch"], "phase": "break"}}, ValueError),
        ({"watch": {}}, KeyError),
        ({"rules": {**WRITTEN["rules"], "surprise": 1}}, TypeError),
        ({"rules": {**WRITTEN["rules"], "standards": {}}}, TypeError),
        ({"rules": {**WRITTEN["rules"], "metrics": [{}]}}, KeyError),
        ({"observations": [{}]}, KeyError),
        ({"observations": [{**WRITTEN["observations"][0], "kind": "feeling"}]}, ValueError),
        ({"observations": [{**WRITTEN["observations"][0], "minutes": [[0, 1.0]]}]}, TypeError),
        ({"observations": [{**WRITTEN["observations"][0], "minutes": [[]]}]}, ValueError),
    ],
)
def test_what_no_record_holds_is_refused(changed: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        Inputs.read({**WRITTEN, **changed})
    with pytest.raises(KeyError):
        Inputs.read({key: value for key, value in WRITTEN.items() if key not in changed})
