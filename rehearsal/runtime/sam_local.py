"""Artifacts in Lambda's own container, through ``sam local start-lambda``.

As near to Lambda as a laptop gets: the base image's operating system and libraries, memory limits, and
code that can't be written to. It has the real time only: virtual time does not reach a container.

A container's ``127.0.0.1`` is the container itself, so an endpoint on this machine is passed on as
``host.docker.internal``, and on Linux the traffic is let through to loopback; ``sam_local_image.sh`` does
that, and gets the image. ``sam_local_image.sh --stop`` takes both back.
"""

# every command line is put together here, none by a caller

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from rehearsal.runtime import Invocation, LambdaFunction, architecture
from rehearsal.runtime.sam_template import local_template
from rehearsal.runtime.warm import WarmFunctions

HOST = "host.docker.internal"
LOOPBACK = frozenset({"127.0.0.1", "localhost"})
IMAGE_SCRIPT = Path(__file__).with_name("sam_local_image.sh")

START_SECONDS = 60
STOP_SECONDS = 30

# Installing an engine and building the image, each of which has limits of its own in the script.
PREPARE_SECONDS = 1800

# The first invocation also makes an image of the base image and the emulator.
GRACE_SECONDS = 120

# SAM takes these from its own environment, as it would a developer's; a template may not declare them.
CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


class SamLocalError(Exception):
    """`sam local` is not there or does not start; the text says why."""


class SamLocal:
    """Runs functions with `sam local`: one server per function, its container kept warm."""

    def __init__(self, build: Path) -> None:
        """Say where the artifacts and the built template are: ``.aws-sam/build``."""
        self._build = build
        self._prepared = False
        self._warm = WarmFunctions(self._start)

    def invoke(
        self, function: LambdaFunction, event: Mapping[str, Any], environment: Mapping[str, str]
    ) -> Invocation:
        """Invoke a function. One invocation at a time; another waits for its turn."""
        with self._warm.turn(function, environment) as server:
            return server.invoke(event)

    def close(self) -> None:
        """End all servers and their containers. The Docker engine and the image stay."""
        self._warm.close()

    def _start(self, function: LambdaFunction, environment: Mapping[str, str]) -> "SamLocalServer":
        if not self._prepared:
            prepare()
            self._prepared = True
        return SamLocalServer(self._build / "template.yaml", function, environment)


