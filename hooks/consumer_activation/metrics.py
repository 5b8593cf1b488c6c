"""CloudWatch, as far as activation uses it: a queue's minutes."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from hooks.consumer_activation.monitor import MINUTE, Minute
from shared.clients import client
from shared.errors import Misconfigured, translated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mypy_boto3_cloudwatch.literals import StatisticType
    from mypy_boto3_cloudwatch.type_defs import MetricDataQueryTypeDef

HISTORY = timedelta(hours=1)

# An hour of history, a drain of half a day and a watch of two hours at most: three values for each of 900
# minutes, where a page holds 100,800. Whoever answers with more pages is not CloudWatch.
MAX_PAGES = 5

_METRICS: "Sequence[tuple[str, str, StatisticType]]" = (
    ("oldest", "ApproximateAgeOfOldestMessage", "Maximum"),
    ("waiting", "ApproximateNumberOfMessagesVisible", "Maximum"),
    ("deleted", "NumberOfMessagesDeleted", "Sum"),
)


def minutes(queue: str, start: datetime, end: datetime) -> list[Minute]:
    """Return what CloudWatch has of a queue's minutes, oldest first, without those it knows nothing of."""
    found: dict[str, dict[datetime, float]] = {label: {} for label, *_ in _METRICS}
    with translated("cloudwatch:GetMetricData", queue):
        pages = (
            client("cloudwatch")
            .get_paginator("get_metric_data")
            .paginate(
                MetricDataQueries=[_query(queue, *metric) for metric in _METRICS],
                StartTime=_whole_minute(start),
                EndTime=end,
                ScanBy="TimestampAscending",
            )
        )
        for number, page in enumerate(pages):
            if number == MAX_PAGES:
                raise Misconfigured(f"cloudwatch:GetMetricData on {queue}: more than {MAX_PAGES} pages")
            for result in page["MetricDataResults"]:
                at = (moment.astimezone(UTC) for moment in result["Timestamps"])
                found[result["Id"]].update(zip(at, result["Values"], strict=True))
    return [
        Minute(
            start=moment,
            oldest_seconds=found["oldest"].get(moment),
            waiting=found["waiting"].get(moment),
            deleted=found["deleted"].get(moment),
        )
        for moment in sorted(set().union(*found.values()))
    ]


def _query(queue: str, label: str, name: str, statistic: "StatisticType") -> "MetricDataQueryTypeDef":
    return {
        "Id": label,
        "MetricStat": {
            "Metric": {
                "Namespace": "AWS/SQS",
                "MetricName": name,
                "Dimensions": [{"Name": "QueueName", "Value": queue}],
            },
            "Period": int(MINUTE.total_seconds()),
            "Stat": statistic,
        },
    }


def _whole_minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)
