"""Make cosign.json: what cosign attaches, for every kind of key; the same bytes each time.

Run it as ``python -m tests.hooks.image_trust.vectors.make_cosign`` from the repository's root. Its keys are
made from their names and are nobody's.

::

    keys        name: PEM
    manifest    the image's manifest, text
    classic     kind of key: payload, signature            a layer of .sig and its annotation
    attestation kind of key: envelope                      a layer of .att
    bundles     kind of key: sign, attest, message         what cosign 3 attaches
    certified   a bundle with a certificate of the P-256 key in the place of a hint
"""

import base64
import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

HERE = Path(__file__).parent
FILE = HERE / "cosign.json"

MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": f"sha256:{hashlib.sha256(b'config').hexdigest()}",
            "size": 6,
        },
        "layers": [],
    }
)
DIGEST = f"sha256:{hashlib.sha256(MANIFEST.encode()).hexdigest()}"
ANNOTATIONS = {"stage": "production", "commit": "152fda3"}
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
PREDICATE = {
    "buildDefinition": {"buildType": "https://example.com/build/v1"},
    "runDetails": {"builder": {"id": "https://example.com/builder"}},
}
SIGN_PREDICATE = "https://sigstore.dev/cosign/sign/v1"

type Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def _number(name: str, bits: int) -> int:
    blocks = (
        hashlib.sha256(f"image trust test vector {name} {i}".encode()).digest()
        for i in range(-(-bits // 256))
    )
    return int.from_bytes(b"".join(blocks)) % 2**bits


def _prime(name: str, offset: int) -> int:
    """Return the first prime from the number on that the name makes; *offset* was searched for."""
    return (_number(name, 1024) | 3 << 1022 | 1) + offset


def _rsa() -> rsa.RSAPrivateKey:
    p, q, e = _prime("p", 682), _prime("q", 306), 65537
    d = pow(e, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(e, p * q)
    return rsa.RSAPrivateNumbers(
        p, q, d, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q), public
    ).private_key()


KEYS: Mapping[str, Key] = {
    "p256": ec.derive_private_key(_number("p256", 255), ec.SECP256R1()),
    "p384": ec.derive_private_key(_number("p384", 383), ec.SECP384R1()),
    "p521": ec.derive_private_key(_number("p521", 520), ec.SECP521R1()),
    "rsa": _rsa(),
    "ed25519": ed25519.Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"ed25519").digest()),
    "other": ec.derive_private_key(_number("other", 255), ec.SECP256R1()),
}
KINDS = ("p256", "p384", "p521", "rsa", "ed25519")
_HASHES: Mapping[str, hashes.HashAlgorithm] = {
    "p384": hashes.SHA384(),
    "p521": hashes.SHA512(),
}


def sign(name: str, message: bytes, hashed: hashes.HashAlgorithm | None = None) -> bytes:
    """Sign as cosign does with such a key, or with another hash."""
    key = KEYS[name]
    algorithm = hashed or _HASHES.get(name, hashes.SHA256())
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(message, ec.ECDSA(algorithm, deterministic_signing=True))
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, padding.PKCS1v15(), algorithm)
    return key.sign(message)


