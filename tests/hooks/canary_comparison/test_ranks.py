import math
from itertools import product
from random import Random
from statistics import NormalDist, median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hooks.canary_comparison import ranks
from hooks.canary_comparison.ranks import (
    Alternative,
    Interval,
    MannWhitney,
    mann_whitney,
    midranks,
    ratio_interval,
)

FEW_DISTINCT = st.lists(st.integers(0, 6).map(float), min_size=1, max_size=40)
ANY = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40)
POSITIVE = st.lists(st.floats(1e-6, 1e6), min_size=3, max_size=30)
WITH_ZEROS = st.lists(st.sampled_from([0.0, 0.0, 0.5, 1.0, 2.0, 3.0]), min_size=3, max_size=30)

# ------------------------------------------------------------------------------------ ranks


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], []),
        ([5.0], [1.0]),
        ([3.0, 1.0, 2.0], [3.0, 1.0, 2.0]),
        ([1.0, 2.0, 2.0, 3.0], [1.0, 2.5, 2.5, 4.0]),
        ([7.0, 7.0, 7.0], [2.0, 2.0, 2.0]),
        ([0.0, -0.0, 1.0], [1.5, 1.5, 3.0]),
    ],
)
def test_equal_values_share_the_mean_of_their_ranks(values: list[float], expected: list[float]) -> None:
    assert midranks(values) == expected


@given(st.one_of(ANY, FEW_DISTINCT))
def test_ranks_are_those_of_scipy(values: list[float]) -> None:
    assert midranks(values) == list(stats.rankdata(values))


# ------------------------------------------------------------------------------------ the test


@given(
    st.one_of(ANY, FEW_DISTINCT),
    st.one_of(ANY, FEW_DISTINCT),
    st.sampled_from(["two-sided", "greater", "less"]),
)
def test_p_is_that_of_scipy(x: list[float], y: list[float], alternative: Alternative) -> None:
    if len({*x, *y}) == 1:
        assert mann_whitney(x, y, alternative).p == 1.0  # scipy divides by zero
        return
    expected = stats.mannwhitneyu(x, y, alternative=alternative, method="asymptotic")

    found = mann_whitney(x, y, alternative)

    assert (found.u, found.p) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-9, abs=1e-12)


def test_z_has_the_sign_of_the_difference() -> None:
    x, y = [4.0, 5.0, 6.0], [1.0, 2.0, 3.0]
    # Nine pairs of nine, 4.5 above what equals would have, less half a pair; deviation sqrt(9 * 7 / 12).
    z = 4 / math.sqrt(5.25)

    assert mann_whitney(x, y) == MannWhitney(9.0, z, pytest.approx(2 * NormalDist().cdf(-z)))
    assert mann_whitney(y, x) == MannWhitney(0.0, -z, pytest.approx(2 * NormalDist().cdf(-z)))


@pytest.mark.parametrize(("x", "y"), [([], [1.0]), ([1.0], []), ([math.nan], [1.0]), ([1.0], [math.inf])])
def test_what_has_no_rank_is_refused(x: list[float], y: list[float]) -> None:
    with pytest.raises(ValueError, match=r"empty|not a value"):
        mann_whitney(x, y)


# ------------------------------------------------------------------------------------ how many times


def by_hand(green: list[float], blue: list[float], confidence: float) -> Interval:
    """Write the definition down: all differences of logarithms, sorted."""
    differences = sorted(math.log(one) - math.log(other) for one, other in product(green, blue))
    pairs = len(differences)
    z = float(stats.norm.ppf(0.5 + confidence / 2))
    k = math.ceil(pairs / 2 - 0.5 - z * math.sqrt(pairs * (len(green) + len(blue) + 1) / 12)) - 1
    return Interval(
        math.exp(differences[k]) if k >= 0 else 0.0,
        math.exp(median(differences)),
        math.exp(differences[pairs - 1 - k]) if k >= 0 else math.inf,
    )


def close(interval: Interval) -> Interval:
    return Interval(
        pytest.approx(interval.low, rel=1e-9),
        pytest.approx(interval.estimate, rel=1e-9),
        pytest.approx(interval.high, rel=1e-9),
    )


