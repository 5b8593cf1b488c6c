"""The generator in the rehearsal: the agent itself, with requests whose cost is drawn."""

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from load_generator.job import Job, Limits
from load_generator.snapshot import Problem, Snapshot, State

from rehearsal.document import DocumentError
from rehearsal.outcome import ActorSpoke, Outcome
from rehearsal.scenario import Scenario
from rehearsal.simulated_load import Answerer, Manner, SimulatedEngine, Surroundings
from rehearsal.world import Rehearsal

LOAD = [{"seconds": 10, "to": 40}, {"seconds": 50, "at": 40}]
HOOK: dict[str, Any] = {
    "hook": "load_test",
    "stages": ["POST_TEST_TRAFFIC_SHIFT"],
    "hookDetails": {"load": LOAD, "graceSeconds": 5, "rules": ["errors < 1%"], "pollSeconds": 10},
}

MARKERS = {"green": "catalog:42", "blue": "catalog:41"}


def rehearse(
    rehearsal: Rehearsal,
    generator: Mapping[str, Any] | None,
    *actors: dict[str, Any],
    seed: int = 0,
    details: Mapping[str, Any] | None = None,
    **parts: Any,
) -> Outcome:
    hook = {**HOOK, "hookDetails": {**HOOK["hookDetails"], **(details or {})}}
    return rehearsal.run(
        Scenario.model_validate(
            {
                "name": "test",
                "service": {"name": "catalog", "exposure": "service-connect", "scaleUp": 5},
                "strategy": {"bakeTimeInMinutes": 0},
                "hooks": [hook],
                "actors": [*([{"generator": generator}] if generator is not None else []), *actors],
                "expect": {"status": "SUCCESSFUL"},
                **parts,
            }
        ),
        seed=seed,
    )


def spoken(outcome: Outcome) -> list[str]:
    happenings = (one for one in outcome.happenings if isinstance(one, ActorSpoke))
    return [one.text for one in happenings if one.actor == "generator"]


def reason(outcome: Outcome) -> str:
    records = [call.record for call in outcome.calls if call.record and not call.rollback]
    return str(records[-1]["verdict"]["reason"])


def measured(outcome: Outcome) -> dict[str, Any]:
    """Return the last measurement that a verdict was computed from."""
    records = [call.record for call in outcome.calls if call.record and call.record["inputs"].get("attempts")]
    found: dict[str, Any] = records[-1]["inputs"]["attempts"][-1]["measured"]
    return found


# The actor


def test_a_run_is_taken_run_and_told_of(rehearsal: Rehearsal) -> None:
    outcome = rehearse(rehearsal, {"blue": {"errors": 0}})

    assert outcome.status == "SUCCESSFUL"
    assert spoken(outcome) == ["run 1: 60 s, up to 40 requests a second", "run 1: finished"]
    assert measured(outcome)["preflight"] == MARKERS
    assert measured(outcome)["workers"] == {"expected": 2, "reporting": 2, "lost": 0}
    # The first five seconds do not count: 40 of the 200 that the ramp has, and a half of the 50 after it.
    assert measured(outcome)["arms"]["green"]["due"] == measured(outcome)["arms"]["green"]["sent"] == 2150


def test_equal_seeds_measure_the_same_and_others_something_else(rehearsal: Rehearsal) -> None:
    latencies = [
        measured(rehearse(rehearsal, {}, seed=seed))["arms"]["green"]["latency"] for seed in (1, 1, 2)
    ]

    assert latencies[0] == latencies[1]
    assert latencies[0] != latencies[2]


