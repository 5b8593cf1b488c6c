"""Write week.csv: five made-up deployments of a service, of which two were bad.

::

    python examples/canary_backtest/generate.py > examples/canary_backtest/week.csv
"""

import csv
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

SEED = 7
MINUTES = 20
GREEN_SHARE = 0.1
ERRORS = 0.004
SLOW = 0.05
P95_MILLISECONDS = 180.0
HEADER = ("run", "time", "metric", "green_bad", "green_total", "blue_bad", "blue_total", "green", "blue")


@dataclass(frozen=True, slots=True)
class Deployment:
    """One day's release: how many times worse green is, from a minute on."""

    name: str
    day: int
    requests: int
    errors: float = 1.0
    slow: float = 1.0
    since: int = 0


WEEK = (
    Deployment("monday", 2, 6000),
    Deployment("tuesday", 3, 6000, errors=6.0, since=8),
    Deployment("wednesday", 4, 6000),
    Deployment("thursday", 5, 6000, slow=3.0),
    Deployment("friday night", 6, 40),
)


def rows(deployment: Deployment, rng: random.Random) -> Iterator[tuple[object, ...]]:
    """Yield the rows of one deployment, metric by metric in each minute."""
    start = datetime(2026, 3, deployment.day, 12, 0, tzinfo=UTC)
    for minute in range(MINUTES):
        at = f"{start + timedelta(minutes=minute):%Y-%m-%dT%H:%MZ}"
        worse = minute >= deployment.since
        green = round(deployment.requests * GREEN_SHARE * rng.uniform(0.95, 1.05))
        blue = round(deployment.requests * (1 - GREEN_SHARE) * rng.uniform(0.95, 1.05))
        # A busy minute is as bad for both.
        alike = rng.uniform(0.8, 1.25)
        for metric, share, ratio in (
            ("errors", ERRORS * alike, deployment.errors),
            ("connectionErrors", 0.0, 1.0),
            ("slow", SLOW * alike, deployment.slow),
        ):
            bad = rng.binomialvariate(green, share * ratio if worse else share)
            counts = (bad, green, rng.binomialvariate(blue, share), blue)
            # What was never counted is left empty.
            known = deployment.name != "wednesday" or minute not in {5, 6}
            yield deployment.name, at, metric, *(counts if known else ("",) * 4), "", ""
        p95 = P95_MILLISECONDS * alike
        slower = deployment.slow**0.5 if worse else 1.0
        of_green, of_blue = p95 * slower * rng.uniform(0.93, 1.07), p95 * rng.uniform(0.98, 1.02)
        yield deployment.name, at, "latency", "", "", "", "", f"{of_green:.1f}", f"{of_blue:.1f}"


def main() -> None:
    """Write the week to standard output."""
    rng = random.Random(SEED)  # noqa: S311  # equal seeds, equal weeks
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(HEADER)
    for deployment in WEEK:
        writer.writerows(rows(deployment, rng))


if __name__ == "__main__":
    main()
