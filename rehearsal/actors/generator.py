"""The load generator's service, in the namespace: the agent that takes runs off the hook's queue."""

import contextlib
import logging
import random
import re
from collections.abc import Iterator, Mapping
from typing import Literal

from load_generator.agent import Agent
from load_generator.job import Limits
from moto.sqs.models import Queue, sqs_backends
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from rehearsal import load_channel
from rehearsal.actors import Actor, actor
from rehearsal.aws.elbv2 import TEST_PORT
from rehearsal.durations import Duration
from rehearsal.generator_process import GeneratorProcess, latest_progress, line_of
from rehearsal.model import JsonObject
from rehearsal.simulated_load import Answerer, Manner, Route, SimulatedEngine, Surroundings
from rehearsal.timing import Process
from rehearsal.world import World

ROLE = "load-generator-task"

# The agent would look every two seconds. What a rehearsal costs is mostly these looks, and what is read of
# them is a call of the hook every twenty.
LOOK_SECONDS = 5.0

# The agent writes every two seconds how a run stands.
REAL_LOOK_SECONDS = 1.0

LIBRARY_LOGGER = "load_generator"

# The hook calls its runs after deployment, revision and attempt.
_RUN = re.compile(r"\b[A-Za-z0-9]{21}-(?P<revision>\d{19})-(?P<attempt>\d)\b")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)


class Blue(_Part):
    """How a healthy revision answers."""

    latency: float = Field(0.05, gt=0, le=3600, description="median, in seconds")
    spread: float = Field(0.6, ge=0, le=5, description="sigma of the lognormal latency")
    errors: float = Field(0.002, ge=0, le=1, description="share of its answers that are errors")


class Stalls(_Part):
    """Times in which nothing is answered."""

    every: Duration = Field(10.0, gt=0)
    lasts: Duration = 1.0


class Green(_Part):
    """How green differs."""

    latency_factor: float = Field(1.0, gt=0, le=1000, description="how many times slower its answers are")
    errors: float | None = Field(None, ge=0, le=1, description="share of errors; null: as blue")
    refuses: bool = Field(False, description="whether nothing of it listens")
    stalls: Stalls | None = Field(None, description="times in which it answers nothing")
    wrong_revision: float = Field(
        0.0, ge=0, le=1, description="share of the requests to it that blue answers"
    )
    after: Duration = Field(0.0, description="how long after the load's beginning this begins")


class BlueSuffers(_Part):
    """What the load does to production."""

    errors: float = Field(0.2, ge=0, le=1)
    latency_factor: float = Field(1.0, gt=0, le=1000)
    after: Duration = Field(60.0, description="how long after the load's beginning")


class LosesWorker(_Part):
    """One of the processes that send is gone, in the first run."""

    after: Duration = Field(60.0, description="how long after the load's beginning")


class Dies(_Part):
    """The generator's task is killed in its first run, and ECS starts another."""

    after: Duration = Field(60.0, description="how long after the load's beginning")
    restarts_after: Duration = 30.0


