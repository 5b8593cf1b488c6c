"""A run as the master knows it: what each worker has told last, and what that makes together.

Reports are cumulative, so that a lost one costs nothing and the latest is all there is to keep, also of a
worker that has gone since. A worker's part is nobody else's: when one is lost its requests are missing, the
due ones go on, and the difference is what the hook sees.
"""

import math
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from load_generator.histogram import Histogram
from load_generator.job import Job
from load_generator.part import Part
from load_generator.snapshot import ArmCounts, Counts, Problem, Snapshot, State

# Without a report for so long, the time says how many of a worker's requests were due.
SILENCE_SECONDS = 3.0

# After the last time-out: what workers may need to say so.
OVERTIME_SECONDS = 15.0

WINDOW_SECONDS = 10.0
"""What blue is judged by."""
MIN_ANSWERS = 20

# The hook reads the snapshot again and again, and a chart has no more pixels than this.
MAX_TIMELINE = 120


@dataclass(slots=True)
class Report:
    """What one worker has told."""

    reached: float = 0.0
    """Seconds of the load that it has sent."""
    done: bool = False
    received: int = 0
    counts: Counts = field(default_factory=Counts)
    heard: float = float("-inf")

    def write(self) -> dict[str, Any]:
        return {
            "reached": self.reached,
            "done": self.done,
            "received": self.received,
            "counts": self.counts.write(),
        }

    @classmethod
    def read(cls, document: Mapping[str, Any], heard: float) -> "Report":
        return cls(
            float(document["reached"]),
            bool(document["done"]),
            int(document["received"]),
            Counts.read(document["counts"]),
            heard,
        )


@dataclass(frozen=True, slots=True)
class _Mark:
    """What had been counted at a moment."""

    at: float
    reached: float
    """Seconds of the load, of all workers on average."""
    arms: Mapping[str, ArmCounts]


