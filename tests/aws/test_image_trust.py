"""The image trust hook under exactly the permissions that the template gives it."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from hooks.image_trust.handler import handler
from rehearsal import functions
from rehearsal.aws.call import AwsError
from rehearsal.aws.cloud import ACCOUNT
from rehearsal.aws.ecr import Repository, Scan, Signing
from rehearsal.aws.kms import PublicKey
from rehearsal.aws.policy import unused_grants
from rehearsal.model import ContainerImage, ServiceDeployment
from rehearsal.runtime.in_process import cool
from rehearsal.signing import Artifact, Key, Profile, SigningService, image
from rehearsal.template import Template
from shared.record import canonical
from tests.aws.answers import Answers
from tests.aws.conftest import BUCKET, TOPIC, Account
from tests.shared.checkout import (
    BLUE,
    GREEN,
    REGION,
    START,
    TASK_DEFINITION,
    deploy,
    event,
    split,
)

FUNCTION = "ImageTrustFunction"
POLICY = "/ecs-image-trust/policy"
BINDING = "/ecs-image-trust/bindings/shop/checkout"
HOST = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
PROCEEDS = {"hookStatus": "SUCCEEDED"}
REFUSES = {"hookStatus": "FAILED"}

KEY = Key("release")
WEB = image("web 42")
OTHER = image("web 42, as somebody else built it")
YESTERDAY = START - timedelta(days=1)


def policy(*rules: Mapping[str, Any], **parts: Any) -> dict[str, Any]:
    """Return a policy document; a rule without ``match`` is for all images of this account."""
    everything = {"images": [f"{ACCOUNT}.dkr.ecr.*.amazonaws.com/**"]}
    return {
        "version": 1,
        "name": "production",
        "trust": {"keys": {"release": {"pem": KEY.pem}}},
        "rules": [
            {"name": f"rule {number}", "match": everything, **rule} for number, rule in enumerate(rules)
        ],
        **parts,
    }


SIGNED = {"require": {"cosign": {"key": "release"}}}
BY_TAG = {"references": {"requireDigest": False}}


@dataclass
class Shop(Answers):
    """A deployment of one container, and the registry that its image is in."""

    account: Account
    deployment: ServiceDeployment
    details: Any = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    @property
    def web(self) -> Repository:
        return self.account.cloud.registries.repository("shop/web")

    def push(self, artifact: Artifact, *, tag: str | None = None) -> Artifact:
        """Push an image, or what hangs on one."""
        self.web.push(
            artifact.manifest,
            artifact.media_type,
            tag=tag or artifact.tag,
            blobs=artifact.blobs,
            at=YESTERDAY,
        )
        return artifact

    def runs(self, reference: str, recorded: str | None = None) -> None:
        """Have green's task definition name an image; *recorded* is what ECS says that it started."""
        name = reference if "/" in reference else f"{self.web.uri}{reference}"
        self.account.cloud.control_plane.task_definitions[TASK_DEFINITION] = {
            "taskDefinitionArn": TASK_DEFINITION,
            "containerDefinitions": [{"name": "web", "image": name, "memory": 256, "essential": True}],
        }
        for arn in (GREEN, BLUE):
            self.account.cloud.control_plane.revisions[str(arn)].container_images = [
                ContainerImage(container_name="web", image=name, image_digest=recorded)
            ]

    def has(self, document: object, name: str = POLICY) -> str:
        """Write a document to Parameter Store, and return its SHA-256."""
        text = document if isinstance(document, str) else json.dumps(document)
        self.account.cloud.parameters.write_earlier(name, text, YESTERDAY)
        return hashlib.sha256(text.encode()).hexdigest()

    def call(self, stage: str = "PRE_SCALE_UP", **variables: str) -> dict[str, Any]:
        """Call the hook once, as ECS does."""
        name = {"AWS_LAMBDA_FUNCTION_NAME": self.account.functions[FUNCTION].name}
        payload = event(stage, production=split(0, 100), details=self.details)
        if stage == "ROLLBACK":
            payload = event("PRODUCTION_TRAFFIC_SHIFT", production=split(0, 100), details=self.details)
        invocation = self.account.invoke(FUNCTION, payload, **name, **variables)
        return self.heard(invocation)

    def fail(self, action: str, code: str, status: int = 400, times: int | None = None) -> None:
        self.account.cloud.faults.add(
            action=action,
            make=lambda *_: AwsError(code, "said AWS", status),
            identity=f"*/{FUNCTION}",
            times=times,
        )


