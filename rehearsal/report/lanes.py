"""Where everything of one outcome stands in its diagram: lanes down, time across.

::

         0        5 m       10 m       15 m
    status        ▐████ IN_PROGRESS ██████▌■ SUCCESSFUL
    stages        ▐SCALE_UP▌▐POST_TEST_TRAFFIC_SHIFT▌
    production    ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁████████████
    at the queue  ▐█████ blue █████▌     ▐██ green ██▌
    manual_approval          ┝┿┿━┿━━┿━━━━●
    approver                             ⚑

Across is a share of the width in percent, so that one drawing serves a phone and a wall; down is
pixels, so that text keeps its size. Only this module knows how either comes about.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from rehearsal.outcome import (
    ActorSpoke,
    Consumption,
    Happening,
    HookCalled,
    Outcome,
    PauseChanged,
    StageEntered,
    StatusChanged,
    WeightsChanged,
)
from rehearsal.report.runs import HookRun, hook_runs
from rehearsal.report.virtual_time import clock, duration, ticks
from rehearsal.report.wording import percent, share, shown, why

TOP = 26
"""Pixels for the labels of the time axis."""
LABEL = 17
GAP = 12
HEIGHTS = {
    "status": 16,
    "stages": 22,
    "production": 56,
    "test": 22,
    "queue": 22,
    "hook": 16,
    "pause": 16,
    "actor": 16,
}

# Of a run polled every few seconds for a day, more marks than this are one grey bar anyway.
_TICKS_PER_HUNDRED = 250
# What text takes: about seven pixels a character, on a desk about 900 pixels, on a phone about 270.
_CHARACTER = 7
_DESK = 900
_PHONE = 270
# Actors beyond these share a lane; a diagram of twenty lanes of flags says nothing.
_ACTOR_LANES = 5

ENDED = {"SUCCESSFUL", "STOPPED", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED"}


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a lane."""

    x: float
    width: float
    kind: str
    title: str
    label: str = ""
    fits: str = ""
    """``always``, ``desk`` where the label needs a wide page, or empty where it never fits."""
    level: float = 100.0
    """How much of the lane's height it fills from below, in percent."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment in a lane."""

    x: float
    kind: str
    title: str


@dataclass(slots=True)
class Lane:
    """One row of the diagram."""

    kind: str
    label: str
    note: str = ""
    y: int = 0
    """Pixels from the top to the label's row; the lane itself is below it."""
    segments: list[Segment] = field(default_factory=list)
    ticks: list[float] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)

    @property
    def height(self) -> int:
        return HEIGHTS[self.kind]

    @property
    def top(self) -> int:
        return self.y + LABEL


@dataclass(frozen=True, slots=True)
class Diagram:
    """Lanes, one under the other, and the time axis above them."""

    lanes: list[Lane]
    height: int
    desk_ticks: list[tuple[float, str]]
    phone_ticks: list[tuple[float, str]]


