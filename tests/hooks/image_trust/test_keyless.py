import base64
import json
import logging
import re
import socket
import warnings
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sigstore.models
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from sigstore.verify import Verifier

from hooks.image_trust.evidence import Attached, Kind
from hooks.image_trust.finding import Digest, Rejected, Signed
from hooks.image_trust.formats import bundle as bundles
from hooks.image_trust.formats import keyless, trusted_root
from hooks.image_trust.formats.cosign import MAX_PAYLOAD_BYTES
from hooks.image_trust.formats.keys import load_public_key
from hooks.image_trust.formats.statement import Statement
from hooks.image_trust.formats.transparency import verify_logged
from hooks.image_trust.manifest import digest_of
from hooks.image_trust.policy import Keyless
from tests.hooks.image_trust.vectors.make_sigstore import (
    IDENTITY,
    IMAGE,
    ISSUER,
    NOW,
    WORKFLOW,
    Certified,
    Leaf,
    Sigstore,
    b64,
    dsse,
    envelope,
    hashedrekord,
    hashedrekord_v2,
    intoto_v2,
    logged_bundle,
    new_key,
    older,
    pae,
    sign,
    simple_signing,
    stamped,
    statement,
)

VECTORS = Path(__file__).parent / "vectors"
TRUST = Path(__file__).parents[3].parent / "shared" / "data" / "trust"
OURS, THEIRS = Sigstore(), Sigstore()
ROOT = keyless.load_root(json.dumps(OURS.trusted_root()).encode())
IDENTITY_OF_OURS = Keyless.model_validate(IDENTITY)
DIGEST, ARTIFACT = Digest(IMAGE), b"an image's manifest"
SLSA = "https://slsa.dev/provenance/v1"
LATE = NOW + timedelta(hours=1)
LATE_SECONDS = int(LATE.timestamp())


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("something asks the network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def outcome_of(call: Callable[[], object]) -> str:
    try:
        call()
    except Rejected as error:
        assert len(str(error)) < 600
        return error.code
    return "ok"


def attached(kind: Kind, content: bytes, annotations: dict[str, str] | None = None) -> Attached:
    return Attached(
        kind=kind,
        subject=DIGEST,
        manifest=DIGEST,
        media_type="application/octet-stream",
        content=content,
        annotations=annotations or {},
    )


def layer(made: tuple[bytes, dict[str, str]], **changes: str | None) -> Attached:
    content, annotations = made
    names = {name.rpartition("/")[2]: name for name in annotations}
    for name, value in changes.items():
        key = names.get(name, f"dev.sigstore.cosign/{name}")
        annotations = {other: text for other, text in annotations.items() if other != key}
        if value is not None:
            annotations[key] = value
    return attached(Kind.COSIGN_SIGNATURE, content, annotations)


def bundled(document: dict[str, Any]) -> Attached:
    return attached(Kind.BUNDLE, json.dumps(document).encode())


def signature(one: Attached, **changes: Any) -> str:
    arguments = {"digest": DIGEST, "root": ROOT, "identity": IDENTITY_OF_OURS, **changes}
    return outcome_of(lambda: keyless.verify_signature(one, **arguments))


def attestation(one: Attached, **changes: Any) -> str:
    arguments = {"digest": DIGEST, "root": ROOT, "identity": IDENTITY_OF_OURS, **changes}
    return outcome_of(lambda: keyless.verify_attestation(one, **arguments))


# --- Checked-in vectors ----------------------------------------------------------------------------

OWN = json.loads((VECTORS / "sigstore.json").read_text())


@pytest.mark.parametrize("case", OWN["cases"], ids=[f"{one['kind']}: {one['name']}" for one in OWN["cases"]])
def test_our_own_vectors_have_the_outcome_that_they_were_made_for(case: dict[str, Any]) -> None:
    root = json.dumps(OWN["trustedRoot"]).encode()
    one = attached(Kind(case["kind"]), case["content"].encode(), case["annotations"])
    who = Keyless.model_validate(OWN["identity"])

    def verify() -> object:
        if case.get("logged"):
            return verify_logged(one, load_public_key(OWN["key"].encode()), root)
        if one.kind is Kind.COSIGN_ATTESTATION:
            return keyless.verify_attestation(one, OWN["image"], keyless.load_root(root), who)
        return keyless.verify_signature(one, OWN["image"], keyless.load_root(root), who)

    assert outcome_of(verify) == case["expected"].replace("accept", "ok")


INDEPENDENT = json.loads((VECTORS / "sigstore_js" / "vectors.json").read_text())


@pytest.mark.parametrize("name", INDEPENDENT["bundles"])
def test_what_sigstore_js_signs_holds(name: str) -> None:
    document = INDEPENDENT["bundles"][name]
    content = json.dumps(document).encode()
    root = keyless.load_root(json.dumps(INDEPENDENT["trustedRoot"]).encode())
    who = Keyless.model_validate(
        {
            **INDEPENDENT["identity"],
            "sourceRepository": "https://github.com/shop/web",
            "sourceRef": "refs/heads/*",
            "runnerEnvironment": "github-hosted",
        }
    )
    signed, _ = keyless.verify_bundle(content, INDEPENDENT["artifact"], root, who)
    entry = document["verificationMaterial"]["tlogEntries"][0]
    assert signed == Signed(
        signer=f"{WORKFLOW} ({ISSUER})",
        digest=DIGEST,
        signed_at=datetime.fromtimestamp(int(entry["integratedTime"]), UTC),
        certificate=signed.certificate,
        log_index=int(entry["logIndex"]),
    )
    for other, code in (
        ({"digest": Digest(f"sha256:{'0' * 64}")}, {"other-content", "signed-other-digest"}),
        ({"root": ROOT}, {"unknown-log"}),
        ({"identity": who.model_copy(update={"identity": "https://github.com/shop/we"})}, {"wrong-identity"}),
    ):
        arguments = {"digest": DIGEST, "root": root, "identity": who, **other}
        assert (
            outcome_of(
                lambda a=arguments: keyless.verify_bundle(content, a["digest"], a["root"], a["identity"])
            )
            in code
        )


def test_the_time_stamp_that_sigstore_js_has_made_counts() -> None:
    root = keyless.load_root(json.dumps(INDEPENDENT["trustedRoot"]).encode())
    content = json.dumps(INDEPENDENT["bundles"]["signature, with a time-stamp"]).encode()
    bundle = bundles.parse(content)
    assert len(trusted_root.times_of(bundle.timestamps, bundle.signature, root)) == 1


# --- Classic ---------------------------------------------------------------------------------------

LEAF = OURS.certify(Leaf())


def signed_by(leaf: Certified, index: int, **claims: str) -> Signed:
    import hashlib

    return Signed(
        signer=f"{WORKFLOW} ({ISSUER})",
        digest=DIGEST,
        signed_at=NOW,
        certificate=hashlib.sha256(leaf.der).hexdigest(),
        log_index=index,
        claims=claims,
    )


WHOLE_INDEX = OURS.rekor.first + OURS.rekor.before


def test_a_classic_signature_tells_who_signed_and_when() -> None:
    one = layer(OURS.classic(simple_signing(version="1.2"), LEAF))
    assert keyless.verify_signature(one, DIGEST, ROOT, IDENTITY_OF_OURS) == signed_by(
        LEAF, WHOLE_INDEX, version="1.2"
    )


@pytest.mark.parametrize("kind", ["dsse", "intoto 0.0.1", "intoto 0.0.2"])
def test_a_classic_attestation_is_returned_with_its_signer(kind: str) -> None:
    content, annotations = OURS.classic_attestation(statement(predicate_type=SLSA), kind)
    one = attached(Kind.COSIGN_ATTESTATION, content, annotations)
    signed, found = keyless.verify_attestation(one, DIGEST, ROOT, IDENTITY_OF_OURS)
    assert (signed.signer, signed.signed_at) == (f"{WORKFLOW} ({ISSUER})", NOW)
    assert (found.predicate_type, [subject.digests for subject in found.subjects]) == (
        SLSA,
        [{"sha256": IMAGE.removeprefix("sha256:")}],
    )


def test_the_chain_need_not_come_along() -> None:
    assert signature(layer(OURS.classic(), chain=None)) == "ok"
    assert signature(layer(OURS.classic(), chain="\n")) == "ok"
    assert signature(layer(OURS.classic(), chain=THEIRS.root.pem)) == "ok"
    assert signature(layer(OURS.classic(), chain="no certificate")) == "malformed-certificate"


def test_who_is_under_the_root_may_come_along() -> None:
    document = OURS.trusted_root()
    del document["certificateAuthorities"][0]["certChain"]["certificates"][0]
    root = keyless.load_root(json.dumps(document).encode())
    assert signature(layer(OURS.classic()), root=root) == "ok"
    assert signature(layer(OURS.classic(), chain=None), root=root) == "untrusted-certificate"


@pytest.mark.parametrize(
    ("one", "outcome"),
    [
        (layer(OURS.classic(), certificate=None), "no-certificate"),
        (layer(OURS.classic(), certificate=""), "malformed-certificate"),
        (layer(OURS.classic(), certificate=LEAF.pem + LEAF.pem), "malformed-certificate"),
        (layer(OURS.classic(), certificate=LEAF.pem), "wrong-signature"),
        (layer(OURS.classic(), signature=None), "no-signature"),
        (layer(OURS.classic(), signature="!"), "malformed-base64"),
        (layer(OURS.classic(), signature=b64(sign(new_key(), simple_signing()))), "wrong-signature"),
        (layer(OURS.classic(), bundle=None), "no-entry"),
        (layer(OURS.classic(), bundle="{}"), "malformed-entry"),
        (layer(OURS.classic(), bundle=OURS.classic()[1]["dev.sigstore.cosign/bundle"]), "other-key"),
        (layer(THEIRS.classic()), "unknown-log"),
        (layer(OURS.classic(leaf=THEIRS.certify(Leaf()))), "untrusted-certificate"),
        (layer(OURS.classic(leaf=OURS.certify(Leaf(scts=0)))), "no-sct"),
        (layer(OURS.classic(at=LATE)), "untrusted-certificate"),
        (layer(OURS.classic(at=NOW - timedelta(seconds=6))), "untrusted-certificate"),
        (layer(OURS.classic(payload=simple_signing("sha256:" + "0" * 64))), "signed-other-digest"),
        (layer(OURS.classic(payload=b"{}")), "malformed-payload"),
        (layer(OURS.classic(payload=statement())), "malformed-payload"),
        (layer(OURS.classic(payload=b"x" * (MAX_PAYLOAD_BYTES + 1))), "too-large"),
        (attached(Kind.NOTATION, b""), "wrong-type"),
        (attached(Kind.COSIGN_ATTESTATION, *OURS.classic_attestation()), "wrong-type"),
    ],
    ids=[
        "no certificate", "empty certificate", "two certificates", "other certificate", "no signature",
        "no base64", "other signature", "no entry", "empty entry", "other entry", "other instance",
        "other authority", "no SCT", "too late", "too early", "other image", "empty payload", "statement",
        "large payload", "notation", "attestation",
    ],
)  # fmt: skip
def test_a_classic_signature_with_something_wrong_does_not_hold(one: Attached, outcome: str) -> None:
    assert signature(one) == outcome


@pytest.mark.parametrize(
    ("made", "outcome"),
    [
        (OURS.classic_attestation(), "ok"),
        (OURS.classic_attestation(statement("sha256:" + "0" * 64)), "signed-other-digest"),
        (OURS.classic_attestation(b"{}"), "malformed-statement"),
        (OURS.classic_attestation(at=LATE), "untrusted-certificate"),
        (THEIRS.classic_attestation(), "unknown-log"),
        (OURS.classic(), "malformed-envelope"),
    ],
    ids=["right", "other image", "no statement", "too late", "other instance", "signature"],
)
def test_a_classic_attestation_with_something_wrong_does_not_hold(
    made: tuple[bytes, dict[str, str]], outcome: str
) -> None:
    assert attestation(attached(Kind.COSIGN_ATTESTATION, *made)) == outcome


def test_nothing_is_done_with_a_payload_that_is_too_large() -> None:
    assert signature(attached(Kind.COSIGN_SIGNATURE, b"x" * (MAX_PAYLOAD_BYTES + 1))) == "too-large"


def test_a_signature_is_no_attestation() -> None:
    assert attestation(layer(OURS.classic())) == "wrong-type"
    assert attestation(attached(Kind.NOTATION, b"")) == "wrong-type"


# Genuine entries, of something else. The certificate is right, the log has entered just this.

PAYLOAD = simple_signing()
SIGNATURE = sign(LEAF.key, PAYLOAD)


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (hashedrekord(PAYLOAD, SIGNATURE, LEAF.pem), "ok"),
        (hashedrekord(PAYLOAD, sign(LEAF.key, PAYLOAD), LEAF.pem), "other-signature"),
        (hashedrekord(PAYLOAD + b" ", SIGNATURE, LEAF.pem), "other-content"),
        # Another certificate of the same key: who signed with it, and when, is what has to be logged.
        (hashedrekord(PAYLOAD, SIGNATURE, OURS.certify(Leaf(key=LEAF.key)).pem), "other-key"),
    ],
    ids=["right", "signature", "content", "certificate"],
)
def test_a_classic_entry_is_bound_to_the_signature(body: bytes, outcome: str) -> None:
    annotations = {"dev.cosignproject.cosign/signature": b64(SIGNATURE), **OURS.annotations(LEAF, body)}
    assert signature(attached(Kind.COSIGN_SIGNATURE, PAYLOAD, annotations)) == outcome


