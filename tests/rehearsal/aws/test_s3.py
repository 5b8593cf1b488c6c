"""S3: what of moto's the rehearsal relies on, and who is told that something is not there."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from rehearsal.aws.cloud import Cloud
from rehearsal.aws.door import RecordedCall
from rehearsal.aws.identities import ALLOW_ALL
from rehearsal.aws.server import Server
from tests.rehearsal.aws.sample_deployments import ACCOUNT, REGION
from tests.rehearsal.aws.test_iam import policy
from tests.rehearsal.aws.test_server import remote

ROLE = "LoadGenerator"
WHO = f"arn:aws:sts::{ACCOUNT}:assumed-role/{ROLE}/rehearsal"
KEY = "runs/one two/claim.json"

GET = policy("s3:GetObject", "arn:aws:s3:::runs/runs/*")
PUT = policy("s3:PutObject", "arn:aws:s3:::runs/runs/*")
LIST = policy("s3:ListBucket", "arn:aws:s3:::runs")


@pytest.fixture(autouse=True)
def bucket(cloud: Cloud) -> None:
    cloud.client("s3", user="admin", policies=[ALLOW_ALL]).create_bucket(
        Bucket="runs", CreateBucketConfiguration={"LocationConstraint": REGION}
    )


@pytest.fixture(params=["in process", "over HTTP"])
def s3(cloud: Cloud, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Sign as the role, with IAM enforced."""
    with contextlib.ExitStack() as opened:
        if request.param == "over HTTP":
            client = remote(cloud, opened.enter_context(Server(cloud)), "s3", ROLE)
        else:
            client = cloud.client("s3", role=ROLE)
        opened.enter_context(cloud.enforcing_iam())
        yield client


def refusal(call: Any, **parameters: object) -> tuple[int, str, str]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    answered = caught.value.response
    return (
        answered["ResponseMetadata"]["HTTPStatusCode"],
        answered["Error"]["Code"],
        answered["Error"]["Message"],
    )


def test_what_is_not_there_is_said_not_to_be_to_those_who_may_list(cloud: Cloud, s3: Any) -> None:
    cloud.role(ROLE, [GET, LIST])

    assert refusal(s3.get_object, Bucket="runs", Key=KEY) == (
        404,
        "NoSuchKey",
        "The specified key does not exist.",
    )
    assert refusal(s3.head_object, Bucket="runs", Key=KEY)[:2] == (404, "404")


def test_what_is_not_there_is_forbidden_to_those_who_may_not_list(cloud: Cloud, s3: Any) -> None:
    cloud.role(ROLE, [GET])

    assert refusal(s3.get_object, Bucket="runs", Key=KEY) == (
        403,
        "AccessDenied",
        f"User: {WHO} is not authorized to perform: s3:ListBucket on resource: arn:aws:s3:::runs "
        "because no identity-based policy allows the s3:ListBucket action",
    )
    assert refusal(s3.head_object, Bucket="runs", Key=KEY)[0] == 403


def test_a_permission_to_list_a_prefix_does_not_tell_what_is_not_there(cloud: Cloud, s3: Any) -> None:
    limited = policy("s3:ListBucket", "arn:aws:s3:::runs")
    limited["Statement"][0]["Condition"] = {"StringLike": {"s3:prefix": "runs/*"}}
    cloud.role(ROLE, [GET, limited])

    assert refusal(s3.get_object, Bucket="runs", Key=KEY)[:2] == (403, "AccessDenied")
    assert s3.list_objects_v2(Bucket="runs", Prefix="runs/one")["KeyCount"] == 0
    assert refusal(s3.list_objects_v2, Bucket="runs", Prefix="other/")[:2] == (403, "AccessDenied")


def test_what_is_there_takes_no_permission_to_list(cloud: Cloud, s3: Any) -> None:
    cloud.role(ROLE, [GET, PUT])
    s3.put_object(Bucket="runs", Key=KEY, Body=b"{}")

    with cloud.recording() as calls:
        assert s3.get_object(Bucket="runs", Key=KEY)["Body"].read() == b"{}"

    assert calls == [RecordedCall(WHO, "s3:GetObject", f"arn:aws:s3:::runs/{KEY}", allowed=True)]


def test_a_look_at_what_is_not_there_counts_as_a_use_of_the_permission_to_list(cloud: Cloud, s3: Any) -> None:
    cloud.role(ROLE, [GET, LIST])

    with cloud.recording() as calls:
        refusal(s3.get_object, Bucket="runs", Key=KEY)

    assert calls == [
        RecordedCall(WHO, "s3:GetObject", f"arn:aws:s3:::runs/{KEY}", allowed=True),
        RecordedCall(WHO, "s3:ListBucket", "arn:aws:s3:::runs", allowed=True),
    ]


def test_what_was_deleted_is_not_there(cloud: Cloud, s3: Any) -> None:
    cloud.role(ROLE, [GET, PUT, policy("s3:DeleteObject", "arn:aws:s3:::runs/*")])
    admin = cloud.client("s3", user="admin")
    admin.put_bucket_versioning(Bucket="runs", VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket="runs", Key=KEY, Body=b"{}")
    s3.delete_object(Bucket="runs", Key=KEY)

    assert refusal(s3.get_object, Bucket="runs", Key=KEY)[:2] == (403, "AccessDenied")


def test_a_claim_is_written_once(cloud: Cloud, s3: Any) -> None:
    cloud.role(ROLE, [GET, PUT])
    s3.put_object(Bucket="runs", Key=KEY, Body=b"first", IfNoneMatch="*")

    second = refusal(s3.put_object, Bucket="runs", Key=KEY, Body=b"second", IfNoneMatch="*")

    assert second == (
        412,
        "PreconditionFailed",
        "At least one of the pre-conditions you specified did not hold",
    )
    assert s3.get_object(Bucket="runs", Key=KEY)["Body"].read() == b"first"


def test_a_bucket_that_is_not_there_is_said_not_to_be(cloud: Cloud, s3: Any) -> None:
    cloud.role(ROLE, [policy("s3:GetObject", "*")])

    assert refusal(s3.get_object, Bucket="none", Key=KEY)[:2] == (404, "NoSuchBucket")
