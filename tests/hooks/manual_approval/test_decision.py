import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.manual_approval.approvers import Electorate
from hooks.manual_approval.decision import Finding, Heard, Outcome, Vote, decide
from hooks.manual_approval.request import Version, write_closing
from hooks.manual_approval.rules import Rules
from shared.clock import timestamp

START = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
ACCOUNT = "123456789012"
HOOK = f"arn:aws:sts::{ACCOUNT}:assumed-role/ManualApprovalRole/ManualApprovalFunction"
SWEEPER = f"arn:aws:sts::{ACCOUNT}:assumed-role/ManualApprovalSweepRole/sweep"
ALICE, BOB, CAROL = (f"arn:aws:iam::{ACCOUNT}:user/{name}" for name in ("alice", "bob", "carol"))
RELEASE_1, RELEASE_2 = (f"arn:aws:sts::{ACCOUNT}:assumed-role/release/{name}" for name in ("dora", "erik"))
SSO_1, SSO_2, SSO_1_AGAIN = (
    f"arn:aws:sts::{ACCOUNT}:assumed-role/AWSReservedSSO_{name}"
    for name in ("Ops_1/fay@example.com", "Ops_1/gus@example.com", "Admin_2/fay@example.com")
)
PIPELINE = f"arn:aws:sts::{ACCOUNT}:assumed-role/pipeline/run-7"
CONSOLE = f"arn:aws:iam::{ACCOUNT}:role/apps/console"
BY_CONSOLE = f"arn:aws:sts::{ACCOUNT}:assumed-role/console/ApprovalConsoleFunction"
ISSUER = "https://login.example.com"
DEPLOYMENT = f"arn:aws:ecs:us-east-1:{ACCOUNT}:service-deployment/shop/checkout/qR7sT2uV9wX4yZ1aB6cD3"
PENDING = json.dumps({"state": "pending", "deployment": DEPLOYMENT})
PERSONAL = ("arn:*:sts::*:assumed-role/AWSReservedSSO_*",)

Row = tuple[str, str] | tuple[str, str, timedelta]


def rules(
    required: int = 1,
    *,
    allowed: tuple[tuple[str, ...], ...] = (("*",), ("*",)),
    excluded: tuple[str, ...] = (),
    extendable_to: timedelta = HOUR * 3,
    on_expiry: Literal["refuse", "proceed"] = "refuse",
) -> Rules:
    return Rules(
        required=required,
        electorate=Electorate(
            allowed=allowed, excluded=excluded, personal_sessions=PERSONAL, console=CONSOLE
        ),
        expires_after=HOUR,
        extendable_to=extendable_to,
        on_expiry=on_expiry,
    )


def said(state: str, name: str | None = None, *groups: str, **others: Any) -> str:
    """Return an answer as the console writes it, for a person called *name*."""
    document: dict[str, Any] = {"state": state, **others}
    if name is not None:
        document["by"] = {
            "identity": f"oidc:{ISSUER}#{name}",
            "groups": [f"oidc-group:{ISSUER}#{group}" for group in groups],
            "name": name.title(),
        }
    return json.dumps(document)


def extension(after: timedelta, **others: Any) -> str:
    return said("extended", expiresAt=timestamp(START + after), **others)


def expired(at: timedelta = HOUR) -> str:
    """Return what the hook writes when a request has expired."""
    return write_closing("expired", by=(), comment="", now=START + at, expires_at=START + at)


def history(*answers: Row) -> list[Version]:
    """Return a request at START and the answers to it, a minute apart where no time is given."""
    versions = [Version(1, START, HOOK, PENDING)]
    for number, (by, text, *after) in enumerate(answers, start=2):
        at = START + (after[0] if after else timedelta(minutes=number - 1))
        versions.append(Version(number, at, by, text))
    return versions


def found(versions: list[Version], by: Rules, now: timedelta = timedelta(minutes=30)) -> Finding:
    return decide(versions, versions[0], HOOK, by, START + now)