# Time-stamps.


def stamp(content: bytes, at: datetime = NOW, by: Sigstore = OURS) -> str:
    return json.dumps({"SignedRFC3161Timestamp": b64(by.stamp(content, at))})


def test_a_time_stamp_beside_a_classic_signature_has_to_be_within_the_certificates_validity() -> None:
    made = OURS.classic()
    raw = base64.b64decode(made[1]["dev.cosignproject.cosign/signature"])
    assert signature(layer(stamped(OURS, made))) == "ok"
    assert signature(layer(made, rfc3161timestamp=stamp(raw, LATE))) == "untrusted-certificate"


def test_a_time_stamp_beside_a_classic_attestation_is_of_the_layer() -> None:
    content, annotations = OURS.classic_attestation()
    for text, outcome in (
        (stamp(content), "ok"),
        (stamp(content, LATE), "untrusted-certificate"),
        (stamp(b"something else", LATE), "ok"),
    ):
        added = {**annotations, "dev.sigstore.cosign/rfc3161timestamp": text}
        assert attestation(attached(Kind.COSIGN_ATTESTATION, content, added)) == outcome


def test_a_time_stamp_that_proves_nothing_changes_nothing() -> None:
    made = OURS.classic()
    for text in (stamp(b"something else", LATE), stamp(b"", LATE, THEIRS), '{"SignedRFC3161Timestamp": ""}'):
        assert signature(layer(made, rfc3161timestamp=text)) == "ok"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "malformed-json"),
        ("[]", "malformed-timestamp"),
        ("{}", "malformed-base64"),
        ('{"SignedRFC3161Timestamp": 1}', "malformed-base64"),
        (" " * (keyless.MAX_TIME_STAMP_CHARACTERS + 1), "too-large"),
    ],
    ids=["empty", "array", "object", "number", "large"],
)
def test_a_time_stamp_that_can_not_be_read_is_refused(text: str, code: str) -> None:
    assert signature(layer(OURS.classic(), rfc3161timestamp=text)) == code


