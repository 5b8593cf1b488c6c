"""The timeline as plain text, for logs and pipes: one line per happening, no escapes, no width.

Polls are the exception: the first is a line, the answer is a line, those between are counted. A day
of polling would bury everything else.
"""

from collections.abc import Sequence

from rich.console import Console

from rehearsal.outcome import (
    ActorSpoke,
    Happening,
    HookCalled,
    Outcome,
    PauseChanged,
    StageEntered,
    StatusChanged,
    WeightsChanged,
)
from rehearsal.report.repeats import Repeats, Spread
from rehearsal.report.runs import HookRun, OpenRuns
from rehearsal.report.virtual_time import clock, duration
from rehearsal.report.wording import percent, shown, switched, why, would_refuse

# About one line per percent would be too many in a log, none at all looks like a hang.
REPEAT_REPORTS = 10


class PlainTimeline:
    """Writes lines."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._runs = OpenRuns()
        self._deployments: dict[str, int] = {}
        self._reason: str | None = None
        self._repeats = Repeats(0)

    def scenario_started(self, name: str, description: str, strategy: str, setting: Sequence[str]) -> None:
        del strategy  # every step is a line here
        self._runs = OpenRuns()
        self._deployments = {}
        self._reason = None
        self._write(f"== {shown(name)}" + (f": {shown(description)}" if description else ""))
        self._write("   " + ", ".join(shown(part) for part in setting))

    def saw(self, happening: Happening) -> None:
        self._no_answer(self._runs.abandoned_by(happening), happening.at)
        match happening:
            case StageEntered():
                self._line(happening.at, happening.deployment, "stage", _stage(happening))
            case WeightsChanged(route=route, green=green, blue=blue):
                self._line(
                    happening.at,
                    happening.deployment,
                    "weights",
                    f"{route} green {percent(green)}, blue {percent(blue)}",
                )
            case HookCalled():
                run = self._runs.add(happening)
                if run.answered or len(run.calls) == 1:
                    self._line(happening.at, happening.deployment, "hook", _call(run))
            case PauseChanged(hook_id=hook_id, status=status):
                self._line(
                    happening.at,
                    happening.deployment,
                    "pause",
                    f"{shown(hook_id)} at {_stage(happening)}: {shown(status)}",
                )
            case StatusChanged(status=status, reason=reason):
                reason, self._reason = (None if reason == self._reason else reason), reason
                self._line(
                    happening.at,
                    happening.deployment,
                    "status",
                    shown(status) + (f": {shown(reason)}" if reason else ""),
                )
            case ActorSpoke(actor=actor, text=text):
                self._write(f"{clock(happening.at):>9}  actor    {shown(actor)}: {shown(text)}")

    def scenario_ended(self, outcome: Outcome) -> None:
        self._no_answer(self._runs.abandon(), outcome.duration_seconds)
        expected = "as expected" if outcome.as_expected else "NOT AS EXPECTED"
        ended = f"{shown(outcome.status)} after {duration(outcome.duration_seconds)}"
        self._write(f"   {ended}, {_times(len(outcome.calls), 'call')}: {expected}")
        for check in outcome.checks:
            if check.held:
                self._write(f"   ok      {shown(check.text)}")
            else:
                self._write(f"   MISSED  expected: {shown(check.text)}; seen: {shown(check.seen)}")
        self._write("")

    def tour_ended(self, outcomes: Sequence[Outcome]) -> None:
        rows = [("scenario", "ended as", "virtual time", "calls", "expected?")]
        rows += [
            (
                " ".join([shown(outcome.scenario), *switched(outcome.switches)]),
                shown(outcome.status),
                duration(outcome.duration_seconds),
                str(len(outcome.calls)),
                "yes" if outcome.as_expected else "NO",
            )
            for outcome in outcomes
        ]
        self._table(rows)
        held = sum(outcome.as_expected for outcome in outcomes)
        self._write(f"{held} of {len(outcomes)} as expected")

    def repeat_started(self, total: int) -> None:
        self._repeats = Repeats(total)

    def repeat_advanced(self, outcome: Outcome) -> None:
        before = self._repeats.done * REPEAT_REPORTS // max(self._repeats.total, 1)
        self._repeats.add(outcome)
        if self._repeats.done * REPEAT_REPORTS // max(self._repeats.total, 1) > before:
            surprising = self._repeats.surprising
            self._write(f"{self._repeats.done} of {self._repeats.total} runs, {surprising} not as expected")

    def repeat_ended(self) -> None:
        rows = [("scenario", "runs", "ended as", "virtual time", "calls", "as expected")]
        for name, group in self._repeats.groups.items():
            statuses = ", ".join(
                f"{count} {shown(status)}" for status, count in sorted(group.statuses.items())
            )
            seconds, calls = group.seconds, group.calls
            rows.append(
                (
                    shown(name),
                    str(group.runs),
                    statuses,
                    spread_of_time(seconds),
                    spread(calls),
                    str(group.as_expected),
                )
            )
        self._table(rows)
        for surprise in self._repeats.surprises:
            switches = "".join(f" --switch {switch}" for switch in switched(surprise.switches))
            self._write(
                f"MISSED  {shown(surprise.scenario)} --seed {surprise.seed}{switches}: "
                f"expected: {shown(surprise.text)}; seen: {shown(surprise.seen)}"
            )
        more = self._repeats.surprising - len(self._repeats.surprises)
        if more > 0:
            self._write(f"        and {more} more")

    def close(self) -> None:
        """Nothing is held."""

    def _no_answer(self, runs: Sequence[HookRun], at: float) -> None:
        for run in runs:
            last = run.last
            asked = f"{shown(last.hook)} at {_stage(last)}: asked {_times(len(run.calls))}, no answer"
            self._line(at, last.deployment, "hook", asked)

    def _line(self, at: float, deployment: str, kind: str, text: str) -> None:
        number = self._deployments.setdefault(deployment, len(self._deployments) + 1)
        which = "" if number == 1 else f"[{number}] "
        self._write(f"{clock(at):>9}  {kind:<7}  {which}{text}")

    def _table(self, rows: Sequence[Sequence[str]]) -> None:
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            self._write(
                "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            )

    def _write(self, line: str) -> None:
        # Past rich's own layout: a pipe has no width to wrap at, and a log may not be UTF-8.
        encoding = self._console.encoding
        safe = line.encode(encoding, errors="replace").decode(encoding)
        self._console.print(safe, markup=False, highlight=False, emoji=False, soft_wrap=True)


def spread_of_time(seconds: Spread) -> str:
    """Format virtual durations: the one they all have, or smallest to largest."""
    smallest, largest = duration(seconds.smallest), duration(seconds.largest)
    return smallest if smallest == largest else f"{smallest} to {largest}"


def spread(counts: Spread) -> str:
    """Format counts: the one they all are, or smallest to largest with their mean."""
    if counts.smallest == counts.largest:
        return f"{counts.smallest:g}"
    return f"{counts.smallest:g} to {counts.largest:g}, mean {counts.mean:.1f}"


def _stage(happening: StageEntered | HookCalled | PauseChanged) -> str:
    step = "" if happening.step is None else f" {percent(happening.step)}"
    back = " (rollback)" if not isinstance(happening, PauseChanged) and happening.rollback else ""
    return f"{shown(happening.stage)}{step}{back}"


def _call(run: HookRun) -> str:
    last = run.last
    text = f"{shown(last.hook)} at {_stage(last)}: "
    if not run.answered:
        delay = "" if last.callback_seconds is None else f", again in {last.callback_seconds} s"
        return f"{text}{last.answer}{delay}"
    if run.again:
        text += "again: "
    if len(run.calls) > 1:
        text += f"asked {_times(len(run.calls))}, after {duration(run.seconds)} "
    text += last.answer
    if would_refuse(last):
        text += ", would refuse"
    reason = why(last)
    return f"{text}: {reason}" if reason else text


def _times(count: int, what: str = "time") -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
