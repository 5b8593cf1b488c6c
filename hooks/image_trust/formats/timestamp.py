"""Time-stamps of RFC 3161: proof, by an authority's signature, that some bytes were there at a time.

::

    ContentInfo { id-signedData, [0] SignedData {
        version, digestAlgorithms,
        encapContentInfo { id-ct-TSTInfo, [0] TSTInfo { imprint of the bytes, genTime, accuracy, ... } },
        certificates [0],                                       not signed
        signerInfos { one SignerInfo {
            sid, digestAlgorithm,
            signedAttrs [0] { content-type, message-digest, signing-certificate-v2, ... },
            signatureAlgorithm, signature } } } }

Sources: RFC 3161, RFC 5652 (CMS), RFC 5816 (signing-certificate-v2), and "Validate Authentic Timestamp" in
specs/trust-store-trust-policy.md of https://github.com/notaryproject/specifications at d4b62b9.

rfc3161-client parses a token and verifies its signature. What it leaves out is done here: which certificate
the signature itself names, its chain to a trust store and what the Notary Project requires of that chain.
"""

import contextlib
import hashlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from hooks.image_trust.finding import Rejected
from hooks.image_trust.formats.chain import (
    MAX_CERTIFICATES,
    Anchors,
    Certificate,
    Chain,
    is_issued_by,
)
from shared.errors import shown

if TYPE_CHECKING:
    from rfc3161_client import TimeStampResponse, TimeStampTokenInfo

MAX_TOKEN_BYTES = 64 * 1024
# In a token: the authority's chain, and at times one that leads elsewhere.
MAX_TOKEN_CERTIFICATES = 16
# Of one SEQUENCE or SET: none here has a dozen.
MAX_ELEMENTS = 64
# Accuracies are of seconds; one of years would prove nothing.
MAX_ACCURACY = timedelta(days=1)

# Object identifiers, as they stand in a token.
_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
_TST_INFO = bytes.fromhex("060b2a864886f70d0109100104")
_CONTENT_TYPE = bytes.fromhex("06092a864886f70d010903")
_SIGNING_CERTIFICATE_V2 = bytes.fromhex("060b2a864886f70d010910022f")
_HASHES = {
    bytes.fromhex("0609608648016503040201"): "sha256",
    bytes.fromhex("0609608648016503040202"): "sha384",
    bytes.fromhex("0609608648016503040203"): "sha512",
}
# Signature algorithms, and over which hash each is; rsaEncryption leaves that to the digest algorithm.
_SIGNATURES = {
    bytes.fromhex("06092a864886f70d010101"): None,
    bytes.fromhex("06092a864886f70d01010b"): "sha256",
    bytes.fromhex("06092a864886f70d01010c"): "sha384",
    bytes.fromhex("06092a864886f70d01010d"): "sha512",
    bytes.fromhex("06082a8648ce3d040302"): "sha256",
    bytes.fromhex("06082a8648ce3d040303"): "sha384",
    bytes.fromhex("06082a8648ce3d040304"): "sha512",
}
# RFC 3628, section 5.2: who issues under this policy and names no accuracy has one of a second.
_BASELINE_POLICY = "0.4.0.2023.1.1"

_INTEGER, _OCTETS, _OBJECT_IDENTIFIER, _TIME, _SEQUENCE, _SET = 0x02, 0x04, 0x06, 0x18, 0x30, 0x31
_FIRST, _MILLIS, _MICROS = 0xA0, 0x80, 0x81


@dataclass(frozen=True, slots=True)
class Stamp:
    """A time that is proven."""

    at: datetime
    accuracy: timedelta
    chain: Chain
    """Of the authority."""

    @property
    def earliest(self) -> datetime:
        """When it was at the earliest."""
        return self.at - self.accuracy

    @property
    def latest(self) -> datetime:
        """When it was at the latest."""
        return self.at + self.accuracy


def verify(token: bytes, message: bytes, anchors: Anchors) -> Stamp:
    """Verify a time-stamp over *message* by an authority that the *anchors* vouch for.

    Its certificates have to be valid at the time that it says; whether they are revoked is not asked.

    Raises
    ------
    Rejected
        ``malformed-timestamp``, ``wrong-timestamp`` where it is of other bytes or not signed by whom it says,
        ``untrusted-timestamp``, ``unsuitable-certificate``, ``certificate-expired``,
        ``certificate-not-yet-valid``.
    """
    if len(token) > MAX_TOKEN_BYTES:
        raise _malformed(f"it has {len(token)} bytes, at most {MAX_TOKEN_BYTES} are read")
    parts = _parse(token)
    leaf = _named(parts)
    chain = _chain(leaf, parts.certificates, anchors)
    info = _signed_by(chain, parts.token, message)
    return Stamp(info.gen_time.astimezone(UTC), _accuracy(parts, info), chain)


