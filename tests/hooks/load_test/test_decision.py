from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from load_generator.snapshot import Problem as Told
from load_generator.snapshot import State as Stands

from hooks.load_test.decision import SILENT_SECONDS, Attempt, Step, Terms, decide
from hooks.load_test.measurement import Measurement, Problem, State
from hooks.load_test.rules import Metric, Rule, parse
from hooks.load_test.verdict import Outcome, Standards, Verdict, judge, judged
from shared.response import Proceed, Refuse, Wait
from tests.hooks.load_test.runs import NAME, RUN, arm, ended, measured, steady
from tests.shared.checkout import START

ERRORS = parse("errors < 1%")
ABORTS = replace(parse("errors < 20%"), abort=True, after_seconds=30.0)
BESIDE = parse("p(95) <= 1.25 x blue")
TERMS = Terms(
    rules=(ERRORS, ABORTS, BESIDE),
    standards=Standards(
        minimum_samples=100, confidence=0.95, max_lag_seconds=0.1, sent_share=0.95, has_blue=True
    ),
    seconds=300.0,
    timeout_seconds=10.0,
    poll_seconds=20.0,
    start_within_seconds=180.0,
    attempts=2,
    on_inconclusive="refuse",
    on_generator_trouble="refuse",
)
OPEN = replace(TERMS, on_generator_trouble="proceed")
LENIENT = replace(TERMS, on_inconclusive="pass")

GOOD, BLUE = arm(steady(1000)), arm(steady(500))
FAILING = arm(steady(500), {"status 500": 500})
SLOW = arm(steady(1000, 0.2))
UNSURE = arm(steady(1000, 0.125))

PASSES, FAILS, IS_UNSURE = measured(GOOD, BLUE), measured(SLOW, BLUE), measured(UNSURE, BLUE)
LOST = measured(GOOD, BLUE, workers=(2, 1, 1))
GENERATOR_LOST = "the generator lost 1 of its 2 workers"


def attempt(number: int = 1, asked: float = 0, **changes: Any) -> Attempt:
    """Return an attempt that was asked for so many seconds ago."""
    return Attempt(run=f"{NAME}-{number}", asked_at=START - timedelta(seconds=asked), **changes)


def step(*attempts: Attempt, terms: Terms = TERMS, since: float = 0) -> Step:
    """Decide; ECS first called so many seconds ago."""
    return decide(attempts, terms, START, START - timedelta(seconds=since))


def under_way(*, seconds: float = 60, silent: float = 0, green: Any = GOOD, **changes: Any) -> Measurement:
    return measured(
        green,
        BLUE,
        **{
            "state": Stands.RUNNING,
            "elapsed_seconds": seconds,
            "due_seconds": seconds,
            "at": START - timedelta(seconds=silent),
            **changes,
        },
    )


# ------------------------------------------------------------------------------------ no run yet, asked for


def test_without_a_run_one_is_asked_for() -> None:
    assert step() == Step(Wait("and load green: a run is asked for", 20.0), start=True)


def test_a_run_that_no_generator_has_taken_is_waited_for_and_asked_for_once_more() -> None:
    wait = Wait("for a generator to take the run, 179 s so far", 20.0)

    assert step(attempt(asked=179)) == Step(wait, ask_again=True)


def test_a_run_that_no_generator_took_in_time_is_asked_for_again() -> None:
    why = "no generator took the run within 180 s"

    assert step(attempt(asked=180)) == Step(
        Wait(f"and load green again, because of the generator: {why}", 20.0),
        start=True,
        stop=f"another run takes its place: {why}",
    )


def test_after_the_last_attempt_it_is_refused_or_goes_on_untested_as_is_said() -> None:
    why = "no generator took the run within 180 s"
    attempts = (attempt(asked=400), attempt(2, asked=180))

    assert step(*attempts) == Step(Refuse(f"not tested, because of the generator: {why}"), stop=why)
    # Nothing is stopped, or another call at the same time would find that, and refuse.
    assert step(*attempts, terms=OPEN) == Step(
        Proceed(f"not tested, and onGeneratorTrouble is proceed: {why}")
    )


@pytest.mark.parametrize("terms", [TERMS, OPEN])
@pytest.mark.parametrize("measurement", [None, PASSES, under_way()])
def test_a_run_that_was_ended_is_refused_again_whatever_else_is_known_of_it(
    terms: Terms, measurement: Measurement | None
) -> None:
    ended = attempt(stopped="green fails the load test: errors", measured=measurement)

    assert step(ended, terms=terms) == Step(Refuse("green fails the load test: errors"))


