"""Sigstore bundles: what cosign 3, GitHub and others attach by ``subject``.

::

    {"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
     "verificationMaterial": {
         "publicKey": {"hint": ...} | "certificate": {"rawBytes": ...} | "x509CertificateChain": {...},
         "tlogEntries": [...], "timestampVerificationData": {"rfc3161Timestamps": [...]}},
     "messageSignature": {"messageDigest": {"algorithm": "SHA2_256", "digest": ...}, "signature": ...}
     | "dsseEnvelope": {...}}

Source: https://github.com/sigstore/protobuf-specs/blob/v0.5.0/protos/sigstore_bundle.proto, in the JSON of
https://protobuf.dev/programming-guides/json/: what has its default may be left out or be null, integers of 64
bits are text.

What a bundle says of its key is a hint and chooses nothing. A message signature is over the artifact, here
the image's manifest. ``cosign sign`` makes a statement of the type :data:`SIGN_PREDICATE` instead, whose
subject has the annotations.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from hooks.image_trust import strict_base64, strict_json
from hooks.image_trust.evidence import Attached
from hooks.image_trust.finding import Digest, Rejected, Signed
from hooks.image_trust.formats.cosign import check_annotations
from hooks.image_trust.formats.keys import PublicKey, check_signature, check_signature_of_digest
from hooks.image_trust.formats.statement import (
    MAX_ENVELOPE_BYTES,
    Envelope,
    Statement,
    open_envelope,
    parse_envelope,
)
from hooks.image_trust.manifest import digest_of
from shared.errors import shown

SIGN_PREDICATE = "https://sigstore.dev/cosign/sign/v1"
"""https://github.com/sigstore/cosign/blob/v3.0.2/pkg/types/predicate.go"""

MAX_BUNDLE_BYTES = MAX_ENVELOPE_BYTES
"""What is beside the envelope has some ten thousand bytes."""
MAX_LOG_ENTRIES = 32
"""As in https://github.com/sigstore/sigstore-go/blob/main/internal/limits/limits.go."""
MAX_TIMESTAMPS = 32
"""Likewise."""
MAX_CERTIFICATES = 10
"""Of a chain; Fulcio's has three."""
MAX_PROOF_HASHES = 64
"""One for each bit of a log's size."""


class Version(StrEnum):
    """Of the format; what they differ in is which evidence they must have."""

    V0_1 = "0.1"
    V0_2 = "0.2"
    V0_3 = "0.3"


MEDIA_TYPES: Mapping[object, Version] = {
    text: version
    for version in Version
    for text in (
        f"application/vnd.dev.sigstore.bundle+json;version={version}",
        f"application/vnd.dev.sigstore.bundle.v{version}+json",
    )
}


class HashAlgorithm(StrEnum):
    """Of a message's digest."""

    SHA2_256 = "SHA2_256"
    SHA2_384 = "SHA2_384"
    SHA2_512 = "SHA2_512"

    def digest(self, content: bytes) -> bytes:
        """Hash content."""
        return hashlib.new(self.value.replace("SHA2_", "sha"), content).digest()


@dataclass(frozen=True, slots=True)
class MessageSignature:
    """A signature over an artifact as it is."""

    algorithm: HashAlgorithm
    """Of the digest; that of the signature is the key's."""
    digest: bytes
    """Of the artifact, unsigned: it must be the artifact's, and proves nothing."""
    signature: bytes


