"""What people are told of a request, in words.

A message says where to look and how to answer. Its link opens a page and decides nothing, for mail scanners
follow links. What was asked is read from the hook's own version, ``NAME:VERSION``, and not from what anybody
may have written over it since.

The command that approves stands in the first message alone: a reminder is not another request.
"""

import shlex
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from hooks.manual_approval.request import Occasion
from shared.clock import timestamp
from shared.lifecycle import LifecycleEvent, ServiceDeploymentArn


@dataclass(frozen=True, slots=True)
class Subject:
    """What is asked about."""

    deployment: ServiceDeploymentArn
    stage: str
    step: str = ""
    """``"10"``: the step after ten percent; empty where a stage does not recur."""
    pause: str = ""
    """Id of the PAUSE hook that waits; empty where the approval hook asks."""

    @classmethod
    def of(cls, event: LifecycleEvent) -> Self:
        """Take it from a call of ECS."""
        return cls(event.deployment, event.stage_name, event.step)

    @property
    def where(self) -> str:
        """``checkout in shop``."""
        return f"{self.deployment.service} in {self.deployment.cluster}"


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent to a channel."""

    subject: str
    text: str
    """Lines that begin with two spaces are to be copied as they are."""
    link: str = ""
    """To the request in the console; empty where there is none."""


def compose(
    occasion: Occasion,
    subject: Subject,
    name: str,
    version: int,
    *,
    required: int,
    expires_at: datetime,
    console_url: str = "",
) -> Message:
    """Write the message of an occasion.

    Parameters
    ----------
    name, version
        The parameter, and which of its versions asks.
    console_url
        Without a slash at its end; empty where there is no console.
    """
    title, opening = _opening(occasion, subject)
    people = "one approval" if required == 1 else f"{required} approvals, each by someone else"
    link = f"{console_url}/requests/{_path(subject, name)}" if console_url else ""
    facts = [f"It needs {people}, until {timestamp(expires_at)}."]
    if link:
        facts.append(f"Look at it, and decide, in the console: {link}")
    first = occasion is Occasion.REQUEST
    facts.append(
        "Read what is asked:" if first or subject.pause else "Read what is asked, and how to answer:"
    )
    read_it = f"aws ssm get-parameter --name {name}:{version} --query Parameter.Value --output text"
    parts = [opening, _commands("\n".join(facts), read_it)]
    if first:
        parts.append(_to_parameter_store(name))
    if subject.pause:
        parts.append(_to_ecs(subject))
    return Message(title, "\n\n".join(parts) + "\n", link)


def _opening(occasion: Occasion, subject: Subject) -> tuple[str, str]:
    """Return title and first sentence."""
    step = f", at the step after {subject.step} %" if subject.step else ""
    deployment = f"Deployment {subject.deployment.id} of {subject.where}"
    waits = f"pauses at {subject.stage} and waits" if subject.pause else "waits"
    match occasion:
        case Occasion.REQUEST:
            return f"Approval needed: {subject.where}", f"{deployment} {waits} for approval{step}."
        case Occasion.HALF_TIME:
            opening = f"{deployment} still {waits} for approval{step}. Half of its time is over."
            return f"Reminder, approval needed: {subject.where}", opening
        case Occasion.LAST_CALL:
            opening = f"{deployment} still {waits} for approval{step}. Nine tenths of its time are over."
            return f"Last call, approval needed: {subject.where}", opening


def _to_parameter_store(name: str) -> str:
    command = f"aws ssm put-parameter --overwrite --name {name} --value"
    return _commands(
        "Answer APPROVED or REJECTED, or JSON with a comment:",
        f"{command} APPROVED",
        f"""{command} '{{"state": "REJECTED", "comment": "why"}}'""",
    )


def _to_ecs(subject: Subject) -> str:
    # Both ids, and the action in words: without one ECS takes CONTINUE.
    # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContinueServiceDeployment.html
    command = (
        f"aws ecs continue-service-deployment --service-deployment-arn {subject.deployment} "
        f"--hook-id {shlex.quote(subject.pause)} --action"
    )
    return _commands(
        "Whoever may tell ECS itself settles it at once, and alone:",
        f"{command} CONTINUE",
        f"{command} ROLLBACK",
    )


def _commands(what_for: str, *commands: str) -> str:
    return "\n".join((what_for, "", *(f"  {command}" for command in commands)))


def _path(subject: Subject, name: str) -> str:
    """Return the request's own part of its parameter's name, which is its path in the console as well."""
    deployment = subject.deployment
    path = f"{deployment.cluster}/{deployment.service}/{deployment.id}"
    part = name.rpartition(path)[2]
    return f"{path}{part}"
