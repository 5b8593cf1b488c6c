"""The ECS operations on service deployments, which moto does not have.

::

    DescribeServiceDeployments  ListServiceDeployments  DescribeServiceRevisions
    ContinueServiceDeployment   StopServiceDeployment

They are answered from the stage machine's :class:`~rehearsal.model.ControlPlane`. Every answer is
checked against botocore's model before it leaves, so that no hook is rehearsed against a shape that
ECS does not have.

Sources: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ (one page per operation);
error texts: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/troubleshooting-blue-green.html
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from botocore.utils import parse_to_aware_datetime

from rehearsal.aws.call import AwsError, Call, JsonObject
from rehearsal.aws.shapes import check_shape
from rehearsal.model import (
    ControlPlane,
    HookRun,
    RevisionSummary,
    ServiceDeployment,
    ServiceRevision,
    Status,
)
from rehearsal.switches import Switches
from shared.lifecycle import ServiceArn, Stage

MAX_DESCRIBED = 20
MAX_LISTED = 100
DEFAULT_LISTED = 20

_HOOK_ID = re.compile(r"ecs-[a-z]+-[A-Za-z0-9_-]+")
_ARN = re.compile(r"arn:aws[a-z-]*:ecs:[a-z0-9-]+:\d+:(?P<kind>[a-z-]+)/.+")
_NOT_WAITING = (
    "Provided hookId is either completed, unavailable, or not associated with the given Resource ARN"
)
_ENDED = "Continuing a service deployment is not allowed for service deployment in terminal states."
_STOPPABLE = {Status.PENDING, Status.IN_PROGRESS}


def invalid(message: str) -> AwsError:
    """Make ECS's complaint about a request."""
    return AwsError("InvalidParameterException", message)