def test_the_logs_entry_is_needed_whatever_is_stamped() -> None:
    assert signature(layer(stamped(OURS, OURS.classic()), bundle=None)) == "no-entry"


# --- Bundles ---------------------------------------------------------------------------------------

OLDER_TYPE = "application/vnd.dev.sigstore.bundle+json"


@pytest.mark.parametrize(
    ("document", "index"),
    [
        (OURS.bundle(leaf=LEAF), WHOLE_INDEX),
        (OURS.bundle(leaf=LEAF, artifact=ARTIFACT), WHOLE_INDEX),
        (OURS.bundle(leaf=LEAF, rekor=2), OURS.tiles.before),
        (OURS.bundle(leaf=LEAF, artifact=ARTIFACT, rekor=2), OURS.tiles.before),
        (OURS.bundle(leaf=LEAF, stamped=NOW + timedelta(seconds=1)), WHOLE_INDEX),
        (older(OURS.bundle(leaf=LEAF), "0.1"), WHOLE_INDEX),
        (older(OURS.bundle(leaf=LEAF), "0.2", OURS.intermediate, OURS.root), WHOLE_INDEX),
        (OURS.bundle(leaf=LEAF) | {"mediaType": f"{OLDER_TYPE};version=0.3"}, WHOLE_INDEX),
    ],
    ids=[
        "statement", "message", "statement in Rekor 2", "message in Rekor 2", "stamped", "0.1", "0.2",
        "other type",
    ],
)  # fmt: skip
def test_a_bundle_tells_who_signed_and_when(document: dict[str, Any], index: int) -> None:
    one = bundled(document)
    assert keyless.verify_signature(one, DIGEST, ROOT, IDENTITY_OF_OURS) == signed_by(LEAF, index)


