"""Make notation.json: signatures of the Notary Project and of AWS Signer's kind, and what becomes of each.

Run it as ``python -m tests.hooks.image_trust.vectors.make_notation`` from the repository's root. Keys of
elliptic curves are made from their names and are nobody's; those of RSA are new with each run, so that their
cases change.

::

    stores      name: a trust store, as a policy has it
    cases       name: kind          notation | awsSigner
                      mediaType, digest
                      content       text, or base64 of what is CBOR
                      requirement   as a policy has it
                      expected      ok, or the code of the refusal
                      warnings      how many, where it is accepted
                      signedAt      what is proven, where it is

All are judged at NOW. What varies stands in the functions at the end, one for each group of cases.
"""

import base64
import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

FILE = Path(__file__).parent / "notation.json"

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SIGNED = datetime(2026, 10, 2, 12, 0, 0, tzinfo=UTC)
START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)

DIGEST = f"sha256:{hashlib.sha256(b'the image').hexdigest()}"
OTHER = f"sha256:{hashlib.sha256(b'another image').hexdigest()}"
JWS, COSE = "application/jose+json", "application/cose"
PAYLOAD_TYPE = "application/vnd.cncf.notary.payload.v1+json"
NOTARY = "io.cncf.notary."
X509, AUTHORITY = "notary.x509", "notary.x509.signingAuthority"
PLUGIN = "com.amazonaws.signer.notation.plugin"
PROFILE = "arn:aws:signer:eu-west-1:111122223333:/signing-profiles/shop_ci"
PROFILE_VERSION = f"{PROFILE}/kR3v1s10n0"
JOB = "arn:aws:signer:eu-west-1:111122223333:/signing-jobs/0b1c6a52-6c9f-4a3e-8f39-0d5a4f1c2b7e"

type Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

CURVES: Mapping[str, ec.EllipticCurve] = {
    "ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1(),
}  # fmt: skip
RSA_BITS = {"PS256": 2048, "PS384": 3072, "PS512": 4096}
COSE_ALGORITHMS = {"ES256": -7, "ES384": -35, "ES512": -36, "PS256": -37, "PS384": -38, "PS512": -39}
HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


def ec_key(name: str, algorithm: str = "ES256") -> ec.EllipticCurvePrivateKey:
    """Make a key from its name."""
    curve = CURVES[algorithm]
    secret = hashlib.shake_256(f"image trust test vector {name}".encode()).digest(curve.key_size // 8 - 1)
    return ec.derive_private_key(int.from_bytes(secret), curve)


def new_key(name: str, algorithm: str) -> Key:
    if algorithm in CURVES:
        return ec_key(name, algorithm)
    return rsa.generate_private_key(65537, RSA_BITS[algorithm])


# --- DER ----------------------------------------------------------------------------------------------


def tlv(tag: int, *contents: bytes) -> bytes:
    """Write an element of DER."""
    content = b"".join(contents)
    if len(content) < 128:
        return bytes([tag, len(content)]) + content
    size = len(content).to_bytes((len(content).bit_length() + 7) // 8)
    return bytes([tag, 128 + len(size)]) + size + content


def integer(value: int) -> bytes:
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, signed=True))


def oid(dotted: str) -> bytes:
    first, second, *others = map(int, dotted.split("."))
    octets = bytearray([40 * first + second])
    for number in others:
        groups = [number & 127]
        while number := number >> 7:
            groups.append(128 + (number & 127))
        octets += bytes(reversed(groups))
    return tlv(0x06, bytes(octets))


RSA_ENCRYPTION = tlv(0x30, oid("1.2.840.113549.1.1.1"), tlv(0x05))
ECDSA_SHA1, ECDSA_SHA256 = tlv(0x30, oid("1.2.840.10045.4.1")), tlv(0x30, oid("1.2.840.10045.4.3.2"))


# --- Certificates ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Issued:
    """A certificate with its key."""

    key: Key
    der: bytes

    @property
    def certificate(self) -> x509.Certificate:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of serial numbers that are not positive
            return x509.load_der_x509_certificate(self.der)

    @property
    def serial(self) -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.certificate.serial_number

    @property
    def pem(self) -> str:
        return pem(self.der)


def pem(der: bytes) -> str:
    text = base64.encodebytes(der).decode()
    return f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n"


