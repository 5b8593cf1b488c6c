"""Virtual time as people read it: clock readings, durations, and the ticks of a time axis.

==========================  =====================================
``clock(725)``              ``0:12:05``
``clock(93_600)``           ``1d 02:00``
``duration(605)``           ``10 m 05 s``
``duration(93_600)``        ``1 d 2 h``
==========================  =====================================
"""

import math

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR

# Distances between ticks that read well on a clock; beyond the last one, whole days are multiplied.
_TICK_SECONDS = (
    *(1, 2, 5, 10, 15, 30),
    *(MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE),
    *(HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY),
)


def clock(seconds: float) -> str:
    """Format a reading of the virtual clock in at most nine characters.

    From the second day on, days take the place of seconds: nobody reads both.
    """
    whole = _whole(seconds)
    sign = "-" if whole < 0 else ""
    days, rest = divmod(abs(whole), DAY)
    hours, rest = divmod(rest, HOUR)
    minutes, second = divmod(rest, MINUTE)
    if days:
        return f"{sign}{days}d {hours:02}:{minutes:02}"
    return f"{sign}{hours}:{minutes:02}:{second:02}"


def duration(seconds: float) -> str:
    """Format a duration with its two largest units."""
    whole = _whole(seconds)
    if 0 < abs(seconds) < 1 and whole in {0, 1}:
        return "under 1 s"
    sign = "-" if whole < 0 else ""
    days, rest = divmod(abs(whole), DAY)
    hours, rest = divmod(rest, HOUR)
    minutes, second = divmod(rest, MINUTE)
    if days:
        return f"{sign}{days} d" + (f" {hours} h" if hours else "")
    if hours:
        return f"{sign}{hours} h" + (f" {minutes:02} m" if minutes else "")
    if minutes:
        return f"{sign}{minutes} m" + (f" {second:02} s" if second else "")
    return f"{sign}{second} s"


def ticks(seconds: float, *, at_most: int, begin: float = 0.0) -> list[tuple[float, str]]:
    """Return positions and labels of an axis from *begin* to *seconds*, at round clock times."""
    span = seconds - begin
    if not math.isfinite(span) or span <= 0:
        return [(0.0, "0")]
    step = next((tick for tick in _TICK_SECONDS if span / tick <= at_most), None)
    if step is None:
        step = DAY * math.ceil(span / DAY / at_most)
    first = math.ceil(begin / step) * step
    return [(float(at), _tick(at, step)) for at in range(first, math.floor(seconds) + 1, step)]


def _tick(at: int, step: int) -> str:
    if at <= 0:
        return f"-{_tick(-at, step)}" if at else "0"
    if step >= DAY:
        return f"{at // DAY} d"
    if step >= HOUR and at < 2 * DAY:
        return f"{at // HOUR} h"
    if at >= DAY:
        days, rest = divmod(at, DAY)
        minutes = f":{rest % HOUR // MINUTE:02}" if step < HOUR else " h"
        return f"{days} d {rest // HOUR}{minutes}" if rest else f"{days} d"
    if step >= MINUTE:
        return f"{at // MINUTE} m" if at < HOUR else f"{at // HOUR}:{at % HOUR // MINUTE:02} h"
    return f"{at} s" if at < MINUTE else f"{at // MINUTE}:{at % MINUTE:02} m"


def _whole(seconds: float) -> int:
    # Model runs end up here with any float; a clock that shows nonsense must not end the report.
    return round(seconds) if math.isfinite(seconds) else 0
