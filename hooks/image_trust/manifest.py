"""Manifests as registries serve them: images, indexes of images per platform, and what hangs on them.

Source: https://github.com/opencontainers/image-spec/blob/v1.1.1/manifest.md and image-index.md; Docker's
schema 2 differs in names of media types only.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from hooks.image_trust import strict_json
from hooks.image_trust.finding import Digest, Rejected
from hooks.image_trust.reference import digest
from shared.errors import shown


@dataclass(frozen=True, slots=True)
class Platform:
    """For which machine an image is."""

    os: str
    """``linux``, ``windows``; empty for what Go does not know, and a runtime may take for anything."""
    architecture: str
    """As Go names it: ``amd64``, ``arm64``; else empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A pointer to content, with what it says about it."""

    media_type: str
    digest: Digest
    size: int
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    platform: Platform | None = None

    @property
    def is_index(self) -> bool:
        return self.media_type in _INDEXES


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One manifest, parsed from bytes that have its digest."""

    digest: Digest
    media_type: str
    size: int
    """Of the manifest itself, in bytes."""
    artifact_type: str = ""
    """Of an artifact; where it has none of its own, its configuration's media type."""
    subject: Digest | None = None
    layers: tuple[Descriptor, ...] = ()
    manifests: tuple[Descriptor, ...] = ()
    """Of an index: its images."""
    is_index: bool = False

    @property
    def runnable(self) -> tuple[Descriptor, ...]:
        """The images of an index that a task can run: not what build tools put beside them."""
        # BuildKit marks attestations by a platform that no machine has:
        # https://docs.docker.com/build/metadata/attestations/attestation-storage/
        return tuple(
            entry
            for entry in self.manifests
            if not (entry.platform and entry.platform.os == entry.platform.architecture == "unknown")
        )


MAX_MANIFEST_BYTES = 4 * 1024 * 1024
"""What registries take at most:
https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pushing-manifests"""

MAX_ENTRIES = 1000
"""Layers of an image, images of an index, or referrers of one: no real one comes near."""

# Machines that images are made for, by Go's names; "unknown" is BuildKit's word for none. Runtimes have more
# names for some ("x86_64", "AMD64"), and what is left out they take for their own:
# https://github.com/containerd/platforms/blob/v1.0.0/database.go
_SYSTEMS = frozenset({"darwin", "freebsd", "linux", "unknown", "windows"})
_ARCHITECTURES = frozenset(
    {"386", "amd64", "arm", "arm64", "loong64", "mips64le", "ppc64le", "riscv64", "s390x", "unknown", "wasm"}
)

# Go takes a key in any case, and of several the last. A document with one of these in another spelling would
# be read as one thing here, and run as another: https://pkg.go.dev/encoding/json#Unmarshal
_KEYS = {
    key.casefold(): key
    for key in (
        *("schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "subject"),
        *("annotations", "digest", "size", "platform", "os", "architecture", "variant", "urls", "data"),
    )
}

_INDEXES = frozenset(
    {
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    }
)
_IMAGES = frozenset(
    {
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    }
)
MEDIA_TYPES = tuple(sorted(_INDEXES | _IMAGES))
"""What a registry is asked for."""


def digest_of(content: bytes) -> Digest:
    """Compute the digest of content."""
    return Digest(f"sha256:{hashlib.sha256(content).hexdigest()}")


def parse_manifest(content: bytes, expected: Digest | None = None) -> Manifest:
    """Parse a manifest, after its digest was recomputed.

    Raises
    ------
    Rejected
        ``digest-mismatch`` when *content* does not have the *expected* digest, ``malformed-manifest``
        when it is none, ``unsupported-manifest`` for Docker's schema 1, and what ``strict_json`` raises.
    """
    computed = digest_of(content)
    if expected is not None and computed != expected:
        raise Rejected("digest-mismatch", f"asked for {expected}, the registry sent {computed}")
    document = _object(
        strict_json.loads(content, "the manifest", limit_bytes=MAX_MANIFEST_BYTES), "a manifest"
    )
    if document.get("schemaVersion") != 2:  # the number that the specification demands
        raise Rejected(
            "unsupported-manifest",
            f"a manifest of schema {shown(document.get('schemaVersion'))}; only schema 2 can be verified",
        )
    has_images, has_layers = "manifests" in document, "layers" in document
    if has_images == has_layers:
        # Whoever reads it as the one would run something else than who reads it as the other.
        raise Rejected("malformed-manifest", "a manifest has either manifests or layers")
    fitting = _INDEXES if has_images else _IMAGES
    media_type = _text(document.get("mediaType")) or max(fitting)  # OCI's, which need not say it
    if media_type not in fitting:
        raise Rejected("malformed-manifest", f"its mediaType {shown(media_type)} does not fit what it holds")
    config = document.get("config") if has_layers else None
    subject = document.get("subject")
    return Manifest(
        digest=computed,
        media_type=media_type,
        size=len(content),
        artifact_type=_text(document.get("artifactType"))
        or (_descriptor(config).media_type if config else ""),
        subject=_descriptor(subject).digest if subject else None,
        layers=_descriptors(document.get("layers")),
        manifests=_descriptors(document.get("manifests")),
        is_index=has_images,
    )


def _descriptors(value: object) -> tuple[Descriptor, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_ENTRIES:
        raise Rejected(
            "malformed-manifest", f"expected at most {MAX_ENTRIES} descriptors, got {shown(value)}"
        )
    return tuple(map(_descriptor, value))


def _descriptor(value: object) -> Descriptor:
    value = _object(value, "a descriptor")
    size, platform = value.get("size"), value.get("platform")
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise Rejected("malformed-manifest", f"expected the size of a descriptor, got {shown(size)}")
    return Descriptor(
        media_type=_text(value.get("mediaType")),
        digest=digest(value.get("digest")),
        size=size,
        artifact_type=_text(value.get("artifactType")),
        annotations=_annotations(value.get("annotations")),
        platform=_platform(platform) if platform is not None else None,
    )


def _platform(value: object) -> Platform:
    value = _object(value, "a platform")
    os, architecture = _text(value.get("os")).lower(), _text(value.get("architecture")).lower()
    return Platform(os if os in _SYSTEMS else "", architecture if architecture in _ARCHITECTURES else "")


def _object(value: object, what: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise Rejected("malformed-manifest", f"expected {what}, got {shown(value)}")
    for key in value:
        meant = _KEYS.get(key.casefold(), key)
        if meant != key:
            raise Rejected(
                "malformed-manifest", f"{what} has the key {shown(key)}, which some read as {meant!r}"
            )
    return value


def _annotations(value: object) -> Mapping[str, str]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(text, str) for text in value.values()):
        raise Rejected("malformed-manifest", f"expected annotations, text by name, got {shown(value)}")
    return dict(value)


def _text(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Rejected("malformed-manifest", f"expected text, got {shown(value)}")
    return value
