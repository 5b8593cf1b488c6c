"""What the gate and the rest of ``SqsConsumer`` cost against a bare receive-and-delete loop.

    python -m benchmarks.consumer_throughput [--rounds 40]

Both empty queues of a hundred messages at one moto server in a process of its own, in turn: ten messages a
receive, ten a delete, a handler that does nothing, one thread that receives. Measured from the first
receive to the last delete, and as processor time of the process that consumes. The queues are short
because moto looks at every message of a queue at each receive.
"""

import argparse
import functools
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from activation_gate import ActivationGate, Message, SqsConsumer, State

PARAMETER = "/ecs-consumers/shop/orders/consumers"
REVISION = "42"
MESSAGES = 100
BATCH = 10

_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "benchmark",
    "AWS_SECRET_ACCESS_KEY": "benchmark",
    "AWS_DEFAULT_REGION": "us-east-1",
}


def bare(url: str) -> None:
    """Receive and delete until all are gone."""
    sqs = _client()
    left = MESSAGES
    while left:
        found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=BATCH, WaitTimeSeconds=1)
        if batch := found.get("Messages", []):
            entries = [
                {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
                for number, message in enumerate(batch)
            ]
            left -= len(sqs.delete_message_batch(QueueUrl=url, Entries=entries)["Successful"])


class Counting(SqsConsumer):
    """Tells when it has deleted all."""

    def __init__(self, url: str, gate: ActivationGate) -> None:
        super().__init__(url, lambda _: None, gate, wait_seconds=1, client=_client())
        self._left = MESSAGES
        self.all_deleted = threading.Event()

    def _forget(self, messages: Iterable[Message]) -> None:
        gone = list(messages)
        super()._forget(gone)
        self._left -= len(gone)
        if not self._left:
            self.all_deleted.set()


def gated(url: str, gate: ActivationGate) -> Counting:
    """Do the same with ``SqsConsumer`` behind an open gate."""
    consumer = Counting(url, gate)
    consumer.start()
    assert consumer.all_deleted.wait(60)
    return consumer


@functools.cache
def _client() -> Any:
    return boto3.client("sqs")


@contextmanager
def _server() -> Iterator[str]:
    with subprocess.Popen(
        [sys.executable, "-c", _SERVE], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


_SERVE = """
import logging, sys
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").disabled = True
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print("http://%s:%s" % server.get_host_and_port(), flush=True)
sys.stdin.read()
"""


def _fill(url: str) -> None:
    for _ in range(MESSAGES // BATCH):
        entries = [{"Id": str(number), "MessageBody": "order"} for number in range(BATCH)]
        _client().send_message_batch(QueueUrl=url, Entries=entries)


def _measure(rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Return (seconds, processor seconds) of each round by contestant."""
    took: dict[str, list[tuple[float, float]]] = {"bare": [], "gated": []}
    with ActivationGate(PARAMETER, revision=REVISION) as gate:
        assert gate.wait(60)
        # The first round of each is for what is made once: connections, imports.
        for number in range(rounds + 1):
            for name, rows in took.items():
                url = _client().create_queue(QueueName=f"{name}-{number}")["QueueUrl"]
                _fill(url)
                began, processor = time.perf_counter(), time.process_time()
                consumer = gated(url, gate) if name == "gated" else bare(url)
                row = time.perf_counter() - began, time.process_time() - processor
                if consumer:
                    consumer.stop()
                    consumer.join()
                if number:
                    rows.append(row)
    return took


def main() -> int:
    """Measure and print a line each; returns 1 when the consumer costs more than a tenth."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=40, metavar="N")
    options = parser.parse_args()
    with _server() as endpoint:
        os.environ.update({**_ENVIRONMENT, "AWS_ENDPOINT_URL": endpoint})
        state = State(version=1, epoch=1, active=REVISION)
        boto3.client("ssm").put_parameter(Name=PARAMETER, Value=state.to_json(), Type="String")
        took = _measure(options.rounds)
    for name, rows in took.items():
        seconds, processor = (statistics.median(column) for column in zip(*rows, strict=True))
        print(
            f"{name:6} {MESSAGES / seconds:6.0f} messages a second, "
            f"{processor / MESSAGES * 1000:.2f} ms of processor time each"
        )
    ratio = statistics.median(
        one[0] / other[0] for one, other in zip(took["bare"], took["gated"], strict=True)
    )
    print(f"throughput, gated / bare: {ratio:.2f} (median of {options.rounds} pairs; at least 0.90)")
    return int(ratio < 0.9)


if __name__ == "__main__":
    sys.exit(main())
