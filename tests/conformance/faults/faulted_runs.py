"""Rehearsed deployments in which one AWS call of one function goes wrong.

::

    play(rehearsal, subject)                     a run without faults, which records every call
        └─▶ Played.sites                         where it can go wrong: the rows of the fault matrix
    play(rehearsal, subject, site, kind)         the same run, in which that very call does

A call is known by what the deployment was doing (forward, at a step, rolling back, or nothing that ECS
waits for), the stage or function, service and operation, and its number among its like. Of invocations that
make the same calls and get the same answer, as polls do, only the first has sites.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hooks.manual_approval import parameter_store
from rehearsal.aws.call import Call, Response
from rehearsal.model import ServiceDeployment
from rehearsal.outcome import Happening, HookCalled, Outcome, StatusChanged
from rehearsal.runtime import Invocation, LambdaFunction
from rehearsal.runtime.in_process import InProcess
from rehearsal.scenario import Scenario
from rehearsal.world import HOOKS, Rehearsal
from tests.conformance.faults.fault_kinds import Kind, Past

DIRECTIONS = ("forward", "step", "rollback", "schedule")


@dataclass(frozen=True, slots=True, order=True)
class Site:
    """One call that a function makes in a run."""

    direction: str
    """One of ``DIRECTIONS``; schedule is everything that ECS does not wait for."""
    where: str
    """The stage; the function's logical id where ECS does not call it."""
    call: str
    """As in ``ssm:GetParameter``."""
    number: int
    """Among the calls of this operation there, from 1 on."""

    def __str__(self) -> str:
        return f"{self.direction}: {self.where} {self.call} {self.number}"


