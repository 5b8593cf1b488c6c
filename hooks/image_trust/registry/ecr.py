"""Amazon ECR, by its own API: nothing but the function's role is needed, and no token.

::

    image        BatchGetImage           the manifest and, with a digest, cosign's tags beside it
    attachments  ListImageReferrers      what refers to the digest
                 BatchGetImage           their manifests, all at once
                 GetDownloadUrlForLayer  each blob: a pre-signed address of S3, then HTTPS to there
    facts        DescribeRepositories, DescribeImages, DescribeImageScanFindings
    signing      DescribeImageSigningStatus

An image named by digest, with one signature, costs four calls at most, however that is attached. Account and
Region are those of the image's host name: images of other accounts and Regions are read where they are. Their
repositories' policies have to allow ``ecr:BatchGetImage`` and ``ecr:GetDownloadUrlForLayer``.

Blobs need a way to S3: out of a VPC through its gateway endpoint, whose policy has to allow the bucket
``prod-REGION-starport-layer-bucket``. No proxy of the environment is used for them.

Sources: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_Operations.html and
https://docs.aws.amazon.com/AmazonECR/latest/userguide/vpc-endpoints.html
"""

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import urllib3
from botocore.exceptions import ClientError

from hooks.image_trust.evidence import Attachments, EcrFacts, Kind, Scan, SigningStatus
from hooks.image_trust.finding import Digest, Outcome, Problem, Rejected
from hooks.image_trust.manifest import MAX_MANIFEST_BYTES, MEDIA_TYPES, Manifest, digest_of, parse_manifest
from hooks.image_trust.reference import EcrRepository, Reference, digest
from hooks.image_trust.registry import attachments, transfer
from hooks.image_trust.registry.attachments import MAX_CANDIDATES, Entry, Found
from hooks.image_trust.registry.content import CONTENT, ContentCache
from hooks.image_trust.registry.destination import Origin, Url, parse
from shared.clients import client
from shared.errors import HookError, Misconfigured, Transient, code_of, shown, translated

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient
    from mypy_boto3_ecr.type_defs import (
        BatchGetImageResponseTypeDef,
        DescribeImageScanFindingsRequestTypeDef,
        DescribeImageScanFindingsResponseTypeDef,
        ImageFailureTypeDef,
        ImageIdentifierTypeDef,
        ListImageReferrersRequestTypeDef,
        ListImageReferrersResponseTypeDef,
    )

MAX_REFERRER_PAGES = 4
REFERRERS_PER_PAGE = 50
"""The API's own limit: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ListImageReferrers.html"""

MAX_BATCH_BYTES = 24 * 1024 * 1024
"""Of manifests in one answer: an image, its three tags and the list's, whose sizes are known."""

MAX_FINDING_PAGES = 10
FINDINGS_PER_PAGE = 1000

# https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageFailure.html
_NO_IMAGE = frozenset(
    {"ImageNotFound", "ImageTagDoesNotMatchDigest", "InvalidImageDigest", "InvalidImageTag"}
)
_BUSY = frozenset({"UpstreamTooManyRequests", "UpstreamUnavailable"})
_ADVICE: Mapping[str, str] = {
    "ImageInaccessible": "it is archived; restore it in ECR",
    "KmsError": "the repository's key is disabled, or ECR's grant to it is gone (kms:Decrypt)",
    "UpstreamAccessDenied": "the credentials of the pull-through cache rule are not accepted upstream",
}

_SCANNED = frozenset({"COMPLETE", "ACTIVE"})


