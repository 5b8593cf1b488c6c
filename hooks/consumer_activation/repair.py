"""The repair: gives the queue to the revision that serves, where it was left to another or to nobody.

Runs on a schedule, because ECS calls the activation hook only while it deploys. If a hand-over breaks off
half-way and ECS makes no rollback call, or somebody stops the deployment or garbles the parameter, nobody
would consume until the next deployment.

::

    each parameter ─▶ old enough? ─▶ newest deployment has ended? ─▶ who serves ─▶ decide ─▶ write
                      not held       else its own hook does it       (aim_of)      (protocol)

It goes by the hook's own protocol, with one write for each service and run: a hand-over that takes two writes
takes two runs. If a hook or a person writes at the same moment, one of the two writes is void.
"""

import enum
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from hooks.consumer_activation.handler import ENDED, parameter_prefix, rules_of
from hooks.consumer_activation.parameter_store import ParameterStore, service_of
from hooks.consumer_activation.protocol import Aim, Phase, Purpose, Rules, Standing, Work, decide, phase
from hooks.consumer_activation.settings import ConsumerSettings
from hooks.consumer_activation.state import State
from shared import clock
from shared.clients import client
from shared.deployment import Deployment
from shared.errors import HookError, Misconfigured, code_of, translated
from shared.hook import logger
from shared.lifecycle import LifecycleEvent, ServiceDeploymentArn, ServiceRevisionArn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mypy_boto3_ecs.type_defs import ServiceDeploymentBriefTypeDef

# Whoever wrote this lately, a hook or a person, may be about to write again.
MIN_AGE_SECONDS = 120.0

# What GetParametersByPath gives at most, and as many pages as can be gone through in the function's time.
PARAMETERS_PER_PAGE = 10
MAX_PAGES = 100

UNKNOWN_SERVICE = frozenset({"ClusterNotFoundException", "ServiceNotFoundException"})


class Outcome(enum.StrEnum):
    """What became of one service."""

    REPAIRED = "repaired"
    """A version was written."""
    LEFT = "left"
    """Nothing is wrong, or somebody else sees to it."""
    UNDECIDED = "undecided"
    """Something is wrong that only a person can put right; the log says what."""
    FAILED = "failed"
    """AWS did not let us know or write; the next run tries again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The newest deployment of a service, once it has ended, and its revisions by id."""

    id: str
    status: str
    target: str
    blue: str | None = None
    """Whom it went back to, if it did."""
    serving: tuple[str, ...] = ()
    """Of the sources that have tasks, those with the most production traffic."""
    sources: frozenset[str] = frozenset()


def handler(_event: object, _context: object) -> Mapping[str, int]:
    """Repair once. Returns how many services were ``repaired``, ``left``, ``undecided`` and ``failed``."""
    counts = Counter(dict.fromkeys(map(str, Outcome), 0))
    errors: list[HookError] = []
    for name, cluster, service in _services(parameter_prefix(os.environ)):
        try:
            outcome = _repair(ParameterStore(name), cluster, service)
        except HookError as error:
            logger.error(f"{name}: not repaired: {error}")
            errors.append(error)
            outcome = Outcome.FAILED
        counts[outcome] += 1
    logger.info("looked at who consumes", extra={"repair": counts})
    if errors and len(errors) == counts.total():
        raise errors[0]
    return counts


def aim_of(ended: Ended, state: State | None) -> Aim | str:
    """Tell who has to be active now, or why that is not certain enough to change anything."""
    serving: frozenset[str] = frozenset()
    match ended.status:
        case "SUCCESSFUL":
            active = ended.target
        case "ROLLBACK_SUCCESSFUL":
            if ended.blue is None:
                return f"deployment {ended.id} was rolled back to no revision, so none serves; deploy again"
            active = ended.blue
        case _:
            # Both may have tasks, and traffic: whoever of them consumes goes on.
            serving = ended.sources | {ended.target}
            active = ended.serving[0] if ended.serving else ended.target
            if state and state.active is not None and state.active not in serving:
                return (
                    f"{state.active} is active, but no revision of deployment {ended.id}, "
                    f"which is {ended.status}; if it has no tasks, set one by hand that has"
                )
    return Aim(
        purpose=Purpose.REPAIR, active=active, deployment=ended.id, serving=serving - {active}, blue=active
    )


def is_held(state: State | None) -> bool:
    """Tell whether a person has let nobody be active; what a deployment left has its id and a version."""
    return state is not None and state.active is None and None in (state.version, state.deployment)


def rules_for(state: State | None) -> Rules:
    """Keep the workers' pace; everything else is as by default."""
    rules = rules_of(ConsumerSettings())
    if state is None:
        return rules
    return replace(
        rules,
        lease_seconds=state.lease_seconds,
        read_seconds=state.read_seconds,
        read_lag_seconds=state.read_lag_seconds,
    )


