"""The site actor: who answers what, and that nothing of this machine gets into an outcome."""

import socket
from typing import Any

import pytest

from rehearsal.document import DocumentError
from rehearsal.outcome import ActorSpoke, Outcome
from rehearsal.scenario import Scenario, find
from rehearsal.world import Rehearsal


def rehearse(rehearsal: Rehearsal, site: dict[str, Any], **details: Any) -> Outcome:
    hook = {
        "hook": "smoke_test",
        "stages": ["POST_TEST_TRAFFIC_SHIFT"],
        "hookDetails": {
            "url": "http://localhost:8080",
            "header": {"name": "X-Release", "value": "green"},
            "attempts": 1,
            **details,
        },
        "policy": {"allowedHosts": ["localhost:8080"]},
    }
    return rehearsal.run(
        Scenario.model_validate(
            {"name": "t", "hooks": [hook], "actors": [{"site": site}], "expect": {"status": "SUCCESSFUL"}}
        )
    )


def spoken(outcome: Outcome) -> list[tuple[str, str]]:
    return [(one.actor, one.text) for one in outcome.happenings if isinstance(one, ActorSpoke)]


@pytest.mark.parametrize(
    ("site", "said"),
    [
        ({}, "green answers GET / with 200"),
        ({"pages": {"/health": "ok"}}, "green answers GET / with 404"),
        ({"green": {"errors": True}}, "green answers GET / with 500"),
        ({"green": {"lacks": "/"}}, "green answers GET / with 404"),
        ({"green": {"wrongRevision": True}}, "blue answers GET / with 200"),
        ({"green": {"after": "1m"}}, "the load balancer answers GET / with 503"),
    ],
)
def test_it_answers_as_it_is_told_and_says_so(rehearsal: Rehearsal, site: dict[str, Any], said: str) -> None:
    assert spoken(rehearse(rehearsal, site)) == [("site", said)]


def test_without_the_test_header_blue_answers_until_production_is_green_s(rehearsal: Rehearsal) -> None:
    outcome = rehearse(rehearsal, {}, header={"name": "x-other", "value": "green"})

    assert spoken(outcome) == [("site", "blue answers GET / with 200")]


def test_one_that_refuses_takes_no_connection(rehearsal: Rehearsal) -> None:
    outcome = rehearse(rehearsal, {"green": {"refuses": True}})
    [call] = [call for call in outcome.calls if not call.rollback]
    assert call.record is not None

    assert spoken(outcome) == []
    assert call.record["verdict"]["reason"].endswith("GET /: no answer: Connection refused")


def test_after_a_run_localhost_is_what_it_was(rehearsal: Rehearsal) -> None:
    before = socket.getaddrinfo
    rehearse(rehearsal, {})

    assert socket.getaddrinfo is before


@pytest.mark.parametrize("name", ["smoke-passed", "smoke-refused"])
def test_the_built_in_scenarios_end_as_expected_and_each_time_the_same(
    rehearsal: Rehearsal, name: str
) -> None:
    first, second = (rehearsal.run(Scenario.read(find(name))) for _ in range(2))

    assert first.as_expected, first.checks
    assert first.model_dump_json() == second.model_dump_json()


def test_for_a_hook_in_a_process_of_its_own_it_is_at_the_very_port(rehearsal: Rehearsal) -> None:
    """Over HTTP, no name can be led elsewhere: the port has to be free."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        rehearsal.endpoint_url = "http://127.0.0.1:9"
        try:
            with pytest.raises(DocumentError, match=f"t: site: localhost:{port}: Address already in use"):
                rehearse(rehearsal, {"port": port})
        finally:
            rehearsal.endpoint_url = ""
