"""What ``--json`` prints. docs/approvals-command.md has the keys; some may be added, and none is changed.

Texts of others stand there as they were written. A time is ISO 8601 in UTC, and ``null`` where there is none.
"""

from datetime import datetime

from hooks.manual_approval.archive import Entry
from hooks.manual_approval.cli.account import Account, reworded
from hooks.manual_approval.cli.naming import Named
from hooks.manual_approval.console.views import Dossier, History, Overview, Waiting
from hooks.manual_approval.console.wording import step_of
from hooks.manual_approval.proceeding import Proceeding
from shared.clock import timestamp
from shared.lifecycle import ServiceDeploymentArn

JsonObject = dict[str, object]


def request_named(deployment: ServiceDeploymentArn, part: str) -> JsonObject:
    """Name a request; ``request`` is what the command line takes."""
    return {
        "request": str(Named(deployment, part)),
        "cluster": deployment.cluster,
        "service": deployment.service,
        "deployment": str(deployment),
        "part": part,
    }


def waiting(request: Waiting, account: Account) -> JsonObject:
    """Write one line of the list."""
    return {
        **request_named(request.deployment, request.part),
        "stage": request.stage,
        "step": request.step,
        "isPause": request.is_pause,
        "images": list(request.images),
        "requestedAt": moment(request.asked_at),
        "expiresAt": moment(request.expires_at),
        "state": request.state,
        "deploymentStatus": request.deployment_status,
        "url": f"{account.console_url}{request.path}" if account.console_url else None,
    }


def overview(found: Overview, account: Account) -> JsonObject:
    """Write the list; those that are pending first, and of them those that expire first."""
    return {
        "requests": [waiting(request, account) for request in (*found.waiting, *found.others)],
        "leftOut": found.left_out,
        "problems": [reworded(problem) for problem in found.problems],
    }


def decided(proceeding: Proceeding) -> JsonObject:
    """Write what a request amounts to."""
    rules, finding = proceeding.rules, proceeding.finding
    return {
        **request_named(proceeding.deployment, proceeding.part),
        "stage": proceeding.statement.stage,
        "step": step_of(proceeding.part),
        "isPause": proceeding.is_pause,
        "version": proceeding.asked.number,
        "requestedAt": moment(proceeding.asked.at),
        "expiresAt": moment(finding.expires_at if finding else proceeding.statement.expires_at),
        "extendableTo": moment(proceeding.extendable_to),
        "outcome": proceeding.outcome,
        "required": rules.required if rules else None,
        "missing": proceeding.missing if rules else None,
        "by": votes(proceeding),
    }


def votes(proceeding: Proceeding) -> list[JsonObject]:
    """Write the approvals so far, or the one rejection."""
    found = proceeding.finding.votes if proceeding.finding else ()
    return [vote(one.by, one.name, one.at, one.comment) for one in found]


def vote(who: str, name: str, at: datetime, comment: str) -> JsonObject:
    """Write who said something, when and with which comment."""
    return {"who": who, "name": name, "at": moment(at), "comment": comment}


def dossier(found: Dossier, account: Account) -> JsonObject:
    """Write one request in full."""
    proceeding, rules = found.proceeding, found.proceeding.rules
    objection = proceeding.objection(account.identity)
    return {
        **decided(proceeding),
        "parameter": proceeding.name,
        "rules": rules.document() if rules else None,
        "answers": [
            {
                "version": one.number,
                "what": one.what,
                **vote(one.who, one.name, one.at, one.comment),
                "counts": not one.objection,
                "objection": one.objection,
            }
            for one in found.answers
        ],
        "deploymentStatus": found.deployment_status,
        "lifecycleStage": found.lifecycle_stage,
        "strategy": found.strategy,
        "isFirst": found.is_first,
        "isWaiting": found.is_waiting,
        "ecsDeadline": moment(found.ecs_deadline),
        "images": [
            {
                "container": image.container,
                "blue": image.blue,
                "blueDigest": image.blue_digest,
                "green": image.green,
                "greenDigest": image.green_digest,
            }
            for image in found.images
        ],
        "differences": [
            {"where": one.where, "what": one.what, "blue": one.blue, "green": one.green}
            for one in found.differences
        ],
        "evidence": [
            {
                "hook": one.hook,
                "stage": one.stage,
                "step": one.step,
                "at": moment(one.at),
                "answer": one.answer,
                "reason": one.reason,
                "wouldRefuse": one.would_refuse,
            }
            for one in found.evidence
        ],
        "testAccess": [
            {
                "address": one.address,
                "headers": [{"name": name, "value": value} for name, value in one.headers],
                "inside": one.inside,
            }
            for one in found.test_access
        ],
        "you": {
            "identity": account.identity,
            "mayDecide": objection is None,
            "objection": objection or "",
            "hasApproved": proceeding.has_approved(account.identity),
        },
        "problems": [reworded(problem) for problem in found.problems],
    }


def history(found: History) -> JsonObject:
    """Write the past decisions of a day."""
    return {
        "day": found.day.isoformat(),
        "entries": [entry(one) for one in found.entries],
        "leftOut": found.left_out,
        "problems": [reworded(problem) for problem in found.problems],
    }


def entry(found: Entry) -> JsonObject:
    """Write a past decision."""
    return {
        **request_named(found.deployment, found.part),
        "stage": found.stage,
        "outcome": found.outcome,
        "deploymentStatus": found.deployment_status,
        "requestedAt": moment(found.asked_at),
        "endedAt": moment(found.ended_at),
        "required": found.required or None,
        "answers": [
            {"what": one.what, **vote(one.who, one.name, one.at, one.comment)} for one in found.answers
        ],
        "images": list(found.images),
    }


def moment(at: datetime | None) -> str | None:
    """Write a time, to the second."""
    return None if at is None else timestamp(at)
