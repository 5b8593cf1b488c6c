"""Steps and bakes of the four strategies, and the limits of CloudFormation's schema."""

from decimal import Decimal
from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rehearsal.strategy import Strategy


@pytest.mark.parametrize(
    ("settings", "steps", "step_bake", "bake"),
    [
        ({}, (100,), 0, 900),
        ({"type": "BLUE_GREEN", "bakeTimeInMinutes": 0}, (100,), 0, 0),
        ({"type": "ROLLING", "bakeTimeInMinutes": 30}, (100,), 0, 0),
        ({"type": "CANARY"}, (5, 100), 600, 900),
        ({"type": "CANARY", "canaryPercent": 0.1, "canaryBakeTimeInMinutes": 1440}, (0.1, 100), 86_400, 900),
        ({"type": "CANARY", "canaryPercent": 99.9, "canaryBakeTimeInMinutes": 0}, (99.9, 100), 0, 900),
        ({"type": "CANARY", "canaryPercent": 100}, (100,), 600, 900),
        ({"type": "LINEAR"}, (10, 20, 30, 40, 50, 60, 70, 80, 90, 100), 360, 900),
        ({"type": "LINEAR", "stepPercent": 30}, (30, 60, 90, 100), 360, 900),
        ({"type": "LINEAR", "stepPercent": 33.3}, (33.3, 66.6, 99.9, 100), 360, 900),
        (
            {"type": "LINEAR", "stepPercent": 25, "stepBakeTimeInMinutes": 1440},
            (25, 50, 75, 100),
            86_400,
            900,
        ),
        ({"type": "LINEAR", "stepPercent": 50.1}, (50.1, 100), 360, 900),
        ({"type": "LINEAR", "stepPercent": 100}, (100,), 360, 900),
    ],
    ids=str,
)
def test_steps_and_bakes(
    settings: dict[str, Any], steps: tuple[float, ...], step_bake: float, bake: float
) -> None:
    strategy = Strategy.model_validate(settings)

    assert (strategy.steps, strategy.step_bake_seconds, strategy.bake_seconds) == (steps, step_bake, bake)


@given(tenths=st.integers(30, 1000))
def test_a_linear_deployment_has_as_many_steps_as_cloudformation_counts(tenths: int) -> None:
    percent = tenths / 10
    steps = Strategy.model_validate({"type": "LINEAR", "stepPercent": percent}).steps

    assert len(steps) == ceil(Decimal(1000) / tenths)
    assert steps[-1] == 100
    assert list(steps) == sorted(set(steps))
    assert all(round(step, 1) == step for step in steps)
    assert steps[0] == percent


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"type": "CANARY", "canaryPercent": 0}, "greater than or equal to 0.1"),
        ({"type": "CANARY", "canaryPercent": 100.1}, "less than or equal to 100"),
        ({"type": "CANARY", "canaryPercent": 5.05}, "multiple of 0.1"),
        ({"type": "CANARY", "canaryPercent": float("nan")}, "less than or equal to 100"),
        ({"type": "CANARY", "canaryPercent": float("inf")}, "less than or equal to 100"),
        ({"type": "CANARY", "canaryBakeTimeInMinutes": 1441}, "less than or equal to 1440"),
        ({"type": "LINEAR", "stepPercent": 2.9}, "greater than or equal to 3"),
        ({"type": "LINEAR", "stepBakeTimeInMinutes": -1}, "greater than or equal to 0"),
        ({"type": "LINEAR", "stepBakeTimeInMinutes": 1.5}, "valid integer"),
        ({"type": "LINEAR", "canaryPercent": 5}, "canaryPercent belongs to CANARY, not to LINEAR"),
        ({"type": "CANARY", "stepPercent": 5}, "stepPercent belongs to LINEAR, not to CANARY"),
        ({"stepBakeTimeInMinutes": 5}, "stepBakeTimeInMinutes belongs to LINEAR, not to BLUE_GREEN"),
        ({"bakeTimeInMinutes": 1441}, "less than or equal to 1440"),
        ({"type": "CANARY", "canaryBakeTime": 5}, "Extra inputs are not permitted"),
        ({"type": "canary"}, "'BLUE_GREEN', 'CANARY', 'LINEAR' or 'ROLLING'"),
    ],
    ids=str,
)
def test_what_cloudformation_would_refuse_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Strategy.model_validate(settings)


@pytest.mark.parametrize(
    ("settings", "described"),
    [
        ({}, {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 15}),
        (
            {"type": "CANARY", "canaryPercent": 2.5},
            {
                "strategy": "CANARY",
                "bakeTimeInMinutes": 15,
                "canaryConfiguration": {"canaryPercent": 2.5, "canaryBakeTimeInMinutes": 10},
            },
        ),
        (
            {"type": "LINEAR"},
            {
                "strategy": "LINEAR",
                "bakeTimeInMinutes": 15,
                "linearConfiguration": {"stepPercent": 10.0, "stepBakeTimeInMinutes": 6},
            },
        ),
    ],
    ids=str,
)
def test_a_strategy_is_described_as_the_api_does(settings: dict[str, Any], described: dict[str, Any]) -> None:
    assert Strategy.model_validate(settings).describe() == described
