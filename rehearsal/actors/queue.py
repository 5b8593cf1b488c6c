"""A queue: whoever sends to it, and SQS that tells CloudWatch about it."""

import json
import random
from datetime import datetime, timedelta
from typing import Any

from moto.sqs.models import sqs_backends
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from rehearsal.actors import Actor, actor
from rehearsal.aws.sqs import metrics_of
from rehearsal.consumers import Line
from rehearsal.durations import Duration
from rehearsal.timing import Process
from rehearsal.world import World

NAMESPACE = "AWS/SQS"
MINUTE = 60.0

# SQS pushes its metrics each minute, and they can be read some time after it. AWS documents the interval,
# not the delay; a minute is usual.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/monitoring-using-cloudwatch.html
PUBLISHED_AFTER = 60.0

_SENDER = "shop"


class Before(BaseModel):
    """How the queue was doing in the time before."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)

    lasts: Duration = 3600.0
    messages_per_minute: float = Field(6.0, ge=0)
    oldest: Duration = Field(10.0, description="age of the oldest message, minute by minute")
    waiting: int = Field(0, ge=0, description="messages that waited, minute by minute")


@actor("queue")
class Queue(Actor):
    """Creates a queue with its dead-letter queue, sends messages to it, and publishes its metrics."""

    name: str = Field("orders", pattern=r"^[A-Za-z0-9_-]{1,75}$")
    messages_per_minute: float = Field(6.0, ge=0, le=600)
    lasts: Duration | None = Field(None, description="for how long messages are sent; without, to the end")
    backlog: int = Field(0, ge=0, le=1000, description="messages that wait in the queue at the start")
    visibility_timeout: Duration = 60.0
    dead_letter_after: int | None = Field(
        3, ge=1, le=1000, description="receives after which a message is a dead letter; null: never"
    )
    poison_each: int | None = Field(
        None, ge=1, description="each so-manieth message is one that nobody can handle"
    )
    before: Before | None = Field(
        Before(), description="the metrics of the time before; null: a queue nobody used"
    )

    def run(self, world: World) -> Process:
        line = self._create(world)
        world.lines[self.name] = line
        if self.before is not None:
            self._publish_before(world, self.before)
        rng = random.Random(world.rng.getrandbits(64))  # noqa: S311  # not for secrets
        world.env.process(self._publish(world, line))
        sqs = world.client_of("sqs", _SENDER, self.name, _may_send(world, self.name))
        for _ in range(self.backlog):
            self._send(line, sqs)
        while self.messages_per_minute and (self.lasts is None or world.env.now < self.lasts):
            # As people's orders come in: independent of each other.
            yield world.env.timeout(rng.expovariate(self.messages_per_minute / MINUTE))
            self._send(line, sqs)
            line.arrived()
        yield world.env.timeout(0)

    def _create(self, world: World) -> Line:
        admin = world.cloud.client("sqs", user="admin")
        attributes = {"VisibilityTimeout": str(round(self.visibility_timeout))}
        dead = f"{self.name}-dead-letters"
        if self.dead_letter_after is not None:
            admin.create_queue(QueueName=dead)
            arn = f"arn:aws:sqs:{world.cloud.region}:{world.cloud.account}:{dead}"
            redrive = {"deadLetterTargetArn": arn, "maxReceiveCount": self.dead_letter_after}
            attributes["RedrivePolicy"] = json.dumps(redrive)
        url = admin.create_queue(QueueName=self.name, Attributes=attributes)["QueueUrl"]
        queues = sqs_backends[world.cloud.account][world.cloud.region].queues
        return Line(world.env, self.name, url, queues[self.name], queues.get(dead))

    def _send(self, line: Line, sqs: Any) -> None:
        number = len(line.sent) + 1
        body: dict[str, Any] = {"number": number}
        if self.poison_each and number % self.poison_each == 0:
            body["poison"] = True
        sent = sqs.send_message(QueueUrl=line.url, MessageBody=json.dumps(body))
        line.sent[sent["MessageId"]] = f"#{number}"

    def _publish(self, world: World, line: Line) -> Process:
        """Tell CloudWatch at the end of each minute, to be read some time after."""
        queues = [queue for queue in (line.queue, line.dead_letters) if queue]
        # Minutes are the clock's, which does not begin on one when it is real.
        yield world.env.timeout(MINUTE - world.now().timestamp() % MINUTE)
        while True:
            minute = world.now() - timedelta(seconds=MINUTE)
            for queue in queues:
                world.env.process(_publish_later(world, queue.name, dict(metrics_of(queue)), minute))
            yield world.env.timeout(MINUTE)

    def _publish_before(self, world: World, before: Before) -> None:
        if not before.messages_per_minute and not before.waiting:
            return  # SQS tells nothing of a queue that is not used
        start = world.now().replace(second=0, microsecond=0)
        values = {
            "ApproximateAgeOfOldestMessage": (before.oldest, "Seconds"),
            "ApproximateNumberOfMessagesNotVisible": (0.0, "Count"),
            "ApproximateNumberOfMessagesVisible": (float(before.waiting), "Count"),
            **{
                f"NumberOfMessages{what}": (before.messages_per_minute, "Count")
                for what in ("Deleted", "Received", "Sent")
            },
        }
        for minutes in range(int(before.lasts // MINUTE), 0, -1):
            _tell(world, self.name, values, start - timedelta(minutes=minutes))


def _publish_later(
    world: World, queue: str, values: dict[str, tuple[float, str]], minute: datetime
) -> Process:
    yield world.env.timeout(PUBLISHED_AFTER)
    _tell(world, queue, values, minute)


def _tell(world: World, queue: str, values: dict[str, tuple[float, str]], minute: datetime) -> None:
    world.cloud.publish_metrics(NAMESPACE, {"QueueName": queue}, values, minute)


def _may_send(world: World, name: str) -> list[dict[str, Any]]:
    arn = f"arn:aws:sqs:{world.cloud.region}:{world.cloud.account}:{name}"
    return [{"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": arn}]
