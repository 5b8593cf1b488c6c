"""The JSON Schemas of hooks' settings, made from the models that read them.

``rehearse schema`` writes them to ``docs/schema``; a test fails when they differ from the models.
"""

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rehearsal import functions

FOLDER = functions.TEMPLATE.parent / "docs" / "schema"


def schemas() -> Mapping[str, dict[str, Any]]:
    """Return the schemas by file name: what ``hookDetails`` and ``HOOK_POLICY`` of each hook may hold."""
    found = {}
    for name, function in functions.hooks(functions.deployed()).items():
        module, attribute = function.handler.rsplit(".", 1)
        hook = getattr(importlib.import_module(module), attribute)
        for kind, model in (("hook_details", hook.settings), ("policy", hook.policy)):
            schema = model.model_json_schema(by_alias=True)
            # pydantic's titles are the keys once more, misspelt.
            for model_schema in (schema, *schema.get("$defs", {}).values()):
                for described in model_schema.get("properties", {}).values():
                    described.pop("title", None)
            found[f"{name}.{kind}.json"] = {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                **schema,
            }
    return found


def text(schema: Mapping[str, Any]) -> str:
    return json.dumps(schema, indent=2) + "\n"


def write(folder: Path = FOLDER) -> list[Path]:
    """Write all schemas; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, schema in schemas().items():
        file = folder / name
        file.write_text(text(schema), encoding="utf-8")
        files.append(file)
    return files
