"""The approval hook's proceedings in full: what it writes, says, records and looks behind."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from moto.sns.models import sns_backends

from hooks.manual_approval import parameter_store
from hooks.manual_approval.handler import handler
from rehearsal.aws.cloud import ACCOUNT
from rehearsal.aws.identities import ALLOW_ALL
from rehearsal.model import RevisionSummary
from shared import record
from shared.lifecycle import ServiceDeploymentArn
from shared.response import STATE_KEY
from tests.aws.conftest import BUCKET, REQUEST, TOPIC, Account
from tests.shared.checkout import (
    BLUE,
    DEPLOYMENT,
    GREEN,
    POST_TEST,
    PRE_PRODUCTION,
    REGION,
    SERVICE,
    START,
    assert_valid,
    deploy,
    event,
    split,
)

FUNCTION = "ManualApprovalFunction"
SUCCEEDED = {"hookStatus": "SUCCEEDED"}
FAILED = {"hookStatus": "FAILED"}
HOOK = f"arn:aws:sts::{ACCOUNT}:assumed-role/rehearsal-ManualApprovalRole/{FUNCTION}"
APPROVERS = f"arn:aws:sts::{ACCOUNT}:assumed-role/approver"
ALICE = f"{APPROVERS}/alice"
ADMIN = f"arn:aws:iam::{ACCOUNT}:user/admin"


@dataclass
class Proceeding:
    """The request of one deployment, from outside."""

    account: Account
    variables: dict[str, str] = field(default_factory=dict)
    log: list[dict[str, Any]] = field(default_factory=list)

    def call(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Let ECS call the hook."""
        invocation = self.account.invoke(FUNCTION, payload, **self.variables)
        assert invocation.error is None
        assert_valid(invocation.reply)
        lines = [json.loads(line) for line in invocation.log_lines]
        self.log += [line for line in lines if "level" in line]
        reply: dict[str, Any] = invocation.reply
        return reply

    def ask(self, **details: Any) -> dict[str, Any]:
        """Let the hook ask; return the event of the next poll, five seconds later."""
        first = self.call(event(details=details))
        assert first["hookStatus"] == "IN_PROGRESS"
        self.account.pass_time(seconds=5)
        return polled(first)

    def follow(self, payload: dict[str, Any], **until: float) -> list[dict[str, Any]]:
        """Poll as ECS does, to the end or for that long."""
        replies: list[dict[str, Any]] = []
        left = timedelta(**until)
        while left > timedelta():
            replies.append(self.call(payload))
            if replies[-1]["hookStatus"] != "IN_PROGRESS":
                break
            left -= timedelta(seconds=replies[-1]["callBackDelay"])
            self.account.pass_time(seconds=replies[-1]["callBackDelay"])
            payload = polled(replies[-1])
        return replies

    def deny(self, action: str) -> None:
        """Take a permission from the function."""
        code = {"s3": "AccessDenied", "sns": "AuthorizationError"}.get(
            action.partition(":")[0], "AccessDeniedException"
        )
        self.account.cloud.faults.add(action=action, error=code, status=403, identity=HOOK)

    def admin_writes(self, text: str) -> None:
        ssm = self.account.cloud.client("ssm", user="admin")
        ssm.put_parameter(Name=REQUEST, Value=text, Type="String", Overwrite=True)

    def console_writes(self, text: str, *, role: str = "ApprovalConsoleRole") -> None:
        ssm = self.account.cloud.client("ssm", role=role, session="function", policies=[ALLOW_ALL])
        ssm.put_parameter(Name=REQUEST, Value=text, Type="String", Overwrite=True)

    def said(self, level: str) -> list[str]:
        return [line["message"] for line in self.log if line["level"] == level]

    @property
    def names(self) -> set[str]:
        found = self.account.cloud.client("ssm", user="admin").describe_parameters(MaxResults=50)
        return {parameter["Name"] for parameter in found["Parameters"]}

    @property
    def versions(self) -> list[tuple[str, Any]]:
        """Who wrote what, oldest first; JSON is parsed."""
        ssm = self.account.cloud.client("ssm", user="admin")
        found = ssm.get_parameter_history(Name=REQUEST)["Parameters"]
        return [(version["LastModifiedUser"], parsed(version["Value"])) for version in found]

    @property
    def mails(self) -> list[tuple[str, str]]:
        sent = sns_backends[ACCOUNT][REGION].topics[TOPIC].sent_notifications
        return [(subject or "", message) for _, message, subject, *_ in sent]

    @property
    def records(self) -> list[dict[str, Any]]:
        s3 = self.account.cloud.client("s3", user="admin")
        keys = [one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]
        found = [json.loads(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()) for key in keys]
        return sorted(found, key=lambda kept: str(kept["at"]))


def parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def polled(reply: dict[str, Any]) -> dict[str, Any]:
    return event(details=reply["hookDetails"])


@pytest.fixture
def proceeding(account: Account) -> Iterator[Proceeding]:
    # The identity is remembered per process, and some tests count the call.
    parameter_store._identity.cache_clear()
    yield Proceeding(account)
    assert [call for call in account.calls if not call.allowed] == []


