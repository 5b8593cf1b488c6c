"""Queues: what is ours, and what of moto's the rehearsal relies on."""

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from botocore.exceptions import ClientError
from moto.sqs.models import sqs_backends

from rehearsal.aws.cloud import Cloud
from rehearsal.aws.server import Server
from rehearsal.aws.sqs import metrics_of
from tests.rehearsal.aws.sample_deployments import ACCOUNT, REGION, START, body
from tests.rehearsal.aws.test_server import remote

MILLISECONDS = int(START.timestamp() * 1000)


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(START, tick=False) as clock:
        yield clock


@pytest.fixture
def sqs(cloud: Cloud) -> Any:
    return cloud.client("sqs", user="alice")


@pytest.fixture
def url(clock: time_machine.Traveller, sqs: Any) -> str:
    return str(sqs.create_queue(QueueName="orders", Attributes={"VisibilityTimeout": "30"})["QueueUrl"])


@pytest.fixture
def dead(sqs: Any, url: str) -> str:
    """Give the queue a dead-letter queue."""
    dead = sqs.create_queue(QueueName="orders-dead")["QueueUrl"]
    redrive = {"deadLetterTargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:orders-dead", "maxReceiveCount": 2}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": json.dumps(redrive)})
    return str(dead)


def send(sqs: Any, url: str, *bodies: str) -> None:
    for text in bodies:
        sqs.send_message(QueueUrl=url, MessageBody=text)


def receive(sqs: Any, url: str, **more: Any) -> list[Any]:
    found: list[Any] = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, **more).get("Messages", [])
    return found


def bodies(sqs: Any, url: str) -> list[str]:
    return [message["Body"] for message in receive(sqs, url)]


def counts(sqs: Any, url: str) -> tuple[int, int]:
    """Return how many messages are visible, and how many are in flight."""
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return (
        int(found["ApproximateNumberOfMessages"]),
        int(found["ApproximateNumberOfMessagesNotVisible"]),
    )


def metrics(name: str = "orders") -> dict[str, float]:
    """Return what CloudWatch would be told now, without what is 0."""
    found = metrics_of(sqs_backends[ACCOUNT][REGION].queues[name])
    return {name: value for name, (value, _) in found.items() if value}


def refusal(call: Any, **parameters: object) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_a_message_arrives_as_it_was_sent(sqs: Any, url: str) -> None:
    typed = {
        "kind": {"DataType": "String", "StringValue": "order"},
        "seal": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    }
    sent = body(sqs.send_message(QueueUrl=url, MessageBody="hello", MessageAttributes=typed))

    [received] = receive(sqs, url, AttributeNames=["All"], MessageAttributeNames=["All"])

    assert received == {
        "MessageId": sent["MessageId"],
        "ReceiptHandle": received["ReceiptHandle"],
        "MD5OfBody": "5d41402abc4b2a76b9719d911017c592",
        "Body": "hello",
        "Attributes": {
            "ApproximateFirstReceiveTimestamp": str(MILLISECONDS),
            "ApproximateReceiveCount": "1",
            "SenderId": received["Attributes"]["SenderId"],
            "SentTimestamp": str(MILLISECONDS),
        },
        "MessageAttributes": typed,
        "MD5OfMessageAttributes": sent["MD5OfMessageAttributes"],
    }
    assert sent == {
        "MessageId": sent["MessageId"],
        "MD5OfMessageBody": received["MD5OfBody"],
        "MD5OfMessageAttributes": sent["MD5OfMessageAttributes"],
    }


def test_only_the_attributes_that_are_asked_for_come_along(sqs: Any, url: str) -> None:
    send(sqs, url, "x")

    [received] = receive(sqs, url, MessageSystemAttributeNames=["ApproximateReceiveCount"])

    assert received["Attributes"] == {"ApproximateReceiveCount": "1"}


def test_an_empty_queue_answers_with_no_messages(sqs: Any, url: str) -> None:
    assert "Messages" not in sqs.receive_message(QueueUrl=url)


