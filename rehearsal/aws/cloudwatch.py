"""CloudWatch metrics where moto falls short: percentiles, metric math, exact dimensions, periods.

A metric is its namespace, its name and its exact set of dimensions; data points are aggregated into
periods that begin at multiples of the period. What is put stays in moto's backend too, so that
ListMetrics and the rest go on working.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_concepts.html and
https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.utils import parse_to_aware_datetime
from moto.cloudwatch.models import CloudWatchBackend, MetricDatum, cloudwatch_backends

from rehearsal.aws.call import AwsError, Call, JsonObject
from rehearsal.aws.metric_math import InvalidExpressionError, Scope, Series, evaluate

MAX_QUERIES = 500
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricStatistics.html
MAX_STATISTICS_POINTS = 1440
MAX_DATA_POINTS = 100_800

_ID = re.compile(r"[a-z][a-zA-Z0-9_]*")
_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,10})?|100)")
_SHORT_PERIODS = {1, 5, 10, 20, 30}

Metric = tuple[str, str, frozenset[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class Sample:
    """What one PutMetricData said: a value and how often, or a statistic set."""

    at: float
    """Seconds since 1970."""
    total: float
    count: float
    minimum: float
    maximum: float
    unit: str

    @property
    def is_spread(self) -> bool:
        """Whether single values are lost: percentiles can't be told from such a set."""
        return self.minimum != self.maximum

    @classmethod
    def of(cls, value: float, unit: str, at: float) -> "Sample":
        """Make the sample of a single value."""
        return cls(at, value, 1.0, value, value, unit)


class Metrics:
    """The operations on metrics that are answered here."""

    @property
    def operations(self) -> Mapping[str, Callable[[Call], JsonObject]]:
        """What is answered here, by operation."""
        return {
            "PutMetricData": self.put,
            "GetMetricData": self.data,
            "GetMetricStatistics": self.statistics,
        }

    def answer(self, call: Call) -> JsonObject:
        """Answer a call."""
        return self.operations[call.operation](call)

    def put(self, call: Call) -> JsonObject:
        """Take data points."""
        parameters = call.parameters
        namespace, data = str(parameters.get("Namespace", "")), parameters.get("MetricData") or []
        backend = _backend(call)
        for number, datum in enumerate(data):
            backend._validate_parameters_put_metric_data(datum, number + 1)  # noqa: SLF001 - moto's own texts
        for datum in data:
            dimensions = {
                dimension["Name"]: dimension["Value"] for dimension in datum.get("Dimensions") or []
            }
            at = _epoch(datum["Timestamp"]) if "Timestamp" in datum else datetime.now(UTC).timestamp()
            record(backend, namespace, str(datum["MetricName"]), dimensions, *_samples(datum, at))
        return {}

    def data(self, call: Call) -> JsonObject:
        """Answer metric queries and the expressions over them."""
        parameters = call.parameters
        queries = parameters.get("MetricDataQueries") or []
        start, end = _range(parameters)
        results = _Queries(queries, _samples_of(_backend(call)), start, end).results()
        descending = parameters.get("ScanBy", "TimestampDescending") == "TimestampDescending"
        shown = []
        for query, series in results:
            times = sorted(series, reverse=descending)
            shown.append(
                {
                    "Id": query["Id"],
                    "Label": query.get("Label") or _label(query),
                    "Timestamps": times,
                    "Values": [series[time] for time in times],
                    "StatusCode": "Complete",
                }
            )
        return {"MetricDataResults": shown, "Messages": []}

    def statistics(self, call: Call) -> JsonObject:
        """Answer one metric's statistics, percentiles included."""
        parameters = call.parameters
        statistics = [*(parameters.get("Statistics") or []), *(parameters.get("ExtendedStatistics") or [])]
        if not statistics:
            raise AwsError(
                "InvalidParameterCombination", "Must specify either Statistics or ExtendedStatistics"
            )
        start, end = _range(parameters)
        period = _period(parameters.get("Period"))
        if (end - start) / period > MAX_STATISTICS_POINTS:
            raise AwsError(
                "InvalidParameterCombination",
                f"You have requested up to {(end - start) // period:.0f} datapoints, which exceeds the "
                f"limit of {MAX_STATISTICS_POINTS}. You may reduce them by increasing Period, or "
                "decreasing the time range.",
            )
        metric = _metric(
            str(parameters["Namespace"]), str(parameters["MetricName"]), parameters.get("Dimensions") or []
        )
        samples = _wanted(_samples_of(_backend(call)).get(metric, []), parameters.get("Unit"))
        points: dict[int, JsonObject] = defaultdict(dict)
        for statistic in statistics:
            for time, value in _aggregated(samples, statistic, period, start, end).items():
                if _PERCENTILE.fullmatch(statistic):
                    points[time].setdefault("ExtendedStatistics", {})[statistic] = value
                else:
                    points[time][statistic] = value
        unit = samples[0].unit if samples else "None"
        return {
            "Label": metric[1],
            "Datapoints": [{"Timestamp": time, **points[time], "Unit": unit} for time in sorted(points)],
        }


