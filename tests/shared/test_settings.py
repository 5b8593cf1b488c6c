import json
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from shared.errors import Misconfigured
from shared.response import STATE_KEY
from shared.settings import POLICY_VARIABLE, Settings, Stricter, first_of, resolve, union


class Greeting(Settings):
    """A hook's settings with a field of every kind."""

    voices: Annotated[int, Stricter(max)] = Field(1, ge=1, le=10)
    patience_minutes: Annotated[int, Stricter(min)] = Field(60, ge=1)
    banned_words: Annotated[tuple[str, ...], Stricter(union)] = ()
    tone: Annotated[str, first_of("polite", "plain", "rude")] = Field(
        "plain", pattern="^(polite|plain|rude)$"
    )
    language: str = "en"


class GreetingPolicy(Greeting):
    """The organisation's."""

    house_style: str = "none"


def resolved(details: dict[str, Any], policy: dict[str, Any] | None = None) -> Any:
    environment = {} if policy is None else {POLICY_VARIABLE: json.dumps(policy)}
    return resolve(Greeting, GreetingPolicy, details, environment)


def refusal(details: dict[str, Any], policy: str = "") -> str:
    with pytest.raises(Misconfigured) as caught:
        resolve(Greeting, GreetingPolicy, details, {POLICY_VARIABLE: policy})
    return str(caught.value)


DEFAULTS = {
    "mode": "enforce",
    "giveUpAfterMinutes": 1380,
    "onTrouble": "refuse",
    "voices": 1,
    "patienceMinutes": 60,
    "bannedWords": [],
    "tone": "plain",
    "language": "en",
}


def test_without_policy_and_details_the_defaults_hold() -> None:
    found = resolved({})

    assert found.settings.model_dump(mode="json", by_alias=True) == DEFAULTS
    assert found.tightened == ()
    assert found.policy.house_style == "none"


@pytest.mark.parametrize("text", ["", "  \n", "{}"])
def test_an_empty_policy_is_none(text: str) -> None:
    found = resolve(Greeting, GreetingPolicy, {"voices": 3}, {POLICY_VARIABLE: text})

    assert found.settings == Greeting(voices=3)


def test_the_state_of_the_hook_is_no_setting() -> None:
    assert resolved({STATE_KEY: {"version": 1}, "voices": 2}).settings == Greeting(voices=2)


# key, what the policy says, what the service says, what holds, whether the service is told
TIGHTENING: list[tuple[str, Any, Any, Any, bool]] = [
    ("voices", 2, 1, 2, True),
    ("voices", 2, 3, 3, False),
    ("voices", 2, 2, 2, False),
    ("patienceMinutes", 30, 90, 30, True),
    ("patienceMinutes", 30, 10, 10, False),
    ("bannedWords", ["a", "b"], ["b", "c"], ["a", "b", "c"], False),
    ("bannedWords", ["a"], [], ["a"], False),
    ("tone", "polite", "rude", "polite", True),
    ("tone", "plain", "polite", "polite", False),
    ("language", "de", "fr", "de", True),
    ("language", "de", "de", "de", False),
    ("mode", "enforce", "observe", "enforce", True),
    ("mode", "observe", "enforce", "enforce", False),
    ("onTrouble", "refuse", "proceed", "refuse", True),
    ("onTrouble", "proceed", "refuse", "refuse", False),
    ("giveUpAfterMinutes", 60, 1380, 60, True),
]


@pytest.mark.parametrize(("key", "policy", "service", "holds", "told"), TIGHTENING)
def test_a_service_may_go_further_than_the_policy_and_never_back(
    key: str, policy: Any, service: Any, holds: Any, told: bool
) -> None:
    found = resolved({key: service}, {key: policy})

    assert found.settings.model_dump(mode="json", by_alias=True) == {**DEFAULTS, key: holds}
    assert found.tightened == ((key,) if told else ())


@pytest.mark.parametrize(("key", "policy"), [(row[0], row[1]) for row in TIGHTENING])
def test_what_a_policy_says_is_the_default_where_the_service_says_nothing(key: str, policy: Any) -> None:
    found = resolved({}, {key: policy})

    assert found.settings.model_dump(mode="json", by_alias=True) == {**DEFAULTS, key: policy}
    assert found.tightened == ()


@given(st.integers(1, 10), st.integers(1, 10))
def test_no_number_of_the_service_lowers_the_policy_s(policy: int, service: int) -> None:
    assert resolved({"voices": service}, {"voices": policy}).settings.voices >= policy


def test_every_field_of_every_hook_is_overruled_in_one_warning() -> None:
    found = resolved({"voices": 1, "tone": "rude"}, {"voices": 5, "tone": "polite", "houseStyle": "x"})

    assert found.tightened == ("voices", "tone")
    assert found.policy.house_style == "x"


