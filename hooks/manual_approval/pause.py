"""PAUSE hooks: ECS waits by itself and calls nobody, so this function asks people, by the same rules.

::

    ECS ─▶ EventBridge: a hook awaits action ─▶ is it so? (ECS) ─▶ write the request ─▶ tell people
                                                    └─ not, or not any more ─▶ nothing

The event is only a hint: which hook waits, until when, and what happens then is what ECS itself says.
Events come at least once and in any order, and the request is made once however many come.

What is raised is tried again: by Lambda, twice within some minutes, and then the alarm rings. What can't be
read is no event of ECS's, and is logged and dropped.

Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_hook_state_change_events.html
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from aws_lambda_powertools import Logger

from hooks.manual_approval.announcement import Subject
from hooks.manual_approval.approvers import Electorate, same_role
from hooks.manual_approval.decision import decide
from hooks.manual_approval.handler import CONSOLE_ROLE_VARIABLE, PREFIX_VARIABLE
from hooks.manual_approval.parameter_store import ParameterStore, own_identity
from hooks.manual_approval.proceeding import PAUSE_PREFIX
from hooks.manual_approval.request import (
    Version,
    is_request_for,
    parameter_name,
    rules_in,
    write_pause_request,
)
from hooks.manual_approval.rules import MAX_SECONDS, Rules, read_rules
from hooks.manual_approval.settings import ApprovalPolicy, ApprovalSettings
from hooks.manual_approval.telling import tell_what_is_due
from shared import clock
from shared.clients import client
from shared.clock import parse_timestamp
from shared.errors import Misconfigured, Transient, shown, translated
from shared.lifecycle import ServiceDeploymentArn, Stage
from shared.settings import resolve

SWEEP_ROLE_VARIABLE = "APPROVAL_SWEEP_ROLE"

# "hookId must follow the format: ecs-{hookType}-{id}"; it becomes a part of the parameter's name.
_HOOK_ID = re.compile(rf"{PAUSE_PREFIX}[A-Za-z0-9_-]{{1,200}}")

# An event may be faster than the API that is asked whether it is so. A hook that is not there after that has
# ceased to wait.
SETTLING_TIME = timedelta(minutes=1)

logger = Logger(service="ecs-lifecycle-hooks")


@dataclass(frozen=True, slots=True)
class PauseEvent:
    """A PAUSE hook is said to wait."""

    deployment: ServiceDeploymentArn
    hook_id: str
    stage: str
    """Empty where the event names none that there is."""
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A PAUSE hook that does wait, as ECS says."""

    stage: str
    expires_at: datetime
    on_expiry: Literal["refuse", "proceed"]


def handler(event: object, _context: object) -> dict[str, str]:
    """Ask for one PAUSE hook. Returns the parameter that is its ``request``; nothing where none waits."""
    try:
        said = read_event(event)
    except Misconfigured as error:
        logger.error(f"no event of a PAUSE hook, dropped: {error}")
        return {}
    now = clock.now()
    if not _is_ours(said.deployment):
        logger.error(f"an event of another account or region, dropped: {said.deployment}")
        return {}
    waiting = _waiting(said, now)
    if waiting is None:
        logger.info(f"{said.hook_id} of {said.deployment} waits no longer")
        return {}
    return {"request": _ask(said, waiting, os.environ, now)}


def read_event(event: object) -> PauseEvent:
    """Read what EventBridge sends; raises ``Misconfigured`` for any other event."""
    if not isinstance(event, Mapping) or not isinstance(detail := event.get("detail"), Mapping):
        raise Misconfigured(f"expected an event with a detail, got {shown(event)}")
    for key, expected in (("eventName", "HOOK_AWAITING_ACTION"), ("hookType", "PAUSE")):
        if detail.get(key) != expected:
            raise Misconfigured(f"detail.{key}: expected {expected}, got {shown(detail.get(key))}")
    hook_id = detail.get("hookId")
    if not isinstance(hook_id, str) or not _HOOK_ID.fullmatch(hook_id):
        raise Misconfigured(f"detail.hookId: expected {PAUSE_PREFIX}..., got {shown(hook_id)}")
    stage = detail.get("lifecycleStage")
    return PauseEvent(
        ServiceDeploymentArn.parse(detail.get("serviceDeploymentArn"), "detail.serviceDeploymentArn"),
        hook_id,
        stage if isinstance(stage, str) and stage in set(Stage) else "",
        _moment(event.get("time")),
    )


