import math
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import optimize

from hooks.canary_comparison import judge as judging
from hooks.canary_comparison.evidence import Evidence
from hooks.canary_comparison.judge import (
    MAX_HINTS,
    SHARES,
    Finding,
    Judgement,
    Rule,
    Standards,
    Verdict,
    judge,
    summed_up,
)
from hooks.canary_comparison.observation import MINUTE, Kind, Observation, Reading, Split

START = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
STANDARDS = Standards(false_alarm_rate=0.01, miss_rate=0.05, unacceptable=2.0, warm_up=0)
ERRORS = Rule(name="errors", kind=Kind.PROPORTION, tolerated=1.25, good_below=0.001)
SLOW = Rule(name="slow", kind=Kind.SLOW, tolerated=1.4)
LATENCY = Rule(name="latency", kind=Kind.GAUGE, tolerated=1.25)

Row = tuple[float, float, float, float]
"""Green's bad events and requests in a minute, and blue's."""

ALIKE: Row = (5.0, 1000.0, 45.0, 9000.0)
BAD: Row = (25.0, 1000.0, 45.0, 9000.0)
GOOD_ROW: Row = (30.0, 1000.0, 270.0, 9000.0)
GROSS: Row = (300.0, 1000.0, 45.0, 9000.0)
SILENT: Row = (0.0, 100.0, 0.0, 900.0)


def counted(rows: Sequence[Row], rule: Rule = ERRORS, *, missing: int = 0, problem: str = "") -> Observation:
    return Observation(
        metric=rule.name,
        kind=rule.kind,
        minutes=tuple(Split(START + number * MINUTE, *row) for number, row in enumerate(rows)),
        missing=tuple(START + (len(rows) + number) * MINUTE for number in range(missing)),
        problem=problem,
    )


def measured(pairs: Sequence[tuple[float, float]], rule: Rule = LATENCY) -> Observation:
    return Observation(
        metric=rule.name,
        kind=Kind.GAUGE,
        minutes=tuple(Reading(START + number * MINUTE, *pair) for number, pair in enumerate(pairs)),
    )


def found(
    observation: Observation,
    rule: Rule = ERRORS,
    standards: Standards = STANDARDS,
    *,
    at_the_end: bool = False,
) -> Finding:
    (finding,) = judge([observation], [rule], standards, at_the_end=at_the_end).findings
    return finding


def without_evidence(finding: Finding) -> Finding:
    return replace(finding, evidence=(), needed=0.0)


def roughly(value: float) -> float:
    approximate: float = pytest.approx(value, rel=0.01)
    return approximate


# ------------------------------------------------------------------------------------ one counted metric


def test_a_worse_green_is_told_with_the_numbers_and_since_when() -> None:
    finding = found(counted([BAD] * 10))

    assert without_evidence(finding) == Finding(
        metric="errors",
        verdict=Verdict.WORSE,
        text="errors: green 2.5 % of 10,000, blue 0.5 % of 90,000, 5 times (95 %: 4.3 to 5.8), "
        f"certain since {finding.certain_since:%H:%M}",
        ratio=roughly(5.0),
        low=roughly(4.32),
        high=roughly(5.79),
        certain_since=finding.certain_since,
    )


def test_it_is_certain_since_the_end_of_the_first_minute_in_which_the_evidence_sufficed() -> None:
    finding = found(counted([ALIKE] * 3 + [BAD] * 12))
    sufficed = [log >= finding.needed for log in finding.evidence]

    assert finding.needed == pytest.approx(-math.log10(0.01 * 0.94))
    assert len(sufficed) == 15
    assert 3 < sufficed.index(True) < 14
    assert finding.certain_since == START + (sufficed.index(True) + 1) * MINUTE


@given(
    st.lists(st.sampled_from([ALIKE, BAD, GROSS, SILENT, (0.0, 1000.0, 45.0, 9000.0)]), max_size=25),
    st.integers(0, 3),
)
def test_a_look_at_each_minute_finds_what_one_look_at_the_end_does(rows: list[Row], warm_up: int) -> None:
    """Nothing that comes later makes certain, or undoes, what was certain before."""
    standards = replace(STANDARDS, warm_up=warm_up)
    looks = [found(counted(rows[:length]), standards=standards) for length in range(len(rows) + 1)]

    first = next((look.certain_since for look in looks if look.certain_since), None)
    for length, look in enumerate(looks):
        known = first is not None and first <= START + length * MINUTE
        assert look.certain_since == (first if known else None)
        assert (look.verdict is Verdict.WORSE) == known
    assert looks[-1].certain_since is None or looks[-1].verdict is Verdict.WORSE


