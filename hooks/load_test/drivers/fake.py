"""A generator that says what a test has it say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from hooks.load_test.decision import Attempt


@dataclass
class FakeDriver:
    """Remembers what it was asked, and answers from :attr:`attempts`.

    >>> from datetime import UTC, datetime, timedelta
    >>> driver = FakeDriver()
    >>> driver.start({"run": "d-r-1"}, datetime(2026, 3, 5, tzinfo=UTC), timedelta(seconds=90))
    >>> [attempt.run for attempt in driver.poll(["d-r-1", "d-r-2"], datetime(2026, 3, 5, tzinfo=UTC))]
    ['d-r-1']
    """

    attempts: dict[str, Attempt] = field(default_factory=dict)
    """By run: what there is to know of it."""
    jobs: list[Mapping[str, Any]] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    stopped: dict[str, str] = field(default_factory=dict)
    failure: Exception | None = None
    """Raised by every method, where there is one."""

    def health(self) -> None:
        self._fail()

    def start(self, job: Mapping[str, Any], now: datetime, lease: timedelta) -> None:
        self._fail()
        run = str(job["run"])
        if run not in self.attempts:
            self.jobs.append(job)
            self.attempts[run] = Attempt(run=run, asked_at=now)

    def poll(self, runs: Sequence[str], now: datetime) -> tuple[Attempt, ...]:
        self._fail()
        return tuple(self.attempts[run] for run in runs if run in self.attempts)

    def keep(self, run: str, now: datetime, lease: timedelta) -> None:
        self._fail()
        self.kept.append(run)

    def stop(self, run: str, reason: str, now: datetime) -> None:
        self._fail()
        self.stopped.setdefault(run, reason)
        if run in self.attempts:
            self.attempts[run] = replace(self.attempts[run], stopped=self.stopped[run])

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure
