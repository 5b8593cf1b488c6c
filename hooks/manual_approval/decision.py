"""The decision: what the history of a request amounts to, at a given time.

Versions are read in the order AWS numbered them, and the first that settles the matter settles it:
who answers after that changes nothing. So every call that sees the same versions says the same, however
often and in whatever order calls arrive, and so do the console and the command line.

Whether an answer or the expiry came first is settled in the same way: the hook writes that a request has
expired, and what stands before that counts. Where an extension stands before that, it has not expired.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from hooks.manual_approval.approvers import same_role
from hooks.manual_approval.request import ANSWERS, Kind, Statement, Version, read
from hooks.manual_approval.rules import Rules
from shared.clock import timestamp
from shared.errors import shown

type Outcome = Literal["approved", "rejected", "expired", "pending"]

EXPIRED = "expired"
"""The outcome in the version that settles an expiry."""


@dataclass(frozen=True, slots=True)
class Vote:
    """An answer that counted."""

    by: str
    """An ARN, or a person of the console."""
    at: datetime
    comment: str
    name: str = ""
    """For people to read."""
    voice: str = ""
    """Equal for what counts as one person."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What was meant as an answer, and why it does not count."""

    number: int
    """Of the version."""
    objection: str = ""
    """Empty where it counts."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a request amounts to."""

    outcome: Outcome
    expires_at: datetime
    votes: tuple[Vote, ...] = ()
    """The approvals so far, or the one rejection."""
    remarks: tuple[str, ...] = field(default=())
    """Answers that did not count, and why; for the log."""
    extensions: tuple[Vote, ...] = field(default=())
    """Who has put the expiry off."""
    heard: tuple[Heard, ...] = field(default=())
    """All that was meant as an answer, until one settled the matter."""
    settled: bool = False
    """Whether no version that is still to come can change it. Time alone settles nothing: an answer may have
    been in time, and not be seen yet."""


def decide(history: Sequence[Version], asked: Version, hook: str, rules: Rules, now: datetime) -> Finding:
    """Count the answers to a request.

    Parameters
    ----------
    history
        All versions of the parameter.
    asked
        The one that is the request. Nothing before it counts, whatever it says.
    hook
        Whoever asks, by a session or its role: what it wrote is never an answer.
    """
    count = _Count(asked, hook, rules)
    for version in sorted(history, key=lambda version: version.number):
        if version.number > asked.number and (outcome := count.take(version)):
            return count.finding(outcome, settled=True)
    return count.finding("expired" if now >= count.expires_at else "pending", settled=False)


class _Count:
    """The count of one request's answers, as far as its versions were taken."""

    def __init__(self, asked: Version, hook: str, rules: Rules) -> None:
        self.asked = asked
        self.deployment = read(asked.text).deployment
        self.hook = hook
        self.rules = rules
        self.expires_at = asked.at + rules.expires_after
        self.approvals: dict[str, Vote] = {}
        self.rejection: Vote | None = None
        self.extensions: list[Vote] = []
        self.remarks: list[str] = []
        self.heard: list[Heard] = []

    def finding(self, outcome: Outcome, *, settled: bool) -> Finding:
        return Finding(
            outcome,
            self.expires_at,
            (self.rejection,) if self.rejection else tuple(self.approvals.values()),
            remarks=tuple(self.remarks),
            extensions=tuple(self.extensions),
            heard=tuple(self.heard),
            settled=settled,
        )

    def take(self, version: Version) -> Outcome | None:
        """Take the next version; return the outcome, where this one settles it."""
        statement = read(version.text)
        own = same_role(version.by, self.hook)
        if own and settles_expiry(statement, self.expires_at):
            return "expired"
        if objection := self._objection(version, statement, own=own):
            self.heard.append(Heard(version.number, objection))
            self.remarks.append(f"version {version.number} by {version.by}: {objection}")
            return None
        if statement.kind not in ANSWERS:
            return None
        self.heard.append(Heard(version.number))
        return self._hear(version, statement)

    def _objection(self, version: Version, statement: Statement, *, own: bool) -> str | None:
        """Return why something that may have been meant as an answer is not counted."""
        if statement.kind not in ANSWERS:
            misspelt = statement.kind is Kind.NOT_UNDERSTOOD and not own
            return "not understood; write APPROVED or REJECTED" if misspelt else None
        if own:
            return "does not count, it is the hook's own role"
        return self._misdirection(statement) or self._inadmissibility(version, statement)

    def _misdirection(self, statement: Statement) -> str | None:
        # Whatever says what it answers answers nothing else: a form that was opened before the request was
        # deleted, and asked anew.
        number = self.asked.number
        if statement.answers is not None and statement.answers != number:
            return f"answers version {shown(statement.answers)}, and the request is version {number}"
        if statement.deployment.startswith("arn:") and statement.deployment != self.deployment:
            return f"is about another deployment, {shown(statement.deployment)}"
        return None

    def _inadmissibility(self, version: Version, statement: Statement) -> str | None:
        if version.at >= self.expires_at:
            return "came after the request had expired"
        if objection := self.rules.electorate.objection(version.by, statement.person):
            return f"does not count, {objection}"
        if statement.kind is Kind.EXTENDED and self._put_off(statement) <= self.expires_at:
            return f"puts nothing off, it expires at {timestamp(self.expires_at)}"
        return None

    def _put_off(self, extension: Statement) -> datetime:
        assert extension.expires_at is not None
        return min(extension.expires_at, self.asked.at + self.rules.extendable_to)

    def _hear(self, version: Version, statement: Statement) -> Outcome | None:
        """Count an answer."""
        voice = self.rules.electorate.voice(version.by, statement.person)
        person = statement.person if self.rules.electorate.is_console(version.by) else None
        name = person.name if person else ""
        vote = Vote(voice.identity, version.at, statement.comment, name, voice.one)
        if statement.kind is Kind.REJECTED:
            self.rejection = vote
            return "rejected"
        if statement.kind is Kind.EXTENDED:
            self.expires_at = self._put_off(statement)
            self.extensions.append(vote)
            return None
        self.approvals.setdefault(voice.one, vote)
        return "approved" if len(self.approvals) >= self.rules.required else None


def settles_expiry(statement: Statement, expires_at: datetime) -> bool:
    """Tell whether what the hook wrote settles that a request expired then, and not only before."""
    if statement.kind is not Kind.CLOSED or statement.outcome != EXPIRED:
        return False
    # It was written in whole seconds.
    return statement.expires_at is None or statement.expires_at >= expires_at.replace(microsecond=0)


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