def test_what_comes_late_and_changes_the_past_counts_as_it_is_now() -> None:
    rows = [BAD] * 10
    before = found(counted(rows))
    corrected = found(counted([ALIKE] * 10))
    filled_in = found(counted([BAD, *rows]))

    assert before.verdict is Verdict.WORSE
    assert corrected.verdict is not Verdict.WORSE
    assert filled_in.certain_since == before.certain_since


def test_gross_failure_is_certain_after_one_minute_though_green_was_cold() -> None:
    standards = replace(STANDARDS, warm_up=3)

    finding = found(counted([(50.0, 100.0, 5.0, 900.0)]), standards=standards)

    assert finding == Finding(
        metric="errors",
        verdict=Verdict.WORSE,
        text="errors: green 50 % of 100, blue 0.556 % of 900, 90 times (95 %: 36 to 226), "
        "certain since 12:01",
        ratio=roughly(90.0),
        low=roughly(35.9),
        high=roughly(225.7),
        certain_since=START + MINUTE,
        evidence=finding.evidence,
        needed=pytest.approx(-math.log10(0.01 * 0.94)),
    )
    # In a picture it is beyond the line by as much as it is beyond its own.
    (gross,) = judging._Counted(counted([(50.0, 100.0, 5.0, 900.0)]), ERRORS).weigh(standards).gross
    beyond = gross / math.log(10) + math.log10(0.01 * 0.03)
    assert beyond > 0
    assert finding.evidence == (pytest.approx(finding.needed + beyond),)
    assert (
        found(
            counted([(100.0 * 0.5**n, 10000.0, 9.0, 90000.0) for n in range(8)]), standards=standards
        ).verdict
        is not Verdict.WORSE
    )


@pytest.mark.parametrize(
    ("rule", "verdict"), [(ERRORS, Verdict.WORSE), (SLOW, Verdict.INCONCLUSIVE)], ids=["errors", "slow"]
)
def test_that_a_fifth_is_slow_is_not_gross_while_that_a_fifth_fails_is(rule: Rule, verdict: Verdict) -> None:
    finding = found(counted([(20.0, 100.0, 1.0, 900.0)], rule), rule, replace(STANDARDS, warm_up=3))

    assert finding.verdict is verdict


def test_an_equal_green_is_good_once_being_unacceptable_is_ruled_out() -> None:
    assert without_evidence(found(counted([(30.0, 1000.0, 270.0, 9000.0)] * 10))) == Finding(
        metric="errors",
        verdict=Verdict.GOOD,
        text="errors: green 3 % of 10,000, blue 3 % of 90,000, 1 times (95 %: 0.89 to 1.13)",
        ratio=roughly(1.0),
        low=roughly(0.887),
        high=roughly(1.127),
    )


def test_where_next_to_nothing_fails_green_is_good_whatever_blue_s_share_is() -> None:
    """Nothing bad in 3,329 requests rules out one in a thousand, at one in twenty: exp(-0.9 n / 1000)."""
    quiet = [(0.0, 333.0, 0.0, 3000.0)] * 10

    assert found(counted(quiet)) == Finding(
        metric="errors",
        verdict=Verdict.GOOD,
        text="errors: green 0 % of 3,330, blue 0 % of 30,000",
        evidence=found(counted(quiet)).evidence,
        needed=pytest.approx(2.0269, abs=1e-4),
    )
    assert found(counted([(0.0, 332.0, 0.0, 3000.0)] * 10)).verdict is Verdict.INCONCLUSIVE
    assert found(counted(quiet), replace(ERRORS, good_below=0.0)).verdict is Verdict.INCONCLUSIVE
    assert found(counted(quiet), replace(ERRORS, direction="decrease")).verdict is Verdict.INCONCLUSIVE