def told(green: list[float], blue: list[float], confidence: float = 0.95) -> Interval:
    interval = ratio_interval(green, blue, confidence)
    assert interval is not None
    return interval


@given(POSITIVE, POSITIVE, st.sampled_from([0.5, 0.9, 0.98, 0.999]))
def test_the_interval_is_that_of_its_definition(
    green: list[float], blue: list[float], confidence: float
) -> None:
    assert told(green, blue, confidence) == close(by_hand(green, blue, confidence))


@given(
    st.lists(st.floats(1, 100), min_size=3, max_size=20, unique=True),
    st.lists(st.floats(1, 100), min_size=3, max_size=20, unique=True),
    st.floats(0.01, 100),
    st.sampled_from([0.9, 0.95, 0.99]),
)
def test_what_the_interval_leaves_out_the_test_refuses(
    green: list[float], blue: list[float], ratio: float, confidence: float
) -> None:
    interval = told(green, blue, confidence)
    refused = mann_whitney(green, [ratio * value for value in blue]).p < 1 - confidence

    # At a bound itself, and where a value of green is exactly that of blue, values tie.
    if not any(math.isclose(one, ratio * other, rel_tol=1e-12) for one, other in product(green, blue)):
        assert refused == (not interval.low < ratio < interval.high)


@pytest.mark.parametrize("confidence", [0.95, 0.98, 0.99, 0.999])
@pytest.mark.parametrize(("n", "m"), [(3, 3), (3, 20), (5, 5), (5, 17), (10, 10), (22, 22), (30, 30)])
def test_the_interval_misses_no_more_often_than_said(n: int, m: int, confidence: float) -> None:
    k = ranks.outermost_pair(n, m, ranks.u_deviation(n, m), confidence)
    # By all orders that n and m values can have, which are equally likely where both are alike.
    orders = [1, *[0] * (n * m)]
    for size in range(1, n + 1):
        for u in range(n * m, m + size - 1, -1):
            orders[u] -= orders[u - m - size]
        for u in range(size, n * m + 1):
            orders[u] += orders[u - size]

    assert sum(orders) == math.comb(n + m, n)
    assert 2 * sum(orders[: max(k + 1, 0)]) / sum(orders) <= 1 - confidence


ONE_TO_EIGHT = [float(value) for value in range(1, 9)]


@pytest.mark.parametrize(
    ("green", "blue", "expected"),
    [
        # Twice as much, give or take nothing.
        ([2.0] * 8, [1.0] * 8, Interval(2.0, 2.0, 2.0)),
        ([5.0] * 8, [5.0] * 8, Interval(1.0, 1.0, 1.0)),
        # Too few to be 95 % sure of anything.
        ([2.0, 2.0, 2.0], [1.0, 1.0, 1.0], Interval(0.0, 2.0, math.inf)),
        ([10.0 * value for value in ONE_TO_EIGHT], ONE_TO_EIGHT, Interval(5.0, 10.0, 20.0)),
        # Two zeros are as much; something out of nothing is infinitely more; nothing is no part of something.
        ([0.0] * 8, [0.0] * 8, Interval(1.0, 1.0, 1.0)),
        ([3.0] * 8, [0.0] * 8, Interval(math.inf, math.inf, math.inf)),
        ([0.0] * 8, [3.0] * 8, Interval(0.0, 0.0, 0.0)),
        ([0.0] * 4 + [2.0] * 4, [1.0] * 8, Interval(0.0, 0.0, 2.0)),
        ([0.0] * 7 + [9.0], [0.0] * 8, Interval(1.0, 1.0, 1.0)),
        # Nothing to tell.
        ([], [1.0] * 8, None),
        ([1.0] * 8, [1.0, 1.0], None),
        ([-1.0, 1.0, 1.0], [1.0] * 8, None),
        ([1.0] * 8, [1.0, 1.0, -1e-9], None),
    ],
)
def test_how_many_times_green_is_blue(
    green: list[float], blue: list[float], expected: Interval | None
) -> None:
    assert ratio_interval(green, blue, 0.95) == expected


def inverted(interval: Interval) -> Interval:
    low, estimate, high = (
        math.inf if bound == 0 else 1 / bound for bound in (interval.high, interval.estimate, interval.low)
    )
    return Interval(low, estimate, high)


