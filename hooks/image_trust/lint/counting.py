"""No signature may stand for two of the requirements that are counted."""

from collections.abc import Iterator
from itertools import combinations, product

from hooks.image_trust.finding import Rejected
from hooks.image_trust.lint.note import Note, error
from hooks.image_trust.pattern import Token, common, tokens
from hooks.image_trust.policy import (
    AtLeast,
    Attestation,
    AwsSigner,
    Cosign,
    Keyless,
    Notation,
    Policy,
    Requirement,
    Rule,
)


def notes(policy: Policy, rule: Rule) -> Iterator[Note]:
    """Yield errors."""
    for at_least in _counts(rule.require):
        if at_least.n < 2:
            continue
        proofs = [tuple(_alone(one)) for one in at_least.of]
        for (i, one), (j, other) in combinations(enumerate(proofs, 1), 2):
            if any(_fulfilled_at_once(policy, *pair) for pair in product(one, other)):
                yield error(
                    rule,
                    f"atLeast {at_least.n} of {len(at_least.of)}: the same signature can fulfil requirements "
                    f"{i} and {j}, and would be counted twice",
                )


def _counts(requirement: Requirement) -> Iterator[AtLeast]:
    if requirement.at_least:
        yield requirement.at_least
    for one in requirement.parts:
        yield from _counts(one)


def _alone(requirement: Requirement) -> Iterator[Requirement]:
    """Yield the leaves of which each fulfils the requirement by itself."""
    if not requirement.parts:
        yield requirement
    elif requirement.needed == 1:
        for one in requirement.parts:
            yield from _alone(one)


def _fulfilled_at_once(policy: Policy, one: Requirement, other: Requirement) -> bool:
    """Return whether one signature, or one fact, can fulfil both leaves."""
    return (
        one == other
        or bool(one.cosign and other.cosign and _by_one_key(policy, one.cosign, other.cosign))
        or bool(one.keyless and other.keyless and _by_one_identity(policy, one.keyless, other.keyless))
        or bool(one.notation and other.notation and _by_one_certificate(policy, one.notation, other.notation))
        or bool(one.aws_signer and other.aws_signer and _by_one_profile(one.aws_signer, other.aws_signer))
        or bool(
            one.attestation
            and other.attestation
            and _by_one_statement(policy, one.attestation, other.attestation)
        )
        or bool(one.pinned and other.pinned and set(one.pinned.digests) & set(other.pinned.digests))
    )


def _by_one_key(policy: Policy, one: Cosign, other: Cosign) -> bool:
    conflicting = any(other.annotations.get(key, value) != value for key, value in one.annotations.items())
    return not conflicting and _material(policy, one.key) == _material(policy, other.key)


def _material(policy: Policy, name: str) -> str | None:
    """Return what makes out a key, whatever it is called."""
    key = policy.trust.keys[name]
    if key.pem is None:
        return key.kms
    from hooks.image_trust.formats.keys import load_public_key  # noqa: PLC0415  # where the policy holds keys

    try:
        return load_public_key(key.pem.encode()).fingerprint
    except Rejected:
        return key.pem  # that it can't be read is said elsewhere


def _by_one_identity(policy: Policy, one: Keyless, other: Keyless) -> bool:
    if policy.trust.roots[one.root].sha256 != policy.trust.roots[other.root].sha256:
        return False
    pairs = (
        (_exactly(one.issuer, one.issuer_pattern), _exactly(other.issuer, other.issuer_pattern)),
        (_exactly(one.identity, one.identity_pattern), _exactly(other.identity, other.identity_pattern)),
        (_exactly(one.source_repository), _exactly(other.source_repository)),
        (_exactly(None, one.source_ref), _exactly(None, other.source_ref)),
        (_exactly(one.runner_environment), _exactly(other.runner_environment)),
    )
    return all(common(*pair) is not None for pair in pairs)


def _exactly(text: str | None, pattern: str | None = None) -> tuple[Token, ...]:
    return (text,) if text else tokens(pattern or "**")


def _by_one_certificate(policy: Policy, one: Notation, other: Notation) -> bool:
    from hooks.image_trust.formats.chain import load_store, parse_identities  # noqa: PLC0415  # see above

    try:
        roots = [
            frozenset[str]().union(
                *(load_store(policy.trust.stores[name]).fingerprints for name in leaf.stores)
            )
            for leaf in (one, other)
        ]
        identities = [
            [dict(identity.attributes) for identity in parse_identities(leaf.identities)] or [{}]
            for leaf in (one, other)
        ]
    except Rejected:
        return False  # that they can't be read is said elsewhere
    return not roots[0].isdisjoint(roots[1]) and any(
        all(right.get(kind, value) == value for kind, value in left.items())
        for left, right in product(*identities)
    )


def _by_one_profile(one: AwsSigner, other: AwsSigner) -> bool:
    """Compare as AWS Signer's plugin does: without regard to case, and by version where both have one."""
    pairs = product(map(str.lower, one.profiles), map(str.lower, other.profiles))
    return any(a == b or a.startswith(f"{b}/") or b.startswith(f"{a}/") for a, b in pairs)


def _by_one_statement(policy: Policy, one: Attestation, other: Attestation) -> bool:
    """Return whether the same statement can fulfil both; what it has to say is compared as it is written."""
    if one.predicate_type != other.predicate_type or set(one.where) != set(other.where):
        return False
    return _fulfilled_at_once(policy, _signature_of(one), _signature_of(other))


def _signature_of(attestation: Attestation) -> Requirement:
    by = attestation.signed_by
    return Requirement(cosign=by.cosign) if by.cosign else Requirement(keyless=by.keyless)
