"""Generators under everything that may happen to them: duplicates, deaths, throttling, lost answers, leases.

The oracle looks at what engines do and at what stands in the bucket, and shares no code with the agent.
"""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
import time_machine
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from load_generator.agent import LOOK_SECONDS, Agent
from load_generator.job import Job

from rehearsal.aws.cloud import Cloud
from tests.hooks.load_test.generator.agents import LEASE_SECONDS, REGION, START, Account, ScriptedEngine, job

SERVICES = ("a", "b")
MAX_RUNS = 6

# Long enough for every lease, and for jobs that wait for one another to be delivered again, twice.
QUIET_SECONDS = 1200

# What may fail for long, and what is done although its answer is lost.
THROTTLED = ["s3:*", "s3:GetObject", "s3:PutObject", "sqs:*", "*"]
LOST = ["s3:PutObject", "sqs:DeleteMessage", "sqs:ReceiveMessage"]
# What happens is followed by the end of a lease, by hardly anything, or by the end of a hold on a job.
TICKS = st.sampled_from([65, 1, 35])


class Task:
    """A generator's task: it lives, and what it runs dies with it."""

    def __init__(self, account: Account, name: str) -> None:
        self.engine = ScriptedEngine()
        self.agent: Agent = account.agent(name, self.engine)
        self.due = datetime.now(UTC)
        self.stands_still = False
        """It sends nothing either."""

    def step(self) -> None:
        if datetime.now(UTC) >= self.due:
            self.stands_still = False
            self.due = datetime.now(UTC) + timedelta(seconds=self.agent.step())