SIGNS_CODE = ("digital_signature",)
SIGNS_CERTIFICATES = ("key_cert_sign", "crl_sign")
USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a certificate is to say."""

    name: str = "release"
    authority: bool | None = None
    constraint_critical: bool = True
    path_length: int | None = None
    usage: Sequence[str] | None = SIGNS_CODE
    usage_critical: bool = True
    extended: Sequence[ObjectIdentifier] = (ExtendedKeyUsageOID.CODE_SIGNING,)
    extended_critical: bool = False
    start: datetime = START
    end: datetime = END
    serial: int = 5
    hashed_by: hashes.HashAlgorithm = field(default_factory=hashes.SHA256)
    more: Sequence[x509.ExtensionType] = ()
    subject: Sequence[tuple[ObjectIdentifier, str]] = ()


CA = Wanted(name="root", authority=True, usage=SIGNS_CERTIFICATES, extended=(), serial=1)
TSA = Wanted(name="stamps", extended=(ExtendedKeyUsageOID.TIME_STAMPING,), extended_critical=True)


def subject_of(name: str) -> tuple[tuple[ObjectIdentifier, str], ...]:
    return (
        (NameOID.COUNTRY_NAME, "US"),
        (NameOID.STATE_OR_PROVINCE_NAME, "WA"),
        (NameOID.ORGANIZATION_NAME, "Example, Inc."),
        (NameOID.COMMON_NAME, name),
    )


def issue(wanted: Wanted, key: Key, issuer: Issued | None = None) -> Issued:
    """Issue a certificate; without issuer it is self-signed."""
    name = x509.Name([x509.NameAttribute(*one) for one in wanted.subject or subject_of(wanted.name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(wanted.serial)
        .not_valid_before(wanted.start)
        .not_valid_after(wanted.end)
    )
    if wanted.authority is not None:
        constraints = x509.BasicConstraints(wanted.authority, wanted.path_length)
        builder = builder.add_extension(constraints, critical=wanted.constraint_critical)
    if wanted.usage is not None:
        usage = x509.KeyUsage(**{one: one in wanted.usage for one in USAGES})
        builder = builder.add_extension(usage, critical=wanted.usage_critical)
    if wanted.extended:
        purposes = x509.ExtendedKeyUsage(wanted.extended)
        builder = builder.add_extension(purposes, critical=wanted.extended_critical)
    for extension in wanted.more:
        builder = builder.add_extension(extension, critical=False)
    signer = issuer.key if issuer else key
    made = builder.sign(
        signer,
        None if isinstance(signer, ed25519.Ed25519PrivateKey) else wanted.hashed_by,
        ecdsa_deterministic=isinstance(signer, ec.EllipticCurvePrivateKey) or None,
    )
    return Issued(key, made.public_bytes(serialization.Encoding.DER))


def rewritten(issued: Issued, issuer: Issued, old: bytes, new: bytes) -> Issued:
    """Issue a certificate again, as no builder would: with *new* in the place of what stands there."""
    to_be_signed = issued.certificate.tbs_certificate_bytes
    assert to_be_signed[:2] == b"\x30\x82"
    to_be_signed = tlv(0x30, to_be_signed[4:].replace(old, new, 1))
    assert isinstance(issuer.key, ec.EllipticCurvePrivateKey)
    signature = issuer.key.sign(to_be_signed, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    algorithm = new if old == ECDSA_SHA256 else ECDSA_SHA256
    return Issued(issued.key, tlv(0x30, to_be_signed, algorithm, tlv(0x03, b"\0", signature)))


def with_serial(issued: Issued, issuer: Issued, serial: int) -> Issued:
    """Issue a certificate again, with a serial number that is not positive."""
    return rewritten(issued, issuer, integer(issued.serial), integer(serial))


ROOT = issue(CA, ec_key("root"))
MIDDLE = issue(replace(CA, name="middle", path_length=0, serial=2), ec_key("middle"), ROOT)
SIGNER = issue(Wanted(), ec_key("signer"), ROOT)
TSA_ROOT = issue(replace(CA, name="tsa root"), ec_key("tsa root"))
TSA_MIDDLE = issue(replace(CA, name="tsa middle", serial=2), ec_key("tsa middle"), TSA_ROOT)
AWS_ROOT = issue(
    replace(CA, name="signer root", end=datetime(2122, 1, 1, tzinfo=UTC)), ec_key("aws root", "ES384")
)
AWS_MIDDLE = issue(replace(CA, name="signer middle", serial=2), ec_key("aws middle", "ES384"), AWS_ROOT)
AWS_SIGNER = issue(
    Wanted(name="AWS Signer", start=SIGNED - DAY, end=SIGNED + 3 * DAY),
    ec_key("aws leaf", "ES384"),
    AWS_MIDDLE,
)
ALONE = issue(Wanted(name="alone"), ec_key("alone"))


# --- Envelopes -------------------------------------------------------------------------------------


def b64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def rfc3339(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def algorithm_of(key: Key) -> str:
    if isinstance(key, rsa.RSAPrivateKey):
        return next((name for name, bits in RSA_BITS.items() if bits == key.key_size), "PS256")
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return next(name for name, curve in CURVES.items() if curve.name == key.curve.name)


def sign(key: Key, message: bytes, algorithm: str) -> bytes:
    """Sign as JWS and COSE do: RSA-PSS, or r ‖ s."""
    assert not isinstance(key, ed25519.Ed25519PrivateKey)
    hashed = HASHES[algorithm[2:]]
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, padding.PSS(padding.MGF1(hashed), padding.PSS.DIGEST_LENGTH), hashed)
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashed, deterministic_signing=True)))
    half = (key.curve.key_size + 7) // 8
    return r.to_bytes(half) + s.to_bytes(half)


def payload(digest: str = DIGEST, **more: Any) -> bytes:
    target = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 528}
    return compact({"targetArtifact": target | more})


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """What an envelope is to say; the default is one that holds."""

    chain: Sequence[Issued] = (SIGNER, ROOT)
    algorithm: str | None = None
    """As it says; ``None``: the key's."""
    scheme: str = X509
    at: datetime = SIGNED
    expiry: datetime | None = None
    content: bytes = payload()
    content_type: str = PAYLOAD_TYPE
    signed: Mapping[str, Any] = field(default_factory=dict)
    """More signed attributes."""
    critical: Sequence[str] = ()
    """Which of them are critical."""
    unsigned: Mapping[str, Any] = field(default_factory=dict)
    token: "Token | None" = None

    @property
    def key(self) -> Key:
        return self.chain[0].key

    def attributes(self) -> tuple[dict[str, Any], list[str]]:
        """Return the signed attributes with their times, and which are critical."""
        is_authority = self.scheme == AUTHORITY
        time = "authenticSigningTime" if is_authority else "signingTime"
        found: dict[str, Any] = {NOTARY + "signingScheme": self.scheme, NOTARY + time: self.at}
        critical = [NOTARY + "signingScheme", *([NOTARY + time] if is_authority else [])]
        if self.expiry:
            found[NOTARY + "expiry"] = self.expiry
            critical.append(NOTARY + "expiry")
        return found | self.signed, [*critical, *self.critical]

    def jws(self) -> bytes:
        return compact(self.jws_parts())

    def jws_parts(self, protected: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the members, signed; *protected* takes the place of the header."""
        if protected is None:
            protected = self.jws_header()
        text = f"{b64url(compact(protected))}.{b64url(self.content)}"
        signature = sign(self.key, text.encode(), algorithm_of(self.key))
        header: dict[str, Any] = {"x5c": [b64(one.der) for one in self.chain]}
        header[NOTARY + "signingAgent"] = "vectors/1"
        if self.token:
            header[NOTARY + "timestampSignature"] = b64(self.token.over(signature))
        first, second = text.split(".")
        return {
            "payload": second,
            "protected": first,
            "header": header | self.unsigned,
            "signature": b64url(signature),
        }

    def jws_header(self) -> dict[str, Any]:
        attributes, critical = self.attributes()
        return {
            "alg": self.algorithm or algorithm_of(self.key),
            "cty": self.content_type,
            "crit": critical,
            **{
                label: rfc3339(one) if isinstance(one, datetime) else one for label, one in attributes.items()
            },
        }

    def cose(self) -> bytes:
        return cbor2.dumps(cbor2.CBORTag(18, self.cose_parts()))

    def cose_parts(self, protected: bytes | None = None) -> list[Any]:
        """Return the four parts, signed; *protected* takes the place of the header."""
        if protected is None:
            protected = cbor2.dumps(self.cose_header())
        message = cbor2.dumps(["Signature1", protected, b"", self.content])
        signature = sign(self.key, message, algorithm_of(self.key))
        header: dict[Any, Any] = {33: [one.der for one in self.chain], NOTARY + "signingAgent": "vectors/1"}
        if self.token:
            header[NOTARY + "timestampSignature"] = self.token.over(signature)
        return [protected, header | self.unsigned, self.content, signature]

    def cose_header(self) -> dict[Any, Any]:
        attributes, critical = self.attributes()
        return {
            1: COSE_ALGORITHMS[self.algorithm or algorithm_of(self.key)],
            2: critical,
            3: self.content_type,
            **{
                label: cbor2.CBORTag(1, int(one.timestamp())) if isinstance(one, datetime) else one
                for label, one in attributes.items()
            },
        }


# --- Time-stamps -----------------------------------------------------------------------------------


SIGNED_DATA = "1.2.840.113549.1.7.2"
DATA = "1.2.840.113549.1.7.1"
TST_INFO = "1.2.840.113549.1.9.16.1.4"
CONTENT_TYPE = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47"
BASELINE_POLICY = "0.4.0.2023.1.1"
HASH_OIDS = {
    "sha1": "1.3.14.3.2.26",
    "sha256": "2.16.840.1.101.3.4.2.1",
    "sha384": "2.16.840.1.101.3.4.2.2",
    "sha512": "2.16.840.1.101.3.4.2.3",
}


def stamper(wanted: Wanted = TSA, issuer: Issued = TSA_MIDDLE) -> Issued:
    return issue(wanted, ec_key("stamps"), issuer)


@dataclass(frozen=True, kw_only=True)
class Token:
    """A time-stamp as an authority would make it; the default is one that holds."""

    at: datetime = SIGNED + timedelta(seconds=1)
    authority: Issued = field(default_factory=stamper)
    certificates: Sequence[Issued] | None = None
    """In it; ``None``: the authority's and the one between."""
    accuracy: bytes = b""
    policy: str = "1.3.6.1.4.1.99999.1"
    version: int = 1
    imprint_hash: str = "sha256"
    certificate_hash: str | None = None
    """``None``: SHA-256, which is not written."""
    signed_type: str = TST_INFO
    content_type: str = TST_INFO
    names_certificate: bool = True
    named: Issued | None = None
    """Whose certificate the signature names; ``None``: the authority's."""
    signers: int = 1
    digest_hash: str = "sha256"
    wrong_signature: bool = False
    sort: bool = True

    def over(self, message: bytes) -> bytes:
        """Make it for some bytes."""
        info = self._info(message)
        certificates = [self.authority, TSA_MIDDLE] if self.certificates is None else self.certificates
        ders = [one.der for one in certificates]
        # As DER has it, or the other way round.
        ders.sort(reverse=not self.sort)
        signers = [self._signer(info)] * self.signers
        signed_data = tlv(
            0x30,
            integer(3),
            tlv(0x31, self._algorithm(self.digest_hash)),
            tlv(0x30, oid(self.content_type), tlv(0xA0, tlv(0x04, info))),
            tlv(0xA0, *ders) if ders else b"",
            tlv(0x31, *signers),
        )
        return tlv(0x30, oid(SIGNED_DATA), tlv(0xA0, signed_data))

    def _info(self, message: bytes) -> bytes:
        hashed = hashlib.new(self.imprint_hash, message).digest()
        return tlv(
            0x30,
            integer(self.version),
            oid(self.policy),
            tlv(0x30, self._algorithm(self.imprint_hash), tlv(0x04, hashed)),
            integer(77),
            tlv(0x18, self.at.strftime("%Y%m%d%H%M%SZ").encode()),
            tlv(0x30, self.accuracy) if self.accuracy else b"",
        )

    def _signer(self, info: bytes) -> bytes:
        certificate = self.authority.certificate
        attributes = [
            self._attribute(CONTENT_TYPE, oid(self.signed_type)),
            self._attribute(MESSAGE_DIGEST, tlv(0x04, hashlib.new(self.digest_hash, info).digest())),
        ]
        if self.names_certificate:
            name = self.certificate_hash or "sha256"
            hashed = hashlib.new(name, (self.named or self.authority).der).digest()
            algorithm = self._algorithm(self.certificate_hash) if self.certificate_hash else b""
            identifier = tlv(0x30, algorithm, tlv(0x04, hashed))
            attributes.append(self._attribute(SIGNING_CERTIFICATE_V2, tlv(0x30, tlv(0x30, identifier))))
        signed = b"".join(sorted(attributes))
        message = tlv(0x31, signed) + (b"!" if self.wrong_signature else b"")
        algorithm, signature = self._signature(message)
        return tlv(
            0x30,
            integer(1),
            tlv(0x30, certificate.issuer.public_bytes(), integer(self.authority.serial)),
            self._algorithm(self.digest_hash),
            tlv(0xA0, signed),
            algorithm,
            tlv(0x04, signature),
        )

    def _signature(self, message: bytes) -> tuple[bytes, bytes]:
        key = self.authority.key
        hashed_by = hashes.SHA1() if self.digest_hash == "sha1" else hashes.SHA256()
        if isinstance(key, rsa.RSAPrivateKey):
            return RSA_ENCRYPTION, key.sign(message, padding.PKCS1v15(), hashed_by)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return ECDSA_SHA256, key.sign(message, ec.ECDSA(hashed_by, deterministic_signing=True))

    @staticmethod
    def _algorithm(name: str) -> bytes:
        return tlv(0x30, oid(HASH_OIDS[name]))

    @staticmethod
    def _attribute(kind: str, value: bytes) -> bytes:
        return tlv(0x30, oid(kind), tlv(0x31, value))


def accuracy(seconds: int = 0, millis: int = 0, micros: int = 0) -> bytes:
    return (
        (integer(seconds) if seconds else b"")
        + (tlv(0x80, integer(millis)[2:]) if millis else b"")
        + (tlv(0x81, integer(micros)[2:]) if micros else b"")
    )


# --- Cases -----------------------------------------------------------------------------------------

STORES: Mapping[str, Mapping[str, Any]] = {
    "ours": {"type": "ca", "certificates": [ROOT.pem]},
    "ours by fingerprint": {"type": "ca", "fingerprints": [hashlib.sha256(ROOT.der).hexdigest()]},
    "alone": {"type": "ca", "certificates": [ALONE.pem]},
    "another": {"type": "ca", "certificates": [issue(replace(CA, name="another"), ec_key("another")).pem]},
    "namesake": {"type": "ca", "certificates": [issue(CA, ec_key("namesake")).pem]},
    "authority": {"type": "signingAuthority", "certificates": [ROOT.pem]},
    "alone as authority": {
        "type": "signingAuthority", "fingerprints": [hashlib.sha256(ALONE.der).hexdigest()],
    },
    "stamps": {"type": "tsa", "certificates": [TSA_ROOT.pem]},
    "stamps by fingerprint": {"type": "tsa", "fingerprints": [hashlib.sha256(TSA_ROOT.der).hexdigest()]},
    "signer": {"type": "signingAuthority", "certificates": [AWS_ROOT.pem]},
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    name: str
    envelope: Envelope | bytes
    expected: str = "ok"
    requirement: Mapping[str, Any] = field(default_factory=dict)
    kind: str = "notation"
    media_type: str = JWS
    warnings: int = 0
    signed_at: datetime | None = None

    def write(self) -> dict[str, Any]:
        content = self.envelope
        if isinstance(content, Envelope):
            content = content.jws() if self.media_type == JWS else content.cose()
        default: dict[str, Any] = (
            {"stores": ["ours"], "identities": ["*"]}
            if self.kind == "notation"
            else {"profiles": [PROFILE], "store": "signer"}
        )
        return {
            "kind": self.kind,
            "mediaType": self.media_type,
            "content": content.decode() if self.media_type == JWS else b64(content),
            "digest": DIGEST,
            "requirement": default | self.requirement,
            "expected": self.expected,
            **({"warnings": self.warnings} if self.expected == "ok" else {}),
            **({"signedAt": self.signed_at.isoformat()} if self.signed_at else {}),
        }


def _every_algorithm() -> Iterator[Case]:
    for depth, algorithm in (
        (2, "PS256"),
        (3, "PS384"),
        (1, "PS512"),
        (1, "ES256"),
        (2, "ES384"),
        (3, "ES512"),
    ):
        key = new_key(f"signer {algorithm}", algorithm)
        chain: tuple[Issued, ...] = {
            1: lambda key=key: (issue(Wanted(), key),),
            2: lambda key=key: (issue(Wanted(), key, ROOT), ROOT),
            3: lambda key=key: (issue(Wanted(), key, MIDDLE), MIDDLE, ROOT),
        }[depth]()
        # One that signs by itself is not in the stores; it is trusted by audit, which only logs that.
        requirement = {"level": "audit"} if depth == 1 else {}
        for media_type in (JWS, COSE):
            for scheme in (X509, AUTHORITY):
                proven = SIGNED if scheme == AUTHORITY and depth > 1 else None
                yield Case(
                    f"{algorithm}, chain of {depth}, {scheme}, {media_type}",
                    Envelope(chain=chain, scheme=scheme),
                    requirement=requirement | {"stores": ["authority" if scheme == AUTHORITY else "ours"]},
                    media_type=media_type,
                    warnings=1 if depth == 1 else 0,
                    signed_at=proven,
                )


def _whose() -> Iterator[Case]:
    yield Case("root by its fingerprint", Envelope(), requirement={"stores": ["ours by fingerprint"]})
    yield Case("root in one of two stores", Envelope(), requirement={"stores": ["another", "ours"]})
    yield Case("signs by itself", Envelope(chain=[ALONE]), requirement={"stores": ["alone"]})
    yield Case(
        "signs by itself, as authority",
        Envelope(chain=[ALONE], scheme=AUTHORITY),
        "untrusted-root",
        {"stores": ["alone as authority"]},
    )
    yield Case("root in no store", Envelope(), "untrusted-root", {"stores": ["another"]})
    yield Case("root of the same name", Envelope(), "untrusted-root", {"stores": ["namesake"]})
    yield Case("authority's root for a signer's", Envelope(), "untrusted-root", {"stores": ["authority"]})
    yield Case("signer's root for an authority's", Envelope(scheme=AUTHORITY), "untrusted-root")
    yield Case("time-stamper's root for a signer's", Envelope(), "untrusted-root", {"stores": ["stamps"]})
    yield Case("leaf put into a store as a root", Envelope(chain=[SIGNER]), "broken-chain")
    identity = "x509.subject: C=US, ST=WA, O=Example\\, Inc."
    for name, text, expected in (
        ("part of the subject", identity, "ok"),
        ("all of the subject", f"{identity}, CN=release", "ok"),
        ("S for ST, another order", "x509.subject:CN=release,O=Example\\2C Inc.,S=WA,C=US", "ok"),
        ("more than the subject", f"{identity}, OU=shop, CN=release", "wrong-identity"),
        ("another name", f"{identity}, CN=other", "wrong-identity"),
        ("another case", f"{identity}, CN=Release", "wrong-identity"),
        ("no O", "x509.subject: C=US, ST=WA, CN=release", "bad-identity"),
        ("two of O", f"{identity}, O=Example", "bad-identity"),
        ("of another kind", "mailto:release@example.com", "bad-identity"),
        ("a signing profile", PROFILE, "bad-identity"),
    ):
        yield Case(f"identity: {name}", Envelope(), expected, {"identities": [text]})
    twice = replace(Wanted(), subject=(*subject_of("release"), (NameOID.COMMON_NAME, "other")))
    for name in ("release", "other"):
        yield Case(
            f"identity: {name} of a subject with two names",
            Envelope(chain=[issue(twice, ec_key("signer"), ROOT), ROOT]),
            "wrong-identity",
            {"identities": [f"{identity}, CN={name}"]},
        )


def _leaves() -> Iterator[Case]:
    def leaf(name: str, wanted: Wanted, expected: str = "unsuitable-certificate", **more: Any) -> Case:
        key = more.pop("key", ec_key("signer"))
        return Case(f"leaf: {name}", Envelope(chain=[issue(wanted, key, ROOT), ROOT], **more), expected)

    plain = Wanted()
    yield leaf("no extended key usage", replace(plain, extended=()), "ok")
    yield leaf(
        "lifetime signing beside code signing",
        replace(
            plain, extended=(ExtendedKeyUsageOID.CODE_SIGNING, ObjectIdentifier("1.3.6.1.4.1.311.10.3.13"))
        ),
        "ok",
    )
    yield leaf("no authority, by its constraint", replace(plain, authority=False), "ok")
    yield leaf(
        "not to be repudiated", replace(plain, usage=("digital_signature", "content_commitment")), "ok"
    )
    yield leaf("an authority's", replace(plain, authority=True))
    yield leaf("no key usage", replace(plain, usage=None))
    yield leaf("key usage not critical", replace(plain, usage_critical=False))
    yield leaf("key usage without signatures", replace(plain, usage=("content_commitment",)))
    for usage in (
        ("key_encipherment",), ("data_encipherment",), ("key_agreement",), ("key_cert_sign",), ("crl_sign",),
        ("key_agreement", "encipher_only"), ("key_agreement", "decipher_only"),
    ):  # fmt: skip
        yield leaf(f"key usage with {usage[-1]}", replace(plain, usage=("digital_signature", *usage)))
    for purpose in (
        "ANY_EXTENDED_KEY_USAGE", "SERVER_AUTH", "CLIENT_AUTH", "EMAIL_PROTECTION", "TIME_STAMPING",
        "OCSP_SIGNING",
    ):  # fmt: skip
        purposes = (ExtendedKeyUsageOID.CODE_SIGNING, getattr(ExtendedKeyUsageOID, purpose))
        yield leaf(f"for {purpose} as well", replace(plain, extended=purposes))
    yield leaf("expired", replace(plain, end=NOW - DAY), "certificate-expired")
    yield leaf("expires this second", replace(plain, end=NOW), "ok")
    yield leaf("not yet valid", replace(plain, start=NOW + DAY), "certificate-not-yet-valid")
    yield leaf("valid from this second", replace(plain, start=NOW), "ok")
    small = rsa.generate_private_key(65537, 1024)
    yield leaf("RSA of 1024 bits", plain, key=small, algorithm="PS256")
    odd = rsa.generate_private_key(65537, 2560)
    yield leaf("RSA of 2560 bits", plain, "unsuitable-certificate", key=odd, algorithm="PS256")
    for serial in (-5, 0):
        yield Case(
            f"leaf: serial number {serial}",
            Envelope(chain=[with_serial(SIGNER, ROOT, serial), ROOT]),
        )
    sha1 = rewritten(SIGNER, ROOT, ECDSA_SHA256, ECDSA_SHA1)
    yield Case("leaf: signed over SHA-1", Envelope(chain=[sha1, ROOT]), "unsuitable-certificate")
    yield leaf("signed over SHA-224", replace(plain, hashed_by=hashes.SHA224()))
    yield leaf("signed over SHA-512", replace(plain, hashed_by=hashes.SHA512()), "ok")
    abroad = (*subject_of("release")[1:], (NameOID.COUNTRY_NAME, "US"))
    yield leaf("another order of attributes", replace(plain, subject=abroad), "ok")


def _chains() -> Iterator[Case]:
    def chain(name: str, *certificates: Issued, expected: str = "broken-chain") -> Case:
        return Case(f"chain: {name}", Envelope(chain=certificates), expected)

    below = issue(Wanted(), ec_key("signer"), MIDDLE)
    yield chain("without its root", SIGNER)
    yield chain("without what is between", below, ROOT)
    yield chain("out of order", below, ROOT, MIDDLE)
    yield chain("root twice", SIGNER, ROOT, ROOT)
    yield chain("one that has nothing to do with it", SIGNER, ROOT, TSA_ROOT)
    yield chain("self-signed, below a root", ALONE, ROOT)
    yield chain("signed by a namesake of the root", SIGNER, issue(CA, ec_key("namesake")))
    other = issue(replace(CA, name="middle", serial=2), ec_key("another middle"), ROOT)
    yield chain("signed by a namesake of the one between", below, other, ROOT)
    for name, wanted in (
        ("no authority", replace(CA, name="middle", authority=None)),
        ("no authority, by its constraint", replace(CA, name="middle", authority=False)),
        ("constraint not critical", replace(CA, name="middle", constraint_critical=False)),
        ("no key usage", replace(CA, name="middle", usage=None)),
        ("key usage not critical", replace(CA, name="middle", usage_critical=False)),
        ("key usage without certificates", replace(CA, name="middle", usage=("crl_sign",))),
        ("a leaf's", replace(Wanted(), name="middle")),
    ):
        middle = issue(replace(wanted, serial=2), ec_key("middle"), ROOT)
        yield chain(f"one between: {name}", below, middle, ROOT, expected="unsuitable-certificate")
    expired = issue(replace(CA, name="middle", end=NOW - DAY), ec_key("middle"), ROOT)
    yield chain("one between: expired", below, expired, ROOT, expected="certificate-expired")
    lower = issue(replace(CA, name="lower", serial=3), ec_key("lower"), MIDDLE)
    lowest = issue(Wanted(), ec_key("signer"), lower)
    yield chain("longer than allowed", lowest, lower, MIDDLE, ROOT, expected="unsuitable-certificate")
    wide = issue(replace(CA, name="middle", path_length=1, serial=2), ec_key("middle"), ROOT)
    yield chain("as long as allowed", lowest, lower, wide, ROOT, expected="ok")
    edwards = issue(CA, ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)))
    signed_by_it = issue(Wanted(), ec_key("signer"), edwards)
    yield chain("signed with Ed25519", signed_by_it, edwards, expected="unsuitable-certificate")
    # Of a leaf and a root of one name, as the Notary Project's own samples have it.
    namesake = issue(replace(Wanted(), name="root", serial=9), ec_key("signer"), ROOT)
    yield chain("leaf of the root's name", namesake, ROOT, expected="ok")
    yield chain("nine of them", *[SIGNER] * 9, expected="malformed-envelope")