def test_an_attestation_is_returned_with_its_signer() -> None:
    one = bundled(OURS.bundle(leaf=LEAF, payload=statement(predicate_type=SLSA)))
    signed, found = keyless.verify_attestation(one, DIGEST, ROOT, IDENTITY_OF_OURS)
    assert signed == signed_by(LEAF, WHOLE_INDEX)
    assert (found.predicate_type, found.predicate) == (SLSA, {})


def test_what_attests_does_not_sign_and_what_signs_does_not_attest() -> None:
    assert signature(bundled(OURS.bundle(payload=statement(predicate_type=SLSA)))) == "wrong-type"
    assert attestation(bundled(OURS.bundle(artifact=ARTIFACT))) == "wrong-type"


def test_an_artifact_is_given_as_it_is_or_by_its_digest() -> None:
    for document in (OURS.bundle(leaf=LEAF), OURS.bundle(leaf=LEAF, artifact=ARTIFACT)):
        content = json.dumps(document).encode()
        by_content, said = keyless.verify_bundle(content, ARTIFACT, ROOT, IDENTITY_OF_OURS)
        by_digest, again = keyless.verify_bundle(content, DIGEST, ROOT, IDENTITY_OF_OURS)
        assert (by_content, said) == (by_digest, again) == (signed_by(LEAF, WHOLE_INDEX), said)
        assert isinstance(said, Statement) is ("dsseEnvelope" in document)


def changed(change: Callable[[dict[str, Any]], object], document: dict[str, Any] | None = None) -> Attached:
    document = deepcopy(document or OURS.bundle(leaf=LEAF))
    change(document)
    return bundled(document)


def material(document: dict[str, Any]) -> dict[str, Any]:
    return document["verificationMaterial"]


def entry(document: dict[str, Any]) -> dict[str, Any]:
    return material(document)["tlogEntries"][0]


def pae_signature() -> bytes:
    return sign(LEAF.key, pae(statement()))


def certified(der: bytes) -> Attached:
    return changed(lambda one: material(one).update(certificate={"rawBytes": b64(der)}))


def enveloped(**fields: object) -> Attached:
    return changed(lambda one: one["dsseEnvelope"].update(fields))


@pytest.mark.parametrize(
    ("one", "outcome"),
    [
        (bundled(THEIRS.bundle()), "unknown-log"),
        (bundled(OURS.bundle(leaf=THEIRS.certify(Leaf()))), "untrusted-certificate"),
        (bundled(OURS.bundle(leaf=OURS.certify(Leaf(scts=0)))), "no-sct"),
        (bundled(OURS.bundle(at=LATE)), "untrusted-certificate"),
        (bundled(OURS.bundle(stamped=LATE)), "untrusted-certificate"),
        (bundled(OURS.bundle(rekor=2, stamped=LATE)), "untrusted-certificate"),
        (bundled(OURS.bundle(payload=statement("sha256:" + "0" * 64))), "signed-other-digest"),
        (bundled(OURS.bundle(artifact=b"another")), "other-content"),
        (bundled(logged_bundle(OURS, new_key())), "no-certificate"),
        (certified(b"x"), "malformed-certificate"),
        (certified(OURS.certify(Leaf()).der), "wrong-signature"),
        (certified(OURS.certify(Leaf(key=LEAF.key)).der), "other-key"),
        (changed(lambda one: material(one).update(tlogEntries=[])), "no-entry"),
        (changed(lambda one: entry(one).pop("inclusionProof")), "malformed-bundle"),
        (changed(lambda one: entry(one).pop("inclusionPromise")), "unproven-time"),
        (changed(lambda one: entry(one).update(integratedTime=str(LATE_SECONDS))), "wrong-promise"),
        (changed(lambda one: entry(one).update(logIndex="1")), "wrong-promise"),
        (changed(lambda one: entry(one)["inclusionProof"].update(logIndex="1")), "wrong-proof"),
        (enveloped(signatures=[{"sig": b64(pae_signature())}]), "other-signature"),
        (enveloped(payload=b64(statement() + b" ")), "wrong-signature"),
        (enveloped(payloadType="text/plain"), "wrong-signature"),
        (changed(lambda one: one.update(envelope(statement(), b""))), "malformed-bundle"),
        (attached(Kind.BUNDLE, b""), "malformed-json"),
        (attached(Kind.BUNDLE, b"[]"), "malformed-bundle"),
        (attached(Kind.BUNDLE, b" " * (bundles.MAX_BUNDLE_BYTES + 1)), "too-large"),
    ],
    ids=[
        "other instance", "other authority", "no SCT", "logged too late", "stamped too late",
        "Rekor 2, stamped too late", "other image", "other artifact", "by key", "no certificate",
        "other certificate", "other certificate of the key", "no entry", "no proof", "no promise",
        "other time", "other index", "other way", "other signature", "other statement", "other type",
        "surplus", "empty", "array", "large",
    ],
)  # fmt: skip
def test_a_bundle_with_something_wrong_does_not_hold(one: Attached, outcome: str) -> None:
    assert signature(one) == outcome


