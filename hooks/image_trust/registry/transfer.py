"""One answer over HTTP, however its sender would stretch it: bounded in bytes, and in time as a whole.

A time-out of a socket is between two bytes. Whoever sends a byte every four seconds holds a reader with a
time-out of five for as long as he likes, in the headers as well as in the body. Here every read of a
connection's answer waits no longer than what is left until the answer's end::

    urllib3 ──▶ http.client ──▶ BufferedReader ──▶ _UntilTheEnd ──▶ socket
                lines of 64 KiB, 100 headers       what is left of Limits.answer_seconds

Names are looked up and connections made outside of it: connecting has its own time-out, for each address.
"""

import functools
import http.client
import io
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import urllib3
from botocore.httpsession import get_cert_path
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from hooks.image_trust.finding import Rejected
from shared.errors import Misconfigured, shown

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """How long one request may take."""

    connect_seconds: float = 2.0
    read_seconds: float = 5.0
    """Between two bytes."""
    answer_seconds: float = 15.0
    """From the request to the last byte. The largest that is read, an attestation of 8 MiB, takes a second
    at 64 Mbit/s."""

    @property
    def pair(self) -> tuple[float, float]:
        """As requests takes them."""
        return self.connect_seconds, self.read_seconds


class _UntilTheEnd(io.RawIOBase):
    """A socket's bytes, up to a moment."""

    def __init__(self, sock: socket.socket, ends: float) -> None:
        self._sock = sock
        # Holds the connection open until the answer is read, although its other holder has let go of it.
        self._bytes = sock.makefile("rb", buffering=0)
        self._ends = ends
        self._patience = sock.gettimeout()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int | None:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer takes too long")
        self._sock.settimeout(left if self._patience is None else min(left, self._patience))
        return self._bytes.readinto(buffer)

    def close(self) -> None:
        self._bytes.close()
        super().close()


@dataclass(frozen=True, slots=True)
class _Source:
    """What ``http.client`` takes for a socket."""

    sock: socket.socket
    ends: float

    def makefile(self, _mode: str) -> BinaryIO:
        return cast("BinaryIO", io.BufferedReader(_UntilTheEnd(self.sock, self.ends), _PIECE_BYTES))


class _Answer(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, ends: float, **keywords: Any) -> None:
        super().__init__(cast("socket.socket", _Source(sock, ends)), *args, **keywords)

    def begin(self) -> None:
        super().begin()
        # urllib3 goes on after a warning, which has the URL in it, and that may be pre-signed.
        if self.msg.defects:
            raise http.client.HTTPException("malformed headers")


def connections(limits: Limits) -> Mapping[str, type[HTTPConnectionPool]]:
    """Return what makes connections whose answers end, by scheme: a ``PoolManager``'s classes."""

    def answer_class(ends: float) -> Any:
        return functools.partial(_Answer, ends=ends)

    class Plain(HTTPConnection):
        def request(self, *args: Any, **keywords: Any) -> None:
            self.response_class = answer_class(time.monotonic() + limits.answer_seconds)
            super().request(*args, **keywords)

    class Tls(HTTPSConnection):
        def request(self, *args: Any, **keywords: Any) -> None:
            self.response_class = answer_class(time.monotonic() + limits.answer_seconds)
            super().request(*args, **keywords)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = Tls

    return {"http": PlainPool, "https": TlsPool}


def connection_pool(limits: Limits, ca_file: str | None = None) -> urllib3.PoolManager:
    """Return a pool of such connections, that neither retries nor follows redirects."""
    pool = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=limits.connect_seconds, read=limits.read_seconds),
        retries=False,
        ca_certs=ca_file or get_cert_path(True),
        maxsize=4,
    )
    pool.pool_classes_by_scheme = dict(connections(limits))
    return pool


def read(answer: urllib3.BaseHTTPResponse, limit_bytes: int, what: str) -> bytes:
    """Read an answer's body as it was sent.

    Raises
    ------
    Rejected
        ``too-large``.
    Misconfigured
        Where it is packed: ``identity`` was asked for, and a few KiB can be packed GiB.
    urllib3.exceptions.HTTPError
        Where it breaks off, or takes too long.
    """
    encoding = answer.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in {"", "identity"}:
        answer.close()
        raise Misconfigured(f"{what} comes packed as {shown(encoding)}, although that was not asked for")
    # A length that is announced can be refused before it is sent; one that lies is found out below.
    announced = answer.headers.get("Content-Length", "")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > limit_bytes:
        answer.close()
        raise Rejected("too-large", f"{what} has {announced[:20]} bytes, at most {limit_bytes} are read")
    pieces = io.BytesIO()
    while piece := answer.read(min(_PIECE_BYTES, limit_bytes + 1 - pieces.tell()), decode_content=False):
        pieces.write(piece)
        if pieces.tell() > limit_bytes:
            answer.close()
            raise Rejected("too-large", f"{what} has more than {limit_bytes} bytes")
    answer.release_conn()
    return pieces.getvalue()


def skim(answer: urllib3.BaseHTTPResponse, limit_bytes: int) -> None:
    """Read an answer that is of no use, so that its connection can be used again, unless it is long."""
    left = limit_bytes
    while left > 0 and (piece := answer.read(left, decode_content=False)):
        left -= len(piece)
    if left > 0:
        answer.release_conn()
    answer.close()