@dataclass(slots=True)
class EcsDeployments:
    """The operations over one control plane."""

    control_plane: ControlPlane = field(default_factory=ControlPlane)
    switches: Switches = field(default_factory=Switches)

    @property
    def operations(self) -> Mapping[str, Callable[[Call], JsonObject | None]]:
        """What is answered here, by operation."""
        return {
            "DescribeServiceDeployments": self.describe_deployments,
            "ListServiceDeployments": self.list_deployments,
            "DescribeServiceRevisions": self.describe_revisions,
            "ContinueServiceDeployment": self.continue_deployment,
            "StopServiceDeployment": self.stop_deployment,
            "DescribeTaskDefinition": self.describe_task_definition,
        }

    def answer(self, call: Call) -> JsonObject | None:
        """Answer a call, and make sure that ECS could have said so; ``None`` leaves it to moto."""
        result = self.operations[call.operation](call)
        if result is not None:
            check_shape(call.service, call.operation, result)
        return result

    def describe_task_definition(self, call: Call) -> JsonObject | None:
        """Describe a task definition of a rehearsed service; any other is moto's."""
        known = self.control_plane.task_definitions.get(str(call.parameters.get("taskDefinition")))
        return None if known is None else {"taskDefinition": known, "tags": []}

    def describe_deployments(self, call: Call) -> JsonObject:
        """Describe up to 20 deployments by ARN."""
        arns = _arns(call, "serviceDeploymentArns", "service-deployment")
        found = [self._deployment(arn, call) for arn in arns]
        return {
            "serviceDeployments": [self._described(deployment) for deployment in found if deployment],
            "failures": _missing(
                arn for arn, deployment in zip(arns, found, strict=True) if deployment is None
            ),
        }

    def list_deployments(self, call: Call) -> JsonObject:
        """List a service's deployments, newest first, in pages."""
        parameters = call.parameters
        service = self._service(call, parameters)
        limit = _limit(parameters.get("maxResults"))
        wanted = _statuses(parameters.get("status"))
        after, before = _moments(parameters.get("createdAt") or {})
        matching = [
            deployment
            for deployment in self.control_plane.deployments_of(service)
            if (not wanted or deployment.status in wanted)
            and (after is None or deployment.created_at >= after)
            and (before is None or deployment.created_at <= before)
        ]
        matching = matching[_start(parameters.get("nextToken"), matching) :]
        page, rest = matching[:limit], matching[limit:]
        # The token names the next deployment, so that one created in between does not shift the pages.
        token = base64.urlsafe_b64encode(str(rest[0].arn).encode()).decode() if rest else None
        return _set({"serviceDeployments": [_brief(deployment) for deployment in page], "nextToken": token})

    def describe_revisions(self, call: Call) -> JsonObject:
        """Describe up to 20 revisions by ARN."""
        arns = _arns(call, "serviceRevisionArns", "service-revision")
        found = [self.control_plane.revisions.get(arn) if _here(arn, call) else None for arn in arns]
        return {
            "serviceRevisions": [_revision(revision) for revision in found if revision],
            "failures": _missing(arn for arn, revision in zip(arns, found, strict=True) if revision is None),
        }

    def continue_deployment(self, call: Call) -> JsonObject:
        """Answer a PAUSE hook. Without an action the answer is CONTINUE."""
        parameters = call.parameters
        action = _one_of(parameters.get("action", "CONTINUE"), ("CONTINUE", "ROLLBACK"), "action")
        hook_id = str(parameters.get("hookId", ""))
        if not _HOOK_ID.fullmatch(hook_id):
            raise invalid("Invalid hookId: hookId must follow the format: ecs-{hookType}-{id}")
        deployment = self._existing(call)
        if deployment.status.ended:
            raise invalid(_ENDED)
        run = next((run for run in deployment.hook_runs if run.hook_id == hook_id), None)
        if run is None or run.hook.target_type != "PAUSE" or run.status != "AWAITING_ACTION" or run.answer:
            raise invalid(_NOT_WAITING)
        run.answer = "CONTINUE" if action == "CONTINUE" else "ROLLBACK"
        self.control_plane.on_continue(deployment, run, action)
        return {"serviceDeploymentArn": str(deployment.arn)}

    def stop_deployment(self, call: Call) -> JsonObject:
        """Ask for a rollback (the default), or for a stop where it stands."""
        stop_type = _one_of(call.parameters.get("stopType", "ROLLBACK"), ("ABORT", "ROLLBACK"), "stopType")
        deployment = self._existing(call)
        if deployment.status.ended:
            raise AwsError(
                "ConflictException",
                f"The service deployment {deployment.arn} can not be stopped: it is {deployment.status}.",
            )
        if deployment.status in _STOPPABLE:
            self.control_plane.on_stop(deployment, stop_type)
        return {"serviceDeploymentArn": str(deployment.arn)}

    def _deployment(self, arn: str, call: Call) -> ServiceDeployment | None:
        return self.control_plane.deployments.get(arn) if _here(arn, call) else None

    def _existing(self, call: Call) -> ServiceDeployment:
        arn = str(call.parameters.get("serviceDeploymentArn", ""))
        _check_arn(arn, "service-deployment")
        deployment = self._deployment(arn, call)
        if deployment is None:
            raise AwsError("ServiceDeploymentNotFoundException", "Service deployment not found.")
        return deployment

    def _service(self, call: Call, parameters: JsonObject) -> ServiceArn:
        cluster = str(parameters.get("cluster") or "default").rpartition("/")[2]
        name = str(parameters.get("service") or "")
        if name.startswith("arn:"):
            _check_arn(name, "service")
            # A long ARN says which cluster; one given beside it must be the same.
            parts = name.split("/")
            if len(parts) == 3:
                if parameters.get("cluster") and parts[1] != cluster:
                    raise invalid("Identifier is for a different cluster.")
                cluster = parts[1]
            name = parts[-1]
        service = ServiceArn("aws", call.region, call.account, cluster, name)
        if any(known.service == service for known in self.control_plane.deployments.values()):
            return service
        # Only here: moto's ECS loads its EC2, which takes longer than most rehearsals.
        from moto.ecs.models import ecs_backends  # noqa: PLC0415

        moto = ecs_backends[call.account][call.region]
        clusters = {known.service.cluster_arn for known in self.control_plane.deployments.values()}
        if service.cluster_arn not in clusters and cluster not in moto.clusters:
            raise AwsError("ClusterNotFoundException", "Cluster not found.")
        if f"{cluster}:{name}" not in moto.services:
            raise AwsError("ServiceNotFoundException", "Service not found.")
        return service

    def _described(self, deployment: ServiceDeployment) -> JsonObject:
        rollback = deployment.rollback
        return _set(
            {
                "serviceDeploymentArn": str(deployment.arn),
                "serviceArn": str(deployment.service),
                "clusterArn": deployment.service.cluster_arn,
                "createdAt": deployment.created_at,
                "startedAt": deployment.started_at,
                "finishedAt": deployment.finished_at,
                "stoppedAt": deployment.stopped_at,
                "updatedAt": deployment.updated_at or deployment.created_at,
                "sourceServiceRevisions": [_summary(source) for source in deployment.sources],
                "targetServiceRevision": _summary(deployment.target),
                "status": deployment.status.value,
                "statusReason": deployment.status_reason,
                "lifecycleStage": self._shown_stage(deployment.lifecycle_stage),
                "lifecycleHookDetails": [_hook(run) for run in deployment.hook_runs if not run.status.ended]
                or None,
                "deploymentConfiguration": deployment.configuration,
                "rollback": rollback
                and _set(
                    {
                        "reason": rollback.reason,
                        "startedAt": rollback.started_at,
                        "serviceRevisionArn": rollback.service_revision_arn
                        and str(rollback.service_revision_arn),
                    }
                ),
                "deploymentCircuitBreaker": deployment.circuit_breaker,
                "alarms": deployment.alarms,
            }
        )

    def _shown_stage(self, stage: str | None) -> str | None:
        if (
            stage == Stage.PRE_PRODUCTION_TRAFFIC_SHIFT
            and self.switches.pre_production_reported_as == "production"
        ):
            return Stage.PRODUCTION_TRAFFIC_SHIFT.value
        return stage


