"""What a run says about green.

::

    each rule ─▶ kept, broken, uncertain, skipped
                  │
    errors broken ┼─────────────────────────────▶ FAIL           green fails, whoever asks it
    the generator was not up to it ─────────────▶ TROUBLE        the numbers are no measure of green
    another broken ─────────────────────────────▶ FAIL
    one uncertain ──────────────────────────────▶ INCONCLUSIVE
    all kept ───────────────────────────────────▶ PASS

Errors are judged before latency: a service that refuses every connection does so in a millisecond. And
latency is of answers without error only, so that without a rule on errors nothing would be known.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from hooks.load_test import confidence
from hooks.load_test.confidence import Estimate
from hooks.load_test.measurement import Arm, Measurement, State
from hooks.load_test.rules import Metric, Rule

# A percentile is the value of a request; of those beyond it there should be some.
SAMPLES_BEYOND = 10

# So many answers of another revision are no accident of a task that was just replaced.
MISROUTED_SHARE = 0.01


class Outcome(StrEnum):
    """What became of a rule."""

    KEPT = "kept"
    BROKEN = "broken"
    UNCERTAIN = "uncertain"
    SKIPPED = "skipped"


class Verdict(StrEnum):
    """What a run says."""

    PASS = "pass"  # noqa: S105  # not a password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    TROUBLE = "trouble"
    """Of the generator's, not of green's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standards:
    """What it takes to say something."""

    minimum_samples: int
    confidence: float
    """With which a relative rule is kept or broken."""
    max_lag_seconds: float
    """How late the generator may send one request in a hundred."""
    sent_share: float
    """How much of what was due the generator must have sent."""
    has_blue: bool
    """Whether there is a blue: what leaves it out is no measurement then, and skips no rule."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule, and what was found."""

    rule: Rule
    outcome: Outcome
    text: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """A run, judged."""

    verdict: Verdict
    findings: tuple[Finding, ...]
    reason: str


def judge(measured: Measurement, rules: Sequence[Rule], standards: Standards) -> Judgement:
    """Judge a run that has come to its end."""
    findings = judged(measured, rules, standards)
    deciding = [finding for finding in findings if not finding.rule.observe]
    broken = [finding for finding in deciding if finding.outcome is Outcome.BROKEN]
    failing = [one for one in broken if one.rule.metric is Metric.ERRORS and not one.rule.is_relative]
    green = measured.green
    if failing:
        return Judgement(Verdict.FAIL, findings, _reason(failing, broken))
    if trouble := _trouble(measured, standards):
        return Judgement(Verdict.TROUBLE, findings, trouble)
    if green is None or not green.answered:
        return Judgement(Verdict.TROUBLE, findings, "nothing was measured")
    if broken:
        return Judgement(Verdict.FAIL, findings, _reason(broken))
    uncertain = [finding for finding in deciding if finding.outcome is Outcome.UNCERTAIN]
    if uncertain:
        return Judgement(Verdict.INCONCLUSIVE, findings, _reason(uncertain))
    return Judgement(Verdict.PASS, findings, _reason(deciding))


def to_abort(
    measured: Measurement, rules: Sequence[Rule], standards: Standards, looks: int
) -> tuple[Finding, ...]:
    """Return the rules for which a run that is under way should end now.

    Parameters
    ----------
    looks
        How often a run is looked at. What is looked at so often must be so much more certain, or a green
        that is as good as blue is refused in the end by having been looked at.
    """
    now = [rule for rule in rules if rule.abort and measured.elapsed_seconds >= rule.after_seconds]
    strict = replace(standards, confidence=1 - (1 - standards.confidence) / max(looks, 1))
    if _lost(measured) or _lag(measured, standards):
        now = [rule for rule in now if not rule.metric.is_latency]
    # How much is due at a moment, and how much was sent by then, are not told at the same moment.
    now = [rule for rule in now if rule.metric is not Metric.RATE]
    found = judged(measured, now, strict)
    return tuple(one for one in found if one.outcome is Outcome.BROKEN and not one.rule.observe)


def judged(measured: Measurement, rules: Sequence[Rule], standards: Standards) -> tuple[Finding, ...]:
    """Hold a run against rules, errors first."""
    order = (Metric.ERRORS, Metric.RATE, Metric.PERCENTILE, Metric.AVERAGE, Metric.MAXIMUM)
    ordered = sorted(rules, key=lambda rule: order.index(rule.metric))
    return tuple(_finding(rule, measured, standards) for rule in ordered)


def _finding(rule: Rule, measured: Measurement, standards: Standards) -> Finding:
    green, blue = measured.green, measured.blue
    if rule.is_relative and not standards.has_blue:
        return Finding(rule, Outcome.SKIPPED, f"{rule.text}: there is no blue")
    for name, arm in (("green", green), ("blue", blue)):
        if name == "blue" and not rule.is_relative:
            break
        has, needs = _samples(rule, arm), _needed(rule, standards)
        if has < needs:
            text = f"{rule.text}: {_of(name, rule)} {has:,}, and it takes {needs:,}"
            return Finding(rule, Outcome.UNCERTAIN, text)
    assert green is not None
    if rule.is_relative:
        assert blue is not None
        return _relative(rule, green, blue, standards)
    if rule.metric is Metric.RATE:
        return _rate(rule, green)
    value = _estimate(rule, green, standards.confidence).value
    broken = value > rule.limit or (rule.strict and value == rule.limit)
    shown = _shown(value, rule.metric)
    if rule.metric is Metric.ERRORS:
        shown = f"{green.failed:,} of {green.answered:,} requests, {shown}"
    return Finding(rule, Outcome.BROKEN if broken else Outcome.KEPT, f"{rule.text}: {shown}")


