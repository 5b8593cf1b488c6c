"""A person at the ECS API: stops a deployment, answers PAUSE hooks, or starts a newer deployment."""

import itertools
from typing import Literal

from botocore.exceptions import ClientError
from pydantic import Field

from rehearsal.actors import Actor, actor
from rehearsal.durations import Duration
from rehearsal.outcome import Happening, PauseChanged
from rehearsal.timing import Process
from rehearsal.world import World
from shared.lifecycle import ServiceDeploymentArn


@actor("stop")
class Stop(Actor):
    """Calls StopServiceDeployment."""

    after: Duration = 300.0
    stop_type: Literal["ROLLBACK", "ABORT"] = "ROLLBACK"

    def run(self, world: World) -> Process:
        yield world.env.timeout(self.after)
        ecs = world.client("ecs", role="operator", session="oscar")
        try:
            ecs.stop_service_deployment(
                serviceDeploymentArn=str(world.machine.deployment.arn), stopType=self.stop_type
            )
            world.spoke("oscar", f"stops the deployment ({self.stop_type})")
        except ClientError as error:
            world.spoke("oscar", f"can't stop the deployment: {error.response['Error'].get('Message', '')}")


@actor("continue")
class Continue(Actor):
    """Answers PAUSE hooks with ContinueServiceDeployment, each some time after it began to wait."""

    after: Duration = 600.0
    action: Literal["CONTINUE", "ROLLBACK"] = "CONTINUE"
    times: int = Field(100, ge=1, description="how many hooks to answer before leaving")

    def run(self, world: World) -> Process:
        waiting = itertools.count(1)

        def listen(happening: Happening) -> None:
            if (
                isinstance(happening, PauseChanged)
                and happening.status == "AWAITING_ACTION"
                and next(waiting) <= self.times
            ):
                world.env.process(self._answer(world, world.machine.deployment.arn, happening.hook_id))

        world.listeners.append(listen)
        yield world.env.timeout(0)

    def _answer(self, world: World, deployment: ServiceDeploymentArn, hook_id: str) -> Process:
        yield world.env.timeout(self.after)
        ecs = world.client("ecs", role="operator", session="oscar")
        try:
            ecs.continue_service_deployment(
                serviceDeploymentArn=str(deployment), hookId=hook_id, action=self.action
            )
            world.spoke("oscar", f"answers {self.action} to the pause hook")
        except ClientError as error:
            world.spoke("oscar", f"can't answer: {error.response['Error'].get('Message', '')}")


@actor("release")
class Release(Actor):
    """Starts a newer deployment of the same service, which supersedes the one under way."""

    after: Duration = 300.0

    def run(self, world: World) -> Process:
        yield world.env.timeout(self.after)
        world.spoke("pipeline", "starts a newer deployment")
        yield from world.supersede()
