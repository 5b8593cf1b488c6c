"""From what a probe has seen to the value of each switch.

A finding is a value with the evidence for it, or why there is none: nothing here guesses. What ECS does may
be none of a switch's values; then that is said, and the switch and the rehearsal need a new one.

Pure: no clock, no API, no random number.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from examples.contract_probe.evidence import Call, Calls, Evidence
from examples.contract_probe.plan import CANARY_BAKE_MINUTES, CANARY_PERCENT, CONTAINER
from shared.lifecycle import Stage

FEWEST_MAPS = 20
"""So many maps in one order by chance: once in half a million."""

NLB_DELAY_SECONDS = 540.0
"""From nine minutes on it is the ten of a network load balancer.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/nlb-resources-for-blue-green.html
"""

LONGEST_LATENCY_SECONDS = 90.0
"""What ECS may take between two stages, if a bake is still to be told from the hook before it."""

_PRODUCTION, _TEST = Stage.PRODUCTION_TRAFFIC_SHIFT, Stage.TEST_TRAFFIC_SHIFT
_SHIFTS = (_TEST, _PRODUCTION)
_REFUSED = ("ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED")


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of one switch."""

    switch: str
    value: str | None
    """``None``: not settled."""
    why: str
    """One sentence: the evidence, or why it is not settled."""


@dataclass(frozen=True, slots=True)
class Vote:
    """What one observation says; ``value`` is ``None`` where it fits none of the switch's values."""

    value: str | None
    seen: str


@dataclass(frozen=True, slots=True)
class Unseen(Exception):
    """Nothing is wrong; there is only nothing that could settle a switch."""

    why: str


def infer(evidence: Evidence) -> list[Finding]:
    """Return a finding for each switch, in the order of the rehearsal's."""
    calls = Calls(evidence)
    findings = []
    for switch, find in _BY_SWITCH.items():
        try:
            value, why = find(evidence, calls)
        except Unseen as unseen:
            value, why = None, unseen.why
        findings.append(Finding(switch, value, why))
    return findings


def _agreed(votes: Sequence[Vote], missing: str) -> tuple[str | None, str]:
    """Return what all votes say; anything else is not settled, and named."""
    if not votes:
        raise Unseen(missing)
    for vote in votes:
        if vote.value is None:
            raise Unseen(f"none of the values: {vote.seen}")
    by_value: dict[str | None, str] = {}
    for vote in votes:
        by_value.setdefault(vote.value, vote.seen)
    if len(by_value) > 1:
        raise Unseen(f"not always the same: {'; but '.join(by_value.values())}")
    more = len(votes) - 1
    others = f"; {more} more observation{'s say' if more > 1 else ' says'} the same" if more else ""
    return votes[0].value, votes[0].seen + others


def _execution_id(_evidence: Evidence, calls: Calls) -> tuple[str | None, str]:
    votes = []
    for polling in calls.pollings():
        attempts = {call.attempt: call.execution for call in polling}
        if len(attempts) < 2:
            continue
        ids = len(set(attempts.values()))
        value = {1: "stable-per-stage", len(attempts): "new-per-invocation"}.get(ids)
        where = f"{polling[0].step} at {polling[0].stage}"
        votes.append(Vote(value, f"{where}: {ids} executionId{'s'[: ids - 1]} in {len(attempts)} calls"))
    return _agreed(votes, "no stage was polled more than once")


def _hook_details_scope(_evidence: Evidence, calls: Calls) -> tuple[str | None, str]:
    votes = []
    asked = calls.of("polled", hook="first", back=False)
    if any(call.stage == Stage.POST_SCALE_UP and call.state for call in asked):
        votes += [_scope("the next stage", call) for call in asked if call.stage == _TEST][:1]
    canary = calls.of("canary", hook="first", stage=_PRODUCTION, back=False)
    steps = sorted({call.moves_to for call in canary if call.moves_to is not None})
    if len(steps) == 2 and any(call.moves_to == steps[0] and call.state for call in canary):
        votes += [_scope("the next step", call) for call in canary if call.moves_to == steps[1]][:1]
    if len(votes) < 2:
        raise Unseen("no call at a stage, and at a step, that follows one which returned hookDetails")
    return _agreed(votes, "")


