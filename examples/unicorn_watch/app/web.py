"""The web services of Unicorn Watch: ui, catalog and streaming, behind a load balancer or Service Connect.

::

    ui         GET /frontend/...
    catalog    GET /catalog/unicorns                all of them
               GET /catalog/unicorns/7              one of them
    streaming  GET /streaming/NAME?segments=10      a chunked answer, a segment at a time
    all        GET /health

Every answer names the revision that gave it, in headers and, where it is JSON, in its body::

    x-revision: catalog:42                   family and revision of the task definition
    x-version: 1.0.0
    {"service": "catalog", "version": "1.0.0", "revision": "catalog:42", ...}

``MISBEHAVE`` makes a version that a deployment should not get away with:

=========== ===============================================================
``errors``   ``ERROR_SHARE`` of the requests are answered with 500
``latency``  each request takes ``LATENCY_SECONDS`` longer
``poison``   each request is answered with 500
=========== ===============================================================

With ``MISBEHAVE_PATH`` only requests whose path begins so have the fault. /health never has it: what a health
check finds, the circuit breaker ends before any hook is asked.
"""

import json
import logging
import os
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import gevent
import gevent.event
from activation_gate import log_as_json
from flask import Flask, Response, request
from gevent.pywsgi import WSGIServer
from werkzeug.exceptions import HTTPException
from werkzeug.wsgi import ClosingIterator

UNICORNS = ("Comet", "Juniper", "Saffron", "Thistle", "Willow", "Zephyr", "Bramble", "Aurora")

# Less than the 30 s that ECS gives a container by default (stopTimeout), from SIGTERM until SIGKILL.
DRAIN_SECONDS = 25.0

METADATA_SECONDS = 2.0
METADATA_ATTEMPTS = 5
MAX_METADATA_BYTES = 1024 * 1024

SEGMENT_SECONDS = 0.05
DEFAULT_SEGMENTS = 10
MAX_SEGMENTS = 600

MAX_LOGGED_PATH = 256

logger = logging.getLogger("web")


@dataclass(frozen=True)
class Identity:
    """Who answers."""

    service: str
    version: str
    revision: str
    """FAMILY:REVISION of the task definition."""


class Fault:
    """What is wrong with this version, if anything is."""

    KINDS = ("errors", "latency", "poison")

    def __init__(
        self, kind: str = "", *, share: float = 0.5, latency_seconds: float = 5.0, path: str = "/"
    ) -> None:
        if kind not in {"", *self.KINDS}:
            raise ValueError(f"MISBEHAVE is {kind!r}; expected {', '.join(self.KINDS)} or nothing")
        if not 0 <= share <= 1:
            raise ValueError(f"ERROR_SHARE is {share:g}; expected a share from 0 to 1")
        if not 0 <= latency_seconds <= 3600:
            raise ValueError(f"LATENCY_SECONDS is {latency_seconds:g}; expected 0 to 3600")
        self.kind = kind
        self._share = {"errors": share, "poison": 1.0}.get(kind, 0.0)
        self._latency_seconds = latency_seconds if kind == "latency" else 0.0
        self._path = path
        self._number = 0

    def meets(self, path: str) -> tuple[float, bool]:
        """Return how many seconds longer a request takes, and whether it fails; those are spread evenly."""
        if path == "/health" or not path.startswith(self._path):
            return 0.0, False
        self._number += 1
        due = int(self._number * self._share + 1e-9) > int((self._number - 1) * self._share + 1e-9)
        return self._latency_seconds, due


