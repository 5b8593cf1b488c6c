"""One HTML page of a backtest, made like the report of a rehearsal: self-contained, without scripts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rehearsal.report.decisions import charts
from rehearsal.report.hindsight import Judged, headline, told
from rehearsal.report.page import MAX_IN_DETAIL, MAX_UNFOLDED, TEMPLATES
from shared.exhibits import Chart


@dataclass(frozen=True, slots=True)
class RunView:
    """What the template shows of one run."""

    anchor: str
    name: str
    one: Judged
    headline: str
    beside: str
    tone: str
    answer: str
    in_detail: bool
    unfolded: bool
    charts: list[Chart]


def page(file: str, judged: Sequence[Judged], totals: Mapping[str, Any]) -> str:
    """Return the backtest of *file* as HTML; equal verdicts give equal bytes.

    Of more than sixty runs the page draws sixty, those that were refused before all others.
    """
    by_need = sorted(range(len(judged)), key=lambda index: (judged[index].said.refusal is None, index))
    in_detail = set(by_need[:MAX_IN_DETAIL])
    unfolded = set(by_need[:MAX_UNFOLDED])
    return TEMPLATES.get_template("backtest.html").render(
        file=file,
        views=[
            _view(one, index, in_detail=index in in_detail, unfolded=index in unfolded)
            for index, one in enumerate(judged)
        ],
        totals=totals,
        told=told(totals),
        left_out=len(judged) - len(in_detail),
    )


def _view(one: Judged, index: int, *, in_detail: bool, unfolded: bool) -> RunView:
    refused = one.said.refusal is not None
    return RunView(
        anchor=f"run-{index + 1}",
        name=one.name,
        one=one,
        headline=headline(one.said),
        beside="" if one.beside is None else headline(one.beside),
        tone="bad" if refused else "good" if one.said.good_from is not None else "back",
        answer="refused" if refused else "good" if one.said.good_from is not None else "goes on",
        in_detail=in_detail,
        unfolded=unfolded,
        charts=charts({"charts": one.said.charts()}, one.said.start) if in_detail else [],
    )
