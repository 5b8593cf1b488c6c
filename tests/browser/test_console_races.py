"""Several at once at one request: two who answer, an answer and the expiry, console and hook.

Each time they take turns at every call of AWS in an order that hypothesis chooses. Whatever that is, there is
one outcome, which is what the first answer in Parameter Store's order makes of it, to hook and page alike.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hooks.manual_approval.request import Kind, read
from shared.clock import timestamp
from tests.browser.scenes import PATIENT, waiting
from tests.browser.standstill import Sent, Standstill, standstill
from tests.browser.turns import play

EXPIRES_AFTER = timedelta(minutes=10)

# An answer takes five turns, and a look of the hook as many.
TURNS = 16
rounds = settings(max_examples=10, deadline=None)
of_two = st.lists(st.integers(0, 1), min_size=TURNS, max_size=TURNS)
of_three = st.lists(st.integers(0, 2), min_size=TURNS, max_size=TURNS)

WENT, TOO_LATE = 303, 409


@pytest.fixture(scope="module")
def still() -> Iterator[Standstill]:
    minutes = int(EXPIRES_AFTER.total_seconds()) // 60
    scenarios = [
        waiting("one", expiresAfterMinutes=minutes, **PATIENT),
        waiting("two", policy={"requiredApprovals": 2}, expiresAfterMinutes=minutes, **PATIENT),
        waiting("onward", policy={"onExpiry": "proceed"}, expiresAfterMinutes=minutes, onExpiry="proceed"),
    ]
    with standstill(*scenarios) as still:
        for person in ("alice", "bob", "carol"):
            still.cookie(person)
        yield still


class Outcome(NamedTuple):
    """What a request came to, as whoever asks is told."""

    hook: str
    page: str


APPROVED = Outcome("SUCCEEDED", "Approved")
REJECTED = Outcome("FAILED", "Rejected")
EXPIRED = Outcome("FAILED", "Expired")
PENDING = Outcome("IN_PROGRESS", "Waiting for a decision")


def ask_anew(still: Standstill, service: str) -> None:
    """Have the hook ask as if for the first time."""
    still.put_clock_back()
    still.rehearsal.cloud.client("ssm", user="admin").delete_parameter(Name=still.parameter(service))
    assert look(still, service) == "IN_PROGRESS"


def look(still: Standstill, service: str) -> str:
    return str(still.poll(service).reply["hookStatus"])


def outcome(still: Standstill, service: str) -> Outcome:
    page = still.get("carol", still.path(service))
    band = re.search(r'<section class="state [a-z]+".*?<h2>(.*?)</h2>', page.text, re.DOTALL)
    assert band
    said = look(still, service)
    # What was said once is said again.
    assert look(still, service) == said
    return Outcome(said, band[1])


def answering(still: Standstill, who: str, service: str, what: str, **fields: str) -> Callable[[], Sent]:
    """Return what sends the form of a page that was opened before."""
    path = f"{still.path(service)}/answer"
    form = {"csrf": still.csrf(who, path), "seen": "1", "answer": what, **fields}
    return lambda: still.post(who, path, form)


def decided_by(still: Standstill, service: str) -> list[Kind]:
    """Return what stands in the versions that could decide, in Parameter Store's order."""
    kinds = [read(text).kind for text in still.versions(service)]
    return [kind for kind in kinds if kind is not Kind.PENDING]


def at_once(still: Standstill, schedule: list[int], *works: Callable[[], Any]) -> list[Any]:
    return play(works, schedule, still.rehearsal.cloud.faults)


