"""The activation hook with real workers at the queue, when its function dies in the middle."""

from typing import Any

import pytest

from rehearsal.scenario import Scenario
from rehearsal.world import Rehearsal

HOOK = {
    "hook": "consumer_activation",
    "stages": ["PRE_SCALE_UP", "PRODUCTION_TRAFFIC_SHIFT"],
    "hookDetails": {"queue": "orders"},
}


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("skip", [0, 1], ids=["stopping blue", "letting green in"])
def test_blue_consumes_again_wherever_the_hook_died(rehearsal: Rehearsal, moment: str, skip: int) -> None:
    scenario: dict[str, Any] = {
        "name": "test",
        "service": {"exposure": "headless"},
        "hooks": [HOOK],
        "actors": [
            {"queue": {}},
            {"workers": {"handling": "3s"}},
            {"crash": {"moment": moment, "skip": skip}},
        ],
        "expect": {
            "status": "ROLLBACK_SUCCESSFUL",
            "consumes": "blue",
            "overlapAtMost": 0,
            "gapAtMost": "1m",
            "lost": 0,
            "handledTwice": 0,
        },
    }

    outcome = rehearsal.run(Scenario.model_validate(scenario))

    assert [check for check in outcome.checks if not check.held] == []