def test_batches_tell_what_succeeded(sqs: Any, url: str) -> None:
    entries = [{"Id": name, "MessageBody": name} for name in "abc"]
    sent = sqs.send_message_batch(QueueUrl=url, Entries=entries)
    handles = {message["Body"]: message["ReceiptHandle"] for message in receive(sqs, url)}

    changed = sqs.change_message_visibility_batch(
        QueueUrl=url,
        Entries=[
            {"Id": "1", "ReceiptHandle": handles["a"], "VisibilityTimeout": 0},
            {"Id": "2", "ReceiptHandle": "unknown", "VisibilityTimeout": 0},
        ],
    )
    deleted = sqs.delete_message_batch(
        QueueUrl=url,
        Entries=[
            {"Id": "1", "ReceiptHandle": handles["b"]},
            {"Id": "2", "ReceiptHandle": "unknown"},
        ],
    )

    assert [entry["Id"] for entry in sent["Successful"]] == ["a", "b", "c"]
    for answer in (changed, deleted):
        assert body(answer) == {
            "Successful": [{"Id": "1"}],
            "Failed": [
                {
                    "Id": "2",
                    "SenderFault": True,
                    "Code": "ReceiptHandleIsInvalid",
                    "Message": "The input receipt handle is invalid.",
                }
            ],
        }
    assert counts(sqs, url) == (1, 1)


def test_visibility_ends_by_the_clock_that_was_travelled_to(
    clock: time_machine.Traveller, sqs: Any, url: str
) -> None:
    send(sqs, url, "x")

    seen = [bodies(sqs, url)]
    for seconds in (29.9, 0.2, 30):
        clock.shift(timedelta(seconds=seconds))
        seen.append(bodies(sqs, url))

    assert seen == [["x"], [], ["x"], []]


def test_a_message_that_is_put_back_is_there_at_once(sqs: Any, url: str) -> None:
    send(sqs, url, "x")
    [received] = receive(sqs, url)

    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=received["ReceiptHandle"], VisibilityTimeout=0)

    assert counts(sqs, url) == (1, 0)
    assert bodies(sqs, url) == ["x"]


def test_a_message_that_is_held_longer_stays_away(clock: time_machine.Traveller, sqs: Any, url: str) -> None:
    send(sqs, url, "x")
    [received] = receive(sqs, url)
    clock.shift(timedelta(seconds=20))

    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=received["ReceiptHandle"], VisibilityTimeout=60)

    clock.shift(timedelta(seconds=59))
    assert bodies(sqs, url) == []
    clock.shift(timedelta(seconds=2))
    assert bodies(sqs, url) == ["x"]


def test_a_message_that_is_visible_again_can_not_be_held(
    clock: time_machine.Traveller, sqs: Any, url: str
) -> None:
    send(sqs, url, "x")
    [received] = receive(sqs, url)
    clock.shift(timedelta(seconds=31))

    code, message = refusal(
        sqs.change_message_visibility,
        QueueUrl=url,
        ReceiptHandle=received["ReceiptHandle"],
        VisibilityTimeout=60,
    )

    assert (code, message.partition("Reason: ")[2]) == (
        "InvalidParameterValue",
        "Message does not exist or is not available for visibility timeout change.",
    )


def test_a_stale_handle_deletes_nothing_and_says_nothing(
    clock: time_machine.Traveller, sqs: Any, url: str
) -> None:
    send(sqs, url, "x")
    [first] = receive(sqs, url)
    clock.shift(timedelta(seconds=31))
    [second] = receive(sqs, url)

    sqs.delete_message(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
    assert counts(sqs, url) == (0, 1)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=second["ReceiptHandle"])
    assert counts(sqs, url) == (0, 0)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=second["ReceiptHandle"])


def test_a_handle_deletes_even_when_its_time_is_over(
    clock: time_machine.Traveller, sqs: Any, url: str
) -> None:
    send(sqs, url, "x")
    [received] = receive(sqs, url)
    clock.shift(timedelta(seconds=31))

    sqs.delete_message(QueueUrl=url, ReceiptHandle=received["ReceiptHandle"])

    assert bodies(sqs, url) == []


def test_a_message_received_too_often_becomes_a_dead_letter(
    clock: time_machine.Traveller, sqs: Any, url: str, dead: str
) -> None:
    send(sqs, url, "poison")
    seen = []
    for _ in range(3):
        seen.append(bodies(sqs, url))
        clock.shift(timedelta(seconds=31))

    assert seen == [["poison"], ["poison"], []]
    assert (counts(sqs, url), counts(sqs, dead)) == ((0, 0), (1, 0))
    assert bodies(sqs, dead) == ["poison"]


