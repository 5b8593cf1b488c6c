"""What hangs on an image, collected alike from every registry.

::

    tag sha256-HEX.sig ─────▶ manifest ─▶ its layers      classic cosign: each a signature
    tag sha256-HEX.att ─────▶ manifest ─▶ its layers      classic cosign: each an attestation
    tag sha256-HEX ─────────▶ index ───┐                  where there is no referrers API, and beside it
    referrers of sha256:HEX ─▶ list ───┴▶ manifests with ``subject`` ─▶ their layer: bundle or Notation

Both lists are read and united by digest: GHCR and CNCF's distribution have only the tag, and there are tools
that write the tag although the API is there. What a list says of an entry is not believed: some list cosign's
bundles as ``application/vnd.oci.empty.v1+json``. Each manifest is opened; the list's word only decides which
of too many are opened first.

Whoever may push can hang anything on an image. So everything has a limit, and what is over it, or can't be
read, is a :class:`~hooks.image_trust.finding.Problem` beside those that can: it never hides a good signature.

Sources: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-referrers,
https://github.com/sigstore/cosign/blob/v2.4.1/specs/SIGNATURE_SPEC.md,
https://github.com/sigstore/cosign/blob/v2.4.1/specs/BUNDLE_SPEC.md and
https://github.com/notaryproject/specifications/blob/v1.1.0/specs/signature-specification.md
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hooks.image_trust import strict_json
from hooks.image_trust.evidence import Attached, Attachments, Kind
from hooks.image_trust.finding import Digest, Outcome, Problem, Rejected
from hooks.image_trust.manifest import (
    MAX_ENTRIES,
    MAX_MANIFEST_BYTES,
    Descriptor,
    Manifest,
    digest_of,
    parse_manifest,
)
from hooks.image_trust.reference import digest
from shared.errors import HookError, Misconfigured, shown

SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
DSSE = "application/vnd.dsse.envelope.v1+json"
BUNDLE_FAMILY = "application/vnd.dev.sigstore.bundle"
"""How its media types begin: ``.v0.3+json``, and ``+json;version=0.1`` of old."""
NOTATION = "application/vnd.cncf.notary.signature"
_ENVELOPES = frozenset({"application/jose+json", "application/cose"})
_UNTYPED = frozenset({"", "application/vnd.oci.empty.v1+json"})

_REFERRED = frozenset({Kind.BUNDLE, Kind.NOTATION})
_TAGGED: Mapping[Kind, tuple[str, str]] = {
    Kind.COSIGN_SIGNATURE: (".sig", SIMPLE_SIGNING),
    Kind.COSIGN_ATTESTATION: (".att", DSSE),
}

MAX_CANDIDATES = 50
"""Manifests that are opened for one image. Real ones have a handful; opening takes a request each."""
MAX_LAYERS = 50
"""Signatures of one manifest of cosign's: one for each time somebody signed. The last ones are read."""
MAX_BLOBS = 100
"""Of all manifests together; each takes a request or two."""
MAX_ARTIFACT_MANIFEST_BYTES = 1024 * 1024
"""cosign writes certificates and log entries into annotations, some 10 KiB for each signature."""
MAX_BLOB_BYTES: Mapping[Kind, int] = {
    # A payload is some 250 bytes, and whatever its signer adds as ``optional``.
    Kind.COSIGN_SIGNATURE: 128 * 1024,
    # An SBOM of a large image, in Base64.
    Kind.COSIGN_ATTESTATION: 8 * 1024 * 1024,
    # May hold such an attestation.
    Kind.BUNDLE: 8 * 1024 * 1024,
    # A chain of certificates and a time-stamp: some 10 KiB.
    Kind.NOTATION: 256 * 1024,
}
MAX_TOTAL_BYTES = 32 * 1024 * 1024
"""Of all blobs together; they are held at once, in a function that may have 512 MiB."""
MAX_SECONDS = 30.0
"""For all that hangs on one image. A registry that answers at all needs a second or two."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a list of referrers."""

    digest: Digest
    artifact_type: str = ""
    """A hint."""
    size: int | None = None
    """Of the manifest in bytes, where the registry says so; whoever pushed a list can say anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Where candidates are, as far as a registry says."""

    tagged: Mapping[str, bytes | Problem]
    """The manifest that each tag leads to; none for a tag that is not there."""
    referrers: tuple[Entry, ...] = ()
    problems: tuple[Problem, ...] = ()


class Source(Protocol):
    """One repository, as the collecting needs it. Methods raise ``HookError`` only."""

    def look_up(
        self, subject: Digest, tags: Sequence[str], kinds: frozenset[Kind], *, referrers: bool
    ) -> Found:
        """Read what tags lead to and, where asked for, the list of referrers."""
        ...

    def manifests(self, entries: Sequence[Entry]) -> Iterator[tuple[Digest, bytes | Problem]]:
        """Read manifests by digest, up to :data:`MAX_ARTIFACT_MANIFEST_BYTES` each."""
        ...

    def blob(self, digest: Digest, limit_bytes: int, what: str) -> bytes:
        """Read a blob; its digest is recomputed by the caller."""
        ...


