"""What Locust's master does for a run: lets it begin, follows it, and ends it.

::

    accept ─▶ enough workers? ─▶ preflight ─▶ parts given out ─▶ Locust spawns ─▶ followed, twice a second
       │            │                │                                               │
       └────────────┴────────────────┴── refused, unproven ...                       ├─ stop: by whoever
                                                                                     │  asked, for blue's
                                                                                     │  sake, for bytes
                                                                                     └─ all workers done

A run is given out once. A worker that joins later has no part in it, and one that is lost leaves its part
unsent.
"""

import json
import logging
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gevent  # type: ignore[import-untyped]
from locust.env import Environment
from locust.runners import (
    STATE_INIT,
    STATE_MISSING,
    STATE_RUNNING,
    STATE_SPAWNING,
    STATE_STOPPED,
    MasterRunner,
)
from locust.stats import StatsEntry, bucket_response_time

from load_generator.histogram import highest_of
from load_generator.job import Job, JobRefused, Limits, remaining
from load_generator.preflight import Failed, Preflight
from load_generator.progress import Progress, Report
from load_generator.sending import STOP_SECONDS
from load_generator.snapshot import ArmCounts, Counts, Problem, Snapshot, State
from load_generator.user import REPORT, REPORT_SECONDS, STOP

logger = logging.getLogger("load_generator")

TICK_SECONDS = 0.5

LEASE_SECONDS = 90.0


class Busy(Exception):
    """Another run is under way, or nobody is there to run this one."""


