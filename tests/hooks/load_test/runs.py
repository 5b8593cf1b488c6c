"""Runs as a generator tells them, made of the generator's own counts."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from load_generator.histogram import Histogram
from load_generator.snapshot import ArmCounts, Counts, Problem, Snapshot, State

from hooks.load_test.measurement import Measurement
from tests.shared.checkout import DEPLOYMENT, GREEN, START

NAME = f"{DEPLOYMENT.id}-{GREEN.id}"
RUN = f"{NAME}-1"


def histogram(seconds: Iterable[float]) -> Histogram:
    made = Histogram()
    for latency in seconds:
        made.record(latency)
    return made


def steady(requests: int, median: float = 0.1) -> list[float]:
    """Return latencies from half of *median* to half more, evenly."""
    return [median * (0.5 + (number + 0.5) / requests) for number in range(requests)]


def arm(
    latencies: Iterable[float] = (),
    errors: Mapping[str, int] | None = None,
    *,
    held: int = 0,
    misrouted: int = 0,
    in_flight: int = 0,
) -> ArmCounts:
    """Return an arm's counts: answers without error, errors, and what became of the rest."""
    latency, failed = histogram(latencies), Counter(errors or {})
    answered = latency.count + failed.total()
    return ArmCounts(
        sent=answered + misrouted + in_flight,
        held=held,
        answered=answered,
        misrouted=misrouted,
        in_flight=in_flight,
        bytes=100 * answered,
        errors=failed,
        latency=latency,
    )


def snapshot(
    green: ArmCounts | None = None,
    blue: ArmCounts | None = None,
    *,
    missing: Mapping[str, int] | None = None,
    lag: Iterable[float] = (0.001,) * 100,
    **changes: Any,
) -> Snapshot:
    """Return a run of five minutes that has come to its end; *missing* was due, and neither sent nor held."""
    arms = {name: one for name, one in (("green", green), ("blue", blue)) if one is not None}
    due = {name: float(one.sent + one.held + (missing or {}).get(name, 0)) for name, one in arms.items()}
    values: dict[str, Any] = {
        "run": RUN,
        "state": State.FINISHED,
        "at": START,
        "elapsed_seconds": 300.0,
        "due_seconds": 300.0,
        "workers": (2, 2, 0),
        "preflight": {name: f"checkout:{7 if name == 'green' else 6}" for name in arms},
        "counts": Counts(
            arms,
            histogram(lag),
            {"GET /": [sum(one.answered for one in arms.values()), 0]},
        ),
        "due": due,
    }
    return Snapshot(**{**values, **changes})


def written(snapshot: Snapshot) -> str:
    return json.dumps(snapshot.write())


def measured(green: ArmCounts | None = None, blue: ArmCounts | None = None, **changes: Any) -> Measurement:
    """Return what the hook reads of such a run."""
    made = snapshot(green, blue, **changes)
    return Measurement.read(written(made), made.run)


def ended(problem: Problem, reason: str, at: datetime = START, **changes: Any) -> Measurement:
    """Return what the hook reads of a run that ended before its time."""
    return measured(state=State.ENDED, problem=problem, reason=reason, at=at, **changes)
