"""Commands that change something: ``approve``, ``reject``, ``extend``, ``stop``.

::

    which one is meant ─▶ show it ─▶ y/N ─▶ read it again ─▶ write ─▶ what came of it
                                             the same? does ECS still wait?

What is answered is the version that was shown. Between looking and writing somebody else may have decided:
what the answer came to is read from the order in which AWS numbered them.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rich.text import Text

from hooks.manual_approval.cli import documents, drawing
from hooks.manual_approval.cli.account import Account, complaint
from hooks.manual_approval.cli.codes import Code
from hooks.manual_approval.cli.looking import dossier, meant
from hooks.manual_approval.cli.naming import Named
from hooks.manual_approval.cli.terminal import (
    asked,
    asked_comment,
    grid,
    is_answerable,
    plain,
    printed,
    write_json,
)
from hooks.manual_approval.console import wording
from hooks.manual_approval.console.choices import BEFORE_ECS
from hooks.manual_approval.console.dossier import is_waiting
from hooks.manual_approval.continuation import carry_out
from hooks.manual_approval.continuation import stop as stop_deployment
from hooks.manual_approval.proceeding import NotPossible, Proceeding, answer, read_proceeding
from hooks.manual_approval.request import MAX_COMMENT_CHARACTERS, Kind, Version, read
from shared import clock
from shared.clock import timestamp
from shared.deployment import Deployment
from shared.errors import HookError, Misconfigured, Transient
from shared.lifecycle import ServiceDeploymentArn

# How long Parameter Store may take to show what was written: it promises consistency eventually.
# https://docs.aws.amazon.com/systems-manager/latest/userguide/systems-manager-parameter-store.html
LOOKS_FOR_AN_ANSWER = 5
SECONDS_BETWEEN_LOOKS = 1

# When the sweeper comes by: template.yaml, ManualApprovalSweepFunction.
SWEEPER_MINUTES = 5

DONE = {Kind.APPROVED: "approved", Kind.REJECTED: "rejected"}


@dataclass(frozen=True, slots=True)
class Came:
    """What an answer came to."""

    sentence: str
    code: Code
    counted: bool


def approve(options: argparse.Namespace, account: Account) -> Code:
    """Approve a request."""
    return _decide(options, account, Kind.APPROVED)


def reject(options: argparse.Namespace, account: Account) -> Code:
    """Reject a request."""
    return _decide(options, account, Kind.REJECTED)


def _decide(options: argparse.Namespace, account: Account, kind: Kind) -> Code:
    comment = _comment(options.comment or "")
    now = clock.now()
    named = meant(options.request, account, now)
    shown = dossier(named, account, now)
    printed(drawing.dossier(shown, account, now, in_full=False), "", to_err=options.json)
    _check(shown.proceeding, account, kind)
    if not options.yes:
        _check_answerable()
        if kind is Kind.REJECTED and not comment:
            comment = asked_comment("why? ")
        verb = "approve" if kind is Kind.APPROVED else "reject"
        if asked(f"{verb} {named.deployment.cluster}/{named.deployment.service}? [y/N] ").lower() not in {
            "y",
            "yes",
        }:
            raise NotPossible("nothing was answered")
    after = _answered(named, account, shown.proceeding, kind, comment=comment)
    came = came_of(kind, after, account.identity)
    if further := _carried_out(after):
        came = replace(came, sentence=f"{came.sentence}; {further}")
    return _told(options, account, after, kind, came)


def extend(options: argparse.Namespace, account: Account) -> Code:
    """Put the expiry of a request off."""
    comment = _comment(options.comment or "")
    now = clock.now()
    named = meant(options.request, account, now)
    shown = dossier(named, account, now)
    proceeding = shown.proceeding
    _check(proceeding, account, Kind.EXTENDED)
    assert proceeding.finding is not None  # or it would have been objected to
    until = options.until or (proceeding.finding.expires_at + options.by).replace(microsecond=0)
    if shown.ecs_deadline is not None and until > shown.ecs_deadline - BEFORE_ECS:
        raise NotPossible(f"ECS itself ends the wait at {timestamp(shown.ecs_deadline)}")
    after = _answered(named, account, proceeding, Kind.EXTENDED, comment=comment, expires_at=until)
    return _told(options, account, after, Kind.EXTENDED, _came_of_extension(after, until))


def stop(options: argparse.Namespace, account: Account) -> Code:
    """Stop a deployment, and have ECS roll it back."""
    arn = _deployment(options.request, account)
    deployment = Deployment(arn)
    status = deployment.status
    table = grid()
    table.add_row("service", Text(f"{arn.cluster}/{arn.service}", style="bold"))
    table.add_row("deployment", Text(f"{arn.id}, {plain(wording.status(status))}"))
    table.add_row("stage", Text(plain(deployment.lifecycle_stage or "none yet")))
    table.add_row("you are", Text(plain(account.identity)))
    printed(table, "", to_err=options.json)
    if status not in wording.UNDER_WAY:
        raise NotPossible(f"there is nothing to stop: the deployment is {wording.status(status)}")
    if not options.yes:
        _check_answerable()
        if asked(f"to stop it and roll it back, type the service's name, {arn.service}: ") != arn.service:
            raise NotPossible("nothing was stopped")
    if not stop_deployment(arn):
        raise NotPossible("there was nothing to stop any more: the deployment has ended")
    status = Deployment(arn).status
    if options.json:
        write_json({**documents.request_named(arn, ""), "stopped": True, "deploymentStatus": status})
    else:
        printed(Text(f"ECS was told to stop it; the deployment is {wording.status(status)}"))
    return Code.DONE


def _deployment(name: str, account: Account) -> ServiceDeploymentArn:
    """Return the deployment that is meant; one that is named by its ARN needs no request."""
    if name.startswith("arn:"):
        arn = ServiceDeploymentArn.parse(name, "REQUEST")
        if (arn.region, arn.account) == (account.region, account.number):
            return arn
    return meant(name, account, clock.now()).deployment


# --- before -----------------------------------------------------------------------------------------


def _comment(text: str) -> str:
    if len(text) > MAX_COMMENT_CHARACTERS:
        raise Misconfigured(
            f"--comment: expected at most {MAX_COMMENT_CHARACTERS} characters, got {len(text)}"
        )
    return text


def _check(proceeding: Proceeding, account: Account, kind: Kind) -> None:
    """Raise NotPossible before anybody is asked anything that could come to nothing."""
    if objection := proceeding.objection(account.identity):
        match proceeding.outcome:
            case "pending":
                raise NotPossible(f"it would not count: {objection}")
            case "unknown":
                raise NotPossible(objection)
        raise NotPossible(drawing.outcome(proceeding))
    if kind is Kind.APPROVED and proceeding.has_approved(account.identity):
        raise NotPossible("you have approved it already; it takes somebody else now")


def _check_answerable() -> None:
    if not is_answerable():
        raise Misconfigured("there is nobody to ask: standard input is no terminal, so say --yes")


def _answered(
    named: Named,
    account: Account,
    shown: Proceeding,
    kind: Kind,
    *,
    comment: str,
    expires_at: datetime | None = None,
) -> Proceeding:
    """Write an answer to the very request that was shown; raises NotPossible where it has become another."""
    now = clock.now()
    again = read_proceeding(account.prefix, named.deployment, named.part, account.askers, now)
    if again.asked != shown.asked:
        raise NotPossible("it was asked anew meanwhile; look at it again before you decide")
    if not is_waiting(again):
        raise NotPossible("the deployment has moved on, and nobody waits for an answer any more")
    try:
        return answer(
            again,
            kind,
            comment=comment,
            caller=account.identity,
            askers=account.askers,
            prefix=account.prefix,
            now=now,
            expires_at=expires_at,
        )
    except Transient:
        # It may have been written all the same: the reply was lost, or reads are behind.
        before = again.history[-1].number
        for _ in range(LOOKS_FOR_AN_ANSWER):
            clock.sleep(SECONDS_BETWEEN_LOOKS)
            after = read_proceeding(account.prefix, named.deployment, named.part, account.askers, clock.now())
            if any(_is_mine(version, account, kind) for version in after.history if version.number > before):
                return after
        raise


def _is_mine(version: Version, account: Account, kind: Kind) -> bool:
    return version.by == account.identity and read(version.text).kind is kind


# --- after ------------------------------------------------------------------------------------------


def came_of(kind: Kind, after: Proceeding, caller: str) -> Came:
    """Say what an approval or a rejection came to."""
    finding, rules = after.finding, after.rules
    assert finding is not None, "an answer was written"
    assert rules is not None, "an answer was written"
    mine = rules.electorate.voice(caller).one
    counted = any(vote.voice == mine for vote in finding.votes)
    if finding.outcome == DONE[kind] and counted:
        return Came(_settled(after), Code.DONE, counted=True)
    if kind is Kind.APPROVED and finding.outcome == "pending" and counted:
        more = "one more" if after.missing == 1 else f"{after.missing} more"
        return Came(f"approved by you; it takes {more}, by others", Code.DONE, counted=True)
    if finding.outcome == "pending":
        return Came("your answer does not count", Code.NOT_DONE, counted=False)
    sentence = f"your answer came too late: {drawing.outcome(after)}"
    if (kind, finding.outcome) == (Kind.REJECTED, "approved"):
        sentence += "; `approvals stop` still rolls it back"
    return Came(sentence, _TOO_LATE[kind, finding.outcome], counted=False)


# What matters is what it came to, whoever brought it about.
_TOO_LATE = {
    (Kind.APPROVED, "approved"): Code.DONE,
    (Kind.APPROVED, "rejected"): Code.REJECTED,
    (Kind.APPROVED, "expired"): Code.EXPIRED,
    (Kind.REJECTED, "approved"): Code.NOT_DONE,
    (Kind.REJECTED, "rejected"): Code.DONE,
    (Kind.REJECTED, "expired"): Code.EXPIRED,
}


def _settled(after: Proceeding) -> str:
    if after.is_pause:
        return after.outcome
    return {
        "approved": "approved; the deployment goes on when the hook next looks",
        "rejected": "rejected; ECS rolls the deployment back when the hook next looks",
    }[after.outcome]


def _carried_out(after: Proceeding) -> str:
    """Tell ECS what was decided on a PAUSE hook; return in words what came of it."""
    if not after.is_pause or after.outcome not in DONE.values():
        return ""
    verb = "goes on" if after.outcome == "approved" else "is rolled back"
    try:
        if carry_out(after):
            return f"the deployment {verb}"
    except HookError as error:
        why = complaint(error)
        return f"the sweeper tells ECS within {SWEEPER_MINUTES} minutes, for this command could not: {why}"
    return "ECS had been told already"


def _came_of_extension(after: Proceeding, until: datetime) -> Came:
    finding = after.finding
    assert finding is not None, "an answer was written"
    if finding.outcome == "pending" and finding.expires_at >= until - timedelta(seconds=1):
        at = wording.clock(finding.expires_at, clock.now())
        return Came(f"put off; it expires at {at}", Code.DONE, counted=True)
    sentence = f"your answer came too late: {drawing.outcome(after)}"
    codes = {"rejected": Code.REJECTED, "expired": Code.EXPIRED}
    return Came(sentence, codes.get(finding.outcome, Code.NOT_DONE), counted=False)


def _told(options: argparse.Namespace, account: Account, after: Proceeding, kind: Kind, came: Came) -> Code:
    if options.json:
        write_json(
            {
                **documents.decided(after),
                "answer": kind.value,
                "counted": came.counted,
                "you": account.identity,
                "message": came.sentence,
            }
        )
        return came.code
    good = came.code is Code.DONE
    mark = ("✔ ", "bold green") if good else ("✘ ", "bold red")
    lines: Sequence[Text] = [Text.assemble(mark, plain(came.sentence))]
    printed(*lines)
    return came.code
