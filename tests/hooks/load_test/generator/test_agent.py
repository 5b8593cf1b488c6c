"""The agent on SQS and S3: what is run, what is answered, and what becomes of a run nobody asks about."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from load_generator.snapshot import Problem

from rehearsal.aws.cloud import Cloud
from tests.hooks.load_test.generator.agents import (
    BUCKET,
    LEASE_SECONDS,
    POLICY,
    REGION,
    ROLE,
    RUN,
    START,
    Account,
    ScriptedEngine,
    job,
)

FINISHED = ("finished", "", "")
GONE = ("ended", "lost", "the generator that ran it has gone")
STOPPED_TASK = ("ended", "lost", "the generator was stopped in the middle of the run")


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(START, tick=False) as clock:
        yield clock


@pytest.fixture
def account(clock: time_machine.Traveller) -> Iterator[Account]:
    with Cloud(region=REGION) as cloud, cloud.enforcing_iam():
        yield Account(cloud, clock)
        assert cloud.defects == []


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


def test_a_job_is_run_and_answered(account: Account, engine: ScriptedEngine) -> None:
    agent = account.agent("task-1", engine)
    account.ask()

    agent.step()
    account.go_on(agent, seconds=10)
    progress = account.read("progress")
    engine.finish()
    account.go_on(agent)

    assert engine.started == [RUN]
    assert progress is not None
    assert (progress["run"], progress["state"]) == (RUN, "running")
    assert (account.said(), account.messages(), agent.is_busy) == (FINISHED, 0, False)


def test_an_empty_queue_is_asked_again_a_look_later(account: Account, engine: ScriptedEngine) -> None:
    agent = account.agent("task-1", engine)
    at_once = account.agent("task-2", engine)
    at_once.wait_seconds = 20

    # Where the poll itself is long, the next may follow it.
    assert (agent.step(), at_once.step()) == (2.0, 0.0)


def test_the_task_role_needs_all_that_its_policy_allows(account: Account, engine: ScriptedEngine) -> None:
    from rehearsal.aws.policy import unused_grants

    dead, agent = account.agent("task-1", ScriptedEngine()), account.agent("task-2", engine)
    with account.cloud.recording() as calls:
        account.ask("dies-1")
        dead.step()
        account.go_on(dead, seconds=4)
        account.go_on(agent, seconds=80)
        account.ask()
        account.go_on(agent, seconds=30)
        engine.finish()
        account.go_on(agent)

    ours = [(call.action, call.resource) for call in calls if f"/{ROLE}/" in call.identity]
    assert {call.allowed for call in calls} == {True}
    assert unused_grants(POLICY, ours) == []


def test_a_job_is_held_for_as_long_as_it_runs(account: Account, engine: ScriptedEngine) -> None:
    runs, waits = account.agent("task-1", engine), account.agent("task-2", ScriptedEngine())
    account.ask()

    runs.step()
    for _ in range(5):
        account.control()
        account.go_on(runs, waits, seconds=60)

    assert (engine.started, engine.is_running, account.messages()) == ([RUN], True, 1)
    assert waits.engine == ScriptedEngine()


def test_runs_of_one_service_follow_each_other(account: Account, engine: ScriptedEngine) -> None:
    others = ScriptedEngine()
    agents = account.agent("task-1", engine), account.agent("task-2", others)
    account.ask("first-1")
    account.ask("second-1")

    account.go_on(*agents, seconds=10)
    during = (engine.started[:], others.started[:])
    engine.finish()
    account.go_on(*agents, seconds=10)

    assert during == (["first-1"], [])
    assert sorted(engine.started + others.started) == ["first-1", "second-1"]


def test_a_job_that_comes_again_after_its_end_is_not_run_again(
    account: Account, engine: ScriptedEngine
) -> None:
    agent = account.agent("task-1", engine)
    account.ask()
    agent.step()
    engine.finish()
    account.go_on(agent)

    account.ask()
    account.go_on(agent, seconds=4)

    assert (engine.started, account.said(), account.messages()) == ([RUN], FINISHED, 0)


def test_a_job_that_comes_again_while_it_runs_is_left_to_its_runner(
    account: Account, engine: ScriptedEngine
) -> None:
    runs, other = account.agent("task-1", engine), account.agent("task-2", ScriptedEngine())
    account.ask()
    runs.step()
    # In another group, for in its own it would not be delivered yet; and later than it may begin.
    account.send(job(start_before=timedelta(seconds=1)), group="another")

    account.go_on(runs, other, seconds=100)
    during = account.said()
    engine.finish()
    account.go_on(runs, other, seconds=80)

    assert during is None
    assert (account.said(), other.engine, account.messages()) == (FINISHED, ScriptedEngine(), 0)


def test_a_runner_whose_hold_on_the_job_is_lost_is_left_to_run(
    account: Account, engine: ScriptedEngine
) -> None:
    runs, other = account.agent("task-1", engine), account.agent("task-2", ScriptedEngine())
    account.ask()
    runs.step()
    account.fail("sqs:ChangeMessageVisibility", seconds=90)

    account.go_on(runs, other, seconds=100)
    during = account.said()
    engine.finish()
    account.go_on(runs, other, seconds=80)

    assert during is None
    assert (engine.started, account.said(), account.messages()) == ([RUN], FINISHED, 0)


def test_a_run_whose_runner_has_died_is_answered_for_and_not_run_again(account: Account) -> None:
    dies, other = account.agent("task-1", ScriptedEngine()), account.agent("task-2", ScriptedEngine())
    account.ask()
    dies.step()
    account.go_on(dies, other, seconds=60)

    account.control()
    account.go_on(other, seconds=70)

    assert (account.said(), account.messages()) == (GONE, 0)
    assert other.engine == ScriptedEngine()


def test_a_container_that_was_restarted_does_not_take_the_claim_for_its_own(account: Account) -> None:
    account.ask()
    account.agent("task-1", ScriptedEngine()).step()
    again = account.agent("task-1", ScriptedEngine())

    account.go_on(again, seconds=70)

    assert (account.said(), again.engine) == (GONE, ScriptedEngine())


def test_a_claim_whose_answer_was_lost_is_ones_own(account: Account, engine: ScriptedEngine) -> None:
    agent = account.agent("task-1", engine)
    account.ask()
    account.fail("s3:PutObject", times=1, after=True)

    agent.step()
    account.go_on(agent, seconds=70)

    assert (engine.started, engine.is_running, account.said()) == ([RUN], True, None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"target": "http://metadata:80"},
            "the target metadata:80 is not among LOAD_TARGETS: catalog:8080",
        ),
        (
            {"load": [{"seconds": 10, "from": 0, "to": 5000}]},
            "1000 requests per second to blue, LOAD_MAX_BLUE_RATE is 20",
        ),
        ({"version": 2}, "version: Input should be 1"),
    ],
)
def test_a_job_that_asks_for_too_much_is_refused_with_the_reason(
    account: Account, engine: ScriptedEngine, changes: dict[str, Any], reason: str
) -> None:
    account.ask(**changes)

    account.agent("task-1", engine).step()

    assert (account.said(), account.messages()) == (("ended", "refused", reason), 0)
    assert (engine.started, account.read("claim")) == ([], None)


@pytest.mark.parametrize(
    "body",
    [
        "nonsense",
        "[]",
        "{}",
        '{"run": 5}',
        '{"run": "../../control"}',
        "[" * 50_000,
        json.dumps({"run": "x" * 200}),
    ],
)
def test_a_message_that_is_no_job_is_removed(account: Account, engine: ScriptedEngine, body: str) -> None:
    agent = account.agent("task-1", engine)
    account.send(body)

    agent.step()

    listed = account.s3.list_objects_v2(Bucket=BUCKET)
    assert (engine.started, account.messages(), listed["KeyCount"]) == ([], 0, 0)


def test_a_message_of_which_only_the_run_is_understood_is_answered_for(
    account: Account, engine: ScriptedEngine
) -> None:
    account.send(json.dumps({"run": RUN, "load": "much"}))

    account.agent("task-1", engine).step()

    said = account.said()
    assert said is not None
    assert (said[:2], account.messages()) == (("ended", "refused"), 0)


def test_a_job_that_nobody_wants_any_more_is_not_run(account: Account, engine: ScriptedEngine) -> None:
    account.ask(start_before=timedelta(seconds=30))
    account.clock.shift(timedelta(seconds=30))

    account.agent("task-1", engine).step()

    expected = ("ended", "abandoned", "no generator was free before startBefore")
    assert (account.said(), engine.started, account.messages()) == (expected, [], 0)


OVER = "the hook's lease ended at 2026-03-05T11:59:59+00:00"


@pytest.mark.parametrize(
    ("control", "problem", "reason"),
    [
        (None, "abandoned", "the hook holds no lease on it"),
        ("nonsense", "abandoned", "the hook's lease ended at None"),
        ("[]", "abandoned", "the hook's lease ended at None"),
        ("[" * 60_000, "abandoned", "the hook's lease ended at None"),
        (
            '{"leaseUntil": "2026-03-05T13:00:00"}',
            "abandoned",
            "the hook's lease ended at 2026-03-05T13:00:00",
        ),
        ('{"leaseUntil": "2026-03-05T11:59:59+00:00"}', "abandoned", OVER),
        (
            '{"leaseUntil": "2026-03-05T13:00:00Z", "stop": "rolled back"}',
            "stopped",
            "rolled back",
        ),
    ],
)
def test_a_job_without_a_lease_is_not_run(
    account: Account, engine: ScriptedEngine, control: str | None, problem: str, reason: str
) -> None:
    if control is not None:
        account.put(RUN, "control", control)
    account.send(job())

    account.agent("task-1", engine).step()

    assert (account.said(), engine.started, account.messages()) == (("ended", problem, reason), [], 0)


def test_a_run_ends_when_its_lease_does(account: Account, engine: ScriptedEngine) -> None:
    agent = account.agent("task-1", engine)
    account.ask()
    agent.step()

    account.go_on(agent, seconds=LEASE_SECONDS - 2)
    before = engine.stops[:]
    account.go_on(agent, seconds=4)

    reason = "the hook's lease ended at 2026-03-05T12:02:00+00:00"
    assert (before, engine.stops) == ([], [(Problem.ABANDONED, reason)])
    assert (account.said(), account.messages()) == (("ended", "abandoned", reason), 0)


def test_a_run_goes_on_while_its_lease_is_renewed(account: Account, engine: ScriptedEngine) -> None:
    agent = account.agent("task-1", engine)
    account.ask()
    agent.step()

    for _ in range(6):
        account.go_on(agent, seconds=LEASE_SECONDS - 10)
        account.control()

    assert (engine.is_running, engine.stops) == (True, [])


def test_the_hooks_word_ends_a_run_once(account: Account, engine: ScriptedEngine) -> None:
    engine.looks_to_end = 3
    agent = account.agent("task-1", engine)
    account.ask()
    agent.step()

    account.control(stop="the deployment is rolled back")
    account.go_on(agent, seconds=6)
    during = (engine.stops[:], account.said())
    account.go_on(agent, seconds=4)

    assert during == ([(Problem.STOPPED, "the deployment is rolled back")], None)
    assert account.said() == ("ended", "stopped", "the deployment is rolled back")
    assert len(engine.stops) == 1


@pytest.mark.parametrize("action", ["s3:*", "s3:PutObject", "s3:GetObject", "sqs:*", "*"])
def test_a_run_goes_on_while_aws_is_throttled_and_is_told_of_later(
    account: Account, engine: ScriptedEngine, action: str
) -> None:
    agents = account.agent("task-1", engine), account.agent("task-2", ScriptedEngine())
    account.ask()
    agents[0].step()

    account.fail(action, seconds=100)
    account.go_on(*agents, seconds=90)
    during = (engine.is_running, engine.stops[:])
    engine.finish()
    account.go_on(*agents, seconds=80)

    assert during == (True, [])
    assert (engine.started, account.said(), account.messages()) == ([RUN], FINISHED, 0)


def test_a_lease_that_can_not_be_read_is_over_when_it_was_to_end(
    account: Account, engine: ScriptedEngine
) -> None:
    agent = account.agent("task-1", engine)
    account.ask()
    agent.step()
    account.fail("s3:GetObject")

    account.go_on(agent, seconds=LEASE_SECONDS - 2)
    before = engine.stops[:]
    account.go_on(agent, seconds=2)

    reason = "the lease could not be read until it was over"
    assert (before, engine.stops) == ([], [(Problem.ABANDONED, reason)])


def test_what_fails_does_not_keep_the_rest_from_being_done(account: Account, engine: ScriptedEngine) -> None:
    agent = account.agent("task-1", engine)
    account.ask()
    agent.step()
    account.fail("s3:PutObject")
    account.fail("sqs:ChangeMessageVisibility")

    account.control(stop="enough")
    account.go_on(agent, seconds=30)

    assert engine.stops == [(Problem.STOPPED, "enough")]


def test_a_job_whose_files_can_not_be_read_is_delivered_again(
    account: Account, engine: ScriptedEngine
) -> None:
    agent = account.agent("task-1", engine)
    account.ask()
    account.fail("s3:GetObject", seconds=30)

    assert agent.step() == 5.0
    account.go_on(agent, seconds=70)

    assert (engine.started, account.said()) == ([RUN], None)


def test_a_policy_without_the_permission_to_list_runs_nothing(
    account: Account, engine: ScriptedEngine
) -> None:
    agent = account.agent("task-1", engine)
    account.cloud.role(
        ROLE,
        [{**POLICY, "Statement": [one for one in POLICY["Statement"] if one["Action"] != "s3:ListBucket"]}],
    )
    account.send(job())

    agent.step()

    assert (engine.started, account.messages()) == ([], 1)


def test_a_task_that_is_stopped_ends_its_run_and_says_so(account: Account, engine: ScriptedEngine) -> None:
    agent = account.agent("task-1", engine)
    account.ask()
    agent.step()

    agent.close()

    assert (engine.snapshot, agent.is_busy) == (None, False)
    assert (account.said(), account.messages()) == (STOPPED_TASK, 0)


def test_a_task_that_is_stopped_tells_what_is_finished(account: Account, engine: ScriptedEngine) -> None:
    agent = account.agent("task-1", engine)
    account.ask()
    agent.step()
    engine.finish()

    agent.close()

    assert (account.said(), account.messages()) == (FINISHED, 0)


def test_a_task_that_is_stopped_and_can_not_say_so_is_answered_for(
    account: Account, engine: ScriptedEngine
) -> None:
    agent = account.agent("task-1", engine)
    account.ask()
    agent.step()
    account.fail("*", seconds=10)

    agent.close()
    account.go_on(account.agent("task-2", ScriptedEngine()), seconds=70)

    assert (account.said(), account.messages()) == (GONE, 0)


def test_a_task_that_is_stopped_without_a_run_has_nothing_to_say(
    account: Account, engine: ScriptedEngine
) -> None:
    with account.cloud.recording() as calls:
        account.agent("task-1", engine).close()

    assert calls == []


def test_the_first_result_stands(account: Account, engine: ScriptedEngine) -> None:
    """A task that was frozen for minutes is answered for; what it says when it goes on comes too late."""
    frozen, other = account.agent("task-1", engine), account.agent("task-2", ScriptedEngine())
    account.ask()
    frozen.step()

    account.control(lease=600)
    account.go_on(other, seconds=70)
    engine.finish()
    account.go_on(frozen, seconds=4)

    assert (account.said(), frozen.is_busy, account.messages()) == (GONE, False, 0)


def test_the_claim_says_whose_it_is(account: Account, engine: ScriptedEngine) -> None:
    account.ask()

    account.agent("task-1", engine).step()

    claim = account.read("claim")
    assert claim is not None
    assert claim == {"version": 1, "by": "task-1", "mark": claim["mark"]}
    assert len(claim["mark"]) == 16
