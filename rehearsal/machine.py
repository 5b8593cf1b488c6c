"""The stage machine: how Amazon ECS takes a service deployment from PENDING to its end.

::

    BLUE_GREEN  [RECONCILE] PRE_SCALE_UP scale_up POST_SCALE_UP TEST POST_TEST
                PRE_PRODUCTION PRODUCTION(100) POST_PRODUCTION bake clean_up
    CANARY      ... (PRE_PRODUCTION PRODUCTION(p) bake) (PRE_PRODUCTION PRODUCTION(100)) ...
    LINEAR      ... for each step: PRE_PRODUCTION PRODUCTION(w), bake between steps ...
    ROLLING     PRE_SCALE_UP scale_up; nothing more is known, and no lifecycle stage is reported

    on the way, at any time: a hook that fails, an alarm, StopServiceDeployment, the circuit breaker
        ─▶ ROLLBACK_IN_PROGRESS: PRODUCTION {green: 0}, TEST {green: 0} ─▶ ROLLBACK_SUCCESSFUL
                                                                       └▶ ROLLBACK_FAILED
    a newer deployment ─▶ STOP_REQUESTED ─▶ STOPPED

What AWS does not document is a switch (``rehearsal.switches``).

Sources: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/blue-green-deployment-how-it-works.html,
deployment-type-linear.html, canary-deployment.html, service-deployment.html
"""

import contextlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import simpy

from rehearsal import reasons
from rehearsal.model import (
    HookRun,
    LifecycleHook,
    RevisionSummary,
    Rollback,
    ServiceDeployment,
    Status,
)
from rehearsal.outcome import Happening, StageEntered, StatusChanged, WeightsChanged
from rehearsal.polling import Poller, Target, Verdict
from rehearsal.strategy import Strategy
from rehearsal.switches import Switches
from rehearsal.timing import AnyEvent, Environment, Process
from shared.lifecycle import Stage

Exposure = Literal["alb", "nlb", "service-connect", "alb+service-connect", "headless"]

# A network load balancer takes ten minutes at each traffic shift.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/nlb-resources-for-blue-green.html
NLB_SHIFT_SECONDS = 600.0

# Durations AWS does not state; they only space things out.
START_SECONDS = 1.0
SHIFT_SECONDS = 5.0
CLEAN_UP_SECONDS = 60.0
STOP_SECONDS = 5.0

# From the other states a deployment is on its way to an end already.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stop-service-deployment.html
_STOPPABLE = {Status.PENDING, Status.IN_PROGRESS}


@dataclass(frozen=True, slots=True)
class TurnBack:
    """Why a deployment is interrupted, and how it is to end."""

    reason: str
    superseded: bool = False
    abort: bool = False


class _Failed(Exception):
    """The walk forward can't go on; the text is the ``statusReason``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One deployment to carry out."""

    deployment: ServiceDeployment
    strategy: Strategy
    hooks: Sequence[LifecycleHook]
    exposure: Exposure
    scale_up_seconds: float = 60.0
    clean_up_seconds: float = CLEAN_UP_SECONDS
    scale_up_fails: bool = False
    """Green never becomes healthy, and the circuit breaker trips."""
    leftovers: bool = False
    """More than one revision was active at the start, so RECONCILE_SERVICE comes first."""
    resolve: Callable[[ServiceDeployment], None] = lambda _: None
    """Called when green's tasks start: tags become digests, target groups are assigned."""
    scaled: Callable[[RevisionSummary], None] = lambda _: None
    """Called when the task counts of a revision have changed."""


