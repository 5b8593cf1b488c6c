"""The rules of the lease, as tables; and a world of lagging reads in which no two revisions are ever open."""

import math
from dataclasses import dataclass, field, replace
from random import Random

import pytest
from activation_gate import Lease, Reading, State
from activation_gate.lease import CLOCK_RATE_TOLERANCE
from hypothesis import given
from hypothesis import strategies as st

OWN, OTHER = "42", "41"
LEASE, LAG = 15.0, 5.0
WINDOW = (LEASE + LAG) * (1 + CLOCK_RATE_TOLERANCE)
OLD = 3600.0


def state(active: str | None, *, lease: float = LEASE, lag: float = LAG) -> State:
    return State(epoch=1, active=active, lease_seconds=lease, read_lag_seconds=lag)


def reading(
    began: float,
    version: int | None,
    found: State | None,
    *,
    age: float | None = None,
    took: float = 0.0,
    top: int | None = None,
) -> Reading:
    return Reading(began=began, ended=began + took, version=version, state=found, age=age, top=top)


def lease_after(*readings: Reading) -> Lease:
    lease = Lease(OWN)
    for one in readings:
        lease.read(one)
    return lease


def test_nothing_has_been_read_and_the_gate_is_closed() -> None:
    assert Lease(OWN).remaining(0.0) == 0.0


def test_a_lease_runs_from_the_beginning_of_the_read() -> None:
    lease = lease_after(reading(100, 7, state(OWN), age=OLD, took=3))
    assert [lease.remaining(now) for now in (103, 114.5, 115, 116)] == [12.0, 0.5, 0.0, 0.0]


@pytest.mark.parametrize(
    ("second", "remaining"),
    [
        (reading(105, 7, state(OWN), age=OLD), 15.0),
        (reading(105, 8, state(OTHER), age=0), 0.0),
        (reading(105, 8, state(None), age=0), 0.0),
        (reading(105, 8, None, age=0), 0.0),
        (reading(105, None, None), 0.0),
        (reading(105, None, None, top=8), 0.0),
        (reading(105, 7, state(OWN), age=OLD, top=8), 15.0),
    ],
    ids=["renewed", "another", "nobody", "garbage", "missing", "all void", "void on top"],
)
def test_a_read_renews_the_lease_or_ends_it_at_once(second: Reading, remaining: float) -> None:
    assert lease_after(reading(100, 7, state(OWN), age=OLD), second).remaining(105) == remaining


@pytest.mark.parametrize(
    ("readings", "opens_at"),
    [
        # by the clock of AWS
        ([reading(100, 7, state(OWN), age=OLD)], 100 - OLD + WINDOW),
        ([reading(100, 7, state(OWN), age=4, took=1)], 97 + WINDOW),
        # which is not known: then from when the answer was there
        ([reading(100, 7, state(OWN), took=1)], 101 + WINDOW),
        # and stays there when the same version is read again
        ([reading(100, 7, state(OWN), took=1), reading(105, 7, state(OWN))], 101 + WINDOW),
        # unless AWS tells later
        ([reading(100, 7, state(OWN)), reading(105, 7, state(OWN), age=OLD)], 105 - OLD + WINDOW),
        # nobody was named while blue drained, and then this one
        ([reading(100, 6, state(None), age=0), reading(105, 7, state(OWN), age=0)], 100 + WINDOW),
        ([reading(100, 6, state(None), age=OLD), reading(105, 7, state(OWN), age=0)], 100 - OLD + WINDOW),
        (
            [
                reading(90, 5, state(OTHER), age=OLD),
                reading(100, 6, state(None), age=2),
                reading(105, 7, state(OWN), age=0),
            ],
            98 + WINDOW,
        ),
        # another was named right before
        ([reading(100, 6, state(OTHER), age=OLD), reading(105, 7, state(OWN), age=1)], 104 + WINDOW),
        # a number is missing: another may have been named in between
        ([reading(100, 5, state(None), age=OLD), reading(105, 7, state(OWN), age=1)], 104 + WINDOW),
        # no number is missing: what lies between is void, and was looked at
        (
            [reading(100, 5, state(None), age=OLD, top=6), reading(105, 7, state(OWN), age=1)],
            100 - OLD + WINDOW,
        ),
        # garbage, or no parameter, in between
        (
            [
                reading(95, 5, state(None), age=OLD),
                reading(100, 6, None, age=1),
                reading(105, 7, state(OWN), age=1),
            ],
            104 + WINDOW,
        ),
        (
            [
                reading(95, 5, state(None), age=OLD),
                reading(100, None, None),
                reading(105, 6, state(OWN), age=1),
            ],
            104 + WINDOW,
        ),
        # what was read more than a lease ago says nothing of what has been since
        ([reading(100, 6, state(None), age=OLD), reading(115.1, 7, state(OWN), age=1)], 114.1 + WINDOW),
        ([reading(100, 7, state(OWN), took=0), reading(115.1, 7, state(OWN))], 115.1 + WINDOW),
    ],
)
def test_quiet_begins_when_no_other_revision_was_named_any_more(
    readings: list[Reading], opens_at: float
) -> None:
    assert lease_after(*readings).opens_at == pytest.approx(opens_at)


def test_a_long_lease_does_not_outlast_the_time_after_which_numbers_may_be_used_again() -> None:
    hour = state(None, lease=3600)
    lease = lease_after(reading(100, 6, hour, age=OLD * 2), reading(131, 7, state(OWN), age=0))
    assert lease.opens_at == pytest.approx(131 + (3600 + LAG) * 1.01)


def test_quiet_lasts_as_long_as_the_longest_lease_that_was_seen() -> None:
    lease = lease_after(
        reading(100, 6, state(OTHER, lease=60), age=OLD),
        reading(105, 7, state(OWN), age=0),
        reading(110, 7, state(OWN), age=5),
    )
    assert lease.opens_at == pytest.approx(105 + (60 + LAG) * 1.01)


