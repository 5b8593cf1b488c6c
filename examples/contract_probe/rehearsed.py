"""The rehearsal as an account: the same plan, recorder and inference, with ECS as its switches make it.

Nothing is deployed to AWS, and an hour passes in a second. What the probe finds here has to be what the
switches were set to, or the probe can't be believed elsewhere.
"""

import json
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from examples.contract_probe.campaign import ENDED
from examples.contract_probe.evidence import Image, JsonObject, Recording
from examples.contract_probe.plan import (
    CANARY_BAKE_MINUTES,
    CANARY_PERCENT,
    CONFIGURED,
    CONTAINER,
    HOOK_TIMEOUT_MINUTES,
    Hook,
    Step,
)
from examples.contract_probe.recorder.recording_hook import Raised, Recorder, production_entrance
from rehearsal.aws.call import Call
from rehearsal.aws.ecs import EcsDeployments
from rehearsal.aws.elbv2 import LoadBalancers
from rehearsal.images import Images
from rehearsal.machine import Plan, StageMachine
from rehearsal.model import ControlPlane, LifecycleHook
from rehearsal.polling import Invocation, Target
from rehearsal.scenario import Scenario
from rehearsal.service import DeployedService
from rehearsal.switches import Switches
from rehearsal.timing import Process, VirtualEnvironment

ACCOUNT, REGION = "123456789012", "us-east-1"
IMAGE = "public.ecr.aws/docker/library/busybox:stable"

_EXPOSURES = {"alb-canary": "alb"}


def _digest(letter: str) -> str:
    return f"sha256:{letter * 64}"


class ForTwoPlatforms(Images):
    """An image with an index, as a registry has it."""

    index = _digest("1")
    platforms = {"amd64": _digest("a"), "arm64": _digest("b")}  # noqa: RUF012  # constant

    def digest(self, reference: str, *, architecture: str | None = None) -> str | None:
        """Return the index's digest, or that of the image for an architecture."""
        del reference
        return self.index if architecture is None else self.platforms[architecture]


