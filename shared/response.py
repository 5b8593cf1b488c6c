"""What a hook may answer, and the one encoding of it.

::

    Proceed(reason)              {"hookStatus": "SUCCEEDED"}
    Wait(reason, after_seconds)  {"hookStatus": "IN_PROGRESS", "callBackDelay": 30, "hookDetails": {...}}
    Refuse(reason)               {"hookStatus": "FAILED"}

ECS has no channel for reasons, so they go to the log and the decision record (``shared.hook``).
Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/lambda-lifecycle-hooks.html
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# The key of hookDetails that is ours: everything else in there belongs to whoever configured the service.
STATE_KEY = "_lifecycleHookState"

# ECS documents neither minimum nor maximum. One second is the least that whole seconds can say; a
# day is the longest a stage may take.
MIN_DELAY_SECONDS = 1
MAX_DELAY_SECONDS = 24 * 60 * 60


@dataclass(frozen=True, slots=True)
class Proceed:
    """Go on to the next stage."""

    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Ask again after a while."""

    reason: str
    after_seconds: float
    state: Mapping[str, Any] = field(default_factory=dict)
    """What the next call of this very step would like to know: a help, never needed to be right."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Roll the deployment back."""

    reason: str


Result = Proceed | Wait | Refuse


def encode(result: Result, hook_details: Mapping[str, Any], state: Mapping[str, Any]) -> dict[str, Any]:
    """Write the reply that ECS reads.

    Parameters
    ----------
    hook_details
        The details as they came in. All of it is sent back with IN_PROGRESS, because whether ECS merges
        or replaces what it stored is not documented.
    state
        What stands under :data:`STATE_KEY` for the next call.
    """
    match result:
        case Proceed():
            return {"hookStatus": "SUCCEEDED"}
        case Refuse():
            return {"hookStatus": "FAILED"}
        case Wait(after_seconds=after):
            # Clamped before it is rounded: infinity has no integer.
            delay = math.ceil(min(max(MIN_DELAY_SECONDS, after), MAX_DELAY_SECONDS))
            return {
                "hookStatus": "IN_PROGRESS",
                "callBackDelay": delay,
                "hookDetails": {**hook_details, STATE_KEY: dict(state)},
            }
