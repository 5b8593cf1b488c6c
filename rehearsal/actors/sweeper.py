"""The schedule that calls the approval hook's sweeper."""

from pydantic import Field

from rehearsal.actors import Actor, actor
from rehearsal.durations import Duration
from rehearsal.timing import Process
from rehearsal.world import World

# What the sweeper counts, in words.
_WORDS = {
    "carriedOut": "tells ECS what was decided on {}",
    "told": "reminds people of {}",
    "archived": "moves {} to the history",
    "forgotten": "forgets {}",
    "putOff": "leaves {} to the next sweep",
}


@actor("sweeper")
class Sweeper(Actor):
    """Invokes the sweeper once, some time after the deployment has ended, and reports what it did."""

    after: Duration = Field(3600.0, description="from the end of the deployment")
    every: Duration | None = Field(None, description="how often it sweeps before that; without it never")

    def run(self, world: World) -> Process:
        while self.every and world.machine.process.is_alive:
            yield world.machine.ended | world.env.timeout(self.every)
            if world.machine.process.is_alive:
                self._sweep(world, quiet=True)
        yield world.machine.ended
        yield world.env.timeout(self.after)
        self._sweep(world)

    @staticmethod
    def _sweep(world: World, *, quiet: bool = False) -> None:
        counts = world.invoke_sweeper()
        if counts is None:
            world.spoke("sweeper", "fails; its log says why")
            return
        done = [
            words.format(f"{counts[key]} request{'s' if counts[key] > 1 else ''}")
            for key, words in _WORDS.items()
            if counts[key]
        ]
        if done or not quiet:
            world.spoke("sweeper", ", ".join(done) or "finds nothing to do")
