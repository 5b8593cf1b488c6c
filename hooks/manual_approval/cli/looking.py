"""Commands that change nothing: ``list``, ``show``, ``history``; and which request somebody means."""

import argparse
from datetime import date, datetime, timedelta

from rich.text import Text

from hooks.manual_approval.cli import documents, drawing
from hooks.manual_approval.cli.account import Account, reworded
from hooks.manual_approval.cli.codes import Code
from hooks.manual_approval.cli.naming import Named, find, named_in_full
from hooks.manual_approval.cli.terminal import plain, printed, write_json
from hooks.manual_approval.console.dossier import read_dossier
from hooks.manual_approval.console.history import read_history
from hooks.manual_approval.console.overview import read_overview
from hooks.manual_approval.console.views import Dossier, Overview
from hooks.manual_approval.console.wording import long_day
from hooks.manual_approval.proceeding import read_proceeding
from shared import clock


def list_(options: argparse.Namespace, account: Account) -> Code:
    """Print what waits for a decision."""
    now = clock.now()
    found = overview(account, now)
    code = Code.TROUBLE if found.problems and not (found.waiting or found.others) else Code.DONE
    if options.json:
        write_json(documents.overview(found, account))
        return code
    shown = (*found.waiting, *found.others) if options.all else found.waiting
    if shown:
        printed(drawing.requests(shown, now))
    elif not found.problems:
        printed(Text(f"nothing waits for a decision in {account.region}"))
    if found.others and not options.all:
        count = len(found.others)
        printed(Text(f"{count} decided or ended, and not yet in the history: --all", style="dim"))
    _print_problems(found.problems, left_out=found.left_out)
    return code


def show(options: argparse.Namespace, account: Account) -> Code:
    """Print one request in full."""
    now = clock.now()
    found = dossier(meant(options.request, account, now), account, now)
    if options.json:
        write_json(documents.dossier(found, account))
    else:
        printed(drawing.dossier(found, account, now, in_full=True))
    return Code.DONE


def history(options: argparse.Namespace, account: Account) -> Code:
    """Print what was decided on some days, the latest first."""
    now = clock.now()
    last: date = options.day or now.date()
    found = [
        read_history(account.prefix, last - timedelta(days=back), everything, now)
        for back in range(options.days)
    ]
    if options.json:
        write_json({"days": [documents.history(one) for one in found]})
        return Code.DONE
    for number, one in enumerate(found):
        title = Text(f"{long_day(one.day)} (UTC)", style="bold")
        body = drawing.entries(one.entries) if one.entries else Text("nothing was decided", style="dim")
        printed(*([""] if number else []), title, body)
        _print_problems(one.problems, left_out=one.left_out)
    return Code.DONE


def meant(name: str, account: Account, now: datetime) -> Named:
    """Return the request that somebody means; raises ``Unnamed`` when it is none, or several."""
    return named_in_full(name, account) or find(name, overview(account, now), account)


def overview(account: Account, now: datetime) -> Overview:
    """List all requests; who may see them is for IAM to say here."""
    return read_overview(account.prefix, account.askers, now, everything)


def dossier(named: Named, account: Account, now: datetime) -> Dossier:
    """Gather all there is about a request; raises ``NotAsked`` when nobody asked."""
    proceeding = read_proceeding(account.prefix, named.deployment, named.part, account.askers, now)
    return read_dossier(proceeding, function=account.hook_function, bucket=account.record_bucket)


def everything(_cluster: str, _service: str) -> bool:
    """Let all requests be seen that IAM lets be read."""
    return True


def _print_problems(problems: tuple[str, ...], *, left_out: bool) -> None:
    if left_out:
        printed(Text("there are more than are listed", style="yellow"), to_err=True)
    for problem in problems:
        printed(Text(plain(reworded(problem)), style="yellow"), to_err=True)
