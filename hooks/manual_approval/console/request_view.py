"""One request in the words of its page: how it stands, who has answered, what happened, what speaks for it.

Pure. Whatever AWS or a person wrote stays text, to be escaped where it is drawn.
"""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from hooks.manual_approval.console import charts, wording
from hooks.manual_approval.console.views import Answer, Choices, Dossier, Evidence, ImageChange, TestAccess
from hooks.manual_approval.proceeding import Proceeding
from hooks.manual_approval.request import Kind, Occasion, Version, read
from hooks.manual_approval.rules import Rules
from shared.exhibits import Table

# A page may show this many charts of all evidence together: with all their points, less than a megabyte.
MAX_CHARTS = 40

# ------------------------------------------------------------------------------------------ how it stands


@dataclass(frozen=True, slots=True)
class Band:
    """How a request stands."""

    tone: str
    """``wait``, ``good``, ``bad``, ``back`` or ``plain``."""
    title: str
    sentences: tuple[str, ...]


def is_open(dossier: Dossier) -> bool:
    """Tell whether an answer can still change anything."""
    proceeding = dossier.proceeding
    return dossier.is_waiting and proceeding.outcome == "pending" and proceeding.closed is None


def band(dossier: Dossier, choices: Choices) -> Band:  # noqa: PLR0911  # a table of outcomes
    """Say how a request stands, and what follows from that."""
    proceeding = dossier.proceeding
    outcome = proceeding.closed.outcome if proceeding.closed else proceeding.outcome
    match outcome:
        case "approved":
            return Band("good", "Approved", (*_votes(proceeding), *_then(dossier, "goes on")))
        case "rejected":
            return Band("bad", "Rejected", (*_votes(proceeding), *_then(dossier, "is rolled back")))
        case "expired":
            return Band("back", "Expired", (_came_in_time(proceeding), _after_expiry(proceeding)))
        case "unknown" if dossier.is_waiting:
            return Band("wait", "Waiting, and not to be decided here", (_TOO_LONG,))
        case "pending" if dossier.is_waiting:
            return Band("wait", "Waiting for a decision", (_missing(proceeding, choices),))
        case "pending" | "unknown" | "undecided":
            return _nobody_waits(dossier)
        case _:
            return Band("plain", "Closed", (f"What the request says of it: {outcome}.",))


_TOO_LONG = (
    "Who may decide is too long a list for the request to hold, so this page can't tell which answers count. "
    "The hook can: answer with the AWS CLI, as the technical details say."
)
_ELSEWHERE = (
    "ECS no longer waits at this pause: somebody has continued it or rolled back with AWS's own tools, "
    "or its time was up."
)


def _missing(proceeding: Proceeding, choices: Choices) -> str:
    approved = len(proceeding.finding.votes) if proceeding.finding else 0
    required = proceeding.rules.required if proceeding.rules else 1
    return wording.missing(approved, required, by_viewer=choices.has_approved)


def _nobody_waits(dossier: Dossier) -> Band:
    status = dossier.deployment_status
    if status in wording.UNDER_WAY and dossier.proceeding.is_pause:
        return Band("plain", "Decided elsewhere", (_ELSEWHERE,))
    if status in wording.UNDER_WAY:
        return Band("plain", "No longer waiting", ("The deployment has gone past this stage.",))
    if status in wording.TURNING_BACK:
        turned = f"It is {wording.status(status)}. An answer would change nothing."
        return Band("back", "The deployment turns back", (turned,))
    if not status:
        unknown = "ECS could not be asked about the deployment, or does not know it any more."
        return Band("plain", "Not known to be waiting", (unknown,))
    ended = f"It is {wording.status(status)}, and nobody had decided by then."
    return Band("plain", "The deployment has ended", (ended,))


def _votes(proceeding: Proceeding) -> Iterator[str]:
    """Say whose answers decided it, and of a rejection why."""
    finding = proceeding.finding
    if finding is None or not finding.votes:
        return
    yield f"By {', '.join(wording.who(vote.by, vote.name).name for vote in finding.votes)}."
    if finding.outcome == "rejected" and finding.votes[0].comment:
        yield f"“{finding.votes[0].comment}”"


def _then(dossier: Dossier, course: str) -> Iterator[str]:
    if dossier.is_waiting:
        yield f"The deployment {course} when ECS next asks, in a few minutes at most."
    elif dossier.deployment_status:
        yield f"The deployment is {wording.status(dossier.deployment_status)}."


