"""What runs in the processes of a loopback: a colour that answers, and the router before both.

::

    python -I -S program.py '{"port": ..., "colour": "green", "behaviour": {...}, ...}'    ─▶  ready
                                standard input: a change of it, as a line of JSON          ─▶  ready

Run by its path, without any of the project's or the environment's packages: a colour is there at once, and
waits for nobody's interpreter. It ends when its standard input does.
"""

import asyncio
import json
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

LOOPBACK = "127.0.0.1"

Colour = Literal["blue", "green"]
REVISIONS: Mapping[Colour, str] = {"blue": "catalog:41", "green": "catalog:42"}

# What Behaviour.wrong_revision answers with: neither of the two.
OTHER_REVISION = "catalog:40"

MAX_HEAD_BYTES = 16 * 1024
MAX_BODY_BYTES = 1024 * 1024
MAX_ANSWER_BYTES = 64 * 1024 * 1024

_START_LINE = re.compile(rb"([A-Z]{1,16}) ([\x21-\x7e]+) HTTP/1\.([01])")
_CONNECTION = re.compile(rb"\r\nconnection:[^\r]*", re.IGNORECASE)
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    413: "Content Too Large",
    503: "Service Unavailable",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How one colour answers. Shares are from 0 to 1, and evenly spread: the same ones each time."""

    revision: str | None = None
    """What the marker says; ``None``: the colour's own."""
    marker: bool = True
    """Whether answers say which revision they are from."""
    wrong_revision: float = 0.0
    """Share of the answers that say they are from another revision."""
    latency_seconds: float = 0.0
    slow: tuple[float, float] | None = None
    """A share of the requests, and how many seconds these take instead."""
    errors: float = 0.0
    """Share answered with status 503."""
    stall: tuple[float, float] | None = None
    """Nothing is answered for the last so many seconds of every so many."""
    body_bytes: int = 16
    keep_alive: bool = True
    refuse: bool = False
    """No connection is taken, and those that are open end."""


