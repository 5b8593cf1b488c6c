import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.durations import seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("45s", 45),
        ("0.5s", 0.5),
        ("10m", 600),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("2d", 172_800),
        ("1d2h3m4s", 93_784),
        ("0s", 0),
        (90, 90),
        (1.5, 1.5),
        (0, 0),
        ("365d", 31_536_000),
    ],
)
def test_a_duration_is_read_as_people_write_it(text: object, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "10",
        "10 minutes",
        "m",
        "-5m",
        "30m1h",
        "1.5h",
        "1h30",
        "5w",
        -1,
        True,
        None,
        [],
        {},
        float("nan"),
        float("inf"),
        1e300,
        10**400,
        "366d",
        "9" * 400 + "d",
    ],
    ids=lambda value: repr(value)[:12],
)
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="expected a duration such as 45s, 10m or 1h30m, of at most 365d"):
        seconds(text)


@given(
    days=st.integers(0, 300), hours=st.integers(0, 99), minutes=st.integers(0, 99), rest=st.integers(0, 99)
)
def test_the_units_add_up(days: int, hours: int, minutes: int, rest: int) -> None:
    assert seconds(f"{days}d{hours}h{minutes}m{rest}s") == ((days * 24 + hours) * 60 + minutes) * 60 + rest
