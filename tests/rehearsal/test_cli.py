"""The command line: what it prints, writes and returns."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import TypeAdapter

import hooks.manual_approval.handler  # noqa: F401  # its logger keeps the standard output it first sees
from rehearsal import cli
from rehearsal.cli import MANY_SCENARIOS, main
from rehearsal.default_actors import MANNERS
from rehearsal.outcome import Outcome
from rehearsal.scenario import TOUR, Scenario, built_in
from rehearsal.switches import Switches, values

from .conftest import Tour

OUTCOMES = TypeAdapter(list[Outcome])

QUICK = """\
description: A hook that agrees.
hooks:
  - hook: scripted
    stages: [POST_TEST_TRAFFIC_SHIFT]
    replies: [{hookStatus: IN_PROGRESS}, {hookStatus: SUCCEEDED}]
switches: {map_order: source-first}
expect: {status: SUCCESSFUL}
"""


@pytest.fixture
def quick(tmp_path: Path) -> str:
    file = tmp_path / "quick.yaml"
    file.write_text(QUICK)
    return str(file)


@pytest.fixture
def disappointed(tmp_path: Path) -> str:
    file = tmp_path / "disappointed.yaml"
    file.write_text(QUICK.replace("{status: SUCCESSFUL}", "{status: STOPPED}"))
    return str(file)


def run(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = main(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


# Exit codes and what is printed


def test_a_scenario_that_ends_as_expected_exits_with_0(
    quick: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run([quick], capsys)

    assert (code, err) == (0, "")
    assert "== quick: A hook that agrees." in out
    assert "ok      status is SUCCESSFUL" in out


def test_one_that_does_not_exits_with_1_and_says_what_was_seen(
    quick: str, disappointed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run([quick, disappointed, quick], capsys)

    assert code == 1
    assert re.search(r"status is STOPPED.*SUCCESSFUL", out)
    assert "2 of 3 as expected" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["01-aproved"], "rehearse: 01-aproved: no such scenario, did you mean 'approved'?"),
        (["none.yaml"], "rehearse: none.yaml: No such file or directory"),
        (
            ["approved", "--switch", "merge=deep"],
            "rehearse: --switch merge: it can be shallow or replace",
        ),
        (["approved", "--switch", "merge"], "rehearse: --switch merge: it can be shallow or replace"),
        (
            ["approved", "--switch", "merg=replace"],
            "rehearse: --switch merg: there is no such switch; see `rehearse list`",
        ),
        (
            ["approved", "--json", "no/such/folder.json"],
            "rehearse: no/such/folder.json: can't be written: no/such is no folder, or it is one itself",
        ),
        (
            ["approved", "--html", "."],
            "rehearse: .: can't be written: . is no folder, or it is one itself",
        ),
        (["replay", "none.json"], "rehearse: none.json: No such file or directory"),
        (["serve", "01-aproved"], "rehearse: 01-aproved: no such scenario, did you mean 'approved'?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_can_not_be_used_exits_with_2_and_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)

    assert run(arguments, capsys) == (2, "", f"{message}\n")


def test_a_scenario_that_can_not_be_read_exits_with_2_and_one_line(
    tmp_path: Path, quick: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("service: {}\nhoks: []\nexpect: {status: SUCCESSFUL}\n")

    # Nothing is run before all of them can be.
    assert run([quick, str(file)], capsys) == (
        2,
        "",
        f"rehearse: {file}:2: hoks: unknown key, did you mean 'hooks'?\n",
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--repeat", "0"],
        ["--repeat", "two"],
        ["--jobs", "0"],
        ["--clock", "fast"],
        ["--lambda", "x"],
        ["--nope"],
        ["--switches", "some"],
        ["list", "people"],
        ["check"],
        ["replay"],
        ["serve", "--port", "x"],
    ],
    ids=" ".join,
)
def test_options_that_make_no_sense_exit_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert caught.value.code == 2
    assert "usage: rehearse" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--repeat N", "--switches {all}", "--json FILE", "--html FILE", "Exit code 0"]),
        ([], ["--all", "--service NAME", "--green HOW", "template.yaml --service catalog --green errors"]),
        ([], ["--green HOW", *MANNERS]),
        (["list"], ["scenarios", "actors", "switches"]),
        (["check"], ["TEMPLATE", "--strict", "--parameter NAME=VALUE", "--json"]),
        (["replay"], ["RECORD", "byte for byte"]),
        (["serve"], ["SCENARIO", "--host", "--port", "AWS_ENDPOINT_URL"]),
    ],
    ids=lambda value: " ".join(value) if value else "rehearse",
)
def test_every_command_has_help(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "--help"])

    out = " ".join(capsys.readouterr().out.split())
    assert caught.value.code == 0
    assert [word for word in words if word not in out] == []


def test_all_scenarios_are_run_with_the_tour_first(tour: Tour) -> None:
    assert tour.code == 0
    assert list(built_in())[: len(TOUR)] == list(TOUR)
    assert re.findall(r"^== ([\w-]+)", tour.printed, re.MULTILINE) == list(built_in())
    assert f"{len(built_in())} of {len(built_in())} as expected" in tour.printed


@pytest.mark.parametrize(("arguments", "names"), [([], TOUR), (["--all"], tuple(built_in()))])
def test_without_a_name_the_tour_is_run(
    arguments: list[str], names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    run: list[str] = []

    def note(_: object, scenarios: Sequence[Scenario], *__: object) -> list[Outcome]:
        run.extend(scenario.name for scenario in scenarios)
        return []

    monkeypatch.setattr(cli, "_tour", note)

    assert main(arguments) == 0
    assert tuple(run) == names


def test_what_other_processes_play_is_told_as_if_it_were_played_here(
    quick: str, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [quick] * MANY_SCENARIOS

    alone, shared = (run([*files, "--jobs", jobs], capsys) for jobs in ("1", "2"))

    assert (alone[0], alone[1].count("== quick: A hook that agrees.")) == (0, MANY_SCENARIOS)
    assert shared == alone


def test_a_pipe_gets_plain_text(quick: str) -> None:
    environment = {**os.environ, "COLUMNS": "40", "TERM": "xterm-256color"}
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-m", "rehearsal", quick],
        capture_output=True,
        env=environment,
        check=True,
        text=True,
    )

    assert finished.stderr == ""
    assert "\x1b" not in finished.stdout
    assert "\r" not in finished.stdout
    assert "  0:01:06  stage    POST_TEST_TRAFFIC_SHIFT" in finished.stdout.splitlines()


def test_a_reader_who_has_seen_enough_hears_no_complaint(quick: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "rehearsal", *[quick] * 20], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    complaints = process.stderr.read()
    process.stderr.close()

    assert (process.wait(), complaints) == (1, b"")


# Reports


def test_json_holds_every_outcome(quick: str, disappointed: str, tmp_path: Path) -> None:
    file = tmp_path / "outcomes.json"

    assert main([quick, disappointed, "--seed", "3", "--json", str(file)]) == 1

    outcomes = OUTCOMES.validate_json(file.read_bytes())
    assert [
        (outcome.scenario, outcome.seed, outcome.status, outcome.as_expected) for outcome in outcomes
    ] == [
        ("quick", 3, "SUCCESSFUL", True),
        ("disappointed", 3, "SUCCESSFUL", False),
    ]
    assert all(outcome.calls for outcome in outcomes)


def test_html_is_one_file_that_needs_no_other(quick: str, tmp_path: Path) -> None:
    file = tmp_path / "report.html"

    assert main([quick, "--html", str(file)]) == 0

    page = file.read_text()
    assert page.startswith(("<!doctype html>", "<!DOCTYPE html>"))
    assert "quick" in page
    assert not re.search(r"""(src|href)=["']?https?:""", page)


