"""Signatures of the Notary Project ("Notation"): who signed an image, and whether that still counts.

::

    envelope ─▶ integrity ─▶ authenticity ─▶ expiry ─▶ authentic time-stamp ─▶ revocation

                 integrity   authenticity   authentic time-stamp   expiry     revocation
    strict       enforced    enforced       enforced               enforced   enforced
    permissive   enforced    enforced       logged                 logged     logged
    audit        enforced    logged         logged                 logged     logged

What is only logged stands among the warnings of the :class:`~hooks.image_trust.finding.Signed`.

Source: specs/trust-store-trust-policy.md, "Signature Verification", of
https://github.com/notaryproject/specifications at d4b62b9. Plugins are programs beside the notation command;
this hook runs none, so that a signature that asks for one is refused, as the signature specification has it
("Guidelines for implementations"). The one whose work it does is AWS Signer's
(:mod:`hooks.image_trust.formats.aws_signer`).
"""

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from hooks.image_trust import strict_json
from hooks.image_trust.evidence import Attached
from hooks.image_trust.finding import Digest, Rejected, Signed
from hooks.image_trust.formats import envelope as envelopes
from hooks.image_trust.formats import timestamp
from hooks.image_trust.formats.chain import (
    Anchors,
    Certificate,
    Chain,
    check_identity,
    load_store,
    parse_identities,
)
from hooks.image_trust.formats.envelope import Envelope, Scheme
from hooks.image_trust.policy import AWS_SIGNER_PLUGIN, Notation, Store
from hooks.image_trust.reference import digest as parse_digest
from shared.errors import shown

PAYLOAD = "application/vnd.cncf.notary.payload.v1+json"
MAX_PAYLOAD_BYTES = 64 * 1024
# https://www.rfc-editor.org/rfc/rfc6838#section-4.2, which descriptors of OCI follow.
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}")
# How far the clocks of who signs and of this function may be apart. Beyond, a time that is proven would be
# wrong all the same, and a signature from the future would never be too old for a rule.
MAX_CLOCK_DIFFERENCE = timedelta(minutes=5)

type _Check = Literal["authenticity", "expiry", "authentic time-stamp", "revocation"]

_ENFORCED: Mapping[str, frozenset[_Check]] = {
    "strict": frozenset({"authenticity", "expiry", "authentic time-stamp", "revocation"}),
    "permissive": frozenset({"authenticity"}),
    "audit": frozenset(),
}


@dataclass(frozen=True, slots=True)
class Target:
    """What an envelope was made for."""

    digest: Digest
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Opened:
    """An envelope that is whole: signed by its leaf, by a chain as it has to be, over the image in question.

    Whether anybody trusts the chain is another matter.
    """

    envelope: Envelope
    chain: Chain
    target: Target


def verify(
    attached: Attached, digest: Digest, stores: Mapping[str, Store], requirement: Notation, now: datetime
) -> Signed:
    """Verify a signature.

    Parameters
    ----------
    stores
        The policy's trust stores, by name; those that the requirement names are used.

    Raises
    ------
    Rejected
        See the table above; also ``bad-trust-store`` and ``bad-identity``, whatever the level.
    """
    opened = open_envelope(attached, digest)
    _refuse_plugins(opened.envelope)
    leaf, envelope = opened.chain.leaf, opened.envelope
    trusted, identities = _Stores.of(stores, requirement), parse_identities(requirement.identities)
    judged = _Level(requirement.level)
    with judged.check("authenticity"):
        trusted.of_scheme(envelope.scheme).check(opened.chain)
        check_identity(leaf, identities)
    with judged.check("expiry"):
        check_expiry(envelope, now)
    signed_at: datetime | None = None
    with judged.check("authentic time-stamp"):
        signed_at = _authentic_time(opened, trusted.tsa, requirement, now, judged)
    with judged.check("revocation"):
        judged.warn(_unrevoked(opened.chain, requirement))
    is_authentic = "authenticity" not in judged.failed
    if envelope.scheme is Scheme.SIGNING_AUTHORITY and not is_authentic:
        signed_at = None  # told by an authority that nobody trusts
    return Signed(
        signer=leaf.name if is_authentic else f"nobody trusted, who says {leaf.name}",
        digest=opened.target.digest,
        signed_at=signed_at,
        certificate=leaf.sha256,
        claims=opened.target.annotations,
        warnings=tuple(judged.warnings),
    )