def _revocation() -> Iterator[Case]:
    where = [x509.UniformResourceIdentifier("http://revocation.example/")]
    lists = x509.CRLDistributionPoints([x509.DistributionPoint(where, None, None, None)])
    access = x509.AuthorityInformationAccessOID
    responder = x509.AuthorityInformationAccess([x509.AccessDescription(access.OCSP, where[0])])
    issuers = x509.AuthorityInformationAccess([x509.AccessDescription(access.CA_ISSUERS, where[0])])
    for name, extension in (("a list", lists), ("a responder", responder)):
        leaf = issue(replace(Wanted(), more=[extension]), ec_key("signer"), ROOT)
        envelope = Envelope(chain=[leaf, ROOT])
        yield Case(f"revocation: {name}", envelope, "revocation-not-checked")
        yield Case(f"revocation: {name}, skipped", envelope, requirement={"revocation": "skip"}, warnings=1)
        yield Case(
            f"revocation: {name}, permissive", envelope, requirement={"level": "permissive"}, warnings=1
        )
        middle = issue(replace(CA, name="middle", serial=2, more=[extension]), ec_key("middle"), ROOT)
        below = issue(Wanted(), ec_key("signer"), middle)
        yield Case(
            f"revocation: {name}, of the one between",
            Envelope(chain=[below, middle, ROOT]),
            "revocation-not-checked",
        )
    leaf = issue(replace(Wanted(), more=[issuers]), ec_key("signer"), ROOT)
    yield Case("revocation: where issuers are, only", Envelope(chain=[leaf, ROOT]))
    alone = issue(replace(Wanted(), name="alone", more=[lists]), ec_key("alone"))
    yield Case(
        "revocation: a list, of one that signs by itself, at audit",
        Envelope(chain=[alone]),
        requirement={"level": "audit"},
        warnings=1,
    )
    authority = issue(replace(TSA, more=[lists]), ec_key("stamps"), TSA_MIDDLE)
    stamped = Envelope(token=Token(authority=authority))
    both: dict[str, Any] = {"stores": ["ours", "stamps"]}
    yield Case("revocation: a list, of a time-stamper", stamped, "revocation-not-checked", both)
    yield Case(
        "revocation: a list, of a time-stamper, skipped",
        stamped,
        requirement=both | {"revocation": "skip"},
        warnings=1,
        signed_at=Token().at,
    )