# Many runs


def many(arguments: list[str], tmp_path: Path) -> list[Outcome]:
    file = tmp_path / "many.json"
    assert main([*arguments, "--json", str(file)]) == 0
    return OUTCOMES.validate_json(file.read_bytes())


def test_repeated_runs_have_seeds_of_their_own(quick: str, tmp_path: Path) -> None:
    outcomes = many([quick, "--repeat", "3", "--seed", "5"], tmp_path)

    assert [outcome.seed for outcome in outcomes] == [5, 6, 7]
    assert len({outcome.calls[0].deployment for outcome in outcomes}) == 3


def test_two_processes_give_what_one_gives_in_the_same_order(quick: str, tmp_path: Path) -> None:
    arguments = [quick, "rejected", "--repeat", "12", "--seed", "1"]

    one = many([*arguments, "--jobs", "1"], tmp_path)
    two = many([*arguments, "--jobs", "2"], tmp_path)

    assert len(one) == 24
    assert [outcome.model_dump_json() for outcome in one] == [outcome.model_dump_json() for outcome in two]


def test_a_run_alone_equals_the_same_run_among_many(quick: str, tmp_path: Path) -> None:
    among_many = many([quick, "--repeat", "4"], tmp_path)
    (alone,) = many([quick, "--seed", "3"], tmp_path)

    assert alone == among_many[3]


