"""`rehearse TEMPLATE`: who acts around a service, what is said before the run, and what can't be run."""

import json
from pathlib import Path
from typing import Any

import pytest

from rehearsal.cli import main
from rehearsal.default_actors import MANNERS, fitting, scenario_of
from rehearsal.from_template import read
from rehearsal.outcome import Outcome
from rehearsal.scenario import HookEntry, Scenario
from rehearsal.world import Rehearsal

UNICORN_WATCH = Path(__file__).parents[2] / "examples" / "unicorn_watch" / "template.yaml"

HOOKS: dict[str, dict[str, Any]] = {
    "image_trust": {"stages": ["PRE_SCALE_UP", "POST_SCALE_UP"]},
    "manual_approval": {"stages": ["POST_TEST_TRAFFIC_SHIFT"], "details": {"expiresAfterMinutes": 60}},
    "consumer_activation": {
        "stages": ["RECONCILE_SERVICE", "PRE_SCALE_UP", "PRODUCTION_TRAFFIC_SHIFT"],
        "details": {"queue": "orders"},
    },
    "smoke_test": {
        "stages": ["POST_TEST_TRAFFIC_SHIFT"],
        "details": {
            "url": "https://test.shop.example",
            "header": {"name": "x-release", "value": "green"},
            "checks": [{"path": "/health"}, {"path": "/cart", "bodyContains": "unicorn"}],
        },
    },
    "canary_comparison": {"stages": ["PRODUCTION_TRAFFIC_SHIFT"], "details": {"holdMinutes": 10}},
}


def template(folder: Path, *hooks: str, strategy: str = "BLUE_GREEN", **details: Any) -> Path:
    """Write a template of a service with these hooks; returns its path."""
    entries: list[dict[str, Any]] = []
    for name in hooks:
        if name == "pause":
            entries.append({"TargetType": "PAUSE", "LifecycleStages": ["POST_SCALE_UP"]})
            continue
        letters = "".join(part.title() for part in name.split("_"))
        known = HOOKS.get(name, {"stages": ["POST_SCALE_UP"]})
        given = {**known.get("details", {}), **details}
        entries.append(
            {
                "HookTargetArn": f"arn:aws:lambda:us-east-1:123456789012:function:shop-{letters}Function",
                "RoleArn": "arn:aws:iam::123456789012:role/hooks",
                "LifecycleStages": known["stages"],
                **({"HookDetails": json.dumps(given)} if given else {}),
            }
        )
    deployment = {
        "Strategy": strategy,
        "LifecycleHooks": entries,
        "Alarms": {"AlarmNames": ["shop-errors"], "Enable": True, "Rollback": True},
    }
    is_behind = "consumer_activation" not in hooks
    balanced = {
        "LoadBalancers": [
            {
                "TargetGroupArn": {"Ref": "Group"},
                "AdvancedConfiguration": {"AlternateTargetGroupArn": {"Ref": "Group"}},
            }
        ]
    }
    service = {
        "ServiceName": "checkout",
        "Cluster": "shop",
        "DesiredCount": 2,
        "DeploymentConfiguration": deployment,
        **(balanced if is_behind else {}),
    }
    resources = {
        "Service": {"Type": "AWS::ECS::Service", "Properties": service},
        "Group": {"Type": "AWS::ElasticLoadBalancingV2::TargetGroup", "Properties": {"Protocol": "HTTP"}},
    }
    file = folder / "template.json"
    file.write_text(json.dumps({"Resources": resources}))
    return file


def run(rehearsal: Rehearsal, file: Path, manner: str, service: str | None = None) -> Outcome:
    outcome = rehearsal.run(scenario_of(read(file, service), manner))
    assert [check for check in outcome.checks if not check.held] == []
    return outcome


