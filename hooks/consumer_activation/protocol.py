"""The decision: from what stands in the parameter, and what can be seen of the work, to the next write.

::

                    ┌───────────── release ─────────────┐
    blue is active ─┘   nobody is active, blue drains   └─▶ take ─▶ green is active, watched ─▶ Proceed
                            1. wait until blue's leases have run out          │
                            2. wait until blue's work is done                 └─ worse than before:
                                 └─ never is: blue takes back, Refuse         hand back likewise, Refuse

Every arrow is one write, and nothing that is waited for is remembered anywhere but in the parameter. So
each call goes on from wherever the last one got, whichever that was: a duplicate, one that crashed after
its write, one of another deployment, or a person's edit.

A rollback that finds blue active writes so once all the same: what other calls are about to write is void
then.

Whoever drained last may take back at once, because nobody was allowed to receive since. Everybody else
waits until no lease from before can be alive (:attr:`~hooks.consumer_activation.state.State.quiet_seconds`).
"""

import dataclasses
import enum
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from hooks.consumer_activation.state import MAX_REASON_CHARACTERS, State
from shared.response import Proceed, Refuse, Result, Wait

# The longer work drains, the less a later look costs: each delay is a tenth of the time waited so far.
LOOK_GROWTH = 0.1
MAX_LOOK_SECONDS = 30.0

# A hand-over whose health can't be seen is not called healthy for longer than this after its watch ended.
BLIND_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Standing:
    """What Parameter Store says."""

    number: int
    """Of the newest version, void or not; 0 when there is no parameter."""
    state: State | None
    """What holds; ``None`` when there is no parameter, or when nobody can make sense of it."""
    age_seconds: float
    """How long the version that holds has been there, by Parameter Store's own clock."""
    remark: str = ""
    """What is wrong with it: void versions, garbage."""


class Purpose(enum.StrEnum):
    """Why a call wants somebody to be active."""

    SHIFT = "shift"
    """ECS moves production to green."""
    HAND_BACK = "hand back"
    """Green was tried in this deployment and found wanting; ECS has yet to be told."""
    ROLL_BACK = "roll back"
    """ECS rolls back."""
    REPAIR = "repair"
    """Nothing moves; whoever is active has to be a revision that serves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """Who has to be active when this stage is over, and why."""

    purpose: Purpose
    active: str
    deployment: str
    serving: frozenset[str] = frozenset()
    """Others that may just as well stay active, where nothing moves."""
    blue: str | None = None
    """Who takes back when green can't; ``None`` on a first deployment."""
    reason: str = ""
    """Why it is blue, where it is a hand-back or a rollback."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The settings, as far as they decide here."""

    lease_seconds: int
    read_seconds: int
    read_lag_seconds: int
    look_seconds: int
    looks: int
    """How many looks in a row have to find the old revision idle."""
    drain_timeout_seconds: int
    on_drain_timeout: Literal["refuse", "activate"]
    hand_back_drain_seconds: int
    monitor_seconds: int
    """0 where green is not watched."""
    on_trouble: Literal["refuse", "proceed"]
    observe: bool


@dataclass(frozen=True, slots=True)
class Work:
    """What can be seen of the work that the draining revision still does."""

    idle_looks: int
    """How many looks in a row, this one included, found none."""
    detail: str
    done_in_seconds: float | None = None
    """When it will be done, where that is known beforehand."""


@dataclass(frozen=True, slots=True)
class Health:
    """What was seen of green since it took over."""

    verdict: Literal["good", "bad", "unknown"]
    detail: str


class Phase(enum.StrEnum):
    """Where a hand-over stands, and so what has to be looked at before the next step."""

    SETTLED = "settled"
    """Whoever should be active is. Of a shift, its health is looked at."""
    HELD = "held"
    """Somebody else is active, or nobody knows who is."""
    FREE = "free"
    """Nobody is active, and whoever should be may be at once."""
    LEASED = "leased"
    """Nobody is active, but leases may be alive, and it is too early to look at the work."""
    DRAINING = "draining"
    """Nobody is active; the work of whoever was is looked at."""


@dataclass(frozen=True, slots=True)
class Step:
    """What to do now."""

    result: Result
    """What to answer, once the write, if any, is done."""
    write: State | None = None
    change: str = field(default="")
    """The write, in words."""


