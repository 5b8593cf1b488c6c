from datetime import timedelta
from typing import Any

import pytest
import time_machine
from botocore.exceptions import ClientError, ReadTimeoutError

from rehearsal.aws.call import AwsError, Call
from rehearsal.aws.cloud import Cloud
from rehearsal.aws.faults import cut_short, fall_short, not_found
from tests.rehearsal.aws.sample_deployments import ACCOUNT, START


@pytest.fixture
def ssm(cloud: Cloud) -> Any:
    client = cloud.client("ssm", role="ManualApproval", session="function")
    client.put_parameter(Name="/a", Value="x", Type="String")
    return client


def outcome(client: Any, operation: str = "get_parameter") -> str:
    try:
        getattr(client, operation)(Name="/a")
    except ClientError as error:
        return f"{error.response['ResponseMetadata']['HTTPStatusCode']} {error.response['Error']['Code']}"
    return "well"


def test_a_fault_strikes_as_often_as_asked(cloud: Cloud, ssm: Any) -> None:
    fault = cloud.faults.add(action="ssm:GetParameter", error="ThrottlingException", times=2)

    assert [outcome(ssm) for _ in range(3)] == ["400 ThrottlingException", "400 ThrottlingException", "well"]
    assert fault.struck == 2


def test_a_fault_ends_with_its_time(cloud: Cloud, ssm: Any) -> None:
    cloud.faults.add(
        action="*", status=500, since=START + timedelta(minutes=1), until=START + timedelta(minutes=3)
    )
    seen = []
    with time_machine.travel(START, tick=False) as travelled:
        for _ in range(5):
            seen.append(outcome(ssm))
            travelled.shift(timedelta(minutes=1))

    assert seen == ["well", "500 InternalServerError", "500 InternalServerError", "well", "well"]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"action": "ssm:Get*"}, "400 InternalServerError"),
        ({"action": "ssm:GetParameterHistory"}, "well"),
        ({"action": "sns:*"}, "well"),
        ({"identity": "*:assumed-role/ManualApproval/*"}, "400 InternalServerError"),
        ({"identity": "*:user/*"}, "well"),
        ({"make": lambda _call, _identity: None}, "well"),
        ({"make": lambda call, _identity: AwsError("Made", call.parameters["Name"], 418)}, "418 Made"),
        ({"times": 0}, "well"),
    ],
)
def test_a_fault_strikes_whom_and_what_it_names(
    cloud: Cloud, ssm: Any, fault: dict[str, Any], expected: str
) -> None:
    cloud.faults.add(**fault)

    assert outcome(ssm) == expected


def test_a_connection_can_fail(cloud: Cloud, ssm: Any) -> None:
    cloud.faults.add(make=lambda _call, _identity: ReadTimeoutError(endpoint_url="https://ssm"), times=1)

    with pytest.raises(ReadTimeoutError):
        ssm.get_parameter(Name="/a")
    assert outcome(ssm) == "well"


def test_a_callable_sees_call_and_caller(cloud: Cloud, ssm: Any) -> None:
    seen: list[tuple[str, str, dict[str, Any]]] = []

    def look(call: Call, identity: str) -> None:
        seen.append((call.action, identity, call.parameters))

    cloud.faults.add(make=look)
    ssm.get_parameter(Name="/a")

    who = f"arn:aws:sts::{ACCOUNT}:assumed-role/ManualApproval/function"
    assert seen == [("ssm:GetParameter", who, {"Name": "/a"})]


@pytest.mark.parametrize("service", ["sns", "s3", "cloudwatch"])
def test_a_fault_speaks_the_protocol_of_its_service(cloud: Cloud, service: str) -> None:
    client = cloud.client(service, user="alice")
    cloud.faults.add(error="Throttling", message="Rate <exceeded>", status=429)

    with pytest.raises(ClientError) as caught:
        getattr(client, {"sns": "list_topics", "s3": "list_buckets", "cloudwatch": "list_metrics"}[service])()

    answered = caught.value.response
    assert (answered["Error"]["Code"], answered["Error"]["Message"]) == ("Throttling", "Rate <exceeded>")
    assert answered["ResponseMetadata"]["HTTPStatusCode"] == 429


