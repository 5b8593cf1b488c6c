import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.canary_comparison.as_kayenta import judge_as_kayenta
from hooks.canary_comparison.decision import Rules, decide, seconds_to_next
from hooks.canary_comparison.judge import Finding, Judgement, Rule, Standards, Verdict
from hooks.canary_comparison.observation import MINUTE, Kind, Observation, Reading, Split
from hooks.canary_comparison.watch import Phase, Watch
from hooks.canary_comparison.window import Window
from shared.response import Proceed, Refuse, Result, Wait

START = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
HOLD = 10
END = START + HOLD * MINUTE
LAG = 120
ERRORS = Rule(name="errors", kind=Kind.PROPORTION, tolerated=1.25)
RULES = Rules(
    metrics=(ERRORS,),
    standards=Standards(false_alarm_rate=0.01, miss_rate=0.05, unacceptable=2.0, warm_up=0),
    holds=True,
    minimum_minutes=5,
    extend_minutes=30,
    unknown_minutes=10,
    on_inconclusive="pass",
    look_seconds=60,
    lag_seconds=LAG,
    judge="sequential",
    pass_score=95,
    marginal_score=75,
)

Row = tuple[float, float, float, float]
"""Green's bad events and requests in a minute, and blue's."""

GOOD: Row = (30.0, 1000.0, 270.0, 9000.0)
BAD: Row = (150.0, 1000.0, 270.0, 9000.0)
OPEN: Row = (0.0, 50.0, 5.0, 950.0)


def counted(
    rows: Sequence[Row], *, missing: int = 0, rule: Rule = ERRORS, problem: str = "not yet"
) -> Observation:
    return Observation(
        metric=rule.name,
        kind=rule.kind,
        minutes=tuple(Split(START + number * MINUTE, *row) for number, row in enumerate(rows)),
        missing=tuple(START + (len(rows) + number) * MINUTE for number in range(missing)),
        problem=problem,
    )


def watch(phase: Phase = Phase.HOLD, end: datetime = END, note: str = "") -> Watch:
    return Watch(phase=phase, window=Window(START, end), note=note)


def after(minutes: float, *, lag: int = LAG) -> datetime:
    """Return when so many minutes of the window are complete."""
    return START + timedelta(minutes=minutes, seconds=lag)


def answer(
    seen: Observation, minutes: float, rules: Rules = RULES, phase: Phase = Phase.HOLD, end: datetime = END
) -> Result:
    return decide([seen], rules, watch(phase, end), after(minutes)).result


def told(seen: Observation, minutes: float, rules: Rules = RULES, phase: Phase = Phase.HOLD) -> str:
    return decide([seen], rules, watch(phase), after(minutes)).judgement.reason


def waits(reason: str, seconds: float = 60.0) -> Wait:
    return Wait(f"and watch: {reason}", seconds, state={"watchedSince": START.isoformat()})


# ------------------------------------------------------------------------------------ worse and good

OPEN_TEXT = (
    "errors: green 0 % of 50, blue 0.526 % of 950, 0.56 times (95 %: 0.048 to 6.5); 48 times would have been "
    "certain by now, about 34 more minutes would show 2.5 times"
)
GROSS: Row = (150.0, 300.0, 3.0, 2700.0)


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("minutes", [1, 4, 5, 10, 60])
def test_a_worse_green_is_refused_at_any_look(phase: Phase, minutes: float) -> None:
    seen = counted([GROSS])

    assert answer(seen, minutes, phase=phase) == Refuse(
        "green is worse: errors: green 50 % of 300, blue 0.111 % of 2,700, 450 times (95 %: 144 to 1,411), "
        "certain since 12:01"
    )


