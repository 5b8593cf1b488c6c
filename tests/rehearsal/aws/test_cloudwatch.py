from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from rehearsal.aws.cloud import Cloud
from rehearsal.aws.cloudwatch import Sample, percentile
from tests.rehearsal.aws.sample_deployments import START

GREEN = [{"Name": "TargetGroup", "Value": "green"}]
BLUE = [{"Name": "TargetGroup", "Value": "blue"}]


def minute(number: float) -> Any:
    return START + timedelta(minutes=number)


@pytest.fixture
def cloudwatch(cloud: Cloud) -> Any:
    """Three minutes of two target groups; green has no errors reported in the second minute."""
    client = cloud.client("cloudwatch", user="operator")
    for number in range(3):
        client.put_metric_data(
            Namespace="Shop",
            MetricData=[
                {
                    "MetricName": "Latency",
                    "Dimensions": GREEN,
                    "Timestamp": minute(number + 0.5),
                    "Values": [1.0, 2.0, 3.0, 4.0],
                    "Counts": [10.0, 80.0, 9.0, 1.0],
                    "Unit": "Seconds",
                },
                {"MetricName": "Requests", "Dimensions": GREEN, "Timestamp": minute(number), "Value": 100},
                {"MetricName": "Requests", "Dimensions": BLUE, "Timestamp": minute(number), "Value": 900},
                {"MetricName": "Requests", "Timestamp": minute(number), "Value": 1000},
            ],
        )
        if number != 1:
            client.put_metric_data(
                Namespace="Shop",
                MetricData=[
                    {
                        "MetricName": "Errors",
                        "Dimensions": GREEN,
                        "Timestamp": minute(number),
                        "Value": number,
                    }
                ],
            )
    return client


def metric(
    name: str, stat: str = "Sum", *, query: str = "", shown: bool = False, period: int = 60, **of: Any
) -> Any:
    return {
        "Id": query or name.lower(),
        "MetricStat": {
            "Metric": {"Namespace": "Shop", "MetricName": name, "Dimensions": of.get("dimensions", GREEN)},
            "Period": period,
            "Stat": stat,
        },
        "ReturnData": shown,
    }


def ask(client: Any, *queries: Any, start: Any = None, end: Any = None) -> Any:
    answer = client.get_metric_data(
        StartTime=start or minute(0),
        EndTime=end or minute(4),
        ScanBy="TimestampAscending",
        MetricDataQueries=queries,
    )
    return {
        result["Id"]: dict(
            zip(
                ((time - START) / timedelta(minutes=1) for time in result["Timestamps"]),
                result["Values"],
                strict=True,
            )
        )
        for result in answer["MetricDataResults"]
    }


@pytest.mark.parametrize(
    ("stat", "value"),
    [
        ("Sum", 201.0),
        ("SampleCount", 100.0),
        ("Average", 2.01),
        ("Minimum", 1.0),
        ("Maximum", 4.0),
        ("p50", 2.0),
        ("p90", 2.1),
        ("p99", 3.01),
        ("p99.9", 3.901),
        ("p100", 4.0),
        ("p0", 1.0),
    ],
)
def test_a_statistic_is_computed_over_values_and_counts(cloudwatch: Any, stat: str, value: float) -> None:
    answer = ask(cloudwatch, metric("Latency", stat, shown=True), end=minute(1))

    assert answer == {"latency": {0.0: pytest.approx(value)}}


@pytest.mark.parametrize(
    ("dimensions", "value"), [(GREEN, 100), (BLUE, 900), ([], 1000), ([*GREEN, *BLUE], None)]
)
def test_a_metric_is_its_exact_dimensions(cloudwatch: Any, dimensions: Any, value: float | None) -> None:
    answer = ask(cloudwatch, metric("Requests", shown=True, dimensions=dimensions), end=minute(1))

    assert answer == {"requests": {} if value is None else {0.0: value}}


