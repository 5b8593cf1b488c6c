"""The settings as far as they decide, and what of them the organisation's policy allows."""

import fnmatch
from collections.abc import Sequence

from hooks.canary_comparison.decision import Rules
from hooks.canary_comparison.judge import Rule, Standards
from hooks.canary_comparison.settings import (
    CanaryPolicy,
    CanarySettings,
    Chosen,
    CloudWatchMetric,
    EmfMetric,
    expanded,
    lag_seconds,
    tolerated_ratio,
)
from shared.errors import Misconfigured


def rules_of(settings: CanarySettings) -> Rules:
    """Return the settings, as far as they decide."""
    metrics = expanded(settings.metrics)
    return Rules(
        metrics=tuple(
            Rule(
                name=metric.name,
                kind=metric.kind,
                tolerated=tolerated_ratio(metric),
                weight=metric.weight,
                direction=metric.direction or "increase",
                critical=metric.critical,
                observe=metric.observe,
                on_unknown=metric.on_unknown,
                good_below=metric.good_below,
            )
            for metric in metrics
        ),
        standards=Standards(
            false_alarm_rate=settings.false_alarm_rate,
            miss_rate=settings.miss_rate,
            unacceptable=settings.unacceptable_ratio,
            warm_up=settings.warm_up_minutes,
        ),
        holds=settings.hold_minutes > 0,
        minimum_minutes=min(settings.minimum_minutes, settings.hold_minutes or settings.minimum_minutes),
        extend_minutes=settings.extend_minutes,
        unknown_minutes=settings.unknown_minutes,
        on_inconclusive=settings.on_inconclusive,
        look_seconds=settings.look_seconds,
        lag_seconds=max(map(lag_seconds, metrics)),
        judge=settings.judge,
        pass_score=settings.kayenta_pass_score,
        marginal_score=settings.kayenta_marginal_score,
    )


def check_allowed(metrics: Sequence[Chosen], policy: CanaryPolicy) -> None:
    """Hold the metrics against what the organisation allows; raises ``Misconfigured`` naming the metric."""
    for metric in metrics:
        tolerated = tolerated_ratio(metric)
        if tolerated > policy.max_tolerated_ratio:
            raise Misconfigured(
                f"metrics: {metric.name!r} tolerates {tolerated:g} times as bad, the policy's "
                f"maxToleratedRatio is {policy.max_tolerated_ratio:g}"
            )
        for namespace in _namespaces(metric):
            if not any(fnmatch.fnmatchcase(namespace, pattern) for pattern in policy.allowed_namespaces):
                raise Misconfigured(
                    f"metrics: the namespace {namespace!r} of {metric.name!r} is not among the policy's "
                    f"allowedNamespaces: {', '.join(policy.allowed_namespaces)}"
                )


def _namespaces(metric: Chosen) -> list[str]:
    match metric:
        case EmfMetric(namespace=namespace):
            return [namespace]
        case CloudWatchMetric(queries=queries):
            return [query.metric_stat.metric.namespace for query in queries if query.metric_stat]
    return []