def attachment_tags(subject: Digest, kinds: Iterable[Kind] = Kind) -> tuple[str, ...]:
    """Return the tags under which something may hang on *subject*."""
    wanted, base = frozenset(kinds), subject.replace(":", "-")
    return tuple(base + suffix for kind, (suffix, _) in _TAGGED.items() if kind in wanted) + (
        (base,) if wanted & _REFERRED else ()
    )


def listing(content: bytes, what: str) -> tuple[tuple[Entry, ...], tuple[Problem, ...]]:
    """Read a list of referrers, an index, entry by entry: one that can't be read hides no other."""
    entries: list[Entry] = []
    problems: list[Problem] = []
    try:
        listed = _listed(content, what)
    except Rejected as error:
        return (), (Problem.of(error),)
    if len(listed) > MAX_ENTRIES:
        text = f"{what} has {len(listed)} entries; the first {MAX_ENTRIES} of them were read"
        problems.append(Problem(Outcome.MISCONFIGURED, "too-many-candidates", text))
    for one in listed[:MAX_ENTRIES]:
        try:
            entries.append(_entry(one, what))
        except Rejected as error:
            problems.append(Problem.of(error))
    return tuple(entries), tuple(dict.fromkeys(problems))


def _listed(content: bytes, what: str) -> list[object]:
    document = strict_json.loads(content, what, limit_bytes=MAX_MANIFEST_BYTES)
    listed = document.get("manifests") if isinstance(document, Mapping) else None
    if not isinstance(listed, list):
        raise Rejected("malformed-index", f"expected a list of manifests in {what}, got {shown(listed)}")
    return listed


def _entry(one: object, what: str) -> Entry:
    if not isinstance(one, Mapping):
        raise Rejected("malformed-index", f"expected a descriptor in {what}, got {shown(one)}")
    said = one.get("artifactType")
    return Entry(digest(one.get("digest")), said if isinstance(said, str) else "")


def in_order(entries: Iterable[Entry], kinds: frozenset[Kind]) -> list[Entry]:
    """Put first what a list says is of these kinds, and last what it says is something else.

    So that an image with a hundred SBOMs and one signature is no image with too many candidates.
    """

    def rank(entry: Entry) -> int:
        said = entry.artifact_type
        if (Kind.BUNDLE in kinds and said.startswith(BUNDLE_FAMILY)) or (
            Kind.NOTATION in kinds and said == NOTATION
        ):
            return 0
        return 1 if said in _UNTYPED else 2

    return sorted(entries, key=rank)


def collect(source: Source, subject: Digest, kinds: frozenset[Kind]) -> Attachments:
    """Collect what of *kinds* hangs on *subject*. Never raises for what a registry does."""
    collection = _Collection(source, subject, kinds)
    tags = attachment_tags(subject, kinds)
    try:
        found = source.look_up(subject, tags, kinds, referrers=bool(kinds & _REFERRED))
    except HookError as error:
        return Attachments(problems=(Problem.of(error),))
    collection.problems += found.problems
    for kind in _TAGGED:
        if kind in kinds:
            collection.add_tagged(kind, found.tagged)
    if kinds & _REFERRED:
        listed = collection.fallback(found.tagged.get(subject.replace(":", "-")))
        collection.add_referrers({entry.digest: entry for entry in (*listed, *found.referrers)}.values())
    return Attachments(tuple(collection.found), tuple(dict.fromkeys(collection.problems)))


