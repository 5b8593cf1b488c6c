"""Access logs: what is asked of them, and what their rows come to."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.canary_comparison.log_query import (
    Latency,
    Row,
    Side,
    Tally,
    Task,
    latency,
    latency_query,
    minutes_query,
    observed,
    rows,
    sides,
    task_of,
    unknown,
    usable,
)
from hooks.canary_comparison.observation import MINUTE, Kind, Observation, Split
from hooks.canary_comparison.settings import AccessLogMetric
from hooks.canary_comparison.window import Window
from shared.errors import Misconfigured
from shared.revision import AccessLogs, Revision
from tests.shared.checkout import BLUE, GREEN, SERVICE, START, TASK_DEFINITION

LOGS = AccessLogs("awslogs", "/ecs/proxies", "us-east-1", "shop/checkout", "JSON")
GREEN_REVISION = Revision(GREEN, TASK_DEFINITION, (), (), None, access_logs=LOGS)
BLUE_REVISION = Revision(BLUE, TASK_DEFINITION, (), (), None, access_logs=LOGS)


def metric(measure: str, lag_seconds: int = 0) -> AccessLogMetric:
    return AccessLogMetric.model_validate(
        {"source": "serviceConnectAccessLogs", "measure": measure, "lagSeconds": lag_seconds}
    )


ERRORS, SLOW = metric("errors"), metric("slow")

GREEN_TASK, BLUE_TASK, BLUE_TASK_2, OTHER_TASK, LOST_TASK = (f"{number:032x}" for number in range(5))
SIDES = {
    GREEN_TASK: Side.GREEN,
    BLUE_TASK: Side.BLUE,
    BLUE_TASK_2: Side.BLUE,
    OTHER_TASK: Side.OTHER,
}
WHERE = "/ecs/proxies"


def stream(task: str) -> str:
    return f"shop/checkout/proxy/{task}"


def row(
    task: str, requests: float, bad: float = 0, *slow: float, minute: int = 0, name: str | None = None
) -> Row:
    return Row(START + minute * MINUTE, name or stream(task), requests, bad, slow)


def seen(found: Sequence[Row], minutes: int = 1) -> Observation:
    return observed(
        ERRORS,
        Tally(found, SIDES, WHERE),
        Window(START, START + timedelta(days=1)),
        START + minutes * MINUTE,
        seconds=None,
        threshold=None,
    )


# where the logs are


def test_access_logs_in_cloudwatch_can_be_read() -> None:
    assert usable(GREEN_REVISION, "green", SERVICE) == LOGS
    assert usable(replace(GREEN_REVISION, access_logs=replace(LOGS, format="TEXT")), "green", SERVICE)


@pytest.mark.parametrize(
    ("logs", "because"),
    [
        (
            None,
            "green has no Service Connect access logs; set serviceConnectConfiguration.accessLogConfiguration"
            ".format to JSON, and its logConfiguration to awslogs",
        ),
        (
            AccessLogs("awsfirelens", "", "", "", "JSON"),
            "green: serviceConnectConfiguration.logConfiguration.logDriver is 'awsfirelens'; only awslogs "
            "can be read",
        ),
        (
            replace(LOGS, format="XML"),
            "green: serviceConnectConfiguration.accessLogConfiguration.format is 'XML'; set it to JSON",
        ),
        (
            replace(LOGS, log_group=""),
            "green: serviceConnectConfiguration.logConfiguration.options has no awslogs-group",
        ),
        (
            replace(LOGS, region="eu-west-1"),
            "green: serviceConnectConfiguration.logConfiguration.options: awslogs-region is 'eu-west-1', and "
            "logs are read in us-east-1 only",
        ),
        *(
            (
                replace(LOGS, stream_prefix=prefix),
                "green: serviceConnectConfiguration.logConfiguration.options: awslogs-stream-prefix is "
                f"{prefix!r}; without one of letters, digits and _./+=@- no log stream can be told to be a "
                "task's",
            )
            for prefix in ("", "a|b", "a b", "x/ | fields 1 as bad", "a\\", "a'", "a*", "a\n")
        ),
    ],
)
def test_what_is_wrong_with_the_logs_is_named(logs: AccessLogs | None, because: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        usable(replace(GREEN_REVISION, access_logs=logs), "green", SERVICE)

    assert str(refused.value) == because


# queries


def test_json_lines_are_counted_by_minute_and_stream() -> None:
    assert minutes_query(LOGS, ["worker", "app"], [0.25, 0.0000005]).split("\n| ") == [
        r"filter @logStream like /^shop\/checkout\/[^\/]+\/[^\/]+$/",
        r"filter @logStream not like /\/(app|worker)\/[^\/]+$/",
        "filter ispresent(method) and ispresent(response_code) and ispresent(duration)",
        "fields (least(floor(response_code / 500), 1) + 1 - least(response_code, 1)) as bad, "
        "least(greatest(ceil(duration - 250), 0), 1) as slow0, "
        "least(greatest(ceil(duration - 0.0005), 0), 1) as slow1",
        "stats count(*) as requests, sum(bad) as bad, sum(slow0) as slow0, sum(slow1) as slow1 "
        "by bin(1m), @logStream",
        "limit 10000",
    ]


def test_text_lines_are_taken_apart_first() -> None:
    assert minutes_query(replace(LOGS, format="TEXT", stream_prefix="a.b+c"), [], []).split("\n| ") == [
        r"filter @logStream like /^a\.b\+c\/[^\/]+\/[^\/]+$/",
        r"parse @message /^\[[^\]]+\] \"\S+ \S+ \S+\" (?<code>\d+) (?:[A-Z][A-Za-z,]* |- )?\d+ \d+ "
        r"(?<milliseconds>\d+) /",
        "filter ispresent(code) and ispresent(milliseconds)",
        "fields (least(floor(code / 500), 1) + 1 - least(code, 1)) as bad",
        "stats count(*) as requests, sum(bad) as bad by bin(1m), @logStream",
        "limit 10000",
    ]


def test_the_usual_latency_is_that_of_blue_s_tasks() -> None:
    assert latency_query(LOGS, ["app"], [BLUE_TASK, BLUE_TASK_2]).split("\n| ") == [
        rf"filter @logStream like /^shop\/checkout\/[^\/]+\/({BLUE_TASK}|{BLUE_TASK_2})$/",
        r"filter @logStream not like /\/(app)\/[^\/]+$/",
        "filter ispresent(method) and ispresent(response_code) and ispresent(duration)",
        "stats count(*) as requests, pct(duration, 95) as milliseconds",
        "limit 1",
    ]


def test_a_query_about_as_many_tasks_as_are_asked_about_fits() -> None:
    tasks = [f"{number:032x}" for number in range(100)]

    assert len(latency_query(replace(LOGS, stream_prefix="." * 256), ["a" * 255] * 10, tasks)) < 10_000


def test_a_container_s_name_can_t_change_the_query() -> None:
    assert minutes_query(LOGS, ["app)/ | limit 1", ""], []) == minutes_query(LOGS, [], [])


# answers


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([{"requests": "1000", "milliseconds": "250.5"}], Latency(1000, 0.2505)),
        ([{"requests": "3", "milliseconds": "0"}], Latency(3, 0)),
        ([], None),
        ([{"requests": "0"}], None),
        ([{"requests": "12"}], None),
        ([{"requests": "12", "milliseconds": "-1"}], None),
        ([{"requests": "12", "milliseconds": "Infinity"}], None),
    ],
)
def test_latency_is_known_where_there_were_requests(
    results: list[dict[str, str]], expected: Latency | None
) -> None:
    assert latency(results) == expected


def test_rows_are_read_as_logs_insights_writes_them() -> None:
    fields = {"bin(1m)": "2026-03-05 12:01:00.000", "@logStream": "s", "requests": "12", "bad": "3"}

    assert rows([{**fields, "slow0": "4", "slow1": "0.0"}], 2) == [Row(START + MINUTE, "s", 12, 3, (4, 0))]


@pytest.mark.parametrize("number", ["", "many", "NaN", "-1"])
def test_what_is_no_count_is_not_a_number(number: str) -> None:
    fields = {"bin(1m)": "2026-03-05 12:00:00.000", "@logStream": "s", "requests": number}

    found = rows([fields], 0)[0]

    assert math.isnan(found.requests)
    assert math.isnan(found.bad)


@pytest.mark.parametrize(
    "fields",
    [
        {"@logStream": "s", "requests": "1"},
        {"bin(1m)": "2026-03-05 12:00:00.000", "requests": "1"},
        {"bin(1m)": "noon", "@logStream": "s", "requests": "1"},
    ],
)
def test_a_row_that_says_not_what_it_is_of_is_refused(fields: dict[str, str]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # whose text is in part Python's
        rows([fields], 0)


# whose a stream is


@pytest.mark.parametrize(
    ("name", "task"),
    [
        (f"shop/checkout/proxy/{GREEN_TASK}", GREEN_TASK),
        (f"arn:aws:ecs:us-east-1:123456789012:task/shop/{GREEN_TASK}", GREEN_TASK),
        ("p/c/0f9de17c-6465-4db3-b78f-0f0e8e0bd4b5", "0f9de17c-6465-4db3-b78f-0f0e8e0bd4b5"),
        ("p/c/not-a-task", None),
        (f"p/c/{GREEN_TASK}0", None),
        ("", None),
    ],
)
def test_a_stream_s_name_ends_with_its_task(name: str, task: str | None) -> None:
    assert task_of(name) == task


OTHER_DEFINITION = TASK_DEFINITION.replace(":7", ":8")


@pytest.mark.parametrize(
    ("changes", "blue_definition", "side"),
    [
        ({}, TASK_DEFINITION, Side.GREEN),
        ({}, OTHER_DEFINITION, Side.GREEN),
        ({"started_by": f"ecs-svc/{BLUE.id}"}, TASK_DEFINITION, Side.BLUE),
        ({"started_by": f"ecs-svc/{BLUE.id}"}, OTHER_DEFINITION, Side.UNKNOWN),
        ({"task_definition_arn": OTHER_DEFINITION}, OTHER_DEFINITION, Side.UNKNOWN),
        ({"task_definition_arn": OTHER_DEFINITION}, TASK_DEFINITION, Side.GREEN),
        ({"started_by": "ecs-svc/1"}, TASK_DEFINITION, Side.OTHER),
        ({"started_by": ""}, TASK_DEFINITION, Side.OTHER),
        ({"group": "service:basket"}, TASK_DEFINITION, Side.OTHER),
        ({"group": "family:checkout"}, TASK_DEFINITION, Side.OTHER),
    ],
)
def test_a_task_is_whose_all_witnesses_say(
    changes: Mapping[str, Any], blue_definition: str, side: Side
) -> None:
    task = Task(GREEN_TASK, f"ecs-svc/{GREEN.id}", TASK_DEFINITION, "service:checkout")._replace(**changes)
    blue = replace(BLUE_REVISION, task_definition_arn=blue_definition)

    assert sides([task], SERVICE, GREEN_REVISION, blue) == {GREEN_TASK: side}


# minutes


def test_the_streams_of_a_side_are_added_up() -> None:
    found = [
        row(GREEN_TASK, 50, 2),
        row(BLUE_TASK, 400, 1),
        row(BLUE_TASK_2, 500, 3),
        row(OTHER_TASK, 999, 9),
    ]

    assert seen(found) == Observation("errors", Kind.PROPORTION, (Split(START, 2, 50, 4, 900),))


def test_slow_requests_are_those_above_the_metric_s_own_threshold() -> None:
    found = [row(GREEN_TASK, 50, 2, 30, 5), row(BLUE_TASK, 400, 1, 200, 20), row(BLUE_TASK_2, 1, 0, 1, 1)]
    window, now = Window(START, START + timedelta(hours=1)), START + MINUTE

    observation = observed(SLOW, Tally(found, SIDES, WHERE), window, now, seconds=0.5, threshold=1)

    assert observation == Observation("slow", Kind.SLOW, (Split(START, 5, 50, 21, 401),), threshold=0.5)


NO_GREEN = "green: no request in the access logs in /ecs/proxies in 1 of 1 minutes"
NO_NUMBER = "green: the access logs in /ecs/proxies add up to no number of requests in 1 of 1 minutes"
LOST = (
    "requests in log streams of /ecs/proxies that are of tasks ECS does not know (any more), such as "
    f"'shop/checkout/proxy/{LOST_TASK}', in 1 of 1 minutes"
)
NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        ([row(BLUE_TASK, 900)], NO_GREEN),
        ([row(BLUE_TASK, 900), row(GREEN_TASK, 0)], NO_GREEN),
        ([row(GREEN_TASK, 50)], NO_GREEN.replace("green", "blue")),
        ([], NO_GREEN),
        ([row(BLUE_TASK, 900), row(OTHER_TASK, 50)], NO_GREEN),
        ([row(BLUE_TASK, 900), row(GREEN_TASK, NAN)], NO_NUMBER),
        ([row(BLUE_TASK, 900), row(GREEN_TASK, INF)], NO_NUMBER),
        ([row(BLUE_TASK, 900), row(GREEN_TASK, 50, NAN)], NO_NUMBER),
        ([row(BLUE_TASK, 900), row(GREEN_TASK, 50, INF)], NO_NUMBER),
        ([row(BLUE_TASK, 900), row(GREEN_TASK, 50), row(LOST_TASK, 3)], LOST),
        ([row(BLUE_TASK, 50), row(GREEN_TASK, 900), row(LOST_TASK, 3)], LOST),
        ([row(BLUE_TASK, 900), row(GREEN_TASK, 50), row(LOST_TASK, NAN)], LOST),
        (
            [row(BLUE_TASK, 900), row(GREEN_TASK, 50), row("", 3, name="shop/checkout/proxy/x")],
            LOST.replace(LOST_TASK, "x"),
        ),
    ],
)
def test_a_minute_that_is_not_known_is_missing_and_the_problem_says_why(
    found: Sequence[Row], problem: str
) -> None:
    assert seen(found) == Observation("errors", Kind.PROPORTION, (), (START,), problem)


def test_a_few_requests_that_nobody_can_place_do_no_harm() -> None:
    found = [row(BLUE_TASK, 900), row(GREEN_TASK, 60, 1), row(LOST_TASK, 3, 3)]

    assert seen(found).minutes == (Split(START, 1, 60, 0, 900),)


def test_more_bad_requests_than_requests_are_all_of_them() -> None:
    assert seen([row(BLUE_TASK, 9), row(GREEN_TASK, 5, 6)]).minutes == (Split(START, 5, 5, 0, 9),)


def test_only_whole_closed_minutes_count() -> None:
    found = [row(task, 10, minute=minute) for task in (GREEN_TASK, BLUE_TASK) for minute in range(-1, 5)]
    window = Window(START + timedelta(seconds=1), START + timedelta(minutes=60))
    now = START + timedelta(minutes=4, seconds=59)
    lagging = metric("errors", lag_seconds=60)

    observation = observed(lagging, Tally(found, SIDES, WHERE), window, now, seconds=None, threshold=None)

    assert [split.start for split in observation.minutes] == [START + MINUTE, START + 2 * MINUTE]
    assert observation.missing == ()


def test_the_problem_is_that_of_the_last_minute_with_how_often_it_was() -> None:
    found = [
        *(row(BLUE_TASK, 9, minute=minute) for minute in (0, 2, 3)),
        *(row(GREEN_TASK, 5, minute=minute) for minute in (1, 3)),
    ]

    observation = seen(found, minutes=4)

    assert [split.start for split in observation.minutes] == [START + 3 * MINUTE]
    assert observation.missing == tuple(START + minute * MINUTE for minute in range(3))
    assert observation.problem == "green: no request in the access logs in /ecs/proxies in 2 of 4 minutes"


def test_nothing_known_is_every_closed_minute_missing() -> None:
    window = Window(START, START + timedelta(hours=1))

    assert unknown(SLOW, window, START + 2 * MINUTE, "because", 0.5) == Observation(
        "slow", Kind.SLOW, (), (START, START + MINUTE), "because", 0.5
    )
    assert unknown(SLOW, window, START, "because") == Observation("slow", Kind.SLOW, ())


ROWS = st.lists(
    st.builds(
        row,
        st.sampled_from([*SIDES, LOST_TASK]),
        st.integers(0, 1000),
        st.integers(0, 10),
        minute=st.integers(-1, 6),
    ),
    max_size=30,
)


@given(ROWS, st.randoms())
def test_neither_the_order_of_rows_nor_how_they_are_parted_matters(
    found: list[Row], rng: random.Random
) -> None:
    halves = [part for whole in found for part in (whole._replace(requests=0, bad=0), whole)]
    rng.shuffle(halves)

    shuffled = seen(halves, minutes=5)

    assert (shuffled.minutes, shuffled.missing) == (seen(found, 5).minutes, seen(found, 5).missing)


@given(ROWS)
def test_each_closed_minute_is_known_or_missing(found: list[Row]) -> None:
    observation = seen(found, minutes=5)

    known = [split.start for split in observation.minutes]
    assert sorted([*known, *observation.missing]) == [START + minute * MINUTE for minute in range(5)]
    assert bool(observation.missing) is bool(observation.problem)
