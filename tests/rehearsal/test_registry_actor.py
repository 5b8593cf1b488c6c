"""The registry actor: what is pushed, signed, moved and lost when, and what ECS makes of the images."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
import urllib3
from pydantic import ValidationError

from rehearsal.actors import actor_of
from rehearsal.aws.cloud import ACCOUNT
from rehearsal.aws.ecr import Repository, Scan, Signing
from rehearsal.document import DocumentError
from rehearsal.outcome import ActorSpoke, Outcome
from rehearsal.scenario import Scenario
from rehearsal.signing import Key, Profile, SigningService, image, index
from rehearsal.timing import EPOCH
from rehearsal.world import REGION, Rehearsal

HOST = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
OLD, NEW, EVIL = (image(f"shop/web:{tag} for amd64") for tag in ("1", "2", "evil"))
BOTH = index(
    image("shop/web:2 for amd64", architecture="amd64"), image("shop/web:2 for arm64", architecture="arm64")
)
PROFILE = Profile("ci", ACCOUNT, REGION)
KEY = Key("release")
DAY = timedelta(days=1)


def rehearse(rehearsal: Rehearsal, registry: dict[str, Any], **parts: Any) -> Outcome:
    images = {"shop/web:1": {}, "shop/web:2": {}, **registry.pop("images", {})}
    service = {"images": {"app": ["shop/web:1", "shop/web:2"]}, **parts.pop("service", {})}
    switches = parts.pop("switches", {})
    scenario = Scenario.model_validate(
        {
            "name": "test",
            "service": service,
            "actors": [{"registry": {"images": images, **registry}}],
            "expect": {"status": "SUCCESSFUL"},
            **parts,
        }
    )
    outcome = rehearsal.run(scenario, switches=switches)
    assert outcome.as_expected
    return outcome


def web(rehearsal: Rehearsal) -> Repository:
    return rehearsal.cloud.registries.repository("shop/web")


def spoken(outcome: Outcome) -> list[tuple[float, str, str]]:
    return [(seen.at, seen.actor, seen.text) for seen in outcome.happenings if isinstance(seen, ActorSpoke)]


def revisions(rehearsal: Rehearsal) -> list[list[tuple[str, str | None]]]:
    """Return images and recorded digests, revision by revision."""
    return [
        [(one.image, one.image_digest) for one in revision.container_images]
        for revision in rehearsal.cloud.control_plane.revisions.values()
    ]


# What task definitions and revisions name


@pytest.mark.parametrize("named", ["digest", "tag"])
def test_task_definitions_name_the_images_in_the_registry(rehearsal: Rehearsal, named: str) -> None:
    images = {"app": ["shop/web:1", "shop/web:2"], "log": ["vendor/log:3", "vendor/log:3"]}
    rehearse(rehearsal, {"named": named}, service={"images": images})
    of = {"digest": lambda built, _: f"@{built.digest}", "tag": lambda _, tag: f":{tag}"}[named]
    definitions = rehearsal.cloud.control_plane.task_definitions.values()

    assert [[one["image"] for one in definition["containerDefinitions"]] for definition in definitions] == [
        [f"{HOST}/shop/web{of(OLD, '1')}", "vendor/log:3"],
        [f"{HOST}/shop/web{of(NEW, '2')}", "vendor/log:3"],
    ]
    assert [recorded[0][1] for recorded in revisions(rehearsal)] == [OLD.digest, NEW.digest]


def digests_seen(rehearsal: Rehearsal, stage: str, **parts: Any) -> list[str | None]:
    """Return the digests of green's images as they are recorded at a stage."""
    seen: list[list[str | None]] = []
    hook = {"hook": "scripted", "stages": [stage], "replies": [{"hookStatus": "SUCCEEDED"}]}

    def saw(happening: Any) -> None:
        if type(happening).__name__ == "HookCalled":
            seen.append([digest for _, digest in revisions(rehearsal)[-1]])

    scenario = Scenario.model_validate(
        {
            "name": "test",
            "service": {"images": {"app": ["shop/web:1", "shop/web:2"]}, **parts.pop("service", {})},
            "hooks": [hook],
            "actors": [
                {
                    "registry": {
                        "named": "tag",
                        "images": {
                            "shop/web:1": {},
                            "shop/web:2": {"platforms": ["amd64", "arm64"]},
                            "shop/web:evil": {},
                        },
                        **parts.pop("registry", {}),
                    }
                }
            ],
            "expect": {"status": "SUCCESSFUL"},
        }
    )
    rehearsal.run(scenario, switches=parts.pop("switches", {}), saw=saw)
    assert not parts
    [digests] = seen
    return digests


