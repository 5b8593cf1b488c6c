"""``rehearse backtest``: what the canary comparison hook would have said of days that are past.

A file of minutes, exported from wherever they are kept::

    run,time,metric,green_bad,green_total,blue_bad,blue_total,green,blue
    monday,2026-03-02T12:00Z,errors,0,52,4,948,,
    monday,2026-03-02T12:00Z,p99,,,,,212.5,208.1

``run`` names a deployment, and is left out where the file has one only. A metric that counts fills the
first four, a gauge the last two; an empty cell is a value that nobody knows, which is not zero.
"""

import csv
import difflib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress

from hooks.canary_comparison.backtest import (
    COUNTED_VALUES,
    GAUGE_VALUES,
    CanarySettings,
    Finding,
    Hindsight,
    JudgeName,
    Metric,
    Row,
    compared,
    configured,
    in_hindsight,
)
from rehearsal.document import Document, DocumentError
from rehearsal.report.hindsight import Judged, headline, told, totals
from rehearsal.report.wording import shown
from shared.clock import parse_timestamp, timestamp
from shared.errors import Misconfigured
from shared.errors import shown as quoted

EXIT_NOTHING_REFUSED, EXIT_REFUSED = 0, 1

# Three metrics of a thousand deployments of an hour.
MAX_BYTES = 20_000_000
MAX_ROWS = 200_000
# The longest that a step can be held. A run that is longer is most likely several.
MAX_MINUTES = 720
MAX_NAME_CHARACTERS = 100
# Far beyond what anybody counts in a minute, and charts and sums are still exact.
LARGEST = 1e15
# Of so many runs the findings are printed; of more, they are in the JSON and on the page.
MAX_RUNS_IN_DETAIL = 3

COLUMNS = ("run", "time", "metric", *COUNTED_VALUES, *GAUGE_VALUES)

