"""Which service revision this task belongs to.

ECS does not tell a container. The task metadata endpoint gives cluster and task
(https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4-response.html), and
DescribeTasks gives the task's ``startedBy``: ``ecs-svc/<id of the revision>`` for a task of a service. That
this is the id of the service *revision* is what AWS's own samples rely on and no page states; where it
should not hold, set ``ACTIVATION_REVISION``.
"""

import http.client
import json
import os
import re
import urllib.request
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from activation_gate.aws import client_of

if TYPE_CHECKING:
    from mypy_boto3_ecs import ECSClient

REVISION_VARIABLE = "ACTIVATION_REVISION"
METADATA_VARIABLE = "ECS_CONTAINER_METADATA_URI_V4"

METADATA_TIMEOUT_SECONDS = 3
MAX_METADATA_BYTES = 1024 * 1024

_STARTED_BY = re.compile(r"ecs-svc/(?P<revision>[!-~]+)")


class RevisionError(Exception):
    """The own revision can't be found out; the text says what to do."""


def own_revision(*, environment: Mapping[str, str] = os.environ, client: "ECSClient | None" = None) -> str:
    """Return the id of the service revision that this task belongs to.

    Raises
    ------
    RevisionError
        Not a task of an ECS service, or ``ecs:DescribeTasks`` is not permitted.
    """
    if given := environment.get(REVISION_VARIABLE):
        return given
    endpoint = environment.get(METADATA_VARIABLE)
    if not endpoint:
        raise RevisionError(f"this is no ECS task ({METADATA_VARIABLE} is not set): set {REVISION_VARIABLE}")
    cluster, task = _task(endpoint)
    started_by = _started_by(cluster, task, client)
    found = _STARTED_BY.fullmatch(started_by)
    if not found:
        raise RevisionError(
            f"{task} was started by {started_by!r}, not by a service (ecs-svc/...): set {REVISION_VARIABLE}"
        )
    return found["revision"]


def _task(endpoint: str) -> tuple[str, str]:
    if not endpoint.startswith("http://"):
        raise RevisionError(f"{METADATA_VARIABLE} is {endpoint!r}, not an address that begins with http://")
    try:
        with _direct().open(f"{endpoint}/task", timeout=METADATA_TIMEOUT_SECONDS) as response:
            found: Any = json.loads(response.read(MAX_METADATA_BYTES))
        return str(found["Cluster"]), str(found["TaskARN"])
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException) as error:
        raise RevisionError(
            f"the task metadata endpoint gave no Cluster and TaskARN ({error!r}): set {REVISION_VARIABLE}"
        ) from error


def _started_by(cluster: str, task: str, client: "ECSClient | None") -> str:
    ecs = client or client_of("ecs", connect_timeout=2, read_timeout=5, max_attempts=4)
    try:
        answer = ecs.describe_tasks(cluster=cluster, tasks=[task])
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") == "AccessDeniedException":
            raise RevisionError(
                f"give the task role ecs:DescribeTasks on {task}, or set {REVISION_VARIABLE} ({error})"
            ) from error
        raise RevisionError(f"DescribeTasks of {task} failed: {error}") from error
    except BotoCoreError as error:
        raise RevisionError(f"DescribeTasks of {task} failed: {error}") from error
    for found in answer["tasks"]:
        return found.get("startedBy", "")
    raise RevisionError(f"DescribeTasks knows no {task} in {cluster}: {answer.get('failures')}")


def _direct() -> urllib.request.OpenerDirector:
    """Return an opener that no proxy variable of the environment sends elsewhere."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))