def _repair(store: ParameterStore, cluster: str, service: str) -> Outcome:
    now = clock.now()
    standing = store.read(now)
    # One that was deleted since it was listed has no age either, and is not made anew.
    if standing.age_seconds < MIN_AGE_SECONDS:
        return Outcome.LEFT
    if is_held(standing.state):
        logger.info(f"{store.name}: nobody consumes, and it is left so: that was set by hand")
        return Outcome.LEFT
    ended = _ended(store.name, cluster, service, standing)
    if isinstance(ended, Outcome):
        return ended
    aim = aim_of(ended, standing.state)
    if isinstance(aim, str):
        logger.error(f"{store.name}: {aim}")
        return Outcome.UNDECIDED
    return _advance(store, standing, aim, ended, now)


def _advance(store: ParameterStore, standing: Standing, aim: Aim, ended: Ended, now: datetime) -> Outcome:
    """Take the hand-over one step further, if there is one to make."""
    rules = rules_for(standing.state or store.last_understood(standing))
    if phase(standing, aim, rules) is Phase.SETTLED:
        return Outcome.LEFT
    done = Work(1, f"whoever was active was told to stop {standing.age_seconds:.0f} s ago")
    step = decide(standing, aim, rules, now, work=done)
    if step.write is None:
        return Outcome.LEFT
    if not store.write(step.write):
        logger.info(f"{store.name}: not repaired: somebody else wrote at the same moment")
        return Outcome.LEFT
    then = "" if step.write.active else f"; a later run lets {aim.active} consume"
    logger.warning(
        f"{store.name}: {step.change}{then}. Deployment {ended.id} is {ended.status}, and left it otherwise"
    )
    return Outcome.REPAIRED


def _services(prefix: str) -> Iterator[tuple[str, str, str]]:
    """Yield name, cluster and service of each parameter that is called as the hook calls them."""
    pages = (
        client("ssm")
        .get_paginator("get_parameters_by_path")
        .paginate(Path=prefix, Recursive=True, PaginationConfig={"PageSize": PARAMETERS_PER_PAGE})
    )
    with translated("ssm:GetParametersByPath", prefix):
        for number, page in enumerate(pages):
            if number == MAX_PAGES:
                # Those before have been seen to.
                raise Misconfigured(f"{prefix}: more than {MAX_PAGES * PARAMETERS_PER_PAGE} parameters")
            for found in page["Parameters"]:
                if service := service_of(prefix, found["Name"]):
                    yield found["Name"], *service


def _ended(name: str, cluster: str, service: str, standing: Standing) -> Ended | Outcome:
    """Return a service's newest deployment, or what becomes of a service that has none that has ended."""
    deployments = _deployments(cluster, service)
    if deployments is None:
        logger.warning(f"{name}: ECS knows no such service; delete the parameter if it is gone")
        return Outcome.LEFT
    # They come newest first, which is observed and not documented.
    newest = max(deployments, key=lambda one: one["createdAt"], default=None)
    if newest is not None:
        return _described(newest) if newest["status"] in ENDED else Outcome.LEFT
    if standing.state is not None and standing.state.active is not None:
        return Outcome.LEFT
    # ECS keeps deployments for 90 days.
    logger.error(f"{name}: nobody consumes, and ECS has no deployment that tells who should; set it by hand")
    return Outcome.UNDECIDED


def _deployments(cluster: str, service: str) -> "Sequence[ServiceDeploymentBriefTypeDef] | None":
    """Return the latest deployments of a service; ``None`` for a service that ECS does not know."""
    with translated("ecs:ListServiceDeployments", f"{cluster}/{service}"):
        try:
            return client("ecs").list_service_deployments(cluster=cluster, service=service)[
                "serviceDeployments"
            ]
        except ClientError as error:
            if code_of(error) in UNKNOWN_SERVICE:
                return None
            raise


def _described(newest: "ServiceDeploymentBriefTypeDef") -> Ended:
    arn = ServiceDeploymentArn.parse(newest["serviceDeploymentArn"], "serviceDeploymentArn")
    target = ServiceRevisionArn.parse(newest["targetServiceRevisionArn"])
    ended = Ended(id=arn.id, status=newest["status"], target=target.id)
    if ended.status == "SUCCESSFUL":
        return ended
    # As an event without weights would have it: they come from the deployment itself then.
    event = LifecycleEvent(
        execution_id="",
        stage_name="",
        deployment=arn,
        service=arn.service_arn,
        target=target,
        test_weights={},
        production_weights={},
        hook_details={},
    )
    deployment = Deployment(event)
    blue = deployment.blue_arn
    return replace(
        ended,
        blue=blue.id if blue else None,
        serving=tuple(revision.id for revision in deployment.serving),
        sources=frozenset(revision.id for revision in deployment.sources),
    )