@pytest.mark.parametrize(
    ("phase", "minutes", "goes_on"),
    [
        (Phase.HOLD, 4, False),
        (Phase.HOLD, 5, True),
        (Phase.LAST_HOLD, 4, False),
        (Phase.LAST_HOLD, 5, True),
        (Phase.HOLD, 10, True),
        # Blue serves no more: what is still to come is waited for, for nothing is gained by being early.
        (Phase.LOOK_BACK, 5, False),
        (Phase.LOOK_BACK, 9.9, False),
        (Phase.LOOK_BACK, 10, True),
    ],
)
def test_a_green_that_is_as_good_goes_on_after_the_least_time(
    phase: Phase, minutes: float, *, goes_on: bool
) -> None:
    whole = math.floor(minutes)
    seen = counted([GOOD] * whole)
    reason = told(seen, minutes, phase=phase)

    assert reason.startswith(
        f"errors: green 3 % of {whole},000, blue 3 % of {9 * whole},000, 1 times (95 %: "
    )
    seconds = 60 * (1 - minutes % 1)
    assert answer(seen, minutes, phase=phase) == (
        Proceed(f"green is as good as blue: {reason}") if goes_on else waits(reason, pytest.approx(seconds))
    )


@pytest.mark.parametrize(("minutes", "missing", "goes_on"), [(7, 0, False), (8, 0, True), (8, 2, True)])
def test_what_was_good_at_earlier_steps_says_nothing_yet_of_this_one(
    minutes: int, missing: int, *, goes_on: bool
) -> None:
    """Green got more traffic after three minutes: at least five more are watched."""
    seen = counted([GOOD] * (minutes - missing), missing=missing)
    at_a_later_step = replace(watch(), step=START + 3 * MINUTE)

    result = decide([seen], RULES, at_a_later_step, after(minutes)).result

    assert isinstance(result, Proceed if goes_on else Wait)


def test_what_is_bad_at_any_step_is_refused_at_this_one() -> None:
    seen, at_a_later_step = counted([GROSS]), replace(watch(), step=START + 3 * MINUTE)

    assert isinstance(decide([seen], RULES, at_a_later_step, after(1)).result, Refuse)


def test_minutes_of_which_a_part_is_missing_count_as_watched() -> None:
    seen = counted([GOOD] * 3, missing=2)

    assert answer(seen, 5) == Proceed(f"green is as good as blue: {told(seen, 5)}")


def test_a_short_window_is_good_when_it_is_over_however_little_it_was() -> None:
    seen = counted([GOOD] * 3)

    assert answer(seen, 3, end=START + 3 * MINUTE) == Proceed(f"green is as good as blue: {told(seen, 3)}")


# ------------------------------------------------------------------------------------ not certain


@pytest.mark.parametrize(
    ("on_inconclusive", "phase", "minutes", "result"),
    [
        # The time is not up.
        *(
            (word, phase, 9.5, waits(OPEN_TEXT, 30.0))
            for word, phase in itertools.product(("pass", "extend", "refuse"), Phase)
        ),
        # The time is up.
        *(
            ("pass", phase, 10, Proceed(f"nothing is certain, and onInconclusive is pass: {OPEN_TEXT}"))
            for phase in Phase
        ),
        *(
            ("refuse", phase, 10, Refuse(f"nothing is certain, and onInconclusive is refuse: {OPEN_TEXT}"))
            for phase in Phase
        ),
        # There is more time.
        ("extend", Phase.HOLD, 10, waits(OPEN_TEXT)),
        ("extend", Phase.LAST_HOLD, 39.5, waits(OPEN_TEXT, 30.0)),
        *(
            (
                "extend",
                phase,
                40,
                Refuse(
                    "nothing is certain after 30 more minutes, and onInconclusive is extend: " + OPEN_TEXT
                ),
            )
            for phase in (Phase.HOLD, Phase.LAST_HOLD)
        ),
        # Looking back, there is none: nothing is added to what was seen.
        (
            "extend",
            Phase.LOOK_BACK,
            10,
            Refuse(f"nothing is certain, and onInconclusive is extend: {OPEN_TEXT}"),
        ),
    ],
)
def test_what_is_not_certain_when_the_time_is_up_is_as_the_settings_say(
    on_inconclusive: Literal["pass", "extend", "refuse"], phase: Phase, minutes: float, result: Result
) -> None:
    rules = replace(RULES, on_inconclusive=on_inconclusive)

    assert answer(counted([OPEN]), minutes, rules, phase) == result


