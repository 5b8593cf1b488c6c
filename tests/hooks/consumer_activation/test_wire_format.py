"""Hook and workers read a value alike, though they share no code: one runs where the other does not."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from unittest import mock

import pytest
from activation_gate import state as worker
from activation_gate.parameter import Parameter, ReadError
from botocore.exceptions import ClientError
from hypothesis import example, given
from hypothesis import strategies as st

from hooks.consumer_activation import parameter_store
from hooks.consumer_activation import state as hook
from shared.clock import parse_timestamp, timestamp
from tests.hooks.consumer_activation.service import NAME, START, History

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

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.sampled_from([0, 1, 2, 15, 3600, 3601, 2**53, 2**63 - 1, 2**63, 1.0, 0.5, 15.0, 1e300, -0.0])
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(
        ["42", "", "a b", "naïve", "x" * 256, "x" * 257, "2026-03-02", "2026-03-02T09:01:06+01:00", "\ud800"]
    )
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """Return a value that is nearly right."""
    value = dict(VALUE)
    for key in draw(st.lists(st.sampled_from([*VALUE, "note"]), max_size=3)):
        if draw(st.booleans()):
            value[key] = draw(JSON)
        else:
            value.pop(key, None)
    text = json.dumps(value)
    match draw(st.sampled_from(["", "", "", "cut", "twice", "tail"])):
        case "cut":
            return text[: draw(st.integers(0, len(text)))]
        case "twice":
            return text.replace("{", f'{{"{draw(st.sampled_from(sorted(VALUE)))}": 1, ', 1)
        case "tail":
            return text + draw(st.text(max_size=3))
    return text


TEXTS = mutated() | st.text(max_size=40) | JSON.map(json.dumps)


def as_the_hook_has_it(text: str) -> dict[str, Any] | None:
    try:
        found = hook.parse(text)
    except hook.NotUnderstoodError:
        return None
    return asdict(found)


def as_a_worker_has_it(text: str) -> dict[str, Any] | None:
    try:
        found = worker.parse(text)
    except worker.Garbage:
        return None
    # A worker shows times, and never compares them.
    times = {name: getattr(found, name) for name in ("since", "released")}
    return {**asdict(found), **{name: at and parse_timestamp(at) for name, at in times.items()}}


@given(TEXTS, st.integers(1, 9))
@example(json.dumps(VALUE), 7)
@example(json.dumps({**VALUE, "leaseSeconds": 60.5}), 7)
@example(json.dumps({**VALUE, "since": "yesterday"}), 7)
@example(json.dumps({**VALUE, "epoch": 2**53 + 1}), 7)
@example(json.dumps({**VALUE, "version": 2**53 + 1}), 7)
@example(json.dumps({**VALUE, "active": "revision:42"}), 7)
@example(json.dumps({**VALUE, "schema": 1.0}), 7)
@example(json.dumps({**VALUE, "schema": True}), 7)
@example("[" * 5000, 7)
@example('{"epoch": ' + "9" * 5000 + "}", 7)
@example(json.dumps({**VALUE, "note": "x" * 8192}), 7)
def test_hook_and_worker_understand_the_same_and_the_same_by_it(text: str, number: int) -> None:
    assert as_the_hook_has_it(text) == as_a_worker_has_it(text)
    assert hook.is_void(text, number) == worker.is_void(text, number)


ID = st.none() | st.from_regex(r"[0-9]{1,20}", fullmatch=True)
STATES = st.builds(
    hook.State,
    version=st.none() | st.integers(1, 2**40),
    epoch=st.integers(0, 2**40),
    active=ID,
    draining=ID,
    since=st.none() | st.datetimes(datetime(2026, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
    released=st.none() | st.datetimes(datetime(2026, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
    deployment=ID,
    lease_seconds=st.integers(2, 3600),
    read_seconds=st.integers(1, 1800),
    read_lag_seconds=st.integers(0, 300),
    hand_back=st.none() | st.text(max_size=600),
    dead_letters=st.none() | st.integers(0, 2**40),
)


@given(STATES)
def test_a_worker_reads_whatever_the_hook_can_write(state: hook.State) -> None:
    text = state.write()

    assert len(text.encode()) <= 4096, "a standard parameter holds no more"
    assert worker.parse(text) == worker.State(
        epoch=state.epoch,
        active=state.active,
        lease_seconds=state.lease_seconds,
        read_seconds=state.read_seconds,
        read_lag_seconds=state.read_lag_seconds,
        version=state.version,
        draining=state.draining,
        since=state.since and timestamp(state.since),
        released=state.released and timestamp(state.released),
        deployment=state.deployment,
        hand_back=state.hand_back and state.hand_back[:500],
        dead_letters=state.dead_letters,
    )
    assert not hook.is_void(text, state.version or 1)
    assert not worker.is_void(text, state.version or 1)


@given(
    st.builds(
        worker.State,
        epoch=st.integers(0, 2**53),
        active=ID,
        lease_seconds=st.integers(1, 3600),
        read_seconds=st.integers(1, 3600),
        read_lag_seconds=st.integers(0, 3600),
        version=st.none() | st.integers(1, 2**40),
        deployment=ID,
    )
)
def test_the_hook_reads_whatever_the_workers_library_writes(state: worker.State) -> None:
    text = state.to_json()

    assert as_the_hook_has_it(text) == as_a_worker_has_it(text)
    assert as_the_hook_has_it(text) is not None


@given(STATES)
def test_for_both_a_lease_is_over_after_the_same_time(state: hook.State) -> None:
    from activation_gate import lease

    assert state.quiet_seconds == lease._quiet_seconds(worker.parse(state.write()))
    assert hook.CLOCK_RATE_TOLERANCE == lease.CLOCK_RATE_TOLERANCE


# ------------------------------------------------------------------------------------ histories


def found_by_the_hook(history: History) -> tuple[int, int | None]:
    """Return the newest number, and which version holds, by its epoch."""
    with mock.patch.object(parameter_store, "client", return_value=Answering(history)):
        standing = parameter_store.ParameterStore(NAME).read(START)
    return standing.number, standing.state and standing.state.epoch


def found_by_a_worker(parameter: Parameter) -> tuple[int, int | None]:
    reading = parameter.read()
    return reading.newest or 0, reading.state and reading.state.epoch


class Answering:
    """A client of Parameter Store as it stands."""

    def __init__(self, history: History) -> None:
        self.history = history

    def get_parameter(self, *, Name: str) -> dict[str, Any]:  # noqa: N803
        return self.history.get(Name, 60.0, 60.0)


@given(
    st.lists(
        st.sampled_from(["good", "void", "void", "void", "person's", "garbage", "void garbage"]), max_size=16
    )
)
@example(["good"] + ["void"] * 10)
@example(["good"] + ["void"] * 11)
@example(["void"] * 3)
def test_hook_and_worker_find_the_same_version_to_hold(kinds: list[str]) -> None:
    history = History()
    parameter = Parameter(NAME, client=Answering(history), monotonic=lambda: 0.0)  # type: ignore[arg-type]
    for number, kind in enumerate(kinds, start=1):
        value = {**VALUE, "epoch": number, "version": number}
        if kind == "void":
            value["version"] = number + 1
        elif kind == "person's":
            del value["version"]
        history.put(
            {"garbage": "consumers", "void garbage": '{"version": 99}'}.get(kind) or json.dumps(value), number
        )
        # A worker remembers what it has stepped over; what it finds must not depend on it.
        assert found_by_a_worker(parameter) == found_by_the_hook(history)
    assert found_by_a_worker(parameter) == found_by_the_hook(history)


def test_a_version_that_is_gone_is_no_state_to_either() -> None:
    class Forgetful(Answering):
        def get_parameter(self, *, Name: str) -> dict[str, Any]:  # noqa: N803
            if Name != NAME:
                error = {"Error": {"Code": "ParameterVersionNotFound", "Message": ""}}
                raise ClientError(error, "GetParameter")  # type: ignore[arg-type]
            return super().get_parameter(Name=Name)

    history = History()
    for number in (1, 2):
        history.put(json.dumps({**VALUE, "version": 1}), number)
    forgetful = Forgetful(history)

    with mock.patch.object(parameter_store, "client", return_value=forgetful):
        standing = parameter_store.ParameterStore(NAME).read(START)
    with pytest.raises(ReadError):
        Parameter(NAME, client=forgetful).read()  # type: ignore[arg-type]
    assert (standing.number, standing.state) == (2, None)
    assert standing.remark == (
        "version 2 is void: somebody else wrote at the same time; no version that holds was found"
    )
