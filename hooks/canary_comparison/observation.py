"""What was seen of one metric: green beside blue, minute by minute.

Only whole, closed minutes are in here, in order and each once. A minute that is not known for both
revisions is not in ``minutes`` but in ``missing``: absent is not zero, and unknown is not good.
"""

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

MINUTE = timedelta(minutes=1)


class Kind(enum.StrEnum):
    """What a metric counts or measures."""

    PROPORTION = "proportion"
    """Bad events out of all, such as errors out of requests."""
    SLOW = "slow"
    """Requests that took longer than a threshold, out of all."""
    GAUGE = "gauge"
    """One value a minute, such as a percentile of latency."""

    @property
    def is_counted(self) -> bool:
        """Whether minutes are :class:`Split`, rather than :class:`Reading`."""
        return self is not Kind.GAUGE


class Split(NamedTuple):
    """One minute of a proportion: how the events, and the bad ones among them, fell to the revisions.

    CloudWatch interpolates some counts, so that they need not be whole.
    """

    start: datetime
    green_bad: float
    green_total: float
    blue_bad: float
    blue_total: float


class Reading(NamedTuple):
    """One minute of a gauge."""

    start: datetime
    green: float
    blue: float


@dataclass(frozen=True, slots=True)
class Observation:
    """What is known of a metric in the time watched."""

    metric: str
    """Its name in the settings."""
    kind: Kind
    minutes: tuple[Split, ...] | tuple[Reading, ...]
    missing: tuple[datetime, ...] = ()
    """Closed minutes of which one side, or both, are not known."""
    problem: str = ""
    """Why they are not, in words for a person: the last reason where there are several."""
    threshold: float | None = None
    """Seconds above which a request counted as slow."""
