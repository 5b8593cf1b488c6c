"""A request as console, command line and sweeper see it, and what their answers come to."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import time_machine
from hypothesis import given, settings
from hypothesis import strategies as st

from hooks.manual_approval.approvers import Electorate, Person
from hooks.manual_approval.decision import decide
from hooks.manual_approval.handler import _request
from hooks.manual_approval.parameter_store import ParameterStore
from hooks.manual_approval.proceeding import (
    Askers,
    NotAsked,
    NotPossible,
    Proceeding,
    answer,
    proceeding_of,
    read_proceeding,
)
from hooks.manual_approval.request import (
    ANSWERS,
    Kind,
    Statement,
    Telling,
    Version,
    parameter_name,
    read,
    write_closing,
    write_mark,
    write_pause_request,
)
from hooks.manual_approval.rules import Rules
from rehearsal.aws.cloud import ACCOUNT, Cloud
from shared.clock import timestamp
from shared.errors import Misconfigured, Transient
from tests.shared.checkout import DEPLOYMENT, REGION, START

ISSUER = "https://login.example.com"
HOOK_ROLE = f"arn:aws:iam::{ACCOUNT}:role/stack/ManualApprovalRole"
PAUSE_ROLE = f"arn:aws:iam::{ACCOUNT}:role/stack/ApprovalPauseRole"
CONSOLE_ROLE = f"arn:aws:iam::{ACCOUNT}:role/stack/ApprovalConsoleRole"
HOOK = f"arn:aws:sts::{ACCOUNT}:assumed-role/ManualApprovalRole/ManualApprovalFunction"
PAUSE = f"arn:aws:sts::{ACCOUNT}:assumed-role/ApprovalPauseRole/ApprovalPauseFunction"
CONSOLE = f"arn:aws:sts::{ACCOUNT}:assumed-role/ApprovalConsoleRole/ApprovalConsoleFunction"
ALICE, BOB = (f"arn:aws:iam::{ACCOUNT}:user/{name}" for name in ("alice", "bob"))
PIPELINE = f"arn:aws:sts::{ACCOUNT}:assumed-role/pipeline/run-7"
PERSON = Person(f"oidc:{ISSUER}#alice", (f"oidc-group:{ISSUER}#releases",), "Alice")
ASKERS = Askers(HOOK_ROLE, PAUSE_ROLE)
PREFIX = "/ecs-approvals"
PAUSE_ID = "ecs-pause-0a1b2c3d"
HOUR = timedelta(hours=1)
TICK = timedelta(microseconds=1)


def rules(required: int = 1, **changes: Any) -> Rules:
    electorate = Electorate(
        allowed=(("*",), ("*",)),
        excluded=(f"arn:aws:iam::{ACCOUNT}:role/pipeline",),
        personal_sessions=("arn:*:sts::*:assumed-role/AWSReservedSSO_*",),
        console=CONSOLE_ROLE,
    )
    return Rules(
        required,
        replace(electorate, **changes),
        expires_after=HOUR,
        extendable_to=HOUR * 3,
        on_expiry="refuse",
    )


def request(by: Rules | None = None, *, pause: str = "", **others: Any) -> str:
    """Return a request's text; *others* are put into it."""
    document = json.loads(
        write_pause_request(DEPLOYMENT, pause, "POST_TEST_TRAFFIC_SHIFT", rules=by or rules(), now=START)
    )
    if not pause:
        del document["pause"]
    return json.dumps({**document, **others})


def history(
    *answers: tuple[str, str] | tuple[str, str, timedelta], asked: str | None = None
) -> list[Version]:
    versions = [Version(1, START, HOOK, asked or request())]
    for number, (by, text, *after) in enumerate(answers, start=2):
        at = START + (after[0] if after else timedelta(minutes=number - 1))
        versions.append(Version(number, at, by, text))
    return versions


