"""Signature envelopes of the Notary Project: what they say, and whether their key signed it.

::

    application/jose+json                            application/cose
    {                                                18([
      "payload":   base64url(payload),                 << {1: alg, 2: crit, 3: cty, "io.cncf...": ...} >>,
      "protected": base64url({"alg", "crit",           {33: [<< leaf >>, ..., << root >>],
                    "cty", "io.cncf.notary..."}),       "io.cncf.notary.timestampSignature": << token >>},
      "header":    {"x5c": [base64(leaf), ...]},       << payload >>,
      "signature": base64url(signature)                << signature >>
    }                                                ])
    signed: protected "." payload                    signed: ["Signature1", protected, h'', payload]

Sources: specs/signature-envelope-jws.md and specs/signature-envelope-cose.md of
https://github.com/notaryproject/specifications at d4b62b9; RFC 7515, 7797 and 9052. By hand: the libraries
for JWS know none of the critical headers, and refuse them.

A library that reads more than it is asked to is how envelopes come to mean two things. So there is one way to
write each: no duplicate keys, no base64 with bits to spare, no CBOR of indefinite length, no tags but those
above and the one of times.
"""

import base64
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from hooks.image_trust import strict_base64, strict_json
from hooks.image_trust.finding import Rejected
from hooks.image_trust.formats.chain import MAX_CERTIFICATE_BYTES, MAX_CERTIFICATES, Certificate
from shared.errors import shown

JWS = "application/jose+json"
COSE = "application/cose"

# Envelopes with a chain of three and a time-stamp have ten thousand bytes.
MAX_ENVELOPE_BYTES = 256 * 1024
MAX_HEADER_BYTES = 32 * 1024
MAX_TIMESTAMP_BYTES = 64 * 1024
MAX_CRITICAL = 32
# An envelope has four: the tag, its array, the map, the chain; a header three.
MAX_CBOR_DEPTH = 8
# And with all that is in them about thirty items.
MAX_CBOR_ITEMS = 1000

SCHEME = "io.cncf.notary.signingScheme"
SIGNING_TIME = "io.cncf.notary.signingTime"
AUTHENTIC_SIGNING_TIME = "io.cncf.notary.authenticSigningTime"
EXPIRY = "io.cncf.notary.expiry"
PLUGIN = "io.cncf.notary.verificationPlugin"
PLUGIN_MIN_VERSION = "io.cncf.notary.verificationPluginMinVersion"
TIMESTAMP = "io.cncf.notary.timestampSignature"
# Those that have to be marked critical wherever they stand. The time of a signature is informational.
_MUST_BE_CRITICAL = frozenset({SCHEME, AUTHENTIC_SIGNING_TIME, EXPIRY, PLUGIN, PLUGIN_MIN_VERSION})
_KNOWN = _MUST_BE_CRITICAL | {SIGNING_TIME}

_HASHES: Mapping[str, type[hashes.SHA256 | hashes.SHA384 | hashes.SHA512]] = {
    "256": hashes.SHA256,
    "384": hashes.SHA384,
    "512": hashes.SHA512,
}
ALGORITHMS = frozenset(f"{kind}{bits}" for kind in ("PS", "ES") for bits in _HASHES)
# https://www.iana.org/assignments/cose/cose.xhtml#algorithms
_COSE_ALGORITHMS = {
    -7: "ES256", -35: "ES384", -36: "ES512", -37: "PS256", -38: "PS384", -39: "PS512",
}  # fmt: skip

