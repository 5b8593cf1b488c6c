"""Whoever looks for what ECS said finds it on docs/troubleshooting.md."""

import inspect
import re

import pytest

from rehearsal import reasons
from rehearsal.document import Document
from tests.docs.fenced_blocks import ROOT, Page

PAGE = Page.read("docs/troubleshooting.md")
PLAIN = " ".join(PAGE.prose.split())
RESOURCES = Document.read(ROOT / "template.yaml").data["Resources"]
LOG_GROUPS = {name for name, resource in RESOURCES.items() if resource["Type"] == "AWS::Logs::LogGroup"}

# How the page writes what differs from case to case.
WRITTEN = {
    "cause": "CAUSE",
    "names": "ALARMS",
    "problem": "",
    "role": "ROLE",
    "stage": "STAGE",
    "status": "STATUS",
    "target": "ARN",
}


def literals() -> dict[str, str]:
    """Return every text of ``rehearsal.reasons``, by its name there."""
    found = {
        name: value for name, value in vars(reasons).items() if name.isupper() and not name.startswith("_")
    }
    for name, function in inspect.getmembers(reasons, inspect.isfunction):
        found[name] = function(
            *(WRITTEN[parameter] for parameter in inspect.signature(function).parameters)
        ).strip()
    return found


@pytest.mark.parametrize(("name", "text"), literals().items())
def test_every_reason_of_the_rehearsal_is_on_the_page(name: str, text: str) -> None:
    assert f"`{text}`" in PLAIN


# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/troubleshooting-blue-green.html
@pytest.mark.parametrize(
    "text",
    [
        "productionListenerRule has an invalid ARN format. Must be RuleArn for ALB or ListenerArn for NLB.",
        "The following rules cannot be used as both production and test listener rules:",
        "is not associated with either productionListenerRule or testListenerRule.",
        "For Application LoadBalancer, testListenerRule is required when productionListenerRule is not "
        "associated with both targetGroup and alternateTargetGroup",
        "should have exactly one target group serving traffic but found 2 target groups which are serving "
        "traffic",
        "Duplicate targetGroupArn found:",
        "Production listener rule is forwarding traffic to unexpected target group",
        "All loadBalancers must be strictly either ELBv1 (defining loadBalancerName) or ELBv2 (defining "
        "targetGroupArn)",
        "advancedConfiguration field is not allowed with ELBv1 loadBalancers",
        "Either all or none of the provided loadBalancers must have advancedConfiguration defined",
        "advancedConfiguration field is required for all loadBalancers when using a non-ROLLING deployment "
        "strategy",
        "ECS was unable to manage the ELB resources due to missing permissions on ECS Infrastructure Role",
        "failed to describe target health on target-group",
        "failed to register targets in target-group",
        "is not authorized to perform: elasticloadbalancing:ModifyListener",
        "is not authorized to perform: lambda:InvokeFunction",
        "Invalid targetType. Valid values are: AWS_LAMBDA, PAUSE",
        "Invalid lifecycle stage provided for Pause Hook",
        "Invalid hookId: hookId must follow the format: ecs-{hookType}-{id}",
        "Provided hookId is either completed, unavailable, or not associated with the given Resource ARN",
        "Continuing a service deployment is not allowed for service deployment in terminal states.",
        "The service deployment does not exist.",
    ],
)
def test_every_text_of_aws_s_page_is_on_the_page(text: str) -> None:
    assert text in PLAIN


def test_the_log_groups_are_those_of_the_template() -> None:
    named = set(re.findall(r"`(\w+LogGroup)`", PAGE.prose))

    assert named <= LOG_GROUPS
    # The API's access log is no function's.
    assert LOG_GROUPS - named == {"ApprovalConsoleAccessLogGroup"}
