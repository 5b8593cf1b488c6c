"""ECR by moto, with what moto lacks, and the bytes of blobs from a server that speaks TLS.

moto has no ListImageReferrers, no GetDownloadUrlForLayer and no DescribeImageSigningStatus; it names the
wrong tag of an image that has several, and none where something is missing. All requests, and all answers
that are made up here, are held against botocore's model, so that they can't drift from the API.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import botocore.client
from botocore.exceptions import ClientError
from botocore.validate import validate_parameters
from moto import mock_aws
from moto.ecr.models import ecr_backends

from hooks.image_trust.finding import Digest
from hooks.image_trust.manifest import digest_of
from hooks.image_trust.reference import Reference
from shared.clients import client

ACCOUNT = "123456789012"
REGION = "eu-west-1"
HOST = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
NAME = "shop/web"
BUCKET = f"prod-{REGION}-starport-layer-bucket.s3.{REGION}.amazonaws.com"
SECRET = "X-Amz-Signature=s3cret"

Answer = dict[str, Any]
Operation = Callable[["Ecr", Mapping[str, Any]], Answer]


@dataclass
class Ecr:
    """What happens to calls of ECR while :func:`mocked` runs."""

    blobs: dict[tuple[str, str], bytes]
    """By repository and digest; where blobs are pushed to, and served from."""
    calls: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    replaced: dict[str, Operation] = field(default_factory=dict)
    """Operations that answer otherwise, or fail."""
    signing: dict[str, list[Answer]] = field(default_factory=dict)
    url: Callable[[str], str] = lambda digest: f"https://{BUCKET}/v2/{NAME}/blobs/{digest}?{SECRET}"
    page_size: int = 50
    region: str = REGION

    @property
    def operations(self) -> list[str]:
        return [operation for operation, _ in self.calls]

    @property
    def counted(self) -> dict[str, int]:
        return dict(Counter(self.operations))

    def fail(self, operation: str, code: str, message: str = "because", status: int = 400) -> None:
        """Have an operation fail with an error of AWS's."""

        def failing(_: "Ecr", __: Mapping[str, Any]) -> Answer:
            answer = {
                "Error": {"Code": code, "Message": message},
                "ResponseMetadata": {"HTTPStatusCode": status},
            }
            raise ClientError(answer, operation)  # type: ignore[arg-type]

        self.replaced[operation] = failing

    def answer(self, operation: str, answer: Mapping[str, Any]) -> None:
        """Have an operation answer this."""
        self.replaced[operation] = lambda _, __: dict(answer)

    # --- As a repository that things are pushed to

    def blob(self, content: bytes) -> None:
        self.blobs[NAME, digest_of(content)] = content

    def manifest(self, content: bytes, tag: str = "") -> None:
        client("ecr", self.region).put_image(
            repositoryName=NAME,
            imageManifest=content.decode(),
            imageDigest=digest_of(content),  # else moto makes up another
            **({"imageTag": tag} if tag else {}),
        )

    # --- What moto lacks

    def _images(self, parameters: Mapping[str, Any]) -> list[Any]:
        backend = ecr_backends[ACCOUNT][self.region]
        return list(backend.repositories[parameters["repositoryName"]].images)

    def list_image_referrers(self, parameters: Mapping[str, Any]) -> Answer:
        listed = []
        for image in self._images(parameters):
            document = json.loads(image.image_manifest)
            if (document.get("subject") or {}).get("digest") == parameters["subjectId"]["imageDigest"]:
                listed.append(
                    {
                        "digest": image.get_image_digest(),
                        "mediaType": image.image_manifest_media_type,
                        "artifactType": document.get("artifactType", ""),
                        "size": len(image.image_manifest),
                        "artifactStatus": "ACTIVE",
                    }
                )
        start, size = int(parameters.get("nextToken", "0")), min(parameters["maxResults"], self.page_size)
        more = {"nextToken": str(start + size)} if start + size < len(listed) else {}
        return {"referrers": listed[start : start + size], **more}

    def get_download_url_for_layer(self, parameters: Mapping[str, Any]) -> Answer:
        digest = parameters["layerDigest"]
        if (parameters["repositoryName"], digest) not in self.blobs:
            answer = {"Error": {"Code": "LayersNotFoundException", "Message": "no such layer"}}
            raise ClientError(answer, "GetDownloadUrlForLayer")  # type: ignore[arg-type]
        return {"downloadUrl": self.url(digest), "layerDigest": digest}

    def describe_image_signing_status(self, parameters: Mapping[str, Any]) -> Answer:
        return {
            "repositoryName": parameters["repositoryName"],
            "imageId": parameters["imageId"],
            "registryId": ACCOUNT,
            "signingStatuses": self.signing.get(parameters["imageId"]["imageDigest"], []),
        }

    def repaired(self, parameters: Mapping[str, Any], answer: Answer) -> Answer:
        """Return moto's answer to BatchGetImage as ECR gives it: an entry for each that was asked for."""
        images, failures = [], []
        for asked in parameters["imageIds"]:
            found = [
                image
                for image in self._images(parameters)
                if asked.get("imageTag") in image.image_tags or asked.get("imageDigest") == image.image_digest
            ]
            images += [
                {
                    "registryId": ACCOUNT,
                    "repositoryName": parameters["repositoryName"],
                    "imageId": {"imageDigest": image.get_image_digest(), **asked},
                    "imageManifest": image.image_manifest,
                    "imageManifestMediaType": image.image_manifest_media_type,
                }
                for image in found
            ]
            if not found:
                failures.append(
                    {
                        "imageId": asked,
                        "failureCode": "ImageNotFound",
                        "failureReason": "Requested image not found",
                    }
                )
        assert len(answer["images"]) == len(images)
        return {"images": images, "failures": failures}


_ADDED: Mapping[str, Operation] = {
    "ListImageReferrers": Ecr.list_image_referrers,
    "GetDownloadUrlForLayer": Ecr.get_download_url_for_layer,
    "DescribeImageSigningStatus": Ecr.describe_image_signing_status,
}


@contextmanager
def mocked(blobs: dict[tuple[str, str], bytes], region: str = REGION) -> Iterator[Ecr]:
    """Have moto be ECR in the block, with one repository."""
    ecr = Ecr(blobs, region=region)
    original = botocore.client.BaseClient._make_api_call

    def call(self: Any, operation: str, parameters: Mapping[str, Any]) -> Any:
        if self.meta.service_model.service_name != "ecr" or operation in {"PutImage", "CreateRepository"}:
            return original(self, operation, parameters)
        assert self.meta.region_name == ecr.region
        ecr.calls.append((operation, parameters))
        model = self.meta.service_model.operation_model(operation)
        validate_parameters(parameters, model.input_shape)
        if made_up := ecr.replaced.get(operation) or _ADDED.get(operation):
            answer = made_up(ecr, parameters)
        else:
            answer = original(self, operation, parameters)
            if operation == "BatchGetImage":
                answer = ecr.repaired(parameters, answer)
            answer.pop("ResponseMetadata", None)
        validate_parameters(answer, model.output_shape)
        return answer

    with mock_aws(), mock.patch.object(botocore.client.BaseClient, "_make_api_call", call):
        client("ecr", region).create_repository(repositoryName=NAME)
        yield ecr


def at(digest: str | None = None, *, tag: str | None = None, host: str = HOST) -> Reference:
    return Reference(host, NAME, tag, Digest(digest) if digest else None)
