import base64
import copy
import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hooks.image_trust.evidence import Attached, Kind
from hooks.image_trust.finding import Digest, Rejected, Signed
from hooks.image_trust.formats import bundle as bundles
from hooks.image_trust.formats.bundle import (
    MAX_BUNDLE_BYTES,
    MAX_CERTIFICATES,
    MAX_LOG_ENTRIES,
    MAX_PROOF_HASHES,
    MAX_TIMESTAMPS,
    Bundle,
    Certificates,
    HashAlgorithm,
    InclusionProof,
    KeyHint,
    LogEntry,
    MessageSignature,
    Version,
)
from hooks.image_trust.formats.keys import as_public_key, load_public_key
from hooks.image_trust.formats.statement import Envelope, EnvelopeSignature, Statement, Subject
from hooks.image_trust.manifest import digest_of
from tests.hooks.image_trust.vectors.make_cosign import (
    ANNOTATIONS,
    DIGEST,
    FILE,
    KINDS,
    MANIFEST,
    PREDICATE,
    PREDICATE_TYPE,
    b64,
    bundle,
    certificate,
    compact,
    envelope,
    hint,
    message,
    payload,
    sign,
    sign_statement,
    statement,
)

VECTORS = json.loads(FILE.read_text())
TRUST = Path(__file__).parents[3].parent / "shared" / "data" / "trust"
IMAGE = Digest(DIGEST)
OTHER = Digest(f"sha256:{'0' * 64}")
KEY = {name: load_public_key(text.encode()) for name, text in VECTORS["keys"].items()}


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(Rejected) as caught:
        call()
    # Untrusted text is cut: no message is longer than a person reads.
    assert len(str(caught.value)) < 600
    return caught.value.code


def attached(content: bytes) -> Attached:
    return Attached(
        kind=Kind.BUNDLE,
        subject=IMAGE,
        manifest=OTHER,
        media_type="application/vnd.dev.sigstore.bundle.v0.3+json",
        content=content,
    )


def verified(
    content: bytes | Mapping[str, Any],
    key: str = "p256",
    annotations: Mapping[str, str] | None = None,
    digest: Digest = IMAGE,
) -> Signed:
    return bundles.verify_signature(
        attached(content if isinstance(content, bytes) else compact(content)),
        digest,
        KEY[key],
        signer=f"key {key}",
        annotations=annotations or {},
    )


def attested(
    content: bytes | Mapping[str, Any], key: str = "p256", digest: Digest = IMAGE
) -> tuple[Signed, Statement]:
    return bundles.verify_attestation(
        attached(content if isinstance(content, bytes) else compact(content)),
        digest,
        KEY[key],
        signer=f"key {key}",
    )


def signature(name: str = "p256", **changes: Any) -> dict[str, Any]:
    """A bundle as ``cosign sign`` of version 3 makes it."""
    return bundle({"dsseEnvelope": envelope(name, compact(sign_statement(**changes)))}, hint(name))


# --- With a key ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_a_signature_of_cosign_3_holds_for_every_kind_of_key(name: str) -> None:
    content = VECTORS["bundles"][name]["sign"].encode()
    expected = Signed(signer=f"key {name}", digest=IMAGE, claims=ANNOTATIONS)
    assert verified(content, name) == expected
    assert verified(content, name, ANNOTATIONS) == expected
    assert code_of(lambda: verified(content, "other")) == "wrong-signature"
    assert code_of(lambda: verified(content, name, digest=OTHER)) == "signed-other-digest"


@pytest.mark.parametrize("name", KINDS)
def test_an_attestation_holds_for_every_kind_of_key(name: str) -> None:
    content = VECTORS["bundles"][name]["attest"].encode()
    assert attested(content, name) == (
        Signed(signer=f"key {name}", digest=IMAGE),
        Statement(
            predicate_type=PREDICATE_TYPE,
            predicate=PREDICATE,
            subjects=(Subject(name="web", digests={"sha256": DIGEST[7:]}),),
        ),
    )
    assert code_of(lambda: attested(content, "other")) == "wrong-signature"
    assert code_of(lambda: attested(content, name, OTHER)) == "signed-other-digest"


