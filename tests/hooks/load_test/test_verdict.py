import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from load_generator.snapshot import ArmCounts
from load_generator.snapshot import State as Stands

from hooks.load_test.measurement import Measurement
from hooks.load_test.rules import Rule, parse
from hooks.load_test.verdict import (
    Finding,
    Judgement,
    Outcome,
    Standards,
    Verdict,
    judge,
    judged,
    progress,
    to_abort,
)
from tests.hooks.load_test.runs import arm, measured, steady

STANDARDS = Standards(
    minimum_samples=100, confidence=0.95, max_lag_seconds=0.1, sent_share=0.95, has_blue=True
)
KEPT, BROKEN, UNCERTAIN, SKIPPED = Outcome.KEPT, Outcome.BROKEN, Outcome.UNCERTAIN, Outcome.SKIPPED

ERRORS, RATE, QUICK, BESIDE = "errors < 1%", "rps >= 95%", "p(95) < 500ms", "p(95) <= 1.25 x blue"
USUAL = (ERRORS, RATE, QUICK, BESIDE)

GOOD, BLUE = arm(steady(1000)), arm(steady(500))


def rules(*texts: str, **changes: Any) -> tuple[Rule, ...]:
    return tuple(replace(parse(text), **changes) for text in texts)


def verdict(green: ArmCounts | None, blue: ArmCounts | None = BLUE, *texts: str, **changes: Any) -> Judgement:
    return judge(measured(green, blue, **changes), rules(*(texts or USUAL)), STANDARDS)


def found(
    text: str, green: ArmCounts, blue: ArmCounts | None = BLUE, standards: Standards = STANDARDS
) -> Finding:
    (finding,) = judged(measured(green, blue), rules(text), standards)
    return finding


# ------------------------------------------------------------------------------------ the order of things


def test_a_green_that_keeps_every_rule_passes() -> None:
    run = measured(GOOD, BLUE)
    found = judge(run, rules(*USUAL), STANDARDS)

    texts = (
        "errors < 1%: 0 of 1,000 requests, 0 %",
        "rps >= 95%: 1,000 of 1,000 requests were sent",
        "p(95) < 500ms: 145 ms",
        "p(95) <= 1.25 x blue: green 145 ms, blue 145 ms, within the limit, by 33.1 ms to 39.1 ms with "
        "confidence 0.95",
    )
    assert found == Judgement(
        Verdict.PASS,
        tuple(Finding(rule, KEPT, text) for rule, text in zip(rules(*USUAL), texts, strict=True)),
        "; ".join(texts),
    )


def test_a_service_that_refuses_every_connection_fails_by_its_errors_however_quickly_it_does_so() -> None:
    found = verdict(arm(errors={"connection refused": 1000}))

    assert (found.verdict, found.reason) == (Verdict.FAIL, "errors < 1%: 1,000 of 1,000 requests, 100 %")
    assert [finding.outcome for finding in found.findings] == [BROKEN, KEPT, UNCERTAIN, UNCERTAIN]


def test_errors_are_said_first_in_whatever_order_rules_stand() -> None:
    found = verdict(arm([2.0] * 900, {"status 500": 100}), BLUE, *reversed(USUAL))

    assert (found.verdict, found.reason) == (
        Verdict.FAIL,
        "errors < 1%: 100 of 1,000 requests, 10 %; p(95) <= 1.25 x blue: green 2 s, blue 145 ms, "
        "over the limit, by 1.82 s to 1.82 s with confidence 0.95; p(95) < 500ms: 2 s",
    )
    assert [finding.rule.text for finding in found.findings] == [ERRORS, RATE, BESIDE, QUICK]


def test_a_slow_green_fails() -> None:
    found = verdict(arm([0.6] * 1000), BLUE, ERRORS, RATE, QUICK)

    assert (found.verdict, found.reason) == (Verdict.FAIL, "p(95) < 500ms: 600 ms")


TROUBLED = {
    "a lost worker": ({"workers": (2, 1, 1)}, "the generator lost 1 of its 2 workers"),
    "a silent worker": ({"workers": (3, 1, 0)}, "the generator lost 2 of its 3 workers"),
    "requests missing": (
        {"missing": {"green": 60}},
        "the generator sent 1,000 of 1,060 requests that were due to green",
    ),
    "requests to blue missing": (
        {"missing": {"blue": 30}},
        "the generator sent 500 of 530 requests that were due to blue",
    ),
    "a slow generator": (
        {"lag": [0.001] * 98 + [0.3] * 2},
        "the generator was too slow: one request in a hundred left 300 ms late",
    ),
}


