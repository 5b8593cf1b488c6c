"""What the page says of the image trust hook is what it does."""

import re
from pathlib import Path

import pytest

from hooks.image_trust.settings import ImageTrustPolicy, ImageTrustSettings
from rehearsal.runtime.lambda_python import ROOT
from shared.settings import resolve

PAGE = (ROOT / "docs" / "image-trust.md").read_text()
HOOK = ROOT / "hooks" / "image_trust"


def table(heading: str) -> list[list[str]]:
    """Return the cells of the table under a heading."""
    text = PAGE.split(f"\n{heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in row] for row in rows]


SETTINGS = {row[0].strip("`"): row[1:] for row in table("## Settings")}


def test_every_key_is_on_the_page_and_nothing_else() -> None:
    assert SETTINGS.keys() == {info.alias for info in ImageTrustPolicy.model_fields.values()}


def test_the_policy_s_own_keys_are_marked_as_such() -> None:
    own = ImageTrustPolicy.model_fields.keys() - ImageTrustSettings.model_fields.keys()

    assert {name for name, cells in SETTINGS.items() if cells[1] == "policy only"} == own


@pytest.mark.parametrize("name", [name for name, cells in SETTINGS.items() if cells[0]])
def test_a_default_is_the_model_s(name: str) -> None:
    [default] = [info.default for info in ImageTrustPolicy.model_fields.values() if info.alias == name]

    assert SETTINGS[name][0].strip("`") == f"{default}"


@pytest.mark.parametrize(
    "block",
    [
        *re.findall(r"^```json\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE),
        *re.findall(r"HookDetails: '(.*)'", PAGE),
    ],
)
def test_settings_on_the_page_can_be_used(block: str) -> None:
    resolve(ImageTrustSettings, ImageTrustPolicy, {}, {"HOOK_POLICY": block})


def test_every_code_on_the_page_is_one_of_the_hook_s() -> None:
    sources = "".join(path.read_text() for path in sorted(HOOK.rglob("*.py")))
    codes = [code for row in table("## When it refuses") for code in re.findall(r"`([a-z-]+)`", row[0])]

    assert len(codes) > 10
    assert [code for code in codes if f'"{code}"' not in sources] == []


def test_its_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", PAGE)

    assert links != []
    assert [link for link in links if not Path(ROOT / "docs", link).exists()] == []
