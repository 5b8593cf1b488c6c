"""The policy: which images may run, and what has to be proven of them.

::

    version: 1
    name: production
    trust:
      keys: {release: {kms: "arn:aws:kms:eu-west-1:111122223333:key/..."}}
    rules:
      - name: our own
        match: {images: ["111122223333.dkr.ecr.*.amazonaws.com/shop/**"]}
        require:
          allOf:
            - cosign: {key: release}
            - ecr: {tagImmutability: required, scan: {maxAgeHours: 24, block: {CRITICAL: 0}}}

What no rule matches is refused. Of the rules that match, the most specific one decides; two that are equally
specific for some image are an error of the policy, found when it is loaded. The document is the
organisation's: a service can choose among those it is offered, and tighten, and nothing else.

These models say what a document may hold; :mod:`hooks.image_trust.policy_document` reads one, and
:mod:`hooks.image_trust.lint` says what is wrong with the whole of it.
"""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic.alias_generators import to_camel

from hooks.image_trust.image_glob import image_glob
from hooks.image_trust.path import parse_path
from hooks.image_trust.reference import EcrRepository, canonical_host
from shared.errors import shown


def _is_image_glob(text: str) -> str:
    image_glob(text)
    return text


def _is_path(text: str) -> str:
    parse_path(text)
    return text


def _is_first_name(host: str) -> str:
    if EcrRepository.at(host):
        raise ValueError("a registry of ECR needs no entry, it is asked by the AWS API")
    if (first := canonical_host(host)) != host:
        raise ValueError(f"the registry {host} goes by the name {first} here")
    return host


def _time(value: object) -> datetime:
    # pydantic would read numbers, and texts of digits, as seconds since 1970, which nobody means.
    if isinstance(value, datetime):
        return value
    try:
        if isinstance(value, str) and _TIME.match(value) and (found := datetime.fromisoformat(value)).tzinfo:
            return found
    except ValueError:
        pass
    raise ValueError(f"expected a time such as 2026-12-01T00:00:00Z, with its zone, got {shown(value)}")


_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:")


Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9 ._-]{0,62}[A-Za-z0-9])?$")]
DigestText = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Glob = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^[\x21-\x7e]+$")]
Account = Annotated[str, StringConstraints(pattern=r"^[0-9]{12}$")]
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_awskeymanagementservice.html, and
# list_awssecretsmanager.html and list_awssigner.html beside it.
KmsArn = Annotated[
    str,
    StringConstraints(pattern=r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:(key|alias)/[A-Za-z0-9/_-]{1,250}$"),
]
SecretArn = Annotated[
    str,
    StringConstraints(pattern=r"^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[!-~]{1,519}$"),
]
ProfileArn = Annotated[
    str,
    StringConstraints(
        pattern=r"^arn:aws[a-z-]*:signer:[a-z0-9-]+:[0-9]{12}:/signing-profiles/[A-Za-z0-9_]{2,64}(/[A-Za-z0-9]{10})?$"
    ),
]
Text = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
Host = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[0-9]{1,5})?$")]
Region = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,4}(-[a-z]{1,16}){1,3}-[0-9]{1,2}$")]
ImageGlobText = Annotated[Glob, AfterValidator(_is_image_glob)]
Moment = Annotated[AwareDatetime, BeforeValidator(_time)]

AWS_SIGNER_PLUGIN = "com.amazonaws.signer.notation.plugin"

# The SHA-256 of the DER of "AWS Signer Code Signing Root CA G1", the root of every signature that AWS
# Signer makes in the commercial partition. Signatures carry their whole chain, so that this is all it takes.
# https://docs.aws.amazon.com/signer/latest/developerguide/Welcome.html
AWS_SIGNER_ROOT = "90a87d0543c3f094dbff9589b6649affe2f3d6e0f308799be2258461c686473f"


