"""What judging a canary costs, in processor time.

    python -m benchmarks.canary_speed [--rounds 200]

One metric with 60 minutes, a whole judgement of 50 metrics (the most there may be) and how both grow with the
minutes, beside one call of ``scipy.stats.mannwhitneyu`` on the same minutes' rates, measured in turn within
each round. Of a shared machine the quickest round is the least disturbed: the limits are held against it. The
ratio to scipy's call is the median of the ratios within each round.
"""

import argparse
import gc
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from scipy import stats

from hooks.canary_comparison.judge import Rule, judge
from hooks.canary_comparison.observation import MINUTE, Kind, Observation, Reading, Split
from hooks.canary_comparison.ranks import mann_whitney, ratio_interval
from hooks.canary_comparison.rules import rules_of
from hooks.canary_comparison.settings import MAX_METRICS, CanarySettings
from tests.hooks.canary_comparison.traffic_model import START, Traffic, observed, simulate

MINUTES = 60
LONGER = (120, 240, 480)

MOST_MS_PER_METRIC = 1.0
MOST_MS_IN_ALL = 60.0
IMPORT_ROUNDS = 7

DEFAULTS = rules_of(CanarySettings())
GAUGE = Rule(name="p95", kind=Kind.GAUGE, tolerated=1.25)


def errors(minutes: int) -> Observation:
    """Return the errors of a healthy deployment: at no place can the judge stop early."""
    traffic = Traffic(requests=6_000, errors=0.01, minutes=minutes)
    return observed(simulate(traffic, random.Random(f"speed {minutes}")))[0]  # noqa: S311  not for secrets


def readings(minutes: int) -> Observation:
    """Return a gauge of as many minutes."""
    rng = random.Random(f"gauge {minutes}")  # noqa: S311  not for secrets
    values = tuple(
        Reading(START + number * MINUTE, rng.lognormvariate(0, 0.1), rng.lognormvariate(0, 0.1))
        for number in range(minutes)
    )
    return Observation("p95", Kind.GAUGE, values)


def judged(
    observation: Observation, rule: Rule, metrics: int = 1, *, at_the_end: bool
) -> Callable[[], object]:
    """Return the judgement of so many metrics like the one given."""
    observations, rules = [observation] * metrics, [rule] * metrics
    return lambda: judge(observations, rules, DEFAULTS.standards, at_the_end=at_the_end)


def main() -> int:
    """Measure and print a table; returns 1 where judging takes too long or grows faster than its minutes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=200, metavar="N")
    rounds = parser.parse_args().rounds
    counted = DEFAULTS.metrics[0]
    green, blue = _rates(errors(MINUTES))
    scipy_call = "scipy.stats.mannwhitneyu, 60 values a side"
    one, one_at_the_end = (
        "one counted metric, 60 minutes, a look",
        "one counted metric, 60 minutes, at the end",
    )
    in_all = f"{MAX_METRICS} counted metrics, 60 minutes, a look"
    in_all_at_the_end = f"{MAX_METRICS} counted metrics, 60 minutes, at the end"
    growth = {one: MINUTES} | {
        f"one counted metric, {minutes} minutes, a look": minutes for minutes in LONGER
    }
    calls: dict[str, Callable[[], object]] = {
        scipy_call: lambda: stats.mannwhitneyu(green, blue, method="asymptotic"),
        "the same test by ranks.mann_whitney": lambda: mann_whitney(green, blue),
        "ranks.ratio_interval, 60 values a side": lambda: ratio_interval(green, blue, 0.95),
        **{name: judged(errors(minutes), counted, at_the_end=False) for name, minutes in growth.items()},
        one_at_the_end: judged(errors(MINUTES), counted, at_the_end=True),
        "one gauge, 60 minutes, a look": judged(readings(MINUTES), GAUGE, at_the_end=False),
        in_all: judged(errors(MINUTES), counted, MAX_METRICS, at_the_end=False),
        in_all_at_the_end: judged(errors(MINUTES), counted, MAX_METRICS, at_the_end=True),
    }
    taken = _measure(calls, rounds)
    quickest = {name: min(times) for name, times in taken.items()}
    print("| | quickest, ms | median, ms | / scipy's call |\n|---|---|---|---|")
    for name, times in taken.items():
        pairs = zip(times, taken[scipy_call], strict=True)
        ratio = statistics.median([ours / scipys for ours, scipys in pairs])
        print(f"| {name} | {quickest[name]:.3g} | {statistics.median(times):.3g} | {ratio:.2g} |")
    grown = {minutes: quickest[name] / quickest[one] for name, minutes in growth.items()}
    print(f"\n| minutes | {' | '.join(map(str, grown))} |\n|---|{'---|' * len(grown)}")
    print(f"| one counted metric, / that of 60 | {' | '.join(f'{times:.2g}' for times in grown.values())} |")
    modules = ("hooks.canary_comparison.evidence", "hooks.canary_comparison.judge", "numpy", "scipy.stats")
    imports = {module: _import_ms(module) for module in modules}
    print("\n| import, beyond an empty process | ms |\n|---|---|")
    for module, ms in imports.items():
        print(f"| {module} | {ms:.0f} |")
    is_linear = all(times <= 1.1 * minutes / MINUTES for minutes, times in grown.items())
    is_quick = (
        max(quickest[one], quickest[one_at_the_end]) <= MOST_MS_PER_METRIC
        and max(quickest[in_all], quickest[in_all_at_the_end]) <= MOST_MS_IN_ALL
    )
    return int(not (is_linear and is_quick))


def _measure(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Return each call's processor time in ms, round by round."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    gc.disable()
    for _ in range(rounds):
        for name, call in calls.items():
            before = time.process_time_ns()
            call()
            taken[name].append((time.process_time_ns() - before) / 1e6)
    gc.enable()
    return taken


def _import_ms(module: str) -> float:
    def took(program: str) -> float:
        before = time.perf_counter_ns()
        subprocess.run([sys.executable, "-c", program], check=True)
        return (time.perf_counter_ns() - before) / 1e6

    return statistics.median(took(f"import {module}") - took("pass") for _ in range(IMPORT_ROUNDS))


def _rates(observation: Observation) -> tuple[list[float], list[float]]:
    splits = [minute for minute in observation.minutes if isinstance(minute, Split)]
    return (
        [split.green_bad / split.green_total for split in splits],
        [split.blue_bad / split.blue_total for split in splits],
    )


if __name__ == "__main__":
    sys.exit(main())
