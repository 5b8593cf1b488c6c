"""How the hook speaks to a generator.

::

    Driver ── QueueDriver     the default: jobs over a queue, results in a bucket; nothing listens
          ├── LocustDriver    the HTTP API of a Locust that a team already runs
          └── FakeDriver      what a test says

To add another engine, write these five methods (``docs/load-test.md`` shows how).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from hooks.load_test.decision import Attempt

# A run ends by itself so long after the hook was last called for it: it has died, or was turned back.
LEASE = timedelta(seconds=90)


def lease_of(poll_seconds: float) -> timedelta:
    """Return how long a lease has to be, so that a call may come late or not at all."""
    return max(LEASE, 3 * timedelta(seconds=poll_seconds))


class Driver(Protocol):
    """A way to a generator. Every method may raise ``Transient`` or ``Misconfigured``."""

    def health(self) -> None:
        """Raise what is wrong with the way, or with the generator, as far as it can be known."""

    def start(self, job: Mapping[str, Any], now: datetime, lease: timedelta) -> None:
        """Ask for a run; once for its name, however often this is called."""

    def poll(self, runs: Sequence[str], now: datetime) -> tuple[Attempt, ...]:
        """Return what is known of those of *runs* that were asked for, in their order.

        What has settled is read here too: a run whose measurement is over will not change any more.
        """

    def keep(self, run: str, now: datetime, lease: timedelta) -> None:
        """Let a run go on for so much longer."""

    def stop(self, run: str, reason: str, now: datetime) -> None:
        """End a run, whether it has begun or not; of one that is over nothing changes."""