class EcrRegistry:
    """The ECR of one account in one Region, for one invocation. Threads may share it."""

    def __init__(
        self,
        where: EcrRepository,
        *,
        http: urllib3.PoolManager | None = None,
        content: ContentCache = CONTENT,
    ) -> None:
        """Take what the host name says.

        Parameters
        ----------
        http
            What blobs are read through; it must neither retry nor follow redirects.
        content
            Where content is kept that was read before.
        """
        self._where = where
        self._http = http or transfer.connection_pool(transfer.Limits())
        self._content = content
        self._beside: dict[tuple[str, Digest], Mapping[str, bytes | Problem]] = {}
        """What was read together with an image and is used once: tags are never kept for longer."""

    def image(self, reference: Reference) -> Manifest:
        """Read a manifest; see ``Registry``."""
        repository = self._repository(reference)
        wanted = reference.digest
        if wanted is None:
            # What has neither would be the tag "latest" to the parser of references.
            tag = reference.tag or "latest"
            content = repository.read(tags=[tag]).by_tag(tag)
        elif (kept := self._content.get(reference.name, wanted)) is not None:
            return parse_manifest(kept, wanted)
        else:
            tags = attachments.attachment_tags(wanted)
            answer = repository.read(digests=[wanted], tags=tags)
            content = answer.by_digest(wanted)
            self._beside[reference.name, wanted] = answer.tagged(tags)
        manifest = parse_manifest(content, wanted)
        self._content.put(reference.name, content)
        return manifest

    def attachments(self, repository: Reference, subject: Digest, kinds: frozenset[Kind]) -> Attachments:
        """Read what hangs on a manifest; see ``Registry``."""
        beside = self._beside.pop((repository.name, subject), None)
        source = _Source(self._repository(repository), self._content, self._http, beside)
        return attachments.collect(source, subject, kinds)

    def facts(self, repository: Reference, digest: Digest, *, scan: bool) -> EcrFacts:
        """Read what ECR says about an image and its repository, and its scan where that is needed.

        Raises
        ------
        Rejected
            ``no-image``.
        """
        return self._repository(repository).facts(digest, scan=scan)

    def signing(self, repository: Reference, digest: Digest) -> tuple[SigningStatus, ...]:
        """Read how ECR's managed signing of an image stands: nothing where it is not configured.

        Raises
        ------
        Rejected
            ``no-image``.
        """
        return self._repository(repository).signing(digest)

    def _repository(self, reference: Reference) -> "_Repository":
        if reference.ecr != self._where:
            raise Misconfigured(f"{reference.registry} is not the registry of {self._where}")
        return _Repository(self._where, reference.name, reference.repository)


