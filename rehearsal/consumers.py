"""The tasks of a service that takes messages off a queue, driven on the rehearsal's clock.

::

    Line      one queue, and the long polls that wait for it
    Consumer  one task: the worker library's gate and consumer, step by step
    Ledger    who received which message when; whether two revisions did at once, or nobody

Everything a task does at AWS it does with the real library and the permissions of a task role. What is
played here is what the library's threads would do: read the gate every few seconds, poll while it is open,
spend time on messages, extend them, and end some time after SIGTERM.
"""

import contextlib
import itertools
import json
import logging
import random
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import simpy
from activation_gate import ActivationGate, Message, SqsConsumer, TaskProtection
from moto.sqs.models import Message as KeptMessage
from moto.sqs.models import Queue

from rehearsal.model import Task
from rehearsal.outcome import Consumption, Delivery, RevisionConsumption, Span
from rehearsal.timing import Environment, Process

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html
LONG_POLL_SECONDS = 20

# The library's own: the least time between two polls, how long before the end of its lease a poll ends, and
# what handlers are given after SIGTERM.
SHORT_POLL_SECONDS = 0.25
RESERVE_SECONDS = 1.0
STOP_SECONDS = 25.0

# How long ECS takes to start another task for one that has crashed; it does not say.
RESTART_SECONDS = 30.0

# Of a revision that starts and stops all the time, as when its tasks crash, so much is said.
TURNS_SAID = 6

# moto lets a message be seen from the millisecond after its time on.
_A_MOMENT = 0.002

LIBRARY_LOGGER = "activation_gate"


class Line:
    """A queue, and the consumers that wait for a message in it, first come first served."""

    def __init__(
        self, env: Environment, name: str, url: str, queue: Queue, dead_letters: Queue | None
    ) -> None:
        self.name = name
        self.url = url
        self.queue = queue
        self.dead_letters = dead_letters
        self.sent: dict[str, str] = {}
        """What people call each message, by its id; in the order they were sent."""
        self._env = env
        self._waiting: deque[simpy.Event] = deque()

    def arrived(self) -> None:
        """Let one of those that wait look: there may be a message."""
        if self._waiting:
            self._waiting.popleft().succeed()

    def wait(self, seconds: float) -> Process:
        """Wait for a message, *seconds* at most; the process's value tells whether there may be one."""
        look = self._env.event()
        self._waiting.append(look)
        yield look | self._env.timeout(seconds)
        if look.triggered:
            return True
        self._waiting.remove(look)
        return False

    def watch(self, message_id: str) -> Process:
        """Tell one of those that wait when a message in flight is visible again, if it ever is."""
        while (message := _message(self.queue, message_id)) is not None:
            if message.visible:
                self.arrived()
                return
            visible = datetime.fromtimestamp(message.visible_at / 1000, self._env.epoch.tzinfo)
            left = (visible - self._env.epoch).total_seconds() - self._env.now
            yield self._env.timeout(max(left, 0.0) + _A_MOMENT)


def _message(queue: Queue, message_id: str) -> KeptMessage | None:
    return next((found for found in _messages(queue) if found.id == message_id), None)


def _messages(queue: Queue) -> list[KeptMessage]:
    return queue._messages  # noqa: SLF001 - moto's own property leaves out those in flight


@dataclass(slots=True)
class _Hold:
    """One message in the hands of one task."""

    task: str
    revision: str
    message_id: str
    received: float
    ended: float | None = None
    result: str = "in hand"