def _expiry() -> Iterator[Case]:
    for media_type in (JWS, COSE):
        for name, expiry, expected in (
            ("later", NOW + DAY, "ok"), ("this second", NOW, "expired"), ("earlier", NOW - DAY, "expired"),
            ("before it was signed", SIGNED, "malformed-envelope"),
        ):  # fmt: skip
            yield Case(
                f"expiry: {name}, {media_type}", Envelope(expiry=expiry), expected, media_type=media_type
            )
    expired = Envelope(expiry=NOW - DAY)
    yield Case("expiry: earlier, permissive", expired, requirement={"level": "permissive"}, warnings=1)
    yield Case(
        "expiry: earlier, of another's, at audit",
        expired,
        requirement={"level": "audit", "stores": ["another"], "identities": ["x509.subject:C=A,ST=B,O=C"]},
        warnings=2,
    )


def _contents() -> Iterator[Case]:
    for name, content, expected in (
        ("annotations", payload(annotations={"stage": "production"}), "ok"),
        ("of another image", payload(OTHER), "signed-other-digest"),
        ("of another hash", payload("sha512:" + 128 * "0"), "malformed-digest"),
        ("in capitals", payload(DIGEST.upper()), "malformed-digest"),
        ("no digest", payload(digest=None), "malformed-digest"),  # type: ignore[arg-type]
        ("no media type", payload(mediaType=""), "malformed-payload"),
        ("a size below zero", payload(size=-1), "malformed-payload"),
        ("a size in text", payload(size="528"), "malformed-payload"),
        ("a size that is true", payload(size=True), "malformed-payload"),
        ("annotations that are a list", payload(annotations=["a"]), "malformed-payload"),
        ("annotations that are numbers", payload(annotations={"a": 1}), "malformed-payload"),
        ("annotations of half a character", payload(annotations={"a": "\ud800"}), "malformed-json"),
        ("no target", compact({}), "malformed-payload"),
        ("a target that is text", compact({"targetArtifact": DIGEST}), "malformed-payload"),
        ("a list", compact([]), "malformed-payload"),
        ("two targets", payload()[:-1] + b"," + payload(OTHER)[1:], "malformed-json"),
        ("no JSON", b"image", "malformed-json"),
    ):
        yield Case(f"payload: {name}", Envelope(content=content), expected)
    yield Case("payload: of another type", Envelope(content_type="text/plain"), "wrong-content-type")


