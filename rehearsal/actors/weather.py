"""Trouble at AWS: calls that fail, go unanswered or fall short, reads that lag, functions that die."""

import fnmatch
from collections.abc import Callable
from typing import Annotated, Literal, Self

from botocore.exceptions import ReadTimeoutError
from pydantic import Field, model_validator

from rehearsal.actors import Actor, actor
from rehearsal.aws.call import AwsError, Call
from rehearsal.aws.cloudwatch import Shortfall, fall_short
from rehearsal.aws.faults import Make, cut_short
from rehearsal.aws.ssm import ReadLag
from rehearsal.durations import Duration
from rehearsal.runtime import FunctionDied
from rehearsal.timing import Process
from rehearsal.world import HOOKS, World

# Errors of S3 have names and numbers of their own.
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
_OF_S3 = {
    "throttled": AwsError("SlowDown", "Please reduce your request rate.", 503),
    "denied": AwsError("AccessDenied", "Access Denied", 403),
}


def _says(how: str, error: AwsError) -> Make:
    """Answer with an error, or with S3's own."""
    return lambda call, _: _OF_S3.get(how, error) if call.service == "s3" else error


_MAKES: dict[str, Make] = {
    "throttled": _says("throttled", AwsError("ThrottlingException", "Rate exceeded")),
    "failing": _says(
        "failing", AwsError("InternalServerError", "An error occurred on the server side.", 500)
    ),
    "denied": _says("denied", AwsError("AccessDeniedException", "You do not have access to this resource.")),
    "unanswered": lambda call, _: ReadTimeoutError(endpoint_url=f"https://{call.service}"),
}
_METRIC_DATA = "cloudwatch:GetMetricData"
_WORKERS = "*:assumed-role/consumer-task"
_SHORT: dict[str, Literal["Complete", "PartialData", "InternalError"]] = {
    "partial": "PartialData",
    "internal-error": "InternalError",
    "late": "Complete",
}
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
    """Makes an AWS call go wrong for everybody of a kind who makes it; metrics can also fall short.

    With ``call: cloudwatch:GetMetricData`` there are three more ways, in which AWS answers 200: *partial*
    (PartialData: half of each series is missing, and no token leads to it), *internal-error*
    (InternalError: nothing of any series is there), and *late* (Complete, but without what was measured
    in the last *lateBy*; GetMetricStatistics misses it too, where *call* names it as well).
    """

    call: ApiCall
    how: Literal[
        "throttled", "failing", "denied", "unanswered", "garbled", "partial", "internal-error", "late"
    ] = Field(
        "throttled",
        description="unanswered: it takes effect, and the answer is lost; garbled: the answer breaks off; "
        "partial, internal-error, late: metrics that are incomplete",
    )
    late_by: Duration = Field(300.0, gt=0, description="late: how old metrics are before they can be read")
    whose: Literal["hooks", "workers", "blue", "green", "everybody"] = Field(
        "hooks", description="who makes it; blue and green are the workers of one revision"
    )
    after: Duration = 0.0
    lasts: Duration = 3600.0

    @model_validator(mode="after")
    def _is_a_way_of_this_call(self) -> Self:
        if self.how in _SHORT and not fnmatch.fnmatchcase(_METRIC_DATA.lower(), self.call.lower()):
            raise ValueError(f"only {_METRIC_DATA} can be {self.how}, not {self.call}")
        if "late_by" in self.model_fields_set and self.how != "late":
            raise ValueError(f"lateBy belongs to late, not to {self.how}")
        return self

    def run(self, world: World) -> Process:
        yield world.env.timeout(self.after)
        end = self._begin(world)
        suffix = "" if self.whose == "hooks" else f" for {self.whose}"
        world.spoke("AWS", f"{self.call} {self._manner()}{suffix}")
        yield world.env.timeout(self.lasts)
        end()
        world.spoke("AWS", f"{self.call} works again{suffix}")

    def _begin(self, world: World) -> Callable[[], None]:
        whose = _WHOSE[self.whose]
        if self.how == "garbled":
            fault = world.cloud.faults.add(action=self.call, identity=whose, alter=cut_short)
            return lambda: world.cloud.faults.remove(fault)
        return world.add_fault(self.call, self._make(), identity=whose, after=self.how == "unanswered")

    def _make(self) -> Make:
        if self.how not in _SHORT:
            return _MAKES[self.how]
        status = _SHORT[self.how]
        shortfall = Shortfall(status, self.late_by if self.how == "late" else 0.0)

        def make(call: Call, _identity: str) -> None:
            # It does not fail: it is answered, with less.
            fall_short(call, shortfall)

        return make

    def _manner(self) -> str:
        match self.how:
            case "late":
                return f"finds nothing of the last {self.late_by:g} s"
            case "partial" | "internal-error":
                return f"answers {_SHORT[self.how]}"
            case _:
                return f"is {self.how}"


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