@pytest.mark.parametrize("name", ["p256", "rsa"])
def test_a_signature_over_the_manifest_holds_by_the_images_digest(name: str) -> None:
    content = VECTORS["bundles"][name]["message"].encode()
    assert verified(content, name) == Signed(signer=f"key {name}", digest=IMAGE)
    assert code_of(lambda: verified(content, "other")) == "wrong-signature"
    assert code_of(lambda: verified(content, name, digest=OTHER)) == "wrong-signature"
    # It has no place for annotations, and it states nothing.
    assert code_of(lambda: verified(content, name, {"stage": "production"})) == "missing-annotation"
    assert code_of(lambda: attested(content, name)) == "wrong-type"


@pytest.mark.parametrize("name", ["p384", "p521", "ed25519"])
def test_a_signature_over_the_manifest_by_another_hash_needs_the_manifest(name: str) -> None:
    content = VECTORS["bundles"][name]["message"].encode()
    assert code_of(lambda: verified(content, name)) == "needs-artifact"
    assert bundles.verify_artifact(content, MANIFEST.encode(), KEY[name], signer="s") == (
        Signed(signer="s", digest=IMAGE),
        None,
    )


@pytest.mark.parametrize("name", KINDS)
def test_a_bundle_about_any_artifact_is_verified_with_the_artifact(name: str) -> None:
    artifact = b"any file"
    content = compact(bundle(message(name, artifact), hint(name)))
    assert bundles.verify_artifact(content, artifact, KEY[name], signer="s") == (
        Signed(signer="s", digest=digest_of(artifact)),
        None,
    )
    for key, other in ((name, artifact + b"!"), ("other", artifact), (name, b"")):
        refused = code_of(
            lambda key=key, other=other: bundles.verify_artifact(content, other, KEY[key], signer="s")
        )
        assert refused == "wrong-signature"


def test_a_statement_about_any_artifact_is_verified_with_the_artifact_or_its_digest() -> None:
    content = VECTORS["bundles"]["p256"]["attest"].encode()
    by_digest = bundles.verify_artifact(content, IMAGE, KEY["p256"], signer="key p256")
    assert by_digest == attested(content)
    assert by_digest == bundles.verify_artifact(content, MANIFEST.encode(), KEY["p256"], signer="key p256")
    other = code_of(lambda: bundles.verify_artifact(content, b"other", KEY["p256"], signer="s"))
    assert other == "signed-other-digest"


@pytest.mark.parametrize(
    ("digest", "code"),
    [
        ({"algorithm": "SHA2_256", "digest": b64(bytes(32))}, "signed-other-digest"),
        ({"algorithm": "SHA2_256", "digest": ""}, "signed-other-digest"),
        ({"algorithm": "SHA2_256"}, "signed-other-digest"),
        # The right bytes under another name.
        ({"algorithm": "SHA2_384", "digest": b64(bytes.fromhex(DIGEST[7:]))}, "signed-other-digest"),
        ({"algorithm": "SHA2_512", "digest": b64(bytes.fromhex(DIGEST[7:]))}, "signed-other-digest"),
        ({"algorithm": "SHA3_256", "digest": b64(bytes.fromhex(DIGEST[7:]))}, "malformed-bundle"),
        ({"algorithm": 1, "digest": b64(bytes.fromhex(DIGEST[7:]))}, "malformed-bundle"),
        ({"digest": b64(bytes.fromhex(DIGEST[7:]))}, "malformed-bundle"),
        ({}, "malformed-bundle"),
        (None, "malformed-bundle"),
    ],
)
def test_what_a_bundle_calls_its_artifact_has_to_be_it(digest: Any, code: str) -> None:
    document = bundle(message("p256", MANIFEST.encode()), hint("p256"))
    document["messageSignature"]["messageDigest"] = digest
    assert code_of(lambda: verified(document)) == code
    by_bytes = code_of(
        lambda: bundles.verify_artifact(compact(document), MANIFEST.encode(), KEY["p256"], signer="s")
    )
    assert by_bytes == code


