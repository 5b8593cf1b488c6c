"""Which containers a revision runs, from its task definition and from what ECS recorded about it.

::

    task definition                  containerImages                     what comes of it
    web: shop/web@sha256:aa          web: shop/web@sha256:aa  sha256:aa  judged
    log: vendor/log:3                log: vendor/log:3        (none yet) judged; its digest is looked up
    -                                ecs-service-connect-x               AWS's own, named in the record
    -                                miner                               refused

Sources: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerImage.html and
API_ContainerDefinition.html.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hooks.image_trust.finding import Digest, Rejected
from hooks.image_trust.manifest import Platform
from hooks.image_trust.reference import digest
from shared.errors import shown
from shared.revision import Image

# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RuntimePlatform.html
_ARCHITECTURES = {"X86_64": "amd64", "ARM64": "arm64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container to be judged."""

    name: str
    image: str
    """As in the task definition."""
    recorded: Digest | None = None
    """What ECS recorded that it runs; ``None`` while no task has started from a tag."""
    platform: Platform | None = None
    """``None`` where any machine may run it, as far as is known."""
    is_consistent: bool = True
    """Whether all its tasks run the same image; without, a tag means something new at every start."""


@dataclass(frozen=True, slots=True)
class Containers:
    """What a revision runs."""

    judged: tuple[Container, ...]
    injected: tuple[str, ...]
    """Names of those that AWS added."""


def containers(
    definition: Mapping[str, Any],
    images: Sequence[Image],
    injected: Sequence[str],
    *,
    on_fargate: bool = False,
    architecture: str | None = None,
) -> Containers:
    """Join a task definition, in the API's shape, with the images of its revision.

    Parameters
    ----------
    injected
        How names begin of containers that AWS adds.
    on_fargate
        Whether all tasks run on Fargate, by the revision.
    architecture
        What they run on where ECS overrides the task definition: ``X86_64``, ``ARM64``.

    Raises
    ------
    Rejected
        ``unlisted-container`` or ``other-image``: the two don't describe the same task.
    """
    recorded = {image.container: image for image in images}
    if len(recorded) != len(images):
        raise Rejected("other-image", "the revision lists several images of one container")
    platform = _platform(definition, architecture) if on_fargate else None
    judged: list[Container] = []
    for container in definition.get("containerDefinitions") or ():
        name, image = str(container.get("name", "")), str(container.get("image", ""))
        seen = recorded.pop(name, None)
        if seen is None and images:
            raise Rejected("unlisted-container", f"the revision lists no image of container {shown(name)}")
        if seen is not None and seen.reference != image:
            raise Rejected(
                "other-image",
                f"container {shown(name)}: the task definition has {shown(image)}, "
                f"the revision {shown(seen.reference)}",
            )
        judged.append(
            Container(
                name=name,
                image=image,
                recorded=digest(seen.digest) if seen and seen.digest else None,
                platform=platform,
                is_consistent=container.get("versionConsistency") != "disabled",
            )
        )
    if not judged:
        raise Rejected("unlisted-container", "the task definition has no containers")
    for name in recorded:
        # Only what the task definition does not name: a container of its own goes by no such name.
        if not name.startswith(tuple(injected)):
            raise Rejected(
                "unlisted-container",
                f"the revision runs container {shown(name)}, which its task definition lacks",
            )
    return Containers(tuple(judged), tuple(recorded))


def _platform(definition: Mapping[str, Any], overridden: str | None) -> Platform | None:
    """Return what Fargate runs the tasks on.

    Elsewhere the task definition only says what it would like: which instances there are, and which of them a
    task may be placed on, is up to whoever runs the cluster.
    """
    said = definition.get("runtimePlatform") or {}
    # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html
    family = str(said.get("operatingSystemFamily") or "LINUX")
    architecture = _ARCHITECTURES.get(overridden or str(said.get("cpuArchitecture") or "X86_64"))
    if architecture is None:
        return None
    return Platform("windows" if family.startswith("WINDOWS") else family.lower(), architecture)