@pytest.mark.parametrize(
    ("required", "answers", "outcome", "voters"),
    [
        (1, [], "pending", []),
        (1, [(ALICE, "APPROVED")], "approved", [ALICE]),
        (1, [(ALICE, "rejected")], "rejected", [ALICE]),
        # A quorum is of different people.
        (2, [(ALICE, "APPROVED")], "pending", [ALICE]),
        (2, [(ALICE, "APPROVED"), (ALICE, "APPROVED")], "pending", [ALICE]),
        (2, [(ALICE, "APPROVED"), (BOB, "APPROVED")], "approved", [ALICE, BOB]),
        (3, [(ALICE, "APPROVED"), (BOB, "APPROVED"), (ALICE, "APPROVED")], "pending", [ALICE, BOB]),
        # Sessions of a role are one voice, unless their names are people's.
        (2, [(RELEASE_1, "APPROVED"), (RELEASE_2, "APPROVED")], "pending", [RELEASE_1]),
        (2, [(RELEASE_1, "APPROVED"), (ALICE, "APPROVED")], "approved", [RELEASE_1, ALICE]),
        (2, [(SSO_1, "APPROVED"), (SSO_2, "APPROVED")], "approved", [SSO_1, SSO_2]),
        (2, [(SSO_1, "APPROVED"), (SSO_1_AGAIN, "APPROVED")], "pending", [SSO_1]),
        # One rejection ends it, whoever has approved; what comes after settles nothing.
        (2, [(ALICE, "APPROVED"), (BOB, "REJECTED")], "rejected", [BOB]),
        (2, [(ALICE, "APPROVED"), (ALICE, "REJECTED")], "rejected", [ALICE]),
        (1, [(BOB, "REJECTED"), (ALICE, "APPROVED")], "rejected", [BOB]),
        (1, [(ALICE, "APPROVED"), (BOB, "REJECTED")], "approved", [ALICE]),
        # What the hook itself writes, in any session, is no answer.
        (1, [(HOOK, '{"state": "closed", "outcome": "approved"}')], "pending", []),
        (1, [(SWEEPER, '{"state": "closed", "outcome": "approved"}')], "pending", []),
        (1, [(HOOK, "hm")], "pending", []),
        # An edited request that is still pending is no answer either.
        (1, [(ALICE, PENDING)], "pending", []),
        # One whose state is edited is, and whatever else is edited in it means nothing.
        (
            1,
            [(ALICE, said("approved", "bob", "sre", deployment=DEPLOYMENT, rules={"requiredApprovals": 0}))],
            "approved",
            [ALICE],
        ),
        (2, [(ALICE, said("approved", "bob")), (ALICE, said("approved", "carol"))], "pending", [ALICE]),
        # Persons of the console: each is one, and is the same as a session that is called like them.
        (1, [(BY_CONSOLE, said("approved", "alice"))], "approved", [f"oidc:{ISSUER}#alice"]),
        (1, [(BY_CONSOLE, said("rejected", "alice"))], "rejected", [f"oidc:{ISSUER}#alice"]),
        (
            2,
            [(BY_CONSOLE, said("approved", "alice")), (BY_CONSOLE, said("approved", "bob"))],
            "approved",
            [f"oidc:{ISSUER}#alice", f"oidc:{ISSUER}#bob"],
        ),
        (
            2,
            [(BY_CONSOLE, said("approved", "alice")), (BY_CONSOLE, said("approved", "alice", "sre"))],
            "pending",
            [f"oidc:{ISSUER}#alice"],
        ),
        (
            2,
            [(BY_CONSOLE, said("approved", "alice")), (BY_CONSOLE + "-2", said("approved", "ALICE"))],
            "pending",
            [f"oidc:{ISSUER}#alice"],
        ),
        (
            2,
            [(BY_CONSOLE, said("approved", "Fay@Example.com")), (SSO_1, "APPROVED")],
            "pending",
            [f"oidc:{ISSUER}#Fay@Example.com"],
        ),
        (
            2,
            [(SSO_2, "APPROVED"), (BY_CONSOLE, said("approved", "fay@example.com"))],
            "approved",
            [SSO_2, f"oidc:{ISSUER}#fay@example.com"],
        ),
    ],
)
def test_the_versions_after_the_request_decide(
    required: int, answers: list[Row], outcome: str, voters: list[str]
) -> None:
    finding = found(history(*answers), rules(required))

    assert (finding.outcome, [vote.by for vote in finding.votes]) == (outcome, voters)
    assert finding.expires_at == START + HOUR
    assert finding.remarks == ()


