"""botocore's data, cut to the operations a function may call.

botocore describes 440 services in 29 MB of JSON, documentation included, and reads a service's whole
description to make one client. What is kept of it:

::

    botocore/data/
    ├── SERVICE/VERSION/service-2.json             the operations, and the shapes they reach
    │                   endpoint-rule-set-1.json   as it is
    │                   paginators-1.json          of these operations
    ├── endpoints.json                             every partition and region; of services, these
    └── partitions.json, _retry.json, ...          as they are

JSON that is read at start is kept uncompressed: Lambda unzips the artifact before it starts the function.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import DataNotFoundError
from botocore.loaders import Loader

# Not kept: waiters-2 (a hook that slept inside an invocation would pay for it; it answers IN_PROGRESS
# instead) and examples-1.
SERVICE_MODEL = "service-2"
ENDPOINT_RULES = "endpoint-rule-set-1"
PAGINATORS = "paginators-1"


def trim(data: Path, operations: Mapping[str, frozenset[str]]) -> None:
    """Cut the folder ``botocore/data`` to *operations*, in place."""
    loader = Loader([str(data)], include_default_search_paths=False)
    kept: dict[str, dict[str, Any]] = {}
    prefixes = set(operations)
    for service, names in sorted(operations.items()):
        version = loader.determine_latest_version(service, SERVICE_MODEL)
        model = trimmed_model(loader.load_service_model(service, SERVICE_MODEL), service, names)
        prefixes.add(model["metadata"]["endpointPrefix"])
        folder = f"{service}/{version}"
        kept[f"{folder}/{SERVICE_MODEL}.json"] = model
        kept[f"{folder}/{ENDPOINT_RULES}.json"] = loader.load_service_model(service, ENDPOINT_RULES)
        if pagination := _paginators(loader, service, names):
            kept[f"{folder}/{PAGINATORS}.json"] = {"pagination": pagination}
    kept["endpoints.json"] = trimmed_endpoints(loader.load_data("endpoints"), frozenset(prefixes))
    for entry in data.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
    for name, content in kept.items():
        path = data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, separators=(",", ":")))


def trimmed_model(model: Mapping[str, Any], service: str, names: frozenset[str]) -> dict[str, Any]:
    """Return a service's description with nothing but *names*, and without documentation."""
    if unknown := names - model["operations"].keys():
        raise DataNotFoundError(data_path=f"{service}: {', '.join(sorted(unknown))}")
    operations = {name: _undocumented(model["operations"][name]) for name in sorted(names)}
    for operation in operations.values():
        for key in ("input", "output"):
            if key in operation:
                operation[key] = _undocumented(operation[key])
        if "errors" in operation:
            operation["errors"] = [_undocumented(error) for error in operation["errors"]]
    shapes: dict[str, Any] = {}
    wanted = [name for operation in operations.values() for name in _referenced(operation)]
    while wanted:
        if (name := wanted.pop()) not in shapes:
            shapes[name] = _trimmed_shape(model["shapes"][name])
            wanted.extend(_referenced(shapes[name]))
    rest = {key: value for key, value in model.items() if key not in {"operations", "shapes", "examples"}}
    return {**_undocumented(rest), "operations": operations, "shapes": dict(sorted(shapes.items()))}


def trimmed_endpoints(endpoints: Mapping[str, Any], prefixes: frozenset[str]) -> dict[str, Any]:
    """Return the endpoints of the services that have one of *prefixes*, in every partition."""
    return {
        **endpoints,
        "partitions": [
            {
                **partition,
                "services": {
                    name: entry for name, entry in partition["services"].items() if name in prefixes
                },
            }
            for partition in endpoints["partitions"]
        ],
    }


def _paginators(loader: Loader, service: str, names: frozenset[str]) -> dict[str, Any]:
    try:
        pagination = loader.load_service_model(service, PAGINATORS)["pagination"]
    except DataNotFoundError:
        return {}
    return {name: pagination[name] for name in sorted(names & pagination.keys())}


def _trimmed_shape(shape: Mapping[str, Any]) -> dict[str, Any]:
    trimmed = _undocumented(shape)
    # Not a blind walk: a structure may well have a member that is called "documentation".
    if "members" in shape:
        trimmed["members"] = {name: _undocumented(member) for name, member in shape["members"].items()}
    for key in ("member", "key", "value"):
        if key in shape:
            trimmed[key] = _undocumented(shape[key])
    return trimmed


def _referenced(node: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the shapes that an operation or a shape refers to."""
    references = [node[key] for key in ("input", "output", "member", "key", "value") if key in node]
    references += node.get("errors", [])
    references += node.get("members", {}).values()
    for reference in references:
        yield reference["shape"]


def _undocumented(node: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in node.items() if key not in {"documentation", "documentationUrl"}}
