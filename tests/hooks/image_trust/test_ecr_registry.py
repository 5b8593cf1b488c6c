"""ECR as it is read: what it answers, what that costs, and how it fails."""

import socket
import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
import urllib3
from botocore.exceptions import ClientError, EndpointConnectionError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from moto.server import ThreadedMotoServer

from hooks.image_trust.evidence import Attached, Attachments, EcrFacts, Kind, Scan, SigningStatus
from hooks.image_trust.finding import Digest, Outcome, Problem, Rejected
from hooks.image_trust.manifest import Manifest, digest_of
from hooks.image_trust.reference import Reference
from hooks.image_trust.registry import ecr as module
from hooks.image_trust.registry.content import ContentCache
from hooks.image_trust.registry.ecr import EcrRegistry
from hooks.image_trust.registry.transfer import Limits, connection_pool
from shared.clients import client
from shared.errors import HookError, Misconfigured, Transient
from tests.hooks.image_trust import moto_ecr
from tests.hooks.image_trust import oci_artifacts as oci
from tests.hooks.image_trust.moto_ecr import ACCOUNT, BUCKET, NAME, REGION, SECRET, Ecr, at
from tests.hooks.image_trust.registry_server import (
    Announced,
    Body,
    Endless,
    Fault,
    Raw,
    RegistryServer,
    Status,
    packed,
    redirect,
)

