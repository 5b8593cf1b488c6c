"""Queues where moto falls short of SQS, over moto's own queues and messages.

What is mended: long polls (moto's hold the lock of this AWS, and never end while time stands still),
messages put back (moto's are visible only a moment later), stale receipt handles (moto's still delete),
duplicates in FIFO queues (moto forgets what was deleted), and what CloudWatch is told about a queue.
Visibility time-outs, FIFO queues' groups and redrive to dead-letter queues are moto's.

Sources: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html,
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-messagededuplicationid-property.html
"""

import base64
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import time_machine
from moto.core.utils import unix_time_millis
from moto.sqs.exceptions import SQSException
from moto.sqs.models import Message, Queue, SQSBackend, sqs_backends
from moto.sqs.utils import validate_message_attributes

from rehearsal.aws.call import AwsError, Call, JsonObject

MAX_RECEIVED = 10
MAX_WAIT_SECONDS = 20
MAX_VISIBILITY_SECONDS = 43_200

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html:
# a message that was received so often goes behind all others, and the queue's age is that of the others.
POISON_RECEIVES = 3

DEDUPLICATION_MILLISECONDS = 300_000

# A message whose visibility time-out ends tells nobody, so a long poll looks this often.
_LOOK_SECONDS = 0.2

_SYSTEM_ATTRIBUTES: Mapping[str, Callable[[Message], Any]] = {
    "ApproximateFirstReceiveTimestamp": lambda message: message.approximate_first_receive_timestamp,
    "ApproximateReceiveCount": lambda message: message.approximate_receive_count,
    "AWSTraceHeader": lambda message: message.system_attributes.get("AWSTraceHeader", {}).get("StringValue"),
    "MessageDeduplicationId": lambda message: message.deduplication_id,
    "MessageGroupId": lambda message: message.group_id,
    "SenderId": lambda message: message.sender_id,
    "SentTimestamp": lambda message: message.sent_timestamp,
    "SequenceNumber": lambda message: message.sequence_number,
}


