"""The decision: what the history of a request amounts to, at a given time.

Versions are read in the order AWS numbered them, and the first that settles the matter settles it:
who answers after that changes nothing. So every call that sees the same versions says the same, however
often and in whatever order calls arrive.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from hooks.manual_approval.approvers import Electorate, same_role
from hooks.manual_approval.request import Kind, Version, read


@dataclass(frozen=True, slots=True)
class Rules:
    """What must be so for a request to be approved."""

    required: int
    electorate: Electorate
    expires_after: timedelta
    on_expiry: Literal["refuse", "proceed"]


@dataclass(frozen=True, slots=True)
class Vote:
    """An answer that counted."""

    by: str
    at: datetime
    comment: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What a request amounts to."""

    outcome: Literal["approved", "rejected", "expired", "pending"]
    expires_at: datetime
    votes: tuple[Vote, ...] = ()
    """The approvals so far, or the one rejection."""
    remarks: tuple[str, ...] = field(default=())
    """Answers that did not count, and why; for the log."""


def decide(history: Sequence[Version], asked: Version, hook: str, rules: Rules, now: datetime) -> Finding:
    """Count the answers to a request.

    Parameters
    ----------
    history
        All versions of the parameter.
    asked
        The one that is the request. Nothing before it counts, whatever it says.
    hook
        The hook's own identity: what it wrote is never an answer.
    """
    expires_at = asked.at + rules.expires_after
    approvals: dict[str, Vote] = {}
    remarks: list[str] = []
    for version in sorted(history, key=lambda version: version.number):
        if version.number <= asked.number:
            continue
        statement = read(version.text)
        if objection := _objection(version, statement.kind, hook, rules.electorate, expires_at):
            remarks.append(f"version {version.number} by {version.by}: {objection}")
        if objection or statement.kind not in _ANSWERS:
            continue
        vote = Vote(version.by, version.at, statement.comment)
        if statement.kind is Kind.REJECTED:
            return Finding("rejected", expires_at, (vote,), tuple(remarks))
        approvals.setdefault(rules.electorate.voter(version.by), vote)
        if len(approvals) >= rules.required:
            return Finding("approved", expires_at, tuple(approvals.values()), tuple(remarks))
    outcome: Literal["expired", "pending"] = "expired" if now >= expires_at else "pending"
    return Finding(outcome, expires_at, tuple(approvals.values()), tuple(remarks))


_ANSWERS = frozenset({Kind.APPROVED, Kind.REJECTED})


def _objection(
    version: Version, kind: Kind, hook: str, electorate: Electorate, expires_at: datetime
) -> str | None:
    """Return why something that may have been meant as an answer is not counted."""
    own = same_role(version.by, hook)
    if kind not in _ANSWERS:
        misspelt = kind is Kind.NOT_UNDERSTOOD and not own
        return "not understood; write APPROVED or REJECTED" if misspelt else None
    if own:
        return "does not count, it is the hook's own role"
    if version.at >= expires_at:
        return "came after the request had expired"
    objection = electorate.objection(version.by)
    return f"does not count, {objection}" if objection else None


@dataclass(frozen=True, slots=True)
class Pace:
    """How often to look for a decision."""

    first_seconds: float
    growth: float
    fresh_seconds: float
    late_seconds: float
    late_after: timedelta

    def delay(self, waited: timedelta, left: timedelta) -> float:
        """Return the seconds until the next look.

        Delays of ``first, first * growth, first * growth**2, ...`` add up so that each follows from the
        time already waited: no count of looks has to survive. The last look falls on the expiry.
        """
        seconds = waited.total_seconds()
        if waited >= self.late_after:
            delay = self.late_seconds
        else:
            delay = min(self.first_seconds + max(seconds, 0) * (self.growth - 1), self.fresh_seconds)
        return max(min(delay, left.total_seconds()), 1)