@actor("generator")
class Generator(Actor):
    """Takes runs off the load test hook's queue, and says how they go."""

    engine: Literal["simulated", "locust"] = Field(
        "simulated",
        description="locust: the generator's own processes send to the servers actor's, on the real clock",
    )
    workers: int = Field(2, ge=1, le=16, description="processes that send")
    starts_after: Duration = Field(0.0, description="from the start of the scenario")
    preflight: Duration = Field(4.0, description="what a run takes before its load begins")
    blue: Blue = Blue()
    green: Green = Green()
    blue_suffers: BlueSuffers | None = None
    lag: float = Field(0.001, ge=0, le=60, description="how late requests leave on average, in seconds")
    loses_worker: LosesWorker | None = None
    dies: Dies | None = None
    targets: tuple[str, ...] | None = Field(
        None, description="LOAD_TARGETS of its operator; absent: the rehearsed service"
    )
    max_rate: float = Field(100.0, ge=0, description="LOAD_MAX_RATE of its operator")
    max_blue_rate: float = Field(20.0, ge=0, description="LOAD_MAX_BLUE_RATE of its operator")

    @property
    def is_real(self) -> bool:
        return self.engine == "locust"

    def run(self, world: World) -> Process:
        yield world.env.timeout(self.starts_after)
        yield from self._run_real(world) if self.is_real else self._run_simulated(world)

    def _run_real(self, world: World) -> Process:
        """Have the generator's own processes take runs, and say each second or so how they stand."""
        channel = load_channel.variables()
        variables = {
            **channel,
            **world.cloud.credentials(ROLE, "1", [_document()]),
            "AWS_ENDPOINT_URL": world.serve_aws(),
            "LOAD_TARGETS": ",".join(self.targets or addresses(world)),
            "LOAD_MAX_RATE": f"{self.max_rate:g}",
            "LOAD_MAX_BLUE_RATE": f"{self.max_blue_rate:g}",
            "LOAD_WORKERS": str(self.workers),
        }

        def said(line: str) -> None:
            world.env.post(lambda: world.spoke("generator", told(line, world)))

        process = world.closing.enter_context(GeneratorProcess(variables, said))
        s3 = world.cloud.client("s3", user="admin")
        last = ""
        while not world.is_over:
            yield world.env.timeout(REAL_LOOK_SECONDS)
            if process.exit_status is not None:
                world.spoke("generator", f"has ended with status {process.exit_status}: {process.last_line}")
                return
            snapshot = latest_progress(s3, channel["LOAD_BUCKET"])
            if snapshot is not None and (line := line_of(snapshot)) not in {"", last}:
                world.spoke("generator", line)
                last = line

    def _run_simulated(self, world: World) -> Process:
        world.closing.enter_context(_telling(world))
        name = load_channel.variables()["LOAD_QUEUE_URL"].rpartition("/")[2]
        queue = sqs_backends[world.cloud.account][world.cloud.region].queues[name]
        rng = random.Random(world.rng.getrandbits(64))  # noqa: S311  # not for secrets
        first = self._engine(world, rng, loses=self.loses_worker)
        yield from self._work(world, self._agent(world, first, "1"), queue, first)
        if self.dies is not None and not world.is_over:
            world.spoke("generator", "its task is killed in the middle of the run")
            yield world.env.timeout(self.dies.restarts_after)
            world.spoke("generator", "another task of it runs")
            second = self._engine(world, rng, loses=None)
            yield from self._work(world, self._agent(world, second, "2"), queue, None)

    def _work(self, world: World, agent: Agent, queue: Queue, mortal: SimulatedEngine | None) -> Process:
        """Step the agent until nothing is left to do, or until it dies."""
        while not world.is_over or agent.is_busy or _has_messages(queue):
            # An agent that waits for a message costs nothing while there is none.
            if agent.is_busy or queue.approximate_number_of_messages:
                agent.step()
            if self.dies and mortal and agent.is_busy and mortal.load_seconds >= self.dies.after:
                return
            yield world.env.timeout(LOOK_SECONDS)

    def _agent(self, world: World, engine: SimulatedEngine, name: str) -> Agent:
        channel = load_channel.variables()
        policy = load_channel.generator_policy()
        return Agent(
            queue_url=channel["LOAD_QUEUE_URL"],
            bucket=channel["LOAD_BUCKET"],
            limits=self._limits(world),
            engine=engine,
            sqs=world.client_of("sqs", ROLE, name, policy),
            s3=world.client_of("s3", ROLE, name, policy),
            name=name,
            now=world.now,
            # A call that waited would stop all the world.
            wait_seconds=0,
        )

    def _limits(self, world: World) -> Limits:
        return Limits(
            targets=self.targets or addresses(world),
            max_rate=self.max_rate,
            max_blue_rate=self.max_blue_rate,
        )

    def _engine(self, world: World, rng: random.Random, loses: LosesWorker | None) -> SimulatedEngine:
        return SimulatedEngine(
            Surroundings(
                clock=lambda: world.env.now,
                route=_route(world),
                manner=self._manner,
                rng=rng,
                limits=self._limits(world),
                workers=self.workers,
                preflight_seconds=self.preflight,
                lag_seconds=self.lag,
                loses_worker_after=loses.after if loses else None,
            )
        )

    def _manner(self, colour: str, seconds: float) -> Manner:
        blue, green, suffers = self.blue, self.green, self.blue_suffers
        if colour == "blue":
            if suffers is None or seconds < suffers.after:
                return Manner(latency_seconds=blue.latency, spread=blue.spread, errors=blue.errors)
            latency = blue.latency * suffers.latency_factor
            return Manner(latency_seconds=latency, spread=blue.spread, errors=suffers.errors)
        if seconds < green.after:
            return Manner(latency_seconds=blue.latency, spread=blue.spread, errors=blue.errors)
        return Manner(
            latency_seconds=blue.latency * green.latency_factor,
            spread=blue.spread,
            errors=blue.errors if green.errors is None else green.errors,
            refuses=green.refuses,
            stall=(green.stalls.lasts, green.stalls.every) if green.stalls else None,
            wrong_revision=green.wrong_revision,
        )


def _document() -> JsonObject:
    return {"Version": "2012-10-17", "Statement": list(load_channel.generator_policy())}


def addresses(world: World) -> tuple[str, ...]:
    """Return where the service is reached, as ``LOAD_TARGETS`` has it."""
    host, port = world.deployed.address
    balancer = f"{world.service.cluster}-*.elb.amazonaws.com:{TEST_PORT}"
    return (f"{host}:{port}", balancer)


def _has_messages(queue: Queue) -> bool:
    return bool(queue.approximate_number_of_messages or queue.approximate_number_of_messages_not_visible)


def _route(world: World) -> Route:
    """Return what leads requests to revisions: by the test header, and by where traffic is at that moment."""
    name, value = world.deployed.test_header

    def lead(headers: Mapping[str, str]) -> Answerer:
        deployment, plane = world.machine.deployment, world.cloud.control_plane
        is_test = any(key.lower() == name.lower() and given == value for key, given in headers.items())
        serving = next((one for one in deployment.sources if one.production_weight), deployment.target)
        reached = deployment.target if is_test and deployment.target.test_weight else serving
        other = serving if reached is deployment.target else deployment.target
        # As services are asked to name themselves in answers: family:revision.
        marker, other_marker = (
            plane.revisions[str(one.arn)].task_definition.rpartition("/")[2] for one in (reached, other)
        )
        return Answerer("green" if reached is deployment.target else "blue", marker, other_marker)

    return lead


@contextlib.contextmanager
def _telling(world: World) -> Iterator[None]:
    """Let the timeline say what the agent logs, and nothing else."""
    logger = logging.getLogger(LIBRARY_LOGGER)
    before = logger.propagate, logger.level
    handler = _Timeline(world)
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.propagate, logger.level = before
        logger.removeHandler(handler)


class _Timeline(logging.Handler):
    """Says what is logged, with names of runs that people can tell apart."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        self._world.spoke("generator", told(record.getMessage(), self._world))


def told(line: str, world: World) -> str:
    """Return a line of the agent's log with runs called by their number."""
    revisions = world.cloud.control_plane.revisions.values()
    colours = {revision.arn.id: world.colour(revision.arn) for revision in revisions}

    def name(found: re.Match[str]) -> str:
        colour = colours.get(found["revision"], "green")
        return found["attempt"] if colour == "green" else f"{found['attempt']} of {colour}"

    return _RUN.sub(name, line).strip()
