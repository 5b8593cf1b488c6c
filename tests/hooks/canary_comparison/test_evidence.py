import math
from collections.abc import Sequence
from datetime import UTC, datetime
from fractions import Fraction
from itertools import permutations, product

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import optimize, stats

from hooks.canary_comparison import evidence
from hooks.canary_comparison.evidence import (
    GROSS_EVENTS,
    GROSS_RATIO,
    Estimate,
    Evidence,
    Reach,
    estimate,
    reach,
    weigh,
)
from hooks.canary_comparison.observation import MINUTE, Split

START = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
TOLERATED, UNACCEPTABLE = 1.25, 2.5
LIKELY = [math.exp(log) for log in evidence._WORSE_LIKELY]
RATIOS = [TOLERATED * multiple for multiple in evidence.WORSE]

Row = tuple[float, float, float, float]
"""Green's bad events and requests in a minute, and blue's."""


def minutes(*rows: Row) -> list[Split]:
    return [Split(START + number * MINUTE, *row) for number, row in enumerate(rows)]


def weighed(rows: Sequence[Row], *, warm_up: int = 0, tolerated: float = TOLERATED) -> Evidence:
    return weigh(
        minutes(*rows), tolerated=tolerated, unacceptable=2 * tolerated, warm_up=warm_up, gross_share=0.05
    )


def at_last(rows: Sequence[Row], *, warm_up: int = 0, tolerated: float = TOLERATED) -> float:
    return weighed(rows, warm_up=warm_up, tolerated=tolerated).against[-1]


def rows_of(
    *, events: int = 12, least: int = 1, most: int = 8, some_events: bool = False
) -> st.SearchStrategy[list[Row]]:
    counts, requests = st.integers(0, events).map(float), st.integers(50, 5000).map(float)
    rows = st.tuples(counts, requests, counts, requests)
    speaking = rows.filter(lambda row: row[0] + row[2] > 0) if some_events else rows
    return st.lists(speaking, min_size=least, max_size=most)


ROWS = rows_of()

# ------------------------------------------------------------------------------------ what E is


def chance(row: Row, ratio: float) -> float:
    """Return how likely the split of one minute is, were green *ratio* times as often bad."""
    green_bad, green_total, blue_bad, blue_total = row
    theta = green_total * ratio / (green_total * ratio + blue_total)
    ways = math.comb(round(green_bad + blue_bad), round(green_bad))
    return float(ways * theta**green_bad * (1 - theta) ** blue_bad)


def likelihood(row: Row, ratio: float) -> float:
    """Return the same relative to a green that is as good, to the power that excess scatter leaves."""
    green_bad, green_total, blue_bad, blue_total = row
    share = green_total / (green_total + blue_total)
    excess = 1 + (green_bad + blue_bad - 1) * evidence.SCATTER**2 * share * (1 - share)
    return (chance(row, ratio) / chance(row, 1.0)) ** (1 / excess)


def mixed(likelihoods: Sequence[float]) -> float:
    return math.fsum(likely * one for likely, one in zip(LIKELY, likelihoods, strict=True))


def slow_e(rows: Sequence[Row], warm_up: int) -> float:
    """Work out E after all *rows* from the probabilities themselves, as the module's text has it.

    Each of *rows* has events.
    """
    cold, warm = rows[:warm_up], rows[warm_up:]

    def since(first: int) -> float:
        return mixed([math.prod(likelihood(row, ratio) for row in rows[first:]) for ratio in RATIOS])

    later, begins, last = evidence.LATER, evidence.LATER_A_MINUTE, len(rows) - 1
    from_a_later_minute = [
        later * begins * (1 - begins) ** (first - 1) * since(first) for first in range(1, len(rows))
    ]
    worse = math.fsum([(1 - later) * since(0), *from_a_later_minute, later * (1 - begins) ** last])

    expected = [(a + c) * b / (b + d) for a, b, c, d in rows]
    believed_cold = min(1.0, max(evidence.COLD, (math.fsum(expected[:warm_up]) / evidence.COLD_EVENTS) ** 2))
    divergence = TOLERATED * math.log(TOLERATED) - TOLERATED + 1
    believed_little = min(1.0, math.fsum(expected) * divergence / evidence.TOLERATED_NATS)
    half_lives = [number / evidence.TAIL_HALVED_MINUTES for number in range(len(warm))]
    after_the_cold = [
        (row, 1 + evidence.TAIL_EXCESS * 0.5**lives)
        for row, lives in zip(warm[: 2 * warm_up], half_lives, strict=False)
    ]

    def no_reason(base: float) -> float:
        def times(row: Row, ratio: float) -> float:
            return likelihood(row, ratio) / likelihood(row, base)

        each = math.prod(mixed([times(row, ratio) for ratio in RATIOS]) for row in cold)
        alike = mixed([math.prod(times(row, ratio) for row in cold) for ratio in RATIOS])
        tail = math.prod(times(row, base * excess) for row, excess in after_the_cold)
        forgiven = 1 + believed_cold * (each + alike) / 2 * (1 + tail) / 2 if warm_up else 1.0
        accidents = math.fsum(mixed([times(row, ratio) for ratio in RATIOS]) for row in warm)
        accident = evidence.ACCIDENT * accidents / len(warm) if warm else 0.0
        return math.prod(likelihood(row, base) for row in rows) * forgiven * (1 + accident)

    return worse / (no_reason(1.0) + believed_little * no_reason(TOLERATED))


