"""Images in ECR: a registry of our own, because moto's has neither true digests nor what hangs on an image.

::

    Registries ── Repository by account, Region and name
                    ├── manifests by digest   images, indexes, and what names one of them as its subject
                    ├── tags                  name ─▶ digest
                    ├── blobs by digest       behind pre-signed URLs, as real ones are
                    ├── scans, signings       what ECR says about an image
                    └── GetDownloadUrlForLayer ─▶ in this process https://prod-REGION-starport-layer-bucket.s3...,
                                                  over HTTP the endpoint's own origin; Registries.download

Repositories of any account and Region can be there; they are filled in Python
(``cloud.registries.repository("shop/web").push(...)``), and read with the API. Pushing and deleting manifests
works with the API too; layers are not uploaded through it. What is not here is moto's, whose own repositories
are others than these.

Sources: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/ (one page per operation);
https://github.com/opencontainers/image-spec/blob/v1.1.1/manifest.md
"""

import base64
import fnmatch
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from rehearsal.aws.call import AwsError, Call, JsonObject, Response
from rehearsal.aws.shapes import check_shape

# https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ListImageReferrers.html
MAX_REFERRERS = 50
# https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html
DEFAULT_DESCRIBED = 100
# How long the URLs of real layers hold.
URL_SECONDS = 3600

Mutability = Literal["MUTABLE", "IMMUTABLE", "IMMUTABLE_WITH_EXCLUSION", "MUTABLE_WITH_EXCLUSION"]
SigningState = Literal["IN_PROGRESS", "COMPLETE", "FAILED"]

LAYERS = "starport-layer-bucket"
"""What the addresses of layers have in common, here as at AWS."""
_INDEXES = {
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
}


def digest_of(content: bytes) -> str:
    """Compute the digest of a manifest or blob."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest as it was pushed."""

    content: bytes
    media_type: str
    pushed_at: datetime
    archived: bool = False
    """Whether it was moved to the archive, where it can't be read."""

    @property
    def document(self) -> JsonObject:
        parsed: JsonObject = json.loads(self.content)
        return parsed

    @property
    def subject(self) -> str | None:
        subject: str | None = (self.document.get("subject") or {}).get("digest")
        return subject

    @property
    def artifact_type(self) -> str | None:
        """Its own, else its configuration's: the distribution specification's rule for lists of referrers."""
        document = self.document
        found: str | None = document.get("artifactType") or (document.get("config") or {}).get("mediaType")
        return found

    @property
    def size(self) -> int:
        """Of what it is made of, in bytes."""
        document = self.document
        parts = [document.get("config") or {}, *document.get("layers", [])]
        return len(self.content) + sum(int(part.get("size", 0)) for part in parts)


@dataclass(frozen=True, slots=True)
class Scan:
    """The last scan of an image."""

    completed_at: datetime | None
    counts: Mapping[str, int] = field(default_factory=dict)
    """Findings by severity: ``{"CRITICAL": 1}``."""
    status: str = "COMPLETE"
    description: str = "The scan was completed successfully."


@dataclass(frozen=True, slots=True)
class Signing:
    """How managed signing of an image with one profile stands."""

    state: SigningState
    failure_code: str | None = None
    failure_reason: str | None = None


