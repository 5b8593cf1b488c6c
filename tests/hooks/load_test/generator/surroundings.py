"""What the tests of the generator share: jobs, and a Locust master that is asked over HTTP."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from load_generator.job import Job

PATIENCE_SECONDS = 60
"""How long a test waits for what must happen soon; machines may be slow, and nothing is proved by waiting."""

TOKEN = "0123456789abcdef-of-the-tests"

ENVIRONMENT: Mapping[str, str] = {
    **{name: value for name, value in os.environ.items() if not name.startswith("LOAD_")},
    "LOAD_TARGETS": "127.0.0.1:*",
    "LOAD_METHODS": "GET, HEAD, POST",
    "LOAD_MAX_RATE": "5000",
    "LOAD_MAX_BLUE_RATE": "5000",
    "LOAD_WORKERS": "2",
}


def a_job(target: str = "http://127.0.0.1:1", *, rate: float = 50, seconds: float = 2, **changes: Any) -> Job:
    """Return a job of a constant rate for both revisions of rehearsal.loopback."""
    document = {
        "version": 1,
        "run": "a-run",
        "service": "shop/catalog",
        "target": target,
        "marker": "x-revision",
        "arms": {
            "green": {"headers": {"x-release": "green"}, "marker": "catalog:42"},
            "blue": {"headers": {}, "marker": "catalog:41"},
        },
        "load": [{"seconds": seconds, "from": rate, "to": rate}],
        "blueShare": 0.2,
        "timeoutSeconds": 5,
        "startBefore": "2100-01-01T00:00:00Z",
        **changes,
    }
    return Job.read(json.dumps(document))


def until[T](ask: Callable[[], T | None]) -> T:
    """Return the first answer that is one."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if (answer := ask()) is not None:
            return answer
        time.sleep(0.05)
    raise AssertionError("it did not happen")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def children_of(pid: int) -> set[int]:
    """Return the processes that a process has started and that are still there, zombies too."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return {int(child) for task in tasks for child in (task / "children").read_text().split()}


@dataclass
class Served:
    """``load-generator serve``, and whoever asks it."""

    url: str
    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, workers: int) -> "Served":
        port = free_port()
        command = [
            sys.executable,
            "-m",
            "load_generator",
            "serve",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ]
        more = {"LOAD_TOKEN": TOKEN, "LOAD_WORKERS": str(workers), "LOAD_MASTER_PORT": str(free_port())}
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**ENVIRONMENT, **more},
        )
        served = cls(f"http://127.0.0.1:{port}", process)
        until(lambda: served.is_up(workers) or None)
        return served

    def is_up(self, workers: int) -> bool:
        assert self.process.poll() is None
        try:
            return bool(self.get("/load/health").json()["workers"] == workers)
        except requests.ConnectionError:
            return False

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE_SECONDS)

    def get(self, path: str, token: str = TOKEN) -> requests.Response:
        return requests.get(self.url + path, headers={"Authorization": f"Bearer {token}"}, timeout=10)

    def post(self, path: str, token: str = TOKEN, **given: Any) -> requests.Response:
        return requests.post(
            self.url + path, headers={"Authorization": f"Bearer {token}"}, timeout=60, **given
        )

    def swarm(self, job: Job, users: int = 10) -> requests.Response:
        form = {"user_count": users, "spawn_rate": users, "load_job": json.dumps(job.write())}
        return self.post("/swarm", data=form)

    def snapshot(self, run: str) -> dict[str, Any]:
        answer = self.get(f"/load/runs/{run}")
        assert answer.status_code == 200
        document: dict[str, Any] = answer.json()
        return document

    def finished(self, run: str) -> dict[str, Any]:
        """Return the last snapshot of a run."""

        def look() -> dict[str, Any] | None:
            snapshot = self.snapshot(run)
            return snapshot if snapshot["state"] in {"finished", "ended"} else None

        return until(look)

    def is_ready(self) -> bool:
        return bool(self.get("/load/health").json()["ready"])
