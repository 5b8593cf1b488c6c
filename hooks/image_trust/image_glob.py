"""Globs of images: which references a rule is for.

::

    111122223333.dkr.ecr.*.amazonaws.com/shop/**        all repositories below shop, in any Region
    ghcr.io/example/*                                   repositories of example, not what is below them
    public.ecr.aws/vendor/agent:7.*                     by these tags, and never by digest
    **                                                  everything

A glob covers registry and repository of the completed reference: ``nginx`` is ``docker.io/library/nginx``.
``*`` is any text without a slash and, within the host, without a dot: one label, as in certificates. ``**``
is any text at all.

What names no tag covers every tag and every digest, because neither is a property of the repository. What
names one covers references by such a tag alone: beside a digest a tag is decoration, and whoever deploys
could choose his rule by it.

A registry's other names are covered as its first is; :mod:`hooks.image_trust.reference` lists them.

The dialect is policy-controller's; docs/image-policy.md lists where it is stricter, and says why.
Source: https://github.com/sigstore/policy-controller/blob/main/pkg/apis/glob/glob.go
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from hooks.image_trust.pattern import Star, Token, common, covers, differ, tokens, weight
from hooks.image_trust.reference import DOCKER_HUB, EcrRepository, Reference, can_be_host, canonical_host
from shared.errors import shown

_CHARACTERS = re.compile(r"[A-Za-z0-9_./:*-]+")
_IPV6_HOST = re.compile(r"\[[a-f0-9:]*:[a-f0-9:]*\](?=[:/])")
_SUFFIX = re.compile(r"(:[A-Za-z0-9_.*-]+|@[a-z0-9:*]+)?")


@dataclass(frozen=True, slots=True)
class ImageGlob:
    """One glob, read. Made by :func:`image_glob`."""

    text: str
    """As it was written."""
    host: str
    """What it says of the registry, by the registry's first name; ``**`` where it says nothing."""
    path: str
    """What it says of the repository; ``**`` where it says nothing."""
    name: tuple[Token, ...]
    """Of registry and repository."""
    suffix: tuple[Token, ...]
    """``:tag`` or ``@digest``; without either, any."""
    ecr: EcrRepository | None
    """Where in ECR, with stars for what it leaves open; ``None`` where it is not ECR's alone."""

    def covers(self, reference: Reference) -> bool:
        """Return whether it covers *reference*, as a task definition names it."""
        if self.ecr is not None and reference.ecr is None:
            return (
                False  # a star of its host is an account or a Region, and nothing else under Amazon's domain
            )
        suffix = f"@{reference.digest}" if reference.digest else f":{reference.tag}"
        return covers(self.suffix, suffix) and any(
            covers(self.name, spelling) for spelling in reference.spellings
        )

    @property
    def specificity(self) -> tuple[int, int, int]:
        """Return a sort key, as :func:`hooks.image_trust.pattern.specificity` does."""
        return weight(self.name if self.suffix == _ANY else (*self.name, *self.suffix))

    def overlap(self, other: "ImageGlob") -> str | None:
        """Return the text of an image that both cover; ``None`` where there is none."""
        name, suffix = common(self.name, other.name), common(self.suffix, other.suffix)
        return None if name is None or suffix is None else name + suffix

    def steps_beside(self, other: "ImageGlob") -> int:
        """Return how many steps :meth:`overlap` may take; most globs are told apart at once."""
        return 0 if differ(self.name, other.name) else len(self.text) * len(other.text)

    @property
    def has_tag(self) -> bool:
        """Whether it is for certain tags only."""
        return isinstance(self.suffix[0], str) and self.suffix[0].startswith(":")

    @property
    def names_registry(self) -> bool:
        """Whether it spells out which registry: a host or, in ECR, an account."""
        return "*" not in (self.ecr.account if self.ecr else self.host)


_ANY: tuple[Token, ...] = (Star.ANY,)


@lru_cache(maxsize=16_384)  # more than any policy has: 100 rules of 100 globs
def image_glob(text: str) -> ImageGlob:
    """Read a glob.

    Raises
    ------
    ValueError
        When it could cover no image, or is of another dialect; the text says which.
    """
    name, suffix = _split(text)
    ipv6 = _IPV6_HOST.match(name)
    host, slash, path = name.partition("/")
    if (
        not _CHARACTERS.fullmatch(name[ipv6.end() :] if ipv6 else name)
        or not _SUFFIX.fullmatch(suffix)
        or ":" in path
    ):
        raise ValueError(
            f"{shown(text)} is no glob of images: it is a name, with * and ** for what is left open, and "
            "perhaps a tag or a digest"
        )
    if name != name.lower():
        raise ValueError(f"{shown(text)} covers no image: hosts and repositories have no capitals")
    if "**" not in host and not (slash and can_be_host(host.replace("*", ""))):
        official = "" if slash else "library/"
        raise ValueError(
            f"{shown(text)} covers no image, because it names no registry; of Docker Hub's it would be "
            f"{DOCKER_HUB}/{official}{text}"
        )
    host = canonical_host(host)
    if slash and host == DOCKER_HUB and "/" not in path and "**" not in path:
        path = f"library/{path}"
    return ImageGlob(
        text,
        host if slash else "**",
        path if slash else "**",
        (*tokens(host, Star.LABEL), *tokens(slash + path)),
        tokens(suffix) or _ANY,
        EcrRepository.at(host) if slash else None,
    )


def _split(text: str) -> tuple[str, str]:
    """Split off what comes after the name, with its mark: ``:7.*``, ``@sha256:*``."""
    name, at, digest = text.partition("@")
    if at:
        return name, at + digest
    before, colon, after = name.rpartition(":")
    return (before, colon + after) if colon and "/" not in after else (name, "")