@pytest.mark.parametrize(
    ("hooks", "details", "manner"),
    [
        (("image_trust",), {}, "healthy"),
        (("image_trust",), {}, "unsigned"),
        (("manual_approval",), {}, "healthy"),
        (("manual_approval",), {"requiredApprovals": 3}, "healthy"),
        (("manual_approval",), {"requiredApprovals": 3}, "rejected"),
        (("manual_approval",), {}, "undecided"),
        (("pause",), {}, "healthy"),
        (("pause",), {}, "rejected"),
        (("pause",), {}, "undecided"),
        (("smoke_test",), {}, "healthy"),
        (("smoke_test",), {}, "errors"),
        (("consumer_activation",), {}, "poisons"),
        (("consumer_activation",), {}, "silent"),
        (("somebody_elses",), {}, "healthy"),
        ((), {}, "alarm"),
        # The first one that can tell is the one that refuses, wherever it stands.
        (("manual_approval", "smoke_test", "image_trust", "pause"), {}, "unsigned"),
    ],
    ids=str,
)
def test_a_service_goes_through_and_is_refused_by_the_hook_that_can_tell(
    rehearsal: Rehearsal, tmp_path: Path, hooks: tuple[str, ...], details: dict[str, Any], manner: str
) -> None:
    run(rehearsal, template(tmp_path, *hooks, **details), manner)


@pytest.mark.parametrize("manner", ["healthy", "errors-in-production", "slow-in-production"])
def test_a_comparison_has_traffic_to_compare(rehearsal: Rehearsal, tmp_path: Path, manner: str) -> None:
    run(rehearsal, template(tmp_path, "canary_comparison", strategy="CANARY"), manner)


@pytest.mark.parametrize("manner", ["errors", "slow"])
def test_the_examples_catalog_is_refused_under_load(rehearsal: Rehearsal, manner: str) -> None:
    outcome = run(rehearsal, UNICORN_WATCH, manner, "catalog")

    assert [call.hook for call in outcome.calls if call.answer == "FAILED"] == ["load_test"]


@pytest.mark.parametrize(
    ("service", "ways"),
    [
        ("ui", ["healthy", "unsigned", "rejected", "undecided", "alarm"]),
        (
            "catalog",
            [
                "healthy",
                "errors",
                "slow",
                "errors-in-production",
                "slow-in-production",
                "unsigned",
                "alarm",
            ],
        ),
        ("notifications", ["healthy", "unsigned", "poisons", "silent", "alarm"]),
        ("streaming", ["healthy", "unsigned", "alarm"]),
        ("load-generator", ["healthy"]),
    ],
)
def test_green_can_be_what_something_about_the_service_can_tell(service: str, ways: list[str]) -> None:
    assert fitting(read(UNICORN_WATCH, service)) == ways


def test_workers_are_at_the_queue_that_the_template_makes() -> None:
    actors = scenario_of(read(UNICORN_WATCH, "notifications"), "healthy").actors
    name = "unicorn-watch-sightings"

    assert [actor for actor in actors if "registry" not in actor] == [
        {"queue": {"name": name, "messagesPerMinute": 8, "visibilityTimeout": "60s", "deadLetterAfter": 3}},
        {"workers": {"queue": name, "handling": ["2s", "8s"], "visibilityTimeout": "60s"}},
    ]


def test_a_hook_that_fails_open_lets_a_bad_green_through_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = template(tmp_path, "pause")
    content = json.loads(file.read_text())
    (pause,) = content["Resources"]["Service"]["Properties"]["DeploymentConfiguration"]["LifecycleHooks"]
    pause["TimeoutConfiguration"] = {"TimeoutInMinutes": 60, "Action": "CONTINUE"}
    file.write_text(json.dumps(content))

    assert main([str(file), "--green", "undecided"]) == 1
    assert "MISSED  expected: status is ROLLBACK_SUCCESSFUL; seen: SUCCESSFUL" in capsys.readouterr().out


# What is printed, and written


