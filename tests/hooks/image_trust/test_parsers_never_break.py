"""Whatever bytes come in, only the error tree's own exceptions leave, soon and in little memory."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hooks.image_trust.fuzzing import SEEDS, TARGETS

PROGRAM = Path(__file__).with_name("fuzzing.py")
# Short, so that all of them take less than half a minute of one core; `make fuzz` goes on for longer.
SECONDS = int(os.environ.get("FUZZ_SECONDS", "1"))


def test_every_target_begins_from_something() -> None:
    assert {name for name in TARGETS if any(SEEDS[name]())} == TARGETS.keys() == SEEDS.keys()


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_never_breaks(name: str, tmp_path: Path) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris is not here; it comes for Linux on x86_64")

    run = subprocess.run(
        [sys.executable, str(PROGRAM), name, f"-max_total_time={SECONDS}", "-seed=1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (run.returncode, run.stdout[-2000:]) == (0, ""), run.stderr[-5000:]
    # The parser was really run, and often.
    done = re.search(r"stat::number_of_executed_units:\s+(\d+)", run.stderr)
    assert done is not None
    assert int(done[1]) > 100
