"""Manifests: one meaning for whoever reads them, and nothing that whoever pushed one could break."""

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hooks.image_trust.finding import Digest, Rejected
from hooks.image_trust.manifest import (
    _KEYS,
    MAX_ENTRIES,
    MAX_MANIFEST_BYTES,
    MEDIA_TYPES,
    Descriptor,
    Manifest,
    Platform,
    digest_of,
    parse_manifest,
)

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_IMAGE = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_IMAGE = "application/vnd.docker.distribution.manifest.v2+json"
A, B = Digest("sha256:" + "a" * 64), Digest("sha256:" + "b" * 64)


def entry(digest: str = A, media_type: str = OCI_IMAGE, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest, "size": 7, **more}


def index(*entries: Any, **more: Any) -> dict[str, Any]:
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries), **more}


def image(*layers: Any, **more: Any) -> dict[str, Any]:
    config = entry(B, "application/vnd.oci.image.config.v1+json")
    return {"schemaVersion": 2, "mediaType": OCI_IMAGE, "config": config, "layers": list(layers), **more}


def written(document: Any) -> bytes:
    return json.dumps(document).encode()


def code_of(document: Any) -> str:
    content = document if isinstance(document, bytes) else written(document)
    with pytest.raises(Rejected) as caught:
        parse_manifest(content)
    return caught.value.code


# ------------------------------------------------------------------------------------ what is read


def test_an_index_is_read_with_its_platforms() -> None:
    content = written(
        index(
            entry(A, platform={"os": "linux", "architecture": "amd64", "variant": "v2"}),
            entry(B, DOCKER_IMAGE, annotations={"a": "b"}, artifactType="x/y"),
        )
    )

    assert parse_manifest(content) == Manifest(
        digest=digest_of(content),
        media_type=OCI_INDEX,
        size=len(content),
        manifests=(
            Descriptor(media_type=OCI_IMAGE, digest=A, size=7, platform=Platform("linux", "amd64")),
            Descriptor(
                media_type=DOCKER_IMAGE, digest=B, size=7, artifact_type="x/y", annotations={"a": "b"}
            ),
        ),
        is_index=True,
    )


def test_an_image_is_read_with_its_layers_and_what_it_refers_to() -> None:
    content = written(image(entry(A, "application/vnd.oci.image.layer.v1.tar"), subject=entry(B, OCI_INDEX)))

    assert parse_manifest(content) == Manifest(
        digest=digest_of(content),
        media_type=OCI_IMAGE,
        size=len(content),
        artifact_type="application/vnd.oci.image.config.v1+json",
        subject=B,
        layers=(Descriptor(media_type="application/vnd.oci.image.layer.v1.tar", digest=A, size=7),),
    )


@pytest.mark.parametrize(
    ("document", "media_type", "is_index"),
    [
        ({**index(), "mediaType": DOCKER_LIST}, DOCKER_LIST, True),
        ({**image(), "mediaType": DOCKER_IMAGE}, DOCKER_IMAGE, False),
        # OCI's need not say it, and what says nothing is OCI's.
        ({"schemaVersion": 2, "manifests": []}, OCI_INDEX, True),
        ({"schemaVersion": 2, "layers": []}, OCI_IMAGE, False),
        ({"schemaVersion": 2, "layers": [], "mediaType": None}, OCI_IMAGE, False),
    ],
)
def test_docker_s_and_oci_s_are_the_same(document: Any, media_type: str, is_index: bool) -> None:
    found = parse_manifest(written(document))

    assert (found.media_type, found.is_index) == (media_type, is_index)


def test_an_artifact_s_own_type_comes_before_its_configuration_s() -> None:
    assert parse_manifest(written(image(artifactType="a/b"))).artifact_type == "a/b"
    assert parse_manifest(written({"schemaVersion": 2, "layers": []})).artifact_type == ""


