"""Who acts around a service that was read from a template: what its hooks need, so that they can decide.

====================  ==============================================================
image trust           a registry with signed images, and a policy that asks for them
manual approval       as many people as have to approve, each after ten minutes
PAUSE                 somebody who continues after ten minutes
load test             a generator
canary comparison     production traffic
consumer activation   the queue, with what the template says of it, and workers
smoke test            a site at http://localhost:8080, which takes the place of the one in its settings
====================  ==============================================================

The new revision can be bad in the ways of :data:`MANNERS`. Which hook then refuses follows from the stages.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rehearsal import functions
from rehearsal.from_template import Reading
from rehearsal.lambda_functions import dicts_in
from rehearsal.scenario import Expectation, HookEntry, Scenario
from shared.errors import JsonObject
from shared.lifecycle import Stage

HEALTHY = "healthy"
PEOPLE = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy")

# Enough for a verdict on a tenth of it within minutes.
_REQUESTS_PER_MINUTE = 6000
_MESSAGES_PER_MINUTE = 8
_LIMIT_OF_A_GENERATOR = 100.0


@dataclass(frozen=True, slots=True)
class Manner:
    """A way in which the new revision, or what people say of it, is bad."""

    hooks: frozenset[str]
    """Those that can tell; with none, the deployment's alarms do."""
    words: str


_APPROVALS = frozenset({"manual_approval", "pause"})
_MEASURED = frozenset({"load_test", "canary_comparison"})
_FAILING = _MEASURED | {"smoke_test"}
MANNERS: Mapping[str, Manner] = {
    "errors": Manner(_FAILING, "it answers with errors"),
    "slow": Manner(_MEASURED, "it takes twice as long to answer"),
    "errors-in-production": Manner(
        frozenset({"canary_comparison"}), "each twentieth of its answers to real users is an error"
    ),
    "slow-in-production": Manner(
        frozenset({"canary_comparison"}), "it takes twice as long to answer real users"
    ),
    "unsigned": Manner(frozenset({"image_trust"}), "nobody has signed its image"),
    "rejected": Manner(_APPROVALS, "a person rejects it"),
    "undecided": Manner(_APPROVALS, "nobody decides about it"),
    "poisons": Manner(frozenset({"consumer_activation"}), "it fails on every message"),
    "silent": Manner(frozenset({"consumer_activation"}), "it never asks for a message"),
    "alarm": Manner(frozenset(), "one of the deployment's alarms goes off while it bakes"),
}


@dataclass(frozen=True, slots=True)
class Part:
    """Somebody or something that acts, and what a person is told of it."""

    actor: JsonObject
    words: str


def fitting(reading: Reading) -> list[str]:
    """Return the manners of green that something about the service can tell, healthy first."""
    attached = {hook.hook for hook in reading.hooks}
    found = [
        name
        for name, manner in MANNERS.items()
        if (attached & manner.hooks if manner.hooks else reading.alarms and reading.strategy.bake_seconds)
    ]
    return [HEALTHY, *found]


def scenario_of(reading: Reading, manner: str) -> Scenario:
    """Return the scenario of a service whose new revision does as *manner* says.

    It expects success of a healthy one and a rollback of others.
    """
    is_healthy = manner == HEALTHY
    name = reading.service.name if is_healthy else f"{reading.service.name}-{manner}"
    words = "A healthy new revision" if is_healthy else "A new revision is refused"
    description = f"{words}." if is_healthy else f"{words}: {MANNERS[manner].words}."
    return Scenario(
        name=name,
        description=description,
        service=reading.service,
        strategy=reading.strategy,
        alarms=reading.alarms,
        hooks=tuple(_at_home(hook) if hook.hook == "smoke_test" else hook for hook in reading.hooks),
        actors=tuple(part.actor for part in parts(reading, manner)),
        expect=Expectation.model_validate(
            {"status": "SUCCESSFUL"}
            if is_healthy
            else {"status": "ROLLBACK_SUCCESSFUL", **_refusal(reading, manner)}
        ),
    )


