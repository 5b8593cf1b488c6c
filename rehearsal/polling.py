"""One hook at one stage: called, asked again, timed out, or paused, until it has an answer.

This is where ECS's side of the contract is: the event it sends, what it makes of replies, and
``hookDetails`` on their way through.

Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/lambda-lifecycle-hooks.html
"""

import copy
import json
import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

import simpy

from rehearsal import reasons
from rehearsal.model import HookRun, HookStatus, LifecycleHook, RevisionSummary, ServiceDeployment
from rehearsal.outcome import Happening, HookCalled, PauseChanged
from rehearsal.switches import Switches
from rehearsal.timing import Environment, Process
from shared.lifecycle import Stage

DEFAULT_CALLBACK_SECONDS = 30
STAGE_LIMIT_MINUTES = 1440
"""A stage may take 24 hours, whatever a Lambda hook's own time-out says."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """What came of calling a function."""

    reply: Any = None
    error: str | None = None
    """Why there is no reply: the function raised or timed out. ECS sees a missing hookStatus."""
    refused_by_lambda: str | None = None
    """Why Lambda did not run the function: no permission, throttled, 5xx."""
    role_not_assumed: bool = False
    """ECS could not assume the hook's role, and so called nobody."""
    record: dict[str, Any] | None = None
    """The decision record in the function's log."""