class Part(BaseModel):
    """What every part of a policy is: camelCase in the document, and no unknown keys."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        validate_default=True,
        allow_inf_nan=False,
    )


# --- What is trusted -------------------------------------------------------------------------------


class Key(Part):
    """A public key: in the policy itself, or in KMS."""

    pem: Annotated[str, StringConstraints(max_length=16_384)] | None = Field(
        None, description="SubjectPublicKeyInfo, as `cosign generate-key-pair` and `openssl` write it"
    )
    kms: KmsArn | None = Field(None, description="ARN of an asymmetric KMS key; its public key is read")
    valid_until: Moment | None = Field(None, description="from then on nothing that it signed is accepted")

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.pem is None) == (self.kms is None):
            raise ValueError("a key has either pem or kms")
        return self


class Root(Part):
    """A Sigstore trusted root: certificate authorities, logs and time-stamp authorities."""

    source: Text = Field(
        description="where trusted_root.json is: ssm:/name, s3://bucket/key?versionId=..., package:file or, "
        "for the command line, a path"
    )
    sha256: Sha256 = Field(description="of that file, so that nobody else can change it")
    fetched: Moment | None = Field(None, description="when it was taken from its publisher")
    max_age_days: int | None = Field(
        None, ge=1, le=3650, description="with fetched: from then on it is no longer trusted"
    )

    @model_validator(mode="after")
    def _ages_from(self) -> Self:
        if self.max_age_days is not None and self.fetched is None:
            raise ValueError("maxAgeDays counts from fetched, which is missing")
        return self


class Store(Part):
    """A trust store of the Notary Project: the roots that chains of certificates have to end in."""

    type: Literal["ca", "signingAuthority", "tsa"]
    certificates: tuple[Annotated[str, StringConstraints(max_length=65_536)], ...] = Field(
        (), max_length=50, description="PEM"
    )
    fingerprints: tuple[Sha256, ...] = Field(
        (), max_length=50, description="SHA-256 of a root's DER; the root itself comes with the signature"
    )

    @model_validator(mode="after")
    def _has_roots(self) -> Self:
        if not self.certificates and not self.fingerprints:
            raise ValueError("a store without certificates and fingerprints trusts nobody")
        return self


class Trust(Part):
    """Whom rules may name."""

    keys: dict[Name, Key] = Field({}, max_length=50)
    roots: dict[Name, Root] = Field({}, max_length=10, description="of Sigstore, for keyless signatures")
    stores: dict[Name, Store] = Field({}, max_length=20, description="of the Notary Project")


class Registry(Part):
    """How a registry other than ECR is read."""

    credentials: SecretArn | None = Field(
        None, description='Secrets Manager secret: {"username": ..., "password": ...}; none: anonymous'
    )
    token_hosts: tuple[Host, ...] = Field(
        (), max_length=10, description="hosts its tokens may come from, beside itself"
    )
    blob_hosts: tuple[Host, ...] = Field(
        (), max_length=10, description="hosts it may redirect blobs to, beside itself"
    )


# --- What can be required --------------------------------------------------------------------------


class Pinned(Part):
    """These digests and no others."""

    digests: tuple[DigestText, ...] = Field(min_length=1, max_length=500)


class Where(Part):
    """Which registry, account, Region and repository; what `match.images` says stands beside it."""

    accounts: tuple[Account, ...] = Field((), description="of ECR; others are refused")
    regions: tuple[Region, ...] = Field((), description="of ECR; others are refused")
    repositories: tuple[Glob, ...] = Field((), description="without the host: shop/**")


class Cosign(Part):
    """A signature made with a key, by cosign: under its tag, or as a bundle."""

    key: Name
    formats: tuple[Literal["tag", "bundle"], ...] = Field(("tag", "bundle"), min_length=1)
    annotations: dict[str, str] = Field({}, max_length=20, description="that have to be under the signature")
    log: Name | None = Field(
        None,
        description="a root: the signature has to be in its transparency log, at a time the key was valid",
    )


class Keyless(Part):
    """A signature made with an identity instead of a key: a workflow, a person."""

    root: Name
    issuer: Text | None = Field(None, description="the OpenID Connect issuer, exactly")
    issuer_pattern: Text | None = Field(
        None, description="the same as a glob: * is anything but /, ** anything"
    )
    identity: Text | None = Field(None, description="the certificate's subject alternative name, exactly")
    identity_pattern: Text | None = Field(None, description="the same as a glob")
    source_repository: Text | None = Field(
        None, description="https://github.com/org/repository, as Fulcio certifies it"
    )
    source_ref: Text | None = Field(None, description="refs/heads/main, or a glob of it")
    runner_environment: Text | None = Field(None, description="github-hosted")
    formats: tuple[Literal["tag", "bundle"], ...] = Field(("tag", "bundle"), min_length=1)

    @model_validator(mode="after")
    def _names_somebody(self) -> Self:
        if (self.issuer is None) == (self.issuer_pattern is None):
            raise ValueError(
                "either issuer or issuerPattern is needed: anyone may run an issuer of identities"
            )
        if (self.identity is None) == (self.identity_pattern is None):
            raise ValueError("either identity or identityPattern is needed: anyone can have some identity")
        return self


class Notation(Part):
    """A signature of the Notary Project, in JWS or COSE."""

    stores: tuple[Name, ...] = Field(min_length=1, max_length=10)
    identities: tuple[Text, ...] = Field(
        min_length=1,
        max_length=50,
        description='"x509.subject: C=..., O=..., CN=...", or "*" for whoever the stores vouch for',
    )
    level: Literal["strict", "permissive", "audit"] = "strict"
    verify_timestamp: Literal["always", "afterCertExpiry"] = "always"
    revocation: Literal["required", "skip"] = Field(
        "required",
        description="required: a chain that says where it can be revoked is not accepted, because this hook "
        "asks neither CRL nor OCSP servers; skip: accepted, and said so",
    )


class AwsSigner(Part):
    """A signature made by AWS Signer, on push or by the notation command."""

    profiles: tuple[ProfileArn, ...] = Field(
        min_length=1, max_length=50, description="ARNs of signing profiles, with or without version"
    )
    store: Name | None = Field(
        None, description="a store of type signingAuthority; none: AWS's root of the commercial partition"
    )
    revocation: Literal["required", "logged"] = Field(
        "required", description="what if signer:GetRevocationStatus can't be asked"
    )


class Clause(Part):
    """Something that has to be true of a predicate. Every value at the path has to satisfy it."""

    path: Annotated[str, AfterValidator(_is_path)] = Field(
        description='runDetails.builder.id, materials[0].uri, components[*].name, annotations["a.b"]'
    )
    equals: str | int | float | bool | None = None
    one_of: tuple[str | int | float | bool, ...] | None = Field(None, min_length=1, max_length=100)
    none_of: tuple[str | int | float | bool, ...] | None = Field(
        None, min_length=1, max_length=100, description="true of no values as well"
    )
    matches: Glob | None = Field(None, description="a glob: * is anything but /, ** anything")
    at_least: float | None = None
    at_most: float | None = None
    within_hours: float | None = Field(
        None, gt=0, description="a time-stamp, not older than this and not ahead"
    )
    exists: bool | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        said = self.model_fields_set - {"path"}
        if len(said) != 1 or getattr(self, next(iter(said))) is None:
            names = ", ".join(
                info.alias or name for name, info in type(self).model_fields.items() if name != "path"
            )
            raise ValueError(f"a clause has, beside its path, exactly one of {names}")
        return self


class SignedBy(Part):
    """Who made an attestation."""

    cosign: Cosign | None = None
    keyless: Keyless | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.cosign is None) == (self.keyless is None):
            raise ValueError("signedBy has either cosign or keyless")
        if self.cosign is not None and self.cosign.annotations:
            raise ValueError(
                "annotations are under signatures of images; what an attestation has to say stands in where"
            )
        return self


class Attestation(Part):
    """A signed in-toto statement about the image."""

    predicate_type: Text = Field(description="https://slsa.dev/provenance/v1, https://spdx.dev/Document, ...")
    signed_by: SignedBy
    where: tuple[Clause, ...] = Field((), max_length=50, description="all of them, of one statement")
    max_age_hours: float | None = Field(
        None, gt=0, description="of the signature, where its time is proven; unproven is too old"
    )


class ScanLimit(Part):
    """What the image's last scan may have found."""

    max_age_hours: float = Field(24.0, gt=0, le=24 * 365)
    block: dict[Literal["CRITICAL", "HIGH", "MEDIUM", "LOW", "INFORMATIONAL", "UNDEFINED"], int] = Field(
        {"CRITICAL": 0}, min_length=1, description="at most so many findings of a severity"
    )


