"""Public keys, and signatures made with them.

::

    key                       signature
    EC P-256                  ECDSA with SHA-256, in DER
    EC P-384                  ECDSA with SHA-384, in DER
    EC P-521                  ECDSA with SHA-512, in DER
    RSA, 2048 to 8192 bits    RSASSA-PKCS1-v1_5 with SHA-256
    Ed25519                   Ed25519 over the message itself

One way to sign for each key: whoever attaches a signature has no say in how it is verified. These are the
defaults of Sigstore's algorithm registry, and what AWS KMS signs with where cosign asks it to
(https://github.com/sigstore/architecture-docs/blob/main/algorithm-registry.md; ``GetDefaultAlgorithmDetails``
of https://github.com/sigstore/sigstore/blob/main/pkg/signature/algorithm_registry.go and its ``kms/aws``).
Ed25519ph is not among them, nor are the signatures with SHA-256 that cosign before 2.5 made with P-384 and
P-521 keys outside of KMS.
"""

import hashlib
import re
from dataclasses import dataclass, field
from enum import StrEnum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

from hooks.image_trust import strict_base64
from hooks.image_trust.finding import Digest, Rejected
from shared.errors import shown

MAX_KEY_BYTES = 16_384
"""As much as the policy takes for one; the PEM of the longest RSA key has about 1,500."""
MIN_RSA_BITS = 2048
"""NIST SP 800-131A: shorter ones are not to be relied on."""
MAX_RSA_BITS = 8192
"""A verification takes some milliseconds; longer keys only take longer."""
MAX_RSA_EXPONENT_BITS = 32
"""Everybody's is 65537. A long one turns each verification into the work of a signature."""

_PEM = re.compile(
    rb"\s*-----BEGIN PUBLIC KEY-----[ \t]*\r?\n"
    rb"(?P<body>[A-Za-z0-9+/=\s]+?)"
    rb"-----END PUBLIC KEY-----\s*"
)
_PEM_LABEL = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----")


class Algorithm(StrEnum):
    """How a key signs."""

    ECDSA_P256_SHA256 = "ECDSA P-256 with SHA-256"
    ECDSA_P384_SHA384 = "ECDSA P-384 with SHA-384"
    ECDSA_P521_SHA512 = "ECDSA P-521 with SHA-512"
    RSA_PKCS1_SHA256 = "RSA PKCS #1 v1.5 with SHA-256"
    ED25519 = "Ed25519"


_CURVES = {
    "secp256r1": Algorithm.ECDSA_P256_SHA256,
    "secp384r1": Algorithm.ECDSA_P384_SHA384,
    "secp521r1": Algorithm.ECDSA_P521_SHA512,
}
_HASHES: dict[Algorithm, hashes.HashAlgorithm] = {
    Algorithm.ECDSA_P256_SHA256: hashes.SHA256(),
    Algorithm.ECDSA_P384_SHA384: hashes.SHA384(),
    Algorithm.ECDSA_P521_SHA512: hashes.SHA512(),
    Algorithm.RSA_PKCS1_SHA256: hashes.SHA256(),
}

type _Handle = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key of a kind that is supported; made by :func:`load_public_key`."""

    algorithm: Algorithm
    der: bytes = field(repr=False)
    """SubjectPublicKeyInfo."""
    handle: _Handle = field(repr=False, compare=False)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of its DER, in hexadecimal."""
        return hashlib.sha256(self.der).hexdigest()

    def __str__(self) -> str:
        return f"{self.algorithm}, key {self.fingerprint[:16]}…"


def load_public_key(content: bytes) -> PublicKey:
    """Read a SubjectPublicKeyInfo, in PEM or DER; there must be nothing beside it.

    Raises
    ------
    Rejected
        ``unsupported-key``, whatever else it is.
    """
    if len(content) > MAX_KEY_BYTES:
        raise Rejected(
            "unsupported-key", f"a public key of {len(content)} bytes; at most {MAX_KEY_BYTES} are read"
        )
    der = content if content.startswith(b"\x30") else _from_pem(content)
    try:
        found = serialization.load_der_public_key(der)
    except Exception as error:  # OpenSSL's and the parser's own kinds are not all documented
        raise Rejected("unsupported-key", f"not a public key that can be read: {error}") from error
    key = as_public_key(found)
    # PKCS #1, keys bound to RSASSA-PSS, compressed points, bytes behind the end: read, but not written so.
    if key.der != der:
        raise Rejected(
            "unsupported-key",
            "expected a SubjectPublicKeyInfo as openssl pkey -pubin -pubout writes it, got another encoding",
        )
    return key


