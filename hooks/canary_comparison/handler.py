"""The canary hook: whether green is worse than blue on real traffic.

::

    what is there to compare ─▶ read the metrics ─▶ judge ─▶ decide ─▶ answer
           (watch)               (cloudwatch,      (judge)  (decision)
                                  access_logs)

At PRODUCTION_TRAFFIC_SHIFT, or before the next shift at PRE_PRODUCTION_TRAFFIC_SHIFT. It changes nothing, so
a rollback has nothing to restore.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from hooks.canary_comparison import cloudwatch
from hooks.canary_comparison.charts import charts
from hooks.canary_comparison.decision import decide
from hooks.canary_comparison.inputs import Inputs
from hooks.canary_comparison.observation import Observation
from hooks.canary_comparison.rules import check_allowed, rules_of
from hooks.canary_comparison.settings import AccessLogMetric, CanaryPolicy, CanarySettings, Chosen, expanded
from hooks.canary_comparison.watch import (
    LOOK_AGAIN_SECONDS,
    SHARING,
    Nothing,
    NotYet,
    Situation,
    Watch,
    plan,
)
from shared.clock import parse_timestamp
from shared.errors import Misconfigured
from shared.hook import Call, lifecycle_hook, logger
from shared.lifecycle import Direction, Stage
from shared.response import Proceed, Result, Wait
from shared.revision import Revision

CanaryCall = Call[CanarySettings, CanaryPolicy]


def replay(inputs: Mapping[str, Any]) -> Result:
    """Decide again what a record says was decided."""
    read = Inputs.read(inputs)
    return decide(read.observations, read.rules, read.watch, read.now).result


@lifecycle_hook(
    "canary_comparison",
    stages={Stage.PRE_PRODUCTION_TRAFFIC_SHIFT, Stage.PRODUCTION_TRAFFIC_SHIFT},
    settings=CanarySettings,
    policy=CanaryPolicy,
    replay=replay,
)
def handler(call: CanaryCall) -> Result:
    """Answer one call of ECS."""
    metrics = expanded(call.settings.metrics)
    check_allowed(metrics, call.policy)
    match _plan(call):
        case Nothing(reason):
            return Proceed(f"nothing to compare: {reason}")
        case NotYet(reason):
            # What an earlier step remembered is there for one call; it must outlive this answer.
            return Wait(f"and look again: {reason}", LOOK_AGAIN_SECONDS, state=call.state or call.earlier)
        case Watch() as watch:
            return _judge(call, metrics, watch)


def _plan(call: CanaryCall) -> Watch | Nothing | NotYet:
    event, deployment, settings = call.event, call.deployment, call.settings
    if event.direction is Direction.FIRST_DEPLOYMENT or deployment.is_first:
        return Nothing("this is the first deployment of the service, without a blue")
    weight = event.target_weight
    if weight is None and deployment.strategy in SHARING:
        raise Misconfigured(
            f"productionTrafficWeights is empty, so the step of this {deployment.strategy} deployment is not "
            "known, and with it what to compare"
        )
    return plan(
        Situation(
            stage=event.stage or Stage.PRODUCTION_TRAFFIC_SHIFT,
            strategy=deployment.strategy,
            percents=deployment.steps.percents,
            bake=timedelta(minutes=deployment.steps.bake_minutes),
            weight=weight or 0.0,
            served=deployment.green_weight,
            started=deployment.started_at,
            since=call.since,
            now=call.now,
            remembered=_remembered(call),
        ),
        hold=timedelta(minutes=settings.hold_minutes),
        least=timedelta(minutes=settings.minimum_minutes),
    )


def _remembered(call: CanaryCall) -> datetime | None:
    """Return since when an earlier step had watched, or this one in an earlier call."""
    for state in (call.state, call.earlier):
        try:
            return parse_timestamp(str(state["watchedSince"]))
        except (KeyError, ValueError):
            continue
    return None


def _judge(call: CanaryCall, metrics: Sequence[Chosen], watch: Watch) -> Result:
    green, blue = call.deployment.green, call.deployment.blue
    if blue is None:
        raise Misconfigured("ECS names no revision that green could be compared with")
    if watch.note:
        logger.info(watch.note)
    inputs = Inputs(
        observations=_observe(call, metrics, green, blue, watch),
        rules=rules_of(call.settings),
        watch=watch,
        now=call.now,
    )
    call.evidence.blue = str(blue.arn)
    call.evidence.inputs = inputs.write()
    decision = decide(inputs.observations, inputs.rules, watch, call.now)
    for finding in decision.judgement.findings:
        logger.info(finding.text, extra={"verdict": finding.verdict.value})
    call.evidence.charts = charts(inputs.observations, decision.judgement.findings)
    return decision.result


def _observe(
    call: CanaryCall, metrics: Sequence[Chosen], green: Revision, blue: Revision, watch: Watch
) -> tuple[Observation, ...]:
    found: dict[str, Observation] = {}
    seen = watch.seen(call.now)
    counted = [metric for metric in metrics if not isinstance(metric, AccessLogMetric)]
    logged = [metric for metric in metrics if isinstance(metric, AccessLogMetric)]
    if counted:
        found |= cloudwatch.observe(counted, green, blue, seen, call.now)
    if logged:
        # Only whoever compares logs pays for loading what reads them.
        from hooks.canary_comparison import access_logs  # noqa: PLC0415

        found |= access_logs.observe(logged, call.event.service, green, blue, seen, call.now)
    return tuple(found[metric.name] for metric in metrics)