class Queues:
    """The operations on messages that are answered here, in the JSON protocol.

    What SQS would refuse about a request is left to moto, which has the words for it.

    Parameters
    ----------
    lock
        Held while an operation is called; a long poll gives it up while it waits.
    """

    def __init__(self, lock: threading.RLock) -> None:
        self._changed = threading.Condition(lock)

    @property
    def operations(self) -> Mapping[str, Callable[[Call, Queue], JsonObject | None]]:
        """What is answered here, by operation."""
        return {
            "ChangeMessageVisibility": self.change_visibility,
            "ChangeMessageVisibilityBatch": self.change_visibilities,
            "DeleteMessage": self.delete,
            "DeleteMessageBatch": self.delete_batch,
            "ReceiveMessage": self.receive,
            "SendMessage": self.send,
            "SendMessageBatch": self.send_batch,
        }

    def answer(self, call: Call) -> JsonObject | None:
        """Answer a call; ``None`` leaves it to moto."""
        queue = _queue(call) if call.protocol == "json" else None
        return None if queue is None else self.operations[call.operation](call, queue)

    def send(self, call: Call, queue: Queue) -> JsonObject | None:
        """Send a message."""
        sent, failed = self._send(call, queue, [{**call.parameters, "Id": "1"}])
        if failed:
            raise AwsError(failed[0]["Code"], failed[0]["Message"])
        return _sent(sent[0][1], queue)

    def send_batch(self, call: Call, queue: Queue) -> JsonObject | None:
        """Send up to ten messages."""
        entries = call.parameters.get("Entries")
        if not entries:
            return None
        sent, failed = self._send(call, queue, entries)
        return {
            "Successful": [{"Id": name, **_sent(message, queue)} for name, message in sent],
            "Failed": failed,
        }

    def _send(
        self, call: Call, queue: Queue, entries: Sequence[JsonObject]
    ) -> tuple[list[tuple[str, Message]], list[JsonObject]]:
        prepared = {}
        for index, entry in enumerate(entries):
            attributes = _decoded(entry.get("MessageAttributes"))
            validate_message_attributes(attributes)
            # None is the queue's own delay.
            prepared[str(index)] = {"DelaySeconds": None, **entry, "MessageAttributes": attributes}
        sent, failed = _backend(call).send_message_batch(queue.name, prepared)
        _counts(queue)["NumberOfMessagesSent"] += len(sent)
        self._changed.notify_all()
        return [(vars(message)["user_id"], _deduplicated(message, queue)) for message in sent], failed

    def receive(self, call: Call, queue: Queue) -> JsonObject | None:
        """Receive messages, and wait for them as long as the request says, but never in virtual time.

        Time that only passes when something happens would not pass while this waits. So there a long poll
        is answered at once, and whoever plays a consumer has to wait for messages itself.
        """
        parameters = call.parameters
        defaults = vars(queue)  # set by name, unseen by type checkers
        wanted: int = parameters.get("MaxNumberOfMessages", 1)
        wait: int = parameters.get("WaitTimeSeconds", defaults["receive_message_wait_time_seconds"])
        visibility: int = parameters.get("VisibilityTimeout", defaults["visibility_timeout"])
        if not (
            1 <= wanted <= MAX_RECEIVED
            and 0 <= wait <= MAX_WAIT_SECONDS
            and 0 <= visibility <= MAX_VISIBILITY_SECONDS
        ):
            return None
        names = parameters.get("MessageAttributeNames", [])
        end = time.monotonic() + (0 if time_machine.escape_hatch.is_travelling() else wait)
        while True:
            received = self._take(call, queue, wanted, visibility, names)
            left = end - time.monotonic()
            # The account may have been reset meanwhile.
            if received or left <= 0 or _queue(call) is not queue:
                break
            self._changed.wait(min(left, _LOOK_SECONDS))
        counts = _counts(queue)
        counts["NumberOfMessagesReceived"] += len(received)
        counts["NumberOfEmptyReceives"] += not received
        asked = {*parameters.get("AttributeNames", []), *parameters.get("MessageSystemAttributeNames", [])}
        return {"Messages": [_received(message, asked) for message in received]} if received else {}

    @staticmethod
    def _take(call: Call, queue: Queue, wanted: int, visibility: int, names: list[str]) -> list[Message]:
        dead_letters = queue.dead_letter_queue
        before = len(_messages(dead_letters)) if dead_letters else 0
        received = _backend(call).receive_message(queue.name, wanted, 0, visibility, names)
        for message in _messages(dead_letters)[before:] if dead_letters else ():
            # In its new queue a message is as old as its stay there.
            setattr(message, _SINCE, unix_time_millis())
        return received

    def delete(self, call: Call, queue: Queue) -> JsonObject | None:
        """Delete a message; with an older handle than the latest, succeed and leave it.

        A FIFO queue refuses that, and a handle whose visibility time-out is over.
        """
        self._delete(call, queue, str(call.parameters.get("ReceiptHandle")))
        return {}

    def delete_batch(self, call: Call, queue: Queue) -> JsonObject | None:
        """Delete up to ten messages."""
        return _each(call, lambda entry: self._delete(call, queue, str(entry.get("ReceiptHandle"))))

    @staticmethod
    def _delete(call: Call, queue: Queue, handle: str) -> None:
        known = _by_handle(queue, handle)
        if known is not None and queue.fifo_queue and (known.visible or known.receipt_handle != handle):
            raise AwsError(
                "InvalidParameterValue",
                f"Value {handle} for parameter ReceiptHandle is invalid. Reason: The receipt handle has "
                "expired.",
            )
        if known is not None and known.receipt_handle != handle:
            return
        _backend(call).delete_message(queue.name, handle)
        _counts(queue)["NumberOfMessagesDeleted"] += known is not None

    def change_visibility(self, call: Call, queue: Queue) -> JsonObject | None:
        """Set when a message in flight is visible again, counted from now."""
        self._change(call, queue, call.parameters)
        return {}

    def change_visibilities(self, call: Call, queue: Queue) -> JsonObject | None:
        """Do so for up to ten messages."""
        return _each(call, lambda entry: self._change(call, queue, entry))

    def _change(self, call: Call, queue: Queue, entry: JsonObject) -> None:
        handle, seconds = str(entry.get("ReceiptHandle")), entry.get("VisibilityTimeout", 0)
        if not 0 <= seconds <= MAX_VISIBILITY_SECONDS:
            raise AwsError(
                "InvalidParameterValue",
                f"Value {seconds} for parameter VisibilityTimeout is invalid. Reason: Must be between 0 and "
                f"{MAX_VISIBILITY_SECONDS}.",
            )
        message = _by_handle(queue, handle)
        if message is not None and (message.visible or message.receipt_handle != handle):
            raise AwsError(
                "InvalidParameterValue",
                f"Value {handle} for parameter ReceiptHandle is invalid. Reason: Message does not exist or "
                "is not available for visibility timeout change.",
            )
        _backend(call).change_message_visibility(queue.name, handle, seconds)
        if message is not None and not seconds:
            message.visible_at = 0.0
            self._changed.notify_all()


