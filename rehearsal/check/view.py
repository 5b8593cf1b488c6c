"""A template's ECS services in the shape that rules look at.

::

    Stack ── functions, services, find()
        ServiceView ── strategy, deployment configuration
            HookView          one entry of LifecycleHooks
            LoadBalancerView  one entry of LoadBalancers

Values stay as the template gives them: a rule meets text, number, ``None`` or :class:`Unresolved`, and
says nothing about the last.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Any

from rehearsal.check.findings import Where
from rehearsal.check.hooks import KnownHook, recognised
from rehearsal.document import Path_
from rehearsal.intrinsics import Unresolved, as_text
from rehearsal.lambda_functions import Function
from rehearsal.template import Resource, Template
from shared.errors import JsonObject
from shared.lifecycle import Stage

DEPLOYMENT = "DeploymentConfiguration"
STRATEGIES = ("ROLLING", "BLUE_GREEN", "LINEAR", "CANARY")
GRADUAL = frozenset({"LINEAR", "CANARY"})

# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/lambda-lifecycle-hooks.html
DEFAULT_HOOK_TIMEOUT_MINUTES = 1440
# A PAUSE hook's fourteen days, the type's limit in the API and in CloudFormation.
MAX_HOOK_TIMEOUT_MINUTES = 20160


@dataclass(frozen=True)
class Stack:
    """A template with those nested in it, and the hooks we know."""

    template: Template
    known: Mapping[str, KnownHook]

    @cached_property
    def functions(self) -> list[Function]:
        return self.template.functions()

    @cached_property
    def services(self) -> "list[ServiceView]":
        return [ServiceView(self, resource) for resource in self.template.services()]

    def function(self, target: object) -> Function | None:
        """Return the function that a hook's target means, if it stands in the template."""
        resource = self.template.find(target, "AWS::Serverless::Function", "AWS::Lambda::Function")
        if resource is None and (
            behind := self.template.find(target, "AWS::Lambda::Alias", "AWS::Lambda::Version")
        ):
            resource = self.template.find(
                _behind(behind), "AWS::Serverless::Function", "AWS::Lambda::Function"
            )
        return (
            next((one for one in self.functions if one.resource.arn == resource.arn), None)
            if resource
            else None
        )


def _behind(version: Resource) -> object:
    return version.arn.rsplit(":", 1)[0]


@dataclass(frozen=True)
class HookView:
    """One entry of ``LifecycleHooks``."""

    service: "ServiceView"
    index: int
    entry: JsonObject

    @property
    def path(self) -> Path_:
        return (DEPLOYMENT, "LifecycleHooks", self.index)

    def at(self, *path: str | int) -> Where:
        """Return the line of something in the entry."""
        return self.service.at(*self.path, *path)

    @property
    def label(self) -> str:
        """What messages call it: ``Catalog hook 2 (ManualApprovalFunction)``."""
        name = self.function.logical_id if self.function else ""
        if not name and isinstance(self.target, Unresolved):
            name = self.target.name
        elif not name and isinstance(self.target, str) and ":function:" in self.target:
            name = self.target.split(":function:")[1][:80]
        name = "PAUSE" if self.is_pause else name
        return f"{self.service.name} hook {self.index + 1}{f' ({name})' if name else ''}"

    @property
    def target_type(self) -> object:
        return self.entry.get("TargetType", "AWS_LAMBDA")

    @property
    def is_lambda(self) -> bool:
        return self.target_type == "AWS_LAMBDA"

    @property
    def is_pause(self) -> bool:
        return self.target_type == "PAUSE"

    @property
    def target(self) -> object:
        return self.entry.get("HookTargetArn")

    @property
    def stages(self) -> list[tuple[int, Stage]]:
        """The stages that exist, with their indexes."""
        named = self.entry.get("LifecycleStages")
        stages = enumerate(named if isinstance(named, list) else [])
        return [
            (index, Stage(stage)) for index, stage in stages if isinstance(stage, str) and stage in set(Stage)
        ]

    @cached_property
    def details(self) -> object:
        """``HookDetails``; an object whose values may be unresolved where Fn::ToJsonString makes it."""
        given = self.entry.get("HookDetails")
        if isinstance(given, Unresolved):
            resource = self.service.resource
            path = resource.path(*self.path, "HookDetails")
            written = resource.template.document_value(path)
            if isinstance(written, dict) and list(written) == ["Fn::ToJsonString"]:
                return resource.template.resolve(written["Fn::ToJsonString"], path)
        return given

    @property
    def timeout(self) -> JsonObject:
        given = self.entry.get("TimeoutConfiguration")
        return given if isinstance(given, dict) else {}

    @property
    def timeout_minutes(self) -> Decimal | None:
        """What ECS would wait; ``None`` when it can't be told."""
        if "TimeoutInMinutes" in self.timeout:
            minutes = number(self.timeout["TimeoutInMinutes"])
            return minutes if minutes is not None and 1 <= minutes <= MAX_HOOK_TIMEOUT_MINUTES else None
        known = not isinstance(self.entry.get("TimeoutConfiguration"), Unresolved)
        return Decimal(DEFAULT_HOOK_TIMEOUT_MINUTES) if known and self.is_lambda else None

    @cached_property
    def function(self) -> Function | None:
        return self.service.stack.function(self.target)

    @cached_property
    def ours(self) -> KnownHook | None:
        """Which of our hooks it is."""
        return recognised(self.target, self.function, self.service.stack.known) if self.is_lambda else None


