"""Whom the policy trusts has to be readable, and of the type that a requirement needs."""

from collections.abc import Iterator

from hooks.image_trust.finding import Rejected
from hooks.image_trust.lint.note import Note, error, warning
from hooks.image_trust.policy import AwsSigner, Notation, Policy, Rule


def notes(policy: Policy) -> Iterator[Note]:
    """Yield errors and warnings."""
    yield from _keys(policy)
    yield from _stores(policy)
    for rule in policy.rules:
        for leaf in rule.require.leaves:
            if leaf.notation:
                yield from _notation(policy, rule, leaf.notation)
            if leaf.aws_signer:
                yield from _aws_signer(policy, rule, leaf.aws_signer)


def _keys(policy: Policy) -> Iterator[Note]:
    for name, key in policy.trust.keys.items():
        if key.kms and ":alias/" in key.kms:
            yield warning(None, f"trust.keys.{name}: whoever may move {key.kms} chooses which key is trusted")
        if key.pem is None:
            continue
        from hooks.image_trust.formats.keys import load_public_key  # noqa: PLC0415  # where there is one

        try:
            load_public_key(key.pem.encode())
        except Rejected as problem:
            yield error(None, f"trust.keys.{name}: {problem}")


def _stores(policy: Policy) -> Iterator[Note]:
    for name, store in policy.trust.stores.items():
        from hooks.image_trust.formats.chain import load_store  # noqa: PLC0415  # where there is one

        try:
            load_store(store)
        except Rejected as problem:
            yield error(None, f"trust.stores.{name}: {problem}")


def _notation(policy: Policy, rule: Rule, notation: Notation) -> Iterator[Note]:
    from hooks.image_trust.formats.chain import parse_identities  # noqa: PLC0415  # where there are any

    try:
        parse_identities(notation.identities)
    except Rejected as problem:
        yield error(rule, f"notation.identities: {problem}")
    types = {policy.trust.stores[name].type for name in notation.stores}
    if types == {"tsa"}:
        yield error(
            rule, "notation.stores has only stores of type tsa: those vouch for times, and for no signer"
        )
    if types & {"ca"} and "tsa" not in types:
        yield warning(
            rule,
            "notation.stores has none of type tsa: they hold until the signer's certificate ends",
        )


def _aws_signer(policy: Policy, rule: Rule, signer: AwsSigner) -> Iterator[Note]:
    if signer.store is None:
        for profile in signer.profiles:
            if (partition := profile.split(":")[1]) != "aws":
                yield warning(
                    rule,
                    f"awsSigner.store is missing, and the root of the commercial partition is not known to "
                    f"vouch for {profile} in {partition}",
                )
    elif (kind := policy.trust.stores[signer.store].type) != "signingAuthority":
        yield error(rule, f"awsSigner.store {signer.store!r} is of type {kind}, expected signingAuthority")
