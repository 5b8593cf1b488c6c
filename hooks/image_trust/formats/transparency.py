"""Rekor's log: whether a signature was entered, and when.

::

    entry ──┬─ body       what was entered: of which content, which signature, by which key
            ├─ promise    the log's signature over body, time, log and index (SET): proves the time as well
            └─ proof      the way from the body to the root of the log's tree, and the log's signature over it
                          (a checkpoint); of time it proves nothing

An entry is genuine whatever it is shown for. So that one that was made for something else can't be shown for
this signature (CVE-2022-36056, CVE-2026-22703), signature, content and key in its body are each held against
what is verified.

Sources: https://github.com/sigstore/rekor/blob/main/types.md and pkg/types/*/*_schema.json,
https://github.com/sigstore/rekor-tiles, https://www.rfc-editor.org/rfc/rfc9162.html#section-2.1.3.2,
https://github.com/C2SP/C2SP/blob/main/tlog-checkpoint.md and signed-note.md.
"""

import base64
import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography.hazmat.primitives.serialization import Encoding

from hooks.image_trust import strict_base64, strict_json
from hooks.image_trust.evidence import Attached, Kind
from hooks.image_trust.finding import Digest, Rejected
from hooks.image_trust.formats import bundle as bundles
from hooks.image_trust.formats import cosign
from hooks.image_trust.formats.bundle import InclusionProof, LogEntry
from hooks.image_trust.formats.keys import (
    PublicKey,
    check_signature,
    check_signature_of_digest,
    load_public_key,
)
from hooks.image_trust.formats.statement import MAX_SIGNATURES, Envelope, pae
from hooks.image_trust.formats.trusted_root import Log, TrustedRoot, certificates, read, signer, times_of
from shared.errors import shown

ENTRY_ANNOTATION = "dev.sigstore.cosign/bundle"

MAX_BODY_BYTES = 256 * 1024
"""A certificate and its signature have some thousand bytes; contents are not in the log."""
MAX_CHECKPOINT_CHARACTERS = 16 * 1024
MAX_NOTE_SIGNATURES = 64
"""The log's and its witnesses'."""
MAX_ENTRIES = 4
"""Of one bundle; each is a dozen verifications, and clients make one."""
MAX_EXACT_INTEGER = 2**53 - 1
"""https://www.rfc-editor.org/rfc/rfc8785.html#section-3.2.2.3: above, two integers may be written alike."""

_HASHES = ("sha256", "sha384", "sha512")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """What an entry has to be about."""

    signature: bytes
    key: bytes
    """DER: of the certificate, or of SubjectPublicKeyInfo."""
    signed: Mapping[str, bytes]
    """What the signature is over, by its digests: ``{"sha256": ...}``."""
    payload: Mapping[str, bytes] | None = None
    """The same of the payload in a DSSE envelope."""
    envelope: Mapping[str, bytes] | None = None
    """The same of a DSSE envelope as a whole, where it is there as it was signed."""


@dataclass(frozen=True, slots=True)
class Logged:
    """An entry that holds."""

    times: tuple[datetime, ...]
    """All that is proven of when it was signed, the log's own time first; never empty."""
    index: int


@dataclass(frozen=True, slots=True)
class _Made:
    """A signature and its key, as the body of an entry has them."""

    signature: bytes | None
    """``None`` where it is within what the body's digest is of."""
    key: bytes


@dataclass(frozen=True, slots=True)
class _Body:
    """What was entered."""

    covers: str
    """What its digest is of: ``signed``, ``payload`` or ``envelope``, as :class:`Signing` has them."""
    algorithm: str
    digest: bytes
    made: tuple[_Made, ...]


def digests(content: bytes) -> dict[str, bytes]:
    """Return what an entry may call *content* by."""
    return {name: hashlib.new(name, content).digest() for name in _HASHES}


# --- For signatures with a key ---------------------------------------------------------------------


def verify_logged(attached: Attached, key: PublicKey, root: bytes) -> tuple[datetime, int]:
    """Check that a signature made with a key was entered, and return when, and its index.

    Parameters
    ----------
    root
        trusted_root.json.

    Raises
    ------
    Rejected
        What :func:`verify_entry` and reading the signature raise; ``no-entry``; ``malformed-root``.
    """
    trusted = read(root)
    if attached.kind is Kind.BUNDLE:
        logged = _verify_bundle(attached.content, key, trusted)
    elif attached.kind in {Kind.COSIGN_SIGNATURE, Kind.COSIGN_ATTESTATION}:
        logged = _verify_layer(attached, key, trusted)
    else:
        raise Rejected("no-entry", f"a signature of the kind {attached.kind} has no entry in Sigstore's log")
    return logged.times[0], logged.index


