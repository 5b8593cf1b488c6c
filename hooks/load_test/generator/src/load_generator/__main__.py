"""Runs load tests as the hook asks for them, and lets people try one by hand."""

# ruff: noqa: T201 - printing is what most of it is for
import argparse
import importlib.metadata
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Event

from load_generator.agent import Agent
from load_generator.engine import LOCUSTFILE, LocustEngine
from load_generator.job import MAX_JOB_BYTES, Job, JobRefused, Limits
from load_generator.snapshot import Problem, Snapshot, State

EXIT_ENDED = 1
EXIT_REFUSED = 2

# A long poll can't be broken off, and ECS gives a task 30 s between SIGTERM and SIGKILL.
POLL_SECONDS = 10

# Two polls, and a call to AWS that is tried again.
HEALTHY_SECONDS = 60.0

LOOK_SECONDS = 1.0

EPILOG = """\
Modes

  agent   takes jobs from an SQS queue and writes what it measures to an S3 bucket. Nothing listens.
  serve   a Locust master with its HTTP interface behind a token, for teams that run Locust that way.
  worker  adds this machine's cores to the runs of an agent or a master elsewhere.
  run     one job, right here; check only says whether it would be run.

Environment

  LOAD_TARGETS         what may be loaded: host:port, comma-separated, * allowed. Without it, nothing
  LOAD_METHODS         methods that may be used (GET, HEAD)
  LOAD_MAX_RATE        requests per second, of both revisions together (100)
  LOAD_MAX_BLUE_RATE   of those, to blue: this is load on production (20)
  LOAD_MAX_SECONDS     length of a run (1800)
  LOAD_MAX_BYTES       of all answers of a run (1e10)
  LOAD_MAX_IN_FLIGHT   requests of one worker that wait at the same time (1000)
  LOAD_WORKERS         worker processes here (one for each core)
  LOAD_REMOTE_WORKERS  workers to wait for that run elsewhere (0)
  LOAD_MASTER_PORT     where those connect to (5557)
  LOAD_QUEUE_URL, LOAD_BUCKET   agent: the queue of jobs, the bucket of results
  LOAD_TOKEN           serve: what callers have to know
  LOAD_HEALTH_FILE     what tells that this is alive (/tmp/load-generator.alive)

Exit status

  0 done, and a run came to its end; 1 a run ended before its time; 2 it was refused or can't be understood.
"""