def test_what_becomes_good_or_worse_in_the_extension_ends_it() -> None:
    rules = replace(RULES, on_inconclusive="extend")
    good, bad = counted([GOOD] * 20), counted([GOOD] * 10 + [BAD] * 10)

    assert answer(good, 20, rules) == Proceed(f"green is as good as blue: {told(good, 20)}")
    assert answer(bad, 20, rules) == Refuse(f"green is worse: {told(bad, 20)}")


# ------------------------------------------------------------------------------------ nothing seen


@pytest.mark.parametrize("on_inconclusive", ["pass", "extend", "refuse"])
def test_looking_back_at_not_a_single_minute_is_refused(
    on_inconclusive: Literal["pass", "extend", "refuse"],
) -> None:
    rules = replace(RULES, on_inconclusive=on_inconclusive)

    assert answer(counted([]), 10, rules, Phase.LOOK_BACK) == Refuse(
        "blue and green were not seen side by side for a whole minute; set holdMinutes, or a bake time in "
        "the service's canary or linear configuration"
    )


@pytest.mark.parametrize(
    ("phase", "minutes"), [(Phase.HOLD, 0.5), (Phase.LAST_HOLD, 0.5), (Phase.LOOK_BACK, 0.5)]
)
def test_before_a_minute_is_complete_there_is_nothing_to_say(phase: Phase, minutes: float) -> None:
    assert answer(counted([]), minutes, phase=phase) == waits("errors: no complete minute yet", 30.0)


@pytest.mark.parametrize("phase", [Phase.HOLD, Phase.LAST_HOLD])
def test_a_window_without_a_whole_minute_waits_for_one_while_both_serve(phase: Phase) -> None:
    """A hold of 0 at PRE_PRODUCTION_TRAFFIC_SHIFT, say: its time is up at once, and nothing was seen."""
    assert answer(counted([]), 10, phase=phase) == waits("errors: no complete minute yet")


# ------------------------------------------------------------------------------------ not known


@pytest.mark.parametrize(
    ("missing", "known", "on_unknown", "refused"),
    [
        (1, 0, "wait", ""),
        (5, 4, "wait", ""),
        (9, 0, "wait", ""),
        (10, 0, "wait", "not known for 10 minutes: "),
        (6, 4, "wait", "not known for 10 minutes: "),
        (4, 0, "refuse", ""),
        (5, 0, "refuse", "not known, and onUnknown is refuse: "),
        (3, 2, "refuse", "not known, and onUnknown is refuse: "),
        # There is no other metric to do without it for.
        (9, 0, "ignore", ""),
        (10, 0, "ignore", "not known for 10 minutes: "),
    ],
)
def test_what_is_not_known_is_waited_for_and_then_refused(
    missing: int, known: int, on_unknown: Literal["wait", "ignore", "refuse"], refused: str
) -> None:
    rules = replace(RULES, metrics=(replace(ERRORS, on_unknown=on_unknown),))
    closed = missing + known
    seen = counted([GOOD] * known, missing=missing)
    reason = f"errors is not known in {missing} of {closed} minutes: not yet"
    if on_unknown == "ignore":
        reason = f"no metric is known: {reason}"

    result = answer(seen, closed, rules, end=START + 60 * MINUTE)

    assert result == (Refuse(f"{refused}{reason}") if refused else waits(reason))


@pytest.mark.parametrize(("minutes", "given_up"), [(10, False), (19.5, False), (20, True)])
def test_looking_back_what_is_missing_may_only_be_late(minutes: float, *, given_up: bool) -> None:
    seen = counted([], missing=10)
    reason = "errors is not known in 10 of 10 minutes: not yet"

    assert answer(seen, minutes, phase=Phase.LOOK_BACK) == (
        Refuse(f"not known for 10 minutes: {reason}") if given_up else waits(reason, 60 * (1 - minutes % 1))
    )


