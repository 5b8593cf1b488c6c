"""Blue, green and what routes to them, as real servers on this machine: for load that is real.

::

                                 x-release: green
      load generator ──▶ router ──────────────────▶ green   a process: answers with x-revision: catalog:42
                           │
                           └──────────────────────▶ blue    a process: answers with x-revision: catalog:41
                               all others

    with Loopback(green=Behaviour(latency_seconds=0.2)) as loopback:
        requests.get(loopback.url, headers={"x-release": "green"})
        loopback.log("green")

The router plays what Service Connect and a load balancer's listener rules do. Each part is a process of its
own (``program``), so that none of them waits for another's interpreter, and one can be killed.

With the reference system's own applications in place of such colours, and HAProxy as the router:
``applications`` and ``front``.

By hand: ``python -m rehearsal.loopback``.
"""

import contextlib
import dataclasses
from typing import NamedTuple, Self

from rehearsal.loopback.part import Part
from rehearsal.loopback.program import LOOPBACK, MAX_HEAD_BYTES, REVISIONS, Behaviour, Colour

__all__ = ["HEADER", "LOOPBACK", "MARKER", "MAX_HEAD_BYTES", "Behaviour", "Colour", "Entry", "Loopback"]

HEADER = ("x-release", "green")
MARKER = "x-revision"

# As a colour answers where nothing else is said: at once, and well.
_HEALTHY = Behaviour()


class Entry(NamedTuple):
    """A line of a colour's access log. Times are ``time.monotonic()``'s, which all processes here share."""

    arrived: float
    answered: float
    status: int
    marked: bool
    """Whether the request had the header that asks for green."""
    method: str
    path: str


class Loopback:
    """The three of them, from entering to leaving the context.

    Parameters
    ----------
    header
        What asks for green: a name and the exact value, or ``None`` for any value.
    marker
        The header of answers that tells the revisions apart.
    green_weight
        The percentage of the other requests, production traffic, that green gets.
    """

    def __init__(
        self,
        *,
        header: tuple[str, str | None] = HEADER,
        marker: str = MARKER,
        blue: Behaviour = _HEALTHY,
        green: Behaviour = _HEALTHY,
        green_weight: float = 0.0,
    ) -> None:
        self._opened = contextlib.ExitStack()
        self._header = header
        self._marker = marker
        self._behaviours: dict[Colour, Behaviour] = {"blue": blue, "green": green}
        self._weight = green_weight
        self._parts: dict[str, Part] = {}

    @property
    def url(self) -> str:
        """The router's."""
        return self._parts["router"].url

    @property
    def blue_url(self) -> str:
        return self._parts["blue"].url

    @property
    def green_url(self) -> str:
        return self._parts["green"].url

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as opened:
            for colour in REVISIONS:
                self._parts[colour] = opened.enter_context(Part(colour))
                self.start(colour)
            ports = {colour: self._parts[colour].port for colour in REVISIONS}
            router = self._parts["router"] = opened.enter_context(Part("router"))
            router.start({"header": self._header, "ports": ports, "weight": self._weight})
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()
        self._parts = {}

    def log(self, colour: Colour) -> list[Entry]:
        """Return what a colour has answered so far; it outlives the colour."""
        return [_entry(line) for line in self._parts[colour].read_log().splitlines()]

    def behave(self, colour: Colour, behaviour: Behaviour) -> None:
        """Have a colour answer otherwise from now on; a stall's time begins anew."""
        self._behaviours[colour] = behaviour
        self._parts[colour].tell({"behaviour": dataclasses.asdict(behaviour)})

    def weigh(self, green: float) -> None:
        """Give green a percentage of production traffic."""
        self._weight = green
        self._parts["router"].tell({"weight": green})

    def kill(self, colour: Colour) -> None:
        """End a colour at once. Its port stays its own: connections are refused."""
        self._parts[colour].kill()

    def start(self, colour: Colour) -> None:
        """Start a colour that was killed, on the port it had, with the behaviour it had last."""
        self._parts[colour].start(
            {
                "colour": colour,
                "header": self._header,
                "marker": self._marker,
                "behaviour": dataclasses.asdict(self._behaviours[colour]),
            }
        )


def _entry(line: str) -> Entry:
    arrived, answered, status, marked, method, path = line.split(" ")
    return Entry(float(arrived), float(answered), int(status), marked == "1", method, path)
