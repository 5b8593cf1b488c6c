"""Whole runs, by Locust's own processes: what comes of them when all goes well, and when it does not."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from load_generator.engine import LocustEngine
from load_generator.job import Job
from load_generator.snapshot import Problem, Snapshot, State

from rehearsal.loopback import Behaviour, Loopback
from tests.hooks.load_test.generator.surroundings import (
    ENVIRONMENT,
    a_job,
    children_of,
    free_port,
    until,
)


@pytest.fixture
def engine() -> Iterator[LocustEngine]:
    before = children_of(os.getpid())
    engine = LocustEngine(workers=2, environment=ENVIRONMENT)
    yield engine
    engine.close()
    assert children_of(os.getpid()) == before


def final(engine: LocustEngine) -> Snapshot:
    def look() -> Snapshot | None:
        snapshot = engine.look()
        return snapshot if snapshot.state.is_final else None

    return until(look)


def running(engine: LocustEngine, green: int = 1) -> Snapshot:
    """Return the run once so many of green's requests have been reported."""

    def look() -> Snapshot | None:
        snapshot = engine.look()
        assert not snapshot.state.is_final, snapshot.reason
        return snapshot if green <= snapshot.counts.arm("green").sent else None

    return until(look)


def at(loopback: Loopback, run: str, **changes: Any) -> Job:
    return a_job(loopback.url, run=run, **{"requests": [{"path": f"/engine/{run}"}], **changes})


def logged(loopback: Loopback, run: str, colour: Any) -> int:
    return sum(entry.path == f"/engine/{run}" for entry in loopback.log(colour))


PREFLIGHT = 5


def test_a_run_sends_its_load_and_tells_exactly_what_became_of_it(
    engine: LocustEngine, loopback: Loopback
) -> None:
    loopback.behave("green", Behaviour(latency_seconds=0.1, errors=0.1))
    engine.start(at(loopback, "whole", rate=100, seconds=2))
    snapshot = final(engine)
    assert (snapshot.run, snapshot.state, snapshot.problem, snapshot.reason) == (
        *("whole", State.FINISHED, Problem.NONE, ""),
    )
    assert (snapshot.workers, snapshot.due_seconds) == ((2, 2, 0), 2.0)
    assert snapshot.preflight == {"green": "catalog:42", "blue": "catalog:41"}
    assert snapshot.due == {"green": 200, "blue": 40}
    green, blue = snapshot.counts.arm("green"), snapshot.counts.arm("blue")
    assert (green.sent, green.held, green.answered, green.in_flight) == (200, 0, 200, 0)
    assert green.sent + PREFLIGHT == logged(loopback, "whole", "green")
    assert blue.sent + PREFLIGHT == logged(loopback, "whole", "blue")
    assert dict(green.errors) == {"status 503": pytest.approx(20, abs=2)}
    assert (green.latency.percentile(50) or 0) >= 0.1 > (blue.latency.percentile(50) or 0)
    assert snapshot.counts.requests["GET /engine/whole"][0] == 240
    assert [point["second"] for point in snapshot.timeline] == [1, 2]
    assert Snapshot.read(snapshot.write()).write() == snapshot.write()


@pytest.mark.thorough
def test_a_worker_that_is_killed_leaves_its_part_unsent(engine: LocustEngine, loopback: Loopback) -> None:
    engine.start(at(loopback, "worker-killed", rate=50, seconds=5))
    running(engine)
    assert engine._running is not None
    engine._running.workers[0].send_signal(signal.SIGKILL)
    snapshot = final(engine)
    green = snapshot.counts.arm("green")
    assert (snapshot.state, snapshot.workers) == (State.FINISHED, (2, 1, 1))
    assert snapshot.due == {"green": 250, "blue": 50}
    assert 125 < green.sent + green.held < 230