@given(st.one_of(POSITIVE, WITH_ZEROS), st.one_of(POSITIVE, WITH_ZEROS))
def test_swapping_the_revisions_inverts_the_interval(green: list[float], blue: list[float]) -> None:
    assert told(blue, green) == close(inverted(told(green, blue)))


@given(st.one_of(POSITIVE, WITH_ZEROS), st.one_of(POSITIVE, WITH_ZEROS), st.floats(1e-9, 1e9))
def test_the_unit_does_not_matter(green: list[float], blue: list[float], factor: float) -> None:
    scaled = told([value * factor for value in green], [value * factor for value in blue])

    assert scaled == close(told(green, blue))


@given(st.one_of(POSITIVE, WITH_ZEROS), st.one_of(POSITIVE, WITH_ZEROS), st.randoms(use_true_random=False))
def test_the_order_of_values_does_not_matter(green: list[float], blue: list[float], random: Random) -> None:
    shuffled_green, shuffled_blue = list(green), list(blue)
    random.shuffle(shuffled_green)
    random.shuffle(shuffled_blue)

    assert told(shuffled_green, shuffled_blue) == told(green, blue)


@given(st.one_of(POSITIVE, WITH_ZEROS), st.one_of(POSITIVE, WITH_ZEROS), st.data())
def test_a_green_that_is_worse_in_any_minute_never_looks_better(
    green: list[float], blue: list[float], data: st.DataObject
) -> None:
    worse = [value + data.draw(st.sampled_from([0.0, 0.1, 5.0])) for value in green]

    before, after = told(green, blue), told(worse, blue)

    assert after.low >= before.low
    assert after.estimate >= before.estimate
    assert after.high >= before.high


@given(st.one_of(POSITIVE, WITH_ZEROS), st.one_of(POSITIVE, WITH_ZEROS))
def test_more_confidence_is_a_wider_interval_around_the_same_estimate(
    green: list[float], blue: list[float]
) -> None:
    narrow, wide = told(green, blue, 0.8), told(green, blue, 0.99)

    assert wide.low <= narrow.low <= narrow.estimate <= narrow.high <= wide.high
    assert wide.estimate == narrow.estimate


@settings(max_examples=60)
@given(st.one_of(POSITIVE, WITH_ZEROS), st.one_of(POSITIVE, WITH_ZEROS))
def test_picking_pairs_one_by_one_finds_what_sorting_all_of_them_does(
    green: list[float], blue: list[float]
) -> None:
    expected = told(green, blue)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranks, "PAIRS_AT_ONCE", 0)
        assert told(green, blue) == expected


@given(ANY, ANY, st.data())
def test_differences_are_picked_as_well_below_zero(
    x: list[float], y: list[float], data: st.DataObject
) -> None:
    rank = data.draw(st.integers(0, len(x) * len(y) - 1))
    expected = sorted(one - other for one, other in product(x, y))[rank]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranks, "PAIRS_AT_ONCE", 0)
        assert ranks.nth_pairs(x, y, float.__sub__, [rank]) == (expected,)


def test_a_day_of_minutes_needs_no_memory_of_all_pairs() -> None:
    import tracemalloc

    blue = [1.0 + (minute * 7919 % 1440) / 1440 for minute in range(1440)]
    green = [1.2 * value for value in blue]
    tracemalloc.start()
    try:
        interval = told(green, blue)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert interval == Interval(
        pytest.approx(1.183, abs=0.001), pytest.approx(1.2, abs=0.001), pytest.approx(1.217, abs=0.001)
    )
    assert peak_bytes < 1_000_000  # two million floats would be sixteen times that


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_none_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="is not a value"):
        ratio_interval([1.0, 1.0, wrong], [1.0] * 3, 0.95)
    with pytest.raises(ValueError, match="is not a value"):
        ratio_interval([1.0] * 3, [1.0, 1.0, wrong], 0.95)


@pytest.mark.parametrize("confidence", [0.0, 1.0, -0.5, 95.0, math.nan])
def test_a_confidence_that_is_none_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence is"):
        ratio_interval([1.0] * 3, [1.0] * 3, confidence)
