"""Blue and green of one deployment, read from the ECS API when first asked for, and once.

::

    Deployment ── status, lifecycle_stage, started_at, is_first, is_rolling_back, steps, active_hooks
        ├── green: Revision      the event's target; without an event, the deployment's
        └── blue: Revision|None  the weight map's other key, else the deployment's source

        Revision ── images, target_groups, load_balancers, test_listener_rules, test_header, aliases,
                    access_logs, task_definition

Sources: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceDeployment.html and
API_ServiceRevision.html.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from shared.clients import client
from shared.errors import Transient, translated
from shared.lifecycle import LifecycleEvent, ServiceDeploymentArn, ServiceRevisionArn
from shared.revision import AccessLogs, ClientAlias, Image, Revision, TestHeader

# Service Connect routes this header to green when the service configures no rule of its own.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-connect-blue-green.html
DEFAULT_TEST_HEADER = "x-amzn-ecs-blue-green-test"

# ECS names the rule of an application load balancer and the listener of a network load balancer; the ARNs of
# both go on from the load balancer's own.
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_awselasticloadbalancingv2.html
_LISTENER = re.compile(r":listener(?:-rule)?/((?:app|net)/[^/]+/[^/]+)/[^/]+")

# Defaults of deploymentConfiguration: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/
# API_CanaryConfiguration.html and API_LinearConfiguration.html
DEFAULT_CANARY_PERCENT = 5.0
DEFAULT_CANARY_BAKE_MINUTES = 10
DEFAULT_STEP_PERCENT = 10.0
DEFAULT_STEP_BAKE_MINUTES = 6

# AWS's own, in every cluster: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-capacity-providers.html
_FARGATE_PROVIDERS = frozenset({"FARGATE", "FARGATE_SPOT"})


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps in which a deployment moves production traffic."""

    percents: tuple[float, ...]
    """Green's share after each; the last is 100."""
    bake_minutes: int
    """How long ECS waits after each step but the last."""


