"""Takes jobs off the queue and has them run: all that the generator says to the outside world.

::

      SQS (FIFO)                 S3: runs/RUN/
     ┌──────────┐    receive    ┌───────────────┐
     │   job    │─────────────▶ │ claim.json    │ by whoever runs it; written once, as the result
     └──────────┘               │ control.json  │ the hook's: a lease, or the word to stop
                  every 2 s ──▶ │ progress.json │
                     at end ──▶ │ result.json   │
                                └───────────────┘

Nothing listens. A run goes on while the hook renews its lease, so that nothing is left running when the hook
dies, the deployment is rolled back, or nobody asks any more. A job is delivered at least once: the claim lets
it be run once, and a job whose runner has died is answered for instead of being run again, because the
numbers of half a run and of another half are no measurement. A runner that still writes its progress has not
died, even where the queue believes so.
"""

import enum
import json
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import TypeAdapter

from load_generator.job import Job, JobRefused, Limits, Run, remaining
from load_generator.snapshot import Problem, Snapshot, State

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

logger = logging.getLogger("load_generator")

_RUN: TypeAdapter[str] = TypeAdapter(Run)

WAIT_SECONDS = 20
"""The longest poll that SQS knows."""

# Twice the time between two looks is the most that the hook's word to stop takes.
LOOK_SECONDS = 2.0

# A job whose agent has died is given to the next after this.
VISIBILITY_SECONDS = 60
EXTEND_SECONDS = 20.0

# Of a runner that has died nothing is so young any more when its job is given to the next.
ALIVE_SECONDS = 30.0

RETRY_SECONDS = 5.0

# The files that are read, the hook's and a claim, are a hundred bytes long.
MAX_READ_BYTES = 64 * 1024


class _Finding(enum.Enum):
    """What becomes of a job that was received."""

    OURS = enum.auto()
    OVER = enum.auto()
    """What there is to say of it has been said."""
    HELD = enum.auto()
    """Another generator runs it."""


class Engine(Protocol):
    """Runs one job at a time."""

    def start(self, job: Job) -> None:
        """Begin; returns at once."""

    def look(self) -> Snapshot:
        """Return how far the job is; the state is final once nothing of it runs any more."""

    def stop(self, problem: Problem, reason: str) -> None:
        """End it; the next looks tell when it has ended, and with which counts."""

    def close(self) -> None:
        """Let nothing run any more, whatever becomes of the counts."""


@dataclass(slots=True)
class _Running:
    job: Job
    receipt: str
    extended: datetime
    lease: datetime
    """Until when, as far as is known."""
    stopping: bool = False