@pytest.mark.parametrize(
    ("generator", "status", "says"),
    [
        ({"green": {"errors": 0.1}}, "ROLLBACK_SUCCESSFUL", "green fails the load test: errors < 1%"),
        ({"green": {"refuses": True}}, "ROLLBACK_SUCCESSFUL", "nothing proves that green was asked"),
        ({"green": {"refuses": True, "after": "20s"}}, "ROLLBACK_SUCCESSFUL", "errors < 1%"),
        ({"green": {"wrongRevision": 0.7}}, "ROLLBACK_SUCCESSFUL", "nothing proves that green was asked"),
        ({"green": {"wrongRevision": 0.2, "after": "10s"}}, "ROLLBACK_SUCCESSFUL", "another revision"),
        ({"lag": 0.3}, "ROLLBACK_SUCCESSFUL", "the generator was too slow"),
        ({"losesWorker": {"after": "20s"}}, "SUCCESSFUL", "green holds the load"),
        ({"dies": {"after": "20s"}}, "SUCCESSFUL", "green holds the load"),
        ({"startsAfter": "60s"}, "SUCCESSFUL", "green holds the load"),
        ({"blueSuffers": {"after": "20s"}}, "ROLLBACK_SUCCESSFUL", "blue suffered"),
        ({"targets": ["other:8080"]}, "ROLLBACK_SUCCESSFUL", "does not allow this load"),
        ({"maxRate": 20}, "ROLLBACK_SUCCESSFUL", "LOAD_MAX_RATE is 20"),
    ],
    ids=str,
)
def test_what_happens_to_green_or_to_the_generator_is_what_the_hook_says(
    rehearsal: Rehearsal, generator: dict[str, Any], status: str, says: str
) -> None:
    outcome = rehearse(rehearsal, {"blue": {"errors": 0}, **generator})

    assert (outcome.status, says in reason(outcome)) == (status, True), reason(outcome)


def test_a_task_that_dies_is_replaced_and_the_other_answers_for_its_run(rehearsal: Rehearsal) -> None:
    outcome = rehearse(rehearsal, {"blue": {"errors": 0}, "dies": {"after": "20s", "restartsAfter": "20s"}})

    assert [line.partition(":")[0] for line in spoken(outcome)] == [
        "run 1",
        "its task is killed in the middle of the run",
        "another task of it runs",
        "run 2",
        "run 2",
    ]


def test_a_real_engine_needs_the_real_clock(rehearsal: Rehearsal) -> None:
    with pytest.raises(DocumentError, match=r"the generator actor's processes are real, .*: --clock real"):
        rehearse(rehearsal, {"engine": "locust"})


def test_a_stall_is_counted_from_when_requests_were_due(rehearsal: Rehearsal) -> None:
    stalls = {"green": {"stalls": {"every": "10s", "lasts": "2s"}}}
    outcome = rehearse(rehearsal, {"blue": {"errors": 0}, **stalls}, details={"rules": ["p(90) < 500ms"]})

    # A fifth of the requests is due in a stall, and these wait for a second on average.
    assert outcome.status == "ROLLBACK_SUCCESSFUL"
    assert reason(outcome).startswith("green fails the load test: p(90) < 500ms: 1")


def test_a_run_that_outlives_its_deployment_is_waited_for_and_told_of(rehearsal: Rehearsal) -> None:
    outcome = rehearse(
        rehearsal,
        {},
        {"alarm": {"after": "30s"}},
        alarms=["green-5xx"],
        details={"load": [{"seconds": 900, "at": 5}]},
    )

    assert outcome.status == "ROLLBACK_SUCCESSFUL"
    assert spoken(outcome)[1].startswith("run 1 ends: the hook's lease ended at ")
    assert outcome.happenings[-1].at > outcome.duration_seconds


def test_it_does_what_the_template_lets_its_task_role_do_and_tries_nothing_else(rehearsal: Rehearsal) -> None:
    with rehearsal.cloud.recording() as calls:
        rehearse(rehearsal, {})

    made = [call for call in calls if "load-generator-task" in call.identity]
    assert [call for call in made if not call.allowed] == []
    assert {call.action for call in made} == {
        "sqs:ReceiveMessage",
        "sqs:ChangeMessageVisibility",
        "sqs:DeleteMessage",
        "s3:GetObject",
        # What is asked of whoever asks for an object that is not there.
        "s3:ListBucket",
        "s3:PutObject",
    }


# The engine


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def job(**changes: Any) -> Job:
    return Job.model_validate(
        {
            "version": 1,
            "run": "run-1",
            "service": "shop/catalog",
            "target": "http://catalog:8080",
            "marker": "x-revision",
            "arms": {
                "green": {"headers": {"x-release": "green"}, "marker": "catalog:42"},
                "blue": {"headers": {}, "marker": "catalog:41"},
            },
            "load": [{"seconds": 60, "from": 20, "to": 20}],
            "startBefore": datetime(2026, 3, 5, tzinfo=UTC).isoformat(),
            **changes,
        }
    )


