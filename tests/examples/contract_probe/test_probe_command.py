"""The command line: what it prints can be pasted, and what can't be worked with is named."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from examples.contract_probe import run
from examples.contract_probe.account import Stack
from examples.contract_probe.evidence import Evidence
from examples.contract_probe.inference import SWITCHES
from examples.contract_probe.plan import PLAN, Step
from examples.contract_probe.rehearsed import RehearsedAccount
from rehearsal.scenario import Scenario
from rehearsal.switches import Switches
from tests.examples.contract_probe.probed import default_evidence

README = Path("examples/contract_probe/README.md")

# All that YAML would take for something else.
ODD = {"hook_details_absent_form": "null", "duplicate_delivery": "on", "lambda_error_retry": "none"}


def test_the_plan_says_what_each_deployment_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["plan"]) == 0

    printed = capsys.readouterr().out
    assert [step.name for step in PLAN if step.name not in printed] == []


def test_the_line_it_prints_is_read_by_a_scenario(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run.main(
            ["rehearse", "--switch", "duplicate_delivery=on", "--switch", "hook_details_absent_form=null"]
        )
        == 0
    )

    printed = capsys.readouterr().out.splitlines()
    (tmp_path / "probed.yaml").write_text(f"{printed[-1]}\nexpect: {{status: SUCCESSFUL}}\n")
    assert printed[-3] == "21 of 21 switches are settled in the rehearsal. For a scenario:"
    assert Scenario.read(tmp_path / "probed.yaml").switches == Switches.model_validate(
        {"hook_details_absent_form": "null", "duplicate_delivery": "on"}
    )


@pytest.mark.parametrize("switches", [{}, ODD])
def test_any_line_is_read_as_it_was_meant(tmp_path: Path, switches: dict[str, str]) -> None:
    file = tmp_path / "probed.yaml"
    file.write_text(f"{run.scenario_line(switches)}\nexpect: {{status: SUCCESSFUL}}\n")

    assert Scenario.read(file).switches == Switches.model_validate(switches)


def test_evidence_gives_the_same_findings_later(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evidence, one, two = (tmp_path / name for name in ("evidence.json", "one.json", "two.json"))

    assert run.main(["rehearse", "--evidence", str(evidence), "--json", str(one)]) == 0
    assert run.main(["report", str(evidence), "--json", str(two)]) == 0

    written = json.loads(one.read_text())
    assert json.loads(two.read_text()) == written
    assert [found["switch"] for found in written["findings"]] == list(SWITCHES)
    defaults = Switches().model_dump()
    del defaults["duplicate_delivery"]
    assert written["switches"] == defaults
    assert written["deployments"]["superseded"]["status"] == "STOPPED"
    assert "20 of 21 switches are settled in the rehearsal" in capsys.readouterr().out


def test_a_switch_that_is_not_settled_is_told_by_the_exit_code(tmp_path: Path) -> None:
    evidence = default_evidence()
    del evidence.deployments["network"]
    file = tmp_path / "evidence.json"
    file.write_text(evidence.model_dump_json(by_alias=True))

    assert run.main(["report", str(file)]) == 1


def test_without_rich_the_table_is_plain(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)

    assert run.main(["plan"]) == 0

    assert capsys.readouterr().out.startswith(
        "deployment  service  what happens  settles\npolled  alb  asked"
    )


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (
            ["rehearse", "--switch", "colour=blue"],
            "--switch colour: no such switch; `rehearse list switches`",
        ),
        (["rehearse", "--switch", "merge=deep"], "--switch merge=deep: expected shallow or replace"),
        (["report", "missing.json"], "missing.json can't be read: No such file or directory"),
        (
            ["report", "pyproject.toml"],
            "pyproject.toml is no evidence of a probe: the document: Invalid JSON",
        ),
    ],
)
def test_what_can_not_be_worked_with_is_named(
    arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.main(arguments) == 2

    assert capsys.readouterr().err.startswith(f"contract_probe: {error}")


class FakeSession:
    """A boto3 session whose clients only say who they are."""

    def __init__(self, **_options: object) -> None:
        pass

    def client(self, service: str) -> Any:
        return FakeIdentity() if service == "sts" else object()


class FakeIdentity:
    def get_caller_identity(self) -> dict[str, str]:
        return {"Account": "123456789012"}


@pytest.fixture
def rehearsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the rehearsal be the account."""
    account = RehearsedAccount()
    monkeypatch.setattr(boto3, "Session", FakeSession)
    monkeypatch.setattr(Stack, "read", lambda *_: None)
    monkeypatch.setattr(run, "AwsAccount", lambda *_: account)