def _verify_layer(attached: Attached, key: PublicKey, root: TrustedRoot) -> Logged:
    entry = entry_of(attached)
    if attached.kind is Kind.COSIGN_SIGNATURE:
        signature = cosign.signature_of(attached)
        check_signature(key, signature, attached.content)
        return verify_entry(
            entry, Signing(signature=signature, key=key.der, signed=digests(attached.content)), root
        )
    envelope = cosign.envelope_of(attached)
    return verify_entry(entry, of_envelope(envelope, key, key.der, attached.content), root)


def _verify_bundle(content: bytes, key: PublicKey, root: TrustedRoot) -> Logged:
    bundle = bundles.parse(content)
    if isinstance(bundle.content, Envelope):
        return verify_bundled(bundle, of_envelope(bundle.content, key, key.der), root)
    # Over what it is the bundle only says, but whoever says wrong has no signature of it.
    digest = bundle.content.digest
    check_signature_of_digest(key, bundle.signature, Digest(f"sha256:{digest.hex()}"))
    return verify_bundled(
        bundle, Signing(signature=bundle.signature, key=key.der, signed={"sha256": digest}), root
    )


def verify_bundled(bundle: bundles.Bundle, signing: Signing, root: TrustedRoot) -> Logged:
    """Check that a bundle's signature was entered; one of its entries, most often the only one, is enough.

    Raises
    ------
    Rejected
        ``no-entry``, and for the last entry what :func:`verify_entry` raises.
    """
    stamped = times_of(bundle.timestamps, bundle.signature, root)
    needs_proof = bundle.version is not bundles.Version.V0_1
    failure = Rejected("no-entry", "the bundle has no entry of a transparency log")
    for entry in bundle.log_entries[:MAX_ENTRIES]:
        try:
            return verify_entry(entry, signing, root, stamped, needs_proof=needs_proof)
        except Rejected as error:
            failure = error
    raise failure


def of_envelope(envelope: Envelope, key: PublicKey, key_der: bytes, content: bytes | None = None) -> Signing:
    """Return what an envelope's entry has to be about: the signature in it that the key made.

    Parameters
    ----------
    key_der
        What the entry calls the key by: its own DER, or that of its certificate.
    content
        The envelope's bytes, as they were signed.

    Raises
    ------
    Rejected
        ``wrong-signature``.
    """
    signed = pae(envelope.payload_type, envelope.payload)
    for signature in envelope.signatures:
        with contextlib.suppress(Rejected):
            check_signature(key, signature.content, signed)
            return Signing(
                signature=signature.content,
                key=key_der,
                signed=digests(signed),
                # Bodies call them by SHA-256 alone.
                payload={"sha256": hashlib.sha256(envelope.payload).digest()},
                envelope=None if content is None else {"sha256": hashlib.sha256(content).digest()},
            )
    raise Rejected("wrong-signature", "none of the envelope's signatures was made with the key")


def entry_of(attached: Attached) -> LogEntry:
    """Read the entry in an annotation of a classic layer; nothing of it is verified.

    ::

        {
            "SignedEntryTimestamp": base64,
            "Payload": {"body": base64, "integratedTime": 1, "logIndex": 2, "logID": hexadecimal},
        }

    Source: https://github.com/sigstore/cosign/blob/v3.0.2/pkg/cosign/bundle/rekor.go.

    Raises
    ------
    Rejected
        ``no-entry``, ``malformed-entry``, ``malformed-json``, ``malformed-base64`` or ``too-large``.
    """
    text = attached.annotations.get(ENTRY_ANNOTATION)
    if text is None:
        raise Rejected("no-entry", f"the layer has no annotation {ENTRY_ANNOTATION}")
    document = _object(strict_json.loads(text, "the log's entry", limit_bytes=2 * MAX_BODY_BYTES), "it")
    payload = _object(document.get("Payload"), "Payload")
    body = strict_base64.decode(payload.get("body"), "body")
    kind, version, _ = _read_body(body)
    return LogEntry(
        log_index=_integer(payload.get("logIndex"), "logIndex"),
        log_id=_hex(payload.get("logID"), "logID"),
        kind=kind,
        version=version,
        integrated_time=_integer(payload.get("integratedTime"), "integratedTime"),
        body=body,
        promise=strict_base64.decode(document.get("SignedEntryTimestamp"), "SignedEntryTimestamp"),
    )


