import itertools
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.canary_comparison.observation import MINUTE, Kind, Observation, Reading, Split
from hooks.canary_comparison.settings import PRESETS, AlbMetric, Chosen, CloudWatchMetric, EmfMetric
from hooks.canary_comparison.sources import (
    MAX_QUERIES,
    Answer,
    Compared,
    Counted,
    Expression,
    Page,
    Part,
    Queries,
    Query,
    Stat,
    Threshold,
    Wanted,
    answers,
    hour_before,
    hour_queries,
    leaves_threshold_to_blue,
    observed,
    plan,
    threshold_of,
)
from shared.errors import Misconfigured
from shared.lifecycle import ServiceRevisionArn
from shared.revision import Revision
from tests.shared.checkout import BLUE as BLUE_ARN
from tests.shared.checkout import GREEN as GREEN_ARN

ELB = "arn:aws:elasticloadbalancing:us-east-1:123456789012"
LOAD_BALANCER = "app/shop/50dc6c495c0c9188"
GROUP_A, GROUP_B = "targetgroup/shop-a/6d0e", "targetgroup/shop-b/73e2"
START = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
NOTHING = Threshold(None)

GREEN_ID, BLUE_ID = GREEN_ARN.id, BLUE_ARN.id


def revision(arn: ServiceRevisionArn, *groups: str, number: int = 7) -> Revision:
    return Revision(
        arn=arn,
        task_definition_arn=f"arn:aws:ecs:us-east-1:123456789012:task-definition/checkout:{number}",
        images=(),
        target_groups=tuple(f"{ELB}:{group}" for group in groups),
        test_header=None,
        load_balancers=tuple(LOAD_BALANCER for _ in groups),
    )


GREEN, BLUE = revision(GREEN_ARN, GROUP_B, number=8), revision(BLUE_ARN, GROUP_A)


def alb(measure: str = "errors", **more: Any) -> AlbMetric:
    return AlbMetric.model_validate({"source": "alb", "measure": measure, **more})


def emf(**more: Any) -> EmfMetric:
    given_ = {"source": "emf", "name": "payments", "namespace": "Shop", "kind": "proportion"}
    needed = {"bad": "Declined", "total": "Payments"} if "kind" not in more else {}
    return EmfMetric.model_validate({**given_, "dimensions": {"Revision": "{revision}"}, **needed, **more})


def metric_stat(name: str, colour: str, **more: Any) -> dict[str, Any]:
    dimensions = [{"Name": "Revision", "Value": f"{{{colour}}}"}]
    metric = {"Namespace": "Shop", "MetricName": name, "Dimensions": dimensions}
    return {"Metric": metric, "Stat": "Sum", "Period": 60, **more}


def custom(**more: Any) -> CloudWatchMetric:
    return CloudWatchMetric.model_validate(
        {
            "source": "cloudWatch",
            "name": "lost",
            "kind": "proportion",
            "queries": [
                {"Id": "g", "MetricStat": metric_stat("Orders", "green")},
                {"Id": "b", "MetricStat": metric_stat("Orders", "blue")},
                {"Id": "gx", "MetricStat": metric_stat("Lost", "green")},
                {"Id": "bx", "MetricStat": metric_stat("Lost", "blue")},
            ],
            "green": {"bad": "gx", "total": "g"},
            "blue": {"bad": "bx", "total": "b"},
            **more,
        }
    )


def asked(metrics: Sequence[Chosen], threshold: Threshold = NOTHING) -> list[Query]:
    queries, _ = plan(metrics, GREEN, BLUE, threshold)
    (call,) = queries.calls(60)
    return call


def stats(metrics: Sequence[Chosen], threshold: Threshold = NOTHING) -> set[tuple[str, str, str]]:
    """Return (metric, statistic, target group or dimension's value) of each query."""
    found = set()
    for query in asked(metrics, threshold):
        assert isinstance(query.asks, Stat)
        found.add((query.asks.name, query.asks.statistic, query.asks.dimensions[-1][1]))
    return found


# ------------------------------------------------------------------------------------ what is asked


def test_a_target_group_is_named_as_cloudwatch_s_dimensions_do() -> None:
    assert asked([alb()]) == [
        Query(
            f"q{number}",
            Stat(
                "AWS/ApplicationELB",
                name,
                (("LoadBalancer", LOAD_BALANCER), ("TargetGroup", group)),
                "Sum",
            ),
            returned=True,
        )
        for number, (group, name) in enumerate(
            itertools.product((GROUP_B, GROUP_A), ("HTTPCode_Target_5XX_Count", "RequestCount"))
        )
    ]


