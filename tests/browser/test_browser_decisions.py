"""Deployments under way, and people who decide on them in Chromium, signed in at a provider of npm's.

All is real but AWS: the console behind its gateway, the hooks, the clock, the browser. It has no JavaScript,
but for the one test that has.
"""

import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from hooks.manual_approval import sweep
from hooks.manual_approval.request import Kind, read
from rehearsal import machine
from rehearsal.console.demo import RunningConsole, Scene, open_console
from rehearsal.model import Status
from rehearsal.outcome import HookCalled
from tests.browser.scenes import ACCESS, EAGER, PATIENT, paused, waiting
from tests.hooks.manual_approval.console.provider_process import CLIENT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Response

# Until green runs and the hook asks.
ASKS_AFTER = timedelta(seconds=62)
BRIEF = timedelta(minutes=1)
# From when the console is open to when the brief request expires.
BRIEF_LEFT = timedelta(seconds=25)

TWO = {"requiredApprovals": 2}


def scene(scenario: Any, began: timedelta = ASKS_AFTER + timedelta(seconds=20)) -> Scene:
    return Scene(scenario=scenario, began=(began,), again_after=None)


SCENES = (
    scene(waiting("approve", **EAGER)),
    scene(waiting("scripted", **EAGER)),
    scene(waiting("kept", **EAGER)),
    scene(waiting("keyed", **EAGER)),
    scene(waiting("reject", **EAGER)),
    scene(waiting("quorum", policy=TWO, **EAGER)),
    scene(waiting("stale", policy=TWO, **EAGER)),
    scene(waiting("superseded", **EAGER)),
    scene(waiting("look", **PATIENT)),
    scene(waiting("later", expiresAfterMinutes=30, **EAGER)),
    scene(waiting("stopped", **PATIENT)),
    scene(waiting("brief", expiresAfterMinutes=1, **EAGER), ASKS_AFTER + BRIEF - BRIEF_LEFT),
    scene(paused("goes-on")),
    scene(paused("goes-back", policy=TWO)),
)


@pytest.fixture(scope="module")
def running(issuer: str) -> Iterator[RunningConsole]:
    with pytest.MonkeyPatch.context() as patched:
        # Here nothing takes long, and somebody waits.
        for name in ("SHIFT_SECONDS", "STOP_SECONDS"):
            patched.setattr(machine, name, 0.2)
        patched.setattr(sweep, "LAG", timedelta())
        with open_console(
            issuer=issuer,
            client_id=str(CLIENT["id"]),
            parameters={"ApprovalConsoleAccess": json.dumps(ACCESS)},
            shown=SCENES,
        ) as running:
            yield running


class Person:
    """Somebody at their browser, signed in."""

    def __init__(self, context: "BrowserContext", running: RunningConsole) -> None:
        self.context = context
        self._running = running

    def open(self, address: str = "/") -> "Page":
        """Open a tab."""
        page = self.context.new_page()
        page.goto(f"{self._running.url}{address}")
        return page

    def open_request(self, service: str) -> "Page":
        """Open a tab with the list, and follow the link to a service's request."""
        page = self.open()
        page.get_by_role("link", name=f"shop / {service}").click()
        return page


@pytest.fixture(scope="module")
def person(chromium: "Browser", running: RunningConsole) -> Iterator[Callable[..., Person]]:
    """Signs somebody in, in a browser of their own; once, for all tests."""
    known: dict[Any, Person] = {}

    def person(name: str, *, scripts: bool = False) -> Person:
        if (name, scripts) not in known:
            context = chromium.new_context(java_script_enabled=scripts)
            page = context.new_page()
            page.goto(running.url)
            page.get_by_role("link", name="Sign in").click()
            page.wait_for_url(f"{running.issuer}/**")
            page.get_by_role("button", name=name).click()
            page.wait_for_url(f"{running.url}/")
            page.close()
            known[name, scripts] = Person(context, running)
        return known[name, scripts]

    yield person
    for one in known.values():
        one.context.close()


@pytest.fixture(scope="module", autouse=True)
def brief_tab(person: Callable[..., Person]) -> "Page":
    """A tab that is opened before its request expires."""
    page = person("Alice").open_request("brief")
    assert heading(page) == "Waiting for a decision"
    return page


