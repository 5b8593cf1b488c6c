"""Calls of one hook at one stage (and step), put together: first asked, polled, answered.

::

    HookCalled ──┐
    HookCalled ──┼─▶ HookRun   "manual_approval  asked 24×  → SUCCEEDED after 10 m 05 s"
    HookCalled ──┘
"""

from collections.abc import Iterable
from dataclasses import dataclass

from rehearsal.outcome import Happening, HookCalled, StageEntered, StatusChanged

RunKey = tuple[str, str, str, float | None, bool]
"""Deployment, hook, stage, step, and whether it is the rollback's."""

# From these on ECS listens to no hook of the forward walk any more.
_DEAF_STATUSES = {
    "STOP_REQUESTED",
    "STOPPED",
    "ROLLBACK_IN_PROGRESS",
    "ROLLBACK_SUCCESSFUL",
    "ROLLBACK_FAILED",
}


@dataclass(slots=True)
class HookRun:
    """One hook at one stage and step, from its first call to its answer."""

    calls: list[HookCalled]
    again: bool = False
    """Whether ECS had its answer already: a duplicate delivery, or a retry."""

    @property
    def first(self) -> HookCalled:
        return self.calls[0]

    @property
    def last(self) -> HookCalled:
        return self.calls[-1]

    @property
    def answered(self) -> bool:
        """Whether ECS has stopped asking because of what the hook said."""
        return self.last.answer != "IN_PROGRESS"

    @property
    def seconds(self) -> float:
        return self.last.at - self.first.at


class OpenRuns:
    """The runs that ECS still polls, fed one call at a time."""

    def __init__(self) -> None:
        self._open: dict[RunKey, HookRun] = {}
        self._ended: set[RunKey] = set()

    def add(self, call: HookCalled) -> HookRun:
        """Add a call to its run; a run that it ends is open no more."""
        key = (call.deployment, call.hook, call.stage, call.step, call.rollback)
        run = self._open.get(key)
        if run is None:
            run = self._open[key] = HookRun([call], again=key in self._ended)
        else:
            run.calls.append(call)
        if run.answered:
            del self._open[key]
            self._ended.add(key)
        return run

    def open(self) -> list[HookRun]:
        """Return the runs without an answer, oldest first."""
        return list(self._open.values())

    def abandoned_by(self, happening: Happening) -> list[HookRun]:
        """Take out and return the runs that will get no answer, because the deployment went on without."""
        match happening:
            case StatusChanged(status=status, deployment=deployment) if status in _DEAF_STATUSES:
                return self.abandon(deployment)
            # Bake time may run together with the hooks of its step, so those may answer yet.
            case StageEntered(stage=stage, deployment=deployment) if stage != "BAKE_TIME":
                return self.abandon(deployment)
        return []

    def abandon(self, deployment: str | None = None) -> list[HookRun]:
        """Take out and return the runs without an answer, of one deployment or of all."""
        gone = {key: run for key, run in self._open.items() if deployment in {None, key[0]}}
        for key in gone:
            del self._open[key]
        return list(gone.values())


def hook_runs(calls: Iterable[HookCalled]) -> list[HookRun]:
    """Return the runs of a whole rehearsal in the order of their first calls."""
    open_runs = OpenRuns()
    runs: list[HookRun] = []
    for call in calls:
        run = open_runs.add(call)
        if len(run.calls) == 1:
            runs.append(run)
    return runs
