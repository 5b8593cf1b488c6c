"""A histogram of latencies in buckets that grow with the value, as HdrHistogram has them.

::

    microseconds   0 ... 255     256 ... 511     512 ... 1023    ...
    bucket width   1             2               4               ...
    buckets        0 ... 255     256 ... 383     384 ... 511     ...

A bucket is at most 1/128 (0.8 %) as wide as the values in it. Histograms of several workers add up, which
percentiles do not.
"""

from collections.abc import Iterable
from typing import Any

SUB_BUCKET_BITS = 7
_SUB_BUCKETS = 1 << SUB_BUCKET_BITS

# An hour. No request is waited for so long; a clock that jumped must not make the array grow without end.
MAX_MICROSECONDS = 3_600_000_000


def bucket_of(microseconds: int) -> int:
    """Return the bucket of a value."""
    shift = max(microseconds.bit_length() - SUB_BUCKET_BITS - 1, 0)
    return (shift << SUB_BUCKET_BITS) + (microseconds >> shift)


def highest_of(bucket: int) -> int:
    """Return the highest value of a bucket, in microseconds."""
    if bucket < 2 * _SUB_BUCKETS:
        return bucket
    shift = (bucket >> SUB_BUCKET_BITS) - 1
    return (((bucket & (_SUB_BUCKETS - 1)) + _SUB_BUCKETS + 1) << shift) - 1


BUCKETS = bucket_of(MAX_MICROSECONDS) + 1


class Histogram:
    """Counts of latencies."""

    __slots__ = ("count", "counts", "highest", "total")

    def __init__(self) -> None:
        self.counts = [0] * BUCKETS
        self.count = 0
        self.total = 0
        """The sum of all values, in microseconds."""
        self.highest = 0

    def record(self, seconds: float) -> None:
        """Count one latency."""
        microseconds = min(max(int(seconds * 1_000_000), 0), MAX_MICROSECONDS)
        self.counts[bucket_of(microseconds)] += 1
        self.count += 1
        self.total += microseconds
        self.highest = max(self.highest, microseconds)

    def percentile(self, percent: float) -> float | None:
        """Return the latency in seconds that *percent* of all did not exceed; ``None`` of nothing."""
        if not self.count:
            return None
        # 99.9 / 100 * 1000 is a little more than 999.
        rank = max(round(percent / 100 * self.count, 6), 1)
        seen = 0
        for bucket, count in enumerate(self.counts):
            seen += count
            if seen >= rank:
                return min(highest_of(bucket), self.highest) / 1_000_000
        return self.highest / 1_000_000

    def since(self, earlier: "Histogram") -> "Histogram":
        """Return what was counted since *earlier*, an older state of this very histogram."""
        later = Histogram()
        later.counts = [now - then for now, then in zip(self.counts, earlier.counts, strict=True)]
        later.count, later.total = self.count - earlier.count, self.total - earlier.total
        later.highest = self.highest
        return later

    def add(self, other: "Histogram") -> None:
        """Count everything that *other* has counted."""
        self.counts = [one + more for one, more in zip(self.counts, other.counts, strict=True)]
        self.count += other.count
        self.total += other.total
        self.highest = max(self.highest, other.highest)

    def write(self) -> dict[str, Any]:
        """Return the JSON form: the buckets that are not empty."""
        return {
            "count": self.count,
            "sumMicroseconds": self.total,
            "maxMicroseconds": self.highest,
            "counts": [[bucket, count] for bucket, count in enumerate(self.counts) if count],
        }

    @classmethod
    def read(cls, document: dict[str, Any]) -> "Histogram":
        """Read what :meth:`write` made, in this process or in another of this version."""
        read = cls()
        pairs: Iterable[list[int]] = document["counts"]
        for bucket, count in pairs:
            read.counts[bucket] = count
        read.count, read.total = document["count"], document["sumMicroseconds"]
        read.highest = document["maxMicroseconds"]
        return read