ALL = frozenset(Kind)
ABOUT = f"repository {NAME} of account {ACCOUNT} in {REGION}"
QUICK = Limits(connect_seconds=1.0, read_seconds=0.3, answer_seconds=0.6)
HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture(scope="session")
def bucket_certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ssl.SSLContext]:
    """A certificate of ECR's bucket in S3, and who vouches for it."""
    folder = tmp_path_factory.mktemp("bucket")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "s3")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(BUCKET)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (folder / "ca.pem").write_bytes(pem)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "both.pem").write_bytes(pem + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    return str(folder / "ca.pem"), context


@pytest.fixture
def bucket(
    bucket_certificate: tuple[str, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> Iterator[RegistryServer]:
    """ECR's bucket: a server on this machine, found under the bucket's name and port 443."""
    resolve = socket.getaddrinfo
    with RegistryServer(tls=bucket_certificate[1]) as server:

        def resolved(host: Any, port: Any, *rest: Any) -> Any:
            return resolve("127.0.0.1", server.port, *rest) if host == BUCKET else resolve(host, port, *rest)

        monkeypatch.setattr(socket, "getaddrinfo", resolved)
        yield server


@pytest.fixture
def http(bucket_certificate: tuple[str, ssl.SSLContext]) -> urllib3.PoolManager:
    return connection_pool(QUICK, bucket_certificate[0])


@pytest.fixture
def cloud(bucket: RegistryServer) -> Iterator[Ecr]:
    with moto_ecr.mocked(bucket.blobs) as ecr:
        yield ecr


@pytest.fixture
def registry(cloud: Ecr, http: urllib3.PoolManager) -> EcrRegistry:
    return fresh(http)


def fresh(http: urllib3.PoolManager | None = None, content: ContentCache | None = None) -> EcrRegistry:
    where = at().ecr
    assert where is not None
    return EcrRegistry(where, http=http, content=ContentCache() if content is None else content)


def attached(kind: Kind, subject: Digest, manifest: Digest, content: bytes) -> Attached:
    media_types = {Kind.BUNDLE: oci.BUNDLE, Kind.NOTATION: oci.JWS, Kind.COSIGN_SIGNATURE: oci.SIMPLE_SIGNING}
    said = {oci.SIGNATURE: "signature 0"} if kind is Kind.COSIGN_SIGNATURE else {"kept": "yes"}
    return Attached(
        kind=kind,
        subject=subject,
        manifest=manifest,
        media_type=media_types[kind],
        content=content,
        annotations=said,
    )


# --- Images ------------------------------------------------------------------------------------------


def test_an_image_is_read_by_tag_and_by_digest(cloud: Ecr, registry: EcrRegistry) -> None:
    digest = oci.push_image(cloud, tag="1.0")
    by_tag = registry.image(at(tag="1.0"))
    assert isinstance(by_tag, Manifest)
    assert (by_tag.digest, by_tag.media_type, by_tag.is_index) == (digest, oci.MANIFEST, False)
    assert fresh().image(at(digest)) == by_tag
    assert fresh().image(at(digest, tag="moved")) == by_tag
    # Account and Region are those of the host name, not the function's.
    assert {parameters["registryId"] for _, parameters in cloud.calls} == {ACCOUNT}
    assert cloud.counted == {"BatchGetImage": 3}


def test_an_index_is_read(cloud: Ecr, registry: EcrRegistry) -> None:
    images = {machine: oci.push_image(cloud, machine.encode()) for machine in ("amd64", "arm64")}
    index = oci.push_index(cloud, images)
    read = registry.image(at(index))
    assert read.is_index
    assert [entry.digest for entry in read.runnable] == list(images.values())


def test_what_is_not_there_is_no_image(cloud: Ecr, registry: EcrRegistry) -> None:
    oci.push_image(cloud)
    for reference in (at(tag="2.0"), at(digest_of(b"nothing"))):
        with pytest.raises(Rejected) as raised:
            registry.image(reference)
        assert raised.value.code == "no-image"


def test_another_account_and_region_are_asked_where_the_image_is(bucket: RegistryServer) -> None:
    where = Reference("999988887777.dkr.ecr.ap-southeast-2.amazonaws.com", NAME, "1.0")
    assert where.ecr is not None
    with moto_ecr.mocked(bucket.blobs, "ap-southeast-2") as cloud:
        image = oci.push_image(cloud, tag="1.0")
        assert EcrRegistry(where.ecr, content=ContentCache()).image(where).digest == image
        assert [parameters["registryId"] for _, parameters in cloud.calls] == ["999988887777"]


@pytest.mark.parametrize(
    "host",
    [
        f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com",
        f"{ACCOUNT}.dkr.ecr.us-gov-west-1.amazonaws.com",
        f"{ACCOUNT}.dkr.ecr.cn-north-1.amazonaws.com.cn",
        f"{ACCOUNT}.dkr.ecr.us-iso-east-1.c2s.ic.gov",
        f"{ACCOUNT}.dkr.ecr.us-isob-east-1.sc2s.sgov.gov",
        f"{ACCOUNT}.dkr.ecr.us-isof-south-1.csp.hci.ic.gov",
        f"{ACCOUNT}.dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk",
        f"{ACCOUNT}.dkr.ecr.eusc-de-east-1.amazonaws.eu",
    ],
)
def test_the_api_that_is_asked_is_of_the_partition_that_ecs_pulls_from(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = Reference(host, NAME, "1.0")
    assert reference.ecr is not None
    asked = []

    def call(self: Any, *_: object) -> dict[str, Any]:
        asked.append(self.meta.endpoint_url)
        return {"images": [], "failures": []}

    monkeypatch.setattr("botocore.client.BaseClient._make_api_call", call)
    with pytest.raises(Transient, match="neither an image nor a failure"):
        EcrRegistry(reference.ecr).image(reference)
    assert asked == [f"https://api.ecr.{reference.ecr.region}.{reference.ecr.dns_suffix}"]


def test_only_its_own_registry_is_asked(registry: EcrRegistry, cloud: Ecr) -> None:
    other = at(tag="1.0", host=f"999988887777.dkr.ecr.{REGION}.amazonaws.com")
    with pytest.raises(Misconfigured, match="is not the registry of"):
        registry.image(other)
    with pytest.raises(Misconfigured, match="is not the registry of"):
        registry.attachments(other, digest_of(b""), ALL)
    assert cloud.calls == []


@pytest.mark.parametrize(
    ("said", "reference"),
    [("digest", at(digest_of(oci.manifest()))), ("tag", at(tag="1.0"))],
    ids=["by digest", "by tag"],
)
def test_another_manifest_than_ecr_says_is_refused(
    cloud: Ecr, registry: EcrRegistry, said: str, reference: Reference
) -> None:
    asked = {"imageTag": "1.0"} if said == "tag" else {}
    cloud.answer(
        "BatchGetImage",
        {
            "images": [
                {
                    "imageId": {"imageDigest": digest_of(oci.manifest()), **asked},
                    "imageManifest": oci.index([]).decode(),
                }
            ],
            "failures": [],
        },
    )
    with pytest.raises(Rejected) as raised:
        registry.image(reference)
    assert raised.value.code == "digest-mismatch"


@pytest.mark.parametrize("text", ["no JSON", "\ud800", "[]", '{"schemaVersion": 1}'])
def test_a_manifest_that_is_none_is_refused(cloud: Ecr, registry: EcrRegistry, text: str) -> None:
    image = {"imageId": {"imageTag": "1.0"}, "imageManifest": text}
    cloud.answer("BatchGetImage", {"images": [image], "failures": []})
    with pytest.raises(Rejected):
        registry.image(at(tag="1.0"))


@pytest.mark.parametrize(
    ("code", "error", "says"),
    [
        ("ImageNotFound", Rejected, f"{ABOUT} has no tag 1.0"),
        ("InvalidImageTag", Rejected, "has no tag 1.0"),
        ("KmsError", Misconfigured, "kms:Decrypt"),
        ("ImageInaccessible", Misconfigured, "it is archived"),
        ("UpstreamAccessDenied", Misconfigured, "pull-through cache rule"),
        ("UpstreamTooManyRequests", Transient, "UpstreamTooManyRequests"),
        ("UpstreamUnavailable", Transient, "UpstreamUnavailable"),
        ("SomethingNew", Misconfigured, "'SomethingNew': 'because'"),
    ],
)
def test_why_an_image_is_not_there_is_told_apart(
    cloud: Ecr, registry: EcrRegistry, code: str, error: type[HookError], says: str
) -> None:
    failure = {"imageId": {"imageTag": "1.0"}, "failureCode": code, "failureReason": "because"}
    cloud.answer("BatchGetImage", {"images": [], "failures": [failure]})
    with pytest.raises(HookError) as raised:
        registry.image(at(tag="1.0"))
    assert type(raised.value) is error
    assert says in str(raised.value)


CALL_ERRORS: list[tuple[str, int, type[HookError], str]] = [
    ("AccessDeniedException", 400, Misconfigured, "may not {action} on"),
    ("RepositoryNotFoundException", 400, Misconfigured, "RepositoryNotFoundException"),
    ("UnableToGetUpstreamImageException", 400, Misconfigured, "UnableToGetUpstreamImageException"),
    ("InvalidParameterException", 400, Misconfigured, "InvalidParameterException"),
    ("LimitExceededException", 400, Transient, "LimitExceededException"),
    ("ThrottlingException", 400, Transient, "ThrottlingException"),
    ("ServerException", 500, Transient, "ServerException"),
    ("Unheard", 503, Transient, "Unheard"),
]


@pytest.mark.parametrize(("code", "status", "error", "says"), CALL_ERRORS)
def test_a_call_that_fails_says_what_to_do(
    cloud: Ecr, registry: EcrRegistry, code: str, status: int, error: type[HookError], says: str
) -> None:
    cloud.fail("BatchGetImage", code, status=status)
    with pytest.raises(HookError) as raised:
        registry.image(at(tag="1.0"))
    assert type(raised.value) is error
    assert says.format(action="ecr:BatchGetImage") in str(raised.value)
    assert ABOUT in str(raised.value)


def test_a_region_that_is_not_reached_is_waited_for(cloud: Ecr, registry: EcrRegistry) -> None:
    def away(*_: object) -> dict[str, Any]:
        raise EndpointConnectionError(endpoint_url="https://api.ecr")

    cloud.replaced["BatchGetImage"] = away
    with pytest.raises(Transient, match="EndpointConnectionError"):
        registry.image(at(tag="1.0"))


# --- What hangs on them ------------------------------------------------------------------------------

LIST, GET, URL = "ListImageReferrers", "BatchGetImage", "GetDownloadUrlForLayer"


def push(cloud: Ecr, how: str, image: Digest) -> tuple[Kind, Digest]:
    """Hang one signature on an image; return its kind and manifest."""
    match how:
        case "cosign's tag":
            return Kind.COSIGN_SIGNATURE, oci.push_cosign(cloud, image, [b"signature"])
        case "bundle":
            return Kind.BUNDLE, oci.push_referrer(cloud, image, b"signature")
        case "Notation":
            return Kind.NOTATION, oci.push_referrer(
                cloud, image, b"signature", artifact_type=oci.NOTATION, layer_type=oci.JWS
            )
        case _:
            # A tool that believes ECR to have no referrers API; so that there is none listed.
            manifest = oci.push_referrer(cloud, image, b"signature", fallback=True)
            cloud.answer("ListImageReferrers", {"referrers": []})
            return Kind.BUNDLE, manifest


@pytest.mark.parametrize(
    ("how", "image_first", "calls"),
    [
        ("cosign's tag", True, [GET, LIST, URL]),
        ("cosign's tag", False, [LIST, GET, URL]),
        ("bundle", True, [GET, LIST, GET, URL]),
        ("bundle", False, [LIST, GET, URL]),
        ("Notation", True, [GET, LIST, GET, URL]),
        ("Notation", False, [LIST, GET, URL]),
        ("fallback tag", True, [GET, LIST, GET, URL]),
        ("fallback tag", False, [LIST, GET, GET, URL]),
    ],
)
def test_an_image_with_one_signature_costs_four_calls_at_most(
    cloud: Ecr, registry: EcrRegistry, how: str, image_first: bool, calls: list[str]
) -> None:
    image = oci.push_image(cloud)
    kind, manifest = push(cloud, how, image)
    expected = Attachments((attached(kind, image, manifest, b"signature"),))
    if image_first:
        assert registry.image(at(image)).digest == image
    assert registry.attachments(at(), image, ALL) == expected
    assert registry.image(at(image)).digest == image
    assert cloud.operations == calls
    assert len(calls) <= 4


@pytest.mark.parametrize("how", ["cosign's tag", "bundle", "Notation"])
def test_a_tag_costs_no_more(cloud: Ecr, registry: EcrRegistry, how: str) -> None:
    image = oci.push_image(cloud, tag="1.0")
    kind, manifest = push(cloud, how, image)
    assert registry.image(at(tag="1.0")).digest == image
    found = registry.attachments(at(), image, ALL)
    assert found == Attachments((attached(kind, image, manifest, b"signature"),))
    assert cloud.operations == [GET, LIST, GET, URL]


def test_what_nobody_wants_is_not_asked_for(cloud: Ecr, registry: EcrRegistry) -> None:
    image = oci.push_image(cloud)
    oci.push_cosign(cloud, image, [b"signature"])
    registry.attachments(at(), image, frozenset({Kind.COSIGN_SIGNATURE}))
    assert cloud.operations == [GET, URL]
    assert cloud.calls[0][1]["imageIds"] == [
        {"imageDigest": image},
        {"imageTag": oci.cosign_tag(image, ".sig")},
    ]


def test_all_kinds_are_found_and_both_lists_united(cloud: Ecr, registry: EcrRegistry) -> None:
    image = oci.push_image(cloud)
    oci.push_cosign(cloud, image, [b"alice", b"bob"])
    oci.push_cosign(cloud, image, [b"statement"], suffix=".att")
    oci.push_referrer(cloud, image, b"{}", artifact_type=oci.NOTATION, layer_type=oci.JWS)
    oci.push_referrer(cloud, image, b"bundle", fallback=True, listed_as=oci.EMPTY)
    oci.push_referrer(cloud, image, b"an SBOM", artifact_type="application/spdx+json", layer_type="text/x")
    found = registry.attachments(at(), image, ALL)
    assert ({(one.kind, one.content) for one in found.found}, found.problems) == (
        {
            (Kind.COSIGN_SIGNATURE, b"alice"),
            (Kind.COSIGN_SIGNATURE, b"bob"),
            (Kind.COSIGN_ATTESTATION, b"statement"),
            (Kind.NOTATION, b"{}"),
            (Kind.BUNDLE, b"bundle"),
        },
        (),
    )
    assert len(found.found) == 5
    assert cloud.counted == {LIST: 1, GET: 1, URL: 5}


def test_nothing_hangs_on_most_images(cloud: Ecr, registry: EcrRegistry) -> None:
    image = oci.push_image(cloud)
    assert registry.attachments(at(), image, ALL) == Attachments()
    assert cloud.operations == [LIST, GET]


def test_tags_and_lists_are_read_anew_each_time(cloud: Ecr, registry: EcrRegistry) -> None:
    image = oci.push_image(cloud)
    registry.image(at(image))
    assert registry.attachments(at(), image, ALL) == Attachments()
    signature = oci.push_cosign(cloud, image, [b"signature"])
    bundle = oci.push_referrer(cloud, image, b"signature")
    expected = Attachments(
        (
            attached(Kind.COSIGN_SIGNATURE, image, signature, b"signature"),
            attached(Kind.BUNDLE, image, bundle, b"signature"),
        )
    )
    assert registry.attachments(at(), image, ALL) == expected
    cloud.calls.clear()
    assert registry.attachments(at(), image, ALL) == expected
    # What can't change is not read again.
    assert cloud.operations == [LIST, GET]
    assert cloud.calls[1][1]["imageIds"] == [
        {"imageTag": oci.cosign_tag(image, suffix)} for suffix in (".sig", ".att", "")
    ]


def test_content_is_kept_from_one_invocation_to_the_next(
    cloud: Ecr, http: urllib3.PoolManager, bucket: RegistryServer
) -> None:
    kept = ContentCache()
    image = oci.push_image(cloud)
    oci.push_referrer(cloud, image, b"signature")
    for _ in range(2):
        registry = fresh(http, kept)
        assert registry.image(at(image)).digest == image
        assert len(registry.attachments(at(), image, ALL).found) == 1
    assert cloud.operations == [GET, LIST, GET, URL, LIST, GET]
    assert len(bucket.asked) == 1


def test_a_list_is_read_over_pages_up_to_a_limit(cloud: Ecr, registry: EcrRegistry) -> None:
    cloud.page_size = 3
    image = oci.push_image(cloud)
    for number in range(8):
        oci.push_referrer(cloud, image, b"bundle %d" % number)
    found = registry.attachments(at(), image, ALL)
    assert (len(found.found), found.problems) == (8, ())
    assert cloud.counted == {LIST: 3, GET: 1, URL: 8}
    for number in range(8, 20):
        oci.push_referrer(cloud, image, b"bundle %d" % number)
    found = registry.attachments(at(), image, ALL)
    text = f"over 12 artifacts refer to {image} in {ABOUT}; the others were not read"
    assert found.problems == (Problem(Outcome.MISCONFIGURED, "too-many-candidates", text),)
    assert len(found.found) == 12


def test_of_many_manifests_no_answer_is_too_large(
    cloud: Ecr, registry: EcrRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_BATCH_BYTES", 4 * module.MAX_MANIFEST_BYTES + 2500)
    image = oci.push_image(cloud)
    manifests = [oci.push_referrer(cloud, image, b"bundle %d" % number) for number in range(8)]
    found = registry.attachments(at(), image, ALL)
    assert ([one.manifest for one in found.found], found.problems) == (manifests, ())
    asked = [len(parameters["imageIds"]) for name, parameters in cloud.calls if name == GET]
    assert asked == [3 + 1 + 3, 5]


def test_entries_whose_size_nobody_knows_are_read_a_few_at_a_time(cloud: Ecr, registry: EcrRegistry) -> None:
    image = oci.push_image(cloud)
    entries = []
    for number in range(14):
        oci.push_referrer(cloud, image, b"bundle %d" % number)
        made = oci.referrer(image, b"bundle %d" % number)
        entries.append(oci.descriptor(oci.MANIFEST, made, size=1))
    cloud.manifest(oci.index(entries), oci.cosign_tag(image))
    cloud.answer("ListImageReferrers", {"referrers": []})
    found = registry.attachments(at(), image, ALL)
    assert (len(found.found), found.problems) == (14, ())
    asked = [len(parameters["imageIds"]) for name, parameters in cloud.calls if name == GET]
    assert asked == [4, 6, 6, 2]


@pytest.mark.parametrize(
    ("code", "status", "outcome"),
    [
        ("AccessDeniedException", 400, Outcome.MISCONFIGURED),
        ("UnableToListUpstreamImageReferrersException", 400, Outcome.MISCONFIGURED),
        ("ThrottlingException", 400, Outcome.UNVERIFIABLE),
        ("ServerException", 500, Outcome.UNVERIFIABLE),
    ],
)
def test_a_list_that_cannot_be_had_is_said_beside_what_is_found(
    cloud: Ecr, registry: EcrRegistry, code: str, status: int, outcome: Outcome
) -> None:
    image = oci.push_image(cloud)
    signature = oci.push_cosign(cloud, image, [b"signature"])
    bundle = oci.push_referrer(cloud, image, b"signature", fallback=True)
    cloud.fail("ListImageReferrers", code, status=status)
    found = registry.attachments(at(), image, ALL)
    assert found.found == (
        attached(Kind.COSIGN_SIGNATURE, image, signature, b"signature"),
        attached(Kind.BUNDLE, image, bundle, b"signature"),
    )
    assert [problem.outcome for problem in found.problems] == [outcome]
    assert f"the referrers of {image} in {ABOUT}" in found.problems[0].text


def test_an_entry_of_the_list_that_cannot_be_read_hides_no_other(cloud: Ecr, registry: EcrRegistry) -> None:
    image = oci.push_image(cloud)
    bundle = oci.push_referrer(cloud, image, b"signature")
    listed = cloud.list_image_referrers(
        {"repositoryName": NAME, "subjectId": {"imageDigest": image}, "maxResults": 50}
    )
    odd = {"digest": "sha512:00", "mediaType": oci.MANIFEST, "size": 1}
    gone = {"digest": digest_of(b"gone"), "mediaType": oci.MANIFEST, "size": 1}
    cloud.answer("ListImageReferrers", {"referrers": [odd, gone, *listed["referrers"]]})
    found = registry.attachments(at(), image, ALL)
    assert found.found == (attached(Kind.BUNDLE, image, bundle, b"signature"),)
    assert [(problem.outcome, problem.code) for problem in found.problems] == [
        (Outcome.UNTRUSTED, "malformed-digest"),
        (Outcome.UNTRUSTED, "no-image"),
    ]


def test_a_tag_that_cannot_be_read_is_not_a_tag_that_is_not_there(cloud: Ecr, registry: EcrRegistry) -> None:
    subject = digest_of(b"x")
    failures = [
        {"imageId": {"imageTag": oci.cosign_tag(subject, suffix)}, "failureCode": code}
        for suffix, code in {"": "UpstreamUnavailable", ".sig": "KmsError", ".att": "ImageNotFound"}.items()
    ]
    cloud.answer("BatchGetImage", {"images": [], "failures": failures})
    cloud.answer("ListImageReferrers", {"referrers": []})
    found = registry.attachments(at(), subject, ALL)
    assert [(problem.outcome, problem.code) for problem in found.problems] == [
        (Outcome.MISCONFIGURED, "misconfigured"),
        (Outcome.UNVERIFIABLE, "unavailable"),
    ]


def test_a_manifest_that_cannot_be_decrypted_hides_no_other(cloud: Ecr, registry: EcrRegistry) -> None:
    image = oci.push_image(cloud)
    good = oci.push_referrer(cloud, image, b"signature")
    locked = oci.push_referrer(cloud, image, b"locked")
    plain = cloud.repaired

    def repaired(parameters: Mapping[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        said = plain(parameters, answer)
        named = {"imageDigest": locked}
        said["images"] = [one for one in said["images"] if one["imageId"]["imageDigest"] != locked]
        if named in parameters["imageIds"]:
            said["failures"].append(
                {"imageId": named, "failureCode": "KmsError", "failureReason": "disabled"}
            )
        return said

    cloud.repaired = repaired  # type: ignore[method-assign]
    found = registry.attachments(at(), image, ALL)
    assert found.found == (attached(Kind.BUNDLE, image, good, b"signature"),)
    assert [(problem.outcome, problem.code) for problem in found.problems] == [
        (Outcome.MISCONFIGURED, "misconfigured")
    ]


def test_a_call_for_all_that_fails_is_one_problem(cloud: Ecr, registry: EcrRegistry) -> None:
    cloud.fail("BatchGetImage", "ThrottlingException")
    found = registry.attachments(at(), digest_of(b"x"), ALL)
    assert (found.found, [problem.outcome for problem in found.problems]) == ((), [Outcome.UNVERIFIABLE])


def test_a_second_call_that_fails_leaves_what_the_first_found(cloud: Ecr, registry: EcrRegistry) -> None:
    image = oci.push_image(cloud)
    signature = oci.push_cosign(cloud, image, [b"signature"])
    oci.push_referrer(cloud, image, b"bundle")
    registry.image(at(image))
    cloud.fail("BatchGetImage", "ThrottlingException")
    found = registry.attachments(at(), image, ALL)
    assert found.found == (attached(Kind.COSIGN_SIGNATURE, image, signature, b"signature"),)
    assert [problem.outcome for problem in found.problems] == [Outcome.UNVERIFIABLE]


# --- Blobs -------------------------------------------------------------------------------------------


def one_blob(cloud: Ecr, registry: EcrRegistry) -> Attachments:
    """Read an image with one signature."""
    image = oci.push_image(cloud)
    oci.push_cosign(cloud, image, [b"signature"])
    return registry.attachments(at(), image, frozenset({Kind.COSIGN_SIGNATURE}))


def test_a_blob_is_read_by_tls_and_without_credentials(
    cloud: Ecr, registry: EcrRegistry, bucket: RegistryServer
) -> None:
    assert [one.content for one in one_blob(cloud, registry).found] == [b"signature"]
    (asked,) = bucket.asked
    assert asked.path == f"/v2/{NAME}/blobs/{digest_of(b'signature')}?{SECRET}"
    assert {name.lower(): value for name, value in asked.headers.items()} == {
        "host": BUCKET,
        "accept-encoding": "identity",
        "user-agent": f"python-urllib3/{urllib3.__version__}",
    }


def test_s3_has_to_prove_who_it_is(cloud: Ecr, bucket: RegistryServer) -> None:
    found = one_blob(cloud, fresh(connection_pool(QUICK)))
    assert [(problem.outcome, problem.code) for problem in found.problems] == [
        (Outcome.UNVERIFIABLE, "unavailable")
    ]
    assert bucket.asked == []


@pytest.mark.parametrize(
    "url",
    [
        f"http://{BUCKET}/x?{SECRET}",
        f"http://{BUCKET}:443/x?{SECRET}",
        f"https://{BUCKET}:8443/x?{SECRET}",
        f"https://amazonaws.com/x?{SECRET}",
        f"https://{BUCKET}.evil.example/x?{SECRET}",
        f"https://evil-amazonaws.com/x?{SECRET}",
        f"https://evil.example/amazonaws.com?{SECRET}",
        f"https://evil.example?.amazonaws.com/{SECRET}",
        f"https://evil.example#.amazonaws.com/{SECRET}",
        f"https://{BUCKET}@evil.example/x?{SECRET}",
        f"https://evil.example\\@{BUCKET}/x?{SECRET}",
        f"https://s3.cn-north-1.amazonaws.com.cn/x?{SECRET}",
        f"https://169.254.169.254/x?{SECRET}",
        f"http://169.254.170.2/x?{SECRET}",
        f"https://127.0.0.1/x?{SECRET}",
        f"https://[::1]/x?{SECRET}",
        f"//{BUCKET}/x?{SECRET}",
        f"/x?{SECRET}",
        f"file:///etc/passwd?{SECRET}",
        "",
    ],
)
def test_a_blob_is_read_from_aws_and_nowhere_else(
    cloud: Ecr, registry: EcrRegistry, bucket: RegistryServer, url: str
) -> None:
    cloud.url = lambda _: url
    found = one_blob(cloud, registry)
    assert [problem.outcome for problem in found.problems] == [Outcome.MISCONFIGURED]
    assert found.found == ()
    assert SECRET not in repr(found)
    assert bucket.asked == []


@pytest.mark.parametrize(
    ("fault", "outcome", "code"),
    [
        (Status(403), Outcome.MISCONFIGURED, "misconfigured"),
        (Status(404), Outcome.UNTRUSTED, "no-blob"),
        (Status(408), Outcome.UNVERIFIABLE, "unavailable"),
        (Status(429), Outcome.UNVERIFIABLE, "unavailable"),
        (Status(503), Outcome.UNVERIFIABLE, "unavailable"),
        (redirect(f"https://{BUCKET}/x"), Outcome.MISCONFIGURED, "misconfigured"),
        (Body(b"another"), Outcome.UNTRUSTED, "digest-mismatch"),
        (Body(b"x" * 1000), Outcome.UNTRUSTED, "too-large"),
        (packed(1_000_000), Outcome.MISCONFIGURED, "misconfigured"),
        (Announced(9, b"sign"), Outcome.UNVERIFIABLE, "unavailable"),
        (Announced(10**12, b"signature"), Outcome.UNTRUSTED, "too-large"),
        (Endless(), Outcome.UNTRUSTED, "too-large"),
        (Endless(HEAD + b"\r\n", b"", 0.02), Outcome.UNVERIFIABLE, "unavailable"),
        (Endless(HEAD, b"X", 0.02), Outcome.UNVERIFIABLE, "unavailable"),
        (Raw(b""), Outcome.UNVERIFIABLE, "unavailable"),
        (Raw(HEAD + b"malformed\r\n\r\n"), Outcome.UNVERIFIABLE, "unavailable"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Fault) else str(value),
)
def test_a_blob_that_is_not_what_was_promised_is_a_problem(
    cloud: Ecr,
    registry: EcrRegistry,
    bucket: RegistryServer,
    caplog: pytest.LogCaptureFixture,
    fault: Fault,
    outcome: Outcome,
    code: str,
) -> None:
    bucket.fault("/blobs/", fault)
    with caplog.at_level("INFO"):
        found = one_blob(cloud, registry)
    assert (found.found, [(problem.outcome, problem.code) for problem in found.problems]) == (
        (),
        [(outcome, code)],
    )
    assert len(bucket.asked) == 1
    assert "s3cret" not in repr(found) + caplog.text


@pytest.mark.parametrize(
    ("code", "status", "outcome", "problem"),
    [
        ("LayersNotFoundException", 400, Outcome.UNTRUSTED, "no-blob"),
        ("LayerInaccessibleException", 400, Outcome.MISCONFIGURED, "misconfigured"),
        ("UnableToGetUpstreamLayerException", 400, Outcome.MISCONFIGURED, "misconfigured"),
        ("AccessDeniedException", 400, Outcome.MISCONFIGURED, "misconfigured"),
        ("ThrottlingException", 400, Outcome.UNVERIFIABLE, "unavailable"),
    ],
)
def test_an_address_that_is_not_given_is_a_problem(
    cloud: Ecr, registry: EcrRegistry, code: str, status: int, outcome: Outcome, problem: str
) -> None:
    cloud.fail("GetDownloadUrlForLayer", code, status=status)
    found = one_blob(cloud, registry)
    assert [(one.outcome, one.code) for one in found.problems] == [(outcome, problem)]
    if code == "AccessDeniedException":
        assert "may not ecr:GetDownloadUrlForLayer on" in found.problems[0].text


# --- An emulator -------------------------------------------------------------------------------------


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """All of AWS at one address of this machine."""
    for name, value in {"AWS_ACCESS_KEY_ID": "emulated", "AWS_SECRET_ACCESS_KEY": "emulated"}.items():
        monkeypatch.setenv(name, value)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    yield f"http://{host}:{port}"
    server.stop()


def test_who_sets_where_aws_is_sets_where_blobs_are(
    emulator: str, monkeypatch: pytest.MonkeyPatch, bucket: RegistryServer
) -> None:
    storage = boto3.client("s3", region_name=REGION, endpoint_url=emulator)
    storage.create_bucket(Bucket="layers", CreateBucketConfiguration={"LocationConstraint": REGION})
    storage.put_object(Bucket="layers", Key="signature", Body=b"signature")
    address = storage.generate_presigned_url("get_object", Params={"Bucket": "layers", "Key": "signature"})
    made = client("ecr", REGION)
    made.create_repository(repositoryName=NAME)
    payload = b"signature"
    manifest = oci.manifest(layers=[oci.descriptor(oci.SIMPLE_SIGNING, payload)])
    subject = digest_of(b"an image")
    tag = oci.cosign_tag(subject, ".sig")
    made.put_image(
        repositoryName=NAME,
        imageManifest=manifest.decode(),
        imageTag=tag,
        imageDigest=digest_of(manifest),
    )
    original = type(made)._make_api_call
    answers = [address, address.replace(emulator, f"http://127.0.0.1:{bucket.port}"), f"https://{BUCKET}/x"]

    def call(self: Any, operation: str, parameters: Mapping[str, Any]) -> Any:
        if operation == "GetDownloadUrlForLayer":
            return {"downloadUrl": answers.pop(0)}
        if operation == "BatchGetImage":  # moto answers once for all that it does not have
            parameters = {**parameters, "imageIds": [{"imageTag": tag}]}
        return original(self, operation, parameters)

    monkeypatch.setattr(type(made), "_make_api_call", call)
    kinds = frozenset({Kind.COSIGN_SIGNATURE})
    assert [one.content for one in fresh().attachments(at(), subject, kinds).found] == [payload]
    # Another port of the same machine is another origin.
    refused = fresh().attachments(at(), subject, kinds)
    assert [problem.outcome for problem in refused.problems] == [Outcome.MISCONFIGURED]
    # AWS's own are right as well, where only ECR is emulated, or behind an endpoint of a VPC.
    away = fresh(connection_pool(QUICK)).attachments(at(), subject, kinds)
    assert [problem.outcome for problem in away.problems] == [Outcome.UNVERIFIABLE]
    assert answers == []


# --- What ECR says itself ----------------------------------------------------------------------------


def test_what_ecr_says_of_a_repository_and_an_image(cloud: Ecr, registry: EcrRegistry) -> None:
    image = oci.push_image(cloud)
    client("ecr", REGION).put_image_tag_mutability(
        repositoryName=NAME,
        imageTagMutability="IMMUTABLE_WITH_EXCLUSION",
        imageTagMutabilityExclusionFilters=[{"filterType": "WILDCARD", "filter": "dev-*"}],
    )
    cloud.calls.clear()
    facts = registry.facts(at(), image, scan=False)
    assert facts.pushed_at is not None
    assert datetime.now(UTC) - facts.pushed_at < timedelta(minutes=1)
    assert facts.pushed_at.tzinfo is UTC
    assert facts == EcrFacts(
        tag_mutability="IMMUTABLE_WITH_EXCLUSION",
        exclusions=("dev-*",),
        pushed_at=facts.pushed_at,
        scan=None,
    )
    assert cloud.operations == ["DescribeRepositories", "DescribeImages"]
    assert {parameters["registryId"] for _, parameters in cloud.calls} == {ACCOUNT}


def test_a_scan_of_moto_is_read(cloud: Ecr, registry: EcrRegistry) -> None:
    image = oci.push_image(cloud)
    assert registry.facts(at(), image, scan=True).scan is None
    client("ecr", REGION).start_image_scan(repositoryName=NAME, imageId={"imageDigest": image})
    scan = registry.facts(at(), image, scan=True).scan
    assert scan is not None
    assert (scan.status, scan.at and scan.at.tzinfo) == ("COMPLETE", UTC)
    assert set(scan.counts) <= {"CRITICAL", "HIGH", "MEDIUM", "LOW", "INFORMATIONAL", "UNDEFINED"}


AT = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)


def page(
    status: str,
    *,
    done: bool = True,
    counts: Mapping[str, int] | None = None,
    basic: list[Any] | None = None,
    enhanced: list[Any] | None = None,
    more: str = "",
) -> dict[str, Any]:
    """Return a page of DescribeImageScanFindings; what is left out is not in it."""
    found = {
        "imageScanCompletedAt": AT if done else None,
        "findingSeverityCounts": counts,
        "findings": basic,
        "enhancedFindings": enhanced,
    }
    return {
        "imageScanStatus": {"status": status, "description": "said"},
        "imageScanFindings": {name: value for name, value in found.items() if value is not None},
        **({"nextToken": more} if more else {}),
    }


def finding(severity: str, status: str = "ACTIVE") -> dict[str, str]:
    return {"severity": severity, "status": status}


def scan(status: str, counts: Mapping[str, int], at: datetime | None = AT, said: str = "said") -> Scan:
    return Scan(status=status, at=at, counts=counts, description=said)


HIGH, LOW = finding("HIGH"), finding("LOW")
NOTHING_YET = "but ECR does not say when, nor what it found"
SCANS: list[tuple[str, list[dict[str, Any]], Scan]] = [
    ("basic", [page("COMPLETE", counts={"HIGH": 2}, basic=[])], scan("COMPLETE", {"HIGH": 2})),
    ("basic, clean", [page("COMPLETE", counts={}, basic=[])], scan("COMPLETE", {})),
    (
        "enhanced",
        [page("ACTIVE", counts={"HIGH": 1, "UNTRIAGED": 1, "UNDEFINED": 1}, enhanced=[HIGH])],
        scan("ACTIVE", {"HIGH": 1, "UNDEFINED": 2}),
    ),
    (
        "enhanced, counts of a page only",
        [
            page("ACTIVE", counts={"HIGH": 1}, enhanced=[HIGH], more="2"),
            page("ACTIVE", counts={"HIGH": 2}, enhanced=[HIGH, HIGH]),
        ],
        scan("ACTIVE", {"HIGH": 3}),
    ),
    (
        "enhanced, counts without findings",
        [page("ACTIVE", counts={"CRITICAL": 7}, enhanced=[], more="2"), page("ACTIVE", enhanced=[LOW])],
        scan("ACTIVE", {"CRITICAL": 7, "LOW": 1}),
    ),
    (
        "enhanced, findings without counts",
        [
            page(
                "ACTIVE",
                enhanced=[
                    HIGH,
                    finding("HIGH", "SUPPRESSED"),
                    finding("LOW", "CLOSED"),
                    finding("UNTRIAGED"),
                ],
            )
        ],
        scan("ACTIVE", {"HIGH": 2, "UNDEFINED": 1}),
    ),
    (
        "done, it says, before there is anything",
        [page("COMPLETE", done=False, basic=[])],
        scan("PENDING", {}, None, f"COMPLETE, {NOTHING_YET}"),
    ),
    (
        "continuous, it says, before there is anything",
        [page("ACTIVE", done=False)],
        scan("PENDING", {}, None, f"ACTIVE, {NOTHING_YET}"),
    ),
    (
        "found something, but not when",
        [page("ACTIVE", done=False, enhanced=[HIGH])],
        scan("ACTIVE", {"HIGH": 1}, None),
    ),
    ("under way", [page("IN_PROGRESS", done=False)], scan("IN_PROGRESS", {}, None)),
    ("failed", [page("FAILED", done=False)], scan("FAILED", {}, None)),
]


@pytest.mark.parametrize(("pages", "expected"), [case[1:] for case in SCANS], ids=[case[0] for case in SCANS])
def test_a_scan_is_read_in_either_shape_and_never_as_less_than_it_says(
    cloud: Ecr, registry: EcrRegistry, pages: list[dict[str, Any]], expected: Scan
) -> None:
    image = oci.push_image(cloud)
    left = list(pages)
    tokens = []

    def answer(_: Ecr, parameters: Mapping[str, Any]) -> dict[str, Any]:
        tokens.append(parameters.get("nextToken"))
        return left.pop(0)

    cloud.replaced["DescribeImageScanFindings"] = answer
    assert registry.facts(at(), image, scan=True).scan == expected
    assert tokens == [None, "2"][: len(pages)]


def test_a_scan_without_end_is_not_read(cloud: Ecr, registry: EcrRegistry) -> None:
    image = oci.push_image(cloud)
    cloud.answer("DescribeImageScanFindings", page("ACTIVE", more="x"))
    with pytest.raises(Misconfigured, match="has over 10000 findings"):
        registry.facts(at(), image, scan=True)
    assert cloud.counted["DescribeImageScanFindings"] == 10


def test_how_managed_signing_stands(cloud: Ecr, registry: EcrRegistry) -> None:
    image = oci.push_image(cloud)
    assert registry.signing(at(), image) == ()
    profile = f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles/ci"
    cloud.signing[image] = [
        {"signingProfileArn": profile, "status": "IN_PROGRESS"},
        {
            "signingProfileArn": f"{profile}2",
            "status": "FAILED",
            "failureCode": "AccessDenied",
            "failureReason": "no",
        },
        {"signingProfileArn": f"{profile}3", "status": "COMPLETE"},
    ]
    assert registry.signing(at(), image) == (
        SigningStatus(profile, "IN_PROGRESS"),
        SigningStatus(f"{profile}2", "FAILED", "AccessDenied: no"),
        SigningStatus(f"{profile}3", "COMPLETE"),
    )
    assert cloud.calls[-1][1] == {
        "registryId": ACCOUNT,
        "repositoryName": NAME,
        "imageId": {"imageDigest": image},
    }


@pytest.mark.parametrize(
    "operation",
    ["DescribeRepositories", "DescribeImages", "DescribeImageScanFindings", "DescribeImageSigningStatus"],
)
@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("AccessDeniedException", 400, Misconfigured),
        ("RepositoryNotFoundException", 400, Misconfigured),
        ("ThrottlingException", 400, Transient),
        ("ServerException", 500, Transient),
    ],
)
def test_what_ecr_does_not_say_is_told_apart(
    cloud: Ecr, registry: EcrRegistry, operation: str, code: str, status: int, error: type[HookError]
) -> None:
    image = oci.push_image(cloud)
    cloud.fail(operation, code, status=status)
    is_about_signing = operation == "DescribeImageSigningStatus"
    with pytest.raises(HookError) as raised:
        registry.signing(at(), image) if is_about_signing else registry.facts(at(), image, scan=True)
    assert type(raised.value) is error
    assert f"ecr:{operation}" in str(raised.value)


def test_an_image_that_is_not_there_has_no_facts(cloud: Ecr, registry: EcrRegistry) -> None:
    gone = digest_of(b"gone")
    with pytest.raises(Rejected, match=f"{ABOUT} has no {gone}"):
        registry.facts(at(), gone, scan=False)
    for operation in ("DescribeImageScanFindings", "DescribeImageSigningStatus"):
        cloud.fail(operation, "ImageNotFoundException")
    image = oci.push_image(cloud)
    with pytest.raises(Rejected, match="has no"):
        registry.facts(at(), image, scan=True)
    with pytest.raises(Rejected, match="has no"):
        registry.signing(at(), image)


def test_an_answer_without_anything_is_waited_for(cloud: Ecr, registry: EcrRegistry) -> None:
    cloud.answer("DescribeImages", {})
    with pytest.raises(Transient, match="says nothing about"):
        registry.facts(at(), digest_of(b""), scan=False)


def test_what_is_made_up_is_held_against_the_model(cloud: Ecr) -> None:
    made = client("ecr", REGION)
    cloud.answer("ListImageReferrers", {"referrers": [{"digest": 7}]})
    with pytest.raises(Exception, match="Invalid type for parameter"):
        made.list_image_referrers(repositoryName=NAME, subjectId={"imageDigest": "x"})
    cloud.answer("ListImageReferrers", {"references": []})
    with pytest.raises(Exception, match="Unknown parameter in input"):
        made.list_image_referrers(repositoryName=NAME, subjectId={"imageDigest": "x"})
    with pytest.raises(Exception, match="Missing required parameter"):
        made.list_image_referrers(repositoryName=NAME)  # type: ignore[call-arg]
    with pytest.raises(ClientError, match="LayersNotFoundException"):
        made.get_download_url_for_layer(repositoryName=NAME, layerDigest=digest_of(b""))
