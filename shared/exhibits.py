"""What a decision record shows, laid out for whoever draws it: the charts and tables of ``shared.record``.

A record is JSON that a hook wrote, of any shape: what is not a chart or a table is left out, and text is
made legible here and escaped where it is drawn. ::

      y_ticks   ┬ threshold ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌
                │      ╭──╮    ╭─── green          points are shares of width and height
                │──────╯  ╰────╯                   from the upper left, in percent, so that
                ┴──┴────────┴────────┴── x_ticks   one drawing serves a phone and a wall

In a chart with ``"across": "percentile"`` the axis is as HdrHistogram draws it: each further nine has as
much room as the one before, for that is where latencies differ.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import batched
from typing import Any

from shared.legible import legible

# A record is a few kilobytes; a hook gone wild must not make a page that no browser opens.
MAX_CHARTS = 12
MAX_SERIES = 12
MAX_THRESHOLDS = 12
MAX_POINTS = 2_000
MAX_TABLES = 4
MAX_TABLE_ROWS = 100
MAX_COLUMNS = 8
# Of what is longer than a cell, nobody reads more.
MAX_ITEMS_IN_CELL = 50
# Closer together than this, numbers differ by how floats are rounded.
SMALLEST_SPAN = 1e-9
_COLOURS = 4

# Where a percentile axis is labelled, and which of its values is told in words.
_PERCENTS = (0, 50, 90, 99, 99.9, 99.99, 99.999)
_TOLD_PERCENT = 95

Place = Callable[[Any], float | None]
"""Says where on the axis a point belongs, in seconds; ``None`` for what is no time."""

Ticks = Callable[[float, float], Sequence[tuple[float, str]]]
"""Returns places and labels between two places."""


@dataclass(frozen=True, slots=True)
class Line:
    """One series of a chart."""

    name: str
    colour: str
    points: list[tuple[float, float]]
    told: str
    """Its last value, or of a distribution the one that is spoken of."""
    values: tuple[float, ...] = ()
    """What the points stand for, in the chart's unit."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A level that the series are held against."""

    name: str
    y: float
    value: str
    level: float = 0.0
    """The value, in the chart's unit."""


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
    across: tuple[float, float] = (0.0, 0.0)
    """The first and the last place."""
    by_percent: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """What a verdict was made of, laid out by the hook."""

    title: str
    columns: list[str]
    rows: list[list[tuple[str, str]]]
    """Cells with their tone: ``good``, ``bad``, ``back`` or none."""
    left_out: int


def tables(found: Any) -> list[Table]:
    """Read a record's tables; what is not a table is left out."""
    return [table for one in _objects(found)[:MAX_TABLES] if (table := _table(one)) is not None]


