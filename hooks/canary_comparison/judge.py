"""What the metrics say about green: worse, good, not certain, or not known.

::

    Observation ─▶ weigh ─▶ Finding ┐
    Observation ─▶ weigh ─▶ Finding ┼─▶ Judgement
    Observation ─▶ weigh ─▶ Finding ┘

A healthy green is refused with a probability of at most ``false_alarm_rate``, over all metrics and all
looks. The rate is split once for the whole deployment: by ``SHARES`` among three ways to be certain, and
within each among the metrics by weight. A metric that only observes takes nothing of it.
"""

import enum
import math
import sys
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from hooks.canary_comparison.evidence import Evidence, estimate, reach, weigh
from hooks.canary_comparison.gauges import Direction, weigh_readings
from hooks.canary_comparison.observation import MINUTE, Kind, Observation, Reading, Split
from hooks.canary_comparison.ranks import outermost_pair, ratio_interval, u_deviation


class Verdict(enum.StrEnum):
    """What is thought of green by one metric, or by all."""

    WORSE = "worse"
    GOOD = "good"
    INCONCLUSIVE = "inconclusive"
    UNKNOWN = "unknown"


# Of the false-alarm rate: evidence minute by minute, what is beyond any doubt, and ranks at the end.
SHARES: Mapping[str, float] = {"evidence": 0.94, "gross": 0.03, "ranks": 0.03}

# What counts as gross: a twentieth of all requests fails, or half of all are slow.
GROSS_SHARE: Mapping[Kind, float] = {Kind.PROPORTION: 0.05, Kind.SLOW: 0.5}

# Ranks of fewer minutes say little, and of rates of next to no events nothing.
RANKED_MINUTES = 10
RANKED_EVENTS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One metric's settings, as far as they decide."""

    name: str
    kind: Kind
    tolerated: float
    weight: float = 1.0
    direction: Direction = "increase"
    critical: bool = True
    observe: bool = False
    on_unknown: Literal["wait", "ignore", "refuse"] = "wait"
    good_below: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Standards:
    """What holds for all metrics."""

    false_alarm_rate: float
    miss_rate: float
    unacceptable: float
    """As a multiple of what each metric tolerates."""
    warm_up: int
    """Minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one metric says."""

    metric: str
    verdict: Verdict
    text: str
    """One sentence with the numbers that decided."""
    ratio: float | None = None
    """How many times worse green is; ``low`` to ``high`` with a confidence of 95 %."""
    low: float | None = None
    high: float | None = None
    certain_since: datetime | None = None
    """The end of the minute with which it became certain that green is worse."""
    evidence: tuple[float, ...] = ()
    """Decimal logarithm of E, minute by minute."""
    needed: float = 0.0
    """Where E suffices, in the same unit."""


# To work out what would have been certain takes ten times as long as to judge, and more where little happens.
MAX_HINTS = 10


@dataclass(frozen=True, slots=True)
class Judgement:
    """What all metrics say together."""

    verdict: Verdict
    reason: str
    findings: tuple[Finding, ...]


def judge(
    observations: Sequence[Observation],
    rules: Sequence[Rule],
    standards: Standards,
    *,
    at_the_end: bool,
) -> Judgement:
    """Judge green by what was observed.

    Parameters
    ----------
    observations, rules
        Of the same metrics, in the same order.
    at_the_end
        Whether this is the one time that ranks are compared: the last look of the deployment.
    """
    total = sum(rule.weight for rule in rules if not rule.observe) or 1.0
    findings: list[Finding] = []
    for observation, rule in zip(observations, rules, strict=True):
        share = rule.weight / max(total, rule.weight)
        inconclusive = sum(finding.verdict is Verdict.INCONCLUSIVE for finding in findings)
        findings.append(
            _found(
                observation,
                rule,
                standards,
                share,
                at_the_end=at_the_end,
                with_hint=inconclusive < MAX_HINTS,
            )
        )
    return summed_up(findings, rules)