@given(rows_of(some_events=True), st.integers(0, 4))
def test_e_is_what_the_probabilities_themselves_say(rows: list[Row], warm_up: int) -> None:
    found = weighed(rows, warm_up=warm_up).against

    expected = [math.log(slow_e(rows[: number + 1], warm_up)) for number in range(len(rows))]
    assert found == pytest.approx(tuple(expected), rel=1e-9, abs=1e-9)


def test_of_one_event_e_is_a_sum_that_fits_on_paper() -> None:
    """One bad request of green, which has a tenth of all: r / (1 + 0.1 (r - 1)) times as likely as chance."""
    times = [ratio / (1 + 0.1 * (ratio - 1)) for ratio in RATIOS]
    little = TOLERATED / 1.025
    worse = mixed(times)
    # What only begins later makes nothing of the first minute.
    found = (1 - evidence.LATER) * worse + evidence.LATER
    believed = 0.1 * (TOLERATED * math.log(TOLERATED) - 0.25) / evidence.TOLERATED_NATS
    no_reason = 1 + evidence.ACCIDENT * worse + believed * (little + evidence.ACCIDENT * worse)

    assert weighed([(1, 100, 0, 900)]) == Evidence(
        against=(pytest.approx(math.log(found / no_reason)),),
        gross=(0.0,),
        in_favour=pytest.approx(math.log((1 + little) / 2 / (UNACCEPTABLE / 1.15))),
    )


def test_how_likely_worse_ratios_are_thought_adds_up_to_one() -> None:
    assert math.fsum(LIKELY) == pytest.approx(1.0, rel=1e-12)
    assert min(evidence.WORSE) > 1
    assert 0 < evidence.LATER < 1
    assert 0 < evidence.LATER_A_MINUTE < 1


@given(ROWS)
def test_in_favour_is_the_likelihood_of_a_good_green_over_an_unacceptable_one(rows: list[Row]) -> None:
    speaking = [row for row in rows if row[0] + row[2] > 0]
    little = math.prod(likelihood(row, TOLERATED) for row in speaking)
    unacceptable = math.prod(likelihood(row, UNACCEPTABLE) for row in speaking)

    assert weighed(rows).in_favour == pytest.approx(math.log((1 + little) / 2 / unacceptable), abs=1e-9)


# ------------------------------------------------------------------------------------ Ville's inequality