class SamLocalServer:
    """``sam local start-lambda`` for one function. Started by ``with``."""

    def __init__(self, template: Path, function: LambdaFunction, environment: Mapping[str, str]) -> None:
        self._template = template.resolve()
        self._function = function
        self._environment = environment
        self._cleanup = contextlib.ExitStack()
        self._port = 0
        self._log = Path()

    def __enter__(self) -> Self:
        if not self._template.is_file():
            raise SamLocalError(f"no built template at {self._template}; `sam build` makes it")
        with self._cleanup:
            scratch = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="sam-local-")))
            template = scratch / "template.json"
            template.write_text(
                local_template(self._template, {self._function.logical_id: self._function.layers})
            )
            variables = scratch / "variables.json"
            variables.write_text(json.dumps({"Parameters": container_variables(self._environment)}))
            self._log = scratch / "log"
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self._port = free.getsockname()[1]
            out = self._cleanup.enter_context(self._log.open("wb"))
            process = subprocess.Popen(
                [
                    *(find_sam(), "local", "start-lambda", self._function.logical_id),
                    *("--template", str(template), "--port", str(self._port)),
                    *("--env-vars", str(variables), "--warm-containers", "LAZY", "--skip-pull-image"),
                    *("--add-host", f"{HOST}:host-gateway"),
                    *("--parameter-overrides", f"Architecture={architecture()}"),
                ],
                # A folder without samconfig.toml: what it says is for people at the keyboard.
                cwd=scratch,
                env={
                    **os.environ,
                    "SAM_CLI_TELEMETRY": "0",
                    **credentials(self._environment),
                    **account_endpoint(self._environment),
                },
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
            self._cleanup.callback(_end, process)
            self._wait(process)
            self._cleanup = self._cleanup.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    def invoke(self, event: Mapping[str, Any]) -> Invocation:
        """Send *event* and wait for the reply. A failure of the function is in what is returned."""
        logged = self._log.stat().st_size
        connection = http.client.HTTPConnection(
            "127.0.0.1", self._port, timeout=self._function.timeout_seconds + GRACE_SECONDS
        )
        try:
            connection.request(
                "POST", f"/2015-03-31/functions/{self._function.logical_id}/invocations", json.dumps(event)
            )
            response = connection.getresponse()
            body, failed = response.read().decode(), response.getheader("X-Amz-Function-Error")
        except (OSError, http.client.HTTPException) as error:
            return Invocation(
                error=f"no response: {type(error).__name__}: {error}", log_lines=self._since(logged)
            )
        finally:
            connection.close()
        lines = self._since(logged)
        if failed or response.status != http.HTTPStatus.OK:
            return Invocation(error=body, log_lines=lines)
        try:
            return Invocation(reply=json.loads(body), log_lines=lines)
        except ValueError:
            # Such as the emulator's word that the function timed out.
            return Invocation(error=body or "no reply", log_lines=lines)

    def _since(self, offset: int) -> list[str]:
        with self._log.open("rb") as log:
            log.seek(offset)
            return log.read().decode(errors="replace").splitlines()

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1):
                return
            if process.poll() is not None or time.monotonic() > deadline:
                raise SamLocalError(f"sam local did not start:\n{self._log.read_text(errors='replace')}")
            time.sleep(0.05)


def prepare() -> None:
    """See to it that a Docker engine answers and has the image, and that containers reach this machine."""
    if not sys.platform.startswith("linux"):
        # Docker Desktop has an engine, gets images by itself, and passes host.docker.internal to loopback.
        return
    try:
        result = subprocess.run(
            [str(IMAGE_SCRIPT), "--loopback"],
            capture_output=True,
            text=True,
            check=False,
            timeout=PREPARE_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise SamLocalError(f"no Docker engine after {PREPARE_SECONDS} s: {error.stderr!r}") from error
    if result.returncode:
        raise SamLocalError(result.stderr.strip())


def find_sam() -> str:
    """Return the `sam` that is installed with this Python, or the one on PATH."""
    own = Path(sys.executable).with_name("sam")
    sam = str(own) if own.is_file() else shutil.which("sam")
    if not sam:
        raise SamLocalError("found no sam: install aws-sam-cli with this Python, or put it on PATH")
    return sam


def container_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables as a container can use them."""
    variables = {name: value for name, value in environment.items() if name not in CREDENTIALS}
    for name, value in variables.items():
        url = urlsplit(value) if name.startswith("AWS_ENDPOINT_URL") else None
        if url and url.hostname in LOOPBACK:
            variables[name] = url._replace(netloc=url.netloc.replace(url.hostname, HOST)).geturl()
    return variables


def account_endpoint(environment: Mapping[str, str]) -> dict[str, str]:
    """Return where SAM can ask whose account it is; where nobody answers it asks for many seconds."""
    endpoint = environment.get("AWS_ENDPOINT_URL")
    return {"AWS_ENDPOINT_URL_STS": endpoint} if endpoint else {}


def credentials(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the function's credentials, or meaningless ones: never those of the person at the keyboard."""
    given = {name: environment[name] for name in CREDENTIALS if name in environment}
    region = environment.get("AWS_REGION", "us-east-1")
    nothing = dict.fromkeys(CREDENTIALS, "test")
    return {"AWS_REGION": region, "AWS_DEFAULT_REGION": region, **(given or nothing)}


def _end(process: subprocess.Popen[bytes]) -> None:
    # As Ctrl-C does: SAM then removes its containers.
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
