"""Production traffic to the service, and what AWS and the service publish of it each minute.

::

    weights that ECS asks for ─▶ requests of each revision ─▶ a minute ends ─▶ published some time after
                                        ▲                                        alb         per target group
       errors, latency: blue, green, cold start, outage, noise common to both    emf         per revision
                                                                                 accessLogs  per task

Requests come in independently of each other, so that a revision's number in a minute is Poisson's, and
how many of them fail is binomial. Latency is lognormal.
"""

import functools
import itertools
import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import NormalDist
from typing import Literal

from moto.cloudwatch.models import cloudwatch_backends
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from rehearsal.actors import Actor, actor
from rehearsal.aws import access_logs, target_group_metrics
from rehearsal.aws.cloudwatch import Sample, record
from rehearsal.durations import Duration
from rehearsal.model import Task
from rehearsal.outcome import Happening, WeightsChanged
from rehearsal.scenario import Scenario
from rehearsal.timing import Process
from rehearsal.world import World
from shared.lifecycle import ServiceRevisionArn

MINUTE = 60.0

EMF_NAMESPACE = "Shop"

_UNITS = {"PaymentSeconds": "Seconds"}

# In steps of this length errors that rise or fall within a minute are averaged.
STEP_SECONDS = 5.0

# How much of the noise on errors of one minute is left in the next, and how much of it is on latency.
NOISE_PERSISTS = 0.8
NOISE_ON_LATENCY = 0.1

# Up to so many requests each has a latency of its own; more share those of the bins below.
SINGLE_LATENCIES = 100

Source = Literal["alb", "emf", "accessLogs"]
Share = float

_DEFAULTS: dict[str, tuple[Source, ...]] = {
    "alb": ("alb",),
    "service-connect": ("accessLogs",),
    "alb+service-connect": ("alb", "accessLogs"),
}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)


class Green(_Part):
    """How a new revision differs from a healthy one."""

    errors: Share | None = Field(
        None, ge=0, le=1, description="share of bad answers; null: as of a healthy one"
    )
    latency_factor: float = Field(1.0, gt=0, le=1000, description="how many times slower its answers are")
    connection_errors: Share = Field(
        0.0, ge=0, le=1, description="share of requests that find none of its tasks listening"
    )
    after: Duration = Field(0.0, description="how long after its first production traffic this begins")


class ColdStart(_Part):
    """What a new revision does worse at first."""

    errors: Share = Field(0.01, ge=0, le=1, description="share of bad answers on top, at first")
    lasts: Duration = Field(120.0, gt=0, description="in which they become fewer, evenly, and end")


class Outage(_Part):
    """Something that all revisions depend on fails."""

    after: Duration = Field(600.0, description="since the start of the scenario")
    lasts: Duration = 180.0
    errors: Share = Field(0.3, ge=0, le=1, description="share of requests that fail because of it")


