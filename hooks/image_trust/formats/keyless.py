"""Signatures by an identity: a certificate of Fulcio, valid for minutes, and Rekor's proof of when it signed.

::

    bundle        content, certificate, entry of the log and time-stamps in one document
    classic       a layer of .sig or .att; all else in annotations:
                      dev.sigstore.cosign/certificate       PEM
                      dev.sigstore.cosign/chain             PEM, optional
                      dev.sigstore.cosign/bundle            the entry of the log, with its promise
                      dev.sigstore.cosign/rfc3161timestamp  {"SignedRFC3161Timestamp": base64}, optional

    verified      signature ◀─key── certificate ◀─issued, logged── trusted root, at the proven time
                  entry of the log: of this signature, content and certificate
                  certificate names whom the policy wants
                  content is about the image

Bundles are verified twice, by the modules beside this one and by sigstore-python, and have to hold for both.
It refuses entries without proof, and so whatever is classic; that is verified here alone. Nothing asks the
network, or what time it is now: the certificate has to have been valid when it signed.

Sources: https://github.com/sigstore/architecture-docs/blob/main/client-spec.md,
https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md.
"""

import base64
import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sigstore.hashes import Hashed
from sigstore.models import Bundle as SigstoreBundle
from sigstore.models import TrustedRoot as SigstoreRoot
from sigstore.verify import Verifier
from sigstore_models.common.v1 import HashAlgorithm
from sigstore_models.trustroot.v1 import TrustedRoot as SigstoreRootModel

from hooks.image_trust import strict_base64, strict_json
from hooks.image_trust.evidence import Attached, Kind
from hooks.image_trust.finding import Digest, Rejected, Signed
from hooks.image_trust.formats import bundle as bundles
from hooks.image_trust.formats import cosign, fulcio, transparency, trusted_root
from hooks.image_trust.formats.bundle import Bundle, Certificates, LogEntry, Version
from hooks.image_trust.formats.keys import PublicKey, as_public_key, check_signature
from hooks.image_trust.formats.statement import Envelope, Statement, open_envelope
from hooks.image_trust.formats.transparency import Logged, Signing
from hooks.image_trust.formats.trusted_root import TrustedRoot, contained
from hooks.image_trust.manifest import digest_of
from hooks.image_trust.policy import Keyless
from shared.errors import shown

CERTIFICATE_ANNOTATION = "dev.sigstore.cosign/certificate"
CHAIN_ANNOTATION = "dev.sigstore.cosign/chain"
TIME_STAMP_ANNOTATION = "dev.sigstore.cosign/rfc3161timestamp"

MAX_TIME_STAMP_CHARACTERS = 128 * 1024

_MEDIA_TYPES = {
    Version.V0_1: "application/vnd.dev.sigstore.bundle+json;version=0.1",
    Version.V0_2: "application/vnd.dev.sigstore.bundle+json;version=0.2",
    Version.V0_3: "application/vnd.dev.sigstore.bundle.v0.3+json",
}

# What it has to say is in what it raises; what it would log quotes whatever was presented.
logging.getLogger("sigstore").setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True)
class _Signer:
    """Whoever a signature's certificate is, held against the trusted root and the policy."""

    key: PublicKey
    name: str
    certificate: str
    logged: Logged

    def signed(self, digest: Digest, claims: Mapping[str, str] | None = None) -> Signed:
        return Signed(
            signer=self.name,
            digest=digest,
            signed_at=self.logged.times[0],
            certificate=self.certificate,
            log_index=self.logged.index,
            claims=claims or {},
        )


def load_root(content: bytes) -> TrustedRoot:
    """Read trusted_root.json.

    Raises
    ------
    Rejected
        ``malformed-root``.
    """
    root = trusted_root.read(content)
    _sigstore(root.document)
    return root


def verify_signature(attached: Attached, digest: Digest, root: TrustedRoot, identity: Keyless) -> Signed:
    """Verify a signature of the image by an identity.

    Raises
    ------
    Rejected
        ``no-certificate``, and whatever reading, the certificate, the log and the content are refused for.
    """
    if attached.kind is Kind.BUNDLE:
        bundle = bundles.parse(attached.content)
        signer = _verify_bundle(bundle, digest, root, identity)
        return signer.signed(digest, bundles.check_image_signature(bundle, signer.key, digest, {}))
    if attached.kind is not Kind.COSIGN_SIGNATURE:
        raise Rejected(
            "wrong-type", f"expected a signature of the image, got one of the kind {attached.kind}"
        )
    if len(attached.content) > cosign.MAX_PAYLOAD_BYTES:
        raise Rejected(
            "too-large",
            f"a payload of {len(attached.content)} bytes, at most {cosign.MAX_PAYLOAD_BYTES} are read",
        )
    leaf = _leaf_of(attached)
    key = as_public_key(leaf.public_key())
    signature = cosign.signature_of(attached)
    check_signature(key, signature, attached.content)
    signing = Signing(signature=signature, key=_der(leaf), signed=transparency.digests(attached.content))
    signer = _signer(leaf, identity, _verify_classic(attached, leaf, signing, signature, root))
    return signer.signed(digest, cosign.check_payload(attached.content, digest, {}).annotations)


