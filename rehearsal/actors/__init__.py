"""Actors: the world outside ECS and the hooks, as processes of a scenario.

An actor is a pydantic model with one method. To add one, write a class, wear :func:`actor`, and
import its module here; scenarios then name it::

    actors:
      - approver: {name: alice, answer: APPROVED, after: 10m}
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from rehearsal.timing import Process

if TYPE_CHECKING:
    from rehearsal.world import World


class Actor(BaseModel, ABC):
    """Someone or something that acts on its own."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)

    kind: ClassVar[str]

    @property
    def is_real(self) -> bool:
        """Whether it acts with real processes, to which no virtual time can be told."""
        return False

    def prepare(self, world: "World") -> None:
        """Have there what was there before the service was first deployed; by default there is nothing."""

    @abstractmethod
    def run(self, world: "World") -> Process:
        """Act (a simpy process); ends when there is nothing left to do."""


_KINDS: dict[str, type[Actor]] = {}


def actor[ActorT: Actor](kind: str) -> Callable[[type[ActorT]], type[ActorT]]:
    """Make a class known to scenarios under *kind*."""

    def register(cls: type[ActorT]) -> type[ActorT]:
        cls.kind = kind
        _KINDS[kind] = cls
        return cls

    return register


def kinds() -> Mapping[str, type[Actor]]:
    """Return all kinds of actors by name."""
    return dict(sorted(_KINDS.items()))


def actor_of(entry: Mapping[str, Any]) -> Actor:
    """Make the actor of a scenario's entry; raises ``ValueError`` for an unknown kind."""
    if len(entry) != 1:
        raise ValueError("expected one kind of actor with its settings, such as approver: {...}")
    kind, settings = next(iter(entry.items()))
    if kind not in _KINDS:
        raise ValueError(f"unknown actor {kind!r}; there are: {', '.join(sorted(_KINDS))}")
    return _KINDS[kind].model_validate(settings or {})


from rehearsal.actors import (  # noqa: E402, F401
    alarm,
    approver,
    console,
    edit,
    generator,
    operator,
    queue,
    registry,
    repairer,
    servers,
    site,
    sweeper,
    traffic,
    visitors,
    weather,
    workers,
)
