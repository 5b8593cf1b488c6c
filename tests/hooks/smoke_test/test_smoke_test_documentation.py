"""What the page says of the smoke test is what it does."""

import json
import re
from typing import Any

import pytest

from hooks.smoke_test.address import Origin, check_allowed
from hooks.smoke_test.settings import Check, SmokeTestPolicy, SmokeTestSettings
from rehearsal.runtime.lambda_python import ROOT
from shared.settings import POLICY_VARIABLE, resolve

PAGE = (ROOT / "docs" / "smoke-test.md").read_text()
POLICY, *DETAILS = [
    *re.findall(r"^```json\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE),
    *re.findall(r"HookDetails: '(.*)'", PAGE),
    *re.findall(r"`(\{\"(?:mode|marker)\"[^`]*\})`", PAGE),
]


def rows(heading: str) -> dict[str, list[str]]:
    """Return the table under a heading: the other cells by the key in the first."""
    text = PAGE.split(f"\n{heading}\n", 1)[1].split("\n## ", 1)[0]
    found = re.findall(r"^\| `([A-Za-z_]+)` \|(.*)\|$", text, re.MULTILINE)
    return {name: [cell.strip() for cell in cells.split("|")] for name, cells in found}


def aliases(model: Any) -> dict[str, Any]:
    return {info.alias: info for info in model.model_fields.values()}


def test_every_key_is_on_the_page_and_nothing_else() -> None:
    assert rows("## Settings").keys() == aliases(SmokeTestPolicy).keys()
    assert rows("## Checks").keys() == aliases(Check).keys()


def test_the_policy_s_own_keys_are_marked_as_such() -> None:
    marked = {name for name, cells in rows("## Settings").items() if cells[1] == "policy only"}

    assert marked == aliases(SmokeTestPolicy).keys() - aliases(SmokeTestSettings).keys()


@pytest.mark.parametrize(
    ("heading", "model"), [("## Settings", SmokeTestPolicy), ("## Checks", Check)], ids=["settings", "checks"]
)
def test_defaults_are_the_models(heading: str, model: Any) -> None:
    plain = {
        name: info.default if info.default is not None else "null"
        for name, info in aliases(model).items()
        if info.default is None or isinstance(info.default, str | int | float)
    }

    assert {name: rows(heading)[name][0].strip("`") for name in plain} == {
        name: f"{default}" for name, default in plain.items()
    }


@pytest.mark.parametrize("block", DETAILS)
def test_settings_on_the_page_can_be_used_under_the_policy_on_the_page(block: str) -> None:
    found = resolve(SmokeTestSettings, SmokeTestPolicy, json.loads(block), {POLICY_VARIABLE: POLICY})

    if found.settings.url:
        check_allowed(Origin.parse(found.settings.url), found.policy.allowed_hosts)


def test_the_page_has_settings_of_each_kind() -> None:
    assert len(DETAILS) >= 4
