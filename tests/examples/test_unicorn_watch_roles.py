"""Who may do what in the reference system: every role and policy of it, whole.

Sources: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html for the condition of
a task role's trust, and AmazonECSInfrastructureRolePolicyForLoadBalancers.html beside it.
"""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import pytest

from rehearsal.lambda_functions import as_list
from tests.examples.unicorn_watch_stack import (
    ACCOUNT,
    BALANCED,
    CONSUMERS,
    REGION,
    SERVICES,
    STACKS,
    balancer,
    found,
    less,
    of_the_hooks,
    properties,
    resource,
    resources,
    service,
    task,
    whole,
)

ROLE = "AWS::IAM::Role"
MANAGED = "arn:aws:iam::aws:policy"
ECS = f"arn:aws:ecs:{REGION}:{ACCOUNT}"


def trusted_by(principal: str, **condition: Any) -> dict[str, Any]:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": principal},
        "Action": "sts:AssumeRole",
        **condition,
    }
    return {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [statement]}}


# For tasks of this account alone, whoever made ECS ask.
BY_TASKS = trusted_by("ecs-tasks.amazonaws.com", Condition={"StringEquals": {"aws:SourceAccount": ACCOUNT}})
BY_ECS = trusted_by("ecs.amazonaws.com")
EXECUTES = {**BY_TASKS, "ManagedPolicyArns": [f"{MANAGED}/service-role/AmazonECSTaskExecutionRolePolicy"]}


def allow(action: str | list[str], resource: str | list[str], **condition: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **condition}


def passed_to(principal: str) -> dict[str, Any]:
    return {"StringEquals": {"iam:PassedToService": principal}}


def test_every_role_is_trusted_by_one_service_and_may_do_no_more_than_this() -> None:
    worker = [
        # It reads who may receive, and can't write it.
        allow(
            "ssm:GetParameter",
            f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{CONSUMERS}/unicorn-watch/notifications/consumers",
        ),
        allow(
            ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"],
            resource("Notifications.Queue").arn,
        ),
        allow(
            ["ecs:DescribeTasks", "ecs:GetTaskProtection", "ecs:UpdateTaskProtection"],
            f"{ECS}:task/unicorn-watch/*",
        ),
    ]

    assert {name: one.properties for name, one in resources(ROLE).items()} == {
        "Foundation.ExecutionRole": EXECUTES,
        "Foundation.LoadBalancerRole": {
            **BY_ECS,
            "ManagedPolicyArns": [f"{MANAGED}/AmazonECSInfrastructureRolePolicyForLoadBalancers"],
        },
        # These applications call nothing of AWS.
        "Ui.TaskRole": BY_TASKS,
        "Catalog.TaskRole": BY_TASKS,
        "Streaming.TaskRole": BY_TASKS,
        "Notifications.TaskRole": {
            **BY_TASKS,
            "Policies": [
                {
                    "PolicyName": "notifications",
                    "PolicyDocument": {"Version": "2012-10-17", "Statement": worker},
                }
            ],
        },
        "LoadGenerator.TaskRole": {
            **BY_TASKS,
            "ManagedPolicyArns": [of_the_hooks("LoadGeneratorPolicy").ref],
        },
        "LoadGenerator.ExecutionRole": EXECUTES,
    }


def test_no_policy_is_attached_to_them_from_elsewhere() -> None:
    others = {name for name, one in resources().items() if one.type.startswith("AWS::IAM::")}
    granted = {name: whole().statements_of(role) for name, role in resources(ROLE).items()}
    [worker] = properties("Notifications.TaskRole")["Policies"]
    generator = of_the_hooks("LoadGeneratorPolicy").properties

    assert others - granted.keys() == {"UnicornWatch.DeploymentPolicy"}
    assert {name: statements for name, statements in granted.items() if statements} == {
        "Notifications.TaskRole": worker["PolicyDocument"]["Statement"],
        "LoadGenerator.TaskRole": generator["PolicyDocument"]["Statement"],
    }


def test_whoever_deploys_may_change_the_services_and_answer_no_hook() -> None:
    for_tasks = [
        resource("Foundation.ExecutionRole").arn,
        *(resource(f"{STACKS[name]}.TaskRole").arn for name in SERVICES),
    ]
    for_ecs = [resource("Foundation.LoadBalancerRole").arn, of_the_hooks("HookInvocationRole").arn]
    statements = [
        allow(
            ["ecs:UpdateService", "ecs:DescribeServices", "ecs:ListServiceDeployments"],
            f"{ECS}:service/unicorn-watch/*",
        ),
        allow(
            ["ecs:DescribeServiceDeployments", "ecs:StopServiceDeployment"],
            f"{ECS}:service-deployment/unicorn-watch/*",
        ),
        allow("ecs:DescribeTaskDefinition", "*"),
        allow("ecs:RegisterTaskDefinition", [f"{ECS}:task-definition/{name}:*" for name in SERVICES]),
        allow("iam:PassRole", for_tasks, Condition=passed_to("ecs-tasks.amazonaws.com")),
        allow("iam:PassRole", for_ecs, Condition=passed_to("ecs.amazonaws.com")),
    ]

    assert less(properties("UnicornWatch.DeploymentPolicy"), "Description") == {
        "PolicyDocument": {"Version": "2012-10-17", "Statement": statements}
    }


def test_the_roles_that_it_may_pass_on_are_those_that_services_and_tasks_take_and_no_others() -> None:
    passed: dict[str, set[str]] = {"ecs-tasks.amazonaws.com": set(), "ecs.amazonaws.com": set()}
    for name in SERVICES:
        passed["ecs-tasks.amazonaws.com"] |= {task(name)["TaskRoleArn"], task(name)["ExecutionRoleArn"]}
        passed["ecs.amazonaws.com"] |= {str(one.entry["RoleArn"]) for one in service(name).hooks}
        if name in BALANCED:
            passed["ecs.amazonaws.com"].add(balancer(name)["RoleArn"])
    statements = properties("UnicornWatch.DeploymentPolicy")["PolicyDocument"]["Statement"]

    assert {
        statement["Condition"]["StringEquals"]["iam:PassedToService"]: set(statement["Resource"])
        for statement in statements
        if statement["Action"] == "iam:PassRole"
    } == passed


@pytest.mark.parametrize("name", SERVICES)
def test_ecs_can_assume_the_hooks_role_and_invoke_with_it_what_is_attached(name: str) -> None:
    for one in service(name).hooks:
        role = found(one.entry["RoleArn"], ROLE)
        [trust] = role.properties["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Principal"] == {"Service": "ecs.amazonaws.com"}
        assert allowed(whole().statements_of(role), "lambda:InvokeFunction", str(one.target))


@pytest.mark.parametrize("name", BALANCED)
def test_ecs_changes_listeners_with_the_role_that_aws_made_for_it(name: str) -> None:
    assert balancer(name)["RoleArn"] == resource("Foundation.LoadBalancerRole").arn
    assert "Role" not in service(name).properties


def allowed(statements: list[dict[str, Any]], action: str, resource: str) -> bool:
    def texts(value: object) -> Iterator[str]:
        yield from (str(one) for one in as_list(value))

    return any(
        statement["Effect"] == "Allow"
        and any(fnmatchcase(action, pattern) for pattern in texts(statement["Action"]))
        and any(fnmatchcase(resource, pattern) for pattern in texts(statement["Resource"]))
        for statement in statements
    )