@pytest.mark.parametrize(
    ("period", "start", "end", "expected"),
    [
        (60, 0, 3, {0.0: 100, 1.0: 100, 2.0: 100}),
        (60, 1, 2, {1.0: 100}),
        (60, 0.4, 2, {0.0: 100, 1.0: 100}),
        (120, 0, 3, {0.0: 200, 2.0: 100}),
        (120, 1, 3, {0.0: 100, 2.0: 100}),
        (300, 0, 3, {0.0: 300}),
    ],
)
def test_periods_begin_at_multiples_of_themselves(
    cloudwatch: Any, period: int, start: float, end: float, expected: dict[float, float]
) -> None:
    query = metric("Requests", shown=True, period=period)

    assert ask(cloudwatch, query, start=minute(start), end=minute(end)) == {"requests": expected}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("100 * errors / requests", {0.0: 0.0, 2.0: 2.0}),
        ("requests - errors + 1", {0.0: 101.0, 2.0: 99.0}),
        ("-(errors + 1)", {0.0: -1.0, 2.0: -3.0}),
        ("requests / errors", {2.0: 50.0}),
        ("FILL(errors, 0)", {0.0: 0.0, 1.0: 0.0, 2.0: 2.0, 3.0: 0.0}),
        ("FILL(errors, REPEAT)", {0.0: 0.0, 1.0: 0.0, 2.0: 2.0, 3.0: 2.0}),
        ("100 * FILL(errors, 0) / requests", {0.0: 0.0, 1.0: 0.0, 2.0: 2.0}),
        ("SUM([errors, requests])", {0.0: 100.0, 1.0: 100.0, 2.0: 102.0}),
        ("SUM(METRICS())", {0.0: 100.0, 1.0: 100.0, 2.0: 102.0}),
        ('SUM(METRICS("err"))', {0.0: 0.0, 2.0: 2.0}),
        ("MAX(METRICS())", {0.0: 100.0, 1.0: 100.0, 2.0: 100.0}),
        ("requests / SUM(requests)", {0.0: 1 / 3, 1.0: 1 / 3, 2.0: 1 / 3}),
        ("IF(errors > 1, errors, 0)", {0.0: 0.0, 2.0: 2.0}),
        ("IF(errors > 1 AND requests >= 100, errors ^ 2)", {2.0: 4.0}),
        ("IF(errors > 1 || requests < 0, 1, 0)", {0.0: 0.0, 2.0: 1.0}),
        ("ABS(errors - 5)", {0.0: 5.0, 2.0: 3.0}),
        ('METRICS("err") * 2', {0.0: 0.0, 2.0: 4.0}),
        ("other", {0.0: 1.0, 2.0: 3.0}),
    ],
)
def test_an_expression_is_evaluated(cloudwatch: Any, expression: str, expected: dict[float, float]) -> None:
    queries = [
        metric("Errors"),
        metric("Requests"),
        {"Id": "other", "Expression": "errors + 1", "ReturnData": False},
        {"Id": "e", "Expression": expression},
    ]

    assert ask(cloudwatch, *queries) == {"e": expected}


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        ([{"Id": "e", "Expression": expression}], f"Error in expression 'e': {complaint}")
        for expression, complaint in [
            ("unknown", "unknown is not the id of a query"),
            ("1 +", "it has a syntax error"),
            ("m ** 2", "it has a syntax error"),
            ("m // 2", "it has a syntax error"),
            ("SUM(m)", "it must return a single time series"),
            ("METRICS('none')", "it must return a single time series"),
            ("1 / 0 * m", "it divides by zero, or is too large"),
            ("RATE(m)", "it has a function or operator that is not supported"),
            ("m.real", "it has a function or operator that is not supported"),
            ("__import__('os')", "it has a function or operator that is not supported"),
            ("(lambda: m)()", "it has a function or operator that is not supported"),
            ("m if m else m", "it has a function or operator that is not supported"),
            ("True", "it has a function or operator that is not supported"),
            ("SUM(m, m)", "SUM, AVG, MIN and MAX take one argument"),
            ("FILL(m)", "FILL takes two arguments"),
            ("FILL(1, 0)", "the first argument of FILL must be a time series"),
            ("-" * 600 + "m", "it is too complex"),
            ("m" + " + 1" * 600, "it is longer than 2048 characters"),
        ]
    ]
    + [
        ([{"Id": "e", "Expression": "e + 1"}], "Error in expression 'e': it refers to itself"),
        (
            [{"Id": "Upper", "Expression": "m"}],
            "The value 'Upper' of MetricDataQueries.member.2.Id does not match the pattern.",
        ),
        (
            [{"Id": "m", "Expression": "1"}],
            "The values for parameter Id in parameter MetricDataQueries are not unique: m",
        ),
        (
            [{"Id": "nothing"}],
            "The parameter MetricDataQueries.member.2 must have one of MetricStat and Expression.",
        ),
        (
            [metric("Errors", "p101", query="x", shown=True)],
            "The value p101 for parameter Stat is not supported.",
        ),
        (
            [metric("Errors", query="x", shown=True, period=61)],
            "The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60.",
        ),
    ],
)
def test_a_query_that_can_not_be_answered_is_a_validation_error(
    cloudwatch: Any, queries: Any, message: str
) -> None:
    with pytest.raises(ClientError) as caught:
        ask(cloudwatch, metric("Requests", query="m"), *queries)

    error = caught.value.response["Error"]
    assert (error["Code"], error["Message"]) == ("ValidationError", message)


