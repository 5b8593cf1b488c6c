"""The sweeper where names, statuses, settings and AWS are not what they should be."""

from collections.abc import Sequence

import pytest

from hooks.manual_approval import sweep
from hooks.manual_approval.archive import read_entry
from rehearsal.aws.call import AwsError, Call
from rehearsal.aws.faults import Make, fall_short
from rehearsal.model import Status
from shared.lifecycle import ServiceDeploymentArn
from tests.aws.conftest import PREFIX, REQUEST, Account
from tests.aws.pauses import HOOK_ID, PAUSE_REQUEST, ask_for_pause
from tests.shared.checkout import DEPLOYMENT, PRE_PRODUCTION, REGION, deploy, event, split

FUNCTION = "ManualApprovalSweepFunction"
ENTRY = REQUEST.replace(PREFIX, f"{PREFIX}-history/2026-03-05")


def failure(account: Account, **variables: str) -> str | None:
    return account.invoke(FUNCTION, {}, **variables).error


def names(account: Account, path: str = PREFIX) -> Sequence[str]:
    ssm = account.cloud.client("ssm", role="approver", session="reader")
    pages = ssm.get_paginator("get_parameters_by_path").paginate(Path=path, Recursive=True)
    return [found["Name"] for page in pages for found in page["Parameters"]]


def requests_of(account: Account, count: int, status: Status = Status.SUCCESSFUL) -> Sequence[str]:
    """Let deployments end that had been asked about."""
    made = [f"{PREFIX}/shop/checkout/{DEPLOYMENT.id[:-3]}{number:03}" for number in range(count)]
    for name in made:
        account.write("APPROVED", name=name)
        arn = ServiceDeploymentArn(
            "aws", REGION, DEPLOYMENT.account, "shop", "checkout", name.rpartition("/")[2]
        )
        deploy(account.cloud, arn=arn, status=status)
    account.pass_time(minutes=1)
    return made


def end(account: Account, status: Status) -> None:
    """Let the deployment be in that state, for a minute already."""
    deploy(account.cloud, status=status)
    account.pass_time(minutes=1)


@pytest.mark.parametrize("status", list(Status))
def test_only_an_end_moves_a_request(account: Account, status: Status) -> None:
    account.ask(event())
    end(account, status)

    assert account.sweep() == ({"archived": 1} if status.ended else {})
    assert (REQUEST in names(account)) is not status.ended
    if status.ended:
        ssm = account.cloud.client("ssm", role="approver", session="reader")
        assert read_entry(ssm.get_parameter(Name=ENTRY)["Parameter"]["Value"]).deployment_status == status


def test_the_requests_of_steps_move_with_their_deployment(account: Account) -> None:
    account.ask(event(PRE_PRODUCTION, production=split(10, 90)))
    end(account, Status.STOPPED)

    assert account.sweep() == {"archived": 1}
    assert names(account, "/") == [f"{ENTRY}/step-from-10"]


def test_more_requests_than_one_call_describes_are_swept_at_once(account: Account) -> None:
    going_on = requests_of(account, 45, Status.IN_PROGRESS)
    for arn in list(account.cloud.control_plane.deployments.values())[1::2]:
        arn.status = Status.SUCCESSFUL

    assert account.sweep() == {"archived": 23}
    assert (len(names(account)), account.sweep()) == (len(going_on) - 23, {})


def test_a_request_of_which_not_all_is_shown_is_not_deleted_yet(account: Account) -> None:
    account.ask(event())
    account.pass_time(minutes=1)
    account.write("APPROVED")
    end(account, Status.SUCCESSFUL)
    account.cloud.faults.add(action="ssm:GetParameterHistory", alter=fall_short, times=1)

    assert [account.sweep() for _ in range(2)] == [{"putOff": 1}, {"archived": 1}]
    ssm = account.cloud.client("ssm", role="approver", session="reader")
    assert read_entry(ssm.get_parameter(Name=ENTRY)["Parameter"]["Value"]).outcome == "approved"


def test_what_one_run_leaves_the_next_goes_on_with(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "MOST_REQUESTS", 10)
    requests_of(account, 25)

    assert [account.sweep() for _ in range(4)] == [{"archived": 10}, {"archived": 10}, {"archived": 5}, {}]


def test_a_run_begins_elsewhere_than_the_one_before_it(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "MOST_REQUESTS", 2)
    requests_of(account, 6)
    # What fails, and stands in front for ever, must not keep the rest from its turn.
    stuck = names(account)[:2]
    account.cloud.faults.add(action="ssm:GetParameterHistory", make=_on(stuck, "InternalServerError"))
    for _ in range(10):
        account.sweep()
        account.pass_time(minutes=5)

    assert names(account) == stuck


def _on(affected: Sequence[str], code: str) -> Make:
    def answer(call: Call, _identity: str) -> AwsError | None:
        named = call.parameters.get("Name")
        return AwsError(code, "", 500) if named in affected else None

    return answer


def test_a_run_that_aws_keeps_failing_is_given_up_soon(account: Account) -> None:
    requests_of(account, 20)
    fault = account.cloud.faults.add(
        action="ssm:PutParameter", error="ThrottlingException", identity=f"*/{FUNCTION}"
    )

    assert account.sweep() == {"putOff": 5}
    account.cloud.faults.remove(fault)
    assert account.sweep() == {"archived": 20}


def test_one_request_that_fails_keeps_no_other_from_its_turn(account: Account) -> None:
    made = requests_of(account, 4)
    account.cloud.faults.add(
        action="ssm:GetParameterHistory", make=_on(made[1:2], "InternalServerError"), times=1
    )

    assert account.sweep() == {"archived": 3, "putOff": 1}
    assert names(account) == made[1:2]