def test_a_bad_event_takes_what_it_takes_of_being_negligible() -> None:
    """Each divides by ten: so 2,558 more requests make up for it."""
    negligible = [
        found(counted([(1.0, total, 1.0, 10 * total)])).verdict is Verdict.GOOD for total in (5800.0, 5900.0)
    ]

    assert negligible == [False, True]


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        (
            [(0.0, 50.0, 5.0, 950.0)],
            "errors: green 0 % of 50, blue 0.526 % of 950, 0.56 times (95 %: 0.048 to 6.5); 48 times would "
            "have been certain by now, about 34 more minutes would show 2.5 times",
        ),
        (
            [(8.0, 1000.0, 45.0, 9000.0)] * 4,
            "errors: green 0.8 % of 4,000, blue 0.5 % of 36,000, 1.6 times (95 %: 1.1 to 2.3); 2.5 times "
            "would have been certain by now",
        ),
        (
            [(8.0, 1000.0, 45.0, 9000.0)] * 7,
            "errors: green 0.8 % of 7,000, blue 0.5 % of 63,000, 1.6 times (95 %: 1.2 to 2.1); 2.2 times "
            "would have been certain by now",
        ),
        (
            [(7.0, 1000.0, 45.0, 9000.0)] * 30,
            "errors: green 0.7 % of 30,000, blue 0.5 % of 270,000, 1.4 times (95 %: 1.21 to 1.62); certainly "
            "below 2.5 times, and yet more than the 1.25 that are tolerated",
        ),
        (
            [(0.0, 50.0, 0.0, 950.0)],
            "errors: green 0 % of 50, blue 0 % of 950; no ratio would have been certain by now: too little "
            "goes wrong on blue to compare with",
        ),
        (
            [(0.0, 0.0, 0.0, 0.0)],
            "errors: green 0 % of 0, blue 0 % of 0; no ratio would have been certain by now: too little goes "
            "wrong on blue to compare with",
        ),
    ],
)
def test_what_is_not_certain_says_what_would_have_been(rows: list[Row], text: str) -> None:
    finding = found(counted(rows))

    assert (finding.verdict, finding.text) == (Verdict.INCONCLUSIVE, text)


SLOWER_BY_HALF: list[Row] = [
    (89.0, 581.0, 278.0, 5302.0),
    (96.0, 601.0, 288.0, 5368.0),
    (124.0, 621.0, 285.0, 5548.0),
    (117.0, 615.0, 345.0, 5330.0),
    (117.0, 594.0, 302.0, 5279.0),
    (111.0, 583.0, 280.0, 5447.0),
    (106.0, 602.0, 309.0, 5456.0),
    (82.0, 581.0, 328.0, 5497.0),
    (112.0, 618.0, 290.0, 5325.0),
    (93.0, 606.0, 316.0, 5381.0),
]
"""A rehearsed green whose requests take 1.5 times as long, in its first ten minutes."""


def test_what_would_have_been_certain_is_worked_out_for_no_more_metrics_than_there_is_time_for() -> None:
    rules = [replace(ERRORS, name=f"errors-{number}") for number in range(MAX_HINTS + 2)]
    observations = [counted([(6.0, 1000.0, 45.0, 9000.0)] * 3, rule) for rule in rules]

    findings = judge(observations, rules, STANDARDS, at_the_end=False).findings

    assert {finding.verdict for finding in findings} == {Verdict.INCONCLUSIVE}
    assert ["would have been certain" in finding.text for finding in findings] == [True] * MAX_HINTS + [
        False
    ] * 2


def test_what_would_have_been_certain_is_more_than_what_was_seen_and_was_not() -> None:
    """Half of these minutes may be what a cold green leaves behind: without that, 2.2 times would do."""
    standards, rule = replace(STANDARDS, warm_up=3), replace(SLOW, weight=0.3)
    others = replace(ERRORS, weight=0.7)

    _, finding = judge(
        [counted([SILENT]), counted(SLOWER_BY_HALF, rule)], [others, rule], standards, at_the_end=False
    ).findings

    assert (finding.verdict, finding.text) == (
        Verdict.INCONCLUSIVE,
        "slow: green 17.4 % of 6,002, blue 5.6 % of 53,933, 3.1 times (95 %: 2.8 to 3.4); 3.5 times would "
        "have been certain by now, about 1 more minute would show 2.8 times",
    )


def named(text: str) -> float | None:
    """Return the ratio that a sentence says would have been certain."""
    found = re.search(r"([\d.,]+) times would have been certain", text)
    return float(found[1].replace(",", "")) if found else None