def test_all_of_the_four_media_types_are_asked_for() -> None:
    assert set(MEDIA_TYPES) == {OCI_INDEX, OCI_IMAGE, DOCKER_LIST, DOCKER_IMAGE}


@pytest.mark.parametrize(
    ("media_type", "is_index"),
    [(OCI_INDEX, True), (DOCKER_LIST, True), (OCI_IMAGE, False), (DOCKER_IMAGE, False), ("", False)],
)
def test_an_entry_says_whether_it_is_an_index_itself(media_type: str, is_index: bool) -> None:
    (found,) = parse_manifest(written(index(entry(A, media_type)))).manifests

    assert found.is_index == is_index


# ------------------------------------------------------------------------------------ what it can't be


def test_content_is_held_against_its_digest_before_it_is_read() -> None:
    content = b"not even JSON"

    with pytest.raises(Rejected) as caught:
        parse_manifest(content, A)

    assert caught.value.code == "digest-mismatch"
    assert str(caught.value) == f"asked for {A}, the registry sent {digest_of(content)}"


def test_content_of_the_digest_is_taken() -> None:
    content = written(image())

    assert parse_manifest(content, digest_of(content)).digest == digest_of(content)


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (b"", "malformed-json"),
        (b"\xff", "malformed-json"),
        (b'{"schemaVersion":2,"layers":[],"layers":[]}', "malformed-json"),
        (b" " * (MAX_MANIFEST_BYTES + 1), "too-large"),
        ([], "malformed-manifest"),
        ("text", "malformed-manifest"),
        ({"schemaVersion": 1, "fsLayers": []}, "unsupported-manifest"),
        ({"layers": []}, "unsupported-manifest"),
        ({"schemaVersion": "2", "layers": []}, "unsupported-manifest"),
        # Neither, or both.
        ({"schemaVersion": 2}, "malformed-manifest"),
        ({"schemaVersion": 2, "layers": [], "manifests": []}, "malformed-manifest"),
        ({**image(), "mediaType": OCI_INDEX}, "malformed-manifest"),
        ({**index(), "mediaType": OCI_IMAGE}, "malformed-manifest"),
        ({**image(), "mediaType": "application/json"}, "malformed-manifest"),
        # Of types that no dictionary could be asked for.
        ({**image(), "mediaType": ["x"]}, "malformed-manifest"),
        ({**image(), "mediaType": {}}, "malformed-manifest"),
        ({**image(), "mediaType": 7}, "malformed-manifest"),
        ({**image(), "config": "x"}, "malformed-manifest"),
        ({**image(), "subject": "x"}, "malformed-manifest"),
        ({**image(), "artifactType": 7}, "malformed-manifest"),
        ({**image(), "layers": {}}, "malformed-manifest"),
        ({**image(), "layers": "x"}, "malformed-manifest"),
        (image("x"), "malformed-manifest"),
        (image(entry("sha512:" + "a" * 128)), "malformed-digest"),
        (image(entry("sha256:" + "A" * 64)), "malformed-digest"),
        (image({"mediaType": "x", "size": 1}), "malformed-digest"),
        (image({**entry(), "size": -1}), "malformed-manifest"),
        (image({**entry(), "size": True}), "malformed-manifest"),
        (image({**entry(), "size": 1.5}), "malformed-manifest"),
        (image({**entry(), "size": "1"}), "malformed-manifest"),
        (image({"mediaType": "x", "digest": A}), "malformed-manifest"),
        (image({**entry(), "mediaType": 7}), "malformed-manifest"),
        (image(entry(annotations=[])), "malformed-manifest"),
        (image(entry(annotations={"a": 1})), "malformed-manifest"),
        (image(entry(annotations={"a": None})), "malformed-manifest"),
        (index(entry(platform="linux/amd64")), "malformed-manifest"),
        (index(entry(platform={"os": 7})), "malformed-manifest"),
        (index(*[entry()] * (MAX_ENTRIES + 1)), "malformed-manifest"),
        (image(*[entry()] * (MAX_ENTRIES + 1)), "malformed-manifest"),
    ],
)
def test_what_is_no_manifest_is_refused(document: Any, code: str) -> None:
    assert code_of(document) == code