def test_statistics_hold_both_kinds(cloudwatch: Any) -> None:
    answer = cloudwatch.get_metric_statistics(
        Namespace="Shop",
        MetricName="Latency",
        Dimensions=GREEN,
        StartTime=minute(0),
        EndTime=minute(2),
        Period=60,
        Statistics=["SampleCount"],
        ExtendedStatistics=["p50", "p99"],
    )

    assert (answer["Label"], answer["Datapoints"]) == (
        "Latency",
        [
            {
                "Timestamp": minute(number),
                "SampleCount": 100.0,
                "ExtendedStatistics": {"p50": 2.0, "p99": pytest.approx(3.01)},
                "Unit": "Seconds",
            }
            for number in range(2)
        ],
    )


def test_the_newest_comes_first_unless_asked(cloudwatch: Any) -> None:
    query = metric("Requests", shown=True)

    answer = cloudwatch.get_metric_data(StartTime=minute(0), EndTime=minute(3), MetricDataQueries=[query])

    assert answer["MetricDataResults"] == [
        {
            "Id": "requests",
            "Label": "Requests",
            "Timestamps": [minute(2), minute(1), minute(0)],
            "Values": [100.0, 100.0, 100.0],
            "StatusCode": "Complete",
        }
    ]


def test_metrics_are_listed_once_each(cloudwatch: Any) -> None:
    listed = cloudwatch.list_metrics(Namespace="Shop", MetricName="Requests")["Metrics"]

    assert [found["Dimensions"] for found in listed] == [GREEN, BLUE, []]


def test_a_statistic_set_has_no_percentiles_unless_its_values_are_one() -> None:
    spread = Sample(at=0, total=10, count=4, minimum=1, maximum=4, unit="None")
    flat = Sample(at=0, total=8, count=4, minimum=2, maximum=2, unit="None")

    assert (percentile([spread], 50), percentile([flat], 50), percentile([], 50)) == (None, 2, None)


def test_what_a_service_publishes_is_found_like_what_is_put(cloud: Cloud, cloudwatch: Any) -> None:
    for number, age in ((0, 7.0), (1, 9.0)):
        cloud.publish_metrics(
            "AWS/SQS",
            {"QueueName": "orders"},
            {"ApproximateAgeOfOldestMessage": (age, "Seconds"), "NumberOfMessagesSent": (3.0, "Count")},
            minute(number),
        )

    asked = {
        "Namespace": "AWS/SQS",
        "MetricName": "ApproximateAgeOfOldestMessage",
        "Dimensions": [{"Name": "QueueName", "Value": "orders"}],
    }
    found = cloudwatch.get_metric_statistics(
        **asked, StartTime=minute(0), EndTime=minute(5), Period=60, Statistics=["Maximum"]
    )

    assert found["Datapoints"] == [
        {"Timestamp": minute(0), "Maximum": 7.0, "Unit": "Seconds"},
        {"Timestamp": minute(1), "Maximum": 9.0, "Unit": "Seconds"},
    ]
    listed = cloudwatch.list_metrics(Namespace="AWS/SQS")["Metrics"]
    assert [metric["MetricName"] for metric in listed] == [
        "ApproximateAgeOfOldestMessage",
        "NumberOfMessagesSent",
    ]
