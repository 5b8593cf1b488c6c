"""When people are to be told of a request, and by whom: what its history says, at a given time.

::

    asked             half of the time            nine tenths     expiry
      │ request          │ half-time                  │ last-call    │     an extension moves the last three

Lambda may run a look twice, side by side, or not to its end. So whoever is about to tell people claims the
occasion first, in the history, and the first claim holds. Who claimed it and was never heard of again loses
it after a while, which doubles::

    claim ── 2 min ── claim ── 4 min ── claim ── 8 min ── claim ── 16 min ── claim ── 32 min ── given up

The request itself is the first claim, of whoever wrote it. Times are AWS's own, of the versions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from hooks.manual_approval.approvers import same_role
from hooks.manual_approval.request import Occasion, Telling, Version, read
from shared.clock import timestamp

# Whoever holds a claim has sent and marked, or is dead, by then: a function is ended after a minute, and
# from claim to mark it makes four calls of AWS at most, each given up within 25 seconds.
LAPSE = timedelta(minutes=2)

# A parameter keeps a hundred versions, and the hook refuses where the first of them is gone.
MAX_CLAIMS = 5
MAX_VERSIONS_BEFORE_A_CLAIM = 80

# How far into the time between asking and expiry the occasions are.
HALF_TIME, LAST_CALL = 0.5, 0.9

FAILED = " failed"
"""Follows the name of a channel, in a mark, that can't be told anything until somebody mends it."""


@dataclass(frozen=True, slots=True)
class Due:
    """Something to tell."""

    occasion: Occasion
    what: str
    """Key of the occasion: an extension moves the last call, and then it is another one."""
    channels: tuple[str, ...]
    """Where it was not told yet."""
    exhausted: bool = False
    """Whether it was claimed as often as it may be, so that only giving up is left."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a history says at a given time."""

    due: Due | None
    quiet_until: datetime
    """When something may be due next; *now* while something is."""


@dataclass(frozen=True, slots=True)
class _Claim:
    nonce: str
    at: datetime


@dataclass(frozen=True, slots=True)
class _Standing:
    """How far telling people of one occasion has come."""

    claims: tuple[_Claim, ...]
    """Those that held, each after the one before it had lapsed."""
    missing: tuple[str, ...]
    """Channels."""

    @property
    def lapses_at(self) -> datetime | None:
        return self.claims[-1].at + LAPSE * 2 ** (len(self.claims) - 1) if self.claims else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reminders:
    """The occasions of one request."""

    asked: Version
    expires_at: datetime
    tellers: tuple[str, ...]
    """Whose marks count, by a session or its role."""
    channels: tuple[str, ...]

    def look(self, history: Sequence[Version], now: datetime) -> Look:
        """Return the one thing that is due, or until when nothing is. The request comes first."""
        told = self._tellings(history)
        waiting = [self.expires_at]
        for occasion, what, begins, ends in self._occasions(told):
            standing = self._standing(told, what)
            free_at = max(begins, standing.lapses_at or begins)
            if not standing.missing or now >= ends:
                continue
            if free_at <= now:
                exhausted = len(standing.claims) >= MAX_CLAIMS
                return Look(Due(occasion, what, standing.missing, exhausted), now)
            waiting.append(free_at)
        return Look(None, min(waiting))

    def of_the_writer(self, history: Sequence[Version]) -> Due | None:
        """Return the announcement of the request, for the very call that has just written it."""
        what = str(Occasion.REQUEST)
        missing = self.left_to("", what, history)
        return Due(Occasion.REQUEST, what, missing) if missing else None

    def left_to(self, nonce: str, what: str, history: Sequence[Version]) -> tuple[str, ...]:
        """Return the channels that whoever claimed with *nonce* is to tell; none where it may not."""
        standing = self._standing(self._tellings(history), what)
        holds = bool(standing.claims) and standing.claims[-1].nonce == nonce
        return standing.missing if holds else ()

    def counts(self, version: Version) -> bool:
        """Tell whether a mark in this version would count."""
        return version.number > self.asked.number and any(same_role(version.by, one) for one in self.tellers)

    def _occasions(
        self, told: Sequence[tuple[Version, Telling]]
    ) -> Iterator[tuple[Occasion, str, datetime, datetime]]:
        """Yield each occasion, its key, and the time within which it makes sense."""
        whole = self.expires_at - self.asked.at
        last = self.asked.at + whole * LAST_CALL
        yield Occasion.REQUEST, str(Occasion.REQUEST), self.asked.at, self.expires_at
        if not any(telling.what.startswith(Occasion.LAST_CALL) for _, telling in told):
            yield Occasion.HALF_TIME, str(Occasion.HALF_TIME), self.asked.at + whole * HALF_TIME, last
        yield Occasion.LAST_CALL, f"{Occasion.LAST_CALL} {timestamp(self.expires_at)}", last, self.expires_at

    def _tellings(self, history: Sequence[Version]) -> Sequence[tuple[Version, Telling]]:
        return [
            (version, telling)
            for version in sorted(history, key=lambda version: version.number)
            if self.counts(version) and (telling := read(version.text).telling)
        ]

    def _standing(self, told: Sequence[tuple[Version, Telling]], what: str) -> _Standing:
        claims = [_Claim("", self.asked.at)] if what == Occasion.REQUEST else []
        reached: set[str] = set()
        for version, telling in told:
            if telling.what != what:
                continue
            if telling.done:
                reached.update(channel.removesuffix(FAILED) for channel in telling.channels)
            elif telling.nonce and self._holds(claims, version.at):
                claims.append(_Claim(telling.nonce, version.at))
        missing = tuple(channel for channel in self.channels if channel not in reached)
        return _Standing(tuple(claims), missing)

    def _holds(self, earlier: Sequence[_Claim], at: datetime) -> bool:
        """Tell whether a claim made after these holds: a race has one winner, by AWS's own order."""
        lapses_at = _Standing(tuple(earlier), ()).lapses_at
        return len(earlier) < MAX_CLAIMS and (lapses_at is None or at >= lapses_at)
