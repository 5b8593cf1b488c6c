"""What a service revision runs and how it is reached; plain values.

``shared.deployment`` reads them, and ``shared.listener`` a listener's.

Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceRevision.html
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.lifecycle import ServiceRevisionArn


@dataclass(frozen=True, slots=True)
class Image:
    """What one container runs."""

    container: str
    reference: str
    """As in the task definition: ``repository:tag`` or ``repository@sha256:...``."""
    digest: str | None
    """``sha256:...`` as ECS recorded it; ``None`` while no task has started from a tag."""


@dataclass(frozen=True, slots=True)
class TestHeader:
    """The header that makes Service Connect send a request to green."""

    name: str
    value: str | None
    """``None`` where any value will do."""


@dataclass(frozen=True, slots=True)
class ClientAlias:
    """Where clients in the Service Connect namespace reach the service."""

    port_name: str
    dns_name: str | None
    """``None`` where it follows from the namespace's name, and the revision does not say that."""
    port: int
    test_header: TestHeader


@dataclass(frozen=True, slots=True)
class Listener:
    """What a load balancer says of the listener that test traffic comes in by."""

    protocol: str
    port: int
    host: str
    conditions: Sequence[Mapping[str, Any]]
    """Of the rule, in the API's shape."""


@dataclass(frozen=True, slots=True)
class AccessLogs:
    """Where a revision's Service Connect proxies log each request, and how."""

    driver: str
    """``awslogs``, ``awsfirelens``, ...; what follows is known for the first only, and else empty."""
    log_group: str
    region: str
    stream_prefix: str
    """Streams are called ``prefix/container/task id``; without a prefix they do not name the task."""
    format: str
    """``TEXT`` or ``JSON``."""


@dataclass(frozen=True, slots=True)
class Revision:
    """A service revision."""

    arn: ServiceRevisionArn
    task_definition_arn: str
    images: tuple[Image, ...]
    target_groups: tuple[str, ...]
    """ARNs from the *resolved* configuration: colours alternate, so the configured group says nothing."""
    test_header: TestHeader | None
    """``None`` without Service Connect."""
    load_balancers: tuple[str | None, ...] = ()
    """What stands in front of each target group, as CloudWatch's dimension ``LoadBalancer`` has it:
    ``app/name/id`` or ``net/name/id``; ``None`` where ECS has resolved none."""
    aliases: tuple[ClientAlias, ...] = ()
    """Empty without Service Connect, or where the service is only a client of others."""
    test_listener_rules: tuple[str, ...] = ()
    """What leads test traffic to green: ARNs of rules of application load balancers, or of listeners of
    network load balancers."""
    access_logs: AccessLogs | None = None
    """``None`` without Service Connect, or where its proxies log no requests."""
    is_on_fargate: bool = False
    """Whether ECS says that all its tasks run on Fargate; False also where it does not say."""
    architecture: str | None = None
    """``X86_64`` or ``ARM64`` where ECS runs it on another than the task definition says."""
