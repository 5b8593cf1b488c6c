"""Somebody at a terminal, in an account with deployments under way: what tests of ``approvals`` share."""

import contextlib
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from unittest import mock

import time_machine

from hooks.manual_approval.archive import Entry, PastAnswer, archive_name, write_entry
from hooks.manual_approval.cli import main
from rehearsal.aws.cloud import ACCOUNT, Cloud
from rehearsal.aws.door import RecordedCall
from rehearsal.aws.identities import ALLOW_ALL
from rehearsal.model import service_connect_configuration
from rehearsal.runtime.lambda_python import ROOT
from tests.hooks.manual_approval.console.under_way import FUNCTION, PREFIX, Account, active, rules
from tests.shared.checkout import BLUE, DEPLOYMENT, GREEN, POST_TEST, REGION, START, deploy

PAGE = ROOT / "docs" / "approvals-command.md"
CONSOLE_URL = "https://approvals.example.com"
BUCKET = "release-records"
NAME = f"{PREFIX}/shop/checkout/{DEPLOYMENT.id}"
PAUSE = "ecs-pause-0a1b2c3d4e5f"
PAUSED = f"{NAME}/{PAUSE}"
LATER = START + timedelta(hours=20)
ALICE = f"arn:aws:iam::{ACCOUNT}:user/alice"
BOB = f"arn:aws:iam::{ACCOUNT}:user/bob"
SETUP: Mapping[str, str] = {
    "hookRole": f"arn:aws:iam::{ACCOUNT}:role/approval-hook",
    "pauseRole": f"arn:aws:iam::{ACCOUNT}:role/approval-pause",
    "consoleRole": f"arn:aws:iam::{ACCOUNT}:role/approval-console",
    "consoleUrl": CONSOLE_URL,
    "recordBucket": BUCKET,
    "hookFunction": FUNCTION,
}

ENTRY = Entry(
    deployment=DEPLOYMENT,
    part="step-from-10",
    stage=POST_TEST,
    outcome="rejected",
    deployment_status="ROLLBACK_SUCCESSFUL",
    asked_at=START - timedelta(hours=2),
    ended_at=START - timedelta(hours=1),
    required=1,
    answers=(PastAnswer("rejected", BOB, "", START - timedelta(hours=1), "the cart is empty"),),
    images=("shop/app:1.5",),
)

_STYLES = re.compile(r"\x1b\[[0-9;]*m")
_POLICY = re.compile(
    r'^#+ ([^\n]+)\n(?:(?!^#).)*?^```json\n(\{\n  "Version".*?)^```', re.MULTILINE | re.DOTALL
)


def policies() -> dict[str, dict[str, Any]]:
    """Return the IAM policies of the documentation, by the heading above them, for the tests' Region."""
    found = _POLICY.findall(PAGE.read_text())
    return {heading: json.loads(text.replace("eu-west-1", REGION)) for heading, text in found}