@dataclass(slots=True, kw_only=True)
class Repository:
    """One repository."""

    name: str
    account: str
    region: str
    created_at: datetime
    mutability: Mutability = "MUTABLE"
    exclusions: tuple[str, ...] = ()
    """Wildcards of the tags that the exclusion is for."""
    manifests: dict[str, StoredManifest] = field(default_factory=dict)
    """By digest, in the order they were pushed."""
    tags: dict[str, str] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    scans: dict[str, Scan] = field(default_factory=dict)
    """By digest."""
    signings: dict[str, dict[str, Signing]] = field(default_factory=dict)
    """By digest, then by the profile's ARN."""

    @property
    def arn(self) -> str:
        return f"arn:aws:ecr:{self.region}:{self.account}:repository/{self.name}"

    @property
    def host(self) -> str:
        """What its images' references begin with."""
        return f"{self.account}.dkr.ecr.{self.region}.amazonaws.com"

    @property
    def uri(self) -> str:
        return f"{self.host}/{self.name}"

    def push(
        self,
        manifest: bytes,
        media_type: str,
        *,
        tag: str | None = None,
        blobs: Mapping[str, bytes] | None = None,
        at: datetime | None = None,
    ) -> str:
        """Store a manifest with its blobs (by digest), and have *tag* lead to it; return its digest.

        Parameters
        ----------
        at
            When it is pushed; now by default.

        Raises
        ------
        AwsError
            Where ECR refuses: a layer or an image of an index is missing, a tag is immutable.
        """
        for digest, content in (blobs or {}).items():
            if digest != digest_of(content):
                raise ValueError(f"{digest} is not the digest of {len(content)} bytes")
            self.blobs[digest] = content
        stored = StoredManifest(manifest, media_type, at or datetime.now(UTC))
        digest = digest_of(manifest)
        self._check_parts(stored)
        if tag is not None:
            if tag in self.tags and self.tags[tag] != digest and self._is_immutable(tag):
                raise AwsError(
                    "ImageTagAlreadyExistsException",
                    f"The image tag '{tag}' already exists in the '{self.name}' repository and cannot be "
                    "overwritten because the tag is immutable.",
                )
            self.tags[tag] = digest
        self.manifests.setdefault(digest, stored)
        return digest

    def delete(self, *, digest: str | None = None, tag: str | None = None) -> bool:
        """Delete a tag, or a manifest with all tags that lead to it; tell whether it was there."""
        if tag is not None:
            gone = self.tags.pop(tag, None)
            if gone and gone not in self.tags.values():
                # An image goes with its last tag.
                # https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchDeleteImage.html
                self.manifests.pop(gone, None)
            return gone is not None
        for name in [name for name, led in self.tags.items() if led == digest]:
            del self.tags[name]
        return self.manifests.pop(digest or "", None) is not None

    def find(self, digest: str | None, tag: str | None) -> str | None:
        """Return the digest of the image with this digest, else under this tag; ``None`` without one."""
        found = digest or self.tags.get(tag or "")
        return found if found in self.manifests else None

    def referrers(self, subject: str) -> Iterator[tuple[str, StoredManifest]]:
        """Yield what names *subject* as its subject, by digest."""
        for digest, stored in self.manifests.items():
            if stored.subject == subject:
                yield digest, stored

    def _is_immutable(self, tag: str) -> bool:
        excluded = any(fnmatch.fnmatchcase(tag, pattern) for pattern in self.exclusions)
        match self.mutability:
            case "IMMUTABLE":
                return True
            case "IMMUTABLE_WITH_EXCLUSION":
                return not excluded
            case "MUTABLE_WITH_EXCLUSION":
                return excluded
            case _:
                return False

    def _check_parts(self, stored: StoredManifest) -> None:
        document = stored.document
        parts = [document.get("config") or {}, *document.get("layers", [])]
        missing = [part["digest"] for part in parts if part and part["digest"] not in self.blobs]
        if missing:
            raise AwsError(
                "LayersNotFoundException",
                f"The image requires layers that do not exist in the repository: {', '.join(missing)}",
            )
        absent = [
            entry["digest"]
            for entry in document.get("manifests", [])
            if entry["digest"] not in self.manifests
        ]
        if absent:
            raise AwsError(
                "ReferencedImagesNotFoundException",
                f"The manifest list references images that do not exist: {', '.join(absent)}",
            )