@pytest.mark.parametrize(
    ("details", "text"),
    [
        ({"voice": 2}, "hookDetails: unknown key 'voice', did you mean 'voices'?"),
        (
            {"paitenceMinutes": 2},
            "hookDetails: unknown key 'paitenceMinutes', did you mean 'patienceMinutes'?",
        ),
        (
            {"xyzzy": 2},
            "hookDetails: unknown key 'xyzzy'; valid: bannedWords, giveUpAfterMinutes, language, mode, "
            "onTrouble, patienceMinutes, tone, voices",
        ),
        ({"houseStyle": "x"}, None),
        ({"voices": 11}, "hookDetails: voices: input should be less than or equal to 10, got 11"),
        ({"voices": "many"}, None),
        (
            {"mode": "off", "voices": 0},
            "hookDetails: mode: input should be 'enforce' or 'observe', got 'off'; "
            "voices: input should be greater than or equal to 1, got 0",
        ),
        ({"giveUpAfterMinutes": 1440}, None),
        ({"bannedWords": "one"}, None),
    ],
)
def test_what_is_wrong_is_named_with_source_key_and_value(details: dict[str, Any], text: str | None) -> None:
    said = refusal(details)

    assert said.startswith("hookDetails: ")
    assert said == (text or said)
    assert "\n" not in said
    assert all(key in said for key in details)


def _said_in(known: dict[str, Any]) -> str:
    return f"hello in {known['language']}"


class Line(BaseModel):
    """A part of a setting, in which one default is made from another field."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, validate_default=True)

    language: str = Field("en", pattern="^[a-z]{2}$")
    said_by: tuple[str, ...] = ()
    text: str = Field(default_factory=_said_in)


class Song(Settings):
    """A hook's settings with a part that has keys of its own."""

    voices: int = 1
    lines: tuple[Line, ...] = ()
    refrain: Line = Line()


@pytest.mark.parametrize(
    ("details", "text"),
    [
        # The keys of the settings are no hint for one of a part, however near they are.
        ({"lines": [{"voices": 2}]}, "lines.0.voices: unknown key, got 2"),
        ({"lines": [{}, {"langauge": "de"}]}, "lines.1.langauge: unknown key, got 'de'"),
        ({"refrain": {"said_by": ["a", "b"]}}, "refrain.said_by: unknown key, got an array of 2"),
        # Beside one of the settings' own, which keeps its hint.
        (
            {"refrain": {"voice": {"a": 1}}, "voice": 2},
            "refrain.voice: unknown key, got an object of 1; unknown key 'voice', did you mean 'voices'?",
        ),
        # What is made from a field that is wrong is not made, and not worth a word.
        (
            {"lines": [{"language": "German"}]},
            "lines.0.language: string should match pattern '^[a-z]{2}$', got 'German'",
        ),
        (
            {"lines": [{"language": "German", "text": 5}]},
            "lines.0.language: string should match pattern '^[a-z]{2}$', got 'German'; "
            "lines.0.text: input should be a valid string, got 5",
        ),
    ],
)
def test_what_is_wrong_in_a_part_is_named_with_its_place(details: dict[str, Any], text: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        resolve(Song, Song, details, {})
    assert str(caught.value) == f"hookDetails: {text}"
    with pytest.raises(Misconfigured) as caught:
        resolve(Song, Song, {}, {POLICY_VARIABLE: json.dumps(details)})
    assert str(caught.value) == f"HOOK_POLICY: {text}"


def test_ten_mistakes_are_told_whatever_was_left_out_between_them() -> None:
    wrong = [{"language": f"German {number}"} for number in range(20)]

    with pytest.raises(Misconfigured) as caught:
        resolve(Song, Song, {"lines": wrong}, {})
    assert str(caught.value) == "hookDetails: " + "; ".join(
        f"lines.{number}.language: string should match pattern '^[a-z]{{2}}$', got 'German {number}'"
        for number in range(10)
    )


def test_python_names_are_no_keys() -> None:
    assert refusal({"give_up_after_minutes": 5}) == (
        "hookDetails: unknown key 'give_up_after_minutes', did you mean 'giveUpAfterMinutes'?"
    )


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        ("{", "HOOK_POLICY: not JSON: '{'"),
        ("[" * 100_000, "HOOK_POLICY: not JSON: '" + "[" * 118 + "…"),
        ("[]", "HOOK_POLICY: input should be a valid dictionary or instance of GreetingPolicy, got []"),
        ('{"voice": 1}', "HOOK_POLICY: unknown key 'voice', did you mean 'voices'?"),
        ('{"voices": 99}', "HOOK_POLICY: voices: input should be less than or equal to 10, got 99"),
    ],
)
def test_a_policy_that_can_t_be_read_refuses_every_deployment(policy: str, text: str) -> None:
    assert refusal({}, policy) == text


def test_many_mistakes_make_one_line_of_bounded_length() -> None:
    said = refusal({f"key{number}" * 50: 1 for number in range(500)})

    assert said.count("unknown key") == 10
    assert len(said) < 3000