class Target(Protocol):
    """What a Lambda hook's ARN leads to."""

    def __call__(self, event: dict[str, Any], /) -> Invocation: ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a hook ended; ``problem`` is the ``statusReason`` if it makes the deployment roll back."""

    problem: str | None = None


@dataclass(slots=True, kw_only=True)
class Poller:
    """Calls the hooks of one deployment."""

    env: Environment
    deployment: ServiceDeployment
    blue: RevisionSummary | None
    switches: Switches
    rng: random.Random
    targets: Mapping[str, Target]
    """By hook name."""
    headless: bool
    saw: Callable[[Happening], None]
    runtime_details: dict[Any, Any] = field(default_factory=dict)
    """hookDetails as ECS keeps them between calls, by the scope the switch gives them."""
    _executions: dict[Any, str] = field(default_factory=dict)
    _answers: dict[str, simpy.Event] = field(default_factory=dict)

    def run(self, hook: LifecycleHook, stage: Stage, step: float | None, *, rollback: bool) -> Process:
        """Run one hook to its end (a simpy process whose value is a :class:`Verdict`)."""
        limit = (
            hook.timeout_minutes
            if hook.target_type == "PAUSE"
            else min(hook.timeout_minutes, STAGE_LIMIT_MINUTES)
        )
        deadline = self.env.now + 60 * limit
        kind = "pause" if hook.target_type == "PAUSE" else "lambda"
        run = HookRun(
            hook_id=f"ecs-{kind}-{self._identifier()}",
            hook=hook,
            stage=stage,
            status=HookStatus.AWAITING_ACTION if kind == "pause" else HookStatus.IN_PROGRESS,
            expires_at=self.env.epoch + timedelta(seconds=deadline),
        )
        self.deployment.hook_runs.append(run)
        try:
            if kind == "pause":
                verdict = yield from self._pause(run, stage, step, deadline)
            else:
                verdict = yield from self._poll(run, stage, step, deadline, rollback=rollback)
        except simpy.Interrupt:
            verdict = Verdict()  # the deployment has turned round; nobody waits for this answer
        finally:
            self.deployment.hook_runs.remove(run)
        return verdict

    def answer(self, run: HookRun, action: str) -> None:
        """Pass on what ContinueServiceDeployment said."""
        run.answer = "ROLLBACK" if action == "ROLLBACK" else "CONTINUE"
        waiting = self._answers.get(run.hook_id)
        if waiting is not None and not waiting.triggered:
            waiting.succeed()

    def _pause(self, run: HookRun, stage: Stage, step: float | None, deadline: float) -> Process:
        self._answers[run.hook_id] = answered = self.env.event()
        self._paused(run, step)
        yield answered | self.env.timeout(deadline - self.env.now)
        if run.answer is None:
            run.status = HookStatus.TIMED_OUT
            problem = None if run.hook.timeout_action == "CONTINUE" else reasons.pause_timed_out(stage)
        elif run.answer == "ROLLBACK":
            run.status, problem = HookStatus.FAILED, reasons.pause_rejected(stage)
        else:
            run.status, problem = HookStatus.SUCCEEDED, None
        self._paused(run, step)
        return Verdict(problem)

    def _paused(self, run: HookRun, step: float | None) -> None:
        self.saw(
            PauseChanged(
                at=self.env.now,
                deployment=self.deployment.arn.id,
                hook_id=run.hook_id,
                stage=run.stage,
                step=step,
                status=run.status,
            )
        )

    def _poll(
        self, run: HookRun, stage: Stage, step: float | None, deadline: float, *, rollback: bool
    ) -> Process:
        hook = run.hook
        target = hook.target_arn or hook.name
        attempt = 0
        while True:
            attempt += 1
            called = self._call(hook, stage, step, attempt, rollback=rollback)
            self.saw(called)
            if called.answer == "SUCCEEDED":
                run.status = HookStatus.SUCCEEDED
                return Verdict()
            if called.answer in {"FAILED", "INVALID"}:
                run.status = HookStatus.FAILED
                return Verdict(reasons.hook_failed(stage, called.error or reasons.returned_failed(target)))
            delay = called.callback_seconds or DEFAULT_CALLBACK_SECONDS
            left = deadline - self.env.now
            yield self.env.timeout(min(delay, left))
            if delay >= left:
                run.status = HookStatus.TIMED_OUT
                # CONTINUE is fail-open: the stage counts as passed.
                carries_on = hook.timeout_action == "CONTINUE"
                return Verdict(None if carries_on else reasons.hook_failed(stage, reasons.timed_out(target)))

    def _call(
        self, hook: LifecycleHook, stage: Stage, step: float | None, attempt: int, *, rollback: bool
    ) -> HookCalled:
        event = self._event(hook, stage, step, rollback=rollback)
        invocation = self._invoke(hook, event)
        if invocation.refused_by_lambda and self.switches.lambda_error_retry == "one-retry":
            invocation = self._invoke(hook, event)
        answer, error, delay = self._read(hook, invocation)
        if answer == "IN_PROGRESS":
            self._remember(hook, stage, step, invocation.reply.get("hookDetails"), rollback=rollback)
        return HookCalled(
            at=self.env.now,
            deployment=self.deployment.arn.id,
            hook=hook.name,
            stage=stage,
            step=step,
            rollback=rollback,
            attempt=attempt,
            event=event,
            reply=invocation.reply,
            error=error,
            answer=answer,
            callback_seconds=delay,
            record=invocation.record,
        )

    def _invoke(self, hook: LifecycleHook, event: dict[str, Any]) -> Invocation:
        # As over the wire: the function gets a copy, and so do we.
        replies = [self.targets[hook.name](copy.deepcopy(event))]
        if self.switches.duplicate_delivery == "on":
            replies.append(self.targets[hook.name](copy.deepcopy(event)))
        return self.rng.choice(replies)

    @staticmethod
    def _read(hook: LifecycleHook, invocation: Invocation) -> tuple[str, str | None, int | None]:
        """Return the answer, what is wrong with it, and the delay until the next call."""
        target = hook.target_arn or hook.name
        if invocation.role_not_assumed:
            return "INVALID", reasons.not_assumed(hook.role_arn or "of the hook"), None
        if invocation.refused_by_lambda:
            return "INVALID", reasons.not_invoked(target, invocation.refused_by_lambda), None
        reply = invocation.reply
        status = reply.get("hookStatus") if isinstance(reply, dict) else None
        if invocation.error or status is None:
            return "INVALID", reasons.no_status(target), None
        if status not in ("SUCCEEDED", "FAILED", "IN_PROGRESS"):
            return "INVALID", reasons.unknown_status(target, str(status)), None
        if status != "IN_PROGRESS":
            return str(status), None, None
        delay = reply.get("callBackDelay")
        # A wrong key or type is silently ignored, and the default applies.
        usable = isinstance(delay, int) and not isinstance(delay, bool) and delay > 0
        return "IN_PROGRESS", None, delay if usable else DEFAULT_CALLBACK_SECONDS

    def _event(
        self, hook: LifecycleHook, stage: Stage, step: float | None, *, rollback: bool
    ) -> dict[str, Any]:
        deployment = self.deployment
        test, production = self._weights(stage, step, rollback=rollback)
        event: dict[str, Any] = {
            "executionId": self._execution(hook, stage, step, rollback=rollback),
            "lifecycleStage": stage.value,
            "resourceArn": str(deployment.arn),
            "executionDetails": {
                "serviceArn": str(deployment.service),
                "targetServiceRevisionArn": str(deployment.target.arn),
                "testTrafficWeights": test,
                "productionTrafficWeights": production,
            },
        }
        details = self._details(hook, stage, step, rollback=rollback)
        if details is not None:
            event["hookDetails"] = copy.deepcopy(details)
        elif self.switches.hook_details_absent_form == "null":
            event["hookDetails"] = None
        return event

    def _weights(
        self, stage: Stage, step: float | None, *, rollback: bool
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Return the test and the production map; ``step`` is what the step moves to."""
        deployment = self.deployment
        if self.headless and self.switches.headless_weights == "empty":
            return {}, {}
        match stage:
            case Stage.TEST_TRAFFIC_SHIFT:
                return self._map(0.0 if rollback else 100.0), {}
            case Stage.PRODUCTION_TRAFFIC_SHIFT:
                return {}, self._map(0.0 if rollback else step if step is not None else 100.0)
            case Stage.PRE_PRODUCTION_TRAFFIC_SHIFT:
                return {}, self._map(deployment.target.production_weight or 0.0)
            case Stage.RECONCILE_SERVICE:
                return self._map(100.0), self._map(100.0)
            case _:
                return {}, {}

    def _map(self, green: float) -> dict[str, float]:
        pairs = [(str(self.deployment.target.arn), green)]
        if self.blue:
            pairs.append((str(self.blue.arn), round(100 - green, 1)))
        if self.switches.map_order == "source-first":
            pairs.reverse()
        elif self.switches.map_order == "random":
            self.rng.shuffle(pairs)
        as_float = self.switches.weights_type == "float"
        return {arn: float(weight) if as_float or weight % 1 else int(weight) for arn, weight in pairs}

    def _scope(
        self, hook: LifecycleHook, stage: Stage, step: float | None, *, rollback: bool
    ) -> tuple[Any, ...]:
        if rollback and self.switches.hook_details_on_rollback == "config-only":
            # What a rollback call returns itself is kept, like any stage's.
            return (id(hook), stage, "rollback")
        if self.switches.hook_details_scope == "per-hook-entry":
            return (id(hook),)
        if rollback:
            # A rollback has no step of its own; it finds what the last one left.
            step = max(
                (kept[2] for kept in self.runtime_details if kept[:2] == (id(hook), stage)), default=None
            )
        return (id(hook), stage, step)

    def _details(self, hook: LifecycleHook, stage: Stage, step: float | None, *, rollback: bool) -> Any:
        return self.runtime_details.get(self._scope(hook, stage, step, rollback=rollback), hook.details)

    def _remember(
        self, hook: LifecycleHook, stage: Stage, step: float | None, returned: Any, *, rollback: bool
    ) -> None:
        if not isinstance(returned, dict):
            return
        known = self._details(hook, stage, step, rollback=rollback)
        if isinstance(known, str):
            known = _object(known)
        merged = returned if self.switches.merge == "replace" else {**(known or {}), **returned}
        self.runtime_details[self._scope(hook, stage, step, rollback=rollback)] = merged

    def _execution(self, hook: LifecycleHook, stage: Stage, step: float | None, *, rollback: bool) -> str:
        if self.switches.execution_id == "new-per-invocation":
            return self._identifier()
        return self._executions.setdefault((id(hook), stage, step, rollback), self._identifier())

    def _identifier(self) -> str:
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
