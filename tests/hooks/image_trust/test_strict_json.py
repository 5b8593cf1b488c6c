"""JSON from outside: one meaning, and a bound to what it costs."""

import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.image_trust.finding import Rejected
from hooks.image_trust.strict_json import MAX_DEPTH, loads

LIMIT = 4 * 1024 * 1024


def code_of(content: bytes | str, limit: int = LIMIT) -> str:
    with pytest.raises(Rejected) as caught:
        loads(content, "the document", limit_bytes=limit)
    assert str(caught.value).startswith("the document ")
    return caught.value.code


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=20,
)


@given(VALUES, st.booleans())
def test_what_is_json_is_read_as_it_is(value: Any, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)

    assert loads(text, "it", limit_bytes=LIMIT) == value
    assert loads(text.encode(), "it", limit_bytes=LIMIT) == value


@given(st.binary(max_size=40) | st.text(alphabet='[]{}",:\\ud8aeE1-.0tn', max_size=40))
def test_whatever_comes_is_read_or_rejected(content: bytes | str) -> None:
    try:
        found = loads(content, "it", limit_bytes=LIMIT)
    except Rejected as error:
        assert error.code in {"malformed-json", "too-large"}
        return
    # What was read can be written down again.
    json.dumps(found, ensure_ascii=False, allow_nan=False).encode()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "nul",
        "[1,]",
        "{'a': 1}",
        "NaN",
        "[Infinity]",
        "-Infinity",
        "1e999",
        "-1e999",
        "9" * 21,
        "-" + "9" * 20,
        '{"a": 1, "a": 1}',
        '{"b": {"a": 1, "\\u0061": 2}}',
        r'"\ud800"',
        r'{"\udfff": 1}',
        r'["\ud83d\ud83d"]',
        '"\x00"',
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b'"\xed\xa0\x80"',
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(content: bytes | str) -> None:
    assert code_of(content) == "malformed-json"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("9" * 20, 99999999999999999999),
        (r'"\ud83d\ude00"', "😀"),
        ('{"a": {"a": {"a": 1}}}', {"a": {"a": {"a": 1}}}),
        ('["[[[", "{{{", "\\"[", "\\\\", "]"]', ["[[[", "{{{", '"[', "\\", "]"]),
    ],
)
def test_what_only_looks_odd_is_read(content: str, found: Any) -> None:
    assert loads(content, "it", limit_bytes=LIMIT) == found


def test_a_key_that_stands_there_twice_is_named() -> None:
    with pytest.raises(Rejected, match="the key 'image' stands there twice"):
        loads('{"a": 1, "image": 1, "b": 2, "image": 2}', "it", limit_bytes=LIMIT)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_depth_has_a_limit(opening: str, closing: str) -> None:
    def nested(levels: int) -> str:
        return opening * levels + "1" + closing * levels

    assert loads(nested(MAX_DEPTH), "it", limit_bytes=LIMIT) is not None
    assert code_of(nested(MAX_DEPTH + 1)) == "malformed-json"


def test_depth_does_not_add_up_beside_each_other() -> None:
    assert len(loads("[" + "[],{}," * 500 + "1]", "it", limit_bytes=LIMIT)) == 1001


@pytest.mark.parametrize("content", [b"1" * 11, "1" * 11])
def test_length_has_a_limit_to_the_byte(content: bytes | str) -> None:
    assert code_of(content, 10) == "too-large"
    assert loads(content, "it", limit_bytes=11) == 11111111111


@pytest.mark.parametrize(
    "content",
    [
        b"[" * LIMIT,
        b'{"a":' * (LIMIT // 5),
        b'"' + b"\\" * (LIMIT - 2) + b'"',
        b'"' * LIMIT,
        b"[" + b"[],{}," * (LIMIT // 6 - 1) + b"1]",
        b"[" + b"1e9," * (LIMIT // 4 - 1) + b"1]",
        b'{"a":' + b"9" * (LIMIT - 6) + b"}",
    ],
    ids=["arrays", "objects", "backslashes", "quotes", "flat", "numbers", "digits"],
)
def test_what_is_made_to_cost_much_costs_little(content: bytes) -> None:
    begun = time.process_time()
    with contextlib.suppress(Rejected):
        loads(content, "it", limit_bytes=LIMIT)
    # Half a second at the most, here; what grows with the square of the length would take hours.
    assert time.process_time() - begun < 10
