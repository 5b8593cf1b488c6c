"""Which resources a call touches, as IAM checks them.

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/ (one page per service; an
operation without resource types there is checked against ``*``).
"""

from collections.abc import Callable, Mapping

from rehearsal.aws.call import Call, JsonObject

Resources = tuple[str, ...]


def resources_of(call: Call) -> Resources:
    """Return the ARNs that must all be permitted for the call; ``("*",)`` where there is no finer grain."""
    resolve = _RESOLVERS.get(call.service)
    found = resolve(call, call.parameters) if resolve else ()
    return found or ("*",)


def permissions_of(call: Call) -> tuple[tuple[str, str], ...]:
    """Return the actions and resources that must all be permitted for the call."""
    wanted = tuple((call.action, resource) for resource in resources_of(call))
    if call.action == "s3:GetObject" and _is_missing(call):
        # Whoever may not list a bucket is not told that something is not there, but that it is forbidden.
        # https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
        return (*wanted, ("s3:ListBucket", f"arn:aws:s3:::{call.parameters['Bucket']}"))
    return wanted


def context_of(call: Call, identity: str) -> Mapping[str, str]:
    """Return the condition keys that a call carries."""
    parameters = call.parameters
    context = {
        "aws:principalarn": _principal(identity),
        "aws:principalaccount": call.account,
        "aws:requestedregion": call.region,
        # The rehearsal has no TLS of its own to look at; real clients of these APIs always have.
        "aws:securetransport": "true",
    }
    if call.action == "cloudwatch:PutMetricData":
        context["cloudwatch:namespace"] = str(parameters.get("Namespace", ""))
    if call.service == "s3" and "Prefix" in parameters:
        context["s3:prefix"] = str(parameters["Prefix"])
    if call.service == "ecs":
        context |= _ecs_context(call, parameters)
    return context


def _principal(identity: str) -> str:
    """Return the role of a session, which is what ``aws:PrincipalArn`` holds."""
    head, marker, tail = identity.partition(":assumed-role/")
    return f"{head.replace(':sts:', ':iam:')}:role/{tail.partition('/')[0]}" if marker else identity


def _ecs_context(call: Call, parameters: JsonObject) -> dict[str, str]:
    context: dict[str, str] = {}
    parts = resources_of(call)[0].split(":", 5)[-1].split("/")
    if parts[0] in {"service", "service-deployment", "service-revision"} and len(parts) >= 3:
        prefix = f"arn:aws:ecs:{call.region}:{call.account}"
        context["ecs:cluster"] = f"{prefix}:cluster/{parts[1]}"
        context["ecs:service"] = f"{prefix}:service/{parts[1]}/{parts[2]}"
    elif "cluster" in parameters:
        context["ecs:cluster"] = _ecs_arn(call, "cluster", str(parameters["cluster"]))
    return context


def _arn(call: Call, service: str, rest: str) -> str:
    return f"arn:aws:{service}:{call.region}:{call.account}:{rest}"


def _names(parameters: JsonObject, *keys: str) -> list[str]:
    found: list[str] = []
    for key in keys:
        value = parameters.get(key)
        found += [str(item) for item in value] if isinstance(value, list) else [str(value)] if value else []
    return found


def _ssm(call: Call, parameters: JsonObject) -> Resources:
    if call.operation == "DescribeParameters":
        return (_arn(call, "ssm", "*"),)
    if call.operation in {"AddTagsToResource", "RemoveTagsFromResource", "ListTagsForResource"}:
        names = _names(parameters, "ResourceId") if parameters.get("ResourceType") == "Parameter" else []
    else:
        names = _names(parameters, "Name", "Names", "Path") if "Parameter" in call.operation else []
    return tuple(_parameter(call, name) for name in names)


def _parameter(call: Call, name: str) -> str:
    if name.startswith("arn:"):
        return name
    # `name:3` and `name:label` select a version of the same resource.
    return _arn(call, "ssm", f"parameter/{name.removeprefix('/').partition(':')[0]}")


_ECS_BY_ARNS: Mapping[str, tuple[str, ...]] = {
    "DescribeServiceDeployments": ("serviceDeploymentArns",),
    "DescribeServiceRevisions": ("serviceRevisionArns",),
    "ContinueServiceDeployment": ("serviceDeploymentArn",),
    "StopServiceDeployment": ("serviceDeploymentArn",),
}
_ECS_BY_SERVICE: Mapping[str, tuple[str, ...]] = {
    "DescribeServices": ("services",),
    "ListServiceDeployments": ("service",),
    "UpdateService": ("service",),
    "DeleteService": ("service",),
    "CreateService": ("serviceName",),
}
_ECS_BY_TASK: Mapping[str, tuple[str, ...]] = {
    "DescribeTasks": ("tasks",),
    "GetTaskProtection": ("tasks",),
    "UpdateTaskProtection": ("tasks",),
    "StopTask": ("task",),
}


def _ecs(call: Call, parameters: JsonObject) -> Resources:  # noqa: PLR0911 - a table of operations
    operation = call.operation
    if operation in _ECS_BY_ARNS:
        return tuple(_names(parameters, *_ECS_BY_ARNS[operation]))
    cluster = str(parameters.get("cluster") or "default").rpartition("/")[2]
    if operation in _ECS_BY_SERVICE:
        return tuple(
            _ecs_arn(call, f"service/{cluster}", name)
            for name in _names(parameters, *_ECS_BY_SERVICE[operation])
        )
    if operation in _ECS_BY_TASK:
        return tuple(
            _ecs_arn(call, f"task/{cluster}", name) for name in _names(parameters, *_ECS_BY_TASK[operation])
        )
    if operation == "RegisterTaskDefinition":
        return (_arn(call, "ecs", f"task-definition/{parameters.get('family', '')}:*"),)
    if operation == "ListTasks":
        return (_arn(call, "ecs", f"container-instance/{cluster}/*"),)
    if operation == "DescribeClusters":
        return tuple(
            _ecs_arn(call, "cluster", name) for name in _names(parameters, "clusters") or ["default"]
        )
    # DescribeTaskDefinition is here on purpose: it has no resource types, and AWS wants "*" for it.
    return ()


