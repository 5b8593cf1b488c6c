"""Lambda functions of a template: what their environment says and what their role may do.

SAM's Globals are merged in, and the statements are those of the function's own Policies or, where it
names a role, of that role.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rehearsal.intrinsics import Unresolved, as_text
from shared.errors import JsonObject

if TYPE_CHECKING:
    from rehearsal.template import Resource

FUNCTION_TYPES = ("AWS::Serverless::Function", "AWS::Lambda::Function")
LAYER_TYPES = ("AWS::Serverless::LayerVersion", "AWS::Lambda::LayerVersion")

# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-lambda-function.html
DEFAULT_TIMEOUT_SECONDS = 3
DEFAULT_MEMORY_MB = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A Lambda function."""

    resource: "Resource"
    name: str
    handler: str
    """Empty when the template does not say."""
    environment: dict[str, str | Unresolved]
    timeout_seconds: int
    memory_mb: int
    statements: list[JsonObject]
    """IAM statements of its role, as written in the template."""
    managed_policies: list[str]
    """Names or ARNs of policies that are defined elsewhere."""
    policy_templates: list[JsonObject]
    """SAM policy templates, not expanded: ``{"SQSPollerPolicy": {...}}``."""
    layers: list[str]
    """Logical ids of those layers of the template that are attached to it, in their order."""
    code: Path | str | None
    """The folder or file that holds its code when that is local, or the code itself."""

    @property
    def logical_id(self) -> str:
        return self.resource.logical_id

    @property
    def arn(self) -> str:
        return self.resource.arn


def function_of(resource: "Resource") -> Function:
    """Read a function from its resource."""
    template = resource.template
    properties = resource.properties
    policies: list[Any] = []
    if resource.type == "AWS::Serverless::Function":
        properties = _merged(template.globals_of("Function"), properties)
        policies = as_list(properties.get("Policies"))
    statements = [statement for policy in policies for statement in statements_in(policy)]
    managed = policies
    role = next(
        (one for one in template.resources("AWS::IAM::Role") if properties.get("Role") in (one.arn, one.ref)),
        None,
    )
    if role is not None:  # SAM ignores Policies where a Role is given
        statements = template.statements_of(role)
        managed = as_list(role.properties.get("ManagedPolicyArns"))
    environment = properties.get("Environment")
    variables = environment.get("Variables") if isinstance(environment, dict) else None
    return Function(
        resource=resource,
        name=str(resource.ref),
        handler=handler if isinstance(handler := properties.get("Handler"), str) else "",
        environment={
            key: value if isinstance(value, Unresolved) else as_text(value) or ""
            for key, value in (variables.items() if isinstance(variables, dict) else ())
        },
        timeout_seconds=_whole(properties.get("Timeout"), DEFAULT_TIMEOUT_SECONDS),
        memory_mb=_whole(properties.get("MemorySize"), DEFAULT_MEMORY_MB),
        statements=statements,
        managed_policies=[policy for policy in managed if isinstance(policy, str)],
        policy_templates=[policy for policy in dicts_in(policies) if "Statement" not in policy],
        layers=[
            layer.logical_id
            for reference in as_list(properties.get("Layers"))
            if (layer := template.find(reference, *LAYER_TYPES)) is not None
        ],
        code=_code(template.file, properties),
    )


def _code(template_file: str, properties: JsonObject) -> Path | str | None:
    code = properties.get("Code")
    inline = properties.get("InlineCode") or (code.get("ZipFile") if isinstance(code, dict) else None)
    if isinstance(inline, str):
        return inline
    location = properties.get("CodeUri") or code
    if not isinstance(location, str) or "://" in location or "\0" in location:
        return None
    folder = Path(os.path.normpath(Path(template_file).parent / location))
    return folder if folder.exists() else None


def _merged(default: JsonObject, own: JsonObject) -> JsonObject:
    """Merge SAM's Globals: objects are merged, lists are joined, everything else is the function's own."""
    # https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-specification-template-anatomy-globals.html
    merged = {**default, **own}
    for key in default.keys() & own.keys():
        if isinstance(default[key], dict) and isinstance(own[key], dict):
            merged[key] = _merged(default[key], own[key])
        elif isinstance(default[key], list) and isinstance(own[key], list):
            merged[key] = default[key] + own[key]
    return merged


def statements_in(policy: object) -> list[JsonObject]:
    """Return the statements of a policy document; none of anything else."""
    statement = policy.get("Statement") if isinstance(policy, dict) else None
    return dicts_in(statement if isinstance(statement, list) else [statement])


def as_list(value: object) -> list[Any]:
    """Read what may be one thing or a list of them."""
    return value if isinstance(value, list) else [] if value is None else [value]


def dicts_in(value: object) -> list[JsonObject]:
    """Return the objects in what may be one thing or a list of them."""
    return [item for item in as_list(value) if isinstance(item, dict)]


def _whole(value: object, default: int) -> int:
    text = as_text(value)
    return int(text) if text is not None and text.isdecimal() and len(text) <= 9 else default