def verify_attestation(
    attached: Attached, digest: Digest, root: TrustedRoot, identity: Keyless
) -> tuple[Signed, Statement]:
    """Verify a statement about the image by an identity.

    What it states is for the caller to judge, its predicate's type first.

    Raises
    ------
    Rejected
        As :func:`verify_signature`.
    """
    if attached.kind is Kind.BUNDLE:
        bundle = bundles.parse(attached.content)
        signer = _verify_bundle(bundle, digest, root, identity)
        return signer.signed(digest), bundles.check_statement(bundle, signer.key, digest)
    if attached.kind is not Kind.COSIGN_ATTESTATION:
        raise Rejected("wrong-type", f"expected an attestation, got a signature of the kind {attached.kind}")
    envelope = cosign.envelope_of(attached)
    leaf = _leaf_of(attached)
    key = as_public_key(leaf.public_key())
    statement = open_envelope(envelope, key)
    signing = transparency.of_envelope(envelope, key, _der(leaf), attached.content)
    # cosign has the layer stamped, not the signature in it.
    signer = _signer(leaf, identity, _verify_classic(attached, leaf, signing, attached.content, root))
    statement.about(digest)
    return signer.signed(digest), statement


def verify_bundle(
    content: bytes, artifact: bytes | Digest, root: TrustedRoot, identity: Keyless
) -> tuple[Signed, Statement | None]:
    """Verify a bundle about any artifact, given itself or by its digest; a statement may say anything of it.

    Raises
    ------
    Rejected
        As :func:`verify_signature`.
    """
    digest = digest_of(artifact) if isinstance(artifact, bytes) else artifact
    bundle = bundles.parse(content)
    signer = _verify_bundle(bundle, digest, root, identity)
    return signer.signed(digest), bundles.check_content(bundle, signer.key, artifact)


# --- Classic ---------------------------------------------------------------------------------------


def _verify_classic(
    attached: Attached, leaf: x509.Certificate, signing: Signing, stamped: bytes, root: TrustedRoot
) -> Logged:
    """Verify what is in a layer's annotations; *stamped* is what a time-stamp is of."""
    times = trusted_root.times_of(_time_stamps_of(attached), stamped, root)
    logged = transparency.verify_entry(transparency.entry_of(attached), signing, root, times)
    fulcio.verify(leaf, _chain_of(attached), root, logged.times)
    return logged


def _signer(leaf: x509.Certificate, identity: Keyless, logged: Logged) -> _Signer:
    return _Signer(
        as_public_key(leaf.public_key()),
        fulcio.match(leaf, identity),
        hashlib.sha256(_der(leaf)).hexdigest(),
        logged,
    )


def _leaf_of(attached: Attached) -> x509.Certificate:
    pem = attached.annotations.get(CERTIFICATE_ANNOTATION)
    if pem is None:
        raise Rejected("no-certificate", f"the layer has no annotation {CERTIFICATE_ANNOTATION}")
    found = fulcio.load_pem(pem)
    if len(found) != 1:
        raise Rejected("malformed-certificate", f"{CERTIFICATE_ANNOTATION} has {len(found)} certificates")
    return found[0]


def _chain_of(attached: Attached) -> list[x509.Certificate]:
    pem = attached.annotations.get(CHAIN_ANNOTATION, "")
    return fulcio.load_pem(pem) if pem.strip() else []


def _time_stamps_of(attached: Attached) -> list[bytes]:
    text = attached.annotations.get(TIME_STAMP_ANNOTATION)
    if text is None:
        return []
    document = strict_json.loads(text, "the time-stamp", limit_bytes=MAX_TIME_STAMP_CHARACTERS)
    if not isinstance(document, Mapping):
        raise Rejected("malformed-timestamp", f"expected the time-stamp in an object, got {shown(document)}")
    return [strict_base64.decode(document.get("SignedRFC3161Timestamp"), "the time-stamp")]


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


# --- Bundles ---------------------------------------------------------------------------------------


def _verify_bundle(bundle: Bundle, digest: Digest, root: TrustedRoot, identity: Keyless) -> _Signer:
    """Verify all of a bundle but what it states."""
    if not isinstance(bundle.material, Certificates):
        raise Rejected(
            "no-certificate", "the bundle was signed with a key; keyless rules are for certificates"
        )
    leaf = fulcio.load(bundle.material.leaf)
    key = as_public_key(leaf.public_key())
    if isinstance(bundle.content, Envelope):
        signing = transparency.of_envelope(bundle.content, key, bundle.material.leaf)
    else:
        signing = Signing(
            signature=bundle.signature,
            key=bundle.material.leaf,
            signed={"sha256": bytes.fromhex(digest.removeprefix("sha256:"))},
        )
    logged = transparency.verify_bundled(bundle, signing, root)
    fulcio.verify(leaf, map(fulcio.load, bundle.material.chain[1:]), root, logged.times)
    signer = _signer(leaf, identity, logged)
    _hold_against_sigstore(bundle, digest, root, identity)
    return signer


