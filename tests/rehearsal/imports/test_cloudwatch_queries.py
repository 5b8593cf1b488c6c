from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.imports.cloudwatch_queries import (
    ALB,
    Direction,
    Expression,
    Queries,
    Stat,
    Translated,
    translate,
)
from rehearsal.imports.reading import Untranslatable

BY_REVISION = (("Revision", "{revision}"), ("Env", "prod"))
BY_TARGET_GROUP = (("TargetGroup", "targetgroup/shop-a/1"), ("LoadBalancer", "app/shop/2"))


def shop(metric: str, statistic: str = "Sum", dimensions: tuple[tuple[str, str], ...] = BY_REVISION) -> Stat:
    return Stat("Shop", metric, statistic, dimensions)


def alb(metric: str, statistic: str = "Sum") -> Stat:
    return Stat(ALB, metric, statistic, BY_TARGET_GROUP)


def translated(queries: Queries, direction: Direction = "increase") -> Translated:
    return translate(queries, next(iter(queries)), direction, lambda value: value)


def share(expression: str, part: str = "HTTPCode_Target_5XX_Count") -> Queries:
    return {"r": Expression(expression), "a": alb(part), "b": alb("RequestCount")}


# ------------------------------------------------------------------------------------ target groups

FROM_ECS = "the target groups of green and blue are read from ECS, not from the query"


@pytest.mark.parametrize(
    ("queries", "direction", "metric"),
    [
        (share("a / b"), "increase", {"measure": "errors"}),
        (share("100 * (a / b)"), "increase", {"measure": "errors"}),
        (share("(a/b)*100"), "increase", {"measure": "errors"}),
        (share("(a * 100) / b"), "increase", {"measure": "errors"}),
        (share("FILL(a, 0) / b"), "increase", {"measure": "errors"}),
        # The share of good ones, which must not fall.
        (share("1 - a / b"), "decrease", {"measure": "errors"}),
        (share("100 - 100 * (a / b)"), "decrease", {"measure": "errors"}),
        (share("100*(1-FILL(a,0)/b)"), "decrease", {"measure": "errors"}),
        (share("a / b", "HTTPCode_Target_2XX_Count"), "decrease", {"measure": "errors"}),
        (share("1 - a / b", "HTTPCode_Target_2XX_Count"), "increase", {"measure": "errors"}),
        (share("a / b", "TargetConnectionErrorCount"), "increase", {"measure": "connectionErrors"}),
        ({"m": alb("HTTPCode_Target_5XX_Count")}, "increase", {"measure": "errors"}),
        ({"m": alb("TargetConnectionErrorCount")}, "increase", {"measure": "connectionErrors"}),
        (
            {"m": alb("TargetResponseTime", "p99.9")},
            "increase",
            {"measure": "latency", "percentile": 99.9},
        ),
    ],
)
def test_what_is_by_target_group_is_read_from_the_revisions_own(
    queries: Queries, direction: Direction, metric: dict[str, Any]
) -> None:
    found = translated(queries, direction)

    assert found.metric == {"source": "alb", **metric}
    assert found.remarks[0] == FROM_ECS


@pytest.mark.parametrize(
    ("queries", "direction"),
    [
        # Fewer errors are no worse, and fewer requests tell nothing.
        (share("a / b"), "decrease"),
        (share("1 - a / b"), "increase"),
        ({"m": alb("HTTPCode_Target_5XX_Count")}, "decrease"),
        ({"m": alb("RequestCount")}, "decrease"),
        ({"m": alb("TargetResponseTime", "Average")}, "increase"),
        ({"m": alb("TargetResponseTime", "p0")}, "increase"),
        (share("b / a"), "increase"),
        (share("a + b"), "increase"),
    ],
)
def test_what_the_preset_does_not_have_is_not_made_something_else(
    queries: Queries, direction: Direction
) -> None:
    with pytest.raises(Untranslatable, match="errors, connectionErrors, slow and latency"):
        translated(queries, direction)


# ------------------------------------------------------------------------------------ of one's own


def written(name: str, metric: str, colour: str, statistic: str = "Sum") -> dict[str, Any]:
    dimensions = [{"Name": "Revision", "Value": f"{{{colour}}}"}, {"Name": "Env", "Value": "prod"}]
    return {
        "Id": name,
        "MetricStat": {
            "Metric": {"Namespace": "Shop", "MetricName": metric, "Dimensions": dimensions},
            "Stat": statistic,
            "Period": 60,
        },
    }