def test_what_was_read_and_assumed_is_printed_with_its_place(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(UNICORN_WATCH.parents[2])
    folder = "examples/unicorn_watch"

    assert main([f"{folder}/template.yaml", "--service", "streaming"]) == 0

    introduced, _, ran = capsys.readouterr().out.partition("\n\n")
    lines = introduced.splitlines()
    place = f"{folder}/streaming/template.yaml"
    assert lines[0].startswith(f"streaming in unicorn-watch, as {place}:")
    assert [line[:10] for line in lines[1:]] == ["  read    "] * 4 + ["  assumed "] + ["  around  "]
    assert "BLUE_GREEN: all at once; bakes 15 min" in lines[1]
    assert "image_trust at PRE_SCALE_UP, POST_SCALE_UP; after 30 min ECS does ROLLBACK" in lines[4]
    assert "the parameter StreamingImage has no default and was given no value" in lines[5]
    assert [place in line for line in lines] == [True] * 6 + [False]
    assert ran.startswith("== streaming: A healthy new revision.")


def test_a_parameter_changes_what_is_read(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "linear.yaml"
    arguments = [str(UNICORN_WATCH), "--service", "catalog", "--save", str(file)]

    assert main([*arguments, "--parameter", "CatalogStrategy=LINEAR"]) == 0

    assert "LINEAR: 25 % more every 5 min; bakes 15 min" in capsys.readouterr().out
    assert Scenario.read(file).strategy.steps == (25.0, 50.0, 75.0, 100.0)


def details(hook: HookEntry) -> object:
    return json.loads(hook.hook_details) if isinstance(hook.hook_details, str) else hook.hook_details


@pytest.mark.parametrize("manner", ["healthy", *MANNERS])
def test_a_run_can_be_saved_as_a_scenario_that_says_the_same(tmp_path: Path, manner: str) -> None:
    hooks = ("image_trust", "manual_approval", "smoke_test", "canary_comparison")
    names = ("consumer_activation",) if manner in {"poisons", "silent"} else hooks
    file, saved = template(tmp_path, *names, strategy="BLUE_GREEN"), tmp_path / "mine.yaml"

    assert main([str(file), "--green", manner, "--save", str(saved)]) == 0

    made, again = scenario_of(read(file, None), manner), Scenario.read(saved)
    assert (again.actors, again.expect, again.description) == (made.actors, made.expect, made.description)
    assert [(one.hook, details(one), one.policy) for one in again.hooks] == [
        (one.hook, details(one), one.policy) for one in made.hooks
    ]


# What can't be run, and what of it can be checked


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "template.json:1: --service: there are 2 services, name one of basket, checkout"),
        (
            ["--service", "chekout"],
            "template.json:1: --service: no service is called 'chekout'; did you mean ",
        ),
        (
            ["--service", "checkout", "--parameter", "Image=x"],
            "template.json:1: --parameter: no parameter 'Image'; there is none",
        ),
        (
            ["--service", "checkout", "--green", "poisons"],
            "--green poisons: nothing about checkout can tell; it can be healthy, unsigned, alarm",
        ),
        (
            ["--service", "checkout", "--green", "unsinged"],
            "--green unsinged: there is no such way, did you mean 'unsigned'?",
        ),
        (
            ["--service", "checkout", "--green", "blue"],
            "--green blue: there is no such way; it can be healthy, unsigned, alarm, all",
        ),
        (
            ["--service", "checkout", "--green", "all", "--save", "mine.yaml"],
            "mine.yaml: a file has one scenario; name one --green",
        ),
        (
            ["approved", "--service", "checkout"],
            "template.json: is a template; rehearse one at a time, and nothing beside it",
        ),
    ],
)
def test_what_is_asked_of_a_template_and_is_not_there_is_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    file = template(tmp_path, "image_trust")
    content = json.loads(file.read_text())
    content["Resources"]["Basket"] = {"Type": "AWS::ECS::Service", "Properties": {"ServiceName": "basket"}}
    file.write_text(json.dumps(content))

    assert main(["template.json", *arguments]) == 2

    error = capsys.readouterr().err
    assert error.startswith(f"rehearse: {message}")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--service", "ui"], "--service belongs to a CloudFormation template, and none is named"),
        (["--green", "errors"], "--green belongs to a CloudFormation template, and none is named"),
        (["--all", "approved"], "--all: names no scenario beside it; leave one of them out"),
        (
            ["mine.yaml", "--parameter", "A=b"],
            "mine.yaml: --parameter belongs to a CloudFormation template, and there are no Resources here",
        ),
        (["broken.yaml", "--service", "ui"], "broken.yaml:2: expected ',' or ']', but got ':'"),
        (["list.yaml", "--service", "ui"], "list.yaml: --service belongs to a CloudFormation template, and "),
    ],
)
def test_what_is_no_template_is_said_in_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("expect: {status: SUCCESSFUL}\n")
    Path("broken.yaml").write_text("Resources:\n  Service: [Type: A, b: c: d\n")
    Path("list.yaml").write_text("[]\n")

    assert main(arguments) == 2

    error = capsys.readouterr().err
    assert error.startswith(f"rehearse: {message}")
    assert error.count("\n") == 1


