from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.manual_approval.console import wording
from hooks.manual_approval.console.wording import Who
from tests.hooks.manual_approval.console.preview import ACCOUNT, ALICE, BOB, CAROL, ISSUER, rules

NOW = datetime(2026, 3, 5, 14, 10, tzinfo=UTC)


# ------------------------------------------------------------------------------------------------- time


@pytest.mark.parametrize(
    ("length", "told"),
    [
        (timedelta(0), "less than a minute"),
        (timedelta(seconds=59), "less than a minute"),
        (timedelta(seconds=-90), "less than a minute"),
        (timedelta(minutes=1), "1 min"),
        (timedelta(minutes=59, seconds=59), "59 min"),
        (timedelta(hours=3), "3 h"),
        (timedelta(hours=3, minutes=12), "3 h 12 min"),
        (timedelta(days=1, minutes=12), "1 day"),
        (timedelta(days=2, hours=4, minutes=50), "2 days 4 h"),
    ],
)
def test_a_length_of_time_has_its_two_largest_units(length: timedelta, told: str) -> None:
    assert wording.span(length) == told


@pytest.mark.parametrize(
    ("until", "told"),
    [
        (NOW + timedelta(hours=3, minutes=12), "3 h 12 min left"),
        (NOW + timedelta(seconds=20), "less than a minute left"),
        (NOW, "expired less than a minute ago"),
        (NOW - timedelta(minutes=5), "expired 5 min ago"),
    ],
)
def test_what_is_over_is_never_said_to_be_left(until: datetime, told: str) -> None:
    assert wording.time_left(until, NOW) == told


@pytest.mark.parametrize(
    ("moment", "told"),
    [
        (NOW, "14:10 UTC"),
        (datetime.fromisoformat("2026-03-05T16:05:33+02:00"), "14:05 UTC"),
        (NOW + timedelta(hours=11, minutes=59), "02:09 UTC"),
        (NOW + timedelta(hours=12), "6 Mar, 02:10 UTC"),
        (NOW - timedelta(days=90), "5 Dec 2025, 14:10 UTC"),
    ],
)
def test_a_time_has_its_date_unless_it_is_near(moment: datetime, told: str) -> None:
    assert wording.clock(moment, NOW) == told


def test_a_day_is_told_in_full() -> None:
    assert wording.long_day(date(2026, 3, 2)) == "Monday, 2 Mar 2026"


# -------------------------------------------------------------------------------------------------- who


