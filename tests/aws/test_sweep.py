"""The sweeper under exactly the permissions that the template gives it."""

import json

from rehearsal.aws.policy import unused_grants
from rehearsal.model import Status
from tests.aws.conftest import PREFIX, REQUEST, Account
from tests.shared.checkout import deploy, event

FUNCTION = "ManualApprovalSweepFunction"


def test_a_request_whose_deployment_goes_on_is_left_alone(account: Account) -> None:
    account.ask(event())
    account.pass_time(hours=20)

    assert account.sweep() == {"closed": 0, "removed": 0}
    assert len(account.history()) == 1


def test_a_request_whose_deployment_has_ended_is_closed_once(account: Account) -> None:
    account.ask(event())
    deploy(account.cloud, status=Status.ROLLBACK_SUCCESSFUL)

    assert account.sweep() == {"closed": 1, "removed": 0}
    assert account.sweep() == {"closed": 0, "removed": 0}
    closing = json.loads(account.history()[-1])
    assert (closing["state"], closing["outcome"]) == ("closed", "deployment ended: ROLLBACK_SUCCESSFUL")


def test_a_request_of_a_deployment_that_is_no_longer_known_is_closed_after_an_hour(account: Account) -> None:
    account.ask(event())
    account.cloud.control_plane.deployments.clear()

    assert account.sweep() == {"closed": 0, "removed": 0}
    account.pass_time(hours=1, seconds=1)
    assert account.sweep() == {"closed": 1, "removed": 0}


def test_what_the_sweeper_writes_is_no_answer(account: Account) -> None:
    account.ask(event())
    deploy(account.cloud, status=Status.SUCCESSFUL)
    account.sweep()
    deploy(account.cloud)

    assert account.ask(event())["hookStatus"] == "IN_PROGRESS"


def test_old_requests_are_removed_and_the_rest_of_parameter_store_is_not_touched(account: Account) -> None:
    for number in range(23):
        account.write("APPROVED", name=f"{PREFIX}/shop/checkout/old{number}")
    account.write("secret", name="/ecs-approvals-of-others/shop/checkout/x")
    account.pass_time(days=31)
    account.ask(event())

    assert account.sweep() == {"closed": 0, "removed": 23}
    ssm = account.cloud.client("ssm", role="approver", session="reader")
    left = ssm.describe_parameters(MaxResults=50)["Parameters"]
    assert sorted(one["Name"] for one in left) == sorted(
        [REQUEST, "/ecs-approvals-of-others/shop/checkout/x"]
    )


def test_a_name_that_is_no_requests_is_not_ours_to_remove(account: Account) -> None:
    account.write("hello", name=f"{PREFIX}/notes")
    account.pass_time(days=31)

    assert account.sweep() == {"closed": 0, "removed": 0}


def test_the_template_allows_every_call_that_is_made_and_none_that_is_not(account: Account) -> None:
    account.ask(event())
    account.write("APPROVED", name=f"{PREFIX}/shop/checkout/old")
    account.pass_time(days=31)
    account.write("not understood", name=REQUEST)
    deploy(account.cloud, status=Status.SUCCESSFUL)
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