def summed_up(findings: Sequence[Finding], rules: Sequence[Rule]) -> Judgement:
    """Combine what the metrics that decide say."""
    pairs = list(zip(findings, rules, strict=True))
    deciding = [
        (finding, rule)
        for finding, rule in pairs
        if not rule.observe and not (rule.on_unknown == "ignore" and finding.verdict is Verdict.UNKNOWN)
    ]
    worse = [(finding, rule) for finding, rule in deciding if finding.verdict is Verdict.WORSE]
    if any(rule.critical for _, rule in worse) or len(worse) > 1:
        # The critical ones first: they would have been enough.
        worse.sort(key=lambda pair: not pair[1].critical)
        return Judgement(Verdict.WORSE, _sentences(worse), tuple(findings))
    for verdict in (Verdict.UNKNOWN, Verdict.INCONCLUSIVE):
        if found := [pair for pair in deciding if pair[0].verdict is verdict]:
            return Judgement(verdict, _sentences(found), tuple(findings))
    if not deciding:
        ignored = [pair for pair in pairs if not pair[1].observe]
        return Judgement(Verdict.UNKNOWN, f"no metric is known: {_sentences(ignored)}", tuple(findings))
    if worse:
        alone = f"{_sentences(worse)}, but this metric is not critical and no other is worse"
        return Judgement(Verdict.INCONCLUSIVE, alone, tuple(findings))
    return Judgement(Verdict.GOOD, _sentences(deciding), tuple(findings))


def _sentences(pairs: Sequence[tuple[Finding, Rule]]) -> str:
    return "; ".join(finding.text for finding, _ in pairs)


def _found(
    observation: Observation,
    rule: Rule,
    standards: Standards,
    share: float,
    *,
    at_the_end: bool,
    with_hint: bool,
) -> Finding:
    known, missing = len(observation.minutes), len(observation.missing)
    unknown = Finding(
        metric=rule.name,
        verdict=Verdict.UNKNOWN,
        text=f"{rule.name} is not known in {missing} of {known + missing} minutes"
        + (f": {observation.problem}" if observation.problem else ""),
    )
    if not known:
        text = f"{rule.name}: no complete minute yet"
        return unknown if missing else replace(unknown, verdict=Verdict.INCONCLUSIVE, text=text)
    alpha = standards.false_alarm_rate * share
    metric = _Counted(observation, rule) if rule.kind.is_counted else _Measured(observation, rule)
    evidence = metric.weigh(standards)
    finding = replace(metric.estimated(), **_shown(evidence, alpha))
    # What is certain stays so, however much is missing besides.
    certain = _first(evidence, alpha)
    if certain is not None:
        since = observation.minutes[certain].start + MINUTE
        text = f"{finding.text}, certain since {since:%H:%M}"
        return replace(finding, verdict=Verdict.WORSE, certain_since=since, text=text)
    if missing > known:
        return unknown
    if at_the_end and metric.ranks_say_worse(1 - 2 * alpha * SHARES["ranks"]):
        text = f"{finding.text}, certain by the ranks of {known} minutes"
        return replace(
            finding, verdict=Verdict.WORSE, certain_since=observation.minutes[-1].start + MINUTE, text=text
        )
    # What seems worse than tolerated is not called good for being less than unacceptable.
    enough = -math.log(standards.miss_rate)
    acceptable = evidence.in_favour >= enough
    if metric.negligible() >= enough or (acceptable and metric.is_tolerable(finding.ratio)):
        return replace(finding, verdict=Verdict.GOOD)
    hint = (
        f"certainly below {_times(rule.tolerated * standards.unacceptable)}, and yet more than the "
        f"{_number(rule.tolerated)} that are tolerated"
        if acceptable
        else metric.hint(standards, alpha)
        if with_hint
        else "not certain either way"
    )
    return replace(finding, verdict=Verdict.INCONCLUSIVE, text=f"{finding.text}; {hint}")


def _shown(evidence: Evidence, alpha: float) -> dict[str, Any]:
    """Return the evidence for a picture; that of the gross lane is moved to where the same line decides."""
    behind, decimal = math.log(SHARES["evidence"] / SHARES["gross"]), 1 / math.log(10)
    return {
        "evidence": tuple(
            [
                (max(log, gross - behind) if gross else log) * decimal
                for log, gross in zip(evidence.against, evidence.gross, strict=True)
            ]
        ),
        "needed": -math.log10(alpha * SHARES["evidence"]),
    }


