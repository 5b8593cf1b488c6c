"""The driver for Locust against a server that answers as Locusts do, and as others do in their place."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs

import pytest
import urllib3
from botocore.exceptions import ClientError

from hooks.load_test.decision import Attempt
from hooks.load_test.drivers import locust
from hooks.load_test.drivers.locust import SECRET_VARIABLE, URL_VARIABLE, LocustDriver
from hooks.load_test.measurement import MAX_BYTES
from shared.errors import HookError, Misconfigured, Transient
from tests.hooks.load_test.runs import NAME, RUN, arm, measured, snapshot, steady, written
from tests.shared.checkout import START

SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:locust-AbCdEf"
TOKEN = "s3cr3t/+=~" * 4
LEASE = timedelta(seconds=90)
JOB = {"run": RUN, "service": "shop/checkout"}
HEALTH = ("GET", "/load/health")
HEALTHY = json.dumps({"version": "1", "workers": 3, "state": "ready", "run": None})


@dataclass
class Locust:
    """A server, what it answers by method and path, and what it was asked."""

    url: str = ""
    answers: dict[tuple[str, str], tuple[int, Mapping[str, str], bytes]] = field(default_factory=dict)
    asked: list[tuple[str, str, Mapping[str, str], str]] = field(default_factory=list)
    hangs: bool = False
    may_go: threading.Event = field(default_factory=threading.Event)

    def answer(self, method: str, path: str, text: str | bytes, status: int = 200, **headers: str) -> None:
        body = text.encode() if isinstance(text, str) else text
        self.answers[method, path] = (status, {"Content-Type": "application/json", **headers}, body)

    def driver(self, seconds: float = 5) -> LocustDriver:
        return LocustDriver(self.url, SECRET, urllib3.PoolManager(timeout=seconds, retries=False))

    @property
    def calls(self) -> list[tuple[str, str]]:
        return [(method, path) for method, path, _, _ in self.asked]

    def sent(self, number: int) -> Any:
        """Return what came with a request: the fields of a form, or JSON."""
        _, _, headers, body = self.asked[number]
        return json.loads(body) if headers["Content-Type"] == "application/json" else parse_qs(body)


class Handler(BaseHTTPRequestHandler):
    locust: Locust

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self.locust.asked.append((self.command, self.path, dict(self.headers), body))
        if self.locust.hangs:
            self.locust.may_go.wait(30)
        status, headers, text = self.locust.answers.get((self.command, self.path), (404, {}, b"Not Found"))
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(text))}.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(text)

    do_POST = do_GET  # noqa: N815 - as http.server spells it

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving() -> Iterator[Locust]:
    served = Locust()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"locust": served}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield served
    finally:
        served.may_go.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def server() -> Iterator[Locust]:
    with serving() as served:
        served.answer(*HEALTH, HEALTHY)
        yield served


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What Secrets Manager holds; an exception is raised."""
    held: dict[str, Any] = {"SecretString": TOKEN}

    def get_secret_value(*, SecretId: str) -> Any:  # noqa: N803 - as AWS spells it
        assert SecretId == SECRET
        if "error" in held:
            raise held["error"]
        return held

    asked = SimpleNamespace(get_secret_value=get_secret_value)
    monkeypatch.setattr(locust, "client", {"secretsmanager": asked}.__getitem__)
    return held


# ------------------------------------------------------------------------------------ as it should be


def test_a_run_is_started_with_a_user_for_each_worker_and_gets_its_lease(server: Locust) -> None:
    server.answer("POST", "/swarm", '{"success": true, "message": "Swarming started"}')
    server.answer("POST", f"/load/runs/{RUN}/lease", "{}")

    server.driver().start(JOB, START, LEASE)

    assert server.calls == [HEALTH, ("POST", "/swarm"), ("POST", f"/load/runs/{RUN}/lease")]
    swarm = server.sent(1)
    assert (swarm["user_count"], swarm["spawn_rate"]) == (["3"], ["3"])
    assert json.loads(swarm["load_job"][0]) == JOB
    assert server.sent(2) == {"seconds": 90}
    assert {headers["Authorization"] for _, _, headers, _ in server.asked} == {f"Bearer {TOKEN}"}
    assert {headers["Accept"] for _, _, headers, _ in server.asked} == {"application/json"}


