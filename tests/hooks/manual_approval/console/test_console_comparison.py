"""In what two task definitions differ, and what of it is shown."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.manual_approval.console.comparison import (
    MAX_DIFFERENCES,
    MAX_NAME_CHARACTERS,
    MAX_TEXT_CHARACTERS,
    NOT_SHOWN,
    changed_images,
    differences,
)
from hooks.manual_approval.console.views import Difference, ImageChange
from shared.revision import Image, Revision
from tests.shared.checkout import GREEN

# As DescribeTaskDefinition shows one that was registered with little more than this.
PLAIN: dict[str, Any] = {
    "name": "app",
    "image": "shop/checkout:42",
    "cpu": 0,
    "portMappings": [{"containerPort": 8080, "hostPort": 8080, "protocol": "tcp"}],
    "essential": True,
    "environment": [],
    "mountPoints": [],
    "volumesFrom": [],
    "systemControls": [],
}
TASK: dict[str, Any] = {
    "taskDefinitionArn": "arn:aws:ecs:us-east-1:123456789012:task-definition/checkout:7",
    "family": "checkout",
    "revision": 7,
    "status": "ACTIVE",
    "networkMode": "awsvpc",
    "cpu": "256",
    "memory": "512",
    "volumes": [],
    "placementConstraints": [],
    "compatibilities": ["EC2", "FARGATE"],
    "requiresAttributes": [{"name": "ecs.capability.task-eni"}],
    "registeredBy": "arn:aws:iam::123456789012:user/alice",
    "containerDefinitions": [PLAIN],
}
SECRETS = "arn:aws:secretsmanager:us-east-1:123456789012:secret"
PARAMETERS = "arn:aws:ssm:us-east-1:123456789012:parameter"


def task(container: dict[str, Any] | None = None, *others: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**TASK, **changes, "containerDefinitions": [{**PLAIN, **(container or {})}, *others]}


def rows(blue: dict[str, Any], green: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    found, more = differences(blue, green)
    assert more == 0
    return [(one.where, one.what, one.blue, one.green) for one in found]


def test_what_says_nothing_of_what_runs_is_no_difference() -> None:
    registered_anew = {
        **task({"image": "shop/checkout:43", "environment": None, "privileged": False, "user": ""}),
        "taskDefinitionArn": "arn:aws:ecs:us-east-1:123456789012:task-definition/checkout:8",
        "revision": 8,
        "registeredBy": "arn:aws:iam::123456789012:user/bob",
        "requiresAttributes": [],
        "pidMode": None,
    }
    assert rows(TASK, registered_anew) == []


@pytest.mark.parametrize(
    ("blue", "green", "row"),
    [
        ({"cpu": "256"}, {"cpu": "512"}, ("cpu", "256", "512")),
        ({"memory": "512"}, {"memory": "1024"}, ("memory", "512", "1024")),
        ({}, {"pidMode": "host"}, ("PID mode", "", "host")),
        ({}, {"ipcMode": "task"}, ("IPC mode", "", "task")),
        ({}, {"networkMode": "host"}, ("network mode", "awsvpc", "host")),
        (
            {"runtimePlatform": {"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"}},
            {"runtimePlatform": {"cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX"}},
            ("CPU architecture", "X86_64", "ARM64"),
        ),
        (
            {"taskRoleArn": "arn:aws:iam::123456789012:role/shop/checkout"},
            {"taskRoleArn": "arn:aws:iam::123456789012:role/admin"},
            ("task role", "shop/checkout", "admin"),
        ),
        (
            {"executionRoleArn": "arn:aws:iam::123456789012:role/execution"},
            {},
            ("execution role", "execution", ""),
        ),
        # Another account's role of the same name is another role.
        (
            {"taskRoleArn": "arn:aws:iam::123456789012:role/checkout"},
            {"taskRoleArn": "arn:aws:iam::210987654321:role/checkout"},
            (
                "task role",
                "arn:aws:iam::123456789012:role/checkout",
                "arn:aws:iam::210987654321:role/checkout",
            ),
        ),
        (
            {"ephemeralStorage": {"sizeInGiB": 21}},
            {"ephemeralStorage": {"sizeInGiB": 200}},
            ("ephemeral storage (GiB)", "21", "200"),
        ),
        (
            {"requiresCompatibilities": ["FARGATE"]},
            {"requiresCompatibilities": ["EC2", "FARGATE"]},
            ("launch types", "FARGATE", "EC2, FARGATE"),
        ),
        # Keys that nobody has thought of are named, and their values are not shown.
        ({}, {"newKey": {"within": ["s3cret"]}}, ("newKey.within", "", NOT_SHOWN)),
    ],
)
def test_of_the_task(blue: dict[str, Any], green: dict[str, Any], row: tuple[str, str, str]) -> None:
    assert rows({**TASK, **blue}, {**TASK, **green}) == [("task", *row)]


@pytest.mark.parametrize(
    ("blue", "green", "row"),
    [
        # Values of variables are nobody's business, and their names are.
        (
            {"environment": [{"name": "LOG_LEVEL", "value": "info"}]},
            {"environment": [{"name": "LOG_LEVEL", "value": "debug"}]},
            ("environment LOG_LEVEL", NOT_SHOWN, NOT_SHOWN),
        ),
        ({}, {"environment": [{"name": "A", "value": ""}]}, ("environment A", "", NOT_SHOWN)),
        ({"environment": [{"name": "A", "value": "x"}]}, {}, ("environment A", NOT_SHOWN, "")),
        (
            {"environment": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]},
            {"environment": [{"name": "A", "value": "3"}, {"name": "A", "value": "2"}]},
            ("environment A", NOT_SHOWN, NOT_SHOWN),
        ),
        (
            {},
            {"environmentFiles": [{"value": "arn:aws:s3:::shop/app.env", "type": "s3"}]},
            ("environment file arn:aws:s3:::shop/app.env", "", "type s3"),
        ),
        (
            {"secrets": [{"name": "DB", "valueFrom": f"{PARAMETERS}/shop/db"}]},
            {"secrets": [{"name": "DB", "valueFrom": f"{SECRETS}:shop/db-AbCdEf:password::"}]},
            ("secret DB", "parameter /shop/db", "secret shop/db-AbCdEf:password"),
        ),
        ({}, {"secrets": [{"name": "DB", "valueFrom": "shop-db"}]}, ("secret DB", "", "parameter shop-db")),
        ({"secrets": [{"name": "DB", "valueFrom": "arn:aws:x"}]}, {}, ("secret DB", "arn:aws:x", "")),
        (
            {"secrets": [{"name": "DB", "valueFrom": f"{PARAMETERS}/db"}]},
            {"secrets": [{"name": "DB", "valueFrom": f"{PARAMETERS}/db".replace("us-east-1", "eu-west-1")}]},
            (
                "secret DB",
                f"{PARAMETERS}/db",
                "arn:aws:ssm:eu-west-1:123456789012:parameter/db",
            ),
        ),
        (
            {},
            {"repositoryCredentials": {"credentialsParameter": f"{SECRETS}:registry-AbCdEf"}},
            ("registry credentials", "", "secret registry-AbCdEf"),
        ),
        ({"command": ["serve"]}, {"command": ["serve", "--token=s3cret"]}, ("command", NOT_SHOWN, NOT_SHOWN)),
        ({}, {"entryPoint": ["sh", "-c"]}, ("entry point", "", NOT_SHOWN)),
        (
            {"healthCheck": {"command": ["CMD", "true"], "interval": 30}},
            {"healthCheck": {"command": ["CMD", "false"], "interval": 30}},
            ("health check command", NOT_SHOWN, NOT_SHOWN),
        ),
        (
            {"healthCheck": {"command": ["CMD", "true"], "interval": 30}},
            {"healthCheck": {"command": ["CMD", "true"], "interval": 5}},
            ("health check interval", "30", "5"),
        ),
        (
            {},
            {
                "portMappings": [
                    *PLAIN["portMappings"],
                    {"containerPort": 9090, "hostPort": 9090, "protocol": "udp"},
                ]
            },
            ("port 9090/udp", "", "open"),
        ),
        (
            {},
            {
                "portMappings": [
                    {"containerPort": 8080, "hostPort": 80, "name": "web", "appProtocol": "http2"}
                ]
            },
            ("port 8080/tcp", "open", "host 80, name web, http2"),
        ),
        (
            {
                "portMappings": [
                    {"containerPortRange": "9000-9010", "protocol": "tcp"},
                    *PLAIN["portMappings"],
                ]
            },
            {},
            ("port 9000-9010/tcp", "open", ""),
        ),
        ({}, {"cpu": 128}, ("cpu", "0", "128")),
        ({"memory": 256}, {"memory": 512}, ("memory", "256", "512")),
        ({"memoryReservation": 128}, {}, ("memory reservation", "128", "")),
        ({}, {"essential": False}, ("essential", "yes", "no")),
        ({"user": "app"}, {"user": "root"}, ("user", "app", "root")),
        ({}, {"privileged": True}, ("privileged", "", "yes")),
        ({"readonlyRootFilesystem": True}, {}, ("read-only root file system", "yes", "")),
        (
            {"linuxParameters": {"capabilities": {"add": [], "drop": ["ALL"]}}},
            {"linuxParameters": {"capabilities": {"add": [], "drop": ["NET_RAW", "MKNOD"]}}},
            ("capabilities dropped", "ALL", "NET_RAW, MKNOD"),
        ),
        (
            {},
            {"linuxParameters": {"capabilities": {"add": ["SYS_ADMIN"]}}},
            ("capabilities added", "", "SYS_ADMIN"),
        ),
        ({}, {"linuxParameters": {"swappiness": 0}}, ("swappiness", "", "0")),
        (
            {},
            {"linuxParameters": {"devices": [{"hostPath": "/dev/fuse", "permissions": ["read", "write"]}]}},
            ("devices", "", "hostPath /dev/fuse permissions read, write"),
        ),
        (
            {"logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/shop"}}},
            {"logConfiguration": {"logDriver": "splunk", "options": {"awslogs-group": "/shop"}}},
            ("log driver", "awslogs", "splunk"),
        ),
        (
            {},
            {"logConfiguration": {"options": {"splunk-token": "s3cret"}}},
            ("log option splunk-token", "", NOT_SHOWN),
        ),
        (
            {},
            {"logConfiguration": {"secretOptions": [{"name": "splunk-token", "valueFrom": "splunk"}]}},
            ("log option splunk-token", "", "parameter splunk"),
        ),
        (
            {},
            {"firelensConfiguration": {"options": {"config-file-value": "s3cret"}}},
            ("log router option config-file-value", "", NOT_SHOWN),
        ),
        (
            {},
            {"mountPoints": [{"sourceVolume": "data", "containerPath": "/data", "readOnly": True}]},
            ("mount /data", "", "sourceVolume data readOnly yes"),
        ),
        ({}, {"dockerLabels": {"traefik.auth": "s3cret"}}, ("label traefik.auth", "", NOT_SHOWN)),
        ({}, {"versionConsistency": "disabled"}, ("version consistency", "", "disabled")),
        (
            {},
            {"ulimits": [{"name": "nofile", "softLimit": 1024, "hardLimit": 4096}]},
            ("limits", "", "name nofile softLimit 1024 hardLimit 4096"),
        ),
        ({}, {"credentialSpecs": ["s3cret"]}, ("credentialSpecs", "", NOT_SHOWN)),
    ],
)
def test_of_a_container(blue: dict[str, Any], green: dict[str, Any], row: tuple[str, str, str]) -> None:
    assert rows(task(blue), task(green)) == [("app", *row)]


def test_a_container_that_is_new_is_told_with_all_that_it_may() -> None:
    sidecar = {**PLAIN, "name": "agent", "image": "agent:1", "portMappings": [], "privileged": True}

    assert rows(task(), task({}, sidecar)) == [
        ("agent", "container", "", "agent:1"),
        ("agent", "privileged", "", "yes"),
    ]
    assert rows(task({}, sidecar), task()) == [("agent", "container", "agent:1", "")]


def test_volumes_are_told_by_their_names_and_what_is_behind_them() -> None:
    blue = task(volumes=[{"name": "data", "host": {}}])
    green = task(
        volumes=[
            {"name": "data", "host": {"sourcePath": "/var/run/docker.sock"}},
            {
                "name": "share",
                "dockerVolumeConfiguration": {"driver": "local", "driverOpts": {"o": "password=s3cret"}},
            },
        ]
    )

    assert rows(blue, green) == [
        ("task", "volume data: host path", "", "/var/run/docker.sock"),
        ("task", "volume share", "", "yes"),
        ("task", "volume share: driver", "", "local"),
        ("task", "volume share: dockerVolumeConfiguration.driverOpts.o", "", NOT_SHOWN),
    ]


def test_long_values_are_shown_from_where_they_part() -> None:
    before, after = ([f"host-{number}" for number in range(100)] + [end] for end in ("one", "other"))

    (row,) = rows(task({"dnsServers": before}), task({"dnsServers": after}))

    assert row[2:] == (
        '… "host-93", "host-94", "host-95", "host-96", "host-97", "host-98", "host-99", "one"]',
        '… "host-93", "host-94", "host-95", "host-96", "host-97", "host-98", "host-99", "other"]',
    )


def test_of_two_hundred_differences_and_more_the_rest_is_counted() -> None:
    many = [{"name": f"VARIABLE_{number}", "value": "x"} for number in range(MAX_DIFFERENCES + 12)]

    found, more = differences(task(), task({"environment": many}))

    assert (len(found), more) == (MAX_DIFFERENCES, 12)


MARK = "s3cret-marker"
_values = st.recursive(
    st.just(MARK) | st.integers() | st.booleans(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "options", "command", "user"]), inner, max_size=3)
    ),
    max_leaves=6,
)
_hiding = st.fixed_dictionaries(
    {"name": st.sampled_from(["app", "agent"])},
    optional={
        "command": st.lists(st.just(MARK), max_size=2),
        "entryPoint": st.lists(st.just(MARK), max_size=2),
        "environment": st.lists(
            st.fixed_dictionaries({"name": st.sampled_from("AB"), "value": st.just(MARK)}), max_size=3
        ),
        "dockerLabels": st.dictionaries(st.sampled_from("AB"), st.just(MARK)),
        "healthCheck": st.fixed_dictionaries({"command": st.lists(st.just(MARK))}),
        "logConfiguration": st.fixed_dictionaries(
            {"logDriver": st.just("splunk"), "options": st.dictionaries(st.sampled_from("AB"), st.just(MARK))}
        ),
        "firelensConfiguration": st.fixed_dictionaries({"options": st.just({"A": MARK})}),
        "keyOfTomorrow": _values,
    },
)


@given(st.lists(_hiding, max_size=2), st.lists(_hiding, max_size=2), _values)
def test_what_may_be_a_secret_is_never_shown(
    blue: list[dict[str, Any]], green: list[dict[str, Any]], unknown: Any
) -> None:
    found, _ = differences(
        {"containerDefinitions": blue}, {"containerDefinitions": green, "keyOfTomorrow": unknown}
    )
    assert MARK not in repr(found)


@given(
    st.lists(
        st.fixed_dictionaries({"name": st.text(max_size=300), "user": st.text(max_size=300)}), max_size=3
    )
)
def test_texts_are_bounded_and_equal_definitions_have_no_differences(
    containers: list[dict[str, Any]],
) -> None:
    found, _ = differences({}, {"containerDefinitions": containers})

    for row in found:
        assert max(len(row.blue), len(row.green)) <= MAX_TEXT_CHARACTERS
        assert max(len(row.where), len(row.what)) <= MAX_NAME_CHARACTERS
    assert differences({"containerDefinitions": containers}, {"containerDefinitions": containers}) == ((), 0)


@given(st.text(max_size=400), st.text(max_size=400))
def test_whatever_differs_is_seen_to_differ(blue: str, green: str) -> None:
    found, _ = differences(task({"user": blue}), task({"user": green}))

    assert bool(found) == (blue != green)
    for row in found:
        assert row == Difference("app", "user", row.blue, row.green)
        assert row.blue != row.green


def revision(*images: Image) -> Revision:
    return Revision(GREEN, "", images, (), None)


def test_images_are_told_per_container_the_changed_ones_first() -> None:
    blue = revision(
        Image("app", "app:1", "sha256:a"), Image("proxy", "proxy:2", "sha256:b"), Image("old", "o", None)
    )
    green = revision(
        Image("proxy", "proxy:2", "sha256:b"), Image("app", "app:1", "sha256:c"), Image("new", "n", None)
    )

    assert changed_images(blue, green) == (
        # The tag was moved.
        ImageChange("app", "app:1", "sha256:a", "app:1", "sha256:c"),
        ImageChange("new", "", "", "n", ""),
        ImageChange("old", "o", "", "", ""),
        ImageChange("proxy", "proxy:2", "sha256:b", "proxy:2", "sha256:b"),
    )


def test_before_a_first_deployment_there_were_no_images() -> None:
    assert changed_images(None, revision(Image("app", "app:1", None))) == (
        ImageChange("app", "", "", "app:1", ""),
    )