class _Misused(Exception):
    """The surroundings are not as they have to be; the text says what is missing."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="load-generator",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=importlib.metadata.version("load-generator"))
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    commands.add_parser("agent", help="take jobs from the queue, one after the other")
    serve = commands.add_parser("serve", help="a Locust master with its HTTP interface")
    serve.add_argument("--host", default="0.0.0.0", help="interface to listen on (%(default)s)")  # noqa: S104
    serve.add_argument("--port", type=int, default=8089, help="port to listen on (%(default)s)")
    worker = commands.add_parser("worker", help="work for a master elsewhere, run after run")
    worker.add_argument("--master", required=True, metavar="HOST", help="where the agent or the master runs")
    for name, text in (("run", "run a job right here"), ("check", "say whether a job would be run")):
        command = commands.add_parser(name, help=text)
        command.add_argument("job", metavar="JOB.json", help="the job; - reads standard input")
    health = commands.add_parser("health", help="exit with 0 if an agent, master or worker lives here")
    health.add_argument("--port", type=int, default=8089, help="of serve (%(default)s)")
    return parser


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isdigit():
        raise _Misused(f"{name}: expected a number, got {text!r}")
    return int(text)


def _required(environment: Mapping[str, str], name: str) -> str:
    if not (value := environment.get(name, "")):
        raise _Misused(f"{name} is not set")
    return value


def _limits(environment: Mapping[str, str]) -> Limits:
    try:
        return Limits.from_environment(environment)
    except ValueError as error:
        raise _Misused(str(error)) from error


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _engine(environment: Mapping[str, str]) -> LocustEngine:
    return LocustEngine(
        workers=_number(environment, "LOAD_WORKERS", _cores()),
        remote_workers=_number(environment, "LOAD_REMOTE_WORKERS", 0),
        port=_number(environment, "LOAD_MASTER_PORT", 5557),
        environment=environment,
    )


def _health_file(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("LOAD_HEALTH_FILE") or "/tmp/load-generator.alive")  # noqa: S108 - only touched


def _until_terminated() -> Event:
    """Return what is set by SIGTERM and by Ctrl-C."""
    over = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    return over


def _agent(environment: Mapping[str, str]) -> int:
    # A second of imports that no other command needs.
    import boto3  # noqa: PLC0415

    agent = Agent(
        queue_url=_required(environment, "LOAD_QUEUE_URL"),
        bucket=_required(environment, "LOAD_BUCKET"),
        limits=_limits(environment),
        engine=_engine(environment),
        sqs=boto3.client("sqs"),
        s3=boto3.client("s3"),
        name=f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}",
        wait_seconds=POLL_SECONDS,
    )
    alive = _health_file(environment)
    over = _until_terminated()
    try:
        while not over.is_set():
            alive.touch()
            over.wait(agent.step())
    finally:
        agent.close()
    return 0


def _serve(environment: Mapping[str, str], host: str, port: int) -> int:
    _required(environment, "LOAD_TOKEN")
    workers = _number(environment, "LOAD_WORKERS", _cores())
    remote = _number(environment, "LOAD_REMOTE_WORKERS", 0)
    master_port = str(_number(environment, "LOAD_MASTER_PORT", 5557))
    arguments = [
        *(sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--web-host", host, "--web-port", str(port)),
        *("--master-port", master_port, "--master-bind-port", master_port),
        *("--master-bind-host", "*" if remote else "127.0.0.1"),
        *(["--processes", str(workers)] if workers else ["--master"]),
    ]
    # In its own place, so that signals are Locust's.
    os.execve(sys.executable, arguments, dict(environment))  # noqa: S606 - no shell is what is wanted


def _worker(environment: Mapping[str, str], master: str) -> int:
    """Keep workers connected: each process works for one master's life, and the next one for the next's."""
    port = str(_number(environment, "LOAD_MASTER_PORT", 5557))
    arguments = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--loglevel", "WARNING", "--worker"]
    arguments += ["--master-host", master, "--master-port", port]
    alive = _health_file(environment)
    over = _until_terminated()
    workers: list[subprocess.Popen[bytes]] = []
    try:
        while not over.is_set():
            alive.touch()
            workers = [worker for worker in workers if worker.poll() is None]
            while len(workers) < _number(environment, "LOAD_WORKERS", _cores()):
                workers.append(subprocess.Popen(arguments, stdin=subprocess.DEVNULL, process_group=0))
            over.wait(LOOK_SECONDS)
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            try:
                worker.wait(10)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
    return 0


def _read_job(name: str) -> Job:
    try:
        if name == "-":
            return Job.read(sys.stdin.buffer.read(MAX_JOB_BYTES + 1))
        with Path(name).open("rb") as file:
            return Job.read(file.read(MAX_JOB_BYTES + 1))
    except OSError as error:
        raise _Misused(f"{name}: {error.strerror}") from error


def _check(environment: Mapping[str, str], job: Job) -> int:
    _limits(environment).check(job)
    arms = " and ".join(f"{job.due(arm, job.seconds):.0f} requests to {arm}" for arm in job.shares)
    print(f"{job.run}: {job.seconds:g} s, {arms} that count, at {job.target}")
    return 0


def _run(environment: Mapping[str, str], job: Job) -> int:
    _limits(environment).check(job)
    engine = _engine(environment)
    over = _until_terminated()
    engine.start(job)
    try:
        while not (snapshot := engine.look()).state.is_final:
            print(_line(snapshot), file=sys.stderr, flush=True)
            if over.wait(LOOK_SECONDS):
                engine.stop(Problem.STOPPED, "interrupted")
                # The event is set for good, so that this would no longer wait.
                time.sleep(LOOK_SECONDS)
    finally:
        engine.close()
    print(_line(snapshot), file=sys.stderr)
    print(json.dumps(snapshot.write(), indent=1))
    return 0 if snapshot.state is State.FINISHED else EXIT_ENDED


def _line(snapshot: Snapshot) -> str:
    """Return a run in a line, for people."""
    words = [f"{snapshot.due_seconds:5.0f} s {snapshot.state}"]
    for name, arm in snapshot.counts.arms.items():
        p95 = arm.latency.percentile(95)
        shown = "-" if p95 is None else f"{p95 * 1000:.1f} ms"
        words.append(f"{name}: {arm.sent} sent, {arm.errors.total()} errors, p95 {shown}")
    return "; ".join([*words, *([snapshot.reason] if snapshot.reason else [])])


def _health(environment: Mapping[str, str], port: int) -> int:
    try:
        if time.time() - _health_file(environment).stat().st_mtime < HEALTHY_SECONDS:
            return 0
    except FileNotFoundError:
        pass
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=3) as answer:
            return 0 if answer.status == 200 else EXIT_ENDED
    except OSError as error:
        print(f"nothing lives here: {error}", file=sys.stderr)
        return EXIT_ENDED


def _do(environment: Mapping[str, str], given: argparse.Namespace) -> int:
    match given.command:
        case "agent":
            status = _agent(environment)
        case "serve":
            status = _serve(environment, given.host, given.port)
        case "worker":
            status = _worker(environment, given.master)
        case "run":
            status = _run(environment, _read_job(given.job))
        case "check":
            status = _check(environment, _read_job(given.job))
        case _:
            status = _health(environment, given.port)
    return status


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, and return the exit status."""
    given = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        return _do(os.environ, given)
    except (_Misused, JobRefused) as error:
        print(f"load-generator: {error}", file=sys.stderr)
        return EXIT_REFUSED


if __name__ == "__main__":
    sys.exit(main())
