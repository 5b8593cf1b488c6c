"""One HTTP/1.1 connection to the target, driven by readiness instead of by a greenlet that waits.

::

    send ──▶ opening (a greenlet: name, TCP, TLS) ──▶ busy ──▶ idle ──▶ busy ...
                                                       └─ broken, closed by the server, or aborted: gone

A greenlet for each request costs more than the request. Here the loop calls :meth:`Connection._readable` when
bytes have come, and that feeds them to the parser that ships with Locust's FastHttpUser. No redirect is
followed, as a 3xx is an answer; nothing is sent twice, as a second try hides what became of the first.
"""

import errno
import socket as plain
import ssl
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import gevent  # type: ignore[import-untyped]
from gevent import socket
from gevent import ssl as gevent_ssl
from geventhttpclient._parser import HTTPParseError, HTTPResponseParser

READABLE = 1
_CHUNK_BYTES = 64 * 1024

# A revision's marker is shorter; a value without end must not fill the memory.
MAX_MARKER = 2048

# A new connection does not ask for the address anew while many are opened at once.
_ADDRESS_SECONDS = 5.0


class Answer(HTTPResponseParser):
    """What comes over one connection: one answer after the other."""

    def __init__(self, marker: str | None) -> None:
        super().__init__()
        self._marker_name = marker.lower() if marker else None
        self._name = ""
        self._value = ""
        self._in_value = False
        self.begin(head=False)

    def begin(self, *, head: bool) -> None:
        """Await the next one; that to a HEAD has no body, whatever its headers say."""
        self._head = head
        self.status = 0
        self.marker: str | None = None
        self.body_bytes = 0
        self.begun = False
        self.complete = False
        self.keeps = True

    def _on_message_begin(self) -> None:
        if self.complete:
            # More than was asked for: whatever it is, it answers no later request.
            self.keeps = False
        self.begun = True

    def _on_status(self, text: str) -> None:
        pass

    def _on_header_field(self, text: str) -> None:
        if self._marker_name is None:
            return
        if self._in_value:
            self._keep_header()
        if len(self._name) < MAX_MARKER:
            self._name += text

    def _on_header_value(self, text: str) -> None:
        self._in_value = True
        if len(self._value) < MAX_MARKER:
            self._value += text

    def _keep_header(self) -> None:
        if self._name.lower() == self._marker_name:
            self.marker = self._value if self.marker is None else f"{self.marker}, {self._value}"
        self._name = self._value = ""
        self._in_value = False

    def _on_headers_complete(self) -> bool:
        if self._marker_name is not None:
            self._keep_header()
        return self._head

    def _on_body(self, part: bytes) -> None:
        self.body_bytes += len(part)

    def _on_message_complete(self) -> None:
        if self.get_code() >= 200:
            self.status = self.get_code()
            self.complete = True
            self.keeps = self.keeps and self.should_keep_alive()
        else:
            self.marker = None


class Target:
    """Where connections go."""

    def __init__(self, url: str, timeout: float) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        self.host = parts.hostname
        self.tls = parts.scheme == "https"
        self.port = parts.port or (443 if self.tls else 80)
        self.authority = parts.netloc
        self._timeout = timeout
        self._context = gevent_ssl.create_default_context() if self.tls else None
        self._addresses: list[Any] = []
        self._asked = float("-inf")

    def connect(self) -> Any:
        """Return a new socket, with TLS where that is spoken; raises ``OSError``. Waits."""
        failure: OSError | None = None
        for family, kind, protocol, _, address in self._resolved():
            opened = socket.socket(family, kind, protocol)
            try:
                opened.settimeout(self._timeout)
                opened.setsockopt(plain.IPPROTO_TCP, plain.TCP_NODELAY, 1)
                opened.connect(address)
                if self._context is not None:
                    opened = self._context.wrap_socket(opened, server_hostname=self.host)
                # From here on nobody waits in it.
                opened.settimeout(0.0)
            except OSError as error:
                opened.close()
                failure = failure or error
            except BaseException:
                opened.close()
                raise
            else:
                return opened
        assert failure is not None
        raise failure

    def _resolved(self) -> list[Any]:
        now = time.monotonic()
        if now - self._asked > _ADDRESS_SECONDS:
            self._addresses = socket.getaddrinfo(self.host, self.port, type=plain.SOCK_STREAM)
            self._asked = now
        return self._addresses