def _first(evidence: Evidence, alpha: float) -> int | None:
    """Return the index of the first minute that sufficed: as if somebody had looked at each."""
    needed = -math.log(alpha * SHARES["evidence"])
    needed_gross = -math.log(alpha * SHARES["gross"])
    return next(
        (
            index
            for index, (log, gross) in enumerate(zip(evidence.against, evidence.gross, strict=True))
            if log >= needed or gross >= needed_gross
        ),
        None,
    )


class _Counted:
    """Bad events out of all."""

    def __init__(self, observation: Observation, rule: Rule) -> None:
        minutes = [minute for minute in observation.minutes if isinstance(minute, Split)]
        self._rule = rule
        # Of events that are good, fewer are worse: then it is blue that has more than its share.
        self._minutes = [_swapped(minute) for minute in minutes] if rule.direction == "decrease" else minutes
        self._green = _totals([(minute.green_bad, minute.green_total) for minute in minutes])
        self._blue = _totals([(minute.blue_bad, minute.blue_total) for minute in minutes])
        self._threshold = observation.threshold

    def weigh(self, standards: Standards, minutes: Sequence[Split] | None = None) -> Evidence:
        """Weigh the minutes that were observed, or *minutes* in their place."""
        return weigh(
            self._minutes if minutes is None else minutes,
            tolerated=self._rule.tolerated,
            unacceptable=self._rule.tolerated * standards.unacceptable,
            warm_up=standards.warm_up,
            gross_share=GROSS_SHARE[self._rule.kind],
        )

    def estimated(self) -> Finding:
        found = estimate(self._minutes)
        above = f" above {self._threshold:.3g} s" if self._threshold is not None else ""
        text = f"{self._rule.name}{above}: green {_share(*self._green)}, blue {_share(*self._blue)}"
        if found is None:
            return Finding(metric=self._rule.name, verdict=Verdict.INCONCLUSIVE, text=text)
        times = "fewer by a factor of " if self._rule.direction == "decrease" else ""
        text += f", {times}{_times(found.ratio)} (95 %: {_number(found.low)} to {_number(found.high)})"
        return Finding(
            metric=self._rule.name,
            verdict=Verdict.INCONCLUSIVE,
            text=text,
            ratio=found.ratio,
            low=found.low,
            high=found.high,
        )

    def ranks_say_worse(self, confidence: float) -> bool:
        minutes = [minute for minute in self._minutes if minute.green_total > 0 and minute.blue_total > 0]
        green = [minute.green_bad / minute.green_total for minute in minutes]
        blue = [minute.blue_bad / minute.blue_total for minute in minutes]
        events = min(_median([m.green_bad for m in minutes]), _median([m.blue_bad for m in minutes]))
        return events >= RANKED_EVENTS and _ranked_above(green, blue, self._rule.tolerated, confidence)

    def is_tolerable(self, ratio: float | None) -> bool:
        return ratio is None or ratio <= self._rule.tolerated

    def negligible(self) -> float:
        """Return the log evidence that green's share of bad events is too small to matter.

        For a Poisson count of *x* in *n* at a tenth of that share, against that share.
        """
        bad, total = self._green
        if not self._rule.good_below or self._rule.direction == "decrease":
            return 0.0
        return bad * math.log(0.1) + 0.9 * total * self._rule.good_below

    def hint(self, standards: Standards, alpha: float) -> str:
        unacceptable = self._rule.tolerated * standards.unacceptable
        found = reach(
            self._minutes,
            unacceptable,
            lambda minutes: _first(self.weigh(standards, minutes), alpha),
            fewer=self._rule.direction == "decrease",
        )
        detectable = (
            "no ratio would have been certain by now"
            if found.detectable is None
            else f"{_times(_rounded_up(found.detectable))} would have been certain by now"
        )
        if found.more_minutes is None:
            return (
                f"{detectable}: too little goes wrong on blue to compare with"
                if found.detectable is None
                else f"{detectable}, a day would not show {_times(unacceptable)}"
            )
        if not found.more_minutes:
            return detectable
        plural = "s" if found.more_minutes > 1 else ""
        return (
            f"{detectable}, about {found.more_minutes} more minute{plural} would show {_times(unacceptable)}"
        )


