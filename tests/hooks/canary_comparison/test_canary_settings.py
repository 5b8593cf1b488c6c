import json
import math
import re
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hooks.canary_comparison.observation import Kind
from hooks.canary_comparison.rules import rules_of
from hooks.canary_comparison.settings import (
    MAX_METRICS,
    PRESETS,
    AccessLogMetric,
    AlbMetric,
    CanaryPolicy,
    CanarySettings,
    Chosen,
    CloudWatchMetric,
    EmfMetric,
    Query,
    Roles,
    expanded,
    lag_seconds,
    tolerated_ratio,
)
from shared.errors import Misconfigured
from shared.settings import POLICY_VARIABLE, Resolved, resolve

DEFAULTS = {
    "mode": "enforce",
    "giveUpAfterMinutes": 1380,
    "onTrouble": "refuse",
    "metrics": ["alb"],
    "holdMinutes": 10,
    "minimumMinutes": 5,
    "warmUpMinutes": 3,
    "falseAlarmRate": 0.01,
    "unacceptableRatio": 2.0,
    "missRate": 0.05,
    "onInconclusive": "pass",
    "extendMinutes": 30,
    "unknownMinutes": 10,
    "lookSeconds": 60,
    "judge": "sequential",
    "kayentaPassScore": 95.0,
    "kayentaMarginalScore": 75.0,
}
ERRORS = {"source": "alb", "measure": "errors"}
PAYMENTS = {
    "name": "failed payments",
    "source": "emf",
    "namespace": "Shop",
    "kind": "proportion",
    "dimensions": {"ServiceRevision": "{revision}"},
    "bad": "Declined",
    "total": "Payments",
}
GAUGE = {
    "name": "checkout time",
    "source": "emf",
    "namespace": "Shop",
    "kind": "gauge",
    "direction": "increase",
    "dimensions": {"TaskDefinition": "shop/{taskDefinition}"},
    "value": "Seconds",
    "statistic": "p95",
}


def query(name: str, revision: str) -> dict[str, Any]:
    stat = {"Namespace": "Shop", "MetricName": name, "Dimensions": [{"Name": "Revision", "Value": revision}]}
    return {"Id": f"{name}_{revision.strip('{}')}", "MetricStat": {"Metric": stat, "Stat": "Sum"}}


QUERIES = [query(name, revision) for revision in ("{green}", "{blue}") for name in ("bad", "all")]
OWN_QUERIES = {
    "name": "orders",
    "source": "cloudWatch",
    "kind": "proportion",
    "queries": QUERIES,
    "green": {"bad": "bad_green", "total": "all_green"},
    "blue": {"bad": "bad_blue", "total": "all_blue"},
}


def resolved(details: dict[str, Any], policy: dict[str, Any]) -> Resolved[CanarySettings, CanaryPolicy]:
    return resolve(CanarySettings, CanaryPolicy, details, {POLICY_VARIABLE: json.dumps(policy)})


def metrics(*entries: Any, policy: tuple[Any, ...] = ()) -> tuple[Chosen, ...]:
    demanded = {"metrics": list(policy)} if policy else {}
    return expanded(resolved({"metrics": list(entries)}, demanded).settings.metrics)


def without(entry: dict[str, Any], *keys: str, **changed: Any) -> dict[str, Any]:
    return {key: value for key, value in {**entry, **changed}.items() if key not in keys}


# ------------------------------------------------------------------------------------ what is said


def test_by_default_the_load_balancer_s_metrics_are_compared_at_one_false_alarm_in_a_hundred() -> None:
    assert CanarySettings().model_dump(mode="json", by_alias=True) == DEFAULTS
    policy = CanaryPolicy()
    assert policy.allowed_namespaces == ("*",)
    assert policy.max_tolerated_ratio == pytest.approx(100)