def as_public_key(found: object) -> PublicKey:
    """Take over a key of the cryptography package, such as a certificate's.

    Raises
    ------
    Rejected
        ``unsupported-key``.
    """
    match found:
        case ec.EllipticCurvePublicKey():
            algorithm = _CURVES.get(found.curve.name)
            if algorithm is None:
                raise Rejected(
                    "unsupported-key", f"a key on {found.curve.name}; supported are P-256, P-384 and P-521"
                )
        case rsa.RSAPublicKey():
            algorithm = Algorithm.RSA_PKCS1_SHA256
            exponent = found.public_numbers().e
            if not MIN_RSA_BITS <= found.key_size <= MAX_RSA_BITS:
                raise Rejected(
                    "unsupported-key",
                    f"an RSA key of {found.key_size} bits; supported are {MIN_RSA_BITS} to {MAX_RSA_BITS}",
                )
            if exponent.bit_length() > MAX_RSA_EXPONENT_BITS:
                raise Rejected(
                    "unsupported-key",
                    f"an RSA key with an exponent of {exponent.bit_length()} bits; "
                    f"supported are at most {MAX_RSA_EXPONENT_BITS}",
                )
        case ed25519.Ed25519PublicKey():
            algorithm = Algorithm.ED25519
        case _:
            raise Rejected(
                "unsupported-key", f"a key of the kind {type(found).__name__}; supported are EC, RSA, Ed25519"
            )
    der = found.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(algorithm, der, found)


def check_signature(key: PublicKey, signature: bytes, message: bytes) -> None:
    """Return only if *signature* is the key's, over *message*.

    Raises
    ------
    Rejected
        ``wrong-signature``.
    """
    _verify(key, signature, message, _HASHES.get(key.algorithm))


def check_signature_of_digest(key: PublicKey, signature: bytes, digest: Digest) -> None:
    """Return only if *signature* is the key's, over what has this SHA-256, whatever that is.

    Raises
    ------
    Rejected
        ``wrong-signature``; ``needs-artifact`` for keys that do not sign a SHA-256.
    """
    if not isinstance(_HASHES.get(key.algorithm), hashes.SHA256):
        raise Rejected(
            "needs-artifact",
            f"a signature with {key.algorithm} is not over a SHA-256; an image's digest is not enough for it",
        )
    content = bytes.fromhex(digest.removeprefix("sha256:"))
    _verify(key, signature, content, utils.Prehashed(hashes.SHA256()))


type _Hashed = hashes.HashAlgorithm | utils.Prehashed | None


def _verify(key: PublicKey, signature: bytes, message: bytes, hashed: _Hashed) -> None:
    try:
        _ask_openssl(key.handle, signature, message, hashed)
    except InvalidSignature as error:
        raise Rejected(
            "wrong-signature", f"the signature is not by {key}, or is over something else"
        ) from error
    except Exception as error:  # whatever stopped it: what is not verified does not hold
        raise Rejected("wrong-signature", f"the signature can't be verified by {key}: {error}") from error


def _ask_openssl(handle: _Handle, signature: bytes, message: bytes, hashed: _Hashed) -> None:
    match handle:
        case ec.EllipticCurvePublicKey() if hashed is not None:
            handle.verify(signature, message, ec.ECDSA(hashed))
        case rsa.RSAPublicKey() if hashed is not None:
            handle.verify(signature, message, padding.PKCS1v15(), hashed)
        case ed25519.Ed25519PublicKey() if hashed is None:
            handle.verify(signature, message)
        case _:
            raise TypeError("a key and a way to sign that do not belong together")


def _from_pem(content: bytes) -> bytes:
    found = _PEM.fullmatch(content)
    if found is None:
        label = _PEM_LABEL.search(content)
        seen = f"a PEM block {shown(label[1].decode())}" if label else "something else"
        # Never the content: what is mistaken for a public key may be a private one.
        raise Rejected(
            "unsupported-key", f"expected one PEM block 'PUBLIC KEY' and nothing beside it, got {seen}"
        )
    try:
        return strict_base64.decode(b"".join(found["body"].split()).decode("ascii"), "the PEM block")
    except Rejected as error:
        raise Rejected("unsupported-key", "the PEM block 'PUBLIC KEY' is not base64") from error
