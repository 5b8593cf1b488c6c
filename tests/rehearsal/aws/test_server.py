import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError

from rehearsal.aws.cloud import Cloud
from rehearsal.aws.server import Server
from tests.rehearsal.aws.sample_deployments import ACCOUNT, REGION, START, add_deployment


@pytest.fixture
def server(cloud: Cloud) -> Iterator[Server]:
    with Server(cloud) as server:
        yield server


def remote(cloud: Cloud, server: Server, service: str, role: str = "ManualApproval") -> Any:
    config = Config(retries={"total_max_attempts": 1})
    return cloud.session(role=role).client(service, endpoint_url=server.url, config=config)  # type: ignore[call-overload]


def test_both_sides_see_one_aws(cloud: Cloud, server: Server) -> None:
    deployment = add_deployment(cloud)
    outside, inside = remote(cloud, server, "ssm"), cloud.client("ssm", user="alice")

    outside.put_parameter(Name="/a", Value="pending", Type="String")
    inside.put_parameter(Name="/a", Value="APPROVED", Overwrite=True)

    assert [
        version["LastModifiedUser"] for version in outside.get_parameter_history(Name="/a")["Parameters"]
    ] == [
        f"arn:aws:sts::{ACCOUNT}:assumed-role/ManualApproval/rehearsal",
        f"arn:aws:iam::{ACCOUNT}:user/alice",
    ]
    asked = {"serviceDeploymentArns": [str(deployment.arn)]}
    over_http = remote(cloud, server, "ecs").describe_service_deployments(**asked)
    in_process = cloud.client("ecs", user="alice").describe_service_deployments(**asked)
    assert over_http["serviceDeployments"] == in_process["serviceDeployments"] != []


def test_what_only_moto_has_is_served_too(cloud: Cloud, server: Server) -> None:
    s3, sns, sts = (remote(cloud, server, service) for service in ("s3", "sns", "sts"))

    s3.create_bucket(Bucket="records", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket="records", Key="a/b c.json", Body=b"{}")
    topic = sns.create_topic(Name="asks")["TopicArn"]

    assert (
        cloud.client("s3", user="alice").get_object(Bucket="records", Key="a/b c.json")["Body"].read()
        == b"{}"
    )
    assert [found["TopicArn"] for found in cloud.client("sns", user="alice").list_topics()["Topics"]] == [
        topic
    ]
    assert sts.get_caller_identity()["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/ManualApproval/rehearsal"


def test_iam_is_enforced_over_http(cloud: Cloud, server: Server) -> None:
    with (
        cloud.enforcing_iam(),
        pytest.raises(ClientError, match="is not authorized to perform: ssm:GetParameter on"),
    ):
        remote(cloud, server, "ssm").get_parameter(Name="/a")


def test_faults_strike_over_http(cloud: Cloud, server: Server) -> None:
    ssm = remote(cloud, server, "ssm")
    cloud.faults.add(error="ThrottlingException", times=1)
    cloud.faults.add(make=lambda _call, _identity: OSError("the cable"), times=1)

    with pytest.raises(ClientError, match="ThrottlingException"):
        ssm.get_parameter(Name="/a")
    with pytest.raises(ConnectionClosedError):
        ssm.get_parameter(Name="/a")
    with pytest.raises(ClientError, match="ParameterNotFound"):
        ssm.get_parameter(Name="/a")


def test_answers_are_lost_over_http_too(cloud: Cloud, server: Server) -> None:
    ssm, sns = (remote(cloud, server, service) for service in ("ssm", "sns"))
    cloud.faults.add(action="*:Put*", after=True, make=lambda *_: OSError("the cable"), times=1)
    cloud.faults.add(action="sns:*", after=True, make=lambda *_: OSError("the cable"), times=1)
    cloud.faults.add(action="sns:*", after=True, error="Throttling", times=1)

    with pytest.raises(ConnectionClosedError):
        ssm.put_parameter(Name="/a", Value="x", Type="String")
    with pytest.raises(ConnectionClosedError):
        sns.create_topic(Name="asks")
    with pytest.raises(ClientError, match="Throttling"):
        sns.create_topic(Name="answers")

    assert ssm.get_parameter(Name="/a")["Parameter"]["Value"] == "x"
    assert len(sns.list_topics()["Topics"]) == 2


def test_a_defect_is_an_internal_failure_over_http() -> None:
    with Cloud(region=REGION) as cloud, Server(cloud) as server:
        deployment = add_deployment(cloud, lifecycle_stage="SHIFTING")

        with pytest.raises(ClientError, match=r"InternalFailure.*would answer what ECS can't"):
            remote(cloud, server, "ecs").describe_service_deployments(
                serviceDeploymentArns=[str(deployment.arn)]
            )
        assert len(cloud.defects) == 1


def test_metrics_are_served(cloud: Cloud, server: Server) -> None:
    cloudwatch = remote(cloud, server, "cloudwatch")
    cloudwatch.put_metric_data(
        Namespace="N", MetricData=[{"MetricName": "m", "Value": 3, "Timestamp": START}]
    )

    answer = cloudwatch.get_metric_statistics(
        Namespace="N",
        MetricName="m",
        StartTime=START,
        EndTime=START.replace(minute=1),
        Period=60,
        ExtendedStatistics=["p50"],
    )

    assert answer["Datapoints"] == [{"Timestamp": START, "Unit": "None", "ExtendedStatistics": {"p50": 3.0}}]


def test_answers_are_dated_by_the_clock_that_was_travelled_to(cloud: Cloud, server: Server) -> None:
    ssm, sns = (remote(cloud, server, service) for service in ("ssm", "sns"))

    with time_machine.travel(START, tick=False):
        answers = [
            ssm.put_parameter(Name="/a", Value="x", Type="String"),
            sns.create_topic(Name="asks"),
        ]

    dates = [answer["ResponseMetadata"]["HTTPHeaders"]["date"] for answer in answers]
    assert dates == ["Thu, 05 Mar 2026 12:00:00 GMT"] * 2


def test_requests_at_the_same_time_are_answered(cloud: Cloud, server: Server) -> None:
    def write(number: int) -> None:
        remote(cloud, server, "ssm").put_parameter(Name=f"/p{number}", Value="x", Type="String")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    names = [found["Name"] for found in cloud.client("ssm", user="alice").describe_parameters()["Parameters"]]
    assert sorted(names) == [f"/p{number}" for number in range(8)]


def test_the_port_is_free_after_the_stop(cloud: Cloud) -> None:
    with Server(cloud) as server:
        port = server.port
    with Server(cloud, port=port) as again:
        assert again.url == f"http://127.0.0.1:{port}"
        with pytest.raises(OSError, match="Address already in use"), Server(cloud, port=port):
            pass


def test_another_address_can_be_bound(cloud: Cloud) -> None:
    with (
        Server(cloud, host="0.0.0.0") as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=5),
    ):
        assert server.url == f"http://127.0.0.1:{server.port}"


def test_a_server_that_is_not_running_has_no_address(cloud: Cloud) -> None:
    with pytest.raises(RuntimeError, match="not running"):
        _ = Server(cloud).url


def test_nothing_is_printed(cloud: Cloud, server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    cloud.faults.add(make=lambda _call, _identity: OSError("the cable"), times=1)
    for _ in range(2):
        with pytest.raises((ClientError, ConnectionClosedError)):
            remote(cloud, server, "ssm").get_parameter(Name="/a")

    assert capfd.readouterr() == ("", "")
