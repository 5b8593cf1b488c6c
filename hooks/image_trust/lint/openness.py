"""Rules that anybody can fulfil.

The sample that AWS publishes admits any image whose host looks like ECR's, of whatever account. Here it has
to be told whose: by an account, by an organisation, by a signature of somebody in particular.
"""

from collections.abc import Iterator

from hooks.image_trust.image_glob import ImageGlob, image_glob
from hooks.image_trust.lint.note import Note, error, warning
from hooks.image_trust.lint.precedence import ANYBODY
from hooks.image_trust.pattern import matches, overlap
from hooks.image_trust.policy import Keyless, Policy, Requirement, Rule
from hooks.image_trust.reference import DOCKER_HUB, ECR_PUBLIC

SHARED_REGISTRIES = frozenset({DOCKER_HUB, ECR_PUBLIC, "ghcr.io", "quay.io", "gcr.io", "registry.gitlab.com"})
"""In which anybody may have a repository. There are more; these are those that most images come from."""

_FORGES = ("https://github.com/", "https://gitlab.com/")
_ISSUER = f"https://{ANYBODY}.example"
_ANYBODY_S = (f"https://{ANYBODY}.example/**", f"*@{ANYBODY}.example")


def notes(policy: Policy, rule: Rule) -> Iterator[Note]:
    """Yield errors and warnings."""
    for text in rule.match.images:
        yield from _image(policy, rule, image_glob(text))
    for leaf in rule.require.leaves:
        keyless = leaf.attestation.signed_by.keyless if leaf.attestation else leaf.keyless
        if keyless:
            yield from _signature(rule, keyless)


# --- Of images --------------------------------------------------------------------------------------


def _image(policy: Policy, rule: Rule, glob: ImageGlob) -> Iterator[Note]:
    """Say whose images come through without any proof."""
    if not _by_place(rule.require):
        return
    is_ours = _by_place(rule.require) and not _by_any_place(rule.require)
    if glob.ecr is not None and "*" in glob.ecr.account and not is_ours:
        yield error(
            rule, f"{glob.text} lets in images of any AWS account, with nothing proven; name the account"
        )
    elif not glob.names_registry and not is_ours:
        yield error(rule, f"{glob.text} lets in images of any registry, with nothing proven")
    elif glob.ecr is None and not is_ours and "*" in glob.path.partition("/")[0]:
        anybody = glob.host in SHARED_REGISTRIES or glob.host not in policy.registries
        yield (error if anybody else warning)(
            rule,
            f"{glob.text} lets in whatever anybody has pushed to {glob.host}, with nothing proven"
            + (
                ""
                if glob.host in SHARED_REGISTRIES or not anybody
                else "; name it in registries if it is yours"
            ),
        )
    elif "**" in glob.text:
        yield warning(rule, f"{glob.text} lets in all that may be pushed there, with nothing proven")


def _by_place(requirement: Requirement) -> bool:
    """Return whether it can be fulfilled by where an image lies alone."""
    if requirement.parts:
        return sum(map(_by_place, requirement.parts)) >= requirement.needed
    return requirement.registry is not None or requirement.ecr is not None


def _by_any_place(requirement: Requirement) -> bool:
    """Return whether it can be fulfilled so by a place in nobody's account in particular."""
    if requirement.parts:
        return sum(map(_by_any_place, requirement.parts)) >= requirement.needed
    return requirement.ecr is not None or (
        requirement.registry is not None and not requirement.registry.accounts
    )


# --- Of signatures ----------------------------------------------------------------------------------


def _signature(rule: Rule, keyless: Keyless) -> Iterator[Note]:
    """Say who can sign, where that is anybody."""
    if keyless.issuer_pattern and matches(keyless.issuer_pattern, _ISSUER):
        yield error(
            rule,
            f"issuerPattern {keyless.issuer_pattern!r} takes identities of any issuer, and anyone may run "
            "one",
        )
    pattern = keyless.identity_pattern
    if pattern and not keyless.source_repository and _is_anybody_s(pattern):
        yield error(
            rule,
            f"identityPattern {pattern!r} takes signatures of anybody; spell out the organisation, or name "
            "the sourceRepository",
        )


def _is_anybody_s(pattern: str) -> bool:
    if any(overlap(pattern, identity) for identity in _ANYBODY_S):
        return True
    forge = next((forge for forge in _FORGES if pattern.startswith(forge)), None)
    if forge is not None:
        return "*" in pattern.removeprefix(forge).partition("/")[0]
    return any(overlap(pattern, f"{forge}{ANYBODY}/**") for forge in _FORGES)
