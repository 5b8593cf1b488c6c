"""What can be said on the command line, and the help that teaches it."""

import argparse
import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

from hooks.manual_approval.cli import answering, looking, watching
from hooks.manual_approval.cli.account import DEFAULT_PREFIX, PREFIX_VARIABLE, Account
from hooks.manual_approval.cli.codes import EXPLAINED, Code
from shared.clock import parse_timestamp

# Parameter Store answers forty calls a second, for the whole account.
DEFAULT_INTERVAL_SECONDS = 10
MIN_INTERVAL_SECONDS, MAX_INTERVAL_SECONDS = 2, 3600

# A call of GetParametersByPath, at least, for each.
MAX_DAYS = 31

_DURATION = re.compile(r"(?:(?P<days>\d{1,3})d)?(?:(?P<hours>\d{1,4})h)?(?:(?P<minutes>\d{1,5})m(?:in)?)?")

Run = Callable[[argparse.Namespace, Account], Code]

EXAMPLES = f"""\
examples:
  approvals list                             what waits for a decision
  approvals show checkout                    one request, and all about it
  approvals approve checkout --comment "tried the cart"
  approvals reject shop/checkout
  approvals watch qR7sT2 --json              for pipelines: until it is decided

Each command has --help, with more of them; docs/approvals-command.md.

{EXPLAINED}"""

NAMES = """\
A REQUEST is named by its service, by cluster/service, by its deployment's id
or the start of that, with a step or PAUSE hook behind a slash where there are
several; or by the parameter's name, or the address of its page in the console.
What could mean several is listed, and never guessed."""

LIST_EXAMPLES = """\
examples:
  approvals list
  approvals list --all                       also what is over, for a while
  approvals list --json
  approvals list --profile production --region eu-west-1"""

SHOW_EXAMPLES = f"""\
examples:
  approvals show checkout
  approvals show qR7sT2/step-from-10
  approvals show /ecs-approvals/shop/checkout/qR7sT2uV9wX4yZ1aB6cD3

{NAMES}"""

APPROVE_EXAMPLES = f"""\
examples:
  approvals approve checkout
  approvals approve qR7sT2 --comment "tried the cart"
  approvals approve qR7sT2 --yes --json      where there is nobody to ask

{NAMES}

It shows what you approve, and asks. The answer is to the very request that was
shown: if it is asked anew meanwhile, nothing is written. What it came to is
read afterwards, for others may have answered at the same moment."""

REJECT_EXAMPLES = f"""\
examples:
  approvals reject checkout                  asks why
  approvals reject qR7sT2 --comment "the cart loses items" --yes

{NAMES}

One rejection by somebody who may decide rejects the request, whoever has
approved it before, and ECS rolls the deployment back."""

EXTEND_EXAMPLES = f"""\
examples:
  approvals extend checkout --by 2h
  approvals extend checkout --until 2026-03-06T09:00Z

{NAMES}

Whoever may decide may put the expiry off, as far as the service's
extendableToMinutes lets. A PAUSE hook's time is ECS's, and can't be put off."""

STOP_EXAMPLES = f"""\
examples:
  approvals stop checkout                    asks you to type its name
  approvals stop qR7sT2 --yes
  approvals stop arn:aws:ecs:eu-west-1:1234:service-deployment/shop/web/a1

{NAMES}
A deployment's ARN stops it even where it waits for nobody.

ECS moves traffic back to blue and removes green's tasks. It can't be taken
back; to try again, deploy again."""

WATCH_EXAMPLES = f"""\
examples:
  approvals watch                            all that waits; Ctrl-C ends it
  approvals watch --json                     a line of JSON for each change
  approvals watch checkout                   until decided; see the exit codes
  approvals watch shop/checkout --appears-within 20m

{NAMES}

{EXPLAINED}"""