def test_what_a_bundle_calls_its_artifact_proves_nothing() -> None:
    document = bundle(message("p256", b"something else"), hint("p256"))
    named = bundle(message("p256", MANIFEST.encode()), hint("p256"))["messageSignature"]["messageDigest"]
    document["messageSignature"]["messageDigest"] = named
    assert code_of(lambda: verified(document)) == "wrong-signature"


def test_a_digest_named_with_another_hash_is_held_against_the_artifact() -> None:
    document = bundle(message("p256", MANIFEST.encode(), "SHA2_512"), hint("p256"))
    signed, _ = bundles.verify_artifact(compact(document), MANIFEST.encode(), KEY["p256"], signer="s")
    assert signed == Signed(signer="s", digest=IMAGE)
    # Without the artifact it can't be.
    assert code_of(lambda: verified(document)) == "signed-other-digest"


@pytest.mark.parametrize(
    ("signed", "wanted"),
    [
        ({}, {"stage": "production"}),
        (None, {"stage": "production"}),
        ({"stage": "test"}, {"stage": "production"}),
        ({"stage": "production"}, {"stage": "production", "team": "shop"}),
        ({"stage": True}, {"stage": "True"}),
        ({"stage": ["production"]}, {"stage": "production"}),
    ],
)
def test_an_annotation_that_was_not_signed_is_missing(signed: Any, wanted: dict[str, str]) -> None:
    document = signature(annotations=signed)
    assert code_of(lambda: verified(document, annotations=wanted)) == "missing-annotation"


def test_annotations_are_the_images_own() -> None:
    mine, others = DIGEST[7:], "0" * 64
    subjects = [
        {"digest": {"sha256": others}, "annotations": {"stage": "production"}},
        {"digest": {"sha256": mine}, "annotations": {"stage": "test", "deep": {}}},
    ]
    content = compact(statement(bundles.SIGN_PREDICATE, {}, subjects))
    document = bundle({"dsseEnvelope": envelope("p256", content)}, hint("p256"))
    assert verified(document).claims == {"stage": "test"}
    assert code_of(lambda: verified(document, annotations={"stage": "production"})) == "missing-annotation"


def test_who_attests_something_does_not_sign_the_image() -> None:
    # CVE-2022-35929: one kind of statement must not do for another.
    attestation = VECTORS["bundles"]["p256"]["attest"].encode()
    assert code_of(lambda: verified(attestation)) == "wrong-type"


def test_a_signature_made_with_a_certificate_is_none_by_its_key() -> None:
    content = VECTORS["certified"].encode()
    assert code_of(lambda: verified(content)) == "unexpected-certificate"
    assert code_of(lambda: attested(content)) == "unexpected-certificate"
    refused = code_of(lambda: bundles.verify_artifact(content, IMAGE, KEY["p256"], signer="s"))
    assert refused == "unexpected-certificate"
    # It is nothing else that is wrong with it.
    claims = bundles.check_image_signature(bundles.parse(content), KEY["p256"], IMAGE, ANNOTATIONS)
    assert claims == ANNOTATIONS


def test_a_chain_of_certificates_is_refused_as_well() -> None:
    chain = {"x509CertificateChain": {"certificates": [{"rawBytes": b64(certificate("p256"))}]}}
    content = {"dsseEnvelope": envelope("p256", compact(sign_statement()))}
    assert code_of(lambda: verified(bundle(content, chain, "0.1"))) == "unexpected-certificate"


def test_hints_choose_nothing() -> None:
    document = signature()
    for other in ({"publicKey": {"hint": "other"}}, {"publicKey": {}}, hint("other")):
        assert verified({**document, "verificationMaterial": other}).claims == ANNOTATIONS
    document["dsseEnvelope"]["signatures"][0]["keyid"] = "other"
    assert verified(document).claims == ANNOTATIONS


@pytest.mark.parametrize("signatures", [[], ["p256", "p256"], ["other", "p256"], ["p256", "other"]])
def test_the_envelope_in_a_bundle_has_exactly_one_signature(signatures: list[str]) -> None:
    document = signature()
    content = compact(sign_statement())
    document["dsseEnvelope"]["signatures"] = [envelope(name, content)["signatures"][0] for name in signatures]
    assert code_of(lambda: verified(document)) == ("malformed-bundle" if signatures else "malformed-envelope")