def test_a_metric_may_be_done_without_while_another_is_known() -> None:
    slow = Rule(name="slow", kind=Kind.SLOW, tolerated=1.4, on_unknown="ignore")
    rules = replace(RULES, metrics=(ERRORS, slow))
    seen = [counted([GOOD] * 6), counted([], missing=6, rule=slow)]

    decision = decide(seen, rules, watch(), after(6))

    assert decision.result == Proceed(f"green is as good as blue: {decision.judgement.findings[0].text}")


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("on_unknown", ["wait", "ignore", "refuse"])
def test_what_was_certain_is_refused_however_much_is_missing_since(
    on_unknown: Literal["wait", "ignore", "refuse"], phase: Phase
) -> None:
    """A green so bad that it stops reporting must not pass for a metric to do without."""
    slow = Rule(name="slow", kind=Kind.SLOW, tolerated=1.4)
    rules = replace(RULES, metrics=(replace(ERRORS, on_unknown=on_unknown), slow))
    seen = [counted([BAD] * 10, missing=11), counted([GOOD] * 21, rule=slow)]

    decision = decide(seen, rules, watch(phase, START + 21 * MINUTE), after(21))

    assert decision.result == Refuse(
        "green is worse: errors: green 15 % of 10,000, blue 3 % of 90,000, 5 times (95 %: 4.7 to 5.3), "
        "certain since 12:02"
    )
    assert [finding.verdict for finding in decision.judgement.findings] == [Verdict.WORSE, Verdict.GOOD]


def test_that_one_metric_must_be_known_says_nothing_of_another() -> None:
    slow = Rule(name="slow", kind=Kind.SLOW, tolerated=1.4)
    rules = replace(RULES, metrics=(replace(ERRORS, on_unknown="refuse"), slow))
    seen = [counted([GOOD] * 6), counted([], missing=6, rule=slow)]

    assert decide(seen, rules, watch(), after(6)).result == waits(
        "slow is not known in 6 of 6 minutes: not yet"
    )


# ------------------------------------------------------------------------------------ without a hold

AT_ONCE = replace(RULES, holds=False)


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (counted([]), "errors: no complete minute yet"),
        (counted([OPEN]), OPEN_TEXT),
        (counted([], missing=3), "errors is not known in 3 of 3 minutes: not yet"),
    ],
)
def test_without_a_hold_a_step_goes_on_and_the_next_call_judges(seen: Observation, reason: str) -> None:
    assert answer(seen, 0, AT_ONCE, end=START) == Proceed(
        f"holdMinutes is 0, so the next call judges; so far: {reason}"
    )


def test_without_a_hold_a_worse_green_is_refused_all_the_same() -> None:
    seen = counted([GROSS])

    assert answer(seen, 1, AT_ONCE) == Refuse(f"green is worse: {told(seen, 1)}")
    assert answer(counted([], missing=10), 10, AT_ONCE) == Refuse(
        "not known for 10 minutes: errors is not known in 10 of 10 minutes: not yet"
    )


@pytest.mark.parametrize("phase", [Phase.LAST_HOLD, Phase.LOOK_BACK])
def test_without_a_hold_the_last_call_does_judge(phase: Phase) -> None:
    assert answer(counted([OPEN]), 9.5, AT_ONCE, phase) == waits(OPEN_TEXT, 30.0)
    assert answer(counted([OPEN]), 10, replace(AT_ONCE, on_inconclusive="refuse"), phase) == Refuse(
        f"nothing is certain, and onInconclusive is refuse: {OPEN_TEXT}"
    )


# ------------------------------------------------------------------------------------ ranks, once

RANKED = replace(RULES, standards=replace(RULES.standards, warm_up=60, miss_rate=0.0001))


