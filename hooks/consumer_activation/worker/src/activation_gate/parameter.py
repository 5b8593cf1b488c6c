"""Parameter Store, as far as a worker reads it: one GetParameter per read.

A void version on top is stepped over by reading ``name:N`` downwards. Versions never change, so the way down
is remembered for as long as the same version is on top, and the next read is one call again.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from activation_gate.aws import client_of
from activation_gate.clock import monotonic_seconds
from activation_gate.lease import Reading
from activation_gate.state import Garbage, State, is_void, parse

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

MAX_STEPS_DOWN = 10
"""How many void versions are stepped over. So many late writes in a row are a fault, and nobody is active."""

# The Date header has whole seconds, and nothing says how LastModifiedDate is rounded.
AGE_RESOLUTION_SECONDS = 1.0

# Together less than the shortest lease that makes sense: a read that hangs is over before the lease is.
CONNECT_TIMEOUT_SECONDS = 2
READ_TIMEOUT_SECONDS = 2
MAX_ATTEMPTS = 2


class ReadError(Exception):
    """The parameter could not be read this time; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a look at the parameter showed, for a person."""

    reading: Reading
    void: tuple[int, ...] = ()
    """Versions that were stepped over, the newest first."""
    garbage: str | None = None
    """Why the version that holds can't be understood."""
    modified: datetime | None = None
    """When the version that holds was written, by AWS's clock."""


class Parameter:
    """The parameter that says which revision is active.

    Parameters
    ----------
    name
        Such as ``/ecs-consumers/production/notifications/consumers``.
    client
        An SSM client; by default one with short time-outs.
    monotonic
        The clock of all readings, in seconds.
    """

    def __init__(
        self,
        name: str,
        *,
        client: "SSMClient | None" = None,
        monotonic: Callable[[], float] = monotonic_seconds,
    ) -> None:
        self.name = name
        self._client = client or reading_client()
        self._monotonic = monotonic
        self._top: tuple[int, datetime | None] | None = None
        self._below: Found | None = None

    def read(self) -> Reading:
        """Return what holds now.

        Raises
        ------
        ReadError
            Throttled, not permitted, not reachable, or a version vanished while it was looked for.
        """
        return self.look().reading

    def look(self) -> Found:
        """Return what holds now, and what was found on the way to it. Raises like ``read``."""
        began = self._monotonic()
        answer = self._get(self.name)
        ended = self._monotonic()
        if answer is None:
            return Found(Reading(began=began, ended=ended, version=None, state=None))
        top, modified = answer["Parameter"]["Version"], answer["Parameter"].get("LastModifiedDate")
        if not is_void(answer["Parameter"]["Value"], top):
            return _found(answer, began, ended, top)
        if self._below is None or self._top != (top, modified):
            self._below = self._step_down(began, top)
            self._top = top, modified
            return self._below
        known = self._below
        reading = replace(known.reading, began=began, ended=ended, age=_age(answer, known.modified))
        return replace(known, reading=reading)

    def _step_down(self, began: float, top: int) -> Found:
        void = [top]
        for number in range(top - 1, max(0, top - 1 - MAX_STEPS_DOWN), -1):
            answer = self._get(f"{self.name}:{number}")
            if answer is None:
                raise ReadError(f"{self.name} was deleted while it was read")
            if not is_void(answer["Parameter"]["Value"], number):
                return _found(answer, began, self._monotonic(), top, tuple(void))
            void.append(number)
        return Found(
            Reading(began=began, ended=self._monotonic(), version=None, state=None, top=top), void=tuple(void)
        )

    def _get(self, name: str) -> Any:
        """Return the answer to GetParameter, or ``None`` when there is no such parameter."""
        try:
            return self._client.get_parameter(Name=name)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code == "ParameterNotFound":
                return None
            raise ReadError(_what_to_do(code, name, error)) from error
        except BotoCoreError as error:
            raise ReadError(f"GetParameter of {name} failed: {error}") from error


def reading_client() -> "SSMClient":
    """Return an SSM client that gives up before a lease ends."""
    return client_of(
        "ssm",
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        max_attempts=MAX_ATTEMPTS,
    )


def _found(answer: Any, began: float, ended: float, top: int, void: tuple[int, ...] = ()) -> Found:
    found = answer["Parameter"]
    state: State | None = None
    garbage = None
    try:
        state = parse(found["Value"])
    except Garbage as error:
        garbage = str(error)
    modified = found.get("LastModifiedDate")
    reading = Reading(
        began=began, ended=ended, version=found["Version"], state=state, age=_age(answer, modified), top=top
    )
    return Found(reading, void=void, garbage=garbage, modified=modified)


def _age(answer: Any, modified: datetime | None) -> float | None:
    """Return how old a version was at least when *answer* was made, both by AWS's clock."""
    date = answer["ResponseMetadata"].get("HTTPHeaders", {}).get("date")
    if date is None or modified is None:
        return None
    try:
        passed = parsedate_to_datetime(date) - modified
    except (TypeError, ValueError):  # not a date, or one without a time zone
        return None
    return max(0.0, passed.total_seconds() - AGE_RESOLUTION_SECONDS)


def _what_to_do(code: str, name: str, error: ClientError) -> str:
    if code in {"AccessDeniedException", "UnrecognizedClientException", "ExpiredTokenException"}:
        return f"may not read {name}: give the task role ssm:GetParameter on it ({error})"
    return f"GetParameter of {name} failed: {error}"