class Ledger:
    """What happened to messages, and when which revision was at the queue.

    A revision is at the queue while a poll of one of its tasks is open, and while one of them has a message
    in hand.
    """

    def __init__(self, env: Environment, line: Line, said: Callable[[str], None]) -> None:
        self._env = env
        self._line = line
        self._said = said
        self._holds: list[_Hold] = []
        self._edges: list[tuple[float, str, int]] = []
        self._receiving: Counter[str] = Counter()
        self._turns: Counter[str] = Counter()

    @contextlib.contextmanager
    def polling(self, revision: str) -> Iterator[None]:
        """Note that a poll is open in the block."""
        self._edges.append((self._env.now, revision, 1))
        try:
            yield
        finally:
            self._edges.append((self._env.now, revision, -1))

    def receives(self, revision: str, *, begins: bool) -> None:
        """Note that a task may receive from now on, or no longer."""
        before = self._receiving[revision]
        after = self._receiving[revision] = before + (1 if begins else -1)
        if bool(before) == bool(after):
            return
        self._turns[revision] += 1
        if self._turns[revision] <= TURNS_SAID:
            self._said(f"{revision} {'starts' if after else 'stops'} receiving")
        elif self._turns[revision] == TURNS_SAID + 1:
            self._said(f"{revision} goes on starting and stopping")

    def received(self, task: Task, revision: str, message_id: str) -> _Hold:
        hold = _Hold(task.id, revision, message_id, self._env.now)
        self._holds.append(hold)
        self._edges.append((hold.received, revision, 1))
        return hold

    def ended(self, hold: _Hold, result: str) -> None:
        hold.ended, hold.result = self._env.now, result
        self._edges.append((hold.ended, hold.revision, -1))

    def report(self, end: float) -> Consumption:
        """Sum up what happened until *end*."""
        line, sent = self._line, self._line.sent
        handled = Counter(hold.message_id for hold in self._holds if hold.result == "handled")
        waiting = {message.id for message in _messages(line.queue)}
        dead = {message.id for message in _messages(line.dead_letters)} if line.dead_letters else set()
        spans = self._spans(end)
        return Consumption(
            queue=line.name,
            receiving=sorted(revision for revision, tasks in self._receiving.items() if tasks),
            sent=len(sent),
            handled=len(handled),
            handled_twice=sum(count > 1 for count in handled.values()),
            waiting=len(waiting),
            dead_letters=len(dead),
            lost=[name for key, name in sent.items() if key not in handled.keys() | waiting | dead],
            overlap_seconds=_overlap(spans),
            longest_gap_seconds=_longest_gap(spans, end),
            revisions={
                revision: RevisionConsumption(
                    received=sum(results.values()),
                    handled=results["handled"],
                    failed=results["failed"],
                    abandoned=results["abandoned"],
                )
                for revision, results in self._results().items()
            },
            spans=spans,
            deliveries=[
                Delivery(
                    message=sent.get(hold.message_id, hold.message_id),
                    revision=hold.revision,
                    task=hold.task,
                    received=hold.received,
                    ended=hold.ended,
                    result=hold.result,
                )
                for hold in self._holds
            ],
        )

    def _results(self) -> dict[str, Counter[str]]:
        results: dict[str, Counter[str]] = {}
        for _, revision, _ in self._edges:
            results.setdefault(revision, Counter())
        for hold in self._holds:
            results[hold.revision][hold.result] += 1
        return results

    def _spans(self, end: float) -> list[Span]:
        """Return when each revision was at the queue, without regard to how many of its tasks."""
        spans: list[Span] = []
        counts: Counter[str] = Counter()
        began: dict[str, float] = {}
        for at, edges in itertools.groupby(self._edges, key=lambda edge: edge[0]):
            # All of one moment together: a poll that follows another leaves no gap.
            for _, revision, change in edges:
                counts[revision] += change
            for revision, count in counts.items():
                if count and revision not in began:
                    began[revision] = at
                elif not count and revision in began:
                    spans.append(Span(revision=revision, start=began.pop(revision), end=at))
        spans += [Span(revision=revision, start=start, end=end) for revision, start in began.items()]
        return sorted((span for span in spans if span.end > span.start), key=lambda span: span.start)


def _overlap(spans: list[Span]) -> float:
    """Return for how long more than one revision was at the queue."""
    edges = sorted([(span.start, 1) for span in spans] + [(span.end, -1) for span in spans])
    total, count, last = 0.0, 0, 0.0
    for at, change in edges:
        if count > 1:
            total += at - last
        count, last = count + change, at
    return round(total, 3)


