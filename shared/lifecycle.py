"""The event that ECS sends to a lifecycle hook, and what it means.

::

    {
        "executionId": "f4fcae0f-...",
        "lifecycleStage": "PRODUCTION_TRAFFIC_SHIFT",
        "resourceArn": "arn:aws:ecs:...:service-deployment/CLUSTER/SERVICE/ID",
        "executionDetails": {
            "serviceArn": "arn:aws:ecs:...:service/CLUSTER/SERVICE",
            "targetServiceRevisionArn": "arn:aws:ecs:...:service-revision/CLUSTER/SERVICE/ID",
            "testTrafficWeights": {},
            "productionTrafficWeights": {"<green revision>": 100, "<blue revision>": 0},
        },
        "hookDetails": {...},
    }

The event says neither which revision is blue nor which way the deployment travels; the first is
``shared.deployment``'s job, the second is :attr:`LifecycleEvent.direction`.

Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/lambda-lifecycle-hooks.html
"""

import enum
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self

from shared.errors import Misconfigured, shown

# Steps can be as small as 0.1 % (canaryPercent is a multiple of 0.1) and arrive as doubles.
WEIGHT_TOLERANCE_PERCENT = 0.01

# A linear deployment has two revisions in its map; a service after failed rollbacks a few more.
# Far above both, so that a map built to exhaust us is refused rather than walked.
MAX_WEIGHTS = 100

# ECS hands hookDetails back on every poll and we log settings; ECS documents no limit of its own.
MAX_HOOK_DETAILS_BYTES = 64 * 1024


class Stage(enum.StrEnum):
    """The stages at which ECS calls hooks, in the order a deployment passes them."""

    RECONCILE_SERVICE = "RECONCILE_SERVICE"
    PRE_SCALE_UP = "PRE_SCALE_UP"
    POST_SCALE_UP = "POST_SCALE_UP"
    TEST_TRAFFIC_SHIFT = "TEST_TRAFFIC_SHIFT"
    POST_TEST_TRAFFIC_SHIFT = "POST_TEST_TRAFFIC_SHIFT"
    PRE_PRODUCTION_TRAFFIC_SHIFT = "PRE_PRODUCTION_TRAFFIC_SHIFT"
    PRODUCTION_TRAFFIC_SHIFT = "PRODUCTION_TRAFFIC_SHIFT"
    POST_PRODUCTION_TRAFFIC_SHIFT = "POST_PRODUCTION_TRAFFIC_SHIFT"

    @property
    def shifts_traffic(self) -> bool:
        """Whether the stage's weights are those being moved to, and ECS calls it again on rollback."""
        return self in {Stage.TEST_TRAFFIC_SHIFT, Stage.PRODUCTION_TRAFFIC_SHIFT}

    @property
    def recurs(self) -> bool:
        """Whether a canary or linear deployment passes the stage once per step."""
        return self in {Stage.PRE_PRODUCTION_TRAFFIC_SHIFT, Stage.PRODUCTION_TRAFFIC_SHIFT}


class Direction(enum.StrEnum):
    """Which way the deployment travels, as told by stage and weights."""

    FORWARD = "FORWARD"
    """A stage that moves no traffic; its weights, if any, say nothing about direction."""
    FORWARD_STEP = "FORWARD_STEP"
    """A shift that leaves traffic on both revisions."""
    FORWARD_FINAL = "FORWARD_FINAL"
    """A shift of everything to green."""
    FIRST_DEPLOYMENT = "FIRST_DEPLOYMENT"
    """A shift to green with no blue beside it."""
    ROLLBACK = "ROLLBACK"
    """A shift of everything back to blue."""
    NO_WEIGHTS = "NO_WEIGHTS"
    """A shift stage with an empty map, as a service without load balancer may see."""
    UNEXPECTED = "UNEXPECTED"
    """A shift stage whose map has no green in it, or weights that are no shift at all."""


@dataclass(frozen=True, slots=True)
class _EcsArn:
    """``arn:PARTITION:ecs:REGION:ACCOUNT:KIND/CLUSTER/SERVICE[/ID]``."""

    partition: str
    region: str
    account: str
    cluster: str
    service: str

    @property
    def _prefix(self) -> str:
        return f"arn:{self.partition}:ecs:{self.region}:{self.account}"

    @property
    def service_arn(self) -> "ServiceArn":
        return ServiceArn(self.partition, self.region, self.account, self.cluster, self.service)

    def belongs_to(self, service: "ServiceArn") -> bool:
        """Tell whether this names something of that very service, account and region included."""
        return self.service_arn == service


