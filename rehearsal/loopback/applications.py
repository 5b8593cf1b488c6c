"""Blue and green as what the reference system's containers run: ``examples/unicorn_watch/app``.

::

    with Application("catalog", revision="catalog:42", version="1.1.0", fault={}) as green:
        green.wait()
        requests.get(f"http://127.0.0.1:{green.port}/catalog/unicorns")

It chooses a free port itself and tells it in the first line of its log.
"""

import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from rehearsal.loopback.child import Child
from rehearsal.loopback.front_log import LogFile
from rehearsal.loopback.program import LOOPBACK

Service = Literal["ui", "catalog"]

# What the load balancer's rules lead to each.
PREFIXES: Mapping[Service, str] = {"ui": "/frontend/", "catalog": "/catalog/"}

APP = Path(__file__).parents[2] / "examples" / "unicorn_watch" / "app"

_START_SECONDS = 30.0

# What a container would have of these is in its task definition.
_NOT_PASSED_ON = ("AWS_", "ECS_", "MISBEHAVE", "LATENCY_", "ERROR_", "DRAIN_")


class Application:
    """One process, from entering to leaving the context.

    Parameters
    ----------
    revision
        FAMILY:REVISION of its task definition.
    fault
        ``MISBEHAVE`` and what goes with it.
    """

    def __init__(self, service: Service, *, revision: str, version: str, fault: Mapping[str, str]) -> None:
        passed_on = {name: text for name, text in os.environ.items() if not name.startswith(_NOT_PASSED_ON)}
        self._name = f"{service} of {revision}"
        self._command = [sys.executable, str(APP), service]
        self._environment = {
            **passed_on,
            "HOST": LOOPBACK,
            "PORT": "0",
            "REVISION": revision,
            "VERSION": version,
            **fault,
        }
        self._opened = contextlib.ExitStack()
        self._child: Child | None = None
        self._log: LogFile | None = None
        self.port = 0
        """Known once it listens."""

    def __enter__(self) -> Self:
        if not APP.is_dir():
            raise RuntimeError(
                f"{APP} is not there: the applications are in the repository, not in the wheel"
            )
        with contextlib.ExitStack() as opened:
            folder = opened.enter_context(tempfile.TemporaryDirectory(prefix="application-"))
            file = Path(folder) / "log"
            with file.open("ab") as to_log:
                self._child = opened.enter_context(
                    Child(self._command, stdout=to_log, stderr=to_log, environment=self._environment)
                )
            self._log = LogFile(file)
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def wait(self) -> None:
        """Return once it listens; raises ``RuntimeError`` with its last line when it does not."""
        assert self._child is not None
        assert self._log is not None
        deadline = time.monotonic() + _START_SECONDS
        last = ""
        while time.monotonic() < deadline:
            status = self._child.exit_status
            for line in self._log.lines():
                last = line.strip() or last
                with contextlib.suppress(ValueError, AttributeError):
                    if (told := json.loads(line)).get("message") == "listening":
                        self.port = int(told["port"])
                        return
            if status is not None:
                raise RuntimeError(f"{self._name} has ended with status {status}: {last}")
            time.sleep(0.02)
        raise RuntimeError(f"{self._name} does not listen after {_START_SECONDS:g} s: {last}")
