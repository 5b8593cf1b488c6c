"""Signatures by AWS Signer: Notary Project envelopes whose verification AWS does in a plugin of its own.

::

    protected   alg ES384, cty, signingScheme notary.x509.signingAuthority, authenticSigningTime, [expiry]
                verificationPlugin   com.amazonaws.signer.notation.plugin
                com.amazonaws.signer.signingProfileVersion
                                     arn:aws:signer:REGION:ACCOUNT:/signing-profiles/NAME/VERSION
                com.amazonaws.signer.signingJob
                                     arn:aws:signer:REGION:ACCOUNT:/signing-jobs/ID
    header      x5c: leaf, valid for days ─▶ ... ─▶ AWS Signer's root

The plugin's work is done here: https://github.com/aws/aws-signer-notation-plugin at 762e710 (1.0.350),
internal/verifier/verifier.go. It decides who signed by the profile's ARN, and asks AWS whether profile, job
or certificates are revoked; that question is returned, not asked. All else is the Notary Project's.
"""

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime

from hooks.image_trust.evidence import Attached, RevocationOf
from hooks.image_trust.finding import Digest, Rejected, Signed
from hooks.image_trust.formats.chain import Anchors, Certificate, load_store
from hooks.image_trust.formats.envelope import JWS, Envelope, Scheme
from hooks.image_trust.formats.notation import (
    check_critical,
    check_expiry,
    open_envelope,
    told_by_authority,
)
from hooks.image_trust.policy import AWS_SIGNER_PLUGIN, AWS_SIGNER_ROOT, AwsSigner, Store
from shared.errors import shown

PROFILE_VERSION = "com.amazonaws.signer.signingProfileVersion"
JOB = "com.amazonaws.signer.signingJob"
_UNDERSTOOD = frozenset({PROFILE_VERSION, JOB})
# What is done here is what its versions 1.x do; another major version would do something else.
_PLUGIN_MAJOR = "1"

# https://docs.aws.amazon.com/signer/latest/api/API_PutSigningProfile.html: name and version.
_SIGNER = r"arn:aws[a-z-]*:signer:[a-z0-9-]{1,32}:[0-9]{12}:"
_SIGNED_PROFILE = re.compile(rf"{_SIGNER}/signing-profiles/[A-Za-z0-9_]{{2,64}}/[A-Za-z0-9]{{10}}")
_SIGNED_JOB = re.compile(rf"{_SIGNER}/signing-jobs/[A-Za-z0-9-]{{1,64}}")
# As the plugin reads identities of a trust policy.
_PROFILE = re.compile(
    r"arn:[^:/]+:signer:[^:/]*:[^:/]*:/signing-profiles/(?P<name>[^/]+)(?P<version>/[^/]+)?", re.IGNORECASE
)
_ANY = "*"


def verify(
    attached: Attached, digest: Digest, store: Store | None, requirement: AwsSigner, now: datetime
) -> tuple[Signed, RevocationOf]:
    """Verify a signature, but for its revocation.

    Parameters
    ----------
    store
        Of type signingAuthority; ``None`` stands for AWS's root of the commercial partition.

    Returns
    -------
    tuple
        The signature, and what is to be asked of ``signer:GetRevocationStatus``: it holds only if nothing is
        revoked.

    Raises
    ------
    Rejected
        ``not-aws-signer``, ``unknown-plugin-version``, ``wrong-profile``, ``wildcard-profile``, and what
        :mod:`hooks.image_trust.formats.notation` raises.
    """
    opened = open_envelope(attached, digest)
    envelope, leaf = opened.envelope, opened.chain.leaf
    _check_kind(attached, envelope)
    profile = _arn(envelope, PROFILE_VERSION, _SIGNED_PROFILE)
    job = _arn(envelope, JOB, _SIGNED_JOB)
    check_critical(envelope, _UNDERSTOOD)
    _anchors(store).check(opened.chain)
    match_profile(profile, requirement.profiles)
    check_expiry(envelope, now)
    signed_at = told_by_authority(opened, now)
    signed = Signed(
        signer=profile,
        digest=opened.target.digest,
        signed_at=signed_at,
        certificate=leaf.sha256,
        claims=opened.target.annotations,
    )
    hashes = certificate_hashes(opened.chain.certificates)
    return signed, RevocationOf(profile, job, signed_at, hashes)


def _check_kind(attached: Attached, envelope: Envelope) -> None:
    if (
        attached.media_type != JWS
        or envelope.plugin != AWS_SIGNER_PLUGIN
        or envelope.scheme is not Scheme.SIGNING_AUTHORITY
    ):
        raise Rejected(
            "not-aws-signer",
            f"it is no signature of AWS Signer: {attached.media_type}, scheme {envelope.scheme.value}, "
            f"plugin {shown(envelope.plugin)}; expected {JWS}, {Scheme.SIGNING_AUTHORITY.value}, "
            f"{AWS_SIGNER_PLUGIN}",
        )
    version = envelope.plugin_min_version
    if version is not None and version.split(".")[0] not in {"0", _PLUGIN_MAJOR}:
        raise Rejected(
            "unknown-plugin-version",
            f"it demands version {shown(version)} of AWS Signer's plugin; this hook does the work of "
            f"version {_PLUGIN_MAJOR}",
        )


def _arn(envelope: Envelope, label: str, form: re.Pattern[str]) -> str:
    value = envelope.critical.get(label)
    if not isinstance(value, str) or not form.fullmatch(value):
        raise Rejected("not-aws-signer", f"{label}: expected an ARN, marked critical, got {shown(value)}")
    return value


def _anchors(store: Store | None) -> Anchors:
    if store is None:
        return Anchors((), frozenset({AWS_SIGNER_ROOT}))
    if store.type != "signingAuthority":
        raise Rejected(
            "bad-trust-store", f"awsSigner rests on a store of type signingAuthority, not {store.type}"
        )
    return load_store(store)


def match_profile(signed: str, trusted: Sequence[str]) -> str:
    """Return the ARN among *trusted* that a signature's profile version answers to.

    A profile's ARN stands for all its versions, one with a version for that one; case does not matter. What
    is no ARN of a profile matches nothing.

    Raises
    ------
    Rejected
        ``wrong-profile``, or ``wildcard-profile`` where all profiles are trusted, or a pattern of them.
    """
    if _ANY in trusted:
        raise Rejected("wildcard-profile", "* is no signing profile: any account's profile would do")
    for identity in trusted:
        found = _PROFILE.fullmatch(identity)
        # Beyond ASCII there are letters that turn into others of ASCII without their case.
        if found is None or not (identity.isascii() and signed.isascii()):
            continue
        wanted = signed if found["version"] else signed.rpartition("/")[0]
        if identity.lower() == wanted.lower():
            return identity
    if any(_ANY in identity for identity in trusted):
        raise Rejected(
            "wildcard-profile",
            f"it was signed by {shown(signed)}; profiles are named one by one, a * in an ARN is only a star",
        )
    raise Rejected("wrong-profile", f"it was signed by {shown(signed)}, which the rule does not name")


def certificate_hashes(certificates: Sequence[Certificate]) -> tuple[str, ...]:
    """Compute ``certificateHashes`` of GetRevocationStatus for a chain, leaf first.

    For each certificate the SHA-384 of what is signed of it, and the same of its issuer; the root is its own.
    """
    own = [hashlib.sha384(one.to_be_signed).hexdigest() for one in certificates]
    return tuple(one + issuer for one, issuer in zip(own, own[1:] + own[-1:], strict=True))