def _malformed(text: str) -> Rejected:
    return Rejected("malformed-timestamp", f"the time-stamp: {text}")


def _wrong(text: str) -> Rejected:
    return Rejected("wrong-timestamp", f"the time-stamp: {text}")


# --- Whose it is -----------------------------------------------------------------------------------


def _named(parts: "_Parts") -> Certificate:
    """Find the certificate that the signed attributes name by its hash."""
    for der in parts.certificates:
        if hashlib.new(parts.certificate_hash, der).digest() == parts.certificate_digest:
            return Certificate.load(der)
    raise _wrong("the certificate that signed it is not in it")


def _chain(leaf: Certificate, ders: Sequence[bytes], anchors: Anchors) -> Chain:
    """Find a way from *leaf* to a trusted root, through what is in the token and in the stores.

    By breadth: every certificate is come to once, however many lead to it, so that no token makes it long.
    """
    known = (*anchors.certificates, *_loadable(ders))
    reached = {leaf.sha256}
    paths: list[tuple[Certificate, ...]] = [(leaf,)]
    for path in paths:
        if anchors.trusts(path[-1]):
            chain = Chain.for_stamping_time(path)
            anchors.check(chain)
            return chain
        if len(path) == MAX_CERTIFICATES:
            continue
        for issuer in known:
            if issuer.sha256 not in reached and is_issued_by(path[-1], issuer):
                reached.add(issuer.sha256)
                paths.append((*path, issuer))
    raise Rejected("untrusted-timestamp", f"no trust store of type tsa that the rule names leads to {leaf}")


def _loadable(ders: Sequence[bytes]) -> Iterator[Certificate]:
    """Yield those that are of any use: what else is in a token is nobody's signature."""
    for der in ders:
        with contextlib.suppress(Rejected):
            yield Certificate.load(der)


def _accuracy(parts: "_Parts", info: "TimeStampTokenInfo") -> timedelta:
    """Return how far off the time can be.

    ::

        Accuracy ::= SEQUENCE { seconds INTEGER OPTIONAL, millis [0] (1..999) OPTIONAL, micros [1] OPTIONAL }

    By hand: rfc3161-client leaves out seconds that it has no room for, as if there were none.
    """
    found = {one.tag: one.content for one in parts.accuracy.elements()} if parts.accuracy else {}
    if found.keys() - {_INTEGER, _MILLIS, _MICROS} or any(len(octets) > 4 for octets in found.values()):
        raise _malformed("its accuracy is none of RFC 3161, or beyond all bounds")
    seconds, millis, micros = (
        int.from_bytes(found.get(tag, b""), signed=True) for tag in (_INTEGER, _MILLIS, _MICROS)
    )
    accuracy = timedelta(seconds=seconds, milliseconds=millis, microseconds=micros)
    if not timedelta(0) <= accuracy <= MAX_ACCURACY:
        raise _malformed(f"an accuracy of {shown(seconds)} seconds; at most {MAX_ACCURACY} proves anything")
    if not accuracy and info.policy.dotted_string == _BASELINE_POLICY:
        return timedelta(seconds=1)
    return accuracy


# --- Whether it is signed --------------------------------------------------------------------------


def _signed_by(chain: Chain, token: bytes, message: bytes) -> "TimeStampTokenInfo":
    """Verify the signature by the chain's leaf, and that what is under it is the hash of *message*.

    OpenSSL judges the chain as well, at the same time; the codes of a refusal are this module's.
    """
    leaf, *between, root = chain.certificates
    with _verifying():
        from rfc3161_client import VerifierBuilder, decode_timestamp_response  # noqa: PLC0415  # if there is one

        response: TimeStampResponse = decode_timestamp_response(_granted(token))
        info = response.tst_info
        if info.version != 1:
            raise _malformed(f"expected version 1, got {shown(info.version)}")
        at = info.gen_time.astimezone(UTC)
        chain.check_valid(at, at, "the time of the time-stamp")
        verifier = VerifierBuilder(
            tsa_certificate=leaf.parsed,
            intermediates=[one.parsed for one in between],
            roots=[root.parsed],
        ).build()
        if verifier.verify_message(response, message) is not True:
            raise _wrong("it does not hold")
        return info