def _came_in_time(proceeding: Proceeding) -> str:
    finding, rules = proceeding.finding, proceeding.rules
    if finding is None or rules is None or not finding.votes:
        return "Nobody approved in time."
    return f"{len(finding.votes)} of {rules.required} approvals came in time."


def _after_expiry(proceeding: Proceeding) -> str:
    if proceeding.is_pause:
        return "ECS does what the service says for a pause that times out."
    if proceeding.rules and proceeding.rules.on_expiry == "proceed":
        return "The hook lets the deployment go on, as the service's settings say."
    return "The hook refuses, and ECS rolls the deployment back."


# ------------------------------------------------------------------------------------------------ answers


@dataclass(frozen=True, slots=True)
class Words:
    """What deciding is called."""

    approve: str
    reject: str


HOOK_WORDS = Words("Approve", "Reject")
PAUSE_WORDS = Words("Continue", "Roll back")


def effect(proceeding: Proceeding, choices: Choices, words: Words) -> str:
    """Say what a button does before it is pressed."""
    rejects = f"{words.reject}, and ECS moves everything back to blue."
    if choices.has_approved:
        return rejects
    condition = "" if proceeding.missing <= 1 else " once enough people have agreed"
    return f"{words.approve}, and the deployment goes on{condition}. {rejects}"


@dataclass(frozen=True, slots=True)
class AnswerView:
    """An answer, whether it counts or not."""

    word: str
    tone: str
    who: wording.Who
    at: datetime
    comment: str
    objection: str


def answers(dossier: Dossier) -> list[AnswerView]:
    """Return who has answered what."""
    words = PAUSE_WORDS if dossier.proceeding.is_pause else HOOK_WORDS
    return [_answer(answer, words) for answer in dossier.answers]


def _answer(answer: Answer, words: Words) -> AnswerView:
    word, tone = wording.outcome(answer.what)
    if words is PAUSE_WORDS:
        word = {"approved": words.approve, "rejected": words.reject}.get(answer.what, word)
    return AnswerView(
        word=word,
        tone="plain" if answer.objection else tone,
        who=wording.who(answer.who, answer.name),
        at=answer.at,
        comment=answer.comment,
        objection=wording.objection(answer.objection),
    )


# ---------------------------------------------------------------------------------------------- time line


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, or is to come (``ahead``)."""

    at: datetime
    text: str
    tone: str = "plain"


_TOLD = {
    Occasion.REQUEST: "People were told",
    Occasion.HALF_TIME: "People were reminded at half time",
    Occasion.LAST_CALL: "People were reminded for the last time",
}


def events(dossier: Dossier) -> list[Event]:
    """Return everything about a request in the order of time, what is still to come last."""
    proceeding = dossier.proceeding
    happened = [Event(proceeding.asked.at, "Paused, and asked" if proceeding.is_pause else "The hook asked")]
    for answer in answers(dossier):
        counts = "; does not count" if answer.objection else ""
        happened.append(Event(answer.at, f"{answer.word}: {answer.who.name}{counts}", answer.tone))
    for one in dossier.evidence:
        word, tone = wording.verdict(one.answer, one.would_refuse)
        happened.append(Event(one.at, f"{wording.hook(one.hook)}: {word.lower()}", tone))
    happened += filter(None, map(_besides, proceeding.history))
    happened.sort(key=lambda event: event.at)
    return [*happened, *_ahead(dossier)]


def _besides(version: Version) -> Event | None:
    """Return what a version tells that is no answer."""
    statement = read(version.text)
    told = statement.telling
    if told is not None and told.done and told.what in _TOLD:
        where = f" ({', '.join(told.channels)})" if told.channels else ""
        return Event(version.at, f"{_TOLD[Occasion(told.what)]}{where}")
    if statement.kind is Kind.CLOSED:
        return Event(version.at, f"Closed: {statement.outcome}")
    return None


def _ahead(dossier: Dossier) -> Iterator[Event]:
    if not is_open(dossier) or dossier.proceeding.finding is None:
        return
    yield Event(dossier.proceeding.finding.expires_at, "This request expires", "ahead")
    if dossier.ecs_deadline is not None:
        yield Event(dossier.ecs_deadline, "ECS itself ends the wait", "ahead")


# ----------------------------------------------------------------------------------------------- evidence


@dataclass(frozen=True, slots=True)
class ImageView:
    """What one container runs on either side."""

    container: str
    blue: tuple[str, str]
    """Registry, and the rest; both empty where there is none."""
    blue_digest: str
    green: tuple[str, str]
    green_digest: str
    word: str
    tone: str


def image(change: ImageChange) -> ImageView:
    """Say what becomes of a container's image."""
    if change.is_same:
        word, tone = "the same", "plain"
    elif not change.blue:
        word, tone = "new", "change"
    else:
        word, tone = ("changed" if change.green else "removed"), "change"
    return ImageView(
        container=change.container,
        blue=wording.image(change.blue),
        blue_digest=change.blue_digest,
        green=wording.image(change.green),
        green_digest=change.green_digest,
        word=word,
        tone=tone,
    )


