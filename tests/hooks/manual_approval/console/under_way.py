"""Deployments under way and their requests, as the console finds them in AWS."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from unittest import mock

import time_machine

from hooks.manual_approval.approvers import Electorate, Person
from hooks.manual_approval.proceeding import Askers, Proceeding, read_proceeding
from hooks.manual_approval.request import parameter_name, write_pause_request, write_request
from hooks.manual_approval.rules import Rules
from rehearsal.aws.cloud import ACCOUNT, Cloud
from rehearsal.model import (
    ContainerImage,
    HookRun,
    HookStatus,
    LifecycleHook,
    RevisionSummary,
    ServiceDeployment,
    ServiceRevision,
    Status,
)
from shared.lifecycle import LifecycleEvent, ServiceArn, ServiceDeploymentArn, ServiceRevisionArn, Stage
from shared.revision import Revision
from tests.shared.checkout import DEPLOYMENT, GREEN, POST_TEST, REGION, START, event

PREFIX = "/ecs-approvals"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:approval"
CONSOLE_ROLE = f"arn:aws:iam::{ACCOUNT}:role/approval-console"
CONSOLE = f"arn:aws:sts::{ACCOUNT}:assumed-role/approval-console/console"
ASKERS = Askers(f"arn:aws:iam::{ACCOUNT}:role/approval-hook", f"arn:aws:iam::{ACCOUNT}:role/approval-pause")
ALICE = Person("oidc:https://login.example.com#alice", (), "Alice")
BOB = Person("oidc:https://login.example.com#bob", (), "Bob")

RULES = Rules(
    required=1,
    electorate=Electorate(allowed=(("*",),), excluded=(), personal_sessions=(), console=CONSOLE_ROLE),
    expires_after=timedelta(hours=4),
    extendable_to=timedelta(hours=23, minutes=59),
    on_expiry="refuse",
)


def rules(**changes: Any) -> Rules:
    """Return the rules with some of them changed, the electorate's included."""
    electorate = {key: changes.pop(key) for key in ("allowed", "excluded", "console") if key in changes}
    return replace(RULES, electorate=replace(RULES.electorate, **electorate), **changes)


@dataclass
class Account:
    """An account that the console looks into."""

    cloud: Cloud
    now: datetime = START

    def ask(self, deployment: ServiceDeploymentArn = DEPLOYMENT, part: str = "", rules: Rules = RULES) -> str:
        """Write a request as its asker does; return the parameter's name."""
        name = parameter_name(PREFIX, deployment, part)
        if part.startswith("ecs-pause-"):
            text = write_pause_request(deployment, part, POST_TEST, rules=rules, now=self.now)
            return self.write(name, text, role="approval-pause")
        payload = event(deployment=deployment)
        payload["executionDetails"]["serviceArn"] = str(deployment.service_arn)
        target = replace(GREEN, cluster=deployment.cluster, service=deployment.service)
        payload["executionDetails"]["targetServiceRevisionArn"] = str(target)
        text = write_request(
            name,
            LifecycleEvent.parse(payload),
            green=Revision(target, "", (), (), None),
            blue=None,
            rules=rules,
            now=self.now,
        )
        return self.write(name, text, role="approval-hook", session="approval")

    def write(self, name: str, text: str, *, role: str = "approver", session: str = "alice") -> str:
        ssm = self.cloud.client("ssm", role=role, session=session)
        ssm.put_parameter(Name=name, Value=text, Type="String", Overwrite=True)
        return name

    def deployed(
        self,
        service: str = "checkout",
        cluster: str = "shop",
        id_: str = "qR7sT2uV9wX4yZ1aB6cD3",
        **changes: Any,
    ) -> ServiceDeploymentArn:
        """Have ECS in the middle of a deployment."""
        arn = ServiceDeploymentArn("aws", REGION, ACCOUNT, cluster, service, id_)
        green = ServiceRevisionArn("aws", REGION, ACCOUNT, cluster, service, f"2{id_}")
        deployment = ServiceDeployment(
            arn=arn,
            service=ServiceArn("aws", REGION, ACCOUNT, cluster, service),
            configuration={"strategy": "BLUE_GREEN"},
            sources=[],
            target=RevisionSummary(arn=green, requested_task_count=2),
            created_at=START,
            started_at=START,
            status=Status.IN_PROGRESS,
            lifecycle_stage=POST_TEST,
        )
        for name, value in changes.items():
            setattr(deployment, name, value)
        registry = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
        plane = self.cloud.control_plane
        plane.deployments[str(arn)] = deployment
        plane.revisions[str(green)] = ServiceRevision(
            arn=green,
            created_at=START,
            task_definition=f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/{service}:7",
            container_images=[
                ContainerImage(container_name="app", image=f"{registry}/{cluster}/{service}:42")
            ],
        )
        return arn

    def proceeding(self, part: str = "", deployment: ServiceDeploymentArn = DEPLOYMENT) -> Proceeding:
        return read_proceeding(PREFIX, deployment, part, ASKERS, self.now)


def active(part: str = "", *, expires_at: datetime, status: HookStatus | None = None) -> HookRun:
    """Return the hook that ECS waits for: a PAUSE hook, or the approval function."""
    if part:
        hook = LifecycleHook(name="pause", stages=(Stage.POST_TEST_TRAFFIC_SHIFT,), target_type="PAUSE")
    else:
        hook = LifecycleHook(
            name="manual_approval", stages=(Stage.POST_TEST_TRAFFIC_SHIFT,), target_arn=f"{FUNCTION}:live"
        )
    return HookRun(
        hook_id=part or "ecs-lambda-0a1b",
        hook=hook,
        stage=Stage.POST_TEST_TRAFFIC_SHIFT,
        status=status or (HookStatus.AWAITING_ACTION if part else HookStatus.IN_PROGRESS),
        expires_at=expires_at,
    )


@contextlib.contextmanager
def looking() -> Iterator[Account]:
    """Let the block be the console in an account of its own; nothing is retried, for that would sleep."""
    with (
        mock.patch.dict("os.environ", {"AWS_MAX_ATTEMPTS": "1"}),
        time_machine.travel(START, tick=False),
        Cloud(region=REGION, seed=1) as cloud,
        cloud.acting_as("approval-console", "console"),
    ):
        yield Account(cloud)
        assert cloud.defects == []


@contextlib.contextmanager
def counting(cloud: Cloud) -> Iterator[list[str]]:
    """Collect the action of each call in the block; one that names twenty resources is one."""
    calls: list[str] = []
    fault = cloud.faults.add(make=lambda call, _: calls.append(call.action))
    try:
        yield calls
    finally:
        cloud.faults.remove(fault)
