"""How green does with the queue, compared with limits and with the hour before.

Three things tell: messages reach the dead-letter queue; the oldest message gets too old and is not getting
younger; messages wait and none is deleted. The first is counted by SQS itself and seen at the next look;
the others are CloudWatch's minutes, which arrive late: one is judged a minute after its end.

A metric that is missing is not zero. The age of the oldest message is only reported while there is one
(https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html).
A message that was received three times and not deleted no longer counts for it, so that poison shows in
the dead-letter queue and nowhere else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hooks.consumer_activation.protocol import Health

MINUTE = timedelta(minutes=1)

# SQS sends its metrics each minute; the newest may still be on its way, or half of it.
SETTLING = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Minute:
    """What CloudWatch has of a minute. ``None`` where it has nothing."""

    start: datetime
    oldest_seconds: float | None = None
    """Age of the oldest message, at most."""
    waiting: float | None = None
    """Messages waiting, at most."""
    deleted: float | None = None
    """Messages deleted, in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was seen of the queue."""

    since: datetime
    """When green became active."""
    released: datetime
    """About when blue stopped; what comes after is not how it was before."""
    minutes: Sequence[Minute]
    """From an hour before the hand-over on, in order."""
    dead_letters_before: int | None
    dead_letters: int | None
    """In the dead-letter queue; ``None`` without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The settings, as far as they decide here."""

    max_dead_letters: int
    max_oldest_seconds: float
    max_oldest_factor: float
    stalled_minutes: int


def judge(seen: Seen, limits: Limits, now: datetime) -> Health:
    """Tell how green does."""
    # What nobody counted before, as where a person let green in, can't be told from what was there.
    before = seen.dead_letters if seen.dead_letters_before is None else seen.dead_letters_before
    arrived = max((seen.dead_letters or 0) - (before or 0), 0)
    if arrived > limits.max_dead_letters:
        return Health("bad", f"{arrived} dead letters since, at most {limits.max_dead_letters} may be")
    judged = [
        minute
        for minute in seen.minutes
        if minute.start >= seen.since and minute.start + MINUTE + SETTLING <= now
    ]
    return (
        _too_old(seen, judged, limits)
        or _stalled(judged, limits)
        or Health("good", _numbers(judged, arrived))
    )


def charts(seen: Seen, limits: Limits) -> list[dict[str, Any]]:
    """Draw the minutes, as a decision record's ``charts``."""
    series = (
        ("age of the oldest message", "s", [("oldest", "oldest_seconds")]),
        ("messages per minute", "", [("waiting", "waiting"), ("deleted", "deleted")]),
    )
    _, limit = _limit(seen, limits)
    return [
        {
            "title": title,
            "unit": unit,
            "series": [
                {
                    "name": name,
                    "points": [
                        [minute.start.isoformat(), getattr(minute, key)]
                        for minute in seen.minutes
                        if getattr(minute, key) is not None
                    ],
                }
                for name, key in lines
            ],
            "thresholds": [{"name": "at most", "value": limit}] if unit == "s" else [],
        }
        for title, unit, lines in series
        if seen.minutes
    ]


def _limit(seen: Seen, limits: Limits) -> tuple[float, float]:
    """Return how old the oldest message was in the hour before, and how old one may be now."""
    before = max(
        (minute.oldest_seconds or 0 for minute in seen.minutes if minute.start + MINUTE <= seen.released),
        default=0.0,
    )
    return before, max(limits.max_oldest_seconds, before * limits.max_oldest_factor)


def _too_old(seen: Seen, judged: Sequence[Minute], limits: Limits) -> Health | None:
    before, limit = _limit(seen, limits)
    last_two = [minute.oldest_seconds for minute in judged[-2:]]
    if len(last_two) < 2 or None in last_two:
        return None
    earlier, later = (age or 0 for age in last_two)
    if later <= limit or earlier <= limit or later < earlier:
        return None
    return Health(
        "bad",
        f"the oldest message is {later:.0f} s old and not getting younger, at most {limit:.0f} s may be "
        f"(in the hour before: {before:.0f} s)",
    )


def _stalled(judged: Sequence[Minute], limits: Limits) -> Health | None:
    last = judged[-limits.stalled_minutes :]
    if len(last) < limits.stalled_minutes:
        return None
    if any(not minute.waiting or minute.deleted is None or minute.deleted > 0 for minute in last):
        return None
    return Health(
        "bad",
        f"{last[-1].waiting:.0f} messages wait and none was deleted in {limits.stalled_minutes} minutes",
    )


def _numbers(judged: Sequence[Minute], arrived: int) -> str:
    if not judged:
        return f"no complete minute yet, {arrived} dead letters"
    deleted = sum(minute.deleted or 0 for minute in judged)
    oldest = max((minute.oldest_seconds or 0 for minute in judged), default=0)
    return (
        f"{deleted:.0f} messages deleted in {len(judged)} min, oldest {oldest:.0f} s, {arrived} dead letters"
    )