class Progress:
    """One run. All moments are of one monotonic clock, which whoever calls it reads."""

    def __init__(self, job: Job, workers: int = 0) -> None:
        self.job = job
        self.state = State.PREFLIGHT
        self.problem = Problem.NONE
        self.reason = ""
        self.markers: dict[str, str | None] = {}
        self.workers: tuple[str, ...] = ()
        self._expected = workers
        self._lost: frozenset[str] = frozenset()
        self._began: float | None = None
        self._ended: float | None = None
        self._stopping: tuple[Problem, str, float] | None = None
        self._reports: dict[str, Report] = {}
        self._timeline: list[dict[str, Any]] = []
        self._step = max(1, math.ceil(job.seconds / MAX_TIMELINE))
        self._stepped = _Mark(0.0, 0.0, {arm: ArmCounts() for arm in job.shares})
        self._window = deque([self._stepped])

    @property
    def is_stopping(self) -> bool:
        return self._stopping is not None

    def begin(self, workers: Sequence[str], now: float) -> None:
        """Start the clock: the k-th of these workers has the k-th part."""
        self.workers, self._expected = tuple(workers), len(workers)
        self._began = now
        self.state = State.RUNNING

    def stop(self, problem: Problem, reason: str, until: float) -> None:
        """Let it end as soon as all workers have told their last, or at *until*; the first reason stands."""
        if self._stopping is None and not self.state.is_final:
            self._stopping = problem, reason, until

    def end(self, problem: Problem, reason: str, now: float) -> None:
        """End it where it is; the first reason stands."""
        if not self.state.is_final:
            self.state, self._ended = State.ENDED, now
            self.problem, self.reason = self._stopping[:2] if self._stopping else (problem, reason)

    def hear(self, worker: str, report: Report) -> None:
        """Take in what a worker reports; one without a part has nothing to tell."""
        if worker in self.workers and not self.state.is_final:
            self._reports[worker] = report

    def watch(self, lost: Collection[str], max_bytes: int, now: float) -> tuple[Problem, str]:
        """Move on by what has been heard, and return why the run has to be stopped, if it has to."""
        if self._began is None or self.state.is_final:
            return Problem.NONE, ""
        self._lost = frozenset(worker for worker in self.workers if worker in lost or self._has_left(worker))
        self._mark(self._counts(), now)
        if all(worker in self._lost or self._is_done(worker) for worker in self.workers):
            self._conclude(now)
        elif self._stopping is not None and now >= self._stopping[2]:
            self.end(*self._stopping[:2], now)
        if self.state.is_final or self._stopping is not None:
            return Problem.NONE, ""
        if all(worker in self._lost or self._has_sent_all(worker) for worker in self.workers):
            self.state = State.SETTLING
        if now - self._began > self.job.seconds + self.job.timeout_seconds + OVERTIME_SECONDS:
            return Problem.LOST, "the workers did not come to the end of the load in time"
        received = sum(report.received for report in self._reports.values())
        if received > max_bytes:
            return Problem.TOO_MANY_BYTES, f"{received} bytes were received, LOAD_MAX_BYTES is {max_bytes}"
        why = self._suffering()
        return (Problem.BLUE_DEGRADED, why) if why else (Problem.NONE, "")

    def snapshot(self, now: float) -> Snapshot:
        """Return the run as it is."""
        until = self._ended if self._ended is not None else now
        reached = self._reached(until)
        due = {
            arm: float(
                sum(Part.of(self.job, arm, k, len(reached)).due(seconds) for k, seconds in enumerate(reached))
            )
            for arm in self.job.shares
        }
        return Snapshot(
            run=self.job.run,
            state=self.state,
            at=datetime.now(UTC),
            problem=self.problem,
            reason=self.reason,
            elapsed_seconds=0.0 if self._began is None else until - self._began,
            due_seconds=sum(reached) / len(reached) if reached else 0.0,
            workers=(self._expected, len(self._reports.keys() - self._lost), len(self._lost)),
            preflight=self.markers,
            counts=self._counts(),
            due=due,
            timeline=self._timeline,
        )

    def _conclude(self, now: float) -> None:
        if self._stopping is not None:
            self.end(*self._stopping[:2], now)
        elif self._lost.issuperset(self.workers):
            self.end(Problem.LOST, f"all {len(self.workers)} workers are lost", now)
        else:
            self.state, self._ended = State.FINISHED, now

    def _is_done(self, worker: str) -> bool:
        return worker in self._reports and self._reports[worker].done

    def _has_sent_all(self, worker: str) -> bool:
        return worker in self._reports and self._reports[worker].reached >= self.job.seconds

    def _has_left(self, worker: str) -> bool:
        """Whether a worker went in the middle, and said so: its task is being stopped."""
        return self._stopping is None and self._is_done(worker) and not self._has_sent_all(worker)

    def _reached(self, now: float) -> list[float]:
        """Return how far each worker is in the load, or where nothing is heard of it, should be."""
        if self._began is None:
            return []
        elapsed = min(max(now - self._began, 0.0), self.job.seconds)
        reached: list[float] = []
        for worker in self.workers:
            report = self._reports.get(worker, Report(heard=self._began))
            is_silent = not report.done and now - report.heard > SILENCE_SECONDS
            missing = (worker in self._lost and not self._has_sent_all(worker)) or is_silent
            reached.append(max(elapsed, report.reached) if missing else report.reached)
        return reached

    def _counts(self) -> Counts:
        counts = Counts()
        for arm in self.job.shares:
            counts.arm(arm)
        for report in self._reports.values():
            counts.add(report.counts)
        return counts

    def _mark(self, counts: Counts, now: float) -> None:
        assert self._began is not None
        reached = self._reached(now)
        mark = _Mark(now - self._began, sum(reached) / len(reached), counts.arms)
        self._window.append(mark)
        while mark.at - self._window[0].at > WINDOW_SECONDS:
            self._window.popleft()
        # Reports come each second or so, and a step is as many of them.
        if mark.reached - self._stepped.reached > self._step - 0.5 and len(self._timeline) < MAX_TIMELINE:
            steps = {arm: _step(later, self._stepped.arms[arm]) for arm, later in mark.arms.items()}
            self._timeline.append({"second": round(mark.reached), **steps})
            self._stepped = mark

    def _suffering(self) -> str:
        if "blue" not in self.job.shares:
            return ""
        return suffering(self.job, self._window[-1].arms["blue"], self._window[0].arms["blue"])


def _step(later: ArmCounts, earlier: ArmCounts) -> dict[str, Any]:
    p95 = later.latency.since(earlier.latency).percentile(95)
    return {
        "sent": later.sent - earlier.sent,
        "errors": later.errors.total() - earlier.errors.total(),
        "p95Milliseconds": None if p95 is None else round(p95 * 1000, 1),
    }


def suffering(job: Job, later: ArmCounts, earlier: ArmCounts) -> str:
    """Return why blue is to be spared, by what it answered between two moments."""
    limits = job.protect_blue
    answered = later.answered - earlier.answered
    if answered < MIN_ANSWERS:
        return ""
    errors = later.errors.total() - earlier.errors.total()
    seconds = f"{WINDOW_SECONDS:g} s"
    if errors / answered > limits.errors_above:
        return (
            f"{errors} of blue's {answered} answers in {seconds} were errors, {errors / answered:.1%}; "
            f"protectBlue.errorsAbove is {limits.errors_above:.1%}"
        )
    latency: Histogram = later.latency.since(earlier.latency)
    p95 = latency.percentile(95)
    if limits.slower_than_seconds is not None and p95 is not None and p95 > limits.slower_than_seconds:
        return (
            f"blue's 95th percentile of {latency.count} answers in {seconds} was {p95:.3g} s; "
            f"protectBlue.slowerThanSeconds is {limits.slower_than_seconds:g}"
        )
    return ""