def _set(members: JsonObject) -> JsonObject:
    """Leave out what is not set, as the API does."""
    return {key: value for key, value in members.items() if value is not None}


def _summary(summary: RevisionSummary) -> JsonObject:
    return _set(
        {
            "arn": str(summary.arn),
            "requestedTaskCount": summary.requested_task_count,
            "runningTaskCount": summary.running_task_count,
            "pendingTaskCount": summary.pending_task_count,
            "requestedTestTrafficWeight": _double(summary.test_weight),
            "requestedProductionTrafficWeight": _double(summary.production_weight),
        }
    )


def _double(weight: float | None) -> float | None:
    return None if weight is None else float(weight)


def _hook(run: HookRun) -> JsonObject:
    return _set(
        {
            "hookId": run.hook_id,
            "targetType": run.hook.target_type,
            "targetArn": run.hook.target_arn,
            "status": run.status.value,
            "expiresAt": run.expires_at,
            "timeoutAction": run.hook.timeout_action,
        }
    )


def _brief(deployment: ServiceDeployment) -> JsonObject:
    return _set(
        {
            "serviceDeploymentArn": str(deployment.arn),
            "serviceArn": str(deployment.service),
            "clusterArn": deployment.service.cluster_arn,
            "startedAt": deployment.started_at,
            "createdAt": deployment.created_at,
            "finishedAt": deployment.finished_at,
            "targetServiceRevisionArn": str(deployment.target.arn),
            "status": deployment.status.value,
            "statusReason": deployment.status_reason,
        }
    )


def _revision(revision: ServiceRevision) -> JsonObject:
    resolved = revision.resolved_load_balancers
    return _set(
        {
            "serviceRevisionArn": str(revision.arn),
            "serviceArn": str(revision.arn.service_arn),
            "clusterArn": revision.arn.service_arn.cluster_arn,
            "taskDefinition": revision.task_definition,
            "loadBalancers": revision.load_balancers,
            "containerImages": [
                _set(
                    {
                        "containerName": container.container_name,
                        "imageDigest": container.image_digest,
                        "image": container.image,
                    }
                )
                for container in revision.container_images
            ],
            "serviceConnectConfiguration": revision.service_connect,
            "createdAt": revision.created_at,
            "resolvedConfiguration": None if resolved is None else {"loadBalancers": resolved},
        }
    )


def _missing(arns: Iterable[str]) -> list[JsonObject]:
    return [{"arn": arn, "reason": "MISSING"} for arn in arns]


def _here(arn: str, call: Call) -> bool:
    """Tell whether an ARN is of the caller's account and region: another's deployments are not seen."""
    return arn.split(":")[3:5] == [call.region, call.account]


def _check_arn(arn: str, kind: str) -> None:
    match = _ARN.fullmatch(arn)
    if match is None or match["kind"] != kind:
        raise invalid(f"Invalid identifier: expected the ARN of a {kind}, got {arn!r}.")


def _arns(call: Call, key: str, kind: str) -> list[str]:
    arns = [str(arn) for arn in call.parameters.get(key) or []]
    if not arns:
        raise invalid(f"{key} can not be empty.")
    if len(arns) > MAX_DESCRIBED:
        raise invalid(f"{key} can have at most {MAX_DESCRIBED} items.")
    for arn in arns:
        _check_arn(arn, kind)
    return list(dict.fromkeys(arns))


def _limit(value: object) -> int:
    if value is None:
        return DEFAULT_LISTED
    if not isinstance(value, int) or not 1 <= value <= MAX_LISTED:
        raise invalid(f"maxResults must be between 1 and {MAX_LISTED}.")
    return value


def _statuses(names: object) -> set[Status]:
    wanted = names if isinstance(names, list) else []
    return {Status(_one_of(name, tuple(Status), "status")) for name in wanted}


def _one_of(value: object, allowed: tuple[str, ...], name: str) -> Any:
    if value not in allowed:
        raise invalid(f"Invalid {name}. Valid values are: {', '.join(allowed)}")
    return value


def _moments(created_at: Mapping[str, Any]) -> tuple[datetime | None, datetime | None]:
    after, before = created_at.get("after"), created_at.get("before")
    return (
        None if after is None else parse_to_aware_datetime(after),
        None if before is None else parse_to_aware_datetime(before),
    )


def _start(token: object, deployments: list[ServiceDeployment]) -> int:
    if token is None:
        return 0
    try:
        arn = base64.urlsafe_b64decode(str(token)).decode()
    except (binascii.Error, UnicodeDecodeError):
        arn = ""
    for index, deployment in enumerate(deployments):
        if str(deployment.arn) == arn:
            return index
    raise invalid("Invalid nextToken.")
