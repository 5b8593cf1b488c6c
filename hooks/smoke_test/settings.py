"""What the smoke test hook is told, by the service (``hookDetails``) and by the organisation (policy).

::

    {
        "url": "https://test.shop.example",
        "header": {"name": "X-BG-Test", "value": "green"},
        "checks": [{"path": "/health"}, {"path": "/catalog/items", "bodyContains": "unicorn"}],
    }
"""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from hooks.smoke_test.address import HOST
from shared.settings import Settings, Stricter, chosen, first_of

# One call asks every check once, in sequence, within the function's 60 seconds.
MAX_SECONDS_OF_A_CALL = 40

# What would lead a request elsewhere, or end it where it should not.
_OUR_OWN = frozenset(
    {
        *("connection", "content-length", "expect", "host", "keep-alive"),
        *("te", "trailer", "transfer-encoding", "upgrade"),
    }
)


def _is_not_ours(name: str) -> str:
    if name.lower() in _OUR_OWN:
        raise ValueError(f"the header {name} is the connection's own")
    return name


def _both(policy: Sequence["Check"], service: Sequence["Check"]) -> tuple["Check", ...]:
    """Join the policy's checks and the service's: whoever adds one makes it stricter."""
    return (*policy, *(check for check in service if check not in policy))


# https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2 and #section-5.5, without what could end a line.
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$")]
HeaderValue = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]([\x20-\x7e]{0,254}[\x21-\x7e])?$")]
# https://www.rfc-editor.org/rfc/rfc3986#section-3.3: no path has a number sign or a backslash in it.
Path = Annotated[str, StringConstraints(pattern=r"^/[\x21\x22\x24-\x5b\x5d-\x7e]{0,1023}$")]
Url = Annotated[str, StringConstraints(pattern=rf"^https?://{HOST}(:[0-9]{{1,5}})?$")]
HostPattern = Annotated[str, StringConstraints(pattern=rf"^(\*\.)?{HOST}(:[0-9]{{1,5}})?$")]
# Without a placeholder it could be what blue says.
MarkerValue = Annotated[
    str, StringConstraints(pattern=r"^[\x21-\x7e]{0,100}\{(taskDefinition|revision)\}[\x21-\x7e]{0,100}$")
]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, validate_default=True)


class Header(_Part):
    """The header that leads a request to green."""

    name: Annotated[HeaderName, AfterValidator(_is_not_ours)]
    value: HeaderValue = "green"


class Marker(_Part):
    """The header of answers that says which revision they are from."""

    header: HeaderName = "x-revision"
    green: MarkerValue = Field(
        "{taskDefinition}",
        description="its value: {taskDefinition} is family:revision, {revision} the service revision's id",
    )


class Check(_Part):
    """One request, and what is expected of its answer."""

    path: Path = Field("/", description="with its query, if it has one")
    method: Literal["GET", "HEAD"] = "GET"
    expect_status: int = Field(200, ge=200, le=499)
    body_contains: str = Field(
        "", max_length=1000, description="text, in UTF-8, somewhere in its first 256 KiB"
    )
    expect_headers: dict[HeaderName, HeaderValue] = Field(
        {}, max_length=10, description="by header: text that its value contains"
    )

    @model_validator(mode="after")
    def _has_a_body(self) -> Self:
        if self.method == "HEAD" and self.body_contains:
            raise ValueError("an answer to HEAD has no body that could contain anything")
        return self


class SmokeTestSettings(Settings):
    """Keys of ``hookDetails``."""

    url: Annotated[Url | None, Stricter(chosen)] = Field(
        None,
        description="where green is asked: scheme, host and, where it is not the scheme's own, port; a host "
        "that the policy's allowedHosts has",
    )
    header: Annotated[Header | None, Stricter(chosen)] = Field(
        None, description="leads to green; absent: the port of url is only green's"
    )
    checks: Annotated[tuple[Check, ...], Stricter(_both)] = Field(
        (Check(),), min_length=1, max_length=20, description="what is asked for, in sequence"
    )
    marker: Annotated[Marker, Stricter(chosen)] = Field(
        Marker(), description="how answers say which revision they are from"
    )
    proof: Annotated[Literal["marker", "none"], first_of("marker", "none")] = Field(
        "marker", description="none: nothing proves that it was green who answered"
    )
    max_milliseconds: Annotated[int, Stricter(min)] = Field(
        2000, ge=1, le=10_000, description="how long an answer may take, with its connection"
    )
    timeout_seconds: Annotated[float, Stricter(min)] = Field(
        4.0, ge=0.1, le=10, allow_inf_nan=False, description="after which there is no answer"
    )
    attempts: Annotated[int, Stricter(min)] = Field(
        6, ge=1, le=60, description="how often all is asked while green is not reached or slow"
    )
    wait_seconds: Annotated[int, Stricter(chosen)] = Field(
        10, ge=1, le=300, description="delay between two attempts"
    )

    @property
    def longest_minutes(self) -> float:
        return self.attempts * (self.wait_seconds + len(self.checks) * self.timeout_seconds) / 60

    @model_validator(mode="after")
    def _fits_into_a_call(self) -> Self:
        seconds = len(self.checks) * self.timeout_seconds
        if seconds > MAX_SECONDS_OF_A_CALL:
            raise ValueError(
                f"{len(self.checks)} checks of timeoutSeconds {self.timeout_seconds:g} may take "
                f"{seconds:g} s; all together at most {MAX_SECONDS_OF_A_CALL}"
            )
        return self


class SmokeTestPolicy(SmokeTestSettings):
    """Keys of ``HOOK_POLICY``: those above as limits, and one that is the organisation's alone."""

    allowed_hosts: tuple[HostPattern, ...] = Field(
        (),
        max_length=100,
        description="hosts that may be asked: host (at ports 80 and 443) or host:port; *. at its beginning "
        "stands for any labels. None: nothing may be asked",
    )