class Generators(RuleBasedStateMachine):
    cloud: ClassVar[Cloud]
    clock: ClassVar[time_machine.Traveller]

    def __init__(self) -> None:
        super().__init__()
        self.cloud.reset()
        self.clock.move_to(START)
        self.account = Account(self.cloud, self.clock)
        self.runs: list[str] = []
        self.started: list[str] = []
        self.finished: set[str] = set()
        self.stopped: set[str] = set()
        self.leases: dict[str, datetime] = {}
        """The longest that the hook ever gave."""
        self.results: dict[str, dict[str, Any]] = {}
        self.tasks: list[Task | None] = [None, None]
        for place in range(len(self.tasks)):
            self.restart(place)
        self.deliver(SERVICES[0])
        self.tick()

    def restart(self, place: int) -> None:
        task = self.tasks[place] = Task(self.account, f"task-{place}")
        task.engine.on_start = self.starts

    def starts(self, started: Job) -> None:
        assert started.run not in self.started, "a run was run again"
        assert started.run not in self.results, "a run was run after its result"
        self.started.append(started.run)

    def running(self) -> list[Task]:
        return [task for task in self.tasks if task and task.engine.is_running]

    def tick(self) -> None:
        self.clock.shift(timedelta(seconds=LOOK_SECONDS))
        for task in self.tasks:
            if task is not None:
                task.step()
        for task in self.running():
            assert task.engine.snapshot is not None
            if task.engine.ending is None and not task.stands_still:
                without = datetime.now(UTC) - self.leases[task.engine.snapshot.run]
                assert without <= timedelta(seconds=2 * LOOK_SECONDS), "a run goes on without a lease"

    def lease(self, run: str, seconds: float, stop: str = "") -> None:
        self.account.control(run, lease=seconds, stop=stop)
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        self.leases[run] = max(until, self.leases.get(run, until))

    @precondition(lambda self: len(self.runs) < MAX_RUNS)
    @rule(service=st.sampled_from(SERVICES))
    def deliver(self, service: str) -> None:
        run = f"{service}-{len(self.runs)}"
        self.runs.append(run)
        self.lease(run, LEASE_SECONDS)
        self.account.send(job(run), group=service)

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), group=st.sampled_from((*SERVICES, "another")))
    def duplicate(self, data: st.DataObject, group: str) -> None:
        self.account.send(job(data.draw(st.sampled_from(self.runs))), group=group)

    @rule(place=st.integers(0, 1), restarts=st.booleans(), ticks=TICKS)
    def die(self, place: int, restarts: bool, ticks: int) -> None:
        self.tasks[place] = None
        if restarts:
            self.restart(place)
        self.pass_time(ticks)

    @precondition(lambda self: None in self.tasks)
    @rule()
    def start_anew(self) -> None:
        self.restart(self.tasks.index(None))

    @rule(place=st.integers(0, 1))
    def close(self, place: int) -> None:
        task, self.tasks[place] = self.tasks[place], None
        if task is not None:
            task.agent.close()
            assert not task.engine.is_running

    @rule(action=st.sampled_from(THROTTLED), ticks=TICKS)
    def throttle(self, action: str, ticks: int) -> None:
        self.account.fail(action, LOOK_SECONDS * (ticks + 1))
        self.pass_time(ticks)

    @rule(action=st.sampled_from(LOST))
    def lose_an_answer(self, action: str) -> None:
        self.account.fail(action, after=True, times=1)

    @precondition(lambda self: self.running())
    @rule(data=st.data())
    def freeze(self, data: st.DataObject) -> None:
        """Let a machine stand still for longer than the queue waits for it."""
        task = data.draw(st.sampled_from(self.running()))
        task.due, task.stands_still = datetime.now(UTC) + timedelta(seconds=90), True
        self.pass_time(40)

    @precondition(lambda self: set(self.runs) - self.stopped)
    @rule(data=st.data(), seconds=st.sampled_from([1, LEASE_SECONDS]))
    def renew(self, data: st.DataObject, seconds: float) -> None:
        self.lease(data.draw(st.sampled_from(sorted(set(self.runs) - self.stopped))), seconds)

    @precondition(lambda self: set(self.runs) - self.stopped)
    @rule(data=st.data())
    def stop(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(sorted(set(self.runs) - self.stopped)))
        self.stopped.add(run)
        self.lease(run, 0, "the deployment is rolled back")

    @precondition(lambda self: self.running())
    @rule(data=st.data(), looks=st.integers(0, 3))
    def finish(self, data: st.DataObject, looks: int) -> None:
        engine = data.draw(st.sampled_from(self.running())).engine
        assert engine.snapshot is not None
        engine.looks_to_end = looks
        engine.finish()
        self.finished.add(engine.snapshot.run)

    @rule(ticks=TICKS)
    def pass_time(self, ticks: int) -> None:
        for _ in range(ticks):
            self.tick()

    @invariant()
    def the_first_result_stands(self) -> None:
        for run in self.runs:
            found = self.account.read("result", run)
            if run in self.results:
                assert found == self.results[run]
            elif found is not None:
                assert found["run"] == run
                assert found["state"] != "finished" or run in self.finished
                self.results[run] = found

    def teardown(self) -> None:
        """Let AWS be well, and nobody ask any more: then everything comes to its end."""
        self.cloud.faults.clear()
        for place, task in enumerate(self.tasks):
            if task is None:
                self.restart(place)
        for _ in range(round(QUIET_SECONDS / LOOK_SECONDS)):
            if not self.account.messages() and not any(task and task.agent.is_busy for task in self.tasks):
                break
            self.tick()
        self.the_first_result_stands()
        assert sorted(self.results) == sorted(self.runs)
        assert (self.account.messages(), self.running()) == (0, [])
        assert self.cloud.defects == []


@pytest.fixture(autouse=True)
def quiet_log() -> Iterator[None]:
    log = logging.getLogger("load_generator")
    level, log.level = log.level, logging.CRITICAL
    yield
    log.setLevel(level)


@pytest.fixture
def aws() -> Iterator[tuple[Cloud, time_machine.Traveller]]:
    with (
        time_machine.travel(START, tick=False) as clock,
        Cloud(region=REGION) as cloud,
        cloud.enforcing_iam(),
    ):
        yield cloud, clock


@pytest.mark.thorough
def test_a_run_is_run_once_at_most_answered_once_and_never_without_a_lease(
    aws: tuple[Cloud, time_machine.Traveller],
) -> None:
    Generators.cloud, Generators.clock = aws
    run_state_machine_as_test(
        Generators, settings=settings(max_examples=30, stateful_step_count=12, deadline=None)
    )
