"""Which registries a policy names: the hook speaks to no others.

A task definition is written by whoever deploys. If its images alone decided where this function connects to,
it would connect wherever it is told: a host counts as named only where the policy spells it out. In ECR that
is the account; which Region of AWS it is in makes no difference to who is asked.
"""

from hooks.image_trust.image_glob import image_glob
from hooks.image_trust.policy import Policy, Registry
from hooks.image_trust.reference import Reference


def settings_of(policy: Policy, reference: Reference) -> Registry | None:
    """Return how the policy says that the registry of *reference* is read, by whichever of its names."""
    # A policy has first names only.
    return policy.registries.get(reference.canonical)


def may_ask(policy: Policy, reference: Reference) -> bool:
    """Return whether the policy names the registry of *reference*."""
    if settings_of(policy, reference) is not None:
        return True
    return any(_names(text, reference) for rule in policy.rules for text in rule.match.images)


def _names(text: str, reference: Reference) -> bool:
    # One with a star is nobody's name, and is never equal to one.
    glob = image_glob(text)
    if glob.ecr is None or reference.ecr is None:
        return glob.host == reference.canonical
    # 111122223333.dkr.ecr.*.amazonaws.com
    return (glob.ecr.account, glob.ecr.dns_suffix) == (reference.ecr.account, reference.ecr.dns_suffix)
