"""The smoke test hook under exactly the permissions of the template, with green on a real socket."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from hooks.smoke_test.handler import handler
from rehearsal.aws.call import AwsError
from rehearsal.aws.policy import unused_grants
from shared.record import canonical
from tests.aws.answers import Answers
from tests.aws.conftest import BUCKET, Account
from tests.hooks.smoke_test.answering import answering
from tests.shared.checkout import (
    BLUE,
    GREEN,
    POST_TEST,
    PRE_PRODUCTION,
    ROLLBACK_PRODUCTION,
    event,
)

FUNCTION = "SmokeTestFunction"
PROCEEDS, REFUSES = {"hookStatus": "SUCCEEDED"}, {"hookStatus": "FAILED"}
OF_GREEN, OF_BLUE = "checkout:8", "checkout:7"


@dataclass
class Shop(Answers):
    """A blue/green deployment whose green has test traffic."""

    account: Account
    details: dict[str, Any] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=dict)

    def at(self, port: int) -> None:
        """Let green be at a port of this machine."""
        self.details["url"] = f"http://localhost:{port}"
        self.policy["allowedHosts"] = [f"localhost:{port}"]

    def call(self, payload: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Call the hook once, as ECS does."""
        sent = payload or event(POST_TEST, details=self.details)
        invocation = self.account.invoke(FUNCTION, sent, HOOK_POLICY=json.dumps(self.policy))
        return self.heard(invocation)


@pytest.fixture
def shop(account: Account) -> Iterator[Shop]:
    green = account.cloud.control_plane.revisions[str(GREEN)]
    green.task_definition = green.task_definition.replace(OF_BLUE, OF_GREEN)
    yield Shop(account)
    assert {call.action for call in account.calls if not call.allowed} == set()


def page(body: str = "ok", *, status: int = 200, marker: str = OF_GREEN) -> bytes:
    head = f"HTTP/1.1 {status} Said\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
    return f"{head}x-revision: {marker}\r\n\r\n{body}".encode()


def test_a_green_that_answers_as_it_should_goes_on(shop: Shop) -> None:
    shop.details = {
        "header": {"name": "X-BG-Test", "value": "green"},
        "checks": [
            {"path": "/health", "bodyContains": "ok"},
            {"path": "/items", "method": "GET", "expectHeaders": {"Content-Type": "text"}},
        ],
    }
    with answering(page()) as server:
        shop.at(server.port)

        assert shop.call() == PROCEEDS
    assert [request.split(b"\r\n")[0] for request in server.requests] == [
        b"GET /health HTTP/1.1",
        b"GET /items HTTP/1.1",
    ]
    assert all(b"X-BG-Test: green\r\n" in request for request in server.requests)
    answer = {"failure": "", "status": 200, "milliseconds": 0}
    assert shop.record["inputs"]["answers"] == [
        {**answer, "headers": {"x-revision": OF_GREEN}, "has_text": True},
        {**answer, "headers": {"x-revision": OF_GREEN, "content-type": "text/plain"}, "has_text": True},
    ]
    assert shop.record["tables"] == [
        {
            "title": "Answers",
            "columns": ["path", "verdict", "why"],
            "rows": [
                ["/health", "pass", "GET /health: 200 in 0 ms"],
                ["/items", "pass", "GET /items: 200 in 0 ms"],
            ],
        }
    ]
    assert shop.record["revisions"] == {"green": str(GREEN), "blue": str(BLUE)}


def test_what_green_itself_says_wrongly_is_refused_at_once(shop: Shop) -> None:
    with answering(page(status=500)) as server:
        shop.at(server.port)

        assert shop.call() == REFUSES
    assert shop.reason == "green fails the smoke test: GET /: 500 in 0 ms, expected 200"
    assert handler.replay(shop.record) == shop.record["verdict"]


def test_blue_is_not_taken_for_green_and_waited_for_so_many_attempts(shop: Shop) -> None:
    shop.details = {"attempts": 3, "waitSeconds": 7}
    with answering(page(marker=OF_BLUE)) as server:
        shop.at(server.port)
        first, second = shop.call(), shop.call()

        assert shop.call() == REFUSES
    assert [reply["callBackDelay"] for reply in (first, second)] == [7, 7]
    assert len(server.requests) == 3
    assert shop.reason == (
        "green does not answer as it should in 3 attempts: GET /: 200 in 0 ms, not from green: "
        "x-revision is 'checkout:7', expected 'checkout:8'"
    )
    assert handler.replay(shop.record) == shop.record["verdict"]


def test_a_green_that_comes_late_passes(shop: Shop) -> None:
    with answering(page(status=503, marker="")) as server:
        shop.at(server.port)
        assert shop.call()["hookStatus"] == "IN_PROGRESS"
    with answering(page()) as server:
        shop.details["url"] = f"http://localhost:{server.port}"
        shop.policy["allowedHosts"].append(f"localhost:{server.port}")
        assert shop.call() == PROCEEDS


