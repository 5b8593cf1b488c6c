"""The reference system's services are wired as ECS wants it, told from the templates themselves.

Sources of the rules: docs/ecs-contract.md, and
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/blue-green-deployment-implementation.html
"""

import json
from typing import Any

import pytest

from rehearsal.check import check
from rehearsal.check.findings import Severity
from rehearsal.check.hooks import known_hooks
from rehearsal.check.view import ServiceView
from tests.examples.unicorn_watch_stack import SERVICES, service, whole

TRUST = {"waitMinutes": 10}
CATALOG_LOAD = {
    "load": [{"seconds": 60, "to": 40}, {"seconds": 180, "at": 40}],
    "requests": [{"path": "/catalog/unicorns", "weight": 3}, {"path": "/catalog/unicorns/7"}],
    "rules": ["errors < 1%", "p(95) <= 1.5 x blue + 20ms"],
    "onFirstDeployment": "skip",
}


def hooks(view: ServiceView) -> dict[str, list[str]]:
    return {hook.ours.name: [stage.value for _, stage in hook.stages] for hook in view.hooks if hook.ours}


def test_each_service_has_the_hooks_and_the_strategy_that_its_kind_of_traffic_calls_for() -> None:
    trust = {"image_trust": ["PRE_SCALE_UP", "POST_SCALE_UP"]}

    assert {name: (service(name).strategy, hooks(service(name))) for name in SERVICES} == {
        "ui": ("BLUE_GREEN", trust | {"manual_approval": ["POST_TEST_TRAFFIC_SHIFT"]}),
        "catalog": (
            "CANARY",
            trust
            | {
                "load_test": ["POST_TEST_TRAFFIC_SHIFT"],
                "canary_comparison": ["PRODUCTION_TRAFFIC_SHIFT"],
            },
        ),
        "notifications": (
            "BLUE_GREEN",
            trust
            | {"consumer_activation": ["RECONCILE_SERVICE", "PRE_SCALE_UP", "PRODUCTION_TRAFFIC_SHIFT"]},
        ),
        "streaming": ("BLUE_GREEN", trust),
    }


def test_each_hook_is_told_this_and_no_more_so_that_all_of_them_refuse_in_earnest() -> None:
    told = {
        (name, one.ours.name): json.loads(str(one.details))
        for name in SERVICES
        for one in service(name).hooks
        if one.ours
    }

    assert told == {
        ("ui", "image_trust"): TRUST,
        ("ui", "manual_approval"): {
            "expiresAfterMinutes": 480,
            "extendableToMinutes": 1200,
            # There is no blue to go back to, and nobody to disturb.
            "onFirstDeployment": "skip",
        },
        ("catalog", "image_trust"): TRUST,
        ("catalog", "load_test"): CATALOG_LOAD,
        ("catalog", "canary_comparison"): {"metrics": ["alb"], "holdMinutes": 10},
        ("notifications", "image_trust"): TRUST,
        ("notifications", "consumer_activation"): {"queue": "unicorn-watch-sightings"},
        ("streaming", "image_trust"): TRUST,
    }
    for name in SERVICES:
        for one in service(name).hooks:
            assert one.ours
            assert one.ours.settings.model_validate(json.loads(str(one.details))).mode == "enforce"


@pytest.mark.parametrize(
    ("strategy", "configuration"),
    [
        ("CANARY", {"CanaryConfiguration": {"CanaryPercent": 10, "CanaryBakeTimeInMinutes": 10}}),
        ("LINEAR", {"LinearConfiguration": {"StepPercent": 25, "StepBakeTimeInMinutes": 5}}),
    ],
)
def test_catalog_goes_by_either_strategy_with_the_same_hooks(
    strategy: str, configuration: dict[str, Any]
) -> None:
    view = service("catalog", strategy)
    chosen = {
        key: {name: float(number) for name, number in value.items()}
        for key, value in view.deployment.items()
        if key in {"CanaryConfiguration", "LinearConfiguration"}
    }

    assert (view.strategy, chosen) == (strategy, configuration)
    assert hooks(view) == hooks(service("catalog"))


@pytest.mark.parametrize("strategy", ["CANARY", "LINEAR"])
def test_nothing_in_it_would_be_rejected_or_would_bite(strategy: str) -> None:
    findings = check(whole(strategy), known_hooks())

    assert [one for one in findings if one.severity is not Severity.INFO] == []


@pytest.mark.parametrize(
    ("name", "minutes"),
    [("ui", [30, 1260]), ("catalog", [30, 30, 60]), ("notifications", [30, 60]), ("streaming", [30])],
)
def test_what_runs_out_of_time_rolls_back_and_every_deployment_fits_into_33_hours(
    name: str, minutes: list[int]
) -> None:
    view = service(name)
    bakes = [view.deployment["BakeTimeInMinutes"]]
    if name == "catalog":
        bakes += [view.deployment["CanaryConfiguration"]["CanaryBakeTimeInMinutes"]]

    assert [hook.timeout for hook in view.hooks] == [
        {"TimeoutInMinutes": one, "Action": "ROLLBACK"} for one in minutes
    ]
    assert sum(minutes) + sum(map(float, bakes)) <= 33 * 60
