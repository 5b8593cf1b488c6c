from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import time_machine
from botocore.exceptions import ClientError

from rehearsal.aws.cloud import Cloud
from rehearsal.aws.ssm import ReadLag
from tests.rehearsal.aws.sample_deployments import ACCOUNT, REGION, START, body

NAME = "/approvals/shop/web/one"
EXISTS = (
    "The parameter already exists. To overwrite this value, set the overwrite option in the request to true."
)
TOO_LARGE = (
    "Standard tier parameters support a maximum parameter value of 4096 characters. To create a larger "
    "parameter value, upgrade the parameter to use the advanced-parameter tier. For more information, "
    "see https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html"
)


@pytest.fixture
def ssm(cloud: Cloud) -> Any:
    return cloud.client("ssm", user="alice")


def refusal(call: Any, **parameters: object) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_an_overwrite_records_who_called(cloud: Cloud, ssm: Any) -> None:
    hook = cloud.client("ssm", role="ManualApproval", session="function")

    hook.put_parameter(Name=NAME, Value="pending", Type="String")
    ssm.put_parameter(Name=NAME, Value="APPROVED", Overwrite=True)

    history = hook.get_parameter_history(Name=NAME)["Parameters"]
    assert [(version["Version"], version["Value"], version["LastModifiedUser"]) for version in history] == [
        (1, "pending", f"arn:aws:sts::{ACCOUNT}:assumed-role/ManualApproval/function"),
        (2, "APPROVED", f"arn:aws:iam::{ACCOUNT}:user/alice"),
    ]
    [described] = ssm.describe_parameters()["Parameters"]
    assert described["LastModifiedUser"] == f"arn:aws:iam::{ACCOUNT}:user/alice"
    assert described["ARN"] == f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{NAME}"


def test_a_role_assumed_through_sts_is_recorded_too(cloud: Cloud, ssm: Any) -> None:
    arn = cloud.role("Release")
    keys = cloud.client("sts", user="alice").assume_role(RoleArn=arn, RoleSessionName="alice@example.com")[
        "Credentials"
    ]
    import boto3

    assumed = boto3.Session(
        keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], REGION
    ).client("ssm")
    assumed.put_parameter(Name=NAME, Value="x", Type="String")

    [version] = ssm.get_parameter_history(Name=NAME)["Parameters"]
    assert version["LastModifiedUser"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/Release/alice@example.com"


def test_a_parameter_is_stamped_with_the_time_that_was_travelled_to(ssm: Any) -> None:
    with time_machine.travel(START, tick=False) as travelled:
        ssm.put_parameter(Name=NAME, Value="x", Type="String")
        travelled.shift(timedelta(hours=23, milliseconds=5))
        ssm.put_parameter(Name=NAME, Value="y", Overwrite=True)
        history = ssm.get_parameter_history(Name=NAME)["Parameters"]

    assert [version["LastModifiedDate"] for version in history] == [
        START,
        START + timedelta(hours=23, milliseconds=5),
    ]


def test_a_parameter_is_returned_whole(ssm: Any) -> None:
    with time_machine.travel(datetime(2026, 3, 5, 12, tzinfo=UTC), tick=False):
        assert body(ssm.put_parameter(Name=NAME, Value="x", Type="String")) == {
            "Version": 1,
            "Tier": "Standard",
        }

    assert body(ssm.get_parameter(Name=NAME)) == {
        "Parameter": {
            "Name": NAME,
            "Type": "String",
            "Value": "x",
            "Version": 1,
            "LastModifiedDate": START,
            "ARN": f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{NAME}",
            "DataType": "text",
        }
    }


@pytest.mark.parametrize(
    ("name", "value", "selector"),
    [
        (NAME, "v3", None),
        (f"{NAME}:2", "v2", ":2"),
        (f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{NAME}", "v3", None),
    ],
)
def test_a_version_can_be_selected(ssm: Any, name: str, value: str, selector: str | None) -> None:
    for version in (1, 2, 3):
        ssm.put_parameter(Name=NAME, Value=f"v{version}", Type="String", Overwrite=version > 1)

    found = ssm.get_parameter(Name=name)["Parameter"]

    assert (found["Value"], found.get("Selector")) == (value, selector)


def test_the_history_keeps_the_newest_hundred_versions_in_pages_of_fifty(ssm: Any) -> None:
    for version in range(1, 104):
        written = ssm.put_parameter(Name=NAME, Value=str(version), Type="String", Overwrite=True)
        assert written["Version"] == version

    first = ssm.get_parameter_history(Name=NAME)
    second = ssm.get_parameter_history(Name=NAME, NextToken=first["NextToken"])

    assert [version["Version"] for page in (first, second) for version in page["Parameters"]] == [
        *range(4, 104)
    ]
    assert "NextToken" not in second


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (
            {"Name": NAME, "Value": "again", "Type": "String"},
            "ParameterAlreadyExists",
            EXISTS,
        ),
        (
            {"Name": "/new", "Value": "ä" * 2049, "Type": "String"},
            "ValidationException",
            TOO_LARGE,
        ),
        (
            {"Name": "/new", "Value": "x" * 8193, "Type": "String", "Tier": "Advanced"},
            "ValidationException",
            "Advanced tier parameters support a maximum parameter value of 8192 characters.",
        ),
        (
            {"Name": "a/b", "Value": "x", "Type": "String"},
            "ValidationException",
            "Parameter name must be a fully qualified name.",
        ),
        (
            {"Name": "/a" * 16, "Value": "x", "Type": "String"},
            "HierarchyLevelLimitExceededException",
            "A parameter can have at most 15 levels in its hierarchy.",
        ),
        (
            {"Name": "/new", "Value": "x"},
            "ValidationException",
            "A parameter type is required when you create a parameter.",
        ),
    ],
)
def test_a_write_that_parameter_store_rejects_changes_nothing(
    ssm: Any, request_: dict[str, object], code: str, message: str
) -> None:
    ssm.put_parameter(Name=NAME, Value="first", Type="String")

    assert refusal(ssm.put_parameter, **request_) == (code, message)
    assert [(found["Name"], found["Version"]) for found in ssm.describe_parameters()["Parameters"]] == [
        (NAME, 1)
    ]


