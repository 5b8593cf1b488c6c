"""The gate: open while this task's revision may receive.

::

    Parameter ──look()──▶ Lease ──remaining()──▶ your loop
       one GetParameter     pure rules             receives only while seconds remain
       every readSeconds
"""

import contextlib
import logging
import os
import random as random_numbers
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from activation_gate.clock import monotonic_seconds
from activation_gate.lease import Lease
from activation_gate.parameter import Found, Parameter, ReadError
from activation_gate.revision import REVISION_VARIABLE, own_revision
from activation_gate.state import DEFAULT_READ_SECONDS, State
from activation_gate.telemetry import Metrics

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

PARAMETER_VARIABLE = "ACTIVATION_PARAMETER"
METRICS_VARIABLE = "ACTIVATION_METRICS"

JITTER = 0.1
"""Read intervals differ by up to this share, so that tasks which started together don't read together."""

CLOSE_WAITS_SECONDS = 5

logger = logging.getLogger(__name__)


class ActivationGate:
    """Open while this task may receive.

    As a context manager it reads the parameter in a thread of its own. Who has a loop already, or a clock
    that is not real, calls ``read_once`` instead and never enters the context.

    Parameters
    ----------
    parameter_name
        Such as ``/ecs-consumers/production/notifications/consumers``.
    revision
        The id of this task's service revision; by default ECS is asked at the first read.
    client
        An SSM client. Its time-outs and retries must add up to less than the lease.
    metrics
        Where ``Active`` and ``LeaseAgeSeconds`` are written, once per read.
    monotonic, random
        The clock, in seconds, and a number from 0 to 1 for the jitter.

    Examples
    --------
    >>> gate = ActivationGate("/ecs-consumers/demo/mail/consumers", revision="42")  # doctest: +SKIP
    >>> with gate:  # doctest: +SKIP
    ...     while gate.wait():
    ...         receive_for_at_most(gate.remaining())
    """

    def __init__(
        self,
        parameter_name: str,
        *,
        revision: str | None = None,
        client: "SSMClient | None" = None,
        metrics: Metrics | None = None,
        monotonic: Callable[[], float] = monotonic_seconds,
        random: Callable[[], float] = random_numbers.random,
    ) -> None:
        self.parameter = Parameter(parameter_name, client=client, monotonic=monotonic)
        self.metrics = metrics
        self._monotonic = monotonic
        self._random = random
        self._lease = Lease(revision) if revision else None
        self._failures = 0
        self._warned_of: State | None = None
        self._seen: tuple[int | None, str | None] | None = None
        self._announced = False
        self._subscribers: list[Callable[[bool], object]] = []
        # Three locks, always taken in this order. No network call happens under the last, so nobody who
        # asks whether the gate is open waits for Parameter Store.
        self._reading = threading.Lock()
        self._announcing = threading.RLock()
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._threads: list[threading.Thread] = []
        if metrics:
            metrics.gauge("Active", lambda: int(self.is_open))
            metrics.gauge("LeaseAgeSeconds", lambda: self.lease_age)

    @classmethod
    def from_environment(cls) -> Self:
        """Return a gate set up by environment variables.

        ``ACTIVATION_PARAMETER`` is the parameter's name; ``ACTIVATION_REVISION`` the own revision, else ECS
        is asked; ``ACTIVATION_METRICS`` the name of the service, to have metrics written to standard output.
        """
        name = os.environ.get(PARAMETER_VARIABLE)
        if not name:
            raise ValueError(
                f"{PARAMETER_VARIABLE} is not set; expected the parameter's name, such as "
                "/ecs-consumers/CLUSTER/SERVICE/consumers"
            )
        service = os.environ.get(METRICS_VARIABLE)
        return cls(
            name,
            revision=os.environ.get(REVISION_VARIABLE) or None,
            metrics=Metrics(service) if service else None,
        )

    @property
    def revision(self) -> str:
        """The own revision. Asks ECS the first time if it was not given; may raise ``RevisionError``."""
        return self._own_lease().revision

    @property
    def is_open(self) -> bool:
        """Whether a receive may start now."""
        return self.remaining() > 0

    @property
    def is_started(self) -> bool:
        """Whether the gate reads, or has read, in a thread of its own."""
        return bool(self._threads)

    def remaining(self) -> float:
        """Return for how many seconds receiving is allowed; 0 when the gate is closed.

        A receive must be over by then. Ask again before each.
        """
        with self._changed:
            if self._lease is None or self._closed.is_set():
                return 0.0
            return self._lease.remaining(self._monotonic())

    @property
    def epoch(self) -> int | None:
        """The number of the latest switch that was read: a fencing token, which only grows."""
        return self.state.epoch if self.state else None

    @property
    def state(self) -> State | None:
        """What the latest reading found, if it could be understood."""
        with self._changed:
            latest = self._lease.latest if self._lease else None
            return latest.state if latest else None

    @property
    def lease_age(self) -> float | None:
        """Seconds since the latest successful read began; ``None`` before the first."""
        with self._changed:
            latest = self._lease.latest if self._lease else None
            return self._monotonic() - latest.began if latest else None

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the gate is open, for at most *timeout* seconds; tell whether it is.

        Returns early, with ``False``, when the gate is shut down by leaving its context.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while not self.is_open and not self._closed.is_set():
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    break
                self._changed.wait(_sooner(left, self._until_change()))
            return self.is_open

    def subscribe(self, callback: Callable[[bool], object]) -> Callable[[], None]:
        """Have *callback* told whether the gate is open: now, and at each change from then on.

        Calls never overlap. They come from the gate's threads, or from ``read_once``; what they raise is
        logged. Returns a function that ends the subscription.
        """
        with self._announcing:
            self._subscribers.append(callback)
            self._tell(callback, is_open=self._announced)

        def end() -> None:
            with self._announcing, contextlib.suppress(ValueError):
                self._subscribers.remove(callback)

        return end

    def read_once(self) -> float:
        """Read the parameter now; return in how many seconds to read it again."""
        with self._reading:
            lease = self._own_lease()
            try:
                found = self.parameter.look()
            except ReadError as error:
                self._failed(error)
            else:
                if self._failures:
                    logger.info(f"{self.parameter.name} can be read again, after {self._failures} failures")
                self._failures = 0
                with self._changed:
                    counted = lease.read(found.reading)
                    self._changed.notify_all()
                if counted:
                    self._note(found)
            pause = self._pause()
        self._announce()
        if self.metrics:
            self.metrics.flush()
        return pause

    def start(self) -> None:
        """Find out the own revision and start reading. ``RevisionError`` is raised here, not in a thread."""
        if self._threads:
            raise RuntimeError("the gate has been started already")
        revision = self.revision
        if self.metrics and self.metrics.revision is None:
            self.metrics.revision = revision
        for name, run in (("reader", self._read_on), ("clock", self._watch)):
            thread = threading.Thread(target=run, name=f"activation-gate-{name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """Stop reading. The gate is closed from now on, and stays so."""
        with self._changed:
            self._closed.set()
            self._changed.notify_all()
        self._announce()
        for thread in self._threads:
            thread.join(CLOSE_WAITS_SECONDS)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _own_lease(self) -> Lease:
        if self._lease is None:
            self._lease = Lease(own_revision())
        return self._lease

    def _read_on(self) -> None:
        while not self._closed.is_set():
            try:
                pause = self.read_once()
            except Exception:  # a reader that died would keep the gate closed for ever, without a word
                logger.exception(f"reading {self.parameter.name} failed unexpectedly")
                pause = DEFAULT_READ_SECONDS
            self._closed.wait(pause)

    def _watch(self) -> None:
        """Announce what happens between two reads: quiet has lasted long enough, or a lease ends."""
        while not self._closed.is_set():
            with self._changed:
                if self._announced == self.is_open and not self._closed.is_set():
                    self._changed.wait(self._until_change())
            self._announce()

    def _until_change(self) -> float | None:
        """Return in how many seconds the gate opens or closes unless something else is read."""
        if self._lease is None or not self._lease.granted:
            return None
        now = self._monotonic()
        moments = [moment - now for moment in (self._lease.opens_at, self._lease.ends_at) if moment > now]
        return min(moments, default=None)

    def _announce(self) -> None:
        with self._announcing:
            is_open = self.is_open
            if is_open == self._announced:
                return
            self._announced = is_open
            with self._changed:
                self._changed.notify_all()
            revision = self._lease.revision if self._lease else ""
            logger.info(
                f"revision {revision} may {'receive' if is_open else 'no longer receive'}",
                extra={"open": is_open, "epoch": self.epoch, "revision": revision},
            )
            for callback in tuple(self._subscribers):
                self._tell(callback, is_open=is_open)

    def _tell(self, callback: Callable[[bool], object], *, is_open: bool) -> None:
        try:
            callback(is_open)
        except Exception:  # one subscriber's fault is no other's
            logger.exception(f"{callback!r} failed when it was told that the gate is {is_open=}")

    def _pause(self) -> float:
        """Return the seconds until the next read: so few that one failed read does not cost the lease."""
        state = self.state
        seconds: float = state.read_seconds if state else DEFAULT_READ_SECONDS
        if state and seconds > state.lease_seconds / 2:
            seconds = state.lease_seconds / 3
            if self._warned_of != state:
                self._warned_of = state
                logger.warning(
                    f"readSeconds {state.read_seconds:g} is more than half of leaseSeconds "
                    f"{state.lease_seconds:g}; reading every {seconds:.1f} s"
                )
        return seconds * (1 + JITTER * (2 * self._random() - 1))

    def _failed(self, error: ReadError) -> None:
        self._failures += 1
        # Each failure would be a line every few seconds; the first one, and each hundredth, are enough.
        if self._failures % 100 == 1:
            logger.warning(f"{error}; open for another {self.remaining():.1f} s unless a read succeeds")

    def _note(self, found: Found) -> None:
        """Log what is new since the last reading."""
        seen = found.reading.newest, found.garbage
        if seen == self._seen:
            return
        self._seen = seen
        name, reading = self.parameter.name, found.reading
        for number in found.void:
            logger.warning(f"{name}: version {number} is void, another write came before it")
        if found.garbage:
            logger.error(f"{name}: nobody is active, version {reading.version} is garbage: {found.garbage}")
        elif reading.state is None:
            logger.warning(
                f"{name}: nobody is active, there is no {'valid version' if found.void else 'value'}"
            )
        else:
            logger.info(
                f"{name}: version {reading.version} says that {reading.state.active or 'nobody'} is active",
                extra={"epoch": reading.state.epoch, "active": reading.state.active},
            )


def _sooner(one: float | None, other: float | None) -> float | None:
    return min((seconds for seconds in (one, other) if seconds is not None), default=None)
