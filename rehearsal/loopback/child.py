"""A program of somebody's, as a process of this one: it ends with the context, and with this process."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import IO, Self

_STOP_SECONDS = 5.0


class Child:
    """The process, from entering to leaving the context, which asks it to end and waits until it has.

    Parameters
    ----------
    environment
        All of it; ``None`` for that of this process.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        stdout: IO[bytes],
        stderr: IO[bytes],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command = command
        self._stdout, self._stderr = stdout, stderr
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def exit_status(self) -> int | None:
        """``None`` while it runs."""
        return self._process.poll() if self._process else None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [*_ending_with_this_process(), *self._command],
            stdin=subprocess.DEVNULL,
            stdout=self._stdout,
            stderr=self._stderr,
            env=self._environment,
            # Ctrl-C is for the one that was started by hand; it ends the others.
            process_group=0,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> int | None:
        """Ask it to end, and kill it if it does not; returns its exit status."""
        if self._process is None:
            return None
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def _ending_with_this_process() -> list[str]:
    """Return what stands before a command for the kernel to end it with this process, where that can be.

    Source: https://man7.org/linux/man-pages/man1/setpriv.1.html (of util-linux, which every Debian has)
    """
    found = shutil.which("setpriv", path=f"{os.environ.get('PATH', os.defpath)}:/usr/bin")
    return [found, "--pdeathsig", "TERM", "--"] if found else []
