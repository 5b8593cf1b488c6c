"""The time in which both revisions served, and whole minutes of it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from hooks.canary_comparison.observation import MINUTE


@dataclass(frozen=True, slots=True)
class Window:
    """From when until when green is watched beside blue."""

    start: datetime
    end: datetime
    """Not yet reached where watching goes on."""

    def closed_minutes(self, now: datetime, lag: timedelta) -> list[datetime]:
        """Return the starts of the whole minutes in the window that ended at least *lag* before *now*."""
        first = self.start.replace(second=0, microsecond=0)
        if first < self.start:
            first += MINUTE
        last = min(self.end, now - lag)
        return [first + number * MINUTE for number in range(max((last - first) // MINUTE, 0))]
