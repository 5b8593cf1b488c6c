"""The functions of ``template.yaml`` in an account that allows them what their policies say, and no more."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from rehearsal import functions
from rehearsal.aws.cloud import ACCOUNT, Cloud
from rehearsal.aws.door import RecordedCall
from rehearsal.aws.identities import ALLOW_ALL
from rehearsal.lambda_functions import Function
from rehearsal.runtime import Invocation
from rehearsal.runtime.in_process import InProcess
from tests.shared.checkout import REGION, START, deploy

BUCKET = "release-evidence"
PREFIX = "/ecs-approvals"
REQUEST = f"{PREFIX}/shop/checkout/qR7sT2uV9wX4yZ1aB6cD3"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:releases"


@dataclass
class Account:
    """An account in the middle of the deployment of ``checkout``."""

    cloud: Cloud
    clock: time_machine.Traveller
    functions: Mapping[str, Function]
    calls: list[RecordedCall]

    def policy(self, name: str) -> dict[str, Any]:
        return {"Version": "2012-10-17", "Statement": self.functions[name].statements}

    def role(self, name: str) -> str:
        """Return the name of a function's role: some functions believe what others wrote by theirs."""
        return str(self.functions[name].resource.properties["Role"]).rpartition("/")[2]

    def invoke(self, name: str, event: Mapping[str, Any], **variables: str) -> Invocation:
        """Call a function with its role's credentials and the template's environment."""
        function = self.functions[name]
        credentials = self.cloud.credentials(self.role(name), name, [self.policy(name)])
        environment = {**functions.environment(function), **credentials, **variables}
        return InProcess().invoke(function, event, environment)

    def ask(self, event: Mapping[str, Any], **variables: str) -> dict[str, Any]:
        invocation = self.invoke("ManualApprovalFunction", event, **variables)
        assert invocation.error is None
        reply: dict[str, Any] = invocation.reply
        return reply

    def sweep(self) -> dict[str, int]:
        """Sweep, and return what was done; what was done to nothing is left out."""
        invocation = self.invoke("ManualApprovalSweepFunction", {"source": "aws.scheduler"})
        assert invocation.error is None, invocation.error
        return {what: count for what, count in invocation.reply.items() if count}

    def write(self, text: str, *, who: str = "alice", name: str = REQUEST) -> None:
        """Write to a parameter as a person does."""
        ssm = self.cloud.client("ssm", role="approver", session=who)
        ssm.put_parameter(Name=name, Value=text, Type="String", Overwrite=True)

    def history(self, name: str = REQUEST) -> Sequence[str]:
        ssm = self.cloud.client("ssm", role="approver", session="reader")
        return [version["Value"] for version in ssm.get_parameter_history(Name=name)["Parameters"]]

    def pass_time(self, **duration: float) -> None:
        self.clock.shift(timedelta(**duration))

    def made_by(self, name: str) -> set[tuple[str, str]]:
        """Return (action, resource) of each call that a function made and that IAM decides on."""
        return {
            (call.action, call.resource)
            for call in self.calls
            if f"assumed-role/{self.role(name)}/" in call.identity and call.action != "sts:GetCallerIdentity"
        }


@pytest.fixture
def account() -> Iterator[Account]:
    parameters = (("NotificationTopicArn", TOPIC), ("RecordBucket", BUCKET))
    with (
        time_machine.travel(START, tick=False) as clock,
        Cloud(region=REGION, seed=1) as cloud,
        cloud.enforcing_iam(),
        cloud.recording() as calls,
    ):
        for session in ("alice", "bob", "reader"):
            cloud.identity(role="approver", session=session, policies=[ALLOW_ALL])
        cloud.identity(user="admin", policies=[ALLOW_ALL])
        cloud.client("sns", user="admin").create_topic(Name="releases")
        cloud.client("s3", user="admin").create_bucket(Bucket=BUCKET)
        deploy(cloud)
        yield Account(cloud, clock, functions.deployed(parameters), calls)
        assert cloud.defects == []