@contextlib.contextmanager
def _verifying() -> Iterator[None]:
    """Turn whatever the library raises into ``Rejected``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of serial numbers that are not positive
        try:
            yield
        except Rejected:
            raise
        except ImportError as error:
            raise Rejected(
                "timestamp-not-verified",
                "the rule needs a time-stamp verified, and this function was built without rfc3161-client; "
                "build it with keyless rules",
            ) from error
        # VerificationError, ValueError of the parser, and what cryptography raises of certificates.
        except Exception as error:
            raise _wrong(f"it does not hold: {shown(str(error))}") from error
        # A panic of its Rust code is none of Exception's kind. All else that is not ends the process.
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise
            raise _malformed("the parser gave up on it") from error


def _granted(token: bytes) -> bytes:
    """Wrap a token into the response that it came in: TimeStampResp { { granted }, token }."""
    return _der(_SEQUENCE, _der(_SEQUENCE, _der(_INTEGER, b"\0")) + token)


# --- DER -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Element:
    """One element: its tag, and where in the token it stands."""

    data: bytes
    tag: int
    start: int
    """Of the tag."""
    inner: int
    """Of its content."""
    stop: int

    @property
    def whole(self) -> bytes:
        return self.data[self.start : self.stop]

    @property
    def content(self) -> bytes:
        return self.data[self.inner : self.stop]

    def elements(self) -> list["_Element"]:
        """Read what it is made of."""
        found: list[_Element] = []
        position = self.inner
        while position < self.stop:
            if len(found) == MAX_ELEMENTS:
                raise _malformed(f"more than {MAX_ELEMENTS} elements in one")
            element = _element(self.data, position, self.stop)
            found.append(element)
            position = element.stop
        return found

    def take(self, *tags: int) -> list["_Element"]:
        """Read what it is made of, which has to begin with these *tags*."""
        found = self.elements()
        if [one.tag for one in found[: len(tags)]] != list(tags):
            raise _malformed("its parts are not those of RFC 3161")
        return found


def _element(data: bytes, start: int, end: int) -> _Element:
    """Read one element of definite length, with a tag of one byte."""
    if end - start < 2 or data[start] & 0x1F == 0x1F:
        raise _malformed("it ends too early, or has a tag that is none of RFC 3161's")
    length, inner = data[start + 1], start + 2
    if length >= 0x80:
        size = length - 0x80
        # None, or 0x80 alone: of a length that only its end tells, as BER has it and DER does not.
        if not 1 <= size <= 3 or inner + size > end:
            raise _malformed("it is not DER: a length without end, or beyond all bounds")
        length = int.from_bytes(data[inner : inner + size])
        inner += size
    if inner + length > end:
        raise _malformed("it ends too early")
    return _Element(data, data[start], start, inner, inner + length)


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(length)]) + length + content


@dataclass(frozen=True, slots=True)
class _Parts:
    """What is read by hand from a token."""

    token: bytes
    """With its certificates in order."""
    certificates: tuple[bytes, ...]
    certificate_hash: str
    certificate_digest: bytes
    """Of the certificate that signed, according to what is signed."""
    accuracy: "_Element | None"


def _parse(token: bytes) -> _Parts:
    outer = _element(token, 0, len(token))
    if outer.tag != _SEQUENCE or outer.stop != len(token):
        raise _malformed("it is not one SEQUENCE")
    kind, wrapped = outer.take(_OBJECT_IDENTIFIER, _FIRST)[:2]
    if kind.whole != _SIGNED_DATA:
        raise _malformed("it is no signed data of CMS")
    (signed_data,) = _only(wrapped, _SEQUENCE)
    version, _, content, *rest = signed_data.take(_INTEGER, _SET, _SEQUENCE)
    _check_version(version, 3)
    kind, stamped = content.take(_OBJECT_IDENTIFIER, _FIRST)[:2]
    if kind.whole != _TST_INFO:
        raise _malformed("what it signs is no TSTInfo")
    certificates = next((one for one in rest if one.tag == _FIRST), None)
    if not rest or rest[-1].tag != _SET:
        raise _malformed("it has no signature")
    (signer,) = _only(rest[-1], _SEQUENCE)
    name, digest = _signing_certificate(_signed_attributes(signer))
    found = _certificates(certificates) if certificates else ()
    return _Parts(_sorted(token, certificates, found), found, name, digest, _said_accuracy(stamped))


def _said_accuracy(stamped: _Element) -> _Element | None:
    """Find the accuracy in a TSTInfo: what comes after the time, if it is a SEQUENCE."""
    (octets,) = _only(stamped, _OCTETS)
    (info,) = _only(octets, _SEQUENCE)
    *_, following = [*info.take(_INTEGER, _OBJECT_IDENTIFIER, _SEQUENCE, _INTEGER, _TIME), None][:6]
    return following if following and following.tag == _SEQUENCE else None


def _check_version(version: _Element, expected: int) -> None:
    if version.content != bytes([expected]):
        raise _malformed(f"expected version {expected} of CMS, got {shown(version.content)}")


def _only(element: _Element, tag: int) -> list[_Element]:
    """Read what has one part only."""
    found = element.take(tag)
    if len(found) != 1:
        raise _malformed(f"expected one part, or signature, got {len(found)}")
    return found


def _certificates(element: _Element) -> tuple[bytes, ...]:
    found = element.elements()
    if len(found) > MAX_TOKEN_CERTIFICATES or any(one.tag != _SEQUENCE for one in found):
        raise _malformed(f"expected at most {MAX_TOKEN_CERTIFICATES} X.509 certificates in it")
    return tuple(one.whole for one in found)


def _sorted(token: bytes, element: _Element | None, certificates: Sequence[bytes]) -> bytes:
    """Put the certificates in the order that DER has for a SET OF.

    Authorities of great names don't, and rfc3161-client refuses that. The certificates are not under the
    signature, so that nothing else changes.
    """
    if element is None:
        return token
    return token[: element.inner] + b"".join(sorted(certificates)) + token[element.stop :]


def _signed_attributes(signer: _Element) -> dict[bytes, _Element]:
    """Read the attributes under a signature; value by object identifier."""
    version, _, digest, attributes, signature, *_ = signer.take(
        _INTEGER, _SEQUENCE, _SEQUENCE, _FIRST, _SEQUENCE, _OCTETS
    )
    _check_version(version, 1)
    hashed_by = _HASHES.get(digest.take(_OBJECT_IDENTIFIER)[0].whole)
    algorithm = signature.take(_OBJECT_IDENTIFIER)[0].whole
    if hashed_by is None or _SIGNATURES.get(algorithm, "none") not in {None, hashed_by}:
        raise _malformed("it is not signed by RSA or ECDSA over SHA-256, SHA-384 or SHA-512")
    found: dict[bytes, _Element] = {}
    for attribute in attributes.elements():
        kind, values = attribute.take(_OBJECT_IDENTIFIER, _SET)[:2]
        if kind.whole in found:
            raise _malformed("an attribute stands twice under its signature")
        found[kind.whole] = values
    content_type = found.get(_CONTENT_TYPE)
    if content_type is None or content_type.content != _TST_INFO:
        raise _malformed("what is signed is not the type of its content")
    return found


def _signing_certificate(attributes: dict[bytes, _Element]) -> tuple[str, bytes]:
    """Return by which hash a signature names its certificate, and the hash.

    ::

        SigningCertificateV2 ::= SEQUENCE { certs SEQUENCE OF ESSCertIDv2, policies ... OPTIONAL }
        ESSCertIDv2 ::= SEQUENCE { hashAlgorithm DEFAULT sha256, certHash OCTET STRING, ... OPTIONAL }

    Source: RFC 5035, section 3.
    """
    values = attributes.get(_SIGNING_CERTIFICATE_V2)
    if values is None:
        raise _malformed("no signing-certificate-v2 under its signature says whose it is")
    (value,) = _only(values, _SEQUENCE)
    parts = value.take(_SEQUENCE)[0].take(_SEQUENCE)[0].elements()
    name: str | None = "sha256"
    if parts and parts[0].tag == _SEQUENCE:
        name = _HASHES.get(parts.pop(0).take(_OBJECT_IDENTIFIER)[0].whole)
    if name is None or not parts or parts[0].tag != _OCTETS:
        raise _malformed("signing-certificate-v2 names no certificate by SHA-256, SHA-384 or SHA-512")
    return name, parts[0].content