def test_a_payload_of_cosign_2_in_an_envelope_is_no_statement() -> None:
    document = bundle({"dsseEnvelope": envelope("p256", compact(payload()))}, hint("p256"))
    assert code_of(lambda: verified(document)) == "malformed-statement"


def test_a_signature_of_cosign_2_is_none_over_the_manifest() -> None:
    content = compact(payload())
    document = bundle(message("p256", content), hint("p256"))
    assert code_of(lambda: verified(document)) == "wrong-signature"
    # Nor is one over the envelope's content without the envelope around it.
    document = signature()
    document["dsseEnvelope"]["signatures"][0]["sig"] = b64(sign("p256", compact(sign_statement())))
    assert code_of(lambda: verified(document)) == "wrong-signature"


def test_another_type_of_payload_is_refused_whoever_signed_it() -> None:
    content = envelope("p256", compact(sign_statement()), "application/vnd.cncf.notary.payload.v1+json")
    document = bundle({"dsseEnvelope": content}, hint("p256"))
    assert code_of(lambda: verified(document)) == "wrong-payload-type"


# --- Reading ---------------------------------------------------------------------------------------

ENTRY: dict[str, Any] = {
    "logIndex": "7",
    "logId": {"keyId": b64(b"log")},
    "kindVersion": {"kind": "dsse", "version": "0.0.1"},
    "integratedTime": "1700000000",
    "inclusionPromise": {"signedEntryTimestamp": b64(b"promise")},
    "inclusionProof": {
        "logIndex": "5",
        "rootHash": b64(b"root"),
        "treeSize": "6",
        "hashes": [b64(b"one"), b64(b"two")],
        "checkpoint": {"envelope": "log\n6\n"},
    },
    "canonicalizedBody": b64(b"{}"),
}
MESSAGE: dict[str, Any] = {
    "messageSignature": {
        "messageDigest": {"algorithm": "SHA2_256", "digest": b64(b"digest")},
        "signature": b64(b"signature"),
    }
}
FULL = bundle(
    MESSAGE,
    {
        "certificate": {"rawBytes": b64(b"leaf")},
        "tlogEntries": [ENTRY],
        "timestampVerificationData": {
            "rfc3161Timestamps": [{"signedTimestamp": b64(b"first")}, {"signedTimestamp": b64(b"second")}]
        },
    },
)
PARSED = Bundle(
    version=Version.V0_3,
    content=MessageSignature(HashAlgorithm.SHA2_256, b"digest", b"signature"),
    material=Certificates((b"leaf",)),
    log_entries=(
        LogEntry(
            log_index=7,
            log_id=b"log",
            kind="dsse",
            version="0.0.1",
            integrated_time=1700000000,
            body=b"{}",
            promise=b"promise",
            proof=InclusionProof(
                log_index=5, tree_size=6, root_hash=b"root", hashes=(b"one", b"two"), checkpoint="log\n6\n"
            ),
        ),
    ),
    timestamps=(b"first", b"second"),
)


def test_a_bundle_is_read_as_a_whole() -> None:
    parsed = bundles.parse(compact(FULL))
    assert parsed == PARSED
    assert parsed.signature == b"signature"
    assert isinstance(parsed.material, Certificates)
    assert parsed.material.leaf == b"leaf"


def test_an_envelope_in_a_bundle_is_read_as_it_is() -> None:
    content = {"payloadType": "t", "payload": b64(b"p"), "signatures": [{"sig": b64(b"s"), "keyid": "k"}]}
    parsed = bundles.parse(compact(bundle({"dsseEnvelope": content}, {"publicKey": {"hint": "h"}})))
    assert parsed == Bundle(
        version=Version.V0_3,
        content=Envelope("t", b"p", (EnvelopeSignature(b"s", "k"),)),
        material=KeyHint("h"),
    )
    assert parsed.signature == b"s"


@pytest.mark.parametrize("version", list(Version))
@pytest.mark.parametrize(
    "spelling",
    ["application/vnd.dev.sigstore.bundle+json;version={}", "application/vnd.dev.sigstore.bundle.v{}+json"],
)
def test_versions_have_two_spellings(version: Version, spelling: str) -> None:
    document = {**bundle(MESSAGE, {"publicKey": {"hint": "h"}}), "mediaType": spelling.format(version)}
    assert bundles.parse(compact(document)).version is version


