"""CloudWatch Logs Insights and ECS, as far as the access logs of Service Connect's proxies need them.

Each look asks for the whole time watched, so that nothing has to be remembered; what it costs is what the
logs of that time weigh, and an hour more where ``slowAboveSeconds`` is left to be found out.

A stopped task can be described for about an hour. Minutes in which one served that has been gone for
longer become missing; see :data:`log_query.MAX_UNKNOWN_SHARE`.
"""

import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from hooks.canary_comparison import log_query
from hooks.canary_comparison.log_query import MAX_ROWS, MAX_THRESHOLD_TASKS, Row, Side, Tally, Task
from hooks.canary_comparison.observation import MINUTE, Kind, Observation
from hooks.canary_comparison.settings import AccessLogMetric, lag_seconds
from hooks.canary_comparison.window import Window
from shared import clock
from shared.clients import client
from shared.errors import HookError, Transient, translated
from shared.lifecycle import ServiceArn
from shared.revision import Revision

# Before each look at a query: ten seconds in all. Most are done after one.
WAITS_SECONDS = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 2.5)

# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetQueryResults.html
_ENDED_BADLY = {"Failed", "Cancelled", "Timeout"}

# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html
TASKS_PER_CALL = 100

# As many tasks as ECS allows a service, of which green and blue have a part each.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-quotas.html
MAX_TASKS = 5000

NO_THRESHOLD = (
    "blue served no request in the hour before, so no threshold for slow requests is known; "
    "set slowAboveSeconds"
)


def observe(  # noqa: PLR0917  # called as the other reader is, which has one less
    metrics: Sequence[AccessLogMetric],
    service: ServiceArn,
    green: Revision,
    blue: Revision,
    window: Window,
    now: datetime,
) -> dict[str, Observation]:
    """Return what is known of each metric, by name.

    Raises
    ------
    Misconfigured
        If a revision has no access logs that can be read, or AWS refuses.
    Transient
        If AWS can't answer now, or a query takes too long.
    """
    # Equal where nothing was changed about them, and then asked once.
    sources = list(
        dict.fromkeys(
            log_query.usable(revision, side.value, service)
            for side, revision in ((Side.GREEN, green), (Side.BLUE, blue))
        )
    )
    closed = [
        minute
        for metric in metrics
        for minute in window.closed_minutes(now, timedelta(seconds=lag_seconds(metric)))
    ]
    if not closed:
        return {metric.name: log_query.unknown(metric, window, now, "") for metric in metrics}
    containers = {image.container for revision in (green, blue) for image in revision.images}
    seconds = _seconds(metrics, service, blue, containers, window)
    thresholds = sorted(set(seconds.values()))
    found: list[Row] = []
    for logs in sources:
        query = log_query.minutes_query(logs, containers, thresholds)
        some = _run(logs.log_group, query, min(closed), max(closed) + MINUTE)
        if len(some) >= MAX_ROWS:
            problem = (
                f"the access logs in {logs.log_group} have {MAX_ROWS} or more rows (streams times minutes), "
                "which is more than can be read"
            )
            return {
                metric.name: log_query.unknown(metric, window, now, problem, seconds.get(metric.name))
                for metric in metrics
            }
        try:
            found += log_query.rows(some, len(thresholds))
        except ValueError as error:
            raise Transient(f"logs:GetQueryResults on {logs.log_group}: {error}") from error
    tasks = {task for row in found if (task := log_query.task_of(row.stream))}
    sides = log_query.sides(_described(service, sorted(tasks)), service, green, blue)
    tally = Tally(found, sides, " and ".join(sorted({logs.log_group for logs in sources})))
    observations: dict[str, Observation] = {}
    for metric in metrics:
        above = seconds.get(metric.name)
        if metric.kind is Kind.SLOW and above is None:
            observations[metric.name] = log_query.unknown(metric, window, now, NO_THRESHOLD)
            continue
        threshold = None if above is None else thresholds.index(above)
        observations[metric.name] = log_query.observed(
            metric, tally, window, now, seconds=above, threshold=threshold
        )
    return observations


