"""The deployments of the fault matrix: for each hook enough of them that it makes all of its calls.

Beside those that ought to succeed there are some that ought not to: an unsigned image, a person who rejects,
a green that is worse. Whatever goes wrong at AWS, they never do.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from hooks.consumer_activation.state import State, is_void, parse
from rehearsal.model import ServiceDeployment, Status
from rehearsal.outcome import ActorSpoke
from rehearsal.world import Rehearsal
from tests.conformance.faults.faulted_runs import Played, Subject

CONSUMERS = "/ecs-consumers/shop/checkout/consumers"
APPROVALS = "/ecs-approvals"

BLUE_GREEN = {"type": "BLUE_GREEN", "bakeTimeInMinutes": 1}
CANARY = {"type": "CANARY", "canaryPercent": 10, "canaryBakeTimeInMinutes": 1}
HEADLESS = {"exposure": "headless", "scaleUp": 5}

# Without weights a hook has to ask ECS which way the deployment goes.
EMPTY = {"headless_weights": "empty"}

SHIFT = "PRODUCTION_TRAFFIC_SHIFT"
BEFORE_SHIFT = "PRE_PRODUCTION_TRAFFIC_SHIFT"
TESTED = "POST_TEST_TRAFFIC_SHIFT"


@dataclass(frozen=True, slots=True)
class Version:
    """A version of the parameter that says who consumes."""

    at: datetime
    writer: str
    """An ARN."""
    state: State


def hook(name: str, *stages: str, **more: Any) -> dict[str, Any]:
    return {"hook": name, "stages": list(stages), **more}


def alarm(after: str, stage: str) -> dict[str, Any]:
    return {"alarm": {"since": "stage", "stage": stage, "after": after}}


def turned_back(after: str, stage: str, *actors: dict[str, Any], **parts: Any) -> dict[str, Any]:
    """Return a deployment in which an alarm goes off."""
    return {
        "service": HEADLESS,
        "strategy": BLUE_GREEN,
        "alarms": ["green-5xx"],
        "actors": [alarm(after, stage), *actors],
        **parts,
    }


# Image trust

OLD, NEW = "shop/checkout:41", "shop/checkout:42"
SIGNED: dict[str, Any] = {"signed": [{"by": "release"}, {"how": "signer", "by": "ci"}]}


def _images(green: Mapping[str, Any]) -> dict[str, Any]:
    rule = {
        "name": "ours",
        "match": {"images": ["${ecr}/shop/**"]},
        "require": {
            "allOf": [
                {"cosign": {"key": "release"}},
                {"awsSigner": {"store": "signer", "profiles": ["${profile ci}"]}},
            ]
        },
    }
    policy = {
        "version": 1,
        "name": "shop",
        "references": {"requireDigest": False},
        "trust": {
            "keys": {"release": {"pem": "${key release}"}},
            "stores": {"signer": {"type": "signingAuthority", "fingerprints": ["${fingerprint}"]}},
        },
        "rules": [rule],
    }
    return {"registry": {"images": {OLD: SIGNED, NEW: dict(green)}, "policy": policy, "named": "tag"}}


def image_trust(green: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "service": {"images": {"app": [OLD, NEW]}, "scaleUp": 60},
        "strategy": BLUE_GREEN,
        "hooks": [
            hook(
                "image_trust",
                "PRE_SCALE_UP",
                "POST_SCALE_UP",
                hookDetails={"pollSeconds": 60, "waitMinutes": 5},
            )
        ],
        "actors": [_images(green)],
    }


def nothing_unproven(played: Played) -> str:
    """Hold that no task of green was made before the hook had admitted it."""
    admitted = [
        visit.called.at
        for visit in played.visits
        if visit.called and (visit.where, visit.called.answer) == ("PRE_SCALE_UP", "SUCCEEDED")
    ]
    plane = played.rehearsal.cloud.control_plane
    for task in plane.tasks_of(played.last.target.arn):
        began = (task.created_at - played.outcome.started_at).total_seconds()
        assert admitted, "a task was made that nobody admitted"
        assert began >= min(admitted)
    return ""


# Consumer activation

ACTIVATION = hook(
    "consumer_activation",
    "RECONCILE_SERVICE",
    "PRE_SCALE_UP",
    SHIFT,
    hookDetails={"queue": "orders", "monitorMinutes": 1},
)
BY_TIME = {**ACTIVATION, "hookDetails": {"drainSeconds": 10}}
QUEUE = {"queue": {"name": "orders", "messagesPerMinute": 0, "before": {"lasts": "10m"}}}
# The schedule of the repair, and one run more: what one can't do, the next does.
REPAIR = {"repairer": {"every": "5m", "times": 4}}


def blue_consumes(rehearsal: Rehearsal, deployment: ServiceDeployment) -> None:
    """Write the parameter as an earlier deployment did."""
    for source in deployment.sources:
        if source.production_weight:
            state = State(version=1, epoch=1, active=source.arn.id)
            earlier = datetime(2026, 2, 1, tzinfo=UTC)
            rehearsal.cloud.parameters.write_earlier(CONSUMERS, state.write(), earlier)


def who_consumes(played: Played) -> str:
    """Hold that the revision that serves consumes, and that no two ever did within a lease."""
    versions = _versions(played)
    _assert_exclusive(versions)
    last = played.last
    serves = last.target.arn.id if last.status == Status.SUCCESSFUL else last.sources[0].arn.id
    active = versions[-1].state.active
    if last.status == Status.ROLLBACK_FAILED:
        # Both have tasks then; whichever consumes goes on.
        assert active in {serves, last.target.arn.id}
    else:
        assert active == serves, f"{active} consumes, and {serves} serves"
    by_repair = "ConsumerRepairFunction" in versions[-1].writer
    return (
        f"{'green' if active == last.target.arn.id else 'blue'} consumes, by the repair" if by_repair else ""
    )


def _versions(played: Played) -> list[Version]:
    ssm = played.rehearsal.cloud.client("ssm", user="admin")
    pages = ssm.get_paginator("get_parameter_history").paginate(Name=CONSUMERS)
    return [
        Version(one["LastModifiedDate"], one["LastModifiedUser"], parse(one["Value"]))
        for page in pages
        for one in page["Parameters"]
        if not is_void(one["Value"], one["Version"])
    ]


def _assert_exclusive(versions: Sequence[Version]) -> None:
    """Nobody was active between two that were, for as long as a lease of the first may have lasted."""
    holder: str | None = None
    released, quiet = versions[0].at, 0.0
    for before, after in pairwise(versions):
        if before.state.active is not None:
            holder, released, quiet = before.state.active, after.at, before.state.quiet_seconds
        if after.state.active not in {None, holder} and holder is not None:
            assert before.state.active is None
            assert (after.at - released).total_seconds() >= quiet


# Manual approval

ALICE = {"approver": {"name": "alice", "after": "1m", "each": True}}
BOB_REJECTS = {"approver": {"name": "bob", "answer": "REJECTED", "after": "1m", "each": True}}
# It runs every five minutes: what one run can't do, the next does.
SWEEPS = tuple({"sweeper": {"after": after}} for after in ("5m", "10m", "15m"))
ASKED = {"expiresAfterMinutes": 5, "giveUpAfterMinutes": 3}


def manual_approval(*actors: dict[str, Any]) -> dict[str, Any]:
    return {
        "service": HEADLESS,
        "strategy": BLUE_GREEN,
        "hooks": [hook("manual_approval", TESTED, hookDetails=ASKED)],
        "actors": [*actors, *SWEEPS],
    }


def approved_step_by_step(*actors: dict[str, Any]) -> dict[str, Any]:
    return {
        "service": {"exposure": "alb", "scaleUp": 5},
        "strategy": CANARY,
        "hooks": [hook("manual_approval", BEFORE_SHIFT, hookDetails=ASKED)],
        "actors": [*actors, *SWEEPS],
    }


def pause(*actors: dict[str, Any]) -> dict[str, Any]:
    return {
        "service": HEADLESS,
        "strategy": BLUE_GREEN,
        "hooks": [hook("pause", TESTED, timeoutInMinutes=30, action="ROLLBACK")],
        "actors": [*actors, {"sweeper": {"every": "5m", "after": "5m"}}, *SWEEPS[1:]],
    }


def requests(played: Played) -> tuple[list[str], list[str]]:
    """Return the requests that are left open, and what became of those in the history."""
    ssm = played.rehearsal.cloud.client("ssm", user="admin")
    found: tuple[list[str], list[str]] = ([], [])
    for page in ssm.get_paginator("describe_parameters").paginate():
        for name in (parameter["Name"] for parameter in page["Parameters"]):
            if name.startswith(f"{APPROVALS}-history/"):
                text = ssm.get_parameter(Name=name)["Parameter"]["Value"]
                found[1].append(str(json.loads(text)["outcome"]))
            elif name.startswith(f"{APPROVALS}/"):
                found[0].append(name)
    return found


def no_open_request(played: Played) -> str:
    """Hold that no request is left open, and that none reads as approved without a person who approved."""
    left, outcomes = requests(played)
    assert not left, f"left open: {left}"
    people = {actor["approver"].get("answer", "APPROVED") for actor in played.actors if "approver" in actor}
    if "APPROVED" not in people:
        assert "approved" not in outcomes
        assert played.last.status != Status.SUCCESSFUL
    approved = [outcome == "approved" for outcome in outcomes]
    if played.last.status == Status.SUCCESSFUL:
        assert approved
        assert all(approved), outcomes
    return ""


# Canary comparison, load test, smoke test

TRAFFIC: dict[str, Any] = {"requestsPerMinute": 6000, "errors": 0.005}
COMPARED = {
    "metrics": [{"source": "alb", "measure": "errors"}],
    "holdMinutes": 8,
    "lookSeconds": 240,
    "giveUpAfterMinutes": 5,
}
LOAD = {
    "load": [{"seconds": 3, "to": 20}, {"seconds": 12, "at": 20}],
    "graceSeconds": 2,
    "rules": ["errors < 10%"],
    "pollSeconds": 20,
}


def canary_comparison(**green: Any) -> dict[str, Any]:
    return {
        "service": {"exposure": "alb", "scaleUp": 5},
        "strategy": CANARY,
        "hooks": [hook("canary_comparison", SHIFT, hookDetails=COMPARED)],
        "actors": [{"traffic": {**TRAFFIC, **({"green": green} if green else {})}}],
    }


def load_test(*actors: dict[str, Any], stages: Sequence[str] = (TESTED,), **green: Any) -> dict[str, Any]:
    return {
        "service": {"exposure": "alb", "scaleUp": 5},
        "strategy": BLUE_GREEN,
        "alarms": ["green-5xx"],
        "hooks": [hook("load_test", *stages, hookDetails=LOAD)],
        "actors": [{"generator": {"blue": {"errors": 0}, **({"green": green} if green else {})}}, *actors],
    }


def smoke_test(**green: Any) -> dict[str, Any]:
    details = {
        "url": "http://localhost:8080",
        "header": {"name": "x-release", "value": "green"},
        "checks": [{"path": "/health", "bodyContains": "ok"}],
        "proof": "marker",
    }
    return {
        "service": {"exposure": "alb", "scaleUp": 5},
        "strategy": BLUE_GREEN,
        "hooks": [
            hook("smoke_test", TESTED, hookDetails=details, policy={"allowedHosts": ["localhost:8080"]})
        ],
        "actors": [{"site": {"green": green}}],
    }


def no_run_left(played: Played) -> str:
    """Hold that each run that began is over; say how many there were, where there was not one."""
    told = [
        one.text
        for one in played.outcome.happenings
        if isinstance(one, ActorSpoke) and one.actor == "generator"
    ]
    begun = [found[1] for text in told if (found := re.fullmatch(r"run (\S+?): .* requests a second", text))]
    over = [found[1] for text in told if (found := re.match(r"run (\S+?): (?:finished|ended)", text))]
    assert sorted(begun) == sorted(over), "a run is left over"
    return "" if len(begun) == 1 else f"{len(begun)} runs"


BACK = ("rollback",)

HOOKS: Mapping[str, Sequence[Subject]] = {
    "image_trust": (
        Subject(name="image trust", parts=image_trust(SIGNED), left=nothing_unproven),
        Subject(
            name="image trust, turned back",
            parts=turned_back("1s", "TEST_TRAFFIC_SHIFT", hooks=[hook("image_trust", SHIFT)]),
            switches=EMPTY,
            directions=BACK,
        ),
    ),
    "manual_approval": (
        Subject(name="approval", parts=manual_approval(ALICE), left=no_open_request),
        Subject(
            name="approval of a step",
            parts=approved_step_by_step(ALICE),
            directions=("step",),
            left=no_open_request,
        ),
        Subject(
            name="approval, turned back",
            parts=turned_back("1s", "TEST_TRAFFIC_SHIFT", hooks=[hook("manual_approval", SHIFT)]),
            switches=EMPTY,
            directions=BACK,
        ),
        Subject(name="approval by a PAUSE hook", parts=pause(ALICE), left=no_open_request),
    ),
    "consumer_activation": (
        Subject(
            name="hand-over by the queue",
            parts={
                "service": HEADLESS,
                "strategy": BLUE_GREEN,
                "hooks": [ACTIVATION],
                "actors": [QUEUE, REPAIR],
            },
            directions=("forward", "schedule"),
            prepare=blue_consumes,
            left=who_consumes,
        ),
        Subject(
            name="at a step",
            parts={"strategy": CANARY, "hooks": [BY_TIME], "actors": [REPAIR]},
            directions=("step",),
            prepare=blue_consumes,
            left=who_consumes,
        ),
        Subject(
            name="turned back",
            parts=turned_back("10s", "BAKE_TIME", REPAIR, hooks=[BY_TIME]),
            switches=EMPTY,
            directions=BACK,
            prepare=blue_consumes,
            left=who_consumes,
        ),
        Subject(
            name="left half-way, and repaired",
            parts={
                "service": HEADLESS,
                "strategy": BLUE_GREEN,
                "hooks": [BY_TIME],
                # On the way forward after blue was told to stop, and on the way back before anything is said.
                "actors": [
                    {"crash": {"call": "ssm:PutParameter", "moment": "after"}},
                    {"crash": {"call": "ssm:PutParameter", "moment": "before", "skip": 1}},
                    REPAIR,
                ],
            },
            directions=("schedule",),
            prepare=blue_consumes,
            left=who_consumes,
        ),
    ),
    "canary_comparison": (
        Subject(name="canary", parts=canary_comparison()),
        Subject(
            name="canary, turned back",
            parts=turned_back("1s", "TEST_TRAFFIC_SHIFT", hooks=[hook("canary_comparison", SHIFT)]),
            switches=EMPTY,
            directions=BACK,
        ),
    ),
    "load_test": (
        Subject(name="load test", parts=load_test(), left=no_run_left),
        Subject(
            name="load test, turned back",
            parts=load_test(alarm("15s", TESTED), stages=(TESTED, SHIFT)),
            directions=BACK,
            left=no_run_left,
        ),
    ),
    "smoke_test": (
        Subject(name="smoke test", parts=smoke_test()),
        Subject(
            name="smoke test, turned back",
            parts=turned_back("1s", "TEST_TRAFFIC_SHIFT", hooks=[hook("smoke_test", SHIFT)]),
            switches=EMPTY,
            directions=BACK,
        ),
    ),
}
"""By hook: the deployments in its table."""

NEVER = (
    Subject(name="an image nobody signed", parts=image_trust({}), left=nothing_unproven),
    Subject(name="rejected", parts=manual_approval(BOB_REJECTS), left=no_open_request),
    Subject(name="answered by nobody", parts=manual_approval(), left=no_open_request),
    Subject(name="a PAUSE hook rejected", parts=pause(BOB_REJECTS), left=no_open_request),
    Subject(name="a green that is worse", parts=canary_comparison(errors=0.2)),
    Subject(name="a green that fails under load", parts=load_test(errors=0.5), left=no_run_left),
    Subject(name="a green that is broken", parts=smoke_test(errors=True)),
)
"""Those that are never to succeed."""