def test_a_master_that_is_killed_leaves_its_last_counts_and_no_process(
    engine: LocustEngine, loopback: Loopback
) -> None:
    engine.start(at(loopback, "master-killed", seconds=30))
    running(engine)
    assert engine._running is not None
    engine._running.master.send_signal(signal.SIGKILL)
    snapshot = final(engine)
    assert (snapshot.state, snapshot.problem) == (State.ENDED, Problem.LOST)
    assert snapshot.reason.startswith("Locust's master ended with status -9")
    assert snapshot.counts.arm("green").sent > 0


@pytest.mark.thorough
def test_a_run_that_is_stopped_ends_with_the_servers_own_counts(
    engine: LocustEngine, loopback: Loopback
) -> None:
    loopback.behave("green", Behaviour(latency_seconds=0.2))
    engine.start(at(loopback, "stopped", seconds=30))
    running(engine)
    engine.stop(Problem.STOPPED, "enough seen")
    snapshot = final(engine)
    green = snapshot.counts.arm("green")
    assert (snapshot.state, snapshot.problem, snapshot.reason) == (
        *(State.ENDED, Problem.STOPPED, "enough seen"),
    )
    assert (green.answered, green.in_flight) == (green.sent, 0)
    assert green.sent + PREFLIGHT == logged(loopback, "stopped", "green")
    assert green.sent == pytest.approx(snapshot.due["green"], abs=2)
    seen = logged(loopback, "stopped", "green")
    time.sleep(0.3)
    assert logged(loopback, "stopped", "green") == seen


@pytest.mark.thorough
def test_blue_is_spared_once_it_suffers(engine: LocustEngine, loopback: Loopback) -> None:
    loopback.behave("blue", Behaviour(errors=0.3))
    engine.start(at(loopback, "blue-suffers", seconds=30, blueShare=1))
    snapshot = final(engine)
    assert (snapshot.state, snapshot.problem) == (State.ENDED, Problem.BLUE_DEGRADED)
    assert "protectBlue.errorsAbove is 5.0%" in snapshot.reason
    assert snapshot.counts.arm("blue").sent < 500


def test_workers_that_don_t_come_end_the_run_before_it_begins(
    engine: LocustEngine, loopback: Loopback
) -> None:
    engine.workers, engine.remote_workers, engine.port, engine.patience_seconds = 0, 1, free_port(), 0.5
    engine.start(at(loopback, "no-worker"))
    snapshot = final(engine)
    assert (snapshot.state, snapshot.problem) == (State.ENDED, Problem.LOST)
    assert snapshot.reason == "0 of 1 workers came"
    assert logged(loopback, "no-worker", "green") == 0


@pytest.mark.thorough
def test_workers_elsewhere_work_for_one_run_after_another(loopback: Loopback) -> None:
    port = free_port()
    elsewhere = subprocess.Popen(
        [sys.executable, "-m", "load_generator", "worker", "--master", "127.0.0.1"],
        env={
            **ENVIRONMENT,
            "LOAD_WORKERS": "1",
            "LOAD_MASTER_PORT": str(port),
            "LOAD_HEALTH_FILE": os.devnull,
        },
    )
    try:
        engine = LocustEngine(workers=1, remote_workers=1, port=port, environment=ENVIRONMENT)
        for run in ("one", "two"):
            engine.start(at(loopback, run, seconds=1))
            snapshot = final(engine)
            assert (snapshot.state, snapshot.workers) == (State.FINISHED, (2, 2, 0))
            assert logged(loopback, run, "green") == 50 + PREFLIGHT
    finally:
        elsewhere.terminate()
        assert elsewhere.wait(30) == 0


def test_limits_hold_for_the_master_too(engine: LocustEngine, loopback: Loopback) -> None:
    engine.environment = {**ENVIRONMENT, "LOAD_TARGETS": "elsewhere:80"}
    engine.start(at(loopback, "not-allowed"))
    snapshot = final(engine)
    assert (snapshot.state, snapshot.problem) == (State.ENDED, Problem.REFUSED)
    assert "is not among LOAD_TARGETS: elsewhere:80" in snapshot.reason
