"""The sweeper: sees to requests that nobody else looks at any more. Runs every five minutes.

::

    a PAUSE hook waits ─▶ decided: carry it out    pending: remind people of it
    the deployment has ended ─▶ sum its requests up in the history ─▶ delete them
    a day of the history is older than it is kept for ─▶ delete it

A deployment that is rolled back or superseded while it waits never calls the approval hook again, so its
request would look open for ever; and ECS calls nobody for a PAUSE hook. What one run can't do, the next
does: nothing is deleted before it is summed up, and both may be done twice.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import batched, chain, islice
from typing import Any

from aws_lambda_powertools import Logger
from botocore.exceptions import ClientError

from hooks.manual_approval.announcement import Subject
from hooks.manual_approval.archive import (
    Entry,
    archive_name,
    archive_path,
    entry_of,
    entry_of_remains,
    write_entry,
)
from hooks.manual_approval.continuation import carry_out
from hooks.manual_approval.handler import PREFIX_VARIABLE
from hooks.manual_approval.parameter_store import ParameterStore, own_identity
from hooks.manual_approval.proceeding import Askers, NotAsked, Proceeding, proceeding_of
from hooks.manual_approval.request import Version
from hooks.manual_approval.telling import tell_what_is_due
from shared import clock
from shared.clients import client
from shared.errors import HookError, Misconfigured, Transient, code_of, translated
from shared.hook import LambdaContext
from shared.lifecycle import ServiceDeploymentArn

RETENTION_VARIABLE = "APPROVAL_RETENTION_DAYS"
DEFAULT_RETENTION_DAYS = 30
HOOK_ROLE_VARIABLE = "APPROVAL_HOOK_ROLE"
PAUSE_ROLE_VARIABLE = "APPROVAL_PAUSE_ROLE"

# A request is written before the API is sure to know its deployment everywhere.
SETTLING_TIME = timedelta(hours=1)

# Reads of Parameter Store may lag behind writes, and what is deleted can't be read again.
LAG = timedelta(minutes=1)

# How far back the first run of an hour looks for days of the history that are to be forgotten. A sweeper that
# was off for longer leaves some behind.
FORGETTING_DAYS = 14
FORGETTING_MINUTES = 5

# DescribeServiceDeployments takes 20 ARNs, DeleteParameters 10 names, GetParametersByPath gives 10 a page.
DEPLOYMENTS_PER_CALL = 20
PARAMETERS_PER_CALL = 10

# How much of each kind is done in one run: Parameter Store takes a few writes a second of all an account, and
# answers are among them. https://docs.aws.amazon.com/general/latest/gr/ssm.html
MOST_REQUESTS = 100
MOST_FAILURES = 5
RESERVE_MILLISECONDS = 15_000

_ENDED = frozenset({"SUCCESSFUL", "STOPPED", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED"})

logger = Logger(service="ecs-lifecycle-hooks")


@dataclass(frozen=True, slots=True)
class Request:
    """An approval parameter as the sweeper sees it."""

    name: str
    deployment: ServiceDeploymentArn
    part: str
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Deployment:
    """What ECS says of a deployment."""

    status: str
    """Empty where ECS does not know it."""
    turned_at: datetime | None = None
    """When it took no more answers: it had ended, or began to roll back."""
    ended_at: datetime | None = None
    waiting: frozenset[str] = frozenset()
    """Ids of the PAUSE hooks that await action."""

    @property
    def has_ended(self) -> bool:
        return self.status in _ENDED


@dataclass(slots=True)
class Run:
    """What came of one run."""

    now: datetime
    has_time: Callable[[], bool]
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("carriedOut", "told", "archived", "forgotten", "putOff"), 0)
    )
    problems: list[Misconfigured] = field(default_factory=list)

    def each[ItemT](self, items: Sequence[ItemT], treat: Callable[[ItemT], None]) -> None:
        """Treat items one by one; what fails is left to the next run, and others are not."""
        failures = 0
        for item in _turned(items, self.now)[:MOST_REQUESTS]:
            if failures >= MOST_FAILURES or not self.has_time():
                break
            try:
                treat(item)
            except HookError as error:
                failures += 1
                self.counts["putOff"] += 1
                logger.warning(f"left to the next run: {error}")
                if isinstance(error, Misconfigured):
                    self.problems.append(error)


def handler(_event: object, context: LambdaContext) -> dict[str, int]:
    """Sweep once; returns how much was done of what.

    Raises what only people can mend, once all else is done, so that an alarm rings.
    """
    prefix, retention = _configuration(os.environ)
    run = Run(clock.now(), lambda: context.get_remaining_time_in_millis() > RESERVE_MILLISECONDS)
    askers = Askers(os.environ.get(HOOK_ROLE_VARIABLE, ""), os.environ.get(PAUSE_ROLE_VARIABLE, ""))
    requests = list(_requests(prefix))
    known = _deployments({request.deployment for request in requests})
    said = [(request, known[request.deployment]) for request in requests if request.deployment in known]
    waiting = [request for request, deployment in said if request.part in deployment.waiting]
    run.each(waiting, lambda request: _see_to(run, request, askers))
    ended = [(request, deployment) for request, deployment in said if _is_over(request, deployment, run.now)]
    run.each(ended, lambda one: _move(run, prefix, *one, askers))
    if run.now.minute < FORGETTING_MINUTES:
        days = [run.now - timedelta(days=retention + age) for age in range(1, FORGETTING_DAYS + 1)]
        run.each(days, lambda day: _forget(run, archive_path(prefix, day.strftime("%Y-%m-%d"))))
    logger.info("swept", extra={"swept": run.counts})
    if run.problems:
        raise run.problems[0]
    return run.counts


def _configuration(environment: Mapping[str, str]) -> tuple[str, int]:
    prefix = environment.get(PREFIX_VARIABLE, "")
    days = environment.get(RETENTION_VARIABLE, str(DEFAULT_RETENTION_DAYS))
    if not prefix.startswith("/") or prefix == "/":
        raise Misconfigured(f"{PREFIX_VARIABLE} must name a path of its own, got {prefix!r}")
    if not days.isdecimal() or not 1 <= len(days.lstrip("0")) <= 4:
        raise Misconfigured(f"{RETENTION_VARIABLE} must be 1 to 9999 days, got {days!r}")
    return prefix.rstrip("/"), int(days)


def _turned[ItemT](items: Sequence[ItemT], now: datetime) -> Sequence[ItemT]:
    """Begin elsewhere in each run, so that of more than one run can treat none is always the last."""
    if len(items) <= MOST_REQUESTS:
        return items
    start = int(now.timestamp()) // 300 * MOST_REQUESTS % len(items)
    return [*items[start:], *items[:start]]


def _requests(prefix: str) -> Iterator[Request]:
    # The parameter's name lacks partition, region and account; this function shares them.
    _, partition, _, _, account, *_ = own_identity().split(":")
    region = os.environ["AWS_REGION"]
    for name, changed_at in _parameters(prefix):
        path = name.removeprefix(prefix).strip("/").split("/")
        # Cluster, service, deployment, and for a step or a PAUSE hook its name.
        if len(path) not in {3, 4}:
            continue
        arn = f"arn:{partition}:ecs:{region}:{account}:service-deployment/{'/'.join(path[:3])}"
        try:
            deployment = ServiceDeploymentArn.parse(arn)
        except Misconfigured:
            # Not ours to remove, and one name that ECS can't read would fail the whole batch.
            continue
        yield Request(name, deployment, "".join(path[3:]), changed_at)


def _parameters(path: str) -> Iterator[tuple[str, datetime]]:
    pages = (
        client("ssm")
        .get_paginator("get_parameters_by_path")
        .paginate(Path=path, Recursive=True, PaginationConfig={"PageSize": PARAMETERS_PER_CALL})
    )
    with translated("ssm:GetParametersByPath", path):
        for found in chain.from_iterable(page["Parameters"] for page in pages):
            yield found["Name"], found["LastModifiedDate"].astimezone(UTC)


def _deployments(arns: set[ServiceDeploymentArn]) -> Mapping[ServiceDeploymentArn, Deployment]:
    """Return what ECS says of each; one that it says nothing of is not in there."""
    deployments: dict[ServiceDeploymentArn, Deployment] = {}
    for batch in batched(sorted(map(str, arns)), DEPLOYMENTS_PER_CALL, strict=False):
        for arn, deployment in _answers(batch):
            deployments[ServiceDeploymentArn.parse(arn)] = deployment
    return deployments


def _answers(arns: Sequence[str]) -> Iterator[tuple[str, Deployment]]:
    with translated("ecs:DescribeServiceDeployments", ", ".join(arns)):
        try:
            found = client("ecs").describe_service_deployments(serviceDeploymentArns=list(arns))
        except ClientError as error:
            if code_of(error) != "InvalidParameterException":
                raise
            # Anybody who may answer can make a name under the prefix, and one that ECS can't read must not
            # keep it from speaking of the others.
            if len(arns) == 1:
                yield arns[0], Deployment("")
            else:
                half = len(arns) // 2
                yield from _answers(arns[:half])
                yield from _answers(arns[half:])
            return
    for described in found["serviceDeployments"]:
        yield described["serviceDeploymentArn"], _described(described)
    for failure in found.get("failures") or ():
        if failure.get("reason") == "MISSING" and failure.get("arn") in arns:
            yield failure["arn"], Deployment("")


def _described(deployment: Mapping[str, Any]) -> Deployment:
    ended_at = deployment.get("finishedAt") or deployment.get("stoppedAt")
    turned = (deployment.get("rollback") or {}).get("startedAt")
    moments = [moment.astimezone(UTC) for moment in (ended_at, turned) if moment is not None]
    return Deployment(
        status=str(deployment.get("status", "")),
        turned_at=min(moments, default=None),
        ended_at=ended_at.astimezone(UTC) if ended_at is not None else None,
        waiting=frozenset(
            hook["hookId"]
            for hook in deployment.get("lifecycleHookDetails") or ()
            if hook.get("targetType") == "PAUSE" and hook.get("status") == "AWAITING_ACTION"
        ),
    )


def _is_over(request: Request, deployment: Deployment, now: datetime) -> bool:
    if deployment.has_ended:
        return now - (deployment.ended_at or request.changed_at) >= LAG
    return not deployment.status and now - request.changed_at > SETTLING_TIME


def _see_to(run: Run, request: Request, askers: Askers) -> None:
    """Carry out what was decided on a PAUSE hook that waits, or remind people of it."""
    store = ParameterStore(request.name)
    try:
        proceeding = proceeding_of(
            request.name, request.deployment, request.part, store.history(), askers, run.now
        )
    except NotAsked as error:
        # The function that asks may be about to; whatever else stands there counts for nothing.
        logger.warning(str(error))
        return
    if proceeding.outcome == "pending":
        run.counts["told"] += _tell(proceeding, store, run.now)
    elif carry_out(proceeding):
        run.counts["carriedOut"] += 1
        logger.info(f"{request.name}: {proceeding.outcome}, and ECS was told")


def _tell(proceeding: Proceeding, store: ParameterStore, now: datetime) -> int:
    assert proceeding.rules is not None
    assert proceeding.finding is not None
    told = tell_what_is_due(
        store,
        proceeding.history,
        proceeding.asked,
        hook=proceeding.asker,
        subject=Subject(proceeding.deployment, proceeding.statement.stage, pause=proceeding.part),
        expires_at=proceeding.finding.expires_at,
        required=proceeding.rules.required,
        environment=os.environ,
        now=now,
        tellers=(own_identity(),),
    )
    return len(told.changes)


def _move(run: Run, prefix: str, request: Request, deployment: Deployment, askers: Askers) -> None:
    """Sum a request up in the history, then delete it."""
    if history := ParameterStore(request.name).history():
        if history[-1].at < request.changed_at:
            # What is not shown yet may be the answer, and is about to be deleted.
            raise Transient(f"{request.name}: Parameter Store does not show all versions yet")
        entry = _entry(request, deployment, history, askers)
        # Where there is one already, an earlier run came so far and no further.
        ParameterStore(archive_name(prefix, entry)).create(write_entry(entry))
        _delete([request.name])
        run.counts["archived"] += 1


def _entry(request: Request, deployment: Deployment, history: Sequence[Version], askers: Askers) -> Entry:
    ended_at = deployment.ended_at or history[-1].at
    turned_at = deployment.turned_at or ended_at
    # Whoever answered after that has decided nothing.
    in_time = [version for version in history if version.at <= turned_at]
    try:
        proceeding = proceeding_of(request.name, request.deployment, request.part, in_time, askers, turned_at)
    except (NotAsked, Misconfigured) as error:
        logger.warning(f"{error}; summed up as undecided")
        return entry_of_remains(request.deployment, request.part, history, deployment.status, ended_at)
    return entry_of(proceeding, deployment.status, ended_at)


def _forget(run: Run, path: str) -> None:
    """Delete what the history has of a day."""
    names = islice((name for name, _ in _parameters(path)), MOST_REQUESTS)
    for batch in batched(list(names), PARAMETERS_PER_CALL, strict=False):
        _delete(batch)
        run.counts["forgotten"] += len(batch)


def _delete(names: Sequence[str]) -> None:
    with translated("ssm:DeleteParameters", ", ".join(names)):
        client("ssm").delete_parameters(Names=list(names))
