"""What the master makes of the workers' reports."""

from typing import Any

import pytest
from load_generator.progress import Progress, Report, suffering
from load_generator.snapshot import ArmCounts, Counts, Problem, State

from tests.hooks.load_test.generator.surroundings import a_job

NO_LIMIT = 10**12


def counted(green: int = 0, blue: int = 0, errors: int = 0) -> Counts:
    counts = Counts()
    for name, number in (("green", green), ("blue", blue)):
        arm = counts.arm(name)
        arm.sent = arm.answered = number
    for _ in range(errors):
        counts.arm("blue").failed("status 503")
    return counts


def a_run(workers: int = 2, **changes: Any) -> Progress:
    progress = Progress(a_job(**{"rate": 10, "seconds": 10, **changes}))
    progress.begin([f"w{number}" for number in range(workers)], now=100.0)
    return progress


def report(reached: float, heard: float, *, done: bool = False, **counts: int) -> Report:
    return Report(reached, done, 1000, counted(**counts), heard)


def test_what_is_due_is_due_at_the_moments_the_counts_were_made() -> None:
    progress = a_run()
    progress.hear("w0", report(4.0, 104.0, green=20, blue=4))
    progress.hear("w1", report(3.0, 103.5, green=15, blue=3))
    progress.watch(set(), NO_LIMIT, 104.1)
    snapshot = progress.snapshot(104.1)
    assert (snapshot.due_seconds, snapshot.due) == (3.5, {"green": 35.0, "blue": 7.0})
    assert {name: arm.sent for name, arm in snapshot.counts.arms.items()} == {"green": 35, "blue": 7}
    assert (snapshot.state, snapshot.workers) == (State.RUNNING, (2, 2, 0))


def test_a_run_is_finished_when_all_have_told_their_last() -> None:
    progress = a_run()
    progress.hear("w0", report(10.0, 110.0, done=True, green=50, blue=10))
    progress.hear("w1", report(10.0, 110.0, green=49, blue=10))
    progress.watch(set(), NO_LIMIT, 110.1)
    assert progress.state is State.SETTLING
    progress.hear("w1", report(10.0, 110.5, done=True, green=50, blue=10))
    progress.watch(set(), NO_LIMIT, 110.6)
    snapshot = progress.snapshot(200.0)
    assert (snapshot.state, snapshot.elapsed_seconds) == (State.FINISHED, pytest.approx(10.6))
    assert (snapshot.due_seconds, snapshot.due) == (10.0, {"green": 100.0, "blue": 20.0})


def test_the_part_of_a_lost_worker_goes_on_being_due() -> None:
    progress = a_run()
    progress.hear("w0", report(10.0, 110.0, done=True, green=50, blue=10))
    progress.hear("w1", report(4.0, 104.0, green=20, blue=4))
    progress.watch({"w1"}, NO_LIMIT, 110.2)
    snapshot = progress.snapshot(110.2)
    assert (snapshot.state, snapshot.workers) == (State.FINISHED, (2, 1, 1))
    assert (snapshot.due_seconds, snapshot.due) == (10.0, {"green": 100.0, "blue": 20.0})
    assert snapshot.counts.arms["green"].sent == 70


def test_a_worker_that_says_nothing_for_some_seconds_is_judged_by_the_clock() -> None:
    progress = a_run()
    progress.hear("w0", report(6.0, 106.0, green=30))
    progress.hear("w1", report(2.0, 102.0, green=10))
    progress.watch(set(), NO_LIMIT, 106.0)
    assert progress.snapshot(106.0).due_seconds == 6.0


def test_a_worker_that_ends_in_the_middle_of_the_load_counts_as_lost() -> None:
    progress = a_run()
    progress.hear("w0", report(5.0, 105.0, done=True, green=25))
    progress.hear("w1", report(5.0, 105.0, green=25))
    progress.watch(set(), NO_LIMIT, 105.5)
    snapshot = progress.snapshot(105.5)
    assert (snapshot.state, snapshot.workers) == (State.RUNNING, (2, 1, 1))
    assert snapshot.due_seconds == pytest.approx((5.5 + 5.0) / 2)


def test_a_run_without_any_worker_left_has_ended_with_its_last_counts() -> None:
    progress = a_run()
    progress.hear("w0", report(5.0, 105.0, green=25))
    progress.watch({"w0", "w1"}, NO_LIMIT, 106.0)
    snapshot = progress.snapshot(107.0)
    assert (snapshot.state, snapshot.problem, snapshot.reason) == (
        *(State.ENDED, Problem.LOST),
        "all 2 workers are lost",
    )
    assert snapshot.counts.arms["green"].sent == 25


def test_reports_of_strangers_and_of_latecomers_change_nothing() -> None:
    progress = a_run(workers=1)
    progress.hear("w9", report(5.0, 105.0, green=1000))
    progress.hear("w0", report(10.0, 110.0, done=True, green=100, blue=20))
    progress.watch(set(), NO_LIMIT, 110.0)
    progress.hear("w0", report(10.0, 111.0, done=True, green=999))
    assert progress.snapshot(112.0).counts.arms["green"].sent == 100


