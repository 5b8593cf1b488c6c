import json
import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from activation_gate import ActivationGate, Metrics, RevisionError, State
from activation_gate.clock import monotonic_seconds
from botocore.exceptions import EndpointConnectionError

from tests.hooks.consumer_activation.worker.surroundings import BLUE, GREEN, NAME, Clock, Ssm, soon

HOUR = timedelta(hours=1)


@pytest.fixture
def old(ssm: Ssm) -> Ssm:
    """Parameter Store in which all has stood for an hour."""
    ssm.written_earlier_by = HOUR
    return ssm


def gate(ssm: Ssm, monotonic: Callable[[], float], **given: Any) -> ActivationGate:
    return ActivationGate(NAME, **({"revision": GREEN, "client": ssm, "monotonic": monotonic} | given))


def active(revision: str | None, **given: Any) -> State:
    return State(epoch=5, active=revision, **given)


def test_one_read_opens_the_gate_of_the_active_revision(old: Ssm, clock: Clock) -> None:
    old.write(active(GREEN))
    found = gate(old, clock)
    assert (found.is_open, found.epoch, found.lease_age, found.state) == (False, None, None, None)
    found.read_once()
    clock.now += 4
    assert (found.is_open, found.remaining(), found.epoch, found.lease_age) == (True, 11, 5, 4)


@pytest.mark.parametrize(
    ("state", "random", "pause"),
    [
        (active(GREEN), 0.5, 5.0),
        (active(GREEN), 0.0, 4.5),
        (active(GREEN), 1.0, 5.5),
        (active(BLUE, read_seconds=60, lease_seconds=300), 0.5, 60.0),
        (active(GREEN, read_seconds=8, lease_seconds=15), 0.5, 5.0),
    ],
)
def test_the_next_read_is_due_when_the_state_says_give_or_take_a_tenth(
    old: Ssm, clock: Clock, state: State, random: float, pause: float
) -> None:
    old.write(state)
    assert gate(old, clock, random=lambda: random).read_once() == pytest.approx(pause)


