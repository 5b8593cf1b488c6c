"""Certificates of the Notary Project: chains, the trust stores they have to end in, and whom they name.

::

    x5c    leaf ─issued by─▶ CA ─issued by─▶ ... ─▶ root, self-signed
                                                     │  the very same certificate, or its SHA-256
    store  ca | signingAuthority | tsa  ◀────────────┘

    leaf's subject  ⊇  x509.subject: C=US, ST=WA, O=example, CN=release

Sources, of https://github.com/notaryproject/specifications at d4b62b9:
specs/signature-specification.md#certificate-requirements and
specs/trust-store-trust-policy.md#trusted-identities-constraints. Of a certificate's extensions the
specification has only basic constraints, key usage and extended key usage honoured; that distribution points
of CRLs and OCSP responders are named is kept, for whoever asks about revocation.
"""

import contextlib
import hashlib
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import (
    AuthorityInformationAccessOID,
    ExtendedKeyUsageOID,
    NameOID,
    ObjectIdentifier,
    SignatureAlgorithmOID,
)

from hooks.image_trust.finding import Rejected
from hooks.image_trust.policy import Store
from shared.errors import shown

type PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

# Leaf, root and what is between: chains of code signing have two to four.
MAX_CERTIFICATES = 8
# Real ones have one to three thousand bytes.
MAX_CERTIFICATE_BYTES = 16 * 1024
# Of certificate authorities; a leaf's are in the table below. What is larger only costs time.
_RSA_BITS = range(2048, 8192 + 1)

# Signature specification, "Algorithm Selection": the key decides how it signs.
_ALGORITHM_OF_RSA = {2048: "PS256", 3072: "PS384", 4096: "PS512"}
_ALGORITHM_OF_EC = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}

# "MUST NOT use SHA1WithRSA and ECDSAWithSHA1"; nothing else that is as old either.
_SIGNATURE_ALGORITHMS = frozenset(
    {
        SignatureAlgorithmOID.RSA_WITH_SHA256,
        SignatureAlgorithmOID.RSA_WITH_SHA384,
        SignatureAlgorithmOID.RSA_WITH_SHA512,
        SignatureAlgorithmOID.RSASSA_PSS,
        SignatureAlgorithmOID.ECDSA_WITH_SHA256,
        SignatureAlgorithmOID.ECDSA_WITH_SHA384,
        SignatureAlgorithmOID.ECDSA_WITH_SHA512,
    }
)
_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)

# Leaf certificates: what their keys may not be for as well. OCSP signing is not in the specification's list
# but in notation-core-go's, x509/codesigning_cert_validations.go.
_NOT_FOR_SIGNING_CODE = frozenset(
    {
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
        ExtendedKeyUsageOID.EMAIL_PROTECTION,
        ExtendedKeyUsageOID.TIME_STAMPING,
        ExtendedKeyUsageOID.OCSP_SIGNING,
    }
)
_LEAF_KEY_USAGES = frozenset({"digital_signature", "content_commitment"})