def test_as_many_entries_as_are_allowed_are_read() -> None:
    assert len(parse_manifest(written(index(*[entry()] * MAX_ENTRIES))).manifests) == MAX_ENTRIES


@pytest.mark.parametrize(
    "document",
    [
        # What Go reads into the same field, the later one over the earlier.
        {**index(entry(A)), "Manifests": [entry(B)]},
        {**index(entry(A)), "MANIFESTS": [entry(B)]},
        {**index(entry(A)), "manife\u017fts": [entry(B)]},
        {**index(entry(A)), "Layers": []},
        {**image(), "MediaType": OCI_INDEX},
        {**image(), "SchemaVersion": 2},
        index({**entry(A), "Digest": B}),
        index({**entry(A), "Platform": {"os": "linux", "architecture": "amd64"}}),
        index(entry(platform={"os": "linux", "architecture": "arm64", "Architecture": "amd64"})),
        index(entry(platform={"os": "linux", "architecture": "arm64", "OS": "linux"})),
    ],
)
def test_a_key_that_others_would_read_as_another_one_is_refused(document: Any) -> None:
    assert code_of(document) == "malformed-manifest"


def test_a_name_among_annotations_may_be_any() -> None:
    found = parse_manifest(written(image(entry(annotations={"Digest": "x", "digest": "y"}))))

    assert found.layers[0].annotations == {"Digest": "x", "digest": "y"}


# ------------------------------------------------------------------------------------ which machines


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"os": "linux", "architecture": "amd64"}, Platform("linux", "amd64")),
        ({"os": "Linux", "architecture": "ARM64"}, Platform("linux", "arm64")),
        ({"os": "windows", "architecture": "amd64", "os.version": "10"}, Platform("windows", "amd64")),
        # A runtime may take these for its own machine.
        ({"os": "linux", "architecture": "x86_64"}, Platform("linux", "")),
        ({"os": "linux", "architecture": "aarch64"}, Platform("linux", "")),
        ({"os": "", "architecture": "amd64"}, Platform("", "amd64")),
        ({"architecture": "amd64"}, Platform("", "amd64")),
        ({"os": "l\u0130nux", "architecture": "amd64"}, Platform("", "amd64")),
        ({}, Platform("", "")),
        ({"os": "unknown", "architecture": "unknown"}, Platform("unknown", "unknown")),
    ],
)
def test_a_platform_is_known_only_by_a_name_that_everybody_reads_alike(
    said: dict[str, str], found: Platform
) -> None:
    assert parse_manifest(written(index(entry(platform=said)))).manifests[0].platform == found


def test_what_build_tools_put_beside_images_is_not_run() -> None:
    found = parse_manifest(
        written(
            index(
                entry(A, platform={"os": "unknown", "architecture": "unknown"}),
                entry(B, platform={"os": "unknown", "architecture": "amd64"}),
                entry(B, platform={"os": "linux", "architecture": "unknown"}),
                entry(B),
            )
        )
    )

    assert [one.digest for one in found.runnable] == [B, B, B]


# ------------------------------------------------------------------------------------ whatever comes

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.sampled_from([A]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(sorted(_KEYS.values())) | st.text(max_size=3),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=400)
@given(VALUES | st.binary(max_size=64))
@example({"schemaVersion": 2, "layers": [], "mediaType": [[]]})
@example({"schemaVersion": 2, "layers": [{"digest": A, "size": 1, "annotations": {"a": []}}]})
def test_whatever_comes_is_a_manifest_or_is_rejected(document: Any) -> None:
    content = document if isinstance(document, bytes) else written(document)
    try:
        found = parse_manifest(content)
    except Rejected:
        return
    assert found.digest == digest_of(content)
    assert found.media_type in MEDIA_TYPES
