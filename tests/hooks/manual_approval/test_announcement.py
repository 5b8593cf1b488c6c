"""What people read: where to look, how to answer, and nothing that could be taken for another request."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from hooks.manual_approval.announcement import Message, Subject, compose
from hooks.manual_approval.request import Occasion
from rehearsal.actors import approver
from shared.lifecycle import LifecycleEvent
from tests.shared.checkout import DEPLOYMENT, POST_TEST, PRE_PRODUCTION, event, split

NAME = f"/ecs-approvals/shop/checkout/{DEPLOYMENT.id}"
EXPIRES_AT = datetime(2026, 3, 6, 11, 0, tzinfo=UTC)
CONSOLE = "https://approvals.example.com"
PAUSE = "ecs-pause-e7tK9G_WRJqNF"

HOOK = Subject(DEPLOYMENT, POST_TEST)
STEP = Subject(DEPLOYMENT, PRE_PRODUCTION, step="10")
PAUSED = Subject(DEPLOYMENT, POST_TEST, pause=PAUSE)

READ = f"aws ssm get-parameter --name {NAME}:3 --query Parameter.Value --output text"
REQUEST = f"""Deployment {DEPLOYMENT.id} of checkout in shop waits for approval.

It needs one approval, until 2026-03-06T11:00:00Z.
Read what is asked:

  {READ}

Answer APPROVED or REJECTED, or JSON with a comment:

  aws ssm put-parameter --overwrite --name {NAME} --value APPROVED
  aws ssm put-parameter --overwrite --name {NAME} --value '{{"state": "REJECTED", "comment": "why"}}'
"""
CONTINUE = (
    f"aws ecs continue-service-deployment --service-deployment-arn {DEPLOYMENT} --hook-id {PAUSE} --action"
)


def composed(occasion: Occasion, subject: Subject = HOOK, name: str = NAME, **changes: Any) -> Message:
    return compose(occasion, subject, name, 3, **{"required": 1, "expires_at": EXPIRES_AT, **changes})


def test_the_request_says_where_to_read_it_and_how_to_answer() -> None:
    assert composed(Occasion.REQUEST) == Message("Approval needed: checkout in shop", REQUEST)


def test_at_half_time_the_request_itself_says_how_to_answer() -> None:
    assert composed(Occasion.HALF_TIME, STEP, f"{NAME}/step-from-10", required=2) == Message(
        "Reminder, approval needed: checkout in shop",
        f"""Deployment {DEPLOYMENT.id} of checkout in shop still waits for approval, at the step after 10 %. \
Half of its time is over.

It needs 2 approvals, each by someone else, until 2026-03-06T11:00:00Z.
Read what is asked, and how to answer:

  aws ssm get-parameter --name {NAME}/step-from-10:3 --query Parameter.Value --output text
""",
    )


def test_the_last_call_has_a_link_where_there_is_a_console() -> None:
    link = f"{CONSOLE}/requests/shop/checkout/{DEPLOYMENT.id}"

    assert composed(Occasion.LAST_CALL, console_url=CONSOLE) == Message(
        "Last call, approval needed: checkout in shop",
        f"""Deployment {DEPLOYMENT.id} of checkout in shop still waits for approval. \
Nine tenths of its time are over.

It needs one approval, until 2026-03-06T11:00:00Z.
Look at it, and decide, in the console: {link}
Read what is asked, and how to answer:

  {READ}
""",
        link,
    )


def test_a_pause_is_settled_with_both_ids_and_the_action_in_words() -> None:
    link = f"{CONSOLE}/requests/shop/checkout/{DEPLOYMENT.id}/{PAUSE}"

    assert composed(Occasion.REQUEST, PAUSED, f"{NAME}/{PAUSE}", console_url=CONSOLE) == Message(
        "Approval needed: checkout in shop",
        f"""Deployment {DEPLOYMENT.id} of checkout in shop pauses at {POST_TEST} and waits for approval.

It needs one approval, until 2026-03-06T11:00:00Z.
Look at it, and decide, in the console: {link}
Read what is asked:

  aws ssm get-parameter --name {NAME}/{PAUSE}:3 --query Parameter.Value --output text

Answer APPROVED or REJECTED, or JSON with a comment:

  aws ssm put-parameter --overwrite --name {NAME}/{PAUSE} --value APPROVED
  aws ssm put-parameter --overwrite --name {NAME}/{PAUSE} --value '{{"state": "REJECTED", "comment": "why"}}'

Whoever may tell ECS itself settles it at once, and alone:

  {CONTINUE} CONTINUE
  {CONTINUE} ROLLBACK
""",
        link,
    )


@pytest.mark.parametrize("occasion", Occasion)
@pytest.mark.parametrize("subject", [HOOK, STEP, PAUSED])
def test_only_a_request_holds_the_command_that_approves(occasion: Occasion, subject: Subject) -> None:
    text = composed(occasion, subject, console_url=CONSOLE).text
    taken = approver._REQUEST.search(text)

    assert (taken is not None) == (occasion is Occasion.REQUEST)
    assert taken is None or taken[1] == NAME


@pytest.mark.parametrize("occasion", Occasion)
def test_a_pause_is_never_continued_by_leaving_the_action_out(occasion: Occasion) -> None:
    text = composed(occasion, PAUSED, f"{NAME}/{PAUSE}").text

    assert re.findall("continue-service-deployment.*", text) == [
        f"{CONTINUE.removeprefix('aws ecs ')} {action}" for action in ("CONTINUE", "ROLLBACK")
    ]


def test_an_id_that_a_shell_would_read_is_quoted() -> None:
    text = composed(Occasion.REQUEST, Subject(DEPLOYMENT, POST_TEST, pause="ecs-pause-$(id)")).text

    assert "--hook-id 'ecs-pause-$(id)' --action CONTINUE\n" in text


@pytest.mark.parametrize(
    ("prefix", "part"),
    [
        ("/ecs-approvals", ""),
        ("/ecs-approvals", "/step-from-12.5"),
        ("/ecs-approvals", f"/{PAUSE}"),
        (f"/of/shop/checkout/{DEPLOYMENT.id}", "/step-from-unknown"),
    ],
)
def test_the_link_is_the_parameter_s_path_without_its_prefix(prefix: str, part: str) -> None:
    path = f"shop/checkout/{DEPLOYMENT.id}{part}"

    assert composed(Occasion.REQUEST, name=f"{prefix}/{path}", console_url=CONSOLE).link == (
        f"{CONSOLE}/requests/{path}"
    )


def test_what_is_asked_about_is_taken_from_the_call() -> None:
    call = LifecycleEvent.parse(event(PRE_PRODUCTION, production=split(10, 90)))

    assert Subject.of(call) == STEP
