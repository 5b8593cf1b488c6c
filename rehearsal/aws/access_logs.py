"""The access logs that the Service Connect proxies of rehearsed tasks write.

::

    {"start_time": "2026-03-05T12:00:00.000Z", "method": "GET", ..., "response_code": 200, "duration": 48}

What is known of real lines is in ``hooks.canary_comparison.log_query``. The proxy's container has a name
that AWS does not document; here it is ``ecs-service-connect``.

Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-connect-envoy-access-logs.html
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from moto.logs.models import logs_backends

from rehearsal.aws.logs import MINUTE_MS, Lines, put_lines
from rehearsal.model import Task

if TYPE_CHECKING:  # the world imports the cloud
    from rehearsal.world import World

CONTAINER = "ecs-service-connect"


def put_minute(
    world: "World",
    task: Task,
    minute: datetime,
    *,
    requests: int,
    server_errors: int,
    seconds: Sequence[tuple[float, int]],
) -> None:
    """Let a task's proxy log one minute of requests, if its revision has access logs in CloudWatch.

    Parameters
    ----------
    minute
        Its beginning.
    server_errors
        How many of the requests were answered with 503; they are among the fast and the slow alike.
    seconds
        What requests took, and how many did; as many in all as there were.
    """
    if requests != sum(count for _, count in seconds):
        raise ValueError(f"{requests} requests, and {sum(count for _, count in seconds)} of them took a time")
    if not 0 <= server_errors <= requests:
        raise ValueError(f"{server_errors} errors in {requests} requests")
    cloud = world.cloud
    connect = cloud.control_plane.revisions[str(task.revision)].service_connect or {}
    log = connect.get("logConfiguration") or {}
    wanted = connect.get("accessLogConfiguration")
    if not requests or not wanted or log.get("logDriver") != "awslogs":
        return
    options = log["options"]
    stream = f"{options['awslogs-stream-prefix']}/{CONTAINER}/{task.id}"
    written = _text if wanted["format"] == "TEXT" else _json
    events = [
        (written(task, minute, code, took), count)
        for took, code, count in _answers(requests, server_errors, seconds)
    ]
    start = int(minute.timestamp() * 1000)
    lines = [
        Lines(start + number * MINUTE_MS // len(events), stream, message, count)
        for number, (message, count) in enumerate(events)
    ]
    with cloud.door.lock:
        backend = logs_backends[cloud.account][options["awslogs-region"]]
        put_lines(backend, options["awslogs-group"], lines)


def _answers(
    requests: int, errors: int, seconds: Sequence[tuple[float, int]]
) -> Iterator[tuple[float, int, int]]:
    """Yield (seconds, code, count), the errors spread evenly over the fast and the slow."""
    seen = bad_so_far = 0
    for took, count in sorted(seconds):
        seen += count
        bad = seen * errors // requests - bad_so_far
        bad_so_far += bad
        for code, some in ((200, count - bad), (503, bad)):
            if some:
                yield took, code, some


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _json(task: Task, minute: datetime, code: int, seconds: float) -> str:
    # Written by hand: a scenario has tens of thousands of lines, and no value needs an escape.
    took = _milliseconds(seconds)
    return (
        f'{{"start_time":"{minute:%Y-%m-%dT%H:%M:%S.000Z}","method":"GET","path":"/","protocol":"HTTP/1.1",'
        f'"response_code":{code},"response_flags":"-","bytes_received":0,"bytes_sent":11,"duration":{took},'
        f'"upstream_service_time":"{took}","forwarded_for":null,"user_agent":"curl/8.11.1",'
        f'"request_id":"00000000-0000-0000-0000-000000000000","authority":"{task.service.service}:8080",'
        f'"upstream_host":"127.0.0.1:8080"}}'
    )


def _text(task: Task, minute: datetime, code: int, seconds: float) -> str:
    took = _milliseconds(seconds)
    return (
        f'[{minute:%Y-%m-%dT%H:%M:%S.000Z}] "GET / HTTP/1.1" {code} 0 11 {took} {took} "-" "curl/8.11.1" '
        f'"00000000-0000-0000-0000-000000000000" "{task.service.service}:8080" "127.0.0.1:8080"'
    )
