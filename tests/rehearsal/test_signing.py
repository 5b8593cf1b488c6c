"""Images and signatures made for rehearsals, held against their formats; nothing of the hook is used."""

import base64
import hashlib
import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key, load_pem_public_key

from rehearsal.signing import (
    BUNDLE,
    INDEX,
    SIGNATURE_ANNOTATION,
    Artifact,
    Key,
    Profile,
    SigningService,
    image,
    index,
    signatures_under_tag,
    simple_signing,
)

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
WEB = image("web")
KEY = Key("release")
PROFILE = Profile("ci", "123456789012", "eu-west-1")
SERVICE = SigningService()


def document(artifact: Artifact) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(artifact.manifest)
    return parsed


def only_layer(artifact: Artifact) -> bytes:
    [layer] = document(artifact)["layers"]
    return artifact.blobs[layer["digest"]]


def unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def verify(key: Key, signature: bytes, message: bytes) -> None:
    public = load_pem_public_key(key.pem.encode())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(signature, message, ec.ECDSA(hashes.SHA256()))


# Manifests

EVERY_KIND = {
    "image": WEB,
    "signature under a tag": KEY.sign_under_tag(WEB),
    "attestation under a tag": KEY.attest_under_tag(WEB, "https://slsa.dev/provenance/v1", {}),
    "bundle": KEY.bundle(WEB),
    "attestation": KEY.attest(WEB, "https://slsa.dev/provenance/v1", {"runDetails": {}}),
    "notation": SERVICE.sign(WEB, PROFILE, AT),
}


