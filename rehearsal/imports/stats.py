"""A ``MetricStat`` as people write it in files: keys with a capital letter or without."""

from collections.abc import Mapping
from typing import Any

from rehearsal.imports.cloudwatch_queries import Stat
from rehearsal.imports.reading import NOTHING_LIKE_IT, Part, Untranslatable

# Everything is judged by the minute.
PERIOD_SECONDS = 60


def read_stat(data: Any, part: Part, key: str) -> Stat:
    """Read one from keys that begin with a small letter; what is left over is noted at *key* of *part*."""
    stat = _mapping(data, "MetricStat")
    metric = _mapping(stat.pop("metric", None), "MetricStat.Metric")
    dimensions = metric.pop("dimensions", None) or []
    if not isinstance(dimensions, list):
        raise Untranslatable("MetricStat.Metric.Dimensions is not a list")
    pairs = []
    for dimension in dimensions:
        pair = _mapping(dimension, "a dimension")
        pairs.append((_text(pair, "name", "a dimension's Name"), _text(pair, "value", "a dimension's Value")))
        _left(pair, "Dimensions", part, key)
    period = stat.pop("period", PERIOD_SECONDS)
    if str(period) not in {str(PERIOD_SECONDS), "1m"}:
        part.note(
            key, f"Period is {period}; here it is {PERIOD_SECONDS}, as everything is judged by the minute"
        )
    read = Stat(
        namespace=_text(metric, "namespace", "MetricStat.Metric.Namespace"),
        metric=_text(metric, "metricName", "MetricStat.Metric.MetricName"),
        statistic=_text(stat, "stat", "MetricStat.Stat"),
        dimensions=tuple(pairs),
        unit=_text(stat, "unit", "MetricStat.Unit") if stat.get("unit") is not None else None,
    )
    stat.pop("unit", None)
    _left(stat, "MetricStat", part, key)
    _left(metric, "MetricStat.Metric", part, key)
    return read


def _mapping(data: Any, what: str) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        raise Untranslatable(f"{what} is missing, or has no keys")
    return dict(data)


def _text(data: dict[str, Any], key: str, what: str) -> str:
    value = data.pop(key, None)
    if not isinstance(value, str) or not value:
        raise Untranslatable(f"{what} is missing, or no text")
    return value


def _left(data: Mapping[str, Any], where: str, part: Part, key: str) -> None:
    for name in data:
        part.note(key, f"{where}.{name[:1].upper()}{name[1:]}: {NOTHING_LIKE_IT}")
