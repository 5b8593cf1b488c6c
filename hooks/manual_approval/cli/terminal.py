"""The terminal: what is printed, what is asked, and how texts of others are shown on it.

Comments, names and images were written by somebody. None of it is read as markup, and whatever a terminal
would obey (escapes, line ends, text that runs backwards) is shown as ``·``.
"""

import json
import sys
from collections.abc import Sequence

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from hooks.manual_approval.request import MAX_COMMENT_CHARACTERS
from shared.legible import legible

# Wide enough that nothing wraps on its way to grep.
PIPED_COLUMNS = 240

# Above all that is shown: a comment has 500, an ARN 2048 at most.
MAX_CHARACTERS = 2048


def console(*, to_err: bool = False) -> Console:
    """Return the console of what was asked for, or that of questions and complaints."""
    found = Console(stderr=to_err, highlight=False, markup=False, emoji=False)
    if not found.is_terminal:
        found.width = PIPED_COLUMNS
    return found


def printed(*lines: RenderableType, to_err: bool = False) -> None:
    """Print lines; into a pipe without the blanks that fill them up."""
    found = console(to_err=to_err)
    if found.is_terminal:
        for line in lines:
            found.print(line)
        return
    with found.capture() as captured:
        for line in lines:
            # A sentence is a line, however long it is.
            found.print(line, soft_wrap=isinstance(line, Text))
    found.file.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))
    found.file.flush()


def complained(text: str) -> None:
    """Print a complaint, on one line however long it is."""
    found = console(to_err=True)
    found.print(Text.assemble(("approvals: ", "bold"), plain(text)), soft_wrap=True)


def write_json(document: object, *, on_one_line: bool = False) -> None:
    """Print a document; in ASCII, so that no terminal obeys what stands in it."""
    sys.stdout.write(json.dumps(document, indent=None if on_one_line else 2) + "\n")
    sys.stdout.flush()


def plain(text: str) -> str:
    """Return a text of somebody's on one line, with what a terminal would obey made visible."""
    return legible(text, MAX_CHARACTERS)


def grid() -> Table:
    """Return a table of names and values, without a head."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def listing(*columns: str, fixed: Sequence[str] = ()) -> Table:
    """Return a table with a head; columns in *fixed* are never wrapped."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in fixed)
    return table


def is_answerable() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty()


def asked(question: str) -> str:
    """Ask, and return what is typed; empty at the end of input."""
    found = console(to_err=True)
    found.print(Text(question), end="", soft_wrap=True)
    found.file.flush()
    return sys.stdin.readline().strip()


def asked_comment(question: str) -> str:
    """Ask for a comment until it is of a length that can be kept."""
    while len(comment := asked(question)) > MAX_COMMENT_CHARACTERS:
        printed(Text(f"at most {MAX_COMMENT_CHARACTERS} characters, it has {len(comment)}"), to_err=True)
    return comment
