"""The approval hook: ask once, look until someone has decided, answer ECS.

::

    no request yet ─▶ write it, announce it ─▶ Wait ─┐
    nothing new since the last look ─▶ Wait ─────────┤ asked again by ECS
    a new version ─▶ decide on the whole history ────┘
                        ├─ approved            ─▶ close, Proceed
                        ├─ rejected            ─▶ close, Refuse
                        └─ expired             ─▶ close, read again: an answer may have come before,
                                                  Refuse (or Proceed, where settings say so)
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from hooks.manual_approval.announcement import Subject
from hooks.manual_approval.approvers import Electorate, same_role
from hooks.manual_approval.decision import EXPIRED, Finding, Pace, decide
from hooks.manual_approval.parameter_store import ParameterStore, own_identity
from hooks.manual_approval.request import (
    Kind,
    Version,
    is_request_for,
    parameter_name,
    part_of,
    read,
    write_closing,
    write_request,
)
from hooks.manual_approval.rules import Rules, read_rules
from hooks.manual_approval.settings import ApprovalPolicy, ApprovalSettings
from hooks.manual_approval.telling import Told, tell_what_is_due
from shared.clock import parse_timestamp, timestamp
from shared.errors import HookError, Misconfigured, Transient
from shared.hook import Call, lifecycle_hook, logger
from shared.lifecycle import Stage
from shared.response import Proceed, Refuse, Result, Wait
from shared.revision import Revision

PREFIX_VARIABLE = "APPROVAL_PARAMETER_PREFIX"
CONSOLE_ROLE_VARIABLE = "APPROVAL_CONSOLE_ROLE"

ApprovalCall = Call[ApprovalSettings, ApprovalPolicy]


def replay(inputs: Mapping[str, Any]) -> Result:
    """Compute the answer again from what a record says it was computed from."""
    history = [Version(**{**version, "at": parse_timestamp(version["at"])}) for version in inputs["history"]]
    asked = next(version for version in history if version.number == inputs["asked"])
    rules = read_rules(inputs["rules"])
    result = answer(
        decide(
            history,
            asked,
            inputs["hook"],
            rules,
            parse_timestamp(inputs["now"]),
        ),
        rules.on_expiry,
        Wait("", inputs["delay"]),
    )
    return _observed(result) if inputs["observe"] else result


# POST_TEST_TRAFFIC_SHIFT: green is up and can be tried. PRE_PRODUCTION_TRAFFIC_SHIFT: before each step.
# At the shift stages traffic may already be moving, and before POST_TEST there is nothing to look at.
@lifecycle_hook(
    "manual_approval",
    stages={Stage.POST_TEST_TRAFFIC_SHIFT, Stage.PRE_PRODUCTION_TRAFFIC_SHIFT},
    settings=ApprovalSettings,
    policy=ApprovalPolicy,
    replay=replay,
)
def handler(call: ApprovalCall) -> Result:
    """Answer one call of ECS."""
    settings = call.settings
    if settings.on_first_deployment == "skip" and call.deployment.is_first:
        return Proceed("first deployment of the service, and onFirstDeployment is skip")
    prefix = call.environment.get(PREFIX_VARIABLE, "")
    if not prefix.startswith("/"):
        raise Misconfigured(
            f"the function's environment variable {PREFIX_VARIABLE} must name a path, such as /approvals"
        )
    _check_step(call)
    result = _proceeding(
        call, ParameterStore(parameter_name(prefix, call.event.deployment, part_of(call.event)))
    )
    return _observed(result) if settings.mode == "observe" else result


def _check_step(call: ApprovalCall) -> None:
    """Refuse where steps can't be told apart: what approves one would approve all that follow."""
    if call.event.stage is Stage.PRE_PRODUCTION_TRAFFIC_SHIFT and not call.event.step:
        strategy = call.deployment.strategy
        if strategy in {"CANARY", "LINEAR"}:
            raise Misconfigured(
                f"productionTrafficWeights does not have green, so the steps of this {strategy} deployment "
                "can't be told apart; ask once, at POST_TEST_TRAFFIC_SHIFT"
            )


