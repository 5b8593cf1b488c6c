"""The sweeper where names, statuses and settings are not what they should be."""

import json

import pytest

from rehearsal.model import Status
from shared.lifecycle import ServiceDeploymentArn
from tests.aws.conftest import PREFIX, REQUEST, Account
from tests.shared.checkout import DEPLOYMENT, PRE_PRODUCTION, REGION, deploy, event, split

FUNCTION = "ManualApprovalSweepFunction"
STEP = f"{REQUEST}/step-from-10"


def failure(account: Account, **variables: str) -> str | None:
    return account.invoke(FUNCTION, {}, **variables).error


@pytest.mark.parametrize("status", list(Status))
def test_only_an_end_closes_a_request(account: Account, status: Status) -> None:
    account.ask(event())
    deploy(account.cloud, status=status)

    assert account.sweep() == {"closed": int(status.ended), "removed": 0}
    outcome = json.loads(account.history()[-1]).get("outcome")
    assert outcome == (f"deployment ended: {status.value}" if status.ended else None)


def test_the_requests_of_steps_are_closed_with_their_deployment(account: Account) -> None:
    account.ask(event(PRE_PRODUCTION, production=split(10, 90)))
    deploy(account.cloud, status=Status.STOPPED)

    assert account.sweep() == {"closed": 1, "removed": 0}
    assert json.loads(account.history(STEP)[-1])["outcome"] == "deployment ended: STOPPED"


def test_a_request_that_was_settled_and_closed_stays_as_it_is(account: Account) -> None:
    account.ask(event())
    account.write("APPROVED")
    account.ask(event())
    deploy(account.cloud, status=Status.SUCCESSFUL)

    assert account.sweep() == {"closed": 0, "removed": 0}
    assert json.loads(account.history()[-1])["outcome"] == "approved"


def test_more_requests_than_one_call_describes_are_swept_at_once(account: Account) -> None:
    names = [f"{PREFIX}/shop/checkout/{DEPLOYMENT.id[:-2]}{number:02}" for number in range(45)]
    for number, name in enumerate(names):
        account.write("APPROVED", name=name)
        arn = ServiceDeploymentArn(
            "aws", REGION, DEPLOYMENT.account, "shop", "checkout", name.rpartition("/")[2]
        )
        deploy(account.cloud, arn=arn, status=Status.SUCCESSFUL if number % 2 else Status.IN_PROGRESS)

    assert account.sweep() == {"closed": 22, "removed": 0}
    assert account.sweep() == {"closed": 0, "removed": 0}


@pytest.mark.parametrize(
    "path", ["a.b/service/id", "shop/checkout", "shop/che.ckout/id", "shop/checkout/id.7/x"]
)
def test_a_name_that_ecs_could_not_read_stops_nobody_else_s_sweep(account: Account, path: str) -> None:
    account.ask(event())
    account.write("APPROVED", name=f"{PREFIX}/{path}")
    deploy(account.cloud, status=Status.SUCCESSFUL)

    assert account.sweep() == {"closed": 1, "removed": 0}
    assert account.history(f"{PREFIX}/{path}") == ["APPROVED"]
    described = {resource for action, resource in account.made_by(FUNCTION) if action.startswith("ecs:")}
    assert described == {str(DEPLOYMENT)}


def test_retention_counts_from_the_last_change(account: Account) -> None:
    account.ask(event())
    account.pass_time(days=29)
    account.write("hm")
    account.pass_time(days=30)
    assert account.sweep() == {"closed": 0, "removed": 0}

    account.pass_time(seconds=1)
    assert account.sweep() == {"closed": 0, "removed": 1}


@pytest.mark.parametrize("days", ["1", "0", "-3", "", "many", "2.5"])
def test_a_retention_that_waiting_requests_would_not_outlive_is_refused(account: Account, days: str) -> None:
    assert failure(account, APPROVAL_RETENTION_DAYS=days) == (
        f"Misconfigured: APPROVAL_RETENTION_DAYS must be at least 2 days, got {days!r}"
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
        ("ssm:PutParameter", REQUEST),
        ("ecs:DescribeServiceDeployments", str(DEPLOYMENT)),
    ],
)
def test_a_missing_permission_fails_the_sweep_by_name_so_that_its_alarm_rings(
    account: Account, action: str, resource: str
) -> None:
    account.ask(event())
    deploy(account.cloud, status=Status.SUCCESSFUL)
    account.cloud.faults.add(action=action, error="AccessDeniedException", identity=f"*/{FUNCTION}")

    assert failure(account) == (
        f"Misconfigured: the function's role may not {action} on {resource}; add it to the role's policy"
    )


def test_a_missing_permission_to_remove_is_named_too(account: Account) -> None:
    account.ask(event())
    account.pass_time(days=31)
    account.cloud.faults.add(
        action="ssm:DeleteParameters", error="AccessDeniedException", identity=f"*/{FUNCTION}"
    )

    assert failure(account) == (
        f"Misconfigured: the function's role may not ssm:DeleteParameters on {REQUEST}; "
        "add it to the role's policy"
    )
