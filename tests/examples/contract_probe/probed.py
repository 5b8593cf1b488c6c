"""The probe's plan, carried out on the rehearsal."""

import functools
from typing import Any

from examples.contract_probe.campaign import Campaign
from examples.contract_probe.evidence import Evidence
from examples.contract_probe.inference import Finding, infer
from examples.contract_probe.rehearsed import RehearsedAccount
from rehearsal.switches import Switches

# Fewer snapshots than in an account; the findings rest on what hooks record.
POLL_SECONDS = 30.0


def probe(switches: Switches, *, seed: int = 0) -> Evidence:
    """Carry the plan out to its end."""
    return Campaign(RehearsedAccount(switches, seed=seed), Evidence(), poll_seconds=POLL_SECONDS).run()


@functools.cache
def _kept() -> str:
    return probe(Switches()).model_dump_json(by_alias=True)


def default_evidence() -> Evidence:
    """Return what is seen with all defaults; a new copy each time, to be changed."""
    return Evidence.model_validate_json(_kept())


def found(evidence: Evidence) -> dict[str, Finding]:
    """Return the findings by switch."""
    return {finding.switch: finding for finding in infer(evidence)}


def value_and_why(evidence: Evidence, switch: str) -> tuple[str | None, str]:
    """Return what was found of one switch."""
    finding = found(evidence)[switch]
    return finding.value, finding.why


def hook_events(evidence: Evidence, step: str) -> list[Any]:
    """Return the recordings of a step's deployment."""
    arn = evidence.deployments[step].arn
    assert arn
    return [recording for recording in evidence.recordings if arn in recording.event]