@pytest.fixture
def shop(account: Account) -> Iterator[Shop]:
    cool()
    deployment = deploy(account.cloud)
    shop = Shop(account, deployment)
    deployment.configuration["lifecycleHooks"] = [
        {
            "hookTargetArn": account.functions[FUNCTION].arn,
            "lifecycleStages": ["PRE_SCALE_UP", "POST_SCALE_UP"],
            "timeoutConfiguration": {"timeoutInMinutes": 60, "action": "ROLLBACK"},
        }
    ]
    shop.push(WEB, tag="42")
    shop.runs(f"@{WEB.digest}")
    shop.has(policy(SIGNED))
    yield shop
    denied = {call.action for call in account.calls if not call.allowed}
    assert denied == set()


def test_an_image_that_is_signed_may_run(shop: Shop) -> None:
    shop.push(KEY.sign_under_tag(WEB))

    assert shop.call() == PROCEEDS
    assert shop.reason == "policy 'production' admits 1 container"
    assert shop.record["inputs"]["containers"][0]["digest"] == WEB.digest
    assert handler.replay(shop.record) == shop.record["verdict"]


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        (None, "is attached to"),
        (Key("stranger").sign_under_tag(WEB), "the signature is not by"),
        (Key("stranger").bundle(WEB), "the signature is not by"),
        (KEY.sign_under_tag(OTHER), "is attached to"),
    ],
    ids=["unsigned", "signed by somebody", "signed by somebody, as a bundle", "another is signed"],
)
def test_an_image_that_nothing_vouches_for_may_not(
    shop: Shop, signature: Artifact | None, reason: str
) -> None:
    if signature is not None:
        shop.push(signature)

    assert shop.call() == REFUSES
    assert shop.reason.startswith("web: ")
    assert reason in shop.reason
    assert handler.replay(shop.record) == shop.record["verdict"]


def test_what_a_tag_led_to_is_held_until_green_runs(shop: Shop) -> None:
    shop.has(policy(SIGNED, **BY_TAG))
    shop.push(KEY.sign_under_tag(WEB))
    shop.runs(":42")

    assert shop.call() == PROCEEDS
    ssm = shop.account.cloud.client("ssm", user="admin")
    bound = json.loads(ssm.get_parameter(Name=BINDING)["Parameter"]["Value"])
    assert bound == {"version": 1, "revision": str(GREEN), "digests": {"web": WEB.digest}}
    shop.runs(":42", recorded=WEB.digest)
    assert shop.call("POST_SCALE_UP") == PROCEEDS


def test_another_image_under_the_same_tag_is_refused_once_it_runs(shop: Shop) -> None:
    shop.has(policy(SIGNED, **BY_TAG))
    shop.push(KEY.sign_under_tag(WEB))
    shop.runs(":42")
    shop.call()
    # It is signed as well: what is refused is that nobody admitted it.
    for artifact in (shop.push(OTHER, tag="42"), KEY.sign_under_tag(OTHER)):
        shop.push(artifact, tag=artifact.tag)
    shop.runs(":42", recorded=OTHER.digest)

    assert shop.call("POST_SCALE_UP") == REFUSES
    assert OTHER.digest in shop.reason
    assert WEB.digest in shop.reason


def test_a_signature_that_is_being_made_is_waited_for(shop: Shop) -> None:
    signer, profile = SigningService(), Profile("ci", ACCOUNT, REGION)
    document = policy({"require": {"awsSigner": {"profiles": [profile.arn], "store": "ours"}}})
    document["trust"] = {
        "stores": {"ours": {"type": "signingAuthority", "fingerprints": [signer.fingerprint]}}
    }
    shop.has(document)
    shop.web.signings[WEB.digest] = {profile.arn: Signing("IN_PROGRESS")}

    assert shop.call()["hookStatus"] == "IN_PROGRESS"
    shop.push(signer.sign(WEB, profile, YESTERDAY))
    shop.web.signings[WEB.digest] = {profile.arn: Signing("COMPLETE")}
    shop.account.pass_time(seconds=15)
    assert shop.call() == PROCEEDS
    shop.account.cloud.revocations.revoked[profile.version_arn] = YESTERDAY - timedelta(days=1)
    assert shop.call("POST_SCALE_UP") == REFUSES
    assert "revoked" in shop.reason


