"""What the READMEs show works."""

import asyncio
import json
import re
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from activation_gate import ActivationGate, Message, SqsConsumer, State

from tests.hooks.consumer_activation.worker.surroundings import (
    BLUE,
    GREEN,
    NAME,
    PATIENCE_SECONDS,
    Clock,
    Ssm,
)

ROOT = Path(__file__).parents[4]
WORKER = ROOT / "hooks" / "consumer_activation" / "worker"
APPLICATIONS = ROOT / "examples" / "unicorn_watch" / "app"


def blocks(readme: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", readme.read_text(), flags=re.MULTILINE | re.DOTALL)


def defined(number: int) -> dict[str, Any]:
    """Return what the README's code block of that number defines."""
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(blocks(WORKER / "README.md", "python")[number], "README.md", "exec"), names)
    return names


@pytest.fixture
def gate(ssm: Ssm, clock: Clock) -> ActivationGate:
    ssm.written_earlier_by = timedelta(hours=1)
    ssm.write(State(epoch=5, active=GREEN))
    found = ActivationGate(NAME, revision=GREEN, client=ssm, monotonic=clock)  # type: ignore[arg-type]
    found.read_once()
    return found


def test_all_python_of_the_readme_is_tried_here() -> None:
    assert len(blocks(WORKER / "README.md", "python")) == 4


def test_the_first_example_is_a_worker(
    ssm: Ssm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ssm.write(State(epoch=5, active=GREEN, lease_seconds=1, read_seconds=1, read_lag_seconds=0))
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName="orders")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="Comet")
    monkeypatch.setenv("ACTIVATION_PARAMETER", NAME)
    monkeypatch.setenv("ACTIVATION_REVISION", GREEN)
    monkeypatch.setenv("QUEUE_URL", url)
    # Its leases are too short for the reserve, to be quick.
    monkeypatch.setattr(
        SqsConsumer.__init__,
        "__kwdefaults__",
        SqsConsumer.__init__.__kwdefaults__ | {"reserve_seconds": 0.1, "wait_seconds": 0},
    )
    example = defined(0)
    whole = SqsConsumer.done

    def done(consumer: SqsConsumer, message: Message) -> None:
        whole(consumer, message)
        consumer.stop()

    monkeypatch.setattr(SqsConsumer, "done", done)
    worker = threading.Thread(target=example["main"])
    worker.start()
    worker.join(PATIENCE_SECONDS)
    assert not worker.is_alive()
    assert capsys.readouterr().out.endswith(": Comet\n")


class Kafka:
    """A consumer of confluent_kafka, as far as it is used."""

    def __init__(self, clock: Clock, stop: threading.Event) -> None:
        self.clock, self.stop = clock, stop
        self.log: list[Any] = []
        self.records = [None, "one", "late"]

    def subscribe(self, topics: list[str]) -> None:
        self.log.append(("subscribe", topics))

    def unsubscribe(self) -> None:
        self.log.append("unsubscribe")

    def poll(self, timeout: float) -> Any:
        self.log.append(("poll", timeout))
        record = self.records.pop(0)
        if record == "late":
            self.clock.now += 60
        return record and Record(record)

    def commit(self, record: "Record") -> None:
        self.log.append(("commit", record.value))

    def assignment(self) -> list[str]:
        return ["orders-0"]

    def pause(self, partitions: list[str]) -> None:
        self.log.append(("pause", partitions))

    def resume(self, partitions: list[str]) -> None:
        self.log.append(("resume", partitions))

    def close(self) -> None:
        self.log.append("close")


class Record:
    def __init__(self, value: str) -> None:
        self.value = value

    def error(self) -> None:
        return None