# Genuine entries, of something else.

PAE, ENVELOPE_SIGNATURE = pae(statement()), pae_signature()
HELD = {"x509Certificate": {"rawBytes": b64(LEAF.der)}}
OTHER_HELD = {"x509Certificate": {"rawBytes": b64(OURS.certify(Leaf(key=LEAF.key)).der)}}


@pytest.mark.parametrize(
    ("body", "rekor", "outcome"),
    [
        (dsse(statement(), b"", (ENVELOPE_SIGNATURE, LEAF.pem)), 1, "ok"),
        (dsse(statement(), b"", (sign(LEAF.key, PAE), LEAF.pem)), 1, "other-signature"),
        (dsse(statement() + b" ", b"", (ENVELOPE_SIGNATURE, LEAF.pem)), 1, "other-content"),
        (dsse(statement(), b"", (ENVELOPE_SIGNATURE, OURS.certify(Leaf(key=LEAF.key)).pem)), 1, "other-key"),
        (hashedrekord_v2(PAE, ENVELOPE_SIGNATURE, HELD), 2, "ok"),
        (hashedrekord_v2(PAE, sign(LEAF.key, PAE), HELD), 2, "other-signature"),
        (hashedrekord_v2(statement(), ENVELOPE_SIGNATURE, HELD), 2, "other-content"),
        (hashedrekord_v2(PAE, ENVELOPE_SIGNATURE, OTHER_HELD), 2, "other-key"),
    ],
    ids=[
        "1", "1, signature", "1, content", "1, certificate", "2", "2, signature", "2, content",
        "2, certificate",
    ],
)  # fmt: skip
def test_a_bundles_entry_is_bound_to_the_signature(body: bytes, rekor: int, outcome: str) -> None:
    document = OURS.bundle(leaf=LEAF, body=body, rekor=rekor)
    document["dsseEnvelope"] = envelope(statement(), ENVELOPE_SIGNATURE)
    responses = [{"signedTimestamp": b64(OURS.stamp(ENVELOPE_SIGNATURE, NOW))}]
    material(document)["timestampVerificationData"] = {"rfc3161Timestamps": responses}
    assert signature(bundled(document)) == outcome


def test_bundles_hold_at_the_very_ends_of_what_the_root_says() -> None:
    moment = {"start": f"{NOW:%Y-%m-%dT%H:%M:%SZ}", "end": f"{NOW:%Y-%m-%dT%H:%M:%SZ}"}
    for field in ("tlogs", "certificateAuthorities", "timestampAuthorities"):
        root = keyless.load_root(json.dumps(OURS.trusted_root(**{field: moment})).encode())
        assert signature(bundled(OURS.bundle(rekor=2)), root=root) == "ok"
    for field, code in (
        ("tlogs", "unknown-log"),
        ("certificateAuthorities", "untrusted-certificate"),
        ("timestampAuthorities", "unproven-time"),
    ):
        early = {"start": "2025-01-01T00:00:00Z", "end": f"{NOW - timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}"}
        root = keyless.load_root(json.dumps(OURS.trusted_root(**{field: early})).encode())
        assert signature(bundled(OURS.bundle(rekor=2)), root=root) == code


@pytest.mark.parametrize(
    ("key", "classic"),
    [
        (ec.generate_private_key(ec.SECP384R1()), "ok"),
        (rsa.generate_private_key(65537, 2048), "ok"),
        (ed25519.Ed25519PrivateKey.generate(), "ok"),
        (rsa.generate_private_key(65537, 1024), "unsupported-key"),
    ],
    ids=["P-384", "RSA", "Ed25519", "short RSA"],
)
def test_certificates_of_other_keys_than_fulcio_has_seen_hold_where_they_are_strong(
    key: Any, classic: str
) -> None:
    leaf = OURS.certify(Leaf(key=key))
    assert signature(layer(OURS.classic(leaf=leaf))) == classic
    # sigstore-python knows EC keys with SHA-256 only: see OVER_REJECTED.
    assert signature(bundled(OURS.bundle(leaf=leaf))) in {"rejected-by-sigstore", "unsupported-key"}


