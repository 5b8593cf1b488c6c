"""Evidence that a gauge of green is worse: an e-process on which side of a ratio each minute falls.

Values of a minute, such as a percentile, have no counts to pool. What is counted is in how many minutes
green was worse by more than is tolerated. If it is not, that is no likelier than a coin's head, and the
evidence is that of a coin that shows too many::

    E = mean over p of (2 p) ** heads * (2 (1 - p)) ** tails

No scale, no distribution, and one wild minute counts as one. About ten minutes are the least it takes.
"""

import math
from collections.abc import Sequence
from typing import Literal

from hooks.canary_comparison.evidence import Evidence
from hooks.canary_comparison.observation import Reading

# How likely a head may be, and how likely each of these is thought.
_COINS = tuple((math.log(2 * p), math.log(2 * (1 - p)), math.log(0.25)) for p in (0.65, 0.8, 0.9, 0.97))

Direction = Literal["increase", "decrease"]


def exceeds(reading: Reading, ratio: float, direction: Direction) -> bool:
    """Tell whether green is worse than *ratio* times blue; where blue is 0, whether it is worse at all."""
    difference = reading.green - reading.blue
    if direction == "increase":
        return difference > (ratio - 1) * abs(reading.blue)
    return -difference > (1 - 1 / ratio) * abs(reading.blue)


def weigh_readings(
    readings: Sequence[Reading], *, tolerated: float, unacceptable: float, direction: Direction, warm_up: int
) -> Evidence:
    """Weigh the minutes that are known, in order; those of the warm-up say nothing.

    Takes what ``evidence.weigh`` takes, and *direction*: what is worse.
    """
    warm = readings[warm_up:]
    against = [0.0] * min(warm_up, len(readings))
    heads = tails = below = 0
    for reading in warm:
        worse = exceeds(reading, tolerated, direction)
        heads, tails = heads + worse, tails + (not worse)
        against.append(_coin(heads, tails))
        below += not exceeds(reading, unacceptable, direction)
    return Evidence(
        against=tuple(against),
        gross=(0.0,) * len(against),
        in_favour=_coin(below, len(warm) - below),
    )


def _coin(heads: int, tails: int) -> float:
    logs = [heads * head + tails * tail + likely for head, tail, likely in _COINS]
    top = max(logs)
    return top + math.log(sum([math.exp(log - top) for log in logs]))
