"""What the canary hook is told, by the service (``hookDetails``) and by the organisation (policy).

::

    {"metrics": ["alb"]}                                     a preset, which is the default
    {"metrics": ["alb", {                                    and a metric of one's own beside it
        "name": "failed payments", "source": "emf", "namespace": "Shop", "kind": "proportion",
        "dimensions": {"ServiceRevision": "{revision}"}, "bad": "Declined", "total": "Payments"}]}
    {"metrics": [{"source": "alb", "measure": "errors", "toleratedRatio": 1.5}]}   a preset's metric, tuned
"""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel, to_pascal

from hooks.canary_comparison.observation import Kind
from shared.settings import Settings, Stricter

MAX_METRICS = 50

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Metric.html and API_Dimension.html
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9 _.:/%-]{0,63}$")]
Namespace = Annotated[str, StringConstraints(pattern=r"^[^:\x00-\x1f][^\x00-\x1f]{0,254}$")]
MetricName = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f]{1,255}$")]
DimensionName = Annotated[str, StringConstraints(pattern=r"^[^:\x00-\x1f][^\x00-\x1f]{0,254}$")]
DimensionValue = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f]{1,1024}$")]
QueryId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-zA-Z0-9_]{0,63}$")]
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Statistics-definitions.html
Statistic = Annotated[
    str,
    StringConstraints(
        pattern=r"^(Sum|SampleCount|Average|Minimum|Maximum|IQM|p\d{1,2}(\.\d{1,10})?|p100|"
        r"(tm|wm|tc|ts)\d{1,2}(\.\d{1,10})?|(TM|WM|TC|TS|PR)\([0-9.%]*:[0-9.%]*\))$"
    ),
]
Ratio = Annotated[float, Field(gt=1, le=100, allow_inf_nan=False)]

# What green may be worse by without anybody being woken: a slightly different host, a colder cache.
TOLERATED_RATIO: Mapping[Kind, float] = {Kind.PROPORTION: 1.25, Kind.SLOW: 1.4, Kind.GAUGE: 1.25}

# How long after its end a minute is complete. CloudWatch documents no bound; load balancers and the
# agents that write embedded metrics send once a minute, log events take seconds more.
LAG_SECONDS: Mapping[str, int] = {"alb": 120, "serviceConnectAccessLogs": 120, "emf": 120, "cloudWatch": 120}

PLACEHOLDERS = ("revision", "taskDefinition")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
# Both name series that nobody can foresee, and the first those of other metrics in the same request.
_UNBOUNDED = re.compile(
    r"\b(METRICS|SEARCH|SELECT|LAMBDA|DB_PERF_INSIGHTS|SERVICE_QUOTA|ANOMALY_DETECTION_BAND)\b"
)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, validate_default=True)


class _Metric(_Part):
    """What every metric may be told."""

    tolerated_ratio: Ratio | None = Field(
        None,
        description="how many times worse than blue green may be: 1.25 for proportions and gauges, 1.4 for "
        "slow requests, unless said otherwise",
    )
    weight: float = Field(
        1.0, gt=0, le=100, description="share of the false-alarm budget: more is quicker to be sure"
    )
    critical: bool = Field(
        True, description="whether this metric alone can refuse; others do when a second one is worse too"
    )
    observe: bool = Field(False, description="judge and record it, and let it decide nothing")
    on_unknown: Literal["wait", "ignore", "refuse"] = Field(
        "wait", description="what to do where it can't be known: wait up to unknownMinutes, then refuse"
    )
    good_below: float = Field(
        0.001,
        ge=0,
        lt=1,
        description="share of bad events, proved to be above green's, at which green counts as good whatever "
        "blue's is: where next to nothing fails, there is nothing to compare; not for gauges",
    )
    lag_seconds: int | None = Field(
        None,
        ge=0,
        le=3600,
        description="how long after its end a minute is complete; 120 unless said otherwise",
    )


def _measured(known: dict[str, Any]) -> str:
    return str(known.get("measure", "unnamed"))


class AlbMetric(_Metric):
    """A metric of the revisions' target groups behind an Application Load Balancer."""

    source: Literal["alb"]
    measure: Literal["errors", "connectionErrors", "slow", "latency"] = Field(
        description="5xx of targets, failed connections to targets, requests slower than slowAboveSeconds, "
        "each out of all; or a percentile of the response time"
    )
    name: Name = Field(default_factory=_measured)
    slow_above_seconds: float | None = Field(
        None,
        gt=0,
        le=3600,
        description="absent: what 95 % of blue's requests took less than, in the hour before",
    )
    percentile: float = Field(95, gt=0, lt=100, description="of the response time, for latency")

    @property
    def kind(self) -> Kind:
        return {"slow": Kind.SLOW, "latency": Kind.GAUGE}.get(self.measure, Kind.PROPORTION)

    @property
    def direction(self) -> Literal["increase", "decrease"]:
        return "increase"


