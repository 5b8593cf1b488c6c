"""What the hook would have said of deployments that are past. For people: no call of ECS comes here.

::

    rows of a run ─┬─▶ held from its first minute to its last, looked at each minute ─▶ refused, good
                   └─▶ looked back at when it was over                              ─▶ the last word

What is decided at each look is what ``decision.decide`` decides of as much as was complete by then.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from hooks.canary_comparison import charts
from hooks.canary_comparison.decision import Decision, Rules, decide
from hooks.canary_comparison.judge import Finding, Verdict
from hooks.canary_comparison.observation import MINUTE, Kind, Observation, Reading, Split
from hooks.canary_comparison.rules import check_allowed, rules_of
from hooks.canary_comparison.settings import CanaryPolicy, CanarySettings, expanded, lag_seconds
from hooks.canary_comparison.watch import Phase, Watch
from hooks.canary_comparison.window import Window
from shared.response import Proceed, Refuse, Wait
from shared.settings import POLICY_VARIABLE, Resolved, resolve

__all__ = [
    "COUNTED_VALUES",
    "GAUGE_VALUES",
    "CanarySettings",
    "Finding",
    "Hindsight",
    "JudgeName",
    "Metric",
    "Refusal",
    "Row",
    "compared",
    "configured",
    "in_hindsight",
]

JudgeName = Literal["sequential", "kayenta"]

COUNTED_VALUES = ("green_bad", "green_total", "blue_bad", "blue_total")
GAUGE_VALUES = ("green", "blue")


@dataclass(frozen=True, slots=True)
class Row:
    """One metric in one minute."""

    at: datetime
    """The minute's start."""
    values: tuple[float, ...]
    """In the order of the metric's :attr:`Metric.values`; empty where the minute is not known."""
    problem: str = ""
    """Why it is not."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric that the settings compare, as far as its rows are concerned."""

    name: str
    values: tuple[str, ...]
    can_be_absent: bool
    """Whether nothing is waited for where it is not known."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """When and why green was refused."""

    minute: int
    """How many minutes of the run were complete."""
    at: datetime
    """When the last of them was over; the hook knew so much later as the metric lags."""
    reason: str
    looking_back: bool
    """Whether nothing was said while the step was held."""


@dataclass(frozen=True, slots=True)
class Hindsight:
    """What the hook would have said of one run."""

    start: datetime
    minutes: int
    refusal: Refusal | None
    good_from: int | None
    """The first minute at which the hook would have gone on because green was as good."""
    verdict: Verdict
    """Of the whole run, looked back at."""
    reason: str
    findings: tuple[Finding, ...]
    """Of the whole run: what each metric says."""
    observations: tuple[Observation, ...]

    def charts(self) -> list[dict[str, Any]]:
        """Draw both revisions and the evidence, in the shape of a record's charts."""
        return charts.charts(self.observations, self.findings)


def configured(
    hook_details: Mapping[str, Any], policy: object = None
) -> Resolved[CanarySettings, CanaryPolicy]:
    """Return the settings that would have held.

    Raises
    ------
    Misconfigured
        As the hook does. Its cause is pydantic's error, where a value was wrong.
    """
    # As JSON, which is how the function is told. A date that YAML reads is a string there.
    environment = {POLICY_VARIABLE: json.dumps(policy, default=str)} if policy is not None else {}
    resolved = resolve(CanarySettings, CanaryPolicy, hook_details, environment)
    check_allowed(expanded(resolved.settings.metrics), resolved.policy)
    return resolved


def compared(settings: CanarySettings) -> tuple[Metric, ...]:
    """Return the metrics that rows are needed of, presets written out."""
    return tuple(
        Metric(
            metric.name,
            COUNTED_VALUES if metric.kind.is_counted else GAUGE_VALUES,
            can_be_absent=metric.observe or metric.on_unknown == "ignore",
        )
        for metric in expanded(settings.metrics)
    )


