"""Images and signatures as build systems make them, for the image trust hook to verify.

It shares no code with the hook: what both got wrong alike would go unseen. Everything follows
from names and times, keys and signatures included, so that equal rehearsals have equal digests.

::

    image, index                 manifest + configuration + layers
    Key.sign_under_tag           cosign ≤ 2: a manifest under sha256-HEX.sig, a layer per signature
    Key.bundle, Key.attest       cosign 3: a Sigstore bundle with a DSSE envelope, attached by subject
    SigningService.sign          AWS Signer: a Notary Project envelope (JWS), attached by subject

Sources: https://github.com/opencontainers/image-spec/blob/v1.1.1/manifest.md and image-index.md,
https://github.com/sigstore/cosign/blob/v2.4.1/specs/SIGNATURE_SPEC.md,
https://github.com/sigstore/protobuf-specs/blob/v0.3.3/protos/sigstore_bundle.proto,
https://github.com/secure-systems-lab/dsse/blob/v1.0.2/protocol.md,
https://github.com/notaryproject/specifications/blob/v1.1.0/specs/signature-specification.md and
signature-envelope-jws.md
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

JsonObject = dict[str, Any]

IMAGE = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_EMPTY = "application/vnd.oci.empty.v1+json"

SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE_ANNOTATION = "dev.cosignproject.cosign/signature"
DSSE = "application/vnd.dsse.envelope.v1+json"
IN_TOTO = "application/vnd.in-toto+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
# What `cosign sign` of version 3 states about an image.
SIGN_PREDICATE = "https://sigstore.dev/cosign/sign/v1"

NOTATION = "application/vnd.cncf.notary.signature"
NOTATION_PAYLOAD = "application/vnd.cncf.notary.payload.v1+json"
JWS = "application/jose+json"
SIGNER_PLUGIN = "com.amazonaws.signer.notation.plugin"

# A leaf certificate of AWS Signer's lives for days; what was signed with it holds for years.
LEAF_DAYS = 3
VALID_MONTHS = 135
AUTHORITY_FROM = datetime(2020, 1, 1, tzinfo=UTC)
AUTHORITY_UNTIL = datetime(2120, 1, 1, tzinfo=UTC)


def digest_of(content: bytes) -> str:
    """Compute a digest."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """What is pushed: a manifest, and what it is made of."""

    manifest: bytes
    media_type: str
    blobs: Mapping[str, bytes] = field(default_factory=dict)
    """By digest."""
    tag: str | None = None
    """Under which it has to be pushed, as cosign's signatures."""
    images: tuple["Artifact", ...] = ()
    """Of an index; pushed before it."""
    platform: JsonObject | None = None

    @property
    def digest(self) -> str:
        return digest_of(self.manifest)

    @property
    def descriptor(self) -> JsonObject:
        """What points to it."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.manifest)}


def image(content: str, *, architecture: str = "amd64") -> Artifact:
    """Build an image for Linux whose only layer is *content*; other content, another image."""
    layer = content.encode()
    config = _json(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {"Cmd": ["/app"]},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer)]},
        }
    )
    built = _artifact(
        {"mediaType": IMAGE},
        config=(_CONFIG, config),
        layers=[({"mediaType": _LAYER}, layer)],
    )
    return replace(built, platform={"architecture": architecture, "os": "linux"})


def index(*images: Artifact) -> Artifact:
    """Build an index of images for several platforms."""
    entries = [{**one.descriptor, "platform": one.platform} for one in images]
    manifest = _json({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
    return Artifact(manifest=manifest, media_type=INDEX, images=images)


# --- cosign --------------------------------------------------------------------------------------


class Key:
    """A key pair of P-256, which its name decides. Nobody may use such a key for anything but rehearsals."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._private = _private_key(f"key {name}", ec.SECP256R1())

    @property
    def der(self) -> bytes:
        """The public key as SubjectPublicKeyInfo."""
        return self._private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @property
    def pem(self) -> str:
        """The public key as policies have it."""
        encoded = self._private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return encoded.decode()

    def sign(self, message: bytes) -> bytes:
        """Sign with ECDSA and SHA-256; in DER, as cosign has it."""
        return self._private.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))

    def sign_under_tag(
        self, subject: Artifact, *, repository: str = "", annotations: Mapping[str, str] | None = None
    ) -> Artifact:
        """Sign as cosign did before bundles."""
        payload = simple_signing(subject.digest, repository, annotations)
        return signatures_under_tag(subject, [(payload, self.sign(payload))])

    def bundle(self, subject: Artifact, *, annotations: Mapping[str, str] | None = None) -> Artifact:
        """Sign as ``cosign sign`` does from version 3 on, without a transparency log."""
        statement = _statement("https://in-toto.io/Statement/v1", subject, SIGN_PREDICATE, {}, annotations)
        return self._bundle(subject, statement, SIGN_PREDICATE)

    def attest(self, subject: Artifact, predicate_type: str, predicate: JsonObject) -> Artifact:
        """Attest as ``cosign attest`` does from version 3 on."""
        statement = _statement("https://in-toto.io/Statement/v1", subject, predicate_type, predicate)
        return self._bundle(subject, statement, predicate_type)

    def attest_under_tag(self, subject: Artifact, predicate_type: str, predicate: JsonObject) -> Artifact:
        """Attest as cosign did before bundles."""
        statement = _statement("https://in-toto.io/Statement/v0.1", subject, predicate_type, predicate)
        annotations = {SIGNATURE_ANNOTATION: "", "predicateType": predicate_type}
        return _under_tag(
            subject,
            "att",
            [({"mediaType": DSSE, "annotations": annotations}, _json(self.envelope(statement)))],
        )

    def envelope(self, statement: bytes) -> JsonObject:
        """Sign a statement in a DSSE envelope."""
        encoded = b"DSSEv1 %d %s %d %s" % (len(IN_TOTO), IN_TOTO.encode(), len(statement), statement)
        return {
            "payloadType": IN_TOTO,
            "payload": _base64(statement),
            "signatures": [{"sig": _base64(self.sign(encoded))}],
        }

    def _bundle(self, subject: Artifact, statement: bytes, predicate_type: str) -> Artifact:
        hint = base64.b64encode(hashlib.sha256(self.der).digest()).decode()
        content = _json(
            {
                "mediaType": BUNDLE,
                "verificationMaterial": {"publicKey": {"hint": hint}},
                "dsseEnvelope": self.envelope(statement),
            }
        )
        annotations = {
            "dev.sigstore.bundle.content": "dsse-envelope",
            "dev.sigstore.bundle.predicateType": predicate_type,
        }
        return _attached(subject, BUNDLE, ({"mediaType": BUNDLE}, content), annotations)