@dataclass(frozen=True)
class LoadBalancerView:
    """One entry of ``LoadBalancers``."""

    service: "ServiceView"
    index: int
    entry: JsonObject

    def at(self, *path: str | int) -> Where:
        """Return the line of something in the entry."""
        return self.service.at("LoadBalancers", self.index, *path)

    @property
    def label(self) -> str:
        return f"{self.service.name} load balancer {self.index + 1}"

    @property
    def target_group(self) -> object:
        return self.entry.get("TargetGroupArn")

    @property
    def advanced(self) -> JsonObject | None:
        """``AdvancedConfiguration``; ``None`` when there is none."""
        given = self.entry.get("AdvancedConfiguration")
        return given if isinstance(given, dict) else None

    def listener_settings(self) -> Iterator[tuple[str, str]]:
        """Yield name and ARN of the production and test rule or listener, where they are known."""
        for name in ("ProductionListenerRule", "TestListenerRule"):
            value = (self.advanced or {}).get(name)
            if isinstance(value, str):
                yield name, value

    @cached_property
    def kind(self) -> str | None:
        """``application`` or ``network``, as told by protocol of the target group or by the ARNs."""
        find = self.service.stack.template.find
        for group in (self.target_group, (self.advanced or {}).get("AlternateTargetGroupArn")):
            found = find(group, "AWS::ElasticLoadBalancingV2::TargetGroup")
            protocol = found.properties.get("Protocol") if found else None
            if protocol in ("HTTP", "HTTPS"):
                return "application"
            if protocol in ("TCP", "TLS", "UDP", "TCP_UDP", "QUIC", "TCP_QUIC"):
                return "network"
        arns = [arn for _, arn in self.listener_settings() if "/unknown/" not in arn]
        if any("/net/" in arn for arn in arns):
            return "network"
        return "application" if any("/app/" in arn for arn in arns) else None


@dataclass(frozen=True)
class ServiceView:
    """An ``AWS::ECS::Service``."""

    stack: Stack
    resource: Resource

    @property
    def name(self) -> str:
        return self.resource.logical_id

    def at(self, *path: str | int) -> Where:
        """Return the line of a property."""
        return where(self.resource, *path)

    @property
    def properties(self) -> JsonObject:
        return self.resource.properties

    @property
    def deployment(self) -> JsonObject:
        given = self.properties.get(DEPLOYMENT)
        return given if isinstance(given, dict) else {}

    @property
    def strategy(self) -> str | None:
        """The strategy; ``None`` when it can't be told or does not exist."""
        given = self.deployment.get("Strategy", "ROLLING")
        if isinstance(self.properties.get(DEPLOYMENT), Unresolved) or given not in STRATEGIES:
            return None
        return str(given)

    @cached_property
    def hooks(self) -> list[HookView]:
        entries = self.deployment.get("LifecycleHooks")
        return [
            HookView(self, index, entry)
            for index, entry in enumerate(entries if isinstance(entries, list) else [])
            if isinstance(entry, dict)
        ]

    @cached_property
    def load_balancers(self) -> list[LoadBalancerView]:
        entries = self.properties.get("LoadBalancers")
        return [
            LoadBalancerView(self, index, entry)
            for index, entry in enumerate(entries if isinstance(entries, list) else [])
            if isinstance(entry, dict)
        ]

    @property
    def may_have_load_balancers(self) -> bool:
        return bool(self.properties.get("LoadBalancers"))

    @property
    def service_connect(self) -> bool | None:
        """Whether Service Connect offers a port; ``None`` when it can't be told."""
        given = self.properties.get("ServiceConnectConfiguration")
        if isinstance(given, Unresolved):
            return None
        enabled = given.get("Enabled") if isinstance(given, dict) else False
        if isinstance(enabled, Unresolved):
            return None
        return as_text(enabled) == "true"

    def called(self, *path: str | int) -> str:
        """Name a property in a message: ``Catalog hook 2 TimeoutConfiguration.Action``."""
        match path:
            case ("DeploymentConfiguration", "LifecycleHooks", int(index), *rest):
                start = f"{self.name} hook {index + 1}"
            case ("LoadBalancers", int(index), *rest):
                start = f"{self.name} load balancer {index + 1}"
            case _:
                start, rest = self.name, list(path)
        return f"{start} {'.'.join(str(part) for part in rest)}".rstrip()

    def unresolved(self) -> Iterator[tuple[Path_, Unresolved]]:
        """Yield what rules would look at and can't."""
        for path, value in _unresolved(self.deployment or self.properties.get(DEPLOYMENT), (DEPLOYMENT,)):
            hook = next((hook for hook in self.hooks if (*hook.path, "HookDetails") == path), None)
            yield from _unresolved(hook.details, path) if hook else [(path, value)]
        for name in ("LoadBalancers", "ServiceConnectConfiguration", "Role", "DeploymentController"):
            yield from _unresolved(self.properties.get(name), (name,))


def where(resource: Resource, *path: str | int) -> Where:
    """Return the file and line of a property of a resource."""
    return Where(resource.template.file, resource.line(*path))


def _unresolved(value: Any, path: Path_) -> Iterator[tuple[Path_, Unresolved]]:
    if isinstance(value, Unresolved):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _unresolved(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unresolved(item, (*path, index))


def number(value: object) -> Decimal | None:
    """Read a number exactly as it is written: 0.3 is three times 0.1, which it is not as a double."""
    text = as_text(value) if not isinstance(value, bool) else None
    if text is None or len(text) > 40:
        return None
    try:
        read = Decimal(text)
    except InvalidOperation:
        return None
    return read if read.is_finite() and abs(read.adjusted()) <= 20 else None


def plain(value: Decimal) -> str:
    """Write a number without exponent or trailing zeros."""
    return f"{value.normalize():f}"