def test_a_tags_digest_is_recorded_once_tasks_have_started(rehearsal: Rehearsal) -> None:
    present = {"digests_at_pre_scale_up": "present"}

    assert digests_seen(rehearsal, "PRE_SCALE_UP") == [None]
    assert digests_seen(rehearsal, "PRE_SCALE_UP", switches=present) == [BOTH.digest]
    assert digests_seen(rehearsal, "POST_SCALE_UP") == [BOTH.digest]


@pytest.mark.parametrize(("architecture", "which"), [(None, 0), ("X86_64", 0), ("ARM64", 1)])
def test_of_an_index_the_platforms_digest_may_be_recorded(
    rehearsal: Rehearsal, architecture: str | None, which: int
) -> None:
    seen = digests_seen(
        rehearsal,
        "POST_SCALE_UP",
        switches={"recorded_digest": "platform"},
        service={"architecture": architecture},
    )
    definition = [*rehearsal.cloud.control_plane.task_definitions.values()][-1]

    assert seen == [BOTH.images[which].digest]
    assert definition.get("runtimePlatform") == (
        architecture and {"cpuArchitecture": architecture, "operatingSystemFamily": "LINUX"}
    )


def test_what_runs_is_what_the_tag_leads_to_when_tasks_start(rehearsal: Rehearsal) -> None:
    moves = [{"tag": "shop/web:2", "to": "shop/web:evil", "after": 30}]

    assert digests_seen(rehearsal, "POST_SCALE_UP", registry={"moves": moves}) == [EVIL.digest]


def test_an_image_that_is_nowhere_has_no_digest(rehearsal: Rehearsal) -> None:
    rehearse(rehearsal, {"images": {"shop/web:2": {"pushed": "10h"}}})

    assert revisions(rehearsal)[-1] == [(f"{HOST}/shop/web@{NEW.digest}", None)]


def test_service_connects_container_may_be_listed_beside_the_others(rehearsal: Rehearsal) -> None:
    for listed, exposure, expected in (
        ("listed", "service-connect", ["app", "ecs-service-connect"]),
        ("listed", "alb", ["app"]),
        ("unlisted", "service-connect", ["app"]),
    ):
        rehearse(
            rehearsal, {}, service={"exposure": exposure}, switches={"injected_containers": listed}
        )  # fmt: skip
        for revision in rehearsal.cloud.control_plane.revisions.values():
            names = [one.container_name for one in revision.container_images]
            assert [re.sub(r"-\d+$", "", name) for name in names] == expected


# What is in the registry, and when


def test_what_was_there_before_was_pushed_signed_and_scanned_before(rehearsal: Rehearsal) -> None:
    signed = [
        {"by": "release"},
        {"by": "release", "how": "bundle"},
        {"by": "ci", "how": "signer"},
    ]
    outcome = rehearse(rehearsal, {"images": {"shop/web:2": {"signed": signed, "found": {"HIGH": 2}}}})
    repository = web(rehearsal)
    made = [
        KEY.sign_under_tag(NEW),
        KEY.bundle(NEW),
        SigningService().sign(NEW, PROFILE, EPOCH - DAY),
    ]

    assert spoken(outcome) == []
    assert list(repository.manifests) == [OLD.digest, NEW.digest, *(one.digest for one in made)]
    assert {stored.pushed_at for stored in repository.manifests.values()} == {EPOCH - DAY}
    assert repository.tags == {"1": OLD.digest, "2": NEW.digest, made[0].tag: made[0].digest}
    assert repository.signings == {NEW.digest: {PROFILE.arn: Signing("COMPLETE")}}
    assert repository.scans == {NEW.digest: Scan(EPOCH - timedelta(hours=1), {"HIGH": 2})}
    assert repository.mutability == "MUTABLE"


@pytest.mark.parametrize("over", ["image", "platforms"])
def test_of_several_platforms_the_index_is_signed_or_each_image(rehearsal: Rehearsal, over: str) -> None:
    pushed = {"platforms": ["amd64", "arm64"], "signed": [{"over": over}], "found": {}}
    rehearse(rehearsal, {"images": {"shop/web:2": pushed}})
    subjects = {"image": [BOTH], "platforms": [*BOTH.images]}[over]
    tags = {tag: digest for tag, digest in web(rehearsal).tags.items() if tag.endswith(".sig")}

    assert tags == {made.tag: made.digest for made in map(KEY.sign_under_tag, subjects)}
    assert list(web(rehearsal).scans) == [one.digest for one in BOTH.images]


