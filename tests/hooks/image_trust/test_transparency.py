import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from hooks.image_trust.evidence import Attached, Kind
from hooks.image_trust.finding import Digest, Rejected
from hooks.image_trust.formats import bundle as bundles
from hooks.image_trust.formats import transparency, trusted_root
from hooks.image_trust.formats.bundle import InclusionProof, LogEntry
from hooks.image_trust.formats.keys import load_public_key
from hooks.image_trust.formats.transparency import Logged, Signing, digests, verify_entry, verify_logged
from tests.hooks.image_trust.vectors.make_sigstore import (
    IMAGE,
    NOW,
    Key,
    Rekor,
    Sigstore,
    b64,
    canonical,
    dsse,
    envelope,
    hashedrekord,
    hashedrekord_v2,
    intoto_v1,
    intoto_v2,
    logged_bundle,
    logged_signature,
    message_signature,
    new_key,
    older,
    pae,
    pem,
    sign,
    simple_signing,
    spki,
    statement,
    tree_hash,
    tree_path,
)

REPOSITORY = Path(__file__).parents[3]
TRUST = REPOSITORY.parent / "shared" / "data" / "trust"
OURS, THEIRS = Sigstore(), Sigstore()
ROOT = json.dumps(OURS.trusted_root()).encode()
KEY, OTHER_KEY = new_key(), new_key()
SECOND = timedelta(seconds=1)


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(Rejected) as caught:
        call()
    assert len(str(caught.value)) < 600
    return caught.value.code


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
        subject=Digest(IMAGE),
        manifest=Digest(IMAGE),
        media_type="application/octet-stream",
        content=content,
        annotations=annotations or {},
    )


def layer(made: tuple[bytes, dict[str, str]], kind: Kind = Kind.COSIGN_SIGNATURE) -> Attached:
    return attached(kind, *made)


def bundled(document: dict[str, Any]) -> Attached:
    return attached(Kind.BUNDLE, json.dumps(document).encode())


def logged(one: Attached, key: Key = KEY, root: bytes = ROOT) -> tuple[datetime, int]:
    return verify_logged(one, load_public_key(pem(key).encode()), root)


# --- What holds ------------------------------------------------------------------------------------

WHOLE_INDEX, TREE_INDEX = OURS.rekor.first + OURS.rekor.before, OURS.tiles.before


@pytest.mark.parametrize(
    "key",
    [
        KEY,
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP521R1()),
        rsa.generate_private_key(65537, 2048),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["P-256", "P-384", "P-521", "RSA", "Ed25519"],
)
def test_a_classic_signature_was_logged_when_its_entry_says(key: Key) -> None:
    assert logged(layer(logged_signature(OURS, key)), key) == (NOW, WHOLE_INDEX)


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_an_entry_may_know_the_content_by_another_hash(algorithm: str) -> None:
    payload = simple_signing()
    content, annotations = logged_signature(OURS, KEY)
    signature = base64.b64decode(annotations["dev.cosignproject.cosign/signature"])
    body = hashedrekord(payload, signature, pem(KEY), algorithm)
    annotations["dev.sigstore.cosign/bundle"] = OURS.entry_annotation(body)
    assert logged(layer((content, annotations))) == (NOW, WHOLE_INDEX)


def attest(*keys: Key, entered: Callable[..., bytes] = dsse) -> tuple[bytes, dict[str, str]]:
    """Attest as cosign 2 does, by some keys at once."""
    payload = statement()
    signatures = [sign(key, pae(payload)) for key in keys]
    content = json.dumps(envelope(payload, *signatures)).encode()
    made = [(signature, pem(key)) for signature, key in zip(signatures, keys, strict=True)]
    body = intoto_v1(content, made[0][1]) if entered is intoto_v1 else entered(payload, content, *made)
    return content, {"dev.sigstore.cosign/bundle": OURS.entry_annotation(body)}


@pytest.mark.parametrize("entered", [dsse, intoto_v1, intoto_v2])
def test_a_classic_attestation_was_logged_when_its_entry_says(entered: Callable[..., bytes]) -> None:
    made = attest(KEY, entered=entered)
    assert logged(layer(made, Kind.COSIGN_ATTESTATION)) == (NOW, WHOLE_INDEX)


@pytest.mark.parametrize("entered", [dsse, intoto_v2])
def test_of_several_signatures_the_keys_own_has_to_be_logged(entered: Callable[..., bytes]) -> None:
    made = attest(OTHER_KEY, KEY, entered=entered)
    assert logged(layer(made, Kind.COSIGN_ATTESTATION)) == (NOW, WHOLE_INDEX)
    content, _ = made
    payload = statement()
    theirs = base64.b64decode(json.loads(content)["signatures"][0]["sig"])
    annotations = {
        "dev.sigstore.cosign/bundle": OURS.entry_annotation(
            entered(payload, content, (theirs, pem(OTHER_KEY)))
        )
    }
    assert code_of(lambda: logged(layer((content, annotations), Kind.COSIGN_ATTESTATION))) == "other-key"


