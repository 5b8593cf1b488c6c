"""The ECS operations on the tasks of rehearsed services; tasks of other clusters are moto's.

::

    ListTasks  DescribeTasks  GetTaskProtection  UpdateTaskProtection

moto does not have the last two at all. Answers are checked against botocore's model, like those on
deployments.

Sources: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ (one page per operation),
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection.html,
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/api_failures_messages.html
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from rehearsal.aws.call import AwsError, Call, JsonObject
from rehearsal.aws.ecs import EcsDeployments, invalid
from rehearsal.aws.shapes import check_shape
from rehearsal.model import ControlPlane, Task

MAX_LISTED = MAX_DESCRIBED = 100
MAX_UPDATED = 10
MAX_PROTECTION_MINUTES = 2880
DEFAULT_PROTECTION_MINUTES = 120

# Stopped tasks appear for at least an hour; how much longer is ECS's business.
REMEMBERED = timedelta(hours=1)

_FILTERS = (
    "containerInstance",
    "daemonName",
    "desiredStatus",
    "family",
    "launchType",
    "serviceName",
    "startedBy",
)
_BLOCKED = (
    "Task protection can't be set because one or more protected tasks are preventing the service deployment "
    "from reaching steady state. Either unset task protection on the blocking tasks or wait for protection "
    "to expire."
)


class EcsTasks:
    """The operations over the tasks in a control plane."""

    def __init__(self, deployments: EcsDeployments) -> None:
        self._deployments = deployments

    @property
    def operations(self) -> Mapping[str, Callable[[Call, str, datetime], JsonObject]]:
        """What is answered here, by operation."""
        return {
            "ListTasks": self.list_tasks,
            "DescribeTasks": self.describe,
            "GetTaskProtection": self.protection,
            "UpdateTaskProtection": self.protect,
        }

    def answer(self, call: Call) -> JsonObject | None:
        """Answer a call, and make sure that ECS could have said so; ``None`` leaves it to moto."""
        cluster = str(call.parameters.get("cluster") or "default").rpartition("/")[2]
        if not any(
            revision.arn.cluster == cluster and _here(str(revision.arn), call)
            for revision in self._plane.revisions.values()
        ):
            if "Protection" in call.operation:
                raise AwsError("ClusterNotFoundException", "Cluster not found.")
            return None
        result = self.operations[call.operation](call, cluster, datetime.now(UTC))
        check_shape(call.service, call.operation, result)
        return result

    @property
    def _plane(self) -> ControlPlane:
        return self._deployments.control_plane

    def list_tasks(self, call: Call, cluster: str, now: datetime) -> JsonObject:
        """List tasks that are to run, or with ``desiredStatus`` those that are to stop."""
        parameters = call.parameters
        filters = {name: str(parameters[name]) for name in _FILTERS if parameters.get(name)}
        if "startedBy" in filters and len(filters) > 1:
            raise invalid(
                "When you specify startedBy as the filter, it must be the only filter that you use."
            )
        if unknown := sorted({"containerInstance", "daemonName", "launchType"} & filters.keys()):
            raise invalid(f"{unknown[0]} is no filter in a rehearsal.")
        limit = parameters.get("maxResults", MAX_LISTED)
        if not isinstance(limit, int) or not 1 <= limit <= MAX_LISTED:
            raise invalid(f"maxResults must be between 1 and {MAX_LISTED}.")
        wanted = filters.get("desiredStatus", "RUNNING")
        service = filters.get("serviceName", "").rpartition("/")[2]
        found = [
            task.arn
            for task in self._tasks(cluster, now)
            if _desired(task, now) == wanted
            and filters.get("startedBy", task.started_by) == task.started_by
            and filters.get("family", _family(task)) == _family(task)
            and service in ("", task.service.service)
        ]
        start = self._start(parameters.get("nextToken"), found)
        page, rest = found[start : start + limit], found[start + limit :]
        return {"taskArns": page, **({"nextToken": rest[0].rpartition("/")[2]} if rest else {})}

    def describe(self, call: Call, cluster: str, now: datetime) -> JsonObject:
        """Describe up to 100 tasks by id or ARN."""
        found, failures = self._find(call, cluster, now, MAX_DESCRIBED)
        return {"tasks": [_described(task, now) for task in found], "failures": failures}

    def protection(self, call: Call, cluster: str, now: datetime) -> JsonObject:
        """Tell up to 100 tasks' scale-in protection. A task that has ended is missing."""
        if not call.parameters.get("tasks"):
            # The list is optional in ECS's model; what it answers without is not documented.
            raise invalid("tasks can not be empty in a rehearsal.")
        found, failures = self._find(call, cluster, now, MAX_DESCRIBED, running=True)
        return {"protectedTasks": [_protected(task, now) for task in found], "failures": failures}

    def protect(self, call: Call, cluster: str, now: datetime) -> JsonObject:
        """Set the scale-in protection of up to 10 tasks.

        No more tasks of a service can be protected than it is to have. During a deployment it has those
        of two revisions, so it may come to that.
        """
        parameters = call.parameters
        minutes = parameters.get("expiresInMinutes", DEFAULT_PROTECTION_MINUTES)
        if not 1 <= minutes <= MAX_PROTECTION_MINUTES:
            raise invalid(f"expiresInMinutes must be between 1 and {MAX_PROTECTION_MINUTES}.")
        until = now + timedelta(minutes=minutes) if parameters.get("protectionEnabled") else None
        found, failures = self._find(call, cluster, now, MAX_UPDATED, running=True)
        protected = []
        for task in found:
            if until and self._is_blocked(task, now):
                failures.append({"arn": task.arn, "reason": "DEPLOYMENT_BLOCKED", "detail": _BLOCKED})
                continue
            task.protect(until, now)
            protected.append(_protected(task, now))
        return {"protectedTasks": protected, "failures": failures}

    def _is_blocked(self, task: Task, now: datetime) -> bool:
        others = [
            other
            for other in self._plane.tasks.values()
            if other.service == task.service and other is not task and other.is_protected(now)
        ]
        desired = self._plane.desired_counts.get(task.service)
        return desired is not None and len(others) >= desired

    def _tasks(self, cluster: str, now: datetime) -> list[Task]:
        return [
            task
            for task in self._plane.tasks.values()
            if task.service.cluster == cluster
            and ((stopped := task.stopped_at(now)) is None or now < stopped + REMEMBERED)
        ]

    def _find(
        self, call: Call, cluster: str, now: datetime, limit: int, *, running: bool = False
    ) -> tuple[list[Task], list[JsonObject]]:
        """Look tasks up by id or ARN; returns those found, and ECS's failures for the others."""
        names = [str(name) for name in call.parameters.get("tasks") or []]
        if not names:
            raise invalid("Tasks cannot be empty.")
        if len(names) > limit:
            raise invalid(f"tasks can have at most {limit} items.")
        known = {
            task.arn: task
            for task in self._tasks(cluster, now)
            if not running or task.stopped_at(now) is None
        }
        prefix = f"arn:aws:ecs:{call.region}:{call.account}:task/{cluster}/"
        arns = [name if name.startswith("arn:") else prefix + name for name in dict.fromkeys(names)]
        return (
            [known[arn] for arn in arns if arn in known],
            [{"arn": arn, "reason": "MISSING"} for arn in arns if arn not in known],
        )

    @staticmethod
    def _start(token: object, arns: list[str]) -> int:
        if token is None:
            return 0
        # The token names the next task, so that one that ends in between does not shift the pages.
        for index, arn in enumerate(arns):
            if arn.rpartition("/")[2] == token:
                return index
        raise invalid("Invalid token")