class Deployment:
    """The deployment an event is about. Every property may raise ``Transient`` or ``Misconfigured``.

    Whoever is not called by ECS names it instead; an event's weights say better which revision is blue.
    """

    def __init__(self, about: LifecycleEvent | ServiceDeploymentArn) -> None:
        self._event = about if isinstance(about, LifecycleEvent) else None
        self.arn = about.deployment if isinstance(about, LifecycleEvent) else about

    @property
    def status(self) -> str:
        """``IN_PROGRESS``, ``ROLLBACK_IN_PROGRESS``, ..."""
        return str(self._description.get("status", ""))

    @property
    def lifecycle_stage(self) -> str:
        """Where it is, by ECS's own word; empty before the first stage."""
        return str(self._description.get("lifecycleStage", ""))

    @property
    def is_rolling_back(self) -> bool:
        return self.status.startswith("ROLLBACK")

    @property
    def is_first(self) -> bool:
        """Whether nothing ran before. The length of the deployment history can't tell: it is kept 90 days."""
        return not self._sources

    @property
    def strategy(self) -> str:
        """``BLUE_GREEN``, ``CANARY``, ``LINEAR`` or ``ROLLING``."""
        return str(self._description.get("deploymentConfiguration", {}).get("strategy", "ROLLING"))

    @property
    def steps(self) -> Steps:
        """How traffic moves; of a deployment that moves it all at once, nothing but that."""
        configuration = self._description.get("deploymentConfiguration", {})
        canary = configuration.get("canaryConfiguration") or {}
        linear = configuration.get("linearConfiguration") or {}
        match self.strategy:
            case "CANARY":
                percent, bake = canary.get("canaryPercent"), canary.get("canaryBakeTimeInMinutes")
                first = float(DEFAULT_CANARY_PERCENT if percent is None else percent)
                percents: tuple[float, ...] = (first, 100.0) if first < 100 else (100.0,)
                return Steps(percents, DEFAULT_CANARY_BAKE_MINUTES if bake is None else int(bake))
            case "LINEAR":
                percent, bake = linear.get("stepPercent"), linear.get("stepBakeTimeInMinutes")
                # 3 is the least that ECS takes; whatever stands there, the loop has an end.
                step = max(float(DEFAULT_STEP_PERCENT if percent is None else percent), 0.1)
                below = [round(step * number, 1) for number in range(1, math.ceil(100 / step))]
                percents = (*(share for share in below if share < 100), 100.0)
                return Steps(percents, DEFAULT_STEP_BAKE_MINUTES if bake is None else int(bake))
        return Steps((100.0,), 0)

    @property
    def hooks(self) -> Sequence[Mapping[str, Any]]:
        """The lifecycle hooks it was started with, in the shape of API_DeploymentLifecycleHook.html."""
        return self._description.get("deploymentConfiguration", {}).get("lifecycleHooks") or ()

    @property
    def active_hooks(self) -> Sequence[Mapping[str, Any]]:
        """The hooks that ECS waits for now, in the shape of API_DeploymentLifecycleHookDetail.html."""
        return self._description.get("lifecycleHookDetails") or ()

    @property
    def green_weight(self) -> float | None:
        """Percent of production traffic that ECS has asked for on green so far; a snapshot."""
        weight = (self._description.get("targetServiceRevision") or {}).get(
            "requestedProductionTrafficWeight"
        )
        return None if weight is None else float(weight)

    @property
    def started_at(self) -> datetime:
        """When ECS started the deployment; its creation while it has not."""
        moment = self._description.get("startedAt") or self._description["createdAt"]
        return moment.astimezone(UTC) if isinstance(moment, datetime) else datetime.fromtimestamp(moment, UTC)

    @cached_property
    def green(self) -> Revision:
        return self._revision(self.green_arn)

    @property
    def green_arn(self) -> ServiceRevisionArn:
        """The revision that is to run, also while the deployment rolls back."""
        if self._event is not None:
            return self._event.target
        target = self._description.get("targetServiceRevision") or {}
        return ServiceRevisionArn.parse(target.get("arn"), "targetServiceRevision")

    @cached_property
    def blue(self) -> Revision | None:
        """The revision that ran before, or ``None`` on a first deployment."""
        arn = self.blue_arn
        return None if arn is None else self._revision(arn)

    @cached_property
    def blue_arn(self) -> ServiceRevisionArn | None:
        # After a deployment that was superseded there may be several; the one with the traffic is blue.
        event = self._event
        for weights in (event.weights, event.production_weights, event.test_weights) if event else ():
            others = {revision: weight for revision, weight in weights.items() if revision != self.green_arn}
            if others:
                return max(others, key=lambda revision: others[revision])
        # While it rolls back, ECS itself says to what; the sources' weights may not have moved yet.
        rollback = (self._description.get("rollback") or {}).get("serviceRevisionArn")
        if rollback:
            return ServiceRevisionArn.parse(rollback, "rollback.serviceRevisionArn")
        sources = sorted(self._sources, key=_production_weight, reverse=True)
        return _arn_of(sources[0]) if sources else None

    @property
    def serving(self) -> tuple[ServiceRevisionArn, ...]:
        """The sources that serve: of those with running tasks, the ones with the most production traffic.

        Several where weights don't tell them apart, as in a service without load balancer.
        """
        running = [source for source in self._sources if source.get("runningTaskCount")]
        most = max(map(_production_weight, running), default=0.0)
        return tuple(_arn_of(source) for source in running if _production_weight(source) >= most)

    @property
    def sources(self) -> tuple[ServiceRevisionArn, ...]:
        """All revisions that the deployment found, whether or not they still have tasks."""
        return tuple(map(_arn_of, self._sources))

    @property
    def _sources(self) -> Sequence[Mapping[str, Any]]:
        return self._description.get("sourceServiceRevisions") or ()

    def task_definition(self, revision: Revision) -> Mapping[str, Any]:
        """Return the task definition of *revision* in the API's shape."""
        arn = revision.task_definition_arn
        with translated("ecs:DescribeTaskDefinition", arn):
            return client("ecs").describe_task_definition(taskDefinition=arn)["taskDefinition"]

    @cached_property
    def _description(self) -> Mapping[str, Any]:
        arn = str(self.arn)
        with translated("ecs:DescribeServiceDeployments", arn):
            found = client("ecs").describe_service_deployments(serviceDeploymentArns=[arn])
        if not found.get("serviceDeployments"):
            raise Transient(f"ecs:DescribeServiceDeployments does not know {arn} (yet)")
        return found["serviceDeployments"][0]

    @cached_property
    def _revisions(self) -> Mapping[ServiceRevisionArn, Revision]:
        wanted = [self.green_arn, *([self.blue_arn] if self.blue_arn else [])]
        with translated("ecs:DescribeServiceRevisions", f"{wanted[0]}"):
            found = client("ecs").describe_service_revisions(serviceRevisionArns=[str(arn) for arn in wanted])
        revisions = [_revision(described) for described in found.get("serviceRevisions", [])]
        return {revision.arn: revision for revision in revisions}

    def _revision(self, arn: ServiceRevisionArn) -> Revision:
        # A new revision may not be there yet; one from before 2024-10-25 will never be.
        if arn not in self._revisions:
            raise Transient(f"ecs:DescribeServiceRevisions does not know {arn} (yet)")
        return self._revisions[arn]


