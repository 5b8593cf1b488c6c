"""The tables under a timeline: of a tour's scenarios, and of many runs."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from rehearsal.outcome import Outcome
from rehearsal.report.plain import spread, spread_of_time
from rehearsal.report.repeats import Repeats
from rehearsal.report.virtual_time import duration
from rehearsal.report.wording import shown, switched


def outcome_style(status: str) -> str:
    """Return how a deployment's status is coloured."""
    if status == "SUCCESSFUL":
        return "bold green"
    if status == "ROLLBACK_FAILED":
        return "bold red"
    if status.startswith(("ROLLBACK", "STOP")):
        return "bold yellow"
    return "bold"


def tour_table(outcomes: Sequence[Outcome]) -> Table:
    """Lay out one row per scenario, and how many ended as they should."""
    held = sum(outcome.as_expected for outcome in outcomes)
    table = _table()
    table.add_column(
        "scenario", f"{len(outcomes)} scenarios" if len(outcomes) != 1 else "1 scenario", overflow="fold"
    )
    table.add_column("ended as")
    table.add_column("virtual time", justify="right")
    table.add_column("calls", str(sum(len(outcome.calls) for outcome in outcomes)), justify="right")
    style = "bold green" if held == len(outcomes) else "bold red"
    table.add_column("expected?", Text(f"{held} of {len(outcomes)}", style=style))
    for outcome in outcomes:
        name = Text(shown(outcome.scenario))
        for switch in switched(outcome.switches):
            name.append(f"\n{switch}", style="bright_black")
        table.add_row(
            name,
            Text(shown(outcome.status), style=outcome_style(outcome.status)),
            duration(outcome.duration_seconds),
            str(len(outcome.calls)),
            Text("✓", style="green") if outcome.as_expected else Text("✗ no", style="bold red"),
        )
    return table


def repeat_table(repeats: Repeats) -> Table:
    """Lay out one row per scenario with what its runs had in common."""
    table = _table(footer=False)
    table.add_column("scenario", overflow="fold")
    table.add_column("runs", justify="right")
    table.add_column("ended as")
    table.add_column("virtual time")
    table.add_column("calls")
    table.add_column("as expected", justify="right")
    for name, group in repeats.groups.items():
        statuses = [
            Text.assemble(f"{count} ", (shown(status), outcome_style(status)))
            for status, count in sorted(group.statuses.items())
        ]
        style = "bold green" if group.as_expected == group.runs else "bold red"
        table.add_row(
            *(shown(name), str(group.runs), Text("\n").join(statuses)),
            *(spread_of_time(group.seconds), spread(group.calls)),
            Text(str(group.as_expected), style=style),
        )
    return table


def surprise_lines(repeats: Repeats) -> Iterator[Text]:
    """Say which runs did not end as expected, and how to run them again."""
    for surprise in repeats.surprises:
        switches = "".join(f" --switch {switch}" for switch in switched(surprise.switches))
        yield Text.assemble(
            (f"{shown(surprise.scenario)} --seed {surprise.seed}{switches}", "bold"),
            f"  expected: {shown(surprise.text)}; seen: ",
            (shown(surprise.seen), "bold red"),
        )


def _table(*, footer: bool = True) -> Table:
    return Table(
        box=box.SIMPLE_HEAD,
        show_footer=footer,
        header_style="bright_black",
        border_style="bright_black",
        footer_style="bold",
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