@pytest.mark.parametrize("session", [HOOK, HOOK + "-2"])
def test_an_answer_with_the_hook_s_own_role_does_not_count_and_is_told(session: str) -> None:
    finding = found(history((session, "APPROVED")), rules(1))

    assert (finding.outcome, finding.votes) == ("pending", ())
    assert finding.remarks == (f"version 2 by {session}: does not count, it is the hook's own role",)


def test_a_vote_is_kept_with_its_time_and_comment() -> None:
    versions = history((ALICE, '{"state": "Approved", "comment": "tried it"}'), (BOB, "APPROVED"))

    assert found(versions, rules(2)) == Finding(
        "approved",
        START + HOUR,
        (
            Vote(ALICE, START + timedelta(minutes=1), "tried it", "", "alice"),
            Vote(BOB, START + timedelta(minutes=2), "", "", "bob"),
        ),
        heard=(Heard(2), Heard(3)),
        settled=True,
    )


def test_a_vote_of_the_console_is_kept_with_the_person_s_name() -> None:
    versions = history((BY_CONSOLE, said("rejected", "alice", "sre", comment="no")), (BOB, "APPROVED"))
    alice = f"oidc:{ISSUER}#alice"

    assert found(versions, rules(2)) == Finding(
        "rejected",
        START + HOUR,
        (Vote(alice, START + timedelta(minutes=1), "no", "Alice", "alice"),),
        heard=(Heard(2),),
        settled=True,
    )


def test_a_name_that_somebody_gives_themselves_is_not_shown() -> None:
    versions = history((ALICE, said("approved", "bob")))

    assert [(vote.by, vote.name) for vote in found(versions, rules()).votes] == [(ALICE, "")]


