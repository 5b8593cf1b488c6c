"""What a backtest says of runs that are past, in words, for the terminal and the page alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from hooks.canary_comparison.backtest import Hindsight, JudgeName
from rehearsal.report.wording import shown


@dataclass(frozen=True, slots=True)
class Judged:
    """One run, and what would have been said of it."""

    name: str
    said: Hindsight
    beside: Hindsight | None
    """By the other judge, where one is asked for."""


def headline(said: Hindsight) -> str:
    """Say in a line what would have become of a run."""
    refusal = said.refusal
    if refusal is None:
        if said.good_from is not None:
            return f"goes on, as good from minute {said.good_from} of {said.minutes}"
        return f"goes on after {said.minutes} minutes: {shown(said.reason, 2000)}"
    when = (
        f"refused when looking back at {said.minutes} minutes"
        if refusal.looking_back
        else f"refused at minute {refusal.minute} of {said.minutes}, {refusal.at:%H:%M} UTC"
    )
    before = f" (as good from minute {said.good_from})" if said.good_from is not None else ""
    return f"{when}{before}: {shown(refusal.reason, 2000)}"


def totals(judged: Sequence[Judged], beside: JudgeName | None) -> dict[str, Any]:
    """Count what became of the runs."""
    refused = [one for one in judged if one.said.refusal]
    held = [
        one.said.refusal.minute for one in judged if one.said.refusal and not one.said.refusal.looking_back
    ]
    good = sum(one.said.refusal is None and one.said.good_from is not None for one in judged)
    counted: dict[str, Any] = {
        "runs": len(judged),
        "minutes": sum(one.said.minutes for one in judged),
        "refused": len(refused),
        "refusedWhileHeld": len(held),
        "medianMinutesToRefuse": median(held) if held else None,
        "good": good,
        "wentOnOtherwise": len(judged) - len(refused) - good,
        "beside": None,
    }
    if beside is not None:
        by_other = [one for one in judged if one.beside is not None and one.beside.refusal]
        agree = sum(
            (one.said.refusal is None) == (one.beside.refusal is None) for one in judged if one.beside
        )
        counted["beside"] = {"judge": beside, "refused": len(by_other), "agree": agree}
    return counted


def told(totals: Mapping[str, Any]) -> list[str]:
    """Say the totals in sentences."""
    runs = totals["runs"]
    counted = f"{runs} {'run' if runs == 1 else 'runs'} of {totals['minutes']:,} minutes in all"
    ended = (
        f"{totals['refused']} refused, {totals['good']} good, {totals['wentOnOtherwise']} gone on otherwise"
    )
    lines = [f"{counted}: {ended}"]
    if totals["medianMinutesToRefuse"] is not None:
        lines.append(
            f"{totals['refusedWhileHeld']} refused while held, after "
            f"{totals['medianMinutesToRefuse']:g} minutes in the median"
        )
    if beside := totals["beside"]:
        lines.append(
            f"{beside['judge']} refuses {beside['refused']}; both judges agree on {beside['agree']} of {runs}"
        )
    return lines
