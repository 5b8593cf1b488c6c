"""Several execution environments at once, in one process, which take turns at every call of AWS.

::

    outcome = play([alice, bob, clock], schedule=[0, 1, 1, 0, ...], faults=cloud.faults)

    alice  ──ssm──┐        ┌──ecs── ... ──▶ returns
    bob           └──ssm───┘                          each is in a thread of its own, and one of them runs

What happens between two calls of AWS can be seen by nobody else, so this is every order that there can be,
chosen by the schedule and the same in each run. Lambda gives an environment one request at a time: what
belongs to the process is put aside with each turn.
"""

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from aws_lambda_powertools.event_handler.api_gateway import BaseRouter

from rehearsal.aws.call import Call
from rehearsal.aws.faults import Faults
from rehearsal.runtime.in_process import LOGGER

# A schedule that makes a party wait for another for ever would be a defect of this module.
STUCK_SECONDS = 30

_ROUTER = ("current_event", "lambda_context")


class _Own:
    """What a process has once, and each execution environment for itself."""

    def __init__(self) -> None:
        self.environ = dict(os.environ)
        self.stdout = sys.stdout
        self.streams = [(handler, handler.stream) for handler in _handlers()]
        self.router = {name: vars(BaseRouter)[name] for name in _ROUTER if name in vars(BaseRouter)}

    def put_back(self) -> None:
        os.environ.clear()
        os.environ.update(self.environ)
        sys.stdout = self.stdout
        for handler, stream in self.streams:
            handler.stream = stream
        for name in _ROUTER:
            if name in self.router:
                setattr(BaseRouter, name, self.router[name])


def _handlers() -> list[logging.StreamHandler[Any]]:
    found = logging.getLogger(LOGGER).handlers
    return [handler for handler in found if isinstance(handler, logging.StreamHandler)]


class _Party:
    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work
        self.turn = threading.Semaphore(0)
        self.own = _Own()
        self.is_over = False
        self.result: Any = None
        self.error: BaseException | None = None


class _Turns:
    def __init__(self, works: Sequence[Callable[[], Any]], schedule: Sequence[int]) -> None:
        self.parties = [_Party(work) for work in works]
        self.schedule = iter(schedule)
        self.over = threading.Semaphore(0)
        self.mine = threading.local()

    def play(self, faults: Faults) -> list[Any]:
        before = _Own()
        threads = [threading.Thread(target=self._run, args=(party,), daemon=True) for party in self.parties]
        with _watching(faults, self._between):
            for thread in threads:
                thread.start()
            self._next()
            assert self.over.acquire(timeout=STUCK_SECONDS), "nobody's turn"
            for thread in threads:
                thread.join(STUCK_SECONDS)
        before.put_back()
        for party in self.parties:
            if party.error is not None:
                raise party.error
        return [party.result for party in self.parties]

    def _run(self, party: _Party) -> None:
        self.mine.party = party
        assert party.turn.acquire(timeout=STUCK_SECONDS)
        party.own.put_back()
        try:
            party.result = party.work()
        except BaseException as error:  # noqa: BLE001  # raised where the parties are played
            party.error = error
        party.is_over = True
        self._next()

    def _between(self) -> None:
        """Before a call: let whoever is next go on."""
        party: _Party | None = getattr(self.mine, "party", None)
        # A thread that a function has started itself goes on with it.
        if party is None:
            return
        party.own = _Own()
        self._next()
        assert party.turn.acquire(timeout=STUCK_SECONDS)
        party.own.put_back()

    def _next(self) -> None:
        left = [party for party in self.parties if not party.is_over]
        if left:
            # Without a word, in the order they stand in.
            left[next(self.schedule, 0) % len(left)].turn.release()
        else:
            self.over.release()


@contextlib.contextmanager
def _watching(faults: Faults, between: Callable[[], None]) -> Iterator[None]:
    def watch(_call: Call, _identity: str) -> None:
        between()

    fault = faults.add(action="*", make=watch)
    try:
        yield
    finally:
        faults.remove(fault)


def play(works: Sequence[Callable[[], Any]], schedule: Sequence[int], faults: Faults) -> list[Any]:
    """Do all these works at once; return what each returned.

    Parameters
    ----------
    schedule
        Whose turn it is at the beginning, and before each call of AWS, as a number among those who are not
        over yet; where it ends, whoever is first goes on.

    Raises
    ------
    BaseException
        What the first of them raised.
    """
    return _Turns(works, schedule).play(faults)
