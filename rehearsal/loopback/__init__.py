"""Blue, green and what routes to them, as real servers on this machine: for load that is real.

::

                                 x-release: green
      load generator ──▶ router ──────────────────▶ green   a process: answers with x-revision: catalog:42
                           │
                           └──────────────────────▶ blue    a process: answers with x-revision: catalog:41
                               all others

    with Loopback(green=Behaviour(latency_seconds=0.2)) as loopback:
        requests.get(loopback.url, headers={"x-release": "green"})
        loopback.log("green")

The router plays what Service Connect and a load balancer's listener rules do. Each part is a process of its
own (``program``), so that none of them waits for another's interpreter, and one can be killed.

By hand: ``python -m rehearsal.loopback``.
"""

import contextlib
import dataclasses
import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from rehearsal.loopback import program
from rehearsal.loopback.program import LOOPBACK, MAX_HEAD_BYTES, REVISIONS, Behaviour, Colour

__all__ = ["HEADER", "LOOPBACK", "MARKER", "MAX_HEAD_BYTES", "Behaviour", "Colour", "Entry", "Loopback"]

HEADER = ("x-release", "green")
MARKER = "x-revision"

# As a colour answers where nothing else is said: at once, and well.
_HEALTHY = Behaviour()

_START_SECONDS = 30.0
_STOP_SECONDS = 5.0


class Entry(NamedTuple):
    """A line of a colour's access log. Times are ``time.monotonic()``'s, which all processes here share."""

    arrived: float
    answered: float
    status: int
    marked: bool
    """Whether the request had the header that asks for green."""
    method: str
    path: str


class Loopback:
    """The three of them, from entering to leaving the context.

    Parameters
    ----------
    header
        What asks for green: a name and the exact value, or ``None`` for any value.
    marker
        The header of answers that tells the revisions apart.
    green_weight
        The percentage of the other requests, production traffic, that green gets.
    """

    def __init__(
        self,
        *,
        header: tuple[str, str | None] = HEADER,
        marker: str = MARKER,
        blue: Behaviour = _HEALTHY,
        green: Behaviour = _HEALTHY,
        green_weight: float = 0.0,
    ) -> None:
        self._opened = contextlib.ExitStack()
        self._header = header
        self._marker = marker
        self._behaviours: dict[Colour, Behaviour] = {"blue": blue, "green": green}
        self._weight = green_weight
        self._parts: dict[str, _Part] = {}

    @property
    def url(self) -> str:
        """The router's."""
        return self._parts["router"].url

    @property
    def blue_url(self) -> str:
        return self._parts["blue"].url

    @property
    def green_url(self) -> str:
        return self._parts["green"].url

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as opened:
            for colour in REVISIONS:
                self._parts[colour] = opened.enter_context(_Part(colour))
                self.start(colour)
            ports = {colour: self._parts[colour].port for colour in REVISIONS}
            router = self._parts["router"] = opened.enter_context(_Part("router"))
            router.start({"header": self._header, "ports": ports, "weight": self._weight})
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()
        self._parts = {}

    def log(self, colour: Colour) -> list[Entry]:
        """Return what a colour has answered so far; it outlives the colour."""
        return [_entry(line) for line in self._parts[colour].read_log().splitlines()]

    def behave(self, colour: Colour, behaviour: Behaviour) -> None:
        """Have a colour answer otherwise from now on; a stall's time begins anew."""
        self._behaviours[colour] = behaviour
        self._parts[colour].tell({"behaviour": dataclasses.asdict(behaviour)})

    def weigh(self, green: float) -> None:
        """Give green a percentage of production traffic."""
        self._weight = green
        self._parts["router"].tell({"weight": green})

    def kill(self, colour: Colour) -> None:
        """End a colour at once. Its port stays its own: connections are refused."""
        self._parts[colour].kill()

    def start(self, colour: Colour) -> None:
        """Start a colour that was killed, on the port it had, with the behaviour it had last."""
        self._parts[colour].start(
            {
                "colour": colour,
                "header": self._header,
                "marker": self._marker,
                "behaviour": dataclasses.asdict(self._behaviours[colour]),
            }
        )


def _entry(line: str) -> Entry:
    arrived, answered, status, marked, method, path = line.split(" ")
    return Entry(float(arrived), float(answered), int(status), marked == "1", method, path)


class _Part:
    """One of the processes, its port and its log."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._process: subprocess.Popen[bytes] | None = None
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the part
        # Bound and not listening, it keeps the port for the process, also while that does not listen.
        self._port = program.bound(0)

    @property
    def port(self) -> int:
        port: int = self._port.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.close()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process.stdout.close()
        self._log.close()
        self._port.close()

    def start(self, settings: Mapping[str, Any]) -> None:
        if self._process is not None:
            raise RuntimeError(f"{self._name} runs already")
        file = self._log.fileno()
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-I",
                "-S",
                program.__file__,
                json.dumps({"port": self.port, "log": file, **settings}),
            ],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[file],
            # Ctrl-C is for the one that was started by hand; it ends the others.
            process_group=0,
        )
        self._heard()

    def tell(self, change: Mapping[str, Any]) -> None:
        """Send a change, and return once it is in force."""
        if self._process is None:
            raise RuntimeError(f"{self._name} does not run")
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(change).encode() + b"\n")
        self._heard()

    def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with process:
                process.kill()

    def read_log(self) -> str:
        file = self._log.fileno()
        # A line is written at once; what is half there would be half of a write.
        return os.pread(file, os.fstat(file).st_size, 0).decode()

    def _heard(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], _START_SECONDS)[0]:
            raise RuntimeError(f"{self._name} says nothing")
        if self._process.stdout.readline() != b"ready\n":
            raise RuntimeError(f"{self._name} has failed, status {self._process.wait()}")
