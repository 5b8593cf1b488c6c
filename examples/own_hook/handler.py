"""Deployment hours: green gets production traffic while people are there to see what it does."""

from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import Field

from shared.hook import Call, lifecycle_hook
from shared.lifecycle import Stage
from shared.response import Proceed, Refuse, Result
from shared.settings import Settings, Stricter


class Hours(Settings):
    time_zone: ZoneInfo = ZoneInfo("UTC")
    opens_at: Annotated[int, Stricter(max)] = Field(9, ge=0, le=23)
    closes_at: Annotated[int, Stricter(min)] = Field(16, ge=1, le=24)


@lifecycle_hook("deployment_hours", stages={Stage.PRE_PRODUCTION_TRAFFIC_SHIFT}, settings=Hours, policy=Hours)
def handler(call: Call[Hours, Hours]) -> Result:
    here, hours = call.now.astimezone(call.settings.time_zone), call.settings
    if here.weekday() < 5 and hours.opens_at <= here.hour < hours.closes_at:
        return Proceed(f"it is {here:%A %H:%M}")
    return Refuse(f"it is {here:%A %H:%M}, and not Monday to Friday, {hours.opens_at} to {hours.closes_at}")
