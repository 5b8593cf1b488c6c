"""One SQS queue, as far as a consumer needs it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from activation_gate.aws import client_of

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
MAX_BATCH = 10
MAX_WAIT_SECONDS = 20
MAX_VISIBILITY_SECONDS = 12 * 60 * 60
"""From the receive on, however often it is extended."""

CONNECT_TIMEOUT_SECONDS = 2
# A receive that is answered later than its wait and this is lost; its messages come back by themselves.
READ_TIMEOUT_BEYOND_WAIT_SECONDS = 5


class QueueError(Exception):
    """A call to SQS failed as a whole; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message that was received."""

    message_id: str
    body: str
    receipt_handle: str = field(repr=False)
    receive_count: int = 1
    """How often it has been received, this time included; a message that was put back counts too."""
    group_id: str | None = None
    epoch: int | None = None
    """The gate's epoch when it was received. Store it with what you write; never write over a higher one."""
    attributes: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What SQS says about the message, such as ``SentTimestamp``."""
    message_attributes: Mapping[str, str | bytes] = field(default_factory=dict, repr=False)
    """What the sender said about it."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why SQS did not do what was asked for one message of a batch."""

    code: str
    final: bool
    """Whether asking again is of no use."""


class SqsQueue:
    """A queue. Each method is one call to SQS, and may be used from any thread.

    Parameters
    ----------
    client
        Used for all calls where it is given. Else receives have a client of their own that never retries: a
        second try inside botocore would wait anew, beyond the end of the lease.
    """

    def __init__(self, url: str, *, client: "SQSClient | None" = None, connections: int = 4) -> None:
        self.url = url
        self.is_fifo = url.endswith(".fifo")
        self._receiving = client or client_of(
            "sqs",
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            read_timeout=MAX_WAIT_SECONDS + READ_TIMEOUT_BEYOND_WAIT_SECONDS,
            max_attempts=1,
            connections=connections,
        )
        self._client = client or client_of(
            "sqs",
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            read_timeout=READ_TIMEOUT_BEYOND_WAIT_SECONDS,
            max_attempts=3,
            connections=connections,
        )

    def receive(
        self, at_most: int, *, wait_seconds: int, visibility_seconds: int, epoch: int | None = None
    ) -> list[Message]:
        """Return up to *at_most* messages, as soon as there is one."""
        try:
            answer = self._receiving.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=at_most,
                WaitTimeSeconds=wait_seconds,
                VisibilityTimeout=visibility_seconds,
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
            )
        except (ClientError, BotoCoreError) as error:
            raise self._failed("ReceiveMessage", error) from error
        return [_message(found, epoch) for found in answer.get("Messages", [])]

    def delete(self, messages: Sequence[Message]) -> dict[str, Rejection]:
        """Delete up to ten messages; return those that were not, by receipt handle."""
        try:
            answer = self._client.delete_message_batch(
                QueueUrl=self.url,
                Entries=[
                    {"Id": str(number), "ReceiptHandle": message.receipt_handle}
                    for number, message in enumerate(messages)
                ],
            )
        except (ClientError, BotoCoreError) as error:
            raise self._failed("DeleteMessage", error) from error
        return _rejections(answer, messages)

    def change_visibility(self, messages: Sequence[Message], seconds: int) -> dict[str, Rejection]:
        """Have up to ten messages visible again in *seconds* from now; return those that won't be."""
        try:
            answer = self._client.change_message_visibility_batch(
                QueueUrl=self.url,
                Entries=[
                    {
                        "Id": str(number),
                        "ReceiptHandle": message.receipt_handle,
                        "VisibilityTimeout": seconds,
                    }
                    for number, message in enumerate(messages)
                ],
            )
        except (ClientError, BotoCoreError) as error:
            raise self._failed("ChangeMessageVisibility", error) from error
        return _rejections(answer, messages)

    def _failed(self, call: str, error: ClientError | BotoCoreError) -> QueueError:
        code = error.response.get("Error", {}).get("Code", "") if isinstance(error, ClientError) else ""
        if "AccessDenied" in code:
            return QueueError(f"give the task role sqs:{call} on {self.url} ({error})")
        return QueueError(f"{call} on {self.url} failed: {error}")


def _message(found: Any, epoch: int | None) -> Message:
    attributes = found.get("Attributes", {})
    return Message(
        message_id=found["MessageId"],
        body=found["Body"],
        receipt_handle=found["ReceiptHandle"],
        receive_count=int(attributes.get("ApproximateReceiveCount", 1)),
        group_id=attributes.get("MessageGroupId"),
        epoch=epoch,
        attributes=attributes,
        message_attributes={
            name: value.get("StringValue", value.get("BinaryValue", ""))
            for name, value in found.get("MessageAttributes", {}).items()
        },
    )


def _rejections(answer: Any, messages: Sequence[Message]) -> dict[str, Rejection]:
    return {
        messages[int(failed["Id"])].receipt_handle: Rejection(
            code=failed.get("Code", ""), final=bool(failed.get("SenderFault"))
        )
        for failed in answer.get("Failed", [])
    }
