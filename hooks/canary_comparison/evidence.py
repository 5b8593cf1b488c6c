"""Evidence that green is worse: an e-process on how bad events fall to the two revisions.

In a minute with *K* bad events, *x* of them on green, which had the share *w* of all requests, *x* is
binomial with probability ``w r / (w r + 1 - w)``, where *r* is how many times as often green fails.
Whatever hits both revisions alike (a busy hour, a dependency that is down, weights that move) changes *K*
and *w*, which are given; only the split counts. The likelihood of *r*, relative to that of 1, is

::

    L(r) = x log r - K log(1 + w (r - 1))

and the evidence after some minutes, with L summed over them,

::

    E = mean over worse ratios, and over the minutes since when, of exp(L)
        ──────────────────────────────────────────────────────────────────
                 sum over what is no reason to refuse of v exp(L)

Green is worse once E reaches 1 / alpha. A green for which a term of the denominator is true is ever
refused with a probability of at most alpha / v, however often one looks (Ville's inequality,
https://en.wikipedia.org/wiki/Ville%27s_inequality). E is computed from all minutes at each look: nothing
has to be remembered, and minutes that come late or change count as they are now.

What is no reason to refuse: green is as good (v = 1); green is worse by no more than is tolerated; one
minute was an accident; green was cold at first. These margins follow the volume: of few events, none of
the last three can explain much, and they cost next to no power; of many, each explains away all that it
should. Where a minute has many events, their split scatters more than chance alone would have it, and its
L is divided by that excess. A likelihood ratio to a power below 1 keeps the inequality.

The constants were chosen by simulation; ``benchmarks/README.md`` has the tables.
"""

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hooks.canary_comparison.observation import Split

# Ratios that count as worse, as multiples of the one that is tolerated, and how likely each is thought.
WORSE = (1.35, 1.9, 3.0, 5.0, 15.0)
_WORSE_LIKELY = tuple(map(math.log, (0.15, 0.25, 0.27, 0.23, 0.10)))

# Green may become worse in the middle of a deployment, as with each step of load: how readily that is
# believed, and in which share of the minutes that are left it happens in the next.
LATER = 0.01
LATER_A_MINUTE = 0.03

# Standard deviation of the logarithm of one minute's ratio, for no reason that lasts.
SCATTER = 0.4

# What the tolerated ratio could explain, in nats, from which on it is believed as readily as none. A
# green that is a little worse is in no danger before: there is not enough to tell it from an equal one.
TOLERATED_NATS = 5.0

# How readily it is believed that one of all minutes was an accident.
ACCIDENT = 0.1

# How readily it is believed that green was cold: fully from so many expected events in that time on, for
# with fewer, the cold can't be what makes the difference.
COLD = 0.15
COLD_EVENTS = 2.5

# After the warm-up it may be some minutes until the last of it is gone: so much worse at its end, halved
# after so many minutes, and watched for as long as the warm-up twice over.
TAIL_EXCESS = 2.0
TAIL_HALVED_MINUTES = 1.5

# The lane for what needs no statistics: so many times worse, and so many bad events.
GROSS_RATIO = 5.0
GROSS_EVENTS = 10
_GROSS = (2.0, 6.0)