def test_what_has_its_default_may_be_left_out_or_be_null() -> None:
    entry = {
        "logIndex": None,
        "logId": {},
        "kindVersion": {},
        "inclusionPromise": None,
        "inclusionProof": {"logIndex": 0, "treeSize": 1},
    }
    document = bundle(
        {**MESSAGE, "dsseEnvelope": None},
        {"publicKey": {}, "certificate": None, "tlogEntries": [entry], "timestampVerificationData": None},
    )
    assert bundles.parse(compact(document)) == Bundle(
        version=Version.V0_3,
        content=PARSED.content,
        material=KeyHint(""),
        log_entries=(
            LogEntry(
                log_index=0,
                log_id=b"",
                kind="",
                version="",
                integrated_time=0,
                body=b"",
                proof=InclusionProof(log_index=0, tree_size=1, root_hash=b"", hashes=(), checkpoint=""),
            ),
        ),
    )
    document["verificationMaterial"].update(tlogEntries=None, timestampVerificationData={})
    assert bundles.parse(compact(document)).log_entries == ()


def test_base64_in_a_bundle_may_be_in_lines_and_of_either_alphabet() -> None:
    document = bundle(MESSAGE, {"publicKey": {"hint": "h"}})
    document["messageSignature"] = {**MESSAGE["messageSignature"], "signature": "-_\n-_"}
    assert bundles.parse(compact(document)).signature == b"\xfb\xff\xbf"


CHAIN = {"x509CertificateChain": {"certificates": [{"rawBytes": b64(b"leaf")}, {"rawBytes": b64(b"ca")}]}}


@pytest.mark.parametrize("version", ["0.1", "0.2"])
def test_older_versions_have_a_chain(version: str) -> None:
    parsed = bundles.parse(compact(bundle(MESSAGE, CHAIN, version)))
    assert parsed.material == Certificates((b"leaf", b"ca"))