def test_the_way_back_is_never_refused(shop: Shop) -> None:
    assert shop.call("ROLLBACK") == PROCEEDS
    shop.has(policy(SIGNED, references={"denyDigests": [WEB.digest]}))
    assert shop.call("ROLLBACK") == PROCEEDS
    assert shop.reason == "rollback: what ran before is not refused; today's policy would: web"
    shop.has("no policy")
    assert shop.call("ROLLBACK") == PROCEEDS
    assert {action for action, _ in shop.account.made_by(FUNCTION) if action.startswith("ecr:")} == set()


def test_what_is_throttled_is_asked_again(shop: Shop) -> None:
    shop.push(KEY.sign_under_tag(WEB))
    shop.fail("ecr:BatchGetImage", "ThrottlingException", times=1)

    assert shop.call()["hookStatus"] == "IN_PROGRESS"
    assert shop.call() == PROCEEDS


def test_what_stays_unknown_is_refused_in_the_end(shop: Shop) -> None:
    shop.fail("ecr:BatchGetImage", "ServerException", 500)
    calls = 0
    while (reply := shop.call()) not in (PROCEEDS, REFUSES):
        shop.account.pass_time(seconds=reply["callBackDelay"])
        calls += 1

    assert reply == REFUSES
    assert shop.reason.startswith("still not known after 0:30:00")
    assert calls == 120


@pytest.mark.parametrize(
    ("variables", "document", "reason"),
    [
        (
            {"IMAGE_POLICY": "ssm:/ecs-image-trust/policies/none"},
            None,
            "ssm:GetParameter on /ecs-image-trust",
        ),
        ({"IMAGE_POLICY": "https://example.com/policy"}, None, "IMAGE_POLICY and IMAGE_POLICY_SHA256: "),
        ({"IMAGE_POLICY": ""}, None, "policy: shop/checkout is offered no 'default'"),
        ({"IMAGE_POLICY_SHA256": "0" * 64}, None, ": its SHA-256 is "),
        ({}, "rules: []", "version: is missing"),
        ({}, "{", "the document is not JSON"),
    ],
    ids=["not there", "no source", "none", "another one", "not usable", "not readable"],
)
def test_without_a_policy_nothing_runs(
    shop: Shop, variables: dict[str, str], document: str | None, reason: str
) -> None:
    shop.push(KEY.sign_under_tag(WEB))
    if document is not None:
        shop.has(document)

    assert shop.call(**variables) == REFUSES
    assert reason in shop.reason


def test_a_pinned_policy_is_used_while_it_is_that_one(shop: Shop) -> None:
    shop.push(KEY.sign_under_tag(WEB))
    pinned = shop.has(policy(SIGNED))

    assert shop.call(IMAGE_POLICY_SHA256=pinned) == PROCEEDS
    shop.has(policy({"require": {"registry": {}}}))
    assert shop.call("POST_SCALE_UP", IMAGE_POLICY_SHA256=pinned) == REFUSES


def test_the_hook_can_change_neither_its_policy_nor_its_roots(shop: Shop) -> None:
    """Who may write those says what may run; a function that was taken over must not."""
    cloud = shop.account.cloud
    cloud.identity(role="taken-over", session="s", policies=[shop.account.policy(FUNCTION)])
    ssm = cloud.client("ssm", role="taken-over", session="s")
    for name in (POLICY, "/ecs-image-trust/policies/payments", "/ecs-image-trust/roots/sigstore"):
        with pytest.raises(ClientError, match="AccessDenied"):
            ssm.put_parameter(Name=name, Value="anything", Type="String", Overwrite=True)
        shop.account.calls.pop()
    ssm.put_parameter(Name=BINDING, Value="anything", Type="String", Overwrite=True)


def test_an_image_of_an_account_that_the_role_may_not_read_is_refused_with_the_permission_that_is_missing(
    shop: Shop,
) -> None:
    elsewhere = shop.account.cloud.registries.repository("shop/web", account="999999999999")
    elsewhere.push(WEB.manifest, WEB.media_type, blobs=WEB.blobs)
    shop.runs(f"{elsewhere.uri}@{WEB.digest}")
    match = {"images": ["999999999999.dkr.ecr.*.amazonaws.com/**"]}
    shop.has(policy({"match": match, **SIGNED}))

    assert shop.call() == REFUSES
    assert "ecr:BatchGetImage" in shop.reason
    assert [call.action for call in shop.account.calls if not call.allowed] == ["ecr:BatchGetImage"]
    shop.account.calls.clear()


