"""The intervals hold the truth about as often as they say, at any seed and at those of these tests.

Seeds are the names of the cells. A bar is held against the count itself: of 400 intervals that hold the truth
with a probability of 0.95, fewer than 365 do with a probability of 0.0006.
"""

import math
import random
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, norm

from hooks.load_test import confidence, measurement
from hooks.load_test.confidence import Estimate, difference, mean, proportion, quantile, z_of
from hooks.load_test.measurement import Measurement, highest_of
from hooks.load_test.plan import terms_of
from hooks.load_test.rules import Metric
from hooks.load_test.settings import LoadTestSettings
from hooks.load_test.verdict import Outcome, Verdict, judge, judged, to_abort
from tests.hooks.load_test.runs import arm, histogram, measured

# 0.4 % above the value is where a bucket ends, at most 0.8 %.
BUCKET = 1 + 1 / 128

# What a service of 50 ms looks like: half of all answers within 33 to 75 ms, one in a hundred above 200 ms.
MEDIAN, SPREAD = 0.05, 0.6


def latencies(rng: random.Random, requests: int, slower: float = 1.0) -> list[float]:
    return [slower * MEDIAN * math.exp(rng.gauss(0, SPREAD)) for _ in range(requests)]


def read(seconds: list[float]) -> measurement.Histogram:
    return measurement.Histogram.model_validate(histogram(seconds).write())


def held(cell: str, runs: int, one: Callable[[random.Random], tuple[Estimate, float]]) -> int:
    """Count the intervals that hold the truth, but for the width of a bucket."""
    rng = random.Random(cell)
    estimates = [one(rng) for _ in range(runs)]
    return sum(estimate.lower / BUCKET <= truth <= estimate.upper * BUCKET for estimate, truth in estimates)


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("certainty", [0.8, 0.95, 0.99])
def test_the_interval_of_a_quantile_holds_it_as_often_as_it_says(share: float, certainty: float) -> None:
    truth = MEDIAN * math.exp(SPREAD * norm.ppf(share))

    def one(rng: random.Random) -> tuple[Estimate, float]:
        return quantile(read(latencies(rng, 700)), share, certainty), truth

    runs = 150
    expected = runs * certainty
    assert held(f"quantile {share} {certainty}", runs, one) >= expected - 3.5 * math.sqrt(
        expected * (1 - certainty)
    )


@settings(deadline=None)
@given(
    st.integers(1, 3000),
    st.sampled_from([0.01, 0.1, 0.5, 0.9, 0.95, 0.99]),
    st.sampled_from([0.8, 0.95, 0.99]),
)
def test_the_ends_of_a_quantile_are_ranks_that_leave_out_no_more_than_is_said(
    count: int, share: float, certainty: float
) -> None:
    # Each latency has a bucket of its own, so that an end of the interval is a rank.
    ranks = {highest_of(rank) / 1_000_000: rank for rank in range(1, count + 1)} | {
        0.0: 0,
        math.inf: count + 1,
    }
    latency = measurement.Histogram(
        count=count,
        sumMicroseconds=sum(highest_of(rank) for rank in range(1, count + 1)),
        maxMicroseconds=highest_of(count),
        counts=tuple((rank, 1) for rank in range(1, count + 1)),
    )
    found = quantile(latency, share, certainty)
    lower, upper = ranks[found.lower], ranks[found.upper]

    # The quantile lies between these ranks when as many as that are below it.
    inside = binom.cdf(upper - 1, count, share) - binom.cdf(lower - 1, count, share)
    skewed = 0.02 if count * min(share, 1 - share) < 10 else 0.0
    assert inside >= certainty - skewed


def test_beyond_what_was_measured_a_quantile_may_be_anything() -> None:
    few = read([0.1] * 50)

    assert quantile(few, 0.99, 0.95).upper == math.inf
    assert quantile(few, 0.01, 0.95).lower == 0.0


def test_the_interval_of_a_mean_holds_it_as_often_as_it_says() -> None:
    truth = MEDIAN * math.exp(SPREAD**2 / 2)

    def one(rng: random.Random) -> tuple[Estimate, float]:
        return mean(read(latencies(rng, 300)), 0.95), truth

    assert held("mean", 400, one) >= 365


def test_a_mean_is_never_below_nothing() -> None:
    found = mean(read([0.0001] * 50 + [3.0]), 0.99)

    assert (found.lower, found.value > 0, found.upper > found.value) == (0.0, True, True)


@settings(deadline=None)
@given(
    st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.9999)
)
def test_the_interval_of_a_share_is_wilson_s(counts: tuple[int, int], certainty: float) -> None:
    some, of_all = counts
    found = proportion(some, of_all, certainty)
    oracle = binomtest(some, of_all).proportion_ci(certainty, method="wilson")

    assert found == Estimate(
        some / of_all, pytest.approx(oracle.low, abs=1e-12), pytest.approx(oracle.high, abs=1e-12)
    )
    assert 0 <= found.lower <= found.value <= found.upper <= 1


@pytest.mark.parametrize(("green", "blue"), [(0.01, 0.01), (0.02, 0.005), (0.0, 0.0), (0.3, 0.2)])
def test_the_interval_of_a_difference_of_shares_holds_it_as_often_as_it_says(
    green: float, blue: float
) -> None:
    ratio, slack, truth = 2.0, 0.005, green - 2 * blue - 0.005
    rng = random.Random(f"difference {green} {blue}")
    inside = 0
    for _ in range(400):
        ours, theirs = (rng.binomialvariate(n, p) for p, n in ((green, 2000), (blue, 400)))
        found = difference(proportion(ours, 2000, 0.95), proportion(theirs, 400, 0.95), ratio, slack)
        inside += found.lower <= truth <= found.upper
    assert inside >= 365