@dataclass(frozen=True)
class _Repository:
    """The calls about one repository, with AWS's errors in our terms."""

    where: EcrRepository
    full_name: str
    name: str

    def __str__(self) -> str:
        return f"repository {self.name} of account {self.where.account} in {self.where.region}"

    @cached_property
    def client(self) -> "ECRClient":
        with translated("ecr:BatchGetImage", self):
            return client("ecr", self.where.region)

    def read(self, *, digests: Sequence[Digest] = (), tags: Sequence[str] = ()) -> "_Images":
        """Read several manifests in one call."""
        ids: list[ImageIdentifierTypeDef] = [{"imageDigest": digest} for digest in digests]
        ids += [{"imageTag": tag} for tag in tags]
        with translated("ecr:BatchGetImage", self):
            answer = self.client.batch_get_image(
                registryId=self.where.account,
                repositoryName=self.name,
                imageIds=ids,
                acceptedMediaTypes=list(MEDIA_TYPES),
            )
        return _Images.read(str(self), answer)

    def referrers(self, subject: Digest) -> Found:
        """List what refers to *subject*: as far as it can be read, and what was in the way."""
        entries: list[Entry] = []
        problems: list[Problem] = []
        token = ""
        try:
            for _ in range(MAX_REFERRER_PAGES):
                page = self._referrers(subject, token)
                for one in page.get("referrers", []):
                    try:
                        entries.append(
                            Entry(digest(one.get("digest")), one.get("artifactType", ""), one.get("size"))
                        )
                    except Rejected as error:
                        problems.append(Problem.of(error))
                token = page.get("nextToken", "")
                if not token:
                    break
        except HookError as error:
            problems.append(Problem.of(error))
        else:
            if token:
                text = f"over {len(entries)} artifacts refer to {subject} in {self}; the others were not read"
                problems.append(Problem(Outcome.MISCONFIGURED, "too-many-candidates", text))
        return Found(tagged={}, referrers=tuple(entries), problems=tuple(problems))

    def _referrers(self, subject: Digest, token: str) -> "ListImageReferrersResponseTypeDef":
        # IAM knows this call by another's action: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/
        # API_ListImageReferrers.html
        with _calling("ecr:BatchGetImage", f"the referrers of {subject} in {self}"):
            asked: ListImageReferrersRequestTypeDef = {
                "registryId": self.where.account,
                "repositoryName": self.name,
                "subjectId": {"imageDigest": subject},
                "maxResults": REFERRERS_PER_PAGE,
            }
            if token:
                asked["nextToken"] = token
            return self.client.list_image_referrers(**asked)

    def address(self, digest: Digest) -> Url:
        """Have the pre-signed address of a blob made. It is a secret, and in no message."""
        missing = Rejected("no-blob", f"{self} has no blob {digest}")
        with _calling("ecr:GetDownloadUrlForLayer", f"{digest} in {self}", LayersNotFoundException=missing):
            answer = self.client.get_download_url_for_layer(
                registryId=self.where.account, repositoryName=self.name, layerDigest=digest
            )
        url = parse(answer.get("downloadUrl") or "")
        if url is None:
            raise Misconfigured(f"ecr:GetDownloadUrlForLayer on {self}: an address that can't be read")
        self._check(url.origin)
        return url

    def _check(self, origin: Origin) -> None:
        """Hold where a blob is said to be against where ECR's blobs can be."""
        suffix, endpoint = f".{self.where.dns_suffix}", urlsplit(self.client.meta.endpoint_url)
        if origin.scheme == "https" and origin.port == 443 and origin.host.endswith(suffix):
            return
        # An emulator has all of AWS at one address; who set that has set where blobs come from.
        is_emulated = not (endpoint.hostname or "").endswith(suffix)
        if is_emulated and origin == Origin.parse(endpoint.scheme, endpoint.netloc):
            return
        raise Misconfigured(
            f"ecr:GetDownloadUrlForLayer on {self}: expected an address under {suffix} by https, got one at "
            f"{shown(str(origin))}"
        )

    def facts(self, digest: Digest, *, scan: bool) -> EcrFacts:
        """Read what ECR says about an image and the repository."""
        with _calling("ecr:DescribeRepositories", self):
            repositories = self.client.describe_repositories(
                registryId=self.where.account, repositoryNames=[self.name]
            ).get("repositories")
        with _calling("ecr:DescribeImages", self, ImageNotFoundException=self._no_image(digest)):
            images = self.client.describe_images(
                registryId=self.where.account,
                repositoryName=self.name,
                imageIds=[{"imageDigest": digest}],
            ).get("imageDetails")
        if not repositories or not images:
            raise Transient(f"ecr:DescribeImages says nothing about {digest} in {self}")
        return EcrFacts(
            tag_mutability=repositories[0].get("imageTagMutability", ""),
            exclusions=tuple(
                one.get("filter", "") for one in repositories[0].get("imageTagMutabilityExclusionFilters", [])
            ),
            pushed_at=_utc(images[0].get("imagePushedAt")),
            scan=self._scan(digest) if scan else None,
        )

    def _scan(self, digest: Digest) -> Scan | None:
        """Read the image's last scan, all pages of it; ``None`` where there was none."""
        scan = _ScanSoFar()
        token = ""
        for _ in range(MAX_FINDING_PAGES):
            try:
                page = self._findings(digest, token)
            except _NotScanned:
                return None
            scan.add(page)
            token = page.get("nextToken") or ""
            if not token:
                return scan.whole()
        raise Misconfigured(
            f"the scan of {digest} in {self} has over {MAX_FINDING_PAGES * FINDINGS_PER_PAGE} findings"
        )

    def _findings(self, digest: Digest, token: str) -> "DescribeImageScanFindingsResponseTypeDef":
        # https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-scanning-enhanced-iam.html
        action = (
            "ecr:DescribeImageScanFindings (with enhanced scanning also inspector2:ListFindings and "
            "inspector2:ListCoverage)"
        )
        with _calling(
            action,
            self,
            ImageNotFoundException=self._no_image(digest),
            ScanNotFoundException=_NotScanned(),
        ):
            asked: DescribeImageScanFindingsRequestTypeDef = {
                "registryId": self.where.account,
                "repositoryName": self.name,
                "imageId": {"imageDigest": digest},
                "maxResults": FINDINGS_PER_PAGE,
            }
            if token:
                asked["nextToken"] = token
            return self.client.describe_image_scan_findings(**asked)

    def signing(self, digest: Digest) -> tuple[SigningStatus, ...]:
        """Read how managed signing stands, by profile."""
        with _calling("ecr:DescribeImageSigningStatus", self, ImageNotFoundException=self._no_image(digest)):
            answer = self.client.describe_image_signing_status(
                registryId=self.where.account,
                repositoryName=self.name,
                imageId={"imageDigest": digest},
            )
        return tuple(
            SigningStatus(
                profile_arn=one.get("signingProfileArn", ""),
                status=one.get("status", ""),
                failure=": ".join(filter(None, (one.get("failureCode"), one.get("failureReason")))),
            )
            for one in answer.get("signingStatuses", [])
        )

    def _no_image(self, digest: Digest) -> Rejected:
        return Rejected("no-image", f"{self} has no {digest}")


class _NotScanned(HookError):
    """There was no scan; never leaves this module."""


@contextlib.contextmanager
def _calling(action: str, about: object, **answers: HookError) -> Iterator[None]:
    """Turn AWS's errors into ours: those of these codes into these, all others as everywhere."""
    with translated(action, about):
        try:
            yield
        except ClientError as error:
            if answer := answers.get(code_of(error)):
                raise answer from error
            raise