def heading(page: "Page") -> str:
    """Return how the request stands, as its page says."""
    return page.get_by_role("region", name="State").get_by_role("heading").inner_text()


def press(page: "Page", button: str, comment: str = "") -> "Response":
    """Fill the comment in and press a button; return what came of it."""
    if comment:
        page.get_by_label("Comment").first.fill(comment)
    with page.expect_navigation() as came:
        page.get_by_role("button", name=button, exact=True).click()
    request = came.value.request
    # What comes after a redirect is the page that it led to.
    response = (request.redirected_from or request).response()
    assert response is not None
    assert response.request.method == "POST"
    return response


def ends(running: RunningConsole, service: str) -> str:
    """Wait for the end of a deployment; return its status."""
    running.wait_for(lambda: running.deployment(f"shop/{service}").status.ended, 60)
    return running.deployment(f"shop/{service}").status


def reason(running: RunningConsole, service: str) -> str:
    """Return what the hook's last record says was the reason."""
    happenings = running.worlds[f"shop/{service}"].happenings
    record = next(one.record for one in reversed(happenings) if isinstance(one, HookCalled))
    assert record is not None
    return str(record["verdict"]["reason"])


def said(running: RunningConsole, service: str) -> list[str]:
    """Return what the versions of a request's parameter say, in their order, but for the request itself."""
    arn = running.deployment(f"shop/{service}").arn
    world = running.worlds[f"shop/{service}"]
    part = "".join(
        f"/{run.hook_id}"
        for run in running.deployment(f"shop/{service}").hook_runs
        if run.hook.target_type == "PAUSE"
    )
    name = f"{world.approval_prefix}/{arn.cluster}/{arn.service}/{arn.id}{part}"
    found = running.rehearsal.cloud.client("ssm", user="admin").get_parameter_history(Name=name)
    kinds = [read(one["Value"]).kind for one in found["Parameters"]]
    return [kind.value for kind in kinds if kind is not Kind.PENDING]


@pytest.mark.parametrize(("service", "scripts"), [("approve", False), ("scripted", True)])
def test_alice_approves_and_the_deployment_goes_on(
    running: RunningConsole, person: Callable[..., Person], service: str, scripts: bool
) -> None:
    page = person("Alice", scripts=scripts).open_request(service)
    assert heading(page) == "Waiting for a decision"
    assert press(page, "Approve", "tried the cart").status == 303
    assert page.get_by_role("status").inner_text().strip() == "Your approval is recorded."
    assert ends(running, service) == Status.SUCCESSFUL
    assert reason(running, service) == f"approved by oidc:{running.issuer}#alice: tried the cart"
    page.reload()
    assert heading(page) == "Approved"
    assert page.get_by_role("button").all_inner_texts() == ["Sign out"]
    page.close()