@actor("traffic")
class Traffic(Actor):
    """Sends requests to the service by its production weights, and publishes metrics of them each minute.

    What is said of *green* holds for each revision that a deployment of the scenario brings, from its first
    production traffic on.
    """

    requests_per_minute: float = Field(1000.0, ge=0, le=1_000_000, description="to all revisions together")
    errors: Share = Field(0.005, ge=0, le=1, description="share of bad answers of a healthy revision")
    latency: float = Field(0.05, gt=0, le=3600, description="median, in seconds")
    spread: float = Field(0.6, ge=0, le=5, description="sigma of the lognormal latency")
    noise: float = Field(
        0.2,
        ge=0,
        le=2,
        description="on the errors of all revisions alike, minute by minute: standard deviation of the "
        "logarithm; a tenth of it is on latency",
    )
    green: Green | None = Field(None, description="how new revisions differ; null: not at all")
    cold_start: ColdStart | None = Field(None, description="what they do worse at first; null: nothing")
    outage: Outage | None = None
    test_requests_per_minute: float = Field(
        0.0,
        ge=0,
        le=1_000_000,
        description="marked requests to green while it has test traffic and no production traffic; the "
        "same metrics count them",
    )
    before: Duration = Field(3600.0, description="for how long blue has served already")
    published_after: Duration = Field(
        60.0, description="from the end of a minute until its metrics are there"
    )
    publish: tuple[Source, ...] | None = Field(
        None,
        min_length=1,
        description="which metrics; default: alb behind an Application Load Balancer, accessLogs with "
        "Service Connect. emf: Payments, Declined, PaymentSeconds in Shop, by ServiceRevision",
    )

    def problem(self, scenario: Scenario) -> str | None:
        """Return why there can be no such traffic in a scenario, ``None`` if there can."""
        exposure, publish = scenario.service.exposure, self.publish
        if exposure == "headless":
            return "traffic does not reach a headless service"
        if scenario.strategy.type == "ROLLING":
            return "traffic is split by weights, and a ROLLING deployment has none"
        if publish is None and exposure not in _DEFAULTS:
            return f"{exposure} has no metrics of requests; name what the service itself publishes: [emf]"
        for source, needed in (("alb", "alb"), ("accessLogs", "service-connect")):
            if source in (publish or ()) and needed not in exposure.split("+"):
                return f"{source} needs a service with {needed} exposure, not {exposure}"
        return None

    def published(self, scenario: Scenario) -> tuple[Source, ...]:
        """Return which metrics there are."""
        return self.publish or _DEFAULTS[scenario.service.exposure]

    def run(self, world: World) -> Process:
        if problem := self.problem(world.scenario):
            raise ValueError(f"actor traffic: {problem}")
        # Traffic goes on for ever; whoever waits for actors to end must not wait for it.
        world.env.process(_Stream(self, world).flow())
        yield world.env.timeout(0)


@dataclass(frozen=True, slots=True)
class _Weights:
    """What a revision has of the traffic, in percent."""

    production: float
    test: float


@dataclass(frozen=True, slots=True)
class _Manner:
    """How a revision answers at a moment."""

    errors: Share
    refused: Share
    outage: Share
    latency_factor: float


@dataclass(slots=True)
class _Load:
    """What is expected of a revision in the minute under way."""

    requests: defaultdict[tuple[float, Share], float] = field(default_factory=lambda: defaultdict(float))
    """By latency factor and share of connections refused."""
    errors: float = 0.0
    outage: float = 0.0

    def add(self, requests: float, manner: _Manner) -> None:
        self.requests[manner.latency_factor, manner.refused] += requests
        self.errors += requests * manner.errors
        self.outage += requests * manner.outage

    def bad(self, noise: float) -> Share:
        """Return the share of answers that are bad."""
        expected = sum(self.requests.values())
        own, common = min(self.errors / expected * noise, 1.0), min(self.outage / expected, 1.0)
        return 1 - (1 - own) * (1 - common)


@dataclass(frozen=True, slots=True)
class _Served:
    """What a revision did in a minute."""

    revision: ServiceRevisionArn
    minute: datetime
    answered: int
    bad: int
    """Of those answered."""
    refused: int
    """Requests that met no task, on top of those answered."""
    seconds: tuple[tuple[float, int], ...]
    """Latencies of those answered, and how often."""
    tasks: tuple[Task, ...]
    """Who answered."""


