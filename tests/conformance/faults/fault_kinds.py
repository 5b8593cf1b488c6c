"""The ways in which one AWS call goes wrong: the columns of the fault matrix.

========  ============================================================================================
throttle  AWS answers that there are too many requests; the call has no effect
5xx       AWS answers that it is at fault itself; the call has no effect
time-out  the call takes effect, and its answer is lost
hang      nothing is ever answered, and the function's time runs out on it
denied    AWS answers that the role may not; the call has no effect
missing   AWS answers that what the call is about does not exist; the call has no effect
partial   of each list and map in the answer the second half is missing
stale     the answer is what the same question was answered last time
garbled   the answer breaks off in the middle
crash     the call takes effect, and the function's process dies
========  ============================================================================================
"""

import json
import signal
from collections.abc import Callable
from dataclasses import dataclass, field

from botocore.exceptions import ReadTimeoutError

from rehearsal.aws.call import AwsError, Call, Response
from rehearsal.aws.faults import cut_short, fall_short, not_found
from rehearsal.runtime import FunctionDied

# Errors of these services have names of their own.
_THROTTLED = {"s3": AwsError("SlowDown", "Please reduce your request rate.", 503)}
_DENIED = {
    "s3": AwsError("AccessDenied", "Access Denied", 403),
    "sns": AwsError("AuthorizationError", "You do not have access to this resource.", 403),
}


@dataclass(slots=True)
class Past:
    """What was answered before, for reads that lag behind."""

    answers: dict[tuple[str, str, str], Response] = field(default_factory=dict)

    def tell(self, call: Call, answer: Response) -> Response:
        """Return the answer that the same question got last time; this one where it was not asked yet."""
        status, headers, body = self.answers.get(self._question(call), answer)
        if (status, body) == (answer[0], answer[2]):
            return answer
        # It is given now, whenever it was true.
        return status, {name: value for name, value in headers.items() if name.lower() != "date"}, body

    def keep(self, call: Call, answer: Response) -> None:
        self.answers[self._question(call)] = answer

    @staticmethod
    def _question(call: Call) -> tuple[str, str, str]:
        return call.service, call.operation, repr(sorted(call.parameters.items()))


@dataclass(frozen=True, slots=True)
class Kind:
    """One way of going wrong: what happens before the call, after it, or to its answer."""

    name: str
    before: Callable[[Call], BaseException | None] = lambda _: None
    after: Callable[[Call], BaseException | None] = lambda _: None
    alter: Callable[[Call, Response, Past], Response] = lambda _call, answer, _past: answer
    crashes: bool = False
    """Whether the function is to die of it, and ECS to get no reply."""


def _until_time_is_up(_call: Call) -> BaseException:
    """Let the time budget of the function run out at once, as it does after so many seconds of silence."""
    if signal.getitimer(signal.ITIMER_REAL)[0]:
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.25)
        while True:
            signal.pause()
    # It keeps no budget, so Lambda ends it.
    return FunctionDied("Task timed out")


def _partial(call: Call, answer: Response, _past: Past) -> Response:
    if (call.service, call.operation) == ("cloudwatch", "GetMetricData"):
        # CloudWatch itself says that something is missing.
        return _partial_metrics(call, answer)
    return fall_short(call, answer)


def _partial_metrics(_call: Call, answer: Response) -> Response:
    status, headers, body = answer
    data = json.loads(body)
    for series in data.get("MetricDataResults", []):
        left = len(series["Timestamps"]) // 2
        series |= {
            "Timestamps": series["Timestamps"][:left],
            "Values": series["Values"][:left],
            "StatusCode": "PartialData",
        }
    return status, headers, json.dumps(data)


def _throttled(call: Call) -> AwsError:
    return _THROTTLED.get(call.service, AwsError("ThrottlingException", "Rate exceeded"))


def _denied(call: Call) -> AwsError:
    return _DENIED.get(
        call.service, AwsError("AccessDeniedException", "You do not have access to this resource.")
    )


KINDS = (
    Kind("throttle", before=_throttled),
    Kind("5xx", before=lambda _: AwsError("InternalServerError", "An error occurred on the server.", 500)),
    Kind("time-out", after=lambda call: ReadTimeoutError(endpoint_url=f"https://{call.service}")),
    Kind("hang", before=_until_time_is_up),
    Kind("denied", before=_denied),
    Kind("missing", before=not_found),
    Kind("partial", alter=_partial),
    Kind("stale", alter=lambda call, answer, past: past.tell(call, answer)),
    Kind("garbled", alter=lambda call, answer, _past: cut_short(call, answer)),
    Kind("crash", after=lambda _: FunctionDied("Runtime exited without providing a reason"), crashes=True),
)
