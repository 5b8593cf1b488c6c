"""Opening a rehearsal with the Lambda runtime and the clock that the command line names."""

import contextlib
from collections.abc import Iterator
from typing import Literal

from rehearsal.document import DocumentError
from rehearsal.functions import TEMPLATE
from rehearsal.world import Rehearsal

RuntimeName = Literal["in-process", "rie", "sam"]
Clock = Literal["virtual", "real"]

BUILD = TEMPLATE.parent / ".aws-sam" / "build"


@contextlib.contextmanager
def open_rehearsal(runtime: RuntimeName, clock: Clock) -> Iterator[Rehearsal]:
    """Start what a rehearsal needs, and end it; raises :class:`DocumentError` when there are no artifacts."""
    if runtime != "in-process" and not (BUILD / "template.yaml").is_file():
        raise DocumentError(f"--lambda {runtime}: there are no artifacts yet; make them with `make build`")
    with Rehearsal(clock=clock) as rehearsal, contextlib.ExitStack() as stack:
        if runtime == "in-process":
            yield rehearsal
            return
        # Only here: a web server and the runtimes are more to load than most rehearsals are to run.
        from rehearsal.aws.server import Server  # noqa: PLC0415
        from rehearsal.runtime.rie import Rie  # noqa: PLC0415
        from rehearsal.runtime.sam_local import SamLocal  # noqa: PLC0415

        if runtime == "rie":
            clock_file = rehearsal.share_clock().path if clock == "virtual" else None
            rehearsal.runtime = Rie(BUILD, clock_file=clock_file)
        else:
            rehearsal.runtime = SamLocal(BUILD)
        rehearsal.endpoint_url = stack.enter_context(Server(rehearsal.cloud)).url
        yield rehearsal
