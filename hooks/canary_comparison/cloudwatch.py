"""CloudWatch, as far as the comparison uses it: many series, minute by minute, in one call.

A look costs one call; a second one comes before it where blue's own response times say which requests are
slow. Only more than 500 queries, or days of minutes, take more.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from hooks.canary_comparison import sources
from hooks.canary_comparison.observation import MINUTE, Observation
from hooks.canary_comparison.settings import Chosen, lag_seconds
from hooks.canary_comparison.sources import Answer, Page, Part, Queries, Query, Stat, Threshold
from hooks.canary_comparison.window import Window
from shared.clients import client
from shared.errors import Misconfigured, translated
from shared.revision import Revision

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch.type_defs import (
        GetMetricDataOutputTypeDef,
        MetricDataQueryTypeDef,
        MetricStatTypeDef,
    )

PAGE_POINTS = sources.MAX_POINTS

# A call asks for no more than a page can hold, but pages need not be full. Whoever sends more than this is
# not CloudWatch.
MAX_PAGES = 50


def observe(
    metrics: Sequence[Chosen], green: Revision, blue: Revision, window: Window, now: datetime
) -> dict[str, Observation]:
    """Return what CloudWatch knows of each metric, by its name.

    Raises
    ------
    Misconfigured
        Where the revisions can't be told apart by a metric, or the role may not read it.
    Transient
        Where asking again may help.
    """
    closed = {
        metric.name: window.closed_minutes(now, timedelta(seconds=lag_seconds(metric))) for metric in metrics
    }
    threshold = Threshold(None)
    if any(sources.leaves_threshold_to_blue(metric) and closed[metric.name] for metric in metrics):
        threshold = _threshold(green, blue, window.start)
    queries, compared = sources.plan(metrics, green, blue, threshold)
    minutes = sorted(set().union(*closed.values()))
    found = _ask(queries, minutes[0], minutes[-1] + MINUTE) if minutes else {}
    return {one.metric.name: sources.observed(one, found, closed[one.metric.name]) for one in compared}


def _threshold(green: Revision, blue: Revision, start: datetime) -> Threshold:
    first, length = sources.hour_before(start)
    return sources.threshold_of(_ask(sources.hour_queries(green, blue, length), first, first + length))


def _ask(queries: Queries, start: datetime, end: datetime) -> Mapping[str, Answer]:
    found: dict[str, Answer] = {}
    for call in queries.calls((end - start) // MINUTE):
        found |= sources.answers(run(call, start, end), call, start, end)
    return found


def run(queries: Sequence[Query], start: datetime, end: datetime) -> list[Page]:
    """Return CloudWatch's pages on *queries*, of the time from *start* up to, and without, *end*."""
    about = _about(queries)
    found: list[Page] = []
    with translated("cloudwatch:GetMetricData", about):
        pages = (
            client("cloudwatch")
            .get_paginator("get_metric_data")
            .paginate(
                MetricDataQueries=[_written(query) for query in queries],
                StartTime=start,
                EndTime=end,
                ScanBy="TimestampAscending",
                PaginationConfig={"PageSize": PAGE_POINTS},
            )
        )
        for page in pages:
            if len(found) == MAX_PAGES:
                raise Misconfigured(f"cloudwatch:GetMetricData on {about}: more than {MAX_PAGES} pages")
            found.append(_read(page))
    return found


def _about(queries: Sequence[Query]) -> str:
    """Name the first namespaces that are asked about."""
    names = sorted({query.asks.namespace for query in queries if isinstance(query.asks, Stat)})
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _written(query: Query) -> "MetricDataQueryTypeDef":
    asks = query.asks
    if not isinstance(asks, Stat):
        return {"Id": query.id, "Expression": asks.text, "ReturnData": query.returned}
    stat: MetricStatTypeDef = {
        "Metric": {
            "Namespace": asks.namespace,
            "MetricName": asks.name,
            "Dimensions": [{"Name": name, "Value": value} for name, value in asks.dimensions],
        },
        "Period": asks.period_minutes * 60,
        "Stat": asks.statistic,
    }
    if asks.unit:
        stat["Unit"] = asks.unit  # type: ignore[typeddict-item]  # checked by CloudWatch, whose list may grow
    return {"Id": query.id, "MetricStat": stat, "ReturnData": query.returned}


def _read(page: "GetMetricDataOutputTypeDef") -> Page:
    return Page(
        parts=tuple(
            Part(
                query=result["Id"],
                # Only the most cautious reading of an answer without status is safe.
                status=result.get("StatusCode", "InternalError"),
                points=tuple(
                    zip(
                        result.get("Timestamps", []),
                        map(float, result.get("Values", [])),
                        strict=True,
                    )
                ),
                label=result.get("Label", ""),
                messages=tuple(message.get("Value", "") for message in result.get("Messages", [])),
            )
            for result in page.get("MetricDataResults", [])
        ),
        messages=tuple(message.get("Value", "") for message in page.get("Messages", [])),
    )