@pytest.mark.parametrize(
    ("by", "answer", "remark"),
    [
        (rules(), (ALICE, "LGTM"), f"version 2 by {ALICE}: not understood; write APPROVED or REJECTED"),
        (rules(), (ALICE, ""), f"version 2 by {ALICE}: not understood; write APPROVED or REJECTED"),
        (
            rules(),
            (ALICE, "APPROVED", HOUR),
            f"version 2 by {ALICE}: came after the request had expired",
        ),
        (
            rules(),
            (ALICE, "REJECTED", HOUR * 2),
            f"version 2 by {ALICE}: came after the request had expired",
        ),
        (
            rules(excluded=("arn:aws:iam::*:role/pipeline",)),
            (PIPELINE, "APPROVED"),
            f"version 2 by {PIPELINE}: does not count, excluded by excludedApprovers",
        ),
        (
            rules(excluded=("arn:aws:iam::*:role/pipeline",)),
            (PIPELINE, "REJECTED"),
            f"version 2 by {PIPELINE}: does not count, excluded by excludedApprovers",
        ),
        (
            rules(allowed=(("*",), (BOB,))),
            (ALICE, "APPROVED"),
            f"version 2 by {ALICE}: does not count, not among allowedApprovers",
        ),
        (
            rules(allowed=((BOB,), ("*",))),
            (ALICE, "REJECTED"),
            f"version 2 by {ALICE}: does not count, not among allowedApprovers",
        ),
        (rules(), ("N/A", "APPROVED"), "version 2 by N/A: does not count, AWS recorded no identity"),
        (rules(), ("", "APPROVED"), "version 2 by : does not count, AWS recorded no identity"),
        # Whom anybody but the console names is nobody, and without a person the console is nobody either.
        (
            rules(allowed=(("*",), (f"oidc:{ISSUER}#alice",))),
            (PIPELINE, said("approved", "alice")),
            f"version 2 by {PIPELINE}: does not count, not among allowedApprovers",
        ),
        (
            rules(),
            (BY_CONSOLE, "APPROVED"),
            f"version 2 by {BY_CONSOLE}: does not count, the console names no person",
        ),
        (
            rules(excluded=(f"oidc-group:{ISSUER}#contractors",)),
            (BY_CONSOLE, said("approved", "alice", "sre", "contractors")),
            f"version 2 by {BY_CONSOLE}: does not count, excluded by excludedApprovers",
        ),
        (
            rules(),
            (BY_CONSOLE, said("approved", "alice", *"abcdefghijk")),
            f"version 2 by {BY_CONSOLE}: does not count, the console names no person",
        ),
        # What says what it answers answers nothing else.
        (
            rules(),
            (ALICE, said("approved", answers=2)),
            f"version 2 by {ALICE}: answers version 2, and the request is version 1",
        ),
        (
            rules(),
            (BY_CONSOLE, said("rejected", "alice", answers=0)),
            f"version 2 by {BY_CONSOLE}: answers version 0, and the request is version 1",
        ),
        (
            rules(),
            (ALICE, said("approved", answers=10**4000)),
            f"version 2 by {ALICE}: answers version an integer of 13288 bits, and the request is version 1",
        ),
        (
            rules(),
            (ALICE, said("approved", answers=1, deployment=DEPLOYMENT + "x")),
            f"version 2 by {ALICE}: is about another deployment, {DEPLOYMENT + 'x'!r}",
        ),
        (
            rules(),
            (ALICE, said("approved", answers=True)),
            f"version 2 by {ALICE}: not understood; write APPROVED or REJECTED",
        ),
        # What puts nothing off is no extension.
        (
            rules(),
            (ALICE, extension(HOUR)),
            f"version 2 by {ALICE}: puts nothing off, it expires at 2026-03-05T13:00:00Z",
        ),
        (
            rules(),
            (ALICE, extension(-HOUR * 24 * 365 * 1000)),
            f"version 2 by {ALICE}: puts nothing off, it expires at 2026-03-05T13:00:00Z",
        ),
        (
            rules(extendable_to=HOUR),
            (ALICE, extension(HOUR * 2)),
            f"version 2 by {ALICE}: puts nothing off, it expires at 2026-03-05T13:00:00Z",
        ),
        (
            rules(extendable_to=timedelta(minutes=5)),
            (ALICE, extension(HOUR * 2)),
            f"version 2 by {ALICE}: puts nothing off, it expires at 2026-03-05T13:00:00Z",
        ),
        (
            rules(),
            (ALICE, extension(HOUR * 2), HOUR),
            f"version 2 by {ALICE}: came after the request had expired",
        ),
        (
            rules(excluded=(PIPELINE,)),
            (PIPELINE, extension(HOUR * 2)),
            f"version 2 by {PIPELINE}: does not count, excluded by excludedApprovers",
        ),
        (
            rules(),
            (ALICE, said("extended")),
            f"version 2 by {ALICE}: not understood; write APPROVED or REJECTED",
        ),
        (
            rules(),
            (HOOK, extension(HOUR * 2)),
            f"version 2 by {HOOK}: does not count, it is the hook's own role",
        ),
    ],
    ids=lambda value: value[-50:] if isinstance(value, str) else None,
)
def test_an_answer_that_does_not_count_is_remarked_on(by: Rules, answer: Row, remark: str) -> None:
    objection = remark.removeprefix(f"version 2 by {answer[0]}: ")

    assert found(history(answer), by) == Finding(
        "pending", START + HOUR, (), (remark,), heard=(Heard(2, objection),)
    )


def test_an_answer_that_names_no_deployment_s_arn_is_one_to_this_request() -> None:
    # Somebody's own words, and no ARN: it stands in the parameter of this request.
    assert found(history((ALICE, said("rejected", deployment="today's"))), rules()).outcome == "rejected"


