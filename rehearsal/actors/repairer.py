"""The schedule that calls the repair of consumer activation."""

from pydantic import Field

from rehearsal.actors import Actor, actor
from rehearsal.durations import Duration
from rehearsal.timing import Process
from rehearsal.world import World


@actor("repairer")
class Repairer(Actor):
    """Invokes the repair of who may consume again and again once the deployment has ended."""

    every: Duration = Field(300.0, description="from the end of the deployment on")
    times: int = Field(3, ge=1, le=1000)

    def run(self, world: World) -> Process:
        yield world.machine.ended
        for _ in range(self.times):
            yield world.env.timeout(self.every)
            counts = world.invoke_repair()
            if counts is None:
                world.spoke("repairer", "fails; its log says why")
            else:
                done = ", ".join(f"{outcome} {number}" for outcome, number in counts.items() if number)
                world.spoke("repairer", f"services: {done or 'none'}")