@dataclass(frozen=True, slots=True)
class EvidenceView:
    """What another hook found."""

    hook: str
    stage: str
    step: str
    at: datetime
    word: str
    tone: str
    reason: str
    would_refuse: str
    drawings: list[charts.Drawing]
    tables: list[Table]


def evidence(found: Sequence[Evidence]) -> list[EvidenceView]:
    """Lay out what the other hooks found."""
    views: list[EvidenceView] = []
    room = MAX_CHARTS
    for one in found:
        drawings = charts.drawings(one.charts[:room])
        room -= len(drawings)
        word, tone = wording.verdict(one.answer, one.would_refuse)
        views.append(
            EvidenceView(
                hook=wording.hook(one.hook),
                stage=one.stage,
                step=one.step,
                at=one.at,
                word=word,
                tone=tone,
                reason=one.reason,
                would_refuse=one.would_refuse,
                drawings=drawings,
                tables=charts.tables(one.tables),
            )
        )
    return views


def curl(access: TestAccess) -> str:
    """Return a command that reaches green."""
    address = access.address if "://" in access.address else f"http://{access.address}"
    headers = [f"-H {shlex.quote(f'{name}: {value or 1}')}" for name, value in access.headers]
    # A pattern of paths ends in a star.
    return " ".join(["curl", "-i", *headers, shlex.quote(address.rstrip("*"))])


# -------------------------------------------------------------------------------------- technical details

HOOK_NOTE = (
    "Whoever may write the parameter can answer there, with AWS credentials of their own. "
    "It counts by the same rules."
)
PAUSE_NOTE = (
    "A version of the parameter counts by the same rules as a button here. Continuing the deployment itself "
    "does not: it goes past the rules, and whoever may call it decides alone."
)


def commands(proceeding: Proceeding) -> list[tuple[str, str]]:
    """Return commands that answer without this console, each after what it does."""
    region = f"--region {shlex.quote(proceeding.deployment.region)}"
    put = f"aws ssm put-parameter {region} --overwrite --name {shlex.quote(proceeding.name)} --value"
    rejected = f'{{"state": "REJECTED", "comment": "why", "answers": {proceeding.asked.number}}}'
    listed = [("Approve", f"{put} APPROVED"), ("Reject", f"{put} {shlex.quote(rejected)}")]
    if proceeding.is_pause:
        arn, hook = shlex.quote(str(proceeding.deployment)), shlex.quote(proceeding.part)
        # Without an action ECS continues, so it is always said.
        act = f"aws ecs continue-service-deployment {region} --service-deployment-arn {arn} --hook-id {hook}"
        listed += [
            ("Continue, past the rules", f"{act} --action CONTINUE"),
            ("Roll back, past the rules", f"{act} --action ROLLBACK"),
        ]
    return listed


def as_written(rules: Rules | None) -> list[tuple[str, tuple[str, ...]]]:
    """Return the patterns of the rules as the request has them."""
    if rules is None:
        return []
    electorate = rules.electorate
    several = len(electorate.allowed) > 1
    listed = [
        (f"Allowed, list {number}" if several else "Allowed", patterns)
        for number, patterns in enumerate(electorate.allowed, start=1)
    ]
    listed += [
        ("Excluded", electorate.excluded),
        ("One person a session", electorate.personal_sessions),
        ("Console", (electorate.console,) if electorate.console else ()),
    ]
    return [(label, patterns) for label, patterns in listed if patterns]
