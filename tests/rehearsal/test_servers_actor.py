"""The actors that are real processes: what may be said of them, what they publish, what visitors count."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import pytest

from rehearsal import cli
from rehearsal.actors import actor_of
from rehearsal.actors.servers import Answers, Servers
from rehearsal.actors.visitors import told
from rehearsal.aws import target_group_metrics
from rehearsal.loopback import Behaviour, Loopback, visits
from rehearsal.loopback.applications import Application
from rehearsal.loopback.child import Child
from rehearsal.loopback.front import Front
from rehearsal.loopback.front_log import Routed
from rehearsal.loopback.part import Part
from rehearsal.loopback.program import Colour
from rehearsal.scenario import Scenario
from rehearsal.world import Rehearsal, World
from tests.rehearsal.test_traffic import BLUE, GREEN, series

DEADLINE_SECONDS = 20.0


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"green": {"misbehave": "poison"}}, "green.misbehave does not belong to servers without app"),
        ({"blue": {"path": "/x"}}, "blue.path does not belong to servers without app"),
        ({"router": "python"}, "router does not belong to servers without app"),
        ({"publishedAfter": "5s"}, "publishedAfter does not belong to servers without app"),
        ({"app": "catalog", "green": {"slow": [0.1, 1]}}, "green.slow does not belong to servers with app"),
        ({"app": "catalog", "green": {"errors": 0.5}}, "green: misbehave is missing; it says what is wrong"),
        ({"app": "streaming"}, "Input should be 'ui' or 'catalog'"),
    ],
)
def test_what_does_not_belong_together_is_refused(said: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        actor_of({"servers": said})


@pytest.mark.parametrize(
    ("said", "environment"),
    [
        ({}, {}),
        ({"misbehave": "poison"}, {"MISBEHAVE": "poison", "MISBEHAVE_PATH": "/"}),
        (
            {"misbehave": "errors", "errors": 0.25, "path": "/catalog/unicorns/"},
            {"MISBEHAVE": "errors", "MISBEHAVE_PATH": "/catalog/unicorns/", "ERROR_SHARE": "0.25"},
        ),
        (
            {"misbehave": "latency", "latency": 2},
            {"MISBEHAVE": "latency", "MISBEHAVE_PATH": "/", "LATENCY_SECONDS": "2"},
        ),
    ],
)
def test_a_fault_is_the_applications_environment(said: dict[str, Any], environment: dict[str, str]) -> None:
    assert Answers.model_validate(said).fault() == environment


@pytest.mark.parametrize(
    ("actors", "exposure", "problem"),
    [
        ("[visitors: {}]", "alb", "there is no servers actor with app to visit"),
        (
            "[servers: {app: catalog}]",
            "service-connect",
            "servers with app stand behind an Application Load Balancer; the service's exposure is "
            "service-connect",
        ),
    ],
)
def test_servers_and_visitors_that_can_not_be_are_said_in_a_line(
    actors: str, exposure: str, problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(f"service: {{exposure: {exposure}}}\nactors: {actors}\nexpect: {{status: SUCCESSFUL}}\n")
    assert cli.main(["--clock", "real", str(file)]) == cli.UNUSABLE
    assert capsys.readouterr().err == f"rehearse: wrong: {problem}\n"


def test_a_router_that_is_not_installed_is_said_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rehearsal.loopback.front.haproxy_program", lambda: None)
    file = tmp_path / "wrong.yaml"
    file.write_text("actors: [servers: {app: ui, router: haproxy}]\nexpect: {status: SUCCESSFUL}\n")
    assert cli.main(["--clock", "real", str(file)]) == cli.UNUSABLE
    assert capsys.readouterr().err == (
        "rehearse: wrong: actor servers: haproxy is not installed here: apt-get install haproxy, or use "
        "router: python\n"
    )


def test_a_minute_is_told_as_a_load_balancer_tells_it_and_what_was_not_is_not_told() -> None:
    with Rehearsal() as rehearsal:
        # Its clock is the virtual one, so that `series` knows where minutes are.
        rehearsal.run(Scenario.model_validate({"name": "x", "expect": {"status": "SUCCESSFUL"}}))
        plane = rehearsal.cloud.control_plane
        _, green = sorted(plane.revisions.values(), key=lambda one: one.task_definition)
        minute = datetime(2026, 3, 2, 9, 7, tzinfo=UTC)
        target_group_metrics.put_minute(
            rehearsal.cloud,
            green,
            minute,
            requests=7,
            answers={2: 3, 5: 2},
            connection_errors=1,
            seconds=[(0.25, 4), (0.5, 1)],
        )
        names = (
            "RequestCount",
            "HTTPCode_Target_2XX_Count",
            "HTTPCode_Target_4XX_Count",
            "HTTPCode_Target_5XX_Count",
            "TargetConnectionErrorCount",
        )
        found = {name: series(rehearsal, name, GREEN) for name in names}
        assert found == {
            "RequestCount": {7: 7.0},
            "HTTPCode_Target_2XX_Count": {7: 3.0},
            "HTTPCode_Target_4XX_Count": {},
            "HTTPCode_Target_5XX_Count": {7: 2.0},
            "TargetConnectionErrorCount": {7: 1.0},
        }
        assert series(rehearsal, "TargetResponseTime", GREEN, "TC(0.3:)") == {7: 1.0}
        assert series(rehearsal, "TargetResponseTime", GREEN, "Average") == {7: 0.3}
        assert series(rehearsal, "RequestCount", BLUE) == {}


@pytest.mark.parametrize(
    ("count", "text"),
    [
        ({"sent": 0, "answers": {}, "lost": 0}, "0 requests: none answered, 0 lost"),
        (
            {
                "sent": 1200,
                "answers": {"catalog:42 200": 90, "catalog:42 500": 9, "catalog:41 200": 1100},
                "lost": 1,
            },
            "1,200 requests: 1,100 answered by catalog:41, 99 answered by catalog:42 (9 errors), 1 lost",
        ),
        (
            {"sent": 2, "answers": {"nobody 503": 2}, "lost": 0},
            "2 requests: 2 answered by nobody (2 errors), 0 lost",
        ),
    ],
)
def test_what_came_of_the_visits_is_a_sentence(count: dict[str, Any], text: str) -> None:
    assert told(count) == text


def test_visitors_come_at_their_rate_however_slow_the_answers_and_count_what_came_of_it() -> None:
    with Loopback(blue=Behaviour(latency_seconds=0.2, errors=0.5)) as loopback:
        with Part("the visitors", visits.__file__) as part:
            began = time.monotonic()
            port = int(loopback.url.rpartition(":")[2])
            part.start({"to": port, "rate": 50, "paths": ["/a", "/b"], "marker": "x-revision"})
            while len(loopback.log("blue")) < 20 and time.monotonic() < began + DEADLINE_SECONDS:
                time.sleep(0.01)
            part.tell({})
            count = json.loads(part.read_log().splitlines()[-1])
        entries = loopback.log("blue")
    assert count["lost"] == 0
    assert count["sent"] == len(entries) == sum(count["answers"].values())
    assert count["answers"].keys() == {"catalog:41 200", "catalog:41 503"}
    assert {entry.path for entry in entries} == {"/a", "/b"}
    # One after the other they would have come every 0.2 s.
    assert entries[19].arrived - entries[0].arrived < 19 * 0.2 / 2


def test_visitors_count_what_is_lost() -> None:
    with Loopback() as loopback:
        port = int(loopback.url.rpartition(":")[2])
    with Part("the visitors", visits.__file__) as part:
        part.start({"to": port, "rate": 1000, "paths": ["/"], "marker": "x-revision"})
        part.tell({})
        count = json.loads(part.read_log().splitlines()[-1])
    assert count == {"sent": count["lost"], "answers": {}, "lost": count["sent"]}


def test_an_application_that_does_not_start_is_said_with_its_last_line() -> None:
    wrong = Application("catalog", revision="catalog:42", version="1", fault={"MISBEHAVE": "sometimes"})
    with (
        wrong,
        pytest.raises(RuntimeError, match=r"catalog of catalog:42 has ended with status 1: MISBEHAVE is"),
    ):
        wrong.wait()


def test_applications_outside_the_repository_are_missed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("rehearsal.loopback.applications.APP", tmp_path / "app")
    missing = Application("ui", revision="ui:1", version="1", fault={})
    with pytest.raises(RuntimeError, match="the applications are in the repository, not in the wheel"):
        missing.__enter__()


def test_a_child_that_does_not_want_to_end_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("rehearsal.loopback.child._STOP_SECONDS", 0.1)
    with (
        (tmp_path / "log").open("w+b") as log,
        Child(
            ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"], stdout=log, stderr=log
        ) as child,
    ):
        while not (tmp_path / "log").read_bytes():
            time.sleep(0.01)
        assert child.exit_status is None
        assert child.end() == -9


def test_a_child_ends_with_a_parent_that_is_killed() -> None:
    program = (
        "import sys, time\n"
        "from rehearsal.loopback.child import Child\n"
        "sleeper = ['sh', '-c', 'echo $$; exec sleep 600']\n"
        "with Child(sleeper, stdout=sys.stdout.buffer, stderr=sys.stderr.buffer):\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = Path("/proc") / parent.stdout.readline().strip()
        assert child.exists()
        parent.kill()
    deadline = time.monotonic() + DEADLINE_SECONDS
    # Of a process that has ended, and that nobody has asked for, a state is left.
    while child.exists() and " Z " not in (child / "stat").read_text() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert time.monotonic() < deadline


class Recorded(Front):
    """A router that is told weights, and has led a request a second to the colour of the moment."""

    name = "a router"
    listener_port, namespace_port = 4003, 4004

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.moves: list[tuple[str, float]] = []
        self._clock = clock
        self._told = int(clock().timestamp())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def move(self, route: str, green: float) -> None:
        self.moves.append((route, green))

    def requests(self) -> list[Routed]:
        told, self._told = self._told, int(self._clock().timestamp())
        is_green = ("production", 100.0) in self.moves
        colour: Colour = "green" if is_green else "blue"
        return [
            Routed(second * 1000, "listener", colour, 500 if is_green else 200, 8, False)
            for second in range(told, self._told)
        ]


@pytest.mark.parametrize("late", [0, 90])
def test_the_router_follows_the_deployment_and_each_minute_of_its_log_is_published(
    late: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Recorded] = []

    def start(_: Servers, world: World, *__: object) -> Recorded:
        started.append(Recorded(world.now))
        return started[0]

    # Nothing is real then, and the clock can be virtual.
    monkeypatch.setattr(Servers, "is_real", property(lambda _: False))
    monkeypatch.setattr(Servers, "_started", start)
    scenario = Scenario.model_validate(
        {
            "name": "followed",
            "service": {"scaleUp": "4m", "cleanUp": "3m"},
            "strategy": {
                "type": "CANARY",
                "canaryPercent": 12.5,
                "canaryBakeTimeInMinutes": 1,
                "bakeTimeInMinutes": 0,
            },
            "actors": [{"servers": {"app": "catalog", "publishedAfter": late}}],
            "expect": {"status": "SUCCESSFUL"},
        }
    )
    with Rehearsal() as rehearsal:
        outcome = rehearsal.run(scenario)
        answered = series(rehearsal, "HTTPCode_Target_2XX_Count", BLUE)
        failed = series(rehearsal, "HTTPCode_Target_5XX_Count", GREEN)
    assert outcome.as_expected
    assert started[0].moves == [
        ("test", 100.0),
        ("production", 12.5),
        ("production", 100.0),
    ]
    # By whole minutes, whenever its log is looked at; what is published after the deployment is not known.
    minutes = {minute: answered.get(minute, 0) + failed.get(minute, 0) for minute in answered | failed}
    assert minutes == dict.fromkeys(range(int((outcome.duration_seconds - late) // 60)), 60.0)
    assert (min(answered), max(failed)) == (0, max(minutes))
