"""Which rule of a policy is a container's, and whether an exemption holds for it.

::

    image of the container ─▶ rules whose images, containers and services cover it ─▶ the most specific one
                                                                             none ─▶ refused

More specific is, in this order: the glob of the image, of the container, of the service. Of several globs
of a rule that cover, the most specific one counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from hooks.image_trust.finding import Digest
from hooks.image_trust.image_glob import image_glob
from hooks.image_trust.pattern import matches, specificity
from hooks.image_trust.policy import Exemption, Policy, Rule
from hooks.image_trust.reference import Reference
from shared.errors import Misconfigured

Weight = tuple[tuple[int, int, int], ...]
"""Of the globs for image, container and service: the larger, the more specific."""


@dataclass(frozen=True, slots=True)
class Matching:
    """A rule that is for a container, and by which of its globs."""

    rule: Rule
    image: str
    container: str
    service: str

    @property
    def weight(self) -> Weight:
        return (
            image_glob(self.image).specificity,
            specificity(self.container),
            specificity(self.service),
        )


def select(policy: Policy, reference: Reference, container: str, service: str) -> Rule | None:
    """Return the rule that decides on a container; ``None`` where there is none, which is a refusal.

    Parameters
    ----------
    reference
        As the task definition names the image: with the tag, where that is all it has.
    service
        ``cluster/service``.

    Raises
    ------
    Misconfigured
        When two rules are equally specific, which :mod:`hooks.image_trust.lint` finds before.
    """
    found = matching(policy, reference, container, service)
    if not found:
        return None
    first, *others = found
    if others and others[0].weight == first.weight:
        raise Misconfigured(
            f"policy {policy.name!r}: rules {first.rule.name!r} and {others[0].rule.name!r} are equally "
            f"specific for container {container!r} with {reference.name}"
        )
    return first.rule


def matching(policy: Policy, reference: Reference, container: str, service: str) -> tuple[Matching, ...]:
    """Return all rules that are for a container, the most specific first."""
    found = []
    for rule in policy.rules:
        images = [text for text in rule.match.images if image_glob(text).covers(reference)]
        containers = [glob for glob in rule.match.containers if matches(glob, container)]
        services = [glob for glob in rule.match.services if matches(glob, service)]
        if images and containers and services:
            image = max(images, key=lambda text: image_glob(text).specificity)
            found.append(Matching(rule, image, _most_specific(containers), _most_specific(services)))
    return tuple(sorted(found, key=lambda one: one.weight, reverse=True))


def exemption_of(
    policy: Policy, rule: Rule, container: str, digest: Digest, now: datetime
) -> Exemption | None:
    """Return the exemption that lets a digest run although its rule refuses it; of several, the longest."""
    holding = [
        exemption
        for exemption in policy.exemptions
        if exemption.rule == rule.name
        and digest in exemption.digests
        and any(matches(glob, container) for glob in exemption.containers)
        and exemption.approved <= now < exemption.expires
    ]
    return max(holding, key=lambda exemption: exemption.expires, default=None)


def _most_specific(globs: Sequence[str]) -> str:
    return max(globs, key=specificity)
