"""Both revisions of the service as real servers on this machine, and a router in front of them."""

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from rehearsal.actors import Actor, actor
from rehearsal.durations import Duration
from rehearsal.loopback import LOOPBACK, Behaviour, Loopback
from rehearsal.model import TEST_HEADER, ServiceRevision
from rehearsal.outcome import Happening, WeightsChanged
from rehearsal.timing import Process
from rehearsal.world import World


class Answers(BaseModel):
    """How a revision answers."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)

    latency: float = Field(0.01, ge=0, le=60, description="in seconds")
    errors: float = Field(0.0, ge=0, le=1, description="share answered with status 503")
    slow: tuple[float, float] | None = Field(
        None, description="a share of the requests, and how many seconds these take"
    )
    stall: tuple[Duration, Duration] | None = Field(
        None, description="nothing is answered for the last so long of every so long"
    )
    refuses: bool = Field(False, description="whether it takes no connection")

    def behaviour(self, revision: ServiceRevision) -> Behaviour:
        return Behaviour(
            revision=revision.task_definition.rpartition("/")[2],
            latency_seconds=self.latency,
            errors=self.errors,
            slow=self.slow,
            stall=self.stall,
            refuse=self.refuses,
        )


@actor("servers")
class Servers(Actor):
    """Serves blue and green on this machine, by the weights of traffic; on the real clock only."""

    blue: Answers = Answers()
    green: Answers = Answers()

    @property
    def is_real(self) -> bool:
        return True

    def run(self, world: World) -> Process:
        plane, deployment = world.cloud.control_plane, world.machine.deployment
        green = plane.revisions[str(deployment.target.arn)]
        blue = world.deployed.active[-1] if world.deployed.active else green
        loopback = world.closing.enter_context(
            Loopback(header=TEST_HEADER, blue=self.blue.behaviour(blue), green=self.green.behaviour(green))
        )
        port = int(loopback.url.rpartition(":")[2])
        world.deployed.answer_at(LOOPBACK, port)
        world.spoke("servers", f"blue, green and what leads to them listen at {loopback.url}")

        def move(happening: Happening) -> None:
            if isinstance(happening, WeightsChanged) and happening.route == "production":
                loopback.weigh(happening.green)

        world.listeners.append(move)
        yield world.env.timeout(0)
