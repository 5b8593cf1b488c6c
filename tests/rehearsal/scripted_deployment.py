"""A deployment on the stage machine alone: hooks that answer from a script, and no AWS.

::

    run = ScriptedDeployment(scripted("check", Answers(FAILED), Stage.PRE_SCALE_UP)).run()
    run.statuses["PENDING", "IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "ROLLBACK_SUCCESSFUL"]
    run.calls[("PRE_SCALE_UP", None, False, {}, {})]
"""

import random
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any, Literal, Self

import simpy

from rehearsal.machine import Exposure, Plan, StageMachine
from rehearsal.model import LifecycleHook, RevisionSummary, ServiceDeployment
from rehearsal.outcome import Happening, HookCalled, StageEntered, StatusChanged, WeightsChanged
from rehearsal.polling import Invocation, Target
from rehearsal.strategy import Strategy
from rehearsal.switches import Switches
from rehearsal.timing import VirtualEnvironment
from shared.lifecycle import ServiceArn, ServiceDeploymentArn, ServiceRevisionArn, Stage

SERVICE = ServiceArn("aws", "us-east-1", "123456789012", "shop", "checkout")
GREEN, BLUE, LEFT = (
    ServiceRevisionArn("aws", "us-east-1", "123456789012", "shop", "checkout", identifier)
    for identifier in ("9313423515462893900", "1920498462936580504", "7777777777777777777")
)
COLOURS = {str(GREEN): "green", str(BLUE): "blue", str(LEFT): "left"}

SUCCEEDED = {"hookStatus": "SUCCEEDED"}
FAILED = {"hookStatus": "FAILED"}
IN_PROGRESS = {"hookStatus": "IN_PROGRESS"}

EVERY_STAGE = tuple(Stage)


class Answers:
    """A function that answers call by call, its last answer for ever, and keeps the events it saw."""

    def __init__(self, *replies: Any) -> None:
        self.replies = replies or (SUCCEEDED,)
        self.events: list[dict[str, Any]] = []

    def __call__(self, event: dict[str, Any]) -> Invocation:
        self.events.append(event)
        reply = self.replies[min(len(self.events), len(self.replies)) - 1]
        return reply if isinstance(reply, Invocation) else Invocation(reply=reply)

    @property
    def details(self) -> list[Any]:
        """The hookDetails of every call."""
        return [event.get("hookDetails", "missing") for event in self.events]


class By:
    """A function whose answer follows from the event."""

    def __init__(self, reply: Callable[[dict[str, Any]], Any]) -> None:
        self._reply = reply

    def __call__(self, event: dict[str, Any]) -> Invocation:
        reply = self._reply(event)
        return reply if isinstance(reply, Invocation) else Invocation(reply=reply)


def is_rollback(event: dict[str, Any]) -> bool:
    """Tell a rollback call as a hook would: at a shift stage, green goes to 0."""
    field = {
        "TEST_TRAFFIC_SHIFT": "testTrafficWeights",
        "PRODUCTION_TRAFFIC_SHIFT": "productionTrafficWeights",
    }
    where = field.get(event["lifecycleStage"])
    return where is not None and event["executionDetails"][where].get(str(GREEN)) == 0


def scripted(
    name: str,
    target: Target,
    *stages: Stage,
    details: Any = None,
    timeout_minutes: int = 1440,
    timeout_action: Literal["ROLLBACK", "CONTINUE"] = "ROLLBACK",
) -> tuple[LifecycleHook, Target]:
    """Attach a function at *stages*, or at every one."""
    hook = LifecycleHook(
        name=name,
        stages=stages or EVERY_STAGE,
        target_arn=f"arn:aws:lambda:us-east-1:123456789012:function:{name}",
        details=details,
        timeout_minutes=timeout_minutes,
        timeout_action=timeout_action,
    )
    return hook, target


def pause(
    *stages: Stage, timeout_minutes: int = 60, timeout_action: Literal["ROLLBACK", "CONTINUE"] = "ROLLBACK"
) -> tuple[LifecycleHook, Target]:
    """Attach a PAUSE hook."""
    hook = LifecycleHook(
        name="pause",
        stages=stages,
        target_type="PAUSE",
        timeout_minutes=timeout_minutes,
        timeout_action=timeout_action,
    )
    return hook, Answers()


def canary(percent: float, bake: int = 10) -> Strategy:
    return Strategy.model_validate(
        {"type": "CANARY", "canaryPercent": percent, "canaryBakeTimeInMinutes": bake}
    )


def linear(percent: float, bake: int = 6) -> Strategy:
    return Strategy.model_validate({"type": "LINEAR", "stepPercent": percent, "stepBakeTimeInMinutes": bake})


def blue_green() -> Strategy:
    return Strategy()


def rolling() -> Strategy:
    return Strategy.model_validate({"type": "ROLLING"})


