"""Rules on the roles ECS assumes: who may assume them, and what they may do."""

import fnmatch
from collections.abc import Iterator

from rehearsal.check.findings import HOOK_PERMISSIONS, REQUIRED_RESOURCES, Problem, Severity, rule
from rehearsal.check.view import ServiceView, where
from rehearsal.intrinsics import Unresolved
from rehearsal.lambda_functions import as_list, statements_in
from rehearsal.template import Resource
from shared.errors import JsonObject, shown

ECS_PRINCIPAL = "ecs.amazonaws.com"
_ROLE = "AWS::IAM::Role"
# Managed policies that let a role invoke every function.
_INVOKING = ("AWSLambdaRole", "AWSLambda_FullAccess", "AdministratorAccess", "PowerUserAccess")
_SHIFTING = ("AmazonECSInfrastructureRolePolicyForLoadBalancers", "AdministratorAccess", "PowerUserAccess")


@rule("hook-role-missing", Severity.ERROR, HOOK_PERMISSIONS)
def hook_role_missing(view: ServiceView) -> Iterator[Problem]:
    """Require the role with which ECS invokes a Lambda hook."""
    for hook in view.hooks:
        if hook.is_lambda and hook.entry.get("RoleArn") in (None, ""):
            hint = f"name a role that {ECS_PRINCIPAL} may assume and that may lambda:InvokeFunction"
            yield hook.at(), f"{hook.label}: no RoleArn; {hint}"


@rule("hook-role-arn", Severity.ERROR, HOOK_PERMISSIONS)
def hook_role_arn(view: ServiceView) -> Iterator[Problem]:
    """Require an ARN as RoleArn, not a name."""
    for hook in view.hooks:
        role = hook.entry.get("RoleArn")
        if hook.is_lambda and isinstance(role, str) and role and ":role/" not in role:
            found = view.stack.template.find(role, _ROLE)
            hint = f"use !GetAtt {found.logical_id}.Arn" if found else "expected arn:...:role/NAME"
            yield (
                hook.at("RoleArn"),
                f"{hook.label}: RoleArn is {shown(role)}, which is no role's ARN; {hint}",
            )


@rule("hook-role-trust", Severity.ERROR, HOOK_PERMISSIONS)
def hook_role_trust(view: ServiceView) -> Iterator[Problem]:
    """Require that ECS may assume the hook's role."""
    for hook in view.hooks:
        role = view.stack.template.find(hook.entry.get("RoleArn"), _ROLE) if hook.is_lambda else None
        if role and (trusted := _trusted_instead(role)) is not None:
            yield (
                where(role, "AssumeRolePolicyDocument"),
                (
                    f"{hook.label}: its role {role.logical_id} trusts {trusted}, but ECS assumes it; "
                    f"allow sts:AssumeRole to the service {ECS_PRINCIPAL}"
                ),
            )
        for function in view.stack.functions if hook.is_lambda and role is None else ():
            own = f"{function.logical_id}Role"  # SAM makes one where none is given
            if hook.entry.get("RoleArn") == function.resource.template.attribute(own, "Arn"):
                yield (
                    hook.at("RoleArn"),
                    (
                        f"{hook.label}: its role {own} is the function's own, which Lambda assumes; "
                        f"name one that {ECS_PRINCIPAL} may assume and that may lambda:InvokeFunction"
                    ),
                )


@rule("hook-role-permission", Severity.ERROR, HOOK_PERMISSIONS)
def hook_role_permission(view: ServiceView) -> Iterator[Problem]:
    """Require that the hook's role may invoke the function, qualifier included."""
    for hook in view.hooks:
        role = view.stack.template.find(hook.entry.get("RoleArn"), _ROLE) if hook.is_lambda else None
        if role is None or not isinstance(hook.target, str) or ":function:" not in hook.target:
            continue
        managed = as_list(role.properties.get("ManagedPolicyArns"))
        statements = view.stack.template.statements_of(role)
        if _managed(managed, _INVOKING) or _unclear(view, role, statements):
            continue
        allowed = _verdict(statements, "lambda:InvokeFunction", hook.target)
        if not allowed:
            bare = hook.target.rsplit(":", 1)[0] if hook.target.count(":") == 7 else None
            qualified = bool(bare) and _verdict(statements, "lambda:InvokeFunction", bare or "")
            hint = (
                f"it may invoke the function, but not its qualifier {hook.target.rsplit(':', 1)[1]}; "
                "add it to Resource"
                if qualified
                else f"allow lambda:InvokeFunction on {hook.target}"
            )
            yield where(role), f"{hook.label}: its role {role.logical_id} may not invoke the function; {hint}"


