"""How often a healthy green is refused, and how soon a worse one: this hook beside other judges.

    python -m benchmarks.canary_statistics [--runs 1000]

All judges see the same simulated deployments of 30 minutes (``tests/hooks/canary_comparison/traffic_model``
says how they are made; each is drawn from what is simulated and its number as the seed). Minutes are minutes
of traffic: CloudWatch's lag comes on top, for everyone.

- *hook*: the judge that ships, at the defaults of its settings, one look a minute and the last at the end;
  it sees errors, failed connections (there are none) and slow requests.
- *Kayenta*: NetflixACAJudge-v1.0 as written anew here, on the error rate and the 95th percentile of latency
  of each minute, a group each, only increases being worse; any of both that is High fails. Once at the end,
  at its defaults and with ``allowedIncrease`` 1.1; *every minute* is with 1.1, from the fifth minute on: with
  fewer its 98 % can't be reached.
- *Argo*: an analysis each minute that fails where more than 1 % of green's requests failed, and
  ``failureLimit`` 0. Of a minute that is missing it says nothing.
- *Flagger*: each minute a check that fails where more than 1 % of green's requests failed, or their 99th
  percentile is above 250 ms (a healthy one is 202 ms); ``threshold`` 5. For a minute that is missing the last
  value stands.

The others skip no first minutes, as they don't unless they are told.
"""

import argparse
import math
import random
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

from hooks.canary_comparison import kayenta
from hooks.canary_comparison.judge import Verdict, judge
from hooks.canary_comparison.rules import rules_of
from hooks.canary_comparison.settings import CanarySettings
from tests.hooks.canary_comparison.traffic_model import (
    Minute,
    Traffic,
    observed,
    percentile,
    refused_at,
    simulate,
)

MINUTES = 30
CHUNK = 50
PROGRESS_EVERY = 100
DEFAULTS = rules_of(CanarySettings())
STANDARDS = DEFAULTS.standards
UNACCEPTABLE = DEFAULTS.metrics[0].tolerated * STANDARDS.unacceptable

KAYENTA_PASS, KAYENTA_MARGINAL = 95, 75
KAYENTA_FROM = 5
MOST_ERRORS = 0.01
FLAGGER_P99_SECONDS = 0.25
FLAGGER_THRESHOLD = 5

HOOK, NO_WARM_UP = "hook", "hook, warmUpMinutes 0"
JUDGES = (HOOK, "Kayenta", "Kayenta 1.1", "Kayenta 1.1 every minute", "Argo", "Flagger")

Refusals = dict[str, int | None]
"""By judge: the minute in which it refused."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table."""

    label: str
    traffic: Traffic
    by: int = MINUTES
    """The last minute that counts."""


@dataclass(frozen=True, slots=True)
class Table:
    """One question."""

    title: str
    rows: tuple[Row, ...]
    judges: tuple[str, ...] = JUDGES
    with_minute: bool = True
    """Whether the median minute is shown."""


def _at(volumes: Sequence[int], label: str, traffic: Traffic) -> list[Row]:
    return [Row(f"{label}, {volume:,}", replace(traffic, requests=volume)) for volume in volumes]


ANY = Traffic(requests=0)
VOLUMES = (600, 6_000, 60_000)
# 5 % of 1,000 requests, in calm weather.
FEW = Traffic(
    requests=1_000, share=0.05, errors=0.005, common_noise=0, trends=False, latency_offset=0, latency_wander=0
)

