"""How often the judge, at its defaults, refuses a healthy green and how soon a worse one.

Seeds are the names of the cells, and a bar is held against the count itself. Of 400 runs, a judge that
refuses one healthy green in 200 passes a cell with a probability of 0.95, one in 40 with 0.03. Minutes are
minutes of traffic; CloudWatch has each two minutes later. ``benchmarks/canary_statistics.py`` has these cells
and others with more runs, beside other judges.
"""

import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, median

import pytest

from hooks.canary_comparison import judge as judging
from hooks.canary_comparison.judge import Judgement, Standards, Verdict, judge
from hooks.canary_comparison.observation import MINUTE
from hooks.canary_comparison.rules import rules_of
from hooks.canary_comparison.settings import CanarySettings
from tests.hooks.canary_comparison.traffic_model import (
    SLOW_SECONDS,
    START,
    Minute,
    Traffic,
    observed,
    percentile,
    refused_at,
    simulate,
)

DEFAULTS = rules_of(CanarySettings())

VOLUMES = (600, 6_000, 60_000)
HEALTHY = {
    "as usual": Traffic(requests=0),
    "1 % errors": Traffic(requests=0, errors=0.01),
    "an offset of 5 %": Traffic(requests=0, latency_offset=0.05),
    "a cold start": Traffic(requests=0, cold=0.01),
    "three times the common noise": Traffic(requests=0, common_noise=3),
    "minutes missing": Traffic(requests=0, missing=0.15),
}

# 50 requests on green beside 950 on blue, of which 0.5 % fail, in calm weather.
FEW = Traffic(
    requests=1_000, share=0.05, errors=0.005, common_noise=0, trends=False, latency_offset=0, latency_wander=0
)


