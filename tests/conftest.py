"""What all tests share: work done once for all workers, and no skipping in CI."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

# How long one example takes depends on what else the machine does, and says nothing about the code.
hypothesis.settings.register_profile("here", deadline=None)
# In CI hypothesis has none by itself, and takes the same examples each time.
if "CI" not in os.environ:
    hypothesis.settings.load_profile("here")

MakeOnce = Callable[[str, Callable[[Path], None]], Path]
"""Takes a file's or folder's name and what makes it, and returns where it is."""


@pytest.fixture(scope="session")
def make_once(tmp_path_factory: pytest.TempPathFactory) -> MakeOnce:
    """Have one worker make what takes long, while others that need it wait."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent

    def made(name: str, make: Callable[[Path], None]) -> Path:
        path = shared / name
        with (shared / f"{name}.lock").open("a+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.seek(0)
            # The file may be there without being whole, where making it failed.
            if not lock.read():
                make(path)
                lock.write("made")
        return path

    return made


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave to CI what takes long and seldom finds what quicker tests beside it do not."""
    if "CI" not in os.environ and item.get_closest_marker("thorough"):
        pytest.skip("takes long, and runs in CI alone (CI=1 make test)")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail in CI when a test skipped itself: every part is there, so the set-up is at fault."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if skipped and os.environ.get("CI") and session.exitstatus == pytest.ExitCode.OK:
        reporter.write_line(f"{len(skipped)} skipped, and CI skips nothing", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
