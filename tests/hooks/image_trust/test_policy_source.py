"""Where documents are read from, against moto."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import IncompleteReadError, ReadTimeoutError

from hooks.image_trust import policy_source
from hooks.image_trust.policy_source import MAX_SOURCE_BYTES, read_source
from rehearsal.aws.cloud import Cloud
from rehearsal.aws.identities import ALLOW_ALL
from shared import clients
from shared.errors import Misconfigured, Transient
from tests.shared.checkout import REGION

CONTENT = "version: 1\nname: ä\n".encode()
BUCKET = "image-trust"


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


@pytest.fixture
def s3(cloud: Cloud) -> Any:
    admin = cloud.client("s3", user="admin", policies=[ALLOW_ALL])
    admin.create_bucket(Bucket=BUCKET)
    admin.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    return admin


def put_parameter(cloud: Cloud, value: str, kind: str = "String") -> None:
    ssm = cloud.client("ssm", user="admin", policies=[ALLOW_ALL])
    ssm.put_parameter(Name="/hooks/image-policy", Value=value, Type=kind, Overwrite=True)


def refusal(source: str, kind: type[Exception] = Misconfigured, **options: bool) -> str:
    with pytest.raises(kind) as error:
        read_source(source, **options)
    return str(error.value)


# --- Parameter Store --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["String", "SecureString"])
def test_a_parameter_is_read_in_its_last_version_or_in_one(cloud: Cloud, kind: str) -> None:
    put_parameter(cloud, "the first", kind)
    put_parameter(cloud, CONTENT.decode(), kind)

    assert read_source("ssm:/hooks/image-policy") == CONTENT
    assert read_source("ssm:/hooks/image-policy:1") == b"the first"


def test_a_parameter_that_is_not_there_is_named(cloud: Cloud) -> None:
    put_parameter(cloud, "x")

    assert refusal("ssm:/hooks/other").startswith("ssm:GetParameter on /hooks/other: ParameterNotFound: ")
    assert refusal("ssm:/hooks/image-policy:7").startswith(
        "ssm:GetParameter on /hooks/image-policy:7: ParameterVersionNotFound: "
    )


# --- S3 ---------------------------------------------------------------------------------------------


def test_an_object_is_read_in_its_last_version_or_in_one(s3: Any) -> None:
    first = s3.put_object(Bucket=BUCKET, Key="policies/a+b.yaml", Body=b"the first")["VersionId"]
    s3.put_object(Bucket=BUCKET, Key="policies/a+b.yaml", Body=CONTENT)

    assert read_source(f"s3://{BUCKET}/policies/a+b.yaml") == CONTENT
    assert read_source(f"s3://{BUCKET}/policies/a+b.yaml?versionId={first}") == b"the first"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (f"s3://{BUCKET}/none", f"s3:GetObject on s3://{BUCKET}/none: NoSuchKey: "),
        ("s3://no-such-bucket/none", "s3:GetObject on s3://no-such-bucket/none: NoSuchBucket: "),
    ],
)
def test_an_object_that_is_not_there_is_named(s3: Any, source: str, said: str) -> None:
    assert refusal(source).startswith(said)


def test_no_more_is_read_than_a_document_may_have(s3: Any) -> None:
    for key, size in (
        ("most", MAX_SOURCE_BYTES),
        ("more", MAX_SOURCE_BYTES + 1),
        ("much", 4 * MAX_SOURCE_BYTES),
    ):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"x" * size)

    assert len(read_source(f"s3://{BUCKET}/most")) == MAX_SOURCE_BYTES
    for key in ("more", "much"):
        assert (
            refusal(f"s3://{BUCKET}/{key}") == f"s3://{BUCKET}/{key} has more than {MAX_SOURCE_BYTES} bytes"
        )


class Broken:
    """A body that fails while it is read."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.is_closed = False
        self.asked: list[int] = []

    def read(self, size: int) -> bytes:
        self.asked.append(size)
        raise self.error

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize(
    "error",
    [IncompleteReadError(actual_bytes=1, expected_bytes=2), ReadTimeoutError(endpoint_url="https://s3")],
)
def test_an_object_that_breaks_off_may_be_whole_the_next_time(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    body = Broken(error)

    class Bucket:
        def get_object(self, **_: str) -> dict[str, Broken]:
            return {"Body": body}

    monkeypatch.setattr(policy_source, "client", lambda _: Bucket())

    refusal("s3://bucket/key", Transient)
    assert body.is_closed
    assert body.asked == [MAX_SOURCE_BYTES + 1]


# --- What AWS says ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "action"),
    [
        ("ssm:/hooks/image-policy", "ssm:GetParameter"),
        (f"s3://{BUCKET}/policy", "s3:GetObject"),
        (f"s3://{BUCKET}/policy?versionId=abc", "s3:GetObjectVersion"),
    ],
)
def test_a_missing_permission_is_named_and_a_failure_is_waited_for(
    s3: Any, cloud: Cloud, source: str, action: str
) -> None:
    denied = cloud.faults.add(error="AccessDeniedException")
    said = refusal(source)
    denied.times = 0
    cloud.faults.add(error="ThrottlingException")

    assert said.startswith(f"the function's role may not {action} on ")
    refusal(source, Transient)