def metrics_of(queue: Queue) -> Mapping[str, tuple[float, str]]:
    """Return what SQS tells CloudWatch about the time since it was last asked: values and units by metric."""
    counts = _counts(queue)
    counted = {name: (float(counts[name]), "Count") for name in _COUNTED}
    counts.clear()
    now = unix_time_millis()
    waiting = [message for message in _messages(queue) if not _is_behind(message)]
    oldest = min(map(_since, waiting), default=now)
    delayed = sum(message.delayed for message in _messages(queue))
    hidden = sum(not message.visible for message in _messages(queue))
    return {
        "ApproximateAgeOfOldestMessage": ((now - oldest) // 1000, "Seconds"),
        "ApproximateNumberOfMessagesDelayed": (float(delayed), "Count"),
        "ApproximateNumberOfMessagesNotVisible": (float(hidden), "Count"),
        "ApproximateNumberOfMessagesVisible": (float(len(queue.messages)), "Count"),
        **counted,
    }


_COUNTED = (
    "NumberOfEmptyReceives",
    "NumberOfMessagesDeleted",
    "NumberOfMessagesReceived",
    "NumberOfMessagesSent",
)
# On moto's own objects, so that they live and die with what they are about.
_COUNTS = "rehearsal_counts"
_SINCE = "rehearsal_dead_since"
_ACCEPTED = "rehearsal_accepted"


def _counts(queue: Queue) -> Counter[str]:
    counts: Counter[str] = queue.__dict__.setdefault(_COUNTS, Counter())
    return counts


def _deduplicated(message: Message, queue: Queue) -> Message:
    """Return the message that a queue has taken for it: an earlier one with the same deduplication id."""
    if not queue.fifo_queue or message.deduplication_id is None:
        return message
    accepted: dict[str, Message] = queue.__dict__.setdefault(_ACCEPTED, {})
    since = (message.sent_timestamp or 0.0) - DEDUPLICATION_MILLISECONDS
    for name in [name for name, earlier in accepted.items() if (earlier.sent_timestamp or 0.0) <= since]:
        del accepted[name]
    known = accepted.setdefault(message.deduplication_id, message)
    if known is not message and message in _messages(queue):
        # moto knows only those that are still there.
        _messages(queue).remove(message)
    return known


def _messages(queue: Queue) -> list[Message]:
    return queue._messages  # noqa: SLF001 - moto's own property leaves out those in flight


def _since(message: Message) -> float:
    return getattr(message, _SINCE, None) or message.sent_timestamp or 0.0


def _is_behind(message: Message) -> bool:
    received = message.approximate_receive_count
    return received > POISON_RECEIVES or (received == POISON_RECEIVES and message.visible)


def _backend(call: Call) -> SQSBackend:
    return sqs_backends[call.account][call.region]


def _queue(call: Call) -> Queue | None:
    url = str(call.parameters.get("QueueUrl", ""))
    return _backend(call).queues.get(url.rpartition("/")[2])


def _by_handle(queue: Queue, handle: str) -> Message | None:
    return next((message for message in _messages(queue) if message.had_receipt_handle(handle)), None)


def _each(call: Call, act: Callable[[JsonObject], None]) -> JsonObject | None:
    """Act on each entry of a batch, and tell which succeeded."""
    entries = call.parameters.get("Entries")
    if not entries or len({entry.get("Id") for entry in entries}) < len(entries):
        return None
    successful: list[JsonObject] = []
    failed: list[JsonObject] = []
    for entry in entries:
        try:
            act(entry)
        except (AwsError, SQSException) as error:
            failed.append(
                {"Id": entry["Id"], "SenderFault": True, "Code": error.code, "Message": error.message}
            )
        else:
            successful.append({"Id": entry["Id"]})
    return {"Successful": successful, "Failed": failed}


def _sent(message: Message, queue: Queue) -> JsonObject:
    return {
        "MessageId": message.id,
        "MD5OfMessageBody": message.body_md5,
        "MD5OfMessageAttributes": message.attribute_md5 if message.message_attributes else None,
        "SequenceNumber": message.sequence_number if queue.fifo_queue else None,
    }


def _received(message: Message, asked: set[str]) -> JsonObject:
    values = {
        name: read(message) for name, read in _SYSTEM_ATTRIBUTES.items() if name in asked or "All" in asked
    }
    attributes = {name: str(value) for name, value in values.items() if value is not None}
    return {
        "MessageId": message.id,
        "ReceiptHandle": message.receipt_handle,
        "MD5OfBody": message.body_md5,
        "Body": message.body,
        "Attributes": attributes or None,
        "MessageAttributes": message.message_attributes or None,
        "MD5OfMessageAttributes": message.attribute_md5 if message.message_attributes else None,
    }


def _decoded(attributes: JsonObject | None) -> JsonObject:
    """Read binary values, which JSON carries in base64."""
    return {
        name: {**value, "BinaryValue": base64.b64decode(value["BinaryValue"])}
        if "BinaryValue" in value
        else value
        for name, value in (attributes or {}).items()
    }