def test_a_state_that_somebody_wrote_makes_nothing_pass(shop: Shop) -> None:
    with answering(page(marker=OF_BLUE)) as server:
        shop.at(server.port)
        for written in (-5, 0.5, 1e9, "6", None, True, [1]):
            state = shop.call()["hookDetails"]["_lifecycleHookState"]
            shop.details["_lifecycleHookState"] = {**state, "data": {"attempts": written}}
        shop.details["_lifecycleHookState"]["data"] = {"attempts": 900}

        assert shop.call() == REFUSES


def test_calls_that_come_twice_say_the_same(shop: Shop) -> None:
    with answering(page()) as server:
        shop.at(server.port)
        assert [shop.call(), shop.call()] == [PROCEEDS, PROCEEDS]


@pytest.mark.parametrize(
    ("details", "allowed", "reason"),
    [
        ({}, ["test.shop.example"], "url: nothing says where green is asked; set it in hookDetails"),
        (
            {"url": "https://evil.example"},
            ["test.shop.example"],
            "url: https://evil.example is not among the policy's allowedHosts: test.shop.example; if it "
            "should be, whoever deploys the hook adds evil.example:443 to them, in HOOK_POLICY",
        ),
        # Not even where the policy names it.
        (
            {"url": "http://169.254.169.254"},
            ["169.254.169.254"],
            "url: 169.254.169.254 is at 169.254.169.254, which is never asked: neither public nor in a "
            "private network",
        ),
        (
            {"url": "http://127.1:9001"},
            ["127.1:9001"],
            "url: 127.1 is at 127.0.0.1, which is never asked: neither public nor in a private network",
        ),
    ],
    ids=["nowhere", "elsewhere", "metadata", "Lambda's own"],
)
def test_who_may_not_be_asked_is_not_and_the_refusal_says_why(
    shop: Shop, details: dict[str, Any], allowed: list[str], reason: str
) -> None:
    shop.details, shop.policy = details, {"allowedHosts": allowed}

    assert shop.call() == REFUSES
    assert shop.reason == reason


def test_without_a_policy_nobody_is_asked(shop: Shop) -> None:
    with answering(page()) as server:
        shop.details = {"url": f"http://localhost:{server.port}"}

        assert shop.call() == REFUSES
    assert "is not among the policy's allowedHosts: none;" in shop.reason
    assert server.requests == []


def test_a_marker_that_blue_has_too_proves_nothing(shop: Shop) -> None:
    shop.account.cloud.control_plane.revisions[
        str(BLUE)
    ].task_definition = shop.account.cloud.control_plane.revisions[str(GREEN)].task_definition
    with answering(page(marker=GREEN.id)) as server:
        shop.at(server.port)
        assert shop.call() == REFUSES
        assert shop.reason.startswith(
            "marker: blue and green have one task definition, so both say x-revision"
        )

        shop.details["marker"] = {"green": "{revision}"}
        assert shop.call() == PROCEEDS


def test_on_a_first_deployment_there_is_no_blue_to_be_told_from(shop: Shop) -> None:
    [deployment] = shop.account.cloud.control_plane.deployments.values()
    deployment.sources = []
    with answering(page()) as server:
        shop.at(server.port)
        assert shop.call() == PROCEEDS


@pytest.mark.parametrize("stage", ["PRE_SCALE_UP", "POST_SCALE_UP", PRE_PRODUCTION])
def test_where_green_can_t_be_told_from_blue_by_a_listener_it_has_no_use(shop: Shop, stage: str) -> None:
    assert shop.call(event(stage, details={})) == REFUSES
    assert shop.reason.startswith(f"smoke_test has no use at {stage}; attach it at one of: POST_TEST_TRAFFIC")


def test_a_rollback_asks_nobody(shop: Shop) -> None:
    assert shop.call(ROLLBACK_PRODUCTION) == PROCEEDS


def test_while_ecs_says_nothing_nobody_is_asked_and_nothing_passes(shop: Shop) -> None:
    shop.account.cloud.faults.add(
        action="ecs:DescribeServiceRevisions",
        make=lambda *_: AwsError("ThrottlingException", "said AWS", 400),
        identity="*SmokeTestRole*",
    )
    with answering(page()) as server:
        shop.at(server.port)
        assert shop.call()["hookStatus"] == "IN_PROGRESS"
    assert server.requests == []


def test_in_observe_mode_a_failure_is_told_and_let_pass(shop: Shop) -> None:
    shop.policy["mode"] = "observe"
    with answering(page(status=404)) as server:
        shop.at(server.port)
        assert shop.call() == PROCEEDS
    assert shop.record["wouldRefuse"] is True


def test_every_grant_is_used_and_nothing_else_is_called(shop: Shop) -> None:
    test_what_green_itself_says_wrongly_is_refused_at_once(shop)

    unused = unused_grants(shop.account.policy(FUNCTION), shop.account.made_by(FUNCTION))
    # Lambda's own runtime writes the logs; the function makes no such call.
    assert [grant for grant in unused if "WriteLogs" not in grant] == []
    s3 = shop.account.cloud.client("s3", user="admin")
    [kept] = s3.list_objects_v2(Bucket=BUCKET)["Contents"]
    assert s3.get_object(Bucket=BUCKET, Key=kept["Key"])["Body"].read().decode() == canonical(shop.record)
