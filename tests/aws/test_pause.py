"""The function that asks for PAUSE hooks, under exactly the permissions that the template gives it."""

import json
from datetime import timedelta
from typing import Any

import pytest
from moto.sns.models import sns_backends

from hooks.manual_approval import pause
from rehearsal.aws.cloud import ACCOUNT
from rehearsal.aws.policy import unused_grants
from rehearsal.model import HookStatus, LifecycleHook, RevisionSummary, ServiceDeployment
from shared.lifecycle import ServiceDeploymentArn, Stage
from tests.aws.conftest import TOPIC, Account
from tests.aws.pauses import (
    HOOK_ID,
    PAUSE_FUNCTION,
    PAUSE_REQUEST,
    ask_for_pause,
    begin_to_wait,
    pause_event,
    waiting,
)
from tests.shared.checkout import DEPLOYMENT, GREEN, REGION, SERVICE, START, deploy

CONSOLE = f"arn:aws:iam::{ACCOUNT}:role/console"
POLICY = {
    "requiredApprovals": 2,
    "allowedApprovers": ["arn:aws:iam::*:role/release"],
    "excludedApprovers": ["arn:aws:iam::*:role/deploy"],
    "personalSessions": ["arn:aws:sts::*:assumed-role/release"],
}


def mails() -> list[str]:
    sent = sns_backends[ACCOUNT][REGION].topics[TOPIC].sent_notifications
    return [str(message) for _, message, *_ in sent]


def error(account: Account, event: Any, **variables: str) -> str | None:
    return account.invoke(PAUSE_FUNCTION, event, **variables).error


def log(account: Account, event: Any, **variables: str) -> list[tuple[str, str]]:
    """Invoke, and return level and text of what was logged; the invocation has to come to an end."""
    invocation = account.invoke(PAUSE_FUNCTION, event, **variables)
    assert (invocation.error, invocation.reply) == (None, {})
    return [(line["level"], line["message"]) for line in map(json.loads, invocation.log_lines)]


def written(account: Account) -> bool:
    ssm = account.cloud.client("ssm", role="approver", session="reader")
    return bool(ssm.describe_parameters(MaxResults=50)["Parameters"])


def test_the_request_has_the_organisation_s_rules_and_ecs_s_own_expiry(account: Account) -> None:
    assert ask_for_pause(account, HOOK_POLICY=json.dumps(POLICY), APPROVAL_CONSOLE_ROLE=CONSOLE) == {
        "request": PAUSE_REQUEST
    }
    assert json.loads(account.history(PAUSE_REQUEST)[0]) == {
        "schema": 1,
        "state": "pending",
        "ask": "May checkout in shop go on with this deployment? It pauses at POST_TEST_TRAFFIC_SHIFT.",
        "deployment": str(DEPLOYMENT),
        "stage": "POST_TEST_TRAFFIC_SHIFT",
        "approvalsNeeded": 2,
        "requestedAt": "2026-03-05T12:00:00Z",
        "expiresAt": "2026-03-05T16:00:00Z",
        "pause": HOOK_ID,
        "rules": {
            "requiredApprovals": 2,
            "allowedApprovers": [["arn:aws:iam::*:role/release"]],
            "excludedApprovers": ["arn:aws:iam::*:role/deploy"],
            "personalSessions": ["arn:aws:sts::*:assumed-role/release"],
            "console": CONSOLE,
            "expiresAfterSeconds": 14400.0,
            "extendableToSeconds": 14400.0,
            "onExpiry": "refuse",
        },
    }


@pytest.mark.parametrize(("action", "verdict"), [("ROLLBACK", "refuse"), ("CONTINUE", "proceed")])
def test_what_happens_at_the_expiry_is_what_ecs_will_do(account: Account, action: Any, verdict: str) -> None:
    hook = LifecycleHook(name="pause", stages=(), target_type="PAUSE", timeout_action=action)
    ask_for_pause(account, pause_event(*begin_to_wait(account, hook=hook)))

    assert json.loads(account.history(PAUSE_REQUEST)[0])["rules"]["onExpiry"] == verdict


def test_people_are_told_once_however_often_the_event_comes(account: Account) -> None:
    event = pause_event(*begin_to_wait(account))
    for _ in range(3):
        assert ask_for_pause(account, event) == {"request": PAUSE_REQUEST}
        account.pass_time(minutes=1)

    states = [json.loads(text) for text in account.history(PAUSE_REQUEST)]
    assert [(state["state"], state.get("announced")) for state in states] == [
        ("pending", None),
        ("pending", {"what": "request", "on": ["sns"]}),
    ]
    [mail] = mails()
    assert f"put-parameter --overwrite --name {PAUSE_REQUEST} --value APPROVED" in mail