def engine(
    clock: Clock, manner: Callable[[str, float], Manner] | None = None, **changes: Any
) -> SimulatedEngine:
    def route(headers: Mapping[str, str]) -> Answerer:
        colour, other = ("green", "blue") if headers else ("blue", "green")
        return Answerer(colour, MARKERS[colour], MARKERS[other])

    return SimulatedEngine(
        Surroundings(
            **{
                "clock": clock,
                "route": route,
                "manner": manner or (lambda *_: Manner(latency_seconds=0.05, spread=0.5)),
                "rng": random.Random(1),
                "limits": Limits(),
                "workers": 3,
                "preflight_seconds": 4.0,
                "lag_seconds": 0.001,
                **changes,
            }
        )
    )


def run(clock: Clock, started: SimulatedEngine, seconds: float, step: float = 1.0) -> list[Snapshot]:
    """Look each *step* until it is over, for so many seconds at most."""
    seen = []
    while clock.seconds < seconds:
        seen.append(started.look())
        if seen[-1].state.is_final:
            break
        clock.seconds += step
    return seen


def test_a_run_goes_through_its_states_and_at_every_moment_adds_up() -> None:
    clock = Clock()
    started = engine(clock)
    started.start(job())
    seen = run(clock, started, 100)

    states = list(dict.fromkeys(one.state for one in seen))
    assert states in (
        [State.PREFLIGHT, State.RUNNING, State.FINISHED],
        [State.PREFLIGHT, State.RUNNING, State.SETTLING, State.FINISHED],
    )
    for one in seen:
        for arm in one.counts.arms.values():
            assert arm.sent == arm.answered + arm.in_flight + arm.misrouted
            assert arm.answered == arm.errors.total() + arm.latency.count
    assert {name: arm.sent for name, arm in seen[-1].counts.arms.items()} == {"green": 1200, "blue": 240}


def test_how_often_it_is_looked_at_changes_nothing_about_what_is_sent() -> None:
    ends = []
    for step in (1.0, 7.0, 100.0):
        clock = Clock()
        started = engine(clock)
        started.start(job())
        ends.append(run(clock, started, 1000, step)[-1])

    assert len({str(end.counts.write()) for end in ends}) == 1
    assert {end.state for end in ends} == {State.FINISHED}


def test_a_run_that_is_stopped_sends_no_more_and_ends_with_what_it_has() -> None:
    clock = Clock()
    started = engine(clock)
    started.start(job())
    sent = run(clock, started, 30)[-1].counts.arm("green").sent
    started.stop(Problem.STOPPED, "enough")
    seen = run(clock, started, 100)

    assert (seen[-1].state, seen[-1].problem, seen[-1].reason) == (State.ENDED, Problem.STOPPED, "enough")
    assert seen[-1].counts.arm("green").sent == sent
    assert clock.seconds < 40


def test_stopped_in_the_preflight_it_never_begins() -> None:
    clock = Clock()
    started = engine(clock)
    started.start(job())
    started.stop(Problem.ABANDONED, "nobody asks")

    assert started.look().state is State.ENDED
    assert started.look().counts.arms["green"].sent == 0


def test_an_answer_that_takes_too_long_is_a_timeout() -> None:
    clock = Clock()
    started = engine(
        clock, lambda colour, _: Manner(latency_seconds=60.0 if colour == "green" else 0.05, spread=0.0)
    )
    started.start(job(timeoutSeconds=2))
    end = run(clock, started, 200)[-1]

    assert end.state is State.FINISHED
    assert dict(end.counts.arm("green").errors) == {"timeout": 1200}


def test_what_a_worker_may_not_have_in_flight_is_held() -> None:
    clock = Clock()
    started = engine(
        clock, lambda *_: Manner(latency_seconds=60.0, spread=0.0), limits=Limits(max_in_flight=5), workers=1
    )
    started.start(job(timeoutSeconds=30))
    arm = run(clock, started, 200)[-1].counts.arm("green")

    assert arm.held > 0
    assert arm.sent + arm.held == 1200


def test_a_lost_worker_leaves_its_part_unsent() -> None:
    clock = Clock()
    started = engine(clock, loses_worker_after=20.0)
    started.start(job())
    end = run(clock, started, 200)[-1]

    assert end.workers == (3, 2, 1)
    assert 800 < end.counts.arm("green").sent < 1000
    assert end.due["green"] == 1200
