"""A deployment and its revisions, as the stage machine would leave them in the control plane."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from rehearsal.aws.cloud import Cloud
from rehearsal.model import (
    ContainerImage,
    HookRun,
    HookStatus,
    LifecycleHook,
    RevisionSummary,
    ServiceDeployment,
    ServiceRevision,
    Status,
)
from shared.lifecycle import ServiceArn, ServiceDeploymentArn, ServiceRevisionArn, Stage

REGION = "eu-west-1"
ACCOUNT = "123456789012"
START = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
SERVICE = ServiceArn("aws", REGION, ACCOUNT, "shop", "web")
BLUE = ServiceRevisionArn("aws", REGION, ACCOUNT, "shop", "web", "1111111111111111111")
GREEN = ServiceRevisionArn("aws", REGION, ACCOUNT, "shop", "web", "2222222222222222222")
PAUSE_ID = "ecs-pause-e7tK9G_WRJqNF"
LAMBDA_ID = "ecs-lambda-4yTq0"


def deployment_arn(name: str) -> ServiceDeploymentArn:
    return ServiceDeploymentArn("aws", REGION, ACCOUNT, "shop", "web", name.ljust(21, "x"))


def add_deployment(cloud: Cloud, name: str = "one", **changes: object) -> ServiceDeployment:
    """Put a deployment into the control plane that waits at POST_TEST_TRAFFIC_SHIFT."""
    hook = LifecycleHook(
        name="manual_approval",
        stages=(Stage.POST_TEST_TRAFFIC_SHIFT,),
        target_arn=f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:approve",
    )
    pause = LifecycleHook(name="pause", stages=(Stage.POST_TEST_TRAFFIC_SHIFT,), target_type="PAUSE")
    runs = [
        (LAMBDA_ID, hook, HookStatus.IN_PROGRESS),
        (PAUSE_ID, pause, HookStatus.AWAITING_ACTION),
        ("ecs-lambda-done", hook, HookStatus.SUCCEEDED),
    ]
    deployment = ServiceDeployment(
        arn=deployment_arn(name),
        service=SERVICE,
        configuration={
            "strategy": "BLUE_GREEN",
            "bakeTimeInMinutes": 5,
            "lifecycleHooks": [
                {
                    "hookTargetArn": hook.target_arn,
                    "roleArn": f"arn:aws:iam::{ACCOUNT}:role/hooks",
                    "lifecycleStages": ["POST_TEST_TRAFFIC_SHIFT"],
                    "hookDetails": {"requiredApprovals": 2},
                }
            ],
        },
        sources=[RevisionSummary(arn=BLUE, requested_task_count=2, test_weight=0.0, production_weight=100.0)],
        target=RevisionSummary(arn=GREEN, requested_task_count=2, test_weight=100.0, production_weight=0.0),
        created_at=START,
        started_at=START + timedelta(seconds=5),
        status=Status.IN_PROGRESS,
        lifecycle_stage="POST_TEST_TRAFFIC_SHIFT",
        hook_runs=[
            HookRun(
                hook_id=hook_id,
                hook=of,
                stage=Stage.POST_TEST_TRAFFIC_SHIFT,
                status=status,
                expires_at=START + timedelta(days=1),
            )
            for hook_id, of, status in runs
        ],
    )
    for attribute, value in changes.items():
        setattr(deployment, attribute, value)
    cloud.control_plane.deployments[str(deployment.arn)] = deployment
    return deployment


def add_revision(cloud: Cloud, arn: ServiceRevisionArn = GREEN, **changes: object) -> ServiceRevision:
    revision = ServiceRevision(
        arn=arn,
        created_at=START,
        task_definition=f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/web:7",
        container_images=[
            ContainerImage(container_name="app", image="shop/web:7", image_digest="sha256:" + "0" * 64)
        ],
    )
    for attribute, value in changes.items():
        setattr(revision, attribute, value)
    cloud.control_plane.revisions[str(arn)] = revision
    return revision


def body(response: Mapping[str, Any]) -> dict[str, Any]:
    """Return a response without its metadata."""
    return {key: value for key, value in response.items() if key != "ResponseMetadata"}
