"""The judge that Spinnaker's users know: what Kayenta calls ``NetflixACAJudge-v1.0``, written anew.

::

    values of a metric ─▶ without NaN ─▶ without outliers ─▶ Pass | High | Low | Nodata | NodataFailMetric
    labels of a group  ─▶ share that is Pass, in percent
    scores of groups   ─▶ weighted sum ─▶ Pass | Marginal | Fail

What it concludes is what is published of it (https://github.com/spinnaker/kayenta, read at commit a69573be).
Three things differ, each on purpose:

- **No solver, no units.** The original looks for the bounds of the shift with a root finder that stops
  within 0.0001, whatever the unit: +10 % of latency is always found in seconds, seldom in values around
  1e-6, and where the shift is about 0 its bounds are the solver's noise. The function it searches only steps
  at differences between a value of one side and one of the other, so the root is one of those: here it is
  picked from among them, exactly. Where the original's answer is more than its noise, both agree.
- **No dice.** The original adds random noise where both sides are constant. Here the shift between them is
  what it is, so that a record can be replayed byte for byte.
- **Nothing known is not Pass.** The original counts a group without data as 100, and an empty side as Pass
  where NaN is replaced; a run in which no metric had values on both sides could pass. Here it is ``NoData``,
  unless there is reason to fail it.

Its weaknesses stay, as they are what its users expect: every minute counts as one observation whatever its
volume; minutes are taken for independent; and asking more than once costs its 2 %.
"""

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import sub
from typing import Literal

from hooks.canary_comparison.ranks import mann_whitney, nth_pairs, outermost_pair, u_deviation

# What NetflixACAJudge-v1.0 sets and no configuration changes.
CONFIDENCE = 0.98
TOLERANCE = 0.25
OUTLIER_FACTOR = 3.0
NO_DATA_SHARE = 0.5

Direction = Literal["increase", "decrease", "either"]
EffectSize = Literal["meanRatio", "cles"]
NO_EFFECT: Mapping[EffectSize, float] = {"meanRatio": 1.0, "cles": 0.5}


