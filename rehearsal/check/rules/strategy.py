"""Rules on the strategy and its numbers."""

from collections.abc import Iterator
from decimal import Decimal

from rehearsal.check.findings import (
    API_DEPLOYMENT,
    CANARY,
    CLOUDFORMATION_SERVICE,
    CONTRACT,
    LINEAR,
    Problem,
    Severity,
    rule,
)
from rehearsal.check.rules.entries import nearest
from rehearsal.check.view import DEPLOYMENT, GRADUAL, STRATEGIES, ServiceView, number
from rehearsal.intrinsics import Unresolved, as_text
from shared.errors import shown

MAX_BAKE_MINUTES = 1440


@rule("strategy-unknown", Severity.ERROR, API_DEPLOYMENT)
def strategy_unknown(view: ServiceView) -> Iterator[Problem]:
    """Require a strategy that exists."""
    strategy = view.deployment.get("Strategy", "ROLLING")
    if not isinstance(strategy, Unresolved) and strategy not in STRATEGIES:
        hint = nearest(strategy, STRATEGIES)
        yield view.at(DEPLOYMENT, "Strategy"), f"{view.name}: there is no Strategy {shown(strategy)}; {hint}"


@rule("gradual-without-traffic", Severity.ERROR, f"{LINEAR} and {CANARY}")
def gradual_without_traffic(view: ServiceView) -> Iterator[Problem]:
    """Require traffic that ECS can shift for LINEAR and CANARY."""
    if view.strategy in GRADUAL and not view.may_have_load_balancers and view.service_connect is False:
        yield (
            view.at(DEPLOYMENT, "Strategy"),
            (
                f"{view.name}: {view.strategy} needs a load balancer or Service Connect, and this service "
                "has neither; "
                "use BLUE_GREEN"
            ),
        )


@rule("deployment-controller", Severity.ERROR, API_DEPLOYMENT)
def deployment_controller(view: ServiceView) -> Iterator[Problem]:
    """Require the ECS deployment controller for hooks and strategies."""
    controller = view.properties.get("DeploymentController")
    kind = controller.get("Type", "ECS") if isinstance(controller, dict) else "ECS"
    if kind in ("CODE_DEPLOY", "EXTERNAL") and (view.hooks or view.strategy not in {None, "ROLLING"}):
        yield (
            view.at("DeploymentController"),
            f"{view.name}: DeploymentController {kind} knows no strategies and no lifecycle hooks; use ECS",
        )


@rule("canary-range", Severity.ERROR, CANARY)
def canary_range(view: ServiceView) -> Iterator[Problem]:
    """Require 0.1 to 100 in steps of 0.1 as CanaryPercent, and a bake time of at most a day."""
    path = (DEPLOYMENT, "CanaryConfiguration")
    yield from _percent(view, path, "CanaryPercent", Decimal("0.1"))
    yield from _bake(view, path, "CanaryBakeTimeInMinutes")


@rule("linear-range", Severity.ERROR, LINEAR)
def linear_range(view: ServiceView) -> Iterator[Problem]:
    """Require 3 to 100 in steps of 0.1 as StepPercent, and a bake time of at most a day."""
    path = (DEPLOYMENT, "LinearConfiguration")
    yield from _percent(view, path, "StepPercent", Decimal(3))
    yield from _bake(view, path, "StepBakeTimeInMinutes")


@rule("bake-range", Severity.ERROR, API_DEPLOYMENT)
def bake_range(view: ServiceView) -> Iterator[Problem]:
    """Require a bake time of at most a day."""
    yield from _bake(view, (DEPLOYMENT,), "BakeTimeInMinutes")


def _percent(view: ServiceView, path: tuple[str, str], key: str, least: Decimal) -> Iterator[Problem]:
    value = _in(view, path).get(key)
    if value is None or isinstance(value, Unresolved):
        return
    percent = number(value)
    if percent is None or not least <= percent <= 100 or percent * 10 % 1:
        yield (
            view.at(*path, key),
            f"{view.name}: {key} is {shown(value)}, expected {least} to 100 in multiples of 0.1",
        )


def _bake(view: ServiceView, path: tuple[str, ...], key: str) -> Iterator[Problem]:
    value = _in(view, path).get(key)
    if value is None or isinstance(value, Unresolved):
        return
    minutes = number(value)
    if minutes is None or minutes % 1 or not 0 <= minutes <= MAX_BAKE_MINUTES:
        yield (
            view.at(*path, key),
            (
                f"{view.name}: {key} is {shown(value)}, expected whole minutes from 0 to {MAX_BAKE_MINUTES} "
                "(24 hours)"
            ),
        )


def _in(view: ServiceView, path: tuple[str, ...]) -> dict[str, object]:
    value: object = view.deployment
    for key in path[1:]:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


@rule("other-strategy", Severity.ERROR, API_DEPLOYMENT)
def other_strategy(view: ServiceView) -> Iterator[Problem]:
    """Refuse CanaryConfiguration without CANARY, and LinearConfiguration without LINEAR."""
    for strategy, key in (("CANARY", "CanaryConfiguration"), ("LINEAR", "LinearConfiguration")):
        if key in view.deployment and view.strategy not in {None, strategy}:
            yield (
                view.at(DEPLOYMENT, key),
                (
                    f"{view.name}: {key} is only valid with Strategy {strategy}, and this service has "
                    f"{view.strategy}; "
                    "remove it or change the strategy"
                ),
            )


@rule("circuit-breaker", Severity.INFO, f"{API_DEPLOYMENT}; {CONTRACT}")
def circuit_breaker(view: ServiceView) -> Iterator[Problem]:
    """Mention a circuit breaker beside another strategy than ROLLING."""
    breaker = view.deployment.get("DeploymentCircuitBreaker")
    enabled = as_text(breaker.get("Enable")) == "true" if isinstance(breaker, dict) else False
    if enabled and view.strategy not in {None, "ROLLING"}:
        yield (
            view.at(DEPLOYMENT, "DeploymentCircuitBreaker"),
            (
                f"{view.name}: AWS documents DeploymentCircuitBreaker for ROLLING only, although it was seen "
                f"to act with BLUE_GREEN; with {view.strategy} rely on alarms and hooks"
            ),
        )


@rule("alarms-incomplete", Severity.ERROR, CLOUDFORMATION_SERVICE)
def alarms_incomplete(view: ServiceView) -> Iterator[Problem]:
    """Require AlarmNames, Enable and Rollback of Alarms."""
    alarms = view.deployment.get("Alarms")
    missing = [
        key for key in ("AlarmNames", "Enable", "Rollback") if isinstance(alarms, dict) and key not in alarms
    ]
    if missing:
        yield (
            view.at(DEPLOYMENT, "Alarms"),
            f"{view.name}: Alarms lacks {', '.join(missing)}; all three are required",
        )


@rule("alarms-without-rollback", Severity.WARNING, API_DEPLOYMENT)
def alarms_without_rollback(view: ServiceView) -> Iterator[Problem]:
    """Warn of alarms that do not watch or do not roll back."""
    alarms = view.deployment.get("Alarms")
    for key, effect in (
        ("Rollback", "fails the deployment without rolling it back"),
        ("Enable", "is ignored"),
    ):
        if isinstance(alarms, dict) and as_text(alarms.get(key)) == "false":
            yield (
                view.at(DEPLOYMENT, "Alarms", key),
                f"{view.name}: Alarms.{key} is false, so an alarm {effect}; set it to true",
            )
            return