def tab_to(page: "Page", text: str) -> None:
    """Press Tab until what has the focus begins so."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent").strip().startswith(text):
            return
    pytest.fail(f"{page.url}: no way by keyboard to {text}")


def test_who_has_only_a_keyboard_signs_in_and_approves(running: RunningConsole, chromium: "Browser") -> None:
    from playwright.sync_api import expect

    with chromium.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"{running.url}/")
        for stop, comes in (
            ("Sign in", "Who are you?"),
            ("Bob", "Pending"),
            ("shop / keyed", "keyed: Waiting for a decision"),
        ):
            tab_to(page, stop)
            page.keyboard.press("Enter")
            expect(page).to_have_title(re.compile(f"^{re.escape(comes)}"))
        while page.evaluate("document.activeElement.tagName") != "TEXTAREA":
            page.keyboard.press("Tab")
        page.keyboard.type("no mouse")
        tab_to(page, "Approve")
        with page.expect_navigation():
            page.keyboard.press("Enter")
        assert page.get_by_role("status").inner_text().strip() == "Your approval is recorded."
    assert ends(running, "keyed") == Status.SUCCESSFUL
    assert reason(running, "keyed") == f"approved by oidc:{running.issuer}#bob: no mouse"


def test_alice_rejects_and_ecs_rolls_back(running: RunningConsole, person: Callable[..., Person]) -> None:
    page = person("Alice").open_request("reject")
    assert press(page, "Reject", "prices are missing").status == 303
    assert ends(running, "reject") == Status.ROLLBACK_SUCCESSFUL
    assert reason(running, "reject") == f"rejected by oidc:{running.issuer}#alice: prices are missing"
    page.reload()
    assert heading(page) == "Rejected"
    page.close()


def test_it_takes_two_people_and_alice_twice_is_one(
    running: RunningConsole, person: Callable[..., Person]
) -> None:
    alice, again = (person("Alice").open_request("quorum") for _ in range(2))
    assert press(alice, "Approve").status == 303
    assert "You have approved this." in alice.inner_text("main")
    assert alice.get_by_role("button", name="Approve").count() == 0
    # Her other tab does not know yet.
    assert press(again, "Approve", "once more").status == 409
    alert = again.get_by_role("alert").inner_text().strip()
    assert alert == "Nothing was changed: you have approved it already; it takes somebody else now"
    assert said(running, "quorum") == ["approved"]
    bob = person("Bob").open_request("quorum")
    assert "1 of 2" in bob.get_by_role("region", name="State").inner_text()
    assert press(bob, "Approve", "me too").status == 303
    assert ends(running, "quorum") == Status.SUCCESSFUL
    assert reason(running, "quorum") == (
        f"approved by oidc:{running.issuer}#alice; oidc:{running.issuer}#bob: me too"
    )
    for page in (alice, again, bob):
        page.close()


def test_whoever_comes_with_an_old_page_is_told_and_changes_nothing(
    running: RunningConsole, person: Callable[..., Person]
) -> None:
    stale = person("Alice").open_request("stale")
    bob = person("Bob").open_request("stale")
    assert press(bob, "Reject", "not on a Friday").status == 303
    before = [kind for kind in said(running, "stale") if kind != "closed"]
    assert before == ["rejected"]
    came = press(stale, "Approve", "looks good")
    assert came.status == 409
    assert stale.get_by_role("alert").inner_text().strip().startswith("Nothing was changed: ")
    assert heading(stale) == "Rejected"
    assert "not on a Friday" in stale.inner_text("main")
    assert ends(running, "stale") == Status.ROLLBACK_SUCCESSFUL
    assert [kind for kind in said(running, "stale") if kind != "closed"] == before
    for page in (stale, bob):
        page.close()


def test_an_answer_to_a_deployment_that_another_has_replaced_is_none(
    running: RunningConsole, person: Callable[..., Person]
) -> None:
    page = person("Alice").open_request("superseded")
    world = running.worlds["shop/superseded"]
    old = running.deployment("shop/superseded")
    world.env.post(lambda: world.env.process(world.supersede()))  # type: ignore[arg-type]
    running.wait_for(lambda: running.deployment("shop/superseded") is not old)
    assert press(page, "Approve").status == 409
    alert = page.get_by_role("alert").inner_text().strip()
    assert alert.startswith("Nothing was changed: the deployment has moved on")
    assert old.status == Status.STOPPED
    page.close()


def test_carol_may_look_and_that_is_all(running: RunningConsole, person: Callable[..., Person]) -> None:
    carol = person("Carol")
    page = carol.open_request("look")
    assert heading(page) == "Waiting for a decision"
    assert "You may look at this service's requests, and not decide them." in page.inner_text("main")
    assert page.get_by_role("button").all_inner_texts() == ["Sign out"]
    assert page.locator("textarea, select").count() == 0
    # Her browser sends what she makes up, with all that it has.
    token = page.locator("form.account input[name=csrf]").get_attribute("value")
    before = said(running, "look")
    for form in ({"answer": "approve"}, {"answer": "reject"}):
        came = carol.context.request.post(
            f"{page.url}/answer",
            form={"csrf": str(token), "seen": "1", **form},
            headers={"Origin": running.url},
        )
        assert came.status == 403
    assert said(running, "look") == before
    assert running.deployment("shop/look").status == Status.IN_PROGRESS
    page.close()


def test_a_stranger_sees_nothing(running: RunningConsole, person: Callable[..., Person]) -> None:
    mallory = person("Mallory")
    page = mallory.open()
    assert (
        page.get_by_role("main").get_by_role("paragraph").nth(1).inner_text()
        == "Nothing waits for a decision."
    )
    arn = running.deployment("shop/look").arn
    response = page.goto(f"{running.url}/requests/shop/look/{arn.id}")
    assert response is not None
    assert response.status == 404
    assert page.get_by_role("heading", level=1).inner_text() == "Nothing here"
    page.close()


def test_the_expiry_is_put_off(running: RunningConsole, person: Callable[..., Person]) -> None:
    page = person("Alice").open_request("later")
    state = page.get_by_role("region", name="State")
    assert re.search(r"2\d min left", state.inner_text())
    chosen = page.get_by_label("Put the expiry off until")
    first = chosen.locator("option").first
    chosen.select_option(first.get_attribute("value"))
    assert press(page, "Extend").status == 303
    assert page.get_by_role("status").inner_text().strip() == "The expiry is put off."
    assert re.search(r"1 h 2\d min left", state.inner_text())
    assert "Alice" in page.get_by_role("heading", name="Time line").locator("..").inner_text()
    assert said(running, "later")[-1] == "extended"
    assert running.deployment("shop/later").status == Status.IN_PROGRESS
    page.close()


def test_a_deployment_is_stopped_and_rolled_back(
    running: RunningConsole, person: Callable[..., Person]
) -> None:
    page = person("Alice").open_request("stopped")
    page.get_by_text("Stop and roll back", exact=True).first.click()
    stop = page.get_by_role("button", name="Stop and roll back")
    stop.click()
    # Not before she says so: the browser keeps the form.
    assert "done=" not in page.url
    page.get_by_role("checkbox", name="Roll stopped back").check()
    assert press(page, "Stop and roll back").status == 303
    assert ends(running, "stopped") == Status.ROLLBACK_SUCCESSFUL
    page.reload()
    assert heading(page) == "The deployment has ended"
    page.close()


@pytest.mark.parametrize(
    ("service", "button", "people", "action", "status"),
    [
        ("goes-on", "Continue", ("Alice",), "CONTINUE", Status.SUCCESSFUL),
        ("goes-back", "Roll back", ("Bob",), "ROLLBACK", Status.ROLLBACK_SUCCESSFUL),
    ],
)
def test_a_pause_of_ecs_own_is_answered(
    running: RunningConsole,
    person: Callable[..., Person],
    service: str,
    button: str,
    people: tuple[str, ...],
    action: str,
    status: Status,
) -> None:
    (hook,) = running.deployment(f"shop/{service}").hook_runs
    with running.rehearsal.cloud.recording() as calls:
        for name in people:
            page = person(name).open_request(service)
            assert press(page, button, "plays well").status == 303
            page.close()
    told = [call for call in calls if call.action == "ecs:ContinueServiceDeployment"]
    assert [(call.resource, call.allowed) for call in told] == [
        (str(running.deployment(f"shop/{service}").arn), True)
    ]
    assert "ApprovalConsole" in told[0].identity
    assert hook.answer == action
    assert ends(running, service) == status


def test_what_has_expired_is_answered_too_late(running: RunningConsole, brief_tab: "Page") -> None:
    assert ends(running, "brief") == Status.ROLLBACK_SUCCESSFUL
    before = said(running, "brief")
    assert before == ["closed"]
    assert press(brief_tab, "Approve", "sorry, I was at lunch").status == 409
    assert brief_tab.get_by_role("alert").inner_text().strip().startswith("Nothing was changed: ")
    assert heading(brief_tab) == "Expired"
    assert said(running, "brief") == before
    brief_tab.close()


def test_when_the_sweeper_has_been_there_the_request_is_in_the_history(
    running: RunningConsole, person: Callable[..., Person]
) -> None:
    page = person("Alice").open_request("kept")
    assert press(page, "Approve", "for the record").status == 303
    assert ends(running, "kept") == Status.SUCCESSFUL
    running.sweep()
    page.get_by_role("link", name="History").click()
    entry = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name="shop / kept"))
    told = " ".join(entry.inner_text().split())
    assert "shop / kept Approved" in told
    assert "Approved by Alice" in told
    assert "for the record" in told
    arn = running.deployment("shop/kept").arn
    gone = page.goto(f"{running.url}/requests/shop/kept/{arn.id}")
    assert gone is not None
    assert gone.status == 404
    page.close()
