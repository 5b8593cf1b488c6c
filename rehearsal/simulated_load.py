"""A load engine that sends nothing: on the rehearsal's clock, services answer as a scenario says.

::

    agent ── start, look, stop ─▶ SimulatedEngine
                                    ├─ preflight    the generator's own, asking the scenario
                                    ├─ workers      the generator's own parts of the load, request by request
                                    └─ progress     the generator's own: what workers report, put together

What a request costs is drawn; which requests there are, when they are due, what counts, when a run has to end
and what is said of it is done by the very code that does it in a namespace.
"""

import heapq
import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from load_generator.job import Job, Limits
from load_generator.part import Mix, Part
from load_generator.preflight import Failed, Preflight
from load_generator.progress import Progress, Report
from load_generator.snapshot import ArmCounts, Counts, Problem, Snapshot, State

# As long as the generator lets workers tell their last.
STOP_SECONDS = 5.0

# A proxy that finds no endpoint answers at once.
REFUSED_SECONDS = 0.001

BODY_BYTES = 512

GOOD, BAD = 200, 503


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a revision answers at a moment. Shares are from 0 to 1."""

    latency_seconds: float
    """The median."""
    spread: float
    """Sigma of the lognormal latency."""
    errors: float = 0.0
    refuses: bool = False
    """Nothing listens, and the proxy before it says so."""
    stall: tuple[float, float] | None = None
    """Nothing is answered for the last so many seconds of every so many."""
    wrong_revision: float = 0.0
    """Share of its requests that another revision answers."""


class Answerer(NamedTuple):
    """The revision that a request reaches."""

    colour: str
    marker: str
    other_marker: str
    """What is seen where another answers in its place."""


Route = Callable[[Mapping[str, str]], Answerer]
"""Leads a request, by its headers, as Service Connect or a listener's rules do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What there is to load, and to load it with."""

    clock: Callable[[], float]
    route: Route
    manner: Callable[[str, float], Manner]
    """By colour, and how many seconds of the load are over."""
    rng: random.Random
    limits: Limits
    workers: int
    preflight_seconds: float
    lag_seconds: float
    """How late requests leave, on average."""
    loses_worker_after: float | None = None
    """Seconds of the first run's load after which one of the workers is gone."""


