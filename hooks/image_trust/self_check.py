"""What in the service's own configuration would let an image past the hook.

Sources: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentLifecycleHook.html and
API_ContainerDefinition.html (versionConsistency).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hooks.image_trust.containers import Container
from shared.lifecycle import Stage

STAGES = (Stage.PRE_SCALE_UP, Stage.POST_SCALE_UP)


def fails_open(
    hooks: Sequence[Mapping[str, Any]], function: str, containers: Sequence[Container]
) -> tuple[str, ...]:
    """Return a sentence for each way.

    Parameters
    ----------
    hooks
        ``deploymentConfiguration.lifecycleHooks`` of the deployment, in the API's shape.
    function
        Name of the function that runs this.
    containers
        What the revision runs.
    """
    ours = [hook for hook in hooks if function and _function_of(hook) == function]
    found: list[str] = []
    if not ours:
        # Called by hand, or through an alias that ECS names otherwise: nothing can be said about the rest.
        return (f"the deployment lists no hook of function {function!r}",)
    attached = {stage for hook in ours for stage in hook.get("lifecycleStages") or ()}
    found += [
        f"the hook is not attached at {stage}: {_MISSING[stage]}" for stage in STAGES if stage not in attached
    ]
    for hook in ours:
        action = (hook.get("timeoutConfiguration") or {}).get("action")
        if action == "CONTINUE":
            stages = ", ".join(hook.get("lifecycleStages") or ())
            found.append(f"timeoutConfiguration.action is CONTINUE at {stages}: a time-out admits the image")
    for container in containers:
        # By its digest it is the same image all the same.
        if not container.is_consistent and "@" not in container.image:
            found.append(
                f"versionConsistency of {container.name!r} is disabled: its tag may lead each task elsewhere"
            )
    return tuple(found)


_MISSING = {
    Stage.PRE_SCALE_UP: "images run before they are judged",
    Stage.POST_SCALE_UP: "nothing compares what ECS started with what was admitted",
}


def _function_of(hook: Mapping[str, Any]) -> str:
    """Return NAME of ``arn:aws:lambda:REGION:ACCOUNT:function:NAME`` or of ``...:NAME:QUALIFIER``."""
    parts = str(hook.get("hookTargetArn", "")).split(":")
    return parts[6] if len(parts) in {7, 8} else ""