def test_what_comes_later_comes_when_it_is_said_to(rehearsal: Rehearsal) -> None:
    outcome = rehearse(
        rehearsal,
        {
            "images": {
                "shop/web:2": {"signed": [{"by": "bob", "after": "3m"}]},
                "shop/web:3": {"pushed": "1m", "signed": [{"by": "alice"}]},
                "shop/web:evil": {},
            },
            "moves": [{"tag": "shop/web:2", "to": "shop/web:evil", "after": "2m"}],
            "losses": [{"of": "shop/web:3", "after": "4m"}],
            "revocations": [{"profile": "ci", "after": "5m"}],
        },
    )

    assert spoken(outcome) == [
        (60, "ECR", "shop/web:3 is pushed"),
        (120, "ECR", "shop/web:2 now leads to what shop/web:evil is"),
        (180, "bob", "signs shop/web:2"),
        (240, "ECR", "the signatures of shop/web:3 are gone"),
        (300, "AWS Signer", "profile ci is revoked"),
    ]
    repository = web(rehearsal)
    later = image("shop/web:3 for amd64")
    assert repository.manifests[later.digest].pushed_at == EPOCH + timedelta(minutes=1)
    # Bob has signed what he built, whatever the tag leads to by now.
    made = Key("bob").sign_under_tag(NEW)
    assert repository.tags == {"1": OLD.digest, "2": EVIL.digest, "evil": EVIL.digest, "3": later.digest,
                               made.tag: made.digest}  # fmt: skip
    assert list(rehearsal.cloud.revocations.revoked) == [PROFILE.version_arn]


def test_signatures_of_all_kinds_are_lost_together(rehearsal: Rehearsal) -> None:
    signed = [{"how": how} for how in ("tag", "bundle", "signer")]
    both = {"platforms": ["amd64", "arm64"], "signed": [*signed, {"over": "platforms"}]}
    rehearse(
        rehearsal, {"images": {"shop/web:2": both}, "losses": [{"of": "shop/web:2", "after": "1m"}]}
    )  # fmt: skip

    assert set(web(rehearsal).manifests) == {
        OLD.digest,
        BOTH.digest,
        *(one.digest for one in BOTH.images),
    }
    assert set(web(rehearsal).tags) == {"1", "2"}


@pytest.mark.parametrize(
    ("fails", "says", "ends"),
    [
        (False, "signs shop/web:2 with profile ci", Signing("COMPLETE")),
        (
            True,
            "fails to sign shop/web:2 with profile ci",
            Signing("FAILED", "AccessDenied", "ci may not be used by whoever pushed"),
        ),
    ],
)
def test_managed_signing_is_under_way_until_it_has_ended(
    rehearsal: Rehearsal, fails: bool, says: str, ends: Signing
) -> None:
    states: list[Signing] = []

    def saw(_happening: Any) -> None:
        states.append(web(rehearsal).signings[NEW.digest][PROFILE.arn])

    signed = {"by": "ci", "how": "signer", "after": "5m", "fails": fails}
    scenario = Scenario.model_validate(
        {
            "name": "test",
            "actors": [{"registry": {"images": {"shop/web:2": {"signed": [signed]}}}}],
            "expect": {"status": "SUCCESSFUL"},
        }
    )
    outcome = rehearsal.run(scenario, saw=saw)

    assert spoken(outcome) == [(300, "AWS Signer", says)]
    assert (states[0], states[-1]) == (Signing("IN_PROGRESS"), ends)
    assert bool(list(web(rehearsal).referrers(NEW.digest))) is not fails


def test_an_immutable_tag_does_not_move_and_ecr_says_so(rehearsal: Rehearsal) -> None:
    moves = [{"tag": "shop/web:2", "to": "shop/web:1", "after": "2m"}]
    outcome = rehearse(rehearsal, {"immutable": True, "moves": moves})
    [(at, who, text)] = spoken(outcome)

    assert (at, who) == (120, "ECR")
    assert text.startswith("refuses: The image tag '2' already exists in the 'shop/web' repository")
    assert web(rehearsal).tags["2"] == NEW.digest


# The policy

POLICY = {
    "version": 1,
    "name": "test",
    "at": ["${in 12h}", "${ago 1d}"],
    "trust": {"${key release}": "${kms release}", "root": "${fingerprint}"},
    "images": ["${ecr}/shop/**", "${profile ci}", "${digest shop/web:2}"],
    "plain": {"a": [1, True, None, "$x"]},
}


