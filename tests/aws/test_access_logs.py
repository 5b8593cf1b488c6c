"""Access logs read through Logs Insights and ECS, with what the template allows and no more."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
import time_machine
from moto.logs.models import logs_backends

from hooks.canary_comparison import access_logs, log_query
from hooks.canary_comparison.observation import MINUTE, Observation, Split
from hooks.canary_comparison.settings import AccessLogMetric
from hooks.canary_comparison.window import Window
from rehearsal import functions
from rehearsal.aws.access_logs import put_minute
from rehearsal.aws.cloud import ACCOUNT, Cloud
from rehearsal.aws.door import RecordedCall
from rehearsal.aws.logs import Lines, put_lines
from rehearsal.model import Task
from shared import clock
from shared.deployment import Deployment
from shared.errors import Misconfigured, Transient
from shared.lifecycle import LifecycleEvent, ServiceRevisionArn
from tests.shared.checkout import (
    BLUE,
    GREEN,
    PRODUCTION,
    REGION,
    SERVICE,
    START,
    TASK_DEFINITION,
    deploy,
    event,
    split,
)

GROUP = "/ecs/proxies"
NOW = START + 3 * MINUTE
WINDOW = Window(START, START + timedelta(minutes=10))
SECONDS = [(0.1, 80), (0.2, 15), (0.9, 5)]
ASK = ["logs:StartQuery", "logs:GetQueryResults"]


def metric(measure: str, above: float | None = None, name: str | None = None) -> AccessLogMetric:
    return AccessLogMetric.model_validate(
        {
            "source": "serviceConnectAccessLogs",
            "measure": measure,
            "lagSeconds": 60,
            "slowAboveSeconds": above,
            "name": name or measure,
        }
    )


ERRORS, SLOW = metric("errors"), metric("slow")


def logging(**changes: str) -> dict[str, Any]:
    options = {
        "awslogs-group": changes.get("group", GROUP),
        "awslogs-region": REGION,
        "awslogs-stream-prefix": "checkout",
    }
    return {
        "enabled": True,
        "logConfiguration": {"logDriver": "awslogs", "options": options},
        "accessLogConfiguration": {"format": changes.get("format", "JSON")},
    }


@dataclass
class Shop:
    """An account with the deployment of ``checkout``, in which proxies log."""

    cloud: Cloud
    calls: list[RecordedCall] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)

    def logs(self, revision: ServiceRevisionArn, service_connect: dict[str, Any] | None) -> None:
        self.cloud.control_plane.revisions[str(revision)].service_connect = service_connect

    def task(self, revision: ServiceRevisionArn, number: int, **changes: Any) -> Task:
        task = Task(
            arn=f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/shop/{number:032x}",
            service=SERVICE,
            revision=revision,
            task_definition=TASK_DEFINITION,
            created_at=START - timedelta(days=1),
            started_at=START - timedelta(days=1),
            **changes,
        )
        self.cloud.control_plane.tasks[task.arn] = task
        return task

    def serve(
        self,
        task: Task,
        *minutes: int,
        errors: int = 0,
        seconds: Sequence[tuple[float, int]] = SECONDS,
    ) -> None:
        """Let a task answer the same requests in each of the minutes since the start."""
        world = cast("Any", SimpleNamespace(cloud=self.cloud))
        requests = sum(count for _, count in seconds)
        for minute in minutes:
            at = START + minute * MINUTE
            put_minute(world, task, at, requests=requests, server_errors=errors, seconds=seconds)

    def observe(
        self, *metrics: AccessLogMetric, minutes: float = 3, window: Window = WINDOW
    ) -> dict[str, Observation]:
        deployment = Deployment(LifecycleEvent.parse(event(PRODUCTION, production=split(10, 90))))
        green, blue, now = deployment.green, deployment.blue, START + minutes * MINUTE
        assert blue is not None
        with self.cloud.recording() as calls:
            found = access_logs.observe(metrics, SERVICE, green, blue, window, now)
        self.calls = calls
        return found

    @property
    def actions(self) -> list[str]:
        return [call.action for call in self.calls if not call.action.startswith("ecs:DescribeService")]


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    with (
        time_machine.travel(NOW, tick=False),
        Cloud(region=REGION, seed=1) as cloud,
        cloud.enforcing_iam(),
    ):
        deploy(cloud)
        shop = Shop(cloud)
        monkeypatch.setattr(clock, "sleep", shop.waited.append)
        for revision in (GREEN, BLUE):
            shop.logs(revision, logging())
        logs_backends[ACCOUNT][REGION].create_log_group(GROUP, {})
        statements = functions.deployed(())["CanaryComparisonFunction"].statements
        policy = {"Version": "2012-10-17", "Statement": list(statements)}
        with cloud.acting_as("hook", policies=[policy]):
            yield shop
        assert cloud.defects == []


@pytest.fixture
def green(shop: Shop) -> Task:
    return shop.task(GREEN, 1)


@pytest.fixture
def blue(shop: Shop) -> Task:
    return shop.task(BLUE, 2)


def test_bad_and_slow_requests_are_counted_on_both_sides(shop: Shop, green: Task, blue: Task) -> None:
    shop.serve(blue, -30, -1, seconds=[(0.1, 94), (0.2, 5), (1.5, 1)])
    second = shop.task(BLUE, 3)
    for task in (blue, second):
        shop.serve(task, 0, 1, 2, errors=2)
    shop.serve(green, 0, 1, 2, errors=20)

    found = shop.observe(ERRORS, SLOW, metric("slow", 0.5, "very slow"))

    minutes = [START, START + MINUTE]
    assert [split.start for split in found["errors"].minutes] == minutes
    assert found["errors"].minutes[0] == Split(START, 20, 100, 4, 200)
    # 95 % of blue's requests took no more than 0.2 s.
    assert (found["slow"].threshold, found["slow"].minutes[1]) == (0.2, Split(minutes[1], 5, 100, 10, 200))
    assert (found["very slow"].threshold, found["very slow"].minutes) == (
        0.5,
        tuple(Split(minute, 5, 100, 10, 200) for minute in minutes),
    )
    assert {(one.missing, one.problem) for one in found.values()} == {((), "")}
    assert shop.actions == ["ecs:ListTasks", *ASK, *ASK, *["ecs:DescribeTasks"] * 3]


def test_a_latency_that_was_set_costs_one_query(shop: Shop, green: Task, blue: Task) -> None:
    for task in (green, blue):
        shop.serve(task, 0, 1)

    found = shop.observe(metric("slow", 0.1))

    assert found["slow"].minutes[0] == Split(START, 20, 100, 20, 100)
    assert shop.actions == [*ASK, "ecs:DescribeTasks", "ecs:DescribeTasks"]


def test_text_is_read_as_well_as_json(shop: Shop, green: Task, blue: Task) -> None:
    shop.logs(GREEN, logging(format="TEXT"))
    for task in (green, blue):
        shop.serve(task, 0, 1, errors=3)

    found = shop.observe(ERRORS, metric("slow", 0.2))

    assert found["errors"].minutes[0] == Split(START, 3, 100, 3, 100)
    assert found["slow"].minutes[0] == Split(START, 5, 100, 5, 100)
    assert shop.actions.count("logs:StartQuery") == 2


def test_revisions_that_log_to_different_groups_are_asked_about_apart(
    shop: Shop, green: Task, blue: Task
) -> None:
    shop.logs(GREEN, logging(group="/ecs/new"))
    for task in (green, blue):
        shop.serve(task, 0, 1)

    found = shop.observe(ERRORS)

    assert found["errors"].minutes[0] == Split(START, 0, 100, 0, 100)
    asked = [call.resource.split(":")[6] for call in shop.calls if call.action == "logs:StartQuery"]
    assert asked == ["/ecs/new", GROUP]


def line(code: object = 200, duration: object = 1, method: str = '"GET"') -> str:
    return f'{{"method":{method},"response_code":{code},"duration":{duration}}}'


@pytest.mark.parametrize(
    ("message", "counted"),
    [
        (line(), (101, 0)),
        (line(499), (101, 0)),
        (line(500), (101, 1)),
        (line(599), (101, 1)),
        (line(0), (101, 1)),
        (line("null"), (100, 0)),
        (line(0, method="null"), (100, 0)),
        (line(duration="null"), (100, 0)),
        ("[2026-03-05 12:00:00.000][1][info][main] all dependencies initialized", (100, 0)),
        ("{", (100, 0)),
    ],
)
def test_what_is_a_request_and_what_a_bad_one(
    shop: Shop, green: Task, blue: Task, message: str, counted: tuple[int, int]
) -> None:
    for task in (green, blue):
        shop.serve(task, 0)
    stream = f"checkout/ecs-service-connect/{green.id}"
    put_lines(logs_backends[ACCOUNT][REGION], GROUP, [Lines(int(START.timestamp() * 1000), stream, message)])

    found = shop.observe(ERRORS, minutes=2)["errors"].minutes

    total, bad = counted
    assert found == (Split(START, bad, total, 0, 100),)


@pytest.mark.parametrize(
    ("message", "counted"),
    [
        ('[2026-03-05T12:00:00.000Z] "GET /a HTTP/1.1" 503 0 11 4 3 "-"', (101, 1)),
        ('[2026-03-05T12:00:00.000Z] "GET /a HTTP/1.1" 503 UF,URX 0 11 4 - "-"', (101, 1)),
        ('[2026-03-05T12:00:00.000Z] "GET /a HTTP/2" 200 - 0 11 4 3 "-"', (101, 0)),
        ('[2026-03-05T12:00:00.000Z] "GET /" HTTP/1.1" 0 DC 0 0 4 - "-"', (101, 1)),
        ('[2026-03-05T12:00:00.000Z] "- - -" 0 UF 0 0 4', (100, 0)),
        ("[2026-03-05 12:00:00.000][1][info][main] starting", (100, 0)),
        ('before [2026-03-05T12:00:00.000Z] "GET /a HTTP/1.1" 503 0 11 4 3 "-"', (100, 0)),
    ],
)
def test_what_is_a_request_in_text(
    shop: Shop, green: Task, blue: Task, message: str, counted: tuple[int, int]
) -> None:
    for revision in (GREEN, BLUE):
        shop.logs(revision, logging(format="TEXT"))
    for task in (green, blue):
        shop.serve(task, 0)
    stream = f"checkout/ecs-service-connect/{green.id}"
    put_lines(logs_backends[ACCOUNT][REGION], GROUP, [Lines(int(START.timestamp() * 1000), stream, message)])

    total, bad = counted
    assert shop.observe(ERRORS, minutes=2)["errors"].minutes == (Split(START, bad, total, 0, 100),)


@pytest.mark.parametrize("stream", ["checkout/app/{}", "checkout/proxy/{}", "other/agent/{}", "{}"])
def test_streams_of_others_do_not_count(shop: Shop, green: Task, blue: Task, stream: str) -> None:
    for task in (green, blue):
        shop.serve(task, 0)
    # The task's own containers are called app and proxy.
    lines = [Lines(int(START.timestamp() * 1000), stream.format(green.id), line(500), 1000)]
    put_lines(logs_backends[ACCOUNT][REGION], GROUP, lines)

    assert shop.observe(ERRORS, minutes=2)["errors"].minutes == (Split(START, 0, 100, 0, 100),)


def test_requests_to_tasks_of_other_revisions_are_left_out(shop: Shop, green: Task, blue: Task) -> None:
    older = ServiceRevisionArn("aws", REGION, ACCOUNT, "shop", "checkout", "1000000000000000001")
    shop.cloud.control_plane.revisions[str(older)] = shop.cloud.control_plane.revisions[str(BLUE)]
    for task in (green, blue, shop.task(older, 3)):
        shop.serve(task, 0)

    assert shop.observe(ERRORS, minutes=2)["errors"].minutes == (Split(START, 0, 100, 0, 100),)


def test_a_task_that_stopped_is_known_for_an_hour(shop: Shop, green: Task, blue: Task) -> None:
    gone = shop.task(BLUE, 3, exited_at=NOW - timedelta(minutes=59))
    for task in (green, blue, gone):
        shop.serve(task, 0)

    assert shop.observe(ERRORS, minutes=2)["errors"].minutes == (Split(START, 0, 100, 0, 200),)


def test_minutes_of_a_task_that_nobody_knows_any_more_are_missing(
    shop: Shop, green: Task, blue: Task
) -> None:
    forgotten = shop.task(BLUE, 3, exited_at=NOW - timedelta(minutes=61))
    for task in (green, blue):
        shop.serve(task, 0, 1)
    shop.serve(forgotten, 0)

    found = shop.observe(ERRORS)["errors"]

    assert (found.minutes, found.missing) == ((Split(START + MINUTE, 0, 100, 0, 100),), (START,))
    assert found.problem == (
        f"requests in log streams of {GROUP} that are of tasks ECS does not know (any more), such as "
        f"'checkout/ecs-service-connect/{3:032x}', in 1 of 2 minutes"
    )


def test_more_tasks_than_ecs_describes_at_once_are_described(shop: Shop, green: Task) -> None:
    for number in range(2, 152):
        shop.serve(shop.task(BLUE, number), 0, seconds=[(0.1, 1)])
    shop.serve(green, 0)

    assert shop.observe(ERRORS, minutes=2)["errors"].minutes == (Split(START, 0, 100, 0, 150),)
    assert shop.observe(SLOW, minutes=2)["slow"].problem == access_logs.NO_THRESHOLD


def test_without_a_usual_latency_nothing_is_slow_or_fast(shop: Shop, green: Task, blue: Task) -> None:
    for task in (green, blue):
        shop.serve(task, 0, 1)
    # An hour and a minute before, and a task that is not blue's.
    shop.serve(blue, -61)
    shop.serve(green, -1)

    found = shop.observe(ERRORS, SLOW)

    assert found["slow"] == Observation(
        "slow", SLOW.kind, (), (START, START + MINUTE), access_logs.NO_THRESHOLD
    )
    assert len(found["errors"].minutes) == 2


def test_blue_without_tasks_has_no_usual_latency(shop: Shop, green: Task) -> None:
    shop.serve(green, 0, 1)

    found = shop.observe(SLOW)["slow"]

    assert (found.minutes, found.problem) == ((), access_logs.NO_THRESHOLD)


def test_nothing_is_asked_before_a_minute_is_complete(shop: Shop) -> None:
    assert shop.observe(ERRORS, SLOW, minutes=1.99) == {
        "errors": Observation("errors", ERRORS.kind, ()),
        "slow": Observation("slow", SLOW.kind, ()),
    }
    assert shop.actions == []


def test_as_many_rows_as_can_be_read_may_not_be_all_of_them(
    shop: Shop, green: Task, blue: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    for task in (green, blue):
        shop.serve(task, 0, 1)
    for module in (access_logs, log_query):
        monkeypatch.setattr(module, "MAX_ROWS", 4)

    found = shop.observe(ERRORS, metric("slow", 0.5))

    problem = (
        f"the access logs in {GROUP} have 4 or more rows (streams times minutes), which is more than can be "
        "read"
    )
    missing = (START, START + MINUTE)
    assert found == {
        "errors": Observation("errors", ERRORS.kind, (), missing, problem),
        "slow": Observation("slow", SLOW.kind, (), missing, problem, 0.5),
    }


# queries that take their time, or fail


def test_a_query_is_looked_at_again_until_it_has_ended(shop: Shop, green: Task, blue: Task) -> None:
    for task in (green, blue):
        shop.serve(task, 0)
    shop.cloud.log_queries.runs_for_looks = 3

    found = shop.observe(ERRORS, minutes=2)

    assert len(found["errors"].minutes) == 1
    assert shop.waited == [0.5, 1.0, 1.5]


def test_a_query_that_does_not_end_is_stopped(shop: Shop) -> None:
    shop.cloud.log_queries.runs_for_looks = 100

    with shop.cloud.recording() as calls, pytest.raises(Transient) as late:
        shop.observe(ERRORS)

    assert str(late.value) == f"the query of the access logs in {GROUP} took more than 10 seconds"
    assert sum(shop.waited) == 10
    assert [call.action for call in calls][-2:] == ["logs:GetQueryResults", "logs:StopQuery"]


@pytest.mark.parametrize("status", ["Failed", "Cancelled", "Timeout"])
def test_a_query_that_ends_badly_is_asked_again_later(shop: Shop, status: str) -> None:
    shop.cloud.log_queries.outcome = status

    with pytest.raises(Transient) as failed:
        shop.observe(ERRORS)

    assert str(failed.value) == f"the query of the access logs in {GROUP} ended as {status}"


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("logs:StartQuery", GROUP),
        ("logs:GetQueryResults", GROUP),
        ("ecs:DescribeTasks", "shop"),
        ("ecs:ListTasks", "shop"),
    ],
)
def test_throttling_passes(shop: Shop, green: Task, blue: Task, action: str, resource: str) -> None:
    shop.serve(blue, -1, 0)
    shop.cloud.faults.add(action=action, error="ThrottlingException")

    with pytest.raises(Transient) as throttled:
        shop.observe(ERRORS, SLOW)

    assert str(throttled.value) == f"{action} on {resource}: ThrottlingException"


def test_a_query_that_can_t_be_stopped_does_not_hide_what_went_wrong(shop: Shop) -> None:
    shop.cloud.log_queries.runs_for_looks = 100
    shop.cloud.faults.add(action="logs:StopQuery", error="ThrottlingException")

    with pytest.raises(Transient, match="took more than 10 seconds"):
        shop.observe(ERRORS)


def test_too_many_queries_at_once_pass(shop: Shop) -> None:
    shop.cloud.faults.add(action="logs:StartQuery", error="LimitExceededException")

    with pytest.raises(Transient):
        shop.observe(ERRORS)


@pytest.mark.parametrize(("revision", "colour"), [(GREEN, "green"), (BLUE, "blue")])
def test_a_revision_without_access_logs_is_named(
    shop: Shop, revision: ServiceRevisionArn, colour: str
) -> None:
    shop.logs(revision, None)

    with pytest.raises(Misconfigured, match=f"^{colour} has no Service Connect access logs; set "):
        shop.observe(ERRORS, minutes=0)


def test_a_log_group_that_does_not_exist_is_named(shop: Shop) -> None:
    for revision in (GREEN, BLUE):
        shop.logs(revision, logging(group="/no/such"))

    with pytest.raises(Misconfigured, match=r"^logs:StartQuery on /no/such: ResourceNotFoundException"):
        shop.observe(ERRORS)


def test_rows_that_make_no_sense_are_not_taken_for_zero(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_logs, "_run", lambda *_: [{"requests": "1"}])

    with pytest.raises(Transient) as refused:
        shop.observe(ERRORS)

    assert str(refused.value) == f"logs:GetQueryResults on {GROUP}: a row without minute or stream"