@pytest.mark.parametrize(
    ("operation", "parameters", "code"),
    [
        ("receive_message", {"MaxNumberOfMessages": 11}, "InvalidParameterValue"),
        ("receive_message", {"WaitTimeSeconds": 21}, "InvalidParameterValue"),
        ("receive_message", {"VisibilityTimeout": 43_201}, "InvalidParameterValue"),
        ("delete_message", {"ReceiptHandle": "unknown"}, "ReceiptHandleIsInvalid"),
        (
            "change_message_visibility",
            {"ReceiptHandle": "unknown", "VisibilityTimeout": 5},
            "ReceiptHandleIsInvalid",
        ),
        (
            "change_message_visibility",
            {"ReceiptHandle": "unknown", "VisibilityTimeout": 43_201},
            "InvalidParameterValue",
        ),
        ("send_message", {"MessageBody": "x", "DelaySeconds": 901}, "InvalidParameterValue"),
        ("send_message_batch", {"Entries": []}, "AWS.SimpleQueueService.EmptyBatchRequest"),
    ],
)
def test_a_request_that_sqs_rejects_is_rejected(
    sqs: Any, url: str, operation: str, parameters: dict[str, Any], code: str
) -> None:
    assert refusal(getattr(sqs, operation), QueueUrl=url, **parameters)[0] == code


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        ("receive_message", {}),
        ("send_message", {"MessageBody": "x"}),
        ("delete_message", {"ReceiptHandle": "x"}),
        ("get_queue_attributes", {}),
    ],
)
def test_a_queue_that_is_not_there_is_said_not_to_be(
    sqs: Any, url: str, operation: str, parameters: dict[str, Any]
) -> None:
    assert refusal(getattr(sqs, operation), QueueUrl=f"{url}-none", **parameters) == (
        "AWS.SimpleQueueService.NonExistentQueue",
        "The specified queue does not exist.",
    )


def test_a_long_poll_ends_at_once_where_time_stands_still(sqs: Any, url: str) -> None:
    assert receive(sqs, url, WaitTimeSeconds=20) == []


def test_a_long_poll_gets_what_arrives_meanwhile_and_lets_others_work(cloud: Cloud) -> None:
    with Server(cloud) as server:
        url = cloud.client("sqs", user="alice").create_queue(QueueName="orders")["QueueUrl"]
        waiting, sending = (remote(cloud, server, "sqs", role) for role in ("Worker", "Shop"))
        received: list[str] = []
        poll = threading.Thread(
            target=lambda: received.extend(
                message["Body"] for message in receive(waiting, url, WaitTimeSeconds=20)
            )
        )
        poll.start()
        send(sending, url, "x")
        poll.join(10)

    assert not poll.is_alive()
    assert received == ["x"]


@pytest.fixture
def fifo(clock: time_machine.Traveller, sqs: Any) -> str:
    attributes = {"FifoQueue": "true", "VisibilityTimeout": "30"}
    return str(sqs.create_queue(QueueName="jobs.fifo", Attributes=attributes)["QueueUrl"])


def put(sqs: Any, url: str, body: str, group: str = "shop/web", unique: str | None = None) -> Any:
    return sqs.send_message(
        QueueUrl=url, MessageBody=body, MessageGroupId=group, MessageDeduplicationId=unique or body
    )


def test_a_fifo_queue_takes_a_message_once_in_five_minutes(
    clock: time_machine.Traveller, sqs: Any, fifo: str
) -> None:
    sent = [put(sqs, fifo, "a", unique="1")]
    waiting = put(sqs, fifo, "again", unique="1")
    [received] = receive(sqs, fifo)
    in_flight = put(sqs, fifo, "again", unique="1")
    sqs.delete_message(QueueUrl=fifo, ReceiptHandle=received["ReceiptHandle"])
    clock.shift(timedelta(seconds=299))
    gone = put(sqs, fifo, "again", unique="1")
    clock.shift(timedelta(seconds=2))
    seen = bodies(sqs, fifo)
    sent.append(put(sqs, fifo, "later", unique="1"))

    # Whoever sends again is told that the message is there, and which.
    assert [body(one) for one in (waiting, in_flight, gone)] == [body(sent[0])] * 3
    assert (seen, bodies(sqs, fifo)) == ([], ["later"])
    assert sent[0]["MessageId"] != sent[1]["MessageId"]


def test_a_batch_with_a_message_twice_is_taken_as_one(sqs: Any, fifo: str) -> None:
    entries = [
        {"Id": name, "MessageBody": name, "MessageGroupId": "g", "MessageDeduplicationId": unique}
        for name, unique in (("a", "1"), ("b", "1"), ("c", "2"))
    ]

    sent = sqs.send_message_batch(QueueUrl=fifo, Entries=entries)["Successful"]

    assert [entry["Id"] for entry in sent] == ["a", "b", "c"]
    assert sent[0]["MessageId"] == sent[1]["MessageId"] != sent[2]["MessageId"]
    assert bodies(sqs, fifo) == ["a", "c"]