@pytest.mark.parametrize(
    ("metric", "wanted"),
    [
        (alb("errors"), {("HTTPCode_Target_5XX_Count", "Sum"), ("RequestCount", "Sum")}),
        (alb("connectionErrors"), {("TargetConnectionErrorCount", "Sum"), ("RequestCount", "Sum")}),
        (
            alb("slow", slowAboveSeconds=0.3),
            {("TargetResponseTime", statistic) for statistic in ("TC(0.3:)", "SampleCount", "Maximum")},
        ),
        (
            alb("slow", slowAboveSeconds=1e-7),
            {("TargetResponseTime", statistic) for statistic in ("TC(0.0000001:)", "SampleCount", "Maximum")},
        ),
        (
            alb("slow"),
            {("TargetResponseTime", statistic) for statistic in ("TC(0.25:)", "SampleCount", "Maximum")},
        ),
        (alb("latency"), {("TargetResponseTime", "p95")}),
        (alb("latency", percentile=99.9), {("TargetResponseTime", "p99.9")}),
        (alb("latency", percentile=90), {("TargetResponseTime", "p90")}),
    ],
)
def test_each_measure_of_a_load_balancer_has_its_statistics(
    metric: AlbMetric, wanted: set[tuple[str, str]]
) -> None:
    assert stats([metric], Threshold(0.25)) == {
        (*one, group) for one in wanted for group in (GROUP_A, GROUP_B)
    }


@pytest.mark.parametrize(
    ("metric", "wanted"),
    [
        (emf(), {("Declined", "Sum"), ("Payments", "Sum")}),
        (
            emf(kind="slow", value="Took", above=1000),
            {("Took", statistic) for statistic in ("TC(1000:)", "SampleCount", "Maximum")},
        ),
        (emf(kind="gauge", value="Depth", direction="increase", statistic="p99"), {("Depth", "p99")}),
    ],
)
def test_each_kind_of_a_metric_of_one_s_own_has_its_statistics(
    metric: EmfMetric, wanted: set[tuple[str, str]]
) -> None:
    assert stats([metric]) == {(*one, revision_) for one in wanted for revision_ in (GREEN_ID, BLUE_ID)}


def test_placeholders_are_filled_in_one_pass() -> None:
    greedy = replace(GREEN, task_definition_arn="arn:aws:ecs:r:1:task-definition/{revision}:8")
    metric = emf(dimensions={"B": "v-{taskDefinition}/{revision}", "A": "fixed"})

    queries, _ = plan([metric], greedy, BLUE, NOTHING)

    found = [query.asks for query in queries.calls(1)[0]]
    assert [stat.dimensions for stat in found if isinstance(stat, Stat)][::2] == [
        (("A", "fixed"), ("B", f"v-{{revision}}:8/{GREEN_ID}")),
        (("A", "fixed"), ("B", f"v-checkout:7/{BLUE_ID}")),
    ]


def test_a_task_definition_that_nobody_needs_may_be_unknown() -> None:
    queries, _ = plan([emf()], replace(GREEN, task_definition_arn=""), BLUE, NOTHING)

    assert queries.calls(60) == [asked([emf()])]


def test_the_presets_ask_for_each_statistic_once() -> None:
    assert len(asked(PRESETS["alb"], Threshold(0.25))) == 12
    # Neither a second metric of the same counts nor another threshold asks for them again.
    more = [*PRESETS["alb"], alb(name="errors again"), alb("slow", name="slower", slowAboveSeconds=1)]
    assert len(asked(more, Threshold(0.25))) == 14


def test_several_target_groups_are_asked_for_one_by_one() -> None:
    green = revision(GREEN_ARN, GROUP_B, "targetgroup/shop-d/1")

    _, (compared,) = plan([alb()], green, BLUE, NOTHING)

    assert compared.green == (
        Counted(
            Wanted("q0", f"HTTPCode_Target_5XX_Count of {GROUP_B}"),
            Wanted("q1", f"RequestCount of {GROUP_B}"),
        ),
        Counted(
            Wanted("q2", "HTTPCode_Target_5XX_Count of targetgroup/shop-d/1"),
            Wanted("q3", "RequestCount of targetgroup/shop-d/1"),
        ),
    )


