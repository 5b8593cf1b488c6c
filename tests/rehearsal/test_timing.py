"""Virtual time is everybody's time: Python's, boto3's and moto's."""

import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rehearsal.aws.cloud import Cloud
from rehearsal.timing import EPOCH, ClockFile, RealEnvironment, VirtualEnvironment
from shared import clock


def moments(env: VirtualEnvironment, *delays: float) -> list[dict[str, datetime]]:
    """Look at every clock after each delay."""
    seen: list[dict[str, datetime]] = []

    def look() -> Any:
        for delay in delays:
            yield env.timeout(delay)
            seen.append(
                {
                    "time.time": datetime.fromtimestamp(time.time(), UTC),
                    "datetime.now": datetime.now(UTC),
                    "datetime.utcfromtimestamp": datetime.fromtimestamp(time.time_ns() / 1e9, UTC),
                    "time.gmtime": datetime(*time.gmtime()[:6], tzinfo=UTC),
                    "shared.clock": clock.now(),
                }
            )

    env.process(look())
    env.run()
    return seen


def test_virtual_time_reaches_every_clock_of_python() -> None:
    env = VirtualEnvironment()
    with env.travelling():
        seen = moments(env, 0, 10, 86_400, 0)

    for clocks, passed in zip(seen, (0, 10, 86_410, 86_410), strict=True):
        assert dict.fromkeys(clocks, EPOCH + timedelta(seconds=passed)) == clocks


def test_time_begins_at_the_same_moment_every_time() -> None:
    for _ in range(2):
        env = VirtualEnvironment()
        with env.travelling():
            assert datetime.now(UTC) == EPOCH


def test_after_the_journey_time_is_as_it_was() -> None:
    before = datetime.now(UTC)
    env = VirtualEnvironment()
    with env.travelling():
        moments(env, 10**6)

    assert timedelta(0) <= datetime.now(UTC) - before < timedelta(minutes=1)


def test_time_is_given_back_after_an_exception_too() -> None:
    env = VirtualEnvironment()
    with pytest.raises(RuntimeError), env.travelling():
        raise RuntimeError

    assert datetime.now(UTC) - EPOCH > timedelta(0) or datetime.now(UTC) < EPOCH
    assert abs(time.time() - EPOCH.timestamp()) > 1


def test_virtual_time_reaches_the_dates_of_moto() -> None:
    env = VirtualEnvironment()
    with env.travelling(), Cloud() as cloud:
        ssm = cloud.client("ssm", user="someone")
        dates = []

        def write() -> Any:
            for number in range(3):
                yield env.timeout(3600)
                ssm.put_parameter(Name="/a", Value=str(number), Type="String", Overwrite=True)
                dates.append(ssm.get_parameter(Name="/a")["Parameter"]["LastModifiedDate"])

        env.process(write())
        env.run()

    assert dates == [EPOCH + timedelta(hours=hours) for hours in (1, 2, 3)]


def test_functions_in_other_processes_read_the_time_from_a_file(tmp_path: Path) -> None:
    file = ClockFile(tmp_path / "clock")
    env = VirtualEnvironment()
    with env.travelling(file):
        assert (tmp_path / "clock").stat().st_size == 8
        moments(env, 90)
    file.close()

    import struct

    (seconds,) = struct.unpack("<d", (tmp_path / "clock").read_bytes())
    assert seconds == EPOCH.timestamp() + 90


def test_the_real_environment_begins_now_and_moves_no_clock() -> None:
    before = datetime.now(UTC)
    env = RealEnvironment()
    with env.travelling():
        assert before <= env.epoch <= datetime.now(UTC)


def test_on_the_real_clock_what_another_thread_posts_happens_at_once() -> None:
    env = RealEnvironment()
    posted = env.event()
    env.timeout(3600)
    thread = threading.Thread(target=lambda: env.post(posted.succeed))
    thread.start()

    env.run(until=posted)

    thread.join()
    assert 0 < env.now < 3600


def test_on_the_real_clock_what_its_own_thread_posts_happens_there_and_then() -> None:
    env = RealEnvironment()
    done: list[str] = []

    env.post(lambda: done.append("posted"))

    assert done == ["posted"]
