"""Where images and what hangs on them are read: ECR by its API, other registries by OCI's.

::

    Registry ── ecr.EcrRegistry   botocore's BatchGetImage, ListImageReferrers, GetDownloadUrlForLayer
             └─ oci.OciRegistry   https://github.com/opencontainers/distribution-spec, by requests

    attachments   what both do alike: lists and tags to signatures and attestations, with all limits
    content       what was read before, by digest
    oci_client    one registry's host: let in by it, bounded, led nowhere else
    destination   URLs read strictly, and the hosts that are allowed
    challenge     what a registry answers with 401
    transfer      one answer over HTTP, bounded in bytes and time

Both recompute every digest, read no more than they were told to, and speak to no host but those they were
given.
"""

from typing import Protocol

from hooks.image_trust.evidence import Attachments, Kind
from hooks.image_trust.finding import Digest
from hooks.image_trust.manifest import Manifest
from hooks.image_trust.reference import Reference


class Registry(Protocol):
    """One registry, for one invocation. Every method raises ``Transient`` or ``Misconfigured``."""

    def image(self, reference: Reference) -> Manifest:
        """Read the manifest at a reference: by its digest, else by its tag.

        Raises
        ------
        Rejected
            Also ``no-image``, where the repository is there and the image is not.
        """
        ...

    def attachments(self, repository: Reference, subject: Digest, kinds: frozenset[Kind]) -> Attachments:
        """Read what hangs on a manifest: what its referrers, its fallback tag and cosign's tags lead to.

        A candidate that can't be read is a ``Problem`` in the answer, beside all others.
        """
        ...