# --- Genuine ---------------------------------------------------------------------------------------


def verify_entry(
    entry: LogEntry,
    signing: Signing,
    root: TrustedRoot,
    stamped: Sequence[datetime] = (),
    *,
    needs_proof: bool = False,
) -> Logged:
    """Check that a log of the trusted root has entered a signature.

    Parameters
    ----------
    stamped
        Times at which the signature was there, as time-stamp authorities of the root say.
    needs_proof
        Whether a promise to enter it is not enough.

    Raises
    ------
    Rejected
        ``unknown-log``, ``no-proof``, ``unproven-time``, ``wrong-promise``, ``wrong-proof``,
        ``wrong-checkpoint``; ``other-content``, ``other-key``, ``other-signature``; ``malformed-entry`` or
        ``unsupported-entry``.
    """
    times = [*stamped] if entry.promise is None else [_integrated(entry), *stamped]
    if not times:
        raise Rejected("unproven-time", "neither the log nor a time-stamp authority says when it was signed")
    logs = [log for log in root.logs if log.id == entry.log_id and all(map(log.period.covers, times))]
    if not logs:
        raise Rejected(
            "unknown-log",
            f"the trusted root has no log {entry.log_id.hex()[:64]} for {times[0]:%Y-%m-%dT%H:%M:%SZ}",
        )
    proof = entry.proof if entry.proof and entry.proof.checkpoint else None
    if proof is None and (needs_proof or entry.promise is None):
        raise Rejected("no-proof", "the log's entry comes without the proof that it was entered")
    if entry.promise is not None:
        _verify_promise(entry, entry.promise, logs)
    if proof is not None:
        _verify_proof(entry.body, proof)
        _verify_checkpoint(proof, logs)
    _verify_body(entry, signing)
    # Each index where it is proven: a promise has that of the whole log, a proof that of its tree.
    index = proof.log_index if entry.promise is None and proof else entry.log_index
    return Logged(tuple(times), index)


def _integrated(entry: LogEntry) -> datetime:
    try:
        if entry.integrated_time > 0:
            return datetime.fromtimestamp(entry.integrated_time, UTC)
    except (OverflowError, OSError, ValueError):
        pass
    raise Rejected("wrong-promise", f"the log's entry has the time {shown(entry.integrated_time)}")


def _verify_promise(entry: LogEntry, promise: bytes, logs: Sequence[Log]) -> None:
    """Check the log's signature over what it promises, in JSON's canonical form (RFC 8785)."""
    if entry.log_index > MAX_EXACT_INTEGER:
        raise Rejected("wrong-promise", f"the log's entry has the index {entry.log_index}")
    promised = {
        "body": base64.b64encode(entry.body).decode("ascii"),
        "integratedTime": entry.integrated_time,
        "logID": entry.log_id.hex(),
        "logIndex": entry.log_index,
    }
    message = json.dumps(promised, separators=(",", ":"), sort_keys=True).encode("ascii")
    try:
        signer(logs, promise, message)
    except Rejected as error:
        raise Rejected("wrong-promise", "the log has not signed that it entered this at that time") from error


def _verify_proof(body: bytes, proof: InclusionProof) -> None:
    """Follow the way from the entry to the root of the tree: RFC 9162, section 2.1.3.2."""
    if not 0 <= proof.log_index < proof.tree_size:
        raise Rejected(
            "wrong-proof", f"the entry is shown as number {proof.log_index} of {proof.tree_size} in the log"
        )
    node, last = proof.log_index, proof.tree_size - 1
    found = hashlib.sha256(b"\x00" + body).digest()
    for other in proof.hashes:
        if len(other) != hashlib.sha256().digest_size or last == 0:
            raise Rejected("wrong-proof", "the proof that it was entered has too many hashes, or other ones")
        if node % 2 or node == last:
            found = hashlib.sha256(b"\x01" + other + found).digest()
            while node and not node % 2:
                node, last = node >> 1, last >> 1
        else:
            found = hashlib.sha256(b"\x01" + found + other).digest()
        node, last = node >> 1, last >> 1
    if last != 0 or found != proof.root_hash:
        raise Rejected("wrong-proof", "the proof does not lead from the entry to the root of the log's tree")