@pytest.mark.parametrize("artifact", EVERY_KIND.values(), ids=EVERY_KIND)
def test_a_manifest_points_to_what_it_is_made_of(artifact: Artifact) -> None:
    manifest = document(artifact)
    pointers = [manifest["config"], *manifest["layers"]]

    assert (manifest["schemaVersion"], manifest["mediaType"]) == (2, artifact.media_type)
    assert {pointer["digest"] for pointer in pointers} == set(artifact.blobs)
    for pointer in pointers:
        content = artifact.blobs[pointer["digest"]]
        assert pointer["digest"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
        assert pointer["size"] == len(content)


def test_an_index_lists_its_images_with_their_platforms() -> None:
    amd, arm = image("web", architecture="amd64"), image("web", architecture="arm64")
    both = index(amd, arm)

    assert amd.digest != arm.digest
    assert both.images == (amd, arm)
    assert document(both) == {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [
            {
                "mediaType": amd.media_type,
                "digest": amd.digest,
                "size": len(amd.manifest),
                "platform": {"architecture": "amd64", "os": "linux"},
            },
            {
                "mediaType": arm.media_type,
                "digest": arm.digest,
                "size": len(arm.manifest),
                "platform": {"architecture": "arm64", "os": "linux"},
            },
        ],
    }


def test_equal_names_and_times_make_equal_bytes() -> None:
    assert image("web") == WEB
    assert Key("release").pem == KEY.pem
    assert Key("release").bundle(WEB) == KEY.bundle(WEB)
    assert Key("release").sign_under_tag(WEB) == KEY.sign_under_tag(WEB)
    assert SigningService().sign(WEB, PROFILE, AT) == SERVICE.sign(WEB, PROFILE, AT)


def test_other_names_make_other_keys_images_and_roots() -> None:
    assert len({Key(name).pem for name in ("release", "build", "")}) == 3
    assert image("web").digest != image("web ").digest
    assert SigningService("Other").fingerprint != SERVICE.fingerprint


# cosign


def test_a_signature_under_a_tag_is_over_its_payload_and_the_payload_about_the_image() -> None:
    signed = KEY.sign_under_tag(WEB, repository="registry/web", annotations={"commit": "c0ffee"})
    [layer] = document(signed)["layers"]
    payload = only_layer(signed)

    assert signed.tag == f"sha256-{WEB.digest.removeprefix('sha256:')}.sig"
    verify(KEY, base64.b64decode(layer["annotations"][SIGNATURE_ANNOTATION]), payload)
    assert json.loads(payload) == {
        "critical": {
            "identity": {"docker-reference": "registry/web"},
            "image": {"docker-manifest-digest": WEB.digest},
            "type": "cosign container image signature",
        },
        "optional": {"commit": "c0ffee"},
    }


def test_several_signers_stand_in_one_manifest() -> None:
    payload = simple_signing(WEB.digest)
    alice, bob = Key("alice"), Key("bob")
    both = signatures_under_tag(WEB, [(payload, alice.sign(payload)), (payload, bob.sign(payload))])
    signatures = [
        base64.b64decode(layer["annotations"][SIGNATURE_ANNOTATION]) for layer in document(both)["layers"]
    ]

    verify(alice, signatures[0], payload)
    verify(bob, signatures[1], payload)
    with pytest.raises(InvalidSignature):
        verify(alice, signatures[1], payload)


@pytest.mark.parametrize(
    ("made", "predicate_type", "predicate"),
    [
        (KEY.bundle(WEB), "https://sigstore.dev/cosign/sign/v1", {}),
        (KEY.attest(WEB, "https://example.com/tested/v1", {"passed": True}), "https://example.com/tested/v1",
         {"passed": True}),
    ],
    ids=["signature", "attestation"],
)  # fmt: skip
def test_a_bundle_hangs_on_the_image_and_holds_a_signed_statement_about_it(
    made: Artifact, predicate_type: str, predicate: dict[str, Any]
) -> None:
    manifest, bundle = document(made), json.loads(only_layer(made))
    envelope = bundle["dsseEnvelope"]
    statement = base64.b64decode(envelope["payload"])

    assert manifest["artifactType"] == bundle["mediaType"] == BUNDLE
    assert manifest["subject"] == WEB.descriptor
    assert manifest["annotations"]["dev.sigstore.bundle.predicateType"] == predicate_type
    assert base64.b64decode(bundle["verificationMaterial"]["publicKey"]["hint"]) == (
        hashlib.sha256(KEY.der).digest()
    )
    encoded = b"DSSEv1 28 application/vnd.in-toto+json %d %s" % (len(statement), statement)
    verify(KEY, base64.b64decode(envelope["signatures"][0]["sig"]), encoded)
    assert json.loads(statement) == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": WEB.digest.removeprefix("sha256:")}}],
        "predicateType": predicate_type,
        "predicate": predicate,
    }


def test_an_attestation_under_a_tag_is_an_envelope() -> None:
    made = KEY.attest_under_tag(WEB, "https://slsa.dev/provenance/v0.2", {"builder": {"id": "ci"}})
    [layer] = document(made)["layers"]
    envelope = json.loads(only_layer(made))
    statement = base64.b64decode(envelope["payload"])

    assert made.tag == f"sha256-{WEB.digest.removeprefix('sha256:')}.att"
    assert layer["mediaType"] == "application/vnd.dsse.envelope.v1+json"
    assert json.loads(statement)["_type"] == "https://in-toto.io/Statement/v0.1"
    encoded = b"DSSEv1 28 application/vnd.in-toto+json %d %s" % (len(statement), statement)
    verify(KEY, base64.b64decode(envelope["signatures"][0]["sig"]), encoded)


# AWS Signer


def envelope_and_chain() -> tuple[dict[str, Any], list[x509.Certificate]]:
    envelope = json.loads(only_layer(SERVICE.sign(WEB, PROFILE, AT)))
    chain = [x509.load_der_x509_certificate(base64.b64decode(one)) for one in envelope["header"]["x5c"]]
    return envelope, chain


