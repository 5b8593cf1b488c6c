"""What waits for a decision, gathered for the list: a hundred requests in some twenty calls.

::

    ssm:GetParametersByPath           ten requests a page, one page after the other
    ecs:DescribeServiceDeployments    twenty deployments at once    ┐ side by side, and
    ecs:DescribeServiceRevisions      twenty green ones at once     ┘ while further pages are read

Whoever may write parameters may write these texts, so from them is taken what is shown here and no more:
stage, times, whether one says that it is closed. ECS says whether a deployment goes on, whether a PAUSE hook
waits, and what green runs. Who may decide and who has is for the request's own page, which reads the history.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import batched
from typing import Any

from hooks.manual_approval.console.listing import Home, Listed, Listing
from hooks.manual_approval.console.views import Overview, Waiting
from hooks.manual_approval.proceeding import PAUSE_PREFIX, Askers
from hooks.manual_approval.request import Kind, Statement, read
from shared.clients import client
from shared.clock import parse_timestamp
from shared.errors import HookError, translated
from shared.lifecycle import ServiceDeploymentArn

# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeServiceDeployments.html and
# API_DescribeServiceRevisions.html
DESCRIBED_PER_CALL = 20

# As many as ECS's rate of calls leaves for others (20 a second and cluster), and far fewer than there are
# connections in botocore's pool.
BATCHES_AT_ONCE = 5

_STEP_PREFIX = "step-from-"

# A container's image as it is shown in a line: with more of it, the tag is not seen.
MAX_IMAGE_CHARACTERS = 100
SHORT_DIGEST_CHARACTERS = 12

MayView = Callable[[str, str], bool]
"""Tells by cluster and service."""

_LAST = datetime.max.replace(tzinfo=UTC)
_FIRST = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Request:
    """A parameter that may be seen."""

    deployment: ServiceDeploymentArn
    part: str
    statement: Statement
    asked_at: datetime | None

    @property
    def is_pause(self) -> bool:
        return self.part.startswith(PAUSE_PREFIX)


@dataclass(slots=True)
class _Found:
    """What ECS says of a batch of deployments."""

    deployments: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """In the API's shape, by ARN."""
    images: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """What green runs, by the deployment's ARN."""
    unread: set[str] = field(default_factory=set)
    """ARNs of those that could not be asked about."""
    problems: list[str] = field(default_factory=list)

    def take(self, other: "_Found") -> None:
        self.deployments |= other.deployments
        self.images |= other.images
        self.unread |= other.unread
        self.problems += other.problems


def read_overview(prefix: str, askers: Askers, now: datetime, may_view: MayView) -> Overview:
    """List the requests under a prefix that somebody may see.

    Raises
    ------
    HookError
        When even its own identity can't be read; what else fails is in the list's ``problems``.
    """
    home = Home.here()
    listing = Listing(prefix)
    requests: list[_Request] = []
    found = _Found()
    # Made here and not in the threads: a client takes the credentials that it finds when it is made.
    look_up = _Batch(client("ecs"), home)
    with ThreadPoolExecutor(BATCHES_AT_ONCE) as pool:
        arns = _arns(_requests(listing, home, askers, may_view), requests)
        for batch in pool.map(look_up, batched(arns, DESCRIBED_PER_CALL, strict=False)):
            found.take(batch)
    lines = [_line(request, found, now) for request in requests]
    problems = [f"Not all requests could be listed: {listing.problem}"] if listing.problem else []
    return Overview(
        waiting=tuple(sorted((line for line in lines if line.state == "pending"), key=_urgency)),
        others=tuple(sorted((line for line in lines if line.state != "pending"), key=_age, reverse=True)),
        left_out=listing.left_out,
        problems=tuple(dict.fromkeys([*problems, *found.problems])),
    )


def _requests(listing: Iterable[Listed], home: Home, askers: Askers, may_view: MayView) -> Iterator[_Request]:
    for listed in listing:
        named = home.request(listed.steps)
        if named is None:
            continue
        deployment, part = named
        # Where nobody asks for PAUSE hooks, whatever stands under such a name was never asked.
        if askers.of(part) and may_view(deployment.cluster, deployment.service):
            yield _Request(deployment, part, read(listed.text), _asked_at(listed.text))


def _arns(requests: Iterable[_Request], seen: list[_Request]) -> Iterator[str]:
    """Return each deployment once, and note the requests on the way."""
    known = set()
    for request in requests:
        seen.append(request)
        arn = str(request.deployment)
        if arn not in known:
            known.add(arn)
            yield arn


