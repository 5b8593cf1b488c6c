"""What timeline and page say alike: text made safe to show, percentages, and why a hook answered.

Comments and names in an outcome come from people and from deployed code. Control characters in them
could move a terminal's cursor or turn a line's direction; :func:`shown` takes that power away. HTML is
escaped by the template, not here.
"""

import math
import unicodedata
from collections.abc import Mapping
from typing import Any

from rehearsal.outcome import HookCalled

# Nobody reads more of a comment on a time line; the page shows the record in full.
MAX_LINE_CHARACTERS = 400

# Cc: terminal escapes. Cf: bidirectional overrides. Cs: lone surrogates, which no encoding takes.
_UNSHOWABLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def shown(text: object, at_most: int = MAX_LINE_CHARACTERS) -> str:
    """Return *text* on one line, with characters that act on a terminal replaced by ``·``."""
    line = " ".join(str(text)[: 4 * at_most].split())
    line = "".join("·" if unicodedata.category(character) in _UNSHOWABLE else character for character in line)
    return line if len(line) <= at_most else line[: at_most - 1] + "…"


def showable(text: object) -> str:
    """Return *text* with its lines kept, and the same characters replaced; for preformatted blocks."""
    return "".join(
        character if character == "\n" or unicodedata.category(character) not in _UNSHOWABLE else "·"
        for character in str(text)
    )


def percent(value: float) -> str:
    """Format a percentage: ``10 %``, ``12.5 %``."""
    return f"{round(value, 1):g} %"


def share(value: float) -> float:
    """Return a percentage between 0 and 100, whatever was recorded."""
    return min(max(value, 0.0), 100.0) if math.isfinite(value) else 0.0


def switched(switches: Mapping[str, str]) -> list[str]:
    """Return switches as the command line takes them, sorted by name."""
    return [f"{shown(name)}={shown(value)}" for name, value in sorted(switches.items())]


def why(call: HookCalled) -> str | None:
    """Return why a hook answered as it did: ECS's error, or the reason in its decision record."""
    if call.error:
        return shown(call.error)
    reason = verdict(call).get("reason")
    return shown(reason) if isinstance(reason, str) and reason.strip() else None


def verdict(call: HookCalled) -> dict[str, Any]:
    """Return the verdict in a call's decision record, with ``answer`` and ``reason`` where it has them."""
    found = (call.record or {}).get("verdict")
    return found if isinstance(found, dict) else {}


def would_refuse(call: HookCalled) -> bool:
    """Tell whether the hook only observed, and would have refused."""
    return bool((call.record or {}).get("wouldRefuse"))


def because(reason: str) -> str:
    """Shorten a status reason to what the lines around it don't say already."""
    short = shown(reason).removeprefix("[").removesuffix("]").removeprefix("Service deployment rolled back ")
    return short.partition(" Lifecycle hook target ")[0]
