"""The image trust hook: which images may run, and whether ECS started exactly those.

::

    which containers ─▶ by which policy ─▶ judge ◀─▶ fetch ─▶ what was admitted ─▶ decide ─▶ answer
     (containers)      (policy_document)  (judging)  (sources)    (bindings)      (decision)

At PRE_SCALE_UP nothing of green runs yet: what is refused here never starts. At POST_SCALE_UP green runs
without traffic, and ECS has recorded the digests it started: they must be those that were admitted.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from hooks.image_trust import bindings
from hooks.image_trust.containers import Containers, containers
from hooks.image_trust.decision import Standing, Terms, decide
from hooks.image_trust.finding import Digest, Rejected
from hooks.image_trust.judging import Circumstances, Judged, Verdict, judge
from hooks.image_trust.pattern import matches
from hooks.image_trust.policy_document import Loaded, load_policy
from hooks.image_trust.policy_source import read_source
from hooks.image_trust.self_check import fails_open
from hooks.image_trust.settings import DEFAULT_POLICY, ImageTrustPolicy, ImageTrustSettings, Offered
from hooks.image_trust.sources import Sources, ask_nobody
from hooks.image_trust.tables import tables
from shared.errors import HookError, JsonObject, Misconfigured
from shared.hook import Call, lifecycle_hook, logger
from shared.lifecycle import Stage
from shared.response import Proceed, Result
from shared.revision import Revision
from shared.settings import problems

POLICY_VARIABLE = "IMAGE_POLICY"
POLICY_SHA256_VARIABLE = "IMAGE_POLICY_SHA256"
FUNCTION_VARIABLE = "AWS_LAMBDA_FUNCTION_NAME"

ImageTrustCall = Call[ImageTrustSettings, ImageTrustPolicy]


def replay(inputs: Mapping[str, Any]) -> Result:
    """Decide again what a record says was decided."""
    return decide(
        [
            Standing(
                container=judged["container"],
                verdict=judged["verdict"],
                observed=judged["observed"],
                text=judged["finding"]["text"],
            )
            for judged in inputs["containers"]
        ],
        inputs["warnings"],
        Terms(**inputs["terms"]),
        datetime.fromisoformat(inputs["now"]),
        datetime.fromisoformat(inputs["since"]),
    )


def restore(call: ImageTrustCall) -> Result:
    """Let blue come back: it ran before, and a policy of today does not stop the way to safety.

    What today's policy refuses without looking anything up, such as a banned digest, is logged for whoever
    deploys next. No registry is asked: a slow one must not hold up a rollback.
    """
    try:
        blue = call.deployment.blue
        if blue is None:
            return Proceed("rollback: nothing ran before")
        call.evidence.blue = str(blue.arn)
        policy = _policy(call)
        found = _containers(call, blue, policy)
        judged = judge(found.judged, _circumstances(call, policy), ask_nobody)
    except HookError as error:
        return Proceed(f"rollback: what ran before is not judged, and could not be: {error}")
    refused = [one for one in judged if one.verdict is Verdict.DENY]
    for one in refused:
        logger.warning(f"rolled back to all the same: {one.container}: {one.finding.text}")
    return Proceed(
        "rollback: what ran before is not refused"
        + (f"; today's policy would: {', '.join(one.container for one in refused)}" if refused else "")
    )


@lifecycle_hook(
    "image_trust",
    stages={Stage.PRE_SCALE_UP, Stage.POST_SCALE_UP},
    settings=ImageTrustSettings,
    policy=ImageTrustPolicy,
    restore=restore,
    replay=replay,
)
def handler(call: ImageTrustCall) -> Result:
    """Answer one call of ECS."""
    policy = _policy(call)
    try:
        found = _containers(call, call.deployment.green, policy)
    except Rejected as error:
        if policy.policy.mode != "observe":
            raise
        logger.warning(f"only observed, and would have been refused: {error}")
        return Proceed(f"only observed, and would have been refused: {error}")
    judged = _judge(call, policy, found)
    warnings = fails_open(call.deployment.hooks, call.environment.get(FUNCTION_VARIABLE, ""), found.judged)
    blue = call.deployment.blue_arn
    call.evidence.blue = str(blue) if blue else None
    _log(judged, warnings)
    inputs = _inputs(call, policy, found, judged, warnings)
    result = replay(inputs)
    if isinstance(result, Proceed):
        _bind(call, judged)
    # Only now: where the binding fails, the answer does not follow from them.
    call.evidence.inputs = inputs
    call.evidence.tables = tables(judged)
    return result


def _policy(call: ImageTrustCall) -> Loaded:
    """Load the document that the service has chosen among those it is offered."""
    chosen, service = call.settings.policy, _service(call)
    offered = {
        name: one
        for name, one in {**_default(call.environment), **call.policy.policies}.items()
        if any(matches(glob, service) for glob in one.services)
    }
    if chosen not in offered:
        raise Misconfigured(
            f"policy: {service} is offered no {chosen!r}, but {', '.join(sorted(offered)) or 'none at all'}"
        )
    source, sha256 = offered[chosen].source, offered[chosen].sha256
    return load_policy(read_source(source), sha256=sha256, source=source)


def _default(environment: Mapping[str, str]) -> Mapping[str, Offered]:
    """Return the document that the function's environment names, if it does."""
    source = environment.get(POLICY_VARIABLE, "")
    if not source:
        return {}
    sha256 = environment.get(POLICY_SHA256_VARIABLE) or None
    try:
        return {DEFAULT_POLICY: Offered(source=source, sha256=sha256)}
    except ValidationError as error:
        variables = f"{POLICY_VARIABLE} and {POLICY_SHA256_VARIABLE}"
        raise Misconfigured(f"{variables}: {'; '.join(problems(Offered, error))}") from error


