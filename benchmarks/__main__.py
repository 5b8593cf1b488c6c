"""``make benchmark``: everything that is measured, one after the other."""

import subprocess
import sys

MODULES = (
    "benchmarks.rehearsal",
    "benchmarks.cold_start",
    "benchmarks.console",
    "benchmarks.image_trust",
    "benchmarks.hand_over",
    "benchmarks.consumer_throughput",
    "benchmarks.canary_speed",
    "benchmarks.canary_statistics",
    "benchmarks.load_generator",
    "benchmarks.load_test_hook",
)

sys.exit(max([subprocess.run([sys.executable, "-m", module], check=False).returncode for module in MODULES]))