def test_a_member_of_a_kafka_group_is_one_while_the_gate_is_open(
    gate: ActivationGate, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()
    kafka = Kafka(clock, stop)
    handled: list[Any] = []
    monkeypatch.setattr(gate, "wait", lambda _: stop.set())
    defined(1)["consume"](
        kafka, "orders", gate, lambda record, epoch: handled.append((record.value, epoch)), stop
    )
    assert handled == [("one", 5)]
    assert kafka.log == [
        ("subscribe", ["orders"]),
        ("poll", 1.0),
        ("poll", 1.0),
        ("commit", "one"),
        ("poll", 1.0),
        "unsubscribe",
        "close",
    ]


def test_a_kafka_consumer_is_paused_and_resumed(gate: ActivationGate, clock: Clock, ssm: Ssm) -> None:
    kafka = Kafka(clock, threading.Event())
    defined(2)["follow"](kafka, gate)
    ssm.write(State(epoch=6, active=BLUE))
    gate.read_once()
    assert kafka.log == [("resume", ["orders-0"]), ("pause", ["orders-0"])]


def test_an_asyncio_loop_receives_within_the_lease(ssm: Ssm, gate: ActivationGate, clock: Clock) -> None:
    class EndError(Exception):
        pass

    asked: list[int] = []
    seen: list[Any] = []

    async def receive(wait_seconds: int) -> list[str]:
        asked.append(wait_seconds)
        if len(asked) > 1:
            raise EndError
        return ["one", "two"]

    async def handle(message: str, epoch: int | None) -> None:
        seen.append((message, epoch))
        clock.now += 60

    async def put_back(message: str) -> None:
        seen.append((message, "back"))
        await asyncio.to_thread(gate.read_once)

    with pytest.raises(EndError):
        asyncio.run(defined(3)["consume"](gate, receive, handle, put_back))
    assert asked == [14, 14]
    assert seen == [("one", 5), ("two", "back")]


def test_the_commands_of_the_readme_are_understood(monkeypatch: pytest.MonkeyPatch, ssm: Ssm) -> None:
    from activation_gate.__main__ import _parser

    monkeypatch.setenv("ACTIVATION_PARAMETER", NAME)
    lines = [
        line.split("#")[0].split()[3:]
        for block in blocks(WORKER / "README.md", "sh")
        for line in block.splitlines()
        if line.startswith("python -m activation_gate")
    ]
    assert [_parser().parse_args(line).command for line in lines] == ["show", "watch", "set", "set"]


def test_every_setting_of_the_readme_is_one(ssm: Ssm) -> None:
    text = (WORKER / "README.md").read_text()
    named = set(re.findall(r"^\| `([a-z_]+)` \|", text, flags=re.MULTILINE))
    assert named == SqsConsumer.__init__.__kwdefaults__.keys() - {"client", "metrics", "monotonic"}
    defaults = {
        key: value
        for key, value in json.loads(State(epoch=1, active=None).to_json()).items()
        if key.endswith("Seconds")
    }
    assert {
        key: int(value)
        for key, value in re.findall(r"^\| `([a-z]\w+Seconds)` \| (\d+) \|", text, flags=re.MULTILINE)
    } == defaults


def test_the_task_roles_policy_allows_what_the_worker_does() -> None:
    (policy,) = blocks(APPLICATIONS / "README.md", "json")
    filled = policy.replace("REGION", "eu-west-1").replace("ACCOUNT", "123456789012")
    actions = {
        action
        for statement in json.loads(filled)["Statement"]
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }
    assert actions == {
        "ssm:GetParameter",
        "sqs:ReceiveMessage",
        "sqs:DeleteMessage",
        "sqs:ChangeMessageVisibility",
        "ecs:DescribeTasks",
        "ecs:GetTaskProtection",
        "ecs:UpdateTaskProtection",
    }


def test_the_licence_is_the_projects() -> None:
    assert (WORKER / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_the_library_loads_nothing_of_the_project_around_it() -> None:
    program = (
        "import sys, activation_gate.__main__\n"
        "print([name for name in sys.modules if name.split('.')[0] in {'hooks', 'shared', 'rehearsal'}])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
