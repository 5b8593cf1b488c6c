"""Around ``approvals``: permissions, set-up, credentials, misuse, and its page in the documentation."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hooks.manual_approval import cli, parameter_store
from hooks.manual_approval.cli.arguments import parser
from rehearsal.aws.cloud import ACCOUNT
from rehearsal.aws.identities import ALLOW_ALL
from rehearsal.aws.policy import unused_grants
from rehearsal.runtime.lambda_python import ROOT
from shared import clients
from tests.hooks.manual_approval.approvals_desk import (
    ALICE,
    BOB,
    ENTRY,
    LATER,
    SETUP,
    Desk,
    in_full,
    opened,
    policies,
)
from tests.hooks.manual_approval.console.under_way import PREFIX, active
from tests.shared.checkout import GREEN, REGION, deploy


@pytest.fixture
def desk() -> Iterator[Desk]:
    with opened() as desk:
        deploy(desk.cloud, hook_runs=[active(expires_at=LATER)])
        yield desk


# ---------------------------------------------------------------------------- who, where, and as whom


def test_every_documented_grant_is_needed_and_no_other(desk: Desk) -> None:
    in_full(desk)
    green = desk.cloud.control_plane.revisions[str(GREEN)]
    balancer = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}"
    rule = f"{balancer}:listener-rule/app/shop/50dc6c495c0c9188/f2f7dc8efc522ab2"
    green.load_balancers = [
        {
            "targetGroupArn": f"{balancer}:targetgroup/checkout-a/6d0ecf831eec9f09",
            "containerName": "app",
            "containerPort": 8080,
            "advancedConfiguration": {
                "alternateTargetGroupArn": f"{balancer}:targetgroup/checkout-b/73e2d6bc24d8a067",
                "productionListenerRule": f"{rule}/0000b2d02a6cabee",
                "testListenerRule": f"{rule}/9683b2d02a6cabee",
            },
        }
    ]
    desk.archives(ENTRY)
    desk.calls.clear()

    for arguments in (["list"], ["show", "checkout"], ["approve", "checkout", "--yes"], ["history"]):
        desk.run(*arguments)
    desk.run("stop", "checkout", "--yes")

    made = [(call.action, call.resource) for call in desk.calls if call.identity == ALICE]
    assert desk.denied == []
    assert {heading: unused_grants(policy, made) for heading, policy in policies().items()} == {
        # Parameter Store's documentation shows both forms of a path's ARN; the second allows no more.
        "To look": [
            f"statement FindRequestsAndPastOnes: Resource arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{PREFIX}/*"
        ],
        "To decide": [],
        "To stop deployments": [],
    }


def test_without_the_stack_s_parameter_it_says_what_to_do() -> None:
    with opened(setup=None) as desk:
        deploy(desk.cloud)
        desk.account.ask()

        ran = desk.run("list")
        by_hand = desk.run("list", "--json", "--hook-role", SETUP["hookRole"])

    assert (ran.code, ran.err) == (
        2,
        f"approvals: there is no parameter {PREFIX}-setup in {REGION} of account {ACCOUNT}. Is it the right "
        "--profile, --region and --prefix? Where no stack of template.yaml writes it, say whose requests to "
        "believe: --hook-role ARN, and --pause-role ARN for PAUSE hooks\n",
    )
    assert [one["service"] for one in by_hand.json["requests"]] == ["checkout"]


@pytest.mark.parametrize(
    ("setup", "complaint"),
    [
        ("{", "not JSON"),
        ("[" * 4000, "not JSON"),
        ("[]", "expected an object, got []"),
        ({**SETUP, "hookRole": ""}, "hookRole is missing"),
        ({**SETUP, "hookRole": 7}, "hookRole: expected the ARN of a role, got 7"),
        ({**SETUP, "pauseRole": "*"}, "pauseRole: expected the ARN of a role, got '*'"),
        ({**SETUP, "consoleUrl": "http://x"}, "consoleUrl: 'http://x' is none"),
        ({**SETUP, "recordBucket": "a/b"}, "recordBucket: 'a/b' is none"),
        ({**SETUP, "hookFunction": ["x"]}, "hookFunction: an array of 1 is none"),
    ],
)
def test_a_setup_that_makes_no_sense_is_believed_in_nothing(setup: object, complaint: str) -> None:
    with opened(setup=setup) as desk:
        ran = desk.run("list")

    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"approvals: {PREFIX}-setup: {complaint}")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--prefix", "approvals"), "--prefix: expected a path such as /ecs-approvals, got 'approvals'"),
        (("--hook-role", "approval"), "--hook-role: expected the ARN of a role, got 'approval'"),
        (("--pause-role", "approval"), "--pause-role: expected the ARN of a role, got 'approval'"),
    ],
)
def test_an_option_that_makes_no_sense_is_named(desk: Desk, options: tuple[str, ...], complaint: str) -> None:
    ran = desk.run("list", *options)

    assert (ran.code, ran.err) == (2, f"approvals: {complaint}\n")


def test_another_prefix_is_another_stack(desk: Desk) -> None:
    ran = desk.run("list", APPROVALS_PREFIX="/other/")

    assert (
        "there is no parameter /other-setup" in desk.run("list", who="admin", APPROVALS_PREFIX="/other/").err
    )
    assert ran.err == (
        "approvals: you may not ssm:GetParameter on /other-setup; no policy of yours allows it\n"
    )


@pytest.mark.parametrize(
    ("error", "complaint"),
    [
        ("ExpiredTokenException", "the AWS credentials have expired: sign in again"),
        ("UnrecognizedClientException", "AWS does not know these credentials (UnrecognizedClientException)"),
    ],
)
def test_credentials_that_are_no_good_are_told_from_missing_rights(
    desk: Desk, error: str, complaint: str
) -> None:
    desk.cloud.faults.add(action="ssm:GetParameter", error=error)

    ran = desk.run("list")

    assert (ran.code, ran.err) == (2, f"approvals: {complaint}\n")


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], object]]:
    """Return what writes the AWS CLI's configuration; nothing of the surroundings is left."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # A command has one profile; here many run in one process, and clients are remembered by their key.
    remembered = (clients._client, clients._session, parameter_store._identity)
    for one in remembered:
        one.cache_clear()
    yield (tmp_path / "config").write_text
    for one in remembered:
        one.cache_clear()