def made_worse(rows: Sequence[Row], rule: Rule, ratio: float) -> list[Row]:
    """Return the minutes with green's events raised, or lowered, until they are estimated at *ratio*."""
    decreasing = rule.direction == "decrease"

    def times(log: float) -> list[Row]:
        factor = math.exp(-log if decreasing else log)
        return [(row[0] * factor, *row[1:]) for row in rows]

    def too_high(log: float) -> float:
        estimated = judging._Counted(counted(times(log)), rule).estimated().ratio
        assert estimated is not None
        return math.log(estimated / ratio)

    # The estimate of less than one event is another one.
    most = math.log(math.fsum(row[0] for row in rows)) - 1e-9 if decreasing else 9.0
    return times(float(optimize.brentq(too_high, 0.0, most, xtol=1e-6)))


@st.composite
def scattered(draw: st.DrawFn) -> list[Row]:
    """Draw minutes whose bad events scatter on both sides, green's around some ratio to blue's."""
    rate, ratio = draw(st.sampled_from([1.0, 5.0, 30.0, 100.0])), draw(st.floats(0.3, 2.5))
    noise = st.floats(0.6, 1.5)
    return [
        (rate * ratio * draw(noise) + 1, 100_000.0, 9 * rate * draw(noise), 900_000.0)
        for _ in range(draw(st.integers(1, 15)))
    ]


@settings(max_examples=150)
@given(
    scattered(),
    st.integers(0, 4),
    st.sampled_from([ERRORS, SLOW, replace(ERRORS, direction="decrease"), replace(ERRORS, weight=0.2)]),
)
def test_the_judge_is_certain_of_the_very_ratio_that_it_says_it_would_be(
    rows: list[Row], warm_up: int, rule: Rule
) -> None:
    # What is good says nothing of what would have been certain, so next to nothing is.
    standards = replace(STANDARDS, warm_up=warm_up, miss_rate=1e-30)
    rule = replace(rule, good_below=0.0)
    finding = found(counted(rows, rule), rule, standards)
    ratio = named(finding.text)
    assume(finding.verdict is Verdict.INCONCLUSIVE and ratio is not None)
    assert ratio is not None
    assert finding.ratio is not None

    assert ratio > finding.ratio
    worse = found(counted(made_worse(rows, rule, ratio), rule), rule, standards)
    assert worse.verdict is Verdict.WORSE


def test_what_is_slow_is_told_with_its_threshold() -> None:
    observation = replace(counted([(50.0, 1000.0, 450.0, 9000.0)] * 12, SLOW), threshold=0.25)

    finding = found(observation, SLOW)

    assert (finding.verdict, finding.text) == (
        Verdict.GOOD,
        "slow above 0.25 s: green 5 % of 12,000, blue 5 % of 108,000, 1 times (95 %: 0.92 to 1.09)",
    )


def test_of_what_is_good_fewer_is_worse() -> None:
    rule = replace(ERRORS, name="orders", direction="decrease")
    fewer = [(20.0, 1000.0, 900.0, 9000.0)] * 12

    finding = found(counted(fewer, rule), rule)

    assert finding.verdict is Verdict.WORSE
    assert finding.text.startswith(
        "orders: green 2 % of 12,000, blue 10 % of 108,000, fewer by a factor of 5 times (95 %: 4.4 to 5.7), "
    )
    assert finding.ratio == roughly(5.0)
    more = [(300.0, 1000.0, 900.0, 9000.0)] * 12
    assert found(counted(more, rule), rule).verdict is Verdict.GOOD


# ------------------------------------------------------------------------------------ ranks, at the end


def test_ranks_of_many_minutes_may_tell_at_the_end_what_the_evidence_did_not() -> None:
    rows = [(150.0 + number, 10000.0, 500.0 - number, 90000.0) for number in range(12)]
    rule = replace(ERRORS, tolerated=2.0)
    standards = replace(STANDARDS, warm_up=60)

    before = found(counted(rows, rule), rule, standards)
    at_the_end = found(counted(rows, rule), rule, standards, at_the_end=True)

    assert before.verdict is not Verdict.WORSE
    assert at_the_end == replace(
        before,
        verdict=Verdict.WORSE,
        certain_since=START + 12 * MINUTE,
        text=f"{before.text.partition(';')[0]}, certain by the ranks of 12 minutes",
    )


