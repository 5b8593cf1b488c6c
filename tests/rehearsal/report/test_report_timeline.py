"""What the timeline writes: golden plain text, and what a terminal shows."""

import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from rehearsal.outcome import HookCalled, Outcome
from rehearsal.report.terminal_picture import write_terminal_picture
from rehearsal.report.timeline import Timeline
from tests.rehearsal.report import samples

GOLDEN = Path(__file__).parent / "golden"


def plain(*outcomes: Outcome, show: Callable[[Timeline, Outcome], None] = Timeline.show) -> str:
    file = io.StringIO()
    with Timeline(Console(file=file, width=40)) as timeline:
        for outcome in outcomes:
            show(timeline, outcome)
        if len(outcomes) > 1:
            timeline.tour_ended(outcomes)
    return file.getvalue()


def drawn(*outcomes: Outcome, width: int = 100) -> list[str]:
    """Return the lines of a terminal that keeps what was printed."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True, record=True, _environ={})
    with Timeline(console) as timeline:
        for outcome in outcomes:
            timeline.show(outcome)
        if len(outcomes) > 1:
            timeline.tour_ended(outcomes)
    return [line.rstrip() for line in console.export_text(styles=False).splitlines()]


@pytest.mark.parametrize("name", ["approved", "rejected", "canary", "crashed", "superseded", "alarm"])
def test_plain_text_is_one_line_per_happening(name: str) -> None:
    expected = (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")

    assert plain(getattr(samples, name)()) == expected


def test_a_tour_ends_with_a_table() -> None:
    table = plain(*samples.tour()).split("\n\n")[-1].splitlines()

    assert [re.sub(" {2,}", "  ", row) for row in table] == [
        "scenario  ended as  virtual time  calls  expected?",
        "approved  SUCCESSFUL  27 m 39 s  19  yes",
        "rejected  ROLLBACK_SUCCESSFUL  4 m 09 s  11  yes",
        "alarm-while-waiting  ROLLBACK_SUCCESSFUL  4 m 40 s  8  yes",
        "canary-approvals  SUCCESSFUL  38 m 58 s  34  yes",
        "canary-refused merge=replace weights_type=float  ROLLBACK_SUCCESSFUL  17 m 32 s  21  NO",
        "linear-approvals  SUCCESSFUL  1 d 3 h  204  yes",
        "first-deployment  SUCCESSFUL  1 m 30 s  4  yes",
        "crashed  ROLLBACK_SUCCESSFUL  1 h 02 m  1  yes",
        "superseded  STOPPED  18 m 35 s  1  yes",
        "empty  PENDING  0 s  0  yes",
        "9 of 10 as expected",
    ]


def test_plain_text_carries_no_terminal_escapes() -> None:
    text = plain(*samples.tour())

    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[bold]markup[/bold]" in text


def test_polls_between_the_first_and_the_last_are_counted_not_listed() -> None:
    lines = [line for line in plain(samples.approved()).splitlines() if "manual_approval" in line]

    assert lines == [
        "  0:01:30  hook     manual_approval at POST_TEST_TRAFFIC_SHIFT: IN_PROGRESS, again in 5 s",
        (
            "  0:12:09  hook     manual_approval at POST_TEST_TRAFFIC_SHIFT: "
            "asked 19 times, after 10 m 39 s SUCCEEDED: approved by user/ana"
        ),
    ]


def test_a_log_that_is_not_utf_8_loses_characters_not_lines() -> None:
    bytes_ = io.BytesIO()
    file = io.TextIOWrapper(bytes_, encoding="ascii", newline="")
    script = samples.Script()
    script.actor("approver", "schön — ✓")
    with Timeline(Console(file=file)) as timeline:
        timeline.show(script.outcome("ascii", "", "BLUE_GREEN", "SUCCESSFUL"))
    file.flush()

    assert b"actor    approver: sch?n ? ?" in bytes_.getvalue()


def test_a_terminal_puts_quiet_stages_together_and_counts_polls() -> None:
    lines = drawn(samples.approved())

    assert lines[0].startswith("approved ───")
    assert lines[1:] == [
        "  A person approves after ten minutes.",
        "  checkout · BLUE_GREEN · application-load-balancer · seed 7",
        "  0:00:00 │ PRE_SCALE_UP · SCALE_UP · POST_SCALE_UP",
        "  0:01:30 │ TEST_TRAFFIC_SHIFT              ██████████ green 100 %",
        "  0:01:30 │ POST_TEST_TRAFFIC_SHIFT",
        "  0:11:30 ◆ approver  user/ana writes APPROVED: looks good on the test listener",
        "  0:12:09 ● manual_approval  asked 19×  → SUCCEEDED after 10 m 39 s",
        "  0:12:09 │ PRE_PRODUCTION_TRAFFIC_SHIFT",
        "  0:12:09 │ PRODUCTION_TRAFFIC_SHIFT        ██████████ green 100 %",
        "  0:12:09 │ POST_PRODUCTION_TRAFFIC_SHIFT · BAKE_TIME · CLEAN_UP",
        "  0:27:39 ■ SUCCESSFUL",
        "  ✓ as expected  ends as SUCCESSFUL  27 m 39 s, 19 calls",
        "",
    ]


def test_steps_that_go_alike_share_a_line() -> None:
    lines = drawn(samples.linear())

    assert " 1d 03:00 ⋮ 9 more steps alike              ██████████ green 100 %" in lines
    assert "          ⋮ manual_approval  asked 185×  → 9× SUCCEEDED" in lines
    assert len(lines) <= 18


def test_a_step_that_goes_another_way_is_shown() -> None:
    script = samples.Script()
    for step in (25.0, 50.0, 75.0, 100.0):
        script.stage("PRE_PRODUCTION_TRAFFIC_SHIFT", step)
        script.stage("PRODUCTION_TRAFFIC_SHIFT", step)
        script.weights("production", step)
        if step == 75:
            script.call("canary_comparison", "PRODUCTION_TRAFFIC_SHIFT", "FAILED", step=step)
            break
    lines = drawn(script.outcome("differs", "", "LINEAR", "ROLLBACK_FAILED"))

    assert "  0:00:00 │ PRODUCTION_TRAFFIC_SHIFT 50 %   █████░░░░░ green 50 %" in lines
    assert "  0:00:00 ● canary_comparison  → FAILED" in lines


@pytest.mark.parametrize("width", [20, 60, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert max(len(line) for line in drawn(samples.alarm(), samples.linear(), width=width)) <= max(width, 32)


def test_a_missed_expectation_says_what_was_seen() -> None:
    lines = drawn(samples.canary_refused())

    assert lines[-5:] == [
        "  ✗ not as expected  17 m 32 s, 21 calls",
        "    ✓ ends as ROLLBACK_SUCCESSFUL",
        "    ✗ expected: canary_comparison answers within 10 m",
        "      seen:     answered after 16 m 02 s",
        "",
    ]


def test_a_duplicate_of_an_answered_call_is_named_one() -> None:
    script = samples.Script()
    script.stage("POST_SCALE_UP")
    script.actor("network", "delivers twice")
    script.call("image_trust", "POST_SCALE_UP", "SUCCEEDED")
    script.call("image_trust", "POST_SCALE_UP", "SUCCEEDED", attempt=2)

    assert "  0:00:00 ● image_trust  asked again  → SUCCEEDED" in drawn(
        script.outcome("duplicate", "", "BLUE_GREEN", "SUCCESSFUL")
    )


def test_a_hook_that_only_observes_says_that_it_would_refuse() -> None:
    script = samples.Script()
    script.stage("PRE_SCALE_UP")
    record = {"wouldRefuse": True, "verdict": {"answer": "proceed", "reason": "no signature"}}
    script.call("image_trust", "PRE_SCALE_UP", "SUCCEEDED", record=record)

    assert "  0:00:00 ● image_trust  → SUCCEEDED  would refuse  no signature" in drawn(
        script.outcome("observed", "", "BLUE_GREEN", "SUCCESSFUL")
    )


def test_a_live_terminal_gets_its_cursor_back_after_an_exception() -> None:
    file = io.StringIO()
    console = Console(file=file, width=80, force_terminal=True, _environ={})
    outcome = samples.approved()

    def interrupted() -> None:
        with Timeline(console) as timeline:
            timeline.scenario_started("approved", "", "checkout", "BLUE_GREEN", "", 7, {})
            timeline.saw(outcome.happenings[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    hide, show = "\x1b[?25l", "\x1b[?25h"
    assert file.getvalue().rfind(show) > file.getvalue().rfind(hide) >= 0


def test_repeats_are_counted_and_surprises_can_be_run_again() -> None:
    file = io.StringIO()
    with Timeline(Console(file=file)) as timeline:
        timeline.repeat_started(20)
        for run in range(20):
            timeline.repeat_advanced(samples.canary_refused() if run in {3, 7} else samples.approved())
        timeline.repeat_ended()

    lines = file.getvalue().splitlines()
    missed = (
        "MISSED  canary-refused --seed 7 --switch merge=replace --switch weights_type=float: "
        "expected: canary_comparison answers within 10 m; seen: answered after 16 m 02 s"
    )
    assert lines[0] == "2 of 20 runs, 0 not as expected"
    assert lines[9:] == [
        "20 of 20 runs, 2 not as expected",
        "scenario        runs  ended as               virtual time  calls  as expected",
        "approved        18    18 SUCCESSFUL          27 m 39 s     19     18",
        "canary-refused  2     2 ROLLBACK_SUCCESSFUL  17 m 32 s     21     0",
        missed,
        missed,
    ]


def test_repeats_in_a_terminal_end_with_a_table_only() -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=True, record=True, _environ={})
    with Timeline(console) as timeline:
        timeline.repeat_started(2)
        timeline.repeat_advanced(samples.approved())
        timeline.repeat_advanced(samples.approved())
        timeline.repeat_ended()

    rows = [line.split() for line in console.export_text(styles=False).splitlines() if "approved" in line]
    assert rows == [["approved", "2", "2", "SUCCESSFUL", "27", "m", "39", "s", "19", "2"]]


def test_repeats_in_a_live_terminal_show_progress() -> None:
    file = io.StringIO()
    with Timeline(Console(file=file, width=100, force_terminal=True, _environ={})) as timeline:
        timeline.repeat_started(1)
        timeline.repeat_advanced(samples.canary_refused())
        timeline.repeat_ended()

    assert "1/1" in file.getvalue()
    assert "--switch merge=replace --switch weights_type=float" in file.getvalue()


def test_the_picture_loads_nothing_and_is_the_same_each_time(tmp_path: Path) -> None:
    for name in ("one.svg", "two.svg"):
        write_terminal_picture(samples.tour(), tmp_path / "docs" / name)

    one, two = ((tmp_path / "docs" / name).read_text(encoding="utf-8") for name in ("one.svg", "two.svg"))
    assert one == two
    assert one.count("http") == one.count('xmlns="http://www.w3.org/2000/svg"')
    assert "@font-face" not in one
    assert "<title>" in one


def test_time_stands_still_for_no_one() -> None:
    """Happenings are written while the scenario runs, not when it ends."""
    file = io.StringIO()
    timeline = Timeline(Console(file=file))
    outcome = samples.approved()
    timeline.scenario_started("approved", "", "checkout", "BLUE_GREEN", "", 7, {})
    first_call = next(h for h in outcome.happenings if isinstance(h, HookCalled))
    timeline.saw(first_call)

    assert "manual_approval at POST_TEST_TRAFFIC_SHIFT: IN_PROGRESS" in file.getvalue()
