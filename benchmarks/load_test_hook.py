"""What a load test of ten minutes costs in invocations of the hook, and how long each takes.

    python -m benchmarks.load_test_hook [--build .aws-sam/build]

A rehearsed deployment on the virtual clock: the built artifact under Lambda's Runtime Interface Emulator, the
generator's agent, and between them a queue and a bucket over HTTP on this machine. AWS itself answers slower
than a moto on loopback; what is measured is the hook's own work, and how often it is called.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rehearsal.runtime import Invocation, LambdaFunction
from rehearsal.runtimes import BUILD, open_rehearsal
from rehearsal.scenario import Scenario
from rehearsal.world import Rehearsal

AT_MOST_SECONDS = 2.0
AT_MOST_INVOCATIONS = 40

SCENARIO = {
    "name": "ten minutes",
    "service": {"name": "catalog", "exposure": "service-connect", "tasks": 3},
    "strategy": {"type": "BLUE_GREEN", "bakeTimeInMinutes": 0},
    "hooks": [
        {
            "hook": "load_test",
            "stages": ["POST_TEST_TRAFFIC_SHIFT"],
            "hookDetails": {"load": [{"seconds": 60, "to": 50}, {"seconds": 540, "at": 50}]},
        }
    ],
    "actors": [{"generator": {}}],
    "expect": {"status": "SUCCESSFUL"},
}


class Timed:
    """A runtime, and how long each invocation of it took."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        self._runtime = rehearsal.runtime
        self.seconds: list[float] = []
        rehearsal.runtime = self

    def invoke(
        self, function: LambdaFunction, event: Mapping[str, Any], environment: Mapping[str, str]
    ) -> Invocation:
        """Invoke a function."""
        started = time.perf_counter()
        invocation = self._runtime.invoke(function, event, environment)
        self.seconds.append(time.perf_counter() - started)
        return invocation

    def close(self) -> None:
        """End what was started for the functions."""
        self._runtime.close()


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.load_test_hook",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--build", type=Path, default=BUILD, help="default: %(default)s")
    arguments = parser.parse_args()
    if not (arguments.build / "LoadTestFunction").is_dir():
        parser.error(f"no artifact in {arguments.build}; make it with `make build`")
    with open_rehearsal("rie", "virtual") as rehearsal:
        timed = Timed(rehearsal)
        outcome = rehearsal.run(Scenario.model_validate(SCENARIO))
    assert outcome.as_expected, outcome.checks
    first, *rest = timed.seconds
    print("| a load test of ten minutes | |\n|---|---|")
    print(f"| invocations | {len(timed.seconds)} |")
    print(f"| the first, cold | {first * 1000:.0f} ms |")
    print(f"| others, median | {statistics.median(rest) * 1000:.0f} ms |")
    print(f"| others, longest | {max(rest) * 1000:.0f} ms |")
    kept = len(timed.seconds) <= AT_MOST_INVOCATIONS and max(timed.seconds) <= AT_MOST_SECONDS
    print(f"\nat most {AT_MOST_INVOCATIONS} invocations of {AT_MOST_SECONDS:g} s: {'kept' if kept else 'no'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