def test_an_event_says_nothing_that_is_believed(account: Account) -> None:
    event = pause_event(*begin_to_wait(account))
    event["detail"] |= {"expiresAt": "2036-01-01T00:00:00Z", "lifecycleStage": "PRE_SCALE_UP"}
    ask_for_pause(account, event)

    request = json.loads(account.history(PAUSE_REQUEST)[0])
    assert (request["stage"], request["expiresAt"]) == ("POST_TEST_TRAFFIC_SHIFT", "2026-03-05T16:00:00Z")


@pytest.mark.parametrize(
    ("shown", "said", "stage"),
    [
        ("POST_SCALE_UP", "POST_SCALE_UP", "POST_SCALE_UP"),
        # ECS is known to show the shift while it waits before it.
        ("PRODUCTION_TRAFFIC_SHIFT", "PRE_PRODUCTION_TRAFFIC_SHIFT", "PRE_PRODUCTION_TRAFFIC_SHIFT"),
        # A rolling deployment shows none.
        (None, "PRE_SCALE_UP", "PRE_SCALE_UP"),
        (None, "<b>", "an unknown stage"),
        (None, None, "an unknown stage"),
    ],
)
def test_the_stage_is_ecs_s_word_where_it_says_one(
    account: Account, shown: str | None, said: Any, stage: str
) -> None:
    deployment, run = begin_to_wait(account)
    deployment.lifecycle_stage = shown
    event = pause_event(deployment, run)
    event["detail"]["lifecycleStage"] = said
    ask_for_pause(account, event)

    assert json.loads(account.history(PAUSE_REQUEST)[0])["stage"] == stage


@pytest.mark.parametrize(
    "run",
    [
        waiting(status=HookStatus.SUCCEEDED),
        waiting(status=HookStatus.FAILED),
        waiting(status=HookStatus.IN_PROGRESS),
        waiting(expires_at=START),
        waiting(hook_id="ecs-pause-another"),
        waiting(hook=LifecycleHook(name="pause", stages=(), target_type="AWS_LAMBDA")),
    ],
)
def test_a_hook_that_does_not_wait_is_not_asked_for(account: Account, run: Any) -> None:
    event = pause_event(deploy(account.cloud, hook_runs=[run]), waiting(), START - timedelta(minutes=2))

    assert log(account, event) == [("INFO", f"{HOOK_ID} of {DEPLOYMENT} waits no longer")]
    assert not written(account)


@pytest.mark.parametrize("unknown", [True, False])
def test_an_event_that_is_faster_than_the_api_is_tried_again_and_given_up_after_a_minute(
    account: Account, unknown: bool
) -> None:
    event = pause_event(*begin_to_wait(account))
    deploy(account.cloud, hook_runs=[])
    if unknown:
        account.cloud.control_plane.deployments.clear()

    assert error(account, event) == (
        f"Transient: ecs:DescribeServiceDeployments does not show {HOOK_ID} of {DEPLOYMENT} (yet)"
    )
    account.pass_time(minutes=1)
    assert log(account, event) == [("INFO", f"{HOOK_ID} of {DEPLOYMENT} waits no longer")]


def test_an_event_from_the_future_is_not_waited_for(account: Account) -> None:
    event = pause_event(*begin_to_wait(account), START + timedelta(days=400))
    deploy(account.cloud, hook_runs=[])

    assert log(account, event)[-1] == ("INFO", f"{HOOK_ID} of {DEPLOYMENT} waits no longer")


