"""Who may consume, as it stands in the service's parameter.

::

    {
        "schema": 1,
        "version": 7,
        "epoch": 1772442003,
        "active": "9313423515462893900",
        "draining": null,
        "since": "2026-03-02T09:00:03Z",
        "deployment": "EZe5RNVLH6PPzHXINuP28",
        "leaseSeconds": 15,
        "readSeconds": 5,
        "readLagSeconds": 3,
        "handBack": null,
        "deadLetters": 12,
    }

PutParameter has no condition, so ``version`` is what makes it one: it is the number that the writer
expected Parameter Store to give the write. Where the two differ, somebody else wrote in between; the
write came too late and is *void* for everybody who reads it. What holds is the newest version that is
not void. A value without ``version`` is a person's edit, and is never void.

The workers' side of this format is ``activation_gate.state``. Both understand the same values: a lease that
workers go by and the hook does not know of would be one that it does not wait for.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from shared.clock import parse_timestamp, timestamp
from shared.errors import shown

SCHEMA = 1

# Parameter Store's limit for a standard parameter is 4096; a person may have made it an advanced one.
MAX_CHARACTERS = 8192
MAX_REASON_CHARACTERS = 500
MAX_SECONDS = 3600

# Two machines' clocks are taken to run at most this much faster or slower than each other: twenty times
# what the Linux kernel's NTP discipline corrects at most (500 ppm, adjtimex(2)).
CLOCK_RATE_TOLERANCE = 0.01

_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")


class NotUnderstoodError(ValueError):
    """The value is no state; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Who may consume, and how a hand-over stands."""

    version: int | None
    """The parameter version this was written to become; ``None`` for a person's edit."""
    epoch: int
    """Grows with every switch: Unix time of the switch, or one more than the last."""
    active: str | None
    """Id of the service revision that may receive; ``None`` while nobody may."""
    draining: str | None = None
    """Id of the revision that was active before, while its work is waited for."""
    since: datetime | None = None
    released: datetime | None = None
    """When the hand-over began, and the revision before was told to stop."""
    deployment: str | None = None
    """Id of the deployment that wrote this."""
    lease_seconds: int = 15
    read_seconds: int = 5
    read_lag_seconds: int = 3
    hand_back: str | None = None
    """Why blue has to be active after all in :attr:`deployment`."""
    dead_letters: int | None = None
    """How many messages were in the dead-letter queue when the hand-over began."""

    @property
    def quiet_seconds(self) -> float:
        """After this long nobody holds a lease from before this version.

        The last read that a worker can have begun and that still found the version before began
        ``read_lag_seconds`` after the write, and its lease ends ``lease_seconds`` later by its own clock.
        """
        return (self.lease_seconds + self.read_lag_seconds) * (1 + CLOCK_RATE_TOLERANCE)

    def write(self) -> str:
        """Return the parameter's value."""
        return json.dumps(
            {
                "schema": SCHEMA,
                **({"version": self.version} if self.version is not None else {}),
                "epoch": self.epoch,
                "active": self.active,
                "draining": self.draining,
                "since": timestamp(self.since) if self.since else None,
                "released": timestamp(self.released) if self.released else None,
                "deployment": self.deployment,
                "leaseSeconds": self.lease_seconds,
                "readSeconds": self.read_seconds,
                "readLagSeconds": self.read_lag_seconds,
                "handBack": self.hand_back and self.hand_back[:MAX_REASON_CHARACTERS],
                "deadLetters": self.dead_letters,
            }
        )


def parse(text: str) -> State:
    """Read a value. Unknown keys are ignored.

    Raises
    ------
    NotUnderstoodError
        Naming the key.
    """
    value = _object(text)
    if type(value.get("schema")) is not int or value["schema"] != SCHEMA:
        raise NotUnderstoodError(f"expected schema {SCHEMA}, got {shown(text)}")
    return State(
        version=_whole(value, "version", least=1) if "version" in value else None,
        epoch=_whole(value, "epoch", least=0),
        active=_id(value, "active"),
        draining=_id(value, "draining"),
        since=_moment(value, "since"),
        released=_moment(value, "released"),
        deployment=_id(value, "deployment"),
        lease_seconds=_whole(value, "leaseSeconds", least=1, most=MAX_SECONDS),
        read_seconds=_whole(value, "readSeconds", least=1, most=MAX_SECONDS),
        read_lag_seconds=_whole(value, "readLagSeconds", least=0, most=MAX_SECONDS),
        hand_back=_text(value, "handBack"),
        dead_letters=_whole(value, "deadLetters", least=0) if value.get("deadLetters") is not None else None,
    )


def is_void(text: str, number: int) -> bool:
    """Tell whether *text*, found as version *number*, came too late to count."""
    try:
        value = _object(text)
        return "version" in value and _whole(value, "version", least=1) != number
    except NotUnderstoodError:
        return False


def _object(text: str) -> Mapping[str, Any]:
    if len(text) > MAX_CHARACTERS:
        raise NotUnderstoodError(f"{len(text)} characters, at most {MAX_CHARACTERS} are read")
    try:
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except NotUnderstoodError:
        raise
    except (ValueError, RecursionError) as error:
        raise NotUnderstoodError(f"not JSON: {shown(text)}") from error
    if not isinstance(value, Mapping):
        raise NotUnderstoodError(f"expected a JSON object, got {shown(text)}")
    return value


def _no_number(name: str) -> NoReturn:
    raise NotUnderstoodError(f"{name} is not JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Of two values for one key, a person would see one and a parser the other.
    value = dict(pairs)
    if len(value) != len(pairs):
        raise NotUnderstoodError("a key stands there twice")
    return value


def _whole(value: Mapping[str, Any], key: str, *, least: int, most: int = 2**53) -> int:
    number = value.get(key)
    # bool is an int to Python.
    if type(number) is not int or not least <= number <= most:
        raise NotUnderstoodError(
            f"{key}: expected a whole number from {least} to {most}, got {shown(number)}"
        )
    return number


def _id(value: Mapping[str, Any], key: str) -> str | None:
    if key == "active" and key not in value:
        raise NotUnderstoodError("active: missing")
    text = value.get(key)
    if text is not None and not (isinstance(text, str) and _ID.fullmatch(text)):
        raise NotUnderstoodError(f"{key}: expected an id or null, got {shown(text)}")
    return text


def _text(value: Mapping[str, Any], key: str) -> str | None:
    text = value.get(key)
    if text is not None and not isinstance(text, str):
        raise NotUnderstoodError(f"{key}: expected text or null, got {shown(text)}")
    return text


def _moment(value: Mapping[str, Any], key: str) -> datetime | None:
    text = _text(value, key)
    try:
        return None if text is None else parse_timestamp(text)
    except ValueError as error:
        raise NotUnderstoodError(f"{key}: expected a time or null, got {shown(text)}") from error
