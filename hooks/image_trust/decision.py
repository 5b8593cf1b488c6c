"""Decide on a deployment from what was found about its containers.

::

    no container, or any refused ───────────────────────▶ Refuse
    any not to be said yet ── within waitMinutes ───────▶ Wait
                            └─ after them ── onTrouble ─▶ Refuse (or Proceed, where the policy lets it)
    else ───────────────────────────────────────────────▶ Proceed

What is only observed decides nothing, and is said all the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.response import Proceed, Refuse, Result, Wait

# The rest is in the record: a reason is one line for a person.
MAX_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """By what a deployment is decided."""

    policy: str
    """The policy's name."""
    wait_minutes: float
    poll_seconds: float
    on_trouble: str
    self_check: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How one container stands."""

    container: str
    verdict: str
    """``pass``, ``deny``, ``indeterminate``, ``exempt``."""
    observed: bool
    text: str


def decide(
    standings: Sequence[Standing], warnings: Sequence[str], terms: Terms, now: datetime, since: datetime
) -> Result:
    """Decide.

    Parameters
    ----------
    warnings
        What in the service's configuration fails open.
    since
        When ECS first called for this stage.
    """
    if not standings:
        return Refuse("no container was judged")
    enforced = [standing for standing in standings if not standing.observed]
    if denied := [standing for standing in enforced if standing.verdict == "deny"]:
        return Refuse(_named(denied))
    if warnings and terms.self_check == "refuse":
        return Refuse(f"the service could be deployed past this hook: {'; '.join(warnings)}")
    if open_ := [standing for standing in enforced if standing.verdict not in {"pass", "exempt"}]:
        waited = now - since
        if waited < timedelta(minutes=terms.wait_minutes):
            return Wait(_named(open_), terms.poll_seconds)
        reason = f"still not known after {waited}: {_named(open_)}"
        return Proceed(f"onTrouble is proceed: {reason}") if terms.on_trouble == "proceed" else Refuse(reason)
    return Proceed(_admitted(standings, terms.policy))


def _admitted(standings: Sequence[Standing], policy: str) -> str:
    count = len(standings)
    exempt = [standing.container for standing in standings if standing.verdict == "exempt"]
    observed = [standing for standing in standings if standing.observed and standing.verdict in _NOT_ADMITTED]
    return (
        f"policy {policy!r} admits {count} container{'s' if count > 1 else ''}"
        + (f", by exemption: {', '.join(exempt)}" if exempt else "")
        + (f"; only observed, and would have been refused: {_named(observed)}" if observed else "")
    )


_NOT_ADMITTED = frozenset({"deny", "indeterminate"})


def _named(standings: Sequence[Standing]) -> str:
    said = "; ".join(f"{standing.container}: {standing.text}" for standing in standings[:MAX_NAMED])
    more = len(standings) - MAX_NAMED
    return said + (f"; and {more} more" if more > 0 else "")
