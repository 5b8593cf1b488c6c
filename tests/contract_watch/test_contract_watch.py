"""What AWS's API model says of lifecycle hooks is what this project was written against."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from rehearsal.runtime.lambda_python import ROOT
from tests.contract_watch.ecs_model import RECORDED, current

# By the beginning of a shape's name: who has to be looked at when it changes. The first that fits.
REVIEW = {
    "DeploymentLifecycleHook": "shared/lifecycle.py and rehearsal/check/rules/entries.py: stages, targets",
    "HookTimeout": "rehearsal/check/rules/time_limits.py and docs/pause-or-lambda.md: limits and actions",
    "HookDetails": "shared/hook.py: what hookDetails may be",
    "ServiceDeploymentStatus": "shared/deployment.py and rehearsal/machine.py: statuses",
    "ServiceDeploymentLifecycleStage": "shared/deployment.py and rehearsal/switches.py: stages",
    "ServiceDeployment": "shared/deployment.py and rehearsal/aws/ecs.py: what a deployment tells of itself",
    "ServiceRevision": "shared/deployment.py and rehearsal/service.py: images, target groups",
    "ContainerImage": "hooks/image_trust: digests of what runs",
    "ContinueServiceDeployment": "hooks/manual_approval/continuation.py: how PAUSE hooks are answered",
    "StopServiceDeployment": "hooks/manual_approval/proceeding.py: how a deployment is stopped",
    "Deployment": "rehearsal/strategy.py and rehearsal/check: strategies, bakes, circuit breaker, alarms",
    "Canary": "rehearsal/strategy.py: steps and bakes",
    "Linear": "rehearsal/strategy.py: steps and bakes",
    "LoadBalancer": "shared/listener.py and rehearsal/check/rules/traffic.py: where test traffic goes",
    "AdvancedConfiguration": "shared/listener.py and rehearsal/check/rules/traffic.py: rules and roles",
    "ServiceConnect": "hooks/load_test/route.py: test traffic inside the namespace",
}
OTHERWISE = "docs/ecs-contract.md: whether hooks, rehearsal or checks should know of it"


def differences(recorded: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Say what differs, a line for each shape or operation, and what has to be looked at."""
    lines = []
    for kind in ("operations", "shapes"):
        before, after = recorded[kind], found[kind]
        for name in sorted(before.keys() | after.keys()):
            if before.get(name) != after.get(name):
                review = next((text for start, text in REVIEW.items() if name.startswith(start)), OTHERWISE)
                lines.append(f"{name}: {_difference(before.get(name), after.get(name))}. Review {review}")
    return lines


def _difference(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> str:
    if before is None or after is None:
        return "is new" if before is None else "is gone"
    parts = []
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        if old != new and isinstance(old, list | dict) and isinstance(new, list | dict):
            gained, lost = [one for one in new if one not in old], [one for one in old if one not in new]
            changed = [one for one in new if one in old and isinstance(old, dict) and old[one] != new[one]]  # type: ignore[call-overload]
            for what, names in (("gained", gained), ("lost", lost), ("changed", changed)):
                parts += [f"{key} {what} {', '.join(map(str, names))}"] if names else []
        elif old != new:
            parts.append(f"{key} was {old} and is {new}")
    return "; ".join(parts) or "its entries come in another order"


def test_botocore_s_model_of_deployments_and_hooks_is_the_one_that_was_reviewed() -> None:
    recorded = json.loads(RECORDED.read_text())

    assert differences(recorded, current()) == [], (
        "AWS has changed what hooks live by. Review each line above, then record it: "
        "uv run python tests/contract_watch/ecs_model.py"
    )


def test_what_the_project_relies_on_is_in_it() -> None:
    shapes = current()["shapes"]

    assert "PRE_PRODUCTION_TRAFFIC_SHIFT" in shapes["DeploymentLifecycleHookStage"]["enum"]
    assert set(shapes["DeploymentLifecycleHook"]["members"]) >= {
        "hookTargetArn", "roleArn", "lifecycleStages", "hookDetails", "targetType", "timeoutConfiguration"
    }  # fmt: skip


@pytest.mark.parametrize("text", [*REVIEW.values(), OTHERWISE])
def test_what_is_to_be_looked_at_is_there(text: str) -> None:
    for place in text.partition(":")[0].split(" and "):
        assert (ROOT / place).exists(), place


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"DeploymentLifecycleHookStage": {"type": "string", "enum": ["PRE_SCALE_UP", "PRE_CLEAN_UP"]}},
            "enum gained PRE_CLEAN_UP; enum lost POST_SCALE_UP. Review shared/lifecycle.py",
        ),
        ({"HookTimeoutMinutes": {"type": "integer"}}, "is new. Review rehearsal/check/rules/time_limits.py"),
        (
            {"ServiceDeployment": {"type": "structure", "members": {"status": "Text"}}},
            "members changed status. Review shared/deployment.py",
        ),
        ({"ServiceDeployment": None}, "is gone. Review shared/deployment.py"),
        ({"Tag": {"type": "map"}}, "type was string and is map. Review docs/ecs-contract.md"),
    ],
)
def test_a_change_is_said_with_what_to_look_at(change: dict[str, Any], said: str) -> None:
    shapes = {
        "DeploymentLifecycleHookStage": {"type": "string", "enum": ["PRE_SCALE_UP", "POST_SCALE_UP"]},
        "ServiceDeployment": {"type": "structure", "members": {"status": "Status"}},
        "Tag": {"type": "string"},
    }
    changed = {name: shape for name, shape in (shapes | change).items() if shape is not None}

    [line] = differences({"operations": {}, "shapes": shapes}, {"operations": {}, "shapes": changed})

    assert said in line