# What math.exp can still write down, with room to add.
_LARGEST_LOG = 600.0
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the minutes say about green, as natural logarithms."""

    against: tuple[float, ...]
    """Of E, after each minute: positive where green seems worse than is tolerated."""
    gross: tuple[float, ...]
    """The same in the lane for what needs no statistics; 0 where that lane is not entered."""
    in_favour: float
    """That green is better than unacceptable, from all minutes together."""


def weigh(
    minutes: Sequence[Split], *, tolerated: float, unacceptable: float, warm_up: int, gross_share: float
) -> Evidence:
    """Weigh the minutes that are known, in order.

    Parameters
    ----------
    tolerated
        The ratio up to which green is no reason to refuse, above 1.
    unacceptable
        The ratio from which on green may not count as good, above *tolerated*.
    warm_up
        How many of the first minutes green may have been cold in.
    gross_share
        The share of green's requests that has to be bad for the lane that needs no statistics.
    """
    asked = (*(tolerated * multiple for multiple in WORSE), tolerated, unacceptable)
    ratios = [(math.log(ratio), ratio - 1) for ratio in asked]
    worse = [likely + math.log(1 - LATER) for likely in _WORSE_LIKELY]
    later = LATER
    little = unacceptable_sum = 0.0
    same_top, little_top = _OnTop(), _OnTop()
    believed_an_event = (tolerated * math.log(tolerated) - tolerated + 1) / TOLERATED_NATS
    expected = cold_expected = 0.0
    warm = 0
    against = []
    for number, split in enumerate(minutes):
        cold = number < warm_up
        if number:
            begins = math.log(later * LATER_A_MINUTE)
            later *= 1 - LATER_A_MINUTE
            worse = _log_added(worse, begins)
        seen = _seen(split)
        if seen is not None:
            # Silent minutes are no candidates for an accident: without data the evidence must not grow.
            warm += not cold
            expected += seen.expected
            *gains, gain, too_bad = _gains(ratios, seen)
            worse = _added(worse, gains)
            little += gain
            unacceptable_sum += too_bad
            any_worse = _log_sum(_added(gains, _WORSE_LIKELY))
            if cold:
                cold_expected += seen.expected
                same_top.add_cold(gains, any_worse, 0.0)
                little_top.add_cold(gains, any_worse, gain)
            else:
                same_top.add(any_worse)
                little_top.add(any_worse - gain)
                if number < 3 * warm_up:
                    excess = 1 + TAIL_EXCESS * 0.5 ** ((number - warm_up) / TAIL_HALVED_MINUTES)
                    same_top.tail += _Ratio(excess).gain(seen)
                    little_top.tail += _Ratio(tolerated * excess).gain(seen) - gain
        if number < 3 * warm_up:
            log_cold = math.log(min(1.0, max(COLD, (cold_expected / COLD_EVENTS) ** 2)))
            same_top.forgive_cold(log_cold)
            little_top.forgive_cold(log_cold)
        believed = math.log(min(1.0, max(expected * believed_an_event, _TINY)))
        no_reason = _log_sum((same_top.log(warm), believed + little + little_top.log(warm)))
        against.append(_log_sum((*worse, math.log(later))) - no_reason)
    return Evidence(
        against=tuple(against),
        gross=_gross(minutes, gross_share),
        in_favour=_log_sum((0.0, little)) - math.log(2) - unacceptable_sum,
    )


class _Seen(NamedTuple):
    """One minute, as far as the likelihood needs it."""

    green_bad: float
    bad: float
    share: float
    """Of green in all requests."""
    power: float
    """1 where chance explains the scatter, less where it can't."""
    expected: float
    """Green's bad events, were it as good as blue."""


def _seen(split: Split) -> _Seen | None:
    """Return what the minute says; ``None`` for nothing."""
    _, green_bad, green_total, blue_bad, blue_total = split
    bad = green_bad + blue_bad
    if bad <= 0 or green_total <= 0 or blue_total <= 0:
        return None
    share = green_total / (green_total + blue_total)
    # The variance of a binomial whose log odds scatter, relative to one whose don't.
    excess = 1 + max(bad - 1, 0.0) * SCATTER * SCATTER * share * (1 - share)
    return _Seen(green_bad, bad, share, 1 / excess, bad * share)


class _Ratio:
    """A ratio whose likelihood is asked for."""

    __slots__ = ("_excess", "_log")

    def __init__(self, ratio: float) -> None:
        self._log, self._excess = math.log(ratio), ratio - 1

    def gain(self, seen: _Seen) -> float:
        green_bad, bad, share, power, _ = seen
        return (green_bad * self._log - bad * math.log1p(share * self._excess)) * power


def _gains(ratios: Sequence[tuple[float, float]], seen: _Seen) -> list[float]:
    """Return the gain of each ratio, given by its logarithm and by how much it is above 1."""
    green_bad, bad, share, power, _ = seen
    log1p = math.log1p
    return [(green_bad * log - bad * log1p(share * excess)) * power for log, excess in ratios]


class _OnTop:
    """What may come on top of a ratio, relative to the likelihood of that ratio alone."""

    __slots__ = ("_accidents", "_cold", "_cold_alike", "_forgiven", "tail")

    def __init__(self) -> None:
        self._accidents = 0.0
        """The sum over warm minutes of how much better something worse explains that one."""
        self._cold = 0.0
        """Cold minutes, each worse by as much as it likes."""
        self._cold_alike = list(_WORSE_LIKELY)
        """Cold minutes, all worse by the same."""
        self._forgiven = 0.0
        self.tail = 0.0

    def add(self, better: float) -> None:
        self._accidents += math.exp(min(better, _LARGEST_LOG))

    def add_cold(self, gains: Sequence[float], any_worse: float, here: float) -> None:
        self._cold += any_worse - here
        self._cold_alike = [total + gain - here for total, gain in zip(self._cold_alike, gains, strict=True)]

    def forgive_cold(self, log_cold: float) -> None:
        cold = _log_sum((self._cold, _log_sum(self._cold_alike)))
        tail = _log_sum((0.0, self.tail))
        log = log_cold + cold + tail - 2 * math.log(2)
        self._forgiven = log if log > _LARGEST_LOG else math.log1p(math.exp(log))

    def log(self, warm: int) -> float:
        return self._forgiven + (math.log1p(ACCIDENT * self._accidents / warm) if warm else 0.0)


