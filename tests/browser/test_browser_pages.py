"""Every page, in every state that there is: with a screen reader, on a phone, in the dark, by keyboard.

What axe-core can check of WCAG 2.2 AA, and its best practices; and what it can't: that nothing has to be
scrolled sideways at 320 pixels, which is also what a zoom of 400 % comes to, and that one sees where one is.
"""

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from rehearsal.console import demo
from rehearsal.console.demo import RunningConsole, Scene, open_console, scenes
from rehearsal.console.provider import Identity
from rehearsal.scenario import HookEntry, Scenario
from tests.browser.scenes import PATIENT, fullest_day, waiting

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

AXE = Path("tests/browser/node_modules/axe-core/axe.min.js")
TAGS = {
    "type": "tag",
    "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
}
COLOUR_RULES = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}

WIDE, NARROW = 1440, 320
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

# 1280 by 1024 pixels at 400 %: https://www.w3.org/WAI/WCAG22/Understanding/reflow
ZOOMED = (320, 256)

ACCESS = {
    "rules": [
        {"groups": ["release-managers"], "services": ["*/*"], "may": "decide"},
        {"groups": ["developers"], "services": ["*/*"], "may": "view"},
    ]
}
STRANGER = Identity("mallory", "Mallory", ("visitors",))

LONG = "a-service-with-a-name-as-long-as-" + "-".join(["name"] * 30)


def acted(scenario: Scenario, *actors: Mapping[str, Any]) -> Scenario:
    return scenario.model_copy(update={"actors": tuple(actors)})


def patient(one: Scene) -> Scene:
    """Have ECS ask less often, and nothing follow: nobody decides here."""

    def asked_less(hook: HookEntry) -> HookEntry:
        if hook.hook != "manual_approval" or not isinstance(hook.hook_details, dict):
            return hook
        return hook.model_copy(update={"hook_details": {**hook.hook_details, **PATIENT}})

    hooks = tuple(asked_less(hook) for hook in one.scenario.hooks)
    return dataclasses.replace(
        one, scenario=one.scenario.model_copy(update={"hooks": hooks}), again_after=None
    )


def further() -> list[Scene]:
    """Return what the demonstration lacks: requests that ended a moment ago, and such as are hard to show."""
    rejection = {"approver": {"name": "alice", "answer": "REJECTED", "comment": "x" * 500, "after": "70s"}}
    patterns = [f"arn:aws:iam::123456789012:role/{'-'.join([LONG[:100]] * 2)}-{n}" for n in range(40)]
    return [
        Scene(scenario=scenario, began=(timedelta(seconds=seconds),), again_after=None)
        for scenario, seconds in (
            (acted(waiting("rejected"), rejection), 170),
            (waiting("expired", expiresAfterMinutes=1), 140),
            (waiting("many", policy={"allowedApprovers": patterns}, **PATIENT), 600),
            (waiting(LONG, cluster=LONG, **PATIENT), 600),
        )
    ]


@pytest.fixture(scope="module")
def running() -> Iterator[RunningConsole]:
    with pytest.MonkeyPatch.context() as patched:
        # The sweeper comes when all has been seen.
        patched.setattr(demo, "SWEEP_SECONDS", 1500.0)
        with open_console(
            parameters={"ApprovalConsoleAccess": json.dumps(ACCESS)},
            shown=[patient(one) for one in scenes()] + further(),
        ) as running:
            running.site.admit(STRANGER)
            yield running


@pytest.fixture(scope="module")
def context_of(chromium: "Browser", running: RunningConsole) -> "Iterator[Callable[[str], BrowserContext]]":
    """Signs somebody in, once; nobody by an empty name."""
    known: dict[str, BrowserContext] = {}

    def context_of(name: str) -> "BrowserContext":
        if name not in known:
            # A button's colour takes a moment to change, and is measured at once.
            known[name] = chromium.new_context(reduced_motion="reduce")
            if name:
                page = known[name].new_page()
                page.goto(running.url)
                page.get_by_role("link", name="Sign in").click()
                page.get_by_role("button", name=name).click()
                page.wait_for_url(f"{running.url}/")
                page.close()
        return known[name]

    yield context_of
    for context in known.values():
        context.close()


def address(running: RunningConsole, service: str) -> str:
    arn = running.deployment(service).arn
    path = f"/requests/{arn.cluster}/{arn.service}/{arn.id}"
    runs = running.deployment(service).hook_runs
    if service == "shop/catalog":
        return f"{path}/step-from-10"
    return f"{path}/{runs[0].hook_id}" if service == "media/streaming" else path