def test_a_bundle_was_logged_when_its_promise_says() -> None:
    assert logged(bundled(logged_bundle(OURS, KEY))) == (NOW, WHOLE_INDEX)


def test_a_bundle_in_rekor_2_was_logged_when_its_time_stamp_says() -> None:
    assert logged(bundled(logged_bundle(OURS, KEY, rekor=2))) == (NOW, TREE_INDEX)


def by_message(body: bytes | None = None, digest: bytes | None = None) -> dict[str, Any]:
    """Sign the image's manifest as it is, with a key."""
    artifact = b"an image's manifest"
    signature = sign(KEY, artifact)
    document = logged_bundle(OURS, KEY)
    del document["dsseEnvelope"]
    body = body or hashedrekord(artifact, signature, pem(KEY))
    document["verificationMaterial"]["tlogEntries"] = [OURS.rekor.enter(body, "hashedrekord", "0.0.1", NOW)]
    document["messageSignature"] = message_signature(artifact, signature)
    if digest:
        document["messageSignature"]["messageDigest"]["digest"] = b64(digest)
    return document


def test_a_message_signature_was_logged() -> None:
    assert logged(bundled(by_message())) == (NOW, WHOLE_INDEX)


def test_a_message_signature_is_over_what_it_says_or_not_logged() -> None:
    assert code_of(lambda: logged(bundled(by_message(digest=bytes(32))))) == "wrong-signature"


def test_a_bundle_of_version_0_1_needs_no_proof() -> None:
    document = older(logged_bundle(OURS, KEY), "0.1")
    entry = document["verificationMaterial"]["tlogEntries"][0]
    assert logged(bundled(document)) == (NOW, WHOLE_INDEX)
    entry["inclusionProof"]["checkpoint"]["envelope"] = ""
    assert logged(bundled(document)) == (NOW, WHOLE_INDEX)
    del entry["inclusionProof"]
    assert logged(bundled(document)) == (NOW, WHOLE_INDEX)


def test_one_of_several_entries_is_enough() -> None:
    document = logged_bundle(OURS, KEY)
    entries = document["verificationMaterial"]["tlogEntries"]
    entries.insert(0, logged_bundle(THEIRS, KEY)["verificationMaterial"]["tlogEntries"][0])
    assert logged(bundled(document)) == (NOW, WHOLE_INDEX)
    del entries[1]
    assert code_of(lambda: logged(bundled(document))) == "unknown-log"
    entries[:] = (
        entries * transparency.MAX_ENTRIES + logged_bundle(OURS, KEY)["verificationMaterial"]["tlogEntries"]
    )
    assert code_of(lambda: logged(bundled(document))) == "unknown-log"


# --- Bound to this signature, this content, this key -----------------------------------------------
# Each entry here is genuine: the log has entered just this. GHSA-whqx-f9j3-ch6m, CVE-2022-36056.

PAYLOAD, OTHER_PAYLOAD = simple_signing(), simple_signing("sha256:" + "0" * 64)
SIGNATURE = sign(KEY, PAYLOAD)


def with_entry(body: bytes) -> Attached:
    annotations = {
        "dev.cosignproject.cosign/signature": b64(SIGNATURE),
        "dev.sigstore.cosign/bundle": OURS.entry_annotation(body),
    }
    return layer((PAYLOAD, annotations))


def spec(body: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    document = json.loads(body)
    change(document["spec"])
    return canonical(document)


RIGHT = hashedrekord(PAYLOAD, SIGNATURE, pem(KEY))


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (RIGHT, "ok"),
        (hashedrekord(PAYLOAD, sign(KEY, PAYLOAD), pem(KEY)), "other-signature"),
        (hashedrekord(OTHER_PAYLOAD, SIGNATURE, pem(KEY)), "other-content"),
        (hashedrekord(PAYLOAD, SIGNATURE, pem(OTHER_KEY)), "other-key"),
        (hashedrekord(PAYLOAD, sign(OTHER_KEY, PAYLOAD), pem(OTHER_KEY)), "other-key"),
        (hashedrekord(OTHER_PAYLOAD, sign(KEY, OTHER_PAYLOAD), pem(KEY)), "other-content"),
        (spec(RIGHT, lambda spec: spec["data"]["hash"].update(algorithm="sha512")), "other-content"),
        (spec(RIGHT, lambda spec: spec["data"]["hash"].update(algorithm="sha1")), "other-content"),
        # An entry of an envelope whose payload these bytes would be, by the same key.
        (dsse(PAYLOAD, b"", (SIGNATURE, pem(KEY))), "other-content"),
        (intoto_v2(PAYLOAD, b"", (SIGNATURE, pem(KEY))), "other-content"),
        (intoto_v1(PAYLOAD, pem(KEY)), "other-content"),
    ],
    ids=[
        "right", "signature", "content", "key", "signature and key", "signature and content", "hash",
        "unknown hash", "dsse", "intoto 0.0.2", "intoto 0.0.1",
    ],
)  # fmt: skip
def test_an_entry_of_something_else_proves_nothing(body: bytes, outcome: str) -> None:
    assert outcome_of(lambda: logged(with_entry(body))) == outcome


