"""What ECS leaves undocumented about lifecycle hooks, as switches.

The first value of each is the default: the documented or likeliest one. Hooks must be right under
every value of every switch.
"""

from collections.abc import Iterator
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field


class Switches(BaseModel):
    """One choice for everything that is unknown."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    execution_id: Literal["stable-per-stage", "new-per-invocation"] = Field(
        "stable-per-stage", description="whether executionId stays the same while one stage is polled"
    )
    hook_details_scope: Literal["per-stage-step", "per-hook-entry"] = Field(
        "per-stage-step", description="how far the hookDetails that a hook returned travel"
    )
    hook_details_on_rollback: Literal["config-only", "config+runtime"] = Field(
        "config-only", description="what a rollback call sees in hookDetails"
    )
    merge: Literal["shallow", "replace"] = Field(
        "shallow", description="how returned hookDetails combine with the existing ones"
    )
    hook_details_absent_form: Literal["missing", "null"] = Field(
        "missing", description="how 'no hookDetails' is spelled"
    )
    weights_type: Literal["int", "float"] = Field("int", description="the JSON number type of weights")
    map_order: Literal["random", "target-first", "source-first"] = Field(
        "random", description="the order of the keys of weight maps"
    )
    rollback_before_shift: Literal["fires-shift-hooks", "fires-none"] = Field(
        "fires-shift-hooks",
        description="whether shift hooks are called when the failure came before any shift",
    )
    rollback_order: Literal["production-then-test", "test-then-production"] = Field(
        "production-then-test", description="the order of the two rollback calls"
    )
    bake_and_hook: Literal["bake-after-hook", "overlapping"] = Field(
        "bake-after-hook", description="whether a step's bake starts after or together with its hooks"
    )
    shift_and_hook: Literal["shift-first", "hook-first"] = Field(
        "shift-first", description="whether weights change before or after the shift stage's hooks"
    )
    headless_weights: Literal["filled", "empty"] = Field(
        "filled", description="whether a service without load balancer and Service Connect gets weight maps"
    )
    lambda_error_retry: Literal["none", "one-retry"] = Field(
        "none", description="whether ECS retries an invocation that was throttled or failed"
    )
    duplicate_delivery: Literal["off", "on"] = Field("off", description="whether one call can arrive twice")
    pre_production_reported_as: Literal["itself", "production"] = Field(
        "itself", description="what DescribeServiceDeployments shows at PRE_PRODUCTION_TRAFFIC_SHIFT"
    )
    superseded: Literal["stopped-silently", "shift-hooks-called"] = Field(
        "stopped-silently", description="what hooks see when a newer deployment replaces this one"
    )
    digests_at_pre_scale_up: Literal["absent", "present"] = Field(
        "absent", description="whether a tag's imageDigest is in the revision before a task has started"
    )
    recorded_digest: Literal["index", "platform"] = Field(
        "index", description="which digest of an image for several platforms is recorded once tasks run"
    )
    injected_containers: Literal["unlisted", "listed"] = Field(
        "unlisted", description="whether Service Connect's container is among a revision's images"
    )
    nlb_delay: Literal["after-hook", "before-hook"] = Field(
        "after-hook",
        description="whether a network load balancer's ten minutes pass after or before the hooks",
    )
    siblings_of_a_refusal: Literal["polled-on", "dropped"] = Field(
        "polled-on", description="whether hooks still running when another of their stage fails are polled on"
    )


def values(name: str) -> tuple[str, ...]:
    """Return the values a switch can take; raises ``KeyError`` for an unknown switch."""
    return get_args(Switches.model_fields[name].annotation)


def each_alone() -> Iterator[Switches]:
    """Yield the defaults, then each other value of each switch by itself."""
    yield Switches()
    for name in Switches.model_fields:
        for value in values(name)[1:]:
            yield Switches.model_validate({name: value})