def test_a_profile_that_is_named_beats_credentials_in_the_environment(
    desk: Desk, configured: Callable[[str], object]
) -> None:
    bob = desk.cloud.identity(user="bob", policies=[ALLOW_ALL])
    configured(
        f"[profile release]\nregion = {REGION}\naws_access_key_id = {bob.access_key}\n"
        f"aws_secret_access_key = {bob.secret_key}\n"
    )
    desk.account.ask()

    ran = desk.run("show", "checkout", "--json", "--profile", "release")

    assert ran.json["you"]["identity"] == BOB


def test_a_profile_that_is_not_there_is_named(desk: Desk, configured: Callable[[str], object]) -> None:
    configured("")

    ran = desk.run("list", "--profile", "nobody")

    assert (ran.code, ran.err) == (2, "approvals: The config profile (nobody) could not be found\n")


def test_a_region_that_nobody_names_is_asked_for(desk: Desk, configured: Callable[[str], object]) -> None:
    configured("")

    ran = desk.run("list", AWS_REGION="", AWS_DEFAULT_REGION="")

    assert (ran.code, ran.err) == (
        2,
        "approvals: no Region: name it with --region, AWS_REGION or in the profile\n",
    )


def test_the_region_that_is_named_is_asked(desk: Desk) -> None:
    ran = desk.run("list", "--region", "eu-central-1", who="admin")

    assert f"there is no parameter {PREFIX}-setup in eu-central-1 of account {ACCOUNT}" in ran.err


def test_without_credentials_it_says_to_sign_in(desk: Desk, configured: Callable[[str], object]) -> None:
    configured("[profile empty]\n")

    ran = desk.run("list", "--profile", "empty")

    assert (ran.code, ran.err) == (
        2,
        "approvals: there are no AWS credentials: sign in, or name a profile with --profile\n",
    )


# ------------------------------------------------------------------------------- misuse, and the page


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["no-such-command"], ["show"], ["approve"], ["extend", "x"],
        ["extend", "x", "--by", "2h", "--until", "2026-03-06T09:00Z"],
        ["extend", "x", "--by", "2"], ["extend", "x", "--by", "0h"], ["extend", "x", "--by", ""],
        ["extend", "x", "--until", "2026-03-06"], ["extend", "x", "--until", "tomorrow"],
        ["history", "--day", "today"], ["history", "--days", "0"], ["history", "--days", "32"],
        ["watch", "--interval", "1"], ["watch", "--interval", "x"],
        ["watch", "x", "--appears-within", "soon"],
    ],
)  # fmt: skip
def test_misuse_is_answered_with_how_to_use_it(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as error:
        cli.main(arguments)

    assert error.value.code == 2
    assert "usage: approvals" in capsys.readouterr().err


COMMANDS = [
    [], ["list"], ["show"], ["approve"], ["reject"], ["extend"], ["stop"], ["watch"], ["history"],
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_a_terminal_and_its_examples_can_be_used(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        cli.main([*command, "--help"])
    told = capsys.readouterr().out
    examples = re.findall(r"^  approvals (.*?)(?:   .*)?$", told, re.MULTILINE)

    assert max(len(line) for line in told.splitlines()) <= 80
    assert examples
    assert [parser().parse_args(_words(example)).run for example in examples]


def _words(example: str) -> list[str]:
    return [quoted or word for quoted, word in re.findall(r'"([^"]*)"|(\S+)', example)]


@pytest.mark.parametrize(("error", "code"), [(ZeroDivisionError, 2), (KeyboardInterrupt, 130)])
def test_an_end_before_the_end_means_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: type[BaseException],
    code: int,
) -> None:
    def run(_: object) -> None:
        raise error

    monkeypatch.setattr(cli, "_run", run)

    assert cli.main(["list"]) == code
    assert ("ZeroDivisionError" in capsys.readouterr().err) == (error is ZeroDivisionError)


def test_a_reader_that_has_seen_enough_is_no_trouble() -> None:
    program = (
        "from hooks.manual_approval import cli; cli._run = lambda _: print('x', flush=True); "
        "raise SystemExit(cli.main(['list']))"
    )
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=writing, stderr=subprocess.PIPE, check=False, cwd=ROOT
    )
    os.close(writing)

    assert (done.returncode, done.stderr) == (2, b"")


def test_without_rich_the_extra_is_named() -> None:
    program = "import sys; sys.modules['rich'] = None; import hooks.manual_approval.cli"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT
    )

    assert (done.returncode, done.stderr) == (
        2,
        "approvals: needs rich: pip install 'ecs-lifecycle-hooks[command-line]'\n",
    )