class _Level:
    """What a level makes of a check that fails."""

    def __init__(self, level: str) -> None:
        self._enforced = _ENFORCED[level]
        self.warnings: list[str] = []
        self.failed: set[_Check] = set()

    @contextlib.contextmanager
    def check(self, name: _Check) -> Iterator[None]:
        """Let what the block raises through where it is enforced, and keep it as a warning where not."""
        try:
            yield
        except Rejected as error:
            if name in self._enforced:
                raise
            self.failed.add(name)
            self.warnings.append(f"{name}: {error.code}: {error}")

    def warn(self, text: str | None) -> None:
        if text:
            self.warnings.append(text)


@dataclass(frozen=True, slots=True)
class _Stores:
    """The trust stores of a requirement, by their type; none of a type trusts nobody."""

    ca: Anchors
    signing_authority: Anchors
    tsa: Anchors | None
    """``None`` where no store of type tsa is named: then no time-stamp is looked at."""

    @classmethod
    def of(cls, stores: Mapping[str, Store], requirement: Notation) -> "_Stores":
        found: dict[str, Anchors] = {}
        for name in requirement.stores:
            store = stores.get(name)
            if store is None:
                raise Rejected("bad-trust-store", f"the policy has no trust store {shown(name)}")
            anchors = load_store(store)
            found[store.type] = found[store.type] | anchors if store.type in found else anchors
        nobody = Anchors((), frozenset())
        return cls(found.get("ca", nobody), found.get("signingAuthority", nobody), found.get("tsa"))

    def of_scheme(self, scheme: Scheme) -> Anchors:
        """Return whom a scheme may rest on: who is trusted with names is not trusted with times."""
        return self.signing_authority if scheme is Scheme.SIGNING_AUTHORITY else self.ca


# --- Integrity -------------------------------------------------------------------------------------


def open_envelope(attached: Attached, digest: Digest) -> Opened:
    """Check all that can be without knowing whom to trust.

    Raises
    ------
    Rejected
        Whatever reading and verifying envelope and certificates raise; ``wrong-content-type``,
        ``malformed-payload``, and ``signed-other-digest``.
    """
    envelope = envelopes.parse(attached.content, attached.media_type)
    if envelope.content_type != PAYLOAD:
        raise Rejected("wrong-content-type", f"it signs {shown(envelope.content_type)}; expected {PAYLOAD}")
    certificates = [Certificate.load(der) for der in envelope.chain]
    payload = envelopes.open_payload(envelope, certificates[0])
    chain = Chain.for_signing_code(certificates)
    target = _target(payload)
    if target.digest != digest:
        raise Rejected("signed-other-digest", f"it is over {target.digest}, not over {digest}")
    return Opened(envelope, chain, target)


def _target(payload: bytes) -> Target:
    document = strict_json.loads(payload, "the payload", limit_bytes=MAX_PAYLOAD_BYTES)
    descriptor = document.get("targetArtifact") if isinstance(document, dict) else None
    if not isinstance(descriptor, dict):
        raise _malformed(f"expected an object with targetArtifact, got {shown(document)}")
    media_type, size = descriptor.get("mediaType"), descriptor.get("size")
    if not isinstance(media_type, str) or not _MEDIA_TYPE.fullmatch(media_type):
        raise _malformed(f"expected a media type, got {shown(media_type)}")
    if type(size) is not int or size < 0:
        raise _malformed(f"expected a size in bytes, got {shown(size)}")
    annotations = descriptor.get("annotations", {})
    if not isinstance(annotations, dict) or not all(isinstance(value, str) for value in annotations.values()):
        raise _malformed(f"expected annotations, text by name, got {shown(annotations)}")
    return Target(parse_digest(descriptor.get("digest")), annotations)


