"""The console's pages: view models in, HTML out.

Pure but for reading templates, style and icon from this package. What comes in may hold anything that AWS or
a person wrote, and there are two lines of defence: Jinja2 escapes every value, and before that ``_finished``
takes away what acts on a screen. No template marks anything as safe; none has a script, an inline style or
anything from elsewhere, so that ``default-src 'none'`` holds.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from hooks.manual_approval.archive import Entry
from hooks.manual_approval.console import wording
from hooks.manual_approval.console.views import Choices, Dossier, History, Overview, Viewer, Waiting
from hooks.manual_approval.request import MAX_COMMENT_CHARACTERS
from shared.clock import timestamp
from shared.legible import legible, without_acting
from shared.lifecycle import ServiceDeploymentArn

_HERE = Path(__file__).parent

STYLE = (_HERE / "static/style.css").read_text("utf-8")
ICON = (_HERE / "static/icon.svg").read_text("utf-8")


def _versioned(path: str, content: str) -> str:
    """Return an address that changes with what is there, so that it may be cached for long."""
    return f"{path}?v={hashlib.sha256(content.encode()).hexdigest()[:12]}"


STYLE_URL = _versioned("/style.css", STYLE)
ICON_URL = _versioned("/icon.svg", ICON)

# What is so near to its end stands out.
SOON = timedelta(hours=1)

# A line of the list names these; the request itself has all.
MAX_IMAGES_IN_LINE = 2
MAX_LINE_CHARACTERS = 120

NOTICES = {
    "approve": "Your approval is recorded.",
    "reject": "Your rejection is recorded.",
    "extend": "The expiry is put off.",
    "stop": "ECS is told to stop this deployment and roll it back.",
}
"""What to say after an action, by its name."""


def overview_page(overview: Overview, viewer: Viewer, now: datetime) -> str:
    """Draw the list of what waits for a decision."""
    return _page(
        "overview.html",
        title="Pending",
        here="pending",
        viewer=viewer,
        now=now,
        waiting=[_row(one, now) for one in overview.waiting],
        others=[_row(one, now) for one in overview.others],
        left_out=overview.left_out,
        problems=overview.problems,
    )


def history_page(history: History, viewer: Viewer, now: datetime) -> str:
    """Draw what was decided on one day."""
    return _page(
        "history.html",
        title=f"History of {wording.long_day(history.day)}",
        here="history",
        viewer=viewer,
        now=now,
        day=wording.long_day(history.day),
        earlier=_day_link(history.earlier),
        later=_day_link(history.later),
        entries=[_past(entry) for entry in history.entries],
        left_out=history.left_out,
        problems=history.problems,
    )


def request_page(
    dossier: Dossier,
    choices: Choices,
    viewer: Viewer,
    now: datetime,
    *,
    notice: str = "",
    problem: str = "",
    comment: str = "",
) -> str:
    """Draw one request in full.

    Parameters
    ----------
    notice, problem
        What came of what the viewer has just done, in a sentence.
    comment
        What they had typed, where it was not taken.
    """
    # The list, which is what most begin with, needs none of it.
    from hooks.manual_approval.console import request_view  # noqa: PLC0415

    proceeding = dossier.proceeding
    deployment, step = proceeding.deployment, wording.step_of(proceeding.part)
    band, is_open = request_view.band(dossier, choices), request_view.is_open(dossier)
    expires_at = proceeding.finding.expires_at if proceeding.finding else now
    path = request_path(deployment, proceeding.part)
    words = request_view.PAUSE_WORDS if proceeding.is_pause else request_view.HOOK_WORDS
    return _page(
        "request.html",
        title=f"{'Problem: ' if problem else ''}{deployment.service}: {band.title}",
        here="",
        viewer=viewer,
        now=now,
        notice=notice,
        problem=problem,
        comment=comment,
        dossier=dossier,
        proceeding=proceeding,
        deployment=deployment,
        choices=choices,
        question=wording.question(proceeding.statement.stage, step),
        situation=wording.situation(proceeding.statement.stage, step) if dossier.is_waiting else "",
        strategy=wording.strategy(dossier.strategy),
        status=wording.status(dossier.deployment_status) if dossier.deployment_status else "not known",
        band=band,
        is_open=is_open,
        may_decide=is_open and not choices.why_not,
        expires_at=expires_at,
        left=wording.time_left(expires_at, now),
        is_soon=expires_at - now < SOON,
        extend_to=[_until(moment, now) for moment in choices.extend_to],
        answer_path=f"{path}/answer",
        stop_path=f"/deployments/{_quoted(deployment.cluster, deployment.service, deployment.id)}/stop",
        words=words,
        effect=request_view.effect(proceeding, choices, words),
        max_comment=MAX_COMMENT_CHARACTERS,
        rules=wording.who_may_decide(proceeding.rules) if proceeding.rules else [],
        images=[request_view.image(image) for image in dossier.images],
        evidence=request_view.evidence(dossier.evidence),
        test_access=[(one, request_view.curl(one)) for one in dossier.test_access],
        answers=request_view.answers(dossier),
        events=request_view.events(dossier),
        as_written=request_view.as_written(proceeding.rules),
        shell_note=request_view.PAUSE_NOTE if proceeding.is_pause else request_view.HOOK_NOTE,
        commands=request_view.commands(proceeding),
    )


def _until(moment: datetime, now: datetime) -> tuple[str, str]:
    return timestamp(moment), f"{wording.clock(moment, now)}, in {wording.span(moment - now)}"


def signed_out_page(to: str) -> str:
    """Draw what somebody sees who is not signed in.

    Parameters
    ----------
    to
        Path to go on to once they are.
    """
    where = "the page you asked for" if to != "/" else "the list of what waits for a decision"
    return _page(
        "message.html",
        title="Sign in",
        here="",
        viewer=None,
        status="",
        heading="Approve ECS deployments",
        sentences=[f"Sign in with your organisation's account to go on to {where}."],
        leads=[(f"/sign-in?to={quote(to, safe='/', errors='replace')}", "Sign in", "button")],
    )


def error_page(status: int, title: str, text: str, viewer: Viewer | None) -> str:
    """Draw why something was not done, and where to go on."""
    leads = [("/", "What waits for a decision", "button"), ("/history", "History", "")]
    if viewer is None:
        leads = [("/sign-in?to=/", "Sign in", "button")]
    return _page(
        "message.html",
        title=title,
        here="",
        viewer=viewer,
        status=f"Error {int(status)}",
        heading=title,
        sentences=[text, *_ADVICE.get(int(status), ())],
        leads=leads,
    )


_ADVICE = {
    409: ("Open the request again to see how it stands.",),
    429: ("Nothing was changed. Wait a few seconds, then load the page again.",),
    503: ("Nothing is lost: requests wait until they expire. The command line works meanwhile.",),
}


def request_path(deployment: ServiceDeploymentArn, part: str) -> str:
    """Return the path of a request's page."""
    parts = (deployment.cluster, deployment.service, deployment.id, *([part] if part else []))
    return f"/requests/{_quoted(*parts)}"


