"""A Sigstore of our own: certificates, logs and time-stamps, genuine also where they should not be used.

::

    authority     root ─▶ intermediate ─▶ leaf with SCT by the log    (Fulcio, CTFE)
    log           entries with promise (SET), proof, checkpoint       (Rekor 1: EC, Rekor 2: Ed25519)
    stamper       TimeStampResp over anything, of any time            (RFC 3161)

Tests make what they need with it. Run by itself it writes sigstore.json beside itself: a trusted root and
signatures that have to be accepted, or refused for a reason, all with keys that are thrown away.

    python -m tests.hooks.image_trust.vectors.make_sigstore
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime(2026, 1, 15, 12, 0, 0, tzinfo=UTC)
"""When everything here is signed."""
WORKFLOW = "https://github.com/shop/web/.github/workflows/release.yml@refs/heads/main"
ISSUER = "https://token.actions.githubusercontent.com"
IDENTITY = {"root": "own", "issuer": ISSUER, "identity": WORKFLOW}
FULCIO = "1.3.6.1.4.1.57264.1"
CLAIMS: dict[str, str] = {
    f"{FULCIO}.8": ISSUER,
    f"{FULCIO}.11": "github-hosted",
    f"{FULCIO}.12": "https://github.com/shop/web",
    f"{FULCIO}.14": "refs/heads/main",
}
SIGN_PREDICATE = "https://sigstore.dev/cosign/sign/v1"
IMAGE = "sha256:" + hashlib.sha256(b"an image's manifest").hexdigest()

type Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def spki(key: Key) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def pem(key: Key) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def sign(key: Key, message: bytes) -> bytes:
    match key:
        case ec.EllipticCurvePrivateKey():
            hashed = {256: SHA256, 384: SHA384, 521: SHA512}[key.curve.key_size]()
            return key.sign(message, ec.ECDSA(hashed))
        case rsa.RSAPrivateKey():
            return key.sign(message, padding.PKCS1v15(), SHA256())
        case _:
            return key.sign(message)


def der(tag: int, *contents: bytes) -> bytes:
    content = b"".join(contents)
    size = len(content)
    length = (
        bytes([size])
        if size < 0x80
        else bytes([0x80 | (size.bit_length() + 7) // 8]) + size.to_bytes((size.bit_length() + 7) // 8)
    )
    return bytes([tag]) + length + content


def oid(dotted: str) -> bytes:
    first, second, *rest = map(int, dotted.split("."))
    content = bytes([first * 40 + second])
    for number in rest:
        digits = [number & 0x7F]
        while number := number >> 7:
            digits.append(number & 0x7F | 0x80)
        content += bytes(reversed(digits))
    return der(0x06, content)


def utf8(text: str) -> bytes:
    return der(0x0C, text.encode())


def integer(number: int) -> bytes:
    return der(0x02, number.to_bytes(number.bit_length() // 8 + 1))


# --- Certificates ----------------------------------------------------------------------------------


@dataclass
class Certified:
    """A key and its certificate."""

    key: Key
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()


def usage(*bits: str) -> x509.KeyUsage:
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: name in bits for name in names})


def name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def make_authority(
    common: str,
    issuer: Certified | None = None,
    purpose: x509.ObjectIdentifier | None = ExtendedKeyUsageOID.CODE_SIGNING,
    start: datetime = NOW - timedelta(days=365),
    end: datetime = NOW + timedelta(days=3650),
) -> Certified:
    key = ec.generate_private_key(ec.SECP384R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(common))
        .issuer_name(issuer.certificate.subject if issuer else name(common))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0 if issuer else 1), critical=True)
        .add_extension(usage("key_cert_sign", "crl_sign"), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if issuer:
        builder = builder.add_extension(authority_key(issuer), critical=False)
        if purpose:
            builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    return Certified(key, builder.sign(issuer.key if issuer else key, SHA384()))


def authority_key(issuer: Certified) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.certificate.public_key())


@dataclass(kw_only=True)
class Leaf:
    """What a certificate for signing says."""

    key: Key = field(default_factory=new_key)
    start: datetime = NOW - timedelta(seconds=5)
    end: datetime = NOW + timedelta(minutes=10)
    names: Sequence[x509.GeneralName] = (x509.UniformResourceIdentifier(WORKFLOW),)
    claims: Mapping[str, str] = field(default_factory=lambda: dict(CLAIMS))
    """Fulcio's extensions, as DER text."""
    raw: Mapping[str, bytes] = field(default_factory=lambda: {f"{FULCIO}.1": ISSUER.encode()})
    """Others, as they are."""
    purposes: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.CODE_SIGNING,)
    usage: x509.KeyUsage = field(default_factory=lambda: usage("digital_signature"))
    authority: bool = False
    scts: int = 1


