"""Actors: who does what, and when."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from rehearsal.actors import actor_of, kinds
from rehearsal.aws.identities import ALLOW_ALL
from rehearsal.outcome import ActorSpoke, Happening, HookCalled, Outcome, PauseChanged
from rehearsal.scenario import Scenario
from rehearsal.timing import EPOCH
from rehearsal.world import Rehearsal

# The approval hook's stage is reached this long after the start.
ASKED = 66
AT = "POST_TEST_TRAFFIC_SHIFT"
APPROVAL = {"hook": "manual_approval", "stages": [AT]}
WAITS = {
    "hook": "scripted",
    "stages": [AT],
    "replies": [{"hookStatus": "IN_PROGRESS"}],
    "timeoutInMinutes": 60,
}


def rehearse(rehearsal: Rehearsal, *actors: dict[str, Any], **parts: Any) -> Outcome:
    return rehearsal.run(
        Scenario.model_validate(
            {"name": "test", "actors": list(actors), "expect": {"status": "SUCCESSFUL"}, **parts}
        )
    )


def spoken(outcome: Outcome) -> list[tuple[float, str, str]]:
    return [(seen.at, seen.actor, seen.text) for seen in outcome.happenings if isinstance(seen, ActorSpoke)]


def test_every_actor_says_what_it_is() -> None:
    assert [kind for kind, cls in kinds().items() if not cls.__doc__] == []


def test_an_actor_without_settings_has_its_defaults() -> None:
    assert actor_of({"stop": None}) == actor_of({"stop": {}})


def test_an_actor_refuses_settings_it_does_not_know() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        actor_of({"stop": {"afer": 5}})


# alarm


@pytest.mark.parametrize(
    ("alarm", "goes_off"),
    [
        ({"after": "5m"}, 300),
        ({"since": "stage", "stage": AT, "after": "1m"}, ASKED + 60),
        ({"since": "stage", "after": "1m"}, 61),
        ({"since": "hook", "after": "1m"}, ASKED + 60),
        ({"since": "hook", "stage": AT}, ASKED),
    ],
    ids=str,
)
def test_an_alarm_goes_off_after_what_it_waits_for(
    rehearsal: Rehearsal, alarm: dict[str, Any], goes_off: float
) -> None:
    outcome = rehearse(rehearsal, {"alarm": alarm}, hooks=[WAITS], alarms=["green-5xx"])

    assert spoken(outcome) == [(goes_off, "CloudWatch", "alarm green-5xx goes off")]
    assert outcome.status == "ROLLBACK_SUCCESSFUL"
    assert outcome.duration_seconds == goes_off + 5


def test_an_alarm_nobody_listens_to_says_so(rehearsal: Rehearsal) -> None:
    outcome = rehearse(rehearsal, {"alarm": {"name": "other", "after": 60}}, alarms=["green-5xx"])

    assert spoken(outcome) == [(60, "CloudWatch", "alarm other goes off, and nobody listens any more")]
    assert outcome.status == "SUCCESSFUL"


# approver


def path(outcome: Outcome) -> str:
    return f"…/shop/checkout/{outcome.calls[0].deployment}"


@pytest.mark.parametrize(
    ("approver", "writes", "ends"),
    [
        ({"after": "2m"}, "APPROVED", "SUCCESSFUL"),
        ({"after": "2m", "answer": "REJECTED"}, "REJECTED", "ROLLBACK_SUCCESSFUL"),
        ({"after": "2m", "comment": "fine"}, '{"state": "APPROVED", "comment": "fine"}', "SUCCESSFUL"),
        ({"after": "2m", "text": "hm"}, "hm", "ROLLBACK_SUCCESSFUL"),
    ],
    ids=str,
)
def test_an_approver_writes_an_answer_some_time_after_the_request(
    rehearsal: Rehearsal, approver: dict[str, Any], writes: str, ends: str
) -> None:
    hook = {**APPROVAL, "hookDetails": {"expiresAfterMinutes": 5}}
    outcome = rehearse(rehearsal, {"approver": approver}, hooks=[hook])

    assert spoken(outcome) == [(ASKED + 120, "alice", f"writes {writes} to {path(outcome)}")]
    assert outcome.status == ends


def test_approvers_answer_the_requests_they_are_meant_to(rehearsal: Rehearsal) -> None:
    outcome = rehearse(
        rehearsal,
        {"approver": {"name": "alice", "after": "1m", "times": 2}},
        {"approver": {"name": "bob", "after": "2m", "skip": 2, "each": True}},
        strategy={"type": "LINEAR", "stepPercent": 25},
        hooks=[{"hook": "manual_approval", "stages": ["PRE_PRODUCTION_TRAFFIC_SHIFT"]}],
    )

    assert [(who, text.rpartition("/")[2]) for _, who, text in spoken(outcome)] == [
        ("alice", "step-from-0"),
        ("alice", "step-from-25"),
        ("bob", "step-from-50"),
        ("bob", "step-from-75"),
    ]
    assert outcome.status == "SUCCESSFUL"


def test_an_approver_can_be_too_early_or_answer_an_earlier_deployment(rehearsal: Rehearsal) -> None:
    outcome = rehearse(
        rehearsal,
        {"approver": {"name": "alice", "tooEarly": True}},
        {"approver": {"name": "bob", "onPrevious": True, "after": "1m"}},
        hooks=[{**APPROVAL, "hookDetails": {"expiresAfterMinutes": 5}}],
    )

    assert spoken(outcome) == [
        (0, "alice", f"writes APPROVED to {path(outcome)}"),
        (60, "bob", "writes APPROVED to …/shop/checkout/Earlier_one"),
    ]
    assert outcome.status == "ROLLBACK_SUCCESSFUL"


@pytest.mark.parametrize(
    "settings", [{"name": "a b"}, {"name": ""}, {"times": 0}, {"skip": -1}, {"answer": "YES"}]
)
def test_an_approver_that_can_not_be_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        actor_of({"approver": settings})


# stop, continue, release


@pytest.mark.parametrize(("kind", "ends"), [("ROLLBACK", "ROLLBACK_SUCCESSFUL"), ("ABORT", "STOPPED")])
def test_an_operator_stops_the_deployment(rehearsal: Rehearsal, kind: str, ends: str) -> None:
    outcome = rehearse(rehearsal, {"stop": {"after": "2m", "stopType": kind}}, hooks=[WAITS])

    assert spoken(outcome) == [(120, "oscar", f"stops the deployment ({kind})")]
    assert outcome.status == ends


def test_an_operator_who_comes_too_late_says_so(rehearsal: Rehearsal) -> None:
    outcome = rehearse(rehearsal, {"stop": {"after": "1d"}}, {"sweeper": {}})

    assert outcome.status == "SUCCESSFUL"
    assert [(at, text.split(":")[0]) for at, who, text in spoken(outcome) if who == "oscar"] == [
        (86_400, "can't stop the deployment")
    ]


def pauses(outcome: Outcome) -> list[tuple[float | None, str]]:
    return [(seen.step, seen.status) for seen in outcome.happenings if isinstance(seen, PauseChanged)]


def pause(*stages: str, **more: Any) -> dict[str, Any]:
    return {"hook": "pause", "stages": list(stages), **more}


def test_an_operator_answers_every_pause(rehearsal: Rehearsal) -> None:
    outcome = rehearse(
        rehearsal,
        {"continue": {"after": "30m"}},
        strategy={"type": "CANARY"},
        hooks=[pause("PRE_PRODUCTION_TRAFFIC_SHIFT")],
    )

    assert pauses(outcome) == [
        (5, "AWAITING_ACTION"),
        (5, "SUCCEEDED"),
        (100, "AWAITING_ACTION"),
        (100, "SUCCEEDED"),
    ]
    assert [text for *_, text in spoken(outcome)] == ["answers CONTINUE to the pause hook"] * 2
    assert outcome.status == "SUCCESSFUL"


def test_an_operator_leaves_after_so_many_pauses(rehearsal: Rehearsal) -> None:
    outcome = rehearse(
        rehearsal,
        {"continue": {"after": "30m", "times": 1}},
        strategy={"type": "CANARY"},
        hooks=[pause("PRE_PRODUCTION_TRAFFIC_SHIFT", timeoutInMinutes=60)],
    )

    assert pauses(outcome) == [
        (5, "AWAITING_ACTION"),
        (5, "SUCCEEDED"),
        (100, "AWAITING_ACTION"),
        (100, "TIMED_OUT"),
    ]
    assert outcome.status_reason == (
        "Service deployment rolled back because PRE_PRODUCTION_TRAFFIC_SHIFT pause hook timed out."
    )


def test_an_operator_rolls_back_at_a_pause(rehearsal: Rehearsal) -> None:
    outcome = rehearse(rehearsal, {"continue": {"action": "ROLLBACK"}}, hooks=[pause(AT)])

    assert pauses(outcome) == [(None, "AWAITING_ACTION"), (None, "FAILED")]
    assert outcome.status == "ROLLBACK_SUCCESSFUL"


def test_an_answer_to_a_pause_of_a_superseded_deployment_is_refused(rehearsal: Rehearsal) -> None:
    outcome = rehearse(
        rehearsal, {"continue": {"after": "30m"}}, {"release": {"after": "10m"}}, hooks=[pause(AT)]
    )

    assert [text for _, who, text in spoken(outcome) if who == "oscar"] == [
        (
            "can't answer: Continuing a service deployment is not allowed for service deployment in "
            "terminal states."
        ),
        "answers CONTINUE to the pause hook",
    ]


def test_a_release_supersedes_the_deployment_under_way(rehearsal: Rehearsal) -> None:
    outcome = rehearse(
        rehearsal,
        {"release": {"after": "10m"}},
        hooks=[
            {
                **WAITS,
                "replies": [
                    {"hookStatus": "IN_PROGRESS", "callBackDelay": 3600},
                    {"hookStatus": "SUCCEEDED"},
                ],
            }
        ],
        expect={"status": "STOPPED", "later": {"2": "SUCCESSFUL"}},
    )

    assert spoken(outcome) == [(600, "pipeline", "starts a newer deployment")]
    assert outcome.as_expected


# trouble, sweeper, repairer


@pytest.mark.parametrize("how", ["throttled", "failing"])
def test_trouble_passes_and_the_answer_still_counts(rehearsal: Rehearsal, how: str) -> None:
    outcome = rehearse(
        rehearsal,
        {"trouble": {"call": "ssm:*", "how": how, "after": "2m", "lasts": "30m"}},
        {"approver": {"after": "10m"}},
        hooks=[APPROVAL],
    )

    assert [(at, text) for at, who, text in spoken(outcome) if who == "AWS"] == [
        (120, f"ssm:* is {how}"),
        (1920, "ssm:* works again"),
    ]
    assert outcome.status == "SUCCESSFUL"
    assert outcome.calls[-1].at >= 1920


def test_a_missing_permission_is_refused_at_once(rehearsal: Rehearsal) -> None:
    outcome = rehearse(
        rehearsal, {"trouble": {"call": "ssm:PutParameter", "how": "denied", "lasts": "1d"}}, hooks=[APPROVAL]
    )

    assert [call.answer for call in outcome.calls] == ["FAILED"]
    assert outcome.calls[0].record is not None
    assert "ssm:PutParameter" in outcome.calls[0].record["verdict"]["reason"]


def test_a_call_that_takes_effect_may_stay_unanswered(rehearsal: Rehearsal) -> None:
    outcome = rehearse(
        rehearsal,
        {"trouble": {"call": "ssm:PutParameter", "how": "unanswered", "lasts": "5m"}},
        hooks=[{**APPROVAL, "hookDetails": {"expiresAfterMinutes": 5}}],
    )

    # The hook did not hear of its own write, and finds it.
    written = rehearsal.cloud.client("ssm", user="admin").describe_parameters()["Parameters"]
    assert [(one["Name"].rpartition("/")[2], outcome.calls[0].answer) for one in written] == [
        (outcome.calls[0].deployment, "IN_PROGRESS")
    ]


REQUESTS = {
    "Id": "m",
    "MetricStat": {
        "Metric": {
            "Namespace": "AWS/ApplicationELB",
            "MetricName": "RequestCount",
            "Dimensions": [
                {"Name": "LoadBalancer", "Value": "app/shop/50dc6c495c0c9188"},
                {"Name": "TargetGroup", "Value": "targetgroup/checkout-a/6d0ecf831eec9f09"},
            ],
        },
        "Period": 60,
        "Stat": "Sum",
    },
}


@pytest.mark.parametrize(
    ("how", "whose", "begins", "there"),
    [
        ({"how": "partial"}, "", "answers PartialData", ("PartialData", -60, -31)),
        ({"how": "internal-error"}, "", "answers InternalError", ("InternalError", None, None)),
        ({"how": "late"}, "", "finds nothing of the last 300 s", ("Complete", -60, -3)),
        ({"how": "late", "lateBy": "10m"}, "", "finds nothing of the last 600 s", ("Complete", -60, -8)),
        (
            {"how": "partial", "whose": "workers"},
            " for workers",
            "answers PartialData",
            ("Complete", -60, 0),
        ),
    ],
    ids=str,
)
def test_metrics_can_be_incomplete(
    rehearsal: Rehearsal, how: dict[str, Any], whose: str, begins: str, there: tuple[Any, ...]
) -> None:
    seen: dict[str, tuple[Any, ...]] = {}

    def look(happening: Happening) -> None:
        if not isinstance(happening, ActorSpoke) or happening.actor != "AWS":
            return
        client = rehearsal.cloud.client(
            "cloudwatch", role="CanaryFunctionRole", session="CanaryFunction", policies=[ALLOW_ALL]
        )
        (result,) = client.get_metric_data(
            StartTime=EPOCH - timedelta(hours=2),
            EndTime=EPOCH + timedelta(hours=2),
            MetricDataQueries=[REQUESTS],
            ScanBy="TimestampAscending",
        )["MetricDataResults"]
        minutes = [(time - EPOCH) // timedelta(minutes=1) for time in result["Timestamps"]] or [None]
        seen[happening.text] = (result["StatusCode"], minutes[0], minutes[-1])

    trouble = {"call": "cloudwatch:GetMetricData", "after": "2m10s", "lasts": "5m", **how}
    actors = [{"traffic": {"requestsPerMinute": 100}}, {"trouble": trouble}]
    hooks = [{**WAITS, "timeoutInMinutes": 30}]
    expect = {"status": "ROLLBACK_SUCCESSFUL"}
    rehearsal.run(
        Scenario.model_validate({"name": "test", "actors": actors, "hooks": hooks, "expect": expect}),
        saw=look,
    )

    assert seen == {
        f"cloudwatch:GetMetricData {begins}{whose}": there,
        f"cloudwatch:GetMetricData works again{whose}": ("Complete", -60, 5),
    }


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        ({"call": "ssm:*", "how": "partial"}, "only cloudwatch:GetMetricData can be partial, not ssm:\\*"),
        (
            {"call": "cloudwatch:PutMetricData", "how": "late"},
            "only cloudwatch:GetMetricData can be late, not cloudwatch:PutMetricData",
        ),
        ({"call": "cloudwatch:*", "lateBy": "2m"}, "lateBy belongs to late, not to throttled"),
    ],
)
def test_a_trouble_that_the_call_can_not_have_is_refused(trouble: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        actor_of({"trouble": trouble})


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_function_that_dies_in_a_call_rolls_the_deployment_back(rehearsal: Rehearsal, moment: str) -> None:
    outcome = rehearse(rehearsal, {"crash": {"moment": moment}}, hooks=[APPROVAL])

    assert spoken(outcome) == [(ASKED, "Lambda", f"the function dies {moment} its call of ssm:PutParameter")]
    assert (outcome.status, [call.answer for call in outcome.calls]) == ("ROLLBACK_SUCCESSFUL", ["INVALID"])
    assert "HookStatus must not be null" in (outcome.calls[0].error or "")
    written = rehearsal.cloud.client("ssm", user="admin").describe_parameters()["Parameters"]
    assert len(written) == (1 if moment == "after" else 0)


def test_a_crash_can_let_calls_pass_first(rehearsal: Rehearsal) -> None:
    outcome = rehearse(
        rehearsal,
        {"crash": {"call": "ssm:GetParameter*", "skip": 3, "moment": "before"}},
        hooks=[{**APPROVAL, "hookDetails": {"expiresAfterMinutes": 30}}],
    )

    assert [call.answer for call in outcome.calls] == ["IN_PROGRESS", "IN_PROGRESS", "INVALID"]


def test_the_sweeper_moves_what_a_turned_back_deployment_left_to_the_history(rehearsal: Rehearsal) -> None:
    outcome = rehearse(rehearsal, {"stop": {"after": "2m"}}, {"sweeper": {"after": "1h"}}, hooks=[APPROVAL])

    assert spoken(outcome)[-1] == (
        outcome.duration_seconds + 3600,
        "sweeper",
        "moves 1 request to the history",
    )


def test_a_sweeper_that_fails_says_so(rehearsal: Rehearsal) -> None:
    outcome = rehearse(
        rehearsal,
        {"sweeper": {"after": "1h"}},
        {"trouble": {"call": "ssm:*", "how": "denied", "lasts": "2d"}},
    )

    assert [text for _, who, text in spoken(outcome) if who == "sweeper"] == ["fails; its log says why"]


def test_the_repairer_comes_again_and_again_once_the_deployment_has_ended(rehearsal: Rehearsal) -> None:
    outcome = rehearse(rehearsal, {"repairer": {"every": "10m", "times": 2}}, {"edit": {"text": "so?"}})

    assert spoken(outcome)[1:] == [
        (outcome.duration_seconds + 600, "repairer", "services: repaired 1"),
        (outcome.duration_seconds + 1200, "repairer", "services: repaired 1"),
    ]


def test_a_repairer_without_anything_to_look_at_says_so(rehearsal: Rehearsal) -> None:
    outcome = rehearse(rehearsal, {"repairer": {"times": 1}})

    assert spoken(outcome) == [(outcome.duration_seconds + 300, "repairer", "services: none")]


def test_a_repairer_that_fails_says_so(rehearsal: Rehearsal) -> None:
    outcome = rehearse(
        rehearsal,
        {"repairer": {"times": 1}},
        {"trouble": {"call": "ssm:*", "how": "denied", "lasts": "2d"}},
    )

    assert [text for _, who, text in spoken(outcome) if who == "repairer"] == ["fails; its log says why"]


def test_nobody_acts_after_the_deployment_unless_there_is_a_sweeper(rehearsal: Rehearsal) -> None:
    outcome = rehearse(rehearsal, {"release": {"after": "1d"}})

    assert spoken(outcome) == []
    assert not any(isinstance(seen, HookCalled) for seen in outcome.happenings)
