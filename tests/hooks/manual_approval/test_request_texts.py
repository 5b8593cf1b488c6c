"""What the hook, the console and the command line write: that it fits, and is read as what it is."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hooks.manual_approval.approvers import Electorate, Person
from hooks.manual_approval.reminders import FAILED
from hooks.manual_approval.request import (
    ANSWERS,
    MARK_BYTES,
    MAX_GROUPS,
    MAX_VALUE_BYTES,
    Kind,
    Occasion,
    Statement,
    Telling,
    Version,
    is_request_for,
    parameter_name,
    read,
    rules_in,
    write_answer,
    write_closing,
    write_mark,
    write_pause_request,
    write_request,
)
from hooks.manual_approval.rules import Rules, read_rules
from hooks.manual_approval.telling import TOPIC, WEBHOOK
from shared.clock import timestamp
from shared.lifecycle import LifecycleEvent, ServiceDeploymentArn
from shared.revision import Image, Revision
from shared.revision import TestHeader as Header
from tests.shared.checkout import DEPLOYMENT, GREEN, START, TASK_DEFINITION, event

ISSUER = "https://login.example.com"
PERSON = Person(f"oidc:{ISSUER}#alice", (f"oidc-group:{ISSUER}#releases",), "Alice")
HOOK_ID = "ecs-pause-0a1b2c3d"
RULES = Rules(
    required=2,
    electorate=Electorate(
        allowed=(("*",),), excluded=("arn:aws:iam::*:role/deploy",), personal_sessions=(), console=""
    ),
    expires_after=timedelta(hours=4),
    extendable_to=timedelta(hours=4),
    on_expiry="refuse",
)
LONGEST = ServiceDeploymentArn("aws-us-gov", "ap-southeast-4", "1" * 12, "c" * 255, "s" * 255, "d" * 255)
TEXT = st.text(st.characters(codec="utf-8"))


def pause_request(deployment: ServiceDeploymentArn = DEPLOYMENT, hook_id: str = HOOK_ID) -> str:
    return write_pause_request(deployment, hook_id, "PRE_PRODUCTION_TRAFFIC_SHIFT", rules=RULES, now=START)


def longest_request() -> str:
    """Return a request that leaves no byte unused."""
    payload = json.dumps(event()).replace("/shop/checkout", f"/{'c' * 255}/{'s' * 255}")
    asked = LifecycleEvent.parse(json.loads(payload.replace(DEPLOYMENT.id, "d" * 255)))
    room = MAX_VALUE_BYTES - MARK_BYTES
    for length in range(3000):
        green = Revision(
            GREEN, TASK_DEFINITION, (Image("app", "shop/app:2", None),), (), Header("h" * length, None)
        )
        text = write_request("/p", asked, green=green, blue=None, rules=RULES, now=START)
        if len(text) == room:
            return text
    raise AssertionError("no header fills it")


# ---------------------------------------------------------------------------------- of a PAUSE hook


def test_a_request_for_a_pause_hook_says_what_ecs_says() -> None:
    text = pause_request()

    assert json.loads(text) == {
        "schema": 1,
        "state": "pending",
        "ask": "May checkout in shop go on with this deployment? It pauses at PRE_PRODUCTION_TRAFFIC_SHIFT.",
        "deployment": str(DEPLOYMENT),
        "stage": "PRE_PRODUCTION_TRAFFIC_SHIFT",
        "approvalsNeeded": 2,
        "requestedAt": "2026-03-05T12:00:00Z",
        "expiresAt": "2026-03-05T16:00:00Z",
        "pause": HOOK_ID,
        "rules": RULES.document(),
    }
    assert read(text) == Statement(
        Kind.PENDING,
        deployment=str(DEPLOYMENT),
        stage="PRE_PRODUCTION_TRAFFIC_SHIFT",
        pause=HOOK_ID,
        expires_at=START + timedelta(hours=4),
    )
    assert parameter_name("/ecs-approvals", DEPLOYMENT, HOOK_ID).endswith(f"/{DEPLOYMENT.id}/{HOOK_ID}")


@pytest.mark.parametrize(
    ("deployment", "pause", "is_one"),
    [
        (DEPLOYMENT, HOOK_ID, True),
        (DEPLOYMENT, "", False),
        (DEPLOYMENT, f"{HOOK_ID}x", False),
        (LONGEST, HOOK_ID, False),
    ],
)
def test_a_request_for_one_pause_hook_is_for_no_other(
    deployment: ServiceDeploymentArn, pause: str, is_one: bool
) -> None:
    assert is_request_for(Version(1, START, "anyone", pause_request()), deployment, pause) is is_one


@pytest.mark.parametrize("patterns", [0, 5, 100])
def test_a_request_for_a_pause_hook_fits_whatever_the_names(patterns: int) -> None:
    electorate = replace(RULES.electorate, excluded=("ü" * 256,) * patterns)
    rules = replace(RULES, electorate=electorate)
    text = write_pause_request(LONGEST, "ecs-pause-" + "x" * 200, "s" * 60, rules=rules, now=START)

    assert len(text.encode()) <= MAX_VALUE_BYTES - MARK_BYTES
    assert is_request_for(Version(1, START, "anyone", text), LONGEST, "ecs-pause-" + "x" * 200)
    assert rules_in(text) == (rules.document() if patterns == 0 else None)


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        (pause_request(), RULES.document()),
        ('{"rules": 1}', 1),
        ("{}", None),
        ("", None),
        ("[]", None),
        ('"rules"', None),
        ("[" * 5000, None),
        ("APPROVED", None),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_rules_are_taken_from_a_request_as_they_stand(text: str, rules: Any) -> None:
    assert rules_in(text) == rules


# ---------------------------------------------------------------------------------- marks

MARKS = [
    Telling(what, done=False, nonce="0123456789abcdef")
    for what in (*Occasion, f"{Occasion.LAST_CALL} {timestamp(START)}")
] + [
    Telling(what, done=True, channels=channels)
    for what, channels in product(
        (*Occasion, f"{Occasion.LAST_CALL} {timestamp(START)}"),
        ((), (TOPIC,), (TOPIC, WEBHOOK), (f"{TOPIC}{FAILED}", f"{WEBHOOK}{FAILED}")),
    )
]


@pytest.mark.parametrize("mark", MARKS, ids=str)
def test_a_mark_stands_in_the_request_and_says_what_was_told(mark: Telling) -> None:
    text = pause_request()
    marked = write_mark(text, mark)

    assert read(marked) == replace(read(text), telling=mark)
    key = "announced" if mark.done else "announcing"
    assert {name: value for name, value in json.loads(marked).items() if name != key} == json.loads(text)


def test_a_mark_says_until_when_by_now() -> None:
    later = START + timedelta(hours=9)
    marked = write_mark(pause_request(), MARKS[0], later)
    assert read(marked) == replace(read(pause_request()), telling=MARKS[0], expires_at=later)


@pytest.mark.parametrize("mark", MARKS, ids=str)
def test_a_mark_fits_into_the_longest_request(mark: Telling, longest: str) -> None:
    marked = write_mark(longest, mark)

    assert len(longest.encode()) == MAX_VALUE_BYTES - MARK_BYTES
    assert len(marked.encode()) <= MAX_VALUE_BYTES
    assert read(marked).telling == mark


@pytest.fixture(scope="module")
def longest() -> str:
    return longest_request()


@pytest.mark.parametrize(
    ("mark", "telling"),
    [
        ({"announced": {}}, Telling("", done=True)),
        ({"announced": {"what": 1, "on": [2, "sns"]}}, Telling("", done=True, channels=("2", "sns"))),
        ({"announced": {"what": "request", "on": "sns"}}, None),
        ({"announced": "request"}, None),
        ({"announced": ["request"]}, None),
        ({"announcing": {"what": "request", "nonce": ["n"]}}, Telling("request", done=False)),
        (
            {"announcing": {"what": "request", "nonce": "n"}, "announced": {"what": "request", "on": []}},
            Telling("request", done=True),
        ),
        ({"announcing": {"what": "half \ud800"}}, Telling("half ?", done=False)),
    ],
    ids=str,
)
def test_a_mark_that_is_odd_is_read_as_far_as_it_goes(mark: dict[str, Any], telling: Telling | None) -> None:
    assert read(json.dumps({"state": "pending", **mark})).telling == telling


# ---------------------------------------------------------------------------------- answers


def answered(kind: Kind = Kind.APPROVED, **others: Any) -> str:
    return write_answer(kind, **{"comment": "tried it", "deployment": DEPLOYMENT, "answers": 1, **others})


def test_an_answer_says_what_it_answers_and_for_whom() -> None:
    text = answered(Kind.EXTENDED, person=PERSON, expires_at=START, answers=3)

    assert json.loads(text) == {
        "schema": 1,
        "state": "extended",
        "comment": "tried it",
        "deployment": str(DEPLOYMENT),
        "answers": 3,
        "expiresAt": "2026-03-05T12:00:00Z",
        "by": {"identity": PERSON.identity, "groups": list(PERSON.groups), "name": "Alice"},
    }
    assert read(text) == Statement(
        Kind.EXTENDED, "tried it", str(DEPLOYMENT), person=PERSON, answers=3, expires_at=START
    )
    assert json.loads(answered()) == {
        "schema": 1,
        "state": "approved",
        "comment": "tried it",
        "deployment": str(DEPLOYMENT),
        "answers": 1,
    }


PRINTABLE = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=255)
PEOPLE = st.builds(
    Person,
    PRINTABLE.map(lambda subject: f"oidc:{ISSUER}#{subject}"),
    st.lists(PRINTABLE.map(lambda group: f"oidc-group:{ISSUER}#{group}"), max_size=4).map(tuple),
    TEXT,
)


@given(st.sampled_from(sorted(ANSWERS)), TEXT, st.none() | PEOPLE, st.integers(1, 100))
@example(Kind.APPROVED, "\0" * 600, Person(f"oidc:{ISSUER}#{'s' * 255}", (), "\0" * 200), 1)
@example(
    Kind.EXTENDED,
    "\U0001f600" * 500,
    Person(PERSON.identity, tuple(f"oidc-group:{ISSUER}#{number:0110}" for number in range(10)), "ü" * 100),
    100,
)
def test_an_answer_fits_and_is_read_as_what_it_says(
    kind: Kind, comment: str, person: Person | None, number: int
) -> None:
    text = write_answer(
        kind, comment=comment, deployment=LONGEST, answers=number, person=person, expires_at=START
    )
    statement = read(text)

    assert len(text.encode()) <= MAX_VALUE_BYTES
    assert (statement.kind, statement.answers, statement.deployment) == (kind, number, str(LONGEST))
    assert comment.startswith(statement.comment)
    assert statement.person == (replace(person, name=person.name[:100]) if person else None)


def test_a_comment_is_cut_where_names_take_its_room_and_no_further_than_need_be() -> None:
    groups = tuple(f"oidc-group:{ISSUER}#{'g' * 80}{number}" for number in range(MAX_GROUPS))
    text = answered(comment="\0" * 500, deployment=LONGEST, person=Person(PERSON.identity, groups))
    comment = read(text).comment

    assert 0 < len(comment) < 500
    assert MAX_VALUE_BYTES - 50 * 6 < len(text.encode()) <= MAX_VALUE_BYTES


def test_names_that_leave_no_room_at_all_are_refused_and_not_cut() -> None:
    groups = tuple(f"oidc-group:{ISSUER}#{'g' * 400}{number}" for number in range(MAX_GROUPS))

    with pytest.raises(ValueError, match="too long for a parameter"):
        answered(person=Person(PERSON.identity, groups))
    with pytest.raises(ValueError, match="too long for a parameter"):
        answered(person=Person(PERSON.identity, ("g",) * (MAX_GROUPS + 1)))


@pytest.mark.parametrize(
    ("by", "person"),
    [
        ({"identity": PERSON.identity}, Person(PERSON.identity)),
        ({"identity": "mallory"}, Person("mallory")),
        ({"identity": PERSON.identity, "name": "n" * 900}, Person(PERSON.identity, (), "n" * 100)),
        ({"identity": PERSON.identity, "name": 1}, Person(PERSON.identity, (), "1")),
        ({"identity": PERSON.identity, "groups": ["g"] * MAX_GROUPS}, Person(PERSON.identity, ("g",) * 10)),
        # Whoever can't be named whole is not named.
        ({"identity": PERSON.identity, "groups": ["g"] * (MAX_GROUPS + 1)}, None),
        ({"identity": PERSON.identity, "groups": "g"}, None),
        ({"identity": PERSON.identity, "groups": {"g": 1}}, None),
        ({"identity": PERSON.identity, "groups": ["g", 1]}, None),
        ({"identity": PERSON.identity, "groups": ["g", "\ud800"]}, None),
        ({"identity": PERSON.identity, "groups": None}, None),
        ({"identity": PERSON.identity + "\ud800"}, None),
        ({"identity": [PERSON.identity]}, None),
        ({"identity": None}, None),
        ({"name": "alice"}, None),
        (PERSON.identity, None),
        ([PERSON.identity], None),
        (None, None),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_a_person_is_read_whole_or_not_at_all(by: Any, person: Person | None) -> None:
    assert read(json.dumps({"state": "approved", "by": by})) == Statement(Kind.APPROVED, person=person)


# ---------------------------------------------------------------------------------- what came of it


def test_a_closing_says_what_came_of_the_request() -> None:
    text = write_closing("rejected", by=["alice"], comment="broken\nagain", now=START)

    assert json.loads(text) == {
        "schema": 1,
        "state": "closed",
        "outcome": "rejected",
        "closedAt": "2026-03-05T12:00:00Z",
        "by": ["alice"],
        "comment": "broken\nagain",
    }
    assert read(text) == Statement(Kind.CLOSED, "broken\nagain", outcome="rejected")


def test_the_closing_of_what_expired_says_when_that_was() -> None:
    text = write_closing("expired", by=[], comment="", now=START, expires_at=START - timedelta(minutes=1))

    assert json.loads(text)["expiresAt"] == "2026-03-05T11:59:00Z"
    assert read(text) == Statement(Kind.CLOSED, outcome="expired", expires_at=START - timedelta(minutes=1))


@given(st.lists(TEXT, max_size=12), TEXT)
@example(["arn:" + "x" * 200] * 10, "\0" * 500)
@example(["x" * 2048] * 10, "\U0001f600" * 500)
@example(["x" * 5000], "")
def test_a_closing_fits_parameter_store_and_is_never_an_answer(by: list[str], comment: str) -> None:
    text = write_closing(
        "approved", by=by, comment=comment, now=datetime(2026, 3, 5, tzinfo=UTC), expires_at=START
    )

    assert len(text.encode()) <= MAX_VALUE_BYTES
    assert read(text).kind is Kind.CLOSED
    assert comment.startswith(read(text).comment)


# ---------------------------------------------------------------------------------- all of it


@pytest.mark.parametrize(
    "text",
    [
        pause_request(),
        *(write_mark(pause_request(), mark) for mark in MARKS),
        *(
            write_closing(outcome, by=[], comment="APPROVED", now=START)
            for outcome in ("approved", "rejected")
        ),
        write_closing(
            "expired", by=["APPROVED"], comment='{"state": "approved"}', now=START, expires_at=START
        ),
    ],
    ids=range(len(MARKS) + 4),
)
def test_nothing_that_the_hook_writes_is_an_answer(text: str) -> None:
    assert read(text).kind in {Kind.PENDING, Kind.CLOSED}


def test_the_longest_request_is_no_answer_and_still_has_its_rules(longest: str) -> None:
    assert read(longest).kind is Kind.PENDING
    assert read_rules(rules_in(longest)) == RULES


KEYS = [
    *("schema", "state", "State", "decision", "comment", "deployment", "stage", "by", "answers"),
    *("expiresAt", "pause", "outcome", "announced", "announcing", "rules", "identity", "groups", "name"),
    *("what", "on", "nonce"),
]
WORDS = st.sampled_from([*Kind, "APPROVED", PERSON.identity, timestamp(START), "\ud800", "\0", "arn:aws:"])
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | WORDS | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=7),
    max_leaves=9,
)
STATED = st.builds(
    lambda state, others: json.dumps({**others, "state": state}),
    st.sampled_from([*Kind]),
    st.dictionaries(st.sampled_from(KEYS), JSON, max_size=7),
)


@given(st.text() | JSON.map(json.dumps) | STATED)
def test_no_text_is_too_hostile_to_read_and_what_is_read_can_be_said(text: str) -> None:
    statement = read(text)

    spoken = [statement.comment, statement.deployment, statement.stage, statement.pause, statement.outcome]
    if statement.person:
        spoken += [statement.person.identity, *statement.person.groups, statement.person.name]
    if statement.telling:
        spoken += [statement.telling.what, statement.telling.nonce, *statement.telling.channels]
    "".join(spoken).encode()
    assert (statement.kind is Kind.EXTENDED) <= (statement.expires_at is not None)
    assert statement.expires_at is None or statement.expires_at.tzinfo is UTC
    rules_in(text)
