"""The hook and the workers read the same parameter, with code of their own."""

import json
from typing import Any

import pytest
from activation_gate import Garbage, state
from hypothesis import given
from hypothesis import strategies as st

from hooks.consumer_activation import state as hook

VALID: dict[str, Any] = json.loads(state.State(epoch=9, active="42", version=7).to_json())

near_values = (
    st.none()
    | st.booleans()
    | st.integers(-1, 3602)
    | st.just(2**53)
    | st.just(2**53 + 1)
    | st.floats()
    | st.sampled_from(["", "42", "two words", "2026-03-02T09:01:06Z", "2026-03-02T09:01:06", "9999-12-31"])
    | st.text(max_size=4)
    | st.just([])
)
texts = st.one_of(
    st.text(max_size=20),
    st.builds(
        lambda changes, gone: json.dumps(
            {key: value for key, value in (VALID | changes).items() if key not in gone}
        ),
        st.dictionaries(st.sampled_from([*sorted(VALID), "note"]), near_values, max_size=2),
        st.sets(st.sampled_from(sorted(VALID)), max_size=1),
    ),
)


@given(texts, st.integers(6, 8))
def test_the_hook_and_the_workers_understand_the_same_values(text: str, version: int) -> None:
    assert state.is_void(text, version) == hook.is_void(text, version)
    try:
        by_hook = hook.parse(text)
    except hook.NotUnderstoodError:
        with pytest.raises(Garbage):
            state.parse(text)
        return
    by_worker = state.parse(text)
    assert (by_worker.epoch, by_worker.active, by_worker.version, by_worker.draining) == (
        by_hook.epoch,
        by_hook.active,
        by_hook.version,
        by_hook.draining,
    )
    assert (by_worker.lease_seconds, by_worker.read_seconds, by_worker.read_lag_seconds) == (
        by_hook.lease_seconds,
        by_hook.read_seconds,
        by_hook.read_lag_seconds,
    )


def test_each_reads_what_the_other_writes() -> None:
    written_by_hook = hook.State(version=7, epoch=9, active="42").write()
    assert state.parse(written_by_hook) == state.State(version=7, epoch=9, active="42")
    assert hook.parse(state.State(version=7, epoch=9, active="42").to_json()) == hook.State(
        version=7, epoch=9, active="42"
    )