def _proceeding(call: ApprovalCall, store: ParameterStore) -> Result:
    """Take the proceeding one look further."""
    if nothing_new := _unchanged(call, store):
        return nothing_new
    hook = own_identity()
    history = _whole(store)
    asked = _request(call, history, hook)
    if asked is None:
        return _ask(call, store, history, hook)
    rules = _rules(call)
    finding = decide(history, asked, hook, rules, call.now)
    if finding.outcome == EXPIRED and not finding.settled:
        # Of an answer and the expiry that come at the same moment, the first in the history counts.
        store.append(_closing(call, finding))
        history = _whole(store)
        finding = decide(history, asked, hook, rules, call.now)
        if finding.outcome == EXPIRED and not finding.settled:
            raise Transient(f"{store.name}: expired, and Parameter Store does not show yet what came before")
    for remark in finding.remarks:
        logger.warning(f"{store.name}: {remark}")
    call.evidence.inputs = _inputs(call, history, asked=asked, hook=hook, rules=rules, finding=finding)
    told = Told(quiet_until=call.now)
    if finding.outcome == "pending":
        told = _tell(call, store, history, asked, hook=hook, finding=finding)
    result = answer(finding, rules.on_expiry, _wait(call, asked.at, finding.expires_at, told))
    if not isinstance(result, Wait) and not _is_closed(history, hook, finding.outcome):
        _close(call, store, finding)
    return result


def answer(finding: Finding, on_expiry: str, waiting: Wait) -> Result:
    """Turn what was found into what ECS is told."""
    who = "; ".join(f"{vote.by}{': ' + vote.comment if vote.comment else ''}" for vote in finding.votes)
    match finding.outcome:
        case "approved":
            return Proceed(f"approved by {who}")
        case "rejected":
            return Refuse(f"rejected by {who}")
        case "expired":
            reason = f"nobody decided by {timestamp(finding.expires_at)}"
            if finding.votes:
                reason = f"too few approvals by {timestamp(finding.expires_at)}; only by {who}"
            return Proceed(f"onExpiry is proceed: {reason}") if on_expiry == "proceed" else Refuse(reason)
        case "pending":
            so_far = f" ({len(finding.votes)} so far: {who})" if finding.votes else ""
            return Wait(f"for a decision{so_far}", waiting.after_seconds, waiting.state)


def _whole(store: ParameterStore) -> Sequence[Version]:
    """Return the history from its first version on.

    Parameter Store keeps the newest hundred. What is gone may have been the request, or a rejection.
    """
    history = store.history()
    if history and history[0].number != 1:
        raise Misconfigured(
            f"{store.name}: versions before {history[0].number} are gone, and with them the proof"
        )
    return history


def _unchanged(call: ApprovalCall, store: ParameterStore) -> Wait | None:
    """Take the short way of most polls: the parameter is still the version that was last read.

    What the state says can be forged by whoever updates the service; all that this gains is a later
    answer, for every verdict is computed from the history.
    """
    seen = call.state.get("version")
    if not seen:
        return None
    try:
        asked_at, expires_at, quiet_until = (
            parse_timestamp(str(call.state.get(key))) for key in ("askedAt", "expiresAt", "quietUntil")
        )
    except ValueError:
        return None
    if call.now >= min(expires_at, quiet_until) or store.latest_version() != seen:
        return None
    return _wait(call, asked_at, expires_at, Told(quiet_until=quiet_until, version=int(seen)))


def _request(call: ApprovalCall, history: Sequence[Version], hook: str) -> Version | None:
    """Return the version that asks: the first that this hook itself wrote for this very deployment."""
    return next(
        (
            version
            for version in history
            if same_role(version.by, hook) and is_request_for(version, call.event.deployment)
        ),
        None,
    )


def _ask(call: ApprovalCall, store: ParameterStore, history: Sequence[Version], hook: str) -> Wait:
    """Write the request. What stood there before was not ours and will not count."""
    rules = _rules(call)
    text = write_request(
        store.name, call.event, green=call.deployment.green, blue=_blue(call), rules=rules, now=call.now
    )
    version = 1
    if history:
        logger.warning(f"{store.name}: existed before the request; what it says does not count")
        version = store.append(text)
    elif not store.create(text):
        # A concurrent call was faster. The next look reads its request.
        return Wait("for the request that another call is writing", call.settings.poll_first_seconds)
    call.evidence.blue = str(call.deployment.blue_arn) if call.deployment.blue_arn else None
    call.evidence.changes.append(f"wrote the request {store.name}")
    history = store.history()
    asked = _request(call, history, hook)
    # Of two calls that wrote at once, the one whose request counts announces it.
    if asked is not None and asked.number == version:
        finding = decide(history, asked, hook, rules, call.now)
        _tell(call, store, history, asked, hook=hook, finding=finding, wrote_it=True)
    return Wait("for a decision, just asked for", call.settings.poll_first_seconds)


