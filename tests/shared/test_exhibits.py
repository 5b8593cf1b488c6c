"""Charts and tables of a record. How a report and a console draw them is tested with these."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.exhibits import MAX_SERIES, Chart, Table, charts, flat, tables


def laid_out(points: list[Any], at_most: int = 2000, **further: Any) -> Chart:
    found = [{"title": "t", "series": [{"name": "green", "points": points}], **further}]
    (chart,) = charts(found, lambda value: value, lambda begin, end: [(begin, "from"), (end, "to")], at_most)
    return chart


def test_points_are_shares_of_width_and_height() -> None:
    chart = laid_out([[0, 0], [5, 50], [10, 100]], thresholds=[{"name": "limit", "value": 75}], unit="ms")

    assert chart.lines[0].points == [(0.0, 100.0), (50.0, 50.0), (100.0, 0.0)]
    assert [(level.name, level.y, level.value) for level in chart.thresholds] == [("limit", 25.0, "75 ms")]
    assert chart.x_ticks == [(0.0, "from"), (100.0, "to")]
    assert chart.y_ticks == [(100.0, "0"), (75.0, "25"), (50.0, "50"), (25.0, "75"), (0.0, "100")]
    assert chart.summary == "t: green from 0 ms to 100 ms"


@given(
    st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=400),
    st.integers(6, 60),
)
def test_of_many_points_the_ends_and_the_extremes_are_kept(values: list[float], at_most: int) -> None:
    chart = laid_out([[at, value] for at, value in enumerate(values)], at_most)

    kept = chart.lines[0].values
    assert len(kept) <= max(at_most, 2)
    assert (kept[0], kept[-1], min(kept), max(kept)) == (values[0], values[-1], min(values), max(values))
    places = [x for x, _ in chart.lines[0].points]
    assert places == sorted(places)


def test_a_hook_gone_wild_makes_a_bounded_chart() -> None:
    found = [{"series": [{"points": [[0, 1]]}] * 100, "thresholds": [{"value": 1}] * 100}] * 100

    made = charts(found, lambda value: value, lambda *_: [])

    assert len(made) == 12
    assert {(len(chart.lines), len(chart.thresholds)) for chart in made} == {(MAX_SERIES, 12)}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "none"),
        ([], "none"),
        ({}, "none"),
        (True, "yes"),
        (1.23456789, "1.23457"),
        ("", "empty"),
        (["a", 2, None, []], "a, 2, none, none"),
        ({"a": 1}, "{'a': 1}"),
    ],
)
def test_a_value_is_told_in_words(value: Any, words: str) -> None:
    assert flat(value) == words


def test_a_table_keeps_rows_that_fit_its_columns() -> None:
    found = [{"title": "Containers", "columns": ["a", "b"], "rows": [["web", "deny"], ["short"], "none"]}]

    assert tables(found) == [Table("Containers", ["a", "b"], [[("web", ""), ("deny", "bad")]], left_out=2)]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(_json, st.lists(st.fixed_dictionaries({"columns": st.lists(_json, max_size=9), "rows": _json})))
def test_anything_is_laid_out_or_left_out(anything: Any, nearly: list[Any]) -> None:
    assert isinstance(charts(anything, lambda _: 0.0, lambda *_: []), list)
    assert isinstance(tables(anything), list)
    assert len(tables(nearly)) <= 4