def seen(
    versions: Sequence[Version], now: timedelta = HOUR / 2, part: str = "", askers: Askers = ASKERS
) -> Proceeding:
    name = parameter_name(PREFIX, DEPLOYMENT, part)
    return proceeding_of(name, DEPLOYMENT, part, versions, askers, START + now)


def said(state: str, **others: Any) -> str:
    return json.dumps({"state": state, **others})


def closing(outcome: str, at: timedelta = HOUR) -> str:
    expires_at = START + at if outcome == "expired" else None
    return write_closing(outcome, by=(), comment="", now=START + at, expires_at=expires_at)


# ---------------------------------------------------------------------------------- whose request it is


def test_a_proceeding_is_the_hook_s_request_and_what_came_of_it() -> None:
    versions = history((ALICE, "APPROVED"), asked=request(rules(2)))
    name = f"{PREFIX}/shop/checkout/{DEPLOYMENT.id}"

    assert seen(versions) == Proceeding(
        name=name,
        deployment=DEPLOYMENT,
        part="",
        history=versions,
        asked=versions[0],
        statement=Statement(
            Kind.PENDING,
            deployment=str(DEPLOYMENT),
            stage="POST_TEST_TRAFFIC_SHIFT",
            expires_at=START + HOUR,
        ),
        asker=HOOK_ROLE,
        rules=rules(2),
        finding=decide(versions, versions[0], HOOK, rules(2), START + HOUR / 2),
        closed=None,
    )
    assert (seen(versions).outcome, seen(versions).missing, seen(versions).is_pause) == ("pending", 1, False)


@pytest.mark.parametrize(
    ("by", "text", "part"),
    [
        (ALICE, request(), ""),
        (CONSOLE, request(), ""),
        (PAUSE, request(), ""),
        (HOOK.replace(ACCOUNT, "999999999999"), request(), ""),
        ("", request(), ""),
        (HOOK, request(pause=PAUSE_ID), ""),
        (HOOK, request(deployment=f"{DEPLOYMENT}x"), ""),
        (HOOK, request(state="approved"), ""),
        (HOOK, "APPROVED", ""),
        (HOOK, request(pause=PAUSE_ID), PAUSE_ID),
        (PAUSE, request(), PAUSE_ID),
        (PAUSE, request(pause=PAUSE_ID), f"{PAUSE_ID}x"),
    ],
)
def test_nobody_else_can_make_a_request(by: str, text: str, part: str) -> None:
    with pytest.raises(NotAsked, match=f"nobody has asked for {parameter_name(PREFIX, DEPLOYMENT, part)}"):
        seen([Version(1, START, by, text)], part=part)


@pytest.mark.parametrize("askers", [Askers(""), Askers("", ""), Askers("*", "*")])
def test_where_no_asker_is_known_nothing_was_asked(askers: Askers) -> None:
    for by in ("", HOOK):
        with pytest.raises(NotAsked):
            seen([Version(1, START, by, request())], askers=askers)
        with pytest.raises(NotAsked):
            seen([Version(1, START, by, request(pause=PAUSE_ID))], part=PAUSE_ID, askers=askers)
    with pytest.raises(NotAsked):
        seen([])


def test_a_pause_hook_s_request_is_that_of_the_function_that_asks_for_them() -> None:
    asked = Version(1, START, PAUSE, request(rules(1), pause=PAUSE_ID))
    proceeding = seen([asked, Version(2, START, ALICE, "APPROVED")], part=PAUSE_ID)

    assert (proceeding.outcome, proceeding.is_pause, proceeding.asker) == ("approved", True, PAUSE_ROLE)


def test_the_request_is_the_hook_s_first_whatever_stood_there_before_or_is_written_over_it() -> None:
    forged = request(rules(1))
    versions = [
        Version(1, START, ALICE, forged),
        Version(2, START, ALICE, "APPROVED"),
        Version(3, START, HOOK, request(rules(3))),
        Version(4, START, ALICE, forged),
        Version(5, START, HOOK, request(rules(1))),
        Version(6, START, BOB, "APPROVED"),
    ]
    proceeding = seen(versions)

    assert (proceeding.asked.number, proceeding.rules, proceeding.outcome) == (3, rules(3), "pending")
    assert proceeding.missing == 2