def _attributes() -> Iterator[Case]:
    plugin, version = NOTARY + "verificationPlugin", NOTARY + "verificationPluginMinVersion"
    for media_type in (JWS, COSE):
        for name, signed, critical, expected in (
            ("one more, to be understood", {"a.b": 1}, ["a.b"], "unknown-critical-attribute"),
            ("one more", {"a.b": 1}, [], "ok"),
            ("a plugin", {plugin: "org.example"}, [plugin], "unknown-plugin"),
            ("a plugin that does not matter", {plugin: "org.example"}, [], "malformed-envelope"),
            ("a plugin without a name", {plugin: " "}, [plugin], "malformed-envelope"),
            ("a plugin that is a number", {plugin: 7}, [plugin], "malformed-envelope"),
            (
                "a plugin's version", {plugin: "org.example", version: "1.0.0-rc.1+7"}, [plugin, version],
                "unknown-plugin",
            ),
            ("a version of no plugin", {version: "1.0.0"}, [version], "malformed-envelope"),
            (
                "a plugin's version that is none", {plugin: "org.example", version: "1.0"}, [plugin, version],
                "malformed-envelope",
            ),
            ("AWS Signer's plugin", {plugin: PLUGIN}, [plugin], "signed-by-aws-signer"),
            ("one listed, and not there", {}, ["a.b"], "malformed-envelope"),
            ("one listed twice", {"a.b": 1}, ["a.b", "a.b"], "malformed-envelope"),
            ("both times", {NOTARY + "authenticSigningTime": SIGNED}, [NOTARY + "authenticSigningTime"],
                "malformed-envelope"),
            ("an unknown scheme", {NOTARY + "signingScheme": "notary.x510"}, [], "unknown-signing-scheme"),
            ("a scheme that is a number", {NOTARY + "signingScheme": 7}, [], "unknown-signing-scheme"),
            ("a time that is none", {NOTARY + "signingTime": "yesterday"}, [], "malformed-envelope"),
        ):  # fmt: skip
            envelope = Envelope(signed=signed, critical=critical)
            yield Case(f"attributes: {name}, {media_type}", envelope, expected, media_type=media_type)
        for algorithm, expected in (("ES384", "wrong-algorithm"), ("PS256", "wrong-algorithm")):
            yield Case(
                f"attributes: says {algorithm}, {media_type}",
                Envelope(algorithm=algorithm),
                expected,
                media_type=media_type,
            )
    yield Case(
        "attributes: signed tomorrow, by an authority",
        Envelope(scheme=AUTHORITY, at=NOW + DAY),
        "signed-in-the-future",
        {"stores": ["authority"]},
    )
    yield Case("attributes: signed tomorrow, says a signer", Envelope(at=NOW + DAY))


