"""`rehearse console`: what it shows, its clock, and what the terminal says."""

import io
import re
import socket
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from rehearsal import cli
from rehearsal.console import demo
from rehearsal.console.browser import Browser
from rehearsal.console.demo import RunningConsole, open_console, scenes
from rehearsal.console.landing import LandingEnvironment
from rehearsal.console.ticker import Ticker
from rehearsal.document import DocumentError
from rehearsal.outcome import (
    ActorSpoke,
    HookCalled,
    PauseChanged,
    StageEntered,
    StatusChanged,
    WeightsChanged,
)
from rehearsal.runtime import Invocation
from tests.rehearsal.console_visits import APPROVAL, over_http, request_path, scene, signed_in


def test_the_demonstration_has_something_of_everything() -> None:
    with open_console() as running:
        pending = signed_in(running, "alice").text
        catalog = signed_in(running, "carol", request_path(running, "shop/catalog", "/step-from-10"))
        checkout = signed_in(running, "alice", request_path(running, "shop/checkout"))
        basket = signed_in(running, "bob", request_path(running, "shop/basket"))
        excluded = signed_in(running, "deployer", request_path(running, "shop/checkout"))
        days = [datetime.now(UTC).date() - timedelta(days=days) for days in (0, 1, 2)]
        history = " ".join(signed_in(running, "alice", f"/history/{day}").text for day in days)

    waiting, _, others = pending.partition("No longer waiting")
    assert sorted(re.findall(r"(?:shop|media|mail) / \w+", waiting)) == [
        "mail / notifications",
        "media / streaming",
        "shop / catalog",
        "shop / checkout",
        "shop / search",
    ]
    assert sorted(re.findall(r"shop / \w+", others)) == ["shop / basket", "shop / catalog"]
    for evidence in (
        "Image trust Passed",
        "Load test Passed",
        "Canary comparison Passed",
        "signed by key release",
    ):
        assert evidence in catalog.text
    assert "You can't decide this" in catalog.text
    assert "environment RELEASE" in catalog.text
    assert "You have approved this" in checkout.text
    assert basket.title.startswith("basket: Approved")
    assert excluded.words_after("You can't decide this").startswith("You are among those")
    assert sorted(re.findall(r"shop / (\w+) (Approved|Rejected|Expired)", history)) == [
        ("basket", "Approved"),
        ("basket", "Rejected"),
        ("checkout", "Approved"),
        ("search", "Expired"),
    ]


def test_a_longer_list_is_of_more_services() -> None:
    names = [scene.name for scene in scenes(further=3)]

    assert names[-3:] == ["shop/service-001", "shop/service-002", "shop/service-003"]
    assert len(set(names)) == len(names) == 9


def test_with_somebody_elses_provider_nobody_here_signs_in() -> None:
    shown = [scene("checkout", APPROVAL, actors=[{"console": {"name": "alice"}}])]

    with open_console(shown=shown, issuer="http://localhost:9", client_id="mine") as running:
        assert (running.issuer, running.site.provider) == ("http://localhost:9", None)
        assert running.worlds["shop/checkout"].actors == []
        page = Browser({running.url: over_http(running.url)}).open(f"{running.url}/sign-in")

    assert (page.status, page.heading) == (503, "Try again")


def test_a_port_that_is_taken_is_said_and_nothing_is_left_open() -> None:
    threads = threading.active_count()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for option in ("port", "provider_port"):
            said = f"--{option.replace('_', '-')} {port}: Address already in use"
            with pytest.raises(DocumentError, match=said), open_console(**{option: port}):
                raise AssertionError("opened")

    assert threading.active_count() == threads


def test_a_clock_plays_the_past_at_once_and_lands_in_the_present() -> None:
    before = datetime.now(UTC)
    env = LandingEnvironment(timedelta(hours=30))
    seen: list[datetime] = []

    def watch() -> Any:
        for seconds in (0, 3600, 100_000):
            yield env.timeout(seconds)
            seen.append(datetime.now(UTC))
        yield env.timeout(env.past - env.now)
        env.post(lambda: seen.append(datetime.now(UTC)))

    with env.travelling():
        env.run(until=env.process(watch()))
        env.run(until=env.timeout(0.01))

    assert [round((moment - env.epoch).total_seconds()) for moment in seen[:-1]] == [0, 3600, 103_600]
    assert before <= seen[-1] + timedelta(seconds=0.1)
    assert seen[-1] - before < timedelta(seconds=60)
    assert env.epoch + timedelta(hours=30) - before < timedelta(seconds=60)


