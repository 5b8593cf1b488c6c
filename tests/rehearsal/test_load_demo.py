"""`make load-demo`: a real Locust loads real servers, and nothing of it is left."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rehearsal import cli
from rehearsal.runtime.lambda_python import ROOT

DEMO = ROOT / "examples" / "load_demo"

# A run takes half a minute of it; a machine that does other things as well has the rest.
LONGEST_SECONDS = 150


Rehearse = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def rehearse(tmp_path: Path) -> Iterator[Rehearse]:
    """Start a rehearsal whose processes are known by their folder for temporary files."""
    started: list[subprocess.Popen[str]] = []

    def start(scenario: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "rehearsal", "--clock", "real", str(DEMO / scenario)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with process:
            process.kill()


def left(folder: Path) -> list[str]:
    """Return the command lines of processes that have *folder* for their temporary files."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"TMPDIR={folder}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # it has ended, or is somebody else's
    return found


def lines(printed: str, who: str) -> list[str]:
    return [line.split(f" {who}: ", 1)[1] for line in printed.splitlines() if f" {who}: " in line]


@pytest.mark.thorough
def test_a_real_locust_lets_one_green_pass_and_turns_another_back(rehearse: Rehearse, tmp_path: Path) -> None:
    processes = [rehearse("pass.yaml"), rehearse("refuse.yaml")]
    passed, refused = (process.communicate(timeout=LONGEST_SECONDS)[0] for process in processes)

    assert [process.returncode for process in processes] == [0, 0], passed + refused
    for printed in (passed, refused):
        told = lines(printed, "generator")
        assert told[0] == "run 1: 9 s, up to 60 requests a second"
        assert any("green" in line and "p(95)" in line for line in told)
        assert "run 1: finished" in told
    assert "SUCCEEDED: green holds the load" in passed
    assert "FAILED: green fails the load test: p(95) <= 1.5 x blue + 50ms: green 25" in refused
    assert left(tmp_path) == []


@pytest.mark.thorough
def test_ctrl_c_in_the_middle_of_a_run_leaves_nothing_behind(rehearse: Rehearse, tmp_path: Path) -> None:
    process = rehearse("pass.yaml")
    assert process.stdout is not None
    for line in process.stdout:
        if "p(95)" in line:
            break
    assert any("locust" in command for command in left(tmp_path))

    process.send_signal(signal.SIGINT)

    assert process.wait(timeout=LONGEST_SECONDS) == 130
    deadline = time.monotonic() + 10
    while left(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left(tmp_path) == []


def test_on_the_virtual_clock_it_is_said_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.main([str(DEMO / "pass.yaml")])

    assert code == cli.UNUSABLE
    assert capsys.readouterr().err == (
        "rehearse: pass: the servers actor's processes are real, and so must the clock be: --clock real\n"
    )
