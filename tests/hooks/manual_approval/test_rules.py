"""How the rules stand in a request: what is written is read again, and nothing else is."""

import json
import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.manual_approval.approvers import Electorate
from hooks.manual_approval.rules import MAX_PATTERNS, MAX_SECONDS, Rules, read_rules

CONSOLE = "arn:aws:iam::123456789012:role/console"
RULES = Rules(
    required=2,
    electorate=Electorate(
        allowed=(("arn:aws:iam::123456789012:role/release",), ("*",)),
        excluded=("arn:aws:iam::123456789012:role/deploy",),
        personal_sessions=("arn:*:sts::*:assumed-role/AWSReservedSSO_*",),
        console=CONSOLE,
    ),
    expires_after=timedelta(hours=4),
    extendable_to=timedelta(minutes=1439),
    on_expiry="refuse",
)
DOCUMENT: dict[str, Any] = {
    "requiredApprovals": 2,
    "allowedApprovers": [["arn:aws:iam::123456789012:role/release"], ["*"]],
    "excludedApprovers": ["arn:aws:iam::123456789012:role/deploy"],
    "personalSessions": ["arn:*:sts::*:assumed-role/AWSReservedSSO_*"],
    "console": CONSOLE,
    "expiresAfterSeconds": 14400.0,
    "extendableToSeconds": 86340.0,
    "onExpiry": "refuse",
}

TOO_FAR: tuple[Any, ...] = (-1, -0.001, MAX_SECONDS + 1, 1e300, 10**4000, math.nan, math.inf, -math.inf)

PATTERNS = st.lists(st.text(max_size=20), max_size=5).map(tuple)
SPANS = st.timedeltas(timedelta(0), timedelta(days=14))
ANY_RULES = st.builds(
    Rules,
    required=st.integers(1, 10),
    electorate=st.builds(
        Electorate,
        allowed=st.lists(PATTERNS, min_size=1, max_size=3).map(tuple),
        excluded=PATTERNS,
        personal_sessions=PATTERNS,
        console=st.text(max_size=20),
    ),
    expires_after=SPANS,
    extendable_to=SPANS,
    on_expiry=st.sampled_from(["refuse", "proceed"]),
)


def test_the_rules_are_written_in_the_settings_own_words() -> None:
    assert RULES.document() == DOCUMENT
    assert read_rules(DOCUMENT) == RULES


@given(ANY_RULES)
def test_what_was_written_is_read_again(rules: Rules) -> None:
    assert read_rules(json.loads(json.dumps(rules.document()))) == rules


NOT_TEXT: tuple[Any, ...] = (None, 1, [], [CONSOLE], {"arn": CONSOLE})
NO_PATTERNS: tuple[Any, ...] = (None, "", "*", {}, [1], [["*"]], [None], ["*"] * (MAX_PATTERNS + 1))
NO_LISTS: tuple[Any, ...] = ([], {}, None, 1, "", "*", ["*"], [[1]], [["*"], "*"], [{"*": 1}], {"*": ["*"]})
NO_NUMBERS: tuple[Any, ...] = (True, False, None, "60", [], {})
NO_COUNTS: tuple[Any, ...] = (0, 11, 1.0, 2.5, "2")
NO_VERDICTS: tuple[Any, ...] = ("", "Refuse", "approve", 1, ["refuse"])
OUT_OF_RANGE: dict[str, tuple[Any, ...]] = {
    "requiredApprovals": (*NO_COUNTS, *NO_NUMBERS, *TOO_FAR),
    "allowedApprovers": (*NO_LISTS, [["*"] * (MAX_PATTERNS + 1)]),
    "excludedApprovers": NO_PATTERNS,
    "personalSessions": NO_PATTERNS,
    "console": NOT_TEXT,
    "expiresAfterSeconds": (*NO_NUMBERS, *TOO_FAR),
    "extendableToSeconds": (*NO_NUMBERS, *TOO_FAR),
    "onExpiry": (*NO_NUMBERS, *NO_VERDICTS),
}


@pytest.mark.parametrize(
    ("key", "value"),
    [(key, value) for key, values in OUT_OF_RANGE.items() for value in values],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_out_of_its_range_is_not_read(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"^rules: "):
        read_rules({**DOCUMENT, key: value})


@pytest.mark.parametrize("key", list(DOCUMENT))
def test_what_is_not_whole_is_not_read(key: str) -> None:
    with pytest.raises(ValueError, match=f"^rules: '{key}'$"):
        read_rules({name: value for name, value in DOCUMENT.items() if name != key})


@pytest.mark.parametrize(
    "document", [None, [], [DOCUMENT], "rules", 1, True, list(DOCUMENT.items())], ids=repr
)
def test_what_is_no_object_is_not_read(document: Any) -> None:
    with pytest.raises(ValueError, match=r"^rules: expected an object, got "):
        read_rules(document)


@pytest.mark.parametrize(
    ("key", "value", "read"),
    [
        ("requiredApprovals", 1, 1),
        ("requiredApprovals", 10, 10),
        ("excludedApprovers", ["*"] * MAX_PATTERNS, ("*",) * MAX_PATTERNS),
        ("expiresAfterSeconds", 0, timedelta(0)),
        ("expiresAfterSeconds", MAX_SECONDS, timedelta(days=14)),
        ("extendableToSeconds", 0.5, timedelta(seconds=0.5)),
    ],
)
def test_the_bounds_themselves_are_within(key: str, value: Any, read: object) -> None:
    rules = read_rules({**DOCUMENT, key: value})

    assert read in (rules.required, rules.expires_after, rules.extendable_to, rules.electorate.excluded)
    assert rules.document()[key] == value


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(DOCUMENT, JSON)),
    st.sets(st.sampled_from(list(DOCUMENT))),
)
def test_whatever_stands_there_rules_or_a_complaint_come_of_it(odd: dict[str, Any], right: set[str]) -> None:
    document = {**odd, **{key: DOCUMENT[key] for key in right}}
    try:
        rules = read_rules(document)
    except ValueError:
        return
    assert 1 <= rules.required <= 10
    assert timedelta(0) <= rules.expires_after <= timedelta(days=14)
    assert timedelta(0) <= rules.extendable_to <= timedelta(days=14)
    assert rules.electorate.allowed