STATEMENT = statement()
ENVELOPE_SIGNATURE = sign(KEY, pae(STATEMENT))
ENVELOPE = json.dumps(envelope(STATEMENT, ENVELOPE_SIGNATURE)).encode()
OTHER_STATEMENT = statement("sha256:" + "0" * 64)


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (dsse(STATEMENT, ENVELOPE, (ENVELOPE_SIGNATURE, pem(KEY))), "ok"),
        (dsse(STATEMENT, ENVELOPE, (sign(KEY, pae(STATEMENT)), pem(KEY))), "other-signature"),
        (dsse(OTHER_STATEMENT, ENVELOPE, (ENVELOPE_SIGNATURE, pem(KEY))), "other-content"),
        (dsse(STATEMENT, ENVELOPE, (ENVELOPE_SIGNATURE, pem(OTHER_KEY))), "other-key"),
        (
            dsse(STATEMENT, ENVELOPE, (b"x", pem(KEY)), (ENVELOPE_SIGNATURE, pem(OTHER_KEY))),
            "other-signature",
        ),
        (intoto_v2(STATEMENT, ENVELOPE, (ENVELOPE_SIGNATURE, pem(KEY))), "ok"),
        (intoto_v2(STATEMENT, ENVELOPE, (sign(KEY, pae(STATEMENT)), pem(KEY))), "other-signature"),
        (intoto_v2(OTHER_STATEMENT, ENVELOPE, (ENVELOPE_SIGNATURE, pem(KEY))), "other-content"),
        (intoto_v2(STATEMENT, ENVELOPE, (ENVELOPE_SIGNATURE, pem(OTHER_KEY))), "other-key"),
        (intoto_v1(ENVELOPE, pem(KEY)), "ok"),
        (intoto_v1(ENVELOPE + b" ", pem(KEY)), "other-content"),
        (intoto_v1(STATEMENT, pem(KEY)), "other-content"),
        (intoto_v1(ENVELOPE, pem(OTHER_KEY)), "other-key"),
        # Over the payload where it has to be over the envelope's encoding of it, and the other way round.
        (hashedrekord(STATEMENT, ENVELOPE_SIGNATURE, pem(KEY)), "other-content"),
        (hashedrekord(pae(STATEMENT), ENVELOPE_SIGNATURE, pem(KEY)), "ok"),
        (dsse(pae(STATEMENT), ENVELOPE, (ENVELOPE_SIGNATURE, pem(KEY))), "other-content"),
    ],
    ids=[
        "dsse", "dsse, signature", "dsse, content", "dsse, key", "dsse, two", "intoto 0.0.2",
        "intoto 0.0.2, signature", "intoto 0.0.2, content", "intoto 0.0.2, key", "intoto 0.0.1",
        "intoto 0.0.1, white space", "intoto 0.0.1, payload", "intoto 0.0.1, key", "payload as signed",
        "hashedrekord", "signed as payload",
    ],
)  # fmt: skip
def test_an_entry_of_another_attestation_proves_nothing(body: bytes, outcome: str) -> None:
    annotations = {"dev.sigstore.cosign/bundle": OURS.entry_annotation(body)}
    one = attached(Kind.COSIGN_ATTESTATION, ENVELOPE, annotations)
    assert outcome_of(lambda: logged(one)) == outcome


@pytest.mark.parametrize(("count", "outcome"), [(16, "ok"), (17, "malformed-entry"), (0, "malformed-entry")])
def test_an_entry_has_as_many_signatures_as_an_envelope_may_have(count: int, outcome: str) -> None:
    body = dsse(STATEMENT, ENVELOPE, *[(ENVELOPE_SIGNATURE, pem(KEY))] * count)
    annotations = {"dev.sigstore.cosign/bundle": OURS.entry_annotation(body)}
    one = attached(Kind.COSIGN_ATTESTATION, ENVELOPE, annotations)
    assert outcome_of(lambda: logged(one)) == outcome


def test_an_entry_is_of_the_key_of_the_policy_not_of_one_that_came_along() -> None:
    assert code_of(lambda: logged(with_entry(RIGHT), OTHER_KEY)) == "wrong-signature"
    assert code_of(lambda: logged(bundled(logged_bundle(OURS, KEY)), OTHER_KEY)) == "wrong-signature"


