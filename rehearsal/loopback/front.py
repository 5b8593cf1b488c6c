"""What stands before blue and green: a listener of a load balancer, and an endpoint of Service Connect.

::

                         path     header        weights that follow the deployment
    listener    ──▶ /catalog/* ── X: green ──▶ test        ─┬─▶ blue
                         │                                  │
                         └─────── all others ▶ production  ─┴─▶ green
    namespace   ──▶ any path, the same by header and weights

HAProxy where it is installed, and otherwise the router of ``program``. Both are told new weights while they
run, and drop no connection over it.
"""

import contextlib
import functools
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Self

from rehearsal.loopback import front_log
from rehearsal.loopback.front_log import Routed
from rehearsal.loopback.part import Part
from rehearsal.loopback.program import Colour

Route = Literal["production", "test"]
RouterName = Literal["haproxy", "python"]

LISTENER, NAMESPACE = "listener", "namespace"


@dataclass(frozen=True, slots=True)
class Rules:
    """What leads where."""

    header: tuple[str, str]
    """Of test traffic: a name and the exact value."""
    prefix: str
    """What paths at the listener begin with; to others it answers 404."""
    ports: Mapping[Colour, int]
    """Where blue and green listen, on the loopback interface."""


class Front(ABC):
    """A router, from entering to leaving the context. Blue has all traffic at first."""

    name: str

    @property
    @abstractmethod
    def listener_port(self) -> int:
        """The load balancer's."""

    @property
    @abstractmethod
    def namespace_port(self) -> int:
        """The Service Connect endpoint's."""

    @abstractmethod
    def move(self, route: Route, green: float) -> None:
        """Give green a percentage of a route's requests; from then on it holds."""

    @abstractmethod
    def requests(self) -> list[Routed]:
        """Return what the listener has led to blue or green since this was asked last."""

    @abstractmethod
    def __enter__(self) -> Self: ...

    @abstractmethod
    def __exit__(self, *_: object) -> None: ...


def haproxy_program() -> str | None:
    """Return HAProxy's path; Debian has it where only root's ``PATH`` leads."""
    return shutil.which("haproxy", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")


def front(router: RouterName | None = None) -> Callable[[Rules], Front]:
    """Return what makes the router of that name, or the best there is.

    Raises
    ------
    RuntimeError
        When HAProxy is asked for and is not installed.
    """
    found = haproxy_program()
    if router == "haproxy" and found is None:
        raise RuntimeError("haproxy is not installed here: apt-get install haproxy, or use router: python")
    if router == "python" or found is None:
        return PythonFront
    from rehearsal.loopback.haproxy import Haproxy  # noqa: PLC0415  # it knows this module

    return functools.partial(Haproxy, found)


class PythonFront(Front):
    """The router of ``program``, twice."""

    name = "this project's own router"

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._opened = contextlib.ExitStack()
        self._parts: dict[str, Part] = {}
        self._read = 0

    @property
    def listener_port(self) -> int:
        return self._parts[LISTENER].port

    @property
    def namespace_port(self) -> int:
        return self._parts[NAMESPACE].port

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as opened:
            for name, prefix in ((LISTENER, self._rules.prefix), (NAMESPACE, "/")):
                part = self._parts[name] = opened.enter_context(Part(f"the router's {name}"))
                part.start(
                    {
                        "header": self._rules.header,
                        "ports": dict(self._rules.ports),
                        "weight": 0.0,
                        "test_weight": 0.0,
                        "listener": name,
                        "prefix": prefix,
                    }
                )
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def move(self, route: Route, green: float) -> None:
        for part in self._parts.values():
            part.tell({"weight" if route == "production" else "test_weight": green})

    def requests(self) -> list[Routed]:
        log = self._parts[LISTENER].read_log()
        new, self._read = log[self._read :], len(log)
        return list(front_log.read(new.splitlines()))
