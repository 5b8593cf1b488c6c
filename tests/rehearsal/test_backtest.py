"""``rehearse backtest``: files of minutes, what is said of them, and what can't be read."""

import io
import json
import runpy
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rehearsal.backtest
from rehearsal.cli import main
from rehearsal.report.page import MAX_IN_DETAIL
from tests.rehearsal.report.test_report_page import Reader

EXAMPLE = Path(__file__).parents[2] / "examples" / "canary_backtest"

HEADER = "run,time,metric,green_bad,green_total,blue_bad,blue_total,green,blue"
COUNTS = "time,metric,green_bad,green_total,blue_bad,blue_total"
SETTINGS = "metrics: [{source: alb, measure: errors}]\nwarmUpMinutes: 0\n"
GAUGE_TOO = """\
metrics:
  - {source: alb, measure: errors}
  - {source: alb, measure: latency, onUnknown: ignore}
warmUpMinutes: 0
"""

HEALTHY, WORSE, QUIET, UNKNOWN = "30,1000,270,9000", "150,1000,270,9000", "0,10,0,90", ",,,"

HEALTHY_TEXT = "errors: green 3 % of 6,000, blue 3 % of 54,000, 1 times (95 %: 0.86 to 1.17)"
OF_TWO = "green 15 % of 2,000, blue 3 % of 18,000, 5 times (95 %: 4.3 to 5.8), certain since 12:02"
OF_SIX = "green 15 % of 6,000, blue 3 % of 54,000, 5 times (95 %: 4.6 to 5.4), certain since 12:02"


class Files:
    """The files of one call of the command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.metrics = folder / "day.csv"
        self.settings = folder / "hook.yaml"

    def write(self, metrics: str | bytes, settings: str = SETTINGS) -> None:
        self.metrics.write_bytes(metrics if isinstance(metrics, bytes) else metrics.encode())
        self.settings.write_text(settings)

    def backtest(self, *arguments: str) -> int:
        return main(
            ["backtest", "--metrics", str(self.metrics), "--settings", str(self.settings), *arguments]
        )

    def without_folder(self, text: str) -> str:
        return text.replace(f"{self.folder}/", "")


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def day(*values: str) -> str:
    """Return a file of one run."""
    lines = [f"2026-03-05T12:{number:02}Z,errors,{value}" for number, value in enumerate(values)]
    return "\n".join([COUNTS, *lines]) + "\n"


def week(**runs: Sequence[str]) -> str:
    """Return a file of many runs."""
    lines = [
        f"{name},2026-03-05T12:{number:02}Z,errors,{value},,"
        for name, values in runs.items()
        for number, value in enumerate(values)
    ]
    return "\n".join([HEADER, *lines]) + "\n"


# Exit codes and what is printed


def test_a_healthy_run_is_told_in_full_and_exits_with_0(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    files.write(day(*[HEALTHY] * 6))

    assert files.backtest() == 0
    assert capsys.readouterr() == (
        f"day: goes on, as good from minute 5 of 6\n    good         {HEALTHY_TEXT}\n",
        "",
    )


def test_a_worse_one_is_refused_and_exits_with_1(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    files.write(day(*[WORSE] * 6))

    assert files.backtest() == 1
    assert capsys.readouterr() == (
        f"day: refused at minute 2 of 6, 12:02 UTC: green is worse: errors: {OF_TWO}\n"
        f"    worse        errors: {OF_SIX}\n",
        "",
    )


@pytest.mark.parametrize(
    ("values", "settings", "told"),
    [
        (
            [HEALTHY] * 8 + [WORSE] * 8,
            "",
            "day: refused at minute 10 of 16, 12:10 UTC (as good from minute 5): ",
        ),
        (
            [UNKNOWN] * 4,
            "",
            "day: refused when looking back at 4 minutes: not known for 10 minutes: errors is ",
        ),
        ([QUIET] * 4, "", "day: goes on after 4 minutes: nothing is certain, and onInconclusive is pass: "),
        (
            [QUIET] * 4,
            "onInconclusive: refuse",
            "day: refused at minute 4 of 4, 12:04 UTC: nothing is certain, ",
        ),
    ],
)
def test_the_first_line_says_what_would_have_become_of_it(
    files: Files, capsys: pytest.CaptureFixture[str], values: Sequence[str], settings: str, told: str
) -> None:
    files.write(day(*values), SETTINGS + settings)

    assert files.backtest() == (1 if "refused" in told else 0)
    assert capsys.readouterr().out.startswith(told)


def test_what_is_not_known_says_where_the_file_is_empty(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    files.write(day(*["1,,3,90"] * 3))

    files.backtest()

    assert "errors is not known in 3 of 3 minutes: green_total of 12:02 left empty" in capsys.readouterr().out


def test_many_runs_are_a_table_with_totals(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    files.write(
        week(monday=[HEALTHY] * 6, tuesday=[WORSE] * 6, wednesday=[QUIET] * 4, thursday=[UNKNOWN] * 3)
    )

    assert files.backtest() == 1
    assert capsys.readouterr().out == (
        f"""\
