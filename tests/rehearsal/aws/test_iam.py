from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from rehearsal.aws.cloud import Cloud
from rehearsal.aws.door import RecordedCall
from rehearsal.aws.identities import ALLOW_ALL
from tests.rehearsal.aws.sample_deployments import ACCOUNT, REGION, START, add_deployment, deployment_arn

ROLE = "ManualApproval"
WHO = f"arn:aws:sts::{ACCOUNT}:assumed-role/{ROLE}/rehearsal"
SSM = f"arn:aws:ssm:{REGION}:{ACCOUNT}"
ECS = f"arn:aws:ecs:{REGION}:{ACCOUNT}"


def policy(action: str | list[str], resource: str | list[str]) -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": action, "Resource": resource}],
    }


def answer_of(call: Callable[[], object]) -> str:
    """Return ``"allowed"`` when IAM let the call through, else the text of the denial."""
    try:
        call()
    except ClientError as error:
        if "not authorized" in error.response["Error"]["Message"]:
            return error.response["Error"]["Message"]
    return "allowed"


QUEUE = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/orders"
SQS = f"arn:aws:sqs:{REGION}:{ACCOUNT}"
METRIC: dict[str, Any] = {"Namespace": "Shop", "MetricName": "Errors"}
CALLS: list[tuple[str, str, dict[str, Any], str, list[str]]] = [
    ("ssm", "get_parameter", {"Name": "/a/b:3"}, "ssm:GetParameter", [f"{SSM}:parameter/a/b"]),
    ("ssm", "get_parameter", {"Name": f"{SSM}:parameter/a/b"}, "ssm:GetParameter", [f"{SSM}:parameter/a/b"]),
    (
        "ssm",
        "get_parameters",
        {"Names": ["/a", "b"]},
        "ssm:GetParameters",
        [f"{SSM}:parameter/a", f"{SSM}:parameter/b"],
    ),
    ("ssm", "get_parameters_by_path", {"Path": "/a/"}, "ssm:GetParametersByPath", [f"{SSM}:parameter/a/"]),
    ("ssm", "get_parameter_history", {"Name": "/a"}, "ssm:GetParameterHistory", [f"{SSM}:parameter/a"]),
    (
        "ssm",
        "put_parameter",
        {"Name": "/a", "Value": "x", "Type": "String"},
        "ssm:PutParameter",
        [f"{SSM}:parameter/a"],
    ),
    ("ssm", "delete_parameter", {"Name": "/a"}, "ssm:DeleteParameter", [f"{SSM}:parameter/a"]),
    ("ssm", "delete_parameters", {"Names": ["/a"]}, "ssm:DeleteParameters", [f"{SSM}:parameter/a"]),
    ("ssm", "describe_parameters", {}, "ssm:DescribeParameters", [f"{SSM}:*"]),
    (
        "ssm",
        "add_tags_to_resource",
        {"ResourceType": "Parameter", "ResourceId": "/a", "Tags": [{"Key": "k", "Value": "v"}]},
        "ssm:AddTagsToResource",
        [f"{SSM}:parameter/a"],
    ),
    (
        "ecs",
        "describe_service_deployments",
        {"serviceDeploymentArns": [str(deployment_arn("one")), str(deployment_arn("two"))]},
        "ecs:DescribeServiceDeployments",
        [str(deployment_arn("one")), str(deployment_arn("two"))],
    ),
    (
        "ecs",
        "describe_service_revisions",
        {"serviceRevisionArns": [f"{ECS}:service-revision/shop/web/1"]},
        "ecs:DescribeServiceRevisions",
        [f"{ECS}:service-revision/shop/web/1"],
    ),
    (
        "ecs",
        "list_service_deployments",
        {"cluster": f"{ECS}:cluster/shop", "service": "web"},
        "ecs:ListServiceDeployments",
        [f"{ECS}:service/shop/web"],
    ),
    (
        "ecs",
        "stop_service_deployment",
        {"serviceDeploymentArn": str(deployment_arn("one"))},
        "ecs:StopServiceDeployment",
        [str(deployment_arn("one"))],
    ),
    ("ecs", "describe_task_definition", {"taskDefinition": "web:7"}, "ecs:DescribeTaskDefinition", ["*"]),
    (
        "ecs",
        "describe_services",
        {"services": ["web"]},
        "ecs:DescribeServices",
        [f"{ECS}:service/default/web"],
    ),
    (
        "ecs",
        "describe_tasks",
        {"cluster": "shop", "tasks": ["t1"]},
        "ecs:DescribeTasks",
        [f"{ECS}:task/shop/t1"],
    ),
    (
        "ecs",
        "list_tasks",
        {"cluster": "shop", "startedBy": "ecs-svc/1"},
        "ecs:ListTasks",
        [f"{ECS}:container-instance/shop/*"],
    ),
    (
        "ecs",
        "get_task_protection",
        {"cluster": f"{ECS}:cluster/shop", "tasks": ["t1", f"{ECS}:task/shop/t2"]},
        "ecs:GetTaskProtection",
        [f"{ECS}:task/shop/t1", f"{ECS}:task/shop/t2"],
    ),
    (
        "ecs",
        "update_task_protection",
        {"cluster": "shop", "tasks": ["t1"], "protectionEnabled": True},
        "ecs:UpdateTaskProtection",
        [f"{ECS}:task/shop/t1"],
    ),
    (
        "sns",
        "publish",
        {"TopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:asks", "Message": "x"},
        "sns:Publish",
        [f"arn:aws:sns:{REGION}:{ACCOUNT}:asks"],
    ),
    (
        "sqs",
        "send_message",
        {"QueueUrl": QUEUE, "MessageBody": "x"},
        "sqs:SendMessage",
        [f"{SQS}:orders"],
    ),
    (
        "sqs",
        "send_message_batch",
        {"QueueUrl": QUEUE, "Entries": [{"Id": "1", "MessageBody": "x"}]},
        "sqs:SendMessage",
        [f"{SQS}:orders"],
    ),
    ("sqs", "receive_message", {"QueueUrl": QUEUE}, "sqs:ReceiveMessage", [f"{SQS}:orders"]),
    (
        "sqs",
        "delete_message_batch",
        {"QueueUrl": QUEUE, "Entries": [{"Id": "1", "ReceiptHandle": "x"}]},
        "sqs:DeleteMessage",
        [f"{SQS}:orders"],
    ),
    (
        "sqs",
        "change_message_visibility_batch",
        {"QueueUrl": QUEUE, "Entries": [{"Id": "1", "ReceiptHandle": "x", "VisibilityTimeout": 1}]},
        "sqs:ChangeMessageVisibility",
        [f"{SQS}:orders"],
    ),
    ("sqs", "get_queue_attributes", {"QueueUrl": "orders"}, "sqs:GetQueueAttributes", [f"{SQS}:orders"]),
    ("sqs", "get_queue_url", {"QueueName": "orders"}, "sqs:GetQueueUrl", [f"{SQS}:orders"]),
    (
        "sqs",
        "purge_queue",
        {"QueueUrl": QUEUE.replace(ACCOUNT, "210987654321")},
        "sqs:PurgeQueue",
        [f"arn:aws:sqs:{REGION}:210987654321:orders"],
    ),
    (
        "s3",
        "get_object",
        {"Bucket": "records", "Key": "a/b c.json"},
        "s3:GetObject",
        ["arn:aws:s3:::records/a/b c.json"],
    ),
    ("s3", "head_object", {"Bucket": "records", "Key": "a"}, "s3:GetObject", ["arn:aws:s3:::records/a"]),
    (
        "s3",
        "put_object",
        {"Bucket": "records", "Key": "a", "Body": b"x"},
        "s3:PutObject",
        ["arn:aws:s3:::records/a"],
    ),
    (
        "s3",
        "list_objects_v2",
        {"Bucket": "records", "Prefix": "a/"},
        "s3:ListBucket",
        ["arn:aws:s3:::records"],
    ),
    (
        "cloudwatch",
        "get_metric_statistics",
        {
            **METRIC,
            "StartTime": START,
            "EndTime": START.replace(hour=13),
            "Period": 60,
            "Statistics": ["Sum"],
        },
        "cloudwatch:GetMetricStatistics",
        ["*"],
    ),
    (
        "cloudwatch",
        "describe_alarms",
        {"AlarmNames": ["errors"]},
        "cloudwatch:DescribeAlarms",
        [f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:errors"],
    ),
    (
        "logs",
        "create_log_stream",
        {"logGroupName": "g", "logStreamName": "s"},
        "logs:CreateLogStream",
        [f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:g:log-stream:s"],
    ),
    (
        "elbv2",
        "describe_rules",
        {"RuleArns": [f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:listener-rule/app/shop/1/2/3"]},
        "elasticloadbalancing:DescribeRules",
        ["*"],
    ),
    (
        "s3",
        "list_objects_v2",
        {"Bucket": "runs", "Prefix": "runs/", "StartAfter": "runs/a", "MaxKeys": 3, "FetchOwner": True},
        "s3:ListBucket",
        ["arn:aws:s3:::runs"],
    ),
    (
        "secretsmanager",
        "get_secret_value",
        {"SecretId": "there/is/none"},
        "secretsmanager:GetSecretValue",
        [f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:there/is/none"],
    ),
    (
        "sts",
        "assume_role",
        {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/other", "RoleSessionName": "other"},
        "sts:AssumeRole",
        [f"arn:aws:iam::{ACCOUNT}:role/other"],
    ),
]


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "action", "resources"),
    CALLS,
    ids=[f"{call[0]}-{call[1]}" for call in CALLS],
)
def test_a_call_is_checked_on_exactly_its_resources(
    cloud: Cloud, service: str, operation: str, parameters: dict[str, Any], action: str, resources: list[str]
) -> None:
    client = cloud.client(service, role=ROLE)

    def call() -> object:
        return getattr(client, operation)(**parameters)

    with cloud.enforcing_iam():
        cloud.role(ROLE, [policy(action, resources)])
        assert answer_of(call) == "allowed"
        for missing in resources:
            others = [resource for resource in resources if resource != missing]
            cloud.role(
                ROLE, [policy(action, [*others, f"{missing}-other" if missing != "*" else "arn:aws:x"])]
            )
            assert answer_of(call) == (
                f"User: {WHO} is not authorized to perform: {action} on resource: {missing} "
                f"because no identity-based policy allows the {action} action"
            )


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "code", "status"),
    [
        ("ssm", "get_parameter", {"Name": "/a"}, "AccessDeniedException", 400),
        (
            "sns",
            "publish",
            {"TopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:t", "Message": "x"},
            "AuthorizationError",
            403,
        ),
        ("s3", "get_object", {"Bucket": "records", "Key": "a"}, "AccessDenied", 403),
        ("cloudwatch", "put_metric_data", {"Namespace": "N", "MetricData": []}, "AccessDenied", 403),
    ],
)
def test_each_service_denies_in_its_own_words(
    cloud: Cloud, service: str, operation: str, parameters: dict[str, Any], code: str, status: int
) -> None:
    client = cloud.client(service, role=ROLE)

    with cloud.enforcing_iam(), pytest.raises(ClientError) as caught:
        getattr(client, operation)(**parameters)

    answered = caught.value.response
    assert (answered["Error"]["Code"], answered["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)


@pytest.mark.parametrize("called", ["name", "whole ARN", "ARN without its end"])
def test_a_secret_is_checked_by_the_arn_it_was_given_however_it_is_called(cloud: Cloud, called: str) -> None:
    admin = cloud.client("secretsmanager", user="admin")
    arn = admin.create_secret(Name="load/token", SecretString="secret")["ARN"]
    names = {"name": "load/token", "whole ARN": arn, "ARN without its end": arn[:-7]}
    client = cloud.client("secretsmanager", role=ROLE)

    def call() -> object:
        return client.get_secret_value(SecretId=names[called])

    answers = []
    with cloud.enforcing_iam():
        for resource in (arn, f"{arn[:-7]}-??????", arn[:-7], f"{arn[:-1]}-"):
            cloud.role(ROLE, [policy("secretsmanager:GetSecretValue", resource)])
            answers.append(answer_of(call) == "allowed")

    assert answers == [True, True, False, False]


def test_metrics_can_be_limited_to_a_namespace(cloud: Cloud) -> None:
    limited = policy("cloudwatch:PutMetricData", "*")
    limited["Statement"][0]["Condition"] = {"StringEquals": {"cloudwatch:namespace": "Hooks"}}
    client = cloud.client("cloudwatch", role=ROLE, policies=[limited])
    data = [{"MetricName": "Refusals", "Value": 1}]

    with cloud.enforcing_iam():
        assert answer_of(lambda: client.put_metric_data(Namespace="Hooks", MetricData=data)) == "allowed"
        assert answer_of(lambda: client.put_metric_data(Namespace="Other", MetricData=data)) != "allowed"


def test_deployments_can_be_limited_to_a_cluster(cloud: Cloud) -> None:
    limited = policy("ecs:DescribeServiceDeployments", "*")
    limited["Statement"][0]["Condition"] = {"ArnEquals": {"ecs:cluster": f"{ECS}:cluster/shop"}}
    client = cloud.client("ecs", role=ROLE, policies=[limited])
    foreign = str(deployment_arn("one")).replace("/shop/", "/bank/")

    with cloud.enforcing_iam():
        arns = [str(deployment_arn("one"))]
        assert answer_of(lambda: client.describe_service_deployments(serviceDeploymentArns=arns)) == "allowed"
        assert (
            answer_of(lambda: client.describe_service_deployments(serviceDeploymentArns=[foreign]))
            != "allowed"
        )


def test_tasks_can_be_limited_to_a_cluster(cloud: Cloud) -> None:
    limited = policy(["ecs:ListTasks", "ecs:GetTaskProtection"], "*")
    limited["Statement"][0]["Condition"] = {"ArnEquals": {"ecs:cluster": f"{ECS}:cluster/shop"}}
    client = cloud.client("ecs", role=ROLE, policies=[limited])

    with cloud.enforcing_iam():
        for cluster, is_allowed in (("shop", True), (f"{ECS}:cluster/shop", True), ("bank", False)):
            answers = [
                answer_of(lambda cluster=cluster: client.list_tasks(cluster=cluster)),
                answer_of(lambda cluster=cluster: client.get_task_protection(cluster=cluster, tasks=["t"])),
            ]
            assert [answer == "allowed" for answer in answers] == [is_allowed] * 2


def test_policies_of_users_groups_and_attachments_count(cloud: Cloud) -> None:
    iam = cloud.client("iam", user="admin")
    ssm = cloud.client("ssm", user="alice")
    iam.create_group(GroupName="approvers")
    iam.add_user_to_group(GroupName="approvers", UserName="alice")
    import json

    attached = iam.create_policy(
        PolicyName="read", PolicyDocument=json.dumps(policy("ssm:GetParameter", "*"))
    )
    iam.attach_group_policy(GroupName="approvers", PolicyArn=attached["Policy"]["Arn"])

    with cloud.enforcing_iam():
        assert answer_of(lambda: ssm.get_parameter(Name="/a")) == "allowed"
        assert answer_of(lambda: ssm.delete_parameter(Name="/a")) != "allowed"


def test_a_key_nobody_has_is_refused(cloud: Cloud) -> None:
    import boto3

    stranger = boto3.Session("AKIAAAAAAAAAAAAAAAAA", "secret", region_name=REGION).client("ssm")

    with cloud.enforcing_iam(), pytest.raises(ClientError) as caught:
        stranger.get_parameter(Name="/a")

    assert caught.value.response["Error"] == {
        "Code": "UnrecognizedClientException",
        "Message": "The security token included in the request is invalid.",
    }


def test_asking_who_one_is_is_never_denied(cloud: Cloud) -> None:
    with cloud.enforcing_iam():
        assert cloud.client("sts", role=ROLE).get_caller_identity()["Arn"] == WHO


def test_nothing_is_checked_outside_the_block(cloud: Cloud) -> None:
    client = cloud.client("ssm", role=ROLE)

    with cloud.enforcing_iam():
        assert answer_of(lambda: client.get_parameter(Name="/a")) != "allowed"
    assert answer_of(lambda: client.get_parameter(Name="/a")) == "allowed"


def test_calls_are_recorded_with_what_iam_said(cloud: Cloud) -> None:
    deployment = add_deployment(cloud)
    ecs = cloud.client("ecs", role=ROLE, policies=[policy("ecs:Describe*", "*")])
    ssm = cloud.client("ssm", role=ROLE)
    admin = cloud.client("ssm", user="admin", policies=[ALLOW_ALL])

    with cloud.enforcing_iam(), cloud.recording() as calls:
        ecs.describe_service_deployments(serviceDeploymentArns=[str(deployment.arn)])
        answer_of(lambda: ssm.get_parameter(Name="/a"))
        admin.put_parameter(Name="/a", Value="x", Type="String")
    admin.get_parameter(Name="/a")

    assert calls == [
        RecordedCall(WHO, "ecs:DescribeServiceDeployments", str(deployment.arn), allowed=True),
        RecordedCall(WHO, "ssm:GetParameter", f"{SSM}:parameter/a", allowed=False),
        RecordedCall(
            f"arn:aws:iam::{ACCOUNT}:user/admin", "ssm:PutParameter", f"{SSM}:parameter/a", allowed=True
        ),
    ]