@dataclass(slots=True, kw_only=True)
class Agent:
    """One consumer of the queue. It is stepped: whoever owns it decides how time passes."""

    queue_url: str
    bucket: str
    limits: Limits
    engine: Engine
    sqs: "SQSClient"
    s3: "S3Client"
    name: str
    """Who claims: the task's id, or anything else that people find it by."""
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    wait_seconds: int = WAIT_SECONDS
    _running: _Running | None = None
    # A container that was restarted is the same task, and has not run what it ran before.
    _mark: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def is_busy(self) -> bool:
        return self._running is not None

    def step(self) -> float:
        """Do what is to be done now, and return after how many seconds to step again."""
        if self._running is not None:
            return self._watch(self._running)
        try:
            return self._receive()
        except (ClientError, BotoCoreError) as error:
            # What was received is delivered again.
            logger.warning("AWS failed, and is asked again: %s", error)
            return RETRY_SECONDS

    def close(self) -> None:
        """End what runs, and say so where that is possible: the task is being stopped."""
        running = self._running
        if running is None:
            return
        snapshot = self.engine.look()
        self.engine.close()
        self._running = None
        if not snapshot.state.is_final:
            reason = "the generator was stopped in the middle of the run"
            snapshot = self._ended(running.job.run, Problem.LOST, reason)
        if self._tried(lambda: self._write_once(running.job.run, "result", snapshot.write())):
            self._tried(lambda: self._delete(running.receipt))

    def _receive(self) -> float:
        found = self.sqs.receive_message(
            QueueUrl=self.queue_url,
            MaxNumberOfMessages=1,
            WaitTimeSeconds=self.wait_seconds,
            VisibilityTimeout=VISIBILITY_SECONDS,
        ).get("Messages", [])
        if not found:
            return 0.0 if self.wait_seconds else LOOK_SECONDS
        received_at, receipt = self.now(), found[0]["ReceiptHandle"]
        try:
            job = Job.read(found[0]["Body"])
        except JobRefused as error:
            logger.error("a message that is no job: %s", error)
            self._tell_run(found[0]["Body"], str(error))
            self._delete(receipt)
            return 0.0
        control = self._read(job.run, "control")
        finding = self._take(job, control)
        if finding is _Finding.OVER:
            self._delete(receipt)
            return 0.0
        lease = _moment((control or {}).get("leaseUntil"))
        if finding is _Finding.HELD or lease is None:
            return LOOK_SECONDS
        logger.info("run %s: %g s, up to %g requests a second", job.run, job.seconds, job.peak)
        self.engine.start(job)
        self._running = _Running(job, receipt, extended=received_at, lease=lease)
        return LOOK_SECONDS

    def _take(self, job: Job, control: dict[str, Any] | None) -> _Finding:
        """Claim a run, or say of it what there is to say."""
        if self._written_at(job.run, "result") is not None:
            return _Finding.OVER
        claim = self._read(job.run, "claim")
        if claim is not None and not self._is_mine(claim):
            return self._taken_by_another(job, claim)
        problem, why = self._objection(job, control)
        if problem is not Problem.NONE:
            logger.warning("run %s is not run: %s", job.run, why)
            self._answer(job.run, problem, why)
            return _Finding.OVER
        mine = {"version": 1, "by": self.name, "mark": self._mark}
        if claim is None and not self._write_once(job.run, "claim", mine):
            # Another was quicker; or it was us, where the answer to a first try was lost on its way.
            claim = self._read(job.run, "claim")
            if claim is None or not self._is_mine(claim):
                return _Finding.HELD
        return _Finding.OURS

    def _taken_by_another(self, job: Job, claim: dict[str, Any]) -> _Finding:
        seen = self._written_at(job.run, "progress") or self._written_at(job.run, "claim")
        if seen is not None and abs((self.now() - seen).total_seconds()) < ALIVE_SECONDS:
            logger.info("run %s is run by %s", job.run, claim.get("by"))
            return _Finding.HELD
        self._answer(job.run, Problem.LOST, "the generator that ran it has gone")
        return _Finding.OVER

    def _is_mine(self, claim: dict[str, Any]) -> bool:
        return claim.get("mark") == self._mark

    def _objection(self, job: Job, control: dict[str, Any] | None) -> tuple[Problem, str]:
        """Return why a run must not begin."""
        try:
            self.limits.check(job)
        except JobRefused as error:
            return Problem.REFUSED, str(error)
        if remaining(job, self.now()) <= 0:
            return Problem.ABANDONED, "no generator was free before startBefore"
        return self._orders(control)

    def _watch(self, running: _Running) -> float:
        """Do each of these however the others fail: a run goes on, and is told of later."""
        snapshot = self.engine.look()
        run = running.job.run
        self._tried(lambda: self._extend(running))
        if snapshot.state.is_final:
            if not self._tried(lambda: self._write_once(run, "result", snapshot.write())):
                return LOOK_SECONDS
            logger.info("run %s: %s", run, snapshot.outcome)
            self._running = None
            # A job that stays in the queue is delivered again, and found to be over.
            self._tried(lambda: self._delete(running.receipt))
            return 0.0
        if not running.stopping:
            self._tried(lambda: self._obey(running))
        if running.lease <= self.now():
            self._end(running, Problem.ABANDONED, "the lease could not be read until it was over")
        self._tried(lambda: self._write(run, "progress", snapshot.write()))
        return LOOK_SECONDS

    def _extend(self, running: _Running) -> None:
        now = self.now()
        if (now - running.extended).total_seconds() >= EXTEND_SECONDS:
            self.sqs.change_message_visibility(
                QueueUrl=self.queue_url, ReceiptHandle=running.receipt, VisibilityTimeout=VISIBILITY_SECONDS
            )
            running.extended = now

    def _obey(self, running: _Running) -> None:
        control = self._read(running.job.run, "control")
        problem, why = self._orders(control)
        if problem is not Problem.NONE:
            self._end(running, problem, why)
        elif control is not None and (lease := _moment(control.get("leaseUntil"))):
            running.lease = lease

    def _tried(self, call: Callable[[], object]) -> bool:
        try:
            call()
        except (ClientError, BotoCoreError) as error:
            logger.warning("AWS failed: %s", error)
            return False
        return True

    def _end(self, running: _Running, problem: Problem, why: str) -> None:
        if not running.stopping:
            logger.warning("run %s ends: %s", running.job.run, why)
            running.stopping = True
            self.engine.stop(problem, why)

    def _orders(self, control: dict[str, Any] | None) -> tuple[Problem, str]:
        """Return why a run must not go on, by what the hook says of it."""
        if control is None:
            return Problem.ABANDONED, "the hook holds no lease on it"
        if stop := control.get("stop"):
            return Problem.STOPPED, str(stop)[:500]
        until = _moment(control.get("leaseUntil"))
        if until is None or until <= self.now():
            return Problem.ABANDONED, f"the hook's lease ended at {control.get('leaseUntil')}"
        return Problem.NONE, ""

    def _tell_run(self, body: str, why: str) -> None:
        """Answer for a message that names a run, even where nothing else in it is understood."""
        try:
            run = _RUN.validate_python(json.loads(body)["run"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return
        self._answer(run, Problem.REFUSED, why)

    def _answer(self, run: str, problem: Problem, reason: str) -> None:
        """Write the result of a run that was not run, or not to its end; the first word stands."""
        self._write_once(run, "result", self._ended(run, problem, reason).write())

    def _ended(self, run: str, problem: Problem, reason: str) -> Snapshot:
        return Snapshot(run=run, state=State.ENDED, at=self.now(), problem=problem, reason=reason)

    def _delete(self, receipt: str) -> None:
        self.sqs.delete_message(QueueUrl=self.queue_url, ReceiptHandle=receipt)

    def _read(self, run: str, name: str) -> dict[str, Any] | None:
        try:
            found = self.s3.get_object(Bucket=self.bucket, Key=key_of(run, name))
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "NoSuchKey":
                return None
            raise
        try:
            document = json.loads(found["Body"].read(MAX_READ_BYTES))
        except (ValueError, RecursionError):
            return {}
        return document if isinstance(document, dict) else {}

    def _written_at(self, run: str, name: str) -> datetime | None:
        try:
            return self.s3.head_object(Bucket=self.bucket, Key=key_of(run, name))["LastModified"]
        except ClientError as error:
            # The answer to HEAD has no body that could say NoSuchKey.
            if error.response.get("Error", {}).get("Code") == "404":
                return None
            raise

    def _write(self, run: str, name: str, document: dict[str, Any], **condition: Any) -> None:
        self.s3.put_object(
            Bucket=self.bucket,
            Key=key_of(run, name),
            Body=json.dumps(document, separators=(",", ":")).encode(),
            ContentType="application/json",
            **condition,
        )

    def _write_once(self, run: str, name: str, document: dict[str, Any]) -> bool:
        """Write a file of the run where it is not there, and tell whether it was not."""
        try:
            self._write(run, name, document, IfNoneMatch="*")
        except ClientError as error:
            # https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
            if error.response.get("Error", {}).get("Code") == "PreconditionFailed":
                return False
            raise
        return True


def key_of(run: str, name: str) -> str:
    """Return where a file of a run stands: ``claim``, ``control``, ``progress`` or ``result``."""
    return f"runs/{run}/{name}.json"


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else None
