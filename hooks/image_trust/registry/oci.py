"""Registries other than ECR, by the OCI distribution API.

::

    GET /v2/NAME/manifests/REFERENCE      by digest or tag; a redirect is not followed
    GET /v2/NAME/referrers/DIGEST         404 where there is no such API; the fallback tag is read either way
    GET /v2/NAME/blobs/DIGEST             redirects are followed, three at most, to hosts on a list

Source: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

from hooks.image_trust.evidence import Attachments, Kind
from hooks.image_trust.finding import Digest, Outcome, Problem, Rejected
from hooks.image_trust.manifest import MAX_MANIFEST_BYTES, MEDIA_TYPES, Manifest, parse_manifest
from hooks.image_trust.reference import Reference
from hooks.image_trust.registry import attachments, transfer
from hooks.image_trust.registry.attachments import MAX_ARTIFACT_MANIFEST_BYTES, Entry, Found
from hooks.image_trust.registry.content import CONTENT, ContentCache
from hooks.image_trust.registry.destination import parse
from hooks.image_trust.registry.oci_client import Answer, OciClient, Request
from shared.errors import HookError, Misconfigured

MAX_REFERRER_PAGES = 4

_INDEX = "application/vnd.oci.image.index.v1+json"
_NEXT_LINK = re.compile(r'<(?P<target>[^<>\s]{1,4096})>\s*;\s*rel="?next"?')
# No such API: 404 by the specification, and what servers say that don't know the path or the method.
_NO_REFERRERS = frozenset({400, 404, 405, 406, 501})


class OciRegistry:
    """One registry, for one invocation."""

    def __init__(
        self,
        host: str,
        *,
        credentials: tuple[str, str] | None = None,
        token_hosts: Sequence[str] = (),
        blob_hosts: Sequence[str] = (),
        insecure: bool = False,
        ca_file: str | None = None,
        limits: transfer.Limits | None = None,
        content: ContentCache = CONTENT,
    ) -> None:
        """Take whom to ask, and how.

        Parameters
        ----------
        host
            As references have it: ``ghcr.io``, ``registry.example.com:5000``.
        credentials
            User name and password; none: anonymous.
        token_hosts, blob_hosts
            Further hosts, with a port where it is not 443.
        insecure
            Speak http. Only to this machine; for the command line and tests.
        ca_file
            Certificates to trust, in PEM, in place of those that come with requests.
        content
            Where content is kept that was read before.

        Raises
        ------
        Misconfigured
            For a host that is never asked: an IP address, or without *insecure* this machine.
        """
        self.host = host
        self._content = content
        self._client = OciClient(
            host,
            credentials=credentials,
            token_hosts=token_hosts,
            blob_hosts=blob_hosts,
            insecure=insecure,
            ca_file=ca_file,
            limits=limits or transfer.Limits(),
        )

    def image(self, reference: Reference) -> Manifest:
        """Read a manifest; see ``Registry``."""
        repository, wanted = self._repository(reference), reference.digest
        content = self._content.get(reference.name, wanted) if wanted else None
        if content is None:
            # What has neither would have the tag "latest" to the parser of references.
            content = repository.manifest(wanted or reference.tag or "latest", MAX_MANIFEST_BYTES)
        manifest = parse_manifest(content, wanted)
        self._content.put(reference.name, content)
        return manifest

    def attachments(self, repository: Reference, subject: Digest, kinds: frozenset[Kind]) -> Attachments:
        """Read what hangs on a manifest; see ``Registry``."""
        return attachments.collect(self._repository(repository), subject, kinds)

    def _repository(self, reference: Reference) -> "_Repository":
        if reference.registry != self.host:
            raise Misconfigured(f"{reference.name} is not in the registry {self.host}")
        return _Repository(self._client, self._content, reference.name, reference.repository)


@dataclass(frozen=True, slots=True)
class _Repository:
    """One repository; also as ``attachments.collect`` reads it."""

    client: OciClient
    content: ContentCache
    full_name: str
    name: str

    def manifest(self, reference: str, limit_bytes: int) -> bytes:
        """Read a manifest by digest or tag, as it was sent."""
        what = f"{self.full_name}{'@' if ':' in reference else ':'}{reference}"
        path = self._path("manifests", reference)
        answer = self.client.ask(Request(self.name, path, what, limit_bytes, accept=", ".join(MEDIA_TYPES)))
        return answer.checked(Rejected("no-image", f"there is no {what}"))

    def look_up(
        self,
        subject: Digest,
        tags: Sequence[str],
        kinds: frozenset[Kind],  # noqa: ARG002  # the protocol's; here every manifest takes a request anyway
        *,
        referrers: bool,
    ) -> Found:
        found = self._referrers(subject) if referrers else Found(tagged={})
        tagged: dict[str, bytes | Problem] = {}
        for tag in tags:
            try:
                # An index of referrers may be as large as any manifest.
                tagged[tag] = self.manifest(tag, MAX_MANIFEST_BYTES)
            except HookError as error:
                if not isinstance(error, Rejected) or error.code != "no-image":
                    tagged[tag] = Problem.of(error)
        return replace(found, tagged=tagged)

    def manifests(self, entries: Sequence[Entry]) -> Iterator[tuple[Digest, bytes | Problem]]:
        for entry in entries:
            content = self.content.get(self.full_name, entry.digest)
            if content is None:
                try:
                    content = self.manifest(entry.digest, MAX_ARTIFACT_MANIFEST_BYTES)
                except HookError as error:
                    yield entry.digest, Problem.of(error)
                    continue
                self.content.put(self.full_name, content)
            yield entry.digest, content

    def blob(self, digest: Digest, limit_bytes: int, what: str) -> bytes:
        content = self.content.get(self.full_name, digest)
        if content is None:
            path = self._path("blobs", digest)
            answer = self.client.ask(Request(self.name, path, what, limit_bytes, follows=True))
            content = answer.checked(Rejected("no-blob", f"{self.full_name} has no blob {digest}"))
            self.content.put(self.full_name, content)
        return content

    def _referrers(self, subject: Digest) -> Found:
        """List what refers to *subject*: as far as it can be read, and what was in the way."""
        entries: list[Entry] = []
        problems: list[Problem] = []
        what = f"the referrers of {self.full_name}@{subject}"
        path = target = self._path("referrers", subject)
        try:
            for _ in range(MAX_REFERRER_PAGES):
                answer = self.client.ask(Request(self.name, target, what, MAX_MANIFEST_BYTES, accept=_INDEX))
                if answer.status in _NO_REFERRERS:
                    break
                listed, unread = attachments.listing(answer.checked(), what)
                entries += listed
                problems += unread
                target = self._next(answer, path)
                if not target:
                    break
            else:
                text = f"{what} go on after {len(entries)}; the others were not read"
                problems.append(Problem(Outcome.MISCONFIGURED, "too-many-candidates", text))
        except HookError as error:
            problems.append(Problem.of(error))
        return Found(tagged={}, referrers=tuple(entries), problems=tuple(problems))

    def _next(self, answer: Answer, path: str) -> str:
        """Return where the list goes on: on the same path, or nowhere."""
        link = answer.headers.get("Link", "")
        if not link:
            return ""
        found = _NEXT_LINK.match(link)
        url = parse(found["target"], self.client.origin) if found else None
        if url is None or url.origin != self.client.origin or url.target.partition("?")[0] != path:
            raise Misconfigured(f"{answer.what} go on, says {self.client.host}, where they can't be")
        return url.target

    def _path(self, kind: str, reference: str) -> str:
        return f"/v2/{quote(self.name)}/{kind}/{quote(reference, safe=':')}"
