"""Locust's own HTTP interface, as the hook uses it: one master, two workers, run after run."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from load_generator.job import Job

from rehearsal.loopback import Behaviour, Loopback
from tests.hooks.load_test.generator.surroundings import Served, a_job, until

PREFLIGHT = 5


def at(loopback: Loopback, run: str, **changes: Any) -> Job:
    return a_job(loopback.url, run=run, **{"seconds": 1, "requests": [{"path": f"/web/{run}"}], **changes})


def logged(loopback: Loopback, run: str, colour: Any = "green") -> int:
    return sum(entry.path == f"/web/{run}" for entry in loopback.log(colour))


def begun(served: Served, run: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        snapshot = served.snapshot(run)
        return snapshot if snapshot["state"] != "preflight" and snapshot["arms"]["green"]["sent"] else None

    return until(look)


def test_a_run_is_started_by_locusts_own_swarm_and_told_as_a_snapshot(
    served: Served, loopback: Loopback
) -> None:
    answer = served.swarm(at(loopback, "whole", rate=100))
    assert (answer.status_code, answer.json()["success"]) == (200, True)
    snapshot = served.finished("whole")
    green = snapshot["arms"]["green"]
    assert (snapshot["state"], snapshot["problem"], snapshot["workers"]) == (
        *("finished", ""),
        {"expected": 2, "reporting": 2, "lost": 0},
    )
    assert (green["due"], green["sent"], green["answered"]) == (100, 100, 100)
    assert logged(loopback, "whole") == 100 + PREFLIGHT
    rows = {row["name"]: row["num_requests"] for row in served.get("/stats/requests").json()["stats"]}
    assert rows == {"green": 100, "blue": 20, "Aggregated": 120}


def test_a_second_start_changes_nothing_of_the_first(served: Served, loopback: Loopback) -> None:
    job = at(loopback, "first", seconds=2)
    assert served.swarm(job).status_code == 200
    begun(served, "first")
    other = served.swarm(at(loopback, "second", rate=500))
    assert (other.status_code, other.json()["message"]) == (409, "the run first is under way")
    again = served.swarm(job)
    assert (again.status_code, again.json()["success"], again.json()["run"]) == (200, True, "first")
    snapshot = served.finished("first")
    assert (snapshot["state"], snapshot["arms"]["green"]["sent"]) == ("finished", 100)
    assert logged(loopback, "first") == 100 + PREFLIGHT
    assert logged(loopback, "second") == 0


def test_after_locusts_own_stop_the_counts_are_the_servers(served: Served, loopback: Loopback) -> None:
    loopback.behave("green", Behaviour(latency_seconds=0.3))
    served.swarm(at(loopback, "stopped-by-locust", rate=100, seconds=30))
    begun(served, "stopped-by-locust")
    answer = served.post("/stop")
    if answer.status_code == 405:
        # Up to 2.46 it was a GET.
        answer = served.get("/stop")
    assert answer.status_code == 200
    snapshot = served.finished("stopped-by-locust")
    green = snapshot["arms"]["green"]
    assert (snapshot["state"], snapshot["problem"]) == ("ended", "stopped")
    assert (green["answered"], green["inFlight"]) == (green["sent"], 0)
    assert green["sent"] + PREFLIGHT == logged(loopback, "stopped-by-locust")


def test_a_run_is_stopped_for_a_reason(served: Served, loopback: Loopback) -> None:
    served.swarm(at(loopback, "stopped", seconds=30))
    begun(served, "stopped")
    assert served.post("/load/runs/stopped/stop", json={"reason": "rolled back"}).status_code == 200
    snapshot = served.finished("stopped")
    assert (snapshot["problem"], snapshot["reason"]) == ("stopped", "rolled back")
    assert snapshot["arms"]["green"]["sent"] + PREFLIGHT == logged(loopback, "stopped")


def test_a_run_whose_lease_is_over_is_stopped(served: Served, loopback: Loopback) -> None:
    served.swarm(at(loopback, "abandoned", seconds=30))
    begun(served, "abandoned")
    assert served.post("/load/runs/abandoned/lease", json={"seconds": 0.5}).status_code == 200
    assert served.finished("abandoned")["problem"] == "abandoned"


def test_a_route_that_is_not_proved_is_not_loaded_and_the_next_run_is(
    served: Served, loopback: Loopback
) -> None:
    loopback.behave("green", Behaviour(marker=False))
    served.swarm(at(loopback, "unproven"))
    snapshot = served.finished("unproven")
    assert (snapshot["state"], snapshot["problem"]) == ("ended", "unproven")
    loopback.behave("green", Behaviour())
    until(lambda: served.is_ready() or None)
    served.swarm(at(loopback, "proven"))
    assert served.finished("proven")["state"] == "finished"


@pytest.mark.parametrize(
    ("form", "status", "says"),
    [
        ({"user_count": 2, "spawn_rate": 2}, 422, "not JSON"),
        ({"user_count": 2, "spawn_rate": 2, "load_job": "{}"}, 422, "version"),
        ({"load_job": ...}, 422, "have to be numbers"),
        ({"user_count": "x", "spawn_rate": 2, "load_job": ...}, 422, "have to be numbers"),
        (
            {"user_count": 3, "spawn_rate": 2, "load_job": ...},
            422,
            "spawn_rate has to be user_count",
        ),
        (
            {"user_count": 0, "spawn_rate": 2, "load_job": ...},
            422,
            "spawn_rate has to be user_count",
        ),
        ({"user_count": 2, "spawn_rate": "inf", "load_job": ...}, 422, "spawn_rate has to be"),
        ({"user_count": 2, "spawn_rate": 2, "host": "http://x", "load_job": ...}, 422, "host: nothing but"),
        ({"user_count": 2, "spawn_rate": 2, "load_job": "other target"}, 422, "is not among LOAD_TARGETS"),
        ({"user_count": 2, "spawn_rate": 2, "load_job": "too late"}, 422, "startBefore has passed"),
    ],
)
def test_a_start_that_is_not_understood_starts_nothing(
    served: Served, loopback: Loopback, form: dict[str, Any], status: int, says: str
) -> None:
    jobs = {
        ...: at(loopback, "never"),
        "other target": a_job("http://169.254.169.254", run="never"),
        "too late": at(loopback, "never", startBefore="2020-01-01T00:00:00Z"),
    }
    given = {
        name: json.dumps(jobs[value].write()) if name == "load_job" and value in jobs else value
        for name, value in form.items()
    }
    answer = served.post("/swarm", data=given)
    assert (answer.status_code, answer.json()["success"]) == (status, False)
    assert says in answer.json()["message"]
    assert served.get("/load/runs/never").status_code == 404
    assert served.is_ready()


def test_fewer_users_than_workers_would_leave_parts_unsent(served: Served, loopback: Loopback) -> None:
    served.swarm(at(loopback, "too-few"), users=1)
    snapshot = served.finished("too-few")
    assert (snapshot["problem"], snapshot["reason"]) == (
        *("refused", "1 users are too few for 2 workers: one each"),
    )


ROUTES = (
    *("/", "/stats/requests", "/assets/x.js", "/load/health", "/load/runs/whole"),
    *("/nowhere", "/healthz/", "/healthzx"),
)


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("token", ["", "wrong", "0123456789abcdef-of-the-testsx", "ünïcode"])
def test_nothing_is_told_to_whoever_has_no_token(served: Served, path: str, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}".encode(), "Origin": "https://example.com"}
    answer = requests.get(served.url + path, headers=headers, timeout=10)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("path", ["/swarm", "/stop", "/stats/reset", "/load/runs/whole/stop"])
def test_nothing_is_done_for_whoever_has_no_token(served: Served, path: str) -> None:
    assert served.post(path, token="wrong").status_code == 401


def test_no_page_of_the_web_may_ask(served: Served) -> None:
    headers = {"Origin": "https://example.com"}
    answer = requests.get(f"{served.url}/healthz", headers=headers, timeout=10)
    assert (answer.status_code, answer.json()["message"]) == (200, "ok")
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


def test_health_tells_who_is_there(served: Served) -> None:
    health = served.get("/load/health").json()
    assert health["workers"] == 2
    assert health["ready"] is True
    assert health["version"]
    assert health["locust"]


@pytest.mark.parametrize(
    "given", [{}, {"seconds": 0}, {"seconds": "90"}, {"seconds": 10**9}, {"seconds": None}]
)
def test_a_lease_has_an_end(served: Served, loopback: Loopback, given: dict[str, Any]) -> None:
    run = "leased"
    if served.get(f"/load/runs/{run}").status_code == 404:
        served.swarm(at(loopback, run))
        served.finished(run)
    assert served.post(f"/load/runs/{run}/lease", json=given).status_code == 400


@pytest.mark.parametrize("path", ["/load/runs/unknown/lease", "/load/runs/unknown/stop"])
def test_another_run_than_the_last_is_not_known(served: Served, path: str) -> None:
    assert served.post(path, json={"seconds": 1}).status_code == 404


@pytest.fixture
def alone() -> Iterator[Served]:
    served = Served.start(workers=0)
    yield served
    served.end()


def test_a_master_without_workers_starts_nothing_and_says_so(alone: Served, loopback: Loopback) -> None:
    answer = alone.swarm(at(loopback, "nobody"))
    assert (answer.status_code, answer.json()["success"]) == (409, False)
    assert answer.json()["message"].startswith("no worker is connected")
    assert alone.get("/load/runs/nobody").status_code == 404
