import json
from typing import Any

import pytest
import yaml

from rehearsal.document import DocumentError
from tests.rehearsal.imports.conftest import Importer

SERVICE = {"name": "Service", "value": "{{args.service-name}}"}
POD = {"name": "PodHash", "value": "{{ args.pod-hash }}"}
ARGS = [
    {"name": "service-name", "value": "shop"},
    {"name": "pod-hash"},
    {"name": "old-hash"},
    {"name": "region"},
]


def stat(metric: str, statistic: str = "Sum", *dimensions: dict[str, str]) -> dict[str, Any]:
    return {
        "metric": {
            "namespace": "Shop",
            "metricName": metric,
            "dimensions": list(dimensions or (POD, SERVICE)),
        },
        "period": 60,
        "stat": statistic,
    }


P99 = [{"id": "p99", "metricStat": stat("Seconds", "p99")}]
SHARE = [
    {"id": "rate", "expression": "errors / requests"},
    {"id": "errors", "metricStat": stat("Errors"), "returnData": False},
    {"id": "requests", "metricStat": stat("Requests"), "returnData": False},
]


def metric(queries: Any = P99, **changes: Any) -> dict[str, Any]:
    return {
        "name": "latency",
        "successCondition": "result[0] <= 0.5",
        "provider": {"cloudWatch": {"metricDataQueries": queries}},
        **changes,
    }


def template(*metrics: dict[str, Any], **spec: Any) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "AnalysisTemplate",
            "spec": {"args": ARGS, "metrics": list(metrics), **spec},
        }
    )


def query(name: str, colour: str, cloudwatch_metric: str, statistic: str) -> dict[str, Any]:
    return {
        "Id": f"{colour}_{name}",
        "MetricStat": {
            "Metric": {
                "Namespace": "Shop",
                "MetricName": cloudwatch_metric,
                "Dimensions": [
                    {"Name": "PodHash", "Value": f"{{{colour}}}"},
                    {"Name": "Service", "Value": "shop"},
                ],
            },
            "Stat": statistic,
            "Period": 60,
        },
    }


def gauge(**changes: Any) -> dict[str, Any]:
    return {
        "name": "latency",
        "source": "cloudWatch",
        "kind": "gauge",
        "direction": "increase",
        "queries": [query("p99", colour, "Seconds", "p99") for colour in ("green", "blue")],
        "green": {"value": "green_p99"},
        "blue": {"value": "blue_p99"},
        **changes,
    }


PUBLISH = "spec.metrics.0.provider: the service must publish PodHash with its ECS service revision's id"
LIMIT = (
    "spec.metrics.0.successCondition: the limit of 'result[0] <= 0.5' is not carried over: green is compared "
    "with blue"
)


def test_a_template_is_a_comparison_without_its_limit(imported: Importer) -> None:
    found = imported(template(metric()))

    assert found.settings == {"metrics": [gauge()]}
    assert sorted(found.notes) == [PUBLISH, LIMIT]


def test_a_share_of_two_sums_is_a_proportion(imported: Importer) -> None:
    found = imported(template(metric(SHARE, name="errors")))

    assert found.settings["metrics"] == [
        {
            "name": "errors",
            "source": "cloudWatch",
            "kind": "proportion",
            "queries": [
                query(name, colour, title, "Sum")
                for colour in ("green", "blue")
                for name, title in (("errors", "Errors"), ("requests", "Requests"))
            ],
            "green": {"bad": "green_errors", "total": "green_requests"},
            "blue": {"bad": "blue_errors", "total": "blue_requests"},
        }
    ]
    assert "spec.metrics.0.provider: errors is taken for the bad events among requests" in found.notes


