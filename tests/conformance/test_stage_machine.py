"""The stage machine sends the golden events: every one that ECS is known or expected to send."""

import json
from pathlib import Path
from typing import Any

import pytest

from shared.lifecycle import Stage
from tests.rehearsal.scripted_deployment import (
    BLUE,
    FAILED,
    GREEN,
    IN_PROGRESS,
    LEFT,
    SUCCEEDED,
    Answers,
    By,
    ScriptedDeployment,
    canary,
    linear,
    scripted,
    serving,
)

EVENTS = Path(__file__).parent / "events"

# The shape that old documentation shows, and noise of floating point: neither is ever sent.
NEVER_SENT = {"flat_legacy", "float_final_noise_production"}

RETURNED = {**IN_PROGRESS, "hookDetails": {"ticketChecked": True}}

# By the start of the golden event's name: the deployment that sends it.
DEPLOYMENTS: dict[str, dict[str, Any]] = {
    "as_logged": {"switches": {"map_order": "source-first"}},
    "blue_green": {"sources": [serving(LEFT, 0.0), serving(BLUE, 100.0)], "leftovers": True},
    "canary": {"strategy": canary(20)},
    "linear": {"strategy": linear(25)},
    "rollback": {"refuses": Stage.POST_PRODUCTION_TRAFFIC_SHIFT},
    "first_deployment": {"sources": []},
    "headless_production_filled": {"exposure": "headless"},
    "headless_production_empty": {"exposure": "headless", "switches": {"headless_weights": "empty"}},
    "hook_details_absent": {},
    "hook_details_null": {"switches": {"hook_details_absent_form": "null"}},
    "hook_details_object": {"details": {"TICKET": "CHG-1042"}, "first_reply": RETURNED},
    "hook_details_json_string": {"details": '{"TICKET":"CHG-1042"}'},
    "float_canary_7_5": {"strategy": canary(7.5), "switches": {"weights_type": "float"}},
    "float_canary_0_1": {"strategy": canary(0.1), "switches": {"weights_type": "float"}},
    "float_linear_99_9": {"strategy": linear(33.3), "switches": {"weights_type": "float"}},
    "float_final": {"switches": {"weights_type": "float"}},
    "float_rollback": {
        "switches": {"weights_type": "float"},
        "refuses": Stage.POST_PRODUCTION_TRAFFIC_SHIFT,
    },
}

GOLDEN = sorted(file.stem for file in EVENTS.glob("*.json") if file.stem not in {"expected", *NEVER_SENT})


def sent(
    *,
    refuses: Stage | None = None,
    details: Any = None,
    first_reply: Any = None,
    switches: dict[str, str] | None = None,
    **deployment: Any,
) -> list[dict[str, Any]]:
    """Return the events of a deployment, its hook attached at every stage."""

    def reply(event: dict[str, Any]) -> Any:
        events.append(event)
        if len(events) == 1 and first_reply:
            return first_reply
        return FAILED if event["lifecycleStage"] == refuses else SUCCEEDED

    events: list[dict[str, Any]] = []
    # The published events have green first.
    chosen = {"map_order": "target-first", **(switches or {})}
    stages = (Stage.POST_TEST_TRAFFIC_SHIFT,) if details else ()
    ScriptedDeployment(
        scripted("hook", By(reply), *stages, details=details), switches=chosen, **deployment
    ).run()
    return events


def spelled(event: dict[str, Any]) -> str:
    """Write an event down with its revisions by role; orders and types of numbers stay as they are."""
    execution = event["executionDetails"]
    green = execution["targetServiceRevisionArn"]
    weights = {
        name: json.dumps(
            [("green" if arn == green else "blue", weight) for arn, weight in execution[name].items()]
        )
        for name in ("testTrafficWeights", "productionTrafficWeights")
    }
    return json.dumps(
        {
            "keys": sorted(event),
            "execution": sorted(execution),
            "stage": event["lifecycleStage"],
            "details": event.get("hookDetails"),
            **weights,
        },
        indent=1,
    )


@pytest.mark.parametrize("name", GOLDEN)
def test_the_machine_sends_the_golden_event(name: str) -> None:
    golden = json.loads((EVENTS / f"{name}.json").read_text())
    deployment = DEPLOYMENTS[max((start for start in DEPLOYMENTS if name.startswith(start)), key=len)]

    assert spelled(golden) in [spelled(event) for event in sent(**deployment)]


def test_the_machine_sends_nothing_but_what_a_golden_event_shows() -> None:
    """Every call of a blue/green, canary and linear deployment, forward and back, is a golden event."""
    shown = {spelled(json.loads((EVENTS / f"{name}.json").read_text())) for name in GOLDEN}

    for start in ("blue_green", "canary", "linear", "rollback"):
        events = [spelled(event) for event in sent(**DEPLOYMENTS[start])]
        assert [event for event in events if event not in shown] == []


def test_the_event_names_the_deployment_its_service_and_green() -> None:
    hook = Answers()
    run = ScriptedDeployment(scripted("hook", hook)).run()

    assert {
        (event["resourceArn"], event["executionDetails"]["targetServiceRevisionArn"]) for event in hook.events
    } == {(str(run.deployment.arn), str(GREEN))}
