"""The activation hook: who may consume, one write at a time.

::

    read the parameter ─▶ what has to be so ─▶ look at work or health ─▶ decide ─▶ write ─▶ answer
                          (aim)                 (only where it counts)   (protocol)

At PRODUCTION_TRAFFIC_SHIFT green takes over, or blue takes back. At PRE_SCALE_UP and RECONCILE_SERVICE
nothing moves: whatever a deployment that was superseded or failed left behind is put right.
"""

import fnmatch
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from hooks.consumer_activation.metrics import HISTORY, minutes
from hooks.consumer_activation.monitor import Limits, Minute, Seen, charts, judge
from hooks.consumer_activation.parameter_store import ParameterStore, parameter_name
from hooks.consumer_activation.protocol import (
    Aim,
    Health,
    Phase,
    Purpose,
    Rules,
    Standing,
    Step,
    Work,
    decide,
    phase,
    reversed_aim,
)
from hooks.consumer_activation.queue import Queue
from hooks.consumer_activation.settings import ConsumerPolicy, ConsumerSettings
from hooks.consumer_activation.state import State
from hooks.consumer_activation.tasks import protected_tasks
from shared.clock import parse_timestamp
from shared.errors import Misconfigured, Transient
from shared.hook import Call, lifecycle_hook, logger
from shared.lifecycle import Direction, Stage
from shared.response import Proceed, Refuse, Result, Wait

PREFIX_VARIABLE = "CONSUMER_PARAMETER_PREFIX"

