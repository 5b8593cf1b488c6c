"""Which CloudWatch series tell of green and of blue, and what they say, minute by minute.

::

    metrics, green, blue ─▶ plan ─▶ queries ─▶ (CloudWatch) ─▶ pages ─▶ answers ─▶ observed

A count that CloudWatch does not have is zero only where the count of all events is there: load balancers
report requests while there are any, and errors only when there are some. Where neither is there, the
minute is not known.

How many requests were slow is the statistic ``TC(0.3:)`` of the response time, the number of values above
0.3. That CloudWatch answers it for a load balancer's TargetResponseTime has not been verified on AWS. Were it
silently without values, each request would pass for fast; so the maximum is asked for as well, and where it
is above the threshold while TC is absent, the minute is not known.

Sources: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html,
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Statistics-definitions.html and
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hooks.canary_comparison.observation import MINUTE, Kind, Observation, Reading, Split
from hooks.canary_comparison.settings import AlbMetric, Chosen, CloudWatchMetric, EmfMetric
from shared.errors import Misconfigured, shown
from shared.revision import Revision

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
MAX_QUERIES = 500
MAX_POINTS = 100_800

ALB = "AWS/ApplicationELB"
RESPONSE_TIME = "TargetResponseTime"
_BAD_COUNTS = {"errors": "HTTPCode_Target_5XX_Count", "connectionErrors": "TargetConnectionErrorCount"}

# "The hour before" is one period: percentiles of two can't be put together.
_HOUR_MINUTES = range(45, 76)

# More of CloudWatch's own words than this help nobody.
_MAX_MESSAGES = 3

# ------------------------------------------------------------------------------------------ queries


@dataclass(frozen=True, slots=True)
class Stat:
    """A statistic of one CloudWatch metric."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]
    statistic: str
    unit: str | None = None
    period_minutes: int = 1

    def __str__(self) -> str:
        return f"{self.statistic} of {self.namespace} {self.name}"


@dataclass(frozen=True, slots=True)
class Expression:
    """Metric math over other queries."""

    text: str
    uses: frozenset[str]
    """Ids of queries."""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Query:
    """One ``MetricDataQuery``."""

    id: str
    asks: Stat | Expression
    returned: bool
    """Whether its values are wanted, rather than only what an expression makes of them."""


