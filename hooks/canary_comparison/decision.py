"""From what was observed to what ECS is told.

::

    worse ────────────────────────────────────────▶ refuse, at any look
    good, and watched for minimumMinutes ─────────▶ go on
    not known ─▶ onUnknown: wait (unknownMinutes), refuse, or do without it
    not certain ─▶ wait ─ time is up ─▶ onInconclusive: pass, extend, refuse

Nothing passes for want of data: where nothing at all was seen side by side, the answer is no.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from hooks.canary_comparison.as_kayenta import judge_as_kayenta
from hooks.canary_comparison.judge import Judgement, Rule, Standards, Verdict, judge
from hooks.canary_comparison.observation import MINUTE, Observation
from hooks.canary_comparison.watch import Phase, Watch
from shared.response import Proceed, Refuse, Result, Wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The settings, as far as they decide."""

    metrics: tuple[Rule, ...]
    standards: Standards
    holds: bool
    """Whether steps are held at all."""
    minimum_minutes: int
    extend_minutes: int
    unknown_minutes: int
    on_inconclusive: Literal["pass", "extend", "refuse"]
    look_seconds: int
    lag_seconds: int
    """Until a minute is complete in every metric."""
    judge: Literal["sequential", "kayenta"]
    pass_score: float
    marginal_score: float


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer, and what it came from."""

    result: Result
    judgement: Judgement


def decide(observations: Sequence[Observation], rules: Rules, watch: Watch, now: datetime) -> Decision:
    """Answer one call, from all that was observed in the window so far."""
    closed = _closed(observations, watch.window.start)
    complete = now - timedelta(seconds=rules.lag_seconds) >= watch.window.end
    looks_back = watch.phase is Phase.LOOK_BACK
    answers_at_once = watch.phase is Phase.HOLD and not rules.holds
    time_is_up = complete and (closed > 0 or looks_back)
    judgement = _judged(
        observations, rules, is_final=answers_at_once or time_is_up, at_the_end=time_is_up and _ends(watch)
    )
    # What was good under little load says nothing yet of the load it has now.
    at_this_step = _closed(observations, watch.step or watch.window.start)
    result = _answer(
        judgement, rules, watch, now, closed=closed, at_this_step=at_this_step, time_is_up=time_is_up
    )
    if answers_at_once and not isinstance(result, Refuse):
        result = Proceed(f"holdMinutes is 0, so the next call judges; so far: {judgement.reason}")
    return Decision(result, judgement)


def _judged(
    observations: Sequence[Observation], rules: Rules, *, is_final: bool, at_the_end: bool
) -> Judgement:
    if rules.judge == "kayenta":
        # Its error rate holds for one look.
        return judge_as_kayenta(
            observations, rules.metrics, rules.pass_score, rules.marginal_score, is_final=is_final
        )
    return judge(observations, rules.metrics, rules.standards, at_the_end=at_the_end)


def _closed(observations: Sequence[Observation], since: datetime) -> int:
    """Return how many minutes are over, known or not."""
    return max(
        (
            sum(minute.start >= since for minute in seen.minutes) + sum(at >= since for at in seen.missing)
            for seen in observations
        ),
        default=0,
    )


def _answer(
    judgement: Judgement,
    rules: Rules,
    watch: Watch,
    now: datetime,
    *,
    closed: int,
    at_this_step: int,
    time_is_up: bool,
) -> Result:
    # Once blue serves no more, nothing is gained by being early, and the last minutes are still to come.
    may_be_early = watch.phase is not Phase.LOOK_BACK
    match judgement.verdict:
        case Verdict.WORSE:
            return Refuse(f"green is worse: {judgement.reason}")
        case Verdict.UNKNOWN:
            return _not_known(judgement, rules, watch, now, closed=closed)
        case Verdict.GOOD if time_is_up or (may_be_early and at_this_step >= rules.minimum_minutes):
            return Proceed(f"green is as good as blue: {judgement.reason}")
        case Verdict.INCONCLUSIVE if time_is_up:
            return _not_certain(judgement, rules, watch, now, closed=closed)
    return _wait(judgement, rules, watch, now)


def _not_known(judgement: Judgement, rules: Rules, watch: Watch, now: datetime, *, closed: int) -> Result:
    unknown = {finding.metric for finding in judgement.findings if finding.verdict is Verdict.UNKNOWN}
    strict = any(rule.name in unknown and rule.on_unknown == "refuse" for rule in rules.metrics)
    if strict and closed >= rules.minimum_minutes:
        return Refuse(f"not known, and onUnknown is refuse: {judgement.reason}")
    patience = timedelta(minutes=rules.unknown_minutes)
    if watch.phase is Phase.LOOK_BACK:
        # What is missing may only be late.
        given_up = now - timedelta(seconds=rules.lag_seconds) - watch.window.end >= patience
    else:
        given_up = closed * MINUTE >= patience
    if given_up:
        return Refuse(f"not known for {rules.unknown_minutes} minutes: {judgement.reason}")
    return _wait(judgement, rules, watch, now)


def _not_certain(judgement: Judgement, rules: Rules, watch: Watch, now: datetime, *, closed: int) -> Result:
    if not closed:
        return Refuse(
            "blue and green were not seen side by side for a whole minute; set holdMinutes, or a bake time "
            "in the service's canary or linear configuration"
        )
    if rules.on_inconclusive == "pass":
        return Proceed(f"nothing is certain, and onInconclusive is pass: {judgement.reason}")
    extended = watch.window.end + timedelta(minutes=rules.extend_minutes, seconds=rules.lag_seconds)
    can_be_extended = rules.on_inconclusive == "extend" and watch.phase is not Phase.LOOK_BACK
    if can_be_extended and now < extended:
        return _wait(judgement, rules, watch, now)
    after = f" after {rules.extend_minutes} more minutes" if can_be_extended else ""
    return Refuse(
        f"nothing is certain{after}, and onInconclusive is {rules.on_inconclusive}: {judgement.reason}"
    )


def _ends(watch: Watch) -> bool:
    return watch.phase is not Phase.HOLD


def _wait(judgement: Judgement, rules: Rules, watch: Watch, now: datetime) -> Wait:
    return Wait(
        f"and watch: {judgement.reason}",
        seconds_to_next(now, rules.look_seconds, rules.lag_seconds),
        # What was worked out is worked out again; only what is known is worth remembering.
        state={} if watch.note else {"watchedSince": watch.window.start.isoformat()},
    )


def seconds_to_next(now: datetime, look_seconds: int, lag_seconds: int) -> float:
    """Return the delay until a minute has become complete, and *look_seconds* about have passed."""
    into = (now.timestamp() - lag_seconds) % 60
    return 60 * max(math.ceil(look_seconds / 60), 1) - into
