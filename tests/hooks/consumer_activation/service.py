"""A service of queue workers in virtual time: its parameter, its queue, its tasks, and ECS beside them.

::

    hook (the real handler) ──▶ Aws ──▶ History (the parameter) ◀── activation_gate.Parameter, Lease (real)
                                 │                                        │ receives while it is open
                                 └────▶ Messages (the queue) ◀────────────┘

Time is true time, in seconds, and so is AWS's clock; each worker has a clock of its own that runs a little
faster or slower. Between two events nothing changes but the time, so that openness is compared as intervals:
no moment is left out.
"""

import functools
import heapq
import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from unittest import mock

from activation_gate.lease import Lease
from activation_gate.parameter import Parameter, ReadError
from botocore.exceptions import ClientError, ReadTimeoutError

from hooks.consumer_activation.handler import handler
from shared import clock, hook
from tests.shared.checkout import Context

START = datetime(2026, 3, 5, 12, 0, 0, 250_000, tzinfo=UTC)
NAME = "/consumers/shop/mail/consumers"
QUEUE = "mail"
DEAD_LETTERS = "mail-dead"

CLIENTS = (
    "hooks.consumer_activation.metrics.client",
    "hooks.consumer_activation.parameter_store.client",
    "hooks.consumer_activation.queue.client",
    "hooks.consumer_activation.tasks.client",
    "shared.deployment.client",
)

VISIBILITY_SECONDS = 30.0
MAX_RECEIVES = 3

# Two events that fall together are no overlap; floating point may put them this far apart.
INSTANT = 1e-6


def moment(at: float) -> datetime:
    return START + timedelta(seconds=at)


def error(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "as the test wants it"}}, operation)


# ------------------------------------------------------------------------------------ the parameter


@dataclass(frozen=True, slots=True)
class Version:
    number: int
    text: str
    at: float

    @property
    def content(self) -> dict[str, Any] | None:
        """What it says, for whoever shares no code with hook and worker; ``None``: garbage."""
        try:
            value = json.loads(self.text)
        except ValueError:
            return None
        return value if isinstance(value, dict) and value.get("schema") == 1 else None

    @property
    def void(self) -> bool:
        return self.content is not None and self.content.get("version", self.number) != self.number


class History:
    """The versions of the parameter, as they were at any time."""

    def __init__(self) -> None:
        self.log: list[tuple[float, tuple[Version, ...]]] = [(float("-inf"), ())]

    @property
    def versions(self) -> tuple[Version, ...]:
        return self.log[-1][1]

    @property
    def holding(self) -> Version | None:
        return next((version for version in reversed(self.versions) if not version.void), None)

    @property
    def active(self) -> str | None:
        content = self.holding and self.holding.content
        return content["active"] if content else None

    def put(self, text: str, at: float) -> Version:
        version = Version(len(self.versions) + 1, text, at)
        self.log.append((at, (*self.versions, version)))
        return version

    def delete(self, at: float) -> None:
        self.log.append((at, ()))

    def get(self, name: str, now: float, seen: float) -> dict[str, Any]:
        """Answer GetParameter at *now* by what was there at *seen*, or a little before."""
        versions = next(versions for at, versions in reversed(self.log) if at <= seen)
        number = name.removeprefix(NAME).removeprefix(":")
        if not versions:
            raise error("ParameterNotFound", "GetParameter")
        if number and not 1 <= int(number) <= len(versions):
            raise error("ParameterVersionNotFound", "GetParameter")
        version = versions[int(number) - 1 if number else -1]
        return {
            "Parameter": {
                "Version": version.number,
                "Value": version.text,
                "LastModifiedDate": moment(version.at),
            },
            "ResponseMetadata": {
                "HTTPHeaders": {"date": format_datetime(moment(now).replace(microsecond=0), usegmt=True)}
            },
        }


# ------------------------------------------------------------------------------------ the queue


