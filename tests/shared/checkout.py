"""A deployment of the service ``checkout`` in the cluster ``shop``: its events, and what ECS holds of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from rehearsal.aws.cloud import ACCOUNT, Cloud
from rehearsal.model import (
    ContainerImage,
    RevisionSummary,
    ServiceDeployment,
    ServiceRevision,
    Status,
)
from shared.lifecycle import ServiceArn, ServiceDeploymentArn, ServiceRevisionArn

REGION = "us-east-1"
START = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
SERVICE = ServiceArn("aws", REGION, ACCOUNT, "shop", "checkout")
DEPLOYMENT = ServiceDeploymentArn("aws", REGION, ACCOUNT, "shop", "checkout", "qR7sT2uV9wX4yZ1aB6cD3")
GREEN = ServiceRevisionArn("aws", REGION, ACCOUNT, "shop", "checkout", "7301445872261930042")
BLUE = ServiceRevisionArn("aws", REGION, ACCOUNT, "shop", "checkout", "2264190083351177608")
TASK_DEFINITION = f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/checkout:7"
HEX = "0123456789abcdef" * 4

POST_TEST = "POST_TEST_TRAFFIC_SHIFT"
PRE_PRODUCTION = "PRE_PRODUCTION_TRAFFIC_SHIFT"
PRODUCTION = "PRODUCTION_TRAFFIC_SHIFT"
TEST_SHIFT = "TEST_TRAFFIC_SHIFT"

LEFT_OUT: Any = object()


@dataclass(slots=True)
class Context:
    """Lambda's context object."""

    milliseconds: int = 60_000
    aws_request_id: str = "00000000-0000-0000-0000-000000000000"
    invoked_function_arn: str = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:hook"

    def get_remaining_time_in_millis(self) -> int:
        return self.milliseconds


def split(green: float, blue: float) -> dict[str, float]:
    """Return a weight map."""
    return {str(GREEN): green, str(BLUE): blue}


def event(
    stage: str = POST_TEST,
    *,
    test: Mapping[str, float] | None = None,
    production: Mapping[str, float] | None = None,
    details: Any = LEFT_OUT,
    deployment: ServiceDeploymentArn = DEPLOYMENT,
) -> dict[str, Any]:
    """Return the event of one call, as parsed from JSON."""
    made = {
        "executionId": "3f1c7d52-8a4e-4c0b-9d61-0b7a2e95c8f4",
        "lifecycleStage": stage,
        "resourceArn": str(deployment),
        "executionDetails": {
            "serviceArn": str(SERVICE),
            "targetServiceRevisionArn": str(GREEN),
            "testTrafficWeights": dict(test or {}),
            "productionTrafficWeights": dict(production or {}),
        },
    }
    return made if details is LEFT_OUT else {**made, "hookDetails": details}


FORWARD_PRODUCTION = event(PRODUCTION, production=split(100, 0))
ROLLBACK_PRODUCTION = event(PRODUCTION, production=split(0, 100))


def assert_valid(reply: object) -> None:
    """Hold a reply against what ECS documents."""
    assert isinstance(reply, dict)
    if reply.get("hookStatus") == "IN_PROGRESS":
        assert set(reply) == {"hookStatus", "callBackDelay", "hookDetails"}
        assert type(reply["callBackDelay"]) is int
        assert 1 <= reply["callBackDelay"] <= 86_400
        assert isinstance(reply["hookDetails"], dict)
    else:
        assert reply in ({"hookStatus": "SUCCEEDED"}, {"hookStatus": "FAILED"})
    # As strictly as a reader that knows neither NaN nor half a surrogate pair.
    json.dumps(reply, allow_nan=False, ensure_ascii=False).encode()


def deploy(cloud: Cloud, **changes: Any) -> ServiceDeployment:
    """Put the deployment and its two revisions into the control plane."""
    deployment = ServiceDeployment(
        arn=DEPLOYMENT,
        service=SERVICE,
        configuration={"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 5},
        sources=[RevisionSummary(arn=BLUE, requested_task_count=2, test_weight=0.0, production_weight=100.0)],
        target=RevisionSummary(arn=GREEN, requested_task_count=2, test_weight=100.0, production_weight=0.0),
        created_at=START - timedelta(minutes=5),
        started_at=START - timedelta(minutes=4),
        status=Status.IN_PROGRESS,
        lifecycle_stage=POST_TEST,
    )
    for name, value in changes.items():
        setattr(deployment, name, value)
    cloud.control_plane.deployments[str(deployment.arn)] = deployment
    for arn, tag in ((BLUE, "1.4"), (GREEN, "1.5")):
        cloud.control_plane.revisions[str(arn)] = ServiceRevision(
            arn=arn,
            created_at=START - timedelta(minutes=5),
            task_definition=TASK_DEFINITION,
            container_images=[
                ContainerImage(container_name="app", image=f"shop/app:{tag}", image_digest=f"sha256:{HEX}"),
                ContainerImage(container_name="proxy", image="shop/proxy:2", image_digest=f"sha256:{HEX}"),
            ],
        )
    return deployment