ASKED: dict[str, Any] = {
    "schema": 1,
    "state": "pending",
    "ask": "May checkout in shop go on with this deployment?",
    "deployment": str(DEPLOYMENT),
    "stage": POST_TEST,
    "approvalsNeeded": 1,
    "requestedAt": "2026-03-05T12:00:00Z",
    "expiresAt": "2026-03-06T11:00:00Z",
    "howToAnswer": (
        f"aws ssm put-parameter --overwrite --name {REQUEST} --value APPROVED   (or REJECTED, or "
        '{"state": "REJECTED", "comment": "why"})'
    ),
    "images": [
        {
            "container": "app",
            "green": "shop/app:1.5@sha256:0123456789ab",
            "blue": "shop/app:1.4@sha256:0123456789ab",
        },
        {"container": "proxy", "green": "shop/proxy:2@sha256:0123456789ab", "blue": "the same"},
    ],
    "rules": {
        "requiredApprovals": 1,
        "allowedApprovers": [["*"], ["*"]],
        "excludedApprovers": [],
        "personalSessions": ["arn:*:sts::*:assumed-role/AWSReservedSSO_*"],
        "console": "",
        "expiresAfterSeconds": 82800.0,
        "extendableToSeconds": 86340.0,
        "onExpiry": "refuse",
    },
}
ANNOUNCED = {**ASKED, "announced": {"what": "request", "on": ["sns"]}}
ANNOUNCEMENT = (
    "Approval needed: checkout in shop",
    f"""Deployment {DEPLOYMENT.id} of checkout in shop waits for approval.

It needs one approval, until 2026-03-06T11:00:00Z.
Read what is asked:

  aws ssm get-parameter --name {REQUEST}:1 --query Parameter.Value --output text

Answer APPROVED or REJECTED, or JSON with a comment:

  aws ssm put-parameter --overwrite --name {REQUEST} --value APPROVED
  aws ssm put-parameter --overwrite --name {REQUEST} --value '{{"state": "REJECTED", "comment": "why"}}'
""",
)
SEEN = {
    "version": 2,
    "askedAt": "2026-03-05T12:00:00Z",
    "expiresAt": "2026-03-06T11:00:00Z",
    "quietUntil": "2026-03-05T23:30:00Z",
}


def state(**data: Any) -> dict[str, Any]:
    return {
        STATE_KEY: {
            "version": 1,
            "of": f"{DEPLOYMENT.id}/{POST_TEST}/",
            "since": "2026-03-05T12:00:00Z",
            "troubles": 0,
            "data": data,
        }
    }


# ---------------------------------------------------------------------------------- asking


def test_the_first_call_asks_announces_and_records(proceeding: Proceeding) -> None:
    assert proceeding.call(event()) == {
        "hookStatus": "IN_PROGRESS",
        "callBackDelay": 5,
        "hookDetails": state(),
    }
    assert proceeding.versions == [(HOOK, ASKED), (HOOK, ANNOUNCED)]
    assert proceeding.mails == [ANNOUNCEMENT]
    [kept] = proceeding.records
    assert (kept["changes"], kept["verdict"], kept["revisions"]) == (
        [f"wrote the request {REQUEST}", "announced the request"],
        {"answer": "wait", "reason": "for a decision, just asked for", "afterSeconds": 5},
        {"green": str(GREEN), "blue": str(BLUE)},
    )


def test_polls_that_find_nothing_new_come_ever_later_and_change_nothing(proceeding: Proceeding) -> None:
    second = proceeding.call(proceeding.ask())
    proceeding.account.pass_time(seconds=8)
    third = proceeding.call(polled(second))

    assert second == {"hookStatus": "IN_PROGRESS", "callBackDelay": 8, "hookDetails": state(**SEEN)}
    assert third == {"hookStatus": "IN_PROGRESS", "callBackDelay": 12, "hookDetails": state(**SEEN)}
    assert proceeding.versions == [(HOOK, ASKED), (HOOK, ANNOUNCED)]
    assert (len(proceeding.mails), len(proceeding.records)) == (1, 1)


def test_a_call_that_another_was_faster_than_leaves_the_request_to_it(proceeding: Proceeding) -> None:
    proceeding.call(event())
    # This one has looked before the other has written.
    faults = proceeding.account.cloud.faults
    fault = faults.add(action="ssm:GetParameterHistory", error="ParameterNotFound", identity=HOOK)
    reply = proceeding.call(event())
    faults.remove(fault)

    assert reply == {"hookStatus": "IN_PROGRESS", "callBackDelay": 5, "hookDetails": state()}
    assert proceeding.versions == [(HOOK, ASKED), (HOOK, ANNOUNCED)]
    assert proceeding.mails == [ANNOUNCEMENT]


