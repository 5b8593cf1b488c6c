"""The smoke test hook: whether green answers as it should, before anybody else asks it.

::

    where ─▶ may it be asked? ─▶ ask each check once ─▶ judge, decide ─▶ answer
    (settings)   (address)            (probe)             (decision)

It changes nothing, so there is nothing to restore, and a call that comes twice asks twice.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from hooks.smoke_test.address import Origin, check_allowed
from hooks.smoke_test.decision import Answer, Expected, Terms, decide, judge
from hooks.smoke_test.probe import ask, open_door
from hooks.smoke_test.settings import SmokeTestPolicy, SmokeTestSettings
from shared.errors import Misconfigured
from shared.hook import Call, lifecycle_hook, logger
from shared.lifecycle import Stage
from shared.response import Result
from shared.revision import Revision

SmokeTestCall = Call[SmokeTestSettings, SmokeTestPolicy]


def replay(inputs: Mapping[str, Any]) -> Result:
    """Decide again what a record says was decided."""
    marker = inputs["terms"]["marker"]
    terms = Terms(**{**inputs["terms"], "marker": marker and tuple(marker)})
    findings = [
        judge(Expected(**expected), Answer(**answer), terms)
        for expected, answer in zip(inputs["expected"], inputs["answers"], strict=True)
    ]
    return decide(findings, terms, inputs["attempt"])


@lifecycle_hook(
    "smoke_test",
    stages={Stage.POST_TEST_TRAFFIC_SHIFT, Stage.POST_PRODUCTION_TRAFFIC_SHIFT},
    settings=SmokeTestSettings,
    policy=SmokeTestPolicy,
    replay=replay,
)
def handler(call: SmokeTestCall) -> Result:
    """Answer one call of ECS."""
    origin, terms, expected = _origin(call), _terms(call), _expected(call.settings)
    answers = _ask(call, origin, terms, expected)
    findings = [judge(one, answer, terms) for one, answer in zip(expected, answers, strict=True)]
    attempt = _attempt(call)
    call.evidence.inputs = {
        "expected": [asdict(one) for one in expected],
        "answers": [asdict(answer) for answer in answers],
        "terms": asdict(terms),
        "attempt": attempt,
    }
    rows = [
        [one.path, finding.standing, finding.text] for one, finding in zip(expected, findings, strict=True)
    ]
    call.evidence.tables = [{"title": "Answers", "columns": ["path", "verdict", "why"], "rows": rows}]
    return decide(findings, terms, attempt)


def _origin(call: SmokeTestCall) -> Origin:
    if call.settings.url is None:
        raise Misconfigured("url: nothing says where green is asked; set it in hookDetails")
    origin = Origin.parse(call.settings.url)
    check_allowed(origin, call.policy.allowed_hosts)
    return origin


def _terms(call: SmokeTestCall) -> Terms:
    settings = call.settings
    return Terms(
        marker=_marker(call) if settings.proof == "marker" else None,
        max_milliseconds=settings.max_milliseconds,
        attempts=settings.attempts,
        wait_seconds=settings.wait_seconds,
    )


def _marker(call: SmokeTestCall) -> tuple[str, str]:
    """Return the header that green's answers have, and what it says."""
    marker, deployment = call.settings.marker, call.deployment
    value = _filled(marker.green, deployment.green)
    blue = deployment.blue
    call.evidence.blue = str(blue.arn) if blue else None
    if blue and _filled(marker.green, blue) == value:
        raise Misconfigured(
            f"marker: blue and green have one task definition, so both say {marker.header}: {value}; let the "
            "service answer with its service revision's id, and set marker.green to {revision}"
        )
    return marker.header, value


def _filled(text: str, revision: Revision) -> str:
    # family:revision, the last part of task-definition/family:revision.
    definition = revision.task_definition_arn.rpartition("/")[2]
    return text.replace("{taskDefinition}", definition).replace("{revision}", revision.arn.id)


def _expected(settings: SmokeTestSettings) -> list[Expected]:
    return [
        Expected(
            method=check.method,
            path=check.path,
            status=check.expect_status,
            text=check.body_contains,
            headers=check.expect_headers,
        )
        for check in settings.checks
    ]


def _ask(call: SmokeTestCall, origin: Origin, terms: Terms, expected: list[Expected]) -> list[Answer]:
    settings, door = call.settings, open_door(origin)
    marker = [terms.marker[0]] if terms.marker else []
    answers = []
    for one in expected:
        answer = ask(
            door,
            one,
            headers={settings.header.name: settings.header.value} if settings.header else {},
            wanted=[*marker, *one.headers],
            timeout_seconds=settings.timeout_seconds,
        )
        logger.info(f"{one.method} {origin}{one.path}: {answer.failure or answer.status}")
        answers.append(answer)
    return answers


def _attempt(call: SmokeTestCall) -> int:
    """Return which attempt this is; whoever writes the state can make there be more or fewer."""
    before = call.state.get("attempts")
    if isinstance(before, bool) or not isinstance(before, int | float) or not 0 < before < 1000:
        return 1
    return int(before) + 1
