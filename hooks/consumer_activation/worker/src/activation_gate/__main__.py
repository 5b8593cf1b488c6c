"""Show which revision of a worker is active, watch it change, or set it by hand.

The hook that runs in deployments does all of this by itself. By hand it is needed to look, to hold a service
(`set --active none`), and to repair.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TextIO

from botocore.exceptions import BotoCoreError, ClientError

from activation_gate.aws import client_of
from activation_gate.gate import PARAMETER_VARIABLE
from activation_gate.lease import CLOCK_RATE_TOLERANCE
from activation_gate.parameter import Found, Parameter, ReadError
from activation_gate.state import DEFAULT_READ_SECONDS, Garbage, State, parse

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

NOBODY = "none"

EXIT_NOBODY_ACTIVE = 1
EXIT_FAILED = 2

# How far back a lease is looked for below garbage: as many versions as workers step over.
MAX_VERSIONS_BELOW = 10

PROGRESS_SECONDS = 5

EPILOG = """\
How a hand-over by hand goes

  set --active REVISION writes two versions. The first says that nobody is active. Workers of the old
  revision read it and stop receiving; they finish what they have. Then this command waits until the last
  lease has ended, also that of a worker that can't reach Parameter Store, and writes the second, which
  names the new revision. Workers keep to the same rule themselves, so a write in between can cost time
  but can't make two revisions receive at once.

  It does not wait until the old revision has finished its work: watch the queue's
  ApproximateNumberOfMessagesNotVisible for that, after set --active none.

  Editing the parameter in the console works too: change "active" and leave "version" out. Whoever
  writes a "version" that is not the one Parameter Store gives it has written in vain.

Permissions

  show, watch: ssm:GetParameter on the parameter; set: ssm:PutParameter as well.

Exit status

  0 somebody is active, or what was asked for has been done; 1 nobody is active; 2 it failed.
"""


class Refused(Exception):
    """What was asked for can't be done; the text says why and what to do."""


