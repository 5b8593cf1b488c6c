"""Pictures of a run, in the shape that ``shared.record`` describes: over time, and latency by percentile."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from hooks.load_test.measurement import ArmPoint, Histogram, Measurement
from hooks.load_test.rules import Metric, Rule

# Finer towards the end, where rules look.
PERCENTS = (0, 10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 92.5, 95, 96, 97, 98, 99, 99.5, 99.9, 99.95, 99.99)


def charts(measured: Measurement, rules: Sequence[Rule]) -> list[dict[str, Any]]:
    """Draw what was asked for, errors and p(95) over time, and latency by percentile."""
    drawn = []
    if measured.timeline:
        drawn = [
            _over_time(measured, "requests a second", "", lambda point, seconds: point.sent / seconds),
            _over_time(measured, "errors", "%", _errors, _levels(rules, Metric.ERRORS, 100)),
            _over_time(
                measured,
                "p(95) latency",
                "ms",
                lambda point, _: point.p95_milliseconds,
                _levels(rules, Metric.PERCENTILE, 1000, percent=95),
            ),
        ]
    distributions = [
        {"name": name, "points": _distribution(arm.latency)}
        for name, arm in measured.arms.items()
        if arm.latency.count
    ]
    if distributions:
        drawn.append(
            {
                "title": "latency by percentile",
                "unit": "ms",
                "across": "percentile",
                "series": distributions,
                "thresholds": [],
            }
        )
    return drawn


def _over_time(
    measured: Measurement,
    title: str,
    unit: str,
    value: Callable[[ArmPoint, float], float | None],
    thresholds: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    series: dict[str, list[list[Any]]] = {}
    before = 0.0
    for point in measured.timeline:
        at = (measured.began + timedelta(seconds=point.second)).isoformat(timespec="milliseconds")
        seconds, before = max(point.second - before, 0.001), point.second
        for name, arm in (("green", point.green), ("blue", point.blue)):
            found = value(arm, seconds) if arm else None
            if found is not None:
                series.setdefault(name, []).append([at, round(found, 3)])
    return {
        "title": title,
        "unit": unit,
        "series": [{"name": name, "points": points} for name, points in series.items()],
        "thresholds": list(thresholds),
    }


def _errors(point: ArmPoint, _seconds: float) -> float | None:
    # Those of a stretch may be of requests sent in the one before.
    return min(100 * point.errors / point.sent, 100.0) if point.sent else None


def _levels(rules: Sequence[Rule], metric: Metric, factor: float, percent: float = 0) -> list[dict[str, Any]]:
    return [
        {"name": rule.text, "value": round(rule.limit * factor, 3)}
        for rule in rules
        if rule.metric is metric and not rule.is_relative and rule.percent == percent
    ]


def _distribution(latency: Histogram) -> list[list[float]]:
    # A percentile is drawn as far as there are requests beyond it.
    percents = [percent for percent in PERCENTS if latency.count * (1 - percent / 100) >= 1]
    return [[percent, round(1000 * latency.quantile(percent / 100), 3)] for percent in percents]
