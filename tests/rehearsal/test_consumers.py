"""Tasks at their queue: who receives what, whatever happens to the parameter, to AWS or to the tasks.

No hook takes part here: a person hands over by hand, as nobody should.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import simpy
from activation_gate import State
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.actors import actor_of
from rehearsal.consumers import Ledger
from rehearsal.outcome import ActorSpoke, Consumption, Outcome, RevisionConsumption, Span
from rehearsal.scenario import Scenario
from rehearsal.world import Rehearsal
from tests.rehearsal.scripted_deployment import SUCCEEDED

QUEUE = {"queue": {"messagesPerMinute": 12}}
NAME = "/ecs-consumers/shop/checkout/consumers"

DEFAULTS = State(epoch=1, active=None)

# With the defaults: how long green has to see blue out of the parameter, and reads in between.
QUIET = 1.01 * (DEFAULTS.lease_seconds + DEFAULTS.read_lag_seconds)
READ = 5.5

# From the start of such a deployment to a minute after its end.
LASTS = 491


def rehearse(rehearsal: Rehearsal, *actors: dict[str, Any], seed: int = 0, **parts: Any) -> Outcome:
    return rehearsal.run(
        Scenario.model_validate(
            {
                "name": "test",
                "service": {"exposure": "headless"},
                "strategy": {"bakeTimeInMinutes": 5},
                "actors": list(actors),
                "expect": {"status": "SUCCESSFUL"},
                **parts,
            }
        ),
        seed=seed,
    )


def consumed(outcome: Outcome) -> Consumption:
    assert outcome.consumption is not None
    return outcome.consumption


def spoken(outcome: Outcome, *who: str) -> list[tuple[float, str]]:
    """Return what was said, but for the sum at the end."""
    lines = [
        (round(seen.at), seen.text)
        for seen in outcome.happenings
        if isinstance(seen, ActorSpoke) and seen.actor in who
    ]
    return lines[:-1] if "workers" in who else lines


def workers(**settings: Any) -> dict[str, Any]:
    return {"workers": settings}


def switch(after: str, **settings: Any) -> dict[str, Any]:
    return {"edit": {"after": after, **(settings or {"set": {"active": "green"}})}}


# What happens


def test_blue_takes_every_message_once(rehearsal: Rehearsal) -> None:
    seen = consumed(rehearse(rehearsal, {"queue": {"messagesPerMinute": 6, "lasts": "4m"}}, workers()))

    assert seen.sent > 20
    assert seen.deliveries == sorted(seen.deliveries, key=lambda delivery: delivery.received)
    assert [delivery.message for delivery in seen.deliveries] == [
        f"#{number}" for number in range(1, seen.sent + 1)
    ]
    assert {(delivery.revision, delivery.result) for delivery in seen.deliveries} == {("blue", "handled")}
    assert {round(d.ended - d.received, 3) for d in seen.deliveries if d.ended} == {10}
    assert len({delivery.task for delivery in seen.deliveries}) == 2
    assert seen.model_copy(update={"deliveries": [], "spans": []}) == Consumption(
        queue="orders",
        receiving=[],
        sent=seen.sent,
        handled=seen.sent,
        handled_twice=0,
        waiting=0,
        dead_letters=0,
        lost=[],
        overlap_seconds=0,
        longest_gap_seconds=seen.longest_gap_seconds,
        revisions={"blue": RevisionConsumption(received=seen.sent, handled=seen.sent, failed=0, abandoned=0)},
        spans=[],
        deliveries=[],
    )


def test_equal_seeds_give_equal_outcomes(rehearsal: Rehearsal) -> None:
    def run(seed: int) -> Outcome:
        return rehearse(rehearsal, QUEUE, workers(handling=["2s", "30s"]), switch("2m"), seed=seed)

    first, again, other = run(1), run(1), run(2)

    assert first.model_dump_json() == again.model_dump_json()
    assert consumed(first).deliveries != consumed(other).deliveries


def test_an_outcome_with_consumers_survives_json(rehearsal: Rehearsal) -> None:
    outcome = rehearse(rehearsal, QUEUE, workers())

    assert Outcome.model_validate_json(outcome.model_dump_json()) == outcome


def test_a_message_is_taken_when_it_comes_and_not_at_the_next_poll(rehearsal: Rehearsal) -> None:
    seen = consumed(rehearse(rehearsal, {"queue": {"messagesPerMinute": 2}}, workers(handling="1s")))

    # Long polls begin every 20 s at most; a message that had to wait for one would be late.
    assert len(seen.deliveries) > 5
    assert len({round(delivery.received % 20) for delivery in seen.deliveries}) > 5


def test_a_task_handles_as_many_at_a_time_as_it_is_told(rehearsal: Rehearsal) -> None:
    seen = consumed(
        rehearse(
            rehearsal,
            {"queue": {"messagesPerMinute": 0, "backlog": 30}},
            workers(concurrency=3, handling="10s"),
        )
    )

    def at_work(task: str, at: float) -> int:
        own = [delivery for delivery in seen.deliveries if delivery.task == task]
        return sum(delivery.received <= at < (delivery.ended or LASTS) for delivery in own)

    tasks = {delivery.task for delivery in seen.deliveries}
    assert {(len(tasks), at_work(task, second + 0.5)) for task in tasks for second in range(50)} == {(2, 3)}
    assert seen.handled == 30


def test_work_that_takes_long_is_not_given_to_others(rehearsal: Rehearsal) -> None:
    seen = consumed(
        rehearse(
            rehearsal,
            {"queue": {"messagesPerMinute": 0, "backlog": 2}},
            workers(handling="3m", visibilityTimeout="20s"),
        )
    )

    assert (seen.handled, len(seen.deliveries)) == (2, 2)


@pytest.mark.parametrize("activated", [True, False])
def test_nobody_consumes_unless_somebody_was_made_active(rehearsal: Rehearsal, activated: bool) -> None:
    outcome = rehearse(rehearsal, QUEUE, workers(activated=activated))
    seen = consumed(outcome)

    assert (seen.handled > 0) is activated
    assert spoken(outcome, "workers") == (
        [(0, "blue starts receiving"), (371, "blue stops receiving")] if activated else []
    )


def test_poison_becomes_a_dead_letter_and_is_not_lost(rehearsal: Rehearsal) -> None:
    seen = consumed(
        rehearse(
            rehearsal,
            {"queue": {"messagesPerMinute": 0, "backlog": 10, "poisonEach": 5, "deadLetterAfter": 2}},
            workers(handling="2s", visibilityTimeout="15s"),
        )
    )

    assert (seen.handled, seen.dead_letters, seen.waiting, seen.lost) == (8, 2, 0, [])
    assert [delivery.message for delivery in seen.deliveries if delivery.result == "failed"] == [
        "#5",
        "#10",
    ] * 2


# Handing over


def test_two_revisions_are_never_at_the_queue_at_once(rehearsal: Rehearsal) -> None:
    outcome = rehearse(rehearsal, QUEUE, workers(handling="3s"), switch("2m"))
    seen = consumed(outcome)

    assert [text for _, text in spoken(outcome, "workers")] == [
        "blue starts receiving",
        "blue stops receiving",
        "green starts receiving",
    ]
    assert spoken(outcome, "erin") == [(120, f'sets {{"active": "green"}} in {NAME}')]
    assert seen.receiving == ["green"]
    assert seen.overlap_seconds == 0
    assert QUIET - READ - 3 <= seen.longest_gap_seconds <= QUIET + READ
    assert (seen.lost, seen.handled_twice) == ([], 0)


def test_work_of_the_one_that_had_to_stop_overlaps_where_nobody_waits_for_it(rehearsal: Rehearsal) -> None:
    seen = consumed(rehearse(rehearsal, QUEUE, workers(handling="100s"), switch("2m")))

    blue, green = (next(span for span in seen.spans if span.revision == name) for name in ("blue", "green"))
    assert seen.overlap_seconds == pytest.approx(blue.end - green.start, abs=0.001)
    assert seen.overlap_seconds > 30
    assert seen.handled_twice == 0


@pytest.mark.parametrize(
    ("edit", "receiving"),
    [
        ({"text": "garbage"}, []),
        ({"delete": True}, []),
        ({"set": {"active": None}}, []),
        ({"set": {"active": "somebody else"}}, []),
        ({"set": {"active": "green"}, "keepVersion": True}, ["blue"]),
        ({"set": {"unknown": 1}}, ["blue"]),
    ],
    ids=str,
)
def test_an_edit_by_hand_means_what_the_library_makes_of_it(
    rehearsal: Rehearsal, edit: dict[str, Any], receiving: list[str]
) -> None:
    # The bake is not over yet, so both revisions run.
    seen = consumed(rehearse(rehearsal, QUEUE, workers(), switch("2m", **edit), {"stop": {"after": "4m"}}))

    assert (seen.receiving, seen.overlap_seconds) == (receiving, 0)


def test_a_person_can_not_edit_what_is_not_there(rehearsal: Rehearsal) -> None:
    outcome = rehearse(rehearsal, QUEUE, workers(activated=False), switch("2m", delete=True))

    assert spoken(outcome, "erin") == [(120, f"can't edit {NAME}: Parameter {NAME} not found.")]


def test_an_edit_is_one_thing() -> None:
    for wrong in ({}, {"text": "x", "delete": True}):
        with pytest.raises(ValueError, match="expected one of set, text and delete"):
            actor_of({"edit": wrong})


# Green in trouble


def test_a_green_that_never_asks_lets_messages_wait(rehearsal: Rehearsal) -> None:
    seen = consumed(rehearse(rehearsal, QUEUE, workers(green="never_healthy"), switch("2m")))

    assert seen.revisions.keys() == {"blue"}
    assert seen.waiting > 20


def test_a_green_that_fails_makes_dead_letters(rehearsal: Rehearsal) -> None:
    seen = consumed(
        rehearse(
            rehearsal, QUEUE, workers(green="poisons", handling="1s", visibilityTimeout="10s"), switch("90s")
        )
    )

    green = seen.revisions["green"]
    assert (green.handled, green.abandoned) == (0, 0)
    assert seen.dead_letters > 10
    assert seen.lost == []


def test_a_slow_green_takes_ten_times_as_long(rehearsal: Rehearsal) -> None:
    seen = consumed(rehearse(rehearsal, QUEUE, workers(green="slow", handling="3s"), switch("2m")))

    took = {
        (delivery.revision, round(delivery.ended - delivery.received, 3))
        for delivery in seen.deliveries
        if delivery.ended
    }
    assert took == {("blue", 3), ("green", 30)}


def test_a_green_that_crashes_is_started_again_and_again(rehearsal: Rehearsal) -> None:
    outcome = rehearse(rehearsal, QUEUE, workers(green="crashing", handling="2s"), switch("2m"))
    seen = consumed(outcome)

    green = [delivery for delivery in seen.deliveries if delivery.revision == "green"]
    assert {delivery.result for delivery in green} == {"abandoned"}
    # Each task had one message in its life.
    assert len({delivery.task for delivery in green}) == len(green) > 6
    assert seen.lost == []
    # It is said that it goes on, and not each time.
    assert len(spoken(outcome, "workers")) < 12


def test_a_task_that_crashed_is_not_replaced_once_its_revision_is_gone(rehearsal: Rehearsal) -> None:
    rehearse(
        rehearsal,
        QUEUE,
        workers(green="crashing", handling="2s"),
        switch("2m"),
        {"stop": {"after": "160s"}},
    )

    plane = rehearsal.cloud.control_plane
    [deployment] = plane.deployments.values()
    assert deployment.finished_at is not None
    late = [
        task
        for task in plane.tasks_of(deployment.target.arn)
        if task.stopping_at(deployment.finished_at) is None
    ]
    assert late == []


# Ends of tasks


def result_of_long_work(rehearsal: Rehearsal, **settings: Any) -> tuple[str, float | None]:
    """Return how the work of one blue task ended that begins shortly before blue is stopped."""
    outcome = rehearse(
        rehearsal,
        {"queue": {"messagesPerMinute": 0, "backlog": 1}},
        workers(handling="6m", **settings),
        strategy={"bakeTimeInMinutes": 3},
    )
    [delivery] = consumed(outcome).deliveries
    return delivery.result, delivery.ended


def test_work_is_abandoned_when_ecs_kills_the_task(rehearsal: Rehearsal) -> None:
    result, ended = result_of_long_work(rehearsal)

    # Clean-up begins 251 s after the start, and the library gives handlers 25 s more.
    assert (result, ended) == ("abandoned", pytest.approx(251 + 25, abs=0.5))


def test_a_protected_task_works_on(rehearsal: Rehearsal) -> None:
    assert result_of_long_work(rehearsal, protection=True) == ("handled", pytest.approx(360, abs=0.5))


def test_protection_is_given_back_when_there_is_nothing_to_do(rehearsal: Rehearsal) -> None:
    held: list[tuple[float, int]] = []
    scenario = Scenario.model_validate(
        {
            "name": "test",
            "service": {"exposure": "headless"},
            "strategy": {"bakeTimeInMinutes": 5},
            "hooks": [
                {"hook": "scripted", "stages": [stage], "replies": [SUCCEEDED]}
                for stage in ("PRE_SCALE_UP", "POST_SCALE_UP")
            ],
            "actors": [{"queue": {"messagesPerMinute": 0, "backlog": 1}}, workers(protection=True)],
            "expect": {"status": "SUCCESSFUL"},
        }
    )

    def look(happening: Any) -> None:
        if happening.kind == "call":
            ecs = rehearsal.cloud.client("ecs", user="admin")
            arns = ecs.list_tasks(cluster="shop")["taskArns"]
            found = ecs.get_task_protection(cluster="shop", tasks=arns)["protectedTasks"]
            held.append((happening.at, sum(task["protectionEnabled"] for task in found)))

    rehearsal.run(scenario, saw=look)

    assert held == [(1, 1), (61, 0)]


# AWS in trouble


@pytest.mark.parametrize(
    ("lasts", "said"),
    [
        ("4s", [(0, "blue starts receiving")]),
        ("1m", [(0, "blue starts receiving"), (74, "blue stops receiving"), (121, "blue starts receiving")]),
    ],
    ids=["shorter than the lease", "longer"],
)
def test_workers_bear_what_is_shorter_than_their_lease(
    rehearsal: Rehearsal, lasts: str, said: list[tuple[float, str]]
) -> None:
    trouble = {"call": "ssm:GetParameter", "whose": "workers", "after": "1m", "lasts": lasts}
    outcome = rehearse(rehearsal, QUEUE, workers(), {"trouble": trouble}, {"stop": {"after": "3m"}})

    assert [text for _, text in spoken(outcome, "workers")] == [text for _, text in said]
    for (at, _), (expected, _) in zip(spoken(outcome, "workers"), said, strict=True):
        assert at == pytest.approx(expected, abs=5)


def test_trouble_of_the_hooks_is_none_of_the_workers(rehearsal: Rehearsal) -> None:
    trouble = {"call": "*:*".replace("*:", "ssm:"), "after": "1m", "lasts": "1h"}
    outcome = rehearse(rehearsal, QUEUE, workers(), {"trouble": trouble}, {"stop": {"after": "3m"}})

    assert spoken(outcome, "workers") == [(0, "blue starts receiving")]


def test_reads_that_lag_let_nobody_in_too_early(rehearsal: Rehearsal) -> None:
    for chance in (1.0, 0.5):
        lag = {"seconds": DEFAULTS.read_lag_seconds, "chance": chance, "lasts": "1h"}
        outcome = rehearse(rehearsal, QUEUE, workers(handling="3s"), {"lag": lag}, switch("2m"))
        seen = consumed(outcome)

        assert (seen.receiving, seen.overlap_seconds) == (["green"], 0)


# The ledger


def ledger_of(edges: list[tuple[float, str, float]]) -> Consumption:
    """Return the report of polls that begin at a time, of a revision, and last so long; it ends at 100."""
    env = simpy.Environment()

    class Nothing:
        name, sent, dead_letters = "q", {}, None
        queue = type("Empty", (), {"_messages": []})()

    ledger = Ledger(env, Nothing(), lambda _: None)  # type: ignore[arg-type]

    def poll(start: float, revision: str, seconds: float) -> Any:
        yield env.timeout(start)
        with ledger.polling(revision):
            yield env.timeout(seconds)

    for edge in edges:
        env.process(poll(*edge))
    env.run(until=100.5)
    return ledger.report(100)


@pytest.mark.parametrize(
    ("polls", "spans", "overlap", "gap"),
    [
        ([], [], 0, 100),
        ([(10, "blue", 20), (30, "blue", 70)], [("blue", 10, 100)], 0, 0),
        ([(0, "blue", 20), (5, "blue", 50)], [("blue", 0, 55)], 0, 45),
        ([(0, "blue", 20), (50, "green", 50)], [("blue", 0, 20), ("green", 50, 100)], 0, 30),
        ([(0, "blue", 20), (20, "green", 80)], [("blue", 0, 20), ("green", 20, 100)], 0, 0),
        ([(0, "blue", 60), (20, "green", 80)], [("blue", 0, 60), ("green", 20, 100)], 40, 0),
        ([(0, "blue", 99), (20, "green", 10), (90, "green", 5)],
         [("blue", 0, 99), ("green", 20, 30), ("green", 90, 95)], 15, 1),
    ],
)  # fmt: skip
def test_overlaps_and_gaps_are_those_between_revisions(
    polls: list[tuple[float, str, float]], spans: list[tuple[str, float, float]], overlap: float, gap: float
) -> None:
    seen = ledger_of(polls)

    assert seen.spans == [Span(revision=revision, start=start, end=end) for revision, start, end in spans]
    assert (seen.overlap_seconds, seen.longest_gap_seconds) == (overlap, gap)


@given(
    st.lists(
        st.tuples(st.integers(0, 90), st.sampled_from(["blue", "green", "green-2"]), st.integers(0, 10)),
        max_size=12,
    )
)
def test_overlaps_and_gaps_are_what_counting_seconds_gives(polls: list[tuple[float, str, float]]) -> None:
    def there(second: int) -> set[str]:
        return {revision for start, revision, seconds in polls if start <= second < start + seconds}

    seen = ledger_of(polls)

    assert seen.overlap_seconds == sum(len(there(second)) > 1 for second in range(100))
    first = min((start for start, _, seconds in polls if seconds), default=0)
    idle = longest = 0
    for second in range(int(first), 100):
        idle = 0 if there(second) else idle + 1
        longest = max(longest, idle)
    assert seen.longest_gap_seconds == longest


# The queue


def metric(rehearsal: Rehearsal, name: str, queue: str = "orders", stat: str = "Sum") -> dict[int, float]:
    """Return a metric's values by the minute in which they were, counted from the start."""
    start = datetime(2026, 3, 2, 9, tzinfo=UTC)
    found = rehearsal.cloud.client("cloudwatch", user="admin").get_metric_statistics(
        Namespace="AWS/SQS",
        MetricName=name,
        Dimensions=[{"Name": "QueueName", "Value": queue}],
        StartTime=start - timedelta(hours=2),
        EndTime=start + timedelta(hours=2),
        Period=60,
        Statistics=[stat],
    )["Datapoints"]
    return {int((point["Timestamp"] - start).total_seconds() // 60): point[stat] for point in found}


def test_the_hour_before_is_in_the_metrics(rehearsal: Rehearsal) -> None:
    before = {"messagesPerMinute": 4, "oldest": "12s", "waiting": 3}
    rehearse(rehearsal, {"queue": {"messagesPerMinute": 0, "before": before}})

    minutes = range(-60, 0)
    seen = {
        name: {
            minute: value for minute, value in metric(rehearsal, name, stat="Maximum").items() if minute < 0
        }
        for name in (
            "ApproximateAgeOfOldestMessage",
            "ApproximateNumberOfMessagesVisible",
            "NumberOfMessagesDeleted",
        )
    }
    assert seen == {
        "ApproximateAgeOfOldestMessage": dict.fromkeys(minutes, 12.0),
        "ApproximateNumberOfMessagesVisible": dict.fromkeys(minutes, 3.0),
        "NumberOfMessagesDeleted": dict.fromkeys(minutes, 4.0),
    }


@pytest.mark.parametrize("before", [None, {"messagesPerMinute": 0}])
def test_of_a_queue_that_nobody_used_there_are_no_metrics(
    rehearsal: Rehearsal, before: dict[str, Any] | None
) -> None:
    rehearse(rehearsal, {"queue": {"before": before}})

    assert min(metric(rehearsal, "NumberOfMessagesSent")) == 0


def test_metrics_tell_each_minute_some_time_after_it(rehearsal: Rehearsal) -> None:
    outcome = rehearse(rehearsal, {"queue": {"before": None}}, workers())
    seen = consumed(outcome)

    sent = metric(rehearsal, "NumberOfMessagesSent")
    # Of the minute from 360 s on is told at 480 s, of the next too late.
    assert round(outcome.duration_seconds) == LASTS - 60
    assert list(sent) == list(range(7))
    deleted = metric(rehearsal, "NumberOfMessagesDeleted")
    handled = [delivery.ended for delivery in seen.deliveries if delivery.ended]
    assert deleted == {
        minute: sum(60 * minute <= ended < 60 * (minute + 1) for ended in handled) for minute in range(7)
    }


def test_dead_letters_have_metrics_of_their_own(rehearsal: Rehearsal) -> None:
    rehearse(
        rehearsal,
        {"queue": {"messagesPerMinute": 0, "backlog": 1, "poisonEach": 1, "deadLetterAfter": 1}},
        workers(handling="1s", visibilityTimeout="10s"),
    )

    dead = metric(rehearsal, "ApproximateNumberOfMessagesVisible", "orders-dead-letters", "Maximum")
    assert dead == dict.fromkeys(range(7), 1.0)
    assert set(metric(rehearsal, "NumberOfMessagesSent", "orders-dead-letters").values()) == {0.0}


# What is told at the end


def test_the_sum_is_said_when_all_is_over(rehearsal: Rehearsal) -> None:
    outcome = rehearse(rehearsal, {"queue": {"messagesPerMinute": 0, "backlog": 4}}, workers(handling="3s"))

    last = outcome.happenings[-1]
    assert isinstance(last, ActorSpoke)
    assert (last.actor, last.text) == (
        "workers",
        "blue handled 4 messages; of 4 sent 0 wait, 0 are dead letters, 0 are lost, 0 were handled twice; "
        f"longest gap {consumed(outcome).longest_gap_seconds:.0f} s, overlap 0 s",
    )
    assert last.at == pytest.approx(outcome.duration_seconds + 60, abs=0.01)


def test_expectations_are_held_against_what_happened(rehearsal: Rehearsal) -> None:
    expect = {
        "status": "SUCCESSFUL",
        "consumes": "green",
        "overlapAtMost": 0,
        "gapAtMost": "10s",
        "lost": 0,
        "handledTwice": 0,
        "deadLetters": 1,
    }
    outcome = rehearse(rehearsal, QUEUE, workers(handling="3s"), switch("2m"), expect=expect)

    gap = consumed(outcome).longest_gap_seconds
    assert [(check.text, check.held, check.seen) for check in outcome.checks[1:]] == [
        ("green consumes", True, "green"),
        ("two revisions are at the queue for 0 s or less", True, "0 s"),
        ("nobody is at the queue for 10 s or less", False, f"{gap:g} s"),
        ("0 messages are lost", True, "0"),
        ("0 messages are handled twice", True, "0"),
        ("1 messages are dead letters", False, "0"),
    ]
    assert not outcome.as_expected