State = tuple[str, str, str]
"""Who looks, at what, and a word that has to be there for the page to be the one that is meant."""

FULLEST_DAY = "the day on which most was decided"

STATES: Mapping[str, State] = {
    "signed out": ("", "/", "Sign in with your organisation"),
    "pending": ("Alice", "/", "No longer waiting"),
    "pending, empty": ("Mallory", "/", "Nothing waits for a decision"),
    "history": ("Alice", FULLEST_DAY, "Approved by"),
    "history, today": ("Alice", "/history", "Nothing later"),
    "history, empty": ("Carol", "/history/2020-02-29", "No request ended on this day"),
    "no such page": ("Alice", "/no-such-page", "Error 404"),
    "no such page, signed out": ("", "/signed-in?error=access_denied", "Error 403"),
    "undecided": ("Bob", "shop/search", "Your decision"),
    "half approved": ("Bob", "shop/checkout", "1 of 2"),
    "half approved by oneself": ("Alice", "shop/checkout", "You have approved this"),
    "excluded": ("Deployer", "shop/checkout", "You can't decide this"),
    "just approved": ("Alice", "shop/checkout?done=approve", "Your approval is recorded"),
    "evidence": ("Alice", "shop/catalog", "Canary comparison"),
    "only to look at": ("Carol", "shop/catalog", "You can't decide this"),
    "approved": ("Alice", "shop/basket", "Approved"),
    "pause": ("Alice", "media/streaming", "Continue"),
    "headless": ("Alice", "mail/notifications", "Your decision"),
    "rejected": ("Alice", "shop/rejected", "Rejected"),
    "expired": ("Alice", "shop/expired", "Expired"),
    "too many approvers": ("Alice", "shop/many", "not to be decided here"),
    "long names": ("Alice", f"{LONG}/{LONG}", "Your decision"),
}


@pytest.fixture(scope="module")
def open_state(
    running: RunningConsole, context_of: "Callable[[str], BrowserContext]"
) -> "Callable[[str], Page]":
    """Opens a page in a state, once, with all that can be folded out."""
    known: dict[str, Page] = {}

    def open_state(name: str) -> "Page":
        if name not in known:
            who, where, words = STATES[name]
            page = known[name] = context_of(who).new_page()
            if where == FULLEST_DAY:
                where = fullest_day(running.url, page)
            elif not where.startswith("/"):
                service, mark, query = where.partition("?")
                where = f"{address(running, service)}{mark}{query}"
            page.goto(f"{running.url}{where}")
            assert words in page.inner_text("body")
            page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        return known[name]

    return open_state


# What is wider than the page it is on, and by itself can't be scrolled.
TOO_WIDE = """() => {
    const width = document.documentElement.clientWidth;
    const inside = node => node.parentElement && (
        ['auto', 'scroll', 'hidden', 'clip'].includes(getComputedStyle(node.parentElement).overflowX)
        || inside(node.parentElement));
    return [...document.body.querySelectorAll('*')]
        .filter(node => node.getBoundingClientRect().right > width + 0.5 && !inside(node))
        .map(node => node.outerHTML.slice(0, 120));
}"""


@pytest.fixture(scope="module")
def axe() -> str:
    if not AXE.is_file():
        pytest.skip("no axe-core: run npm ci in tests/browser")
    return AXE.read_text("utf-8")


