"""What has changed between two looks at the list. Pure.

::

    not there ─▶ pending ─▶ decided ─▶ ended ─▶ gone
                   │ ▲         └──────────┴───────┴── over: told once, at the first look that sees it
                   └─┘ extended

A look that could not see everything makes nothing gone.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from hooks.manual_approval.cli.naming import Named
from hooks.manual_approval.console.views import Overview, Waiting


@dataclass(frozen=True, slots=True)
class Change:
    """Something happened to a request."""

    what: Literal["pending", "asked", "extended", "over"]
    """``pending`` is what was there at the first look."""
    request: Waiting
    """As it was last seen."""


@dataclass(slots=True)
class Watched:
    """The requests that were pending when last looked at."""

    _pending: dict[Named, Waiting] = field(default_factory=dict)
    _is_first: bool = True

    def take(self, overview: Overview) -> Iterator[Change]:
        """Take another look, and yield what is new."""
        known, self._pending = self._pending, {}
        news: Literal["pending", "asked"] = "pending" if self._is_first else "asked"
        self._is_first = False
        others = {_named(request): request for request in overview.others}
        for request in overview.waiting:
            named = _named(request)
            before = known.pop(named, None)
            self._pending[named] = request
            if before is None:
                yield Change(news, request)
            elif before.expires_at and request.expires_at and request.expires_at > before.expires_at:
                yield Change("extended", request)
        for named, before in known.items():
            if named in others:
                yield Change("over", others[named])
            elif overview.left_out:
                self._pending[named] = before
            else:
                yield Change("over", before)


def _named(request: Waiting) -> Named:
    return Named(request.deployment, request.part)
