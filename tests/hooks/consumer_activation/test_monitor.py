from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.consumer_activation.monitor import Limits, Minute, Seen, judge
from hooks.consumer_activation.protocol import Health

RELEASED = datetime(2026, 3, 5, 12, 0, 20, tzinfo=UTC)
SINCE = datetime(2026, 3, 5, 12, 2, 0, tzinfo=UTC)
LIMITS = Limits(max_dead_letters=0, max_oldest_seconds=300, max_oldest_factor=2.0, stalled_minutes=3)

Row = tuple[float | None, float | None, float | None]
"""Oldest, waiting and deleted in a minute."""

WELL: Row = (4.0, 1.0, 60.0)


def minutes(*rows: Row, start: datetime = SINCE) -> list[Minute]:
    return [Minute(start + timedelta(minutes=number), *row) for number, row in enumerate(rows)]


def seen(*rows: Row, before: float | None = None, since: datetime = SINCE) -> Seen:
    """Return green's minutes, and how old the oldest message was in the hour before."""
    history = [Minute(RELEASED - timedelta(minutes=30), before)] if before is not None else []
    return Seen(
        since=since,
        released=RELEASED,
        minutes=[*history, *minutes(*rows)],
        dead_letters_before=None,
        dead_letters=None,
    )


def judged(at: Seen, *, limits: Limits = LIMITS, minute: float | None = None) -> Health:
    """Judge when *minute* minutes of green are over, and the last one's metrics are complete."""
    over = minute if minute is not None else sum(found.start >= at.since for found in at.minutes)
    return judge(at, limits, SINCE + timedelta(minutes=over + 1))


# ------------------------------------------------------------------------------------ nothing wrong


@pytest.mark.parametrize(
    ("at", "detail"),
    [
        (seen(), "no complete minute yet, 0 dead letters"),
        (seen(WELL), "60 messages deleted in 1 min, oldest 4 s, 0 dead letters"),
        (seen(WELL, (9.0, 1.0, 40.0)), "100 messages deleted in 2 min, oldest 9 s, 0 dead letters"),
        (seen((None, None, None)), "0 messages deleted in 1 min, oldest 0 s, 0 dead letters"),
    ],
)
def test_what_is_well_is_told_in_numbers(at: Seen, detail: str) -> None:
    assert judged(at) == Health("good", detail)


# ------------------------------------------------------------------------------------ dead letters


@pytest.mark.parametrize(
    ("before", "now", "limit", "health"),
    [
        (0, 0, 0, Health("good", "no complete minute yet, 0 dead letters")),
        (0, 1, 0, Health("bad", "1 dead letters since, at most 0 may be")),
        (0, 2, 2, Health("good", "no complete minute yet, 2 dead letters")),
        (0, 3, 2, Health("bad", "3 dead letters since, at most 2 may be")),
        # Those of before are not green's.
        (12, 12, 0, Health("good", "no complete minute yet, 0 dead letters")),
        (12, 13, 0, Health("bad", "1 dead letters since, at most 0 may be")),
        # Somebody has taken some away meanwhile.
        (12, 5, 0, Health("good", "no complete minute yet, 0 dead letters")),
        # Nobody counted before, so nobody can tell whose they are.
        (None, 5, 0, Health("good", "no complete minute yet, 0 dead letters")),
        # There is no dead-letter queue, or no longer.
        (None, None, 0, Health("good", "no complete minute yet, 0 dead letters")),
        (12, None, 0, Health("good", "no complete minute yet, 0 dead letters")),
    ],
)
def test_dead_letters_are_counted_from_the_hand_over_on(
    before: int | None, now: int | None, limit: int, health: Health
) -> None:
    at = replace(seen(), dead_letters_before=before, dead_letters=now)

    assert judged(at, limits=replace(LIMITS, max_dead_letters=limit)) == health


# ------------------------------------------------------------------------------------ the oldest message


def oldest(*ages: float | None) -> list[Row]:
    return [(age, 5.0, 60.0) for age in ages]


@pytest.mark.parametrize(
    ("before", "ages", "limit"),
    [
        (None, [301.0, 301.0], 300),
        (None, [301.0, 400.0], 300),
        (None, [10.0, 301.0, 400.0], 300),
        # In the hour before it was older than that: so it may be twice as old.
        (200.0, [401.0, 402.0], 400),
        (150.0, [301.0, 301.0], 300),
    ],
)
def test_an_oldest_message_that_is_too_old_and_gets_no_younger_is_bad(
    before: float | None, ages: list[float], limit: int
) -> None:
    assert judged(seen(*oldest(*ages), before=before)) == Health(
        "bad",
        f"the oldest message is {ages[-1]:.0f} s old and not getting younger, at most {limit} s may be "
        f"(in the hour before: {before or 0:.0f} s)",
    )


