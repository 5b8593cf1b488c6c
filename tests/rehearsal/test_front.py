"""What leads requests to blue and green: HAProxy, and this project's own router in its place."""

import http.client
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.loopback import Behaviour, Loopback, front_log
from rehearsal.loopback import front as fronts
from rehearsal.loopback.front import Front, PythonFront, Rules, front, haproxy_program
from rehearsal.loopback.front_log import LogFile, Routed, TargetMinute, by_minute
from rehearsal.loopback.haproxy import Haproxy, check, configuration

DEADLINE_SECONDS = 20.0
HEADER = ("X-BG-Test", "green")
TEST = {"x-bg-test": "green"}
RULES = Rules(header=HEADER, prefix="/catalog/", ports={"blue": 4001, "green": 4002})


def haproxy() -> str:
    found = haproxy_program()
    if found is None:
        pytest.skip("haproxy is not installed (Debian's package haproxy)")
    return found


# ---------------------------------------------------------------------- what is logged


@pytest.mark.parametrize(
    ("line", "routed"),
    [
        (
            "request 1795544882238 listener green 200 12 --",
            [Routed(1795544882238, "listener", "green", 200, 12, False)],
        ),
        (
            "request 1795544882238 listener blue 503 -1 SC",
            [Routed(1795544882238, "listener", "blue", 503, None, True)],
        ),
        (
            "request 1795544882238 listener blue -1 -1 CH",
            [Routed(1795544882238, "listener", "blue", -1, None, False)],
        ),
        # No rule led anywhere.
        ("request 1795544882238 listener listener 404 -1 LR", []),
        ("Proxy listener stopped (cumulated conns: FE: 1, BE: 0).", []),
    ],
)
def test_requests_are_read_out_of_the_log(line: str, routed: list[Routed]) -> None:
    assert list(front_log.read([line])) == routed


@pytest.mark.parametrize(
    "line", ["request", "request 1 listener blue 200 1", "request x listener blue 200 1 --"]
)
def test_a_line_that_is_cut_off_is_named(line: str) -> None:
    with pytest.raises(ValueError, match=rf"the router's log has '{line}', which is no request"):
        list(front_log.read([line]))


def test_a_log_is_read_line_by_whole_line_while_it_is_written(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log")
    with log.path.open("wb", buffering=0) as written:
        assert list(log.lines()) == []
        written.write(b"one\ntw")
        assert list(log.lines()) == ["one\n"]
        written.write(b"o\nthree\n")
        assert list(log.lines()) == ["two\n", "three\n"]
    assert list(log.lines()) == []


def test_requests_are_summed_up_by_the_minute_they_were_over_in() -> None:
    minute = 1795544880_000
    routed = [
        Routed(minute, "listener", "blue", 200, 3, False),
        Routed(minute + 1, "listener", "blue", 204, 3, False),
        Routed(minute + 59_999, "listener", "blue", 500, 4, False),
        Routed(minute + 60_000, "listener", "blue", 404, 4, False),
        Routed(minute, "listener", "green", 503, None, True),
        Routed(minute, "listener", "green", -1, None, False),
    ]
    first = datetime(2026, 11, 24, 18, 28, tzinfo=UTC)
    assert by_minute(routed) == {
        (first, "blue"): TargetMinute(by_class=Counter({2: 2, 5: 1}), response_ms=Counter({3: 2, 4: 1})),
        (first.replace(minute=29), "blue"): TargetMinute(
            by_class=Counter({4: 1}), response_ms=Counter({4: 1})
        ),
        (first, "green"): TargetMinute(refused=1, unanswered=1),
    }


@given(
    st.lists(
        st.builds(
            Routed,
            over_ms=st.integers(0, 10**7),
            listener=st.just("listener"),
            colour=st.sampled_from(["blue", "green"]),
            status=st.integers(100, 599),
            response_ms=st.none() | st.integers(0, 10**5),
            refused=st.booleans(),
        )
    )
)
def test_each_request_counts_once(routed: list[Routed]) -> None:
    assert sum(minute.requests for minute in by_minute(routed).values()) == len(routed)


# ---------------------------------------------------------------------- HAProxy's configuration


def test_haproxy_takes_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "weights.map").write_text("production 0\ntest 0\n")
    file = tmp_path / "haproxy.cfg"
    text = configuration(RULES, tmp_path, listener_port=4003, namespace_port=4004)
    file.write_text(text)
    check(haproxy(), file)
    assert "server blue 127.0.0.1:4001" in text
    assert "req.fhdr(X-BG-Test) -i -m str 'green'" in text


