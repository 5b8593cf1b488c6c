"""Runs a job on Locust: a master and workers of their own, for this one run.

::

    agent ── start ─▶ a folder: job.json
      │               locust --master  (127.0.0.1, a free port)  ──▶ snapshot.json, every half second
      │               locust --worker, one for each core          ◀── stop.json
      └─── look ─────▶ snapshot.json

Fresh processes for each run: nothing of one run can be in the numbers of another, and whatever state
Locust is left in ends with it. They know no credentials, as they need none.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from load_generator.job import Job
from load_generator.snapshot import Problem, Snapshot, State

FOLDER = "LOAD_RUN_FOLDER"
WORKERS = "LOAD_RUN_WORKERS"
PATIENCE = "LOAD_RUN_PATIENCE"

LOCUSTFILE = Path(__file__).with_name("locustfile.py")

# Beyond what workers may take: importing Locust takes seconds on a small task, and so does the preflight.
START_SECONDS = 45.0

# Longer than the master waits for workers that are told to stop.
STOP_SECONDS = 15.0

GOODBYE_SECONDS = 3.0

# One of these in the environment would change what Locust does, or is no business of it.
_NOT_PASSED_ON = ("AWS_", "ECS_", "LOCUST_", "LOAD_TOKEN")


@dataclass(slots=True)
class _Running:
    job: Job
    folder: Path
    master: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]]
    started: float
    last: Snapshot
    stop_until: float | None = None
    stopping: tuple[Problem, str] = (Problem.NONE, "")

    @property
    def processes(self) -> list[subprocess.Popen[bytes]]:
        return [self.master, *self.workers]


@dataclass(slots=True, kw_only=True)
class LocustEngine:
    """An :class:`load_generator.agent.Engine`."""

    workers: int = 1
    """Processes on this machine: one keeps one core busy."""
    remote_workers: int = 0
    """Further ones, that run ``load-generator worker`` elsewhere."""
    port: int = 5557
    """Where the master listens for remote workers; without any, a free port of the loopback interface."""
    patience_seconds: float = 30.0
    """How long workers may take to come."""
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    _running: _Running | None = None

    def start(self, job: Job) -> None:
        """Begin; returns at once."""
        self.close()
        folder = Path(tempfile.mkdtemp(prefix="load-"))
        (folder / "job.json").write_text(json.dumps(job.write()))
        host = "0.0.0.0" if self.remote_workers else "127.0.0.1"  # noqa: S104 - for the other tasks
        port = self.port if self.remote_workers else _free_port()
        expected = self.workers + self.remote_workers
        master = self._locust(
            folder,
            "master",
            [
                *("--master", "--headless", "--only-summary", "--users", "1000", "--spawn-rate", "1000"),
                *("--master-bind-host", host, "--master-bind-port", str(port)),
                *("--expect-workers", str(expected)),
            ],
            {FOLDER: str(folder), WORKERS: str(expected), PATIENCE: str(self.patience_seconds)},
        )
        arguments = ["--worker", "--master-host", "127.0.0.1", "--master-port", str(port)]
        workers = [self._locust(folder, f"worker-{k}", arguments, {}) for k in range(self.workers)]
        preflight = Snapshot(
            run=job.run, state=State.PREFLIGHT, at=datetime.now(UTC), workers=(expected, 0, 0)
        )
        self._running = _Running(job, folder, master, workers, time.monotonic(), preflight)

    def look(self) -> Snapshot:
        """Return how far the job is; the state is final once nothing of it runs any more."""
        running = self._running
        assert running is not None, "nothing was started"
        # In this order: a master writes its last word before it ends.
        exited = running.master.poll()
        snapshot = running.last = self._read(running)
        if not snapshot.state.is_final:
            problem, why = self._failure(running, exited)
            if problem is Problem.NONE:
                return snapshot
            snapshot = replace(snapshot, state=State.ENDED, at=datetime.now(UTC), problem=problem, reason=why)
        elif self.remote_workers and snapshot.workers[1]:
            # It still tells the workers of other tasks that they can go.
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.master.wait(GOODBYE_SECONDS)
        self.close()
        return snapshot

    def stop(self, problem: Problem, reason: str) -> None:
        """End it; the next looks tell when it has ended, and with which counts."""
        if (running := self._running) is not None and running.stop_until is None:
            running.stop_until = time.monotonic() + STOP_SECONDS
            running.stopping = problem, reason
            half = running.folder / "stop.half"
            half.write_text(json.dumps({"problem": problem, "reason": reason}))
            half.replace(running.folder / "stop.json")

    def close(self) -> None:
        """Let nothing run any more, whatever becomes of the counts."""
        running, self._running = self._running, None
        if running is None:
            return
        for process in running.processes:
            process.kill()
        for process in running.processes:
            process.wait()
        shutil.rmtree(running.folder, ignore_errors=True)

    def _locust(
        self, folder: Path, name: str, arguments: list[str], more: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        environment = {
            key: value for key, value in self.environment.items() if not key.startswith(_NOT_PASSED_ON)
        }
        with (folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--loglevel", "WARNING", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                # Locust reads settings from the folder it is started in, and from the home folder.
                cwd=folder,
                env={**environment, "HOME": str(folder), **more},
                # Ctrl-C is for the agent, which ends them.
                process_group=0,
            )

    def _read(self, running: _Running) -> Snapshot:
        """Return what the master has written last."""
        with contextlib.suppress(FileNotFoundError):
            return Snapshot.read(json.loads((running.folder / "snapshot.json").read_bytes()))
        return running.last

    def _failure(self, running: _Running, exited: int | None) -> tuple[Problem, str]:
        """Return why nothing is to be expected of the master any more, if so."""
        now = time.monotonic()
        if exited is not None:
            return Problem.LOST, f"Locust's master ended with status {exited}{_last_line(running.folder)}"
        if running.stop_until is not None and now > running.stop_until:
            problem, reason = running.stopping
            return problem, f"{reason} (Locust's master did not end in time: these are its last counts)"
        if running.last.state is State.PREFLIGHT and now - running.started > START_SECONDS:
            return (
                Problem.LOST,
                f"Locust did not begin within {START_SECONDS:g} s{_last_line(running.folder)}",
            )
        return Problem.NONE, ""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _last_line(folder: Path) -> str:
    """Return the last thing that the master has logged, to be put behind a reason."""
    lines = (folder / "master.log").read_bytes()[-4096:].decode(errors="replace").split("\n")
    said = [line for line in lines if line.strip()]
    return f": {said[-1].strip()[:300]}" if said else ""
