"""The service itself, as real processes: blue, green, and what leads requests to them."""

from datetime import datetime, timedelta
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator
from pydantic.alias_generators import to_camel

from rehearsal.actors import Actor, actor
from rehearsal.aws import target_group_metrics
from rehearsal.document import DocumentError
from rehearsal.durations import Duration
from rehearsal.loopback import LOOPBACK, Behaviour, Loopback
from rehearsal.loopback.applications import PREFIXES, Application, Service
from rehearsal.loopback.front import Front, RouterName, Rules, front
from rehearsal.loopback.front_log import Routed, by_minute
from rehearsal.loopback.program import Colour
from rehearsal.model import ServiceRevision
from rehearsal.outcome import Happening, WeightsChanged
from rehearsal.timing import Process
from rehearsal.world import World

MINUTE = timedelta(minutes=1)

# What is said of an application, and what is said of the servers that the rehearsal has itself.
_OF_APPLICATIONS = {"misbehave", "errors", "latency", "path"}
_OF_OWN = {"errors", "latency", "slow", "stall", "refuses"}


class Answers(BaseModel):
    """How a colour answers."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)

    misbehave: Literal["errors", "latency", "poison"] | None = Field(
        None, description="with app: what is wrong with this version"
    )
    path: str = Field(
        "/", pattern=r"^/[\x21-\x7e]{0,255}$", description="with app: what paths with the fault begin with"
    )
    latency: float = Field(
        0.01, ge=0, le=60, description="in seconds; with app: how much longer misbehave: latency takes"
    )
    errors: float = Field(
        0.0, ge=0, le=1, description="share answered with status 503; with app: misbehave: errors, with 500"
    )
    slow: tuple[float, float] | None = Field(
        None, description="a share of the requests, and how many seconds these take"
    )
    stall: tuple[Duration, Duration] | None = Field(
        None, description="nothing is answered for the last so long of every so long"
    )
    refuses: bool = Field(False, description="whether it takes no connection")

    def behaviour(self, revision: ServiceRevision) -> Behaviour:
        return Behaviour(
            revision=_marker(revision),
            latency_seconds=self.latency,
            errors=self.errors,
            slow=self.slow,
            stall=self.stall,
            refuse=self.refuses,
        )

    def fault(self) -> dict[str, str]:
        """Return the environment of an application that answers so."""
        if self.misbehave is None:
            return {}
        given = {"ERROR_SHARE": "errors", "LATENCY_SECONDS": "latency"}
        return {
            "MISBEHAVE": self.misbehave,
            "MISBEHAVE_PATH": self.path,
            **{
                name: f"{getattr(self, key):g}" for name, key in given.items() if key in self.model_fields_set
            },
        }


_HEALTHY = Answers()


@actor("servers")
class Servers(Actor):
    """Serves blue and green on this machine, by the weights of traffic; on the real clock only."""

    app: Service | None = Field(
        None,
        description="an application of examples/unicorn_watch, behind a load balancer's rules; its metrics "
        "are published",
    )
    router: RouterName | None = Field(
        None, description="with app: what leads to blue and green; HAProxy where it is installed"
    )
    published_after: Duration = Field(
        0.0, description="with app: from the end of a minute until its metrics are there"
    )
    blue: Answers = _HEALTHY
    green: Answers = _HEALTHY

    _front: Front | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _says_what_belongs_together(self) -> Self:
        known, other = (_OF_APPLICATIONS, "") if self.app else (_OF_OWN, "out")
        for colour in ("blue", "green"):
            said: set[str] = getattr(self, colour).model_fields_set
            if foreign := sorted(said - known):
                raise ValueError(f"{colour}.{foreign[0]} does not belong to servers with{other} app")
            if self.app and said and "misbehave" not in said:
                raise ValueError(f"{colour}: misbehave is missing; it says what is wrong")
        if not self.app and (foreign := sorted({"router", "published_after"} & self.model_fields_set)):
            raise ValueError(f"{to_camel(foreign[0])} does not belong to servers without app")
        return self

    @property
    def is_real(self) -> bool:
        return True

    @property
    def entrance(self) -> int | None:
        """The port at which visitors come in; ``None`` as long as there is none."""
        return None if self._front is None else self._front.listener_port

    def run(self, world: World) -> Process:
        colours = _revisions(world)
        if self.app is None:
            self._serve_own(world, colours)
        else:
            self._serve_app(world, self.app, colours)
        yield world.env.timeout(0)

    def _serve_own(self, world: World, colours: dict[Colour, ServiceRevision]) -> None:
        loopback = world.closing.enter_context(
            Loopback(
                header=colours["green"].test_header,
                blue=self.blue.behaviour(colours["blue"]),
                green=self.green.behaviour(colours["green"]),
            )
        )
        port = int(loopback.url.rpartition(":")[2])
        world.deployed.answer_at(LOOPBACK, port)
        world.spoke("servers", f"blue, green and what leads to them listen at {loopback.url}")

        def move(happening: Happening) -> None:
            if isinstance(happening, WeightsChanged) and happening.route == "production":
                loopback.weigh(happening.green)

        world.listeners.append(move)

    def _serve_app(self, world: World, app: Service, colours: dict[Colour, ServiceRevision]) -> None:
        exposure = world.scenario.service.exposure.split("+")
        if "alb" not in exposure:
            raise DocumentError(
                f"{world.scenario.name}: servers with app stand behind an Application Load Balancer; the "
                f"service's exposure is {world.scenario.service.exposure}"
            )
        try:
            leading = self._started(world, app, colours)
        except (RuntimeError, ValueError) as error:
            raise DocumentError(f"{world.scenario.name}: actor servers: {error}") from error
        self._front = leading
        if "service-connect" in exposure:
            world.deployed.answer_at(LOOPBACK, leading.namespace_port)
        world.spoke(
            "servers",
            f"{leading.name} at http://{LOOPBACK}:{leading.listener_port} leads to blue and green of {app}",
        )

        def move(happening: Happening) -> None:
            if isinstance(happening, WeightsChanged):
                leading.move(happening.route, happening.green)

        world.listeners.append(move)
        # Minutes go on for ever; whoever waits for actors to end must not wait for them.
        world.env.process(self._publish(world, leading, colours))

    def _started(self, world: World, app: Service, colours: dict[Colour, ServiceRevision]) -> Front:
        """Start the application twice, and what leads to both; all of it ends with the run."""
        lead = front(self.router)
        applications: dict[Colour, Application] = {
            colour: world.closing.enter_context(
                Application(
                    app,
                    revision=_marker(revision),
                    version=_marker(revision).rpartition(":")[2],
                    fault=answers.fault(),
                )
            )
            for (colour, revision), answers in zip(colours.items(), (self.blue, self.green), strict=True)
        }
        for application in applications.values():
            application.wait()
        ports = {colour: application.port for colour, application in applications.items()}
        rules = Rules(header=colours["green"].test_header, prefix=PREFIXES[app], ports=ports)
        return world.closing.enter_context(lead(rules))

    def _publish(self, world: World, leading: Front, colours: dict[Colour, ServiceRevision]) -> Process:
        """Publish each minute what the load balancer did in it, by its own log."""
        kept: list[Routed] = []
        until = world.now()
        while True:
            until = _end_of_minute(until)
            yield world.env.timeout((until - world.now()).total_seconds() + self.published_after)
            kept += leading.requests()
            over = [one for one in kept if one.minute < until]
            kept = [one for one in kept if one.minute >= until]
            for (minute, colour), seen in sorted(by_minute(over).items()):
                target_group_metrics.put_minute(
                    world.cloud,
                    colours[colour],
                    minute,
                    requests=seen.requests,
                    answers=seen.by_class,
                    connection_errors=seen.refused,
                    seconds=[
                        (milliseconds / 1000, count) for milliseconds, count in seen.response_ms.items()
                    ],
                )


def _end_of_minute(now: datetime) -> datetime:
    return now.replace(second=0, microsecond=0) + MINUTE


def _revisions(world: World) -> dict[Colour, ServiceRevision]:
    plane, deployment = world.cloud.control_plane, world.machine.deployment
    green = plane.revisions[str(deployment.target.arn)]
    return {"blue": world.deployed.active[-1] if world.deployed.active else green, "green": green}


def _marker(revision: ServiceRevision) -> str:
    """Return what a revision calls itself in its answers: FAMILY:REVISION."""
    return revision.task_definition.rpartition("/")[2]