def _moment(value: object) -> datetime | None:
    try:
        return parse_timestamp(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _is_ours(deployment: ServiceDeploymentArn) -> bool:
    account = own_identity().split(":")[4]
    return (deployment.account, deployment.region) == (account, os.environ["AWS_REGION"])


def _waiting(said: PauseEvent, now: datetime) -> Waiting | None:
    """Return what ECS says of the hook, ``None`` when it waits no longer; raises while that is not sure."""
    arn = str(said.deployment)
    with translated("ecs:DescribeServiceDeployments", arn):
        found = client("ecs").describe_service_deployments(serviceDeploymentArns=[arn])
    deployment: Mapping[str, Any] = next(
        (one for one in found["serviceDeployments"] if one.get("serviceDeploymentArn") == arn), {}
    )
    hook = next(
        (
            hook
            for hook in deployment.get("lifecycleHookDetails") or ()
            if hook.get("hookId") == said.hook_id and hook.get("targetType") == "PAUSE"
        ),
        None,
    )
    if hook is None:
        if said.at is not None and abs(now - said.at) < SETTLING_TIME:
            raise Transient(f"ecs:DescribeServiceDeployments does not show {said.hook_id} of {arn} (yet)")
        return None
    # Where ECS names no expiry, its own limit is one.
    expires_at = (
        hook["expiresAt"].astimezone(UTC) if "expiresAt" in hook else now + timedelta(seconds=MAX_SECONDS)
    )
    if hook.get("status") != "AWAITING_ACTION" or expires_at <= now:
        return None
    on_expiry = hook.get("timeoutAction")
    return Waiting(
        _stage(str(deployment.get("lifecycleStage", "")), said.stage),
        expires_at,
        "proceed" if on_expiry == "CONTINUE" else "refuse",
    )


def _stage(shown_stage: str, said: str) -> str:
    """Return the stage, as far as it can be known: it is for people to read.

    ECS may report the stage before a shift as the shift itself, at which no PAUSE hook can be, and names none
    in a rolling deployment.
    """
    if shown_stage == Stage.PRODUCTION_TRAFFIC_SHIFT:
        return Stage.PRE_PRODUCTION_TRAFFIC_SHIFT
    return shown_stage or said or "an unknown stage"


def _ask(said: PauseEvent, waiting: Waiting, environment: Mapping[str, str], now: datetime) -> str:
    """Write the request, unless it is there; tell people, unless they were told. Returns the parameter."""
    prefix = environment.get(PREFIX_VARIABLE, "")
    if not prefix.startswith("/"):
        raise Misconfigured(f"{PREFIX_VARIABLE} must name a path, such as /approvals, got {shown(prefix)}")
    rules = _rules(waiting, environment, now)
    text = write_pause_request(said.deployment, said.hook_id, waiting.stage, rules=rules, now=now)
    _rules_in(text)
    hook = own_identity()
    store = ParameterStore(parameter_name(prefix, said.deployment, said.hook_id))
    written = _write(store, said, text, hook)
    history = store.history()
    asked = _request(said, history, hook)
    if asked is None:
        raise Transient(f"{store.name}: the request is written; Parameter Store does not show it yet")
    # Whoever wrote it: the time left now is less than it was then.
    rules = _rules_in(asked.text)
    finding = decide(history, asked, hook, rules, now)
    if finding.outcome == "pending":
        tell_what_is_due(
            store,
            history,
            asked,
            hook=hook,
            subject=Subject(said.deployment, waiting.stage, pause=said.hook_id),
            expires_at=finding.expires_at,
            required=rules.required,
            environment=environment,
            now=now,
            wrote_it=asked.number == written,
            tellers=tuple(filter(None, (environment.get(SWEEP_ROLE_VARIABLE),))),
        )
    return store.name


def _write(store: ParameterStore, said: PauseEvent, text: str, hook: str) -> int | None:
    """Write the request; return its version, ``None`` where an earlier call has written it."""
    if store.create(text):
        logger.info(f"wrote the request {store.name}")
        return 1
    history = store.history()
    if not history:
        raise Transient(f"{store.name}: exists, and Parameter Store does not show it yet")
    if history[0].number != 1:
        raise Misconfigured(
            f"{store.name}: versions before {history[0].number} are gone, and with them the proof"
        )
    if _request(said, history, hook) is not None:
        return None
    # Two calls may come to this; the first of their requests is the one that counts.
    logger.warning(f"{store.name}: existed before the request; what it says does not count")
    return store.append(text)


def _rules(waiting: Waiting, environment: Mapping[str, str], now: datetime) -> Rules:
    """Make the organisation's policy the rules: a PAUSE hook has no ``hookDetails``."""
    resolved = resolve(ApprovalSettings, ApprovalPolicy, {}, environment)
    settings, policy = resolved.settings, resolved.policy
    # ECS decides when it ends, and takes no other word: nobody can put it off.
    left = min(waiting.expires_at - now, timedelta(seconds=MAX_SECONDS))
    return Rules(
        required=settings.required_approvals,
        electorate=Electorate(
            allowed=(policy.allowed_approvers,),
            excluded=settings.excluded_approvers,
            personal_sessions=policy.personal_sessions,
            console=environment.get(CONSOLE_ROLE_VARIABLE, ""),
        ),
        expires_after=left,
        extendable_to=left,
        on_expiry=waiting.on_expiry,
    )


def _rules_in(text: str) -> Rules:
    """Return the rules of a request, by which its answers are counted; without them nobody could decide."""
    try:
        return read_rules(rules_in(text))
    except ValueError as error:
        raise Misconfigured(
            "HOOK_POLICY: who may decide is too long a list for a request, of which PAUSE hooks are decided; "
            "name roles or groups instead of people, or use the approval hook"
        ) from error


def _request(said: PauseEvent, history: Sequence[Version], hook: str) -> Version | None:
    """Return the version that asks: the first that this function itself wrote for this very hook."""
    return next(
        (
            version
            for version in history
            if same_role(version.by, hook) and is_request_for(version, said.deployment, said.hook_id)
        ),
        None,
    )