def forgive_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a likelihood ratio of E: all that is worse, over all that is equal."""
    monkeypatch.setattr(evidence, "ACCIDENT", 0.0)
    monkeypatch.setattr(evidence, "TOLERATED_NATS", 1e300)


def paths(model: Sequence[tuple[int, int, int]], ratio: Fraction) -> list[tuple[list[Row], Fraction]]:
    """Return all ways in which the events may fall, and how likely each is, exactly.

    *model* has for each minute the number of events, and green's and blue's requests.
    """
    found = []
    for on_green in product(*(range(events + 1) for events, _, _ in model)):
        rows, probability = [], Fraction(1)
        for bad, (events, green, blue) in zip(on_green, model, strict=True):
            theta = green * ratio / (green * ratio + blue)
            probability *= math.comb(events, bad) * theta**bad * (1 - theta) ** (events - bad)
            rows.append((float(bad), float(green), float(events - bad), float(blue)))
        found.append((rows, probability))
    return found


def assert_ville(highest: Sequence[tuple[float, Fraction]]) -> None:
    """Show that whatever E is asked to reach, it does so no more often than one in that.

    *highest* has for each path the largest logarithm of E on it, and the path's probability.
    """
    assert sum(probability for _, probability in highest) == 1
    reached = Fraction(0)
    for log, probability in sorted(highest, reverse=True):
        reached += probability
        assert reached <= math.exp(-log) * (1 + 1e-9)


MODELS = [
    [(2, 1, 19), (2, 1, 19), (2, 1, 19)],
    [(2, 1, 9), (1, 1, 3), (2, 1, 1)],
    [(1, 9, 1), (2, 1, 1), (2, 1, 9)],
    [(2, 1, 99), (0, 1, 9), (1, 1, 1)],
    [(5, 1, 9), (5, 1, 9), (5, 1, 9)],
    [(40, 1, 1), (40, 1, 3)],
]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("warm_up", [0, 1, 2])
def test_an_equal_green_ever_reaches_one_in_alpha_with_at_most_alpha(
    model: list[tuple[int, int, int]], warm_up: int
) -> None:
    found = [
        (max(weighed(rows, warm_up=warm_up).against), probability)
        for rows, probability in paths(model, Fraction(1))
    ]

    assert_ville(found)
    # That says something only where E gets anywhere.
    assert warm_up or max(log for log, _ in found) > 0


@pytest.mark.parametrize("model", MODELS)
def test_and_on_average_e_never_grows(model: list[tuple[int, int, int]]) -> None:
    every = [(weighed(rows).against, probability) for rows, probability in paths(model, Fraction(1))]

    for number in range(len(model)):
        assert math.fsum(math.exp(logs[number]) * float(p) for logs, p in every) <= 1


def test_before_anything_is_forgiven_e_grows_by_nothing_at_all_on_average(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The margins only take away: without them E is a likelihood ratio, of mean 1 to the last digit."""
    forgive_nothing(monkeypatch)
    monkeypatch.setattr(evidence, "SCATTER", 0.0)
    every = [(weighed(rows).against, p) for rows, p in paths(MODELS[4], Fraction(1))]

    for number in range(3):
        mean = math.fsum(math.exp(logs[number]) * float(p) for logs, p in every)
        assert mean == pytest.approx(1.0, rel=1e-9)


@pytest.mark.parametrize("ratio", [Fraction(1), Fraction(5, 4)])
def test_a_tolerated_green_is_as_safe_once_there_is_enough_to_tell_it_from_an_equal_one(
    ratio: Fraction,
) -> None:
    """From 173 expected events on, that green is a little worse is believed as readily as that it is not."""
    found = [(max(weighed(rows).against), probability) for rows, probability in paths([(1000, 1, 3)], ratio)]

    assert_ville(found)


@pytest.mark.parametrize("ratio", [Fraction(5, 2), Fraction(4)])
@pytest.mark.parametrize("model", MODELS)
def test_an_unacceptable_green_counts_as_good_no_more_often_than_one_in_what_is_asked(
    model: list[tuple[int, int, int]], ratio: Fraction
) -> None:
    found = [(weighed(rows).in_favour, probability) for rows, probability in paths(model, ratio)]

    assert_ville(found)


# ------------------------------------------------------------------------------------ what changes nothing