@pytest.mark.parametrize(
    ("identity", "name", "told"),
    [
        (BOB, "", ("bob", "permission set ReleaseManager")),
        (CAROL, "", ("carol", "IAM user")),
        (f"arn:aws:iam::{ACCOUNT}:user/carol", "Somebody Else", ("carol", "IAM user")),
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/release-manager/alice", "", ("alice", "role release-manager")),
        (f"arn:aws:iam::{ACCOUNT}:role/teams/release-manager", "", ("role release-manager", "")),
        (f"arn:aws:sts::{ACCOUNT}:federated-user/alice", "", ("alice", "federated user")),
        (f"arn:aws:iam::{ACCOUNT}:root", "", ("root", f"of account {ACCOUNT}")),
        (ALICE.identity, "Alice", ("Alice", "alice at login.example.com")),
        (ALICE.identity, "alice", ("alice", "login.example.com")),
        (ALICE.identity, "", ("alice", "login.example.com")),
        (f"oidc:{ISSUER}/tenant/v2.0#a#b", "", ("a#b", "login.example.com/tenant/v2.0")),
        (f"oidc-group:{ISSUER}#releases", "", ("group releases", "login.example.com")),
        ("oidc:https://[#alice", "", ("alice", "https://[")),
        ("arn:aws:lambda::1:whatever", "", ("arn:aws:lambda::1:whatever", "")),
        (f"arn:aws:iam::{ACCOUNT}:other/thing", "", (f"arn:aws:iam::{ACCOUNT}:other/thing", "")),
        (f"arn:aws:iam::{ACCOUNT}:user/", "", (f"arn:aws:iam::{ACCOUNT}:user/", "")),
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/a/", "", (f"arn:aws:sts::{ACCOUNT}:assumed-role/a/", "")),
        ("", "", ("unknown", "")),
    ],
)
def test_who_somebody_is(identity: str, name: str, told: tuple[str, str]) -> None:
    assert wording.who(identity, name) == Who(*told, identity)


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("*", "anybody"),
        (f"arn:aws:iam::{ACCOUNT}:role/release", "role release"),
        (f"arn:aws:iam::{ACCOUNT}:role/teams/release", "role release"),
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/release/*", "role release"),
        ("arn:*:sts::*:assumed-role/AWSReservedSSO_*", "any permission set of IAM Identity Center"),
        ("arn:*:sts::*:assumed-role/AWSReservedSSO_Leads_*/*", "permission set Leads"),
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/release-*", "roles that begin with release-"),
        (f"arn:aws:iam::{ACCOUNT}:user/carol", "carol (IAM user)"),
        (f"oidc-group:{ISSUER}#releases", "group releases (login.example.com)"),
        (ALICE.identity, "alice (login.example.com)"),
        # What is not plain is not made plainer than it is.
        (f"oidc-group:{ISSUER}#rel*", f"oidc-group:{ISSUER}#rel*"),
        (f"arn:aws:iam::{ACCOUNT}:role/rel*", f"arn:aws:iam::{ACCOUNT}:role/rel*"),
        ("arn:aws:sts::*:assumed-role/*-admin/*", "arn:aws:sts::*:assumed-role/*-admin/*"),
        (
            f"arn:aws:sts::{ACCOUNT}:assumed-role/release/ali*",
            f"arn:aws:sts::{ACCOUNT}:assumed-role/release/ali*",
        ),
    ],
)
def test_whom_a_pattern_means(pattern: str, told: str) -> None:
    assert wording.pattern(pattern) == told


# ------------------------------------------------------------------------------------------------ rules


def test_the_rules_are_told_in_sentences() -> None:
    assert wording.who_may_decide(rules(2)) == [
        "These may decide: role release-manager, or permission set ReleaseManager, "
        "or group releases (login.example.com).",
        "These may not: role deploy.",
        "Two different people have to approve.",
        "One rejection rejects it, whoever has approved before.",
    ]


@pytest.mark.parametrize(
    ("allowed", "sentence"),
    [
        ((("*",),), "Anybody may decide who can write to the request, or whom this console lets decide."),
        (
            ((f"oidc-group:{ISSUER}#a", "*"),),
            "Anybody may decide who can write to the request, or whom this console lets decide.",
        ),
        (((),), "These may decide: nobody."),
        (
            ((f"arn:aws:iam::{ACCOUNT}:role/a",), (f"arn:aws:iam::{ACCOUNT}:role/b", CAROL)),
            "Whoever decides has to be in each of these lists: role a; and also role b, or carol (IAM user).",
        ),
    ],
)
def test_a_list_that_lets_everybody_in_is_no_list(allowed: Any, sentence: str) -> None:
    ruled = rules(1)
    electorate = ruled.electorate.__class__(allowed, (), ())

    told = wording.who_may_decide(ruled.__class__(1, electorate, timedelta(1), timedelta(1), "refuse"))

    assert told == [
        sentence,
        "One approval is enough.",
        "One rejection rejects it, whoever has approved before.",
    ]


def test_a_request_that_passes_by_itself_says_so() -> None:
    assert wording.who_may_decide(rules(1, on_expiry="proceed"))[-1] == (
        "If nobody decides in time, the deployment goes on."
    )


@pytest.mark.parametrize(
    ("approved", "required", "by_viewer", "told"),
    [
        (0, 1, False, "It takes one approval."),
        (0, 2, False, "It takes two approvals, by different people."),
        (1, 2, False, "1 of 2 approvals. It takes one more, by somebody else."),
        (1, 2, True, "1 of 2 approvals, yours. It takes one more, by somebody else."),
        (2, 4, True, "2 of 4 approvals, one of them yours. It takes two more, by others."),
        (1, 10, False, "1 of 10 approvals. It takes nine more, by others."),
    ],
)
def test_what_is_still_missing(approved: int, required: int, by_viewer: bool, told: str) -> None:
    assert wording.missing(approved, required, by_viewer=by_viewer) == told