@pytest.mark.parametrize(
    ("strategy", "status"), [("BLUE_GREEN", "IN_PROGRESS"), ("CANARY", "FAILED"), ("LINEAR", "FAILED")]
)
def test_steps_that_can_t_be_told_apart_are_not_approved_together(
    proceeding: Proceeding, strategy: str, status: str
) -> None:
    deploy(proceeding.account.cloud, configuration={"strategy": strategy})

    assert proceeding.call(event(PRE_PRODUCTION))["hookStatus"] == status


def test_people_are_reminded_although_nothing_is_new(proceeding: Proceeding) -> None:
    waiting = proceeding.call(proceeding.ask(expiresAfterMinutes=60))
    proceeding.account.pass_time(minutes=29)
    quiet = proceeding.call(polled(waiting))
    heard = len(proceeding.mails)
    proceeding.account.pass_time(minutes=1)
    proceeding.call(polled(quiet))

    assert (heard, len(proceeding.mails)) == (1, 2)


# ---------------------------------------------------------------------------------- deciding


def test_an_approval_proceeds_and_is_recorded_whole(proceeding: Proceeding) -> None:
    poll = proceeding.ask(requiredApprovals=1)
    proceeding.account.write('{"state": "approved", "comment": "tried it"}')

    assert proceeding.call(poll) == SUCCEEDED
    assert proceeding.versions[3:] == [
        (
            HOOK,
            {
                "schema": 1,
                "state": "closed",
                "outcome": "approved",
                "closedAt": "2026-03-05T12:00:05Z",
                "by": [ALICE],
                "comment": "tried it",
            },
        )
    ]
    kept = proceeding.records[-1]
    settings = kept["settings"]
    assert kept == {
        "schema": 1,
        "hook": "manual_approval",
        "at": "2026-03-05T12:00:05Z",
        "deployment": str(DEPLOYMENT),
        "service": str(SERVICE),
        "stage": POST_TEST,
        "step": "",
        "direction": "FORWARD",
        "revisions": {"green": str(GREEN), "blue": None},
        "settings": settings,
        "settingsDigest": record.digest(settings),
        "inputs": {
            "history": [
                {
                    "number": 1,
                    "at": "2026-03-05T12:00:00+00:00",
                    "by": HOOK,
                    "text": json.dumps(ASKED, indent=1, ensure_ascii=False),
                },
                {
                    "number": 2,
                    "at": "2026-03-05T12:00:00+00:00",
                    "by": HOOK,
                    "text": json.dumps(ANNOUNCED, indent=1, ensure_ascii=False),
                },
                {
                    "number": 3,
                    "at": "2026-03-05T12:00:05+00:00",
                    "by": ALICE,
                    "text": '{"state": "approved", "comment": "tried it"}',
                },
            ],
            "asked": 1,
            "hook": HOOK,
            "rules": ASKED["rules"],
            "now": "2026-03-05T12:00:05+00:00",
            "observe": False,
            "delay": 7.5,
        },
        "changes": [],
        "verdict": {"answer": "proceed", "reason": f"approved by {ALICE}: tried it"},
        "wouldRefuse": False,
        "reply": "SUCCEEDED",
        "next": "ECS goes on to the next stage",
    }


def test_a_rejection_is_told_to_people_with_its_reason(proceeding: Proceeding) -> None:
    poll = proceeding.ask()
    proceeding.account.write('{"state": "REJECTED", "comment": "checkout is broken"}')

    assert proceeding.call(poll) == FAILED
    assert proceeding.said("ERROR") == [f"refused: rejected by {ALICE}: checkout is broken"]
    assert proceeding.mails[1] == (
        "Refused: checkout in shop (manual_approval)",
        f"manual_approval refused deployment {DEPLOYMENT.id} of checkout in shop at {POST_TEST}: "
        f"rejected by {ALICE}: checkout is broken\n\nECS rolls the deployment back.\n",
    )


def test_two_approvals_take_two_people(proceeding: Proceeding) -> None:
    poll = proceeding.ask(requiredApprovals=2)
    proceeding.account.write("APPROVED", who="alice")
    proceeding.account.write("APPROVED", who="bob")
    waiting = proceeding.call(poll)
    proceeding.admin_writes("APPROVED")

    assert waiting["hookStatus"] == "IN_PROGRESS"
    assert proceeding.call(polled(waiting)) == SUCCEEDED
    assert proceeding.versions[-1][1]["by"] == [ALICE, ADMIN]


@pytest.mark.parametrize(
    ("details", "approved", "reply", "reason"),
    [
        ({}, False, FAILED, "nobody decided by 2026-03-05T12:30:00Z"),
        (
            {"onExpiry": "proceed"},
            False,
            SUCCEEDED,
            "onExpiry is proceed: nobody decided by 2026-03-05T12:30:00Z",
        ),
        (
            {"requiredApprovals": 2},
            True,
            FAILED,
            f"too few approvals by 2026-03-05T12:30:00Z; only by {ALICE}",
        ),
    ],
)
def test_a_request_expires_with_the_verdict_of_the_settings(
    proceeding: Proceeding, details: dict[str, Any], approved: bool, reply: dict[str, Any], reason: str
) -> None:
    poll = proceeding.ask(expiresAfterMinutes=30, **details)
    if approved:
        proceeding.account.write("APPROVED")
    proceeding.account.pass_time(minutes=30)

    assert proceeding.call(poll) == reply
    assert proceeding.records[-1]["verdict"]["reason"] == reason
    assert proceeding.versions[-1][1]["outcome"] == "expired"


