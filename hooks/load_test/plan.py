"""The run that is asked for: the settings and the route as one job, within what the organisation allows.

The job's own shape is the generator's, ``generator/src/load_generator/job.py``, which reads it with as much
distrust as this reads ``hookDetails``, and has limits of its operator's besides.
"""

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hooks.load_test.decision import Terms
from hooks.load_test.route import Route
from hooks.load_test.rules import Metric
from hooks.load_test.settings import LoadTestPolicy, LoadTestSettings, Piece
from hooks.load_test.verdict import Standards
from shared.clock import timestamp
from shared.errors import Misconfigured
from shared.revision import Revision

JOB_VERSION = 1

SENT_SHARE = 0.95
"""Of what was due the generator has to send so much, or it has not put green under that load."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything about a run but its number."""

    name: str
    """Of the run, before its number: the deployment and green's revision."""
    service: str
    """``cluster/service``."""
    settings: LoadTestSettings
    route: Route
    green: Revision
    blue: Revision | None

    def run(self, number: int) -> str:
        """Return the name of an attempt, from 1."""
        return f"{self.name}-{number}"

    def job(self, number: int, now: datetime) -> dict[str, Any]:
        """Return the job as the generator reads it."""
        settings = self.settings
        return {
            "version": JOB_VERSION,
            "run": self.run(number),
            "service": self.service,
            "target": self.route.url,
            "marker": settings.marker.header if settings.proof == "marker" else None,
            "arms": self._arms(),
            "load": rates(settings.load),
            "blueShare": settings.blue_share,
            "graceSeconds": settings.grace_seconds,
            "timeoutSeconds": settings.timeout_seconds,
            "requests": [
                {
                    **request.model_dump(mode="json", by_alias=True, exclude={"expect"}),
                    "expect": [_range(statuses) for statuses in request.expect],
                }
                for request in settings.requests
            ],
            "protectBlue": settings.protect_blue.model_dump(mode="json", by_alias=True),
            "startBefore": timestamp(now + timedelta(seconds=settings.start_within_seconds)),
        }

    def _arms(self) -> dict[str, dict[str, Any]]:
        header = self.route.header
        arms: dict[str, dict[str, Any]] = {
            "green": {"headers": {header.name: header.value}, "marker": self._marker("green")}
        }
        if self.blue is not None and self.settings.blue_share:
            arms["blue"] = {"headers": {}, "marker": self._marker("blue")}
        return arms

    def _marker(self, arm: str) -> str | None:
        if self.settings.proof == "none":
            return None
        revision = self.green if arm == "green" else self.blue
        assert revision is not None
        text: str = getattr(self.settings.marker, arm)
        # family:revision, the last part of task-definition/family:revision.
        definition = revision.task_definition_arn.rpartition("/")[2]
        known = {"{taskDefinition}": definition, "{revision}": revision.arn.id}
        for placeholder, value in known.items():
            text = text.replace(placeholder, value)
        return text or None


def rates(load: Sequence[Piece]) -> list[dict[str, float]]:
    """Write pieces as the generator has them: each from one rate to another."""
    written, rate = [], 0.0
    for piece in load:
        start = rate if piece.at is None else piece.at
        rate = piece.to if piece.to is not None else start
        written.append({"seconds": piece.seconds, "from": start, "to": rate})
    return written


def terms_of(settings: LoadTestSettings, *, has_blue: bool) -> Terms:
    """Return the settings, as far as they decide."""
    rules = settings.parsed_rules
    rates_wanted = [rule.limit for rule in rules if rule.metric is Metric.RATE and not rule.observe]
    return Terms(
        rules=rules,
        standards=Standards(
            minimum_samples=settings.minimum_samples,
            confidence=settings.confidence,
            max_lag_seconds=settings.max_lag_seconds,
            # Where a rule asks for more, what the generator did not send is not what green has broken it by.
            sent_share=max(SENT_SHARE, *rates_wanted),
            has_blue=has_blue,
        ),
        seconds=sum(piece.seconds for piece in settings.load),
        timeout_seconds=settings.timeout_seconds,
        poll_seconds=settings.poll_seconds,
        start_within_seconds=settings.start_within_seconds,
        attempts=settings.attempts,
        on_inconclusive=settings.on_inconclusive,
        on_generator_trouble=settings.on_generator_trouble,
    )


def check_allowed(settings: LoadTestSettings, policy: LoadTestPolicy, route: Route) -> None:
    """Hold what a service asks for against what the organisation allows; raises ``Misconfigured``."""
    peak = max(max(piece["from"], piece["to"]) for piece in rates(settings.load))
    blue = peak * settings.blue_share
    seconds = sum(piece.seconds for piece in settings.load)
    for key, asked, limit, name in (
        ("load", peak + blue, policy.max_requests_per_second, "maxRequestsPerSecond"),
        ("blueShare", blue, policy.max_blue_requests_per_second, "maxBlueRequestsPerSecond"),
        ("load", seconds, policy.max_seconds, "maxSeconds"),
    ):
        if asked > limit:
            raise Misconfigured(f"{key}: asks for {asked:g}, the policy's {name} is {limit:g}")
    for request in settings.requests:
        if request.method not in policy.allowed_methods:
            allowed = ", ".join(policy.allowed_methods)
            raise Misconfigured(
                f"requests: {request.method} is not among the policy's allowedMethods: {allowed}"
            )
        path = request.path.partition("?")[0]
        if not any(fnmatch.fnmatchcase(path, pattern) for pattern in policy.allowed_paths):
            allowed = ", ".join(policy.allowed_paths)
            raise Misconfigured(f"requests: {path!r} is not among the policy's allowedPaths: {allowed}")
        if any(name.lower() == route.header.name.lower() for name in request.headers):
            raise Misconfigured(
                f"requests: {route.header.name} is what leads to green; a request that has it by itself "
                "would lead blue's there too"
            )


def _range(statuses: str) -> list[int]:
    first, _, last = statuses.partition("-")
    if first.endswith("xx"):
        return [int(first[0]) * 100, int(first[0]) * 100 + 99]
    return [int(first), int(last or first)]
