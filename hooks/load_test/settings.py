"""What the load test hook is told, by the service (``hookDetails``) and by the organisation (policy).

::

    {
        "load": [{"seconds": 30, "to": 50}, {"seconds": 300, "at": 50}],
        "requests": [{"path": "/items", "weight": 3}, {"path": "/items/7"}],
        "rules": ["errors < 1%", "p(95) < 500ms", {"rule": "errors < 20%", "abort": true}],
    }
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal, Self
from urllib.parse import unquote

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from hooks.load_test.rules import Metric, Rule, RuleError, parse
from shared.settings import Settings, Stricter, chosen, first_of, sooner

# What would lead a request elsewhere, or end it where it should not; the generator refuses them too.
GENERATORS_OWN = frozenset(
    {
        *("connection", "content-length", "expect", "host", "keep-alive"),
        *("te", "trailer", "transfer-encoding", "upgrade"),
    }
)


def _is_not_the_generators(name: str) -> str:
    if name.lower() in GENERATORS_OWN:
        raise ValueError(f"the header {name} is the generator's own")
    return name


def _has_no_dots(path: str) -> str:
    # allowedPaths are patterns of the path as it is written, and a server may read another out of these:
    # also encoded, encoded twice, and before a ; as Java's do.
    decoded, once = "", path.partition("?")[0]
    while once != decoded:
        decoded, once = once, unquote(once)
    if any(segment.partition(";")[0] in {".", ".."} for segment in re.split(r"[/\\]", decoded)):
        raise ValueError("a path has no . and .. in it, encoded or not")
    return path


def _is_a_range(statuses: str) -> str:
    first, _, last = statuses.partition("-")
    if last and int(first) > int(last):
        raise ValueError(f"no status is in {statuses}")
    return statuses


# https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2 and #section-5.5, without what could end a line.
HeaderName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$"),
    AfterValidator(_is_not_the_generators),
]
HeaderValue = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]([\x20-\x7e]{0,1022}[\x21-\x7e])?$")]
# No path has a number sign or a backslash in it: https://www.rfc-editor.org/rfc/rfc3986#section-3.3
RequestPath = Annotated[
    str,
    StringConstraints(pattern=r"^/[\x21\x22\x24-\x5b\x5d-\x7e]{0,2047}$"),
    AfterValidator(_has_no_dots),
]
Method = Annotated[str, StringConstraints(pattern=r"^[A-Z]{1,16}$")]
# Not from 500 on: a service that could call these no errors could keep any rule on errors.
Statuses = Annotated[
    str,
    StringConstraints(pattern=r"^[1-4](xx|[0-9]{2}(-[1-4][0-9]{2})?)$"),
    AfterValidator(_is_a_range),
]
MarkerValue = Annotated[str, StringConstraints(pattern=r"^([\x21-\x7e]([\x20-\x7e]{0,254}[\x21-\x7e])?)?$")]

ERRORS, RATE = "errors < 1%", "rps >= 95%"

MAX_ATTEMPTS = 5


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, validate_default=True)


class Piece(_Part):
    """A stretch of the load: at one rate from its beginning, or evenly to another rate."""

    seconds: float = Field(gt=0, le=86_400, allow_inf_nan=False, description="how long it lasts")
    at: float | None = Field(
        None, ge=0, le=1_000_000, allow_inf_nan=False, description="requests per second, all the time"
    )
    to: float | None = Field(
        None,
        ge=0,
        le=1_000_000,
        allow_inf_nan=False,
        description="requests per second at its end; they change evenly from those before, at first from 0",
    )

    @model_validator(mode="after")
    def _has_one_rate(self) -> Self:
        if (self.at is None) == (self.to is None):
            raise ValueError("a piece of the load says either at or to")
        return self


class Request(_Part):
    """One kind of request."""

    method: Method = "GET"
    path: RequestPath = Field("/", description="with its query, if it has one")
    weight: float = Field(
        1.0, gt=0, le=1_000_000, allow_inf_nan=False, description="how often, beside the others"
    )
    headers: dict[HeaderName, HeaderValue] = Field({}, max_length=20, description="never the test header")
    body: str | None = Field(None, max_length=65_536)
    expect: tuple[Statuses, ...] = Field(
        ("2xx", "3xx"),
        min_length=1,
        max_length=20,
        description="statuses that are no errors: 200, 4xx, 200-299; from 500 on all are",
    )


class RuleEntry(_Part):
    """A rule with more to it than its sentence."""

    rule: str
    abort: bool = Field(False, description="end the run as soon as it is broken, and refuse")
    after_seconds: float = Field(
        30, ge=0, le=86_400, allow_inf_nan=False, description="with abort: not before so much of the run"
    )
    minimum_samples: int | None = Field(
        None, ge=1, le=10**9, description="how many requests it takes to say something"
    )
    observe: bool = Field(False, description="judge and record it, and let it decide nothing")

    @field_validator("rule", mode="after")
    @classmethod
    def _is_a_rule(cls, text: str) -> str:
        return _parsed(text).text

    @model_validator(mode="after")
    def _can_be_judged_early(self) -> Self:
        if self.abort and _parsed(self.rule).metric is Metric.RATE:
            raise ValueError(
                f"abort: {self.rule!r} is judged at the end, for how much is due by now and how much was "
                "sent are not told at the same moment"
            )
        return self


class Header(_Part):
    """The header that leads a request to green."""

    name: HeaderName
    value: HeaderValue = "green"


class Marker(_Part):
    """The header of answers that says which revision they are from."""

    header: HeaderName = "x-revision"
    green: MarkerValue = Field(
        "{taskDefinition}",
        description="its value: {taskDefinition} is family:revision, {revision} the service revision's id; "
        "empty: anything, if it is always the same and not the other revision's",
    )
    blue: MarkerValue = "{taskDefinition}"


class ProtectBlue(_Part):
    """When a run ends because production suffers."""

    errors_above: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = Field(
        0.05, description="share of blue's answers in ten seconds that are errors"
    )
    slower_than_seconds: float | None = Field(
        None,
        gt=0,
        le=3600,
        allow_inf_nan=False,
        description="95 % of blue's answers in ten seconds are to be quicker; absent: however slow",
    )


def _parsed(text: str) -> Rule:
    try:
        return parse(text)
    except RuleError as error:
        raise ValueError(str(error)) from error


def _both(
    policy: Sequence[RuleEntry | str], service: Sequence[RuleEntry | str]
) -> tuple[RuleEntry | str, ...]:
    """Join the policy's rules and the service's: whoever adds a rule makes it stricter.

    Those that are always there are the policy's: a laxer one of the service's does not take their place.
    """
    return tuple(dict.fromkeys((*_completed(policy), *service)))


def _completed(entries: Sequence[RuleEntry | str]) -> tuple[RuleEntry | str, ...]:
    """Add a rule on errors and one on the rate of requests where there is none that decides."""
    missing = [
        text
        for metric, text in ((Metric.ERRORS, ERRORS), (Metric.RATE, RATE))
        if not any(_decides(_rule(entry), metric) for entry in entries)
    ]
    return (*missing, *entries)


def _protected(policy: ProtectBlue, service: ProtectBlue) -> ProtectBlue:
    slower = [one for one in (policy.slower_than_seconds, service.slower_than_seconds) if one is not None]
    return ProtectBlue.model_validate(
        {
            "errorsAbove": min(policy.errors_above, service.errors_above),
            "slowerThanSeconds": min(slower, default=None),
        }
    )


class LoadTestSettings(Settings):
    """Keys of ``hookDetails``."""

    load: Annotated[tuple[Piece, ...], Stricter(chosen)] = Field(
        (Piece(seconds=30, to=20), Piece(seconds=270, at=20)),
        min_length=1,
        max_length=50,
        description="green's requests per second: pieces one after the other. They are sent when they are "
        "due, whatever the answers do",
    )
    blue_share: Annotated[float, Stricter(chosen)] = Field(
        0.2,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="blue's rate beside it, as a share of green's; 0 leaves blue alone. Blue is production",
    )
    requests: Annotated[tuple[Request, ...], Stricter(chosen)] = Field(
        (Request(),), min_length=1, max_length=100, description="what is asked for, by weight"
    )
    rules: Annotated[tuple[RuleEntry | str, ...], Stricter(_both)] = Field(
        (ERRORS, RATE, "p(95) <= 1.25 x blue + 10ms"),
        min_length=1,
        max_length=50,
        description="what green has to keep, such as p(95) < 500ms, errors < 1%, p(95) <= 1.25 x blue",
    )
    grace_seconds: Annotated[float, Stricter(chosen)] = Field(
        10, ge=0, le=3600, allow_inf_nan=False, description="how much of the run's beginning does not count"
    )
    timeout_seconds: Annotated[float, Stricter(min)] = Field(
        10,
        gt=0,
        le=300,
        allow_inf_nan=False,
        description="after which a request without an answer is an error",
    )
    # Neither more nor less of these two is stricter: what is less certain fails less, and passes less or more
    # by onInconclusive. So the policy's word stands.
    minimum_samples: int = Field(
        100,
        ge=1,
        le=10**9,
        description="requests that it takes to say something; a percentile takes ten beyond",
    )
    confidence: float = Field(
        0.95, ge=0.5, le=0.9999, description="with which a rule beside blue is kept or broken"
    )
    on_inconclusive: Annotated[Literal["refuse", "pass"], first_of("refuse", "pass")] = Field(
        "refuse", description="the verdict where a rule is neither kept nor broken for certain"
    )
    on_generator_trouble: Annotated[Literal["refuse", "proceed"], first_of("refuse", "proceed")] = Field(
        "refuse",
        description="the verdict when every attempt failed because of the generator; proceed fails open",
    )
    on_first_deployment: Annotated[Literal["load", "skip"], first_of("load", "skip")] = Field(
        "load",
        description="skip: pass when no revision ran before; a generator that started before the service's "
        "Service Connect endpoint was there can't reach it",
    )
    attempts: Annotated[int, Stricter(chosen, opening="on_generator_trouble")] = Field(
        2, ge=1, le=MAX_ATTEMPTS, description="how many runs there may be before the generator has failed"
    )
    start_within_seconds: Annotated[int, Stricter(chosen, opening="on_generator_trouble")] = Field(
        180, ge=10, le=14_400, description="how long a generator may take to begin a run"
    )
    max_lag_seconds: Annotated[float, sooner("on_generator_trouble")] = Field(
        0.1,
        gt=0,
        le=10,
        allow_inf_nan=False,
        description="how late one request in a hundred may leave, or the generator is too slow to measure",
    )
    poll_seconds: Annotated[int, Stricter(chosen)] = Field(
        20, ge=1, le=300, description="delay between looks at a run"
    )
    port_name: Annotated[str | None, Stricter(chosen)] = Field(
        None,
        pattern=r"^[a-z0-9_][a-z0-9_-]{0,63}$",
        description="which of the service's Service Connect ports is loaded, where there are several",
    )
    header: Annotated[Header | None, Stricter(chosen)] = Field(
        None, description="leads to green; absent: as the service's test traffic rule or listener rule says"
    )
    marker: Annotated[Marker, Stricter(chosen)] = Field(
        Marker(), description="how answers say which revision they are from"
    )
    proof: Annotated[Literal["marker", "none"], first_of("marker", "none")] = Field(
        "marker",
        description="marker: nothing counts before marked requests are known to reach green, and others blue",
    )
    protect_blue: Annotated[ProtectBlue, Stricter(_protected)] = Field(
        ProtectBlue(), description="when the run ends because production suffers"
    )

    @property
    def longest_minutes(self) -> float:
        one = self.start_within_seconds + sum(piece.seconds for piece in self.load) + self.timeout_seconds
        return self.attempts * one / 60

    @property
    def parsed_rules(self) -> tuple[Rule, ...]:
        """The rules; one on errors and one on the rate of requests are always among them."""
        return tuple(_rule(entry) for entry in _completed(self.rules))

    @field_validator("rules", mode="before")
    @classmethod
    def _sentences_are_rules(cls, entries: object) -> object:
        if not isinstance(entries, list | tuple):
            return entries
        return tuple(_parsed(entry).text if isinstance(entry, str) else entry for entry in entries)

    @model_validator(mode="after")
    def _is_a_load(self) -> Self:
        if not any(piece.at or piece.to for piece in self.load):
            raise ValueError("load: no request is ever due")
        seconds = sum(piece.seconds for piece in self.load)
        if self.grace_seconds >= seconds:
            raise ValueError(f"graceSeconds ({self.grace_seconds:g}) leaves nothing of {seconds:g} s of load")
        relative = [rule.text for rule in self.parsed_rules if rule.is_relative]
        if relative and not self.blue_share:
            raise ValueError(f"blueShare is 0, so that {relative[0]!r} has nothing to be held against")
        return self


def _rule(entry: RuleEntry | str) -> Rule:
    if isinstance(entry, str):
        return parse(entry)
    return replace(
        parse(entry.rule),
        abort=entry.abort,
        after_seconds=entry.after_seconds,
        minimum_samples=entry.minimum_samples or 0,
        observe=entry.observe,
    )


def _decides(rule: Rule, metric: Metric) -> bool:
    return rule.metric is metric and not rule.is_relative and not rule.observe


class LoadTestPolicy(LoadTestSettings):
    """Keys of ``HOOK_POLICY``: those above as limits, and some that are the organisation's alone."""

    max_requests_per_second: float = Field(
        100, gt=0, le=1_000_000, allow_inf_nan=False, description="of both revisions together"
    )
    max_blue_requests_per_second: float = Field(
        20, ge=0, le=1_000_000, allow_inf_nan=False, description="of blue, which is production"
    )
    max_seconds: float = Field(
        1800, gt=0, le=86_400, allow_inf_nan=False, description="how long a run may send requests"
    )
    allowed_methods: tuple[Method, ...] = Field(
        ("GET", "HEAD"), max_length=20, description="others change things, in production as well"
    )
    allowed_paths: tuple[str, ...] = Field(
        ("/*",), max_length=100, description="patterns of the paths that may be asked for"
    )
