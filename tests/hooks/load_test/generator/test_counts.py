"""Histograms and counts: how exact they are, and that those of several workers add up."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from load_generator.histogram import Histogram
from load_generator.progress import Report
from load_generator.snapshot import MAX_ERROR_KINDS, OTHER, ArmCounts, Counts

latencies = st.lists(st.floats(0, 3600), min_size=1, max_size=50)
percents = st.floats(0, 100)


def histogram_of(seconds: list[float]) -> Histogram:
    histogram = Histogram()
    for one in seconds:
        histogram.record(one)
    return histogram


@given(latencies, percents)
def test_a_percentile_is_exact_to_a_hundredth_and_never_too_low(seconds: list[float], percent: float) -> None:
    exact = sorted(seconds)[max(math.ceil(percent / 100 * len(seconds)), 1) - 1]
    found = histogram_of(seconds).percentile(percent)
    assert found is not None
    assert math.floor(exact * 1e6) / 1e6 <= found <= exact * (1 + 1 / 128) + 1e-6


@given(latencies, latencies)
def test_histograms_that_are_added_are_as_if_one_had_counted_all(
    one: list[float], other: list[float]
) -> None:
    both = histogram_of(one)
    both.add(histogram_of(other))
    assert both.write() == histogram_of(one + other).write()


@given(latencies)
def test_a_histogram_outlives_its_journey(seconds: list[float]) -> None:
    written = histogram_of(seconds).write()
    assert Histogram.read(json.loads(json.dumps(written))).write() == written


@given(latencies, latencies)
def test_what_was_counted_since_is_the_later_ones(earlier: list[float], later: list[float]) -> None:
    since = histogram_of(earlier + later).since(histogram_of(earlier))
    alone = histogram_of(later)
    assert (since.counts, since.count, since.total) == (alone.counts, alone.count, alone.total)


outcomes = st.lists(
    st.tuples(
        st.sampled_from(["green", "blue"]), st.sampled_from(["", "status 503", "timeout"]), st.floats(0, 5)
    )
)


def counts_of(seen: list[tuple[str, str, float]]) -> Counts:
    counts = Counts()
    for arm, error, seconds in seen:
        counts.arm(arm).sent += 1
        counts.arm(arm).answered += 1
        counts.lag.record(seconds / 100)
        pair = counts.requests.setdefault("GET /", [0, 0])
        pair[0] += 1
        if error:
            counts.arm(arm).failed(error)
            pair[1] += 1
        else:
            counts.arm(arm).latency.record(seconds)
    return counts


@given(outcomes, outcomes)
def test_counts_of_two_workers_are_as_if_one_had_counted_all(
    one: list[tuple[str, str, float]], other: list[tuple[str, str, float]]
) -> None:
    both, alone = counts_of(one), counts_of(one + other)
    both.add(counts_of(other))
    assert both.write() == alone.write()


@given(outcomes, st.floats(0, 100), st.booleans(), st.integers(0, 10**12))
def test_a_report_outlives_its_journey(
    seen: list[tuple[str, str, float]], reached: float, done: bool, received: int
) -> None:
    written = Report(reached, done, received, counts_of(seen)).write()
    read = Report.read(json.loads(json.dumps(written)), heard=1.0)
    assert (read.write(), read.heard) == (written, 1.0)


def test_kinds_of_errors_are_bounded() -> None:
    arm = ArmCounts()
    for status in range(500, 500 + MAX_ERROR_KINDS + 10):
        arm.failed(f"status {status}")
    assert len(arm.errors) == MAX_ERROR_KINDS + 1
    assert arm.errors[OTHER] == 10


@pytest.mark.parametrize(("seconds", "counted"), [(-1.0, 0), (0.0, 0), (1e-6, 1), (10_000.0, 3_600_000_000)])
def test_a_clock_that_jumps_stays_in_the_histogram(seconds: float, counted: int) -> None:
    histogram = histogram_of([seconds])
    assert (histogram.highest, histogram.count) == (counted, 1)
