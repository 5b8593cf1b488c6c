import logging
from collections.abc import Mapping
from typing import Any

import pytest
from activation_gate import TaskProtection

from tests.hooks.consumer_activation.worker.surroundings import Clock, Endpoint

PATH = "/api/abc/task-protection/v1/state"
PROTECT = ("PUT", PATH, {"ProtectionEnabled": True, "ExpiresInMinutes": 10})
RELEASE = ("PUT", PATH, {"ProtectionEnabled": False})
YES = {"protection": {"ExpirationDate": "2026-03-02T09:10:00Z", "ProtectionEnabled": True, "TaskArn": "arn"}}
BLOCKED = {"failure": {"Arn": "arn", "Detail": None, "Reason": "DEPLOYMENT_BLOCKED"}}


def environment(endpoint: Endpoint) -> Mapping[str, str]:
    return {"ECS_AGENT_URI": f"{endpoint.url}/api/abc"}


@pytest.fixture
def protection(endpoint: Endpoint, clock: Clock) -> TaskProtection:
    endpoint.answer("PUT", PATH, YES)
    return TaskProtection(environment=environment(endpoint), monotonic=clock)


def test_a_task_at_work_is_protected_from_the_first_message_on(
    endpoint: Endpoint, protection: TaskProtection
) -> None:
    protection.keep(busy=False)
    assert (endpoint.requests, protection.held) == ([], False)
    protection.keep(busy=True)
    protection.keep(busy=True)
    assert (endpoint.requests, protection.held) == ([PROTECT], True)


def test_protection_is_renewed_at_half_its_time(
    endpoint: Endpoint, protection: TaskProtection, clock: Clock
) -> None:
    protection.keep(busy=True)
    asked = []
    for _ in range(4):
        clock.now += 150
        protection.keep(busy=True)
        asked.append(len(endpoint.requests))
    assert asked == [1, 2, 2, 3]


def test_protection_is_given_back_after_a_while_without_work(
    endpoint: Endpoint, protection: TaskProtection, clock: Clock
) -> None:
    protection.keep(busy=True)
    clock.now += 29
    protection.keep(busy=False)
    assert protection.held
    clock.now += 1
    protection.keep(busy=False)
    protection.keep(busy=False)
    assert (endpoint.requests, protection.held) == ([PROTECT, RELEASE], False)


def test_protection_is_given_back_at_once_when_asked_to(
    endpoint: Endpoint, protection: TaskProtection
) -> None:
    protection.release()
    protection.keep(busy=True)
    protection.release()
    protection.release()
    assert endpoint.requests == [PROTECT, RELEASE]


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        (BLOCKED, 200, "DEPLOYMENT_BLOCKED"),
        (BLOCKED, 400, "DEPLOYMENT_BLOCKED"),
        (
            {"error": {"Arn": "arn", "Code": "AccessDeniedException", "Message": "not authorized"}},
            400,
            "AccessDeniedException not authorized",
        ),
        (
            {"error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}},
            500,
            "ThrottlingException Rate",
        ),
        (b"busy", 503, "HTTP status 503"),
        (b"busy", 200, "JSONDecodeError"),
        ({"protection": None}, 200, "was not understood"),
        ([], 200, "was not understood"),
    ],
)
def test_a_refusal_is_logged_once_and_asked_about_again_later(
    endpoint: Endpoint,
    protection: TaskProtection,
    clock: Clock,
    answer: Any,
    status: int,
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    endpoint.answer("PUT", PATH, answer, status=status)
    asked = []
    for _ in range(5):
        protection.keep(busy=True)
        asked.append(len(endpoint.requests))
        clock.now += 30
    assert asked == [1, 1, 2, 2, 3]
    assert not protection.held
    (line,) = [record.message for record in caplog.records]
    assert line.startswith("working without task scale-in protection for now: ")
    assert reason in line
    endpoint.answer("PUT", PATH, YES)
    clock.now += 60
    protection.keep(busy=True)
    assert protection.held
    assert caplog.records[-1].message == "the task is protected from scale-in again"


def test_a_refused_renewal_leaves_what_is_held(
    endpoint: Endpoint, protection: TaskProtection, clock: Clock
) -> None:
    protection.keep(busy=True)
    endpoint.answer("PUT", PATH, BLOCKED)
    clock.now += 300
    protection.keep(busy=True)
    assert protection.held
    clock.now += 300
    assert not protection.held


def test_a_task_of_no_service_is_not_asked_about_again(
    endpoint: Endpoint, protection: TaskProtection, clock: Clock
) -> None:
    endpoint.answer("PUT", PATH, {"failure": {"Arn": "arn", "Detail": None, "Reason": "TASK_NOT_VALID"}})
    protection.keep(busy=True)
    clock.now += 3600
    protection.keep(busy=True)
    protection.release()
    assert endpoint.requests == [PROTECT]


def test_giving_back_in_vain_is_logged(
    endpoint: Endpoint, protection: TaskProtection, caplog: pytest.LogCaptureFixture
) -> None:
    protection.keep(busy=True)
    endpoint.answer("PUT", PATH, BLOCKED)
    protection.release()
    assert caplog.messages == [
        "task scale-in protection could not be given back, and will expire: DEPLOYMENT_BLOCKED"
    ]


@pytest.mark.parametrize("agent", [None, "", "unix:///run/agent"])
def test_without_an_agent_there_is_no_protection_and_one_line_says_so(
    agent: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    protection = TaskProtection(environment={} if agent is None else {"ECS_AGENT_URI": agent})
    protection.keep(busy=True)
    protection.release()
    assert not protection.held
    assert caplog.messages == [f"no task scale-in protection: ECS_AGENT_URI is {agent or 'not set'}"]


def test_an_agent_that_is_not_there_is_a_refusal(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    protection = TaskProtection(environment={"ECS_AGENT_URI": "http://127.0.0.1:1"}, monotonic=clock)
    protection.keep(busy=True)
    assert "Connection refused" in caplog.text


@pytest.mark.parametrize("minutes", [0, 2881])
def test_minutes_that_ecs_does_not_take_are_refused(minutes: int) -> None:
    with pytest.raises(ValueError, match=f"expires_minutes is {minutes}; expected 1 to 2880"):
        TaskProtection(expires_minutes=minutes)