def phase(standing: Standing, aim: Aim, rules: Rules) -> Phase:
    """Tell where the hand-over stands."""
    state = standing.state
    if state is None:
        # A first deployment finds no parameter, and nobody who could hold a lease either.
        return Phase.FREE if standing.number == 0 and aim.blue is None else Phase.HELD
    if state.active is not None:
        return Phase.SETTLED if state.active in aim.serving | {aim.active} else Phase.HELD
    if state.draining == aim.active:
        return Phase.FREE
    # The looks before the last may fall into the wait for the leases: the last one is after it.
    early = rules.look_seconds * (rules.looks - 1)
    return Phase.LEASED if standing.age_seconds < state.quiet_seconds - early else Phase.DRAINING


def decide(
    standing: Standing,
    aim: Aim,
    rules: Rules,
    now: datetime,
    *,
    work: Work | None = None,
    health: Health | None = None,
    dead_letters: int | None = None,
) -> Step:
    """Decide on the next step.

    Parameters
    ----------
    work
        Needed in phase ``DRAINING``.
    health
        Needed in phase ``SETTLED`` of a shift that is watched.
    dead_letters
        How many messages are in the dead-letter queue before a hand-over; kept for the comparison.
    """
    match phase(standing, aim, rules):
        case Phase.SETTLED:
            return _settled(standing, aim, rules, now, health)
        case Phase.HELD:
            return _release(standing, aim, rules, now, dead_letters)
        case Phase.FREE:
            # No lease was waited for, so none may be shorter than those that are still alive.
            lasting = _lasting(standing, rules)
            return _take(
                standing, aim, lasting, now, "nobody else was active since", dead_letters=dead_letters
            )
        case Phase.LEASED:
            return Step(_until_the_next_look(standing, rules))
        case Phase.DRAINING:
            assert work is not None
            return _draining(standing, aim, rules, now, work)


def reversed_aim(aim: Aim, reason: str) -> Aim | None:
    """Return the aim of handing back to blue; ``None`` where there is no blue."""
    if aim.blue is None:
        return None
    return Aim(
        purpose=Purpose.HAND_BACK,
        active=aim.blue,
        deployment=aim.deployment,
        blue=aim.blue,
        reason=reason[:MAX_REASON_CHARACTERS],
    )


def _settled(standing: Standing, aim: Aim, rules: Rules, now: datetime, health: Health | None) -> Step:
    state = standing.state
    assert state is not None
    if aim.purpose is not Purpose.SHIFT:
        return _stays(standing, aim, rules, now)
    if health is None:
        return Step(Proceed(f"{aim.active} is active, and is not watched"))
    watched = (now - state.since).total_seconds() if state.since else standing.age_seconds
    left = rules.monitor_seconds - watched
    blind = health.verdict == "unknown" and left < -BLIND_SECONDS
    if health.verdict == "bad" or (blind and rules.on_trouble == "refuse"):
        return _turn_back(standing, aim, rules, now, f"{aim.active}: {health.detail}")
    if left > 0 or (health.verdict == "unknown" and not blind):
        delay = max(min(MAX_LOOK_SECONDS, left), rules.look_seconds)
        return Step(Wait(f"and watch {aim.active}: {health.detail}", delay))
    return Step(Proceed(f"{aim.active} consumes: {health.detail}"))


def _stays(standing: Standing, aim: Aim, rules: Rules, now: datetime) -> Step:
    """Leave whoever is active."""
    state = standing.state
    assert state is not None
    because = f" ({state.hand_back})" if state.hand_back and state.hand_back != aim.reason else ""
    done = _done(aim, f"{state.active} is active since epoch {state.epoch}{because}")
    ours = state.deployment == aim.deployment and state.hand_back
    if aim.purpose is not Purpose.ROLL_BACK or ours:
        return Step(done)
    # A shift that has not heard of the rollback may be about to release blue, and after a rollback no call
    # comes that would see it: this makes its write void.
    kept = dataclasses.replace(
        state,
        version=standing.number + 1,
        epoch=_next(standing, aim, rules, now).epoch,
        deployment=aim.deployment,
        hand_back=aim.reason,
    )
    return Step(done, kept, f"epoch {kept.epoch}: {kept.active} stays active")


def _turn_back(standing: Standing, aim: Aim, rules: Rules, now: datetime, reason: str) -> Step:
    """Start to hand back what green has, and refuse once blue has it."""
    back = reversed_aim(aim, reason)
    if back is None or rules.observe:
        return Step(Refuse(reason))
    return _release(standing, back, rules, now, None)