# Cluster and service names: up to 255 letters, digits, hyphens and underscores (CreateService).
# Account: twelve digits in practice; AWS's own superseded example has ten, so it is left open.
_NAME = r"[A-Za-z0-9_-]{1,255}"
_ARN = (
    r"arn:(?P<partition>aws[a-z-]{0,20}):ecs:(?P<region>[a-z0-9-]{1,32}):(?P<account>\d{1,12}):"
    rf"%s/(?P<cluster>{_NAME})/(?P<service>{_NAME})"
)
_SERVICE = re.compile(_ARN % "service")
_DEPLOYMENT = re.compile(_ARN % "service-deployment" + rf"/(?P<id>{_NAME})")
_REVISION = re.compile(_ARN % "service-revision" + rf"/(?P<id>{_NAME})")


def _match(pattern: re.Pattern[str], kind: str, text: object, where: str) -> dict[str, str]:
    if isinstance(text, str) and (match := pattern.fullmatch(text)):
        return match.groupdict()
    raise Misconfigured(f"{where}: expected the ARN of an ECS {kind}, got {shown(text)}")


@dataclass(frozen=True, slots=True)
class ServiceArn(_EcsArn):
    """``arn:aws:ecs:REGION:ACCOUNT:service/CLUSTER/SERVICE``."""

    @classmethod
    def parse(cls, text: object, where: str = "serviceArn") -> Self:
        """Read an ARN in the long format; raises :class:`Misconfigured` naming *where* it stood."""
        return cls(**_match(_SERVICE, "service", text, where))

    @property
    def cluster_arn(self) -> str:
        return f"{self._prefix}:cluster/{self.cluster}"

    def __str__(self) -> str:
        return f"{self._prefix}:service/{self.cluster}/{self.service}"


@dataclass(frozen=True, slots=True)
class ServiceDeploymentArn(_EcsArn):
    """``arn:aws:ecs:REGION:ACCOUNT:service-deployment/CLUSTER/SERVICE/ID``."""

    id: str

    @classmethod
    def parse(cls, text: object, where: str = "resourceArn") -> Self:
        """Read an ARN; raises :class:`Misconfigured` naming *where* it stood."""
        return cls(**_match(_DEPLOYMENT, "service deployment", text, where))

    def __str__(self) -> str:
        return f"{self._prefix}:service-deployment/{self.cluster}/{self.service}/{self.id}"


@dataclass(frozen=True, slots=True)
class ServiceRevisionArn(_EcsArn):
    """``arn:aws:ecs:REGION:ACCOUNT:service-revision/CLUSTER/SERVICE/ID``."""

    id: str

    @classmethod
    def parse(cls, text: object, where: str = "targetServiceRevisionArn") -> Self:
        """Read an ARN; raises :class:`Misconfigured` naming *where* it stood."""
        return cls(**_match(_REVISION, "service revision", text, where))

    def __str__(self) -> str:
        return f"{self._prefix}:service-revision/{self.cluster}/{self.service}/{self.id}"