HISTORY_EXAMPLES = """\
examples:
  approvals history                          today, UTC
  approvals history --day 2026-03-02
  approvals history --days 7 --json          the last seven days"""


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    made = argparse.ArgumentParser(
        prog="approvals",
        description="See and answer what deployments of Amazon ECS wait for, at the\n"
        "manual approval hook and at PAUSE hooks, with your own AWS credentials.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    list_ = _command(commands, "list", looking.list_, "print what waits for a decision", LIST_EXAMPLES)
    list_.add_argument("--all", action="store_true", help="also what is decided or ended")
    _request(_command(commands, "show", looking.show, "print one request in full", SHOW_EXAMPLES))
    approve = _command(commands, "approve", answering.approve, "approve a request", APPROVE_EXAMPLES)
    reject = _command(commands, "reject", answering.reject, "reject a request", REJECT_EXAMPLES)
    extend = _command(commands, "extend", answering.extend, "put a request's expiry off", EXTEND_EXAMPLES)
    for command in (approve, reject, extend):
        _request(command)
        command.add_argument("--comment", metavar="TEXT", help="kept with your answer, for all to read")
    stop = _command(
        commands, "stop", answering.stop, "stop a deployment and have ECS roll it back", STOP_EXAMPLES
    )
    _request(stop)
    for command in (approve, reject, stop):
        command.add_argument("--yes", action="store_true", help="do not ask")
    until = extend.add_mutually_exclusive_group(required=True)
    until.add_argument("--by", type=_duration, metavar="DURATION", help="longer than now: 30m, 2h, 1h30m, 1d")
    until.add_argument("--until", type=_moment, metavar="TIME", help="such as 2026-03-06T09:00Z")
    _add_watch(commands)
    history = _command(commands, "history", looking.history, "print what was decided", HISTORY_EXAMPLES)
    history.add_argument("--day", type=_day, metavar="YYYY-MM-DD", help="default: today, UTC")
    history.add_argument(
        "--days",
        type=_number(1, MAX_DAYS),
        default=1,
        metavar="N",
        help="so many, up to that one; default: 1",
    )
    return made


def _add_watch(commands: Any) -> None:
    watch = _command(
        commands,
        "watch",
        watching.watch,
        "watch what is pending, or wait until a request is decided",
        WATCH_EXAMPLES,
    )
    watch.add_argument("request", nargs="?", metavar="REQUEST", help="wait for this one to be decided")
    watch.add_argument(
        "--interval",
        type=_number(MIN_INTERVAL_SECONDS, MAX_INTERVAL_SECONDS),
        default=DEFAULT_INTERVAL_SECONDS,
        metavar="SECONDS",
        help=f"between looks; default: {DEFAULT_INTERVAL_SECONDS}",
    )
    watch.add_argument(
        "--appears-within",
        type=_duration,
        metavar="DURATION",
        help="with REQUEST: how long to wait for it to be made, such as 20m",
    )


def _command(commands: Any, name: str, run: Run, what: str, examples: str) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(
        name,
        help=what,
        description=f"{what[:1].upper()}{what[1:]}.",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.set_defaults(run=run)
    made.add_argument(
        "--json", action="store_true", help="print JSON; docs/approvals-command.md says its shape"
    )
    where = made.add_argument_group("where, and as whom")
    where.add_argument("--profile", metavar="NAME", help="of the AWS configuration; default: AWS_PROFILE")
    where.add_argument("--region", metavar="REGION", help="default: AWS_REGION, or the profile's")
    where.add_argument(
        "--prefix",
        metavar="PATH",
        help=f"of the requests' parameters; default: {PREFIX_VARIABLE}, or {DEFAULT_PREFIX}",
    )
    where.add_argument(
        "--hook-role",
        metavar="ARN",
        help="believe requests of this role; default: what the stack says in PATH-setup",
    )
    where.add_argument("--pause-role", metavar="ARN", help="the same, for requests about PAUSE hooks")
    return made


def _request(command: argparse.ArgumentParser) -> None:
    command.add_argument("request", metavar="REQUEST", help="which one, see below")


def _duration(text: str) -> timedelta:
    found = _DURATION.fullmatch(text)
    parts = {unit: int(number) for unit, number in found.groupdict().items() if number} if found else {}
    if not any(parts.values()):
        raise argparse.ArgumentTypeError(f"expected a duration such as 30m, 2h, 1h30m or 1d, got {text!r}")
    return timedelta(**parts)


def _moment(text: str) -> datetime:
    try:
        return parse_timestamp(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected a time and its zone, as 2026-03-06T09:00Z or 2026-03-06T10:00+01:00, got {text!r}"
        ) from None


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a day such as 2026-03-02, got {text!r}") from None


def _number(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not re.fullmatch(r"\d{1,6}", text, re.ASCII) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"expected {least} to {most}, got {text!r}")
        return int(text)

    return number