@pytest.mark.parametrize(
    ("green", "metric", "reason"),
    [
        (
            revision(GREEN_ARN),
            alb(),
            f"green ({GREEN_ID}) has no target group: none yet, or the service has no Application Load "
            "Balancer; use serviceConnectAccessLogs, emf or cloudWatch metrics",
        ),
        (
            revision(GREEN_ARN, GROUP_A),
            alb(),
            f"green and blue are both in {GROUP_A}, so CloudWatch can't tell them apart; ECS gives each a "
            "target group of its own where the service has an alternate target group",
        ),
        (
            replace(GREEN, load_balancers=("net/shop/50dc",)),
            alb(),
            f"{GROUP_B} of green is behind net/shop/50dc, a Network Load Balancer, which knows no requests "
            "and no status codes; use serviceConnectAccessLogs, emf or cloudWatch metrics",
        ),
        *(
            (
                replace(GREEN, load_balancers=unknown),
                alb(),
                f"ECS has resolved no productionListenerRule for {GROUP_B} of green ({GREEN_ID}), so its "
                "load balancer is not known; use serviceConnectAccessLogs, emf or cloudWatch metrics",
            )
            for unknown in ((None,), ())
        ),
        (
            revision(GREEN_ARN, GROUP_B, "targetgroup/shop-d/1"),
            alb("latency"),
            "metric 'latency': green has 2 target groups, whose percentiles can't be put together; use the "
            "measure slow, or one cloudWatch metric for each",
        ),
        (
            replace(GREEN, task_definition_arn=""),
            emf(dimensions={"Task": "{taskDefinition}"}),
            f"metric 'payments': ECS does not say which task definition green ({GREEN_ID}) "
            "has; use {revision}",
        ),
        (
            revision(GREEN_ARN, GROUP_B, number=7),
            emf(dimensions={"Task": "{taskDefinition}"}),
            "metric 'payments': green and blue have the same task definition, so its dimensions can't tell "
            "them apart; use {revision}",
        ),
    ],
)
def test_revisions_that_can_t_be_told_apart_are_refused(green: Revision, metric: Chosen, reason: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        plan([metric], green, BLUE, Threshold(0.25))

    assert str(refused.value) == reason


def test_a_target_group_of_two_listener_rules_is_one() -> None:
    twice = revision(GREEN_ARN, GROUP_B, GROUP_B)

    _, (compared,) = plan([alb("latency")], twice, BLUE, NOTHING)

    assert compared.green == Wanted("q0", f"p95 of TargetResponseTime of {GROUP_B}")


def test_access_logs_are_read_elsewhere() -> None:
    with pytest.raises(TypeError, match="serviceConnectAccessLogs"):
        plan([PRESETS["serviceConnectAccessLogs"][0]], GREEN, BLUE, NOTHING)


# ------------------------------------------------------------------------------------ queries of one's own


def test_queries_of_one_s_own_are_filled_in_and_shared() -> None:
    same = custom(name="the same", queries=[*reversed(custom().queries)])

    assert stats([custom(), same]) == {
        (name, "Sum", one) for name in ("Orders", "Lost") for one in (GREEN_ID, BLUE_ID)
    }
    assert len(asked([custom(), same])) == 4


def with_expression(expression: str, **more: Any) -> CloudWatchMetric:
    queries = [*custom().queries, {"Id": "e", "Expression": expression}]
    return custom(queries=queries, green={"bad": "e", "total": "g"}, **more)


@pytest.mark.parametrize(
    ("expression", "renamed"),
    [
        ("gx + g", "{Lost} + {Orders}"),
        ("SUM([g,gx])/PERIOD(g)", "SUM([{Orders},{Lost}])/PERIOD({Orders})"),
        # A function is no query, whatever it is called.
        ("g(gx) + g (gx) + g", "g({Lost}) + g ({Lost}) + {Orders}"),
        ("IF(g > 1e5, gx, 2.5e-3*g) AND TRUE", "IF({Orders} > 1e5, {Lost}, 2.5e-3*{Orders}) AND TRUE"),
        ("'gx' + \"g\" + g + gx", "'gx' + \"g\" + {Orders} + {Lost}"),
        (r"'g\'gx' + gx", r"'g\'gx' + {Lost}"),
    ],
)
def test_expressions_get_the_ids_that_their_queries_have(expression: str, renamed: str) -> None:
    call = asked([with_expression(expression)])

    ids = {
        query.asks.name: query.id
        for query in call
        if isinstance(query.asks, Stat) and query.asks.dimensions == (("Revision", GREEN_ID),)
    }
    assert [query for query in call if isinstance(query.asks, Expression)] == [
        Query(
            "m0_e",
            Expression(
                renamed.format(**ids), frozenset(ids[name] for name in ids if f"{{{name}}}" in renamed)
            ),
            returned=True,
        )
    ]


def test_only_what_is_compared_comes_back_and_only_what_is_needed_is_asked() -> None:
    metric = with_expression("gx * 2")
    metric = CloudWatchMetric.model_validate(
        {
            **metric.model_dump(by_alias=True),
            "queries": [*metric.queries, {"Id": "unused", "MetricStat": metric_stat("Other", "green")}],
        }
    )

    found = {str(query.asks): query.returned for query in asked([metric])}

    assert found.pop("Sum of Shop Lost") is True  # blue's; green's is in the expression only
    assert sorted(found.values()) == [True, True]
    assert "Sum of Shop Other" not in found
    hidden = [query for query in asked([metric]) if not query.returned]
    assert [query.asks.dimensions for query in hidden if isinstance(query.asks, Stat)] == [
        (("Revision", GREEN_ID),)
    ]


def test_two_metrics_never_share_an_id() -> None:
    found = asked([with_expression("gx * 2"), with_expression("gx * 3", name="other")])

    assert {query.id: query.asks.text[-3:] for query in found if isinstance(query.asks, Expression)} == {
        "m0_e": "* 2",
        "m1_e": "* 3",
    }
    assert len({query.id for query in found}) == len(found)


def gauge(green: str, blue: str, **expressions: str) -> CloudWatchMetric:
    queries = [*custom().queries, *({"Id": name, "Expression": text} for name, text in expressions.items())]
    roles = {"green": {"value": green}, "blue": {"value": blue}}
    return custom(kind="gauge", direction="increase", queries=queries, **roles)


def test_a_gauge_of_one_s_own_is_one_query_of_each_side() -> None:
    metric = gauge("x", "b", x="g * 2")

    _, (compared,) = plan([metric], GREEN, BLUE, NOTHING)

    assert compared == Compared(metric, Wanted("m0_x", "query 'x'"), Wanted("q2", "query 'b'"))


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        (gauge("x", "b", x="x + g"), "query 'x' refers to itself"),
        (gauge("x", "b", x="y + g", y="2 * x"), "query 'x' refers to itself"),
        (gauge("x", "b", x="g + q0"), "query 'x' uses 'q0', and there is no such query"),
        # Each has its name, and yet both are green's.
        (gauge("x", "y", x="g * 2", y="g * 2"), "the queries of green and of blue ask for the same"),
        (
            gauge("x", "y", x="z * 2", y="w * 2", z="g + 1", w="g + 1"),
            "the queries of green and of blue ask for the same",
        ),
    ],
)
def test_queries_that_can_t_be_meant_are_refused(metric: CloudWatchMetric, reason: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        plan([metric], GREEN, BLUE, NOTHING)

    assert str(refused.value) == f"metric 'lost': {reason}"


# ------------------------------------------------------------------------------------ calls


def many(number: int, *, hidden: int = 0) -> Queries:
    """Return so many queries that are wanted, each an expression over *hidden* others if there are any."""
    queries = Queries()
    for one in range(number):
        below = [queries.stat(Stat("Shop", f"{one}-{two}", (), "Sum")) for two in range(hidden)]
        if below:
            queries.wanted(queries.expression(f"e{one}", Expression(" + ".join(below), frozenset(below))))
        else:
            queries.wanted(queries.stat(Stat("Shop", str(one), (), "Sum")))
    return queries


@pytest.mark.parametrize(
    ("number", "hidden", "minutes", "sizes"),
    [
        (0, 0, 60, []),
        (500, 0, 60, [500]),
        (501, 0, 60, [500, 1]),
        (1001, 0, 201, [500, 500, 1]),
        # A page holds 100,800 points.
        (210, 0, 720, [140, 70]),
        (40, 19, 60, [500, 300]),
        (2, 19, 10_000, [20, 20]),
    ],
)
def test_no_call_asks_for_more_than_cloudwatch_answers_at_once(
    number: int, hidden: int, minutes: int, sizes: list[int]
) -> None:
    calls = many(number, hidden=hidden).calls(minutes)

    assert [len(call) for call in calls] == sizes
    for call in calls:
        ids = {query.id for query in call}
        assert all(query.asks.uses <= ids for query in call if isinstance(query.asks, Expression))
        assert len(ids) == len(call) <= MAX_QUERIES


def test_an_expression_s_parts_stand_in_each_call_that_needs_them() -> None:
    queries = many(499)
    shared = queries.stat(Stat("Shop", "shared", (), "Sum"))
    for name in ("one", "two"):
        queries.wanted(
            queries.expression(name, Expression(f"{shared} * {len(name)}{name}", frozenset({shared})))
        )

    first, second = queries.calls(60)

    assert len(first) == 499
    assert [query.id for query in second] == ["one", shared, "two"]


# ------------------------------------------------------------------------------------ the hour before


@pytest.mark.parametrize(
    ("start", "first", "minutes"),
    [
        (START, START - timedelta(hours=1), 60),
        (START + timedelta(seconds=59), START - timedelta(hours=1), 60),
        (datetime(2026, 3, 5, 12, 1, tzinfo=UTC), datetime(2026, 3, 5, 11, 0, tzinfo=UTC), 60),
        (datetime(2026, 3, 5, 12, 30, tzinfo=UTC), datetime(2026, 3, 5, 11, 35, tzinfo=UTC), 55),
    ],
)
def test_the_hour_before_is_one_whole_period(start: datetime, first: datetime, minutes: int) -> None:
    assert hour_before(start) == (first, timedelta(minutes=minutes))


@given(st.integers(1_700_000_000, 2_100_000_000))
def test_the_hour_before_is_over_when_both_serve(seconds: int) -> None:
    start = datetime.fromtimestamp(seconds, UTC)
    first, length = hour_before(start)

    assert timedelta(0) <= start - (first + length) < timedelta(minutes=26)
    assert timedelta(minutes=45) <= length <= timedelta(minutes=75)
    assert first.timestamp() % length.total_seconds() == 0


def test_blue_alone_says_what_is_slow() -> None:
    _, length = hour_before(START)
    (call,) = hour_queries(GREEN, BLUE, length).calls(60)

    dimensions = (("LoadBalancer", LOAD_BALANCER), ("TargetGroup", GROUP_A))
    stat = Stat("AWS/ApplicationELB", "TargetResponseTime", dimensions, "p95", period_minutes=60)
    assert call == [Query("q0", stat, returned=True)]


UNKNOWN = "so no threshold for slow requests is known; set slowAboveSeconds"


@pytest.mark.parametrize(
    ("found", "threshold"),
    [
        ([Answer({START: 0.25})], Threshold(0.25)),
        ([Answer({START: 0.123456789})], Threshold(0.123457)),
        ([Answer({START: 1e-9})], Threshold(1e-6)),
        ([Answer({START: 0.25}), Answer({START: 0.5}), Answer({})], Threshold(0.5)),
        ([Answer({})], Threshold(None, f"blue served no request in the hour before, {UNKNOWN}")),
        *(
            (
                [Answer({START: value}), Answer({START: 0.25})],
                Threshold(
                    None, f"p95 of blue's TargetResponseTime in the hour before is no duration, {UNKNOWN}"
                ),
            )
            for value in (0.0, -1.0, math.nan, math.inf)
        ),
        (
            [Answer({START: 0.25}), Answer({START: 0.5}, "CloudWatch answered PartialData for", ("Slow",))],
            Threshold(
                None,
                "CloudWatch answered PartialData for p95 of blue's TargetResponseTime in the hour before "
                f"(CloudWatch: 'Slow'), {UNKNOWN}",
            ),
        ),
    ],
)
def test_what_is_slow_is_known_or_it_is_said_why_not(found: list[Answer], threshold: Threshold) -> None:
    assert threshold_of({str(number): answer for number, answer in enumerate(found)}) == threshold


def test_without_threshold_no_minute_is_known() -> None:
    _, (compared,) = plan([alb("slow")], GREEN, BLUE, Threshold(None, "blue slept"))

    assert observed(compared, {}, [START]) == Observation("slow", Kind.SLOW, (), (START,), "blue slept")


@pytest.mark.parametrize(
    ("metric", "leaves"),
    [
        (alb("slow"), True),
        (alb("slow", slowAboveSeconds=1), False),
        (alb("latency"), False),
        (emf(kind="slow", value="Took", above=1), False),
    ],
)
def test_only_a_load_balancer_s_slow_requests_may_have_no_threshold(metric: Chosen, leaves: bool) -> None:
    assert leaves_threshold_to_blue(metric) is leaves


# ------------------------------------------------------------------------------------ minutes

NAN, INF = math.nan, math.inf
BAD, TOTAL, HIGHEST = "bad", "total", "highest"
Row = Mapping[str, float]


def at(number: int) -> datetime:
    return START + number * MINUTE


def seen(green: Sequence[Row], blue: Sequence[Row] | None = None, **more: Any) -> Observation:
    """Observe a metric from rows of values, one a minute; blue has 900 requests and 9 bad unless told."""
    slow = {"highest": "highest", "threshold": 0.3} if more.get("kind") is Kind.SLOW else {}
    metric: Chosen = alb("slow", slowAboveSeconds=0.3) if slow else alb()
    rows = {"green": green, "blue": blue or [{BAD: 9, TOTAL: 900, HIGHEST: 0.1}] * len(green)}
    found = {
        f"{colour} {series}": Answer(
            {at(number): row[series] for number, row in enumerate(side) if series in row},
            more.get("trouble", {}).get(f"{colour} {series}", ""),
            more.get("messages", ()),
        )
        for colour, side in rows.items()
        for series in (BAD, TOTAL, HIGHEST)
    }
    sides = [
        (
            Counted(
                Wanted(f"{colour} bad", "BAD"),
                Wanted(f"{colour} total", "TOTAL"),
                *((Wanted(f"{colour} highest", "MAX"), 0.3) if slow else ()),
            ),
        )
        for colour in ("green", "blue")
    ]
    return observed(Compared(metric, *sides), found, [at(number) for number in range(len(green))])


@pytest.mark.parametrize(
    ("row", "counts"),
    [
        ({BAD: 1, TOTAL: 100}, (1, 100)),
        ({TOTAL: 100}, (0, 100)),  # errors are reported only where there are some
        ({BAD: 0, TOTAL: 0}, (0, 0)),
        ({TOTAL: 0}, (0, 0)),
        ({BAD: 3}, (3, 3)),  # all failed
        ({BAD: 3, TOTAL: 0}, (3, 3)),
        ({BAD: 120, TOTAL: 100}, (100, 100)),
        ({BAD: 0.5, TOTAL: 10.5}, (0.5, 10.5)),  # CloudWatch interpolates
    ],
)
def test_absent_is_zero_only_where_the_total_is_there(row: Row, counts: tuple[float, float]) -> None:
    assert seen([row]) == Observation("errors", Kind.PROPORTION, (Split(at(0), *counts, 9, 900),))
    assert seen([{BAD: 1, TOTAL: 100}], [row]).minutes == (Split(at(0), 1, 100, *counts),)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({}, "no TOTAL"),
        *(({BAD: value, TOTAL: 100}, "BAD is negative or no number") for value in (-1, NAN, INF)),
        *(({BAD: 1, TOTAL: value}, "TOTAL is negative or no number") for value in (-1, NAN, INF, -INF)),
        ({TOTAL: NAN}, "TOTAL is negative or no number"),
    ],
)
def test_what_is_not_known_of_one_side_is_not_known(row: Row, problem: str) -> None:
    well = {BAD: 1, TOTAL: 100}

    assert seen([well, row]) == Observation(
        "errors",
        Kind.PROPORTION,
        (Split(at(0), 1, 100, 9, 900),),
        (at(1),),
        f"green: {problem} in 1 of 2 minutes",
    )
    assert seen([well, well], [row, well]) == Observation(
        "errors",
        Kind.PROPORTION,
        (Split(at(1), 1, 100, 1, 100),),
        (at(0),),
        f"blue: {problem} in 1 of 2 minutes",
    )