def _utc(moment: datetime | None) -> datetime | None:
    return moment.astimezone(UTC) if moment else None


@dataclass(slots=True)
class _ScanSoFar:
    """The pages of a scan. Basic scanning has ``findings``, enhanced scanning ``enhancedFindings``."""

    status: str = ""
    description: str = ""
    at: datetime | None = None
    reported: Counter[str] = field(default_factory=Counter)
    counted: Counter[str] = field(default_factory=Counter)

    def add(self, page: "DescribeImageScanFindingsResponseTypeDef") -> None:
        status, found = page.get("imageScanStatus", {}), page.get("imageScanFindings", {})
        self.status, self.description = status.get("status", ""), status.get("description", "")
        self.at = _utc(found.get("imageScanCompletedAt")) or self.at
        # Whether ECR's counts are of the page or of the image is said nowhere. What it counts and what can be
        # counted are kept apart, and the larger of each is believed, which is what ``|`` of counters is.
        reported: Counter[str] = Counter()
        for name, count in found.get("findingSeverityCounts", {}).items():
            reported[_severity(name)] += count
        self.reported |= reported
        self.counted += Counter(_severity(one.get("severity", "")) for one in found.get("findings", []))
        self.counted += Counter(
            _severity(one.get("severity", ""))
            for one in found.get("enhancedFindings", [])
            if one.get("status") != "CLOSED"
        )

    def whole(self) -> Scan:
        counts = self.reported | self.counted
        status, description = self.status, self.description
        if status in _SCANNED and self.at is None and not counts:
            # ECR says that an enhanced scan is done before it has its findings, and without permission to
            # list Inspector's it may never have: then nothing found is nothing known.
            # https://github.com/aws/aws-sdk/issues/289
            status, description = "PENDING", f"{status}, but ECR does not say when, nor what it found"
        return Scan(status=status, at=self.at, counts=dict(counts), description=description)


def _severity(name: str) -> str:
    # Inspector's own word for what ECR calls UNDEFINED:
    # https://docs.aws.amazon.com/inspector/v2/APIReference/API_Finding.html
    return "UNDEFINED" if name in {"", "UNTRIAGED"} else name


@dataclass(frozen=True, slots=True)
class _Image:
    """One image of an answer."""

    content: bytes
    has: Digest
    """The digest that the content has."""
    said: str
    """The digest that ECR says it has."""
    tag: str


@dataclass(frozen=True, slots=True)
class _Images:
    """One answer of BatchGetImage."""

    where: str
    images: tuple[_Image, ...]
    failures: "Sequence[ImageFailureTypeDef]"

    @classmethod
    def read(cls, where: str, answer: "BatchGetImageResponseTypeDef") -> "_Images":
        images = []
        for image in answer.get("images", []):
            # A lone surrogate, which JSON can write, is no text; nobody's digest is over it.
            content = image.get("imageManifest", "").encode("utf-8", "surrogatepass")
            named = image.get("imageId", {})
            images.append(
                _Image(content, digest_of(content), named.get("imageDigest", ""), named.get("imageTag", ""))
            )
        return cls(where, tuple(images), answer.get("failures", []))

    def by_digest(self, wanted: Digest) -> bytes:
        """Return the manifest with that digest.

        Raises
        ------
        HookError
            What ECR says instead: ``no-image``, no access, later.
        """
        for image in self.images:
            if image.has == wanted:
                return image.content
        for image in self.images:
            if image.said == wanted:
                raise Rejected("digest-mismatch", f"asked for {wanted} in {self.where}, ECR sent {image.has}")
        raise self._failure({"imageDigest": wanted}, wanted)

    def by_tag(self, tag: str) -> bytes:
        """Return the manifest that a tag leads to; raises as :meth:`by_digest`."""
        for image in self.images:
            if image.tag == tag:
                if image.said not in {"", image.has}:
                    raise Rejected(
                        "digest-mismatch",
                        f"tag {tag} in {self.where}: ECR says {shown(image.said)}, and sent {image.has}",
                    )
                return image.content
        raise self._failure({"imageTag": tag}, f"tag {tag}")

    def tagged(self, tags: Sequence[str]) -> dict[str, bytes | Problem]:
        """Return what tags lead to, without those that are not there."""
        found: dict[str, bytes | Problem] = {}
        for tag in tags:
            try:
                found[tag] = self.by_tag(tag)
            except HookError as error:
                if not isinstance(error, Rejected) or error.code != "no-image":
                    found[tag] = Problem.of(error)
        return found

    def _failure(self, asked: Mapping[str, str], what: str) -> HookError:
        said = f"ecr:BatchGetImage of {what} in {self.where}"
        failed = next((one for one in self.failures if asked.items() <= one.get("imageId", {}).items()), None)
        if failed is None:
            return Transient(f"{said}: neither an image nor a failure")
        code, reason = str(failed.get("failureCode", "")), failed.get("failureReason", "")
        if code in _NO_IMAGE:
            return Rejected("no-image", f"{self.where} has no {what}")
        if code in _BUSY:
            return Transient(f"{said}: {code}")
        return Misconfigured(f"{said}: {shown(code)}: {_ADVICE.get(code) or shown(reason)}")