def record(
    backend: CloudWatchBackend, namespace: str, name: str, dimensions: Mapping[str, str], *samples: Sample
) -> None:
    """Keep samples of a metric."""
    known = _samples_of(backend)
    metric = namespace, name, frozenset(dimensions.items())
    if metric not in known:
        # One stands for all: moto's ListMetrics asks for the metric, not for its data.
        at = datetime.fromtimestamp(samples[0].at, UTC)
        listed = [{"Name": dimension, "Value": value} for dimension, value in dimensions.items()]
        backend.metric_data.append(MetricDatum(namespace, name, 0.0, listed, at))
    known[metric] += samples


class _Queries:
    """The queries of one GetMetricData, each worked out once."""

    def __init__(
        self, queries: Sequence[JsonObject], samples: Mapping[Metric, list[Sample]], start: float, end: float
    ) -> None:
        if not queries or len(queries) > MAX_QUERIES:
            raise _invalid(f"The collection MetricDataQueries must have between 1 and {MAX_QUERIES} members.")
        self._queries: dict[str, JsonObject] = {}
        for number, query in enumerate(queries, start=1):
            self._check(query, number)
            self._queries[query["Id"]] = query
        self._samples = samples
        self._start, self._end = start, end
        self._known: dict[str, Series] = {}
        self._asked: list[str] = []

    def _check(self, query: JsonObject, number: int) -> None:
        name = str(query.get("Id", ""))
        if not _ID.fullmatch(name):
            raise _invalid(
                f"The value {name!r} of MetricDataQueries.member.{number}.Id does not match the pattern."
            )
        if name in self._queries:
            raise _invalid(
                f"The values for parameter Id in parameter MetricDataQueries are not unique: {name}"
            )
        if ("MetricStat" in query) == ("Expression" in query):
            raise _invalid(
                f"The parameter MetricDataQueries.member.{number} must have one of MetricStat and Expression."
            )

    def results(self) -> list[tuple[JsonObject, Series]]:
        """Return the series of the queries that ask to be returned."""
        return [
            (query, self.series(name))
            for name, query in self._queries.items()
            if query.get("ReturnData", True)
        ]

    def series(self, name: str) -> Series:
        """Return the series of an id; raises :class:`InvalidExpressionError` for one that does not exist."""
        if name not in self._known:
            query = self._queries.get(name)
            if query is None:
                raise InvalidExpressionError(f"{name} is not the id of a query")
            if name in self._asked:
                raise _invalid(f"Error in expression '{name}': it refers to itself")
            self._asked.append(name)
            self._known[name] = self._metric(query) if "MetricStat" in query else self._expression(query)
            self._asked.pop()
        return self._known[name]

    def _metric(self, query: JsonObject) -> Series:
        asked = query["MetricStat"]
        metric = asked.get("Metric") or {}
        key = _metric(
            str(metric.get("Namespace")), str(metric.get("MetricName")), metric.get("Dimensions") or []
        )
        samples = _wanted(self._samples.get(key, []), asked.get("Unit"))
        return _aggregated(
            samples, str(asked.get("Stat")), _period(asked.get("Period")), self._start, self._end
        )

    def _expression(self, query: JsonObject) -> Series:
        metrics = {name: self.series(name) for name, other in self._queries.items() if "MetricStat" in other}
        period = query.get("Period") or min(
            (
                _period(other["MetricStat"].get("Period"))
                for other in self._queries.values()
                if "MetricStat" in other
            ),
            default=60,
        )
        period = _period(period)
        first = int(self._start // period * period)
        if (self._end - first) / period > MAX_DATA_POINTS:
            raise _invalid(f"The request asks for more than {MAX_DATA_POINTS} data points.")
        times = range(first, _ceiling(self._end), period)
        try:
            return evaluate(str(query["Expression"]), Scope(self.series, metrics, times))
        except InvalidExpressionError as error:
            raise _invalid(f"Error in expression '{query['Id']}': {error}") from error


def _ceiling(moment: float) -> int:
    return -int(-moment // 1)


def _invalid(message: str) -> AwsError:
    return AwsError("ValidationError", message)


def _backend(call: Call) -> CloudWatchBackend:
    return cloudwatch_backends[call.account][call.region]


def _samples_of(backend: CloudWatchBackend) -> defaultdict[Metric, list[Sample]]:
    # Beside moto's own list in its backend, so that both are forgotten together. moto's has one object
    # per value and is searched from end to end; an hour of traffic needs an index.
    samples: defaultdict[Metric, list[Sample]] = backend.__dict__.setdefault(
        "rehearsal_samples", defaultdict(list)
    )
    return samples


def _metric(namespace: str, name: str, dimensions: Iterable[Mapping[str, str]]) -> Metric:
    return namespace, name, frozenset((dimension["Name"], dimension["Value"]) for dimension in dimensions)


def _samples(datum: JsonObject, at: float) -> list[Sample]:
    unit = str(datum.get("Unit") or "None")
    if values := datum.get("Values"):
        counts = datum.get("Counts") or [1] * len(values)
        return [
            Sample(at, float(value) * float(count), float(count), float(value), float(value), unit)
            for value, count in zip(values, counts, strict=True)
        ]
    if of := datum.get("StatisticValues"):
        total, count = float(of["Sum"]), float(of["SampleCount"])
        return [Sample(at, total, count, float(of["Minimum"]), float(of["Maximum"]), unit)]
    return [Sample.of(float(datum.get("Value", 0)), unit, at)]


def _wanted(samples: Sequence[Sample], unit: str | None) -> list[Sample]:
    return [sample for sample in samples if unit is None or sample.unit == unit]


def _epoch(moment: Any) -> float:
    return parse_to_aware_datetime(moment).timestamp()


def _range(parameters: JsonObject) -> tuple[float, float]:
    try:
        start, end = _epoch(parameters["StartTime"]), _epoch(parameters["EndTime"])
    except (KeyError, ValueError) as error:
        raise _invalid("The parameters StartTime and EndTime are required.") from error
    if start > end:
        raise _invalid("The parameter EndTime must be greater than StartTime.")
    if start == end:
        raise _invalid("The parameter StartTime must not equal parameter EndTime.")
    return start, end


def _period(value: object) -> int:
    if isinstance(value, int) and value > 0 and (value % 60 == 0 or value in _SHORT_PERIODS):
        return value
    raise _invalid("The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60.")


def _label(query: JsonObject) -> str:
    return str(query["MetricStat"]["Metric"]["MetricName"] if "MetricStat" in query else query["Id"])


def _aggregated(
    samples: Iterable[Sample], statistic: str, period: int, start: float, end: float
) -> dict[int, float]:
    """Aggregate samples by period; StartTime counts from its whole minute or period, EndTime is left out."""
    compute = _statistic(statistic)
    grain = min(period, 60)
    first = start // grain * grain
    periods: dict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        if first <= sample.at < end:
            periods[int(sample.at // period * period)].append(sample)
    values = {time: compute(group) for time, group in sorted(periods.items())}
    return {time: value for time, value in values.items() if value is not None}


def _statistic(name: str) -> Callable[[list[Sample]], float | None]:
    if name in _STATISTICS:
        return _STATISTICS[name]
    match = _PERCENTILE.fullmatch(name)
    if match is None:
        raise _invalid(f"The value {name} for parameter Stat is not supported.")
    return lambda samples: percentile(samples, float(match[1]))


def percentile(samples: Sequence[Sample], percent: float) -> float | None:
    """Return a percentile by linear interpolation between the closest ranks; ``None`` when it can't be told.

    CloudWatch does not say how it interpolates; for the sizes that matter the choice is far below a
    metric's noise.
    """
    if any(sample.is_spread for sample in samples):
        return None
    ordered = sorted((sample.minimum, sample.count) for sample in samples if sample.count > 0)
    if not ordered:
        return None
    rank = percent / 100 * (sum(count for _, count in ordered) - 1)
    low = high = ordered[-1][0]
    seen = 0.0
    for index, (value, count) in enumerate(ordered):
        seen += count
        if rank <= seen - 1:
            return value
        if rank < seen:
            low, high = value, ordered[min(index + 1, len(ordered) - 1)][0]
            return low + (high - low) * (rank - (seen - 1))
    return high


_STATISTICS: Mapping[str, Callable[[list[Sample]], float | None]] = {
    "Average": lambda samples: _ratio(
        sum(sample.total for sample in samples), sum(sample.count for sample in samples)
    ),
    "Maximum": lambda samples: max(sample.maximum for sample in samples),
    "Minimum": lambda samples: min(sample.minimum for sample in samples),
    "SampleCount": lambda samples: sum(sample.count for sample in samples),
    "Sum": lambda samples: sum(sample.total for sample in samples),
}


def _ratio(total: float, count: float) -> float | None:
    return total / count if count else None
