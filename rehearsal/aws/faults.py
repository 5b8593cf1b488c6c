"""AWS failing on purpose: throttling, outages, lost connections, whatever a callable makes up.

::

    faults.add(action="ssm:Get*", error="ThrottlingException", times=3)
    faults.add(action="*", error="InternalServerError", status=500, until=moment)
    faults.add(
        action="ssm:PutParameter", after=True, make=lambda *_: ReadTimeoutError(endpoint_url="https://ssm")
    )
"""

import fnmatch
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from rehearsal.aws.call import AwsError, Call

Make = Callable[[Call, str], BaseException | None]
"""Given a call and the ARN of its caller, the exception to answer with, or ``None`` to let it pass."""


@dataclass(slots=True, kw_only=True)
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
            if fault.after != after or not fault.concerns(call, identity, now):
                continue
            failure = fault.make(call, identity)
            if failure is None:
                continue
            with self._lock:
                fault.struck += 1
                if fault.times is not None:
                    fault.times -= 1
            raise failure


_MESSAGES = {
    "AccessDeniedException": "You do not have access to this resource.",
    "InternalServerError": "An error occurred on the server side.",
    "ThrottlingException": "Rate exceeded",
}