def test_runs_are_polled_by_name_and_those_that_locust_does_not_know_are_none(server: Locust) -> None:
    run = snapshot(arm(steady(200)), arm(steady(40)), elapsed_seconds=61.25)
    server.answer("GET", f"/load/runs/{RUN}", written(run))

    assert server.driver().poll([RUN, f"{NAME}-2"], START) == (
        Attempt(
            run=RUN,
            asked_at=START - timedelta(seconds=61.25),
            measured=measured(arm(steady(200)), arm(steady(40)), elapsed_seconds=61.25),
        ),
    )
    assert server.calls == [("GET", f"/load/runs/{RUN}"), ("GET", f"/load/runs/{NAME}-2")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"<html>Locust auth exception</html>", "not JSON: "),
        (written(snapshot(run="another-1")).encode(), "it is about run 'another-1'"),
        (b"\xff" * 100, "not JSON: "),
        (b" " * (MAX_BYTES + 100), f"more than {MAX_BYTES} bytes"),
    ],
)
def test_what_is_no_measurement_of_the_run_is_told_as_unreadable(
    server: Locust, text: bytes, said: str
) -> None:
    server.answer("GET", f"/load/runs/{RUN}", text)

    (found,) = server.driver().poll([RUN], START)
    assert found == Attempt(run=RUN, asked_at=START, unreadable=found.unreadable)
    assert found.unreadable.startswith(said)


def test_a_run_is_kept_and_stopped_by_name(server: Locust) -> None:
    server.answer("POST", f"/load/runs/{RUN}/lease", "{}")
    server.answer("POST", f"/load/runs/{RUN}/stop", "{}")
    driver = server.driver()

    driver.keep(RUN, START, timedelta(seconds=900))
    driver.stop(RUN, "green fails the load test: p(95) < 1s & more" + "x" * 999, START)

    assert server.calls == [("POST", f"/load/runs/{RUN}/lease"), ("POST", f"/load/runs/{RUN}/stop")]
    assert server.sent(0) == {"seconds": 900}
    reason = server.sent(1)["reason"]
    assert (reason[:44], len(reason)) == ("green fails the load test: p(95) < 1s & more", 500)


def test_a_run_that_locust_does_not_know_need_not_be_stopped(server: Locust) -> None:
    server.driver().stop(RUN, "why", START)

    assert server.calls == [("POST", f"/load/runs/{RUN}/stop")]


def test_a_run_that_locust_knows_no_more_can_t_be_kept_but_may_be_found_gone(server: Locust) -> None:
    with pytest.raises(Transient, match="Locust knows the run no more; has its master been replaced"):
        server.driver().keep(RUN, START, LEASE)


# ------------------------------------------------------------------------------------ as it is too


@pytest.mark.parametrize("workers", ['"none"', "0", "null", "[]", "-1"])
def test_without_workers_nothing_is_started(server: Locust, workers: str) -> None:
    server.answer(*HEALTH, f'{{"workers": {workers}}}')
    server.answer("POST", "/swarm", '{"success": true}')

    with pytest.raises(Transient, match="Locust has no workers yet"):
        server.driver().start(JOB, START, LEASE)
    assert server.calls == [HEALTH]


def test_a_locust_without_workers_is_not_healthy_yet(server: Locust) -> None:
    server.driver().health()
    server.answer(*HEALTH, '{"workers": 0}')
    with pytest.raises(Transient, match="Locust has no workers yet"):
        server.driver().health()


