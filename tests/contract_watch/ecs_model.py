"""The part of botocore's ECS model that deployment lifecycle hooks live by, without its prose.

::

    operation, configuration ─▶ every shape they reach ─▶ {shape: {type, members, required, enum, ...}}

``python tests/contract_watch/ecs_model.py`` writes what the installed botocore says to ``ecs_model.json``.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from botocore.loaders import Loader

RECORDED = Path(__file__).with_suffix(".json")

OPERATIONS = (
    "ContinueServiceDeployment",
    "DescribeServiceDeployments",
    "DescribeServiceRevisions",
    "ListServiceDeployments",
    "StopServiceDeployment",
)
# Of CreateService and UpdateService, which have much else.
CONFIGURATION = ("DeploymentConfiguration", "LoadBalancers", "ServiceConnectConfiguration")

_KEPT = ("type", "enum", "required", "min", "max", "pattern", "document")


def current() -> dict[str, Any]:
    """Return what the installed botocore says."""
    model = Loader().load_service_model("ecs", "service-2")
    shapes, operations = model["shapes"], model["operations"]
    roots = [operations[name][way]["shape"] for name in OPERATIONS for way in ("input", "output")]
    found: dict[str, Any] = {}
    waiting = [*roots, *CONFIGURATION]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = _without_prose(shapes[name])
            waiting.extend(_parts(shapes[name]))
    return {
        "operations": {
            name: {
                "input": operations[name]["input"]["shape"],
                "output": operations[name]["output"]["shape"],
                "errors": sorted(error["shape"] for error in operations[name].get("errors", [])),
            }
            for name in OPERATIONS
        },
        "shapes": dict(sorted(found.items())),
    }


def _parts(shape: dict[str, Any]) -> Iterator[str]:
    yield from (member["shape"] for member in shape.get("members", {}).values())
    yield from (shape[key]["shape"] for key in ("member", "key", "value") if key in shape)


def _without_prose(shape: dict[str, Any]) -> dict[str, Any]:
    kept = {key: shape[key] for key in _KEPT if key in shape}
    if "members" in shape:
        kept["members"] = {name: member["shape"] for name, member in shape["members"].items()}
    for key in ("member", "key", "value"):
        if key in shape:
            kept[key] = shape[key]["shape"]
    return kept


if __name__ == "__main__":
    RECORDED.write_text(json.dumps(current(), indent=1) + "\n")
