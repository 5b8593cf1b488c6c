"""HTTP, the edge: one request over one connection, to an address that was looked at, bounded in every way.

::

    resolve, once a call ─▶ check each address ─▶ connect to that very one ─▶ one request ─▶ one answer
                            (address.py)          (no second look-up: DNS                    256 KiB of it
                                                  can't change its mind)

By hand on ``http.client``, because what an HTTP library would add is what must not be: redirects that are
followed, proxies and passwords from the environment, cookies, retries, bodies unpacked to any size.
"""

import functools
import http.client
import io
import socket
import ssl
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from botocore.httpsession import get_cert_path

from hooks.smoke_test.address import Origin, check_address
from hooks.smoke_test.decision import Answer, Expected
from shared import clock

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAX_BODY_BYTES = 256 * 1024
MAX_HEADER_CHARACTERS = 256
MAX_ADDRESSES = 8
"""Nobody waits for more."""


@dataclass(frozen=True, slots=True)
class Door:
    """Where requests go: an origin, and the addresses that it has during one call."""

    origin: Origin
    addresses: Sequence[tuple[Any, ...]]
    """As ``getaddrinfo`` has them."""
    failure: str = ""
    """Why there are none."""


def open_door(origin: Origin) -> Door:
    """Look a host's addresses up; raises ``Misconfigured`` when any of them is never asked."""
    try:
        found = socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return Door(origin, (), f"the name {origin.host} can't be resolved")
    for *_, address in found:
        check_address(origin, str(address[0]))
    return Door(origin, found[:MAX_ADDRESSES])


def ask(
    door: Door,
    expected: Expected,
    *,
    headers: Mapping[str, str],
    wanted: Iterable[str],
    timeout_seconds: float,
) -> Answer:
    """Send one request, and return what of its answer counts.

    Parameters
    ----------
    wanted
        Names of the answer's headers to return.
    timeout_seconds
        For all of it, however slowly it comes.
    """
    if door.failure:
        return Answer(failure=door.failure, headers={})
    began, until = clock.now(), time.monotonic() + timeout_seconds
    try:
        with closing(_connected(door, until)) as connected:
            connection = http.client.HTTPConnection(door.origin.host, door.origin.port)
            connection.default_port = 443 if door.origin.scheme == "https" else 80
            connection.sock = cast("Any", _Line(connected, until))
            # Neither compressed, nor another request after this one.
            own = {"Accept-Encoding": "identity", "Connection": "close", "User-Agent": "ecs-lifecycle-hooks"}
            connection.request(expected.method, expected.path, headers={**headers, **own})
            with connection.getresponse() as response:
                body = response.read(MAX_BODY_BYTES)
                if response.length and len(body) < MAX_BODY_BYTES:
                    raise http.client.IncompleteRead(body, response.length)
    except TimeoutError:
        return Answer(failure=f"no answer within {timeout_seconds:g} s", headers={})
    except ssl.SSLCertVerificationError as error:
        return Answer(failure=f"the certificate is not trusted: {error.verify_message}", headers={})
    except (OSError, http.client.HTTPException) as error:
        return Answer(failure=f"no answer: {_named(error)}", headers={})
    milliseconds = round((clock.now() - began).total_seconds() * 1000)
    return Answer(
        status=response.status,
        milliseconds=max(milliseconds, 0),
        headers={
            name.lower(): value[:MAX_HEADER_CHARACTERS]
            for name in wanted
            if (value := response.headers.get(name)) is not None
        },
        has_text=expected.text.encode() in body,
    )


def _connected(door: Door, until: float) -> socket.socket:
    """Connect to the first address that takes it."""
    refused: OSError | None = None
    for family, kind, protocol, _, address in door.addresses:
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(_left(until))
            connection.connect(address)
            if door.origin.scheme == "https":
                connection = _trust().wrap_socket(connection, server_hostname=door.origin.host)
            return connection
        except OSError as error:
            connection.close()
            refused = error
            if isinstance(error, TimeoutError):
                break
    assert refused is not None  # a name without addresses can't be resolved
    raise refused


@functools.cache
def _trust() -> ssl.SSLContext:
    # The authorities that AWS's own answers are held against; the environment's would be anybody's.
    return ssl.create_default_context(cafile=get_cert_path(True))


class _Line:
    """What ``http.client`` takes for a socket: one on which all must have come by a moment."""

    def __init__(self, connected: socket.socket, until: float) -> None:
        self._connected = connected
        self._until = until

    def sendall(self, data: bytes) -> None:
        self._connected.settimeout(_left(self._until))
        self._connected.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Incoming(self._connected, self._until))

    def close(self) -> None:
        """Leave it to whoever connected: the answer is not read yet."""


class _Incoming(io.RawIOBase):
    def __init__(self, connected: socket.socket, until: float) -> None:
        self._connected = connected
        self._until = until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        # A time-out of a socket is between two bytes, and a sender may take its time before each.
        self._connected.settimeout(_left(self._until))
        return self._connected.recv_into(buffer)


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _named(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or type(error).__name__)