@pytest.mark.parametrize(
    "rows",
    [
        [(300.0, 10000.0, 500.0, 90000.0)] * 9,  # too few minutes
        [(2.9, 97.0, 500.0, 90000.0)] * 12,  # too few events of green
        [(300.0, 100.0, 2.9, 9.0)] * 12,  # and of blue
        [(109.0, 10000.0, 500.0, 90000.0)] * 12,  # 1.96 times, where 2 are tolerated
    ],
)
def test_ranks_of_little_tell_nothing(rows: list[Row]) -> None:
    rule = replace(ERRORS, tolerated=2.0, good_below=0.0)
    metric = judging._Counted(counted(rows, rule), rule)

    assert not metric.ranks_say_worse(0.99)
    assert judging._Counted(counted([(300.0, 10000.0, 500.0, 90000.0)] * 12, rule), rule).ranks_say_worse(
        0.99
    )


def test_minutes_that_only_one_side_has_are_not_ranked() -> None:
    rows = [(300.0, 10000.0, 500.0, 90000.0), (300.0, 10000.0, 0.0, 0.0)] * 9

    assert not judging._Counted(counted(rows), ERRORS).ranks_say_worse(0.99)


# ------------------------------------------------------------------------------------ gauges


@pytest.mark.parametrize(
    ("pairs", "direction", "verdict", "text"),
    [
        (
            [(2.0, 1.0)] * 12,
            "increase",
            Verdict.WORSE,
            "latency: green 2, blue 1, 2 times (95 %: 2 to 2), certain since 12:09",
        ),
        (
            [(0.5, 1.0)] * 12,
            "decrease",
            Verdict.WORSE,
            "latency: green 0.5, blue 1, 0.5 times (95 %: 0.5 to 0.5), certain since 12:09",
        ),
        (
            [(1.0, 1.0)] * 12,
            "increase",
            Verdict.GOOD,
            "latency: green 1, blue 1, 1 times (95 %: 1 to 1)",
        ),
        (
            [(1.0, 1.0)] * 2,
            "increase",
            Verdict.INCONCLUSIVE,
            "latency: green 1, blue 1; at least 7 more minutes are needed to be certain",
        ),
        (
            [(-2.0, -1.0)] * 4,
            "decrease",
            Verdict.INCONCLUSIVE,
            "latency: green -2, blue -1; at least 5 more minutes are needed to be certain",
        ),
        (
            [(3.0, 1.0), (1.0, 1.0)] * 6,
            "increase",
            Verdict.INCONCLUSIVE,
            "latency: green 2, blue 1, 1.73 times (95 %: 1 to 3); not certain either way",
        ),
        (
            [(1.0, 0.0)] * 9,
            "increase",
            Verdict.WORSE,
            "latency: green 1, blue 0, ∞ times (95 %: ∞ to ∞), certain since 12:09",
        ),
    ],
)
def test_a_gauge_is_told_by_its_medians(
    pairs: list[tuple[float, float]],
    direction: Literal["increase", "decrease"],
    verdict: Verdict,
    text: str,
) -> None:
    rule = replace(LATENCY, direction=direction)
    finding = found(measured(pairs, rule), rule)

    assert (finding.verdict, finding.text) == (verdict, text)


@pytest.mark.parametrize("direction", ["increase", "decrease"])
def test_ranks_of_a_gauge_count_at_the_end_too(direction: Literal["increase", "decrease"]) -> None:
    """In the warm-up nothing is certain but by ranks, which is why they are taken of all minutes."""
    rule = replace(LATENCY, direction=direction)
    worse = (2.0, 1.0) if direction == "increase" else (0.5, 1.0)
    pairs = [(worse[0] + number / 1000, 1.0 - number / 1000) for number in range(12)]
    standards = replace(STANDARDS, warm_up=12)

    before = found(measured(pairs, rule), rule, standards)
    at_the_end = found(measured(pairs, rule), rule, standards, at_the_end=True)

    assert (before.verdict, at_the_end.verdict) == (Verdict.INCONCLUSIVE, Verdict.WORSE)
    assert at_the_end.text.endswith(", certain by the ranks of 12 minutes")
    assert at_the_end.certain_since == START + 12 * MINUTE


# ------------------------------------------------------------------------------------ what is not known


def test_a_metric_that_is_missing_most_of_the_time_is_not_known() -> None:
    finding = found(counted([ALIKE] * 4, missing=5, problem="CloudWatch says AccessDenied"))

    assert finding == Finding(
        metric="errors",
        verdict=Verdict.UNKNOWN,
        text="errors is not known in 5 of 9 minutes: CloudWatch says AccessDenied",
    )
    assert found(counted([], missing=1)) == Finding(
        metric="errors", verdict=Verdict.UNKNOWN, text="errors is not known in 1 of 1 minutes"
    )


