"""What the images of a scenario are called in task definitions, and which digests tasks run."""

import hashlib


class Images:
    """Images that are in no registry: their names are their references, and decide their digests."""

    def reference(self, image: str) -> str:
        """Return how a task definition names an image of the scenario."""
        return image

    def digest(self, reference: str, *, architecture: str | None = None) -> str | None:
        """Return the digest of what a task would run that starts now; ``None`` if nothing is there.

        Parameters
        ----------
        architecture
            As Go names it (``arm64``). With it, the digest is that of the image for this platform, where
            there are several; without, that of what the reference itself leads to.
        """
        del architecture  # these are of one platform
        return f"sha256:{hashlib.sha256(reference.encode()).hexdigest()}"