def _refusal(reading: Reading, manner: str) -> JsonObject:
    """Return what is expected of the hook that refuses: that it was this one."""
    able = [hook for hook in reading.hooks if hook.hook in MANNERS[manner].hooks]
    if not able:
        return {"reason": reading.alarms[0]}
    stages = list(Stage)
    first = min(able, key=lambda hook: min(stages.index(stage) for stage in hook.stages))
    deployed = functions.hooks(functions.deployed()).get(first.hook)
    # ECS names the function. What the hook answered last is of no use: some are called again on the way back.
    return {"reason": deployed.name if deployed else first.stages[0].value}


def parts(reading: Reading, manner: str) -> Iterator[Part]:
    """Yield who acts, hook by hook."""
    played: set[str] = set()
    for hook in reading.hooks:
        if hook.hook in _PARTS and hook.hook not in played:
            played.add(hook.hook)
            yield from _PARTS[hook.hook](reading, hook, manner)
    if manner == "alarm":
        name = reading.alarms[0]
        alarm = {"name": name, "since": "stage", "stage": "BAKE_TIME", "after": "2m"}
        yield Part({"alarm": alarm}, f"the alarm {name}, two minutes into the first bake")


def _registry(reading: Reading, _hook: HookEntry, manner: str) -> Iterator[Part]:
    """Have our images signed and others pinned, on the processor that the service runs on."""
    platform = {"X86_64": "amd64", "ARM64": "arm64"}[reading.service.architecture or "X86_64"]
    images: JsonObject = {}
    ours: list[str] = []
    pinned: list[tuple[str, str]] = []
    for blue, green in reading.service.images.values():
        is_ours = blue != green
        for name in dict.fromkeys((blue, green)):
            is_signed = is_ours and (manner != "unsigned" or name == blue)
            signed = [{"by": "release"}] if is_signed else []
            images[name] = {"signed": signed, "platforms": [platform]}
            repository = f"${{ecr}}/{name.partition(':')[0]}"
            if is_ours:
                ours.append(repository)
            else:
                pinned.append((repository, name))
    rules: list[JsonObject] = []
    if ours:
        rules.append(
            {
                "name": "ours",
                "match": {"images": list(dict.fromkeys(ours))},
                "require": {"cosign": {"key": "release"}},
            }
        )
    rules += [
        {
            "name": f"pinned-{number}",
            "match": {"images": [repository]},
            "require": {"pinned": {"digests": [f"${{digest {name}}}"]}},
        }
        for number, (repository, name) in enumerate(dict.fromkeys(pinned), start=1)
    ]
    policy = {
        "version": 1,
        "name": "rehearsal",
        "trust": {"keys": {"release": {"pem": "${key release}"}}},
        "rules": rules,
    }
    words = f"a registry with {', '.join(images)}, and a policy that asks for signatures by the key release"
    yield Part({"registry": {"images": images, "policy": policy}}, words)


# Where the site actor is.
_SITE = "localhost:8080"


_SITE_DETAILS = {"url": f"http://{_SITE}"}
_SITE_POLICY = {"allowedHosts": [_SITE]}


def _at_home(hook: HookEntry) -> HookEntry:
    """Have a smoke test ask on this machine, where no name of yours leads anywhere."""
    details, policy = {**_details(hook), **_SITE_DETAILS}, {**hook.policy, **_SITE_POLICY}
    return hook.model_copy(update={"hook_details": details, "policy": policy})


def replaced(reading: Reading) -> JsonObject:
    """Return what a scenario file has to replace of the template for the same actors."""
    if all(hook.hook != "smoke_test" for hook in reading.hooks):
        return {}
    return {"hookDetails": {"smoke_test": _SITE_DETAILS}, "policies": {"smoke_test": _SITE_POLICY}}


def _site(_reading: Reading, hook: HookEntry, manner: str) -> Iterator[Part]:
    """Have the pages that a smoke test asks for."""
    checks = [
        check
        for settings in (_details(hook), hook.policy)
        for check in dicts_in(settings.get("checks"))
        if isinstance(check.get("path"), str)
    ]
    pages: dict[str, str] = {"/": "ok"}
    for check in checks:
        path, text = check["path"].partition("?")[0], check.get("bodyContains")
        pages[path] = f"{pages.get(path, '')} {text if isinstance(text, str) else 'ok'}".strip()
    site: JsonObject = {"pages": pages, **({"green": {"errors": True}} if manner == "errors" else {})}
    yield Part(
        {"site": site}, f"a site at http://{_SITE} with the pages that are asked for, in place of yours"
    )


