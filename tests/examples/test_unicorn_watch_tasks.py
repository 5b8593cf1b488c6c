"""What the reference system's services run, with what, and how long it may take to end.

Sources of the rules: docs/ecs-contract.md, docs/consumer-activation.md, examples/unicorn_watch/app/README.md.
"""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from activation_gate.sqs import DEFAULT_STOP_TIMEOUT_SECONDS

from hooks.consumer_activation.settings import ConsumerSettings
from tests.examples.unicorn_watch_stack import (
    BALANCED,
    CONSUMERS,
    IMAGES,
    REGION,
    SERVICES,
    STACKS,
    balancer,
    container,
    hook,
    less,
    resource,
    service,
    task,
    variables,
)

# stopTimeout on Fargate, https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html
MAX_STOP_TIMEOUT_SECONDS = 120

EVERYWHERE = {
    "Essential": True,
    "ReadonlyRootFilesystem": True,
    "LinuxParameters": {"InitProcessEnabled": True},
}


@pytest.mark.parametrize("name", STACKS)
def test_services_run_on_fargate_in_the_cluster_that_is_made_for_them_and_let_nobody_in(name: str) -> None:
    looked_at_elsewhere = (
        *("TaskDefinition", "DeploymentConfiguration", "NetworkConfiguration"),
        *("LoadBalancers", "ServiceConnectConfiguration"),
    )
    # Without EnableExecuteCommand it is off.
    own: dict[str, Any] = {"DesiredCount": 2}
    if name == "load-generator":
        own = {"DesiredCount": 1, "EnableExecuteCommand": False}
    if name in BALANCED:
        own |= {"HealthCheckGracePeriodSeconds": 30}

    assert less(service(name).properties, *looked_at_elsewhere) == {
        "ServiceName": name,
        "Cluster": resource("Foundation.Cluster").ref,
        "LaunchType": "FARGATE",
        **own,
    }


def test_the_generator_is_deployed_without_a_gap_and_without_hooks() -> None:
    assert service("load-generator").deployment == {
        "MinimumHealthyPercent": 100,
        "MaximumPercent": 200,
        "DeploymentCircuitBreaker": {"Enable": True, "Rollback": True},
    }


def test_each_service_runs_one_container_of_its_image_by_digest_that_can_write_nothing() -> None:
    http = [{"Name": "http", "ContainerPort": 8080, "AppProtocol": "http"}]
    stream = [{"Name": "stream", "ContainerPort": 8080}]
    own: Mapping[str, dict[str, Any]] = {
        "ui": {"PortMappings": http},
        "catalog": {"PortMappings": http},
        "notifications": {"StopTimeout": 30},
        "streaming": {"PortMappings": stream, "StopTimeout": 120},
    }

    assert {name: less(container(name), "Environment", "LogConfiguration") for name in SERVICES} == {
        name: {"Name": "app", "Image": IMAGES[name], "Command": [name], **EVERYWHERE, **own[name]}
        for name in SERVICES
    }


def test_the_generator_runs_its_own_image_and_writes_to_tmp_alone() -> None:
    assert less(container("load-generator"), "Environment", "LogConfiguration") == {
        "Name": "generator",
        "Image": IMAGES["load-generator"],
        **EVERYWHERE,
        "MountPoints": [{"SourceVolume": "tmp", "ContainerPath": "/tmp"}],
        "StopTimeout": 30,
        "HealthCheck": {
            "Command": ["CMD", "load-generator", "health"],
            "Interval": 30,
            "Timeout": 10,
            "Retries": 3,
            "StartPeriod": 30,
        },
    }
    assert task("load-generator")["Volumes"] == [{"Name": "tmp"}]


@pytest.mark.parametrize("name", STACKS)
def test_a_task_runs_where_its_image_does_by_its_own_role_and_under_its_service_s_name(name: str) -> None:
    roles = "LoadGenerator" if name == "load-generator" else "Foundation"

    # The README builds for linux/arm64.
    assert less(task(name), "ContainerDefinitions", "Volumes", "Cpu", "Memory") == {
        "Family": name,
        "RequiresCompatibilities": ["FARGATE"],
        "NetworkMode": "awsvpc",
        "RuntimePlatform": {"CpuArchitecture": "ARM64", "OperatingSystemFamily": "LINUX"},
        "TaskRoleArn": resource(f"{STACKS[name]}.TaskRole").arn,
        "ExecutionRoleArn": resource(f"{roles}.ExecutionRole").arn,
    }


@pytest.mark.parametrize("name", STACKS)
def test_logs_go_where_the_stack_is_under_the_service_s_name(name: str) -> None:
    group = resource(f"{'LoadGenerator' if name == 'load-generator' else 'Foundation'}.LogGroup").ref
    logs = {
        "LogDriver": "awslogs",
        "Options": {"awslogs-group": group, "awslogs-region": REGION, "awslogs-stream-prefix": name},
    }

    assert container(name)["LogConfiguration"] == logs
    if name == "catalog":  # Service Connect's proxy
        assert service(name).properties["ServiceConnectConfiguration"]["LogConfiguration"] == logs


@pytest.mark.parametrize("name", BALANCED)
def test_a_load_balancer_is_led_to_a_port_that_the_container_has(name: str) -> None:
    [mapping] = container(name)["PortMappings"]
    entry = balancer(name)

    assert (entry["ContainerName"], entry["ContainerPort"]) == (
        container(name)["Name"],
        mapping["ContainerPort"],
    )


@pytest.mark.parametrize("name", ["ui", "catalog"])
def test_a_version_behaves_as_its_image_was_built_to(name: str) -> None:
    assert variables(name) == {}


def test_who_is_stopped_has_the_time_to_finish_what_it_has_in_hand() -> None:
    worker, stream = (container(name)["StopTimeout"] for name in ("notifications", "streaming"))

    assert DEFAULT_STOP_TIMEOUT_SECONDS < worker <= MAX_STOP_TIMEOUT_SECONDS
    assert variables("streaming") == {"DRAIN_SECONDS": "115"}
    assert float(variables("streaming")["DRAIN_SECONDS"]) < stream <= MAX_STOP_TIMEOUT_SECONDS


def test_the_worker_reads_the_parameter_that_the_hook_writes_and_poison_shows_within_the_watch() -> None:
    activation = hook(service("notifications"), "consumer_activation")
    settings = ConsumerSettings.model_validate(json.loads(str(activation.details)))
    queue, dead_letters = resource("Notifications.Queue"), resource("Notifications.DeadLetters")
    assert activation.function is not None

    assert activation.function.environment["CONSUMER_PARAMETER_PREFIX"] == CONSUMERS
    assert variables("notifications") == {
        "ACTIVATION_PARAMETER": f"{CONSUMERS}/unicorn-watch/notifications/consumers",
        "ACTIVATION_METRICS": "notifications",
        "QUEUE_URL": queue.ref,
        "VISIBILITY_SECONDS": "60",
    }
    assert queue.properties == {
        "QueueName": settings.queue,
        "SqsManagedSseEnabled": True,
        "VisibilityTimeout": 60,
        "RedrivePolicy": {"deadLetterTargetArn": dead_letters.arn, "maxReceiveCount": 3},
    }
    poison_seconds = (
        queue.properties["RedrivePolicy"]["maxReceiveCount"] * queue.properties["VisibilityTimeout"]
    )
    assert poison_seconds < settings.monitor_minutes * 60
    # Fourteen days, the longest there is.
    assert less(dead_letters.properties, "QueueName") == {
        "SqsManagedSseEnabled": True,
        "MessageRetentionPeriod": 14 * 24 * 3600,
    }
