from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.manual_approval.approvers import Electorate
from hooks.manual_approval.decision import Finding, Rules, Vote, decide
from hooks.manual_approval.request import Version

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
PENDING = '{"state": "pending", "deployment": "arn"}'
PERSONAL = ("arn:*:sts::*:assumed-role/AWSReservedSSO_*",)

Row = tuple[str, str] | tuple[str, str, timedelta]


def rules(
    required: int = 1,
    *,
    allowed: tuple[tuple[str, ...], ...] = (("*",), ("*",)),
    excluded: tuple[str, ...] = (),
    on_expiry: Literal["refuse", "proceed"] = "refuse",
) -> Rules:
    return Rules(
        required=required,
        electorate=Electorate(allowed=allowed, excluded=excluded, personal_sessions=PERSONAL),
        expires_after=HOUR,
        on_expiry=on_expiry,
    )


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
        # An edited request that is still pending is no answer either.
        (1, [(ALICE, PENDING)], "pending", []),
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
            Vote(ALICE, START + timedelta(minutes=1), "tried it"),
            Vote(BOB, START + timedelta(minutes=2), ""),
        ),
        (),
    )


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
    ],
)
def test_an_answer_that_does_not_count_is_remarked_on(by: Rules, answer: Row, remark: str) -> None:
    assert found(history(answer), by) == Finding("pending", START + HOUR, (), (remark,))


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


PEOPLE = st.sampled_from([ALICE, BOB, RELEASE_1, RELEASE_2, SSO_1, SSO_1_AGAIN, SSO_2, PIPELINE, HOOK, "N/A"])
TEXTS = st.sampled_from(
    [
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
    excluded=st.sampled_from([(), ("arn:aws:iam::*:role/pipeline",)]),
)


def proceeding(answers: list[tuple[str, str, int]]) -> list[Version]:
    in_time = sorted(answers, key=lambda answer: answer[2])
    return history(*((by, text, timedelta(minutes=minute)) for by, text, minute in in_time))


@given(ANSWERS, RULES, st.data())
def test_how_often_anybody_looked_makes_no_difference(
    answers: list[tuple[str, str, int]], by: Rules, data: st.DataObject
) -> None:
    versions = proceeding(answers)
    settled = None
    looks = sorted(data.draw(st.lists(st.integers(0, 120), max_size=6)))
    for minute in [*looks, 120]:
        now = timedelta(minutes=minute)
        seen = [version for version in versions if version.at <= START + now]
        outcome = found(seen, by, now).outcome
        assert settled is None or outcome == settled
        settled = None if outcome == "pending" else outcome

    assert found(versions, by, timedelta(minutes=120)).outcome == settled


@given(ANSWERS, RULES, st.randoms(use_true_random=False))
def test_the_order_in_which_aws_lists_versions_makes_no_difference(
    answers: list[tuple[str, str, int]], by: Rules, random: Any
) -> None:
    versions = proceeding(answers)
    shuffled = list(versions)
    random.shuffle(shuffled)

    assert decide(shuffled, versions[0], HOOK, by, START + HOUR) == decide(
        versions, versions[0], HOOK, by, START + HOUR
    )


@given(ANSWERS, RULES)
def test_approval_takes_as_many_different_people_as_are_required(
    answers: list[tuple[str, str, int]], by: Rules
) -> None:
    finding = found(proceeding(answers), by, HOUR * 2)

    if finding.outcome == "approved":
        people = {
            vote.by.rpartition("/")[2] if "AWSReservedSSO" in vote.by else vote.by.replace("/erik", "/dora")
            for vote in finding.votes
        }
        assert len(people) == by.required
        assert all(vote.at < START + HOUR for vote in finding.votes)
        assert HOOK not in people
