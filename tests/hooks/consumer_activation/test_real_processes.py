"""Worker processes of two revisions on one queue, killed and throttled at random while the hook switches."""

import contextlib
import itertools
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rehearsal import functions
from rehearsal.aws.cloud import Cloud
from rehearsal.aws.identities import ALLOW_ALL
from rehearsal.aws.server import Server
from rehearsal.model import Status
from rehearsal.runtime.in_process import InProcess
from shared.lifecycle import ServiceDeploymentArn, ServiceRevisionArn
from tests.shared.checkout import BLUE, DEPLOYMENT, GREEN, PRODUCTION, REGION, deploy, event, split

PARAMETER = "/ecs-consumers/shop/checkout/consumers"
QUEUE = "orders"
DETAILS: dict[str, Any] = {
    # Nothing but leases keeps the revisions apart: no look at the queue makes up for one that is too short.
    "drainBy": "time",
    "drainSeconds": 0,
    "leaseSeconds": 3,
    "readSeconds": 1,
    "readLagSeconds": 1,
}
TASKS = 2
SEED = 3

# What a task role allows: nothing but what the library's README asks for.
TASK_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "ssm:GetParameter",
            "Resource": f"arn:aws:ssm:{REGION}:*:parameter{PARAMETER}",
        },
        {
            "Effect": "Allow",
            "Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"],
            "Resource": f"arn:aws:sqs:{REGION}:*:{QUEUE}",
        },
    ],
}
LATER = ServiceDeploymentArn("aws", REGION, DEPLOYMENT.account, "shop", "checkout", "zR7sT2uV9wX4yZ1aB6cD3")


@dataclass
class Fleet:
    """The tasks of both revisions, as ECS would keep them running."""

    log: Path
    url: str
    environments: dict[str, dict[str, str]]
    """By revision: each has a session of its own, and so can be throttled alone."""
    rng: random.Random
    tasks: list[tuple[str, subprocess.Popen[bytes]]] = field(default_factory=list)

    def start(self, revision: str) -> None:
        worker = Path(__file__).with_name("logging_worker.py")
        self.tasks.append(
            (
                revision,
                subprocess.Popen(
                    [sys.executable, str(worker), str(self.log), revision, PARAMETER, self.url],
                    env=self.environments[revision],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                ),
            )
        )

    def kill_one(self) -> None:
        """Kill a task at once, and start another for it."""
        revision, process = self.tasks.pop(self.rng.randrange(len(self.tasks)))
        process.kill()
        process.wait()
        self.start(revision)

    def end(self) -> None:
        for _, process in self.tasks:
            process.terminate()
        for _, process in self.tasks:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Ecs:
    """Calls the hook as ECS does, until it has an answer."""

    def __init__(self, cloud: Cloud) -> None:
        self._function = functions.hooks(functions.deployed())["consumer_activation"]
        policy = {"Version": "2012-10-17", "Statement": list(self._function.statements)}
        name = self._function.logical_id
        self._environment = {
            **functions.environment(self._function),
            **cloud.credentials(f"{name}Role", name, [policy]),
        }

    def call(self, payload: dict[str, Any]) -> str:
        details = DETAILS
        while True:
            invocation = InProcess().invoke(
                self._function, {**payload, "hookDetails": details}, self._environment
            )
            assert invocation.error is None, invocation
            reply = invocation.reply
            if reply["hookStatus"] != "IN_PROGRESS":
                return str(reply["hookStatus"])
            details = {**details, **reply["hookDetails"]}
            time.sleep(reply["callBackDelay"])


@contextlib.contextmanager
def repeating(action: Any) -> Iterator[None]:
    """Call *action* again and again in a thread, as long as the block lasts."""
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            over.wait(action())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class Traffic:
    """Messages for the queue, numbered, and what the workers wrote down of them."""

    def __init__(self, sqs: Any, queue: str, log: Path) -> None:
        self._sqs, self._queue, self._log = sqs, queue, log
        self.sent = 0

    def send(self) -> float:
        entries = [{"Id": str(number), "MessageBody": str(self.sent + number)} for number in range(5)]
        self._sqs.send_message_batch(QueueUrl=self._queue, Entries=entries)
        self.sent += len(entries)
        return 0.1

    def handled(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def wait_until_handled_by(self, revision: ServiceRevisionArn) -> None:
        """Wait until a revision has handled some messages from now on."""

        def count() -> int:
            return sum(line["revision"] == revision.id for line in self.handled())

        wanted, deadline = count() + 50, time.monotonic() + 60
        while count() < wanted:
            assert time.monotonic() < deadline, f"{revision.id} takes no messages"
            time.sleep(0.1)

    def wait_until_all_is_done(self) -> None:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        deadline = time.monotonic() + 90
        while True:
            found = self._sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=names)["Attributes"]
            if not any(int(found[name]) for name in names):
                return
            assert time.monotonic() < deadline, found
            time.sleep(0.2)