@pytest.mark.parametrize(
    ("rule", "outcome"),
    [
        ({"identity": WORKFLOW + "x"}, "wrong-identity"),
        ({"issuer": ISSUER + "x"}, "wrong-issuer"),
        ({"sourceRef": "refs/tags/*"}, "wrong-source"),
        ({"sourceRef": "refs/heads/*"}, "ok"),
    ],
)
def test_who_signed_is_whom_the_policy_wants(rule: dict[str, str], outcome: str) -> None:
    who = Keyless.model_validate({**IDENTITY, **rule})
    assert signature(layer(OURS.classic()), identity=who) == outcome
    assert signature(bundled(OURS.bundle()), identity=who) == outcome
    assert (
        attestation(attached(Kind.COSIGN_ATTESTATION, *OURS.classic_attestation()), identity=who) == outcome
    )
    assert attestation(bundled(OURS.bundle()), identity=who) == outcome


# --- Sigstore's own verifier -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "raised", [AttributeError("x"), KeyError("x"), RecursionError("x"), TypeError("x"), MemoryError("x")]
)
@pytest.mark.parametrize("method", ["verify_dsse", "verify_artifact"])
def test_whatever_sigstore_raises_the_bundle_does_not_hold(
    raised: Exception, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise raised

    monkeypatch.setattr(Verifier, method, fail)
    document = OURS.bundle() if method == "verify_dsse" else OURS.bundle(artifact=ARTIFACT)
    assert signature(bundled(document)) == "rejected-by-sigstore"


def test_sigstore_is_asked_with_the_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    for method in ("verify_dsse", "verify_artifact"):
        real = getattr(Verifier, method)

        def spy(*args: Any, _real: Any = real, _method: str = method) -> Any:
            asked.append(_method)
            args[-1].verify(LEAF.certificate)
            with pytest.raises(Rejected):
                args[-1].verify(OURS.certify(Leaf(claims={}, raw={})).certificate)
            return _real(*args)

        monkeypatch.setattr(Verifier, method, spy)
    assert signature(bundled(OURS.bundle(leaf=LEAF))) == "ok"
    assert signature(bundled(OURS.bundle(leaf=LEAF, artifact=ARTIFACT))) == "ok"
    assert asked == ["verify_dsse", "verify_artifact"]


def test_sigstore_has_to_have_read_the_same_statement(monkeypatch: pytest.MonkeyPatch) -> None:
    for opened in (("application/vnd.in-toto+json", b"{}"), ("text/plain", statement())):
        monkeypatch.setattr(Verifier, "verify_dsse", lambda *_, found=opened: found)
        assert signature(bundled(OURS.bundle())) == "rejected-by-sigstore"


def test_sigstore_sees_what_was_read_here_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    real = sigstore.models.Bundle.from_json
    monkeypatch.setattr(
        sigstore.models.Bundle, "from_json", staticmethod(lambda text: seen.append(text) or real(text))
    )
    for document in (OURS.bundle(), OURS.bundle(artifact=ARTIFACT, rekor=2), older(OURS.bundle(), "0.2")):
        assert signature(bundled(document)) == "ok"
        assert bundles.parse(seen[-1].encode()) == bundles.parse(json.dumps(document).encode())


def test_defaults_that_are_left_out_are_filled_in() -> None:
    class First(Sigstore):
        def __init__(self) -> None:
            super().__init__()
            self.tiles.before = self.tiles.after = 0

    first = First()
    document = first.bundle(rekor=2)
    root = keyless.load_root(json.dumps(first.trusted_root()).encode())
    del entry(document)["logIndex"], entry(document)["inclusionProof"]["logIndex"]
    del entry(document)["inclusionProof"]["hashes"]
    assert signature(bundled(document), root=root) == "ok"


def test_nothing_is_logged_and_nothing_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings(action="error"):
        # Of the root in it, sigstore-python would warn.
        assert signature(bundled(older(OURS.bundle(), "0.2", OURS.intermediate, OURS.root))) == "ok"
        assert signature(bundled(THEIRS.bundle())) == "unknown-log"
    assert [record for record in caplog.records if record.name.startswith("sigstore")] == []


# --- Flipped bits ----------------------------------------------------------------------------------

BUNDLE = json.dumps(OURS.bundle(leaf=LEAF, artifact=ARTIFACT)).encode()
CLASSIC = OURS.classic(leaf=LEAF)
CLASSIC_TEXT = json.dumps([CLASSIC[0].decode(), CLASSIC[1]]).encode()


def nameless(content: bytes) -> bundles.Bundle:
    """Read a bundle without what nobody signs: the name beside the signature of the checkpoint."""
    bundle = bundles.parse(content)
    (found,) = bundle.log_entries
    assert found.proof is not None
    checkpoint = re.sub("\n\N{EM DASH} \\S+ ", "\n\N{EM DASH} name ", found.proof.checkpoint)
    return replace(bundle, log_entries=(replace(found, proof=replace(found.proof, checkpoint=checkpoint)),))


# One bit of every 16th byte, another in each case. All 39,808 take half a minute: 90 bundles hold, in all of
# which only that name has changed.
@pytest.mark.parametrize("bit", range(8))
def test_no_flipped_bit_of_a_bundle_is_another_bundle(bit: int) -> None:
    original = nameless(BUNDLE)
    signed = keyless.verify_bundle(BUNDLE, DIGEST, ROOT, IDENTITY_OF_OURS)
    for at in range(bit, len(BUNDLE), 16):
        flipped = BUNDLE[:at] + bytes([BUNDLE[at] ^ 1 << bit]) + BUNDLE[at + 1 :]
        try:
            found = keyless.verify_bundle(flipped, DIGEST, ROOT, IDENTITY_OF_OURS)
        except Rejected:
            continue
        assert (nameless(flipped), found) == (original, signed)


# As well. Of all 46,360, 3,316 hold in the chain, which is not needed, and 26 between the lines of the PEM.
@pytest.mark.parametrize("bit", range(8))
def test_no_flipped_bit_of_a_classic_signature_is_another_signature(bit: int) -> None:
    content, annotations = CLASSIC
    signed = keyless.verify_signature(layer(CLASSIC), DIGEST, ROOT, IDENTITY_OF_OURS)
    for name, text in {"": content.decode(), **annotations}.items():
        for at in range(bit, len(text), 16):
            raw = bytearray(text.encode())
            raw[at] ^= 1 << bit
            flipped = raw.decode("latin-1")
            made = (
                (flipped.encode("latin-1"), annotations)
                if not name
                else (content, {**annotations, name: flipped})
            )
            try:
                found = keyless.verify_signature(layer(made), DIGEST, ROOT, IDENTITY_OF_OURS)
            except Rejected:
                continue
            # White space of PEM and JSON, and certificates that are not needed.
            assert found == signed
            assert name.endswith(("/chain", "/certificate", "/bundle"))


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(content: bytes) -> None:
    assert signature(attached(Kind.BUNDLE, content)) != "ok"
    text = content.decode("latin-1")
    for name in ("certificate", "chain", "bundle", "signature", "rfc3161timestamp"):
        assert signature(layer(CLASSIC, **{name: text})) != "ok" or not text.strip()


ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8).map(b64)
    | st.just([])
    | st.just({})
    | st.just([{}])
)


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in inner for place in places(one, (*path, key)))][bool(not path) :]


