"""Let Amazon ECS call a hook function that was written for CodeDeploy, its code unchanged.

::

    ECS ──▶ adapt(...) ──▶ {"DeploymentId", "LifecycleEventHookExecutionId"} ──▶ the old function
     ▲                                                                                │
     │                       codedeploy.put_lifecycle_event_hook_execution_status ◀───┘
     │                                      │ caught before it is sent
     └── SUCCEEDED | FAILED ◀── verdict ◀───┘

CodeDeploy hears from a function by a call of its API, ECS by what the function returns. So the call is
caught in botocore, on its way to AWS, and its status becomes the answer.

What ECS hears is SUCCEEDED only where the function returned, and every report it made was ``Succeeded`` and
about this very call. Anything else is FAILED: no report, another status, an exception, no time left. A
rollback call is answered SUCCEEDED without the function, which knows of none.

Sources: https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-hooks.html
and https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_PutLifecycleEventHookExecutionStatus.html
"""

import contextlib
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from botocore import handlers
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from shared.errors import shown
from shared.hook import Call, LambdaContext, lifecycle_hook, logger
from shared.lifecycle import Stage
from shared.response import Proceed, Refuse, Result
from shared.settings import Settings

SUCCEEDED = "Succeeded"
CAUGHT = "before-call.codedeploy.PutLifecycleEventHookExecutionStatus"

# Of different reports at most one is right, so the verdict is clear long before; a function that reports in
# a loop, or sends a file for a status, fills no log.
MAX_REPORTS = 20
MAX_CHARACTERS = 500

OldFunction = Callable[[dict[str, str], LambdaContext], object]


@dataclass(frozen=True, slots=True)
class Report:
    """One call of PutLifecycleEventHookExecutionStatus, as it would have been sent."""

    deployment: str
    execution: str
    status: str


@dataclass(slots=True)
class Run:
    """One call of the old function, and what came of it."""

    deployment: str
    execution: str
    reports: list[Report] = field(default_factory=list)
    """What it reported, each once."""
    error: str = ""
    """How the function ended other than by returning."""


class _Desk:
    """Where reports arrive. Lambda runs one call at a time in an environment."""

    run: Run | None = None
    context: LambdaContext | None = None


def adapt(function: str, *, stages: Sequence[Stage] = tuple(Stage)) -> Callable[[object, LambdaContext], Any]:
    """Make a Lambda handler for ECS of a handler that was written for CodeDeploy.

    Parameters
    ----------
    function
        Module and name, such as ``"validate_checkout.handler"``. It is imported here, and nowhere before:
        clients that it makes while it is imported must already be listened to.
    stages
        Where the hook may be attached.

    Examples
    --------
    >>> handler = adapt("validate_checkout.handler", stages=[Stage.POST_TEST_TRAFFIC_SHIFT])
    """
    listen()
    module, _, name = function.rpartition(".")
    old: OldFunction = getattr(importlib.import_module(module), name)

    @lifecycle_hook("from_codedeploy", stages=set(stages), settings=Settings, policy=Settings, replay=replay)
    def hook(call: Call[Settings, Settings]) -> Result:
        run = _called(old, call)
        call.evidence.inputs = {"function": function, "run": asdict(run)}
        # It ran, whatever it did: that is worth a record.
        call.evidence.changes = [f"called {function}"]
        return verdict(function, run)

    def handler(event: object, context: LambdaContext) -> dict[str, Any]:
        before, _Desk.context = _Desk.context, context
        try:
            return hook(event, context)
        finally:
            _Desk.context = before

    return handler