@dataclass(slots=True)
class _Collection:
    """What was found so far, and what of the limits is left."""

    source: Source
    subject: Digest
    kinds: frozenset[Kind]
    found: list[Attached] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    blobs_read: int = 0
    bytes_read: int = 0
    ends: float = field(default_factory=lambda: time.monotonic() + MAX_SECONDS)

    def add_tagged(self, kind: Kind, tagged: Mapping[str, bytes | Problem]) -> None:
        """Add the layers of the manifest under one of cosign's tags."""
        suffix, media_type = _TAGGED[kind]
        content = tagged.get(self.subject.replace(":", "-") + suffix)
        if content is None:
            return
        if isinstance(content, Problem):
            self.problems.append(content)
            return
        try:
            manifest = parse_manifest(content)
        except Rejected as error:
            self.problems.append(Problem.of(error))
            return
        self._add(manifest, [(kind, layer) for layer in manifest.layers if layer.media_type == media_type])

    def fallback(self, content: bytes | Problem | None) -> tuple[Entry, ...]:
        """Return what the index under the fallback tag lists."""
        if content is None:
            return ()
        if isinstance(content, Problem):
            self.problems.append(content)
            return ()
        entries, problems = listing(content, f"the tag {self.subject.replace(':', '-')}")
        self.problems += problems
        return entries

    def add_referrers(self, entries: Iterable[Entry]) -> None:
        """Open the manifests of referrers, and add what they hold."""
        candidates = in_order(entries, self.kinds)
        if len(candidates) > MAX_CANDIDATES:
            self._problem(
                Outcome.MISCONFIGURED,
                "too-many-candidates",
                f"{len(candidates)} artifacts refer to {self.subject}; {MAX_CANDIDATES} of them were read",
            )
        try:
            for listed, content in self.source.manifests(candidates[:MAX_CANDIDATES]):
                if self._is_over():
                    break
                if isinstance(content, Problem):
                    self.problems.append(content)
                else:
                    self._add_referrer(listed, content)
        except HookError as error:
            self.problems.append(Problem.of(error))

    def _add_referrer(self, listed: Digest, content: bytes) -> None:
        try:
            manifest = parse_manifest(content, listed)
            layers = self._layers(manifest)
        except Rejected as error:
            self.problems.append(Problem.of(error))
            return
        self._add(manifest, layers)

    def _layers(self, manifest: Manifest) -> list[tuple[Kind, Descriptor]]:
        layers = [(kind, layer) for kind, layer in classify(manifest) if kind in self.kinds]
        if layers and manifest.subject != self.subject:
            raise Rejected(
                "other-subject",
                f"{manifest.digest} is listed as referring to {self.subject}, but refers to "
                f"{manifest.subject or 'nothing'}",
            )
        return layers

    def _add(self, manifest: Manifest, layers: Sequence[tuple[Kind, Descriptor]]) -> None:
        if len(layers) > MAX_LAYERS:
            self._problem(
                Outcome.MISCONFIGURED,
                "too-many-layers",
                f"{manifest.digest} holds {len(layers)} signatures; the last {MAX_LAYERS} of them were read",
            )
        for kind, layer in layers[-MAX_LAYERS:]:
            if self._is_over():
                return
            try:
                content = self._blob(kind, layer)
            except HookError as error:
                self.problems.append(Problem.of(error))
                continue
            self.found.append(
                Attached(
                    kind=kind,
                    subject=self.subject,
                    manifest=manifest.digest,
                    media_type=layer.media_type,
                    content=content,
                    annotations=layer.annotations,
                )
            )

    def _blob(self, kind: Kind, layer: Descriptor) -> bytes:
        limit, what = MAX_BLOB_BYTES[kind], f"the {kind} {layer.digest}"
        if layer.size > limit:
            raise Rejected("too-large", f"{what} has {layer.size} bytes, at most {limit} are read")
        if self.bytes_read + layer.size > MAX_TOTAL_BYTES:
            raise Misconfigured(f"{what} was not read: with it, all would be over {MAX_TOTAL_BYTES} bytes")
        self.blobs_read += 1
        # The size is the manifest's word, and part of what was promised.
        content = self.source.blob(layer.digest, layer.size, what)
        self.bytes_read += len(content)
        if (computed := digest_of(content)) != layer.digest:
            raise Rejected("digest-mismatch", f"asked for {what}, the registry sent {computed}")
        return content

    def _is_over(self) -> bool:
        """Say whether nothing more is read, and why."""
        if self.blobs_read >= MAX_BLOBS:
            self._problem(
                Outcome.MISCONFIGURED,
                "too-many-candidates",
                f"more hangs on {self.subject} than the {MAX_BLOBS} blobs that were read",
            )
            return True
        if time.monotonic() > self.ends:
            self._problem(
                Outcome.UNVERIFIABLE,
                "out-of-time",
                f"what hangs on {self.subject} could not all be read in {MAX_SECONDS:g} seconds",
            )
            return True
        return False

    def _problem(self, outcome: Outcome, code: str, text: str) -> None:
        self.problems.append(Problem(outcome, code, text))


def classify(manifest: Manifest) -> tuple[tuple[Kind, Descriptor], ...]:
    """Return what a referrer holds; nothing where it is no signature or attestation of ours.

    Raises
    ------
    Rejected
        ``malformed-artifact``, for a signature of Notation's that has not one envelope.
    """
    if manifest.artifact_type == NOTATION:
        if len(manifest.layers) != 1 or manifest.layers[0].media_type not in _ENVELOPES:
            raise Rejected(
                "malformed-artifact", f"{manifest.digest} is a Notation signature without its one envelope"
            )
        return ((Kind.NOTATION, manifest.layers[0]),)
    return tuple(
        (Kind.BUNDLE, layer) for layer in manifest.layers if layer.media_type.startswith(BUNDLE_FAMILY)
    )
