"""Where hooks run in a rehearsal: in this process, in the real Lambda runtime, or in SAM's containers.

::

    Runtime ── InProcess           fast, the default
            ├─ EmulatedRuntime     the built artifact under Lambda's Runtime Interface Emulator
            └─ SamLocal            the built artifact through `sam local start-lambda`
"""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


class LambdaFunction(Protocol):
    """A function, as far as it takes to run it: ``rehearsal.lambda_functions.Function`` is one."""

    @property
    def logical_id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def arn(self) -> str: ...
    @property
    def handler(self) -> str: ...
    @property
    def timeout_seconds(self) -> int: ...
    @property
    def memory_mb(self) -> int: ...
    @property
    def layers(self) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class Invocation:
    """What came of invoking a function once."""

    reply: Any = None
    """The function's return value as read from JSON; ``None`` if it failed."""
    error: str | None = None
    """Why it failed, as Lambda puts it."""
    log_lines: list[str] = field(default_factory=list)


class FunctionDied(BaseException):
    """The function's process ended in the middle; not an ``Exception``, so that nothing goes on after it."""


class Runtime(Protocol):
    """Invokes Lambda functions, as ECS does."""

    def invoke(
        self, function: LambdaFunction, event: Mapping[str, Any], environment: Mapping[str, str]
    ) -> Invocation:
        """Invoke the function and wait for its answer.

        *environment* holds its variables, the credentials of its role and the endpoint of AWS.
        """

    def close(self) -> None:
        """End what was started for the functions."""


def architecture() -> str:
    """Return this machine's processor in Lambda's words: artifacts run on either, layers are for one."""
    return "arm64" if platform.machine() in {"aarch64", "arm64"} else "x86_64"
