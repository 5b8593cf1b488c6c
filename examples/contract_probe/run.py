"""The command line of the probe.

::

    plan         what is deployed, and which switches each deployment settles
    rehearse     carry the plan out on the rehearsal, whose ECS is as the switches say
    run          carry it out on the stack of template.yaml, in an account of yours
    report       the findings of what was seen before, again
"""

# ruff: noqa: T201  # it prints

import argparse
import importlib.util
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from examples.contract_probe.account import AwsAccount, Stack, UnusableError
from examples.contract_probe.campaign import Campaign
from examples.contract_probe.evidence import Evidence, moment
from examples.contract_probe.inference import Finding, as_switches, infer
from examples.contract_probe.plan import PLAN
from examples.contract_probe.remarks import remarks
from rehearsal.switches import Switches, values

SETTLED, NOT_SETTLED, UNUSABLE, INTERRUPTED = 0, 1, 2, 130

MAX_EVIDENCE_BYTES = 256 * 1024 * 1024

WARNING = """\
{steps} deployments of the services of {where}, in AWS account {account}.
They take most of an hour; a Network Load Balancer alone makes ECS wait for twenty minutes.
Tasks, load balancers and addresses cost as long as the stack exists
(examples/contract_probe/README.md says which). Nothing outside the stack is changed.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns 0 when every switch is settled that can be, 1 when one is not, 2 for what can't be worked with,
    and 130 when it was interrupted.
    """
    options = parser().parse_args(arguments)
    try:
        status: int = options.command(options)
    except UnusableError as error:
        print(f"contract_probe: {error}", file=sys.stderr)
        return UNUSABLE
    except KeyboardInterrupt:
        print("\nInterrupted. The same command takes it up where it is now.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has seen enough, as with `| head`. Python would complain once more while exiting.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOT_SETTLED
    return status


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.contract_probe",
        description="Find out what Amazon ECS does where its documentation does not say, and which value "
        "each switch of the rehearsal should have.",
        epilog="Try it without an account first: rehearse --switch merge=replace. Exit code 0: every switch "
        "is settled that can be; 1: one is not; 2: something can't be worked with.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    plan = commands.add_parser("plan", help="what is deployed, and what each deployment settles")
    plan.set_defaults(command=_plan)

    rehearse = commands.add_parser(
        "rehearse", help="carry the plan out on the rehearsal, without an account, in a second"
    )
    rehearse.add_argument(
        "--switch",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="how the rehearsal's ECS is; `rehearse list switches` names them all",
    )
    rehearse.add_argument("--seed", type=int, default=0, help="of ids and orders (default: %(default)s)")
    _add_files(rehearse)
    rehearse.set_defaults(command=_rehearse)

    run = commands.add_parser(
        "run",
        help="carry the plan out on the stack of template.yaml",
        description="Carry the plan out on the stack of examples/contract_probe/template.yaml. What it is "
        "about to do is said first, and asked. Ctrl-C is safe: deployments go on by themselves, and the same "
        "command takes up what was seen.",
    )
    run.add_argument("--stack", required=True, help="name of the CloudFormation stack")
    run.add_argument("--region", help="the stack's, where it is not the profile's")
    run.add_argument("--profile", help="of ~/.aws/config")
    run.add_argument("--yes", action="store_true", help="don't ask")
    _add_files(run, default="contract-probe.json")
    run.set_defaults(command=_run)

    report = commands.add_parser("report", help="the findings of an evidence file, again")
    report.add_argument("evidence", type=Path, metavar="EVIDENCE", help="what run or rehearse kept")
    report.add_argument("--json", type=Path, metavar="FILE", help="write the findings as JSON")
    report.set_defaults(command=lambda options: _report(_read(options.evidence), options.json))
    return parser


def _add_files(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    parser.add_argument(
        "--evidence",
        type=Path,
        metavar="FILE",
        default=default and Path(default),
        help="where everything seen is kept" + (" (default: %(default)s)" if default else ""),
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the findings as JSON")


def _plan(_options: argparse.Namespace) -> int:
    rows = [(step.name, step.service, step.why, ", ".join(step.settles)) for step in PLAN]
    _table(("deployment", "service", "what happens", "settles"), rows)
    return SETTLED


def _rehearse(options: argparse.Namespace) -> int:
    # Only here: an account needs nothing of the rehearsal but the names of switches.
    from examples.contract_probe.rehearsed import RehearsedAccount  # noqa: PLC0415

    evidence = Campaign(RehearsedAccount(_switches(options.switch), seed=options.seed), Evidence()).run()
    if options.evidence:
        _write(options.evidence, evidence.model_dump_json(by_alias=True))
    return _report(evidence, options.json)


def _switches(given: Sequence[str]) -> Switches:
    pairs = [text.partition("=") for text in given]
    for name, _, value in pairs:
        if name not in Switches.model_fields:
            raise UnusableError(f"--switch {name}: no such switch; `rehearse list switches` names them")
        if value not in values(name):
            raise UnusableError(f"--switch {name}={value}: expected {' or '.join(values(name))}")
    return Switches.model_validate({name: value for name, _, value in pairs})


def _run(options: argparse.Namespace) -> int:
    # Only here: rehearsing needs no client.
    import boto3  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    try:
        session = boto3.Session(profile_name=options.profile, region_name=options.region)
        client: Any = session.client
        account = AwsAccount(Stack.read(client("cloudformation"), options.stack), client)
        evidence = _read(options.evidence) if options.evidence.exists() else Evidence()
        if evidence.account not in {"", account.name}:
            raise UnusableError(
                f"{options.evidence} is of {evidence.account}, not of {account.name}; "
                "choose another --evidence"
            )
        campaign = Campaign(
            account,
            evidence,
            keep=lambda seen: _write(options.evidence, seen.model_dump_json(by_alias=True)),
            saw=lambda step, what: print(f"{moment(time.time())}  {step:<14} {what}", flush=True),
        )
        if not campaign.is_over and not options.yes:
            identity = client("sts").get_caller_identity()["Account"]
            print(WARNING.format(steps=_left(evidence), where=account.name, account=identity))
            if not _confirmed():
                return INTERRUPTED
        evidence = campaign.run()
    except (BotoCoreError, ClientError) as error:
        kept = f". What was seen is in {options.evidence}; the same command goes on from there"
        raise UnusableError(f"{error}{kept if options.evidence.exists() else ''}") from error
    return _report(evidence, options.json)


def _confirmed() -> bool:
    try:
        return input("Start? [y/N] ").strip().lower() in {"y", "yes"}
    except EOFError:
        raise UnusableError("nobody is there to confirm; pass --yes") from None


def _left(evidence: Evidence) -> int:
    """Count the deployments that are still to be started."""
    return sum(1 for step in PLAN if step.name not in evidence.deployments)


def _read(file: Path) -> Evidence:
    try:
        if file.stat().st_size > MAX_EVIDENCE_BYTES:
            raise UnusableError(
                f"{file} is larger than {MAX_EVIDENCE_BYTES} bytes, and no evidence of a probe"
            )
        return Evidence.model_validate_json(file.read_bytes())
    except OSError as error:
        raise UnusableError(f"{file} can't be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        raise UnusableError(f"{file} is no evidence of a probe: {where}: {first['msg']}") from error


def _write(file: Path, text: str) -> None:
    """Write a file as a whole, or not at all."""
    beside = file.with_name(f"{file.name}.new")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, file)  # noqa: PTH105  # the reader of the next line sees what it does


def _report(evidence: Evidence, file: Path | None) -> int:
    findings = infer(evidence)
    default = Switches().model_dump()
    _table(
        ("switch", "value", "evidence"),
        [(one.switch, one.value or "(not settled)", _said(one, default[one.switch])) for one in findings],
    )
    print("\nAlso seen, without a switch:")
    for remark in remarks(evidence):
        print(f"- {remark}")
    found = as_switches(findings)
    changed = {name: value for name, value in found.items() if value != default[name]}
    print(f"\n{len(found)} of {len(findings)} switches are settled in {evidence.account}. For a scenario:\n")
    print(scenario_line(changed))
    if file:
        _write(file, json.dumps(as_json(evidence, findings), indent=2) + "\n")
    unsettled = [one for one in findings if one.value is None and one.switch != "duplicate_delivery"]
    return NOT_SETTLED if unsettled else SETTLED


def _said(finding: Finding, default: str) -> str:
    differs = finding.value not in {None, default}
    return finding.why + (f" (the rehearsal's default is {default})" if differs else "")


def scenario_line(switches: Mapping[str, str]) -> str:
    """Write switches as a scenario has them, quoted: YAML would make truth values of ``on`` and ``null``."""
    return f"switches: {json.dumps(dict(switches))}"


def as_json(evidence: Evidence, findings: Sequence[Finding]) -> dict[str, object]:
    """Write the findings for a program to read."""
    return {
        "account": evidence.account,
        "findings": [{"switch": one.switch, "value": one.value, "why": one.why} for one in findings],
        "switches": as_switches(findings),
        "alsoSeen": remarks(evidence),
        "deployments": {
            step: {"arn": seen.arn, "status": seen.status} for step, seen in evidence.deployments.items()
        },
    }


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if importlib.util.find_spec("rich") is None:
        for row in (head, *rows):
            print("  ".join(row))
        return
    from rich.console import Console  # noqa: PLC0415  # may be missing
    from rich.table import Table  # noqa: PLC0415  # as above

    table = Table(row_styles=["", "dim"])
    for name in head:
        # What is pasted elsewhere stays in one piece.
        table.add_column(name, no_wrap=name in {"switch", "value", "deployment"})
    for row in rows:
        table.add_row(*row)
    Console().print(table)
