"""The scenarios that docs/rehearsal.md shows can be rehearsed, and end as they say."""

from pathlib import Path

import pytest

from rehearsal.runtimes import open_rehearsal
from rehearsal.scenario import Scenario
from tests.docs.fenced_blocks import Block, Page

PAGE = Page.read("docs/rehearsal.md")
SCENARIOS = [
    pytest.param(block, id=f"line {block.line}")
    for block in PAGE.blocks
    if block.language == "yaml" and "hooks:" in block.text
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "scenario.yaml"


def test_there_are_scenarios() -> None:
    assert len(SCENARIOS) >= 6


@pytest.mark.parametrize("block", SCENARIOS)
def test_a_scenario_can_be_read(block: Block, file: Path) -> None:
    file.write_text(block.text)

    assert Scenario.read(file).expect.status


@pytest.mark.thorough
@pytest.mark.parametrize("block", SCENARIOS)
def test_a_scenario_ends_as_it_expects(block: Block, file: Path) -> None:
    file.write_text(block.text)

    with open_rehearsal("in-process", "virtual") as rehearsal:
        outcome = rehearsal.run(Scenario.read(file), seed=0, switches={})

    assert [check for check in outcome.checks if not check.held] == []
