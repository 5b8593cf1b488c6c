"""Which containers a revision runs: none is missed, and none judged by another's image."""

from typing import Any

import pytest

from hooks.image_trust.containers import Container, Containers, containers
from hooks.image_trust.finding import Digest, Rejected
from hooks.image_trust.manifest import Platform
from hooks.image_trust.policy import Policy
from shared.revision import Image

AA, BB = Digest("sha256:" + "a" * 64), Digest("sha256:" + "b" * 64)
INJECTED: tuple[str, ...] = Policy.model_fields["injected"].default
WEB, LOG = {"name": "web", "image": f"shop/web@{AA}"}, {"name": "log", "image": "vendor/log:3"}


def definition(*defined: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"containerDefinitions": list(defined), **more}


def refused(defined: dict[str, Any], images: list[Image], injected: tuple[str, ...] = INJECTED) -> str:
    with pytest.raises(Rejected) as caught:
        containers(defined, images, injected)
    return f"{caught.value.code}: {caught.value}"


# ------------------------------------------------------------------------------------ both together


def test_the_task_definition_says_what_and_the_revision_which_digest() -> None:
    found = containers(
        definition(WEB, LOG),
        [
            Image("log", "vendor/log:3", None),
            Image("ecs-service-connect-x7", "proxy", BB),
            Image("web", f"shop/web@{AA}", AA),
            Image("aws-guardduty-agent-y", "agent", None),
        ],
        INJECTED,
    )

    assert found == Containers(
        (
            Container(name="web", image=f"shop/web@{AA}", recorded=AA),
            Container(name="log", image="vendor/log:3"),
        ),
        ("ecs-service-connect-x7", "aws-guardduty-agent-y"),
    )


def test_while_the_revision_lists_nothing_the_task_definition_is_what_there_is() -> None:
    assert containers(definition(WEB, LOG), [], INJECTED) == Containers(
        (
            Container(name="web", image=f"shop/web@{AA}"),
            Container(name="log", image="vendor/log:3"),
        ),
        (),
    )


def test_a_container_of_one_s_own_is_judged_whatever_it_is_called() -> None:
    own = {"name": "ecs-service-connect-x7", "image": "miner:1"}
    found = containers(definition(own), [Image("ecs-service-connect-x7", "miner:1", BB)], INJECTED)

    assert found == Containers((Container(name="ecs-service-connect-x7", image="miner:1", recorded=BB),), ())


def test_a_digest_that_is_not_there_yet_may_be_empty() -> None:
    (found,) = containers(definition(LOG), [Image("log", "vendor/log:3", "")], INJECTED).judged

    assert found.recorded is None


@pytest.mark.parametrize(
    ("said", "is_consistent"), [({}, True), ({"versionConsistency": "enabled"}, True),
                                ({"versionConsistency": "disabled"}, False)]
)  # fmt: skip
def test_version_consistency_holds_unless_it_is_disabled(said: dict[str, str], is_consistent: bool) -> None:
    (found,) = containers(definition({**LOG, **said}), [], INJECTED).judged

    assert found.is_consistent == is_consistent


# ------------------------------------------------------------------------------------ what does not fit


def test_a_container_that_only_the_revision_runs_is_refused() -> None:
    images = [Image("log", "vendor/log:3", None), Image("miner", "miner:1", BB)]

    assert refused(definition(LOG), images) == (
        "unlisted-container: the revision runs container 'miner', which its task definition lacks"
    )


def test_a_name_that_only_contains_one_of_aws_s_is_no_injected_container() -> None:
    images = [Image("log", "vendor/log:3", None), Image("my-ecs-service-connect", "miner:1", BB)]

    assert refused(definition(LOG), images).startswith("unlisted-container: ")


def test_where_nothing_is_injected_nothing_is_recognised() -> None:
    images = [Image("log", "vendor/log:3", None), Image("ecs-service-connect-x7", "proxy", BB)]

    assert refused(definition(LOG), images, ()).startswith("unlisted-container: ")


def test_a_container_that_the_revision_does_not_list_is_refused() -> None:
    assert refused(definition(WEB, LOG), [Image("log", "vendor/log:3", None)]) == (
        "unlisted-container: the revision lists no image of container 'web'"
    )


def test_two_images_for_one_container_are_refused() -> None:
    images = [Image("log", "vendor/log:3", AA), Image("log", "vendor/log:3", BB)]

    assert refused(definition(LOG), images).startswith("other-image: ")


def test_two_containers_of_one_name_are_refused() -> None:
    assert refused(definition(LOG, LOG), [Image("log", "vendor/log:3", AA)]).startswith("unlisted-container")


def test_another_image_than_the_task_definition_s_is_refused() -> None:
    assert refused(definition(LOG), [Image("log", "vendor/log:4", AA)]) == (
        "other-image: container 'log': the task definition has 'vendor/log:3', the revision 'vendor/log:4'"
    )


@pytest.mark.parametrize("defined", [{}, definition(), {"containerDefinitions": None}])
def test_a_task_without_containers_is_refused(defined: dict[str, Any]) -> None:
    assert refused(defined, []) == "unlisted-container: the task definition has no containers"


@pytest.mark.parametrize("digest", ["sha512:" + "a" * 128, "latest", "sha256:" + "A" * 64])
def test_a_digest_that_is_none_is_refused(digest: str) -> None:
    assert refused(definition(LOG), [Image("log", "vendor/log:3", digest)]).startswith("malformed-digest: ")


@pytest.mark.parametrize("defined", [{}, {"name": "web"}, {"image": "web"}, {"name": 7, "image": None}])
def test_a_container_with_gaps_is_still_one_to_be_judged(defined: dict[str, Any]) -> None:
    (found,) = containers(definition(defined), [], INJECTED).judged

    assert found == Container(name=str(defined.get("name", "")), image=str(defined.get("image", "")))


# ------------------------------------------------------------------------------------ on which machine

LINUX, ARM, WINDOWS = Platform("linux", "amd64"), Platform("linux", "arm64"), Platform("windows", "amd64")


@pytest.mark.parametrize(
    ("said", "architecture", "platform"),
    [
        (None, None, LINUX),
        ({}, None, LINUX),
        ({"cpuArchitecture": "ARM64"}, None, ARM),
        ({"operatingSystemFamily": "LINUX", "cpuArchitecture": "X86_64"}, None, LINUX),
        ({"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}, None, WINDOWS),
        # What ECS runs it on comes before what the task definition says.
        ({"cpuArchitecture": "X86_64"}, "ARM64", ARM),
        (None, "ARM64", ARM),
        ({"cpuArchitecture": "RISCV"}, None, None),
        (None, "RISCV", None),
    ],
)
def test_fargate_says_on_which_machine(
    said: dict[str, str] | None, architecture: str | None, platform: Platform | None
) -> None:
    defined = definition(LOG, runtimePlatform=said)
    found = containers(defined, [], INJECTED, on_fargate=True, architecture=architecture)

    assert [one.platform for one in found.judged] == [platform]


@pytest.mark.parametrize("compatibilities", [["FARGATE"], ["EC2"], ["EC2", "FARGATE"], None])
def test_elsewhere_a_task_definition_s_word_is_not_where_it_runs(compatibilities: list[str] | None) -> None:
    defined = definition(
        LOG,
        requiresCompatibilities=compatibilities,
        runtimePlatform={"operatingSystemFamily": "LINUX", "cpuArchitecture": "X86_64"},
    )

    assert [one.platform for one in containers(defined, [], INJECTED).judged] == [None]
