import json
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hooks.load_test.charts import PERCENTS, charts
from hooks.load_test.rules import parse
from tests.hooks.load_test.runs import arm, measured, steady
from tests.shared.checkout import START

RULES = [
    parse(text)
    for text in (
        "errors < 1%",
        "p(95) < 500ms",
        "p(99) < 2s",
        "p(95) <= 1.25 x blue",
        "errors <= 2 x blue + 1%",
    )
]
TIMELINE = [
    {
        "second": 10,
        "green": {"sent": 200, "errors": 0, "p95Milliseconds": 140.5},
        "blue": {"sent": 40, "errors": 1, "p95Milliseconds": 90.0},
    },
    {
        "second": 20,
        "green": {"sent": 0, "errors": 3, "p95Milliseconds": None},
        "blue": {"sent": 20, "errors": 40, "p95Milliseconds": None},
    },
    {"second": 20, "green": {"sent": 1, "errors": 0}},
]


def at(second: float) -> str:
    return (START - timedelta(seconds=300) + timedelta(seconds=second)).isoformat(timespec="milliseconds")


def test_a_run_is_drawn_over_time_and_by_percentile() -> None:
    sent, errors, latency, distribution = charts(
        measured(arm(steady(400)), arm(steady(100)), timeline=TIMELINE), RULES
    )

    assert sent == {
        "title": "requests a second",
        "unit": "",
        "series": [
            # The third point stands at the very time of the second.
            {"name": "green", "points": [[at(10), 20.0], [at(20), 0.0], [at(20), 1000.0]]},
            {"name": "blue", "points": [[at(10), 4.0], [at(20), 2.0]]},
        ],
        "thresholds": [],
    }
    assert errors == {
        "title": "errors",
        "unit": "%",
        "series": [
            {"name": "green", "points": [[at(10), 0.0], [at(20), 0.0]]},
            {"name": "blue", "points": [[at(10), 2.5], [at(20), 100.0]]},
        ],
        "thresholds": [{"name": "errors < 1%", "value": 1.0}],
    }
    assert latency == {
        "title": "p(95) latency",
        "unit": "ms",
        "series": [
            {"name": "green", "points": [[at(10), 140.5]]},
            {"name": "blue", "points": [[at(10), 90.0]]},
        ],
        "thresholds": [{"name": "p(95) < 500ms", "value": 500.0}],
    }
    assert {key: distribution[key] for key in ("title", "unit", "across", "thresholds")} == {
        "title": "latency by percentile",
        "unit": "ms",
        "across": "percentile",
        "thresholds": [],
    }
    # As far as there are requests beyond: one of 400 is 99.75, one of 100 is 99.
    assert [(one["name"], one["points"][-1][0]) for one in distribution["series"]] == [
        ("green", 99.5),
        ("blue", 99),
    ]
    assert dict(map(tuple, distribution["series"][0]["points"]))[50] == 100.351


def test_without_numbers_nothing_is_drawn() -> None:
    assert charts(measured(), RULES) == []
    assert charts(measured(arm(errors={"timeout": 5})), RULES) == []


POINTS = st.builds(
    lambda second, sent, errors, p95: {
        "second": second,
        "green": {"sent": sent, "errors": errors, "p95Milliseconds": p95},
    },
    st.integers(0, 10**7),
    st.integers(0, 10**12),
    st.integers(0, 10**12),
    st.none() | st.floats(0, 10**10),
)


@settings(deadline=None)
@given(st.lists(POINTS, max_size=10), st.integers(0, 50))
def test_whatever_was_measured_a_chart_has_the_shape_that_records_have(
    timeline: list[dict[str, Any]], answers: int
) -> None:
    drawn = charts(measured(arm(steady(answers)), timeline=timeline), RULES)

    json.dumps(drawn, allow_nan=False)
    for chart in drawn:
        across = {"across": "percentile"} if "across" in chart else {}
        assert set(chart) == {"title", "unit", "series", "thresholds", *across}
        for series in chart["series"]:
            assert set(series) == {"name", "points"}
            assert len(series["points"]) <= max(len(timeline), len(PERCENTS))
            for where, value in series["points"]:
                assert isinstance(value, int | float)
                assert isinstance(where, int | float) if across else datetime.fromisoformat(where).tzinfo


def test_charts_are_no_larger_than_a_log_line_may_be() -> None:
    point = {"sent": 10**6, "errors": 10**6, "p95Milliseconds": 123456.789}
    # As many as a generator tells of.
    timeline = [{"second": second, "green": point, "blue": point} for second in range(120)]

    drawn = charts(measured(arm(steady(20_000)), arm(steady(20_000)), timeline=timeline), RULES)
    assert len(json.dumps(drawn)) < 64 * 1024