class AccessLogMetric(_Metric):
    """A metric counted in the access logs of the revisions' Service Connect proxies."""

    source: Literal["serviceConnectAccessLogs"]
    measure: Literal["errors", "slow"]
    name: Name = Field(default_factory=_measured)
    slow_above_seconds: float | None = Field(
        None,
        gt=0,
        le=3600,
        description="absent: what 95 % of blue's requests took less than, in the hour before",
    )

    @property
    def kind(self) -> Kind:
        return Kind.SLOW if self.measure == "slow" else Kind.PROPORTION

    @property
    def direction(self) -> Literal["increase", "decrease"]:
        return "increase"


class EmfMetric(_Metric):
    """A metric that the service publishes itself, with its revision among the dimensions."""

    source: Literal["emf"]
    name: Name
    kind: Kind
    namespace: Namespace
    dimensions: dict[DimensionName, DimensionValue] = Field(
        min_length=1,
        max_length=30,
        description="all of them; {revision} stands for the revision's id, {taskDefinition} for "
        "family:revision",
    )
    bad: MetricName | None = Field(None, description="proportion: the metric that counts bad events")
    total: MetricName | None = Field(None, description="proportion: the metric that counts all events")
    value: MetricName | None = Field(None, description="slow and gauge: the metric that is measured")
    above: float | None = Field(None, gt=0, description="slow: the value above which an event is slow")
    statistic: Statistic = Field("Average", description="gauge: of the values of a minute")
    direction: Literal["increase", "decrease"] | None = Field(
        None, description="what is worse; gauges must say, of bad events it is more unless said otherwise"
    )

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> Self:
        needed = {
            Kind.PROPORTION: ("bad", "total"),
            Kind.SLOW: ("value", "above"),
            Kind.GAUGE: ("value",),
        }[self.kind]
        _needs(self, needed, foreign={"bad", "total", "value", "above"})
        if self.kind is Kind.GAUGE and self.direction is None:
            raise ValueError("direction is missing: say whether an increase or a decrease is worse")
        found = {name for value in self.dimensions.values() for name in _PLACEHOLDER.findall(value)}
        if not found:
            raise ValueError("no dimension has {revision} in it, so blue and green can't be told apart")
        if unknown := sorted(found - set(PLACEHOLDERS)):
            raise ValueError(
                f"unknown placeholder {{{unknown[0]}}}; there are {{revision}} and {{taskDefinition}}"
            )
        return self


class _Aws(BaseModel):
    """Part of a query, spelt as in CloudWatch's API."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_pascal)


class Dimension(_Aws):
    name: DimensionName
    value: DimensionValue


class Metric(_Aws):
    namespace: Namespace
    metric_name: MetricName
    dimensions: tuple[Dimension, ...] = Field((), max_length=30)


class MetricStat(_Aws):
    metric: Metric
    stat: Statistic
    period: Literal[60] = 60
    unit: Annotated[str, StringConstraints(pattern=r"^[A-Za-z/]{1,32}$")] | None = None


class Query(_Aws):
    """A ``MetricDataQuery``; ``{green}`` and ``{blue}`` in dimension values stand for the revisions' ids.

    Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDataQuery.html
    """

    id: QueryId
    metric_stat: MetricStat | None = None
    expression: Annotated[str, StringConstraints(min_length=1, max_length=2048)] | None = None

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if (self.metric_stat is None) == (self.expression is None):
            raise ValueError(f"query {self.id!r} must have one of MetricStat and Expression")
        if self.expression and (found := _UNBOUNDED.search(self.expression)):
            raise ValueError(f"query {self.id!r}: {found[1]} is not understood here; name the metrics")
        return self


class Roles(_Part):
    """Which query of one revision is what, by id."""

    bad: QueryId | None = None
    total: QueryId | None = None
    value: QueryId | None = None


class CloudWatchMetric(_Metric):
    """A metric made of queries of one's own, metric math included."""

    source: Literal["cloudWatch"]
    name: Name
    kind: Literal[Kind.PROPORTION, Kind.GAUGE]
    queries: tuple[Query, ...] = Field(min_length=2, max_length=20)
    green: Roles
    blue: Roles
    direction: Literal["increase", "decrease"] | None = Field(
        None, description="what is worse; gauges must say, of bad events it is more unless said otherwise"
    )

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> Self:
        needed = ("bad", "total") if self.kind is Kind.PROPORTION else ("value",)
        if self.kind is Kind.GAUGE and self.direction is None:
            raise ValueError("direction is missing: say whether an increase or a decrease is worse")
        ids = [query.id for query in self.queries]
        if len(set(ids)) != len(ids):
            raise ValueError("the ids of queries must differ")
        for colour, roles in (("green", self.green), ("blue", self.blue)):
            _needs(roles, needed, foreign={"bad", "total", "value"}, where=f"{colour}.")
            for role in needed:
                if getattr(roles, role) not in ids:
                    raise ValueError(f"{colour}.{role}: there is no query {getattr(roles, role)!r}")
        if self.green == self.blue:
            raise ValueError("green and blue are the same queries, so they can't be told apart")
        found = {
            name
            for query in self.queries
            if query.metric_stat
            for dimension in query.metric_stat.metric.dimensions
            for name in _PLACEHOLDER.findall(dimension.value)
        }
        if unknown := sorted(found - {"green", "blue"}):
            raise ValueError(f"unknown placeholder {{{unknown[0]}}}; there are {{green}} and {{blue}}")
        if found != {"green", "blue"}:
            raise ValueError(
                "{green} and {blue} must each stand in a dimension, or both are the same service"
            )
        return self