def test_what_does_not_count_is_said_in_the_log(proceeding: Proceeding) -> None:
    poll = proceeding.ask(excludedApprovers=["arn:aws:iam::*:role/approver"])
    proceeding.admin_writes("looks good")
    proceeding.account.write("APPROVED")

    assert proceeding.call(poll)["hookStatus"] == "IN_PROGRESS"
    assert proceeding.said("WARNING") == [
        f"{REQUEST}: version 3 by {ADMIN}: not understood; write APPROVED or REJECTED",
        f"{REQUEST}: version 4 by {ALICE}: does not count, excluded by excludedApprovers",
    ]


def test_the_organisation_s_approvers_hold_whatever_the_service_allows(proceeding: Proceeding) -> None:
    proceeding.variables["HOOK_POLICY"] = json.dumps({"allowedApprovers": [ADMIN]})
    poll = proceeding.ask(allowedApprovers=["*"])
    proceeding.account.write("APPROVED")
    waiting = proceeding.call(poll)
    proceeding.admin_writes("APPROVED")

    assert waiting["hookStatus"] == "IN_PROGRESS"
    assert proceeding.call(polled(waiting)) == SUCCEEDED


@pytest.mark.parametrize(
    "text", ["APPROVED", json.dumps({**ASKED, "state": "approved"}), json.dumps(ASKED), "REJECTED"]
)
def test_what_stood_there_before_is_no_request_and_no_answer(proceeding: Proceeding, text: str) -> None:
    proceeding.account.write(text)
    first = proceeding.call(event())
    second = proceeding.call(polled(first))

    assert (first["hookStatus"], second["hookStatus"]) == ("IN_PROGRESS", "IN_PROGRESS")
    assert proceeding.versions[1:] == [(HOOK, ASKED), (HOOK, ANNOUNCED)]
    assert proceeding.said("WARNING") == [
        f"{REQUEST}: existed before the request; what it says does not count"
    ]


def test_the_approval_of_one_deployment_never_passes_the_next(proceeding: Proceeding) -> None:
    poll = proceeding.ask()
    proceeding.account.write("APPROVED")
    assert proceeding.call(poll) == SUCCEEDED
    following = ServiceDeploymentArn("aws", REGION, ACCOUNT, "shop", "checkout", "nExT0deployment0after")
    deploy(proceeding.account.cloud, arn=following)

    # Even with the state of the one before.
    after = event(deployment=following, details=poll["hookDetails"])
    assert proceeding.call(after)["hookStatus"] == "IN_PROGRESS"


def test_a_settled_request_is_answered_the_same_again(proceeding: Proceeding) -> None:
    poll = proceeding.ask()
    proceeding.account.write("APPROVED")
    assert proceeding.call(poll) == SUCCEEDED
    proceeding.admin_writes("REJECTED")

    assert [proceeding.call(poll), proceeding.call(event())] == [SUCCEEDED, SUCCEEDED]


def test_a_request_of_more_versions_than_a_page_is_read_to_its_end(proceeding: Proceeding) -> None:
    poll = proceeding.ask()
    for _ in range(60):
        proceeding.account.write("hm")
    proceeding.account.write("APPROVED")

    assert proceeding.call(poll) == SUCCEEDED


@pytest.mark.parametrize(
    ("sources", "setting", "status"),
    [
        ([], "skip", "SUCCEEDED"),
        ([], "ask", "IN_PROGRESS"),
        ([RevisionSummary(arn=BLUE, production_weight=100.0)], "skip", "IN_PROGRESS"),
    ],
)
def test_only_a_first_deployment_is_skipped_and_only_where_settings_say_so(
    proceeding: Proceeding, sources: list[Any], setting: str, status: str
) -> None:
    deploy(proceeding.account.cloud, sources=sources)

    assert proceeding.call(event(details={"onFirstDeployment": setting}))["hookStatus"] == status
    assert len(proceeding.names) == (status == "IN_PROGRESS")


@pytest.mark.parametrize("stage", ["PRE_SCALE_UP", "PRODUCTION_TRAFFIC_SHIFT", "PRE_BAKE"])
def test_a_stage_where_nothing_can_be_approved_is_refused(proceeding: Proceeding, stage: str) -> None:
    assert proceeding.call(event(stage, production=split(100, 0))) == FAILED
    assert proceeding.names == set()