def changed(**detail: Any) -> dict[str, Any]:
    deployment = ServiceDeployment(
        arn=DEPLOYMENT,
        service=SERVICE,
        configuration={},
        sources=[],
        target=RevisionSummary(arn=GREEN),
        created_at=START,
    )
    event = pause_event(deployment, waiting())
    return {**event, "detail": {**event["detail"], **detail}}


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        ([], "expected an event with a detail, got []"),
        ({}, "expected an event with a detail, got {}"),
        ({"detail": "x"}, "expected an event with a detail, got an object of 1"),
        (
            changed(eventName="HOOK_TIMED_OUT"),
            "detail.eventName: expected HOOK_AWAITING_ACTION, got 'HOOK_TIMED_OUT'",
        ),
        (changed(hookType="AWS_LAMBDA"), "detail.hookType: expected PAUSE, got 'AWS_LAMBDA'"),
        (changed(hookId=None), "detail.hookId: expected ecs-pause-..., got None"),
        (changed(hookId="ecs-pause-a/b"), "detail.hookId: expected ecs-pause-..., got 'ecs-pause-a/b'"),
        (changed(hookId="ecs-pause-"), "detail.hookId: expected ecs-pause-..., got 'ecs-pause-'"),
        (changed(hookId="step-from-10"), "detail.hookId: expected ecs-pause-..., got 'step-from-10'"),
        (
            changed(serviceDeploymentArn="arn:aws:ecs:x"),
            "detail.serviceDeploymentArn: expected the ARN of an ECS service deployment, got 'arn:aws:ecs:x'",
        ),
    ],
)
def test_what_is_no_event_of_a_pause_hook_is_dropped_and_said(
    account: Account, event: Any, problem: str
) -> None:
    assert log(account, event) == [("ERROR", f"no event of a PAUSE hook, dropped: {problem}")]
    assert account.made_by(PAUSE_FUNCTION) == set()


@pytest.mark.parametrize("changes", [{"account": "999999999999"}, {"region": "eu-west-1"}])
def test_another_account_s_or_region_s_deployments_are_not_ours_to_ask_for(
    account: Account, changes: dict[str, str]
) -> None:
    parts = {"region": REGION, "account": ACCOUNT, **changes}
    other = ServiceDeploymentArn("aws", parts["region"], parts["account"], "shop", "checkout", "x")

    assert log(account, changed(serviceDeploymentArn=str(other))) == [
        ("ERROR", f"an event of another account or region, dropped: {other}")
    ]
    assert account.made_by(PAUSE_FUNCTION) == set()


def test_the_time_of_an_event_may_be_anything(account: Account) -> None:
    for time in (None, 7, "yesterday", "2026-03-05T12:00:00"):
        event = {**changed(), "time": time}
        assert log(account, event) == [("INFO", f"{HOOK_ID} of {DEPLOYMENT} waits no longer")]


@pytest.mark.parametrize("text", ["APPROVED", '{"state": "pending"}'])
def test_what_stood_there_before_is_no_request_and_no_answer(account: Account, text: str) -> None:
    account.write(text, name=PAUSE_REQUEST)
    ask_for_pause(account)

    texts = account.history(PAUSE_REQUEST)
    assert (texts[0], json.loads(texts[1])["pause"]) == (text, HOOK_ID)
    assert account.sweep() == {}
    assert account.cloud.control_plane.deployments[str(DEPLOYMENT)].hook_runs[0].answer is None


def test_a_request_that_parameter_store_does_not_show_yet_is_not_made_twice(account: Account) -> None:
    event = pause_event(*begin_to_wait(account))
    ask_for_pause(account, event)
    account.cloud.faults.add(
        action="ssm:GetParameterHistory", error="ParameterNotFound", identity=f"*/{PAUSE_FUNCTION}", times=1
    )

    assert error(account, event) == (
        f"Transient: {PAUSE_REQUEST}: exists, and Parameter Store does not show it yet"
    )
    ask_for_pause(account, event)
    assert len(account.history(PAUSE_REQUEST)) == 2


def test_a_request_that_is_not_shown_to_its_own_writer_is_announced_later(account: Account) -> None:
    event = pause_event(*begin_to_wait(account))
    account.cloud.faults.add(
        action="ssm:GetParameterHistory", error="ParameterNotFound", identity=f"*/{PAUSE_FUNCTION}", times=1
    )

    assert error(account, event) == (
        f"Transient: {PAUSE_REQUEST}: the request is written; Parameter Store does not show it yet"
    )
    account.pass_time(minutes=1)
    ask_for_pause(account, event)
    assert mails() == []
    account.pass_time(minutes=2)
    ask_for_pause(account, event)
    assert len(mails()) == 1


