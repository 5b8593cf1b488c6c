"""What a probe has seen, in one document from which its findings can be computed again.

::

    Evidence ── deployments by step of the plan, with snapshots of DescribeServiceDeployments
             ├─ recordings: every call of a hook, as the recorder wrote it down
             ├─ throttles: how often Lambda refused to run the throttled hook
             └─ image: the digests that the image's tag leads to
        Call ── a recording, read
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from examples.contract_probe.recorder.recording_hook import production_entrance, turns_back
from shared.lifecycle import Stage

JsonObject = dict[str, Any]

SAME_CALL_SECONDS = 5.0
"""No script asks to be called again sooner, so that what comes sooner is the same call once more."""

EARLY = 0.8
"""A call that comes before this part of ``callBackDelay`` has passed is no poll."""

_WEIGHTS = {
    Stage.TEST_TRAFFIC_SHIFT.value: "testTrafficWeights",
    Stage.PRODUCTION_TRAFFIC_SHIFT.value: "productionTrafficWeights",
    Stage.PRE_PRODUCTION_TRAFFIC_SHIFT.value: "productionTrafficWeights",
}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Seen(_Part):
    """What the APIs showed when a hook was called."""

    deployment: JsonObject | None = None
    revision: JsonObject | None = None
    entrance: JsonObject | None = None
    """The production listener's rule, or the listener; only once the revision has a target group."""
    problems: tuple[str, ...] = ()


class Recording(_Part):
    """One object of the bucket."""

    version: int = Field(ge=1, le=1)
    hook: str
    request_id: str
    at: float
    script: str | None
    attempt: int
    event: str = Field(max_length=1024 * 1024)
    seen: Seen
    reply: JsonObject | None


class Snapshot(_Part):
    """An answer of DescribeServiceDeployments that differs from the one before."""

    at: float
    deployment: JsonObject


class Deployment(_Part):
    """One step of the plan, as far as it was carried out."""

    requested_at: float
    arn: str | None = None
    """``None`` as long as ECS has not shown the deployment that was asked for."""
    ended_at: float | None = None
    snapshots: list[Snapshot] = []

    @property
    def status(self) -> str | None:
        """The last that was seen."""
        return str(self.snapshots[-1].deployment.get("status")) if self.snapshots else None


class Image(_Part):
    """What a tag leads to in its registry."""

    reference: str
    index: str
    """Digest of the index, which names an image for each platform."""
    platforms: dict[str, str]
    """By platform: the digest of its image."""


class Evidence(_Part):
    """All of it."""

    version: int = Field(1, ge=1, le=1)
    account: str = ""
    """Where it was seen."""
    deployments: dict[str, Deployment] = {}
    """By step."""
    recordings: list[Recording] = []
    throttles: int | None = None
    """``None`` where that is not known (yet)."""
    image: Image | None = None


