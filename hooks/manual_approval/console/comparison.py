"""In what blue and green differ: their images, and their task definitions.

A task definition holds secrets where people have put them: in the value of a variable, in a command, in an
option of a log driver. So a value is shown only where its key is listed here; of everything else, keys that
AWS adds tomorrow included, is said that it differs::

    app     environment LOG_LEVEL    (not shown)  →  (not shown)
    app     secret DB_PASSWORD       parameter /shop/db  →  secret shop/db-AbCdEf
    app     user                     app  →  root
    task    cpu                      256  →  512

Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskDefinition.html and
API_ContainerDefinition.html
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from hooks.manual_approval.console.views import Difference, ImageChange
from shared.revision import Image, Revision

NOT_SHOWN = "(not shown)"
WHOLE_TASK = "task"

# A task definition has 64 KB, so there may be thousands; nobody reads that many.
MAX_DIFFERENCES = 200
MAX_TEXT_CHARACTERS = 160
MAX_NAME_CHARACTERS = 120

# Of a task definition: what says nothing of what runs.
_ABOUT_ITSELF = frozenset(
    {
        *("taskDefinitionArn", "revision", "status", "registeredAt", "registeredBy", "deregisteredAt"),
        *("deleteRequestedAt", "requiresAttributes", "compatibilities", "containerDefinitions"),
    }
)
# Of a container: its images are compared on their own, with their digests.
_COMPARED_ELSEWHERE = frozenset({"name", "image"})

# What holds where a container says nothing. Everything else that is false or empty is as good as not there:
# the API writes an empty list for what nobody has set.
_DEFAULTS: Mapping[str, Any] = {"cpu": 0, "essential": True}

# Keys whose values are shown, and what they are called. Keys within a key are joined by a point.
_TASK_LABELS: Mapping[str, str] = {
    "cpu": "cpu",
    "enableFaultInjection": "fault injection",
    "ephemeralStorage.sizeInGiB": "ephemeral storage (GiB)",
    "family": "family",
    "ipcMode": "IPC mode",
    "memory": "memory",
    "networkMode": "network mode",
    "pidMode": "PID mode",
    "placementConstraints": "placement constraints",
    "requiresCompatibilities": "launch types",
    "runtimePlatform.cpuArchitecture": "CPU architecture",
    "runtimePlatform.operatingSystemFamily": "operating system",
    "trustedExecutionConfiguration.isolationMode": "isolation mode",
}
_CONTAINER_LABELS: Mapping[str, str] = {
    "cpu": "cpu",
    "dependsOn": "depends on",
    "disableNetworking": "networking disabled",
    "dnsSearchDomains": "DNS search domains",
    "dnsServers": "DNS servers",
    "dockerSecurityOptions": "security options",
    "essential": "essential",
    "extraHosts": "extra hosts",
    "firelensConfiguration.type": "log router",
    "healthCheck.interval": "health check interval",
    "healthCheck.retries": "health check retries",
    "healthCheck.startPeriod": "health check start period",
    "healthCheck.timeout": "health check timeout",
    "hostname": "host name",
    "interactive": "interactive",
    "links": "links",
    "linuxParameters.capabilities.add": "capabilities added",
    "linuxParameters.capabilities.drop": "capabilities dropped",
    "linuxParameters.devices": "devices",
    "linuxParameters.initProcessEnabled": "init process",
    "linuxParameters.maxSwap": "swap",
    "linuxParameters.sharedMemorySize": "shared memory",
    "linuxParameters.swappiness": "swappiness",
    "linuxParameters.tmpfs": "tmpfs",
    "logConfiguration.logDriver": "log driver",
    "logConfiguration.options.awslogs-group": "log group",
    "logConfiguration.options.awslogs-region": "log region",
    "memory": "memory",
    "memoryReservation": "memory reservation",
    "privileged": "privileged",
    "pseudoTerminal": "pseudo terminal",
    "readonlyRootFilesystem": "read-only root file system",
    "resourceRequirements": "resources",
    "restartPolicy.enabled": "restarts",
    "restartPolicy.ignoredExitCodes": "restarts, but not after",
    "restartPolicy.restartAttemptPeriod": "restart period",
    "startTimeout": "start timeout",
    "stopTimeout": "stop timeout",
    "systemControls": "kernel parameters",
    "ulimits": "limits",
    "user": "user",
    "versionConsistency": "version consistency",
    "volumesFrom": "volumes from",
    "workingDirectory": "working directory",
}
# The same for keys whose values are not shown.
_HIDDEN_LABELS: Mapping[str, str] = {
    "command": "command",
    "entryPoint": "entry point",
    "healthCheck.command": "health check command",
}
_OPTIONS: Mapping[str, str] = {
    "firelensConfiguration.options.": "log router option",
    "logConfiguration.options.": "log option",
}
_VOLUME_LABELS: Mapping[str, str] = {
    "configuredAtLaunch": "configured at launch",
    "dockerVolumeConfiguration.autoprovision": "autoprovisioned",
    "dockerVolumeConfiguration.driver": "driver",
    "dockerVolumeConfiguration.scope": "scope",
    "efsVolumeConfiguration.authorizationConfig.accessPointId": "EFS access point",
    "efsVolumeConfiguration.authorizationConfig.iam": "EFS authorization",
    "efsVolumeConfiguration.fileSystemId": "EFS file system",
    "efsVolumeConfiguration.rootDirectory": "EFS directory",
    "efsVolumeConfiguration.transitEncryption": "EFS encryption in transit",
    "fsxWindowsFileServerVolumeConfiguration.fileSystemId": "FSx file system",
    "fsxWindowsFileServerVolumeConfiguration.rootDirectory": "FSx directory",
    "host.sourcePath": "host path",
    "s3filesVolumeConfiguration.fileSystemArn": "S3 file system",
    "s3filesVolumeConfiguration.rootDirectory": "S3 directory",
}

_SECRET_ARN = re.compile(
    r"arn:[^:]+:(?P<service>ssm|secretsmanager):[^:]*:[^:]*:(?:parameter|secret:)(?P<name>.+)"
)


@dataclass(frozen=True, slots=True)
class _Fact:
    """One thing that a definition says."""

    value: str
    """All of it, to compare."""
    shown: str
    """What may be seen of it."""


_Facts = dict[str, _Fact]
"""By what they are about: ``environment LOG_LEVEL``."""


def changed_images(blue: Revision | None, green: Revision) -> tuple[ImageChange, ...]:
    """Return what each container runs on either side, the changed ones first."""
    before = {image.container: image for image in blue.images} if blue else {}
    after = {image.container: image for image in green.images}
    changes = [_change(name, before.get(name), after.get(name)) for name in {**after, **before}]
    return tuple(sorted(changes, key=lambda change: change.is_same))


def _change(container: str, blue: Image | None, green: Image | None) -> ImageChange:
    return ImageChange(
        container=container,
        blue=blue.reference if blue else "",
        blue_digest=(blue.digest or "") if blue else "",
        green=green.reference if green else "",
        green_digest=(green.digest or "") if green else "",
    )


def differences(blue: Mapping[str, Any], green: Mapping[str, Any]) -> tuple[tuple[Difference, ...], int]:
    """Return in what two task definitions differ, and how many more of that there is.

    Parameters
    ----------
    blue, green
        In the API's shape.
    """
    found = _differences(blue, green)
    shown = tuple(islice(found, MAX_DIFFERENCES))
    return shown, sum(1 for _ in found)


def _differences(blue: Mapping[str, Any], green: Mapping[str, Any]) -> Iterator[Difference]:
    yield from _apart(WHOLE_TASK, _task(blue), _task(green))
    before, after = _by_name(blue), _by_name(green)
    for name in {**after, **before}:
        if name not in after:
            yield Difference(_cut(name, MAX_NAME_CHARACTERS), "container", _image(before[name]), "")
            continue
        if name not in before:
            yield Difference(_cut(name, MAX_NAME_CHARACTERS), "container", "", _image(after[name]))
        # Of one that is new everything is, but for what holds anyway.
        yield from _apart(name, _container(before.get(name, {})), _container(after[name]))


def _by_name(task: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {str(one.get("name", "")): one for one in task.get("containerDefinitions") or ()}


def _image(container: Mapping[str, Any]) -> str:
    return _cut(str(container.get("image", "")))


def _apart(where: str, before: _Facts, after: _Facts) -> Iterator[Difference]:
    """Tell two sets of facts apart."""
    nothing = _Fact("", "")
    for what in {**after, **before}:
        blue, green = before.get(what, nothing), after.get(what, nothing)
        if blue.value == green.value:
            continue
        texts = _cut(blue.shown), _cut(green.shown)
        if texts[0] == texts[1] != NOT_SHOWN:
            # What was left out of both is what differs: the account in an ARN, the end of a long list.
            texts = _where_they_part(blue.value, green.value)
        yield Difference(_cut(where, MAX_NAME_CHARACTERS), _cut(what, MAX_NAME_CHARACTERS), *texts)


def _where_they_part(blue: str, green: str) -> tuple[str, str]:
    pairs = enumerate(zip(blue, green, strict=False))
    common = next((index for index, (one, other) in pairs if one != other), min(len(blue), len(green)))
    start = max(common - MAX_TEXT_CHARACTERS // 2, 0)
    first, second = (_cut(f"…{text[start:]}" if start else text) for text in (blue, green))
    return first, second


def _task(task: Mapping[str, Any]) -> _Facts:
    return _flat(
        task,
        _TASK_LABELS,
        {
            "taskRoleArn": lambda role: {"task role": _role(role)},
            "executionRoleArn": lambda role: {"execution role": _role(role)},
            "volumes": _volumes,
        },
        _ABOUT_ITSELF,
    )


def _container(container: Mapping[str, Any]) -> _Facts:
    return _flat(
        {**_DEFAULTS, **container},
        _CONTAINER_LABELS,
        {
            "environment": lambda found: _hidden("environment", found),
            "environmentFiles": lambda found: _listed("environment file", found, "value"),
            "secrets": lambda found: _secrets("secret", found),
            "repositoryCredentials": lambda found: {
                "registry credentials": _secret(str(found.get("credentialsParameter", "")))
            },
            "portMappings": _ports,
            "mountPoints": lambda found: _listed("mount", found, "containerPath"),
            "dockerLabels": lambda found: _hidden("label", _pairs(found)),
            "logConfiguration.secretOptions": lambda found: _secrets("log option", found),
        },
        _COMPARED_ELSEWHERE,
    )


_Reader = Callable[[Any], _Facts]


def _flat(
    definition: Mapping[str, Any],
    labels: Mapping[str, str],
    readers: Mapping[str, _Reader],
    ignored: frozenset[str] = frozenset(),
    path: str = "",
) -> _Facts:
    """Read a definition into facts, down to the keys that are labelled or have a reader."""
    facts: _Facts = {}
    for key, value in definition.items():
        here = f"{path}{key}"
        if key in ignored or _is_nothing(here, value):
            continue
        if here in readers:
            facts |= readers[here](value)
        elif here in labels:
            facts[labels[here]] = _plain(value)
        elif isinstance(value, Mapping):
            facts |= _flat(value, labels, readers, path=f"{here}.")
        else:
            facts[_hidden_label(here)] = _Fact(_canonical(value), NOT_SHOWN)
    return facts


def _is_nothing(path: str, value: Any) -> bool:
    if value is False:
        return path not in _DEFAULTS
    # Zero is something: of swappiness, say.
    return value is None or (isinstance(value, str | Sequence | Mapping) and not value)


def _hidden_label(path: str) -> str:
    for prefix, kind in _OPTIONS.items():
        if path.startswith(prefix):
            return f"{kind} {path.removeprefix(prefix)}"
    return _HIDDEN_LABELS.get(path, path)


def _plain(value: Any) -> _Fact:
    return _Fact(_canonical(value), _words(value))


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return " ".join(f"{key} {_words(one)}" for key, one in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_words, value))
    return str(value)


def _hidden(kind: str, found: Sequence[Mapping[str, Any]]) -> _Facts:
    """Read names and values, of which the names are shown."""
    values: dict[str, list[Any]] = {}
    for one in found:
        # A name may stand there twice; which of its values holds is the agent's business.
        values.setdefault(str(one.get("name", "")), []).append(one.get("value", ""))
    return {f"{kind} {name}": _Fact(_canonical(value), NOT_SHOWN) for name, value in values.items()}


def _pairs(found: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return [{"name": name, "value": value} for name, value in found.items()]


def _secrets(kind: str, found: Sequence[Mapping[str, Any]]) -> _Facts:
    return {f"{kind} {one.get('name', '')}": _secret(str(one.get("valueFrom", ""))) for one in found}


def _secret(source: str) -> _Fact:
    """Say where a secret comes from: a parameter's name, or a secret's, with the key in it."""
    if found := _SECRET_ARN.fullmatch(source):
        kind = "parameter" if found["service"] == "ssm" else "secret"
        return _Fact(source, f"{kind} {found['name'].rstrip(':')}")
    return _Fact(source, source if source.startswith("arn:") else f"parameter {source}")


def _role(arn: Any) -> _Fact:
    return _Fact(str(arn), str(arn).partition(":role/")[2] or str(arn))


def _listed(kind: str, found: Sequence[Mapping[str, Any]], key: str) -> _Facts:
    """Read things that one of their keys tells apart, and show the rest of each."""
    facts = {}
    for one in found:
        rest = {name: value for name, value in one.items() if name != key and value not in (None, False)}
        facts[f"{kind} {one.get(key, '')}"] = _Fact(_canonical(one), _words(rest) or "yes")
    return facts


def _ports(found: Sequence[Mapping[str, Any]]) -> _Facts:
    facts = {}
    for one in found:
        port, protocol = one.get("containerPort") or one.get("containerPortRange"), one.get("protocol", "tcp")
        host = one.get("hostPort")
        parts = (
            f"host {host}" if host not in {None, 0, port} else "",
            f"name {one['name']}" if one.get("name") else "",
            str(one.get("appProtocol", "")),
        )
        facts[f"port {port}/{protocol}"] = _Fact(
            _canonical({**one, "protocol": protocol}), ", ".join(filter(None, parts)) or "open"
        )
    return facts


def _volumes(found: Sequence[Mapping[str, Any]]) -> _Facts:
    facts: _Facts = {}
    for one in found:
        name = f"volume {one.get('name', '')}"
        within = _flat(one, _VOLUME_LABELS, {}, frozenset({"name"}))
        facts[name] = _Fact("there", "yes")
        facts |= {f"{name}: {what}": fact for what, fact in within.items()}
    return facts


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def _cut(text: str, limit: int = MAX_TEXT_CHARACTERS) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
