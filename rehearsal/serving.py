"""`rehearse serve`: the rehearsal's AWS over HTTP, with something in it to play along with.

An idle account, the deployments and queues of sample events (``--event``), or a scenario on the real clock
in which you play the approver with the AWS CLI.
"""

import contextlib
import dataclasses
import json
import signal
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType

from botocore.exceptions import ClientError

from rehearsal import load_channel
from rehearsal.aws.cloud import Cloud
from rehearsal.aws.identities import ALLOW_ALL
from rehearsal.aws.server import Server
from rehearsal.document import Document, DocumentError
from rehearsal.model import (
    ContainerImage,
    ControlPlane,
    HookRun,
    HookStatus,
    JsonObject,
    LifecycleHook,
    RevisionSummary,
    ServiceDeployment,
    ServiceRevision,
    Status,
    service_connect_configuration,
)
from rehearsal.report.timeline import Timeline
from rehearsal.scenario import Scenario, find
from rehearsal.world import PERSON, Rehearsal
from shared.errors import Misconfigured
from shared.lifecycle import LifecycleEvent, Stage

# An event does not say how long a canary's first step is to last: as long as where nothing is configured.
CANARY_BAKE_MINUTES = 10


def serve(scenario: str | None, events: Sequence[Path], host: str, port: int) -> int:
    """Serve until interrupted, or until the scenario has ended; returns the exit code."""
    chosen = Scenario.read(find(scenario)) if scenario else None
    payloads = [Document.read(file).data for file in events]
    with Rehearsal(clock="real", enforce_iam=False) as rehearsal, _server(rehearsal, host, port) as server:
        for payload in payloads:
            know(rehearsal.cloud.control_plane, payload)
            make_queue(rehearsal.cloud, payload)
            make_route(rehearsal.cloud.control_plane, payload)
        if payloads:
            load_channel.make(rehearsal.cloud)
        # Before the address is told, for whoever starts this may end it as soon as it knows.
        signal.signal(signal.SIGTERM, _end)
        # Of a person, so that what is written with them is not taken for the function's own.
        person = rehearsal.cloud.credentials(*PERSON)
        variables = {
            "AWS_ENDPOINT_URL": server.url,
            **person,
            **(load_channel.variables() if payloads else {}),
        }
        print(" ".join(f"{name}={value}" for name, value in variables.items()), flush=True)
        if chosen is None:
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()
            return 0
        with Timeline() as timeline:
            timeline.scenario_started(
                chosen.name,
                chosen.description,
                f"{chosen.service.name} in {chosen.service.cluster}",
                chosen.strategy.type,
                chosen.service.exposure,
                0,
                chosen.switches.model_dump(exclude_defaults=True),
            )
            outcome = rehearsal.run(chosen, saw=timeline.saw)
            timeline.scenario_ended(outcome)
        return 0 if outcome.as_expected else 1


def know(plane: ControlPlane, event: object) -> None:
    """Have ECS in the middle of the deployment that an event is about, if it is about one.

    The event does not always say what blue is. One is made up then, unless a weight map without any says
    that there is none. Nor does it say how traffic moves: weights that are split tell of a canary, whose two
    revisions are then behind a load balancer. What one event has told, a later one of the same deployment
    does not take back; how far the deployment is, the last one says.
    """
    try:
        call = LifecycleEvent.parse(event)
    except Misconfigured:
        _know_pause(plane, event)
        return
    now = datetime.now(UTC)
    target = call.target
    blue = {*call.production_weights, *call.test_weights} - {target}
    if not call.production_weights and not call.test_weights:
        blue = {dataclasses.replace(target, id="1")}
    for number, arn in enumerate((*blue, target), start=41):
        if str(arn) in plane.revisions:
            continue
        family = f"arn:aws:ecs:{arn.region}:{arn.account}:task-definition/{arn.service}"
        image = f"{arn.service}:{number}"
        plane.task_definitions[f"{family}:{number}"] = {
            "taskDefinitionArn": f"{family}:{number}",
            "family": arn.service,
            "revision": number,
            "status": "ACTIVE",
            "containerDefinitions": [{"name": "app", "image": image, "memory": 256, "essential": True}],
        }
        plane.revisions[str(arn)] = ServiceRevision(
            arn=arn,
            created_at=now,
            task_definition=f"{family}:{number}",
            container_images=[
                ContainerImage(container_name="app", image=image, image_digest=f"sha256:{number:064d}")
            ],
        )
    deployment = ServiceDeployment(
        arn=call.deployment,
        service=call.service,
        configuration={"strategy": "BLUE_GREEN"},
        sources=[RevisionSummary(arn=arn, running_task_count=2, production_weight=100.0) for arn in blue],
        target=RevisionSummary(arn=target, running_task_count=2, production_weight=0.0),
        created_at=now,
        started_at=now,
        status=Status.IN_PROGRESS,
        lifecycle_stage=call.stage_name,
    )
    known = plane.deployments.get(str(call.deployment))
    plane.deployments[str(call.deployment)] = deployment
    _split(plane, deployment, call, known.configuration if known else {})