_KINDS: tuple[tuple[type[OSError], str], ...] = (
    (ConnectionRefusedError, "connection refused"),
    (ConnectionResetError, "connection reset"),
    (BrokenPipeError, "connection reset"),
    (ssl.SSLError, "TLS"),
    (TimeoutError, "timeout"),
    (plain.gaierror, "no address"),
)


def kind_of(error: OSError) -> str:
    """Return the short and stable name under which an error is counted."""
    for known, kind in _KINDS:
        if isinstance(error, known):
            return kind
    if error.errno in {errno.ENETUNREACH, errno.EHOSTUNREACH}:
        return "unreachable"
    return errno.errorcode.get(error.errno or 0, "other")


class Connection:
    """One connection, and the request that it carries, if any."""

    __slots__ = (
        "_answer",
        "_done",
        "_loop",
        "_on_bytes",
        "_opening",
        "_sending",
        "_socket",
        "_target",
        "_watcher",
        "request",
    )

    def __init__(
        self,
        target: Target,
        marker: str | None,
        on_done: "Callable[[Connection, Any, Answer | None, str], None]",
        on_bytes: Callable[[int], None],
    ) -> None:
        self._target = target
        self._answer = Answer(marker)
        self._done = on_done
        self._on_bytes = on_bytes
        self._loop = gevent.get_hub().loop
        self._socket: Any = None
        self._watcher: Any = None
        self._opening: Any = None
        self._sending: Any = None
        self.request: Any = None
        """Whatever the sender wants to know again when it is answered; ``None`` while idle."""

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    def send(self, request: object, wire: bytes, *, head: bool) -> None:
        """Send a request; ``on_done`` hears of it again, with its answer or with the kind of error."""
        self.request = request
        self._answer.begin(head=head)
        if self._socket is None:
            self._opening = gevent.spawn(self._open, wire)
        else:
            self._push(wire)

    def close(self) -> None:
        """Let go of everything, and of a request without a word about it."""
        self.request = None
        for waiting in (self._opening, self._sending):
            if waiting is not None and waiting is not gevent.getcurrent():
                waiting.kill(block=False)
        self._opening = self._sending = None
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self._watcher = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def fail(self, kind: str) -> None:
        """End the request with an error, and the connection with it."""
        request = self.request
        self.close()
        if request is not None:
            self._done(self, request, None, kind)

    def _open(self, wire: bytes) -> None:
        try:
            opened = self._target.connect()
        except OSError as error:
            self._opening = None
            self.fail(kind_of(error))
            return
        self._opening = None
        self._socket = opened
        self._watcher = self._loop.io(opened.fileno(), READABLE)
        self._watcher.start(self._readable)
        self._push(wire)

    def _push(self, wire: bytes) -> None:
        try:
            sent = self._socket.send(wire)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            sent = 0
        except OSError as error:
            self.fail(kind_of(error))
            return
        if sent < len(wire):
            self._sending = gevent.spawn(self._push_rest, wire[sent:])

    def _push_rest(self, wire: bytes) -> None:
        while wire:
            socket.wait_write(self._socket.fileno())
            try:
                wire = wire[self._socket.send(wire) :]
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                gevent.sleep(0.001)
            except OSError as error:
                self._sending = None
                self.fail(kind_of(error))
                return
        self._sending = None

    def _readable(self) -> None:
        # What TLS has decrypted already makes no descriptor readable.
        while self._read() and self._target.tls:
            pass

    def _read(self) -> bool:
        try:
            data = self._socket.recv(_CHUNK_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError as error:
            self._lose(kind_of(error))
            return False
        if self.request is None:
            # The server has closed an idle connection, or says what nobody asked.
            self._lose("")
            return False
        self._on_bytes(len(data))
        answer = self._answer
        try:
            answer.feed(data)
        except HTTPParseError:
            if not answer.complete:
                self.fail("not HTTP" if data else "cut short")
                return False
            answer.keeps = False
        if answer.complete:
            self._finish(answer, ended=not data)
        elif not data:
            self.fail("cut short" if answer.begun else "no answer")
        return self._socket is not None

    def _lose(self, kind: str) -> None:
        if self.request is not None:
            self.fail(kind)
        else:
            self.close()
            self._done(self, None, None, "")

    def _finish(self, answer: Answer, *, ended: bool) -> None:
        request, self.request = self.request, None
        # An answer before the whole request was sent leaves the rest of it on the way.
        if ended or not answer.keeps or self._sending is not None:
            self.close()
        self._done(self, request, answer, "")