def _blue(call: ApprovalCall) -> Revision | None:
    """Return what ran before, if ECS can still describe it: it is for people to know, not to judge by."""
    try:
        return call.deployment.blue
    except Transient as error:
        logger.warning(f"the request does not say what runs now: {error}")
        return None


def _tell(
    call: ApprovalCall,
    store: ParameterStore,
    history: Sequence[Version],
    asked: Version,
    *,
    hook: str,
    finding: Finding,
    wrote_it: bool = False,
) -> Told:
    """Tell people what is due. What goes wrong is logged, and holds up no decision."""
    try:
        told = tell_what_is_due(
            store,
            history,
            asked,
            hook=hook,
            subject=Subject.of(call.event),
            expires_at=finding.expires_at,
            required=call.settings.required_approvals,
            environment=call.environment,
            now=call.now,
            wrote_it=wrote_it,
        )
    except HookError as error:
        logger.warning(f"{store.name}: could not be announced: {error}")
        return Told(quiet_until=call.now)
    call.evidence.changes.extend(told.changes)
    return told


def _wait(call: ApprovalCall, asked_at: datetime, expires_at: datetime, told: Told) -> Wait:
    settings = call.settings
    pace = Pace(
        first_seconds=settings.poll_first_seconds,
        growth=settings.poll_growth,
        fresh_seconds=settings.poll_seconds,
        late_seconds=settings.poll_late_seconds,
        late_after=timedelta(minutes=settings.poll_late_after_minutes),
    )
    state = {
        "version": told.version,
        "askedAt": timestamp(asked_at),
        "expiresAt": timestamp(expires_at),
        "quietUntil": timestamp(told.quiet_until),
    }
    return Wait("for a decision, nothing new", pace.delay(call.now - asked_at, expires_at - call.now), state)


def _is_closed(history: Sequence[Version], hook: str, outcome: str) -> bool:
    """Tell whether the hook has written that the request came to *outcome*."""
    own = (read(version.text) for version in history if same_role(version.by, hook))
    return any(statement.kind is Kind.CLOSED and statement.outcome == outcome for statement in own)


def _close(call: ApprovalCall, store: ParameterStore, finding: Finding) -> None:
    """Mark the request as settled, for people who look at it. The verdict stands without the mark."""
    try:
        store.append(_closing(call, finding))
    except HookError as error:
        logger.warning(f"{store.name}: settled but not marked as closed: {error}")


def _closing(call: ApprovalCall, finding: Finding) -> str:
    return write_closing(
        finding.outcome,
        by=[vote.by for vote in finding.votes],
        comment=finding.votes[-1].comment if finding.votes else "",
        now=call.now,
        expires_at=finding.expires_at if finding.outcome == EXPIRED else None,
    )


def _observed(result: Result) -> Result:
    """Keep an observed deployment from waiting for people: it is asked for and recorded, not held."""
    if isinstance(result, Wait):
        return Proceed(f"observe mode: would have waited {result.reason}")
    return result


def _rules(call: ApprovalCall) -> Rules:
    settings, policy = call.settings, call.policy
    return Rules(
        required=settings.required_approvals,
        electorate=Electorate(
            allowed=(policy.allowed_approvers, settings.allowed_approvers),
            excluded=settings.excluded_approvers,
            personal_sessions=policy.personal_sessions,
            console=call.environment.get(CONSOLE_ROLE_VARIABLE, ""),
        ),
        expires_after=timedelta(minutes=settings.expires_after_minutes),
        extendable_to=timedelta(minutes=settings.extendable_to_minutes),
        on_expiry=settings.on_expiry,
    )


def _inputs(
    call: ApprovalCall,
    history: Sequence[Version],
    *,
    asked: Version,
    hook: str,
    rules: Rules,
    finding: Finding,
) -> dict[str, Any]:
    """Write down what the decision was given, in the form :func:`replay` reads."""
    return {
        "history": [{**asdict(version), "at": _exact(version.at)} for version in history],
        "asked": asked.number,
        "hook": hook,
        "rules": rules.document(),
        "now": _exact(call.now),
        "observe": call.settings.mode == "observe",
        "delay": _wait(call, asked.at, finding.expires_at, Told(call.now)).after_seconds,
    }


def _exact(moment: datetime) -> str:
    # `timestamp` drops the fraction; whether an answer came in time may hang on it.
    return moment.isoformat()
