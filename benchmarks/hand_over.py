"""How long two revisions work beside each other when a queue changes hands, and how long nobody does.

    python -m benchmarks.hand_over [--runs 100]

Whole rehearsed deployments of a headless service with two tasks a revision: the hook of the template and
the worker library in every task, at their defaults, on virtual time. AWS's sample is simulated from its own
constants (``benchmarks.aws_sample``). Both have the same load: *busy* is 1.8 messages a minute of 60 s each,
nine tenths of what two tasks can do one message at a time; *idle* is none.
"""

import argparse
import random
import statistics
import sys
from collections.abc import Sequence

from benchmarks.aws_sample import overlap_seconds
from rehearsal.runtimes import open_rehearsal
from rehearsal.scenario import Scenario

TASKS = 2
BUSY_MESSAGES_PER_MINUTE = 1.8
HANDLING_SECONDS = 60.0

IDLE_GAP_MEDIAN_SECONDS = 20.0


def scenario(scale_up: int, messages_per_minute: float) -> Scenario:
    """Return a deployment at whose end green has the queue."""
    return Scenario.model_validate(
        {
            "name": "hand-over",
            "description": "green takes the queue over",
            "service": {"exposure": "headless", "tasks": TASKS, "scaleUp": f"{scale_up}s"},
            "strategy": {"type": "BLUE_GREEN", "bakeTimeInMinutes": 0},
            "hooks": [
                {
                    "hook": "consumer_activation",
                    "stages": ["PRE_SCALE_UP", "PRODUCTION_TRAFFIC_SHIFT"],
                    "hookDetails": {"queue": "orders", "monitorMinutes": 0},
                }
            ],
            "actors": [
                {"queue": {"messagesPerMinute": messages_per_minute}},
                {"workers": {"handling": HANDLING_SECONDS}},
            ],
            "expect": {"status": "SUCCESSFUL", "consumes": "green", "lost": 0, "handledTwice": 0},
        }
    )


def ours(runs: int, rate: float) -> tuple[list[float], list[float]]:
    """Return the seconds of overlap and the longest gap of each run."""
    overlaps, gaps = [], []
    with open_rehearsal("in-process", "virtual") as rehearsal:
        for seed in range(runs):
            # The longer it runs before, the less it matters how it began.
            scale_up = 600 + random.Random(seed).randrange(600)  # noqa: S311  # not for secrets
            outcome = rehearsal.run(scenario(scale_up, rate), seed=seed)
            assert outcome.as_expected, [check for check in outcome.checks if not check.held]
            assert outcome.consumption is not None
            overlaps.append(outcome.consumption.overlap_seconds)
            gaps.append(outcome.consumption.longest_gap_seconds)
    return overlaps, gaps


def sample(runs: int) -> list[float]:
    """Return the seconds of overlap of each run of AWS's sample."""
    return [
        overlap_seconds(
            seed,
            tasks=TASKS,
            messages_per_minute=BUSY_MESSAGES_PER_MINUTE,
            handling_seconds=HANDLING_SECONDS,
            shift_at=7200 + random.Random(seed).uniform(0, 3600),  # noqa: S311  # not for secrets
        )
        for seed in range(runs)
    ]


def main() -> int:
    """Measure and print one line each; returns 1 when there was an overlap or the gap is too long."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=100, metavar="N")
    options = parser.parse_args()
    idle_overlaps, idle_gaps = ours(options.runs, 0)
    busy_overlaps, busy_gaps = ours(options.runs, BUSY_MESSAGES_PER_MINUTE)
    _print("overlap, AWS's sample, busy", sample(options.runs))
    _print("overlap, this hook, busy", busy_overlaps)
    _print("overlap, this hook, idle", idle_overlaps)
    _print("nobody at the queue, this hook, busy", busy_gaps)
    _print("nobody at the queue, this hook, idle", idle_gaps)
    too_long = statistics.median(idle_gaps) >= IDLE_GAP_MEDIAN_SECONDS
    return int(any(idle_overlaps) or any(busy_overlaps) or too_long)


def _print(what: str, seconds: Sequence[float]) -> None:
    p95 = statistics.quantiles(seconds, n=20)[18]
    print(
        f"{what:38} median {statistics.median(seconds):4.0f} s, "
        f"95th percentile {p95:4.0f} s, longest {max(seconds):4.0f} s ({len(seconds)} runs)"
    )


if __name__ == "__main__":
    sys.exit(main())
