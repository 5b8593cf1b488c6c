"""Logs Insights: what is ours, held against what AWS documents."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
import time_machine
from botocore.exceptions import ClientError
from moto.logs.models import logs_backends

from rehearsal.aws.access_logs import put_minute
from rehearsal.aws.cloud import Cloud
from rehearsal.aws.logs import Lines, put_lines
from rehearsal.model import Task
from tests.rehearsal.aws.sample_deployments import ACCOUNT, GREEN, REGION, SERVICE, START, add_revision

GROUP = "/ecs/proxies"
SECOND = int(START.timestamp())
MILLISECONDS = SECOND * 1000


@pytest.fixture
def logs(cloud: Cloud) -> Iterator[Any]:
    with time_machine.travel(START, tick=False):
        client = cloud.client("logs", user="alice")
        client.create_log_group(logGroupName=GROUP)
        yield client


def put(logs: Any, stream: str, *events: tuple[int, str]) -> None:
    """Put messages so many milliseconds after the start."""
    logs.create_log_stream(logGroupName=GROUP, logStreamName=stream)
    logs.put_log_events(
        logGroupName=GROUP,
        logStreamName=stream,
        logEvents=[{"timestamp": MILLISECONDS + after, "message": message} for after, message in events],
    )


def start(logs: Any, query: str, seconds: tuple[int, int] = (0, 3600), **more: Any) -> str:
    first, last = seconds
    asked = {"logGroupNames": [GROUP], "startTime": SECOND + first, "endTime": SECOND + last, **more}
    return str(logs.start_query(queryString=query, **asked)["queryId"])


def ask(logs: Any, query: str, seconds: tuple[int, int] = (0, 3600), **more: Any) -> list[dict[str, str]]:
    answer = logs.get_query_results(queryId=start(logs, query, seconds, **more))
    assert answer["status"] == "Complete"
    return [{item["field"]: item["value"] for item in row} for row in answer["results"]]


def code_of(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def line(**fields: Any) -> str:
    return json.dumps(fields)


# commands


def test_events_are_counted_by_minute_and_stream(logs: Any) -> None:
    put(logs, "a", (0, line(code=200)), (59_999, line(code=503)), (60_000, line(code=200)))
    put(logs, "b", (1, line(code=200)))

    query = "stats count(*) as requests, min(code), max(code) as worst by bin(1m), @logStream"
    assert ask(logs, query) == [
        {
            "bin(1m)": "2026-03-05 12:00:00.000",
            "@logStream": "a",
            "requests": "2",
            "min(code)": "200",
            "worst": "503",
        },
        {
            "bin(1m)": "2026-03-05 12:00:00.000",
            "@logStream": "b",
            "requests": "1",
            "min(code)": "200",
            "worst": "200",
        },
        {
            "bin(1m)": "2026-03-05 12:01:00.000",
            "@logStream": "a",
            "requests": "1",
            "min(code)": "200",
            "worst": "200",
        },
    ]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("took", "250"),
        ("took / 1000", "0.25"),
        ("took - 50 * 2 + 1", "151"),
        ("(took - 50) * 2", "400"),
        ("took / 0", None),
        ("least(took, 1, 7)", "1"),
        ("greatest(ceil(took - 249.5), 0)", "1"),
        ("floor(took / 100)", "2"),
        ("abs(0 - took)", "250"),
        ("text + 1", "13"),
        ("word + 1", None),
        ("absent + 1", None),
        ("nothing", None),
        ("inner.depth", "3"),
        ("yes", "1"),
        ("`took`", "250"),
        ("'it\\'s'", "it's"),
        ("bin(5m)", "1772712000000"),
    ],
)
def test_an_expression_is_worked_out(logs: Any, expression: str, value: str | None) -> None:
    event = line(took=250, text="12", word="x", nothing=None, inner={"depth": 3}, yes=True)
    put(logs, "a", (90_000, event))

    found = ask(logs, f"fields {expression} as made # so much for it")

    assert found == [{} if value is None else {"made": value}]


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("took > 249.5", True),
        ("took >= 250 and took <= 250 and took != 251", True),
        ("took < 250 or took = 250", True),
        ("not took = 250", False),
        ("text > 9", True),
        ('word = "x"', True),
        ("word != 'x'", False),
        ("absent != 1", False),
        ("ispresent(took)", True),
        ("ispresent(nothing)", False),
        ("not ispresent(absent)", True),
        ("@logStream like /^a\\/b$/", True),
        ("@logStream not like /b$/", False),
        ("absent not like /b/", False),
        ("took like /^25/", True),
        ("(took = 1 or took = 250) and word like /X|x/", True),
    ],
)
def test_a_condition_filters(logs: Any, condition: str, holds: bool) -> None:
    put(logs, "a/b", (0, line(took=250, text="12", word="x", nothing=None)))

    assert ask(logs, f"filter {condition} | stats count(*) as n") == [{"n": "1" if holds else "0"}]


def test_text_is_taken_apart(logs: Any) -> None:
    put(logs, "a", (0, "took 12 ms"), (1, "took long"), (2, "{"))

    query = r"parse @message /took (?<took>\d+)/ | filter ispresent(took) | stats sum(took) as all"
    assert ask(logs, query) == [{"all": "12"}]


def test_columns_are_sorted_and_cut(logs: Any) -> None:
    put(logs, "a", *((number, line(k=number % 3)) for number in range(7)))

    counted = "stats count(*) as n by k"
    assert [row["k"] for row in ask(logs, f"{counted} | sort n desc | limit 1")] == ["0"]
    assert [row["k"] for row in ask(logs, f"{counted} | sort k asc")] == ["0", "1", "2"]
    assert [row["k"] for row in ask(logs, f"{counted} | sort k | limit 2")] == ["2", "1"]
    assert len(ask(logs, counted, limit=2)) == 2
    assert [row["n"] for row in ask(logs, f"{counted} | filter n > 2")] == ["3"]


def test_events_are_shown_newest_first(logs: Any) -> None:
    put(logs, "a", (0, "one"), (1500, "two"))

    assert ask(logs, "fields @timestamp, @message") == [
        {"@timestamp": "2026-03-05 12:00:01.500", "@message": "two"},
        {"@timestamp": "2026-03-05 12:00:00.000", "@message": "one"},
    ]
    assert ask(logs, "fields @message | sort @timestamp asc") == [{"@message": "one"}, {"@message": "two"}]


@pytest.mark.parametrize(("percent", "value"), [(50, "3"), (95, "5"), (20, "1"), (0, "1"), (100, "5")])
def test_a_percentile_is_a_value_that_so_many_do_not_exceed(logs: Any, percent: int, value: str) -> None:
    put(logs, "a", *((number, line(k=number)) for number in range(1, 6)))

    assert ask(logs, f"stats pct(k, {percent}) as p") == [{"p": value}]


def test_what_is_no_number_is_in_no_sum(logs: Any) -> None:
    put(logs, "a", (0, line(k="x")), (1, line(k=None)), (2, line(other=1)), (3, line(k=2)))

    found = ask(logs, "stats count(*) as all, count(k) as present, sum(k) as k, sum(absent) as none")
    assert found == [{"all": "4", "present": "2", "k": "2"}]


@pytest.mark.parametrize(
    "query",
    [
        "",
        "stats",
        "stats count(*) as n |",
        "stats count(*) as n | limit 0",
        "stats count(*) as n | limit 10001",
        "stats count(*) as n | limit x",
        "stats count(*) as n, sum(k) as n",
        "stats count(*) as n | stats max(n)",
        "stats sum(k >= 500) as bad",
        "stats sum((k >= 500)) as bad",
        "stats pct(k, most)",
        "stats avg(k)",
        "stats pct(k)",
        "stats count(*) as n by bin(1 month)",
        "stats count(*) as n by bin(0m)",
        "fields k >= 500 as bad",
        "fields strlen(@message)",
        "fields floor(k, 1)",
        "fields k = 1 = 1",
        "filter (k = 1) = 1",
        "fields (k > 1) + 1 as bad",
        "filter k and k > 1",
        "filter not k",
        "filter k like x",
        "filter k like /(/",
        "filter k > 1 k < 2",
        "parse @message /took (.*)/",
        "parse @message /took (?<took_ms>.*)/",
        "parse @message 'took *' as took",
        "dedup k",
        "limit 5",
        "filter (k > 1",
    ],
)
def test_what_is_not_understood_is_a_malformed_query(logs: Any, query: str) -> None:
    with pytest.raises(ClientError) as refused:
        start(logs, query)

    assert code_of(refused) == "MalformedQueryException"


# queries


def test_the_ends_of_the_time_are_part_of_it(logs: Any) -> None:
    put(logs, "a", *((second * 1000, line(k=second)) for second in range(100)))

    assert ask(logs, "stats min(k) as first, max(k) as last", (10, 70)) == [{"first": "10", "last": "70"}]


def test_a_query_that_was_asked_before_sees_what_came_in_since(logs: Any, cloud: Cloud) -> None:
    backend = logs_backends[ACCOUNT][REGION]
    query = "stats count(*) as n"

    seen = []
    for _ in range(2):
        put_lines(backend, GROUP, [Lines(MILLISECONDS, "a", "one", 5)])
        seen += ask(logs, query)

    assert seen == [{"n": "5"}, {"n": "10"}]


def test_lines_are_what_as_many_events_are(logs: Any) -> None:
    events = [(0, line(k=1)), (0, line(k=1)), (0, line(k=1)), (10, line(k=8)), (70_000, line(k=2))]
    put(logs, "a", *events)
    query = "stats count(*), count(k), sum(k), min(k), max(k), pct(k, 50) by bin(1m)"
    as_events = ask(logs, query), ask(logs, "fields k, @timestamp")

    backend = logs_backends[ACCOUNT][REGION]
    put_lines(
        backend,
        "/other",
        [
            Lines(MILLISECONDS, "a", line(k=1), 3),
            Lines(MILLISECONDS + 10, "a", line(k=8)),
            Lines(MILLISECONDS + 70_000, "a", line(k=2)),
        ],
    )
    other = {"logGroupNames": ["/other"]}
    assert (ask(logs, query, **other), ask(logs, "fields k, @timestamp", **other)) == as_events
    assert [
        stream["logStreamName"] for stream in logs.describe_log_streams(logGroupName="/other")["logStreams"]
    ] == ["a"]


def test_groups_are_named_in_one_of_three_ways(logs: Any) -> None:
    put(logs, "a", (0, "one"))
    arn = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{GROUP}"
    asked = {"queryString": "stats count(*) as n", "startTime": SECOND, "endTime": SECOND + 60}

    for group in ({"logGroupName": GROUP}, {"logGroupIdentifiers": [arn]}, {"logGroupIdentifiers": [GROUP]}):
        answer = logs.get_query_results(queryId=logs.start_query(**asked, **group)["queryId"])
        assert answer["results"] == [[{"field": "n", "value": "1"}]]
        assert answer["statistics"] == {"recordsMatched": 1.0, "recordsScanned": 1.0, "bytesScanned": 0.0}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"logGroupNames": ["/no/such"]}, "ResourceNotFoundException"),
        ({"logGroupName": GROUP}, "InvalidParameterException"),
        ({"startTime": SECOND + 1, "endTime": SECOND}, "InvalidParameterException"),
        ({"limit": 10_001}, "InvalidParameterException"),
        ({"queryLanguage": "SQL"}, "InvalidParameterException"),
        ({"queryString": "stats count(*) as n #" + "n" * 10_000}, "InvalidParameterException"),
    ],
)
def test_a_query_that_can_t_be_run_is_refused(logs: Any, changes: dict[str, Any], code: str) -> None:
    asked = {
        "logGroupNames": [GROUP],
        "queryString": "stats count(*) as n",
        "startTime": SECOND,
        "endTime": SECOND + 60,
    }
    with pytest.raises(ClientError) as refused:
        logs.start_query(**(asked | changes))

    assert code_of(refused) == code


def test_a_query_runs_for_as_many_looks_as_it_is_told(cloud: Cloud, logs: Any) -> None:
    cloud.log_queries.runs_for_looks = 2
    query = start(logs, "stats count(*) as n")

    answers = [logs.get_query_results(queryId=query) for _ in range(3)]

    assert [answer["status"] for answer in answers] == ["Running", "Running", "Complete"]
    assert [answer["results"] for answer in answers] == [[], [], [[{"field": "n", "value": "0"}]]]


def test_a_query_ends_as_it_is_told(cloud: Cloud, logs: Any) -> None:
    cloud.log_queries.outcome = "Timeout"
    answer = logs.get_query_results(queryId=start(logs, "stats count(*) as n"))
    cloud.reset()

    assert (answer["status"], answer["results"]) == ("Timeout", [])
    assert (cloud.log_queries.outcome, cloud.log_queries.runs_for_looks) == ("Complete", 0)


def test_a_query_that_runs_can_be_stopped_once(cloud: Cloud, logs: Any) -> None:
    cloud.log_queries.runs_for_looks = 5
    query = start(logs, "stats count(*) as n")

    assert logs.stop_query(queryId=query)["success"] is True
    assert logs.get_query_results(queryId=query)["status"] == "Cancelled"
    with pytest.raises(ClientError) as ended:
        logs.stop_query(queryId=query)
    with pytest.raises(ClientError) as unknown:
        logs.get_query_results(queryId="00000000-0000-0000-0000-000000000000")
    assert (code_of(ended), code_of(unknown)) == ("InvalidParameterException", "ResourceNotFoundException")


def test_iam_is_asked_about_the_log_group_and_about_no_query(cloud: Cloud, logs: Any) -> None:
    with cloud.recording() as calls:
        cloud.log_queries.runs_for_looks = 1
        query = start(logs, "stats count(*) as n")
        logs.get_query_results(queryId=query)

    assert [(call.action, call.resource) for call in calls] == [
        ("logs:StartQuery", f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{GROUP}:log-stream:"),
        ("logs:GetQueryResults", "*"),
    ]


# access logs


def proxies(cloud: Cloud, **changes: Any) -> Task:
    """Give green access logs, and return one of its tasks."""
    options = {"awslogs-group": GROUP, "awslogs-region": REGION, "awslogs-stream-prefix": "web"}
    service_connect = {
        "enabled": True,
        "logConfiguration": {"logDriver": "awslogs", "options": options},
        "accessLogConfiguration": {"format": "JSON"},
        **changes,
    }
    add_revision(cloud, service_connect=service_connect)
    return Task(
        arn=f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/shop/{'a' * 32}",
        service=SERVICE,
        revision=GREEN,
        task_definition="arn",
        created_at=START,
    )


def write(
    cloud: Cloud,
    task: Task,
    minute: datetime = START,
    *,
    errors: int = 0,
    seconds: Sequence[tuple[float, int]] = (),
) -> None:
    requests = sum(count for _, count in seconds)
    world = cast("Any", SimpleNamespace(cloud=cloud))
    put_minute(world, task, minute, requests=requests, server_errors=errors, seconds=seconds)


@pytest.mark.parametrize(
    ("wanted", "query"),
    [
        ("JSON", "fields response_code as code, duration as took"),
        ("TEXT", r"parse @message /^\[\S+\] \"\S+ \S+ \S+\" (?<code>\d+) \d+ \d+ (?<took>\d+) \d+ \"/"),
    ],
)
def test_a_proxy_logs_each_request_of_a_minute(cloud: Cloud, logs: Any, wanted: str, query: str) -> None:
    task = proxies(cloud, accessLogConfiguration={"format": wanted})
    write(cloud, task, errors=4, seconds=[(0.25, 20), (0.01, 80)])
    write(cloud, task, START + timedelta(minutes=1), seconds=[(0.3, 7)])

    found = ask(logs, f"{query} | stats count(*) as n by bin(1m), @logStream, code, took | sort took")

    shown = [(row["bin(1m)"][11:16], row["took"], row["code"], row["n"]) for row in found]
    assert sorted(shown) == [
        ("12:00", "10", "200", "77"),
        ("12:00", "10", "503", "3"),
        ("12:00", "250", "200", "19"),
        ("12:00", "250", "503", "1"),
        ("12:01", "300", "200", "7"),
    ]
    assert {row["@logStream"] for row in found} == {f"web/ecs-service-connect/{'a' * 32}"}


@pytest.mark.parametrize(
    "changes",
    [
        {"accessLogConfiguration": None},
        {"logConfiguration": None},
        {"logConfiguration": {"logDriver": "awsfirelens"}},
    ],
)
def test_a_proxy_that_logs_elsewhere_or_nothing_logs_nothing_here(
    cloud: Cloud, logs: Any, changes: dict[str, Any]
) -> None:
    write(cloud, proxies(cloud, **changes), seconds=[(0.1, 5)])

    assert logs.describe_log_streams(logGroupName=GROUP)["logStreams"] == []


def test_a_minute_without_requests_leaves_no_trace(cloud: Cloud, logs: Any) -> None:
    write(cloud, proxies(cloud))

    assert logs.describe_log_streams(logGroupName=GROUP)["logStreams"] == []


@pytest.mark.parametrize(("requests", "errors"), [(4, 0), (5, 6), (5, -1)])
def test_numbers_that_do_not_add_up_are_refused(cloud: Cloud, logs: Any, requests: int, errors: int) -> None:
    world = cast("Any", SimpleNamespace(cloud=cloud))
    with pytest.raises(ValueError, match="requests"):
        put_minute(world, proxies(cloud), START, requests=requests, server_errors=errors, seconds=[(0.1, 5)])