Chosen = AlbMetric | AccessLogMetric | EmfMetric | CloudWatchMetric
PresetName = Literal["alb", "serviceConnectAccessLogs"]


def _kind_of_entry(entry: Any) -> Any:
    # One branch is tried, so that an error is about what was meant.
    if isinstance(entry, str):
        return "a preset"
    return entry.get("source") if isinstance(entry, Mapping) else getattr(entry, "source", None)


Entry = Annotated[
    Annotated[PresetName, Tag("a preset")]
    | Annotated[AlbMetric, Tag("alb")]
    | Annotated[AccessLogMetric, Tag("serviceConnectAccessLogs")]
    | Annotated[EmfMetric, Tag("emf")]
    | Annotated[CloudWatchMetric, Tag("cloudWatch")],
    Discriminator(
        _kind_of_entry,
        custom_error_type="metric",
        custom_error_message="a metric is the name of a preset, or an object whose source is alb, "
        "serviceConnectAccessLogs, emf or cloudWatch",
    ),
]

# Errors are what a release breaks first, so they have most of the budget.
PRESETS: Mapping[PresetName, tuple[Chosen, ...]] = {
    "alb": (
        AlbMetric(source="alb", measure="errors", weight=6),
        AlbMetric(source="alb", measure="connectionErrors", weight=1),
        AlbMetric(source="alb", measure="slow", weight=3),
    ),
    "serviceConnectAccessLogs": (
        AccessLogMetric(source="serviceConnectAccessLogs", measure="errors", weight=6),
        AccessLogMetric(source="serviceConnectAccessLogs", measure="slow", weight=3),
    ),
}


def expanded(entries: Sequence[Entry]) -> tuple[Chosen, ...]:
    """Return the metrics, presets written out and each with its name."""
    metrics: list[Chosen] = []
    for entry in entries:
        if isinstance(entry, str):
            metrics += PRESETS[entry]
        else:
            metrics.append(entry)
    return tuple(metrics)


def tolerated_ratio(metric: Chosen) -> float:
    """Return how many times worse green may be."""
    return metric.tolerated_ratio or TOLERATED_RATIO[metric.kind]


def lag_seconds(metric: Chosen) -> int:
    """Return how long after its end a minute is complete."""
    return LAG_SECONDS[metric.source] if metric.lag_seconds is None else metric.lag_seconds


def both(policy: Sequence[Entry], service: Sequence[Entry]) -> tuple[Entry, ...]:
    """Join the policy's metrics and the service's; of two with one name the policy's stands.

    The service's own never weigh more than the policy's together: whoever updates the service can't leave
    these without a budget by adding many others.
    """
    demanded = expanded(policy)
    names = {metric.name for metric in demanded}
    own = [metric for metric in expanded(service) if metric.name not in names]
    most = sum(metric.weight for metric in demanded if not metric.observe)
    weight = sum(metric.weight for metric in own if not metric.observe)
    if weight <= most:
        return (*policy, *own)
    return (*policy, *(metric.model_copy(update={"weight": metric.weight * most / weight}) for metric in own))


def _stricter_word(one: str, other: str) -> str:
    return min(one, other, key=("refuse", "extend", "pass").index)