@pytest.mark.parametrize("kind", TROUBLED)
def test_numbers_that_are_no_measure_of_green_are_the_generator_s_trouble(kind: str) -> None:
    changes, reason = TROUBLED[kind]

    for green in (GOOD, arm([2.0] * 1000)):
        found = verdict(green, **changes)
        assert (found.verdict, found.reason) == (Verdict.TROUBLE, reason)


@pytest.mark.parametrize("kind", TROUBLED)
def test_a_green_that_fails_requests_fails_whoever_asks_it(kind: str) -> None:
    changes, _ = TROUBLED[kind]

    found = verdict(arm(steady(900), {"status 500": 100}), **changes)
    assert (found.verdict, found.reason.partition(";")[0]) == (
        Verdict.FAIL,
        "errors < 1%: 100 of 1,000 requests, 10 %",
    )


@pytest.mark.parametrize(("misrouted", "verdicts"), [(10, Verdict.PASS), (11, Verdict.TROUBLE)])
def test_answers_of_another_revision_may_be_one_in_a_hundred(misrouted: int, verdicts: Verdict) -> None:
    for green, blue in (
        (arm(steady(1000 - misrouted), misrouted=misrouted), BLUE),
        (GOOD, arm(steady(1000 - misrouted), misrouted=misrouted)),
    ):
        assert verdict(green, blue).verdict is verdicts
    if verdicts is Verdict.TROUBLE:
        assert verdict(green, blue).reason == "11 of 1,000 requests to blue were answered by another revision"


@pytest.mark.parametrize(
    ("green", "blue"),
    [(None, None), (None, BLUE), (arm(), BLUE), (arm(in_flight=500), BLUE), (arm(held=1), None)],
)
def test_where_nobody_answered_nothing_was_measured(green: ArmCounts | None, blue: ArmCounts | None) -> None:
    found = verdict(green, blue, ERRORS, RATE, QUICK)

    assert (found.verdict, found.reason) == (Verdict.TROUBLE, "nothing was measured")


def test_errors_alone_however_few_are_an_answer_and_never_the_generator_s_trouble() -> None:
    found = verdict(arm(errors={"connection refused": 50}), BLUE, ERRORS, QUICK)

    assert (found.verdict, found.reason) == (
        Verdict.INCONCLUSIVE,
        "errors < 1%: requests of green: 50, and it takes 100; "
        "p(95) < 500ms: answers without error of green: 0, and it takes 200",
    )


def test_a_rule_that_observes_decides_nothing() -> None:
    slow = measured(arm([0.6] * 1000), BLUE)
    found = judge(slow, (*rules(ERRORS), *rules(QUICK, "p(99.9) < 1s", observe=True)), STANDARDS)

    assert (found.verdict, found.reason) == (Verdict.PASS, "errors < 1%: 0 of 1,000 requests, 0 %")
    assert [finding.outcome for finding in found.findings] == [KEPT, BROKEN, UNCERTAIN]


# ------------------------------------------------------------------------------------ each rule


@pytest.mark.parametrize(
    ("text", "outcome", "said"),
    [
        ("errors < 2%", BROKEN, "errors < 2%: 20 of 1,000 requests, 2 %"),
        ("errors <= 2%", KEPT, "errors <= 2%: 20 of 1,000 requests, 2 %"),
        ("errors < 2.1%", KEPT, "errors < 2.1%: 20 of 1,000 requests, 2 %"),
        ("errors <= 1.9%", BROKEN, "errors <= 1.9%: 20 of 1,000 requests, 2 %"),
        ("p(50) <= 0.1ms", KEPT, "p(50) <= 0.1ms: 0.1 ms"),
        ("med < 0.1ms", BROKEN, "med < 0.1ms: 0.1 ms"),
        ("p(96) < 0.2ms", BROKEN, "p(96) < 0.2ms: 0.2 ms"),
        ("avg <= 2.1458ms", KEPT, "avg <= 2.1458ms: 2.15 ms"),
        ("avg < 2.1457ms", BROKEN, "avg < 2.1457ms: 2.15 ms"),
        ("max <= 2s", KEPT, "max <= 2s: 2 s"),
        ("max < 2s", BROKEN, "max < 2s: 2 s"),
        ("rps >= 95%", KEPT, "rps >= 95%: 1,000 of 1,000 requests were sent"),
        ("rps > 99.9%", KEPT, "rps > 99.9%: 1,000 of 1,000 requests were sent"),
    ],
)
def test_a_limit_is_kept_up_to_it_or_below_it(text: str, outcome: Outcome, said: str) -> None:
    # Latencies below 256 µs are counted to the microsecond.
    green = arm([0.0001] * 930 + [0.0002] * 49 + [2.0], {"status 500": 20})
    finding = found(text, green)

    assert (finding.outcome, finding.text) == (outcome, said)


