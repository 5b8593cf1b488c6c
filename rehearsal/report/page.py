"""One HTML page of any number of outcomes: self-contained, without scripts, for screen and paper.

Nothing in it asks the network for anything, and its own content security policy says so too: what
people and hooks wrote is text on this page, whatever it looks like.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from rehearsal.outcome import (
    ActorSpoke,
    Happening,
    HookCalled,
    Outcome,
    PauseChanged,
    StageEntered,
    StatusChanged,
)
from rehearsal.report.decisions import Decision, decisions
from rehearsal.report.lanes import (
    Diagram,
    Segment,
    deployments_of,
    diagram,
    has_blue,
    scale_of,
    tone,
    traffic,
)
from rehearsal.report.runs import OpenRuns
from rehearsal.report.virtual_time import clock, duration
from rehearsal.report.wording import percent, showable, shown, why

# A page of a thousand diagrams opens in no browser; the overview lists every run all the same.
MAX_IN_DETAIL = 60
# Up to here decisions are unfolded, so that a small rehearsal reads without clicking.
MAX_UNFOLDED = 3
MAX_EVENTS = 1_500


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the list of everything that happened."""

    at: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Mini:
    """The overview's picture of a run: production traffic, waits, and the end."""

    traffic: list[Segment]
    waits: list[Segment]
    summary: str


@dataclass(frozen=True, slots=True)
class ScenarioView:
    """What the template shows of one outcome."""

    anchor: str
    outcome: Outcome
    tone: str
    took: str
    calls: int
    switches: list[tuple[str, str]]
    mini: Mini
    in_detail: bool
    diagram: Diagram | None
    summary: str
    decisions: list[Decision]
    unfolded: bool
    events: list[Event]
    events_left_out: int


def write_page(outcomes: Sequence[Outcome], file: Path) -> None:
    """Write the report of *outcomes* to *file*; missing folders are made.

    Of more than sixty outcomes the page tells the first sixty in full, those that did not end as
    expected before all others, and lists the rest.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(page(outcomes), encoding="utf-8")


def page(outcomes: Sequence[Outcome]) -> str:
    """Return the report of *outcomes* as HTML; the same outcomes give the same bytes."""
    by_need = sorted(range(len(outcomes)), key=lambda index: (outcomes[index].as_expected, index))
    in_detail = set(by_need[:MAX_IN_DETAIL])
    views = [_view(outcome, index, in_detail=index in in_detail) for index, outcome in enumerate(outcomes)]
    return TEMPLATES.get_template("page.html").render(
        views=views,
        held=sum(outcome.as_expected for outcome in outcomes),
        virtual=duration(sum(outcome.duration_seconds for outcome in outcomes)),
        calls=sum(view.calls for view in views),
        left_out=len(outcomes) - len(in_detail),
        started_at=outcomes[0].started_at.strftime("%Y-%m-%d %H:%M %Z").strip() if outcomes else "",
    )


def _view(outcome: Outcome, index: int, *, in_detail: bool) -> ScenarioView:
    made = decisions(outcome) if in_detail else []
    events = _events(outcome) if in_detail else []
    return ScenarioView(
        anchor=f"scenario-{index + 1}",
        outcome=outcome,
        tone=tone(outcome.status),
        took=duration(outcome.duration_seconds),
        calls=len(outcome.calls),
        switches=sorted(outcome.switches.items()),
        mini=_mini(outcome),
        in_detail=in_detail,
        diagram=diagram(outcome) if in_detail else None,
        summary=_summary(outcome),
        decisions=made,
        unfolded=len(made) <= MAX_UNFOLDED,
        events=events[:MAX_EVENTS],
        events_left_out=max(len(events) - MAX_EVENTS, 0),
    )


def _mini(outcome: Outcome) -> Mini:
    scale = scale_of(outcome)
    deployments = deployments_of(outcome.happenings)
    own = [h for h in outcome.happenings if not isinstance(h, ActorSpoke)]
    waits: list[Segment] = []
    runs = OpenRuns()
    for call in outcome.calls:
        run = runs.add(call)
        if run.answered and len(run.calls) > 1:
            x, width = scale.span(run.first.at, run.last.at)
            waits.append(Segment(x, width, tone(run.last.answer), ""))
    for run in runs.open():
        x, width = scale.span(run.first.at, run.last.at)
        waits.append(Segment(x, width, "waiting", ""))
    first = not has_blue(own)
    steps = traffic(own, scale, "production", first=first) if len(deployments) else []
    return Mini(steps, waits, _summary(outcome))


def _summary(outcome: Outcome) -> str:
    """Say in a sentence what the diagram shows."""
    stages = len([h for h in outcome.happenings if isinstance(h, StageEntered)])
    hooks = ", ".join(dict.fromkeys(shown(call.hook) for call in outcome.calls)) or "no hook"
    took, calls = duration(outcome.duration_seconds), len(outcome.calls)
    return (
        f"{outcome.strategy} deployment of {outcome.service}: {stages} stages "
        f"in {took}, {calls} {'call' if calls == 1 else 'calls'} of {hooks}, ended as {outcome.status}."
    )


def _events(outcome: Outcome) -> list[Event]:
    numbers = {
        deployment: number for number, deployment in enumerate(deployments_of(outcome.happenings), start=1)
    }
    events: list[Event] = []
    for happening in outcome.happenings:
        kind, text = _told(happening)
        if not isinstance(happening, ActorSpoke) and len(numbers) > 1:
            text = f"[{numbers[happening.deployment]}] {text}"
        events.append(Event(clock(happening.at), kind, text))
    return events


def _told(happening: Happening) -> tuple[str, str]:
    match happening:
        case ActorSpoke(actor=actor, text=text):
            return "actor", f"{shown(actor)}: {shown(text)}"
        case StatusChanged(status=status, reason=reason):
            return "status", shown(status) + (f": {shown(reason)}" if reason else "")
        case StageEntered():
            return "stage", _place(happening.stage, happening.step, rollback=happening.rollback)
        case PauseChanged():
            place = _place(happening.stage, happening.step)
            return "pause", f"{shown(happening.hook_id)} at {place}: {shown(happening.status)}"
        case HookCalled():
            place = _place(happening.stage, happening.step, rollback=happening.rollback)
            delay = "" if happening.callback_seconds is None else f", again in {happening.callback_seconds} s"
            reason = why(happening)
            told = f"{shown(happening.hook)} at {place}, call {happening.attempt}: {happening.answer}{delay}"
            return "hook", told + (f": {reason}" if reason else "")
        case _:
            return (
                "weights",
                f"{happening.route}: green {percent(happening.green)}, blue {percent(happening.blue)}",
            )


def _place(stage: str, step: float | None, *, rollback: bool = False) -> str:
    return shown(stage) + ("" if step is None else f" {percent(step)}") + (" (rollback)" if rollback else "")


def _finalize(value: object) -> object:
    """Take from every text the characters that change a line's direction; markup is the template's own."""
    return showable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    finalize=_finalize,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