def _generator(_reading: Reading, hook: HookEntry, manner: str) -> Iterator[Part]:
    rates = [
        float(stage[key])
        for stage in dicts_in(_details(hook).get("load"))
        for key in ("to", "at")
        if isinstance(stage.get(key), int | float)
    ]
    settings: JsonObject = {"maxRate": max([_LIMIT_OF_A_GENERATOR, *rates])}
    match manner:
        case "errors":
            settings["green"] = {"errors": 0.05}
        case "slow":
            settings["green"] = {"latencyFactor": 2.0}
    words = f"a load generator that may send {settings['maxRate']:g} requests a second"
    yield Part({"generator": settings}, words)


def _traffic(reading: Reading, _hook: HookEntry, manner: str) -> Iterator[Part]:
    if reading.strategy.type == "ROLLING" or reading.service.exposure == "headless":
        return  # no weights to split it by, or no way in
    settings: JsonObject = {"requestsPerMinute": _REQUESTS_PER_MINUTE}
    if reading.service.exposure == "nlb":
        settings["publish"] = ["emf"]
    match manner:
        case "errors" | "errors-in-production":
            settings["green"] = {"errors": 0.05}
        case "slow" | "slow-in-production":
            settings["green"] = {"latencyFactor": 2.0}
    words = f"{_REQUESTS_PER_MINUTE:,} requests a minute; 0.5 % of blue's fail, half take less than 50 ms"
    yield Part({"traffic": settings}, words)


def _consumers(reading: Reading, hook: HookEntry, manner: str) -> Iterator[Part]:
    name = _details(hook).get("queue")
    name = name if isinstance(name, str) else "orders"
    queue: JsonObject = {"name": name, "messagesPerMinute": _MESSAGES_PER_MINUTE}
    workers: JsonObject = {"queue": name, "handling": ["2s", "8s"]}
    if found := reading.queues.get(name):
        seconds = f"{min(max(found.visibility_seconds, 10), 43_200)}s"
        queue |= {"visibilityTimeout": seconds, "deadLetterAfter": found.dead_letter_after}
        workers["visibilityTimeout"] = seconds
    if manner in {"poisons", "silent"}:
        workers["green"] = {"poisons": "poisons", "silent": "never_healthy"}[manner]
    yield Part({"queue": queue}, f"the queue {name}, with {_MESSAGES_PER_MINUTE} messages a minute")
    yield Part({"workers": workers}, "workers with this project's library, 2 to 8 seconds for a message")


def _approvers(_reading: Reading, hook: HookEntry, manner: str) -> Iterator[Part]:
    """Have each person that is needed answer every request, ten minutes after the one before."""
    if manner == "undecided":
        return
    required = [settings.get("requiredApprovals") for settings in (_details(hook), hook.policy)]
    count = max([1, *(number for number in required if isinstance(number, int))])
    answer, does = ("REJECTED", "rejects") if manner == "rejected" else ("APPROVED", "approves")
    for number, person in enumerate(PEOPLE[: 1 if answer == "REJECTED" else count], start=1):
        settings = {
            "name": person,
            # Only the sessions of some roles are taken for people; all others of a role count as one.
            "role": "approver" if count == 1 else f"approver-{person}",
            "answer": answer,
            "after": f"{10 * number}m",
            "each": True,
        }
        yield Part({"approver": settings}, f"{person}, who {does} {10 * number} minutes after being asked")


def _operator(_reading: Reading, _hook: HookEntry, manner: str) -> Iterator[Part]:
    if manner == "undecided":
        return
    action = "ROLLBACK" if manner == "rejected" else "CONTINUE"
    words = f"somebody who answers {action} to PAUSE hooks after ten minutes"
    yield Part({"continue": {"action": action}}, words)


def _details(hook: HookEntry) -> Mapping[str, Any]:
    details = hook.hook_details
    if isinstance(details, str):
        try:
            details = json.loads(details)
        except (ValueError, RecursionError):
            return {}
    return details if isinstance(details, dict) else {}


_PARTS: Mapping[str, Callable[[Reading, HookEntry, str], Iterator[Part]]] = {
    "image_trust": _registry,
    "smoke_test": _site,
    "load_test": _generator,
    "canary_comparison": _traffic,
    "consumer_activation": _consumers,
    "manual_approval": _approvers,
    "pause": _operator,
}