def _service(call: ImageTrustCall) -> str:
    return f"{call.event.service.cluster}/{call.event.service.service}"


def _containers(call: ImageTrustCall, revision: Revision, policy: Loaded) -> Containers:
    definition = call.deployment.task_definition(revision)
    return containers(
        definition,
        revision.images,
        policy.policy.injected,
        on_fargate=revision.is_on_fargate,
        architecture=revision.architecture,
    )


def _judge(call: ImageTrustCall, policy: Loaded, found: Containers) -> tuple[Judged, ...]:
    circumstances = _circumstances(call, policy)
    if circumstances.is_running:
        circumstances = replace(circumstances, bound=_bound(call, found))
    return judge(found.judged, circumstances, Sources(policy.policy).fetch)


def _circumstances(call: ImageTrustCall, policy: Loaded) -> Circumstances:
    return Circumstances(
        policy=policy.policy,
        service=_service(call),
        now=call.now,
        require_digest=call.settings.require_digest,
        is_running=call.event.stage is not Stage.PRE_SCALE_UP,
    )


def _bound(call: ImageTrustCall, found: Containers) -> Mapping[str, Digest]:
    """Return what was admitted under tags before anything ran."""
    if all("@" in container.image for container in found.judged):
        return {}
    return bindings.read(_binding(call), str(call.event.target))


def _bind(call: ImageTrustCall, judged: tuple[Judged, ...]) -> None:
    """Remember which digests were admitted under tags: ECS has to start these."""
    digests = {one.container: one.digest for one in judged if one.bind and one.digest}
    if digests and bindings.keep(_binding(call), str(call.event.target), digests):
        call.evidence.changes.append(f"bound {', '.join(sorted(digests))} to what their tags led to")


def _binding(call: ImageTrustCall) -> str:
    prefix = call.environment.get(bindings.PREFIX_VARIABLE, "")
    if not prefix:
        raise Misconfigured(f"{bindings.PREFIX_VARIABLE} is not set, and images are named by tag")
    return bindings.name_of(prefix, call.event)


def _inputs(
    call: ImageTrustCall,
    policy: Loaded,
    found: Containers,
    judged: tuple[Judged, ...],
    warnings: tuple[str, ...],
) -> JsonObject:
    """Return what is decided on, for the record."""
    return {
        "policy": {"name": policy.policy.name, "sha256": policy.sha256},
        "containers": [one.write() for one in judged],
        "injected": list(found.injected),
        "warnings": list(warnings),
        "terms": asdict(
            Terms(
                policy=policy.policy.name,
                wait_minutes=call.settings.wait_minutes,
                poll_seconds=call.settings.poll_seconds,
                on_trouble=call.settings.on_trouble,
                self_check=call.settings.self_check,
            )
        ),
        "now": call.now.isoformat(),
        "since": call.since.isoformat(),
    }


def _log(judged: tuple[Judged, ...], warnings: tuple[str, ...]) -> None:
    """Say what needs somebody's attention."""
    for warning in warnings:
        logger.warning(f"images may get past this hook: {warning}")
    for one in judged:
        logger.info(
            f"{one.container}: {one.verdict}: {one.finding.text}",
            extra={"image": one.image, "digest": one.digest, "rule": one.rule, "code": one.finding.code},
        )
