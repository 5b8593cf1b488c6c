"""ECR, AWS Signer's revocations and KMS's public keys: true digests, referrers, layers over HTTP, IAM."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
import requests
import time_machine
import urllib3
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from rehearsal.aws.call import AwsError
from rehearsal.aws.cloud import ACCOUNT, Cloud
from rehearsal.aws.ecr import Repository, Scan, Signing, digest_of
from rehearsal.aws.identities import ALLOW_ALL
from rehearsal.aws.kms import PublicKey
from rehearsal.aws.server import Server
from rehearsal.signing import Artifact, Key, Profile, SigningService, image, index
from tests.rehearsal.aws.sample_deployments import REGION, START, body

WEB = image("web")
BOTH = index(image("web for amd64"), image("web for arm64", architecture="arm64"))
KEY = Key("release")
SIGNED = KEY.sign_under_tag(WEB)
BUNDLE = KEY.bundle(WEB)
PROFILE = Profile("ci", ACCOUNT, REGION)
ENVELOPE = SigningService().sign(WEB, PROFILE, START)
ELSEWHERE = "999988887777"
NOBODY = f"sha256:{'0' * 64}"


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(START, tick=False) as clock:
        yield clock


@pytest.fixture
def ecr(cloud: Cloud, clock: time_machine.Traveller) -> Any:
    return cloud.client("ecr", user="reader", policies=[ALLOW_ALL])


@pytest.fixture
def web(cloud: Cloud, clock: time_machine.Traveller) -> Repository:
    repository = cloud.registries.repository("shop/web")
    push(repository, WEB, tag="7")
    return repository


def push(repository: Repository, artifact: Artifact, *, tag: str | None = None) -> None:
    for one in (*artifact.images, artifact):
        repository.push(
            one.manifest,
            one.media_type,
            blobs=one.blobs,
            tag=(tag or one.tag) if one is artifact else None,
        )


def refusal(call: Any, **parameters: object) -> str:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return str(caught.value.response["Error"]["Code"])


def got(ecr: Any, *ids: dict[str, str], **parameters: object) -> dict[str, Any]:
    return body(ecr.batch_get_image(repositoryName="shop/web", imageIds=list(ids), **parameters))


def url_of(ecr: Any, digest: str = "") -> str:
    layer = digest or json.loads(SIGNED.manifest)["layers"][0]["digest"]
    answer = ecr.get_download_url_for_layer(repositoryName="shop/web", layerDigest=layer)
    assert answer["layerDigest"] == layer
    return str(answer["downloadUrl"])


def payload() -> bytes:
    return SIGNED.blobs[json.loads(SIGNED.manifest)["layers"][0]["digest"]]


# Manifests


@pytest.mark.parametrize("asked", [{"imageTag": "7"}, {"imageDigest": WEB.digest}], ids=["tag", "digest"])
def test_a_manifest_comes_back_byte_for_byte_under_its_true_digest(
    ecr: Any, web: Repository, asked: dict[str, str]
) -> None:
    assert got(ecr, asked) == {
        "images": [
            {
                "registryId": ACCOUNT,
                "repositoryName": "shop/web",
                "imageId": {**asked, "imageDigest": WEB.digest},
                "imageManifest": WEB.manifest.decode(),
                "imageManifestMediaType": "application/vnd.oci.image.manifest.v1+json",
            }
        ],
        "failures": [],
    }
    assert digest_of(WEB.manifest) == WEB.digest


def test_what_is_not_there_is_a_failure_beside_what_is(ecr: Any, web: Repository) -> None:
    found = got(ecr, {"imageTag": "8"}, {"imageTag": "7"}, {"imageDigest": NOBODY}, {})

    assert [one["imageId"]["imageDigest"] for one in found["images"]] == [WEB.digest]
    assert [(one["imageId"], one["failureCode"]) for one in found["failures"]] == [
        ({"imageTag": "8"}, "ImageNotFound"),
        ({"imageDigest": NOBODY}, "ImageNotFound"),
        ({}, "MissingDigestAndTag"),
    ]


def test_a_tag_and_a_digest_have_to_fit(ecr: Any, web: Repository) -> None:
    [failure] = got(ecr, {"imageTag": "7", "imageDigest": NOBODY})["failures"]

    assert failure["failureCode"] == "ImageTagDoesNotMatchDigest"


def test_an_image_of_no_accepted_kind_and_an_archived_one_are_not_had(ecr: Any, web: Repository) -> None:
    push(web, BOTH, tag="both")
    stored = web.manifests[WEB.digest]
    accepted = got(ecr, {"imageTag": "both"}, acceptedMediaTypes=[WEB.media_type])["failures"]
    web.manifests[WEB.digest] = type(stored)(stored.content, stored.media_type, stored.pushed_at, True)

    assert [one["failureCode"] for one in accepted] == ["ImageNotFound"]
    assert [one["failureCode"] for one in got(ecr, {"imageTag": "7"})["failures"]] == ["ImageInaccessible"]


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        ("batch_get_image", {"imageIds": [{"imageTag": "7"}]}),
        ("list_image_referrers", {"subjectId": {"imageDigest": WEB.digest}}),
        ("get_download_url_for_layer", {"layerDigest": WEB.digest}),
        ("describe_images", {}),
        ("describe_image_scan_findings", {"imageId": {"imageTag": "7"}}),
        ("describe_image_signing_status", {"imageId": {"imageTag": "7"}}),
    ],
)
def test_registries_of_other_accounts_and_regions_are_others(
    cloud: Cloud, ecr: Any, operation: str, parameters: dict[str, Any]
) -> None:
    push(cloud.registries.repository("shop/web", account=ELSEWHERE), WEB, tag="7")
    push(cloud.registries.repository("shop/web", region="us-west-2"), WEB, tag="7")
    call = getattr(ecr, operation)

    assert refusal(call, repositoryName="shop/web", **parameters) == "RepositoryNotFoundException"


def test_a_registry_of_another_account_is_read_by_its_id(cloud: Cloud, ecr: Any) -> None:
    push(cloud.registries.repository("shop/web", account=ELSEWHERE), WEB, tag="7")
    [found] = got(ecr, {"imageTag": "7"}, registryId=ELSEWHERE)["images"]

    assert found["registryId"] == ELSEWHERE


# What hangs on an image


def listed(ecr: Any, **parameters: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ecr.list_image_referrers(
        repositoryName="shop/web", subjectId={"imageDigest": WEB.digest}, **parameters
    )["referrers"]
    return found


def test_referrers_are_listed_with_their_own_kind_size_and_annotations(ecr: Any, web: Repository) -> None:
    for artifact in (BUNDLE, ENVELOPE, SIGNED):
        push(web, artifact)

    assert listed(ecr) == [
        {
            "digest": artifact.digest,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": json.loads(artifact.manifest)["artifactType"],
            "size": len(artifact.manifest),
            "annotations": json.loads(artifact.manifest)["annotations"],
            "artifactStatus": "ACTIVE",
        }
        for artifact in (BUNDLE, ENVELOPE)
    ]
    notation = {"artifactTypes": ["application/vnd.cncf.notary.signature"]}
    assert [one["digest"] for one in listed(ecr, filter=notation)] == [ENVELOPE.digest]


def test_an_image_that_nothing_hangs_on_has_no_referrers(ecr: Any, web: Repository) -> None:
    assert listed(ecr) == []


def test_referrers_come_in_pages_of_at_most_fifty(ecr: Any, web: Repository) -> None:
    made = [Key(f"signer {number}").bundle(WEB) for number in range(52)]
    for artifact in made:
        push(web, artifact)
    asked = {"repositoryName": "shop/web", "subjectId": {"imageDigest": WEB.digest}}
    first = ecr.list_image_referrers(**asked)
    second = ecr.list_image_referrers(**asked, nextToken=first["nextToken"])

    assert (len(first["referrers"]), len(second["referrers"]), "nextToken" in second) == (50, 2, False)
    everything = [one["digest"] for one in (*first["referrers"], *second["referrers"])]
    assert everything == [artifact.digest for artifact in made]
    assert refusal(ecr.list_image_referrers, **asked, nextToken="!") == "InvalidParameterException"


# Layers


def test_a_layer_is_fetched_from_its_signed_address_by_urllib3_and_requests(
    ecr: Any, web: Repository
) -> None:
    push(web, SIGNED)
    url = url_of(ecr)
    answer = urllib3.PoolManager(retries=False).request("GET", url, preload_content=False, redirect=False)
    read = answer.read(10) + answer.read()

    assert url.startswith(f"https://prod-{REGION}-starport-layer-bucket.s3.{REGION}.amazonaws.com/")
    assert (answer.status, read) == (200, payload())
    assert answer.headers["Content-Length"] == str(len(payload()))
    answer.release_conn()
    assert requests.get(url, timeout=5).content == payload()


def test_over_http_the_address_is_where_ecr_itself_was_asked(cloud: Cloud, web: Repository) -> None:
    push(web, SIGNED)
    with Server(cloud) as server:
        ecr = boto3.client(
            "ecr",
            endpoint_url=server.url,
            region_name=REGION,
            **keys(cloud, "reader"),
        )
        url = url_of(ecr)
        answer = urllib3.PoolManager(retries=False).request("GET", url)
        expected = f"{server.url}/prod-{REGION}-starport-layer-bucket/"

    assert url.startswith(expected)
    assert (answer.status, answer.data) == (200, payload())


def keys(cloud: Cloud, user: str) -> dict[str, Any]:
    identity = cloud.identity(user=user, policies=[ALLOW_ALL])
    return {"aws_access_key_id": identity.access_key, "aws_secret_access_key": identity.secret_key}


def test_an_address_holds_for_an_hour_and_only_as_it_was_signed(
    ecr: Any, web: Repository, clock: time_machine.Traveller
) -> None:
    push(web, SIGNED)
    http, url = urllib3.PoolManager(retries=False), url_of(ecr)
    other = url.replace("shop/web", "shop/other")
    clock.move_to(START + timedelta(minutes=59), tick=False)
    in_time = http.request("GET", url)
    clock.move_to(START + timedelta(minutes=60), tick=False)
    late = http.request("GET", url)
    clock.move_to(START, tick=False)

    assert [in_time.status, late.status, http.request("GET", other).status] == [200, 403, 403]
    assert b"<Code>AccessDenied</Code><Message>Request has expired</Message>" in late.data
    assert http.request("GET", f"{url[:-4]}0000").status == 403
    web.blobs.clear()
    assert http.request("GET", url).status == 404


def test_a_layer_that_is_not_there_has_no_address(ecr: Any, web: Repository) -> None:
    asked = {"repositoryName": "shop/web", "layerDigest": NOBODY}

    assert refusal(ecr.get_download_url_for_layer, **asked) == "LayersNotFoundException"


def test_a_fault_of_s3_strikes_who_fetches_a_layer(cloud: Cloud, ecr: Any, web: Repository) -> None:
    push(web, SIGNED)
    http, url = urllib3.PoolManager(retries=False), url_of(ecr)
    cloud.faults.add(action="s3:GetObject", error="SlowDown", status=503, identity="*:user/reader", times=1)
    cloud.faults.add(action="s3:GetObject", error="SlowDown", status=503, identity="*:user/other")

    assert [http.request("GET", url).status for _ in range(2)] == [503, 200]
    cloud.faults.add(action="s3:*", make=lambda *_: ReadTimeoutError(endpoint_url="https://s3"), times=1)
    with pytest.raises(urllib3.exceptions.ProtocolError, match="Connection aborted"):
        http.request("GET", url)


def test_over_http_a_fault_breaks_the_connection_to_a_layer(cloud: Cloud, web: Repository) -> None:
    push(web, SIGNED)
    with Server(cloud) as server:
        url = url_of(
            boto3.client("ecr", endpoint_url=server.url, region_name=REGION, **keys(cloud, "reader"))
        )
        make = EndpointConnectionError(endpoint_url="https://s3")
        cloud.faults.add(action="s3:GetObject", make=lambda *_: make, times=1)
        http = urllib3.PoolManager(retries=False)
        with pytest.raises(urllib3.exceptions.ProtocolError):
            http.request("GET", url)
        assert http.request("GET", url).data == payload()


def test_other_addresses_are_nobody_elses(cloud: Cloud, web: Repository) -> None:
    # Whatever is no layer goes where it went before: here to a server of this machine.
    with Server(cloud) as server:
        answer = urllib3.PoolManager(retries=False).request("GET", f"{server.url}/moto-api/data.json")

    assert answer.status == 200


# What ECR says about images


def test_repositories_are_described_by_name_and_altogether(cloud: Cloud, ecr: Any, web: Repository) -> None:
    cloud.registries.repository(
        "shop/fixed", mutability="IMMUTABLE_WITH_EXCLUSION", exclusions=("dev-*", "pr-*")
    )
    cloud.registries.repository("shop/web", account=ELSEWHERE)
    [fixed] = ecr.describe_repositories(repositoryNames=["shop/fixed"])["repositories"]

    assert fixed == {
        "repositoryArn": f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/shop/fixed",
        "registryId": ACCOUNT,
        "repositoryName": "shop/fixed",
        "repositoryUri": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/shop/fixed",
        "createdAt": START,
        "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
        "imageTagMutabilityExclusionFilters": [
            {"filterType": "WILDCARD", "filter": "dev-*"},
            {"filterType": "WILDCARD", "filter": "pr-*"},
        ],
        "imageScanningConfiguration": {"scanOnPush": False},
        "encryptionConfiguration": {"encryptionType": "AES256"},
    }
    everything = [one["repositoryName"] for one in ecr.describe_repositories()["repositories"]]
    assert everything == ["shop/web", "shop/fixed"]
    assert refusal(ecr.describe_repositories, repositoryNames=["none"]) == "RepositoryNotFoundException"


def test_an_image_is_described_with_its_tags_its_push_and_its_scan(
    ecr: Any, web: Repository, clock: time_machine.Traveller
) -> None:
    clock.move_to(START + timedelta(hours=1), tick=False)
    push(web, WEB, tag="latest")
    push(web, BUNDLE)
    web.scans[WEB.digest] = Scan(START, {"HIGH": 2})
    image_detail, referrer = ecr.describe_images(repositoryName="shop/web")["imageDetails"]

    assert image_detail == {
        "registryId": ACCOUNT,
        "repositoryName": "shop/web",
        "imageDigest": WEB.digest,
        "imageTags": ["7", "latest"],
        "imageSizeInBytes": len(WEB.manifest) + sum(map(len, WEB.blobs.values())),
        "imagePushedAt": START,
        "imageScanStatus": {"status": "COMPLETE", "description": "The scan was completed successfully."},
        "imageScanFindingsSummary": {
            "imageScanCompletedAt": START,
            "vulnerabilitySourceUpdatedAt": START,
            "findingSeverityCounts": {"HIGH": 2},
        },
        "imageManifestMediaType": WEB.media_type,
        "artifactMediaType": "application/vnd.oci.image.config.v1+json",
        "imageStatus": "ACTIVE",
    }
    assert referrer["subjectManifestDigest"] == WEB.digest
    asked = {"repositoryName": "shop/web", "imageIds": [{"imageTag": "none"}]}
    assert refusal(ecr.describe_images, **asked) == "ImageNotFoundException"


def test_an_index_is_described_as_what_it_is(ecr: Any, web: Repository) -> None:
    push(web, BOTH, tag="both")
    [found] = ecr.describe_images(repositoryName="shop/web", imageIds=[{"imageTag": "both"}])["imageDetails"]

    assert (found["imageManifestMediaType"], "artifactMediaType" in found) == (BOTH.media_type, False)


def test_a_scan_is_told_and_its_absence_is_an_error(ecr: Any, web: Repository) -> None:
    asked = {"repositoryName": "shop/web", "imageId": {"imageTag": "7"}}
    before = refusal(ecr.describe_image_scan_findings, **asked)
    web.scans[WEB.digest] = Scan(START, {"CRITICAL": 1})
    found = body(ecr.describe_image_scan_findings(**asked))

    assert before == "ScanNotFoundException"
    assert found["imageId"] == {"imageTag": "7", "imageDigest": WEB.digest}
    assert found["imageScanStatus"]["status"] == "COMPLETE"
    assert found["imageScanFindings"]["findingSeverityCounts"] == {"CRITICAL": 1}
    missing = {"repositoryName": "shop/web", "imageId": {"imageDigest": NOBODY}}
    assert refusal(ecr.describe_image_scan_findings, **missing) == "ImageNotFoundException"


def test_managed_signing_stands_as_it_stands_profile_by_profile(ecr: Any, web: Repository) -> None:
    asked = {"repositoryName": "shop/web", "imageId": {"imageDigest": WEB.digest}}
    before = ecr.describe_image_signing_status(**asked)["signingStatuses"]
    web.signings[WEB.digest] = {
        PROFILE.arn: Signing("IN_PROGRESS"),
        f"{PROFILE.arn}2": Signing("FAILED", "AccessDenied", "not allowed"),
    }

    assert before == []
    assert ecr.describe_image_signing_status(**asked)["signingStatuses"] == [
        {"signingProfileArn": PROFILE.arn, "status": "IN_PROGRESS"},
        {
            "signingProfileArn": f"{PROFILE.arn}2",
            "status": "FAILED",
            "failureCode": "AccessDenied",
            "failureReason": "not allowed",
        },
    ]


# Pushing and deleting


@pytest.mark.parametrize(
    ("mutability", "exclusions", "moves"),
    [
        ("MUTABLE", (), {"1.0", "dev-1"}),
        ("IMMUTABLE", (), set()),
        ("IMMUTABLE_WITH_EXCLUSION", ("dev-*",), {"dev-1"}),
        ("MUTABLE_WITH_EXCLUSION", ("dev-*",), {"1.0"}),
    ],
)
def test_tags_move_where_the_repository_lets_them(
    cloud: Cloud, mutability: Any, exclusions: tuple[str, ...], moves: set[str]
) -> None:
    repository = cloud.registries.repository("shop/web", mutability=mutability, exclusions=exclusions)
    for tag in ("1.0", "dev-1"):
        push(repository, WEB, tag=tag)
        push(repository, WEB, tag=tag)  # the same again moves nothing
    moved = set()
    for tag in ("1.0", "dev-1"):
        try:
            push(repository, image("another"), tag=tag)
            moved.add(tag)
        except AwsError as error:
            assert error.code == "ImageTagAlreadyExistsException"

    assert moved == moves
    assert {tag for tag, digest in repository.tags.items() if digest != WEB.digest} == moves


def test_what_an_image_needs_has_to_be_there_first(cloud: Cloud) -> None:
    repository = cloud.registries.repository("shop/web")
    with pytest.raises(AwsError, match="LayersNotFoundException"):
        repository.push(WEB.manifest, WEB.media_type)
    with pytest.raises(AwsError, match="ReferencedImagesNotFoundException"):
        repository.push(BOTH.manifest, BOTH.media_type)
    with pytest.raises(ValueError, match="is not the digest"):
        repository.push(WEB.manifest, WEB.media_type, blobs={NOBODY: b""})

    assert (repository.manifests, repository.tags) == ({}, {})


def test_manifests_are_pushed_and_deleted_with_the_api(cloud: Cloud, ecr: Any) -> None:
    created = ecr.create_repository(repositoryName="shop/api", imageTagMutability="IMMUTABLE")["repository"]
    repository = cloud.registries.repository("shop/api")
    repository.blobs.update(WEB.blobs)
    pushed = {"repositoryName": "shop/api", "imageManifest": WEB.manifest.decode()}
    answer = ecr.put_image(**pushed, imageTag="1", imageDigest=WEB.digest)["image"]

    assert (created["imageTagMutability"], repository.mutability) == ("IMMUTABLE", "IMMUTABLE")
    assert answer["imageId"] == {"imageDigest": WEB.digest, "imageTag": "1"}
    assert repository.tags == {"1": WEB.digest}
    assert refusal(ecr.create_repository, repositoryName="shop/api") == "RepositoryAlreadyExistsException"
    assert refusal(ecr.put_image, **pushed, imageDigest=NOBODY) == "ImageDigestDoesNotMatchException"
    assert refusal(ecr.put_image, repositoryName="shop/api", imageManifest="x") == "InvalidParameterException"
    assert refusal(ecr.put_image, repositoryName="shop/api", imageManifest="{}") == (
        "InvalidParameterException"
    )

    deleted = body(
        ecr.batch_delete_image(repositoryName="shop/api", imageIds=[{"imageTag": "1"}, {"imageTag": "2"}])
    )
    assert deleted["imageIds"] == [{"imageTag": "1", "imageDigest": WEB.digest}]
    assert [one["failureCode"] for one in deleted["failures"]] == ["ImageNotFound"]
    assert (repository.manifests, repository.tags) == ({}, {})


def test_an_image_that_an_index_lists_is_not_deleted(ecr: Any, web: Repository) -> None:
    push(web, BOTH, tag="both")
    listed_image = {"imageDigest": BOTH.images[0].digest}
    kept = ecr.batch_delete_image(repositoryName="shop/web", imageIds=[listed_image])
    gone = ecr.batch_delete_image(repositoryName="shop/web", imageIds=[{"imageDigest": BOTH.digest}])

    assert [one["failureCode"] for one in kept["failures"]] == ["ImageReferencedByManifestList"]
    assert gone["imageIds"] == [{"imageDigest": BOTH.digest}]
    assert "both" not in web.tags


def test_references_lead_to_repositories_and_digests(cloud: Cloud, web: Repository) -> None:
    found = cloud.registries.find

    assert found(f"{web.uri}:7") == found(f"{web.uri}@{WEB.digest}") == (web, WEB.digest)
    assert found(f"{web.uri}:7@{WEB.digest}") == (web, WEB.digest)
    assert found(web.uri) == found(f"{web.uri}:8") == found("shop/web:7") == None  # noqa: E711  # a chain


def test_a_new_account_has_no_images_and_no_keys(cloud: Cloud, web: Repository) -> None:
    cloud.revocations.revoked[PROFILE.version_arn] = START
    arn = cloud.public_keys.add("release", PublicKey(KEY.der))
    cloud.reset()
    reader: dict[str, Any] = {"user": "reader", "policies": [ALLOW_ALL]}

    assert refusal(
        cloud.client("ecr", **reader).batch_get_image, repositoryName="shop/web", imageIds=[{"imageTag": "7"}]
    ) == "RepositoryNotFoundException"  # fmt: skip
    assert refusal(cloud.client("kms", **reader).get_public_key, KeyId=arn) == "NotFoundException"
    assert revoked(cloud) == []


# IAM

READ: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "ecr:BatchGetImage",
            "Resource": f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/shop/*",
        }
    ],
}


def test_listing_what_hangs_on_an_image_takes_the_permission_to_read_it(
    cloud: Cloud, web: Repository
) -> None:
    push(cloud.registries.repository("other/web"), WEB, tag="7")
    ecr = cloud.client("ecr", user="narrow", policies=[READ])
    subject = {"subjectId": {"imageDigest": WEB.digest}}
    with cloud.enforcing_iam(), cloud.recording() as calls:
        ecr.batch_get_image(repositoryName="shop/web", imageIds=[{"imageTag": "7"}])
        ecr.list_image_referrers(repositoryName="shop/web", **subject)
        denied = [
            refusal(ecr.list_image_referrers, repositoryName="other/web", **subject),
            refusal(ecr.list_image_referrers, repositoryName="shop/web", registryId=ELSEWHERE, **subject),
            refusal(ecr.describe_repositories, repositoryNames=["shop/web"]),
            refusal(ecr.describe_repositories),
            refusal(ecr.get_authorization_token),
        ]

    arn = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository"
    assert denied == ["AccessDeniedException"] * 5
    assert [(call.action, call.resource) for call in calls] == [
        ("ecr:BatchGetImage", f"{arn}/shop/web"),
        ("ecr:BatchGetImage", f"{arn}/shop/web"),
        ("ecr:BatchGetImage", f"{arn}/other/web"),
        ("ecr:BatchGetImage", f"arn:aws:ecr:{REGION}:{ELSEWHERE}:repository/shop/web"),
        ("ecr:DescribeRepositories", f"{arn}/shop/web"),
        ("ecr:DescribeRepositories", f"{arn}/*"),
        ("ecr:GetAuthorizationToken", "*"),
    ]


def test_a_fault_may_be_named_after_the_operation_or_its_action(
    cloud: Cloud, ecr: Any, web: Repository
) -> None:
    asked = {"repositoryName": "shop/web", "subjectId": {"imageDigest": WEB.digest}}
    cloud.faults.add(action="ecr:ListImageReferrers", error="ThrottlingException", times=1)

    assert got(ecr, {"imageTag": "7"})["failures"] == []
    assert refusal(ecr.list_image_referrers, **asked) == "ThrottlingException"
    cloud.faults.add(action="ecr:BatchGetImage", error="ServerException", times=1)
    assert refusal(ecr.list_image_referrers, **asked) == "ServerException"


# AWS Signer


def revoked(cloud: Cloud, **changes: Any) -> list[str]:
    signer = cloud.client("signer", user="reader", policies=[ALLOW_ALL])
    asked = {
        "signatureTimestamp": START,
        "platformId": "Notation-OCI-SHA384-ECDSA",
        "profileVersionArn": PROFILE.version_arn,
        "jobArn": PROFILE.job_arn(WEB.digest),
        "certificateHashes": ["aa", "bb"],
        **changes,
    }
    found: list[str] = signer.get_revocation_status(**asked)["revokedEntities"]
    return found


def test_what_is_revoked_is_told_by_entity_and_time(cloud: Cloud) -> None:
    cloud.revocations.revoked.update(
        {
            PROFILE.version_arn: START + timedelta(seconds=1),
            PROFILE.job_arn(WEB.digest): START,
            "bb": datetime.min.replace(tzinfo=UTC),
        }
    )

    assert revoked(cloud) == [PROFILE.job_arn(WEB.digest), "bb"]
    assert revoked(cloud, signatureTimestamp=START + timedelta(hours=1), certificateHashes=["aa"]) == [
        PROFILE.version_arn,
        PROFILE.job_arn(WEB.digest),
    ]
    assert revoked(cloud, signatureTimestamp=START - timedelta(hours=1), certificateHashes=["aa"]) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"platformId": "AWSLambda-SHA384-ECDSA"},
        {"profileVersionArn": PROFILE.version_arn.replace("arn:aws:", "arn:aws-cn:")},
        {"jobArn": "arn:aws:iam::123456789012:role/x"},
    ],
    ids=str,
)
def test_what_signer_can_not_judge_it_refuses(cloud: Cloud, changes: dict[str, Any]) -> None:
    with pytest.raises(ClientError) as caught:
        revoked(cloud, **changes)

    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_signer_is_asked_over_http_too_under_iam_and_with_faults(cloud: Cloud) -> None:
    with Server(cloud) as server:
        signer = boto3.client(
            "signer",
            endpoint_url=server.url,
            region_name=REGION,
            config=Config(inject_host_prefix=False, retries={"total_max_attempts": 1}),
            **keys(cloud, "reader"),
        )
        asked: dict[str, Any] = {
            "signatureTimestamp": START,
            "platformId": "Notation-OCI-SHA384-ECDSA",
            "profileVersionArn": PROFILE.version_arn,
            "jobArn": PROFILE.job_arn(WEB.digest),
            "certificateHashes": ["aa"],
        }
        with cloud.enforcing_iam(), cloud.recording() as calls:
            assert signer.get_revocation_status(**asked)["revokedEntities"] == []
            cloud.identity(user="reader", policies=[READ])
            assert refusal(signer.get_revocation_status, **asked) == "AccessDeniedException"
        cloud.faults.add(action="signer:*", error="TooManyRequestsException", status=429)
        assert refusal(signer.get_revocation_status, **asked) == "TooManyRequestsException"

    assert [(call.action, call.resource, call.allowed) for call in calls] == [
        ("signer:GetRevocationStatus", "*", True),
        ("signer:GetRevocationStatus", "*", False),
    ]


def test_an_unknown_key_is_nobodys_at_signer_too(cloud: Cloud) -> None:
    signer = boto3.client(
        "signer", region_name=REGION, aws_access_key_id="AKIANOBODY", aws_secret_access_key="x"
    )
    with cloud.enforcing_iam():
        refused = refusal(
            signer.get_revocation_status,
            signatureTimestamp=START,
            platformId="Notation-OCI-SHA384-ECDSA",
            profileVersionArn=PROFILE.version_arn,
            jobArn=PROFILE.job_arn(WEB.digest),
            certificateHashes=[],
        )

    assert refused == "UnrecognizedClientException"


def test_other_operations_of_signer_are_motos(cloud: Cloud) -> None:
    signer = cloud.client("signer", user="reader", policies=[ALLOW_ALL])
    signer.put_signing_profile(profileName="ci", platformId="Notation-OCI-SHA384-ECDSA")

    assert signer.get_signing_profile(profileName="ci")["status"] == "Active"


# KMS


def test_a_public_key_is_had_under_its_arn_or_id_and_moto_has_its_own(cloud: Cloud) -> None:
    kms = cloud.client("kms", user="reader", policies=[ALLOW_ALL])
    arn = cloud.public_keys.add("release", PublicKey(KEY.der))
    motos = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
    found = body(kms.get_public_key(KeyId=arn))

    assert found == {
        "KeyId": arn,
        "PublicKey": KEY.der,
        "CustomerMasterKeySpec": "ECC_NIST_P256",
        "KeySpec": "ECC_NIST_P256",
        "KeyUsage": "SIGN_VERIFY",
        "SigningAlgorithms": ["ECDSA_SHA_256"],
    }
    assert body(kms.get_public_key(KeyId=arn.rpartition("/")[2])) == found
    assert kms.get_public_key(KeyId=motos)["PublicKey"] != KEY.der
    cloud.public_keys.add("release", PublicKey(KEY.der, is_enabled=False))
    assert refusal(kms.get_public_key, KeyId=arn) == "DisabledException"


def test_a_key_is_permitted_by_its_arn(cloud: Cloud) -> None:
    arn = cloud.public_keys.add("release", PublicKey(KEY.der))
    other = cloud.public_keys.add("other", PublicKey(KEY.der))
    allowed = {"Effect": "Allow", "Action": "kms:GetPublicKey", "Resource": arn}
    kms = cloud.client("kms", user="narrow", policies=[{"Version": "2012-10-17", "Statement": [allowed]}])
    with cloud.enforcing_iam():
        assert kms.get_public_key(KeyId=arn)["PublicKey"] == KEY.der
        assert kms.get_public_key(KeyId=arn.rpartition("/")[2])["PublicKey"] == KEY.der
        assert refusal(kms.get_public_key, KeyId=other) == "AccessDeniedException"
        assert refusal(kms.get_public_key, KeyId="alias/release") == "AccessDeniedException"