TABLES = (
    Table(
        "Healthy greens refused, % (requests a minute of both; a tenth on green)",
        (
            *_at(VOLUMES, "as usual, 0.1 % errors", ANY),
            *_at(VOLUMES, "1 % errors", replace(ANY, errors=0.01)),
            *_at(VOLUMES, "latency differs for good, sd 5 %", replace(ANY, latency_offset=0.05)),
            *_at(VOLUMES, "cold start, 1 % more errors at first", replace(ANY, cold=0.01)),
            *_at(VOLUMES, "three times the common noise", replace(ANY, common_noise=3)),
            *_at(VOLUMES, "15 % of minutes missing", replace(ANY, missing=0.15)),
        ),
        with_minute=False,
    ),
    Table(
        "50 requests a minute on green, 950 on blue, 0.5 % errors: refused, %",
        (
            Row("healthy", FEW),
            Row("5 times the errors, by minute 15", replace(FEW, error_ratio=5), by=15),
            Row("5 times the errors, by minute 30", replace(FEW, error_ratio=5)),
            Row("10 times the errors, by minute 15", replace(FEW, error_ratio=10), by=15),
        ),
        (HOOK, NO_WARM_UP, *JUDGES[1:]),
        with_minute=False,
    ),
    Table(
        "More errors: refused, % / median minute (0.1 % on blue)",
        (
            *_at(VOLUMES, "half of green's requests fail", replace(ANY, failing=0.5)),
            *_at(VOLUMES, "10 times", replace(ANY, error_ratio=10)),
            *_at(VOLUMES, "3 times", replace(ANY, error_ratio=3)),
            *_at(VOLUMES, "2 times", replace(ANY, error_ratio=2)),
            *_at(VOLUMES[1:], "10 times from minute 10 on", replace(ANY, error_ratio=10, worse_from=10)),
            *_at(VOLUMES[1:], "3 times from minute 10 on", replace(ANY, error_ratio=3, worse_from=10)),
        ),
    ),
    Table(
        "More latency: refused, % / median minute",
        (
            *_at(VOLUMES, "+20 %", replace(ANY, latency_ratio=1.2)),
            *_at(VOLUMES, "+30 %", replace(ANY, latency_ratio=1.3)),
            *_at(VOLUMES, "+50 %", replace(ANY, latency_ratio=1.5)),
            *_at(VOLUMES[1:2], "+50 % from minute 10 on", replace(ANY, latency_ratio=1.5, worse_from=10)),
        ),
    ),
    Table(
        "Healthy, but noisier than is foreseen: refused, %",
        (
            Row(
                "green's latency differs for good, sd 10 %, 60,000",
                Traffic(requests=60_000, latency_offset=0.1),
            ),
            Row("each one's latency wanders, sd 10 %, 6,000", Traffic(requests=6_000, latency_wander=0.1)),
            Row("each one's latency wanders, sd 10 %, 60,000", Traffic(requests=60_000, latency_wander=0.1)),
            Row("each one's errors scatter, sd 50 %, 60,000", Traffic(requests=60_000, error_scatter=0.5)),
            Row("each one's errors scatter, sd 100 %, 60,000", Traffic(requests=60_000, error_scatter=1.0)),
        ),
        with_minute=False,
    ),
)

TAKEN_FOR_GOOD = (
    *_at(VOLUMES, "healthy, 0.1 % errors", ANY),
    *_at(VOLUMES, "healthy, 1 % errors", replace(ANY, errors=0.01)),
    *_at(VOLUMES, f"unacceptable: {UNACCEPTABLE:g} times the errors", replace(ANY, error_ratio=UNACCEPTABLE)),
)


def refusals(traffic: Traffic, number: int) -> Refusals:
    """Return when each judge refuses one deployment."""
    rng = random.Random(f"{traffic} {number}")  # noqa: S311  not for secrets
    minutes = simulate(traffic, rng)
    seen = observed(minutes)
    series = _Series(minutes, rng)
    at_the_end, tolerant, every_minute = series.kayenta()
    return {
        HOOK: refused_at(judge(seen, DEFAULTS.metrics, STANDARDS, at_the_end=True)),
        NO_WARM_UP: refused_at(judge(seen, DEFAULTS.metrics, replace(STANDARDS, warm_up=0), at_the_end=True)),
        "Kayenta": at_the_end,
        "Kayenta 1.1": tolerant,
        "Kayenta 1.1 every minute": every_minute,
        "Argo": series.argo(),
        "Flagger": series.flagger(),
    }


class _Series:
    """What judges see that take one value a minute; NaN where it is missing."""

    def __init__(self, minutes: Sequence[Minute], rng: random.Random) -> None:
        sides = [(m.green, m.blue) if m.is_known else None for m in minutes]
        self._errors = [
            [math.nan if pair is None else pair[side].errors / pair[side].requests for pair in sides]
            for side in (0, 1)
        ]
        self._p95 = [
            [math.nan if pair is None else percentile(pair[side], 95, rng) or math.nan for pair in sides]
            for side in (0, 1)
        ]
        self._p99 = [math.nan if pair is None else percentile(pair[0], 99, rng) or math.nan for pair in sides]

    def kayenta(self) -> tuple[int | None, int | None, int | None]:
        """Return when it refuses: at the end, so with 1.1, and with 1.1 asked every minute."""
        last = len(self._p99)
        every = (minute for minute in range(KAYENTA_FROM, last + 1) if self._kayenta_fails(minute, 1.1))
        return (
            last if self._kayenta_fails(last, None) else None,
            last if self._kayenta_fails(last, 1.1) else None,
            next(every, None),
        )

    def _kayenta_fails(self, minutes: int, allowed_increase: float | None) -> bool:
        metrics = [
            kayenta.KayentaMetric(
                name=name,
                experiment=green[:minutes],
                control=blue[:minutes],
                direction="increase",
                groups=(name,),
                allowed_increase=allowed_increase,
            )
            for name, (green, blue) in (("errors", self._errors), ("latency", self._p95))
        ]
        return kayenta.judge(metrics, KAYENTA_PASS, KAYENTA_MARGINAL).classification == "Fail"

    def argo(self) -> int | None:
        return next((n for n, share in enumerate(self._errors[0], 1) if share > MOST_ERRORS), None)

    def flagger(self) -> int | None:
        failed = 0
        share = p99 = 0.0
        for number, (errors, seconds) in enumerate(zip(self._errors[0], self._p99, strict=True), 1):
            share, p99 = (share, p99) if math.isnan(errors) else (errors, seconds)
            failed += share > MOST_ERRORS or p99 > FLAGGER_P99_SECONDS
            if failed == FLAGGER_THRESHOLD:
                return number
        return None


