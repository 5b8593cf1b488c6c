"""What a verdict rests on, and how the pure part asks for it.

Judging is pure: it reads :class:`Evidence`, and what it does not find there it *wants*. The edge
(:mod:`hooks.image_trust.sources`) fetches what is wanted, and the judging is done anew, until nothing is
wanted any more::

    judge(rule, evidence) ──▶ finding, wants ──▶ fetch(wants) ──▶ evidence ──▶ judge again ...

So nothing is fetched that no rule needs, everything that is wanted at once is fetched at once, and what was
judged is the same on a laptop, in a test and in Lambda.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from hooks.image_trust.finding import Digest, Problem
from hooks.image_trust.manifest import Manifest
from hooks.image_trust.reference import Reference


class Kind(StrEnum):
    """What can hang on an image."""

    COSIGN_SIGNATURE = "cosign-signature"
    """A layer of the manifest under the tag ``sha256-HEX.sig``: a payload, its signature in an annotation."""
    COSIGN_ATTESTATION = "cosign-attestation"
    """A layer of the manifest under the tag ``sha256-HEX.att``: a DSSE envelope."""
    BUNDLE = "bundle"
    """A Sigstore bundle, attached by ``subject``: a signature of cosign 3 or an attestation."""
    NOTATION = "notation"
    """A Notary Project signature envelope, attached by ``subject``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """One signature or attestation that hangs on a manifest; nothing about it is verified but digests."""

    kind: Kind
    subject: Digest
    """What it hangs on. Whether it is *over* that, its verification says."""
    manifest: Digest
    """The artifact manifest it stands in, so that anybody can fetch it again."""
    media_type: str
    """Of the layer."""
    content: bytes
    annotations: Mapping[str, str] = field(default_factory=dict)
    """Of the layer; unsigned."""


@dataclass(frozen=True, slots=True)
class Attachments:
    """What hangs on one manifest."""

    found: tuple[Attached, ...] = ()
    problems: tuple[Problem, ...] = ()
    """One for each candidate, or list of candidates, that could not be read."""


# What can be wanted. The key of a fact; its value is in the same-named table of Evidence.


@dataclass(frozen=True, slots=True)
class ImageAt:
    """The manifest at a reference: by its digest, else by its tag."""

    reference: Reference


@dataclass(frozen=True, slots=True)
class AttachedTo:
    """What hangs on a manifest."""

    repository: Reference
    """Without tag and digest."""
    subject: Digest
    kinds: frozenset[Kind]


@dataclass(frozen=True, slots=True)
class KeyOf:
    """The public key of a KMS key, by its ARN."""

    arn: str


@dataclass(frozen=True, slots=True)
class RootOf:
    """A Sigstore trusted root, by its name in the policy."""

    name: str


@dataclass(frozen=True, slots=True)
class RevocationOf:
    """Whether AWS Signer has revoked anything behind a signature.

    Source: https://docs.aws.amazon.com/signer/latest/api/API_GetRevocationStatus.html
    """

    profile_version_arn: str
    job_arn: str
    signed_at: datetime
    certificate_hashes: tuple[str, ...]
    """For each certificate of the chain, leaf first: SHA-384 of its to-be-signed part and of its issuer's."""


@dataclass(frozen=True, slots=True)
class SigningOf:
    """How ECR's managed signing of an image stands."""

    repository: Reference
    digest: Digest


@dataclass(frozen=True, slots=True)
class FactsOf:
    """What ECR says about an image and its repository."""

    repository: Reference
    digest: Digest
    scan: bool
    """Whether the findings of its scan are needed."""


Want = ImageAt | AttachedTo | KeyOf | RootOf | RevocationOf | SigningOf | FactsOf


@dataclass(frozen=True, slots=True)
class SigningStatus:
    """One signing profile's work on an image.

    Source: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageSigningStatus.html
    """

    profile_arn: str
    status: str
    """``IN_PROGRESS``, ``COMPLETE`` or ``FAILED``: a hint, never evidence."""
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """The last scan of an image."""

    status: str
    """``COMPLETE``, ``ACTIVE`` (scanned continuously), ``PENDING``, ``FAILED``, ..."""
    at: datetime | None
    counts: Mapping[str, int]
    """Findings by severity: ``{"CRITICAL": 1}``."""
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EcrFacts:
    """What ECR says about an image and its repository."""

    tag_mutability: str
    """``IMMUTABLE``, ``MUTABLE``, ``IMMUTABLE_WITH_EXCLUSION``, ``MUTABLE_WITH_EXCLUSION``."""
    exclusions: tuple[str, ...]
    """Wildcards of the tags that the exclusion is for."""
    pushed_at: datetime | None
    scan: Scan | None


@dataclass(slots=True)
class Evidence:
    """What is known so far. A table per kind of fact; a :class:`Problem` where it could not be had."""

    images: dict[ImageAt, Manifest | Problem] = field(default_factory=dict)
    attached: dict[AttachedTo, Attachments] = field(default_factory=dict)
    keys: dict[KeyOf, bytes | Problem] = field(default_factory=dict)
    """DER of SubjectPublicKeyInfo."""
    roots: dict[RootOf, bytes | Problem] = field(default_factory=dict)
    """The JSON of trusted_root.json, its SHA-256 already held against the policy's."""
    revocations: dict[RevocationOf, tuple[str, ...] | Problem] = field(default_factory=dict)
    """ARNs that are revoked; empty when none is."""
    signing: dict[SigningOf, tuple[SigningStatus, ...] | Problem] = field(default_factory=dict)
    facts: dict[FactsOf, EcrFacts | Problem] = field(default_factory=dict)

    def lack(self, want: Want, problem: Problem) -> None:
        """Note why a fact could not be had."""
        match want:
            case ImageAt():
                self.images[want] = problem
            case AttachedTo():
                self.attached[want] = Attachments(problems=(problem,))
            case KeyOf():
                self.keys[want] = problem
            case RootOf():
                self.roots[want] = problem
            case RevocationOf():
                self.revocations[want] = problem
            case SigningOf():
                self.signing[want] = problem
            case FactsOf():
                self.facts[want] = problem