class Ecr(Part):
    """What ECR itself says."""

    tag_immutability: Literal["required"] | None = Field(
        None, description="the repository must not let tags move"
    )
    scan: ScanLimit | None = None
    max_image_age_days: float | None = Field(None, gt=0, description="since it was pushed")

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if all(value is None for value in (self.tag_immutability, self.scan, self.max_image_age_days)):
            raise ValueError("ecr has at least one of tagImmutability, scan, maxImageAgeDays")
        return self


class AtLeast(Part):
    """So many of several requirements."""

    n: int = Field(ge=1)
    of: tuple["Requirement", ...] = Field(min_length=1, max_length=20)

    @model_validator(mode="after")
    def _can_hold(self) -> Self:
        if self.n > len(self.of):
            raise ValueError(f"{self.n} of {len(self.of)} can never hold")
        return self


class Requirement(Part):
    """One requirement: exactly one of these."""

    all_of: tuple["Requirement", ...] | None = Field(None, min_length=1, max_length=20)
    any_of: tuple["Requirement", ...] | None = Field(None, min_length=1, max_length=20)
    at_least: AtLeast | None = None
    registry: Where | None = Field(None, description="where it comes from is enough; nothing is proven of it")
    pinned: Pinned | None = None
    cosign: Cosign | None = None
    keyless: Keyless | None = None
    notation: Notation | None = None
    aws_signer: AwsSigner | None = None
    attestation: Attestation | None = None
    ecr: Ecr | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        said = sorted(self.model_fields_set)
        if len(said) != 1 or getattr(self, said[0]) is None:
            names = ", ".join(info.alias or name for name, info in type(self).model_fields.items())
            raise ValueError(f"a requirement is exactly one of {names}")
        return self

    @property
    def said(self) -> tuple[str, "Leaf | AtLeast | tuple[Requirement, ...]"]:
        """Return which it is, as the document calls it, and what it says."""
        field = next(iter(self.model_fields_set))
        return type(self).model_fields[field].alias or field, getattr(self, field)

    @property
    def parts(self) -> tuple["Requirement", ...]:
        """Of ``allOf``, ``anyOf`` and ``atLeast``: their requirements."""
        return self.all_of or self.any_of or (self.at_least.of if self.at_least else ())

    @property
    def needed(self) -> int:
        """How many of its parts have to hold."""
        return self.at_least.n if self.at_least else 1 if self.any_of else len(self.parts)

    @property
    def leaves(self) -> Iterator["Requirement"]:
        """Return it, or all that stand below it."""
        if not self.parts:
            yield self
        for one in self.parts:
            yield from one.leaves

    @property
    def trusted(self) -> Iterator[tuple[str, str]]:
        """Yield what of ``trust`` it names: ``("keys", "release")``."""
        for leaf in self.leaves:
            yield from _named(leaf)


