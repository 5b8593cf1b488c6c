"""Blue, green and the router as real processes on this machine."""

import contextlib
import http.client
import itertools
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pytest

from rehearsal.loopback import MAX_HEAD_BYTES, Behaviour, Loopback

GREEN = {"x-release": "green"}
DEADLINE_SECONDS = 20.0


class Answer(NamedTuple):
    status: int
    revision: str | None
    body: bytes


class Client:
    """One connection that is kept."""

    def __init__(self, url: str) -> None:
        self.connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=DEADLINE_SECONDS)

    def ask(
        self,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        path: str = "/items",
        body: str | None = None,
    ) -> Answer:
        self.connection.request(method, path, body, dict(headers or {}))
        answer = self.connection.getresponse()
        return Answer(answer.status, answer.headers.get("x-revision"), answer.read())


@contextlib.contextmanager
def connected(url: str) -> Iterator[Client]:
    client = Client(url)
    try:
        yield client
    finally:
        client.connection.close()


def exchange(url: str, payload: bytes) -> bytes:
    """Send bytes on a connection and return all that comes back until the other side closes it."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), DEADLINE_SECONDS) as connection:
        connection.sendall(payload)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.fixture(scope="module")
def plain() -> Iterator[Loopback]:
    """Blue and green as they are; no test changes them."""
    with Loopback() as loopback:
        yield loopback


@pytest.mark.parametrize(
    ("headers", "revision"),
    [
        ({}, "catalog:41"),
        ({"x-release": "green"}, "catalog:42"),
        ({"X-Release": "green"}, "catalog:42"),
        ({"x-release": "greener"}, "catalog:41"),
        ({"x-other": "green"}, "catalog:41"),
    ],
)
def test_the_test_header_leads_to_green_and_everything_else_to_blue(
    plain: Loopback, headers: dict[str, str], revision: str
) -> None:
    with connected(plain.url) as client:
        assert client.ask(headers) == (200, revision, b"." * 16)


def test_a_header_without_a_value_leads_to_green_with_any() -> None:
    with Loopback(header=("x-amzn-ecs-blue-green-test", None)) as loopback, connected(loopback.url) as client:
        answers = [client.ask({"x-amzn-ecs-blue-green-test": "1"}), client.ask(GREEN)]
    assert [answer.revision for answer in answers] == ["catalog:42", "catalog:41"]


def test_each_colour_is_reached_at_its_own_address_too(plain: Loopback) -> None:
    with connected(plain.blue_url) as blue, connected(plain.green_url) as green:
        assert (blue.ask(GREEN).revision, green.ask().revision) == ("catalog:41", "catalog:42")


def test_methods_bodies_and_paths_arrive_and_are_answered(plain: Loopback) -> None:
    with connected(plain.url) as client:
        answers = [
            client.ask(GREEN, "POST", "/items?page=2", body="x" * 100_000),
            client.ask(GREEN, "HEAD", "/head"),
            client.ask(GREEN),
        ]
    assert [answer.body for answer in answers] == [b"." * 16, b"", b"." * 16]
    assert [(entry.method, entry.path) for entry in plain.log("green")[-3:]] == [
        ("POST", "/items?page=2"),
        ("HEAD", "/head"),
        ("GET", "/items"),
    ]


def test_requests_sent_at_once_on_one_connection_are_answered_in_their_order(plain: Loopback) -> None:
    one = b"GET / HTTP/1.1\r\nhost: a\r\n%b\r\n\r\n"
    payload = one % b"x-release: green" + one % b"x: y" + one % b"connection: close"
    lines = exchange(plain.url, payload).split(b"\r\n")
    revisions = [line for line in lines if line.startswith(b"x-revision")]
    assert revisions == [b"x-revision: catalog:42", b"x-revision: catalog:41", b"x-revision: catalog:41"]


@pytest.mark.parametrize(
    ("payload", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /a b HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\ncontent-length: 99999999999999\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * MAX_HEAD_BYTES, 413),
    ],
)
def test_what_is_no_request_or_too_long_is_refused(plain: Loopback, payload: bytes, status: int) -> None:
    assert exchange(plain.url, payload).split(b" ")[1] == str(status).encode()


def test_the_access_log_tells_when_requests_came_and_when_they_were_answered() -> None:
    before = time.monotonic()
    with Loopback(green=Behaviour(latency_seconds=0.05)) as loopback, connected(loopback.url) as client:
        client.ask(GREEN)
        client.ask()
        after = time.monotonic()
        (green,) = loopback.log("green")
        (blue,) = loopback.log("blue")
    assert (green[2:], blue[2:]) == ((200, True, "GET", "/items"), (200, False, "GET", "/items"))
    assert (
        before
        < green.arrived
        < green.arrived + 0.05
        <= green.answered
        < blue.arrived
        <= blue.answered
        < after
    )


def test_errors_and_slow_answers_are_spread_evenly_and_the_same_each_time() -> None:
    behaviour = Behaviour(errors=0.25, slow=(0.1, 0.03))
    with Loopback() as loopback, connected(loopback.url) as client:
        runs = []
        for _ in range(2):
            loopback.behave("green", behaviour)
            runs.append([client.ask(GREEN).status for _ in range(20)])
        seconds = [entry.answered - entry.arrived for entry in loopback.log("green")[-20:]]
    assert runs == [[200, 200, 200, 503] * 5] * 2
    assert [number for number, taken in enumerate(seconds, 1) if taken >= 0.03] == [10, 20]


@pytest.mark.parametrize(
    ("behaviour", "revisions"),
    [
        (Behaviour(revision="v7"), ["v7"] * 4),
        (Behaviour(marker=False), [None] * 4),
        (Behaviour(wrong_revision=0.5), ["catalog:42", "catalog:40"] * 2),
    ],
)
def test_the_marker_says_what_it_is_told_to(behaviour: Behaviour, revisions: list[str | None]) -> None:
    with Loopback(green=behaviour) as loopback, connected(loopback.url) as client:
        assert [client.ask(GREEN).revision for _ in range(4)] == revisions


def test_nothing_is_answered_during_a_stall() -> None:
    with Loopback() as loopback, connected(loopback.green_url) as client:
        loopback.behave("green", Behaviour(stall=(0.2, 0.4)))
        # No later than the server, which begins to count before it says that it has.
        began = time.monotonic()
        while time.monotonic() < began + 1.2:
            client.ask()
        log = loopback.log("green")
    gaps = [later.answered - one.answered for one, later in itertools.pairwise(log)]
    stalled = [entry for entry in log if entry.answered - entry.arrived > 0.1]
    assert len(stalled) >= 2
    assert sum(gap > 0.15 for gap in gaps) == len(stalled)


def test_a_connection_that_its_colour_closes_is_not_closed_to_the_client() -> None:
    with Loopback(green=Behaviour(keep_alive=False)) as loopback, connected(loopback.url) as client:
        assert client.ask(GREEN).status == 200
        kept = client.connection.sock
        assert client.ask(GREEN).status == 200
        assert client.connection.sock is kept


def test_a_colour_that_refuses_is_unavailable_through_the_router_until_it_takes_connections_again() -> None:
    with Loopback() as loopback, connected(loopback.url) as client:
        before = client.ask(GREEN)
        loopback.behave("green", Behaviour(refuse=True))
        refused = client.ask(GREEN)
        with pytest.raises(ConnectionRefusedError), connected(loopback.green_url) as direct:
            direct.ask()
        blue = client.ask()
        loopback.behave("green", Behaviour())
        after = client.ask(GREEN)
    assert [one.status for one in (before, refused, blue, after)] == [200, 503, 200, 200]
    assert refused.revision is None
    assert b"upstream connect error" in refused.body


def test_a_request_that_waits_for_a_colour_that_is_killed_is_answered_with_503() -> None:
    with Loopback(green=Behaviour(latency_seconds=600)) as loopback, connected(loopback.url) as client:
        client.connection.request("GET", "/", headers=GREEN)
        time.sleep(0.05)  # most often it has arrived by then; refused or cut off, the answer is 503
        loopback.kill("green")
        assert client.connection.getresponse().status == 503


def test_the_log_outlives_a_colour_that_is_killed_and_goes_on_where_it_is_started_again() -> None:
    with Loopback() as loopback, connected(loopback.url) as client:
        client.ask(GREEN, path="/1")
        loopback.kill("green")
        address = loopback.green_url
        client.ask(GREEN, path="/2")
        loopback.start("green")
        client.ask(GREEN, path="/3")
        assert loopback.green_url == address
        assert [entry.path for entry in loopback.log("green")] == ["/1", "/3"]


def test_production_weights_split_what_has_no_test_header() -> None:
    with Loopback(green_weight=25) as loopback, connected(loopback.url) as client:
        split = Counter(client.ask().revision for _ in range(40))
        loopback.weigh(100)
        shifted = Counter(client.ask().revision for _ in range(40))
    assert (split, shifted) == ({"catalog:41": 30, "catalog:42": 10}, {"catalog:42": 40})


def test_a_client_that_leaves_takes_its_request_with_it() -> None:
    with Loopback(green=Behaviour(latency_seconds=0.5)) as loopback:
        with connected(loopback.url) as client:
            client.connection.request("GET", "/left", headers=GREEN)
        with connected(loopback.url) as client:
            client.ask(GREEN, path="/stayed")
        assert [entry.path for entry in loopback.log("green")] == ["/stayed"]


def test_nothing_listens_any_more_after_the_context() -> None:
    with Loopback() as loopback:
        urls = [loopback.url, loopback.blue_url, loopback.green_url]
    for url in urls:
        with pytest.raises(ConnectionRefusedError):
            exchange(url, b"")


def wait_for_the_end_of(url: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    with contextlib.suppress(ConnectionError):
        while exchange(url, b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n"):
            assert time.monotonic() < deadline, f"{url} goes on listening"
            time.sleep(0.01)


@pytest.mark.parametrize("end", ["terminate", "kill"])
def test_by_hand_it_tells_its_addresses_and_all_of_it_ends_with_it(end: str) -> None:
    command = [sys.executable, "-m", "rehearsal.loopback", "--green-errors", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ}) as process:
        try:
            assert process.stdout is not None
            urls = dict(process.stdout.readline().split() for _ in range(3))
            with connected(urls["router"]) as client:
                assert (client.ask().status, client.ask(GREEN).status) == (200, 503)
        finally:
            getattr(process, end)()
    assert (process.returncode == 0) == (end == "terminate")
    for url in urls.values():
        wait_for_the_end_of(url)