def simple_signing(digest: str, repository: str = "", annotations: Mapping[str, str] | None = None) -> bytes:
    """Write the payload that cosign signs for an image."""
    return _json(
        {
            "critical": {
                "identity": {"docker-reference": repository},
                "image": {"docker-manifest-digest": digest},
                "type": "cosign container image signature",
            },
            "optional": dict(annotations) if annotations else None,
        }
    )


def signatures_under_tag(subject: Artifact, signatures: Sequence[tuple[bytes, bytes]]) -> Artifact:
    """Put payloads with their signatures under the tag of an image, as several signers in turn do."""
    layers = [
        ({"mediaType": SIMPLE_SIGNING, "annotations": {SIGNATURE_ANNOTATION: _base64(signature)}}, payload)
        for payload, signature in signatures
    ]
    return _under_tag(subject, "sig", layers)


def _statement(
    kind: str,
    subject: Artifact,
    predicate_type: str,
    predicate: JsonObject,
    annotations: Mapping[str, str] | None = None,
) -> bytes:
    algorithm, _, value = subject.digest.partition(":")
    about: JsonObject = {"digest": {algorithm: value}}
    if annotations:
        about["annotations"] = dict(annotations)
    return _json({"_type": kind, "subject": [about], "predicateType": predicate_type, "predicate": predicate})


