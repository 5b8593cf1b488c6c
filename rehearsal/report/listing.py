"""What `rehearse list` prints: names and what they mean, in two columns."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

# Wide enough that nothing wraps on its way to grep.
PIPED_COLUMNS = 240


def print_listing(sections: Mapping[str, Sequence[tuple[str, str]]]) -> None:
    """Print each section's names with their meanings."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPED_COLUMNS)
    for title, rows in sections.items():
        console.print(f"[bold]{title}[/bold]")
        table = Table.grid(padding=(0, 2))
        table.add_column(overflow="fold", max_width=44)
        table.add_column(overflow="fold")
        for name, meaning in rows:
            table.add_row(f"  {name}".replace("[", r"\["), meaning.strip().replace("[", r"\["))
        console.print(table)
        console.print()
