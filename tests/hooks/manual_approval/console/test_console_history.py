"""Past decisions, a day at a time."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from hooks.manual_approval.archive import Entry, PastAnswer, archive_name, write_entry
from hooks.manual_approval.console.history import read_history
from hooks.manual_approval.console.views import History
from tests.hooks.manual_approval.console.under_way import PREFIX, Account, counting, looking
from tests.shared.checkout import DEPLOYMENT, POST_TEST, START

TODAY = START.date()
MARCH_2 = date(2026, 3, 2)
ENTRY = Entry(
    deployment=DEPLOYMENT,
    part="",
    stage=POST_TEST,
    outcome="approved",
    deployment_status="SUCCESSFUL",
    asked_at=datetime(2026, 3, 2, 8, 0, tzinfo=UTC),
    ended_at=datetime(2026, 3, 2, 9, 0, tzinfo=UTC),
    required=1,
    answers=(PastAnswer("approved", "arn:x", "", datetime(2026, 3, 2, 8, 30, tzinfo=UTC), "fine"),),
    images=("shop/checkout:42",),
)


@pytest.fixture
def account() -> Iterator[Account]:
    with looking() as account:
        yield account


def archived(account: Account, *entries: Entry) -> None:
    for entry in entries:
        account.cloud.parameters.write_earlier(archive_name(PREFIX, entry), write_entry(entry), START)


def told(account: Account, day: date = MARCH_2, **changes: Any) -> History:
    return read_history(
        **{"prefix": PREFIX, "day": day, "may_view": lambda *_: True, "now": START, **changes}
    )


def test_a_day_s_decisions_are_told_the_latest_first(account: Account) -> None:
    step = replace(ENTRY, part="step-from-10", ended_at=ENTRY.ended_at + timedelta(hours=1))
    archived(account, ENTRY, step, replace(ENTRY, ended_at=ENTRY.ended_at - timedelta(days=1)))

    assert told(account) == History(
        day=MARCH_2,
        entries=(step, ENTRY),
        earlier=date(2026, 3, 1),
        later=date(2026, 3, 3),
        left_out=False,
        problems=(),
    )


def test_what_somebody_may_not_see_is_not_told(account: Account) -> None:
    payroll = replace(ENTRY, deployment=replace(DEPLOYMENT, cluster="finance", service="payroll"))
    archived(account, ENTRY, payroll)

    seen = told(account, may_view=lambda cluster, service: (cluster, service) == ("shop", "checkout"))

    assert (seen.entries, seen.problems) == ((ENTRY,), ())


def test_an_entry_under_another_s_name_is_not_told(account: Account) -> None:
    payroll = replace(ENTRY, deployment=replace(DEPLOYMENT, cluster="finance", service="payroll"))
    account.cloud.parameters.write_earlier(archive_name(PREFIX, ENTRY), write_entry(payroll), START)
    account.cloud.parameters.write_earlier(
        archive_name(PREFIX, replace(ENTRY, part="step-from-10")), write_entry(ENTRY), START
    )

    assert (told(account).entries, told(account).problems) == ((), ("Entries that could not be read: 2.",))


def test_what_is_no_entry_is_counted(account: Account) -> None:
    archived(account, ENTRY)
    day = f"{PREFIX}-history/2026-03-02"
    for name in ("shop/checkout/x", "notes"):
        account.cloud.parameters.write_earlier(f"{day}/{name}", "hello", START)

    assert (told(account).entries, told(account).problems) == (
        (ENTRY,),
        ("Entries that could not be read: 1.",),
    )


@pytest.mark.parametrize(
    ("day", "earlier", "later"),
    [
        (TODAY, TODAY - timedelta(days=1), None),
        (TODAY - timedelta(days=1), TODAY - timedelta(days=2), TODAY),
        (TODAY - timedelta(days=7), None, TODAY - timedelta(days=6)),
        (TODAY - timedelta(days=6), TODAY - timedelta(days=7), TODAY - timedelta(days=5)),
        # From outside one is led back in.
        (TODAY - timedelta(days=70), None, TODAY - timedelta(days=7)),
        (TODAY + timedelta(days=1), TODAY, None),
        (TODAY + timedelta(days=70), TODAY, None),
        (date.min, None, TODAY - timedelta(days=7)),
        (date.max, TODAY, None),
    ],
)
def test_only_days_that_are_kept_are_offered(
    account: Account, day: date, earlier: date | None, later: date | None
) -> None:
    history = told(account, day, retention_days=7)

    assert (history.entries, history.earlier, history.later) == ((), earlier, later)


def test_a_day_takes_a_bounded_number_of_calls(account: Account) -> None:
    account.cloud.parameters.write_earlier(archive_name(PREFIX, ENTRY), write_entry(ENTRY), START)
    for number in range(500):
        entry = replace(ENTRY, deployment=replace(DEPLOYMENT, id=f"d{number}"))
        account.cloud.parameters.write_earlier(archive_name(PREFIX, entry), write_entry(entry), START)
    told(account, TODAY)  # once for the identity, which is kept

    with counting(account.cloud) as calls:
        history = told(account)

    assert calls == ["ssm:GetParametersByPath"] * 50
    assert (len(history.entries), history.left_out) == (500, True)


def test_what_fails_is_said(account: Account) -> None:
    archived(account, ENTRY)
    account.cloud.faults.add(action="ssm:GetParametersByPath", error="AccessDeniedException")

    history = told(account)

    assert (history.entries, history.left_out) == ((), True)
    assert history.problems == (
        "Not all of that day could be listed: the function's role may not ssm:GetParametersByPath on "
        "/ecs-approvals-history/2026-03-02; add it to the role's policy",
    )
