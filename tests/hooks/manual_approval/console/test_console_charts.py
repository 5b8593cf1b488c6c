from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hooks.manual_approval.console.charts import MAX_POINTS, drawings, tables, ticks
from shared.clock import timestamp
from shared.exhibits import Table

BEGIN = datetime(2026, 3, 5, 11, 42, tzinfo=UTC)


def at(minutes: float) -> str:
    return timestamp(BEGIN + timedelta(minutes=minutes))


LATENCY = {
    "title": "p99 latency",
    "unit": "ms",
    "series": [
        {"name": "green", "points": [[at(0), 190], [at(10), 240], [at(20), 200]]},
        {"name": "blue", "points": [[at(0), 180], [at(10), 180], [at(20), 180]]},
    ],
    "thresholds": [{"name": "1.2 x blue", "value": 226}],
}


def test_a_chart_says_what_it_shows() -> None:
    (drawing,) = drawings([LATENCY])

    assert (drawing.title, drawing.unit, drawing.axis) == ("p99 latency", "ms", "UTC")
    assert drawing.told == (
        "From 5 Mar, 11:42:00 UTC to 5 Mar, 12:02:00 UTC. "
        "green: from 190 ms to 200 ms, lowest 190 ms, highest 240 ms; at times above 1.2 x blue (226 ms). "
        "blue: stays at 180 ms; never above 1.2 x blue (226 ms)."
    )
    assert [label for _, label in drawing.x_ticks] == ["11:50", "12:00"]
    assert [series.path for series in drawing.series] == [
        "0,83.333 50,0 100,66.667",
        "0,100 50,100 100,100",
    ]


@pytest.mark.parametrize(
    ("values", "side"),
    [([1, 2], "never above"), ([2, 3], "at times above"), ([3, 4], "always above")],
)
def test_a_series_is_held_against_its_threshold(values: list[int], side: str) -> None:
    points = [[at(minute), value] for minute, value in enumerate(values)]
    chart = {"series": [{"points": points}], "thresholds": [{"name": "limit", "value": 2}]}

    (drawing,) = drawings([chart])

    assert f"A series: from {values[0]} to {values[1]}, " in drawing.told
    assert f"; {side} limit (2)." in drawing.told


def test_series_are_told_apart_without_colour() -> None:
    chart = {"series": [{"name": f"{index}", "points": [[at(0), index]]} for index in range(8)]}

    (drawing,) = drawings([chart])

    assert [series.dash for series in drawing.series] == [0, 1, 2, 3, 4, 5, 0, 1]
    assert [series.line.name for series in drawing.series] == ["0", "1", "2", "3", "4", "5", "6", "7"]


@pytest.mark.parametrize(
    ("points", "axis", "told", "labels"),
    [
        (
            [[0, 1], [90, 2]],
            "time since the start",
            "From 0 s to 1:30 min.",
            ["0 s", "30 s", "1:00 min", "1:30 min"],
        ),
        ([[0, 1], [9000, 2]], "time since the start", "From 0 s to 2:30 h.", ["0 s", "1:00 h", "2:00 h"]),
        ([[BEGIN.timestamp(), 1]], "UTC", "At 5 Mar, 11:42:00 UTC.", ["11:42:00"]),
        (
            [[at(0), 1], [at(60 * 24 * 5), 2]],
            "UTC",
            "From 5 Mar, 11:42:00 UTC to 10 Mar, 11:42:00 UTC.",
            ["6 Mar", "8 Mar", "10 Mar"],
        ),
    ],
)
def test_an_axis_has_the_kind_of_its_points(points: Any, axis: str, told: str, labels: list[str]) -> None:
    (drawing,) = drawings([{"series": [{"points": points}]}])

    assert (drawing.axis, drawing.told[: len(told)]) == (axis, told)
    assert [label for _, label in drawing.x_ticks] == labels