class _Stream:
    """The traffic of one run."""

    def __init__(self, traffic: Traffic, world: World) -> None:
        self.traffic = traffic
        self.world = world
        self.published = traffic.published(world.scenario)
        self.rng = random.Random(world.rng.getrandbits(64))  # noqa: S311  # not for secrets
        # Of its own, so that the noise is the same however many requests there are.
        self.noise_rng = random.Random(self.rng.getrandbits(64))  # noqa: S311  # not for secrets
        self.noise = traffic.noise * self.noise_rng.gauss()
        self.first: dict[ServiceRevisionArn, float] = {}
        """When revisions that were deployed here first had production traffic."""
        self.loads: defaultdict[ServiceRevisionArn, _Load] = defaultdict(_Load)
        # Minutes are the clock's, which does not begin on one when it is real.
        self.until = world.env.now - world.now().timestamp() % MINUTE
        """Up to when requests are accounted for."""
        self.new: set[ServiceRevisionArn] = set()
        self.weights: dict[ServiceRevisionArn, _Weights] = {}

    def flow(self) -> Process:
        env = self.world.env
        self._look()
        self._serve_before()
        self.world.listeners.append(self._saw)
        if self.traffic.outage:
            env.process(self._tell_of(self.traffic.outage))
        yield env.timeout(self.until + MINUTE - env.now)
        while True:
            self._account()
            self._close(self._floor(self.world.now() - timedelta(seconds=MINUTE / 2)))
            yield env.timeout(MINUTE)

    # ------------------------------------------------------------------ who gets how much

    def _saw(self, happening: Happening) -> None:
        if isinstance(happening, WeightsChanged):
            self._account()

    def _account(self) -> None:
        """Count the requests until now by the weights that held, and read those that hold from now on."""
        now = self.world.env.now
        while self.until < now:
            step = min(STEP_SECONDS, now - self.until)
            for revision, weights in self.weights.items():
                if rate := self._rate(revision, weights):
                    manner = self._manner(revision, self.until + step / 2)
                    self.loads[revision].add(rate * step / MINUTE, manner)
            self.until = min(self.until + step, now)
        self._look()

    def _look(self) -> None:
        deployments = self.world.cloud.control_plane.deployments_of(self.world.service)
        self.new = {deployment.target.arn for deployment in deployments}
        # Until a newer deployment begins, the latest one says who has what, however it ended.
        latest = deployments[0]
        self.weights = {
            summary.arn: _Weights(summary.production_weight or 0.0, summary.test_weight or 0.0)
            for summary in (*latest.sources, latest.target)
        }
        for revision, weights in self.weights.items():
            if weights.production and revision in self.new and revision not in self.first:
                self.first[revision] = self.world.env.now
                self._tell_of_first(revision, weights.production)

    def _rate(self, revision: ServiceRevisionArn, weights: _Weights) -> float:
        """Return the requests a minute to a revision."""
        if weights.production:
            return self.traffic.requests_per_minute * weights.production / 100
        return self.traffic.test_requests_per_minute if weights.test and revision in self.new else 0.0

    def _manner(self, revision: ServiceRevisionArn, at: float) -> _Manner:
        traffic = self.traffic
        outage = traffic.outage
        common = outage.errors if outage and 0 <= at - outage.after < outage.lasts else 0.0
        errors, refused, factor = traffic.errors, 0.0, 1.0
        if revision in self.new:
            first = self.first.get(revision)
            served = 0.0 if first is None else max(at - first, 0.0)
            if (green := traffic.green) and served >= green.after:
                errors = errors if green.errors is None else green.errors
                refused, factor = green.connection_errors, green.latency_factor
            cold = traffic.cold_start
            if cold and first is not None and served < cold.lasts:
                errors += cold.errors * (1 - served / cold.lasts)
        return _Manner(errors, refused, common, factor)

    # ------------------------------------------------------------------ what became of the requests

    def _serve_before(self) -> None:
        """Publish what blue did in the time before, as far as it can be known by now."""
        start = self._floor(self.world.now())
        healthy = _Manner(self.traffic.errors, 0.0, 0.0, 1.0)
        for minutes in range(int(self.traffic.before // MINUTE), 0, -1):
            for revision, weights in self.weights.items():
                if revision not in self.new and (rate := self._rate(revision, weights)):
                    self.loads[revision].add(rate, healthy)
            self._close(start - timedelta(minutes=minutes))

    def _close(self, minute: datetime) -> None:
        """Draw what happened in a minute, and have it published."""
        noise = self._next_noise()
        for revision, load in self.loads.items():
            served = self._draw(revision, load, minute, noise)
            due = minute + timedelta(seconds=MINUTE + self.traffic.published_after)
            wait = (due - self.world.now()).total_seconds()
            if wait <= 0:
                self._publish(served)
            else:
                self.world.env.process(self._publish_later(served, wait))
        self.loads.clear()

    def _next_noise(self) -> float:
        """Return the logarithm by which this minute is out of the ordinary."""
        fresh = math.sqrt(1 - NOISE_PERSISTS**2) * self.traffic.noise * self.noise_rng.gauss()
        self.noise = NOISE_PERSISTS * self.noise + fresh
        return self.noise

    def _draw(self, revision: ServiceRevisionArn, load: _Load, minute: datetime, noise: float) -> _Served:
        answered = refused = 0
        seconds: Counter[float] = Counter()
        for (factor, share), expected in load.requests.items():
            requests = poisson(self.rng, expected)
            missed = self.rng.binomialvariate(requests, share)
            median = self.traffic.latency * factor * math.exp(noise * NOISE_ON_LATENCY)
            for value, count in latencies(self.rng, requests - missed, median, self.traffic.spread):
                seconds[value] += count
            answered, refused = answered + requests - missed, refused + missed
        # The mean of a lognormal factor is to be one.
        bad = self.rng.binomialvariate(answered, load.bad(math.exp(noise - self.traffic.noise**2 / 2)))
        return _Served(
            revision=revision,
            minute=minute,
            answered=answered,
            bad=bad,
            refused=refused,
            seconds=tuple(sorted(seconds.items())),
            tasks=self._tasks(revision, minute) if "accessLogs" in self.published else (),
        )

    def _tasks(self, revision: ServiceRevisionArn, minute: datetime) -> tuple[Task, ...]:
        """Return the tasks that ran in a minute; those told to stop in it served for a part of it."""
        now = self.world.now()
        end = minute + timedelta(seconds=MINUTE)
        return tuple(
            task
            for task in self.world.cloud.control_plane.tasks_of(revision)
            if task.started_at is not None
            and task.started_at < end
            and minute < (task.stopping_at(now) or end)
        )

    # ------------------------------------------------------------------ who hears of it

    def _publish_later(self, served: _Served, wait: float) -> Process:
        yield self.world.env.timeout(wait)
        self._publish(served)

    def _publish(self, served: _Served) -> None:
        publishers: dict[Source, Callable[[_Served], None]] = {
            "alb": self._publish_alb,
            "emf": self._publish_emf,
            "accessLogs": self._write_access_logs,
        }
        for source in self.published:
            publishers[source](served)

    def _publish_alb(self, served: _Served) -> None:
        target_group_metrics.put_minute(
            self.world.cloud,
            self.world.cloud.control_plane.revisions[str(served.revision)],
            served.minute,
            requests=served.answered + served.refused,
            answers={2: served.answered - served.bad, 5: served.bad},
            connection_errors=served.refused,
            seconds=served.seconds,
        )

    def _publish_emf(self, served: _Served) -> None:
        """Tell what the service's own code logs of each request that reaches it."""
        counts = {"Payments": served.answered, "Declined": served.bad}
        metrics = {name: [(1.0, count)] if count else [] for name, count in counts.items()}
        dimensions = {"ServiceRevision": served.revision.id}
        self._tell(EMF_NAMESPACE, dimensions, served, {**metrics, "PaymentSeconds": served.seconds})

    def _tell(
        self,
        namespace: str,
        dimensions: Mapping[str, str],
        served: _Served,
        metrics: Mapping[str, Sequence[tuple[float, int]]],
    ) -> None:
        cloud, at = self.world.cloud, served.minute.timestamp()
        backend = cloudwatch_backends[cloud.account][cloud.region]
        for name, values in metrics.items():
            unit = _UNITS.get(name, "Count")
            samples = [Sample(at, value * count, count, value, value, unit) for value, count in values]
            # Nothing is told of what did not happen, not even that it was nothing.
            if samples:
                record(backend, namespace, name, dimensions, *samples)

    def _write_access_logs(self, served: _Served) -> None:
        """Let the proxies beside the tasks log their requests; those that meet no task are answered 503."""
        if not served.tasks:
            return
        # As Service Connect does: each task gets every so-manieth request.
        first = self.rng.randrange(len(served.tasks))
        tasks = (*served.tasks[first:], *served.tasks[:first])
        failed = deal([(0.0, served.bad + served.refused)], len(tasks))
        # A connection that is refused is refused at once.
        seconds = deal([(0.0, served.refused), *served.seconds], len(tasks))
        for task, own, errors in zip(tasks, seconds, failed, strict=True):
            if requests := sum(count for _, count in own):
                access_logs.put_minute(
                    self.world,
                    task,
                    served.minute,
                    requests=requests,
                    server_errors=sum(count for _, count in errors),
                    seconds=own,
                )

    # ------------------------------------------------------------------ what is seen from outside

    def _tell_of_first(self, revision: ServiceRevisionArn, percent: float) -> None:
        colour, requests = self.world.colour(revision), self.traffic.requests_per_minute
        text = f"{percent:g} % of {requests:,.0f} requests a minute go to {colour}"
        green, cold = self.traffic.green, self.traffic.cold_start
        if green and not green.after:
            text += f": {_described(green)}"
        self.world.spoke("traffic", text)
        if cold:
            words = f"{colour} has warmed up"
            self.world.env.process(self._tell_later(revision, cold.lasts, words))
        if green and green.after:
            self.world.env.process(self._tell_later(revision, green.after, f"{colour}: {_described(green)}"))

    def _tell_later(self, revision: ServiceRevisionArn, wait: float, text: str) -> Process:
        yield self.world.env.timeout(wait)
        self._account()
        # Nobody sees how a revision without traffic would do.
        if revision in self.weights and self.weights[revision].production:
            self.world.spoke("traffic", text)

    def _tell_of(self, outage: Outage) -> Process:
        yield self.world.env.timeout(outage.after)
        text = f"an outage begins: {100 * outage.errors:g} % of all requests fail, whoever serves them"
        self.world.spoke("traffic", text)
        yield self.world.env.timeout(outage.lasts)
        self.world.spoke("traffic", "the outage is over")

    @staticmethod
    def _floor(moment: datetime) -> datetime:
        return moment.replace(second=0, microsecond=0)


def _described(green: Green) -> str:
    parts = [f"{100 * green.errors:g} % errors"] if green.errors is not None else []
    if green.latency_factor != 1:
        parts.append(f"latency × {green.latency_factor:g}")
    if green.connection_errors:
        parts.append(f"{100 * green.connection_errors:g} % of connections refused")
    return ", ".join(parts) or "as healthy as blue"


# So many chances, each so small, that their number is as good as Poisson's.
_CHANCES = 10**9


def poisson(rng: random.Random, expected: float) -> int:
    """Draw how many independent things happen."""
    return rng.binomialvariate(_CHANCES, min(expected / _CHANCES, 1.0))


def deal(values: Sequence[tuple[float, int]], hands: int) -> list[list[tuple[float, int]]]:
    """Deal values out like cards, the first to the first hand; each hand gets the values and how often."""
    dealt: list[list[tuple[float, int]]] = [[] for _ in range(hands)]
    turn = 0
    for value, count in values:
        each, rest = divmod(count, hands)
        for number in range(min(count, hands)):
            dealt[(turn + number) % hands].append((value, each + (number < rest)))
        turn = (turn + rest) % hands
    return dealt


def latencies(rng: random.Random, number: int, median: float, spread: float) -> list[tuple[float, int]]:
    """Draw lognormal latencies: seconds, to the microsecond, and how often.

    Where there are many they fall into bins of equal values, finer towards the slow end, so that a minute
    of a busy service is no longer than one of a quiet one.
    """
    if number <= SINGLE_LATENCIES:
        drawn = Counter(round(rng.lognormvariate(math.log(median), spread), 6) for _ in range(number))
        return sorted(drawn.items())
    values = []
    left, above = number, 1.0
    *bins, (slowest, _) = _bins()
    for score, chance in bins:
        count = rng.binomialvariate(left, chance / above) if left else 0
        values.append((score, count))
        left, above = left - count, above - chance
    values.append((slowest, left))
    return [(round(median * math.exp(spread * score), 6), count) for score, count in values if count]


@functools.cache
def _bins() -> tuple[tuple[float, float], ...]:
    """Return the bins: the standard score in the middle of each, and its probability."""
    # The percentiles people ask for (50, 90, 95, 99, 99.9) are in the middle of a bin: at an edge they would
    # jump from one value to the next by mere chance.
    edges = [
        0.0,
        *(0.01 + 0.02 * number for number in range(46)),
        *(0.91125 + 0.0025 * number for number in range(33)),
        *(0.9915 + 0.001 * number for number in range(9)),
        0.9999,
        1.0,
    ]
    normal = NormalDist()
    return tuple((normal.inv_cdf((low + high) / 2), high - low) for low, high in itertools.pairwise(edges))
