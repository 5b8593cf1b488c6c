"""AWS from moto, in process, and no trace of the machine's own set-up."""

from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from tests.hooks.consumer_activation.worker.surroundings import Clock, Endpoint, Ssm

VARIABLES = (
    *("ACTIVATION_PARAMETER", "ACTIVATION_REVISION", "ACTIVATION_METRICS"),
    *("ECS_AGENT_URI", "ECS_CONTAINER_METADATA_URI_V4"),
    *("AWS_ENDPOINT_URL", "AWS_PROFILE"),
)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")


@pytest.fixture
def ssm() -> Iterator[Ssm]:
    with mock_aws():
        yield Ssm(boto3.client("ssm"))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    served = Endpoint()
    yield served
    served.close()
