"""The clocks a rehearsal can run on.

Both are simpy environments whose ``now`` is seconds since the start. The virtual one jumps from
happening to happening and takes Python's own clock with it (time-machine), so that hooks, boto3 and
moto all live in the same moment; the real one waits.
"""

import contextlib
import mmap
import queue
import struct
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import simpy
import time_machine

# Virtual time begins at a fixed moment, so that equal seeds give equal outcomes.
EPOCH = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class VirtualEnvironment(simpy.Environment):
    """Time that passes only when something happens."""

    def __init__(self, epoch: datetime = EPOCH) -> None:
        super().__init__()
        self.epoch = epoch
        self._traveller: time_machine.Traveller | None = None
        self._shared: ClockFile | None = None

    @contextlib.contextmanager
    def travelling(self, clock_file: "ClockFile | None" = None) -> Iterator[None]:
        """Take the process's clock along; with *clock_file*, also those of functions in other processes."""
        self._shared = clock_file
        with time_machine.travel(self.epoch, tick=False) as traveller:
            self._traveller = traveller
            self._tell()
            yield
        self._traveller = None

    def post(self, action: Callable[[], None]) -> None:
        """Let *action* happen now."""
        action()

    def step(self) -> None:
        """Process the next happening, with all clocks at its time."""
        upcoming = self.peek()
        if upcoming > self._now and upcoming != float("inf"):
            self._tell(upcoming)
        super().step()

    def _tell(self, at: float | None = None) -> None:
        moment = self.epoch + timedelta(seconds=self._now if at is None else at)
        if self._traveller is not None:
            self._traveller.move_to(moment, tick=False)
        if self._shared is not None:
            self._shared.write(moment.timestamp())


class RealEnvironment(simpy.Environment):
    """Time as it passes. What other threads post happens at once, not at the next happening."""

    def __init__(self) -> None:
        super().__init__()
        self.epoch = datetime.now(UTC)
        self._started = time.monotonic()
        self._posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thread = threading.get_ident()

    @contextlib.contextmanager
    def travelling(self, _clock_file: "ClockFile | None" = None) -> Iterator[None]:
        """Do nothing: every process has this clock already."""
        yield

    def post(self, action: Callable[[], None]) -> None:
        """Let *action* happen now; simpy itself may be touched by its own thread only."""
        if threading.get_ident() == self._thread:
            action()
        else:
            self._posted.put(action)

    def step(self) -> None:
        """Wait for the next happening, or for something posted, and process it."""
        while (left := self._started + self.peek() - time.monotonic()) > 0:
            try:
                action = self._posted.get(timeout=min(left, threading.TIMEOUT_MAX))
            except queue.Empty:
                break
            self._now = max(self._now, time.monotonic() - self._started)
            action()
        super().step()


class ClockFile:
    """Virtual time for functions that run in processes of their own: eight bytes, little-endian, seconds."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(struct.pack("<d", 0.0))
        self.path = path
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 8)

    def write(self, timestamp: float) -> None:
        self._map[:] = struct.pack("<d", timestamp)

    def close(self) -> None:
        self._map.close()


Environment = VirtualEnvironment | RealEnvironment
Process = simpy.events.ProcessGenerator
Event = simpy.Event
AnyEvent = Any
