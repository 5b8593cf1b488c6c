"""What ECS holds about services and their deployments, as the rehearsal sees it.

::

    ControlPlane ── services, revisions, deployments by ARN
        ServiceDeployment ── status, lifecycle stage, source and target summaries, hook runs
            HookRun       ── one hook of one stage (and step), from its first call to its end

The stage machine writes it; ``rehearsal.aws`` shows it to boto3 clients. Field names follow the ECS
API (botocore ``ecs/2014-11-13``: ServiceDeployment, ServiceRevision).
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from shared.lifecycle import ServiceArn, ServiceDeploymentArn, ServiceRevisionArn, Stage

JsonObject = dict[str, Any]

# Lifecycle hook timeouts: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/lambda-lifecycle-hooks.html
DEFAULT_HOOK_TIMEOUT_MINUTES = 1440


class Status(enum.StrEnum):
    """``ServiceDeployment.status``; the arrows are in ``docs/ecs-contract.md``."""

    PENDING = "PENDING"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCESSFUL = "SUCCESSFUL"
    STOP_REQUESTED = "STOP_REQUESTED"
    STOPPED = "STOPPED"
    ROLLBACK_REQUESTED = "ROLLBACK_REQUESTED"
    ROLLBACK_IN_PROGRESS = "ROLLBACK_IN_PROGRESS"
    ROLLBACK_SUCCESSFUL = "ROLLBACK_SUCCESSFUL"
    ROLLBACK_FAILED = "ROLLBACK_FAILED"

    @property
    def ended(self) -> bool:
        return self in {Status.SUCCESSFUL, Status.STOPPED, Status.ROLLBACK_SUCCESSFUL, Status.ROLLBACK_FAILED}


class HookStatus(enum.StrEnum):
    """``lifecycleHookDetails[].status``."""

    AWAITING_ACTION = "AWAITING_ACTION"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"

    @property
    def ended(self) -> bool:
        return self not in {HookStatus.AWAITING_ACTION, HookStatus.IN_PROGRESS}


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleHook:
    """One entry of ``deploymentConfiguration.lifecycleHooks``."""

    name: str
    """What the rehearsal calls it in reports: the hook's package, ``pause``, or ``scripted``."""
    stages: tuple[Stage, ...]
    target_type: Literal["AWS_LAMBDA", "PAUSE"] = "AWS_LAMBDA"
    target_arn: str | None = None
    role_arn: str | None = None
    details: JsonObject | str | None = None
    timeout_minutes: int = DEFAULT_HOOK_TIMEOUT_MINUTES
    timeout_action: Literal["ROLLBACK", "CONTINUE"] = "ROLLBACK"


# What makes a request to a rehearsed service test traffic, where the service says nothing else: a header
# and its value, for Service Connect and for listener rules alike.
TEST_HEADER = ("x-release", "green")


def service_connect_configuration(
    port_name: str, namespace: str, host: str, port: int, *, header: tuple[str, str] = TEST_HEADER
) -> JsonObject:
    """Return the ``serviceConnectConfiguration`` of a service with one port and one alias."""
    name, value = header
    rule = {"header": {"name": name, "value": {"exact": value}}}
    alias = {"port": port, "dnsName": host, "testTrafficRules": rule}
    return {
        "enabled": True,
        "namespace": namespace,
        "services": [{"portName": port_name, "clientAliases": [alias]}],
    }


@dataclass(slots=True, kw_only=True)
class ContainerImage:
    """``containerImages[]`` of a revision."""

    container_name: str
    image: str
    image_digest: str | None = None


@dataclass(slots=True, kw_only=True)
class ServiceRevision:
    """A service revision, as DescribeServiceRevisions shows it."""

    arn: ServiceRevisionArn
    created_at: datetime
    task_definition: str
    """ARN."""
    container_images: list[ContainerImage]
    load_balancers: list[JsonObject] = field(default_factory=list)
    """``loadBalancers[]`` as configured, ``advancedConfiguration`` included."""
    service_connect: JsonObject | None = None
    """``serviceConnectConfiguration``."""
    resolved_load_balancers: list[JsonObject] | None = None
    """``resolvedConfiguration.loadBalancers``; ``None`` until the revision is active."""
    test_header: tuple[str, str] = TEST_HEADER
    """What leads test traffic to it, at a load balancer's rule and in the namespace alike: name and value."""


@dataclass(slots=True, kw_only=True)
class RevisionSummary:
    """``sourceServiceRevisions[]`` and ``targetServiceRevision`` of a deployment."""

    arn: ServiceRevisionArn
    requested_task_count: int = 0
    running_task_count: int = 0
    pending_task_count: int = 0
    test_weight: float | None = None
    """``None`` for a rolling deployment."""
    production_weight: float | None = None


# What a container is given to end by itself; the agents' default.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html
STOP_TIMEOUT = timedelta(seconds=30)


