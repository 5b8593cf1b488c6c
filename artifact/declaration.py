"""What a function is and may call, read from the template: the one place that says so.

A function's artifact is derived from its resource: the handler names the package, and the policies of
its role name the AWS operations. So an artifact can call exactly what its role allows.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FUNCTION_TYPE = "AWS::Serverless::Function"

# https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html: no permission is needed,
# so no policy says who calls it.
WITHOUT_PERMISSION = {"sts": frozenset({"GetCallerIdentity"})}

# Not called by our code: the runtime ships what is printed, and Lambda brings a function into its VPC.
BY_THE_RUNTIME = frozenset({"logs", "ec2"})

# Where botocore calls a service otherwise than IAM does.
BOTOCORE_NAMES = {"elasticloadbalancing": "elbv2"}

# https://docs.aws.amazon.com/service-authorization/latest/reference/reference.html: IAM names permissions,
# and where one is not the name of an API operation, it is one of these.
OPERATIONS_OF_ACTION: Mapping[str, tuple[str, ...]] = {
    "lambda:InvokeFunction": ("Invoke",),
    "s3:GetObject": ("GetObject", "HeadObject"),
    "s3:ListBucket": ("ListObjectsV2",),
}


class TemplateError(Exception):
    """The template does not say what an artifact needs to know; the text names function and key."""


@dataclass(frozen=True, slots=True)
class Function:
    """One Lambda function of the template."""

    name: str
    handler: str
    operations: Mapping[str, frozenset[str]]
    """By service as botocore names it: ``{"ssm": {"GetParameter"}}``."""

    @property
    def module(self) -> tuple[str, ...]:
        """The handler's module: ``("hooks", "manual_approval", "handler")``."""
        return tuple(self.handler.split(".")[:-1])


def functions(template: Path) -> dict[str, Function]:
    """Read all functions of a template, by logical id."""
    # The loader builds plain values only; see _Loader.
    document = yaml.load(template.read_text(), _Loader)  # noqa: S506
    resources = document["Resources"]
    return {
        name: Function(name, resource["Properties"]["Handler"], _operations(name, resource, resources))
        for name, resource in resources.items()
        if resource["Type"] == FUNCTION_TYPE
    }


def _operations(
    name: str, function: Mapping[str, Any], resources: Mapping[str, Any]
) -> dict[str, frozenset[str]]:
    match function["Properties"].get("Role"):
        case {"Fn::GetAtt": str(attribute)} if attribute.endswith(".Arn"):
            role = resources[attribute.removesuffix(".Arn")]
        case role:
            raise TemplateError(
                f"{name}: expected Role: !GetAtt ROLE.Arn, with a role of this template, got {role!r}"
            )
    found: dict[str, set[str]] = {service: set(names) for service, names in WITHOUT_PERMISSION.items()}
    for action in _actions(role["Properties"].get("Policies", [])):
        service, _, permission = action.partition(":")
        if "*" in action or not permission:
            raise TemplateError(
                f"{name}: expected the name of one permission, such as ssm:GetParameter, got {action!r}"
            )
        if service not in BY_THE_RUNTIME:
            operations = OPERATIONS_OF_ACTION.get(action, (permission,))
            found.setdefault(BOTOCORE_NAMES.get(service, service), set()).update(operations)
    return {service: frozenset(names) for service, names in found.items()}


def _actions(node: object) -> Iterator[str]:
    """Yield every action allowed anywhere below, on either branch of any condition."""
    if isinstance(node, Mapping):
        if node.get("Effect") == "Allow":
            actions = node["Action"]
            yield from [actions] if isinstance(actions, str) else actions
        else:
            for value in node.values():
                yield from _actions(value)
    elif isinstance(node, Sequence) and not isinstance(node, str):
        for value in node:
            yield from _actions(value)


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms, ``!Ref X``, as the long ones, ``{"Ref": "X"}``."""


def _long_form(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    match node:
        case yaml.ScalarNode():
            value = loader.construct_scalar(node)
        case yaml.SequenceNode():
            value = loader.construct_sequence(node, deep=True)
        case yaml.MappingNode():
            value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _long_form)