def test_an_observed_deployment_is_asked_for_and_not_held(proceeding: Proceeding) -> None:
    observed = event(details={"mode": "observe"})
    replies = [proceeding.call(observed)]
    proceeding.account.pass_time(seconds=1)
    replies.append(proceeding.call(observed))
    proceeding.account.write("REJECTED")
    proceeding.account.pass_time(seconds=1)
    replies.append(proceeding.call(observed))

    assert replies == [SUCCEEDED, SUCCEEDED, SUCCEEDED]
    assert [(kept["verdict"]["reason"], kept["wouldRefuse"]) for kept in proceeding.records] == [
        ("observe mode: would have waited for a decision, just asked for", False),
        ("observe mode: would have waited for a decision", False),
        (f"rejected by {ALICE}", True),
    ]


def test_every_record_of_a_decision_can_be_replayed(proceeding: Proceeding) -> None:
    observed = event(details={"mode": "observe", "requiredApprovals": 2})
    proceeding.call(observed)
    for text in ("?", "APPROVED", "REJECTED"):
        proceeding.account.pass_time(seconds=7)
        proceeding.account.write(text)
        proceeding.call(observed)
    decided = [kept for kept in proceeding.records if kept["inputs"]]

    assert len(decided) == 3
    for kept in decided:
        assert record.canonical(handler.replay(kept)) == record.canonical(kept["verdict"])


# ---------------------------------------------------------------------------------- the console

CONSOLE_ROLE = f"arn:aws:iam::{ACCOUNT}:role/stack/ApprovalConsoleRole"
ISSUER = "https://login.example.com"


def answered(name: str, *groups: str, state: str = "approved", scheme: str = "oidc", **others: Any) -> str:
    """Return what the console writes for somebody."""
    by = {
        "identity": f"{scheme}:{ISSUER}#{name}",
        "groups": [f"oidc-group:{ISSUER}#{group}" for group in groups],
        "name": name.title(),
    }
    return json.dumps({"state": state, "deployment": str(DEPLOYMENT), "answers": 1, "by": by, **others})


def test_persons_of_the_console_count_by_their_names_and_groups(proceeding: Proceeding) -> None:
    proceeding.variables["APPROVAL_CONSOLE_ROLE"] = CONSOLE_ROLE
    poll = proceeding.ask(requiredApprovals=2, allowedApprovers=[f"oidc-group:{ISSUER}#releases"])
    for text in (answered("alice", "releases"), answered("bob"), answered("ALICE", "releases")):
        proceeding.console_writes(text)
    waiting = proceeding.call(poll)
    proceeding.console_writes(answered("carol", "releases", comment="tried it"))

    assert waiting["hookStatus"] == "IN_PROGRESS"
    assert proceeding.call(polled(waiting)) == SUCCEEDED
    assert proceeding.records[-1]["verdict"]["reason"] == (
        f"approved by oidc:{ISSUER}#alice; oidc:{ISSUER}#carol: tried it"
    )


@pytest.mark.parametrize(
    ("role", "text"),
    [
        # Whoever is not the console names nobody but themselves.
        ("approver", answered("alice", "releases")),
        ("ApprovalConsoleRole2", answered("alice", "releases")),
        # The console itself may not decide, and nobody may as something that is no person.
        ("ApprovalConsoleRole", "APPROVED"),
        ("ApprovalConsoleRole", answered("alice", "releases", scheme="arn")),
        ("ApprovalConsoleRole", answered("alice", "releases\u200b")),
        ("ApprovalConsoleRole", answered("alice", "contractors", "releases")),
        ("ApprovalConsoleRole", answered("alice", *"abcdefghij", "releases")),
        ("ApprovalConsoleRole", answered("alice", "releases", answers=2)),
        ("ApprovalConsoleRole", answered("alice", "releases", deployment=f"{DEPLOYMENT}x")),
    ],
)
def test_what_names_a_person_without_the_right_to_counts_for_nothing(
    proceeding: Proceeding, role: str, text: str
) -> None:
    proceeding.variables["APPROVAL_CONSOLE_ROLE"] = CONSOLE_ROLE
    poll = proceeding.ask(
        allowedApprovers=[f"oidc-group:{ISSUER}#releases", CONSOLE_ROLE],
        excludedApprovers=[f"oidc-group:{ISSUER}#contractors"],
    )
    proceeding.console_writes(text, role=role)
    proceeding.console_writes(text.replace("approved", "rejected"), role=role)

    assert proceeding.call(poll)["hookStatus"] == "IN_PROGRESS"
    assert len(proceeding.said("WARNING")) == 2


def test_without_a_console_its_role_is_one_like_any_other(proceeding: Proceeding) -> None:
    poll = proceeding.ask(allowedApprovers=[f"oidc:{ISSUER}#alice"])
    proceeding.console_writes(answered("alice"))

    assert proceeding.call(poll)["hookStatus"] == "IN_PROGRESS"


def test_the_rules_in_the_request_are_for_readers_and_the_hook_never_takes_them(
    proceeding: Proceeding,
) -> None:
    poll = proceeding.ask(requiredApprovals=1)
    proceeding.account.write(json.dumps({**ANNOUNCED, "rules": {**ASKED["rules"], "requiredApprovals": 1}}))
    proceeding.account.write("APPROVED")
    # Meanwhile the organisation has thought better of it.
    proceeding.variables["HOOK_POLICY"] = json.dumps({"requiredApprovals": 2})

    assert proceeding.call(poll)["hookStatus"] == "IN_PROGRESS"
    proceeding.admin_writes("APPROVED")
    assert proceeding.call(poll) == SUCCEEDED