class Scale:
    """Turns virtual seconds into a share of the width."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds if math.isfinite(seconds) and seconds > 0 else 1.0

    def x(self, at: float) -> float:
        share = at / self.seconds * 100 if math.isfinite(at) else 0.0
        return round(min(max(share, 0.0), 100.0), 3)

    def span(self, start: float, end: float) -> tuple[float, float]:
        x = self.x(start)
        return x, round(max(self.x(end) - x, 0.0), 3)

    def ticks(self, at_most: int) -> list[tuple[float, str]]:
        return [(self.x(at), label) for at, label in ticks(self.seconds, at_most=at_most)]


def scale_of(outcome: Outcome) -> Scale:
    """Return a scale that holds every deployment; what others did after the end stands at its edge."""
    ends = [outcome.duration_seconds]
    ends += [happening.at for happening in outcome.happenings if not isinstance(happening, ActorSpoke)]
    return Scale(max((end for end in ends if math.isfinite(end)), default=0.0))


def diagram(outcome: Outcome) -> Diagram:
    """Lay one outcome out."""
    scale = scale_of(outcome)
    lanes: list[Lane] = []
    deployments = deployments_of(outcome.happenings)
    for number, deployment in enumerate(deployments, start=1):
        own = [h for h in outcome.happenings if not isinstance(h, ActorSpoke) and h.deployment == deployment]
        of_this = _deployment_lanes(own, scale, first=not has_blue(own))
        if len(deployments) > 1:
            for lane in of_this:
                lane.label = f"[{number}] {lane.label}"
        lanes += of_this
    if outcome.consumption is not None:
        lanes.append(_queue_lane(outcome.consumption, scale))
    lanes += _actor_lanes(outcome.happenings, scale)
    y = TOP
    for lane in lanes:
        lane.y = y
        y += LABEL + lane.height + GAP
    return Diagram(lanes, max(y, TOP + 1), scale.ticks(10), scale.ticks(4))


def deployments_of(happenings: Iterable[Happening]) -> list[str]:
    """Return the ids of all deployments in the order they appeared."""
    return list(dict.fromkeys(h.deployment for h in happenings if not isinstance(h, ActorSpoke)))


def has_blue(happenings: Iterable[Happening]) -> bool:
    """Tell whether there was a revision before this one, as far as weights say."""
    for happening in happenings:
        if isinstance(happening, WeightsChanged) and happening.blue > 0:
            return True
        if isinstance(happening, HookCalled):
            details = happening.event.get("executionDetails")
            weights = details.get("productionTrafficWeights") if isinstance(details, dict) else None
            if isinstance(weights, dict) and len(weights) == 1:
                return False
    return True


def traffic(happenings: Sequence[Happening], scale: Scale, route: str, *, first: bool) -> list[Segment]:
    """Return a route's share of green (and of blue above it) as steps over the whole time."""
    changes = [h for h in happenings if isinstance(h, WeightsChanged) and h.route == route]
    if not changes:
        # It went back before anything moved: blue kept all of it.
        back = route == "production" and any(
            isinstance(h, StatusChanged) and h.status == "ROLLBACK_SUCCESSFUL" for h in happenings
        )
        return [Segment(0.0, 100.0, "blue", "blue 100 % all the time")] if back else []
    # Before anything moved, blue had production traffic, and nobody had test traffic.
    before = 0.0 if first or route == "test" else 100.0
    steps = [(0.0, 0.0, before), *((h.at, share(h.green), share(h.blue)) for h in changes)]
    segments: list[Segment] = []
    for (at, green, blue), (until, *_) in pairwise([*steps, (scale.seconds, 0.0, 0.0)]):
        x, width = scale.span(at, until)
        title = f"{clock(at)} to {clock(until)}: green {percent(green)}, blue {percent(blue)}"
        if blue > 0:
            segments.append(Segment(x, width, "blue", title, level=min(green + blue, 100.0)))
        if green > 0:
            segments.append(Segment(x, width, "green", title, level=green))
    return segments


def _deployment_lanes(own: Sequence[Happening], scale: Scale, *, first: bool) -> list[Lane]:
    lanes = [_status_lane(own, scale), _stage_lane(own, scale)]
    for route in ("production", "test"):
        changes = [h for h in own if isinstance(h, WeightsChanged) and h.route == route]
        greens = [percent(h.green) for h in changes]
        note = "green " if greens else "blue 100 %"
        note += f"{greens[0]} → … → {greens[-1]}" if len(greens) > 3 else " → ".join(greens)
        lane = Lane(route, f"{route} weights", note, segments=traffic(own, scale, route, first=first))
        lanes.append(lane)
    lanes = [lane for lane in lanes if lane.segments or lane.marks]
    return lanes + _hook_lanes(own, scale) + _pause_lanes(own, scale)


def _status_lane(own: Sequence[Happening], scale: Scale) -> Lane:
    changes = [h for h in own if isinstance(h, StatusChanged)]
    lane = Lane("status", "status", " → ".join(shown(change.status) for change in changes))
    for change, following in pairwise([*changes, None]):
        if change is None:
            continue
        reason = f": {shown(change.reason)}" if change.reason else ""
        title = f"{clock(change.at)} {shown(change.status)}{reason}"
        if change.status in ENDED:
            lane.marks.append(Mark(scale.x(change.at), tone(change.status), title))
            continue
        until = following.at if following else scale.seconds
        label = shown(change.status)
        lane.segments.append(
            _labelled(scale, change.at, until, kind=tone(change.status), title=title, label=label)
        )
    return lane


def _stage_lane(own: Sequence[Happening], scale: Scale) -> Lane:
    entered = [h for h in own if isinstance(h, StageEntered)]
    ends = [h.at for h in own if isinstance(h, StatusChanged) and h.status in ENDED]
    end = ends[-1] if ends else scale.seconds
    lane = Lane("stages", "stages", f"{len(entered)} passed" if len(entered) != 1 else "1 passed")
    for index, (stage, following) in enumerate(pairwise([*entered, None])):
        if stage is None:
            continue
        until = following.at if following else max(end, stage.at)
        name = shown(stage.stage) + ("" if stage.step is None else f" {percent(stage.step)}")
        back = ", rolling back" if stage.rollback else ""
        title = f"{name}{back}: {clock(stage.at)}, {duration(until - stage.at)}"
        kind = "rollback" if stage.rollback else ("odd" if index % 2 else "even")
        lane.segments.append(_labelled(scale, stage.at, until, kind=kind, title=title, label=name))
    return lane