# https://semver.org/#is-there-a-suggested-regular-expression-regex-to-check-a-semver-string
_SEMVER = re.compile(
    r"(?:0|[1-9][0-9]{0,8})(?:\.(?:0|[1-9][0-9]{0,8})){2}"
    r"(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)


class Scheme(StrEnum):
    """Who says when it was signed; source: specs/signing-scheme.md."""

    X509 = "notary.x509"
    """The signer does, and so nobody: a time-stamp may prove it."""
    SIGNING_AUTHORITY = "notary.x509.signingAuthority"
    """A service that signs for others, and is trusted with the time as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What an envelope says; nothing of it is verified."""

    algorithm: str
    """``PS256`` to ``ES512``, in COSE as well."""
    payload: bytes
    content_type: str
    """Of the payload."""
    signed: bytes
    """The message under the signature: protected header and payload."""
    signature: bytes
    chain: tuple[bytes, ...]
    """DER of the certificates, leaf first."""
    scheme: Scheme
    signing_time: datetime
    """Claimed by the signer, or told by the signing authority."""
    expiry: datetime | None
    plugin: str | None
    """What has to take part in the verification."""
    plugin_min_version: str | None
    critical: Mapping[int | str, object]
    """Attributes beyond the above that have to be understood."""
    timestamp: bytes | None
    """A token of RFC 3161 over the signature; not under it."""


def parse(content: bytes, media_type: str) -> Envelope:
    """Read an envelope.

    Raises
    ------
    Rejected
        ``unknown-envelope``, ``too-large``, ``malformed-json``, ``malformed-base64``, ``malformed-envelope``,
        ``unsupported-algorithm``, ``unknown-signing-scheme``.
    """
    if media_type not in {JWS, COSE}:
        raise Rejected(
            "unknown-envelope", f"expected an envelope of type {JWS} or {COSE}, got {shown(media_type)}"
        )
    if len(content) > MAX_ENVELOPE_BYTES:
        raise Rejected(
            "too-large", f"the envelope has {len(content)} bytes, at most {MAX_ENVELOPE_BYTES} are read"
        )
    return _parse_jws(content) if media_type == JWS else _parse_cose(content)


def open_payload(envelope: Envelope, leaf: Certificate) -> bytes:
    """Return what was signed, once its signature was verified.

    Raises
    ------
    Rejected
        ``wrong-algorithm`` when it is not the one of the leaf's key, ``wrong-signature``.
    """
    # The key says how it signs, whatever the envelope claims.
    if envelope.algorithm != leaf.algorithm:
        raise Rejected(
            "wrong-algorithm",
            f"the envelope says {envelope.algorithm}, the key of {leaf} signs with {leaf.algorithm}",
        )
    digest = _HASHES[leaf.algorithm[2:]]()
    try:
        if isinstance(leaf.key, rsa.RSAPublicKey):
            # The salt is as long as the hash: RFC 7518, section 3.5, and RFC 8230, section 2.
            scheme = padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH)
            leaf.key.verify(envelope.signature, envelope.signed, scheme, digest)
        else:
            leaf.key.verify(_der(envelope.signature, leaf.key), envelope.signed, ec.ECDSA(digest))
    except (InvalidSignature, ValueError) as error:
        raise Rejected("wrong-signature", f"the signature is not one by the key of {leaf}") from error
    return envelope.payload


def _der(signature: bytes, key: ec.EllipticCurvePublicKey) -> bytes:
    """Turn r ‖ s into what OpenSSL reads."""
    half = (key.curve.key_size + 7) // 8
    if len(signature) != 2 * half:
        raise ValueError(f"{len(signature)} bytes, expected {2 * half}")
    return encode_dss_signature(int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))


def _malformed(text: str) -> Rejected:
    return Rejected("malformed-envelope", f"the envelope: {text}")


# --- What both have --------------------------------------------------------------------------------


def _attributes(
    protected: Mapping[Any, Any],
    critical: object,
    registered: Collection[int | str],
    read_time: Callable[[object, str], datetime],
) -> dict[str, Any]:
    """Read the signed attributes, and hold their critical ones against the list of them, both ways."""
    listed = _critical(critical, registered)
    if missing := [label for label in listed if label not in protected]:
        raise _malformed(f"{shown(missing[0])} is marked critical and is not there")
    if unmarked := sorted(label for label in _MUST_BE_CRITICAL if label in protected and label not in listed):
        raise _malformed(f"{unmarked[0]} is not marked critical")
    times = {
        label: read_time(protected[label], label)
        for label in (SIGNING_TIME, AUTHENTIC_SIGNING_TIME, EXPIRY)
        if label in protected
    }
    scheme = _scheme(protected.get(SCHEME))
    is_authority = scheme is Scheme.SIGNING_AUTHORITY
    needed, forbidden = (
        (AUTHENTIC_SIGNING_TIME, SIGNING_TIME) if is_authority else (SIGNING_TIME, AUTHENTIC_SIGNING_TIME)
    )
    if needed not in times or forbidden in times:
        raise _malformed(f"an envelope of scheme {scheme.value} has {needed}, and no {forbidden}")
    expiry = times.get(EXPIRY)
    if expiry is not None and expiry <= times[needed]:
        raise _malformed(f"{EXPIRY} {expiry:%Y-%m-%dT%H:%M:%SZ} is not after the time of the signature")
    plugin, version = _plugin(protected)
    return {
        "scheme": scheme,
        "signing_time": times[needed],
        "expiry": expiry,
        "plugin": plugin,
        "plugin_min_version": version,
        "critical": {label: protected[label] for label in listed if label not in _KNOWN},
    }