# ---------------------------------------------------------------------------------- expiry


@pytest.mark.parametrize("forged", ["quietUntil", "expiresAt"])
def test_no_forged_time_hides_the_expiry(proceeding: Proceeding, forged: str) -> None:
    proceeding.ask()
    proceeding.account.pass_time(hours=24)

    assert proceeding.call(event(details=state(**{**SEEN, forged: "9999-12-31T23:59:59Z"}))) == FAILED


def extension(until: str) -> str:
    return json.dumps({"state": "extended", "expiresAt": until})


def test_an_extended_request_is_waited_for_and_expires_when_it_says(proceeding: Proceeding) -> None:
    poll = proceeding.ask(expiresAfterMinutes=30, extendableToMinutes=90)
    proceeding.account.write(extension("2026-03-05T23:59:59Z"))
    proceeding.account.pass_time(minutes=30)
    waiting = proceeding.call(poll)
    replies = proceeding.follow(polled(waiting), hours=2)

    assert waiting["hookDetails"][STATE_KEY]["data"]["expiresAt"] == "2026-03-05T13:30:00Z"
    assert replies[-1] == FAILED
    assert proceeding.records[-1]["verdict"]["reason"] == "nobody decided by 2026-03-05T13:30:00Z"
    assert proceeding.versions[-1] == (
        HOOK,
        {
            "schema": 1,
            "state": "closed",
            "outcome": "expired",
            "closedAt": "2026-03-05T13:30:00Z",
            "by": [],
            "comment": "",
            "expiresAt": "2026-03-05T13:30:00Z",
        },
    )


def test_whoever_may_not_decide_may_not_extend(proceeding: Proceeding) -> None:
    poll = proceeding.ask(expiresAfterMinutes=30, excludedApprovers=["arn:aws:iam::*:role/approver"])
    proceeding.account.write(extension("2026-03-05T23:59:59Z"))
    proceeding.account.pass_time(minutes=30)

    assert proceeding.call(poll) == FAILED


def just_before_the_closing(proceeding: Proceeding, text: str, at: timedelta) -> None:
    """Let alice write when the hook has found nothing, and is about to write that the request expired."""
    done: list[str] = []

    def write(call: Any, _identity: str) -> None:
        if not done and '"closed"' in call.parameters["Value"]:
            done.append(text)
            now = proceeding.account.clock
            now.move_to(START + at, tick=False)
            proceeding.account.write(text)
            now.move_to(START + timedelta(minutes=30), tick=False)

    proceeding.account.cloud.faults.add(action="ssm:PutParameter", identity=HOOK, make=write)


IN_TIME = timedelta(minutes=30, microseconds=-1000)
TOO_LATE = timedelta(minutes=30)


@pytest.mark.parametrize(
    ("text", "at", "on_expiry", "reply", "outcomes"),
    [
        ("APPROVED", IN_TIME, "refuse", SUCCEEDED, ["expired", "approved"]),
        ("REJECTED", IN_TIME, "proceed", FAILED, ["expired", "rejected"]),
        ("APPROVED", TOO_LATE, "refuse", FAILED, ["expired"]),
        ("REJECTED", TOO_LATE, "proceed", SUCCEEDED, ["expired"]),
    ],
)
def test_an_answer_and_the_expiry_at_once_are_settled_by_their_order(
    proceeding: Proceeding,
    text: str,
    at: timedelta,
    on_expiry: str,
    reply: dict[str, Any],
    outcomes: list[str],
) -> None:
    poll = proceeding.ask(expiresAfterMinutes=30, onExpiry=on_expiry)
    proceeding.account.clock.move_to(START + timedelta(minutes=30), tick=False)
    just_before_the_closing(proceeding, text, at)

    assert [proceeding.call(poll), proceeding.call(poll)] == [reply, reply]
    assert [said["outcome"] for _, said in proceeding.versions if "outcome" in said] == outcomes


def test_an_extension_and_the_expiry_at_once_and_the_extension_holds(proceeding: Proceeding) -> None:
    poll = proceeding.ask(expiresAfterMinutes=30)
    proceeding.account.clock.move_to(START + timedelta(minutes=30), tick=False)
    just_before_the_closing(proceeding, extension("2026-03-05T13:00:00Z"), IN_TIME)

    waiting = proceeding.call(poll)
    proceeding.account.pass_time(minutes=29)
    still = proceeding.call(polled(waiting))
    proceeding.account.pass_time(minutes=1)

    assert [waiting["hookStatus"], still["hookStatus"]] == ["IN_PROGRESS", "IN_PROGRESS"]
    # The second expiry is settled by a closing of its own.
    assert proceeding.call(polled(still)) == FAILED
    assert [said["expiresAt"] for _, said in proceeding.versions if "outcome" in said] == [
        "2026-03-05T12:30:00Z",
        "2026-03-05T13:00:00Z",
    ]


