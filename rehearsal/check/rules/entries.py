"""Rules on the entries of ``LifecycleHooks``: their shape, how many, and what they point to."""

import difflib
import re
from collections.abc import Iterable, Iterator

from rehearsal.check.findings import (
    CLOUDFORMATION_SERVICE,
    LAMBDA_HOOKS,
    PAUSE_HOOKS,
    TROUBLESHOOTING,
    Problem,
    Severity,
    rule,
)
from rehearsal.check.view import DEPLOYMENT, ServiceView
from rehearsal.document import Path_
from rehearsal.intrinsics import Unresolved
from rehearsal.lambda_functions import FUNCTION_TYPES
from shared.errors import shown

# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/pause-lifecycle-hooks.html
MAX_HOOKS_OF_A_KIND = 10

_ENTRY_KEYS = (
    "HookDetails",
    "HookTargetArn",
    "LifecycleStages",
    "RoleArn",
    "TargetType",
    "TimeoutConfiguration",
)
_DEPLOYMENT_KEYS = (
    "Alarms",
    "BakeTimeInMinutes",
    "CanaryConfiguration",
    "DeploymentCircuitBreaker",
    "EarlySuccessCriteria",
    "LifecycleHooks",
    "LinearConfiguration",
    "MaximumPercent",
    "MinimumHealthyPercent",
    "Strategy",
)
_KEYS = {
    "TimeoutConfiguration": ("Action", "TimeoutInMinutes"),
    "CanaryConfiguration": ("CanaryBakeTimeInMinutes", "CanaryPercent"),
    "LinearConfiguration": ("StepBakeTimeInMinutes", "StepPercent"),
    "Alarms": ("AlarmNames", "Enable", "Rollback"),
}
_FUNCTION_ARN = re.compile(
    r"arn:aws[a-z-]*:lambda:[a-z0-9-]+:\d{12}:function:[A-Za-z0-9_-]{1,140}(:[A-Za-z0-9$_-]{1,128})?"
)


def nearest(word: object, valid: Iterable[str], *, otherwise: str = "expected one of ") -> str:
    """Say which valid word was meant, or list them all."""
    choices = list(valid)
    if not isinstance(word, str):
        return f"{otherwise}{', '.join(choices)}"
    by_letters = {choice.lower().replace("_", ""): choice for choice in choices}
    key = word[:200].lower().replace("_", "").replace("-", "").replace(" ", "")
    near = difflib.get_close_matches(key, by_letters, n=1, cutoff=0.6)
    return f"did you mean {by_letters[near[0]]}?" if near else f"{otherwise}{', '.join(choices)}"


@rule("shape", Severity.ERROR, CLOUDFORMATION_SERVICE)
def shape(view: ServiceView) -> Iterator[Problem]:
    """Find properties of another type than CloudFormation takes."""
    yield from _expected(view, (DEPLOYMENT,), view.properties.get(DEPLOYMENT), dict)
    yield from _expected(view, ("LoadBalancers",), view.properties.get("LoadBalancers"), list)
    yield from _each_an_object(view, ("LoadBalancers",), view.properties.get("LoadBalancers"))
    for balancer in view.load_balancers:
        path = ("LoadBalancers", balancer.index, "AdvancedConfiguration")
        yield from _expected(view, path, balancer.entry.get("AdvancedConfiguration"), dict)
    yield from _expected(view, (DEPLOYMENT, "LifecycleHooks"), view.deployment.get("LifecycleHooks"), list)
    yield from _each_an_object(view, (DEPLOYMENT, "LifecycleHooks"), view.deployment.get("LifecycleHooks"))
    for name in ("CanaryConfiguration", "LinearConfiguration", "Alarms"):
        yield from _expected(view, (DEPLOYMENT, name), view.deployment.get(name), dict)
    for hook in view.hooks:
        yield from _expected(
            view, (*hook.path, "TimeoutConfiguration"), hook.entry.get("TimeoutConfiguration"), dict
        )
        yield from _expected(view, (*hook.path, "LifecycleStages"), hook.entry.get("LifecycleStages"), list)


def _expected(view: ServiceView, path: tuple[str | int, ...], value: object, kind: type) -> Iterator[Problem]:
    if value is not None and not isinstance(value, Unresolved | kind):
        what = "an object" if kind is dict else "a list"
        yield view.at(*path), f"{view.called(*path)}: expected {what}, got {shown(value)}"


