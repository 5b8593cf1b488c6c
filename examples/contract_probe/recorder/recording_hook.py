"""A lifecycle hook that writes down every call of ECS, and answers what a script in its bucket says.

::

    scripts/SERVICE.json            what the next deployment of a service is to be answered
    pins/DEPLOYMENT.json            the script as it was when the deployment first called; never changed
    recordings/DEPLOYMENT/HOOK/STAGE/TIME-REQUEST.json
                                    one call: the event, what ECS's API showed at that moment, the reply

A reply follows from the event and the pinned script alone, so that a call that arrives twice is answered
twice alike. How often the hook was asked travels in ``hookDetails``, which ECS hands back to the next call of
the same hook: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/lambda-lifecycle-hooks.html

Lambda's runtime parses the event. Its text is written anew from that: the order of keys and the types of
numbers are as they came, spaces and the spelling of escapes are not.

Standard library and boto3 only, as Lambda's Python runtime has them.
"""

import json
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

MAX_CALLS = 200
"""A hook is asked at most so often at one stage of one deployment; then it lets the deployment go on.

It is never reached while ``hookDetails`` come back as documented: nothing is to be polled for a day if not.
"""

MAX_SCRIPT_BYTES = 64 * 1024

_SHIFTS = {
    "TEST_TRAFFIC_SHIFT": "testTrafficWeights",
    "PRODUCTION_TRAFFIC_SHIFT": "productionTrafficWeights",
}
_SAFE = re.compile(r"[A-Za-z0-9_-]{1,255}")

JsonObject = dict[str, Any]
Look = Callable[[str, str], JsonObject]
"""What APIs show of a deployment and its target revision, by ARN: JSON, with what failed as ``problems``."""


class Raised(Exception):
    """The script wants a function error."""


class Store(Protocol):
    """The bucket, as far as a recorder needs it."""

    def read(self, key: str) -> bytes | None:
        """Return an object, ``None`` if there is none."""

    def write(self, key: str, body: bytes) -> None:
        """Write an object."""

    def claim(self, key: str, body: bytes) -> bytes:
        """Write an object unless there is one, and return the one that is there then."""

    def count(self, prefix: str, most: int) -> int:
        """Count objects, up to *most*."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the script makes of an event."""

    attempt: int
    """1 for the first call at this stage, step and direction."""
    body: JsonObject | None
    """What is returned; ``None`` for a function error."""

    @property
    def is_final(self) -> bool:
        """Whether ECS has no reason to ask again."""
        return self.body is None or self.body["hookStatus"] != "IN_PROGRESS"


def turns_back(event: Mapping[str, Any]) -> bool:
    """Tell whether a shift stage moves all traffic away from the target revision."""
    weights, target = _weights(event, _SHIFTS.get(str(event.get("lifecycleStage")), "")), _target(event)
    return weights.get(target) == 0 and any(weights[arn] == 100 for arn in weights if arn != target)


def reply_to(event: Mapping[str, Any], script: Mapping[str, Any], hook: str) -> Reply:
    """Find the script's reply: so many times IN_PROGRESS, and then its last word; SUCCEEDED by default."""
    stage = str(event.get("lifecycleStage"))
    key = f"{stage} back" if turns_back(event) else stage
    answer = script.get("replies", {}).get(hook, {}).get(key, {})
    here = _here(event)
    details = event.get("hookDetails")
    known = details.get("probe") if isinstance(details, dict) else None
    attempt = 1
    if isinstance(known, dict) and known.get("here") == here and isinstance(known.get("attempt"), int):
        attempt = known["attempt"] + 1
    if attempt <= answer.get("polls", 0):
        # The configured keys are not echoed: whether they come back all the same is one of the questions.
        returned = {"probe": {"here": here, "attempt": attempt}, "nested": {"returned": True}}
        delay = answer.get("delay", 15)
        body = {"hookStatus": "IN_PROGRESS", "callBackDelay": delay, "hookDetails": returned}
        return Reply(attempt, body)
    then = answer.get("then", "SUCCEEDED")
    return Reply(attempt, None if then == "RAISE" else {"hookStatus": then})


@dataclass(frozen=True, slots=True)
class Recorder:
    """One hook: what it is called, where it writes, and whom it asks."""

    hook: str
    store: Store
    look: Look

    def __call__(self, event: JsonObject, *, request_id: str, at: float) -> JsonObject:
        """Record a call, and answer it.

        Parameters
        ----------
        at
            When it came, in seconds since 1970.
        """
        deployment = str(event.get("resourceArn"))
        script = self._script(_name(deployment), _name(str(_execution(event).get("serviceArn"))))
        seen = self.look(deployment, _target(event))
        reply = reply_to(event, script, self.hook)
        where = f"recordings/{_name(deployment)}/{self.hook}/{_name(str(event.get('lifecycleStage')))}/"
        if not reply.is_final and self.store.count(where, MAX_CALLS) >= MAX_CALLS:
            reply = Reply(reply.attempt, {"hookStatus": "SUCCEEDED"})
        recording = {
            "version": 1,
            "hook": self.hook,
            "requestId": request_id,
            "at": at,
            "script": script.get("name"),
            "attempt": reply.attempt,
            "event": json.dumps(event),
            "seen": seen,
            "reply": reply.body,
        }
        self.store.write(f"{where}{at:017.6f}-{_name(request_id)}.json", json.dumps(recording).encode())
        if reply.body is None:
            raise Raised(f"as the script {script.get('name')!r} says")
        return reply.body

    def _script(self, deployment: str, service: str) -> JsonObject:
        pin = f"pins/{deployment}.json"
        found = self.store.read(pin)
        if found is None:
            found = self.store.claim(pin, self.store.read(f"scripts/{service}.json") or b"{}")
        if len(found) > MAX_SCRIPT_BYTES:
            raise ValueError(f"{pin} has {len(found)} bytes, more than the {MAX_SCRIPT_BYTES} of any script")
        script = json.loads(found)
        if not isinstance(script, dict):
            raise TypeError(f"{pin} holds {type(script).__name__}; expected an object")
        return script


