"""Trouble at AWS: calls that fail or stay unanswered for a while, reads that lag, functions that die."""

from typing import Annotated, Literal

from botocore.exceptions import ReadTimeoutError
from pydantic import Field

from rehearsal.actors import Actor, actor
from rehearsal.aws.call import AwsError
from rehearsal.aws.faults import Make
from rehearsal.aws.ssm import ReadLag
from rehearsal.durations import Duration
from rehearsal.runtime import FunctionDied
from rehearsal.timing import Process
from rehearsal.world import HOOKS, World

_MAKES: dict[str, Make] = {
    "throttled": lambda *_: AwsError("ThrottlingException", "Rate exceeded"),
    "failing": lambda *_: AwsError("InternalServerError", "An error occurred on the server side.", 500),
    "denied": lambda *_: AwsError("AccessDeniedException", "You do not have access to this resource."),
    "unanswered": lambda call, _: ReadTimeoutError(endpoint_url=f"https://{call.service}"),
}
_WORKERS = "*:assumed-role/consumer-task"
_WHOSE = {
    "hooks": HOOKS,
    "workers": f"{_WORKERS}/*",
    "blue": f"{_WORKERS}/blue",
    "green": f"{_WORKERS}/green",
    "everybody": "*",
}

ApiCall = Annotated[
    str, Field(pattern=r"^[a-z0-9]+:[A-Za-z*]+$", description="such as ssm:GetParameter, or ssm:* for all")
]


@actor("trouble")
class Trouble(Actor):
    """Makes an AWS call go wrong for everybody of a kind who makes it."""

    call: ApiCall
    how: Literal["throttled", "failing", "denied", "unanswered"] = Field(
        "throttled", description="unanswered: it takes effect, and the answer is lost"
    )
    whose: Literal["hooks", "workers", "blue", "green", "everybody"] = Field(
        "hooks", description="who makes it; blue and green are the workers of one revision"
    )
    after: Duration = 0.0
    lasts: Duration = 3600.0

    def run(self, world: World) -> Process:
        yield world.env.timeout(self.after)
        end = world.add_fault(
            self.call, _MAKES[self.how], identity=_WHOSE[self.whose], after=self.how == "unanswered"
        )
        suffix = "" if self.whose == "hooks" else f" for {self.whose}"
        world.spoke("AWS", f"{self.call} is {self.how}{suffix}")
        yield world.env.timeout(self.lasts)
        end()
        world.spoke("AWS", f"{self.call} works again{suffix}")


@actor("lag")
class Lag(Actor):
    """Lets reads of Parameter Store find what was there before the latest write."""

    seconds: Duration = Field(3.0, description="for how long after a write")
    chance: float = Field(1.0, ge=0, le=1, description="that a read does")
    after: Duration = 0.0
    lasts: Duration = 3600.0

    def run(self, world: World) -> Process:
        yield world.env.timeout(self.after)
        world.cloud.parameters.read_lag = ReadLag(self.seconds, self.chance)
        world.spoke("AWS", f"reads of parameters lag {self.seconds:g} s behind")
        yield world.env.timeout(self.lasts)
        world.cloud.parameters.read_lag = None
        world.spoke("AWS", "reads of parameters are up to date again")


@actor("crash")
class Crash(Actor):
    """Ends the hooks' function in the middle of an AWS call; Lambda tells ECS that it failed."""

    # Where functions run in processes of their own, their connection to AWS breaks in its place.

    call: ApiCall = "ssm:PutParameter"
    moment: Literal["before", "after"] = Field("after", description="before or after the call takes effect")
    skip: int = Field(0, ge=0, description="how many such calls to let pass first")
    times: int = Field(1, ge=1)
    after: Duration = 0.0

    def run(self, world: World) -> Process:
        yield world.env.timeout(self.after)
        left = self.skip

        def make(*_: object) -> BaseException | None:
            nonlocal left
            left -= 1
            if left >= 0:
                return None
            world.spoke("Lambda", f"the function dies {self.moment} its call of {self.call}")
            return FunctionDied("Runtime exited without providing a reason")

        world.add_fault(self.call, make, times=self.times, after=self.moment == "after")
