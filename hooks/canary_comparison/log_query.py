r"""The access logs of Service Connect's proxies: what is asked of CloudWatch Logs Insights, and what it says.

::

    one line a request ──Logs Insights──▶ (minute, stream) ─▶ requests, bad, slow
    stream  prefix/container/TASK ──DescribeTasks──▶ green, blue, another revision, or nobody knows

Known of the logs, and how surely:

- Documented: access logs and the proxy's own messages go to one stream. A TEXT line reads
  ``[start] "METHOD PATH PROTOCOL" CODE RECEIVED SENT MILLISECONDS ...``. Envoy's own default has flags
  after the code, which AWS's page leaves out; both are understood.
- Observed, in logs that others have published: a JSON line has ``start_time``, ``method``, ``path``,
  ``protocol``, ``duration``, ``bytes_received``, ``bytes_sent``, ``request_id``, ``authority``,
  ``user_agent`` and ``forwarded_for``, the last ``null`` where there is none.
- Named by others and in no line that was seen: ``response_code``, ``response_flags`` and
  ``upstream_host``. Should the first be called otherwise, no line counts as a request, and every minute is
  missing.
- Unknown: the name of the proxy's container, so that all count that are no container of the task
  definition; whether requests that the proxy sends for its task are logged like those it receives. No
  field is known to tell them apart, so both count, on both sides alike.

A request is bad if it was answered with 5xx or not at all (code 0: Envoy's word for a connection that
ended before an answer began; its flags would only say how). gRPC's errors are in no field, and a TCP
connection has no code.
Requests of testers that Service Connect sent to green are green's. A minute is that of the log event,
which is written when the request has ended.

Sources: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-connect-envoy-access-logs.html,
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using_awslogs.html,
https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage,
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html
"""

import enum
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from hooks.canary_comparison.observation import Observation, Split
from hooks.canary_comparison.settings import AccessLogMetric, lag_seconds
from hooks.canary_comparison.window import Window
from shared.errors import Misconfigured, shown
from shared.lifecycle import ServiceArn
from shared.revision import AccessLogs, Revision

# What one answer of GetQueryResults can hold.
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_StartQuery.html
MAX_ROWS = 10_000

HOUR = timedelta(hours=1)

# An estimate of a percentile needs no more tasks than these, and a query has at most 10,000 characters.
MAX_THRESHOLD_TASKS = 100

# Requests in streams of tasks that nobody knows, as a share of the smaller side's. More could be what
# makes the difference.
MAX_UNKNOWN_SHARE = 0.05

# What may stand in a query: whoever updates the service chooses it. Narrower than what CloudWatch allows.
_PREFIX = re.compile(r"[A-Za-z0-9_./+=@-]{1,256}")
_CONTAINER = re.compile(r"[A-Za-z0-9_-]{1,255}")
_TASK = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# A path has no space in it, so that none can pass for the rest of the line.
_TEXT_LINE = (
    r"/^\[[^\]]+\] \"\S+ \S+ \S+\" (?<code>\d+) (?:[A-Z][A-Za-z,]* |- )?\d+ \d+ (?<milliseconds>\d+) /"
)

_BIN = "bin(1m)"


class Side(enum.Enum):
    """Whose task it is that wrote a stream."""

    GREEN = "green"
    BLUE = "blue"
    OTHER = "other"
    """Known to be neither: another revision's, or another service's."""
    UNKNOWN = "unknown"


class Task(NamedTuple):
    """What ECS says of a task."""

    id: str
    started_by: str
    task_definition_arn: str
    group: str


class Row(NamedTuple):
    """What one stream holds of one minute."""

    minute: datetime
    stream: str
    requests: float
    bad: float
    slow: tuple[float, ...]
    """By threshold, in the order they were asked for."""


class Latency(NamedTuple):
    """What blue's requests took in the hour before."""

    requests: float
    seconds: float
    """95 % of them took no longer."""


def usable(revision: Revision, colour: str, service: ServiceArn) -> AccessLogs:
    """Return where a revision's access logs are; raises ``Misconfigured`` where they can't be read."""
    logs = revision.access_logs
    where = f"{colour}: serviceConnectConfiguration"
    if logs is None:
        raise Misconfigured(
            f"{colour} has no Service Connect access logs; set serviceConnectConfiguration."
            "accessLogConfiguration.format to JSON, and its logConfiguration to awslogs"
        )
    if logs.driver != "awslogs":
        raise Misconfigured(
            f"{where}.logConfiguration.logDriver is {shown(logs.driver)}; only awslogs can be read"
        )
    if logs.format not in {"JSON", "TEXT"}:
        raise Misconfigured(f"{where}.accessLogConfiguration.format is {shown(logs.format)}; set it to JSON")
    options = f"{where}.logConfiguration.options"
    if not logs.log_group:
        raise Misconfigured(f"{options} has no awslogs-group")
    if logs.region != service.region:
        raise Misconfigured(
            f"{options}: awslogs-region is {shown(logs.region)}, and logs are read in {service.region} only"
        )
    if not _PREFIX.fullmatch(logs.stream_prefix):
        raise Misconfigured(
            f"{options}: awslogs-stream-prefix is {shown(logs.stream_prefix)}; without one of letters, "
            "digits and _./+=@- no log stream can be told to be a task's"
        )
    return logs


