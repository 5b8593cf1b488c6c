"""Rules on ``LifecycleStages``: which exist, and who is of use at which."""

from collections.abc import Iterator

from rehearsal.check.findings import (
    CONTRACT,
    HOOKS_OVERVIEW,
    LAMBDA_HOOKS,
    PAUSE_HOOKS,
    TROUBLESHOOTING,
    Problem,
    Severity,
    rule,
)
from rehearsal.check.rules.entries import nearest
from rehearsal.check.view import HookView, ServiceView
from rehearsal.intrinsics import Unresolved
from shared.errors import shown
from shared.lifecycle import Stage


@rule("stages-missing", Severity.ERROR, HOOKS_OVERVIEW)
def stages_missing(view: ServiceView) -> Iterator[Problem]:
    """Require at least one stage of a hook."""
    for hook in view.hooks:
        if hook.entry.get("LifecycleStages") in (None, []):
            yield (
                hook.at("LifecycleStages"),
                f"{hook.label}: no LifecycleStages; name at least one of {', '.join(Stage)}",
            )


@rule("stage-unknown", Severity.ERROR, HOOKS_OVERVIEW)
def stage_unknown(view: ServiceView) -> Iterator[Problem]:
    """Require stages that exist."""
    for hook in view.hooks:
        named = hook.entry.get("LifecycleStages")
        for index, stage in enumerate(named if isinstance(named, list) else []):
            if not isinstance(stage, Unresolved) and stage not in list(Stage):
                where = hook.at("LifecycleStages", index)
                yield where, f"{hook.label}: there is no hook stage {shown(stage)}; {nearest(stage, Stage)}"


@rule("pause-at-shift", Severity.ERROR, TROUBLESHOOTING)
def pause_at_shift(view: ServiceView) -> Iterator[Problem]:
    """Refuse PAUSE hooks where ECS shifts traffic."""
    for hook, index, stage in _at_stages(view):
        if hook.is_pause and stage.shifts_traffic:
            instead = (
                Stage.POST_TEST_TRAFFIC_SHIFT
                if stage is Stage.TEST_TRAFFIC_SHIFT
                else Stage.PRE_PRODUCTION_TRAFFIC_SHIFT
            )
            yield (
                hook.at("LifecycleStages", index),
                f"{hook.label}: ECS takes no PAUSE hook at {stage}; use {instead}, or a Lambda hook",
            )


@rule("pause-at-reconcile", Severity.WARNING, f"{PAUSE_HOOKS} against {TROUBLESHOOTING}")
def pause_at_reconcile(view: ServiceView) -> Iterator[Problem]:
    """Warn of PAUSE at RECONCILE_SERVICE, about which AWS's pages disagree."""
    for hook, index, stage in _at_stages(view):
        if hook.is_pause and stage is Stage.RECONCILE_SERVICE:
            yield (
                hook.at("LifecycleStages", index),
                (
                    f"{hook.label}: AWS documents PAUSE at {stage} both as valid and as not, and the stage "
                    "is only passed "
                    "when more than one revision is active; use PRE_SCALE_UP"
                ),
            )


@rule("stage-unfit", Severity.ERROR, "the hook's own declaration of its stages")
def stage_unfit(view: ServiceView) -> Iterator[Problem]:
    """Require stages where a hook of this project can do its work."""
    for hook, index, stage in _at_stages(view):
        if hook.ours and stage not in hook.ours.stages:
            fit = ", ".join(one for one in Stage if one in hook.ours.stages)
            yield (
                hook.at("LifecycleStages", index),
                f"{hook.label}: {hook.ours.name} has no use at {stage} and refuses there; attach it at {fit}",
            )