class Master:
    """The runs of one master process, one after the other."""

    def __init__(
        self,
        environment: Environment,
        runner: MasterRunner,
        limits: Limits,
        *,
        folder: Path | None = None,
        workers: int = 1,
        patience_seconds: float = 0.0,
    ) -> None:
        """*folder*: where the one run of this process, by so many workers, is told; ``None``: HTTP asks.

        *patience_seconds*: how long workers may take to come, in tasks of their own that start meanwhile.
        """
        self._environment = environment
        self._runner = runner
        self._limits = limits
        self._folder = folder
        self._workers = workers
        self._waits_until = time.monotonic() + patience_seconds
        self._parent = os.getppid()
        self._progress: Progress | None = None
        self._lease: float | None = None
        self._shown: dict[str, ArmCounts] = {}
        self._is_closed = True
        environment.events.test_start.add_listener(self._on_test_start)  # type: ignore[no-untyped-call]
        environment.events.test_stopping.add_listener(self._on_test_stopping)  # type: ignore[no-untyped-call]
        environment.events.quitting.add_listener(self._on_quitting)  # type: ignore[no-untyped-call]
        runner.register_message(REPORT, self._on_report)
        gevent.spawn(self._follow)

    @property
    def run(self) -> Progress | None:
        """The run under way, or else the last one."""
        return self._progress

    @property
    def is_ready(self) -> bool:
        """Whether a run could begin."""
        is_free = self._progress is None or self._progress.state.is_final
        return is_free and self._runner.state in {STATE_INIT, STATE_STOPPED} and self._runner.worker_count > 0

    @property
    def worker_count(self) -> int:
        return self._runner.worker_count

    def snapshot(self) -> Snapshot | None:
        return None if self._progress is None else self._progress.snapshot(time.monotonic())

    def accept(self, job: Job, *, lease: bool = False) -> None:
        """Take a run on, before Locust starts it; raises :class:`Busy` or :class:`JobRefused`.

        With *lease* at once or not at all, and only for as long as it is renewed.
        """
        if self._progress is not None and not self._progress.state.is_final:
            raise Busy(f"the run {self._progress.job.run} is under way")
        if lease and not self.is_ready:
            raise Busy("no worker is connected, or the last run has not ended everywhere")
        self._limits.check(job)
        if remaining(job, datetime.now(UTC)) <= 0:
            raise JobRefused("startBefore has passed")
        self._progress = Progress(job, self._workers)
        self._lease = time.monotonic() + LEASE_SECONDS if lease else None
        self._shown = {}
        self._is_closed = False

    def withdraw(self) -> None:
        """Forget a run that Locust then did not start."""
        if self._progress is not None and self._progress.state is State.PREFLIGHT:
            self._progress = None
            self._is_closed = True

    def renew(self, seconds: float) -> None:
        """Let the run go on for so long without a further word."""
        self._lease = time.monotonic() + seconds

    def stop(self, problem: Problem, reason: str) -> None:
        """End the run: what is on its way is still counted, for a short time."""
        progress = self._progress
        if progress is None or progress.is_stopping or progress.state.is_final:
            return
        logger.warning("run %s ends: %s", progress.job.run, reason)
        now = time.monotonic()
        progress.stop(problem, reason, now + STOP_SECONDS + 2 * REPORT_SECONDS)
        if progress.state is State.PREFLIGHT:
            progress.end(problem, reason, now)
        else:
            self._runner.send_message(STOP, {"run": progress.job.run})

    def _on_test_start(self, **_: object) -> None:
        """Begin, or have Locust's start end here: nothing has been sent to the workers yet."""
        progress = self._progress
        if progress is None or progress.state is not State.PREFLIGHT:
            logger.error("Locust was started without a job that was accepted")
            raise gevent.GreenletExit
        try:
            self._prepare(progress)
        except Failed as failed:
            progress.markers = failed.seen
            progress.end(failed.problem, str(failed), time.monotonic())
            logger.error("the run does not begin: %s", failed)
            raise gevent.GreenletExit from None
        except gevent.GreenletExit:
            # Locust's own stop kills the greenlet that starts.
            progress.end(Problem.STOPPED, "stopped before it had begun", time.monotonic())
            raise

    def _prepare(self, progress: Progress) -> None:
        job = progress.job
        markers = Preflight(job, self._limits.methods).prove()
        progress.markers = markers
        if progress.state is not State.PREFLIGHT:
            raise gevent.GreenletExit
        clients = self._runner.clients
        workers = [one.id for one in clients.all if one.state in {STATE_INIT, STATE_SPAWNING, STATE_RUNNING}]
        users = self._runner.target_user_count
        if users < len(workers):
            raise Failed(Problem.REFUSED, f"{users} users are too few for {len(workers)} workers: one each")
        options = self._environment.parsed_options
        assert options is not None
        options.load_job = json.dumps(job.write())
        options.load_assignment = {
            "run": job.run,
            "workers": {worker: index for index, worker in enumerate(workers)},
            "markers": markers,
        }
        logger.info("run %s: %d workers, markers %s", job.run, len(workers), markers)
        progress.begin(workers, time.monotonic())

    def _on_test_stopping(self, **_: object) -> None:
        self.stop(Problem.STOPPED, "Locust was told to stop")

    def _on_quitting(self, **_: object) -> None:
        if (progress := self._progress) is not None and not progress.state.is_final:
            self._look()
            progress.end(Problem.LOST, "the generator was stopped in the middle of the run", time.monotonic())
            self._write()

    def _on_report(self, msg: Any, **_: object) -> None:
        progress = self._progress
        if progress is None or msg.data["run"] != progress.job.run:
            return
        if refused := msg.data.get("refused"):
            self.stop(Problem.REFUSED, f"a worker: {refused}")
            return
        progress.hear(msg.node_id, Report.read(msg.data, time.monotonic()))

    def _follow(self) -> None:
        while True:
            gevent.sleep(TICK_SECONDS)
            try:
                self._look()
                self._write()
                self._close()
            except Exception:
                # One bad look must not leave a run that nobody follows.
                logger.exception("the run could not be followed")

    def _look(self) -> None:
        progress = self._progress
        if progress is None or progress.state.is_final:
            return
        now = time.monotonic()
        if self._lease is not None and now > self._lease:
            self.stop(Problem.ABANDONED, "nobody has asked about the run for too long")
        if self._folder is not None:
            self._look_at_folder(self._folder, progress, now)
        problem, reason = progress.watch(self._lost(progress), self._limits.max_bytes, now)
        if problem is not Problem.NONE:
            self.stop(problem, reason)
        self._show(progress.snapshot(now).counts)

    def _look_at_folder(self, folder: Path, progress: Progress, now: float) -> None:
        if order := _read(folder / "stop.json"):
            self.stop(Problem(order["problem"]), order["reason"])
        if os.getppid() != self._parent:
            self.stop(Problem.ABANDONED, "the agent is gone")
        came = self._runner.worker_count
        if progress.state is State.PREFLIGHT and came < self._workers and now > self._waits_until:
            self.stop(Problem.LOST, f"{came} of {self._workers} workers came")

    def _lost(self, progress: Progress) -> set[str]:
        clients = self._runner.clients
        return {
            worker
            for worker in progress.workers
            if worker not in clients or clients[worker].state == STATE_MISSING
        }

    def _close(self) -> None:
        """Have Locust stop once a run is over, so that it can start the next, or end."""
        progress = self._progress
        if progress is None or self._is_closed or not progress.state.is_final:
            return
        self._is_closed = True
        logger.info("run %s: %s", progress.job.run, progress.snapshot(time.monotonic()).outcome)
        if self._folder is not None:
            # What went wrong stands in the snapshot; Locust would take any failed request for a failure.
            self._environment.process_exit_code = 0
            gevent.spawn(self._runner.quit)
        elif self._runner.state not in {STATE_INIT, STATE_STOPPED}:
            gevent.spawn(self._runner.stop)

    def _write(self) -> None:
        if self._folder is not None and not self._is_closed and (snapshot := self.snapshot()) is not None:
            write(self._folder / "snapshot.json", snapshot.write())

    def _show(self, counts: Counts) -> None:
        """Let Locust's own pages show roughly what happens."""
        stats = self._environment.stats
        for name, later in counts.arms.items():
            earlier = self._shown.get(name, ArmCounts())
            if later.answered > earlier.answered:
                entry = _entry(name, later, earlier)
                stats.get(name, "").extend(entry)
                stats.total.extend(entry)
        self._shown = counts.arms


def _entry(name: str, later: ArmCounts, earlier: ArmCounts) -> StatsEntry:
    """Return what was answered between two moments as Locust counts it."""
    entry = StatsEntry(None, name, "")  # type: ignore[arg-type]
    now = time.time()
    latency = later.latency.since(earlier.latency)
    entry.num_requests = later.answered - earlier.answered
    entry.num_failures = later.errors.total() - earlier.errors.total()
    entry.num_none_requests = entry.num_requests - latency.count
    entry.total_response_time = round(latency.total / 1000)
    entry.total_content_length = later.bytes - earlier.bytes
    entry.last_request_timestamp = now
    entry.num_reqs_per_sec[int(now)] = entry.num_requests
    entry.num_fail_per_sec[int(now)] = entry.num_failures
    for bucket, count in enumerate(latency.counts):
        if count:
            milliseconds = highest_of(bucket) / 1000
            entry.response_times[bucket_response_time(milliseconds)] += count
            entry.min_response_time = min(entry.min_response_time or round(milliseconds), round(milliseconds))
            entry.max_response_time = max(entry.max_response_time, round(milliseconds))
    return entry


def write(path: Path, document: Mapping[str, Any]) -> None:
    """Write a file that whoever reads it finds whole."""
    half = path.with_suffix(".half")
    half.write_text(json.dumps(document, separators=(",", ":")))
    half.replace(path)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    return document if isinstance(document, dict) else None
