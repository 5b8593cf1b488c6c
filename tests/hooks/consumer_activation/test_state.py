import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.consumer_activation.state import NotUnderstoodError, State, is_void, parse

VALUE: dict[str, Any] = {
    "schema": 1,
    "version": 7,
    "epoch": 1772442003,
    "active": "9313423515462893900",
    "draining": None,
    "since": "2026-03-02T09:01:06Z",
    "released": "2026-03-02T09:00:40Z",
    "deployment": "EZe5RNVLH6PPzHXINuP28",
    "leaseSeconds": 15,
    "readSeconds": 5,
    "readLagSeconds": 3,
    "handBack": None,
    "deadLetters": 12,
}
STATE = State(
    version=7,
    epoch=1772442003,
    active="9313423515462893900",
    since=datetime(2026, 3, 2, 9, 1, 6, tzinfo=UTC),
    released=datetime(2026, 3, 2, 9, 0, 40, tzinfo=UTC),
    deployment="EZe5RNVLH6PPzHXINuP28",
    dead_letters=12,
)
LEAST = {"schema": 1, "epoch": 0, "active": None, "leaseSeconds": 1, "readSeconds": 1, "readLagSeconds": 0}


def test_the_value_is_written_as_documented_and_read_back() -> None:
    assert json.loads(STATE.write()) == VALUE
    assert parse(json.dumps(VALUE)) == STATE


def test_a_person_needs_to_write_no_more_than_decides() -> None:
    assert parse(json.dumps(LEAST)) == State(
        version=None, epoch=0, active=None, lease_seconds=1, read_seconds=1, read_lag_seconds=0
    )


def test_an_edit_has_no_version_when_it_is_written_either() -> None:
    edit = replace(STATE, version=None)

    assert "version" not in json.loads(edit.write())
    assert parse(edit.write()) == edit


def test_unknown_keys_are_ignored() -> None:
    assert parse(json.dumps({**VALUE, "note": {"by": ["alice"]}})) == STATE


def test_a_reason_is_kept_short_enough_for_a_standard_parameter() -> None:
    written = replace(STATE, hand_back="x" * 9000).write()

    assert parse(written) == replace(STATE, hand_back="x" * 500)


def test_leases_are_waited_for_with_what_reads_may_lag_and_clocks_may_drift() -> None:
    assert replace(STATE, lease_seconds=15, read_lag_seconds=5).quiet_seconds == 20 * 1.01


ID = st.none() | st.from_regex(r"[A-Za-z0-9_-]{1,255}", fullmatch=True)
MOMENTS = st.none() | st.integers(0, 4_000_000_000).map(lambda unix: datetime.fromtimestamp(unix, UTC))


@given(
    st.builds(
        State,
        version=st.none() | st.integers(1, 2**53),
        epoch=st.integers(0, 2**53),
        active=ID,
        draining=ID,
        since=MOMENTS,
        released=MOMENTS,
        deployment=ID,
        lease_seconds=st.integers(1, 3600),
        read_seconds=st.integers(1, 3600),
        read_lag_seconds=st.integers(0, 3600),
        hand_back=st.none() | st.text(min_size=1, max_size=500),
        dead_letters=st.none() | st.integers(0, 2**53),
    )
)
def test_what_is_written_is_read_back(state: State) -> None:
    assert parse(state.write()) == state


