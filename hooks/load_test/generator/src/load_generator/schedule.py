"""When requests are due: fixed beforehand, whatever the answers do.

That is what makes the load *open*. A generator that waits for an answer before it sends the next request
measures least when there is most to measure: a server that stalls is asked less, and its stall is one slow
answer instead of hundreds.

A load is a sequence of pieces in which the rate goes evenly from one value to another. The number of requests
due until a moment is the area under it, and the k-th request is due where that area is k.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the load."""

    seconds: float
    start: float
    """Requests per second at its beginning."""
    end: float
    """Requests per second at its end; as at its beginning where the rate is constant."""

    @property
    def requests(self) -> float:
        return (self.start + self.end) / 2 * self.seconds

    def until(self, seconds: float) -> float:
        """Return how many requests are due in its first *seconds*."""
        return (self.start + (self.end - self.start) * seconds / self.seconds / 2) * seconds

    def when(self, requests: float) -> float:
        """Return after how many of its seconds so many requests are due."""
        slope = (self.end - self.start) / self.seconds
        # The root of slope/2 t² + start t = requests, in the form that is exact for a slope of zero.
        root = math.sqrt(max(self.start**2 + 2 * slope * requests, 0.0))
        return 2 * requests / (self.start + root) if requests else 0.0


def seconds_of(load: Sequence[Piece]) -> float:
    """Return how long a load takes."""
    return sum(piece.seconds for piece in load)


def due_until(load: Sequence[Piece], seconds: float, share: float = 1.0) -> float:
    """Return how many requests are due in the first *seconds*, of an arm with *share* of the rate."""
    due = 0.0
    for piece in load:
        if seconds <= 0:
            break
        due += piece.until(min(seconds, piece.seconds))
        seconds -= piece.seconds
    return due * share


def due_times(
    load: Sequence[Piece], share: float = 1.0, *, worker: int = 0, workers: int = 1, phase: float = 0.5
) -> Iterator[float]:
    """Yield after how many seconds each request of one worker is due.

    Parameters
    ----------
    share
        The arm's part of the rate.
    worker, workers
        Which one of how many: the k-th request is worker ``k % workers``'s, so that together they send
        exactly the load, and each of them an even part of it.
    phase
        Where within its interval a request is due, from 0 to 1: two arms of one rate do not coincide.
    """
    if share <= 0:
        return
    begin, before, number = 0.0, 0.0, worker
    for piece in load:
        until = before + piece.requests * share
        while number + phase <= until:
            yield begin + piece.when((number + phase - before) / share)
            number += workers
        begin, before = begin + piece.seconds, until
