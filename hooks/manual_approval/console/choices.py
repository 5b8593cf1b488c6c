"""What somebody may do with a request, and in words for them why not.

The hook counts an answer by the same rules when it finds it, so nothing is decided here: this only keeps
people from writing what would come to nothing.
"""

from datetime import datetime, timedelta

from hooks.manual_approval.approvers import Person
from hooks.manual_approval.console.views import Choices, Dossier
from hooks.manual_approval.proceeding import Proceeding

EXTENSIONS = (timedelta(hours=1), timedelta(hours=4), timedelta(hours=8))

# An expiry is found by the hook when it is next called, and by then ECS must not have ended the wait itself.
BEFORE_ECS = timedelta(minutes=1)

# Less is not worth a choice.
SHORTEST_EXTENSION = timedelta(minutes=1)

_OBJECTIONS = {
    "excluded by excludedApprovers": "You are among those whom this service's rules exclude from deciding.",
    "not among allowedApprovers": "You are not among those whom this service's rules let decide.",
}
_OVER = {
    "approved": "It is approved; no further answer changes that.",
    "rejected": "It is rejected; no further answer changes that.",
    "expired": "It has expired before enough people decided.",
}


def choices(dossier: Dossier, person: Person, caller: str, *, may_decide: bool, now: datetime) -> Choices:
    """Return what the viewer may do.

    Parameters
    ----------
    person
        Whom the console has signed in.
    caller
        ARN of the console's own session, which would write the answer.
    may_decide
        What the console's own policy says of this person and service.
    """
    why_not = _why_not(dossier, person, caller, may_decide=may_decide)
    return Choices(
        why_not=why_not,
        has_approved=dossier.proceeding.has_approved(caller, person),
        extend_to=() if why_not else _later(dossier, now),
        may_stop=may_decide and dossier.deployment_status == "IN_PROGRESS",
    )


def _why_not(dossier: Dossier, person: Person, caller: str, *, may_decide: bool) -> str:
    if over := _why_it_is_over(dossier):
        return over
    if not may_decide:
        return "You may look at this service's requests, and not decide them."
    return _why_it_would_not_count(dossier.proceeding, person, caller)


def _why_it_is_over(dossier: Dossier) -> str:
    closed = dossier.proceeding.closed
    outcome = closed.outcome if closed else dossier.proceeding.outcome
    if closed or outcome in _OVER:
        return _OVER.get(outcome, f"It is closed: {outcome}.")
    if dossier.is_waiting:
        return ""
    if not dossier.deployment_status:
        return "Whether the deployment still waits is not known, for ECS could not be asked. Try again."
    if dossier.deployment_status != "IN_PROGRESS":
        return f"The deployment waits no longer: it is {dossier.deployment_status}."
    return "ECS no longer waits for this: somebody has continued it, or its time is up."


def _why_it_would_not_count(proceeding: Proceeding, person: Person, caller: str) -> str:
    rules = proceeding.rules
    if rules is None:
        return (
            "Who may decide is too long a list to stand in the request, so it can't be decided here: "
            "answer it with the AWS CLI."
        )
    if not rules.electorate.is_console(caller):
        # What is written here would count as an answer of the console's role, whoever gave it.
        return (
            "The approval hook does not know this console, so it would not believe whom it names: the hook's "
            "APPROVAL_CONSOLE_ROLE has to be this console's role when it asks."
        )
    objection = proceeding.objection(caller, person)
    return _OBJECTIONS.get(objection, f"Your answer would not count: {objection}.") if objection else ""


def _later(dossier: Dossier, now: datetime) -> tuple[datetime, ...]:
    """Return later expiries, up to the latest that hook and ECS allow; a PAUSE hook's can't be put off."""
    proceeding, latest = dossier.proceeding, dossier.proceeding.extendable_to
    if latest is None or proceeding.finding is None or proceeding.is_pause:
        return ()
    if dossier.ecs_deadline is not None:
        latest = min(latest, (dossier.ecs_deadline - BEFORE_ECS).replace(microsecond=0))
    expires_at = proceeding.finding.expires_at.replace(microsecond=0)
    if latest - expires_at < SHORTEST_EXTENSION or latest <= now:
        return ()
    sooner = [expires_at + extension for extension in EXTENSIONS]
    return (*(moment for moment in sooner if moment < latest), latest)