def _verify_checkpoint(proof: InclusionProof, logs: Sequence[Log]) -> None:
    """Check that the log has signed for the root of the tree."""
    text, signatures = _read_note(proof.checkpoint)
    origin, size, root_hash = (*text.split("\n"), "", "")[:3]
    expected = (str(proof.tree_size), base64.b64encode(proof.root_hash).decode("ascii"))
    if not origin or (size, root_hash) != expected:
        raise Rejected("wrong-checkpoint", "the log's checkpoint is of another tree")
    for hint, signature in signatures:
        # Others than the log sign as well: witnesses, whom nobody here knows.
        with contextlib.suppress(Rejected):
            signer([log for log in logs if log.checkpoint_id[:4] == hint], signature, text.encode())
            return
    raise Rejected("wrong-checkpoint", "the log has not signed the checkpoint")


_NOTE_SIGNATURE = re.compile("\N{EM DASH} \\S+ ([A-Za-z0-9+/]+={0,2})")


def _read_note(note: str) -> tuple[str, list[tuple[bytes, bytes]]]:
    """Split a signed note: its text, and the signatures with the hints of their keys."""
    if len(note) > MAX_CHECKPOINT_CHARACTERS:
        raise Rejected("wrong-checkpoint", f"the log's checkpoint has {len(note)} characters")
    text, blank, below = note.partition("\n\n")
    lines = below.split("\n")
    if not blank or lines.pop() or not 0 < len(lines) <= MAX_NOTE_SIGNATURES:
        raise Rejected("wrong-checkpoint", "the log's checkpoint is no signed note")
    signatures = []
    for line in lines:
        found = _NOTE_SIGNATURE.fullmatch(line)
        raw = strict_base64.decode(found[1], "a signature of the log's checkpoint") if found else b""
        if len(raw) <= 4:
            raise Rejected("wrong-checkpoint", "the log's checkpoint has a line that is no signature")
        signatures.append((raw[:4], raw[4:]))
    return f"{text}\n", signatures


# --- About this signature --------------------------------------------------------------------------


def _verify_body(entry: LogEntry, signing: Signing) -> None:
    """Check that the entry was made for this signature, this content and this key."""
    kind, version, spec = _read_body(entry.body)
    if (entry.kind, entry.version) != (kind, version) or (kind, version) not in _KINDS:
        raise Rejected(
            "unsupported-entry",
            f"the log's entry is of the kind {shown(kind)} {shown(version)}, "
            f"presented as {shown(entry.kind)} {shown(entry.version)}",
        )
    body = _KINDS[kind, version](spec)
    content = {"signed": signing.signed, "payload": signing.payload, "envelope": signing.envelope}[
        body.covers
    ]
    if content is None or content.get(body.algorithm) != body.digest:
        raise Rejected("other-content", "the log's entry is of something else than what was signed")
    by_this_key = [made for made in body.made if made.key == signing.key]
    if not by_this_key:
        raise Rejected("other-key", "the log's entry is of a signature by another key")
    if not any(made.signature in (None, signing.signature) for made in by_this_key):
        raise Rejected("other-signature", "the log's entry is of another signature")


def _read_body(content: bytes) -> tuple[str, str, Mapping[str, object]]:
    document = _object(
        strict_json.loads(content, "the body of the log's entry", limit_bytes=MAX_BODY_BYTES), "the body"
    )
    return (
        _text(document.get("kind"), "kind"),
        _text(document.get("apiVersion"), "apiVersion"),
        _object(document.get("spec"), "spec"),
    )


def _hashedrekord_v1(spec: Mapping[str, object]) -> _Body:
    """Read ``{data: {hash: {algorithm, value}}, signature: {content, publicKey: {content}}}``."""
    digest = _object(_object(spec.get("data"), "data").get("hash"), "data.hash")
    signature = _object(spec.get("signature"), "signature")
    key = _object(signature.get("publicKey"), "publicKey").get("content")
    return _Body(
        "signed",
        *_hash(digest),
        (_Made(strict_base64.decode(signature.get("content"), "signature.content"), _pem(key)),),
    )


