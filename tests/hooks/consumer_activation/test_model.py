"""A service of workers under everything that may happen to it: the hook and the workers' library are real.

ECS, Parameter Store, the queue and the workers' loops are models (``service.py``). The oracle shares no code
with either side: it looks at when workers may receive, in true time, and at what stands in the parameter.

What a person does is bounded by what the library assumes: an edit gives no shorter lease than one that may
still be alive, the parameter is not lost while a longer lease than the settings' is, it is made anew by hand
30 s after it was deleted at the earliest, and nobody sets an epoch that lies in the future.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.hooks.consumer_activation.service import (
    QUEUE,
    Aws,
    Deployment,
    Invocation,
    Link,
    Message,
    Service,
    Stalled,
    Version,
    Worker,
    event,
)
from tests.shared.checkout import assert_valid

BLUE, *GREENS = "1000", "2000", "3000", "4000", "5000"

# leaseSeconds, readSeconds, readLagSeconds: the defaults; short; so long that drifting clocks tell.
PACES = [(15, 5, 3), (1800, 360, 3), (4, 2, 1)]

# How a worker's reads go; what they take, in shares of the time between two.
LINKS = {
    "well": Link(seconds=0),
    "not at all": Link(seconds=0, fails=True),
    "without a date": Link(seconds=0, dated=False),
    "stale": Link(seconds=0, stale=True),
    "slowly back": Link(seconds=1.5),
    "slowly there": Link(seconds=1.5, late=True),
    "worst": Link(seconds=0, fails=True, stale=True),
    "worst, and slowly back": Link(seconds=1.5, fails=True, stale=True),
}
OPERATIONS = ["put_parameter", "get_parameter", "describe_service_deployments", "get_queue_attributes"]

# A person's edit takes a while; the hook's epochs are seconds.
CALL_SECONDS = 1.0
EDIT_SECONDS = 2.0
RECREATE_SECONDS = 30.0

# What the rest of a deployment takes at most, in calls of ECS.
MAX_POLLS = 150


@pytest.fixture(scope="module", autouse=True)
def quiet_log() -> Iterator[None]:
    log = logging.getLogger("ecs-lifecycle-hooks")
    level, log.level = log.level, logging.CRITICAL
    yield
    log.setLevel(level)


def picked[T](data: st.DataObject, things: Sequence[T]) -> T:
    return things[data.draw(st.integers(0, len(things) - 1))]


class Deployments(RuleBasedStateMachine):
    """Deployments of one service, one after the other, and what must be true of each."""

    # ------------------------------------------------------------------ the beginning

    @initialize(
        pace=st.sampled_from(PACES),
        slow_world=st.booleans(),
        weighted=st.booleans(),
        filled=st.sampled_from([True, True, False]),
        rollback_is_called=st.sampled_from([True, True, False]),
        drain_by=st.sampled_from(["queue", "queue", "protection", "time"]),
        on_drain_timeout=st.sampled_from(["refuse", "activate"]),
        monitor=st.sampled_from([0, 1]),
        before=st.sampled_from(["settled", "settled", "settled", "missing", "garbage"]),
        longer=st.booleans(),
        reads=st.sampled_from(["well", "well", "worst"]),
        late_calls_land_last=st.booleans(),
        fast=st.lists(st.booleans(), min_size=2, max_size=2),
    )
    def start(self, *, pace: tuple[int, int, int], slow_world: bool, before: str, **chosen: Any) -> None:
        self.lease, self.read_seconds, lag = pace
        self.service = Service(lag=lag)
        self.slow_world = slow_world
        self.weighted, self.filled = chosen["weighted"], chosen["filled"]
        self.rollback_is_called = chosen["rollback_is_called"]
        self.late_calls_land_last = chosen["late_calls_land_last"]
        self.config = {
            "queue": QUEUE,
            "drainBy": chosen["drain_by"],
            "drainSeconds": 5,
            "drainTimeoutSeconds": 120,
            "handBackDrainSeconds": 60,
            "onDrainTimeout": chosen["on_drain_timeout"],
            "monitorMinutes": chosen["monitor"],
            "leaseSeconds": self.lease,
            "readSeconds": self.read_seconds,
            "readLagSeconds": lag,
        }
        self.stalled: list[Invocation] = []
        self.faults: dict[str, list[str]] = {}
        self.epoch = 0
        self.edited_at = self.deleted_at = float("-inf")
        self.disturbed = False
        self.judged: set[str] = set()
        self.broken: list[str] = []
        for fast in chosen["fast"]:
            self.scale_out(BLUE, fast=fast)
        first = self.deploy(BLUE, (), longer=chosen["longer"])
        if before == "settled":
            assert self.polls(first, "shift") == "SUCCEEDED"
        elif before == "garbage":
            self.service.write("consumers")
        first.status, first.answered = "SUCCESSFUL", "SUCCEEDED"
        self.service.pass_time(2 * self.lease)
        for worker in self.service.workers:
            worker.link = LINKS[chosen["reads"]]
        self.next_deployment(longer=False, fast=[True])

    def deploy(self, target: str, sources: tuple[str, ...], *, longer: bool = False) -> Deployment:
        details = {**self.config, "leaseSeconds": self.lease * (2 if longer else 1)}
        number = len(self.service.deployments)
        self.service.deployments.append(Deployment(f"deployment-{number}", target, sources, details))
        return self.deployment

    @property
    def deployment(self) -> Deployment:
        return self.service.deployments[-1]

    # ------------------------------------------------------------------ ECS

    @rule(polls=st.sampled_from([1, 2, 4, 8]), stale=st.booleans())
    def ecs_shifts_to_green(self, polls: int, *, stale: bool) -> None:
        deployment = self.deployment
        if not deployment.ended and not deployment.answered and not self.rolling_back(deployment):
            self.polls(deployment, "shift", polls, stale=stale)

    @rule(polls=st.sampled_from([1, 3, 6]), stale=st.booleans())
    def ecs_rolls_back(self, polls: int, *, stale: bool) -> None:
        if not self.deployment.ended:
            self.deployment.status = "ROLLBACK_IN_PROGRESS"
            if self.rollback_is_called:
                self.polls(self.deployment, "rollback", polls, stale=stale)

    @rule()
    def the_deployment_ends(self) -> None:
        deployment = self.deployment
        if deployment.ended:
            return
        if self.rolling_back(deployment):
            if not self.rollback_is_called:
                self.ends(deployment, "ROLLBACK_SUCCESSFUL", deployment.blue)
        elif deployment.answered == "SUCCEEDED":
            self.ends(deployment, "SUCCESSFUL", deployment.target)

    @precondition(lambda self: len(self.service.deployments) < len(GREENS) - 1)
    @rule(longer=st.booleans(), fast=st.lists(st.booleans(), min_size=1, max_size=2))
    def next_deployment(self, *, longer: bool, fast: list[bool]) -> None:
        """Begin another deployment; one that is under way is superseded."""
        before = self.deployment
        if not before.ended:
            before.status = "STOPPED"
        # The last that succeeded is what ECS goes back to.
        keeps = self.successful()
        running = {worker.revision for worker in self.service.workers if worker.running} - {keeps}
        self.deploy(GREENS[len(self.service.deployments) - 1], (keeps, *sorted(running)), longer=longer)
        for faster in fast:
            self.scale_out(self.deployment.target, fast=faster)

    # ------------------------------------------------------------------ AWS and time

    @rule(share=st.sampled_from([0.02, 0.1, 0.34, 0.7, 1.0, 1.21, 2.5]))
    def time_passes(self, share: float) -> None:
        self.service.pass_time(share * self.lease)

    # ------------------------------------------------------------------ workers and messages

    # ------------------------------------------------------------------ people

    def person_takes_their_time(self) -> None:
        since = self.service.now - self.deleted_at
        self.service.pass_time(max(EDIT_SECONDS, RECREATE_SECONDS - since))

    def edits(self, text: str) -> None:
        self.service.write(text)
        self.disturbs()

    def disturbs(self) -> None:
        self.edited_at = self.service.now
        self.disturbed = True
        self.judged = set()

    def longest_alive(self) -> int:
        """Return the longest lease that a worker may still go by."""
        log = self.service.history.log
        alive = [0]
        for number, (_, versions) in enumerate(log):
            until = log[number + 1][0] if number + 1 < len(log) else self.service.now
            holding = next((version for version in reversed(versions) if not version.void), None)
            content = holding and holding.content
            if content and until + (content["leaseSeconds"] + self.service.lag) * 1.02 >= self.service.now:
                alive.append(content["leaseSeconds"])
        return max(alive)

    # ------------------------------------------------------------------ what must be true

    def written(self, version: Version) -> None:
        """Hold a write of the hook against what stood there and who may receive."""
        invocation = self.aws.invocation
        if version.void:
            return
        if invocation.at <= self.deleted_at:
            # A call that began before the parameter was deleted can't know that its number is used again:
            # its write counts, and is as good as a person's, who may lower the epoch, too.
            self.disturbs()
            self.epoch = 0
            return
        content = version.content
        assert content is not None
        if invocation.at > self.edited_at:
            # Else the epoch may be lost, and the call's clock older than the last one.
            self.must(content["epoch"] > self.epoch, "an epoch went back")
        self.epoch = max(self.epoch, content["epoch"])
        if content["handBack"]:
            self.judged.add(content["deployment"])
        judged = {
            deployment.target for deployment in self.service.deployments if deployment.id in self.judged
        }
        self.must(content["active"] not in judged, "a revision was let in that had been handed back")
        undisturbed = 1.02 * (2 * self.lease + self.service.lag) < self.service.now - self.edited_at
        if content["active"] and undisturbed:
            still_open = {worker.revision for worker in self.service.workers if worker.is_open}
            self.must(still_open <= {content["active"]}, "the hook did not wait for leases to run out")

    def must(self, holds: bool, otherwise: str) -> None:
        """Note a broken rule. To raise in here would be a defect that the hook answers."""
        if not holds:
            self.broken.append(otherwise)

    def invoke(self, invocation: Invocation) -> dict[str, Any] | None:
        """Call the hook; ``None`` where it stands still."""
        self.aws = Aws(
            self.service, invocation, faults=self.faults, on_write=self.written, weighted=self.weighted
        )
        try:
            reply = self.aws.ask_the_hook()
        except Stalled:
            self.stalled.append(invocation)
            return None
        assert self.broken == [], self.broken
        assert_valid(reply)
        if invocation.kind == "rollback":
            assert reply["hookStatus"] != "FAILED", "a rollback was refused"
        return reply

    def teardown(self) -> None:
        """Let everything that is broken be mended, and ECS bring to an end what it has begun."""
        if not hasattr(self, "service"):
            return
        self.faults = {}
        for worker in self.service.workers:
            worker.link = Link()
        if not self.late_calls_land_last:
            self.late_calls_land()
        if not self.deployment.ended:
            self.ecs_finishes(self.deployment)
        self.late_calls_land()
        unseen = self.deployment.status == "ROLLBACK_SUCCESSFUL" and not self.rollback_is_called
        if self.disturbed or unseen:
            # What happened after ECS made its last call is put right at the next deployment's first.
            self.repaired_by_the_next_deployment()
        active = self.service.history.active
        assert active is not None
        assert self.service.serves(active), f"{active} is active, and has no tasks"
        fresh = self.scale_out(active, fast=False)
        self.service.pass_time(4 * self.lease + self.service.lag + 100 + 50 * len(self.service.messages))
        assert fresh.is_open
        assert all(worker.is_open for worker in self.service.running(active))
        for message in self.service.messages:
            assert message.over, f"a {message.kind} message was left behind"
            assert message.handled <= 1 or message.crashes
            assert not message.dead or message.kind == "poison" or message.crashes

    def ecs_finishes(self, deployment: Deployment) -> None:
        asked = not self.rolling_back(deployment) and not deployment.answered
        if asked and self.polls(deployment, "shift") == "FAILED":
            deployment.status = "ROLLBACK_IN_PROGRESS"
        if deployment.answered == "SUCCEEDED" and not self.rolling_back(deployment):
            self.ends(deployment, "SUCCESSFUL", deployment.target)
            return
        deployment.status = "ROLLBACK_IN_PROGRESS"
        if self.rollback_is_called:
            assert self.polls(deployment, "rollback") == "SUCCEEDED"
        self.ends(deployment, "ROLLBACK_SUCCESSFUL", deployment.blue)

    def late_calls_land(self) -> None:
        while self.stalled:
            invocation = self.stalled.pop()
            invocation.stalls_before = None
            if invocation.at > self.deleted_at:
                self.invoke(invocation)

    def repaired_by_the_next_deployment(self) -> None:
        serving = self.successful()
        following = self.deploy("9000", (serving,))
        assert self.polls(following, "repair") == "SUCCEEDED"

    # ------------------------------------------------------------------ looking and doing

    def scale_out(self, revision: str, *, fast: bool) -> Worker:
        # No two clocks, AWS's included, differ by more than 1 % in their rates.
        slow_rate, fast_rate = (1 / 1.01, 1.0) if self.slow_world else (1.0, 1.01)
        return self.service.start(revision, rate=fast_rate if fast else slow_rate)

    def rolling_back(self, deployment: Deployment) -> bool:
        return deployment.status.startswith(("ROLLBACK", "STOP"))

    def successful(self) -> str:
        """Return the revision of the last deployment that succeeded."""
        return next(d.target for d in reversed(self.service.deployments) if d.status == "SUCCESSFUL")

    def possible(self, deployment: Deployment, kind: str) -> bool:
        """Tell whether ECS would ever make such a call; without weights the API tells what it is."""
        if kind == "rollback":
            return deployment.status.startswith("ROLLBACK")
        if kind == "shift" and deployment.answered and not deployment.ended:
            # A look at green that comes after the answer, and finds it bad, is more than a duplicate.
            return False
        return self.filled or kind == "repair" or not deployment.status.startswith("ROLLBACK")

    def call(
        self,
        deployment: Deployment,
        kind: str,
        *,
        details: dict[str, Any] | None = None,
        stale: bool = False,
        stalls_before: str | int | None = None,
    ) -> dict[str, Any] | None:
        stage = "PRE_SCALE_UP" if kind == "repair" else "PRODUCTION_TRAFFIC_SHIFT"
        green = {"repair": None, "shift": 100.0, "rollback": 0.0, "step": 10.0}[kind]
        if not self.filled and kind != "step":
            green = None
        return self.invoke(
            Invocation(
                event(deployment, stage, green, details),
                kind,
                self.service.now,
                stale=stale,
                stalls_before=stalls_before,
            )
        )

    def polls(self, deployment: Deployment, kind: str, times: int = MAX_POLLS, *, stale: bool = False) -> str:
        """Call as ECS does, until there is an answer."""
        for number in range(times):
            # ECS starts each stage with the details that the service has configured.
            details = None if number else self.details_of(deployment)
            reply = self.call(deployment, kind, details=details, stale=stale)
            assert reply is not None
            if reply["hookStatus"] != "IN_PROGRESS":
                # What a person has written and the hook found right as it is may still be put wrong.
                content = self.service.history.holding and self.service.history.holding.content
                self.disturbed &= not content or content.get("deployment") != deployment.id
                if kind == "shift":
                    deployment.answered = reply["hookStatus"]
                    if reply["hookStatus"] == "FAILED":
                        # It may be the last call that ECS makes.
                        assert self.disturbed or self.service.history.active == deployment.blue
                        deployment.status = "ROLLBACK_IN_PROGRESS"
                return str(reply["hookStatus"])
            deployment.details = reply["hookDetails"]
            self.service.pass_time(reply["callBackDelay"])
        assert times < MAX_POLLS, f"no answer after {times} calls"
        return ""

    def details_of(self, deployment: Deployment) -> dict[str, Any]:
        return {key: value for key, value in deployment.details.items() if key in self.config}

    def ends(self, deployment: Deployment, status: str, stays: str | None) -> None:
        deployment.status = status
        for worker in self.service.workers:
            if worker.revision != stays:
                worker.stops()


class Exclusion(Deployments):
    """Deployments and people change who may receive, and reads go as badly as they may."""

    @rule(data=st.data(), together=st.booleans(), how=st.sampled_from(sorted(LINKS)))
    def reads_change(self, data: st.DataObject, how: str, *, together: bool) -> None:
        # Of one worker, or of all that its revision has: a network fails by zones.
        worker = picked(data, self.service.workers)
        link = replace(LINKS[how], seconds=max(0.1, LINKS[how].seconds * self.read_seconds))
        for other in self.service.running(worker.revision) if together else [worker]:
            other.link = link

    @rule(data=st.data(), fast=st.booleans())
    def the_service_scales_out(self, data: st.DataObject, *, fast: bool) -> None:
        revision = data.draw(st.sampled_from(sorted({worker.revision for worker in self.service.workers})))
        if 0 < len(self.service.running(revision)) < 4:
            self.scale_out(revision, fast=fast)

    @rule(
        active=st.sampled_from([None, BLUE, *GREENS[:2]]),
        draining=st.sampled_from([None, None, BLUE, GREENS[0]]),
        epoch=st.sampled_from(["kept", "lowered"]),
        meant=st.sampled_from(["", "", "the next", "another"]),
        longer=st.booleans(),
    )
    def somebody_says_who_is_active(
        self, *, active: str | None, draining: str | None, epoch: str, meant: str, longer: bool
    ) -> None:
        self.person_takes_their_time()
        history = self.service.history
        held = (history.holding and history.holding.content) or {}
        kept = max(held.get("epoch", 0), self.epoch)
        value = {
            "schema": 1,
            # Who writes a version as the hook does minds the epoch as well.
            "epoch": kept + 1 if meant else kept if epoch == "kept" else 1,
            "active": active,
            "draining": draining,
            "leaseSeconds": max(self.longest_alive(), self.lease * (2 if longer else 1)),
            "readSeconds": self.read_seconds,
            "readLagSeconds": self.service.lag,
        }
        number = len(history.versions) + 1
        if meant:
            value["version"] = number + (meant == "another")
        self.edits(json.dumps(value))

    @rule(
        first=st.sampled_from([None, BLUE, *GREENS[:2]]),
        then=st.sampled_from([BLUE, *GREENS[:2]]),
        after=st.sampled_from([0.02, 0.34, 1.21]),
        patience=st.sampled_from([0.5, 1.21, 2.5]),
    )
    def somebody_changes_their_mind(
        self, first: str | None, then: str, after: float, patience: float
    ) -> None:
        self.somebody_says_who_is_active(active=first, draining=None, epoch="kept", meant="", longer=False)
        self.time_passes(after)
        self.somebody_says_who_is_active(active=then, draining=None, epoch="kept", meant="", longer=False)
        self.time_passes(patience)


class Races(Deployments):
    """Calls come twice, late and at the same time, stand still, and meet failures of AWS."""

    @rule(kind=st.sampled_from(["repair", "step"]), polls=st.sampled_from([1, 4]))
    def ecs_goes_on_where_nothing_is_to_move(self, kind: str, polls: int) -> None:
        if not self.deployment.ended and not self.deployment.answered:
            self.polls(self.deployment, kind, polls)

    @rule(
        data=st.data(),
        kind=st.sampled_from(["shift", "rollback", "repair", "step"]),
        stale=st.booleans(),
        forgetful=st.booleans(),
    )
    def a_call_comes_twice_or_late(
        self, data: st.DataObject, kind: str, *, stale: bool, forgetful: bool
    ) -> None:
        deployment = picked(data, self.service.deployments[1:])
        if self.possible(deployment, kind):
            self.call(deployment, kind, stale=stale, details=self.config if forgetful else None)
            self.service.pass_time(CALL_SECONDS)

    @precondition(lambda self: len(self.stalled) < 4)  # eleven would bury what holds under void versions
    @rule(
        kind=st.sampled_from(["shift", "shift", "rollback", "repair"]),
        where=st.sampled_from(["put_parameter", "put_parameter", 1, 2, 3]),
        stale=st.booleans(),
    )
    def a_call_stands_still(self, kind: str, where: str | int, *, stale: bool) -> None:
        """It goes on later, beside others, or never: then it has crashed."""
        if self.possible(self.deployment, kind):
            self.call(self.deployment, kind, stale=stale, stalls_before=where)

    @precondition(lambda self: self.stalled)
    @rule(data=st.data(), again=st.sampled_from([None, "put_parameter"]))
    def a_call_goes_on(self, data: st.DataObject, again: str | None) -> None:
        invocation = picked(data, self.stalled)
        self.stalled.remove(invocation)
        invocation.stalls_before = again
        self.invoke(invocation)

    @rule(status=st.sampled_from(["STOP_REQUESTED", "ROLLBACK_REQUESTED"]))
    def somebody_stops_the_deployment(self, status: str) -> None:
        if not self.deployment.ended:
            self.deployment.status = status

    @rule(
        operation=st.sampled_from(OPERATIONS),
        faults=st.lists(st.sampled_from(["throttled", "lost", "repeated"]), min_size=1, max_size=3),
    )
    def aws_fails(self, operation: str, faults: list[str]) -> None:
        self.faults[operation] = faults


class HandOver(Exclusion, Races):
    """All of it together, with messages of all kinds, crashes, and parameters that are lost."""

    @rule(data=st.data())
    def a_worker_reads_again_at_once(self, data: st.DataObject) -> None:
        worker = picked(data, self.service.workers)
        if worker.running:
            worker.read(self.service.now, worker.link)

    @rule(data=st.data(), fast=st.booleans(), comes_back=st.booleans())
    def a_worker_crashes(self, data: st.DataObject, *, fast: bool, comes_back: bool) -> None:
        worker = picked(data, self.service.workers)
        if not worker.running:
            return
        worker.crashes()
        # ECS starts another task for it, sooner or later.
        if comes_back or not self.service.serves(worker.revision):
            self.scale_out(worker.revision, fast=fast)

    @rule(kinds=st.lists(st.sampled_from(["short", "short", "short", "long", "poison"]), max_size=4))
    def messages_arrive(self, kinds: list[str]) -> None:
        self.service.messages += [Message(kind) for kind in kinds]

    @rule(text=st.sampled_from(["", "green", '{"active": "2000"}', '{"schema": 2, "active": "2000"}']))
    def somebody_writes_garbage(self, text: str) -> None:
        if self.longest_alive() <= self.lease:
            self.person_takes_their_time()
            self.edits(text)

    @rule()
    def somebody_deletes_the_parameter(self) -> None:
        if self.longest_alive() <= self.lease and self.service.history.versions:
            self.person_takes_their_time()
            self.service.delete()
            self.deleted_at = self.service.now
            self.disturbs()


Exclusion.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
Races.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
HandOver.TestCase.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
TestExclusion = Exclusion.TestCase
TestRaces = Races.TestCase
TestHandOver = HandOver.TestCase