def _scope(what: str, call: Call) -> Vote:
    seen = f"what {call.step} returned at one stage was"
    if call.state is None:
        return Vote("per-stage-step", f"{seen} gone at {what}")
    return Vote("per-hook-entry", f"{seen} still there at {what}")


def _hook_details_on_rollback(_evidence: Evidence, calls: Calls) -> tuple[str | None, str]:
    votes = []
    forward, back = _ways(calls)
    for stage in _SHIFTS:
        there = [call for call in forward if (call.hook, call.stage) == ("first", stage)]
        here = [call for call in back if (call.hook, call.stage) == ("first", stage)]
        if not here or not any(call.returned for call in there):
            continue
        state = here[0].state
        own = [call.returned for call in back if call.number < here[0].number]
        if state is None:
            seen = f"the rollback's {stage} saw nothing of what was returned on the way"
            votes.append(Vote("config-only", seen))
        elif state not in own:
            votes.append(Vote("config+runtime", f"the rollback's {stage} saw what was returned on the way"))
    return _agreed(votes, "no rollback called at a stage where hookDetails had been returned")


def _ways(calls: Calls) -> tuple[list[Call], list[Call]]:
    """Return the calls before and after the refusal that turned a deployment back, whatever their weights."""
    whole = calls.of("turned-back")
    refusal = next((call.number for call in whole if call.answer == "FAILED"), None)
    if refusal is None:
        raise Unseen("no deployment was turned back after its shifts")
    return [one for one in whole if one.number <= refusal], [one for one in whole if one.number > refusal]


def _merge(_evidence: Evidence, calls: Calls) -> tuple[str | None, str]:
    votes = [
        _merged(call)
        for call in calls.once
        if call.hook == "first" and call.attempt > 1 and call.state is not None
    ]
    return _agreed(votes, "no call came with what an earlier one had returned")


def _merged(call: Call) -> Vote:
    nested = call.details.get("nested")
    has = nested if isinstance(nested, dict) else {}
    if "configured" not in call.details:
        return Vote("replace", "after hookDetails were returned, the configured keys were gone")
    if "configured" in has:
        return Vote(None, "objects within hookDetails are merged as well")
    return Vote("shallow", "the configured keys came back beside the returned ones, a nested object replaced")


def _absent_form(_evidence: Evidence, calls: Calls) -> tuple[str | None, str]:
    first: dict[str, Call] = {}
    for call in calls.of(hook="second"):
        first.setdefault(call.step, call)
    votes = []
    for call in first.values():
        if "hookDetails" not in call.event:
            votes.append(Vote("missing", "a hook without hookDetails got an event without the key"))
        elif call.details is None:
            votes.append(Vote("null", "a hook without hookDetails got null"))
        else:
            votes.append(Vote(None, f"a hook without hookDetails got {str(call.details)[:80]!r}"))
    return _agreed(votes, "the hook without hookDetails was not called")


def _weights_type(_evidence: Evidence, calls: Calls) -> tuple[str | None, str]:
    weights = [weight for call in calls.once for weights in call.maps for weight in weights.values()]
    kinds = {int: "int", float: "float"}
    votes = [
        Vote(
            kinds.get(type(weight)),
            f"weights such as {weight!r}, without a fraction, were {type(weight).__name__}s",
        )
        for weight in weights
        if not isinstance(weight, float) or weight.is_integer()
    ]
    return _agreed(votes, "no event had weights")


def _map_order(_evidence: Evidence, calls: Calls) -> tuple[str | None, str]:
    maps = [(call, weights) for call in calls.once for weights in call.maps if len(weights) > 1]
    if len(maps) < FEWEST_MAPS:
        raise Unseen(f"{len(maps)} maps with two revisions; fewer than {FEWEST_MAPS} say nothing of an order")
    first = sum(1 for call, weights in maps if next(iter(weights)) == call.target)
    value = {len(maps): "target-first", 0: "source-first"}.get(first, "random")
    return value, f"the target revision came first in {first} of {len(maps)} maps"


