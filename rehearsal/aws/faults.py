"""AWS failing on purpose: throttling, outages, lost connections, whatever a callable makes up.

::

    faults.add(action="ssm:Get*", error="ThrottlingException", times=3)
    faults.add(action="*", error="InternalServerError", status=500, until=moment)
    faults.add(
        action="ssm:PutParameter", after=True, make=lambda *_: ReadTimeoutError(endpoint_url="https://ssm")
    )
    faults.add(action="ecs:Describe*", alter=cut_short, times=1)
"""

import fnmatch
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus

from botocore.model import ListShape, MapShape

from rehearsal.aws.call import AwsError, Call, Response, operation_model

Make = Callable[[Call, str], BaseException | None]
"""Given a call and the ARN of its caller, the exception to answer with, or ``None`` to let it pass."""
Alter = Callable[[Call, Response], Response]
"""Given a call and its answer, whatever that is, the answer to give instead; the same one to let it be."""


# One is itself alone: of two that are alike, the other goes on when one is removed.
@dataclass(slots=True, kw_only=True, eq=False)
class Fault:
    """One way of failing; returned by :meth:`Faults.add` so that it can be removed again."""

    action: str
    identity: str
    make: Make
    since: datetime | None
    until: datetime | None
    times: int | None
    """How often it will still strike; ``None`` for always."""
    after: bool = False
    """Whether the call takes effect first."""
    alter: Alter | None = None
    """What becomes of the answer; such a fault makes nothing fail."""
    struck: int = 0

    def concerns(self, call: Call, identity: str, now: datetime) -> bool:
        """Tell whether the fault may strike this call now."""
        return (
            self.times != 0
            and (self.since is None or self.since <= now)
            and (self.until is None or now < self.until)
            and any(
                fnmatch.fnmatchcase(name.lower(), self.action.lower())
                for name in {call.action, f"{call.service}:{call.operation}"}
            )
            and fnmatch.fnmatchcase(identity, self.identity)
        )


class Faults:
    """The faults in force, asked in the order they were added."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._faults)

    def add(
        self,
        *,
        action: str = "*",
        error: str = "InternalServerError",
        message: str = "",
        status: int = 400,
        identity: str = "*",
        since: datetime | None = None,
        until: datetime | None = None,
        times: int | None = None,
        after: bool = False,
        make: Make | None = None,
        alter: Alter | None = None,
    ) -> Fault:
        """Let calls fail.

        Parameters
        ----------
        action
            IAM action or operation, with ``*`` and ``?``: ``"ssm:Get*"``.
        error, message, status
            What the API answers: error code, text and HTTP status.
        identity
            ARN pattern of the callers concerned: ``"*:assumed-role/ManualApproval*"``.
        since, until
            When, by the clock the process sees; *until* is the first moment that is well again.
        times
            After how many failures it is over.
        after
            Let the call take effect before it fails, as when only the answer is lost.
        make
            Decides for itself, instead of *error*: an :class:`AwsError` is answered as such. Any
            other exception is what a client in process gets as its connection's failure (take
            botocore's, such as ``ReadTimeoutError``); over HTTP the connection is closed.
        alter
            Lets the call take effect and changes its answer, such as :func:`cut_short`; everything else
            that says how to fail is left out.
        """

        def answer(_call: Call, _identity: str) -> Exception:
            return AwsError(error, message or _MESSAGES.get(error, "injected by the rehearsal"), status)

        fault = Fault(
            action=action,
            identity=identity,
            make=make or answer,
            since=since,
            until=until,
            times=times,
            after=after,
            alter=alter,
        )
        with self._lock:
            self._faults.append(fault)
        return fault

    def remove(self, fault: Fault) -> None:
        """Take a fault back."""
        with self._lock:
            self._faults.remove(fault)

    def clear(self) -> None:
        """Let AWS be well."""
        with self._lock:
            self._faults.clear()

    def strike(self, call: Call, identity: str, *, after: bool = False) -> None:
        """Raise what the first fault that concerns the call makes of it."""
        # Through `datetime.now` at each call: a rehearsal moves it.
        now = datetime.now(UTC)
        for fault in tuple(self._faults):
            if fault.alter or fault.after != after or not fault.concerns(call, identity, now):
                continue
            failure = fault.make(call, identity)
            if failure is None:
                continue
            self._count(fault)
            raise failure

    def altered(self, call: Call, identity: str, answer: Response) -> Response:
        """Return what the faults that concern the call leave of its answer."""
        now = datetime.now(UTC)
        for fault in tuple(self._faults):
            if fault.alter is None or not fault.concerns(call, identity, now):
                continue
            given = fault.alter(call, answer)
            if given is not answer:
                self._count(fault)
                answer = given
        return answer

    def _count(self, fault: Fault) -> None:
        with self._lock:
            fault.struck += 1
            if fault.times is not None:
                fault.times -= 1


def cut_short(_call: Call, answer: Response) -> Response:
    """Break an answer off in the middle of its body, as a proxy on the way may do; errors arrive whole."""
    status, headers, body = answer
    if status >= HTTPStatus.BAD_REQUEST or len(body) <= 1:
        return answer
    return status, _without_length(headers), body[: len(body) // 2]


def fall_short(call: Call, answer: Response) -> Response:
    """Leave out the second half of each list and map of an answer, and the token that would lead to it.

    Answers in XML, and those without list or map, stay as they are.
    """
    status, headers, body = answer
    shape = operation_model(call.service, call.operation).output_shape if call.protocol == "json" else None
    if shape is None or status >= HTTPStatus.BAD_REQUEST:
        return answer
    whole = json.loads(body)
    short = {name: _half(value, shape.members.get(name)) for name, value in whole.items()}
    for name in {"nextToken", "NextToken"} & set(short):
        del short[name]
    return answer if short == whole else (status, _without_length(headers), json.dumps(short))


def not_found(call: Call) -> AwsError:
    """Return the error by which the operation says that what it is about is not there, by AWS's model.

    Of several the first counts; where the model knows none, it is what most of AWS's services say.
    """
    if call.service == "s3":
        return AwsError("NoSuchKey", "The specified key does not exist.", 404)
    for shape in operation_model(call.service, call.operation).error_shapes:
        if any(part in shape.name for part in ("NotFound", "DoesNotExist", "NonExistent", "NoSuch")):
            return AwsError(
                shape.metadata.get("error", {}).get("code", shape.name), "It does not exist.", 400
            )
    return AwsError("ResourceNotFoundException", "It does not exist.", 400)


def _half(value: object, shape: object) -> object:
    if isinstance(shape, ListShape) and isinstance(value, list):
        return value[: len(value) // 2]
    if isinstance(shape, MapShape) and isinstance(value, dict):
        return dict(list(value.items())[: len(value) // 2])
    return value


def _without_length(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() != "content-length"}


_MESSAGES = {
    "AccessDeniedException": "You do not have access to this resource.",
    "InternalServerError": "An error occurred on the server side.",
    "ThrottlingException": "Rate exceeded",
}
