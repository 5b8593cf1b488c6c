"""Simulated traffic on a green and a blue revision: what the judge is tried on, in tests and benchmarks.

Noise is of three kinds, and only the last can mislead a comparison:

- Both alike: the error rate and the latency wander by AR(1) noise on their logarithms (standard deviations
  of 0.4 and 5 %, autocorrelation 0.8 from minute to minute), latency also has a trend of up to 15 % in
  either direction over the time watched, and the number of requests one of up to 20 %.
- Chance: errors and slow requests are binomial.
- One revision alone: each minute's error rate is multiplied by gamma noise of mean 1, latency wanders by
  AR(1) noise of its own, and green's latency differs for good by a normal offset.

Latency is lognormal with a median of 50 ms and a sigma of 0.6; a request is slow above the 95th percentile of
an undisturbed blue. A cold green fails more requests at first, a share that falls with ``exp(-t / 2)``, t in
minutes. A minute that is missing is missing for both revisions and all metrics.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import NormalDist

from hooks.canary_comparison.judge import Judgement, Verdict
from hooks.canary_comparison.observation import MINUTE, Kind, Observation, Split

START = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)

AUTOCORRELATION = 0.8
COMMON_ERROR_NOISE = 0.4
COMMON_LATENCY_NOISE = 0.05
LATENCY_TREND = 0.15
REQUEST_TREND = 0.20
MEDIAN_SECONDS = 0.05
SIGMA = 0.6
COLD_MINUTES = 2.0

_NORMAL = NormalDist()
_SLOW_Z = _NORMAL.inv_cdf(0.95)
SLOW_SECONDS = MEDIAN_SECONDS * math.exp(SIGMA * _SLOW_Z)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """How a deployment's traffic is, and how green is."""

    requests: int
    """Of both revisions in a minute."""
    share: float = 0.1
    """Of green in all requests."""
    minutes: int = 30
    errors: float = 0.001
    """Share of requests that fail on a healthy revision."""
    common_noise: float = 1.0
    """Factor on the noise that both revisions share."""
    trends: bool = True
    error_scatter: float = 0.15
    """Standard deviation of the gamma noise on a revision's error rate in a minute."""
    latency_wander: float = 0.02
    """Standard deviation of a revision's own noise on the logarithm of its latency."""
    latency_offset: float = 0.02
    """Standard deviation, over deployments, of how much slower green is for good, as a logarithm."""
    cold: float = 0.0
    """Share of green's requests that fail in the first minute because it is cold."""
    missing: float = 0.0
    """Share of minutes of which nothing is known."""
    error_ratio: float = 1.0
    latency_ratio: float = 1.0
    """How many times worse green is, by its release."""
    failing: float = 0.0
    """Share of green's requests that fail by its release, whatever blue's do."""
    worse_from: int = 0
    """The minute, from 0, from which its release makes green worse."""


@dataclass(frozen=True, slots=True)
class Served:
    """What a revision served in a minute."""

    requests: int
    errors: int
    slow: int
    slow_share: float
    """The probability of which ``slow`` came."""
    log_shift: float
    """How much slower than undisturbed the minute was, as a logarithm."""


@dataclass(frozen=True, slots=True)
class Minute:
    """One minute of a deployment."""

    green: Served
    blue: Served
    is_known: bool


