"""Hooks for the checks to know: their names and stages as designed, settings of two keys or so."""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from shared.lifecycle import Stage


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)

    mode: Literal["enforce", "observe"] = "enforce"

    @property
    def longest_minutes(self) -> float | None:
        return None


class _Approval(_Settings):
    required_approvals: int = Field(1, ge=1, le=10)
    excluded_approvers: tuple[str, ...] = ()
    expires_after_minutes: int = Field(1380, ge=1, le=1439)
    on_expiry: Literal["refuse", "proceed"] = "refuse"


class _LoadTest(_Settings):
    seconds: float = 300

    @property
    def longest_minutes(self) -> float:
        return self.seconds / 60


@dataclass
class StandIn:
    """What the checks read of a hook's entry point."""

    name: str
    stages: frozenset[Stage]
    settings: type[_Settings]


KNOWN = {
    hook.name: hook
    for hook in (
        StandIn("image_trust", frozenset({Stage.PRE_SCALE_UP, Stage.POST_SCALE_UP}), _Settings),
        StandIn(
            "manual_approval",
            frozenset({Stage.POST_TEST_TRAFFIC_SHIFT, Stage.PRE_PRODUCTION_TRAFFIC_SHIFT}),
            _Approval,
        ),
        StandIn(
            "canary_comparison",
            frozenset({Stage.PRE_PRODUCTION_TRAFFIC_SHIFT, Stage.PRODUCTION_TRAFFIC_SHIFT}),
            _Settings,
        ),
        StandIn("load_test", frozenset({Stage.POST_TEST_TRAFFIC_SHIFT}), _LoadTest),
    )
}
