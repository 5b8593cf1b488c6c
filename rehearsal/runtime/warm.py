"""Functions that are kept warm: one started thing per function, replaced when its environment changes."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack

from rehearsal.runtime import LambdaFunction


class WarmFunctions[StartedT]:
    """Starts functions when they are first needed, and hands each to one caller at a time."""

    def __init__(
        self, start: Callable[[LambdaFunction, Mapping[str, str]], AbstractContextManager[StartedT]]
    ) -> None:
        self._start = start
        self._slots: dict[str, _Slot[StartedT]] = {}
        self._adding = threading.Lock()

    @contextlib.contextmanager
    def turn(self, function: LambdaFunction, environment: Mapping[str, str]) -> Iterator[StartedT]:
        """Wait for this function's turn, and for its start where it is cold."""
        with self._adding:
            slot = self._slots.setdefault(function.logical_id, _Slot())
        with slot.turn:
            if slot.started is None or slot.environment != environment:
                slot.end()
                slot.started = slot.running.enter_context(self._start(function, environment))
                slot.environment = dict(environment)
            yield slot.started

    def close(self) -> None:
        """End all that runs."""
        for slot in self._slots.values():
            with slot.turn:
                slot.end()


class _Slot[StartedT]:
    """One function."""

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.running = ExitStack()
        self.started: StartedT | None = None
        self.environment: dict[str, str] = {}

    def end(self) -> None:
        self.started = None
        self.running.close()