@dataclass(frozen=True, slots=True)
class _Source:
    """A repository, as ``attachments.collect`` reads it."""

    repository: _Repository
    content: ContentCache
    http: urllib3.PoolManager
    beside: Mapping[str, bytes | Problem] | None
    """What tags lead to, where they were read together with the image just before."""

    def look_up(
        self, subject: Digest, tags: Sequence[str], kinds: frozenset[Kind], *, referrers: bool
    ) -> Found:
        found = self.repository.referrers(subject) if referrers else Found(tagged={})
        if self.beside is not None:
            return replace(found, tagged=self.beside)
        # All that is known by now in one call, the image itself among it: it will be asked for, or was.
        others = [Entry(subject), *attachments.in_order(found.referrers, kinds)]
        room = MAX_BATCH_BYTES - len(tags) * MAX_MANIFEST_BYTES
        batch = next(self._batches(self._unread(others), room), [])
        answer = self.repository.read(digests=[entry.digest for entry in batch], tags=tags)
        for entry in batch:
            # What is not there is asked for once more when it is its turn, and then said.
            with contextlib.suppress(HookError):
                self.content.put(self.repository.full_name, answer.by_digest(entry.digest))
        return replace(found, tagged=answer.tagged(tags))

    def manifests(self, entries: Sequence[Entry]) -> Iterator[tuple[Digest, bytes | Problem]]:
        unread: list[Entry] = []
        for entry in entries:
            kept = self.content.get(self.repository.full_name, entry.digest)
            if kept is None:
                unread.append(entry)
            else:
                yield entry.digest, kept
        for batch in self._batches(unread, MAX_BATCH_BYTES):
            answer = self.repository.read(digests=[entry.digest for entry in batch])
            for entry in batch:
                try:
                    content = answer.by_digest(entry.digest)
                except HookError as error:
                    yield entry.digest, Problem.of(error)
                else:
                    self.content.put(self.repository.full_name, content)
                    yield entry.digest, content

    def _unread(self, entries: Iterable[Entry]) -> list[Entry]:
        return [
            entry for entry in entries if self.content.get(self.repository.full_name, entry.digest) is None
        ]

    def _batches(self, entries: Sequence[Entry], room: int) -> Iterator[list[Entry]]:
        """Group entries so that no answer is larger than *room* bytes or has too many images."""
        batch: list[Entry] = []
        left = room
        for entry in entries:
            size = MAX_MANIFEST_BYTES if entry.size is None else entry.size
            if batch and (size > left or len(batch) == MAX_CANDIDATES):
                yield batch
                batch, left = [], room
            batch.append(entry)
            left -= size
        if batch:
            yield batch

    def blob(self, digest: Digest, limit_bytes: int, what: str) -> bytes:
        kept = self.content.get(self.repository.full_name, digest)
        if kept is not None:
            return kept
        url = self.repository.address(digest)
        try:
            content = self._get(url, limit_bytes, what)
        except urllib3.exceptions.HTTPError as error:
            # Not chained: its text has the address.
            raise Transient(f"{what} at {url.origin}: {type(error).__name__}") from None
        self.content.put(self.repository.full_name, content)
        return content

    def _get(self, url: Url, limit_bytes: int, what: str) -> bytes:
        answer = self.http.request(
            "GET",
            str(url),
            headers={"Accept-Encoding": "identity"},
            redirect=False,
            retries=False,
            preload_content=False,
        )
        try:
            if answer.status == 200:
                return transfer.read(answer, limit_bytes, what)
            said = f"{what} at {url.origin}: {answer.status}"
            if answer.status in {408, 429} or answer.status >= 500:
                raise Transient(said)
            if answer.status == 404:
                raise Rejected("no-blob", said)
            raise Misconfigured(
                f"{said}; does a VPC endpoint's policy keep the function from ECR's bucket in S3?"
            )
        finally:
            answer.close()