def test_a_history_that_has_lost_its_beginning_proves_nothing() -> None:
    versions = [replace(version, number=version.number + 1) for version in history((ALICE, "APPROVED"))]

    with pytest.raises(Misconfigured, match="versions before 2 are gone, and with them the proof"):
        seen(versions)


@pytest.mark.parametrize(
    "odd",
    [
        None,
        1,
        {},
        {**rules().document(), "requiredApprovals": 0},
        {**rules().document(), "onExpiry": ["proceed"]},
        {**rules().document(), "expiresAfterSeconds": float("nan")},
    ],
    ids=lambda value: repr(value)[:20],
)
def test_without_rules_that_can_be_read_nothing_is_decided_here(odd: Any) -> None:
    proceeding = seen(history((ALICE, "APPROVED"), asked=request(rules=odd)))

    assert (proceeding.rules, proceeding.finding, proceeding.outcome) == (None, None, "unknown")
    assert (proceeding.missing, proceeding.extendable_to) == (0, None)
    assert proceeding.has_approved(ALICE) is False
    assert proceeding.objection(ALICE) == (
        "who may decide is too long a list to be in the request; answer with the AWS CLI"
    )
    assert proceeding.objection_to_extension(START + HOUR * 2) == "it can't be put off any further"


# ---------------------------------------------------------------------------------- who may answer


@pytest.mark.parametrize(
    ("versions", "now", "caller", "person", "objection"),
    [
        (history(), HOUR - TICK, ALICE, None, None),
        (history(), HOUR, ALICE, None, "it is expired"),
        (history((BOB, "APPROVED")), HOUR / 2, ALICE, None, "it is approved"),
        (history((BOB, "REJECTED")), HOUR / 2, ALICE, None, "it is rejected"),
        (history((HOOK, closing("expired"))), HOUR / 2, ALICE, None, "it is expired"),
        (history(), HOUR / 2, PIPELINE, None, "excluded by excludedApprovers"),
        (history(), HOUR / 2, PIPELINE, PERSON, "excluded by excludedApprovers"),
        (history(), HOUR / 2, CONSOLE, None, "the console names no person"),
        (history(), HOUR / 2, CONSOLE, PERSON, None),
        (
            history(),
            HOUR / 2,
            ALICE,
            PERSON,
            "the hook was deployed without this console, and would not believe whom it names",
        ),
        (history(), HOUR / 2, CONSOLE, Person(ALICE), "the console names no person"),
    ],
)
def test_who_may_answer_now(
    versions: list[Version], now: timedelta, caller: str, person: Person | None, objection: str | None
) -> None:
    assert seen(versions, now).objection(caller, person) == objection


BY_ALICE = said("approved", by={"identity": PERSON.identity})
SSO_ALICE = f"arn:aws:sts::{ACCOUNT}:assumed-role/AWSReservedSSO_Ops_1/Alice"