@pytest.mark.parametrize(("size", "tier"), [(4096, "Standard"), (4097, "Advanced")])
def test_intelligent_tiering_picks_the_tier_by_size(ssm: Any, size: int, tier: str) -> None:
    written = ssm.put_parameter(Name=NAME, Value="x" * size, Type="String", Tier="Intelligent-Tiering")

    assert written["Tier"] == tier


@pytest.mark.parametrize("operation", ["get_parameter", "get_parameter_history"])
def test_an_unknown_parameter_is_not_found(ssm: Any, operation: str) -> None:
    assert refusal(getattr(ssm, operation), Name="/none") == (
        "ParameterNotFound",
        "Parameter /none not found.",
    )


def test_parameters_are_described_in_pages(ssm: Any) -> None:
    names = [f"/p{number:02}" for number in range(12)]
    for name in names:
        ssm.put_parameter(Name=name, Value="x", Type="String")

    pages = ssm.get_paginator("describe_parameters").paginate(PaginationConfig={"PageSize": 5})

    assert [[found["Name"] for found in page["Parameters"]] for page in pages] == [
        names[:5],
        names[5:10],
        names[10:],
    ]


def test_what_moto_answers_sees_the_same_parameters(ssm: Any) -> None:
    ssm.put_parameter(Name=NAME, Value="x", Type="String")

    found = ssm.get_parameters_by_path(Path="/approvals", Recursive=True)["Parameters"]
    ssm.delete_parameter(Name=NAME)

    assert [parameter["Name"] for parameter in found] == [NAME]
    assert refusal(ssm.get_parameter, Name=NAME)[0] == "ParameterNotFound"


def seen(ssm: Any, name: str = NAME) -> str:
    """Return a parameter's value, or the error's code."""
    try:
        return str(ssm.get_parameter(Name=name)["Parameter"]["Value"])
    except ClientError as error:
        return str(error.response["Error"]["Code"])


def test_a_lagging_read_finds_what_was_there_before(cloud: Cloud, ssm: Any) -> None:
    cloud.parameters.read_lag = ReadLag(seconds=3)
    with time_machine.travel(START, tick=False) as travelled:
        ssm.put_parameter(Name=NAME, Value="v1", Type="String")
        found = [seen(ssm)]
        travelled.shift(timedelta(seconds=10))
        ssm.put_parameter(Name=NAME, Value="v2", Overwrite=True)
        found += [seen(ssm), seen(ssm, f"{NAME}:2"), seen(ssm, f"{NAME}:1")]
        travelled.shift(timedelta(seconds=3))
        found += [seen(ssm), seen(ssm, f"{NAME}:2")]

    assert found == ["ParameterNotFound", "v1", "ParameterVersionNotFound", "v1", "v2", "v2"]


def test_a_write_counts_from_what_is_there_even_if_reads_lag(cloud: Cloud, ssm: Any) -> None:
    cloud.parameters.read_lag = ReadLag(seconds=3)

    versions = [
        ssm.put_parameter(Name=NAME, Value="x", Type="String", Overwrite=True)["Version"] for _ in range(3)
    ]

    assert versions == [1, 2, 3]


def test_some_reads_lag_and_some_do_not(cloud: Cloud, ssm: Any) -> None:
    with time_machine.travel(START, tick=False) as travelled:
        ssm.put_parameter(Name=NAME, Value="v1", Type="String")
        travelled.shift(timedelta(seconds=10))
        ssm.put_parameter(Name=NAME, Value="v2", Overwrite=True)
        cloud.parameters.read_lag = ReadLag(seconds=3, chance=0.5)

        assert {seen(ssm) for _ in range(64)} == {"v1", "v2"}


def test_a_reset_ends_the_lag(cloud: Cloud) -> None:
    cloud.parameters.read_lag = ReadLag(seconds=3)

    cloud.reset()

    assert cloud.parameters.read_lag is None


def test_the_age_of_a_version_can_be_told_from_the_answer(ssm: Any) -> None:
    with time_machine.travel(START, tick=False) as travelled:
        ssm.put_parameter(Name=NAME, Value="x", Type="String")
        travelled.shift(timedelta(seconds=90, milliseconds=700))
        answer = ssm.get_parameter(Name=NAME)

    # A Date has whole seconds, cut off.
    date = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    assert date - answer["Parameter"]["LastModifiedDate"] == timedelta(seconds=90)
