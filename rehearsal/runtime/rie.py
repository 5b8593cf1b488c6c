r"""Artifacts in the real Lambda runtime, without Docker.

The Runtime Interface Emulator that ships with aws-sam-cli runs the artifact as Lambda does: a Python with
only Lambda's own packages, ``awslambdaric`` in front of the handler, events over HTTP. What is not as in
Lambda: the operating system, limits on memory and CPU, that the function can write wherever we can, and that
layers are not one folder ``/opt``.

::

    RuntimeEnvironment        one execution environment of one artifact: cold at first, warm from then on
    Rie                       the runtime of a rehearsal: each of its functions in an environment of its own

>>> handler = "hooks.manual_approval.handler.handler"
>>> with RuntimeEnvironment(artifact, handler, lambda_python(), {}) as function:
...     function.invoke(event).reply
{'hookStatus': 'FAILED'}

On the command line:

    python -m rehearsal.runtime.rie --artifact .aws-sam/build/ManualApprovalFunction \
        --handler hooks.manual_approval.handler.handler --event events/manual_approval/pending.json \
        --env AWS_ENDPOINT_URL=http://127.0.0.1:5000 --repeat 3
"""

# every command line is put together here, none by a caller
# ruff: noqa: T201  # a command line prints

import argparse
import contextlib
import http.client
import importlib.util
import json
import os
import platform
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from rehearsal.runtime import Invocation, LambdaFunction, architecture
from rehearsal.runtime.lambda_python import LambdaPythonError, lambda_python
from rehearsal.runtime.virtual_clock import VARIABLE as CLOCK_VARIABLE
from rehearsal.runtime.warm import WarmFunctions

START_SECONDS = 10
LOG_SECONDS = 2
END_SECONDS = 5

# What the emulator gives to bring an invocation home after the function's own time-out.
GRACE_SECONDS = 20

_INIT_REPORT = re.compile(r"INIT REPORT\(durationMs: ([\d.]+)\)")
_DURATION = re.compile(r"^REPORT RequestId: .*?\tDuration: ([\d.]+) ms", re.MULTILINE)
_EMULATORS_OWN = re.compile(
    r"\d\d \w{3} \d{4} [\d:,]+ \[\w+\] \(rapid\)|START RequestId: |END RequestId: |REPORT RequestId: |\s*$"
)
# Marks the processes of one environment, so that all of them can be found at its end.
_MARK = "REHEARSAL_ENVIRONMENT"


class RuntimeEnvironmentError(Exception):
    """The emulator is not there or does not start; the text says why."""


@dataclass(frozen=True, slots=True)
class Response:
    """What came of one invocation."""

    reply: Any
    error: str | None
    log: list[str]
    """The function's own lines, without those of the emulator."""
    init_ms: float | None
    """How long the environment took to start, as the emulator reports it; ``None`` when it was warm."""
    duration_ms: float
    """From event to reply, as the emulator reports it; a cold invocation's includes the init."""
    elapsed_ms: float
    """The same as the caller saw it."""


