"""What a worker finds around it: Parameter Store, a clock, and small servers on its own machine."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from activation_gate import State

NAME = "/ecs-consumers/production/notifications/consumers"
BLUE, GREEN = "1920498462936580504", "9313423515462893900"

PATIENCE_SECONDS = 60
"""How long a test waits for what must happen soon; machines may be slow, and nothing is proved by waiting."""


@dataclass
class Ssm:
    """An SSM client that counts, and can be told to fail."""

    client: Any
    asked: list[str] = field(default_factory=list)
    fails_with: BaseException | None = None
    without_date: bool = False
    written_earlier_by: timedelta = timedelta(0)

    def get_parameter(self, **given: Any) -> Any:
        self.asked.append(given["Name"])
        if self.fails_with:
            raise self.fails_with
        answer = self.client.get_parameter(**given)
        answer["Parameter"]["LastModifiedDate"] -= self.written_earlier_by
        if self.without_date:
            del answer["ResponseMetadata"]["HTTPHeaders"]["date"]
        return answer

    def put_parameter(self, **given: Any) -> Any:
        return self.client.put_parameter(**given)

    def write(self, value: State | str) -> int:
        text = value if isinstance(value, str) else value.to_json()
        answer = self.client.put_parameter(Name=NAME, Value=text, Type="String", Overwrite=True)
        return int(answer["Version"])

    def value(self) -> Any:
        return json.loads(self.client.get_parameter(Name=NAME)["Parameter"]["Value"])


@dataclass
class Clock:
    """A clock that stands still until it is told to go on."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


class Endpoint:
    """A server on loopback that answers by method and path, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], tuple[int, bytes]] = {}
        self.requests: list[tuple[str, str, Any]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, method: str, path: str, value: Any, *, status: int = 200) -> None:
        self.answers[method, path] = status, value if isinstance(value, bytes) else json.dumps(value).encode()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(size)) if size else None
                endpoint.requests.append((self.command, self.path, body))
                status, answer = endpoint.answers.get((self.command, self.path), (404, b"not here"))
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_PUT = answer  # noqa: N815 - http.server's names

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def soon(condition: Callable[[], object]) -> None:
    """Wait until *condition* is true."""
    pause = threading.Event()
    for _ in range(PATIENCE_SECONDS * 100):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it did not become true")
