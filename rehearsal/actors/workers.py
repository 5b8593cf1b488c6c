"""The service's tasks at their queue, with the worker library in them."""

import random
from datetime import timedelta
from typing import Annotated, Any, Literal

from activation_gate import State
from pydantic import Field

from rehearsal.actors import Actor, actor
from rehearsal.consumers import RESTART_SECONDS, Behaviour, Consumer, Ledger
from rehearsal.durations import Duration
from rehearsal.model import Task
from rehearsal.timing import Process
from rehearsal.world import World

ROLE = "consumer-task"
SLOWER = 10.0

# Of SQS, and of the library, which extends at half of it.
Visibility = Annotated[Duration, Field(ge=10, le=43_200)]


@actor("workers")
class Workers(Actor):
    """Runs the worker library in each task of the service; blue's run from the start."""

    queue: str = Field("orders", description="the name of a queue actor")
    handling: Duration | tuple[Duration, Duration] = Field(
        10.0, description="how long a message takes; or the shortest and the longest"
    )
    concurrency: int = Field(1, ge=1, le=10, description="how many messages a task handles at a time")
    visibility_timeout: Visibility = Field(60.0, description="what workers ask for, and extend")
    protection: bool = Field(False, description="whether tasks at work ask for scale-in protection")
    activated: bool = Field(True, description="whether an earlier deployment has made blue the active one")
    green: Literal["healthy", "never_healthy", "poisons", "slow", "crashing"] = Field(
        "healthy",
        description="how the first deployment's revision does: never asks for messages, fails on each, takes "
        "ten times as long, or crashes in the middle of each",
    )

    def run(self, world: World) -> Process:
        # Queues are made at the start, whichever actor comes first.
        yield world.env.timeout(0)
        line = world.lines[self.queue]
        if self.activated and (active := world.deployed.active):
            state = State(version=1, epoch=1, active=active[-1].arn.id)
            earlier = world.now() - timedelta(days=14)
            world.cloud.parameters.write_earlier(world.consumer_parameter, state.to_json(), earlier)
        world.ledger = ledger = Ledger(world.env, line, lambda text: world.spoke("workers", text))
        rng = random.Random(world.rng.getrandbits(64))  # noqa: S311  # not for secrets
        policy = _may_consume(world, self.queue)
        consumers: dict[str, Consumer] = {}

        def changed(task: Task) -> None:
            if task.unwanted_since is None:
                start(task)
            elif task.arn in consumers:
                consumers[task.arn].stop()

        def start(task: Task) -> None:
            colour = world.colour(task.revision)
            green = self.green if colour == "green" else "healthy"
            if green == "never_healthy":
                return
            consumers[task.arn] = Consumer(
                task,
                env=world.env,
                colour=colour,
                parameter=world.consumer_parameter,
                line=line,
                ledger=ledger,
                behaviour=self._behaviour(green),
                rng=random.Random(rng.getrandbits(64)),  # noqa: S311  # not for secrets
                # One session for all tasks of a revision: clients are slow to make.
                clients=lambda service: world.client_of(service, ROLE, colour, policy),
                restart=lambda task: world.env.process(_restart(world, task)),
            )

        for task in list(world.cloud.control_plane.tasks.values()):
            if task.started_at is not None:
                start(task)
        world.deployed.task_listeners.append(changed)

    def _behaviour(self, green: str) -> Behaviour:
        shortest, longest = self.handling if isinstance(self.handling, tuple) else (self.handling,) * 2
        factor = SLOWER if green == "slow" else 1.0
        return Behaviour(
            handling_seconds=(shortest * factor, longest * factor),
            concurrency=self.concurrency,
            visibility_seconds=round(self.visibility_timeout),
            protects=self.protection,
            fails=green == "poisons",
            crashes=green == "crashing",
        )


def _restart(world: World, task: Task) -> Process:
    """Let ECS notice that a task has ended, and start another."""
    world.deployed.exited(task)
    yield world.env.timeout(RESTART_SECONDS)
    world.deployed.replace(task)


def _may_consume(world: World, queue: str) -> list[dict[str, Any]]:
    """Return what a task role needs, as the library's README gives it."""
    cloud, arn = world.cloud, world.service
    account = f"{cloud.region}:{cloud.account}"
    return [
        {
            "Effect": "Allow",
            "Action": "ssm:GetParameter",
            "Resource": f"arn:aws:ssm:{account}:parameter{world.consumer_parameter}",
        },
        {
            "Effect": "Allow",
            "Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"],
            "Resource": f"arn:aws:sqs:{account}:{queue}",
        },
        {
            "Effect": "Allow",
            "Action": ["ecs:DescribeTasks", "ecs:UpdateTaskProtection"],
            "Resource": f"arn:aws:ecs:{account}:task/{arn.cluster}/*",
        },
    ]
