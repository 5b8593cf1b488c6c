"""What docs/migrating.md puts beside CodeDeploy's words exists in ECS, by that name and with that value."""

import re
from pathlib import Path
from typing import Any

import pytest
from botocore.model import StructureShape

from rehearsal.aws.call import operation_model
from rehearsal.strategy import Strategy
from shared.lifecycle import Stage

PAGE = (Path(__file__).parents[2] / "docs" / "migrating.md").read_text(encoding="utf-8")

# https://docs.aws.amazon.com/codedeploy/latest/userguide/deployment-configurations.html
PREDEFINED = [
    "ECSAllAtOnce",
    "ECSCanary10Percent5Minutes",
    "ECSCanary10Percent15Minutes",
    "ECSLinear10PercentEvery1Minutes",
    "ECSLinear10PercentEvery3Minutes",
]
STRATEGIES = {"AllAtOnce": "BLUE_GREEN", "Canary": "CANARY", "Linear": "LINEAR"}


def table(first_cell: str) -> list[list[str]]:
    """Return the rows of the table whose heading begins with *first_cell*."""
    lines = PAGE.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {first_cell} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return rows


def test_every_event_of_codedeploy_has_a_stage() -> None:
    pairs = {row[0]: row[1] for row in table("CodeDeploy's event")}

    # https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_PutLifecycleEventHookExecutionStatus.html
    assert pairs == {
        "BeforeInstall": Stage.PRE_SCALE_UP,
        "AfterInstall": Stage.POST_SCALE_UP,
        "AfterAllowTestTraffic": Stage.POST_TEST_TRAFFIC_SHIFT,
        "BeforeAllowTraffic": Stage.PRE_PRODUCTION_TRAFFIC_SHIFT,
        "AfterAllowTraffic": Stage.POST_PRODUCTION_TRAFFIC_SHIFT,
    }


def configurations() -> dict[str, list[str]]:
    rows = table("CodeDeploy | `Strategy`")
    return {row[0].strip("`").removeprefix("CodeDeployDefault."): row[1:] for row in rows}


def test_every_predefined_configuration_of_codedeploy_is_there() -> None:
    assert [name for name in configurations() if name.startswith("ECS")] == PREDEFINED


@pytest.mark.parametrize("name", PREDEFINED)
def test_a_configuration_keeps_the_numbers_in_its_name(name: str) -> None:
    strategy, *settings = configurations()[name]
    kind = re.sub(r"^ECS|\d.*", "", name)
    given = {key: int(value) for cell in settings for key, value in re.findall(r"(\w+): (\d+)", cell)}

    assert strategy == STRATEGIES[kind]
    assert [*given.values()] == [int(number) for number in re.findall(r"\d+", name)]
    # The rehearsal takes CloudFormation's keys in lower case, and knows their ranges.
    document: dict[str, Any] = {key[0].lower() + key[1:]: value for key, value in given.items()}
    assert Strategy.model_validate({"type": strategy, **document}).type == strategy


def test_what_stands_for_a_custom_configuration_is_codedeploys_own_word() -> None:
    shape = operation_model("codedeploy", "CreateDeploymentConfig").input_shape
    assert shape is not None
    routing = shape.members["trafficRoutingConfig"]
    assert isinstance(routing, StructureShape)
    canary, linear = routing.members["timeBasedCanary"], routing.members["timeBasedLinear"]
    assert isinstance(canary, StructureShape)
    assert isinstance(linear, StructureShape)

    own = {name: cells for name, cells in configurations().items() if name.startswith("one of your own")}
    named = [re.findall(r"`(\w+)`", " ".join(cells)) for cells in own.values()]

    assert named == [[*canary.members], [*linear.members]]