def minutes_query(logs: AccessLogs, containers: Iterable[str], slow_above: Sequence[float]) -> str:
    """Return the query for requests by minute and stream.

    Conditions are written as arithmetic on whole numbers: that a comparison can be summed is not
    documented.

    Parameters
    ----------
    containers
        Those of the task definitions, which are not the proxy.
    slow_above
        Thresholds in seconds.
    """
    lines, code, milliseconds = _lines(logs, containers, r"[^\/]+")
    flags = [f"(least(floor({code} / 500), 1) + 1 - least({code}, 1)) as bad"]
    flags += [
        f"least(greatest(ceil({milliseconds} - {_milliseconds(seconds)}), 0), 1) as slow{number}"
        for number, seconds in enumerate(slow_above)
    ]
    sums = ["count(*) as requests", "sum(bad) as bad"]
    sums += [f"sum(slow{number}) as slow{number}" for number in range(len(slow_above))]
    return "\n| ".join(
        [
            *lines,
            f"fields {', '.join(flags)}",
            f"stats {', '.join(sums)} by {_BIN}, @logStream",
            f"limit {MAX_ROWS}",
        ]
    )


def latency_query(logs: AccessLogs, containers: Iterable[str], tasks: Sequence[str]) -> str:
    """Return the query for the 95th percentile of what the requests of these tasks took."""
    lines, _, milliseconds = _lines(logs, containers, f"({'|'.join(tasks)})")
    return "\n| ".join(
        [*lines, f"stats count(*) as requests, pct({milliseconds}, 95) as milliseconds", "limit 1"]
    )


def latency(results: Iterable[Mapping[str, str]]) -> Latency | None:
    """Read the answer to :func:`latency_query`; ``None`` if there was no request."""
    for fields in results:
        requests, milliseconds = _number(fields, "requests"), _number(fields, "milliseconds")
        if requests > 0 and 0 <= milliseconds < math.inf:
            return Latency(requests, milliseconds / 1000)
    return None


def rows(results: Iterable[Mapping[str, str]], thresholds: int) -> list[Row]:
    """Read the answer to :func:`minutes_query`; what is no number becomes NaN.

    Raises
    ------
    ValueError
        For a row without a minute or a stream.
    """
    found = []
    for fields in results:
        if not fields.get(_BIN) or not fields.get("@logStream"):
            raise ValueError("a row without minute or stream")
        found.append(
            Row(
                datetime.fromisoformat(fields[_BIN]).replace(tzinfo=UTC),
                fields["@logStream"],
                _number(fields, "requests"),
                _number(fields, "bad"),
                tuple(_number(fields, f"slow{number}") for number in range(thresholds)),
            )
        )
    return found


def task_of(stream: str) -> str | None:
    """Return the id of the task that writes a stream, ``None`` if its name has none."""
    identifier = stream.rpartition("/")[2]
    return identifier if _TASK.fullmatch(identifier) else None


def started_by(revision: Revision) -> str:
    """Return how ECS marks the tasks of a revision.

    AWS's samples rely on it; ECS's documentation calls what follows the slash the deployment's id.
    """
    return f"ecs-svc/{revision.arn.id}"


def sides(tasks: Iterable[Task], service: ServiceArn, green: Revision, blue: Revision) -> dict[str, Side]:
    """Tell whose each task is."""
    found: dict[str, Side] = {}
    # The definition is a second witness where it can be one.
    differ = green.task_definition_arn != blue.task_definition_arn
    for task in tasks:
        side = Side.OTHER
        # Whoever runs a task by hand may give it any mark, but not the group of a service.
        if task.group == f"service:{service.service}":
            for candidate, revision in ((Side.GREEN, green), (Side.BLUE, blue)):
                if task.started_by == started_by(revision):
                    agrees = not differ or task.task_definition_arn == revision.task_definition_arn
                    side = candidate if agrees else Side.UNKNOWN
        found[task.id] = side
    return found


@dataclass(slots=True)
class _Counts:
    requests: float = 0.0
    bad: float = 0.0
    slow: list[float] = field(default_factory=list)

    def add(self, row: Row) -> None:
        self.requests += row.requests
        self.bad += row.bad
        self.slow = [
            count + more for count, more in zip(self.slow or [0.0] * len(row.slow), row.slow, strict=True)
        ]