def _ecr(call: Call, parameters: JsonObject) -> Resources:
    if call.operation == "GetAuthorizationToken":
        return ()
    registry = f"arn:aws:ecr:{call.region}:{parameters.get('registryId') or call.account}:repository"
    names = _names(parameters, "repositoryName", "repositoryNames")
    if not names and call.operation == "DescribeRepositories":
        names = ["*"]
    return tuple(f"{registry}/{name}" for name in names)


def _kms(call: Call, parameters: JsonObject) -> Resources:
    # Whatever a key is called by, policies name it by its ARN; an alias of its own is a resource nowhere but
    # where aliases are made. https://docs.aws.amazon.com/kms/latest/developerguide/alias-authorization.html
    key = str(parameters.get("KeyId") or "")
    if not key or "alias/" in key:
        return ()
    return (key if key.startswith("arn:") else _arn(call, "kms", f"key/{key}"),)


def _ecs_arn(call: Call, kind: str, name: str) -> str:
    return name if name.startswith("arn:") else _arn(call, "ecs", f"{kind}/{name}")


def _sns(call: Call, parameters: JsonObject) -> Resources:
    if call.operation == "CreateTopic":
        return (_arn(call, "sns", str(parameters.get("Name", ""))),)
    return tuple(_names(parameters, "TopicArn", "TargetArn", "ResourceArn"))


def _sqs(call: Call, parameters: JsonObject) -> Resources:
    urls, names = _names(parameters, "QueueUrl"), _names(parameters, "QueueName")
    if not urls:
        return tuple(_arn(call, "sqs", name) for name in names)
    # A queue's address ends with its owner's account and its name.
    parts = [(call.account, *url.split("/"))[-2:] for url in urls]
    return tuple(f"arn:aws:sqs:{call.region}:{account}:{name}" for account, name in parts)


def _s3(_call: Call, parameters: JsonObject) -> Resources:
    bucket, key = parameters["Bucket"], parameters["Key"]
    if not bucket:
        return ()
    return (f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}",)


def _is_missing(call: Call) -> bool:
    # Only where it is needed: moto's S3 takes long to load.
    from moto.s3.models import FakeKey, s3_backends  # noqa: PLC0415

    bucket = s3_backends[call.account]["aws"].buckets.get(call.parameters["Bucket"])
    # What was deleted from a bucket with versions leaves a marker.
    return bucket is not None and not isinstance(bucket.keys.get(call.parameters["Key"]), FakeKey)


def _secretsmanager(call: Call, parameters: JsonObject) -> Resources:
    # The ARN that a secret got when it was made, with six characters behind its name, however it is called
    # here. https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_iam-permissions.html
    from moto.secretsmanager.models import secretsmanager_backends  # noqa: PLC0415 - as above

    secrets = secretsmanager_backends[call.account][call.region].secrets
    found = []
    for name in _names(parameters, "SecretId", "Name"):
        secret = secrets.get(name)
        unknown = name if name.startswith("arn:") else _arn(call, "secretsmanager", f"secret:{name}")
        found.append(str(secret.arn) if secret else unknown)
    return tuple(found)


def _sts(_call: Call, parameters: JsonObject) -> Resources:
    return tuple(_names(parameters, "RoleArn"))


def _cloudwatch(call: Call, parameters: JsonObject) -> Resources:
    if call.operation == "DescribeAlarms":
        names = _names(parameters, "AlarmNames") or ["*"]
        return tuple(_arn(call, "cloudwatch", f"alarm:{name}") for name in names)
    if call.operation in {"PutMetricAlarm", "SetAlarmState"}:
        return (_arn(call, "cloudwatch", f"alarm:{parameters.get('AlarmName', '')}"),)
    return ()


def _logs(call: Call, parameters: JsonObject) -> Resources:
    # GetQueryResults and StopQuery name a query, which is no resource: AWS wants "*" for them.
    groups = _names(parameters, "logGroupName", "logGroupNames", "logGroupIdentifiers")
    # A policy names a log group with `:*` at its end, and what AWS holds against that has the place of a
    # stream, empty or not.
    tail = f":log-stream:{parameters.get('logStreamName') or ''}"
    return tuple(
        _arn(call, "logs", f"log-group:{group.rpartition(':log-group:')[2]}{tail}") for group in groups
    )


def _events(call: Call, parameters: JsonObject) -> Resources:
    if call.operation != "PutEvents":
        return ()
    buses = [str(entry.get("EventBusName") or "default") for entry in parameters.get("Entries", [])]
    return tuple(bus if bus.startswith("arn:") else _arn(call, "events", f"event-bus/{bus}") for bus in buses)


_RESOLVERS: Mapping[str, Callable[[Call, JsonObject], Resources]] = {
    "cloudwatch": _cloudwatch,
    "ecr": _ecr,
    "ecs": _ecs,
    "events": _events,
    "kms": _kms,
    "logs": _logs,
    "s3": _s3,
    "secretsmanager": _secretsmanager,
    "sns": _sns,
    "sqs": _sqs,
    "ssm": _ssm,
    "sts": _sts,
}
