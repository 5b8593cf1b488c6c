"""Images and what hangs on them, as tools lay them out, and a pusher that puts them into any registry.

Nothing is signed here: a registry does not know what a signature is, and what reads it does not look.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import requests

from hooks.image_trust.finding import Digest
from hooks.image_trust.manifest import digest_of

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"
SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
DSSE = "application/vnd.dsse.envelope.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
NOTATION = "application/vnd.cncf.notary.signature"
JWS = "application/jose+json"
SIGNATURE = "dev.cosignproject.cosign/signature"


class Repository(Protocol):
    """Where things are put; all that differs between a fixture, a real registry and ECR."""

    def blob(self, content: bytes) -> None: ...

    def manifest(self, content: bytes, tag: str = "") -> None: ...


@dataclass(frozen=True)
class HttpRepository:
    """A repository of a registry that is spoken to as any client does."""

    url: str
    name: str

    def blob(self, content: bytes) -> None:
        begun = requests.post(f"{self.url}/v2/{self.name}/blobs/uploads/", timeout=5)
        assert begun.status_code == 202, begun.text
        where = begun.headers["Location"]
        where = where if where.startswith("http") else self.url + where
        joint = "&" if "?" in where else "?"
        done = requests.put(f"{where}{joint}digest={digest_of(content)}", data=content, timeout=5)
        assert done.status_code == 201, done.text

    def manifest(self, content: bytes, tag: str = "") -> None:
        done = requests.put(
            f"{self.url}/v2/{self.name}/manifests/{tag or digest_of(content)}",
            data=content,
            headers={"Content-Type": json.loads(content)["mediaType"]},
            timeout=5,
        )
        assert done.status_code == 201, done.text


def packed(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document).encode()


def descriptor(media_type: str, content: bytes, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content), **more}


def manifest(
    *,
    config: tuple[str, bytes] = (CONFIG, b"{}"),
    layers: Sequence[Mapping[str, Any]] = (),
    **more: Any,
) -> bytes:
    return packed(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(*config),
            "layers": list(layers),
            **more,
        }
    )


def index(entries: Sequence[Mapping[str, Any]], **more: Any) -> bytes:
    return packed({"schemaVersion": 2, "mediaType": INDEX, "manifests": list(entries), **more})


def push_image(where: Repository, content: bytes = b"an image", tag: str = "") -> Digest:
    """Push an image of one layer; return its digest."""
    layer = descriptor("application/vnd.oci.image.layer.v1.tar", content)
    where.blob(b"{}")
    where.blob(content)
    made = manifest(layers=[layer])
    where.manifest(made, tag)
    return digest_of(made)


def push_index(where: Repository, images: Mapping[str, Digest], sizes: int = 1, tag: str = "") -> Digest:
    """Push an index of images by architecture; return its digest."""
    made = index(
        [
            {
                "mediaType": MANIFEST,
                "digest": digest,
                "size": sizes,
                "platform": {"os": "linux", "architecture": architecture},
            }
            for architecture, digest in images.items()
        ]
    )
    where.manifest(made, tag)
    return digest_of(made)


def cosign_tag(subject: Digest, suffix: str = "") -> str:
    return subject.replace(":", "-") + suffix


def push_cosign(
    where: Repository, subject: Digest, contents: Sequence[bytes], *, suffix: str = ".sig"
) -> Digest:
    """Push what classic cosign pushes: one manifest under a tag, a layer for each signature."""
    media_type = SIMPLE_SIGNING if suffix == ".sig" else DSSE
    where.blob(b"{}")
    for content in contents:
        where.blob(content)
    made = manifest(
        layers=[
            descriptor(media_type, content, annotations={SIGNATURE: f"signature {number}"})
            for number, content in enumerate(contents)
        ]
    )
    where.manifest(made, cosign_tag(subject, suffix))
    return digest_of(made)


def referrer(
    subject: Digest | None,
    content: bytes,
    *,
    artifact_type: str = BUNDLE,
    layer_type: str = BUNDLE,
    **more: Any,
) -> bytes:
    """Return the manifest of something that refers to *subject*."""
    if subject:
        more["subject"] = {"mediaType": MANIFEST, "digest": subject, "size": 1}
    return manifest(
        config=(EMPTY, b"{}"),
        artifactType=artifact_type,
        layers=[descriptor(layer_type, content, annotations={"kept": "yes"})],
        **more,
    )


def push_referrer(
    where: Repository,
    subject: Digest,
    content: bytes,
    *,
    artifact_type: str = BUNDLE,
    layer_type: str = BUNDLE,
    fallback: bool = False,
    listed_as: str | None = None,
) -> Digest:
    """Push something that refers to *subject*; with *fallback* also the index that tools write."""
    made = referrer(subject, content, artifact_type=artifact_type, layer_type=layer_type)
    where.blob(b"{}")
    where.blob(content)
    where.manifest(made)
    if fallback:
        entry = descriptor(MANIFEST, made, artifactType=listed_as or artifact_type)
        where.manifest(index([entry]), cosign_tag(subject))
    return digest_of(made)