# --- Logs ------------------------------------------------------------------------------------------


def tree_hash(leaves: Sequence[bytes]) -> bytes:
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + tree_hash(leaves[:split]) + tree_hash(leaves[split:])).digest()


def tree_path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """RFC 9162, section 2.1.3.1."""
    if len(leaves) == 1:
        return []
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if index < split:
        return [*tree_path(index, leaves[:split]), tree_hash(leaves[split:])]
    return [*tree_path(index - split, leaves[split:]), tree_hash(leaves[:split])]


@dataclass
class Rekor:
    """A log with some entries of others before and after those that are made."""

    key: Key
    origin: str
    id: bytes
    before: int = 5
    after: int = 2
    first: int = 1_000_000
    """The index, in the whole log, of the first entry of its tree."""

    def enter(self, body: bytes, kind: str, version: str, at: datetime | None) -> dict[str, Any]:
        """Enter a body; return it as bundles have it. With no time there is no promise."""
        leaves = [b"before %d" % n for n in range(self.before)] + [body]
        leaves += [b"after %d" % n for n in range(self.after)]
        root = tree_hash(leaves)
        entry: dict[str, Any] = {
            "logIndex": str(self.first + self.before if at else self.before),
            "logId": {"keyId": b64(self.id)},
            "kindVersion": {"kind": kind, "version": version},
            "inclusionProof": {
                "logIndex": str(self.before),
                "rootHash": b64(root),
                "treeSize": str(len(leaves)),
                "hashes": [b64(one) for one in tree_path(self.before, leaves)],
                "checkpoint": {"envelope": self.checkpoint(len(leaves), root)},
            },
            "canonicalizedBody": b64(body),
        }
        if at:
            entry["integratedTime"] = str(int(at.timestamp()))
            entry["inclusionPromise"] = {
                "signedEntryTimestamp": b64(self.promise(body, int(at.timestamp()), self.first + self.before))
            }
        return entry

    def checkpoint(self, size: int, root: bytes) -> str:
        text = f"{self.origin}\n{size}\n{b64(root)}\n"
        line = b64(self.id[:4] + sign(self.key, text.encode()))
        return f"{text}\n\N{EM DASH} {self.origin.split()[0]} {line}\n"

    def promise(self, body: bytes, seconds: int, index: int) -> bytes:
        promised = {
            "body": b64(body), "integratedTime": seconds, "logID": self.id.hex(), "logIndex": index,
        }  # fmt: skip
        return sign(self.key, json.dumps(promised, separators=(",", ":"), sort_keys=True).encode())


def canonical(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


def hashedrekord(content: bytes, signature: bytes, key_pem: str, algorithm: str = "sha256") -> bytes:
    return canonical(
        {
            "apiVersion": "0.0.1",
            "kind": "hashedrekord",
            "spec": {
                "data": {
                    "hash": {"algorithm": algorithm, "value": hashlib.new(algorithm, content).hexdigest()}
                },
                "signature": {
                    "content": b64(signature),
                    "publicKey": {"content": b64(key_pem.encode())},
                },
            },
        }
    )


def hashedrekord_v2(content: bytes, signature: bytes, held: Mapping[str, object]) -> bytes:
    return canonical(
        {
            "apiVersion": "0.0.2",
            "kind": "hashedrekord",
            "spec": {
                "hashedRekordV002": {
                    "data": {"algorithm": "SHA2_256", "digest": b64(hashlib.sha256(content).digest())},
                    "signature": {
                        "content": b64(signature),
                        "verifier": {"keyDetails": "PKIX_ECDSA_P256_SHA_256", **held},
                    },
                }
            },
        }
    )


def dsse(payload: bytes, envelope: bytes, *made: tuple[bytes, str]) -> bytes:
    return canonical(
        {
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": {"algorithm": "sha256", "value": hashlib.sha256(envelope).hexdigest()},
                "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
                "signatures": [
                    {"signature": b64(signature), "verifier": b64(key.encode())} for signature, key in made
                ],
            },
        }
    )


