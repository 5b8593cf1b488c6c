"""What a policy does on purpose, it is hoped."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

from hooks.image_trust.image_glob import image_glob
from hooks.image_trust.lint.note import Note, warning
from hooks.image_trust.pattern import overlap
from hooks.image_trust.policy import Policy, Requirement, Rule

_REMOTE = re.compile(r"(ssm:/|s3://|package:)")


def notes(policy: Policy, now: datetime | None) -> Iterator[Note]:
    """Yield warnings."""
    yield from _lenient(policy)
    for rule in policy.rules:
        if rule.mode == "observe":
            yield warning(rule, "only observes: it refuses nothing")
        for leaf in rule.require.leaves:
            yield from _leaf(rule, leaf)
    yield from _roots(policy)
    yield from _unused(policy)
    yield from _exemptions(policy)
    if now is not None:
        yield from _past(policy, now)


def _lenient(policy: Policy) -> Iterator[Note]:
    if policy.mode == "observe":
        yield warning(None, "the policy only observes: it refuses nothing")
    if not policy.references.require_digest:
        yield warning(
            None, "references.requireDigest is false: what a tag leads to may change between two deployments"
        )


def _leaf(rule: Rule, leaf: Requirement) -> Iterator[Note]:
    denied = "is only logged"
    if leaf.notation:
        if leaf.notation.level != "strict":
            what = "an untrusted signer" if leaf.notation.level == "audit" else "an expired signature"
            yield warning(rule, f"notation.level {leaf.notation.level}: {what} {denied}")
        if leaf.notation.revocation == "skip":
            yield warning(rule, "notation.revocation skip: a revoked certificate is accepted")
        if leaf.notation.identities == ("*",):
            yield warning(rule, "notation.identities *: whoever has a certificate of the stores may sign")
    if leaf.aws_signer and leaf.aws_signer.revocation == "logged":
        yield warning(
            rule, f"awsSigner.revocation logged: that revocation can't be asked {denied}, and the image runs"
        )
    if leaf.attestation and not leaf.attestation.where:
        yield warning(
            rule,
            f"attestation of {leaf.attestation.predicate_type} without where: whatever it says is enough",
        )


def _roots(policy: Policy) -> Iterator[Note]:
    for name, root in policy.trust.roots.items():
        if root.max_age_days is None:
            yield warning(
                None,
                f"trust.roots.{name} has no fetched and maxAgeDays: that its publisher has withdrawn a key "
                "is never learnt",
            )
        if not _REMOTE.match(root.source):
            yield warning(
                None, f"trust.roots.{name}: {root.source} is a path, which only the command line reads"
            )


def _unused(policy: Policy) -> Iterator[Note]:
    named = {pair for rule in policy.rules for pair in rule.require.trusted}
    for kind in ("keys", "roots", "stores"):
        for name in getattr(policy.trust, kind):
            if (kind, name) not in named:
                yield warning(None, f"trust.{kind}.{name} is named by no rule")
    globs = [image_glob(text) for rule in policy.rules for text in rule.match.images]
    for host in policy.registries:
        if not any(overlap(glob.host, host) for glob in globs):
            yield warning(None, f"registries.{host} is covered by no rule")


def _exemptions(policy: Policy) -> Iterator[Note]:
    denied = set(policy.references.deny_digests)
    for exemption in policy.exemptions:
        rule = next(rule for rule in policy.rules if rule.name == exemption.rule)
        if denied.intersection(exemption.digests):
            yield warning(
                rule, f"exemption {exemption.name!r} has a digest that denyDigests bans all the same"
            )
        if not any(overlap(one, other) for one in exemption.containers for other in rule.match.containers):
            yield warning(rule, f"exemption {exemption.name!r} is for containers that the rule is not for")
    for rule in policy.rules:
        for leaf in rule.require.leaves:
            if leaf.pinned and denied.intersection(leaf.pinned.digests):
                yield warning(rule, "pinned has a digest that denyDigests bans all the same")


def _past(policy: Policy, now: datetime) -> Iterator[Note]:
    for exemption in policy.exemptions:
        if exemption.expires <= now:
            yield warning(None, f"exemption {exemption.name!r} has expired at {_moment(exemption.expires)}")
        elif exemption.approved > now:
            yield warning(
                None, f"exemption {exemption.name!r} holds only from {_moment(exemption.approved)} on"
            )
    for name, key in policy.trust.keys.items():
        if key.valid_until and key.valid_until <= now:
            yield warning(None, f"trust.keys.{name} was valid until {_moment(key.valid_until)}")
    for name, root in policy.trust.roots.items():
        if root.fetched and root.max_age_days and now - root.fetched > timedelta(days=root.max_age_days):
            yield warning(
                None, f"trust.roots.{name} was fetched over {root.max_age_days} days ago: nothing holds"
            )


def _moment(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M %Z}"