@pytest.mark.parametrize(
    "answer", ['{"success": false, "message": "user_count"}', '{"success": "true"}', "{}"]
)
def test_a_start_that_is_answered_with_200_and_no_success_is_none(server: Locust, answer: str) -> None:
    server.answer("POST", "/swarm", answer)

    with pytest.raises(Transient, match="Locust does not start: "):
        server.driver().start(JOB, START, LEASE)
    assert server.calls == [HEALTH, ("POST", "/swarm")]


@pytest.mark.parametrize(
    ("status", "text", "kind", "said"),
    [
        (
            200,
            "<html>Locust auth exception</html>",
            Misconfigured,
            "does not answer in JSON: '<html>Locust auth",
        ),
        (200, "", Misconfigured, "does not answer in JSON: ''"),
        (200, "[1]", Misconfigured, "expected an object, got an array of 1"),
        (200, '{"a":' * 100_000, Misconfigured, "does not answer in JSON"),
        (200, '{"a": "' + "x" * (MAX_BYTES + 100) + '"}', Misconfigured, "does not answer in JSON"),
        (204, "", Misconfigured, "does not answer in JSON"),
        (400, '{"message": "no job"}', Misconfigured, ": 400 "),
        (401, "", Misconfigured, f"does not take the token in {SECRET}: 401"),
        (403, "", Misconfigured, f"does not take the token in {SECRET}: 403"),
        (404, "Not Found", Misconfigured, "is it a Locust with the load generator's locustfile?"),
        (405, "", Misconfigured, ": 405 "),
        (409, "another run is under way", Transient, ": 409 'another run is under way'"),
        (423, "", Transient, ": 423 "),
        (429, "", Transient, ": 429 "),
        (500, "Traceback", Transient, ": 500 'Traceback'"),
        (502, "", Transient, ": 502 "),
        (503, "", Transient, ": 503 "),
    ],
)
def test_each_answer_is_of_one_kind_of_error(
    server: Locust, status: int, text: str, kind: type[HookError], said: str
) -> None:
    server.answer(*HEALTH, text, status)

    with pytest.raises(kind) as caught:
        server.driver().health()
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{server.url}/load/health")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_so_that_the_token_goes_nowhere_else(server: Locust, status: int) -> None:
    with serving() as elsewhere:
        elsewhere.answer(*HEALTH, HEALTHY)
        server.answer(*HEALTH, "", status, Location=f"{elsewhere.url}/load/health")

        with pytest.raises(Misconfigured, match=f": {status} "):
            server.driver().health()
        assert elsewhere.asked == []
    assert server.calls == [HEALTH]


def test_nobody_there_may_be_somebody_soon() -> None:
    with socket.socket() as bound:
        # Bound, so that nobody else takes the port, and not listening.
        bound.bind(("127.0.0.1", 0))
        driver = LocustDriver(f"http://127.0.0.1:{bound.getsockname()[1]}", SECRET)
        for call in (driver.health, lambda: driver.poll([RUN], START), lambda: driver.stop(RUN, "", START)):
            with pytest.raises(Transient, match="NewConnectionError"):
                call()


def test_an_answer_that_does_not_come_is_not_waited_for_for_long(server: Locust) -> None:
    server.hangs = True

    with pytest.raises(Transient, match="ReadTimeoutError"):
        server.driver(seconds=0.05).health()


# ------------------------------------------------------------------------------------ the token


@pytest.mark.parametrize("text", [TOKEN, json.dumps({"token": TOKEN, "user": "hook"})])
def test_the_secret_is_the_token_or_has_it(server: Locust, secret: dict[str, Any], text: str) -> None:
    secret["SecretString"] = text
    driver = server.driver()

    driver.health()
    del secret["SecretString"]
    driver.health()
    assert [headers["Authorization"] for _, _, headers, _ in server.asked] == [f"Bearer {TOKEN}"] * 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{}",
        '{"password": "hunter2hunter2"}',
        '{"token": null}',
        '{"token": ["hunter2hunter2"]}',
        '{"token": "hunter2 hunter2"}',
        '{"token":' * 20_000,
        "hunter2hunter2\n",
        "hunter2\r\nx-evil: hunter2",
        "hunter2größer",
        "hunter2" * 1000,
    ],
)
def test_a_secret_that_has_no_token_is_named_and_not_shown(
    server: Locust, secret: dict[str, Any], text: str
) -> None:
    secret["SecretString"] = text

    with pytest.raises(Misconfigured) as caught:
        server.driver().health()
    assert str(caught.value) == f'{SECRET}: expected the token, or {{"token": "..."}}'
    assert server.asked == []