# ------------------------------------------------------------------------------------ stages and outcomes


@pytest.mark.parametrize(
    ("stage", "step", "question", "situation"),
    [
        (
            "POST_TEST_TRAFFIC_SHIFT",
            "",
            "Go on towards production traffic?",
            "Green gets test traffic only; all production traffic is on blue.",
        ),
        (
            "PRE_PRODUCTION_TRAFFIC_SHIFT",
            "0",
            "Move production traffic to green?",
            "Production traffic is about to move to green.",
        ),
        (
            "PRE_PRODUCTION_TRAFFIC_SHIFT",
            "12.5",
            "Take green beyond 12.5 % of production traffic?",
            "12.5 % of production traffic is on green.",
        ),
        ("A_NEW_STAGE", "", "Go on with the deployment?", ""),
    ],
)
def test_what_a_request_asks(stage: str, step: str, question: str, situation: str) -> None:
    assert (wording.question(stage, step), wording.situation(stage, step)) == (question, situation)


@pytest.mark.parametrize(
    ("part", "step"),
    [
        ("step-from-10", "10"),
        ("step-from-12.5", "12.5"),
        ("step-from-unknown", ""),
        ("step-from-10</b>", ""),
        ("", ""),
        ("10", ""),
        ("ecs-pause-10", ""),
    ],
)
def test_a_step_is_read_from_a_part(part: str, step: str) -> None:
    assert wording.step_of(part) == step


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("IN_PROGRESS", "in progress"),
        ("ROLLBACK_SUCCESSFUL", "rolled back"),
        ("SOMETHING_NEW", "something new"),
        ("", "not known to ECS any more"),
    ],
)
def test_how_a_deployment_is(status: str, told: str) -> None:
    assert wording.status(status) == told


@pytest.mark.parametrize(
    ("answer", "would_refuse", "told"),
    [
        ("proceed", "", ("Passed", "good")),
        ("proceed", "too slow", ("Would refuse", "back")),
        ("refuse", "", ("Refused", "bad")),
        ("wait", "", ("Still at work", "plain")),
        ("hm", "", ("hm", "plain")),
    ],
)
def test_what_another_hook_said(answer: str, would_refuse: str, told: tuple[str, str]) -> None:
    assert wording.verdict(answer, would_refuse) == told


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("registry.example.com/shop/checkout:42", ("registry.example.com", "shop/checkout:42")),
        ("localhost:5000/checkout", ("localhost:5000", "checkout")),
        ("localhost/checkout", ("localhost", "checkout")),
        ("shop/checkout:42", ("", "shop/checkout:42")),
        ("checkout:42", ("", "checkout:42")),
        ("", ("", "")),
    ],
)
def test_a_registry_is_told_from_the_rest(reference: str, told: tuple[str, str]) -> None:
    assert wording.image(reference) == told


def test_a_digest_is_shortened_to_what_tells_two_apart() -> None:
    assert wording.short_digest("sha256:4b0ea2bbb1a1" + "7" * 52) == "sha256:4b0ea2bbb1a1…"
    assert wording.short_digest("sha256:4b0e") == "sha256:4b0e"


@given(st.text(), st.text())
def test_whoever_it_is_is_told_with_the_identity(identity: str, name: str) -> None:
    told = wording.who(identity, name)

    assert told.full == identity
    assert told.name
    assert wording.pattern(identity)


@given(st.text(), st.text())
def test_any_word_of_ecs_or_of_a_hook_is_said_somehow(one: str, other: str) -> None:
    assert wording.question(one, other)
    assert isinstance(wording.situation(one, other), str)
    assert wording.status(one) is not None
    assert wording.verdict(one, other)[1] in {"good", "bad", "back", "plain"}
    assert wording.outcome(one)[1] in {"good", "bad", "back", "plain"}
    assert "_" not in wording.hook(one)
