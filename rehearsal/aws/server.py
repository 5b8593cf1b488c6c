"""The rehearsal's AWS as an HTTP endpoint, for functions that run in a container.

::

    with Cloud() as cloud, Server(cloud) as server:
        env = {"AWS_ENDPOINT_URL": server.url, **cloud.credentials("ManualApprovalFunctionRole")}

It shows the state of the cloud in this process, which goes on being usable beside it.
"""

import io
import socket
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Self

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server
from werkzeug.wrappers import Request

from rehearsal.aws.call import AwsError, Call, Response
from rehearsal.aws.cloud import Cloud
from rehearsal.aws.door import Door

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

LOOPBACK = "127.0.0.1"
# What serves the rehearsal's requests must be gone before the next run; it has nothing long to do.
_STOP_SECONDS = 10


class Server:
    """An HTTP endpoint in a thread of its own.

    Parameters
    ----------
    host
        The address to listen on. Anything but loopback lets other machines in, as containers need
        that reach the host through a bridge (``"0.0.0.0"``).
    port
        0 lets the system choose.
    """

    def __init__(self, cloud: Cloud, host: str = LOOPBACK, port: int = 0) -> None:
        self._application = _Application(cloud.door)
        self._host = host
        self._port = port
        self._server: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port it listens on."""
        if self._server is None:
            raise RuntimeError("the server is not running")
        return self._server.port

    @property
    def url(self) -> str:
        """The value for ``AWS_ENDPOINT_URL`` on this machine."""
        host = LOOPBACK if self._host in ("0.0.0.0", "::") else self._host  # noqa: S104 - compared, not bound
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    def __enter__(self) -> Self:
        # Bound here and not by werkzeug, which ends the process when the port is taken.
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        with socket.create_server((self._host, self._port), family=family) as listening:
            self._server = make_server(
                self._host,
                listening.getsockname()[1],
                self._application,
                threaded=True,
                request_handler=_QuietHandler,
                fd=listening.fileno(),
            )
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="aws", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join(_STOP_SECONDS)
        self._server.server_close()
        self._server = self._thread = None


class _QuietHandler(MotoRequestHandler):
    """Log nothing: the rehearsal's own timeline says what was called."""

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
        """Drop the line."""


class _Application:
    """The door as a WSGI application, with moto's behind it."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        request = Request(environ)
        body = request.get_data(cache=False, parse_form_data=False)
        # moto reads the body again.
        environ["wsgi.input"] = io.BytesIO(body)
        layer = self._hung_up_on(environ, lambda: self._door.download(request.method, request.url))
        if layer is not None:
            return _respond(layer, start_response)
        call = self._door.read(request.method, request.url, request.headers, body)
        if call is None:
            return self._from_moto(environ, start_response)
        answer = self._guarded(environ, call, lambda: self._door.admit(call))
        if answer is not None:
            return _respond(self._dismissed(environ, call, answer), start_response)
        told: list[Any] = []
        payload = self._from_moto(environ, lambda *head: told.extend(head))
        status, headers = int(told[0].partition(" ")[0]), dict(told[1])
        answer = status, headers, b"".join(payload)
        given = self._dismissed(environ, call, answer)
        if given is not answer:
            return _respond(given, start_response)
        start_response(*told)
        return payload

    def _dismissed(self, environ: "WSGIEnvironment", call: Call, answer: Response) -> Response:
        return self._guarded(environ, call, lambda: self._door.dismiss(call, answer)) or answer

    def _from_moto(self, environ: "WSGIEnvironment", start_response: Any) -> Iterable[bytes]:
        with self._door.lock:
            # Consumed here: a generator would go on working after the lock is free.
            return list(self._moto(environ, start_response))

    def _guarded(
        self, environ: "WSGIEnvironment", call: Call, answer: Callable[[], Response | None]
    ) -> Response | None:
        """Turn an injected failure of the connection into one, and a defect into an answer."""
        try:
            return self._hung_up_on(environ, answer)
        except Exception as error:
            if not any(error is defect for defect in self._door.defects):
                raise
            return call.refuse(AwsError("InternalFailure", f"{type(error).__name__}: {error}", 500))

    def _hung_up_on(
        self, environ: "WSGIEnvironment", answer: Callable[[], Response | None]
    ) -> Response | None:
        """End the connection where a fault was injected into it."""
        try:
            return answer()
        except BaseException as error:
            if any(error is defect for defect in self._door.defects):
                raise
            _hang_up(environ)
            raise ConnectionAbortedError("a fault was injected here") from error


def _respond(answer: Response, start_response: "StartResponse") -> Iterable[bytes]:
    status, headers, body = answer
    payload = body.encode() if isinstance(body, str) else body
    start_response(
        f"{status} {'OK' if status < 400 else 'Error'}",
        [*headers.items(), ("Content-Length", str(len(payload)))],
    )
    return [payload]


def _hang_up(environ: "WSGIEnvironment") -> None:
    connection = environ.get("werkzeug.socket")
    if isinstance(connection, socket.socket):
        connection.shutdown(socket.SHUT_RDWR)
