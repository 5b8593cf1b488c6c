"""A server on this machine that sends exactly the bytes that it is given, and remembers what it was asked."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

# Between two pieces of an answer that comes slowly.
PAUSE = threading.Event()
PAUSE_SECONDS = 0.02

OK = b"HTTP/1.1 200 OK\r\nx-revision: shop:7\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Server:
    """What came in, and where."""

    port: int
    requests: list[bytes] = field(default_factory=list)


@contextlib.contextmanager
def answering(
    *pieces: bytes, tls: ssl.SSLContext | None = None, again: Callable[[], bool] = lambda: False
) -> Iterator[Server]:
    """Send the pieces one after the other to whoever asks; as long as *again* says so, the last once more."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = Server(listening.getsockname()[1])

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                _answer(
                    server,
                    tls.wrap_socket(connection, server_side=True) if tls else connection,
                    pieces,
                    again,
                )

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


def _answer(
    server: Server, connection: socket.socket, pieces: Sequence[bytes], again: Callable[[], bool]
) -> None:
    with connection:
        asked = b""
        while b"\r\n\r\n" not in asked:
            if not (more := connection.recv(65536)):
                return
            asked += more
        server.requests.append(asked)
        for piece in pieces:
            connection.sendall(piece)
            if len(pieces) > 1:
                PAUSE.wait(PAUSE_SECONDS)
        while again():
            connection.sendall(pieces[-1])
            PAUSE.wait(PAUSE_SECONDS)