class Label(enum.StrEnum):
    """What one metric is found to be, in Kayenta's words."""

    PASS = "Pass"  # noqa: S105  a label, not a password
    HIGH = "High"
    LOW = "Low"
    NO_DATA = "Nodata"
    """Does not count, unless half of the metrics are so."""
    NO_DATA_FAIL = "NodataFailMetric"
    """Had to have data, and counts as failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KayentaMetric:
    """One metric, a value a minute, and how to judge it. NaN is a minute without a value.

    The limits of the effect default to no effect, 1.0 or 0.5, as Kayenta's do. Then a steady difference of
    2 % between healthy revisions is soon High, so set ``allowed_increase``.
    """

    name: str
    experiment: Sequence[float]
    """Green."""
    control: Sequence[float]
    """Blue."""
    direction: Direction = "either"
    critical: bool = False
    """Alone sets the score to 0 when it is not Pass."""
    must_have_data: bool = False
    muted: bool = False
    """Is labelled and does not count."""
    groups: tuple[str, ...] = ("metrics",)
    effect_size: EffectSize = "meanRatio"
    """The ratio of means, or how likely a value of green is above one of blue."""
    allowed_increase: float | None = None
    allowed_decrease: float | None = None
    critical_increase: float | None = None
    critical_decrease: float | None = None
    nan_strategy: Literal["remove", "replace"] = "remove"
    """Leave a minute without a value out, or take it for 0."""
    outliers: Literal["keep", "remove"] = "keep"


@dataclass(frozen=True, slots=True)
class KayentaResult:
    """What one metric was found to be."""

    metric: str
    label: Label
    reason: str
    critical: bool = False
    """Whether it sets the score to 0."""
    ratio: float | None = None
    """Mean of green in means of blue; ``None`` where either is 0 or unknown."""
    known: bool = True
    """Whether both sides had a value."""


@dataclass(frozen=True, slots=True)
class KayentaVerdict:
    """What the run was found to be."""

    score: float
    """0 to 100."""
    classification: Literal["Pass", "Marginal", "Fail", "NoData"]
    reason: str
    results: tuple[KayentaResult, ...]
    group_scores: Mapping[str, float]


def judge(
    metrics: Sequence[KayentaMetric],
    pass_score: float,
    marginal_score: float,
    group_weights: Mapping[str, float] | None = None,
) -> KayentaVerdict:
    """Judge a run.

    Parameters
    ----------
    metrics
        With all values of the run.
    pass_score, marginal_score
        From which score on the run is Pass, and from which Marginal.
    group_weights
        In percent. Groups that have none share what is left of 100.

    Raises
    ------
    ValueError
        A value is infinite.

    """
    results = tuple(classify(metric) for metric in metrics)
    counted = [(metric, result) for metric, result in zip(metrics, results, strict=True) if not metric.muted]
    score, groups, reason = _score(counted, group_weights or {})
    classification: Literal["Pass", "Marginal", "Fail", "NoData"]
    classification = "Pass" if score >= pass_score else "Marginal" if score >= marginal_score else "Fail"
    worse = any(result.label in {Label.HIGH, Label.LOW, Label.NO_DATA_FAIL} for _, result in counted)
    if not worse and not any(result.known for _, result in counted):
        score, classification, reason = 0.0, "NoData", "no metric has values of both green and blue"
    return KayentaVerdict(score, classification, reason, results, groups)


def classify(
    metric: KayentaMetric, *, tolerance: float = TOLERANCE, confidence: float = CONFIDENCE
) -> KayentaResult:
    """Label one metric; raises ``ValueError`` for an infinite value."""
    known = all(any(not math.isnan(value) for value in side) for side in (metric.experiment, metric.control))
    experiment, control = (_prepared(side, metric) for side in (metric.experiment, metric.control))
    if not experiment or not control:
        return _without_data(metric, experiment, control)
    ratio = mean_ratio(experiment, control)

    def result(label: Label, reason: str, *, critical: bool = False) -> KayentaResult:
        return KayentaResult(metric.name, label, reason, critical, ratio, known)

    if sorted(experiment) == sorted(control):
        return result(Label.PASS, "green and blue have the same values")
    low, estimate, high = shift(experiment, control, confidence)
    bound = tolerance * abs(estimate)
    effect = ratio if metric.effect_size == "meanRatio" else cles(experiment, control)
    none = NO_EFFECT[metric.effect_size]
    if (
        metric.direction != "decrease"
        and low > bound
        and _exceeds(effect, _or(metric.allowed_increase, none))
    ):
        critical = metric.critical and _exceeds(effect, _or(metric.critical_increase, none))
        return result(Label.HIGH, _words("above", effect, metric.effect_size), critical=critical)
    if (
        metric.direction != "increase"
        and high < -bound
        and _falls_below(effect, _or(metric.allowed_decrease, none))
    ):
        critical = metric.critical and _falls_below(effect, _or(metric.critical_decrease, none))
        return result(Label.LOW, _words("below", effect, metric.effect_size), critical=critical)
    return result(Label.PASS, "green is within what is tolerated")


def shift(
    experiment: Sequence[float], control: Sequence[float], confidence: float
) -> tuple[float, float, float]:
    """Return by how much *experiment* is above *control*: lower bound, estimate, upper bound.

    Mann and Whitney's test inverted, with corrections for ties and steps. Where the confidence can't be
    reached, the bounds are the smallest and the largest difference there is, as in Kayenta.
    """
    n, m = len(experiment), len(control)
    # Shifted by anything but one of the differences, no value of one side is tied with one of the other.
    k = max(outermost_pair(n, m, _deviation_apart(experiment, control), confidence), 0)
    last = n * m - 1
    low, below, above, high = nth_pairs(experiment, control, sub, (k, last // 2, last - last // 2, last - k))
    return low, (below + above) / 2, high


def mean_ratio(experiment: Sequence[float], control: Sequence[float]) -> float | None:
    """Return the mean of *experiment* in means of *control*; ``None`` where either is 0."""
    one, other = math.fsum(experiment) / len(experiment), math.fsum(control) / len(control)
    return one / other if one and other else None


def cles(experiment: Sequence[float], control: Sequence[float]) -> float:
    """Return how likely a value of *experiment* is above one of *control*, equal ones counting half."""
    return mann_whitney(experiment, control).u / (len(experiment) * len(control))


def percentile(values: Sequence[float], percent: float) -> float:
    """Return a percentile of *values*, between neighbours on the line that joins them (R's type 7)."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def outliers(
    values: Sequence[float], factor: float = OUTLIER_FACTOR, *, reduced_sensitivity: bool = True
) -> list[bool]:
    """Tell of each value whether it is beyond the quartiles by *factor* times what is between them.

    With *reduced_sensitivity*, what is between the 1st and the 99th percentile never is.
    """
    if not values:
        return []
    first, third = percentile(values, 25), percentile(values, 75)
    low, high = first - factor * (third - first), third + factor * (third - first)
    if reduced_sensitivity:
        low, high = min(low, percentile(values, 1)), max(high, percentile(values, 99))
    return [value < low or value > high for value in values]


