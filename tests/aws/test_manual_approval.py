"""The approval hook under exactly the permissions that the template gives it."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from moto.sns.models import sns_backends

from rehearsal.aws.cloud import ACCOUNT
from rehearsal.aws.policy import unused_grants
from tests.aws.conftest import BUCKET, REQUEST, TOPIC, Account
from tests.shared.checkout import (
    BLUE,
    GREEN,
    POST_TEST,
    PRE_PRODUCTION,
    REGION,
    ROLLBACK_PRODUCTION,
    deploy,
    event,
    split,
)

FUNCTION = "ManualApprovalFunction"
ALICE = f"arn:aws:sts::{ACCOUNT}:assumed-role/approver/alice"


def polled(reply: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the event of the next poll: ECS hands the details back."""
    return event(POST_TEST, details=reply["hookDetails"], **changes)


def messages() -> list[tuple[str, str]]:
    """Return subject and first line of everything published on the topic."""
    sent = sns_backends[ACCOUNT][REGION].topics[TOPIC].sent_notifications
    return [(subject or "", message.splitlines()[0]) for _, message, subject, *_ in sent]


def records(account: Account) -> list[dict[str, Any]]:
    s3 = account.cloud.client("s3", user="admin")
    found = s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return [json.loads(s3.get_object(Bucket=BUCKET, Key=one["Key"])["Body"].read()) for one in found]


def test_the_first_call_asks_and_announces_once(account: Account) -> None:
    reply = account.ask(event())
    again = account.ask(polled(reply))
    account.ask(polled(again))

    assert (reply["hookStatus"], reply["callBackDelay"]) == ("IN_PROGRESS", 5)
    request, mark = account.history()
    document = json.loads(request)
    assert json.loads(mark) == {**document, "announced": {"what": "request", "on": ["sns"]}}
    assert document["state"] == "pending"
    assert document["images"] == [
        {
            "container": "app",
            "green": "shop/app:1.5@sha256:0123456789ab",
            "blue": "shop/app:1.4@sha256:0123456789ab",
        },
        {"container": "proxy", "green": "shop/proxy:2@sha256:0123456789ab", "blue": "the same"},
    ]
    assert messages() == [
        (
            "Approval needed: checkout in shop",
            "Deployment qR7sT2uV9wX4yZ1aB6cD3 of checkout in shop waits for approval.",
        )
    ]