def test_an_answer_that_does_not_count_keeps_nobody_else_from_answering() -> None:
    versions = history((PIPELINE, "REJECTED"), (ALICE, "hm"), (BOB, "APPROVED"))
    finding = found(versions, rules(excluded=(PIPELINE,)))

    assert (finding.outcome, [vote.by for vote in finding.votes], len(finding.remarks)) == (
        "approved",
        [BOB],
        2,
    )


@pytest.mark.parametrize(
    ("now", "outcome"),
    [
        (timedelta(0), "pending"),
        (HOUR - timedelta(microseconds=1), "pending"),
        (HOUR, "expired"),
        (HOUR * 9, "expired"),
    ],
)
def test_a_request_expires_at_its_hour(now: timedelta, outcome: str) -> None:
    assert found(history(), rules(), now).outcome == outcome


@pytest.mark.parametrize(
    ("after", "outcome"),
    [
        (HOUR - timedelta(microseconds=1), "approved"),
        (HOUR, "expired"),
        (HOUR + timedelta(seconds=1), "expired"),
    ],
)
def test_an_answer_must_come_before_the_hour(after: timedelta, outcome: str) -> None:
    # At the hour itself another look may already have told ECS that nobody decided.
    assert found(history((ALICE, "APPROVED", after)), rules(), HOUR * 2).outcome == outcome


# ---------------------------------------------------------------------------------- extensions


@pytest.mark.parametrize(
    ("extensions", "expires_after", "by"),
    [
        ([(ALICE, HOUR * 2)], HOUR * 2, [ALICE]),
        ([(ALICE, HOUR + timedelta(seconds=1))], HOUR + timedelta(seconds=1), [ALICE]),
        ([(ALICE, HOUR * 2), (BOB, HOUR * 2.5)], HOUR * 2.5, [ALICE, BOB]),
        ([(ALICE, HOUR * 2), (ALICE, HOUR * 3)], HOUR * 3, [ALICE, ALICE]),
        # Never earlier, and never beyond what the rules say.
        ([(ALICE, HOUR * 2), (BOB, HOUR * 1.5)], HOUR * 2, [ALICE]),
        ([(ALICE, HOUR * 9)], HOUR * 3, [ALICE]),
        ([(ALICE, HOUR * 24 * 365 * 7900)], HOUR * 3, [ALICE]),
        ([(ALICE, HOUR * 9), (BOB, HOUR * 99)], HOUR * 3, [ALICE]),
    ],
)
def test_whoever_may_decide_may_put_the_expiry_off(
    extensions: list[tuple[str, timedelta]], expires_after: timedelta, by: list[str]
) -> None:
    finding = found(history(*((who, extension(until)) for who, until in extensions)), rules(2))

    assert (finding.outcome, finding.expires_at, finding.votes) == ("pending", START + expires_after, ())
    assert [vote.by for vote in finding.extensions] == by


def test_an_extended_request_takes_answers_until_then_and_keeps_those_it_has() -> None:
    versions = history(
        (ALICE, "APPROVED"),
        (CAROL, extension(HOUR * 2, comment="bob is in a meeting")),
        (BOB, "APPROVED", HOUR * 2 - timedelta(microseconds=1)),
    )
    late = [*versions[:3], replace(versions[3], at=START + HOUR * 2)]

    assert found(versions[:3], rules(2), HOUR * 2 - timedelta(microseconds=1)).outcome == "pending"
    assert found(versions[:3], rules(2), HOUR * 2).outcome == "expired"
    assert found(versions, rules(2), HOUR * 9) == Finding(
        "approved",
        START + HOUR * 2,
        (
            Vote(ALICE, START + timedelta(minutes=1), "", "", "alice"),
            Vote(BOB, START + HOUR * 2 - timedelta(microseconds=1), "", "", "bob"),
        ),
        extensions=(Vote(CAROL, START + timedelta(minutes=2), "bob is in a meeting", "", "carol"),),
        heard=(Heard(2), Heard(3), Heard(4)),
        settled=True,
    )
    assert found(late, rules(2), HOUR * 9).outcome == "expired"


