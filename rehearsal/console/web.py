"""HTTP on the loopback interface: requests and responses as values, and a server for whoever answers them.

A request is kept as it came, with its target still percent-encoded and each header by itself, for API Gateway
reads both in its own way (``rehearsal.console.gateway``). Each connection carries one request.
"""

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Self

LOOPBACK = "127.0.0.1"

# A browser that keeps a connection in store and sends nothing on it does not keep a thread for longer.
IDLE_SECONDS = 20

_STOP_SECONDS = 10
_LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An HTTP request."""

    method: str
    target: str
    """Path and query as they stand in the request line, percent-encoded."""
    headers: tuple[tuple[str, str], ...] = ()
    """In their order; a name may come twice."""
    body: bytes = b""
    source_ip: str = LOOPBACK

    @property
    def path(self) -> str:
        """Percent-encoded."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    def header(self, name: str) -> str:
        """Return the values of a header with commas between them; empty where there is none."""
        return ",".join(value for key, value in self.headers if key.lower() == name.lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An HTTP response."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)

    def header(self, name: str) -> str:
        """Return the first value of a header; empty where there is none."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")


Answer = Callable[[Request], Response]


class LoopbackServer:
    """Serves on the loopback interface, to this machine alone, in threads of its own.

    It listens from the start, so that its address is known before anybody answers::

        server = LoopbackServer(answer)
        tell(server.url)
        with server:
            ...

    Parameters
    ----------
    name
        What the address calls this machine. To browsers ``localhost`` and ``127.0.0.1`` are different sites.
    port
        0 lets the system choose.
    max_body_bytes
        A request that brings more is answered with 413, unread.

    Raises
    ------
    OSError
        When the port is taken.
    """

    def __init__(
        self, answer: Answer, *, name: str = LOOPBACK, port: int = 0, max_body_bytes: int = 1_000_000
    ) -> None:
        self._server = _Server((LOOPBACK, port), _Handler)
        self._server.answer = answer
        self._server.max_body_bytes = max_body_bytes
        self.port: int = self._server.server_address[1]
        self.url = f"http://{name}:{self.port}"
        # A page elsewhere that gives its own name this address (DNS rebinding) must not be let in: here
        # anybody may become anybody.
        self._server.url = self.url
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_LOOK_SECONDS,), name=f"port {self.port}", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join(_STOP_SECONDS)
            self._thread = None
        self.close()

    def close(self) -> None:
        """Give the port back."""
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    answer: Answer
    max_body_bytes: int
    url: str

    def server_bind(self) -> None:
        """Leave out the look-up of this machine's name, for which a laptop without network waits."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = LOOPBACK, self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of browsers that hang up."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    server: _Server

    def _answer(self) -> None:
        self.close_connection = True
        refusal, body = self._body()
        response = refusal or self.server.answer(
            Request(
                method=self.command,
                # Not self.path, which has lost a slash where there were two.
                target=self.requestline.split(" ")[1],
                headers=tuple(self.headers.items()),
                body=body,
                source_ip=self.client_address[0],
            )
        )
        self.send_response(response.status)
        for name, value in response.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(response.body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    # http.server looks for a method by the request's.
    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _answer  # noqa: N815

    def _body(self) -> tuple[Response | None, bytes]:
        """Read the body, or say why it can't be."""
        if f"http://{self.headers.get('Host', '')}" != self.server.url:
            return text_response(HTTPStatus.MISDIRECTED_REQUEST, f"this server is at {self.server.url}"), b""
        if not self.requestline.split(" ")[1].startswith("/"):
            return text_response(HTTPStatus.BAD_REQUEST, "expected a path"), b""
        if "Transfer-Encoding" in self.headers:
            return text_response(HTTPStatus.LENGTH_REQUIRED, "a body needs a Content-Length"), b""
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal():
            return text_response(HTTPStatus.BAD_REQUEST, "Content-Length is no number"), b""
        if int(length) > self.server.max_body_bytes:
            return text_response(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is too long"), b""
        return None, self.rfile.read(int(length))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Log nothing: what is called says so itself."""

    def version_string(self) -> str:
        return "rehearsal"


def text_response(status: HTTPStatus, text: str) -> Response:
    return Response(
        status=status, headers=(("Content-Type", "text/plain; charset=utf-8"),), body=f"{text}\n".encode()
    )
