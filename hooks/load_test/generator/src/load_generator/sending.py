"""One worker's sending: each request at its moment, whatever becomes of those before.

::

    parts of green and blue, merged by time
           │ due
           ▼
    a connection that is idle, or a new one ──▶ answered, failed, timed out ──▶ counted
           │
           └─ none free: held, and never sent

Latency runs from the moment a request was due. A request that leaves late because this process is slow, or
that waits behind a stall, has waited all the same for whoever would have sent it.
"""

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from heapq import merge
from typing import Any, Self

import gevent  # type: ignore[import-untyped]
from gevent.event import Event  # type: ignore[import-untyped]

from load_generator.connection import READABLE, Answer, Connection, Target
from load_generator.histogram import Histogram
from load_generator.job import Job, Request
from load_generator.part import Mix, Part
from load_generator.snapshot import ArmCounts, Counts

# After so many requests in a row the answers are looked at: behind its time a loop that only sends would
# count its own deafness as latency.
_BURST = 8

# How exactly time-outs are kept.
_SWEEP_SECONDS = 0.05

STOP_SECONDS = 5.0
"""How long a run that is stopped waits for the answers that are on their way."""

_STATUSES = range(100, 1000)


@dataclass(slots=True)
class _Lane:
    """Where what becomes of an arm's requests is counted."""

    arm: ArmCounts
    lag: Histogram
    kinds: list[list[int]]
    """By kind of request: answered, with an error."""

    @classmethod
    def of(cls, counts: Counts, arm: str, kinds: tuple[Request, ...]) -> "_Lane":
        pairs = [counts.requests.setdefault(kind.name, [0, 0]) for kind in kinds]
        return cls(counts.arm(arm), counts.lag, pairs)


@dataclass(slots=True)
class _Arm:
    """All that an arm's requests have in common."""

    wires: list[bytes]
    marker: str | None
    first_counted: int
    counted: _Lane
    uncounted: _Lane


@dataclass(slots=True)
class _Sent:
    """A request that waits for its answer."""

    due: float
    kind: int
    arm: _Arm
    lane: _Lane


class Sending:
    """One worker's part of a run.

    Parameters
    ----------
    worker, workers
        Which one of how many.
    markers
        By arm: what its answers' marker has to say. Not asked where the job names no marker.
    """

    def __init__(
        self, job: Job, worker: int, workers: int, *, max_in_flight: int, markers: Mapping[str, str | None]
    ) -> None:
        self.job = job
        self.counts = Counts()
        self.received = 0
        """Bytes of all answers, also of those that don't count."""
        self.done = Event()
        """Nothing is sent any more, and nothing waits for an answer."""
        self._target = Target(job.target, job.timeout_seconds)
        self._marker = job.marker
        self._max_in_flight = max_in_flight
        self._kinds = job.requests
        self._heads = [kind.method == "HEAD" for kind in job.requests]
        self._expected = [_expected(kind) for kind in job.requests]
        self._mix = Mix([kind.weight for kind in job.requests], job.run)
        self._parts = {arm: Part.of(job, arm, worker, workers) for arm in job.shares}
        # Those of the grace period are counted too, where nobody looks: one way for all of them.
        nowhere = Counts()
        self._arms = {
            arm: _Arm(
                [_wire(job, arm, kind, self._target.authority) for kind in job.requests],
                markers.get(arm),
                part.first_counted,
                _Lane.of(self.counts, arm, job.requests),
                _Lane.of(nowhere, arm, job.requests),
            )
            for arm, part in self._parts.items()
        }
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._deadlines: deque[tuple[float, Connection, _Sent]] = deque()
        self._settled = Event()
        self._stopping = Event()
        self._start: float | None = None
        self._reached = 0.0
        self._next: float | None = 0.0

    @property
    def reached(self) -> float:
        """How many seconds of the load have been sent: all that is due before, and nothing after."""
        if self._start is None or self._next is None:
            return self._reached
        return max(min(time.monotonic() - self._start, self._next), 0.0)

    @property
    def in_flight(self) -> int:
        return len(self._busy)

    def stop(self) -> None:
        """Send no more; what is on its way is awaited for a short time."""
        self._stopping.set()

    def run(self) -> None:
        """Send everything, and return when it is answered."""
        if self._start is not None or self._stopping.is_set():
            self.done.set()
            return
        self._start = time.monotonic()
        sweeper = gevent.spawn(self._sweep)
        try:
            with _Alarm() as alarm:
                self._send_all(alarm, self._start)
            self._settled.clear()
            if self._busy:
                self._settle()
        finally:
            self._stopping.set()
            sweeper.kill(block=False)
            self._hang_up()
            self.done.set()

    def _send_all(self, alarm: "_Alarm", start: float) -> None:
        burst = 0
        for due, arm, number in self._timetable():
            self._next = due
            now = time.monotonic()
            if now - start < due:
                burst = 0
                while (wait := start + due - time.monotonic()) > 0:
                    if self._stopping.is_set():
                        break
                    alarm.wait(wait, self._stopping)
                now = time.monotonic()
            elif (burst := burst + 1) % _BURST == 0:
                gevent.sleep(0)
                now = time.monotonic()
            if self._stopping.is_set():
                self._reached, self._next = self.reached, None
                return
            self._send(start + due, arm, number, now)
        # The rest of the load, in which nothing of this worker's is due, is part of its time too.
        self._next = self.job.seconds
        self._stopping.wait(max(start + self.job.seconds - time.monotonic(), 0.0))
        self._reached, self._next = self.reached, None

    def _timetable(self) -> Iterator[tuple[float, _Arm, int]]:
        named = (_named(name, part) for name, part in self._parts.items())
        return ((due, self._arms[name], number) for due, name, number in merge(*named))

    def _send(self, due: float, arm: _Arm, number: int, now: float) -> None:
        lane = arm.counted if number >= arm.first_counted else arm.uncounted
        if len(self._busy) >= self._max_in_flight:
            lane.arm.held += 1
            return
        kind = self._mix.draw(number)
        idle = self._idle
        connection = (
            idle.pop() if idle else Connection(self._target, self._marker, self._ended, self._count_bytes)
        )
        sent = _Sent(due, kind, arm, lane)
        self._busy.add(connection)
        lane.arm.sent += 1
        lane.arm.in_flight += 1
        lane.lag.record(now - due)
        self._deadlines.append((now + self.job.timeout_seconds, connection, sent))
        connection.send(sent, arm.wires[kind], head=self._heads[kind])

    def _count_bytes(self, number: int) -> None:
        self.received += number

    def _ended(self, connection: Connection, sent: _Sent | None, answer: Answer | None, error: str) -> None:
        if sent is None:
            self._idle.remove(connection)
            return
        now = time.monotonic()
        self._busy.discard(connection)
        if connection.is_open:
            self._idle.append(connection)
        lane, counts = sent.lane, sent.lane.arm
        counts.in_flight -= 1
        expected = False
        if answer is not None:
            counts.bytes += answer.body_bytes
            expected = answer.status in self._expected[sent.kind]
            if self._is_misrouted(answer, sent.arm.marker, expected=expected):
                counts.misrouted += 1
                self._look_settled()
                return
            error = f"status {answer.status}"
        pair = lane.kinds[sent.kind]
        counts.answered += 1
        pair[0] += 1
        if expected:
            counts.latency.record(now - sent.due)
        else:
            counts.failed(error)
            pair[1] += 1
        self._look_settled()

    def _is_misrouted(self, answer: Answer, marker: str | None, *, expected: bool) -> bool:
        if self._marker is None or answer.marker == marker:
            return False
        # A proxy's own 503 is from no revision: an error of the arm that it was asked for.
        return answer.marker is not None or expected

    def _look_settled(self) -> None:
        if not self._busy:
            self._settled.set()

    def _settle(self) -> None:
        """Wait for what is on its way: to its time-out, or for a short time once the run is stopped."""
        while self._busy and not self._stopping.is_set():
            gevent.wait([self._settled, self._stopping], count=1)
        if self._busy:
            self._settled.wait(min(STOP_SECONDS, self.job.timeout_seconds))

    def _sweep(self) -> None:
        """End requests that were not answered in time."""
        deadlines = self._deadlines
        while True:
            now = time.monotonic()
            while deadlines:
                deadline, connection, sent = deadlines[0]
                if connection.request is sent:
                    if deadline > now:
                        break
                    connection.fail("timeout")
                deadlines.popleft()
            gevent.sleep(_SWEEP_SECONDS)

    def _hang_up(self) -> None:
        for connection in (*self._idle, *self._busy):
            connection.close()
        self._idle.clear()
        self._busy.clear()


