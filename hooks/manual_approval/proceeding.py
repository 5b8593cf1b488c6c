"""One request as it stands, for whoever looks at it or answers it: console, command line, sweeper.

::

    read_proceeding ─▶ Proceeding: what was asked, by which rules, what the answers amount to so far
    answer(proceeding, ...) ─▶ writes a version ─▶ read_proceeding again: what came of it

The outcome is the hook's own (``decision.decide``), over the same versions. Between looking and writing
somebody else may have decided, and Parameter Store has no conditional write: so what an answer came to is
read afterwards, from the order in which AWS numbered them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from hooks.manual_approval.approvers import Person, matches_any, same_role
from hooks.manual_approval.decision import EXPIRED, Finding, decide
from hooks.manual_approval.parameter_store import ParameterStore
from hooks.manual_approval.request import (
    MAX_GROUPS,
    Kind,
    Statement,
    Version,
    is_request_for,
    parameter_name,
    read,
    rules_in,
    write_answer,
)
from hooks.manual_approval.rules import Rules, read_rules
from shared.clock import timestamp
from shared.errors import HookError, Misconfigured, Transient
from shared.lifecycle import ServiceDeploymentArn

PAUSE_PREFIX = "ecs-pause-"

# Of the 4096 bytes of an answer, what groups may take, so that a comment still has room.
MAX_GROUPS_BYTES = 1500


class NotAsked(HookError):
    """There is no request of the hook's own under this name."""


class NotPossible(HookError):
    """The answer would come to nothing; the text says why, for whoever gave it."""


@dataclass(frozen=True, slots=True)
class Askers:
    """Whose requests are believed, by ARN of a role or of a session of it."""

    hook: str
    pause: str = ""
    """Of the function that asks for PAUSE hooks."""

    def of(self, part: str) -> str:
        return self.pause if part.startswith(PAUSE_PREFIX) else self.hook


@dataclass(frozen=True, slots=True)
class Proceeding:
    """A request and its answers."""

    name: str
    """Of the parameter."""
    deployment: ServiceDeploymentArn
    part: str
    """``""``, ``step-from-10``, or the id of a PAUSE hook."""
    history: Sequence[Version]
    asked: Version
    statement: Statement
    """What was asked, read."""
    asker: str
    rules: Rules | None
    """``None`` where they are too long for the request to hold them."""
    finding: Finding | None
    """``None`` without rules."""
    closed: Statement | None
    """What the hook itself says that it came to; ``None`` while it has not."""

    @property
    def is_pause(self) -> bool:
        return self.part.startswith(PAUSE_PREFIX)

    @property
    def outcome(self) -> str:
        """``pending``, ``approved``, ``rejected``, ``expired``, or ``unknown``."""
        return self.finding.outcome if self.finding else "unknown"

    def objection(self, caller: str, person: Person | None = None) -> str | None:
        """Return why an answer would not count now, or ``None``."""
        if self.rules is None or self.finding is None:
            return "who may decide is too long a list to be in the request; answer with the AWS CLI"
        if self.finding.outcome != "pending":
            return f"it is {self.finding.outcome}"
        electorate = self.rules.electorate
        if objection := electorate.objection(caller, person):
            return objection
        # The hook would take it for an answer of the console's role, whoever it names.
        if person is not None and not electorate.is_console(caller):
            return "the hook was deployed without this console, and would not believe whom it names"
        return None

    def has_approved(self, caller: str, person: Person | None = None) -> bool:
        """Tell whether this person's approval is among those that count so far."""
        if self.rules is None or self.finding is None or self.outcome == "rejected":
            return False
        mine = self.rules.electorate.voice(caller, person).one
        return any(vote.voice == mine for vote in self.finding.votes)

    @property
    def extendable_to(self) -> datetime | None:
        """When it may expire at the latest; ``None`` where that can't be put off any further."""
        if self.rules is None or self.finding is None:
            return None
        latest = (self.asked.at + self.rules.extendable_to).replace(microsecond=0)
        return latest if latest > self.finding.expires_at else None

    def objection_to_extension(self, moment: datetime | None) -> str | None:
        """Return why an extension to this time would come to nothing, or to something else than it says."""
        latest = self.extendable_to
        if latest is None or self.finding is None:
            return "it can't be put off any further"
        if moment is None or not self.finding.expires_at < moment.replace(microsecond=0) <= latest:
            now, then = timestamp(self.finding.expires_at), timestamp(latest)
            return f"it can be put off to a time after {now}, and to {then} at the latest"
        return None

    @property
    def missing(self) -> int:
        """How many approvals are still needed."""
        if self.rules is None or self.finding is None:
            return 0
        return max(self.rules.required - len(self.finding.votes), 0) if self.outcome == "pending" else 0