def test_a_request_that_has_lost_its_beginning_is_not_made_anew(account: Account) -> None:
    event = pause_event(*begin_to_wait(account))
    ask_for_pause(account, event)
    for number in range(110):
        account.write(f"{number}", name=PAUSE_REQUEST)

    assert error(account, event) == (
        f"Misconfigured: {PAUSE_REQUEST}: versions before 13 are gone, and with them the proof"
    )


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        (
            {"HOOK_POLICY": '{"requiredAprovals": 2}'},
            "Misconfigured: HOOK_POLICY: unknown key 'requiredAprovals', did you mean 'requiredApprovals'?",
        ),
        (
            {"APPROVAL_PARAMETER_PREFIX": "approvals"},
            "Misconfigured: APPROVAL_PARAMETER_PREFIX must name a path, such as /approvals, got 'approvals'",
        ),
        (
            {"HOOK_POLICY": json.dumps({"allowedApprovers": [f"arn:{'x' * 80}{n}" for n in range(45)]})},
            "Misconfigured: HOOK_POLICY: who may decide is too long a list for a request, of which PAUSE "
            "hooks are decided; name roles or groups instead of people, or use the approval hook",
        ),
    ],
)
def test_what_people_have_to_mend_fails_the_call_so_that_its_alarm_rings(
    account: Account, variables: dict[str, str], problem: str
) -> None:
    assert error(account, pause_event(*begin_to_wait(account)), **variables) == problem
    assert not written(account)


@pytest.mark.parametrize(
    "action", ["ecs:DescribeServiceDeployments", "ssm:PutParameter", "ssm:GetParameterHistory"]
)
@pytest.mark.parametrize("code", ["ThrottlingException", "AccessDeniedException"])
def test_a_call_that_fails_is_tried_again_and_then_all_is_as_it_should_be(
    account: Account, action: str, code: str
) -> None:
    event = pause_event(*begin_to_wait(account))
    account.cloud.faults.add(action=action, error=code, identity=f"*/{PAUSE_FUNCTION}", times=1)

    assert action in str(error(account, event))
    account.pass_time(minutes=1)
    ask_for_pause(account, event)
    account.pass_time(minutes=3)
    ask_for_pause(account, event)
    assert json.loads(account.history(PAUSE_REQUEST)[0])["pause"] == HOOK_ID
    assert len(mails()) == 1


def test_an_event_that_comes_hours_later_finds_the_request_as_it_was_made(account: Account) -> None:
    event = pause_event(*begin_to_wait(account))
    fault = account.cloud.faults.add(action="sns:Publish", error="Throttling", identity=f"*/{PAUSE_FUNCTION}")
    ask_for_pause(account, event)
    account.cloud.faults.remove(fault)
    account.pass_time(hours=3)
    ask_for_pause(account, event, HOOK_POLICY='{"requiredApprovals": 2}')

    [mail] = mails()
    assert "It needs one approval, until 2026-03-05T16:00:00Z." in mail


def test_a_hook_that_was_settled_meanwhile_is_not_announced(account: Account) -> None:
    event = pause_event(*begin_to_wait(account))
    account.cloud.faults.add(
        action="sns:Publish", error="Throttling", identity=f"*/{PAUSE_FUNCTION}", times=1
    )
    ask_for_pause(account, event)
    account.write("REJECTED", name=PAUSE_REQUEST)
    account.pass_time(minutes=10)
    ask_for_pause(account, event)

    assert mails() == []


def test_of_an_event_no_more_is_read_than_what_to_ask_ecs_for() -> None:
    assert pause.read_event(changed()) == pause.PauseEvent(
        DEPLOYMENT, HOOK_ID, Stage.POST_TEST_TRAFFIC_SHIFT, START
    )


def test_the_template_allows_every_call_that_is_made_and_none_that_is_not(account: Account) -> None:
    ask_for_pause(account)

    assert [call for call in account.calls if not call.allowed] == []
    unused = unused_grants(account.policy(PAUSE_FUNCTION), account.made_by(PAUSE_FUNCTION))
    # Lambda's own runtime writes the logs.
    assert [grant for grant in unused if "WriteLogs" not in grant] == []


@pytest.mark.parametrize("name", [PAUSE_REQUEST.replace(HOOK_ID, "step-from-10"), "/other/ecs-pause-1"])
def test_the_function_may_write_requests_of_pause_hooks_and_no_others(account: Account, name: str) -> None:
    document = account.policy(PAUSE_FUNCTION)
    ssm = account.cloud.client("ssm", role=account.role(PAUSE_FUNCTION), session="x", policies=[document])

    with pytest.raises(ssm.exceptions.ClientError, match="AccessDenied"):
        ssm.put_parameter(Name=name, Value="x", Type="String")