def test_reading_seldom_for_so_short_a_lease_is_warned_of_once(
    old: Ssm, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    old.write(active(GREEN, read_seconds=8))
    found = gate(old, clock)
    found.read_once()
    found.read_once()
    assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == [
        "readSeconds 8 is more than half of leaseSeconds 15; reading every 5.0 s"
    ]


def test_failed_reads_are_borne_until_the_lease_ends_and_logged_once(
    old: Ssm, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    old.write(active(GREEN))
    found = gate(old, clock, random=lambda: 0.5)
    found.read_once()
    caplog.clear()
    old.fails_with = EndpointConnectionError(endpoint_url="https://ssm")
    opened = []
    for _ in range(3):
        clock.now += 5
        assert found.read_once() == 5
        opened.append(found.is_open)
    assert opened == [True, True, False]
    old.fails_with = None
    found.read_once()
    assert [record.message for record in caplog.records] == [
        f'GetParameter of {NAME} failed: Could not connect to the endpoint URL: "https://ssm"; '
        "open for another 10.0 s unless a read succeeds",
        f"revision {GREEN} may no longer receive",
        f"{NAME} can be read again, after 3 failures",
        f"revision {GREEN} may receive",
    ]


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([], f"{NAME}: nobody is active, there is no value"),
        (
            ["?"],
            f"{NAME}: nobody is active, version 1 is garbage: not JSON: Expecting value: line 1 column 1",
        ),
        ([active(GREEN, version=9)], f"{NAME}: nobody is active, there is no valid version"),
        ([active(BLUE, version=1)], f"{NAME}: version 1 says that {BLUE} is active"),
        ([active(None)], f"{NAME}: version 1 says that nobody is active"),
        (
            [active(BLUE, version=1), active(GREEN, version=1)],
            f"{NAME}: version 1 says that {BLUE} is active",
        ),
    ],
)
def test_why_the_gate_is_closed_is_logged_once(
    old: Ssm, clock: Clock, values: list[State | str], line: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for value in values:
        old.write(value)
    found = gate(old, clock)
    found.read_once()
    found.read_once()
    assert not found.is_open
    assert sum(record.message.startswith(line) for record in caplog.records) == 1


def test_an_answer_from_a_replica_that_lags_behind_is_not_believed(old: Ssm, clock: Clock) -> None:
    old.write(active(BLUE))
    old.write(active(GREEN))
    found = gate(old, clock)
    found.read_once()
    newest = old.client.get_parameter
    old.client.get_parameter = lambda **_: newest(Name=f"{NAME}:1")
    clock.now += 5
    found.read_once()
    assert (found.state, found.remaining()) == (active(GREEN), 10)


def test_subscribers_hear_how_it_is_and_of_each_change(old: Ssm, clock: Clock) -> None:
    heard: list[bool] = []
    found = gate(old, clock)
    end = found.subscribe(heard.append)
    old.write(active(GREEN))
    found.read_once()
    found.read_once()
    old.write(active(None))
    found.read_once()
    end()
    end()
    old.write(active(GREEN))
    clock.now += 60
    found.read_once()
    assert heard == [False, True, False]


def test_a_subscriber_that_fails_harms_no_other(
    old: Ssm, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(is_open: object) -> None:
        raise KeyError(is_open)

    heard: list[bool] = []
    old.write(active(GREEN))
    found = gate(old, clock)
    found.subscribe(fail)
    found.subscribe(heard.append)
    found.read_once()
    assert heard == [False, True]
    assert sum("failed when it was told" in record.message for record in caplog.records) == 2


def test_metrics_are_written_once_a_read(old: Ssm, clock: Clock) -> None:
    lines = StringIO()
    old.write(active(GREEN))
    found = gate(old, clock, metrics=Metrics("notifications", revision=GREEN, stream=lines, clock=clock))
    found.read_once()
    clock.now += 1
    old.write(active(None))
    found.read_once()
    written = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [(line["Service"], line["Active"], line["LeaseAgeSeconds"]) for line in written] == [
        ("notifications", 1, 0),
        ("notifications", 0, 0),
    ]


def test_in_its_context_the_gate_opens_by_itself_and_closes_for_good(old: Ssm) -> None:
    heard: list[bool] = []
    old.write(active(GREEN))
    found = gate(old, monotonic_seconds)
    found.subscribe(heard.append)
    with found:
        assert found.wait(60)
        assert found.is_started
    assert (found.is_open, found.wait(60), heard) == (False, False, [False, True, False])
    assert [
        thread.name for thread in threading.enumerate() if thread.name.startswith("activation-gate")
    ] == []


def test_a_gate_is_started_once(old: Ssm) -> None:
    found = gate(old, monotonic_seconds)
    with found, pytest.raises(RuntimeError, match="started already"):
        found.start()


def test_waiting_for_a_gate_that_stays_closed_ends(old: Ssm) -> None:
    old.write(active(BLUE))
    with gate(old, monotonic_seconds) as found:
        assert found.wait(0.01) is False


def test_the_end_of_a_lease_is_announced_though_the_read_hangs(old: Ssm) -> None:
    """Kafka's consumer would go on otherwise until the read is given up."""
    old.write(active(GREEN, lease_seconds=1, read_seconds=1))
    heard: list[bool] = []
    released = threading.Event()
    whole = old.client.get_parameter

    def hang(**given: Any) -> Any:
        if len(old.asked) > 1:
            released.wait(60)
        return whole(**given)

    old.client.get_parameter = hang
    with gate(old, monotonic_seconds) as found:
        found.subscribe(heard.append)
        soon(lambda: heard[-2:] == [True, False])
        released.set()


def test_quiet_that_ends_between_two_reads_opens_the_gate(ssm: Ssm) -> None:
    ssm.write(active(GREEN, lease_seconds=1, read_lag_seconds=0, read_seconds=3600))
    ssm.without_date = True
    with gate(ssm, monotonic_seconds, random=lambda: 1.0) as found:
        soon(lambda: ssm.asked)
        assert found.wait(60)


def test_a_reader_that_meets_the_unexpected_reads_on(
    old: Ssm, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("activation_gate.gate.DEFAULT_READ_SECONDS", 0.01)
    old.write(active(GREEN))
    old.fails_with = ArithmeticError("unheard of")
    with gate(old, monotonic_seconds) as found:
        soon(lambda: len(old.asked) > 2)
        assert not found.is_open
        old.fails_with = None
        assert found.wait(60)
    assert "failed unexpectedly" in caplog.text


def test_the_environment_sets_a_gate_up(monkeypatch: pytest.MonkeyPatch, ssm: Ssm) -> None:
    monkeypatch.setenv("ACTIVATION_PARAMETER", NAME)
    monkeypatch.setenv("ACTIVATION_REVISION", GREEN)
    assert ActivationGate.from_environment().metrics is None
    monkeypatch.setenv("ACTIVATION_METRICS", "notifications")
    found = ActivationGate.from_environment()
    assert found.metrics
    assert (found.parameter.name, found.revision, found.metrics.service) == (NAME, GREEN, "notifications")


def test_without_a_parameter_there_is_no_gate() -> None:
    with pytest.raises(ValueError, match=r"ACTIVATION_PARAMETER is not set; expected the parameter's name"):
        ActivationGate.from_environment()


def test_a_revision_that_cannot_be_found_out_is_told_at_the_start(ssm: Ssm) -> None:
    found = ActivationGate(NAME, client=ssm)  # type: ignore[arg-type]
    with pytest.raises(RevisionError, match="set ACTIVATION_REVISION"):
        found.start()
    assert not found.is_started


def test_metrics_learn_the_revision_that_was_found_out(old: Ssm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTIVATION_REVISION", GREEN)
    metrics = Metrics("notifications", stream=StringIO())
    with ActivationGate(NAME, client=old, metrics=metrics):  # type: ignore[arg-type]
        assert metrics.revision == GREEN


def test_the_clock_goes_on_while_the_machine_sleeps_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import time

    monkeypatch.setattr(time, "CLOCK_BOOTTIME", 7, raising=False)
    monkeypatch.setattr(time, "clock_gettime", lambda number: {7: 12.5}[number])
    monkeypatch.setattr(time, "monotonic", lambda: 3.5)
    assert monotonic_seconds() == 12.5
    monkeypatch.delattr(time, "CLOCK_BOOTTIME")
    assert monotonic_seconds() == 3.5
