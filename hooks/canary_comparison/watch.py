"""When to watch, and when there is nothing to compare.

::

    green's share     0 ───────── 5 % ─────────────── 100 %
    what to do        nothing     hold the step,      look back at what was
                                  watch and judge     seen while both served

ECS documents neither whether traffic moves before or after the hook of its step, nor whether what a hook
returned at one step is still there at the next. The first is read from the deployment. Without the
second, the time watched is worked out from the deployment's own configuration, and the record says so.
"""

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta

from hooks.canary_comparison.window import Window
from shared.lifecycle import WEIGHT_TOLERANCE_PERCENT, Stage

# The strategies with which both revisions serve for a while.
SHARING = frozenset({"CANARY", "LINEAR"})

# What DescribeServiceDeployments says of weights is a snapshot. Should it lag behind a shift, it is given
# this long; should ECS shift only after the hook, this is what the first step takes longer.
SNAPSHOT_LAG = timedelta(minutes=2)
LOOK_AGAIN_SECONDS = 30.0

# What is older than this is about another hour of the day, and a record has to hold every minute used.
LONGEST = timedelta(hours=6)


class Phase(enum.StrEnum):
    """What a call is for."""

    HOLD = "hold"
    """Both revisions serve, and the step is held while they are watched."""
    LAST_HOLD = "last hold"
    """The same, for the last time: after this step blue does not serve any more."""
    LOOK_BACK = "look back"
    """Green serves everything: what was seen while both served is all there will be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What is known of the deployment at a call."""

    stage: Stage
    strategy: str
    percents: tuple[float, ...]
    """Green's share after each step."""
    bake: timedelta
    """What ECS waits after each step but the last."""
    weight: float
    """Green's share in the event: after a shift, or before it at PRE_PRODUCTION_TRAFFIC_SHIFT."""
    served: float | None
    """Green's share as ECS has asked for it so far; ``None`` where it does not say."""
    started: datetime
    """When the deployment did."""
    since: datetime
    """When ECS first called for this step."""
    now: datetime
    remembered: datetime | None
    """Since when an earlier step had watched, if ECS carried that here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Compare what is in the window."""

    phase: Phase
    window: Window
    note: str = ""
    """How the window's start is known, where it is worked out."""
    step: datetime | None = None
    """When green got the share it has now; ``None`` for the window's start."""

    def seen(self, now: datetime) -> Window:
        """Return the time that counts: both serve while a step is held, also beyond the hold's end."""
        if self.phase is Phase.LOOK_BACK:
            return self.window
        return Window(self.window.start, max(self.window.end, now))


@dataclass(frozen=True, slots=True)
class Nothing:
    """There is nothing to compare."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotYet:
    """Whether there is something to compare will be known a little later."""

    reason: str


def plan(  # noqa: PLR0911  # one return a line of the picture above
    situation: Situation, hold: timedelta, least: timedelta
) -> Watch | Nothing | NotYet:
    """Tell what to do at this call.

    Parameters
    ----------
    hold
        How long a step is watched at most; 0 for not at all.
    least
        How long a step is watched at least, where it is.
    """
    if situation.strategy not in SHARING:
        return Nothing(f"with {situation.strategy}, blue and green never share production traffic")
    if len(situation.percents) < 2:
        return Nothing("the only step moves all traffic, so blue and green never share it")
    if _close(situation.weight, 0):
        return Nothing("green has no production traffic yet")
    # Before a shift the event itself says what green has; at one, only what it is to get.
    at_the_shift = situation.stage is Stage.PRODUCTION_TRAFFIC_SHIFT
    served = situation.served if at_the_shift and situation.served is not None else situation.weight
    waits = served < situation.weight - WEIGHT_TOLERANCE_PERCENT
    if waits and situation.now - situation.since < SNAPSHOT_LAG:
        return NotYet("ECS has not said yet that this step's traffic has moved")
    if _close(served, 0):
        return Nothing(
            "ECS waits for this hook before it moves any traffic to green; the next call can compare"
        )
    done = sum(percent <= served + WEIGHT_TOLERANCE_PERCENT for percent in situation.percents)
    has_just_moved = at_the_shift and _close(served, situation.weight)
    start, note = _start(situation, done, min(hold, least), has_just_moved=has_just_moved)
    if _close(served, 100):
        return Watch(phase=Phase.LOOK_BACK, window=Window(start, situation.since), note=note)
    # Where the step's bake is over already, it was watched for that long.
    rest = hold if has_just_moved else max(hold - situation.bake, timedelta(0))
    is_last = not has_just_moved and done >= len(situation.percents) - 1
    return Watch(
        phase=Phase.LAST_HOLD if is_last else Phase.HOLD,
        window=Window(start, situation.since + rest),
        note=note,
        step=max(start, situation.since if has_just_moved else situation.since - situation.bake),
    )


def _start(
    situation: Situation, done: int, least: timedelta, *, has_just_moved: bool
) -> tuple[datetime, str]:
    """Return since when both have served for sure, and a note where that is not remembered.

    Parameters
    ----------
    done
        How many steps green has made, the one it has just made included.
    """
    oldest = max(situation.started, situation.since - LONGEST)
    remembered = situation.remembered
    if remembered is not None and oldest <= remembered <= situation.since:
        return remembered, ""
    # A step that is over took its bake, and this hook's own hold where it stands at the shift.
    at_the_shift = situation.stage is Stage.PRODUCTION_TRAFFIC_SHIFT
    over = max(situation.bake, least) if at_the_shift else situation.bake
    # Of the step that green has now at most the bake is over: ECS moved just before this call, or will after.
    served_for = (done - 1) * over + (timedelta(0) if has_just_moved else situation.bake)
    if served_for <= timedelta(0):
        return situation.since, ""
    start = max(situation.since - served_for, oldest)
    minutes = round((situation.since - start) / timedelta(minutes=1))
    return start, (
        f"what earlier steps remembered is not known here: by the deployment's configuration both have "
        f"served for the last {minutes} minutes"
    )


def _close(percent: float, other: float) -> bool:
    return abs(percent - other) <= WEIGHT_TOLERANCE_PERCENT