run        minutes  good from    refused at  at the end
monday           6          5                good
tuesday          6                        2  worse
    green is worse: errors: {OF_TWO}
wednesday        4                           inconclusive
thursday         3             looking back  unknown
    not known for 10 minutes: errors is not known in 3 of 3 minutes: green_bad and green_total and blue_bad \
and blue_total of 12:02 left empty

4 runs of 19 minutes in all: 2 refused, 1 good, 1 gone on otherwise
1 refused while held, after 2 minutes in the median
"""
    )


def test_another_judge_is_set_beside_the_settings_own(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    files.write(week(monday=[HEALTHY] * 12, tuesday=[HEALTHY] * 10 + ["100,1000,270,9000"] * 10))

    assert files.backtest("--judge", "kayenta") == 1
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "run      minutes  good from    refused at  at the end    kayenta"
    assert out[1] == "monday        12          5                good          goes on"
    assert out[-1].startswith("kayenta refuses ")


def test_one_run_by_both_judges(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    files.write(day(*[WORSE] * 12))

    assert files.backtest("--judge", "kayenta") == 1
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("day: refused at minute 2 of 12, 12:02 UTC: green is worse: errors: ")
    assert out[1].startswith(
        "kayenta: refused at minute 12 of 12, 12:12 UTC: green is worse: score 0 of 100 is Fail"
    )


def test_the_settings_own_judge_is_not_set_beside_itself(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    files.write(day(*[HEALTHY] * 6))
    files.backtest()
    alone = capsys.readouterr()

    files.backtest("--judge", "sequential")

    assert capsys.readouterr() == alone


def test_a_policy_that_overrules_is_named(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    files.write(day(*[HEALTHY] * 6), SETTINGS + "minimumMinutes: 2\n")
    policy = files.folder / "policy.json"
    policy.write_text('{"minimumMinutes": 6, "metrics": ["alb"]}')

    # The policy compares the whole preset, which the file has no rows of.
    assert files.backtest("--policy", str(policy)) == 2

    policy.write_text('{"minimumMinutes": 6, "metrics": [{"source": "alb", "measure": "errors"}]}')
    capsys.readouterr()
    assert files.backtest("--policy", str(policy)) == 0
    out, err = capsys.readouterr()
    assert out.startswith("day: goes on, as good from minute 6 of 6\n")
    assert files.without_folder(err) == "policy.json: overrules minimumMinutes of hook.yaml\n"


def test_times_may_be_of_any_zone_and_a_file_from_a_spreadsheet(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        f"{COUNTS}\r\n2026-03-05T13:00:00+01:00, errors ,{WORSE}\r\n\r\n2026-03-05T12:01Z,errors,{WORSE}\r\n"
    )
    files.write(b"\xef\xbb\xbf" + text.encode())

    assert files.backtest() == 1
    assert capsys.readouterr().out.startswith("day: refused at minute 2 of 2, 12:02 UTC: ")


def test_a_metric_that_may_be_absent_needs_neither_rows_nor_columns(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    files.write(day(*[HEALTHY] * 6), GAUGE_TOO)

    assert files.backtest() == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        f"    good         {HEALTHY_TEXT}",
        "    unknown      latency is not known in 6 of 6 minutes: no row of 12:05",
    ]


def test_empty_settings_are_the_defaults(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        f"2026-03-05T12:{number:02}Z,{metric},{HEALTHY}"
        for number in range(6)
        for metric in ("errors", "connectionErrors", "slow")
    ]
    files.write("\n".join([COUNTS, *lines]), "")

    assert files.backtest() == 0
    assert len(capsys.readouterr().out.splitlines()) == 4


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_a_bar_is_gone_before_the_first_verdict(files: Files) -> None:
    files.write(week(monday=[HEALTHY] * 6, tuesday=[QUIET] * 4))
    terminal = Terminal()

    rehearsal.backtest.run(
        files.metrics,
        files.settings,
        policy=None,
        judge=None,
        json_file=None,
        html_file=None,
        stdout=terminal,
        stderr=terminal,
    )

    drawn, _, told = terminal.getvalue().rpartition("\x1b[2K")
    assert "judging" in drawn
    lines = [line.split() for line in told.splitlines() if line[:1].isalnum()]
    assert [words[0] for words in lines] == ["monday", "tuesday", "2"]


def test_help_teaches_with_the_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main(["backtest", "--help"])

    assert exited.value.code == 0
    out = capsys.readouterr().out
    assert "run,time,metric,green_bad,green_total,blue_bad,blue_total,green,blue" in out
    assert "--metrics examples/canary_backtest/week.csv" in out


# What can't be read

ROW = f"2026-03-05T12:00Z,errors,{HEALTHY}"


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ("", "day.csv:1: there is no column 'time'; the first line names the columns"),
        ("time,metric\n", "day.csv:1: there is no column 'green_bad'; the first line names the columns"),
        (f"{COUNTS},bleu\n", "day.csv:1: no such column: 'bleu'; did you mean 'blue'?"),
        (
            f"{COUNTS},region\n",
            f"day.csv:1: no such column: 'region'; there are {HEADER.replace(',', ', ')}",
        ),
        (
            f"{COUNTS.replace(',', ';')}\n",
            f"day.csv:1: no such column: '{COUNTS.replace(',', ';')}'; there are {HEADER.replace(',', ', ')}",
        ),
        (f"{COUNTS},time\n", "day.csv:1: time: two columns have this name"),
        (f"{COUNTS}\n", "day.csv:1: no rows below the header"),
        (f"{COUNTS}\n{ROW},5\n", "day.csv:2: a row of 7 cells under a header of 6"),
        (f"{COUNTS}\n{ROW}\n2026-03-05T12:01Z\n", "day.csv:3: a row of 1 cells under a header of 6"),
        (
            f"{COUNTS}\n{ROW}\nyesterday,errors,{HEALTHY}\n",
            "day.csv:3: time: 'yesterday' is no time with a zone, such as 2026-03-05T12:00:00Z",
        ),
        (
            f"{COUNTS}\n2026-03-05T12:00,errors,{HEALTHY}\n",
            "day.csv:2: time: '2026-03-05T12:00' is no time with a zone, such as 2026-03-05T12:00:00Z",
        ),
        (
            f"{COUNTS}\n2026-03-05T12:00:30Z,errors,{HEALTHY}\n",
            "day.csv:2: time: '2026-03-05T12:00:30Z' is no whole minute; a row is of the minute it begins",
        ),
        (
            f"{COUNTS}\n9999-12-31T23:59Z,errors,{HEALTHY}\n",
            "day.csv:2: time: '9999-12-31T23:59Z' is no time of a deployment",
        ),
        (
            f"{COUNTS}\n{ROW}\n2026-03-05T13:00+01:00,errors,{HEALTHY}\n",
            "day.csv:3: time: 'errors' has this minute in line 2 already",
        ),
        (
            f"{COUNTS}\n2026-03-05T12:00Z,error,{HEALTHY}\n",
            "day.csv:2: metric: 'error' is not among the metrics of the settings; did you mean 'errors'?",
        ),
        (
            f"{COUNTS}\n2026-03-05T12:00Z,cpu,{HEALTHY}\n",
            "day.csv:2: metric: 'cpu' is not among the metrics of the settings; they compare errors",
        ),
        (f"{COUNTS}\n2026-03-05T12:00Z,errors,1,ten,1,10\n", "day.csv:2: green_total: 'ten' is no number"),
        (f"{COUNTS}\n2026-03-05T12:00Z,errors,1,10,1,1_0\n", "day.csv:2: blue_total: '1_0' is no number"),
        (f"{COUNTS}\n2026-03-05T12:00Z,errors,nan,10,1,10\n", "day.csv:2: green_bad: 'nan' is no number"),
        (
            f"{COUNTS}\n2026-03-05T12:00Z,errors,1,10,-1,10\n",
            "day.csv:2: blue_bad: '-1' is not between 0 and 1e+15",
        ),
        (
            f"{COUNTS}\n2026-03-05T12:00Z,errors,1,1e999,1,10\n",
            "day.csv:2: green_total: '1e999' is not between 0 and 1e+15",
        ),
        (
            f'{COUNTS}\n"2026-03-05T12:00Z"x,errors\n',
            "day.csv:2: not readable as CSV: ',' expected after '\"'",
        ),
        (f"{HEADER}\n,{ROW},,\n", "day.csv:2: run: empty; it names the deployment that the row is of"),
        (
            f"{HEADER}\n{'x' * 101},{ROW},,\n",
            f"day.csv:2: run: longer than 100 characters: '{'x' * 101}'",
        ),
        (
            f"{HEADER}\nmonday,{ROW},1,\n",
            "day.csv:2: green: 'errors' is a count and takes green_bad, green_total, blue_bad, blue_total; "
            "leave this empty",
        ),
        (
            f"{COUNTS}\n{ROW}\n{ROW.replace('12:00', '00:00')}\n",
            "day.csv:2: time: run 'day' is of 721 minutes, from 2026-03-05T00:00:00Z to "
            "2026-03-05T12:00:00Z; at most 720 are judged as one: name the deployments in the column 'run'",
        ),
        (b"\xff\xfe", "day.csv: not UTF-8 text"),
    ],
)
def test_what_is_wrong_in_the_file_is_named_with_its_line_and_column(
    files: Files, capsys: pytest.CaptureFixture[str], metrics: str | bytes, message: str
) -> None:
    files.write(metrics)

    assert files.backtest() == 2
    out, err = capsys.readouterr()
    assert (out, files.without_folder(err)) == ("", f"rehearse: {message}\n")


@pytest.mark.parametrize(
    ("metrics", "settings", "message"),
    [
        (
            f"{COUNTS}\n2026-03-05T12:00Z,latency,,,,\n",
            GAUGE_TOO,
            "day.csv:2: metric: 'latency' is a gauge, and there is no column 'green'",
        ),
        (
            f"{HEADER}\nmonday,2026-03-05T12:00Z,latency,,,,7,1,2\n",
            GAUGE_TOO,
            "day.csv:2: blue_total: 'latency' is a gauge and takes green, blue; leave this empty",
        ),
        (
            f"{HEADER}\nmonday,{ROW},,\ntuesday,2026-03-05T12:00Z,latency,,,,,1,2\n",
            GAUGE_TOO,
            "day.csv:3: metric: run 'tuesday' has no row of 'errors', which the settings compare; leave "
            "cells empty where it was not known, or set its onUnknown to ignore",
        ),
        (
            "time,metric,green\n",
            GAUGE_TOO,
            "day.csv:1: there is no column 'blue'; the first line names the columns",
        ),
        (ROW, "- alb", "hook.yaml:1: expected the keys and values of hookDetails, not an array of 1"),
        (
            ROW,
            "holdMinutes: 5\nmetrcs: []",
            "hook.yaml:2: hookDetails: unknown key 'metrcs', did you mean 'metrics'?",
        ),
        (
            ROW,
            "metrics:\n  - alb\n  - source: alb\n    measure: latency\n    name: p100\n    percentile: 100\n",
            "hook.yaml:6: hookDetails: metrics.1.alb.percentile: input should be less than 100, got 100",
        ),
        (ROW, "metrics: [", "hook.yaml:1: expected the node content, but found '<stream end>'"),
    ],
)
def test_what_is_wrong_between_file_and_settings_is_named_where_it_stands(
    files: Files, capsys: pytest.CaptureFixture[str], metrics: str, settings: str, message: str
) -> None:
    files.write(metrics, settings)

    assert files.backtest() == 2
    out, err = capsys.readouterr()
    assert (out, files.without_folder(err)) == ("", f"rehearse: {message}\n")


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (
            "{holdMinutes: 10,\n minimumMinute: 5}",
            "policy.yaml:2: HOOK_POLICY: unknown key 'minimumMinute', did you ",
        ),
        ("[1]", "policy.yaml:1: HOOK_POLICY: input should be a valid dictionary"),
        (
            "maxToleratedRatio: 1.1",
            "policy.yaml:1: metrics: 'errors' tolerates 1.25 times as bad, the policy's maxToleratedRatio is "
            "1.1",
        ),
    ],
)
def test_what_is_wrong_with_the_policy_is_named_in_its_file(
    files: Files, capsys: pytest.CaptureFixture[str], policy: str, message: str
) -> None:
    files.write(day(HEALTHY))
    file = files.folder / "policy.yaml"
    file.write_text(policy)

    assert files.backtest("--policy", str(file)) == 2
    assert files.without_folder(capsys.readouterr().err).startswith(f"rehearse: {message}")


def test_what_the_settings_want_and_the_policy_forbids_is_named_in_the_settings(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    files.write(day(HEALTHY), "metrics:\n- {source: alb, measure: errors, toleratedRatio: 9, name: own}\n")
    file = files.folder / "policy.yaml"
    file.write_text("maxToleratedRatio: 5")

    assert files.backtest("--policy", str(file)) == 2
    assert files.without_folder(capsys.readouterr().err) == (
        "rehearse: hook.yaml:1: metrics: 'own' tolerates 9 times as bad, the policy's maxToleratedRatio is "
        "5\n"
    )


@pytest.mark.parametrize(
    ("name", "limit", "message"),
    [
        ("MAX_BYTES", 100, "day.csv: larger than 100 bytes; judge fewer runs at a time"),
        ("MAX_ROWS", 3, "day.csv:5: more than 3 rows; judge fewer runs at a time"),
    ],
)
def test_how_much_is_read_is_bounded(
    files: Files,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    limit: int,
    message: str,
) -> None:
    monkeypatch.setattr(rehearsal.backtest, name, limit)
    files.write(day(*[HEALTHY] * 4))

    assert files.backtest() == 2
    assert files.without_folder(capsys.readouterr().err) == f"rehearse: {message}\n"


def test_a_file_that_is_none_is_named(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    files.write(day(HEALTHY))
    files.metrics.unlink()
    assert files.backtest() == 2
    files.metrics.mkdir()
    assert files.backtest() == 2

    assert files.without_folder(capsys.readouterr().err) == (
        "rehearse: day.csv: No such file or directory\nrehearse: day.csv: not a file\n"
    )


@pytest.mark.parametrize("option", ["--json", "--html"])
def test_a_report_that_can_not_be_written_is_refused_before_the_work(
    files: Files, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    files.write("never read")

    assert files.backtest(option, str(files.folder / "none" / "out")) == 2
    assert files.without_folder(capsys.readouterr().err).startswith("rehearse: none/out: can't be written: ")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.lists(
            st.one_of(
                st.sampled_from(
                    ["errors", "latency", "2026-03-05T12:00Z", "2026-03-05T12:01Z", "", "7", "1e15"]
                ),
                st.text(max_size=8),
            ),
            min_size=9,
            max_size=9,
        ).map(",".join),
        max_size=4,
    ),
    st.lists(
        st.tuples(st.sampled_from(["0", "", "3", "1e15", "0.5", "1e-300"]), st.integers(0, 9)), max_size=12
    ),
)
def test_whatever_is_in_a_file_is_judged_or_pointed_at(
    files: Files, rows: Sequence[str], changes: Sequence[tuple[str, int]]
) -> None:
    values = "\n".join(
        f"a,2026-03-05T13:{minute:02}Z,errors,{value},{value},{value},{number},,"
        for minute, (value, number) in enumerate(changes)
    )
    files.write("\n".join([HEADER, *rows, values]).encode("utf-8", "surrogatepass"), GAUGE_TOO)

    assert files.backtest("--html", str(files.folder / "out.html")) in {0, 1, 2}


# JSON and HTML


def test_the_json_has_every_verdict_and_finding(files: Files) -> None:
    files.write(week(monday=[WORSE] * 6))
    file = files.folder / "out.json"

    files.backtest("--json", str(file), "--judge", "kayenta")
    written: dict[str, Any] = json.loads(file.read_text())

    assert written["totals"] == {
        "runs": 1,
        "minutes": 6,
        "refused": 1,
        "refusedWhileHeld": 1,
        "medianMinutesToRefuse": 2,
        "good": 0,
        "wentOnOtherwise": 0,
        "beside": {"judge": "kayenta", "refused": 1, "agree": 1},
    }
    assert (written["settings"]["judge"], written["settings"]["warmUpMinutes"]) == ("sequential", 0)
    (run,) = written["runs"]
    beside = run.pop("kayenta")
    assert run == {
        "run": "monday",
        "start": "2026-03-05T12:00:00Z",
        "minutes": 6,
        "refusal": {
            "minute": 2,
            "at": "2026-03-05T12:02:00Z",
            "lookingBack": False,
            "reason": f"green is worse: errors: {OF_TWO}",
        },
        "goodFrom": None,
        "verdict": "worse",
        "reason": f"green is worse: errors: {OF_SIX}",
        "findings": [
            {
                "metric": "errors",
                "verdict": "worse",
                "text": f"errors: {OF_SIX}",
                "ratio": pytest.approx(5),
                "low": pytest.approx(4.61, abs=0.01),
                "high": pytest.approx(5.42, abs=0.01),
                "certainSince": "2026-03-05T12:02:00Z",
            }
        ],
    }
    assert (beside["refusal"]["minute"], beside["verdict"]) == (6, "worse")


def test_the_page_draws_both_revisions_and_the_evidence_of_each_run(files: Files) -> None:
    files.write(week(monday=[HEALTHY] * 6, **{"<b>tuesday": [WORSE] * 6}))
    file = files.folder / "out.html"

    files.backtest("--html", str(file), "--judge", "kayenta")
    text = file.read_text()
    page = Reader(text)

    assert "Backtest: 1 of 2 refused" in page.text
    assert [element["id"] for element in page.all("article")] == ["run-1", "run-2"]
    assert "<b>tuesday" in page.text
    assert f"refused at minute 2 of 6, 12:02 UTC: green is worse: errors: {OF_TWO}" in page.text
    assert text.count('<polyline class="series green"') == 2
    assert text.count('<polyline class="series blue"') == 2
    assert [text.strip() for text in page.text].count("evidence that green is worse: errors") == 2
    assert sum(line.startswith("certain: ") for line in page.text) == 4  # a line's title, and the legend
    assert any(line.startswith("kayenta: refused at minute 6 of 6") for line in page.text)
    assert not any("http" in str(value) for _, attributes in page.elements for value in attributes.values())
    assert page.all("script") == []


def test_of_very_many_runs_the_refused_ones_are_drawn(files: Files) -> None:
    runs = {f"run {number}": [HEALTHY] for number in range(MAX_IN_DETAIL)}
    files.write(week(**runs, last=[WORSE] * 3))
    file = files.folder / "out.html"

    files.backtest("--html", str(file))
    page = Reader(file.read_text())

    drawn = [element["id"] for element in page.all("article")]
    assert len(drawn) == MAX_IN_DETAIL
    assert drawn[-1] == f"run-{MAX_IN_DETAIL + 1}"
    assert "1 runs are listed here and not drawn; all of them are in the JSON file." in page.text


# The example


def test_the_example_is_what_its_generator_writes() -> None:
    written = io.StringIO()
    with redirect_stdout(written):
        runpy.run_path(str(EXAMPLE / "generate.py"), run_name="__main__")

    assert written.getvalue() == (EXAMPLE / "week.csv").read_text()


def test_in_the_example_the_two_bad_deployments_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(
        ["backtest", "--metrics", str(EXAMPLE / "week.csv"), "--settings", str(EXAMPLE / "settings.yaml")]
    )

    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines() if line[:1].isalpha()]
    assert code == 1
    assert [(words[0], words[-1].strip()) for words in lines[1:6]] == [
        ("monday", "good"),
        ("tuesday", "worse"),
        ("wednesday", "good"),
        ("thursday", "worse"),
        ("friday night", "inconclusive"),
    ]