def _samples(rule: Rule, arm: Arm | None) -> int:
    if arm is None:
        return 0
    match rule.metric:
        case Metric.RATE:
            return arm.due
        case Metric.ERRORS:
            return arm.answered
    return arm.latency.count


def _needed(rule: Rule, standards: Standards) -> int:
    least = max(rule.minimum_samples or standards.minimum_samples, 1)
    if rule.metric is not Metric.PERCENTILE:
        return least
    return max(least, math.ceil(round(SAMPLES_BEYOND / (1 - rule.percent / 100), 6)))


def _of(name: str, rule: Rule) -> str:
    what = {Metric.RATE: "requests due", Metric.ERRORS: "requests"}.get(rule.metric, "answers without error")
    return f"{what} of {name}:"


def _estimate(rule: Rule, arm: Arm, certainty: float) -> Estimate:
    match rule.metric:
        case Metric.ERRORS:
            return confidence.proportion(arm.failed, arm.answered, certainty)
        case Metric.AVERAGE:
            return confidence.mean(arm.latency, certainty)
        case Metric.MAXIMUM:
            highest = arm.latency.max_microseconds / 1_000_000
            return Estimate(highest, highest, math.inf)
    return confidence.quantile(arm.latency, rule.percent / 100, certainty)


def _relative(rule: Rule, green: Arm, blue: Arm, standards: Standards) -> Finding:
    certainty = standards.confidence
    ours, theirs = _estimate(rule, green, certainty), _estimate(rule, blue, certainty)
    over = confidence.difference(ours, theirs, rule.ratio or 0.0, rule.limit)
    if over.lower > 0 or (rule.strict and over.lower >= 0):
        outcome, word = Outcome.BROKEN, "over"
    elif over.upper < 0 or (not rule.strict and over.upper <= 0):
        outcome, word = Outcome.KEPT, "within"
    else:
        outcome, word = Outcome.UNCERTAIN, "over" if over.value > 0 else "within"
    values = f"green {_shown(ours.value, rule.metric)}, blue {_shown(theirs.value, rule.metric)}"
    least, most = sorted((abs(over.lower), abs(over.upper)))
    if outcome is Outcome.UNCERTAIN:
        certain = f"which {certainty:.4g} confidence leaves open"
    else:
        span = f"{_shown(least, rule.metric)} to {_shown(most, rule.metric)}"
        by = span if math.isfinite(most) else f"{_shown(least, rule.metric)} or more"
        certain = f"by {by} with confidence {certainty:.4g}"
    return Finding(rule, outcome, f"{rule.text}: {values}, {word} the limit, {certain}")


def _rate(rule: Rule, green: Arm) -> Finding:
    value = green.sent / green.due
    broken = value < rule.limit or (rule.strict and value == rule.limit)
    text = f"{rule.text}: {green.sent:,} of {green.due:,} requests were sent"
    if broken and green.held:
        text += f"; {green.held:,} were held back, because as many as allowed waited for an answer"
    return Finding(rule, Outcome.BROKEN if broken else Outcome.KEPT, text)


def _trouble(measured: Measurement, standards: Standards) -> str:
    """Say why the numbers are no measure of green; empty when they are."""
    if lost := _lost(measured):
        return lost
    for name, arm in measured.arms.items():
        missing = arm.due - arm.sent - arm.held
        if missing > (1 - standards.sent_share) * arm.due:
            return f"the generator sent {arm.sent:,} of {arm.due:,} requests that were due to {name}"
        if arm.misrouted > MISROUTED_SHARE * arm.sent:
            return f"{arm.misrouted:,} of {arm.sent:,} requests to {name} were answered by another revision"
    return _lag(measured, standards)


def _lost(measured: Measurement) -> str:
    workers = measured.workers
    lost = max(workers.lost, workers.expected - workers.reporting)
    return f"the generator lost {lost} of its {workers.expected} workers" if lost else ""


def _lag(measured: Measurement, standards: Standards) -> str:
    if not measured.lag.count:
        return ""
    lag = measured.lag.quantile(0.99)
    if lag <= standards.max_lag_seconds:
        return ""
    return f"the generator was too slow: one request in a hundred left {_shown(lag, Metric.MAXIMUM)} late"


def progress(measured: Measurement) -> str:
    """Say in a line how a run goes."""
    parts = []
    for name, arm in sorted(measured.arms.items(), reverse=True):
        latency = ""
        if arm.latency.count:
            latency = f", p(95) {_shown(arm.latency.quantile(0.95), Metric.PERCENTILE)}"
        errors = f", {_shown(arm.failed / arm.answered, Metric.ERRORS)} errors" if arm.answered else ""
        parts.append(f"{name} {arm.answered:,} requests{latency}{errors}")
    what = {State.PREFLIGHT: "the preflight", State.SETTLING: "the last answers"}.get(measured.state)
    return (
        f"{what or f'{measured.elapsed_seconds:.0f} s of the load'}{'; ' if parts else ''}{'; '.join(parts)}"
    )


def _shown(value: float, metric: Metric) -> str:
    if metric is Metric.ERRORS:
        return f"{100 * value:.3g} %"
    return f"{1000 * value:.3g} ms" if value < 1 else f"{value:.3g} s"


def _reason(first: Sequence[Finding], then: Sequence[Finding] = ()) -> str:
    rest = [finding for finding in then if finding not in first]
    return "; ".join(finding.text for finding in (*first, *rest))
