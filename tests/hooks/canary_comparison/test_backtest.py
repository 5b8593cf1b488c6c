import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hooks.canary_comparison.backtest import (
    COUNTED_VALUES,
    GAUGE_VALUES,
    Hindsight,
    Metric,
    Refusal,
    Row,
    compared,
    configured,
    in_hindsight,
)
from hooks.canary_comparison.decision import decide
from hooks.canary_comparison.handler import rules_of
from hooks.canary_comparison.judge import Verdict
from hooks.canary_comparison.observation import MINUTE, Kind, Observation, Reading, Split
from hooks.canary_comparison.settings import CanarySettings
from hooks.canary_comparison.watch import Phase, Watch
from hooks.canary_comparison.window import Window
from shared.errors import Misconfigured
from shared.response import Proceed, Refuse, Wait

START = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)

Values = tuple[float, ...]
HEALTHY: Values = (30, 1000, 270, 9000)
WORSE: Values = (150, 1000, 270, 9000)
QUIET: Values = (0, 10, 0, 90)
UNKNOWN: Values = ()

ERRORS = {"source": "alb", "measure": "errors"}
LATENCY = {"source": "alb", "measure": "latency"}


def chosen(*metrics: Mapping[str, Any], **others: Any) -> CanarySettings:
    return configured({"metrics": list(metrics) or [ERRORS], "warmUpMinutes": 0, **others}).settings


def minutes(*values: Values) -> list[Row]:
    return [
        Row(START + number * MINUTE, one, "" if one else "nobody knows") for number, one in enumerate(values)
    ]


def said(values: Sequence[Values], **others: Any) -> Hindsight:
    return in_hindsight(chosen(**others), {"errors": minutes(*values)})


def in_short(hindsight: Hindsight) -> tuple[int | None, int | None, bool, Verdict]:
    """Return from when green was good, when it was refused, whether only looking back, and the last word."""
    refusal = hindsight.refusal
    return (
        hindsight.good_from,
        refusal and refusal.minute,
        refusal is not None and refusal.looking_back,
        hindsight.verdict,
    )


# ------------------------------------------------------------------------------------ verdicts


@pytest.mark.parametrize(
    ("values", "others", "expected"),
    [
        ([HEALTHY] * 12, {}, (5, None, False, Verdict.GOOD)),
        ([HEALTHY] * 12, {"minimumMinutes": 9}, (9, None, False, Verdict.GOOD)),
        ([HEALTHY] * 3, {}, (3, None, False, Verdict.GOOD)),
        ([WORSE] * 12, {}, (None, 2, False, Verdict.WORSE)),
        ([HEALTHY] * 8 + [WORSE] * 8, {}, (5, 10, False, Verdict.WORSE)),
        ([QUIET] * 12, {}, (None, None, False, Verdict.INCONCLUSIVE)),
        ([QUIET] * 12, {"onInconclusive": "refuse"}, (None, 12, False, Verdict.INCONCLUSIVE)),
        # The hold would be longer, but there is no more of the file: what counts is what is known then.
        ([QUIET] * 12, {"onInconclusive": "extend"}, (None, 12, True, Verdict.INCONCLUSIVE)),
        ([UNKNOWN] * 12, {}, (None, 10, False, Verdict.UNKNOWN)),
        ([UNKNOWN] * 12, {"unknownMinutes": 3}, (None, 3, False, Verdict.UNKNOWN)),
        # Nothing more comes, so the hook would have waited at the end until it gave up.
        ([UNKNOWN] * 4, {}, (None, 4, True, Verdict.UNKNOWN)),
        ([HEALTHY] * 4 + [UNKNOWN] * 3, {}, (5, None, False, Verdict.GOOD)),
        # How long the service holds its steps, and whether its hook enforces, is not asked.
        ([WORSE] * 12, {"holdMinutes": 0}, (None, 2, False, Verdict.WORSE)),
        ([HEALTHY] * 12, {"holdMinutes": 1}, (5, None, False, Verdict.GOOD)),
        ([WORSE] * 12, {"holdMinutes": 1, "mode": "observe"}, (None, 2, False, Verdict.WORSE)),
        (
            [QUIET] * 12,
            {"holdMinutes": 0, "onInconclusive": "refuse"},
            (None, 12, False, Verdict.INCONCLUSIVE),
        ),
        ([HEALTHY], {"minimumMinutes": 1}, (None, None, False, Verdict.INCONCLUSIVE)),
    ],
)
def test_a_run_is_held_to_its_end_and_looked_back_at(
    values: Sequence[Values],
    others: Mapping[str, Any],
    expected: tuple[int | None, int | None, bool, Verdict],
) -> None:
    assert in_short(said(values, **others)) == expected


def test_a_refusal_says_when_and_why() -> None:
    found = said([HEALTHY] * 3 + [WORSE] * 5)

    assert found.refusal == Refusal(
        5,
        START + 5 * MINUTE,
        "green is worse: errors: green 7.8 % of 5,000, blue 3 % of 45,000, 2.6 times (95 %: 1.26 to 5.4), "
        "certain since 12:05",
        looking_back=False,
    )
    assert (found.start, found.minutes) == (START, 8)
    (finding,) = found.findings
    assert (finding.metric, finding.verdict, finding.certain_since) == (
        "errors",
        Verdict.WORSE,
        START + 5 * MINUTE,
    )
    assert "of 8,000" in finding.text, "what is said at the end is of the whole run"


