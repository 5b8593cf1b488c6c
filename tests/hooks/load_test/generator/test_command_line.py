"""The commands: what they say, and how they end."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from load_generator.__main__ import main
from moto.server import ThreadedMotoServer

from rehearsal.loopback import Loopback
from tests.hooks.load_test.generator.surroundings import ENVIRONMENT, a_job, free_port, until


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith(("LOAD_", "AWS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LOAD_TARGETS", "127.0.0.1:*")
    monkeypatch.setenv("LOAD_HEALTH_FILE", str(tmp_path / "alive"))


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    file = tmp_path / "job.json"
    file.write_text(json.dumps(a_job().write()))
    return file


def test_help_teaches_every_command_and_variable(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    for word in ("agent", "serve", "worker", "run", "check", "health", "LOAD_TARGETS", "LOAD_TOKEN"):
        assert word in said


def test_a_job_that_would_be_run_is_described(job_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(job_file)]) == 0
    assert capsys.readouterr().out == (
        "a-run: 2 s, 100 requests to green and 20 requests to blue that count, at http://127.0.0.1:1\n"
    )


@pytest.mark.parametrize(
    ("changes", "variables", "says"),
    [
        ({"version": 2}, {}, "version: Input should be 1"),
        ({"surprise": 1}, {}, "surprise: Extra inputs are not permitted"),
        ({}, {"LOAD_TARGETS": ""}, "the target 127.0.0.1:1 is not among LOAD_TARGETS: none"),
        ({}, {"LOAD_MAX_RATE": "5"}, "60 requests per second, LOAD_MAX_RATE is 5"),
        ({}, {"LOAD_MAX_RATE": "many"}, "LOAD_MAX_RATE: expected a number, got 'many'"),
    ],
)
@pytest.mark.parametrize("command", ["check", "run"])
def test_a_job_that_would_not_be_run_is_refused_in_one_line(
    job_file: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    changes: dict[str, Any],
    variables: dict[str, str],
    says: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    job_file.write_text(json.dumps({**json.loads(job_file.read_text()), **changes}))
    assert main([command, str(job_file)]) == 2
    assert capsys.readouterr().err == f"load-generator: {says}\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["check", "/nowhere/job.json"], "/nowhere/job.json: No such file or directory"),
        (["agent"], "LOAD_QUEUE_URL is not set"),
        (["serve"], "LOAD_TOKEN is not set"),
    ],
)
def test_what_is_missing_is_named(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert main(arguments) == 2
    assert capsys.readouterr().err == f"load-generator: {says}\n"


def test_health_is_a_file_that_was_touched_not_long_ago(tmp_path: Path) -> None:
    port = str(free_port())
    assert main(["health", "--port", port]) == 1
    (tmp_path / "alive").touch()
    assert main(["health", "--port", port]) == 0
    os.utime(tmp_path / "alive", (0, 0))
    assert main(["health", "--port", port]) == 1


def test_a_web_interface_is_not_started_with_a_token_that_can_be_guessed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "load_generator", "serve", "--host", "127.0.0.1", "--port", str(free_port())],
        env={**ENVIRONMENT, "LOAD_TOKEN": "short", "LOAD_WORKERS": "0", "LOAD_MASTER_PORT": str(free_port())},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "LOAD_TOKEN: a web interface without a token of at least 16 characters" in done.stderr


@pytest.mark.thorough
def test_a_job_is_run_right_here(loopback: Loopback, tmp_path: Path) -> None:
    file = tmp_path / "job.json"
    file.write_text(json.dumps(a_job(loopback.url, seconds=1).write()))
    done = subprocess.run(
        [sys.executable, "-m", "load_generator", "run", str(file)],
        env={**ENVIRONMENT, "LOAD_WORKERS": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    snapshot = json.loads(done.stdout)
    assert (done.returncode, snapshot["state"], snapshot["arms"]["green"]["sent"]) == (0, "finished", 50)
    assert "green: 50 sent, 0 errors" in done.stderr.splitlines()[-1]


@pytest.fixture
def aws() -> Iterator[dict[str, str]]:
    """Serve SQS and S3, and give the environment in which they are AWS."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    server.stop()


@pytest.mark.thorough
def test_an_agent_runs_what_is_in_the_queue_and_goes_when_told(
    loopback: Loopback, aws: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in aws.items():
        monkeypatch.setenv(name, value)
    sqs, s3 = boto3.client("sqs"), boto3.client("s3")
    queue = sqs.create_queue(QueueName="load")["QueueUrl"]
    s3.create_bucket(Bucket="runs")
    lease = json.dumps({"leaseUntil": "2100-01-01T00:00:00Z"}).encode()
    s3.put_object(Bucket="runs", Key="runs/a-run/control.json", Body=lease)
    sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(a_job(loopback.url, seconds=1).write()))
    own = {"LOAD_QUEUE_URL": queue, "LOAD_BUCKET": "runs", "LOAD_HEALTH_FILE": str(tmp_path / "alive")}
    agent = subprocess.Popen(
        [sys.executable, "-m", "load_generator", "agent"],
        env={**ENVIRONMENT, **aws, **own},
        stderr=subprocess.DEVNULL,
    )
    try:

        def result() -> dict[str, Any] | None:
            try:
                found = s3.get_object(Bucket="runs", Key="runs/a-run/result.json")
            except s3.exceptions.NoSuchKey:
                return None
            document: dict[str, Any] = json.loads(found["Body"].read())
            return document

        snapshot = until(result)
        assert (snapshot["state"], snapshot["arms"]["green"]["sent"]) == ("finished", 50)
        assert main(["health", "--port", str(free_port())]) == 0
    finally:
        agent.terminate()
        assert agent.wait(30) == 0
