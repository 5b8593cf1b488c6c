"""A PAUSE hook of ``checkout`` that waits, and the event that says so."""

from datetime import datetime, timedelta
from typing import Any

from rehearsal import ecs_events
from rehearsal.model import HookRun, HookStatus, LifecycleHook, ServiceDeployment
from shared.lifecycle import Stage
from tests.aws.conftest import REQUEST, Account
from tests.shared.checkout import START, deploy

PAUSE_FUNCTION = "ApprovalPauseFunction"
HOOK_ID = "ecs-pause-e7tK9G_WRJqNF_EOMjztDXfKenlJuEUVjsNStf4WLKw"
PAUSE_REQUEST = f"{REQUEST}/{HOOK_ID}"
EXPIRES_AT = START + timedelta(hours=4)


def waiting(**changes: Any) -> HookRun:
    """Return a hook at which ECS waits for four hours."""
    run = HookRun(
        hook_id=HOOK_ID,
        hook=LifecycleHook(name="pause", stages=(Stage.POST_TEST_TRAFFIC_SHIFT,), target_type="PAUSE"),
        stage=Stage.POST_TEST_TRAFFIC_SHIFT,
        status=HookStatus.AWAITING_ACTION,
        expires_at=EXPIRES_AT,
    )
    for name, value in changes.items():
        setattr(run, name, value)
    return run


def begin_to_wait(account: Account, **changes: Any) -> tuple[ServiceDeployment, HookRun]:
    """Let the deployment come to the hook."""
    run = waiting(**changes)
    return deploy(account.cloud, hook_runs=[run]), run


def pause_event(deployment: ServiceDeployment, run: HookRun, at: datetime = START) -> dict[str, Any]:
    return ecs_events.hook_state_change(deployment, run, at)


def ask_for_pause(account: Account, event: Any = None, **variables: str) -> Any:
    """Let EventBridge call the function, which has to come to an end."""
    if event is None:
        event = pause_event(*begin_to_wait(account))
    invocation = account.invoke(PAUSE_FUNCTION, event, **variables)
    assert invocation.error is None, invocation.error
    return invocation.reply