def _quoted(*parts: str) -> str:
    return "/".join(quote(part, safe="", errors="replace") for part in parts)


# ------------------------------------------------------------------------------------------------- list


@dataclass(frozen=True, slots=True)
class _Images:
    """What green runs, in a line."""

    shown: list[tuple[str, str]]
    """Name, and start of the digest, which may be empty."""
    more: int


@dataclass(frozen=True, slots=True)
class _Row:
    deployment: ServiceDeploymentArn
    path: str
    question: str
    is_pause: bool
    images: _Images
    expires_at: datetime | None
    left: str
    is_open: bool
    is_soon: bool
    state: tuple[str, str]
    """In words, and what there is to add."""


def _row(waiting: Waiting, now: datetime) -> _Row:
    expires_at = waiting.expires_at
    return _Row(
        deployment=waiting.deployment,
        path=request_path(waiting.deployment, waiting.part),
        question=wording.question(waiting.stage, waiting.step),
        is_pause=waiting.is_pause,
        images=_in_line(waiting.images),
        expires_at=expires_at,
        left=_capitalised(wording.time_left(expires_at, now)) if expires_at else "",
        is_open=expires_at is not None and expires_at > now,
        is_soon=expires_at is not None and expires_at - now < SOON,
        state=_state(waiting),
    )


def _state(waiting: Waiting) -> tuple[str, str]:
    match waiting.state:
        case "pending":
            return "Waiting", ""
        case "decided":
            return "Decided", "its deployment goes on"
        case "ended":
            return "Deployment ended", wording.status(waiting.deployment_status)
        case other:
            return other, ""


def _in_line(images: Sequence[str]) -> _Images:
    shown = [legible(image, MAX_LINE_CHARACTERS).partition("@") for image in images[:MAX_IMAGES_IN_LINE]]
    more = max(len(images) - MAX_IMAGES_IN_LINE, 0)
    return _Images([(name, digest.removeprefix("sha256:")) for name, _, digest in shown], more)


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


# ---------------------------------------------------------------------------------------------- history


@dataclass(frozen=True, slots=True)
class _Said:
    what: str
    who: wording.Who
    at: datetime
    comment: str


@dataclass(frozen=True, slots=True)
class _Past:
    deployment: ServiceDeploymentArn
    part: str
    stage: str
    question: str
    outcome: tuple[str, str]
    status: str
    asked_at: datetime
    ended_at: datetime
    required: int
    images: _Images
    answers: list[_Said]


def _past(entry: Entry) -> _Past:
    return _Past(
        deployment=entry.deployment,
        part=entry.part,
        stage=entry.stage,
        question=wording.question(entry.stage, wording.step_of(entry.part)),
        outcome=wording.outcome(entry.outcome),
        status=wording.status(entry.deployment_status),
        asked_at=entry.asked_at,
        ended_at=entry.ended_at,
        required=entry.required,
        images=_in_line(entry.images),
        answers=[
            _Said(wording.outcome(one.what)[0], wording.who(one.who, one.name), one.at, one.comment)
            for one in entry.answers
        ],
    )


def _day_link(day: date | None) -> tuple[str, str] | None:
    return (f"/history/{day.isoformat()}", wording.long_day(day)) if day else None


# ---------------------------------------------------------------------------------------------- templates


def _finished(value: Any) -> Any:
    """Take away from every value what acts on a screen; what a macro has drawn has been here already."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return without_acting(value)
    return value


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finished,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals |= {"style_url": STYLE_URL, "icon_url": ICON_URL}
    environment.filters |= {
        "iso": timestamp,
        "clock": wording.clock,
        "short_digest": wording.short_digest,
        "cut": legible,
    }
    return environment


def _page(template: str, **values: Any) -> str:
    return _templates().get_template(template).render(**values)