def intoto_v1(envelope: bytes, key_pem: str) -> bytes:
    return canonical(
        {
            "apiVersion": "0.0.1",
            "kind": "intoto",
            "spec": {
                "content": {"hash": {"algorithm": "sha256", "value": hashlib.sha256(envelope).hexdigest()}},
                "publicKey": b64(key_pem.encode()),
            },
        }
    )


def intoto_v2(payload: bytes, envelope: bytes, *made: tuple[bytes, str]) -> bytes:
    return canonical(
        {
            "apiVersion": "0.0.2",
            "kind": "intoto",
            "spec": {
                "content": {
                    "envelope": {
                        "payloadType": "application/vnd.in-toto+json",
                        "signatures": [
                            {"publicKey": b64(key.encode()), "sig": b64(b64(signature).encode())}
                            for signature, key in made
                        ],
                    },
                    "hash": {"algorithm": "sha256", "value": hashlib.sha256(envelope).hexdigest()},
                    "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
                }
            },
        }
    )


# --- Contents --------------------------------------------------------------------------------------


def simple_signing(digest: str = IMAGE, **annotations: str) -> bytes:
    return canonical(
        {
            "critical": {
                "identity": {"docker-reference": "registry.example/shop/web"},
                "image": {"docker-manifest-digest": digest},
                "type": "cosign container image signature",
            },
            "optional": annotations or None,
        }
    )


def statement(digest: str = IMAGE, predicate_type: str = SIGN_PREDICATE) -> bytes:
    return canonical(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": "", "digest": {"sha256": digest.removeprefix("sha256:")}}],
            "predicateType": predicate_type,
            "predicate": {},
        }
    )


def pae(payload: bytes, payload_type: str = "application/vnd.in-toto+json") -> bytes:
    return b"DSSEv1 %d %b %d %b" % (len(payload_type), payload_type.encode(), len(payload), payload)


def envelope(payload: bytes, *signatures: bytes) -> dict[str, Any]:
    return {
        "payload": b64(payload),
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [{"sig": b64(signature)} for signature in signatures],
    }


# --- The instance ----------------------------------------------------------------------------------