class CanarySettings(Settings):
    """Keys of ``hookDetails``."""

    metrics: Annotated[tuple[Entry, ...], Stricter(both)] = Field(
        ("alb",),
        max_length=MAX_METRICS,
        description="what to compare: presets by name (alb, serviceConnectAccessLogs), metrics of your own",
    )
    hold_minutes: Annotated[int, Stricter(max)] = Field(
        10,
        ge=0,
        le=720,
        description="how long a step is watched before ECS goes on; 0 answers at once, and what was seen is "
        "judged at the next call",
    )
    minimum_minutes: Annotated[int, Stricter(max)] = Field(
        5,
        ge=1,
        le=720,
        description="how long a step is watched at least, even where green soon proves as good",
    )
    warm_up_minutes: Annotated[int, Stricter(min)] = Field(
        3, ge=0, le=60, description="how long green may be cold, and worse for it"
    )
    false_alarm_rate: Annotated[float, Stricter(max)] = Field(
        0.01,
        gt=0,
        le=0.2,
        description="how often a green as good as blue may be refused: one budget for the whole deployment, "
        "all metrics and all looks",
    )
    unacceptable_ratio: Annotated[Ratio, Stricter(min)] = Field(
        2.0,
        description="how many times worse green must be proved not to be, beyond what is tolerated, to "
        "count as good",
    )
    miss_rate: Annotated[float, Stricter(min)] = Field(
        0.05, gt=0, le=0.5, description="how often a green that is unacceptable may count as good"
    )
    on_inconclusive: Annotated[Literal["pass", "extend", "refuse"], Stricter(_stricter_word)] = Field(
        "pass",
        description="the verdict when the time is up and nothing is certain: pass with a warning, extend the "
        "step by extendMinutes and then refuse, or refuse",
    )
    extend_minutes: Annotated[int, Stricter(min)] = Field(
        30, ge=1, le=720, description="with onInconclusive extend: how much longer a step is watched at most"
    )
    unknown_minutes: Annotated[int, Stricter(min)] = Field(
        10, ge=1, le=720, description="how long to wait for a metric that can't be known, then refuse"
    )
    look_seconds: int = Field(60, ge=10, le=900, description="delay between looks")
    judge: Literal["sequential", "kayenta"] = Field(
        "sequential",
        description="sequential: at each look, with one budget for false alarms; kayenta: the judge that "
        "Spinnaker's users know, once at the end of each step",
    )
    kayenta_pass_score: Annotated[float, Stricter(max)] = Field(
        95, ge=0, le=100, description="with judge kayenta: the score from which green passes"
    )
    kayenta_marginal_score: Annotated[float, Stricter(max)] = Field(
        75,
        ge=0,
        le=100,
        description="with judge kayenta: the score below which green is refused; between both is "
        "inconclusive",
    )

    @field_validator("metrics", mode="after")
    @classmethod
    def _names_differ(cls, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
        names = [metric.name for metric in expanded(entries)]
        if not names:
            raise ValueError("there must be at least one")
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two metrics are called {name!r}")
        if len(names) > MAX_METRICS:
            raise ValueError(f"{len(names)} metrics, at most {MAX_METRICS} are judged")
        return entries

    @model_validator(mode="after")
    def _something_decides(self) -> Self:
        if all(metric.observe for metric in expanded(self.metrics)):
            raise ValueError("every metric only observes; to observe with all of them, set mode to observe")
        if self.kayenta_marginal_score > self.kayenta_pass_score:
            raise ValueError("kayentaMarginalScore must not be above kayentaPassScore")
        return self


class CanaryPolicy(CanarySettings):
    """Keys of ``HOOK_POLICY``: those above as limits, and some that are the organisation's alone."""

    allowed_namespaces: tuple[str, ...] = Field(
        ("*",), max_length=50, description="patterns of the CloudWatch namespaces that hookDetails may read"
    )
    max_tolerated_ratio: Ratio = Field(
        100.0, description="the largest toleratedRatio that hookDetails may ask for"
    )


def _needs(part: BaseModel, needed: Sequence[str], *, foreign: set[str], where: str = "") -> None:
    names: dict[str, Any] = {name: getattr(part, name, None) for name in foreign}
    for name in needed:
        if names[name] is None:
            raise ValueError(f"{where}{to_camel(name)} is missing")
    for name in sorted(foreign - set(needed)):
        if name in part.model_fields_set and names[name] is not None:
            raise ValueError(f"{where}{to_camel(name)} does not belong to this kind")