Weights = Mapping[ServiceRevisionArn, float]
"""Percent of traffic by revision. The order of the map means nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleEvent:
    """One call of a hook by ECS."""

    execution_id: str
    stage_name: str
    deployment: ServiceDeploymentArn
    service: ServiceArn
    target: ServiceRevisionArn
    """Green, also while rolling back."""
    test_weights: Weights
    production_weights: Weights
    hook_details: Mapping[str, Any]
    """What the service configured, merged with what the hook returned; empty when absent or null."""

    @classmethod
    def parse(cls, event: object) -> Self:
        """Read the payload of an invocation.

        Unknown keys are ignored and an unknown stage is kept by name, because ECS has added both
        before. Absent, null, object and JSON-string forms of ``hookDetails`` are all read.

        Raises
        ------
        Misconfigured
            When the payload is not a lifecycle event, or its ARNs disagree about the service.
        """
        if not isinstance(event, Mapping):
            raise Misconfigured(f"event: expected a JSON object, got {shown(event)}")
        details = event.get("executionDetails")
        if not isinstance(details, Mapping):
            hint = ""
            if "targetServiceRevisionArn" in event:
                hint = " (this is the flat shape of superseded documentation; ECS sends the nested one)"
            raise Misconfigured(f"executionDetails: expected an object, got {shown(details)}{hint}")
        stage_name = event.get("lifecycleStage")
        if not isinstance(stage_name, str) or not stage_name:
            raise Misconfigured(f"lifecycleStage: expected a string, got {shown(stage_name)}")
        deployment = ServiceDeploymentArn.parse(event.get("resourceArn"))
        service = ServiceArn.parse(details.get("serviceArn"))
        target = ServiceRevisionArn.parse(details.get("targetServiceRevisionArn"))
        for name, arn in (("resourceArn", deployment), ("targetServiceRevisionArn", target)):
            if not arn.belongs_to(service):
                raise Misconfigured(f"{name}: {arn} does not belong to {service}")
        return cls(
            execution_id=str(event.get("executionId", "")),
            stage_name=stage_name,
            deployment=deployment,
            service=service,
            target=target,
            test_weights=_weights(details, "testTrafficWeights", service),
            production_weights=_weights(details, "productionTrafficWeights", service),
            hook_details=_hook_details(event.get("hookDetails")),
        )

    @property
    def stage(self) -> Stage | None:
        """The stage, or ``None`` for one this version does not know and must not act on."""
        return Stage.__members__.get(self.stage_name)

    @property
    def weights(self) -> Weights:
        """The map that belongs to the stage: test weights while test traffic shifts, else production."""
        return self.test_weights if self.stage is Stage.TEST_TRAFFIC_SHIFT else self.production_weights

    @property
    def target_weight(self) -> float | None:
        """Green's percentage in :attr:`weights`; ``None`` when the map does not have it."""
        return self.weights.get(self.target)

    @property
    def direction(self) -> Direction:
        """Classify the call.

        A forward PRE_PRODUCTION_TRAFFIC_SHIFT and a rollback PRODUCTION_TRAFFIC_SHIFT carry the same
        map, so "green at 0, blue at 100" means rollback only at a stage that shifts traffic.
        """
        if self.stage is None or not self.stage.shifts_traffic:
            return Direction.FORWARD
        if not self.weights:
            return Direction.NO_WEIGHTS
        weight = self.target_weight
        if weight is None:
            return Direction.UNEXPECTED
        others = [other for revision, other in self.weights.items() if revision != self.target]
        if _close(weight, 0):
            return Direction.ROLLBACK if _close(sum(others), 100) else Direction.UNEXPECTED
        if _close(weight, 100):
            return Direction.FORWARD_FINAL if others else Direction.FIRST_DEPLOYMENT
        return Direction.FORWARD_STEP

    @property
    def step(self) -> str:
        """Name the step where the stage recurs (``"10"``, ``"12.5"``; green's weight), else ``""``.

        It is part of what identifies a piece of work: state, requests and records of one step must
        never be taken for another's.
        """
        if self.stage is None or not self.stage.recurs or self.target_weight is None:
            return ""
        return f"{round(self.target_weight, 1):g}"


def _close(weight: float, percent: float) -> bool:
    return abs(weight - percent) <= WEIGHT_TOLERANCE_PERCENT


def _weights(details: Mapping[str, Any], key: str, service: ServiceArn) -> Weights:
    weights = details.get(key)
    if weights is None:
        return MappingProxyType({})
    if not isinstance(weights, Mapping) or len(weights) > MAX_WEIGHTS:
        raise Misconfigured(f"{key}: expected a map of at most {MAX_WEIGHTS} revisions, got {shown(weights)}")
    parsed: dict[ServiceRevisionArn, float] = {}
    for arn, weight in weights.items():
        revision = ServiceRevisionArn.parse(arn, key)
        if not revision.belongs_to(service):
            raise Misconfigured(f"{key}: {revision} does not belong to {service}")
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise Misconfigured(f"{key}: expected a percentage for {revision}, got {shown(weight)}")
        # NaN is not in the range either, and integers too large for a float can be compared with one.
        if not -WEIGHT_TOLERANCE_PERCENT <= weight <= 100 + WEIGHT_TOLERANCE_PERCENT:
            raise Misconfigured(f"{key}: expected 0 to 100 for {revision}, got {shown(weight)}")
        parsed[revision] = float(weight)
    return MappingProxyType(parsed)


def _hook_details(details: object) -> Mapping[str, Any]:
    if details is None:
        return MappingProxyType({})
    # CloudFormation types the property as string or object, so a function may receive the string.
    if isinstance(details, str):
        if len(details.encode(errors="replace")) > MAX_HOOK_DETAILS_BYTES:
            raise Misconfigured(f"hookDetails: more than {MAX_HOOK_DETAILS_BYTES} bytes")
        try:
            details = json.loads(details) if details.strip() else {}
        except (ValueError, RecursionError) as error:
            raise Misconfigured(f"hookDetails: a string that is not JSON ({shown(details)})") from error
    if not isinstance(details, Mapping) or not all(isinstance(key, str) for key in details):
        raise Misconfigured(f"hookDetails: expected an object, got {shown(details)}")
    try:
        # As strict as whoever reads our reply: neither NaN nor half a surrogate pair gets through.
        size = len(json.dumps(details, allow_nan=False, ensure_ascii=False).encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise Misconfigured("hookDetails: not representable as JSON") from error
    if size > MAX_HOOK_DETAILS_BYTES:
        raise Misconfigured(f"hookDetails: {size} bytes, at most {MAX_HOOK_DETAILS_BYTES} are read")
    return MappingProxyType(dict(details))