# A deployment in one of these has nothing left to move; what a late call of it wants no longer matters.
ENDED = frozenset({"SUCCESSFUL", "STOPPED", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED"})

# SQS's counts may take a minute to settle (GetQueueAttributes); what is idle after that, is idle.
SETTLING_SECONDS = 60.0

# Somebody else wrote at the same moment: soon, but not at the same moment again.
AFTER_CONFLICT_SECONDS = 2.0

ConsumerCall = Call[ConsumerSettings, ConsumerPolicy]


def parameter_prefix(environment: Mapping[str, str]) -> str:
    """Return the path under which the services' parameters stand."""
    prefix = environment.get(PREFIX_VARIABLE, "")
    if not prefix.startswith("/"):
        raise Misconfigured(
            f"the function's environment variable {PREFIX_VARIABLE} must name a path, such as /consumers"
        )
    return prefix


def rules_of(settings: ConsumerSettings) -> Rules:
    """Return the settings, as far as they decide."""
    return Rules(
        lease_seconds=settings.lease_seconds,
        read_seconds=settings.read_seconds,
        read_lag_seconds=settings.read_lag_seconds,
        look_seconds=settings.look_seconds,
        looks=2 if settings.drains_by == "queue" else 1,
        drain_timeout_seconds=settings.drain_timeout_seconds,
        on_drain_timeout=settings.on_drain_timeout,
        hand_back_drain_seconds=settings.hand_back_drain_seconds,
        monitor_seconds=settings.monitor_minutes * 60 if settings.queue else 0,
        on_trouble=settings.on_trouble,
        observe=settings.mode == "observe",
    )


def replay(inputs: Mapping[str, Any]) -> Result:
    """Compute the answer again from what a record says it was computed from."""
    standing, aim, now = inputs["standing"], inputs["aim"], datetime.fromisoformat(inputs["now"])
    state = standing["state"]
    health = inputs["health"] and Health(**inputs["health"])
    if seen := inputs["seen"]:
        health = judge(
            Seen(
                since=datetime.fromisoformat(seen["since"]),
                released=datetime.fromisoformat(seen["released"]),
                minutes=[
                    Minute(**{**minute, "start": datetime.fromisoformat(minute["start"])})
                    for minute in seen["minutes"]
                ],
                dead_letters_before=seen["dead_letters_before"],
                dead_letters=seen["dead_letters"],
            ),
            Limits(**inputs["limits"]),
            now,
        )
    return decide(
        Standing(
            standing["number"],
            state and State(**{**state, **{key: _moment(state[key]) for key in ("since", "released")}}),
            standing["age_seconds"],
            standing["remark"],
        ),
        Aim(**{**aim, "purpose": Purpose(aim["purpose"]), "serving": frozenset(aim["serving"])}),
        Rules(**inputs["rules"]),
        now,
        work=inputs["work"] and Work(**inputs["work"]),
        health=health,
        dead_letters=inputs["dead_letters"],
    ).result


def restore(call: ConsumerCall) -> Result:
    """Give the queue back to blue, whether or not green ever had it."""
    store = _store(call)
    standing = _read(call, store)
    if call.deployment.blue_arn is None:
        return Proceed("there is no revision to go back to")
    blue = call.deployment.blue_arn.id
    aim = Aim(
        purpose=Purpose.ROLL_BACK,
        active=blue,
        deployment=call.event.deployment.id,
        blue=blue,
        reason="the deployment is rolled back",
    )
    if _status(call) in ENDED:
        return Proceed(f"the deployment has ended ({_status(call)}); nothing is changed")
    return _advance(call, store, standing, aim)


@lifecycle_hook(
    "consumer_activation",
    stages={Stage.RECONCILE_SERVICE, Stage.PRE_SCALE_UP, Stage.PRODUCTION_TRAFFIC_SHIFT},
    settings=ConsumerSettings,
    policy=ConsumerPolicy,
    restore=restore,
    replay=replay,
)
def handler(call: ConsumerCall) -> Result:
    """Answer one call of ECS."""
    _check_queue(call)
    store = _store(call)
    standing = _read(call, store)
    if not _moves_everything(call):
        return _repair(call, store, standing)
    if call.event.direction is Direction.NO_WEIGHTS and call.deployment.status == "STOP_REQUESTED":
        # It may be ECS's way back, and ends STOPPED whichever it is.
        return restore(call)
    aim = _shift(call, standing)
    where = phase(standing, aim, _rules(call))
    if aim.purpose is Purpose.SHIFT and (where is not Phase.SETTLED or call.settings.monitor_minutes):
        # Asked only where something may be about to change: a call that comes late must not let green in,
        # nor take back from it.
        # Where nobody is active already, a queue that nobody serves would be worse than not to know.
        status = _status(call, needed=where is Phase.HELD)
        if status.startswith(("ROLLBACK", "STOP")) or status in ENDED:
            back = reversed_aim(aim, f"the deployment is {status}")
            if back is None or status in ENDED or not _ours(standing, call):
                return Refuse(f"the deployment is {status}; nothing is changed")
            aim = back
    return _advance(call, store, standing, aim)


def _moves_everything(call: ConsumerCall) -> bool:
    """Tell whether this call is to let green in, rather than to keep things as they are."""
    event = call.event
    if event.stage is not Stage.PRODUCTION_TRAFFIC_SHIFT:
        return False
    if event.direction is Direction.NO_WEIGHTS:
        if (strategy := call.deployment.strategy) in {"CANARY", "LINEAR"}:
            raise Misconfigured(
                f"productionTrafficWeights is empty, so the steps of this {strategy} deployment can't be "
                "told apart; a service without load balancer and Service Connect is deployed by BLUE_GREEN"
            )
        return True
    # At a step both revisions have traffic, but a queue has no traffic to split: blue keeps it to the end.
    return event.direction is not Direction.FORWARD_STEP


def _shift(call: ConsumerCall, standing: Standing) -> Aim:
    blue = call.deployment.blue_arn
    aim = Aim(
        purpose=Purpose.SHIFT,
        active=call.event.target.id,
        deployment=call.event.deployment.id,
        blue=blue.id if blue else None,
    )
    state = standing.state
    if state and state.hand_back and _ours(standing, call):
        # This deployment has been judged; it is not tried twice.
        return reversed_aim(aim, state.hand_back) or aim
    return aim


def _repair(call: ConsumerCall, store: ParameterStore, standing: Standing) -> Result:
    """See to it that whoever is active is a revision that serves."""
    blue = call.deployment.blue_arn
    if blue is None:
        return Proceed("first deployment of the service: nobody is to be active yet")
    state = standing.state if _ours(standing, call) else None
    if state and state.active == call.event.target.id:
        # The shift came first: this call is late, and to repair now would be to take back.
        return Proceed(f"{state.active} is active since epoch {state.epoch}, by this very deployment")
    aim = Aim(
        purpose=Purpose.REPAIR,
        active=blue.id,
        deployment=call.event.deployment.id,
        serving=frozenset(revision.id for revision in call.deployment.serving) - {call.event.target.id},
        blue=blue.id,
        reason=(state and state.hand_back) or "",
    )
    if phase(standing, aim, _rules(call)) is not Phase.SETTLED and _status(call) in ENDED:
        return Proceed(f"the deployment has ended ({_status(call)}); nothing is changed")
    return _advance(call, store, standing, aim)


def _advance(call: ConsumerCall, store: ParameterStore, standing: Standing, aim: Aim) -> Result:
    """Take the hand-over one step further."""
    rules = _rules(call)
    now = call.now
    where = phase(standing, aim, rules)
    shifts = aim.purpose is Purpose.SHIFT
    work: Work | None = None
    health: Health | None = None
    seen: Seen | None = None
    dead_letters: int | None = None
    try:
        if where in {Phase.HELD, Phase.FREE} and shifts:
            dead_letters = _before(call)
        if where is Phase.DRAINING:
            work = _work(call, standing)
        if where is Phase.SETTLED and shifts and rules.monitor_seconds:
            health, seen = _health(call, standing)
    except Misconfigured as error:
        # What was changed is taken back before the refusal: ECS may not call again.
        back = reversed_aim(aim, str(error)) if shifts and where is not Phase.HELD else None
        if back is not None:
            return _advance(call, store, standing, back)
        if shifts:
            raise
        work = Work(0, f"can't be seen: {error}")
    step = decide(standing, aim, rules, now, work=work, health=health, dead_letters=dead_letters)
    call.evidence.blue = str(call.deployment.blue_arn) if call.deployment.blue_arn else None
    call.evidence.inputs = {
        "standing": _plain(asdict(standing)),
        "aim": {**asdict(aim), "serving": sorted(aim.serving)},
        "rules": asdict(rules),
        "now": now.isoformat(),
        "work": work and asdict(work),
        "health": None if seen else health and asdict(health),
        "seen": seen and _plain(asdict(seen)),
        "limits": asdict(_limits(call)) if seen else None,
        "dead_letters": dead_letters,
    }
    if seen is not None:
        call.evidence.charts = charts(seen, _limits(call))
    return _carry_out(call, store, step, work)


def _carry_out(call: ConsumerCall, store: ParameterStore, step: Step, work: Work | None) -> Result:
    if step.write is not None:
        if not store.write(step.write):
            # The write is void and changed nothing. The answer would have come from what no longer holds.
            call.evidence.inputs = {}
            return Wait(f"and look again: somebody else wrote {store.name}", AFTER_CONFLICT_SECONDS)
        call.evidence.changes.append(step.change)
    result = step.result
    if isinstance(result, Wait) and work is not None and step.write is None:
        return replace(result, state={"idleLooks": work.idle_looks})
    return result


def _work(call: ConsumerCall, standing: Standing) -> Work:
    """Look at the work that whoever was active still does."""
    state, settings = standing.state, call.settings
    assert state is not None
    idle_for = standing.age_seconds - state.quiet_seconds
    try:
        if settings.drains_by == "queue" and settings.queue:
            in_flight = Queue(settings.queue).depth().in_flight
            detail = f"{in_flight} messages of {settings.queue} in flight"
            if in_flight:
                return Work(0, detail)
            before = call.state.get("idleLooks")
            looks = before + 1 if isinstance(before, int) and not isinstance(before, bool) else 1
            # Should ECS lose the count of looks, time makes up for it.
            return Work(max(looks, 2) if idle_for >= SETTLING_SECONDS else looks, detail)
        if settings.drains_by == "protection" and state.draining:
            protected = protected_tasks(call.event.service, state.draining)
            return Work(0 if protected else 1, f"{protected} tasks of {state.draining} hold protection")
    except Transient as error:
        return Work(0, f"can't be seen: {error}")
    left = settings.drain_seconds - idle_for
    return Work(1 if left <= 0 else 0, f"it is given {settings.drain_seconds} s", max(left, 0.0))


def _before(call: ConsumerCall) -> int | None:
    """Look at everything that will be looked at later, so that what can't be seen is found out now.

    Returns
    -------
    int or None
        How many dead letters there are before the hand-over.
    """
    settings = call.settings
    if settings.drains_by == "protection":
        protected_tasks(call.event.service, call.event.target.id)
    if settings.queue is None:
        return None
    queue = Queue(settings.queue)
    queue.depth()
    if not settings.monitor_minutes:
        return None
    minutes(settings.queue, call.now - timedelta(minutes=5), call.now)
    return queue.dead_letters()


def _health(call: ConsumerCall, standing: Standing) -> tuple[Health | None, Seen | None]:
    """Look at how green does; of what can't be seen only the reason is known."""
    state, settings = standing.state, call.settings
    assert state is not None
    if settings.queue is None:
        return None, None
    since = state.since or call.now - timedelta(seconds=standing.age_seconds)
    released = state.released or since
    try:
        seen = Seen(
            since=since,
            released=released,
            minutes=minutes(settings.queue, released - HISTORY, call.now),
            dead_letters_before=state.dead_letters,
            dead_letters=Queue(settings.queue).dead_letters(),
        )
    except Transient as error:
        return Health("unknown", str(error)), None
    return judge(seen, _limits(call), call.now), seen


def _check_queue(call: ConsumerCall) -> None:
    queue, allowed = call.settings.queue, call.policy.allowed_queues
    if queue and not any(fnmatch.fnmatchcase(queue, pattern) for pattern in allowed):
        raise Misconfigured(f"queue: {queue!r} is not among the policy's allowedQueues: {', '.join(allowed)}")


def _store(call: ConsumerCall) -> ParameterStore:
    return ParameterStore(parameter_name(parameter_prefix(call.environment), call.event.service))


def _read(call: ConsumerCall, store: ParameterStore) -> Standing:
    standing = store.read(call.now)
    if standing.remark:
        logger.warning(f"{store.name}: {standing.remark}")
    return standing


def _status(call: ConsumerCall, *, needed: bool = False) -> str:
    """Return the deployment's status; empty when it can't be known and things must go on without it."""
    try:
        return call.deployment.status
    except (Misconfigured, Transient) as error:
        if needed:
            raise
        logger.warning(f"the deployment's status is not known: {error}")
        return ""


def _ours(standing: Standing, call: ConsumerCall) -> bool:
    return standing.state is not None and standing.state.deployment == call.event.deployment.id


def _rules(call: ConsumerCall) -> Rules:
    return rules_of(call.settings)


def _limits(call: ConsumerCall) -> Limits:
    settings = call.settings
    return Limits(
        max_dead_letters=settings.max_dead_letters,
        max_oldest_seconds=settings.max_oldest_message_seconds,
        max_oldest_factor=settings.max_oldest_message_factor,
        stalled_minutes=settings.stalled_minutes,
    )


def _plain(value: Any) -> Any:
    """Write times as text, everything else as JSON has it already."""
    match value:
        case datetime():
            return value.isoformat()
        case Mapping():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
    return value


def _moment(text: str | None) -> datetime | None:
    return None if text is None else parse_timestamp(text)
