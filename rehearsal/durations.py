"""Durations as people write them: ``45s``, ``10m``, ``1h30m``, ``2d``, or plain seconds."""

import re
from typing import Annotated

from pydantic import BeforeValidator

_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_PATTERN = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")

# Far beyond what ECS lets anything take, and near enough for dates to be computed with.
_LONGEST_SECONDS = 365 * 86_400


def seconds(text: object) -> float:
    """Read a duration; raises ``ValueError`` for anything else, negative and endless ones included."""
    if isinstance(text, int | float) and not isinstance(text, bool) and 0 <= text <= _LONGEST_SECONDS:
        return float(text)
    if isinstance(text, str) and text.strip() and (match := _PATTERN.fullmatch(text.replace(" ", ""))):
        parts = zip(match.groups(), _UNITS.values(), strict=True)
        total = sum(float(part) * unit for part, unit in parts if part)
        if total <= _LONGEST_SECONDS:
            return total
    raise ValueError("expected a duration such as 45s, 10m or 1h30m, of at most 365d")


Duration = Annotated[float, BeforeValidator(seconds)]
"""Seconds, in a pydantic model."""
