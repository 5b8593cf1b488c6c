"""Trouble at AWS: calls of the hooks that are throttled, fail or are denied for a while."""

from typing import Literal

from pydantic import Field

from rehearsal.actors import Actor, actor
from rehearsal.durations import Duration
from rehearsal.timing import Process
from rehearsal.world import World

_ERRORS = {
    "throttled": ("ThrottlingException", 400),
    "failing": ("InternalServerError", 500),
    "denied": ("AccessDeniedException", 400),
}


@actor("trouble")
class Trouble(Actor):
    """Makes an AWS call go wrong for everybody who makes it."""

    call: str = Field(
        pattern=r"^[a-z0-9]+:[A-Za-z*]+$", description="such as ssm:GetParameter, or ssm:* for all"
    )
    how: Literal["throttled", "failing", "denied"] = "throttled"
    after: Duration = 0.0
    lasts: Duration = 3600.0

    def run(self, world: World) -> Process:
        yield world.env.timeout(self.after)
        code, status = _ERRORS[self.how]
        end = world.add_fault(self.call, code, status)
        world.spoke("AWS", f"{self.call} is {self.how}")
        yield world.env.timeout(self.lasts)
        end()
        world.spoke("AWS", f"{self.call} works again")
