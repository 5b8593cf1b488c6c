"""The sweeper under exactly the permissions that the template gives it: the history, and PAUSE hooks."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from moto.sns.models import sns_backends

from hooks.manual_approval import sweep
from hooks.manual_approval.archive import Entry, PastAnswer, read_entry
from rehearsal.aws.cloud import ACCOUNT
from rehearsal.aws.policy import unused_grants
from rehearsal.model import HookStatus, LifecycleHook, Rollback, Status
from shared import clock
from tests.aws.conftest import PREFIX, REQUEST, TOPIC, Account
from tests.aws.pauses import (
    HOOK_ID,
    PAUSE_FUNCTION,
    PAUSE_REQUEST,
    ask_for_pause,
    begin_to_wait,
    pause_event,
)
from tests.shared.checkout import BLUE, DEPLOYMENT, REGION, START, deploy, event

FUNCTION = "ManualApprovalSweepFunction"
HISTORY = f"{PREFIX}-history"
ENTRY = REQUEST.replace(PREFIX, f"{HISTORY}/2026-03-05")
PAUSE_ENTRY = PAUSE_REQUEST.replace(PREFIX, f"{HISTORY}/2026-03-05")
ALICE = f"arn:aws:sts::{ACCOUNT}:assumed-role/approver/alice"
OTHER = f"arn:aws:iam::{ACCOUNT}:user/carol"
ENDED_AT = START + timedelta(minutes=30)
ONE_ROLE_EACH = '{"requiredApprovals": 2}'


def parameters(account: Account) -> dict[str, str]:
    """Return everything in Parameter Store, by name."""
    ssm = account.cloud.client("ssm", role="approver", session="reader")
    pages = ssm.get_paginator("get_parameters_by_path").paginate(Path="/", Recursive=True)
    return {found["Name"]: found["Value"] for page in pages for found in page["Parameters"]}


def entry(account: Account, name: str = ENTRY) -> Entry:
    return read_entry(parameters(account)[name])


def end(account: Account, status: Status = Status.SUCCESSFUL, **changes: Any) -> None:
    """Let the deployment end half an hour after it was asked about, and a minute pass."""
    deploy(account.cloud, status=status, **{"finished_at": ENDED_AT, **changes})
    account.clock.move_to(max(clock.now(), ENDED_AT) + timedelta(minutes=1), tick=False)


def fail(
    account: Account, action: str, code: str = "ThrottlingException", times: int | None = 1, **how: Any
) -> Any:
    return account.cloud.faults.add(action=action, error=code, identity=f"*/{FUNCTION}", times=times, **how)


def subjects() -> Sequence[str]:
    sent = sns_backends[ACCOUNT][REGION].topics[TOPIC].sent_notifications
    return [str(subject) for _, _, subject, *_ in sent]


# the history


def test_a_request_whose_deployment_goes_on_is_left_alone(account: Account) -> None:
    account.ask(event())
    before = parameters(account)
    account.pass_time(hours=20)

    assert account.sweep() == {}
    assert parameters(account) == before


def test_a_request_whose_deployment_has_ended_moves_to_the_history_once(account: Account) -> None:
    account.ask(event())
    account.pass_time(minutes=5)
    account.write('{"state": "APPROVED", "comment": "tried the cart"}')
    account.pass_time(minutes=1)
    account.ask(event())
    end(account)

    assert account.sweep() == {"archived": 1}
    assert list(parameters(account)) == [ENTRY]
    assert entry(account) == Entry(
        deployment=DEPLOYMENT,
        part="",
        stage="POST_TEST_TRAFFIC_SHIFT",
        outcome="approved",
        deployment_status="SUCCESSFUL",
        asked_at=START,
        ended_at=ENDED_AT,
        required=1,
        answers=(PastAnswer("approved", ALICE, "", START + timedelta(minutes=5), "tried the cart"),),
        images=("shop/app:1.5@sha256:0123456789ab", "shop/proxy:2@sha256:0123456789ab"),
    )
    assert account.sweep() == {}


@pytest.mark.parametrize(
    ("status", "turned", "answered", "outcome"),
    [
        # Minutes after the request: when ECS turned the deployment round, and when somebody answered.
        (Status.SUCCESSFUL, None, 29, "approved"),
        (Status.SUCCESSFUL, None, 31, "undecided"),
        (Status.STOPPED, None, 31, "undecided"),
        (Status.ROLLBACK_SUCCESSFUL, 20, 19, "approved"),
        (Status.ROLLBACK_SUCCESSFUL, 20, 21, "undecided"),
    ],
)
def test_who_answers_after_the_deployment_has_turned_round_or_ended_has_decided_nothing(
    account: Account, status: Status, turned: int | None, answered: int, outcome: str
) -> None:
    account.ask(event())
    account.pass_time(minutes=answered)
    account.write("APPROVED")
    rollback = None
    if turned is not None:
        rollback = Rollback(
            reason="an alarm", started_at=START + timedelta(minutes=turned), service_revision_arn=BLUE
        )
    end(account, status, rollback=rollback)
    account.pass_time(hours=30)
    account.sweep()

    assert (entry(account).outcome, entry(account).deployment_status) == (outcome, status)


def test_a_stopped_deployment_ended_when_ecs_says_that_it_stopped(account: Account) -> None:
    account.ask(event())
    end(account, Status.STOPPED, finished_at=None, stopped_at=ENDED_AT)
    account.pass_time(days=2)
    account.sweep()

    assert entry(account).ended_at == ENDED_AT


def test_what_ended_this_very_minute_is_left_for_parameter_store_to_settle(account: Account) -> None:
    account.ask(event())
    deploy(account.cloud, status=Status.SUCCESSFUL, finished_at=START)
    account.pass_time(seconds=59)

    assert account.sweep() == {}
    account.pass_time(seconds=1)
    account.write("late")
    assert account.sweep() == {"archived": 1}


def test_a_request_of_a_deployment_that_is_no_longer_known_moves_after_an_hour(account: Account) -> None:
    account.ask(event())
    account.cloud.control_plane.deployments.clear()

    assert account.sweep() == {}
    account.pass_time(hours=1, seconds=1)
    assert account.sweep() == {"archived": 1}
    assert (entry(account).outcome, entry(account).deployment_status, entry(account).ended_at) == (
        "undecided",
        "",
        START,
    )


def test_a_deployment_that_ecs_says_nothing_of_is_not_taken_for_one_that_it_does_not_know(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.ask(event())
    account.pass_time(hours=2)
    silent = mock.Mock(describe_service_deployments=lambda **_: {"serviceDeployments": [], "failures": []})
    real = sweep.client
    monkeypatch.setattr(sweep, "client", lambda service: silent if service == "ecs" else real(service))

    assert account.sweep() == {}
    assert REQUEST in parameters(account)


@pytest.mark.parametrize("after", [False, True])
def test_a_sweep_that_ends_between_writing_and_deleting_is_finished_by_the_next(
    account: Account, after: bool
) -> None:
    account.ask(event())
    account.write("REJECTED")
    end(account)
    fail(account, "ssm:DeleteParameters", after=after)

    assert account.sweep() == {"putOff": 1}
    written = parameters(account)[ENTRY]
    assert (REQUEST in parameters(account)) is not after
    account.pass_time(days=1)
    assert account.sweep() == ({} if after else {"archived": 1})
    assert parameters(account) == {ENTRY: written}
    assert account.history(ENTRY) == [written]


@pytest.mark.parametrize("action", ["ssm:GetParameterHistory", "ssm:PutParameter"])
def test_nothing_is_deleted_before_it_is_summed_up(account: Account, action: str) -> None:
    account.ask(event())
    end(account)
    before = parameters(account)
    fail(account, action)

    assert account.sweep() == {"putOff": 1}
    assert parameters(account) == before
    assert account.sweep() == {"archived": 1}


def test_an_answer_that_comes_while_the_request_is_deleted_changes_nothing(account: Account) -> None:
    account.ask(event())
    end(account)

    def answer_first(*_: object) -> None:
        account.write("APPROVED")

    racing = fail(account, "ssm:DeleteParameters", make=answer_first)
    assert account.sweep() == {"archived": 1}
    account.cloud.faults.remove(racing)
    assert (list(parameters(account)), entry(account).outcome) == ([ENTRY], "undecided")


def test_an_answer_that_comes_after_that_is_swept_away(account: Account) -> None:
    account.ask(event())
    end(account)
    account.sweep()
    kept = parameters(account)
    account.write("APPROVED")

    assert account.sweep() == {"archived": 1}
    assert parameters(account) == kept


@pytest.mark.parametrize(
    "text", ["APPROVED", json.dumps({"state": "pending", "deployment": str(DEPLOYMENT)})]
)
def test_what_the_hook_never_asked_is_noted_as_undecided(account: Account, text: str) -> None:
    account.write(text)
    end(account)

    assert account.sweep() == {"archived": 1}
    assert (entry(account).outcome, entry(account).asked_at, entry(account).stage) == ("undecided", START, "")


def test_a_request_that_has_lost_its_beginning_is_noted_as_undecided(account: Account) -> None:
    account.ask(event())
    for _ in range(105):
        account.write("APPROVED")
    end(account)

    assert account.sweep() == {"archived": 1}
    assert (entry(account).outcome, entry(account).answers) == ("undecided", ())


def test_the_history_is_not_the_sweeper_s_to_sweep_and_neither_is_anything_else(account: Account) -> None:
    others = {
        "/ecs-approvals-of-others/shop/checkout/x": "secret",
        f"{HISTORY}/2026-03-05/shop/checkout/older": "an entry",
        f"{PREFIX}-setup": "{}",
        f"{PREFIX}/notes": "hello",
        f"{PREFIX}/a/b/c/d/e": "hello",
    }
    for name, text in others.items():
        account.write(text, name=name)
    account.pass_time(days=31, hours=1, minutes=30)

    assert account.sweep() == {}
    assert parameters(account) == others


# what is forgotten


@pytest.mark.parametrize(("days", "kept"), [(30, True), (31, False), (44, False), (45, True)])
def test_the_history_is_kept_for_as_many_whole_days_as_the_template_says(
    account: Account, days: int, kept: bool
) -> None:
    for number in range(23):
        account.write("an entry", name=f"{HISTORY}/2026-03-05/shop/checkout/{number}/step-from-10")
    account.pass_time(days=days)

    assert account.sweep() == ({} if kept else {"forgotten": 23})
    assert len(parameters(account)) == (23 if kept else 0)


def test_the_history_is_looked_through_by_the_first_sweep_of_an_hour_alone(account: Account) -> None:
    account.write("an entry", name=f"{HISTORY}/2026-03-05/shop/checkout/x")
    account.pass_time(days=31, minutes=5)

    assert account.sweep() == {}
    account.pass_time(minutes=59)
    assert account.sweep() == {"forgotten": 1}


# PAUSE hooks


def answer_of(account: Account) -> str | None:
    return account.cloud.control_plane.deployments[str(DEPLOYMENT)].hook_runs[0].answer


@pytest.mark.parametrize(
    ("text", "said", "swept"),
    [
        ("APPROVED", "CONTINUE", {"carriedOut": 1}),
        ("REJECTED", "ROLLBACK", {"carriedOut": 1}),
        ('{"state": "extended", "expiresAt": "2026-03-06T12:00:00Z"}', None, {}),
        ("approved?", None, {}),
    ],
)
def test_what_was_decided_on_a_pause_is_carried_out_once(
    account: Account, text: str, said: str | None, swept: dict[str, int]
) -> None:
    ask_for_pause(account)
    account.write(text, name=PAUSE_REQUEST)

    assert account.sweep() == swept
    assert answer_of(account) == said
    # ECS has taken it, and shows the hook for a while.
    assert account.sweep() == {}
    calls = [call for call in account.calls if call.action == "ecs:ContinueServiceDeployment"]
    assert len(calls) == (2 if said else 0)


def test_a_quorum_is_counted_by_the_rules_in_the_request(account: Account) -> None:
    account.cloud.identity(
        user="carol",
        policies=[
            {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Action": "ssm:PutParameter", "Resource": "*"}],
            }
        ],
    )
    ask_for_pause(account, HOOK_POLICY=ONE_ROLE_EACH)
    account.write("APPROVED", name=PAUSE_REQUEST, who="alice")
    account.write("APPROVED", name=PAUSE_REQUEST, who="bob")
    assert (account.sweep(), answer_of(account)) == ({}, None)

    carol = account.cloud.client("ssm", user="carol")
    carol.put_parameter(Name=PAUSE_REQUEST, Value="APPROVED", Overwrite=True)
    assert (account.sweep(), answer_of(account)) == ({"carriedOut": 1}, "CONTINUE")


@pytest.mark.parametrize("writer", ["alice", "hook"])
def test_only_the_pause_function_s_own_request_is_believed(account: Account, writer: str) -> None:
    ask_for_pause(account)
    text = account.history(PAUSE_REQUEST)[0].replace('"requiredApprovals": 2', '"requiredApprovals": 1')
    ssm = account.cloud.client("ssm", role="approver", session="reader")
    ssm.delete_parameter(Name=PAUSE_REQUEST)
    if writer == "alice":
        account.write(text, name=PAUSE_REQUEST)
    else:
        role = account.role("ManualApprovalFunction")
        client = account.cloud.client(
            "ssm", role=role, session="x", policies=[account.policy("ManualApprovalFunction")]
        )
        client.put_parameter(Name=PAUSE_REQUEST, Value=text, Type="String")
    account.write("APPROVED", name=PAUSE_REQUEST)

    assert (account.sweep(), answer_of(account)) == ({}, None)


def test_a_pause_that_ecs_no_longer_waits_at_is_nobody_s_to_decide(account: Account) -> None:
    ask_for_pause(account)
    account.write("APPROVED", name=PAUSE_REQUEST)
    deploy(account.cloud, hook_runs=[])

    assert account.sweep() == {}
    assert {action for action, _ in account.made_by(FUNCTION)} == {
        "ssm:GetParametersByPath",
        "ecs:DescribeServiceDeployments",
    }


@pytest.mark.parametrize(
    ("code", "message", "put_off"),
    [
        (
            "InvalidParameterException",
            "Provided hookId is either completed, unavailable, or not associated with the given Resource ARN",
            {},
        ),
        (
            "InvalidParameterException",
            "Continuing a service deployment is not allowed for service deployment in terminal states.",
            {},
        ),
        ("ServiceDeploymentNotFoundException", "", {}),
        ("ThrottlingException", "Rate exceeded", {"putOff": 1}),
        ("ServerException", "", {"putOff": 1}),
    ],
)
def test_what_somebody_else_has_settled_is_no_error_and_what_ecs_can_t_take_is_said_again(
    account: Account, code: str, message: str, put_off: dict[str, int]
) -> None:
    ask_for_pause(account)
    account.write("REJECTED", name=PAUSE_REQUEST)
    fail(account, "ecs:ContinueServiceDeployment", code, message=message)

    assert account.sweep() == put_off
    assert (account.sweep(), answer_of(account)) == ({"carriedOut": 1}, "ROLLBACK")


def test_what_ecs_did_though_its_answer_was_lost_is_not_done_twice(account: Account) -> None:
    ask_for_pause(account)
    account.write("APPROVED", name=PAUSE_REQUEST)
    fail(account, "ecs:ContinueServiceDeployment", after=True)

    assert (account.sweep(), answer_of(account)) == ({"putOff": 1}, "CONTINUE")
    assert account.sweep() == {}


def test_people_are_reminded_of_a_pause_twice_however_often_it_is_swept(account: Account) -> None:
    ask_for_pause(account)
    told = []
    for _ in range(50):
        account.pass_time(minutes=5)
        if account.sweep():
            told.append((clock.now() - START).total_seconds() / 60)

    assert told == [120, 220]  # of four hours: half, and nine tenths (216) at the next sweep
    assert subjects() == [
        "Approval needed: checkout in shop",
        "Reminder, approval needed: checkout in shop",
        "Last call, approval needed: checkout in shop",
    ]


def test_what_the_pause_function_could_not_announce_the_sweeper_does(account: Account) -> None:
    event = pause_event(*begin_to_wait(account))
    account.cloud.faults.add(action="sns:Publish", error="Throttling", identity=f"*/{PAUSE_FUNCTION}")
    ask_for_pause(account, event)
    account.pass_time(minutes=5)

    assert account.sweep() == {"told": 1}
    account.cloud.faults.clear()
    account.pass_time(minutes=5)
    assert (ask_for_pause(account, event), account.sweep()) == ({"request": PAUSE_REQUEST}, {})
    assert subjects() == ["Approval needed: checkout in shop"]


def test_the_request_of_a_pause_moves_to_the_history_with_its_deployment(account: Account) -> None:
    ask_for_pause(account)
    account.write("REJECTED", name=PAUSE_REQUEST)
    account.sweep()
    end(account, Status.ROLLBACK_SUCCESSFUL)

    assert account.sweep() == {"archived": 1}
    assert (entry(account, PAUSE_ENTRY).outcome, entry(account, PAUSE_ENTRY).part) == ("rejected", HOOK_ID)


def test_a_lambda_hook_s_request_is_never_told_to_ecs_nor_reminded_of(account: Account) -> None:
    account.ask(event())
    hook = LifecycleHook(name="manual_approval", stages=())
    _, run = begin_to_wait(account, hook=hook, hook_id="ecs-lambda-1", status=HookStatus.IN_PROGRESS)
    account.write("APPROVED")
    account.pass_time(hours=23)

    assert (account.sweep(), run.answer) == ({}, None)


# permissions


def test_the_template_allows_every_call_that_is_made_and_none_that_is_not(account: Account) -> None:
    ask_for_pause(account)
    account.pass_time(hours=2)
    account.sweep()
    account.write("APPROVED", name=PAUSE_REQUEST)
    account.sweep()
    account.write("an entry", name=f"{HISTORY}/2026-03-05/shop/checkout/older")
    end(account)
    account.pass_time(days=31, hours=-2)
    account.sweep()

    assert [call for call in account.calls if not call.allowed] == []
    unused = unused_grants(account.policy(FUNCTION), account.made_by(FUNCTION))
    # Lambda's own runtime writes the logs. Parameter Store's documentation shows both forms of a path's
    # ARN for GetParametersByPath; the second allows nothing that the first does not.
    spare = (
        "WriteLogs",
        "FindRequests: Resource arn:aws:ssm:us-east-1:123456789012:parameter/ecs-approvals/*",
    )
    assert [grant for grant in unused if not any(known in grant for known in spare)] == []


@pytest.mark.parametrize("name", [REQUEST, f"{REQUEST}/step-from-10", f"{PREFIX}-setup"])
def test_the_sweeper_may_not_write_what_the_approval_hook_reads(account: Account, name: str) -> None:
    ssm = account.cloud.client(
        "ssm", role=account.role(FUNCTION), session="x", policies=[account.policy(FUNCTION)]
    )

    with pytest.raises(ssm.exceptions.ClientError, match="AccessDenied"):
        ssm.put_parameter(Name=name, Value="x", Type="String", Overwrite=True)