class _Environment(VirtualEnvironment):
    """Remembers every process, to see whether one outlives the deployment."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[simpy.Process] = []

    def process(self, generator: Any) -> simpy.Process:
        process = simpy.Process(self, generator)
        self.started.append(process)
        return process


class ScriptedDeployment:
    """One deployment, and what was seen of it."""

    def __init__(
        self,
        *hooks: tuple[LifecycleHook, Target],
        strategy: Strategy | None = None,
        exposure: Exposure = "alb",
        switches: dict[str, str] | None = None,
        sources: Sequence[RevisionSummary] | None = None,
        leftovers: bool = False,
        scale_up_fails: bool = False,
        alarms: Iterable[str] = (),
        seed: int = 0,
    ) -> None:
        self.env = _Environment()
        self.happenings: list[Happening] = []
        rolling = strategy is not None and strategy.type == "ROLLING"
        if sources is None:
            sources = [serving(BLUE, None if rolling else 100.0)]
        self.deployment = ServiceDeployment(
            arn=ServiceDeploymentArn(
                "aws", "us-east-1", "123456789012", "shop", "checkout", "EZe5RNVLH6PPzHXINuP28"
            ),
            service=SERVICE,
            configuration={},
            sources=list(sources),
            target=serving(GREEN, None if rolling else 0.0),
            created_at=self.env.epoch,
            alarms={"status": "MONITORING", "alarmNames": list(alarms), "triggeredAlarmNames": []}
            if alarms
            else None,
        )
        self.machine = StageMachine(
            self.env,
            Plan(
                deployment=self.deployment,
                strategy=strategy or Strategy(),
                hooks=[hook for hook, _ in hooks],
                exposure=exposure,
                leftovers=leftovers,
                scale_up_fails=scale_up_fails,
            ),
            targets={hook.name: target for hook, target in hooks},
            switches=Switches.model_validate(switches or {}),
            rng=random.Random(seed),
            saw=self.happenings.append,
        )

    def at(self, seconds: float, act: Callable[[StageMachine], object]) -> Self:
        """Do something to the machine at a time, if it gets that far."""

        def later() -> Any:
            yield self.env.timeout(seconds)
            if self.machine.process.is_alive:
                act(self.machine)

        self.env.process(later())
        return self

    def run(self) -> Self:
        """Run to the end of the deployment."""
        self.env.run(until=self.machine.ended)
        return self

    @property
    def minutes(self) -> float:
        return timedelta(seconds=self.env.now) / timedelta(minutes=1)

    @property
    def statuses(self) -> list[str]:
        return [seen.status for seen in self.happenings if isinstance(seen, StatusChanged)]

    @property
    def end(self) -> tuple[str, str | None]:
        return self.deployment.status.value, self.deployment.status_reason

    @property
    def stages(self) -> list[tuple[str, float | None]]:
        """Stages entered on the way forward, with their steps."""
        return [
            (seen.stage, seen.step)
            for seen in self.happenings
            if isinstance(seen, StageEntered) and not seen.rollback
        ]

    @property
    def moves(self) -> list[tuple[str, float, float]]:
        """Traffic: test or production, green, blue; first as it was at the start, then every move."""
        return [
            (seen.route, seen.green, seen.blue)
            for seen in self.happenings
            if isinstance(seen, WeightsChanged)
        ]

    @property
    def hook_calls(self) -> list[HookCalled]:
        return [seen for seen in self.happenings if isinstance(seen, HookCalled)]

    @property
    def calls(self) -> list[tuple[str, float | None, bool, dict[str, float], dict[str, float]]]:
        """Calls: stage, step, rollback, and the event's test and production weights by colour."""
        return [
            (
                call.stage,
                call.step,
                call.rollback,
                colours(call.event["executionDetails"]["testTrafficWeights"]),
                colours(call.event["executionDetails"]["productionTrafficWeights"]),
            )
            for call in self.hook_calls
        ]

    @property
    def directions(self) -> list[tuple[str, bool]]:
        """Calls: stage, and whether it was called back."""
        return [(call.stage, call.rollback) for call in self.hook_calls]

    @property
    def times(self) -> list[tuple[str, float]]:
        """Calls: hook, and seconds since the first call of all."""
        first = self.hook_calls[0].at
        return [(call.hook, call.at - first) for call in self.hook_calls]


def serving(arn: ServiceRevisionArn, weight: float | None) -> RevisionSummary:
    """Make the summary of a revision with two tasks and this share of the traffic."""
    return RevisionSummary(
        arn=arn, requested_task_count=2, running_task_count=2, test_weight=weight, production_weight=weight
    )


def colours(weights: dict[str, float]) -> dict[str, float]:
    """Read a map of weights by colour, in its order."""
    return {COLOURS[arn]: weight for arn, weight in weights.items()}
