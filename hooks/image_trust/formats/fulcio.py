"""Fulcio's certificates: whether one is genuine, and whom it names.

::

    chain   issued by an authority of the trusted root, all of it valid at the proven time of signing
    usage   a leaf, for digital signatures, for signing code
    SCT     a certificate transparency log of the trusted root promises to have logged it
    name    its issuer of identities, its subject and, of a workflow, where it ran: Fulcio's own extensions

Sources: https://github.com/sigstore/fulcio/blob/main/docs/certificate-specification.md,
https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md, https://www.rfc-editor.org/rfc/rfc6962#section-3.2.
"""

import contextlib
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
)

from hooks.image_trust.finding import Rejected
from hooks.image_trust.formats import trusted_root
from hooks.image_trust.formats.trusted_root import Log, TrustedRoot, contained, signer
from hooks.image_trust.pattern import matches
from hooks.image_trust.policy import Keyless
from shared.errors import shown

MAX_CERTIFICATE_BYTES = 64 * 1024
"""Fulcio's have about 2 KiB."""
MAX_PEM_CHARACTERS = 128 * 1024
MAX_CHAIN = 10
MAX_SCTS = 10
MAX_NAMES = 20
MAX_VALUE_CHARACTERS = 2048
"""Of a name or an extension's value: globs are held against them."""