def _production_weight(source: Mapping[str, Any]) -> float:
    return float(source.get("requestedProductionTrafficWeight") or 0.0)


def _arn_of(source: Mapping[str, Any]) -> ServiceRevisionArn:
    return ServiceRevisionArn.parse(source.get("arn"), "sourceServiceRevisions")


def _revision(described: Mapping[str, Any]) -> Revision:
    balancers = [
        balancer
        for balancer in described.get("resolvedConfiguration", {}).get("loadBalancers") or []
        if "targetGroupArn" in balancer
    ]
    return Revision(
        arn=ServiceRevisionArn.parse(described.get("serviceRevisionArn"), "serviceRevisionArn"),
        task_definition_arn=described.get("taskDefinition", ""),
        images=tuple(
            Image(image.get("containerName", ""), image.get("image", ""), image.get("imageDigest"))
            for image in described.get("containerImages", [])
        ),
        target_groups=tuple(balancer["targetGroupArn"] for balancer in balancers),
        load_balancers=tuple(
            _load_balancer(balancer.get("productionListenerRule")) for balancer in balancers
        ),
        test_header=_test_header(described.get("serviceConnectConfiguration") or {}),
        aliases=_aliases(described.get("serviceConnectConfiguration") or {}),
        test_listener_rules=tuple(
            rule
            for balancer in described.get("loadBalancers") or []
            if (rule := (balancer.get("advancedConfiguration") or {}).get("testListenerRule"))
        ),
        access_logs=_access_logs(described.get("serviceConnectConfiguration") or {}),
        is_on_fargate=_is_on_fargate(described),
        architecture=((described.get("overrides") or {}).get("runtimePlatform") or {}).get("cpuArchitecture"),
    )


def _is_on_fargate(described: Mapping[str, Any]) -> bool:
    """Tell by launch type or, where the service has one, by its strategy of capacity providers."""
    providers = [one.get("capacityProvider") for one in described.get("capacityProviderStrategy") or ()]
    if providers:
        return all(provider in _FARGATE_PROVIDERS for provider in providers)
    return described.get("launchType") == "FARGATE"


def _load_balancer(listener_rule: str | None) -> str | None:
    """Return ``app/NAME/ID`` of ``arn:...:listener-rule/app/NAME/ID/LISTENER/RULE``."""
    found = _LISTENER.search(listener_rule or "")
    return found and found[1]


def _test_header(service_connect: Mapping[str, Any]) -> TestHeader | None:
    if not service_connect.get("enabled"):
        return None
    for service in service_connect.get("services", []):
        for alias in service.get("clientAliases", []):
            if header := _header_of(alias):
                return header
    return TestHeader(DEFAULT_TEST_HEADER, None)


def _header_of(alias: Mapping[str, Any]) -> TestHeader | None:
    header = (alias.get("testTrafficRules") or {}).get("header") or {}
    name = header.get("name")
    return TestHeader(name, (header.get("value") or {}).get("exact")) if name else None


def _aliases(service_connect: Mapping[str, Any]) -> tuple[ClientAlias, ...]:
    if not service_connect.get("enabled"):
        return ()
    # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceConnectClientAlias.html: an alias
    # without a name is reached by the service's discovery name in the namespace. An ARN has the namespace's
    # id, which is no part of any name.
    namespace = service_connect.get("namespace") or ""
    suffix = "" if namespace.startswith("arn:") else namespace
    return tuple(
        ClientAlias(
            port_name=service["portName"],
            dns_name=alias.get("dnsName")
            or (f"{service.get('discoveryName') or service['portName']}.{suffix}" if suffix else None),
            port=int(alias["port"]),
            test_header=_header_of(alias) or TestHeader(DEFAULT_TEST_HEADER, None),
        )
        for service in service_connect.get("services") or []
        for alias in service.get("clientAliases") or []
    )


def _access_logs(service_connect: Mapping[str, Any]) -> AccessLogs | None:
    # Without a log configuration there are none, whatever their format would be.
    log, wanted = service_connect.get("logConfiguration"), service_connect.get("accessLogConfiguration")
    if not service_connect.get("enabled") or not log or not wanted:
        return None
    options = log.get("options") or {}
    return AccessLogs(
        driver=log.get("logDriver", ""),
        log_group=options.get("awslogs-group", ""),
        region=options.get("awslogs-region", ""),
        stream_prefix=options.get("awslogs-stream-prefix", ""),
        format=wanted.get("format", ""),
    )