class RuntimeEnvironment:
    """One execution environment of one artifact. Started by ``with``; one invocation at a time."""

    def __init__(
        self,
        artifact: Path,
        handler: str,
        python: Path,
        env: Mapping[str, str],
        clock_file: Path | None = None,
        *,
        layers: Sequence[Path] = (),
        name: str = "function",
        timeout_seconds: int = 60,
        memory_mb: int = 512,
    ) -> None:
        """Describe the environment.

        Parameters
        ----------
        artifact
            The folder that ``sam build`` made.
        handler
            ``module.function``.
        python
            An interpreter with ``awslambdaric``, see :func:`lambda_python`.
        env
            The function's variables, the endpoint and its credentials among them. Nothing but ``PATH`` is
            passed on from our own environment.
        clock_file
            Where the rehearsal's virtual time stands; without it the function has the real one.
        layers
            The folders that ``sam build`` made of its layers. As in Lambda the function's own code is found
            first, and of two layers the later one's.
        name, timeout_seconds, memory_mb
            What the function is told; the time-out is kept, memory is not limited.

        """
        self._artifact = artifact.resolve()
        self._layers = [layer.resolve() for layer in layers]
        self._command = ["-m", "awslambdaric", handler]
        self._python = python.absolute()
        self._env = dict(env)
        if clock_file is not None:
            # -P keeps the bootstrap's own folder out of sys.path, where its neighbours would be importable.
            self._command = ["-P", str(Path(__file__).with_name("virtual_clock.py")), handler]
            self._env[CLOCK_VARIABLE] = str(clock_file.resolve())
        self._name = name
        self._timeout_seconds = timeout_seconds
        self._memory_mb = memory_mb
        self._cleanup = contextlib.ExitStack()
        self._port = 0
        self._log = Path()

    def __enter__(self) -> Self:
        for folder in (self._artifact, *self._layers):
            if not folder.is_dir():
                raise RuntimeEnvironmentError(f"no artifact at {folder}; `sam build` makes it")
        emulator = find_emulator()
        with self._cleanup:
            scratch = self._cleanup.enter_context(
                tempfile.TemporaryDirectory(prefix="lambda-", ignore_cleanup_errors=True)
            )
            self._log = Path(scratch, "log")
            self._port, runtime_port = _free_ports(2)
            out = self._cleanup.enter_context(self._log.open("wb"))
            process = subprocess.Popen(
                [
                    *(emulator, "--log-level", "info"),
                    *("--runtime-interface-emulator-address", f"127.0.0.1:{self._port}"),
                    *("--runtime-api-address", f"127.0.0.1:{runtime_port}"),
                    *(str(self._python), *self._command),
                ],
                cwd=self._artifact,
                env=self._variables(scratch),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
            self._cleanup.callback(_end, process, scratch)
            self._wait(process)
            self._cleanup = self._cleanup.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    def invoke(self, event: object) -> Response:
        """Send *event* and wait for the reply. A failure of the function is in the response."""
        logged = self._log.stat().st_size
        started = time.perf_counter()
        reply, error = self._post(json.dumps(event))
        elapsed_ms = (time.perf_counter() - started) * 1000
        log = self._log_since(logged)
        init, duration = _INIT_REPORT.search(log), _DURATION.search(log)
        return Response(
            reply,
            error,
            [line for line in log.splitlines() if not _EMULATORS_OWN.match(line)],
            float(init[1]) if init else None,
            float(duration[1]) if duration else elapsed_ms,
            elapsed_ms,
        )

    def _variables(self, scratch: str) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "TMPDIR": scratch,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_SESSION_TOKEN": "test",
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
            "AWS_LAMBDA_FUNCTION_NAME": self._name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self._memory_mb),
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(self._timeout_seconds),
            "LAMBDA_TASK_ROOT": str(self._artifact),
            # https://docs.aws.amazon.com/lambda/latest/dg/python-layers.html: a layer's folder python.
            "PYTHONPATH": os.pathsep.join(
                map(str, (self._artifact, *(layer / "python" for layer in reversed(self._layers))))
            ),
            "PYTHONNOUSERSITE": "1",
            # As in Lambda, where the code is read-only.
            "PYTHONDONTWRITEBYTECODE": "1",
            **self._env,
            _MARK: scratch,
        }

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1):
                return
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeEnvironmentError(
                    f"the emulator did not start:\n{self._log.read_text(errors='replace')}"
                )
            time.sleep(0.005)

    def _post(self, event: str) -> tuple[Any, str | None]:
        connection = http.client.HTTPConnection(
            "127.0.0.1", self._port, timeout=self._timeout_seconds + GRACE_SECONDS
        )
        try:
            connection.request("POST", "/2015-03-31/functions/function/invocations", event)
            body = connection.getresponse().read().decode()
        except (OSError, http.client.HTTPException) as error:
            return None, f"no response: {type(error).__name__}: {error}"
        finally:
            connection.close()
        try:
            reply = json.loads(body)
        except ValueError:
            # Such as "Task timed out after 3.00 seconds".
            return None, body
        if isinstance(reply, dict) and {"errorType", "errorMessage"} <= reply.keys():
            return None, f"{reply['errorType']}: {reply['errorMessage']}"
        return reply, None

    def _log_since(self, offset: int) -> str:
        """Return what was logged, up to the line that ends an invocation."""
        deadline = time.monotonic() + LOG_SECONDS
        while True:
            with self._log.open("rb") as log:
                log.seek(offset)
                text = log.read().decode(errors="replace")
            # The emulator answers first and writes this line then; a function that timed out has none.
            if _DURATION.search(text) or time.monotonic() > deadline:
                return text
            time.sleep(0.002)