def _release(standing: Standing, aim: Aim, rules: Rules, now: datetime, dead_letters: int | None) -> Step:
    """Let nobody be active: one write, and whoever reads it stops."""
    state = standing.state
    former = state.active if state else None
    released = dataclasses.replace(
        _next(standing, aim, _lasting(standing, rules), now),
        active=None,
        draining=former,
        released=now,
        dead_letters=dead_letters,
    )
    wait = _until_the_next_look(Standing(standing.number + 1, released, 0), rules)
    whom = f"{former} is to stop" if former else standing.remark or "nobody is known to be active"
    return Step(wait, released, f"epoch {released.epoch}: {whom}")


def _draining(standing: Standing, aim: Aim, rules: Rules, now: datetime, work: Work) -> Step:
    state = standing.state
    assert state is not None
    age = standing.age_seconds
    left = state.quiet_seconds - age
    if left > 0:
        return Step(Wait(f"for leases to run out; {work.detail}", left))
    if work.idle_looks >= rules.looks:
        return _take(standing, aim, rules, now, work.detail)
    shift = aim.purpose is Purpose.SHIFT
    limit = rules.drain_timeout_seconds if shift else rules.hand_back_drain_seconds
    drained_for = age - state.quiet_seconds
    if drained_for < limit:
        delay = min(max(rules.look_seconds, age * LOOK_GROWTH), MAX_LOOK_SECONDS)
        if work.idle_looks:
            delay = rules.look_seconds
        elif work.done_in_seconds is not None:
            delay = work.done_in_seconds
        return Step(
            Wait(
                f"for the work of {state.draining or 'whoever was active'}: {work.detail}",
                max(1.0, min(delay, limit - drained_for)),
            )
        )
    reason = f"{state.draining or 'whoever was active'} was not done after {drained_for:.0f} s: {work.detail}"
    if not shift or rules.on_drain_timeout == "activate" or rules.observe:
        return _take(standing, aim, rules, now, reason)
    back = reversed_aim(aim, reason)
    return Step(Refuse(reason)) if back is None else _take(standing, back, rules, now, reason)


def _take(
    standing: Standing,
    aim: Aim,
    rules: Rules,
    now: datetime,
    because: str,
    *,
    dead_letters: int | None = None,
) -> Step:
    """Let *aim* be active: one write, and whoever reads it starts."""
    taken = _next(standing, aim, rules, now)
    if dead_letters is not None:
        taken = dataclasses.replace(taken, dead_letters=dead_letters)
    result: Result
    if aim.purpose is not Purpose.SHIFT:
        result = _done(aim, f"{aim.active} is active")
    elif rules.monitor_seconds:
        result = Wait(
            f"and watch {aim.active}, just activated: {because}", min(MAX_LOOK_SECONDS, rules.monitor_seconds)
        )
    else:
        result = Proceed(f"{aim.active} is active: {because}")
    return Step(result, taken, f"epoch {taken.epoch}: {aim.active} may consume ({because})")


def _done(aim: Aim, what: str) -> Result:
    if aim.purpose is Purpose.HAND_BACK:
        return Refuse(aim.reason)
    return Proceed(f"{what}; {aim.reason}" if aim.reason else what)


def _next(standing: Standing, aim: Aim, rules: Rules, now: datetime) -> State:
    state = standing.state
    return State(
        version=standing.number + 1,
        # Not lower than any before, even where those are gone or a person has changed them.
        epoch=max(state.epoch + 1 if state else 0, int(now.timestamp())),
        active=aim.active,
        since=now,
        released=state.released if state else None,
        deployment=aim.deployment,
        lease_seconds=rules.lease_seconds,
        read_seconds=rules.read_seconds,
        read_lag_seconds=rules.read_lag_seconds,
        hand_back=aim.reason or None,
        dead_letters=state.dead_letters if state else None,
    )


def _lasting(standing: Standing, rules: Rules) -> Rules:
    """Return *rules* with leases as long as those that were taken under the state before."""
    state = standing.state
    if state is None:
        return rules
    return dataclasses.replace(
        rules,
        lease_seconds=max(rules.lease_seconds, state.lease_seconds),
        read_lag_seconds=max(rules.read_lag_seconds, state.read_lag_seconds),
    )


def _until_the_next_look(standing: Standing, rules: Rules) -> Wait:
    state = standing.state
    assert state is not None
    early = rules.look_seconds * (rules.looks - 1)
    # Never sooner than the phase changes, or the next call would find nothing to do.
    return Wait(
        f"for the leases of {state.draining or 'whoever was active'} to run out"
        + (f" ({state.hand_back})" if state.hand_back else ""),
        max(1.0, state.quiet_seconds - early - standing.age_seconds),
    )
