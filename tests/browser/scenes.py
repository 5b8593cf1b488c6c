"""Who there is, and services whose deployments wait for a decision."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from rehearsal.console.provider import Identity
from rehearsal.scenario import Scenario

if TYPE_CHECKING:
    from playwright.sync_api import Page

PEOPLE = (
    Identity("alice", "Alice", ("release-managers",)),
    Identity("bob", "Bob", ("release-managers",)),
    Identity("carol", "Carol", ("developers",)),
    # Somebody the provider knows, and no rule of the console.
    Identity("mallory", "Mallory", ("visitors",)),
)

ACCESS: Mapping[str, object] = {
    "rules": [
        {"groups": ["release-managers"], "services": ["shop/*"], "may": "decide"},
        {"groups": ["developers"], "services": ["shop/*"], "may": "view"},
    ]
}

# ECS asks every second, and nothing is waited for that says nothing.
EAGER: dict[str, Any] = {"pollFirstSeconds": 1, "pollSeconds": 1}
PATIENT: dict[str, Any] = {"pollFirstSeconds": 60, "pollSeconds": 60, "pollLateSeconds": 60}


def waiting(
    service: str, *, cluster: str = "shop", policy: Mapping[str, Any] | None = None, **details: Any
) -> Scenario:
    """Return a service whose deployment waits for the approval hook.

    Parameters
    ----------
    details
        Keys of ``hookDetails``.
    """
    hook = {
        "hook": "manual_approval",
        "stages": ["POST_TEST_TRAFFIC_SHIFT"],
        "hookDetails": {"expiresAfterMinutes": 60, **EAGER, **details},
        "policy": dict(policy or {}),
    }
    return deployed(service, hook, cluster=cluster)


def paused(service: str, *, cluster: str = "shop", policy: Mapping[str, Any] | None = None) -> Scenario:
    """Return a service whose deployment waits at a PAUSE hook of ECS's own."""
    hook = {
        "hook": "pause",
        "stages": ["POST_TEST_TRAFFIC_SHIFT"],
        "timeoutInMinutes": 240,
        "policy": dict(policy or {}),
    }
    return deployed(service, hook, cluster=cluster)


def deployed(service: str, hook: Mapping[str, Any], *, cluster: str = "shop") -> Scenario:
    return Scenario.model_validate(
        {
            "name": service,
            "service": {
                "name": service,
                "cluster": cluster,
                "exposure": "alb",
                "images": {"app": [f"{cluster}/{service}:41", f"{cluster}/{service}:42"]},
                "cleanUp": "1s",
            },
            "strategy": {"type": "BLUE_GREEN", "bakeTimeInMinutes": 0},
            "hooks": [hook],
            "expect": {"status": "SUCCESSFUL"},
        }
    )


def fullest_day(url: str, page: "Page") -> str:
    """Return the path of the day on which most was decided: after midnight, today has nothing yet."""
    today = datetime.now(UTC).date()

    def entries(path: str) -> int:
        page.goto(f"{url}{path}")
        return page.get_by_role("heading", level=3).count()

    return max((f"/history/{today - timedelta(days=ago)}" for ago in range(3)), key=entries)