def _rollback_before_shift(evidence: Evidence, calls: Calls) -> tuple[str | None, str]:
    votes = []
    for step, stage in (("refused-early", Stage.PRE_SCALE_UP), ("sibling", Stage.POST_SCALE_UP)):
        deployment = evidence.deployments.get(step)
        if deployment is None or not any(call.answer == "FAILED" for call in calls.of(step, stage=stage)):
            continue
        shown = sorted({call.stage for call in calls.of(step) if call.stage in _SHIFTS})
        if shown:
            votes.append(
                Vote("fires-shift-hooks", f"after a refusal at {stage}, {' and '.join(shown)} were called")
            )
        elif deployment.status in _REFUSED:
            seen = f"after a refusal at {stage} no shift hook was called, and it ended {deployment.status}"
            votes.append(Vote("fires-none", seen))
    return _agreed(votes, "no deployment was refused before a shift, and seen to its end")


def _rollback_order(_evidence: Evidence, calls: Calls) -> tuple[str | None, str]:
    _, back = _ways(calls)
    production, test = ([call for call in back if call.stage == stage] for stage in (_PRODUCTION, _TEST))
    if not production or not test:
        called = [str(group[0].stage) for group in (production, test) if group]
        raise Unseen(
            f"a rollback called at {' and '.join(called) or 'no shift stage'}; there is no order in that"
        )
    seen = "a rollback's calls at {} had their last answer before the first at {}"
    # Both are asked again, so that what goes on side by side does not look like one after the other.
    if production[0].at < production[-1].at <= test[0].at:
        return "production-then-test", seen.format(_PRODUCTION, _TEST)
    if test[0].at < test[-1].at <= production[0].at:
        return "test-then-production", seen.format(_TEST, _PRODUCTION)
    raise Unseen("none of the values: a rollback's calls at both shift stages went on side by side")


def _bake_and_hook(_evidence: Evidence, calls: Calls) -> tuple[str | None, str]:
    steps = _canary_steps(calls)
    held, after = _between(steps[0])
    if _moves_after_the_hook(steps[0]):
        raise Unseen("weights move only after the hook, so that a bake can't overlap with it: either value")
    bake = 60 * CANARY_BAKE_MINUTES
    latency = _latency(calls)
    if latency > LONGEST_LATENCY_SECONDS:
        raise Unseen(f"ECS took {latency:.0f} s between stages; too long to tell a bake from it")
    next_stage = calls.of("canary", stage=Stage.PRE_PRODUCTION_TRAFFIC_SHIFT)
    later = [call.at for call in next_stage if call.at >= after]
    if not later:
        raise Unseen("there was no second step after the hook's answer at the first")
    passed = later[0] - after
    seen = (
        f"with a bake of {bake} s, the next step began {passed:.0f} s after a hook that held for {held:.0f} s"
    )
    if bake - 5 <= passed <= bake + LONGEST_LATENCY_SECONDS:
        return "bake-after-hook", seen
    if bake - held - 5 <= passed <= bake - held + LONGEST_LATENCY_SECONDS:
        return "overlapping", seen
    raise Unseen(f"none of the values: {seen}")


def _canary_steps(calls: Calls) -> list[list[Call]]:
    """Return the canary's calls at PRODUCTION_TRAFFIC_SHIFT, step by step."""
    steps: dict[float | None, list[Call]] = {}
    for call in calls.of("canary", hook="first", stage=_PRODUCTION, back=False):
        steps.setdefault(call.moves_to, []).append(call)
    if not steps:
        raise Unseen("the canary did not come to a step")
    if list(steps) != [CANARY_PERCENT, 100.0]:
        shown = ", ".join("nothing" if weight is None else f"{weight:g} %" for weight in steps)
        raise Unseen(
            f"the canary's maps gave the target {shown}; expected {CANARY_PERCENT} %, and then 100 %"
        )
    if not all(len(step) > 1 and step[-1].is_final for step in steps.values()):
        raise Unseen("no hook held both steps of the canary to their ends")
    return list(steps.values())


def _between(step: Sequence[Call]) -> tuple[float, float]:
    """Return how long a hook held a step, and when it let go."""
    return step[-1].at - step[0].at, step[-1].at