def test_a_metric_that_is_known_half_of_the_time_is_judged() -> None:
    assert found(counted([GOOD_ROW] * 10, missing=10)).verdict is Verdict.GOOD
    assert found(counted([GOOD_ROW] * 10, missing=11)).verdict is Verdict.UNKNOWN
    assert found(counted([])) == Finding(
        metric="errors", verdict=Verdict.INCONCLUSIVE, text="errors: no complete minute yet"
    )


@pytest.mark.parametrize("rule", [ERRORS, LATENCY], ids=["counted", "measured"])
@pytest.mark.parametrize("missing", [1, 10, 11, 500])
def test_what_is_certain_stays_so_however_much_is_missing_besides(rule: Rule, missing: int) -> None:
    known = counted([BAD] * 10) if rule is ERRORS else measured([(2.0, 1.0)] * 10)
    later = tuple(START + (10 + number) * MINUTE for number in range(missing))

    finding = found(replace(known, missing=later, problem="gone"), rule)

    assert finding.verdict is Verdict.WORSE
    assert finding == found(known, rule)


@pytest.mark.parametrize("missing", [0, 10, 11])
def test_but_ranks_of_the_smaller_part_of_all_minutes_say_nothing(missing: int) -> None:
    """They are of the whole time watched, and which part of it is missing need not be chance."""
    standards = replace(STANDARDS, warm_up=12)
    pairs = [(2.0 + number / 1000, 1.0 - number / 1000) for number in range(10)]
    later = tuple(START + (10 + number) * MINUTE for number in range(missing))

    finding = found(replace(measured(pairs), missing=later), LATENCY, standards, at_the_end=True)

    assert finding.verdict is (Verdict.UNKNOWN if missing > 10 else Verdict.WORSE)


@pytest.mark.parametrize("on_unknown", ["wait", "ignore", "refuse"])
def test_ten_minutes_that_are_worse_are_not_forgotten_for_eleven_that_are_missing(
    on_unknown: Literal["wait", "ignore", "refuse"],
) -> None:
    rules = [replace(ERRORS, on_unknown=on_unknown), SLOW]
    observations = [counted([BAD] * 10, missing=11), counted([GOOD_ROW] * 21, SLOW)]

    judgement = judge(observations, rules, STANDARDS, at_the_end=False)

    assert (judgement.verdict, judgement.reason) == (
        Verdict.WORSE,
        "errors: green 2.5 % of 10,000, blue 0.5 % of 90,000, 5 times (95 %: 4.3 to 5.8), "
        "certain since 12:02",
    )
    assert [(one.metric, one.verdict, one.certain_since) for one in judgement.findings] == [
        ("errors", Verdict.WORSE, START + 2 * MINUTE),
        ("slow", Verdict.GOOD, None),
    ]


# ------------------------------------------------------------------------------------ the picture


@pytest.mark.parametrize(
    ("against", "gross", "shown"),
    [
        # A lane that is not entered moves nothing, neither up nor down.
        (-50.0, 0.0, -50.0),
        (1.0, 0.0, 1.0),
        # 0.94 / 0.03 of the budget lie between both lines.
        (-50.0, 10.0, 10.0 - math.log(0.94 / 0.03)),
        (9.0, 10.0, 9.0),
        (2.0, -10.0, 2.0),
        (-50.0, -10.0, -10.0 - math.log(0.94 / 0.03)),
    ],
)
def test_what_is_drawn_is_what_decides_at_one_line(against: float, gross: float, shown: float) -> None:
    drawn = judging._shown(Evidence((0.0, against), (0.0, gross), 0.0), 0.01)

    assert drawn == {
        "evidence": (0.0, pytest.approx(shown / math.log(10))),
        "needed": pytest.approx(-math.log10(0.01 * 0.94)),
    }


@given(
    st.lists(st.sampled_from([ALIKE, BAD, GROSS, SILENT, (50.0, 100.0, 4.0, 900.0)]), max_size=12),
    st.integers(0, 3),
    st.floats(1e-6, 0.2),
)
def test_it_is_certain_since_where_the_line_is_first_crossed(
    rows: list[Row], warm_up: int, rate: float
) -> None:
    standards = replace(STANDARDS, warm_up=warm_up, false_alarm_rate=rate)

    finding = found(counted(rows), standards=standards)

    crossed = [
        START + number * MINUTE for number, log in enumerate(finding.evidence, 1) if log >= finding.needed
    ]
    assert finding.certain_since == (crossed[0] if crossed else None)