def test_what_only_ranks_tell_is_refused_when_looking_back() -> None:
    # Eleven minutes of a gauge are too few for the evidence, whose coins need ten heads at one in a hundred.
    rows = [Row(START + n * MINUTE, (300.0 + n, 100.0 + n / 2)) for n in range(11)]
    settings_ = configured({"metrics": [LATENCY], "warmUpMinutes": 3, "falseAlarmRate": 0.01}).settings

    found = in_hindsight(settings_, {"latency": rows})

    assert found.refusal is not None
    assert (found.refusal.minute, found.refusal.looking_back) == (11, True)
    assert found.refusal.reason.endswith("certain by the ranks of 11 minutes")


def test_the_other_judge_can_be_asked_about_the_same_run() -> None:
    rows = {"errors": minutes(*([WORSE] * 12))}

    found = in_hindsight(chosen(), rows, "kayenta")

    assert found == in_hindsight(chosen(judge="kayenta"), rows)
    assert found.refusal is not None
    assert (found.refusal.minute, found.refusal.looking_back) == (12, False)
    assert found.refusal.reason.startswith("green is worse: score 0 of 100 is Fail")


# ------------------------------------------------------------------------------------ what is known


def test_minutes_without_a_row_are_not_known() -> None:
    rows = minutes(*([HEALTHY] * 6))
    del rows[2]
    rows[3] = Row(rows[3].at, (), "green_bad left empty")

    (seen,) = in_hindsight(chosen(), {"errors": rows}).observations

    assert seen == Observation(
        "errors",
        Kind.PROPORTION,
        tuple(Split(START + n * MINUTE, *HEALTHY) for n in (0, 1, 3, 5)),
        (START + 2 * MINUTE, START + 4 * MINUTE),
        "green_bad left empty",
    )


def test_a_minute_that_only_another_metric_has_is_part_of_the_run() -> None:
    found = in_hindsight(
        chosen(ERRORS, {**LATENCY, "onUnknown": "ignore"}),
        {"errors": minutes(HEALTHY), "latency": [Row(START + 2 * MINUTE, (1.0, 2.0))]},
    )

    errors, latency = found.observations
    assert (found.start, found.minutes) == (START, 3)
    assert errors.missing == (START + MINUTE, START + 2 * MINUTE)
    assert errors.problem == "no row of 12:02"
    assert latency.minutes == (Reading(START + 2 * MINUTE, 1.0, 2.0),)


def test_more_bad_events_than_events_are_cut_as_the_hook_cuts_them() -> None:
    (seen,) = in_hindsight(chosen(), {"errors": minutes((12, 10, 95, 90))}).observations

    assert seen.minutes == (Split(START, 10, 10, 90, 90),)


def test_the_order_of_rows_does_not_matter() -> None:
    rows = minutes(*([HEALTHY] * 4 + [WORSE] * 4))
    shuffled = random.Random(1).sample(rows, len(rows))

    assert in_hindsight(chosen(), {"errors": shuffled}) == in_hindsight(chosen(), {"errors": rows})


def test_the_pictures_are_those_of_a_record() -> None:
    first, second = said([WORSE] * 3).charts()

    assert first["series"][0] == {
        "name": "green",
        "points": [[(START + n * MINUTE).isoformat(), 15.0] for n in range(3)],
    }
    assert (second["title"], second["thresholds"][0]["name"]) == (
        "evidence that green is worse: errors",
        "certain",
    )


# ------------------------------------------------------------------------------------ as polled live


def read(rows: Sequence[Row], kind: Kind, name: str, now: datetime, lag: int, end: datetime) -> Observation:
    """Return what a reader of the hook has in its hands at a time."""
    over = [row for row in rows if row.at + MINUTE <= min(now - timedelta(seconds=lag), end)]
    known = [row for row in over if row.values]
    made = Split if kind.is_counted else Reading
    return Observation(
        name,
        kind,
        tuple(made(row.at, *row.values) for row in known),  # type: ignore[arg-type]
        tuple(row.at for row in over if not row.values),
        "nobody knows" if len(known) < len(over) else "",
    )


def polled(
    settings_: CanarySettings, rows: Mapping[str, Sequence[Row]], lags: Mapping[str, int]
) -> tuple[int | None, Refusal | None]:
    """Answer ECS from the first minute on, asked again when the hook wants to be; held though it is good."""
    rules = replace(rules_of(settings_), holds=True, minimum_minutes=settings_.minimum_minutes)
    end = max(row.at for series in rows.values() for row in series) + MINUTE
    now, good_from = START, None
    while now <= end + timedelta(seconds=rules.lag_seconds):
        seen = [
            read(rows[rule.name], rule.kind, rule.name, now, lags[rule.name], end) for rule in rules.metrics
        ]
        closed = max(len(one.minutes) + len(one.missing) for one in seen)
        decision = decide(seen, rules, Watch(phase=Phase.HOLD, window=Window(START, end)), now)
        match decision.result:
            case Refuse(reason):
                return good_from, Refusal(closed, START + closed * MINUTE, reason, looking_back=False)
            case Proceed() if good_from is None and decision.judgement.verdict is Verdict.GOOD:
                good_from = closed
            case Wait(_, after):
                now += timedelta(seconds=after)
                continue
        now += MINUTE
    return good_from, None


