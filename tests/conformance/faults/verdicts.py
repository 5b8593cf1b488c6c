"""What came of a call that went wrong, in the words of the fault matrix, and what must hold in every case.

===================  =============================================================================
SUCCEEDED            the stage ended so, at the very invocation in which the call went wrong
waits, SUCCEEDED     that invocation answered IN_PROGRESS, and a later one ended the stage
FAILED: why          the hook refused
crashes              ECS got no reply, and turned back or, on the way back, gave up
done, fails: why     of a function on a schedule; Lambda or the schedule calls it again
—                    it can't go wrong so: there is no list to shorten, nothing earlier to be shown
===================  =============================================================================

After a dot stands what else is not as it would have been without the fault.
"""

import re
from typing import Any

from rehearsal.model import Status
from shared.hook import EVIDENCE_SECONDS, RESERVE_SECONDS
from tests.conformance.faults.fault_kinds import Kind
from tests.conformance.faults.faulted_runs import Played, Site, Visit
from tests.shared.checkout import assert_valid

NEVER = "—"
MOST_CHARACTERS = 150

# What a function on a schedule may raise: it is called again, or somebody is told.
_ON_PURPOSE = ("Transient: ", "Misconfigured: ")

_ARN = re.compile(r"arn:aws:[a-z0-9-]+:[a-z0-9-]*:\d*:(?:[^\s,;:/]+(?:/|:(?=\S)))*")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:]+Z")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def cell(played: Played, without: Played) -> str:
    """Say what came of it.

    Parameters
    ----------
    without
        The same run without the fault.
    """
    struck = played.struck
    if struck is None:
        return NEVER
    words = _scheduled(played, struck) if struck.called is None else _answered(played, struck)
    expected = _expected_status(struck, words, without)
    if played.last.status != expected:
        words += f" · {played.last.status}"
    return words if played.left in {"", without.left} else f"{words} · {played.left}"


def _answered(played: Played, struck: Visit) -> str:
    if struck.error:
        return "crashes"
    end = played.verdict_after(struck)
    waits = "waits, " if end is not struck else ""
    if end is None or end.called is None:
        return f"{waits}and is not asked again"
    reason = _reason(played, end)
    if end.called.answer != "SUCCEEDED":
        return f"{waits}{end.called.answer}: {reason}"
    if "although" in reason or "would have" in reason or "is proceed" in reason:
        return f"{waits}SUCCEEDED: {reason}"
    return f"{waits}SUCCEEDED"


def _scheduled(played: Played, struck: Visit) -> str:
    if struck.error:
        # "Task timed out" and "Runtime exited" are Lambda's own words.
        return f"fails: {shortened(struck.error.removeprefix('FunctionDied: '), played)}"
    return "done"


def _expected_status(struck: Visit, words: str, without: Played) -> str:
    if struck.called is None:
        return without.last.status
    if struck.direction == "rollback":
        return Status.ROLLBACK_FAILED if words == "crashes" else without.last.status
    failed = "FAILED" in words or words == "crashes"
    return Status.ROLLBACK_SUCCESSFUL if failed else without.last.status


def _reason(played: Played, visit: Visit) -> str:
    record = visit.called and visit.called.record
    return shortened(str(record["verdict"]["reason"]), played) if record else "no record"


def shortened(text: str, played: Played) -> str:
    """Leave out what differs from run to run, and ends nobody's question: ARNs, ids, times."""
    text = _TIME.sub("TIME", _DIGEST.sub("DIGEST", text))
    for deployment in played.deployments:
        for source in deployment.sources:
            text = text.replace(source.arn.id, "BLUE")
        text = text.replace(deployment.target.arn.id, "GREEN").replace(deployment.arn.id, "DEPLOYMENT")
    text = " ".join(_ARN.sub("", text).replace("|", "/").split())
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"


def assert_sound(played: Played, site: Site | None = None, kind: Kind | None = None) -> None:
    """Hold a run against what holds of every hook, whatever goes wrong."""
    of_itself = any("crash" in actor for actor in played.actors)
    for visit in played.visits:
        crashed = visit is played.struck and kind is not None and kind.crashes
        if of_itself and (visit.error or "").startswith("FunctionDied: Runtime exited"):
            continue
        if visit.called is None:
            assert crashed or _raised_on_purpose(visit), f"{site}: {visit.function} raises {visit.error}"
            continue
        if crashed:
            assert visit.error, f"{site}: the crash was survived"
            continue
        assert visit.error is None, f"{site}: {visit.function} raises {visit.error}"
        assert_valid(visit.reply)
        assert visit.direction != "rollback" or visit.reply["hookStatus"] != "FAILED", f"{site}: refused"
        reason = _reason_of(visit.called.record)
        assert not reason.startswith("a defect in the hook"), f"{site}: {reason}"
    if played.struck is not None and kind is not None and kind.name == "hang":
        # What is kept back from the time budget is what it takes to answer.
        assert played.struck.seconds < EVIDENCE_SECONDS + RESERVE_SECONDS
    if played.last.status == Status.ROLLBACK_FAILED:
        assert any(visit.direction == "rollback" and visit.error for visit in played.visits)


def _raised_on_purpose(visit: Visit) -> bool:
    return visit.error is None or visit.error.startswith((*_ON_PURPOSE, "FunctionDied: Task timed out"))


def _reason_of(record: dict[str, Any] | None) -> str:
    return str(record["verdict"]["reason"]) if record else ""