@rule("load-balancer-role-trust", Severity.ERROR, REQUIRED_RESOURCES)
def load_balancer_role_trust(view: ServiceView) -> Iterator[Problem]:
    """Require that ECS may assume the role that changes listeners."""
    for balancer in view.load_balancers:
        role = view.stack.template.find((balancer.advanced or {}).get("RoleArn"), _ROLE)
        if role and (trusted := _trusted_instead(role)) is not None:
            yield (
                where(role, "AssumeRolePolicyDocument"),
                (
                    f"{balancer.label}: its role {role.logical_id} trusts {trusted}; allow sts:AssumeRole "
                    f"to {ECS_PRINCIPAL}"
                ),
            )


@rule("load-balancer-role-permission", Severity.ERROR, REQUIRED_RESOURCES)
def load_balancer_role_permission(view: ServiceView) -> Iterator[Problem]:
    """Require that the load balancer role may change listeners or rules."""
    for balancer in view.load_balancers:
        role = view.stack.template.find((balancer.advanced or {}).get("RoleArn"), _ROLE)
        if role is None:
            continue
        statements = view.stack.template.statements_of(role)
        if _managed(as_list(role.properties.get("ManagedPolicyArns")), _SHIFTING) or _unclear(
            view, role, statements
        ):
            continue
        action = "ModifyListener" if balancer.kind == "network" else "ModifyRule"
        if not any(_matches(f"elasticloadbalancing:{action}", one, "Action") for one in statements):
            yield (
                where(role),
                (
                    f"{balancer.label}: its role {role.logical_id} may not elasticloadbalancing:{action}; "
                    "attach AmazonECSInfrastructureRolePolicyForLoadBalancers"
                ),
            )


def _trusted_instead(role: Resource) -> str | None:
    """Return whom a role trusts when that is not ECS; ``None`` when it is, or can't be told."""
    document = role.properties.get("AssumeRolePolicyDocument")
    if isinstance(document, Unresolved):
        return None
    trusted: list[str] = []
    for statement in statements_in(document):
        principal = statement.get("Principal")
        if isinstance(principal, Unresolved) or principal == "*":
            return None
        for kind, names in principal.items() if isinstance(principal, dict) else ():
            if any(isinstance(name, Unresolved) for name in as_list(names)):
                return None
            trusted += [
                name
                for name in as_list(names)
                if isinstance(name, str) and kind in {"Service", "AWS", "Federated"}
            ]
        assumes = _matches("sts:AssumeRole", statement, "Action")
        if statement.get("Effect") == "Allow" and assumes and ECS_PRINCIPAL in trusted:
            return None
    return ", ".join(dict.fromkeys(trusted)) or "nobody"


def _unclear(view: ServiceView, role: Resource, statements: list[JsonObject]) -> bool:
    """Tell whether the role's permissions can't be read from the template: policies from elsewhere."""
    find = view.stack.template.find
    managed = [arn for arn in as_list(role.properties.get("ManagedPolicyArns")) if not find(arn)]
    elsewhere = [arn for arn in managed if isinstance(arn, Unresolved) or ":aws:policy/" not in str(arn)]
    parts = (statement.get(key) for statement in statements for key in ("Effect", "Action", "Resource"))
    return bool(elsewhere) or any(isinstance(item, Unresolved) for part in parts for item in as_list(part))


def _managed(arns: list[object], names: tuple[str, ...]) -> bool:
    return any(isinstance(arn, str) and arn.rsplit("/", 1)[-1] in names for arn in arns)


def _verdict(statements: list[JsonObject], action: str, resource: str) -> bool:
    """Evaluate identity statements the way IAM does: a Deny wins. Conditions are taken to hold."""
    effects = [
        statement.get("Effect")
        for statement in statements
        if _applies(statement, "Action", action) and _applies(statement, "Resource", resource)
    ]
    return "Allow" in effects and "Deny" not in effects


def _applies(statement: JsonObject, key: str, value: str) -> bool:
    negated = f"Not{key}" in statement
    return _matches(value, statement, f"Not{key}" if negated else key) is not negated


def _matches(value: str, statement: JsonObject, key: str) -> bool:
    """Tell whether a pattern of the statement means *value*; for actions, case does not count."""
    patterns = [item[:2048] for item in as_list(statement.get(key)) if isinstance(item, str)]
    if key.endswith("Action"):
        value, patterns = value.lower(), [pattern.lower() for pattern in patterns]
    # IAM knows * and ? only; fnmatch's brackets are taken literally.
    return any(fnmatch.fnmatchcase(value, pattern.replace("[", "[[]")) for pattern in patterns)