@dataclass(slots=True, kw_only=True)
class Task:
    """A task of the service, as DescribeTasks shows it."""

    arn: str
    service: ServiceArn
    revision: ServiceRevisionArn
    task_definition: str
    """ARN."""
    containers: tuple[str, ...] = ()
    created_at: datetime
    started_at: datetime | None = None
    """``None`` while it is pending."""
    protected_until: datetime | None = None
    unwanted_since: datetime | None = None
    """When its revision was scaled in; with scale-in protection it goes on until that ends."""
    exited_at: datetime | None = None
    """When it ended by itself."""
    stop_reason: str = ""

    @property
    def id(self) -> str:
        return self.arn.rpartition("/")[2]

    @property
    def started_by(self) -> str:
        """The tag that ECS gives to tasks of a deployment: the revision's id, as far as is known."""
        return f"ecs-svc/{self.revision.id}"

    def is_protected(self, now: datetime) -> bool:
        return self.protected_until is not None and now < self.protected_until

    def stopping_at(self, now: datetime) -> datetime | None:
        """Return when it was told to end (SIGTERM), or ended by itself; ``None`` if neither yet."""
        if self.exited_at is not None and self.exited_at <= now:
            return self.exited_at
        if self.unwanted_since is None or now < self.unwanted_since or self.is_protected(now):
            return None
        return max(self.unwanted_since, self.protected_until or self.unwanted_since)

    def stopped_at(self, now: datetime) -> datetime | None:
        """Return when it ended, ``None`` if it runs still."""
        stopping = self.stopping_at(now)
        if stopping is not None and stopping == self.exited_at:
            return stopping
        return None if stopping is None or now < stopping + STOP_TIMEOUT else stopping + STOP_TIMEOUT

    def protect(self, until: datetime | None, now: datetime) -> None:
        """Set scale-in protection, or take it away."""
        if until is None and self.is_protected(now) and self.unwanted_since is not None:
            # Only now does what was asked for before take effect.
            self.unwanted_since = max(self.unwanted_since, now)
        self.protected_until = until


@dataclass(slots=True, kw_only=True)
class HookRun:
    """``lifecycleHookDetails[]``: one hook at one stage, and at one step where the stage recurs."""

    hook_id: str
    """``ecs-{lambda|pause}-{id}``."""
    hook: LifecycleHook
    stage: Stage
    status: HookStatus
    expires_at: datetime
    answer: Literal["CONTINUE", "ROLLBACK"] | None = None
    """What ContinueServiceDeployment said to a PAUSE hook."""


@dataclass(slots=True, kw_only=True)
class Rollback:
    """``rollback`` of a deployment."""

    reason: str
    started_at: datetime
    service_revision_arn: ServiceRevisionArn | None


@dataclass(slots=True, kw_only=True)
class ServiceDeployment:
    """A service deployment, as DescribeServiceDeployments shows it."""

    arn: ServiceDeploymentArn
    service: ServiceArn
    configuration: JsonObject
    """``deploymentConfiguration`` in the API's shape, hooks included."""
    sources: list[RevisionSummary]
    target: RevisionSummary
    created_at: datetime
    status: Status = Status.PENDING
    status_reason: str | None = None
    lifecycle_stage: str | None = None
    started_at: datetime | None = None
    updated_at: datetime | None = None
    finished_at: datetime | None = None
    stopped_at: datetime | None = None
    hook_runs: list[HookRun] = field(default_factory=list)
    """Active ones only, as in the API."""
    rollback: Rollback | None = None
    alarms: JsonObject | None = None
    circuit_breaker: JsonObject | None = None


class ControlPlane:
    """All services, revisions and deployments of one account and region.

    ``stop`` and ``continue_deployment`` only leave the request with the stage machine, through the
    two callbacks it sets; the checks of who may be stopped or continued are the API's, in
    ``rehearsal.aws.ecs``.
    """

    def __init__(self) -> None:
        self.revisions: dict[str, ServiceRevision] = {}
        self.deployments: dict[str, ServiceDeployment] = {}
        """In order of creation."""
        self.task_definitions: dict[str, JsonObject] = {}
        """By ARN, as DescribeTaskDefinition shows them."""
        self.tasks: dict[str, Task] = {}
        """By ARN, in order of creation; those that ended included."""
        self.desired_counts: dict[ServiceArn, int] = {}
        """How many tasks a service is to have; during a deployment it has those of two revisions."""
        self.on_stop: Callable[[ServiceDeployment, str], None] = lambda *_: None
        """Called with the deployment and ``ROLLBACK`` or ``ABORT``."""
        self.on_continue: Callable[[ServiceDeployment, HookRun, str], None] = lambda *_: None
        """Called with the deployment, its PAUSE hook and ``CONTINUE`` or ``ROLLBACK``."""

    def deployments_of(self, service: ServiceArn) -> list[ServiceDeployment]:
        """Return a service's deployments, newest first."""
        return [d for d in reversed(self.deployments.values()) if d.service == service]

    def tasks_of(self, revision: ServiceRevisionArn) -> list[Task]:
        """Return a revision's tasks, oldest first."""
        return [task for task in self.tasks.values() if task.revision == revision]