def test_without_a_region_that_is_what_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-nobody-else")
    clients._client.cache_clear()

    assert refusal("ssm:/hooks/image-policy") == (
        "ssm:GetParameter on /hooks/image-policy: You must specify a region."
    )


# --- Files ------------------------------------------------------------------------------------------


def test_a_file_of_the_package_is_read_from_its_folder_alone() -> None:
    folder = Path(policy_source.__file__).parent / "policies"

    assert read_source("package:README.md") == (folder / "README.md").read_bytes()
    assert refusal("package:none.yaml") == (
        "package:none.yaml is no file in hooks/image_trust/policies of the function's artifact"
    )
    for file in (
        "../handler.py",
        "/etc/passwd",
        "..",
        ".",
        "a/../../handler.py",
        ".hidden",
        "a\\b",
        "README.md\n",
        "",
    ):
        assert "is no source" in refusal(f"package:{file}")
        assert "is no source" in refusal(f"package:{file}", files=True)


def test_a_path_is_read_where_the_caller_says_so(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_bytes(CONTENT)

    assert read_source(str(file), files=True) == CONTENT
    assert refusal(str(file)) == (
        f"{str(file)!r} is no source: expected ssm:/name, s3://bucket/key?versionId=... or package:file"
    )
    assert refusal(str(tmp_path / "none"), files=True) == (
        f"{str(tmp_path / 'none')!r} can't be read: No such file or directory"
    )
    assert refusal(str(tmp_path), files=True) == f"{str(tmp_path)!r} can't be read: Is a directory"
    assert refusal("a\x00b", files=True) == "'a\\x00b' can't be read: embedded null byte"
    file.write_bytes(b"x" * (MAX_SOURCE_BYTES + 1))
    assert refusal(str(file), files=True) == f"{file} has more than {MAX_SOURCE_BYTES} bytes"


@pytest.mark.parametrize(
    "source",
    [
        "", "ssm:", "ssm:name", "ssm:/a b", "ssm:/a:", "ssm:/a\n", "s3:", "s3://", "s3://bucket", "s3://bucket/",
        "s3://Bucket/key", "s3://bucket/key?", "s3://bucket/key?versionId=", "s3://bucket/key?x=1",
        "s3://bucket/key?versionId=a&x=1", "s3://bucket/a?b?versionId=c", "s3://bu/../cket/key?versionId= ",
        "https://bucket.s3.amazonaws.com/key", "file:///etc/passwd", "/etc/passwd", "SSM:/a",
    ],
)  # fmt: skip
def test_what_is_no_source_is_refused(source: str) -> None:
    assert "is no source: expected ssm:/name" in refusal(source)
