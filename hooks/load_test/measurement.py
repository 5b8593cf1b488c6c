"""What the generator says of a run, read with the distrust that anything from outside deserves.

The generator's own words for it are in ``generator/src/load_generator/snapshot.py``. Numbers that can't be
(NaN, counts below zero, a histogram that does not add up to its count) make the whole of it unreadable: a
verdict must not rest on half of what was measured.
"""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from shared.errors import shown

# Two histograms of 3,300 buckets and a timeline of 300 points are 150 KB.
MAX_BYTES = 1024 * 1024
MAX_BUCKET = 3500
MAX_COUNT = 10**12

# Whoever counts from 1970 or from the start of the machine does not know what time it is; and far from these
# years a moment and a duration have no sum.
EARLIEST, LATEST = datetime(2020, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)

Count = Annotated[int, Field(ge=0, le=MAX_COUNT, strict=True)]
Seconds = Annotated[float, Field(ge=0, le=10**7, allow_inf_nan=False, strict=True)]


class UnreadableError(ValueError):
    """It is no measurement; the text says why."""


class _Part(BaseModel):
    # What a newer generator adds is not known here and does no harm.
    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel)


class Histogram(_Part):
    """Latencies in buckets that grow with the value: 128 to each power of two of microseconds."""

    count: Count
    sum_microseconds: Annotated[int, Field(ge=0, le=10**22, strict=True)]
    max_microseconds: Count
    counts: tuple[tuple[Annotated[int, Field(ge=0, le=MAX_BUCKET, strict=True)], Count], ...] = Field(
        max_length=MAX_BUCKET + 1
    )

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        buckets = [bucket for bucket, _ in self.counts]
        if buckets != sorted(set(buckets)):
            raise ValueError("buckets are not in order")
        total = sum(count for _, count in self.counts)
        if total != self.count:
            raise ValueError(f"its buckets hold {total}, its count says {self.count}")
        if self.count and self.max_microseconds < lowest_of(max(bucket for bucket, n in self.counts if n)):
            raise ValueError(f"its highest is {self.max_microseconds}, and in its buckets is more")
        least = sum(count * lowest_of(bucket) for bucket, count in self.counts)
        most = sum(count * highest_of(bucket) for bucket, count in self.counts)
        if not least <= self.sum_microseconds <= most:
            raise ValueError(f"its buckets make {least} to {most}, its sum says {self.sum_microseconds}")
        return self

    def at_rank(self, rank: int) -> float:
        """Return the *rank*-th smallest latency, from 1, in seconds; infinity beyond the last."""
        if rank > self.count:
            return math.inf
        seen = 0
        for bucket, count in self.counts:
            seen += count
            if seen >= rank:
                return min(highest_of(bucket), self.max_microseconds) / 1_000_000
        return math.inf

    def quantile(self, share: float) -> float:
        """Return the latency that *share* of all did not exceed, in seconds."""
        # 99.9 / 100 * 1000 is a little more than 999.
        return self.at_rank(max(math.ceil(round(share * self.count, 6)), 1))

    @property
    def mean(self) -> float:
        return self.sum_microseconds / self.count / 1_000_000 if self.count else 0.0

    @property
    def deviation(self) -> float:
        """The standard deviation, as far as the buckets tell it."""
        if self.count < 2:
            return 0.0
        mean = self.mean
        squares = sum(count * (highest_of(bucket) / 1_000_000 - mean) ** 2 for bucket, count in self.counts)
        return math.sqrt(squares / (self.count - 1))


def highest_of(bucket: int) -> int:
    """Return the highest value of a bucket, in microseconds."""
    if bucket < 256:
        return bucket
    shift = (bucket >> 7) - 1
    return (((bucket & 127) + 129) << shift) - 1


def lowest_of(bucket: int) -> int:
    """Return the lowest value of a bucket, in microseconds."""
    return highest_of(bucket - 1) + 1 if bucket else 0