class Queries:
    """What CloudWatch is asked: each distinct thing once, however many metrics use it."""

    def __init__(self) -> None:
        self._asked: dict[str, Stat | Expression] = {}
        self._ids: dict[Stat | Expression, str] = {}
        # In the order in which they came to be wanted; a set would have another one in each process.
        self._returned: dict[str, None] = {}

    def stat(self, stat: Stat) -> str:
        """Return the id of a statistic."""
        if stat not in self._ids:
            self._ids[stat] = f"q{len(self._ids)}"
            self._asked[self._ids[stat]] = stat
        return self._ids[stat]

    def expression(self, name: str, expression: Expression) -> str:
        """Return the id of an expression, which is *name* where it is new."""
        if expression not in self._ids:
            self._ids[expression] = name
            self._asked[name] = expression
        return self._ids[expression]

    def wanted(self, name: str) -> str:
        """Have the values of a query returned."""
        self._returned[name] = None
        return name

    def calls(self, minutes: int) -> list[list[Query]]:
        """Return the queries call by call, each call with all that its expressions use.

        No call has more points than a page holds where each query has *minutes* of them: an answer that has
        expressions in it is cut there, without a token for the rest.
        """
        most = min(MAX_QUERIES, MAX_POINTS // minutes)
        calls: list[dict[str, None]] = []
        for name in self._returned:
            needed = self._closure(name)
            if not calls or len(calls[-1].keys() | needed.keys()) > most:
                calls.append({})
            calls[-1].update(needed)
        return [
            [Query(name, self._asked[name], name in self._returned) for name in sorted(call)]
            for call in calls
        ]

    def _closure(self, name: str) -> dict[str, None]:
        found: dict[str, None] = {}
        left = [name]
        while left:
            one = left.pop()
            asked = self._asked[one]
            if one not in found and isinstance(asked, Expression):
                left += sorted(asked.uses)
            found[one] = None
        return found


# ------------------------------------------------------------------------------------------ answers


@dataclass(frozen=True, slots=True)
class Part:
    """What one page says of one query."""

    query: str
    status: str
    """``Complete``, ``PartialData``, ``InternalError`` or ``Forbidden``."""
    points: tuple[tuple[datetime, float], ...]
    label: str = ""
    messages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """One page of an answer."""

    parts: tuple[Part, ...]
    messages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """The values of one query by the start of their period, from all pages."""

    values: Mapping[datetime, float]
    trouble: str = ""
    """Why none of them can be trusted."""
    messages: tuple[str, ...] = ()
    """What CloudWatch added in words."""


def answers(
    pages: Iterable[Page], queries: Sequence[Query], start: datetime, end: datetime
) -> dict[str, Answer]:
    """Put the pages of one call together: an answer for each query that is returned.

    ``PartialData`` is what CloudWatch says of a query while more pages are to come; only on the last one it
    means that values were lost. Of a time that comes twice, the later value stands.
    """
    asked = {query.id: query for query in queries if query.returned}
    values: dict[str, dict[datetime, float]] = {name: {} for name in asked}
    status: dict[str, str] = {}
    messages: dict[str, dict[str, None]] = {name: {} for name in asked}
    for page in pages:
        labels: dict[str, str] = {}
        for name in asked:
            messages[name].update(dict.fromkeys(page.messages))
        for part in page.parts:
            if (query := asked.get(part.query)) is None:
                continue
            _check(part, labels.setdefault(query.id, part.label), query)
            # What is lost on one page, no later page makes good.
            if status.get(query.id) != "InternalError":
                status[query.id] = part.status
            messages[query.id].update(dict.fromkeys(part.messages))
            values[query.id].update(
                (at, value)
                for at, value in part.points
                if start <= at < end and not at.second and not at.microsecond
            )
    return {
        name: Answer(values[name], _trouble(status.get(name, "")), tuple(messages[name])) for name in asked
    }


def _check(part: Part, label: str, query: Query) -> None:
    if part.status == "Forbidden":
        raise Misconfigured(
            f"the function's role may not cloudwatch:GetMetricData on {query.asks}; "
            f"add it to the role's policy{_quoted(part.messages)}"
        )
    if part.label != label:
        # Metric math can return a list of series under one id. Which is meant, nobody can tell.
        raise Misconfigured(f"{query.asks} gives more than one series: {shown(label)}, {shown(part.label)}")


def _trouble(status: str) -> str:
    if status == "Complete":
        return ""
    return f"CloudWatch answered {status} for" if status else "CloudWatch did not answer for"


def _quoted(messages: Iterable[str]) -> str:
    texts = list(dict.fromkeys(messages))[:_MAX_MESSAGES]
    return f" (CloudWatch: {', '.join(map(shown, texts))})" if texts else ""


# ------------------------------------------------------------------------------------------ plan


@dataclass(frozen=True, slots=True)
class Wanted:
    """A query, and what it asks for in words."""

    query: str
    text: str


@dataclass(frozen=True, slots=True)
class Counted:
    """Bad events and all events, of one target group or one set of dimensions."""

    bad: Wanted
    total: Wanted
    highest: Wanted | None = None
    """The highest value of the minute, where events count as bad that are above *threshold*."""
    threshold: float = math.inf


@dataclass(frozen=True, slots=True)
class Compared:
    """Where the two sides of a metric are to be found."""

    metric: Chosen
    green: tuple[Counted, ...] | Wanted
    """Counts, to be added; or a gauge."""
    blue: tuple[Counted, ...] | Wanted
    threshold: float | None = None
    problem: str = ""
    """Why it can't be observed at all."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """Above how many seconds a request is slow, where the settings leave it to blue."""

    seconds: float | None
    problem: str = ""


def leaves_threshold_to_blue(metric: Chosen) -> bool:
    """Tell whether *metric* counts slow requests and does not say which are slow."""
    return isinstance(metric, AlbMetric) and metric.measure == "slow" and metric.slow_above_seconds is None


def hour_before(start: datetime) -> tuple[datetime, timedelta]:
    """Return the beginning and the length of the one period that stands for the hour before *start*.

    CloudWatch's periods begin at multiples of their length. An aligned hour would end up to 59 minutes before
    *start*, and blue may not even have run then; one that goes on after *start* would give another threshold
    at each look. So it is the length of 45 to 75 minutes of which a multiple ends closest before *start*:
    mostly within two minutes, and hardly ever more than 15 before.
    """
    minute = int(start.timestamp()) // 60
    length = min(_HOUR_MINUTES, key=lambda minutes: (minute % minutes, abs(minutes - 60)))
    first = minute - minute % length - length
    return datetime.fromtimestamp(first * 60, UTC), timedelta(minutes=length)


def hour_queries(green: Revision, blue: Revision, length: timedelta) -> Queries:
    """Return what asks for the time that 95 % of blue's requests took less than, by target group."""
    queries = Queries()
    for group in _groups(green, blue)[1]:
        queries.wanted(queries.stat(group.stat(RESPONSE_TIME, "p95", period_minutes=length // MINUTE)))
    return queries


def threshold_of(found: Mapping[str, Answer]) -> Threshold:
    """Return the threshold from the answers to :func:`hour_queries`.

    Of several target groups the slowest counts: 95 % of all requests took less than that, or more.
    """
    unknown = "so no threshold for slow requests is known; set slowAboveSeconds"
    for answer in found.values():
        if answer.trouble:
            words = _quoted(answer.messages)
            return Threshold(
                None, f"{answer.trouble} p95 of blue's {RESPONSE_TIME} in the hour before{words}, {unknown}"
            )
    values = [value for answer in found.values() for value in answer.values.values()]
    if not values:
        return Threshold(None, f"blue served no request in the hour before, {unknown}")
    if not all(math.isfinite(value) and value > 0 for value in values):
        return Threshold(None, f"p95 of blue's {RESPONSE_TIME} in the hour before is no duration, {unknown}")
    # To the microsecond: more digits than that only make the statistic's name long.
    return Threshold(max(round(max(values), 6), 1e-6))


def plan(
    metrics: Sequence[Chosen], green: Revision, blue: Revision, threshold: Threshold
) -> tuple[Queries, list[Compared]]:
    """Tell what to ask CloudWatch, and what to make of it.

    Raises
    ------
    Misconfigured
        Where the revisions can't be told apart by a metric.
    """
    queries = Queries()
    compared = []
    for index, metric in enumerate(metrics):
        match metric:
            case AlbMetric():
                compared.append(_alb(queries, metric, green, blue, threshold))
            case EmfMetric():
                compared.append(_emf(queries, metric, green, blue))
            case CloudWatchMetric():
                compared.append(_cloudwatch(queries, metric, f"m{index}_", green, blue))
            case _:
                raise TypeError(f"{metric.source} is not read from CloudWatch's metrics")
    return queries, compared


@dataclass(frozen=True, slots=True)
class _Group:
    """A target group, as CloudWatch's dimensions name it."""

    name: str
    load_balancer: str

    def stat(self, name: str, statistic: str, *, period_minutes: int = 1) -> Stat:
        dimensions = (("LoadBalancer", self.load_balancer), ("TargetGroup", self.name))
        return Stat(ALB, name, dimensions, statistic, period_minutes=period_minutes)


def _groups(green: Revision, blue: Revision) -> tuple[list[_Group], list[_Group]]:
    """Return the target groups of green and of blue."""
    sides = _groups_of("green", green), _groups_of("blue", blue)
    if common := sorted({group.name for group in sides[0]} & {group.name for group in sides[1]}):
        raise Misconfigured(
            f"green and blue are both in {common[0]}, so CloudWatch can't tell them apart; ECS gives each a "
            "target group of its own where the service has an alternate target group"
        )
    return sides


def _groups_of(colour: str, revision: Revision) -> list[_Group]:
    if not revision.target_groups:
        raise Misconfigured(
            f"{colour} ({revision.arn.id}) has no target group: none yet, or the service has no Application "
            "Load Balancer; use serviceConnectAccessLogs, emf or cloudWatch metrics"
        )
    groups = []
    balancers = [*revision.load_balancers, *([None] * len(revision.target_groups))]
    for arn, balancer in zip(revision.target_groups, balancers, strict=False):
        name = arn.rpartition(":")[2]
        if balancer is None:
            raise Misconfigured(
                f"ECS has resolved no productionListenerRule for {name} of {colour} ({revision.arn.id}), so "
                "its load balancer is not known; use serviceConnectAccessLogs, emf or cloudWatch metrics"
            )
        if not balancer.startswith("app/"):
            raise Misconfigured(
                f"{name} of {colour} is behind {balancer}, a Network Load Balancer, which knows no requests "
                "and no status codes; use serviceConnectAccessLogs, emf or cloudWatch metrics"
            )
        groups.append(_Group(name, balancer))
    return list(dict.fromkeys(groups))


def _alb(
    queries: Queries, metric: AlbMetric, green: Revision, blue: Revision, threshold: Threshold
) -> Compared:
    sides = _groups(green, blue)
    if metric.measure == "latency":
        green_value, blue_value = (
            _percentile(queries, metric, colour, groups)
            for colour, groups in zip(("green", "blue"), sides, strict=True)
        )
        return Compared(metric, green_value, blue_value)
    seconds = None
    if metric.measure == "slow":
        seconds = metric.slow_above_seconds or threshold.seconds
        if seconds is None:
            return Compared(metric, (), (), problem=threshold.problem)
    green_counts, blue_counts = (
        tuple(_alb_counted(queries, metric, group, seconds) for group in groups) for groups in sides
    )
    return Compared(metric, green_counts, blue_counts, threshold=seconds)


def _percentile(queries: Queries, metric: AlbMetric, colour: str, groups: Sequence[_Group]) -> Wanted:
    if len(groups) > 1:
        raise Misconfigured(
            f"metric {metric.name!r}: {colour} has {len(groups)} target groups, whose percentiles can't be "
            "put together; use the measure slow, or one cloudWatch metric for each"
        )
    statistic = f"p{_plain(metric.percentile)}"
    return _want(queries, groups[0].stat(RESPONSE_TIME, statistic), groups[0].name)


def _alb_counted(queries: Queries, metric: AlbMetric, group: _Group, seconds: float | None) -> Counted:
    if seconds is None:
        return Counted(
            bad=_want(queries, group.stat(_BAD_COUNTS[metric.measure], "Sum"), group.name),
            total=_want(queries, group.stat("RequestCount", "Sum"), group.name),
        )
    return _slow(queries, group.stat(RESPONSE_TIME, "SampleCount"), group.name, seconds)


def _slow(queries: Queries, samples: Stat, where: str, above: float) -> Counted:
    """Count the values above a threshold, of all values."""
    return Counted(
        bad=_want(queries, _other(samples, f"TC({_plain(above)}:)"), where),
        total=_want(queries, samples, where),
        highest=_want(queries, _other(samples, "Maximum"), where),
        threshold=above,
    )


def _other(stat: Stat, statistic: str) -> Stat:
    return Stat(stat.namespace, stat.name, stat.dimensions, statistic)


def _want(queries: Queries, stat: Stat, where: str) -> Wanted:
    text = stat.name if stat.statistic == "Sum" else f"{stat.statistic} of {stat.name}"
    return Wanted(queries.wanted(queries.stat(stat)), f"{text} of {where}")


def _plain(number: float) -> str:
    """Write a number as statistics have it: no exponent, no zeros at the end."""
    text = f"{Decimal(repr(number)):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _filled(text: str, values: Mapping[str, str]) -> str:
    """Fill the placeholders, all in one pass: what is filled in is not looked at again."""
    return re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], found[0]), text)


def _emf(queries: Queries, metric: EmfMetric, green: Revision, blue: Revision) -> Compared:
    dimensions = _emf_dimensions(metric, "green", green), _emf_dimensions(metric, "blue", blue)
    if dimensions[0] == dimensions[1]:
        raise Misconfigured(
            f"metric {metric.name!r}: green and blue have the same task definition, so its dimensions can't "
            "tell them apart; use {revision}"
        )

    def gauge(side: tuple[tuple[str, str], ...]) -> Wanted:
        stat = Stat(metric.namespace, str(metric.value), side, metric.statistic)
        return _want(queries, stat, _where(stat))

    def counted(side: tuple[tuple[str, str], ...]) -> Counted:
        if metric.kind is Kind.SLOW:
            samples = Stat(metric.namespace, str(metric.value), side, "SampleCount")
            return _slow(queries, samples, _where(samples), metric.above or 0.0)
        bad, total = (Stat(metric.namespace, str(name), side, "Sum") for name in (metric.bad, metric.total))
        return Counted(_want(queries, bad, _where(bad)), _want(queries, total, _where(total)))

    if metric.kind is Kind.GAUGE:
        return Compared(metric, gauge(dimensions[0]), gauge(dimensions[1]))
    return Compared(metric, (counted(dimensions[0]),), (counted(dimensions[1]),))


def _emf_dimensions(metric: EmfMetric, colour: str, revision: Revision) -> tuple[tuple[str, str], ...]:
    values = {"revision": revision.arn.id}
    if task_definition := revision.task_definition_arn.rpartition("/")[2]:
        values["taskDefinition"] = task_definition
    elif any("{taskDefinition}" in value for value in metric.dimensions.values()):
        raise Misconfigured(
            f"metric {metric.name!r}: ECS does not say which task definition {colour} ({revision.arn.id}) "
            "has; use {revision}"
        )
    return tuple(sorted((name, _filled(value, values)) for name, value in metric.dimensions.items()))


def _where(stat: Stat) -> str:
    shown_dimensions = ", ".join(f"{name}={value}" for name, value in stat.dimensions)
    return f"{stat.namespace} ({shown_dimensions})"


# Strings stay as they are, and an exponent (1e5) is no identifier.
_TOKEN = re.compile(
    r"""(?P<literal>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"""
    r"""|(?P<function>[A-Za-z_]\w*)(?=\s*\()"""
    r"""|(?P<word>[A-Za-z_]\w*)""",
    re.ASCII,
)


def _cloudwatch(
    queries: Queries, metric: CloudWatchMetric, prefix: str, green: Revision, blue: Revision
) -> Compared:
    ids: dict[str, str] = {}
    colours = {"green": green.arn.id, "blue": blue.arn.id}
    wanted = {query.id: query for query in metric.queries}

    def resolved(name: str, within: tuple[str, ...] = ()) -> str:
        """Return the id that a query of this metric has among those of all."""
        if name in within:
            raise Misconfigured(f"metric {metric.name!r}: query {name!r} refers to itself")
        if name not in wanted:
            # It could be the id of another metric's query, among all of them.
            raise Misconfigured(
                f"metric {metric.name!r}: query {within[-1]!r} uses {name!r}, and there is no such query"
            )
        if name not in ids:
            query = wanted[name]
            if asked := query.metric_stat:
                named = asked.metric
                dimensions = ((one.name, _filled(one.value, colours)) for one in named.dimensions)
                ids[name] = queries.stat(
                    Stat(
                        named.namespace, named.metric_name, tuple(sorted(dimensions)), asked.stat, asked.unit
                    )
                )
            else:
                renamed = _renamed(query.expression or "", lambda other: resolved(other, (*within, name)))
                ids[name] = queries.expression(prefix + name, renamed)
        return ids[name]

    def role(name: str | None) -> Wanted:
        return Wanted(queries.wanted(resolved(str(name))), f"query {name!r}")

    # What differs by name only is the same query here, and compared with itself anything is good.
    sides = [
        [resolved(name) for name in roles.model_dump(exclude_none=True).values()]
        for roles in (metric.green, metric.blue)
    ]
    if sides[0] == sides[1]:
        raise Misconfigured(f"metric {metric.name!r}: the queries of green and of blue ask for the same")
    if metric.kind is Kind.GAUGE:
        return Compared(metric, role(metric.green.value), role(metric.blue.value))
    green_counts, blue_counts = (
        (Counted(role(roles.bad), role(roles.total)),) for roles in (metric.green, metric.blue)
    )
    return Compared(metric, green_counts, blue_counts)


def _renamed(text: str, resolved: Callable[[str], str]) -> Expression:
    """Give the identifiers of an expression other ids, and leave strings and functions as they are."""
    uses: set[str] = set()

    def replaced(token: re.Match[str]) -> str:
        word = token["word"]
        if word is None or not word[0].islower():  # ids begin with a small letter
            return token[0]
        other = resolved(word)
        uses.add(other)
        return other

    return Expression(_TOKEN.sub(replaced, text), frozenset(uses))


# ------------------------------------------------------------------------------------------ observations


@dataclass(frozen=True, slots=True)
class _Unknown:
    """Why a side is not known in a minute."""

    reason: str
    messages: tuple[str, ...] = ()


def observed(compared: Compared, found: Mapping[str, Answer], minutes: Sequence[datetime]) -> Observation:
    """Tell what is known of a metric in *minutes*, which are the closed ones, in order."""
    metric = compared.metric
    if compared.problem:
        return Observation(metric.name, metric.kind, (), tuple(minutes), compared.problem)
    splits: list[Split] = []
    readings: list[Reading] = []
    missing: list[datetime] = []
    times: Counter[str] = Counter()
    last: dict[str, tuple[str, ...]] = {}
    for minute in minutes:
        green, blue = (_side(side, found, minute) for side in (compared.green, compared.blue))
        if isinstance(green, _Unknown) or isinstance(blue, _Unknown):
            missing.append(minute)
            last = {
                f"{colour}: {side.reason}": side.messages
                for colour, side in (("green", green), ("blue", blue))
                if isinstance(side, _Unknown)
            }
            times.update(list(last))
        elif metric.kind.is_counted:
            splits.append(Split(minute, *green, *blue))
        else:
            readings.append(Reading(minute, *green, *blue))
    problem = "; ".join(
        f"{reason} in {times[reason]} of {len(minutes)} minutes{_quoted(messages)}"
        for reason, messages in last.items()
    )
    known = tuple(splits) if metric.kind.is_counted else tuple(readings)
    threshold = compared.threshold
    return Observation(metric.name, metric.kind, known, tuple(missing), problem, threshold)


def _side(
    side: tuple[Counted, ...] | Wanted, found: Mapping[str, Answer], minute: datetime
) -> tuple[float, ...] | _Unknown:
    """Return one side's bad and all events, or its one value."""
    if isinstance(side, Wanted):
        value = _value(side, found, minute)
        if isinstance(value, _Unknown):
            return value
        return _absent(side, found) if value is None else (value,)
    bad = total = 0.0
    for group in side:
        # A group that is not known is not one without requests, even where the others are known.
        counts = _counts(group, found, minute)
        if isinstance(counts, _Unknown):
            return counts
        bad, total = bad + counts[0], total + counts[1]
    return bad, total


def _counts(group: Counted, found: Mapping[str, Answer], minute: datetime) -> tuple[float, float] | _Unknown:
    bad, total = _value(group.bad, found, minute), _value(group.total, found, minute)
    if isinstance(bad, _Unknown):
        return bad
    if isinstance(total, _Unknown):
        return total
    if bad is None:
        return _none_bad(group, total, found, minute)
    # Without a total all have failed. A little more than all is what becomes of requests that are answered
    # in the minute after they came in.
    return (min(bad, total), total) if total else (bad, bad)


def _none_bad(
    group: Counted, total: float | None, found: Mapping[str, Answer], minute: datetime
) -> tuple[float, float] | _Unknown:
    """Tell whether the absence of bad events means that there were none."""
    if total is None:
        return _absent(group.total, found)
    if group.highest is not None and total:
        highest = _value(group.highest, found, minute)
        if isinstance(highest, _Unknown):
            return highest
        if highest is None:
            return _absent(group.highest, found)
        if highest > group.threshold:
            return _Unknown(
                f"no {group.bad.text}, though the highest value is above {_plain(group.threshold)},",
                found[group.bad.query].messages,
            )
    return 0.0, total


def _value(wanted: Wanted, found: Mapping[str, Answer], minute: datetime) -> float | _Unknown | None:
    """Return the value of a minute; ``None`` where CloudWatch has none."""
    answer = found[wanted.query]
    if answer.trouble:
        return _Unknown(f"{answer.trouble} {wanted.text}", answer.messages)
    value = answer.values.get(minute)
    if value is not None and not (math.isfinite(value) and value >= 0):
        return _Unknown(f"{wanted.text} is negative or no number", answer.messages)
    return value


def _absent(wanted: Wanted, found: Mapping[str, Answer]) -> _Unknown:
    return _Unknown(f"no {wanted.text}", found[wanted.query].messages)
