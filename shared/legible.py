"""Text that came from outside, made safe to look at.

Comments and names come from people, records from deployed code. A control character in them could move
a terminal's cursor, and a bidirectional override could make ``REJECTED`` look like something else.
"""

import unicodedata

# Nobody reads more of a comment or a reason on one line.
MAX_LINE_CHARACTERS = 400

# Cc: terminal escapes. Cf: bidirectional overrides. Cs: lone surrogates, which no encoding takes.
_ACTING = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def legible(text: object, at_most: int = MAX_LINE_CHARACTERS) -> str:
    """Return *text* on one line of at most *at_most* characters, what acts on a screen shown as ``·``."""
    line = without_acting(" ".join(_written(text)[: 4 * at_most].split()))
    return line if len(line) <= at_most else line[: at_most - 1] + "…"


def without_acting(text: str) -> str:
    """Return *text* with its lines kept, and what acts on a screen shown as ``·``."""
    if text.isprintable():
        return text
    # A form sends its line breaks as \r\n.
    plain = text.replace("\r\n", "\n").replace("\t", " ")
    return "".join(
        character if character == "\n" or unicodedata.category(character) not in _ACTING else "·"
        for character in plain
    )


def _written(value: object) -> str:
    if isinstance(value, str):
        return value
    try:
        return str(value)
    except (ValueError, RecursionError):  # more than 4300 digits, or nested deeper than Python goes
        return "…"