# --- One certificate -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate that is well-formed; nothing about it is verified."""

    der: bytes = field(repr=False)
    to_be_signed: bytes = field(repr=False)
    key: PublicKey = field(repr=False)
    subject: tuple[tuple[str, str], ...]
    """Attributes in their order: type, as a dotted object identifier, and value."""
    not_before: datetime
    not_after: datetime
    is_authority: bool | None
    """``cA`` of the basic constraints; ``None`` without them."""
    path_length: int | None
    key_usage: frozenset[str] | None
    """Bits that are set, as :class:`cryptography.x509.KeyUsage` names them."""
    extended_key_usage: frozenset[ObjectIdentifier] | None
    critical: frozenset[ObjectIdentifier]
    """Extensions that are marked so."""
    names_revocation: bool
    """Whether it says where to ask if it is revoked: distribution points of CRLs, or OCSP responders."""
    parsed: x509.Certificate = field(repr=False, compare=False)

    @classmethod
    def load(cls, der: bytes) -> Self:
        """Read one.

        Raises
        ------
        Rejected
            ``malformed-certificate``, or ``unsuitable-certificate`` for keys and signatures that the
            specification does not have.
        """
        if len(der) > MAX_CERTIFICATE_BYTES:
            raise Rejected(
                "malformed-certificate",
                f"a certificate of {len(der)} bytes; at most {MAX_CERTIFICATE_BYTES} are read",
            )
        with _reading():
            parsed = x509.load_der_x509_certificate(der)
            signed_by, hashed_by = parsed.signature_algorithm_oid, parsed.signature_hash_algorithm
            key = parsed.public_key()
            subject = tuple(
                (attribute.oid.dotted_string, attribute.value)
                for attribute in parsed.subject
                if isinstance(attribute.value, str)
            )
            found = {extension.oid: extension for extension in parsed.extensions}
            constraints = _value(found, x509.BasicConstraints)
            usage = _value(found, x509.KeyUsage)
            purposes = _value(found, x509.ExtendedKeyUsage)
            certificate = cls(
                der=der,
                to_be_signed=parsed.tbs_certificate_bytes,
                key=_supported(key),
                subject=subject,
                not_before=parsed.not_valid_before_utc,
                not_after=parsed.not_valid_after_utc,
                is_authority=constraints.ca if constraints else None,
                path_length=constraints.path_length if constraints else None,
                key_usage=_bits(usage) if usage else None,
                extended_key_usage=frozenset(purposes) if purposes else None,
                critical=frozenset(oid for oid, extension in found.items() if extension.critical),
                names_revocation=_names_revocation(found),
                parsed=parsed,
            )
        if signed_by not in _SIGNATURE_ALGORITHMS or not isinstance(hashed_by, _HASHES):
            raise Rejected(
                "unsuitable-certificate",
                f"{certificate} is signed by the algorithm {signed_by.dotted_string}; expected RSA or ECDSA "
                "with SHA-256, SHA-384 or SHA-512",
            )
        return certificate

    @property
    def sha256(self) -> str:
        """Its fingerprint: SHA-256 of its DER, in hexadecimal."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def algorithm(self) -> str:
        """The one algorithm its key may sign with, such as ``PS256``.

        Raises
        ------
        Rejected
            ``unsuitable-certificate`` when the specification has none for it.
        """
        if isinstance(self.key, rsa.RSAPublicKey):
            found = _ALGORITHM_OF_RSA.get(self.key.key_size)
        else:
            found = _ALGORITHM_OF_EC.get(self.key.curve.name)
        if found is None:
            raise Rejected(
                "unsuitable-certificate",
                f"the key of {self} has {self.key.key_size} bits; expected RSA of 2048, 3072 or 4096 bits",
            )
        return found

    @property
    def name(self) -> str:
        """Its subject, as identities in a policy are written."""
        return write_subject(self.subject) or f"a certificate without a subject, SHA-256 {self.sha256}"

    def __str__(self) -> str:
        return f"certificate {shown(self.name)}"


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """Turn whatever reading a certificate raises into ``Rejected``, and keep its warnings to itself."""
    # Serial numbers that are zero or negative, country codes of three letters and the like are warned about;
    # nothing here rests on them.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except Rejected:
            raise
        # ValueError for most, and a class of its own for each of an unknown version, a duplicate extension,
        # a kind of name, a curve, ...: none that is worth telling apart, and more with each release.
        except Exception as error:
            raise Rejected(
                "malformed-certificate", f"a certificate can't be read: {shown(str(error))}"
            ) from error


def _value[ExtensionT: x509.ExtensionType](
    found: Mapping[ObjectIdentifier, x509.Extension[x509.ExtensionType]], kind: type[ExtensionT]
) -> ExtensionT | None:
    extension = found.get(kind.oid)
    return extension.value if extension and isinstance(extension.value, kind) else None


def _supported(key: object) -> PublicKey:
    if isinstance(key, rsa.RSAPublicKey) and key.key_size in _RSA_BITS:
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _ALGORITHM_OF_EC:
        return key
    size = getattr(key, "key_size", "unknown")
    raise Rejected(
        "unsuitable-certificate",
        f"a certificate's key is a {type(key).__name__} of {size} bits; expected RSA of 2048 to 8192 bits, "
        "or P-256, P-384 or P-521",
    )


def _bits(usage: x509.KeyUsage) -> frozenset[str]:
    names = [
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
    ]
    if usage.key_agreement:
        names += ["encipher_only", "decipher_only"]  # asking for them is an error otherwise
    return frozenset(name for name in names if getattr(usage, name))


def _names_revocation(found: Mapping[ObjectIdentifier, x509.Extension[x509.ExtensionType]]) -> bool:
    access = _value(found, x509.AuthorityInformationAccess)
    return x509.CRLDistributionPoints.oid in found or (
        access is not None
        and any(entry.access_method == AuthorityInformationAccessOID.OCSP for entry in access)
    )


# --- Chains ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain that is what the specification requires, but not yet trusted: leaf first, root last."""

    certificates: tuple[Certificate, ...]

    @classmethod
    def for_signing_code(cls, certificates: Sequence[Certificate]) -> Self:
        """Check the chain of an envelope.

        Raises
        ------
        Rejected
            ``broken-chain`` where a certificate is not issued by the next one, ``unsuitable-certificate``.
        """
        return cls._checked(certificates, purpose=None)

    @classmethod
    def for_stamping_time(cls, certificates: Sequence[Certificate]) -> Self:
        """Check the chain of a time-stamp authority; raises as :meth:`for_signing_code`."""
        return cls._checked(certificates, purpose=ExtendedKeyUsageOID.TIME_STAMPING)

    @classmethod
    def _checked(cls, certificates: Sequence[Certificate], purpose: ObjectIdentifier | None) -> Self:
        if not 1 <= len(certificates) <= MAX_CERTIFICATES:
            raise Rejected(
                "broken-chain",
                f"a chain of {len(certificates)} certificates; expected 1 to {MAX_CERTIFICATES}",
            )
        leaf, *authorities = certificates
        for certificate, issuer in zip(certificates, authorities, strict=False):
            if is_issued_by(certificate, certificate):
                raise Rejected(
                    "broken-chain", f"{certificate} is self-signed, and is not the last of its chain"
                )
            if not is_issued_by(certificate, issuer):
                raise Rejected("broken-chain", f"{certificate} is not issued by the next one, {issuer}")
        root = certificates[-1]
        if not is_issued_by(root, root):
            raise Rejected("broken-chain", f"the chain ends in {root}, which is not self-signed")
        if purpose is None:
            _check_signer_of_code(leaf)
        else:
            _check_stamper_of_time(leaf)
        for below, authority in enumerate(authorities):
            _check_authority(authority, below, critical_usage=purpose is None)
        return cls(tuple(certificates))

    @property
    def leaf(self) -> Certificate:
        """Whose key signed."""
        return self.certificates[0]

    @property
    def root(self) -> Certificate:
        """What a trust store has to hold."""
        return self.certificates[-1]

    def check_valid(self, earliest: datetime, latest: datetime, what: str) -> None:
        """Check that all certificates are valid all the time from *earliest* to *latest*.

        Parameters
        ----------
        what
            What the time is, for the message: ``"the time of the signature"``.

        Raises
        ------
        Rejected
            ``certificate-not-yet-valid`` or ``certificate-expired``.
        """
        for certificate in self.certificates:
            if earliest < certificate.not_before:
                raise Rejected(
                    "certificate-not-yet-valid",
                    f"{certificate} is valid from {certificate.not_before:%Y-%m-%dT%H:%M:%SZ}, "
                    f"{what} is {earliest:%Y-%m-%dT%H:%M:%SZ}",
                )
            if latest > certificate.not_after:
                raise Rejected(
                    "certificate-expired",
                    f"{certificate} is valid to {certificate.not_after:%Y-%m-%dT%H:%M:%SZ}, "
                    f"{what} is {latest:%Y-%m-%dT%H:%M:%SZ}",
                )

    def has_expired(self, now: datetime) -> bool:
        """Return whether at least one certificate is no longer valid."""
        return any(now > certificate.not_after for certificate in self.certificates)

    @property
    def revocable(self) -> tuple[Certificate, ...]:
        """Those that say where to ask if they are revoked; nobody asks about a root, it is trusted or not."""
        return tuple(one for one in self.certificates[:-1] if one.names_revocation)