def test_the_interval_of_a_difference_of_quantiles_holds_it_as_often_as_it_says() -> None:
    p95 = MEDIAN * math.exp(SPREAD * norm.ppf(0.95))
    rng = random.Random("difference of quantiles")
    inside = 0
    for _ in range(200):
        ours, theirs = (
            quantile(read(latencies(rng, n, by)), 0.95, 0.95) for n, by in ((1000, 1.2), (300, 1.0))
        )
        found = difference(ours, theirs, 1.25, 0.01)
        inside += found.lower - 0.002 <= 1.2 * p95 - 1.25 * p95 - 0.01 <= found.upper + 0.002
    assert inside >= 180


@settings(deadline=None)
@given(
    *[st.lists(st.floats(0, 10), min_size=3, max_size=3).map(sorted)] * 2, st.floats(0.1, 10), st.floats(0, 1)
)
def test_a_difference_is_within_its_ends_and_these_within_the_worst_of_both(
    green: list[float], blue: list[float], ratio: float, slack: float
) -> None:
    ours, theirs = (Estimate(value=middle, lower=low, upper=high) for low, middle, high in (green, blue))
    found = difference(ours, theirs, ratio, slack)

    worst = (ours.lower - ratio * theirs.upper - slack, ours.upper - ratio * theirs.lower - slack)
    assert worst[0] - 1e-9 <= found.lower <= found.value <= found.upper <= worst[1] + 1e-9


def test_an_end_that_is_not_known_leaves_that_end_open() -> None:
    open_ended = Estimate(1.0, 0.5, math.inf)

    assert difference(open_ended, Estimate(1.0, 1.0, 1.0), 1.0, 0.0) == Estimate(0.0, -0.5, math.inf)
    assert difference(Estimate(1.0, 1.0, 1.0), open_ended, 1.0, 0.0) == Estimate(0.0, -math.inf, 0.5)


def test_more_certainty_takes_a_wider_interval() -> None:
    certainties = [0.5, 0.8, 0.95, 0.99, 0.9999, 1 - 1e-9]

    assert [z_of(one) for one in certainties] == pytest.approx(
        [norm.ppf((1 + one) / 2) for one in certainties]
    )
    widths = [confidence.proportion(5, 1000, one).upper for one in certainties]
    assert all(narrow < wide for narrow, wide in pairwise(widths))


# ------------------------------------------------------------------------------------ green beside blue

# What counts where a service sets nothing: all but ten seconds of the load, and blue at a fifth of the rate.
DEFAULTS = terms_of(LoadTestSettings(rules=("p(95) <= 1.25 x blue",)), has_blue=True)
GREENS, BLUES = 5_667, 1_133
RUNS = 25


def run(rng: random.Random, slower: float, *, part: float = 1.0) -> Measurement:
    return measured(
        arm(latencies(rng, int(GREENS * part), slower)),
        arm(latencies(rng, int(BLUES * part))),
        elapsed_seconds=300 * part,
    )


def outcomes(cell: str, slower: float, runs: int = RUNS) -> list[Outcome]:
    rng = random.Random(cell)
    return [
        finding.outcome
        for _ in range(runs)
        for finding in judged(run(rng, slower), DEFAULTS.rules, DEFAULTS.standards)
        if finding.rule.metric is Metric.PERCENTILE
    ]


def test_a_green_that_is_as_quick_as_blue_is_next_to_never_broken() -> None:
    found = outcomes("as quick", 1.0)

    assert found.count(Outcome.BROKEN) == 0
    assert found.count(Outcome.KEPT) >= 0.9 * RUNS


def test_a_green_that_is_twice_as_slow_is_always_broken() -> None:
    assert outcomes("twice as slow", 2.0) == [Outcome.BROKEN] * RUNS


def test_a_green_that_is_just_as_slow_as_it_may_be_is_mostly_uncertain() -> None:
    found = outcomes("at the limit", 1.25)

    # Each error has one side of an interval of 95 %.
    assert found.count(Outcome.BROKEN) <= 3
    assert found.count(Outcome.KEPT) <= 3


def test_a_green_that_is_twice_as_slow_fails_by_the_default_rules() -> None:
    terms = terms_of(LoadTestSettings(), has_blue=True)
    rng = random.Random("by default")

    verdicts = [judge(run(rng, slower), terms.rules, terms.standards).verdict for slower in (1.0, 2.0) * 5]
    assert verdicts == [Verdict.PASS, Verdict.FAIL] * 5


def test_looking_again_and_again_aborts_no_healthy_green_and_soon_a_slow_one() -> None:
    entry = {"rule": "p(95) <= 1.25 x blue", "abort": True}
    terms = terms_of(LoadTestSettings.model_validate({"rules": [entry]}), has_blue=True)
    rng = random.Random("looks")
    parts = [look / terms.looks for look in range(3, terms.looks)]

    assert terms.looks == 16
    for slower, aborted in ((1.0, False), (2.0, True)):
        looks = [run(rng, slower, part=part) for _ in range(2) for part in parts]
        found = [bool(to_abort(look, terms.rules, terms.standards, terms.looks)) for look in looks]
        assert any(found) is aborted
        assert all(found[-3:]) is aborted