def _latency(calls: Calls) -> float:
    """Return the longest time between the last answer at PRE_PRODUCTION and the first call at PRODUCTION."""
    found = [0.0]
    for step in _canary_steps(calls):
        before = [
            call.at
            for call in calls.of("canary", stage=Stage.PRE_PRODUCTION_TRAFFIC_SHIFT)
            if call.at <= step[0].at
        ]
        found += [step[0].at - before[-1]] if before else []
    return max(found)


def _moves_after_the_hook(step: Sequence[Call]) -> bool:
    return all(call.requested is not None and call.requested != call.moves_to for call in step)


def _shift_and_hook(_evidence: Evidence, calls: Calls) -> tuple[str | None, str]:
    votes = []
    for step in _canary_steps(calls):
        for what in ("requested", "listened"):
            weights = [(call, getattr(call, what)) for call in step]
            if any(weight is None for _, weight in weights):
                continue
            votes.append(_moved(weights, "ECS's API" if what == "requested" else "the listener"))
    return _agreed(votes, "the API showed no production weight at the canary's steps")


def _moved(weights: Sequence[tuple[Call, float]], whose: str) -> Vote:
    there = [abs(weight - (call.moves_to or 0.0)) < 0.5 for call, weight in weights]
    first, last = weights[0][0], weights[-1][0]
    to = f"{first.moves_to:g} %"
    if all(there):
        return Vote("shift-first", f"at the first call {whose} showed the step's {to} already")
    if not any(there):
        return Vote(
            "hook-first",
            f"until the last answer, {last.at - first.at:.0f} s later, {whose} did not show {to}",
        )
    changed = weights[there.index(True)][0].at - first.at
    return Vote(
        None, f"{whose} showed {to} {changed:.0f} s after the first call, while the hook was asked again"
    )


def _headless_weights(_evidence: Evidence, calls: Calls) -> tuple[str | None, str]:
    votes = []
    for stage in (_TEST, Stage.PRE_PRODUCTION_TRAFFIC_SHIFT, _PRODUCTION):
        for call in calls.of("headless", stage=stage):
            word = "filled" if call.own_map else "empty"
            votes.append(Vote(word, f"a headless service's map at {stage} was {word}"))
    return _agreed(votes, "the headless service's hooks were not called at a shift")


def _lambda_error_retry(evidence: Evidence, calls: Calls) -> tuple[str | None, str]:
    throttled, raised = evidence.deployments.get("throttled"), calls.of("raised", stage=Stage.PRE_SCALE_UP)
    if throttled is None or not evidence.throttles:
        raise Unseen("Lambda counts no throttled call of the hook that it refuses to run")
    if throttled.status not in _REFUSED:
        raise Unseen(f"a deployment with a throttled hook ended {throttled.status}, and not turned back")
    twice = _copies(calls)
    tries = evidence.throttles / twice
    errors = len([call for call in raised if call.answer == "RAISE"]) / twice
    refused = f"{evidence.throttles} call{'s' if evidence.throttles > 1 else ''}"
    seen = f"Lambda refused {refused} of one hook at one stage"
    seen += f", and a function error brought {errors:g} call{'s' if errors != 1 else ''}" if errors else ""
    seen += " (each call comes twice)" if twice > 1 else ""
    if tries == 1 and errors > 1:
        raise Unseen(f"none of the values: {seen}: only a function error is tried again")
    if tries in {1, 2}:
        return ("none" if tries == 1 else "one-retry"), seen
    raise Unseen(f"none of the values: {seen}")


def _copies(calls: Calls) -> int:
    """Return how often each call arrives; raises where that varies."""
    # A function error is left out: a second call after it may be a retry.
    plain = [call for call in calls.once if call.answer != "RAISE"]
    if not calls.again:
        return 1
    if len(calls.again) == len(plain):
        return 2
    raise Unseen(
        f"{len(calls.again)} of {len(plain)} calls came again, so that a retry can't be told from that"
    )


def _duplicate_delivery(_evidence: Evidence, calls: Calls) -> tuple[str | None, str]:
    if not calls.once:
        raise Unseen("no hook was called")
    if not calls.again:
        raise Unseen(f"not seen in {len(calls.once)} calls; that it can't happen is not to be shown")
    example = next(call for call in calls.all if call.number in calls.again)
    where = f"{example.step} at {example.stage}"
    came = "call" if len(calls.again) == 1 else "calls"
    return "on", f"{len(calls.again)} {came} came again with the same event, such as {where}"