@pytest.mark.parametrize(
    ("versions", "caller", "person", "has"),
    [
        (history(asked=request(rules(2))), ALICE, None, False),
        (history((ALICE, "APPROVED"), asked=request(rules(2))), ALICE, None, True),
        (history((ALICE, "APPROVED"), asked=request(rules(2))), BOB, None, False),
        (history((BOB, "APPROVED"), asked=request(rules(2))), CONSOLE, PERSON, False),
        (history((CONSOLE, BY_ALICE), asked=request(rules(2))), CONSOLE, PERSON, True),
        (history((CONSOLE, BY_ALICE), asked=request(rules(2))), CONSOLE, Person(f"oidc:{ISSUER}#bob"), False),
        (history((CONSOLE, BY_ALICE), asked=request(rules(2))), CONSOLE, None, False),
        # In the console and by AWS she is called the same.
        (history((ALICE, "APPROVED"), asked=request(rules(2))), CONSOLE, PERSON, True),
        (history((CONSOLE, BY_ALICE), asked=request(rules(2))), SSO_ALICE, None, True),
        (history((SSO_ALICE, "APPROVED"), asked=request(rules(2))), CONSOLE, PERSON, True),
        (history((PIPELINE, "APPROVED"), asked=request(rules(2))), PIPELINE, None, False),
        (history((ALICE, "APPROVED")), ALICE, None, True),
        # Whoever has rejected has not approved.
        (history((ALICE, "REJECTED")), ALICE, None, False),
    ],
)
def test_who_has_approved(versions: list[Version], caller: str, person: Person | None, has: bool) -> None:
    assert seen(versions).has_approved(caller, person) is has


@pytest.mark.parametrize(
    ("versions", "missing"),
    [
        (history(asked=request(rules(2))), 2),
        (history((ALICE, "APPROVED"), asked=request(rules(2))), 1),
        (history((ALICE, "APPROVED"), (ALICE, "APPROVED"), asked=request(rules(2))), 1),
        (history((ALICE, "APPROVED"), (BOB, "APPROVED"), asked=request(rules(2))), 0),
        (history((ALICE, "REJECTED"), asked=request(rules(2))), 0),
        (history((HOOK, closing("expired")), asked=request(rules(2))), 0),
    ],
)
def test_how_many_approvals_are_missing(versions: list[Version], missing: int) -> None:
    assert seen(versions).missing == missing


def between(earliest: str, latest: str) -> str:
    return (
        f"it can be put off to a time after 2026-03-05T{earliest}Z, and to 2026-03-05T{latest}Z at the latest"
    )


EXTENDED = said("extended", expiresAt=timestamp(START + HOUR * 2))


@pytest.mark.parametrize(
    ("versions", "closed", "outcome"),
    [
        (history(), None, "pending"),
        (history((ALICE, "APPROVED"), (HOOK, closing("approved"))), "approved", "approved"),
        (history((HOOK, closing("expired"))), "expired", "expired"),
        (history((ALICE, closing("expired"))), None, "pending"),
        (history((HOOK, write_mark(request(), Telling("request", done=True)))), None, "pending"),
        # An answer, or an extension, was faster than the expiry.
        (history((ALICE, "APPROVED"), (HOOK, closing("expired"))), None, "approved"),
        (
            history((ALICE, "REJECTED"), (HOOK, closing("expired")), (HOOK, closing("rejected"))),
            "rejected",
            "rejected",
        ),
        (history((ALICE, EXTENDED), (HOOK, closing("expired"))), None, "pending"),
        (
            history((ALICE, EXTENDED), (HOOK, closing("expired")), (HOOK, closing("expired", HOUR * 2))),
            "expired",
            "expired",
        ),
    ],
)
def test_what_the_hook_says_it_came_to(versions: list[Version], closed: str | None, outcome: str) -> None:
    proceeding = seen(versions)

    assert proceeding.outcome == outcome
    assert (proceeding.closed.outcome if proceeding.closed else None) == closed
    assert proceeding.closed in (None, read(versions[-1].text))


