"""The root template deploys the reference system whole, after its hooks, and only when it is asked to."""

import re

import pytest

from rehearsal.intrinsics import Resolver
from rehearsal.template import Template
from tests.examples.unicorn_watch_stack import (
    CLIENT,
    IMAGES,
    STACKS,
    properties,
    resource,
    resources,
    stacks,
    whole,
)


def with_parameters(**changed: str) -> Template:
    """Return the root template with the example as a user would begin, but for some parameters."""
    given = {
        "IncludeUnicornWatch": "true",
        **{f"UnicornWatch{STACKS[name]}Image": image for name, image in IMAGES.items()},
    }
    return Template(whole().document, parameters=given | changed)


def asserted(template: Template) -> list[object]:
    """Return what the assertions of its rule come to."""
    rule = template.document_value(("Rules", "UnicornWatchIsWhole"))
    assert Resolver(template).condition(rule["RuleCondition"]) is True
    return [Resolver(template).condition(one["Assert"]) for one in rule["Assertions"]]


def test_with_all_hooks_and_all_images_it_is_deployed() -> None:
    template = with_parameters()

    assert asserted(template) == [True, True]
    assert "UnicornWatch" in template.nested


@pytest.mark.parametrize(
    "changed",
    [
        {"IncludeImageTrust": "false"},
        {"IncludeManualApproval": "false"},
        {"IncludeConsumerActivation": "false"},
        {"IncludeCanaryComparison": "false"},
        {"IncludeLoadTest": "false"},
        {"LocustUrl": "https://locust.example.com"},  # then no queue is there for its generator
    ],
)
def test_without_one_of_its_hooks_it_is_refused_with_a_reason_and_would_not_be_there(
    changed: dict[str, str],
) -> None:
    template = with_parameters(**changed)

    assert asserted(template) == [False, True]
    assert "UnicornWatch" not in template.nested


@pytest.mark.parametrize("stack", STACKS.values())
def test_without_one_of_its_images_it_is_refused_with_a_reason(stack: str) -> None:
    assert asserted(with_parameters(**{f"UnicornWatch{stack}Image": ""})) == [True, False]


def test_it_takes_asking_for_and_lets_nobody_in_by_default() -> None:
    template = Template(whole().document)
    declared = template.document_value(("Parameters",))
    own = {name for name in template.parameter_names if name.startswith("UnicornWatch")}

    assert "UnicornWatch" not in template.nested
    assert {name: declared[name]["Default"] for name in own | {"IncludeUnicornWatch"}} == {
        "IncludeUnicornWatch": "false",
        "UnicornWatchUiImage": "",
        "UnicornWatchCatalogImage": "",
        "UnicornWatchNotificationsImage": "",
        "UnicornWatchStreamingImage": "",
        "UnicornWatchLoadGeneratorImage": "",
        "UnicornWatchCatalogStrategy": "CANARY",
        "UnicornWatchClientCidr": "127.0.0.1/32",
    }
    assert stacks()["UnicornWatch"].document_value(("Parameters", "ClientCidr", "Default")) == "127.0.0.1/32"


@pytest.mark.parametrize(
    ("image", "is_taken"),
    [
        (IMAGES["ui"], True),
        (IMAGES["ui"].partition("@")[0] + ":1.0.0", False),
        (IMAGES["ui"][:-1], False),
    ],
)
def test_images_are_taken_by_digest_alone(image: str, is_taken: bool) -> None:
    patterns = {
        **{f"UnicornWatch{stack}Image": whole() for stack in STACKS.values()},
        **{f"{stack}Image": stacks()["UnicornWatch"] for stack in STACKS.values()},
    }

    assert {
        name: bool(re.search(template.document_value(("Parameters", name, "AllowedPattern")), image))
        for name, template in patterns.items()
    } == dict.fromkeys(patterns, is_taken)


def test_services_are_made_after_what_their_first_deployment_needs() -> None:
    # ECS has to be able to invoke the hooks.
    assert whole().document_value(("Resources", "UnicornWatch", "DependsOn")) == [
        "ImageTrustInvocationPolicy",
        "ManualApprovalInvocationPolicy",
        "ConsumerActivationInvocationPolicy",
        "CanaryComparisonInvocationPolicy",
        "LoadTestInvocationPolicy",
    ]
    # A task knows the Service Connect endpoints that there were when it started.
    assert stacks()["UnicornWatch"].document_value(("Resources", "LoadGenerator", "DependsOn")) == "Catalog"


def test_whom_load_balancers_let_in_is_passed_down_to_the_foundation() -> None:
    assert properties("UnicornWatch.Foundation")["Parameters"] == {"ClientCidr": CLIENT}


def test_it_says_where_its_services_are_reached() -> None:
    outputs = whole().document_value(("Outputs",))
    application, network = (
        stacks()["Foundation"].attribute(f"{kind}LoadBalancer", "DNSName")
        for kind in ("Application", "Network")
    )

    assert {
        name: whole().resolve(outputs[f"UnicornWatch{name}"]["Value"])
        for name in ("UiUrl", "CatalogUrl", "StreamingUrl", "QueueUrl")
    } == {
        "UiUrl": f"http://{application}/frontend/",
        "CatalogUrl": f"http://{application}/catalog/",
        "StreamingUrl": f"http://{network}/streaming/comet",
        "QueueUrl": resource("Notifications.Queue").ref,
    }
    # Where it is not deployed there is nothing to say.
    conditions = {key: one.get("Condition") for key, one in outputs.items() if key.startswith("UnicornWatch")}
    assert set(conditions.values()) == {"HasUnicornWatch"}


def test_nothing_of_it_is_kept_when_its_stack_is_deleted() -> None:
    policies = {"DeletionPolicy", "UpdateReplacePolicy"}
    written = {
        value
        for template in stacks().values()
        for raw in template.document_value(("Resources",)).values()
        for key, value in raw.items()
        if key in policies
    }

    # Logs and queues, and the stacks themselves, say so because linters ask what is meant.
    assert written == {"Delete"}
    assert {name: one.properties for name, one in resources("AWS::Logs::LogGroup").items()} == {
        "Foundation.LogGroup": {"RetentionInDays": 30},
        "LoadGenerator.LogGroup": {"RetentionInDays": 30},
    }