def _hashedrekord_v2(spec: Mapping[str, object]) -> _Body:
    """Read ``{hashedRekordV002: {data: {algorithm, digest}, signature: {content, verifier}}}``."""
    spec = _object(spec.get("hashedRekordV002"), "hashedRekordV002")
    data, signature = _object(spec.get("data"), "data"), _object(spec.get("signature"), "signature")
    verifier = _object(signature.get("verifier"), "verifier")
    held = [verifier[name] for name in ("publicKey", "x509Certificate") if verifier.get(name) is not None]
    if len(held) != 1:
        raise Rejected("malformed-entry", f"the log's entry has {len(held)} keys, expected one")
    key = strict_base64.decode(_object(held[0], "verifier").get("rawBytes"), "rawBytes")
    return _Body(
        "signed",
        _text(data.get("algorithm"), "data.algorithm").replace("SHA2_", "sha"),
        strict_base64.decode(data.get("digest"), "data.digest"),
        (_Made(strict_base64.decode(signature.get("content"), "signature.content"), key),),
    )


def _dsse(spec: Mapping[str, object]) -> _Body:
    """Read ``{payloadHash: {algorithm, value}, signatures: [{signature, verifier}]}``."""
    made = tuple(
        _Made(strict_base64.decode(one.get("signature"), "signature"), _pem(one.get("verifier")))
        for one in _objects(spec.get("signatures"), "signatures")
    )
    return _Body("payload", *_hash(_object(spec.get("payloadHash"), "payloadHash")), made)


def _intoto_v1(spec: Mapping[str, object]) -> _Body:
    """Read ``{content: {hash: {algorithm, value}}, publicKey}``: the hash is of the envelope."""
    digest = _object(_object(spec.get("content"), "content").get("hash"), "content.hash")
    return _Body("envelope", *_hash(digest), (_Made(None, _pem(spec.get("publicKey"))),))


def _intoto_v2(spec: Mapping[str, object]) -> _Body:
    """Read ``{content: {payloadHash, envelope: {signatures: [{sig: base64 of base64, publicKey}]}}}``."""
    content = _object(spec.get("content"), "content")
    made = tuple(
        _Made(
            strict_base64.decode(strict_base64.decode(one.get("sig"), "sig").decode("latin-1"), "sig"),
            _pem(one.get("publicKey")),
        )
        for one in _objects(_object(content.get("envelope"), "envelope").get("signatures"), "signatures")
    )
    return _Body("payload", *_hash(_object(content.get("payloadHash"), "content.payloadHash")), made)


_KINDS: Mapping[tuple[str, str], Callable[[Mapping[str, object]], _Body]] = {
    ("hashedrekord", "0.0.1"): _hashedrekord_v1,
    ("hashedrekord", "0.0.2"): _hashedrekord_v2,
    ("dsse", "0.0.1"): _dsse,
    ("intoto", "0.0.1"): _intoto_v1,
    ("intoto", "0.0.2"): _intoto_v2,
}
"""Of the second version of hashedrekord are envelopes as well, by their pre-authentication encoding."""


def _hash(value: Mapping[str, object]) -> tuple[str, bytes]:
    return _text(value.get("algorithm"), "algorithm"), _hex(value.get("value"), "value")


def _pem(value: object) -> bytes:
    """Return the DER of what an entry holds as base64 of PEM: a certificate, or a public key."""
    pem = strict_base64.decode(value, "the key of the log's entry")
    if b"-----BEGIN CERTIFICATE-----" not in pem:
        return load_public_key(pem).der
    try:
        (found,) = certificates(pem)
    except ValueError as error:
        raise Rejected("malformed-entry", f"the log's entry has not one certificate: {error}") from error
    return found.public_bytes(Encoding.DER)


def _objects(value: object, name: str) -> list[Mapping[str, object]]:
    if not isinstance(value, list) or not 0 < len(value) <= MAX_SIGNATURES:
        raise Rejected("malformed-entry", f"the log's entry: expected some {name}, got {shown(value)}")
    return [_object(one, name) for one in value]


def _object(value: object, name: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise Rejected(
            "malformed-entry", f"the log's entry: expected {name} to be an object, got {shown(value)}"
        )
    return value


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise Rejected("malformed-entry", f"the log's entry: expected {name} to be text, got {shown(value)}")
    return value


def _hex(value: object, name: str) -> bytes:
    text = _text(value, name)
    if not re.fullmatch("(?:[0-9a-f]{2}){1,64}", text):
        raise Rejected(
            "malformed-entry", f"the log's entry: expected {name} in hexadecimal, got {shown(text)}"
        )
    return bytes.fromhex(text)


def _integer(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_EXACT_INTEGER:
        raise Rejected(
            "malformed-entry", f"the log's entry: expected {name} to be a number, got {shown(value)}"
        )
    return value