class _Wanted:
    """The policy of this hook, as sigstore-python asks for it."""

    def __init__(self, identity: Keyless) -> None:
        self._identity = identity

    def verify(self, cert: x509.Certificate) -> None:
        """Raise unless the certificate names whom the policy wants."""
        fulcio.match(cert, self._identity)


def _hold_against_sigstore(bundle: Bundle, digest: Digest, root: TrustedRoot, identity: Keyless) -> None:
    """Have sigstore-python verify the bundle as well."""
    verifier, wanted = _sigstore(root.document), _Wanted(identity)
    try:
        # It raises AttributeError and others where bodies are odd: whatever it raises, nothing holds.
        with contained("the bundle"):
            found = SigstoreBundle.from_json(_write(bundle))
            if isinstance(bundle.content, Envelope):
                _check_same(bundle.content, *verifier.verify_dsse(found, wanted))
            else:
                artifact = bytes.fromhex(digest.removeprefix("sha256:"))
                verifier.verify_artifact(
                    Hashed(algorithm=HashAlgorithm.SHA2_256, digest=artifact), found, wanted
                )
    except ValueError as error:
        raise Rejected("rejected-by-sigstore", f"sigstore-python refuses {error}") from error


def _check_same(envelope: Envelope, payload_type: str, payload: bytes) -> None:
    if (payload_type, payload) != (envelope.payload_type, envelope.payload):
        raise Rejected("rejected-by-sigstore", "sigstore-python read another statement in the bundle")


@lru_cache(maxsize=8)
def _sigstore(document: bytes) -> Verifier:
    """Make a verifier of a trusted root."""
    try:
        with contained("a trusted root"):
            model = SigstoreRootModel.from_json(document)
            for authority in model.timestamp_authorities:
                # A period includes its end, but sigstore-python takes the end of these for the first moment
                # after it. How long it is exactly, times_of holds them to.
                if authority.valid_for.end is not None:
                    authority.valid_for.end += timedelta(microseconds=1)
            return Verifier(trusted_root=SigstoreRoot(model))
    except ValueError as error:
        raise Rejected("malformed-root", f"sigstore-python refuses {error}") from error


def _write(bundle: Bundle) -> str:
    """Write a bundle for sigstore-python: with all defaults, and nothing but what was read here.

    It refuses what producers leave out because it has its default, such as an index of 0.
    """
    assert isinstance(bundle.material, Certificates)  # what this is called for
    certificates = [{"rawBytes": _text(der)} for der in bundle.material.chain]
    material: dict[str, object] = {
        **(
            {"certificate": certificates[0]}
            if bundle.version is Version.V0_3
            else {"x509CertificateChain": {"certificates": certificates}}
        ),
        "tlogEntries": [_write_entry(entry) for entry in bundle.log_entries],
        "timestampVerificationData": {
            "rfc3161Timestamps": [{"signedTimestamp": _text(one)} for one in bundle.timestamps]
        },
    }
    content: dict[str, object]
    if isinstance(bundle.content, Envelope):
        content = {
            "dsseEnvelope": {
                "payload": _text(bundle.content.payload),
                "payloadType": bundle.content.payload_type,
                "signatures": [{"sig": _text(one.content)} for one in bundle.content.signatures],
            }
        }
    else:
        content = {
            "messageSignature": {
                "messageDigest": {
                    "algorithm": bundle.content.algorithm.value,
                    "digest": _text(bundle.content.digest),
                },
                "signature": _text(bundle.content.signature),
            }
        }
    return json.dumps(
        {"mediaType": _MEDIA_TYPES[bundle.version], "verificationMaterial": material, **content}
    )


def _write_entry(entry: LogEntry) -> dict[str, object]:
    written: dict[str, object] = {
        "logIndex": str(entry.log_index),
        "logId": {"keyId": _text(entry.log_id)},
        "kindVersion": {"kind": entry.kind, "version": entry.version},
        "canonicalizedBody": _text(entry.body),
    }
    if entry.integrated_time:
        written["integratedTime"] = str(entry.integrated_time)
    if entry.promise is not None:
        written["inclusionPromise"] = {"signedEntryTimestamp": _text(entry.promise)}
    if entry.proof is not None:
        written["inclusionProof"] = {
            "logIndex": str(entry.proof.log_index),
            "treeSize": str(entry.proof.tree_size),
            "rootHash": _text(entry.proof.root_hash),
            "hashes": [_text(one) for one in entry.proof.hashes],
            "checkpoint": {"envelope": entry.proof.checkpoint},
        }
    return written


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
