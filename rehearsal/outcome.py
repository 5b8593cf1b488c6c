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


class Delivery(_Frozen):
    """One message in the hands of one task."""

    message: str
    revision: str
    """blue, green, or green-2 of the second deployment."""
    task: str
    received: float
    ended: float | None
    result: Literal["handled", "failed", "abandoned", "in hand"]
    """Abandoned: the task ended in the middle of it."""


class Span(_Frozen):
    """For how long a revision was at the queue: polling it, or with messages in hand."""

    revision: str
    start: float
    end: float


class RevisionConsumption(_Frozen):
    """What a revision did with messages; each delivery counts."""

    received: int
    handled: int
    failed: int
    abandoned: int


class Consumption(_Frozen):
    """What the tasks of a service did at its queue, until a minute after the deployment had ended."""

    queue: str
    receiving: list[str]
    """The revisions that may receive at the end."""
    sent: int
    handled: int
    """Messages; one that was handled twice counts once."""
    handled_twice: int
    waiting: int
    """Messages in the queue at the end, those in hand included."""
    dead_letters: int
    lost: list[str]
    """Messages that nobody has handled, and that are in no queue."""
    overlap_seconds: float
    """How long more than one revision was at the queue."""
    longest_gap_seconds: float
    """How long nobody was, since somebody first was."""
    revisions: dict[str, RevisionConsumption]
    spans: list[Span]
    deliveries: list[Delivery]

    @property
    def summary(self) -> str:
        """Say it in one line."""
        each = [f"{revision} handled {did.handled} messages" for revision, did in self.revisions.items()]
        return (
            f"{', '.join(each) or 'nobody handled any'}; of {self.sent} sent {self.waiting} wait, "
            f"{self.dead_letters} are dead letters, {len(self.lost)} are lost, {self.handled_twice} were "
            f"handled twice; longest gap {self.longest_gap_seconds:.0f} s, "
            f"overlap {self.overlap_seconds:.0f} s"
        )


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
    consumption: Consumption | None = None
    """Where the service takes messages off a queue."""

    @property
    def as_expected(self) -> bool:
        return all(check.held for check in self.checks)

    @property
    def calls(self) -> list[HookCalled]:
        return [happening for happening in self.happenings if isinstance(happening, HookCalled)]
