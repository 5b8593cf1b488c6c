"""The golden files of the fault matrix: a table of each deployment, a row a call, a column a kind of fault.

Reasons are long, so that cells number them and a list below the tables says them.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.conformance.faults.fault_kinds import KINDS
from tests.conformance.faults.faulted_runs import Site

FOLDER = Path(__file__).parent

Row = Mapping[str, str]
"""Cells by kind of fault."""
Tables = Mapping[str, Mapping[Site, Row]]
"""Rows by deployment and call."""

_NAMES = [kind.name for kind in KINDS]
_REASON = re.compile(r"(?P<before>.*?(?:FAILED|SUCCEEDED|fails)): (?P<reason>[^·]*?)(?P<after> · .*)?")
_NOTE = re.compile(r"(?P<before>.*) \[(?P<number>\d+)\](?P<after> · .*)?")

_HEAD = """\
# When AWS fails: {hook}

Each row is one AWS call of a rehearsed deployment, each column one way in which that very call goes wrong,
and the cell what came of it. The words are explained in [fault_kinds.py](fault_kinds.py) and
[verdicts.py](verdicts.py). Written by `python tests/conformance/faults/write_tables.py`; not by hand.
"""


def file_of(hook: str) -> Path:
    return FOLDER / f"{hook}.md"


def render(hook: str, tables: Tables) -> str:
    """Return the text of a hook's file."""
    notes: dict[str, int] = {}
    parts = [_HEAD.format(hook=hook)]
    for deployment, rows in tables.items():
        parts.append(f"## {deployment}\n")
        lines = [
            [str(site), *(_numbered(row.get(name, "?"), notes) for name in _NAMES)]
            for site, row in rows.items()
        ]
        parts.append(_table([["call", *_NAMES], *lines]))
    parts.append("## Reasons\n")
    parts.append("".join(f"{number}. {reason}\n" for reason, number in notes.items()))
    return "\n".join(parts)


def read(hook: str) -> Tables:
    """Return what a hook's file says; nothing where there is none."""
    file = file_of(hook)
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    body, _, below = text.partition("## Reasons\n")
    reasons = dict(re.findall(r"^(\d+)\. (.*)$", below, flags=re.MULTILINE))
    tables: dict[str, dict[Site, Row]] = {}
    for part in body.split("\n## ")[1:]:
        name, _, table = part.partition("\n")
        lines = [line for line in table.splitlines() if line.startswith("|")][2:]
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
        tables[name] = {
            _site(first): dict(zip(_NAMES, (_spoken(one, reasons) for one in rest), strict=True))
            for first, *rest in cells
        }
    return tables


def _site(text: str) -> Site:
    direction, _, rest = text.partition(": ")
    where, call, number = rest.split()
    return Site(direction, where, call, int(number))


def _numbered(cell: str, notes: dict[str, int]) -> str:
    found = _REASON.fullmatch(cell)
    if found is None:
        return cell
    number = notes.setdefault(found["reason"], len(notes) + 1)
    return f"{found['before']} [{number}]{found['after'] or ''}"


def _spoken(cell: str, reasons: Mapping[str, str]) -> str:
    found = _NOTE.fullmatch(cell)
    return f"{found['before']}: {reasons[found['number']]}{found['after'] or ''}" if found else cell


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    ruled = [rows[0], ["-" * width for width in widths], *rows[1:]]
    return "".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |\n"
        for row in ruled
    )
