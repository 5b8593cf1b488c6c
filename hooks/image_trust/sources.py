"""Fetches what the judging wants: from registries, KMS, AWS Signer, and where trusted roots lie.

Whatever goes wrong becomes a ``Problem`` about that one fact, so that the other containers, and the other
ways to prove something, are judged all the same.
"""

import hashlib
import json
from collections.abc import Iterable

from hooks.image_trust.evidence import (
    AttachedTo,
    Evidence,
    FactsOf,
    ImageAt,
    KeyOf,
    RevocationOf,
    RootOf,
    SigningOf,
    Want,
)
from hooks.image_trust.finding import Outcome, Problem, Rejected
from hooks.image_trust.hosts import may_ask, settings_of
from hooks.image_trust.policy import Policy
from hooks.image_trust.policy import Registry as RegistrySettings
from hooks.image_trust.policy_source import read_source
from hooks.image_trust.reference import Reference
from hooks.image_trust.registry import Registry
from hooks.image_trust.registry.ecr import EcrRegistry
from shared.clients import client
from shared.errors import HookError, Misconfigured, translated

# The one platform of Notation signatures: https://docs.aws.amazon.com/signer/latest/developerguide/
# container-workflow.html
SIGNER_PLATFORM = "Notation-OCI-SHA384-ECDSA"

NO_SETTINGS = RegistrySettings()


def ask_nobody(wants: Iterable[Want], evidence: Evidence) -> None:
    """Answer what is wanted by saying that it was not asked for."""
    for want in wants:
        evidence.lack(want, Problem(Outcome.UNVERIFIABLE, "not-asked", "it was not asked for"))


class Sources:
    """What the policy may be judged by; one per invocation."""

    def __init__(
        self, policy: Policy, *, insecure: frozenset[str] = frozenset(), files: bool = False
    ) -> None:
        """Take the policy that says whom to ask.

        Parameters
        ----------
        insecure
            Loopback registries that are read over http; for the command line and tests.
        files
            Whether roots may be read from paths; for the command line.
        """
        self._policy = policy
        self._insecure = insecure
        self._files = files
        self._registries: dict[str, Registry] = {}

    def fetch(self, wants: Iterable[Want], evidence: Evidence) -> None:
        """Put what is wanted into the evidence."""
        for want in wants:
            try:
                self._fetch(want, evidence)
            except HookError as error:
                evidence.lack(want, Problem.of(error))

    def _fetch(self, want: Want, evidence: Evidence) -> None:
        match want:
            case ImageAt(reference):
                evidence.images[want] = self._registry(reference).image(reference)
            case AttachedTo(repository, subject, kinds):
                found = self._registry(repository).attachments(repository, subject, kinds)
                evidence.attached[want] = found
            case KeyOf(arn):
                evidence.keys[want] = _public_key(arn)
            case RootOf(name):
                evidence.roots[want] = self._root(name)
            case RevocationOf():
                evidence.revocations[want] = _revoked(want)
            case SigningOf(repository, digest):
                evidence.signing[want] = self._ecr(repository).signing(repository, digest)
            case FactsOf(repository, digest, scan):
                evidence.facts[want] = self._ecr(repository).facts(repository, digest, scan=scan)

    def _ecr(self, reference: Reference) -> EcrRegistry:
        registry = self._registry(reference)
        if not isinstance(registry, EcrRegistry):
            raise Rejected("not-ecr", f"{reference.registry} is not ECR, which alone could say this")
        return registry

    def _registry(self, reference: Reference) -> Registry:
        host = reference.registry
        if host not in self._registries:
            if not may_ask(self._policy, reference):
                raise Misconfigured(
                    f"policy {self._policy.name!r} does not name {host}, so it is not asked; "
                    "name it in registries, or spell it out in the images of a rule"
                )
            self._registries[host] = (
                EcrRegistry(reference.ecr) if reference.ecr else self._oci_registry(reference)
            )
        return self._registries[host]

    def _oci_registry(self, reference: Reference) -> Registry:
        from hooks.image_trust.registry.oci import OciRegistry  # noqa: PLC0415  # with requests: 0.1 s

        host, settings = reference.registry, settings_of(self._policy, reference) or NO_SETTINGS
        return OciRegistry(
            host,
            credentials=_credentials(settings.credentials) if settings.credentials else None,
            token_hosts=settings.token_hosts,
            blob_hosts=settings.blob_hosts,
            insecure=host in self._insecure,
        )

    def _root(self, name: str) -> bytes:
        root = self._policy.trust.roots[name]
        content = read_source(root.source, files=self._files)
        found = hashlib.sha256(content).hexdigest()
        if found != root.sha256:
            raise Misconfigured(
                f"root {name!r} of the policy: {root.source} has the SHA-256 {found}, expected {root.sha256}"
            )
        return content


def _public_key(arn: str) -> bytes:
    """Read the public key of a KMS key: DER of SubjectPublicKeyInfo."""
    with translated("kms:GetPublicKey", arn):
        found = client("kms", region=_region_of(arn)).get_public_key(KeyId=arn)
    if found.get("KeyUsage") != "SIGN_VERIFY":
        raise Misconfigured(f"{arn} is a key for {found.get('KeyUsage')}, not for signatures")
    return found["PublicKey"]


def _revoked(want: RevocationOf) -> tuple[str, ...]:
    """Ask AWS Signer what is revoked of a signature's profile, job and certificates."""
    arn = want.profile_version_arn
    with translated("signer:GetRevocationStatus", arn):
        found = client("signer", region=_region_of(arn)).get_revocation_status(
            signatureTimestamp=want.signed_at,
            platformId=SIGNER_PLATFORM,
            profileVersionArn=arn,
            jobArn=want.job_arn,
            certificateHashes=list(want.certificate_hashes),
        )
    return tuple(found.get("revokedEntities") or ())


def _credentials(arn: str) -> tuple[str, str]:
    """Read user name and password of a registry; neither is ever shown."""
    with translated("secretsmanager:GetSecretValue", arn):
        text = (
            client("secretsmanager", region=_region_of(arn))
            .get_secret_value(SecretId=arn)
            .get("SecretString")
        )
    try:
        found = json.loads(text or "")
        username, password = found["username"], found["password"]
    except (ValueError, LookupError, TypeError, RecursionError):
        username = password = None
    if not isinstance(username, str) or not isinstance(password, str):
        # Not chained: the error would show what it read.
        raise Misconfigured(f'{arn}: expected {{"username": ..., "password": ...}}') from None
    return username, password


def _region_of(arn: str) -> str:
    return arn.split(":")[3]