def read_proceeding(
    prefix: str, deployment: ServiceDeploymentArn, part: str, askers: Askers, now: datetime
) -> Proceeding:
    """Read a request; raises :class:`NotAsked` when the hook never wrote one there."""
    name = parameter_name(prefix, deployment, part)
    return proceeding_of(name, deployment, part, ParameterStore(name).history(), askers, now)


def proceeding_of(  # noqa: PLR0917  # what is read, whose it may be, and when: each has a type of its own
    name: str,
    deployment: ServiceDeploymentArn,
    part: str,
    history: Sequence[Version],
    askers: Askers,
    now: datetime,
) -> Proceeding:
    """Make out what a history amounts to."""
    asker = askers.of(part)
    pause = part if part.startswith(PAUSE_PREFIX) else ""
    own = [version for version in history if asker and same_role(version.by, asker)]
    asked = next((version for version in own if is_request_for(version, deployment, pause)), None)
    if asked is None:
        raise NotAsked(f"nobody has asked for {name}")
    if history[0].number != 1:
        # As the hook does: what is gone may have been a rejection.
        raise Misconfigured(f"{name}: versions before {history[0].number} are gone, and with them the proof")
    try:
        rules = read_rules(rules_in(asked.text))
    except ValueError:
        rules = None
    finding = decide(history, asked, asker, rules, now) if rules else None
    closings = [statement for version in own if (statement := read(version.text)).kind is Kind.CLOSED]
    if finding and finding.outcome != EXPIRED:
        # An answer came first.
        closings = [statement for statement in closings if statement.outcome != EXPIRED]
    return Proceeding(
        name=name,
        deployment=deployment,
        part=part,
        history=history,
        asked=asked,
        statement=read(asked.text),
        asker=asker,
        rules=rules,
        finding=finding,
        closed=closings[-1] if closings else None,
    )


def answer(
    proceeding: Proceeding,
    kind: Kind,
    *,
    comment: str,
    caller: str,
    askers: Askers,
    prefix: str,
    now: datetime,
    person: Person | None = None,
    expires_at: datetime | None = None,
) -> Proceeding:
    """Write an answer, and return what the request amounts to with it.

    Parameters
    ----------
    proceeding
        Read anew by whoever calls: the request that the person has seen.
    caller
        ARN of the session that writes.
    person
        Whom the console has signed in; ``None`` where the caller answers for itself.
    expires_at
        Of an extension.

    Raises
    ------
    NotPossible
        When the answer would not count; nothing is written then.
    """
    told = _told(person, proceeding.rules) if person and proceeding.rules else None
    # By all that is known of the person, and by what of it there is room to write.
    if objection := proceeding.objection(caller, person) or proceeding.objection(caller, told):
        raise NotPossible(objection)
    if kind is Kind.APPROVED and proceeding.has_approved(caller, person):
        raise NotPossible("you have approved it already; it takes somebody else now")
    if kind is Kind.EXTENDED and (objection := proceeding.objection_to_extension(expires_at)):
        raise NotPossible(objection)
    try:
        text = write_answer(
            kind,
            comment=comment,
            deployment=proceeding.deployment,
            answers=proceeding.asked.number,
            person=told,
            stage=proceeding.statement.stage,
            # Of other answers for the lists, which see the latest version alone.
            expires_at=expires_at or (proceeding.finding.expires_at if proceeding.finding else None),
        )
    except ValueError as error:
        raise NotPossible(str(error)) from error
    number = ParameterStore(proceeding.name).append(text)
    after = read_proceeding(prefix, proceeding.deployment, proceeding.part, askers, now)
    if after.history[-1].number < number:
        raise Transient("the answer is written; Parameter Store does not show it yet")
    return after


def _told(person: Person, rules: Rules) -> Person:
    """Leave out groups that there is no room for: those last that let the person decide."""
    deciding = (
        next((group for group in person.groups if matches_any(group, patterns)), None)
        for patterns in rules.electorate.allowed
    )
    room = MAX_GROUPS_BYTES
    groups: list[str] = []
    for group in dict.fromkeys([*filter(None, deciding), *person.groups]):
        room -= len(group.encode())
        if room >= 0 and len(groups) < MAX_GROUPS:
            groups.append(group)
    return replace(person, groups=tuple(groups))
