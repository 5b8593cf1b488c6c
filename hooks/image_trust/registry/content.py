"""Content that was read before, by its digest, for as long as the execution environment lives.

Only what can't change is kept: bytes under the digest they have. What a tag leads to, and what hangs on an
image, is asked anew each time. The repository is part of the key: that another one has the same content does
not mean that this one has it, or that its owner lets it be read.
"""

import threading
from collections import OrderedDict

from hooks.image_trust.finding import Digest
from hooks.image_trust.manifest import digest_of

MAX_BYTES = 16 * 1024 * 1024
"""Some thousand signatures and their manifests; a small part of any function's memory."""


class ContentCache:
    """What was used last, up to so many bytes. Threads may share it."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[tuple[str, Digest], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, repository: str, digest: Digest) -> bytes | None:
        """Return what *repository* (``registry/repository``) has under *digest*, where it is kept."""
        with self._lock:
            content = self._kept.get((repository, digest))
            if content is not None:
                self._kept.move_to_end((repository, digest))
            return content

    def put(self, repository: str, content: bytes) -> Digest:
        """Keep content under the digest it has, and return that."""
        digest = digest_of(content)
        # One attestation must not push out all signatures.
        if len(content) > self._max_bytes // 4:
            return digest
        with self._lock:
            self._bytes += len(content) - len(self._kept.pop((repository, digest), b""))
            self._kept[repository, digest] = content
            while self._bytes > self._max_bytes:
                _, dropped = self._kept.popitem(last=False)
                self._bytes -= len(dropped)
        return digest

    def clear(self) -> None:
        """Forget all of it."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0


CONTENT = ContentCache()
"""The execution environment's."""
