"""PAUSE hooks in a rehearsal: EventBridge tells the function that asks, and the sweeper tells ECS."""

import json
from typing import Any

import pytest
from moto.sns.models import sns_backends
from moto.ssm.models import ssm_backends

from rehearsal.aws.cloud import ACCOUNT
from rehearsal.outcome import ActorSpoke, Outcome, PauseChanged
from rehearsal.scenario import Scenario
from rehearsal.world import REGION, Rehearsal

AT = "POST_TEST_TRAFFIC_SHIFT"
PAUSE = {"hook": "pause", "stages": [AT], "timeoutInMinutes": 60}


def rehearse(
    rehearsal: Rehearsal, *actors: dict[str, Any], switches: dict[str, str] | None = None, **parts: Any
) -> Outcome:
    scenario = {"name": "test", "hooks": [PAUSE], "actors": list(actors), "expect": {"status": "SUCCESSFUL"}}
    return rehearsal.run(Scenario.model_validate({**scenario, **parts}), switches=switches)


def spoken(outcome: Outcome, who: str) -> list[tuple[float, str]]:
    return [
        (seen.at, seen.text)
        for seen in outcome.happenings
        if isinstance(seen, ActorSpoke) and seen.actor == who
    ]


def pauses(outcome: Outcome) -> list[tuple[float, str]]:
    return [(seen.at, seen.status) for seen in outcome.happenings if isinstance(seen, PauseChanged)]


def requests() -> list[dict[str, Any]]:
    """Return what is in Parameter Store, each as it was first written."""
    everything = ssm_backends[ACCOUNT][REGION]._parameters
    return [json.loads(versions[0].value) for versions in everything.values()]


def mails() -> list[str]:
    [topic] = sns_backends[ACCOUNT][REGION].topics.values()
    return [str(subject) for _, _, subject, *_ in topic.sent_notifications]


def test_people_are_asked_by_the_policy_of_the_hook_a_second_after_it_began_to_wait(
    rehearsal: Rehearsal,
) -> None:
    outcome = rehearse(rehearsal, hooks=[{**PAUSE, "action": "CONTINUE", "policy": {"requiredApprovals": 3}}])

    [request] = requests()
    assert pauses(outcome) == [(66, "AWAITING_ACTION"), (66 + 3600, "TIMED_OUT")]
    assert (request["requestedAt"], request["expiresAt"]) == ("2026-03-02T09:01:07Z", "2026-03-02T10:01:06Z")
    assert (request["rules"]["requiredApprovals"], request["rules"]["onExpiry"]) == (3, "proceed")
    assert mails() == ["Approval needed: checkout in shop"]


def test_an_event_that_comes_twice_is_one_request_and_one_message(rehearsal: Rehearsal) -> None:
    rehearse(rehearsal, switches={"duplicate_delivery": "on"})

    assert (len(requests()), len(mails())) == (1, 1)


def test_a_function_that_fails_is_called_again_as_lambda_does(rehearsal: Rehearsal) -> None:
    outcome = rehearse(
        rehearsal,
        {"trouble": {"call": "ecs:DescribeServiceDeployments", "how": "throttled", "lasts": "2m"}},
    )

    problem = "fails: Transient: ecs:DescribeServiceDeployments on arn:"
    assert [(at, text.startswith(problem)) for at, text in spoken(outcome, "pause function")] == [(67, True)]
    assert [request["requestedAt"] for request in requests()] == ["2026-03-02T09:02:07Z"]


def test_a_function_that_keeps_failing_is_given_up_as_lambda_does(rehearsal: Rehearsal) -> None:
    outcome = rehearse(rehearsal, {"trouble": {"call": "ssm:*", "how": "denied", "lasts": "1h"}})

    assert [at for at, _ in spoken(outcome, "pause function")] == [67, 67 + 60, 67 + 60 + 120]
    assert (requests(), mails()) == ([], [])


def test_each_step_of_a_shift_is_asked_for_by_itself(rehearsal: Rehearsal) -> None:
    outcome = rehearse(
        rehearsal,
        {"approver": {"after": "2m", "each": True}},
        {"sweeper": {"every": "5m"}},
        hooks=[{**PAUSE, "stages": ["PRE_PRODUCTION_TRAFFIC_SHIFT"]}],
        strategy={"type": "CANARY"},
        switches={"pre_production_reported_as": "production"},
    )

    assert [status for _, status in pauses(outcome)] == ["AWAITING_ACTION", "SUCCEEDED"] * 2
    assert [text for _, text in spoken(outcome, "sweeper")] == [
        *["tells ECS what was decided on 1 request"] * 2,
        "moves 2 requests to the history",
    ]
    kept = requests()
    assert [(entry["stage"], entry["outcome"]) for entry in kept] == [
        ("PRE_PRODUCTION_TRAFFIC_SHIFT", "approved")
    ] * 2


def test_people_are_reminded_by_mail_while_nobody_answers(rehearsal: Rehearsal) -> None:
    outcome = rehearse(rehearsal, {"sweeper": {"every": "5m", "after": "5m"}})

    assert spoken(outcome, "sweeper")[:2] == [
        (35 * 60, "reminds people of 1 request"),
        (60 * 60, "reminds people of 1 request"),
    ]
    assert outcome.status == "ROLLBACK_SUCCESSFUL"
    assert [entry["outcome"] for entry in requests()] == ["expired"]


@pytest.mark.parametrize("action", ["CONTINUE", "ROLLBACK"])
def test_what_somebody_tells_ecs_itself_leaves_the_request_undecided(
    rehearsal: Rehearsal, action: str
) -> None:
    outcome = rehearse(
        rehearsal,
        {"continue": {"after": "10m", "action": action}},
        {"approver": {"after": "11m", "answer": "REJECTED"}},
        {"sweeper": {"every": "5m", "after": "5m"}},
    )

    assert [status for _, status in pauses(outcome)][1] == ("SUCCEEDED" if action == "CONTINUE" else "FAILED")
    assert [text for _, text in spoken(outcome, "sweeper")] == ["moves 1 request to the history"]
    # A rollback takes no answers; a deployment that goes on has one that came too late for the hook.
    assert [entry["outcome"] for entry in requests()] == ["rejected" if action == "CONTINUE" else "undecided"]


def test_a_sweeper_with_nothing_to_do_says_so_at_the_end_alone(rehearsal: Rehearsal) -> None:
    outcome = rehearse(rehearsal, {"sweeper": {"every": "5m", "after": "1m"}}, hooks=[])

    assert [text for _, text in spoken(outcome, "sweeper")] == ["finds nothing to do"]
