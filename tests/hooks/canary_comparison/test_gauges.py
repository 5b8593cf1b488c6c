import math
from collections.abc import Sequence
from datetime import UTC, datetime
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.canary_comparison.evidence import Evidence
from hooks.canary_comparison.gauges import Direction, exceeds, weigh_readings
from hooks.canary_comparison.observation import MINUTE, Reading

START = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
COINS = (0.65, 0.8, 0.9, 0.97)

Pair = tuple[float, float]
"""Green's value and blue's."""

WORSE: Pair = (2.0, 1.0)
ALIKE: Pair = (1.0, 1.0)


def readings(pairs: Sequence[Pair]) -> list[Reading]:
    return [Reading(START + number * MINUTE, *pair) for number, pair in enumerate(pairs)]


def weighed(
    pairs: Sequence[Pair],
    *,
    tolerated: float = 1.25,
    unacceptable: float = 2.5,
    direction: Direction = "increase",
    warm_up: int = 0,
) -> Evidence:
    return weigh_readings(
        readings(pairs),
        tolerated=tolerated,
        unacceptable=unacceptable,
        direction=direction,
        warm_up=warm_up,
    )


def coin(heads: int, tails: int) -> float:
    """Return how much likelier some unfair coin makes so many heads and tails than a fair one."""
    return math.log(math.fsum((2 * p) ** heads * (2 - 2 * p) ** tails for p in COINS) / len(COINS))


# ------------------------------------------------------------------------------------ one minute


@pytest.mark.parametrize(
    ("green", "blue", "direction", "worse"),
    [
        (1.25, 1.0, "increase", False),  # at what is tolerated
        (1.26, 1.0, "increase", True),
        (0.1, 1.0, "increase", False),
        (0.8, 1.0, "decrease", False),
        (0.79, 1.0, "decrease", True),
        (9.0, 1.0, "decrease", False),
        # Of nothing there is no multiple: more is more.
        (0.0, 0.0, "increase", False),
        (0.0, 0.0, "decrease", False),
        (1e-9, 0.0, "increase", True),
        (-1e-9, 0.0, "increase", False),
        (-1e-9, 0.0, "decrease", True),
        (1e-9, 0.0, "decrease", False),
        (1.0, 0.0, "decrease", False),
        # Below nothing, a difference is held against how far from nothing blue is.
        (-1.0, -1.0, "increase", False),
        (-1.0, -1.0, "decrease", False),
        (-0.8, -1.0, "increase", False),
        (-0.7, -1.0, "increase", True),
        (-1.1, -1.0, "decrease", False),
        (-1.3, -1.0, "decrease", True),
        (1.0, -1.0, "increase", True),
        (-1.0, 1.0, "decrease", True),
    ],
)
def test_green_is_worse_by_more_than_is_tolerated_or_not(
    green: float, blue: float, direction: Direction, *, worse: bool
) -> None:
    assert exceeds(Reading(START, green, blue), 1.25, direction) == worse


VALUES = st.integers(-1000, 1000).map(float)


@given(VALUES, VALUES, st.sampled_from([1.25, 2.0, 5.0]), st.integers(-20, 20))
def test_the_unit_does_not_matter(green: float, blue: float, ratio: float, power: int) -> None:
    unit = 2.0**power  # of which products are exact
    directions: tuple[Direction, ...] = ("increase", "decrease")
    for direction in directions:
        assert exceeds(Reading(START, green * unit, blue * unit), ratio, direction) == exceeds(
            Reading(START, green, blue), ratio, direction
        )


@given(VALUES, VALUES, st.floats(1.01, 50))
def test_a_minute_is_never_worse_both_ways(green: float, blue: float, ratio: float) -> None:
    reading = Reading(START, green, blue)

    assert not (exceeds(reading, ratio, "increase") and exceeds(reading, ratio, "decrease"))


