"""A complete consumer of one SQS queue behind a gate.

::

    receiver threads     gate open? free slots? ── receive ──▶ lease still there? ──no──▶ put back
                                                                      │ yes
    handler threads                                  handler(message) ┴─ raises ──▶ left for another delivery
                                                                      │ returns
    deleter threads                                    ten at a time, or what is there ──▶ DeleteMessageBatch
    keeper thread        extends the visibility of what is in hand, keeps task protection

What holds:

- A receive starts only while the gate is open, and is over before the lease ends: long polling waits no
  longer than that. What arrives later all the same is put back, unhandled.
- A message is deleted after its handler returned, never before, and never when it raised.
- No more is received than can be started at once.
- While a message is in hand it stays invisible to others, for up to the 12 hours SQS allows.
- In a FIFO queue the messages of a group are handled one after the other, and none after one that failed:
  SQS gives out nothing of a group while a message of it is in flight, and what one receive brought of a group
  goes to one thread.

Delivery is at least once, as with SQS itself: a handler must bear to see a message twice.
"""

import contextlib
import logging
import math
import signal as signals
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from activation_gate.clock import monotonic_seconds
from activation_gate.gate import ActivationGate
from activation_gate.protection import TaskProtection
from activation_gate.queue import (
    MAX_BATCH,
    MAX_VISIBILITY_SECONDS,
    MAX_WAIT_SECONDS,
    Message,
    QueueError,
    SqsQueue,
)
from activation_gate.telemetry import Metrics

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

DEFAULT_VISIBILITY_SECONDS = 60
MIN_VISIBILITY_SECONDS = 10

DEFAULT_STOP_TIMEOUT_SECONDS = 25.0
"""A little less than ECS's ``stopTimeout``, after which it sends SIGKILL: 30 s if the task does not say."""

DEFAULT_RESERVE_SECONDS = 1.0
"""Between the end of a long poll and the end of the lease, for the way back of the answer."""

# How long to hold on for more, where ten can share a call: too short to notice, long enough for handlers that
# finish together.
DELETE_LINGER_SECONDS = 0.02
RECEIVE_LINGER_SECONDS = 0.005

# With this much handled and not deleted, something is wrong with deleting; receiving more would not help.
MAX_UNDELETED = 1000
# For who calls step by step, or is stopping; else it is tried while the visibility lasts.
DELETE_ATTEMPTS = 5

POLL_SECONDS = 0.25
"""How often threads look whether they should stop, where nothing wakes them."""
KEEPER_SECONDS = 1.0
MAX_BACKOFF_SECONDS = 20.0

logger = logging.getLogger(__name__)

_T = TypeVar("_T")


@dataclass(slots=True)
class _InHand:
    message: Message
    visible_at: float
    given_up_at: float
    delete_attempts: int = 0


