"""The time, and what is random, as hooks see them.

Modules that decide never call this: they are handed ``now``. Handlers call it once per invocation,
so that one decision has one time. The rehearsal moves this clock through a whole day in seconds.
"""

import secrets
import time
from datetime import UTC, datetime
from time import sleep as _sleep  # by itself: the rehearsal replaces the module, and its time can't wait


def now() -> datetime:
    """Return the present time in UTC."""
    # Through `time.time`, looked up at each call: the rehearsal replaces it inside the Lambda runtime.
    return datetime.fromtimestamp(time.time(), UTC)


def sleep(seconds: float) -> None:
    """Wait for what AWS does meanwhile: for seconds, not more. For minutes a hook says IN_PROGRESS."""
    _sleep(seconds)


def nonce() -> str:
    """Return a text that nobody else has: 64 random bits. The rehearsal's are its seed's."""
    return secrets.token_hex(8)


def timestamp(moment: datetime) -> str:
    """Write a time the way AWS does: ISO 8601, UTC, whole seconds (``2026-03-05T15:54:41Z``)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_timestamp(text: str) -> datetime:
    """Read what :func:`timestamp` wrote; raises ``ValueError`` for anything without a time zone."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"no time zone in {text!r}")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:  # the first or last day of the calendar, elsewhere
        raise ValueError(f"out of range: {text!r}") from error