BOTH: Mapping[str, Any] = {"stores": ["ours", "stamps"]}
# Its certificate is no longer valid NOW.
SHORT = issue(replace(Wanted(), start=SIGNED - DAY, end=SIGNED + DAY), ec_key("signer"), ROOT)


def _stamp(
    name: str,
    token: Token | None,
    expected: str = "ok",
    *,
    chain: Sequence[Issued] = (SHORT, ROOT),
    media_type: str = JWS,
    **more: Any,
) -> Case:
    return Case(
        f"time-stamp: {name}",
        Envelope(chain=chain, token=token),
        expected,
        {**BOTH, **more},
        media_type=media_type,
        signed_at=token.at if token and expected == "ok" else None,
    )


def _stamped() -> Iterator[Case]:
    yield _stamp("while the certificate was valid", Token())
    yield _stamp("in COSE", Token(), media_type=COSE)
    yield _stamp("wanted after the certificate expired", Token(), verifyTimestamp="afterCertExpiry")
    yield _stamp("not there", None, "no-timestamp")
    yield _stamp("not there, certificate valid", None, "no-timestamp", chain=[SIGNER, ROOT])
    yield _stamp(
        "not there, certificate valid, wanted after",
        None,
        chain=[SIGNER, ROOT],
        verifyTimestamp="afterCertExpiry",
    )
    yield _stamp("not looked at without a store", Token(), "certificate-expired", stores=["ours"])
    permissive = _stamp("not there, permissive", None, level="permissive")
    yield replace(permissive, warnings=1)
    yield _stamp("signed by another key", Token(wrong_signature=True), "wrong-timestamp")
    for name in ("sha384", "sha512"):
        yield _stamp(f"imprint by {name}", Token(imprint_hash=name))
        yield _stamp(f"certificate named by {name}", Token(certificate_hash=name))
    yield _stamp("imprint by SHA-1", Token(imprint_hash="sha1"), "wrong-timestamp")
    yield _stamp("certificate named by SHA-1", Token(certificate_hash="sha1"), "malformed-timestamp")
    yield _stamp("signed over SHA-1", Token(digest_hash="sha1"), "malformed-timestamp")
    yield _stamp("names no certificate", Token(names_certificate=False), "malformed-timestamp")
    yield _stamp("names another certificate", Token(named=TSA_MIDDLE), "unsuitable-certificate")
    yield _stamp("names one that is not there", Token(named=ROOT), "wrong-timestamp")
    yield _stamp("signed as something else", Token(signed_type=DATA), "malformed-timestamp")
    yield _stamp("of something else", Token(content_type=DATA), "malformed-timestamp")
    yield _stamp("version 2", Token(version=2), "malformed-timestamp")
    yield _stamp("signed twice", Token(signers=2), "malformed-timestamp")