def test_a_policy_is_filled_in_and_put_where_the_function_looks(rehearsal: Rehearsal) -> None:
    rehearse(rehearsal, {"policy": POLICY})
    reader = rehearsal.cloud.client("ssm", user="admin")
    kms = rehearsal.cloud.client("kms", user="admin")
    written = json.loads(reader.get_parameter(Name="/ecs-image-trust/policy")["Parameter"]["Value"])
    [(pem, arn)] = [pair for pair in written["trust"].items() if pair[0] != "root"]

    assert written == {
        "version": 1,
        "name": "test",
        "at": ["2026-03-02T21:00:00+00:00", "2026-03-01T09:00:00+00:00"],
        "trust": {KEY.pem: arn, "root": SigningService().fingerprint},
        "images": [f"{HOST}/shop/**", PROFILE.arn, NEW.digest],
        "plain": {"a": [1, True, None, "$x"]},
    }
    assert pem == KEY.pem
    assert kms.get_public_key(KeyId=arn)["PublicKey"] == KEY.der


@pytest.mark.parametrize(
    ("registry", "says"),
    [
        ({"policy": {"a": "${digest shop/web:9}"}}, "there is no image 'shop/web:9' here, but shop/web:2"),
        ({"policy": {"a": ["${keys release}"]}}, "policy: ${keys release} is nothing that can be filled in"),
        ({"policy": {"a": "${key}"}}, "policy: ${key} is nothing that can be filled in"),
        ({"policy": {"a": "${ecr x}"}}, "policy: ${ecr x} is nothing that can be filled in"),
        ({"policy": {"a": "${in soon}"}}, "expected a duration"),
        (
            {"moves": [{"tag": "shop/web:2", "to": "shop/web:9", "after": 1}]},
            "there is no image 'shop/web:9' here",
        ),
        ({"losses": [{"of": "shop/web:9", "after": 1}]}, "there is no image 'shop/web:9' here"),
        ({"images": {"shop/web": {}}}, "String should match pattern"),
        ({"images": {"shop/web:2": {"signed": [{"fails": True}]}}}, "a signature by tag that fails"),
        ({"images": {"shop/web:2": {"platforms": []}}}, "at least 1 item"),
    ],
    ids=str,
)
def test_what_can_not_be_is_said_before_anything_runs(registry: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(says)):
        actor_of({"registry": {"images": {"shop/web:2": {}}, **registry}})


def test_a_policy_longer_than_a_parameter_is_refused(rehearsal: Rehearsal) -> None:
    with pytest.raises(DocumentError, match="the policy is too long for a parameter"):
        rehearse(rehearsal, {"policy": {"a": "x" * 8192}})


def test_one_registry_is_enough(tmp_path: Any) -> None:
    file = tmp_path / "two.yaml"
    registry = "  - registry: {images: {shop/web:2: {}}}\n"
    file.write_text(f"actors:\n{registry}{registry}expect: {{status: SUCCESSFUL}}\n")

    with pytest.raises(DocumentError, match=r"two\.yaml:3: actors.*one registry actor is enough"):
        Scenario.read(file)


# Trouble


@pytest.mark.parametrize(
    ("how", "code", "status"),
    [
        ("throttled", "SlowDown", 503),
        ("denied", "AccessDenied", 403),
        ("failing", "InternalServerError", 500),
    ],
)
def test_s3_has_trouble_in_its_own_words(rehearsal: Rehearsal, how: str, code: str, status: int) -> None:
    answered: list[tuple[int, bytes]] = []

    def saw(_happening: Any) -> None:
        ecr = rehearsal.cloud.client("ecr", user="admin")
        layer = next(iter(NEW.blobs))
        url = ecr.get_download_url_for_layer(repositoryName="shop/web", layerDigest=layer)["downloadUrl"]
        answer = urllib3.PoolManager(retries=False).request("GET", url)
        answered.append((answer.status, answer.data))

    trouble = {"call": "s3:GetObject", "how": how, "whose": "everybody", "after": "1m", "lasts": "5m"}
    scenario = Scenario.model_validate(
        {
            "name": "test",
            "actors": [{"registry": {"images": {"shop/web:2": {}}}}, {"trouble": trouble}],
            "expect": {"status": "SUCCESSFUL"},
        }
    )
    rehearsal.run(scenario, saw=saw)

    assert {one for one, _ in answered} == {200, status}
    assert any(f"<Code>{code}</Code>".encode() in content for _, content in answered)