class Sigstore:
    """All of it, with keys of its own."""

    def __init__(self) -> None:
        self.root = make_authority("fulcio root")
        self.intermediate = make_authority("fulcio intermediate", self.root)
        self.certificate_log = new_key()
        rekor_key, tiles_key = new_key(), ed25519.Ed25519PrivateKey.generate()
        self.rekor = Rekor(rekor_key, "rekor.example - 42", hashlib.sha256(spki(rekor_key)).digest())
        self.tiles = Rekor(
            tiles_key, "log.example", hashlib.sha256(b"log.example" + spki(tiles_key)).digest()
        )
        self.stamper_root = make_authority("tsa root")
        self.stamper = self._make_stamper()

    # Certificates

    def certify(self, leaf: Leaf, issuer: Certified | None = None) -> Certified:
        """Issue a certificate, with the log's signature over it."""
        issuer = issuer or self.intermediate
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(issuer.certificate.subject)
            .public_key(leaf.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(leaf.start)
            .not_valid_after(leaf.end)
            .add_extension(leaf.usage, critical=True)
            .add_extension(authority_key(issuer), critical=False)
        )
        if leaf.purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(leaf.purposes), critical=False)
        if leaf.names:
            builder = builder.add_extension(x509.SubjectAlternativeName(leaf.names), critical=True)
        if leaf.authority:
            builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        for dotted, value in {**leaf.raw, **{key: utf8(text) for key, text in leaf.claims.items()}}.items():
            builder = builder.add_extension(
                x509.UnrecognizedExtension(x509.ObjectIdentifier(dotted), value), critical=False
            )
        if leaf.scts:
            precertificate = builder.sign(issuer.key, SHA384()).tbs_certificate_bytes
            timestamps = [
                self._sct(precertificate, issuer, leaf.start + timedelta(milliseconds=number))
                for number in range(leaf.scts)
            ]
            listed = b"".join(len(one).to_bytes(2) + one for one in timestamps)
            builder = builder.add_extension(
                x509.UnrecognizedExtension(
                    x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2"),
                    der(0x04, len(listed).to_bytes(2) + listed),
                ),
                critical=False,
            )
        return Certified(leaf.key, builder.sign(issuer.key, SHA384()))

    def _sct(self, precertificate: bytes, issuer: Certified, at: datetime) -> bytes:
        """RFC 6962, section 3.2."""
        milliseconds = int(at.timestamp() * 1000).to_bytes(8)
        signed = (
            b"\x00\x00" + milliseconds + b"\x00\x01"
            + hashlib.sha256(spki(issuer.key)).digest()
            + len(precertificate).to_bytes(3) + precertificate
            + b"\x00\x00"
        )  # fmt: skip
        signature = sign(self.certificate_log, signed)
        log_id = hashlib.sha256(spki(self.certificate_log)).digest()
        return b"\x00" + log_id + milliseconds + b"\x00\x00\x04\x03" + len(signature).to_bytes(2) + signature

    # Time-stamps

    def _make_stamper(self) -> Certified:
        key = new_key()
        builder = (
            x509.CertificateBuilder()
            .subject_name(name("tsa"))
            .issuer_name(self.stamper_root.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(days=365))
            .not_valid_after(NOW + timedelta(days=3650))
            .add_extension(usage("digital_signature"), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
            .add_extension(authority_key(self.stamper_root), critical=False)
        )
        return Certified(key, builder.sign(self.stamper_root.key, SHA384()))

    def stamp(self, content: bytes, at: datetime, *, embed: bool = True) -> bytes:
        """RFC 3161, section 2.4.2; RFC 5652, section 5."""
        sha256 = der(0x30, oid("2.16.840.1.101.3.4.2.1"))
        info = der(
            0x30,
            integer(1),
            oid("1.3.6.1.4.1.57264.2"),
            der(0x30, sha256, der(0x04, hashlib.sha256(content).digest())),
            integer(7),
            der(0x18, at.strftime("%Y%m%d%H%M%SZ").encode()),
        )
        certificate = self.stamper.certificate
        identifier = der(0x30, der(0x30, der(0x30, der(0x04, hashlib.sha256(self.stamper.der).digest()))))
        attributes = sorted(
            der(0x30, oid(kind), der(0x31, value))
            for kind, value in (
                ("1.2.840.113549.1.9.3", oid("1.2.840.113549.1.9.16.1.4")),
                ("1.2.840.113549.1.9.4", der(0x04, hashlib.sha256(info).digest())),
                ("1.2.840.113549.1.9.16.2.47", identifier),
            )
        )
        signer = der(
            0x30,
            integer(1),
            der(0x30, certificate.issuer.public_bytes(), integer(certificate.serial_number)),
            sha256,
            der(0xA0, *attributes),
            der(0x30, oid("1.2.840.10045.4.3.2")),
            der(0x04, sign(self.stamper.key, der(0x31, *attributes))),
        )
        signed_data = der(
            0x30,
            integer(3),
            der(0x31, sha256),
            der(0x30, oid("1.2.840.113549.1.9.16.1.4"), der(0xA0, der(0x04, info))),
            *([der(0xA0, self.stamper.der)] if embed else []),
            der(0x31, signer),
        )
        token = der(0x30, oid("1.2.840.113549.1.7.2"), der(0xA0, signed_data))
        return der(0x30, der(0x30, integer(0)), token)

    # The trusted root

    def trusted_root(self, **periods: Mapping[str, str]) -> dict[str, Any]:
        """Return trusted_root.json; *periods* are of ``tlogs``, ``ctlogs``, ... where not unlimited."""
        start = {"start": "2025-01-01T00:00:00Z"}

        def log(url: str, key: Key, log_id: bytes, field_name: str) -> dict[str, Any]:
            kind = "PKIX_ED25519" if isinstance(key, ed25519.Ed25519PrivateKey) else "PKIX_ECDSA_P256_SHA_256"
            public = {
                "rawBytes": b64(spki(key)), "keyDetails": kind, "validFor": periods.get(field_name, start),
            }  # fmt: skip
            return {
                "baseUrl": url,
                "hashAlgorithm": "SHA2_256",
                "publicKey": public,
                "logId": {"keyId": b64(log_id)},
            }

        def authority(url: str, field_name: str, *chain: Certified) -> dict[str, Any]:
            return {
                "subject": {"organization": "example", "commonName": url},
                "uri": url,
                "certChain": {"certificates": [{"rawBytes": b64(one.der)} for one in chain]},
                "validFor": periods.get(field_name, start),
            }

        certificate_log_id = hashlib.sha256(spki(self.certificate_log)).digest()
        return {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [
                log("https://rekor.example", self.rekor.key, self.rekor.id, "tlogs"),
                log("https://log.example", self.tiles.key, self.tiles.id, "tlogs"),
            ],
            "certificateAuthorities": [
                authority("https://fulcio.example", "certificateAuthorities", self.intermediate, self.root)
            ],
            "ctlogs": [log("https://ct.example", self.certificate_log, certificate_log_id, "ctlogs")],
            "timestampAuthorities": [
                authority("https://tsa.example", "timestampAuthorities", self.stamper, self.stamper_root)
            ],
        }

    # Signatures

    def classic(
        self,
        payload: bytes | None = None,
        leaf: Certified | None = None,
        at: datetime = NOW,
        body: bytes | None = None,
    ) -> tuple[bytes, dict[str, str]]:
        """Sign as cosign 2 does; return the layer and its annotations."""
        payload, leaf = payload or simple_signing(), leaf or self.certify(Leaf())
        signature = sign(leaf.key, payload)
        return payload, {
            "dev.cosignproject.cosign/signature": b64(signature),
            **self.annotations(leaf, body or hashedrekord(payload, signature, leaf.pem), at),
        }

    def classic_attestation(
        self, payload: bytes | None = None, kind: str = "dsse", at: datetime = NOW
    ) -> tuple[bytes, dict[str, str]]:
        """Attest as cosign 2 does; return the layer and its annotations."""
        payload, leaf = payload or statement(), self.certify(Leaf())
        signature = sign(leaf.key, pae(payload))
        layer = json.dumps(envelope(payload, signature)).encode()
        body = {
            "dsse": lambda: dsse(payload, layer, (signature, leaf.pem)),
            "intoto 0.0.1": lambda: intoto_v1(layer, leaf.pem),
            "intoto 0.0.2": lambda: intoto_v2(payload, layer, (signature, leaf.pem)),
        }[kind]()
        return layer, self.annotations(leaf, body, at)

    def annotations(self, leaf: Certified, body: bytes, at: datetime = NOW) -> dict[str, str]:
        return {
            "dev.sigstore.cosign/certificate": leaf.pem,
            "dev.sigstore.cosign/chain": self.intermediate.pem + self.root.pem,
            "dev.sigstore.cosign/bundle": self.entry_annotation(body, at),
        }

    def entry_annotation(self, body: bytes, at: datetime = NOW) -> str:
        seconds, index = int(at.timestamp()), self.rekor.first + self.rekor.before
        return json.dumps(
            {
                "SignedEntryTimestamp": b64(self.rekor.promise(body, seconds, index)),
                "Payload": {
                    "body": b64(body),
                    "integratedTime": seconds,
                    "logIndex": index,
                    "logID": self.rekor.id.hex(),
                },
            }
        )

    def bundle(
        self,
        *,
        artifact: bytes | None = None,
        payload: bytes | None = None,
        leaf: Certified | None = None,
        rekor: int = 1,
        at: datetime = NOW,
        stamped: datetime | None = None,
        body: bytes | None = None,
    ) -> dict[str, Any]:
        """Sign as cosign 3 does: *artifact* as it is, else a statement."""
        leaf = leaf or self.certify(Leaf())
        payload = payload or statement()
        signed = artifact if artifact is not None else pae(payload)
        signature = sign(leaf.key, signed)
        inner = envelope(payload, signature)
        if rekor == 2:
            body = body or hashedrekord_v2(
                signed, signature, {"x509Certificate": {"rawBytes": b64(leaf.der)}}
            )
            entry = self.tiles.enter(body, "hashedrekord", "0.0.2", None)
            stamped = stamped or at
        elif artifact is not None:
            body = body or hashedrekord(artifact, signature, leaf.pem)
            entry = self.rekor.enter(body, "hashedrekord", "0.0.1", at)
        else:
            body = body or dsse(payload, json.dumps(inner).encode(), (signature, leaf.pem))
            entry = self.rekor.enter(body, "dsse", "0.0.1", at)
        material: dict[str, Any] = {"certificate": {"rawBytes": b64(leaf.der)}, "tlogEntries": [entry]}
        if stamped:
            material["timestampVerificationData"] = {
                "rfc3161Timestamps": [{"signedTimestamp": b64(self.stamp(signature, stamped))}]
            }
        return {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": material,
            **(
                {"messageSignature": message_signature(artifact, signature)}
                if artifact is not None
                else {"dsseEnvelope": inner}
            ),
        }


def message_signature(artifact: bytes, signature: bytes) -> dict[str, Any]:
    return {
        "messageDigest": {"algorithm": "SHA2_256", "digest": b64(hashlib.sha256(artifact).digest())},
        "signature": b64(signature),
    }


# --- Vectors ---------------------------------------------------------------------------------------


def logged_signature(sigstore: Sigstore, key: Key, body: bytes | None = None) -> tuple[bytes, dict[str, str]]:
    """Sign with a key as cosign 2 does with ``--tlog-upload``; return the layer and its annotations."""
    payload = simple_signing()
    signature = sign(key, payload)
    return payload, {
        "dev.cosignproject.cosign/signature": b64(signature),
        "dev.sigstore.cosign/bundle": sigstore.entry_annotation(
            body or hashedrekord(payload, signature, pem(key))
        ),
    }


def logged_bundle(sigstore: Sigstore, key: Key, *, rekor: int = 1) -> dict[str, Any]:
    """Sign a statement with a key as cosign 3 does."""
    payload = statement()
    signature = sign(key, pae(payload))
    inner = envelope(payload, signature)
    material: dict[str, Any] = {"publicKey": {"hint": "a hint"}}
    if rekor == 2:
        held = {"publicKey": {"rawBytes": b64(spki(key))}}
        body = hashedrekord_v2(pae(payload), signature, held)
        material["tlogEntries"] = [sigstore.tiles.enter(body, "hashedrekord", "0.0.2", None)]
        material["timestampVerificationData"] = {
            "rfc3161Timestamps": [{"signedTimestamp": b64(sigstore.stamp(signature, NOW))}]
        }
    else:
        body = dsse(payload, json.dumps(inner).encode(), (signature, pem(key)))
        material["tlogEntries"] = [sigstore.rekor.enter(body, "dsse", "0.0.1", NOW)]
    return {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": material,
        "dsseEnvelope": inner,
    }


def older(bundle: dict[str, Any], version: str, *chain: Certified) -> dict[str, Any]:
    """Return a bundle in an older version of the format, with a chain of certificates."""
    material = dict(bundle["verificationMaterial"])
    if leaf := material.pop("certificate", None):
        certificates = [leaf, *({"rawBytes": b64(one.der)} for one in chain)]
        material["x509CertificateChain"] = {"certificates": certificates}
    media_type = f"application/vnd.dev.sigstore.bundle+json;version={version}"
    return {**bundle, "mediaType": media_type, "verificationMaterial": material}


def stamped(sigstore: Sigstore, made: tuple[bytes, dict[str, str]]) -> tuple[bytes, dict[str, str]]:
    """Add a time-stamp of the signature to a classic one."""
    content, annotations = made
    signature = base64.b64decode(annotations["dev.cosignproject.cosign/signature"])
    stamp = json.dumps({"SignedRFC3161Timestamp": b64(sigstore.stamp(signature, NOW))})
    return content, {**annotations, "dev.sigstore.cosign/rfc3161timestamp": stamp}


def cases() -> dict[str, Any]:
    """Make a trusted root and signatures, each with what has to come of it."""
    ours, theirs, key = Sigstore(), Sigstore(), new_key()
    payload = simple_signing()
    signature, other = sign(key, payload), simple_signing("sha256:" + 64 * "0")
    late = NOW + timedelta(hours=1)
    expired = Leaf(start=NOW - timedelta(hours=2), end=NOW - timedelta(hours=1))
    classic, attested, bundle, logged = [], [], [], []
    classic += [
        ("keyless", ours.classic(), "accept"),
        ("keyless with a time-stamp", stamped(ours, ours.classic()), "accept"),
        ("of another instance", theirs.classic(), "unknown-log"),
        ("of another authority", ours.classic(leaf=theirs.certify(Leaf())), "untrusted-certificate"),
        ("after the certificate's end", ours.classic(at=late), "untrusted-certificate"),
        ("by an expired certificate", ours.classic(leaf=ours.certify(expired)), "untrusted-certificate"),
        ("without SCT", ours.classic(leaf=ours.certify(Leaf(scts=0))), "no-sct"),
        ("of another image", ours.classic(payload=other), "signed-other-digest"),
    ]
    attested += [
        (kind, ours.classic_attestation(kind=kind), "accept")
        for kind in ("dsse", "intoto 0.0.1", "intoto 0.0.2")
    ]
    bundle += [
        ("statement", ours.bundle(), "accept"),
        ("message signature", ours.bundle(artifact=b"an image's manifest"), "accept"),
        ("statement in Rekor 2", ours.bundle(rekor=2), "accept"),
        ("message signature in Rekor 2", ours.bundle(artifact=b"an image's manifest", rekor=2), "accept"),
        ("version 0.1", older(ours.bundle(), "0.1"), "accept"),
        ("version 0.2 with a chain", older(ours.bundle(), "0.2", ours.intermediate, ours.root), "accept"),
        ("of another instance", theirs.bundle(), "unknown-log"),
        ("stamped after the certificate's end", ours.bundle(rekor=2, stamped=late), "untrusted-certificate"),
    ]
    logged += [
        ("signature by key", "cosign-signature", *logged_signature(ours, key), "accept"),
        *(
            (name, "cosign-signature", *logged_signature(ours, key, body), code)
            for name, body, code in (
                ("entry of another key", hashedrekord(payload, signature, pem(new_key())), "other-key"),
                ("entry of another content", hashedrekord(other, signature, pem(key)), "other-content"),
                (
                    "entry of another signature",
                    hashedrekord(payload, sign(key, payload), pem(key)),
                    "other-signature",
                ),
            )
        ),
        ("bundle by key", "bundle", json.dumps(logged_bundle(ours, key)).encode(), {}, "accept"),
        (
            "bundle by key, Rekor 2",
            "bundle",
            json.dumps(logged_bundle(ours, key, rekor=2)).encode(),
            {},
            "accept",
        ),
    ]
    return {
        "image": IMAGE,
        "identity": IDENTITY,
        "key": pem(key),
        "trustedRoot": ours.trusted_root(),
        "cases": [
            *(written("cosign-signature", *one) for one in classic),
            *(written("cosign-attestation", *one) for one in attested),
            *(written("bundle", name, (json.dumps(one).encode(), {}), code) for name, one, code in bundle),
            *(
                {**written(kind, name, (content, annotations), code), "logged": True}
                for name, kind, content, annotations, code in logged
            ),
        ],
    }


def written(kind: str, name: str, made: tuple[bytes, dict[str, str]], expected: str) -> dict[str, Any]:
    content, annotations = made
    return {
        "name": name,
        "kind": kind,
        "content": content.decode(),
        "annotations": annotations,
        "expected": expected,
    }


if __name__ == "__main__":
    target = Path(__file__).with_name("sigstore.json")
    target.write_text(json.dumps(cases(), indent=1) + "\n")
