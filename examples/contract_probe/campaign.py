"""Carry the plan out on an account: start deployments, watch them to their end, keep everything.

::

    Campaign ── Account: UpdateService, describe calls, the bucket (a real one, or the rehearsal)
             └─ Evidence: written to a file after each change, so that a campaign can be taken up again

Services are independent of each other and are worked on side by side, each one step at a time.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from examples.contract_probe.evidence import Deployment, Evidence, Image, JsonObject, Recording, Snapshot
from examples.contract_probe.plan import PLAN, Step

POLL_SECONDS = 10.0

ADOPT_SECONDS = 300.0
"""A deployment that was asked for shows up within this time, or is asked for again."""

CLOCKS_DIFFER_SECONDS = 60.0
"""How far the clock here may be behind AWS's."""

SETTLE_SECONDS = 60.0
"""Hooks are listened to for so long after the last deployment has ended."""

ENDED = frozenset({"SUCCESSFUL", "STOPPED", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED"})


class Account(Protocol):
    """Where deployments are made."""

    name: str

    def now(self) -> float:
        """Return the time in seconds since 1970."""

    def sleep(self, seconds: float) -> None:
        """Let time pass."""

    def write_script(self, step: Step) -> None:
        """Tell the recorders what they are to answer in the service's next deployment."""

    def deploy(self, step: Step) -> None:
        """Ask for a new deployment of the step's service, with its hooks."""

    def newest(self, service: str, since: float) -> list[str]:
        """Return the ARNs of the service's deployments that were created since a time."""

    def describe(self, arns: Sequence[str]) -> dict[str, JsonObject]:
        """Return what DescribeServiceDeployments shows, by ARN."""

    def recordings(self, arn: str) -> list[Recording]:
        """Return the recorded calls of a deployment."""

    def throttles(self, since: float, until: float) -> int | None:
        """Return how often the throttled hook was refused; ``None`` while that is not known."""

    def image(self) -> Image | None:
        """Return what the image's tag leads to, ``None`` where its registry does not say."""


Saw = Callable[[str, str], None]
"""Told a step and what became of it."""


class Campaign:
    """The plan, being carried out."""

    def __init__(
        self,
        account: Account,
        evidence: Evidence,
        *,
        plan: Sequence[Step] = PLAN,
        keep: Callable[[Evidence], None] = lambda _: None,
        saw: Saw = lambda *_: None,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self.account = account
        self.evidence = evidence
        self.plan = plan
        self._keep = keep
        self._saw = saw
        self._poll_seconds = poll_seconds

    @property
    def is_over(self) -> bool:
        """Whether every deployment has ended."""
        return all(self._has_ended(step.name) for step in self.plan)

    def run(self) -> Evidence:
        """Carry the plan out to its end, and return what was seen."""
        self.evidence.account = self.account.name
        if self.evidence.image is None:
            # Read before the first deployment, so that a tag that moves meanwhile is found out.
            self.evidence.image = self.account.image()
        while not self.is_over:
            self._tick()
            self.account.sleep(self._poll_seconds)
        self.account.sleep(SETTLE_SECONDS)
        self.collect()
        return self.evidence

    def collect(self) -> None:
        """Fetch what the hooks recorded, and what Lambda counted."""
        arns = [one.arn for one in self.evidence.deployments.values() if one.arn]
        self.evidence.recordings = [found for arn in arns for found in self.account.recordings(arn)]
        throttled = self.evidence.deployments.get("throttled")
        if throttled and throttled.ended_at:
            until = throttled.ended_at + SETTLE_SECONDS
            self.evidence.throttles = self.account.throttles(throttled.requested_at, until)
        self._keep(self.evidence)

    def _tick(self) -> None:
        for step in self.plan:
            known = self.evidence.deployments.get(step.name)
            if known is None:
                if not self._missed(step) and self._may_start(step):
                    self._start(step)
            elif known.arn is None:
                self._adopt(step, known)
        self._watch()

    def _missed(self, step: Step) -> bool:
        """Have a deployment made once more that nobody was in time to supersede; tell whether so."""
        held = step.during[0] if step.during else ""
        # One that ended otherwise would do so again, and is part of what was seen.
        if held not in self.evidence.deployments or self.evidence.deployments[held].status != "SUCCESSFUL":
            return False
        del self.evidence.deployments[held]
        self._saw(held, "ended before it was superseded; once more")
        self._keep(self.evidence)
        return True

    def _may_start(self, step: Step) -> bool:
        ours = [one.name for one in self.plan if one.service == step.service]
        before = ours[: ours.index(step.name)]
        if step.during and not self._has_ended(step.during[0]):
            superseded = self.evidence.deployments.get(step.during[0])
            if superseded is None or superseded.arn is None:
                return False
            calls = self.account.recordings(superseded.arn)
            stage = f'"lifecycleStage": "{step.during[1]}"'
            return any(stage in call.event for call in calls)
        return all(self._has_ended(name) for name in before)

    def _start(self, step: Step) -> None:
        # Written down first: should the program end in between, what was asked for is looked for.
        self.evidence.deployments[step.name] = Deployment(requested_at=self.account.now())
        self._keep(self.evidence)
        self.account.write_script(step)
        self.account.deploy(step)
        self._saw(step.name, "asked for")

    def _adopt(self, step: Step, deployment: Deployment) -> None:
        taken = {one.arn for one in self.evidence.deployments.values()}
        since = deployment.requested_at - CLOCKS_DIFFER_SECONDS
        fresh = [arn for arn in self.account.newest(step.service, since) if arn not in taken]
        if fresh:
            # Newest first: with nobody else deploying there is one.
            deployment.arn = fresh[0]
            self._saw(step.name, "started")
        elif self.account.now() > deployment.requested_at + ADOPT_SECONDS:
            del self.evidence.deployments[step.name]
            self._saw(step.name, "did not start; asking again")
        self._keep(self.evidence)

    def _watch(self) -> None:
        running = {
            one.arn: (name, one)
            for name, one in self.evidence.deployments.items()
            if one.arn and one.ended_at is None
        }
        if not running:
            return
        for arn, shown in self.account.describe(list(running)).items():
            name, deployment = running[arn]
            if deployment.snapshots and deployment.snapshots[-1].deployment == shown:
                continue
            before = _brief(deployment.snapshots[-1].deployment) if deployment.snapshots else None
            deployment.snapshots.append(Snapshot(at=self.account.now(), deployment=shown))
            if shown.get("status") in ENDED:
                deployment.ended_at = self.account.now()
            if _brief(shown) != before:
                self._saw(name, _brief(shown))
            self._keep(self.evidence)

    def _has_ended(self, name: str) -> bool:
        deployment = self.evidence.deployments.get(name)
        return deployment is not None and deployment.ended_at is not None


def _brief(shown: dict[str, Any]) -> str:
    stage = shown.get("lifecycleStage")
    status = str(shown.get("status"))
    return status if status in ENDED or not stage else f"{status}, {stage}"