def simulate(traffic: Traffic, rng: random.Random) -> tuple[Minute, ...]:
    """Return one deployment, minute by minute."""
    offset = rng.gauss(0, traffic.latency_offset)
    latency_trend = rng.uniform(-LATENCY_TREND, LATENCY_TREND) if traffic.trends else 0.0
    request_trend = rng.uniform(-REQUEST_TREND, REQUEST_TREND) if traffic.trends else 0.0
    common_errors, common_latency = _wandering(rng), _wandering(rng)
    green_latency, blue_latency = _wandering(rng), _wandering(rng)
    deviation = COMMON_ERROR_NOISE * traffic.common_noise
    minutes = []
    for number in range(traffic.minutes):
        passed = number / traffic.minutes
        requests = round(traffic.requests * (1 + request_trend * passed))
        on_green = round(requests * traffic.share)
        # Half the variance is taken off so that the mean stays.
        failing = min(
            0.5, traffic.errors * math.exp(deviation * next(common_errors) - deviation * deviation / 2)
        )
        is_worse = number >= traffic.worse_from
        shift = COMMON_LATENCY_NOISE * traffic.common_noise * next(common_latency) + latency_trend * passed
        green = _served(
            rng,
            on_green,
            failing * (traffic.error_ratio if is_worse else 1.0) * _scatter(rng, traffic.error_scatter)
            + (traffic.failing if is_worse else 0.0)
            + traffic.cold * math.exp(-number / COLD_MINUTES),
            shift
            + offset
            + traffic.latency_wander * next(green_latency)
            + (math.log(traffic.latency_ratio) if is_worse else 0.0),
        )
        blue = _served(
            rng,
            requests - on_green,
            failing * _scatter(rng, traffic.error_scatter),
            shift + traffic.latency_wander * next(blue_latency),
        )
        minutes.append(Minute(green, blue, is_known=rng.random() >= traffic.missing))
    return tuple(minutes)


def percentile(served: Served, percent: float, rng: random.Random) -> float | None:
    """Draw a percentile of the minute's latency, in seconds, given how many requests were slow.

    As an exact order statistic, without drawing every request: of *m* uniform numbers the *k*-th smallest
    has a beta distribution. ``None`` without a request.
    """
    count = served.requests
    if not count:
        return None
    place = max(math.ceil(count * percent / 100), 1)
    quick = count - served.slow
    if place <= quick:
        share = (1 - served.slow_share) * rng.betavariate(place, quick - place + 1)
    else:
        share = 1 - served.slow_share * rng.betavariate(count - place + 1, place - quick)
    return MEDIAN_SECONDS * math.exp(served.log_shift + SIGMA * _NORMAL.inv_cdf(share))


def observed(minutes: Sequence[Minute]) -> tuple[Observation, ...]:
    """Return what the preset ``alb`` sees of a deployment: no connection ever fails."""
    known = [(START + n * MINUTE, minute) for n, minute in enumerate(minutes) if minute.is_known]
    missing = tuple(START + n * MINUTE for n, minute in enumerate(minutes) if not minute.is_known)
    errors = tuple(
        Split(start, m.green.errors, m.green.requests, m.blue.errors, m.blue.requests) for start, m in known
    )
    connections = tuple(Split(start, 0, m.green.requests, 0, m.blue.requests) for start, m in known)
    slow = tuple(
        Split(start, m.green.slow, m.green.requests, m.blue.slow, m.blue.requests) for start, m in known
    )
    return (
        Observation("errors", Kind.PROPORTION, errors, missing),
        Observation("connectionErrors", Kind.PROPORTION, connections, missing),
        Observation("slow", Kind.SLOW, slow, missing, threshold=SLOW_SECONDS),
    )


def refused_at(judgement: Judgement) -> int | None:
    """Return the minutes of traffic that were needed to refuse; ``None`` where green is not refused.

    Of metrics that each refuse alone, had somebody looked every minute.
    """
    if judgement.verdict is not Verdict.WORSE:
        return None
    since = min(finding.certain_since for finding in judgement.findings if finding.certain_since is not None)
    return (since - START) // MINUTE


def _wandering(rng: random.Random) -> Iterator[float]:
    """Yield AR(1) noise of variance 1."""
    value = rng.gauss(0, 1)
    while True:
        yield value
        value = AUTOCORRELATION * value + math.sqrt(1 - AUTOCORRELATION**2) * rng.gauss(0, 1)


def _scatter(rng: random.Random, deviation: float) -> float:
    return rng.gammavariate(1 / deviation**2, deviation**2) if deviation else 1.0


def _served(rng: random.Random, requests: int, failing: float, log_shift: float) -> Served:
    slow_share = _NORMAL.cdf(log_shift / SIGMA - _SLOW_Z)
    return Served(
        requests,
        rng.binomialvariate(requests, min(failing, 1.0)),
        rng.binomialvariate(requests, slow_share),
        slow_share,
        log_shift,
    )
