"""What a run has measured so far: what workers report to their master, and what the hook reads.

::

    {
        "version": 1, "run": "...", "state": "running", "problem": "", "reason": "",
        "at": "2026-03-05T12:01:07Z", "elapsedSeconds": 61.2, "dueSeconds": 61.2,
        "workers": {"expected": 2, "reporting": 2, "lost": 0},
        "preflight": {"green": "catalog:42", "blue": "catalog:41"},
        "arms": {
            "green": {
                "due": 2560, "sent": 2560, "held": 0, "answered": 2551, "inFlight": 9, "misrouted": 0,
                "bytes": 91733, "errors": {"status 503": 4}, "latency": {histogram of those without error}
            },
            "blue": {...},
        },
        "lag": {histogram of how late requests were sent},
        "requests": {"GET /items": [2551, 4]},
        "timeline": [{"second": 60, "green": {"sent": 50, "errors": 0, "p95Milliseconds": 41.2}, ...}]
    }

    state    preflight ─▶ running ─▶ settling ─▶ finished      all that was due was sent and answered
                 └───────────┴──────────┴──────▶ ended         it did not come so far; ``problem`` and
                                                               ``reason`` say why

Source: this module; the hook's own reading of it is ``hooks/load_test/measurement.py``.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from load_generator.histogram import Histogram

VERSION = 1

# Each kind of error is a key in what every worker reports each second.
MAX_ERROR_KINDS = 20
OTHER = "other"


class State(StrEnum):
    """How far a run is."""

    PREFLIGHT = "preflight"
    RUNNING = "running"
    SETTLING = "settling"
    """Everything was sent, and some of it is still to be answered."""
    FINISHED = "finished"
    ENDED = "ended"
    """Before its time."""

    @property
    def is_final(self) -> bool:
        return self in {State.FINISHED, State.ENDED}


class Problem(StrEnum):
    """Why a run ended before its time."""

    NONE = ""
    REFUSED = "refused"
    """The job asks for what the operator does not allow."""
    UNREACHABLE = "unreachable"
    """The preflight got no answer of an arm."""
    UNPROVEN = "unproven"
    """Answers do not say which revision they are from, or come from another than asked."""
    STOPPED = "stopped"
    """Whoever asked for the run ended it."""
    ABANDONED = "abandoned"
    """Nobody has asked about it for too long."""
    BLUE_DEGRADED = "blueDegraded"
    """Production suffered."""
    TOO_MANY_BYTES = "tooManyBytes"
    LOST = "lost"
    """The generator itself failed."""


@dataclass(slots=True)
class ArmCounts:
    """What became of one arm's requests; those of the grace period are not in it."""

    sent: int = 0
    held: int = 0
    """Due, but never sent: as many requests as a worker may have were waiting for their answers."""
    answered: int = 0
    """With or without error; what was not misrouted."""
    misrouted: int = 0
    """Answered by another revision than the one that was asked."""
    in_flight: int = 0
    bytes: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    latency: Histogram = field(default_factory=Histogram)

    def failed(self, kind: str) -> None:
        """Count an error."""
        self._count(kind, 1)

    def _count(self, kind: str, errors: int) -> None:
        known = kind in self.errors or len(self.errors) < MAX_ERROR_KINDS
        self.errors[kind if known else OTHER] += errors

    def add(self, other: "ArmCounts") -> None:
        for name in ("sent", "held", "answered", "misrouted", "in_flight", "bytes"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for kind, errors in other.errors.items():
            self._count(kind, errors)
        self.latency.add(other.latency)

    def write(self) -> dict[str, Any]:
        return {
            "sent": self.sent,
            "held": self.held,
            "answered": self.answered,
            "inFlight": self.in_flight,
            "misrouted": self.misrouted,
            "bytes": self.bytes,
            "errors": dict(self.errors),
            "latency": self.latency.write(),
        }

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "ArmCounts":
        return cls(
            sent=document["sent"],
            held=document["held"],
            answered=document["answered"],
            in_flight=document["inFlight"],
            misrouted=document["misrouted"],
            bytes=document["bytes"],
            errors=Counter(document["errors"]),
            latency=Histogram.read(document["latency"]),
        )


@dataclass(slots=True)
class Counts:
    """What one worker has counted in one run, or all of them together."""

    arms: dict[str, ArmCounts] = field(default_factory=dict)
    lag: Histogram = field(default_factory=Histogram)
    """How late requests were sent. It is in their latency too; where it is large, the generator is slow."""
    requests: dict[str, list[int]] = field(default_factory=dict)
    """By method and path: how many were answered, and how many of them with an error."""

    def arm(self, name: str) -> ArmCounts:
        return self.arms.setdefault(name, ArmCounts())

    def add(self, other: "Counts") -> None:
        for name, counts in other.arms.items():
            self.arm(name).add(counts)
        self.lag.add(other.lag)
        for name, (answered, errors) in other.requests.items():
            mine = self.requests.setdefault(name, [0, 0])
            mine[0] += answered
            mine[1] += errors

    def write(self) -> dict[str, Any]:
        return {
            "arms": {name: counts.write() for name, counts in self.arms.items()},
            "lag": self.lag.write(),
            "requests": self.requests,
        }

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "Counts":
        return cls(
            {name: ArmCounts.read(arm) for name, arm in document["arms"].items()},
            Histogram.read(document["lag"]),
            {name: list(pair) for name, pair in document["requests"].items()},
        )


@dataclass(slots=True, kw_only=True)
class Snapshot:
    """A run at a moment."""

    run: str
    state: State
    at: datetime
    problem: Problem = Problem.NONE
    reason: str = ""
    elapsed_seconds: float = 0.0
    """Since the first request was due."""
    due_seconds: float = 0.0
    """How much of the load was due when the counts were made; reports of workers are some time behind."""
    workers: tuple[int, int, int] = (0, 0, 0)
    """Expected, reporting, lost."""
    preflight: Mapping[str, str | None] = field(default_factory=dict)
    """By arm: what its answers' marker said."""
    counts: Counts = field(default_factory=Counts)
    due: Mapping[str, float] = field(default_factory=dict)
    """By arm: how many requests that count were due in ``due_seconds``."""
    timeline: list[dict[str, Any]] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        """What became of it, in a few words."""
        return f"{self.state}: {self.reason}" if self.reason else self.state.value

    def write(self) -> dict[str, Any]:
        """Return the JSON form."""
        expected, reporting, lost = self.workers
        return {
            "version": VERSION,
            "run": self.run,
            "state": self.state.value,
            "problem": self.problem.value,
            "reason": self.reason[:1000],
            "at": self.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "elapsedSeconds": round(self.elapsed_seconds, 3),
            "dueSeconds": round(self.due_seconds, 3),
            "workers": {"expected": expected, "reporting": reporting, "lost": lost},
            "preflight": dict(self.preflight),
            "arms": {
                name: {"due": round(self.due.get(name, 0.0)), **counts.write()}
                for name, counts in self.counts.arms.items()
            },
            "lag": self.counts.lag.write(),
            "requests": self.counts.requests,
            "timeline": self.timeline,
        }

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "Snapshot":
        """Read what :meth:`write` made."""
        workers = document["workers"]
        return cls(
            run=document["run"],
            state=State(document["state"]),
            at=datetime.fromisoformat(document["at"]),
            problem=Problem(document["problem"]),
            reason=document["reason"],
            elapsed_seconds=document["elapsedSeconds"],
            due_seconds=document["dueSeconds"],
            workers=(workers["expected"], workers["reporting"], workers["lost"]),
            preflight=document["preflight"],
            counts=Counts.read(document),
            due={name: float(arm["due"]) for name, arm in document["arms"].items()},
            timeline=document["timeline"],
        )