def test_who_lets_a_time_out_pass_is_told_so(shop: Shop) -> None:
    shop.push(KEY.sign_under_tag(WEB))
    [hook] = shop.deployment.configuration["lifecycleHooks"]
    hook["timeoutConfiguration"] = {"timeoutInMinutes": 60, "action": "CONTINUE"}

    assert shop.call() == PROCEEDS
    assert "timeoutConfiguration.action is CONTINUE at PRE_SCALE_UP, POST_SCALE_UP" in shop.said
    shop.details = {"selfCheck": "refuse"}
    assert shop.call() == REFUSES


@pytest.mark.parametrize(
    ("parameters", "source"),
    [
        ({}, "ssm:/ecs-image-trust/policy"),
        ({"ImageTrustPolicyParameter": "/trust/images"}, "ssm:/trust/images"),
        ({"ImageTrustPolicyBucket": "vault"}, "ssm:/ecs-image-trust/policy"),
        ({"ImageTrustPolicyBucket": "vault", "ImageTrustPolicyKey": "p.yaml"}, "s3://vault/p.yaml"),
    ],
)
def test_the_policy_is_where_the_template_says(parameters: Mapping[str, str], source: str) -> None:
    function = functions.deployed(tuple(parameters.items()))[FUNCTION]

    assert function.environment["IMAGE_POLICY"] == source


def test_nothing_that_is_not_asked_for_is_granted() -> None:
    statements = {one["Sid"]: one for one in functions.deployed()[FUNCTION].statements}

    assert statements.keys() == {
        "WriteLogs",
        "ReadDeployment",
        "ReadRevisions",
        "ReadTaskDefinition",
        "ReadImagesAndSignatures",
        "ReadFindingsOfInspector",
        "AskWhatIsRevoked",
        "ReadPolicy",
        "HoldTagsToWhatWasAdmitted",
    }
    assert statements["ReadImagesAndSignatures"]["Resource"] == f"arn:aws:ecr:*:{ACCOUNT}:repository/*"
    given = f"arn:aws:ecr:eu-west-1:999999999999:repository/team/*,arn:aws:ecr:*:{ACCOUNT}:repository/shop/*"
    [narrowed] = [
        one["Resource"]
        for one in functions.deployed((("ImageTrustRepositoryArns", given),))[FUNCTION].statements
        if one["Sid"] == "ReadImagesAndSignatures"
    ]
    assert narrowed == given.split(",")


def test_what_is_pasted_into_a_service_attaches_the_hook_at_both_stages_and_fails_closed() -> None:
    template = Template.read(functions.TEMPLATE)
    output = ("Outputs", "ImageTrustLifecycleHooks", "Value")
    [hook] = json.loads(template.resolve(template.document_value(output), output))["LifecycleHooks"]

    assert hook["LifecycleStages"] == ["PRE_SCALE_UP", "POST_SCALE_UP"]
    assert hook["TimeoutConfiguration"] == {"TimeoutInMinutes": 60, "Action": "ROLLBACK"}


VAULT = "release-policies"


