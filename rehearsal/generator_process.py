"""The load generator as its container has it: a process of its own, that reaches this AWS over HTTP.

::

    this process                          load-generator agent
      hook ──▶ queue, bucket ◀── HTTP ──    │
                                            ├─ locust --master     for each run
                                            └─ locust --worker ... ──▶ the service
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Self

from load_generator.snapshot import Snapshot, State

# What is not in a poll of the queue ends at once, and a poll is longer than anybody waits.
_STOP_SECONDS = 3.0

# What a container would have of these is in its task definition.
_NOT_PASSED_ON = ("AWS_", "ECS_", "LOAD_", "LOCUST_")


class GeneratorProcess:
    """The agent, from entering to leaving the context.

    Parameters
    ----------
    variables
        Its environment: what to load, the queue and the bucket, and as whom.
    said
        Told what it logs of runs, and each of its warnings and errors, in a thread of its own.
    """

    def __init__(self, variables: Mapping[str, str], said: Callable[[str], None]) -> None:
        self._variables = variables
        self._said = said
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self.last_line = ""
        """The last thing it has written, for whoever wonders why it has ended."""
        self._folder = tempfile.TemporaryDirectory(prefix="load-generator-")

    @property
    def exit_status(self) -> int | None:
        """``None`` while it runs."""
        return self._process.poll() if self._process else None

    def __enter__(self) -> Self:
        passed_on = {name: text for name, text in os.environ.items() if not name.startswith(_NOT_PASSED_ON)}
        self._process = process = subprocess.Popen(
            [sys.executable, "-m", "load_generator", "agent"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={
                **passed_on,
                **self._variables,
                "LOAD_HEALTH_FILE": str(Path(self._folder.name) / "alive"),
                # Nothing of this machine's own settings and metadata has a part in it.
                "AWS_EC2_METADATA_DISABLED": "true",
            },
            # Ctrl-C is for the rehearsal, which ends it.
            process_group=0,
        )
        assert process.stderr is not None
        self._reader = threading.Thread(
            target=self._read, args=(process.stderr,), name="generator's log", daemon=True
        )
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is None or self._reader is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        assert self._process.stderr is not None
        self._process.stderr.close()
        self._folder.cleanup()

    def _read(self, log: IO[str]) -> None:
        for line in log:
            self.last_line = line.strip() or self.last_line
            # 2026-03-05 12:00:00,123 INFO run ...
            _, _, level, text = (*line.rstrip("\n").split(" ", 3), "", "", "", "")[:4]
            if level in {"WARNING", "ERROR", "CRITICAL"} or text.startswith("run "):
                self._said(text)


def latest_progress(s3: Any, bucket: str) -> Snapshot | None:
    """Return how the latest run stands, as the generator has told it last; ``None`` before there is one."""
    listed = s3.list_objects_v2(Bucket=bucket, Prefix="runs/").get("Contents", [])
    told = [one for one in listed if one["Key"].endswith("/progress.json")]
    if not told:
        return None
    key = max(told, key=lambda one: one["LastModified"])["Key"]
    return Snapshot.read(json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read()))


def line_of(snapshot: Snapshot) -> str:
    """Say in a line how a run stands; empty where there is nothing to say yet."""
    if snapshot.state is State.PREFLIGHT:
        return "Locust starts; then a few requests show that green is asked, and blue"
    parts = []
    if not any(arm.answered for arm in snapshot.counts.arms.values()):
        return ""
    for name, arm in snapshot.counts.arms.items():
        p95 = arm.latency.percentile(95)
        latency = "" if p95 is None else f", p(95) {p95 * 1000:.0f} ms"
        parts.append(f"{name} {arm.answered} answers, {arm.errors.total()} errors{latency}")
    return f"{snapshot.elapsed_seconds:.0f} s: {'; '.join(parts)}"