def test_what_is_unreadable_may_yet_be_read() -> None:
    unreadable = attempt(asked=525, unreadable="progress.json: not JSON")

    assert step(unreadable) == Step(
        Wait("for the generator, which is unreadable: progress.json: not JSON", 20.0), keep=True
    )


def test_what_stays_unreadable_is_trouble() -> None:
    why = "what the generator says is unreadable: result.json: not JSON"
    unreadable = attempt(asked=526, unreadable="result.json: not JSON")

    assert step(unreadable) == Step(
        Wait(f"and load green again, because of the generator: {why}", 20.0),
        start=True,
        stop=f"another run takes its place: {why}",
    )


# ------------------------------------------------------------------------------------ under way

PROGRESS = "green 1,000 requests, p(95) 145 ms, 0 % errors; blue 500 requests, p(95) 145 ms, 0 % errors"


@pytest.mark.parametrize(
    ("measurement", "what", "seconds"),
    [
        (under_way(), "60 s of the load", 20.0),
        (under_way(silent=SILENT_SECONDS), "60 s of the load", 20.0),
        # The end is looked for soon after it.
        (under_way(seconds=290), "290 s of the load", 15.0),
        (under_way(seconds=302, state=Stands.SETTLING), "the last answers", 5.0),
    ],
)
def test_a_run_that_is_under_way_is_kept_and_waited_for(
    measurement: Measurement, what: str, seconds: float
) -> None:
    assert step(attempt(measured=measurement)) == Step(Wait(f"for {what}; {PROGRESS}", seconds), keep=True)


def test_a_run_in_its_preflight_is_waited_for() -> None:
    preflight = measured(state=Stands.PREFLIGHT, elapsed_seconds=0.0, due_seconds=0.0)

    assert step(attempt(measured=preflight)) == Step(Wait("for the preflight", 20.0), keep=True)


def test_a_run_is_ended_as_soon_as_a_rule_that_aborts_is_broken() -> None:
    reason = "green fails the load test: errors < 20%: 500 of 1,000 requests, 50 %"

    assert step(attempt(measured=under_way(green=FAILING))) == Step(Refuse(reason), stop=reason)
    assert step(attempt(measured=under_way(green=FAILING, seconds=29))).result == Wait(
        "for 29 s of the load; green 1,000 requests, p(95) 145 ms, 50 % errors; blue 500 requests, "
        "p(95) 145 ms, 0 % errors",
        20.0,
    )


def test_a_generator_that_falls_silent_is_trouble() -> None:
    why = "the generator has said nothing for 46 s"
    silent = under_way(silent=SILENT_SECONDS + 1, green=FAILING)

    assert step(attempt(measured=silent)) == Step(
        Wait(f"and load green again, because of the generator: {why}", 20.0),
        start=True,
        stop=f"another run takes its place: {why}",
    )
    assert step(attempt(), attempt(2, measured=silent)) == Step(
        Refuse(f"not tested, because of the generator: {why}"), stop=why
    )


# ------------------------------------------------------------------------------------ over


def test_a_green_that_keeps_its_rules_goes_on() -> None:
    judgement = judge(PASSES, TERMS.rules, TERMS.standards)

    assert judgement.verdict is Verdict.PASS
    assert step(attempt(measured=PASSES)) == Step(
        Proceed(f"green holds the load: {judgement.reason}"), judgement=judgement
    )


def test_a_green_that_breaks_one_is_refused() -> None:
    judgement = judge(FAILS, TERMS.rules, TERMS.standards)

    assert judgement.verdict is Verdict.FAIL
    assert step(attempt(measured=FAILS), terms=OPEN) == Step(
        Refuse(f"green fails the load test: {judgement.reason}"), judgement=judgement
    )


def test_what_is_uncertain_is_refused_or_passes_as_is_said() -> None:
    judgement = judge(IS_UNSURE, TERMS.rules, TERMS.standards)

    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert step(attempt(measured=IS_UNSURE)) == Step(
        Refuse(f"the load test is inconclusive: {judgement.reason}"), judgement=judgement
    )
    assert step(attempt(measured=IS_UNSURE), terms=LENIENT) == Step(
        Proceed(f"nothing is certain, and onInconclusive is pass: {judgement.reason}"), judgement=judgement
    )


def test_that_green_answers_at_all_must_be_certain_whatever_is_said() -> None:
    few = measured(arm(errors={"connection refused": 50}), BLUE)

    assert step(attempt(measured=few), terms=LENIENT).result == Refuse(
        "the load test is inconclusive: errors < 1%: requests of green: 50, and it takes 100; errors < 20%: "
        "requests of green: 50, and it takes 100; p(95) <= 1.25 x blue: answers without error of green: 0, "
        "and it takes 200"
    )


