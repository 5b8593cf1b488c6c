"""What must be so for a request to be approved, and how that is written into the request itself.

The hook resolves its settings under the organisation's policy and writes what came out of it into the
request, so that the console and the command line count the answers as the hook will::

    {
        "requiredApprovals": 2,
        "allowedApprovers": [["arn:aws:iam::123456789012:role/release"], ["*"]],
        "excludedApprovers": ["arn:aws:iam::123456789012:role/deploy"],
        "personalSessions": ["arn:*:sts::*:assumed-role/AWSReservedSSO_*"],
        "console": "arn:aws:iam::123456789012:role/console",
        "expiresAfterSeconds": 14400,
        "extendableToSeconds": 86340,
        "onExpiry": "refuse",
    }

The hook itself never reads them back: it decides by its settings.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from hooks.manual_approval.approvers import Electorate
from shared.errors import shown

# Nobody waits for longer: ECS's limit for a PAUSE hook is 14 days.
MAX_SECONDS = 14 * 24 * 60 * 60
MAX_PATTERNS = 100


@dataclass(frozen=True, slots=True)
class Rules:
    """What must be so for a request to be approved."""

    required: int
    electorate: Electorate
    expires_after: timedelta
    extendable_to: timedelta
    """How long after it was asked it may expire at the latest, whoever extends it."""
    on_expiry: Literal["refuse", "proceed"]

    def document(self) -> dict[str, Any]:
        """Write them as above."""
        return {
            "requiredApprovals": self.required,
            "allowedApprovers": [list(patterns) for patterns in self.electorate.allowed],
            "excludedApprovers": list(self.electorate.excluded),
            "personalSessions": list(self.electorate.personal_sessions),
            "console": self.electorate.console,
            "expiresAfterSeconds": self.expires_after.total_seconds(),
            "extendableToSeconds": self.extendable_to.total_seconds(),
            "onExpiry": self.on_expiry,
        }


def read_rules(document: Any) -> Rules:
    """Read what :meth:`Rules.document` wrote; raises ``ValueError`` for anything else."""
    if not isinstance(document, Mapping):
        raise ValueError(f"rules: expected an object, got {shown(document)}")  # noqa: TRY004  # as for all else
    try:
        required, on_expiry = document["requiredApprovals"], document["onExpiry"]
        allowed = document["allowedApprovers"]
        console = document["console"]
        rules = Rules(
            required=required,
            electorate=Electorate(
                allowed=tuple(_patterns(patterns) for patterns in allowed),
                excluded=_patterns(document["excludedApprovers"]),
                personal_sessions=_patterns(document["personalSessions"]),
                console=console,
            ),
            expires_after=_span(document["expiresAfterSeconds"]),
            extendable_to=_span(document["extendableToSeconds"]),
            on_expiry=on_expiry,
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"rules: {error}") from error
    if type(required) is not int or not 1 <= required <= 10 or on_expiry not in ("refuse", "proceed"):
        raise ValueError("rules: requiredApprovals or onExpiry is out of range")
    if not isinstance(console, str) or not allowed:
        raise ValueError("rules: console or allowedApprovers is something else")
    return rules


def _patterns(listed: Any) -> tuple[str, ...]:
    strings = isinstance(listed, list) and all(isinstance(pattern, str) for pattern in listed)
    if not strings or len(listed) > MAX_PATTERNS:
        raise ValueError(f"rules: expected at most {MAX_PATTERNS} patterns")
    return tuple(listed)


def _span(seconds: Any) -> timedelta:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= MAX_SECONDS:
        raise ValueError(f"rules: expected 0 to {MAX_SECONDS} seconds")
    return timedelta(seconds=seconds)