def _gross(minutes: Sequence[Split], least_share: float) -> tuple[float, ...]:
    """Weigh what is worse beyond any doubt; nothing is forgiven here, not even to a cold green.

    It takes ``GROSS_RATIO`` times blue's share of bad requests, *least_share* of green's own, and
    ``GROSS_EVENTS`` of them.
    """
    bad = total = 0.0
    entered = []
    for split in minutes:
        bad += split.green_bad
        total += split.green_total
        entered.append(bad >= GROSS_EVENTS and bad >= least_share * total)
    if not any(entered):
        return (0.0,) * len(entered)
    null, ratios = _Ratio(GROSS_RATIO), [_Ratio(GROSS_RATIO * times) for times in _GROSS]
    worse = [-math.log(len(_GROSS))] * len(_GROSS)
    evidence = []
    for split, holds in zip(minutes, entered, strict=True):
        if (seen := _seen(split)) is not None:
            here = null.gain(seen)
            worse = [total + ratio.gain(seen) - here for total, ratio in zip(worse, ratios, strict=True)]
        evidence.append(_log_sum(worse) if holds else 0.0)
    return tuple(evidence)


class Estimate(NamedTuple):
    """How many times as often green's requests are bad, about."""

    low: float
    ratio: float
    high: float


# 95 % of a normal distribution are within so many standard deviations.
_NORMAL_95 = 1.959964
_MOST_LOG_RATIO = 12.0


def estimate(minutes: Sequence[Split]) -> Estimate | None:
    """Estimate the ratio over all minutes; ``None`` where nothing bad happened.

    The maximum of the likelihood, with an interval of 95 % that is widened by how much more the minutes
    scatter than chance would have them. Where a side has less than one bad event, half an event is added
    to each, so that both have an estimate.
    """
    seen = [one for split in minutes if (one := _seen(split)) is not None]
    green_bad = sum([one.green_bad for one in seen])
    bad = sum([one.bad for one in seen])
    if not bad:
        return None
    half = 0.5 if min(green_bad, bad - green_bad) < 1 else 0.0
    log_ratio = _most_likely(seen, green_bad + half, half)
    information, scatter = half, 0.0
    ratio = math.exp(log_ratio)
    for green_bad_here, bad_here, share, _, _ in seen:
        theta = share * ratio / (share * ratio + 1 - share)
        variance = bad_here * theta * (1 - theta)
        information += variance
        scatter += (green_bad_here - bad_here * theta) ** 2 / max(variance, _TINY)
    # With few events a minute the statistic says nothing about scatter; it may only widen.
    widened = max(1.0, scatter / max(len(seen) - 1, 1)) if information >= len(seen) else 1.0
    error = _NORMAL_95 * math.sqrt(widened / max(information, _TINY))
    return Estimate(_exp(log_ratio - error), _exp(log_ratio), _exp(log_ratio + error))


def _most_likely(seen: Sequence[_Seen], green_bad: float, half: float) -> float:
    """Solve for the log ratio at which as many bad events are expected on green as there were.

    Newton's method, with bounded steps: the expectation grows with the log ratio everywhere.
    """
    # Were the share always the same, this would be the answer.
    expected = sum([one.expected for one in seen])
    bad = sum([one.bad for one in seen])
    share = min(max(expected / bad, _TINY), 1 - _TINY)
    part = min(max((green_bad - half) / bad, 1e-3), 1 - 1e-3)
    log_ratio = math.log(part / (1 - part)) - math.log(share / (1 - share))
    for _ in range(50):
        ratio = math.exp(log_ratio)
        expected = 2 * half * ratio / (1 + ratio)
        slope = expected / (1 + ratio)
        for _, bad_here, share_here, _, _ in seen:
            odds = share_here * ratio
            theta = odds / (odds + 1 - share_here)
            part = bad_here * theta
            expected += part
            slope += part * (1 - theta)
        step = min(max((green_bad - expected) / max(slope, _TINY), -2.0), 2.0)
        log_ratio = min(max(log_ratio + step, -_MOST_LOG_RATIO), _MOST_LOG_RATIO)
        if abs(step) < 1e-9:
            break
    return log_ratio


@dataclass(frozen=True, slots=True)
class Reach:
    """What the events seen so far can show."""

    detectable: float | None
    """A ratio that would be certain by now, about the smallest; ``None`` where even the largest would not."""
    more_minutes: int | None
    """How many more minutes would show the ratio asked about; ``None`` where a day would not."""