@pytest.mark.parametrize(
    ("versions", "extendable", "until", "objection"),
    [
        (history(), HOUR * 3, HOUR * 2, None),
        (history(), HOUR * 3, HOUR * 3, None),
        (history(), HOUR * 3, HOUR + timedelta(seconds=1), None),
        (
            history(),
            HOUR * 3,
            HOUR,
            between("13:00:00", "15:00:00"),
        ),
        (
            history(),
            HOUR * 3,
            HOUR * 3 + timedelta(seconds=1),
            between("13:00:00", "15:00:00"),
        ),
        (
            history((ALICE, EXTENDED)),
            HOUR * 3,
            HOUR * 2 + timedelta(milliseconds=999),
            between("14:00:00", "15:00:00"),
        ),
        (
            history(),
            HOUR * 3,
            None,
            between("13:00:00", "15:00:00"),
        ),
        (
            history((ALICE, said("extended", expiresAt="9999-12-31T00:00:00Z"))),
            None,
            HOUR * 4,
            "it can't be put off any further",
        ),
    ],
)
def test_how_far_it_can_be_put_off(
    versions: list[Version], extendable: timedelta | None, until: timedelta | None, objection: str | None
) -> None:
    proceeding = seen(versions)

    assert proceeding.extendable_to == (START + extendable if extendable else None)
    assert proceeding.objection_to_extension(START + until if until else None) == objection


# ---------------------------------------------------------------------------------- page and hook

WRITERS = st.sampled_from([ALICE, BOB, CONSOLE, PIPELINE, SSO_ALICE, HOOK, PAUSE, ""])
TEXTS = st.sampled_from(
    [
        *("APPROVED", "approved", "REJECTED", "hm", ""),
        BY_ALICE,
        said("rejected", by={"identity": PERSON.identity, "groups": ["x"]}),
        said("approved", answers=1),
        said("approved", answers=2),
        said("approved", deployment=f"{DEPLOYMENT}x"),
        EXTENDED,
        said("extended", expiresAt="9999-12-31T23:59:59Z"),
        request(),
        request(rules(1, excluded=()), state="approved"),
        write_mark(request(), Telling("request", done=True)),
        closing("expired"),
        closing("expired", HOUR * 2),
        closing("approved"),
    ]
)
HISTORIES = st.lists(st.tuples(WRITERS, TEXTS, st.integers(0, 200)), max_size=10)


PLANTED = st.lists(st.tuples(WRITERS.filter(lambda who: who != HOOK), TEXTS), max_size=3)


@given(PLANTED, HISTORIES, st.integers(1, 3), st.integers(0, 240))
@settings(deadline=None)
def test_page_and_hook_come_to_the_same(
    planted: list[tuple[str, str]], answers: list[tuple[str, str, int]], required: int, minute: int
) -> None:
    by = rules(required)
    rows = [(who, text, timedelta(minutes=at)) for who, text, at in sorted(answers, key=lambda row: row[2])]
    versions = [Version(number, START, who, text) for number, (who, text) in enumerate(planted, start=1)]
    versions += [
        replace(version, number=version.number + len(planted))
        for version in history(*rows, asked=request(by))
    ]
    now = START + timedelta(minutes=minute)
    # The hook knows its session, the others the role; and the rules are those the hook wrote down.
    call: Any = SimpleNamespace(event=SimpleNamespace(deployment=DEPLOYMENT))
    asked = _request(call, versions, HOOK)
    assert asked is not None
    hook = decide(versions, asked, HOOK, by, now)
    page = seen(versions, timedelta(minutes=minute))

    assert page.finding == hook
    assert page.rules == by
    assert (page.objection(BOB) is None) is (hook.outcome == "pending")
    assert page.closed is None or page.closed.outcome != "expired" or hook.outcome == "expired"


# ---------------------------------------------------------------------------------- answering

