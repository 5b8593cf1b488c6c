"""The deployments that a probe makes, each for what it shows of ECS.

A script is what the recording hooks answer during one deployment: by hook, stage and direction, how often
IN_PROGRESS and then what. Whatever a script does not mention is answered SUCCEEDED at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from shared.lifecycle import Stage

Service = Literal["alb", "alb-canary", "nlb", "service-connect", "headless"]
Hook = Literal["first", "second", "throttled"]

CONTAINER = "app"
CANARY_PERCENT = 10
CANARY_BAKE_MINUTES = 5

# What the hook `first` is configured with; `second` is configured with nothing at all.
CONFIGURED = {"configured": True, "nested": {"configured": True}}

HOOK_TIMEOUT_MINUTES = 60
"""No poll of the plan lasts as long; a recorder that is not what it should be ends with this."""

_SHIFTS = (Stage.TEST_TRAFFIC_SHIFT, Stage.PRODUCTION_TRAFFIC_SHIFT)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a hook says at one stage."""

    polls: int = 0
    """How often IN_PROGRESS first."""
    delay: int = 15
    """``callBackDelay`` in seconds."""
    then: Literal["SUCCEEDED", "FAILED", "RAISE"] = "SUCCEEDED"

    @property
    def holds_seconds(self) -> int:
        return self.polls * self.delay


Answers = Mapping[Stage, Answer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One deployment."""

    name: str
    service: Service
    why: str
    """Which doubt it is for, for whoever reads the plan."""
    settles: tuple[str, ...]
    """Switches, by name."""
    first: Answers = field(default_factory=dict)
    second: Answers = field(default_factory=dict)
    back: Answers = field(default_factory=dict)
    """What the hook ``first`` answers at shift stages when ECS turns back."""
    throttled_at: Stage | None = None
    """Where a third hook is attached that Lambda refuses to run."""
    during: tuple[str, Stage] | None = None
    """Start as soon as the deployment of this name has called at this stage, and so supersede it."""

    @property
    def script(self) -> dict[str, Any]:
        """Write it as the recorder reads it."""
        first = {stage.value: _spelled(answer) for stage, answer in self.first.items()}
        first |= {f"{stage.value} back": _spelled(answer) for stage, answer in self.back.items()}
        second = {stage.value: _spelled(answer) for stage, answer in self.second.items()}
        return {"name": self.name, "replies": {"first": first, "second": second}}

    @property
    def hooks(self) -> dict[Hook, tuple[Stage, ...]]:
        """By hook: the stages it is attached at."""
        attached: dict[Hook, tuple[Stage, ...]] = {"first": tuple(Stage), "second": tuple(Stage)}
        if self.throttled_at:
            attached["throttled"] = (self.throttled_at,)
        return attached


def _spelled(answer: Answer) -> dict[str, Any]:
    return {"polls": answer.polls, "delay": answer.delay, "then": answer.then}


PLAN: tuple[Step, ...] = (
    Step(
        name="polled",
        service="alb",
        why="asked twice more at POST_SCALE_UP, and let pass everywhere else",
        settles=(
            "execution_id",
            "hook_details_scope",
            "merge",
            "hook_details_absent_form",
            "weights_type",
            "map_order",
            "pre_production_reported_as",
            "digests_at_pre_scale_up",
            "recorded_digest",
            "duplicate_delivery",
        ),
        first={Stage.POST_SCALE_UP: Answer(2)},
    ),
    Step(
        name="turned-back",
        service="alb",
        why="asked again at both shift stages, turned back after the last of them, asked again on the way",
        settles=("rollback_order", "hook_details_on_rollback"),
        first={
            **dict.fromkeys(_SHIFTS, Answer(1)),
            Stage.POST_PRODUCTION_TRAFFIC_SHIFT: Answer(then="FAILED"),
        },
        back=dict.fromkeys(_SHIFTS, Answer(2)),
    ),
    Step(
        name="refused-early",
        service="alb",
        why="refused at PRE_SCALE_UP, before anything has shifted",
        settles=("rollback_before_shift",),
        first={Stage.PRE_SCALE_UP: Answer(then="FAILED")},
    ),
    Step(
        name="superseded",
        service="alb",
        why="held at PRODUCTION_TRAFFIC_SHIFT until a newer deployment replaces it",
        settles=("superseded",),
        first={Stage.PRODUCTION_TRAFFIC_SHIFT: Answer(40)},
    ),
    Step(
        name="superseding",
        service="alb",
        why="the newer deployment",
        settles=("superseded",),
        during=("superseded", Stage.PRODUCTION_TRAFFIC_SHIFT),
    ),
    Step(
        name="canary",
        service="alb-canary",
        why="two steps, each held for four minutes before a bake of five",
        settles=("bake_and_hook", "shift_and_hook", "hook_details_scope"),
        first={Stage.PRODUCTION_TRAFFIC_SHIFT: Answer(8, delay=30)},
    ),
    Step(
        name="network",
        service="nlb",
        why="held for two minutes at each shift, which a network load balancer prolongs by ten",
        settles=("nlb_delay",),
        first=dict.fromkeys(_SHIFTS, Answer(4, delay=30)),
    ),
    Step(
        name="connected",
        service="service-connect",
        why="let pass; Service Connect adds a container to each task",
        settles=("injected_containers",),
    ),
    Step(
        name="sibling",
        service="service-connect",
        why="one hook refuses at POST_SCALE_UP while another still wants to be asked",
        settles=("siblings_of_a_refusal", "rollback_before_shift"),
        first={Stage.POST_SCALE_UP: Answer(1, delay=20, then="FAILED")},
        second={Stage.POST_SCALE_UP: Answer(6)},
    ),
    Step(
        name="headless",
        service="headless",
        why="let pass, without anything that traffic could come through",
        settles=("headless_weights",),
    ),
    Step(
        name="raised",
        service="headless",
        why="a function error at PRE_SCALE_UP",
        settles=("lambda_error_retry",),
        first={Stage.PRE_SCALE_UP: Answer(then="RAISE")},
    ),
    Step(
        name="throttled",
        service="headless",
        why="a hook at PRE_SCALE_UP that Lambda refuses to run",
        settles=("lambda_error_retry",),
        throttled_at=Stage.PRE_SCALE_UP,
    ),
)
