"""What has to be proved before any load."""

import socket
from dataclasses import dataclass
from typing import Any

import pytest
from load_generator.preflight import TRIES, Failed, Preflight
from load_generator.snapshot import Problem

from rehearsal.loopback import Behaviour, Loopback
from tests.hooks.load_test.generator.surroundings import a_job


@dataclass
class Time:
    """A clock that goes on while somebody sleeps."""

    now: float = 0.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def prove(target: str, **changes: Any) -> dict[str, str | None]:
    time = Time()
    return Preflight(
        a_job(target, timeoutSeconds=1, **changes), frozenset({"GET"}), time.clock, time.sleep
    ).prove()


UNNAMED = {"green": {"headers": {"x-release": "green"}}, "blue": {"headers": {}}}


@pytest.mark.parametrize(
    "changes", [{}, {"arms": UNNAMED}, {"requests": [{"method": "POST"}]}], ids=["named", "unnamed", "post"]
)
def test_each_arm_is_known_by_what_its_answers_say(loopback: Loopback, changes: dict[str, Any]) -> None:
    before = len(loopback.log("green"))
    assert prove(loopback.url, **changes) == {"green": "catalog:42", "blue": "catalog:41"}
    asked = loopback.log("green")[before:]
    assert {(entry.method, entry.marked) for entry in asked} == {("GET", True)}
    assert len(asked) == TRIES


def test_a_first_deployment_has_no_blue(loopback: Loopback) -> None:
    only_green = {"green": {"headers": {"x-release": "green"}}}
    assert prove(loopback.url, arms=only_green) == {"green": "catalog:42"}


def test_error_statuses_prove_who_has_answered(loopback: Loopback) -> None:
    loopback.behave("green", Behaviour(errors=1))
    assert prove(loopback.url)["green"] == "catalog:42"


def test_without_a_marker_it_is_only_seen_that_somebody_answers(loopback: Loopback) -> None:
    loopback.behave("green", Behaviour(marker=False))
    assert prove(loopback.url, marker=None) == {"green": None, "blue": None}


@pytest.mark.parametrize(
    ("green", "changes", "says"),
    [
        (Behaviour(marker=False), {}, "green's answers have no x-revision header, so nothing says which"),
        (Behaviour(revision="catalog:40"), {}, "'catalog:40' and should be 'catalog:42': requests for green"),
        (Behaviour(revision="catalog:41"), {"arms": UNNAMED}, "of both arms' answers is 'catalog:41'"),
        (Behaviour(wrong_revision=0.5), {"arms": UNNAMED}, "'catalog:42' and 'catalog:40' by turns"),
        (
            Behaviour(refuse=True),
            {},
            "have no x-revision header, so nothing says which revision they are from (the",
        ),
    ],
    ids=["no marker", "wrong", "both alike", "by turns", "only the proxy answers"],
)
def test_a_run_is_not_begun_where_the_route_is_not_proved(
    loopback: Loopback, green: Behaviour, changes: dict[str, Any], says: str
) -> None:
    loopback.behave("green", green)
    with pytest.raises(Failed) as failed:
        prove(loopback.url, **changes)
    assert failed.value.problem is Problem.UNPROVEN
    assert says in str(failed.value)


def test_a_test_route_that_leads_to_blue_is_no_test_route(loopback: Loopback) -> None:
    elsewhere = {"green": {"headers": {"x-other": "1"}}, "blue": {"headers": {}}}
    with pytest.raises(Failed, match="leads nowhere else"):
        prove(loopback.url, arms=elsewhere)


def test_production_that_has_been_shifted_already_is_no_blue(loopback: Loopback) -> None:
    loopback.weigh(50)
    with pytest.raises(Failed, match=r"of blue's answers is 'catalog:4[12]'"):
        prove(loopback.url)


def test_a_green_that_is_down_is_told_from_a_way_that_leads_nowhere(loopback: Loopback) -> None:
    loopback.behave("green", Behaviour(refuse=True))
    with pytest.raises(Failed, match=r"green's answers have no x-revision header") as failed:
        prove(loopback.url)
    assert failed.value.seen == {"blue": "catalog:41"}


def test_nobody_there_is_told_after_ten_seconds_of_trying() -> None:
    time = Time()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        job = a_job(f"http://127.0.0.1:{nobody.getsockname()[1]}")
        with pytest.raises(Failed, match=r"blue does not answer at .* ConnectionRefusedError") as failed:
            Preflight(job, frozenset({"GET"}), time.clock, time.sleep).prove()
    assert failed.value.problem is Problem.UNREACHABLE
    assert 9 <= time.now <= 10
