"""The service's own answers over HTTP on this machine: what a smoke test asks, at ``http://localhost:8080``.

::

    actors:
      - site: {pages: {/health: ok}, green: {after: 20s}}

What has the test header reaches green once it has test traffic, all else whoever has production's. Sockets
are real, and where hooks run in this process no port has to be free: ``localhost:8080`` is found at another
one, which no outcome tells.
"""

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Annotated, Any, NamedTuple
from unittest.mock import patch

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from rehearsal.actors import Actor, actor
from rehearsal.document import DocumentError
from rehearsal.durations import Duration
from rehearsal.loopback import LOOPBACK
from rehearsal.outcome import Happening, HookCalled, WeightsChanged
from rehearsal.timing import Process
from rehearsal.world import World

HOST = "localhost"
MARKER = "x-revision"

# As soon as a run is over, the next one begins.
LOOK_SECONDS = 0.005

PagePath = Annotated[str, Field(pattern=r"^/[\x21-\x7e]{0,1023}$")]


class Green(BaseModel):
    """How green differs from a healthy revision."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)

    errors: bool = Field(False, description="whether it answers everything with status 500")
    lacks: PagePath | None = Field(None, description="a page that it has not got")
    wrong_revision: bool = Field(False, description="whether blue answers in its place")
    refuses: bool = Field(False, description="whether nobody takes a connection")
    after: Duration = Field(
        0.0, description="how long after it got test traffic the load balancer still answers with 503"
    )


class Reply(NamedTuple):
    """One answer."""

    who: str
    status: int
    body: str = ""
    marker: str = ""


@actor("site")
class Site(Actor):
    """Answers HTTP at localhost for blue and green."""

    port: int = Field(8080, ge=1, le=65535, description="as hookDetails have it: http://localhost:8080")
    pages: dict[PagePath, str] = Field(
        default={"/": "ok", "/health": "ok"}, description="by path: what a healthy revision answers"
    )
    green: Green = Green()

    def run(self, world: World) -> Process:
        answering = _Answering(self, world)
        world.listeners.append(answering.saw)
        # In a process of its own a hook knows no port but this one.
        port = 0 if world.is_in_process else self.port
        handler = partial(_Handler, answering)
        server = ThreadingHTTPServer((LOOPBACK, port), handler, bind_and_activate=False)
        world.closing.callback(server.server_close)
        try:
            server.server_bind()
        except OSError as error:
            raise DocumentError(f"{world.scenario.name}: site: {HOST}:{port}: {error.strerror}") from error
        if not self.green.refuses:
            server.server_activate()
            world.closing.enter_context(_serving(server))
        if world.is_in_process:
            world.closing.enter_context(_found_at((HOST, self.port), server.server_port))
        yield world.env.timeout(0)


class _Answering:
    """Knows who answers what at the moment."""

    def __init__(self, site: Site, world: World) -> None:
        self._site = site
        self._world = world
        self._since: float | None = None
        """When green got test traffic."""
        self._answered: list[str] = []
        self._told = ""

    def saw(self, happening: Happening) -> None:
        if isinstance(happening, WeightsChanged) and happening.route == "test" and self._since is None:
            self._since = happening.at
        # Not as it answers: what a hook's process prints during a call is the hook's log.
        if isinstance(happening, HookCalled) and self._answered:
            answered, self._answered = "; ".join(self._answered), []
            if answered != self._told:
                self._told = answered
                self._world.spoke("site", answered)

    def answer(self, method: str, path: str, headers: Mapping[str, str]) -> Reply:
        """Answer a request, and say so when the hook has answered in turn."""
        reply = self._reply(path, headers)
        self._answered.append(f"{reply.who} answers {method} {path} with {reply.status}")
        return reply

    def _reply(self, path: str, headers: Mapping[str, str]) -> Reply:
        deployment, green = self._world.machine.deployment, self._site.green
        name, value = self._world.deployed.test_header
        given = {key.lower(): sent for key, sent in headers.items()}
        is_test = given.get(name.lower()) == value and bool(deployment.target.test_weight)
        serving = next((one for one in deployment.sources if one.production_weight), deployment.target)
        reached = deployment.target if is_test and not green.wrong_revision else serving
        if reached is not deployment.target:
            return self._healthy("blue", str(reached.arn), path)
        since = self._world.env.now if self._since is None else self._since
        if self._world.env.now < since + green.after:
            return Reply("the load balancer", 503)
        reply = self._healthy("green", str(reached.arn), path)
        if green.errors:
            return reply._replace(status=500, body="")
        return reply._replace(status=404, body="") if path == green.lacks else reply

    def _healthy(self, who: str, revision: str, path: str) -> Reply:
        # As services are asked to name themselves in answers: family:revision.
        marker = self._world.cloud.control_plane.revisions[revision].task_definition.rpartition("/")[2]
        body = self._site.pages.get(path.partition("?")[0])
        return Reply(who, 404, "", marker) if body is None else Reply(who, 200, body, marker)


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, answering: _Answering, *connection: Any) -> None:
        self._answering = answering
        super().__init__(*connection)

    def do_GET(self) -> None:
        reply = self._answering.answer(self.command, self.path, dict(self.headers))
        body = reply.body.encode()
        self.send_response(reply.status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        if reply.marker:
            self.send_header(MARKER, reply.marker)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815  # the standard library's own name

    def log_message(self, *_: Any) -> None:
        """Say nothing on standard error; the timeline has it."""


@contextlib.contextmanager
def _serving(server: ThreadingHTTPServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(LOOK_SECONDS,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def _found_at(address: tuple[str, int], port: int) -> Iterator[None]:
    """Have this process find an address at another port of this machine."""
    look_up = socket.getaddrinfo

    def found(host: Any, service: Any, *rest: Any, **options: Any) -> Any:
        if (host, service) == address:
            return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (LOOPBACK, port))]
        return look_up(host, service, *rest, **options)

    with patch.object(socket, "getaddrinfo", found):
        yield
