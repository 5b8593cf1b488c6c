from dataclasses import replace
from datetime import UTC, datetime

import pytest

from hooks.canary_comparison.charts import MAX_METRICS, charts
from hooks.canary_comparison.judge import Finding, Verdict
from hooks.canary_comparison.observation import MINUTE, Kind, Observation, Reading, Split

START = datetime(2026, 3, 5, 23, 58, tzinfo=UTC)
ERRORS = Observation(
    metric="errors",
    kind=Kind.PROPORTION,
    minutes=(
        Split(START, 1.0, 300.0, 4.0, 950.0),
        Split(START + MINUTE, 0.0, 0.0, 3.0, 900.0),
        Split(START + 3 * MINUTE, 0.5, 50.0, 0.0, 0.0),
    ),
    missing=(START + 2 * MINUTE,),
)
LATENCY = Observation(metric="latency", kind=Kind.GAUGE, minutes=(Reading(START, 0.12345678, -1.0),))
NOTHING = Observation(metric="slow", kind=Kind.SLOW, minutes=(), missing=(START,))

OF_ERRORS = {
    "title": "errors",
    "unit": "%",
    "series": [
        # Where a side had no requests, it has no share.
        {
            "name": "green",
            "points": [["2026-03-05T23:58:00+00:00", 0.3333], ["2026-03-06T00:01:00+00:00", 1.0]],
        },
        {
            "name": "blue",
            "points": [["2026-03-05T23:58:00+00:00", 0.4211], ["2026-03-05T23:59:00+00:00", 0.3333]],
        },
    ],
    "thresholds": [],
}
OF_LATENCY = {
    "title": "latency",
    "unit": "",
    "series": [
        {"name": "green", "points": [["2026-03-05T23:58:00+00:00", 0.12345678]]},
        {"name": "blue", "points": [["2026-03-05T23:58:00+00:00", -1.0]]},
    ],
    "thresholds": [],
}


def found(metric: str, *evidence: float, needed: float = 0.0) -> Finding:
    return Finding(metric=metric, verdict=Verdict.GOOD, text="", evidence=evidence, needed=needed)


def test_both_revisions_are_drawn_and_below_them_the_evidence_at_the_end_of_each_minute() -> None:
    finding = found("errors", -0.12345, 0.0, 2.5, needed=2.02687)

    assert charts([ERRORS], [finding]) == [
        OF_ERRORS,
        {
            "title": "evidence that green is worse: errors",
            "unit": "log10",
            "series": [
                {
                    "name": "evidence",
                    "points": [
                        ["2026-03-05T23:59:00+00:00", -0.123],
                        ["2026-03-06T00:00:00+00:00", 0.0],
                        ["2026-03-06T00:02:00+00:00", 2.5],
                    ],
                }
            ],
            "thresholds": [{"name": "certain", "value": 2.027}],
        },
    ]


@pytest.mark.parametrize(
    "findings",
    [
        [],  # no judgement, as of Kayenta's judge before the time is up
        [found("errors"), found("latency")],  # and one without evidence
        [found("other", 1.0)],
    ],
)
def test_without_evidence_only_both_revisions_are_drawn(findings: list[Finding]) -> None:
    assert charts([ERRORS, LATENCY], findings) == [OF_ERRORS, OF_LATENCY]


def test_what_nothing_is_known_of_is_not_drawn() -> None:
    assert charts([NOTHING, LATENCY], [found("slow"), found("latency")]) == [OF_LATENCY]
    assert charts([], []) == []


def test_each_metric_has_its_own_evidence() -> None:
    drawn = charts([LATENCY, ERRORS], [found("errors", 1.0, 2.0, 3.0), found("latency", 9.0)])

    assert [chart["title"] for chart in drawn] == [
        "latency",
        "evidence that green is worse: latency",
        "errors",
        "evidence that green is worse: errors",
    ]
    assert drawn[1]["series"][0]["points"] == [["2026-03-05T23:59:00+00:00", 9.0]]


def test_of_very_many_metrics_those_that_are_worse_come_first() -> None:
    many = [replace(LATENCY, metric=f"m{number}") for number in range(MAX_METRICS + 3)]
    worse = [replace(found(f"m{number}"), verdict=Verdict.WORSE) for number in (MAX_METRICS + 1, MAX_METRICS)]

    drawn = [chart["title"] for chart in charts(many, [found("m0"), *worse])]

    kept = [MAX_METRICS, MAX_METRICS + 1, *range(MAX_METRICS - 2)]
    assert drawn == [f"m{number}" for number in kept]
    assert len(charts(many[:MAX_METRICS], [])) == MAX_METRICS