def test_haproxy_says_what_is_wrong_with_a_configuration(tmp_path: Path) -> None:
    file = tmp_path / "haproxy.cfg"
    file.write_text("nonsense\n")
    with pytest.raises(RuntimeError, match=r"HAProxy refuses its configuration: .*nonsense"):
        check(haproxy(), file)


@pytest.mark.parametrize(
    ("header", "prefix"),
    [
        (("X-BG-Test", "green'\n    server evil"), "/catalog/"),
        (("X BG", "green"), "/catalog/"),
        (("X-BG-Test)", "green"), "/catalog/"),
        (HEADER, "/catalog/ }\n"),
    ],
)
def test_nothing_that_could_end_a_word_stands_in_the_configuration(
    header: tuple[str, str], prefix: str, tmp_path: Path
) -> None:
    rules = Rules(header=header, prefix=prefix, ports=RULES.ports)
    with pytest.raises(ValueError, match="can't stand in HAProxy's configuration"):
        configuration(rules, tmp_path, listener_port=1, namespace_port=2)


# ---------------------------------------------------------------------- both routers


@pytest.fixture(scope="module")
def colours() -> Iterator[Loopback]:
    with Loopback(green=Behaviour(errors=0.5)) as loopback:
        yield loopback


@pytest.fixture(params=["haproxy", "python"])
def running(request: pytest.FixtureRequest, colours: Loopback) -> Iterator[Front]:
    if request.param == "haproxy":
        haproxy()
    ports = {"blue": port_of(colours.blue_url), "green": port_of(colours.green_url)}
    rules = Rules(header=HEADER, prefix="/catalog/", ports=ports)  # type: ignore[arg-type]
    with front(request.param)(rules) as opened:
        yield opened


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def logged(running: Front, number: int) -> list[Routed]:
    """Return that many requests; HAProxy logs one when its answer has been sent."""
    found = running.requests()
    deadline = time.monotonic() + DEADLINE_SECONDS
    while len(found) < number and time.monotonic() < deadline:
        time.sleep(0.005)
        found += running.requests()
    return found


