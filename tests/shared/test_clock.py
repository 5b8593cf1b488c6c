from datetime import UTC, datetime, timedelta, timezone

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st

from shared import clock

MOMENT = datetime(2026, 3, 5, 15, 54, 41, 618_059, tzinfo=UTC)


def test_now_is_the_time_of_the_process_in_utc() -> None:
    with time_machine.travel(MOMENT, tick=False):
        assert clock.now() == MOMENT
        assert clock.now().tzinfo is UTC


def test_a_timestamp_is_written_the_way_aws_writes_it() -> None:
    assert clock.timestamp(MOMENT) == "2026-03-05T15:54:41Z"
    assert clock.timestamp(MOMENT.astimezone(timezone(timedelta(hours=9)))) == "2026-03-05T15:54:41Z"


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)))
def test_what_was_written_is_read_to_the_second(moment: datetime) -> None:
    assert clock.parse_timestamp(clock.timestamp(moment)) == moment.replace(microsecond=0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "None",
        "yesterday",
        "2026-03-05T15:54:41",
        "2026-13-05T15:54:41Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
    ],
)
def test_what_names_no_moment_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # the text is Python's in half of the cases
        clock.parse_timestamp(text)