SERVICE = """\
Resources:
  Service:
    Type: AWS::ECS::Service
    Properties:
      ServiceName: checkout
      DeploymentConfiguration:
"""
HOOK = """\
        Strategy: BLUE_GREEN
        LifecycleHooks:
          - HookTargetArn: %s
            RoleArn: !ImportValue hook-role
            LifecycleStages: [POST_SCALE_UP]
            TimeoutConfiguration: {TimeoutInMinutes: 30, Action: ROLLBACK}
"""


@pytest.mark.parametrize(
    ("text", "code", "run_says", "check_says"),
    [
        (
            SERVICE + HOOK % "!ImportValue other-stack-hook",
            0,
            "9: other-stack-hook is none of this project's hooks; it always answers SUCCEEDED here",
            "9: info: Service hook 1 HookTargetArn could not be checked: 'other-stack-hook' is exported by",
        ),
        (
            SERVICE + HOOK % "!Teleport {to: x}",
            0,
            "9: hook-1 is none of this project's hooks; it always answers SUCCEEDED here",
            "9: info: Service hook 1 HookTargetArn could not be checked: Fn::Teleport is not a function this",
        ),
        (
            SERVICE + HOOK % "arn:aws:lambda:us-east-1:123456789012:function:other-hook",
            0,
            "9: other-hook is none of this project's hooks; it always answers SUCCEEDED here",
            "9: info: Service hook 1 (other-hook): the function is not in this template, so its setting",
        ),
        (
            SERVICE.replace("      DeploymentConfiguration:\n", ""),
            0,
            "4: no DeploymentConfiguration: ECS deploys by ROLLING and calls no hook",
            "4: info: Service: no DeploymentConfiguration, so it deploys by ROLLING and has no hooks",
        ),
        (
            SERVICE + "        Strategy: !ImportValue strategy\n",
            2,
            "7: Service DeploymentConfiguration.Strategy: it can't be told how it deploys: 'strategy' is ",
            "7: info: Service DeploymentConfiguration.Strategy could not be checked: 'strategy' is exported",
        ),
        (
            SERVICE
            + HOOK % "x"
            + "  Inner:\n    Type: AWS::CloudFormation::Stack\n    Properties: {TemplateURL: none.yaml}\n",
            0,
            "13: Inner can't be read: the nested template 'none.yaml' is not a file here",
            "13: error: Inner: the nested template 'none.yaml' is not a file here",
        ),
        (
            SERVICE
            + HOOK % "x"
            + "  Inner:\n    Type: AWS::CloudFormation::Stack\n    Properties: {TemplateURL: shop.yaml}\n",
            0,
            "13: Inner can't be read: the template 'shop.yaml' nests itself, without end",
            "13: error: Inner: the template 'shop.yaml' nests itself, without end",
        ),
        (
            "Resources:\n  Service: {Type: [A}\n",
            2,
            "2: expected ',' or ']', but got '}'",
            "2: expected ',' or ']', but got '}'",
        ),
        (
            "Resources: {}\n",
            2,
            "1: --service: there is no AWS::ECS::Service",
            "1: info: no AWS::ECS::Service, so there are no hooks to check",
        ),
        (
            "Resources: []\n",
            2,
            "1: Resources: expected a template with a map",
            "1: Resources: expected a template",
        ),
    ],
)
def test_what_can_not_be_told_has_a_place_and_the_rest_is_run_and_checked(
    text: str,
    code: int,
    run_says: str,
    check_says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("shop.yaml").write_text(text)

    assert main(["shop.yaml"]) == code

    printed = capsys.readouterr()
    place, _, words = run_says.partition(": ")
    if code:
        assert printed.err.startswith(f"rehearse: shop.yaml:{run_says}")
        assert printed.err.count("\n") == 1
    else:
        assert f"{words}  shop.yaml:{place}\n" in printed.out
        assert "SUCCESSFUL after" in printed.out

    main(["check", "shop.yaml"])

    assert f"shop.yaml:{check_says}" in capsys.readouterr().out
