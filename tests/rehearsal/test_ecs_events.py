"""The events that the rehearsal sends, against those that AWS documents."""

from datetime import UTC, datetime

from rehearsal.ecs_events import hook_state_change
from rehearsal.model import HookRun, HookStatus, LifecycleHook, RevisionSummary, ServiceDeployment
from shared.lifecycle import ServiceDeploymentArn, ServiceRevisionArn, Stage

# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_hook_state_change_events.html
DOCUMENTED = {
    "version": "0",
    "id": "3329f79b-3dca-07f8-b1c2-5fe99f0b5e87",
    "detail-type": "ECS Hook State Change",
    "source": "aws.ecs",
    "account": "123456789012",
    "time": "2026-03-05T15:54:41Z",
    "region": "us-west-2",
    "resources": [
        "arn:aws:ecs:us-west-2:123456789012:service-deployment/my-cluster/my-service/0EYSiB0qap8xf0N76FsbE"
    ],
    "detail": {
        "eventType": "INFO",
        "eventName": "HOOK_AWAITING_ACTION",
        "hookId": "ecs-pause-e7tK9G_WRJqNF_EOMjztDXfKenlJuEUVjsNStf4WLKw",
        "hookType": "PAUSE",
        "expiresAt": "2026-03-05T16:04:41Z",
        "lifecycleStage": "POST_TEST_TRAFFIC_SHIFT",
        "clusterArn": "arn:aws:ecs:us-west-2:123456789012:cluster/my-cluster",
        "serviceArn": "arn:aws:ecs:us-west-2:123456789012:service/my-cluster/my-service",
        "serviceDeploymentArn": "arn:aws:ecs:us-west-2:123456789012:service-deployment/my-cluster/my-service/"
        "0EYSiB0qap8xf0N76FsbE",
        "updatedAt": "2026-03-05T15:54:41.618059641Z",
    },
}


def test_a_hook_that_begins_to_wait_is_told_of_as_documented() -> None:
    deployment = ServiceDeploymentArn(
        "aws", "us-west-2", "123456789012", "my-cluster", "my-service", "0EYSiB0qap8xf0N76FsbE"
    )
    revision = ServiceRevisionArn("aws", "us-west-2", "123456789012", "my-cluster", "my-service", "1")
    run = HookRun(
        hook_id="ecs-pause-e7tK9G_WRJqNF_EOMjztDXfKenlJuEUVjsNStf4WLKw",
        hook=LifecycleHook(name="pause", stages=(Stage.POST_TEST_TRAFFIC_SHIFT,), target_type="PAUSE"),
        stage=Stage.POST_TEST_TRAFFIC_SHIFT,
        status=HookStatus.AWAITING_ACTION,
        expires_at=datetime(2026, 3, 5, 16, 4, 41, tzinfo=UTC),
    )
    now = datetime(2026, 3, 5, 15, 54, 41, 618059, tzinfo=UTC)

    event = hook_state_change(
        ServiceDeployment(
            arn=deployment,
            service=deployment.service_arn,
            configuration={},
            sources=[],
            target=RevisionSummary(arn=revision),
            created_at=now,
        ),
        run,
        now,
    )
    assert event == {
        **DOCUMENTED,
        "id": event["id"],
        "detail": {**DOCUMENTED["detail"], "updatedAt": "2026-03-05T15:54:41.618059000Z"},
    }