def _pre_production(_evidence: Evidence, calls: Calls) -> tuple[str | None, str]:
    votes = []
    names = {Stage.PRE_PRODUCTION_TRAFFIC_SHIFT.value: "itself", _PRODUCTION.value: "production"}
    for call in calls.of(stage=Stage.PRE_PRODUCTION_TRAFFIC_SHIFT):
        if call.recording.seen.deployment is None:
            continue
        shown = str(call.recording.seen.deployment.get("lifecycleStage"))
        votes.append(Vote(names.get(shown), f"DescribeServiceDeployments said {shown} during the stage"))
    return _agreed(votes, "DescribeServiceDeployments was not seen at PRE_PRODUCTION_TRAFFIC_SHIFT")


def _superseded(evidence: Evidence, calls: Calls) -> tuple[str | None, str]:
    old, new = evidence.deployments.get("superseded"), evidence.deployments.get("superseding")
    if old is None or new is None or old.status is None:
        raise Unseen("no deployment was superseded")
    back = sorted({call.stage for call in calls.of("superseded", back=True)})
    if odd := _called_once_more(calls.of("superseded", back=False)):
        weights = list(odd.own_map.values())
        raise Unseen(f"none of the values: a superseded deployment called {odd.stage} with weights {weights}")
    if old.status != "STOPPED":
        raise Unseen(f"none of the values: the deployment that a newer one was to replace ended {old.status}")
    if back:
        return "shift-hooks-called", f"a superseded deployment called back at {' and '.join(back)}"
    return "stopped-silently", "a superseded deployment ended STOPPED, and none of its hooks was called back"


def _called_once_more(forward: Iterable[Call]) -> Call | None:
    """Return the call of a shift stage that began anew, though not with the weights of a way back."""
    known = set()
    for call in forward:
        if call.stage in _SHIFTS and call.attempt == 1:
            if (call.hook, call.stage) in known:
                return call
            known.add((call.hook, call.stage))
    return None


def _digests_at_pre_scale_up(_evidence: Evidence, calls: Calls) -> tuple[str | None, str]:
    votes = []
    for call in calls.of(stage=Stage.PRE_SCALE_UP):
        if call.recording.seen.revision is None:
            continue
        digest = _digest(call)
        value = "absent" if digest is None else "present"
        votes.append(Vote(value, f"at PRE_SCALE_UP the imageDigest of a tag was {value}"))
    return _agreed(votes, "DescribeServiceRevisions was not seen at PRE_SCALE_UP")


def _recorded_digest(evidence: Evidence, calls: Calls) -> tuple[str | None, str]:
    image = evidence.image
    if image is None:
        raise Unseen("which digests the image's tag leads to is not known")
    if image.index in image.platforms.values() or not image.platforms:
        raise Unseen(f"{image.reference} is for one platform, so that there is one digest only")
    votes = []
    running = (Stage.POST_SCALE_UP, Stage.POST_TEST_TRAFFIC_SHIFT, Stage.POST_PRODUCTION_TRAFFIC_SHIFT)
    for call in (call for stage in running for call in calls.of(stage=stage)):
        digest = _digest(call)
        platform = next((name for name, known in image.platforms.items() if known == digest), None)
        if digest == image.index:
            votes.append(Vote("index", "once tasks ran, the imageDigest was that of the image's index"))
        elif platform:
            votes.append(
                Vote("platform", f"once tasks ran, the imageDigest was that of the image for {platform}")
            )
        elif digest:
            votes.append(
                Vote(None, f"{digest} is neither the index nor an image of it; the tag may have moved")
            )
    return _agreed(votes, "no revision had an imageDigest once its tasks ran")


def _digest(call: Call) -> str | None:
    """Return the digest that the target revision shows of the probe's own container."""
    for image in call.images:
        if image.get("containerName") == CONTAINER and image.get("imageDigest"):
            return str(image["imageDigest"])
    return None