# ------------------------------------------------------------------------------------ the budget


@given(
    st.lists(st.tuples(st.floats(0.01, 100), st.booleans()), min_size=1, max_size=12),
    st.floats(1e-6, 0.2),
)
def test_all_metrics_and_all_lanes_together_take_no_more_than_the_budget(
    metrics: list[tuple[float, bool]], rate: float
) -> None:
    rules = [
        replace(ERRORS, name=str(number), weight=weight, observe=observe)
        for number, (weight, observe) in enumerate(metrics)
    ]
    standards = replace(STANDARDS, false_alarm_rate=rate)

    findings = judge([counted([ALIKE], rule) for rule in rules], rules, standards, at_the_end=True).findings

    # What each takes of the lane of the evidence tells what it takes of all three.
    taken = [10**-finding.needed / SHARES["evidence"] for finding in findings]
    deciding = [share for share, rule in zip(taken, rules, strict=True) if not rule.observe]
    assert math.fsum(SHARES.values()) == pytest.approx(1.0, rel=1e-12)
    assert math.fsum(deciding) == pytest.approx(rate if deciding else 0.0)
    total = math.fsum(rule.weight for rule in rules if not rule.observe)
    assert deciding == pytest.approx([rate * rule.weight / total for rule in rules if not rule.observe])
    # And one that only observes is judged as if it were one more, at no more than all.
    assert all(share <= rate * (1 + 1e-9) for share in taken)


def test_the_lanes_are_held_to_their_own_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    monkeypatch.setattr(judging._Counted, "ranks_say_worse", lambda _self, level: bool(asked.append(level)))
    rules = [replace(ERRORS, weight=3.0), replace(SLOW, weight=1.0)]

    judge([counted([ALIKE], rule) for rule in rules], rules, STANDARDS, at_the_end=True)

    # One-sided: of what an interval leaves out, half is above it.
    assert asked == pytest.approx([1 - 2 * 0.01 * 0.03 * 0.75, 1 - 2 * 0.01 * 0.03 * 0.25])


@pytest.mark.parametrize(("margin", "certain"), [(1e-9, 0), (-1e-9, None)])
@pytest.mark.parametrize("lane", ["evidence", "gross"])
def test_each_lane_is_certain_at_one_in_its_own_part(lane: str, margin: float, certain: int | None) -> None:
    needed = -math.log(0.01 * SHARES[lane]) + margin
    weighed = Evidence(
        against=(needed if lane == "evidence" else 0.0,),
        gross=(needed if lane == "gross" else 0.0,),
        in_favour=0.0,
    )

    assert judging._first(weighed, 0.01) == certain


# ------------------------------------------------------------------------------------ all metrics together


def said(metric: str, verdict: Verdict) -> Finding:
    return Finding(metric=metric, verdict=verdict, text=f"{metric} is {verdict}")