def in_hindsight(
    settings: CanarySettings, rows: Mapping[str, Sequence[Row]], judge: JudgeName | None = None
) -> Hindsight:
    """Judge one run, as if its step had been held from its first minute to its last.

    Parameters
    ----------
    rows
        By metric, in any order, each minute at most once; at least one row in all. Minutes between the
        first and the last that a metric has no row of are not known.
    judge
        Another than the settings name.
    """
    # The run is the hold, however long the service holds its steps now.
    rules = replace(rules_of(settings), holds=True, minimum_minutes=settings.minimum_minutes)
    if judge is not None:
        rules = replace(rules, judge=judge)
    times = [row.at for series in rows.values() for row in series]
    window = Window(min(times), max(times) + MINUTE)
    minutes = (window.end - window.start) // MINUTE
    run = _Run(
        rules=rules,
        window=window,
        series=tuple(
            _Series.of(metric.name, metric.kind, rows.get(metric.name, ()), window, lag_seconds(metric))
            for metric in expanded(settings.metrics)
        ),
    )
    good_from, refusal = run.held()
    last = run.looked_back()
    if refusal is None and isinstance(last.result, Refuse):
        refusal = Refusal(minutes, window.end, last.result.reason, looking_back=True)
    return Hindsight(
        start=window.start,
        minutes=minutes,
        refusal=refusal,
        good_from=good_from,
        verdict=last.judgement.verdict,
        reason=last.result.reason,
        findings=last.judgement.findings,
        observations=tuple(series.seen(minutes) for series in run.series),
    )


@dataclass(frozen=True, slots=True)
class _Series:
    """One metric through a run: each minute is known, or is why it is not."""

    metric: str
    kind: Kind
    start: datetime
    minutes: tuple[Split | Reading | str, ...]
    lag_seconds: int

    @classmethod
    def of(cls, metric: str, kind: Kind, rows: Sequence[Row], window: Window, lag: int) -> "_Series":
        by_minute = {row.at: row for row in rows}
        minutes = []
        for number in range((window.end - window.start) // MINUTE):
            at = window.start + number * MINUTE
            row = by_minute.get(at) or Row(at, (), f"no row of {at:%H:%M}")
            minutes.append(_minute(kind, row))
        return cls(metric, kind, window.start, tuple(minutes), lag)

    def seen(self, closed: int) -> Observation:
        """Return what the hook would have read when so many minutes were complete."""
        minutes = self.minutes[:closed]
        missing = {number: minute for number, minute in enumerate(minutes) if isinstance(minute, str)}
        return Observation(
            metric=self.metric,
            kind=self.kind,
            # A series has one sort of minutes, by its kind.
            minutes=tuple(minute for minute in minutes if not isinstance(minute, str)),  # type: ignore[arg-type]
            missing=tuple(self.start + number * MINUTE for number in missing),
            problem=missing[max(missing)] if missing else "",
        )


def _minute(kind: Kind, row: Row) -> Split | Reading | str:
    if not row.values:
        return row.problem
    if not kind.is_counted:
        return Reading(row.at, *row.values)
    green_bad, green_total, blue_bad, blue_total = row.values
    # As the hook does: load balancers date requests and answers differently.
    return Split(row.at, min(green_bad, green_total), green_total, min(blue_bad, blue_total), blue_total)


@dataclass(frozen=True, slots=True)
class _Run:
    rules: Rules
    window: Window
    series: tuple[_Series, ...]

    def held(self) -> tuple[int | None, Refusal | None]:
        """Return when green would have passed as good, and the first refusal."""
        watch = Watch(phase=Phase.HOLD, window=self.window)
        good_from = None
        for now, closed in self._looks():
            decision = decide(self._seen(now), self.rules, watch, now)
            match decision.result:
                case Refuse(reason):
                    at = self.window.start + closed * MINUTE
                    return good_from, Refusal(closed, at, reason, looking_back=False)
                case Proceed() if good_from is None and decision.judgement.verdict is Verdict.GOOD:
                    good_from = closed
        return good_from, None

    def looked_back(self) -> Decision:
        """Return the decision once blue serves no more."""
        watch = Watch(phase=Phase.LOOK_BACK, window=self.window)
        now = self.window.end + timedelta(seconds=self.rules.lag_seconds)
        decision = decide(self._seen(now), self.rules, watch, now)
        if isinstance(decision.result, Wait):
            # For what may only be late. What the file does not have never comes.
            now += timedelta(minutes=self.rules.unknown_minutes)
            decision = decide(self._seen(now), self.rules, watch, now)
        return decision

    def _looks(self) -> Iterator[tuple[datetime, int]]:
        """Yield when the hook would have looked, and how many minutes were complete by then.

        As ``decision.seconds_to_next`` has it: whenever a minute is complete in the slowest metric.
        """
        now = self.window.start + timedelta(seconds=self.rules.lag_seconds % 60)
        while now - timedelta(seconds=self.rules.lag_seconds) <= self.window.end:
            if closed := max(self._closed(series, now) for series in self.series):
                yield now, closed
            now += MINUTE

    def _seen(self, now: datetime) -> list[Observation]:
        return [series.seen(self._closed(series, now)) for series in self.series]

    def _closed(self, series: _Series, now: datetime) -> int:
        return len(self.window.closed_minutes(now, timedelta(seconds=series.lag_seconds)))