@dataclass(slots=True)
class Visit:
    """One invocation of a function."""

    function: str
    direction: str
    where: str
    sites: list[Site] = field(default_factory=list)
    called: HookCalled | None = None
    """What ECS made of it, where ECS called."""
    reply: Any = None
    error: str | None = None
    """Why the function failed."""
    seconds: float = 0.0
    """Real ones."""

    @property
    def signature(self) -> tuple[object, ...]:
        answer = self.called.answer if self.called else self.error
        return self.function, self.direction, self.where, tuple(site.call for site in self.sites), answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A deployment of which all calls of a hook are made to fail, one by one."""

    name: str
    parts: Mapping[str, Any]
    """The scenario."""
    switches: Mapping[str, str] = field(default_factory=dict)
    directions: tuple[str, ...] = DIRECTIONS
    """Those whose calls it shows."""
    prepare: Callable[[Rehearsal, ServiceDeployment], None] = lambda *_: None
    """Called when the first deployment begins."""
    left: "Callable[[Played], str]" = lambda _: ""
    """Says what of the hook's own is left otherwise than it should be, once nobody has anything to do any
    more; raises ``AssertionError`` where that must never be."""


@dataclass(slots=True)
class Played:
    """What came of a run."""

    subject: Subject
    rehearsal: Rehearsal
    outcome: Outcome
    visits: list[Visit]
    deployments: list[ServiceDeployment]
    struck: Visit | None
    """The invocation in which the call went wrong; ``None`` where it did not."""
    left: str = ""
    """What ``Subject.left`` says."""

    @property
    def sites(self) -> list[Site]:
        """Where calls are made, one of each kind of invocation."""
        seen: set[object] = set()
        found: list[Site] = []
        for visit in self.visits:
            if visit.signature not in seen:
                seen.add(visit.signature)
                found.extend(visit.sites)
        return found

    @property
    def actors(self) -> Sequence[Mapping[str, Any]]:
        """Those of the scenario."""
        return list(self.subject.parts.get("actors", ()))

    @property
    def last(self) -> ServiceDeployment:
        return self.deployments[-1]

    def verdict_after(self, visit: Visit) -> Visit | None:
        """Return the invocation that ended the stage in which *visit* was; ``None`` if it was abandoned."""
        rest = self.visits[self.visits.index(visit) :]
        return next(
            (
                one
                for one in rest
                if (one.function, one.direction, one.where) == (visit.function, visit.direction, visit.where)
                and (one.called is None or one.called.answer != "IN_PROGRESS")
            ),
            None,
        )


class Watch:
    """A runtime that notes every invocation and call, and lets one call go wrong."""

    def __init__(self) -> None:
        self._runtime = InProcess()
        self.begin(None, None)
        self._rehearsal: Rehearsal | None = None

    def begin(self, site: Site | None, kind: Kind | None) -> None:
        """Forget the run before."""
        self._site, self._kind = site, kind
        self.visits: list[Visit] = []
        self.struck: Visit | None = None
        self._visit: Visit | None = None
        self._at: Site | None = None
        self._past = Past()
        self._numbers: Counter[tuple[str, str, str]] = Counter()
        # Asked for once in a process, and a call like any other.
        parameter_store._identity.cache_clear()

    def attach(self, rehearsal: Rehearsal) -> None:
        """Stand at the door of the run that begins."""
        self._rehearsal = rehearsal
        faults = rehearsal.cloud.faults
        faults.add(identity=HOOKS, make=self._before)
        faults.add(identity=HOOKS, make=self._after, after=True)
        faults.add(identity=HOOKS, alter=self._alter)

    def invoke(
        self, function: LambdaFunction, event: Mapping[str, Any], environment: Mapping[str, str]
    ) -> Invocation:
        """Invoke a function as the runtime in process does."""
        visit = self._visit = Visit(function.logical_id, *self._place(function, event))
        self.visits.append(visit)
        began = time.perf_counter()
        try:
            answer = self._runtime.invoke(function, event, environment)
        finally:
            self._visit = None
        visit.seconds = time.perf_counter() - began
        visit.reply, visit.error = answer.reply, answer.error
        return answer

    def close(self) -> None:
        self._runtime.close()

    def saw(self, happening: Happening) -> None:
        """Note what ECS made of a reply."""
        if isinstance(happening, HookCalled):
            latest = next(visit for visit in reversed(self.visits) if visit.direction != "schedule")
            latest.called = happening

    def _place(self, function: LambdaFunction, event: Mapping[str, Any]) -> tuple[str, str]:
        """Return the direction and where."""
        stage = event.get("lifecycleStage")
        if stage is None or self._rehearsal is None:
            return "schedule", function.logical_id
        deployment = self._rehearsal.cloud.control_plane.deployments[event["resourceArn"]]
        details = event["executionDetails"]
        green = details["productionTrafficWeights"].get(details["targetServiceRevisionArn"], 0)
        if deployment.status.startswith("ROLLBACK_IN"):
            return "rollback", str(stage)
        return ("step" if 0 < green < 100 else "forward"), str(stage)

    def _before(self, call: Call, _identity: str) -> BaseException | None:
        visit = self._visit
        if visit is None:
            return None
        key = visit.direction, visit.where, f"{call.service}:{call.operation}"
        self._numbers[key] += 1
        self._at = Site(*key, self._numbers[key])
        visit.sites.append(self._at)
        if not self._is_here or self._kind is None:
            return None
        failure = None
        try:
            failure = self._kind.before(call)
        except BaseException:
            # The alarm of the time budget, which goes off in here.
            self.struck = visit
            raise
        return self._note(failure)

    def _after(self, call: Call, _identity: str) -> BaseException | None:
        return self._note(self._kind.after(call)) if self._kind and self._is_here else None

    def _alter(self, call: Call, answer: Response) -> Response:
        given = self._kind.alter(call, answer, self._past) if self._kind and self._is_here else answer
        if given is not answer:
            self.struck = self._visit
        self._past.keep(call, answer)
        return given

    @property
    def _is_here(self) -> bool:
        return self._visit is not None and self._at == self._site

    def _note(self, failure: BaseException | None) -> BaseException | None:
        if failure is not None:
            self.struck = self._visit
        return failure


def play(
    rehearsal: Rehearsal, subject: Subject, site: Site | None = None, kind: Kind | None = None
) -> Played:
    """Run the deployment; where a site is given, that call goes wrong in that way."""
    watch = rehearsal.runtime
    assert isinstance(watch, Watch)
    watch.begin(site, kind)
    scenario = Scenario.model_validate(
        {"expect": {"status": "SUCCESSFUL"}, **subject.parts, "name": "faults"}
    )
    began = False

    def saw(happening: Happening) -> None:
        nonlocal began
        if isinstance(happening, StatusChanged) and not began:
            began = True
            watch.attach(rehearsal)
            (deployment,) = rehearsal.cloud.control_plane.deployments.values()
            subject.prepare(rehearsal, deployment)
        watch.saw(happening)

    outcome = rehearsal.run(scenario, switches=subject.switches, saw=saw)
    played = Played(
        subject,
        rehearsal,
        outcome,
        watch.visits,
        list(rehearsal.cloud.control_plane.deployments.values()),
        watch.struck,
    )
    try:
        played.left = subject.left(played)
    except AssertionError as error:
        error.add_note(f"{site}, {kind and kind.name}")
        raise
    return played


def every_site(rehearsal: Rehearsal, subject: Subject) -> tuple[Played, list[Site]]:
    """Run without faults, and return that run with the sites that the subject shows."""
    played = play(rehearsal, subject)
    return played, [site for site in played.sites if site.direction in subject.directions]
