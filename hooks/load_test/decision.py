"""From how a run stands to what ECS is told, and what is done about the run.

::

    no run yet ────────────▶ ask for one ─▶ wait
    asked for ─────────────▶ wait ─ startWithinSeconds are over ─▶ trouble
    under way ─────────────▶ wait ─ a rule with abort is broken ─▶ refuse, and stop it
                                  ─ nothing was heard for long ──▶ trouble
    over ──────────────────▶ judge ─▶ pass: go on    fail: refuse    inconclusive: onInconclusive
                                   └▶ trouble
    ended before its time ─▶ refuse ─ nothing told green from blue ─▶ trouble, that no setting lets pass
                                    ─ the generator failed ─────────▶ trouble
    trouble ─ attempts left ▶ ask for another run ─▶ wait
            └ none ─────────▶ onGeneratorTrouble

Trouble is the generator's, never green's, and never passes for a pass: that takes a setting that says so.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from hooks.load_test.measurement import Measurement, Problem
from hooks.load_test.rules import Metric, Rule
from hooks.load_test.verdict import Judgement, Outcome, Standards, Verdict, judge, progress, to_abort
from shared.response import Proceed, Refuse, Result, Wait

# The generator says something every two seconds, and S3 keeps what was written last.
SILENT_SECONDS = 45

# Until the last answers are in and told.
SETTLING_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The settings, as far as they decide."""

    rules: tuple[Rule, ...]
    standards: Standards
    seconds: float
    """How long requests are sent."""
    timeout_seconds: float
    """How long an answer is waited for."""
    poll_seconds: float
    start_within_seconds: float
    attempts: int
    on_inconclusive: Literal["pass", "refuse"]
    on_generator_trouble: Literal["proceed", "refuse"]

    @property
    def looks(self) -> int:
        """How often a run is looked at, about."""
        return math.ceil(self.seconds / self.poll_seconds) + 1

    @property
    def run_seconds(self) -> float:
        """How long one run may take, from being asked for to its last word."""
        return self.start_within_seconds + self.seconds + self.timeout_seconds + SILENT_SECONDS

    @property
    def patience_seconds(self) -> float:
        """How long all of them may take."""
        return self.attempts * (self.run_seconds + 2 * self.poll_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One run, as far as its driver knows it."""

    run: str
    asked_at: datetime
    stopped: str = ""
    """Why the hook has ended it, if it has."""
    measured: Measurement | None = None
    """``None``: no generator has said anything of it."""
    unreadable: str = ""
    """What is wrong with what was said last."""

    @property
    def number(self) -> int:
        """Which attempt it is, from 1: what its name ends with."""
        return int(self.run.rpartition("-")[2])


@dataclass(frozen=True, slots=True)
class Step:
    """The answer, and what is done before it is given."""

    result: Result
    start: bool = False
    """Ask for the next attempt."""
    ask_again: bool = False
    """Ask for the latest once more: of an earlier call only the half may have come through."""
    keep: bool = False
    """Renew the lease of the latest."""
    stop: str = ""
    """End the latest, for this reason."""
    judgement: Judgement | None = None


def decide(attempts: Sequence[Attempt], terms: Terms, now: datetime, since: datetime) -> Step:
    """Answer one call.

    Parameters
    ----------
    attempts
        The runs that were asked for, the latest at the end.
    since
        When ECS first called, as far as is known. Not every driver remembers a run that was lost.
    """
    latest = attempts[-1] if attempts else None
    if latest is not None and latest.stopped:
        # This call is late: an earlier one has refused already.
        return Step(Refuse(latest.stopped))
    if latest is not None and latest.measured is not None and latest.measured.is_over:
        return _over(latest.measured, latest.number, terms)
    if (now - since).total_seconds() > terms.patience_seconds:
        return _given_up("no run has come to its end", terms)
    if latest is None:
        return Step(Wait("and load green: a run is asked for", terms.poll_seconds), start=True)
    if latest.measured is None:
        return _unheard(latest, terms, now)
    return _under_way(latest.measured, latest.number, terms, now)


def _under_way(measured: Measurement, number: int, terms: Terms, now: datetime) -> Step:
    silent = (now - measured.at).total_seconds()
    if silent > SILENT_SECONDS:
        return _trouble(f"the generator has said nothing for {silent:.0f} s", number, terms)
    if broken := to_abort(measured, terms.rules, terms.standards, terms.looks):
        reason = f"green fails the load test: {'; '.join(finding.text for finding in broken)}"
        return Step(Refuse(reason), stop=reason)
    left = terms.seconds - measured.elapsed_seconds
    soon = max(left, 0.0) + SETTLING_SECONDS
    return Step(Wait(f"for {progress(measured)}", min(terms.poll_seconds, soon)), keep=True)


def _unheard(latest: Attempt, terms: Terms, now: datetime) -> Step:
    waited = (now - latest.asked_at).total_seconds()
    if latest.unreadable:
        # What was asked for may still go on; it has its lease, and time to say something better.
        if waited > terms.start_within_seconds + terms.seconds + SILENT_SECONDS:
            return _trouble(
                f"what the generator says is unreadable: {latest.unreadable}", latest.number, terms
            )
        return Step(
            Wait(f"for the generator, which is unreadable: {latest.unreadable}", terms.poll_seconds),
            keep=True,
        )
    if waited >= terms.start_within_seconds:
        waited_for = f"no generator took the run within {terms.start_within_seconds:g} s"
        return _trouble(waited_for, latest.number, terms)
    wait = Wait(f"for a generator to take the run, {waited:.0f} s so far", terms.poll_seconds)
    return Step(wait, ask_again=True)


def _over(measured: Measurement, number: int, terms: Terms) -> Step:
    if reason := _refusal(measured, is_last=number >= terms.attempts):
        return Step(Refuse(reason))
    if measured.problem is not Problem.NONE:
        return _trouble(measured.reason, number, terms)
    if measured.due_seconds < terms.seconds - 1:
        short = f"the run ended after {measured.due_seconds:.0f} of its {terms.seconds:.0f} s"
        return _trouble(short, number, terms)
    return _judged(judge(measured, terms.rules, terms.standards), number, terms)


def _refusal(measured: Measurement, *, is_last: bool) -> str:
    """Say why a run that ended before its time is an answer in itself; empty when it is none."""
    match measured.problem:
        case Problem.REFUSED:
            return f"the generator's operator does not allow this load: {measured.reason}"
        case Problem.BLUE_DEGRADED:
            return f"blue suffered, and with it production: {measured.reason}"
        case Problem.TOO_MANY_BYTES | Problem.STOPPED:
            return f"the run was ended: {measured.reason}"
        case Problem.UNREACHABLE if "blue" in measured.preflight:
            return f"green does not answer: {measured.reason}"
        case Problem.UNPROVEN if is_last:
            # A header or a marker, of the service's: who may set them must not be able to evade the test.
            return f"nothing proves that green was asked: {measured.reason}"
    return ""


def _judged(judgement: Judgement, number: int, terms: Terms) -> Step:
    match judgement.verdict:
        case Verdict.PASS:
            return Step(Proceed(f"green holds the load: {judgement.reason}"), judgement=judgement)
        case Verdict.FAIL:
            return Step(Refuse(f"green fails the load test: {judgement.reason}"), judgement=judgement)
        case Verdict.TROUBLE:
            return replace(_trouble(judgement.reason, number, terms), judgement=judgement)
    # Whatever is uncertain, that green answers at all must not be.
    answers = any(
        finding.outcome is Outcome.KEPT
        and finding.rule.metric is Metric.ERRORS
        and not finding.rule.is_relative
        for finding in judgement.findings
    )
    if terms.on_inconclusive == "pass" and answers:
        reason = f"nothing is certain, and onInconclusive is pass: {judgement.reason}"
        return Step(Proceed(reason), judgement=judgement)
    return Step(Refuse(f"the load test is inconclusive: {judgement.reason}"), judgement=judgement)


def _trouble(reason: str, number: int, terms: Terms) -> Step:
    if number < terms.attempts:
        wait = Wait(f"and load green again, because of the generator: {reason}", terms.poll_seconds)
        return Step(wait, start=True, stop=f"another run takes its place: {reason}")
    return _given_up(reason, terms)


def _given_up(reason: str, terms: Terms) -> Step:
    if terms.on_generator_trouble == "proceed":
        # Not stopped: a second call would find that, and refuse. Nobody renews its lease any more.
        return Step(Proceed(f"not tested, and onGeneratorTrouble is proceed: {reason}"))
    return Step(Refuse(f"not tested, because of the generator: {reason}"), stop=reason)