NAME = parameter_name(PREFIX, DEPLOYMENT)
WHERE = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{PREFIX}/*"
MAY_ANSWER = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": ["ssm:GetParameterHistory", "ssm:PutParameter"], "Resource": WHERE}
    ],
}
MAY_READ = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "ssm:GetParameterHistory", "Resource": WHERE}],
}
ADMIN = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


@dataclass
class Desk:
    """An account in which people answer requests."""

    cloud: Cloud
    clock: time_machine.Traveller

    @property
    def now(self) -> datetime:
        return datetime.now(UTC)

    def put(self, text: str, *, role: str = "others", session: str = "bob") -> None:
        ssm = self.cloud.client("ssm", role=role, session=session, policies=[ADMIN])
        ssm.put_parameter(Name=NAME, Value=text, Type="String", Overwrite=True)

    def ask(self, by: Rules | None = None) -> None:
        self.put(request(by), role="ManualApprovalRole", session="ManualApprovalFunction")

    @property
    def versions(self) -> list[tuple[str, Any]]:
        ssm = self.cloud.client("ssm", user="admin", policies=[ADMIN])
        found = ssm.get_parameter_history(Name=NAME)["Parameters"]
        return [(version["LastModifiedUser"].rpartition("/")[2], version["Value"]) for version in found]

    def delete(self) -> None:
        self.cloud.client("ssm", user="admin", policies=[ADMIN]).delete_parameter(Name=NAME)

    @contextmanager
    def being(self, role: str, session: str, policy: dict[str, Any] = MAY_ANSWER) -> Iterator[str]:
        with self.cloud.acting_as(role, session, [policy]) as arn:
            yield arn

    def read(self) -> Proceeding:
        return read_proceeding(PREFIX, DEPLOYMENT, "", ASKERS, self.now)

    def answer(
        self,
        kind: Kind = Kind.APPROVED,
        *,
        role: str = "release",
        session: str = "alice",
        policy: dict[str, Any] = MAY_ANSWER,
        person: Person | None = None,
        expires_at: datetime | None = None,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> Proceeding:
        """Read the request, and answer it, as somebody; something may happen between the two."""
        with self.being(role, session, policy) as caller:
            proceeding = self.read()
        meanwhile()
        with self.being(role, session, policy):
            return answer(
                proceeding,
                kind,
                comment="tried it",
                caller=caller,
                askers=ASKERS,
                prefix=PREFIX,
                now=self.now,
                person=person,
                expires_at=expires_at,
            )

    def answer_in_the_console(
        self, person: Person = PERSON, kind: Kind = Kind.APPROVED, **others: Any
    ) -> Proceeding:
        others |= {"role": "ApprovalConsoleRole", "session": "ApprovalConsoleFunction"}
        return self.answer(kind, person=person, **others)


@pytest.fixture(scope="module")
def account() -> Iterator[Cloud]:
    with Cloud(region=REGION) as cloud, cloud.enforcing_iam():
        yield cloud
        assert cloud.defects == []


@pytest.fixture
def desk(account: Cloud) -> Iterator[Desk]:
    with time_machine.travel(START, tick=False) as clock:
        account.reset()
        desk = Desk(account, clock)
        desk.ask(rules(2))
        clock.shift(60)
        yield desk


def test_an_answer_of_the_command_line_is_the_caller_s(desk: Desk) -> None:
    after = desk.answer()

    assert (
        after.outcome,
        after.missing,
        after.has_approved(f"arn:aws:sts::{ACCOUNT}:assumed-role/release/alice"),
    ) == (
        "pending",
        1,
        True,
    )
    [_, (who, text)] = desk.versions
    assert (who, json.loads(text)) == (
        "alice",
        {
            "schema": 1,
            "state": "approved",
            "comment": "tried it",
            "deployment": str(DEPLOYMENT),
            "answers": 1,
            "stage": "POST_TEST_TRAFFIC_SHIFT",
            "expiresAt": "2026-03-05T13:00:00Z",
        },
    )


def test_an_answer_of_the_console_is_the_person_s(desk: Desk) -> None:
    desk.answer()
    after = desk.answer_in_the_console()

    assert after.finding is not None
    assert (after.outcome, [vote.by for vote in after.finding.votes]) == (
        "approved",
        [f"arn:aws:sts::{ACCOUNT}:assumed-role/release/alice", PERSON.identity],
    )
    assert json.loads(desk.versions[-1][1])["by"] == {
        "identity": PERSON.identity,
        "groups": list(PERSON.groups),
        "name": "Alice",
    }


def test_an_extension_puts_the_expiry_off(desk: Desk) -> None:
    after = desk.answer_in_the_console(kind=Kind.EXTENDED, expires_at=START + HOUR * 2)

    assert after.finding is not None
    assert (after.outcome, after.finding.expires_at) == ("pending", START + HOUR * 2)


@pytest.mark.parametrize(
    ("who", "before", "objection"),
    [
        ({"role": "pipeline"}, None, "excluded by excludedApprovers"),
        ({"role": "ApprovalConsoleRole"}, None, "the console names no person"),
        ({"role": "ApprovalConsoleRole", "person": Person(ALICE)}, None, "the console names no person"),
        (
            {"role": "ApprovalConsoleRole", "person": Person(PERSON.identity + "\ud800")},
            None,
            "the console names no person",
        ),
        ({}, "REJECTED", "it is rejected"),
        ({}, timedelta(hours=1), "it is expired"),
        ({}, timedelta(minutes=59), "it is expired"),
    ],
    ids=str,
)
def test_an_answer_that_would_not_count_is_not_written(
    desk: Desk, who: dict[str, Any], before: str | timedelta | None, objection: str
) -> None:
    if isinstance(before, timedelta):
        desk.clock.shift(before)
    elif before:
        desk.put(before)
    stood = desk.versions

    for kind in ANSWERS:
        with pytest.raises(NotPossible, match=f"^{objection}$"):
            desk.answer(kind, expires_at=START + HOUR * 2, **who)
    assert desk.versions == stood


def test_nobody_approves_twice_and_it_is_said_before_anything_is_written(desk: Desk) -> None:
    desk.answer_in_the_console()
    stood = desk.versions

    for again in (PERSON, Person(f"oidc:{ISSUER}#ALICE")):
        with pytest.raises(NotPossible, match="you have approved it already; it takes somebody else now"):
            desk.answer_in_the_console(again)
    assert desk.versions == stood
    # Who has approved may still think better of it.
    assert desk.answer_in_the_console(kind=Kind.REJECTED).outcome == "rejected"


@pytest.mark.parametrize(
    "expires_at",
    [
        None,
        START,
        START + HOUR,
        START + HOUR * 4,
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
    ],
)
def test_an_extension_that_puts_nothing_off_or_too_much_is_not_written(
    desk: Desk, expires_at: datetime | None
) -> None:
    with pytest.raises(NotPossible, match=between("13:00:00", "15:00:00")):
        desk.answer(Kind.EXTENDED, expires_at=expires_at)
    assert len(desk.versions) == 1


def test_the_groups_that_let_somebody_decide_are_written_whatever_others_they_are_in(desk: Desk) -> None:
    group = f"oidc-group:{ISSUER}#releases"
    desk.delete()
    desk.ask(rules(1, allowed=((group,), ("*",))))
    others = tuple(f"oidc-group:{ISSUER}#{'g' * 90}{number}" for number in range(40))
    after = desk.answer_in_the_console(Person(PERSON.identity, (*others, group), "Alice"))

    assert after.outcome == "approved"
    groups = json.loads(desk.versions[-1][1])["by"]["groups"]
    assert groups == [group, *others[:9]]


def test_a_group_that_there_is_no_room_for_lets_nobody_decide(desk: Desk) -> None:
    desk.delete()
    desk.ask(rules(1, allowed=(("oidc-group:*#*g",),)))

    with pytest.raises(NotPossible, match="not among allowedApprovers"):
        desk.answer_in_the_console(Person(PERSON.identity, (f"oidc-group:{ISSUER}#{'g' * 1500}",)))
    assert len(desk.versions) == 1


def test_a_group_that_keeps_somebody_from_deciding_does_so_however_many_they_are_in(desk: Desk) -> None:
    desk.delete()
    desk.ask(rules(1, excluded=("oidc-group:*#contractors",)))
    groups = tuple(f"oidc-group:{ISSUER}#{name}" for name in (*"abcdefghijkl", "contractors"))

    with pytest.raises(NotPossible, match="excluded by excludedApprovers"):
        desk.answer_in_the_console(Person(PERSON.identity, groups))
    assert len(desk.versions) == 1


def test_names_that_no_parameter_has_room_for_are_told_and_not_written(desk: Desk) -> None:
    with pytest.raises(NotPossible, match="the names of the person and their groups are too long"):
        desk.answer_in_the_console(Person(f"oidc:{ISSUER}#{'s' * 4000}"))
    assert len(desk.versions) == 1


# ---------------------------------------------------------------------------------- meanwhile


def test_an_answer_that_came_second_is_written_and_changes_nothing(desk: Desk) -> None:
    after = desk.answer(meanwhile=lambda: desk.put("REJECTED"))

    assert after.finding is not None
    assert (after.outcome, [vote.by.rpartition("/")[2] for vote in after.finding.votes]) == (
        "rejected",
        ["bob"],
    )
    assert len(desk.versions) == 3


def test_an_answer_to_a_request_that_was_asked_anew_does_not_count(desk: Desk) -> None:
    def asked_anew() -> None:
        desk.delete()
        desk.put("something else")
        desk.ask(rules(1))

    after = desk.answer(meanwhile=asked_anew)

    assert after.finding is not None
    assert (after.outcome, after.asked.number, after.finding.remarks) == (
        "pending",
        2,
        (
            f"version 3 by arn:aws:sts::{ACCOUNT}:assumed-role/release/alice: answers version 1, and the "
            "request is version 2",
        ),
    )


def test_an_answer_to_a_request_that_was_deleted_answers_nothing(desk: Desk) -> None:
    with pytest.raises(NotAsked):
        desk.answer(meanwhile=desk.delete)


def test_the_expiry_that_was_settled_meanwhile_stays_settled(desk: Desk) -> None:
    def settle() -> None:
        desk.put(closing("expired"), role="ManualApprovalRole", session="ManualApprovalFunction")

    desk.clock.move_to(START + HOUR - timedelta(seconds=1))

    assert desk.answer(meanwhile=settle).outcome == "expired"


def test_what_parameter_store_does_not_show_yet_is_not_taken_for_an_outcome(desk: Desk) -> None:
    desk.answer()
    with desk.being("release", "alice"), pytest.MonkeyPatch.context() as patch:
        proceeding = desk.read()
        stale = ParameterStore(NAME).history()
        patch.setattr(ParameterStore, "history", lambda _self: stale)
        with pytest.raises(Transient, match="the answer is written; Parameter Store does not show it yet"):
            answer(
                proceeding,
                Kind.REJECTED,
                comment="",
                caller=f"arn:aws:sts::{ACCOUNT}:assumed-role/release/alice",
                askers=ASKERS,
                prefix=PREFIX,
                now=desk.now,
            )
    assert len(desk.versions) == 3


def test_a_history_with_a_gap_is_not_read(desk: Desk) -> None:
    for text in ("REJECTED", "APPROVED"):
        desk.put(text)
    with desk.being("release", "alice"), pytest.MonkeyPatch.context() as patch:
        whole = list(ParameterStore(NAME)._pages())
        assert len(ParameterStore(NAME).history()) == 3
        for hole in ([0, 2], [0, 1, 1], [0, 0, 1]):
            patch.setattr(
                ParameterStore, "_pages", lambda _self, hole=hole: iter([whole[index] for index in hole])
            )
            with pytest.raises(Transient, match="does not show all versions yet"):
                ParameterStore(NAME).history()


def test_whoever_may_only_read_is_told_which_permission_is_missing(desk: Desk) -> None:
    with pytest.raises(Misconfigured, match=f"may not ssm:PutParameter on {NAME}"):
        desk.answer(policy=MAY_READ)
    assert len(desk.versions) == 1