class StageMachine:
    """Carries out one deployment as a simpy process."""

    def __init__(
        self,
        env: Environment,
        plan: Plan,
        *,
        targets: Mapping[str, Target],
        switches: Switches,
        rng: random.Random,
        saw: Callable[[Happening], None],
    ) -> None:
        self.env = env
        self.plan = plan
        self.deployment = plan.deployment
        self.switches = switches
        self.saw = saw
        # Of several revisions that earlier deployments left, the one with the traffic.
        self.blue = max(
            plan.deployment.sources, key=lambda source: source.production_weight or 0.0, default=None
        )
        self.poller = Poller(
            env=env,
            deployment=plan.deployment,
            blue=self.blue,
            switches=switches,
            rng=rng,
            targets=targets,
            headless=plan.exposure == "headless",
            saw=saw,
        )
        self._shifted = False
        self._rolling_back = False
        self._stopping: TurnBack | None = None
        """Set once it is certain that the deployment ends STOPPED, whatever its hooks still say."""
        self._children: list[simpy.Process] = []
        self.ended = env.event()
        self.process = env.process(self._run())

    def turn_back(self, cause: TurnBack) -> bool:
        """Interrupt the walk forward; tell whether there was still something to interrupt."""
        if not self.process.is_alive or self._rolling_back or self._stopping not in {None, cause}:
            return False
        self._rolling_back = True
        self.process.interrupt(cause)
        return True

    def request_stop(self, stop_type: str) -> None:
        """Do what StopServiceDeployment asks; hooks may still be polled until it takes effect."""
        if self.deployment.status not in _STOPPABLE:
            return
        if stop_type == "ABORT":
            self._request_end(TurnBack(reasons.ABORTED_BY_USER, abort=True))
        else:
            self._status(Status.ROLLBACK_REQUESTED)
            self.env.process(self._later(STOP_SECONDS, TurnBack(reasons.STOPPED_BY_USER)))

    def supersede(self) -> simpy.Process:
        """End this deployment because a newer one starts; the process returned ends when it has ended."""
        return self._request_end(TurnBack(reasons.SUPERSEDED, superseded=True))

    def sound_alarm(self, names: str) -> bool:
        """Let CloudWatch alarms of this deployment go off; tell whether it was still listening."""
        alarms = self.deployment.alarms
        # What goes off before the deployment has started is ignored for all of it.
        if not alarms or alarms["status"] != "MONITORING" or self.deployment.status is Status.PENDING:
            return False
        triggered = [name for name in names.split(", ") if name in alarms["alarmNames"]]
        if not triggered:
            return False
        alarms.update(status="TRIGGERED", triggeredAlarmNames=triggered)
        return self.turn_back(TurnBack(reasons.alarm(", ".join(triggered))))

    def continue_hook(self, run: HookRun, action: str) -> None:
        """Pass the answer to a PAUSE hook on."""
        self.poller.answer(run, action)

    def _request_end(self, cause: TurnBack) -> simpy.Process:
        # A deployment that is already rolling back, or was asked to, does so to its end.
        if self.deployment.status in _STOPPABLE:
            self._stopping = cause
            self._status(Status.STOP_REQUESTED)
        return self.env.process(self._later(STOP_SECONDS, cause))

    def _later(self, delay: float, cause: TurnBack) -> Process:
        yield self.env.timeout(delay)
        self.turn_back(cause)
        if self.process.is_alive:
            yield self.process

    def _run(self) -> Process:
        try:
            yield from self._forward()
            self._rolling_back = True
            # From STOP_REQUESTED there is one way only.
            if self._stopping:
                yield from self._stop(self._stopping)
            else:
                self._end(Status.SUCCESSFUL, None)
        except _Failed as failure:
            self._rolling_back = True
            if self._stopping:
                yield from self._stop(self._stopping)
            else:
                yield from self._backward(str(failure))
        except simpy.Interrupt as interruption:
            cause = interruption.cause
            assert isinstance(cause, TurnBack)
            self._abandon_hooks()
            if cause.superseded or cause.abort:
                yield from self._stop(cause)
            else:
                yield from self._backward(cause.reason)
        self.ended.succeed(self.deployment.status)

    def _forward(self) -> Process:
        deployment, rolling = self.deployment, self.plan.strategy.type == "ROLLING"
        self._status(Status.PENDING)
        if not rolling:
            blue = 100.0 if self.blue else 0.0
            self.saw(
                WeightsChanged(
                    at=self.env.now, deployment=deployment.arn.id, route="production", green=0.0, blue=blue
                )
            )
        yield self.env.timeout(START_SECONDS)
        deployment.started_at = self._time()
        # A request to stop may have come while the deployment was still pending.
        if deployment.status is Status.PENDING:
            self._status(Status.IN_PROGRESS)
        if self.plan.leftovers and not rolling:
            yield from self._hooks(Stage.RECONCILE_SERVICE)
        yield from self._hooks(Stage.PRE_SCALE_UP)
        yield from self._scale_up()
        if rolling:
            yield self.env.timeout(CLEAN_UP_SECONDS)
            return
        yield from self._hooks(Stage.POST_SCALE_UP)
        yield from self._shift(Stage.TEST_TRAFFIC_SHIFT, None)
        yield from self._hooks(Stage.POST_TEST_TRAFFIC_SHIFT)
        for step in self.plan.strategy.steps:
            yield from self._hooks(Stage.PRE_PRODUCTION_TRAFFIC_SHIFT, step)
            yield from self._shift(Stage.PRODUCTION_TRAFFIC_SHIFT, step)
        yield from self._hooks(Stage.POST_PRODUCTION_TRAFFIC_SHIFT)
        self._enter("BAKE_TIME")
        yield self.env.timeout(self.plan.strategy.bake_seconds)
        if deployment.alarms:
            deployment.alarms["status"] = "MONITORING_COMPLETE"
        self._enter("CLEAN_UP")
        for source in deployment.sources:
            self._scale_in(source)
        yield self.env.timeout(self.plan.clean_up_seconds)

    def _scale_up(self) -> Process:
        self._enter("SCALE_UP")
        target = self.deployment.target
        target.pending_task_count = target.requested_task_count
        self.plan.scaled(target)
        yield self.env.timeout(self.plan.scale_up_seconds)
        if self.plan.scale_up_fails:
            raise _Failed(reasons.CIRCUIT_BREAKER)
        target.running_task_count, target.pending_task_count = target.requested_task_count, 0
        self.plan.scaled(target)
        self.plan.resolve(self.deployment)

    def _scale_in(self, revision: RevisionSummary) -> None:
        revision.requested_task_count = revision.running_task_count = revision.pending_task_count = 0
        self.plan.scaled(revision)

    def _shift(self, stage: Stage, step: float | None) -> Process:
        """Move traffic, run the stage's hooks, and bake, in the order the switches give."""
        last = step is None or step >= 100
        bake = 0.0 if last else self.plan.strategy.step_bake_seconds
        nlb = NLB_SHIFT_SECONDS if self.plan.exposure == "nlb" else 0.0
        self._enter(stage, step)
        if self.switches.nlb_delay == "before-hook":
            yield self.env.timeout(nlb)
        if self.switches.shift_and_hook == "shift-first":
            yield from self._move(stage, step)
        started = self.env.now
        yield from self._call_hooks(stage, step)
        if self.switches.shift_and_hook == "hook-first":
            yield from self._move(stage, step)
            started = self.env.now
        if self.switches.nlb_delay == "after-hook":
            yield self.env.timeout(nlb)
        if bake:
            spent = self.env.now - started if self.switches.bake_and_hook == "overlapping" else 0.0
            self._enter("BAKE_TIME", step)
            yield self.env.timeout(max(bake - spent, 0.0))

    def _move(self, stage: Stage, step: float | None) -> Process:
        green = 100.0 if step is None else step
        self._shifted = True
        yield self.env.timeout(SHIFT_SECONDS)
        self._weights(_route(stage), green)

    def _hooks(self, stage: Stage, step: float | None = None) -> Process:
        self._enter(stage, step)
        yield from self._call_hooks(stage, step)

    def _call_hooks(self, stage: Stage, step: float | None, *, rollback: bool = False) -> Process:
        """Run the hooks of a stage side by side; raises when one of them ends the deployment."""
        self._children = [
            self.env.process(self.poller.run(hook, stage, step, rollback=rollback))
            for hook in self.plan.hooks
            if stage in hook.stages
        ]
        if not self._children:
            return
        if self.switches.siblings_of_a_refusal == "polled-on":
            yield self.env.all_of(self._children)
        else:
            yield self._first_failure_or_all(self._children)
        for child in self._children:
            if child.triggered and isinstance(child.value, Verdict) and child.value.problem:
                self._abandon_hooks()
                raise _Failed(child.value.problem)

    def _first_failure_or_all(self, children: Sequence[simpy.Process]) -> AnyEvent:
        def enough(_events: object, count: int) -> bool:
            ended = [child.value for child in children if child.processed]
            failed = any(isinstance(verdict, Verdict) and verdict.problem for verdict in ended)
            return failed or count == len(children)

        return simpy.events.Condition(self.env, enough, list(children))

    def _backward(self, reason: str) -> Process:
        deployment = self.deployment
        self._abandon_hooks()
        if deployment.alarms and deployment.alarms["status"] == "MONITORING":
            deployment.alarms["status"] = "MONITORING_COMPLETE"
        deployment.rollback = Rollback(
            reason=reason, started_at=self._time(), service_revision_arn=self.blue.arn if self.blue else None
        )
        self._status(Status.ROLLBACK_IN_PROGRESS, reason)
        if self.blue is None:
            self._end(Status.ROLLBACK_FAILED, reasons.NO_CANDIDATE)
            return
        try:
            yield from self._undo()
        except _Failed:
            self._end(Status.ROLLBACK_FAILED, reasons.ROLLBACK_HOOK_FAILED)
            return
        yield self.env.timeout(SHIFT_SECONDS)
        self._scale_in(deployment.target)
        self._end(Status.ROLLBACK_SUCCESSFUL, reason)

    def _undo(self) -> Process:
        stages = [Stage.PRODUCTION_TRAFFIC_SHIFT, Stage.TEST_TRAFFIC_SHIFT]
        if self.switches.rollback_order == "test-then-production":
            stages.reverse()
        if self.plan.strategy.type == "ROLLING":
            return
        calls = self._shifted or self.switches.rollback_before_shift == "fires-shift-hooks"
        for stage in stages:
            route = _route(stage)
            self._enter(stage, None, rollback=True)
            if self.switches.shift_and_hook == "shift-first":
                self._weights(route, 0.0)
            if calls:
                yield from self._call_hooks(stage, None, rollback=True)
            self._weights(route, 0.0)

    def _stop(self, cause: TurnBack) -> Process:
        """End without rolling back: superseded by a newer deployment, or aborted."""
        if cause.superseded and self.switches.superseded == "shift-hooks-called" and self.deployment.sources:
            with contextlib.suppress(_Failed):  # the deployment is being stopped in any case
                yield from self._undo()
        yield self.env.timeout(0)
        self.deployment.stopped_at = self._time()
        self._end(Status.STOPPED, cause.reason)

    def _abandon_hooks(self) -> None:
        for child in self._children:
            if child.is_alive and child is not self.env.active_process:
                child.interrupt("abandoned")
        self._children = []

    def _enter(self, stage: str, step: float | None = None, *, rollback: bool = False) -> None:
        self.deployment.lifecycle_stage = None if self.plan.strategy.type == "ROLLING" else str(stage)
        self.deployment.updated_at = self._time()
        self.saw(
            StageEntered(
                at=self.env.now,
                deployment=self.deployment.arn.id,
                stage=str(stage),
                step=step,
                rollback=rollback,
            )
        )

    def _weights(self, route: Literal["test", "production"], green: float) -> None:
        deployment = self.deployment
        if green == (
            deployment.target.test_weight if route == "test" else deployment.target.production_weight
        ):
            return
        blue = round(100 - green, 1) if self.blue else 0.0
        for summary in (*deployment.sources, deployment.target):
            weight = green if summary is deployment.target else blue if summary is self.blue else 0.0
            if route == "test":
                summary.test_weight = weight
            else:
                summary.production_weight = weight
        self.saw(
            WeightsChanged(at=self.env.now, deployment=deployment.arn.id, route=route, green=green, blue=blue)
        )

    def _status(self, status: Status, reason: str | None = None) -> None:
        self.deployment.status = status
        self.deployment.status_reason = reason
        self.deployment.updated_at = self._time()
        self.saw(
            StatusChanged(at=self.env.now, deployment=self.deployment.arn.id, status=status, reason=reason)
        )

    def _end(self, status: Status, reason: str | None) -> None:
        deployment = self.deployment
        deployment.finished_at = self._time()
        if deployment.alarms and deployment.alarms["status"] == "MONITORING":
            deployment.alarms["status"] = "MONITORING_COMPLETE"
        self._status(status, reason)

    def _time(self) -> datetime:
        return self.env.epoch + timedelta(seconds=self.env.now)


def _route(stage: Stage) -> Literal["test", "production"]:
    return "test" if stage is Stage.TEST_TRAFFIC_SHIFT else "production"