@pytest.fixture(autouse=True)
def no_hints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what would have been certain: it takes longer than to judge, and decides nothing."""
    monkeypatch.setattr(judging._Counted, "hint", lambda *_: "")


def refusals(
    cell: str, traffic: Traffic, runs: int, standards: Standards = DEFAULTS.standards
) -> list[int | None]:
    """Return the minute at which each deployment was refused."""
    rng = random.Random(cell)
    return [
        refused_at(judge(observed(simulate(traffic, rng)), DEFAULTS.metrics, standards, at_the_end=True))
        for _ in range(runs)
    ]


def within(minutes: int, refused: list[int | None]) -> int:
    return sum(minute is not None and minute <= minutes for minute in refused)


@pytest.mark.parametrize("requests", VOLUMES)
@pytest.mark.parametrize("weather", HEALTHY)
def test_a_healthy_green_is_refused_in_at_most_one_deployment_in_a_hundred(
    requests: int, weather: str
) -> None:
    runs = 400
    traffic = replace(HEALTHY[weather], requests=requests)

    assert within(30, refusals(f"healthy, {weather}, {requests}", traffic, runs)) <= 0.01 * runs


@pytest.mark.parametrize(
    ("warm_up", "by_15"),
    [(DEFAULTS.standards.warm_up, 0.80), (0, 0.90)],
)
def test_five_times_the_errors_are_caught_even_among_fifty_requests_a_minute(
    warm_up: int, by_15: float
) -> None:
    runs = 1_000
    standards = replace(DEFAULTS.standards, warm_up=warm_up)
    refused = refusals(f"five times, warm-up {warm_up}", replace(FEW, error_ratio=5), runs, standards)

    # The standard deviation of such a count is 12 at 15 minutes, 3 at 30.
    assert within(15, refused) >= by_15 * runs
    assert within(30, refused) >= 0.99 * runs


@pytest.mark.parametrize("requests", VOLUMES)
def test_when_half_of_all_requests_fail_the_first_minute_is_enough(requests: int) -> None:
    # CloudWatch has it two minutes later, so that it is the third.
    refused = refusals(f"half fail, {requests}", Traffic(requests=requests, failing=0.5), 200)

    assert refused == [1] * 200


CLEARLY_WORSE = {
    "latency x1.3": Traffic(requests=6_000, latency_ratio=1.3),
    "latency x1.5": Traffic(requests=6_000, latency_ratio=1.5),
    "errors x10": Traffic(requests=6_000, error_ratio=10),
    "errors x3 of many": Traffic(requests=60_000, error_ratio=3),
    "errors x10 from minute 10 on": Traffic(requests=6_000, error_ratio=10, worse_from=10),
    "latency x1.5 from minute 10 on": Traffic(requests=6_000, latency_ratio=1.5, worse_from=10),
}


@pytest.mark.parametrize("regression", CLEARLY_WORSE)
def test_a_green_that_is_clearly_worse_is_refused_within_half_an_hour(regression: str) -> None:
    runs = 300

    # The standard deviation of such a count is 2.4 where the bar is just met.
    assert within(30, refusals(regression, CLEARLY_WORSE[regression], runs)) >= 0.98 * runs


def test_a_green_that_is_unacceptable_seldom_counts_as_good_however_often_one_looks() -> None:
    runs = 200
    standards = DEFAULTS.standards
    unacceptable = DEFAULTS.metrics[0].tolerated * standards.unacceptable
    rng = random.Random("unacceptable")
    taken_for_good = 0
    for _ in range(runs):
        deployment = simulate(Traffic(requests=6_000, error_ratio=unacceptable), rng)
        for minutes in range(DEFAULTS.minimum_minutes, len(deployment) + 1):
            verdict = looked_at(deployment[:minutes]).verdict
            if verdict in {Verdict.GOOD, Verdict.WORSE}:
                taken_for_good += verdict is Verdict.GOOD
                break

    assert taken_for_good <= standards.miss_rate * runs


def test_one_judgement_tells_when_a_look_every_minute_would_have_refused() -> None:
    rng = random.Random("looks")
    for number in range(40):
        worse = Traffic(
            requests=6_000, error_ratio=4, latency_ratio=1.3, missing=0.15, worse_from=number % 12
        )
        deployment = simulate(worse, rng)
        # At the end ranks are compared, which no look before does.
        at_once = refused_at(looked_at(deployment))
        looks = [
            minutes for minutes in range(1, 31) if refused_at(looked_at(deployment[:minutes])) is not None
        ]

        assert at_once == (looks[0] if looks else None)


def looked_at(minutes: Sequence[Minute]) -> Judgement:
    """Return what is said while a deployment goes on."""
    return judge(observed(minutes), DEFAULTS.metrics, DEFAULTS.standards, at_the_end=False)


def test_what_decides_at_run_time_needs_neither_numpy_nor_scipy() -> None:
    program = (
        "import sys, hooks.canary_comparison.handler;"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'numpy', 'scipy', 'pandas'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


# --------------------------------------------------------------------------------- the traffic itself


def test_the_traffic_has_the_shares_that_it_is_told() -> None:
    rng = random.Random("shares")
    traffic = Traffic(requests=6_000, errors=0.01, error_ratio=2, latency_ratio=1.3, latency_offset=0)
    minutes = [minute for _ in range(400) for minute in simulate(traffic, rng)]

    assert fmean(m.green.requests for m in minutes) == pytest.approx(600, rel=0.01)
    assert fmean(m.blue.requests for m in minutes) == pytest.approx(5_400, rel=0.01)
    assert fmean(m.blue.errors / m.blue.requests for m in minutes) == pytest.approx(0.01, rel=0.05)
    assert fmean(m.green.errors / m.green.requests for m in minutes) == pytest.approx(0.02, rel=0.05)
    # A trend on the logarithm makes slow requests a little more frequent on average.
    assert fmean(m.blue.slow / m.blue.requests for m in minutes) == pytest.approx(0.052, abs=0.003)


def test_a_cold_start_is_gone_after_some_minutes() -> None:
    rng = random.Random("cold")
    deployments = [simulate(Traffic(requests=60_000, errors=0, cold=0.01), rng) for _ in range(50)]
    shares = [
        fmean(
            deployment[number].green.errors / deployment[number].green.requests for deployment in deployments
        )
        for number in (0, 2, 12)
    ]

    assert shares == [
        pytest.approx(0.01, rel=0.1),
        pytest.approx(0.0037, rel=0.1),
        pytest.approx(0, abs=1e-4),
    ]


def test_a_percentile_agrees_with_the_slow_requests_of_its_minute() -> None:
    rng = random.Random("percentiles")
    for minute in simulate(Traffic(requests=3_000), rng):
        place = -(-minute.green.requests * 95 // 100)
        is_slow = minute.green.slow > minute.green.requests - place
        p95 = percentile(minute.green, 95, rng)

        assert p95 is not None
        assert (p95 > SLOW_SECONDS) is is_slow


def test_percentiles_are_those_of_the_distribution() -> None:
    rng = random.Random("calm")
    calm = Traffic(requests=6_000, common_noise=0, trends=False, latency_offset=0, latency_wander=0)
    minutes = [minute for _ in range(100) for minute in simulate(calm, rng)]
    drawn = {
        percent: median(percentile(m.blue, percent, rng) or 0 for m in minutes) for percent in (50, 95, 99)
    }

    # 50 ms times exp(0.6 z).
    assert drawn == {
        50: pytest.approx(0.0500, rel=0.01),
        95: pytest.approx(0.1341, rel=0.01),
        99: pytest.approx(0.2019, rel=0.01),
    }


def test_a_minute_that_is_missing_is_missing_in_every_metric() -> None:
    minutes = simulate(Traffic(requests=600, missing=0.5), random.Random("missing"))
    unknown = [START + number * MINUTE for number, minute in enumerate(minutes) if not minute.is_known]

    assert unknown
    for observation in observed(minutes):
        assert list(observation.missing) == unknown
        assert len(observation.minutes) == 30 - len(unknown)


def test_the_seed_alone_decides_what_is_drawn() -> None:
    traffic = Traffic(requests=600, cold=0.01, missing=0.1)

    assert simulate(traffic, random.Random("one")) == simulate(traffic, random.Random("one"))
    assert simulate(traffic, random.Random("one")) != simulate(traffic, random.Random("another"))