# https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md
_FULCIO = "1.3.6.1.4.1.57264.1"
ISSUER_V1 = x509.ObjectIdentifier(f"{_FULCIO}.1")
OTHER_NAME = x509.ObjectIdentifier(f"{_FULCIO}.7")
ISSUER_V2 = x509.ObjectIdentifier(f"{_FULCIO}.8")
RUNNER_ENVIRONMENT = x509.ObjectIdentifier(f"{_FULCIO}.11")
SOURCE_REPOSITORY_URI = x509.ObjectIdentifier(f"{_FULCIO}.12")
SOURCE_REPOSITORY_REF = x509.ObjectIdentifier(f"{_FULCIO}.14")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whom a certificate names; of what it does not say, ``None``."""

    issuer: str
    names: tuple[str, ...]
    source_repository: str | None
    source_ref: str | None
    runner_environment: str | None


def load(der: bytes) -> x509.Certificate:
    """Read a certificate that came with a signature.

    Raises
    ------
    Rejected
        ``malformed-certificate``.
    """
    if len(der) > MAX_CERTIFICATE_BYTES:
        raise Rejected(
            "malformed-certificate",
            f"a certificate has {len(der)} bytes, at most {MAX_CERTIFICATE_BYTES} are read",
        )
    try:
        return trusted_root.certificate(der)
    except ValueError as error:
        raise Rejected("malformed-certificate", str(error)) from error


def load_pem(text: str) -> list[x509.Certificate]:
    """Read certificates in PEM that came with a signature, one after the other.

    Raises
    ------
    Rejected
        ``malformed-certificate``.
    """
    if len(text) > MAX_PEM_CHARACTERS:
        raise Rejected(
            "malformed-certificate",
            f"certificates in {len(text)} characters of PEM, at most {MAX_PEM_CHARACTERS} are read",
        )
    try:
        return trusted_root.certificates(text.encode("ascii"))
    except ValueError as error:
        raise Rejected("malformed-certificate", str(error)) from error


def verify(
    leaf: x509.Certificate,
    presented: Iterable[x509.Certificate],
    root: TrustedRoot,
    times: Iterable[datetime],
) -> None:
    """Hold a certificate against the trusted root.

    Parameters
    ----------
    presented
        Certificates that came along, for between the leaf and the root; the root has to vouch for them.
    times
        At which it has to have been valid: all that is proven of when it signed.

    Raises
    ------
    Rejected
        ``untrusted-certificate``, ``wrong-usage`` or ``no-sct``.
    """
    _verify_usage(leaf)
    presented = tuple(presented)[:MAX_CHAIN]
    issuers = [_issuer(leaf, presented, root, at) for at in times]
    if not issuers:
        raise Rejected("unproven-time", "nothing proves when the certificate signed")
    for issuer in issuers:
        _verify_sct(leaf, issuer, root)


def identity(leaf: x509.Certificate) -> Identity:
    """Read whom a certificate names.

    Raises
    ------
    Rejected
        ``malformed-certificate``.
    """
    try:
        with contained("a certificate's name"):
            return Identity(
                issuer=_oidc_issuer(leaf),
                names=tuple(_names(leaf)),
                source_repository=_utf8(leaf, SOURCE_REPOSITORY_URI),
                source_ref=_utf8(leaf, SOURCE_REPOSITORY_REF),
                runner_environment=_utf8(leaf, RUNNER_ENVIRONMENT),
            )
    except ValueError as error:
        raise Rejected("malformed-certificate", str(error)) from error


def match(leaf: x509.Certificate, wanted: Keyless) -> str:
    """Return who signed, where that is whom the policy wants.

    Raises
    ------
    Rejected
        ``wrong-issuer``, ``wrong-identity``, ``wrong-source`` or ``malformed-certificate``.
    """
    found = identity(leaf)
    if not _is(found.issuer, wanted.issuer, wanted.issuer_pattern):
        raise Rejected(
            "wrong-issuer",
            f"its issuer is {shown(found.issuer)}, not {wanted.issuer or wanted.issuer_pattern!r}",
        )
    # Any of the names, as Sigstore's clients have it; Fulcio certifies one.
    name = next((name for name in found.names if _is(name, wanted.identity, wanted.identity_pattern)), None)
    if name is None:
        names = ", ".join(map(shown, found.names)) or "nobody"
        raise Rejected(
            "wrong-identity", f"it was signed by {names}, not {wanted.identity or wanted.identity_pattern!r}"
        )
    for what, seen, exactly, glob in (
        ("source repository", found.source_repository, wanted.source_repository, None),
        ("source ref", found.source_ref, None, wanted.source_ref),
        ("runner environment", found.runner_environment, wanted.runner_environment, None),
    ):
        expected = exactly if exactly is not None else glob
        if expected is not None and (seen is None or not _is(seen, exactly, glob)):
            raise Rejected("wrong-source", f"its {what} is {shown(seen)}, not {expected!r}")
    return f"{name} ({found.issuer})"


def _is(seen: str, exactly: str | None, glob: str | None) -> bool:
    if exactly is not None:
        return seen == exactly
    return glob is not None and matches(glob, seen)


# --- Chain and usage -------------------------------------------------------------------------------


def _issuer(
    leaf: x509.Certificate, presented: tuple[x509.Certificate, ...], root: TrustedRoot, at: datetime
) -> x509.Certificate:
    """Build the chain at a time, and return the certificate of who issued the leaf."""
    reason = "it has none for that time"
    for authority in root.authorities:
        if not authority.period.covers(at):
            continue
        try:
            with contained("a chain of certificates"):
                return (
                    PolicyBuilder()
                    .store(Store([authority.chain[-1]]))
                    .time(at)
                    .extension_policies(ca_policy=_authority_policy(), ee_policy=_leaf_policy())
                    .build_client_verifier()
                    .verify(leaf, [*authority.chain[:-1], *presented])
                    .chain[1]
                )
        except ValueError as error:
            reason = str(error)
    raise Rejected(
        "untrusted-certificate",
        f"no authority of the trusted root vouches for the certificate at {at:%Y-%m-%dT%H:%M:%SZ}: {reason}",
    )


def _authority_policy() -> ExtensionPolicy:
    # The web's rules want certificates that authenticate servers or clients; these sign code.
    return ExtensionPolicy.webpki_defaults_ca().may_be_present(
        x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _signs_code_if_limited
    )


def _leaf_policy() -> ExtensionPolicy:
    # What a leaf's is, _verify_usage says.
    return ExtensionPolicy.webpki_defaults_ee().require_present(
        x509.ExtendedKeyUsage, Criticality.AGNOSTIC, None
    )


def _signs_code_if_limited(
    _policy: Policy, _certificate: x509.Certificate, usage: x509.ExtendedKeyUsage | None
) -> None:
    if usage is not None and not {
        ExtendedKeyUsageOID.CODE_SIGNING,
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    }.intersection(usage):
        raise ValueError("an authority is not for signing code")


def _verify_usage(leaf: x509.Certificate) -> None:
    """Check that it is a leaf that signs code."""
    try:
        usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
        purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        constraints = [
            extension.value
            for extension in leaf.extensions
            if isinstance(extension.value, x509.BasicConstraints)
        ]
    except x509.ExtensionNotFound as error:
        raise Rejected("wrong-usage", f"the certificate does not say what it is for: {error}") from error
    if not usage.digital_signature or usage.key_cert_sign or any(one.ca for one in constraints):
        raise Rejected("wrong-usage", "the certificate is not for digital signatures alone")
    if ExtendedKeyUsageOID.CODE_SIGNING not in purposes:
        raise Rejected("wrong-usage", "the certificate is not for signing code")


# --- Certificate transparency ----------------------------------------------------------------------


def _verify_sct(leaf: x509.Certificate, issuer: x509.Certificate, root: TrustedRoot) -> None:
    """Check that a certificate transparency log of the root, in its time, has signed for the certificate."""
    for extension in leaf.extensions:
        if isinstance(extension.value, x509.PrecertificateSignedCertificateTimestamps):
            for sct in list(extension.value)[:MAX_SCTS]:
                with contextlib.suppress(Rejected, ValueError), contained("a certificate's timestamp"):
                    _log_of(sct, leaf, issuer, root)
                    return
    raise Rejected(
        "no-sct", "no certificate transparency log of the trusted root has signed for the certificate"
    )


def _log_of(
    sct: x509.certificate_transparency.SignedCertificateTimestamp,
    leaf: x509.Certificate,
    issuer: x509.Certificate,
    root: TrustedRoot,
) -> Log:
    """Return the log that has signed for the certificate."""
    at = sct.timestamp.replace(tzinfo=UTC)
    if sct.version is not x509.certificate_transparency.Version.v1 or not isinstance(
        sct.signature_hash_algorithm, SHA256
    ):
        raise Rejected("no-sct", "a signed certificate timestamp of another version or hash")
    logs = [log for log in root.certificate_logs if log.id == sct.log_id and log.period.covers(at)]
    return signer(logs, sct.signature, _digitally_signed(sct, leaf, issuer, at))


def _digitally_signed(
    sct: x509.certificate_transparency.SignedCertificateTimestamp,
    leaf: x509.Certificate,
    issuer: x509.Certificate,
    at: datetime,
) -> bytes:
    """Return what the log has signed: RFC 6962, section 3.2, of a precertificate."""
    issuer_key = issuer.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    to_be_signed = leaf.tbs_precertificate_bytes
    return b"".join(
        (
            b"\x00\x00",  # version 1, of kind certificate_timestamp
            ((at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)).to_bytes(8),
            b"\x00\x01",  # an entry of kind precert_entry
            hashlib.sha256(issuer_key).digest(),
            len(to_be_signed).to_bytes(3),
            to_be_signed,
            len(sct.extension_bytes).to_bytes(2),
            sct.extension_bytes,
        )
    )


# --- Names -----------------------------------------------------------------------------------------


def _oidc_issuer(leaf: x509.Certificate) -> str:
    """Return the issuer of the identity: of old the bare text, now DER; they have to agree."""
    older = _raw(leaf, ISSUER_V1)
    newer = _utf8(leaf, ISSUER_V2)
    if older is not None and newer is not None and older.decode("utf-8") != newer:
        raise ValueError("it names two issuers of its identity")
    if newer is not None:
        return newer
    if older is not None:
        return _bounded(older.decode("utf-8"))
    raise ValueError("it does not name the issuer of its identity")


def _names(leaf: x509.Certificate) -> Iterator[str]:
    """Yield the alternative names that Fulcio certifies: mail addresses, URIs, and a kind of its own."""
    try:
        found = leaf.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    except x509.ExtensionNotFound:
        return
    if not isinstance(found, x509.SubjectAlternativeName) or len(list(found)) > MAX_NAMES:
        raise ValueError(f"it has more than {MAX_NAMES} names")
    for name in found:
        match name:
            case x509.RFC822Name(value=str(value)) | x509.UniformResourceIdentifier(value=str(value)):
                yield _bounded(value)
            case x509.OtherName(type_id=kind, value=value) if kind == OTHER_NAME:
                yield _bounded(asn1.decode_der(str, value))
            case _:
                continue


def _utf8(leaf: x509.Certificate, oid: x509.ObjectIdentifier) -> str | None:
    raw = _raw(leaf, oid)
    return None if raw is None else _bounded(asn1.decode_der(str, raw))


def _raw(leaf: x509.Certificate, oid: x509.ObjectIdentifier) -> bytes | None:
    """Return an extension's value. One that stands there twice was refused when the certificate was read."""
    for extension in leaf.extensions:
        if extension.oid == oid and isinstance(extension.value, x509.UnrecognizedExtension):
            return extension.value.value
    return None


def _bounded(text: str) -> str:
    if len(text) > MAX_VALUE_CHARACTERS:
        raise ValueError(f"a name has {len(text)} characters, at most {MAX_VALUE_CHARACTERS} are read")
    return text
