"""What a router logs of requests, and what there is to publish of them for each minute.

::

    request 1795544882238 alb green 200 12 --
            │             │   │     │   │  └─ how it ended, HAProxy's termination state: -- is well
            │             │   │     │   └──── milliseconds until the target's answer began; -1 is never
            │             │   │     └──────── status of the answer
            │             │   └────────────── target group; none, where no rule led to one
            │             └────────────────── listener
            └──────────────────────────────── when it was over, in milliseconds since 1970

HAProxy and the router of this package write the same lines. Others in between are messages, and left out.

Source: https://docs.haproxy.org/2.6/configuration.html#8.5 (termination states)
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from rehearsal.loopback.program import REVISIONS, Colour

MINUTE_MS = 60_000

_COLOURS: Mapping[str, Colour] = {name: name for name in REVISIONS}


class Routed(NamedTuple):
    """A request that a rule led to a target group."""

    over_ms: int
    """Since 1970."""
    listener: str
    colour: Colour
    status: int
    """Of the answer that the client got, whoever gave it; -1 where the client had left."""
    response_ms: int | None
    """Until the target's answer began; ``None``: the target gave none."""
    refused: bool
    """Whether there was no connection to the target."""

    @property
    def minute(self) -> datetime:
        """The beginning of the minute it was over in."""
        return datetime.fromtimestamp(self.over_ms // MINUTE_MS * 60, UTC)


@dataclass(slots=True)
class TargetMinute:
    """What a target group did in a minute."""

    by_class: Counter[int] = field(default_factory=Counter)
    """Targets' answers by the first digit of their status."""
    response_ms: Counter[int] = field(default_factory=Counter)
    """How long answers took to begin, and how many did."""
    refused: int = 0
    """Requests that met no target listening."""
    unanswered: int = 0
    """Requests that a target took and did not answer."""

    @property
    def requests(self) -> int:
        return self.by_class.total() + self.refused + self.unanswered


def read(lines: Iterable[str]) -> Iterator[Routed]:
    """Read the requests out of a log; raises ``ValueError`` with the line that can't be read."""
    for line in lines:
        word, *fields = line.split()
        if word != "request":
            continue
        try:
            over, listener, group, status, response, ended = fields
            if group in _COLOURS:
                yield Routed(
                    int(over),
                    listener,
                    _COLOURS[group],
                    int(status),
                    int(response) if int(response) >= 0 else None,
                    ended.upper().startswith("SC"),
                )
        except ValueError as error:
            raise ValueError(f"the router's log has {line.strip()!r}, which is no request") from error


def by_minute(routed: Iterable[Routed]) -> dict[tuple[datetime, Colour], TargetMinute]:
    """Sum requests up by minute and target group."""
    minutes: defaultdict[tuple[datetime, Colour], TargetMinute] = defaultdict(TargetMinute)
    for one in routed:
        minute = minutes[one.minute, one.colour]
        if one.response_ms is not None:
            minute.by_class[one.status // 100] += 1
            minute.response_ms[one.response_ms] += 1
        elif one.refused:
            minute.refused += 1
        else:
            minute.unanswered += 1
    return dict(minutes)


class LogFile:
    """A log that is read while another process writes it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0

    def lines(self) -> Iterator[str]:
        """Yield the whole lines that have come since; half a line waits for its other half."""
        with self.path.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._read += len(line)
                yield line.decode(errors="replace")
