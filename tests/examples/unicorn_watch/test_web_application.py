"""The web services of Unicorn Watch: what they answer, how they misbehave, how they end."""

import http.client
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import pytest

ROOT = Path(__file__).parents[3]
APP = ROOT / "examples" / "unicorn_watch" / "app"
DEADLINE_SECONDS = 20.0


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"unicorn_watch_{name}", APP / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look themselves up there.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


web = _module("web")
entry_point = _module("__main__")


def client(service: str, **fault: Any) -> Any:
    identity = web.Identity(service, "1.1.0", f"{service}:42")
    return web.application(identity, web.Fault(**fault)).test_client()


class Running:
    """A service as its container runs it."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", str(APP), *arguments],
            env={**os.environ, "HOST": "127.0.0.1", "PORT": "0", "REVISION": "web:7", **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        self._port: int = json.loads(self._process.stderr.readline())["port"]
        self._connections: list[http.client.HTTPConnection] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()
        with self._process:
            self._process.kill()

    def ask(self, path: str, headers: dict[str, str] | None = None) -> http.client.HTTPResponse:
        """Return an answer of which nothing has been read yet but its head."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=DEADLINE_SECONDS)
        self._connections.append(connection)
        connection.request("GET", path, headers=headers or {})
        return connection.getresponse()

    def leave(self) -> None:
        """Close all connections."""
        for connection in self._connections:
            if connection.sock is not None:
                connection.sock.shutdown(socket.SHUT_RDWR)
            connection.close()
        self._connections.clear()

    def terminate(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def end(self) -> tuple[int, list[dict[str, Any]]]:
        """Return the exit status, and all that was logged after the first line."""
        self.terminate()
        assert self._process.stderr is not None
        lines = [json.loads(line) for line in self._process.stderr]
        return self._process.wait(DEADLINE_SECONDS), lines


@pytest.mark.parametrize(
    ("service", "path", "status", "told"),
    [
        ("ui", "/frontend/", 200, {"page": "home"}),
        ("ui", "/frontend/sightings/today", 200, {"page": "sightings/today"}),
        ("ui", "/catalog/unicorns", 404, {"error": "Not Found"}),
        ("catalog", "/catalog/", 200, {"unicorns": list(web.UNICORNS)}),
        ("catalog", "/catalog/unicorns", 200, {"unicorns": list(web.UNICORNS)}),
        ("catalog", "/catalog/unicorns/7", 200, {"unicorn": "Bramble"}),
        ("catalog", "/catalog/unicorns/0", 404, {"error": "no such unicorn"}),
        ("catalog", "/catalog/unicorns/99", 404, {"error": "no such unicorn"}),
        ("catalog", "/catalog/unicorns/" + "9" * 5000, 404, {"error": "no such unicorn"}),
        ("catalog", "/catalog/unicorns/7/8", 404, {"error": "Not Found"}),
        ("streaming", "/health", 200, {}),
    ],
)
def test_every_answer_names_service_version_and_revision(
    service: str, path: str, status: int, told: dict[str, Any]
) -> None:
    answer = client(service).get(path)
    who = {"service": service, "version": "1.1.0", "revision": f"{service}:42"}
    assert (answer.status_code, answer.json) == (status, {**who, **told})
    assert (answer.headers["x-revision"], answer.headers["x-version"]) == (f"{service}:42", "1.1.0")


def test_what_changes_something_is_not_allowed() -> None:
    answer = client("catalog").post("/catalog/unicorns", data=b"x")
    assert (answer.status_code, answer.headers["x-revision"]) == (405, "catalog:42")


@pytest.mark.parametrize(("query", "segments"), [("", 10), ("?segments=3", 3), ("?segments=-1", 1)])
def test_a_stream_comes_in_segments(query: str, segments: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "SEGMENT_SECONDS", 0.0)
    answer = client("streaming").get(f"/streaming/lake{query}")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [(line["segment"], line["of"]) for line in lines] == [
        (number, segments) for number in range(1, segments + 1)
    ]
    assert {line["revision"] for line in lines} == {"streaming:42"}


@pytest.mark.parametrize(
    ("fault", "path", "statuses"),
    [
        ({"kind": "errors"}, "/catalog/unicorns", [200, 500, 200, 500]),
        ({"kind": "errors", "share": 0.25}, "/catalog/unicorns", [200, 200, 200, 500]),
        ({"kind": "errors", "path": "/catalog/unicorns/"}, "/catalog/unicorns", [200, 200, 200, 200]),
        ({"kind": "errors", "path": "/catalog/unicorns/"}, "/catalog/unicorns/7", [200, 500, 200, 500]),
        ({"kind": "poison"}, "/catalog/unicorns", [500, 500, 500, 500]),
        ({"kind": "poison"}, "/health", [200, 200, 200, 200]),
        ({"kind": "latency", "latency_seconds": 0.0}, "/catalog/unicorns", [200, 200, 200, 200]),
    ],
)
def test_a_version_misbehaves_as_it_is_told_and_stays_healthy(
    fault: dict[str, Any], path: str, statuses: list[int]
) -> None:
    asked = client("catalog", **fault)
    answers = [asked.get(path) for _ in statuses]
    assert [answer.status_code for answer in answers] == statuses
    assert {answer.headers["x-revision"] for answer in answers} == {"catalog:42"}


def test_a_slow_version_takes_that_much_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(web.gevent, "sleep", slept.append)
    asked = client("catalog", kind="latency", latency_seconds=1.5, path="/catalog/unicorns/")
    for path in ("/health", "/catalog/unicorns", "/catalog/unicorns/7"):
        assert asked.get(path).status_code == 200
    assert slept == [1.5]


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"MISBEHAVE": "sometimes"}, "MISBEHAVE is 'sometimes'; expected errors, latency, poison or nothing"),
        ({"MISBEHAVE": "errors", "ERROR_SHARE": "2"}, "ERROR_SHARE is 2; expected a share from 0 to 1"),
        ({"LATENCY_SECONDS": "-1"}, "LATENCY_SECONDS is -1; expected 0 to 3600"),
        ({"LATENCY_SECONDS": "nan"}, "LATENCY_SECONDS is nan; expected 0 to 3600"),
        ({"ERROR_SHARE": "half"}, "could not convert string to float: 'half'"),
    ],
)
def test_a_fault_that_can_not_be_meant_is_refused(
    environment: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as refused:
        web.fault()
    assert refused.value.code == said


@pytest.mark.parametrize(
    ("arguments", "given"), [([], ""), (["shop"], "shop"), (["ui", "catalog"], "ui catalog")]
)
def test_a_service_that_is_none_is_refused(
    arguments: list[str], given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SERVICE", raising=False)
    with pytest.raises(SystemExit) as refused:
        entry_point.main(arguments)
    assert refused.value.code == f"the service is {given!r}; expected ui, catalog, streaming or notifications"


def test_without_ecs_and_without_a_revision_there_is_no_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REVISION", raising=False)
    monkeypatch.delenv("ECS_CONTAINER_METADATA_URI_V4", raising=False)
    with pytest.raises(SystemExit, match="expected REVISION=FAMILY:REVISION"):
        web.revision()


def test_it_serves_logs_each_request_and_ends() -> None:
    with Running(SERVICE="catalog", VERSION="2.0.0") as running:
        answer = running.ask("/catalog/unicorns/7?secret=1", {"X-BG-Test": "green"})
        body = json.loads(answer.read())
        running.ask("/health").read()
        status, lines = running.end()
    who = {"service": "catalog", "version": "2.0.0", "revision": "web:7"}
    assert (answer.status, body) == (200, {**who, "unicorn": "Bramble"})
    request, ended = lines
    assert {key: request[key] for key in (*who, "message", "method", "path", "status", "test")} == {
        **who,
        "message": "request",
        "method": "GET",
        "path": "/catalog/unicorns/7",
        "status": 200,
        "test": True,
    }
    assert 0 <= request["seconds"] < DEADLINE_SECONDS
    assert (ended["message"], status) == ("ended", 0)


def test_a_stream_in_hand_is_finished_after_sigterm_and_a_connection_left_open_is_not_waited_for() -> None:
    with Running("streaming") as running:
        idle = running.ask("/health")
        idle.read()
        answer = running.ask("/streaming/lake?segments=8")
        first = answer.readline()
        running.terminate()
        rest = answer.read().splitlines()
        status, lines = running.end()
    assert json.loads(first)["segment"] == 1
    assert [json.loads(line)["segment"] for line in rest] == list(range(2, 9))
    assert [line["message"] for line in lines] == ["request", "ended"]
    assert status == 0


def test_a_stream_that_takes_longer_than_there_is_time_is_cut_off() -> None:
    with Running("streaming", DRAIN_SECONDS="0.1") as running:
        answer = running.ask("/streaming/lake?segments=600")
        answer.readline()
        running.terminate()
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            answer.read()
        status, lines = running.end()
    assert (status, lines[-1]["message"]) == (1, "ended with requests in hand after 0.1 s")


def test_a_client_that_leaves_takes_its_stream_with_it() -> None:
    with Running("streaming") as running:
        answer = running.ask("/streaming/lake?segments=600")
        answer.readline()
        running.leave()
        answer.close()
        status, lines = running.end()
    assert (status, [line["message"] for line in lines]) == (0, ["request", "ended"])


def test_the_readme_has_every_variable_and_no_other() -> None:
    code = "".join((APP / name).read_text() for name in ("__main__.py", "web.py", "notifications.py"))
    table = re.findall(r"^\| (`[A-Z_`, ]+`) \|", (APP / "README.md").read_text(), flags=re.MULTILINE)
    # These the library and boto3 read, and one only ECS sets.
    read = {"ACTIVATION_PARAMETER", "ACTIVATION_METRICS", "ACTIVATION_REVISION", "AWS_ENDPOINT_URL"}
    read |= set(re.findall(r'os\.environ(?:\.get\(|\[)"([A-Z_0-9]+)"', code)) - {
        "ECS_CONTAINER_METADATA_URI_V4"
    }
    assert set(re.findall(r"[A-Z_]+", " ".join(table))) == read


def test_the_image_is_made_of_what_is_there_and_runs_as_nobody() -> None:
    lines = (APP / "Dockerfile").read_text().splitlines()
    ignored = (APP / "Dockerfile.dockerignore").read_text().splitlines()
    sources = [
        source
        for line in lines
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    ]
    assert [source for source in sources if not list(ROOT.glob(source))] == []
    assert [source for source in sources if f"!{source}" not in ignored] == []
    assert "USER 65534:65534" in lines
    assert lines[-1] == 'ENTRYPOINT ["python", "/app"]'


def test_the_project_names_what_the_image_holds() -> None:
    (group,) = re.findall(r"--only-group (\S+)", (APP / "Dockerfile").read_text())
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    assert sorted(re.split("[>=]", name)[0] for name in groups[group]) == [
        "activation-gate",
        "flask",
        "gevent",
    ]
    # What tests run is what the image holds.
    assert {"include-group": group} in groups["dev"]


class Metadata(BaseHTTPRequestHandler):
    """A task metadata endpoint that fails once, and knows its task then."""

    answers: Iterator[tuple[int, bytes]]

    def do_GET(self) -> None:
        status, body = next(self.answers) if self.path == "/v4/x/task" else (404, b"")
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def endpoint() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Metadata) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v4/x"
        server.shutdown()
        thread.join()


TASK = json.dumps({"Cluster": "unicorn-watch", "Family": "catalog", "Revision": "42"}).encode()


def test_the_revision_is_read_from_the_task_metadata(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REVISION", raising=False)
    monkeypatch.setenv("ECS_CONTAINER_METADATA_URI_V4", endpoint)
    monkeypatch.setattr(Metadata, "answers", iter([(500, b""), (200, TASK)]), raising=False)
    assert web.revision() == "catalog:42"


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"no JSON", TASK + b" " * 2_000_000 + b"x"])
def test_a_revision_that_can_not_be_told_ends_the_service(
    body: bytes, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REVISION", raising=False)
    monkeypatch.setenv("ECS_CONTAINER_METADATA_URI_V4", endpoint)
    monkeypatch.setattr(web, "METADATA_ATTEMPTS", 2)
    monkeypatch.setattr(web.time, "sleep", lambda _: None)
    monkeypatch.setattr(Metadata, "answers", iter([(200, body)] * 2), raising=False)
    if body.startswith(TASK):
        # What is beyond the limit is not read.
        assert web.revision() == "catalog:42"
        return
    with pytest.raises(SystemExit, match="does not tell family and revision"):
        web.revision()
