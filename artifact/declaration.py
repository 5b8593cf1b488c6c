"""What a function is and may call, read from the template: the one place that says so.

A function's artifact is derived from its resource: the handler names the package, and the policies of
its role name the AWS operations. So an artifact can call exactly what its role allows. A layer's is derived
from its own resource and from the function that it is attached to.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FUNCTION_TYPE = "AWS::Serverless::Function"
LAYER_TYPE = "AWS::Serverless::LayerVersion"

# Lambda's word for a processor, and the one in the names of wheels and modules.
MACHINES = {"arm64": "aarch64", "x86_64": "x86_64"}

# https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html: no permission is needed,
# so no policy says who calls it.
WITHOUT_PERMISSION = {"sts": frozenset({"GetCallerIdentity"})}

# Not called by our code: the runtime ships what is printed, Lambda brings a function into its VPC, ECR asks
# Inspector in its name.
BY_OTHERS = frozenset({"ec2", "inspector2", "logs"})

# Where botocore calls a service otherwise than IAM does.
BOTOCORE_NAMES = {"elasticloadbalancing": "elbv2"}

# https://docs.aws.amazon.com/service-authorization/latest/reference/reference.html: IAM names permissions,
# and where one is not the name of an API operation, it is one of these.
OPERATIONS_OF_ACTION: Mapping[str, tuple[str, ...]] = {
    # https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ListImageReferrers.html
    "ecr:BatchGetImage": ("BatchGetImage", "ListImageReferrers"),
    "lambda:InvokeFunction": ("Invoke",),
    "s3:GetObject": ("GetObject", "HeadObject"),
    "s3:GetObjectVersion": ("GetObject", "HeadObject"),
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
    layers: tuple[str, ...] = ()
    """Logical ids of all that may be attached to it, on either branch of any condition."""

    @property
    def module(self) -> tuple[str, ...]:
        """The handler's module: ``("hooks", "manual_approval", "handler")``."""
        return tuple(self.handler.split(".")[:-1])

    @property
    def extra(self) -> str:
        """The name of what its package needs beyond all hooks, in pyproject.toml.

        ``image-trust``, and of a counterpart ``manual-approval-console``.
        """
        return "-".join(self.module[1:-1]).replace("_", "-")


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of the template: what its function needs on one processor, or on top for another extra."""

    name: str
    machine: str
    """As wheels call the processor: ``aarch64``."""
    extra: str
    """What it is for: the extra of its function, or one that adds to it."""
    function: Function

    @property
    def adds_to_its_function(self) -> bool:
        """Whether its function can be deployed without it."""
        return self.extra != self.function.extra


def functions(template: Path) -> dict[str, Function]:
    """Read all functions of a template, by logical id."""
    resources = _resources(template)
    return {
        name: Function(
            name,
            resource["Properties"]["Handler"],
            _operations(name, resource, resources),
            tuple(_references(resource["Properties"].get("Layers", []))),
        )
        for name, resource in resources.items()
        if resource["Type"] == FUNCTION_TYPE
    }


def layers(template: Path) -> dict[str, Layer]:
    """Read all layers of a template, by logical id."""
    attached = functions(template).values()
    return {
        name: _layer(name, resource, [function for function in attached if name in function.layers])
        for name, resource in _resources(template).items()
        if resource["Type"] == LAYER_TYPE
    }


def _layer(name: str, resource: Mapping[str, Any], attached_to: Sequence[Function]) -> Layer:
    metadata, properties = resource.get("Metadata", {}), resource["Properties"]
    match properties.get("CompatibleArchitectures"):
        case [str(architecture)] if architecture in MACHINES:
            machine = MACHINES[architecture]
        case architectures:
            raise TemplateError(
                f"{name}: expected CompatibleArchitectures: [arm64] or [x86_64], got {architectures!r}"
            )
    if not isinstance(extra := metadata.get("Extra"), str):
        raise TemplateError(
            f"{name}: expected Metadata with Extra, an optional dependency of pyproject.toml, got {extra!r}"
        )
    if len(attached_to) != 1:
        raise TemplateError(f"{name}: expected one function with it among its Layers, got {len(attached_to)}")
    return Layer(name, machine, extra, attached_to[0])


def _resources(template: Path) -> Mapping[str, Any]:
    # The loader builds plain values only; see _Loader.
    resources: Mapping[str, Any] = yaml.load(template.read_text(), _Loader)["Resources"]  # noqa: S506
    return resources


def _references(node: object) -> Iterator[str]:
    """Yield every resource that is referred to anywhere below, on either branch of any condition."""
    match node:
        case {"Ref": str(name)} if "::" not in name:
            yield name
        case {"Fn::If": [_, *branches]} | [*branches]:
            for branch in branches:
                yield from _references(branch)


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
        if service not in BY_OTHERS:
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
