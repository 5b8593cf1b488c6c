"""What ECS tells EventBridge, as far as functions of this project are told of it.

Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_hook_state_change_events.html
"""

import uuid
from datetime import datetime

from rehearsal.model import HookRun, JsonObject, ServiceDeployment
from shared.clock import timestamp

# From what happens to the function's call; EventBridge promises no time.
DELIVERY_SECONDS = 1.0

# Before each attempt, where the one before failed.
# https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
LAMBDA_ATTEMPTS_AFTER_SECONDS = (0.0, 60.0, 120.0)


def hook_state_change(deployment: ServiceDeployment, run: HookRun, now: datetime) -> JsonObject:
    """Return the event ``ECS Hook State Change`` of a PAUSE hook, as its state is."""
    arn, service = str(deployment.arn), deployment.service
    return {
        "version": "0",
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{run.hook_id} {run.status}")),
        "detail-type": "ECS Hook State Change",
        "source": "aws.ecs",
        "account": service.account,
        "time": timestamp(now),
        "region": service.region,
        "resources": [arn],
        "detail": {
            "eventType": "INFO",
            "eventName": f"HOOK_{run.status}",
            "hookId": run.hook_id,
            "hookType": run.hook.target_type,
            "expiresAt": timestamp(run.expires_at),
            "lifecycleStage": str(run.stage),
            "clusterArn": service.cluster_arn,
            "serviceArn": str(service),
            "serviceDeploymentArn": arn,
            "updatedAt": now.strftime("%Y-%m-%dT%H:%M:%S.%f000Z"),
        },
    }