class Registries:
    """ECR in every account and Region of a rehearsal."""

    def __init__(self, account: str, region: str) -> None:
        self._account = account
        self._region = region
        self._repositories: dict[tuple[str, str, str], Repository] = {}

    @property
    def operations(self) -> Mapping[str, Callable[[Call], JsonObject]]:
        """What is answered here, by operation."""
        return {
            "BatchDeleteImage": self.batch_delete,
            "BatchGetImage": self.batch_get,
            "CreateRepository": self.create_repository,
            "DescribeImageScanFindings": self.describe_findings,
            "DescribeImageSigningStatus": self.describe_signing,
            "DescribeImages": self.describe_images,
            "DescribeRepositories": self.describe_repositories,
            "GetDownloadUrlForLayer": self.download_url,
            "ListImageReferrers": self.list_referrers,
            "PutImage": self.put_image,
        }

    def reset(self) -> None:
        """Forget all repositories."""
        self._repositories.clear()

    def repository(
        self,
        name: str,
        *,
        account: str | None = None,
        region: str | None = None,
        mutability: Mutability = "MUTABLE",
        exclusions: tuple[str, ...] = (),
    ) -> Repository:
        """Return a repository; where it is missing it is created, in the rehearsal's account by default."""
        key = (account or self._account, region or self._region, name)
        if key not in self._repositories:
            self._repositories[key] = Repository(
                name=name,
                account=key[0],
                region=key[1],
                created_at=datetime.now(UTC),
                mutability=mutability,
                exclusions=exclusions,
            )
        return self._repositories[key]

    def answer(self, call: Call) -> JsonObject:
        """Answer a call, and make sure that ECR could have said so."""
        result = self.operations[call.operation](call)
        check_shape(call.service, call.operation, result)
        return result

    def find(self, reference: str) -> tuple[Repository, str] | None:
        """Return the repository of an image, and its digest as it is now; ``None`` if it is not here."""
        name, _, pinned = reference.partition("@")
        host, _, path = name.partition("/")
        path, _, tag = path.partition(":")
        for repository in self._repositories.values():
            if (repository.host, repository.name) == (host, path):
                found = repository.find(pinned or None, tag or "latest")
                return (repository, found) if found else None
        return None

    # --- Reading ----------------------------------------------------------------------------------

    def batch_get(self, call: Call) -> JsonObject:
        """Return manifests, byte for byte, by digest or tag."""
        repository = self._repository(call)
        accepted = call.parameters.get("acceptedMediaTypes")
        images: list[JsonObject] = []
        failures: list[JsonObject] = []
        for asked in call.parameters.get("imageIds", []):
            problem = _problem(repository, asked)
            digest = repository.find(asked.get("imageDigest"), asked.get("imageTag"))
            if problem or digest is None:
                failures.append(_failure(asked, *(problem or _NOT_FOUND)))
                continue
            stored = repository.manifests[digest]
            # What ECR says of an image that it has in no accepted form is not documented.
            if accepted and stored.media_type not in accepted:
                failures.append(_failure(asked, *_NOT_FOUND))
            elif stored.archived:
                failures.append(_failure(asked, "ImageInaccessible", "Requested image is archived"))
            else:
                images.append(
                    {
                        "registryId": repository.account,
                        "repositoryName": repository.name,
                        "imageId": {**asked, "imageDigest": digest},
                        "imageManifest": stored.content.decode(),
                        "imageManifestMediaType": stored.media_type,
                    }
                )
        return {"images": images, "failures": failures}

    def list_referrers(self, call: Call) -> JsonObject:
        """List what hangs on an image, oldest first, in pages of at most 50."""
        repository = self._repository(call)
        asked = call.parameters.get("filter") or {}
        types, status = asked.get("artifactTypes"), asked.get("artifactStatus", "ACTIVE")
        found = [
            _set(
                {
                    "digest": digest,
                    "mediaType": stored.media_type,
                    "artifactType": stored.artifact_type,
                    "size": len(stored.content),
                    "annotations": stored.document.get("annotations"),
                    "artifactStatus": "ARCHIVED" if stored.archived else "ACTIVE",
                }
            )
            for digest, stored in repository.referrers(str(call.parameters["subjectId"]["imageDigest"]))
            if (not types or stored.artifact_type in types)
            and status in ("ANY", "ARCHIVED" if stored.archived else "ACTIVE")
        ]
        page, token = _page(call, found, MAX_REFERRERS)
        return _set({"referrers": page, "nextToken": token})

    def download_url(self, call: Call) -> JsonObject:
        """Sign an address that a layer can be had from, for an hour: where the call itself came in."""
        repository = self._repository(call)
        digest = str(call.parameters.get("layerDigest", ""))
        if digest not in repository.blobs:
            raise AwsError(
                "LayersNotFoundException",
                f"The layer with digest '{digest}' is not available in the repository '{repository.name}' in "
                f"the registry with id '{repository.account}'",
            )
        bucket = f"prod-{repository.region}-{LAYERS}"
        here = urlsplit(call.url)
        # In this process nothing but the addresses of AWS are answered; over HTTP nothing but this server.
        origin = (
            f"https://{bucket}.s3.{repository.region}.amazonaws.com"
            if (here.hostname or "").endswith(".amazonaws.com")
            else f"{here.scheme}://{here.netloc}/{bucket}"
        )
        path = f"{repository.account}/{repository.region}/{repository.name}/{digest}"
        now = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        query = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{call.access_key}/{now[:8]}/{repository.region}/s3/aws4_request",
            "X-Amz-Date": now,
            "X-Amz-Expires": str(URL_SECONDS),
            "X-Amz-SignedHeaders": "host",
            "X-Amz-Signature": _signature(path, now, call.access_key),
        }
        return {"downloadUrl": f"{origin}/{quote(path)}?{urlencode(query)}", "layerDigest": digest}

    def describe_repositories(self, call: Call) -> JsonObject:
        """Describe the repositories that are named, or all of a registry."""
        names = call.parameters.get("repositoryNames")
        account = str(call.parameters.get("registryId") or call.account)
        found = (
            [self._repository(call, str(name)) for name in names]
            if names
            else [one for key, one in self._repositories.items() if key[:2] == (account, call.region)]
        )
        page, token = _page(call, [_described(one) for one in found], DEFAULT_DESCRIBED)
        return _set({"repositories": page, "nextToken": token})

    def describe_images(self, call: Call) -> JsonObject:
        """Describe the images that are named, or all of a repository."""
        repository = self._repository(call)
        asked = call.parameters.get("imageIds")
        digests = [self._image(repository, one) for one in asked] if asked else list(repository.manifests)
        page, token = _page(call, [_detail(repository, one) for one in digests], DEFAULT_DESCRIBED)
        return _set({"imageDetails": page, "nextToken": token})

    def describe_findings(self, call: Call) -> JsonObject:
        """Tell what the last scan of an image has found, without the single findings."""
        repository = self._repository(call)
        asked = call.parameters.get("imageId") or {}
        digest = self._image(repository, asked)
        scan = repository.scans.get(digest)
        if scan is None:
            raise AwsError(
                "ScanNotFoundException",
                f"Image scan does not exist for the image with '{_shown(asked)}' in the repository with name "
                f"'{repository.name}' in the registry with id '{repository.account}'",
            )
        return {
            "registryId": repository.account,
            "repositoryName": repository.name,
            "imageId": {**asked, "imageDigest": digest},
            "imageScanStatus": {"status": scan.status, "description": scan.description},
            "imageScanFindings": _findings(scan),
        }

    def describe_signing(self, call: Call) -> JsonObject:
        """Tell how managed signing of an image stands, profile by profile."""
        repository = self._repository(call)
        asked = call.parameters.get("imageId") or {}
        digest = self._image(repository, asked)
        return {
            "registryId": repository.account,
            "repositoryName": repository.name,
            "imageId": {**asked, "imageDigest": digest},
            "signingStatuses": [
                _set(
                    {
                        "signingProfileArn": profile,
                        "status": signing.state,
                        "failureCode": signing.failure_code,
                        "failureReason": signing.failure_reason,
                    }
                )
                for profile, signing in repository.signings.get(digest, {}).items()
            ],
        }

    # --- Writing ----------------------------------------------------------------------------------

    def create_repository(self, call: Call) -> JsonObject:
        """Create a repository in the caller's account and Region."""
        parameters = call.parameters
        account, name = str(parameters.get("registryId") or call.account), str(parameters["repositoryName"])
        if (account, call.region, name) in self._repositories:
            raise AwsError(
                "RepositoryAlreadyExistsException",
                f"The repository with name '{name}' already exists in the registry with id '{account}'",
            )
        filters = parameters.get("imageTagMutabilityExclusionFilters", [])
        created = self.repository(
            name,
            account=account,
            region=call.region,
            mutability=parameters.get("imageTagMutability", "MUTABLE"),
            exclusions=tuple(one["filter"] for one in filters),
        )
        return {"repository": _described(created)}

    def put_image(self, call: Call) -> JsonObject:
        """Store a manifest whose layers are there already."""
        repository = self._repository(call)
        parameters = call.parameters
        manifest = str(parameters.get("imageManifest", "")).encode()
        try:
            said = json.loads(manifest).get("mediaType")
        except (ValueError, AttributeError) as error:
            raise AwsError("InvalidParameterException", f"the manifest is not one: {error}") from error
        media_type = parameters.get("imageManifestMediaType") or said
        expected = parameters.get("imageDigest")
        if expected and expected != digest_of(manifest):
            raise AwsError(
                "ImageDigestDoesNotMatchException",
                f"The specified image digest '{expected}' does not match the digest "
                f"'{digest_of(manifest)}' of the supplied image manifest",
            )
        if not media_type:
            raise AwsError("InvalidParameterException", "the manifest names no media type")
        tag = parameters.get("imageTag")
        digest = repository.push(manifest, str(media_type), tag=tag)
        return {
            "image": {
                "registryId": repository.account,
                "repositoryName": repository.name,
                "imageId": _set({"imageDigest": digest, "imageTag": tag}),
                "imageManifest": manifest.decode(),
                "imageManifestMediaType": media_type,
            }
        }

    def batch_delete(self, call: Call) -> JsonObject:
        """Delete tags, and images by their digests."""
        repository = self._repository(call)
        deleted: list[JsonObject] = []
        failures: list[JsonObject] = []
        for asked in call.parameters.get("imageIds", []):
            problem = _problem(repository, asked)
            digest = repository.find(asked.get("imageDigest"), asked.get("imageTag"))
            if problem or digest is None:
                failures.append(_failure(asked, *(problem or _NOT_FOUND)))
            elif "imageTag" not in asked and _is_listed(repository, digest):
                failures.append(
                    _failure(
                        asked, "ImageReferencedByManifestList", "Requested image referenced by manifest list"
                    )
                )
            else:
                repository.delete(digest=asked.get("imageDigest"), tag=asked.get("imageTag"))
                deleted.append({**asked, "imageDigest": digest})
        return _set({"imageIds": deleted or None, "failures": failures})

    # --- Layers -----------------------------------------------------------------------------------

    def download(self, url: str) -> Response | None:
        """Answer a request for a layer's address; ``None`` for any other address."""
        parts = urlsplit(url)
        host, path = parts.hostname or "", unquote(parts.path).lstrip("/")
        if f"-{LAYERS}.s3." not in host:
            bucket, _, path = path.partition("/")
            if not bucket.endswith(f"-{LAYERS}"):
                return None
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        now = query.get("X-Amz-Date", "")
        if query.get("X-Amz-Signature") != _signature(path, now, asker_of(url)):
            raise AwsError(
                "SignatureDoesNotMatch", "The request signature we calculated does not match.", 403
            )
        signed_at = datetime.strptime(now, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if datetime.now(UTC) >= signed_at + timedelta(seconds=URL_SECONDS):
            raise AwsError("AccessDenied", "Request has expired", 403)
        account, region, rest = path.split("/", 2)
        name, _, digest = rest.rpartition("/")
        repository = self._repositories.get((account, region, name))
        if repository is None or digest not in repository.blobs:
            raise AwsError("NoSuchKey", "The specified key does not exist.", 404)
        return 200, {"Content-Type": "application/octet-stream"}, repository.blobs[digest]

    # --- Finding ----------------------------------------------------------------------------------

    def _repository(self, call: Call, name: str | None = None) -> Repository:
        account = str(call.parameters.get("registryId") or call.account)
        name = name or str(call.parameters.get("repositoryName", ""))
        found = self._repositories.get((account, call.region, name))
        if found is None:
            raise AwsError(
                "RepositoryNotFoundException",
                f"The repository with name '{name}' does not exist in the registry with id '{account}'",
            )
        return found

    @staticmethod
    def _image(repository: Repository, asked: JsonObject) -> str:
        digest = repository.find(asked.get("imageDigest"), asked.get("imageTag"))
        if digest is None:
            raise AwsError(
                "ImageNotFoundException",
                f"The image with imageId {_shown(asked)} does not exist within the repository with name "
                f"'{repository.name}' in the registry with id '{repository.account}'",
            )
        return digest


def asker_of(url: str) -> str:
    """Return the access key of whoever asked for a layer's address."""
    credential = parse_qs(urlsplit(url).query).get("X-Amz-Credential", [""])[0]
    return credential.partition("/")[0]


_NOT_FOUND = ("ImageNotFound", "Requested image not found")


def _failure(asked: JsonObject, code: str, reason: str) -> JsonObject:
    return {"imageId": asked, "failureCode": code, "failureReason": reason}


def _problem(repository: Repository, asked: JsonObject) -> tuple[str, str] | None:
    """Return what is wrong with an image's id itself."""
    digest, tag = asked.get("imageDigest"), asked.get("imageTag")
    if digest is None and tag is None:
        return "MissingDigestAndTag", "Invalid request parameters: both tag and digest are missing"
    if digest and tag and repository.tags.get(tag) != digest:
        return "ImageTagDoesNotMatchDigest", "Requested image tag does not match the digest"
    return None


def _is_listed(repository: Repository, digest: str) -> bool:
    return any(
        entry.get("digest") == digest
        for stored in repository.manifests.values()
        for entry in stored.document.get("manifests", [])
    )


def _shown(asked: JsonObject) -> str:
    return f"{{imageDigest:'{asked.get('imageDigest', 'null')}', imageTag:'{asked.get('imageTag', 'null')}'}}"


def _page(call: Call, found: list[Any], most: int) -> tuple[list[Any], str | None]:
    """Return the page that a call asks for, and the token of the next."""
    limit = min(int(call.parameters.get("maxResults") or most), most)
    token = str(call.parameters.get("nextToken") or "")
    try:
        start = int(base64.b64decode(token)) if token else 0
    except ValueError as error:
        raise AwsError("InvalidParameterException", "Invalid parameter: nextToken") from error
    rest = start + limit
    return found[start:rest], base64.b64encode(str(rest).encode()).decode() if rest < len(found) else None


def _described(repository: Repository) -> JsonObject:
    exclusions = [{"filterType": "WILDCARD", "filter": one} for one in repository.exclusions]
    return _set(
        {
            "repositoryArn": repository.arn,
            "registryId": repository.account,
            "repositoryName": repository.name,
            "repositoryUri": repository.uri,
            "createdAt": repository.created_at,
            "imageTagMutability": repository.mutability,
            "imageTagMutabilityExclusionFilters": exclusions or None,
            "imageScanningConfiguration": {"scanOnPush": False},
            "encryptionConfiguration": {"encryptionType": "AES256"},
        }
    )


def _detail(repository: Repository, digest: str) -> JsonObject:
    stored = repository.manifests[digest]
    scan = repository.scans.get(digest)
    is_index = stored.media_type in _INDEXES
    return _set(
        {
            "registryId": repository.account,
            "repositoryName": repository.name,
            "imageDigest": digest,
            "imageTags": [tag for tag, led in repository.tags.items() if led == digest] or None,
            "imageSizeInBytes": stored.size,
            "imagePushedAt": stored.pushed_at,
            "imageScanStatus": scan and {"status": scan.status, "description": scan.description},
            "imageScanFindingsSummary": _findings(scan) if scan and scan.completed_at else None,
            "imageManifestMediaType": stored.media_type,
            "artifactMediaType": None if is_index else stored.artifact_type,
            "subjectManifestDigest": stored.subject,
            "imageStatus": "ARCHIVED" if stored.archived else "ACTIVE",
        }
    )


def _findings(scan: Scan) -> JsonObject:
    at = scan.completed_at
    return _set(
        {
            "imageScanCompletedAt": at,
            "vulnerabilitySourceUpdatedAt": at,
            "findingSeverityCounts": dict(scan.counts),
        }
    )


def _signature(path: str, now: str, access_key: str) -> str:
    """Sign an address. What AWS computes with a secret, the rehearsal computes without."""
    return hashlib.sha256(f"{path}\n{now}\n{access_key}".encode()).hexdigest()


def _set(members: JsonObject) -> JsonObject:
    """Leave out what is not set, as the API does."""
    return {key: value for key, value in members.items() if value is not None}