@pytest.mark.parametrize("state", STATES)
def test_axe_finds_nothing_and_nothing_has_to_be_scrolled_sideways(
    open_state: "Callable[[str], Page]", axe: str, state: str
) -> None:
    page = open_state(state)
    page.evaluate(axe)
    for width in (WIDE, NARROW):
        page.set_viewport_size({"width": width, "height": 900})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            # All else is the same in the dark.
            only = TAGS if scheme == "light" else COLOUR_RULES
            assert (width, scheme, violations(page, only)) == (width, scheme, [])
    for width, height in ((WIDE, 900), (768, 1024), (NARROW, 568), ZOOMED):
        page.set_viewport_size({"width": width, "height": height})
        assert (width, page.evaluate(TOO_WIDE)) == (width, [])
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def violations(page: "Page", only: Mapping[str, Any]) -> list[str]:
    found = page.evaluate("only => axe.run({runOnly: only, resultTypes: ['violations']})", only)
    return [
        f"{one['id']}: {node['html'][:200]} {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


# How the element that has the focus shows it, and whether it can be seen.
FOCUS = """() => {
    const node = document.activeElement, box = node.getBoundingClientRect();
    // A link that stands for all of its line has the ring around that.
    const rings = [getComputedStyle(node), getComputedStyle(node, '::after')];
    const at = document.elementFromPoint(
        Math.min(Math.max(box.left + box.width / 2, 1), innerWidth - 1),
        Math.min(Math.max(box.top + Math.min(box.height / 2, 20), 1), innerHeight - 1));
    return {
        name: node.outerHTML.slice(0, 150),
        ringed: rings.some(one => one.outlineStyle !== 'none' && parseFloat(one.outlineWidth) >= 2),
        seen: at !== null && (node.contains(at) || at.contains(node)),
        last: node === document.body,
    };
}"""
FOCUSABLE = """() => [...document.querySelectorAll(
    'a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex="0"]')]
    .filter(node => node.checkVisibility()).length"""


@pytest.mark.parametrize(
    "state", ["signed out", "pending", "history", "undecided", "evidence", "no such page"]
)
def test_by_keyboard_one_gets_everywhere_and_sees_where_one_is(
    open_state: "Callable[[str], Page]", state: str
) -> None:
    page = open_state(state)
    for width in (WIDE, NARROW):
        page.set_viewport_size({"width": width, "height": 700})
        # From the very beginning: it goes on from where it was last.
        page.evaluate("getSelection().removeAllRanges(); scrollTo(0, 0)")
        page.evaluate("document.body.tabIndex = -1; document.body.focus()")
        visited = []
        for _ in range(page.evaluate(FOCUSABLE)):
            page.keyboard.press("Tab")
            visited.append(page.evaluate(FOCUS))
        assert 'class="skip"' in visited[0]["name"]
        assert [one["name"] for one in visited if not one["ringed"]] == []
        assert [one["name"] for one in visited if not one["seen"]] == []
        # Nor has it left the page before all were visited.
        assert [one["name"] for one in visited if one["last"]] == []


def test_the_first_stop_leads_past_the_head_of_the_page(open_state: "Callable[[str], Page]") -> None:
    page = open_state("half approved")
    page.reload()
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to content")
    assert skip.evaluate("one => one === document.activeElement && one.getBoundingClientRect().top >= 0")
    page.keyboard.press("Enter")
    assert page.url.endswith("#content")
    assert page.evaluate("document.activeElement.id") == "content"


def test_no_page_runs_a_script_or_loads_anything_from_elsewhere(
    running: RunningConsole, context_of: "Callable[[str], BrowserContext]"
) -> None:
    page = context_of("Alice").new_page()
    asked: list[tuple[str, str]] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append((request.resource_type, request.url)))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    for path in ("/", "/history", address(running, "shop/catalog"), address(running, "media/streaming")):
        page.goto(f"{running.url}{path}")
        assert page.locator("script, style, [style], iframe, object, embed").count() == 0
    assert complaints == []
    # Nor would it, if somebody got one in.
    page.evaluate("""async () => {
        const script = document.createElement('script');
        script.textContent = 'window.ran = true';
        document.body.append(script);
        document.body.insertAdjacentHTML('beforeend', '<img src="/none" onerror="window.ran = true">');
        await [...document.images].at(-1).decode().catch(() => new Promise(setTimeout));
    }""")
    assert page.evaluate("window.ran") is None
    page.close()
    assert any("Content Security Policy" in complaint for complaint in complaints)
    assert {kind for kind, _ in asked} <= {"document", "stylesheet", "image", "other"}
    assert all(url.startswith(f"{running.url}/") for _, url in asked)


def test_a_picture_for_the_documentation_is_what_was_seen(chromium: "Browser") -> None:
    """At most 256 colours are kept as they are; of more, the rare ones become like the others."""
    import numpy as np

    from tests.browser.screenshots import _pixels, _png

    painter = chromium.new_page()
    few = np.arange(200, dtype=np.int64).reshape(10, 20) * 0x010203
    assert (_pixels(painter, _png(few)) == few).all()
    many = np.arange(300, dtype=np.int64).reshape(15, 20) * 0x000100
    many[:10] = 0xFFFFFF
    kept = _pixels(painter, _png(many))
    assert (kept[:10] == 0xFFFFFF).all()
    assert np.unique(kept).size <= 256
    painter.close()
