"""The template makes what plan and inference take for granted."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from examples.contract_probe.plan import (
    CANARY_BAKE_MINUTES,
    CANARY_PERCENT,
    CONFIGURED,
    CONTAINER,
    HOOK_TIMEOUT_MINUTES,
    PLAN,
    Answer,
)
from examples.contract_probe.recorder import recording_hook
from rehearsal.check import run
from rehearsal.template import Template
from shared.lifecycle import Stage

FILE = "examples/contract_probe/template.yaml"
BLUE_GREEN = {"Strategy": "BLUE_GREEN", "BakeTimeInMinutes": 0}


@pytest.fixture(scope="module")
def template() -> Template:
    return Template.read(FILE)


def test_rehearse_check_finds_nothing() -> None:
    printed = io.StringIO()

    code = run([FILE], parameters={}, json_output=False, strict=True, stdout=printed)

    assert (code, printed.getvalue()) == (0, f"nothing to mend in {FILE}\n")


def test_the_plans_services_are_there_with_their_strategies(template: Template) -> None:
    services = {one.properties["ServiceName"]: one.properties for one in template.services()}
    strategies = {
        name: {
            key: value for key, value in found["DeploymentConfiguration"].items() if key != "LifecycleHooks"
        }
        for name, found in services.items()
    }
    exposures = {
        name: (
            [
                one["AdvancedConfiguration"]["ProductionListenerRule"].split(":")[5].split("/")[0:2]
                for one in balancers
            ]
            if (balancers := found.get("LoadBalancers"))
            else "ServiceConnectConfiguration" in found
        )
        for name, found in services.items()
    }

    canary = {"CanaryPercent": CANARY_PERCENT, "CanaryBakeTimeInMinutes": CANARY_BAKE_MINUTES}
    assert strategies == {
        "alb": BLUE_GREEN,
        "alb-canary": {"Strategy": "CANARY", "BakeTimeInMinutes": 0, "CanaryConfiguration": canary},
        "nlb": BLUE_GREEN,
        "service-connect": BLUE_GREEN,
        "headless": BLUE_GREEN,
    }
    assert exposures == {
        "alb": [["listener-rule", "app"]],
        "alb-canary": [["listener-rule", "app"]],
        "nlb": [["listener", "net"]],
        "service-connect": True,
        "headless": False,
    }
    assert {step.service for step in PLAN} == set(services)


def test_services_are_made_with_both_recorders_at_every_stage(template: Template) -> None:
    functions = {one.logical_id: one.arn for one in template.functions()}
    roles = {one.logical_id: one.arn for one in template.resources("AWS::IAM::Role")}

    def hook(function: str, **more: Any) -> dict[str, Any]:
        return {
            "HookTargetArn": functions[function],
            "RoleArn": roles["HookInvocationRole"],
            "LifecycleStages": [stage.value for stage in Stage],
            "TimeoutConfiguration": {"TimeoutInMinutes": HOOK_TIMEOUT_MINUTES, "Action": "ROLLBACK"},
            **more,
        }

    expected = [hook("FirstRecorder", HookDetails=json.dumps(CONFIGURED)), hook("SecondRecorder")]
    for service in template.services():
        assert service.properties["DeploymentConfiguration"]["LifecycleHooks"] == expected


def test_the_recorders_are_told_who_they_are_and_one_never_runs(template: Template) -> None:
    functions = {one.logical_id: one for one in template.functions()}

    assert {name: one.environment["HOOK"] for name, one in functions.items()} == {
        "FirstRecorder": "first",
        "SecondRecorder": "second",
        "ThrottledRecorder": "throttled",
    }
    assert {one.code for one in functions.values()} == {Path("examples/contract_probe/recorder")}
    assert {one.handler for one in functions.values()} == {"recording_hook.handler"}
    assert callable(recording_hook.handler)
    reserved = {
        name: one.resource.properties.get("ReservedConcurrentExecutions") for name, one in functions.items()
    }
    assert reserved == {"FirstRecorder": None, "SecondRecorder": None, "ThrottledRecorder": 0}


def test_tasks_run_the_image_by_its_tag_in_the_container_that_is_looked_for(template: Template) -> None:
    [definition] = template.resources("AWS::ECS::TaskDefinition")

    [container] = definition.properties["ContainerDefinitions"]

    assert (container["Name"], container["Image"]) == (
        CONTAINER,
        "public.ecr.aws/docker/library/busybox:stable",
    )


def test_no_hook_is_asked_for_longer_than_its_time_out() -> None:
    answers: list[Answer] = [
        answer for step in PLAN for said in (step.first, step.second, step.back) for answer in said.values()
    ]

    assert max(answer.holds_seconds for answer in answers) < 60 * HOOK_TIMEOUT_MINUTES