class Tally:
    """Requests by minute and side."""

    def __init__(self, found: Iterable[Row], of: Mapping[str, Side], where: str) -> None:
        """Add up rows.

        Parameters
        ----------
        of
            Sides by task; a task that is not in it is unknown.
        where
            The log groups, for people.
        """
        self._where = where
        self._counts: defaultdict[tuple[datetime, Side], _Counts] = defaultdict(_Counts)
        self._stranger = ""
        for row in found:
            side = of.get(task_of(row.stream) or "", Side.UNKNOWN)
            self._counts[row.minute, side].add(row)
            if side is Side.UNKNOWN:
                self._stranger = self._stranger or row.stream

    def split(self, minute: datetime, threshold: int | None) -> Split | str:
        """Return one minute, or why it is not known.

        Parameters
        ----------
        threshold
            Which of those asked for, to count slow requests; ``None`` to count bad ones.
        """
        counted: dict[Side, tuple[float, float]] = {}
        for side in (Side.GREEN, Side.BLUE):
            counts = self._counts.get((minute, side), _Counts())
            total = counts.requests
            if total == 0:
                return f"{side.value}: no request in the access logs in {self._where}"
            bad = counts.bad if threshold is None else counts.slow[threshold]
            if not (0 < total < math.inf and 0 <= bad < math.inf):
                return f"{side.value}: the access logs in {self._where} add up to no number of requests"
            counted[side] = min(bad, total), total
        unknown = self._counts.get((minute, Side.UNKNOWN), _Counts()).requests
        least = min(total for _, total in counted.values())
        # Written so that NaN is too many.
        if not unknown <= MAX_UNKNOWN_SHARE * least:
            return (
                f"requests in log streams of {self._where} that are of tasks ECS does not know (any more), "
                f"such as {shown(self._stranger)},"
            )
        return Split(minute, *counted[Side.GREEN], *counted[Side.BLUE])


def observed(
    metric: AccessLogMetric,
    tally: Tally,
    window: Window,
    now: datetime,
    *,
    seconds: float | None,
    threshold: int | None,
) -> Observation:
    """Return what is known of a metric.

    Parameters
    ----------
    seconds, threshold
        Above what a request is slow, and which of the thresholds asked for that is; ``None`` if it
        counts bad requests.
    """
    closed = window.closed_minutes(now, timedelta(seconds=lag_seconds(metric)))
    known, reasons = [], {}
    for minute in closed:
        split = tally.split(minute, threshold)
        if isinstance(split, str):
            reasons[minute] = split
        else:
            known.append(split)
    problem = ""
    if reasons:
        last = reasons[max(reasons)]
        problem = f"{last} in {Counter(reasons.values())[last]} of {len(closed)} minutes"
    return Observation(metric.name, metric.kind, tuple(known), tuple(reasons), problem, seconds)


def unknown(
    metric: AccessLogMetric, window: Window, now: datetime, problem: str, seconds: float | None = None
) -> Observation:
    """Return the observation of which nothing is known, and why."""
    closed = window.closed_minutes(now, timedelta(seconds=lag_seconds(metric)))
    return Observation(metric.name, metric.kind, (), tuple(closed), problem if closed else "", seconds)


def _lines(logs: AccessLogs, containers: Iterable[str], task: str) -> tuple[list[str], str, str]:
    """Return the commands that leave only requests, and the names of their code and milliseconds."""
    prefix = re.sub(r"[./+]", r"\\\g<0>", logs.stream_prefix)
    lines = [rf"filter @logStream like /^{prefix}\/[^\/]+\/{task}$/"]
    if names := sorted(name for name in set(containers) if _CONTAINER.fullmatch(name)):
        lines.append(rf"filter @logStream not like /\/({'|'.join(names)})\/[^\/]+$/")
    if logs.format == "JSON":
        lines.append("filter ispresent(method) and ispresent(response_code) and ispresent(duration)")
        return lines, "response_code", "duration"
    lines += [f"parse @message {_TEXT_LINE}", "filter ispresent(code) and ispresent(milliseconds)"]
    return lines, "code", "milliseconds"


def _milliseconds(seconds: float) -> str:
    # Never with an exponent, which the query language is not said to know.
    return f"{seconds * 1000:.6f}".rstrip("0").rstrip(".")


def _number(fields: Mapping[str, str], name: str) -> float:
    try:
        number = float(fields.get(name) or "nan")
    except ValueError:
        return math.nan
    # Before one that is too small is added to others and no longer seen.
    return number if number >= 0 else math.nan