@given(VALUES, VALUES, st.floats(1.01, 50), st.floats(1.01, 50))
def test_what_exceeds_a_ratio_exceeds_every_smaller_one(
    green: float, blue: float, one: float, other: float
) -> None:
    reading = Reading(START, green, blue)
    directions: tuple[Direction, ...] = ("increase", "decrease")
    for direction in directions:
        if exceeds(reading, max(one, other), direction):
            assert exceeds(reading, min(one, other), direction)


# ------------------------------------------------------------------------------------ all minutes

FALLS = st.lists(st.sampled_from([WORSE, ALIKE, (9.0, 1.0), (0.0, 0.0)]), max_size=40)


@given(FALLS, st.integers(0, 5))
def test_the_evidence_is_that_of_a_coin_that_shows_too_many_heads(pairs: list[Pair], warm_up: int) -> None:
    warm = pairs[warm_up:]
    heads = [sum(green > blue for green, blue in warm[: number + 1]) for number in range(len(warm))]
    far = sum(green > 2.5 * blue for green, blue in warm)
    silent = [0.0] * (len(pairs) - len(warm))

    assert weighed(pairs, warm_up=warm_up) == Evidence(
        against=pytest.approx(
            (*silent, *(coin(head, number + 1 - head) for number, head in enumerate(heads)))
        ),
        gross=(0.0,) * len(pairs),
        in_favour=pytest.approx(coin(len(warm) - far, far), abs=1e-12),
    )


@pytest.mark.parametrize("length", [0, 1, 3])
def test_while_green_may_be_cold_nothing_is_said(length: int) -> None:
    silence = (0.0,) * length

    found = weighed([(1000.0, 1.0)] * length, warm_up=3)

    assert found == Evidence(against=silence, gross=silence, in_favour=pytest.approx(0.0, abs=1e-12))


def test_a_decrease_is_weighed_as_an_increase_upside_down() -> None:
    pairs = [WORSE, ALIKE, WORSE, (8.0, 1.0)]
    upside_down = [(1 / green, 1 / blue) for green, blue in pairs]

    assert weighed(upside_down, direction="decrease") == weighed(pairs)


def test_one_wild_minute_counts_as_one() -> None:
    assert weighed([(1e300, 1.0), ALIKE]).against == weighed([(1.3, 1.0), ALIKE]).against


@pytest.mark.parametrize(
    ("alpha", "least"),
    [
        (0.01, 9),
        # The defaults' share of the evidence lane, for one of one metric, of three, and of ten.
        (0.01 * 0.94, 9),
        (0.01 * 0.94 / 3, 11),
        (0.01 * 0.94 / 10, 12),
    ],
)
def test_about_ten_minutes_are_the_least_it_takes(alpha: float, least: int) -> None:
    against = weighed([WORSE] * 20).against

    assert next(number for number, log in enumerate(against, 1) if log >= -math.log(alpha)) == least


@pytest.mark.parametrize("chance", [Fraction(1, 2), Fraction(1, 3)])
def test_a_green_that_is_worse_in_half_of_the_minutes_ever_reaches_one_in_alpha_with_at_most_alpha(
    chance: Fraction,
) -> None:
    """All ways in which twelve minutes may fall, each with its probability."""
    highest = []
    for falls in product((True, False), repeat=12):
        log = max(weighed([WORSE if head else ALIKE for head in falls]).against)
        highest.append((log, chance ** sum(falls) * (1 - chance) ** (12 - sum(falls))))
    assert sum(probability for _, probability in highest) == 1

    reached = Fraction(0)
    for log, probability in sorted(highest, reverse=True):
        reached += probability
        assert reached <= math.exp(-log) * (1 + 1e-9)


def test_a_green_that_is_unacceptable_in_every_other_minute_is_not_good() -> None:
    assert weighed([(3.0, 1.0), ALIKE] * 15).in_favour < 0
    # That takes about five minutes at one in twenty.
    assert weighed([(2.4, 1.0)] * 4).in_favour < math.log(20) < weighed([(2.4, 1.0)] * 6).in_favour