def test_the_last_reason_is_told_of_each_side_with_how_often_it_held() -> None:
    green: list[Row] = [{TOTAL: NAN}, {}, {TOTAL: 5}, {}]
    blue: list[Row] = [{TOTAL: 5}, {TOTAL: 5}, {}, {BAD: -1}]

    found = seen(green, blue, messages=("a", "b", "a", "c", "d"))

    assert found == Observation(
        "errors",
        Kind.PROPORTION,
        (),
        tuple(map(at, range(4))),
        "green: no TOTAL in 2 of 4 minutes (CloudWatch: 'a', 'b', 'c'); "
        "blue: BAD is negative or no number in 1 of 4 minutes (CloudWatch: 'a', 'b', 'c')",
    )


@pytest.mark.parametrize("series", [BAD, TOTAL])
@pytest.mark.parametrize("colour", ["green", "blue"])
def test_a_series_that_is_not_whole_is_known_in_no_minute(colour: str, series: str) -> None:
    trouble = {f"{colour} {series}": "CloudWatch answered PartialData for"}

    found = seen([{BAD: 1, TOTAL: 100}, {TOTAL: 100}], trouble=trouble)

    problem = f"{colour}: CloudWatch answered PartialData for {series.upper()} in 2 of 2 minutes"
    assert found == Observation("errors", Kind.PROPORTION, (), (at(0), at(1)), problem)


