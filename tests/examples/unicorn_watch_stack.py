"""The reference system as its templates would deploy it, for the tests beside this.

::

    whole()                            the root template, with the reference system in it
    service("ui")                      a service: strategy, hooks, properties
    resource("Ui.TargetGroupA")        a resource, by stack and logical id
    resources("AWS::IAM::Role")        all of a kind, in all of its stacks
    of_the_hooks("LoadTestQueue")      a resource that is not its own
    container("ui")                    the container of a service's task

Region, account, and what parameters choose are others than the defaults: a template that has one of those
written down does not pass for one that asks.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from rehearsal.check.hooks import known_hooks
from rehearsal.check.view import HookView, ServiceView, Stack
from rehearsal.runtime.lambda_python import ROOT
from rehearsal.template import Place, Resource, Template

FOLDER = ROOT / "examples" / "unicorn_watch"
ACCOUNT, REGION = "111122223333", "eu-west-1"
REPOSITORY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/unicorn-watch"
# One each, to see who runs whose.
IMAGES = {
    "ui": f"{REPOSITORY}/app@sha256:{'1' * 64}",
    "catalog": f"{REPOSITORY}/app@sha256:{'2' * 64}",
    "notifications": f"{REPOSITORY}/app@sha256:{'3' * 64}",
    "streaming": f"{REPOSITORY}/app@sha256:{'4' * 64}",
    "load-generator": f"{REPOSITORY}/load-generator@sha256:{'5' * 64}",
}
CLIENT = "203.0.113.7/32"
ALARM_TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:woken"
CONSUMERS = "/shop/consumers"

SERVICES = ("ui", "catalog", "notifications", "streaming")
BALANCED = ("ui", "catalog", "streaming")
STACKS = {"ui": "Ui", "catalog": "Catalog", "notifications": "Notifications", "streaming": "Streaming",
          "load-generator": "LoadGenerator"}  # fmt: skip


@cache
def whole(strategy: str = "CANARY") -> Template:
    return Template.read(
        ROOT / "template.yaml",
        parameters={
            "IncludeUnicornWatch": "true",
            "UnicornWatchCatalogStrategy": strategy,
            "UnicornWatchClientCidr": CLIENT,
            "AlarmTopicArn": ALARM_TOPIC,
            "ConsumerParameterPrefix": CONSUMERS,
            **{f"UnicornWatch{STACKS[name]}Image": image for name, image in IMAGES.items()},
        },
        place=Place(region=REGION, account=ACCOUNT),
    )


@cache
def stacks() -> Mapping[str, Template]:
    """Return the nested stacks; the one that nests the others is ``UnicornWatch``."""
    example = whole().nested["UnicornWatch"]
    assert isinstance(example, Template)
    nested = {name: one for name, one in example.nested.items() if isinstance(one, Template)}
    assert nested.keys() == example.nested.keys()
    return {"UnicornWatch": example, **nested}


@cache
def service(name: str, strategy: str = "CANARY") -> ServiceView:
    views = Stack(whole(strategy), known_hooks()).services
    return next(one for one in views if one.properties["ServiceName"] == name)


def hook(view: ServiceView, name: str) -> HookView:
    return next(one for one in view.hooks if one.ours and one.ours.name == name)


def balancer(name: str) -> dict[str, Any]:
    """Return a service's load balancer, with its two target groups and its two rules or listeners."""
    [entry] = service(name).properties["LoadBalancers"]
    return {**entry, **entry["AdvancedConfiguration"]}


def resources(*kinds: str) -> dict[str, Resource]:
    """Return all resources of some types, or of all, as ``Stack.LogicalId``."""
    return {
        f"{name}.{one.logical_id}": one
        for name, template in stacks().items()
        for one in template.resources()
        if not kinds or one.type in kinds
    }


def resource(name: str) -> Resource:
    return resources()[name]


def properties(name: str) -> dict[str, Any]:
    return resource(name).properties


def of_the_hooks(logical_id: str) -> Resource:
    """Return a resource of the root template itself."""
    return next(one for one in whole().resources() if one.logical_id == logical_id)


def found(reference: object, kind: str) -> Resource:
    """Return what a resolved reference means."""
    one = whole().find(reference, kind)
    assert one is not None, reference
    return one


def task(name: str) -> dict[str, Any]:
    """Return the task definition of a service."""
    definition = service(name).properties["TaskDefinition"]
    return found(definition, "AWS::ECS::TaskDefinition").properties


def container(name: str) -> dict[str, Any]:
    one: dict[str, Any]
    [one] = task(name)["ContainerDefinitions"]
    return one


def variables(name: str) -> dict[str, str]:
    return {one["Name"]: one["Value"] for one in container(name).get("Environment", [])}


def less(properties: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return properties without what is said to people, or looked at elsewhere."""
    return {name: value for name, value in properties.items() if name not in names}
