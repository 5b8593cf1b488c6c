"""What an Application Load Balancer tells CloudWatch of a target group each minute.

Nothing is told of what did not happen, not even that it was nothing. A request that no target accepts is
counted as one, and as a connection error; the load balancer's own answer to it (HTTPCode_ELB_5XX_Count) is of
no target group.

Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from moto.cloudwatch.models import cloudwatch_backends

from rehearsal.aws.cloud import Cloud
from rehearsal.aws.cloudwatch import Sample, record
from rehearsal.model import ServiceRevision

NAMESPACE = "AWS/ApplicationELB"


def put_minute(
    cloud: Cloud,
    revision: ServiceRevision,
    minute: datetime,
    *,
    requests: int,
    answers: Mapping[int, int],
    connection_errors: int,
    seconds: Sequence[tuple[float, int]],
) -> None:
    """Publish a minute of a revision, for each target group that it has.

    Parameters
    ----------
    minute
        Its beginning.
    answers
        Those of targets, by the first digit of their status.
    seconds
        What targets took to begin their answers, and how many of them did.
    """
    counts = {
        "RequestCount": requests,
        **{f"HTTPCode_Target_{digit}XX_Count": answers.get(digit, 0) for digit in (2, 3, 4, 5)},
        "TargetConnectionErrorCount": connection_errors,
    }
    at = minute.timestamp()
    samples = {
        name: [Sample.of(float(count), "Count", at)] if count else [] for name, count in counts.items()
    }
    samples["TargetResponseTime"] = [
        Sample(at, value * count, count, value, value, "Seconds") for value, count in seconds if count
    ]
    backend = cloudwatch_backends[cloud.account][cloud.region]
    for balancer in revision.resolved_load_balancers or []:
        # .../listener-rule/app/NAME/ID/LISTENER/RULE
        rule = balancer["productionListenerRule"].rpartition(":")[2].split("/")
        dimensions = {
            "LoadBalancer": "/".join(rule[1:4]),
            "TargetGroup": balancer["targetGroupArn"].rpartition(":")[2],
        }
        for name, found in samples.items():
            if found:
                record(backend, NAMESPACE, name, dimensions, *found)
