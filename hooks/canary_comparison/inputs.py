"""What a decision was made from, as a record holds it, and back: ``rehearse replay`` decides again.

Minutes are written in rows, by their number since the window began: a record of six hours stays small::

    {
        "metric": "errors",
        "kind": "proportion",
        "minutes": [[0, 1.0, 50.0, 4.0, 950.0], ...],
        "missing": [3],
        "problem": "...",
        "threshold": null,
    }
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from hooks.canary_comparison.decision import Rules
from hooks.canary_comparison.judge import Rule, Standards
from hooks.canary_comparison.observation import MINUTE, Kind, Observation, Reading, Split
from hooks.canary_comparison.watch import Phase, Watch
from hooks.canary_comparison.window import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Everything that ``decision.decide`` takes."""

    observations: tuple[Observation, ...]
    rules: Rules
    watch: Watch
    now: datetime

    def write(self) -> dict[str, Any]:
        """Write them as JSON has it."""
        first = self._first
        return {
            "now": self.now.isoformat(),
            "watch": {
                "phase": self.watch.phase.value,
                "start": self.watch.window.start.isoformat(),
                "end": self.watch.window.end.isoformat(),
                "note": self.watch.note,
                "step": self.watch.step and self.watch.step.isoformat(),
            },
            "rules": asdict(self.rules),
            "firstMinute": first.isoformat(),
            "observations": [_written(observation, first) for observation in self.observations],
        }

    @property
    def _first(self) -> datetime:
        return min(
            (at for seen in self.observations for at in (*(m.start for m in seen.minutes), *seen.missing)),
            default=self.watch.window.start,
        )

    @classmethod
    def read(cls, written: Mapping[str, Any]) -> "Inputs":
        """Read what :meth:`write` wrote; raises ``KeyError``, ``TypeError`` or ``ValueError`` for others."""
        rules, watch = written["rules"], written["watch"]
        first = datetime.fromisoformat(written["firstMinute"])
        return cls(
            observations=tuple(_read(observation, first) for observation in written["observations"]),
            rules=Rules(
                **{
                    **rules,
                    "metrics": tuple(
                        Rule(**{**rule, "kind": Kind(rule["kind"])}) for rule in rules["metrics"]
                    ),
                    "standards": Standards(**rules["standards"]),
                }
            ),
            watch=Watch(
                phase=Phase(watch["phase"]),
                window=Window(datetime.fromisoformat(watch["start"]), datetime.fromisoformat(watch["end"])),
                note=watch["note"],
                step=watch["step"] and datetime.fromisoformat(watch["step"]),
            ),
            now=datetime.fromisoformat(written["now"]),
        )


def _written(observation: Observation, first: datetime) -> dict[str, Any]:
    return {
        "metric": observation.metric,
        "kind": observation.kind.value,
        "minutes": [[(minute.start - first) // MINUTE, *minute[1:]] for minute in observation.minutes],
        "missing": [(at - first) // MINUTE for at in observation.missing],
        "problem": observation.problem,
        "threshold": observation.threshold,
    }


def _read(written: Mapping[str, Any], first: datetime) -> Observation:
    kind = Kind(written["kind"])
    rows: Sequence[Sequence[float]] = written["minutes"]
    minutes: tuple[Split, ...] | tuple[Reading, ...]
    if kind.is_counted:
        minutes = tuple(Split(first + number * MINUTE, *values) for number, *values in rows)
    else:
        minutes = tuple(Reading(first + number * MINUTE, *values) for number, *values in rows)
    return Observation(
        metric=written["metric"],
        kind=kind,
        minutes=minutes,
        missing=tuple(first + number * MINUTE for number in written["missing"]),
        problem=written["problem"],
        threshold=written["threshold"],
    )
