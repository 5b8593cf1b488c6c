"""CloudWatch metrics where moto falls short: statistics, metric math, exact dimensions, periods, pages.

A metric is its namespace, its name and its exact set of dimensions; data points are aggregated into
periods that begin at multiples of the period. What is put stays in moto's backend too, so that
ListMetrics and the rest go on working.

What AWS does not say, and how it is here:

- How the data points of several metrics are split into pages: query by query, in the order asked.
- How percentiles, and counts within bounds, are approximated: they are exact here, but for the
  interpolation of a percentile between two values.
- What a trimmed count is where no value lies within its bounds: 0 here, as long as there are values.

Sources: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_concepts.html,
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Statistics-definitions.html and
https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
"""

import base64
import hashlib
import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from weakref import WeakKeyDictionary

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
_TRIMMED_TO = re.compile(r"(?P<kind>tc|tm|ts)(?P<percent>\d{1,2}(?:\.\d{1,10})?|100)")
_TRIMMED = re.compile(
    r"(?P<kind>PR|TC|TM|TS)\((?P<low>\d+(?:\.\d{1,10})?%?)?:(?P<high>\d+(?:\.\d{1,10})?%?)?\)"
)
_SHORT_PERIODS = {1, 5, 10, 20, 30}
_MINUTE = 60
# Later than any sample; a whole number, where infinity has none.
_FAR = 1e11

Metric = tuple[str, str, frozenset[tuple[str, str]]]
Compute = Callable[[Sequence["Sample"]], float | None]


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


Samples = dict[int, list[Sample]]
"""The samples of a metric, by the minute since 1970 they are of."""


