import gc
import os
from collections.abc import Callable
from typing import Any

import boto3
import pytest
import time_machine
from botocore.exceptions import ClientError
from moto.core.model_instances import model_data

from rehearsal.aws.cloud import Cloud
from tests.rehearsal.aws.sample_deployments import ACCOUNT, REGION, START, add_deployment


def scenario(cloud: Cloud) -> list[Any]:
    """Do a little of everything that has an id or a time in its answer."""
    cloud.role("ManualApproval")
    sns = cloud.client("sns", user="operator")
    topic = sns.create_topic(Name="asks")["TopicArn"]
    ssm = cloud.client("ssm", role="ManualApproval", session="function")
    ssm.put_parameter(Name="/a", Value="pending", Type="String")
    return [
        sns.publish(TopicArn=topic, Message="decide")["MessageId"],
        ssm.get_parameter_history(Name="/a"),
        cloud.client("iam", user="operator").get_role(RoleName="ManualApproval")["Role"]["RoleId"],
        cloud.client("sqs", user="operator").create_queue(QueueName="orders")["ResponseMetadata"][
            "RequestId"
        ],
    ]


def test_equal_seeds_give_equal_answers(cloud: Cloud) -> None:
    runs = []
    for seed in (7, 7, 8):
        with time_machine.travel(START, tick=False):
            cloud.reset(seed=seed)
            runs.append(scenario(cloud))

    assert runs[0] == runs[1]
    assert runs[0][0] != runs[2][0]


def test_a_reset_forgets_everything(cloud: Cloud) -> None:
    scenario(cloud)
    add_deployment(cloud)
    cloud.client("s3", user="operator").create_bucket(
        Bucket="records", CreateBucketConfiguration={"LocationConstraint": REGION}
    )

    cloud.reset()

    operator = {
        service: cloud.client(service, user="operator") for service in ("ssm", "sns", "sqs", "s3", "iam")
    }
    assert operator["ssm"].describe_parameters()["Parameters"] == []
    assert operator["sns"].list_topics()["Topics"] == []
    assert "QueueUrls" not in operator["sqs"].list_queues()
    assert operator["s3"].list_buckets()["Buckets"] == []
    assert [user["UserName"] for user in operator["iam"].list_users()["Users"]] == ["operator"]
    assert cloud.control_plane.deployments == {}


def test_a_client_made_before_a_reset_is_the_same_identity_after_it(cloud: Cloud) -> None:
    ssm = cloud.session(role="ManualApproval", session="function").client("ssm")
    cloud.reset(seed=2)
    cloud.identity(role="ManualApproval", session="function")

    ssm.put_parameter(Name="/a", Value="x", Type="String")

    [version] = ssm.get_parameter_history(Name="/a")["Parameters"]
    assert version["LastModifiedUser"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/ManualApproval/function"


@pytest.mark.thorough
def test_many_runs_keep_nothing(cloud: Cloud) -> None:
    def objects() -> int:
        gc.collect()
        return len(gc.get_objects())

    def tracked() -> int:
        models: list[Any] = [model for service in model_data.values() for model in service.values()]
        return sum(len(model.instances_tracked) for model in models)

    for seed in range(3):
        cloud.reset(seed=seed)
        scenario(cloud)
    cloud.reset()
    before = objects()
    for seed in range(30):
        cloud.reset(seed=seed)
        scenario(cloud)
    cloud.reset()

    # A leak of one object a run would show; what Python itself interns on the way does not grow with runs.
    assert objects() - before < 30
    assert tracked() == 0


def test_credentials_are_what_lambda_gives_a_function(cloud: Cloud) -> None:
    given = cloud.credentials("ManualApproval", "function")

    assert set(given) == {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
    }
    assert given["AWS_REGION"] == REGION
    assert given == cloud.credentials("ManualApproval", "function")
    assert given["AWS_ACCESS_KEY_ID"] != cloud.credentials("ImageTrust", "function")["AWS_ACCESS_KEY_ID"]


def test_code_that_signs_with_the_environment_acts_as_a_role(cloud: Cloud) -> None:
    before = dict(os.environ)

    with cloud.acting_as("ManualApproval", "function") as who:
        assert boto3.client("sts").get_caller_identity()["Arn"] == who
        assert boto3.session.Session().client("sts").get_caller_identity()["Arn"] == who
    assert dict(os.environ) == before


def test_an_identity_is_one_thing(cloud: Cloud) -> None:
    wrongs: list[dict[str, Any]] = [{}, {"role": "a", "user": "b"}]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="either a role's session or a user"):
            cloud.identity(**wrong)


def test_every_answer_is_dated_by_the_clock_that_was_travelled_to(cloud: Cloud) -> None:
    ssm, sns, s3 = (cloud.client(service, user="operator") for service in ("ssm", "sns", "s3"))
    dates = []

    def note(call: Callable[[], Any]) -> None:
        try:
            answer = call()
        except ClientError as error:
            answer = error.response
        dates.append(answer["ResponseMetadata"]["HTTPHeaders"]["date"])

    with time_machine.travel(START, tick=False):
        cloud.faults.add(action="ssm:DeleteParameter")
        note(lambda: ssm.put_parameter(Name="/a", Value="x", Type="String"))
        note(lambda: ssm.get_parameter(Name="/none"))
        note(lambda: ssm.delete_parameter(Name="/a"))
        note(lambda: sns.create_topic(Name="asks"))
        note(lambda: sns.publish(TopicArn="arn:aws:sns:eu-west-1:123456789012:none", Message="x"))
        note(s3.list_buckets)
        note(lambda: s3.get_object(Bucket="none", Key="x"))

    assert dates == ["Thu, 05 Mar 2026 12:00:00 GMT"] * 7


def test_nothing_is_left_behind() -> None:
    before = dict(os.environ)
    with Cloud(region=REGION) as cloud:
        ssm = cloud.client("ssm", user="alice")
        ssm.put_parameter(Name="/a", Value="x", Type="String")
    with Cloud(region=REGION) as cloud:
        ssm = cloud.client("ssm", user="alice")
        with pytest.raises(ClientError, match="ParameterNotFound"):
            ssm.get_parameter(Name="/a")
    assert dict(os.environ) == before


def test_a_message_to_a_topic_arrives_in_its_queue(cloud: Cloud) -> None:
    sns, sqs = (cloud.client(service, user="operator") for service in ("sns", "sqs"))
    topic = sns.create_topic(Name="asks")["TopicArn"]
    queue = sqs.create_queue(QueueName="asks")["QueueUrl"]
    sns.subscribe(
        TopicArn=topic,
        Protocol="sqs",
        Endpoint=f"arn:aws:sqs:{REGION}:{ACCOUNT}:asks",
        Attributes={"RawMessageDelivery": "true"},
    )

    sns.publish(TopicArn=topic, Message="decide")

    assert [message["Body"] for message in sqs.receive_message(QueueUrl=queue)["Messages"]] == ["decide"]