class SqsConsumer:
    """Receive from *queue_url* while *gate* is open, and call *handler* for each message.

    ``run`` is all a worker needs. ``receive``, ``done``, ``failed`` and ``heartbeat`` are the same logic in
    single steps, for who has a loop already or a clock that is not real; they start no thread.

    Parameters
    ----------
    handler
        Called with one message, in one of *concurrency* threads. When it returns, the message is deleted;
        when it raises, the message is left and delivered again.
    concurrency
        How many messages are handled at a time.
    receivers
        How many threads receive, and delete. One brings some hundred messages per second.
    visibility_seconds
        For how long a message stays invisible at a time; extended at half of that while it is in hand. A
        task that dies keeps its messages for so long.
    wait_seconds
        How long a receive waits for a message. It also bounds how long an idle worker takes to stop.
    reserve_seconds
        A receive ends so long before the lease does.
    retry_seconds
        After how many seconds a message whose handler raised is delivered again; by default when its
        visibility ends. May be a function of the message, ``lambda message: 2 ** message.receive_count``.
    stop_timeout_seconds
        How long to let handlers finish after SIGTERM; less than ``stopTimeout`` of the container.
    protection
        By default asked for wherever ECS offers it.
    client
        An SQS client for all calls, instead of the consumer's own.
    """

    def __init__(
        self,
        queue_url: str,
        handler: Callable[[Message], object],
        gate: ActivationGate,
        *,
        concurrency: int = 10,
        receivers: int = 1,
        visibility_seconds: int = DEFAULT_VISIBILITY_SECONDS,
        wait_seconds: int = MAX_WAIT_SECONDS,
        reserve_seconds: float = DEFAULT_RESERVE_SECONDS,
        retry_seconds: float | Callable[[Message], float] | None = None,
        stop_timeout_seconds: float = DEFAULT_STOP_TIMEOUT_SECONDS,
        protection: TaskProtection | None = None,
        client: "SQSClient | None" = None,
        metrics: Metrics | None = None,
        monotonic: Callable[[], float] = monotonic_seconds,
    ) -> None:
        _require("concurrency", concurrency, 1, 1000)
        _require("receivers", receivers, 1, 100)
        _require("visibility_seconds", visibility_seconds, MIN_VISIBILITY_SECONDS, MAX_VISIBILITY_SECONDS)
        _require("wait_seconds", wait_seconds, 0, MAX_WAIT_SECONDS)
        self.gate = gate
        self.handler = handler
        self.concurrency = concurrency
        self.receivers = receivers
        self.visibility_seconds = visibility_seconds
        self.wait_seconds = wait_seconds
        self.reserve_seconds = reserve_seconds
        self.stop_timeout_seconds = stop_timeout_seconds
        self.metrics = metrics or gate.metrics
        self._retry_seconds = retry_seconds
        self._protection = protection or TaskProtection(monotonic=monotonic)
        self._queue = SqsQueue(queue_url, client=client, connections=2 * receivers + 2)
        self._monotonic = monotonic
        # Guards all below; whoever changes something notifies.
        self._changed = threading.Condition()
        self._in_hand: dict[str, _InHand] = {}
        self._undeleted: deque[Message] = deque()
        self._taken_slots = 0
        self._stopping = threading.Event()
        self._handled_all = threading.Event()
        self._threads: list[threading.Thread] = []
        self._handlers: ThreadPoolExecutor | None = None
        if self.metrics:
            self.metrics.gauge("InFlight", lambda: self.in_flight)

    @property
    def in_flight(self) -> int:
        """How many messages have been received and not yet deleted, put back or left for another delivery."""
        with self._changed:
            return len(self._in_hand)

    # Single steps

    def receive(self, max_messages: int = MAX_BATCH) -> list[Message]:
        """Receive up to *max_messages* if the gate is open, and none if it is not.

        Each is then in hand, until ``done``, ``failed`` or ``put_back`` is called with it. Raises
        ``QueueError``.
        """
        left = self.gate.remaining() - self.reserve_seconds
        if left <= 0:
            return []
        messages = self._queue.receive(
            min(max_messages, MAX_BATCH),
            wait_seconds=min(self.wait_seconds, math.floor(left)),
            visibility_seconds=self.visibility_seconds,
            epoch=self.gate.epoch,
        )
        if not messages:
            return []
        self._count("Received", len(messages))
        now = self._monotonic()
        with self._changed:
            for message in messages:
                self._in_hand[message.receipt_handle] = _InHand(
                    message, now + self.visibility_seconds, now + MAX_VISIBILITY_SECONDS
                )
        if not self.gate.is_open:
            logger.info(f"{len(messages)} messages arrived after the lease had ended and are put back")
            self.put_back(messages)
            return []
        # Before the first is handled: a hook that waits for this task's work may look at its protection.
        self._protection.keep(busy=True)
        return messages

    def done(self, message: Message) -> None:
        """Have *message* deleted: its work is finished."""
        with self._changed:
            self._undeleted.append(message)
            if self._handlers is not None and not self._handled_all.is_set():
                self._changed.notify_all()
                return
        self.flush()

    def failed(self, message: Message) -> None:
        """Leave *message* to be delivered again, after ``retry_seconds`` or when its visibility ends."""
        self._forget([message])
        self._count("Failed")
        if self._retry_seconds is None:
            return
        seconds = self._retry_seconds(message) if callable(self._retry_seconds) else self._retry_seconds
        self._show_again([message], max(0, min(math.ceil(seconds), MAX_VISIBILITY_SECONDS)))

    def put_back(self, messages: Sequence[Message]) -> None:
        """Have *messages* delivered again at once, to whoever is active: they have not been handled."""
        if not messages:
            return
        self._forget(messages)
        self._count("PutBack", len(messages))
        for batch in _batches(messages):
            self._show_again(batch, 0)

    def flush(self) -> None:
        """Delete what is done."""
        while batch := self._next_undeleted():
            self._delete(batch)

    def heartbeat(self) -> float:
        """Extend the visibility of what is in hand, as is due; return in how many seconds to do it again."""
        now = self._monotonic()
        with self._changed:
            due = [one for one in self._in_hand.values() if now >= self._extend_at(one)]
        for batch in _batches(due):
            self._extend(batch, now)
        with self._changed:
            return max(0.0, min(map(self._extend_at, self._in_hand.values()), default=math.inf) - now)

    # With threads

    def run(self, *, handle_signals: bool = True) -> bool:
        """Consume until ``stop`` is called or SIGTERM or SIGINT arrives; tell whether all work was finished.

        Starts the gate if nobody has, and then closes it at the end. Signals are handled in the main thread
        only, as Python demands.
        """
        with contextlib.ExitStack() as at_end:
            if not self.gate.is_started:
                at_end.enter_context(self.gate)
            signalled: list[int] = []
            if handle_signals and threading.current_thread() is threading.main_thread():
                at_end.callback(_append_signals(signalled))
            self.start()
            while not signalled and not self._stopping.wait(POLL_SECONDS):
                pass
            self.stop()
            return self.join()

    def start(self) -> None:
        """Start consuming in threads of its own."""
        if self._handlers is not None:
            raise RuntimeError("the consumer has been started already")
        self._handlers = ThreadPoolExecutor(self.concurrency, thread_name_prefix="activation-handler")
        for number in range(self.receivers):
            self._thread(f"receiver-{number}", self._receive_on)
        for number in range(self.receivers):
            self._thread(f"deleter-{number}", self._delete_on)
        self._thread("keeper", self._keep_on)

    def stop(self) -> None:
        """Receive no more. Returns at once; ``join`` waits for what is being handled."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()

    def join(self) -> bool:
        """Wait until all is handled and deleted, for ``stop_timeout_seconds`` at most; tell whether it is.

        What has not been started is put back. A handler that still runs then is left alone, and so is its
        message, which is delivered again when its visibility ends.
        """
        self._stopping.wait()
        deadline = self._monotonic() + self.stop_timeout_seconds
        with self._changed:
            while self._taken_slots and (left := deadline - self._monotonic()) > 0:
                self._changed.wait(min(left, POLL_SECONDS))
            self._handled_all.set()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(max(0.0, deadline - self._monotonic()))
        self.flush()
        self._protection.release()
        if self._handlers:
            self._handlers.shutdown(wait=False, cancel_futures=True)
        if self.in_flight:
            logger.warning(
                f"{self.in_flight} messages were not finished within {self.stop_timeout_seconds:g} s "
                "and will be delivered again"
            )
        return self.in_flight == 0

    def _thread(self, name: str, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, name=f"activation-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    # Receiving

    def _receive_on(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            if not self.gate.wait(POLL_SECONDS):
                self._stopping.wait(POLL_SECONDS)
                continue
            wanted = self._take_slots()
            started = 0
            pause = 0.0
            try:
                messages = self.receive(wanted) if wanted else []
                failures = 0
                if self._stopping.is_set() and messages:
                    self.put_back(messages)
                else:
                    started = self._start_handling(messages)
                    # An empty answer took its time, unless the wait was short.
                    pause = POLL_SECONDS if wanted and not messages else 0.0
            except Exception as error:
                failures += 1
                pause = _backoff(failures)
                if isinstance(error, QueueError):
                    logger.error(f"{error}; trying again in {pause:g} s")
                else:  # a receiver that died would leave a worker that does nothing, without a word
                    logger.exception(f"receiving failed unexpectedly; trying again in {pause:g} s")
            finally:
                self._give_slots(wanted - started)
            if pause:
                self._stopping.wait(pause)

    def _take_slots(self) -> int:
        """Wait until messages can be handled; return for how many there are slots, at most ten."""
        wanted = min(MAX_BATCH, self.concurrency)
        with self._changed:
            if self._changed.wait_for(self._may_receive, POLL_SECONDS) and self._free_slots() < wanted:
                self._changed.wait_for(lambda: self._free_slots() >= wanted, RECEIVE_LINGER_SECONDS)
            taken = min(wanted, self._free_slots()) if self._may_receive() else 0
            self._taken_slots += taken
            return taken

    def _may_receive(self) -> bool:
        return not self._stopping.is_set() and self._free_slots() > 0 and len(self._undeleted) < MAX_UNDELETED

    def _free_slots(self) -> int:
        return self.concurrency - self._taken_slots

    def _give_slots(self, number: int) -> None:
        if number:
            with self._changed:
                self._taken_slots -= number
                self._changed.notify_all()

    # Handling

    def _start_handling(self, messages: Sequence[Message]) -> int:
        """Hand *messages* to the handler threads; return how many slots they now hold."""
        assert self._handlers
        for row in self._in_order(messages):
            self._handlers.submit(self._handle_row, row)
        return len(messages)

    def _in_order(self, messages: Sequence[Message]) -> Iterable[list[Message]]:
        """Return the rows of messages that must be handled one after the other."""
        if not self._queue.is_fifo:
            return ([message] for message in messages)
        rows: dict[str | None, list[Message]] = {}
        for message in messages:
            rows.setdefault(message.group_id, []).append(message)
        return rows.values()

    def _handle_row(self, row: list[Message]) -> None:
        for number, message in enumerate(row):
            # A row may take long. What has not been started when the lease ends belongs to whoever is next.
            if self._stopping.is_set() or not self.gate.is_open:
                self.put_back(row[number:])
                self._give_slots(len(row) - number)
                return
            if not self._handle(message):
                self.put_back(row[number + 1 :])
                self._give_slots(len(row) - number)
                return
            self._give_slots(1)

    def _handle(self, message: Message) -> bool:
        try:
            self.handler(message)
        except BaseException:  # SystemExit in a thread would end nothing, and leave the message in hand
            logger.exception(
                f"message {message.message_id} failed, and will be delivered again",
                extra={"message_id": message.message_id, "receive_count": message.receive_count},
            )
            self.failed(message)
            return False
        self.done(message)
        return True

    # Deleting

    def _delete_on(self) -> None:
        failures = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._undeleted or self._handled_all.is_set(), POLL_SECONDS)
                if not self._undeleted:
                    if self._handled_all.is_set():
                        return
                    continue
                self._changed.wait_for(
                    lambda: len(self._undeleted) >= MAX_BATCH or not self._taken_slots, DELETE_LINGER_SECONDS
                )
            if not (batch := self._next_undeleted()):
                continue
            failures = 0 if self._delete(batch) else failures + 1
            if failures:
                self._stopping.wait(_backoff(failures))

    def _next_undeleted(self) -> list[Message]:
        with self._changed:
            return [self._undeleted.popleft() for _ in range(min(MAX_BATCH, len(self._undeleted)))]

    def _delete(self, batch: Sequence[Message]) -> bool:
        """Delete *batch*, and put in line again what may still be deleted; tell whether all went well."""
        try:
            rejected = self._queue.delete(batch)
        except QueueError as error:
            logger.warning(f"{error}; {len(batch)} handled messages wait to be deleted")
            self._delete_again(batch, str(error))
            return False
        gone = [message for message in batch if message.receipt_handle not in rejected]
        self._forget(gone)
        self._count("Deleted", len(gone))
        for message in batch:
            rejection = rejected.get(message.receipt_handle)
            if rejection and rejection.final:
                self._give_up_deleting(message, rejection.code)
            elif rejection:
                self._delete_again([message], rejection.code)
        return not rejected

    def _delete_again(self, messages: Sequence[Message], reason: str) -> None:
        for message in messages:
            with self._changed:
                in_hand = self._in_hand.get(message.receipt_handle)
                if in_hand and self._may_be_deleted_later(in_hand):
                    in_hand.delete_attempts += 1
                    self._undeleted.append(message)
                    continue
            self._give_up_deleting(message, reason)

    def _may_be_deleted_later(self, one: _InHand) -> bool:
        if self._handlers is None or self._stopping.is_set():
            return one.delete_attempts < DELETE_ATTEMPTS - 1
        # As long as nobody else can get it, a duplicate can still be avoided.
        return self._monotonic() < one.visible_at

    def _give_up_deleting(self, message: Message, reason: str) -> None:
        logger.error(
            f"message {message.message_id} was handled but can't be deleted, "
            f"and will be delivered again: {reason}"
        )
        self._forget([message])

    # Keeping

    def _keep_on(self) -> None:
        while not self._handled_all.is_set():
            try:
                pause = max(POLL_SECONDS, min(self.heartbeat(), KEEPER_SECONDS))
                busy = self.in_flight > 0
                self._protection.keep(busy=busy)
                if not busy and not self.gate.is_open:
                    # At once, not after a while: the hook may be waiting for just this.
                    self._protection.release()
            except Exception:
                logger.exception("keeping messages in hand failed unexpectedly")
                pause = KEEPER_SECONDS
            self._handled_all.wait(pause)

    def _extend_at(self, one: _InHand) -> float:
        return one.visible_at - self.visibility_seconds / 2

    def _extend(self, batch: Sequence[_InHand], now: float) -> None:
        seconds = min(self.visibility_seconds, int(min(one.given_up_at for one in batch) - now))
        if seconds <= 0:
            lost = {one.message.receipt_handle: "in hand for 12 hours, the most SQS allows" for one in batch}
            done: set[str] = set()
        else:
            try:
                rejected = self._queue.change_visibility([one.message for one in batch], seconds)
            except QueueError as error:
                logger.warning(f"{error}; trying again while the visibility that is left lasts")
                return
            lost = {handle: rejection.code for handle, rejection in rejected.items() if rejection.final}
            done = {one.message.receipt_handle for one in batch} - rejected.keys()
        with self._changed:
            for one in batch:
                handle = one.message.receipt_handle
                if handle in done:
                    one.visible_at = now + seconds
                elif handle in lost and handle in self._in_hand:
                    del self._in_hand[handle]
                    logger.warning(
                        f"message {one.message.message_id} is in hand and may be delivered to others: "
                        f"{lost[handle]}"
                    )

    def _show_again(self, messages: Sequence[Message], seconds: int) -> None:
        """Have up to ten messages delivered again in *seconds*; failing that, when their visibility ends."""
        try:
            self._queue.change_visibility(messages, seconds)
        except QueueError as error:
            logger.warning(str(error))

    def _forget(self, messages: Iterable[Message]) -> None:
        with self._changed:
            for message in messages:
                self._in_hand.pop(message.receipt_handle, None)
            self._changed.notify_all()

    def _count(self, name: str, by: int = 1) -> None:
        if self.metrics:
            self.metrics.count(name, by)


def _batches(items: Sequence[_T]) -> Iterable[Sequence[_T]]:
    return (items[start : start + MAX_BATCH] for start in range(0, len(items), MAX_BATCH))


def _backoff(failures: int) -> float:
    return float(min(MAX_BACKOFF_SECONDS, POLL_SECONDS * 2 ** min(failures, 10)))


def _require(name: str, value: float, at_least: float, at_most: float) -> None:
    if not at_least <= value <= at_most:
        raise ValueError(f"{name} is {value}; expected {at_least} to {at_most}")


def _append_signals(signalled: list[int]) -> Callable[[], None]:
    """Add SIGTERM and SIGINT to *signalled*; return what restores the handlers of before.

    A list, not an event: a signal handler runs in the midst of the main thread, which may hold that lock.
    """
    before = {
        number: signals.signal(number, lambda number, _: signalled.append(number))
        for number in (signals.SIGTERM, signals.SIGINT)
    }

    def restore() -> None:
        for number, handler in before.items():
            signals.signal(number, handler)

    return restore
