"""How long rehearsals take, and whether many runs are the same and stay small.

    python -m benchmarks.rehearsal [--repeat 1000] [--real]

Whole processes, as a user starts them, set-up (`uv sync`) aside. Of single deployments also the time
without the start of the process, most of which goes into importing moto.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rehearsal.runtimes import open_rehearsal
from rehearsal.scenario import Scenario

REAL = Path("examples", "unicorn_watch", "real")

LINEAR_AT_ONCE = """\
description: 3 % steps with bakes of 24 hours, a hook at every stage that answers at once
strategy: {type: LINEAR, stepPercent: 3, stepBakeTimeInMinutes: 1440}
hooks:
  - hook: scripted
    stages: [RECONCILE_SERVICE, PRE_SCALE_UP, POST_SCALE_UP, TEST_TRAFFIC_SHIFT, POST_TEST_TRAFFIC_SHIFT,
             PRE_PRODUCTION_TRAFFIC_SHIFT, PRODUCTION_TRAFFIC_SHIFT, POST_PRODUCTION_TRAFFIC_SHIFT]
    replies: [{hookStatus: SUCCEEDED}]
expect: {status: SUCCESSFUL}
"""
LINEAR_APPROVED = """\
description: the same with an approval at each step, decided after ten minutes
strategy: {type: LINEAR, stepPercent: 3, stepBakeTimeInMinutes: 1440}
hooks:
  - hook: manual_approval
    stages: [PRE_PRODUCTION_TRAFFIC_SHIFT]
actors:
  - approver: {each: true, after: 10m}
expect: {status: SUCCESSFUL}
"""
UNDECIDED = """\
description: nobody decides for a whole day
hooks:
  - hook: manual_approval
    stages: [POST_TEST_TRAFFIC_SHIFT]
    hookDetails: {expiresAfterMinutes: 1439}
expect: {status: ROLLBACK_SUCCESSFUL}
"""


def main() -> int:
    """Measure and print one line each; returns 1 when a bound is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=1000, metavar="N")
    parser.add_argument("--real", action="store_true", help="Unicorn Watch on the real clock as well")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        held = [
            measured("the tour", [], 30),
            measured("every built-in scenario", ["--all"], 30),
            alone("LINEAR 3 %, 24-hour bakes, hooks at every stage", LINEAR_AT_ONCE, 2, folder),
            alone("LINEAR 3 %, an approval at each step", LINEAR_APPROVED, 10, folder),
            measured(
                f"--repeat {options.repeat}, with an approval",
                ["approved", "--repeat", str(options.repeat)],
                120,
            ),
            same(folder),
            polls(folder),
        ]
    if options.real:
        held += [
            measured(f"{file.stem}, on the real clock", ["--clock", "real", str(file)], 180)
            for file in sorted(REAL.glob("*.yaml"))
        ]
    return 0 if all(held) else 1


def scenario(folder: str, text: str) -> str:
    file = Path(folder) / f"{abs(hash(text))}.yaml"
    file.write_text(text)
    return str(file)


def measured(name: str, arguments: list[str], at_most: float) -> bool:
    """Run `rehearse`, print how long it took, and tell whether it ended well and in time."""
    started = time.perf_counter()
    code = rehearse(arguments)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    held = code == 0 and seconds <= at_most
    missed = "" if held else "  MISSED"
    print(f"{name}: {seconds:.1f} s (at most {at_most} s), largest process so far {peak:.0f} MB{missed}")
    return held


def alone(name: str, text: str, at_most: float, folder: str) -> bool:
    """Run one deployment in a rehearsal that is open already, and as a process of its own."""
    file = scenario(folder, text)
    with open_rehearsal("in-process", "virtual") as rehearsal:
        started = time.perf_counter()
        outcome = rehearsal.run(Scenario.read(file))
        seconds = time.perf_counter() - started
    started = time.perf_counter()
    code = rehearse([file])
    whole = time.perf_counter() - started
    held = outcome.as_expected and code == 0 and seconds <= at_most
    missed = "" if held else "  MISSED"
    print(
        f"{name}: {outcome.duration_seconds / 86400:.1f} virtual days, {len(outcome.calls)} calls: "
        f"{seconds:.1f} s (at most {at_most} s); as a process of its own {whole:.1f} s{missed}"
    )
    return held


def same(folder: str) -> bool:
    """Run the tour twice with one seed and compare every byte."""
    files = [Path(folder) / f"{run}.json" for run in ("one", "other")]
    for file in files:
        rehearse(["--seed", "7", "--json", str(file)])
    equal = files[0].read_bytes() == files[1].read_bytes()
    verdict = "the same" if equal else "NOT the same"
    print(f"the tour twice with one seed: {verdict} {files[0].stat().st_size} bytes")
    return equal


def polls(folder: str) -> bool:
    """Count how often a hook is called that waits for a whole day."""
    file = Path(folder) / "polls.json"
    rehearse([scenario(folder, UNDECIDED), "--json", str(file)])
    (outcome,) = json.loads(file.read_text())
    calls = [one for one in outcome["happenings"] if one["kind"] == "call"]
    delays = [one["callback_seconds"] for one in calls if one["callback_seconds"]]
    first_hour = max(
        delay for one, delay in zip(calls, delays, strict=False) if one["at"] - calls[0]["at"] < 3600
    )
    held = len(calls) <= 600 and first_hour <= 30 and max(delays) <= 180
    print(
        f"a day without a decision: {len(calls)} calls (at most 600; ECS's default delay makes 2,880), "
        f"longest delay {first_hour} s in the first hour (at most 30), {max(delays)} s later (at most 180)"
    )
    return held


def rehearse(arguments: list[str]) -> int:
    command = [sys.executable, "-m", "rehearsal", *arguments]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    return subprocess.run(command, stdout=subprocess.DEVNULL, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