def test_requests_that_were_held_back_are_green_s_fault() -> None:
    stalled = arm(steady(900), held=100)
    found = verdict(stalled, BLUE, ERRORS, RATE, QUICK)

    assert (found.verdict, found.reason) == (
        Verdict.FAIL,
        "rps >= 95%: 900 of 1,000 requests were sent; 100 were held back, because as many as allowed waited "
        "for an answer",
    )


def test_requests_that_the_generator_never_sent_are_not() -> None:
    assert verdict(GOOD, BLUE, ERRORS, RATE, missing={"green": 53}).verdict is Verdict.TROUBLE
    assert verdict(GOOD, BLUE, ERRORS, RATE, missing={"green": 52}).verdict is Verdict.PASS


def test_a_generator_that_tells_no_lag_is_not_known_to_be_slow() -> None:
    assert verdict(GOOD, BLUE, ERRORS, RATE, lag=()).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("p(50) < 1s", 100),
        ("p(90) < 1s", 100),
        ("p(95) < 1s", 200),
        ("p(99) < 1s", 1_000),
        ("p(99.5) < 1s", 2_000),
        ("avg < 1s", 100),
        ("max < 1s", 100),
        ("errors < 1%", 100),
    ],
)
def test_a_percentile_takes_ten_requests_beyond_it(text: str, needed: int) -> None:
    assert found(text, arm(steady(needed))).outcome is KEPT
    short = found(text, arm(steady(needed - 1)))
    what = "requests" if text == ERRORS else "answers without error"
    assert (short.outcome, short.text) == (
        UNCERTAIN,
        f"{text}: {what} of green: {needed - 1:,}, and it takes {needed:,}",
    )


def test_a_rule_may_take_fewer_or_more_samples_than_others_but_never_fewer_than_ten_beyond() -> None:
    run = measured(arm(steady(250)), None)
    for samples, outcomes in (
        (10, [KEPT, KEPT]),
        (250, [KEPT, KEPT]),
        (251, [UNCERTAIN, UNCERTAIN]),
    ):
        asked = rules("avg < 1s", QUICK, minimum_samples=samples)
        assert [one.outcome for one in reversed(judged(run, asked, STANDARDS))] == outcomes
    few = judged(measured(arm(steady(150)), None), rules(QUICK, minimum_samples=10), STANDARDS)
    assert [one.outcome for one in few] == [UNCERTAIN]


def test_errors_do_not_count_as_quick_answers() -> None:
    assert found(QUICK, arm(steady(199), {"status 500": 500})).outcome is UNCERTAIN


@pytest.mark.parametrize(
    ("text", "green", "blue", "outcome"),
    [
        ("p(95) <= 1.25 x blue", arm(steady(1000, 0.2)), BLUE, BROKEN),
        ("p(95) <= 1.25 x blue + 200ms", arm(steady(1000, 0.2)), BLUE, KEPT),
        ("avg <= 1.25 x blue", arm(steady(1000, 0.2)), BLUE, BROKEN),
        ("avg <= 2.5 x blue", arm(steady(1000, 0.2)), BLUE, KEPT),
        ("p(95) <= 1.25 x blue", arm(steady(1000, 0.125)), BLUE, UNCERTAIN),
        ("errors <= 2 x blue + 1%", arm(steady(900), {"status 500": 100}), BLUE, BROKEN),
        ("errors <= 2 x blue + 1%", GOOD, BLUE, KEPT),
        ("errors <= 2 x blue + 1%", arm(steady(990), {"status 500": 10}), BLUE, UNCERTAIN),
        # Exactly at the limit, with no doubt where that is.
        ("p(95) <= 1 x blue", arm([0.0001] * 1000), arm([0.0001] * 500), KEPT),
        ("p(95) < 1 x blue", arm([0.0001] * 1000), arm([0.0001] * 500), BROKEN),
    ],
)
def test_beside_blue_a_rule_is_kept_or_broken_only_for_certain(
    text: str, green: ArmCounts, blue: ArmCounts, outcome: Outcome
) -> None:
    assert found(text, green, blue).outcome is outcome