class SimulatedEngine:
    """An :class:`load_generator.agent.Engine`."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._around = surroundings
        self._progress: Progress | None = None
        self._runs = 0
        self._ready_at = 0.0
        self._began: float | None = None
        self._workers: dict[str, _Worker] = {}

    @property
    def load_seconds(self) -> float:
        """How many seconds of the load are over."""
        return 0.0 if self._began is None else self._around.clock() - self._began

    def start(self, job: Job) -> None:
        self._progress = Progress(job, self._around.workers)
        self._runs += 1
        self._ready_at = self._around.clock() + self._around.preflight_seconds
        self._began = None
        self._workers = {}

    def look(self) -> Snapshot:
        progress, now = self._progress, self._around.clock()
        assert progress is not None, "nothing was started"
        if progress.state is State.PREFLIGHT and now >= self._ready_at:
            self._prove(progress)
        if self._began is not None and not progress.state.is_final:
            self._advance(progress, now - self._began, now)
        return progress.snapshot(now)

    def stop(self, problem: Problem, reason: str) -> None:
        progress, now = self._progress, self._around.clock()
        if progress is None or progress.is_stopping:
            return
        progress.stop(problem, reason, now + STOP_SECONDS)
        if progress.state is State.PREFLIGHT:
            progress.end(problem, reason, now)

    def close(self) -> None:
        self._progress, self._workers, self._began = None, {}, None

    def _prove(self, progress: Progress) -> None:
        job, around = progress.job, self._around
        # Each time it asks what time it is, its patience is over: whoever does not answer, never will.
        moments = itertools.chain((0.0,), itertools.repeat(math.inf))
        try:
            progress.markers = Preflight(
                job, around.limits.methods, lambda: next(moments), ask=self._answer
            ).prove()
        except Failed as failed:
            progress.markers = failed.seen
            progress.end(failed.problem, str(failed), self._ready_at)
            return
        names = [f"worker-{number}" for number in range(around.workers)]
        self._workers = {
            name: _Worker(progress.job, number, around, progress.markers) for number, name in enumerate(names)
        }
        progress.begin(names, self._ready_at)
        self._began = self._ready_at

    def _answer(self, job: Job, arm: str, _methods: frozenset[str]) -> tuple[int, str | None]:
        """Answer one request of the preflight."""
        reached = self._around.route(job.arm(arm).headers)
        manner = self._around.manner(reached.colour, 0.0)
        if manner.refuses:
            return BAD, None
        is_other = self._around.rng.random() < manner.wrong_revision
        return GOOD, reached.other_marker if is_other else reached.marker

    def _advance(self, progress: Progress, seconds: float, now: float) -> None:
        gone = self._around.loses_worker_after
        lost = {"worker-0"} if gone is not None and seconds >= gone and self._runs == 1 else set()
        for name, worker in self._workers.items():
            if name not in lost:
                worker.advance(seconds, stops=progress.is_stopping)
                progress.hear(name, worker.report(now))
        problem, why = progress.watch(lost, self._around.limits.max_bytes, now)
        if problem is not Problem.NONE:
            self.stop(problem, why)


class _InFlight(NamedTuple):
    """A request that will be answered."""

    ends: float
    number: int
    """Of two that end at once, the one sent first comes first."""
    arm: ArmCounts
    kind: list[int]
    latency: float
    error: str
    misrouted: bool


class _Worker:
    """One worker's part of the load, as far as it was sent."""

    def __init__(
        self, job: Job, worker: int, around: Surroundings, markers: Mapping[str, str | None]
    ) -> None:
        self._job = job
        self._around = around
        self._markers = markers
        self._rng = random.Random(around.rng.getrandbits(64))  # noqa: S311  # not for secrets
        self._mix = Mix([kind.weight for kind in job.requests], job.run)
        self._parts = {arm: Part.of(job, arm, worker, around.workers) for arm in job.shares}
        self._answerers = {arm: around.route(job.arm(arm).headers) for arm in job.shares}
        self._counts, self._uncounted = Counts(), Counts()
        self._received = 0
        self._in_flight: list[_InFlight] = []
        self._numbers = itertools.count()
        self._reached = 0.0
        self._stopped = False
        self._due = self._timetable()
        self._next = next(self._due, None)

    def advance(self, seconds: float, *, stops: bool) -> None:
        """Send what is due until so many seconds of the load, and take what is answered by then."""
        if stops and not self._stopped:
            self._stopped = True
        elif not self._stopped:
            while self._next is not None and self._next[0] <= seconds:
                self._settle(self._next[0])
                self._send(*self._next)
                self._next = next(self._due, None)
            self._reached = min(seconds, self._job.seconds)
        self._settle(seconds)

    def report(self, heard: float) -> Report:
        is_over = self._stopped or self._reached >= self._job.seconds
        return Report(
            self._reached, is_over and not self._in_flight, self._received, self._counts, heard=heard
        )

    def _timetable(self) -> Iterator[tuple[float, str, int]]:
        return heapq.merge(*(_named(arm, part) for arm, part in self._parts.items()))

    def _send(self, due: float, arm: str, number: int) -> None:
        lane = self._counts if number >= self._parts[arm].first_counted else self._uncounted
        counts = lane.arm(arm)
        if len(self._in_flight) >= self._around.limits.max_in_flight:
            counts.held += 1
            return
        kind = self._job.requests[self._mix.draw(number)]
        pair = lane.requests.setdefault(kind.name, [0, 0])
        lag = self._rng.expovariate(1 / self._around.lag_seconds) if self._around.lag_seconds else 0.0
        counts.sent += 1
        counts.in_flight += 1
        lane.lag.record(lag)
        answerer = self._answerers[arm]
        manner = self._around.manner(answerer.colour, due)
        seconds, status = self._answered(manner, due + lag)
        error = "" if any(first <= status <= last for first, last in kind.expect) else f"status {status}"
        if seconds > self._job.timeout_seconds:
            seconds, error = self._job.timeout_seconds, "timeout"
        misrouted = self._is_misrouted(arm, answerer, manner) and not error
        latency = lag + seconds
        heapq.heappush(
            self._in_flight,
            _InFlight(due + latency, next(self._numbers), counts, pair, latency, error, misrouted),
        )

    def _answered(self, manner: Manner, sent: float) -> tuple[float, int]:
        """Draw how long an answer takes, and its status."""
        if manner.refuses:
            return REFUSED_SECONDS, BAD
        waits = 0.0
        if manner.stall is not None:
            lasts, every = manner.stall
            into = sent % every
            waits = every - into if into >= every - lasts else 0.0
        seconds = self._rng.lognormvariate(math.log(manner.latency_seconds), manner.spread)
        return waits + seconds, BAD if self._rng.random() < manner.errors else GOOD

    def _is_misrouted(self, arm: str, answerer: Answerer, manner: Manner) -> bool:
        if self._job.marker is None:
            return False
        is_other = bool(manner.wrong_revision) and self._rng.random() < manner.wrong_revision
        return (answerer.other_marker if is_other else answerer.marker) != self._markers.get(arm)

    def _settle(self, seconds: float) -> None:
        """Count what is answered by then."""
        while self._in_flight and self._in_flight[0].ends <= seconds:
            one = heapq.heappop(self._in_flight)
            one.arm.in_flight -= 1
            one.arm.bytes += BODY_BYTES
            self._received += BODY_BYTES
            if one.misrouted:
                one.arm.misrouted += 1
                continue
            one.arm.answered += 1
            one.kind[0] += 1
            if one.error:
                one.arm.failed(one.error)
                one.kind[1] += 1
            else:
                one.arm.latency.record(one.latency)


def _named(arm: str, part: Part) -> Iterator[tuple[float, str, int]]:
    return ((due, arm, number) for due, number in part)
