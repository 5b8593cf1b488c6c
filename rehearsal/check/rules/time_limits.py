"""Rules on how long hooks and whole deployments may take."""

import math
from collections.abc import Iterator
from decimal import Decimal

from rehearsal.check.findings import (
    CANARY,
    CLOUDFORMATION_SERVICE,
    CONTRACT,
    LAMBDA_HOOKS,
    LINEAR,
    PAUSE_HOOKS,
    Problem,
    Severity,
    rule,
)
from rehearsal.check.rules.entries import nearest
from rehearsal.check.view import GRADUAL, ServiceView, number, plain
from rehearsal.intrinsics import Unresolved
from shared.errors import shown

MAX_LAMBDA_HOOK_MINUTES = 1440
MAX_PAUSE_HOOK_MINUTES = 20160
# CloudFormation rejects an update that could take more than 33 of its 36 hours (docs/ecs-contract.md).
MAX_CLOUDFORMATION_MINUTES = 33 * 60

# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentConfiguration.html
DEFAULT_BAKE_MINUTES = 15
DEFAULT_CANARY_BAKE_MINUTES = 10
DEFAULT_STEP_BAKE_MINUTES = 6
DEFAULT_STEP_PERCENT = 10


@rule("fails-open", Severity.ERROR, LAMBDA_HOOKS)
def fails_open(view: ServiceView) -> Iterator[Problem]:
    """Refuse hooks that let the deployment pass when they run out of time."""
    for hook in view.hooks:
        if hook.timeout.get("Action") == "CONTINUE":
            passes = "nobody has answered" if hook.is_pause else "the function has not decided"
            yield (
                hook.at("TimeoutConfiguration", "Action"),
                (
                    f"{hook.label}: TimeoutConfiguration.Action is CONTINUE, so the deployment goes on when "
                    f"{passes} in time; "
                    "use ROLLBACK"
                ),
            )


@rule("timeout-action", Severity.ERROR, CLOUDFORMATION_SERVICE)
def timeout_action(view: ServiceView) -> Iterator[Problem]:
    """Require ROLLBACK or CONTINUE as the action at a timeout."""
    for hook in view.hooks:
        action = hook.timeout.get("Action", "ROLLBACK")
        if not isinstance(action, Unresolved) and action not in ("ROLLBACK", "CONTINUE"):
            hint = nearest(action, ("ROLLBACK", "CONTINUE"))
            where = hook.at("TimeoutConfiguration", "Action")
            yield where, f"{hook.label}: TimeoutConfiguration.Action {shown(action)} is not valid; {hint}"


@rule("timeout-range", Severity.ERROR, f"{LAMBDA_HOOKS} and {PAUSE_HOOKS}")
def timeout_range(view: ServiceView) -> Iterator[Problem]:
    """Allow a Lambda hook a day, and a PAUSE hook fourteen."""
    for hook in view.hooks:
        value = hook.timeout.get("TimeoutInMinutes")
        if value is None or isinstance(value, Unresolved):
            continue
        limit = MAX_PAUSE_HOOK_MINUTES if hook.is_pause else MAX_LAMBDA_HOOK_MINUTES
        minutes = number(value)
        if minutes is None or minutes % 1 or not 1 <= minutes <= limit:
            kind = "PAUSE" if hook.is_pause else "Lambda"
            yield (
                hook.at("TimeoutConfiguration", "TimeoutInMinutes"),
                (
                    f"{hook.label}: TimeoutInMinutes is {shown(value)}, a {kind} hook takes whole minutes "
                    f"from 1 to {limit}"
                ),
            )


@rule("total-bake-time", Severity.ERROR, f"{CANARY}, {LINEAR}, {CONTRACT}")
def total_bake_time(view: ServiceView) -> Iterator[Problem]:
    """Require that the bake times alone fit into CloudFormation's 33 hours."""
    bakes = _bakes(view)
    if bakes and bakes[0] > MAX_CLOUDFORMATION_MINUTES:
        total, explained = bakes
        yield (
            view.at("DeploymentConfiguration"),
            (
                f"{view.name}: {explained} = {plain(total)} minutes, CloudFormation rejects more than "
                f"{MAX_CLOUDFORMATION_MINUTES} (33 hours); shorten the bake times"
            ),
        )