def test_a_run_ends_in_time(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    requests_of(account, 3)
    monkeypatch.setattr(sweep, "RESERVE_MILLISECONDS", 10_000_000)

    assert account.sweep() == {}
    assert len(names(account)) == 3


@pytest.mark.parametrize(
    "path", ["a.b/service/id", "shop/checkout", "shop/che.ckout/id", "shop/checkout/id.7", "s/c/i/part/x"]
)
def test_a_name_that_is_no_request_s_stops_nobody_else_s_sweep(account: Account, path: str) -> None:
    account.ask(event())
    account.write("APPROVED", name=f"{PREFIX}/{path}")
    end(account, Status.SUCCESSFUL)

    assert account.sweep() == {"archived": 1}
    assert account.history(f"{PREFIX}/{path}") == ["APPROVED"]
    described = {resource for action, resource in account.made_by(FUNCTION) if action.startswith("ecs:")}
    assert described == {str(DEPLOYMENT)}


def test_a_name_that_ecs_itself_can_t_read_stops_nobody_else_s_sweep(account: Account) -> None:
    made = requests_of(account, 30)
    account.write("APPROVED", name=f"{PREFIX}/shop/checkout/x")

    def refuse(call: Call, _identity: str) -> AwsError | None:
        asked = call.parameters["serviceDeploymentArns"]
        bad = any(arn.endswith("/x") for arn in asked)
        return AwsError("InvalidParameterException", "Invalid identifier.") if bad else None

    account.cloud.faults.add(action="ecs:DescribeServiceDeployments", make=refuse)
    assert account.sweep() == {"archived": len(made)}
    assert names(account) == [f"{PREFIX}/shop/checkout/x"]
    account.pass_time(hours=1, seconds=1)
    assert account.sweep() == {"archived": 1}


def test_a_pause_that_can_t_be_decided_any_more_fails_the_sweep_once_all_else_is_done(
    account: Account,
) -> None:
    ask_for_pause(account)
    for _ in range(99):
        account.write("APPROVED", name=PAUSE_REQUEST)
    ended = requests_of(account, 2)

    assert failure(account) == (
        f"Misconfigured: {PAUSE_REQUEST}: versions before 2 are gone, and with them the proof"
    )
    assert set(names(account)).isdisjoint(ended)
    assert account.cloud.control_plane.deployments[str(DEPLOYMENT)].hook_runs[0].answer is None


@pytest.mark.parametrize("part", [HOOK_ID, "ecs-pause-another"])
def test_what_stands_where_a_pause_s_request_would_is_left_to_the_function_that_asks(
    account: Account, part: str
) -> None:
    ask_for_pause(account)
    account.cloud.client("ssm", role="approver", session="alice").delete_parameter(Name=PAUSE_REQUEST)
    account.write("APPROVED", name=f"{REQUEST}/{part}")

    assert account.sweep() == {}
    assert account.cloud.control_plane.deployments[str(DEPLOYMENT)].hook_runs[0].answer is None


@pytest.mark.parametrize("days", ["0", "-3", "", "many", "2.5", "00", "10000"])
def test_a_retention_that_is_none_is_refused(account: Account, days: str) -> None:
    assert failure(account, APPROVAL_RETENTION_DAYS=days) == (
        f"Misconfigured: APPROVAL_RETENTION_DAYS must be 1 to 9999 days, got {days!r}"
    )


@pytest.mark.parametrize("prefix", ["", "/", "approvals"])
def test_a_sweep_needs_a_path_of_its_own(account: Account, prefix: str) -> None:
    assert failure(account, APPROVAL_PARAMETER_PREFIX=prefix) == (
        f"Misconfigured: APPROVAL_PARAMETER_PREFIX must name a path of its own, got {prefix!r}"
    )


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("ssm:GetParametersByPath", PREFIX),
        ("ssm:GetParameterHistory", REQUEST),
        ("ssm:PutParameter", ENTRY),
        ("ssm:DeleteParameters", REQUEST),
        ("ecs:DescribeServiceDeployments", str(DEPLOYMENT)),
    ],
)
def test_a_missing_permission_fails_the_sweep_by_name_so_that_its_alarm_rings(
    account: Account, action: str, resource: str
) -> None:
    account.ask(event())
    end(account, Status.SUCCESSFUL)
    account.cloud.faults.add(action=action, error="AccessDeniedException", identity=f"*/{FUNCTION}")

    assert failure(account) == (
        f"Misconfigured: the function's role may not {action} on {resource}; add it to the role's policy"
    )
    assert REQUEST in names(account)


def test_a_missing_permission_to_tell_ecs_is_named_too(account: Account) -> None:
    ask_for_pause(account)
    account.write("APPROVED", name=PAUSE_REQUEST)
    account.cloud.faults.add(
        action="ecs:ContinueServiceDeployment", error="AccessDeniedException", identity=f"*/{FUNCTION}"
    )

    assert failure(account) == (
        f"Misconfigured: the function's role may not ecs:ContinueServiceDeployment on {DEPLOYMENT}; "
        "add it to the role's policy"
    )


def test_without_the_roles_whose_requests_are_believed_nothing_is_carried_out(account: Account) -> None:
    ask_for_pause(account)
    account.write("APPROVED", name=PAUSE_REQUEST)

    assert failure(account, APPROVAL_PAUSE_ROLE="") is None
    assert account.cloud.control_plane.deployments[str(DEPLOYMENT)].hook_runs[0].answer is None
