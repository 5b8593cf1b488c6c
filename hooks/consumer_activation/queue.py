"""SQS, as far as activation uses it: how much waits, how much is in flight, how much died.

All counts are approximate; SQS documents that they may take a minute to settle:
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_GetQueueAttributes.html
"""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from shared.clients import client
from shared.errors import Misconfigured, Transient, shown, translated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mypy_boto3_sqs.literals import QueueAttributeFilterType


@dataclass(frozen=True, slots=True)
class Depth:
    """What is in a queue."""

    waiting: int
    in_flight: int
    """Received and neither deleted nor visible again."""


class Queue:
    """One queue, by name, in the function's own account and region."""

    def __init__(self, name: str) -> None:
        self.name = name

    def depth(self) -> Depth:
        """Look at the queue."""
        found = self._attributes(["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"])
        try:
            return Depth(
                waiting=int(found["ApproximateNumberOfMessages"]),
                in_flight=int(found["ApproximateNumberOfMessagesNotVisible"]),
            )
        except KeyError as error:
            raise Transient(f"sqs:GetQueueAttributes on {self.name} does not say {error} (yet)") from error

    @cached_property
    def dead_letter_queue(self) -> "Queue | None":
        """Where messages go that were received too often."""
        text = self._attributes(["RedrivePolicy"]).get("RedrivePolicy")
        if not text:
            return None
        try:
            # An SQS queue's dead-letter queue is always in the same account and region.
            return Queue(str(json.loads(text)["deadLetterTargetArn"]).rpartition(":")[2])
        except (ValueError, KeyError, TypeError) as error:
            raise Misconfigured(f"{self.name}: RedrivePolicy is not understood: {shown(text)}") from error

    def dead_letters(self) -> int | None:
        """Count what is in the dead-letter queue; ``None`` when the queue has none."""
        if self.dead_letter_queue is None:
            return None
        depth = self.dead_letter_queue.depth()
        return depth.waiting + depth.in_flight

    @cached_property
    def _url(self) -> str:
        with translated("sqs:GetQueueUrl", self.name):
            return client("sqs").get_queue_url(QueueName=self.name)["QueueUrl"]

    def _attributes(self, names: "Sequence[QueueAttributeFilterType]") -> "Mapping[str, str]":
        url = self._url
        with translated("sqs:GetQueueAttributes", self.name):
            found = client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)
        return {str(name): value for name, value in found.get("Attributes", {}).items()}