def _asked_at(text: str) -> datetime | None:
    try:
        document = json.loads(text)
        return parse_timestamp(document["requestedAt"])
    except (KeyError, RecursionError, TypeError, ValueError):
        return None


class _Batch:
    """Looks up a batch of deployments, and what their green revisions run."""

    def __init__(self, ecs: "ECSClient", home: Home) -> None:
        self._ecs = ecs
        self._home = home

    def __call__(self, arns: Sequence[str]) -> _Found:
        found = _Found()
        about = "one deployment" if len(arns) == 1 else f"{len(arns)} deployments"
        try:
            with translated("ecs:DescribeServiceDeployments", about):
                described = self._ecs.describe_service_deployments(serviceDeploymentArns=list(arns))
            for deployment in described["serviceDeployments"]:
                found.deployments[deployment["serviceDeploymentArn"]] = deployment
        except HookError as error:
            found.unread.update(arns)
            found.problems.append(f"Some of these may be over, for ECS did not say: {error}")
            return found
        green = {
            arn: str(target["arn"])
            for arn, deployment in found.deployments.items()
            if (target := deployment.get("targetServiceRevision")) and "arn" in target
        }
        if not green:
            return found
        try:
            with translated("ecs:DescribeServiceRevisions", about):
                revisions = self._ecs.describe_service_revisions(
                    serviceRevisionArns=list(dict.fromkeys(green.values()))
                )
            images = {
                revision["serviceRevisionArn"]: self._images(revision)
                for revision in revisions["serviceRevisions"]
            }
            found.images = {arn: images.get(revision, ()) for arn, revision in green.items()}
        except HookError as error:
            found.problems.append(f"What some of these run could not be read: {error}")
        return found

    def _images(self, revision: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(self._short(str(one.get("image", ""))) for one in revision.get("containerImages", []))

    def _short(self, image: str) -> str:
        """Shorten a reference to what tells two releases apart.

        Only this account's own registry is left out: any other is something to see.
        """
        own = rf"{self._home.account}\.dkr\.ecr\.{self._home.region}\.amazonaws\.com(?:\.cn)?/"
        name, at, digest = re.sub(f"^{own}", "", image).partition("@sha256:")
        short = f"{name}{at}{digest[:SHORT_DIGEST_CHARACTERS]}"
        return short if len(short) <= MAX_IMAGE_CHARACTERS else f"…{short[1 - MAX_IMAGE_CHARACTERS :]}"


def _line(request: _Request, found: _Found, now: datetime) -> Waiting:
    deployment, statement, arn = request.deployment, request.statement, str(request.deployment)
    described = found.deployments.get(arn, {})
    hook = _pause_hook(request, described)
    expires_at = _in_utc(hook["expiresAt"]) if hook and "expiresAt" in hook else statement.expires_at
    step = request.part.removeprefix(_STEP_PREFIX) if request.part.startswith(_STEP_PREFIX) else ""
    path = f"/requests/{deployment.cluster}/{deployment.service}/{deployment.id}"
    return Waiting(
        deployment=deployment,
        part=request.part,
        path=f"{path}/{request.part}" if request.part else path,
        stage=statement.stage or str(described.get("lifecycleStage", "")),
        step="" if step == "unknown" else step,
        is_pause=request.is_pause,
        images=found.images.get(arn, ()),
        asked_at=request.asked_at,
        expires_at=expires_at,
        state=_state(request, found, hook, expires_at, now),
        deployment_status=str(described.get("status", "")),
    )


def _state(
    request: _Request,
    found: _Found,
    hook: Mapping[str, Any] | None,
    expires_at: datetime | None,
    now: datetime,
) -> str:
    arn = str(request.deployment)
    is_read = arn not in found.unread
    if is_read and found.deployments.get(arn, {}).get("status") != "IN_PROGRESS":
        return "ended"
    if request.statement.kind is Kind.CLOSED or (expires_at is not None and now >= expires_at):
        return "decided"
    if is_read and request.is_pause and hook is None:
        return "decided"
    return "pending"


def _pause_hook(request: _Request, described: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the PAUSE hook that a request is about, where it waits."""
    for hook in described.get("lifecycleHookDetails") or ():
        if hook.get("hookId") == request.part and hook.get("status") == "AWAITING_ACTION":
            found: Mapping[str, Any] = hook
            return found
    return None


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def _urgency(line: Waiting) -> tuple[datetime, str]:
    return line.expires_at or _LAST, line.path


def _age(line: Waiting) -> tuple[datetime, str]:
    return line.asked_at or _FIRST, line.path


TYPE_CHECKING = False
if TYPE_CHECKING:  # the stubs are not in the artifact, and typing's own constant costs an import there
    from mypy_boto3_ecs import ECSClient