def test_an_expiry_that_can_not_be_settled_for_now_is_not_answered(proceeding: Proceeding) -> None:
    poll = proceeding.ask(expiresAfterMinutes=30, onExpiry="proceed")
    proceeding.account.pass_time(minutes=30)
    faults = proceeding.account.cloud.faults
    fault = faults.add(action="ssm:PutParameter", error="ThrottlingException", identity=HOOK)
    troubled = proceeding.call(poll)
    faults.remove(fault)

    assert troubled["hookStatus"] == "IN_PROGRESS"
    assert proceeding.call(polled(troubled)) == SUCCEEDED


def test_an_expiry_that_may_not_be_settled_is_refused_even_where_it_would_pass(
    proceeding: Proceeding,
) -> None:
    poll = proceeding.ask(expiresAfterMinutes=30, onExpiry="proceed")
    proceeding.account.pass_time(minutes=30)
    proceeding.deny("ssm:PutParameter")

    assert proceeding.call(poll) == FAILED


def test_what_was_settled_and_is_not_shown_yet_is_waited_for(
    proceeding: Proceeding, monkeypatch: pytest.MonkeyPatch
) -> None:
    poll = proceeding.ask(expiresAfterMinutes=30)
    proceeding.account.pass_time(minutes=30)
    whole = parameter_store.ParameterStore.history
    with monkeypatch.context() as patch:
        patch.setattr(parameter_store.ParameterStore, "history", lambda store: whole(store)[:2])
        lagging = proceeding.call(poll)

    assert (lagging["hookStatus"], lagging["hookDetails"][STATE_KEY]["troubles"]) == ("IN_PROGRESS", 1)
    assert proceeding.call(polled(lagging)) == FAILED
    # The closing that was not seen had settled it.
    assert len([said for _, said in proceeding.versions if "outcome" in said]) == 1


def test_a_history_of_which_the_settlement_pushes_the_beginning_out_proves_nothing(
    proceeding: Proceeding,
) -> None:
    poll = proceeding.ask(expiresAfterMinutes=30, onExpiry="proceed")
    for _ in range(98):
        proceeding.account.write("hm")
    proceeding.account.pass_time(minutes=30)

    assert proceeding.call(poll) == FAILED
    assert proceeding.said("ERROR") == [
        f"refused: {REQUEST}: versions before 2 are gone, and with them the proof"
    ]


# ---------------------------------------------------------------------------------- AWS in trouble


def test_a_history_with_a_gap_decides_nothing(
    proceeding: Proceeding, monkeypatch: pytest.MonkeyPatch
) -> None:
    poll = proceeding.ask()
    proceeding.admin_writes("REJECTED")
    proceeding.account.write("APPROVED")
    whole = parameter_store.ParameterStore._pages
    with monkeypatch.context() as patch:
        patch.setattr(
            parameter_store.ParameterStore,
            "_pages",
            lambda store: (version for version in whole(store) if version.text != "REJECTED"),
        )
        gap = proceeding.call(poll)

    assert gap["hookStatus"] == "IN_PROGRESS"
    assert proceeding.call(polled(gap)) == FAILED


