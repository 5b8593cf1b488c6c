"""The comparison's reading of CloudWatch, against the rehearsal's CloudWatch and answers made up."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.stub import Stubber

from hooks.canary_comparison import cloudwatch, sources
from hooks.canary_comparison.observation import MINUTE, Kind, Observation, Reading, Split
from hooks.canary_comparison.settings import PRESETS, AlbMetric, CloudWatchMetric, EmfMetric
from hooks.canary_comparison.window import Window
from rehearsal.aws.cloud import Cloud
from shared.clients import client
from shared.errors import Misconfigured, Transient
from shared.lifecycle import ServiceRevisionArn
from shared.revision import Revision
from tests.shared.checkout import BLUE as BLUE_ARN
from tests.shared.checkout import GREEN as GREEN_ARN
from tests.shared.checkout import REGION, TASK_DEFINITION

START = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
LOAD_BALANCER = "app/shop/50dc6c495c0c9188"
GROUPS = {GREEN_ARN: "targetgroup/shop-b/73e2", BLUE_ARN: "targetgroup/shop-a/6d0e"}
ACTION = "cloudwatch:GetMetricData"
ALLOWED = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ACTION, "Resource": "*"}],
}
LAG = timedelta(minutes=2)
ERRORS = AlbMetric(source="alb", measure="errors")
SLOW = AlbMetric.model_validate({"source": "alb", "measure": "slow", "slowAboveSeconds": 0.25})


def revision(arn: ServiceRevisionArn) -> Revision:
    group = f"arn:aws:elasticloadbalancing:{REGION}:123456789012:{GROUPS[arn]}"
    return Revision(arn, TASK_DEFINITION, (), (group,), None, load_balancers=(LOAD_BALANCER,))


GREEN, BLUE = revision(GREEN_ARN), revision(BLUE_ARN)


def at(minute: float) -> datetime:
    return START + minute * MINUTE


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with Cloud(region=REGION, seed=1) as cloud, cloud.acting_as("CanaryRole", policies=[ALLOWED]):
        yield cloud
        assert cloud.defects == []


def serve(
    cloud: Cloud,
    arn: ServiceRevisionArn,
    minute: float,
    *,
    requests: float = 0,
    errors: float = 0,
    seconds: tuple[float, ...] = (),
) -> None:
    """Let the load balancer report one minute: counts only where there is something to count."""
    dimensions = {"LoadBalancer": LOAD_BALANCER, "TargetGroup": GROUPS[arn]}
    counts = {"RequestCount": requests, "HTTPCode_Target_5XX_Count": errors}
    found = {name: (count, "Count") for name, count in counts.items() if count}
    cloud.publish_metrics("AWS/ApplicationELB", dimensions, found, at(minute))
    for value in seconds:
        took = {"TargetResponseTime": (value, "Seconds")}
        cloud.publish_metrics("AWS/ApplicationELB", dimensions, took, at(minute))


def look(*metrics: Any, minutes: float = 3, until: float = 60) -> Mapping[str, Observation]:
    """Look when so many minutes are closed."""
    return cloudwatch.observe(metrics, GREEN, BLUE, Window(START, at(until)), at(minutes) + LAG)


def serve_three_minutes(cloud: Cloud) -> None:
    for minute in range(-60, 0):
        serve(cloud, BLUE_ARN, minute, requests=4, seconds=(0.1, 0.1, 0.1, 0.2))
    for minute in range(3):
        serve(cloud, BLUE_ARN, minute, requests=90, errors=minute, seconds=(0.1, 0.2, 0.3))
    serve(cloud, GREEN_ARN, 0, requests=10, seconds=(0.1, 0.2))
    serve(cloud, GREEN_ARN, 2, requests=12, errors=3, seconds=(0.25, 0.4, 0.5))


NO_GREEN = "green: no {} of targetgroup/shop-b/73e2 in 1 of 3 minutes"
SEEN = {
    "errors": Observation(
        "errors",
        Kind.PROPORTION,
        (Split(at(0), 0, 10, 0, 90), Split(at(2), 3, 12, 2, 90)),
        (at(1),),
        NO_GREEN.format("RequestCount"),
    ),
    "connectionErrors": Observation(
        "connectionErrors",
        Kind.PROPORTION,
        (Split(at(0), 0, 10, 0, 90), Split(at(2), 0, 12, 0, 90)),
        (at(1),),
        NO_GREEN.format("RequestCount"),
    ),
    "slow": Observation(
        "slow",
        Kind.SLOW,
        (Split(at(0), 0, 2, 1, 3), Split(at(2), 3, 3, 1, 3)),
        (at(1),),
        NO_GREEN.format("SampleCount of TargetResponseTime"),
        threshold=0.2,
    ),
}


def test_the_preset_takes_two_calls_and_says_what_the_load_balancer_counted(cloud: Cloud) -> None:
    serve_three_minutes(cloud)

    with cloud.recording() as calls, cloud.enforcing_iam():
        assert look(*PRESETS["alb"]) == SEEN

    assert [(call.action, call.resource) for call in calls] == [(ACTION, "*")] * 2


def test_one_call_is_enough_where_it_is_said_what_is_slow(cloud: Cloud) -> None:
    serve_three_minutes(cloud)

    with cloud.recording() as calls:
        found = look(ERRORS, SLOW)

    assert found["errors"] == SEEN["errors"]
    assert found["slow"].minutes == (Split(at(0), 0, 2, 1, 3), Split(at(2), 2, 3, 1, 3))
    assert found["slow"].threshold == 0.25
    assert [call.action for call in calls] == [ACTION]


def test_the_threshold_stays_what_it_was_when_both_began_to_serve(cloud: Cloud) -> None:
    serve_three_minutes(cloud)
    slow = PRESETS["alb"][2]

    first = look(slow)["slow"].threshold
    for minute in range(60):
        serve(cloud, BLUE_ARN, minute, requests=5, seconds=(5.0,) * 5)

    assert look(slow, minutes=50)["slow"].threshold == first == 0.2


def test_without_an_hour_before_nothing_is_known_to_be_slow(cloud: Cloud) -> None:
    serve(cloud, BLUE_ARN, 0, requests=3, seconds=(0.1,))
    serve(cloud, GREEN_ARN, 0, requests=3, seconds=(0.1,))

    assert look(PRESETS["alb"][2], minutes=1) == {
        "slow": Observation(
            "slow",
            Kind.SLOW,
            (),
            (at(0),),
            "blue served no request in the hour before, so no threshold for slow requests is known; set "
            "slowAboveSeconds",
        )
    }


@pytest.mark.parametrize("points", [1, 2, 3, 7, 100])
def test_pages_change_nothing(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, points: int) -> None:
    serve_three_minutes(cloud)
    monkeypatch.setattr(cloudwatch, "PAGE_POINTS", points)

    assert look(*PRESETS["alb"]) == SEEN


def test_several_calls_change_nothing(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_three_minutes(cloud)
    monkeypatch.setattr(sources, "MAX_QUERIES", 5)

    with cloud.recording() as calls:
        assert look(*PRESETS["alb"]) == SEEN

    assert len(calls) == 1 + 3


def test_there_is_an_end_to_pages(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_three_minutes(cloud)
    monkeypatch.setattr(cloudwatch, "PAGE_POINTS", 1)
    monkeypatch.setattr(cloudwatch, "MAX_PAGES", 3)

    with pytest.raises(Misconfigured) as refused:
        look(ERRORS)

    assert str(refused.value) == f"{ACTION} on AWS/ApplicationELB: more than 3 pages"


def test_minutes_that_are_not_closed_are_not_used_whatever_is_known_of_them(cloud: Cloud) -> None:
    serve_three_minutes(cloud)
    eager = AlbMetric.model_validate({"source": "alb", "measure": "errors", "name": "eager", "lagSeconds": 0})

    found = look(ERRORS, eager, minutes=0.9)
    assert found["errors"] == Observation("errors", Kind.PROPORTION, ())
    assert [split.start for split in found["eager"].minutes] == [at(0)]
    assert found["eager"].missing == (at(1),)
    # The window is over: what comes after is not of this step.
    assert look(ERRORS, until=1)["errors"].minutes == (Split(at(0), 0, 10, 0, 90),)


def test_before_the_first_minute_is_closed_cloudwatch_is_not_asked(cloud: Cloud) -> None:
    with cloud.recording() as calls:
        assert look(*PRESETS["alb"], minutes=0.9) == {
            metric.name: Observation(metric.name, metric.kind, ()) for metric in PRESETS["alb"]
        }

    assert calls == []


def test_a_minute_that_comes_late_is_known_once_it_is_there(cloud: Cloud) -> None:
    serve_three_minutes(cloud)
    assert look(ERRORS)["errors"].missing == (at(1),)

    serve(cloud, GREEN_ARN, 1, requests=11, errors=1)

    assert look(ERRORS)["errors"] == Observation(
        "errors",
        Kind.PROPORTION,
        (Split(at(0), 0, 10, 0, 90), Split(at(1), 1, 11, 1, 90), Split(at(2), 3, 12, 2, 90)),
    )


def test_metrics_of_one_s_own_are_read_as_they_are_written(cloud: Cloud) -> None:
    for arn, paid, took in ((GREEN_ARN, 8, (10.0, 900.0)), (BLUE_ARN, 70, (10.0, 20.0))):
        dimensions = {"Revision": arn.id, "Stage": "prod"}
        cloud.publish_metrics("Shop", dimensions, {"Payments": (paid, "Count")}, at(0))
        for value in took:
            cloud.publish_metrics("Shop", dimensions, {"Took": (value, "Milliseconds")}, at(0))
    cloud.publish_metrics(
        "Shop", {"Revision": BLUE_ARN.id, "Stage": "prod"}, {"Declined": (7, "Count")}, at(0)
    )
    known = {"source": "emf", "namespace": "Shop", "dimensions": {"Stage": "prod", "Revision": "{revision}"}}

    found = look(
        EmfMetric.model_validate(
            {**known, "name": "a", "kind": "proportion", "bad": "Declined", "total": "Payments"}
        ),
        EmfMetric.model_validate({**known, "name": "b", "kind": "slow", "value": "Took", "above": 500}),
        EmfMetric.model_validate(
            {**known, "name": "c", "kind": "gauge", "value": "Took", "direction": "increase"}
        ),
        minutes=1,
    )

    assert found == {
        "a": Observation("a", Kind.PROPORTION, (Split(at(0), 0, 8, 7, 70),)),
        "b": Observation("b", Kind.SLOW, (Split(at(0), 1, 2, 0, 2),)),
        "c": Observation("c", Kind.GAUGE, (Reading(at(0), 455.0, 15.0),)),
    }


def stat(name: str, colour: str) -> dict[str, Any]:
    dimensions = [{"Name": "Revision", "Value": f"{{{colour}}}"}]
    metric = {"Namespace": "Shop", "MetricName": name, "Dimensions": dimensions}
    return {"Metric": metric, "Stat": "Sum", "Period": 60, "Unit": "Count"}


def test_metric_math_is_cloudwatch_s_own(cloud: Cloud) -> None:
    for arn, lost, timed_out in ((GREEN_ARN, 3, 2), (BLUE_ARN, 1, 0)):
        values = {"Lost": (lost, "Count"), "TimedOut": (timed_out, "Count"), "Orders": (100, "Count")}
        cloud.publish_metrics("Shop", {"Revision": arn.id}, values, at(0))
        cloud.publish_metrics("Shop", {"Revision": arn.id}, {"Lost": (50, "None")}, at(0))
    queries = [
        query
        for letter, colour in (("g", "green"), ("b", "blue"))
        for query in (
            {"Id": f"{letter}1", "MetricStat": stat("Lost", colour)},
            {"Id": f"{letter}2", "MetricStat": stat("TimedOut", colour)},
            {"Id": f"{letter}3", "MetricStat": stat("Orders", colour)},
            {"Id": f"{letter}bad", "Expression": f"SUM([{letter}1, {letter}2])"},
        )
    ]
    metric = {
        "source": "cloudWatch",
        "kind": "proportion",
        "queries": queries,
        "green": {"bad": "gbad", "total": "g3"},
        "blue": {"bad": "bbad", "total": "b3"},
    }

    # Twice, so that both have queries of the same name.
    found = look(
        *(CloudWatchMetric.model_validate({**metric, "name": name}) for name in ("one", "two")), minutes=1
    )

    assert found == {
        name: Observation(name, Kind.PROPORTION, (Split(at(0), 5, 100, 1, 100),)) for name in ("one", "two")
    }


def test_where_slow_requests_can_t_be_counted_they_are_not_taken_for_none(cloud: Cloud) -> None:
    serve(cloud, BLUE_ARN, 0, requests=3, seconds=(0.1, 0.2, 0.3))
    # Sets of statistics, of which CloudWatch can't tell how many values are above another.
    put = cloud.client("cloudwatch", user="admin").put_metric_data
    for arn, highest in ((GREEN_ARN, 0.9), (BLUE_ARN, 0.2)):
        dimensions = [{"Name": name, "Value": value} for name, value in (("Revision", arn.id),)]
        values = {"Sum": 1.0, "SampleCount": 5.0, "Minimum": 0.01, "Maximum": highest}
        datum = {
            "MetricName": "Took",
            "Dimensions": dimensions,
            "Timestamp": at(0),
            "StatisticValues": values,
        }
        put(Namespace="Shop", MetricData=[datum])
    metric = {"source": "emf", "namespace": "Shop", "dimensions": {"Revision": "{revision}"}}
    metric |= {"name": "took", "kind": "slow", "value": "Took"}

    below = look(EmfMetric.model_validate({**metric, "above": 1.0}), minutes=1)
    above = look(EmfMetric.model_validate({**metric, "above": 0.5}), minutes=1)

    assert below["took"] == Observation("took", Kind.SLOW, (Split(at(0), 0, 5, 0, 5),))
    assert above["took"] == Observation(
        "took",
        Kind.SLOW,
        (),
        (at(0),),
        f"green: no TC(0.5:) of Took of Shop (Revision={GREEN_ARN.id}), though the highest value is above "
        "0.5, in 1 of 1 minutes",
    )


# ------------------------------------------------------------------------------------ errors


def test_a_missing_permission_is_named(cloud: Cloud) -> None:
    with (
        cloud.acting_as("OtherRole", policies=[]),
        cloud.enforcing_iam(),
        pytest.raises(Misconfigured) as denied,
    ):
        look(ERRORS)

    assert str(denied.value) == (
        f"the function's role may not {ACTION} on AWS/ApplicationELB; add it to the role's policy"
    )


@pytest.mark.parametrize(("error", "status"), [("ThrottlingException", 400), ("InternalServiceFault", 500)])
def test_what_may_pass_is_left_to_pass(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, error: str, status: int
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    cloud.faults.add(action=ACTION, error=error, status=status)

    with cloud.acting_as("PatientRole", policies=[ALLOWED]), pytest.raises(Transient) as failed:
        look(ERRORS)

    assert str(failed.value) == f"{ACTION} on AWS/ApplicationELB: {error}"


def test_what_cloudwatch_refuses_is_told_in_its_words(cloud: Cloud) -> None:
    cloud.faults.add(action=ACTION, error="ValidationError", message="no such statistic")
    metrics = (
        EmfMetric.model_validate(
            {
                "source": "emf",
                "name": name,
                "namespace": name,
                "kind": "gauge",
                "value": "Depth",
                "direction": "increase",
                "dimensions": {"Revision": "{revision}"},
            }
        )
        for name in "ABCDE"
    )

    with pytest.raises(Misconfigured) as refused:
        look(*metrics)

    assert str(refused.value) == f"{ACTION} on A, B, C and 2 more: ValidationError: 'no such statistic'"


@contextmanager
def answering(*pages: dict[str, Any]) -> Iterator[None]:
    """Let CloudWatch give these pages."""
    with Stubber(client("cloudwatch")) as stubber:
        for page in pages:
            stubber.add_response("get_metric_data", page)
        yield
        stubber.assert_no_pending_responses()


def result(name: str, *values: float, status: str | None = "Complete", **more: Any) -> dict[str, Any]:
    times = [at(number) for number in range(len(values))]
    said = {"StatusCode": status} if status else {}
    return {"Id": name, "Label": name, "Timestamps": times, "Values": [*values], **said, **more}


OTHERS = [result("q1", 10, 11), result("q2", 1, 2), result("q3", 90, 91)]


def unknown(problem: str) -> dict[str, Observation]:
    return {"errors": Observation("errors", Kind.PROPORTION, (), (at(0), at(1)), problem)}


OF_GREEN = "HTTPCode_Target_5XX_Count of targetgroup/shop-b/73e2 in 2 of 2 minutes"


@pytest.mark.parametrize(
    ("pages", "found"),
    [
        (
            # More is to come, and comes.
            [
                {"MetricDataResults": [result("q0", 5, status="PartialData")], "NextToken": "more"},
                {"MetricDataResults": [result("q0", 5, 6), *OTHERS]},
            ],
            {
                "errors": Observation(
                    "errors", Kind.PROPORTION, (Split(at(0), 5, 10, 1, 90), Split(at(1), 6, 11, 2, 91))
                )
            },
        ),
        (
            [{"MetricDataResults": [result("q0", 5, 6, status="PartialData"), *OTHERS]}],
            unknown(f"green: CloudWatch answered PartialData for {OF_GREEN}"),
        ),
        (
            [
                {
                    "MetricDataResults": [
                        result(
                            "q0",
                            status="InternalError",
                            Messages=[{"Code": "Sorry", "Value": "Something broke"}],
                        ),
                        *OTHERS,
                    ],
                    "Messages": [{"Code": "Too", "Value": "Too many"}],
                }
            ],
            unknown(
                f"green: CloudWatch answered InternalError for {OF_GREEN} (CloudWatch: 'Too many', "
                "'Something broke')"
            ),
        ),
        (
            [{"MetricDataResults": [result("q0", 5, 6, status=None), *OTHERS]}],
            unknown(f"green: CloudWatch answered InternalError for {OF_GREEN}"),
        ),
        (
            [{"MetricDataResults": OTHERS}],
            unknown(f"green: CloudWatch did not answer for {OF_GREEN}"),
        ),
    ],
    ids=["whole", "partial", "broken", "no status", "no answer"],
)
def test_what_cloudwatch_does_not_stand_by_is_not_known(
    cloud: Cloud, pages: list[dict[str, Any]], found: dict[str, Observation]
) -> None:
    with answering(*pages):
        assert look(ERRORS, minutes=2) == found


def test_a_token_that_leads_nowhere_is_followed_once(cloud: Cloud) -> None:
    page = {"MetricDataResults": [result("q0", 5, 6), *OTHERS], "NextToken": "again"}

    with answering(page, page), pytest.raises(Misconfigured, match="same next token"):
        look(ERRORS, minutes=2)


def test_a_metric_that_may_not_be_read_is_refused(cloud: Cloud) -> None:
    page = {"MetricDataResults": [result("q0", status="Forbidden"), *OTHERS]}

    with answering(page), pytest.raises(Misconfigured) as refused:
        look(ERRORS, minutes=2)

    assert str(refused.value) == (
        f"the function's role may not {ACTION} on Sum of AWS/ApplicationELB HTTPCode_Target_5XX_Count; add "
        "it to the role's policy"
    )


def test_the_time_zone_of_the_machine_changes_nothing(cloud: Cloud) -> None:
    zone = datetime(2026, 3, 5, 17, 45, tzinfo=datetime.strptime("+0545", "%z").tzinfo)
    moved = result("q0", 5)
    moved["Timestamps"] = [zone]

    with answering({"MetricDataResults": [moved, result("q1", 10), result("q2"), result("q3", 90)]}):
        found = look(ERRORS, minutes=1)["errors"]

    assert found == Observation("errors", Kind.PROPORTION, (Split(at(0), 5, 10, 0, 90),))