@dataclass(slots=True, eq=False)
class Message:
    kind: str
    """short, long or poison."""
    visible_at: float = 0.0
    receives: int = 0
    holder: "Worker | None" = None
    handled: int = 0
    crashes: int = 0
    dead: bool = False

    @property
    def over(self) -> bool:
        return self.handled > 0 or self.dead

    def in_flight(self, now: float) -> bool:
        return not self.over and (self.holder is not None or self.visible_at > now)


# ------------------------------------------------------------------------------------ the workers


@dataclass(frozen=True, slots=True)
class Link:
    """How a worker's reads of the parameter go."""

    fails: bool = False
    stale: bool = False
    """Reads find what was there ``lag`` seconds before they began. And whenever something is written, one
    more read begins at the last moment at which it may find what was there before, and does not fail."""
    seconds: float = 0.1
    """From the request to its answer."""
    late: bool = False
    """Whether the time is spent before Parameter Store looks, rather than after."""
    dated: bool = True
    """Whether the answer has a date."""


class _Answering:
    """The client of one read."""

    def __init__(self, history: History, now: float, seen: float, *, dated: bool) -> None:
        self.history, self.now, self.seen, self.dated = history, now, seen, dated

    def get_parameter(self, *, Name: str) -> dict[str, Any]:  # noqa: N803 - as AWS spells it
        answer = self.history.get(Name, self.now, self.seen)
        if not self.dated:
            answer["ResponseMetadata"] = {}
        return answer


class Worker:
    """One task: the library's own reading and rules on a clock of its own, in a loop of ours."""

    def __init__(self, service: "Service", revision: str, *, rate: float) -> None:
        self.service = service
        self.revision = revision
        self.rate = rate
        self.started = service.now
        self.link = Link()
        self.began: float | None = None
        self.clock: Iterator[float] = iter(())
        self.lease = Lease(revision)
        self.parameter = Parameter(NAME, client=self, monotonic=lambda: next(self.clock))  # type: ignore[arg-type]
        self.answering: _Answering | None = None
        self.message: Message | None = None
        self.running = True

    def own(self, at: float) -> float:
        """Return true time on this worker's clock."""
        return 1000.0 + (at - self.started) * self.rate

    def true(self, own: float) -> float:
        return self.started + (own - 1000.0) / self.rate

    @property
    def open_between(self) -> tuple[float, float]:
        """From when to when, in true time, it may receive unless it reads something new."""
        return self.true(self.lease.opens_at), self.true(self.lease.ends_at)

    @property
    def is_open(self) -> bool:
        return self.running and self.lease.remaining(self.own(self.service.now)) > 0

    def get_parameter(self, **parameters: Any) -> dict[str, Any]:
        assert self.answering is not None
        return self.answering.get_parameter(**parameters)

    def reads(self) -> None:
        """Begin to read, and go on for as long as the task runs."""
        if not self.running:
            return
        began, link, service = self.service.now, self.link, self.service

        def ends() -> None:
            if not link.fails:
                self.read(began, link)
            state = self.lease.latest.state if self.lease.latest else None
            pause = min(state.read_seconds, state.lease_seconds / 2) if state else 5.0
            service.after(pause / self.rate, self.reads)

        service.after(link.seconds, ends)

    def reads_at_the_last_moment(self) -> None:
        """Read what was there before the write that was just made."""

        def begins() -> None:
            began = self.service.now
            self.service.after(link.seconds, lambda: self.read(began, link))

        link = self.link
        self.service.after(max(0.0, self.service.lag - 0.001), begins)

    def read(self, began: float, link: Link) -> None:
        if not self.running:
            return
        now = self.service.now
        # What is true of every answer: a read that begins readLagSeconds after a write finds it.
        seen = began - self.service.lag if link.stale else (now if link.late else began)
        answered = now if link.late else began
        self.answering = _Answering(self.service.history, answered, seen, dated=link.dated)
        self.clock = itertools.chain([self.own(began)], itertools.repeat(self.own(now)))
        with suppress(ReadError):
            self.lease.read(self.parameter.look().reading)

    def receives(self) -> None:
        """Take the next message, if that is allowed."""
        service = self.service
        if not self.is_open or self.message is not None:
            return
        waiting = (m for m in service.messages if not m.over and not m.in_flight(service.now))
        for message in waiting:
            message.receives += 1
            if message.receives > MAX_RECEIVES:
                message.dead = True
                continue
            message.holder, self.message = self, message
            service.after(45.0 if message.kind == "long" else 1.5, functools.partial(self.finishes, message))
            return

    def finishes(self, message: Message) -> None:
        # Whoever is told to stop finishes what it has begun; who crashed does not.
        if self.message is not message:
            return
        self.message, message.holder = None, None
        if message.kind == "poison":
            message.visible_at = self.service.now
        else:
            message.handled += 1

    def stops(self) -> None:
        self.running = False

    def crashes(self) -> None:
        self.running = False
        if self.message is not None:
            self.message.holder = None
            self.message.crashes += 1
            self.message.visible_at = self.service.now + VISIBILITY_SECONDS
            self.message = None