@rule("parallel-hooks", Severity.INFO, PAUSE_HOOKS)
def parallel_hooks(view: ServiceView) -> Iterator[Problem]:
    """Mention hooks that do not wait for the admission beside them."""
    for stage in Stage:
        hooks = [hook for hook in view.hooks if any(stage is one for _, one in hook.stages)]
        admission = next(
            (hook for hook in hooks if hook.ours and hook.ours.name.replace("-", "_") == "image_trust"), None
        )
        others = [f"hook {hook.index + 1}" for hook in hooks if hook is not admission]
        if admission and others:
            yield (
                admission.at("LifecycleStages"),
                (
                    f"{admission.label}: hooks of a stage run in parallel, so {', '.join(others)} at {stage} "
                    f"{'does' if len(others) == 1 else 'do'} not wait; use two stages where order matters"
                ),
            )


@rule("rolling-hooks", Severity.WARNING, f"{CONTRACT}: ROLLING")
def rolling_hooks(view: ServiceView) -> Iterator[Problem]:
    """Warn of hooks that ROLLING is not known to call."""
    if view.strategy != "ROLLING":
        return
    for hook in view.hooks:
        silent = [stage for _, stage in hook.stages if stage is not Stage.PRE_SCALE_UP]
        if silent:
            yield (
                hook.at("LifecycleStages"),
                (
                    f"{hook.label}: with strategy ROLLING only PRE_SCALE_UP is known to call hooks, not "
                    f"{', '.join(silent)}; "
                    "use BLUE_GREEN, LINEAR or CANARY"
                ),
            )


@rule("no-test-traffic", Severity.INFO, LAMBDA_HOOKS)
def no_test_traffic(view: ServiceView) -> Iterator[Problem]:
    """Mention hooks that would try green without test traffic."""
    if not view.load_balancers or view.strategy in {None, "ROLLING"} or view.service_connect is not False:
        return
    configured = [balancer.advanced for balancer in view.load_balancers]
    if any(advanced is None or "TestListenerRule" in advanced for advanced in configured):
        return
    for hook, index, stage in _at_stages(view):
        if stage in {Stage.TEST_TRAFFIC_SHIFT, Stage.POST_TEST_TRAFFIC_SHIFT}:
            yield (
                hook.at("LifecycleStages", index),
                (
                    f"{hook.label}: no TestListenerRule, so there is no test traffic at {stage} and green "
                    "can't be tried "
                    "before production; set AdvancedConfiguration.TestListenerRule"
                ),
            )


@rule("no-baseline", Severity.WARNING, f"{CONTRACT}: canary and linear")
def no_baseline(view: ServiceView) -> Iterator[Problem]:
    """Warn of a comparison without a step on which both revisions serve production."""
    for hook in view.hooks:
        compares = hook.ours and hook.ours.name.replace("-", "_") == "canary_comparison"
        if compares and view.strategy in {"BLUE_GREEN", "ROLLING"}:
            yield (
                hook.at(),
                (
                    f"{hook.label}: with strategy {view.strategy} blue and green never serve production "
                    "side by side, so "
                    "there is nothing to compare; use CANARY or LINEAR"
                ),
            )


@rule("half-admission", Severity.WARNING, "docs/image-trust.md")
def half_admission(view: ServiceView) -> Iterator[Problem]:
    """Warn of image trust at one of its two stages only."""
    admitting = [
        hook for hook in view.hooks if hook.ours and hook.ours.name.replace("-", "_") == "image_trust"
    ]
    attached = {stage for hook in admitting for _, stage in hook.stages}
    for stage, meanwhile in _ADMISSION.items():
        if attached and stage not in attached:
            yield admitting[0].at("LifecycleStages"), f"{admitting[0].label}: not at {stage}, so {meanwhile}"


_ADMISSION = {
    Stage.PRE_SCALE_UP: "images run before they are judged",
    Stage.POST_SCALE_UP: "nothing compares what ECS started with what was admitted",
}


def _at_stages(view: ServiceView) -> Iterator[tuple[HookView, int, Stage]]:
    for hook in view.hooks:
        for index, stage in hook.stages:
            yield hook, index, stage
