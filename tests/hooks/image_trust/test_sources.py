"""What judging wants, fetched: each fact where the policy says, and each trouble about that fact alone."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hooks.image_trust import sources as module
from hooks.image_trust.evidence import (
    AttachedTo,
    Attachments,
    EcrFacts,
    Evidence,
    FactsOf,
    ImageAt,
    KeyOf,
    Kind,
    RevocationOf,
    RootOf,
    Scan,
    SigningOf,
    SigningStatus,
    Want,
)
from hooks.image_trust.finding import Digest, Outcome, Problem, Rejected
from hooks.image_trust.manifest import Manifest
from hooks.image_trust.policy import Policy
from hooks.image_trust.reference import Reference
from hooks.image_trust.registry import oci
from hooks.image_trust.sources import SIGNER_PLATFORM, Sources, ask_nobody
from rehearsal.aws import kms
from rehearsal.aws.cloud import ACCOUNT, Cloud
from rehearsal.aws.ecr import Scan as ScanAtEcr
from rehearsal.aws.ecr import Signing
from rehearsal.aws.signer import PLATFORM
from shared import clients
from shared.errors import Misconfigured, Transient
from tests.hooks.image_trust.judged_images import policy
from tests.shared.checkout import REGION

AT = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
HOST = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
HERE = Reference(HOST, "shop/web")
THERE = Reference("ghcr.io", "shop/web")
IMAGE_TYPE = "application/vnd.oci.image.manifest.v1+json"
IMAGE = json.dumps({"schemaVersion": 2, "mediaType": IMAGE_TYPE, "layers": []}).encode()
DIGEST = Digest(f"sha256:{hashlib.sha256(IMAGE).hexdigest()}")
FOUND = Manifest(digest=DIGEST, media_type=IMAGE_TYPE, size=len(IMAGE))
KINDS = frozenset({Kind.COSIGN_SIGNATURE, Kind.BUNDLE})
PROFILE = f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles/ci"
REVOCATION = RevocationOf(
    f"{PROFILE}/AbCdEf0123", f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-jobs/1", AT, ("aa",)
)
ROOT = b'{"mediaType": "..."}'
SECRET = "hunter2-and-more"


@pytest.fixture(scope="module")
def aws() -> Iterator[Cloud]:
    with Cloud(region=REGION, seed=1) as cloud:
        yield cloud


@pytest.fixture
def cloud(aws: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    aws.reset(seed=1)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    clients._client.cache_clear()
    with aws.acting_as("hook"):
        yield aws
    assert aws.defects == []


def ours(**changes: Any) -> Policy:
    return policy(**{"images": [f"{HOST}/**", "ghcr.io/**"], **changes})


def fetched(*wants: Want, by: Policy | None = None, **options: Any) -> Evidence:
    evidence = Evidence()
    Sources(by or ours(), **options).fetch(wants, evidence)
    return evidence


def pushed(cloud: Cloud, **options: Any) -> None:
    cloud.registries.repository("shop/web", **options).push(IMAGE, IMAGE_TYPE, tag="v1", at=AT)


# ------------------------------------------------------------------------------------ ECR


def test_an_image_is_read_by_digest_and_by_tag(cloud: Cloud) -> None:
    pushed(cloud)
    wants = [ImageAt(replace(HERE, digest=DIGEST)), ImageAt(replace(HERE, tag="v1"))]

    assert fetched(*wants) == Evidence(images=dict.fromkeys(wants, FOUND))


def test_an_image_that_is_not_there_is_a_problem_of_its_own(cloud: Cloud) -> None:
    pushed(cloud)
    missing, there = ImageAt(replace(HERE, tag="v2")), ImageAt(replace(HERE, tag="v1"))
    found = fetched(missing, there).images

    assert found[there] == FOUND
    assert isinstance(found[missing], Problem)
    assert (found[missing].outcome, found[missing].code) == (Outcome.UNTRUSTED, "no-image")


def test_what_hangs_on_an_image_is_read(cloud: Cloud) -> None:
    pushed(cloud)
    want = AttachedTo(HERE, DIGEST, KINDS)

    assert fetched(want) == Evidence(attached={want: Attachments()})


def test_what_ecr_says_is_read(cloud: Cloud) -> None:
    pushed(cloud, mutability="IMMUTABLE")
    repository = cloud.registries.repository("shop/web")
    repository.scans[DIGEST] = ScanAtEcr(completed_at=AT, counts={"LOW": 1})
    repository.signings[DIGEST] = {PROFILE: Signing("IN_PROGRESS")}
    bare, scanned, signing = (
        FactsOf(HERE, DIGEST, False),
        FactsOf(HERE, DIGEST, True),
        SigningOf(HERE, DIGEST),
    )
    facts = EcrFacts(tag_mutability="IMMUTABLE", exclusions=(), pushed_at=AT, scan=None)
    scan = Scan(
        status="COMPLETE", at=AT, counts={"LOW": 1}, description="The scan was completed successfully."
    )

    assert fetched(bare, scanned, signing) == Evidence(
        facts={bare: facts, scanned: replace(facts, scan=scan)},
        signing={signing: (SigningStatus(PROFILE, "IN_PROGRESS"),)},
    )


@pytest.mark.parametrize("want", [FactsOf(THERE, DIGEST, False), SigningOf(THERE, DIGEST)])
def test_what_ecr_alone_says_is_asked_of_nobody_else(want: Want) -> None:
    evidence = fetched(want)
    (problem,) = (evidence.facts | evidence.signing).values()  # type: ignore[operator]  # one of them is empty

    assert problem == Problem(Outcome.UNTRUSTED, "not-ecr", "ghcr.io is not ECR, which alone could say this")


@pytest.mark.parametrize(
    ("error", "outcome", "code"),
    [
        ("ThrottlingException", Outcome.UNVERIFIABLE, "unavailable"),
        ("AccessDeniedException", Outcome.MISCONFIGURED, "misconfigured"),
    ],
)
@pytest.mark.parametrize(
    ("table", "want", "action"),
    [
        ("images", ImageAt(replace(HERE, tag="v1")), "ecr:BatchGetImage"),
        ("facts", FactsOf(HERE, DIGEST, False), "ecr:DescribeImages"),
        ("signing", SigningOf(HERE, DIGEST), "ecr:DescribeImageSigningStatus"),
        ("keys", KeyOf(f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1"), "kms:GetPublicKey"),
        ("revocations", REVOCATION, "signer:GetRevocationStatus"),
        ("roots", RootOf("public"), "ssm:GetParameter"),
    ],
)
def test_what_aws_says_no_to_is_a_problem_of_that_fact(
    cloud: Cloud, table: str, want: Want, action: str, error: str, outcome: Outcome, code: str
) -> None:
    pushed(cloud)
    cloud.faults.add(action=action, error=error)
    roots = {"public": {"source": "ssm:/root", "sha256": "a" * 64}}
    by = ours(trust={"roots": roots})
    problem = getattr(fetched(want, by=by), table)[want]

    assert isinstance(problem, Problem)
    assert (problem.outcome, problem.code) == (outcome, code)
    assert action in problem.text


def test_what_hangs_on_an_image_of_a_registry_that_is_throttled_is_not_known(cloud: Cloud) -> None:
    pushed(cloud)
    cloud.faults.add(action="ecr:*", error="ThrottlingException")
    want = AttachedTo(HERE, DIGEST, KINDS)
    found = fetched(want).attached[want]

    assert found.found == ()
    assert {problem.outcome for problem in found.problems} == {Outcome.UNVERIFIABLE}


# ------------------------------------------------------------------------------------ whom it speaks to


@pytest.mark.parametrize(
    "want",
    [
        ImageAt(Reference("evil.example", "shop/web", "v1")),
        ImageAt(Reference("444455556666.dkr.ecr.us-east-1.amazonaws.com", "shop/web", "v1")),
        AttachedTo(Reference("evil.example", "shop/web"), DIGEST, KINDS),
        FactsOf(Reference("evil.example", "shop/web"), DIGEST, False),
        SigningOf(Reference("444455556666.dkr.ecr.us-east-1.amazonaws.com", "x"), DIGEST),
    ],
)
def test_a_registry_that_the_policy_does_not_name_is_not_asked(
    want: Want, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("EcrRegistry", "_credentials"):
        monkeypatch.setattr(module, name, None)
    monkeypatch.setattr(oci, "OciRegistry", None)
    evidence = fetched(want, by=ours(images=[f"{HOST}/**", "**/web", "ghcr.io/**"]))
    tables = (evidence.images, evidence.attached, evidence.facts, evidence.signing)
    (found,) = (fact for table in tables for fact in table.values())
    (problem,) = found.problems if isinstance(found, Attachments) else (found,)

    assert isinstance(problem, Problem)
    assert (problem.outcome, problem.code) == (Outcome.MISCONFIGURED, "misconfigured")
    assert problem.text.startswith("policy 'production' does not name ")
    assert problem.text.endswith("name it in registries, or spell it out in the images of a rule")


class Fake:
    """A registry other than ECR, that remembers how it was made."""

    made: list[tuple[str, dict[str, Any]]]
    asked: list[Any]

    def __init__(self, host: str, **options: Any) -> None:
        self.made.append((host, options))

    def image(self, reference: Reference) -> Manifest:
        self.asked.append(reference)
        return FOUND

    def attachments(self, repository: Reference, subject: Digest, kinds: frozenset[Kind]) -> Attachments:
        self.asked.append((repository, subject, kinds))
        return Attachments()


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> type[Fake]:
    Fake.made, Fake.asked = [], []
    monkeypatch.setattr(oci, "OciRegistry", Fake)
    return Fake


ANONYMOUS = {"credentials": None, "token_hosts": (), "blob_hosts": (), "insecure": False}


def test_a_registry_is_read_as_the_policy_says_and_made_once(registry: type[Fake]) -> None:
    wants = [ImageAt(replace(THERE, tag="v1")), AttachedTo(THERE, DIGEST, KINDS)]
    hosts = {"tokenHosts": ["auth.example"], "blobHosts": ["blobs.example"]}
    evidence = fetched(*wants, by=ours(registries={"ghcr.io": hosts, "quay.io": {}}))

    assert evidence == Evidence(images={wants[0]: FOUND}, attached={wants[1]: Attachments()})
    assert registry.made == [
        ("ghcr.io", {**ANONYMOUS, "token_hosts": ("auth.example",), "blob_hosts": ("blobs.example",)})
    ]
    assert registry.asked == [replace(THERE, tag="v1"), (THERE, DIGEST, KINDS)]


@pytest.mark.parametrize(
    ("insecure", "is_insecure"), [([], False), (["127.0.0.1:5000"], True), (["127.0.0.1:5001"], False)]
)
def test_only_a_registry_that_the_command_line_names_is_read_without_tls(
    registry: type[Fake], insecure: list[str], is_insecure: bool
) -> None:
    local = Reference("127.0.0.1:5000", "x", "v1")
    by = ours(registries={"127.0.0.1:5000": {}})
    fetched(ImageAt(local), by=by, insecure=frozenset(insecure))

    assert registry.made == [("127.0.0.1:5000", {**ANONYMOUS, "insecure": is_insecure})]


# ------------------------------------------------------------------------------------ credentials


def secret(cloud: Cloud, value: str | bytes) -> str:
    client = cloud.client("secretsmanager", role="hook")
    kept = {"SecretString": value} if isinstance(value, str) else {"SecretBinary": value}
    arn: str = client.create_secret(Name="registry", **kept)["ARN"]
    return arn


def test_credentials_are_read_where_the_policy_says(cloud: Cloud, registry: type[Fake]) -> None:
    arn = secret(cloud, json.dumps({"username": "robot", "password": SECRET, "more": 1}))
    fetched(ImageAt(THERE), by=ours(registries={"ghcr.io": {"credentials": arn}}))

    assert registry.made == [("ghcr.io", {**ANONYMOUS, "credentials": ("robot", SECRET)})]


@pytest.mark.parametrize(
    "value",
    [
        f"robot:{SECRET}",
        json.dumps([SECRET]),
        json.dumps({"username": "robot", "passwort": SECRET}),
        json.dumps({"username": None, "password": SECRET}),
        json.dumps({"username": SECRET, "password": 7}),
        json.dumps(SECRET),
        '{"username": "robot", "password": "' + SECRET,
        "[" * 100_000,
        "",
        SECRET.encode(),
    ],
)
def test_a_secret_that_is_none_is_named_and_never_shown(
    cloud: Cloud, registry: type[Fake], value: str | bytes
) -> None:
    arn = secret(cloud, value or "{}")
    want = ImageAt(THERE)
    evidence = fetched(want, by=ours(registries={"ghcr.io": {"credentials": arn}}))

    assert evidence.images[want] == Problem(
        Outcome.MISCONFIGURED, "misconfigured", f'{arn}: expected {{"username": ..., "password": ...}}'
    )
    assert registry.made == []


def test_the_error_about_a_secret_leads_to_no_other_that_would_show_it(cloud: Cloud) -> None:
    arn = secret(cloud, f"robot:{SECRET}")
    with pytest.raises(Misconfigured) as caught:
        module._credentials(arn)

    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        ("ThrottlingException", Outcome.UNVERIFIABLE),
        ("AccessDeniedException", Outcome.MISCONFIGURED),
        ("ResourceNotFoundException", Outcome.MISCONFIGURED),
    ],
)
def test_a_secret_that_can_t_be_read_is_a_problem_of_what_needed_it(
    cloud: Cloud, registry: type[Fake], error: str, outcome: Outcome
) -> None:
    arn = secret(cloud, "{}")
    cloud.faults.add(action="secretsmanager:GetSecretValue", error=error)
    private, public = ImageAt(THERE), ImageAt(Reference("quay.io", "x", "v1"))
    by = ours(registries={"ghcr.io": {"credentials": arn}, "quay.io": {}})
    found = fetched(private, public, by=by).images

    assert isinstance(found[private], Problem)
    assert found[private].outcome is outcome
    assert found[public] == FOUND


# ------------------------------------------------------------------------------------ KMS, Signer, roots

DER = (
    ec.generate_private_key(ec.SECP256R1())
    .public_key()
    .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
)


def test_a_key_is_read_from_kms(cloud: Cloud) -> None:
    want = KeyOf(cloud.public_keys.add("release", kms.PublicKey(DER)))

    assert fetched(want) == Evidence(keys={want: DER})


def test_a_key_that_is_not_for_signatures_is_none(cloud: Cloud) -> None:
    made = cloud.client("kms", role="hook").create_key(KeyUsage="ENCRYPT_DECRYPT", KeySpec="RSA_2048")
    want = KeyOf(made["KeyMetadata"]["Arn"])

    assert fetched(want).keys[want] == Problem(
        Outcome.MISCONFIGURED,
        "misconfigured",
        f"{want.arn} is a key for ENCRYPT_DECRYPT, not for signatures",
    )


def test_a_key_that_is_switched_off_is_none(cloud: Cloud) -> None:
    want = KeyOf(cloud.public_keys.add("release", kms.PublicKey(DER, is_enabled=False)))
    problem = fetched(want).keys[want]

    assert isinstance(problem, Problem)
    assert problem.outcome is Outcome.MISCONFIGURED
    assert "DisabledException" in problem.text


@pytest.mark.parametrize("revoked", [[], ["job_arn"], ["profile_version_arn", "job_arn"]])
def test_what_is_revoked_is_read_from_signer(cloud: Cloud, revoked: list[str]) -> None:
    arns = [getattr(REVOCATION, name) for name in revoked]
    cloud.revocations.revoked = dict.fromkeys(arns, AT)

    assert fetched(REVOCATION) == Evidence(revocations={REVOCATION: tuple(arns)})


def test_the_platform_is_the_one_that_signer_has_for_images() -> None:
    assert SIGNER_PLATFORM == PLATFORM


@pytest.mark.parametrize(
    ("want", "service"),
    [
        (KeyOf(f"arn:aws:kms:eu-central-1:{ACCOUNT}:key/1"), "kms"),
        (
            replace(
                REVOCATION, profile_version_arn=REVOCATION.profile_version_arn.replace(REGION, "eu-central-1")
            ),
            "signer",
        ),
    ],
)
def test_who_is_asked_is_the_region_that_the_arn_names(
    want: Want, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str | None]] = []

    def client(name: str, region: str | None = None) -> Any:
        asked.append((name, region))
        raise Transient("enough")

    monkeypatch.setattr(module, "client", client)
    fetched(want)

    assert asked == [(service, "eu-central-1")]


def rooted(source: str, content: bytes = ROOT) -> Policy:
    one = {"source": source, "sha256": hashlib.sha256(content).hexdigest()}
    return ours(trust={"roots": {"public": one}})


def parameter(cloud: Cloud, content: bytes) -> str:
    cloud.client("ssm", role="hook").put_parameter(
        Name="/root", Value=content.decode(), Type="String", Overwrite=True
    )
    return "ssm:/root"


def test_a_root_is_read_and_held_against_its_sha256(cloud: Cloud) -> None:
    want, source = RootOf("public"), parameter(cloud, ROOT)

    assert fetched(want, by=rooted(source)) == Evidence(roots={want: ROOT})
    problem = fetched(want, by=rooted(source, b"another")).roots[want]
    assert problem == Problem(
        Outcome.MISCONFIGURED,
        "misconfigured",
        f"root 'public' of the policy: ssm:/root has the SHA-256 {hashlib.sha256(ROOT).hexdigest()}, "
        f"expected {hashlib.sha256(b'another').hexdigest()}",
    )


def test_only_the_command_line_reads_roots_from_files(tmp_path: Path) -> None:
    file, want = tmp_path / "root.json", RootOf("public")
    file.write_bytes(ROOT)

    assert fetched(want, by=rooted(str(file)), files=True) == Evidence(roots={want: ROOT})
    problem = fetched(want, by=rooted(str(file))).roots[want]
    assert isinstance(problem, Problem)
    assert problem.outcome is Outcome.MISCONFIGURED


# ------------------------------------------------------------------------------------ nobody

EVERY: list[Want] = [
    ImageAt(HERE),
    AttachedTo(HERE, DIGEST, KINDS),
    KeyOf(f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1"),
    RootOf("public"),
    REVOCATION,
    SigningOf(HERE, DIGEST),
    FactsOf(HERE, DIGEST, True),
]


def test_where_nobody_is_asked_nothing_is_known() -> None:
    evidence, expected = Evidence(), Evidence()
    ask_nobody(EVERY, evidence)
    for want in EVERY:
        expected.lack(want, Problem(Outcome.UNVERIFIABLE, "not-asked", "it was not asked for"))

    assert evidence == expected


@pytest.mark.parametrize("want", EVERY)
@pytest.mark.parametrize(
    "error", [Transient("throttled"), Misconfigured("no permission"), Rejected("no-image", "not there")]
)
def test_every_fact_may_be_a_problem(want: Want, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise error

    for name in ("EcrRegistry", "_public_key", "_revoked", "read_source"):
        monkeypatch.setattr(module, name, refuse)
    expected = Evidence()
    expected.lack(want, Problem.of(error))  # type: ignore[arg-type]  # all of these are

    assert fetched(want, by=rooted("ssm:/root")) == expected