def test_every_grant_is_used_and_nothing_else_is_called(shop: Shop) -> None:
    cloud, signer, profile = shop.account.cloud, SigningService(), Profile("ci", ACCOUNT, REGION)
    key = cloud.public_keys.add("release", PublicKey(KEY.der))
    cloud.client("s3", user="admin").create_bucket(Bucket=VAULT)
    secret = cloud.client("secretsmanager", user="admin").create_secret(
        Name="registry", SecretString='{"username": "u", "password": "p"}'
    )["ARN"]
    shop.account.functions = functions.deployed(
        (
            ("ImageTrustKeyArns", key),
            ("ImageTrustPolicyBucket", VAULT),
            ("ImageTrustPolicyKey", "policy.json"),
            ("ImageTrustSecretArns", secret),
            ("NotificationTopicArn", TOPIC),
            ("RecordBucket", BUCKET),
        )
    )
    root = json.dumps({"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"})
    document = policy(
        {
            "require": {
                "allOf": [
                    {"cosign": {"key": "release"}},
                    {"awsSigner": {"profiles": [profile.arn], "store": "ours"}},
                    {"ecr": {"tagImmutability": "required", "scan": {}}},
                ]
            }
        },
        {
            "match": {"images": [f"{HOST}/shop/keyless", "registry.invalid/**"]},
            "require": {"keyless": {"root": "root", "issuer": "https://i.example", "identity": "somebody"}},
        },
        trust={
            "keys": {"release": {"kms": key}},
            "stores": {"ours": {"type": "signingAuthority", "fingerprints": [signer.fingerprint]}},
            "roots": {
                "root": {
                    "source": f"s3://{VAULT}/root.json?versionId={put(shop, 'root.json', root)}",
                    "sha256": hashlib.sha256(root.encode()).hexdigest(),
                }
            },
        },
        registries={"registry.invalid": {"credentials": secret}},
        **BY_TAG,
    )
    put(shop, "policy.json", json.dumps(document))

    # A key in KMS, a profile of AWS Signer, a repository with scans; the policy is in a bucket.
    shop.web.mutability = "IMMUTABLE"
    shop.web.scans[WEB.digest] = Scan(START - timedelta(hours=1))
    shop.web.signings[WEB.digest] = {profile.arn: Signing("IN_PROGRESS")}
    shop.push(KEY.sign_under_tag(WEB))
    shop.runs(":42")
    assert shop.call()["hookStatus"] == "IN_PROGRESS"
    shop.push(signer.sign(WEB, profile, YESTERDAY))
    assert shop.call() == PROCEEDS

    # A root in the bucket, then one in Parameter Store, where the policies are as well.
    other = cloud.registries.repository("shop/keyless")
    for artifact in (OTHER, KEY.bundle(OTHER)):
        other.push(artifact.manifest, artifact.media_type, blobs=artifact.blobs)
    shop.runs(f"{other.uri}@{OTHER.digest}")
    assert shop.call() == REFUSES
    document["trust"]["roots"]["root"]["source"] = "ssm:/ecs-image-trust/roots/root"
    shop.has(root, "/ecs-image-trust/roots/root")
    shop.has(document, "/ecs-image-trust/policies/other")
    offered = {"policies": {"other": {"source": "ssm:/ecs-image-trust/policies/other"}}}
    shop.details = {"policy": "other"}
    assert shop.call(HOOK_POLICY=json.dumps(offered)) == REFUSES

    # A registry that wants to know who asks.
    shop.runs(f"registry.invalid/app@{WEB.digest}")
    shop.has(document)
    shop.details = {}
    assert shop.call(IMAGE_POLICY=f"ssm:{POLICY}")["hookStatus"] == "IN_PROGRESS"

    unused = unused_grants(shop.account.policy(FUNCTION), shop.account.made_by(FUNCTION))
    # Lambda's own runtime writes the logs, ECR asks Inspector in the function's name, and the rehearsal's S3
    # knows no permission of its own for a version.
    elsewhere = ("WriteLogs", "Inspector", "s3:GetObjectVersion")
    assert [grant for grant in unused if not any(name in grant for name in elsewhere)] == []


def put(shop: Shop, key: str, content: str) -> str:
    s3 = shop.account.cloud.client("s3", user="admin")
    s3.put_bucket_versioning(Bucket=VAULT, VersioningConfiguration={"Status": "Enabled"})
    return str(s3.put_object(Bucket=VAULT, Key=key, Body=content.encode())["VersionId"])


def test_records_are_kept_and_a_refusal_is_told(shop: Shop) -> None:
    shop.call()

    s3 = shop.account.cloud.client("s3", user="admin")
    [kept] = [one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert s3.get_object(Bucket=BUCKET, Key=kept)["Body"].read().decode() == canonical(shop.record)
    assert ("sns:Publish", TOPIC) in shop.account.made_by(FUNCTION)


def test_no_address_of_a_blob_is_in_the_log(shop: Shop) -> None:
    """Whoever has a pre-signed address has the blob, for an hour."""
    shop.push(KEY.sign_under_tag(WEB))

    assert shop.call(POWERTOOLS_LOG_LEVEL="DEBUG") == PROCEEDS
    assert ("ecr:GetDownloadUrlForLayer", shop.web.arn) in shop.account.made_by(FUNCTION)
    assert "X-Amz-Signature" not in "\n".join(shop.log)