def _here(event: Mapping[str, Any]) -> str:
    """Name the deployment, stage and step of a call; all calls of one polling have the same."""
    weights = [_weights(event, field).get(_target(event)) for field in _SHIFTS.values()]
    shown = [f"{weight:g}" if isinstance(weight, int | float) else "-" for weight in weights]
    return " ".join([_name(str(event.get("resourceArn"))), str(event.get("lifecycleStage")), *shown])


def _execution(event: Mapping[str, Any]) -> JsonObject:
    details = event.get("executionDetails")
    return details if isinstance(details, dict) else {}


def _target(event: Mapping[str, Any]) -> str:
    return str(_execution(event).get("targetServiceRevisionArn"))


def _weights(event: Mapping[str, Any], field: str) -> JsonObject:
    weights = _execution(event).get(field)
    return weights if isinstance(weights, dict) else {}


def _name(arn: str) -> str:
    """Return the last part of an ARN where it can be part of a key."""
    name = arn.rpartition("/")[2]
    return name if _SAFE.fullmatch(name) else "unreadable"


class Bucket:
    """A :class:`Store` in S3."""

    def __init__(self, name: str, s3: Any) -> None:
        self._name = name
        self._s3 = s3

    def read(self, key: str) -> bytes | None:
        try:
            body: bytes = self._s3.get_object(Bucket=self._name, Key=key)["Body"].read(MAX_SCRIPT_BYTES + 1)
        except self._s3.exceptions.NoSuchKey:
            return None
        return body

    def write(self, key: str, body: bytes) -> None:
        self._s3.put_object(Bucket=self._name, Key=key, Body=body)

    def claim(self, key: str, body: bytes) -> bytes:
        # Hooks of a stage run side by side, and the first of them decides for all.
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
        try:
            self._s3.put_object(Bucket=self._name, Key=key, Body=body, IfNoneMatch="*")
        except self._s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] not in {"PreconditionFailed", "ConditionalRequestConflict"}:
                raise
            written = self.read(key)
            if written is None:  # the other write is still under way
                raise
            return written
        return body

    def count(self, prefix: str, most: int) -> int:
        page = self._s3.list_objects_v2(Bucket=self._name, Prefix=prefix, MaxKeys=most)
        return int(page["KeyCount"])


class Apis:
    """What ECS and the load balancer show at the moment of a call."""

    def __init__(self, ecs: Any, balancers: Any) -> None:
        self._ecs = ecs
        self._balancers = balancers

    def __call__(self, deployment: str, revision: str) -> JsonObject:
        problems: list[str] = []

        def ask(what: str, call: Callable[[], list[JsonObject]]) -> JsonObject | None:
            try:
                found = call()
            except Exception as error:  # noqa: BLE001  # what can't be seen is part of the evidence, too
                problems.append(f"{what}: {error}"[:500])
                return None
            if not found:
                problems.append(f"{what}: nothing of that ARN")
                return None
            return found[0]

        seen = {
            "deployment": ask(
                "DescribeServiceDeployments",
                lambda: self._ecs.describe_service_deployments(serviceDeploymentArns=[deployment])[
                    "serviceDeployments"
                ],
            ),
            "revision": ask(
                "DescribeServiceRevisions",
                lambda: self._ecs.describe_service_revisions(serviceRevisionArns=[revision])[
                    "serviceRevisions"
                ],
            ),
        }
        entrance = production_entrance(seen["revision"])
        if entrance:
            seen["entrance"] = ask("ELB", lambda: self._entrance(entrance))
        seen["problems"] = problems  # type: ignore[assignment]
        plain: JsonObject = json.loads(json.dumps(seen, default=str))
        return plain

    def _entrance(self, arn: str) -> list[JsonObject]:
        if ":listener-rule/" in arn:
            rules: list[JsonObject] = self._balancers.describe_rules(RuleArns=[arn])["Rules"]
            return rules
        listeners: list[JsonObject] = self._balancers.describe_listeners(ListenerArns=[arn])["Listeners"]
        return listeners


def production_entrance(revision: Mapping[str, Any] | None) -> str | None:
    """Return the ARN of the listener's rule, or of the listener, that brings a revision its traffic."""
    balancers = (revision or {}).get("resolvedConfiguration", {}).get("loadBalancers") or [{}]
    arn = balancers[0].get("productionListenerRule")
    return arn if isinstance(arn, str) else None


_recorder: Recorder | None = None


def handler(event: JsonObject, context: Any) -> JsonObject:
    """Answer ECS (the Lambda function's entry)."""
    global _recorder  # noqa: PLW0603  # one for all calls of an execution environment
    at = time.time()
    if _recorder is None:
        # Only here: tests and rehearsals bring stores and APIs of their own.
        import boto3  # noqa: PLC0415

        bucket = Bucket(os.environ["BUCKET"], boto3.client("s3"))
        _recorder = Recorder(os.environ["HOOK"], bucket, Apis(boto3.client("ecs"), boto3.client("elbv2")))
    return _recorder(event, request_id=context.aws_request_id, at=at)