def _stamped_at() -> Iterator[Case]:
    start, end, second = SIGNED - DAY, SIGNED + DAY, timedelta(seconds=1)
    late, early = "certificate-expired", "certificate-not-yet-valid"
    yield _stamp("after the certificate expired", Token(at=end + second), late)
    yield _stamp("before the certificate was valid", Token(at=start - second), early)
    yield _stamp("as the certificate expires", Token(at=end))
    yield _stamp("as the certificate expires, a second off", Token(at=end, accuracy=accuracy(1)), late)
    yield _stamp("off by less than is left", Token(at=end - 2 * second, accuracy=accuracy(1, 999, 999)))
    yield _stamp("off by a millisecond more", Token(at=end - second, accuracy=accuracy(1, 1)), late)
    yield _stamp("off by a microsecond more", Token(at=end, accuracy=accuracy(micros=1)), late)
    yield _stamp("off by more than it was valid", Token(at=start, accuracy=accuracy(micros=1)), early)
    baseline = Token(at=end, policy=BASELINE_POLICY)
    yield _stamp("by the baseline policy, as the certificate expires", baseline, late)
    yield _stamp("by the baseline policy", replace(baseline, at=end - second))
    # Who names an accuracy is believed, whatever the policy.
    yield _stamp(
        "by the baseline policy, more accurate", replace(baseline, at=end - second, accuracy=accuracy(0, 999))
    )
    yield _stamp("off by a year", Token(accuracy=accuracy(365 * 86400)), "malformed-timestamp")
    yield _stamp("off by longer than the world", Token(accuracy=accuracy(2**200)), "malformed-timestamp")
    yield _stamp("off by less than nothing", Token(accuracy=integer(-1)), "wrong-timestamp")
    yield _stamp("tomorrow", Token(at=NOW + DAY), "signed-in-the-future", chain=[SIGNER, ROOT])