class Terminal(io.StringIO):
    """A terminal, and what is typed at it once *before* has happened; it is seen on *echo*."""

    def __init__(self, typed: str, before: Callable[[], object], echo: io.StringIO) -> None:
        super().__init__(typed)
        self._before = before
        self._echo = echo

    def isatty(self) -> bool:
        return True

    def readline(self, size: int | None = -1, /) -> str:
        before, self._before = self._before, lambda: None
        before()
        line = super().readline(-1 if size is None else size)
        self._echo.write(line)
        return line


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that has ended, and what was seen of it."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def events(self) -> list[Any]:
        """What was printed as one JSON object a line."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class Desk:
    """An account, and people who answer in it."""

    account: Account
    clock: time_machine.Traveller
    calls: list[RecordedCall]
    meanwhile: list[Callable[[], object]] = field(default_factory=list)
    """What happens while a command sleeps; when there is no more, Ctrl-C is pressed."""

    @property
    def cloud(self) -> Cloud:
        return self.account.cloud

    def may(self, who: str, *documents: dict[str, Any]) -> None:
        """Let a user do that, and nothing else."""
        self.cloud.identity(user=who, policies=documents)

    def writes(self, name: str, text: str, *, who: str = "bob") -> None:
        """Write to a parameter as somebody does with the AWS CLI."""
        ssm = self.cloud.client("ssm", user=who, policies=[ALLOW_ALL])
        ssm.put_parameter(Name=name, Value=text, Type="String", Overwrite=True)

    def deletes(self, name: str) -> None:
        self.cloud.client("ssm", user="admin").delete_parameter(Name=name)

    def archives(self, *entries: Entry) -> None:
        for entry in entries:
            self.writes(archive_name(PREFIX, entry), write_entry(entry), who="admin")

    def texts(self, name: str) -> list[str]:
        """Return a parameter's versions."""
        found = self.cloud.client("ssm", user="admin").get_parameter_history(Name=name)["Parameters"]
        return [version["Value"] for version in found]

    def run(
        self,
        *arguments: str,
        who: str = "alice",
        typed: str | None = None,
        before_typing: Callable[[], object] = lambda: None,
        columns: int | None = None,
        together: bool = False,
        **variables: str,
    ) -> Ran:
        """Run a command as a user.

        Parameters
        ----------
        typed
            What is typed at the terminal; ``None`` where standard input is none.
        columns
            Of the terminal that is printed to; ``None`` where it is a pipe.
        together
            Whether all that is seen is ``out``: complaints, questions, and what is typed.
        variables
            Of the environment.
        """
        identity = self.cloud.identity(user=who)
        environment = {
            "AWS_ACCESS_KEY_ID": identity.access_key,
            "AWS_SECRET_ACCESS_KEY": identity.secret_key,
            "AWS_MAX_ATTEMPTS": "1",
            "TTY_COMPATIBLE": "0" if columns is None else "1",
            "TERM": "xterm",
            "NO_COLOR": "1",
            "COLUMNS": str(columns or 80),
            **variables,
        }
        out = io.StringIO()
        err = out if together else io.StringIO()
        echo = out if together else io.StringIO()
        stdin = io.StringIO() if typed is None else Terminal(typed, before_typing, echo)
        with (
            mock.patch.dict(os.environ, environment),
            mock.patch.object(sys, "stdin", stdin),
            mock.patch("shared.clock.sleep", self._sleep),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            os.environ.pop("AWS_SESSION_TOKEN", None)
            code = main(arguments)
        return Ran(code, _seen(out.getvalue()), "" if together else _seen(err.getvalue()))

    def _sleep(self, seconds: float) -> None:
        self.passes(seconds=seconds)
        if not self.meanwhile:
            raise KeyboardInterrupt
        self.meanwhile.pop(0)()

    def passes(self, **duration: float) -> None:
        """Let time pass."""
        self.clock.shift(timedelta(**duration))
        self.account.now += timedelta(**duration)

    @property
    def denied(self) -> Sequence[str]:
        """The actions that somebody was not allowed."""
        return [call.action for call in self.calls if not call.allowed]


def _seen(text: str) -> str:
    """Return what is seen of a text on a terminal: no styles, and no blanks at the end of lines."""
    return "\n".join(line.rstrip() for line in _STYLES.sub("", text).split("\n"))


@contextlib.contextmanager
def opened(setup: object = SETUP) -> Iterator[Desk]:
    """Open an account in which alice may do what the documentation says that takes, and nothing else."""
    with (
        mock.patch.dict(os.environ),
        time_machine.travel(START, tick=False) as clock,
        Cloud(region=REGION, seed=1) as cloud,
        cloud.enforcing_iam(),
        cloud.recording() as calls,
    ):
        for role in ("approval-hook", "approval-pause", "approval-console"):
            cloud.role(role, [ALLOW_ALL])
        cloud.identity(user="admin", policies=[ALLOW_ALL])
        desk = Desk(Account(cloud), clock, calls)
        desk.may("alice", *policies().values())
        if setup is not None:
            text = setup if isinstance(setup, str) else json.dumps(setup)
            desk.writes(f"{PREFIX}-setup", text, who="admin")
        yield desk
        assert cloud.defects == []


def paused(desk: Desk) -> list[str]:
    """Have the deployment wait at a PAUSE hook; return what ECS will be told."""
    deploy(desk.cloud, hook_runs=[active(PAUSE, expires_at=LATER)])
    desk.account.ask(part=PAUSE)
    told: list[str] = []
    desk.cloud.control_plane.on_continue = lambda _, run, action: told.append(f"{run.hook_id} {action}")
    return told


def answered(desk: Desk, name: str = NAME) -> list[dict[str, Any]]:
    """Return what was written after the request."""
    return [json.loads(text) for text in desk.texts(name)[1:]]


def written(state: str, **more: Any) -> dict[str, Any]:
    comment = more.pop("comment", "")
    return {
        "schema": 1, "state": state, "comment": comment, "deployment": str(DEPLOYMENT), "answers": 1,
        "stage": POST_TEST, "expiresAt": "2026-03-05T16:00:00Z", **more,
    }  # fmt: skip


def evidence(desk: Desk, hook: str, **record: Any) -> None:
    """Have a hook leave a decision record."""
    s3 = desk.cloud.client("s3", user="admin")
    s3.create_bucket(Bucket=BUCKET)
    key = f"records/shop/checkout/{DEPLOYMENT.id}/2026-03-05T11:58:00Z-{hook}-{POST_TEST}-0a1b2c3d.json"
    document = {
        "hook": hook, "deployment": str(DEPLOYMENT), "stage": POST_TEST, "step": "",
        "at": "2026-03-05T11:58:00Z", "wouldRefuse": False, **record,
    }  # fmt: skip
    s3.put_object(Bucket=BUCKET, Key=key, Body=json.dumps(document).encode())


def in_full(desk: Desk) -> None:
    """Have a request about which everything is known."""
    for revision, arn in ((7, BLUE), (8, GREEN)):
        task = f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/checkout:{revision}"
        desk.cloud.control_plane.revisions[str(arn)].task_definition = task
        desk.cloud.control_plane.task_definitions[task] = {
            "taskDefinitionArn": task,
            "family": "checkout",
            "cpu": str(revision * 64),
            "containerDefinitions": [
                {"name": "app", "image": "x", "environment": [{"name": "LEVEL", "value": str(revision)}]}
            ],
        }
    green = desk.cloud.control_plane.revisions[str(GREEN)]
    green.service_connect = service_connect_configuration("http", "shop", "checkout", 8080)
    evidence(
        desk,
        "load_test",
        verdict={"answer": "proceed", "reason": "green holds 200 requests a second"},
        charts=[
            {
                "title": "latency",
                "unit": "ms",
                "series": [
                    {"name": "green", "points": [["2026-03-05T11:50:00Z", 12], ["2026-03-05T11:55:00Z", 15]]}
                ],
                "thresholds": [{"name": "limit", "value": 20}],
            }
        ],
        tables=[{"title": "checks", "columns": ["check", "verdict"], "rows": [["errors", "pass"]]}],
    )
    evidence(
        desk,
        "image_trust",
        wouldRefuse=True,
        verdict={"answer": "proceed", "reason": "shop/proxy:2 is not signed"},
    )
    desk.account.ask(rules=rules(required=2, excluded=(BOB,)))
    desk.writes(NAME, '{"state": "approved", "comment": "tried the cart"}', who="carol")
    desk.writes(NAME, "APPROVED", who="bob")
    desk.writes(NAME, "looks good", who="carol")