def _malformed(text: str) -> Rejected:
    return Rejected("malformed-payload", f"the payload: {text}")


def _refuse_plugins(envelope: Envelope) -> None:
    if envelope.plugin == AWS_SIGNER_PLUGIN:
        raise Rejected(
            "signed-by-aws-signer",
            "it is AWS Signer's signature; it is verified by a requirement awsSigner, with its revocation",
        )
    if envelope.plugin is not None:
        raise Rejected(
            "unknown-plugin",
            f"only the plugin {shown(envelope.plugin)} could verify it, and this hook runs no plugins",
        )
    check_critical(envelope, frozenset())


def check_critical(envelope: Envelope, understood: frozenset[str]) -> None:
    """Check that all attributes that have to be understood are.

    Raises
    ------
    Rejected
        ``unknown-critical-attribute``.
    """
    if unknown := [label for label in envelope.critical if label not in understood]:
        raise Rejected(
            "unknown-critical-attribute",
            f"the signer demands that {shown(unknown[0])} is understood, which this hook does not",
        )


# --- What comes after it ---------------------------------------------------------------------------


def check_expiry(envelope: Envelope, now: datetime) -> None:
    """Check that the signer's own limit is not reached.

    Raises
    ------
    Rejected
        ``expired``.
    """
    if envelope.expiry is not None and now >= envelope.expiry:
        raise Rejected("expired", f"the signer let it expire at {envelope.expiry:%Y-%m-%dT%H:%M:%SZ}")


def told_by_authority(opened: Opened, now: datetime) -> datetime:
    """Return the time that a signing authority tells, once its certificates were valid then.

    Raises
    ------
    Rejected
        ``signed-in-the-future``, ``certificate-expired``, ``certificate-not-yet-valid``.
    """
    told = opened.envelope.signing_time
    _check_past(told, now)
    opened.chain.check_valid(told, told, "the time of the signature")
    return told


def _check_past(at: datetime, now: datetime) -> None:
    if at > now + MAX_CLOCK_DIFFERENCE:
        raise Rejected(
            "signed-in-the-future",
            f"it says that it was signed at {at:%Y-%m-%dT%H:%M:%SZ}, and now is {now:%Y-%m-%dT%H:%M:%SZ}",
        )


def _authentic_time(
    opened: Opened, tsa: Anchors | None, requirement: Notation, now: datetime, judged: _Level
) -> datetime | None:
    """Return when it was signed at the latest, where something proves it, and check the certificates then."""
    envelope, chain = opened.envelope, opened.chain
    if envelope.scheme is Scheme.SIGNING_AUTHORITY:
        return told_by_authority(opened, now)
    is_always = requirement.verify_timestamp == "always"
    if tsa is None or not (is_always or chain.has_expired(now)):
        chain.check_valid(now, now, "now")
        return None
    if envelope.timestamp is None:
        raise Rejected(
            "no-timestamp", "the rule names a store of time-stamp authorities, and there is no time-stamp"
        )
    stamp = timestamp.verify(envelope.timestamp, envelope.signature, tsa)
    _check_past(stamp.at, now)
    chain.check_valid(stamp.earliest, stamp.latest, "the time of the time-stamp")
    # Of an authority that can't be asked about, a time-stamp proves nothing: "It is always enforced".
    judged.warn(_unrevoked(stamp.chain, requirement))
    return stamp.at


def _unrevoked(chain: Chain, requirement: Notation) -> str | None:
    """Check that nobody would have to be asked whether a chain is revoked; return a warning otherwise."""
    if not chain.revocable:
        return None
    text = f"{chain.revocable[0]} names servers that know whether it is revoked, and this hook asks none"
    if requirement.revocation == "required":
        raise Rejected("revocation-not-checked", text)
    return f"revocation: {text}"
