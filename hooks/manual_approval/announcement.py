"""How a request reaches people: one message when it is made."""

from collections.abc import Mapping
from datetime import datetime

from shared.clock import timestamp
from shared.lifecycle import LifecycleEvent
from shared.notification import notify


def announce(
    event: LifecycleEvent, request: str, required: int, expires_at: datetime, environment: Mapping[str, str]
) -> bool:
    """Say on the topic that a deployment waits for approval; tell whether there is a topic.

    *request* is ``NAME:VERSION``: what people are to read is the hook's own text, and not what anybody
    may have written over it since.
    """
    name = request.rpartition(":")[0]
    where = f"{event.service.service} in {event.service.cluster}"
    step = f", at the step after {event.step} %" if event.step else ""
    people = "one approval" if required == 1 else f"{required} approvals, each by someone else"
    message = f"""Deployment {event.deployment.id} of {where} waits for approval{step}.

It needs {people}, until {timestamp(expires_at)}.
Read what is asked:

  aws ssm get-parameter --name {request} --query Parameter.Value --output text

Answer APPROVED or REJECTED, or JSON with a comment:

  aws ssm put-parameter --overwrite --name {name} --value APPROVED
  aws ssm put-parameter --overwrite --name {name} --value '{{"state": "REJECTED", "comment": "why"}}'
"""
    return notify(f"Approval needed: {where}", message, environment)