def _critical(value: object, registered: Collection[int | str]) -> list[int | str]:
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= MAX_CRITICAL:
        raise _malformed(f"expected a list of 1 to {MAX_CRITICAL} critical attributes, got {shown(value)}")
    for label in value:
        # `type`, because True is an int, and equal to 1.
        if type(label) not in {int, str} or label in registered:
            raise _malformed(f"{shown(label)} can't be marked critical")
    if len(set(value)) != len(value):
        raise _malformed("a critical attribute is listed twice")
    return list(value)


def _scheme(value: object) -> Scheme:
    try:
        return Scheme(value)  # type: ignore[arg-type]  # which is what is found out
    except ValueError as error:
        raise Rejected(
            "unknown-signing-scheme", f"{SCHEME}: expected {', '.join(Scheme)}, got {shown(value)}"
        ) from error


def _plugin(protected: Mapping[Any, Any]) -> tuple[str | None, str | None]:
    plugin, version = protected.get(PLUGIN), protected.get(PLUGIN_MIN_VERSION)
    if PLUGIN in protected and (not isinstance(plugin, str) or not plugin.strip()):
        raise _malformed(f"{PLUGIN}: expected a name, got {shown(plugin)}")
    if PLUGIN_MIN_VERSION in protected:
        if PLUGIN not in protected:
            raise _malformed(f"{PLUGIN_MIN_VERSION} of no plugin")
        if not isinstance(version, str) or len(version) > 128 or not _SEMVER.fullmatch(version):
            raise _malformed(f"{PLUGIN_MIN_VERSION}: expected a version such as 1.0.0, got {shown(version)}")
    return plugin, version


def _check_disjoint(
    protected: Mapping[Any, Any], unprotected: Mapping[Any, Any], signed: Collection[Any]
) -> None:
    """Check that nothing is said twice, and nothing unsigned that only means something when it is signed."""
    if twice := [label for label in unprotected if label in protected or label in signed]:
        raise _malformed(f"{shown(twice[0])} stands in the header that is not signed")


def _chain(value: object) -> tuple[bytes, ...]:
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= MAX_CERTIFICATES:
        raise _malformed(f"expected a chain of 1 to {MAX_CERTIFICATES} certificates, got {shown(value)}")
    for der in value:
        if not isinstance(der, bytes) or not 0 < len(der) <= MAX_CERTIFICATE_BYTES:
            size = f"{len(der)} bytes" if isinstance(der, bytes) else shown(der)
            raise _malformed(f"expected a certificate of at most {MAX_CERTIFICATE_BYTES} bytes, got {size}")
    return tuple(value)


def _timestamp(value: object) -> bytes:
    if not isinstance(value, bytes) or not 0 < len(value) <= MAX_TIMESTAMP_BYTES:
        size = f"{len(value)} bytes" if isinstance(value, bytes) else shown(value)
        raise _malformed(f"expected a time-stamp of at most {MAX_TIMESTAMP_BYTES} bytes, got {size}")
    return value


# --- JWS -------------------------------------------------------------------------------------------

# RFC 7515, section 4.1, and RFC 7797: what `crit` can't list, and what means nothing outside `protected`.
_REGISTERED = frozenset({"alg", "jku", "jwk", "kid", "x5u", "x5c", "x5t", "x5t#S256", "typ", "cty", "crit"})
_ONLY_PROTECTED = frozenset({"alg", "crit", "cty", "b64"})
_MEMBERS = ("payload", "protected", "header", "signature")
_URL_ALPHABET = re.compile(r"[A-Za-z0-9_-]+")
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)