@pytest.fixture
def asked_twice(proceeding: Proceeding, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Let two calls ask at once over what somebody has planted; return what both answer."""
    proceeding.account.write("APPROVED")
    store = parameter_store.ParameterStore
    with proceeding.account.cloud.acting_as("approver", "alice"):
        before = store(REQUEST).history()
    whole = store.history
    looks: list[str] = []

    def as_if_first(self: parameter_store.ParameterStore) -> Any:
        looks.append(self.name)
        # Both looks before anything is asked see what was planted, and nothing else.
        return before if len(looks) in {1, 3} else whole(self)

    def ask_twice() -> list[str]:
        with monkeypatch.context() as patch:
            patch.setattr(store, "history", as_if_first)
            return [proceeding.call(event())["hookStatus"] for _ in range(2)]

    return ask_twice


def test_of_two_requests_that_are_written_at_once_the_first_counts(
    proceeding: Proceeding, asked_twice: Callable[[], list[str]]
) -> None:
    assert asked_twice() == ["IN_PROGRESS", "IN_PROGRESS"]
    assert [said for _, said in proceeding.versions[1:]] == [ASKED, ANNOUNCED, ASKED]
    proceeding.account.write(json.dumps({"state": "approved", "answers": 4}))
    assert proceeding.call(event())["hookStatus"] == "IN_PROGRESS"
    proceeding.account.write(json.dumps({"state": "approved", "answers": 2}))
    assert proceeding.call(event()) == SUCCEEDED


def test_a_request_is_announced_by_the_call_whose_request_counts_and_by_no_other(
    proceeding: Proceeding, asked_twice: Callable[[], list[str]]
) -> None:
    # The first is about to try again, so the second has nothing to say.
    proceeding.account.cloud.faults.add(action="sns:Publish", error="Throttling", times=1)

    assert asked_twice() == ["IN_PROGRESS", "IN_PROGRESS"]
    assert proceeding.mails == []


def test_a_history_without_end_is_not_read_for_ever(
    proceeding: Proceeding, monkeypatch: pytest.MonkeyPatch
) -> None:
    poll = proceeding.ask()
    for _ in range(5):
        proceeding.account.write("hm")
    monkeypatch.setattr(parameter_store, "HISTORY_PAGE", 1)

    assert proceeding.call(poll) == FAILED
    assert proceeding.said("ERROR") == [f"refused: {REQUEST}: more versions than Parameter Store keeps"]


def test_a_permission_that_polling_needs_is_named_in_the_refusal(proceeding: Proceeding) -> None:
    second = proceeding.call(proceeding.ask())
    proceeding.deny("ssm:GetParameter")

    assert proceeding.call(polled(second)) == FAILED
    assert proceeding.said("ERROR") == [
        f"refused: the function's role may not ssm:GetParameter on {REQUEST}; add it to the role's policy"
    ]


def test_a_topic_that_may_not_be_used_is_named_and_keeps_nobody_from_deciding(proceeding: Proceeding) -> None:
    proceeding.deny("sns:Publish")
    poll = proceeding.ask()

    assert proceeding.said("ERROR") == [
        f"{REQUEST}: request can't be told on sns: the function's role may not sns:Publish on {TOPIC}; "
        "add it to the role's policy"
    ]
    proceeding.account.write("APPROVED")
    assert proceeding.call(poll) == SUCCEEDED


def test_a_request_that_can_t_be_closed_is_settled_all_the_same(proceeding: Proceeding) -> None:
    poll = proceeding.ask()
    proceeding.account.write("APPROVED")
    proceeding.deny("ssm:PutParameter")

    assert proceeding.call(poll) == SUCCEEDED
    assert proceeding.said("WARNING") == [
        f"{REQUEST}: settled but not marked as closed: the function's role may not ssm:PutParameter on "
        f"{REQUEST}; add it to the role's policy"
    ]


@pytest.mark.parametrize("action", ["ssm:*", "ecs:*", "sts:*", "*"])
def test_an_hour_of_throttling_before_anything_was_asked_is_waited_out(
    proceeding: Proceeding, action: str
) -> None:
    proceeding.account.cloud.faults.add(
        action=action, error="ThrottlingException", identity=HOOK, until=START + timedelta(hours=1)
    )
    replies = proceeding.follow(event(), hours=1, minutes=5)

    assert {reply["hookStatus"] for reply in replies} == {"IN_PROGRESS"}
    assert 20 <= len(replies) <= 55
    proceeding.account.write("APPROVED")
    assert proceeding.call(polled(replies[-1])) == SUCCEEDED


def test_a_deployment_that_ecs_never_knows_is_given_up_in_the_end(proceeding: Proceeding) -> None:
    proceeding.account.cloud.control_plane.deployments.clear()
    replies = proceeding.follow(event(details={"giveUpAfterMinutes": 30}), hours=2)

    assert replies[-1] == FAILED
    [said] = proceeding.said("ERROR")
    assert said.startswith("refused: gave up after 0:3")
    assert said.endswith(f": ecs:DescribeServiceDeployments does not know {DEPLOYMENT} (yet)")


def test_a_prefix_that_is_no_path_is_refused_by_name(proceeding: Proceeding) -> None:
    proceeding.variables["APPROVAL_PARAMETER_PREFIX"] = "approvals"

    assert proceeding.call(event()) == FAILED
    assert proceeding.said("ERROR") == [
        "refused: the function's environment variable APPROVAL_PARAMETER_PREFIX must name a path, "
        "such as /approvals"
    ]


@pytest.mark.parametrize(
    "forged",
    [
        {"version": 1},
        {"version": 1, "askedAt": "x", "expiresAt": "y"},
        {"version": True, "askedAt": "0001-01-01T00:00:00+23:59", "expiresAt": 7},
        {"version": "1", "askedAt": "2026-03-05T12:00:00Z", "expiresAt": "2999-01-01T00:00:00Z"},
        {"version": 99, "askedAt": "2026-03-05T12:00:00Z", "expiresAt": "2999-01-01T00:00:00Z"},
        {**SEEN, "version": 2.0, "quietUntil": "9999-12-31T23:59:59Z", "expiresAt": "9999-12-31T23:59:59Z"},
        {**SEEN, "askedAt": "9999-12-31T23:59:59Z"},
        {**SEEN, "quietUntil": None},
        {**SEEN, "quietUntil": "0001-01-01T00:00:00+23:59"},
        {**SEEN, "version": {"version": 2}},
        {"announced": "false", "version": []},
    ],
)
def test_forged_state_is_looked_behind(proceeding: Proceeding, forged: dict[str, Any]) -> None:
    proceeding.ask()

    assert proceeding.call(event(details=state(**forged)))["hookStatus"] == "IN_PROGRESS"
    proceeding.account.write("REJECTED")
    assert proceeding.call(event(details=state(**forged))) == FAILED
