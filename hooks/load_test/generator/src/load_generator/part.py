"""One worker's part of the load: which requests, when, and how many should have been sent by now.

Which number a request has decides all about it: the k-th request of an arm is due where the area under the
load is k and a phase, is sent by worker ``k % workers``, and is of the kind that the mix draws for k. So any
number of workers send the very same requests, and the master knows without asking what each of them should
have sent at any moment of its schedule.
"""

import math
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from load_generator.job import Job
from load_generator.schedule import Piece, due_times

# Half an interval apart, so that two arms of one rate take turns.
PHASES = {"green": 0.25, "blue": 0.75}


def area(load: Sequence[Piece], seconds: float, share: float) -> float:
    """Return how many requests lie under the first *seconds* of a load, added up as ``due_times`` does it.

    Another order of the additions would be as right, but could differ in the last digit, and a request at the
    very end would be due here and not there.
    """
    total = 0.0
    for piece in load:
        if seconds <= 0:
            break
        whole = seconds >= piece.seconds
        total += (piece.requests if whole else piece.until(seconds)) * share
        seconds -= piece.seconds
    return total


@dataclass(frozen=True, slots=True)
class Part:
    """One worker's requests of one arm."""

    load: tuple[Piece, ...]
    share: float
    phase: float
    grace_seconds: float
    worker: int
    workers: int

    @classmethod
    def of(cls, job: Job, arm: str, worker: int, workers: int) -> "Part":
        """Return what one of so many workers sends of an arm of the job."""
        return cls(job.pieces, job.shares[arm], PHASES[arm], job.grace_seconds, worker, workers)

    def __iter__(self) -> Iterator[tuple[float, int]]:
        """Yield after how many seconds each request is due, and its number among all of the arm's."""
        times = due_times(self.load, self.share, worker=self.worker, workers=self.workers, phase=self.phase)
        for turn, due in enumerate(times):
            yield due, self.worker + turn * self.workers

    @property
    def first_counted(self) -> int:
        """The number of the arm's first request after the grace period."""
        return self._last(area(self.load, self.grace_seconds, self.share)) + 1 if self.grace_seconds else 0

    def due(self, seconds: float) -> int:
        """Return how many of this worker's requests that count are due in the first *seconds*."""
        last = self._last(area(self.load, seconds, self.share))
        return max(self._until(last) - self._until(self.first_counted - 1), 0)

    def _until(self, number: int) -> int:
        """Return how many of the numbers up to this one are the worker's."""
        return max((number - self.worker) // self.workers + 1, 0)

    def _last(self, requests: float) -> int:
        """Return the highest number that is due under this area; -1 of none."""
        last = max(math.floor(requests - self.phase), -1)
        # The very comparison that due_times makes; the difference above may be rounded the other way.
        while last + 1 + self.phase <= requests:
            last += 1
        while last >= 0 and last + self.phase > requests:
            last -= 1
        return last


# 2**64 divided by the golden ratio: no multiples, modulo 2**64, lie more evenly.
_GOLDEN = 0x9E37_79B9_7F4A_7C15
_ALL = 1 << 64


class Mix:
    """Draws kinds of requests by their weights: evenly, and the same each time.

    >>> mix = Mix([3, 1], "run")
    >>> sum(mix.draw(number) for number in range(1000))
    250
    """

    def __init__(self, weights: Sequence[float], seed: str) -> None:
        total = math.fsum(weights)
        upper = [math.fsum(weights[: index + 1]) / total for index in range(len(weights))]
        self._edges = [int(edge * _ALL) for edge in upper[:-1]]
        self._offset = zlib.crc32(seed.encode()) << 32

    def draw(self, number: int) -> int:
        """Return which kind the request of this number is."""
        return bisect_right(self._edges, (number * _GOLDEN + self._offset) % _ALL)
