"""A clock that plays the past at once, and then goes on in real time.

::

    epoch ────── played on the virtual clock, in a few seconds ──────▶ now ── real time ──▶

So a rehearsal can begin with deployments that have been under way for an hour, with all that happened in that
hour, and every time in it is true.
"""

import contextlib
import queue
from collections.abc import Iterator
from datetime import timedelta

import time_machine

from rehearsal.timing import ClockFile, RealEnvironment


class LandingEnvironment(RealEnvironment):
    """Virtual until ``now`` is *past*, and real from then on."""

    def __init__(self, past: timedelta) -> None:
        super().__init__()
        self.past = past.total_seconds()
        """In seconds; what happens before is played at once."""
        self.epoch -= past
        self._started -= self.past
        self._flight = contextlib.ExitStack()
        self._traveller: time_machine.Traveller | None = None

    @contextlib.contextmanager
    def travelling(self, clock_file: ClockFile | None = None) -> Iterator[None]:
        """Take the process's clock along, until it has landed."""
        assert clock_file is None, "functions in other processes have the real time only"
        with self._flight:
            self._traveller = self._flight.enter_context(time_machine.travel(self.epoch, tick=False))
            yield

    def step(self) -> None:
        """Process the next happening, at its time."""
        if self._traveller is None:
            super().step()
            return
        upcoming = self.peek()
        if upcoming >= self.past:
            self._traveller = None
            self._flight.close()
            super().step()
            return
        # Whoever does not want to wait for the present can say so.
        with contextlib.suppress(queue.Empty):
            self._posted.get_nowait()()
        self._traveller.move_to(self.epoch + timedelta(seconds=upcoming), tick=False)
        super(RealEnvironment, self).step()