def test_a_binary_secret_has_no_token_either(server: Locust, secret: dict[str, Any]) -> None:
    del secret["SecretString"]
    secret["SecretBinary"] = b"hunter2"

    with pytest.raises(Misconfigured, match="expected the token"):
        server.driver().health()


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        (
            "AccessDeniedException",
            Misconfigured,
            "the function's role may not secretsmanager:GetSecretValue on",
        ),
        ("ResourceNotFoundException", Misconfigured, "ResourceNotFoundException"),
        ("ThrottlingException", Transient, "ThrottlingException"),
    ],
)
def test_a_secret_that_can_t_be_read_is_an_error_of_its_kind(
    server: Locust, secret: dict[str, Any], code: str, kind: type[HookError], said: str
) -> None:
    secret["error"] = ClientError({"Error": {"Code": code, "Message": "no"}}, "GetSecretValue")

    with pytest.raises(kind, match=said):
        server.driver().health()


@pytest.mark.parametrize("status", [200, 302, 400, 404, 409, 500])
def test_a_page_that_shows_the_request_gives_the_token_to_no_error_and_no_log(
    server: Locust, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    page = f"Authorization: Bearer {TOKEN} and again {TOKEN}"
    for method, path in (
        HEALTH,
        ("POST", "/swarm"),
        ("GET", f"/load/runs/{RUN}"),
        ("POST", f"/load/runs/{RUN}/stop"),
    ):
        server.answer(method, path, page, status)
    driver = server.driver()
    told: list[str] = []
    for call in (
        driver.health,
        lambda: driver.start(JOB, START, LEASE),
        lambda: driver.keep(RUN, START, LEASE),
        lambda: driver.stop(RUN, "why", START),
        lambda: driver.poll([RUN], START),
    ):
        try:
            told.append(repr(call()))
        except HookError as error:
            told += [str(error), repr(error.__cause__)]
    server.answer(*HEALTH, HEALTHY)
    server.answer("POST", "/swarm", json.dumps({"success": False, "message": page}))
    with pytest.raises(Transient) as caught:
        driver.start(JOB, START, LEASE)

    told += [str(caught.value), caplog.text]
    assert "***" in "".join(told)
    assert [text for text in told if TOKEN[:12] in text] == []


# ------------------------------------------------------------------------------------ its environment


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8089",
        "https://locust.shop:8443",
        "https://locust.internal/",
        "https://locust.internal/load-tests/v1",
    ],
)
def test_the_environment_names_the_master_and_the_secret(url: str) -> None:
    driver = LocustDriver.of({URL_VARIABLE: url, SECRET_VARIABLE: SECRET})

    assert (driver._url, driver._secret) == (url.rstrip("/"), SECRET)


@pytest.mark.parametrize(
    ("url", "arn"),
    [
        ("", SECRET),
        ("https://locust:8089", ""),
        ("http://locust:8089", SECRET),
        ("http://127.0.0.1.example.com", SECRET),
        ("locust:8089", SECRET),
        ("ftp://locust", SECRET),
        ("https://user:password@locust", SECRET),
        ("https://locust/?a=b", SECRET),
        ("https://locust:8089\n", SECRET),
        ("https://locust:\N{ARABIC-INDIC DIGIT EIGHT}", SECRET),
    ],
)
def test_an_environment_that_does_not_is_refused(url: str, arn: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        LocustDriver.of({URL_VARIABLE: url, SECRET_VARIABLE: arn})
    assert str(caught.value).startswith(
        "the function's environment variables LOCUST_URL and LOCUST_TOKEN_SECRET_ARN"
    )
