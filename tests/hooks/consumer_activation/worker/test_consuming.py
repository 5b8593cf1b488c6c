"""The consumer with its threads, and the reference worker as a process, against SQS and SSM on loopback."""

import contextlib
import itertools
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import boto3
import pytest
from activation_gate import ActivationGate, Message, Metrics, QueueError, SqsConsumer, State, TaskProtection
from activation_gate.clock import monotonic_seconds
from activation_gate.queue import Rejection
from moto.server import ThreadedMotoServer

from tests.hooks.consumer_activation.worker.surroundings import (
    BLUE,
    GREEN,
    NAME,
    PATIENCE_SECONDS,
    Endpoint,
    soon,
)

APP = Path(__file__).parents[4] / "examples" / "unicorn_watch" / "app" / "notifications.py"

# So short that tests need not wait for it, and so open-handed that slow machines keep it.
NUMBERS = itertools.count()
PACE: dict[str, Any] = {"lease_seconds": 30, "read_seconds": 1, "read_lag_seconds": 0}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@dataclass
class Queue:
    """A queue of its own for a test, and the parameter of its consumers."""

    url: str
    parameter: str
    sqs: Any
    ssm: Any

    def send(self, *bodies: str, group: str | None = None) -> None:
        for number, body in enumerate(bodies):
            extra = {"MessageGroupId": group, "MessageDeduplicationId": f"{group}-{number}"} if group else {}
            self.sqs.send_message(QueueUrl=self.url, MessageBody=body, **extra)

    def counts(self) -> tuple[int, int]:
        """Return how many messages are visible, and how many are in flight."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return int(found[names[0]]), int(found[names[1]])

    def activate(self, revision: str | None, **given: Any) -> None:
        value = State(epoch=5, active=revision, **(PACE | given)).to_json()
        self.ssm.put_parameter(Name=self.parameter, Value=value, Type="String", Overwrite=True)


@pytest.fixture
def queue(server: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Queue:
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    fifo = "fifo" in request.node.name
    name = f"orders-{next(NUMBERS)}"
    sqs = boto3.session.Session().client("sqs")
    url = sqs.create_queue(
        QueueName=f"{name}.fifo" if fifo else name, Attributes={"FifoQueue": "true"} if fifo else {}
    )["QueueUrl"]
    return Queue(
        url, f"/ecs-consumers/production/{name}/consumers", sqs, boto3.session.Session().client("ssm")
    )


class Open(ActivationGate):
    """A gate that needs no Parameter Store."""

    def __init__(self) -> None:
        super().__init__(NAME, revision=GREEN, client=object())  # type: ignore[arg-type]
        self.left = 3600.0

    def remaining(self) -> float:
        return self.left

    def wait(self, timeout: float | None = None) -> bool:
        return super().wait(timeout) if self.left == 0 else True


@dataclass
class Handled:
    """A handler that keeps what it was given, and can be held up."""

    bodies: list[str] = field(default_factory=list)
    fails_on: frozenset[str] = frozenset()
    go_on: threading.Event = field(default_factory=threading.Event)
    running: int = 0
    most_running: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.go_on.set()

    def __call__(self, message: Message) -> None:
        with self.lock:
            self.bodies.append(message.body)
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        try:
            assert self.go_on.wait(PATIENCE_SECONDS)
            if message.body in self.fails_on:
                raise KeyError(message.body)
        finally:
            with self.lock:
                self.running -= 1


@contextlib.contextmanager
def consuming(
    queue: Queue, handled: Handled, gate: ActivationGate | None = None, **given: Any
) -> Iterator[SqsConsumer]:
    consumer = SqsConsumer(queue.url, handled, gate or Open(), **({"wait_seconds": 1} | given))
    consumer.start()
    try:
        yield consumer
    finally:
        handled.go_on.set()
        consumer.stop()
        consumer.join()


def test_every_message_is_handled_once_and_deleted(queue: Queue) -> None:
    bodies = [f"{number}" for number in range(35)]
    queue.send(*bodies)
    handled = Handled()
    with consuming(queue, handled, concurrency=4, receivers=2):
        soon(lambda: queue.counts() == (0, 0))
    assert Counter(handled.bodies) == Counter(bodies)
    assert handled.most_running <= 4


def test_no_more_is_taken_than_can_be_started(queue: Queue) -> None:
    queue.send(*map(str, range(8)))
    handled = Handled()
    handled.go_on.clear()
    with consuming(queue, handled, concurrency=3) as consumer:
        soon(lambda: handled.running == 3)
        assert (queue.counts(), consumer.in_flight) == ((5, 3), 3)


def test_what_a_handler_raises_leaves_the_message_and_the_others_go_on(
    queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    queue.send("good", "bad", "fine")
    handled = Handled(fails_on=frozenset({"bad"}))
    with consuming(queue, handled):
        soon(lambda: queue.counts() == (0, 1))
    assert sorted(handled.bodies) == ["bad", "fine", "good"]
    assert "KeyError: 'bad'" in caplog.text


def test_a_handler_that_exits_is_one_that_failed(queue: Queue) -> None:
    queue.send("one")
    seen = threading.Event()

    def leave(_: Message) -> None:
        seen.set()
        sys.exit(3)

    consumer = SqsConsumer(queue.url, leave, Open(), wait_seconds=0)
    consumer.start()
    assert seen.wait(PATIENCE_SECONDS)
    consumer.stop()
    assert consumer.join()
    assert queue.counts() == (0, 1)


def test_a_fifo_group_is_handled_in_order_and_stops_at_a_failure(queue: Queue) -> None:
    queue.send("a1", "a2", "a3", group="a")
    queue.send("b1", "b2", "b3", group="b")
    handled = Handled(fails_on=frozenset({"b2"}))
    with consuming(queue, handled, concurrency=10):
        # b2 stays in flight, and holds back b3, which was put back.
        soon(lambda: len(handled.bodies) >= 5 and sum(queue.counts()) == 2)
    assert [body for body in handled.bodies if body < "b"] == ["a1", "a2", "a3"]
    assert [body for body in handled.bodies if body > "b"] == ["b1", "b2"]


def test_what_was_not_started_when_the_lease_ended_is_put_back(queue: Queue) -> None:
    queue.send("one")
    gate = Open()
    handled = Handled()
    consumer = SqsConsumer(queue.url, handled, gate, wait_seconds=0)
    (message,) = consumer.receive()
    gate.left = 0
    consumer.start()
    consumer._take_slots()
    consumer._taken_slots = 1
    assert consumer._start_handling([message]) == 1
    soon(lambda: queue.counts() == (1, 0))
    consumer.stop()
    assert (consumer.join(), handled.bodies) == (True, [])


def test_a_worker_that_stops_finishes_what_it_has_and_takes_no_more(queue: Queue) -> None:
    queue.send("one", "two")
    handled = Handled()
    handled.go_on.clear()
    consumer = SqsConsumer(queue.url, handled, Open(), concurrency=2, wait_seconds=0)
    consumer.start()
    soon(lambda: handled.running == 2)
    consumer.stop()
    queue.send("three")
    handled.go_on.set()
    assert consumer.join()
    assert (sorted(handled.bodies), queue.counts()) == (["one", "two"], (1, 0))


def test_a_handler_that_takes_too_long_keeps_its_message_from_being_lost(
    queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    queue.send("one")
    handled = Handled()
    handled.go_on.clear()
    consumer = SqsConsumer(queue.url, handled, Open(), stop_timeout_seconds=0.1, wait_seconds=0)
    consumer.start()
    soon(lambda: handled.running == 1)
    consumer.stop()
    assert consumer.join() is False
    assert "1 messages were not finished within 0.1 s and will be delivered again" in caplog.text
    assert queue.counts() == (0, 1)
    handled.go_on.set()
    # Late, but done: nothing is left to deliver again.
    soon(lambda: queue.counts() == (0, 0))


def test_what_arrives_while_stopping_is_put_back(queue: Queue) -> None:
    handled = Handled()
    consumer = SqsConsumer(queue.url, handled, Open(), wait_seconds=1)
    whole = consumer._queue.receive
    waiting = threading.Event()

    def receive(*given: Any, **named: Any) -> list[Message]:
        waiting.set()
        consumer._stopping.wait(PATIENCE_SECONDS)
        return whole(*given, **named)

    consumer._queue.receive = receive  # type: ignore[method-assign]
    queue.send("one")
    consumer.start()
    assert waiting.wait(PATIENCE_SECONDS)
    consumer.stop()
    assert consumer.join()
    assert (handled.bodies, queue.counts()) == ([], (1, 0))


def test_receiving_goes_on_after_it_failed(
    queue: Queue, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activation_gate.sqs.MAX_BACKOFF_SECONDS", 0.01)
    queue.send("one")
    handled = Handled()
    with consuming(queue, handled) as consumer:
        whole = consumer._queue.receive
        faults: list[Exception] = [QueueError("no way"), ArithmeticError("unheard of")]

        def receive(*given: Any, **named: Any) -> list[Message]:
            if faults:
                raise faults.pop(0)
            return whole(*given, **named)

        consumer._queue.receive = receive  # type: ignore[method-assign]
        queue.send("two")
        soon(lambda: len(handled.bodies) == 2)
        soon(lambda: not faults)
    assert "no way; trying again in 0.01 s" in caplog.text
    assert "receiving failed unexpectedly" in caplog.text


def test_what_is_handled_is_deleted_as_soon_as_it_can_be(
    queue: Queue, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activation_gate.sqs.MAX_BACKOFF_SECONDS", 0.01)
    queue.send("one", "two")
    handled = Handled()
    consumer = SqsConsumer(queue.url, handled, Open(), wait_seconds=1)
    whole = consumer._queue.delete
    faults = [QueueError("no way")] * 20

    def delete(messages: Sequence[Message]) -> dict[str, Rejection]:
        if faults:
            raise faults.pop()
        return whole(messages)

    consumer._queue.delete = delete  # type: ignore[method-assign]
    consumer.start()
    soon(lambda: queue.counts() == (0, 0))
    consumer.stop()
    assert consumer.join()
    assert sorted(handled.bodies) == ["one", "two"]
    assert "handled messages wait to be deleted" in caplog.text


def test_long_work_keeps_its_message_invisible(queue: Queue) -> None:
    ahead = [0.0]
    queue.send("one")
    handled = Handled()
    handled.go_on.clear()
    with consuming(queue, handled, monotonic=lambda: monotonic_seconds() + ahead[0]) as consumer:
        soon(lambda: handled.running == 1)
        (held,) = consumer._in_hand.values()
        until = held.visible_at
        ahead[0] = 40
        soon(lambda: held.visible_at >= until + 40)
        assert (handled.bodies, queue.counts()) == (["one"], (0, 1))


def test_protection_is_held_during_work_and_given_back_when_the_gate_is_closed(
    queue: Queue, endpoint: Endpoint
) -> None:
    path = "/task-protection/v1/state"
    endpoint.answer("PUT", path, {"protection": {}})
    protection = TaskProtection(environment={"ECS_AGENT_URI": endpoint.url})
    gate = Open()
    handled = Handled()
    handled.go_on.clear()
    queue.send("one")
    with consuming(queue, handled, gate, protection=protection):
        soon(lambda: handled.running == 1)
        assert protection.held
        gate.left = 0
        handled.go_on.set()
        soon(lambda: not protection.held)
    assert [body["ProtectionEnabled"] for _, _, body in endpoint.requests] == [True, False]


def test_messages_are_counted(queue: Queue) -> None:
    metrics = Metrics("orders")
    queue.send("good", "bad")
    handled = Handled(fails_on=frozenset({"bad"}))
    with consuming(queue, handled, metrics=metrics):
        soon(lambda: queue.counts() == (0, 1))
    assert metrics._counts == {"Received": 2, "Deleted": 1, "Failed": 1}
    assert metrics._gauges["InFlight"]() == 0


def test_a_consumer_is_started_once(queue: Queue) -> None:
    with consuming(queue, Handled()) as consumer, pytest.raises(RuntimeError, match="started already"):
        consumer.start()


def test_run_starts_the_gate_and_closes_it(queue: Queue) -> None:
    queue.activate(GREEN, lease_seconds=2)
    gate = ActivationGate(queue.parameter, revision=GREEN)
    consumer: list[SqsConsumer] = []

    def handle(_: Message) -> None:
        consumer[0].stop()

    consumer.append(SqsConsumer(queue.url, handle, gate, wait_seconds=0))
    queue.send("one")
    assert consumer[0].run(handle_signals=False)
    assert (gate.is_started, gate.is_open, queue.counts()) == (True, False, (0, 0))


class App:
    """The reference worker, as a process of its own."""

    def __init__(self, queue: Queue, revision: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", str(APP)],
            env=os.environ
            | {
                "ACTIVATION_PARAMETER": queue.parameter,
                "ACTIVATION_REVISION": revision,
                "ACTIVATION_METRICS": "notifications",
                "QUEUE_URL": queue.url,
                "WAIT_SECONDS": "1",
                "VERSION": "2.0.0",
            }
            | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[dict[str, Any]] = []
        self.metrics: list[dict[str, Any]] = []
        self._threads = [
            threading.Thread(target=self._read, args=(self.process.stderr, self.lines)),
            threading.Thread(target=self._read, args=(self.process.stdout, self.metrics)),
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, stream: IO[str], into: list[dict[str, Any]]) -> None:
        with stream:
            into.extend(map(json.loads, stream))

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        status = self.process.wait(PATIENCE_SECONDS)
        for thread in self._threads:
            thread.join()
        return status

    def messages(self) -> list[str]:
        return [line["message"] for line in self.lines]


SIGHTING = json.dumps({"watcher": "dora@example.com", "unicorn": "Comet", "place": "the lake"})


def test_the_reference_worker_serves_until_sigterm_and_ends_well(queue: Queue) -> None:
    queue.activate(GREEN, lease_seconds=2)
    queue.send(SIGHTING)
    app = App(queue, GREEN)
    try:
        soon(lambda: "dora@example.com: Comet has been seen at the lake" in app.messages())
        soon(lambda: any(line.get("Deleted") for line in app.metrics))
    finally:
        status = app.end()
    assert (status, queue.counts()) == (0, (0, 0))
    (line,) = [line for line in app.lines if line["logger"] == "notifications"]
    assert (line["version"], line["revision"], line["epoch"]) == ("2.0.0", GREEN, 5)
    assert f"revision {GREEN} may no longer receive" in app.messages()


def test_sigterm_lets_what_is_being_handled_finish(queue: Queue) -> None:
    queue.activate(GREEN, lease_seconds=2)
    queue.send(SIGHTING)
    app = App(queue, GREEN, MISBEHAVE="latency", LATENCY_SECONDS="2")
    try:
        soon(lambda: queue.counts() == (0, 1))
    finally:
        status = app.end()
    assert (status, queue.counts()) == (0, (0, 0))
    assert "dora@example.com: Comet has been seen at the lake" in app.messages()


def test_a_worker_of_another_revision_leaves_the_queue_alone(queue: Queue) -> None:
    queue.activate(GREEN)
    queue.send(SIGHTING)
    app = App(queue, BLUE)
    try:
        soon(lambda: len(app.metrics) >= 2)
    finally:
        status = app.end(signal.SIGINT)
    assert (status, queue.counts()) == (0, (1, 0))


@pytest.mark.parametrize(("misbehave", "left"), [("errors", 1), ("poison", 2)])
def test_the_reference_worker_can_be_made_to_misbehave(queue: Queue, misbehave: str, left: int) -> None:
    queue.activate(GREEN, lease_seconds=2)
    queue.send(SIGHTING, SIGHTING)
    app = App(queue, GREEN, MISBEHAVE=misbehave)
    try:
        soon(lambda: sum("this version" in line.get("exception", "") for line in app.lines) >= left)
        soon(lambda: queue.counts() == (0, left))
    finally:
        app.end()


def test_an_unknown_misbehaviour_is_refused(queue: Queue) -> None:
    done = subprocess.run(
        [sys.executable, str(APP)],
        env=os.environ
        | {
            "ACTIVATION_PARAMETER": NAME,
            "ACTIVATION_REVISION": "1",
            "MISBEHAVE": "sometimes",
            "QUEUE_URL": queue.url,
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.stderr == "MISBEHAVE is 'sometimes'; expected errors, latency, poison or nothing\n"
    assert done.returncode == 1
