"""Deployment hours once more: the decision is pure, and a record is enough to compute it again."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from examples.own_hook.handler import Hours
from shared.hook import Call, lifecycle_hook
from shared.lifecycle import Stage
from shared.response import Proceed, Refuse, Result


def decide(now: datetime, zone: str, opens_at: int, closes_at: int) -> Result:
    here = now.astimezone(ZoneInfo(zone))
    if here.weekday() < 5 and opens_at <= here.hour < closes_at:
        return Proceed(f"it is {here:%A %H:%M}")
    return Refuse(f"it is {here:%A %H:%M}, and not Monday to Friday, {opens_at} to {closes_at}")


def replay(inputs: Mapping[str, Any]) -> Result:
    return decide(**{**inputs, "now": datetime.fromisoformat(inputs["now"])})


@lifecycle_hook(
    "deployment_hours",
    stages={Stage.PRE_PRODUCTION_TRAFFIC_SHIFT},
    settings=Hours,
    policy=Hours,
    replay=replay,
)
def handler(call: Call[Hours, Hours]) -> Result:
    hours = call.settings
    call.evidence.inputs = {
        "now": call.now.isoformat(),
        "zone": hours.time_zone.key,
        "opens_at": hours.opens_at,
        "closes_at": hours.closes_at,
    }
    return replay(call.evidence.inputs)