@pytest.mark.parametrize(
    ("before", "ages"),
    [
        (None, [300.0, 300.0]),  # at the limit
        (None, [301.0, 300.0]),
        (None, [300.0, 900.0]),  # once may be chance
        (None, [900.0]),
        (None, [900.0, 899.0]),  # green catches up
        (None, [900.0, 900.0, 10.0]),  # and has caught up
        (200.0, [400.0, 400.0]),
        # CloudWatch has no value while there is no message; that is not an age of zero, nor a bad one.
        (None, [900.0, None]),
        (None, [None, 900.0]),
        (None, [None, None]),
    ],
)
def test_an_oldest_message_that_may_be_so_old_is_not(before: float | None, ages: list[float | None]) -> None:
    assert judged(seen(*oldest(*ages), before=before)).verdict == "good"


def test_only_minutes_that_were_over_when_blue_stopped_are_how_it_was_before() -> None:
    while_nobody_consumed = Minute(RELEASED.replace(second=0), 5000.0, 5.0, 0.0)
    bad = seen(*oldest(900.0, 900.0))
    at = replace(bad, minutes=[while_nobody_consumed, *bad.minutes])

    assert judged(at, minute=2).verdict == "bad"
    earlier = replace(while_nobody_consumed, start=RELEASED - timedelta(minutes=1))
    assert judged(replace(bad, minutes=[earlier, *bad.minutes]), minute=2).verdict == "good"


# ------------------------------------------------------------------------------------ nothing is deleted

STALLED: Row = (10.0, 5.0, 0.0)


def test_messages_that_wait_while_none_is_deleted_are_bad() -> None:
    assert judged(seen(WELL, STALLED, STALLED, (10.0, 7.0, 0.0))) == Health(
        "bad", "7 messages wait and none was deleted in 3 minutes"
    )
    one = replace(LIMITS, stalled_minutes=1)
    assert judged(seen(STALLED), limits=one) == Health(
        "bad", "5 messages wait and none was deleted in 1 minutes"
    )


@pytest.mark.parametrize(
    "rows",
    [
        [STALLED, STALLED],
        [WELL, STALLED, STALLED],
        [STALLED, STALLED, (10.0, 5.0, 1.0)],
        [STALLED, (10.0, 0.0, 0.0), STALLED],  # nothing waited
        [STALLED, (10.0, None, 0.0), STALLED],  # nobody knows whether something waited
        [STALLED, (10.0, 5.0, None), STALLED],  # nor whether something was deleted
        [STALLED, STALLED, STALLED, WELL],
    ],
)
def test_whatever_may_be_no_stall_is_none(rows: list[Row]) -> None:
    assert judged(seen(*rows)).verdict == "good"


# ------------------------------------------------------------------------------------ which minutes count


def test_a_minute_counts_a_minute_after_its_end() -> None:
    at = seen(STALLED, STALLED, STALLED)

    def after(seconds: float) -> Health:
        return judge(at, LIMITS, SINCE + timedelta(minutes=3, seconds=seconds))

    assert after(59.9) == Health("good", "0 messages deleted in 2 min, oldest 10 s, 0 dead letters")
    assert after(60).verdict == "bad"


def test_a_minute_in_which_green_was_not_active_from_its_beginning_does_not_count() -> None:
    rows = [STALLED, STALLED, STALLED]

    assert judged(seen(*rows, since=SINCE), minute=3).verdict == "bad"
    late = SINCE + timedelta(seconds=1)
    assert judged(seen(*rows, since=late), minute=3) == Health(
        "good", "0 messages deleted in 2 min, oldest 10 s, 0 dead letters"
    )


VALUES = st.none() | st.sampled_from([0.0, 1.0, 300.0, 301.0, 900.0])
ROWS = st.lists(st.tuples(VALUES, VALUES, VALUES), max_size=8)


@given(ROWS, st.none() | st.sampled_from([0.0, 100.0, 500.0]), st.integers(0, 10))
def test_laxer_limits_never_make_green_worse(rows: list[Row], before: float | None, minute: int) -> None:
    at = seen(*rows, before=before)
    laxer = [
        replace(LIMITS, max_oldest_seconds=600),
        replace(LIMITS, max_oldest_factor=4.0),
        replace(LIMITS, stalled_minutes=4),
        replace(LIMITS, max_dead_letters=1),
    ]

    if judged(at, minute=minute).verdict == "good":
        assert {judged(at, limits=limits, minute=minute).verdict for limits in laxer} == {"good"}


@given(ROWS, st.integers(0, 7))
def test_what_nobody_knows_of_a_minute_never_makes_green_worse(rows: list[Row], number: int) -> None:
    if number < len(rows) and judged(seen(*rows)).verdict == "good":
        unknown = [*rows[:number], (None, None, None), *rows[number + 1 :]]
        assert judged(seen(*unknown)).verdict == "good"