@pytest.mark.parametrize(
    ("row", "known"),
    [
        ({BAD: 2.5, TOTAL: 100, HIGHEST: 5.0}, (2.5, 100)),
        ({TOTAL: 100, HIGHEST: 0.3}, (0, 100)),  # not above it
        ({BAD: 0, TOTAL: 100, HIGHEST: 0.2}, (0, 100)),
        ({TOTAL: 0}, (0, 0)),
        ({TOTAL: 100, HIGHEST: 0.31}, "no BAD, though the highest value is above 0.3,"),
        ({TOTAL: 100}, "no MAX"),
        ({TOTAL: 100, HIGHEST: NAN}, "MAX is negative or no number"),
        ({HIGHEST: 5.0}, "no TOTAL"),
    ],
)
def test_slow_requests_that_are_not_counted_are_not_taken_for_none(
    row: Row, known: tuple[float, float] | str
) -> None:
    found = seen([row], kind=Kind.SLOW)

    if isinstance(known, str):
        assert found == Observation("slow", Kind.SLOW, (), (at(0),), f"green: {known} in 1 of 1 minutes")
    else:
        assert found.minutes == (Split(at(0), *known, 9, 900),)


def test_the_threshold_is_part_of_what_was_seen() -> None:
    _, (compared,) = plan([alb("slow")], GREEN, BLUE, Threshold(0.25))

    assert observed(compared, {}, []) == Observation("slow", Kind.SLOW, (), threshold=0.25)