def test_a_fault_can_be_taken_back(cloud: Cloud, ssm: Any) -> None:
    fault = cloud.faults.add()
    cloud.faults.remove(fault)

    assert outcome(ssm) == "well"


def test_a_reset_makes_everything_well(cloud: Cloud, ssm: Any) -> None:
    cloud.faults.add()
    cloud.reset()

    assert outcome(ssm) == "400 ParameterNotFound"


def test_a_call_can_take_effect_and_its_answer_be_lost(cloud: Cloud, ssm: Any) -> None:
    lost = ReadTimeoutError(endpoint_url="https://ssm")
    cloud.faults.add(action="ssm:*", after=True, make=lambda *_: lost, times=2)
    sns = cloud.client("sns", user="alice")
    cloud.faults.add(action="sns:CreateTopic", after=True, error="InternalServerError", status=500, times=1)

    with pytest.raises(ReadTimeoutError):
        ssm.put_parameter(Name="/a", Value="y", Overwrite=True)
    with pytest.raises(ReadTimeoutError):
        ssm.get_parameters(Names=["/a"])
    with pytest.raises(ClientError, match="InternalServerError"):
        sns.create_topic(Name="asks")

    assert ssm.get_parameter(Name="/a")["Parameter"]["Value"] == "y"
    assert len(sns.list_topics()["Topics"]) == 1


def test_what_was_refused_has_no_answer_to_lose(cloud: Cloud, ssm: Any) -> None:
    fault = cloud.faults.add(after=True, error="Lost")

    with pytest.raises(ClientError, match="ParameterNotFound"):
        ssm.get_parameter(Name="/none")
    assert fault.struck == 0


def test_of_two_faults_that_are_alike_the_one_named_is_taken_back(cloud: Cloud, ssm: Any) -> None:
    error = AwsError("ThrottlingException", "Rate exceeded")

    def throttle(_call: Call, _identity: str) -> AwsError:
        return error

    first, second = (cloud.faults.add(make=throttle) for _ in range(2))
    cloud.faults.remove(second)

    assert (outcome(ssm), first.struck) == ("400 ThrottlingException", 1)
    cloud.faults.remove(first)
    assert outcome(ssm) == "well"


def test_an_answer_can_break_off_after_the_call_took_effect(cloud: Cloud, ssm: Any) -> None:
    fault = cloud.faults.add(action="ssm:*", alter=cut_short, times=1)

    # botocore takes JSON that it can't read for an answer without members.
    assert "Version" not in ssm.put_parameter(Name="/a", Value="y", Overwrite=True)
    assert (ssm.get_parameter(Name="/a")["Parameter"]["Value"], fault.struck) == ("y", 1)


def test_an_answer_can_fall_short(cloud: Cloud, ssm: Any) -> None:
    for value in "yz":
        ssm.put_parameter(Name="/a", Value=value, Overwrite=True)
    cloud.faults.add(action="ssm:GetParameterHistory", alter=fall_short, times=1)

    seen = [[one["Value"] for one in ssm.get_parameter_history(Name="/a")["Parameters"]] for _ in range(2)]
    assert seen == [["x"], ["x", "y", "z"]]


@pytest.mark.parametrize(
    ("service", "operation", "arguments", "code"),
    [
        ("ssm", "get_parameter", {"Name": "/a"}, "ParameterNotFound"),
        ("s3", "get_object", {"Bucket": "a", "Key": "b"}, "NoSuchKey"),
        ("cloudwatch", "get_metric_data", {"MetricDataQueries": [], "StartTime": 0, "EndTime": 1}, None),
    ],
)
def test_what_is_not_there_is_said_in_the_words_of_the_service(
    cloud: Cloud, service: str, operation: str, arguments: dict[str, Any], code: str | None
) -> None:
    cloud.faults.add(make=lambda call, _identity: not_found(call))

    with pytest.raises(ClientError) as caught:
        getattr(cloud.client(service, user="alice"), operation)(**arguments)
    assert caught.value.response["Error"]["Code"] == (code or "ResourceNotFoundException")
