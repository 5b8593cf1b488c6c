"""The numbers that polling promises, with the settings that hold when nobody says anything."""

import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.manual_approval.decision import Pace
from hooks.manual_approval.settings import ApprovalSettings

DAY = timedelta(hours=24)


def pace(settings: ApprovalSettings) -> Pace:
    return Pace(
        first_seconds=settings.poll_first_seconds,
        growth=settings.poll_growth,
        fresh_seconds=settings.poll_seconds,
        late_seconds=settings.poll_late_seconds,
        late_after=timedelta(minutes=settings.poll_late_after_minutes),
    )


DEFAULT = pace(ApprovalSettings())


def looks(by: Pace, until: timedelta, start: int) -> list[int]:
    """Return the seconds at which a request that nobody answers is looked at, as ECS would call."""
    at, found = start, [0, start]
    while at < until.total_seconds():
        at += math.ceil(by.delay(timedelta(seconds=at), until - timedelta(seconds=at)))
        found.append(at)
    return found


DEFAULT_LOOKS = looks(DEFAULT, DAY, ApprovalSettings().poll_first_seconds)


def test_the_first_looks_come_soon_and_grow_apart() -> None:
    assert DEFAULT_LOOKS[:8] == [0, 5, 13, 25, 43, 70, 100, 130]


@pytest.mark.parametrize(
    ("since", "until", "within"),
    [(0, 3600, 30), (3600, DAY.total_seconds(), 180)],
    ids=["first hour", "later"],
)
def test_a_decision_is_seen_within_what_is_promised(since: int, until: float, within: int) -> None:
    decisions = range(since, int(until))
    ahead = iter(DEFAULT_LOOKS)
    look = next(ahead)
    for decision in decisions:
        while look <= decision and look < DAY.total_seconds():
            look = next(ahead)
        assert look - decision <= within


def test_a_day_takes_at_most_600_looks() -> None:
    assert len(DEFAULT_LOOKS) == 584
    assert DEFAULT_LOOKS[-1] == DAY.total_seconds()


def test_the_last_look_falls_on_the_expiry() -> None:
    assert DEFAULT.delay(timedelta(minutes=30), timedelta(seconds=7)) == 7
    assert DEFAULT.delay(timedelta(hours=23), timedelta(seconds=0.2)) == 1
    assert DEFAULT.delay(timedelta(hours=23), timedelta(seconds=-9)) == 1


@pytest.mark.parametrize(
    ("waited", "delay"),
    [
        (timedelta(seconds=-60), 5),
        (timedelta(0), 5),
        (timedelta(seconds=10), 10),
        (timedelta(minutes=59, seconds=59), 30),
        (timedelta(minutes=60), 180),
        (timedelta(hours=23), 180),
    ],
)
def test_a_delay_follows_from_the_time_waited(waited: timedelta, delay: float) -> None:
    assert DEFAULT.delay(waited, DAY) == delay


@given(
    st.builds(
        ApprovalSettings,
        pollFirstSeconds=st.integers(1, 10),
        pollSeconds=st.integers(10, 100),
        pollLateSeconds=st.integers(100, 3600),
        pollGrowth=st.floats(1, 10),
        pollLateAfterMinutes=st.integers(0, 1440),
    ),
    st.timedeltas(-DAY, 2 * DAY),
    st.timedeltas(-DAY, 2 * DAY),
)
def test_no_delay_is_beyond_its_settings(
    settings: ApprovalSettings, waited: timedelta, left: timedelta
) -> None:
    assert 1 <= pace(settings).delay(waited, left) <= max(settings.poll_late_seconds, 1)