def is_issued_by(certificate: Certificate, issuer: Certificate) -> bool:
    """Return whether *issuer* is named as issuer, and its key made the signature."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            certificate.parsed.verify_directly_issued_by(issuer.parsed)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            return False
    return True


def _check_signer_of_code(leaf: Certificate) -> None:
    _check_leaf(leaf)
    if x509.KeyUsage.oid not in leaf.critical:
        raise _unsuitable(leaf, "its key usage is not marked critical")
    if forbidden := (leaf.extended_key_usage or frozenset()) & _NOT_FOR_SIGNING_CODE:
        names = ", ".join(sorted(one.dotted_string for one in forbidden))
        raise _unsuitable(leaf, f"its extended key usage has {names}; expected code signing or none at all")


def _check_stamper_of_time(leaf: Certificate) -> None:
    _check_leaf(leaf)
    if leaf.extended_key_usage != frozenset({ExtendedKeyUsageOID.TIME_STAMPING}):
        raise _unsuitable(leaf, "its extended key usage is not time-stamping, and time-stamping only")
    if x509.ExtendedKeyUsage.oid not in leaf.critical:
        raise _unsuitable(leaf, "its extended key usage is not marked critical")


def _check_leaf(leaf: Certificate) -> None:
    if leaf.is_authority:
        raise _unsuitable(leaf, "it is a certificate authority's, and signs by itself")
    if leaf.key_usage is None or "digital_signature" not in leaf.key_usage:
        raise _unsuitable(leaf, "its key usage has no digital signature")
    if more := leaf.key_usage - _LEAF_KEY_USAGES:
        raise _unsuitable(
            leaf, f"its key usage has {', '.join(sorted(more))}; expected digital signature only"
        )
    _ = leaf.algorithm  # raises where its key is of no size that may sign


def _check_authority(authority: Certificate, below: int, *, critical_usage: bool) -> None:
    """Check a certificate with so many other authorities *below* it."""
    if not authority.is_authority or x509.BasicConstraints.oid not in authority.critical:
        raise _unsuitable(authority, "it is no certificate authority's by a critical basic constraint")
    if authority.path_length is not None and authority.path_length < below:
        raise _unsuitable(
            authority,
            f"its path length is {authority.path_length}, with {below} certificate authorities below",
        )
    if authority.key_usage is None or "key_cert_sign" not in authority.key_usage:
        raise _unsuitable(authority, "its key usage has no certificate signing")
    if critical_usage and x509.KeyUsage.oid not in authority.critical:
        raise _unsuitable(authority, "its key usage is not marked critical")


def _unsuitable(certificate: Certificate, why: str) -> Rejected:
    return Rejected("unsuitable-certificate", f"{certificate}: {why}")


# --- Trust stores ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Anchors:
    """What a trust store, or several of one type, trust."""

    certificates: tuple[Certificate, ...]
    """Roots that are given as certificates."""
    fingerprints: frozenset[str]
    """SHA-256 of the DER of all roots."""
    self_signed: bool = False
    """Whether one that signs by itself, under no authority, may be among them."""

    def __or__(self, other: "Anchors") -> "Anchors":
        return Anchors(
            self.certificates + other.certificates,
            self.fingerprints | other.fingerprints,
            self.self_signed or other.self_signed,
        )

    def trusts(self, certificate: Certificate) -> bool:
        """Return whether it is one of them."""
        return certificate.sha256 in self.fingerprints

    def check(self, chain: Chain) -> None:
        """Check that a chain ends here.

        Raises
        ------
        Rejected
            ``untrusted-root``.
        """
        if not self.trusts(chain.root):
            raise Rejected(
                "untrusted-root",
                f"no trust store of the rule has {chain.root}, SHA-256 {chain.root.sha256}",
            )
        if len(chain.certificates) == 1 and not self.self_signed:
            raise Rejected(
                "untrusted-root",
                f"{chain.root} signs by itself, which only a store of type ca can allow",
            )


@lru_cache(maxsize=64)
def load_store(store: Store) -> Anchors:
    """Read a trust store of a policy.

    Its certificates are those of certificate authorities, self-issued; of type ``ca`` may also be those that
    sign code by themselves. Whether they are still valid is judged when something is signed with them.

    Raises
    ------
    Rejected
        ``bad-trust-store``, naming the certificate by its place.
    """
    found: list[Certificate] = []
    for place, text in enumerate(store.certificates):
        try:
            found += _roots(text, store)
        except Rejected as error:
            raise Rejected("bad-trust-store", f"certificates[{place}] of a trust store: {error}") from error
    return Anchors(
        tuple(found), frozenset(store.fingerprints) | {one.sha256 for one in found}, store.type == "ca"
    )


def _roots(text: str, store: Store) -> Iterator[Certificate]:
    with _reading():
        ders = [one.public_bytes(Encoding.DER) for one in x509.load_pem_x509_certificates(text.encode())]
    for der in ders:
        certificate = Certificate.load(der)
        if not is_issued_by(certificate, certificate):
            raise _unsuitable(certificate, "it is not self-issued, so it is no root")
        if certificate.is_authority or store.type != "ca":
            _check_authority(certificate, 0, critical_usage=store.type != "tsa")
        else:
            _check_signer_of_code(certificate)
        yield certificate


# --- Identities ------------------------------------------------------------------------------------

# RFC 4514, section 3, and what Go's crypto/x509/pkix names beside it; S is the specification's own.
_TYPES = {
    "C": NameOID.COUNTRY_NAME,
    "ST": NameOID.STATE_OR_PROVINCE_NAME,
    "S": NameOID.STATE_OR_PROVINCE_NAME,
    "L": NameOID.LOCALITY_NAME,
    "STREET": NameOID.STREET_ADDRESS,
    "POSTALCODE": NameOID.POSTAL_CODE,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "CN": NameOID.COMMON_NAME,
    "SERIALNUMBER": NameOID.SERIAL_NUMBER,
    "DC": NameOID.DOMAIN_COMPONENT,
    "UID": NameOID.USER_ID,
}
_NAMES = {oid.dotted_string: name for name, oid in _TYPES.items() if name != "S"}
_REQUIRED = ("C", "ST", "O")

_SUBJECT = "x509.subject:"
ANYBODY = "*"

# One attribute of RFC 4514's string form: what has a meaning is escaped, and values in quotation marks or in
# hexadecimal (#04...) are left out, as in notation-go. Nothing in it is ever tried twice.
_ESCAPED = r'\\(?:[ "#+,;<=>\\]|[0-9A-Fa-f]{2})'
_ATTRIBUTE = re.compile(
    rf' *+(?P<type>[A-Za-z]++) *+= *+(?!#)(?P<value>(?:{_ESCAPED}|[^\\"+,;<>\x00-\x1f])*+)(?P<more>,|\Z)'
)
_PIECE = re.compile(rf"{_ESCAPED}|[^\\]")
_SPECIAL = re.compile(r'[\\"+,;<>]|^[ #]| $')


@dataclass(frozen=True, slots=True)
class Identity:
    """Attributes that a subject has to have; without any, it is anybody."""

    attributes: Mapping[str, str]
    """Value by type, as a dotted object identifier."""

    def covers(self, certificate: Certificate) -> bool:
        """Return whether the certificate's subject has all of them, each once."""
        return all(
            [found for kind, found in certificate.subject if kind == wanted] == [value]
            for wanted, value in self.attributes.items()
        )

    def overlaps(self, other: "Identity") -> bool:
        """Return whether one of the two says nothing that the other does not say."""
        one, two = set(self.attributes.items()), set(other.attributes.items())
        return one <= two or two <= one


