"""Rules on load balancers: what ECS needs to shift traffic between two target groups."""

from collections.abc import Iterator

from rehearsal.check.findings import REQUIRED_RESOURCES, TROUBLESHOOTING, Problem, Severity, rule
from rehearsal.check.view import LoadBalancerView, ServiceView, number, where
from rehearsal.intrinsics import Unresolved
from rehearsal.lambda_functions import as_list, dicts_in
from rehearsal.template import Resource
from shared.errors import JsonObject, shown

_RULE = "AWS::ElasticLoadBalancingV2::ListenerRule"
_TARGET_GROUP = "AWS::ElasticLoadBalancingV2::TargetGroup"


@rule("advanced-configuration", Severity.ERROR, TROUBLESHOOTING)
def advanced_configuration(view: ServiceView) -> Iterator[Problem]:
    """Require AdvancedConfiguration of every load balancer, or of none."""
    lacking = [one for one in view.load_balancers if "AdvancedConfiguration" not in one.entry]
    some = len(lacking) < len(view.load_balancers)
    for balancer in lacking:
        if view.strategy not in {None, "ROLLING"}:
            yield (
                balancer.at(),
                (
                    f"{balancer.label}: {view.strategy} needs AdvancedConfiguration with "
                    "AlternateTargetGroupArn and "
                    "ProductionListenerRule on every load balancer"
                ),
            )
        elif some:
            hint = "set it on all or on none"
            yield (
                balancer.at(),
                f"{balancer.label}: no AdvancedConfiguration, although another one has it; {hint}",
            )


@rule("alternate-target-group", Severity.ERROR, TROUBLESHOOTING)
def alternate_target_group(view: ServiceView) -> Iterator[Problem]:
    """Require a second target group."""
    for balancer, advanced in _advanced(view):
        alternate = advanced.get("AlternateTargetGroupArn")
        if alternate in (None, ""):
            hint = "name the second target group, where the other revision is registered"
            yield (
                balancer.at("AdvancedConfiguration"),
                f"{balancer.label}: no AlternateTargetGroupArn; {hint}",
            )
        elif isinstance(alternate, str) and alternate == balancer.target_group:
            yield (
                balancer.at("AdvancedConfiguration", "AlternateTargetGroupArn"),
                (
                    f"{balancer.label}: AlternateTargetGroupArn is the TargetGroupArn itself; blue and "
                    "green need one each"
                ),
            )


@rule("production-rule", Severity.WARNING, REQUIRED_RESOURCES)
def production_rule(view: ServiceView) -> Iterator[Problem]:
    """Warn of a missing production rule or listener, without which nothing shifts."""
    for balancer, advanced in _advanced(view):
        if advanced.get("ProductionListenerRule") in (None, "") and view.strategy not in {None, "ROLLING"}:
            yield (
                balancer.at("AdvancedConfiguration"),
                (
                    f"{balancer.label}: no ProductionListenerRule, so ECS can't shift production traffic; "
                    "name the listener rule (ALB) or listener (NLB)"
                ),
            )


@rule("same-listener-rule", Severity.ERROR, TROUBLESHOOTING)
def same_listener_rule(view: ServiceView) -> Iterator[Problem]:
    """Require a rule or listener each for production and test traffic."""
    for balancer, advanced in _advanced(view):
        production, test = advanced.get("ProductionListenerRule"), advanced.get("TestListenerRule")
        if isinstance(production, str) and production == test:
            yield (
                balancer.at("AdvancedConfiguration", "TestListenerRule"),
                (
                    f"{balancer.label}: ProductionListenerRule and TestListenerRule are the same; "
                    "give test traffic its own, or leave TestListenerRule out"
                ),
            )


@rule("listener-kind", Severity.ERROR, TROUBLESHOOTING)
def listener_kind(view: ServiceView) -> Iterator[Problem]:
    """Require a listener rule of an ALB, and a listener of an NLB."""
    for balancer in view.load_balancers:
        for name, arn in balancer.listener_settings():
            is_rule, is_listener = ":listener-rule/" in arn, ":listener/" in arn
            if not is_rule and not is_listener:
                wanted = "a listener" if balancer.kind == "network" else "a listener rule"
                found = f"{shown(arn)}, which is neither listener nor listener rule; expected {wanted}'s ARN"
            elif balancer.kind == "network" and is_rule:
                found = "a listener rule, a network load balancer wants the listener's ARN"
            elif balancer.kind == "application" and is_listener:
                found = "a listener, an application load balancer wants the ARN of a rule on it"
            else:
                continue
            yield balancer.at("AdvancedConfiguration", name), f"{balancer.label}: {name} is {found}"


