"""Start Lambda's Python runtime with the hooks' clock taken from a file. Runs inside the emulator.

    python virtual_clock.py HANDLER      with REHEARSAL_CLOCK=FILE

The file holds the time as ``time.time()`` gives it, in eight bytes: a little-endian double, which the
rehearsal keeps at its virtual time (``rehearsal.timing.ClockFile``). Only ``shared.clock`` is given this
time. Sockets, retries and the runtime itself live in real time, as they must.

This file is no part of an artifact: it imports the artifact's ``shared.clock`` and changes it in place.
"""

import mmap
import os
import runpy
import struct
import sys
from pathlib import Path

VARIABLE = "REHEARSAL_CLOCK"


class VirtualTime:
    """What ``shared.clock`` uses of the module ``time``."""

    def __init__(self, file: Path) -> None:
        with file.open("rb") as opened:
            self._now = mmap.mmap(opened.fileno(), 8, access=mmap.ACCESS_READ)

    def time(self) -> float:
        """Return the virtual time in seconds since 1970."""
        (now,) = struct.unpack("<d", self._now[:])
        return float(now)


def main() -> None:
    """Replace the clock and become the runtime."""
    # The artifact's, which PYTHONPATH names; elsewhere this module can be imported without it.
    import shared.clock  # noqa: PLC0415

    vars(shared.clock)["time"] = VirtualTime(Path(os.environ[VARIABLE]))
    sys.argv = ["awslambdaric", *sys.argv[1:]]
    runpy.run_module("awslambdaric", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