def _here(arn: str, call: Call) -> bool:
    return arn.split(":")[3:5] == [call.region, call.account]


def _desired(task: Task, now: datetime) -> str:
    return "RUNNING" if task.stopping_at(now) is None else "STOPPED"


def _family(task: Task) -> str:
    return task.task_definition.rpartition("/")[2].partition(":")[0]


def _protected(task: Task, now: datetime) -> JsonObject:
    if not task.is_protected(now):
        return {"taskArn": task.arn, "protectionEnabled": False}
    return {"taskArn": task.arn, "protectionEnabled": True, "expirationDate": task.protected_until}


def _described(task: Task, now: datetime) -> JsonObject:
    stopping, stopped = task.stopping_at(now), task.stopped_at(now)
    running = task.started_at is not None and task.started_at <= now
    code = "ServiceSchedulerInitiated" if task.exited_at is None else "EssentialContainerExited"
    status = "STOPPED" if stopped else "STOPPING" if stopping else "RUNNING" if running else "PENDING"
    return {
        "taskArn": task.arn,
        "clusterArn": task.service.cluster_arn,
        "taskDefinitionArn": task.task_definition,
        "group": f"service:{task.service.service}",
        "startedBy": task.started_by,
        "lastStatus": status,
        "desiredStatus": _desired(task, now),
        "launchType": "FARGATE",
        "containers": [{"name": name, "lastStatus": status, "taskArn": task.arn} for name in task.containers],
        "createdAt": task.created_at,
        **({"startedAt": task.started_at} if running else {}),
        **({"stoppingAt": stopping, "stopCode": code} if stopping else {}),
        **({"stoppedReason": task.stop_reason} if stopping and task.stop_reason else {}),
        **({"stoppedAt": stopped} if stopped else {}),
    }
