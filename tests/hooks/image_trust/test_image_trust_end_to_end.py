"""All of it with nothing played: a registry over HTTP, signatures by a key, and whoever may push there."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hooks.image_trust.containers import Container
from hooks.image_trust.finding import Digest
from hooks.image_trust.judging import Circumstances, Judged, judge
from hooks.image_trust.manifest import Platform, digest_of
from hooks.image_trust.policy_document import load_policy
from hooks.image_trust.sources import Sources
from tests.hooks.image_trust.judged_images import AMD64, NOW
from tests.hooks.image_trust.oci_artifacts import (
    BUNDLE,
    MANIFEST,
    SIGNATURE,
    SIMPLE_SIGNING,
    HttpRepository,
    cosign_tag,
    descriptor,
    index,
    manifest,
    packed,
    push_image,
    push_referrer,
)
from tests.hooks.image_trust.registry_server import RegistryServer

OURS, THEIRS = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
PEM = OURS.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def payload(digest: str) -> bytes:
    """Return what cosign signs."""
    critical = {
        "identity": {"docker-reference": ""},
        "image": {"docker-manifest-digest": digest},
        "type": "cosign container image signature",
    }
    return packed({"critical": critical, "optional": None})


@dataclass
class Registry:
    """A registry that anybody pushes to."""

    server: RegistryServer
    where: HttpRepository
    layers: dict[str, list[tuple[bytes, bytes]]] = field(default_factory=dict)

    def sign(self, subject: Digest, *, over: str = "", key: Any = OURS) -> None:
        """Hang a signature of cosign on an image, beside those that hang there already."""
        content = payload(over or subject)
        signature = key.sign(content, ec.ECDSA(SHA256()))
        self.layers.setdefault(subject, []).append((content, signature))
        self.where.blob(b"{}")
        described = []
        for one, by in self.layers[subject]:
            self.where.blob(one)
            annotations = {SIGNATURE: base64.b64encode(by).decode()}
            described.append(descriptor(SIMPLE_SIGNING, one, annotations=annotations))
        self.where.manifest(manifest(layers=described), cosign_tag(subject, ".sig"))

    def lists(self, *entries: dict[str, Any], tag: str = "") -> Digest:
        """Push an index."""
        made = index([{"mediaType": MANIFEST, "size": 1, **entry} for entry in entries])
        self.where.manifest(made, tag)
        return digest_of(made)

    def judge(self, image: str, *, platform: Platform | None = None, **terms: Any) -> Judged:
        """Judge one container by one rule: signed with our key."""
        document = {
            "version": 1,
            "name": "production",
            "references": {"requireDigest": False},
            "registries": {self.server.host: {}},
            "trust": {"keys": {"release": {"pem": PEM}}},
            "rules": [
                {
                    "name": "our own",
                    "match": {"images": [f"{self.server.host}/shop/**"]},
                    "require": {"cosign": {"key": "release"}},
                }
            ],
        }
        policy = load_policy(packed(document), sha256=None).policy
        one = Container(name="web", image=f"{self.server.host}/shop/web{image}", platform=platform)
        circumstances = Circumstances(policy=policy, service="shop/checkout", now=NOW, **terms)
        sources = Sources(policy, insecure=frozenset({self.server.host}))
        (judged,) = judge([one], circumstances, sources.fetch)
        return judged

    def stands(self, image: str, **terms: Any) -> tuple[str, str]:
        found = self.judge(image, **terms)
        return found.verdict.value, found.finding.code


PASS, UNSIGNED = ("pass", "ok"), ("deny", "no-signature")


@pytest.fixture
def registry() -> Iterator[Registry]:
    with RegistryServer() as server:
        yield Registry(server, HttpRepository(f"http://{server.host}", "shop/web"))


def test_an_image_is_admitted_by_our_signature_alone(registry: Registry) -> None:
    image, other = (push_image(registry.where, content) for content in (b"one", b"other"))
    assert registry.stands(f"@{image}") == UNSIGNED
    registry.sign(image, key=THEIRS)
    assert registry.stands(f"@{image}") == ("deny", "wrong-signature")
    registry.sign(image, over=other)
    assert registry.stands(f"@{image}") == ("deny", "no-valid-signature")
    registry.sign(image)
    assert registry.stands(f"@{image}") == PASS
    assert registry.stands(f"@{other}") == UNSIGNED


def test_whatever_else_hangs_on_it_a_good_signature_is_found(registry: Registry) -> None:
    image = push_image(registry.where)
    for key in (THEIRS, OURS, THEIRS):
        registry.sign(image, key=key)
    odd = (b"", b"{}", b"[" * 1000, b"\xff", packed({"mediaType": BUNDLE, "verificationMaterial": []}))
    for content in odd:
        push_referrer(registry.where, image, content)
    broken = packed({"schemaVersion": 2, "mediaType": [MANIFEST], "layers": [], "subject": {"digest": image}})
    registry.server.put_manifest("shop/web", broken)

    assert registry.stands(f"@{image}") == PASS


def test_a_tag_is_judged_by_what_it_leads_to(registry: Registry) -> None:
    image = push_image(registry.where, b"one", "v1")
    registry.sign(image)
    found = registry.judge(":v1")
    assert (found.verdict.value, found.digest, found.bind) == ("pass", image, True)

    push_image(registry.where, b"other", "v1")
    assert registry.stands(":v1") == UNSIGNED
    # Beside a digest it is decoration.
    assert registry.stands(f":v1@{image}") == PASS


@pytest.mark.parametrize(
    "platform",
    [
        {"os": "linux", "architecture": "x86_64"},
        {"os": "LINUX", "architecture": "AMD64"},
        {"os": "", "architecture": "amd64"},
        {"architecture": "amd64"},
        {"os": "linux", "architecture": "386"},
        None,
    ],
)
def test_no_unsigned_image_hides_in_an_index_behind_another_word_for_its_machine(
    registry: Registry, platform: dict[str, str] | None
) -> None:
    good, evil = (push_image(registry.where, content) for content in (b"good", b"evil"))
    registry.sign(good)
    said = {} if platform is None else {"platform": platform}
    listed = {"digest": good, "platform": {"os": "linux", "architecture": "amd64"}}
    arm = {"digest": evil, "platform": {"os": "linux", "architecture": "arm64"}}

    assert registry.stands(f"@{registry.lists(listed, arm)}", platform=AMD64) == PASS
    assert registry.stands(f"@{registry.lists({'digest': evil, **said}, listed)}", platform=AMD64) == UNSIGNED


def test_an_index_that_others_would_read_otherwise_is_refused(registry: Registry) -> None:
    good, evil = (push_image(registry.where, content) for content in (b"good", b"evil"))
    registry.sign(good)
    entry = {"mediaType": MANIFEST, "digest": good, "size": 1}
    made = json.loads(index([entry])) | {"Manifests": [{**entry, "digest": evil}]}
    found = registry.server.put_manifest("shop/web", packed(made))

    assert registry.stands(f"@{found}") == ("deny", "malformed-manifest")


def test_a_signed_index_covers_its_images_and_the_other_way_round(registry: Registry) -> None:
    one, other = (push_image(registry.where, content) for content in (b"one", b"other"))
    made = registry.lists({"digest": one}, {"digest": other}, tag="v1")
    assert registry.stands(f"@{made}") == UNSIGNED
    registry.sign(one)
    assert registry.stands(f"@{made}") == UNSIGNED
    registry.sign(other)
    assert registry.stands(f"@{made}") == PASS

    third = push_image(registry.where, b"third")
    registry.sign(registry.lists({"digest": third}, tag="v2"))
    assert registry.stands(f"@{third}") == UNSIGNED
    assert registry.stands(f":v1@{third}") == UNSIGNED
    assert registry.stands(f":v2@{third}") == PASS
