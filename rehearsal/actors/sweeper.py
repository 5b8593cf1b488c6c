"""The schedule that calls the approval hook's sweeper."""

from pydantic import Field

from rehearsal.actors import Actor, actor
from rehearsal.durations import Duration
from rehearsal.timing import Process
from rehearsal.world import World


@actor("sweeper")
class Sweeper(Actor):
    """Invokes the sweeper once, some time after the deployment has ended, and reports what it did."""

    after: Duration = Field(3600.0, description="from the end of the deployment")

    def run(self, world: World) -> Process:
        yield world.machine.ended
        yield world.env.timeout(self.after)
        swept = world.invoke_sweeper()
        if swept is None:
            world.spoke("sweeper", "fails; its log says why")
        else:
            world.spoke("sweeper", f"closes {swept['closed']} and removes {swept['removed']} requests")