def parse_subject(text: str) -> Identity:
    """Read a distinguished name: ``C=US, ST=WA, O=example``, in RFC 4514's form.

    Raises
    ------
    Rejected
        ``bad-identity``, also where an attribute stands twice or C, ST or O is missing.
    """
    attributes: dict[str, str] = {}
    position, more = 0, True
    while more:
        found = _ATTRIBUTE.match(text, position)
        kind = _TYPES.get(found["type"].upper()) if found else None
        if found is None or kind is None:
            raise Rejected(
                "bad-identity",
                f"{shown(text)} is no distinguished name from character {position + 1} on; expected "
                f'TYPE=VALUE with a type of {", ".join(_TYPES)}, and , + " \\ < > ; escaped by a backslash',
            )
        if kind.dotted_string in attributes:
            raise Rejected("bad-identity", f"{shown(text)} has {found['type']} twice")
        attributes[kind.dotted_string] = _unescaped(found["value"], text)
        position, more = found.end(), found["more"] == ","
    missing = [name for name in _REQUIRED if not attributes.get(_TYPES[name].dotted_string)]
    if missing:
        raise Rejected(
            "bad-identity",
            f"{shown(text)} has no {missing[0]}; the specification requires C, ST and O of every identity",
        )
    return Identity(attributes)


