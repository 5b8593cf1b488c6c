"""Many runs of one scenario or several, counted: memory stays flat however many there are."""

from collections import Counter
from dataclasses import dataclass, field

from rehearsal.outcome import Outcome

# Enough to reproduce with; a list of a thousand seeds helps nobody.
MAX_SURPRISES = 5


@dataclass(slots=True)
class Spread:
    """Smallest, mean and largest of a number."""

    count: int = 0
    total: float = 0.0
    smallest: float = 0.0
    largest: float = 0.0

    def add(self, value: float) -> None:
        self.smallest = value if self.count == 0 else min(self.smallest, value)
        self.largest = value if self.count == 0 else max(self.largest, value)
        self.count += 1
        self.total += value

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0


@dataclass(slots=True)
class Surprise:
    """A run that did not end as its scenario expects, and how to run it again."""

    scenario: str
    seed: int
    switches: dict[str, str]
    text: str
    seen: str


@dataclass(slots=True)
class Group:
    """All runs of one scenario."""

    statuses: Counter[str] = field(default_factory=Counter)
    as_expected: int = 0
    seconds: Spread = field(default_factory=Spread)
    calls: Spread = field(default_factory=Spread)

    @property
    def runs(self) -> int:
        return self.calls.count


class Repeats:
    """What the runs so far have in common."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self.surprising = 0
        self.groups: dict[str, Group] = {}
        self.surprises: list[Surprise] = []

    def add(self, outcome: Outcome) -> None:
        """Count one run."""
        self.done += 1
        group = self.groups.setdefault(outcome.scenario, Group())
        group.statuses[outcome.status] += 1
        group.seconds.add(outcome.duration_seconds)
        group.calls.add(len(outcome.calls))
        if outcome.as_expected:
            group.as_expected += 1
            return
        self.surprising += 1
        if len(self.surprises) < MAX_SURPRISES:
            missed = next(check for check in outcome.checks if not check.held)
            self.surprises.append(
                Surprise(outcome.scenario, outcome.seed, outcome.switches, missed.text, missed.seen)
            )
