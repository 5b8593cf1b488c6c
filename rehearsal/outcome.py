"""What a rehearsal saw: the one document that timeline, JSON file and HTML page are made of.

Times are seconds of virtual time since the start of the scenario; ``Outcome.started_at`` says when
that was. Everything here is JSON-serialisable through pydantic (``model_dump_json``), and equal for
equal scenario, switches and seed.
"""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StageEntered(_Frozen):
    """The deployment came to a stage (hook stages, and SCALE_UP, BAKE_TIME, CLEAN_UP)."""

    kind: Literal["stage"] = "stage"
    at: float
    deployment: str
    """The deployment's id."""
    stage: str
    step: float | None = None
    """Percent that the step moves to, where the stage recurs."""
    rollback: bool = False


class HookCalled(_Frozen):
    """ECS invoked a hook, and this came back."""

    kind: Literal["call"] = "call"
    at: float
    deployment: str
    hook: str
    stage: str
    step: float | None = None
    rollback: bool = False
    attempt: int
    """1 for the first call of this hook at this stage and step."""
    event: dict[str, Any]
    reply: Any
    """As returned; ``None`` when the invocation raised or timed out."""
    error: str | None = None
    """Why there is no valid reply, in ECS's words."""
    answer: Literal["SUCCEEDED", "FAILED", "IN_PROGRESS", "INVALID"]
    callback_seconds: int | None = None
    record: dict[str, Any] | None = None
    """The decision record that the hook wrote, if it wrote one."""


class PauseChanged(_Frozen):
    """A PAUSE hook began to wait, or was answered."""

    kind: Literal["pause"] = "pause"
    at: float
    deployment: str
    hook_id: str
    stage: str
    step: float | None = None
    status: str


class WeightsChanged(_Frozen):
    """Traffic moved."""

    kind: Literal["weights"] = "weights"
    at: float
    deployment: str
    route: Literal["test", "production"]
    green: float
    """Percent."""
    blue: float


class StatusChanged(_Frozen):
    """The deployment's status changed."""

    kind: Literal["status"] = "status"
    at: float
    deployment: str
    status: str
    reason: str | None = None


class ActorSpoke(_Frozen):
    """Someone or something outside ECS and the hooks acted."""

    kind: Literal["actor"] = "actor"
    at: float
    actor: str
    text: str


Happening = StageEntered | HookCalled | PauseChanged | WeightsChanged | StatusChanged | ActorSpoke


class Check(_Frozen):
    """One line of a scenario's ``expect``, and whether it held."""

    text: str
    held: bool
    seen: str


class Outcome(_Frozen):
    """One scenario, run once."""

    scenario: str
    description: str = ""
    seed: int
    switches: dict[str, str]
    """Only those that differ from the defaults."""
    started_at: datetime
    duration_seconds: float
    """Virtual."""
    service: str
    strategy: str
    exposure: str
    happenings: list[Happening] = Field(default_factory=list)
    status: str
    """Of the scenario's (first) deployment at the end."""
    status_reason: str | None = None
    checks: list[Check] = Field(default_factory=list)

    @property
    def as_expected(self) -> bool:
        return all(check.held for check in self.checks)

    @property
    def calls(self) -> list[HookCalled]:
        return [happening for happening in self.happenings if isinstance(happening, HookCalled)]
