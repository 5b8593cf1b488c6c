import json
from datetime import UTC, datetime
from typing import Any

import pytest
from activation_gate import Garbage, State, parse
from activation_gate.state import MAX_CHARACTERS, MAX_EPOCH, MAX_SECONDS, is_void
from hypothesis import given
from hypothesis import strategies as st

WRITTEN = {
    "schema": 1,
    "version": 7,
    "epoch": 1772442003,
    "active": "9313423515462893900",
    "draining": "1920498462936580504",
    "since": "2026-03-02T09:01:06Z",
    "released": "2026-03-02T09:00:41Z",
    "deployment": "EZe5RNVLH6PPzHXINuP28",
    "leaseSeconds": 15,
    "readSeconds": 5,
    "readLagSeconds": 2,
    "handBack": "green failed",
    "deadLetters": 12,
}
BY_HAND = {
    "schema": 1,
    "epoch": 9,
    "active": None,
    "leaseSeconds": 15,
    "readSeconds": 5,
    "readLagSeconds": 3,
}

ids = st.none() | st.from_regex(r"[A-Za-z0-9_-]{1,40}", fullmatch=True)
moments = st.none() | st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat)
seconds = st.integers(1, MAX_SECONDS)
texts = st.none() | st.text(max_size=40)
states = st.builds(
    State,
    epoch=st.integers(0, MAX_EPOCH),
    active=ids,
    lease_seconds=seconds,
    read_seconds=seconds,
    read_lag_seconds=st.integers(0, MAX_SECONDS),
    version=st.none() | st.integers(1, MAX_EPOCH),
    draining=ids,
    since=moments,
    released=moments,
    deployment=ids,
    hand_back=texts,
    dead_letters=st.none() | st.integers(0, MAX_EPOCH),
)


def test_every_key_is_read() -> None:
    assert parse(json.dumps(WRITTEN)) == State(
        epoch=1772442003,
        active="9313423515462893900",
        lease_seconds=15,
        read_seconds=5,
        read_lag_seconds=2,
        version=7,
        draining="1920498462936580504",
        since="2026-03-02T09:01:06Z",
        released="2026-03-02T09:00:41Z",
        deployment="EZe5RNVLH6PPzHXINuP28",
        hand_back="green failed",
        dead_letters=12,
    )


def test_a_person_may_leave_out_what_only_explains() -> None:
    assert parse(json.dumps(BY_HAND)) == State(epoch=9, active=None)


def test_unknown_keys_are_ignored() -> None:
    assert parse(json.dumps(BY_HAND | {"note": ["for", "people"]})) == State(epoch=9, active=None)


@given(states)
def test_what_is_written_is_what_is_read(state: State) -> None:
    assert parse(state.to_json()) == state


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON: Expecting value: line 1 column 1 (char 0)"),
        ("active", "not JSON: Expecting value: line 1 column 1 (char 0)"),
        ('"active"', 'not a JSON object but "active"'),
        ("[" * 8000, None),  # how deep is too deep is Python's affair
        ("1" * 5000, None),
        ("x" * (MAX_CHARACTERS + 1), "8193 characters; a state has at most 8192"),
        ('{"epoch": 1, "epoch": 2}', "epoch stands there twice"),
        ('{"leaseSeconds": NaN}', "NaN is not JSON"),
        ('{"leaseSeconds": -Infinity}', "-Infinity is not JSON"),
    ],
)
def test_what_is_no_json_object_is_garbage(text: str, reason: str | None) -> None:
    with pytest.raises(Garbage) as raised:
        parse(text)
    assert reason in {None, str(raised.value)}
    assert not is_void(text, 3)


@pytest.mark.parametrize(
    "missing", ["schema", "epoch", "active", "leaseSeconds", "readSeconds", "readLagSeconds"]
)
def test_what_decides_must_be_there(missing: str) -> None:
    with pytest.raises(Garbage, match=missing):
        parse(json.dumps({key: value for key, value in BY_HAND.items() if key != missing}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("schema", value) for value in (0, 2, "1", True, None, 1.0)),
        *(("version", value) for value in (0, -1, "7", True, None, 7.0)),
        *(("epoch", value) for value in (-1, "1", True, None, 1.0, MAX_EPOCH + 1)),
        *(("active", value) for value in ("", "two words", "\u00e9", 42, True, [], {}, "x" * 256)),
        *(("draining", value) for value in ("", 42, False)),
        *(("deployment", value) for value in ("", 42)),
        *(("leaseSeconds", value) for value in (0, 0.5, 15.0, 3601, "15", True, None, [], 10**400)),
        *(("readSeconds", value) for value in (0, -5, 3601, "5", None)),
        *(("readLagSeconds", value) for value in (-0.1, 3601, "5", None, False)),
        *(("since", value) for value in (0, False, [], "", "yesterday", "2026-03-02T09:01:06")),
        *(("handBack", value) for value in (0, True)),
        *(("deadLetters", value) for value in (-1, 1.5, "12", True)),
    ],
)
def test_a_value_of_the_wrong_kind_or_size_is_garbage_and_named(key: str, value: Any) -> None:
    with pytest.raises(Garbage, match=f"^{key} is "):
        parse(json.dumps(WRITTEN | {key: value}))


@given(
    st.text(max_size=60)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(WRITTEN)), inner),
        max_leaves=12,
    ).map(json.dumps),
    st.integers(1, 9),
)
def test_no_text_can_do_more_than_be_garbage(text: str, version: int) -> None:
    assert is_void(text, version) in {True, False}
    try:
        found = parse(text)
    except Garbage:
        return
    assert parse(found.to_json()) == found


@pytest.mark.parametrize(
    ("value", "version", "void"),
    [
        (WRITTEN, 7, False),
        (WRITTEN, 8, True),
        (WRITTEN, 6, True),
        (BY_HAND, 8, False),
        ({"version": 7}, 8, True),  # whatever else it says, it came too late
        ({"version": "7"}, 8, False),  # garbage, which is not stepped over
        ({"version": True}, 8, False),
        ({"version": None}, 8, False),
        ([7], 8, False),
    ],
)
def test_a_write_that_became_another_version_than_it_meant_to_is_void(
    value: Any, version: int, void: bool
) -> None:
    assert is_void(json.dumps(value), version) is void