@pytest.mark.parametrize(
    ("one", "other", "known"),
    [
        ({BAD: 1, TOTAL: 10}, {BAD: 2, TOTAL: 20}, (3, 30)),
        ({TOTAL: 10}, {BAD: 2, TOTAL: 20}, (2, 30)),
        ({BAD: 4}, {TOTAL: 20}, (4, 24)),
        ({BAD: 12, TOTAL: 10}, {TOTAL: 20}, (10, 30)),  # cut before they are added
        ({TOTAL: 10}, {}, "no TOTAL of two"),
        ({}, {TOTAL: 10}, "no TOTAL of one"),
        ({TOTAL: 10}, {TOTAL: -1}, "TOTAL of two is negative or no number"),
    ],
)
def test_target_groups_are_added_and_one_does_not_answer_for_another(
    one: Row, other: Row, known: tuple[float, float] | str
) -> None:
    rows = {"one": one, "two": other}
    found = {
        f"{name} {series}": Answer({at(0): row[series]} if series in row else {})
        for name, row in rows.items()
        for series in (BAD, TOTAL)
    }
    side = tuple(
        Counted(Wanted(f"{name} bad", f"BAD of {name}"), Wanted(f"{name} total", f"TOTAL of {name}"))
        for name in rows
    )

    seen_ = observed(Compared(alb(), side, side), found, [at(0)])

    if isinstance(known, str):
        assert (seen_.minutes, seen_.missing) == ((), (at(0),))
        assert seen_.problem == f"green: {known} in 1 of 1 minutes; blue: {known} in 1 of 1 minutes"
    else:
        assert seen_.minutes == (Split(at(0), *known, *known),)


