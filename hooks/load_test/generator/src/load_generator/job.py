"""What the hook asks for, and what the operator of the generator lets it ask for.

::

    {
        "version": 1,
        "run": "qR7sT2uV9wX4yZ1aB6cD3-7301445872261930042-1",
        "service": "shop/catalog",
        "target": "http://catalog:8080",
        "marker": "x-revision",
        "arms": {
            "green": {"headers": {"x-release": "green"}, "marker": "catalog:42"},
            "blue": {"headers": {}, "marker": "catalog:41"},
        },
        "load": [{"seconds": 10, "from": 0, "to": 50}, {"seconds": 110, "from": 50, "to": 50}],
        "blueShare": 0.2,
        "graceSeconds": 10,
        "timeoutSeconds": 10,
        "requests": [{"method": "GET", "path": "/items", "weight": 3}],
        "protectBlue": {"errorsAbove": 0.05},
        "startBefore": "2026-03-05T12:05:00Z",
    }

A job comes over a queue or over HTTP, from whoever may write to it. So nothing in it is believed beyond the
:class:`Limits`, which come from the generator's own environment.
"""

import fnmatch
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from load_generator.schedule import Piece, due_until, seconds_of

VERSION = 1

# An SQS message's: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
MAX_JOB_BYTES = 256 * 1024

Run = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,160}$")]
"""Names a run, and the folder of its files: the deployment, green's revision, the attempt."""

# https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2 and #section-5.5, without what could end a line.
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$")]
HeaderValue = Annotated[str, Field(pattern=r"^[\x21-\x7e]([\x20-\x7e]{0,1022}[\x21-\x7e])?$")]
Path = Annotated[str, Field(pattern=r"^/[\x21-\x7e]{0,2047}$")]

# What would lead a request elsewhere, or end it where it should not.
FORBIDDEN_HEADERS = frozenset(
    {
        *("connection", "content-length", "expect", "host", "keep-alive"),
        *("te", "trailer", "transfer-encoding", "upgrade"),
    }
)


class JobRefused(ValueError):
    """The job is not understood, or asks for more than the operator allows; the text says which."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


class Stretch(_Part):
    """A piece of the load: green's requests per second, from one rate evenly to another."""

    seconds: float = Field(gt=0, le=86_400, allow_inf_nan=False)
    start: float = Field(alias="from", ge=0, le=1_000_000, allow_inf_nan=False)
    end: float = Field(alias="to", ge=0, le=1_000_000, allow_inf_nan=False)


class Request(_Part):
    """One kind of request, and how often it is sent."""

    method: Annotated[str, Field(pattern=r"^[A-Z]{1,16}$")] = "GET"
    path: Path = "/"
    weight: float = Field(1.0, gt=0, le=1_000_000, allow_inf_nan=False)
    headers: dict[HeaderName, HeaderValue] = Field({}, max_length=20)
    body: str | None = Field(None, max_length=64 * 1024)
    expect: tuple[tuple[int, int], ...] = Field(((200, 399),), min_length=1, max_length=20)
    """Ranges of the statuses that are no errors, both ends included."""

    @property
    def name(self) -> str:
        return f"{self.method} {self.path.partition('?')[0]}"


class Arm(_Part):
    """One of the two revisions, and how requests reach it."""

    headers: dict[HeaderName, HeaderValue] = Field({}, max_length=20)
    marker: HeaderValue | None = None
    """What the answer's marker says of this revision; ``None``: anything, but always the same."""


class Arms(_Part):
    """Green, and blue unless this is a service's first deployment."""

    green: Arm
    blue: Arm | None = None


class ProtectBlue(_Part):
    """When the run ends because production suffers."""

    errors_above: float = Field(0.05, ge=0, le=1)
    """Share of blue's answers in the last ten seconds that are errors."""
    slower_than_seconds: float | None = Field(None, gt=0, le=3600)
    """95 % of blue's answers in the last ten seconds have to be quicker."""


