import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.legible import legible, without_acting


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("the cart loses items", "the cart loses items"),
        ("two\n  lines\t and a tab", "two lines and a tab"),
        ("\x1b[2Jgone", "·[2Jgone"),
        ("approved \u202edetcejer\u202c", "approved ·detcejer·"),
        ("half a pair \ud800", "half a pair ·"),
        ("Grüße, 世界, नमस्ते 👍", "Grüße, 世界, नमस्ते 👍"),
        ("non\u00a0breaking", "non breaking"),
        (17, "17"),
        (None, "None"),
    ],
)
def test_text_is_made_legible(text: object, shown: str) -> None:
    assert legible(text) == shown


def test_a_number_that_python_does_not_write_is_left_out() -> None:
    assert legible(10**5000) == "…"


def test_what_is_too_long_is_cut_and_says_so() -> None:
    assert legible("x" * 11, 10) == "x" * 9 + "…"
    assert legible("x" * 10, 10) == "x" * 10


def test_lines_are_kept_where_they_are_wanted() -> None:
    assert without_acting("one\ntwo\r\nthree\tfour\r\x00") == "one\ntwo\nthree four··"


@given(st.text(st.characters()))
def test_nothing_that_acts_on_a_screen_is_left(text: str) -> None:
    acting = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}

    left = {unicodedata.category(character) for character in without_acting(text).replace("\n", "")}

    assert not left & acting
    assert len(legible(text, 20)) <= 20
