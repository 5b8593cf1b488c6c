"""The worked sums of docs/choosing-a-strategy.md are those of ``rehearse check``, and CloudFormation's."""

import ast
import json
import re

import pytest
import yaml

from rehearsal.check.command import check
from rehearsal.check.findings import Finding
from rehearsal.document import Document
from rehearsal.template import Template
from tests.docs.fenced_blocks import Page

PAGE = Page.read("docs/choosing-a-strategy.md")
ROWS = re.findall(
    r"^\| `(\{Strategy.*?\})`, `(\[.*?\])` \| (.+?) \| (\d+) \| (.+?) \|$", PAGE.text, re.MULTILINE
)
LIMIT = 33 * 60


def findings(configuration: str, minutes: str) -> list[Finding]:
    deployment = yaml.safe_load(configuration)
    deployment["LifecycleHooks"] = [
        {
            "HookTargetArn": f"arn:aws:lambda:eu-west-1:123456789012:function:hook-{number}",
            "RoleArn": "arn:aws:iam::123456789012:role/hooks",
            "LifecycleStages": ["POST_SCALE_UP"],
            "TimeoutConfiguration": {"TimeoutInMinutes": timeout, "Action": "ROLLBACK"},
        }
        for number, timeout in enumerate(json.loads(minutes))
    ]
    service = {"Cluster": "shop", "ServiceConnectConfiguration": {"Enabled": True, "Services": [{}]}}
    template = {
        "Resources": {
            "Service": {
                "Type": "AWS::ECS::Service",
                "Properties": {**service, "DeploymentConfiguration": deployment},
            }
        }
    }
    return check(Template(Document.parse(json.dumps(template), "page")), {})


def test_there_are_sums() -> None:
    assert len(ROWS) == 7


@pytest.mark.parametrize(("configuration", "minutes", "total", "in_all", "outcome"), ROWS)
def test_a_sum_is_right_and_judged_as_rehearse_check_does(
    configuration: str, minutes: str, total: str, in_all: str, outcome: str
) -> None:
    terms = ast.parse(total, mode="eval").body
    found = [one for one in findings(configuration, minutes) if one.rule.startswith("total-")]
    expected = {
        "fits": [],
        "rejected": ["total-bake-time"],
        "rejected, if hooks count": ["total-hook-time"],
    }

    assert eval(compile(ast.Expression(terms), "sum", "eval")) == int(in_all)  # digits, + and * alone
    assert [one.rule for one in found] == expected[outcome]
    assert (int(in_all) > LIMIT) == bool(found)
    if found:
        assert f"{in_all} minutes" in found[0].message or f"{in_all} in all" in found[0].message


def test_the_rules_that_the_page_names_are_rules() -> None:
    from rehearsal.check.rules import SERVICE_RULES

    [named] = re.findall(r"says so of a template: (.*)\.", PAGE.prose)

    assert set(re.findall(r"`([a-z-]+)`", named)) <= {rule.id for rule in SERVICE_RULES}
