"""What was admitted under a tag, from one stage to the next."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from hooks.image_trust.bindings import MAX_VALUE_CHARACTERS, keep, name_of, read
from hooks.image_trust.finding import Digest
from rehearsal.aws.cloud import Cloud
from shared import clients
from shared.errors import Misconfigured, Transient
from shared.lifecycle import LifecycleEvent
from tests.shared.checkout import BLUE, GREEN, REGION, event

NAME = "/ecs-image-trust/bindings/shop/checkout"
A, B = Digest("sha256:" + "a" * 64), Digest("sha256:" + "b" * 64)


@pytest.fixture(scope="module")
def aws() -> Iterator[Cloud]:
    with Cloud(region=REGION, seed=1) as cloud:
        yield cloud


@pytest.fixture
def cloud(aws: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    aws.reset(seed=1)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    clients._client.cache_clear()
    with aws.acting_as("hook"):
        yield aws
    assert aws.defects == []


def written(cloud: Cloud) -> list[str]:
    """Return all values that the parameter has had."""
    history = cloud.client("ssm", role="hook").get_parameter_history(Name=NAME)["Parameters"]
    return [version["Value"] for version in history]


def put(cloud: Cloud, value: Any) -> None:
    text = value if isinstance(value, str) else json.dumps(value)
    cloud.client("ssm", role="hook").put_parameter(Name=NAME, Value=text, Type="String", Overwrite=True)


def test_there_is_one_for_each_service() -> None:
    assert name_of("/ecs-image-trust/bindings", LifecycleEvent.parse(event("PRE_SCALE_UP"))) == NAME


def test_what_is_kept_is_read_for_its_revision_alone(cloud: Cloud) -> None:
    assert keep(NAME, str(GREEN), {"web": A, "log": B})

    assert read(NAME, str(GREEN)) == {"web": A, "log": B}
    assert read(NAME, str(BLUE)) == {}
    assert read(NAME, "") == {}
    assert json.loads(written(cloud)[0]) == {
        "version": 1,
        "revision": str(GREEN),
        "digests": {"web": A, "log": B},
    }


def test_where_nothing_was_kept_there_is_nothing(cloud: Cloud) -> None:
    assert read(NAME, str(GREEN)) == {}


def test_keeping_the_same_twice_writes_once(cloud: Cloud) -> None:
    assert keep(NAME, str(GREEN), {"web": A})
    assert not keep(NAME, str(GREEN), {"web": A})

    assert len(written(cloud)) == 1


def test_the_next_deployment_s_takes_the_place_of_the_last_one_s(cloud: Cloud) -> None:
    keep(NAME, str(BLUE), {"web": A, "log": A})
    assert keep(NAME, str(GREEN), {"web": B})

    assert read(NAME, str(GREEN)) == {"web": B}
    assert read(NAME, str(BLUE)) == {}


@pytest.mark.parametrize(
    "value",
    [
        "no JSON",
        "[]",
        '"text"',
        {"version": 2, "revision": str(GREEN), "digests": {}},
        {"revision": str(GREEN), "digests": {}},
        {"version": 1, "revision": str(GREEN), "digests": {"web": "latest"}},
        {"version": 1, "revision": str(GREEN), "digests": {"web": None}},
        {"version": 1, "revision": str(GREEN), "digests": {"web": {"a": 1}}},
        {"version": 1, "revision": str(GREEN), "digests": ["web"]},
        {"version": 1, "revision": str(GREEN), "digests": [1, 2]},
        {"version": 1, "revision": str(GREEN), "digests": 7},
        '{"version": 1, "revision": "x", "revision": "y", "digests": {}}',
    ],
)
def test_what_somebody_else_wrote_stops_the_deployment_and_names_the_parameter(
    cloud: Cloud, value: Any
) -> None:
    put(cloud, value)
    with pytest.raises(Misconfigured, match=f"{NAME}: not what this hook wrote: .*; delete the parameter"):
        read(NAME, str(GREEN))


@pytest.mark.parametrize("digests", [{}, None, []])
def test_a_binding_of_nothing_binds_nothing(cloud: Cloud, digests: Any) -> None:
    put(cloud, {"version": 1, "revision": str(GREEN), "digests": digests})

    assert read(NAME, str(GREEN)) == {}


def test_what_another_version_left_is_overwritten(cloud: Cloud) -> None:
    put(cloud, {"version": 2})
    assert keep(NAME, str(GREEN), {"web": A})

    assert read(NAME, str(GREEN)) == {"web": A}


def test_as_many_as_there_is_room_for_are_kept(cloud: Cloud) -> None:
    empty = len(json.dumps({"version": 1, "revision": str(GREEN), "digests": {}}, separators=(",", ":")))
    room = MAX_VALUE_CHARACTERS - empty - len(f'"":"{A}"')

    assert keep(NAME, str(GREEN), {"x" * room: A})
    assert read(NAME, str(GREEN)) == {"x" * room: A}
    with pytest.raises(Misconfigured, match="1 containers named by tag are more than can be remembered"):
        keep(NAME, str(GREEN), {"x" * (room + 1): A})


@pytest.mark.parametrize(
    ("error", "kind"), [("ThrottlingException", Transient), ("AccessDeniedException", Misconfigured)]
)
@pytest.mark.parametrize("action", ["ssm:GetParameter", "ssm:PutParameter"])
def test_what_parameter_store_says_is_of_its_kind(
    cloud: Cloud, action: str, error: str, kind: type[Exception]
) -> None:
    cloud.faults.add(action=action, error=error)
    with pytest.raises(kind, match=action):
        keep(NAME, str(GREEN), {"web": A})
    if action == "ssm:GetParameter":
        with pytest.raises(kind, match=action):
            read(NAME, str(GREEN))
