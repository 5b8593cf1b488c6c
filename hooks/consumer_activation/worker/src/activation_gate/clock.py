"""The clock that leases are measured on."""

import time


def monotonic_seconds() -> float:
    """Return seconds of a clock that never jumps, and goes on while the machine is suspended where it can.

    Python's own stands still then on Linux: after it wakes up a task would believe in a lease that is over.
    """
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()