def test_the_command_says_where_the_console_is_and_ends_with_ctrl_c(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: RunningConsole) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "scenes", lambda further: [scene(f"checkout-{further}", APPROVAL)])
    monkeypatch.setattr(RunningConsole, "wait", interrupted)

    code = cli.main(["console", "--port", "0", "--provider-port", "0", "--deployments", "3"])

    out, errors = capsys.readouterr()
    assert (code, errors) == (0, "")
    assert re.search(r"The console: http://127\.0\.0\.1:\d+/\n", out)
    assert "Carol (may look, and not decide)" in out
    assert "Ctrl-C ends it." in out


@pytest.mark.parametrize("number", ["-1", "1001", "many"])
def test_the_command_takes_a_number_of_deployments(number: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["console", "--deployments", number])


def ticked(*told: Any) -> list[str]:
    written = io.StringIO()
    ticker = Ticker(Console(file=written, width=200))
    at = datetime(2026, 3, 2, 9, 41, 7, tzinfo=UTC)
    for one in told:
        if isinstance(one, Invocation):
            ticker.logged(one.log_lines, one.error)
        else:
            ticker.saw("shop/checkout", at, one)
    return [re.sub(r"\s{2,}", "  ", line.strip()) for line in written.getvalue().splitlines()]


def call(**more: Any) -> HookCalled:
    common = {"at": 1.0, "deployment": "d", "hook": "manual_approval", "stage": "POST_TEST_TRAFFIC_SHIFT"}
    return HookCalled(**{**common, "attempt": 1, "event": {}, "reply": None, "answer": "IN_PROGRESS", **more})


def test_a_line_is_written_for_what_matters() -> None:
    assert ticked(
        StageEntered(at=1, deployment="d", stage="PRODUCTION_TRAFFIC_SHIFT", step=10),
        WeightsChanged(at=1, deployment="d", route="production", green=10, blue=90),
        call(),
        call(attempt=2),
        call(answer="FAILED", error="it \x1b[31mcrashed"),
        PauseChanged(at=1, deployment="d", hook_id="h", stage="PRE_SCALE_UP", status="AWAITING_ACTION"),
        StatusChanged(at=1, deployment="d", status="IN_PROGRESS"),
        StatusChanged(at=1, deployment="d", status="SUCCESSFUL"),
        ActorSpoke(at=1, actor="alice", text="approves"),
    ) == [
        f"09:41:07  shop/checkout  {line}"
        for line in (
            "PRODUCTION_TRAFFIC_SHIFT 10 %",
            "production traffic: green 10 %",
            "manual_approval waits at POST_TEST_TRAFFIC_SHIFT",
            "manual_approval → FAILED  it ·[31mcrashed",
            "pause hook at PRE_SCALE_UP: AWAITING_ACTION",
            "SUCCESSFUL",
            "alice  approves",
        )
    ]


def test_the_consoles_own_log_is_told_as_far_as_it_is_of_interest() -> None:
    log = [
        '{"level": "INFO", "message": "signed in", "by": "http://localhost:1#alice"}',
        '{"level": "INFO", "message": "answered", "by": "oidc:x#bob", "answer": "rejected",'
        ' "request": "/ecs-approvals/shop/checkout/d", "outcome": "rejected"}',
        '{"level": "WARNING", "message": "stopped", "by": "oidc:x#bob", "deployment": "arn"}',
        '{"level": "INFO", "message": "of no interest"}',
        '{"level": "ERROR", "message": "a defect in the console"}',
        "no JSON",
        "[]",
    ]

    lines = ticked(Invocation(log_lines=log), Invocation(error="died"))

    assert [line.partition("console  ")[2] for line in lines] == [
        "alice signs in",
        "bob says rejected: /ecs-approvals/shop/checkout; it is rejected",
        "bob stops arn",
        "a defect in the console",
        "fails: died",
    ]


def test_what_goes_wrong_behind_the_console_is_raised_where_it_was_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(demo, "dress", fail)

    with pytest.raises(ZeroDivisionError), open_console(shown=[scene("checkout", APPROVAL)]):
        raise AssertionError("opened")
