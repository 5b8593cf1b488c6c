"""A process on this machine that is told what to do in lines of JSON, and answers each with ``ready``.

It ends when its standard input does, so that it never outlives whoever started it.
"""

import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Any, Self

from rehearsal.loopback import program
from rehearsal.loopback.program import LOOPBACK

_START_SECONDS = 30.0
_STOP_SECONDS = 5.0


class Part:
    """One of the processes, its port and its log.

    Parameters
    ----------
    name
        For messages.
    file
        The program, which needs nothing but the standard library.
    """

    def __init__(self, name: str, file: str = program.__file__) -> None:
        self._name = name
        self._file = file
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
        log = self._log.fileno()
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-I",
                "-S",
                self._file,
                json.dumps({"port": self.port, "log": log, **settings}),
            ],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[log],
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
