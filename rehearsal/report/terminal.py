"""The timeline drawn in a terminal with rich.

What would fill a screen is put together: stages at which nothing happens share a line, polls of a
hook are one line with their number, and steps that go like the one before are counted. Below the
lines, while a scenario runs, one live line says where it is.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.rule import Rule
from rich.text import Text

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
from rehearsal.report.repeats import Repeats
from rehearsal.report.runs import HookRun, OpenRuns
from rehearsal.report.tables import outcome_style, repeat_table, surprise_lines, tour_table
from rehearsal.report.virtual_time import clock, duration
from rehearsal.report.wording import because, percent, share, shown, why, would_refuse

BAR_CELLS = 10
# As long as "PRODUCTION_TRAFFIC_SHIFT 12.5 %", so that all bars begin in one column.
STAGE_CELLS = 31
# "ecs-pause-" and the beginning of a UUID.
HOOK_ID_CELLS = 20
FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_SHIFTS = {"TEST_TRAFFIC_SHIFT": "test", "PRODUCTION_TRAFFIC_SHIFT": "production"}
# Statuses that every deployment passes; a line for them would say nothing.
_EXPECTED_STATUSES = {"PENDING", "IN_PROGRESS"}

_ANSWER_STYLES = {"SUCCEEDED": "green", "FAILED": "bold red", "INVALID": "bold red"}


@dataclass(slots=True)
class _Cell:
    """A stage that waits to be written, in case the next one can share its line."""

    at: float
    which: str
    """The deployment, where it is not the scenario's first."""
    label: str
    stage: str = ""
    green: float | None = None
    instant: list[str] = field(default_factory=list)
    """Hooks that said SUCCEEDED at their first call."""


@dataclass(slots=True)
class _Line:
    at: float
    mark: Text
    text: Text
    alike: tuple[str, ...]
    """What must be equal for two steps to count as alike: everything but times and numbers."""


@dataclass(slots=True)
class _Block:
    """The lines of one step of a canary or linear deployment."""

    step: float
    lines: list[_Line] = field(default_factory=list)
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)

    @property
    def alike(self) -> list[tuple[str, ...]]:
        return [line.alike for line in self.lines if line.alike]