@dataclass(frozen=True)
class Console:
    """The parameter, and the person who looks at it."""

    parameter: Parameter
    client: "SSMClient"
    out: TextIO
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.time

    def say(self, line: str) -> None:
        print(line, file=self.out, flush=True)

    def show(self) -> int:
        """Print what holds."""
        found = self.parameter.look()
        for line in _described(self.parameter.name, found, self.now()):
            self.say(line)
        active = found.reading.state and found.reading.state.active
        return 0 if active else EXIT_NOBODY_ACTIVE

    def watch(self, every_seconds: float | None) -> int:
        """Print what holds, and each change, until interrupted."""
        before: tuple[int | None, str | None] | None = None
        while True:
            pause = every_seconds or DEFAULT_READ_SECONDS
            try:
                found = self.parameter.look()
            except ReadError as error:
                self.say(f"{_clock(self.now())} {error}")
            else:
                state = found.reading.state
                pause = every_seconds or (state.read_seconds if state else DEFAULT_READ_SECONDS)
                seen = found.reading.newest, found.garbage
                if seen != before:
                    before = seen
                    self.say(f"{_clock(self.now())} {_in_a_line(found)}")
            self.sleep(pause)

    def set(self, wanted: str | None) -> int:
        """Make *wanted* the active revision, or nobody."""
        found = self.parameter.look()
        state, top = self._to_build_on(found), found.reading.newest or 0
        if found.reading.state is not None and state.active == wanted:
            self.say(f"{wanted or 'nobody'} is active already, since version {found.reading.version}")
            return 0
        if found.reading.state is None or state.active is not None:
            state = replace(state, active=None, draining=state.active, epoch=state.epoch + 1)
            top = self._write(state, top)
            self.say(f"version {top}: nobody is active; {state.draining or 'nobody'} finishes what it has")
        if wanted is None:
            return 0
        self._wait_for_leases(state)
        now = self.parameter.look().reading
        if (now.newest, now.state and now.state.active) != (top, None):
            raise Refused(
                f"somebody else wrote version {now.newest} meanwhile; look with show, then run this again"
            )
        top = self._write(replace(state, active=wanted, draining=None, epoch=state.epoch + 1), top)
        self.say(
            f"version {top}: {wanted} is active; its workers receive within {state.read_seconds:g} s or so"
        )
        return 0

    def _to_build_on(self, found: Found) -> State:
        """Return the state whose lease and epoch the next one goes on from."""
        if found.reading.state is not None:
            return found.reading.state
        # An epoch must grow, and nothing says how far it had come; the time is beyond any count of switches.
        fresh = State(epoch=int(self.now()), active=None)
        below = self._last_understood(found.reading.newest or 0)
        return replace(below, active=None, epoch=max(fresh.epoch, below.epoch)) if below else fresh

    def _last_understood(self, top: int) -> State | None:
        for number in range(top - 1, max(0, top - 1 - MAX_VERSIONS_BELOW), -1):
            try:
                below = self.client.get_parameter(Name=f"{self.parameter.name}:{number}")
                return parse(below["Parameter"].get("Value", ""))
            except Garbage:
                continue
        return None

    def _write(self, state: State, top: int) -> int:
        meant = top + 1
        moment = datetime.fromtimestamp(self.now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        value = replace(
            state,
            version=meant,
            since=moment,
            released=moment if state.active is None else None,
            deployment=None,
            hand_back=None,
            dead_letters=None,
        ).to_json()
        try:
            written = self.client.put_parameter(
                Name=self.parameter.name, Value=value, Type="String", Overwrite=top > 0
            )["Version"]
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "ParameterAlreadyExists":
                raise Refused("somebody else made the parameter meanwhile; run this again") from error
            raise
        if written != meant:
            raise Refused(
                f"somebody else wrote version {meant} meanwhile, so version {written} is void and changes "
                "nothing; look with show, then run this again"
            )
        return meant

    def _wait_for_leases(self, state: State) -> None:
        seconds = (state.lease_seconds + state.read_lag_seconds) * (1 + CLOCK_RATE_TOLERANCE)
        self.say(f"waiting {seconds:.0f} s, until the last lease has ended")
        while seconds > 0:
            self.sleep(min(seconds, PROGRESS_SECONDS))
            seconds -= PROGRESS_SECONDS
            if seconds > 0:
                self.say(f"  {seconds:.0f} s left")


def _described(name: str, found: Found, now: float) -> list[str]:
    reading, state = found.reading, found.reading.state
    lines = [name]
    if state is not None:
        lines += [
            f"  active      {state.active or 'nobody'}{_since(found, now)}",
            f"  draining    {state.draining or 'nobody'}",
            f"  epoch       {state.epoch}",
            f"  version     {reading.version}{'' if state.version else ', edited by a person'}",
            f"  deployment  {state.deployment or 'none: written by hand'}",
            f"  lease       {state.lease_seconds:g} s, read every {state.read_seconds:g} s",
            f"  read lag    at most {state.read_lag_seconds:g} s",
        ]
        if state.hand_back:
            lines.append(f"  hand-back   {state.hand_back}")
        if state.dead_letters is not None:
            lines.append(f"  dead        {state.dead_letters} messages when the hand-over began")
    elif found.garbage:
        lines.append(f"  active      nobody: version {reading.version} is garbage, {found.garbage}")
    elif found.void:
        lines.append("  active      nobody: all versions that were looked at are void")
    else:
        lines.append("  active      nobody: there is no such parameter")
    if found.void:
        numbers = ", ".join(map(str, found.void))
        lines.append(f"  void        {numbers}: another write had come before, so they don't count")
    return lines


def _since(found: Found, now: float) -> str:
    if found.modified is None:
        return ""
    passed = timedelta(seconds=max(0, int(now - found.modified.timestamp())))
    return f", since {found.modified.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC ({passed})"


def _in_a_line(found: Found) -> str:
    reading, state = found.reading, found.reading.state
    void = f" (void: {', '.join(map(str, found.void))})" if found.void else ""
    if state is None:
        return f"nobody is active: {found.garbage or ('void' if found.void else 'no such parameter')}{void}"
    draining = f", {state.draining} drains" if state.draining else ""
    active = state.active or "nobody"
    return f"version {reading.version}: {active} is active{draining}, epoch {state.epoch}{void}"


def _clock(now: float) -> str:
    return f"{datetime.fromtimestamp(now, UTC):%H:%M:%S}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m activation_gate",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="show|watch|set")
    show = commands.add_parser("show", help="print who is active, and since when")
    watch = commands.add_parser("watch", help="print each change, until Ctrl-C")
    watch.add_argument("--every", type=float, metavar="SECONDS", help="default: the state's readSeconds")
    change = commands.add_parser("set", help="hand over by hand, or hold the service")
    change.add_argument(
        "--active", required=True, metavar="REVISION", help=f"id of a service revision, or {NOBODY}"
    )
    for command in (show, watch, change):
        command.add_argument(
            "--parameter",
            default=os.environ.get(PARAMETER_VARIABLE),
            metavar="NAME",
            help=f"such as /ecs-consumers/CLUSTER/SERVICE/consumers; default: ${PARAMETER_VARIABLE}",
        )
    return parser


def main(
    arguments: Sequence[str] | None = None,
    *,
    client: "SSMClient | None" = None,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.time,
) -> int:
    """Run from the command line; return the exit status."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if not given.parameter:
        parser.error(f"--parameter is missing, and {PARAMETER_VARIABLE} is not set")
    try:
        ssm = client or client_of("ssm", connect_timeout=3, read_timeout=10, max_attempts=4)
        console = Console(Parameter(given.parameter, client=ssm), ssm, sys.stdout, sleep, now)
        match given.command:
            case "show":
                return console.show()
            case "watch":
                return console.watch(given.every)
            case _:
                return console.set(None if given.active == NOBODY else _revision(given.active))
    except KeyboardInterrupt:
        return 0
    except (ReadError, Refused, ClientError, BotoCoreError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return EXIT_FAILED


def _revision(text: str) -> str:
    try:
        parse(State(epoch=0, active=text).to_json())
    except Garbage as error:
        raise Refused(f"{error}; expected the id of a service revision, or {NOBODY}") from error
    return text


if __name__ == "__main__":
    sys.exit(main())
