"""The decisions of one outcome as a person reads them: verdict, reason, numbers, charts, raw JSON.

Each hook's answer at a stage is one, and each call before it that left a record, for it changed something.

A decision record is any JSON document; what is known of it is read, and the rest is shown as it is.
Charts in a record::

    {
        "charts": [
            {
                "title": "p99 latency",
                "unit": "ms",
                "series": [{"name": "green", "points": [[0, 190], [60, 197.5]]}],
                "thresholds": [{"name": "1.2 x blue", "value": 226}],
            }
        ]
    }

The first of a point is seconds of virtual time, seconds since 1970, or an ISO 8601 date. In a chart with
``"across": "percentile"`` it is a percent, and the chart is drawn as HdrHistogram draws them: each further
nine has as much room as the one before, for that is where latencies differ.

Tables of text: ``"tables": [{"title": ..., "columns": [...], "rows": [[...], ...]}]``.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rehearsal.outcome import Outcome
from rehearsal.report.lanes import Scale, tone
from rehearsal.report.runs import HookRun, hook_runs
from rehearsal.report.virtual_time import clock, duration, ticks
from rehearsal.report.wording import percent, shown, verdict, why, would_refuse

# A record is a few kilobytes; a hook gone wild must not make a page that no browser opens.
MAX_ROWS = 200
MAX_DEPTH = 8
# An entry of a list (a version of a parameter, a task, a rule) reads as one line up to here.
MAX_KEYS_IN_LINE = 6
MAX_JSON_CHARACTERS = 40_000
MAX_CHARTS = 12
MAX_POINTS = 2_000
MAX_TABLES = 4
MAX_TABLE_ROWS = 100
MAX_COLUMNS = 8
# Closer together than this, numbers differ by how floats are rounded.
SMALLEST_SPAN = 1e-9
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
_COLOURS = 4

# Where a percentile axis is labelled, and which of its values is told in words.
_PERCENTS = (0, 50, 90, 99, 99.9, 99.99, 99.999)
_TOLD_PERCENT = 95


@dataclass(frozen=True, slots=True)
class Row:
    """One key of a record; a value of ``None`` makes it the heading of the rows below it."""

    depth: int
    key: str
    value: str | None


@dataclass(frozen=True, slots=True)
class Line:
    """One series of a chart; points are shares of width and height from the upper left, in percent."""

    name: str
    colour: str
    points: list[tuple[float, float]]
    told: str
    """Its last value, or of a distribution the one that is spoken of."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A level that the series are held against."""

    name: str
    y: float
    value: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A line chart."""

    title: str
    unit: str
    lines: list[Line]
    thresholds: list[Threshold]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    summary: str


@dataclass(frozen=True, slots=True)
class Table:
    """What a verdict was made of, laid out by the hook."""

    title: str
    columns: list[str]
    rows: list[list[tuple[str, str]]]
    """Cells with their tone: ``good``, ``bad``, ``back`` or none."""
    left_out: int


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
            yield Row(depth, name, _flat(inner))
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
    line = " · ".join(f"{shown(_words(str(key)), 80)} {_flat(item)}" for key, item in entry.items())
    return line if len(line) <= MAX_LINE_CHARACTERS else None


def _is_flat(value: Any) -> bool:
    if isinstance(value, dict):
        return not value
    return not isinstance(value, list) or all(not isinstance(item, dict | list) for item in value)


def _flat(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_flat(item) for item in value[:50]) or "none"
    if isinstance(value, dict):
        return "none"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return shown(value) or "empty"


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
    found = record.get("tables")
    if not isinstance(found, list):
        return []
    made = (_table(table) for table in found[:MAX_TABLES] if isinstance(table, dict))
    return [table for table in made if table is not None]


def _table(table: dict[str, Any]) -> Table | None:
    columns, found = table.get("columns"), table.get("rows")
    if not isinstance(columns, list) or not isinstance(found, list) or not 0 < len(columns) <= MAX_COLUMNS:
        return None
    whole = [row for row in found if isinstance(row, list) and len(row) == len(columns)]
    return Table(
        title=shown(str(table.get("title", ""))),
        columns=[shown(str(column)) for column in columns],
        rows=[
            [(_flat(cell), _CELL_TONES.get(str(cell), "")) for cell in row] for row in whole[:MAX_TABLE_ROWS]
        ],
        left_out=len(found) - len(whole[:MAX_TABLE_ROWS]),
    )


# Words that hooks judge by.
_CELL_TONES = {
    "pass": "good",
    "deny": "bad",
    "untrusted": "bad",
    "misconfigured": "bad",
    "indeterminate": "back",
    "unverifiable": "back",
    "exempt": "back",
}


def charts(record: dict[str, Any], started_at: datetime) -> list[Chart]:
    """Read a record's charts; what is not a chart is left to the raw record."""
    found = record.get("charts")
    if not isinstance(found, list):
        return []
    made = (_chart(chart, started_at) for chart in found[:MAX_CHARTS] if isinstance(chart, dict))
    return [chart for chart in made if chart is not None]