@dataclass(frozen=True, slots=True)
class Shortfall:
    """In what an answer to GetMetricData falls short of what there is."""

    status: Literal["Complete", "PartialData", "InternalError"] = "Complete"
    """PartialData: half of each series is left out. InternalError: all of it. Neither has a token."""
    late_seconds: float = 0.0
    """Samples that are younger can't be read yet, by any statistic or operation."""

    def cut(self, times: list[int]) -> list[int]:
        """Return what is left of a series."""
        match self.status:
            case "PartialData":
                return times[: len(times) // 2]
            case "InternalError":
                return []
            case _:
                return times


# By call, from the moment it is let in until it is answered, or given up.
_shortfalls: WeakKeyDictionary[Call, Shortfall] = WeakKeyDictionary()


def fall_short(call: Call, shortfall: Shortfall) -> None:
    """Let the answer to a call that has just come in fall short; of several reasons, the worst holds."""
    other = _shortfalls.get(call, Shortfall())
    worst = max(shortfall.status, other.status, key=("Complete", "PartialData", "InternalError").index)
    _shortfalls[call] = Shortfall(worst, max(shortfall.late_seconds, other.late_seconds))


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
        shortfall = _shortfalls.pop(call, Shortfall())
        results = _Queries(queries, _samples_of(_backend(call)), start, end, _readable(shortfall)).results()
        descending = parameters.get("ScanBy", "TimestampDescending") == "TimestampDescending"
        pages = _Pages(parameters, descending=descending)
        shown, token = pages.page([(query, sorted(series, reverse=descending)) for query, series in results])
        by_id = {query["Id"]: series for query, series in results}
        answers = []
        for query, whole, status in shown:
            times = shortfall.cut(whole)
            answers.append(
                {
                    "Id": query["Id"],
                    "Label": query.get("Label") or _label(query),
                    "Timestamps": times,
                    "Values": [by_id[query["Id"]][time] for time in times],
                    "StatusCode": status if shortfall.status == "Complete" else shortfall.status,
                }
            )
        answer: JsonObject = {"MetricDataResults": answers, "Messages": []}
        return answer | ({"NextToken": token} if token and shortfall.status == "Complete" else {})

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
        readable = _readable(_shortfalls.pop(call, Shortfall()))
        known = _samples_of(_backend(call)).get(metric, {})
        samples = _between(known, start, min(end, readable), period, parameters.get("Unit"))
        points: dict[int, JsonObject] = defaultdict(dict)
        for statistic in statistics:
            for time, value in _aggregated(samples, statistic, period).items():
                if statistic in _STATISTICS:
                    points[time][statistic] = value
                else:
                    points[time].setdefault("ExtendedStatistics", {})[statistic] = value
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
    minutes = known[metric]
    for sample in samples:
        minutes.setdefault(int(sample.at // _MINUTE), []).append(sample)


class _Pages:
    """The pages of one GetMetricData: where one ends, and where the token says that the next begins.

    A token is of one request, and holds the number of a query and the last time shown of it. So data
    that comes in between two pages does not shift what is on the second.
    """

    def __init__(self, parameters: JsonObject, *, descending: bool) -> None:
        self._most = parameters.get("MaxDatapoints", MAX_DATA_POINTS)
        if not isinstance(self._most, int) or not 1 <= self._most <= MAX_DATA_POINTS:
            raise _invalid(f"The parameter MaxDatapoints must be between 1 and {MAX_DATA_POINTS}.")
        self._descending = descending
        queries = parameters["MetricDataQueries"]
        asked = [queries, *_range(parameters), descending]
        self._request = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]
        # As documented of StatusCode: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDataResult.html
        self._has_tokens = not any("Expression" in query for query in queries)
        self._first, self._after = self._read(parameters.get("NextToken"))

    def page(
        self, results: Sequence[tuple[JsonObject, list[int]]]
    ) -> tuple[list[tuple[JsonObject, list[int], str]], str | None]:
        """Return what is on the page: query, times and status; and the token, where more follows."""
        shown: list[tuple[JsonObject, list[int], str]] = []
        left, token = self._most, None
        for number, (query, times) in enumerate(results):
            if number < self._first:
                continue
            after = self._after if number == self._first else None
            rest = [time for time in times if after is None or self._follows(time, after)]
            taken, left = rest[:left], max(left - len(rest), 0)
            if token is None and len(taken) < len(rest):
                token = self._token(number, taken[-1] if taken else after)
            # What has not begun yet is as incomplete as what was cut.
            shown.append((query, taken, "PartialData" if token else "Complete"))
        return shown, token if self._has_tokens else None

    def _follows(self, time: int, other: int) -> bool:
        return time < other if self._descending else time > other

    def _token(self, number: int, after: int | None) -> str:
        return base64.urlsafe_b64encode(json.dumps([self._request, number, after]).encode()).decode()

    def _read(self, token: str | None) -> tuple[int, int | None]:
        if token is None:
            return 0, None
        try:
            request, number, after = json.loads(base64.urlsafe_b64decode(token))
        except (TypeError, ValueError) as error:
            raise AwsError("InvalidNextToken", "The next token specified is invalid.") from error
        if request != self._request:
            raise AwsError("InvalidNextToken", "The next token specified is of another request.")
        return number, after


class _Queries:
    """The queries of one GetMetricData, each worked out once."""

    def __init__(
        self,
        queries: Sequence[JsonObject],
        samples: Mapping[Metric, Samples],
        start: float,
        end: float,
        readable: float,
    ) -> None:
        if not queries or len(queries) > MAX_QUERIES:
            raise _invalid(f"The collection MetricDataQueries must have between 1 and {MAX_QUERIES} members.")
        self._queries: dict[str, JsonObject] = {}
        for number, query in enumerate(queries, start=1):
            self._check(query, number)
            self._queries[query["Id"]] = query
        self._samples = samples
        self._start, self._end, self._readable = start, end, readable
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
        period, end = _period(asked.get("Period")), min(self._end, self._readable)
        samples = _between(self._samples.get(key, {}), self._start, end, period, asked.get("Unit"))
        return _aggregated(samples, str(asked.get("Stat")), period)

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


def _samples_of(backend: CloudWatchBackend) -> defaultdict[Metric, Samples]:
    # Beside moto's own list in its backend, so that both are forgotten together. moto's has one object
    # per value and is searched from end to end; a day of traffic needs an index, by time as well.
    samples: defaultdict[Metric, Samples] = backend.__dict__.setdefault(
        "rehearsal_samples", defaultdict(dict)
    )
    return samples


def _readable(shortfall: Shortfall) -> float:
    """Return the moment from which on samples can't be read yet."""
    # Through `datetime.now` at each call: a rehearsal moves it.
    late = shortfall.late_seconds
    return datetime.now(UTC).timestamp() - late if late else math.inf


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


def _between(samples: Samples, start: float, end: float, period: int, unit: str | None) -> list[Sample]:
    """Return the samples asked for: StartTime counts from its whole minute or period, EndTime is left out."""
    grain = min(period, _MINUTE)
    first = start // grain * grain
    if first >= end:
        return []
    minutes: Sequence[int] = range(int(first // _MINUTE), int(min(end, _FAR) // _MINUTE) + 1)
    if len(samples) < len(minutes):
        minutes = sorted(samples)
    return [
        sample
        for minute in minutes
        for sample in samples.get(minute, ())
        if first <= sample.at < end and (unit is None or sample.unit == unit)
    ]


def _aggregated(samples: Iterable[Sample], statistic: str, period: int) -> dict[int, float]:
    compute = _statistic(statistic)
    periods: dict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        periods[int(sample.at // period * period)].append(sample)
    values = {time: compute(group) for time, group in sorted(periods.items())}
    return {time: value for time, value in values.items() if value is not None}


def _statistic(name: str) -> Compute:
    if name in _STATISTICS:
        return _STATISTICS[name]
    if match := _PERCENTILE.fullmatch(name):
        percent = float(match[1])
        return lambda samples: percentile(samples, percent)
    if name == "IQM":
        return _Trimmed("TM", 25.0, 75.0, by_rank=True)
    if match := _TRIMMED_TO.fullmatch(name):
        return _Trimmed(match["kind"].upper(), None, float(match["percent"]), by_rank=True)
    if match := _TRIMMED.fullmatch(name):
        low, high = match["low"], match["high"]
        by_rank = "%" in name
        bounds = [float(bound.rstrip("%")) for bound in (low, high) if bound]
        # AWS shows no mixture of values and percent, and no rank of a rank.
        mixed = any(bound and bound.endswith("%") != by_rank for bound in (low, high))
        beyond = by_rank and (match["kind"] == "PR" or max(bounds) > 100)
        if bounds and not mixed and not beyond and (len(bounds) < 2 or bounds[0] < bounds[1]):
            return _Trimmed(
                match["kind"], bounds[0] if low else None, bounds[-1] if high else None, by_rank=by_rank
            )
    raise _invalid(f"The value {name} for parameter Stat is not supported.")


@dataclass(frozen=True, slots=True)
class _Trimmed:
    """PR, TC, TM and TS: the share, count, mean and sum of the values above *low* and up to *high*.

    A bound is a value, or the percent of all values that lie below it; ``None`` is no bound.
    """

    kind: str
    low: float | None
    high: float | None
    by_rank: bool = False

    def __call__(self, samples: Sequence[Sample]) -> float | None:
        """Compute it; ``None`` when it can't be told."""
        ordered = _values(samples)
        if not ordered:
            return None
        within = self._by_rank(ordered) if self.by_rank else self._by_value(ordered)
        count, total = sum(count for _, count in within), sum(value * count for value, count in within)
        match self.kind:
            case "PR":
                return 100 * count / sum(count for _, count in ordered)
            case "TC":
                return count
            case "TM":
                return _ratio(total, count)
            case _:
                return total

    def _by_value(self, ordered: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        return [(value, count) for value, count in ordered if low < value <= high]

    def _by_rank(self, ordered: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        """Cut at the ranks, through the count of a value where a rank falls into it."""
        number = sum(count for _, count in ordered)
        low = number * (0.0 if self.low is None else self.low) / 100
        high = number * (100.0 if self.high is None else self.high) / 100
        within = []
        seen = 0.0
        for value, count in ordered:
            kept = min(seen + count, high) - max(seen, low)
            if kept > 0:
                within.append((value, kept))
            seen += count
        return within


def percentile(samples: Sequence[Sample], percent: float) -> float | None:
    """Return a percentile by linear interpolation between the closest ranks; ``None`` when it can't be told.

    CloudWatch does not say how it interpolates; for the sizes that matter the choice is far below a
    metric's noise.
    """
    ordered = _values(samples)
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


def _values(samples: Sequence[Sample]) -> list[tuple[float, float]]:
    """Return values and counts in order; none where single values are lost."""
    if any(sample.is_spread for sample in samples):
        return []
    return sorted((sample.minimum, sample.count) for sample in samples if sample.count > 0)


_STATISTICS: Mapping[str, Compute] = {
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