class Client:
    """One connection that is kept."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_SECONDS)

    def ask(self, path: str = "/catalog/unicorns", headers: dict[str, str] | None = None) -> str:
        """Return which colour answered; none for a status that no colour gives."""
        self.connection.request("GET", path, headers=headers or {})
        answer = self.connection.getresponse()
        answer.read()
        return {"catalog:41": "blue", "catalog:42": "green", None: "none"}[answer.headers.get("x-revision")]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()


def test_path_header_and_weights_lead_to_blue_or_green(running: Front) -> None:
    answered: list[str] = []
    with Client(running.listener_port) as listener, Client(running.namespace_port) as namespace:

        def ask_all() -> str:
            each = [
                listener.ask(),
                listener.ask(headers=TEST),
                listener.ask(headers={"x-bg-test": "blue"}),
                listener.ask("/frontend/"),
                namespace.ask("/"),
                namespace.ask("/", TEST),
            ]
            answered.extend(each[:4])
            return " ".join(each)

        at_first = ask_all()
        running.move("test", 100)
        tested = ask_all()
        running.move("production", 100)
        shifted = ask_all()
        running.move("production", 0)
        running.move("test", 0)
        rolled_back = ask_all()
    assert at_first == rolled_back == "blue blue blue none blue blue"
    assert tested == "blue green blue none blue green"
    assert shifted == "green green green none green green"
    # Only what came in at the listener, and only what a rule led somewhere.
    expected = [colour for colour in answered if colour != "none"]
    led = logged(running, len(expected))
    assert [one.colour for one in led] == expected
    assert {one.listener for one in led} == {"listener"}
    assert running.requests() == []


def test_a_weight_is_a_share_of_the_requests(running: Front) -> None:
    running.move("production", 30)
    with Client(running.listener_port) as client:
        green = sum(client.ask() == "green" for _ in range(300))
    # 90 expected; HAProxy draws, with a standard deviation of 8.
    assert 42 <= green <= 138


def test_no_connection_is_dropped_while_weights_change(running: Front) -> None:
    ends = threading.Event()
    answered: Counter[str] = Counter()

    def visit() -> None:
        with Client(running.listener_port) as client:
            while not ends.is_set():
                answered[client.ask()] += 1
            kept.append(client.connection.sock is not None)

    kept: list[bool] = []
    visitors = [threading.Thread(target=visit) for _ in range(4)]
    for visitor in visitors:
        visitor.start()
    for percent in range(0, 101, 10):
        running.move("production", percent)
        time.sleep(0.02)  # some requests go by each weight
    ends.set()
    for visitor in visitors:
        visitor.join(DEADLINE_SECONDS)
    assert answered.keys() == {"blue", "green"}
    assert kept == [True] * 4
    assert Counter(one.colour for one in logged(running, answered.total())) == answered


def test_the_log_tells_targets_answers_from_targets_that_do_not_listen(
    running: Front, colours: Loopback
) -> None:
    running.move("production", 100)
    colours.behave("green", Behaviour(errors=0.5, latency_seconds=0.05))
    with Client(running.listener_port) as client:
        answers = [client.ask(), client.ask()]
    colours.behave("green", Behaviour(refuse=True))
    with Client(running.listener_port) as client:
        # The first may go out on a connection to green whose end is still on its way.
        refused = [client.ask(), client.ask()]
    colours.behave("green", Behaviour(errors=0.5))
    told = logged(running, 4)
    assert (answers, refused) == (["green", "green"], ["none", "none"])
    assert [(one.status, one.refused) for one in told[:2]] == [(200, False), (503, False)]
    assert [one.response_ms is not None and one.response_ms >= 49 for one in told] == [
        True,
        True,
        False,
        False,
    ]
    assert (told[-1].status, told[-1].refused) == (503, True)
    assert abs(told[-1].over_ms / 1000 - time.time()) < DEADLINE_SECONDS


def test_nothing_of_it_is_left(colours: Loopback) -> None:
    ports = {"blue": port_of(colours.blue_url), "green": port_of(colours.green_url)}
    rules = Rules(header=HEADER, prefix="/catalog/", ports=ports)  # type: ignore[arg-type]
    with Haproxy(haproxy(), rules) as opened:
        port, folder = opened.listener_port, opened._folder
        assert subprocess.run(["pgrep", "-f", str(folder)], capture_output=True, check=False).returncode == 0
    assert not folder.exists()
    assert subprocess.run(["pgrep", "-f", str(folder)], capture_output=True, check=False).returncode == 1
    with pytest.raises(ConnectionRefusedError), Client(port) as client:
        client.ask()


def test_without_haproxy_this_projects_own_router_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fronts, "haproxy_program", lambda: None)
    assert front() is PythonFront
    with pytest.raises(RuntimeError, match="haproxy is not installed here: apt-get install haproxy"):
        front("haproxy")


def test_haproxy_is_found_where_only_roots_path_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(shutil, "which", lambda _, path: asked.append(path))
    assert haproxy_program() is None
    assert asked[0].endswith(":/usr/sbin")