@dataclass(frozen=True, slots=True)
class KeyHint:
    """The bundle was signed by a key that verifiers have from elsewhere."""

    hint: str
    """Unsigned."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """The bundle was signed by the key of a certificate."""

    chain: tuple[bytes, ...] = field(repr=False)
    """DER, leaf first. Nothing of it is verified."""

    @property
    def leaf(self) -> bytes:
        return self.chain[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class InclusionProof:
    """That an entry is in a transparency log; nothing of it is verified."""

    log_index: int
    """In this tree, the log's shard."""
    tree_size: int
    root_hash: bytes
    hashes: tuple[bytes, ...]
    """From the leaf to the root."""
    checkpoint: str
    """The tree's head, signed: https://github.com/C2SP/C2SP/blob/main/tlog-checkpoint.md; empty: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """An entry of a transparency log; nothing of it is verified."""

    log_index: int
    """In all of the log."""
    log_id: bytes
    """SHA-256 of its key's SubjectPublicKeyInfo."""
    kind: str
    """``hashedrekord``, ``dsse``, ``intoto``."""
    version: str
    """Of the kind: ``0.0.1``."""
    integrated_time: int
    """Seconds since 1970; 0 where the log gives none."""
    body: bytes = field(repr=False)
    """The entry itself, canonical JSON."""
    promise: bytes | None = None
    """A signed entry timestamp."""
    proof: InclusionProof | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A bundle, parsed; nothing of it is verified."""

    version: Version
    content: MessageSignature | Envelope
    material: KeyHint | Certificates
    log_entries: tuple[LogEntry, ...] = ()
    timestamps: tuple[bytes, ...] = ()
    """Responses of time-stamp authorities, RFC 3161, in DER; over :attr:`signature`."""

    @property
    def signature(self) -> bytes:
        """The one signature, whatever it is over."""
        if isinstance(self.content, Envelope):
            return self.content.signatures[0].content
        return self.content.signature


# --- Verification with a key -----------------------------------------------------------------------


def verify_signature(
    attached: Attached, digest: Digest, key: PublicKey, *, signer: str, annotations: Mapping[str, str]
) -> Signed:
    """Verify a signature of the image, made with the key.

    Parameters
    ----------
    digest
        What must have been signed.
    signer
        Whose key it is, for the record.
    annotations
        That must be under the signature, beside whatever others.

    Raises
    ------
    Rejected
        ``wrong-signature``, ``unexpected-certificate``, and what :func:`parse` and
        :func:`check_image_signature` raise.
    """
    bundle = _by_key(attached.content)
    claims = check_image_signature(bundle, key, digest, annotations)
    return Signed(signer=signer, digest=digest, claims=claims)


def verify_attestation(
    attached: Attached, digest: Digest, key: PublicKey, *, signer: str
) -> tuple[Signed, Statement]:
    """Verify a statement about the image, signed with the key.

    What it states is for the caller to judge, its predicate's type first.

    Raises
    ------
    Rejected
        ``wrong-signature``, ``unexpected-certificate``, and what :func:`parse` and :func:`check_statement`
        raise.
    """
    statement = check_statement(_by_key(attached.content), key, digest)
    return Signed(signer=signer, digest=digest), statement


def verify_artifact(
    content: bytes, artifact: bytes | Digest, key: PublicKey, *, signer: str
) -> tuple[Signed, Statement | None]:
    """Verify a bundle about any artifact, given itself or by its digest; a statement may say anything of it.

    Raises
    ------
    Rejected
        ``wrong-signature``, ``unexpected-certificate``, and what :func:`parse` and :func:`check_content`
        raise.
    """
    statement = check_content(_by_key(content), key, artifact)
    return Signed(signer=signer, digest=_digest(artifact)), statement


def _by_key(content: bytes) -> Bundle:
    bundle = parse(content)
    if isinstance(bundle.material, Certificates):
        # It says that an identity signed, at some time: neither is verified here.
        raise Rejected(
            "unexpected-certificate",
            "the bundle was signed with a certificate, which a keyless rule is for, not with a key",
        )
    return bundle


# --- Verification with whatever key the bundle's material leads to ---------------------------------


def check_image_signature(
    bundle: Bundle, key: PublicKey, digest: Digest, annotations: Mapping[str, str]
) -> Mapping[str, str]:
    """Return the annotations under the bundle's signature, only if it is one of the image by the key.

    Raises
    ------
    Rejected
        ``wrong-type`` for an attestation: who attests something of an image need not vouch for it.
        ``missing-annotation``, and what :func:`check_content` raises.
    """
    statement = check_content(bundle, key, digest)
    signed: Mapping[str, object] = {}
    if statement is not None:
        if statement.predicate_type != SIGN_PREDICATE:
            raise Rejected(
                "wrong-type",
                f"expected a signature, a statement of the type {SIGN_PREDICATE}, "
                f"got one of {shown(statement.predicate_type)}",
            )
        signed = statement.about(digest).annotations
    check_annotations(signed, annotations)
    return {name: value for name, value in signed.items() if isinstance(value, str)}


def check_statement(bundle: Bundle, key: PublicKey, digest: Digest) -> Statement:
    """Return the bundle's statement, only if it is about the image and signed by the key.

    Raises
    ------
    Rejected
        ``wrong-type`` for a message signature, and what :func:`check_content` raises.
    """
    statement = check_content(bundle, key, digest)
    if statement is None:
        raise Rejected("wrong-type", "expected a statement, got a signature that states nothing")
    return statement


def check_content(bundle: Bundle, key: PublicKey, artifact: bytes | Digest) -> Statement | None:
    """Return the bundle's statement, or ``None`` for a message signature, only if it is over the artifact.

    The signature is held against the *artifact*, never against what the bundle says of it.

    Raises
    ------
    Rejected
        ``wrong-signature``; ``signed-other-digest``; ``needs-artifact`` where its digest can't verify it.
    """
    if isinstance(bundle.content, Envelope):
        statement = open_envelope(bundle.content, key)
        statement.about(_digest(artifact))
        return statement
    message = bundle.content
    if isinstance(artifact, bytes):
        check_signature(key, message.signature, artifact)
        is_its = message.algorithm.digest(artifact) == message.digest
    else:
        check_signature_of_digest(key, message.signature, artifact)
        is_its = message.algorithm is HashAlgorithm.SHA2_256 and f"sha256:{message.digest.hex()}" == artifact
    if not is_its:
        raise Rejected(
            "signed-other-digest",
            f"the bundle names another artifact, {message.algorithm}:{message.digest.hex()}",
        )
    return None


def _digest(artifact: bytes | Digest) -> Digest:
    return digest_of(artifact) if isinstance(artifact, bytes) else artifact


# --- Reading ---------------------------------------------------------------------------------------


def parse(content: bytes) -> Bundle:
    """Read a bundle; nothing of it is verified.

    Raises
    ------
    Rejected
        ``malformed-bundle``, ``unsupported-bundle`` for other versions, ``malformed-envelope``,
        ``too-large``, ``malformed-json``, ``malformed-base64``.
    """
    document = strict_json.loads(content, "the bundle", limit_bytes=MAX_BUNDLE_BYTES)
    if not isinstance(document, Mapping):
        raise Rejected("malformed-bundle", f"expected a bundle, got {shown(document)}")
    media_type = document.get("mediaType")
    version = MEDIA_TYPES.get(media_type) if isinstance(media_type, str) else None
    if version is None:
        raise Rejected(
            "unsupported-bundle", f"expected a bundle of version 0.1 to 0.3, got {shown(media_type)}"
        )
    top = _message(
        document, "the bundle", "mediaType", "verificationMaterial", "messageSignature", "dsseEnvelope"
    )
    material = _message(
        top.get("verificationMaterial"),
        "verificationMaterial",
        "publicKey",
        "certificate",
        "x509CertificateChain",
        "tlogEntries",
        "timestampVerificationData",
    )
    times = _message(
        material.get("timestampVerificationData", {}), "timestampVerificationData", "rfc3161Timestamps"
    )
    return Bundle(
        version=version,
        content=_content(top),
        material=_material(material, version),
        log_entries=tuple(
            _log_entry(entry, version)
            for entry in _list(material.get("tlogEntries"), "tlogEntries", MAX_LOG_ENTRIES)
        ),
        timestamps=tuple(
            _bytes(_message(one, "a timestamp", "signedTimestamp").get("signedTimestamp"), "signedTimestamp")
            for one in _list(times.get("rfc3161Timestamps"), "rfc3161Timestamps", MAX_TIMESTAMPS)
        ),
    )


def _content(top: Mapping[str, object]) -> MessageSignature | Envelope:
    name, value = _one_of(top, "messageSignature", "dsseEnvelope")
    if name == "dsseEnvelope":
        envelope = parse_envelope(value)
        if len(envelope.signatures) != 1:
            # "During verification a client MUST reject an envelope if the number of signatures is not equal
            # to one": the material is one signature's.
            raise Rejected(
                "malformed-bundle",
                f"the envelope in a bundle has exactly one signature, this one {len(envelope.signatures)}",
            )
        return envelope
    message = _message(value, "messageSignature", "messageDigest", "signature")
    output = _message(message.get("messageDigest"), "messageDigest", "algorithm", "digest")
    try:
        algorithm = HashAlgorithm(_text(output.get("algorithm"), "algorithm"))
    except ValueError as error:
        raise Rejected(
            "malformed-bundle", f"expected a digest of SHA-2, got {shown(output.get('algorithm'))}"
        ) from error
    return MessageSignature(
        algorithm,
        _bytes(output.get("digest"), "messageDigest"),
        _bytes(message.get("signature"), "signature"),
    )


def _material(material: Mapping[str, object], version: Version) -> KeyHint | Certificates:
    name, value = _one_of(material, "publicKey", "certificate", "x509CertificateChain")
    if name == "publicKey":
        return KeyHint(_text(_message(value, name, "hint").get("hint"), "hint"))
    if (name == "certificate") != (version is Version.V0_3):
        raise Rejected("malformed-bundle", f"a bundle of version {version} has no {name}")
    if name == "certificate":
        return Certificates((_certificate(value),))
    chain = _list(_message(value, name, "certificates").get("certificates"), "certificates", MAX_CERTIFICATES)
    if not chain:
        raise Rejected("malformed-bundle", "a chain without certificates")
    return Certificates(tuple(map(_certificate, chain)))


def _certificate(value: object) -> bytes:
    return _bytes(_message(value, "a certificate", "rawBytes").get("rawBytes"), "rawBytes")


def _log_entry(value: object, version: Version) -> LogEntry:
    entry = _message(
        value,
        "an entry of tlogEntries",
        "logIndex",
        "logId",
        "kindVersion",
        "integratedTime",
        "inclusionPromise",
        "inclusionProof",
        "canonicalizedBody",
    )
    kind = _message(entry.get("kindVersion"), "kindVersion", "kind", "version")
    needed = "inclusionPromise" if version is Version.V0_1 else "inclusionProof"
    if needed not in entry:
        raise Rejected("malformed-bundle", f"an entry of tlogEntries in version {version} has an {needed}")
    promise = entry.get("inclusionPromise")
    proof = entry.get("inclusionProof")
    return LogEntry(
        log_index=_integer(entry.get("logIndex"), "logIndex"),
        log_id=_bytes(_message(entry.get("logId"), "logId", "keyId").get("keyId"), "keyId"),
        kind=_text(kind.get("kind"), "kind"),
        version=_text(kind.get("version"), "version"),
        integrated_time=_integer(entry.get("integratedTime"), "integratedTime"),
        body=_bytes(entry.get("canonicalizedBody"), "canonicalizedBody"),
        promise=None if promise is None else _promise(promise),
        proof=None if proof is None else _proof(proof),
    )


def _promise(value: object) -> bytes:
    promise = _message(value, "inclusionPromise", "signedEntryTimestamp")
    return _bytes(promise.get("signedEntryTimestamp"), "signedEntryTimestamp")


def _proof(value: object) -> InclusionProof:
    proof = _message(value, "inclusionProof", "logIndex", "rootHash", "treeSize", "hashes", "checkpoint")
    checkpoint = _message(proof.get("checkpoint", {}), "checkpoint", "envelope")
    return InclusionProof(
        log_index=_integer(proof.get("logIndex"), "logIndex"),
        tree_size=_integer(proof.get("treeSize"), "treeSize"),
        root_hash=_bytes(proof.get("rootHash"), "rootHash"),
        hashes=tuple(
            _bytes(one, "a hash of the proof")
            for one in _list(proof.get("hashes"), "hashes", MAX_PROOF_HASHES)
        ),
        checkpoint=_text(checkpoint.get("envelope"), "the checkpoint"),
    )


# --- The JSON of protocol buffers ------------------------------------------------------------------

_INTEGER = re.compile(r"0|[1-9][0-9]{0,18}")
_MAX_INTEGER = 2**63 - 1


def _message(value: object, what: str, *known: str) -> Mapping[str, object]:
    """Return the fields of a message that are set."""
    if not isinstance(value, Mapping):
        raise Rejected("malformed-bundle", f"expected {what} to be an object, got {shown(value)}")
    if unknown := [name for name in value if name not in known]:
        raise Rejected("malformed-bundle", f"{what} has {shown(unknown[0])}, which is not understood")
    return {name: field for name, field in value.items() if field is not None}


def _one_of(message: Mapping[str, object], *names: str) -> tuple[str, object]:
    found = [name for name in names if name in message]
    if len(found) != 1:
        raise Rejected(
            "malformed-bundle",
            f"expected exactly one of {', '.join(names)}, got {', '.join(found) or 'none'}",
        )
    return found[0], message[found[0]]


def _list(value: object, what: str, limit: int) -> list[object]:
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > limit:
        raise Rejected("malformed-bundle", f"expected at most {limit} {what}, got {shown(value)}")
    return value


def _text(value: object, what: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Rejected("malformed-bundle", f"expected {what} to be text, got {shown(value)}")
    return value


def _bytes(value: object, what: str) -> bytes:
    if value is None:
        return b""
    # In lines, as the base64 command writes it, it is read by Go's decoder and so by cosign.
    return strict_base64.decode(
        value.replace("\n", "") if isinstance(value, str) else value, what, url_safe=True
    )


def _integer(value: object, what: str) -> int:
    if value is None:
        return 0
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_INTEGER:
        raise Rejected("malformed-bundle", f"expected {what} to be a number, got {shown(value)}")
    return value
