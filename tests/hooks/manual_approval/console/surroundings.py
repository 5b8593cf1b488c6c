"""What surrounds the console in tests: its environment, and its secrets."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from hooks.manual_approval.console.settings import ConsoleSettings

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ISSUER = "https://login.example.com/release"
COOKIE_SECRET_ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:cookies-AbCdEf"
CLIENT_SECRET_ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:client-AbCdEf"

ENVIRONMENT = {
    "APPROVAL_CONSOLE_URL": "https://approvals.example.com",
    "APPROVAL_PARAMETER_PREFIX": "/ecs-approvals",
    "APPROVAL_HOOK_ROLE": "arn:aws:iam::123456789012:role/hook",
    "CONSOLE_ISSUER": ISSUER,
    "CONSOLE_CLIENT_ID": "console",
    "CONSOLE_COOKIE_SECRET_ARN": COOKIE_SECRET_ARN,
}

RULES = [
    {"groups": ["release-managers"], "services": ["shop/*"], "may": "decide"},
    {"groups": ["shop", "support"], "services": ["shop/*"], "may": "view"},
    {"people": ["carol"], "services": ["shop/checkout"], "may": "decide"},
]


def console_settings(rules: Sequence[Mapping[str, Any]] = RULES, **variables: str) -> ConsoleSettings:
    """Read the settings, with some variables changed; an empty one is none."""
    access = json.dumps({"rules": rules})
    return ConsoleSettings.read({**ENVIRONMENT, "CONSOLE_ACCESS": access, **variables})


@dataclass
class Secrets:
    """Secrets by ARN and stage, and how often they were read."""

    kept: dict[tuple[str, str], str]
    reads: list[tuple[str, str]] = field(default_factory=list)

    def read(self, arn: str, stage: str) -> str:
        self.reads.append((arn, stage))
        return self.kept.get((arn, stage), "")

    def rotate(self, arn: str, text: str) -> None:
        """Make a new version the present one."""
        self.kept[arn, "AWSPREVIOUS"] = self.kept[arn, "AWSCURRENT"]
        self.kept[arn, "AWSCURRENT"] = text