class Rie:
    """Runs functions under the emulator: each starts when first invoked, and stays warm."""

    def __init__(self, build: Path, *, clock_file: Path | None = None, python: Path | None = None) -> None:
        """Say where the artifacts are.

        Parameters
        ----------
        build
            The folder that holds them by logical id: ``.aws-sam/build``.
        clock_file
            Where the rehearsal's virtual time stands; without it functions have the real one.
        python
            An interpreter with ``awslambdaric``; by default one is made.

        """
        self._build = build
        self._clock_file = clock_file
        self._python = python
        self._warm = WarmFunctions(self._start)

    def invoke(
        self, function: LambdaFunction, event: Mapping[str, Any], environment: Mapping[str, str]
    ) -> Invocation:
        """Invoke a function. One invocation at a time; another waits for its turn."""
        with self._warm.turn(function, environment) as started:
            response = started.invoke(event)
        return Invocation(response.reply, response.error, response.log)

    def close(self) -> None:
        """End all environments."""
        self._warm.close()

    def _start(self, function: LambdaFunction, environment: Mapping[str, str]) -> RuntimeEnvironment:
        self._python = self._python or lambda_python()
        return RuntimeEnvironment(
            self._build / function.logical_id,
            function.handler,
            self._python,
            environment,
            self._clock_file,
            layers=[self._build / layer for layer in function.layers],
            name=function.name,
            timeout_seconds=function.timeout_seconds,
            memory_mb=function.memory_mb,
        )


def find_emulator() -> str:
    """Return the emulator that ships with aws-sam-cli."""
    spec = importlib.util.find_spec("samcli")
    if spec is None or spec.origin is None:
        raise RuntimeEnvironmentError(
            "the emulator ships with aws-sam-cli, which is not installed with this Python"
        )
    emulator = Path(spec.origin).parent / "local" / "rapid" / f"aws-lambda-rie-{architecture()}"
    if not sys.platform.startswith("linux") or not emulator.is_file():
        raise RuntimeEnvironmentError(
            f"no emulator for {sys.platform} on {platform.machine()}; `sam local` runs anywhere"
        )
    return str(emulator)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def _end(process: subprocess.Popen[bytes], scratch: str) -> None:
    """End the emulator, the runtime it started in a group of its own, and what the function started."""
    process.kill()
    process.wait()
    deadline = time.monotonic() + END_SECONDS
    # Until none is left: one that is being killed may have just started another.
    while (left := _marked(scratch)) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.001)


def _marked(scratch: str) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{_MARK}={scratch}\0".encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found


def main() -> int:
    """Run from the command line: one JSON response per invocation on stdout, the log on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m rehearsal.runtime.rie",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--artifact", required=True, type=Path, help="folder that `sam build` made")
    parser.add_argument(
        "--layer", action="append", default=[], type=Path, help="folder of a layer; may be repeated"
    )
    parser.add_argument("--handler", required=True, help="module.function")
    parser.add_argument(
        "--event", required=True, action="append", type=Path, help="JSON file; may be repeated"
    )
    parser.add_argument("--env", nargs="+", action="extend", default=[], metavar="NAME=VALUE")
    parser.add_argument(
        "--python", type=Path, help="an interpreter with awslambdaric; default: made when missing"
    )
    parser.add_argument(
        "--repeat", type=int, default=1, metavar="N", help="invocations per event, in one environment"
    )
    parser.add_argument("--timeout", type=int, default=60, metavar="SECONDS", help="the function's")
    arguments = parser.parse_args()
    if wrong := [pair for pair in arguments.env if "=" not in pair]:
        parser.error(f"expected NAME=VALUE, got {' '.join(wrong)}")
    # So that an interrupted run, too, ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    failed = False
    try:
        events = [json.loads(path.read_text()) for path in arguments.event for _ in range(arguments.repeat)]
        with RuntimeEnvironment(
            arguments.artifact,
            arguments.handler,
            arguments.python or lambda_python(),
            dict(pair.split("=", 1) for pair in arguments.env),
            layers=arguments.layer,
            timeout_seconds=arguments.timeout,
        ) as environment:
            for event in events:
                response = environment.invoke(event)
                print(*response.log, sep="\n", file=sys.stderr)
                print(
                    json.dumps(response.reply if response.error is None else {"error": response.error}),
                    flush=True,
                )
                failed = failed or response.error is not None
    except (RuntimeEnvironmentError, LambdaPythonError, OSError, ValueError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