def verdict(function: str, run: Run) -> Result:
    """Say what ECS is told of a call of *function*."""
    if run.error:
        return Refuse(f"{function} {run.error}")
    if not run.reports:
        return Refuse(
            f"{function} returned and had not called PutLifecycleEventHookExecutionStatus. If somebody else "
            "was to do so later: ECS can't hear that, and the adapter's README.md says what to do"
        )
    for report in run.reports:
        if (report.deployment, report.execution) != (run.deployment, run.execution):
            return Refuse(
                f"{function} reported on another call: DeploymentId {shown(report.deployment)} and "
                f"LifecycleEventHookExecutionId {shown(report.execution)}, expected {run.deployment!r} and "
                f"{run.execution!r}"
            )
        if report.status != SUCCEEDED:
            return Refuse(f"{function} reported {shown(report.status)}")
    return Proceed(f"{function} reported {SUCCEEDED}")


def replay(inputs: Mapping[str, Any]) -> Result:
    """Compute the verdict again from a decision record's inputs."""
    run = inputs["run"]
    reports = [Report(**report) for report in run["reports"]]
    return verdict(inputs["function"], Run(run["deployment"], run["execution"], reports, run["error"]))


def listen() -> None:
    """Have every AWS client of a session that is made from now on give up its reports to this module.

    botocore registers these handlers with each session, and copies them to each client: boto3's default
    session, one of the function's own, and botocore's alike. A client is missed only if its session was
    made before; its report is then refused by IAM, as the role allows no action of CodeDeploy.
    """
    if (CAUGHT, _catch) not in handlers.BUILTIN_HANDLERS:
        handlers.BUILTIN_HANDLERS.append((CAUGHT, _catch))
        handlers.BUILTIN_HANDLERS.append((CAUGHT.replace("before-call", "provide-client-params"), _remember))


def _remember(params: Mapping[str, Any], context: dict[str, Any], **_: object) -> None:
    """Keep what the function passed: later it is bytes in the protocol of the day."""
    keys = ("deploymentId", "lifecycleEventHookExecutionId", "status")
    context["codedeploy_adapter"] = Report(*(str(params.get(key, ""))[:MAX_CHARACTERS] for key in keys))


def _catch(context: dict[str, Any], **_: object) -> tuple[AWSResponse, dict[str, Any]]:
    """Take a report, and answer for CodeDeploy. That anything is returned keeps botocore from sending it."""
    report: Report = context["codedeploy_adapter"]
    if _Desk.run is None:
        # From a thread that outlived its call, or while the module was imported.
        logger.warning(f"dropped a report of {shown(report.status)} that came outside of any call")
    elif report not in _Desk.run.reports and len(_Desk.run.reports) < MAX_REPORTS:
        _Desk.run.reports.append(report)
    answer = {
        "lifecycleEventHookExecutionId": report.execution,
        "ResponseMetadata": {"HTTPStatusCode": 200, "HTTPHeaders": {}, "RetryAttempts": 0},
    }
    return AWSResponse("https://codedeploy.invalid", 200, HTTPHeaders(), b""), answer


def _called(old: OldFunction, call: Call[Settings, Settings]) -> Run:
    event = call.event
    # Opaque to the function, as CodeDeploy's own are; for people, they say what they are.
    place = "/".join(filter(None, (event.stage_name, event.step)))
    run = Run(event.deployment.id, f"{event.deployment.id}/{place}")
    context = _Desk.context
    assert context is not None
    with _heard(run):
        try:
            old({"DeploymentId": run.deployment, "LifecycleEventHookExecutionId": run.execution}, context)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever it raises, it has not validated
            run.error = f"raised {type(error).__name__}: {shown(str(error))}"
            logger.exception("the function that was written for CodeDeploy raised")
        # What interrupts it when the time is up, which the decorator would answer with IN_PROGRESS. But the
        # function was made to be called once, so it is not called again in the hope that it is quicker.
        except BaseException:  # noqa: BLE001  # that one is the decorator's own
            run.error = "was interrupted: the time-out of the Lambda function was near"
            logger.exception("the function that was written for CodeDeploy was interrupted")
    return run


@contextlib.contextmanager
def _heard(run: Run) -> Iterator[None]:
    before, _Desk.run = _Desk.run, run
    try:
        yield
    finally:
        _Desk.run = before
