"""When one worker may receive: a state machine without clock, network or threads.

Every worker reads the parameter every few seconds. From the readings alone it knows whether it may start a
receive, under two rules. All times are seconds on the worker's own monotonic clock::

            began      ended
    reading   |----------|          "version 7: we are active, lease 15 s"
    lease     |---------------------------------|   1. from the *beginning* of the read, for leaseSeconds
    quiet  ...----------------------|               2. until leaseSeconds + readLagSeconds after the last
    open                            |-----------|      moment at which another revision may have been named

1. *Lease.* A worker may start receiving only while its latest successful read began at most ``leaseSeconds``
   ago and found its own revision active. A failed read changes nothing; any other answer ends the lease.
2. *Quiet.* And only once no other revision can still hold a lease.

Why two revisions are never open at once
----------------------------------------

Let *X* be named by a version that another one replaced at time *s*. A read that begins after ``s + lag`` does
not return it any more (this is what ``readLagSeconds`` means). So the last read that found *X* began before
``s + lag``, and by rule 1 *X* is closed from ``s + lag + lease`` on.

Let *Y* be named by a later version, which was created at *c*, at or after *s*. By rule 2 *Y* opens only after
``q + lag + lease``, where *q* is a moment at or after *s*: the creation of the first of an unbroken row of
versions that name *Y* or nobody. Hence *Y* opens after *X* has closed, whoever wrote the versions.

Where *q* comes from:

- *By AWS's clock.* A reading says how old its version was when the answer arrived. No version before it was
  in force later than that.
- *By what was read before.* If the version before was read too, and named *Y* or nobody, quiet goes on. It
  counts as the one before when its number is the next lower one and when it was read at most a lease ago,
  and less than 30 s: after that the parameter may have been deleted and its numbers used again.
- *Otherwise* quiet begins when the answer arrived: the version was created before that, at the latest.

What is assumed
---------------

- ``readLagSeconds`` holds. Parameter Store documents no bound.
- Clocks may differ in rate, by at most ``CLOCK_RATE_TOLERANCE``, and go on while the machine is suspended.
- A version that names another revision than the one before has a lease at least as long as that one's,
  as the hook and ``python -m activation_gate set`` see to. A worker that has read the longer lease allows
  for it in any case; one that starts later can't know.
- A process that stands still between asking and receiving is open for that much longer. That is what the
  epoch is for.
"""

from dataclasses import dataclass

from activation_gate.state import State

CLOCK_RATE_TOLERANCE = 0.01
"""By how much the rates of two monotonic clocks may differ."""

# "After deleting a parameter, wait for at least 30 seconds to create a parameter with the same name."
# https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_DeleteParameter.html
NUMBERS_USED_AGAIN_AFTER_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Reading:
    """What one successful read of the parameter found."""

    began: float
    """When the request was sent, in seconds of the worker's monotonic clock."""
    ended: float
    """When the answer was there."""
    version: int | None
    """The newest version that is not void; ``None``: there is no parameter, or all versions are void."""
    state: State | None
    """What it says; ``None`` for garbage and where there is no version."""
    age: float | None = None
    """How old that version was when the answer arrived, or less; ``None`` if AWS's clock is not known."""
    top: int | None = None
    """The newest version, void or not; ``None``: the same as *version*."""

    @property
    def created(self) -> float:
        """The latest moment at which the version can have been created."""
        return self.ended - (self.age or 0)

    @property
    def newest(self) -> int | None:
        """The highest number that was looked at."""
        return self.version if self.top is None else self.top


class Lease:
    """Whether a worker of *revision* may receive, going by what it has read so far.

    >>> active = State(epoch=8, active="42", lease_seconds=15)
    >>> lease = Lease("42")
    >>> lease.remaining(100.0)
    0.0
    >>> lease.read(Reading(began=100.0, ended=100.2, version=7, state=active, age=3600))
    True
    >>> lease.remaining(101.0)
    14.0
    """

    def __init__(self, revision: str) -> None:
        self.revision = revision
        self.latest: Reading | None = None
        """The latest reading that counted."""
        self._quiet_from = float("inf")
        self._longest_seen = 0.0
        self._window = 0.0

    def read(self, reading: Reading) -> bool:
        """Take a reading into account, and tell whether it counted.

        One that began before the latest, or that shows an older version although a newer one has been seen,
        is what a failed read is: it changes nothing.
        """
        before = self.latest
        if before is not None and (reading.began < before.began or _is_stale(reading, before)):
            return False
        if reading.state is not None:
            window = _quiet_seconds(reading.state)
            self._longest_seen = max(self._longest_seen, window)
            if not self._is_quiet(reading.state):
                self._quiet_from = float("inf")
            elif before is None or not _follows(reading, before):
                self._quiet_from, self._window = reading.created, self._longest_seen
            elif before.state is not None and not self._is_quiet(before.state):
                self._quiet_from = reading.created
                self._window = max(window, _quiet_seconds(before.state))
            elif reading.version == before.version:
                self._quiet_from = min(self._quiet_from, reading.created)
        self.latest = reading
        return True

    @property
    def granted(self) -> bool:
        """Whether the latest reading found this revision active."""
        return (
            self.latest is not None
            and self.latest.state is not None
            and self.latest.state.active == self.revision
        )

    @property
    def opens_at(self) -> float:
        """The moment from which no other revision can hold a lease; infinity while another one is named."""
        return self._quiet_from + self._window

    @property
    def ends_at(self) -> float:
        """The moment at which the lease ends; minus infinity where there is none."""
        if self.latest is None or self.latest.state is None or not self.granted:
            return float("-inf")
        return self.latest.began + self.latest.state.lease_seconds

    def remaining(self, now: float) -> float:
        """Return for how many seconds from *now* on receiving is allowed; 0 when it is not."""
        return max(0.0, self.ends_at - now) if now >= self.opens_at else 0.0

    def _is_quiet(self, state: State) -> bool:
        return state.active is None or state.active == self.revision


def _quiet_seconds(state: State) -> float:
    """Return how long after its replacement a lease given by *state* may last, on anybody's clock."""
    return (state.lease_seconds + state.read_lag_seconds) * (1 + CLOCK_RATE_TOLERANCE)


def _follows(reading: Reading, before: Reading) -> bool:
    """Tell whether nothing can have been in force between two readings that neither of them shows."""
    return (
        before.state is not None
        and before.newest is not None
        and reading.began - before.began <= min(before.state.lease_seconds, NUMBERS_USED_AGAIN_AFTER_SECONDS)
        and reading.version in {before.version, before.newest + 1}
    )


def _is_stale(reading: Reading, before: Reading) -> bool:
    """Tell an answer from a replica that lags behind from one about a parameter that was made anew.

    Both have a lower number than was seen before. A version of a new parameter was created after the old
    one was last seen.
    """
    return (
        reading.version is not None
        and before.version is not None
        and reading.version < before.version
        and reading.age is not None
        and reading.created < before.began
    )