class Job(_Part):
    """One run."""

    version: Literal[1]
    run: Run
    service: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,255}/[A-Za-z0-9_-]{1,255}$")]
    # With _, which a Service Connect alias may have in its name.
    target: Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9._-]{1,253}(:[0-9]{1,5})?$")]
    marker: HeaderName | None
    """The header of answers that tells revisions apart; ``None``: nothing does, and nothing is proved."""
    arms: Arms
    load: tuple[Stretch, ...] = Field(min_length=1, max_length=50)
    blue_share: float = Field(0.2, ge=0, le=1)
    grace_seconds: float = Field(0, ge=0, le=3600)
    """Requests due in the first seconds are sent and not counted."""
    timeout_seconds: float = Field(10, gt=0, le=300)
    requests: tuple[Request, ...] = Field((Request(),), min_length=1, max_length=100)
    protect_blue: ProtectBlue = ProtectBlue()
    start_before: AwareDatetime
    """After this nobody wants the run any more."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        for headers in (*(request.headers for request in self.requests), self.arms.green.headers):
            for name in headers:
                if name.lower() in FORBIDDEN_HEADERS:
                    raise ValueError(f"the header {name} is the generator's own")
        if self.arms.blue is not None and self.arms.blue.headers.items() >= self.arms.green.headers.items():
            raise ValueError("nothing in a request says that it is green's")
        if self.grace_seconds >= seconds_of(self.pieces):
            raise ValueError("graceSeconds leaves nothing of the load to count")
        return self

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return tuple(Piece(one.seconds, one.start, one.end) for one in self.load)

    @property
    def seconds(self) -> float:
        """How long requests are sent."""
        return seconds_of(self.pieces)

    @property
    def peak(self) -> float:
        """Green's highest rate, per second."""
        return max(max(one.start, one.end) for one in self.load)

    @property
    def shares(self) -> Mapping[str, float]:
        """Each arm's part of the rate."""
        return {"green": 1.0, **({"blue": self.blue_share} if self.arms.blue and self.blue_share else {})}

    def arm(self, name: str) -> Arm:
        """Return the arm called ``green`` or ``blue``."""
        found = self.arms.green if name == "green" else self.arms.blue
        assert found is not None
        return found

    def due(self, arm: str, seconds: float) -> float:
        """Return how many requests of an arm that count are due in the first *seconds*."""
        share = self.shares[arm]
        early = due_until(self.pieces, min(self.grace_seconds, seconds), share)
        return due_until(self.pieces, seconds, share) - early

    @classmethod
    def read(cls, text: str | bytes) -> Self:
        """Read a job; raises :class:`JobRefused` naming what is wrong with it."""
        if len(text) > MAX_JOB_BYTES:
            raise JobRefused(f"more than {MAX_JOB_BYTES} bytes")
        try:
            return cls.model_validate(json.loads(text))
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise JobRefused(f"{where}: {first['msg']}" if where else str(first["msg"])) from error
        except (ValueError, RecursionError) as error:
            raise JobRefused("not JSON") from error

    def write(self) -> dict[str, Any]:
        """Return the JSON form."""
        return self.model_dump(mode="json", by_alias=True)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the operator lets jobs ask for; whoever asks can't change it."""

    targets: Sequence[str] = ()
    """Patterns of ``host:port``. None: no target at all."""
    methods: frozenset[str] = frozenset({"GET", "HEAD"})
    max_rate: float = 100.0
    """Requests per second, of both arms together."""
    max_blue_rate: float = 20.0
    max_seconds: float = 1800.0
    max_bytes: int = 10**10
    """Of all answers of a run."""
    max_in_flight: int = 1000
    """Requests of one worker that wait for an answer at the same time."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the limits; raises ``ValueError`` naming a variable that is not understood.

        >>> Limits.from_environment({"LOAD_TARGETS": "catalog:8080"}).targets
        ('catalog:8080',)
        """
        default = cls()

        def number(name: str, otherwise: float) -> float:
            text = environment.get(name) or otherwise
            try:
                value = float(text)
            except ValueError:
                value = -1
            if not 0 <= value < float("inf"):
                raise ValueError(f"{name}: expected a number, got {text!r}")
            return value

        targets = tuple(one.strip() for one in environment.get("LOAD_TARGETS", "").split(",") if one.strip())
        for target in targets:
            if not re.fullmatch(r"[A-Za-z0-9._*?\[\]-]{1,253}:[0-9*]{1,5}", target):
                raise ValueError(f"LOAD_TARGETS: expected host:port, got {target!r}")
        methods = environment.get("LOAD_METHODS", "").upper().replace(",", " ").split()
        return cls(
            targets=targets,
            methods=frozenset(methods) or default.methods,
            max_rate=number("LOAD_MAX_RATE", default.max_rate),
            max_blue_rate=number("LOAD_MAX_BLUE_RATE", default.max_blue_rate),
            max_seconds=number("LOAD_MAX_SECONDS", default.max_seconds),
            max_bytes=int(number("LOAD_MAX_BYTES", default.max_bytes)),
            max_in_flight=int(number("LOAD_MAX_IN_FLIGHT", default.max_in_flight)),
        )

    def check(self, job: Job) -> None:
        """Raise :class:`JobRefused` for the first thing that a job asks for too much."""
        parts = urlsplit(job.target)
        # Not Python's parse of a port out of range, which raises.
        host, _, port = parts.netloc.partition(":")
        where = f"{host}:{port or {'http': '80', 'https': '443'}[parts.scheme]}"
        if not any(fnmatch.fnmatchcase(where.lower(), pattern.lower()) for pattern in self.targets):
            allowed = ", ".join(self.targets) or "none"
            raise JobRefused(f"the target {where} is not among LOAD_TARGETS: {allowed}")
        if strange := sorted({request.method for request in job.requests} - self.methods):
            raise JobRefused(f"LOAD_METHODS does not allow {', '.join(strange)}")
        blue = job.peak * job.shares.get("blue", 0.0)
        for value, limit, what in (
            (blue, self.max_blue_rate, "requests per second to blue, LOAD_MAX_BLUE_RATE"),
            (job.peak + blue, self.max_rate, "requests per second, LOAD_MAX_RATE"),
            (job.seconds, self.max_seconds, "seconds, LOAD_MAX_SECONDS"),
        ):
            if value > limit:
                raise JobRefused(f"{value:g} {what} is {limit:g}")


def remaining(job: Job, now: datetime) -> float:
    """Return for how many seconds the run may still begin."""
    return (job.start_before - now).total_seconds()