@pytest.mark.parametrize(
    ("preset", "found"),
    [
        (
            "alb",
            [
                ("errors", Kind.PROPORTION, 6.0, 1.25),
                ("connectionErrors", Kind.PROPORTION, 1.0, 1.25),
                ("slow", Kind.SLOW, 3.0, 1.4),
            ],
        ),
        (
            "serviceConnectAccessLogs",
            [("errors", Kind.PROPORTION, 6.0, 1.25), ("slow", Kind.SLOW, 3.0, 1.4)],
        ),
    ],
)
def test_a_preset_spends_most_of_the_budget_on_errors(
    preset: str, found: list[tuple[str, Kind, float, float]]
) -> None:
    chosen = metrics(preset)

    assert [(m.name, m.kind, m.weight, tolerated_ratio(m)) for m in chosen] == found
    assert {m.direction for m in chosen} == {"increase"}
    assert {(m.critical, m.observe, m.on_unknown, lag_seconds(m)) for m in chosen} == {
        (True, False, "wait", 120)
    }
    assert set(PRESETS) == {"alb", "serviceConnectAccessLogs"}


def test_a_preset_and_a_metric_of_one_s_own_stand_side_by_side() -> None:
    *preset, own = metrics("alb", PAYMENTS)

    assert tuple(preset) == PRESETS["alb"]
    assert own == EmfMetric(
        name="failed payments",
        source="emf",
        namespace="Shop",
        kind=Kind.PROPORTION,
        dimensions={"ServiceRevision": "{revision}"},
        bad="Declined",
        total="Payments",
    )


def test_a_preset_s_metric_may_be_tuned() -> None:
    (found,) = metrics({**ERRORS, "toleratedRatio": 1.5})

    assert found == AlbMetric(source="alb", measure="errors", toleratedRatio=1.5)
    assert tolerated_ratio(found) == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        (
            {"source": "alb", "measure": "latency", "percentile": 99.9},
            ("latency", Kind.GAUGE, "increase", 1.25),
        ),
        ({"source": "alb", "measure": "slow", "slowAboveSeconds": 0.3}, ("slow", Kind.SLOW, "increase", 1.4)),
        (
            {"source": "alb", "measure": "connectionErrors", "name": "refused"},
            ("refused", Kind.PROPORTION, "increase", 1.25),
        ),
        (
            {"source": "serviceConnectAccessLogs", "measure": "slow"},
            ("slow", Kind.SLOW, "increase", 1.4),
        ),
        (
            {"source": "serviceConnectAccessLogs", "measure": "errors", "name": "sc/errors"},
            ("sc/errors", Kind.PROPORTION, "increase", 1.25),
        ),
        (GAUGE, ("checkout time", Kind.GAUGE, "increase", 1.25)),
        (
            without(GAUGE, "direction", "statistic", kind="slow", above=0.3),
            ("checkout time", Kind.SLOW, None, 1.4),
        ),
        ({**PAYMENTS, "direction": "decrease"}, ("failed payments", Kind.PROPORTION, "decrease", 1.25)),
        (OWN_QUERIES, ("orders", Kind.PROPORTION, None, 1.25)),
        (
            {
                **OWN_QUERIES,
                "kind": "gauge",
                "direction": "decrease",
                "green": {"value": "bad_green"},
                "blue": {"value": "bad_blue"},
            },
            ("orders", Kind.GAUGE, "decrease", 1.25),
        ),
    ],
)
def test_each_source_has_its_kinds(entry: dict[str, Any], found: tuple[str, Kind, str | None, float]) -> None:
    (metric,) = metrics(entry)

    assert (metric.name, metric.kind, metric.direction, tolerated_ratio(metric)) == found


def test_queries_are_spelt_as_in_cloudwatch_s_api() -> None:
    rate = {"Id": "rate", "Expression": "100 * bad_green / all_green"}
    (metric,) = metrics({**OWN_QUERIES, "queries": [*QUERIES, rate]})

    assert isinstance(metric, CloudWatchMetric)
    assert metric.green == Roles(bad="bad_green", total="all_green")
    assert metric.queries[-1] == Query(Id="rate", Expression="100 * bad_green / all_green")
    dumped = metric.model_dump(by_alias=True, exclude_unset=True)
    assert json.loads(json.dumps(dumped)) == {**OWN_QUERIES, "queries": [*QUERIES, rate]}