class Arm(_Part):
    """What became of the requests to one revision."""

    due: Count
    sent: Count
    held: Count
    answered: Count
    in_flight: Count
    misrouted: Count
    bytes: Count
    errors: dict[Annotated[str, Field(max_length=100)], Count] = Field(max_length=50)
    latency: Histogram
    """Of answers without error."""

    @property
    def failed(self) -> int:
        return sum(self.errors.values())

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.answered != self.failed + self.latency.count:
            raise ValueError(
                f"{self.answered} answers, but {self.failed} errors and {self.latency.count} latencies"
            )
        if self.sent != self.answered + self.misrouted + self.in_flight:
            raise ValueError(f"{self.sent} sent, but they do not add up")
        return self


class State(StrEnum):
    """How far a run is."""

    PREFLIGHT = "preflight"
    RUNNING = "running"
    SETTLING = "settling"
    FINISHED = "finished"
    ENDED = "ended"


class Problem(StrEnum):
    """Why a run ended before its time."""

    NONE = ""
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    UNPROVEN = "unproven"
    STOPPED = "stopped"
    ABANDONED = "abandoned"
    BLUE_DEGRADED = "blueDegraded"
    TOO_MANY_BYTES = "tooManyBytes"
    LOST = "lost"


class Workers(_Part):
    """The processes that send."""

    expected: Count
    reporting: Count
    lost: Count


class ArmPoint(_Part):
    """One arm, in one stretch of the timeline."""

    sent: Count
    errors: Count
    p95_milliseconds: float | None = Field(None, ge=0, le=10**10, allow_inf_nan=False, strict=True)


class Point(_Part):
    """A stretch of the timeline, that ends at *second* of the run."""

    second: Seconds
    green: ArmPoint
    blue: ArmPoint | None = None


class Measurement(_Part):
    """A run at a moment."""

    version: Literal[1]
    run: Annotated[str, Field(max_length=200)]
    state: State
    problem: Problem
    reason: Annotated[str, Field(max_length=2000)]
    at: Annotated[AwareDatetime, Field(ge=EARLIEST, lt=LATEST)]
    elapsed_seconds: Seconds
    due_seconds: Seconds
    workers: Workers
    preflight: dict[Literal["green", "blue"], Annotated[str, Field(max_length=2000)] | None]
    arms: dict[Literal["green", "blue"], Arm]
    lag: Histogram
    requests: dict[Annotated[str, Field(max_length=3000)], tuple[Count, Count]] = Field(max_length=200)
    timeline: tuple[Point, ...] = Field((), max_length=1000)

    @model_validator(mode="after")
    def _ends_in_one_way(self) -> Self:
        if self.is_over and (self.state is State.FINISHED) != (self.problem is Problem.NONE):
            raise ValueError(f"it is {self.state} with the problem {self.problem.value!r}")
        return self

    @property
    def is_over(self) -> bool:
        return self.state in {State.FINISHED, State.ENDED}

    @property
    def green(self) -> Arm | None:
        return self.arms.get("green")

    @property
    def blue(self) -> Arm | None:
        return self.arms.get("blue")

    @property
    def began(self) -> datetime:
        """When its first request was due."""
        return datetime.fromtimestamp(self.at.timestamp() - self.elapsed_seconds, self.at.tzinfo)

    @classmethod
    def read(cls, text: str | bytes, run: str) -> Self:
        """Read what is said of *run*; raises :class:`UnreadableError` for anything else."""
        if len(text) > MAX_BYTES:
            raise UnreadableError(f"more than {MAX_BYTES} bytes")
        try:
            measured = cls.model_validate(json.loads(text))
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise UnreadableError(f"{where or 'it'}: {first['msg'].lower()}") from error
        except (ValueError, RecursionError) as error:
            raise UnreadableError(f"not JSON: {shown(str(text)[:80])}") from error
        if measured.run != run:
            raise UnreadableError(f"it is about run {shown(measured.run)}")
        return measured

    def write(self) -> dict[str, Any]:
        """Write it as it was read, for a record."""
        return self.model_dump(mode="json", by_alias=True)

    @classmethod
    def restore(cls, written: Mapping[str, Any]) -> Self:
        """Read what :meth:`write` wrote."""
        return cls.model_validate(written)