class TerminalTimeline:
    """Draws scenarios, one under the other."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._progress: Progress | None = None
        self._repeats = Repeats(0)
        self._begin("")

    def _begin(self, strategy: str) -> None:
        self._now = _Now()
        self._steps_matter = strategy != "BLUE_GREEN"
        self._runs = OpenRuns()
        self._deployments: dict[str, int] = {}
        self._paused_at: dict[tuple[str, str], float] = {}
        self._pending: list[_Cell] = []
        self._block: _Block | None = None
        self._shown_block: _Block | None = None
        self._alike: list[_Block] = []
        self._reason = ""
        """The status reason that was shown last."""

    # What the rehearsal tells

    def scenario_started(self, name: str, description: str, strategy: str, setting: Sequence[str]) -> None:
        self.close()
        self._begin(strategy)
        title = Text(shown(name), style="bold")
        self._console.print(Rule(title, align="left", style="bright_black", characters="─"))
        if description:
            self._print("  ", Text(shown(description)))
        self._print("  ", Text(" · ".join(shown(part) for part in setting), style="bright_black"))
        # A recording keeps what was printed; a line that comes and goes has no place in it.
        if not self._console.record:
            self._live = Live(self._now, console=self._console, transient=True, refresh_per_second=10)
            self._live.start()

    def saw(self, happening: Happening) -> None:
        self._no_answer(self._runs.abandoned_by(happening), happening.at)
        match happening:
            case StageEntered():
                self._saw_stage(happening)
            case WeightsChanged():
                self._saw_weights(happening)
            case HookCalled():
                self._saw_call(happening)
            case PauseChanged():
                self._saw_pause(happening)
            case StatusChanged():
                self._saw_status(happening)
            case ActorSpoke(at=at, actor=actor, text=text):
                line = Text.assemble((shown(actor), "magenta"), "  ", shown(text))
                self._write(at, Text("◆", "magenta"), line, ("actor", actor))
        self._now.saw(happening, self._runs)

    def scenario_ended(self, outcome: Outcome) -> None:
        self._flush()
        self._no_answer(self._runs.abandon(), outcome.duration_seconds)
        self._end_block()
        self._end_alike()
        self.close()
        if outcome.status_reason and not self._reason and outcome.status != "SUCCESSFUL":
            self._print(" " * 12, Text(shown(outcome.status_reason), style="bright_black"))
        for mark, text in _verdict(outcome):
            self._print(mark, text)
        self._console.print()

    def tour_ended(self, outcomes: Sequence[Outcome]) -> None:
        self._console.print(tour_table(outcomes))

    def repeat_started(self, total: int) -> None:
        self.close()
        self._repeats = Repeats(total)
        if self._console.record:
            return
        self._progress = Progress(
            TextColumn("  {task.description}"),
            BarColumn(complete_style="green", finished_style="green"),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._progress.add_task("rehearsing", total=total)
        self._progress.start()

    def repeat_advanced(self, outcome: Outcome) -> None:
        self._repeats.add(outcome)
        if self._progress is not None:
            task = self._progress.tasks[0]
            wrong = self._repeats.surprising
            text = f"[red]{wrong} not as expected[/]" if wrong else "as expected"
            self._progress.update(task.id, advance=1, description=text)

    def repeat_ended(self) -> None:
        self.close()
        self._console.print(repeat_table(self._repeats))
        for text in surprise_lines(self._repeats):
            self._print(Text("  ✗ ", "bold red"), text)
        if (more := self._repeats.surprising - len(self._repeats.surprises)) > 0:
            self._print("    ", Text(f"and {more} more", "bright_black"))

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    # One method per kind of happening

    def _saw_stage(self, entered: StageEntered) -> None:
        step = None if entered.rollback else entered.step
        in_block = self._block is not None
        if (step is None and in_block and entered.stage != "BAKE_TIME") or (
            step is not None and (self._block is None or self._block.step != step)
        ):
            self._flush()
            self._end_block()
            if step is not None and self._steps_matter:
                self._block = _Block(step)
            else:
                self._end_alike()
        label = shown(entered.stage)
        if step is not None and self._steps_matter and entered.stage != "BAKE_TIME":
            label += f" {percent(step)}"
        if entered.rollback:
            label += " ↩"
        self._pending.append(_Cell(entered.at, self._which(entered.deployment), label, entered.stage))

    def _saw_weights(self, weights: WeightsChanged) -> None:
        last = self._pending[-1] if self._pending else None
        if last is None or _SHIFTS.get(last.stage) != weights.route or last.green is not None:
            last = _Cell(weights.at, self._which(weights.deployment), f"{weights.route} traffic")
            self._pending.append(last)
        last.green = weights.green

    def _saw_call(self, call: HookCalled) -> None:
        run = self._runs.add(call)
        last = self._pending[-1] if self._pending else None
        at_once = run.answered and len(run.calls) == 1 and call.answer == "SUCCEEDED"
        if at_once and not would_refuse(call) and last is not None and last.stage == call.stage:
            last.instant.append(shown(call.hook))
            return
        self._flush()
        if run.answered:
            self._answered(run)

    def _answered(self, run: HookRun) -> None:
        last = run.last
        if self._block is not None:
            self._block.calls[last.hook] += len(run.calls)
            self._block.answers[last.hook, last.answer] += 1
        style = _ANSWER_STYLES.get(last.answer, "")
        line = Text.assemble(self._which(last.deployment), (shown(last.hook), "bold"), "  ")
        if run.again:
            line.append("asked again  ")
        elif len(run.calls) > 1:
            line.append(f"asked {len(run.calls)}×  ")
        line.append_text(Text.assemble("→ ", (last.answer, style)))
        if len(run.calls) > 1:
            line.append(f" after {duration(run.seconds)}")
        if would_refuse(last):
            line.append("  would refuse", style="yellow")
        # A reason for going on is in the record; a reason for not going on is what the reader is here for.
        if (last.answer != "SUCCEEDED" or would_refuse(last)) and (reason := why(last)):
            line.append(f"  {reason}", style="bright_black")
        self._write(last.at, Text("●", style), line, ("hook", last.hook, last.stage, last.answer))

    def _saw_pause(self, pause: PauseChanged) -> None:
        key = (pause.deployment, pause.hook_id)
        if pause.status == "AWAITING_ACTION":
            self._flush()
            self._paused_at[key] = pause.at
            return
        waited = duration(pause.at - self._paused_at.pop(key, pause.at))
        style = _ANSWER_STYLES.get(pause.status, "bold red" if "TIMED" in pause.status else "")
        line = Text.assemble(
            *(self._which(pause.deployment), (shown(pause.hook_id, HOOK_ID_CELLS), "bold")),
            *(f"  waited {waited} → ", (shown(pause.status), style)),
        )
        self._write(pause.at, Text("●", style), line, ("pause", pause.stage, pause.status))

    def _saw_status(self, change: StatusChanged) -> None:
        newer = bool(self._deployments) and change.deployment not in self._deployments
        which = self._which(change.deployment)
        if newer:
            self._write(change.at, Text("■", "cyan"), Text(f"{which}a newer deployment begins"), ("newer",))
        if change.status in _EXPECTED_STATUSES:
            return
        self._flush()
        self._end_block()
        self._end_alike()
        style = outcome_style(change.status)
        line = Text.assemble(which, (shown(change.status), style))
        if change.reason and change.reason != self._reason:
            self._reason = change.reason
            line.append(f"  {because(change.reason)}", style="bright_black")
        self._write(change.at, Text("■", style), line, ("status", change.status))

    # Putting together, and writing

    def _which(self, deployment: str) -> str:
        """Name a deployment other than the scenario's first."""
        number = self._deployments.setdefault(deployment, len(self._deployments) + 1)
        return "" if number == 1 else f"[{number}] "

    def _no_answer(self, runs: Sequence[HookRun], at: float) -> None:
        for run in runs:
            line = Text.assemble(
                *(self._which(run.last.deployment), (shown(run.last.hook), "bold")),
                *(f"  asked {len(run.calls)}×  → ", ("no answer", "yellow")),
            )
            self._write(at, Text("○", "yellow"), line, ("hook", run.last.hook, run.last.stage))

    def _flush(self) -> None:
        cells, self._pending = self._pending, []
        chain: list[_Cell] = []
        for index, cell in enumerate(cells):
            if chain and chain[-1].which != cell.which:
                self._write_chain(chain)
                chain = []
            if cell.green is None:
                chain.append(cell)
                continue
            self._write_chain(chain)
            chain = []
            bar = Text.assemble((cell.which + cell.label).ljust(STAGE_CELLS), " ", weight_bar(cell.green))
            bar.append_text(_instant(cell, "  "))
            if index + 2 == len(cells) and cells[-1].stage == "BAKE_TIME" and self._block is not None:
                cells.pop()
                bar.append(" · BAKE_TIME", style="bright_black")
            self._write(cell.at, _RAIL, bar, ("weights", cell.stage))
        self._write_chain(chain)

    def _write_chain(self, chain: Sequence[_Cell]) -> None:
        # Bake time follows every step but the last, which is like the others all the same.
        names = tuple(cell.stage for cell in chain if cell.stage != "BAKE_TIME")
        if chain:
            parts = [Text(cell.label).append_text(_instant(cell)) for cell in chain]
            line = Text(chain[0].which).append_text(Text(" · ", style="bright_black").join(parts))
            self._write(chain[0].at, _RAIL, line, ("stages", *names) if names else ())

    def _write(self, at: float, mark: Text, text: Text, alike: tuple[str, ...]) -> None:
        self._flush()
        line = _Line(at, mark, text, alike)
        if self._block is not None:
            self._block.lines.append(line)
        else:
            self._print_line(line)

    def _end_block(self) -> None:
        block, self._block = self._block, None
        if block is None:
            return
        if self._shown_block is not None and self._shown_block.alike == block.alike:
            self._alike.append(block)
            return
        self._end_alike()
        self._print_block(block)

    def _end_alike(self) -> None:
        blocks, self._alike = self._alike, []
        if len(blocks) == 1:
            self._print_block(blocks[0])
        elif blocks:
            line = Text(f"{len(blocks)} more steps alike".ljust(STAGE_CELLS) + " ")
            line.append_text(weight_bar(blocks[-1].step))
            self._print_line(_Line(blocks[-1].lines[-1].at, Text("⋮", "bright_black"), line, ()))
            for hook, answer in dict.fromkeys(key for block in blocks for key in block.answers):
                asked = sum(block.calls[hook] for block in blocks)
                answers = sum(block.answers[hook, answer] for block in blocks)
                line = Text.assemble((shown(hook), "bold"), f"  asked {asked}×  → {answers}× ")
                line.append(answer, style=_ANSWER_STYLES.get(answer, ""))
                self._print(Text(_RAIL_MARGIN + "⋮ ", "bright_black"), line)

    def _print_block(self, block: _Block) -> None:
        self._shown_block = block
        for line in block.lines:
            self._print_line(line)

    def _print_line(self, line: _Line) -> None:
        margin = Text.assemble((f"{clock(line.at):>9} ", "bright_black"), line.mark, " ")
        self._print(margin, line.text, Text(_RAIL_MARGIN + "│ ", "bright_black"))

    def _print(self, margin: Text | str, text: Text, next_margin: Text | None = None) -> None:
        """Print *text* behind *margin*; what wraps stands under its own beginning."""
        first = Text(margin) if isinstance(margin, str) else margin
        rest = next_margin or Text(" " * first.cell_len)
        for index, part in enumerate(text.wrap(self._console, max(self._console.width - first.cell_len, 20))):
            part.rstrip()
            self._console.print(
                Text.assemble(rest if index else first, part), highlight=False, soft_wrap=True
            )