class _Measured:
    """One value a minute."""

    def __init__(self, observation: Observation, rule: Rule) -> None:
        self._rule = rule
        self._readings = [minute for minute in observation.minutes if isinstance(minute, Reading)]
        self._green = [reading.green for reading in self._readings]
        self._blue = [reading.blue for reading in self._readings]

    def weigh(self, standards: Standards) -> Evidence:
        return weigh_readings(
            self._readings,
            tolerated=self._rule.tolerated,
            unacceptable=self._rule.tolerated * standards.unacceptable,
            direction=self._rule.direction,
            warm_up=standards.warm_up,
        )

    def estimated(self) -> Finding:
        text = f"{self._rule.name}: green {_median(self._green):.4g}, blue {_median(self._blue):.4g}"
        found = ratio_interval(self._green, self._blue, 0.95)
        if found is None:
            return Finding(metric=self._rule.name, verdict=Verdict.INCONCLUSIVE, text=text)
        return Finding(
            metric=self._rule.name,
            verdict=Verdict.INCONCLUSIVE,
            text=f"{text}, {_times(found.estimate)} (95 %: {_number(found.low)} to {_number(found.high)})",
            ratio=found.estimate,
            low=found.low,
            high=found.high,
        )

    def ranks_say_worse(self, confidence: float) -> bool:
        green, blue = self._green, self._blue
        if self._rule.direction == "decrease":
            green, blue = blue, green
        return _ranked_above(green, blue, self._rule.tolerated, confidence)

    def is_tolerable(self, ratio: float | None) -> bool:
        if ratio is None:
            return True
        times = ratio if self._rule.direction == "increase" else 1 / max(ratio, sys.float_info.min)
        return times <= self._rule.tolerated

    def negligible(self) -> float:
        return 0.0

    def hint(self, standards: Standards, alpha: float) -> str:
        # Ten heads in a row are certain at one in a thousand; each further power of ten takes four.
        needed = math.ceil(-math.log2(alpha * SHARES["evidence"])) + 2 + standards.warm_up
        more = max(needed - len(self._readings), 0)
        return f"at least {more} more minutes are needed to be certain" if more else "not certain either way"


def _ranked_above(green: Sequence[float], blue: Sequence[float], tolerated: float, confidence: float) -> bool:
    """Tell whether the lower bound of ``ranks.ratio_interval`` is above what is tolerated.

    It is where few enough of all pairs are not. To count them takes a fiftieth of what the bound takes.
    """
    if len(green) < RANKED_MINUTES or min(*green, *blue) < 0:
        return False
    place = outermost_pair(len(green), len(blue), u_deviation(len(green), len(blue)), confidence)
    ordered = sorted(green)
    return place >= 0 and sum(bisect_right(ordered, tolerated * value) for value in blue) <= place


def _swapped(minute: Split) -> Split:
    start, green_bad, green_total, blue_bad, blue_total = minute
    return Split(start, blue_bad, blue_total, green_bad, green_total)


def _totals(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return math.fsum(bad for bad, _ in pairs), math.fsum(total for _, total in pairs)


def _median(values: Sequence[float]) -> float:
    if not values:
        return 0.0
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _share(bad: float, total: float) -> str:
    return f"{100 * bad / total if total else 0:.3g} % of {total:,.0f}"


def _times(ratio: float) -> str:
    return f"{_number(ratio)} times"


def _rounded_up(ratio: float) -> float:
    """Return the least number no smaller that ``_number`` tells in full: what is said must suffice."""
    steps = 100 if ratio < 2 else 10 if ratio < 10 else 1
    return math.ceil(ratio * steps - 1e-9) / steps


def _number(ratio: float) -> str:
    if math.isinf(ratio):
        return "∞"
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.3g}" if 1 < ratio < 2 else f"{ratio:.2g}"