def test_queries_may_be_text_and_spelt_as_cloudwatch_does(imported: Importer) -> None:
    queries = json.dumps(
        [
            {
                "Id": "p99",
                "Label": "p99",
                "MetricStat": {
                    "Metric": {
                        "Namespace": "Shop",
                        "MetricName": "Seconds",
                        "Dimensions": [
                            {"Name": "PodHash", "Value": "{{args.pod-hash}}"},
                            {"Name": "Service", "Value": "shop"},
                        ],
                    },
                    "Period": 300,
                    "Stat": "p99",
                    "AccountId": "1",
                },
            }
        ]
    )

    found = imported(template(metric(queries)))

    where = "spec.metrics.0.provider.cloudWatch.metricDataQueries"
    assert found.settings == {"metrics": [gauge()]}
    assert sorted(found.notes) == sorted(
        [
            PUBLISH,
            LIMIT,
            f"{where}: p99: Label is not carried over",
            f"{where}: Period is 300; here it is 60, as everything is judged by the minute",
            f"{where}: MetricStat.AccountId: not carried over: there is nothing like it here",
        ]
    )


@pytest.mark.parametrize(
    ("conditions", "direction"),
    [
        ({"successCondition": "result <= 0.01"}, "increase"),
        ({"successCondition": "result[0] < 1e-2 && len(result) > 0"}, "increase"),
        ({"successCondition": "0.01 >= result[0].Values[0]"}, "increase"),
        ({"successCondition": "all(result[0].Values, {# >= 0.95})"}, "decrease"),
        ({"successCondition": "asFloat(result) > {{args.service-name}}"}, "decrease"),
        ({"failureCondition": "result >= 10"}, "increase"),
        ({"failureCondition": "any(result[0].Values, {# < 3})"}, "decrease"),
        ({"successCondition": "result < 1", "failureCondition": "result > 5"}, "increase"),
    ],
)
def test_conditions_tell_which_way_is_worse(
    conditions: dict[str, str], direction: str, imported: Importer
) -> None:
    given = {key: value for key, value in metric().items() if key != "successCondition"} | conditions

    found = imported(template(given))

    assert found.settings == {"metrics": [gauge(direction=direction)]}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"successCondition": None}, "which way is worse can't be told"),
        ({"successCondition": "result == 'true'"}, "which way is worse can't be told"),
        ({"successCondition": "result < 5 && result > 1"}, "which way is worse can't be told"),
        ({"provider": None}, "it has no provider"),
        ({"provider": {"prometheus": {"query": "up"}}}, "a query of prometheus can't be asked of CloudWatch"),
        ({"provider": {"kayenta": {}}}, "import its canary config"),
        ({"provider": {"cloudWatch": {}}}, "it has no metricDataQueries"),
        ({"provider": {"cloudWatch": {"metricDataQueries": "["}}}, "its metricDataQueries are not JSON"),
        ({"provider": {"cloudWatch": {"metricDataQueries": [1]}}}, "metricDataQueries[0] has no Id"),
    ],
)
def test_a_metric_that_can_t_be_translated_is_noted(
    changes: dict[str, Any], reason: str, imported: Importer
) -> None:
    found = imported(template(metric(**changes)))

    assert found.settings is None
    assert any(note.startswith("spec.metrics.0: not translated") and reason in note for note in found.notes)


@pytest.mark.parametrize(
    ("queries", "reason"),
    [
        ([*P99, *P99], "two queries are called 'p99'"),
        ([{**P99[0], "returnData": False}], "none of its queries returns data"),
        ([{"id": "m", "expression": "1", **P99[0]}], "must have one of MetricStat and Expression"),
        ([{"id": "m", "metricStat": stat("Seconds", "p99", SERVICE)}], "names the revision"),
        (
            [{"id": "m", "metricStat": stat("S", "p99", POD, {"name": "R", "value": "{{args.region}}"})}],
            "{{args.region}} has no value here; give it with --arg region=VALUE",
        ),
        (
            [{"id": "m", "metricStat": stat("S", "p99", {"name": "P", "value": "{{args.stable-hash}}"})}],
            "names the old revision, so it compares two itself",
        ),
        # What the settings refuse: a series that nobody can foresee, a placeholder of somebody's own.
        (
            [{"id": "m", "expression": "MAX(METRICS()) + p"}, {**P99[0], "id": "p", "returnData": False}],
            "METRICS",
        ),
        (
            [{"id": "m", "metricStat": stat("S", "p99", POD, {"name": "R", "value": "{x}"})}],
            "unknown placeholder",
        ),
    ],
)
def test_queries_that_can_t_be_translated_are_noted(
    queries: list[dict[str, Any]], reason: str, imported: Importer
) -> None:
    found = imported(template(metric(queries)))

    assert found.settings is None
    assert any("not translated" in note and reason in note for note in found.notes)