def _chart(chart: dict[str, Any], started_at: datetime) -> Chart | None:
    by_percent = chart.get("across") == "percentile"

    def place(value: Any) -> float | None:
        return _nines(value) if by_percent else _seconds(value, started_at)

    series = [
        (shown(one.get("name", ""), 60), points)
        for one in _dicts(chart.get("series"))
        if (points := _points(one.get("points"), place))
    ]
    levels = [
        (shown(one.get("name", ""), 60), float(one["value"]))
        for one in _dicts(chart.get("thresholds"))
        if _is_number(one.get("value"))
    ]
    if not series:
        return None
    places = [at for _, points in series for at, _ in points]
    values = [value for _, points in series for _, value in points] + [value for _, value in levels]
    begin, scale = min(places), Scale(max(places) - min(places))
    marks = y_marks(min(values), max(values))
    low, high = marks[0], marks[-1]

    def y(value: float) -> float:
        return round(100 - (value - low) / (high - low) * 100, 3)

    unit = shown(chart.get("unit") or "", 20)
    told = _told_of_percents if by_percent else _told_of_times
    lines = [
        Line(
            name=name,
            colour=_colour(name, index),
            points=[(scale.x(at - begin), y(value)) for at, value in points],
            told=told(points, unit),
        )
        for index, (name, points) in enumerate(series)
    ]
    title = shown(chart.get("title") or "chart", 120)
    spans = "; ".join(
        f"{name} from {_number(points[0][1], unit)} to {_number(points[-1][1], unit)}"
        for name, points in series
    )
    return Chart(
        title=title,
        unit=unit,
        lines=lines,
        thresholds=[Threshold(name, y(value), _number(value, unit)) for name, value in levels],
        x_ticks=_percent_ticks(begin, scale) if by_percent else _time_ticks(begin, scale),
        y_ticks=[(y(value), f"{value:.4g}") for value in marks],
        summary=f"{title}: {spans}",
    )


def _time_ticks(begin: float, scale: Scale) -> list[tuple[float, str]]:
    # Ticks sit at round times of the deployment, not of the chart.
    whole = ticks(begin + scale.seconds, at_most=4, begin=begin)
    return [(scale.x(at - begin), label) for at, label in whole]


def _percent_ticks(begin: float, scale: Scale) -> list[tuple[float, str]]:
    at = {percent: _nines(percent) for percent in _PERCENTS}
    return [
        (scale.x(place - begin), f"{percent:g} %")
        for percent, place in at.items()
        if place is not None and begin <= place <= begin + scale.seconds
    ]


def _told_of_times(points: Sequence[tuple[float, float]], unit: str) -> str:
    return f"last {_number(points[-1][1], unit)}"


def _told_of_percents(points: Sequence[tuple[float, float]], unit: str) -> str:
    told = _nines(_TOLD_PERCENT)
    for place, value in points:
        if place == told:
            return f"{_TOLD_PERCENT} % within {_number(value, unit)}"
    return f"at most {_number(points[-1][1], unit)}"


def _nines(value: Any) -> float | None:
    """Return where a percent stands: 0 at 0, 90 at 1, 99 at 2, and so on without an end."""
    return -math.log10(1 - value / 100) if _is_number(value) and 0 <= value < 100 else None


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _is_number(value: Any) -> bool:
    # Beyond this, differences overflow; no metric of a deployment is near it.
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e15 < value < 1e15


def _points(value: Any, place: Callable[[Any], float | None]) -> list[tuple[float, float]]:
    if not isinstance(value, list):
        return []
    points = [
        (at, float(pair[1]))
        for pair in value
        if isinstance(pair, list | tuple) and len(pair) == 2 and _is_number(pair[1])
        if (at := place(pair[0])) is not None
    ]
    points.sort()
    stride = math.ceil(len(points) / MAX_POINTS)
    return points[::stride] if stride > 1 else points


def _seconds(value: Any, started_at: datetime) -> float | None:
    if _is_number(value):
        return float(value) - started_at.timestamp() if value >= _EPOCH_FROM else float(value)
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - started_at.timestamp()
    return None


def y_marks(low: float, high: float) -> Sequence[float]:
    """Return three to seven round values that hold *low* and *high* between the first and the last."""
    # Zero belongs to the picture unless that would flatten everything in it.
    if 0 < low < high * 0.7:
        low = 0.0
    # A flat line stands in the middle, with room above and below.
    if high - low <= max(abs(low), abs(high), 1.0) * SMALLEST_SPAN:
        room = max(abs(low), abs(high), 1.0) * 0.5
        low, high = low - room, high + room
    rough = (high - low) / 4
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [index * step for index in range(first, last + 1)]


def _number(value: float, unit: str) -> str:
    return f"{value:.4g} {unit}".strip()


def _colour(name: str, index: int) -> str:
    for colour in ("green", "blue"):
        if colour in name.lower():
            return colour
    return f"s{index % _COLOURS}"