_NUMBER = re.compile(r"-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_MINUTE = timedelta(minutes=1)


def run(
    metrics: Path,
    settings: Path,
    *,
    policy: Path | None,
    judge: JudgeName | None,
    json_file: Path | None,
    html_file: Path | None,
    stdout: TextIO,
    stderr: TextIO,
) -> int:
    """Judge each run in a file and print the verdicts.

    Returns
    -------
    int
        The exit code: 0, or 1 when a run would have been refused.

    Raises
    ------
    DocumentError
        A file can't be read or written, or says something that can't be.
    """
    for report in (json_file, html_file):
        # Said before the work, not after it.
        if report and (report.is_dir() or not report.parent.is_dir()):
            raise DocumentError(
                f"{report}: can't be written: {report.parent} is no folder, or it is one itself"
            )
    chosen, tightened = _settings(settings, policy)
    if tightened:
        stderr.write(f"{policy}: overrules {', '.join(tightened)} of {settings}\n")
    runs = read(metrics, compared(chosen))
    beside = judge if judge != chosen.judge else None
    judged: list[Judged] = []
    printed = _Printed(stdout, list(runs), beside)
    for one in _judged(runs, chosen, beside, stderr):
        judged.append(one)
        printed.add(one)
    printed.end(judged)
    if json_file:
        _write(json_file, json.dumps(_document(judged, chosen, beside), indent=1, allow_nan=False) + "\n")
    if html_file:
        from rehearsal.report.backtest_page import page  # noqa: PLC0415  # templates take time to load

        _write(html_file, page(metrics.name, judged, totals(judged, beside)))
    return EXIT_REFUSED if any(one.said.refusal for one in judged) else EXIT_NOTHING_REFUSED


def _settings(file: Path, policy_file: Path | None) -> tuple[CanarySettings, tuple[str, ...]]:
    document = Document.read(file)
    details = {} if document.data is None else document.data
    if not isinstance(details, Mapping):
        raise document.error((), f"expected the keys and values of hookDetails, not {quoted(details)}")
    policy = None
    if policy_file is not None:
        under = Document.read(policy_file)
        policy = {} if under.data is None else under.data
        try:
            configured({}, policy)
        except Misconfigured as error:
            raise _pointing(under, error) from error
    try:
        resolved = configured(details, policy)
    except Misconfigured as error:
        raise _pointing(document, error) from error
    return resolved.settings, resolved.tightened


def _pointing(document: Document, error: Misconfigured) -> DocumentError:
    """Make an error that names the line of what pydantic found first."""
    path: tuple[str | int, ...] = ()
    if isinstance(error.__cause__, ValidationError):
        for part in error.__cause__.errors()[0]["loc"]:
            # Which branch of a union was tried stands between the keys, and not in the file.
            if (*path, part) in document.lines:
                path = (*path, part)
    return DocumentError(f"{document.file}:{document.line(path)}: {shown(error, 2000)}")


def read(file: Path, metrics: Sequence[Metric]) -> dict[str, dict[str, list[Row]]]:
    """Read the minutes of each metric of each run, runs in the order of the file.

    Raises
    ------
    DocumentError
        As ``FILE:LINE: COLUMN: what is wrong``.
    """
    try:
        if file.exists() and not file.is_file():
            raise DocumentError(f"{file}: not a file")
        if file.stat().st_size > MAX_BYTES:
            raise DocumentError(f"{file}: larger than {MAX_BYTES:,} bytes; judge fewer runs at a time")
        # Spreadsheets begin a file with a byte order mark.
        with file.open(encoding="utf-8-sig", newline="") as opened:
            return _Reader(file, opened, metrics).runs()
    except OSError as error:
        raise DocumentError(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DocumentError(f"{file}: not UTF-8 text") from error


@dataclass(slots=True)
class _Runs:
    """What was read of one run."""

    line: int
    """Of its first row."""
    rows: dict[str, dict[datetime, tuple[Row, int]]] = field(default_factory=dict)
    """With their lines."""


class _Reader:
    """Reads one file, and points at what it can't read."""

    def __init__(self, file: Path, opened: TextIO, metrics: Sequence[Metric]) -> None:
        self._file = file
        self._rows = csv.reader(opened, strict=True)
        self._metrics = {metric.name: metric for metric in metrics}
        self._columns: dict[str, int] = {}

    def runs(self) -> dict[str, dict[str, list[Row]]]:
        found: dict[str, _Runs] = {}
        try:
            self._columns = self._header(next(self._rows, []))
            for number, cells in enumerate(filter(None, self._rows), start=1):
                if number > MAX_ROWS:
                    raise self._error("", f"more than {MAX_ROWS:,} rows; judge fewer runs at a time")
                self._add(cells, found)
        except csv.Error as error:
            raise self._error("", f"not readable as CSV: {error}") from error
        if not found:
            raise self._error("", "no rows below the header")
        for name, run in found.items():
            self._check(name, run)
        return {
            name: {metric: [row for row, _ in rows.values()] for metric, rows in run.rows.items()}
            for name, run in found.items()
        }

    def _header(self, cells: Sequence[str]) -> dict[str, int]:
        names = [cell.strip() for cell in cells]
        for name in names:
            if name not in COLUMNS:
                near = difflib.get_close_matches(name, COLUMNS, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(COLUMNS)}"
                raise self._error("", f"no such column: {quoted(name)}; {hint}")
            if names.count(name) > 1:
                raise self._error(name, "two columns have this name")
        needed = {value for metric in self._metrics.values() for value in metric.values}
        if needed >= {*COUNTED_VALUES, *GAUGE_VALUES}:
            # Some of the metrics may have no rows, and which is only known at the end.
            needed = {*COUNTED_VALUES} if {*COUNTED_VALUES} <= {*names} else {*GAUGE_VALUES}
        for name in ("time", "metric", *(value for value in COLUMNS if value in needed)):
            if name not in names:
                raise self._error("", f"there is no column {name!r}; the first line names the columns")
        return {name: place for place, name in enumerate(names)}

    def _add(self, cells: Sequence[str], found: dict[str, _Runs]) -> None:
        if len(cells) != len(self._columns):
            raise self._error("", f"a row of {len(cells)} cells under a header of {len(self._columns)}")
        line = self._rows.line_num
        name = self._name(cells)
        metric = self._metric(self._cell(cells, "metric"))
        at = self._time(self._cell(cells, "time"))
        row = self._row(cells, metric, at)
        rows = found.setdefault(name, _Runs(line)).rows.setdefault(metric.name, {})
        if at in rows:
            raise self._error("time", f"{metric.name!r} has this minute in line {rows[at][1]} already")
        rows[at] = row, line

    def _name(self, cells: Sequence[str]) -> str:
        if "run" not in self._columns:
            return self._file.stem[:MAX_NAME_CHARACTERS]
        name = self._cell(cells, "run")
        if not name:
            raise self._error("run", "empty; it names the deployment that the row is of")
        if len(name) > MAX_NAME_CHARACTERS:
            raise self._error("run", f"longer than {MAX_NAME_CHARACTERS} characters: {quoted(name)}")
        return name

    def _metric(self, name: str) -> Metric:
        metric = self._metrics.get(name)
        if metric is None:
            near = difflib.get_close_matches(name, self._metrics, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"they compare {', '.join(self._metrics)}"
            raise self._error("metric", f"{quoted(name)} is not among the metrics of the settings; {hint}")
        return metric

    def _time(self, text: str) -> datetime:
        try:
            at = parse_timestamp(text)
        except ValueError as error:
            raise self._error(
                "time", f"{quoted(text)} is no time with a zone, such as 2026-03-05T12:00:00Z"
            ) from error
        if at.second or at.microsecond:
            raise self._error("time", f"{quoted(text)} is no whole minute; a row is of the minute it begins")
        # A calendar's first and last years leave no room for an hour before or after.
        if not 1970 <= at.year < 9000:
            raise self._error("time", f"{quoted(text)} is no time of a deployment")
        return at

    def _row(self, cells: Sequence[str], metric: Metric, at: datetime) -> Row:
        kind = "a count" if metric.values == COUNTED_VALUES else "a gauge"
        for column in (*COUNTED_VALUES, *GAUGE_VALUES):
            if column not in metric.values and column in self._columns and self._cell(cells, column):
                needed = ", ".join(metric.values)
                raise self._error(column, f"{metric.name!r} is {kind} and takes {needed}; leave this empty")
        for column in metric.values:
            if column not in self._columns:
                raise self._error("metric", f"{metric.name!r} is {kind}, and there is no column {column!r}")
        values = {column: self._number(column, self._cell(cells, column)) for column in metric.values}
        known = tuple(value for value in values.values() if value is not None)
        if len(known) == len(values):
            return Row(at, known)
        empty = [column for column, value in values.items() if value is None]
        return Row(at, (), f"{' and '.join(empty)} of {at:%H:%M} left empty")

    def _number(self, column: str, text: str) -> float | None:
        if not text:
            return None
        if not _NUMBER.fullmatch(text):
            raise self._error(column, f"{quoted(text)} is no number")
        value = float(text)
        if not 0 <= value <= LARGEST:
            raise self._error(column, f"{quoted(text)} is not between 0 and {LARGEST:g}")
        return value

    def _check(self, name: str, run: _Runs) -> None:
        for metric in self._metrics.values():
            if metric.name not in run.rows and not metric.can_be_absent:
                raise self._error(
                    "metric",
                    f"run {quoted(name)} has no row of {metric.name!r}, which the settings compare; leave "
                    "cells empty where it was not known, or set its onUnknown to ignore",
                    run.line,
                )
        times = [at for rows in run.rows.values() for at in rows]
        minutes = (max(times) - min(times)) // _MINUTE + 1
        if minutes > MAX_MINUTES:
            raise self._error(
                "time",
                f"run {quoted(name)} is of {minutes:,} minutes, from {timestamp(min(times))} to "
                f"{timestamp(max(times))}; at most {MAX_MINUTES} are judged as one: name the deployments in "
                "the column 'run'",
                run.line,
            )

    def _cell(self, cells: Sequence[str], column: str) -> str:
        return cells[self._columns[column]].strip()

    def _error(self, column: str, text: str, line: int | None = None) -> DocumentError:
        where = f"{self._file}:{self._rows.line_num or 1 if line is None else line}"
        return DocumentError(f"{where}: {column + ': ' if column else ''}{shown(text, 1000)}")


def _judged(
    runs: Mapping[str, Mapping[str, Sequence[Row]]],
    settings: CanarySettings,
    beside: JudgeName | None,
    stderr: TextIO,
) -> Iterator[Judged]:
    """Judge run by run: one of an hour takes a tenth of a second, of twelve hours some."""
    made = (
        Judged(
            name,
            in_hindsight(settings, rows),
            in_hindsight(settings, rows, beside) if beside else None,
        )
        for name, rows in runs.items()
    )
    if not stderr.isatty():
        yield from made
        return
    # A bar and lines on one terminal get into each other's way: first the one, then the others.
    with Progress(console=Console(file=stderr), transient=True) as progress:
        judged = list(progress.track(made, total=len(runs), description="judging"))
    yield from judged


class _Printed:
    """The verdicts in a terminal: one run in full, or a table of many."""

    def __init__(self, stdout: TextIO, names: Sequence[str], beside: JudgeName | None) -> None:
        self._stdout = stdout
        self._many = len(names) > 1
        self._in_detail = len(names) <= MAX_RUNS_IN_DETAIL
        self._beside = beside
        self._width = max(len("run"), *(len(shown(name)) for name in names))
        if self._many:
            self._row("run", "minutes", "good from", "refused at", "at the end", beside or "")

    def add(self, one: Judged) -> None:
        said, refusal = one.said, one.said.refusal
        if not self._many:
            self._line(f"{shown(one.name)}: {headline(said)}")
            if one.beside is not None:
                self._line(f"{self._beside}: {headline(one.beside)}")
        else:
            refused = (
                "" if refusal is None else "looking back" if refusal.looking_back else f"{refusal.minute}"
            )
            self._row(
                shown(one.name),
                f"{said.minutes}",
                "" if said.good_from is None else f"{said.good_from}",
                refused,
                said.verdict.value,
                "" if one.beside is None else "refuses" if one.beside.refusal else "goes on",
            )
            if refusal is not None:
                self._line(f"    {shown(refusal.reason, 2000)}")
        if self._in_detail:
            for finding in said.findings:
                self._line(f"    {finding.verdict.value:<12} {shown(finding.text, 2000)}")

    def end(self, judged: Sequence[Judged]) -> None:
        if self._many:
            self._line("")
            for line in told(totals(judged, self._beside)):
                self._line(line)

    def _row(self, *cells: str) -> None:
        name, minutes, good, refused, verdict, beside = cells
        self._line(
            f"{name:<{self._width}}  {minutes:>7}  {good:>9}  {refused:>12}  {verdict:<12}  {beside}".rstrip()
        )

    def _line(self, text: str) -> None:
        self._stdout.write(f"{text}\n")
        # Who watches a log sees how far it is.
        self._stdout.flush()


def _document(judged: Sequence[Judged], settings: CanarySettings, beside: JudgeName | None) -> dict[str, Any]:
    return {
        "settings": settings.model_dump(mode="json", by_alias=True, exclude_none=True),
        "totals": totals(judged, beside),
        "runs": [
            {
                "run": one.name,
                **_said(one.said),
                **({beside: _said(one.beside)} if beside and one.beside else {}),
            }
            for one in judged
        ],
    }


def _said(said: Hindsight) -> dict[str, Any]:
    refusal = said.refusal
    return {
        "start": timestamp(said.start),
        "minutes": said.minutes,
        "refusal": None
        if refusal is None
        else {
            "minute": refusal.minute,
            "at": timestamp(refusal.at),
            "lookingBack": refusal.looking_back,
            "reason": refusal.reason,
        },
        "goodFrom": said.good_from,
        "verdict": said.verdict.value,
        "reason": said.reason,
        "findings": [_finding(finding) for finding in said.findings],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    since = finding.certain_since
    return {
        "metric": finding.metric,
        "verdict": finding.verdict.value,
        "text": finding.text,
        # JSON has no infinity; the text has.
        "ratio": _finite(finding.ratio),
        "low": _finite(finding.low),
        "high": _finite(finding.high),
        "certainSince": None if since is None else timestamp(since),
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DocumentError(f"{file}: {error.strerror}") from error