def test_one_disappointment_among_many_runs_exits_with_1(
    quick: str, disappointed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run([quick, disappointed, "--repeat", "2", "--jobs", "1"], capsys)

    assert code == 1
    assert "2 not as expected" in out


def test_all_switches_are_tried_one_value_at_a_time_on_top_of_those_given(quick: str, tmp_path: Path) -> None:
    outcomes = many([quick, "--switches", "all", "--switch", "merge=replace", "--jobs", "1"], tmp_path)

    base = {"map_order": "source-first", "merge": "replace"}
    others = [{name: value} for name in Switches.model_fields for value in values(name)[1:]]
    assert [outcome.switches for outcome in outcomes] == [base, *({**base, **other} for other in others)]


# list


def test_list_names_scenarios_actors_and_switches(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(["list"], capsys)

    assert code == 0
    assert re.findall(r"^  ([\w-]+)\n", out, re.MULTILINE)[: len(TOUR)] == list(TOUR)
    assert [
        name for name in [*built_in(), "approver", "trouble", *Switches.model_fields] if name not in out
    ] == []


@pytest.mark.parametrize(
    ("what", "has", "has_not"),
    [
        ("scenarios", "approved", "weights_type"),
        ("actors", "approver: {", "approved"),
        ("switches", "merge=shallow|replace", "approver: {"),
    ],
)
def test_list_can_be_asked_for_one_kind(
    what: str, has: str, has_not: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(["list", what], capsys)

    assert code == 0
    assert has in out
    assert has_not not in out


# check, replay


def test_check_is_handed_its_templates_and_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    template = tmp_path / "template.yaml"
    template.write_text("Resources: {}\n")

    code, out, _ = run(["check", str(template), "--json"], capsys)

    assert code == 0
    assert isinstance(json.loads(out), dict | list)


def test_replay_exits_with_0_for_what_the_rehearsal_wrote_and_1_when_it_was_tampered_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "outcomes.json"
    main(["rejected", "--json", str(file)])
    tampered = tmp_path / "tampered.json"
    tampered.write_text(file.read_text().replace('"answer": "refuse"', '"answer": "proceed"'))
    assert tampered.read_text() != file.read_text()
    capsys.readouterr()

    assert run(["replay", str(file)], capsys)[0] == 0
    code, out, _ = run(["replay", str(tampered), str(file)], capsys)
    assert code == 1
    assert [line[0] for line in out.splitlines() if not line.startswith(" ")] == ["—", "✗", "—", "✓"]