def _unescaped(value: str, text: str) -> str:
    pieces = _PIECE.findall(value)
    while pieces and pieces[-1] == " ":
        pieces.pop()
    octets = b"".join(
        bytes.fromhex(piece[1:]) if len(piece) == 3 else piece[-1].encode("utf-8", "surrogatepass")
        for piece in pieces
    )
    try:
        return octets.decode()
    except UnicodeDecodeError as error:
        raise Rejected("bad-identity", f"{shown(text)} has octets that are no UTF-8") from error


def write_subject(subject: Sequence[tuple[str, str]]) -> str:
    """Write a subject as :func:`parse_subject` reads it, in the order of the certificate."""
    return ", ".join(f"{_NAMES.get(kind, kind)}={_escaped(value)}" for kind, value in subject)


def _escaped(value: str) -> str:
    text = _SPECIAL.sub(lambda found: f"\\{found[0]}", value)
    return re.sub(r"[\x00-\x1f\x7f]", lambda found: f"\\{ord(found[0]):02x}", text)


def parse_identities(texts: Sequence[str]) -> tuple[Identity, ...]:
    """Read the identities of a rule; ``*`` is anybody the stores vouch for.

    Raises
    ------
    Rejected
        ``bad-identity``: of another kind, ``*`` beside others, or two of which one covers the other.
    """
    if ANYBODY in texts:
        if len(texts) > 1:
            raise Rejected("bad-identity", "* stands for everybody; no other identity can stand beside it")
        return (Identity({}),)
    found: list[Identity] = []
    for text in texts:
        if not text.startswith(_SUBJECT):
            raise Rejected(
                "bad-identity",
                f"expected an identity such as {_SUBJECT} C=US, ST=WA, O=example, or *, got {shown(text)}; "
                "signing profiles are named by a requirement awsSigner",
            )
        identity = parse_subject(text.removeprefix(_SUBJECT))
        if any(identity.overlaps(other) for other in found):
            raise Rejected("bad-identity", f"{shown(text)} and another identity cover the same certificates")
        found.append(identity)
    return tuple(found)


def check_identity(leaf: Certificate, identities: Sequence[Identity]) -> None:
    """Check that a certificate's holder is one of those.

    Raises
    ------
    Rejected
        ``wrong-identity``.
    """
    if not any(identity.covers(leaf) for identity in identities):
        raise Rejected("wrong-identity", f"no identity of the rule is {shown(leaf.name)}")
