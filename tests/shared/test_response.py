from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.response import STATE_KEY, Proceed, Refuse, Result, Wait, encode
from tests.shared.checkout import assert_valid


@pytest.mark.parametrize(
    ("result", "reply"),
    [
        (Proceed("approved by alice"), {"hookStatus": "SUCCEEDED"}),
        (Refuse("rejected by bob"), {"hookStatus": "FAILED"}),
        (
            Wait("for a decision", 30, {"ignored": "the caller writes the state"}),
            {
                "hookStatus": "IN_PROGRESS",
                "callBackDelay": 30,
                "hookDetails": {"requiredApprovals": 2, STATE_KEY: {"version": 1}},
            },
        ),
    ],
)
def test_each_result_has_one_encoding(result: Result, reply: dict[str, Any]) -> None:
    details = {"requiredApprovals": 2, STATE_KEY: {"version": 0, "old": True}}

    assert encode(result, details, {"version": 1}) == reply


@pytest.mark.parametrize(
    ("seconds", "delay"),
    [
        (-5, 1),
        (0, 1),
        (0.2, 1),
        (1, 1),
        (1.01, 2),
        (30, 30),
        (86_399.5, 86_400),
        (1e9, 86_400),
        (float("inf"), 86_400),
        (float("nan"), 1),
    ],
)
def test_a_delay_is_in_whole_seconds_within_a_day(seconds: float, delay: int) -> None:
    assert encode(Wait("", seconds), {}, {})["callBackDelay"] == delay


@given(st.floats(), st.dictionaries(st.text(st.characters(codec="utf-8")), st.integers()))
def test_no_delay_and_no_details_make_a_reply_wrong(seconds: float, details: dict[str, int]) -> None:
    reply = encode(Wait("", seconds), details, {})

    assert_valid(reply)
    assert reply["hookDetails"] == {**details, STATE_KEY: {}}