def held(key: Key) -> dict[str, object]:
    return {"publicKey": {"rawBytes": b64(spki(key))}}


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (hashedrekord_v2(pae(STATEMENT), ENVELOPE_SIGNATURE, held(KEY)), "ok"),
        (hashedrekord_v2(pae(STATEMENT), sign(KEY, pae(STATEMENT)), held(KEY)), "other-signature"),
        (hashedrekord_v2(STATEMENT, ENVELOPE_SIGNATURE, held(KEY)), "other-content"),
        (hashedrekord_v2(pae(OTHER_STATEMENT), ENVELOPE_SIGNATURE, held(KEY)), "other-content"),
        (hashedrekord_v2(pae(STATEMENT), ENVELOPE_SIGNATURE, held(OTHER_KEY)), "other-key"),
        (hashedrekord_v2(pae(STATEMENT), ENVELOPE_SIGNATURE, {}), "malformed-entry"),
        (
            hashedrekord_v2(
                pae(STATEMENT), ENVELOPE_SIGNATURE, {**held(KEY), "x509Certificate": {"rawBytes": "AAAA"}}
            ),
            "malformed-entry",
        ),
    ],
    ids=["right", "signature", "payload", "content", "key", "no key", "two keys"],
)
def test_an_entry_of_rekor_2_for_something_else_proves_nothing(body: bytes, outcome: str) -> None:
    document = logged_bundle(OURS, KEY, rekor=2)
    document["dsseEnvelope"] = json.loads(ENVELOPE)
    material = document["verificationMaterial"]
    material["tlogEntries"] = [OURS.tiles.enter(body, "hashedrekord", "0.0.2", None)]
    stamp = b64(OURS.stamp(ENVELOPE_SIGNATURE, NOW))
    material["timestampVerificationData"] = {"rfc3161Timestamps": [{"signedTimestamp": stamp}]}
    assert outcome_of(lambda: logged(bundled(document))) == outcome


def test_the_kind_that_a_bundle_says_is_that_of_the_entry() -> None:
    document = logged_bundle(OURS, KEY)
    document["verificationMaterial"]["tlogEntries"][0]["kindVersion"]["kind"] = "hashedrekord"
    assert code_of(lambda: logged(bundled(document))) == "unsupported-entry"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda body: body.update(kind="rekord"), "unsupported-entry"),
        (lambda body: body.update(apiVersion="0.0.9"), "unsupported-entry"),
        (lambda body: body.update(kind=["hashedrekord"]), "malformed-entry"),
        (lambda body: body.update(spec=None), "malformed-entry"),
        (lambda body: body["spec"].update(data=[]), "malformed-entry"),
        (lambda body: body["spec"]["data"]["hash"].update(value="00zz"), "malformed-entry"),
        (lambda body: body["spec"]["data"]["hash"].update(value=""), "malformed-entry"),
        (lambda body: body["spec"]["data"]["hash"].update(value=None), "malformed-entry"),
        (lambda body: body["spec"]["signature"].update(content="!"), "malformed-base64"),
        (lambda body: body["spec"]["signature"].update(publicKey=None), "malformed-entry"),
        (lambda body: body["spec"]["signature"]["publicKey"].update(content=b64(b"x")), "unsupported-key"),
        (
            lambda body: body["spec"]["signature"]["publicKey"].update(
                content=b64(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
            ),
            "malformed-entry",
        ),
        (
            lambda body: body["spec"]["signature"]["publicKey"].update(
                content=b64((OURS.intermediate.pem + OURS.root.pem).encode())
            ),
            "malformed-entry",
        ),
    ],
)
def test_an_entry_that_is_not_understood_proves_nothing(
    change: Callable[[dict[str, Any]], None], code: str
) -> None:
    body = json.loads(RIGHT)
    change(body)
    assert code_of(lambda: logged(with_entry(canonical(body)))) == code


@pytest.mark.parametrize(
    "body",
    [b"", b"no JSON", b"[]", b'{"kind": 1, "kind": 2}', b"\xff", b"x" * (transparency.MAX_BODY_BYTES + 1)],
    ids=["empty", "text", "array", "twice", "no text", "large"],
)
def test_a_body_that_is_none_proves_nothing(body: bytes) -> None:
    assert code_of(lambda: logged(with_entry(body))) in {"malformed-json", "malformed-entry", "too-large"}


# --- The promise -----------------------------------------------------------------------------------


def test_a_log_that_the_root_does_not_have_promises_nothing() -> None:
    assert code_of(lambda: logged(layer(logged_signature(THEIRS, KEY)))) == "unknown-log"


def annotated(**changes: object) -> Attached:
    document = json.loads(with_entry(RIGHT).annotations["dev.sigstore.cosign/bundle"])
    for name, value in changes.items():
        (document if name == "SignedEntryTimestamp" else document["Payload"])[name] = value
    annotations = {**with_entry(RIGHT).annotations, "dev.sigstore.cosign/bundle": json.dumps(document)}
    return layer((PAYLOAD, annotations))