def _seconds(
    metrics: Sequence[AccessLogMetric],
    service: ServiceArn,
    blue: Revision,
    containers: set[str],
    window: Window,
) -> dict[str, float]:
    """Return above how many seconds a request is slow, by metric; nothing for one that can't be told."""
    slow = [metric for metric in metrics if metric.kind is Kind.SLOW]
    seconds = {metric.name: metric.slow_above_seconds for metric in slow}
    if None in seconds.values():
        usual = _usual_seconds(service, blue, containers, window.start)
        seconds = {name: usual if given is None else given for name, given in seconds.items()}
    return {name: given for name, given in seconds.items() if given is not None}


def _usual_seconds(service: ServiceArn, blue: Revision, containers: set[str], end: datetime) -> float | None:
    """Return what 95 % of the requests took in the hour before, of blue's tasks that still run."""
    tasks = _running(service, blue)
    if not tasks:
        return None
    logs = log_query.usable(blue, Side.BLUE.value, service)
    query = log_query.latency_query(logs, containers, tasks)
    # Green's first requests may have come at the very end, and the time asked for includes it.
    last = end - timedelta(seconds=1)
    latency = log_query.latency(_run(logs.log_group, query, end - log_query.HOUR, last))
    return latency and latency.seconds


def _run(log_group: str, query: str, start: datetime, end: datetime) -> list[Mapping[str, str]]:
    """Run a query over [start, end] and return its rows."""
    with translated("logs:StartQuery", log_group):
        identifier = client("logs").start_query(
            logGroupNames=[log_group],
            startTime=int(start.timestamp()),
            endTime=int(end.timestamp()),
            queryString=query,
            limit=MAX_ROWS,
        )["queryId"]
    try:
        return _results(log_group, identifier)
    except HookError:
        # An account may run so many at once; nobody will come back for this one.
        with contextlib.suppress(HookError), translated("logs:StopQuery", log_group):
            client("logs").stop_query(queryId=identifier)
        raise


def _results(log_group: str, identifier: str) -> list[Mapping[str, str]]:
    for seconds in WAITS_SECONDS:
        if seconds:
            clock.sleep(seconds)
        with translated("logs:GetQueryResults", log_group):
            answer = client("logs").get_query_results(queryId=identifier)
        status = answer.get("status", "Unknown")
        if status == "Complete":
            return [
                {item.get("field", ""): item.get("value", "") for item in row}
                for row in answer.get("results", [])
            ]
        if status in _ENDED_BADLY:
            raise Transient(f"the query of the access logs in {log_group} ended as {status}")
    raise Transient(
        f"the query of the access logs in {log_group} took more than {sum(WAITS_SECONDS):.0f} seconds"
    )


def _running(service: ServiceArn, revision: Revision) -> list[str]:
    with translated("ecs:ListTasks", service.cluster):
        listed = client("ecs").list_tasks(
            cluster=service.cluster,
            startedBy=log_query.started_by(revision),
            maxResults=MAX_THRESHOLD_TASKS,
        )
    identifiers = (log_query.task_of(arn) for arn in listed["taskArns"])
    return sorted(identifier for identifier in identifiers if identifier)


def _described(service: ServiceArn, tasks: Sequence[str]) -> list[Task]:
    """Describe tasks, stopped ones too; those that ECS does not know are left out."""
    found: list[Task] = []
    for start in range(0, min(len(tasks), MAX_TASKS), TASKS_PER_CALL):
        some = tasks[start : start + TASKS_PER_CALL]
        with translated("ecs:DescribeTasks", service.cluster):
            answer = client("ecs").describe_tasks(cluster=service.cluster, tasks=some)
        found += [
            Task(
                task.get("taskArn", "").rpartition("/")[2],
                task.get("startedBy", ""),
                task.get("taskDefinitionArn", ""),
                task.get("group", ""),
            )
            for task in answer["tasks"]
        ]
    return found
