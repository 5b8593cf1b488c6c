import json
import re
from typing import Any

import pytest

from rehearsal.document import DocumentError
from tests.rehearsal.imports.conftest import Importer

HEAP = {
    "Metric": {
        "Namespace": "Shop",
        "MetricName": "HeapUsed",
        "Dimensions": [{"Name": "Revision", "Value": "${scope}"}],
    },
    "Period": 60,
    "Stat": "Average",
}
ERRORS = {
    "Metric": {
        "Namespace": "AWS/ApplicationELB",
        "MetricName": "HTTPCode_Target_5XX_Count",
        "Dimensions": [{"Name": "TargetGroup", "Value": "${scope}"}],
    },
    "Period": 60,
    "Stat": "Sum",
}
# Nothing in it reads differently here, so nothing has to be said.
PLAIN = {"direction": "increase", "mustHaveData": True, "effectSize": {"allowedIncrease": 1.5}}


def metric(
    canary: dict[str, Any] | None = None, stat: dict[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    return {
        "name": "heap",
        "query": {"type": "cloudwatch", "customInlineTemplate": json.dumps(HEAP if stat is None else stat)},
        "groups": [],
        "analysisConfigurations": {"canary": PLAIN if canary is None else canary},
        **changes,
    }


def config(*metrics: dict[str, Any], **changes: Any) -> str:
    return json.dumps(
        {
            "judge": {"name": "NetflixACAJudge-v1.0"},
            "metrics": list(metrics),
            "classifier": {"scoreThresholds": {"pass": 90, "marginal": 70}},
            **changes,
        },
        indent=1,
    )


def query(colour: str) -> dict[str, Any]:
    dimension = {"Name": "Revision", "Value": f"{{{colour}}}"}
    return {
        "Id": f"{colour}_value",
        "MetricStat": {
            "Metric": {"Namespace": "Shop", "MetricName": "HeapUsed", "Dimensions": [dimension]},
            "Stat": "Average",
            "Period": 60,
        },
    }


def heap(**changes: Any) -> dict[str, Any]:
    return {
        "name": "heap",
        "source": "cloudWatch",
        "kind": "gauge",
        "direction": "increase",
        "queries": [query("green"), query("blue")],
        "green": {"value": "green_value"},
        "blue": {"value": "blue_value"},
        "critical": False,
        "toleratedRatio": 1.5,
        **changes,
    }


PUBLISH = "metrics.0.query: the service must publish Revision with its ECS service revision's id"


def test_a_config_is_settings_for_the_same_judge(imported: Importer) -> None:
    found = imported(config(metric()))

    assert found.settings == {
        "metrics": [heap()],
        "judge": "kayenta",
        "kayentaPassScore": 90,
        "kayentaMarginalScore": 70,
    }
    assert found.notes == [PUBLISH]


def test_target_groups_are_the_preset_s(imported: Importer) -> None:
    found = imported(config(metric({**PLAIN, "critical": True}, ERRORS, name="5xx")))

    assert found.settings["metrics"] == [
        {"name": "metric 5xx", "source": "alb", "measure": "errors", "critical": True, "toleratedRatio": 1.5}
    ]


@pytest.mark.parametrize("key", ["metricStat", "customInlineTemplate", "customFilterTemplate"])
def test_the_metric_is_found_wherever_it_may_stand(key: str, imported: Importer) -> None:
    stat: Any = {"metricStat": HEAP, "customFilterTemplate": "heap"}.get(key, json.dumps(HEAP))
    text = config(
        metric(query={"type": "cloudwatch", "serviceType": "cloudwatch", key: stat}),
        templates={"heap": json.dumps(HEAP)},
    )

    found = imported(text)

    assert found.settings["metrics"] == [heap()]
    unused = ["templates.heap: not carried over: there is nothing like it here"]
    assert found.notes == [PUBLISH, *([] if key == "customFilterTemplate" else unused)]


@pytest.mark.parametrize(
    ("canary", "changes", "note"),
    [
        (
            {**PLAIN, "nanStrategy": "replace"},
            {},
            "nanStrategy: not carried over: a count that is absent is 0 only where the total is there, a "
            "gauge never",
        ),
        ({**PLAIN, "nanStrategy": "remove"}, {}, None),
        ({**PLAIN, "critical": True}, {"critical": True}, None),
        (
            {**PLAIN, "outliers": {"strategy": "remove", "outlierFactor": 3}},
            {},
            "outliers.strategy: not carried over: ranks give one wild minute the weight of one",
        ),
        ({**PLAIN, "outliers": {"strategy": "keep"}}, {}, None),
        (
            {**PLAIN, "effectSize": {"allowedIncrease": 1.2, "criticalIncrease": 3}},
            {"toleratedRatio": 1.2},
            "effectSize.criticalIncrease: not carried over: a critical metric is critical from "
            "toleratedRatio on",
        ),
        (
            {**PLAIN, "direction": "decrease", "effectSize": {"allowedDecrease": 0.8}},
            {"toleratedRatio": 1.25, "direction": "decrease"},
            None,
        ),
        (
            {**PLAIN, "effectSize": {"allowedIncrease": 500}},
            {"toleratedRatio": 100},
            "effectSize.allowedIncrease: toleratedRatio is 100 at most",
        ),
        (
            {**PLAIN, "novelty": [1]},
            {},
            "novelty: not carried over: there is nothing like it here",
        ),
    ],
)
def test_how_a_metric_is_judged_is_carried_over_or_noted(
    canary: dict[str, Any], changes: dict[str, Any], note: str | None, imported: Importer
) -> None:
    found = imported(config(metric(canary)))

    where = "metrics.0.analysisConfigurations.canary"
    assert found.settings["metrics"] == [heap(**changes)]
    assert found.notes == [PUBLISH, *([f"{where}.{note}"] if note else [])]


@pytest.mark.parametrize(
    ("effect", "note"),
    [
        ({"allowedIncrease": 1.0}, "effectSize.allowedIncrease: none is none in Kayenta"),
        ({"allowedDecrease": 0.5}, "effectSize: no allowedIncrease, so that toleratedRatio is 1.25"),
        ({"measure": "cles", "allowedIncrease": 0.8}, "effectSize.measure: not carried over: 'cles'"),
        (None, ": without effectSize any steady difference counts in Kayenta"),
    ],
)
def test_without_a_ratio_the_hook_s_own_is_taken_and_said(
    effect: dict[str, Any] | None, note: str, imported: Importer
) -> None:
    found = imported(config(metric({**PLAIN, "effectSize": effect})))

    assert "toleratedRatio" not in found.settings["metrics"][0]
    (said,) = (line for line in found.notes if line != PUBLISH)
    assert said.startswith(f"metrics.0.analysisConfigurations.canary{'' if note[0] == ':' else '.'}{note}")


def test_a_metric_that_may_be_without_data_is_said_to_be_waited_for(imported: Importer) -> None:
    found = imported(config(metric({**PLAIN, "mustHaveData": False})))

    assert any("here it is waited for and then refused" in note for note in found.notes)


def test_either_direction_is_two_metrics_with_the_weight_of_one(imported: Importer) -> None:
    canary = {**PLAIN, "direction": "either", "effectSize": {"allowedIncrease": 2, "allowedDecrease": 0.5}}
    classifier = {"groupWeights": {"system": 80}, "scoreThresholds": {"pass": 90, "marginal": 70}}

    found = imported(config(metric(canary, groups=["system"]), classifier=classifier))

    assert found.settings["metrics"] == [
        heap(toleratedRatio=2.0, weight=40.0),
        heap(toleratedRatio=2.0, weight=40.0, name="heap decrease", direction="decrease"),
    ]
    assert "metrics.0: either way is worse, so it is two metrics here, one for each" in found.notes


def test_groups_share_their_weight_among_their_metrics(imported: Importer) -> None:
    classifier = {
        "groupWeights": {"system": 60, "errors": 40, "none": 0},
        "scoreThresholds": {"pass": 90, "marginal": 70},
    }

    found = imported(
        config(
            metric(name="a", groups=["system"]),
            metric({**PLAIN, "critical": True}, name="b", groups=["system", "errors"]),
            metric({**PLAIN, "effectSize": {"allowedIncrease": 3}}, name="c", groups=["none"]),
            classifier=classifier,
        )
    )

    assert found.settings["metrics"] == [
        heap(name="a", weight=30.0),
        heap(name="b", weight=70.0, critical=True),
        heap(name="c", toleratedRatio=3.0, observe=True),
    ]
    assert "metrics.2.groups: its groups have no weight, so that it only observes" in found.notes


def test_a_request_says_how_long_and_from_which_score_on(imported: Importer) -> None:
    request = {
        "scopes": {"default": {"controlScope": {}}},
        "thresholds": {"pass": "95", "marginal": 75.5},
        "lifetimeDurationMins": 44.5,
        "beginAfterMins": 5,
        "analysisIntervalMins": 10,
        "lookbackMins": 0,
    }
    text = json.dumps(
        {"canaryConfig": {"metrics": [metric()], "judge": {}, "name": "shop"}, "executionRequest": request}
    )

    found = imported(text)

    assert found.settings == {
        "metrics": [heap()],
        "judge": "kayenta",
        "kayentaPassScore": 95,
        "kayentaMarginalScore": 75.5,
        "holdMinutes": 45,
        "warmUpMinutes": 5,
    }
    assert sorted(found.notes) == [
        "canaryConfig." + PUBLISH,
        "canaryConfig.name: not carried over: it is for people and for Spinnaker",
        "executionRequest.analysisIntervalMins: not carried over: the run is judged once, at the end of each "
        "step",
        "executionRequest.lifetimeDurationMins: holdMinutes holds each step of the deployment so long",
        "executionRequest.lookbackMins: not carried over: all minutes of the step are judged",
        "executionRequest.scopes: not carried over: green and blue are those of the deployment",
    ]


def test_thresholds_that_are_elsewhere_are_said_to_be_missing(imported: Importer) -> None:
    found = imported(config(metric(), classifier={"groupWeights": {}}))

    assert set(found.settings) == {"metrics", "judge"}
    assert any("95 to pass and 75 for marginal are taken" in note for note in found.notes)


UNKNOWN_VARIABLE = {**HEAP, "Metric": {**HEAP["Metric"], "Dimensions": [{"Name": "R", "Value": "${zone}"}]}}  # type: ignore[dict-item]
BY_SERVICE = {**HEAP, "Metric": {**HEAP["Metric"], "Dimensions": [{"Name": "S", "Value": "shop"}]}}  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (metric(query={"type": "prometheus", "metricName": "x"}), "a query of prometheus can't be asked"),
        (metric(query={"metricName": "x"}), "a query of unknown can't be asked"),
        (metric(query=None), "it has no query"),
        (metric(query={"type": "cloudwatch"}), "it has no MetricStat in customInlineTemplate"),
        (metric(query={"type": "cloudwatch", "customFilterTemplate": "x"}), "there is no template 'x'"),
        (metric(query={"type": "cloudwatch", "customInlineTemplate": "{"}), "its template is not JSON"),
        (metric(query={"type": "cloudwatch", "customInlineTemplate": "x"}), "MetricStat is missing"),
        (metric(stat={"Stat": "Sum"}), "MetricStat.Metric is missing"),
        (metric(stat=UNKNOWN_VARIABLE), r"nobody says what \${zone} is"),
        (metric(stat=BY_SERVICE), "no dimension of query 'value' names the revision"),
        (metric(stat={**HEAP, "Stat": "Sum"}), "grows with traffic"),
        # What the settings refuse.
        (metric(stat={**HEAP, "Stat": "Mode"}), "Stat: String should match"),
    ],
)
def test_what_can_t_be_translated_is_noted_and_gives_no_settings(
    given: dict[str, Any], reason: str, imported: Importer
) -> None:
    found = imported(config(given))

    assert found.settings is None
    assert any(re.match(rf"metrics\.0: not translated.*{reason}", note) for note in found.notes)