# ---------------------------------------------------------------------------------- what came first

TICK = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("answers", "outcome", "settled"),
    [
        # Time alone settles nothing.
        ([], "expired", False),
        ([(HOOK, expired())], "expired", True),
        ([(HOOK + "-2", expired())], "expired", True),
        # What stands before it counts, if it came in time; what stands behind it does not, whenever it came.
        ([(ALICE, "APPROVED", HOUR - TICK), (HOOK, expired(), HOUR)], "approved", True),
        ([(ALICE, "REJECTED", HOUR - TICK), (HOOK, expired(), HOUR)], "rejected", True),
        ([(HOOK, expired(), HOUR - TICK), (ALICE, "APPROVED", HOUR - TICK)], "expired", True),
        ([(HOOK, expired(), HOUR - TICK), (ALICE, extension(HOUR * 2), HOUR - TICK)], "expired", True),
        ([(ALICE, "APPROVED", HOUR), (HOOK, expired(), HOUR)], "expired", True),
        # An extension before it, and it has not expired: of the closing only that is left which it says.
        ([(ALICE, extension(HOUR * 2), HOUR - TICK), (HOOK, expired(), HOUR)], "pending", False),
        (
            [
                (ALICE, extension(HOUR * 2), HOUR - TICK),
                (HOOK, expired(), HOUR),
                (BOB, "APPROVED", HOUR * 1.5),
            ],
            "approved",
            True,
        ),
        (
            [
                (ALICE, extension(HOUR * 2), HOUR - TICK),
                (HOOK, expired(), HOUR),
                (HOOK, expired(HOUR * 2), HOUR * 2),
                (BOB, "APPROVED", HOUR * 2 - TICK),
            ],
            "expired",
            True,
        ),
        # Too late, and excluded: no extension.
        ([(ALICE, extension(HOUR * 2), HOUR), (HOOK, expired(), HOUR)], "expired", True),
        ([(PIPELINE, extension(HOUR * 2)), (HOOK, expired(), HOUR)], "expired", True),
        # Nobody but the hook can settle it, and with nothing else.
        ([(ALICE, expired())], "expired", False),
        ([(SWEEPER, expired())], "expired", False),
        ([(BY_CONSOLE, expired())], "expired", False),
        ([(HOOK, '{"state": "closed", "outcome": "approved"}')], "expired", False),
        ([(HOOK, '{"state": "pending", "outcome": "expired"}')], "expired", False),
        ([(HOOK, '{"state": "closed", "outcome": ["expired"]}')], "expired", False),
        # One that does not say what it settles settles any.
        ([(HOOK, '{"state": "closed", "outcome": "expired"}')], "expired", True),
    ],
)
def test_whether_an_answer_or_the_expiry_came_first_is_settled_by_aws_s_order(
    answers: list[Row], outcome: str, settled: bool
) -> None:
    finding = found(history(*answers), rules(excluded=(PIPELINE,)), HOUR * 1.75)

    assert (finding.outcome, finding.settled) == (outcome, settled)


def test_a_closing_in_whole_seconds_settles_an_expiry_in_fractions_of_them() -> None:
    asked = Version(1, START + timedelta(milliseconds=999), HOOK, PENDING)
    closing = write_closing("expired", by=(), comment="", now=START + HOUR * 2, expires_at=asked.at + HOUR)
    versions = [
        asked,
        Version(2, START + HOUR * 2, HOOK, closing),
        Version(3, asked.at + HOUR - TICK, ALICE, "APPROVED"),
    ]

    assert decide(versions, asked, HOOK, rules(), START + HOUR * 2).outcome == "expired"


def test_too_few_approvals_expire_with_those_there_were() -> None:
    finding = found(history((ALICE, "APPROVED")), rules(2), HOUR)

    assert (finding.outcome, [vote.by for vote in finding.votes]) == ("expired", [ALICE])