A, B, C = (Rule(name=name, kind=Kind.PROPORTION, tolerated=1.25) for name in "abc")
MINOR_B, MINOR_C = replace(B, critical=False), replace(C, critical=False)
WORSE, GOOD, OPEN, UNKNOWN = Verdict.WORSE, Verdict.GOOD, Verdict.INCONCLUSIVE, Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("said_of", "verdict", "reason"),
    [
        ([(A, GOOD)], GOOD, "a is good"),
        ([(A, GOOD), (B, GOOD)], GOOD, "a is good; b is good"),
        ([(A, WORSE), (B, GOOD)], WORSE, "a is worse"),
        ([(A, WORSE), (B, UNKNOWN), (C, OPEN)], WORSE, "a is worse"),
        ([(A, WORSE), (B, WORSE)], WORSE, "a is worse; b is worse"),
        ([(A, GOOD), (B, OPEN)], OPEN, "b is inconclusive"),
        ([(A, OPEN), (B, UNKNOWN)], UNKNOWN, "b is unknown"),
        # What is not critical takes a second that is worse.
        (
            [(A, GOOD), (MINOR_B, WORSE)],
            OPEN,
            "b is worse, but this metric is not critical and no other is worse",
        ),
        ([(A, OPEN), (MINOR_B, WORSE)], OPEN, "a is inconclusive"),
        ([(A, UNKNOWN), (MINOR_B, WORSE)], UNKNOWN, "a is unknown"),
        ([(A, GOOD), (MINOR_B, WORSE), (MINOR_C, WORSE)], WORSE, "b is worse; c is worse"),
        ([(MINOR_B, WORSE), (A, WORSE)], WORSE, "a is worse; b is worse"),
        # What only observes decides nothing, neither alone nor as the second.
        ([(A, GOOD), (replace(B, observe=True), WORSE)], GOOD, "a is good"),
        ([(A, GOOD), (replace(B, observe=True), UNKNOWN)], GOOD, "a is good"),
        (
            [(MINOR_B, WORSE), (replace(C, observe=True), WORSE)],
            OPEN,
            "b is worse, but this metric is not critical and no other is worse",
        ),
        # What may be unknown is done without, but not without anything.
        ([(A, GOOD), (replace(B, on_unknown="ignore"), UNKNOWN)], GOOD, "a is good"),
        ([(A, GOOD), (replace(B, on_unknown="ignore"), WORSE)], WORSE, "b is worse"),
        ([(A, GOOD), (replace(B, on_unknown="ignore"), OPEN)], OPEN, "b is inconclusive"),
        ([(A, GOOD), (replace(B, on_unknown="refuse"), UNKNOWN)], UNKNOWN, "b is unknown"),
        ([(replace(A, on_unknown="ignore"), UNKNOWN)], UNKNOWN, "no metric is known: a is unknown"),
        (
            [(replace(A, on_unknown="ignore"), UNKNOWN), (replace(B, observe=True), GOOD)],
            UNKNOWN,
            "no metric is known: a is unknown",
        ),
    ],
)
def test_metrics_are_summed_up(said_of: list[tuple[Rule, Verdict]], verdict: Verdict, reason: str) -> None:
    findings = tuple(said(rule.name, one) for rule, one in said_of)

    assert summed_up(findings, [rule for rule, _ in said_of]) == Judgement(verdict, reason, findings)


def test_without_any_metric_nothing_is_known() -> None:
    assert judge([], [], STANDARDS, at_the_end=True) == Judgement(UNKNOWN, "no metric is known: ", ())


def test_each_metric_is_judged_by_its_own_rule() -> None:
    rules = [ERRORS, replace(SLOW, observe=True), LATENCY]
    observations = [counted([ALIKE] * 12), counted([GROSS] * 12, SLOW), measured([(1.0, 1.0)] * 12)]

    judgement = judge(observations, rules, STANDARDS, at_the_end=False)

    assert [(one.metric, one.verdict) for one in judgement.findings] == [
        ("errors", GOOD),
        ("slow", WORSE),
        ("latency", GOOD),
    ]
    assert judgement.verdict is GOOD
    with pytest.raises(ValueError, match="zip"):
        judge(observations, rules[:2], STANDARDS, at_the_end=False)


def test_the_time_of_day_is_that_of_the_minute() -> None:
    late = replace(
        counted([GROSS]),
        minutes=(Split(datetime(2026, 3, 5, 23, 59, tzinfo=UTC), 50.0, 100.0, 4.0, 900.0),),
    )

    finding = found(late)

    assert finding.certain_since == datetime(2026, 3, 6, 0, 0, tzinfo=UTC)
    assert finding.text.endswith("certain since 00:00")
    assert finding.certain_since - late.minutes[0].start == timedelta(minutes=1)


@pytest.mark.parametrize(
    ("direction", "pairs", "verdict"),
    [
        ("increase", [(1.2, 1.0)] * 8, GOOD),
        ("increase", [(1.2, 1.0)] * 3 + [(1.3, 1.0)] * 5, OPEN),
        ("decrease", [(0.85, 1.0)] * 8, GOOD),
        ("decrease", [(0.85, 1.0)] * 3 + [(0.7, 1.0)] * 5, OPEN),
        # Half of nothing, where nothing is the worst there is.
        ("decrease", [(1.0, 1.0)] * 3 + [(0.0, 1.0)] * 5, OPEN),
    ],
)
def test_a_gauge_that_is_worse_than_tolerated_is_not_good_for_being_acceptable(
    direction: Literal["increase", "decrease"], pairs: list[tuple[float, float]], verdict: Verdict
) -> None:
    rule = replace(LATENCY, direction=direction)

    assert found(measured(pairs, rule), rule).verdict is verdict


def test_where_blue_and_green_never_serve_in_the_same_minute_nothing_is_ranked() -> None:
    apart = [(5.0, 100.0, 0.0, 0.0), (0.0, 0.0, 5.0, 900.0)] * 10

    assert found(counted(apart), at_the_end=True).verdict is OPEN