@pytest.mark.parametrize(
    ("phase", "minutes", "refused"),
    [
        (Phase.HOLD, 12, False),  # there will be a later step
        (Phase.LAST_HOLD, 11.5, False),
        (Phase.LAST_HOLD, 12, True),
        (Phase.LOOK_BACK, 11.5, False),
        (Phase.LOOK_BACK, 12, True),
    ],
)
def test_ranks_are_compared_at_the_last_look_only(phase: Phase, minutes: float, *, refused: bool) -> None:
    metric = Rule(name="latency", kind=Kind.GAUGE, tolerated=1.25)
    readings = tuple(Reading(START + n * MINUTE, 2.0 + n / 1000, 1.0 - n / 1000) for n in range(12))
    seen = Observation(metric="latency", kind=Kind.GAUGE, minutes=readings)
    rules = replace(RANKED, metrics=(metric,))

    decision = decide([seen], rules, watch(phase, START + 12 * MINUTE), after(minutes))

    assert (decision.judgement.verdict is Verdict.WORSE) == isinstance(decision.result, Refuse) == refused


# ------------------------------------------------------------------------------------ what always holds

ROWS = st.lists(st.sampled_from([GOOD, BAD, OPEN, GROSS, (0.0, 5000.0, 0.0, 9000.0)]), max_size=15)
ANY_RULES = st.builds(
    replace,
    st.just(RULES),
    judge=st.sampled_from(["sequential", "kayenta"]),
    on_inconclusive=st.sampled_from(["pass", "extend", "refuse"]),
    minimum_minutes=st.integers(1, 20),
    unknown_minutes=st.integers(1, 20),
    extend_minutes=st.integers(1, 20),
)


@given(
    ANY_RULES,
    st.sampled_from(Phase),
    st.integers(0, 30),
    st.floats(0, 60),
    st.lists(st.sampled_from(["wait", "ignore", "refuse"]), min_size=1, max_size=3),
    st.lists(st.sampled_from(Kind), min_size=3, max_size=3),
)
def test_nothing_passes_for_want_of_data(
    rules: Rules,
    phase: Phase,
    missing: int,
    minutes: float,
    on_unknown: list[Literal["wait", "ignore", "refuse"]],
    kinds: list[Kind],
) -> None:
    metrics = tuple(
        Rule(name=str(number), kind=kinds[number], tolerated=1.25, on_unknown=word)
        for number, word in enumerate(on_unknown)
    )
    seen = [counted([], missing=missing, rule=rule) for rule in metrics]

    result = decide(seen, replace(rules, metrics=metrics), watch(phase), after(minutes)).result

    assert isinstance(result, (Wait, Refuse))


@given(
    rules=st.builds(replace, ANY_RULES, holds=st.booleans()),
    phase=st.sampled_from(Phase),
    rows=ROWS,
    missing=st.integers(0, 15),
    minutes=st.floats(0, 60),
)
def test_the_same_call_twice_has_the_same_answer(
    rules: Rules, phase: Phase, rows: list[Row], missing: int, minutes: float
) -> None:
    """ECS may call twice, and a record is replayed."""
    seen, now = counted(rows, missing=missing), after(minutes)

    first = decide([seen], rules, watch(phase), now)

    assert decide([seen], rules, watch(phase), now) == first


@given(ANY_RULES, st.sampled_from(Phase), ROWS, st.integers(0, 15))
def test_it_does_not_go_on_for_ever(rules: Rules, phase: Phase, rows: list[Row], missing: int) -> None:
    """An hour after the window, with every extension and all patience used up, there is an answer.

    But for a hold in which not one minute ended: that waits for the first.
    """
    seen = counted(rows, missing=missing)
    if rows or missing or phase is Phase.LOOK_BACK:
        unknown_ends = phase is Phase.LOOK_BACK or len(rows) + missing >= rules.unknown_minutes
        result = answer(seen, HOLD + 60, rules, phase)
        assert isinstance(result, (Proceed, Refuse)) or (missing > len(rows) and not unknown_ends)


def test_only_what_is_known_is_remembered() -> None:
    seen = [counted([OPEN])]

    worked_out = watch(note="worked out")
    assert decide(seen, RULES, worked_out, after(1)).result == Wait(f"and watch: {OPEN_TEXT}", 60.0)
    assert decide(seen, RULES, watch(), after(1)).result == waits(OPEN_TEXT)