def test_a_relative_rule_on_errors_is_no_proof_that_green_answers() -> None:
    relative = parse("errors <= 2 x blue + 0.5%")
    terms = replace(LENIENT, rules=(relative, replace(ERRORS, minimum_samples=5000)))

    assert isinstance(step(attempt(measured=PASSES), terms=terms).result, Refuse)


def test_numbers_that_are_no_measure_of_green_are_measured_again() -> None:
    judgement = judge(LOST, TERMS.rules, TERMS.standards)

    assert step(attempt(measured=LOST)) == Step(
        Wait(f"and load green again, because of the generator: {GENERATOR_LOST}", 20.0),
        start=True,
        stop=f"another run takes its place: {GENERATOR_LOST}",
        judgement=judgement,
    )
    assert step(attempt(), attempt(2, measured=LOST)) == Step(
        Refuse(f"not tested, because of the generator: {GENERATOR_LOST}"),
        stop=GENERATOR_LOST,
        judgement=judgement,
    )
    assert step(attempt(), attempt(2, measured=LOST), terms=OPEN) == Step(
        Proceed(f"not tested, and onGeneratorTrouble is proceed: {GENERATOR_LOST}"), judgement=judgement
    )


def test_a_run_that_finished_before_its_time_is_no_measurement() -> None:
    short = measured(GOOD, BLUE, due_seconds=298.9)

    assert step(attempt(measured=short)).result == Wait(
        "and load green again, because of the generator: the run ended after 299 of its 300 s", 20.0
    )
    assert isinstance(step(attempt(measured=measured(GOOD, BLUE, due_seconds=299.0))).result, Proceed)


ANSWERS = [
    (Told.REFUSED, {}, "the generator's operator does not allow this load: why"),
    (Told.BLUE_DEGRADED, {}, "blue suffered, and with it production: why"),
    (Told.TOO_MANY_BYTES, {}, "the run was ended: why"),
    (Told.STOPPED, {}, "the run was ended: why"),
    (Told.UNREACHABLE, {"preflight": {"blue": "checkout:6"}}, "green does not answer: why"),
]


@pytest.mark.parametrize(("problem", "changes", "reason"), ANSWERS)
@pytest.mark.parametrize("terms", [TERMS, OPEN])
def test_some_ends_are_an_answer_at_once(
    problem: Told, changes: dict[str, Any], reason: str, terms: Terms
) -> None:
    run = ended(problem, "why", **{"green": GOOD, **changes})

    assert step(attempt(measured=run), terms=terms) == Step(Refuse(reason))


@pytest.mark.parametrize("problem", [Told.UNREACHABLE, Told.UNPROVEN, Told.ABANDONED, Told.LOST])
def test_other_ends_are_the_generator_s_and_another_run_is_asked_for(problem: Told) -> None:
    assert step(attempt(measured=ended(problem, "why")), terms=OPEN) == Step(
        Wait("and load green again, because of the generator: why", 20.0),
        start=True,
        stop="another run takes its place: why",
    )


@pytest.mark.parametrize("problem", [Told.UNREACHABLE, Told.ABANDONED, Told.LOST])
def test_in_the_end_the_generator_s_trouble_is_refused_unless_said_otherwise(problem: Told) -> None:
    last = attempt(2, measured=ended(problem, "why"))

    assert step(attempt(), last) == Step(Refuse("not tested, because of the generator: why"), stop="why")
    assert step(attempt(), last, terms=OPEN) == Step(
        Proceed("not tested, and onGeneratorTrouble is proceed: why")
    )


@pytest.mark.parametrize("terms", [TERMS, OPEN])
def test_whoever_sets_header_and_marker_can_t_evade_the_test_by_them(terms: Terms) -> None:
    last = attempt(2, measured=ended(Told.UNPROVEN, "why"))

    assert step(attempt(), last, terms=terms) == Step(Refuse("nothing proves that green was asked: why"))


# ------------------------------------------------------------------------------------ how long, how often


def test_attempts_are_numbered_by_their_names_for_not_every_driver_remembers_the_first() -> None:
    assert [attempt(number).number for number in (1, 2, 12)] == [1, 2, 12]
    # Of two attempts this is the last, although it is the only one that is known.
    assert not step(attempt(2, measured=LOST)).start