LEFT_OUT = object()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": 2}, 'expected schema 1, got \'{"schema": 2'),
        ({"schema": LEFT_OUT}, "expected schema 1, got "),
        ({"schema": True}, "expected schema 1, got "),
        ({"schema": 1.0}, "expected schema 1, got "),
        ({"schema": "1"}, "expected schema 1, got "),
        ({"version": None}, "version: expected a whole number from 1 to 9007199254740992, got None"),
        ({"version": 0}, "version: expected a whole number from 1 to 9007199254740992, got 0"),
        ({"version": "7"}, "version: expected a whole number from 1 to 9007199254740992, got '7'"),
        ({"epoch": LEFT_OUT}, "epoch: expected a whole number from 0 to 9007199254740992, got None"),
        ({"epoch": -1}, "epoch: expected a whole number from 0 to 9007199254740992, got -1"),
        (
            {"epoch": 2**53 + 1},
            "epoch: expected a whole number from 0 to 9007199254740992, got 9007199254740993",
        ),
        ({"epoch": 1.5}, "epoch: expected a whole number from 0 to 9007199254740992, got 1.5"),
        ({"epoch": True}, "epoch: expected a whole number from 0 to 9007199254740992, got True"),
        ({"active": LEFT_OUT}, "active: missing"),
        ({"active": ""}, "active: expected an id or null, got ''"),
        ({"active": 42}, "active: expected an id or null, got 42"),
        ({"active": "a b"}, "active: expected an id or null, got 'a b'"),
        ({"active": "42\n"}, "active: expected an id or null, got '42\\n'"),
        ({"active": ["42"]}, "active: expected an id or null, got an array of 1"),
        ({"draining": False}, "draining: expected an id or null, got False"),
        ({"deployment": "a/b"}, "deployment: expected an id or null, got 'a/b'"),
        ({"since": "yesterday"}, "since: expected a time or null, got 'yesterday'"),
        ({"since": "2026-03-02T09:01:06"}, "since: expected a time or null, got '2026-03-02T09:01:06'"),
        ({"since": 1772442003}, "since: expected text or null, got 1772442003"),
        ({"released": "-"}, "released: expected a time or null, got '-'"),
        ({"leaseSeconds": LEFT_OUT}, "leaseSeconds: expected a whole number from 1 to 3600, got None"),
        ({"leaseSeconds": 0}, "leaseSeconds: expected a whole number from 1 to 3600, got 0"),
        ({"leaseSeconds": 3601}, "leaseSeconds: expected a whole number from 1 to 3600, got 3601"),
        ({"leaseSeconds": 15.0}, "leaseSeconds: expected a whole number from 1 to 3600, got 15.0"),
        ({"readSeconds": 0}, "readSeconds: expected a whole number from 1 to 3600, got 0"),
        ({"readLagSeconds": -1}, "readLagSeconds: expected a whole number from 0 to 3600, got -1"),
        ({"handBack": 1}, "handBack: expected text or null, got 1"),
        ({"deadLetters": -1}, "deadLetters: expected a whole number from 0 to 9007199254740992, got -1"),
        ({"note": "x" * 8192}, "8507 characters, at most 8192 are read"),
    ],
)
def test_what_is_wrong_with_a_value_is_named(change: dict[str, Any], said: str) -> None:
    value = {key: item for key, item in {**VALUE, **change}.items() if item is not LEFT_OUT}

    with pytest.raises(NotUnderstoodError) as caught:
        parse(json.dumps(value))
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON: ''"),
        ("green", "not JSON: 'green'"),
        ('{"schema": 1', "not JSON: '{\"schema\": 1'"),
        ("[" * 5000, "not JSON: "),
        ("9" * 5000, "not JSON: "),
        ("null", "expected a JSON object, got 'null'"),
        ("[]", "expected a JSON object, got '[]'"),
        ('{"epoch": NaN}', "NaN is not JSON"),
        ('{"epoch": -Infinity}', "-Infinity is not JSON"),
        ('{"active": "1", "active": "2"}', "a key stands there twice"),
    ],
)
def test_what_is_no_json_object_is_not_understood(text: str, said: str) -> None:
    with pytest.raises(NotUnderstoodError) as caught:
        parse(text)
    assert str(caught.value).startswith(said)


@given(st.text(max_size=60) | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_any_text_is_either_understood_or_not(text: str) -> None:
    try:
        parse(text)
    except NotUnderstoodError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("text", "number", "void"),
    [
        (json.dumps(VALUE), 7, False),
        (json.dumps(VALUE), 8, True),
        (json.dumps(VALUE), 6, True),
        # Too late is too late, whatever else is wrong with it.
        ('{"version": 7}', 8, True),
        ('{"version": 7, "schema": 2}', 8, True),
        # A person's edit, and what nobody understands, never comes too late.
        (json.dumps(LEAST), 8, False),
        ('{"version": "7"}', 8, False),
        ('{"version": true}', 8, False),
        ('{"version": null}', 8, False),
        ('{"version": 0}', 8, False),
        ('{"version": 7, "version": 7}', 8, False),
        ("consumers", 8, False),
    ],
)
def test_a_write_that_became_another_version_than_it_meant_is_void(
    text: str, number: int, *, void: bool
) -> None:
    assert is_void(text, number) is void