# ------------------------------------------------------------------------------------ ECS


@dataclass(slots=True, eq=False)
class Deployment:
    id: str
    target: str
    sources: tuple[str, ...]
    """The revisions that ran when it started; the first is the one that ECS goes back to."""
    details: dict[str, Any]
    status: str = "IN_PROGRESS"
    answered: str = ""
    """What the hook has said of its shift: SUCCEEDED, FAILED, or nothing yet."""

    @property
    def blue(self) -> str | None:
        return self.sources[0] if self.sources else None

    @property
    def ended(self) -> bool:
        return self.status in {"SUCCESSFUL", "STOPPED", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED"}


def arn(kind: str, name: str = "") -> str:
    return f"arn:aws:ecs:us-east-1:123456789012:{kind}/shop/mail" + (f"/{name}" if name else "")


def event(
    deployment: Deployment, stage: str, green: float | None, details: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the event of a call; *green* is the weight of green, ``None`` for an empty map."""
    weights: dict[str, float] = {}
    if green is not None:
        weights[arn("service-revision", deployment.target)] = green
        if deployment.blue is not None:
            weights[arn("service-revision", deployment.blue)] = 100 - green
    return {
        "executionId": "3f1c7d52-8a4e-4c0b-9d61-0b7a2e95c8f4",
        "lifecycleStage": stage,
        "resourceArn": arn("service-deployment", deployment.id),
        "executionDetails": {
            "serviceArn": arn("service"),
            "targetServiceRevisionArn": arn("service-revision", deployment.target),
            "testTrafficWeights": {},
            "productionTrafficWeights": weights,
        },
        "hookDetails": dict(deployment.details if details is None else details),
    }


# ------------------------------------------------------------------------------------ all of it


class Service:
    """Everything, and the time it is."""

    def __init__(self, *, lag: float) -> None:
        self.now = 0.0
        self.lag = lag
        """For how long a read may find what a write has replaced."""
        self.history = History()
        self.messages: list[Message] = []
        self.workers: list[Worker] = []
        self.deployments: list[Deployment] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def after(self, seconds: float, happens: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), happens))

    def write(self, text: str) -> Version:
        version = self.history.put(text, self.now)
        self._read_the_version_before()
        return version

    def delete(self) -> None:
        self.history.delete(self.now)
        self._read_the_version_before()

    def _read_the_version_before(self) -> None:
        for worker in self.workers:
            if worker.running and worker.link.stale:
                worker.reads_at_the_last_moment()

    def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        while self._events and self._events[0][0] <= end:
            at, _, happens = heapq.heappop(self._events)
            self._advance(at)
            happens()
            self._receive()
        self._advance(end)
        self._receive()

    def start(self, revision: str, *, rate: float, first_read: float = 0.0) -> Worker:
        worker = Worker(self, revision, rate=rate)
        self.workers.append(worker)
        self.after(first_read, worker.reads)
        return worker

    def running(self, revision: str) -> list[Worker]:
        return [worker for worker in self.workers if worker.running and worker.revision == revision]

    def serves(self, revision: str) -> bool:
        return any(worker.running for worker in self.workers if worker.revision == revision)

    def _receive(self) -> None:
        for worker in self.workers:
            worker.receives()

    def _advance(self, to: float) -> None:
        """Let time pass in which nothing happens, and see that no two revisions are open in it."""
        spans = sorted(
            (max(opens, self.now), min(ends, to), worker.revision)
            for worker in self.workers
            if worker.running
            for opens, ends in [worker.open_between]
            if max(opens, self.now) < min(ends, to)
        )
        for (_, until, one), (since, _, other) in itertools.combinations(spans, 2):
            assert one == other or since >= until - INSTANT, (
                f"{one} and {other} may both receive at {since:.3f} s"
            )
        self.now = to


# ------------------------------------------------------------------------------------ the hook's AWS


class Stalled(BaseException):
    """The invocation stands still here. Not an ``Exception``, so that the hook can't answer it."""


@dataclass(slots=True, eq=False)
class Invocation:
    """One call of the hook. Its AWS answers are kept, so that it can go on from where it stood still."""

    event: dict[str, Any]
    kind: str
    at: float
    stale: bool = False
    """Whether its reads of the parameter lag as far behind as they may."""
    stalls_before: str | int | None = None
    """An operation, or how many calls to AWS are let through first."""
    tape: list[tuple[str, Any]] = field(default_factory=list)
    position: int = 0


@dataclass(slots=True)
class Aws:
    """The hook's AWS, as the clients see it."""

    service: Service
    invocation: Invocation
    faults: dict[str, list[str]] = field(default_factory=dict)
    """By operation: what the next calls of it meet. throttled, lost (done, but not answered), repeated."""
    on_write: Callable[[Version], None] = lambda _: None
    weighted: bool = True
    metrics: list[dict[str, Any]] = field(default_factory=list)

    def ask_the_hook(self, **environment: str) -> dict[str, Any]:
        """Invoke it, and return what ECS would read; may raise :class:`Stalled`."""
        invocation = self.invocation
        invocation.position = 0
        with ExitStack() as stack:
            variables = {"CONSUMER_PARAMETER_PREFIX": "/consumers", **environment}
            stack.enter_context(mock.patch.dict(os.environ, variables))
            stack.enter_context(mock.patch.object(clock, "now", return_value=moment(invocation.at)))
            stack.enter_context(mock.patch.object(hook.metrics, "flush_metrics", hook.metrics.clear_metrics))
            for name in CLIENTS:
                stack.enter_context(mock.patch(name, self.client))
            reply: dict[str, Any] = json.loads(json.dumps(handler(_copied(invocation.event), Context())))
        return reply

    def client(self, _service: str) -> "_Client":
        return _Client(self)

    def call(self, operation: str, parameters: dict[str, Any]) -> Any:
        invocation = self.invocation
        if invocation.position < len(invocation.tape):
            kind, answer = invocation.tape[invocation.position]
        else:
            if invocation.stalls_before in (operation, len(invocation.tape)):
                raise Stalled
            kind, answer = self._answer(operation, parameters)
            invocation.tape.append((kind, answer))
        invocation.position += 1
        if kind == "raise":
            raise answer
        return answer

    def _answer(self, operation: str, parameters: dict[str, Any]) -> tuple[str, Any]:
        waiting = self.faults.get(operation, [])
        fault = waiting.pop() if waiting else ""
        if fault == "throttled":
            return "raise", error("ThrottlingException", operation)
        try:
            answer = getattr(self, f"_{operation}")(**parameters)
            if fault == "repeated":  # the SDK did not hear the answer, and asked again by itself
                answer = getattr(self, f"_{operation}")(**parameters)
        except ClientError as failure:
            return "raise", failure
        return ("raise", ReadTimeoutError(endpoint_url="ssm")) if fault == "lost" else ("return", answer)

    def _get_parameter(self, *, Name: str) -> Any:  # noqa: N803
        now = self.service.now
        return self.service.history.get(Name, now, now - self.service.lag if self.invocation.stale else now)

    def _put_parameter(self, *, Name: str, Value: str, Type: str, Overwrite: bool) -> Any:  # noqa: N803
        assert (Name, Type, Overwrite) == (NAME, "String", True)
        version = self.service.write(Value)
        self.on_write(version)
        return {"Version": version.number, "Tier": "Standard"}

    def _describe_service_deployments(self, *, serviceDeploymentArns: list[str]) -> Any:  # noqa: N803
        (deployment,) = (
            found
            for found in self.service.deployments
            if arn("service-deployment", found.id) in serviceDeploymentArns
        )
        return {
            "serviceDeployments": [
                {
                    "serviceDeploymentArn": arn("service-deployment", deployment.id),
                    "status": deployment.status,
                    "createdAt": START,
                    "deploymentConfiguration": {"strategy": "BLUE_GREEN"},
                    "sourceServiceRevisions": [
                        {
                            "arn": arn("service-revision", source),
                            "runningTaskCount": len(self.service.running(source)),
                            **(
                                {"requestedProductionTrafficWeight": 0.0 if number else 100.0}
                                if self.weighted
                                else {}
                            ),
                        }
                        for number, source in enumerate(deployment.sources)
                    ],
                }
            ]
        }

    def _list_tasks(self, *, startedBy: str, **_: Any) -> Any:  # noqa: N803
        revision = startedBy.removeprefix("ecs-svc/")
        numbers = [n for n, worker in enumerate(self.service.workers) if worker.revision == revision]
        return {"taskArns": [f"task/{number}" for number in numbers]}

    def _get_task_protection(self, *, tasks: list[str], **_: Any) -> Any:
        workers = [self.service.workers[int(task.removeprefix("task/"))] for task in tasks]
        return {"protectedTasks": [{"protectionEnabled": worker.message is not None} for worker in workers]}

    def _get_queue_url(self, *, QueueName: str) -> Any:  # noqa: N803
        return {"QueueUrl": f"https://sqs/{QueueName}"}

    def _get_queue_attributes(self, *, QueueUrl: str, AttributeNames: Any) -> Any:  # noqa: N803
        messages, now = self.service.messages, self.service.now
        dead = QueueUrl.endswith(DEAD_LETTERS)
        in_flight = sum(message.in_flight(now) for message in messages)
        waiting = sum(not message.over for message in messages) - in_flight
        found = {
            "ApproximateNumberOfMessages": str(sum(m.dead for m in messages) if dead else waiting),
            "ApproximateNumberOfMessagesNotVisible": "0" if dead else str(in_flight),
            "RedrivePolicy": json.dumps({"deadLetterTargetArn": f"arn:aws:sqs:::{DEAD_LETTERS}"}),
        }
        return {"Attributes": {name: found[name] for name in AttributeNames}}

    def _get_metric_data(self, **_: Any) -> Any:
        return {"MetricDataResults": self.metrics}


def _copied(event: dict[str, Any]) -> Any:
    return json.loads(json.dumps(event))


class _Client:
    def __init__(self, aws: Aws) -> None:
        self.aws = aws

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        return lambda **parameters: self.aws.call(operation, parameters)

    def get_paginator(self, operation: str) -> "_Pages":
        return _Pages(self.aws, operation)


@dataclass(frozen=True, slots=True)
class _Pages:
    aws: Aws
    operation: str

    def paginate(self, **parameters: Any) -> list[Any]:
        return [self.aws.call(self.operation, parameters)]