@rounds
@example([0] * TURNS)
@example([1] * TURNS)
@example([0, 1] * (TURNS // 2))
@given(of_two)
def test_of_an_approval_and_a_rejection_the_first_decides(still: Standstill, schedule: list[int]) -> None:
    ask_anew(still, "one")
    approval, rejection = at_once(
        still,
        schedule,
        answering(still, "alice", "one", "approve"),
        answering(still, "bob", "one", "reject"),
    )
    written = decided_by(still, "one")
    # Whoever was told that it was too late has written nothing.
    told = [
        kind for kind, sent in ((Kind.APPROVED, approval), (Kind.REJECTED, rejection)) if sent.status == WENT
    ]
    assert sorted(written) == sorted(told)
    assert {approval.status, rejection.status} <= {WENT, TOO_LATE}
    assert outcome(still, "one") == (APPROVED if written[0] is Kind.APPROVED else REJECTED)


@rounds
@example([0] * TURNS)
@example([1] * TURNS)
@example([0, 1] * (TURNS // 2))
@given(of_two)
def test_two_who_approve_are_two(still: Standstill, schedule: list[int]) -> None:
    ask_anew(still, "two")
    sent = at_once(still, schedule, *(answering(still, who, "two", "approve") for who in ("alice", "bob")))
    assert [one.status for one in sent] == [WENT, WENT]
    assert outcome(still, "two") == APPROVED


@rounds
@example([0] * TURNS)
@example([1] * TURNS)
@example([0, 1] * (TURNS // 2))
@given(of_two)
def test_one_who_approves_twice_is_one(still: Standstill, schedule: list[int]) -> None:
    ask_anew(still, "two")
    sent = at_once(still, schedule, *(answering(still, "alice", "two", "approve") for _ in range(2)))
    assert WENT in {one.status for one in sent} <= {WENT, TOO_LATE}
    assert outcome(still, "two") == PENDING


@rounds
@example([0] * TURNS)
@example([1] * TURNS)
@example([2] * TURNS)
@given(of_three)
def test_whoever_answers_while_the_hook_looks_is_heard_by_the_next_look(
    still: Standstill, schedule: list[int]
) -> None:
    ask_anew(still, "one")
    rejection, said, again = at_once(
        still,
        schedule,
        answering(still, "bob", "one", "reject"),
        lambda: look(still, "one"),
        lambda: look(still, "one"),
    )
    assert rejection.status == WENT
    assert {said, again} <= {"IN_PROGRESS", "FAILED"}
    assert outcome(still, "one") == REJECTED


@pytest.mark.parametrize(
    ("service", "what", "answered", "expired"),
    [
        ("one", "approve", APPROVED, EXPIRED),
        ("onward", "reject", REJECTED, Outcome("SUCCEEDED", "Expired")),
    ],
)
@rounds
@example(schedule=[0] * TURNS)
@example(schedule=[1] * TURNS)
@example(schedule=[2] * TURNS)
@given(schedule=of_three)
def test_of_an_answer_and_the_expiry_the_first_decides(
    still: Standstill,
    schedule: list[int],
    service: str,
    what: str,
    answered: Outcome,
    expired: Outcome,
) -> None:
    ask_anew(still, service)
    sent, said, _ = at_once(
        still,
        schedule,
        answering(still, "alice", service, what),
        lambda: look(still, service),
        lambda: still.move_clock(EXPIRES_AFTER + timedelta(seconds=1)),
    )
    # A look before the expiry says nothing yet.
    final = outcome(still, service)
    assert final in {answered, expired}
    assert said in {"IN_PROGRESS", final.hook}
    if sent.status == TOO_LATE:
        assert final == expired


@rounds
@example([0] * TURNS)
@example([1] * TURNS)
@example([2] * TURNS)
@given(of_three)
def test_of_an_extension_and_the_expiry_the_first_decides(still: Standstill, schedule: list[int]) -> None:
    ask_anew(still, "one")
    later = datetime.now(UTC) + 3 * EXPIRES_AFTER
    sent, said, _ = at_once(
        still,
        schedule,
        answering(still, "alice", "one", "extend", expires_at=timestamp(later)),
        lambda: look(still, "one"),
        lambda: still.move_clock(EXPIRES_AFTER + timedelta(seconds=1)),
    )
    final = outcome(still, "one")
    assert final in {PENDING, EXPIRED}
    assert said in {"IN_PROGRESS", final.hook}
    if sent.status == TOO_LATE:
        assert final == EXPIRED