@dataclass
class Havoc:
    """Kills tasks, and throttles what they call."""

    cloud: Cloud
    fleet: Fleet
    rng: random.Random

    def __call__(self) -> float:
        kind = self.rng.choice(["kill", "ssm:GetParameter", "sqs:*"])
        if kind == "kill":
            self.fleet.kill_one()
        else:
            self.throttle(kind, "*", self.rng.uniform(0.2, 1))
        return self.rng.uniform(1, 3)

    def throttle(self, action: str, revision: str, seconds: float) -> None:
        self.cloud.faults.add(
            action=action,
            error="ThrottlingException",
            identity=f"*/worker/{revision}",
            until=datetime.now(UTC) + timedelta(seconds=seconds),
        )


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with Cloud(region=REGION, seed=SEED) as made, made.enforcing_iam():
        made.identity(user="admin", policies=[ALLOW_ALL])
        yield made
        assert made.defects == []


@pytest.fixture
def traffic(cloud: Cloud, tmp_path: Path) -> Traffic:
    log = tmp_path / "log"
    log.touch()
    sqs = cloud.client("sqs", user="admin")
    return Traffic(sqs, sqs.create_queue(QueueName=QUEUE)["QueueUrl"], log)


@pytest.fixture
def fleet(cloud: Cloud, traffic: Traffic, tmp_path: Path) -> Iterator[Fleet]:
    with Server(cloud) as server:
        environments = {
            revision.id: {
                **os.environ,
                **cloud.credentials("worker", revision.id, [TASK_POLICY]),
                "AWS_ENDPOINT_URL": server.url,
            }
            for revision in (BLUE, GREEN)
        }
        url = f"{server.url}/{DEPLOYMENT.account}/{QUEUE}"
        running = Fleet(tmp_path / "log", url, environments, random.Random(SEED))
        for revision in (BLUE, GREEN):
            for _ in range(TASKS):
                running.start(revision.id)
        try:
            yield running
        finally:
            running.end()


@pytest.mark.thorough
def test_no_message_is_lost_and_no_two_revisions_take_messages_at_once(
    cloud: Cloud, traffic: Traffic, fleet: Fleet
) -> None:
    ecs = Ecs(cloud)
    deployment = deploy(cloud)
    havoc = Havoc(cloud, fleet, random.Random(SEED))

    def without_reads_of(revision: ServiceRevisionArn) -> None:
        """Keep a revision from reading that it has to stop, for as long as its lease lasts at most."""
        havoc.throttle("ssm:GetParameter", revision.id, DETAILS["leaseSeconds"])

    with repeating(traffic.send), repeating(havoc):
        answers = [ecs.call(event("PRE_SCALE_UP"))]
        traffic.wait_until_handled_by(BLUE)
        without_reads_of(BLUE)
        answers.append(ecs.call(event(PRODUCTION, production=split(100, 0))))
        traffic.wait_until_handled_by(GREEN)
        without_reads_of(GREEN)
        deployment.status = Status.ROLLBACK_IN_PROGRESS
        answers.append(ecs.call(event(PRODUCTION, production=split(0, 100))))
        traffic.wait_until_handled_by(BLUE)
        without_reads_of(BLUE)
        deployment.status = Status.ROLLBACK_SUCCESSFUL
        deploy(cloud, arn=LATER)
        answers.append(ecs.call(event(PRODUCTION, production=split(100, 0), deployment=LATER)))
        traffic.wait_until_handled_by(GREEN)
    traffic.wait_until_all_is_done()

    assert answers == ["SUCCEEDED"] * 4
    handled = traffic.handled()
    assert {line["id"] for line in handled} == {str(number) for number in range(traffic.sent)}
    # Of a message that was given out twice only the first time is known.
    taken = sorted((line for line in handled if line["receives"] == 1), key=lambda line: line["taken"])
    shifts = [revision for revision, _ in itertools.groupby(line["revision"] for line in taken)]
    assert shifts == [BLUE.id, GREEN.id, BLUE.id, GREEN.id]
    epochs = [line["epoch"] for line in taken]
    assert epochs == sorted(epochs)
