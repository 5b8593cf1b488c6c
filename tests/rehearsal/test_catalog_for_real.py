"""`make canary-demo`: Unicorn Watch's catalog as real processes, and nothing of it is left."""

import re
import signal
import time
from pathlib import Path

import pytest

from rehearsal.loopback.front import haproxy_program
from rehearsal.runtime.lambda_python import ROOT
from tests.rehearsal.test_load_demo import Rehearse, left, lines, rehearse  # noqa: F401  # a fixture

REAL = ROOT / "examples" / "unicorn_watch" / "real"

# It takes less than three minutes, two at once a little more.
LONGEST_SECONDS = 240


@pytest.fixture(autouse=True)
def haproxy() -> None:
    if haproxy_program() is None:
        pytest.skip("haproxy is not installed (Debian's package haproxy)")


@pytest.mark.thorough
def test_a_green_that_is_as_good_goes_on_and_one_that_real_visitors_find_worse_is_turned_back(
    rehearse: Rehearse,  # noqa: F811
    tmp_path: Path,
) -> None:
    processes = [rehearse(str(REAL / name)) for name in ("catalog-passes.yaml", "catalog-refused.yaml")]
    passed, refused = (process.communicate(timeout=LONGEST_SECONDS)[0] for process in processes)

    assert [process.returncode for process in processes] == [0, 0], passed + refused
    for printed in (passed, refused):
        assert lines(printed, "servers")[0].startswith("HAProxy at http://127.0.0.1:")
        assert "SUCCEEDED: green holds the load" in printed
        visits = lines(printed, "visitors")[-1]
        # No connection broke, neither when weights changed nor in the rollback.
        assert visits.endswith(" 0 lost"), visits
        assert "answered by catalog:41" in visits
        assert "answered by catalog:42" in visits
    assert "SUCCEEDED: green is as good as blue: errors: green 0 % of " in passed
    assert re.search(
        r"FAILED: green is worse: errors: green [12]\d(\.\d)? % of [\d,]+, blue 0 % of ", refused
    )
    assert left(tmp_path) == []


@pytest.mark.thorough
def test_ctrl_c_in_the_middle_leaves_nothing_behind(
    rehearse: Rehearse,  # noqa: F811
    tmp_path: Path,
) -> None:
    process = rehearse(str(REAL / "catalog-passes.yaml"))
    assert process.stdout is not None
    for line in process.stdout:
        if "p(95)" in line:
            break
    running = " ".join(left(tmp_path))
    for part in ("haproxy", "unicorn_watch/app catalog", "visits.py", "locust"):
        assert part in running

    process.send_signal(signal.SIGINT)

    assert process.wait(timeout=LONGEST_SECONDS) == 130
    deadline = time.monotonic() + 10
    while left(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left(tmp_path) == []