def good_at(traffic: Traffic, number: int) -> int | None:
    """Return the minute in which this hook takes green for good, as far as it has not refused it before."""
    deployment = simulate(traffic, random.Random(f"{traffic} {number}"))  # noqa: S311  not for secrets
    for minutes in range(DEFAULTS.minimum_minutes, MINUTES + 1):
        seen = observed(deployment[:minutes])
        verdict = judge(seen, DEFAULTS.metrics, STANDARDS, at_the_end=False).verdict
        if verdict in {Verdict.GOOD, Verdict.WORSE}:
            return minutes if verdict is Verdict.GOOD else None
    return None


def _chunk(task: tuple[Traffic, int, int, bool]) -> tuple[Traffic, bool, list[Refusals]]:
    traffic, first, last, is_good = task
    numbers = range(first, last)
    if is_good:
        return traffic, is_good, [{HOOK: good_at(traffic, number)} for number in numbers]
    return traffic, is_good, [refusals(traffic, number) for number in numbers]


def main() -> int:
    """Print the tables; returns 1 where a healthy green is refused too often in the first of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=1000, metavar="N", help="deployments of each line")
    runs = parser.parse_args().runs
    # Looking for what is good costs a judgement a minute, where refusals cost one.
    runs_for_good = max(runs // 5, 1)
    # Two lines may be about the same deployments.
    compared = dict.fromkeys(row.traffic for table in TABLES for row in table.rows)
    wanted = [(traffic, runs, False) for traffic in compared]
    wanted += [(row.traffic, runs_for_good, True) for row in TAKEN_FOR_GOOD]
    tasks = [
        (traffic, first, min(first + CHUNK, count), is_good)
        for traffic, count, is_good in wanted
        for first in range(0, count, CHUNK)
    ]
    found: defaultdict[tuple[Traffic, bool], list[Refusals]] = defaultdict(list)
    with ProcessPoolExecutor() as pool:
        for number, (traffic, is_good, results) in enumerate(pool.map(_chunk, tasks), 1):
            found[traffic, is_good] += results
            if number % PROGRESS_EVERY == 0:
                print(f"{number} of {len(tasks)} parts", file=sys.stderr, flush=True)
    for table in TABLES:
        _print(table, {row: found[row.traffic, False] for row in table.rows})
    _print_good({row: found[row.traffic, True] for row in TAKEN_FOR_GOOD})
    refused = [
        sum(run[HOOK] is not None for run in found[row.traffic, False]) / runs for row in TABLES[0].rows
    ]
    return int(max(refused) > STANDARDS.false_alarm_rate)


def _print(table: Table, found: dict[Row, list[Refusals]]) -> None:
    runs = len(next(iter(found.values())))
    print(f"\n{table.title} ({runs:,} deployments a line)\n")
    print(f"| | {' | '.join(table.judges)} |")
    print(f"|---|{'---|' * len(table.judges)}")
    for row, results in found.items():
        cells = [
            _cell([run[judge] for run in results], row.by, with_minute=table.with_minute)
            for judge in table.judges
        ]
        print(f"| {row.label} | {' | '.join(cells)} |")


def _print_good(found: dict[Row, list[Refusals]]) -> None:
    runs = len(next(iter(found.values())))
    print(f"\nTaken for good by this hook, looking every minute ({runs:,} deployments a line)\n")
    print("| | by minute 10, % | by minute 30, % / median minute |\n|---|---|---|")
    for row, results in found.items():
        minutes = [run[HOOK] for run in results]
        print(f"| {row.label} | {_cell(minutes, 10, with_minute=False)} | {_cell(minutes, MINUTES)} |")


def _cell(minutes: Sequence[int | None], by: int, *, with_minute: bool = True) -> str:
    reached = [minute for minute in minutes if minute is not None and minute <= by]
    percent = _percent(len(reached), len(minutes))
    return f"{percent} / {statistics.median_low(reached)}" if reached and with_minute else percent


def _percent(count: int, of: int) -> str:
    """Return the share so that neither none nor all is what it says where it is not."""
    share = 100 * count / of
    digits = 2 if 0 < share < 1 or 99 < share < 100 else 1 if 1 <= share < 10 else 0
    return f"{share:.{digits}f}"


if __name__ == "__main__":
    sys.exit(main())