# --- AWS Signer ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Profile:
    """One version of a signing profile."""

    name: str
    account: str
    region: str

    @property
    def arn(self) -> str:
        """Without version, as policies and ECR name it."""
        return f"arn:aws:signer:{self.region}:{self.account}:/signing-profiles/{self.name}"

    @property
    def version_arn(self) -> str:
        """Of the version that signs; its name is made up of ten characters, as real ones are."""
        version = base64.b32encode(hashlib.sha256(self.name.encode()).digest())[:10].decode()
        return f"{self.arn}/{version}"

    def job_arn(self, subject: str) -> str:
        """Return the job that has signed *subject*, a digest."""
        text = hashlib.sha256(f"{self.name} {subject}".encode()).hexdigest()
        job = "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:32]))
        return f"arn:aws:signer:{self.region}:{self.account}:/signing-jobs/{job}"


class SigningService:
    """AWS Signer with a root of its own: a signing authority of the Notary Project."""

    def __init__(self, name: str = "Rehearsal") -> None:
        self.name = name

    @cached_property
    def root(self) -> x509.Certificate:
        """The certificate that policies pin by its fingerprint."""
        return self._issue("Root CA", "Root CA", AUTHORITY_FROM, AUTHORITY_UNTIL, path_length=1)

    @cached_property
    def intermediate(self) -> x509.Certificate:
        """Between the root and what signs."""
        return self._issue("Intermediate CA", "Root CA", AUTHORITY_FROM, AUTHORITY_UNTIL, path_length=0)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the root's DER, in hexadecimal."""
        return hashlib.sha256(self.root.public_bytes(Encoding.DER)).hexdigest()

    def leaf(self, at: datetime) -> x509.Certificate:
        """Return the certificate that signs on a day."""
        start = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
        return self._issue("Signing", "Intermediate CA", start, start + timedelta(days=LEAF_DAYS))

    def sign(self, subject: Artifact, profile: Profile, at: datetime) -> Artifact:
        """Sign an image at a time, as ECR's managed signing and the notation command do."""
        chain = [one.public_bytes(Encoding.DER) for one in (self.leaf(at), self.intermediate, self.root)]
        envelope = self._envelope(subject, profile, at, chain)
        # notation names the chain again, unsigned, for whoever looks for a signature.
        thumbprints = [hashlib.sha256(one).hexdigest() for one in chain]
        annotations = {
            "io.cncf.notary.x509chain.thumbprint#S256": json.dumps(thumbprints, separators=(",", ":")),
            "org.opencontainers.image.created": _moment(at),
        }
        return _attached(subject, NOTATION, ({"mediaType": JWS}, envelope), annotations)

    def _envelope(self, subject: Artifact, profile: Profile, at: datetime, chain: Sequence[bytes]) -> bytes:
        extended = {
            "com.amazonaws.signer.signingJob": profile.job_arn(subject.digest),
            "com.amazonaws.signer.signingProfileVersion": profile.version_arn,
            "io.cncf.notary.authenticSigningTime": _moment(at),
            "io.cncf.notary.expiry": _moment(at + timedelta(days=VALID_MONTHS * 30)),
            "io.cncf.notary.signingScheme": "notary.x509.signingAuthority",
            "io.cncf.notary.verificationPlugin": SIGNER_PLUGIN,
        }
        protected = _base64url(
            _json({"alg": "ES384", "crit": list(extended), "cty": NOTATION_PAYLOAD, **extended})
        )
        payload = _base64url(_json({"targetArtifact": subject.descriptor}))
        key = self._key("Signing")
        signature = key.sign(
            f"{protected}.{payload}".encode(), ec.ECDSA(hashes.SHA384(), deterministic_signing=True)
        )
        r, s = decode_dss_signature(signature)
        return _json(
            {
                "payload": payload,
                "protected": protected,
                "header": {
                    "x5c": [base64.b64encode(one).decode() for one in chain],
                    "io.cncf.notary.signingAgent": "aws-signer/1.0.0",
                },
                "signature": _base64url(r.to_bytes(48) + s.to_bytes(48)),
            }
        )

    def _key(self, role: str) -> ec.EllipticCurvePrivateKey:
        return _private_key(f"{self.name} {role}", ec.SECP384R1())

    def _issue(
        self, role: str, issuer: str, start: datetime, end: datetime, *, path_length: int | None = None
    ) -> x509.Certificate:
        """Issue a certificate; without *path_length* one that signs code."""
        is_authority = path_length is not None
        key, issuing = self._key(role), self._key(issuer)
        serial = int.from_bytes(hashlib.sha256(f"{self.name} {role} {start}".encode()).digest()[:16]) >> 1
        builder = (
            x509.CertificateBuilder(
                subject_name=self._subject(role),
                issuer_name=self._subject(issuer),
                public_key=key.public_key(),
                serial_number=serial,
                not_valid_before=start,
                not_valid_after=end,
            )
            .add_extension(x509.BasicConstraints(is_authority, path_length), critical=True)
            .add_extension(_usage(is_authority=is_authority), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuing.public_key()), critical=False
            )
        )
        if not is_authority:
            purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])
            builder = builder.add_extension(purpose, critical=False)
        return builder.sign(issuing, hashes.SHA384(), ecdsa_deterministic=True)

    def _subject(self, role: str) -> x509.Name:
        return x509.Name(
            [
                x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, self.name),
                x509.NameAttribute(NameOID.COMMON_NAME, f"{self.name} Code {role}"),
            ]
        )


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _private_key(name: str, curve: ec.EllipticCurve) -> ec.EllipticCurvePrivateKey:
    digest = hashlib.sha512(f"rehearsal {name}".encode()).digest()
    # Shorter than the curve's order, so that every name has a key.
    return ec.derive_private_key(int.from_bytes(digest[: curve.key_size // 8 - 1]) or 1, curve)


# --- Manifests -----------------------------------------------------------------------------------


def _artifact(
    head: JsonObject,
    *,
    config: tuple[str, bytes],
    layers: Sequence[tuple[JsonObject, bytes]],
    tail: JsonObject | None = None,
    tag: str | None = None,
) -> Artifact:
    """Write a manifest; *layers* are descriptors, without digest and size, and their content."""
    kind, settings = config
    manifest = {
        "schemaVersion": 2,
        **head,
        "config": {"mediaType": kind, **_pointer(settings)},
        "layers": [{**said, **_pointer(content)} for said, content in layers],
        **(tail or {}),
    }
    return Artifact(
        manifest=_json(manifest),
        media_type=IMAGE,
        blobs={digest_of(one): one for one in (settings, *(content for _, content in layers))},
        tag=tag,
    )


def _under_tag(subject: Artifact, kind: str, layers: Sequence[tuple[JsonObject, bytes]]) -> Artifact:
    """Write the manifest under a tag of cosign's."""
    diff_ids = [digest_of(content) for _, content in layers]
    config = _json(
        {"architecture": "", "config": {}, "os": "", "rootfs": {"diff_ids": diff_ids, "type": "layers"}}
    )
    return _artifact(
        {"mediaType": IMAGE},
        config=(_CONFIG, config),
        layers=layers,
        tag=f"{subject.digest.replace(':', '-')}.{kind}",
    )


def _attached(
    subject: Artifact, kind: str, layer: tuple[JsonObject, bytes], annotations: Mapping[str, str]
) -> Artifact:
    """Write a manifest that hangs on *subject*."""
    return _artifact(
        {"mediaType": IMAGE, "artifactType": kind},
        config=(_EMPTY, b"{}"),
        layers=[layer],
        tail={"subject": subject.descriptor, "annotations": dict(annotations)},
    )


def _pointer(content: bytes) -> JsonObject:
    return {"digest": digest_of(content), "size": len(content)}


def _json(document: JsonObject) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