@pytest.mark.thorough
@given(rows_of(least=2, most=4))
def test_the_order_of_warm_minutes_does_not_matter_at_the_end(rows: list[Row]) -> None:
    """But for a green that only gets worse later, which makes little of the evidence."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(evidence, "LATER", 1e-200)
        first, *others = [weighed(order) for order in permutations(rows)]

    for other in others:
        assert other.against[-1] == pytest.approx(first.against[-1], abs=1e-9)
        assert other.in_favour == pytest.approx(first.in_favour, abs=1e-9)
    for order in permutations(rows):
        assert at_last(order) >= first.against[-1] + math.log(1 - evidence.LATER) - 1e-9


@given(ROWS, st.floats(1e-3, 1e6), st.integers(0, 3))
def test_only_green_s_share_of_requests_counts(rows: list[Row], factor: float, warm_up: int) -> None:
    scaled = [(a, b * factor, c, d * factor) for a, b, c, d in rows]

    one, other = weighed(rows, warm_up=warm_up), weighed(scaled, warm_up=warm_up)

    assert other.against == pytest.approx(one.against, abs=1e-8)
    assert other.in_favour == pytest.approx(one.in_favour, abs=1e-8)


SILENT = st.one_of(
    st.just((0.0, 0.0, 0.0, 0.0)),
    st.tuples(st.just(0.0), st.floats(1, 1e6), st.just(0.0), st.floats(1, 1e6)),
    st.tuples(st.floats(0, 5), st.floats(5, 1e6), st.just(0.0), st.just(0.0)),
    st.tuples(st.just(0.0), st.just(0.0), st.floats(0, 5), st.floats(5, 1e6)),
)


@given(ROWS, st.lists(SILENT, min_size=1, max_size=6))
def test_minutes_without_bad_events_or_with_one_side_only_say_nothing(
    rows: list[Row], silent: list[Row]
) -> None:
    found = weighed([*rows, *silent])

    assert found.against == pytest.approx((*weighed(rows).against, *[at_last(rows)] * len(silent)), abs=1e-9)
    assert found.in_favour == weighed(rows).in_favour
    assert weighed(silent).against == (pytest.approx(-math.log1p(evidence._TINY)),) * len(silent)


@given(rows_of(least=1, most=6), st.data())
def test_nor_do_silent_minutes_between_others_change_what_all_say(
    rows: list[Row], data: st.DataObject
) -> None:
    """But for a green that only gets worse later, for which time goes by."""
    longer = list(rows)
    for silent in data.draw(st.lists(SILENT, min_size=1, max_size=6)):
        longer.insert(data.draw(st.integers(0, len(longer))), silent)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(evidence, "LATER", 1e-200)
        found, without = weighed(longer), weighed(rows)

    assert found.against[-1] == pytest.approx(without.against[-1], abs=1e-9)
    assert found.in_favour == pytest.approx(without.in_favour, abs=1e-9)


def test_an_accident_is_none_the_less_likely_for_the_silence_around_it() -> None:
    """Were silent minutes candidates too, an hour of them would make a refusal of one wild minute."""
    wild, silent = (25.0, 1000.0, 10.0, 9000.0), (0.0, 1000.0, 0.0, 9000.0)
    alone, after_the_warm_up = at_last([wild]), at_last([silent] * 3 + [wild], warm_up=3)

    assert 2 < alone < math.log(1 / evidence.ACCIDENT)
    assert at_last([wild] + [silent] * 60) == pytest.approx(alone, abs=1e-9)
    assert alone < at_last([silent] * 60 + [wild]) < math.log(1 / evidence.ACCIDENT)
    assert after_the_warm_up < alone
    assert at_last([silent] * 3 + [wild] + [silent] * 60, warm_up=3) == pytest.approx(after_the_warm_up)


# ------------------------------------------------------------------------------------ what changes it


def one_more_of_green(rows: list[Row], where: int) -> list[Row]:
    green_bad, *rest = rows[where]
    return [*rows[:where], (green_bad + 1, rest[0], rest[1], rest[2]), *rows[where + 1 :]]


@given(rows_of(some_events=True), st.data(), st.integers(0, 3))
def test_one_more_bad_event_of_green_never_speaks_for_it(
    rows: list[Row], data: st.DataObject, warm_up: int
) -> None:
    more = one_more_of_green(rows, data.draw(st.integers(0, len(rows) - 1)))

    assert weighed(more, warm_up=warm_up).in_favour <= weighed(rows, warm_up=warm_up).in_favour + 1e-9


@given(rows_of(some_events=True), st.data())
def test_nor_against_what_is_worse_unless_as_an_accident(rows: list[Row], data: st.DataObject) -> None:
    """In one wild minute it makes an accident likelier, which is forgiven; but for that it only adds."""
    more = one_more_of_green(rows, data.draw(st.integers(0, len(rows) - 1)))

    with pytest.MonkeyPatch.context() as patched:
        forgive_nothing(patched)
        assert at_last(more) >= at_last(rows) - 1e-6


@given(ROWS, st.integers(0, 3))
def test_only_one_of_two_can_be_the_worse_one(rows: list[Row], warm_up: int) -> None:
    """The likelihood has one hill: where more than 1 explains it better than 1, less than 1 does not."""
    swapped = [(c, d, a, b) for a, b, c, d in rows]

    for one, other in zip(
        weighed(rows, warm_up=warm_up).against, weighed(swapped, warm_up=warm_up).against, strict=True
    ):
        assert min(one, other) <= 1e-9


@pytest.mark.thorough
@given(
    st.lists(
        st.tuples(st.floats(0, 1e9), st.floats(1e-3, 1e12), st.floats(0, 1e9), st.floats(1e-3, 1e12)),
        min_size=1,
        max_size=5,
    ),
    st.integers(0, 3),
)
def test_numbers_stay_finite_whatever_the_counts(rows: list[Row], warm_up: int) -> None:
    """From fractions, as CloudWatch interpolates them, to a thousand million events and shares of 1e-9."""
    found = weighed(rows, warm_up=warm_up)

    assert all(map(math.isfinite, (*found.against, *found.gross, found.in_favour)))
    estimated = estimate(minutes(*rows))
    assert estimated is None or all(map(math.isfinite, estimated))


@pytest.mark.parametrize(
    ("row", "more"),
    [((1e9, 1e9, 1e9, 1e9), 0.0), ((1e9, 1.0, 0.0, 1e9), 20.0), ((1.5, 1000.0, 0.25, 1e12), 1.0)],
)
def test_large_counts_and_small_shares_still_mean_something(row: Row, more: float) -> None:
    against = at_last([row] * 5)

    assert math.isfinite(against)
    assert against > more if more else against < 0


def test_a_worse_green_is_certain_soon_and_an_equal_one_never() -> None:
    """1,000 requests a minute, 5 % on green, blue fails at 0.5 %, green at five times that."""
    needed = math.log(100)
    worse = weighed([(1.25, 50, 4.75, 950)] * 30).against
    equal = weighed([(0.25, 50, 4.75, 950)] * 30).against

    assert 5 <= next(number for number, log in enumerate(worse) if log >= needed) <= 15
    assert max(equal) < 0


# ------------------------------------------------------------------------------------ what is forgiven

BAD_MINUTE = (40.0, 1000.0, 10.0, 9000.0)
GOOD_MINUTE = (1.0, 1000.0, 9.0, 9000.0)


def test_one_bad_minute_is_an_accident_and_three_are_not() -> None:
    assert at_last([GOOD_MINUTE] * 9 + [BAD_MINUTE]) < math.log(100)
    assert at_last([GOOD_MINUTE] * 7 + [BAD_MINUTE] * 3) > math.log(100)


def test_what_green_does_while_it_is_cold_is_forgiven_and_what_it_goes_on_doing_is_not() -> None:
    cold_start = [BAD_MINUTE] * 3 + [GOOD_MINUTE] * 12

    assert max(weighed(cold_start, warm_up=3).against) < 1
    assert max(weighed(cold_start, warm_up=0).against) > math.log(100)
    assert at_last([BAD_MINUTE] * 8, warm_up=3) > math.log(100)


def test_what_is_left_of_the_cold_after_it_is_forgiven_too() -> None:
    """At the end of the warm-up three times as bad, halved every minute and a half."""
    tail = [(10 * (1 + 2 * 0.5 ** (number / 1.5)), 1000.0, 90.0, 9000.0) for number in range(10)]
    rows = [(50.0, 1000.0, 90.0, 9000.0)] * 3 + tail

    assert max(weighed(rows, warm_up=3).against) < math.log(100)
    assert max(weighed(rows).against) > math.log(100)


def test_many_events_in_a_minute_count_for_less_than_as_many_in_many_minutes() -> None:
    spread, at_once = [(30.0, 1000.0, 100.0, 9000.0)] * 10, [(150.0, 5000.0, 500.0, 45000.0)] * 2

    assert at_last(spread) > at_last(at_once)


@pytest.mark.parametrize("first", [0, 10, 40])
def test_a_green_that_gets_worse_later_is_found_as_well(first: int) -> None:
    rows = [(5.0, 1000.0, 45.0, 9000.0)] * first + [(25.0, 1000.0, 45.0, 9000.0)] * 15
    certain = [log >= math.log(100) for log in weighed(rows).against]

    assert not any(certain[: first + 1])
    assert certain.index(True) <= first + 10


@given(ROWS)
def test_what_happens_later_changes_nothing_of_what_was_found_before(rows: list[Row]) -> None:
    """So that a look that was missed can be made up for, minute by minute."""
    every = weighed(rows, warm_up=2)

    for number in range(1, len(rows) + 1):
        found = weighed(rows[:number], warm_up=2)
        assert (found.against, found.gross) == (every.against[:number], every.gross[:number])


@given(rows_of(events=1, most=20))
def test_a_minute_of_few_events_cut_in_two_says_about_the_same(rows: list[Row]) -> None:
    """Only that its events scatter less in common, that an accident is half as long, and that more begins
    in twice as many minutes: a third of a nat, a factor of 1.4 of the 100 or more that E needs.
    """
    halves = [(a / 2, b / 2, c / 2, d / 2) for a, b, c, d in rows for _ in range(2)]

    assert at_last(halves) == pytest.approx(at_last(rows), abs=0.35)


def test_a_minute_of_many_events_cut_in_two_says_at_most_twice_as_much() -> None:
    """As two minutes they are two witnesses, where before one had it that green is worse."""
    one, two = [(300.0, 1000.0, 900.0, 9000.0)] * 10, [(150.0, 500.0, 450.0, 4500.0)] * 20

    assert 1 < at_last(two) / at_last(one) < 2


# ------------------------------------------------------------------------------------ gross failure


def gross(rows: Sequence[Row], share: float = 0.05, warm_up: int = 3) -> tuple[float, ...]:
    return weigh(
        minutes(*rows), tolerated=TOLERATED, unacceptable=UNACCEPTABLE, warm_up=warm_up, gross_share=share
    ).gross


CERTAIN_GROSS = math.log(1 / (0.01 * 0.03 / 10))
"""For one of ten metrics."""


@pytest.mark.parametrize(
    ("row", "enters"),
    [
        ((10.0, 200.0, 0.0, 1800.0), True),
        ((9.0, 20.0, 0.0, 180.0), False),  # nine events
        ((9.99, 20.0, 0.0, 180.0), False),
        ((10.0, 201.0, 0.0, 1800.0), False),  # below a twentieth
        ((50.0, 100.0, 450.0, 900.0), True),  # and then nothing is found
    ],
)
def test_what_needs_no_statistics_is_at_least_ten_events_and_a_share(row: Row, *, enters: bool) -> None:
    (found,) = gross([row])

    assert (found != 0) == enters


def test_the_lane_counts_from_the_first_minute_and_is_left_again() -> None:
    found = gross([(6.0, 100.0, 0.0, 900.0), (6.0, 100.0, 0.0, 900.0), (0.0, 1000.0, 0.0, 9000.0)])

    assert (found[0], found[1] > 0, found[2]) == (0.0, True, 0.0)


def slow_gross(rows: Sequence[Row]) -> float:
    """Ten and thirty times, each as likely, against five times."""
    return math.fsum(
        math.prod(likelihood(row, GROSS_RATIO * times) / likelihood(row, GROSS_RATIO) for row in rows) / 2
        for times in (2, 6)
    )


@given(rows_of(events=40, some_events=True))
def test_gross_evidence_is_what_the_probabilities_themselves_say(rows: list[Row]) -> None:
    bad = total = 0.0
    for number, (found, row) in enumerate(zip(gross(rows), rows, strict=True)):
        bad, total = bad + row[0], total + row[1]
        if bad >= GROSS_EVENTS and bad >= 0.05 * total:
            assert found == pytest.approx(math.log(slow_gross(rows[: number + 1])), abs=1e-8)
        else:
            assert found == 0.0


@pytest.mark.parametrize("blue_bad", [0.0, 1.0, 10.0])
def test_where_half_of_all_fails_one_minute_is_enough_even_of_a_cold_green(blue_bad: float) -> None:
    assert gross([(50.0, 100.0, blue_bad, 900.0)])[0] > CERTAIN_GROSS


@pytest.mark.parametrize(
    "rows",
    [
        # A hundredth of the requests fails at first.
        [(100.0 * 0.5**number, 10000.0, 9.0, 90000.0) for number in range(8)],
        # Green fails as often as blue, which is often.
        [(60.0, 100.0, 540.0, 900.0)] * 8,
        [(60.0, 100.0, 150.0, 900.0)] * 8,
    ],
)
def test_a_cold_start_or_a_dependency_that_is_down_is_not_gross(rows: list[Row]) -> None:
    assert max(gross(rows)) < 1


@pytest.mark.parametrize("rows", [[(12.0, 1.0, 1.0, 0.0)], [(20.0, 100.0, 0.0, 0.0)]])
def test_without_blue_nothing_is_gross(rows: list[Row]) -> None:
    assert gross(rows) == pytest.approx((0.0,), abs=1e-9)


# ------------------------------------------------------------------------------------ what it costs


def test_twice_as_many_minutes_cost_at_most_twice_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    gains = evidence._gains

    def counted(ratios: Sequence[tuple[float, float]], seen: evidence._Seen) -> list[float]:
        nonlocal calls
        calls += 1
        return gains(ratios, seen)

    monkeypatch.setattr(evidence, "_gains", counted)
    cost = []
    for length in (90, 180, 360):
        calls = 0
        weighed([(12.0, 100.0, 40.0, 900.0)] * length, warm_up=3)
        cost.append(calls)

    assert cost[0] == 90
    assert cost[1] <= 2 * cost[0]
    assert cost[2] <= 2 * cost[1]


# ------------------------------------------------------------------------------------ the estimate


@pytest.mark.parametrize(
    ("rows", "ratio"),
    [
        ([(10.0, 100.0, 90.0, 900.0)], 1.0),
        ([(30.0, 100.0, 90.0, 900.0)], 3.0),
        ([(5.0, 1000.0, 900.0, 9000.0)], 0.05),
        ([(12.0, 100.0, 9.0, 900.0), (8.0, 200.0, 11.0, 1800.0)], 9.0),
    ],
)
def test_at_a_constant_share_the_estimate_is_the_ratio_of_both_shares_of_bad_events(
    rows: list[Row], ratio: float
) -> None:
    found = estimate(minutes(*rows))

    assert found is not None
    assert found.ratio == pytest.approx(ratio, rel=1e-6)
    assert found.low < ratio < found.high


@pytest.mark.thorough
@given(rows_of(some_events=True))
def test_the_estimate_is_where_the_likelihood_is_largest(rows: list[Row]) -> None:
    assume(sum(row[0] for row in rows) > 0)
    assume(sum(row[2] for row in rows) > 0)

    def unlikely(log_ratio: float) -> float:
        shares = [(a, c, b * math.exp(log_ratio) / (b * math.exp(log_ratio) + d)) for a, b, c, d in rows]
        return -math.fsum(a * math.log(share) + c * math.log(1 - share) for a, c, share in shares)

    best = optimize.minimize_scalar(unlikely, bounds=(-12, 12), method="bounded", options={"xatol": 1e-9})
    found = estimate(minutes(*rows))

    assert found is not None
    assert math.log(found.ratio) == pytest.approx(best.x, abs=1e-4)
    assert found.low <= found.ratio <= found.high


def test_where_little_fails_the_estimate_is_scipy_s_conditional_odds_ratio() -> None:
    exact = stats.contingency.odds_ratio([[24, 99976], [80, 899920]])
    interval = exact.confidence_interval(0.95)

    found = estimate(minutes((24.0, 100000.0, 80.0, 900000.0)))

    assert found == Estimate(
        pytest.approx(interval.low, rel=0.05),
        pytest.approx(exact.statistic, rel=0.01),
        pytest.approx(interval.high, rel=0.05),
    )


@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize(("events", "share"), [(20, 0.5), (60, 0.1), (200, 0.05), (200, 0.9)])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(
    events: int, share: float, ratio: float
) -> None:
    theta = share * ratio / (share * ratio + 1 - share)
    missed = []
    for bad in range(events + 1):
        found = estimate(minutes((float(bad), share * 1e6, float(events - bad), (1 - share) * 1e6)))
        assert found is not None
        if not found.low <= ratio <= found.high:
            missed.append(float(stats.binom.pmf(bad, events, theta)))

    assert math.fsum(missed) <= 0.08


def test_minutes_that_scatter_widen_the_interval() -> None:
    steady = estimate(minutes(*[(20.0, 1000.0, 90.0, 9000.0)] * 10))
    wild = estimate(minutes(*[(2.0, 1000.0, 90.0, 9000.0), (38.0, 1000.0, 90.0, 9000.0)] * 5))

    assert steady is not None
    assert wild is not None
    assert wild.high / wild.low > 2 * steady.high / steady.low


@pytest.mark.parametrize(
    ("row", "ratio"),
    [
        # One pseudo-event in a minute in which both have half of the requests: x + 1/2 of K + 1.
        ((0.0, 500.0, 50.0, 500.0), 0.5 / 50.5),
        ((50.0, 500.0, 0.0, 500.0), 50.5 / 0.5),
        ((0.25, 500.0, 0.0, 500.0), 0.75 / 0.5),
    ],
)
def test_a_side_without_bad_events_has_an_estimate_too(row: Row, ratio: float) -> None:
    found = estimate(minutes(row))

    assert found is not None
    assert found.ratio == pytest.approx(ratio, rel=1e-6)
    assert 0 < found.low < ratio < found.high < math.inf


@pytest.mark.parametrize(
    "rows", [[], [(0.0, 10.0, 0.0, 90.0)], [(3.0, 10.0, 0.0, 0.0)], [(0.0, 0.0, 3.0, 90.0)]]
)
def test_without_bad_events_beside_each_other_nothing_is_estimated(rows: list[Row]) -> None:
    assert estimate(minutes(*rows)) is None


@pytest.mark.thorough
@given(rows_of(events=3, most=20))
def test_a_minute_cut_in_two_has_the_same_estimate(rows: list[Row]) -> None:
    halves = [(a / 2, b / 2, c / 2, d / 2) for a, b, c, d in rows for _ in range(2)]
    one, other = estimate(minutes(*rows)), estimate(minutes(*halves))

    assert (one and one.ratio) == (other and pytest.approx(other.ratio, rel=1e-6))


# ------------------------------------------------------------------------------------ what could be told

QUIET: Row = (0.25, 50.0, 4.75, 950.0)


def certain_with(splits: Sequence[Split], warm_up: int = 0) -> int | None:
    """Return the index of the first minute with which it is certain at one in a hundred."""
    found = weigh(
        splits, tolerated=TOLERATED, unacceptable=UNACCEPTABLE, warm_up=warm_up, gross_share=0.05
    ).against
    return next((index for index, log in enumerate(found) if log >= math.log(100)), None)


def reached(rows: Sequence[Row], ratio: float = UNACCEPTABLE, *, warm_up: int = 0) -> Reach:
    return reach(minutes(*rows), ratio, lambda splits: certain_with(splits, warm_up))


def test_more_minutes_show_smaller_ratios_and_leave_fewer_to_wait_for() -> None:
    found = [reached([QUIET] * length) for length in (5, 10, 20, 40, 80, 160)]
    detectable = [reach.detectable or math.inf for reach in found]
    more = [reach.more_minutes for reach in found]

    assert detectable == sorted(detectable, reverse=True)
    assert len(set(detectable)) == len(detectable)
    assert more == [31, 26, 16, 0, 0, 0]


BUSY: Row = (5.0, 1000.0, 45.0, 9000.0)


ALIKE = [QUIET, (0.05, 50.0, 0.95, 950.0), BUSY, (30.0, 1000.0, 270.0, 9000.0)]


@pytest.mark.parametrize("warm_up", [0, 3])
@pytest.mark.parametrize("length", [3, 10, 30, 120])
@pytest.mark.parametrize("row", ALIKE)
def test_what_is_detectable_is_certain_and_a_little_less_is_not(row: Row, length: int, warm_up: int) -> None:
    detectable = reached([row] * length, warm_up=warm_up).detectable

    def is_certain(ratio: float) -> bool:
        return certain_with(minutes(*[(row[0] * ratio, *row[1:])] * length), warm_up) is not None

    if length <= warm_up:
        # As long as green may be cold, nothing is.
        assert detectable is None
        return
    assert detectable is not None
    assert is_certain(detectable)
    assert not is_certain(0.97 * detectable)


@pytest.mark.parametrize("row", ALIKE)
def test_nothing_is_said_to_be_certain_after_one_minute_for_that_may_be_an_accident(row: Row) -> None:
    assert reached([row]).detectable is None
    assert all(at_last([(row[0] * ratio, *row[1:])]) < math.log(10) for ratio in (2.0, 5.0, 20.0))


@pytest.mark.parametrize("length", [1, 5, 20])
@pytest.mark.parametrize("row", ALIKE)
def test_after_as_many_more_minutes_as_it_says_the_ratio_asked_about_is_certain(
    row: Row, length: int
) -> None:
    more = reached([row] * length).more_minutes
    assert more is not None

    logs = weighed([(row[0] * UNACCEPTABLE, *row[1:])] * (length + more)).against

    assert logs[-1] >= math.log(100)
    # And it is no more than three times what it takes.
    assert not more or max(logs[: (length + more) // 3]) < math.log(100)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], Reach(None, None)),
        ([(1.0, 50.0, 0.0, 950.0)], Reach(None, None)),
        ([(1.0, 50.0, 1.0, 0.0)], Reach(None, None)),
        ([(0.0, 0.0, 1.0, 950.0)], Reach(None, None)),
        # So little goes wrong that even a thousand times as much would not be seen.
        ([(0.0, 1.0, 1.0, 1e6)], Reach(None, None)),
        ([(0.0, 1.0, 1.0, 500.0)] * 5, Reach(pytest.approx(244, abs=3), None)),
        # A whole day would not show two and a half times as many.
        ([(0.0, 1.0, 1.0, 500.0)] * 100, Reach(pytest.approx(16.9, abs=0.2), None)),
        # Minutes without one of both are not among them.
        (
            [(0.0, 1.0, 1.0, 500.0), (0.0, 0.0, 1.0, 500.0), (0.0, 1.0, 0.0, 0.0)] * 5,
            Reach(pytest.approx(244, abs=3), None),
        ),
    ],
)
def test_of_what_could_be_told_a_number_is_given_only_where_there_is_one(
    rows: list[Row], expected: Reach
) -> None:
    assert reached(rows) == expected