def test_an_envelope_says_what_was_signed_by_whom_and_when() -> None:
    envelope, _ = envelope_and_chain()
    arn = "arn:aws:signer:eu-west-1:123456789012:/signing-profiles/ci"

    assert (PROFILE.arn, PROFILE.version_arn.rpartition("/")[0]) == (arn, arn)
    assert json.loads(unpadded(envelope["payload"])) == {"targetArtifact": WEB.descriptor}
    said = json.loads(unpadded(envelope["protected"]))
    extended = [key for key in said if "." in key]
    assert sorted(said.pop("crit")) == sorted(extended)
    assert said == {
        "alg": "ES384",
        "cty": "application/vnd.cncf.notary.payload.v1+json",
        "com.amazonaws.signer.signingJob": PROFILE.job_arn(WEB.digest),
        "com.amazonaws.signer.signingProfileVersion": PROFILE.version_arn,
        "io.cncf.notary.authenticSigningTime": "2026-03-02T09:00:00Z",
        "io.cncf.notary.expiry": (AT + timedelta(days=4050)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "io.cncf.notary.signingScheme": "notary.x509.signingAuthority",
        "io.cncf.notary.verificationPlugin": "com.amazonaws.signer.notation.plugin",
    }


def test_an_envelope_is_signed_by_its_leaf_which_leads_to_the_root() -> None:
    envelope, (leaf, intermediate, root) = envelope_and_chain()
    signature = unpadded(envelope["signature"])
    encoded = encode_dss_signature(int.from_bytes(signature[:48]), int.from_bytes(signature[48:]))
    key = leaf.public_key()

    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert (len(signature), key.curve.name) == (96, "secp384r1")
    key.verify(encoded, f"{envelope['protected']}.{envelope['payload']}".encode(), ec.ECDSA(hashes.SHA384()))
    leaf.verify_directly_issued_by(intermediate)
    intermediate.verify_directly_issued_by(root)
    root.verify_directly_issued_by(root)
    assert root.fingerprint(hashes.SHA256()).hex() == SERVICE.fingerprint


def test_a_leaf_lives_for_days_and_has_no_other_use_than_signing_code() -> None:
    _, (leaf, *authorities) = envelope_and_chain()

    assert leaf.not_valid_before_utc < AT < leaf.not_valid_after_utc
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == timedelta(days=3)
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [one.dotted_string for one in usage] == ["1.3.6.1.5.5.7.3.3"]
    constraints = [
        one.extensions.get_extension_for_class(x509.BasicConstraints).value for one in (leaf, *authorities)
    ]
    assert [(one.ca, one.path_length) for one in constraints] == [(False, None), (True, 0), (True, 1)]


def openssl(*arguments: str) -> str:
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("no openssl on this machine")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_openssl_accepts_the_chain_and_a_signature_by_key(tmp_path: Path) -> None:
    _, chain = envelope_and_chain()
    for name, certificate in zip(("leaf", "intermediate", "root"), chain, strict=True):
        (tmp_path / name).write_bytes(certificate.public_bytes(Encoding.PEM))
    payload = simple_signing(WEB.digest)
    (tmp_path / "payload").write_bytes(payload)
    (tmp_path / "signature").write_bytes(KEY.sign(payload))
    (tmp_path / "key").write_text(KEY.pem)

    chained = openssl(
        *("verify", "-attime", str(int(AT.timestamp())), "-x509_strict"),
        *("-CAfile", str(tmp_path / "root"), "-untrusted", str(tmp_path / "intermediate")),
        str(tmp_path / "leaf"),
    )
    signed = openssl(
        *("dgst", "-sha256", "-verify", str(tmp_path / "key"), "-signature", str(tmp_path / "signature")),
        str(tmp_path / "payload"),
    )

    assert chained == f"{tmp_path / 'leaf'}: OK\n"
    assert signed == "Verified OK\n"


def test_a_public_key_is_the_same_in_both_forms() -> None:
    assert load_der_public_key(KEY.der) == load_pem_public_key(KEY.pem.encode())