def _queue_lane(consumption: Consumption, scale: Scale) -> Lane:
    note = f"nobody for {duration(consumption.longest_gap_seconds)} at most"
    if consumption.overlap_seconds:
        note += f", two revisions at once for {duration(consumption.overlap_seconds)}"
    lane = Lane("queue", f"at queue {shown(consumption.queue)}", note)
    for span in consumption.spans:
        name = shown(span.revision)
        title = f"{name}: {clock(span.start)} to {clock(span.end)}, {duration(span.end - span.start)}"
        kind = "blue" if name == "blue" else "green"
        lane.segments.append(_labelled(scale, span.start, span.end, kind=kind, title=title, label=name))
    return lane


def _labelled(scale: Scale, start: float, end: float, *, kind: str, title: str, label: str) -> Segment:
    x, width = scale.span(start, end)
    needs = len(label) * _CHARACTER + 12
    fits = "always" if width / 100 * _PHONE >= needs else "desk" if width / 100 * _DESK >= needs else ""
    return Segment(x, width, kind, title, label, fits)


def _hook_lanes(own: Sequence[Happening], scale: Scale) -> list[Lane]:
    lanes: dict[tuple[str, str], list[HookRun]] = {}
    for run in hook_runs(h for h in own if isinstance(h, HookCalled)):
        lanes.setdefault((run.first.hook, run.first.stage), []).append(run)
    return [_hook_lane(hook, stage, runs, scale) for (hook, stage), runs in lanes.items()]


def _hook_lane(hook: str, stage: str, runs: Sequence[HookRun], scale: Scale) -> Lane:
    calls = sum(len(run.calls) for run in runs)
    lane = Lane("hook", shown(hook), f"{shown(stage)}, asked {calls}×")
    for run in runs:
        first, last = run.first, run.last
        x, width = scale.span(first.at, last.at)
        step = "" if first.step is None else f" {percent(first.step)}"
        back = ", rolling back" if first.rollback else ""
        answer = last.answer if run.answered else "no answer"
        title = f"{shown(hook)} at {shown(stage)}{step}{back}: asked {len(run.calls)}×, {answer}"
        if run.answered:
            title += f" at {clock(last.at)} after {duration(run.seconds)}"
        reason = why(last)
        title += f". {reason}" if reason else ""
        if width:
            lane.segments.append(Segment(x, width, tone(last.answer), title))
        seen: set[int] = set()
        for call in run.calls[:-1]:
            at = scale.x(call.at)
            place = round(at / 100 * _TICKS_PER_HUNDRED)
            if place not in seen:
                seen.add(place)
                lane.ticks.append(at)
        lane.marks.append(Mark(scale.x(last.at), tone(last.answer), title))
    return lane


def _pause_lanes(own: Sequence[Happening], scale: Scale) -> list[Lane]:
    lanes: dict[tuple[str, str], list[PauseChanged]] = {}
    for change in own:
        if isinstance(change, PauseChanged):
            lanes.setdefault((change.hook_id, change.stage), []).append(change)
    return [_pause_lane(hook_id, stage, changes, scale) for (hook_id, stage), changes in lanes.items()]


def _pause_lane(hook_id: str, stage: str, changes: Sequence[PauseChanged], scale: Scale) -> Lane:
    lane = Lane("pause", shown(hook_id), shown(stage))
    began: PauseChanged | None = None
    for change in changes:
        if change.status == "AWAITING_ACTION":
            began = change
            continue
        since = began.at if began else change.at
        title = f"paused at {clock(since)}, {shown(change.status)} at {clock(change.at)}"
        x, width = scale.span(since, change.at)
        lane.segments.append(Segment(x, width, "waiting", title))
        lane.marks.append(Mark(scale.x(change.at), tone(change.status), title))
        began = None
    if began is not None:
        x, width = scale.span(began.at, scale.seconds)
        lane.segments.append(Segment(x, width, "waiting", f"paused at {clock(began.at)}, not answered"))
    return lane


def _actor_lanes(happenings: Iterable[Happening], scale: Scale) -> list[Lane]:
    lanes: dict[str, Lane] = {}
    for happening in happenings:
        if not isinstance(happening, ActorSpoke):
            continue
        name = shown(happening.actor)
        if name not in lanes and len(lanes) >= _ACTOR_LANES:
            name = "others"
        lane = lanes.setdefault(name, Lane("actor", name))
        title = f"{clock(happening.at)} {shown(happening.actor)}: {shown(happening.text)}"
        lane.marks.append(Mark(scale.x(happening.at), "flag", title))
        count = len(lane.marks)
        lane.note = shown(happening.text, 90) if count == 1 else f"speaks {count} times"
    return list(lanes.values())


def tone(status: str) -> str:
    """Return the kind of a status or answer: what colour and shape it gets."""
    if status in {"SUCCESSFUL", "SUCCEEDED"}:
        return "good"
    if status in {"FAILED", "INVALID", "ROLLBACK_FAILED", "TIMED_OUT"}:
        return "bad"
    if status.startswith(("ROLLBACK", "STOP")):
        return "back"
    return "waiting"