def test_nothing_before_the_request_counts() -> None:
    versions = [
        Version(1, START - HOUR, ALICE, "APPROVED"),
        Version(2, START - HOUR, HOOK, PENDING.replace("arn", "another")),
        Version(3, START - HOUR, BOB, "REJECTED"),
        Version(4, START, HOOK, PENDING),
    ]

    assert decide(versions, versions[3], HOOK, rules(), START) == Finding("pending", START + HOUR)


PEOPLE = st.sampled_from(
    [
        ALICE,
        BOB,
        RELEASE_1,
        RELEASE_2,
        SSO_1,
        SSO_1_AGAIN,
        SSO_2,
        PIPELINE,
        HOOK,
        BY_CONSOLE,
        BY_CONSOLE,
        "N/A",
    ]
)
TEXTS = st.sampled_from(
    [
        *(
            said(state, name)
            for state in ("approved", "approved", "rejected")
            for name in ("alice", "FAY@example.com")
        ),
        said("approved", "bob", "contractors"),
        said("approved", answers=1),
        said("rejected", "bob", answers=2),
        *(extension(timedelta(minutes=minutes)) for minutes in (30, 70, 100, 500)),
        said("extended", "alice", expiresAt="9999-12-31T23:59:59Z"),
        expired(),
        expired(timedelta(minutes=70)),
        '{"state": "closed", "outcome": "approved"}',
        "APPROVED",
        "approved",
        "REJECTED",
        '{"state": "APPROVED"}',
        '{"decision": "rejected"}',
        PENDING,
        "",
        "?",
    ]
)
ANSWERS = st.lists(st.tuples(PEOPLE, TEXTS, st.integers(0, 90)), max_size=12)
RULES = st.builds(
    rules,
    st.integers(1, 3),
    allowed=st.sampled_from([(("*",), ("*",)), ((ALICE, BOB), ("*",)), (("*",), ("arn:aws:sts::*",))]),
    excluded=st.sampled_from(
        [(), ("arn:aws:iam::*:role/pipeline",), ("*/fay@example.com", "oidc-group:*#contractors", CONSOLE)]
    ),
    extendable_to=st.sampled_from([timedelta(0), HOUR, timedelta(minutes=80), HOUR * 3]),
)


def proceeding(answers: list[tuple[str, str, int]]) -> list[Version]:
    in_time = sorted(answers, key=lambda answer: answer[2])
    return history(*((by, text, timedelta(minutes=minute)) for by, text, minute in in_time))


def watched(
    versions: Sequence[Version], by: Rules, minutes: Sequence[int]
) -> tuple[list[Outcome], list[Version]]:
    """Let the hook look at each of these minutes, settle an expiry as it does, and return all it said."""
    kept = list(versions)
    said_so_far: list[Outcome] = []
    for minute in minutes:
        now = timedelta(minutes=minute)
        # A settlement is numbered behind all that AWS had taken by then.
        finding = found([one for one in kept if one.at <= START + now], by, now)
        if finding.outcome == "expired" and not finding.settled:
            number = max(one.number for one in kept if one.at <= START + now)
            text = write_closing("expired", by=(), comment="", now=START + now, expires_at=finding.expires_at)
            later = [replace(one, number=one.number + 1) for one in kept if one.number > number]
            kept = [*kept[:number], Version(number + 1, START + now, HOOK, text), *later]
            finding = found([one for one in kept if one.at <= START + now], by, now)
            assert finding.settled
        said_so_far.append(finding.outcome)
    return said_so_far, kept


@given(ANSWERS, RULES, st.lists(st.integers(0, 300), max_size=6))
def test_what_was_said_once_is_said_for_ever(
    answers: list[tuple[str, str, int]], by: Rules, looks: list[int]
) -> None:
    outcomes, kept = watched(proceeding(answers), by, [*sorted(looks), 300])
    first = next(outcome for outcome in outcomes if outcome != "pending")

    assert [outcome for outcome in outcomes if outcome != "pending"] == [first] * len(
        [outcome for outcome in outcomes if outcome != "pending"]
    )
    assert found(kept, by, timedelta(minutes=300)).outcome == first