def _parse_jws(content: bytes) -> Envelope:
    document = strict_json.loads(content, "the envelope", limit_bytes=MAX_ENVELOPE_BYTES)
    if not isinstance(document, dict) or sorted(document) != sorted(_MEMBERS):
        raise _malformed(f"expected an object of {', '.join(_MEMBERS)} and no more, got {shown(document)}")
    encoded, protected_text = document["payload"], document["protected"]
    payload = _base64url(encoded, "payload")
    header = strict_json.loads(
        _base64url(protected_text, "protected"), "the protected header", limit_bytes=MAX_HEADER_BYTES
    )
    unprotected = document["header"]
    if not isinstance(header, dict) or not isinstance(unprotected, dict):
        raise _malformed("expected an object as header, signed and unsigned")
    _check_disjoint(header, unprotected, _ONLY_PROTECTED)
    algorithm = header.get("alg")
    # Among those that are not in it: none, and HS256, which would take the public key for a secret.
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise _unsupported(algorithm)
    chain = unprotected.get("x5c")
    token = unprotected.get(TIMESTAMP)
    return Envelope(
        algorithm=algorithm,
        payload=payload,
        content_type=_text(header.get("cty"), "cty"),
        signed=f"{protected_text}.{encoded}".encode(),
        signature=_base64url(document["signature"], "signature"),
        chain=_chain(
            [strict_base64.decode(text, "x5c") for text in chain] if isinstance(chain, list) else chain
        ),
        timestamp=_timestamp(strict_base64.decode(token, TIMESTAMP)) if TIMESTAMP in unprotected else None,
        **_attributes(header, header.get("crit"), _REGISTERED, _rfc3339),
    )


def _unsupported(algorithm: object) -> Rejected:
    return Rejected(
        "unsupported-algorithm",
        f"the envelope is signed with {shown(algorithm)}; expected one of {', '.join(sorted(ALGORITHMS))}",
    )


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise _malformed(f"{what}: expected text, got {shown(value)}")
    return value


def _base64url(value: object, what: str) -> bytes:
    """Decode RFC 7515's base64: without padding, and of one way to write the same octets."""
    if not isinstance(value, str) or not _URL_ALPHABET.fullmatch(value) or len(value) % 4 == 1:
        raise _malformed(f"{what}: expected base64url without padding, got {shown(value)}")
    octets = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
    if base64.urlsafe_b64encode(octets).rstrip(b"=") != value.encode():
        raise _malformed(f"{what}: its last character has bits that belong to no octet")
    return octets


def _rfc3339(value: object, what: str) -> datetime:
    text = value if isinstance(value, str) and _RFC3339.fullmatch(value) else ""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:  # the 30th of February; the year 0, or 10000 in UTC
        raise _malformed(
            f"{what}: expected a time such as 2022-04-06T07:01:20Z, got {shown(value)}"
        ) from error


# --- COSE ------------------------------------------------------------------------------------------

_ALG, _CRIT, _CONTENT_TYPE, _X5CHAIN = 1, 2, 3, 33
_COSE_SIGN1, _EPOCH_TIME = 18, 1


def _parse_cose(content: bytes) -> Envelope:
    import cbor2  # noqa: PLC0415  # few signatures are COSE

    # The tag of the envelope itself is its first byte: 0xd2, written the only short way.
    if content[:1] != bytes([0xC0 | _COSE_SIGN1]):
        raise _malformed("expected COSE_Sign1 with its tag, 18")
    parts = _load_cbor(content[1:], tags=frozenset())
    if not isinstance(parts, list | tuple) or len(parts) != 4:
        raise _malformed(f"expected four parts of COSE_Sign1, got {shown(parts)}")
    protected_bytes, unprotected, payload, signature = parts
    for name, value in (("protected", protected_bytes), ("payload", payload), ("signature", signature)):
        if not isinstance(value, bytes) or not value:
            raise _malformed(f"{name}: expected octets, got {shown(value)}")
    if len(protected_bytes) > MAX_HEADER_BYTES:
        raise Rejected("too-large", f"the protected header has more than {MAX_HEADER_BYTES} bytes")
    protected = _labelled(_load_cbor(protected_bytes, tags=frozenset({_EPOCH_TIME})))
    unprotected = _labelled(unprotected)
    _check_disjoint(protected, unprotected, (_ALG, _CRIT, _CONTENT_TYPE))
    algorithm = protected.get(_ALG)
    if type(algorithm) is not int or algorithm not in _COSE_ALGORITHMS:
        raise _unsupported(algorithm)
    return Envelope(
        algorithm=_COSE_ALGORITHMS[algorithm],
        payload=payload,
        content_type=_text(protected.get(_CONTENT_TYPE), "content type"),
        signed=cbor2.dumps(["Signature1", protected_bytes, b"", payload]),
        signature=signature,
        # "Optionally, this header can be presented in the protected header."
        chain=_chain(unprotected.get(_X5CHAIN, protected.get(_X5CHAIN))),
        timestamp=_timestamp(unprotected[TIMESTAMP]) if TIMESTAMP in unprotected else None,
        **_attributes(protected, protected.get(_CRIT), range(9), _epoch),
    )