def bound(port: int) -> socket.socket:
    """Return a socket bound to a port that another one of ours may be bound to."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    one.bind((LOOPBACK, port))
    return one


class _Request(NamedTuple):
    whole: bytes
    """All its bytes, without what is said of the connection."""
    method: str
    path: str
    headers: Mapping[bytes, bytes]
    keep_alive: bool

    def has(self, header: Sequence[str | None]) -> bool:
        name, value = header
        assert name is not None
        found = self.headers.get(name.lower().encode())
        return found is not None and (value is None or found == value.encode())


class _Unreadable(ValueError):
    def __init__(self, status: int) -> None:
        self.status = status


def _headers(head: bytes) -> dict[bytes, bytes]:
    pairs = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    return {name.lower(): value.strip() for name, _, value in pairs}


def _length(headers: Mapping[bytes, bytes], longest: int) -> int:
    text = headers.get(b"content-length", b"0")
    if b"transfer-encoding" in headers or not text.isdigit():
        raise _Unreadable(400)
    if len(text) > 12 or int(text) > longest:
        raise _Unreadable(413)
    return int(text)


def _take_request(buffer: bytearray) -> _Request | None:
    """Take one whole request off the buffer; raises :class:`_Unreadable` for what is none."""
    end = buffer.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES)
    if end < 0:
        if len(buffer) >= MAX_HEAD_BYTES:
            raise _Unreadable(413)
        return None
    head = bytes(buffer[:end])
    if not (start := _START_LINE.fullmatch(head.partition(b"\r\n")[0])):
        raise _Unreadable(400)
    headers = _headers(head)
    until = end + 4 + _length(headers, MAX_BODY_BYTES)
    if len(buffer) < until:
        return None
    body = bytes(buffer[end:until])
    del buffer[:until]
    connection = headers.get(b"connection", b"").lower()
    method, path, minor = start.groups()
    return _Request(
        whole=(_CONNECTION.sub(b"", head) if connection else head) + body,
        method=method.decode(),
        path=path.decode(),
        headers=headers,
        keep_alive=minor == b"1" and connection != b"close",
    )


def _answer(status: int, body: bytes, headers: str = "", *, with_body: bool = True) -> bytes:
    headers = f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n{headers}"
    return f"HTTP/1.1 {status} {_REASONS[status]}\r\n{headers}\r\n".encode() + (body if with_body else b"")


class _Requests(asyncio.Protocol):
    """The requests of one connection, one after the other. asyncio has set TCP_NODELAY."""

    def __init__(self, ask: Callable[[_Request, "_Requests"], None], open_ones: set["_Requests"]) -> None:
        self._ask = ask
        self._open_ones = open_ones
        self._buffer = bytearray()
        self._asked: _Request | None = None
        self.transport: asyncio.Transport
        self.on_lost: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._open_ones.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._open_ones.discard(self)
        if self.on_lost is not None:
            self.on_lost()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._asked is None:
            self._next()
        elif len(self._buffer) > MAX_HEAD_BYTES + MAX_BODY_BYTES:
            self.transport.abort()

    def answer(self, payload: bytes, *, last: bool = False) -> None:
        """Answer the request that was asked last."""
        asked, self._asked, self.on_lost = self._asked, None, None
        if self.transport.is_closing():
            return
        self.transport.write(payload)
        if asked is None or last or not asked.keep_alive:
            self.transport.close()
        elif self._buffer:
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        try:
            request = None if self.transport.is_closing() else _take_request(self._buffer)
        except _Unreadable as error:
            self.answer(_answer(error.status, b"", "Connection: close\r\n"))
            return
        if request is not None:
            self._asked = request
            self._ask(request, self)


def _nth(number: int, share: float) -> bool:
    """Tell whether the number-th, from 1, is one of a share that is spread evenly."""
    return int(number * share + 1e-9) > int((number - 1) * share + 1e-9)


class _Server:
    """A colour."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._colour: Colour = settings["colour"]
        self._header: Sequence[str | None] = settings["header"]
        self._marker: str = settings["marker"]
        self._port: int = settings["port"]
        self._log: int = settings["log"]
        self._listening: asyncio.Server | None = None
        self._connections: set[_Requests] = set()
        self._behaviour = Behaviour()
        self._since = 0.0
        self._number = 0

    async def change(self, change: Mapping[str, Any]) -> None:
        self._behaviour = Behaviour(**change["behaviour"])
        self._since = time.monotonic()
        self._number = 0
        if self._behaviour.refuse and self._listening is not None:
            self._listening.close()
            self._listening = None
            for connection in tuple(self._connections):
                connection.transport.abort()
        if not self._behaviour.refuse and self._listening is None:
            self._listening = await _listen(self._port, lambda: _Requests(self._ask, self._connections))

    def _ask(self, request: _Request, connection: _Requests) -> None:
        self._number += 1
        arrived = time.monotonic()
        due = self._due(arrived)
        number, behaviour = self._number, self._behaviour
        if due <= arrived:
            self._respond(request, connection, behaviour, number, arrived)
            return
        waiting = asyncio.get_running_loop().call_at(
            due, self._respond, request, connection, behaviour, number, arrived
        )
        connection.on_lost = waiting.cancel

    def _due(self, arrived: float) -> float:
        """Return when a request is answered: the event loop's clock is ``time.monotonic`` too."""
        seconds = self._behaviour.latency_seconds
        if self._behaviour.slow is not None and _nth(self._number, self._behaviour.slow[0]):
            seconds = self._behaviour.slow[1]
        return self._awake(self._awake(arrived) + seconds)

    def _awake(self, moment: float) -> float:
        """Return the end of the stall that a moment falls into, or the moment."""
        if self._behaviour.stall is None:
            return moment
        length, every = self._behaviour.stall
        into = (moment - self._since) % every
        return moment if into < every - length else moment + every - into

    def _respond(
        self, request: _Request, connection: _Requests, behaviour: Behaviour, number: int, arrived: float
    ) -> None:
        status = 503 if _nth(number, behaviour.errors) else 200
        revision = behaviour.revision or REVISIONS[self._colour]
        if _nth(number, behaviour.wrong_revision):
            revision = OTHER_REVISION
        headers = f"{self._marker}: {revision}\r\n" if behaviour.marker else ""
        if not (behaviour.keep_alive and request.keep_alive):
            headers += "Connection: close\r\n"
        body = b"." * behaviour.body_bytes
        payload = _answer(status, body, headers, with_body=request.method != "HEAD")
        marked = request.has(self._header)
        line = f"{arrived:.6f} {time.monotonic():.6f} {status} {marked:d} {request.method} {request.path}\n"
        # First, for whoever has the answer looks for it in the log.
        os.write(self._log, line.encode())
        connection.answer(payload, last=not behaviour.keep_alive)