PUBLISHED = "the service must publish Revision with its ECS service revision's id"


def test_a_share_is_a_proportion_of_each_revision() -> None:
    queries = {"rate": Expression("bad/all"), "bad": shop("Declined"), "all": shop("Payments")}

    assert translated(queries) == Translated(
        {
            "source": "cloudWatch",
            "kind": "proportion",
            "queries": [
                written("green_bad", "Declined", "green"),
                written("green_all", "Payments", "green"),
                written("blue_bad", "Declined", "blue"),
                written("blue_all", "Payments", "blue"),
            ],
            "green": {"bad": "green_bad", "total": "green_all"},
            "blue": {"bad": "blue_bad", "total": "blue_all"},
        },
        ("bad is taken for the bad events among all", PUBLISHED),
    )


def test_a_share_that_must_not_fall_counts_the_rest() -> None:
    queries = {"rate": Expression("100*good/all"), "good": shop("Accepted"), "all": shop("Payments")}

    assert translated(queries, "decrease") == Translated(
        {
            "source": "cloudWatch",
            "kind": "proportion",
            "queries": [
                written("green_good", "Accepted", "green"),
                written("green_all", "Payments", "green"),
                {"Id": "green_bad", "Expression": "green_all - green_good"},
                written("blue_good", "Accepted", "blue"),
                written("blue_all", "Payments", "blue"),
                {"Id": "blue_bad", "Expression": "blue_all - blue_good"},
            ],
            "green": {"bad": "green_bad", "total": "green_all"},
            "blue": {"bad": "blue_bad", "total": "blue_all"},
        },
        ("good is taken for the good events among all, and the rest for bad ones", PUBLISHED),
    )


def test_anything_else_is_a_gauge_and_queries_it_does_not_need_are_left_out() -> None:
    queries = {
        "m": Expression("IF(p99 > 'p99', p99, avg(p99))"),
        "p99": shop("Seconds", "p99"),
        "other": shop("Seconds", "p50", ()),
    }

    assert translated(queries) == Translated(
        {
            "source": "cloudWatch",
            "kind": "gauge",
            "direction": "increase",
            "queries": [
                {"Id": "green_m", "Expression": "IF(green_p99 > 'p99', green_p99, avg(green_p99))"},
                written("green_p99", "Seconds", "green", "p99"),
                {"Id": "blue_m", "Expression": "IF(blue_p99 > 'p99', blue_p99, avg(blue_p99))"},
                written("blue_p99", "Seconds", "blue", "p99"),
            ],
            "green": {"value": "green_m"},
            "blue": {"value": "blue_m"},
        },
        (PUBLISHED,),
    )


@pytest.mark.parametrize(
    ("queries", "reason"),
    [
        (
            {"m": shop("Seconds", "p99", (("Service", "shop"),))},
            "no dimension of query 'm' names the revision",
        ),
        # Half of it by revision is not by revision.
        (
            {"r": Expression("a/b"), "a": shop("Declined"), "b": shop("Payments", "Sum", ())},
            "no dimension of query 'b' names the revision",
        ),
        # A canary has a tenth of the traffic, so its sums would always look better.
        ({"m": shop("Declined")}, "m is a Sum, which grows with traffic"),
        ({"m": shop("Seconds", "SampleCount")}, "m is a SampleCount, which grows with traffic"),
        ({"r": Expression("a + b"), "a": shop("X"), "b": shop("Y")}, "a is a Sum, which grows with traffic"),
        ({"r": Expression("a / 5 + missing"), "a": shop("X")}, "there is no query 'missing'"),
    ],
)
def test_what_does_not_compare_green_with_blue_is_not_translated(queries: Queries, reason: str) -> None:
    with pytest.raises(Untranslatable, match=reason):
        translated(queries)


@given(st.text(alphabet="ab1/*()-0 F", max_size=12))
def test_any_expression_is_translated_or_refused(text: str) -> None:
    queries = {"r": Expression(text), "a": shop("Declined"), "b": shop("Payments")}

    try:
        found = translated(queries)
    except Untranslatable:
        return

    ids = {query["Id"] for query in found.metric["queries"]}
    assert {*found.metric["green"].values(), *found.metric["blue"].values()} <= ids
