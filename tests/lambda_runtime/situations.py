"""What a sample event does not say: what stands in AWS when it arrives, and what happened before.

One function per hook, by the name of its folder in ``events/``; each brings about the situation of one event.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import time_machine
from load_generator.job import Job
from load_generator.snapshot import Counts, Snapshot
from load_generator.snapshot import State as RunState

from hooks.consumer_activation.state import State
from rehearsal import load_channel
from rehearsal.aws.cloud import ACCOUNT
from rehearsal.aws.ecr import Signing
from rehearsal.aws.identities import ALLOW_ALL
from rehearsal.model import ContainerImage
from rehearsal.runtime import Invocation
from rehearsal.serving import make_queue, make_route
from rehearsal.signing import Key, Profile, image
from shared.lifecycle import LifecycleEvent, Stage

from .conftest import EVENTS, REGION, Aws, read_event

Send = Callable[[], Invocation]
"""Sends the event to the function."""

# What a person answered after an earlier call had made the request.
ANSWERS = {"approved": "APPROVED", "rejected": "REJECTED"}


def manual_approval(name: str, event: object, aws: Aws, send: Send) -> None:
    """Have the request answered, where the situation is that it was."""
    if name not in ANSWERS:
        return
    asked = send()
    assert asked.reply["hookStatus"] == "IN_PROGRESS", asked
    ssm = aws.cloud.client("ssm", user="alice", policies=[ALLOW_ALL])
    for request in ssm.get_parameters_by_path(Path="/ecs-approvals", Recursive=True)["Parameters"]:
        ssm.put_parameter(Name=request["Name"], Value=ANSWERS[name], Overwrite=True)


def approval_pause(_name: str, _event: object, _aws: Aws, _send: Send) -> None:
    """Leave it at ECS waiting: that the event says."""


# Who is active, and how long the parameter has said so. "blue" and "green" stand for the revisions' ids.
_LONG = timedelta(days=2)
_NOW = timedelta()
_STANDS: Mapping[str, tuple[State, timedelta] | None] = {
    "first_deployment": None,
    "shift": (State(version=1, epoch=1, active="blue"), _LONG),
    "no_weights": (State(version=1, epoch=1, active=None, draining="blue"), _NOW),
    "draining": (State(version=1, epoch=1, active=None, draining="blue"), timedelta(minutes=2)),
    "watched": (State(version=1, epoch=1, active="green"), timedelta(minutes=6)),
    "split_weights": (State(version=1, epoch=1, active="blue"), _LONG),
    "rollback": (State(version=1, epoch=1, active="green"), timedelta(minutes=1)),
    "rollback_unseen": (State(version=1, epoch=1, active="blue"), _LONG),
    "repair": (State(version=1, epoch=1, active="8801652994063175203"), _LONG),
    "reconcile": (State(version=1, epoch=1, active="blue"), _LONG),
    "short_lease": (State(version=1, epoch=1, active="blue"), _LONG),
    "queue_missing": (State(version=1, epoch=1, active="blue"), _LONG),
}


def consumer_activation(name: str, event: object, aws: Aws, send: Send) -> None:
    """Write the parameter, and have a message in flight where work is still done."""
    if name != "queue_missing":
        make_queue(aws.cloud, event)
    call = LifecycleEvent.parse(event)
    if name == "draining":
        sqs = aws.cloud.client("sqs", user="admin", policies=[ALLOW_ALL])
        url = sqs.get_queue_url(QueueName=call.hook_details["queue"])["QueueUrl"]
        sqs.send_message(QueueUrl=url, MessageBody="a mail that takes its time")
        assert sqs.receive_message(QueueUrl=url, VisibilityTimeout=600)["Messages"]
    if (stands := _STANDS[name]) is None:
        return
    state, ago = stands
    sources = aws.cloud.control_plane.deployments[str(call.deployment)].sources
    ids = {"blue": sources[0].arn.id, "green": call.target.id}
    since = datetime.now(UTC) - ago
    written = replace(
        state,
        active=ids.get(str(state.active), state.active),
        draining=ids.get(str(state.draining)),
        since=since,
        released=since,
    )
    # Parameter Store dates a version itself.
    with time_machine.travel(since, tick=False):
        aws.cloud.client("ssm", user="admin", policies=[ALLOW_ALL]).put_parameter(
            Name=f"/ecs-consumers/{call.service.cluster}/{call.service.service}/consumers",
            Value=written.write(),
            Type="String",
        )


def canary_comparison(name: str, event: object, aws: Aws, send: Send) -> None:
    """Have ECS know the earlier step, and the load balancer report what both revisions have served."""
    if name == "look_back":
        # That it is a canary, the event of its first step says.
        for told in (read_event(EVENTS / "canary_comparison" / "first_call.json"), event):
            aws.deploy(told)
    call = LifecycleEvent.parse(event)
    deployment = aws.cloud.control_plane.deployments[str(call.deployment)]
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    failing = 50 if name == "worse" else 5
    for summary, minutes, errors in (
        (deployment.target, 20, failing),
        *((source, 90, 5) for source in deployment.sources),
    ):
        revision = aws.cloud.control_plane.revisions[str(summary.arn)]
        for balancer in revision.resolved_load_balancers or ():
            dimensions = {
                "LoadBalancer": "/".join(balancer["productionListenerRule"].split("/")[1:4]),
                "TargetGroup": balancer["targetGroupArn"].rpartition(":")[2],
            }
            for minute in range(minutes):
                values = {
                    "RequestCount": (1000.0, "Count"),
                    "HTTPCode_Target_5XX_Count": (float(errors), "Count"),
                    "TargetResponseTime": (0.05, "Seconds"),
                }
                at = now - timedelta(minutes=minute)
                aws.cloud.publish_metrics("AWS/ApplicationELB", dimensions, values, at)


def load_test(name: str, event: object, aws: Aws, send: Send) -> None:
    """Have a generator's queue and bucket, and what it has measured so far."""
    make_route(aws.cloud.control_plane, event)
    load_channel.make(aws.cloud)
    channel = load_channel.variables()
    if name not in {"under_way", "passed", "slower"}:
        return
    asked = send()
    assert asked.reply["hookStatus"] == "IN_PROGRESS", asked
    call = LifecycleEvent.parse(event)
    run = f"{call.deployment.id}-{call.target.id}-1"
    sqs = aws.cloud.client("sqs", user="admin", policies=[ALLOW_ALL])
    [message] = sqs.receive_message(QueueUrl=channel["LOAD_QUEUE_URL"])["Messages"]
    job = Job.read(message["Body"])
    slower = 1.5 if name == "slower" else 1.0
    until = job.seconds / 2 if name == "under_way" else job.seconds
    counts = Counts()
    for arm, factor in (("green", slower), ("blue", 1.0)):
        counted, due = counts.arm(arm), round(job.due(arm, until))
        counted.sent = counted.answered = due
        for number in range(due):
            # Evenly over all percentiles, from 20 to 120 ms.
            counted.latency.record(factor * (0.02 + 0.1 * number / due))
    snapshot = Snapshot(
        run=run,
        state=RunState.RUNNING if name == "under_way" else RunState.FINISHED,
        at=datetime.now(UTC),
        elapsed_seconds=until,
        due_seconds=until,
        workers=(2, 2, 0),
        preflight={"green": "catalog:42", "blue": "catalog:41"},
        counts=counts,
        due={arm: job.due(arm, until) for arm in job.shares},
    )
    kind = "result" if snapshot.state.is_final else "progress"
    aws.cloud.client("s3", user="admin", policies=[ALLOW_ALL]).put_object(
        Bucket=channel["LOAD_BUCKET"],
        Key=f"runs/{run}/{kind}.json",
        Body=json.dumps(snapshot.write()).encode(),
    )