def _labelled(value: object) -> Mapping[int | str, Any]:
    if not isinstance(value, Mapping):
        raise _malformed(f"expected a map as header, got {shown(value)}")
    for label in value:
        # `type`, because 33.0 and True are equal to labels, and found in their place.
        if type(label) not in {int, str}:
            raise _malformed(f"expected a number or text as label, got {shown(label)}")
    return value


def _epoch(value: object, what: str) -> datetime:
    # Only tag 1 is let through to the decoder, and it makes a time of nothing else.
    if not isinstance(value, datetime):
        raise _malformed(f"{what}: expected seconds since 1970 with tag 1, got {shown(value)}")
    return value.astimezone(UTC)


def _load_cbor(content: bytes, *, tags: Collection[int]) -> Any:
    """Decode one item with nothing after it, and with none but these *tags* inside."""
    import cbor2  # noqa: PLC0415

    _check_cbor(content, tags)
    try:
        return cbor2.loads(
            content, max_depth=MAX_CBOR_DEPTH, allow_indefinite=False, allow_duplicate_keys=False
        )
    # A time out of range, text that is no UTF-8, a map or a list as a label.
    except (cbor2.CBORError, ValueError, TypeError, OverflowError) as error:
        raise _malformed(f"it is not CBOR as it has to be: {shown(str(error))}") from error


def _check_cbor(content: bytes, tags: Collection[int]) -> None:
    """Walk through CBOR without building anything of it.

    What could cost more than its bytes, or mean more than it says, does not get to the decoder: lengths that
    reach past the end, nesting, items without end, tags (among them numbers of any size, references, regular
    expressions). https://www.rfc-editor.org/rfc/rfc8949.html#section-3
    """
    position = 0
    pending = [1]  # items that are still to come, at each level
    for _ in range(MAX_CBOR_ITEMS):
        pending[-1] -= 1
        major, argument, position = _head(content, position)
        if major in {2, 3}:
            position += argument
        if major == 6 and argument not in tags:
            raise _malformed(f"it is CBOR with the tag {argument}")
        if following := {4: argument, 5: 2 * argument, 6: 1}.get(major):
            pending.append(following)
        # An item has a byte at least.
        if position + pending[-1] > len(content) or len(pending) > MAX_CBOR_DEPTH + 1:
            raise _malformed(f"it is CBOR that ends too early, or nests deeper than {MAX_CBOR_DEPTH} levels")
        while pending and not pending[-1]:
            pending.pop()
        if not pending:
            if position < len(content):
                raise _malformed("it is CBOR with something after it")
            return
    raise _malformed(f"it is CBOR of more than {MAX_CBOR_ITEMS} items")


def _head(content: bytes, position: int) -> tuple[int, int, int]:
    """Return an item's major type, its argument, and where it goes on."""
    if position >= len(content):
        raise _malformed("it is CBOR that ends too early")
    major, low = divmod(content[position], 32)
    position += 1
    if low < 24:
        return major, low, position
    if low > 27:
        raise _malformed("it is CBOR with an item of indefinite length, or of none of its kinds")
    size = 1 << (low - 24)
    if position + size > len(content):
        raise _malformed("it is CBOR that ends too early")
    argument = int.from_bytes(content[position : position + size])
    return major, argument, position + size