type Leaf = Where | Pinned | Cosign | Keyless | Notation | AwsSigner | Attestation | Ecr
"""What is judged by itself."""


# --- Rules and exemptions --------------------------------------------------------------------------


class Match(Part):
    """Which containers a rule is for."""

    images: tuple[ImageGlobText, ...] = Field(
        min_length=1,
        max_length=100,
        description="globs of the completed reference without tag and digest, such as "
        "111122223333.dkr.ecr.*.amazonaws.com/shop/**: * is anything but / (nor . in the host), ** anything",
    )
    containers: tuple[Glob, ...] = Field(("*",), min_length=1, max_length=100)
    services: tuple[Glob, ...] = Field(
        ("**",), min_length=1, max_length=100, description="globs of cluster/service"
    )


class Rule(Part):
    """What has to be proven of some images."""

    name: Name
    match: Match
    require: Requirement
    mode: Literal["enforce", "observe"] = Field("enforce", description="observe: judged and recorded only")
    multi_arch: Literal["either", "index", "platform"] = Field(
        "either",
        description="what of an image for several platforms has to be signed: the index, the image of the "
        "task's platform, or one of the two",
    )


class Exemption(Part):
    """A digest that may run although its rule refuses it, for a while."""

    name: Name
    rule: Name
    containers: tuple[Glob, ...] = Field(("*",), min_length=1)
    digests: tuple[DigestText, ...] = Field(min_length=1, max_length=20)
    reason: Text
    approved_by: Text
    approved: Moment = Field(description="when; it holds from then on")
    expires: Moment