SECONDS = int(NOW.timestamp())


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"integratedTime": SECONDS + 1}, "wrong-promise"),
        ({"integratedTime": 0}, "wrong-promise"),
        ({"integratedTime": 2**53 - 1}, "wrong-promise"),
        ({"logIndex": WHOLE_INDEX + 1}, "wrong-promise"),
        ({"body": b64(hashedrekord(PAYLOAD, sign(KEY, PAYLOAD), pem(KEY)))}, "wrong-promise"),
        ({"SignedEntryTimestamp": b64(THEIRS.rekor.promise(RIGHT, SECONDS, WHOLE_INDEX))}, "wrong-promise"),
        ({"SignedEntryTimestamp": b64(b"")}, "wrong-promise"),
        ({"logID": THEIRS.rekor.id.hex()}, "unknown-log"),
        ({"logID": OURS.tiles.id.hex()}, "wrong-promise"),
        ({"logID": OURS.rekor.id.hex().upper()}, "malformed-entry"),
        ({"logID": OURS.rekor.id.hex()[1:]}, "malformed-entry"),
        ({"logID": None}, "malformed-entry"),
        ({"integratedTime": str(SECONDS)}, "malformed-entry"),
        ({"integratedTime": float(SECONDS)}, "malformed-entry"),
        ({"integratedTime": True}, "malformed-entry"),
        ({"integratedTime": -SECONDS}, "malformed-entry"),
        ({"integratedTime": 2**53}, "malformed-entry"),
        ({"logIndex": -1}, "malformed-entry"),
        ({"body": RIGHT.decode()}, "malformed-base64"),
        ({"body": b64(RIGHT) + "\n"}, "malformed-base64"),
        ({"SignedEntryTimestamp": None}, "malformed-base64"),
    ],
)
def test_a_promise_is_of_all_that_it_says(changes: dict[str, object], code: str) -> None:
    assert outcome_of(lambda: logged(annotated())) == "ok"
    assert code_of(lambda: logged(annotated(**changes))) == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (None, "no-entry"),
        ("", "malformed-json"),
        ("[]", "malformed-entry"),
        ("{}", "malformed-entry"),
        ('{"Payload": []}', "malformed-entry"),
        ('{"Payload": {}, "Payload": {}}', "malformed-json"),
        (" " * (2 * transparency.MAX_BODY_BYTES + 1), "too-large"),
    ],
    ids=["missing", "empty", "array", "object", "payload", "twice", "large"],
)
def test_an_annotation_that_is_no_entry_is_refused(text: str | None, code: str) -> None:
    annotations = {"dev.cosignproject.cosign/signature": b64(SIGNATURE)}
    if text is not None:
        annotations["dev.sigstore.cosign/bundle"] = text
    assert code_of(lambda: logged(layer((PAYLOAD, annotations)))) == code


@pytest.mark.parametrize(
    ("period", "outcome"),
    [
        ({"start": "2026-01-15T12:00:00Z", "end": "2026-01-15T12:00:00Z"}, "ok"),
        ({"start": "2026-01-15T12:00:01Z"}, "unknown-log"),
        ({"start": "2025-01-01T00:00:00Z", "end": "2026-01-15T11:59:59Z"}, "unknown-log"),
        ({}, "ok"),
    ],
)
def test_a_log_counts_in_its_period(period: dict[str, str], outcome: str) -> None:
    root = json.dumps(OURS.trusted_root(tlogs=period)).encode()
    assert outcome_of(lambda: logged(with_entry(RIGHT), root=root)) == outcome
    assert outcome_of(lambda: logged(bundled(logged_bundle(OURS, KEY, rekor=2)), root=root)) == outcome


def test_a_log_with_two_keys_for_two_periods_is_held_to_the_right_one() -> None:
    document = OURS.trusted_root(tlogs={"start": "2025-01-01T00:00:00Z", "end": "2026-01-14T00:00:00Z"})
    successor = OURS.trusted_root()["tlogs"][0]
    document["tlogs"].append(successor)
    assert outcome_of(lambda: logged(with_entry(RIGHT), root=json.dumps(document).encode())) == "ok"
    successor["publicKey"] = THEIRS.trusted_root()["tlogs"][0]["publicKey"]
    assert code_of(lambda: logged(with_entry(RIGHT), root=json.dumps(document).encode())) == "wrong-promise"


@pytest.mark.parametrize("root", [b"", b"{}", b"\xff"])
def test_without_a_root_nothing_is_logged(root: bytes) -> None:
    assert code_of(lambda: logged(with_entry(RIGHT), root=root)) == "malformed-root"


def test_other_kinds_of_signatures_are_not_logged() -> None:
    assert code_of(lambda: logged(attached(Kind.NOTATION, b""))) == "no-entry"


# --- The proof -------------------------------------------------------------------------------------


