"""People who decide in the console of a rehearsal: what they do, and what comes of it."""

import json
from typing import Any

import pytest

from rehearsal.aws.identities import ALLOW_ALL
from rehearsal.outcome import ActorSpoke, Outcome
from rehearsal.scenario import Scenario
from rehearsal.world import Rehearsal, World

from .conftest import Tour

APPROVED = "approves in the console: Your approval is recorded."


def said(outcome: Outcome) -> list[tuple[str, str]]:
    return [(one.actor, one.text) for one in outcome.happenings if isinstance(one, ActorSpoke)]


def scenario(*actors: dict[str, Any], hook: dict[str, Any], **more: Any) -> Scenario:
    return Scenario.model_validate(
        {
            "name": "test",
            "hooks": [{"hook": "manual_approval", "stages": ["POST_TEST_TRAFFIC_SHIFT"], **hook}],
            "actors": [{"console": actor} for actor in actors],
            "expect": {"status": "SUCCESSFUL"},
            **more,
        }
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "approved-in-console",
            [
                ("alice", APPROVED),
                ("alice", "can't approve in the console: You have approved this"),
                ("bob", APPROVED),
            ],
        ),
        (
            "rejected-in-console",
            [("alice", APPROVED), ("bob", "rejects in the console: Your rejection is recorded.")],
        ),
        (
            "extended-then-approved",
            [("alice", "puts the expiry off in the console: The expiry is put off."), ("bob", APPROVED)],
        ),
        (
            "deployer-excluded",
            [
                (
                    "deployer",
                    "can't approve in the console: You are among those whom this service's rules exclude "
                    "from deciding",
                ),
                (
                    "carol",
                    "can't approve in the console: You may look at this service's requests, and not "
                    "decide them",
                ),
                ("alice", APPROVED),
            ],
        ),
        ("pause-in-console", [("alice", APPROVED), ("bob", APPROVED)]),
        (
            "stopped-in-console",
            [
                (
                    "alice",
                    "stops the deployment in the console: ECS is told to stop this deployment and roll it "
                    "back.",
                )
            ],
        ),
    ],
)
def test_people_do_what_the_scenarios_say(tour: Tour, name: str, expected: list[tuple[str, str]]) -> None:
    assert said(tour.outcomes[name]) == expected


def test_who_decided_is_whoever_the_provider_vouched_for(tour: Tour) -> None:
    records = [call.record for call in tour.outcomes["approved-in-console"].happenings if call.kind == "call"]

    reason = "approved by oidc:https://login.example.org#alice: tried the cart; "
    reason += "oidc:https://login.example.org#bob: and the checkout"
    assert records[-1] is not None
    assert records[-1]["verdict"] == {"answer": "proceed", "reason": reason}


def test_whoever_comes_when_all_is_over_finds_that_it_is(rehearsal: Rehearsal) -> None:
    outcome = rehearsal.run(
        scenario(
            {"name": "alice", "after": "5m"}, {"name": "bob", "after": "8m", "answer": "reject"}, hook={}
        )
    )

    assert outcome.status == "SUCCESSFUL"
    assert said(outcome) == [
        ("alice", APPROVED),
        ("bob", "can't reject in the console: checkout: Approved – ECS approvals"),
    ]


def test_a_reminder_is_not_another_request(rehearsal: Rehearsal) -> None:
    outcome = rehearsal.run(
        scenario(
            {"name": "alice", "after": "50m", "each": True},
            hook={"hookDetails": {"expiresAfterMinutes": 60}, "policy": {"requiredApprovals": 2}},
            expect={"status": "ROLLBACK_SUCCESSFUL"},
        )
    )

    assert outcome.as_expected
    assert said(outcome) == [("alice", APPROVED)]


def test_one_person_is_one_voice_in_the_console_and_out_of_it(rehearsal: Rehearsal) -> None:
    policy = {"requiredApprovals": 2, "personalSessions": ["arn:aws:sts::*:assumed-role/approver"]}
    outcome = rehearsal.run(
        scenario(
            hook={"hookDetails": {"expiresAfterMinutes": 60}, "policy": policy},
            actors=[{"approver": {"name": "alice", "after": "5m"}}, {"console": {"name": "alice"}}],
            expect={"status": "ROLLBACK_SUCCESSFUL", "because": {"manual_approval": "too few approvals"}},
        )
    )

    assert outcome.as_expected
    assert said(outcome)[1] == ("alice", "can't approve in the console: You have approved this")


def test_the_stack_has_what_its_functions_look_for(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: dict[str, Any] = {}

    def look(world: World, seed: int) -> Any:
        ssm, s3 = (world.cloud.client(name, user="admin", policies=[ALLOW_ALL]) for name in ("ssm", "s3"))
        setup = ssm.get_parameter(Name=f"{world.approval_prefix}-setup")["Parameter"]["Value"]
        found.update(json.loads(setup), buckets=[one["Name"] for one in s3.list_buckets()["Buckets"]])
        return play(world, seed)

    play = World.play
    monkeypatch.setattr(World, "play", look)
    rehearsal.run(scenario({"name": "alice"}, hook={}))

    role = "arn:aws:iam::123456789012:role/rehearsal-"
    assert found == {
        "hookRole": f"{role}ManualApprovalRole",
        "pauseRole": f"{role}ApprovalPauseRole",
        "consoleRole": f"{role}ApprovalConsoleRole",
        "consoleUrl": "https://approvals.example.com",
        "hookFunction": "arn:aws:lambda:us-east-1:123456789012:function:rehearsal-ManualApprovalFunction",
        "recordBucket": "decision-records",
        "buckets": ["decision-records"],
    }