def test_an_argument_may_be_given(imported: Importer) -> None:
    queries = [{"id": "p99", "metricStat": stat("Seconds", "p99", POD, SERVICE)}]

    found = imported(template(metric(queries)), {"service-name": "shop"})

    assert found.settings == {"metrics": [gauge()]}
    with pytest.raises(DocumentError, match="--arg nobody: the templates have no such argument"):
        imported(template(metric(queries)), {"nobody": "1"})


def test_the_longest_metric_says_how_long(imported: Importer) -> None:
    found = imported(
        template(
            metric(name="a", interval="1m", count=5, initialDelay="90s"),
            metric(SHARE, name="b", interval="2m", count="20", initialDelay="1m"),
        )
    )

    assert {key: value for key, value in found.settings.items() if key != "metrics"} == {
        "warmUpMinutes": 2,
        "holdMinutes": 39,
    }


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"failureLimit": 3}, "failureLimit: not carried over: how many minutes it takes follows"),
        ({"inconclusiveLimit": 3}, "inconclusiveLimit: not carried over: how many minutes it takes follows"),
        ({"consecutiveErrorLimit": 4}, "consecutiveErrorLimit: not carried over: what CloudWatch does not"),
        ({"interval": "5m"}, "interval: not carried over: every minute is judged"),
        ({"count": 3}, "count: not carried over: every minute is judged"),
        (
            {"interval": "24h", "count": 9},
            "count: holdMinutes is 720, of each step and for all metrics; holdMi",
        ),
        ({"unheardOf": 1}, "unheardOf: not carried over: there is nothing like it here"),
    ],
)
def test_what_does_not_carry_over_is_noted(changes: dict[str, Any], note: str, imported: Importer) -> None:
    found = imported(template(metric(**changes)))

    others = [line for line in found.notes if line not in {PUBLISH, LIMIT}]
    assert [line.startswith(f"spec.metrics.0.{note}") for line in others] == [True]


def test_a_dry_run_only_observes(imported: Importer) -> None:
    found = imported(
        template(metric(), metric(SHARE, name="errors"), dryRun=[{"metricName": "err.*"}], novelty=1)
    )

    assert [one.get("observe") for one in found.settings["metrics"]] == [None, True]
    assert "spec.novelty: not carried over: there is nothing like it here" in found.notes


def test_settings_in_which_nothing_would_decide_are_not_given(imported: Importer) -> None:
    found = imported(template(metric(), dryRun=[{"metricName": ".*"}]))

    assert found.settings is None
    assert any(
        note.startswith("spec.metrics.0: the settings would be refused: every metric only observes")
        for note in found.notes
    )


def test_templates_in_one_file_are_joined_and_names_differ(imported: Importer) -> None:
    service = "kind: Service\nmetadata: {name: shop}\n"

    found = imported(
        "---\n".join([template(metric()), service, template(metric(SHARE)), template(metric(name="again"))])
    )

    assert [one["name"] for one in found.settings["metrics"]] == ["latency", "latency 2"]
    assert ": not read: 'Service' is no AnalysisTemplate" in found.notes
    assert "spec.metrics.0.name: it is called 'latency 2' here" in found.notes
    assert "spec.metrics.0: left out: it is the same as 'latency' here" in found.notes


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("kind: AnalysisTemplate\n", "file.yaml:1: spec: is missing"),
        (template(metric(interval="soon")), r"file.yaml:\d+: spec.metrics.0.interval: expected a duration"),
        (template(dryRun=[{"metricName": "("}]), "dryRun.0.metricName: not a regular expression"),
        ("a: 1\n---\nb: 2\n", "file.yaml: neither a Kayenta canary config nor an Argo AnalysisTemplate"),
        ("---\nkind: X\n---\nkind: [\n", "file.yaml:5: "),
        ("[1]", "file.yaml: neither"),
        ("", "file.yaml: neither"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_key(text: str, error: str, imported: Importer) -> None:
    with pytest.raises(DocumentError, match=error):
        imported(text)
