"""Hooks called in this very process, through their Lambda entry points."""

import contextlib
import importlib
import io
import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rehearsal.runtime import FunctionDied, Invocation, LambdaFunction

LOGGER = "ecs-lifecycle-hooks"


@dataclass(frozen=True, slots=True)
class _Context:
    """Lambda's context object, as far as hooks use it."""

    timeout_seconds: int

    def get_remaining_time_in_millis(self) -> int:
        return self.timeout_seconds * 1000


def cool() -> None:
    """Have hooks start cold, as in a new execution environment, so that a run does not depend on another.

    What a hook keeps between invocations is an object of a class of its own, in one of its modules, that can
    be cleared, or what its module's ``forget`` forgets. What only remembers the results of pure functions may
    stay.
    """
    for name, module in list(sys.modules.items()):
        if name.startswith("hooks."):
            if forget := vars(module).get("forget"):
                forget()
            for value in list(vars(module).values()):
                if type(value).__module__.startswith("hooks.") and hasattr(value, "clear"):
                    value.clear()


class InProcess:
    """Calls handlers directly; fast, and a debugger's breakpoints work."""

    def __init__(self) -> None:
        self._entry_points: dict[str, Any] = {}

    def invoke(
        self, function: LambdaFunction, event: Mapping[str, Any], environment: Mapping[str, str]
    ) -> Invocation:
        """Call a function the way Lambda's Python runtime does."""
        entry_point = self._entry_point(function.handler)
        context = _Context(function.timeout_seconds)
        # A retry of botocore's sleeps, and the time a rehearsal sleeps through is real.
        with _environment({**environment, "AWS_MAX_ATTEMPTS": "1"}), _log() as log:
            try:
                # Through JSON, as over the wire.
                reply = json.loads(json.dumps(entry_point(json.loads(json.dumps(event)), context)))
            # What Lambda would report as a function error.
            except (Exception, FunctionDied) as error:  # noqa: BLE001
                return Invocation(
                    error=f"{type(error).__name__}: {error}", log_lines=log.getvalue().splitlines()
                )
        return Invocation(reply=reply, log_lines=log.getvalue().splitlines())

    def close(self) -> None:
        """Do nothing: there is nothing to end."""

    def _entry_point(self, handler: str) -> Any:
        if handler not in self._entry_points:
            module, name = handler.rsplit(".", 1)
            self._entry_points[handler] = getattr(importlib.import_module(module), name)
        return self._entry_points[handler]


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Give the block a function's environment variables and take them away again."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _log() -> Iterator[io.StringIO]:
    """Catch what the function writes to its log: Powertools' logger, and metrics on standard output."""
    buffer = io.StringIO()
    handlers = [h for h in logging.getLogger(LOGGER).handlers if isinstance(h, logging.StreamHandler)]
    # Not by setStream: it flushes the stream before, which may be closed by now.
    before = [handler.stream for handler in handlers]
    for handler in handlers:
        handler.stream = buffer
    try:
        with contextlib.redirect_stdout(buffer):
            yield buffer
    finally:
        for handler, stream in zip(handlers, before, strict=True):
            handler.stream = stream
