"""How far apart green and blue really are, as far as so many requests can tell.

Each arm's value has an interval; the two are combined by MOVER, the method of variance estimates recovery
(Zou & Donner, Statistics in Medicine 27:1693, 2008), which for two shares is Newcombe's method 10:

::

    D = green - ratio * blue - slack               a rule is kept where D <= 0
    lower(D) = D - sqrt((green - l_green)^2 + ratio^2 (u_blue - blue)^2)
    upper(D) = D + sqrt((u_green - green)^2 + ratio^2 (blue - l_blue)^2)

    quantile    order statistics, of the ranks np +- z sqrt(np(1 - p)): no shape is assumed
    share       Wilson's score interval
    mean        +- z deviation / sqrt(n)

All of them take requests as independent of each other. A stall hits many at once; then the intervals are
narrower than they should be, which is why a relative rule should leave some room (1.25 times, + 5ms).
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

from hooks.load_test.measurement import Histogram


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and where it may really be."""

    value: float
    lower: float
    upper: float


def z_of(confidence: float) -> float:
    """Return how many deviations around the mean hold *confidence* of a normal distribution."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


def quantile(latency: Histogram, share: float, confidence: float) -> Estimate:
    """Estimate a quantile; beyond what was measured its ends are zero and infinity."""
    middle, width = latency.count * share, z_of(confidence) * math.sqrt(latency.count * share * (1 - share))
    first = math.floor(middle - width)
    return Estimate(
        latency.quantile(share),
        latency.at_rank(first) if first >= 1 else 0.0,
        latency.at_rank(math.ceil(middle + width) + 1),
    )


def mean(latency: Histogram, confidence: float) -> Estimate:
    """Estimate the mean."""
    width = z_of(confidence) * latency.deviation / math.sqrt(latency.count)
    return Estimate(latency.mean, max(latency.mean - width, 0.0), latency.mean + width)


def proportion(some: int, of_all: int, confidence: float) -> Estimate:
    """Estimate the share of *some* in *of_all*."""
    value, z2 = some / of_all, z_of(confidence) ** 2
    middle = (value + z2 / (2 * of_all)) / (1 + z2 / of_all)
    width = math.sqrt(z2 * (value * (1 - value) + z2 / (4 * of_all)) / of_all) / (1 + z2 / of_all)
    # Exactly, where rounding would leave next to nothing.
    return Estimate(value, 0.0 if some == 0 else middle - width, 1.0 if some == of_all else middle + width)


def difference(green: Estimate, blue: Estimate, ratio: float, slack: float) -> Estimate:
    """Estimate by how much green is above *ratio* times blue and *slack*."""
    value = green.value - ratio * blue.value - slack
    below = math.hypot(green.value - green.lower, ratio * (blue.upper - blue.value))
    above = math.hypot(green.upper - green.value, ratio * (blue.value - blue.lower))
    return Estimate(value, value - below, value + above)