# ------------------------------------------------------------------------------------ when to look again


@pytest.mark.parametrize(
    ("second", "look_seconds", "lag_seconds", "delay"),
    [
        (0, 60, 0, 60.0),
        (1, 60, 0, 59.0),
        (59.5, 60, 0, 0.5),
        (0, 60, 120, 60.0),
        # A minute is complete ten seconds into the one after the next.
        (0, 60, 130, 10.0),
        (10, 60, 130, 60.0),
        (40, 60, 130, 30.0),
        # Less than a minute has nothing new to look at.
        (0, 10, 0, 60.0),
        (0, 61, 0, 120.0),
        (30, 120, 0, 90.0),
        (0, 900, 0, 900.0),
    ],
)
def test_the_next_look_is_when_a_minute_has_become_complete(
    second: float, look_seconds: int, lag_seconds: int, delay: float
) -> None:
    now = START + timedelta(seconds=second)

    assert seconds_to_next(now, look_seconds, lag_seconds) == delay


@given(st.floats(0, 86400), st.integers(10, 900), st.integers(0, 3600))
def test_at_the_next_look_there_is_always_one_more_minute(
    seconds: float, look_seconds: int, lag_seconds: int
) -> None:
    now, lag = START + timedelta(seconds=seconds), timedelta(seconds=lag_seconds)
    window = Window(START - timedelta(days=1), START + timedelta(days=2))

    delay = seconds_to_next(now, look_seconds, lag_seconds)

    assert 0 < delay <= look_seconds + 60
    # A clock in whole milliseconds is what callers have; half of one is what floats may lose.
    later = now + timedelta(seconds=delay, milliseconds=0.5)
    assert len(window.closed_minutes(later, lag)) > len(window.closed_minutes(now, lag))


# ------------------------------------------------------------------------------------ Kayenta's judge

KAYENTA = replace(RULES, judge="kayenta")
LOOKS_ONCE = "the kayenta judge looks once, when the time is up (95 of 100 pass)"


def scattered(factor: float, length: int = 10) -> list[Row]:
    return [(factor * (30.0 + number), 1000.0, 270.0 + 9 * number, 9000.0) for number in range(length)]


@pytest.mark.parametrize("phase", Phase)
def test_kayenta_s_judge_waits_until_the_time_is_up(phase: Phase) -> None:
    assert answer(counted(scattered(5.0, 9)), 9.5, KAYENTA, phase) == waits(LOOKS_ONCE, 30.0)


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize(
    ("factor", "result"),
    [
        (1.0, Proceed("green is as good as blue: score 100 of 100 is Pass: no metric is worse")),
        (
            5.0,
            Refuse("green is worse: score 0 of 100 is Fail: errors, which is critical, is High"),
        ),
    ],
)
def test_and_then_looks_once(phase: Phase, factor: float, result: Result) -> None:
    assert answer(counted(scattered(factor)), 10, KAYENTA, phase) == result


def test_without_a_hold_kayenta_s_judge_looks_at_what_there_is() -> None:
    rules = replace(KAYENTA, holds=False)

    assert answer(counted(scattered(1.0, 3)), 3, rules) == Proceed(
        "holdMinutes is 0, so the next call judges; so far: score 100 of 100 is Pass: no metric is worse"
    )


def test_what_is_marginal_is_not_certain() -> None:
    slow = Rule(name="slow", kind=Kind.SLOW, tolerated=1.4, critical=False, weight=1.0)
    rules = replace(KAYENTA, metrics=(replace(ERRORS, weight=4.0), slow), on_inconclusive="refuse")
    seen = [counted(scattered(1.0)), counted(scattered(5.0), rule=slow)]

    decision = decide(seen, rules, watch(), after(10))

    assert decision.result == Refuse(
        "nothing is certain, and onInconclusive is refuse: score 80 of 100 is Marginal: slow is High"
    )
    assert [finding.verdict for finding in decision.judgement.findings] == [Verdict.GOOD, Verdict.WORSE]