def test_a_group_has_one_message_in_flight_and_comes_in_its_order(
    clock: time_machine.Traveller, sqs: Any, fifo: str
) -> None:
    for text, group in (("a1", "a"), ("a2", "a"), ("b1", "b")):
        put(sqs, fifo, text, group)

    def take() -> list[Any]:
        found: list[Any] = sqs.receive_message(QueueUrl=fifo).get("Messages", [])
        return found

    [first], [other], nothing = take(), take(), take()
    clock.shift(timedelta(seconds=20))
    sqs.change_message_visibility(QueueUrl=fifo, ReceiptHandle=first["ReceiptHandle"], VisibilityTimeout=60)
    clock.shift(timedelta(seconds=11))
    [other_again] = take()
    clock.shift(timedelta(seconds=50))
    [first_again] = take()
    sqs.delete_message(QueueUrl=fifo, ReceiptHandle=first_again["ReceiptHandle"])
    [second] = take()

    order = [message["Body"] for message in (first, other, other_again, first_again, second)]
    assert (nothing, order) == ([], ["a1", "b1", "b1", "a1", "a2"])


@pytest.mark.parametrize("received_again", [False, True])
def test_a_fifo_queue_deletes_nothing_by_a_handle_whose_time_is_over(
    clock: time_machine.Traveller, sqs: Any, fifo: str, received_again: bool
) -> None:
    put(sqs, fifo, "x")
    [received] = receive(sqs, fifo)
    clock.shift(timedelta(seconds=31))
    latest = receive(sqs, fifo)[0] if received_again else None

    code, message = refusal(sqs.delete_message, QueueUrl=fifo, ReceiptHandle=received["ReceiptHandle"])

    assert (code, message.partition("Reason: ")[2]) == (
        "InvalidParameterValue",
        "The receipt handle has expired.",
    )
    assert counts(sqs, fifo) == ((0, 1) if latest else (1, 0))
    if latest:
        for _ in range(2):
            sqs.delete_message(QueueUrl=fifo, ReceiptHandle=latest["ReceiptHandle"])
        assert counts(sqs, fifo) == (0, 0)


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({}, "MissingParameter"),
        ({"MessageGroupId": "g"}, "InvalidParameterValue"),
        ({"MessageGroupId": "g", "MessageDeduplicationId": "1", "DelaySeconds": 5}, "InvalidParameterValue"),
    ],
)
def test_a_fifo_queue_wants_a_group_and_what_tells_duplicates(
    sqs: Any, fifo: str, parameters: dict[str, Any], code: str
) -> None:
    assert refusal(sqs.send_message, QueueUrl=fifo, MessageBody="x", **parameters)[0] == code


def test_a_queue_tells_cloudwatch_what_happened_in_it(
    clock: time_machine.Traveller, sqs: Any, url: str
) -> None:
    send(sqs, url, "a", "b", "c")
    clock.shift(timedelta(seconds=30))
    send(sqs, url, "d")
    sqs.send_message(QueueUrl=url, MessageBody="later", DelaySeconds=600)
    first, *_ = receive(sqs, url)
    receive(sqs, url)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
    send(sqs, url, "e")
    clock.shift(timedelta(seconds=20))

    assert metrics() == {
        "ApproximateAgeOfOldestMessage": 50,
        "ApproximateNumberOfMessagesDelayed": 1,
        "ApproximateNumberOfMessagesNotVisible": 3,
        "ApproximateNumberOfMessagesVisible": 1,
        "NumberOfEmptyReceives": 1,
        "NumberOfMessagesDeleted": 1,
        "NumberOfMessagesReceived": 4,
        "NumberOfMessagesSent": 6,
    }
    assert metrics() == {
        "ApproximateAgeOfOldestMessage": 50,
        "ApproximateNumberOfMessagesDelayed": 1,
        "ApproximateNumberOfMessagesNotVisible": 3,
        "ApproximateNumberOfMessagesVisible": 1,
    }


def test_a_message_that_nobody_manages_does_not_make_the_queue_old(
    clock: time_machine.Traveller, sqs: Any, url: str
) -> None:
    send(sqs, url, "poison")
    ages = []
    for _ in range(3):
        receive(sqs, url)
        clock.shift(timedelta(seconds=31))
        ages.append(metrics().get("ApproximateAgeOfOldestMessage", 0))

    assert ages == [31, 62, 0]


def test_a_dead_letter_is_not_sent_and_as_old_as_its_stay(
    clock: time_machine.Traveller, sqs: Any, url: str, dead: str
) -> None:
    send(sqs, url, "poison")
    for _ in range(3):
        receive(sqs, url)
        clock.shift(timedelta(seconds=31))

    assert metrics("orders-dead") == {
        "ApproximateAgeOfOldestMessage": 31,
        "ApproximateNumberOfMessagesVisible": 1,
    }
