"""The consumer step by step, on a clock that stands still, against moto's SQS."""

import logging
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import boto3
import pytest
from activation_gate import ActivationGate, Message, QueueError, SqsConsumer, State, TaskProtection
from activation_gate.queue import SqsQueue
from botocore.exceptions import ClientError, EndpointConnectionError

from tests.hooks.consumer_activation.worker.surroundings import BLUE, GREEN, NAME, Clock, Endpoint, Ssm

PROTECTION = "/task-protection/v1/state"


@dataclass
class Sqs:
    """An SQS client that counts calls, and fails where it is told to."""

    client: Any
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    fails_with: dict[str, BaseException] = field(default_factory=dict)
    rejects: dict[str, dict[str, Any]] = field(default_factory=dict)
    during_receive: Any = None

    def __getattr__(self, name: str) -> Any:
        def call(**given: Any) -> Any:
            self.asked.append((name, given))
            if name in self.fails_with:
                raise self.fails_with[name]
            if name in self.rejects:
                return {
                    "Successful": [],
                    "Failed": [{"Id": one["Id"]} | self.rejects[name] for one in given["Entries"]],
                }
            answer = getattr(self.client, name)(**given)
            if name == "receive_message" and self.during_receive:
                self.during_receive()
            return answer

        return call

    def calls(self, name: str) -> list[dict[str, Any]]:
        return [given for called, given in self.asked if called == name]


