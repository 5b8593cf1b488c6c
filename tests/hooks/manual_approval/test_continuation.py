"""What ECS is told of a decision, and of what it is told nothing."""

from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from botocore.exceptions import ClientError

from hooks.manual_approval import continuation
from hooks.manual_approval.approvers import Electorate
from hooks.manual_approval.proceeding import Askers, Proceeding, proceeding_of
from hooks.manual_approval.request import Version, write_closing, write_pause_request
from hooks.manual_approval.rules import Rules
from shared.errors import HookError, Misconfigured, Transient
from tests.shared.checkout import ACCOUNT, DEPLOYMENT, START

HOOK = f"arn:aws:sts::{ACCOUNT}:assumed-role/hook/hook"
ALICE = f"arn:aws:iam::{ACCOUNT}:user/alice"
HOOK_ID = "ecs-pause-e7tK9G_WRJqNF"
HOUR = timedelta(hours=1)
RULES = Rules(
    required=1,
    electorate=Electorate(allowed=(("*",),), excluded=(), personal_sessions=()),
    expires_after=HOUR,
    extendable_to=HOUR,
    on_expiry="proceed",
)


def proceeding(*texts: str, part: str = HOOK_ID, rules: Rules = RULES, by: str = ALICE) -> Proceeding:
    """Return a request and what was written to it, a text a minute, as it is after half an hour."""
    pause = part if part.startswith("ecs-pause-") else ""
    request = write_pause_request(DEPLOYMENT, pause, "POST_TEST_TRAFFIC_SHIFT", rules=rules, now=START)
    history = [
        Version(number, START + timedelta(minutes=number), by if number > 1 else HOOK, text)
        for number, text in enumerate([request, *texts], start=1)
    ]
    return proceeding_of("/x", DEPLOYMENT, part, history, Askers(HOOK, HOOK), START + HOUR / 2)


@pytest.fixture
def ecs(monkeypatch: pytest.MonkeyPatch) -> mock.Mock:
    made = mock.Mock(spec=["continue_service_deployment"])
    monkeypatch.setattr(continuation, "client", lambda _: made)
    return made


@pytest.mark.parametrize(("answer", "action"), [("APPROVED", "CONTINUE"), ("REJECTED", "ROLLBACK")])
def test_ecs_is_told_both_ids_and_always_the_action(ecs: mock.Mock, answer: str, action: str) -> None:
    assert continuation.carry_out(proceeding(answer))
    assert ecs.mock_calls == [
        mock.call.continue_service_deployment(
            serviceDeploymentArn=str(DEPLOYMENT), hookId=HOOK_ID, action=action
        )
    ]


def undecided() -> list[Proceeding]:
    closed = write_closing("approved", by=(), comment="", now=START)
    never = Rules(
        required=1,
        electorate=Electorate(allowed=((),), excluded=(), personal_sessions=()),
        expires_after=timedelta(minutes=10),
        extendable_to=HOUR,
        on_expiry="proceed",
    )
    return [
        proceeding(),
        proceeding("continue"),
        proceeding(closed),
        proceeding(closed, by=HOOK),
        proceeding("APPROVED", by=HOOK),
        # Expired, and it would proceed: that is ECS's own business.
        proceeding("APPROVED", rules=never),
    ]


@pytest.mark.parametrize("proceeding", undecided())
def test_what_is_not_decided_is_not_carried_out(ecs: mock.Mock, proceeding: Proceeding) -> None:
    assert not continuation.carry_out(proceeding)
    assert ecs.mock_calls == []


@pytest.mark.parametrize("part", ["", "step-from-10"])
def test_a_decision_on_the_approval_hook_s_request_is_not_ecs_s_to_take(ecs: mock.Mock, part: str) -> None:
    decided = proceeding("APPROVED", part=part)

    assert decided.outcome == "approved"
    assert not continuation.carry_out(decided)
    assert ecs.mock_calls == []


def refused(code: str, message: str = "", status: int = 400) -> ClientError:
    answer: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(answer, "ContinueServiceDeployment")


@pytest.mark.parametrize(
    "error",
    [
        refused(
            "InvalidParameterException",
            "Provided hookId is either completed, unavailable, or not associated with the given Resource ARN",
        ),
        refused(
            "ClientException",
            "Continuing a service deployment is not allowed for service deployment in terminal states.",
        ),
        refused("ServiceDeploymentNotFoundException", "Service deployment not found."),
    ],
)
def test_what_is_settled_already_is_no_error(ecs: mock.Mock, error: ClientError) -> None:
    ecs.continue_service_deployment.side_effect = error

    assert not continuation.carry_out(proceeding("REJECTED"))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (refused("InvalidParameterException", "Invalid hookId"), Misconfigured),
        (refused("AccessDeniedException"), Misconfigured),
        (refused("ServerException", status=500), Transient),
        (refused("ThrottlingException"), Transient),
    ],
)
def test_whatever_else_ecs_says_is_an_error(
    ecs: mock.Mock, error: ClientError, kind: type[HookError]
) -> None:
    ecs.continue_service_deployment.side_effect = error

    with pytest.raises(kind, match="ecs:ContinueServiceDeployment"):
        continuation.carry_out(proceeding("REJECTED"))