class _Router:
    """Service Connect's proxy, or a load balancer with a rule for tests.

    With ``listener`` among its settings it logs as ``front_log`` reads.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._header: Sequence[str | None] = settings["header"]
        self._port: int = settings["port"]
        self._prefix: str = settings.get("prefix", "/")
        self._listener: str | None = settings.get("listener")
        self._log: int = settings["log"]
        # By whether the request asks for green: without a word on it, green has all that do.
        self._weights = {False: 0.0, True: settings.get("test_weight", 100.0)}
        self._numbers = {False: 0, True: 0}
        self._upstreams = {colour: _Upstream(port) for colour, port in settings["ports"].items()}
        self._listening: asyncio.Server | None = None
        self._connections: set[_Requests] = set()

    async def change(self, change: Mapping[str, Any]) -> None:
        for marked, key in ((False, "weight"), (True, "test_weight")):
            if key in change:
                self._weights[marked] = change[key]
                self._numbers[marked] = 0
        if self._listening is None:
            self._listening = await _listen(self._port, lambda: _Requests(self._ask, self._connections))

    def _ask(self, request: _Request, connection: _Requests) -> None:
        if not request.path.startswith(self._prefix):
            connection.answer(_answer(404, b"no rule"))
            return
        marked = request.has(self._header)
        self._numbers[marked] += 1
        colour = "green" if _nth(self._numbers[marked], self._weights[marked] / 100) else "blue"
        asked = time.monotonic()

        def note(status: int, ended: str) -> None:
            if self._listener is not None:
                took = round((time.monotonic() - asked) * 1000) if ended == "--" else -1
                over = time.time_ns() // 1_000_000
                line = f"request {over} {self._listener} {colour} {status} {took} {ended}\n"
                os.write(self._log, line.encode())

        self._upstreams[colour].ask(request, connection, note)


# Told the status of an answer, and how it came: -- from the target, SC without a connection to it, SH without
# an answer of it.
_Note = Callable[[int, str], None]


class _Upstream:
    """A colour as the router sees it: connections that are kept, as many as there are requests at once."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[_Forwarding] = []
        self._opening: set[asyncio.Task[None]] = set()

    def ask(self, request: _Request, client: _Requests, note: _Note) -> None:
        while self._idle:
            forwarding = self._idle.pop()
            if not forwarding.transport.is_closing():
                forwarding.send(request, client, note)
                return
        opening = asyncio.get_running_loop().create_task(self._open(request, client, note))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    async def _open(self, request: _Request, client: _Requests, note: _Note) -> None:
        try:
            _, forwarding = await asyncio.get_running_loop().create_connection(
                lambda: _Forwarding(self._idle), LOOPBACK, self._port
            )
        except OSError:
            note(503, "SC")
            client.answer(_unavailable("connection failure"))
            return
        if client.transport.is_closing():
            forwarding.transport.abort()
        else:
            forwarding.send(request, client, note)


class _Forwarding(asyncio.Protocol):
    """A connection to a colour: one request at a time."""

    def __init__(self, idle: list["_Forwarding"]) -> None:
        self._idle = idle
        self._buffer = bytearray()
        self._until: int | None = None
        self._request: _Request | None = None
        self._client: _Requests | None = None
        self._note: _Note
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def send(self, request: _Request, client: _Requests, note: _Note) -> None:
        self._request, self._client, self._until, self._note = request, client, None, note
        client.on_lost = self.transport.abort
        self.transport.write(request.whole)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            if self._until is None:
                self._until = self._length_of_answer()
        except _Unreadable:
            self.transport.abort()
            return
        if self._until is None or len(self._buffer) < self._until or self._client is None:
            return
        payload = bytes(self._buffer)
        head = payload.partition(b"\r\n\r\n")[0]
        closes = _CONNECTION.search(head) is not None
        client, self._client = self._client, None
        self._buffer.clear()
        if closes:
            self.transport.close()
        else:
            self._idle.append(self)
        self._note(_status(head), "--")
        client.answer(_CONNECTION.sub(b"", head) + payload[len(head) :] if closes else payload)

    def connection_lost(self, _: Exception | None) -> None:
        if self in self._idle:
            self._idle.remove(self)
        client, self._client = self._client, None
        if client is not None:
            self._note(503, "SH")
            client.answer(_unavailable("connection termination"))

    def _length_of_answer(self) -> int | None:
        end = self._buffer.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES)
        if end < 0:
            if len(self._buffer) >= MAX_HEAD_BYTES:
                raise _Unreadable(413)
            return None
        length = _length(_headers(bytes(self._buffer[:end])), MAX_ANSWER_BYTES)
        assert self._request is not None
        return end + 4 + (0 if self._request.method == "HEAD" else length)


def _status(head: bytes) -> int:
    """Return an answer's status; 502 for what is none."""
    code = head[9:12]
    return int(code) if code.isdigit() else 502


def _unavailable(why: str) -> bytes:
    """Answer as Envoy, which Service Connect's proxy is, where the endpoint does not."""
    text = f"upstream connect error or disconnect/reset before headers. reset reason: {why}"
    return _answer(503, text.encode(), "server: envoy\r\n")


async def _listen(port: int, connection: Callable[[], asyncio.Protocol]) -> asyncio.Server:
    return await asyncio.get_running_loop().create_server(connection, sock=bound(port), backlog=1024)


async def _serve(settings: Mapping[str, Any]) -> None:
    """Do as told, line by line, until there is nobody left to tell."""
    part = _Server(settings) if "colour" in settings else _Router(settings)
    await part.change(settings)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin.buffer
    )
    os.write(1, b"ready\n")
    while line := await lines.readline():
        await part.change(json.loads(line))
        os.write(1, b"ready\n")


if __name__ == "__main__":
    asyncio.run(_serve(json.loads(sys.argv[1])))