def entry_of(document: dict[str, Any]) -> LogEntry:
    return bundles.parse(json.dumps(document).encode()).log_entries[0]


ENTRY = entry_of(logged_bundle(OURS, KEY, rekor=2))
TRUSTED = trusted_root.read(ROOT)


def signing_of(document: dict[str, Any]) -> Signing:
    bundle = bundles.parse(json.dumps(document).encode())
    assert not isinstance(bundle.content, bundles.MessageSignature)
    return transparency.of_envelope(bundle.content, load_public_key(pem(KEY).encode()), spki(KEY))


def proven(entry: LogEntry, **changes: Any) -> str:
    """Have a proof verified by itself, of an entry of any body."""
    assert entry.proof is not None
    proof = replace(entry.proof, **changes)
    return outcome_of(lambda: transparency._verify_proof(entry.body, proof))


@settings(deadline=None)
@given(st.integers(1, 70), st.data())
def test_every_entry_of_every_tree_is_proven_and_nothing_else(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    leaves = [b"leaf %d" % number for number in range(size)]
    path = tree_path(index, leaves)
    proof = InclusionProof(
        log_index=index, tree_size=size, root_hash=tree_hash(leaves), hashes=tuple(path), checkpoint=""
    )
    entry = replace(ENTRY, body=leaves[index], proof=proof)
    assert proven(entry) == "ok"
    assert proven(replace(entry, body=b"another")) == "wrong-proof"
    assert proven(entry, root_hash=tree_hash([*leaves, b"more"])) == "wrong-proof"
    assert proven(entry, hashes=(*path, bytes(32))) == "wrong-proof"
    assert proven(entry, log_index=size) == "wrong-proof"
    assert proven(entry, tree_size=index) == "wrong-proof"
    # Deeper than the way is long.
    assert proven(entry, tree_size=4 * size) == "wrong-proof"
    if path:
        other = data.draw(st.integers(0, len(path) - 1))
        flipped = bytes([path[other][0] ^ 1]) + path[other][1:]
        assert proven(entry, hashes=(*path[:other], flipped, *path[other + 1 :])) == "wrong-proof"
        assert proven(entry, hashes=tuple(path[:-1])) == "wrong-proof"
        assert proven(entry, hashes=(path[0] + b"x", *path[1:])) == "wrong-proof"
    elsewhere = data.draw(st.integers(0, size - 1))
    if elsewhere != index:
        assert proven(entry, log_index=elsewhere) == "wrong-proof"


@pytest.mark.parametrize("length", [0, 1, 31, 33, 64])
def test_a_hash_is_as_long_as_hashes_are(length: int) -> None:
    other = b"x" * length
    root = hashlib.sha256(b"\x01" + hashlib.sha256(b"\x00" + ENTRY.body).digest() + other).digest()
    proof = InclusionProof(log_index=0, tree_size=2, root_hash=root, hashes=(other,), checkpoint="")
    assert proven(replace(ENTRY, proof=proof)) == "wrong-proof"


@pytest.mark.parametrize("size", [2**63 - 1, 2**40])
def test_the_largest_trees_are_no_longer_a_way(size: int) -> None:
    proof = InclusionProof(log_index=size - 1, tree_size=size, root_hash=bytes(32), hashes=(bytes(32),) * 64,
                           checkpoint="")  # fmt: skip
    assert proven(replace(ENTRY, proof=proof)) == "wrong-proof"


def test_a_proof_does_not_prove_a_time() -> None:
    document = logged_bundle(OURS, KEY, rekor=2)
    del document["verificationMaterial"]["timestampVerificationData"]
    assert code_of(lambda: logged(bundled(document))) == "unproven-time"
    # A time that no promise is under is only said.
    document["verificationMaterial"]["tlogEntries"][0]["integratedTime"] = str(SECONDS)
    assert code_of(lambda: logged(bundled(document))) == "unproven-time"


def test_the_proof_counts_beside_the_promise() -> None:
    document = logged_bundle(OURS, KEY)
    proof = document["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]
    proof["rootHash"] = b64(bytes(32))
    assert code_of(lambda: logged(bundled(document))) == "wrong-proof"
    assert code_of(lambda: logged(bundled(older(document, "0.1")))) == "wrong-proof"
    document = logged_bundle(OURS, KEY)
    proof = document["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]
    proof["checkpoint"] = {
        "envelope": proof["checkpoint"]["envelope"].replace("rekor.example - 42", "another")
    }
    assert code_of(lambda: logged(bundled(document))) == "wrong-checkpoint"
    assert code_of(lambda: logged(bundled(older(document, "0.1")))) == "wrong-checkpoint"


def test_the_promise_counts_beside_the_proof() -> None:
    document = logged_bundle(OURS, KEY)
    entry = document["verificationMaterial"]["tlogEntries"][0]
    entry["integratedTime"] = str(SECONDS + 1)
    assert code_of(lambda: logged(bundled(document))) == "wrong-promise"


def test_since_version_0_2_a_promise_is_not_enough() -> None:
    document = logged_bundle(OURS, KEY)
    document["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]["checkpoint"]["envelope"] = ""
    assert code_of(lambda: logged(bundled(document))) == "no-proof"
    entry, signing = entry_of(logged_bundle(OURS, KEY)), signing_of(logged_bundle(OURS, KEY))
    promised = replace(entry, proof=None)
    assert code_of(lambda: verify_entry(promised, signing, TRUSTED, needs_proof=True)) == "no-proof"
    assert outcome_of(lambda: verify_entry(promised, signing, TRUSTED)) != "no-proof"


def test_an_entry_with_neither_is_none() -> None:
    bare = replace(ENTRY, proof=None)
    signing = Signing(signature=b"", key=b"", signed=digests(b""))
    assert code_of(lambda: verify_entry(bare, signing, TRUSTED, [NOW])) == "no-proof"
    assert code_of(lambda: verify_entry(bare, signing, TRUSTED)) == "unproven-time"


def test_without_an_entry_nothing_is_logged() -> None:
    document = logged_bundle(OURS, KEY)
    document["verificationMaterial"]["tlogEntries"] = []
    assert code_of(lambda: logged(bundled(document))) == "no-entry"


def test_all_times_are_told_the_logs_own_first() -> None:
    document = logged_bundle(OURS, KEY)
    entry, signing = entry_of(document), signing_of(document)
    assert verify_entry(entry, signing, TRUSTED, [NOW + SECOND]) == Logged((NOW, NOW + SECOND), WHOLE_INDEX)


# --- The checkpoint --------------------------------------------------------------------------------


def noted(log: Rekor, text: str, *more: str, hint: bytes | None = None) -> str:
    signature = b64((hint or log.id[:4]) + sign(log.key, text.encode()))
    lines = [f"\N{EM DASH} {log.origin.split()[0]} {signature}", *more]
    return text + "\n" + "".join(f"{line}\n" for line in lines)


def head(log: Rekor = OURS.tiles, size: int | None = None, root: bytes | None = None) -> str:
    assert ENTRY.proof is not None
    return f"{log.origin}\n{size or ENTRY.proof.tree_size}\n{b64(root or ENTRY.proof.root_hash)}\n"


NAMESAKE = f"\N{EM DASH} a {b64(OURS.tiles.id[:4] + bytes(64))}"
WITNESS = f"\N{EM DASH} witness.example/w1 {b64(bytes(76))}"


@pytest.mark.parametrize(
    ("checkpoint", "outcome"),
    [
        (noted(OURS.tiles, head()), "ok"),
        (noted(OURS.tiles, head() + "Timestamp: 1\nmore\n"), "ok"),
        (noted(OURS.tiles, head(), WITNESS, WITNESS), "ok"),
        # The key's hint stands beside a signature of another as well: only four bytes.
        (
            noted(OURS.tiles, head()).replace("\n\n", f"\n\n{NAMESAKE}\n"),
            "ok",
        ),
        (noted(OURS.tiles, head(size=9)), "wrong-checkpoint"),
        (noted(OURS.tiles, head(root=bytes(32))), "wrong-checkpoint"),
        (noted(OURS.tiles, "\n" + head().partition("\n")[2]), "wrong-checkpoint"),
        (noted(OURS.tiles, head().partition("\n")[2]), "wrong-checkpoint"),
        (noted(OURS.tiles, "log.example\n"), "wrong-checkpoint"),
        (noted(OURS.tiles, head().replace("\n8\n", "\n08\n")), "wrong-checkpoint"),
        (noted(THEIRS.tiles, head(), hint=OURS.tiles.id[:4]), "wrong-checkpoint"),
        (noted(THEIRS.tiles, head()), "wrong-checkpoint"),
        (noted(OURS.rekor, head()), "wrong-checkpoint"),
        (noted(OURS.tiles, head(), hint=b"\0\0\0\0"), "wrong-checkpoint"),
        (noted(OURS.tiles, head()).replace("log.example\n", "log.examplf\n", 1), "wrong-checkpoint"),
        (noted(OURS.tiles, head())[:-1], "wrong-checkpoint"),
        (noted(OURS.tiles, head()) + "\n", "wrong-checkpoint"),
        (noted(OURS.tiles, head(), "no signature"), "wrong-checkpoint"),
        (noted(OURS.tiles, head(), "\N{EM DASH} short AAAA"), "wrong-checkpoint"),
        (noted(OURS.tiles, head(), *[WITNESS] * transparency.MAX_NOTE_SIGNATURES), "wrong-checkpoint"),
        (noted(OURS.tiles, head() + "x" * transparency.MAX_CHECKPOINT_CHARACTERS), "wrong-checkpoint"),
        (head(), "wrong-checkpoint"),
        (head() + "\n", "wrong-checkpoint"),
        ("\n\n", "wrong-checkpoint"),
    ],
    ids=[
        "right", "extensions", "witnesses", "hint twice", "size", "root", "no origin", "origin missing",
        "short", "size in two ways", "other key", "other log", "log of the root", "other hint", "origin",
        "no end", "blank line", "junk", "short signature", "many", "large", "unsigned", "no signature",
        "nothing",
    ],
)  # fmt: skip
def test_a_checkpoint_is_the_logs_and_of_this_tree(checkpoint: str, outcome: str) -> None:
    assert ENTRY.proof is not None
    proof = replace(ENTRY.proof, checkpoint=checkpoint)
    logs = [log for log in TRUSTED.logs if log.id == ENTRY.log_id]
    assert outcome_of(lambda: transparency._verify_checkpoint(proof, logs)) == outcome


def test_a_checkpoint_may_be_signed_under_an_id_of_its_own() -> None:
    document = OURS.trusted_root()
    document["tlogs"][1]["checkpointKeyId"] = {"keyId": b64(b"abcd" + bytes(28))}
    root = trusted_root.read(json.dumps(document).encode())
    other = replace(ENTRY.proof, checkpoint=noted(OURS.tiles, head(), hint=b"abcd"))
    assert ENTRY.proof is not None
    assert code_of(lambda: transparency._verify_checkpoint(ENTRY.proof, root.logs)) == "wrong-checkpoint"
    assert outcome_of(lambda: transparency._verify_checkpoint(other, root.logs)) == "ok"


# --- Anything else ---------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(JSON, st.sampled_from(["hashedrekord", "dsse", "intoto"]), st.sampled_from(["0.0.1", "0.0.2"]))
def test_no_body_raises_anything_else(spec: object, kind: str, version: str) -> None:
    body = json.dumps({"kind": kind, "apiVersion": version, "spec": spec}).encode()
    assert code_of(lambda: logged(with_entry(body)))


@settings(deadline=None)
@given(st.text(max_size=100) | JSON.map(json.dumps))
def test_no_annotation_raises_anything_else(text: str) -> None:
    annotations = {"dev.cosignproject.cosign/signature": b64(SIGNATURE), "dev.sigstore.cosign/bundle": text}
    assert code_of(lambda: logged(layer((PAYLOAD, annotations))))


@settings(deadline=None)
@given(st.text(max_size=200))
def test_no_checkpoint_raises_anything_else(text: str) -> None:
    assert ENTRY.proof is not None
    proof = replace(ENTRY.proof, checkpoint=text)
    assert code_of(lambda: transparency._verify_checkpoint(proof, TRUSTED.logs)) in {
        "wrong-checkpoint",
        "malformed-base64",
    }


ANNOTATIONS = with_entry(RIGHT).annotations
ANNOTATED = ANNOTATIONS["dev.sigstore.cosign/bundle"]


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 7), st.integers(0, len(ANNOTATED) - 1))
def test_no_flipped_bit_of_an_entry_passes(bit: int, at: int) -> None:
    content = bytearray(ANNOTATED.encode())
    content[at % len(content)] ^= 1 << bit
    annotations = {**ANNOTATIONS, "dev.sigstore.cosign/bundle": content.decode("latin-1")}
    # What is still the same entry, white space aside, is.
    if outcome_of(lambda: logged(layer((PAYLOAD, annotations)))) == "ok":
        assert json.loads(content) == json.loads(ANNOTATED)


def test_it_is_there_where_sigstore_is_not() -> None:
    program = (
        "import sys; from hooks.image_trust.formats import transparency;"
        "sys.exit(any(name.split('.')[0] in {'sigstore', 'rfc3161_client'} for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=REPOSITORY)


# --- The conformance suite's signatures with keys ---------------------------------------------------

SUITE = TRUST / "sigstore-conformance"


@pytest.mark.skipif(not SUITE.exists(), reason="../shared/data/trust/sigstore-conformance is not there")
@pytest.mark.parametrize("name", ["managed-key-no-key_fail", "managed-key-wrong-key_fail"])
def test_the_suites_signatures_by_key_were_logged(name: str) -> None:
    root = (SUITE / "trusted_root.public-good.json").read_bytes()
    content = (SUITE / "bundle-verify" / name / "bundle.sigstore.json").read_bytes()
    entry = bundles.parse(content).log_entries[0]
    named = json.loads(entry.body)["spec"]["signature"]["publicKey"]["content"]
    key = load_public_key(base64.b64decode(named))
    one = attached(Kind.BUNDLE, content)
    at = datetime.fromtimestamp(entry.integrated_time, UTC)
    assert verify_logged(one, key, root) == (at, entry.log_index)
    assert code_of(lambda: logged(one, root=root)) == "wrong-signature"
    assert code_of(lambda: verify_logged(one, key, ROOT)) == "unknown-log"