_RAIL_MARGIN = " " * 10
_RAIL = Text("│", "bright_black")


class _Now:
    """The live line: where the scenario is, and what it waits for."""

    def __init__(self) -> None:
        self._at = 0.0
        self._stage = ""
        self._waits = ""

    def saw(self, happening: Happening, runs: OpenRuns) -> None:
        self._at = happening.at
        if isinstance(happening, StageEntered):
            step = "" if happening.step is None else f" {percent(happening.step)}"
            self._stage = shown(happening.stage) + step
        if isinstance(happening, HookCalled):
            self._waits = ", ".join(f"{shown(run.first.hook)} asked {len(run.calls)}×" for run in runs.open())

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        frame = FRAMES[int(console.get_time() * 10) % len(FRAMES)]
        text = Text.assemble(
            (f"{clock(self._at):>9} ", "bright_black"), (frame, "cyan"), f" {self._stage}  ", self._waits
        )
        text.truncate(options.max_width)
        yield text


def weight_bar(green: float) -> Text:
    """Draw green's and blue's share of traffic; the two differ without colour as well."""
    cells = round(share(green) / 100 * BAR_CELLS)
    # A canary of a few percent is not nothing.
    if green > 0 and cells == 0:
        cells = 1
    bar = Text("█" * cells, style="green").append("░" * (BAR_CELLS - cells), style="blue")
    return bar.append(f" green {percent(green)}" if green > 0 else " blue 100 %", style="default")


