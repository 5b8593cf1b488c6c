from typing import Any

import pytest
from activation_gate import RevisionError, own_revision
from botocore.exceptions import ClientError, EndpointConnectionError

from tests.hooks.consumer_activation.worker.surroundings import GREEN, Endpoint

TASK = "arn:aws:ecs:eu-west-1:123456789012:task/production/0f9de17a6465404e8b1b2356dc13c2f8"


class Ecs:
    """DescribeTasks."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[Any] = []

    def describe_tasks(self, **given: Any) -> Any:
        self.asked.append(given)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def found(endpoint: Endpoint, ecs: Ecs) -> str:
    environment = {"ECS_CONTAINER_METADATA_URI_V4": f"{endpoint.url}/v4/abc"}
    return own_revision(environment=environment, client=ecs)  # type: ignore[arg-type]


def test_the_revision_that_is_given_is_believed() -> None:
    assert own_revision(environment={"ACTIVATION_REVISION": "42"}) == "42"


def test_ecs_tells_what_started_the_task(endpoint: Endpoint) -> None:
    endpoint.answer("GET", "/v4/abc/task", {"Cluster": "production", "TaskARN": TASK, "Family": "mail"})
    ecs = Ecs({"tasks": [{"taskArn": TASK, "startedBy": f"ecs-svc/{GREEN}"}], "failures": []})
    assert found(endpoint, ecs) == GREEN
    assert ecs.asked == [{"cluster": "production", "tasks": [TASK]}]


def test_a_proxy_of_the_environment_is_not_asked_for_the_metadata(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    endpoint.answer("GET", "/v4/abc/task", {"Cluster": "production", "TaskARN": TASK})
    assert found(endpoint, Ecs({"tasks": [{"startedBy": f"ecs-svc/{GREEN}"}]})) == GREEN


def test_outside_ecs_the_revision_has_to_be_given() -> None:
    with pytest.raises(RevisionError, match=r"no ECS task .*: set ACTIVATION_REVISION"):
        own_revision(environment={})


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"", 200),
        (b"{}", 200),
        (b"[]", 200),
        (b'{"Cluster": "production"}', 200),
        (b"no", 500),
        (b"x" * 99, 200),
    ],
)
def test_an_odd_metadata_endpoint_is_named(endpoint: Endpoint, answer: bytes, status: int) -> None:
    endpoint.answer("GET", "/v4/abc/task", answer, status=status)
    with pytest.raises(RevisionError, match="the task metadata endpoint gave no Cluster and TaskARN"):
        found(endpoint, Ecs({}))


def test_only_http_is_opened() -> None:
    with pytest.raises(RevisionError, match="not an address that begins with http://"):
        own_revision(environment={"ECS_CONTAINER_METADATA_URI_V4": "file:///etc"})


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "DescribeTasks"),
            f"give the task role ecs:DescribeTasks on {TASK}, or set ACTIVATION_REVISION",
        ),
        (
            ClientError({"Error": {"Code": "ThrottlingException", "Message": "no"}}, "DescribeTasks"),
            f"DescribeTasks of {TASK} failed: An error occurred",
        ),
        (EndpointConnectionError(endpoint_url="https://ecs"), "failed: Could not connect"),
        (
            {"tasks": [], "failures": [{"reason": "MISSING"}]},
            "DescribeTasks knows no .* in production: .*MISSING",
        ),
        ({"tasks": [{"startedBy": "dora"}]}, "was started by 'dora', not by a service"),
        ({"tasks": [{}]}, "was started by '', not by a service"),
    ],
)
def test_what_ecs_does_not_tell_is_explained(endpoint: Endpoint, answer: Any, reason: str) -> None:
    endpoint.answer("GET", "/v4/abc/task", {"Cluster": "production", "TaskARN": TASK})
    with pytest.raises(RevisionError, match=reason):
        found(endpoint, Ecs(answer))
