"""Golden files: ``templates/NAME.yaml`` beside what ``rehearse check`` prints of it, ``NAME.txt``.

To accept what it prints now: ``REHEARSE_ACCEPT=1 pytest tests/rehearsal/check``, and read the difference.
"""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rehearsal.check import RULES, run
from rehearsal.check.hooks import known_hooks
from shared.lifecycle import Stage
from tests.rehearsal.check.stand_ins import KNOWN

TEMPLATES = Path(__file__).parent / "templates"
PROJECT = Path(__file__).parents[3]
EXAMPLES = sorted((PROJECT / "examples").rglob("*template.yaml"))
GOLDEN = sorted(TEMPLATES.glob("*.yaml")) + sorted(TEMPLATES.glob("*.json"))


class Terminal(io.StringIO):
    """Standard output on a terminal."""

    def isatty(self) -> bool:
        return True


def check(*files: str, **options: object) -> tuple[int, str]:
    out = options.pop("stdout", io.StringIO())
    settings = {
        "parameters": {},
        "json_output": False,
        "strict": False,
        "known": KNOWN,
        "stdout": out,
    } | options
    code = run(list(files), **settings)  # type: ignore[arg-type]
    assert isinstance(out, io.StringIO)
    return code, out.getvalue()


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in the folder of the templates, so that messages name files the same everywhere."""
    monkeypatch.chdir(TEMPLATES)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("template", GOLDEN, ids=lambda path: path.stem)
def test_a_template_gets_the_findings_beside_it(template: Path) -> None:
    expected = template.with_suffix(".txt")

    code, printed = check(template.name)

    if os.environ.get("REHEARSE_ACCEPT"):
        expected.write_text(printed, encoding="utf-8")
    assert printed == expected.read_text(encoding="utf-8")
    assert code == int(": error: " in printed)


@pytest.mark.parametrize("template", EXAMPLES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_nothing_in_the_examples_would_be_rejected_or_bite(template: Path) -> None:
    code, printed = check(str(template), known=known_hooks(), strict=True)

    assert code == 0, printed


def test_what_hangs_on_one_parameter_is_one_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)

    _, printed = check("examples/unicorn_watch/template.yaml")

    (role,) = [line for line in printed.splitlines() if "HookInvocationRoleArn" in line]
    assert role.startswith("examples/unicorn_watch/template.yaml:")
    assert role.count("/template.yaml:") == 1 + 8  # of the parameter, and of each hook


def test_every_rule_is_shown_by_a_template() -> None:
    shown = "".join(path.read_text(encoding="utf-8") for path in TEMPLATES.glob("*.txt"))

    assert [rule for rule in RULES if f"  [{rule}]\n" not in shown] == []


def test_every_rule_says_what_it_is_for_and_who_says_so() -> None:
    assert [rule.id for rule in RULES.values() if not rule.description or not rule.source] == []


@pytest.mark.usefixtures("here")
def test_the_good_template_is_valid_for_cfn_lint_too() -> None:
    lint = [Path(sys.executable).parent / "cfn-lint", "nothing-wrong.yaml"]

    done = subprocess.run(lint, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.usefixtures("here")
def test_warnings_count_only_when_strict() -> None:
    assert check("pause-while-reconciling.yaml")[0] == 0
    assert check("pause-while-reconciling.yaml", strict=True)[0] == 1


@pytest.mark.usefixtures("here")
def test_what_is_only_worth_knowing_never_counts() -> None:
    assert check("admission-beside-other-hooks.yaml", strict=True)[0] == 0


@pytest.mark.usefixtures("here")
def test_several_templates_have_one_summary() -> None:
    code, printed = check(
        "nothing-wrong.yaml", "pause-while-reconciling.yaml", "pause-where-traffic-shifts.yaml"
    )

    assert (code, printed.splitlines()[-1]) == (1, "2 errors, 1 warning in 3 files")


@pytest.mark.usefixtures("here")
def test_json_holds_the_same_findings_with_their_sources() -> None:
    code, printed = check("pause-while-reconciling.yaml", json_output=True)

    assert code == 0
    assert json.loads(printed) == [
        {
            "file": "pause-while-reconciling.yaml",
            "line": 10,
            "severity": "warning",
            "rule": "pause-at-reconcile",
            "message": (
                "Service hook 1 (PAUSE): AWS documents PAUSE at RECONCILE_SERVICE both as valid and as not, "
                "and the stage is only passed when more than one revision is active; use PRE_SCALE_UP"
            ),
            "source": RULES["pause-at-reconcile"].source,
        }
    ]


@pytest.mark.usefixtures("here")
def test_a_terminal_gets_colours_and_sources() -> None:
    code, printed = check("pause-while-reconciling.yaml", stdout=Terminal())

    assert code == 0
    assert RULES["pause-at-reconcile"].source in printed
    assert "1 warning in pause-while-reconciling.yaml" in printed.splitlines()[-1]


@pytest.mark.usefixtures("here")
def test_parameters_change_what_is_checked() -> None:
    name = "only-what-conditions-leave.yaml"

    code, printed = check(name, parameters={"Strategy": "LINEAR"})

    assert code == 1
    assert printed.splitlines()[0] == (
        f"{name}:10: error: Dropped: there is no Strategy 'NONSENSE'; "
        "expected one of ROLLING, BLUE_GREEN, LINEAR, CANARY  [strategy-unknown]"
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Resources: [\n", ":2: expected the node content, but found '<stream end>'"),
        ("", ":1: Resources: expected a template with a map of Resources"),
        ("Resources:\n- a\n", ":1: Resources: expected a template with a map of Resources"),
        ("Resources:\n  A: {}\n  A: {}\n", ":3: A: stands twice"),
        ("Resources:\n  A: web\n", ":2: Resources.A: expected a resource, got 'web'"),
        (
            "Resources:\n  A:\n    Properties: {}\n",
            ":2: Resources.A.Type: expected a resource type, got None",
        ),
        (
            "Resources:\n  A:\n    Type: T\n    Properties: 3\n",
            ":4: Resources.A.Properties: expected a map, got 3",
        ),
        ("Conditions: 3\nResources: {}\n", ":1: Conditions: expected a map, got 3"),
        (
            "Parameters:\n  S:\n    Default: c\n    AllowedValues: [a, b]\nResources: {}\n",
            ":4: Parameters.S.AllowedValues: expected one of a, b, got 'c'",
        ),
        (
            "Resources:\n  A: {Type: T, Metadata: 2001-13-45}\n",
            ":2: not a value YAML can read",
        ),
    ],
)
def test_a_template_that_can_not_be_read_gets_one_line_with_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.yaml").write_text(text, encoding="utf-8")

    assert check("bad.yaml") == (2, f"bad.yaml{line}\n")
    assert check("bad.yaml", json_output=True) == (2, json.dumps({"error": f"bad.yaml{line}"}) + "\n")


def test_a_missing_file_and_a_folder_get_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert check("missing.yaml") == (2, "missing.yaml: No such file or directory\n")
    assert check(".") == (2, ".:1: not a file\n")


@pytest.mark.usefixtures("here")
def test_a_parameter_that_no_template_has_is_named() -> None:
    assert check("only-what-conditions-leave.yaml", parameters={"Stratgy": "LINEAR"}) == (
        2,
        "only-what-conditions-leave.yaml:1: Parameters: no parameter 'Stratgy'; declared: Strategy\n",
    )


def test_our_own_hooks_are_found_with_stages_and_settings() -> None:
    approval = known_hooks()["manual_approval"]

    assert (approval.name, approval.stages) == (
        "manual_approval",
        frozenset({Stage.POST_TEST_TRAFFIC_SHIFT, Stage.PRE_PRODUCTION_TRAFFIC_SHIFT}),
    )
    assert approval.settings.model_validate({"requiredApprovals": 2})


@pytest.mark.usefixtures("here")
def test_our_own_settings_take_what_the_good_template_says() -> None:
    assert check("nothing-wrong.yaml", known=None, strict=True) == (
        0,
        "nothing to mend in nothing-wrong.yaml\n",
    )