STAMPED = OURS.bundle(leaf=LEAF, stamped=NOW)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(places(STAMPED)), ANYTHING)
def test_no_value_in_its_place_raises_anything_else(path: tuple[str | int, ...], value: object) -> None:
    document = deepcopy(STAMPED)
    owner: Any = document
    for key in path[:-1]:
        owner = owner[key]
    is_changed, owner[path[-1]] = owner[path[-1]] != value, value
    outcome = signature(bundled(document))
    # Of promise and time-stamp one is enough to tell when it was signed, and what is null is not there.
    one_is_left = "timestampVerificationData" in path or (path[-1] == "inclusionPromise" and value is None)
    assert outcome != "ok" or not is_changed or one_is_left


# --- The conformance suite -------------------------------------------------------------------------

SUITE = TRUST / "sigstore-conformance"

OVER_REJECTED: dict[str, str] = {
    # The suite lets clients leave this out, and sigstore-python does: Rekor's entries of the kind intoto are
    # deprecated. Classic attestations with such an entry are accepted.
    "intoto-with-custom-trust-root": "rejected-by-sigstore",
}
"""Cases of https://github.com/sigstore/sigstore-conformance that have to be accepted and are not, by code.

Beyond the suite, sigstore-python refuses bundles of version 0.1 with a promise alone, and whose key is not EC
P-256: it verifies with SHA-256, while by the algorithm registry P-384 signs with SHA-384.
"""


def test_bundles_of_version_0_1_with_a_promise_alone_are_refused() -> None:
    document = older(OURS.bundle(), "0.1")
    del entry(document)["inclusionProof"]
    assert signature(bundled(document)) == "rejected-by-sigstore"


def test_bundles_with_an_entry_of_the_deprecated_kind_are_refused() -> None:
    document = OURS.bundle(leaf=LEAF)
    made = base64.b64decode(document["dsseEnvelope"]["signatures"][0]["sig"])
    body = intoto_v2(statement(), b"", (made, LEAF.pem))
    material(document)["tlogEntries"] = [OURS.rekor.enter(body, "intoto", "0.0.2", NOW)]
    assert signature(bundled(document)) == OVER_REJECTED["intoto-with-custom-trust-root"]


def suite() -> list[Any]:
    if not SUITE.exists():
        reason = "../shared/data/trust/sigstore-conformance is not there"
        return [pytest.param({}, marks=pytest.mark.skip(reason=reason), id="sigstore-conformance")]
    cases = json.loads((SUITE / "cases.json").read_text())["cases"]
    return [pytest.param(case, id=case["name"]) for case in cases if case["key"] is None]


def verify_case(case: dict[str, Any], artifact: Callable[[bytes], bytes | Digest] = bytes) -> str:
    who = Keyless.model_validate({"root": "suite", "issuer": case["issuer"], "identity": case["identity"]})
    content = (SUITE / case["dir"] / "bundle.sigstore.json").read_bytes()
    root = keyless.load_root((SUITE / case["trusted_root"]).read_bytes())
    given = artifact((SUITE / case["artifact"]).read_bytes())
    return outcome_of(lambda: keyless.verify_bundle(content, given, root, who))


@pytest.mark.parametrize("case", suite())
def test_cases_have_the_outcome_that_the_suite_gives_them(case: dict[str, Any]) -> None:
    outcome = verify_case(case)
    assert verify_case(case, digest_of) == outcome
    if case["expected"] == "reject":
        assert outcome != "ok"
    else:
        assert outcome == OVER_REJECTED.get(case["name"], "ok")


@pytest.mark.parametrize("case", suite())
def test_our_own_verification_alone_agrees_with_the_suite(
    case: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyless, "_hold_against_sigstore", lambda *_: None)
    assert (verify_case(case) == "ok") is (case["expected"] == "accept")