@dataclass
class Desk:
    """A queue with a consumer, whose gate is open."""

    sqs: Sqs
    ssm: Ssm
    clock: Clock
    gate: ActivationGate
    url: str

    def consumer(self, **given: Any) -> SqsConsumer:
        return SqsConsumer(
            self.url,
            print,
            self.gate,
            **({"client": self.sqs, "monotonic": self.clock, "wait_seconds": 0} | given),
        )

    def send(self, *bodies: str, **given: Any) -> None:
        for number, body in enumerate(bodies):
            extra = {"MessageDeduplicationId": f"{body}-{number}"} if "MessageGroupId" in given else {}
            self.sqs.client.send_message(QueueUrl=self.url, MessageBody=body, **given, **extra)

    def counts(self) -> tuple[int, int]:
        """Return how many messages are visible, and how many are in flight."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return int(found[names[0]]), int(found[names[1]])

    def close(self) -> None:
        self.ssm.write(State(epoch=6, active=BLUE))
        self.gate.read_once()


@pytest.fixture
def desk(ssm: Ssm, clock: Clock) -> Desk:
    ssm.written_earlier_by = timedelta(hours=1)
    ssm.write(State(epoch=5, active=GREEN))
    gate = ActivationGate(NAME, revision=GREEN, client=ssm, monotonic=clock)  # type: ignore[arg-type]
    gate.read_once()
    client = boto3.client("sqs")
    url = client.create_queue(QueueName="orders")["QueueUrl"]
    return Desk(Sqs(client), ssm, clock, gate, url)


def test_a_message_says_all_that_is_known_of_it(desk: Desk) -> None:
    desk.send(
        "one",
        MessageAttributes={
            "kind": {"DataType": "String", "StringValue": "mail"},
            "key": {"DataType": "Binary", "BinaryValue": b"\x01"},
        },
    )
    (message,) = desk.consumer().receive()
    assert replace(message, attributes={}, message_id="", receipt_handle="") == Message(
        message_id="",
        body="one",
        receipt_handle="",
        receive_count=1,
        epoch=5,
        message_attributes={"kind": "mail", "key": b"\x01"},
    )
    assert {"SentTimestamp", "ApproximateFirstReceiveTimestamp"} <= message.attributes.keys()


def test_a_closed_gate_asks_for_nothing(desk: Desk) -> None:
    desk.send("one")
    desk.close()
    assert desk.consumer().receive() == []
    assert desk.sqs.asked == []


@pytest.mark.parametrize(
    ("passed", "wait_seconds", "reserve_seconds", "waits"),
    [
        (0, 20, 1, [14]),
        (0, 20, 2.5, [12]),
        (0, 3, 1, [3]),
        (9.5, 20, 1, [4]),
        (13.2, 20, 1, [0]),
        (14, 20, 1, []),
        (14.5, 20, 1, []),
        (15, 20, 0, []),
    ],
)
def test_a_long_poll_ends_before_the_lease_does(
    desk: Desk, passed: float, wait_seconds: int, reserve_seconds: float, waits: list[int]
) -> None:
    desk.send("one")
    desk.clock.now += passed
    desk.consumer(wait_seconds=wait_seconds, reserve_seconds=reserve_seconds).receive()
    assert [given["WaitTimeSeconds"] for given in desk.sqs.calls("receive_message")] == waits


def test_what_arrives_after_the_lease_is_put_back_unhandled(desk: Desk) -> None:
    desk.send("one", "two")
    desk.sqs.during_receive = desk.close
    consumer = desk.consumer()
    assert consumer.receive() == []
    assert consumer.in_flight == 0
    assert [
        one["VisibilityTimeout"] for one in desk.sqs.calls("change_message_visibility_batch")[0]["Entries"]
    ] == [
        0,
        0,
    ]


def test_no_more_than_ten_are_received_at_a_time(desk: Desk) -> None:
    desk.send(*map(str, range(12)))
    consumer = desk.consumer()
    assert (len(consumer.receive(50)), len(consumer.receive(1)), consumer.in_flight) == (10, 1, 11)


def test_what_is_done_is_deleted_and_what_failed_stays(desk: Desk) -> None:
    desk.send("one", "two")
    consumer = desk.consumer()
    done, failed = consumer.receive()
    consumer.done(done)
    consumer.failed(failed)
    assert consumer.in_flight == 0
    assert desk.counts() == (0, 1)
    assert desk.sqs.calls("change_message_visibility_batch") == []


@pytest.mark.parametrize(
    ("retry_seconds", "visible_in"),
    [(0, 0), (2.5, 3), (99999, 43200), (lambda message: message.receive_count * 30, 30)],
)
def test_what_failed_comes_back_when_it_was_asked_to(desk: Desk, retry_seconds: Any, visible_in: int) -> None:
    desk.send("one")
    consumer = desk.consumer(retry_seconds=retry_seconds)
    consumer.failed(consumer.receive()[0])
    (given,) = desk.sqs.calls("change_message_visibility_batch")
    assert [one["VisibilityTimeout"] for one in given["Entries"]] == [visible_in]


def test_what_is_in_hand_stays_invisible(desk: Desk) -> None:
    desk.send("one")
    consumer = desk.consumer(visibility_seconds=60)
    (message,) = consumer.receive()
    assert consumer.heartbeat() == 30
    desk.clock.now += 29
    assert consumer.heartbeat() == 1
    assert desk.sqs.calls("change_message_visibility_batch") == []
    desk.clock.now += 2
    assert consumer.heartbeat() == 30
    (given,) = desk.sqs.calls("change_message_visibility_batch")
    assert [one["VisibilityTimeout"] for one in given["Entries"]] == [60]
    consumer.failed(message)
    assert consumer.heartbeat() == float("inf")


def test_a_heartbeat_that_fails_is_tried_again(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.send("one")
    consumer = desk.consumer()
    consumer.receive()
    desk.clock.now += 40
    desk.sqs.fails_with["change_message_visibility_batch"] = EndpointConnectionError(
        endpoint_url="https://sqs"
    )
    assert consumer.heartbeat() == 0
    assert "trying again while the visibility that is left lasts" in caplog.text
    desk.sqs.fails_with.clear()
    desk.sqs.rejects["change_message_visibility_batch"] = {"Code": "InternalError", "SenderFault": False}
    assert consumer.heartbeat() == 0
    desk.sqs.rejects.clear()
    assert consumer.heartbeat() == 30


def test_a_message_that_is_lost_to_others_is_named(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.send("one")
    consumer = desk.consumer()
    (message,) = consumer.receive()
    desk.clock.now += 40
    rejection = {"Code": "MessageNotInflight", "SenderFault": True}
    desk.sqs.rejects["change_message_visibility_batch"] = rejection
    consumer.heartbeat()
    assert consumer.in_flight == 0
    assert caplog.messages == [
        f"message {message.message_id} is in hand and may be delivered to others: MessageNotInflight"
    ]


def test_after_twelve_hours_sqs_gives_a_message_to_others(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.send("one")
    consumer = desk.consumer(visibility_seconds=36000)
    consumer.receive()
    desk.clock.now += 43000
    assert consumer.heartbeat() == 0
    assert desk.sqs.calls("change_message_visibility_batch")[0]["Entries"][0]["VisibilityTimeout"] == 200
    desk.clock.now += 200
    consumer.heartbeat()
    assert "in hand for 12 hours, the most SQS allows" in caplog.text


@pytest.mark.parametrize(
    ("wrong", "attempts", "reason"),
    [
        ({"Code": "ReceiptHandleIsInvalid", "SenderFault": True}, 1, "ReceiptHandleIsInvalid"),
        ({"Code": "InternalError", "SenderFault": False}, 5, "InternalError"),
        (EndpointConnectionError(endpoint_url="https://sqs"), 5, "DeleteMessage on"),
    ],
)
def test_what_cannot_be_deleted_is_given_up_and_named(
    desk: Desk, wrong: Any, attempts: int, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    desk.send("one")
    consumer = desk.consumer()
    (message,) = consumer.receive()
    if isinstance(wrong, dict):
        desk.sqs.rejects["delete_message_batch"] = wrong
    else:
        desk.sqs.fails_with["delete_message_batch"] = wrong
    consumer.done(message)
    assert (consumer.in_flight, len(desk.sqs.calls("delete_message_batch"))) == (0, attempts)
    (line,) = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert line.startswith(
        f"message {message.message_id} was handled but can't be deleted, "
        f"and will be delivered again: {reason}"
    )


def test_putting_back_in_vain_is_logged(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.send("one")
    consumer = desk.consumer()
    messages = consumer.receive()
    desk.sqs.fails_with["change_message_visibility_batch"] = EndpointConnectionError(
        endpoint_url="https://sqs"
    )
    consumer.put_back(messages)
    consumer.put_back([])
    assert (consumer.in_flight, len(caplog.messages)) == (0, 1)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("AccessDenied", "give the task role sqs:ReceiveMessage on https://"),
        ("AWS.SimpleQueueService.NonExistentQueue", "ReceiveMessage on https://.* failed: "),
    ],
)
def test_a_receive_that_fails_says_what_to_do(desk: Desk, code: str, text: str) -> None:
    desk.sqs.fails_with["receive_message"] = ClientError(
        {"Error": {"Code": code, "Message": ""}}, "ReceiveMessage"
    )
    with pytest.raises(QueueError, match=text):
        desk.consumer().receive()


def test_protection_is_there_before_the_first_message_is_handed_out(desk: Desk, endpoint: Endpoint) -> None:
    endpoint.answer("PUT", PROTECTION, {"protection": {}})
    protection = TaskProtection(environment={"ECS_AGENT_URI": endpoint.url}, monotonic=desk.clock)
    consumer = desk.consumer(protection=protection)
    consumer.receive()
    assert not protection.held
    desk.send("one")
    consumer.receive()
    assert protection.held


def test_receives_never_retry_inside_the_client() -> None:
    """A second try would wait anew, and end after the lease."""
    queue = SqsQueue("https://sqs.eu-west-1.amazonaws.com/123456789012/orders")
    receiving: Any = queue._receiving.meta.config
    other: Any = queue._client.meta.config
    assert (receiving.retries["total_max_attempts"], receiving.read_timeout) == (1, 25)
    assert (other.retries["total_max_attempts"], other.read_timeout) == (3, 5)


@pytest.mark.parametrize(
    "given",
    [
        {"concurrency": 0},
        {"receivers": 0},
        {"visibility_seconds": 9},
        {"visibility_seconds": 43201},
        {"wait_seconds": 21},
        {"wait_seconds": -1},
    ],
)
def test_settings_out_of_range_are_refused(desk: Desk, given: dict[str, int]) -> None:
    ((name, value),) = given.items()
    with pytest.raises(ValueError, match=f"{name} is {value}; expected"):
        desk.consumer(**given)