def test_the_gate_opens_between_two_reads() -> None:
    lease = lease_after(reading(100, 7, state(OWN, lease=30, lag=0), age=20))
    assert [lease.remaining(now) for now in (100, 110, 110.3, 111, 130)] == [0, 0, pytest.approx(19.7), 19, 0]


@pytest.mark.parametrize(
    "ignored",
    [
        reading(99, 8, state(OTHER), age=0),
        reading(105, 6, state(OTHER), age=OLD),
        reading(105, 6, state(None), age=6),
    ],
    ids=["answered late", "a replica that lags behind", "and a young version"],
)
def test_what_is_older_than_what_is_known_changes_nothing(ignored: Reading) -> None:
    lease = lease_after(reading(100, 7, state(OWN), age=OLD))
    assert lease.read(ignored) is False
    assert lease.remaining(105) == 10.0


def test_a_parameter_that_was_made_anew_begins_with_low_numbers_and_counts() -> None:
    lease = lease_after(reading(100, 7, state(OWN), age=OLD))
    assert lease.read(reading(140, 1, state(OTHER), age=2)) is True
    assert (lease.remaining(140), lease.opens_at) == (0.0, math.inf)


@dataclass
class World:
    """Parameter Store whose reads lag, and workers whose clocks run at different rates."""

    random: Random
    lag: float
    now: float = 0.0
    written: list[tuple[float, int | None, State | None]] = field(default_factory=list)
    deleted_at: float = -math.inf

    def write(self) -> None:
        """Write what somebody might: the hook, a person, a fault; nothing that breaks an assumption."""
        newest = self.written[-1] if self.written else None
        number = (newest[1] or 0) + 1 if newest else 1
        if newest and newest[1] is not None and self.random.random() < 0.1:
            self.written.append((self.now, None, None))
            self.deleted_at = self.now
            return
        if self.now < self.deleted_at + 30:
            return
        found = state(
            self.random.choice([OWN, OTHER, None]),
            # No shorter than the one before: the writer's part of the bargain.
            lease=max([LEASE if self.random.random() < 0.9 else 20.0, *self._leases()]),
            lag=self.lag,
        )
        self.written.append((self.now, number, None if self.random.random() < 0.1 else found))

    def _leases(self) -> list[float]:
        return [found.lease_seconds for _, _, found in self.written if found]

    def read(self, clock: "Clock") -> Reading:
        """Return any answer that a read of up to three seconds may give."""
        began, answered = self.now, self.now + self.random.random() * 3
        ended = answered + self.random.random()
        since = began - self.lag * self.random.random()
        shown = [one for one in self.written if one[0] <= since][-1:]
        shown += [one for one in self.written if since < one[0] <= began]
        at, number, found = self.random.choice(shown) if shown else (0.0, None, None)
        knows_age = number is not None and self.random.random() < 0.8
        age = max(0.0, answered - at - self.random.random()) if knows_age else None
        return Reading(began=clock.at(began), ended=clock.at(ended), version=number, state=found, age=age)


@dataclass(frozen=True)
class Clock:
    origin: float
    rate: float

    def at(self, now: float) -> float:
        return self.origin + now * self.rate


@dataclass
class Worker:
    lease: Lease
    clock: Clock
    reads_at: float
    reads_every: float
    pending: list[tuple[float, Reading]] = field(default_factory=list)

    def is_open(self, now: float) -> bool:
        return self.lease.remaining(self.clock.at(now)) > 0


@given(st.integers(0, 2**32), st.sampled_from([0.0, 2.0, 5.0]))
def test_two_revisions_are_never_open_at_once(seed: int, lag: float) -> None:
    random = Random(seed)
    world = World(random, lag)
    workers: list[Worker] = []
    writes_at = 0.0
    while world.now < 300:
        world.now += 0.1
        if world.now >= writes_at:
            world.write()
            writes_at = world.now + random.expovariate(1 / random.choice([2, 15, 40]))
        if random.random() < 0.02:  # a task starts; each other one replaces an old one
            name = random.choice([OWN, OTHER])
            clock = Clock(random.random() * 1000, random.uniform(0.9951, 1.0049))
            workers = [*workers[-5:], Worker(Lease(name), clock, world.now, random.choice([1, 5, 14]))]
        for worker in workers:
            if world.now >= worker.reads_at:
                worker.reads_at = world.now + worker.reads_every
                if random.random() < 0.8:
                    answer = world.read(worker.clock)
                    worker.pending.append((answer.ended, answer))
            for ended, answer in worker.pending:
                if worker.clock.at(world.now) >= ended:
                    worker.lease.read(answer)
            worker.pending = [one for one in worker.pending if worker.clock.at(world.now) < one[0]]
        open_now = {worker.lease.revision for worker in workers if worker.is_open(world.now)}
        assert len(open_now) <= 1


@given(st.integers(0, 2**32))
def test_a_revision_that_alone_is_named_opens_soon_and_stays_open(seed: int) -> None:
    """Closed for ever would be safe, too."""
    random = Random(seed)
    world = World(random, LAG)
    world.written.append((0.0, 1, state(OWN)))
    worker = Worker(Lease(OWN), Clock(500, 1), 0.0, 5)
    opened: list[bool] = []
    while world.now < 60:
        world.now += 0.5
        if world.now >= worker.reads_at:
            worker.reads_at = world.now + worker.reads_every
            worker.lease.read(replace(world.read(worker.clock)))
        opened.append(worker.is_open(world.now))
    assert opened.index(True) * 0.5 < WINDOW + 10
    assert all(opened[opened.index(True) :])