def _stamped_by() -> Iterator[Case]:
    whole = Token(certificates=[stamper(), TSA_MIDDLE, TSA_ROOT])
    fingerprint = ["ours", "stamps by fingerprint"]
    others = Token(certificates=[stamper(), TSA_MIDDLE, ROOT, SIGNER, ALONE])
    stranger = Token(authority=stamper(issuer=ROOT), certificates=[stamper(issuer=ROOT), ROOT])
    yield _stamp("certificates in another order", Token(sort=False))
    yield _stamp("with its root", whole)
    yield _stamp("with its root, by its fingerprint", whole, stores=fingerprint)
    yield _stamp("without its root, by its fingerprint", Token(), "untrusted-timestamp", stores=fingerprint)
    yield _stamp("with certificates of others", others)
    yield _stamp("without certificates", Token(certificates=[]), "wrong-timestamp")
    yield _stamp("without the one between", Token(certificates=[stamper()]), "untrusted-timestamp")
    yield _stamp("of nobody's", stranger, "untrusted-timestamp")
    alone = issue(TSA, ec_key("stamps"))
    signs_by_itself = Token(authority=alone, certificates=[alone])
    yield _stamp("by one that signs by itself", signs_by_itself, "untrusted-timestamp")
    two = (ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.CODE_SIGNING)
    unsuitable = "unsuitable-certificate"
    for name, wanted, expected in (
        ("purpose not critical", replace(TSA, extended_critical=False), unsuitable),
        ("of two purposes", replace(TSA, extended=two), unsuitable),
        ("signs code", replace(Wanted(), extended_critical=True), unsuitable),
        ("no purpose", replace(TSA, extended=()), unsuitable),
        ("no key usage", replace(TSA, usage=None), unsuitable),
        ("key usage not critical", replace(TSA, usage_critical=False), "ok"),
        ("expired before", replace(TSA, end=SIGNED - DAY), "certificate-expired"),
        ("expired since", replace(TSA, end=SIGNED + DAY), "ok"),
        ("valid later only", replace(TSA, start=SIGNED + DAY), "certificate-not-yet-valid"),
    ):
        yield _stamp(f"by an authority: {name}", Token(authority=stamper(wanted)), expected)
    for serial in (-5, 0):
        odd = with_serial(stamper(), TSA_MIDDLE, serial)
        yield _stamp(f"by an authority: serial number {serial}", Token(authority=odd))


def _aws() -> Iterator[Case]:
    plugin, version = NOTARY + "verificationPlugin", NOTARY + "verificationPluginMinVersion"
    profile, job = "com.amazonaws.signer.signingProfileVersion", "com.amazonaws.signer.signingJob"
    chain = (AWS_SIGNER, AWS_MIDDLE, AWS_ROOT)
    signed = {plugin: PLUGIN, profile: PROFILE_VERSION, job: JOB}
    plain = Envelope(chain=chain, scheme=AUTHORITY, signed=signed, critical=[*signed])

    def case(name: str, envelope: Envelope, expected: str = "ok", media_type: str = JWS, **more: Any) -> Case:
        proven = envelope.at if expected == "ok" else None
        return Case(
            f"AWS Signer: {name}", envelope, expected, more, "awsSigner", media_type, signed_at=proven
        )

    yield case("by the profile", plain)
    yield case("by the profile's version", plain, profiles=[PROFILE_VERSION])
    yield case("by one of several", plain, profiles=[f"{PROFILE}_other", PROFILE])
    yield case("another profile", plain, "wrong-profile", profiles=[f"{PROFILE}_other"])
    yield case("another version", plain, "wrong-profile", profiles=[f"{PROFILE}/0therVersi"])
    yield case("another account", plain, "wrong-profile", profiles=[PROFILE.replace("1111", "4444")])
    yield case("root by its fingerprint", plain, "untrusted-root", store="alone as authority")
    yield case("AWS's own root", plain, "untrusted-root", store=None)
    yield case("a store of another type", plain, "bad-trust-store", store="ours")
    yield case("expires later", replace(plain, expiry=NOW + DAY))
    yield case("expired", replace(plain, expiry=NOW - DAY), "expired")
    yield case("after the leaf", replace(plain, at=SIGNED + 4 * DAY), "certificate-expired")
    yield case("before the leaf", replace(plain, at=SIGNED - 2 * DAY), "certificate-not-yet-valid")
    yield case("tomorrow", replace(plain, at=NOW + DAY), "signed-in-the-future")
    yield case("another image", replace(plain, content=payload(OTHER)), "signed-other-digest")
    yield case("in COSE", plain, "not-aws-signer", COSE)
    yield case("of another scheme", replace(plain, scheme=X509), "not-aws-signer")
    yield case("of another plugin", replace(plain, signed=signed | {plugin: "org.example"}), "not-aws-signer")
    ours = Envelope(
        chain=chain, scheme=AUTHORITY, signed={profile: PROFILE_VERSION, job: JOB}, critical=[profile, job]
    )
    yield case("of no plugin", ours, "not-aws-signer")
    for number, expected in (("1.0.350", "ok"), ("0.9.0", "ok"), ("2.0.0", "unknown-plugin-version")):
        envelope = replace(plain, signed=signed | {version: number}, critical=[*signed, version])
        yield case(f"version {number}", envelope, expected)
    for label in (profile, job):
        last = label.rpartition(".")[2]
        others = [one for one in signed if one != label]
        yield case(f"{last} not critical", replace(plain, critical=others), "not-aws-signer")
        missing = {one: signed[one] for one in others}
        yield case(f"no {last}", replace(plain, signed=missing, critical=others), "not-aws-signer")
        for text in (
            7,
            "",
            PROFILE,
            f"{signed[label]}/more",
            f"{signed[label]}\n",
            signed[label].replace("signer", "s3", 1),
        ):
            yield case(f"{last} is {text!r}", replace(plain, signed=signed | {label: text}), "not-aws-signer")
    more = replace(plain, signed=signed | {"a.b": 1}, critical=[*signed, "a.b"])
    yield case("one more, to be understood", more, "unknown-critical-attribute")
    yield Case("AWS Signer: by a requirement notation", plain, "signed-by-aws-signer", {"stores": ["signer"]})


def cases() -> Iterator[Case]:
    for group in (
        _every_algorithm, _whose, _leaves, _chains, _revocation, _expiry, _contents, _attributes,
        _stamped, _stamped_at, _stamped_by, _aws,
    ):  # fmt: skip
        yield from group()


def main() -> None:
    written = {case.name: case.write() for case in cases()}
    FILE.write_text(json.dumps({"stores": STORES, "cases": written}, indent=1) + "\n")


if __name__ == "__main__":
    main()