def _instant(cell: _Cell, gap: str = " ") -> Text:
    text = Text()
    for hook, times in Counter(cell.instant).items():
        text.append(f"{gap}{hook}", style="bold").append(" ✓" * times, style="green")
    return text


def _verdict(outcome: Outcome) -> list[tuple[Text, Text]]:
    calls = len(outcome.calls)
    facts = Text(
        f"{duration(outcome.duration_seconds)}, {calls} {'call' if calls == 1 else 'calls'}", "bright_black"
    )
    if not outcome.checks:
        return [(Text("  ○ "), Text.assemble("no expectations stated  ", facts))]
    if outcome.as_expected:
        held = " · ".join(shown(check.text) for check in outcome.checks)
        return [
            (Text("  ✓ ", "bold green"), Text.assemble(("as expected  ", "bold green"), f"{held}  ", facts))
        ]
    lines = [(Text("  ✗ ", "bold red"), Text.assemble(("not as expected  ", "bold red"), facts))]
    for check in outcome.checks:
        if check.held:
            lines.append((Text("    ✓ ", "green"), Text(shown(check.text))))
        else:
            lines.append(
                (Text.assemble(("    ✗ ", "bold red"), "expected: "), Text(shown(check.text), "bold"))
            )
            lines.append((Text("      seen:     "), Text(shown(check.seen), "bold red")))
    return lines
