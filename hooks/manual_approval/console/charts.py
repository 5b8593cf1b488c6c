"""A record's charts and tables, ready to be drawn: as the rehearsal's report draws them, but against UTC.

``shared.exhibits`` lays them out and bounds them. Here each series gets a dash of its own, for those who
see no colours, and each chart a text that says what it shows, for those who see none of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hooks.manual_approval.console.wording import short_day
from shared import exhibits
from shared.exhibits import Chart, Line, Table, Threshold, is_number, number

# A chart is some 400 pixels wide, and this page is read on telephones.
MAX_POINTS = 240

# Numbers below are seconds since some start; any date since 2001 is above. The last is the year 2100.
_EPOCH_FROM = 1_000_000_000
_EPOCH_TO = 4_102_444_800

_DASHES = 6
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_STEPS = (
    *(1, 2, 5, 10, 15, 30),
    *(_MINUTE, 2 * _MINUTE, 5 * _MINUTE, 10 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE),
    *(_HOUR, 2 * _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR, _DAY),
)
# With their dates, more labels than these run into each other at 320 pixels.
_MAX_TICKS = 4
_LEAST_APART_PERCENT = 16


@dataclass(frozen=True, slots=True)
class Series:
    """One line."""

    line: Line
    dash: int
    """Which of six dashes; the first is solid."""

    @property
    def path(self) -> str:
        """The points, as ``<polyline>`` takes them."""
        return " ".join(f"{x:g},{y:g}" for x, y in self.line.points)


@dataclass(frozen=True, slots=True)
class Drawing:
    """One chart."""

    title: str
    unit: str
    axis: str
    """What is across: ``UTC``, ``time since the start``, or ``percentile``."""
    series: list[Series]
    thresholds: list[Threshold]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    told: str
    """What there is to see, in sentences."""


def drawings(charts: Sequence[dict[str, Any]]) -> list[Drawing]:
    """Lay out a record's charts. Never raises: what is not a chart is left out."""
    return [_drawing(chart) for chart in exhibits.charts(list(charts), _seconds, ticks, MAX_POINTS)]


def tables(found: Sequence[dict[str, Any]]) -> list[Table]:
    """Lay out a record's tables. Never raises: what is not a table is left out."""
    return exhibits.tables(list(found))


def _drawing(chart: Chart) -> Drawing:
    return Drawing(
        title=chart.title,
        unit=chart.unit,
        axis=_axis(chart),
        series=[Series(line, index % _DASHES) for index, line in enumerate(chart.lines)],
        thresholds=chart.thresholds,
        x_ticks=_apart(chart.x_ticks),
        y_ticks=chart.y_ticks,
        told=" ".join([_across(chart), *(_told(line, chart) for line in chart.lines)]),
    )


def _apart(marks: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Leave out labels that would run into the one before; the last of them tells more than the first."""
    kept: list[tuple[float, str]] = []
    for x, label in reversed(marks):
        if not kept or kept[-1][0] - x >= _LEAST_APART_PERCENT:
            kept.append((x, label))
    return kept[::-1]


def _axis(chart: Chart) -> str:
    if chart.by_percent:
        return "percentile"
    return "UTC" if chart.across[0] >= _EPOCH_FROM else "time since the start"


def _across(chart: Chart) -> str:
    if chart.by_percent:
        return "By percentile."
    begin, end = (_reading(at) for at in chart.across)
    return f"From {begin} to {end}." if begin != end else f"At {begin}."


def _told(line: Line, chart: Chart) -> str:
    lowest, highest = min(line.values), max(line.values)
    if lowest == highest:
        course = f"stays at {number(lowest, chart.unit)}"
    else:
        course = (
            f"from {number(line.values[0], chart.unit)} to {number(line.values[-1], chart.unit)}, "
            f"lowest {number(lowest, chart.unit)}, highest {number(highest, chart.unit)}"
        )
    sides = [
        f"{_side(lowest, highest, level.level)} {level.name} ({level.value})" for level in chart.thresholds
    ]
    return f"{line.name or 'A series'}: {'; '.join([course, *sides])}."


def _side(lowest: float, highest: float, level: float) -> str:
    if highest <= level:
        return "never above"
    return "always above" if lowest > level else "at times above"


def _seconds(value: Any) -> float | None:
    """Read the first of a point: an ISO 8601 date, seconds since 1970, or seconds since some start."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return None
        value = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        return value if _EPOCH_FROM <= value < _EPOCH_TO else None
    return float(value) if is_number(value) and abs(value) < _EPOCH_TO else None


def ticks(begin: float, end: float) -> list[tuple[float, str]]:
    """Return at most four places of an axis over time, at round readings, and their labels."""
    span = end - begin
    step = next((step for step in _STEPS if span / step <= _MAX_TICKS - 1), None)
    if step is None:
        step = _DAY * -int(-span // (_DAY * (_MAX_TICKS - 1)))
    first = -int(-begin // step) * step
    places = range(first, int(end) + 1, step)
    return [(float(at), _label(at, step)) for at in places] or [(begin, _reading(begin))]


def _label(at: float, step: int) -> str:
    if at < _EPOCH_FROM:
        return _since(at)
    moment = datetime.fromtimestamp(at, UTC)
    if step >= _DAY:
        return short_day(moment.date(), moment)
    return f"{moment:%H:%M:%S}" if step < _MINUTE else f"{moment:%H:%M}"


def _reading(at: float) -> str:
    if at < _EPOCH_FROM:
        return _since(at)
    moment = datetime.fromtimestamp(at, UTC)
    return f"{short_day(moment.date(), moment)}, {moment:%H:%M:%S} UTC"


def _since(seconds: float) -> str:
    sign, whole = ("-" if seconds < 0 else ""), abs(round(seconds))
    if whole < _MINUTE:
        return f"{sign}{whole} s"
    if whole < _HOUR:
        return f"{sign}{whole // _MINUTE}:{whole % _MINUTE:02} min"
    return f"{sign}{whole // _HOUR}:{whole % _HOUR // _MINUTE:02} h"