@pytest.mark.parametrize(("said", "seconds"), [({}, 120), ({"lagSeconds": 0}, 0), ({"lagSeconds": 600}, 600)])
def test_a_minute_is_complete_after_two_unless_said_otherwise(said: dict[str, int], seconds: int) -> None:
    for entry in (ERRORS, {**ERRORS, "source": "serviceConnectAccessLogs"}, PAYMENTS, OWN_QUERIES):
        (metric,) = metrics({**entry, **said})
        assert lag_seconds(metric) == seconds


@pytest.mark.parametrize(
    "statistic",
    [
        "Sum",
        "IQM",
        "p9",
        "p99.99",
        "p100",
        "tm90",
        "TC(0.3:)",
        "PR(:0.3)",
        "TM(10%:90%)",
        "WM(1:2)",
        "ts99.5",
    ],
)
def test_every_statistic_of_cloudwatch_is_one(statistic: str) -> None:
    (metric,) = metrics({**GAUGE, "statistic": statistic})

    assert isinstance(metric, EmfMetric)
    assert metric.statistic == statistic


# ------------------------------------------------------------------------------------ what is refused

NO_REVISION = "no dimension has {revision} in it, so blue and green can't be told apart"
NO_DIRECTION = "direction is missing: say whether an increase or a decrease is worse"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("nlb", "metrics.0.a preset: input should be 'alb' or 'serviceConnectAccessLogs', got 'nlb'"),
        ({"source": "alb"}, "metrics.0.alb.measure: field required"),
        (
            {"source": "alb", "measure": "4xx"},
            "metrics.0.alb.measure: input should be 'errors', 'connectionErrors', 'slow' or 'latency'",
        ),
        (
            {"source": "serviceConnectAccessLogs", "measure": "latency"},
            "metrics.0.serviceConnectAccessLogs.measure: input should be 'errors' or 'slow', got 'latency'",
        ),
        ({**ERRORS, "name": "5xx"}, "metrics.0.alb.name: string should match pattern"),
        (
            {**ERRORS, "toleratedRatio": 1},
            "metrics.0.alb.toleratedRatio: input should be greater than 1, got 1",
        ),
        (
            {**ERRORS, "toleratedRatio": 101},
            "metrics.0.alb.toleratedRatio: input should be less than or equal to 100, got 101",
        ),
        ({**ERRORS, "weight": 0}, "metrics.0.alb.weight: input should be greater than 0, got 0"),
        (
            {**ERRORS, "weight": 101},
            "metrics.0.alb.weight: input should be less than or equal to 100, got 101",
        ),
        ({**ERRORS, "goodBelow": 1}, "metrics.0.alb.goodBelow: input should be less than 1, got 1"),
        (
            {**ERRORS, "lagSeconds": 3601},
            "metrics.0.alb.lagSeconds: input should be less than or equal to 3600",
        ),
        (
            {**ERRORS, "onUnknown": "pass"},
            "metrics.0.alb.onUnknown: input should be 'wait', 'ignore' or 'refuse'",
        ),
        ({**ERRORS, "percentile": 100}, "metrics.0.alb.percentile: input should be less than 100, got 100"),
        ({**ERRORS, "slowAboveSeconds": 0}, "metrics.0.alb.slowAboveSeconds: input should be greater than 0"),
        # What a kind needs, and what is another's.
        (without(PAYMENTS, "bad"), "metrics.0.emf: value error, bad is missing"),
        (without(PAYMENTS, "total"), "metrics.0.emf: value error, total is missing"),
        ({**PAYMENTS, "value": "Seconds"}, "metrics.0.emf: value error, value does not belong to this kind"),
        ({**PAYMENTS, "above": 1}, "metrics.0.emf: value error, above does not belong to this kind"),
        (without(GAUGE, "value"), "metrics.0.emf: value error, value is missing"),
        ({**GAUGE, "bad": "Declined"}, "metrics.0.emf: value error, bad does not belong to this kind"),
        (without(GAUGE, kind="slow"), "metrics.0.emf: value error, above is missing"),
        (without(GAUGE, "direction"), f"metrics.0.emf: value error, {NO_DIRECTION}"),
        # Where blue and green are the same series, nothing is compared.
        ({**PAYMENTS, "dimensions": {}}, "metrics.0.emf.dimensions: dictionary should have at least 1 item"),
        ({**PAYMENTS, "dimensions": {"Service": "shop"}}, f"metrics.0.emf: value error, {NO_REVISION}"),
        (
            {**PAYMENTS, "dimensions": {"Revision": "{revision}", "Colour": "{colour}"}},
            "metrics.0.emf: value error, unknown placeholder {colour}; there are {revision} and "
            "{taskDefinition}",
        ),
        ({**PAYMENTS, "namespace": ":Shop"}, "metrics.0.emf.namespace: string should match pattern"),
        ({**GAUGE, "statistic": "median"}, "metrics.0.emf.statistic: string should match pattern"),
        # Queries of one's own.
        ({**OWN_QUERIES, "kind": "slow"}, "metrics.0.cloudWatch.kind: input should be"),
        ({**OWN_QUERIES, "kind": "gauge"}, f"metrics.0.cloudWatch: value error, {NO_DIRECTION}"),
        (
            {**OWN_QUERIES, "queries": QUERIES[:1]},
            "metrics.0.cloudWatch.queries: tuple should have at least 2 items",
        ),
        (
            {**OWN_QUERIES, "queries": [*QUERIES, QUERIES[0]]},
            "metrics.0.cloudWatch: value error, the ids of queries must differ",
        ),
        (
            {**OWN_QUERIES, "green": {"bad": "bad_green"}},
            "metrics.0.cloudWatch: value error, green.total is missing",
        ),
        (
            {**OWN_QUERIES, "blue": {"bad": "bad_blue", "total": "none"}},
            "metrics.0.cloudWatch: value error, blue.total: there is no query 'none'",
        ),
        (
            {**OWN_QUERIES, "blue": {**OWN_QUERIES["blue"], "value": "bad_blue"}},  # type: ignore[dict-item]
            "metrics.0.cloudWatch: value error, blue.value does not belong to this kind",
        ),
        (
            {**OWN_QUERIES, "green": OWN_QUERIES["blue"]},
            "metrics.0.cloudWatch: value error, green and blue are the same queries, so they can't be told "
            "apart",
        ),
        (
            {
                **OWN_QUERIES,
                "queries": [*QUERIES[:2], *(without(q, Id=f"{q['Id'][:4]}blue") for q in QUERIES[:2])],
            },
            "metrics.0.cloudWatch: value error, {green} and {blue} must each stand in a dimension, or both "
            "are the same service",
        ),
        (
            {**OWN_QUERIES, "queries": [*QUERIES, query("bad", "{red}")]},
            "metrics.0.cloudWatch: value error, unknown placeholder {red}; there are {green} and {blue}",
        ),
        (
            {**OWN_QUERIES, "queries": [*QUERIES, {"Id": "x"}]},
            "metrics.0.cloudWatch.queries.4: value error, query 'x' must have one of MetricStat and "
            "Expression",
        ),
        (
            {**OWN_QUERIES, "queries": [*QUERIES, {**query("bad", "{green}"), "Expression": "1"}]},
            "metrics.0.cloudWatch.queries.4: value error, query 'bad_green' must have one of MetricStat and "
            "Expression",
        ),
        *(
            (
                {**OWN_QUERIES, "queries": [*QUERIES, {"Id": "x", "Expression": f"1 + {word}('a')"}]},
                f"metrics.0.cloudWatch.queries.4: value error, query 'x': {word} is not understood here; "
                "name the metrics",
            )
            for word in ("METRICS", "SEARCH", "SELECT", "LAMBDA", "ANOMALY_DETECTION_BAND")
        ),
        (
            {**OWN_QUERIES, "queries": [*QUERIES, without(query("bad", "{green}"), Id="Upper")]},
            "metrics.0.cloudWatch.queries.4.Id: string should match pattern",
        ),
    ],
)
def test_a_metric_that_can_t_be_compared_is_refused_and_named(entry: Any, said: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        resolved({"metrics": [entry]}, {})
    assert str(caught.value).startswith(f"hookDetails: {said}")


@pytest.mark.parametrize(
    ("details", "said"),
    [
        ({"metrics": "alb"}, "metrics: input should be a valid tuple, got 'alb'"),
        ({"metrics": ["alb", ERRORS]}, "metrics: value error, two metrics are called 'errors'"),
        (
            {"metrics": ["alb", "serviceConnectAccessLogs"]},
            "metrics: value error, two metrics are called 'errors'",
        ),
        (
            {"metrics": ["alb", *({**PAYMENTS, "name": f"m{number}"} for number in range(MAX_METRICS - 2))]},
            "metrics: value error, 51 metrics, at most 50 are judged",
        ),
        ({"metrics": ["alb"] * 51}, "metrics: tuple should have at most 50 items"),
        (
            {"metrics": [{**ERRORS, "observe": True}]},
            "value error, every metric only observes; to observe with all of them, set mode to observe",
        ),
        (
            {"kayentaMarginalScore": 96},
            "value error, kayentaMarginalScore must not be above kayentaPassScore",
        ),
        ({"holdMinutes": -1}, "holdMinutes: input should be greater than or equal to 0, got -1"),
        ({"holdMinutes": 721}, "holdMinutes: input should be less than or equal to 720, got 721"),
        ({"holdMinutes": 1.5}, "holdMinutes: input should be a valid integer"),
        ({"minimumMinutes": 0}, "minimumMinutes: input should be greater than or equal to 1, got 0"),
        ({"warmUpMinutes": 61}, "warmUpMinutes: input should be less than or equal to 60, got 61"),
        ({"falseAlarmRate": 0}, "falseAlarmRate: input should be greater than 0, got 0"),
        ({"falseAlarmRate": 0.3}, "falseAlarmRate: input should be less than or equal to 0.2, got 0.3"),
        ({"missRate": 0.6}, "missRate: input should be less than or equal to 0.5, got 0.6"),
        ({"unacceptableRatio": 1}, "unacceptableRatio: input should be greater than 1, got 1"),
        ({"unacceptableRatio": float("inf")}, "unacceptableRatio: input should be a finite number, got inf"),
        (
            {"onInconclusive": "wait"},
            "onInconclusive: input should be 'pass', 'extend' or 'refuse', got 'wait'",
        ),
        ({"extendMinutes": 0}, "extendMinutes: input should be greater than or equal to 1, got 0"),
        ({"unknownMinutes": 0}, "unknownMinutes: input should be greater than or equal to 1, got 0"),
        ({"lookSeconds": 9}, "lookSeconds: input should be greater than or equal to 10, got 9"),
        ({"judge": "netflix"}, "judge: input should be 'sequential' or 'kayenta', got 'netflix'"),
        ({"kayentaPassScore": 101}, "kayentaPassScore: input should be less than or equal to 100, got 101"),
        ({"holdMinute": 5}, "unknown key 'holdMinute', did you mean 'holdMinutes'?"),
    ],
)
def test_a_setting_out_of_its_range_is_named(details: dict[str, Any], said: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        resolved(details, {})
    assert str(caught.value).startswith(f"hookDetails: {said}")


NO_METRIC = (
    "a metric is the name of a preset, or an object whose source is alb, serviceConnectAccessLogs, emf or "
    "cloudWatch"
)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([], "metrics: value error, there must be at least one, got []"),
        ([7], f"metrics.0: {NO_METRIC}, got 7"),
        ([None], f"metrics.0: {NO_METRIC}, got None"),
        ([{}], f"metrics.0: {NO_METRIC}, got {{}}"),
        (["alb", []], f"metrics.1: {NO_METRIC}, got []"),
        ([{"source": "nlb"}], f"metrics.0: {NO_METRIC}, got an object of 1"),
        ([{**ERRORS, "source": ["alb"]}], f"metrics.0: {NO_METRIC}, got an object of 2"),
        (
            ["nlb"],
            "metrics.0.a preset: input should be 'alb' or 'serviceConnectAccessLogs', got 'nlb'",
        ),
        # The names are of a metric, so those of the settings are no hint.
        ([{**ERRORS, "toleratedRation": 2}], "metrics.0.alb.toleratedRation: unknown key, got 2"),
        ([{**ERRORS, "holdMinutes": 5}], "metrics.0.alb.holdMinutes: unknown key, got 5"),
        (
            [{**OWN_QUERIES, "green": {**OWN_QUERIES["green"], "rate": "x"}}],  # type: ignore[dict-item]
            "metrics.0.cloudWatch.green.rate: unknown key, got 'x'",
        ),
        # The name is made from the measure: where that is wrong nothing is said of the name.
        (
            [{"source": "alb", "measure": "4xx"}],
            "metrics.0.alb.measure: input should be 'errors', 'connectionErrors', 'slow' or 'latency', got "
            "'4xx'",
        ),
        (
            [{"source": "serviceConnectAccessLogs", "measure": "latency"}],
            "metrics.0.serviceConnectAccessLogs.measure: input should be 'errors' or 'slow', got 'latency'",
        ),
    ],
)
def test_one_mistake_in_the_metrics_is_one_sentence(entries: list[Any], said: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        resolved({"metrics": entries}, {})
    assert str(caught.value) == f"hookDetails: {said}"
    with pytest.raises(Misconfigured) as caught:
        resolved({}, {"metrics": entries})
    assert str(caught.value) == f"HOOK_POLICY: {said}"


def test_fifty_metrics_are_still_judged() -> None:
    many = [{**PAYMENTS, "name": f"m{number}"} for number in range(MAX_METRICS - 3)]

    assert len(metrics("alb", *many)) == MAX_METRICS


# ------------------------------------------------------------------------------------ under a policy


@pytest.mark.parametrize(
    ("key", "policy", "service", "holds"),
    [
        # To watch for longer is stricter, and so is to be alarmed by less.
        ("holdMinutes", 20, 5, 20),
        ("holdMinutes", 20, 30, 30),
        ("holdMinutes", 20, 0, 20),
        ("minimumMinutes", 8, 1, 8),
        ("minimumMinutes", 8, 9, 9),
        ("falseAlarmRate", 0.02, 0.001, 0.02),
        ("falseAlarmRate", 0.02, 0.05, 0.05),
        ("kayentaPassScore", 90.0, 80.0, 90.0),
        ("kayentaPassScore", 90.0, 99.0, 99.0),
        ("kayentaMarginalScore", 60.0, 50.0, 60.0),
        ("kayentaMarginalScore", 60.0, 70.0, 70.0),
        # To forgive less, to miss less, and to wait less for what refuses in the end.
        ("warmUpMinutes", 5, 10, 5),
        ("warmUpMinutes", 5, 0, 0),
        ("unacceptableRatio", 3.0, 9.0, 3.0),
        ("unacceptableRatio", 3.0, 1.5, 1.5),
        ("missRate", 0.1, 0.5, 0.1),
        ("missRate", 0.1, 0.01, 0.01),
        ("extendMinutes", 20, 600, 20),
        ("extendMinutes", 20, 5, 5),
        ("unknownMinutes", 5, 600, 5),
        ("unknownMinutes", 5, 2, 2),
        # Words.
        ("onInconclusive", "refuse", "pass", "refuse"),
        ("onInconclusive", "refuse", "extend", "refuse"),
        ("onInconclusive", "extend", "pass", "extend"),
        ("onInconclusive", "extend", "refuse", "refuse"),
        ("onInconclusive", "pass", "extend", "extend"),
        ("mode", "enforce", "observe", "enforce"),
        ("onTrouble", "refuse", "proceed", "refuse"),
        # Which judge, and how often, is the policy's where it says so.
        ("judge", "sequential", "kayenta", "sequential"),
        ("judge", "kayenta", "sequential", "kayenta"),
        ("lookSeconds", 30, 600, 30),
        ("lookSeconds", 300, 10, 300),
    ],
)
def test_a_service_can_t_go_below_the_organisation_s_policy(
    key: str, policy: Any, service: Any, holds: Any
) -> None:
    found = resolved({key: service}, {key: policy})

    assert found.settings.model_dump(mode="json", by_alias=True) == {**DEFAULTS, key: holds}
    assert found.policy.model_dump(mode="json", by_alias=True)[key] == policy
    assert found.tightened == ((key,) if holds != service else ())


def test_the_policy_s_metrics_are_compared_beside_the_service_s_and_stand_where_names_are_equal() -> None:
    demanded = {**ERRORS, "toleratedRatio": 1.1}
    lenient = {**ERRORS, "toleratedRatio": 9, "observe": True}

    found = metrics(lenient, PAYMENTS, policy=(demanded, GAUGE))

    assert [(metric.name, tolerated_ratio(metric), metric.observe) for metric in found] == [
        ("errors", 1.1, False),
        ("checkout time", 1.25, False),
        ("failed payments", 1.25, False),
    ]


def test_a_preset_is_joined_metric_by_metric() -> None:
    assert metrics("alb", policy=("alb",)) == PRESETS["alb"]
    assert metrics(PAYMENTS, policy=("alb",))[:3] == PRESETS["alb"]
    logs = metrics("serviceConnectAccessLogs", policy=({**ERRORS, "weight": 9},))
    assert logs == (
        AlbMetric(source="alb", measure="errors", weight=9),
        AccessLogMetric(source="serviceConnectAccessLogs", measure="slow", weight=3),
    )


# ------------------------------------------------------------------------------------ who has the budget


def weights(*entries: Any, policy: tuple[Any, ...] = ()) -> list[tuple[str, float]]:
    """Return what each metric weighs where it is judged, so 0 for one that only observes."""
    demanded = {"metrics": list(policy)} if policy else {}
    rules = rules_of(resolved({"metrics": list(entries)}, demanded).settings).metrics
    return [(rule.name, 0.0 if rule.observe else rule.weight) for rule in rules]


def own(*weights_: float, observe: bool = False) -> list[dict[str, Any]]:
    return [
        {**PAYMENTS, "name": f"m{number}", "weight": weight, "observe": observe}
        for number, weight in enumerate(weights_)
    ]


def test_metrics_of_the_service_s_own_never_take_more_than_half_of_the_budget_from_the_policy_s() -> None:
    found = weights(*own(*[100.0] * 47), policy=("alb",))

    assert found[:3] == [("errors", 6.0), ("connectionErrors", 1.0), ("slow", 3.0)]
    assert found[3:] == [(f"m{number}", pytest.approx(10 / 47)) for number in range(47)]
    assert sum(weight for _, weight in found) == pytest.approx(20.0)


@pytest.mark.parametrize(
    ("entries", "policy", "weighs"),
    [
        # Less than the policy's, and as much: as the service says.
        (own(1.0, 3.0), ("alb",), [6.0, 1.0, 3.0, 1.0, 3.0]),
        (own(4.0, 6.0), ("alb",), [6.0, 1.0, 3.0, 4.0, 6.0]),
        # More: among each other they keep their proportions.
        (own(10.0, 30.0), ("alb",), [6.0, 1.0, 3.0, 2.5, 7.5]),
        (own(0.5, 1.5), (ERRORS,), [1.0, 0.25, 0.75]),
        # What a preset of the service brings beside the policy's is its own too.
        (["alb"], (ERRORS,), [1.0, 0.25, 0.75]),
        (["alb"], ("alb",), [6.0, 1.0, 3.0]),
        # A metric with the name of one of the policy's is the policy's, whatever it is said to weigh.
        ([{**ERRORS, "weight": 100}, *own(2.0)], (ERRORS,), [1.0, 1.0]),
        # What only observes takes nothing and gives nothing.
        ([*own(100.0, observe=True), {**GAUGE, "weight": 2}], (ERRORS,), [1.0, 0.0, 1.0]),
        (own(3.0), ({**ERRORS, "observe": True, "weight": 50}, {**GAUGE, "weight": 2}), [0.0, 2.0, 2.0]),
        # A policy that names no metric has none to protect.
        (own(30.0, 70.0), (), [30.0, 70.0]),
    ],
)
def test_a_metric_weighs_what_the_policy_leaves_it(
    entries: list[Any], policy: tuple[Any, ...], weighs: list[float]
) -> None:
    assert [weight for _, weight in weights(*entries, policy=policy)] == pytest.approx(weighs)


@given(
    st.lists(st.tuples(st.floats(0.01, 100), st.booleans()), min_size=1, max_size=8),
    st.lists(st.tuples(st.floats(0.01, 100), st.booleans()), min_size=1, max_size=30),
)
def test_the_policy_s_metrics_keep_at_least_half_of_the_budget(
    demanded: list[tuple[float, bool]], wanted: list[tuple[float, bool]]
) -> None:
    policy = [
        {**PAYMENTS, "name": f"p{number}", "weight": weight, "observe": observe}
        for number, (weight, observe) in enumerate(demanded)
    ]
    service = [
        {**PAYMENTS, "name": f"m{number}", "weight": weight, "observe": observe}
        for number, (weight, observe) in enumerate(wanted)
    ]
    assume(not all(observe for _, observe in demanded))
    assume(not all(observe for _, observe in wanted))

    found = dict(weights(*service, policy=tuple(policy)))

    kept = math.fsum(weight for name, weight in found.items() if name[0] == "p")
    assert kept == pytest.approx(math.fsum(weight for weight, observe in demanded if not observe))
    assert math.fsum(found.values()) <= 2 * kept * (1 + 1e-9)
    assert all(found[entry["name"]] > 0 for entry in (*policy, *service) if not entry["observe"])


def test_a_service_that_says_nothing_has_the_policy_s_metrics() -> None:
    assert resolved({}, {"metrics": [PAYMENTS]}).settings.metrics == metrics(PAYMENTS)
    assert resolved({"metrics": [PAYMENTS]}, {"holdMinutes": 20}).settings.metrics == metrics(PAYMENTS)


def test_what_only_together_does_not_fit_is_refused_too() -> None:
    many = [{**PAYMENTS, "name": f"m{number}"} for number in range(30)]
    more = [{**PAYMENTS, "name": f"n{number}"} for number in range(30)]

    with pytest.raises(Misconfigured, match=r"^settings: metrics: tuple should have at most 50 items"):
        resolved({"metrics": many}, {"metrics": more})
    with pytest.raises(
        Misconfigured, match=r"^settings: metrics: value error, 52 metrics, at most 50 are judged"
    ):
        resolved({"metrics": many[:19]}, {"metrics": ["alb", *more]})
    with pytest.raises(
        Misconfigured, match=r"^settings: value error, kayentaMarginalScore must not be above"
    ):
        resolved({"kayentaPassScore": 80, "kayentaMarginalScore": 80}, {"kayentaMarginalScore": 90})


@pytest.mark.parametrize(
    ("key", "value"), [("allowedNamespaces", ["Shop", "AWS/*"]), ("maxToleratedRatio", 2.0)]
)
def test_what_may_be_read_and_tolerated_at_all_is_the_organisation_s_alone(key: str, value: Any) -> None:
    assert resolved({}, {key: value}).policy.model_dump(mode="json", by_alias=True)[key] == value
    with pytest.raises(Misconfigured, match=re.escape(f"hookDetails: unknown key '{key}'")):
        resolved({key: value}, {})


@pytest.mark.parametrize("ratio", [1, 100.5, 1e9])
def test_a_policy_s_ratio_is_held_to_the_same_range(ratio: float) -> None:
    with pytest.raises(Misconfigured, match=r"^HOOK_POLICY: maxToleratedRatio: input should be"):
        resolved({}, {"maxToleratedRatio": ratio})