def test_a_gauge_needs_both_values() -> None:
    values = {
        "g": {at(0): 0.2, at(1): 0.3, at(2): NAN, at(3): 0.0, at(4): -1.0},
        "b": {at(0): 0.1, at(2): 0.1, at(3): 0.1, at(4): 0.1},
    }
    found = {name: Answer(of) for name, of in values.items()}
    compared = Compared(alb("latency"), Wanted("g", "p95"), Wanted("b", "p95"))

    assert observed(compared, found, [at(number) for number in range(5)]) == Observation(
        "latency",
        Kind.GAUGE,
        (Reading(at(0), 0.2, 0.1), Reading(at(3), 0.0, 0.1)),
        (at(1), at(2), at(4)),
        "green: p95 is negative or no number in 2 of 5 minutes",
    )


VALUE = st.none() | st.sampled_from([-1.0, NAN, INF]) | st.integers(0, 50).map(float)
SERIES = st.lists(st.tuples(VALUE, VALUE, VALUE, VALUE), max_size=8)


@given(SERIES)
def test_each_closed_minute_is_known_or_missing_and_what_is_known_is_possible(
    rows: list[tuple[float | None, ...]],
) -> None:
    green: list[Row] = [
        {name: value for name, value in zip((BAD, TOTAL), row[:2], strict=True) if value is not None}
        for row in rows
    ]
    blue: list[Row] = [
        {name: value for name, value in zip((BAD, TOTAL), row[2:], strict=True) if value is not None}
        for row in rows
    ]

    found = seen(green, blue or None)

    assert sorted([*(minute.start for minute in found.minutes), *found.missing]) == [
        at(number) for number in range(len(rows))
    ]
    for split in found.minutes:
        assert isinstance(split, Split)
        assert 0 <= split.green_bad <= split.green_total < INF
        assert 0 <= split.blue_bad <= split.blue_total < INF
    assert bool(found.missing) == bool(found.problem)


@given(SERIES, st.sampled_from([2.0, 4.0, 1024.0]))
def test_ten_times_the_traffic_is_ten_times_the_counts(
    rows: list[tuple[float | None, ...]], times: float
) -> None:
    def of(factor: float) -> Observation:
        sides = [
            [
                {
                    name: value * factor
                    for name, value in zip((BAD, TOTAL), row[two : two + 2], strict=True)
                    if value is not None
                }
                for row in rows
            ]
            for two in (0, 2)
        ]
        return seen(sides[0], sides[1] or None)

    one, other = of(1), of(times)

    assert other.missing == one.missing
    assert other.minutes == tuple(
        Split(start, *(times * count for count in of)) for start, *of in one.minutes
    )


# ------------------------------------------------------------------------------------ pages

ASKED = [
    Query("a", Stat("Shop", "Orders", (), "Sum"), returned=True),
    Query("b", Expression("a * 2", frozenset({"a"})), returned=True),
    Query("hidden", Stat("Shop", "Lost", (), "Sum"), returned=False),
]
END = at(10)


def part(query: str, *points: tuple[int, float], status: str = "Complete", **more: Any) -> Part:
    return Part(query, status, tuple((at(minute), value) for minute, value in points), **more)


