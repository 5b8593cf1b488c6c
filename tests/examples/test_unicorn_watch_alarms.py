"""What rolls the reference system's deployments back by itself, see docs/alarms.md."""

import json
from typing import Any

import pytest

from hooks.canary_comparison.settings import CanarySettings
from tests.examples.unicorn_watch_stack import (
    ALARM_TOPIC,
    BALANCED,
    SERVICES,
    found,
    hook,
    less,
    resource,
    service,
)

ALARM = "AWS::CloudWatch::Alarm"

APPLICATION = ("AWS/ApplicationELB", "Foundation.ApplicationLoadBalancer")
NETWORK = ("AWS/NetworkELB", "Foundation.NetworkLoadBalancer")
REQUESTS, ERRORS = ("RequestCount", "Sum"), ("HTTPCode_Target_5XX_Count", "Sum")
UNHEALTHY = ("UnHealthyHostCount", "Maximum")

WORSE_ERRORS = (
    "MAX([ IF(FILL(requests_a, 0) >= 20, 100 * FILL(errors_a, 0) / FILL(requests_a, 1), 0),"
    " IF(FILL(requests_b, 0) >= 20, 100 * FILL(errors_b, 0) / FILL(requests_b, 1), 0)])"
)
WORSE_HEALTH = "MAX([FILL(unhealthy_a, 0), FILL(unhealthy_b, 0)])"

BOTH_ERRORS = {
    "requests_a": (REQUESTS, "TargetGroupA"),
    "errors_a": (ERRORS, "TargetGroupA"),
    "requests_b": (REQUESTS, "TargetGroupB"),
    "errors_b": (ERRORS, "TargetGroupB"),
}
BOTH_HEALTH = {"unhealthy_a": (UNHEALTHY, "TargetGroupA"), "unhealthy_b": (UNHEALTHY, "TargetGroupB")}

# No data is no alarm, and of one people hear as well.
TELLS = {"TreatMissingData": "notBreaching", "AlarmActions": [ALARM_TOPIC]}


def alarm(name: str) -> dict[str, Any]:
    [only] = service(name).deployment["Alarms"]["AlarmNames"]
    return found(only, ALARM).properties


def measured(name: str) -> dict[str, Any]:
    """Return metrics by id: what, how it is summed up each minute, and of which dimensions."""
    stats = {one["Id"]: one["MetricStat"] for one in alarm(name)["Metrics"] if "MetricStat" in one}
    return {
        key: (
            stat["Metric"]["Namespace"],
            (stat["Metric"]["MetricName"], stat["Stat"]),
            stat["Period"],
            {one["Name"]: one["Value"] for one in stat["Metric"]["Dimensions"]},
        )
        for key, stat in stats.items()
    }


def full_name(arn: str) -> str:
    """Return a load balancer or a target group as CloudWatch's dimensions have it."""
    return arn.rpartition(":")[2].removeprefix("loadbalancer/")


@pytest.mark.parametrize("name", SERVICES)
def test_a_circuit_breaker_and_an_alarm_roll_back_too(name: str) -> None:
    deployment = service(name).deployment

    assert less(deployment["Alarms"], "AlarmNames") == {"Enable": True, "Rollback": True}
    assert alarm(name)["TreatMissingData"] == "notBreaching"
    assert deployment["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}


@pytest.mark.parametrize(
    ("name", "stack", "balancer", "metrics"),
    [
        ("ui", "Ui", APPLICATION, BOTH_ERRORS),
        ("catalog", "Catalog", APPLICATION, BOTH_ERRORS),
        ("streaming", "Streaming", NETWORK, BOTH_HEALTH),
    ],
)
def test_an_alarm_looks_at_both_target_groups_because_either_may_be_green(
    name: str, stack: str, balancer: tuple[str, str], metrics: dict[str, tuple[tuple[str, str], str]]
) -> None:
    namespace, load_balancer = balancer

    assert measured(name) == {
        key: (
            namespace,
            what,
            60,
            {
                "LoadBalancer": full_name(resource(load_balancer).arn),
                "TargetGroup": full_name(resource(f"{stack}.{group}").arn),
            },
        )
        for key, (what, group) in metrics.items()
    }


@pytest.mark.parametrize(
    ("name", "expression"), [("ui", WORSE_ERRORS), ("catalog", WORSE_ERRORS), ("streaming", WORSE_HEALTH)]
)
def test_the_worse_of_both_groups_decides_for_an_average_would_hide_a_tenth_of_the_traffic(
    name: str, expression: str
) -> None:
    metrics = alarm(name)["Metrics"]
    [judged] = [metric for metric in metrics if metric["ReturnData"]]

    assert (judged["Id"], " ".join(judged["Expression"].split())) == ("worse", expression)
    assert [metric for metric in metrics if "Expression" in metric] == [judged]


@pytest.mark.parametrize(
    ("name", "threshold", "minutes", "bad"), [("ui", 5, 5, 2), ("catalog", 5, 5, 2), ("streaming", 0, 6, 4)]
)
def test_it_takes_some_bad_minutes_of_some_for_the_newest_may_not_be_published_yet(
    name: str, threshold: int, minutes: int, bad: int
) -> None:
    assert less(alarm(name), "AlarmDescription", "Metrics") == {
        "Threshold": threshold,
        "ComparisonOperator": "GreaterThanThreshold",
        "EvaluationPeriods": minutes,
        "DatapointsToAlarm": bad,
        **TELLS,
    }


def test_the_backlog_s_alarm_is_of_the_queue_that_the_worker_receives_from() -> None:
    assert less(alarm("notifications"), "AlarmDescription") == {
        "Namespace": "AWS/SQS",
        "MetricName": "ApproximateAgeOfOldestMessage",
        "Dimensions": [
            {"Name": "QueueName", "Value": resource("Notifications.Queue").properties["QueueName"]}
        ],
        "Statistic": "Maximum",
        "Period": 60,
        "EvaluationPeriods": 3,
        "Threshold": 300,
        "ComparisonOperator": "GreaterThanThreshold",
        **TELLS,
    }


def test_blue_is_kept_until_its_alarm_could_have_rung() -> None:
    bakes = {name: service(name).deployment["BakeTimeInMinutes"] for name in SERVICES}
    backlog = alarm("notifications")

    assert bakes == {"ui": 10, "catalog": 15, "notifications": 10, "streaming": 15}
    assert [name for name in BALANCED if bakes[name] < alarm(name)["EvaluationPeriods"]] == []
    assert bakes["notifications"] * 60 >= (
        backlog["Threshold"] + backlog["EvaluationPeriods"] * backlog["Period"]
    )


def test_a_canary_is_held_and_baked_until_its_alarm_could_have_rung() -> None:
    details = hook(service("catalog"), "canary_comparison").details
    held = CanarySettings.model_validate(json.loads(str(details))).hold_minutes
    baked = service("catalog").deployment["CanaryConfiguration"]["CanaryBakeTimeInMinutes"]

    assert (held, baked) == (10, 10)
    assert min(held, baked) >= alarm("catalog")["EvaluationPeriods"]