@given(ANSWERS, ANSWERS, RULES, st.integers(0, 300), st.integers(0, 300))
def test_what_is_settled_stays_so_whatever_comes_after(
    answers: list[tuple[str, str, int]],
    suffix: list[tuple[str, str, int]],
    by: Rules,
    minute: int,
    later: int,
) -> None:
    versions = proceeding(answers)
    finding = found(versions, by, timedelta(minutes=minute))
    number = len(versions) + 1
    # Even with times from before: AWS's numbers are what counts.
    more = [
        Version(number + index, START + timedelta(minutes=at), who, text)
        for index, (who, text, at) in enumerate(suffix)
    ]

    if finding.settled:
        assert found([*versions, *more], by, timedelta(minutes=later)) == finding
    else:
        assert finding.outcome in {"pending", "expired"}


@given(ANSWERS, RULES, st.integers(0, 300), st.randoms(use_true_random=False))
def test_the_order_in_which_aws_lists_versions_makes_no_difference(
    answers: list[tuple[str, str, int]], by: Rules, minute: int, random: Any
) -> None:
    versions = proceeding(answers)
    shuffled = list(versions)
    random.shuffle(shuffled)
    now = START + timedelta(minutes=minute)

    assert decide(shuffled, versions[0], HOOK, by, now) == decide(versions, versions[0], HOOK, by, now)


@given(ANSWERS, RULES)
def test_approval_takes_as_many_different_people_as_are_required(
    answers: list[tuple[str, str, int]], by: Rules
) -> None:
    finding = found(proceeding(answers), by, HOUR * 2)

    if finding.outcome == "approved":
        people = {
            vote.by.replace("/erik", "/dora").replace("#", "/").rpartition("/")[2].casefold()
            for vote in finding.votes
        }
        assert len(people) == by.required == len(finding.votes)
        assert all(vote.at < finding.expires_at for vote in finding.votes)
        assert all("ManualApprovalRole" not in vote.by for vote in finding.votes)


@given(ANSWERS, RULES, st.integers(0, 300))
def test_whoever_is_excluded_makes_no_difference(
    answers: list[tuple[str, str, int]], by: Rules, minute: int
) -> None:
    # Without the versions of those who are out, the others find the same.
    out = rules(
        by.required, excluded=("arn:aws:iam::*:role/pipeline", "arn:aws:iam::*:role/release", BY_CONSOLE)
    )
    versions = proceeding(answers)
    others = [
        version
        for version in versions
        if not any(f":assumed-role/{role}/" in version.by for role in ("pipeline", "release", "console"))
    ]
    finding, without = (found(seen, out, timedelta(minutes=minute)) for seen in (versions, others))

    assert (finding.outcome, finding.votes, finding.expires_at, finding.extensions) == (
        without.outcome,
        without.votes,
        without.expires_at,
        without.extensions,
    )


@given(ANSWERS, RULES, st.integers(0, 300))
def test_no_extension_is_beyond_what_the_rules_say_or_takes_time_away(
    answers: list[tuple[str, str, int]], by: Rules, minute: int
) -> None:
    finding = found(proceeding(answers), by, timedelta(minutes=minute))

    assert START + HOUR <= finding.expires_at <= START + max(HOUR, by.extendable_to)
    assert (finding.expires_at > START + HOUR) is bool(finding.extensions)


@given(ANSWERS, RULES, st.integers(0, 300))
def test_every_answer_is_heard_once_and_either_counts_or_is_remarked_on(
    answers: list[tuple[str, str, int]], by: Rules, minute: int
) -> None:
    finding = found(proceeding(answers), by, timedelta(minutes=minute))
    objected = [heard for heard in finding.heard if heard.objection]

    assert [heard.number for heard in finding.heard] == sorted({heard.number for heard in finding.heard})
    assert [remark.partition(":")[0].split()[1] for remark in finding.remarks] == [
        str(heard.number) for heard in objected
    ]
    assert all(
        remark.endswith(heard.objection) for remark, heard in zip(finding.remarks, objected, strict=True)
    )
    assert len(finding.heard) - len(objected) >= len(finding.votes) + len(finding.extensions)