@rule("total-hook-time", Severity.ERROR, f"{CONTRACT}: the 33-hour limit (observed)")
def total_hook_time(view: ServiceView) -> Iterator[Problem]:
    """Require that bake times and set hook timeouts fit into CloudFormation's 33 hours."""
    found = _with_hooks(view, defaults=False)
    if found and view.strategy in GRADUAL:
        yield view.at("DeploymentConfiguration"), found


@rule("total-hook-time-unsure", Severity.WARNING, f"{CONTRACT}: the 33-hour limit (observed)")
def total_hook_time_unsure(view: ServiceView) -> Iterator[Problem]:
    """Warn of the same with timeouts by default (1440 minutes each), and for BLUE_GREEN."""
    found = _with_hooks(view, defaults=True)
    if found and not (view.strategy in GRADUAL and _with_hooks(view, defaults=False)):
        yield view.at("DeploymentConfiguration"), found


def _with_hooks(view: ServiceView, *, defaults: bool) -> str | None:
    bakes = _bakes(view)
    if not bakes or bakes[0] > MAX_CLOUDFORMATION_MINUTES:
        return None
    timeouts = [
        (hook, minutes)
        for hook in view.hooks
        if (minutes := hook.timeout_minutes) is not None and (defaults or "TimeoutInMinutes" in hook.timeout)
    ]
    hooks = sum((minutes for _, minutes in timeouts), Decimal(0))
    total = bakes[0] + hooks
    if total <= MAX_CLOUDFORMATION_MINUTES:
        return None
    unset = sum("TimeoutInMinutes" not in hook.timeout for hook, _ in timeouts)
    by_default = f", of which {unset} by the default of 1440" if unset else ""
    return (
        f"{view.name}: {bakes[1]} = {plain(bakes[0])} minutes, as CloudFormation documents the sum, is "
        "within its limit "
        f"of {MAX_CLOUDFORMATION_MINUTES} (33 hours); but it was seen to count hook timeouts too, here "
        f"{plain(hooks)} "
        f"of {len(timeouts)} hook{'s' * (len(timeouts) != 1)}{by_default}, "
        f"{plain(total)} in all; lower TimeoutConfiguration.TimeoutInMinutes"
    )


def _bakes(view: ServiceView) -> tuple[Decimal, str] | None:  # noqa: PLR0911 - one return per strategy
    """Return the documented sum and how it comes about; ``None`` when a part of it can't be told."""
    if view.strategy in {None, "ROLLING"}:
        return None
    bake = _minutes(view.deployment, "BakeTimeInMinutes", DEFAULT_BAKE_MINUTES)
    if view.strategy == "BLUE_GREEN":
        return (bake, f"BakeTimeInMinutes {plain(bake)}") if bake is not None else None
    part = view.deployment.get(
        "CanaryConfiguration" if view.strategy == "CANARY" else "LinearConfiguration", {}
    )
    if not isinstance(part, dict) or bake is None:
        return None
    if view.strategy == "CANARY":
        canary = _minutes(part, "CanaryBakeTimeInMinutes", DEFAULT_CANARY_BAKE_MINUTES)
        if canary is None:
            return None
        return bake + canary, f"BakeTimeInMinutes {plain(bake)} + CanaryBakeTimeInMinutes {plain(canary)}"
    each = _minutes(part, "StepBakeTimeInMinutes", DEFAULT_STEP_BAKE_MINUTES)
    percent = _minutes(part, "StepPercent", DEFAULT_STEP_PERCENT)
    if each is None or percent is None or percent < Decimal("0.1"):
        return None
    steps = max(math.ceil(100 / percent) - 1, 0)
    return bake + steps * each, f"BakeTimeInMinutes {plain(bake)} + {steps} steps * {plain(each)}"


def _minutes(part: dict[str, object], key: str, default: int) -> Decimal | None:
    return number(part[key]) if key in part else Decimal(default)