def _longest_gap(spans: list[Span], end: float) -> float:
    """Return for how long nobody was at the queue, at most, since somebody first was."""
    gap, until = 0.0, spans[0].start if spans else 0.0
    for span in spans:
        gap, until = max(gap, span.start - until), max(until, span.end)
    return round(max(gap, end - until), 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How the tasks of a revision go about their messages."""

    handling_seconds: tuple[float, float] = (10.0, 10.0)
    concurrency: int = 1
    visibility_seconds: int = 60
    protects: bool = False
    """Whether a task with messages in hand asks for scale-in protection."""
    fails: bool = False
    crashes: bool = False


class Consumer:
    """One task at the queue, from its start to its end."""

    def __init__(
        self,
        task: Task,
        *,
        env: Environment,
        colour: str,
        parameter: str,
        line: Line,
        ledger: Ledger,
        behaviour: Behaviour,
        rng: random.Random,
        clients: Callable[[str], Any],
        restart: Callable[[Task], object],
    ) -> None:
        self.task = task
        self.colour = colour
        self.behaviour = behaviour
        self._env = env
        self._line = line
        self._ledger = ledger
        self._rng = rng
        self._restart = restart
        self._dead = False
        self._receives = False
        self._keeping = False
        self._handling: dict[simpy.Event | None, _Hold] = {}
        self._woken = env.event()

        def now() -> float:
            return env.now

        self._protection = _Protection(task, clients("ecs"), now)
        self.gate = ActivationGate(
            parameter, revision=_own_revision(task, clients("ecs")), client=clients("ssm"), monotonic=now,
            random=rng.random,
        )  # fmt: skip
        self.consumer = SqsConsumer(
            line.url,
            lambda _: None,
            self.gate,
            concurrency=behaviour.concurrency,
            visibility_seconds=behaviour.visibility_seconds,
            # Waiting for a message is the line's business: a call that waited would stop all the world.
            wait_seconds=0,
            reserve_seconds=RESERVE_SECONDS,
            protection=self._protection if behaviour.protects else TaskProtection(environment={}),
            client=clients("sqs"),
            monotonic=now,
        )
        env.process(self._read_on())
        env.process(self._receive_on())

    def stop(self) -> None:
        """Take note of SIGTERM; a task that has protection does not get it yet."""
        if self._is_stopping:
            self._note(receives=False)
            self._wake()

    @property
    def _is_stopping(self) -> bool:
        return self._dead or self.task.stopping_at(self._now()) is not None

    def _now(self) -> datetime:
        return self._env.epoch + timedelta(seconds=self._env.now)

    def _wake(self) -> None:
        if not self._woken.triggered:
            self._woken.succeed()

    def _read_on(self) -> Process:
        while not self._is_stopping:
            pause = self.gate.read_once()
            if self.behaviour.protects:
                self._protection.keep(busy=self.consumer.in_flight > 0)
                if not self.consumer.in_flight and not self.gate.is_open:
                    self._protection.release()
            self._wake()
            yield self._env.timeout(pause)
        yield from self._end()

    def _receive_on(self) -> Process:
        while not self._is_stopping:
            free = self.behaviour.concurrency - len(self._handling)
            left = self.gate.remaining() - RESERVE_SECONDS
            self._note(receives=self.gate.is_open)
            if left <= 0 or not free:
                yield from self._pause()
                continue
            with self._ledger.polling(self.colour):
                messages = self._receive(free)
                if not messages:
                    wait = max(min(LONG_POLL_SECONDS, int(left)), SHORT_POLL_SECONDS)
                    woken = yield from self._line.wait(wait)
                    if woken and (self._is_stopping or not self.gate.is_open):
                        # Not for this task any more. The library would get it and put it back.
                        self._line.arrived()
            for message in messages:
                self._take(message)
        self._note(receives=False)

    def _receive(self, free: int) -> list[Message]:
        try:
            return self.consumer.receive(free)
        except Exception:  # noqa: BLE001 - AWS is in trouble, and so the next poll may be
            return []

    def _pause(self) -> Process:
        """Wait until there is reason to look at the gate again."""
        self._woken = self._env.event()
        state = self.gate.state
        if self.gate.is_open:
            yield self._woken | self._env.timeout(self.gate.remaining())
        elif state is not None and state.active == self.gate.revision:
            # It opens by itself once the others have been quiet for long enough.
            yield self._woken | self._env.timeout(SHORT_POLL_SECONDS)
        else:
            yield self._woken

    def _note(self, *, receives: bool) -> None:
        if receives != self._receives:
            self._receives = receives
            self._ledger.receives(self.colour, begins=receives)

    def _take(self, message: Message) -> None:
        hold = self._ledger.received(self.task, self.colour, message.message_id)
        self._env.process(self._line.watch(message.message_id))
        process = self._env.process(self._handle(message, hold))
        self._handling[process] = hold
        if not self._keeping:
            self._env.process(self._keep_on())

    def _handle(self, message: Message, hold: _Hold) -> Process:
        me = self._env.active_process
        seconds = self._rng.uniform(*self.behaviour.handling_seconds)
        try:
            if self.behaviour.crashes:
                yield self._env.timeout(seconds / 2)
                self._die()
                self._restart(self.task)
                return
            yield self._env.timeout(seconds)
        except simpy.Interrupt:
            return
        poison = bool(json.loads(message.body).get("poison"))
        if self.behaviour.fails or poison:
            self.consumer.failed(message)
        else:
            self.consumer.done(message)
        self._ledger.ended(hold, "failed" if self.behaviour.fails or poison else "handled")
        self._handling.pop(me, None)
        self._wake()

    def _keep_on(self) -> Process:
        """Extend what is in hand, as long as something is."""
        self._keeping = True
        while self._handling and not self._dead:
            yield self._env.timeout(max(self.consumer.heartbeat(), SHORT_POLL_SECONDS))
        self._keeping = False

    def _end(self) -> Process:
        """Finish what is in hand after SIGTERM, for as long as ECS lets a container."""
        self._wake()
        stopping = self.task.stopping_at(self._now())
        if stopping is not None and self._handling:
            left = (stopping - self._now()).total_seconds() + STOP_SECONDS
            working = [process for process in self._handling if process is not None]
            yield self._env.all_of(working) | self._env.timeout(max(left, 0.0))
        self._die()
        self._protection.release()

    def _die(self) -> None:
        """End in the middle of whatever is being done; its messages come back by themselves."""
        self._dead = True
        self._note(receives=False)
        for process, hold in self._handling.items():
            self._ledger.ended(hold, "abandoned")
            if isinstance(process, simpy.Process) and process is not self._env.active_process:
                process.interrupt()
        self._handling.clear()
        self._wake()


class _Protection(TaskProtection):
    """What the library asks the ECS agent for, asked at the API with the task role, as the agent does."""

    MINUTES = 10
    IDLE_SECONDS = 30.0
    ASK_AGAIN_SECONDS = 60.0

    def __init__(self, task: Task, ecs: Any, monotonic: Callable[[], float]) -> None:
        super().__init__(environment={})
        self._task = task
        self._ecs = ecs
        self._clock = monotonic
        self._until = 0.0
        self._ask = 0.0
        self._busy = 0.0

    @property
    def held(self) -> bool:
        return self._clock() < self._until

    def keep(self, *, busy: bool) -> None:
        now = self._clock()
        if not busy:
            if self.held and now >= self._busy + self.IDLE_SECONDS:
                self.release()
            return
        self._busy = now
        if now >= max(self._until - self.MINUTES * 30, self._ask):
            if self._update(protected=True):
                self._until = now + self.MINUTES * 60
            else:
                self._ask = now + self.ASK_AGAIN_SECONDS

    def release(self) -> None:
        if self.held:
            self._until = 0.0
            self._update(protected=False)

    def _update(self, *, protected: bool) -> bool:
        answer = self._ecs.update_task_protection(
            cluster=self._task.service.cluster,
            tasks=[self._task.arn],
            protectionEnabled=protected,
            **({"expiresInMinutes": self.MINUTES} if protected else {}),
        )
        return not answer["failures"]


def _own_revision(task: Task, ecs: Any) -> str:
    """Find the own revision as the library does once it knows its task."""
    [found] = ecs.describe_tasks(cluster=task.service.cluster, tasks=[task.arn])["tasks"]
    return str(found["startedBy"]).removeprefix("ecs-svc/")


@contextlib.contextmanager
def quiet_library() -> Iterator[None]:
    """Keep the worker library's log to itself: the ledger says what its tasks do."""
    logger = logging.getLogger(LIBRARY_LOGGER)
    handler, before = logging.NullHandler(), logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.propagate = before
        logger.removeHandler(handler)
