"""What the terminal shows beside the console: a line for each thing that happens.

::

     9:41:07  shop/checkout     waits for approval at POST_TEST_TRAFFIC_SHIFT
     9:41:40  console           signed in: alice
     9:41:52  console           approved checkout: approved, by alice
     9:41:55  shop/checkout     manual_approval → SUCCEEDED
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from rehearsal.outcome import (
    ActorSpoke,
    Happening,
    HookCalled,
    PauseChanged,
    StageEntered,
    StatusChanged,
    WeightsChanged,
)
from rehearsal.report.wording import because, percent, shown, why

WHO_CELLS = 20

# Every deployment passes these; a line for each would say nothing.
_EXPECTED = {"PENDING", "IN_PROGRESS"}
_STYLES = {"SUCCEEDED": "green", "SUCCESSFUL": "green", "FAILED": "red", "ROLLBACK_SUCCESSFUL": "red"}


class Ticker:
    """Writes lines, from several threads."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()

    def saw(self, service: str, at: datetime, happening: Happening) -> None:
        """Tell of something that happened to a service."""
        told = _told(happening)
        if told is not None:
            self._line(at, service, told)

    def logged(self, lines: Sequence[str], error: str | None) -> None:
        """Tell what the console's log says of an invocation, as far as it is of interest."""
        now = datetime.now(UTC)
        if error is not None:
            self._line(now, "console", Text(f"fails: {shown(error)}", "red"))
        for line in lines:
            entry = _entry(line)
            if told := _of_log(entry):
                style = "red" if entry.get("level") in {"ERROR", "WARNING"} else ""
                self._line(now, "console", Text(told, style))

    def say(self, text: str = "") -> None:
        """Write a line that is no happening."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _line(self, at: datetime, who: str, text: Text) -> None:
        head = f" {at.astimezone(UTC):%H:%M:%S}  "
        line = Text.assemble((head, "bright_black"), (shown(who).ljust(WHO_CELLS), "bold"), "  ", text)
        self._console.print(line, soft_wrap=True)


def _told(happening: Happening) -> Text | None:
    match happening:
        case StageEntered(stage=stage, step=step, rollback=rollback):
            told = Text(f"{stage}{f' {percent(step)}' if step is not None else ''}{' ↩' if rollback else ''}")
        case WeightsChanged(route=route, green=green):
            told = Text(f"{route} traffic: green {percent(green)}")
        case HookCalled(hook=hook, answer=answer) if answer != "IN_PROGRESS":
            reason = f"  {reason}" if (reason := why(happening)) else ""
            told = Text.assemble((hook, "bold"), " → ", (answer, _STYLES.get(answer, "red")), reason)
        case HookCalled(hook=hook, stage=stage, attempt=1):
            told = Text(f"{hook} waits at {stage}", "yellow")
        case PauseChanged(stage=stage, status=status):
            told = Text(f"pause hook at {stage}: {status}", "yellow" if status == "AWAITING_ACTION" else "")
        case StatusChanged(status=status, reason=reason) if status not in _EXPECTED:
            said = f"  {because(reason)}" if reason else ""
            told = Text.assemble((status, _STYLES.get(status, "")), said)
        case ActorSpoke(actor=actor, text=text):
            told = Text.assemble((shown(actor), "magenta"), "  ", shown(text))
        case _:
            return None
    return told


def _entry(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def _of_log(entry: dict[str, Any]) -> str:
    """Return what an entry of the console's log says, empty for one that nobody needs here."""
    message, by = str(entry.get("message", "")), shown(str(entry.get("by", "")).rpartition("#")[2])
    match message:
        case "signed in":
            return f"{by} signs in"
        case "answered":
            what = f"{entry.get('answer')}: {str(entry.get('request')).rpartition('/')[0]}"
            return f"{by} says {shown(what)}; it is {shown(entry.get('outcome', ''))}"
        case "stopped":
            return f"{by} stops {shown(entry.get('deployment', ''))}"
    return shown(message) if entry.get("level") in {"ERROR", "WARNING"} else ""
