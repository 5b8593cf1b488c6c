"""The rules that a run is held against, one sentence each, in the spirit of k6's thresholds.

::

    rule      p(95) < 500ms                        green alone
              errors < 1%
              rps >= 95%                           of what was asked for
              p(95) <= 1.25 x blue                 green beside blue, with confidence
              errors <= 2 x blue + 0.5%            and so much more is nothing to speak of

    metric    p(N)  med  avg  max                  latency of answers without error, from the moment a
                                                   request was due
              errors                               share of requests without a good answer
              rps                                  requests sent, out of those that were due
    limit     ms or s for latency, % for shares

What is better is fixed for each metric, so a rule can't ask for the worse: two rules can be one stricter than
the other, and never contradict each other.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

MAX_RULE_CHARACTERS = 100


class Metric(StrEnum):
    """What is measured."""

    PERCENTILE = "p"
    AVERAGE = "avg"
    MAXIMUM = "max"
    ERRORS = "errors"
    RATE = "rps"

    @property
    def is_latency(self) -> bool:
        return self in {Metric.PERCENTILE, Metric.AVERAGE, Metric.MAXIMUM}


class RuleError(ValueError):
    """A rule that is not understood, or can't be meant; the text says what would be."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. Latencies are in seconds, shares from 0 to 1."""

    text: str
    metric: Metric
    percent: float
    """Of a percentile: 95 for ``p(95)``."""
    strict: bool
    """Whether the limit itself is too much."""
    limit: float
    """In the metric's unit; of a relative rule, what green may be worse by on top."""
    ratio: float | None = None
    """How many times blue's value green's may be; ``None``: blue plays no part."""
    abort: bool = False
    """Whether the run ends as soon as it is broken."""
    after_seconds: float = 0.0
    """Until then nothing is aborted."""
    minimum_samples: int = 0
    """How many requests there must be to say anything; 0: as many as the settings say."""
    observe: bool = False
    """Whether it is judged and recorded, and decides nothing."""

    @property
    def is_relative(self) -> bool:
        return self.ratio is not None

    @property
    def name(self) -> str:
        """What is measured, as it is written in rules."""
        return f"p({self.percent:.8g})" if self.metric is Metric.PERCENTILE else self.metric.value


_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,6})?"
_RULE = re.compile(
    rf"\s*(?:(?P<p>p)\(\s*(?P<percent>{_NUMBER})\s*\)|(?P<metric>med|avg|max|errors|rps))"
    rf"\s*(?P<operator><=|<|>=|>)\s*"
    rf"(?:(?P<ratio>{_NUMBER})\s*[x×]\s*blue(?:\s*\+\s*(?P<slack>{_NUMBER})\s*(?P<slack_unit>ms|s|%))?"
    rf"|(?P<limit>{_NUMBER})\s*(?P<unit>ms|s|%))\s*"
)
# Divisors: 95 / 100 is 0.95, and 95 * 0.01 is a little more, which 95 of 100 would not reach.
_PER_UNIT = {"ms": 1000, "s": 1, "%": 100}


def parse(text: str) -> Rule:
    """Read a rule.

    >>> rule = parse("p(95) <= 1.25 x blue + 5ms")
    >>> (rule.name, rule.ratio, rule.limit)
    ('p(95)', 1.25, 0.005)

    Raises
    ------
    RuleError
        When the sentence is none of the grammar above, or asks for the worse.
    """
    found = _RULE.fullmatch(text) if len(text) <= MAX_RULE_CHARACTERS else None
    if found is None:
        raise RuleError(
            f"{text[:MAX_RULE_CHARACTERS]!r} is no rule; rules are like p(95) < 500ms, errors < 1%, "
            "rps >= 95%, p(95) <= 1.25 x blue"
        )
    named = found["metric"]
    metric = Metric.PERCENTILE if found["p"] or named == "med" else Metric(named)
    percent = float(found["percent"] or 50) if metric is Metric.PERCENTILE else 0.0
    ratio = None if found["ratio"] is None else float(found["ratio"])
    unit = found["unit"] or found["slack_unit"]
    value = float(found["limit"] or found["slack"] or 0)
    rule = Rule(
        text=" ".join(text.split()),
        metric=metric,
        percent=percent,
        strict=found["operator"] in {"<", ">"},
        limit=value / _PER_UNIT[unit] if unit else 0.0,
        ratio=ratio,
    )
    _check(rule, found["operator"], unit)
    return rule


def _check(rule: Rule, operator: str, unit: str | None) -> None:
    if rule.metric is Metric.PERCENTILE and not 0 < rule.percent < 100:
        raise RuleError(f"{rule.text!r}: a percentile is above 0 and below 100; the largest latency is max")
    wanted = ">" if rule.metric is Metric.RATE else "<"
    if operator[0] != wanted:
        better = "more" if wanted == ">" else "less"
        raise RuleError(f"{rule.text!r} asks for the worse: {better} is better, write {wanted} or {wanted}=")
    if unit is not None and (unit == "%") == rule.metric.is_latency:
        right = "ms or s" if rule.metric.is_latency else "%"
        raise RuleError(f"{rule.text!r}: {rule.name} is measured in {right}")
    if rule.is_relative and rule.metric in {Metric.MAXIMUM, Metric.RATE}:
        why = (
            "rests on one request" if rule.metric is Metric.MAXIMUM else "is held against what was asked for"
        )
        raise RuleError(f"{rule.text!r}: {rule.name} {why}, and can't be compared with blue's")
    if rule.ratio is not None and rule.ratio <= 0:
        raise RuleError(f"{rule.text!r} can't be kept")
    if rule.is_relative and rule.metric is Metric.ERRORS and not rule.limit:
        # Between two arms without any error there is no number of requests that proves a ratio.
        raise RuleError(
            f"{rule.text!r} leaves no room: say what is nothing to speak of, as in {rule.text} + 0.5%"
        )
    if not rule.is_relative and not rule.metric.is_latency and rule.limit > 1:
        raise RuleError(f"{rule.text!r}: a share is 100% at most")
    if not rule.is_relative and rule.strict and _cannot_be_kept(rule):
        raise RuleError(f"{rule.text!r} can't be kept")
    if _cannot_be_broken(rule):
        # It would look like the rule on errors that every test has to have.
        raise RuleError(f"{rule.text!r} can't be broken")


def _cannot_be_kept(rule: Rule) -> bool:
    return rule.limit >= 1 if rule.metric is Metric.RATE else rule.limit <= 0


def _cannot_be_broken(rule: Rule) -> bool:
    if rule.metric is Metric.RATE:
        return not rule.strict and rule.limit <= 0
    return rule.metric is Metric.ERRORS and not rule.strict and rule.limit >= 1
