from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.aws.call import Call
from rehearsal.aws.cloud import Cloud
from rehearsal.aws.cloudwatch import Sample, Shortfall, _statistic, fall_short, percentile
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
        # Ten of 1, eighty of 2, nine of 3, one of 4: a value on the lower bound is out, on the upper in.
        ("PR(:2)", 90.0),
        ("PR(2:)", 10.0),
        ("PR(1:3)", 89.0),
        ("PR(0.5:0.9)", 0.0),
        ("PR(3.9999999999:)", 1.0),
        ("TC(:2)", 90.0),
        ("TC(2:)", 10.0),
        ("TC(2:3)", 9.0),
        ("TC(4:)", 0.0),
        ("TC(10%:90%)", 80.0),
        ("TC(5%:)", 95.0),
        ("TC(:99.5%)", 99.5),
        ("tc90", 90.0),
        ("TM(:2)", 170 / 90),
        ("TM(2:)", 31 / 10),
        ("TM(10%:90%)", 2.0),
        ("TM(5%:95%)", (5 * 1 + 80 * 2 + 5 * 3) / 90),
        ("tm99", 197 / 99),
        ("TS(2:3)", 27.0),
        ("TS(90%:)", 31.0),
        ("ts10", 10.0),
        ("IQM", 2.0),
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
        *(
            (
                [metric("Errors", statistic, query="x", shown=True)],
                f"The value {statistic} for parameter Stat is not supported.",
            )
            for statistic in [
                "PR",
                "PR(:)",
                "PR(2)",
                "pr(:2)",
                "PR(:2%)",
                "PR(-1:2)",
                "PR(3:2)",
                "PR(2:2)",
                "PR(1e3:)",
                "TC(10%:0.5)",
                "TC(:101%)",
                "TC(:inf)",
                "tc(10%:)",
                "tc101",
                "TM(:)",
                "WM(:2)",
                "sum",
                "",
            ]
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


values_and_counts = st.lists(
    st.tuples(st.integers(0, 20).map(float), st.integers(1, 5)), min_size=1, max_size=12
)


def of(*values: tuple[float, int]) -> list[Sample]:
    return [Sample(0.0, value * count, count, value, value, "None") for value, count in values]


def one_by_one(values: list[tuple[float, int]]) -> list[float]:
    return sorted(value for value, count in values for _ in range(count))


@given(
    values_and_counts,
    st.one_of(st.none(), st.integers(0, 20)),
    st.one_of(st.none(), st.integers(0, 20)),
)
def test_what_is_within_values_is_counted_as_one_by_one(
    values: list[tuple[float, int]], low: int | None, high: int | None
) -> None:
    if (low is None and high is None) or (low is not None and high is not None and low >= high):
        return
    bounds = f"({'' if low is None else low}:{'' if high is None else high})"
    singles = one_by_one(values)
    within = [one for one in singles if (low is None or one > low) and (high is None or one <= high)]
    computed = {kind: _statistic(kind + bounds)(of(*values)) for kind in ("TC", "PR", "TS", "TM")}

    assert computed == {
        "TC": len(within),
        "PR": pytest.approx(100 * len(within) / len(singles)),
        "TS": sum(within),
        "TM": pytest.approx(sum(within) / len(within)) if within else None,
    }


@given(values_and_counts, st.integers(0, 99), st.integers(1, 100))
def test_what_is_within_ranks_is_counted_as_one_by_one(
    values: list[tuple[float, int]], low: int, high: int
) -> None:
    if low >= high:
        return
    # Each value a hundred times, so that every percent falls between two of them.
    singles = one_by_one(values)
    fine = [one for one in singles for _ in range(100)]
    within = fine[low * len(singles) : high * len(singles)]
    computed = {kind: _statistic(f"{kind}({low}%:{high}%)")(of(*values)) for kind in ("TC", "TS", "TM")}

    assert computed == {
        "TC": pytest.approx(len(within) / 100),
        "TS": pytest.approx(sum(within) / 100),
        "TM": pytest.approx(sum(within) / len(within)),
    }


@given(values_and_counts, st.randoms())
def test_how_values_were_reported_makes_no_difference(values: list[tuple[float, int]], rng: Any) -> None:
    singles = [(one, 1) for one in one_by_one(values)]
    rng.shuffle(singles)

    for name in ("TC(3:12)", "PR(:7)", "TM(10%:90%)", "tc95", "p95", "Sum"):
        assert _statistic(name)(of(*singles)) == pytest.approx(_statistic(name)(of(*values)))


def test_the_sides_of_a_bound_are_all_there_is() -> None:
    samples = of((0.1, 7), (0.3, 2), (0.30001, 4))

    assert (_statistic("TC(0.3:)")(samples), _statistic("TC(:0.3)")(samples)) == (4, 9)


@pytest.mark.parametrize("name", ["PR(:3)", "TC(:3)", "TM(:3)", "TS(:3)", "tc90", "IQM"])
def test_a_statistic_set_has_nothing_within_bounds_unless_its_values_are_one(name: str) -> None:
    spread = Sample(at=0, total=10, count=4, minimum=1, maximum=4, unit="None")
    flat = Sample(at=0, total=8, count=4, minimum=2, maximum=2, unit="None")

    assert _statistic(name)([spread]) is None
    assert _statistic(name)([]) is None
    assert _statistic(name)([flat]) == _statistic(name)(of((2.0, 4)))


def test_statistics_within_bounds_are_extended_ones(cloudwatch: Any) -> None:
    answer = cloudwatch.get_metric_statistics(
        Namespace="Shop",
        MetricName="Latency",
        Dimensions=GREEN,
        StartTime=minute(0),
        EndTime=minute(1),
        Period=60,
        ExtendedStatistics=["TC(2:)", "PR(:2)", "tm99"],
    )

    assert [point["ExtendedStatistics"] for point in answer["Datapoints"]] == [
        {"TC(2:)": 10.0, "PR(:2)": 90.0, "tm99": pytest.approx(197 / 99)}
    ]


# pages


def pages(client: Any, *queries: Any, most: int | None = None, **asked: Any) -> Iterator[Any]:
    """Yield each page as {id: (minutes, status)}."""
    token: dict[str, str] = {}
    limit = {} if most is None else {"MaxDatapoints": most}
    while True:
        answer = client.get_metric_data(
            **{"StartTime": minute(0), "EndTime": minute(4), "ScanBy": "TimestampAscending", **asked},
            MetricDataQueries=queries,
            **limit,
            **token,
        )
        yield {
            result["Id"]: (
                [(time - START) / timedelta(minutes=1) for time in result["Timestamps"]],
                result["StatusCode"],
            )
            for result in answer["MetricDataResults"]
        }
        if "NextToken" not in answer:
            return
        token = {"NextToken": answer["NextToken"]}


THREE = (
    metric("Requests", shown=True),
    metric("Errors", shown=True),
    metric("Requests", query="blue", shown=True, dimensions=BLUE),
)


@pytest.mark.parametrize(
    ("most", "asked", "expected"),
    [
        (
            None,
            {},
            [
                {
                    "requests": ([0, 1, 2], "Complete"),
                    "errors": ([0, 2], "Complete"),
                    "blue": ([0, 1, 2], "Complete"),
                }
            ],
        ),
        (
            4,
            {},
            [
                {
                    "requests": ([0, 1, 2], "Complete"),
                    "errors": ([0], "PartialData"),
                    "blue": ([], "PartialData"),
                },
                {"errors": ([2], "Complete"), "blue": ([0, 1, 2], "Complete")},
            ],
        ),
        (
            3,
            {"ScanBy": "TimestampDescending"},
            [
                {
                    "requests": ([2, 1, 0], "Complete"),
                    "errors": ([], "PartialData"),
                    "blue": ([], "PartialData"),
                },
                {"errors": ([2, 0], "Complete"), "blue": ([2], "PartialData")},
                {"blue": ([1, 0], "Complete")},
            ],
        ),
        (
            1,
            {"EndTime": minute(2)},
            [
                {
                    "requests": ([0], "PartialData"),
                    "errors": ([], "PartialData"),
                    "blue": ([], "PartialData"),
                },
                {
                    "requests": ([1], "Complete"),
                    "errors": ([], "PartialData"),
                    "blue": ([], "PartialData"),
                },
                {"errors": ([0], "Complete"), "blue": ([], "PartialData")},
                {"blue": ([0], "PartialData")},
                {"blue": ([1], "Complete")},
            ],
        ),
    ],
)
def test_what_does_not_fit_a_page_is_on_the_next(
    cloudwatch: Any, most: int | None, asked: Any, expected: Any
) -> None:
    assert list(pages(cloudwatch, *THREE, most=most, **asked)) == expected


@pytest.mark.parametrize("order", ["TimestampAscending", "TimestampDescending"])
@pytest.mark.parametrize("most", range(1, 10))
def test_all_pages_together_are_one_answer(cloudwatch: Any, most: int, order: str) -> None:
    (whole,) = pages(cloudwatch, *THREE, ScanBy=order)
    joined: dict[str, list[float]] = {}
    last: dict[str, str] = {}
    for page in pages(cloudwatch, *THREE, most=most, ScanBy=order):
        assert sum(len(times) for times, _ in page.values()) <= most
        for name, (times, status) in page.items():
            joined.setdefault(name, []).extend(times)
            last[name] = status

    assert {name: (times, last[name]) for name, times in joined.items()} == whole


def test_an_answer_has_at_most_100_800_points(cloud: Cloud) -> None:
    client = cloud.client("cloudwatch", user="operator")
    for number in range(0, 300, 25):
        client.put_metric_data(
            Namespace="Shop",
            MetricData=[
                {"MetricName": "Requests", "Dimensions": GREEN, "Timestamp": minute(at), "Value": 1}
                for at in range(number, number + 25)
            ],
        )
    queries = [metric("Requests", query=f"m{number}", shown=True) for number in range(400)]

    first, second = (
        sum(len(times) for times, _ in page.values()) for page in pages(client, *queries, EndTime=minute(300))
    )

    assert (first, second) == (100_800, 400 * 300 - 100_800)


def test_data_that_comes_in_between_pages_shifts_nothing(cloudwatch: Any) -> None:
    reading = pages(cloudwatch, metric("Errors", shown=True), metric("Requests", shown=True), most=1)
    first = next(reading)
    cloudwatch.put_metric_data(
        Namespace="Shop",
        MetricData=[
            {"MetricName": "Errors", "Dimensions": GREEN, "Timestamp": minute(at), "Value": 1}
            for at in (-1, 1)
        ],
    )

    assert [first["errors"], *(page["errors"] for page in reading if "errors" in page)] == [
        ([0], "PartialData"),
        ([1], "PartialData"),
        ([2], "Complete"),
    ]


def test_an_expression_has_no_next_page(cloudwatch: Any) -> None:
    queries = [metric("Requests", shown=True), {"Id": "double", "Expression": "requests * 2"}]

    assert list(pages(cloudwatch, *queries, most=4)) == [
        {"requests": ([0, 1, 2], "Complete"), "double": ([0], "PartialData")}
    ]


@pytest.mark.parametrize("token", ["nonsense", "NQ==", "WzFd", "é"])
def test_a_token_that_is_none_is_refused(cloudwatch: Any, token: str) -> None:
    with pytest.raises(ClientError) as caught:
        list(pages(cloudwatch, *THREE, NextToken=token))

    assert caught.value.response["Error"]["Code"] == "InvalidNextToken"


def test_a_token_of_another_request_is_refused(cloudwatch: Any) -> None:
    asked = {"StartTime": minute(0), "EndTime": minute(4), "MaxDatapoints": 1}
    token = cloudwatch.get_metric_data(**asked, MetricDataQueries=THREE)["NextToken"]

    with pytest.raises(ClientError) as caught:
        cloudwatch.get_metric_data(**asked, MetricDataQueries=THREE[:2], NextToken=token)

    error = caught.value.response["Error"]
    assert (error["Code"], error["Message"]) == (
        "InvalidNextToken",
        "The next token specified is of another request.",
    )


@pytest.mark.parametrize("most", [0, -1, 100_801])
def test_a_page_of_an_impossible_size_is_refused(cloudwatch: Any, most: int) -> None:
    with pytest.raises(ClientError, match="MaxDatapoints must be between 1 and 100800"):
        list(pages(cloudwatch, *THREE, most=most))


# answers that fall short


def let_fall_short(cloud: Cloud, *shortfalls: Shortfall) -> None:
    def make(call: Call, _identity: str) -> None:
        for shortfall in shortfalls:
            fall_short(call, shortfall)

    cloud.faults.add(action="cloudwatch:Get*", make=make)


@pytest.mark.parametrize(
    ("shortfalls", "expected"),
    [
        (
            [Shortfall("PartialData")],
            {"requests": ([0], "PartialData"), "errors": ([0], "PartialData"), "blue": ([0], "PartialData")},
        ),
        (
            [Shortfall("InternalError")],
            {
                "requests": ([], "InternalError"),
                "errors": ([], "InternalError"),
                "blue": ([], "InternalError"),
            },
        ),
        (
            [Shortfall(late_seconds=90)],
            {"requests": ([0, 1], "Complete"), "errors": ([0], "Complete"), "blue": ([0, 1], "Complete")},
        ),
        (
            [Shortfall("PartialData", 90), Shortfall("InternalError"), Shortfall("PartialData", 30)],
            {
                "requests": ([], "InternalError"),
                "errors": ([], "InternalError"),
                "blue": ([], "InternalError"),
            },
        ),
        (
            [Shortfall("PartialData"), Shortfall(late_seconds=90)],
            {"requests": ([0], "PartialData"), "errors": ([], "PartialData"), "blue": ([0], "PartialData")},
        ),
    ],
    ids=str,
)
def test_an_answer_can_fall_short(cloud: Cloud, cloudwatch: Any, shortfalls: Any, expected: Any) -> None:
    let_fall_short(cloud, *shortfalls)
    with time_machine.travel(minute(3), tick=False):
        answered = list(pages(cloudwatch, *THREE))

    assert answered == [expected]


def test_what_falls_short_leads_to_no_further_page(cloud: Cloud, cloudwatch: Any) -> None:
    let_fall_short(cloud, Shortfall("PartialData"))

    assert len(list(pages(cloudwatch, *THREE, most=4))) == 1


def test_late_data_is_missing_from_expressions_and_statistics_too(cloud: Cloud, cloudwatch: Any) -> None:
    let_fall_short(cloud, Shortfall(late_seconds=90))
    of_requests = {"Namespace": "Shop", "MetricName": "Requests", "Dimensions": GREEN}
    with time_machine.travel(minute(3), tick=False):
        data = ask(cloudwatch, metric("Requests"), {"Id": "e", "Expression": "requests * 2"})
        points = cloudwatch.get_metric_statistics(
            **of_requests, StartTime=minute(0), EndTime=minute(4), Period=60, Statistics=["Sum"]
        )["Datapoints"]

    assert data == {"e": {0.0: 200.0, 1.0: 200.0}}
    assert [point["Timestamp"] for point in points] == [minute(0), minute(1)]


def test_the_next_call_is_well_again(cloud: Cloud, cloudwatch: Any) -> None:
    let_fall_short(cloud, Shortfall("InternalError"))
    list(pages(cloudwatch, *THREE))
    cloud.faults.clear()

    assert [status for _, status in next(pages(cloudwatch, *THREE)).values()] == ["Complete"] * 3


def test_sub_minute_periods_and_long_ranges_find_the_same_samples(cloudwatch: Any) -> None:
    query = metric("Latency", "SampleCount", shown=True, period=30)
    wide = {"start": minute(-60 * 24 * 30), "end": minute(60 * 24 * 300)}

    assert ask(cloudwatch, query) == {"latency": {0.5: 100.0, 1.5: 100.0, 2.5: 100.0}}
    assert ask(cloudwatch, query, **wide) == ask(cloudwatch, query)
    assert ask(cloudwatch, query, start=minute(0.5), end=minute(1.5)) == {"latency": {0.5: 100.0}}
    assert ask(cloudwatch, query, start=minute(1), end=minute(1.25)) == {"latency": {}}


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


def test_so_many_metrics_that_botocore_packs_them_arrive(cloud: Cloud) -> None:
    client = cloud.client("cloudwatch", user="operator")

    client.put_metric_data(
        Namespace="Shop",
        MetricData=[
            {"MetricName": "Requests", "Dimensions": GREEN, "Timestamp": minute(7), "Value": 1.0}
            for _ in range(500)
        ],
    )

    assert ask(client, metric("Requests", shown=True), start=minute(7), end=minute(8))["requests"] == {
        7.0: 500.0
    }