@pytest.mark.usefixtures("rehearsed")
def test_nothing_starts_before_it_is_said_and_confirmed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("builtins.input", lambda _prompt: "")
    file = tmp_path / "evidence.json"

    assert run.main(["run", "--stack", "probe", "--evidence", str(file)]) == 130

    assert not file.exists()
    said = capsys.readouterr().out
    assert said.startswith("12 deployments of the services of the rehearsal, in AWS account 123456789012.")


@pytest.mark.usefixtures("rehearsed")
def test_without_anybody_to_confirm_it_has_to_be_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def nobody(_prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", nobody)

    assert run.main(["run", "--stack", "probe", "--evidence", str(tmp_path / "evidence.json")]) == 2

    assert capsys.readouterr().err == "contract_probe: nobody is there to confirm; pass --yes\n"


@pytest.mark.usefixtures("rehearsed")
def test_a_run_says_how_it_goes_and_keeps_what_it_saw(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "evidence.json"

    assert run.main(["run", "--stack", "probe", "--yes", "--evidence", str(file)]) == 0

    said = capsys.readouterr().out
    assert "polled         IN_PROGRESS, SCALE_UP\n" in said
    assert "superseded     STOPPED\n" in said
    assert run.main(["report", str(file)]) == 0


@pytest.mark.usefixtures("rehearsed")
@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "\nInterrupted. The same command takes it up where it is now.\n"),
        (
            ClientError({"Error": {"Code": "ExpiredToken", "Message": "expired"}}, "UpdateService"),
            2,
            "contract_probe: An error occurred (ExpiredToken) when calling the UpdateService operation: "
            "expired. What was seen is in evidence.json; the same command goes on from there\n",
        ),
    ],
)
def test_a_run_that_ends_early_says_how_to_go_on(
    error: BaseException,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails(_account: RehearsedAccount, _step: Step) -> None:
        raise error

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(RehearsedAccount, "deploy", fails)

    assert run.main(["run", "--stack", "probe", "--yes", "--evidence", "evidence.json"]) == code

    assert capsys.readouterr().err == said
    assert Evidence.model_validate_json(Path("evidence.json").read_bytes()).deployments.keys() == {"polled"}


@pytest.mark.usefixtures("rehearsed")
def test_evidence_of_another_stack_is_not_mixed_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evidence = default_evidence()
    evidence.account = "stack other in eu-west-1"
    file = tmp_path / "evidence.json"
    file.write_text(evidence.model_dump_json(by_alias=True))

    assert run.main(["run", "--stack", "probe", "--yes", "--evidence", str(file)]) == 2

    assert (
        "is of stack other in eu-west-1, not of the rehearsal; choose another --evidence"
        in capsys.readouterr().err
    )


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = f"{sys.executable} -m examples.contract_probe plan | head -n 1"

    ran = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False
    )

    assert ran.stderr == ""
    assert ran.stdout.count("\n") == 1


def test_every_command_of_the_readme_is_understood() -> None:
    text = README.read_text()
    commands = [
        line.partition("#")[0].split()[5:]
        for line in text.splitlines()
        if line.startswith("uv run python -m ")
    ]

    assert [run.parser().parse_args(command).command is not None for command in commands] == [True] * 4


def test_the_readme_has_every_deployment_and_what_it_settles() -> None:
    rows = [line for line in README.read_text().splitlines() if line.startswith("| `")]
    listed = {name: set(re.findall(r"`([a-z_]+)`", row.split("|")[4])) for row in rows for name in names(row)}

    assert listed == {step.name: set(step.settles) for step in PLAN}


def names(row: str) -> list[str]:
    return re.findall(r"`([a-z-]+)`", row.split("|")[1])


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run.main(["--help"])

    printed = " ".join(capsys.readouterr().out.split())
    assert "Try it without an account first: rehearse --switch merge=replace." in printed
