"""ECS, as far as activation uses it: which tasks of a revision still hold scale-in protection."""

from shared.clients import client
from shared.errors import Misconfigured, translated
from shared.lifecycle import ServiceArn

# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_GetTaskProtection.html and API_ListTasks.html
TASKS_PER_CALL = 100

# A service of 5,000 tasks, which is what ECS allows one, has this many pages.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-quotas.html
MAX_PAGES = 50


def protected_tasks(service: ServiceArn, revision: str) -> int:
    """Count a revision's tasks that hold protection.

    A task names the revision that started it: ``startedBy`` is ``ecs-svc/<revision id>``, as AWS's samples
    rely on; ECS's documentation calls it the deployment id.
    """
    tasks = _tasks(service, revision)
    return sum(
        _protected(service, tasks[start : start + TASKS_PER_CALL])
        for start in range(0, len(tasks), TASKS_PER_CALL)
    )


def _tasks(service: ServiceArn, revision: str) -> list[str]:
    tasks: list[str] = []
    with translated("ecs:ListTasks", service.cluster):
        pages = client("ecs").get_paginator("list_tasks")
        for number, page in enumerate(
            pages.paginate(
                cluster=service.cluster,
                startedBy=f"ecs-svc/{revision}",
                PaginationConfig={"PageSize": TASKS_PER_CALL},
            )
        ):
            if number == MAX_PAGES:
                raise Misconfigured(f"more than {MAX_PAGES * TASKS_PER_CALL} tasks of revision {revision}")
            tasks += page["taskArns"]
    return tasks


def _protected(service: ServiceArn, tasks: list[str]) -> int:
    with translated("ecs:GetTaskProtection", service.cluster):
        found = client("ecs").get_task_protection(cluster=service.cluster, tasks=tasks)
    # A task that has stopped since it was listed is among the failures, and does no more work.
    return sum(bool(task.get("protectionEnabled")) for task in found.get("protectedTasks", []))
