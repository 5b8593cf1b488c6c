"""What `rehearse list` prints: names, and under each what it means."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

# Wide enough that nothing wraps on its way to grep.
PIPED_COLUMNS = 240


def print_listing(sections: Mapping[str, Sequence[tuple[str, str]]]) -> None:
    """Print each section's names with their meanings."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPED_COLUMNS)
    for title, rows in sections.items():
        console.print(Text(title, style="bold"))
        for name, meaning in rows:
            console.print(Padding(Text(name), (0, 0, 0, 2), expand=False))
            console.print(Padding(Text(meaning.strip(), style="dim"), (0, 0, 0, 6), expand=False))
        console.print()
