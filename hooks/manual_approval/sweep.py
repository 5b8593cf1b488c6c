"""The sweeper: requests whose deployment has ended are closed, and old ones removed. Runs on a schedule.

A deployment that is rolled back or superseded while it waits never calls the approval hook again, so
its request would look open for ever.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import batched, chain
from typing import Any

from aws_lambda_powertools import Logger

from hooks.manual_approval.handler import PREFIX_VARIABLE
from hooks.manual_approval.parameter_store import own_identity
from hooks.manual_approval.request import Kind, read, write_closing
from shared import clock
from shared.clients import client
from shared.errors import Misconfigured, translated
from shared.lifecycle import ServiceDeploymentArn

RETENTION_VARIABLE = "APPROVAL_RETENTION_DAYS"
DEFAULT_RETENTION_DAYS = 30

# A stage may take a day, so a younger request may still be waited for.
MIN_RETENTION_DAYS = 2

# A request is written before the API is sure to know its deployment everywhere.
SETTLING_TIME = timedelta(hours=1)

# DescribeServiceDeployments takes 20 ARNs, DeleteParameters 10 names, GetParametersByPath gives 10 a page.
DEPLOYMENTS_PER_CALL = 20
PARAMETERS_PER_CALL = 10

logger = Logger(service="ecs-lifecycle-hooks")


@dataclass(frozen=True, slots=True)
class Request:
    """An approval parameter as the sweeper sees it."""

    name: str
    deployment: str
    """ARN."""
    changed_at: datetime
    closed: bool


def handler(_event: object, _context: object) -> dict[str, Any]:
    """Sweep once. Returns how many requests were ``closed`` and ``removed``."""
    prefix, retention = _configuration(os.environ)
    now = clock.now()
    requests = list(_requests(prefix))
    old = [request for request in requests if now - request.changed_at > retention]
    for batch in batched((request.name for request in old), PARAMETERS_PER_CALL, strict=False):
        with translated("ssm:DeleteParameters", ", ".join(batch)):
            client("ssm").delete_parameters(Names=list(batch))
    open_ones = [request for request in requests if not request.closed and request not in old]
    statuses = _statuses(request.deployment for request in open_ones)
    closed = [request for request in open_ones if _has_ended(request, statuses, now)]
    for request in closed:
        outcome = f"deployment ended: {statuses.get(request.deployment, 'no longer known')}"
        with translated("ssm:PutParameter", request.name):
            client("ssm").put_parameter(
                Name=request.name,
                Value=write_closing(outcome, by=(), comment="", now=now),
                Type="String",
                Overwrite=True,
            )
    summary = {"closed": [request.name for request in closed], "removed": [request.name for request in old]}
    logger.info("swept", extra={"swept": summary})
    return {name: len(names) for name, names in summary.items()}


def _configuration(environment: Mapping[str, str]) -> tuple[str, timedelta]:
    prefix = environment.get(PREFIX_VARIABLE, "")
    days = environment.get(RETENTION_VARIABLE, str(DEFAULT_RETENTION_DAYS))
    if not prefix.startswith("/") or prefix == "/":
        raise Misconfigured(f"{PREFIX_VARIABLE} must name a path of its own, got {prefix!r}")
    if not days.isdecimal() or int(days) < MIN_RETENTION_DAYS:
        raise Misconfigured(f"{RETENTION_VARIABLE} must be at least {MIN_RETENTION_DAYS} days, got {days!r}")
    return prefix.rstrip("/"), timedelta(days=int(days))


def _requests(prefix: str) -> Iterator[Request]:
    # The parameter's name lacks partition, region and account; this function shares them.
    _, partition, _, _, account, *_ = own_identity().split(":")
    region = os.environ["AWS_REGION"]
    pages = (
        client("ssm")
        .get_paginator("get_parameters_by_path")
        .paginate(Path=prefix, Recursive=True, PaginationConfig={"PageSize": PARAMETERS_PER_CALL})
    )
    with translated("ssm:GetParametersByPath", prefix):
        for found in chain.from_iterable(page["Parameters"] for page in pages):
            parts = found["Name"].removeprefix(prefix).strip("/").split("/")
            # Cluster, service, deployment, and for a step its name.
            arn = f"arn:{partition}:ecs:{region}:{account}:service-deployment/{'/'.join(parts[:3])}"
            try:
                deployment = ServiceDeploymentArn.parse(arn)
            except Misconfigured:
                # Not ours to remove, and one name that ECS can't read would fail the whole batch.
                continue
            yield Request(
                found["Name"],
                str(deployment),
                found["LastModifiedDate"].astimezone(UTC),
                closed=read(found["Value"]).kind is Kind.CLOSED,
            )


def _statuses(deployments: Iterable[str]) -> dict[str, str]:
    statuses = {}
    for batch in batched(dict.fromkeys(deployments), DEPLOYMENTS_PER_CALL, strict=False):
        with translated("ecs:DescribeServiceDeployments", ", ".join(batch)):
            found = client("ecs").describe_service_deployments(serviceDeploymentArns=list(batch))
        for deployment in found["serviceDeployments"]:
            statuses[deployment["serviceDeploymentArn"]] = str(deployment["status"])
    return statuses


def _has_ended(request: Request, statuses: Mapping[str, str], now: datetime) -> bool:
    status = statuses.get(request.deployment)
    if status is None:
        return now - request.changed_at > SETTLING_TIME
    return status in {"SUCCESSFUL", "STOPPED", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED"}
