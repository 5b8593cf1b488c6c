"""What the pages show, as plain values: gathered by ``overview`` and ``dossier``, drawn by ``pages``.

Whatever AWS or a person wrote is text here, and is escaped where it is drawn.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from hooks.manual_approval.archive import Entry
from hooks.manual_approval.proceeding import Proceeding
from shared.lifecycle import ServiceDeploymentArn


@dataclass(frozen=True, slots=True)
class Viewer:
    """Whoever is signed in."""

    name: str
    identity: str
    """``oidc:ISSUER#SUBJECT``."""
    csrf: Callable[[str], str]
    """Takes the path that a form is sent to; returns what the form has to carry."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One line of the list."""

    deployment: ServiceDeploymentArn
    part: str
    """``""``, ``step-from-10``, or the id of a PAUSE hook."""
    path: str
    """Of the request's page."""
    stage: str
    step: str
    """``"10"``: percent of traffic on green so far; empty where a stage does not recur."""
    is_pause: bool
    images: tuple[str, ...]
    """What green runs, shortened: ``shop/checkout:42``; in the order that ECS has them."""
    asked_at: datetime | None
    expires_at: datetime | None
    state: str
    """``pending``, ``decided`` (its deployment goes on), or ``ended`` with the deployment."""
    deployment_status: str
    """As ECS says: ``IN_PROGRESS``; empty where it knows no such deployment."""


@dataclass(frozen=True, slots=True)
class Overview:
    """The list."""

    waiting: tuple[Waiting, ...]
    """Pending ones, those that expire first before the others."""
    others: tuple[Waiting, ...]
    """Decided or ended, and not yet in the history."""
    left_out: bool
    """Whether there are more than are shown."""
    problems: tuple[str, ...]
    """What could not be read, in sentences."""


@dataclass(frozen=True, slots=True)
class History:
    """Past decisions of one day (UTC)."""

    day: date
    entries: tuple[Entry, ...]
    """The latest first."""
    earlier: date | None
    later: date | None
    left_out: bool
    problems: tuple[str, ...] = ()
    """What could not be read, in sentences."""


@dataclass(frozen=True, slots=True)
class ImageChange:
    """What one container runs on either side."""

    container: str
    blue: str
    blue_digest: str
    green: str
    green_digest: str
    """``sha256:...``; empty while ECS has not resolved it."""

    @property
    def is_same(self) -> bool:
        return (self.blue, self.blue_digest) == (self.green, self.green_digest)


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which two task definitions differ."""

    where: str
    """Container, or ``task``."""
    what: str
    """``environment LOG_LEVEL``, ``secret DB_PASSWORD``, ``cpu``, ``memory``, ``port 8080``, ..."""
    blue: str
    """Empty where there was none; of a value that may be secret, ``(not shown)``."""
    green: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """A decision record of another hook in this deployment."""

    hook: str
    stage: str
    step: str
    at: datetime
    answer: str
    """``proceed``, ``refuse`` or ``wait``."""
    reason: str
    would_refuse: str
    """In observe mode: why it would have refused; empty otherwise."""
    charts: tuple[dict[str, Any], ...]
    """In the shape that ``shared.record`` describes; written by a hook, so of any content."""
    tables: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class TestAccess:
    """How to reach green before production traffic does."""

    address: str
    """``http://internal-shop.example.com:80/checkout/*``, or ``checkout.shop:8080`` in the namespace."""
    headers: tuple[tuple[str, str], ...]
    """Name and value; an empty value where any will do."""
    inside: bool
    """Whether only clients in the Service Connect namespace get there."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One version that was meant as an answer."""

    number: int
    at: datetime
    what: str
    """``approved``, ``rejected``, ``extended``, or ``not understood``."""
    who: str
    """ARN, or person of the console."""
    name: str
    comment: str
    objection: str
    """Why it does not count; empty where it does."""


@dataclass(frozen=True, slots=True)
class Dossier:
    """One request in full."""

    proceeding: Proceeding
    deployment_status: str
    lifecycle_stage: str
    strategy: str
    is_waiting: bool
    """Whether ECS still waits for this: the deployment is in progress, and a PAUSE hook awaits its action."""
    ecs_deadline: datetime | None
    """When ECS itself ends the wait, as far as it says."""
    images: tuple[ImageChange, ...]
    differences: tuple[Difference, ...]
    evidence: tuple[Evidence, ...]
    """The latest of each hook, stage and step, in the order of time."""
    test_access: tuple[TestAccess, ...]
    answers: tuple[Answer, ...]
    problems: tuple[str, ...]
    """What could not be read, in sentences; the rest is shown all the same."""
    is_first: bool = False
    """Whether nothing ran before, so that there is nothing to compare green with."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What the viewer may do with a request."""

    why_not: str
    """Why they may not decide; empty where they may."""
    has_approved: bool
    extend_to: tuple[datetime, ...]
    """Later expiries to choose from; none where it can't be put off."""
    may_stop: bool
    """Whether they may stop the deployment and roll it back."""