class References(Part):
    """How task definitions may name images."""

    require_digest: bool = Field(
        True, description="refuse tags; otherwise a tag is resolved, and held to what it was resolved to"
    )
    deny_digests: tuple[DigestText, ...] = Field(
        (), max_length=500, description="never to run again, whatever else is said"
    )


class Policy(Part):
    """Which images may run."""

    version: Literal[1]
    name: Name
    mode: Literal["enforce", "observe"] = Field("enforce", description="observe: judged and recorded only")
    references: References = References()
    trust: Trust = Trust()
    registries: dict[Annotated[Host, AfterValidator(_is_first_name)], Registry] = Field(
        {}, max_length=20, description="by host; ECR needs no entry"
    )
    rules: tuple[Rule, ...] = Field(min_length=1, max_length=100)
    exemptions: tuple[Exemption, ...] = Field((), max_length=100)
    max_exemption_days: int = Field(30, ge=1, le=90, description="how long any exemption may last")
    injected: tuple[Name, ...] = Field(
        ("ecs-service-connect", "aws-guardduty-agent"),
        description="how the names of containers begin that AWS adds beside those of the task definition",
    )

    @model_validator(mode="after")
    def _exemptions_end(self) -> Self:
        longest = timedelta(days=self.max_exemption_days)
        for exemption in self.exemptions:
            if not timedelta(0) < exemption.expires - exemption.approved <= longest:
                raise ValueError(
                    f"exemption {exemption.name!r} lasts from {_moment(exemption.approved)} to "
                    f"{_moment(exemption.expires)}; it may last {self.max_exemption_days} days at most"
                )
        return self

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        rules = [rule.name for rule in self.rules]
        for what, names in (("rules", rules), ("exemptions", [one.name for one in self.exemptions])):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"several {what} are called {twice[0]!r}")
        for exemption in self.exemptions:
            if exemption.rule not in rules:
                raise ValueError(f"exemption {exemption.name!r}: there is no rule {exemption.rule!r}")
        for rule in self.rules:
            for kind, name in rule.require.trusted:
                if name not in getattr(self.trust, kind):
                    raise ValueError(f"rule {rule.name!r}: trust.{kind} has no {name!r}")
        return self


def _named(leaf: Requirement) -> Iterator[tuple[str, str]]:
    """Yield what of ``trust`` a requirement names."""
    signed_by = leaf.attestation.signed_by if leaf.attestation else SignedBy.model_construct()
    for cosign in filter(None, (leaf.cosign, signed_by.cosign)):
        yield "keys", cosign.key
        if cosign.log:
            yield "roots", cosign.log
    for keyless in filter(None, (leaf.keyless, signed_by.keyless)):
        yield "roots", keyless.root
    if leaf.notation:
        for store in leaf.notation.stores:
            yield "stores", store
    if leaf.aws_signer and leaf.aws_signer.store:
        yield "stores", leaf.aws_signer.store


def _moment(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