def image_trust(name: str, event: object, aws: Aws, send: Send) -> None:
    """Have the image in ECR, what hangs on it and the policy, and what was admitted before it ran."""
    call, key, profile = LifecycleEvent.parse(event), Key("release"), Profile("ci", ACCOUNT, REGION)
    built, other = image("checkout 42"), image("checkout 42, built by somebody else")
    repository = aws.cloud.registries.repository("shop/checkout")
    hanging = () if name in {"unsigned", "being_signed"} else tuple(map(key.sign_under_tag, (built, other)))
    for artifact in (built, other, *hanging):
        repository.push(artifact.manifest, artifact.media_type, tag=artifact.tag, blobs=artifact.blobs)
    repository.tags["42"] = built.digest
    runs_by_tag = call.stage is Stage.POST_SCALE_UP
    if name == "being_signed":
        repository.signings[built.digest] = {profile.arn: Signing("IN_PROGRESS")}
    plane = aws.cloud.control_plane
    revision = plane.revisions[str(call.target)]
    reference = f"{repository.uri}:42" if runs_by_tag else f"{repository.uri}@{built.digest}"
    started = {"moved": other.digest, "running": built.digest}.get(name)
    revision.container_images = [ContainerImage(container_name="app", image=reference, image_digest=started)]
    plane.task_definitions[revision.task_definition] = {
        "taskDefinitionArn": revision.task_definition,
        "containerDefinitions": [{"name": "app", "image": reference, "memory": 256, "essential": True}],
    }
    signed = (
        {"awsSigner": {"profiles": [profile.arn]}}
        if name == "being_signed"
        else {"cosign": {"key": "release"}}
    )
    policy = {
        "version": 1,
        "name": "production",
        "trust": {"keys": {"release": {"pem": key.pem}}},
        "references": {"requireDigest": not runs_by_tag},
        "rules": [{"name": "ours", "match": {"images": [f"{repository.host}/shop/**"]}, "require": signed}],
    }
    admitted = {"version": 1, "revision": str(call.target), "digests": {"app": built.digest}}
    ssm = aws.cloud.client("ssm", user="admin", policies=[ALLOW_ALL])
    for parameter, value in (("policy", policy), ("bindings/shop/checkout", admitted)):
        ssm.put_parameter(Name=f"/ecs-image-trust/{parameter}", Value=json.dumps(value), Type="String")


def smoke_test(_name: str, _event: object, _aws: Aws, _send: Send) -> None:
    """Leave it at nobody listening: a server on this machine would be another one for a container."""


VARIABLES: Mapping[str, Mapping[str, str]] = {
    # Without a policy nobody is asked. An address that is never asked, not even by policy.
    "smoke_test": {"HOOK_POLICY": json.dumps({"allowedHosts": ["localhost:9", "169.254.169.254"]})},
}
"""What a function's environment has besides, by the folder of its events."""

SITUATIONS: Mapping[str, Callable[[str, object, Aws, Send], None]] = {
    "approval_pause": approval_pause,
    "manual_approval": manual_approval,
    "consumer_activation": consumer_activation,
    "canary_comparison": canary_comparison,
    "image_trust": image_trust,
    "load_test": load_test,
    "smoke_test": smoke_test,
}