def test_a_poll_with_nothing_new_is_one_cheap_call(account: Account) -> None:
    reply = account.ask(polled(account.ask(event())))
    before = len(account.calls)

    account.ask(polled(reply))

    assert [(call.action, call.resource) for call in account.calls[before:]] == [
        ("ssm:GetParameter", f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{REQUEST}")
    ]


@pytest.mark.parametrize(
    ("text", "status", "reason", "outcome"),
    [
        ("APPROVED", "SUCCEEDED", f"approved by {ALICE}", "approved"),
        ("approved\n", "SUCCEEDED", f"approved by {ALICE}", "approved"),
        ('{"state": "Approved", "comment": "fine"}', "SUCCEEDED", f"approved by {ALICE}: fine", "approved"),
        ("Rejected", "FAILED", f"rejected by {ALICE}", "rejected"),
        ('{"decision": "rejected", "comment": "no"}', "FAILED", f"rejected by {ALICE}: no", "rejected"),
    ],
)
def test_an_answer_decides_is_recorded_and_closes_the_request(
    account: Account, text: str, status: str, reason: str, outcome: str
) -> None:
    reply = account.ask(event())
    account.pass_time(minutes=3)
    account.write(text)

    assert account.ask(polled(reply)) == {"hookStatus": status}

    assert records(account)[-1]["verdict"]["reason"] == reason
    closing = json.loads(account.history()[-1])
    assert (closing["state"], closing["outcome"], closing["by"]) == ("closed", outcome, [ALICE])
    # A duplicate of the call finds the same, and adds nothing.
    assert account.ask(polled(reply)) == {"hookStatus": status}
    # The request, the mark that people were told, the answer and its closing.
    assert len(account.history()) == 4


def test_an_approval_that_was_there_first_passes_nothing(account: Account) -> None:
    account.write("APPROVED")

    reply = account.ask(event())

    assert reply["hookStatus"] == "IN_PROGRESS"
    assert account.ask(polled(reply))["hookStatus"] == "IN_PROGRESS"
    account.write("APPROVED")
    assert account.ask(polled(reply)) == {"hookStatus": "SUCCEEDED"}


def test_each_step_of_a_canary_needs_an_approval_of_its_own(account: Account) -> None:
    first = event(PRE_PRODUCTION, production=split(0, 100))
    second = event(PRE_PRODUCTION, production=split(10, 90))
    account.ask(first)
    account.write("APPROVED", name=f"{REQUEST}/step-from-0")

    assert account.ask(first) == {"hookStatus": "SUCCEEDED"}
    assert account.ask(second)["hookStatus"] == "IN_PROGRESS"


def test_nobody_deciding_is_refused_when_the_request_expires(account: Account) -> None:
    reply = account.ask(event(details={"expiresAfterMinutes": 60}))
    account.pass_time(minutes=59, seconds=59)
    waiting = account.ask(polled(reply))
    account.pass_time(seconds=1)

    assert (waiting["hookStatus"], waiting["callBackDelay"]) == ("IN_PROGRESS", 1)
    assert account.ask(polled(waiting)) == {"hookStatus": "FAILED"}
    assert messages()[-1][0] == "Refused: checkout in shop (manual_approval)"


def test_the_policy_is_a_floor_that_hook_details_can_not_lower(account: Account) -> None:
    policy = json.dumps({"requiredApprovals": 2, "personalSessions": ["arn:aws:iam::*:role/approver"]})
    details = {"requiredApprovals": 1}
    account.ask(event(details=details), HOOK_POLICY=policy)
    account.write("APPROVED", who="alice")

    assert account.ask(event(details=details), HOOK_POLICY=policy)["hookStatus"] == "IN_PROGRESS"
    account.write("APPROVED", who="bob")
    assert account.ask(event(details=details), HOOK_POLICY=policy) == {"hookStatus": "SUCCEEDED"}


@pytest.mark.parametrize(
    "details",
    [
        {"mode": "observe"},
        {"onExpiry": "proceed", "expiresAfterMinutes": 1},
        {"onTrouble": "proceed", "giveUpAfterMinutes": 1},
        {"onFirstDeployment": "skip"},
    ],
)
def test_a_policy_that_demands_anything_lets_no_service_open_the_gate(
    account: Account, details: dict[str, object]
) -> None:
    deploy(account.cloud, sources=[])
    policy = '{"requiredApprovals": 1}'
    reply = account.ask(event(details=details), HOOK_POLICY=policy)
    account.pass_time(minutes=2)
    fault = account.cloud.faults.add(action="ssm:*", error="ThrottlingException", identity=f"*/{FUNCTION}")
    troubled = account.ask(polled(reply), HOOK_POLICY=policy)
    account.pass_time(minutes=2)

    assert reply["hookStatus"] == "IN_PROGRESS"
    assert account.ask(polled(troubled), HOOK_POLICY=policy)["hookStatus"] != "SUCCEEDED"
    account.cloud.faults.remove(fault)
    assert account.ask(polled(troubled), HOOK_POLICY=policy)["hookStatus"] != "SUCCEEDED"


def test_a_service_can_not_open_sooner_what_the_policy_lets_open_late(account: Account) -> None:
    policy = json.dumps({"onExpiry": "proceed", "expiresAfterMinutes": 600})
    details = {"onExpiry": "proceed", "expiresAfterMinutes": 1}
    account.ask(event(details=details), HOOK_POLICY=policy)
    account.pass_time(minutes=2)

    assert account.ask(event(details=details), HOOK_POLICY=policy)["hookStatus"] == "IN_PROGRESS"


def test_a_history_that_has_lost_its_beginning_proves_nothing(account: Account) -> None:
    account.ask(event())
    account.write("REJECTED", who="bob")
    for _ in range(100):
        account.write("typing very fast")
    account.write("APPROVED")
    account.pass_time(minutes=1)

    assert account.ask(event()) == {"hookStatus": "FAILED"}
    assert "are gone, and with them the proof" in records(account)[-1]["verdict"]["reason"]


def test_the_announcement_names_the_version_that_the_hook_wrote(account: Account) -> None:
    account.write("APPROVED")
    account.ask(event())
    account.write('{"state": "pending", "ask": "May a kitten be fed?"}')

    ((_, message, *_),) = sns_backends[ACCOUNT][REGION].topics[TOPIC].sent_notifications
    command = re.search(r"get-parameter --name (\S+) ", str(message))
    assert command
    ssm = account.cloud.client("ssm", role="approver", session="reader")
    read = json.loads(ssm.get_parameter(Name=command[1])["Parameter"]["Value"])
    assert read["ask"] == "May checkout in shop go on with this deployment?"


def test_people_are_asked_even_if_ecs_no_longer_describes_what_runs_now(account: Account) -> None:
    del account.cloud.control_plane.revisions[str(BLUE)]

    assert account.ask(event())["hookStatus"] == "IN_PROGRESS"
    images = json.loads(account.history()[0])["images"]
    assert images == [
        {"container": "app", "green": "shop/app:1.5@sha256:0123456789ab"},
        {"container": "proxy", "green": "shop/proxy:2@sha256:0123456789ab"},
    ]


def test_a_pattern_that_could_match_nobody_is_refused(account: Account) -> None:
    assert account.ask(event(details={"excludedApprovers": ["*:role/deploy"]})) == {"hookStatus": "FAILED"}


def test_a_first_deployment_can_be_let_through_and_is_told_by_its_sources(account: Account) -> None:
    deploy(account.cloud, sources=[])

    assert account.ask(event(details={"onFirstDeployment": "skip"})) == {"hookStatus": "SUCCEEDED"}
    assert account.ask(event())["hookStatus"] == "IN_PROGRESS"


def test_a_rollback_is_let_through_without_a_call_to_aws(account: Account) -> None:
    assert account.ask(ROLLBACK_PRODUCTION) == {"hookStatus": "SUCCEEDED"}
    assert {action for action, _ in account.made_by(FUNCTION)} == {"s3:PutObject"}


def test_a_deleted_request_is_asked_anew_and_its_approval_is_lost(account: Account) -> None:
    reply = account.ask(event())
    account.write("APPROVED")
    account.cloud.client("ssm", user="admin").delete_parameter(Name=REQUEST)

    assert account.ask(polled(reply))["hookStatus"] == "IN_PROGRESS"
    assert json.loads(account.history()[-1])["state"] == "pending"


def test_a_deployment_that_ecs_does_not_know_yet_is_waited_for(account: Account) -> None:
    account.cloud.control_plane.deployments.clear()

    reply = account.ask(event())

    assert reply["hookStatus"] == "IN_PROGRESS"
    assert reply["hookDetails"]["_lifecycleHookState"]["troubles"] == 1


@pytest.mark.parametrize(
    ("action", "named"),
    [
        ("ssm:GetParameterHistory", "may not ssm:GetParameterHistory on /ecs-approvals/shop/checkout"),
        ("ssm:PutParameter", "may not ssm:PutParameter on /ecs-approvals/shop/checkout"),
        ("ecs:DescribeServiceRevisions", f"may not ecs:DescribeServiceRevisions on {GREEN}"),
        ("ecs:DescribeServiceDeployments", "may not ecs:DescribeServiceDeployments on arn:aws:ecs"),
    ],
)
def test_a_missing_permission_is_refused_at_once_and_named(account: Account, action: str, named: str) -> None:
    account.cloud.faults.add(action=action, error="AccessDeniedException", identity=f"*/{FUNCTION}")

    assert account.ask(event()) == {"hookStatus": "FAILED"}
    assert named in records(account)[-1]["verdict"]["reason"]


@pytest.mark.parametrize("action", ["sns:Publish", "s3:PutObject"])
def test_a_missing_permission_for_evidence_never_changes_the_answer(account: Account, action: str) -> None:
    account.cloud.faults.add(action=action, error="AccessDenied", status=403, identity=f"*/{FUNCTION}")

    assert account.ask(event())["hookStatus"] == "IN_PROGRESS"
    account.write("APPROVED")
    assert account.ask(event()) == {"hookStatus": "SUCCEEDED"}


def test_an_announcement_that_fails_for_now_is_made_later_once_nobody_else_can_be_about_it(
    account: Account,
) -> None:
    fault = account.cloud.faults.add(action="sns:Publish", error="Throttling")
    reply = account.ask(event())
    assert messages() == []
    account.cloud.faults.remove(fault)
    account.pass_time(minutes=3)

    account.ask(polled(account.ask(polled(reply))))

    assert [subject for subject, _ in messages()] == ["Approval needed: checkout in shop"]


def test_an_hour_of_throttling_is_waited_out_and_the_answer_still_counts(account: Account) -> None:
    reply = account.ask(event())
    fault = account.cloud.faults.add(action="ssm:*", error="ThrottlingException", identity=f"*/{FUNCTION}")
    calls = 0
    waited = timedelta()
    while waited < timedelta(hours=1):
        reply = account.ask(polled(reply))
        assert reply["hookStatus"] == "IN_PROGRESS"
        waited += timedelta(seconds=reply["callBackDelay"])
        account.pass_time(seconds=reply["callBackDelay"])
        calls += 1
    account.cloud.faults.remove(fault)
    account.write("APPROVED")

    assert account.ask(polled(reply)) == {"hookStatus": "SUCCEEDED"}
    assert calls < 45


def test_throttling_without_end_ends_in_a_refusal(account: Account) -> None:
    account.cloud.faults.add(action="ssm:*", error="ThrottlingException", identity=f"*/{FUNCTION}")
    reply = account.ask(event(details={"giveUpAfterMinutes": 10}))
    account.pass_time(minutes=10)

    assert account.ask(polled(reply)) == {"hookStatus": "FAILED"}


def test_the_template_allows_every_call_that_is_made_and_none_that_is_not(account: Account) -> None:
    reply = account.ask(polled(account.ask(event())))
    account.ask(polled(reply))
    account.write("REJECTED")
    account.ask(polled(reply))

    made = account.made_by(FUNCTION)
    assert [call for call in account.calls if not call.allowed] == []
    # Lambda's own runtime writes the logs; the function makes no such call.
    unused = [grant for grant in unused_grants(account.policy(FUNCTION), made) if "WriteLogs" not in grant]
    assert unused == []