# By how much more than all there is green's events are raised at most, and how closely the ratio is told.
_MOST_RAISED = 4096.0
_CLOSELY = 0.01
_MOST_MINUTES = 1440


def reach(
    minutes: Sequence[Split],
    ratio: float,
    certain: Callable[[Sequence[Split]], int | None],
    *,
    fewer: bool = False,
) -> Reach:
    """Tell what could be told from so many events: the answer to "why is it not certain?".

    The judge itself is asked, so that whatever tempers it (a warm-up, accidents, scatter) counts. The ratio
    that is detectable is that of the minutes seen, with more bad events on green. The minutes to come are
    counted as if all were the average one, and green's bad events were blue's times *ratio*.

    Parameters
    ----------
    minutes
        Which are not certain.
    certain
        Returns the index of the first of some minutes with which it was certain that green is worse.
    fewer
        Whether green and blue are swapped, for it is good events that are counted, and green that has fewer.
    """
    used = [split for split in minutes if split.green_total > 0 and split.blue_total > 0]
    if sum([_worse(split, 1.0, fewer=fewer).green_bad for split in used]) <= 0:
        return Reach(None, None)
    detectable = _detectable(minutes, certain, fewer=fewer)
    if detectable is not None and detectable <= ratio:
        return Reach(detectable, 0)
    average = _worse(
        Split(
            used[0].start, *(math.fsum(column) / len(used) for column in list(zip(*used, strict=True))[1:])
        ),
        ratio,
        fewer=fewer,
    )
    length = min(2 * len(used) + 16, _MOST_MINUTES)
    while (index := certain([average] * length)) is None and length < _MOST_MINUTES:
        length = min(4 * length, _MOST_MINUTES)
    # Where an average minute would have been enough, the ones that were seen scatter more.
    return Reach(detectable, None if index is None else max(index + 1 - len(used), 1))


def _detectable(
    minutes: Sequence[Split], certain: Callable[[Sequence[Split]], int | None], *, fewer: bool
) -> float | None:
    """Return a ratio at which these minutes, which are not certain, would be, to about a percent."""
    # How green's events scatter is kept, but so few as less than one a minute do not show it.
    shows_scatter = sum([split.green_bad for split in minutes]) >= len(minutes)

    def raised(by: float) -> list[Split]:
        if fewer:
            return [split._replace(blue_bad=split.blue_bad / (1 + by)) for split in minutes]
        return [
            split._replace(
                green_bad=min(
                    split.green_bad
                    + by * (split if shows_scatter else _worse(split, 1.0, fewer=False)).green_bad,
                    max(split.green_total, split.green_bad),
                )
            )
            for split in minutes
        ]

    # Of less than two events no ratio is told: it would be another one with each half of an event.
    most = sum([split.blue_bad for split in minutes]) / 2 - 1 if fewer else _MOST_RAISED
    low, high = 0.0, 0.25
    while high <= most and certain(raised(high)) is None:
        low, high = high, 4 * high
    if high > most:
        high = most
        if high <= low or certain(raised(high)) is None:
            return None
    while high - low > _CLOSELY * (1 + low):
        middle = (low + high) / 2
        low, high = (middle, high) if certain(raised(middle)) is None else (low, middle)
    found = estimate(raised(high))
    return found.ratio if found else None


def _worse(split: Split, ratio: float, *, fewer: bool) -> Split:
    """Return the minute, had green been *ratio* times as bad as blue was in it."""
    start, green_bad, green_total, blue_bad, blue_total = split
    if not (green_total > 0 and blue_total > 0):
        return split
    if fewer:
        return Split(start, green_bad, green_total, green_bad * blue_total / green_total / ratio, blue_total)
    return Split(start, blue_bad * green_total / blue_total * ratio, green_total, blue_bad, blue_total)


def _added(one: Sequence[float], other: Sequence[float]) -> list[float]:
    return list(map(operator.add, one, other))


def _log_added(logs: Sequence[float], begins: float) -> list[float]:
    """Return log(exp(log) + likely exp(begins)) for each ratio that is worse."""
    exp, log1p = math.exp, math.log1p
    return [
        # The larger one outside, so that nothing grows too large to be written down.
        log + log1p(exp(new - log)) if log > new else new + log1p(exp(log - new))
        for log, new in zip(logs, [begins + likely for likely in _WORSE_LIKELY], strict=True)
    ]


def _log_sum(logs: Sequence[float]) -> float:
    top, exp = max(logs), math.exp
    return top + math.log(sum([exp(log - top) for log in logs]))


def _exp(log: float) -> float:
    return math.exp(min(log, _LARGEST_LOG))