def _named(name: str, part: Part) -> Iterator[tuple[float, str, int]]:
    return ((due, name, number) for due, number in part)


def _expected(kind: Request) -> frozenset[int]:
    return frozenset(
        status for status in _STATUSES if any(first <= status <= last for first, last in kind.expect)
    )


def _wire(job: Job, arm: str, kind: Request, authority: str) -> bytes:
    """Return the bytes of a request."""
    headers = {"user-agent": "load-generator", "accept": "*/*"}
    # The arm's come last: whatever a request says, they are what leads it to its revision.
    for more in (kind.headers, job.arm(arm).headers):
        headers |= {name.lower(): value for name, value in more.items()}
    body = (kind.body or "").encode()
    if body or kind.method in {"POST", "PUT", "PATCH"}:
        headers["content-length"] = str(len(body))
    lines = [f"{kind.method} {kind.path} HTTP/1.1", f"host: {authority}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


class _Alarm:
    """Waits to the microsecond where the system can: epoll, which the loop sleeps in, counts milliseconds."""

    def __init__(self) -> None:
        self._descriptor: int | None = None
        self._watcher: Any = None

    def __enter__(self) -> Self:
        if create := getattr(os, "timerfd_create", None):
            with contextlib.suppress(OSError):
                self._descriptor = create(time.CLOCK_MONOTONIC, flags=os.O_NONBLOCK | os.O_CLOEXEC)
                self._watcher = gevent.get_hub().loop.io(self._descriptor, READABLE)
        return self

    def __exit__(self, *_: object) -> None:
        if self._watcher is not None:
            self._watcher.close()
        if self._descriptor is not None:
            os.close(self._descriptor)

    def wait(self, seconds: float, stop: Event) -> None:
        """Return after so many seconds, or within one once *stop* is set."""
        # Nothing, which less than a nanosecond becomes, would disarm the timer.
        seconds = min(max(seconds, 1e-6), 0.5)
        if self._descriptor is None:
            stop.wait(seconds)
            return
        _settime: Callable[..., Any] = os.timerfd_settime  # type: ignore[attr-defined, unused-ignore]
        _settime(self._descriptor, initial=seconds)
        gevent.get_hub().wait(self._watcher)