def _injected_containers(_evidence: Evidence, calls: Calls) -> tuple[str | None, str]:
    last = [call for call in calls.of("connected", stage=Stage.POST_PRODUCTION_TRAFFIC_SHIFT) if call.images]
    votes = []
    for call in last:
        others = sorted(
            str(one.get("containerName")) for one in call.images if one.get("containerName") != CONTAINER
        )
        # Others put containers into tasks as well, such as GuardDuty.
        value = "unlisted" if not others else "listed" if any(map(_is_service_connects, others)) else None
        seen = f"with Service Connect, a revision listed {', '.join([CONTAINER, *others])} once its tasks ran"
        votes.append(Vote(value, seen))
    return _agreed(votes, "no revision with Service Connect was seen with its images")


def _is_service_connects(container: str) -> bool:
    return container.startswith("ecs-service-connect")


def _nlb_delay(_evidence: Evidence, calls: Calls) -> tuple[str | None, str]:
    around = {
        _TEST: (Stage.POST_SCALE_UP, Stage.POST_TEST_TRAFFIC_SHIFT),
        _PRODUCTION: (Stage.PRE_PRODUCTION_TRAFFIC_SHIFT, Stage.POST_PRODUCTION_TRAFFIC_SHIFT),
    }
    votes = []
    for stage, (before, after) in around.items():
        earlier, during, later = (
            calls.of("network", stage=one, back=False) for one in (before, stage, after)
        )
        if not (earlier and during and later):
            continue
        waited, went_on = during[0].at - earlier[-1].at, later[0].at - during[-1].at
        seen = f"at {stage}, {waited:.0f} s passed before the hooks and {went_on:.0f} s after them"
        long = (waited >= NLB_DELAY_SECONDS, went_on >= NLB_DELAY_SECONDS)
        value = {(True, False): "before-hook", (False, True): "after-hook"}.get(long)
        votes.append(Vote(value, seen))
    return _agreed(votes, "the network load balancer's deployment did not pass a shift")


def _siblings_of_a_refusal(evidence: Evidence, calls: Calls) -> tuple[str | None, str]:
    deployment = evidence.deployments.get("sibling")
    refused = [call for call in calls.of("sibling", stage=Stage.POST_SCALE_UP) if call.answer == "FAILED"]
    other = calls.of("sibling", hook="second", stage=Stage.POST_SCALE_UP)
    if deployment is None or not refused or not other or other[0].at >= refused[0].at:
        raise Unseen("no hook refused while another of its stage was still asked")
    later = [call for call in other if call.at > refused[0].at]
    if later and later[-1].is_final:
        return (
            "polled-on",
            f"after one hook had refused, the other was asked {_times(len(later))} more, to its end",
        )
    if later:
        raise Unseen(
            f"none of the values: the other hook was asked {_times(len(later))} more, and then dropped"
        )
    if deployment.status not in _REFUSED:
        raise Unseen(f"the deployment was not seen to its end; the last was {deployment.status}")
    return "dropped", "after one hook had refused, the other was not asked again"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


_Find = Callable[[Evidence, Calls], tuple[str | None, str]]

_BY_SWITCH: dict[str, _Find] = {
    "execution_id": _execution_id,
    "hook_details_scope": _hook_details_scope,
    "hook_details_on_rollback": _hook_details_on_rollback,
    "merge": _merge,
    "hook_details_absent_form": _absent_form,
    "weights_type": _weights_type,
    "map_order": _map_order,
    "rollback_before_shift": _rollback_before_shift,
    "rollback_order": _rollback_order,
    "bake_and_hook": _bake_and_hook,
    "shift_and_hook": _shift_and_hook,
    "headless_weights": _headless_weights,
    "lambda_error_retry": _lambda_error_retry,
    "duplicate_delivery": _duplicate_delivery,
    "pre_production_reported_as": _pre_production,
    "superseded": _superseded,
    "digests_at_pre_scale_up": _digests_at_pre_scale_up,
    "recorded_digest": _recorded_digest,
    "injected_containers": _injected_containers,
    "nlb_delay": _nlb_delay,
    "siblings_of_a_refusal": _siblings_of_a_refusal,
}

SWITCHES = tuple(_BY_SWITCH)


def as_switches(findings: Iterable[Finding]) -> dict[str, str]:
    """Return what is settled, as a scenario's ``switches`` have it."""
    return {finding.switch: finding.value for finding in findings if finding.value is not None}
