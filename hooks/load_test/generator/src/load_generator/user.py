"""What Locust runs in each worker process: the user that sends, and its talk with the master.

::

    master                                     worker
      spawn: load_job, load_assignment ──▶      test_start: which part is mine?
                                                OpenLoopUser takes it, and sends
           ◀── load_report, each second         counts so far, all of them each time
      load_stop ──▶                             sends no more, awaits what is on its way
           ◀── load_report, done                the last one

Locust's own statistics take no part in it: they arrive some seconds late, count failures among the latencies,
and go on rising after a run has been called stopped.
"""

import logging
import time
from typing import Any, ClassVar

import gevent  # type: ignore[import-untyped]
from locust import User, task
from locust.env import Environment
from locust.exception import RPCError
from locust.runners import WorkerRunner

from load_generator.job import Job, JobRefused, Limits
from load_generator.progress import Report
from load_generator.sending import STOP_SECONDS, Sending

logger = logging.getLogger("load_generator")

REPORT = "load_report"
STOP = "load_stop"
REPORT_SECONDS = 1.0

# The master answers a heartbeat each second. Without one nobody counts what is sent, or could stop it.
MASTER_SECONDS = 10.0


class OpenLoopUser(User):
    """Sends this worker's part; a second user in the same process has nothing to do."""

    waiting: ClassVar[Sending | None] = None
    """The part that nobody sends yet."""

    @task
    def send(self) -> None:
        """Send what is waiting, and then nothing until the run is over."""
        sending, OpenLoopUser.waiting = OpenLoopUser.waiting, None
        if sending is not None:
            sending.run()
        while True:
            gevent.sleep(60)


class Worker:
    """What a worker process does for the runs it takes part in, one after the other."""

    def __init__(self, environment: Environment, runner: WorkerRunner, limits: Limits) -> None:
        self._environment = environment
        self._runner = runner
        self._limits = limits
        self._run = ""
        self._sending: Sending | None = None
        environment.events.test_start.add_listener(self._on_test_start)  # type: ignore[no-untyped-call]
        environment.events.test_stopping.add_listener(self._on_test_stopping)  # type: ignore[no-untyped-call]
        runner.register_message(STOP, self._on_stop)

    def _on_test_start(self, **_: object) -> None:
        options = self._environment.parsed_options
        assignment: dict[str, Any] = getattr(options, "load_assignment", None) or {}
        OpenLoopUser.waiting = self._sending = None
        index = assignment.get("workers", {}).get(self._runner.client_id)
        if options is None or index is None:
            logger.warning("a run was begun without this worker")
            return
        try:
            job = Job.read(options.load_job)
            # Whoever can pose as a master could otherwise have anything sent anywhere.
            self._limits.check(job)
        except JobRefused as error:
            logger.error("this worker refuses the run: %s", error)
            self._tell(assignment["run"], {"refused": str(error)[:500]})
            return
        self._run = job.run
        self._sending = OpenLoopUser.waiting = Sending(
            job,
            index,
            len(assignment["workers"]),
            max_in_flight=self._limits.max_in_flight,
            markers=assignment["markers"],
        )
        gevent.spawn(self._report, self._run, self._sending)

    def _on_stop(self, msg: Any, **_: object) -> None:
        if self._sending is not None and msg.data["run"] == self._run:
            self._sending.stop()

    def _on_test_stopping(self, **_: object) -> None:
        """Finish before Locust kills its users, with whatever they have on its way."""
        if (sending := self._sending) is not None and not sending.done.is_set():
            sending.stop()
            sending.done.wait(STOP_SECONDS + 1)
            self._tell(self._run, _report(sending).write())

    def _report(self, run: str, sending: Sending) -> None:
        while not sending.done.wait(REPORT_SECONDS):
            self._tell(run, _report(sending).write())
            heard = self._runner.last_heartbeat_timestamp
            if heard is not None and time.time() - heard > MASTER_SECONDS:
                logger.error("the master is gone, so run %s ends", run)
                sending.stop()
        self._tell(run, _report(sending).write())

    def _tell(self, run: str, document: dict[str, Any]) -> None:
        try:
            self._runner.send_message(REPORT, {"run": run, **document})
        except RPCError as error:
            logger.warning("a report did not reach the master: %s", error)


def _report(sending: Sending) -> Report:
    return Report(sending.reached, sending.done.is_set(), sending.received, sending.counts)