def test_what_is_uncertain_is_said_to_be() -> None:
    finding = found(BESIDE, arm(steady(1000, 0.125)))

    assert finding.text == (
        "p(95) <= 1.25 x blue: green 181 ms, blue 145 ms, within the limit, which 0.95 confidence leaves open"
    )


def test_a_difference_whose_end_is_not_known_is_one_or_more() -> None:
    standards = replace(STANDARDS, confidence=0.9999)
    finding = found(BESIDE, arm([2.0] * 200), arm(steady(500)), standards)

    assert finding.outcome is BROKEN
    assert finding.text.endswith("over the limit, by 1.81 s or more with confidence 0.9999")


def test_the_samples_of_blue_count_as_green_s_do() -> None:
    finding = found(BESIDE, GOOD, arm(steady(199)))

    assert (finding.outcome, finding.text) == (
        UNCERTAIN,
        "p(95) <= 1.25 x blue: answers without error of blue: 199, and it takes 200",
    )


def test_without_blue_nothing_is_held_against_it() -> None:
    first = replace(STANDARDS, has_blue=False)
    run = measured(GOOD, None)

    found = judge(run, rules(*USUAL), first)
    assert (found.verdict, found.findings[-1]) == (
        Verdict.PASS,
        Finding(parse(BESIDE), SKIPPED, "p(95) <= 1.25 x blue: there is no blue"),
    )


def test_a_blue_that_the_generator_leaves_out_is_no_reason_to_skip_a_rule() -> None:
    found = judge(measured(GOOD, None), rules(*USUAL), STANDARDS)

    assert (found.verdict, found.reason) == (
        Verdict.INCONCLUSIVE,
        "p(95) <= 1.25 x blue: answers without error of blue: 0, and it takes 200",
    )


# ------------------------------------------------------------------------------------ while it runs

AT_ONCE = {"abort": True, "after_seconds": 0.0}
FAILING = arm(steady(500), {"status 500": 500})


def aborting(run: Measurement, asked: Sequence[Rule], looks: int = 16) -> list[str]:
    return [finding.rule.text for finding in to_abort(run, asked, STANDARDS, looks)]


def under_way(
    green: ArmCounts | None, blue: ArmCounts | None = BLUE, seconds: float = 60, **changes: Any
) -> Measurement:
    return measured(
        green, blue, state=Stands.RUNNING, elapsed_seconds=seconds, due_seconds=seconds, **changes
    )


@pytest.mark.parametrize(
    ("seconds", "aborts"), [(29.9, []), (30.0, ["errors < 20%"]), (200, ["errors < 20%"])]
)
def test_a_run_is_aborted_only_after_a_while(seconds: float, aborts: list[str]) -> None:
    asked = rules("errors < 20%", abort=True, after_seconds=30.0)

    assert aborting(under_way(FAILING, seconds=seconds), asked) == aborts


def test_only_rules_that_say_so_abort() -> None:
    asked = (
        *rules(ERRORS),
        *rules("errors < 20%", **AT_ONCE),
        *rules("errors < 5%", observe=True, **AT_ONCE),
    )

    assert aborting(under_way(FAILING), asked) == ["errors < 20%"]
    assert aborting(under_way(GOOD), asked) == []


def test_a_run_is_not_aborted_by_what_has_not_been_sent_yet() -> None:
    asked = rules("rps >= 95%", **AT_ONCE)

    assert aborting(under_way(GOOD, missing={"green": 500}), asked) == []


def test_a_run_that_has_just_begun_is_not_aborted() -> None:
    asked = rules(*USUAL, **AT_ONCE)

    assert aborting(measured(None, None, state=Stands.PREFLIGHT, preflight={}), asked) == []
    assert aborting(under_way(arm([9.0] * 99)), asked) == []