def read(*pages: Sequence[Part]) -> dict[str, Answer]:
    return answers([Page(tuple(page)) for page in pages], ASKED, START, END)


B = part("b", (0, 1.0))
B_READ = Answer({at(0): 1.0})


@pytest.mark.parametrize(
    ("pages", "answer"),
    [
        ([[part("a", (0, 1.0), (1, 2.0)), B]], Answer({at(0): 1.0, at(1): 2.0})),
        ([[part("a"), B]], Answer({})),
        ([[part("a", (1, 2.0), (0, 1.0)), B]], Answer({at(0): 1.0, at(1): 2.0})),  # out of order
        (
            [[part("a", (0, 1.0), status="PartialData")], [part("a", (1, 2.0)), B]],
            Answer({at(0): 1.0, at(1): 2.0}),
        ),
        ([[part("a", (0, 1.0), (1, 2.0)), B], [part("a", (1, 3.0))]], Answer({at(0): 1.0, at(1): 3.0})),
        # Before and after the time asked about.
        ([[part("a", (-1, 5.0), (10, 5.0), (9, 1.0)), B]], Answer({at(9): 1.0})),
        # What nobody asked for, and what is for expressions only.
        ([[part("a", (0, 1.0)), B, part("z", (0, 7.0)), part("hidden", (0, 7.0))]], Answer({at(0): 1.0})),
        (
            [[part("a", (0, 1.0), status="PartialData"), B]],
            Answer({at(0): 1.0}, "CloudWatch answered PartialData for"),
        ),
        # It had more to say of a, and did not.
        (
            [[part("a", (0, 1.0), status="PartialData")], [B]],
            Answer({at(0): 1.0}, "CloudWatch answered PartialData for"),
        ),
        (
            [[part("a", status="InternalError"), B], [part("a", (1, 2.0))]],
            Answer({at(1): 2.0}, "CloudWatch answered InternalError for"),
        ),
        ([[part("a", status="Sleepy"), B]], Answer({}, "CloudWatch answered Sleepy for")),
        ([[B]], Answer({}, "CloudWatch did not answer for")),
        ([[part("a", messages=("one", "two", "one")), B]], Answer({}, "", ("one", "two"))),
    ],
)
def test_pages_make_one_answer(pages: list[list[Part]], answer: Answer) -> None:
    assert read(*pages) == {"a": answer, "b": B_READ}


def test_times_between_minutes_are_none_of_ours() -> None:
    points = (at(0) + timedelta(seconds=1), 1.0), (at(1) + timedelta(microseconds=1), 1.0), (at(2), 1.0)

    found = answers([Page((Part("a", "Complete", points), B))], ASKED, START, END)

    assert found["a"] == Answer({at(2): 1.0})


def test_what_cloudwatch_says_of_the_whole_call_is_said_of_each_query() -> None:
    found = answers([Page((part("a"), B), ("Too many",)), Page((), ("Too many",))], ASKED, START, END)

    assert found == {"a": Answer({}, "", ("Too many",)), "b": Answer({at(0): 1.0}, "", ("Too many",))}


def test_a_metric_that_may_not_be_read_is_named() -> None:
    with pytest.raises(Misconfigured) as refused:
        read([part("a", status="Forbidden", messages=("Not yours",))])

    assert str(refused.value) == (
        "the function's role may not cloudwatch:GetMetricData on Sum of Shop Orders; add it to the role's "
        "policy (CloudWatch: 'Not yours')"
    )


def test_an_expression_that_gives_several_series_is_refused() -> None:
    with pytest.raises(Misconfigured) as refused:
        read([part("a"), part("b", label="one"), part("b", label="two")])

    assert str(refused.value) == "a * 2 gives more than one series: 'one', 'two'"
    # CloudWatch makes labels itself, from whatever else is on the page.
    assert read([part("a"), part("b", label="one")], [part("b", (0, 1.0), label="two")])["b"] == B_READ


POINTS = st.dictionaries(st.integers(0, 9), st.floats(0, 100), max_size=10)


@given(POINTS, POINTS, st.integers(1, 4), st.randoms(use_true_random=False))
def test_neither_pages_nor_order_change_what_is_read(
    one: dict[int, float], two: dict[int, float], number: int, chance: random.Random
) -> None:
    pages: list[list[Part]] = [[] for _ in range(number)]
    for name, points in (("a", one), ("b", two)):
        rest = list(points.items())
        chance.shuffle(rest)
        for page in pages:
            cut = chance.randint(0, len(rest))
            page.append(part(name, *rest[:cut], status="PartialData"))
            rest = rest[cut:]
        pages[-1].append(part(name, *rest))
    last = pages.pop()
    chance.shuffle(pages)
    for page in pages:
        chance.shuffle(page)

    assert read(*pages, last) == read([part("a", *one.items()), part("b", *two.items())])