def at(document: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """Return the document with another value at a place."""
    changed = copy.deepcopy(document)
    here = changed
    for step in path[:-1]:
        here = here[step]
    here[path[-1]] = value
    return changed


MATERIAL = "verificationMaterial"
LOGGED = (MATERIAL, "tlogEntries", 0)
PROOF = (*LOGGED, "inclusionProof")
TIMES = (MATERIAL, "timestampVerificationData")
LEAF: dict[str, Any] = {"rawBytes": b64(b"leaf")}


NO_OBJECT: tuple[Any, ...] = ([], "text", 1, True)
NO_TEXT: tuple[Any, ...] = (1, True, [], {})
NO_NUMBER: tuple[Any, ...] = (
    -1, "-1", 2**63, str(2**63), 1.0, "1.0", "1e3", "", " 1", "01", "0x1", "\u0661", True, [], {},
)  # fmt: skip
NO_BASE64: tuple[Any, ...] = (1, True, [], {}, "?", "AAA", "AB==")

# Places in FULL, and what must not stand there.
WRONG: list[tuple[tuple[str | int, ...], tuple[Any, ...]]] = [
    ((MATERIAL,), (*NO_OBJECT, None)),
    ((MATERIAL, "certificate"), (*NO_OBJECT, None)),
    (LOGGED, (*NO_OBJECT, None)),
    ((*LOGGED, "logId"), (*NO_OBJECT, None)),
    ((*LOGGED, "kindVersion"), (*NO_OBJECT, None)),
    ((*LOGGED, "inclusionPromise"), NO_OBJECT),
    (PROOF, (*NO_OBJECT, None)),
    ((*PROOF, "checkpoint"), NO_OBJECT),
    (TIMES, NO_OBJECT),
    ((*TIMES, "rfc3161Timestamps", 0), (*NO_OBJECT, None)),
    (("messageSignature",), (*NO_OBJECT, None)),
    (("messageSignature", "messageDigest"), (*NO_OBJECT, None)),
    ((*LOGGED, "logIndex"), NO_NUMBER),
    ((*LOGGED, "integratedTime"), NO_NUMBER),
    ((*PROOF, "logIndex"), NO_NUMBER),
    ((*PROOF, "treeSize"), NO_NUMBER),
    ((*LOGGED, "kindVersion", "kind"), NO_TEXT),
    ((*LOGGED, "kindVersion", "version"), NO_TEXT),
    ((*PROOF, "checkpoint", "envelope"), NO_TEXT),
    ((MATERIAL, "tlogEntries"), ({}, "text", 1, True, [ENTRY] * (MAX_LOG_ENTRIES + 1))),
    ((*PROOF, "hashes"), ({}, "text", 1, True, [b64(b"one")] * (MAX_PROOF_HASHES + 1))),
    ((*TIMES, "rfc3161Timestamps"), ({}, "text", 1, True, [{"signedTimestamp": ""}] * (MAX_TIMESTAMPS + 1))),
    # Exactly one of each.
    (("dsseEnvelope",), (envelope("p256", b"{}"),)),
    ((MATERIAL, "publicKey"), ({"hint": "h"}, {})),
    # What is not known is not ignored: it may be what somebody else goes by.
    *(
        ((*place, "extra"), (1, None))
        for place in (
            (), (MATERIAL,), (MATERIAL, "certificate"), LOGGED, (*LOGGED, "logId"), (*LOGGED, "kindVersion"),
            (*LOGGED, "inclusionPromise"), PROOF, (*PROOF, "checkpoint"), TIMES,
            (*TIMES, "rfc3161Timestamps", 0), ("messageSignature",), ("messageSignature", "messageDigest"),
        )
    ),
]  # fmt: skip
OCTETS: tuple[tuple[str | int, ...], ...] = (
    (MATERIAL, "certificate", "rawBytes"), (*LOGGED, "logId", "keyId"), (*LOGGED, "canonicalizedBody"),
    (*LOGGED, "inclusionPromise", "signedEntryTimestamp"), (*PROOF, "rootHash"), (*PROOF, "hashes", 0),
    (*TIMES, "rfc3161Timestamps", 0, "signedTimestamp"), ("messageSignature", "signature"),
    ("messageSignature", "messageDigest", "digest"),
)  # fmt: skip
MEDIA_TYPES: tuple[Any, ...] = (
    None, "", 1, [], {}, "application/vnd.dev.sigstore.bundle.v0.4+json",
    "application/vnd.dev.sigstore.bundle+json;version=0.4", "application/vnd.dev.sigstore.bundle.v0.3",
    "application/vnd.dev.sigstore.bundle.v0.3+json ", "APPLICATION/vnd.dev.sigstore.bundle.v0.3+json",
)  # fmt: skip


def chained(certificates: Any) -> dict[str, Any]:
    return bundle(MESSAGE, {"x509CertificateChain": {"certificates": certificates}}, "0.2")


MALFORMED: list[tuple[Any, str]] = [
    *((value, "malformed-bundle") for value in (None, *NO_OBJECT)),
    *((at(FULL, ("mediaType",), value), "unsupported-bundle") for value in MEDIA_TYPES),
    *((at(FULL, place, value), "malformed-bundle") for place, values in WRONG for value in values),
    *((at(FULL, place, value), "malformed-base64") for place in OCTETS for value in NO_BASE64),
    (bundle({}, FULL[MATERIAL]), "malformed-bundle"),
    (bundle(MESSAGE, {}), "malformed-bundle"),
    (bundle({"dsseEnvelope": []}, {"publicKey": {}}), "malformed-envelope"),
    (bundle(MESSAGE, {"publicKey": {"hint": 1}}), "malformed-bundle"),
    (bundle(MESSAGE, {"publicKey": "hint"}), "malformed-bundle"),
    (bundle(MESSAGE, {"publicKey": {"hint": "h", "key": "k"}}), "malformed-bundle"),
    # Each version has its own.
    (bundle(MESSAGE, CHAIN), "malformed-bundle"),
    (bundle(MESSAGE, {"certificate": LEAF}, "0.1"), "malformed-bundle"),
    (bundle(MESSAGE, {"certificate": LEAF}, "0.2"), "malformed-bundle"),
    *(
        (chained(value), "malformed-bundle")
        for value in ([], None, {}, [LEAF] * (MAX_CERTIFICATES + 1), [[]])
    ),
    (chained([{"rawBytes": 1}]), "malformed-base64"),
    *(
        (bundle(MESSAGE, {"publicKey": {}, "tlogEntries": [ENTRY, entry]}, version), "malformed-bundle")
        for version, missing in (("0.1", "Promise"), ("0.2", "Proof"), ("0.3", "Proof"))
        for entry in (
            {name: value for name, value in ENTRY.items() if not name.endswith(missing)},
            {**ENTRY, f"inclusion{missing}": None},
        )
    ),
]


@pytest.mark.parametrize(("document", "code"), MALFORMED)
def test_a_bundle_that_is_none_is_refused(document: Any, code: str) -> None:
    assert code_of(lambda: bundles.parse(compact(document))) == code


def test_each_list_may_be_as_long_as_it_may_be() -> None:
    document = at(FULL, (MATERIAL, "tlogEntries"), [ENTRY] * MAX_LOG_ENTRIES)
    assert len(bundles.parse(compact(document)).log_entries) == MAX_LOG_ENTRIES
    document = at(FULL, (*TIMES, "rfc3161Timestamps"), [{"signedTimestamp": ""}] * MAX_TIMESTAMPS)
    assert len(bundles.parse(compact(document)).timestamps) == MAX_TIMESTAMPS
    document = at(FULL, (*PROOF, "hashes"), [b64(b"one")] * MAX_PROOF_HASHES)
    assert bundles.parse(compact(document)).log_entries[0].proof is not None
    chain = {"x509CertificateChain": {"certificates": [LEAF] * MAX_CERTIFICATES}}
    assert bundles.parse(compact(bundle(MESSAGE, chain, "0.1"))).material == Certificates((b"leaf",) * 10)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"\xff", b"nul", b"{}{}", b"\xef\xbb\xbf{}", b"[" * 1_000_000,
        b'{"mediaType":' * 1000,
        compact(signature()).replace(b'"mediaType"', b'"mediaType":"x","mediaType"'),
        compact(signature()).replace(b'"payload"', b'"payload":"","payload"'),
        compact(signature()).replace(b'"sig"', b'"sig":"","sig"'),
        compact(signature()).replace(b'"hint"', b'"hint":"","hint"'),
        compact(signature())[:-1],
    ],
)  # fmt: skip
def test_what_is_no_json_or_has_two_meanings_is_refused(content: bytes) -> None:
    assert code_of(lambda: verified(content)) == "malformed-json"


