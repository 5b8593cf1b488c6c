"""The value of the parameter that says which revision is active, and how it is read.

One small JSON object; unknown keys are ignored::

    {
      "schema": 1,
      "version": 7,                      the version of the parameter that this write was meant to become
      "epoch": 1772442003,               grows with each switch: a fencing token
      "active": "9313423515462893900",   a service revision's id; null: nobody
      "draining": null,                  the revision whose last messages are waited for
      "since": "2026-03-02T09:01:06Z", "released": "2026-03-02T09:00:41Z",
      "deployment": "EZe5RNVLH6PPzHXINuP28",
      "leaseSeconds": 15, "readSeconds": 5, "readLagSeconds": 3,
      "handBack": null, "deadLetters": null
    }

Parameter Store can't write under a condition. So a write says which version it means to become, and one that
became another (somebody wrote in between) is *void*, for every reader: the newest version that is not void
holds. A value without ``version`` is a person's edit, and never void. A value that can't be understood is
*garbage*: it holds, and nobody is active.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

SCHEMA = 1

# An advanced parameter holds 8 KB (https://docs.aws.amazon.com/general/latest/gr/ssm.html); more is no state.
MAX_CHARACTERS = 8 * 1024

MAX_SECONDS = 3600
"""The longest lease, read interval and read lag: a revision that lost its place keeps it no longer."""

MAX_EPOCH = 2**53
"""Up to here all readers of JSON agree on whole numbers."""

DEFAULT_LEASE_SECONDS = 15
DEFAULT_READ_SECONDS = 5
DEFAULT_READ_LAG_SECONDS = 3

# Revisions have decimal numbers today, and deployments letters too; nothing says that they stay so.
_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")


class Garbage(ValueError):
    """The value can't be understood; the text says why."""


@dataclass(frozen=True, slots=True)
class State:
    """What one version of the parameter says."""

    epoch: int
    active: str | None
    """The revision that may receive, or ``None`` for nobody."""
    lease_seconds: int = DEFAULT_LEASE_SECONDS
    read_seconds: int = DEFAULT_READ_SECONDS
    read_lag_seconds: int = DEFAULT_READ_LAG_SECONDS
    """For how long a read may still return an older version after a write."""
    version: int | None = None
    """The version this write was meant to become; ``None`` for a person's edit."""
    draining: str | None = None
    since: str | None = None
    released: str | None = None
    """When the revision before was told to stop."""
    deployment: str | None = None
    hand_back: str | None = None
    dead_letters: int | None = None

    def to_json(self) -> str:
        """Return the value as it is stored.

        >>> parse(State(epoch=8, active="42").to_json()) == State(epoch=8, active="42")
        True
        """
        found = {
            re.sub(r"_(.)", lambda match: match[1].upper(), name): value
            for name, value in asdict(self).items()
        }
        if self.version is None:
            del found["version"]
        return json.dumps({"schema": SCHEMA} | found)


def parse(text: str) -> State:
    """Return what *text* says.

    Raises
    ------
    Garbage
        Not JSON, a key is missing or of the wrong type, out of range, or another schema.
    """
    found = _json_object(text)
    schema = found.get("schema")
    if type(schema) is not int or schema != SCHEMA:  # True and 1.0 are equal to 1
        raise Garbage(f"schema is {_shown(schema)}; this library reads schema {SCHEMA}")
    for name in ("epoch", "active", "leaseSeconds", "readSeconds", "readLagSeconds"):
        if name not in found:
            raise Garbage(f"there is no {name}")
    return State(
        epoch=_whole(found, "epoch"),
        active=_id(found, "active"),
        lease_seconds=_whole(found, "leaseSeconds", at_least=1, at_most=MAX_SECONDS),
        read_seconds=_whole(found, "readSeconds", at_least=1, at_most=MAX_SECONDS),
        read_lag_seconds=_whole(found, "readLagSeconds", at_most=MAX_SECONDS),
        version=_meant(found),
        draining=_id(found, "draining"),
        since=_moment(found, "since"),
        released=_moment(found, "released"),
        deployment=_id(found, "deployment"),
        hand_back=_text(found, "handBack"),
        dead_letters=None if found.get("deadLetters") is None else _whole(found, "deadLetters"),
    )


def is_void(text: str, version: int) -> bool:
    """Tell whether *text*, found as *version* of the parameter, came too late to count.

    >>> is_void('{"version": 7}', 8)
    True
    >>> is_void('{"active": "42"}', 8), is_void("garbage", 8)
    (False, False)
    """
    try:
        meant = _meant(_json_object(text))
    except Garbage:
        return False
    return meant is not None and meant != version


def _json_object(text: str) -> Mapping[str, Any]:
    if len(text) > MAX_CHARACTERS:
        raise Garbage(f"{len(text)} characters; a state has at most {MAX_CHARACTERS}")
    try:
        found = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_once)
    except Garbage:
        raise
    except (ValueError, RecursionError) as error:
        raise Garbage(f"not JSON: {error}") from error
    if not isinstance(found, dict):
        raise Garbage(f"not a JSON object but {_shown(found)}")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise Garbage(f"{name} is not JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a name that stands there twice: people and parsers would disagree on which one counts."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise Garbage(f"{next(name for name in names if names.count(name) > 1)} stands there twice")
    return found


def _meant(found: Mapping[str, Any]) -> int | None:
    return _whole(found, "version", at_least=1) if "version" in found else None


def _whole(found: Mapping[str, Any], name: str, *, at_least: int = 0, at_most: int = MAX_EPOCH) -> int:
    value = found.get(name)
    if type(value) is not int or not at_least <= value <= at_most:  # True is an int, too
        raise Garbage(f"{name} is {_shown(value)}, not a whole number from {at_least} to {at_most}")
    return value


def _id(found: Mapping[str, Any], name: str) -> str | None:
    value = found.get(name)
    if value is None or (isinstance(value, str) and _ID.fullmatch(value)):
        return value
    raise Garbage(f"{name} is {_shown(value)}, neither an id nor null")


def _text(found: Mapping[str, Any], name: str) -> str | None:
    value = found.get(name)
    if value is None or isinstance(value, str):
        return value
    raise Garbage(f"{name} is {_shown(value)}, neither text nor null")


def _moment(found: Mapping[str, Any], name: str) -> str | None:
    value = _text(found, name)
    if value is not None and not _is_time(value):
        raise Garbage(f"{name} is {_shown(value)}, neither a time with its zone nor null")
    return value


def _is_time(text: str) -> bool:
    try:
        moment = datetime.fromisoformat(text)
        moment.astimezone(UTC)
    except (ValueError, OverflowError):  # the latter at the ends of the calendar
        return False
    return moment.tzinfo is not None


def _shown(value: object) -> str:
    shown = json.dumps(value)
    return shown if len(shown) <= 40 else f"{shown[:40]}..."
