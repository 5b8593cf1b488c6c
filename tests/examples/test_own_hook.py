"""A hook of one's own: the guide shows what the example has, and the example does what the guide says."""

import ast
import importlib
import json
import os
import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import time_machine
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.own_hook import handler as plain
from examples.own_hook import with_evidence
from rehearsal.runtime.in_process import InProcess
from rehearsal.template import Template
from shared.settings import POLICY_VARIABLE

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "own_hook"
GUIDE = (ROOT / "docs" / "writing-a-hook.md").read_text(encoding="utf-8")
EVENT = json.loads((EXAMPLE / "events" / "canary_step.json").read_text(encoding="utf-8"))

PROCEEDS, REFUSES = {"hookStatus": "SUCCEEDED"}, {"hookStatus": "FAILED"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)


# The guide


def test_what_the_guide_shows_is_what_the_example_has() -> None:
    files = [
        (EXAMPLE / name).read_text(encoding="utf-8") for name in ("handler.py", "test_deployment_hours.py")
    ]
    hook, evidence, test = blocks("python")

    assert [hook, test] == files
    assert (EXAMPLE / "with_evidence.py").read_text(encoding="utf-8").endswith(f"\n{evidence}")
    assert f"\n{blocks('yaml')[0]}\n" in (EXAMPLE / "template.yaml").read_text(encoding="utf-8")


def test_the_hook_has_ten_lines() -> None:
    source = (EXAMPLE / "handler.py").read_text(encoding="utf-8")
    [_, *body] = ast.parse(source).body
    told = [node for node in body if not isinstance(node, ast.Import | ast.ImportFrom)]
    lines = {
        number
        for node in told
        for number in range(min([node.lineno, *(one.lineno for one in _decorators(node))]), _end(node) + 1)
    }

    assert len([number for number in lines if source.splitlines()[number - 1].strip()]) == 10


def _decorators(node: ast.stmt) -> list[ast.expr]:
    return node.decorator_list if isinstance(node, ast.FunctionDef | ast.ClassDef) else []


def _end(node: ast.stmt) -> int:
    assert node.end_lineno is not None
    return node.end_lineno


def test_the_guide_names_files_that_are_there() -> None:
    links = re.findall(r"\]\(\.\./([^)#]+)\)", GUIDE)

    assert [link for link in links if not (ROOT / link).exists()] == []
    assert {"examples/own_hook", "hooks/smoke_test/README.md"} <= set(links)


@pytest.mark.parametrize(
    "details",
    [*re.findall(r"HookDetails: '(.*)'", GUIDE), *re.findall(r"`(\{\"timeZone\"[^`]*\})`", GUIDE)],
)
def test_settings_in_the_guide_can_be_used(details: str) -> None:
    plain.Hours.model_validate(json.loads(details))


# The hook


@dataclass(frozen=True)
class OwnFunction:
    """What it takes to call a function as Lambda does."""

    handler: str
    logical_id: str = "DeploymentHoursFunction"
    name: str = "deployment-hours"
    arn: str = "arn:aws:lambda:us-east-1:123456789012:function:deployment-hours"
    timeout_seconds: int = 30
    memory_mb: int = 256
    layers: tuple[str, ...] = ()