def _each_an_object(view: ServiceView, path: tuple[str | int, ...], value: object) -> Iterator[Problem]:
    for index, item in enumerate(value if isinstance(value, list) else []):
        if not isinstance(item, Unresolved | dict):
            yield (
                view.at(*path, index),
                f"{view.called(*path, index)}: expected an object, got {shown(item)}",
            )


@rule("unknown-property", Severity.ERROR, CLOUDFORMATION_SERVICE)
def unknown_property(view: ServiceView) -> Iterator[Problem]:
    """Find properties that do not exist under that name."""
    objects: list[tuple[Path_, object, tuple[str, ...]]] = [
        ((DEPLOYMENT,), view.deployment, _DEPLOYMENT_KEYS)
    ]
    objects += [((DEPLOYMENT, name), view.deployment.get(name), _KEYS[name]) for name in _KEYS]
    objects += [(hook.path, hook.entry, _ENTRY_KEYS) for hook in view.hooks]
    objects += [
        ((*hook.path, "TimeoutConfiguration"), hook.timeout, _KEYS["TimeoutConfiguration"])
        for hook in view.hooks
    ]
    for path, value, valid in objects:
        for key in value if isinstance(value, dict) else ():
            if key not in valid:
                where = view.at(*path, key)
                yield (
                    where,
                    f"{view.called(*path)} has no property {shown(key)}; {nearest(key, valid)}",
                )


@rule("too-many-hooks", Severity.ERROR, PAUSE_HOOKS)
def too_many_hooks(view: ServiceView) -> Iterator[Problem]:
    """Allow at most ten Lambda hooks and ten PAUSE hooks in a service."""
    for kind, hooks in (
        ("Lambda", [hook for hook in view.hooks if hook.is_lambda]),
        ("PAUSE", [hook for hook in view.hooks if hook.is_pause]),
    ):
        if len(hooks) > MAX_HOOKS_OF_A_KIND:
            yield (
                hooks[MAX_HOOKS_OF_A_KIND].at(),
                (
                    f"{view.name}: {len(hooks)} {kind} hooks, ECS takes at most {MAX_HOOKS_OF_A_KIND}; "
                    "list several stages in one entry instead"
                ),
            )


@rule("target-type", Severity.ERROR, TROUBLESHOOTING)
def target_type(view: ServiceView) -> Iterator[Problem]:
    """Require AWS_LAMBDA or PAUSE as TargetType."""
    for hook in view.hooks:
        if not isinstance(hook.target_type, Unresolved) and not (hook.is_lambda or hook.is_pause):
            hint = nearest(hook.target_type, ("AWS_LAMBDA", "PAUSE"))
            yield (
                hook.at("TargetType"),
                f"{hook.label}: TargetType {shown(hook.target_type)} is not valid; {hint}",
            )


@rule("target-missing", Severity.ERROR, LAMBDA_HOOKS)
def target_missing(view: ServiceView) -> Iterator[Problem]:
    """Require the function's ARN in a Lambda hook."""
    for hook in view.hooks:
        if hook.is_lambda and hook.target in (None, ""):
            yield (
                hook.at(),
                f"{hook.label}: no HookTargetArn; set it to the function's ARN, or TargetType to PAUSE",
            )


@rule("target-not-a-function", Severity.ERROR, LAMBDA_HOOKS)
def target_not_a_function(view: ServiceView) -> Iterator[Problem]:
    """Require the ARN of a Lambda function, version or alias as HookTargetArn."""
    for hook in view.hooks:
        target = hook.target
        if not hook.is_lambda or isinstance(target, Unresolved) or target in (None, ""):
            continue
        if not isinstance(target, str) or not _FUNCTION_ARN.fullmatch(target):
            found = view.stack.template.find(target)
            what = f"{found.logical_id}, a resource of type {found.type}" if found else shown(target)
            hint = "expected a function's ARN"
            if found and found.type in FUNCTION_TYPES:
                hint = f"use !GetAtt {found.logical_id}.Arn"
            yield hook.at("HookTargetArn"), f"{hook.label}: HookTargetArn is {what}; {hint}"


@rule("pause-with-lambda-keys", Severity.WARNING, PAUSE_HOOKS)
def pause_with_lambda_keys(view: ServiceView) -> Iterator[Problem]:
    """Warn of target, role and details in a PAUSE hook, which calls nothing."""
    for hook in view.hooks:
        for key in ("HookTargetArn", "RoleArn", "HookDetails") if hook.is_pause else ():
            if key in hook.entry:
                hint = "remove it, or remove TargetType if a function should be called"
                yield hook.at(key), f"{hook.label}: {key} does not apply to a PAUSE hook; {hint}"
