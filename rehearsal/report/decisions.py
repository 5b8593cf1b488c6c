"""The decisions of one outcome as a person reads them: verdict, reason, numbers, charts, raw JSON.

Each hook's answer at a stage is one, and each call before it that left a record, for it changed something.

A decision record is any JSON document; what is known of it is read, and the rest is shown as it is. Its
charts and tables are laid out by ``shared.exhibits``; here the first of a chart's points may also be seconds
of virtual time.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rehearsal.outcome import Outcome
from rehearsal.report.lanes import tone
from rehearsal.report.runs import HookRun, hook_runs
from rehearsal.report.virtual_time import clock, duration, ticks
from rehearsal.report.wording import percent, shown, verdict, why, would_refuse
from shared import exhibits
from shared.exhibits import Chart, Table, flat, is_number

# A record is a few kilobytes; a hook gone wild must not make a page that no browser opens.
MAX_ROWS = 200
MAX_DEPTH = 8
# An entry of a list (a version of a parameter, a task, a rule) reads as one line up to here.
MAX_KEYS_IN_LINE = 6
MAX_JSON_CHARACTERS = 40_000
# The line above a record says these, or they are drawn.
_SHOWN_APART = {
    "schema",
    "hook",
    "at",
    "deployment",
    "service",
    "stage",
    "step",
    "direction",
    "verdict",
    "charts",
    "tables",
}
# What was decided on comes before how the hook was set up.
_FIRST = ("inputs", "numbers", "thresholds", "changes", "reply", "wouldRefuse", "next")
MAX_LINE_CHARACTERS = 160
# What goes on for longer (a histogram's buckets, a second after the other) is drawn, or for machines.
MAX_ENTRIES = 12
# Any time of a rehearsal in seconds is far below this, any date since 2001 is above.
_EPOCH_FROM = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """One key of a record; a value of ``None`` makes it the heading of the rows below it."""

    depth: int
    key: str
    value: str | None


@dataclass(frozen=True, slots=True)
class Decision:
    """How one hook answered, or why it never did."""

    at: str
    hook: str
    where: str
    answer: str
    tone: str
    asked: int
    after: str
    verdict: str
    reason: str
    observed: bool
    """Whether the hook only observed, and would have refused."""
    rows: list[Row]
    charts: list[Chart]
    tables: list[Table]
    record_json: str
    event_json: str
    reply_json: str


def decisions(outcome: Outcome) -> list[Decision]:
    """Return all of an outcome's decisions, in the order they were made."""
    made = [
        (call.at, _decision(run, asked, outcome.started_at))
        for run in hook_runs(outcome.calls)
        for asked, call in enumerate(run.calls, start=1)
        if call is run.last or call.record is not None
    ]
    made.sort(key=lambda one: one[0] if math.isfinite(one[0]) else 0.0)
    return [decision for _, decision in made]


def _decision(run: HookRun, asked: int, started_at: datetime) -> Decision:
    """Describe what a hook decided when it was asked for the *asked*-th time."""
    call = run.calls[asked - 1]
    record = call.record or {}
    step = "" if call.step is None else f" {percent(call.step)}"
    answer = verdict(call).get("answer")
    waits = call is run.last and not run.answered
    return Decision(
        at=clock(call.at),
        hook=shown(call.hook),
        where=shown(call.stage) + step + (", rolling back" if call.rollback else ""),
        answer="no answer" if waits else call.answer,
        tone=tone(call.answer),
        asked=asked,
        after=duration(call.at - run.first.at) if asked > 1 else "",
        verdict=shown(answer) if isinstance(answer, str) else "",
        reason=why(call) or "",
        observed=would_refuse(call),
        rows=rows(record),
        charts=charts(record, started_at),
        tables=tables(record),
        record_json=_json(call.record) if call.record is not None else "",
        event_json=_json(call.event),
        reply_json=_json(call.reply),
    )


def rows(record: dict[str, Any]) -> list[Row]:
    """Lay a record out as rows, nested values below their keys."""
    keys = [key for key in _FIRST if key in record]
    keys += [key for key in record if key not in _SHOWN_APART and key not in _FIRST]
    made = list(_rows({key: record[key] for key in keys}, 0))
    if len(made) <= MAX_ROWS:
        return made
    return [*made[:MAX_ROWS], Row(0, "…", f"{len(made) - MAX_ROWS} more in the raw record")]


def _rows(value: Any, depth: int) -> Iterator[Row]:
    if isinstance(value, list) and len(value) > MAX_ENTRIES:
        yield Row(depth, "…", f"{len(value)} entries in the raw record")
        return
    items = value.items() if isinstance(value, dict) else enumerate(value, start=1)
    for key, inner in items:
        name = shown(_words(str(key)), 80)
        if _is_flat(inner):
            yield Row(depth, name, flat(inner))
        elif isinstance(value, list) and (line := _line(inner)) is not None:
            yield Row(depth, name, line)
        elif depth >= MAX_DEPTH:
            yield Row(depth, name, "…")
        else:
            yield Row(depth, name, None)
            yield from _rows(inner, depth + 1)


def _words(key: str) -> str:
    """Return ``waitedSeconds`` and ``waited_seconds`` as ``waited seconds``."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])(?=[a-z])", lambda match: f" {match[1].lower()}", key).replace(
        "_", " "
    )


def _line(entry: Any) -> str | None:
    """Return an entry of a list on one line, where it is short enough to read there."""
    if not isinstance(entry, dict) or len(entry) > MAX_KEYS_IN_LINE:
        return None
    if not all(_is_flat(item) for item in entry.values()):
        return None
    line = " · ".join(f"{shown(_words(str(key)), 80)} {flat(item)}" for key, item in entry.items())
    return line if len(line) <= MAX_LINE_CHARACTERS else None


def _is_flat(value: Any) -> bool:
    if isinstance(value, dict):
        return not value
    return not isinstance(value, list) or all(not isinstance(item, dict | list) for item in value)


def _json(value: Any) -> str:
    try:
        text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):
        text = repr(value)
    if len(text) > MAX_JSON_CHARACTERS:
        return text[:MAX_JSON_CHARACTERS] + f"\n… {len(text) - MAX_JSON_CHARACTERS} characters more"
    return text


def tables(record: dict[str, Any]) -> list[Table]:
    """Read a record's tables; what is not a table is left to the raw record."""
    return exhibits.tables(record.get("tables"))


def charts(record: dict[str, Any], started_at: datetime) -> list[Chart]:
    """Read a record's charts; what is not a chart is left to the raw record."""
    return exhibits.charts(record.get("charts"), lambda value: _seconds(value, started_at), _time_ticks)


def _time_ticks(begin: float, end: float) -> list[tuple[float, str]]:
    # Ticks sit at round times of the deployment, not of the chart.
    return ticks(end if end > begin else begin + 1, at_most=4, begin=begin)


def _seconds(value: Any, started_at: datetime) -> float | None:
    if is_number(value):
        return float(value) - started_at.timestamp() if value >= _EPOCH_FROM else float(value)
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - started_at.timestamp()
    return None
