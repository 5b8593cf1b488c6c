"""HAProxy as the router: its configuration, its process, and its runtime API.

::

    weights.map          production 100        tenths of a percent that green has, by route
                         test 1000
    runtime API          set map FOLDER/weights.map production 1000

A request draws a number below 1000 and goes to green if it is below the weight, as weights of a listener rule
do with each request. The weight is read from the map in memory at each request: a change takes no new
configuration and no new process, and connections stay.

Sources: https://docs.haproxy.org/2.6/configuration.html, https://docs.haproxy.org/2.6/management.html#9.3
"""

import contextlib
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from rehearsal.loopback import front_log
from rehearsal.loopback.child import Child
from rehearsal.loopback.front import LISTENER, NAMESPACE, Front, Route, Rules
from rehearsal.loopback.front_log import LogFile, Routed
from rehearsal.loopback.program import LOOPBACK, bound

_CHECK_SECONDS = 20.0
_START_SECONDS = 20.0
_ANSWER_SECONDS = 5.0
_MAX_ANSWER_BYTES = 64 * 1024

# https://man7.org/linux/man-pages/man7/unix.7.html: a socket's path has 107 characters, and HAProxy puts a
# number and .tmp after it at first.
_LONGEST_FOLDER = 60

# What stands in the configuration as it is given: nothing that could end a word there, or quotes.
_WORD = re.compile(r"[A-Za-z0-9/_.:-]{1,200}")
_QUOTED = re.compile(r"[A-Za-z0-9._:/=;, -]{1,128}")

_CONFIGURATION = """\
global
    log stdout format raw local0
    stats socket {folder}/admin.sock mode 600 level admin
    nbthread 1
    maxconn 2000
    hard-stop-after 2s

defaults
    mode http
    timeout connect 5s
    timeout client 75s
    timeout server 75s
    # A load balancer tries no other target of the group: there is one of each here.
    retries 0

frontend {listener}
    bind {address}:{listener_port}
    log global
    log-format "request %[date(0,ms)] %f %b %ST %Tr %ts"
    http-request return status 404 content-type text/plain string "no rule" unless {{ path_beg {prefix} }}
{routing}
frontend {namespace}
    bind {address}:{namespace_port}
{routing}
backend blue
    server blue {address}:{blue}

backend green
    server green {address}:{green}
"""

# A listener rule takes a header's value in upper and lower case alike.
_ROUTING = """\
    http-request set-var(txn.green) str(production),map_str_int({map},0)
    acl is_test req.fhdr({name}) -i -m str '{value}'
    http-request set-var(txn.green) str(test),map_str_int({map},0) if is_test
    use_backend green if {{ rand(1000),sub(txn.green) lt 0 }}
    default_backend blue
"""


def configuration(rules: Rules, folder: Path, *, listener_port: int, namespace_port: int) -> str:
    """Write the configuration; raises ``ValueError`` for what can't stand in one."""
    name, value = rules.header
    for pattern, text in ((_WORD, name), (_QUOTED, value), (_WORD, rules.prefix), (_WORD, str(folder))):
        if not pattern.fullmatch(text):
            raise ValueError(f"{text!r} can't stand in HAProxy's configuration; expected {pattern.pattern}")
    return _CONFIGURATION.format(
        folder=folder,
        address=LOOPBACK,
        listener=LISTENER,
        listener_port=listener_port,
        namespace=NAMESPACE,
        namespace_port=namespace_port,
        prefix=rules.prefix,
        routing=_ROUTING.format(map=folder / "weights.map", name=name, value=value),
        blue=rules.ports["blue"],
        green=rules.ports["green"],
    )


def check(program: str, file: Path) -> None:
    """Have HAProxy read a configuration; raises ``RuntimeError`` with what it says against it."""
    done = subprocess.run(
        [program, "-c", "-f", str(file)], capture_output=True, text=True, timeout=_CHECK_SECONDS, check=False
    )
    if done.returncode:
        said = done.stderr.splitlines()
        alerts = [line for line in said if line.startswith("[ALERT]")]
        raise RuntimeError(f"HAProxy refuses its configuration: {' '.join(alerts or said)}")


class Haproxy(Front):
    """One HAProxy process."""

    name = "HAProxy"

    def __init__(self, program: str, rules: Rules) -> None:
        self._program = program
        self._rules = rules
        self._opened = contextlib.ExitStack()
        self._folder = Path()
        self._ports: dict[str, socket.socket] = {}
        self._log: LogFile | None = None

    @property
    def listener_port(self) -> int:
        return _port(self._ports[LISTENER])

    @property
    def namespace_port(self) -> int:
        return _port(self._ports[NAMESPACE])

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as opened:
            # Bound and not listening, they keep the ports for HAProxy.
            for name in (LISTENER, NAMESPACE):
                self._ports[name] = opened.enter_context(bound(0))
            folder = tempfile.TemporaryDirectory(prefix="haproxy-", dir=_short_folder())
            self._folder = Path(opened.enter_context(folder))
            file = self._folder / "haproxy.cfg"
            file.write_text(
                configuration(
                    self._rules,
                    self._folder,
                    listener_port=self.listener_port,
                    namespace_port=self.namespace_port,
                )
            )
            (self._folder / "weights.map").write_text("production 0\ntest 0\n")
            check(self._program, file)
            self._start(file, opened)
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def move(self, route: Route, green: float) -> None:
        self._tell(f"set map {self._folder / 'weights.map'} {route} {round(green * 10)}")

    def requests(self) -> list[Routed]:
        return list(front_log.read(self._log.lines())) if self._log else []

    def _start(self, file: Path, opened: contextlib.ExitStack) -> None:
        log, errors = self._folder / "requests.log", self._folder / "errors.log"
        with log.open("ab") as to_log, errors.open("ab") as to_errors:
            process = opened.enter_context(
                Child([self._program, "-db", "-f", str(file)], stdout=to_log, stderr=to_errors)
            )
        self._log = LogFile(log)
        deadline = time.monotonic() + _START_SECONDS
        while True:
            if (status := process.exit_status) is not None:
                raise RuntimeError(f"HAProxy has ended with status {status}: {errors.read_text().strip()}")
            with contextlib.suppress(OSError):
                self._tell(f"show map {self._folder / 'weights.map'}", expected="production 0")
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"HAProxy does not answer: {errors.read_text().strip()}")
            time.sleep(0.02)

    def _tell(self, command: str, expected: str = "") -> None:
        """Send a command; what changes something is answered with an empty line, and an error with words."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_ANSWER_SECONDS)
            connection.connect(str(self._folder / "admin.sock"))
            connection.sendall(f"{command}\n".encode())
            answer = b"".join(_until_closed(connection)).decode().strip()
        if expected not in answer or (answer and not expected):
            raise RuntimeError(f"HAProxy answers {command!r} with {answer!r}")


def _until_closed(connection: socket.socket) -> Iterator[bytes]:
    left = _MAX_ANSWER_BYTES
    while left and (data := connection.recv(left)):
        left -= len(data)
        yield data


def _short_folder() -> str | None:
    """Return where the socket's path is short enough; ``None`` for the usual folder of temporary files."""
    return "/tmp" if len(tempfile.gettempdir()) > _LONGEST_FOLDER else None  # noqa: S108  # with mode 0700


def _port(one: socket.socket) -> int:
    port: int = one.getsockname()[1]
    return port