@rule("role-twice", Severity.ERROR, TROUBLESHOOTING)
def role_twice(view: ServiceView) -> Iterator[Problem]:
    """Refuse AdvancedConfiguration.RoleArn beside the service's Role."""
    for balancer, advanced in _advanced(view):
        if "RoleArn" in advanced and "Role" in view.properties:
            yield (
                view.at("Role"),
                f"{balancer.label}: AdvancedConfiguration.RoleArn and Role are both set; remove Role",
            )
            return


@rule("load-balancer-role", Severity.WARNING, REQUIRED_RESOURCES)
def load_balancer_role(view: ServiceView) -> Iterator[Problem]:
    """Warn of a missing role to change listeners with."""
    for balancer, advanced in _advanced(view):
        if (
            "RoleArn" not in advanced
            and "Role" not in view.properties
            and view.strategy not in {None, "ROLLING"}
        ):
            yield (
                balancer.at("AdvancedConfiguration"),
                (
                    f"{balancer.label}: no RoleArn, so ECS has no role to change listeners with; "
                    "name one with AmazonECSInfrastructureRolePolicyForLoadBalancers"
                ),
            )


@rule("rule-weights", Severity.ERROR, TROUBLESHOOTING)
def rule_weights(view: ServiceView) -> Iterator[Problem]:
    """Require both target groups on a listener rule, and all traffic on one of them."""
    for balancer, advanced in _advanced(view):
        if view.strategy in {None, "ROLLING"} or balancer.kind == "network":
            continue
        groups = (balancer.target_group, advanced.get("AlternateTargetGroupArn"))
        for name, arn in balancer.listener_settings():
            listener_rule = view.stack.template.find(arn, _RULE)
            if listener_rule and all(isinstance(group, str) for group in groups):
                yield from _weights(balancer, name, listener_rule, groups)


def _weights(
    balancer: LoadBalancerView, name: str, listener_rule: Resource, groups: tuple[object, object]
) -> Iterator[Problem]:
    actions = listener_rule.properties.get("Actions")
    forward = next((action for action in dicts_in(actions) if action.get("Type") == "forward"), None)
    if forward is None:
        return
    config = forward.get("ForwardConfig")
    entries = config.get("TargetGroups") if isinstance(config, dict) else None
    attached = dicts_in(entries) or [{"TargetGroupArn": forward.get("TargetGroupArn"), "Weight": 1}]
    if any(isinstance(item, Unresolved) for item in (actions, config, entries, *as_list(entries))):
        return
    if any(isinstance(value, Unresolved) for entry in attached for value in entry.values()):
        return
    start = f"{balancer.label}: {name} {listener_rule.logical_id}"
    place = where(listener_rule, "Actions")
    missing = [
        _name(balancer, group)
        for group in groups
        if group not in [one.get("TargetGroupArn") for one in attached]
    ]
    if missing:
        yield (
            place,
            (
                f"{start} does not forward to {' and '.join(missing)}; attach both target groups, weighted "
                "1 and 0"
            ),
        )
        return
    weights = [number(one.get("Weight", 1)) for one in attached]
    carrying = sum(weight is None or weight > 0 for weight in weights)
    if carrying != 1:
        seen = ", ".join("?" if weight is None else f"{weight}" for weight in weights)
        yield (
            place,
            f"{start} has weights {seen}; exactly one target group may have a weight above 0 at the start",
        )


def _name(balancer: LoadBalancerView, group: object) -> str:
    found = balancer.service.stack.template.find(group, _TARGET_GROUP)
    return found.logical_id if found else shown(group)


def _advanced(view: ServiceView) -> Iterator[tuple[LoadBalancerView, JsonObject]]:
    for balancer in view.load_balancers:
        if balancer.advanced is not None:
            yield balancer, balancer.advanced