class InHand:
    """The requests that are being answered: counted, logged, and waited for at the end."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application = application
        self._number = 0
        self._none = gevent.event.Event()
        self._none.set()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        began = time.monotonic()
        seen = {"status": 500}
        self._number += 1
        self._none.clear()

        def start(status: str, headers: list[tuple[str, str]], *rest: object) -> Any:
            seen["status"] = int(status[:3])
            return start_response(status, headers, *rest)

        def end() -> None:
            self._number -= 1
            if not self._number:
                self._none.set()
            self._log(environ, seen["status"], time.monotonic() - began)

        # The server closes an answer when all of it is sent, and also when its client has left.
        try:
            return ClosingIterator(self._application(environ, start), end)
        except BaseException:
            end()
            raise

    def wait(self, seconds: float) -> bool:
        """Wait until there are none; returns whether that came to pass."""
        return bool(self._none.wait(seconds))

    @staticmethod
    def _log(environ: dict[str, Any], status: int, seconds: float) -> None:
        path = str(environ.get("PATH_INFO", ""))
        if path == "/health" and status == 200:
            return
        logger.info(
            "request",
            extra={
                "method": environ.get("REQUEST_METHOD"),
                "path": path[:MAX_LOGGED_PATH],
                "status": status,
                "seconds": round(seconds, 6),
                "test": "HTTP_X_BG_TEST" in environ,
            },
        )


def application(identity: Identity, fault: Fault) -> Flask:
    """Return the routes of a service."""
    app = Flask(identity.service, static_folder=None)
    who = {"service": identity.service, "version": identity.version, "revision": identity.revision}

    @app.before_request
    def misbehave() -> tuple[dict[str, Any], int] | None:
        seconds, fails = fault.meets(request.path)
        if seconds:
            gevent.sleep(seconds)
        return ({**who, "error": "this version has a fault"}, 500) if fails else None

    @app.after_request
    def name_revision(response: Response) -> Response:
        response.headers["x-revision"] = identity.revision
        response.headers["x-version"] = identity.version
        return response

    @app.errorhandler(HTTPException)
    def refuse(error: HTTPException) -> tuple[dict[str, Any], int]:
        return {**who, "error": error.name}, error.code or 500

    @app.get("/health")
    def health() -> dict[str, Any]:
        return who

    {"ui": _add_ui, "catalog": _add_catalog, "streaming": _add_streaming}[identity.service](app, who)
    return app


def _add_ui(app: Flask, who: dict[str, str]) -> None:
    @app.get("/frontend/")
    @app.get("/frontend/<path:page>")
    def page(page: str = "home") -> dict[str, Any]:
        return {**who, "page": page}


def _add_catalog(app: Flask, who: dict[str, str]) -> None:
    @app.get("/catalog/")
    @app.get("/catalog/unicorns")
    def unicorns() -> dict[str, Any]:
        return {**who, "unicorns": list(UNICORNS)}

    names = {str(number): name for number, name in enumerate(UNICORNS, start=1)}

    @app.get("/catalog/unicorns/<number>")
    def unicorn(number: str) -> tuple[dict[str, Any], int]:
        # As text: nobody's thousand digits are ever a number here.
        if number not in names:
            return {**who, "error": "no such unicorn"}, 404
        return {**who, "unicorn": names[number]}, 200


def _add_streaming(app: Flask, who: dict[str, str]) -> None:
    @app.get("/streaming/<name>")
    def stream(name: str) -> Response:
        asked = request.args.get("segments", default=DEFAULT_SEGMENTS, type=int)
        segments = min(max(asked, 1), MAX_SEGMENTS)

        def lines() -> Iterator[str]:
            for number in range(1, segments + 1):
                yield json.dumps({**who, "stream": name, "segment": number, "of": segments}) + "\n"
                gevent.sleep(SEGMENT_SECONDS)

        return Response(lines(), mimetype="application/x-ndjson")


def revision() -> str:
    """Return FAMILY:REVISION, from ``REVISION`` or else from ECS.

    Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4-response.html
    """
    if given := os.environ.get("REVISION"):
        return given
    endpoint = os.environ.get("ECS_CONTAINER_METADATA_URI_V4")
    if not endpoint:
        sys.exit(
            "neither REVISION nor ECS_CONTAINER_METADATA_URI_V4 is set; expected REVISION=FAMILY:REVISION"
        )
    for attempt in range(1, METADATA_ATTEMPTS + 1):
        try:
            # The address is the agent's own, from the environment that ECS makes.
            with urllib.request.urlopen(f"{endpoint}/task", timeout=METADATA_SECONDS) as answer:  # noqa: S310
                task = json.loads(answer.read(MAX_METADATA_BYTES))
            return f"{task['Family']}:{task['Revision']}"
        except urllib.error.HTTPError as error:
            error.close()
            problem = f"status {error.code}"
        except (OSError, ValueError, KeyError, TypeError) as error:
            problem = repr(error)
        if attempt < METADATA_ATTEMPTS:
            time.sleep(attempt / 10)
    # A revision that can't be told would be no revision to the load test; ECS starts another task.
    sys.exit(f"the task metadata endpoint does not tell family and revision: {problem}")


def fault() -> Fault:
    """Return the fault that the environment names."""
    try:
        return Fault(
            os.environ.get("MISBEHAVE", ""),
            share=float(os.environ.get("ERROR_SHARE", "0.5")),
            latency_seconds=float(os.environ.get("LATENCY_SECONDS", "5")),
            path=os.environ.get("MISBEHAVE_PATH", "/"),
        )
    except ValueError as error:
        sys.exit(str(error))


def main(service: str) -> int:
    """Serve until SIGTERM or SIGINT; returns 0 when every request that was in hand has been answered."""
    identity = Identity(service, os.environ.get("VERSION", "1.0.0"), revision())
    seconds = float(os.environ.get("DRAIN_SECONDS", DRAIN_SECONDS))
    in_hand = InHand(application(identity, fault()))
    log_as_json(service=identity.service, version=identity.version, revision=identity.revision)
    stop = gevent.event.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, stop.set)
    server = WSGIServer(
        (os.environ.get("HOST", "0.0.0.0"), int(os.environ.get("PORT", "8080"))),  # noqa: S104  # in a container
        in_hand,
        log=None,
        error_log=logger,
    )
    server.init_socket()
    # Accepted connections have it from this one. Without it the second packet of an answer would wait for the
    # first one's acknowledgement, which clients delay by 40 ms.
    server.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server.start()
    logger.info("listening", extra={"port": server.server_port})
    stop.wait()
    server.close()
    drained = in_hand.wait(seconds)
    logger.info("ended" if drained else f"ended with requests in hand after {seconds:g} s")
    return 0 if drained else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("SERVICE", "")))
