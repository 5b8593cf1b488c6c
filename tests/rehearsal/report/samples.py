"""Outcomes as the stage machine produces them, written out by hand for the report's tests."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from rehearsal.outcome import (
    ActorSpoke,
    Check,
    Happening,
    HookCalled,
    Outcome,
    PauseChanged,
    StageEntered,
    StatusChanged,
    WeightsChanged,
)

STARTED_AT = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
PREFIX = "arn:aws:ecs:eu-central-1:123456789012"
HOSTILE = (
    "<script>alert('x')</script> \x1b[31mred\x1b[0m \u202etxet {{ 7*7 }} [bold]markup[/bold] & \"quotes\""
)

Answer = Literal["SUCCEEDED", "FAILED", "IN_PROGRESS", "INVALID"]


@dataclass
class Script:
    """Writes happenings down while its clock goes on."""

    service: str = "checkout"
    deployment: str = "EZe5RNVLH6PPzHXINuP28"
    now: float = 0.0
    happenings: list[Happening] = field(default_factory=list)

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def stage(self, stage: str, step: float | None = None, *, rollback: bool = False) -> None:
        entered = StageEntered(
            at=self.now, deployment=self.deployment, stage=stage, step=step, rollback=rollback
        )
        self.happenings.append(entered)

    def stages(self, *stages: str) -> None:
        for stage in stages:
            self.stage(stage)

    def weights(self, route: Literal["test", "production"], green: float) -> None:
        self.happenings.append(
            WeightsChanged(
                at=self.now, deployment=self.deployment, route=route, green=green, blue=100 - green
            )
        )

    def status(self, status: str, reason: str | None = None) -> None:
        self.happenings.append(
            StatusChanged(at=self.now, deployment=self.deployment, status=status, reason=reason)
        )

    def actor(self, actor: str, text: str) -> None:
        self.happenings.append(ActorSpoke(at=self.now, actor=actor, text=text))

    def pause(self, stage: str, status: str, step: float | None = None) -> None:
        self.happenings.append(
            PauseChanged(
                at=self.now,
                deployment=self.deployment,
                hook_id="ecs-pause-1",
                stage=stage,
                step=step,
                status=status,
            )
        )

    def call(
        self,
        hook: str,
        stage: str,
        answer: Answer,
        *,
        attempt: int = 1,
        step: float | None = None,
        rollback: bool = False,
        delay: int | None = None,
        error: str | None = None,
        record: dict[str, Any] | None = None,
    ) -> None:
        revision = f"{PREFIX}:service-revision/prod/{self.service}"
        weights = (
            {} if step is None else {f"{revision}/9313423515462893900": step, f"{revision}/1": 100 - step}
        )
        self.happenings.append(
            HookCalled(
                at=self.now,
                deployment=self.deployment,
                hook=hook,
                stage=stage,
                step=step,
                rollback=rollback,
                attempt=attempt,
                event={
                    "executionId": "f4fcae0f-9bec-41c6-ba87-0eaa0cef8af5",
                    "lifecycleStage": stage,
                    "resourceArn": f"{PREFIX}:service-deployment/prod/{self.service}/{self.deployment}",
                    "executionDetails": {
                        "serviceArn": f"{PREFIX}:service/prod/{self.service}",
                        "targetServiceRevisionArn": f"{revision}/9313423515462893900",
                        "testTrafficWeights": {},
                        "productionTrafficWeights": weights,
                    },
                },
                reply=None if error else {"hookStatus": answer, "callBackDelay": delay},
                error=error,
                answer=answer,
                callback_seconds=delay,
                record=record,
            )
        )

    def poll(
        self,
        hook: str,
        stage: str,
        *,
        decided_after: float,
        answer: Answer = "SUCCEEDED",
        step: float | None = None,
        record: dict[str, Any] | None = None,
        decide: Callable[[], None] = lambda: None,
    ) -> None:
        """Ask, wait longer each time, and answer at the first poll after *decided_after*."""
        start, delay, attempt, decided = self.now, 5.0, 1, False
        while True:
            if decided:
                self.call(hook, stage, answer, attempt=attempt, step=step, record=record)
                return
            self.call(hook, stage, "IN_PROGRESS", attempt=attempt, step=step, delay=round(delay))
            target = self.now + round(delay)
            if target >= start + decided_after:
                self.now = max(self.now, start + decided_after)
                decide()
                decided = True
            self.now, delay, attempt = target, min(delay * 1.2, 180.0), attempt + 1

    def outcome(self, scenario: str, description: str, strategy: str, status: str, **more: Any) -> Outcome:
        values: dict[str, Any] = {
            "seed": 7,
            "switches": {},
            "exposure": "application-load-balancer",
            "checks": [Check(text=f"ends as {status}", held=True, seen=status)],
            **more,
        }
        return Outcome(
            scenario=scenario,
            description=description,
            strategy=strategy,
            status=status,
            started_at=STARTED_AT,
            duration_seconds=self.now,
            service=self.service,
            happenings=self.happenings,
            **values,
        )


def approval_record(verdict: str, reason: str, step: str = "") -> dict[str, Any]:
    return {
        "schema": 1,
        "hook": "manual_approval",
        "deployment": f"{PREFIX}:service-deployment/prod/checkout/EZe5RNVLH6PPzHXINuP28",
        "stage": "PRE_PRODUCTION_TRAFFIC_SHIFT" if step else "POST_TEST_TRAFFIC_SHIFT",
        "step": step,
        "direction": "FORWARD",
        "settingsDigest": "sha256:4c1f0b6f0b5d1f9e6f3c",
        "inputs": {
            "parameter": "/approvals/prod/checkout/EZe5RNVLH6PPzHXINuP28",
            "version": 2,
            "written_by": "arn:aws:iam::123456789012:user/ana",
            "history": [
                {"version": 1, "value": "PENDING", "by": "arn:aws:sts::123456789012:assumed-role/hook/x"},
                {"version": 2, "value": "APPROVED", "by": "arn:aws:iam::123456789012:user/ana"},
            ],
        },
        "numbers": {
            "approvals": 1,
            "required_approvals": 1,
            "waited_seconds": 605,
            "expires_after_minutes": 1440,
        },
        "verdict": {"answer": verdict, "reason": reason},
        "wouldRefuse": False,
    }


def canary_record() -> dict[str, Any]:
    minutes = range(16)
    return {
        "hook": "canary_comparison",
        "verdict": {
            "answer": "refuse",
            "reason": "green's p99 latency is 1.42 times blue's, at most 1.20 is allowed",
        },
        "numbers": {
            "latency_p99_ratio": 1.42,
            "error_rate_green": 0.0031,
            "error_rate_blue": 0.0029,
            "requests": {"green": 12_034, "blue": 228_410},
        },
        "charts": [
            {
                "title": "p99 latency",
                "unit": "ms",
                "series": [
                    {"name": "blue", "points": [[60 * m, 180 + 9 * (m % 3)] for m in minutes]},
                    {"name": "green", "points": [[60 * m, 190 + 7 * m + 11 * (m % 4)] for m in minutes]},
                ],
                "thresholds": [{"name": "1.2 × blue", "value": 226}],
            }
        ],
    }


def _begin(script: Script) -> None:
    script.status("PENDING")
    script.status("IN_PROGRESS")
    script.stages("PRE_SCALE_UP", "SCALE_UP")
    script.wait(90)
    script.stages("POST_SCALE_UP", "TEST_TRAFFIC_SHIFT")
    script.weights("test", 100)
    script.stage("POST_TEST_TRAFFIC_SHIFT")


def _finish(script: Script, bake: float = 900) -> None:
    script.stages("POST_PRODUCTION_TRAFFIC_SHIFT", "BAKE_TIME")
    script.wait(bake)
    script.stage("CLEAN_UP")
    script.wait(30)
    script.status("SUCCESSFUL")


def approved() -> Outcome:
    """A blue/green deployment that a person approves after ten minutes."""
    script = Script()
    _begin(script)
    script.poll(
        "manual_approval",
        "POST_TEST_TRAFFIC_SHIFT",
        decided_after=600,
        record=approval_record("proceed", "approved by user/ana"),
        decide=lambda: script.actor("approver", "user/ana writes APPROVED: looks good on the test listener"),
    )
    script.stages("PRE_PRODUCTION_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT")
    script.weights("production", 100)
    _finish(script)
    return script.outcome("approved", "A person approves after ten minutes.", "BLUE_GREEN", "SUCCESSFUL")


def rejected() -> Outcome:
    """A blue/green deployment that a person rejects with a hostile comment."""
    script = Script()
    _begin(script)
    script.poll(
        "manual_approval",
        "POST_TEST_TRAFFIC_SHIFT",
        decided_after=120,
        answer="FAILED",
        record=approval_record("refuse", f"rejected by user/ana: {HOSTILE}"),
        decide=lambda: script.actor("approver", f"user/ana writes REJECTED: {HOSTILE}"),
    )
    _roll_back(script, "POST_TEST_TRAFFIC_SHIFT lifecycle hook(s) failed.")
    return script.outcome(
        "rejected",
        "One rejection by an allowed identity refuses at once.",
        "BLUE_GREEN",
        "ROLLBACK_SUCCESSFUL",
        status_reason="Service deployment rolled back because POST_TEST_TRAFFIC_SHIFT "
        "lifecycle hook(s) failed.",
    )


def _roll_back(script: Script, cause: str) -> None:
    script.status("ROLLBACK_IN_PROGRESS", f"Service deployment rolled back because {cause}")
    script.stage("PRODUCTION_TRAFFIC_SHIFT", rollback=True)
    script.weights("production", 0)
    script.stage("TEST_TRAFFIC_SHIFT", rollback=True)
    script.weights("test", 0)
    script.wait(30)
    script.status("ROLLBACK_SUCCESSFUL")


def canary() -> Outcome:
    """A canary whose second step is refused by the comparison of metrics."""
    script = Script(service="storefront")
    _begin(script)
    for step in (5.0, 100.0):
        script.stage("PRE_PRODUCTION_TRAFFIC_SHIFT", step)
        script.poll(
            "manual_approval",
            "PRE_PRODUCTION_TRAFFIC_SHIFT",
            decided_after=300,
            step=step,
            record=approval_record("proceed", "approved by user/ana", f"{step:g}"),
            decide=lambda: script.actor("approver", "user/ana writes APPROVED"),
        )
        script.stage("PRODUCTION_TRAFFIC_SHIFT", step)
        script.weights("production", step)
        script.call("canary_comparison", "PRODUCTION_TRAFFIC_SHIFT", "SUCCEEDED", step=step)
        if step < 100:
            script.stage("BAKE_TIME", step)
            script.wait(600)
    _finish(script)
    return script.outcome(
        "canary-approvals",
        "Each step of a canary asks for an approval of its own.",
        "CANARY",
        "SUCCESSFUL",
        checks=[
            Check(text="ends as SUCCESSFUL", held=True, seen="SUCCESSFUL"),
            Check(text="manual_approval asks for 2 decisions", held=True, seen="2"),
        ],
    )


def canary_refused() -> Outcome:
    """A canary that is slower than blue, seen by a hook with charts in its record."""
    script = Script(service="storefront", deployment="QmK3c0LwT9sYxqf1aBvZ2")
    _begin(script)
    script.stage("PRE_PRODUCTION_TRAFFIC_SHIFT", 5)
    script.stage("PRODUCTION_TRAFFIC_SHIFT", 5)
    script.weights("production", 5)
    script.actor("production traffic", "green answers 40 % slower from now on")
    script.poll(
        "canary_comparison",
        "PRODUCTION_TRAFFIC_SHIFT",
        decided_after=900,
        answer="FAILED",
        step=5,
        record=canary_record(),
    )
    _roll_back(script, "PRODUCTION_TRAFFIC_SHIFT lifecycle hook(s) failed.")
    return script.outcome(
        "canary-refused",
        "Green is slower than blue on real traffic, and is sent back.",
        "CANARY",
        "ROLLBACK_SUCCESSFUL",
        switches={"merge": "replace", "weights_type": "float"},
        exposure="service-connect",
        checks=[
            Check(text="ends as ROLLBACK_SUCCESSFUL", held=True, seen="ROLLBACK_SUCCESSFUL"),
            Check(text="canary_comparison answers within 10 m", held=False, seen="answered after 16 m 02 s"),
        ],
    )


def linear(days: float = 1.1) -> Outcome:
    """A linear deployment of ten steps that takes more than a day."""
    script = Script(service="search")
    _begin(script)
    for step in range(10, 101, 10):
        script.stage("PRE_PRODUCTION_TRAFFIC_SHIFT", step)
        script.poll(
            "manual_approval",
            "PRE_PRODUCTION_TRAFFIC_SHIFT",
            decided_after=600 + 3 * step,
            step=step,
            record=approval_record("proceed", "approved by user/ana", str(step)),
            decide=lambda: script.actor("approver", "user/ana writes APPROVED"),
        )
        script.stage("PRODUCTION_TRAFFIC_SHIFT", step)
        script.weights("production", step)
        if step < 100:
            script.stage("BAKE_TIME", step)
            script.wait(days * 86_400 / 9 - 700)
    _finish(script)
    return script.outcome(
        "linear-approvals", "Ten steps, each approved, over a day and more.", "LINEAR", "SUCCESSFUL"
    )


def alarm() -> Outcome:
    """An alarm goes off while the approval is awaited; the hook never gets to answer."""
    script = Script()
    _begin(script)
    for attempt in range(1, 9):
        script.call("manual_approval", "POST_TEST_TRAFFIC_SHIFT", "IN_PROGRESS", attempt=attempt, delay=20)
        script.wait(20)
    script.actor("alarm", "checkout-5xx goes to ALARM")
    _roll_back(script, "CloudWatch alarm(s) [checkout-5xx] triggered.")
    return script.outcome(
        "alarm-while-waiting",
        "An alarm goes off while a person is still thinking.",
        "BLUE_GREEN",
        "ROLLBACK_SUCCESSFUL",
    )


def first_deployment() -> Outcome:
    """The first deployment of a service: no blue, a hook per stage that answers at once."""
    script = Script(service="inventory")
    script.status("PENDING")
    script.status("IN_PROGRESS")
    script.stage("PRE_SCALE_UP")
    script.call("image_trust", "PRE_SCALE_UP", "SUCCEEDED")
    script.stage("SCALE_UP")
    script.wait(60)
    script.stage("POST_SCALE_UP")
    script.call("image_trust", "POST_SCALE_UP", "SUCCEEDED")
    script.stage("TEST_TRAFFIC_SHIFT")
    script.weights("test", 100)
    script.stage("POST_TEST_TRAFFIC_SHIFT")
    script.call("manual_approval", "POST_TEST_TRAFFIC_SHIFT", "SUCCEEDED")
    script.stages("PRE_PRODUCTION_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT")
    script.weights("production", 100)
    script.call("consumer_activation", "PRODUCTION_TRAFFIC_SHIFT", "SUCCEEDED", step=100)
    _finish(script, bake=0)
    return script.outcome(
        "first-deployment", "A service's first deployment has nothing to compare.", "BLUE_GREEN", "SUCCESSFUL"
    )


def crashed() -> Outcome:
    """A PAUSE hook is continued, then a hook raises at the shift."""
    script = Script(service="billing")
    _begin(script)
    script.pause("POST_TEST_TRAFFIC_SHIFT", "AWAITING_ACTION")
    script.wait(3600)
    script.actor("operator", "continues the deployment")
    script.pause("POST_TEST_TRAFFIC_SHIFT", "SUCCEEDED")
    script.stages("PRE_PRODUCTION_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT")
    script.weights("production", 100)
    script.call(
        "scripted",
        "PRODUCTION_TRAFFIC_SHIFT",
        "INVALID",
        step=100,
        error="ECS was unable to parse the response from "
        "arn:aws:lambda:eu-central-1:123456789012:function:scripted due to HookStatus must not be null",
    )
    _roll_back(script, "PRODUCTION_TRAFFIC_SHIFT lifecycle hook(s) failed.")
    return script.outcome(
        "crashed", "A hook raises; ECS sees a null status.", "BLUE_GREEN", "ROLLBACK_SUCCESSFUL"
    )


def superseded() -> Outcome:
    """A newer deployment replaces one that waits."""
    script = Script()
    _begin(script)
    script.call("manual_approval", "POST_TEST_TRAFFIC_SHIFT", "IN_PROGRESS", delay=5)
    script.wait(5)
    first, script.deployment = script.deployment, "TFX5sH9q9XDboDTOv0rIt"
    script.status("PENDING")
    script.deployment = first
    script.status("STOP_REQUESTED", "Service deployment stopped because of a newer deployment.")
    script.status("STOPPED")
    script.deployment = "TFX5sH9q9XDboDTOv0rIt"
    script.status("IN_PROGRESS")
    script.stages("RECONCILE_SERVICE", "PRE_SCALE_UP", "SCALE_UP", "POST_SCALE_UP")
    script.wait(90)
    script.stages("PRE_PRODUCTION_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT")
    script.weights("production", 100)
    _finish(script)
    return script.outcome("superseded", "A newer deployment takes over.", "BLUE_GREEN", "STOPPED")


def empty() -> Outcome:
    """Nothing happened, nothing was expected."""
    return Script().outcome("empty", "", "ROLLING", "PENDING", exposure="", checks=[])


def tour() -> list[Outcome]:
    """Return one of each."""
    return [
        approved(),
        rejected(),
        alarm(),
        canary(),
        canary_refused(),
        linear(),
        first_deployment(),
        crashed(),
        superseded(),
        empty(),
    ]
