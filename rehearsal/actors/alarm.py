"""A CloudWatch alarm of the deployment that goes off."""

from typing import Literal

from pydantic import Field

from rehearsal.actors import Actor, actor
from rehearsal.durations import Duration
from rehearsal.outcome import Happening, HookCalled, StageEntered
from rehearsal.timing import Process
from rehearsal.world import World


@actor("alarm")
class Alarm(Actor):
    """Goes off some time after the start, after a stage was entered, or after a hook was first called."""

    name: str = "green-5xx"
    after: Duration = 0.0
    since: Literal["start", "stage", "hook"] = "start"
    stage: str | None = Field(None, description="since stage or hook: which stage")

    def run(self, world: World) -> Process:
        if self.since != "start":
            reached = world.env.event()

            def listen(happening: Happening) -> None:
                kind = StageEntered if self.since == "stage" else HookCalled
                if (
                    isinstance(happening, kind)
                    and self.stage in (None, happening.stage)
                    and not reached.triggered
                ):
                    reached.succeed()

            world.listeners.append(listen)
            yield reached
        yield world.env.timeout(self.after)
        effect = "" if world.machine.sound_alarm(self.name) else ", and nobody listens any more"
        world.spoke("CloudWatch", f"alarm {self.name} goes off{effect}")