def pem(name: str) -> str:
    return (
        KEYS[name]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def der(name: str) -> bytes:
    return (
        KEYS[name]
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def compact(document: Any) -> bytes:
    """Write JSON as Go does, with nothing between."""
    return json.dumps(document, separators=(",", ":")).encode()


def payload(digest: Any = DIGEST, optional: Any = ANNOTATIONS) -> dict[str, Any]:
    return {
        "critical": {
            "identity": {"docker-reference": "111122223333.dkr.ecr.eu-west-1.amazonaws.com/shop/web"},
            "image": {"docker-manifest-digest": digest},
            "type": "cosign container image signature",
        },
        "optional": optional,
    }


def statement(
    predicate_type: str = PREDICATE_TYPE,
    predicate: Any = PREDICATE,
    subjects: Sequence[Any] | None = None,
    kind: str = "https://in-toto.io/Statement/v1",
) -> dict[str, Any]:
    return {
        "_type": kind,
        "subject": subjects
        if subjects is not None
        else [{"name": "web", "digest": {"sha256": DIGEST.removeprefix("sha256:")}}],
        "predicateType": predicate_type,
        "predicate": predicate,
    }


def sign_statement(digest: str = DIGEST, annotations: Any = ANNOTATIONS) -> dict[str, Any]:
    """Make what ``cosign sign -a`` of version 3 signs."""
    subject = {"digest": {"sha256": digest.removeprefix("sha256:")}, "annotations": annotations}
    return statement(SIGN_PREDICATE, {}, [subject])


def envelope(
    name: str,
    content: bytes,
    payload_type: str = "application/vnd.in-toto+json",
    keyid: str | None = None,
) -> dict[str, Any]:
    # Not with the code under test.
    signed = b" ".join(
        (
            b"DSSEv1",
            str(len(payload_type)).encode(),
            payload_type.encode(),
            str(len(content)).encode(),
            content,
        )
    )
    hint = {} if keyid is None else {"keyid": keyid}
    return {
        "payloadType": payload_type,
        "payload": b64(content),
        "signatures": [{"sig": b64(sign(name, signed)), **hint}],
    }


def bundle(content: Mapping[str, Any], material: Mapping[str, Any], version: str = "0.3") -> dict[str, Any]:
    media_type = (
        f"application/vnd.dev.sigstore.bundle.v{version}+json"
        if version == "0.3"
        else f"application/vnd.dev.sigstore.bundle+json;version={version}"
    )
    return {"mediaType": media_type, "verificationMaterial": material, **content}


def hint(name: str) -> dict[str, Any]:
    return {"publicKey": {"hint": b64(hashlib.sha256(der(name)).digest())}}


def message(name: str, artifact: bytes, algorithm: str | None = None) -> dict[str, Any]:
    algorithm = algorithm or {"p384": "SHA2_384", "p521": "SHA2_512"}.get(name, "SHA2_256")
    digest = hashlib.new(algorithm.replace("SHA2_", "sha"), artifact).digest()
    return {
        "messageSignature": {
            "messageDigest": {"algorithm": algorithm, "digest": b64(digest)},
            "signature": b64(sign(name, artifact)),
        }
    }


def certificate(name: str) -> bytes:
    """Make a self-signed certificate of a key."""
    key = KEYS[name]
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "image trust test vector")])
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    return (
        x509.CertificateBuilder(subject, subject, key.public_key(), 1, start, start + dt.timedelta(3650))
        .sign(key, hashes.SHA256(), ecdsa_deterministic=True)
        .public_bytes(serialization.Encoding.DER)
    )


def vectors() -> dict[str, Any]:
    return {
        "keys": {name: pem(name) for name in KEYS},
        "manifest": MANIFEST,
        "classic": {
            name: {
                "payload": compact(payload()).decode(),
                "signature": b64(sign(name, compact(payload()))),
            }
            for name in KINDS
        },
        "attestation": {name: compact(envelope(name, compact(statement()))).decode() for name in KINDS},
        "bundles": {
            name: {
                "sign": compact(
                    bundle({"dsseEnvelope": envelope(name, compact(sign_statement()))}, hint(name))
                ).decode(),
                "attest": compact(
                    bundle({"dsseEnvelope": envelope(name, compact(statement()))}, hint(name))
                ).decode(),
                "message": compact(bundle(message(name, MANIFEST.encode()), hint(name))).decode(),
            }
            for name in KINDS
        },
        "certified": compact(
            bundle(
                {"dsseEnvelope": envelope("p256", compact(sign_statement()))},
                {"certificate": {"rawBytes": b64(certificate("p256"))}},
            )
        ).decode(),
    }


def written() -> str:
    return json.dumps(vectors(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(written())