@dataclass(frozen=True)
class Call:
    """A call of a hook."""

    step: str
    recording: Recording
    event: JsonObject
    number: int
    """In the order of recordings, for calls of one moment."""

    @property
    def hook(self) -> str:
        return self.recording.hook

    @property
    def at(self) -> float:
        return self.recording.at

    @property
    def stage(self) -> str:
        return str(self.event.get("lifecycleStage"))

    @property
    def attempt(self) -> int:
        return self.recording.attempt

    @property
    def execution(self) -> str:
        return str(self.event.get("executionId"))

    @property
    def details(self) -> Any:
        """``hookDetails`` of the event, ``None`` if there are none."""
        return self.event.get("hookDetails")

    @property
    def state(self) -> JsonObject | None:
        """What a recorder has returned before, if it came with this call."""
        state = self.details.get("probe") if isinstance(self.details, dict) else None
        return state if isinstance(state, dict) else None

    @property
    def returned(self) -> JsonObject | None:
        """What the recorder returned for the next call to bring."""
        details = (self.recording.reply or {}).get("hookDetails")
        state = details.get("probe") if isinstance(details, dict) else None
        return state if isinstance(state, dict) else None

    @property
    def is_final(self) -> bool:
        """Whether the reply was the hook's last word."""
        return self.recording.reply is None or self.recording.reply.get("hookStatus") != "IN_PROGRESS"

    @property
    def answer(self) -> str:
        return "RAISE" if self.recording.reply is None else str(self.recording.reply.get("hookStatus"))

    @property
    def target(self) -> str:
        return str(self._execution.get("targetServiceRevisionArn"))

    @property
    def _execution(self) -> JsonObject:
        details = self.event.get("executionDetails")
        return details if isinstance(details, dict) else {}

    @property
    def maps(self) -> tuple[JsonObject, ...]:
        """The test and the production weights of the event."""
        found = (self._execution.get(name) for name in ("testTrafficWeights", "productionTrafficWeights"))
        return tuple(weights if isinstance(weights, dict) else {} for weights in found)

    @property
    def own_map(self) -> JsonObject:
        """The weights that the stage is about."""
        found = self._execution.get(_WEIGHTS.get(self.stage, ""))
        return found if isinstance(found, dict) else {}

    @property
    def moves_to(self) -> float | None:
        """What the stage's weights say of the target, in percent."""
        weight = self.own_map.get(self.target)
        return float(weight) if isinstance(weight, int | float) else None

    @cached_property
    def is_back(self) -> bool:
        """Whether ECS is turning back at a shift stage."""
        return turns_back(self.event)

    @property
    def requested(self) -> float | None:
        """The target's production weight that DescribeServiceDeployments showed meanwhile, in percent."""
        target = (self.recording.seen.deployment or {}).get("targetServiceRevision", {})
        weight = target.get("requestedProductionTrafficWeight")
        return float(weight) if isinstance(weight, int | float) else None

    @property
    def listened(self) -> float | None:
        """The target's weight at the listener, in percent; ``None`` where there is no listener."""
        seen = self.recording.seen
        if not seen.entrance or not production_entrance(seen.revision):
            return None
        resolved = (seen.revision or {})["resolvedConfiguration"]["loadBalancers"][0]
        own = resolved.get("targetGroupArn")
        actions = seen.entrance.get("Actions") or seen.entrance.get("DefaultActions") or []
        groups = [
            group for action in actions for group in action.get("ForwardConfig", {}).get("TargetGroups", [])
        ]
        total = sum(group.get("Weight", 0) for group in groups)
        weight = next(
            (group.get("Weight", 0) for group in groups if group.get("TargetGroupArn") == own), None
        )
        return None if weight is None or not total else 100.0 * float(weight) / total

    @property
    def images(self) -> list[JsonObject]:
        """``containerImages`` of the target revision at that moment."""
        found = (self.recording.seen.revision or {}).get("containerImages")
        return found if isinstance(found, list) else []


class Calls:
    """The calls of the plan's deployments, each once; those that came again are apart."""

    def __init__(self, evidence: Evidence) -> None:
        steps: dict[Any, str] = {
            deployment.arn: step for step, deployment in evidence.deployments.items() if deployment.arn
        }
        everything = []
        for number, recording in enumerate(sorted(evidence.recordings, key=lambda one: one.at)):
            event = json.loads(recording.event)
            step = steps.get(event.get("resourceArn")) if isinstance(event, dict) else None
            if step is not None:
                everything.append(Call(step, recording, event, number))
        self.all = tuple(everything)
        self.again = frozenset(call.number for call in _again(everything))
        self.once = tuple(call for call in everything if call.number not in self.again)

    def of(
        self,
        *steps: str,
        hook: str | None = None,
        stage: Stage | None = None,
        back: bool | None = None,
    ) -> list[Call]:
        """Return calls in the order of time; without *steps*, those of all."""
        return [
            call
            for call in self.once
            if (not steps or call.step in steps)
            and (hook is None or call.hook == hook)
            and (stage is None or call.stage == stage)
            and (back is None or call.is_back == back)
        ]

    def pollings(self) -> Iterator[list[Call]]:
        """Yield the calls of one hook at one stage and step in one direction, attempt by attempt."""
        groups: dict[Any, list[Call]] = {}
        for call in self.once:
            key = (call.step, call.hook, call.stage, call.is_back, call.moves_to)
            groups.setdefault(key, []).append(call)
        yield from groups.values()


def _again(calls: Iterable[Call]) -> Iterator[Call]:
    """Yield the calls that are an earlier one once more: same event, though the earlier one was answered.

    After a function error ECS may call again of its own accord; that is another question.
    """
    last: dict[Any, Call] = {}
    for call in calls:
        without_id = {key: value for key, value in call.event.items() if key != "executionId"}
        key = (call.hook, json.dumps(without_id))
        before = last.get(key)
        last[key] = call
        if before is None or before.answer == "RAISE":
            continue
        passed = call.at - before.at
        delay = (before.recording.reply or {}).get("callBackDelay", 0)
        same = call.execution == before.execution and (before.is_final or passed < EARLY * delay)
        if same or passed < SAME_CALL_SECONDS:
            yield call


def moment(at: float) -> str:
    """Write seconds since 1970 as UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