def test_a_distribution_is_drawn_by_percentile() -> None:
    points = [[percent, percent] for percent in (0, 50, 90, 95, 99, 99.9)]

    (drawing,) = drawings(
        [{"across": "percentile", "unit": "ms", "series": [{"name": "green", "points": points}]}]
    )

    assert drawing.axis == "percentile"
    assert drawing.told.startswith("By percentile. green: from 0 ms to 99.9 ms")
    assert drawing.series[0].line.told == "95 % within 95 ms"
    assert [label for _, label in drawing.x_ticks] == ["50 %", "90 %", "99 %", "99.9 %"]


def test_of_a_distribution_without_the_percent_that_is_spoken_of_the_most_is_told() -> None:
    (drawing,) = drawings(
        [{"across": "percentile", "series": [{"name": "green", "points": [[0, 1], [50, 2]]}]}]
    )

    assert drawing.series[0].line.told == "at most 2"


def test_a_long_series_is_thinned_and_keeps_its_peak() -> None:
    points = [[at(minute), 1000 if minute == 777 else 1] for minute in range(3000)]

    (drawing,) = drawings([{"series": [{"name": "green", "points": points}]}])

    assert len(drawing.series[0].line.points) <= MAX_POINTS
    assert "highest 1000" in drawing.told


@pytest.mark.parametrize(
    "points",
    [
        [["not a time", 1]],
        [["0001-01-01T00:00:00+23:59", 1]],
        [["9999-12-31T23:59:59Z", 1]],
        [[1e14, 1]],
        [[-1e14, 1]],
        [[None, 1], [[], 1], [{}, 1]],
        [[at(0), "1"]],
        [],
        "points",
    ],
)
def test_what_is_no_point_is_left_out(points: Any) -> None:
    assert drawings([{"series": [{"name": "green", "points": points}]}]) == []


def test_a_table_is_laid_out() -> None:
    found = [{"title": "Containers", "columns": ["container", "verdict"], "rows": [["app", "pass"]]}]

    assert tables(found) == [
        Table("Containers", ["container", "verdict"], [[("app", ""), ("pass", "good")]], left_out=0)
    ]


_at = (
    st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat)
    | st.datetimes().map(datetime.isoformat)
    | st.floats()
    | st.integers()
    | st.text(max_size=10)
)
_value = st.floats() | st.integers() | st.none() | st.text(max_size=3)
_json = st.recursive(
    st.none() | st.booleans() | _value,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_chart = st.fixed_dictionaries(
    {
        "series": _json
        | st.lists(
            st.fixed_dictionaries(
                {"name": _json, "points": _json | st.lists(st.tuples(_at, _value).map(list), max_size=6)}
            ),
            max_size=3,
        )
    },
    optional={
        "title": _json,
        "unit": _json,
        "across": st.just("percentile") | _json,
        "thresholds": _json | st.lists(st.fixed_dictionaries({"name": _json, "value": _value}), max_size=2),
    },
)


@given(st.lists(_chart, max_size=3))
@example([{"series": [{"points": [[0, 1], [4_000_000_000, 2], [-4_000_000_000, 3]]}]}])
@example([{"series": [{"points": [[999_999_999, 1], [1_000_000_001, 2]]}]}])
def test_any_record_is_drawn_within_its_frame(charts: list[Any]) -> None:
    for drawing in drawings(charts):
        places = [point for series in drawing.series for point in series.line.points]
        places += [(x, 0.0) for x, _ in drawing.x_ticks] + [(0.0, y) for y, _ in drawing.y_ticks]
        places += [(0.0, threshold.y) for threshold in drawing.thresholds]
        assert all(0 <= x <= 100 and -1e-6 <= y <= 100 + 1e-6 for x, y in places)
        assert drawing.told


@given(st.floats(0, 4e9), st.floats(0, 4e9))
def test_an_axis_has_few_labels_in_order(one: float, other: float) -> None:
    begin, end = sorted((one, other))

    marks = ticks(begin, end)

    assert 1 <= len(marks) <= 4
    assert all(before[0] < after[0] for before, after in pairwise(marks))
    assert all(begin <= place <= end for place, _ in marks)
