"""Agents with a scripted engine on the rehearsal's queue and bucket, and the hook's side of them."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import time_machine
from botocore.exceptions import ClientError
from load_generator.agent import LOOK_SECONDS, Agent, key_of
from load_generator.job import Job, Limits
from load_generator.snapshot import Problem, Snapshot, State

from rehearsal.aws.cloud import Cloud
from rehearsal.aws.identities import ALLOW_ALL

REGION = "eu-west-1"
START = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
BUCKET = "load-tests"
QUEUE = "load-tests.fifo"
ROLE = "LoadGenerator"
RUN = "qR7sT2uV9wX4yZ1aB6cD3-7301445872261930042-1"
LEASE_SECONDS = 120.0

# What the generator's task role allows.
POLICY: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"],
            "Resource": f"arn:aws:sqs:{REGION}:*:{QUEUE}",
        },
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{BUCKET}"},
        {
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": [
                f"arn:aws:s3:::{BUCKET}/runs/*/{name}.json"
                for name in ("claim", "control", "progress", "result")
            ],
        },
        {
            "Effect": "Allow",
            "Action": "s3:PutObject",
            "Resource": [
                f"arn:aws:s3:::{BUCKET}/runs/*/{name}.json" for name in ("claim", "progress", "result")
            ],
        },
    ],
}


def job(run: str = RUN, *, start_before: timedelta = timedelta(minutes=5), **changes: Any) -> dict[str, Any]:
    """Return a job as the hook writes it."""
    return {
        "version": 1,
        "run": run,
        "service": "shop/catalog",
        "target": "http://catalog:8080",
        "marker": "x-revision",
        "arms": {
            "green": {"headers": {"x-release": "green"}, "marker": "catalog:42"},
            "blue": {"headers": {}, "marker": "catalog:41"},
        },
        "load": [{"seconds": 120, "from": 50, "to": 50}],
        "startBefore": (datetime.now(UTC) + start_before).isoformat(),
        **changes,
    }


@dataclass
class ScriptedEngine:
    """An engine whose runs last until a test ends them."""

    looks_to_end: int = 0
    """How often it says that it still runs after it was told to stop."""
    started: list[str] = field(default_factory=list)
    stops: list[tuple[Problem, str]] = field(default_factory=list)
    on_start: Callable[[Job], None] = lambda _: None
    snapshot: Snapshot | None = None
    """Of the run it is in."""
    ending: Snapshot | None = None

    @property
    def is_running(self) -> bool:
        return self.snapshot is not None and not self.snapshot.state.is_final

    def start(self, job: Job) -> None:
        assert not self.is_running
        self.on_start(job)
        self.started.append(job.run)
        self.ending = None
        self.snapshot = Snapshot(run=job.run, state=State.RUNNING, at=datetime.now(UTC))

    def look(self) -> Snapshot:
        assert self.snapshot is not None
        if self.ending is not None and self.looks_to_end <= 0:
            self.snapshot = self.ending
        self.looks_to_end -= self.ending is not None
        return self.snapshot

    def stop(self, problem: Problem, reason: str) -> None:
        assert self.snapshot is not None
        self.stops.append((problem, reason))
        self.ending = Snapshot(
            run=self.snapshot.run, state=State.ENDED, at=datetime.now(UTC), problem=problem, reason=reason
        )

    def finish(self) -> None:
        """Have everything sent and answered, from the next look on."""
        assert self.snapshot is not None
        self.ending = Snapshot(run=self.snapshot.run, state=State.FINISHED, at=datetime.now(UTC))

    def close(self) -> None:
        self.snapshot = None


class Account:
    """The queue, the bucket, and what the hook does with them."""

    def __init__(self, cloud: Cloud, clock: time_machine.Traveller) -> None:
        self.cloud = cloud
        self.clock = clock
        self.sqs = cloud.client("sqs", user="hook", policies=[ALLOW_ALL])
        self.s3 = cloud.client("s3", user="hook", policies=[ALLOW_ALL])
        self.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        attributes = {"FifoQueue": "true"}
        self.queue_url: str = self.sqs.create_queue(QueueName=QUEUE, Attributes=attributes)["QueueUrl"]
        self._sent = 0

    def agent(self, name: str, engine: ScriptedEngine) -> Agent:
        """Make an agent with the task role's permissions."""
        return Agent(
            queue_url=self.queue_url,
            bucket=BUCKET,
            limits=Limits(targets=("catalog:8080",)),
            engine=engine,
            sqs=self.cloud.client("sqs", role=ROLE, session=name, policies=[POLICY]),
            s3=self.cloud.client("s3", role=ROLE, session=name, policies=[POLICY]),
            name=name,
            wait_seconds=0,
        )

    def control(self, run: str = RUN, *, lease: float | None = LEASE_SECONDS, stop: str = "") -> None:
        """Write the hook's word on a run: a lease of so many seconds from now, or none."""
        until = None if lease is None else (datetime.now(UTC) + timedelta(seconds=lease)).isoformat()
        self.put(run, "control", json.dumps({"version": 1, "leaseUntil": until, "stop": stop}))

    def put(self, run: str, name: str, text: str) -> None:
        self.s3.put_object(Bucket=BUCKET, Key=key_of(run, name), Body=text.encode())

    def send(self, message: dict[str, Any] | str, group: str = "shop:catalog") -> None:
        """Put a message on the queue, however often it has been there."""
        self._sent += 1
        text = message if isinstance(message, str) else json.dumps(message)
        self.sqs.send_message(
            QueueUrl=self.queue_url,
            MessageBody=text,
            MessageGroupId=group,
            MessageDeduplicationId=str(self._sent),
        )

    def ask(self, run: str = RUN, **changes: Any) -> None:
        """Ask for a run as the hook does: first a lease, then the job."""
        self.control(run)
        self.send(job(run, **changes))

    def read(self, name: str, run: str = RUN) -> dict[str, Any] | None:
        try:
            found = self.s3.get_object(Bucket=BUCKET, Key=key_of(run, name))
        except ClientError as error:
            assert error.response["Error"]["Code"] == "NoSuchKey"
            return None
        document: dict[str, Any] = json.loads(found["Body"].read())
        return document

    def said(self, run: str = RUN) -> tuple[str, str, str] | None:
        """Return state, problem and reason of a run's result, if there is one."""
        result = self.read("result", run)
        return None if result is None else (result["state"], result["problem"], result["reason"])

    def messages(self) -> int:
        """Return how many messages there are, in flight or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    def fail(self, action: str, seconds: float | None = None, **how: Any) -> None:
        """Throttle what the generators call, for some time or for good."""
        until = None if seconds is None else datetime.now(UTC) + timedelta(seconds=seconds)
        self.cloud.faults.add(
            action=action,
            identity=f"*:assumed-role/{ROLE}/*",
            error="Throttling",
            status=503,
            until=until,
            **how,
        )

    def go_on(self, *agents: Agent, seconds: float = LOOK_SECONDS) -> None:
        """Let time pass, and the agents look every two seconds."""
        for _ in range(round(seconds / LOOK_SECONDS)):
            self.clock.shift(timedelta(seconds=LOOK_SECONDS))
            for agent in agents:
                agent.step()