def test_a_bundle_is_no_longer_than_a_function_can_hold() -> None:
    # GHSA-95pr-fxf5-86gv, GHSA-88jx-383q-w4qc: whatever was attached was read.
    longer = compact(signature())
    longer += b" " * (MAX_BUNDLE_BYTES + 1 - len(longer))
    assert verified(longer[:-1]).claims == ANNOTATIONS
    assert code_of(lambda: verified(longer)) == "too-large"


def test_a_flipped_bit_of_a_bundle_changes_what_nobody_goes_by_or_is_refused() -> None:
    content = compact(signature())
    original = bundles.parse(content)
    before = Signed(signer="key p256", digest=IMAGE, claims=ANNOTATIONS)
    changed: set[str] = set()
    for position in range(len(content) * 8):
        flipped = bytearray(content)
        flipped[position // 8] ^= 1 << position % 8
        try:
            signed = verified(bytes(flipped), annotations=ANNOTATIONS)
        except Rejected:
            continue
        parsed = bundles.parse(bytes(flipped))
        assert signed == before
        # The version, where both ask for the same, and the hint: all else is as it was, the signature too.
        assert dataclasses.replace(parsed, version=original.version, material=original.material) == original
        assert isinstance(parsed.material, KeyHint)
        changed |= {
            field.name
            for field in dataclasses.fields(Bundle)
            if getattr(parsed, field.name) != getattr(original, field.name)
        }
    assert changed == {"version", "material"}


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
        lambda children: (
            st.lists(children, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [*FULL, *FULL[MATERIAL], *ENTRY, *PROOF[-1:], "signatures", "sig", "payload"]
                ),
                children,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
@example({"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json"})
def test_no_document_raises_anything_but_a_rejection(document: Any) -> None:
    for place in ((), (MATERIAL,), ("dsseEnvelope",), LOGGED, PROOF, TIMES):
        whole = at(FULL, place, document) if place else document
        try:
            verified(compact(whole))
        except Rejected as error:
            assert error.code


# --- The conformance suite -------------------------------------------------------------------------

SUITE = TRUST / "sigstore-conformance"


def suite(chosen: Callable[[dict[str, Any]], bool]) -> list[Any]:
    if not SUITE.exists():
        reason = "../shared/data/trust/sigstore-conformance is not there"
        return [pytest.param({}, marks=pytest.mark.skip(reason=reason), id="sigstore-conformance")]
    cases = json.loads((SUITE / "cases.json").read_text())["cases"]
    return [pytest.param(case, id=case["name"]) for case in cases if chosen(case)]


def bundle_of(case: dict[str, Any]) -> bytes:
    return (SUITE / case["dir"] / "bundle.sigstore.json").read_bytes()


@pytest.mark.parametrize("case", suite(lambda case: case["key"] is not None))
def test_cases_with_a_key_have_the_outcome_that_the_suite_gives_them(case: dict[str, Any]) -> None:
    def verify() -> str:
        key = load_public_key((SUITE / case["key"]).read_bytes())
        artifact = (SUITE / case["artifact"]).read_bytes()
        by_content, _ = bundles.verify_artifact(bundle_of(case), artifact, key, signer="managed")
        by_digest, _ = bundles.verify_artifact(bundle_of(case), digest_of(artifact), key, signer="managed")
        assert by_content == by_digest == Signed(signer="managed", digest=digest_of(artifact))
        return "accept"

    if case["expected"] == "accept":
        assert verify() == "accept"
    else:
        assert code_of(verify) in {"unsupported-key", "wrong-signature"}


@pytest.mark.parametrize("case", suite(lambda case: case["name"].startswith("managed-key-")))
def test_a_bundle_by_a_key_has_no_certificate_that_anybody_could_go_by(case: dict[str, Any]) -> None:
    parsed = bundles.parse(bundle_of(case))
    assert parsed.material == KeyHint("TLMsSDfG3ajPsWge+z/vX5T/zluXnmvbkTkwLIV68Tk=")
    assert (len(parsed.log_entries), len(parsed.timestamps)) == (1, 1)


@pytest.mark.parametrize("case", suite(lambda case: case["name"].startswith("managed-key-")))
def test_the_suites_signature_holds_for_the_key_that_its_log_entry_names(case: dict[str, Any]) -> None:
    body = json.loads(bundles.parse(bundle_of(case)).log_entries[0].body)
    named = body["spec"]["signature"]["publicKey"]["content"]
    key = load_public_key(base64.b64decode(named))
    artifact = (SUITE / case["artifact"]).read_bytes()
    signed, _ = bundles.verify_artifact(bundle_of(case), artifact, key, signer="managed")
    assert signed == Signed(signer="managed", digest=digest_of(artifact))
    assert (
        code_of(lambda: bundles.verify_artifact(bundle_of(case), artifact, KEY["p256"], signer="managed"))
        == "wrong-signature"
    )


@pytest.mark.parametrize("case", suite(lambda case: case["key"] is None and case["expected"] == "accept"))
def test_every_bundle_that_the_suite_accepts_is_read_and_is_nothing_for_a_key(case: dict[str, Any]) -> None:
    content = bundle_of(case)
    parsed = bundles.parse(content)
    assert isinstance(parsed.material, Certificates)
    key = as_public_key(x509.load_der_x509_certificate(parsed.material.leaf).public_key())
    artifact = (SUITE / case["artifact"]).read_bytes()
    # The certificate's key did sign it, and yet it is no key of a policy.
    bundles.check_content(parsed, key, artifact)
    assert (
        code_of(lambda: bundles.verify_artifact(content, artifact, key, signer="s"))
        == "unexpected-certificate"
    )
