"""What a sample event does not say: what stands in AWS when it arrives, and what happened before.

One function per hook, by the name of its folder in ``events/``; each brings about the situation of one event.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import time_machine

from hooks.consumer_activation.state import State
from rehearsal.aws.identities import ALLOW_ALL
from rehearsal.runtime import Invocation
from rehearsal.serving import make_queue
from shared.lifecycle import LifecycleEvent

from .conftest import EVENTS, Aws, read_event

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


SITUATIONS: Mapping[str, Callable[[str, object, Aws, Send], None]] = {
    "manual_approval": manual_approval,
    "consumer_activation": consumer_activation,
    "canary_comparison": canary_comparison,
}
