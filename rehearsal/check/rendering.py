"""The findings for people and programs: plain lines, a terminal's colours, JSON."""

import json
from collections.abc import Sequence
from itertools import groupby
from typing import TextIO

from rich.console import Console
from rich.markup import escape

from rehearsal.check.findings import Finding, Severity

_COLOURS = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}


def write_text(findings: Sequence[Finding], files: Sequence[str], out: TextIO) -> None:
    """Write one line a finding, and a summary."""
    out.writelines(f"{finding}\n" for finding in findings)
    out.write(f"{summary(findings, files)}\n")


def write_rich(findings: Sequence[Finding], files: Sequence[str], out: TextIO) -> None:
    """Write findings by file, with their sources, in colour."""
    console = Console(file=out, soft_wrap=True, highlight=False)
    for file, group in groupby(findings, key=lambda one: one.where.file):
        console.print(f"[bold]{escape(file)}[/]")
        for one in group:
            colour = _COLOURS[one.severity]
            console.print(f"  {one.where.line:>4}  [{colour}]{one.severity:<7}[/]  {escape(one.message)}")
            console.print(f"        [dim]{escape(one.rule)} · {escape(one.source)}[/]")
    worst = next(
        (severity for severity in Severity if any(one.severity is severity for one in findings)), None
    )
    colour = _COLOURS[worst] if worst else "bold green"
    console.print(f"[{colour}]{escape(summary(findings, files))}[/]")


def write_json(findings: Sequence[Finding], out: TextIO) -> None:
    """Write a JSON array of findings."""
    rows = [
        {
            "file": one.where.file,
            "line": one.where.line,
            "severity": one.severity.value,
            "rule": one.rule,
            "message": one.message,
            "source": one.source,
        }
        for one in findings
    ]
    out.write(json.dumps(rows, indent=2) + "\n")


def write_unreadable(message: str, out: TextIO, *, json_output: bool) -> None:
    """Write why a file could not be read: one line, or a JSON object."""
    line = " ".join(message.split())
    out.write((json.dumps({"error": line}) if json_output else line) + "\n")


def summary(findings: Sequence[Finding], files: Sequence[str]) -> str:
    """Count in one line: ``2 errors, 1 warning in template.yaml``."""
    counts = [
        f"{count} {severity if severity is Severity.INFO else f'{severity}{"s" * (count != 1)}'}"
        for severity in Severity
        if (count := sum(one.severity is severity for one in findings))
    ]
    where = files[0] if len(files) == 1 else f"{len(files)} files"
    return f"{', '.join(counts) or 'nothing to mend'} in {where}"
