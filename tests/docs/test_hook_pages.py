"""Each hook has a page with what whoever attaches it has to know."""

import pytest

from rehearsal.cli import main
from tests.docs.fenced_blocks import ROOT, Page

HOOKS = sorted(path.parent.name for path in (ROOT / "hooks").glob("*/handler.py"))


def sections(page: Page) -> set[str]:
    return {line.removeprefix("## ") for line in page.prose.splitlines() if line.startswith("## ")}


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_has_a_page_with_its_stages_settings_permissions_costs_and_failures(hook: str) -> None:
    page = Page.read(f"docs/{hook.replace('_', '-')}.md")
    failures = {
        "What goes wrong, and what happens then",
        "When it refuses",
        "What a refusal in the log means",
    }

    assert {"Attach it", "Settings", "Permissions"} <= sections(page)
    assert sections(page) & {"Costs", "What it costs"}
    assert sections(page) & failures
    assert "LifecycleStages: [" in page.text


def test_the_backtest_on_the_canary_s_page_prints_what_stands_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    blocks = Page.read("docs/canary-comparison.md").blocks
    [number] = [number for number, block in enumerate(blocks) if "rehearse backtest" in block.text]
    words = blocks[number].text.split()

    main(words[words.index("backtest") :])

    assert capsys.readouterr().out == blocks[number + 1].text