@pytest.mark.parametrize(
    "case", [one for one in suite() if "accept" in str(one.values) or not SUITE.exists()]
)
def test_a_case_holds_for_its_own_artifact_root_and_identity_only(case: dict[str, Any]) -> None:
    root = json.loads((SUITE / case["trusted_root"]).read_text())
    assert verify_case(case, lambda content: content + b"x") != "ok"
    assert verify_case({**case, "identity": case["identity"] + "x"}) == "wrong-identity"
    assert verify_case({**case, "issuer": case["issuer"] + "x"}) == "wrong-issuer"
    content = (SUITE / case["dir"] / "bundle.sigstore.json").read_bytes()
    who = Keyless.model_validate({"root": "suite", "issuer": case["issuer"], "identity": case["identity"]})
    assert len(root["tlogs"]) > 0
    assert outcome_of(lambda: keyless.verify_bundle(content, DIGEST, ROOT, who)) != "ok"


# --- Attestations of packages on PyPI --------------------------------------------------------------

PYPI = TRUST / "pypi-attestations"


def packages() -> list[Any]:
    if not PYPI.exists():
        reason = "../shared/data/trust/pypi-attestations is not there"
        return [pytest.param({}, marks=pytest.mark.skip(reason=reason), id="pypi-attestations")]
    index = json.loads((PYPI / "cases.json").read_text())
    return [
        pytest.param({**case, "roots": index["trusted_roots"]}, id=case["name"]) for case in index["cases"]
    ]


def pep_740(case: dict[str, Any]) -> bytes:
    """Return the bundle that an attestation of PEP 740 stands for."""
    document = json.loads((PYPI / case["path"]).read_text())
    if "attestation_bundles" in document:
        document = document["attestation_bundles"][0]["attestations"][0]
    found, written = document["verification_material"], document["envelope"]
    return json.dumps(
        {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "certificate": {"rawBytes": found["certificate"]},
                "tlogEntries": found["transparency_entries"],
            },
            "dsseEnvelope": {
                "payload": written["statement"],
                "payloadType": "application/vnd.in-toto+json",
                "signatures": [{"sig": written["signature"]}],
            },
        }
    ).encode()


@pytest.mark.parametrize("case", packages())
def test_attestations_of_packages_hold_with_their_own_root_identity_and_subject(case: dict[str, Any]) -> None:
    one = attached(Kind.BUNDLE, pep_740(case))
    right = {
        "digest": Digest(f"sha256:{case['subject_sha256']}"),
        "root": keyless.load_root((PYPI / case["roots"][case["accept_with"]]).read_bytes()),
        "identity": Keyless.model_validate(
            {"root": "r", "issuer": case["issuer"], "identity": case["identity"]}
        ),
    }
    signed, found = keyless.verify_attestation(one, **right)
    assert (signed.signer, found.predicate_type) == (
        f"{case['identity']} ({case['issuer']})",
        case["predicate_type"],
    )
    other = keyless.load_root((PYPI / case["roots"][case["reject_with"]]).read_bytes())
    assert attestation(one, **{**right, "root": other}) == "unknown-log"
    assert attestation(one, **{**right, "digest": DIGEST}) == "signed-other-digest"
    assert attestation(one, **{**right, "identity": IDENTITY_OF_OURS}) in {"wrong-identity", "wrong-issuer"}
    # An attestation is no signature.
    assert signature(one, **right) == "wrong-type"


# --- A real image ----------------------------------------------------------------------------------

CONNAISSEUR = TRUST / "connaisseur-cosign"


def image() -> tuple[Attached, Digest]:
    index = json.loads((CONNAISSEUR / "cases.json").read_text())
    found = next(one for one in index["images"] if one["tag"] == "keyless")
    manifest = json.loads((CONNAISSEUR / found["signature_manifest"]["path"]).read_text())
    content = (CONNAISSEUR / found["payloads"][0]["path"]).read_bytes()
    one = attached(Kind.COSIGN_SIGNATURE, content, manifest["layers"][0]["annotations"])
    return replace(one, subject=found["digest"]), found["digest"]


@pytest.mark.skipif(not CONNAISSEUR.exists(), reason="../shared/data/trust/connaisseur-cosign is not there")
@pytest.mark.parametrize(
    ("rule", "outcome"),
    [
        ({"issuerPattern": "**github**", "identityPattern": "**philipp**"}, "ok"),
        ({"issuerPattern": "**google**", "identity": "bob@gmail.com"}, "wrong-issuer"),
        ({"issuerPattern": "**", "identity": "bob@gmail.com"}, "wrong-identity"),
    ],
)
def test_a_real_classic_signature_of_2024_holds_for_who_made_it(rule: dict[str, str], outcome: str) -> None:
    one, digest = image()
    root = keyless.load_root((SUITE / "trusted_root.public-good.json").read_bytes())
    who = Keyless.model_validate({"root": "public", **rule})
    assert signature(one, digest=digest, root=root, identity=who) == outcome
    if outcome == "ok":
        signed = keyless.verify_signature(one, digest, root, who)
        assert (signed.signed_at, signed.log_index) == (
            datetime(2024, 5, 30, 15, 18, 17, tzinfo=UTC),
            98235800,
        )
        assert signature(one, digest=digest, identity=who) == "unknown-log"
        assert signature(one, root=root, identity=who) == "signed-other-digest"
        assert outcome_of(lambda: verify_logged(one, ALICE, root.document)) == "wrong-signature"


ALICE = load_public_key(OWN["key"].encode())
