"""A real account, as far as a probe needs it: the stack of ``template.yaml``.

::

    cloudformation:DescribeStacks            what the stack is made of
    ecs:DescribeServices, UpdateService      the next deployment, with its hooks
    ecs:ListServiceDeployments, DescribeServiceDeployments
    s3:PutObject, ListBucket, GetObject      scripts to the recorders, recordings from them
    cloudwatch:GetMetricStatistics           how often Lambda refused the throttled hook
    iam:PassRole                             the roles of hooks and load balancers, to ECS
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from pydantic import ValidationError

from examples.contract_probe import registry
from examples.contract_probe.evidence import Image, JsonObject, Recording
from examples.contract_probe.plan import CONFIGURED, HOOK_TIMEOUT_MINUTES, Hook, Step

METRIC_COMES_WITHIN_SECONDS = 600.0
"""Lambda's metrics come some minutes late, and may grow until then."""

MAX_RECORDING_BYTES = 1024 * 1024

_OUTPUTS: dict[Hook, str] = {
    "first": "FirstRecorderArn",
    "second": "SecondRecorderArn",
    "throttled": "ThrottledRecorderArn",
}


class UnusableError(Exception):
    """The account, or what is in it, is not what a probe can work with; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Stack:
    """The outputs of a deployed template."""

    name: str
    region: str
    outputs: dict[str, str]

    @classmethod
    def read(cls, cloudformation: Any, name: str) -> Self:
        """Read the stack's outputs; raises :class:`UnusableError` where they are not the template's."""
        [stack] = cloudformation.describe_stacks(StackName=name)["Stacks"]
        if not stack["StackStatus"].endswith("_COMPLETE") or "ROLLBACK" in stack["StackStatus"]:
            raise UnusableError(f"stack {name} is {stack['StackStatus']}; wait for it, or deploy it again")
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
        expected = {"Cluster", "Bucket", "HookInvocationRoleArn", "Image", *_OUTPUTS.values()}
        if missing := sorted(expected - outputs.keys()):
            raise UnusableError(
                f"stack {name} has no output {', '.join(missing)}; expected one of examples/contract_probe"
            )
        return cls(name, cloudformation.meta.region_name, outputs)


class AwsAccount:
    """The probe's stack in an account, through boto3 clients."""

    def __init__(
        self,
        stack: Stack,
        client: Callable[[str], Any],
        *,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        digests: Callable[[str], Image | None] = registry.digests,
    ) -> None:
        self.name = f"stack {stack.name} in {stack.region}"
        self._outputs = stack.outputs
        self._cluster, self._bucket = stack.outputs["Cluster"], stack.outputs["Bucket"]
        self._ecs, self._s3, self._cloudwatch = client("ecs"), client("s3"), client("cloudwatch")
        self._now, self._sleep, self._digests = now, sleep, digests
        self._read: dict[str, Recording] = {}
        """Recordings by key; they never change."""

    def now(self) -> float:
        return self._now()

    def sleep(self, seconds: float) -> None:
        self._sleep(seconds)

    def write_script(self, step: Step) -> None:
        body = json.dumps(step.script).encode()
        self._s3.put_object(Bucket=self._bucket, Key=f"scripts/{step.service}.json", Body=body)

    def deploy(self, step: Step) -> None:
        """Start a deployment with the step's hooks, and whatever else the service is configured with."""
        found = self._ecs.describe_services(cluster=self._cluster, services=[step.service])["services"]
        if not found:
            raise UnusableError(
                f"cluster {self._cluster} has no service {step.service}; deploy the stack again"
            )
        configuration = {**found[0]["deploymentConfiguration"], "lifecycleHooks": self._hooks(step)}
        self._ecs.update_service(
            cluster=self._cluster,
            service=step.service,
            deploymentConfiguration=configuration,
            forceNewDeployment=True,
        )

    def _hooks(self, step: Step) -> list[JsonObject]:
        details: dict[Hook, JsonObject] = {"first": CONFIGURED}
        return [
            {
                "targetType": "AWS_LAMBDA",
                "hookTargetArn": self._outputs[_OUTPUTS[hook]],
                "roleArn": self._outputs["HookInvocationRoleArn"],
                "lifecycleStages": [stage.value for stage in stages],
                "timeoutConfiguration": {"timeoutInMinutes": HOOK_TIMEOUT_MINUTES, "action": "ROLLBACK"},
                **({"hookDetails": details[hook]} if hook in details else {}),
            }
            for hook, stages in step.hooks.items()
        ]

    def newest(self, service: str, since: float) -> list[str]:
        page = self._ecs.list_service_deployments(
            cluster=self._cluster, service=service, createdAt={"after": datetime.fromtimestamp(since, UTC)}
        )
        found = sorted(page["serviceDeployments"], key=lambda one: one["createdAt"], reverse=True)
        return [one["serviceDeploymentArn"] for one in found]

    def describe(self, arns: Sequence[str]) -> dict[str, JsonObject]:
        found = self._ecs.describe_service_deployments(serviceDeploymentArns=list(arns))["serviceDeployments"]
        return {one["serviceDeploymentArn"]: json.loads(json.dumps(one, default=str)) for one in found}

    def recordings(self, arn: str) -> list[Recording]:
        prefix = f"recordings/{arn.rpartition('/')[2]}/"
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
        for key in keys:
            if key not in self._read:
                self._read[key] = self._recording(key)
        return [self._read[key] for key in keys]

    def _recording(self, key: str) -> Recording:
        body = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read(MAX_RECORDING_BYTES + 1)
        try:
            return Recording.model_validate_json(body)
        except ValidationError as error:
            raise UnusableError(
                f"s3://{self._bucket}/{key} is not what the recorder of this version writes "
                f"({error.errors()[0]['msg']}); delete it, and run the probe again"
            ) from error

    def throttles(self, since: float, until: float) -> int | None:
        count = None
        # What is too early for the metric is not yet nothing.
        while True:
            count = self._throttled(since, until) or count
            if self._now() >= until + METRIC_COMES_WITHIN_SECONDS:
                return count or 0
            self._sleep(30)

    def _throttled(self, since: float, until: float) -> int:
        # Whole minutes around the deployment: the metric has one value for each.
        start = datetime.fromtimestamp(since, UTC).replace(second=0, microsecond=0)
        end = datetime.fromtimestamp(until, UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
        function = self._outputs[_OUTPUTS["throttled"]].rpartition(":")[2]
        points: list[dict[str, float]] = self._cloudwatch.get_metric_statistics(
            Namespace="AWS/Lambda",
            MetricName="Throttles",
            Dimensions=[{"Name": "FunctionName", "Value": function}],
            StartTime=start,
            EndTime=end,
            Period=60,
            Statistics=["Sum"],
        )["Datapoints"]
        return round(sum(point["Sum"] for point in points))

    def image(self) -> Image | None:
        return self._digests(self._outputs["Image"])