counts = st.one_of(
    st.sampled_from([HEALTHY, WORSE, QUIET, UNKNOWN]),
    st.tuples(st.integers(0, 60), st.just(1000), st.integers(0, 400), st.just(9000)),
)
gauges = st.one_of(st.just(UNKNOWN), st.tuples(st.floats(50, 500).map(round), st.floats(50, 500).map(round)))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    pairs=st.lists(st.tuples(counts, gauges), min_size=1, max_size=18),
    lags=st.tuples(st.sampled_from([0, 30, 60, 120, 200]), st.sampled_from([0, 90, 120])),
    others=st.fixed_dictionaries(
        {
            "onInconclusive": st.sampled_from(["pass", "extend", "refuse"]),
            "judge": st.sampled_from(["sequential", "kayenta"]),
            "minimumMinutes": st.integers(1, 6),
            "unknownMinutes": st.integers(1, 12),
        }
    ),
)
@example(
    pairs=[(HEALTHY, (100, 100))] * 7 + [(WORSE, (100, 100))] * 9,
    lags=(120, 0),
    others={"onInconclusive": "pass", "judge": "sequential", "minimumMinutes": 5, "unknownMinutes": 10},
)
def test_a_run_is_refused_at_the_minute_at_which_the_hook_polled_live_refuses(
    pairs: Sequence[tuple[Values, Values]], lags: tuple[int, int], others: Mapping[str, Any]
) -> None:
    settings_ = chosen({**ERRORS, "lagSeconds": lags[0]}, {**LATENCY, "lagSeconds": lags[1]}, **others)
    rows = {
        "errors": minutes(*(values for values, _ in pairs)),
        "latency": minutes(*(values for _, values in pairs)),
    }

    found = in_hindsight(settings_, rows)

    held = found.refusal if found.refusal and not found.refusal.looking_back else None
    expected = polled(settings_, rows, {"errors": lags[0], "latency": lags[1]})
    assert (found.good_from, held) == expected


@settings(max_examples=40, deadline=None)
@given(st.lists(counts, min_size=2, max_size=20), st.data())
def test_what_comes_after_a_refusal_does_not_change_it(values: Sequence[Values], data: st.DataObject) -> None:
    found = said(values).refusal
    if found is None or found.minute == len(values):
        return
    cut = data.draw(st.integers(found.minute, len(values) - 1))

    refusal = said(values[:cut]).refusal

    assert refusal is not None
    assert (refusal.minute, refusal.reason) == (found.minute, found.reason)


# ------------------------------------------------------------------------------------ settings


def test_the_default_compares_the_preset() -> None:
    assert compared(configured({}).settings) == tuple(
        Metric(name, COUNTED_VALUES, can_be_absent=False) for name in ("errors", "connectionErrors", "slow")
    )


def test_a_metric_that_decides_nothing_may_be_absent() -> None:
    found = compared(chosen(ERRORS, {**LATENCY, "observe": True}))

    assert found == (
        Metric("errors", COUNTED_VALUES, can_be_absent=False),
        Metric("latency", GAUGE_VALUES, can_be_absent=True),
    )


def test_a_policy_holds_as_it_does_for_the_hook() -> None:
    resolved = configured({"falseAlarmRate": 0.001, "minimumMinutes": 20}, {"falseAlarmRate": 0.02})

    assert (resolved.settings.false_alarm_rate, resolved.settings.minimum_minutes) == (0.02, 20)
    assert resolved.tightened == ("falseAlarmRate",)


@pytest.mark.parametrize(
    ("details", "policy", "message"),
    [
        ({"metrcs": []}, None, "hookDetails: unknown key 'metrcs', did you mean 'metrics'?"),
        (
            {},
            {"holdMinutes": -1},
            "HOOK_POLICY: holdMinutes: input should be greater than or equal to 0, got -1",
        ),
        (
            {},
            ["metrics"],
            "HOOK_POLICY: input should be a valid dictionary or instance of CanaryPolicy, got an array",
        ),
        (
            {"metrics": [{**ERRORS, "toleratedRatio": 5}]},
            {"maxToleratedRatio": 2},
            "metrics: 'errors' tolerates 5 times as bad, the policy's maxToleratedRatio is 2",
        ),
    ],
)
def test_what_the_hook_would_not_take_is_refused(
    details: Mapping[str, Any], policy: object, message: str
) -> None:
    with pytest.raises(Misconfigured) as raised:
        configured(details, policy)

    assert str(raised.value).startswith(message)
    assert isinstance(raised.value.__cause__, ValidationError) is (not message.startswith("metrics"))