def test_what_can_be_translated_is_even_where_the_rest_can_t(imported: Importer) -> None:
    found = imported(config(metric(query={"type": "datadog"}), metric()))

    assert found.settings["metrics"] == [heap()]
    assert any(note.startswith("metrics.0: not translated") for note in found.notes)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            config(metric({"direction": "up"})),
            r"file.yaml:\d+: metrics.0.analysisConfigurations.canary.direction: e",
        ),
        (config(metric({"critical": "yes"})), r"canary.critical: expected true or false, not 'yes'"),
        (
            config(classifier={"groupWeights": {"a": "much"}}),
            r"groupWeights.a: expected a number, not 'much'",
        ),
        (config(metrics={"a": 1}), r"file.yaml:\d+: metrics: expected a list"),
        (config(metrics=["cpu"]), r"metrics.0: expected keys and values, not 'cpu'"),
        ('{"canaryConfig": {"canaryConfigId": "x"}}', r"canaryConfigId: the config itself is elsewhere"),
        (
            json.dumps({"canaryConfig": {}, "executionRequest": {"lifetimeDuration": "an hour"}}),
            r"lifetimeDuration: expected a duration such as PT1H30M, not 'an hour'",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_key(text: str, error: str, imported: Importer) -> None:
    with pytest.raises(DocumentError, match=error):
        imported(text)


@pytest.mark.parametrize(
    "where",
    [
        (),
        ("judge",),
        ("classifier",),
        ("classifier", "scoreThresholds"),
        ("metrics", 0),
        ("metrics", 0, "query"),
        ("metrics", 0, "analysisConfigurations"),
        ("metrics", 0, "analysisConfigurations", "canary"),
        ("metrics", 0, "analysisConfigurations", "canary", "effectSize"),
    ],
)
def test_no_key_is_dropped_without_a_word(where: tuple[str | int, ...], imported: Importer) -> None:
    data = json.loads(config(metric()))
    part = data
    for step in where:
        part = part[step]
    part["unheardOf"] = 1

    found = imported(json.dumps(data))

    key = ".".join(str(step) for step in (*where, "unheardOf"))
    assert f"{key}: not carried over: there is nothing like it here" in found.notes