class Memory:
    """The recorders' bucket."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def read(self, key: str) -> bytes | None:
        return self.objects.get(key)

    def write(self, key: str, body: bytes) -> None:
        self.objects[key] = body

    def claim(self, key: str, body: bytes) -> bytes:
        return self.objects.setdefault(key, body)

    def count(self, prefix: str, most: int) -> int:
        return min(most, sum(1 for key in self.objects if key.startswith(prefix)))

    def below(self, prefix: str) -> list[bytes]:
        """Return the objects whose keys begin so, in the order they were written."""
        return [body for key, body in self.objects.items() if key.startswith(prefix)]


class RehearsedAccount:
    """An account whose ECS is the stage machine, on a virtual clock."""

    name = "the rehearsal"

    def __init__(self, switches: Switches | None = None, *, seed: int = 0) -> None:
        self.env = VirtualEnvironment()
        self.plane = ControlPlane()
        self.switches = switches or Switches()
        self.bucket = Memory()
        self._rng = random.Random(seed)  # noqa: S311  # not for secrets
        self._ecs = EcsDeployments(self.plane, self.switches)
        self._balancers = LoadBalancers(self._ecs)
        self._requests = 0
        self._throttles = 0
        self._services: dict[str, DeployedService] = {}
        self._machines: dict[str, StageMachine] = {}
        self._targets: dict[str, Target] = {
            "first": self._recorder("first"),
            "second": self._recorder("second"),
            "throttled": self._refuse,
        }

    def now(self) -> float:
        return self._time().timestamp()

    def sleep(self, seconds: float) -> None:
        self.env.run(until=self.env.now + seconds)

    def write_script(self, step: Step) -> None:
        self.bucket.write(f"scripts/{step.service}.json", json.dumps(step.script).encode())

    def deploy(self, step: Step) -> None:
        """Start a deployment; one that is under way is superseded, as by UpdateService."""
        self.env.process(self._deploy(step))

    def newest(self, service: str, since: float) -> list[str]:
        arn = self._service(service).arn
        return [
            str(deployment.arn)
            for deployment in self.plane.deployments_of(arn)
            if deployment.created_at.timestamp() >= since
        ]

    def describe(self, arns: Sequence[str]) -> dict[str, JsonObject]:
        found = self._ask("DescribeServiceDeployments", serviceDeploymentArns=list(arns))
        return {one["serviceDeploymentArn"]: _plain(one) for one in found["serviceDeployments"]}

    def recordings(self, arn: str) -> list[Recording]:
        written = self.bucket.below(f"recordings/{arn.rpartition('/')[2]}/")
        return [Recording.model_validate_json(body) for body in written]

    def throttles(self, since: float, until: float) -> int | None:
        del since, until
        return self._throttles

    def image(self) -> Image | None:
        images = ForTwoPlatforms()
        return Image(reference=IMAGE, index=images.index, platforms=images.platforms)

    def _time(self) -> datetime:
        return self.env.epoch + timedelta(seconds=self.env.now)

    def _service(self, name: str) -> DeployedService:
        if name not in self._services:
            strategy: JsonObject = {"type": "BLUE_GREEN", "bakeTimeInMinutes": 0}
            if name == "alb-canary":
                strategy |= {
                    "type": "CANARY",
                    "canaryPercent": CANARY_PERCENT,
                    "canaryBakeTimeInMinutes": CANARY_BAKE_MINUTES,
                }
            scenario = Scenario.model_validate(
                {
                    "service": {
                        "name": name,
                        # Each in a cluster of its own: in the rehearsal a cluster has one listener's rule.
                        "cluster": f"probe-{name}",
                        "exposure": _EXPOSURES.get(name, name),
                        "tasks": 1,
                        "images": {CONTAINER: (IMAGE, IMAGE)},
                    },
                    "strategy": strategy,
                    "expect": {"status": "SUCCESSFUL"},
                }
            )
            service = DeployedService(
                scenario,
                self.plane,
                account=ACCOUNT,
                region=REGION,
                switches=self.switches,
                rng=self._rng,
                clock=self._time,
                images=ForTwoPlatforms(),
            )
            service.settle(self._time())
            self._services[name] = service
        return self._services[name]

    def _deploy(self, step: Step) -> Process:
        service = self._service(step.service)
        running = self._machines.get(step.service)
        while running and running.process.is_alive:
            yield running.supersede() | running.ended
        plan = service.deploy(self._time(), tuple(_attached(step)))
        machine = StageMachine(
            self.env, plan, targets=self._targets, switches=self.switches, rng=self._rng, saw=lambda _: None
        )
        self._machines[step.service] = machine
        self.env.process(self._note_end(machine, plan, service))
        yield self.env.timeout(0)

    @staticmethod
    def _note_end(machine: StageMachine, plan: Plan, service: DeployedService) -> Process:
        status = yield machine.ended
        assert status in ENDED
        service.ended(plan, status)

    def _recorder(self, hook: str) -> Target:
        recorder = Recorder(hook, self.bucket, self._look)

        def target(event: JsonObject) -> Invocation:
            self._requests += 1
            # As through Lambda's runtime: the event is text on its way.
            received = json.loads(json.dumps(event))
            # No two calls come at the very same moment, as they do on the virtual clock.
            at = self.now() + self._requests / 1e6
            try:
                reply = recorder(received, request_id=f"request-{self._requests}", at=at)
            except Raised as error:
                return Invocation(error=str(error))
            return Invocation(reply=reply)

        return target

    def _refuse(self, _event: JsonObject, /) -> Invocation:
        self._throttles += 1
        return Invocation(refused_by_lambda="Rate Exceeded.")

    def _look(self, deployment: str, revision: str) -> JsonObject:
        seen: JsonObject = {
            "deployment": self.describe([deployment])[deployment],
            "revision": _plain(
                self._ask("DescribeServiceRevisions", serviceRevisionArns=[revision])["serviceRevisions"][0]
            ),
        }
        if entrance := production_entrance(seen["revision"]):
            what, name = ("Rules", "Rule") if ":listener-rule/" in entrance else ("Listeners", "Listener")
            asked = f"{name}Arns.member.1={entrance}".encode()
            call = self._call("elasticloadbalancing", f"Describe{what}", asked)
            answer = self._balancers.operations[call.operation](call)
            seen["entrance"] = answer and answer[what][0]
        return seen

    def _ask(self, operation: str, **parameters: Any) -> JsonObject:
        # Without holding each answer against the API's model: the rehearsal's own tests do that.
        call = self._call("ecs", operation, json.dumps(parameters).encode())
        answer = self._ecs.operations[operation](call)
        assert answer is not None
        return answer

    @staticmethod
    def _call(service: str, operation: str, body: bytes) -> Call:
        return Call(
            service=service,
            operation=operation,
            access_key="",
            region=REGION,
            account=ACCOUNT,
            protocol="json" if service == "ecs" else "query",
            _body=body,
            url="",
        )


def _attached(step: Step) -> list[LifecycleHook]:
    details: dict[Hook, JsonObject] = {"first": CONFIGURED}
    return [
        LifecycleHook(
            name=name,
            stages=stages,
            target_arn=f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}",
            role_arn=f"arn:aws:iam::{ACCOUNT}:role/hook-invocation",
            details=details.get(name),
            timeout_minutes=HOOK_TIMEOUT_MINUTES,
        )
        for name, stages in step.hooks.items()
    ]


def _plain(answer: JsonObject) -> JsonObject:
    plain: JsonObject = json.loads(json.dumps(answer, default=str))
    return plain
