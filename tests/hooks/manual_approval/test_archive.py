"""What is kept of a request: names, the sum, and a codec that takes nothing else."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.manual_approval.approvers import Electorate, Person
from hooks.manual_approval.archive import (
    ANSWERS,
    MAX_ANSWERS,
    MAX_IMAGES,
    OUTCOMES,
    Entry,
    PastAnswer,
    archive_name,
    archive_path,
    entry_of,
    entry_of_remains,
    read_entry,
    write_entry,
)
from hooks.manual_approval.proceeding import Askers, proceeding_of
from hooks.manual_approval.request import (
    MAX_VALUE_BYTES,
    Kind,
    Version,
    write_answer,
    write_closing,
    write_pause_request,
    write_request,
)
from hooks.manual_approval.rules import Rules
from shared.lifecycle import LifecycleEvent
from shared.revision import Image, Revision
from tests.shared.checkout import ACCOUNT, BLUE, DEPLOYMENT, GREEN, START, TASK_DEFINITION, event

HOOK = f"arn:aws:sts::{ACCOUNT}:assumed-role/hook/hook"
PAUSE = f"arn:aws:sts::{ACCOUNT}:assumed-role/pause/pause"
CONSOLE = f"arn:aws:sts::{ACCOUNT}:assumed-role/console/console"
ALICE = f"arn:aws:iam::{ACCOUNT}:user/alice"
BOB = f"arn:aws:iam::{ACCOUNT}:user/bob"
CAROL = Person("oidc:https://login.example.com#carol", (), "Carol")
ASKERS = Askers(HOOK, PAUSE)
HOOK_ID = "ecs-pause-e7tK9G_WRJqNF"
PREFIX = "/ecs-approvals"
NAME = f"{PREFIX}/shop/checkout/{DEPLOYMENT.id}"
HOUR = timedelta(hours=1)
ENDED = START + HOUR

RULES = Rules(
    required=2,
    electorate=Electorate(allowed=(("*",),), excluded=(), personal_sessions=(), console=CONSOLE),
    expires_after=4 * HOUR,
    extendable_to=8 * HOUR,
    on_expiry="refuse",
)
ENTRY = Entry(
    deployment=DEPLOYMENT,
    part="step-from-10",
    stage="PRE_PRODUCTION_TRAFFIC_SHIFT",
    outcome="rejected",
    deployment_status="ROLLBACK_SUCCESSFUL",
    asked_at=START,
    ended_at=ENDED,
    required=2,
    answers=(PastAnswer("rejected", ALICE, "", START + timedelta(minutes=5), "500s on /cart"),),
    images=("shop/checkout:42@sha256:0123456789ab",),
)
TEXT = write_entry(ENTRY)


def revision(arn: Any, tag: str) -> Revision:
    return Revision(arn, TASK_DEFINITION, (Image("app", f"shop/app:{tag}", None),), (), None)


def asked(rules: Rules = RULES) -> str:
    return write_request(
        NAME,
        LifecycleEvent.parse(event()),
        green=revision(GREEN, "2"),
        blue=revision(BLUE, "1"),
        rules=rules,
        now=START,
    )


def summed_up(*written: tuple[float, str, str], request: str = "", ended_at: datetime = ENDED) -> Entry:
    """Sum up a request and what was written to it: minutes after it, by whom, and what."""
    versions = [Version(1, START, HOOK, request or asked())]
    versions += [
        Version(number, START + timedelta(minutes=minutes), by, text)
        for number, (minutes, by, text) in enumerate(written, start=2)
    ]
    return entry_of(proceeding_of(NAME, DEPLOYMENT, "", versions, ASKERS, ended_at), "SUCCESSFUL", ended_at)


def closing(outcome: str) -> str:
    return write_closing(outcome, by=(), comment="", now=START)


def test_an_entry_stands_under_the_day_on_which_its_deployment_ended() -> None:
    assert archive_path("/ecs-approvals/", "2026-03-05") == "/ecs-approvals-history/2026-03-05"
    assert archive_name(PREFIX, ENTRY) == (
        f"/ecs-approvals-history/2026-03-05/shop/checkout/{DEPLOYMENT.id}/step-from-10"
    )
    assert archive_name(PREFIX, dataclasses.replace(ENTRY, part="")) == (
        f"/ecs-approvals-history/2026-03-05/shop/checkout/{DEPLOYMENT.id}"
    )


def test_the_sum_says_what_was_asked_and_each_answer_that_counted_in_order() -> None:
    extension = write_answer(
        Kind.EXTENDED, comment="lunch", deployment=DEPLOYMENT, answers=1, expires_at=START + 6 * HOUR
    )
    console = write_answer(Kind.APPROVED, comment="fine", deployment=DEPLOYMENT, answers=1, person=CAROL)

    assert summed_up(
        (1, ALICE, "APPROVED"), (2, BOB, extension), (3, BOB, "hm"), (4, CONSOLE, console)
    ) == Entry(
        deployment=DEPLOYMENT,
        part="",
        stage="POST_TEST_TRAFFIC_SHIFT",
        outcome="approved",
        deployment_status="SUCCESSFUL",
        asked_at=START,
        ended_at=ENDED,
        required=2,
        answers=(
            PastAnswer("approved", ALICE, "", START + timedelta(minutes=1), ""),
            PastAnswer("extended", BOB, "", START + timedelta(minutes=2), "lunch"),
            PastAnswer("approved", CAROL.identity, "Carol", START + timedelta(minutes=4), "fine"),
        ),
        images=("shop/app:2",),
    )


@pytest.mark.parametrize(
    ("written", "ended_at", "outcome"),
    [
        ([], ENDED, "undecided"),
        ([(1, ALICE, "APPROVED")], ENDED, "undecided"),
        ([(1, ALICE, "REJECTED")], ENDED, "rejected"),
        ([(1, ALICE, "APPROVED"), (2, BOB, "APPROVED")], ENDED, "approved"),
        ([], START + 5 * HOUR, "expired"),
        # What the hook says it came to is what ECS was told; nobody else can say it.
        ([(1, HOOK, closing("expired"))], ENDED, "expired"),
        ([(1, ALICE, closing("approved"))], ENDED, "undecided"),
        ([(1, PAUSE, closing("approved"))], ENDED, "undecided"),
        ([(1, HOOK, closing("sold"))], ENDED, "undecided"),
    ],
)
def test_the_outcome_is_what_it_had_come_to_when_the_deployment_ended(
    written: list[tuple[float, str, str]], ended_at: datetime, outcome: str
) -> None:
    assert summed_up(*written, ended_at=ended_at).outcome == outcome


def test_where_the_rules_were_too_long_for_the_request_the_hook_s_word_is_what_is_left() -> None:
    many = tuple(f"arn:aws:iam::{ACCOUNT}:role/a-team-with-a-long-name-{number}" for number in range(80))
    electorate = dataclasses.replace(RULES.electorate, allowed=(many,))
    request = asked(dataclasses.replace(RULES, electorate=electorate))

    entry = summed_up((1, ALICE, "APPROVED"), (2, HOOK, closing("approved")), request=request)
    assert (entry.outcome, entry.required, entry.answers) == ("approved", 0, ())
    assert summed_up((1, ALICE, "APPROVED"), request=request).outcome == "undecided"


def test_a_pause_is_summed_up_like_any_other_request() -> None:
    request = write_pause_request(DEPLOYMENT, HOOK_ID, "POST_TEST_TRAFFIC_SHIFT", rules=RULES, now=START)
    history = [Version(1, START, PAUSE, request), Version(2, START + HOUR / 2, BOB, "REJECTED")]
    proceeding = proceeding_of(f"{NAME}/{HOOK_ID}", DEPLOYMENT, HOOK_ID, history, ASKERS, ENDED)

    entry = entry_of(proceeding, "ROLLBACK_SUCCESSFUL", ENDED)
    assert (entry.part, entry.stage, entry.outcome, entry.images) == (
        HOOK_ID,
        "POST_TEST_TRAFFIC_SHIFT",
        "rejected",
        (),
    )
    assert read_entry(write_entry(entry)) == entry


def test_of_what_nobody_can_make_out_there_is_left_that_it_was_there() -> None:
    history = [Version(7, START, ALICE, "APPROVED")]

    assert entry_of_remains(DEPLOYMENT, "x", history, "SUCCESSFUL", ENDED) == Entry(
        deployment=DEPLOYMENT,
        part="x",
        stage="",
        outcome="undecided",
        deployment_status="SUCCESSFUL",
        asked_at=START,
        ended_at=ENDED,
        required=0,
        answers=(),
        images=(),
    )


def test_a_request_of_a_hook_from_another_time_is_summed_up_as_far_as_it_is_understood() -> None:
    request = json.dumps(
        {
            **json.loads(asked()),
            "stage": "NO SUCH/STAGE\n",
            "images": [{"green": "a:1\ud800"}, {"green": 7}, "b:2", {"blue": "c"}, {"green": "d" * 999}],
        }
    )

    entry = summed_up(request=request)
    assert (entry.stage, entry.images) == ("", ("a:1?", "d" * 256))
    assert read_entry(write_entry(entry)) == entry
    assert summed_up(request=json.dumps({**json.loads(asked()), "images": 7})).images == ()


# the codec

seconds = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1)).map(
    lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=600)
words = st.from_regex(r"[A-Za-z0-9_.-]{0,80}", fullmatch=True)
past_answers = st.builds(
    PastAnswer,
    what=st.sampled_from(sorted(ANSWERS)),
    who=texts,
    name=texts.map(lambda text: text[:100]),
    at=seconds,
    comment=texts.map(lambda text: text[:500]),
)
entries = st.builds(
    Entry,
    deployment=st.just(DEPLOYMENT),
    part=words,
    stage=words,
    outcome=st.sampled_from(sorted(OUTCOMES)),
    deployment_status=words,
    asked_at=seconds,
    ended_at=seconds,
    required=st.integers(0, 10),
    answers=st.lists(past_answers, max_size=12).map(tuple),
    images=st.lists(texts.map(lambda text: text[:256]), max_size=20).map(tuple),
)


@given(entries)
def test_what_is_written_fits_a_parameter_and_is_read_as_it_was_but_for_what_was_cut(entry: Entry) -> None:
    text = write_entry(entry)
    kept = read_entry(text)

    assert len(text.encode()) <= MAX_VALUE_BYTES
    assert dataclasses.replace(kept, answers=(), images=()) == dataclasses.replace(
        entry, answers=(), images=()
    )
    assert kept.images == entry.images[: len(kept.images)]
    # The latest answers are kept: they decided.
    left = entry.answers[len(entry.answers) - len(kept.answers) :]
    assert [(answer.what, answer.who, answer.at) for answer in kept.answers] == [
        (answer.what, answer.who, answer.at) for answer in left
    ]
    assert all(
        before.comment.startswith(after.comment) for before, after in zip(left, kept.answers, strict=True)
    )


def test_comments_are_cut_before_anything_else_is_left_out() -> None:
    answers = tuple(
        PastAnswer("approved", ALICE, "Alice", START, "a comment, and not a short one " * 16)
        for _ in range(9)
    )
    entry = dataclasses.replace(ENTRY, answers=answers, images=tuple(f"shop/app:{tag}" for tag in range(9)))

    kept = read_entry(write_entry(entry))
    shortened = tuple(dataclasses.replace(answer, comment=answer.comment[:200]) for answer in answers)
    assert kept == dataclasses.replace(entry, answers=shortened)


LONG = PastAnswer("approved", "x" * 400, "Alice", START, "")


@pytest.mark.parametrize(
    ("answers", "images", "kept_answers", "kept_images"),
    [
        # Images go before names, and names before answers, of which the latest stay.
        ((LONG,), tuple(f"{number:0256}" for number in range(20)), (LONG,), 12),
        ((LONG,) * 7, ("y" * 256,) * 3, (LONG,) * 7, 0),
        ((LONG,) * 8, ("y" * 256,) * 3, (dataclasses.replace(LONG, name=""),) * 7, 0),
        ((dataclasses.replace(LONG, who="ü" * 2048), LONG), (), (dataclasses.replace(LONG, name=""),), 0),
        ((dataclasses.replace(LONG, who="ü" * 2048),), (), (), 0),
    ],
)
def test_what_is_still_too_long_without_comments_loses_images_then_names_then_the_first_answers(
    answers: tuple[PastAnswer, ...],
    images: tuple[str, ...],
    kept_answers: tuple[PastAnswer, ...],
    kept_images: int,
) -> None:
    entry = dataclasses.replace(ENTRY, answers=answers, images=images)

    assert read_entry(write_entry(entry)) == dataclasses.replace(
        entry, answers=kept_answers, images=images[:kept_images]
    )


def test_an_entry_that_fits_is_kept_whole() -> None:
    assert read_entry(TEXT) == ENTRY
    assert json.loads(TEXT) == {
        "schema": 1,
        "deployment": str(DEPLOYMENT),
        "part": "step-from-10",
        "stage": "PRE_PRODUCTION_TRAFFIC_SHIFT",
        "outcome": "rejected",
        "deploymentStatus": "ROLLBACK_SUCCESSFUL",
        "askedAt": "2026-03-05T12:00:00Z",
        "endedAt": "2026-03-05T13:00:00Z",
        "required": 2,
        "answers": [
            {
                "what": "rejected",
                "who": ALICE,
                "name": "",
                "at": "2026-03-05T12:05:00Z",
                "comment": "500s on /cart",
            }
        ],
        "images": ["shop/checkout:42@sha256:0123456789ab"],
    }


def changed(key: str, value: Any) -> str:
    return json.dumps({**json.loads(TEXT), key: value})


ANSWER = json.loads(TEXT)["answers"][0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "Expecting value"),
        ("approved", "Expecting value"),
        ("[]", "entry: expected an object, got \\[\\]"),
        ("[" * 4000, "Expecting value"),
        (" " * 5000, "entry: longer than 4096 characters"),
        ('{"schema": 1, "schema": 1}', "entry: a key stands there twice"),
        ("{}", "entry: schema is missing"),
        (changed("schema", 2), "entry: schema: expected 0 to 1, got 2"),
        (changed("schema", 0), "entry: expected schema 1"),
        (changed("schema", True), "entry: schema: expected 0 to 1, got True"),
        (changed("deployment", "arn:aws:iam::1:role/x"), "entry: deployment: .*expected the ARN"),
        (changed("part", "a/b"), "entry: part: expected letters, digits and .-_, got 'a/b'"),
        (changed("stage", 7), "entry: stage: expected letters, digits and .-_, got 7"),
        (changed("outcome", "sold"), "entry: outcome: expected one of .*got 'sold'"),
        (changed("deploymentStatus", "a b"), "entry: deploymentStatus: expected letters"),
        (changed("askedAt", "yesterday"), "entry: askedAt: Invalid isoformat string"),
        (changed("askedAt", "2026-03-05T12:00:00"), "entry: askedAt: no time zone"),
        (changed("endedAt", None), "entry: endedAt: expected a time, got None"),
        (changed("required", 11), "entry: required: expected 0 to 10, got 11"),
        (changed("required", -1), "entry: required: expected 0 to 10, got -1"),
        (changed("required", 1.0), "entry: required: expected 0 to 10, got 1.0"),
        (changed("answers", {}), "entry: answers: expected at most 99 items"),
        (changed("answers", [0] * (MAX_ANSWERS + 1)), "entry: answers: expected at most 99 items"),
        (changed("answers", ["x"]), "answer: expected an object, got 'x'"),
        (changed("answers", [{**ANSWER, "what": "pending"}]), "answer: what: expected one of"),
        (
            changed("answers", [{**ANSWER, "who": "x" * 2049}]),
            "answer: who: expected at most 2048 characters",
        ),
        (
            changed("answers", [{**ANSWER, "name": "x" * 101}]),
            "answer: name: expected at most 100 characters",
        ),
        (
            changed("answers", [{**ANSWER, "comment": ["x"]}]),
            "answer: comment: expected at most 500 characters",
        ),
        (changed("answers", [{**ANSWER, "at": 0}]), "answer: at: expected a time, got 0"),
        (changed("images", ["x" * 257]), "expected at most 256 characters"),
        (changed("images", ["x"] * (MAX_IMAGES + 1)), "entry: images: expected at most 100 items"),
    ],
)
def test_anything_else_is_no_entry(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_entry(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@given(st.sampled_from(sorted(json.loads(TEXT))), json_values, st.booleans())
def test_whatever_stands_there_it_is_an_entry_or_a_value_error(key: str, value: Any, inside: bool) -> None:
    text = changed("answers", [{**ANSWER, "comment": value}]) if inside else changed(key, value)
    try:
        entry = read_entry(text)
    except ValueError:
        return
    assert read_entry(write_entry(entry)) == entry
