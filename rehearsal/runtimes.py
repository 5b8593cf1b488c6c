"""Opening a rehearsal with the Lambda runtime that the command line names."""

import contextlib
from collections.abc import Iterator
from typing import Literal

from rehearsal.aws.server import Server
from rehearsal.document import DocumentError
from rehearsal.runtime import Runtime
from rehearsal.world import Rehearsal


@contextlib.contextmanager
def open_rehearsal(runtime: str, clock: str) -> Iterator[Rehearsal]:
    """Start what a rehearsal needs, and end it; raises :class:`DocumentError` when something is missing."""
    kind: Literal["virtual", "real"] = "real" if clock == "real" else "virtual"
    with contextlib.ExitStack() as stack:
        rehearsal = stack.enter_context(Rehearsal(runtime=None if runtime == "in-process" else _Later(), clock=kind))
        if runtime != "in-process":
            # Containers reach this machine through their bridge, so the endpoint can't be loopback alone.
            server = stack.enter_context(Server(rehearsal.cloud, "0.0.0.0" if runtime == "sam" else "127.0.0.1"))  # noqa: S104
            rehearsal.endpoint_url = server.url
            rehearsal.runtime = stack.enter_context(contextlib.closing(_runtime(runtime, rehearsal, server)))
        yield rehearsal


def _runtime(name: str, rehearsal: Rehearsal, server: Server) -> Runtime:
    raise DocumentError(f"{name}: no such runtime {rehearsal} {server}")


class _Later:
    """Stands in until the endpoint is there that the runtime is started with."""

    def invoke(self, *_: object) -> None:
        raise AssertionError("no runtime yet")

    def close(self) -> None:
        """Do nothing."""