def _prepared(side: Sequence[float], metric: KayentaMetric) -> list[float]:
    if any(math.isinf(value) for value in side):
        raise ValueError(f"{metric.name}: a value is infinite")
    if metric.nan_strategy == "replace":
        values = [0.0 if math.isnan(value) else value for value in side]
    else:
        values = [value for value in side if not math.isnan(value)]
    if metric.outliers == "keep":
        return values
    return [value for value, out in zip(values, outliers(values), strict=True) if not out]


def _without_data(
    metric: KayentaMetric, experiment: Sequence[float], control: Sequence[float]
) -> KayentaResult:
    empty = " and ".join(name for name, side in (("green", experiment), ("blue", control)) if not side)
    reason = f"{empty} has no values" if " and " not in empty else f"{empty} have no values"
    if metric.nan_strategy == "replace":
        return KayentaResult(metric.name, Label.PASS, f"{reason}, taken for none to count", known=False)
    if metric.must_have_data and not metric.critical:
        return KayentaResult(metric.name, Label.NO_DATA_FAIL, f"{reason} and must", known=False)
    return KayentaResult(metric.name, Label.NO_DATA, reason, metric.critical, known=False)


def _score(
    counted: Sequence[tuple[KayentaMetric, KayentaResult]], weights: Mapping[str, float]
) -> tuple[float, dict[str, float], str]:
    """Return the score, those of the groups, and why it is what it is."""
    groups: dict[str, list[Label]] = {}
    for metric, result in counted:
        for group in metric.groups:
            groups.setdefault(group, []).append(result.label)
    known = {
        group: [label for label in labels if label is not Label.NO_DATA] for group, labels in groups.items()
    }
    scores = {
        group: 100 * labels.count(Label.PASS) / len(labels) if labels else 0.0
        for group, labels in known.items()
    }
    for _, result in counted:
        if result.critical and result.label is not Label.PASS:
            return 0.0, scores, f"{result.metric}, which is critical, is {result.label}"
    unknown = [result for _, result in counted if result.label is Label.NO_DATA]
    if not counted or len(unknown) >= NO_DATA_SHARE * len(counted):
        return 0.0, scores, f"{len(unknown)} of {len(counted)} metrics have no data"
    left = [group for group in groups if group not in weights]
    rest = 100 - sum(weights.get(group, 0.0) for group in groups)
    total = sum(
        # As published: what nothing is known of does not pull the score down.
        (scores[group] if known[group] else 100.0)
        * (weights[group] if group in weights else rest / len(left))
        / 100
        for group in groups
    )
    failed = [result for _, result in counted if result.label not in {Label.PASS, Label.NO_DATA}]
    reason = ", ".join(f"{result.metric} is {result.label}" for result in failed)
    return round(total, 2), scores, reason or "no metric is worse"


def _deviation_apart(experiment: Sequence[float], control: Sequence[float]) -> float:
    return u_deviation(len(experiment), len(control), experiment, control)


def _or(limit: float | None, default: float) -> float:
    return default if limit is None else limit


def _exceeds(effect: float | None, limit: float) -> bool:
    # What can't be told is taken for large: the published choice, and the safe one.
    return effect is None or effect >= limit


def _falls_below(effect: float | None, limit: float) -> bool:
    return effect is None or effect <= limit


def _words(side: str, effect: float | None, measure: EffectSize) -> str:
    if effect is None:
        return f"green is {side} blue, and one of them is 0"
    if measure == "meanRatio":
        return f"green is {side} blue: {effect:.3g} times its mean"
    return f"green is {side} blue: a value of green is the higher one in {effect:.0%} of pairs"
