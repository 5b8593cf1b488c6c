"""The judge that Spinnaker's users know, in this hook's terms, for teams that migrate.

A counted metric becomes what Kayenta would have been given: its rate, minute by minute.
"""

import math
from collections.abc import Sequence

from hooks.canary_comparison.judge import Finding, Judgement, Rule, Verdict
from hooks.canary_comparison.kayenta import KayentaMetric, KayentaResult, Label, judge
from hooks.canary_comparison.observation import Observation, Reading, Split

_VERDICTS = {
    "Pass": Verdict.GOOD,
    "Marginal": Verdict.INCONCLUSIVE,
    "Fail": Verdict.WORSE,
    "NoData": Verdict.UNKNOWN,
}


def judge_as_kayenta(
    observations: Sequence[Observation],
    rules: Sequence[Rule],
    pass_score: float,
    marginal_score: float,
    *,
    is_final: bool,
) -> Judgement:
    """Judge green as NetflixACAJudge-v1.0 does, once all is seen; before, nothing is certain.

    What a metric tolerates is its ``allowedIncrease`` or ``allowedDecrease`` of the ratio of means.
    """
    if not is_final:
        text = f"the kayenta judge looks once, when the time is up ({pass_score:g} of 100 pass)"
        return Judgement(Verdict.INCONCLUSIVE, text, ())
    metrics = [_metric(observation, rule) for observation, rule in zip(observations, rules, strict=True)]
    counted = [rule for rule, metric in zip(rules, metrics, strict=True) if not metric.muted]
    total = math.fsum(rule.weight for rule in counted)
    found = judge(
        metrics, pass_score, marginal_score, {rule.name: 100 * rule.weight / total for rule in counted}
    )
    return Judgement(
        _VERDICTS[found.classification],
        f"score {found.score:g} of 100 is {found.classification}: {found.reason}",
        tuple(map(_finding, found.results)),
    )


def _metric(observation: Observation, rule: Rule) -> KayentaMetric:
    green, blue = [], []
    for minute in observation.minutes:
        match minute:
            case Split(_, green_bad, green_total, blue_bad, blue_total):
                green.append(green_bad / green_total if green_total else math.nan)
                blue.append(blue_bad / blue_total if blue_total else math.nan)
            case Reading(_, of_green, of_blue):
                green.append(of_green)
                blue.append(of_blue)
    return KayentaMetric(
        name=rule.name,
        experiment=green,
        control=blue,
        direction=rule.direction,
        critical=rule.critical,
        must_have_data=rule.on_unknown != "ignore",
        # To Kayenta, a critical metric without data speaks against green whatever else is said of it.
        muted=rule.observe or (rule.on_unknown == "ignore" and not observation.minutes),
        groups=(rule.name,),
        allowed_increase=rule.tolerated if rule.direction == "increase" else None,
        allowed_decrease=1 / rule.tolerated if rule.direction == "decrease" else None,
    )


def _finding(result: KayentaResult) -> Finding:
    verdict = Verdict.WORSE
    if not result.known:
        verdict = Verdict.UNKNOWN
    elif result.label is Label.PASS:
        verdict = Verdict.GOOD
    return Finding(
        metric=result.metric, verdict=verdict, text=f"{result.metric}: {result.reason}", ratio=result.ratio
    )