def test_what_kayenta_s_judge_finds_is_told_in_this_hook_s_terms() -> None:
    latency = Rule(name="latency", kind=Kind.GAUGE, tolerated=2.0, direction="decrease", critical=False)
    free = Rule(name="free", kind=Kind.GAUGE, tolerated=2.0, observe=True)
    lost = Rule(name="lost", kind=Kind.GAUGE, tolerated=2.0, critical=False, on_unknown="ignore")
    observations = [
        counted([*scattered(5.0), (0.0, 0.0, 3.0, 900.0), (3.0, 100.0, 0.0, 0.0)]),
        Observation(
            metric="latency",
            kind=Kind.GAUGE,
            minutes=tuple(Reading(START + n * MINUTE, 0.1 + n / 1000, 1.0 + n / 1000) for n in range(10)),
        ),
        Observation(
            metric="free",
            kind=Kind.GAUGE,
            minutes=tuple(Reading(START + n * MINUTE, 1.0, 1.0) for n in range(10)),
        ),
        Observation(metric="lost", kind=Kind.GAUGE, minutes=()),
    ]
    rules = [replace(ERRORS, critical=False, weight=3.0), latency, free, lost]

    judgement = judge_as_kayenta(observations, rules, 95, 75, is_final=True)

    assert judgement == Judgement(
        Verdict.WORSE,
        "score 0 of 100 is Fail: errors is High, latency is Low",
        (
            Finding(
                metric="errors",
                verdict=Verdict.WORSE,
                text="errors: green is above blue: 5.04 times its mean",
                ratio=pytest.approx(5.04, abs=0.01),
            ),
            Finding(
                metric="latency",
                verdict=Verdict.WORSE,
                text="latency: green is below blue: 0.104 times its mean",
                ratio=pytest.approx(0.104, abs=0.001),
            ),
            Finding(
                metric="free",
                verdict=Verdict.GOOD,
                text="free: green and blue have the same values",
                ratio=1.0,
            ),
            Finding(metric="lost", verdict=Verdict.UNKNOWN, text="lost: green and blue have no values"),
        ),
    )


@pytest.mark.parametrize(
    ("direction", "factor", "verdict"),
    [
        ("increase", 1.9, Verdict.GOOD),
        ("increase", 2.1, Verdict.WORSE),
        ("increase", 0.2, Verdict.GOOD),
        ("decrease", 0.52, Verdict.GOOD),
        ("decrease", 0.48, Verdict.WORSE),
        ("decrease", 5.0, Verdict.GOOD),
    ],
)
def test_what_a_metric_tolerates_is_what_kayenta_allows(
    direction: Literal["increase", "decrease"], factor: float, verdict: Verdict
) -> None:
    rule = replace(ERRORS, tolerated=2.0, direction=direction)

    judgement = judge_as_kayenta([counted(scattered(factor))], [rule], 95, 75, is_final=True)

    assert judgement.verdict is verdict


@pytest.mark.parametrize("critical", [True, False])
def test_kayenta_s_judge_does_without_what_may_be_unknown(*, critical: bool) -> None:
    slow = Rule(name="slow", kind=Kind.SLOW, tolerated=1.4, critical=critical, on_unknown="ignore")
    rules = replace(KAYENTA, metrics=(ERRORS, slow))

    decision = decide(
        [counted(scattered(1.0)), counted([], missing=10, rule=slow)], rules, watch(), after(10)
    )

    assert isinstance(decision.result, Proceed)


def test_where_kayenta_s_judge_has_no_data_nothing_is_known() -> None:
    seen = counted([], missing=10)

    assert answer(seen, 10, KAYENTA) == Refuse(
        "not known for 10 minutes: score 0 of 100 is NoData: no metric has values of both green and blue"
    )


def test_where_every_metric_observes_kayenta_s_judge_has_nothing_to_say() -> None:
    rules = [replace(ERRORS, observe=True)]

    judgement = judge_as_kayenta([counted(scattered(1.0))], rules, 95, 75, is_final=True)

    assert judgement.verdict is Verdict.UNKNOWN