def test_a_driver_that_forgets_runs_is_not_asked_for_ever() -> None:
    assert TERMS.run_seconds == 180 + 300 + 10 + SILENT_SECONDS
    assert TERMS.patience_seconds == 2 * (TERMS.run_seconds + 40)
    why = "no run has come to its end"
    late = TERMS.patience_seconds + 1

    assert step(since=TERMS.patience_seconds).start
    assert step(since=late) == Step(Refuse(f"not tested, because of the generator: {why}"), stop=why)
    assert step(attempt(asked=5), since=late) == step(since=late)
    assert step(attempt(measured=under_way()), since=late, terms=OPEN) == Step(
        Proceed(f"not tested, and onGeneratorTrouble is proceed: {why}")
    )
    # What has come to its end is judged, however late.
    assert isinstance(step(attempt(measured=PASSES), since=late).result, Proceed)


@pytest.mark.parametrize(("seconds", "poll", "looks"), [(300, 20, 16), (301, 20, 17), (1, 300, 2)])
def test_a_run_is_looked_at_as_often_as_it_is_polled(seconds: float, poll: float, looks: int) -> None:
    assert replace(TERMS, seconds=seconds, poll_seconds=poll).looks == looks


# ------------------------------------------------------------------------------------ anything else

RUNS = [
    PASSES,
    FAILS,
    IS_UNSURE,
    LOST,
    measured(GOOD, None),
    measured(FAILING, BLUE),
    measured(None, BLUE),
    measured(GOOD, BLUE, due_seconds=20.0),
    *(under_way(seconds=seconds, green=green) for seconds in (5, 200) for green in (GOOD, FAILING, SLOW)),
    under_way(silent=3600),
    *(ended(problem, "why", green=GOOD) for problem in Told if problem is not Told.NONE),
    *(ended(problem, "why", preflight={"blue": None}) for problem in Told if problem is not Told.NONE),
]
ATTEMPTS = st.lists(
    st.builds(
        Attempt,
        run=st.just(""),
        asked_at=st.integers(0, 3000).map(lambda seconds: START - timedelta(seconds=seconds)),
        stopped=st.sampled_from(["", "", "", "ended"]),
        measured=st.none() | st.sampled_from(RUNS),
        unreadable=st.sampled_from(["", "not JSON"]),
    ),
    max_size=5,
).map(lambda found: [replace(one, run=f"{NAME}-{number}") for number, one in enumerate(found, 1)])
RULES = st.sets(st.sampled_from([ABORTS, BESIDE, parse("rps >= 95%"), parse("p(95) < 150ms")])).map(
    lambda more: (ERRORS, *more)
)
OF_ALL_KINDS = st.builds(
    replace,
    st.just(TERMS),
    rules=RULES,
    attempts=st.integers(1, 5),
    on_inconclusive=st.sampled_from(["pass", "refuse"]),
    on_generator_trouble=st.sampled_from(["proceed", "refuse"]),
)


def keeps_errors(measured: Measurement, rules: tuple[Rule, ...], standards: Standards) -> bool:
    return any(
        finding.rule.metric is Metric.ERRORS and finding.outcome is Outcome.KEPT
        for finding in judged(measured, rules, standards)
    )


@settings(max_examples=500, deadline=None)
@given(ATTEMPTS, OF_ALL_KINDS, st.integers(0, 10_000))
def test_nothing_but_a_whole_run_of_a_green_that_answers_lets_it_go_on(
    attempts: list[Attempt], terms: Terms, since: int
) -> None:
    now: datetime = START
    found = decide(attempts, terms, now, now - timedelta(seconds=since))

    assert found == decide(attempts, terms, now, now - timedelta(seconds=since))
    assert found.result.reason
    last = attempts[-1] if attempts else None
    if isinstance(found.result, Proceed) and terms.on_generator_trouble == "refuse":
        assert last is not None
        assert last.measured is not None
        assert (last.measured.state, last.measured.problem) == (State.FINISHED, Problem.NONE)
        assert last.measured.due_seconds >= terms.seconds - 1
        assert keeps_errors(last.measured, terms.rules, terms.standards)
        assert found.judgement is not None
        assert found.judgement.verdict in {Verdict.PASS, Verdict.INCONCLUSIVE}
        assert found.judgement.verdict is Verdict.PASS or terms.on_inconclusive == "pass"
    if isinstance(found.result, Proceed):
        assert last is None or not last.stopped
        assert found.stop == ""
    if found.start:
        assert len(attempts) < terms.attempts
        assert isinstance(found.result, Wait)
    if found.judgement is not None and found.judgement.verdict is Verdict.TROUBLE:
        trouble = not isinstance(found.result, Proceed) or "onGeneratorTrouble" in found.result.reason
        assert trouble
    assert not (found.keep and (found.stop or found.start))
    if found.ask_again:
        assert last is not None
        assert (last.measured, last.stopped, found.start, found.stop) == (None, "", False, "")


def test_the_runs_above_are_called_as_their_attempts_are() -> None:
    assert RUN == attempt().run == PASSES.run