def _know_pause(plane: ControlPlane, event: object) -> None:
    """Have ECS wait at the PAUSE hook that an event of EventBridge is about, for as long as it says."""
    match event:
        case {
            "time": str(time),
            "detail": {
                "eventName": "HOOK_AWAITING_ACTION",
                "hookId": str(hook_id),
                "expiresAt": str(expires_at),
                "lifecycleStage": str(stage),
                "serviceArn": str(service),
                "serviceDeploymentArn": str(deployment),
            },
        }:
            green = f"{service.replace(':service/', ':service-revision/')}/2"
            details = {"serviceArn": service, "targetServiceRevisionArn": green}
            know(plane, {"lifecycleStage": stage, "resourceArn": deployment, "executionDetails": details})
            lasts = datetime.fromisoformat(expires_at) - datetime.fromisoformat(time)
            plane.deployments[deployment].hook_runs.append(
                HookRun(
                    hook_id=hook_id,
                    hook=LifecycleHook(name="pause", stages=(Stage(stage),), target_type="PAUSE"),
                    stage=Stage(stage),
                    status=HookStatus.AWAITING_ACTION,
                    expires_at=datetime.now(UTC) + lasts,
                )
            )


def _split(
    plane: ControlPlane, deployment: ServiceDeployment, call: LifecycleEvent, known: JsonObject
) -> None:
    """Make a canary of the deployment, if its weights are split or were *known* to be."""
    share = call.production_weights.get(call.target, 0.0)
    if 0 < share < 100:
        canary = {"canaryPercent": share, "canaryBakeTimeInMinutes": CANARY_BAKE_MINUTES}
        deployment.configuration = {"strategy": "CANARY", "canaryConfiguration": canary}
    elif known.get("strategy") == "CANARY":
        deployment.configuration = known
    else:
        return
    # Time enough for the first step, before a call at a later one.
    deployment.created_at = deployment.started_at = deployment.created_at - 2 * timedelta(
        minutes=CANARY_BAKE_MINUTES
    )
    deployment.target.production_weight = share
    prefix = f"arn:{call.service.partition}:elasticloadbalancing:{call.service.region}:{call.service.account}"
    rule = f"app/{call.service.cluster}/50dc6c495c0c9188/f2f7dc8efc522ab2/9683b2d02a6cabee"
    groups = ("a/6d0ecf831eec9f09", *("b/73e2d6bc24d8a067",) * len(deployment.sources))
    for summary, group in zip((deployment.target, *deployment.sources), groups, strict=True):
        if summary is not deployment.target:
            summary.production_weight = call.production_weights.get(summary.arn, 100.0 - share)
        plane.revisions[str(summary.arn)].resolved_load_balancers = [
            {
                "targetGroupArn": f"{prefix}:targetgroup/{call.service.service}-{group}",
                "productionListenerRule": f"{prefix}:listener-rule/{rule}",
            }
        ]


def make_queue(cloud: Cloud, event: object) -> None:
    """Make the queue that an event's hookDetails name, if they name one, and one for its dead letters."""
    try:
        name = LifecycleEvent.parse(event).hook_details.get("queue")
    except Misconfigured:
        return
    if not isinstance(name, str):
        return
    stem, fifo, _ = name.partition(".fifo")
    kind = {"FifoQueue": "true"} if fifo else {}
    sqs = cloud.client("sqs", user="admin", policies=[ALLOW_ALL])
    # A name that no queue can have is for the hook to refuse.
    with contextlib.suppress(ClientError):
        dead = sqs.create_queue(QueueName=f"{stem}-dead{fifo}", Attributes=kind)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 5})
        sqs.create_queue(QueueName=name, Attributes={**kind, "RedrivePolicy": redrive})


def make_route(plane: ControlPlane, event: object) -> None:
    """Give the revisions the Service Connect port that an event's hookDetails name, if they name one."""
    try:
        call = LifecycleEvent.parse(event)
    except Misconfigured:
        return
    name = call.hook_details.get("portName")
    if not isinstance(name, str):
        return
    service = call.service
    for revision in plane.revisions.values():
        if revision.arn.belongs_to(service):
            revision.service_connect = service_connect_configuration(
                name, service.cluster, service.service, 8080
            )


@contextlib.contextmanager
def _server(rehearsal: Rehearsal, host: str, port: int) -> Iterator[Server]:
    with contextlib.ExitStack() as opened:
        try:
            server = opened.enter_context(Server(rehearsal.cloud, host, port))
        except (OSError, OverflowError) as error:
            raise DocumentError(f"{host}:{port}: {getattr(error, 'strerror', error)}") from error
        yield server


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
