"""Which requests are whose: the same ones, however many workers there are."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from load_generator.part import PHASES, Mix, Part
from load_generator.schedule import Piece, due_times, due_until, seconds_of

from tests.hooks.load_test.generator.surroundings import a_job

rates = st.one_of(st.just(0.0), st.floats(0.01, 40))
loads = st.lists(st.builds(Piece, st.floats(0.05, 6), rates, rates), min_size=1, max_size=4).map(tuple)
shares = st.sampled_from([1.0, 0.5, 0.2, 0.1, 1 / 3, 0.037])
phases = st.sampled_from(sorted(PHASES.values()))


def parts_of(
    load: tuple[Piece, ...], share: float, phase: float, workers: int, grace: float = 0.0
) -> list[Part]:
    return [Part(load, share, phase, grace, worker, workers) for worker in range(workers)]


@given(loads, shares, phases, st.integers(1, 7))
def test_all_workers_together_send_the_load_of_one(
    load: tuple[Piece, ...], share: float, phase: float, workers: int
) -> None:
    (alone,) = parts_of(load, share, phase, 1)
    together = sorted(request for part in parts_of(load, share, phase, workers) for request in part)
    assert together == sorted(alone)


@given(loads, shares, phases)
def test_requests_are_numbered_without_a_gap_and_due_in_order(
    load: tuple[Piece, ...], share: float, phase: float
) -> None:
    (alone,) = parts_of(load, share, phase, 1)
    requests = list(alone)
    assert [number for _, number in requests] == list(range(len(requests)))
    assert [due for due, _ in requests] == list(due_times(load, share, phase=phase))
    assert all(one[0] <= later[0] + 1e-9 for one, later in pairwise(requests))


@given(loads, shares, phases, st.integers(1, 5))
def test_at_the_end_exactly_what_was_to_be_sent_is_due(
    load: tuple[Piece, ...], share: float, phase: float, workers: int
) -> None:
    for part in parts_of(load, share, phase, workers):
        assert part.due(seconds_of(load)) == len(list(part))


@given(loads, shares, phases, st.integers(1, 5), st.floats(0, 0.99), st.floats(0, 1))
def test_what_is_due_is_what_the_times_say_but_for_those_of_the_grace_period(
    load: tuple[Piece, ...], share: float, phase: float, workers: int, grace: float, until: float
) -> None:
    whole = seconds_of(load)
    for part in parts_of(load, share, phase, workers, grace * whole):
        counted = [due for due, number in part if number >= part.first_counted]
        # A request at the very moment may be rounded to either side of it.
        least = sum(1 for due in counted if due < until * whole - 1e-6)
        most = sum(1 for due in counted if due < until * whole + 1e-6)
        assert least <= part.due(until * whole) <= most


@given(loads, shares, phases, st.floats(0, 1))
def test_what_is_due_is_the_area_under_the_load(
    load: tuple[Piece, ...], share: float, phase: float, until: float
) -> None:
    (alone,) = parts_of(load, share, phase, 1)
    seconds = until * seconds_of(load)
    assert abs(alone.due(seconds) - due_until(load, seconds, share)) <= 1


def test_two_arms_of_one_rate_take_turns() -> None:
    job = a_job(rate=1, seconds=3, blueShare=1)
    times = {arm: [due for due, _ in Part.of(job, arm, 0, 1)] for arm in job.shares}
    assert times == {"green": [0.25, 1.25, 2.25], "blue": [0.75, 1.75, 2.75]}


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
@pytest.mark.parametrize("weights", [[1], [1, 1], [3, 1], [5, 0.5, 2.5, 2]])
def test_kinds_are_drawn_by_their_weights_by_each_worker(weights: list[float], workers: int) -> None:
    mix = Mix(weights, "a-run")
    for worker in range(workers):
        drawn = [mix.draw(number) for number in range(worker, 1000 * workers, workers)]
        for kind, weight in enumerate(weights):
            assert abs(drawn.count(kind) - 1000 * weight / sum(weights)) <= 5


def test_each_run_begins_somewhere_else_in_the_mix() -> None:
    assert {Mix([1, 1, 1], f"run-{number}").draw(0) for number in range(20)} == {0, 1, 2}