def test_a_run_that_is_stopped_ends_when_all_have_told_their_last() -> None:
    progress = a_run(workers=1)
    progress.hear("w0", report(5.0, 105.0, green=50))
    progress.stop(Problem.STOPPED, "enough", until=112.0)
    progress.stop(Problem.ABANDONED, "later", until=112.0)
    progress.watch(set(), NO_LIMIT, 105.5)
    assert progress.state is State.RUNNING
    progress.hear("w0", report(5.4, 106.0, done=True, green=54, blue=11))
    progress.watch(set(), NO_LIMIT, 106.0)
    snapshot = progress.snapshot(106.0)
    assert (snapshot.state, snapshot.problem, snapshot.reason) == (State.ENDED, Problem.STOPPED, "enough")
    assert (snapshot.due["green"], snapshot.counts.arms["green"].sent, snapshot.workers) == (
        54,
        54,
        (1, 1, 0),
    )


def test_a_stop_does_not_wait_for_a_worker_for_ever() -> None:
    progress = a_run(workers=1)
    progress.stop(Problem.STOPPED, "enough", until=107.0)
    progress.watch(set(), NO_LIMIT, 106.9)
    assert progress.state is State.RUNNING
    progress.watch(set(), NO_LIMIT, 107.0)
    assert progress.state is State.ENDED


def test_workers_that_never_come_to_an_end_are_not_awaited_for_ever() -> None:
    progress = a_run()
    assert progress.watch(set(), NO_LIMIT, 129.0) == (Problem.NONE, "")
    assert progress.watch(set(), NO_LIMIT, 130.5) == (
        Problem.LOST,
        "the workers did not come to the end of the load in time",
    )


def test_too_many_bytes_stop_the_run() -> None:
    progress = a_run()
    for worker in ("w0", "w1"):
        progress.hear(worker, report(5.0, 105.0))
    assert progress.watch(set(), 2000, 105.0) == (Problem.NONE, "")
    assert progress.watch(set(), 1999, 105.5) == (
        Problem.TOO_MANY_BYTES,
        "2000 bytes were received, LOAD_MAX_BYTES is 1999",
    )


def test_blue_is_judged_by_its_last_ten_seconds() -> None:
    progress = a_run(workers=1, rate=100, seconds=100)
    for second in range(1, 31):
        progress.hear("w0", report(second, 100.0 + second, blue=20 * second, errors=max(second - 28, 0) * 10))
        problem, reason = progress.watch(set(), NO_LIMIT, 100.0 + second)
        if problem is not Problem.NONE:
            break
    # 200 answers in ten seconds bear ten errors, and not twenty.
    assert (second, problem) == (30, Problem.BLUE_DEGRADED)
    assert reason == ("20 of blue's 200 answers in 10 s were errors, 10.0%; protectBlue.errorsAbove is 5.0%")


def arm_of(answered: int, errors: int, seconds: float = 0.01) -> ArmCounts:
    arm = ArmCounts(sent=answered, answered=answered)
    for _ in range(errors):
        arm.failed("timeout")
    for _ in range(answered - errors):
        arm.latency.record(seconds)
    return arm


@pytest.mark.parametrize(
    ("later", "earlier", "limits", "suffers"),
    [
        (arm_of(19, 19), ArmCounts(), {"errorsAbove": 0.05}, ""),
        (arm_of(20, 1), ArmCounts(), {"errorsAbove": 0.05}, ""),
        (arm_of(20, 2), ArmCounts(), {"errorsAbove": 0.05}, "2 of blue's 20 answers"),
        (arm_of(1000, 100), arm_of(980, 100), {"errorsAbove": 0}, ""),
        (arm_of(100, 0, 1.0), ArmCounts(), {}, ""),
        (arm_of(100, 0, 1.0), ArmCounts(), {"slowerThanSeconds": 0.9}, "blue's 95th percentile of 100"),
        (arm_of(100, 0, 0.8), ArmCounts(), {"slowerThanSeconds": 0.9}, ""),
    ],
)
def test_blue_suffers_by_its_own_numbers(
    later: ArmCounts, earlier: ArmCounts, limits: dict[str, float], suffers: str
) -> None:
    found = suffering(a_job(protectBlue=limits), later, earlier)
    assert found.startswith(suffers)
    assert bool(found) is bool(suffers)


def test_the_timeline_has_a_point_a_second_and_no_more_than_a_chart_can_show() -> None:
    progress = a_run(workers=1, rate=10, seconds=1000)
    for second in range(1, 1001):
        progress.hear("w0", report(second, 100.0 + second, green=10 * second))
        progress.watch(set(), NO_LIMIT, 100.0 + second)
    timeline = progress.snapshot(1100.0).timeline
    assert len(timeline) <= 120
    assert timeline[0] == {
        "second": 9,
        "green": {"sent": 90, "errors": 0, "p95Milliseconds": None},
        "blue": {"sent": 0, "errors": 0, "p95Milliseconds": None},
    }