def called(
    module: ModuleType, at: datetime, details: Any = None, policy: str = ""
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Call a hook at a time in UTC; returns its reply and its record."""
    with time_machine.travel(at.replace(tzinfo=UTC), tick=False):
        invocation = InProcess().invoke(
            OwnFunction(f"{module.__name__}.handler"),
            {**EVENT, "hookDetails": details},
            {POLICY_VARIABLE: policy},
        )
    assert invocation.error is None, invocation.error
    [record] = [
        json.loads(line)["decision_record"] for line in invocation.log_lines if "decision_record" in line
    ]
    return invocation.reply, record


@pytest.mark.parametrize("module", [plain, with_evidence], ids=["plain", "with evidence"])
@pytest.mark.parametrize(
    ("at", "details", "reply", "reason"),
    [
        ("2026-03-02T09:00", None, PROCEEDS, "it is Monday 09:00"),
        ("2026-03-02T08:59", None, REFUSES, "it is Monday 08:59, and not Monday to Friday, 9 to 16"),
        ("2026-03-06T15:59", None, PROCEEDS, "it is Friday 15:59"),
        ("2026-03-06T16:00", None, REFUSES, "it is Friday 16:00, and not Monday to Friday, 9 to 16"),
        ("2026-03-07T12:00", None, REFUSES, "it is Saturday 12:00, and not Monday to Friday, 9 to 16"),
        # Summer time began on 29 March.
        ("2026-03-27T08:00", {"timeZone": "Europe/Berlin"}, PROCEEDS, "it is Friday 09:00"),
        ("2026-03-30T07:00", {"timeZone": "Europe/Berlin"}, PROCEEDS, "it is Monday 09:00"),
        ("2026-03-02T23:30", {"timeZone": "Asia/Tokyo"}, REFUSES, "it is Tuesday 08:30, and not"),
        (
            "2026-03-02T12:00",
            {"closesAt": 12},
            REFUSES,
            "it is Monday 12:00, and not Monday to Friday, 9 to 12",
        ),
        (
            "2026-03-02T12:00",
            {"timeZone": "Mars/Olympus"},
            REFUSES,
            "hookDetails: timeZone: invalid timezone",
        ),
        ("2026-03-02T12:00", {"closeAt": 12}, REFUSES, "did you mean 'closesAt'?"),
    ],
)
def test_production_traffic_moves_in_deployment_hours(
    module: ModuleType, at: str, details: Any, reply: dict[str, str], reason: str
) -> None:
    replied, record = called(module, datetime.fromisoformat(at), details)

    assert replied == reply
    assert reason in record["verdict"]["reason"]


def test_the_policy_s_hours_hold_for_every_service() -> None:
    policy = '{"closesAt": 12, "timeZone": "Europe/Berlin"}'
    late = {"closesAt": 20, "timeZone": "America/New_York"}

    replies = [called(plain, datetime(2026, 3, 2, hour), late, policy)[0] for hour in (10, 11)]
    assert replies == [PROCEEDS, REFUSES]


@given(st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1)))
@settings(max_examples=50, deadline=None)
def test_a_record_is_enough_to_decide_again(at: datetime) -> None:
    details = {"timeZone": "Europe/Berlin"}
    reply, record = called(with_evidence, at, details)

    assert reply == called(plain, at, details)[0]
    assert with_evidence.handler.replay(record) == record["verdict"]


def test_the_example_s_own_tests_pass() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(EXAMPLE)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout.splitlines()[-1][:8]) == (0, "2 passed"), done.stdout


# The template


def test_the_template_is_clean_for_cfn_lint() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "cfn-lint", EXAMPLE / "template.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "")


def test_the_role_allows_what_the_hook_calls_which_is_nothing() -> None:
    [function] = Template.read(EXAMPLE / "template.yaml").functions()

    assert [statement["Action"] for statement in function.statements] == [
        ["logs:CreateLogStream", "logs:PutLogEvents"]
    ]


def test_the_output_is_ready_to_paste() -> None:
    class Loader(yaml.SafeLoader):
        """Reads CloudFormation's short forms as what they are about."""

    Loader.add_multi_constructor(
        "!",
        lambda loader, _, node: loader.construct_scalar(node) if isinstance(node, yaml.ScalarNode) else None,
    )
    template = yaml.load((EXAMPLE / "template.yaml").read_text(encoding="utf-8"), Loader)
    [hook] = json.loads(template["Outputs"]["DeploymentHoursLifecycleHooks"]["Value"])["LifecycleHooks"]

    assert set(hook["LifecycleStages"]) == set(plain.handler.stages)
    assert hook["TimeoutConfiguration"]["Action"] == "ROLLBACK"


ANSWER = """
import json, handler
class Context:
    def get_remaining_time_in_millis(self): return 30_000
event = json.load(open({event!r}))
event["hookDetails"] = {{"opensAt": 23, "closesAt": 1}}
print("ANSWER", json.dumps(handler.handler(event, Context())))
"""


@pytest.mark.thorough
def test_what_sam_builds_answers_ecs(tmp_path: Path) -> None:
    """Beside what comes with Lambda's runtime, the artifact has all it needs."""
    uv = ROOT / ".uv" / "bin" / "uv"
    subprocess.run(
        [
            *("make", "-C", str(EXAMPLE), "build-DeploymentHoursFunction"),
            *(f"ARTIFACTS_DIR={tmp_path}", f"MACHINE={platform.machine()}"),
            *([f"UV={uv}"] if uv.exists() else []),
        ],
        check=True,
        capture_output=True,
    )
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    for package in ("botocore", "urllib3", "dateutil", "six"):
        file = Path(str(importlib.import_module(package).__file__))
        part = file.parent if file.name == "__init__.py" else file
        (runtime / part.name).symlink_to(part)
    done = subprocess.run(
        [sys.executable, "-S", "-c", ANSWER.format(event=str(EXAMPLE / "events" / "canary_step.json"))],
        cwd=tmp_path,
        env={
            "PYTHONPATH": os.pathsep.join((str(tmp_path), str(runtime))),
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.splitlines()[-1:] == ['ANSWER {"hookStatus": "FAILED"}'], done.stderr
