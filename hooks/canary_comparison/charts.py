"""Pictures of a decision, in the shape that ``shared.record`` describes: both revisions, and the evidence."""

from collections.abc import Sequence
from typing import Any

from hooks.canary_comparison.judge import Finding, Verdict
from hooks.canary_comparison.observation import MINUTE, Observation, Reading, Split

# A record is one line in a log. The numbers of every metric are among its inputs.
MAX_METRICS = 10


def charts(observations: Sequence[Observation], findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Draw each metric minute by minute, and beside it the evidence that green is worse.

    Of very many metrics those that are worse come before others.
    """
    found = {finding.metric: finding for finding in findings}
    worse = {name for name, finding in found.items() if finding.verdict is Verdict.WORSE}
    known = [observation for observation in observations if observation.minutes]
    drawn = []
    for observation in sorted(known, key=lambda one: one.metric not in worse)[:MAX_METRICS]:
        drawn.append(_both(observation))
        finding = found.get(observation.metric)
        if finding is not None and finding.evidence:
            drawn.append(_evidence(observation, finding))
    return drawn


def _both(observation: Observation) -> dict[str, Any]:
    green: list[list[Any]] = []
    blue: list[list[Any]] = []
    for minute in observation.minutes:
        at = minute.start.isoformat()
        match minute:
            case Split(_, green_bad, green_total, blue_bad, blue_total):
                green.append([at, round(100 * green_bad / green_total, 4)] if green_total else [at, None])
                blue.append([at, round(100 * blue_bad / blue_total, 4)] if blue_total else [at, None])
            case Reading(_, of_green, of_blue):
                green.append([at, of_green])
                blue.append([at, of_blue])
    return {
        "title": observation.metric,
        "unit": "%" if observation.kind.is_counted else "",
        "series": [
            {"name": name, "points": [point for point in points if point[1] is not None]}
            for name, points in (("green", green), ("blue", blue))
        ],
        "thresholds": [],
    }


def _evidence(observation: Observation, finding: Finding) -> dict[str, Any]:
    # Of a minute, it is there at its end.
    starts = [minute.start for minute in observation.minutes]
    points = [
        [(start + MINUTE).isoformat(), round(log, 3)]
        for start, log in zip(starts, finding.evidence, strict=True)
    ]
    return {
        "title": f"evidence that green is worse: {observation.metric}",
        "unit": "log10",
        "series": [{"name": "evidence", "points": points}],
        "thresholds": [{"name": "certain", "value": round(finding.needed, 3)}],
    }