def _table(table: dict[str, Any]) -> Table | None:
    columns, found = table.get("columns"), table.get("rows")
    if not isinstance(columns, list) or not isinstance(found, list) or not 0 < len(columns) <= MAX_COLUMNS:
        return None
    whole = [row for row in found if isinstance(row, list) and len(row) == len(columns)]
    return Table(
        title=legible(table.get("title", "")),
        columns=[legible(column) for column in columns],
        rows=[
            [(flat(cell), _CELL_TONES.get(cell, "") if isinstance(cell, str) else "") for cell in row]
            for row in whole[:MAX_TABLE_ROWS]
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


def flat(value: Any) -> str:
    """Write one value of a record in words."""
    if isinstance(value, list):
        return ", ".join(_item(item) for item in value[:MAX_ITEMS_IN_CELL]) or "none"
    return _item(value)


def _item(value: Any) -> str:
    if value is None or value in ({}, []):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return legible(value) or "empty"


def charts(found: Any, place: Place, ticks: Ticks, at_most_points: int = MAX_POINTS) -> list[Chart]:
    """Read a record's charts; what is not a chart is left out.

    Parameters
    ----------
    place, ticks
        The axis of a chart over time.
    at_most_points
        Of a series; of more, each stretch keeps its lowest and its highest.
    """
    made = (_chart(chart, place, ticks, at_most_points) for chart in _objects(found)[:MAX_CHARTS])
    return [chart for chart in made if chart is not None]


def _chart(chart: dict[str, Any], place: Place, ticks: Ticks, at_most: int) -> Chart | None:
    by_percent = chart.get("across") == "percentile"
    series = [
        (legible(one.get("name", ""), 60), points)
        for one in _objects(chart.get("series"))[:MAX_SERIES]
        if (points := _points(one.get("points"), nines if by_percent else place, at_most))
    ]
    levels = [
        (legible(one.get("name", ""), 60), float(one["value"]))
        for one in _objects(chart.get("thresholds"))[:MAX_THRESHOLDS]
        if is_number(one.get("value"))
    ]
    if not series:
        return None
    begin = min(points[0][0] for _, points in series)
    end = max(points[-1][0] for _, points in series)
    values = [value for _, points in series for _, value in points] + [value for _, value in levels]
    marks = y_marks(min(values), max(values))
    unit = legible(chart.get("unit") or "", 20)
    title = legible(chart.get("title") or "chart", 120)
    told = _told_of_percents if by_percent else _told_of_times
    labels = _percent_ticks(begin, end) if by_percent else ticks(begin, end)

    def x(at: float) -> float:
        return _share(at - begin, end - begin)

    def y(value: float) -> float:
        return round(100 - (value - marks[0]) / (marks[-1] - marks[0]) * 100, 3)

    return Chart(
        title=title,
        unit=unit,
        lines=[
            Line(
                name=name,
                colour=_colour(name, index),
                points=[(x(at), y(value)) for at, value in points],
                told=told(points, unit),
                values=tuple(value for _, value in points),
            )
            for index, (name, points) in enumerate(series)
        ],
        thresholds=[Threshold(name, y(value), number(value, unit), value) for name, value in levels],
        x_ticks=[(x(at), label) for at, label in labels],
        y_ticks=[(y(value), f"{value:.4g}") for value in marks],
        summary=f"{title}: {_spans(series, unit)}",
        across=(begin, end),
        by_percent=by_percent,
    )


def _share(part: float, whole: float) -> float:
    """Return a share in percent, within 0 and 100; all of a whole of nothing is at its beginning."""
    if not math.isfinite(whole) or whole <= 0:
        whole = 1.0
    return round(min(max(part / whole * 100, 0.0), 100.0), 3)


def _spans(series: Sequence[tuple[str, Sequence[tuple[float, float]]]], unit: str) -> str:
    return "; ".join(
        f"{name} from {number(points[0][1], unit)} to {number(points[-1][1], unit)}"
        for name, points in series
    )


def _percent_ticks(begin: float, end: float) -> Iterator[tuple[float, str]]:
    for percent in _PERCENTS:
        place = nines(percent)
        if place is not None and begin <= place <= end:
            yield place, f"{percent:g} %"


def _told_of_times(points: Sequence[tuple[float, float]], unit: str) -> str:
    return f"last {number(points[-1][1], unit)}"


def _told_of_percents(points: Sequence[tuple[float, float]], unit: str) -> str:
    told = nines(_TOLD_PERCENT)
    for place, value in points:
        if place == told:
            return f"{_TOLD_PERCENT} % within {number(value, unit)}"
    return f"at most {number(points[-1][1], unit)}"


def nines(value: Any) -> float | None:
    """Return where a percent stands: 0 at 0, 90 at 1, 99 at 2, and so on without an end."""
    return -math.log10(1 - value / 100) if is_number(value) and 0 <= value < 100 else None


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def is_number(value: Any) -> bool:
    """Tell whether it is a number that can be drawn: beyond these, differences overflow."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e15 < value < 1e15


def _points(value: Any, place: Place, at_most: int) -> list[tuple[float, float]]:
    if not isinstance(value, list):
        return []
    points = [
        (at, float(pair[1]))
        for pair in value
        if isinstance(pair, list | tuple) and len(pair) == 2 and is_number(pair[1])
        if (at := place(pair[0])) is not None
    ]
    points.sort()
    return points if len(points) <= at_most else _thinned(points, at_most)


def _thinned(points: Sequence[tuple[float, float]], at_most: int) -> list[tuple[float, float]]:
    """Keep the ends, and of each stretch between them the lowest and the highest: no peak is lost."""
    first, *between, last = points
    kept = [first]
    for stretch in batched(between, math.ceil(len(between) / ((at_most - 2) // 2)), strict=False):
        ends = (
            min(stretch, key=lambda point: (point[1], point[0])),
            max(stretch, key=lambda point: (point[1], point[0])),
        )
        kept += sorted(set(ends))
    return [*kept, last]


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


def number(value: float, unit: str) -> str:
    """Write a value with its unit."""
    return f"{value:.4g} {unit}".strip()


def _colour(name: str, index: int) -> str:
    for colour in ("green", "blue"):
        if colour in name.lower():
            return colour
    return f"s{index % _COLOURS}"
