"""Notifications: tells watchers where a unicorn has been seen, one message of the queue after the other.

A worker with no load balancer and no port. Which of its revisions takes messages off the queue is the
consumer activation hook's decision; ``activation_gate`` keeps to it.

``MISBEHAVE`` makes a version of it that a deployment should not get away with:

========== =============================================================
``errors``  half of the messages fail, and come back
``latency`` each message takes ``LATENCY_SECONDS``
``poison``  each message fails, until it ends in the dead-letter queue
========== =============================================================
"""

import itertools
import json
import logging
import os
import sys
import time
from collections.abc import Callable

from activation_gate import ActivationGate, Message, SqsConsumer, log_as_json

VERSION = os.environ.get("VERSION", "1.0.0")

logger = logging.getLogger("notifications")


def notify(message: Message) -> None:
    """Tell a watcher. The real thing would send a mail; this one writes it down."""
    sighting = json.loads(message.body)
    logger.info(
        f"{sighting['watcher']}: {sighting['unicorn']} has been seen at {sighting['place']}",
        extra={"sighting": sighting, "message_id": message.message_id, "epoch": message.epoch},
    )


def every_other_fails() -> Callable[[Message], None]:
    numbers = itertools.count()

    def handle(message: Message) -> None:
        if next(numbers) % 2:
            raise RuntimeError("this version has a fault")
        notify(message)

    return handle


def slowly(message: Message) -> None:
    time.sleep(float(os.environ.get("LATENCY_SECONDS", "5")))
    notify(message)


def never(_: Message) -> None:
    raise RuntimeError("this version can't read any message")


def handler() -> Callable[[Message], None]:
    misbehave = os.environ.get("MISBEHAVE", "")
    handlers = {"": notify, "errors": every_other_fails(), "latency": slowly, "poison": never}
    if misbehave not in handlers:
        sys.exit(f"MISBEHAVE is {misbehave!r}; expected {', '.join(filter(None, handlers))} or nothing")
    return handlers[misbehave]


def main() -> int:
    gate = ActivationGate.from_environment()
    log_as_json(service="notifications", version=VERSION, revision=gate.revision)
    consumer = SqsConsumer(
        os.environ["QUEUE_URL"],
        handler(),
        gate,
        concurrency=int(os.environ.get("CONCURRENCY", "10")),
        visibility_seconds=int(os.environ.get("VISIBILITY_SECONDS", "60")),
        wait_seconds=int(os.environ.get("WAIT_SECONDS", "20")),
    )
    return 0 if consumer.run() else 1


if __name__ == "__main__":
    sys.exit(main())
