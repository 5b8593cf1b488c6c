"""Rules on ``HookDetails``: what our hooks would say to them at the first call, said now."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from rehearsal.check.findings import CLOUDFORMATION_SERVICE, CONTRACT, Problem, Severity, rule
from rehearsal.check.view import HookView, ServiceView, number, plain
from rehearsal.intrinsics import Unresolved
from shared.errors import shown
from shared.lifecycle import MAX_HOOK_DETAILS_BYTES
from shared.response import STATE_KEY
from shared.settings import problems


@rule("hook-details-shape", Severity.ERROR, CLOUDFORMATION_SERVICE)
def hook_details_shape(view: ServiceView) -> Iterator[Problem]:
    """Require a JSON object as HookDetails, or a text that holds one."""
    for hook in view.hooks:
        details = _read(hook)
        if isinstance(details, str):
            yield hook.at("HookDetails"), f"{hook.label}: HookDetails {details}; write a JSON object"


@rule("hook-details", Severity.ERROR, "the hook's own settings (docs/schema)")
def hook_details(view: ServiceView) -> Iterator[Problem]:
    """Require the hooks' own keys, with valid values."""
    for hook in view.hooks:
        details = _read(hook)
        if hook.ours is None or not isinstance(details, dict):
            continue
        valid = {info.alias or name for name, info in hook.ours.settings.model_fields.items()}
        unknown = dict.fromkeys(details.keys() - valid - {STATE_KEY})
        known = unknown | {key: details[key] for key in details.keys() & valid if not _open(details[key])}
        try:
            hook.ours.settings.model_validate(known)
        except ValidationError as error:
            left_out = any(_open(value) for value in details.values())
            for found in problems(hook.ours.settings, error):
                # What isn't known yet may be what a check over several keys misses.
                if left_out and not found.startswith(("unknown key", *known)):
                    continue
                place = next((key for key in known if key in found.split(",")[0]), None)
                yield (
                    hook.at("HookDetails", *([place] if place else [])),
                    f"{hook.label}: HookDetails of {hook.ours.name}: {found}",
                )


@rule("outlives-timeout", Severity.WARNING, f"{CONTRACT}: time limits")
def outlives_timeout(view: ServiceView) -> Iterator[Problem]:
    """Warn when a hook's own time ends after ECS's, so that its verdict never counts."""
    for hook in view.hooks:
        details, limit = _read(hook), hook.timeout_minutes
        if hook.ours is None or not isinstance(details, dict) or limit is None:
            continue
        default = hook.ours.settings.model_fields.get("expires_after_minutes")
        waits = {key: number(value) for key, value in details.items() if key.endswith("Minutes")}
        if default is not None:
            waits.setdefault("expiresAfterMinutes", number(default.default))
        for key, minutes in waits.items():
            if minutes is not None and minutes >= limit:
                yield (
                    hook.at("HookDetails", key),
                    (
                        f"{hook.label}: {key} is {plain(minutes)}{'' if key in details else ' by default'}, "
                        "and ECS ends the "
                        f"hook after {plain(limit)} minutes; set it below TimeoutInMinutes"
                    ),
                )
        with contextlib.suppress(ValidationError):
            longest = hook.ours.settings.model_validate(_without_state(details)).longest_minutes
            if longest is not None and longest >= limit:
                yield (
                    hook.at("HookDetails"),
                    (
                        f"{hook.label}: with these settings it may take {longest:.0f} minutes, and ECS ends "
                        f"the hook after {plain(limit)}; give it more with TimeoutInMinutes"
                    ),
                )


@rule("fails-open-by-setting", Severity.WARNING, "the hook's own settings (docs/schema)")
def fails_open_by_setting(view: ServiceView) -> Iterator[Problem]:
    """Warn of settings that let deployments pass without the hook's verdict."""
    for hook in view.hooks:
        details = _read(hook) if hook.ours else None
        for key, value in details.items() if isinstance(details, dict) else ():
            if key.startswith("on") and value == "proceed":
                yield (
                    hook.at("HookDetails", key),
                    f"{hook.label}: {key} is proceed, so deployments pass without a verdict; use refuse",
                )


def _read(hook: HookView) -> dict[str, Any] | str | None:
    """Return the details, or what is wrong with them as text; ``None`` when they can't be told."""
    details = hook.details
    if isinstance(details, Unresolved) or hook.is_pause:
        return None
    if details is None:
        return {}
    if isinstance(details, str):
        if len(details.encode(errors="replace")) > MAX_HOOK_DETAILS_BYTES:
            return f"is longer than {MAX_HOOK_DETAILS_BYTES} bytes"
        try:
            details = json.loads(details) if details.strip() else {}
        except (ValueError, RecursionError):
            return f"is a text that is not JSON: {shown(details)}"
    return details if isinstance(details, dict) else f"is {shown(details)}"


def _without_state(details: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in details.items() if key != STATE_KEY}


def _open(value: object) -> bool:
    """Tell whether something in the value is only known in the account."""
    if isinstance(value, dict):
        return any(_open(item) for item in value.values())
    return any(_open(item) for item in value) if isinstance(value, list) else isinstance(value, Unresolved)
