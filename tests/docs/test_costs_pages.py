"""What the pages say that a deployment calls, it calls; and what the template has while nobody deploys."""

import re
from collections import Counter
from typing import Any
from unittest import mock

import pytest
from botocore.client import BaseClient

from rehearsal.document import Document
from rehearsal.runtimes import open_rehearsal
from rehearsal.scenario import Scenario, find
from tests.docs.fenced_blocks import ROOT, Page

RESOURCES = Document.read(ROOT / "template.yaml").data["Resources"]


def table(page: str) -> tuple[str, dict[str, int]]:
    """Return the scenario under *Costs* on a page, and how often it calls what."""
    text = Page.read(page).text.split("\n## Costs\n", 1)[1].split("\n## ", 1)[0]
    [scenario] = re.findall(r"^\| \| `([a-z-]+)` \|$", text, re.MULTILINE)
    rows = re.findall(r"^\| (.+?) \| (\d+) \|$", text, re.MULTILINE)
    return scenario, {name.strip("`"): int(number) for name, number in rows}


def counted(scenario: str, function: str) -> dict[str, int]:
    """Rehearse a scenario, and count what a function's role calls."""
    metrics = 0
    sent = BaseClient._make_api_call  # type: ignore[attr-defined]

    def counting(client: BaseClient, operation: str, request: dict[str, Any]) -> Any:
        nonlocal metrics
        if operation == "GetMetricData":
            metrics += sum("MetricStat" in query for query in request["MetricDataQueries"])
        return sent(client, operation, request)

    with (
        open_rehearsal("in-process", "virtual") as rehearsal,
        mock.patch.object(BaseClient, "_make_api_call", counting),
        rehearsal.cloud.recording() as calls,
    ):
        outcome = rehearsal.run(Scenario.read(find(scenario)), seed=0, switches={})
    # Once per execution environment, which tests have in common.
    made = Counter(
        call.action
        for call in calls
        if call.identity.endswith(f"/{function}") and call.action != "sts:GetCallerIdentity"
    )
    asked = {"metrics asked for": metrics} if metrics else {}
    return {"invocations": len(outcome.calls), **made, **asked}


@pytest.mark.parametrize(
    ("page", "function"),
    [
        ("docs/canary-comparison.md", "CanaryComparisonFunction"),
        ("docs/image-trust.md", "ImageTrustFunction"),
        ("docs/manual-approval.md", "ManualApprovalFunction"),
        ("docs/smoke-test.md", "SmokeTestFunction"),
        # Every request and every read of each task is played.
        pytest.param("docs/consumer-activation.md", "ConsumerActivationFunction", marks=pytest.mark.thorough),
        pytest.param("docs/load-test.md", "LoadTestFunction", marks=pytest.mark.thorough),
    ],
)
def test_a_deployment_calls_what_the_hook_s_page_says(page: str, function: str) -> None:
    scenario, said = table(page)

    assert said == counted(scenario, function)


def test_what_there_is_while_nobody_deploys_is_the_template_s() -> None:
    kinds = Counter(resource["Type"] for resource in RESOURCES.values())
    scheduled = sorted(
        name
        for name, resource in RESOURCES.items()
        if any(event["Type"] == "Schedule" for event in resource["Properties"].get("Events", {}).values())
    )
    page = Page.read("docs/costs.md").text
    rows = dict(re.findall(r"^\| (.+?) \| (\d+)\b.*\|$", page, re.MULTILINE))
    [functions] = [row for row in rows if row.startswith("scheduled functions")]

    assert sorted(re.findall(r"`(\w+)`", functions)) == scheduled
    assert {name: int(number) for name, number in rows.items()} == {
        functions: len(scheduled),
        "alarms": kinds["AWS::CloudWatch::Alarm"],
        "dashboards": kinds["AWS::CloudWatch::Dashboard"],
        "log groups, kept for `LogRetentionDays`": kinds["AWS::Logs::LogGroup"],
        "secrets, with the console": kinds["AWS::SecretsManager::Secret"],
        "a queue and a bucket, with the load test": kinds["AWS::SQS::Queue"],
    }
    assert kinds["AWS::SQS::Queue"] == kinds["AWS::S3::Bucket"]
    # A month has 8,640 times five minutes.
    assert f"{8640 * len(scheduled):,} invocations" in page


def test_the_example_is_the_approval_s_page_s() -> None:
    _, said = table("docs/manual-approval.md")
    page = " ".join(Page.read("docs/costs.md").text.split())

    assert f"is {said['invocations']} invocations" in page
    assert f"the {said['invocations'] * 1000:,} invocations cost half a cent" in page
    assert round(said["invocations"] * 1000 * 0.20 / 1_000_000, 3) == 0.005