@pytest.mark.parametrize(
    "changes",
    [{"lag": [0.3] * 100}, {"workers": (2, 1, 1)}, {"workers": (2, 1, 0)}],
    ids=["lag", "lost", "silent"],
)
def test_a_run_is_not_aborted_by_latency_while_the_generator_is_not_up_to_it(changes: dict[str, Any]) -> None:
    asked = rules("errors < 20%", QUICK, BESIDE, "avg < 1s", "max < 1s", **AT_ONCE)
    slow = arm([3.0] * 500, {"status 500": 500})

    assert aborting(under_way(slow), asked) == ["errors < 20%", QUICK, BESIDE, "avg < 1s", "max < 1s"]
    assert aborting(under_way(slow, **changes), asked) == ["errors < 20%"]


def test_the_more_often_a_run_is_looked_at_the_more_certain_it_must_be() -> None:
    asked = rules(BESIDE, **AT_ONCE)
    # A little too slow.
    run = under_way(arm(steady(300, 0.131)), arm(steady(300)))

    assert [bool(aborting(run, asked, looks)) for looks in (0, 1, 16, 1000)] == [True, True, True, False]


def test_a_run_can_be_looked_at_as_often_as_settings_allow() -> None:
    asked = rules(BESIDE, **AT_ONCE)

    assert aborting(under_way(arm([9.0] * 9000), arm(steady(9000))), asked, looks=50 * 86_400) == [BESIDE]


# ------------------------------------------------------------------------------------ anything else

COUNTS = st.builds(
    arm,
    latencies=st.lists(st.floats(0, 10), max_size=20).map(lambda some: some * 15),
    errors=st.dictionaries(st.sampled_from(["timeout", "status 500"]), st.integers(0, 500)),
    held=st.integers(0, 100),
    misrouted=st.integers(0, 20),
    in_flight=st.integers(0, 20),
)
EVERY = rules(
    *(
        ERRORS,
        "errors <= 2 x blue + 1%",
        RATE,
        QUICK,
        "med < 1s",
        BESIDE,
        "avg < 1s",
        "avg <= 2 x blue",
        "max < 5s",
    )
)


@settings(deadline=None)
@given(
    st.none() | COUNTS,
    st.none() | COUNTS,
    st.sets(st.sampled_from(EVERY)),
    st.builds(
        dict, workers=st.sampled_from([(2, 2, 0), (2, 1, 1)]), missing=st.just({"green": 20}) | st.none()
    ),
    st.booleans(),
)
def test_no_run_passes_whose_rules_are_not_kept(
    green: ArmCounts | None, blue: ArmCounts | None, asked: set[Rule], changes: dict[str, Any], has_blue: bool
) -> None:
    run = measured(green, blue, **changes)
    found = judge(run, (*rules(ERRORS), *asked - {EVERY[0]}), replace(STANDARDS, has_blue=has_blue))

    outcomes = {finding.outcome for finding in found.findings}
    assert found.reason
    assert not any(math.isnan(float(word)) for word in found.reason.split() if word == "nan")
    if found.verdict is Verdict.PASS:
        assert run.green is not None
        assert run.green.failed < 0.01 * run.green.answered
        assert outcomes <= {KEPT, SKIPPED}
        assert run.workers.lost == 0
    if found.verdict is Verdict.FAIL:
        assert BROKEN in outcomes
    if found.findings[0].outcome is BROKEN:
        assert found.verdict is Verdict.FAIL


# ------------------------------------------------------------------------------------ what is said of it


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (measured(None, None, state=Stands.PREFLIGHT, preflight={}), "the preflight"),
        (
            under_way(arm(steady(980), {"timeout": 20}), BLUE, seconds=61.4),
            "61 s of the load; green 1,000 requests, p(95) 145 ms, 2 % errors; "
            "blue 500 requests, p(95) 145 ms, 0 % errors",
        ),
        (under_way(arm(), None, seconds=2), "2 s of the load; green 0 requests"),
        (
            measured(arm(errors={"timeout": 3}), None, state=Stands.SETTLING),
            "the last answers; green 3 requests, 100 % errors",
        ),
    ],
)
def test_a_line_says_how_a_run_goes(run: Measurement, said: str) -> None:
    assert progress(run) == said
