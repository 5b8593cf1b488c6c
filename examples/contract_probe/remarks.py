"""What a probe has seen beyond the switches: what the contract's page calls unknown, or infers.

Pure, like ``inference``: sentences made of recordings and snapshots, without a verdict.
"""

from collections.abc import Iterator
from itertools import pairwise

from examples.contract_probe.evidence import EARLY, Call, Calls, Evidence
from examples.contract_probe.plan import PLAN
from shared.lifecycle import Stage

_ORDER = [stage.value for stage in Stage]


def remarks(evidence: Evidence) -> list[str]:
    """Return what was seen, a sentence each."""
    calls = Calls(evidence)
    return [*_weights(calls), *_delays(calls), *_hook_ids(evidence), *_reasons(evidence)]


def _weights(calls: Calls) -> Iterator[str]:
    """Yield the weight maps of each stage, step and direction that has any."""
    seen: dict[str, None] = {}
    for step in ("canary", "turned-back", "superseding"):
        for call in calls.of(step, hook="first"):
            if call.attempt == 1 and any(call.maps) and (step != "superseding" or call.stage == _ORDER[0]):
                text = f"{step}: {call.stage} came with test {_map(call, 0)}, production {_map(call, 1)}"
                seen.setdefault(text)
    yield from seen


def _map(call: Call, which: int) -> str:
    names = {arn: "target" if arn == call.target else "source" for arn in call.maps[which]}
    # By name: which of them comes first is a switch.
    pairs = sorted((names[arn], str(weight)) for arn, weight in call.maps[which].items())
    return "{" + ", ".join(f"{name}: {weight}" for name, weight in reversed(pairs)) + "}"


def _delays(calls: Calls) -> Iterator[str]:
    """Yield how well ``callBackDelay`` is kept, by what was asked for."""
    late: dict[int, list[float]] = {}
    for polling in calls.pollings():
        for before, after in pairwise(polling):
            delay = (before.recording.reply or {}).get("callBackDelay")
            if isinstance(delay, int) and after.at - before.at >= EARLY * delay:
                late.setdefault(delay, []).append(after.at - before.at)
    for delay, passed in sorted(late.items()):
        span = f"{min(passed):.1f} to {max(passed):.1f} s"
        yield f"callBackDelay {delay}: the next call came {span} later ({len(passed)} seen)"


def _hook_ids(evidence: Evidence) -> Iterator[str]:
    """Yield how the ids of Lambda hooks begin in DescribeServiceDeployments."""
    shown = [recording.seen.deployment or {} for recording in evidence.recordings]
    details = [detail for deployment in shown for detail in deployment.get("lifecycleHookDetails") or []]
    for kind in sorted({"-".join(str(detail.get("hookId")).split("-")[:2]) for detail in details}):
        yield f"hooks had ids that begin with {kind}-"


def _reasons(evidence: Evidence) -> Iterator[str]:
    """Yield the literal reason of each deployment that did not succeed."""
    known = ((step.name, evidence.deployments.get(step.name)) for step in PLAN)
    for step, deployment in known:
        if deployment and deployment.snapshots and deployment.status != "SUCCESSFUL":
            reason = deployment.snapshots[-1].deployment.get("statusReason")
            yield f"{step} ended {deployment.status}: {reason or 'no reason given'}"
