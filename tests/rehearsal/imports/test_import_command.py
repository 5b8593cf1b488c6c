import json
from pathlib import Path

import pytest

from rehearsal.cli import main

CONFIG = """\
{
  "judge": {"name": "NetflixACAJudge-v1.0"},
  "metrics": [
    {
      "name": "errors",
      "query": {
        "type": "cloudwatch",
        "metricStat": {
          "Metric": {
            "Namespace": "AWS/ApplicationELB",
            "MetricName": "HTTPCode_Target_5XX_Count",
            "Dimensions": [{"Name": "TargetGroup", "Value": "${scope}"}]
          },
          "Period": 60,
          "Stat": "Sum"
        }
      },
      "analysisConfigurations": {
        "canary": {"direction": "increase", "mustHaveData": true, "effectSize": {"allowedIncrease": 1.5}}
      }
    },
    {"name": "cpu", "query": {"type": "datadog"}}
  ],
  "classifier": {"scoreThresholds": {"pass": 90, "marginal": 70}}
}
"""
SETTINGS = {
    "metrics": [
        {"name": "errors", "source": "alb", "measure": "errors", "critical": False, "toleratedRatio": 1.5}
    ],
    "judge": "kayenta",
    "kayentaPassScore": 90.0,
    "kayentaMarginalScore": 70.0,
}
NOTES = [
    (6, "metrics.0.query", "it is judged as a share of requests here, as green has less traffic than blue"),
    (6, "metrics.0.query", "the target groups of green and blue are read from ECS, not from the query"),
    (
        22,
        "metrics.1",
        "not translated: a query of datadog can't be asked of CloudWatch; publish the metric there, or use a "
        "preset",
    ),
]


@pytest.fixture
def config(tmp_path: Path) -> str:
    file = tmp_path / "canary.json"
    file.write_text(CONFIG)
    return str(file)


def test_settings_are_printed_and_notes_beside_them(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["import", config])

    printed = capsys.readouterr()
    assert (code, json.loads(printed.out)) == (0, SETTINGS)
    assert printed.err.splitlines() == [f"{config}:{line}: {key}: {text}" for line, key, text in NOTES]


def test_both_may_be_one_document(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["import", config, "--json"])

    printed = capsys.readouterr()
    assert (code, printed.err) == (0, "")
    assert json.loads(printed.out) == {
        "settings": SETTINGS,
        "notes": [{"file": config, "line": line, "key": key, "note": text} for line, key, text in NOTES],
    }


def test_it_may_be_written_to_a_file(config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "settings.json"

    code = main(["import", config, "--output", str(file)])

    assert (code, capsys.readouterr().out, json.loads(file.read_text())) == (0, "", SETTINGS)


def test_nothing_translated_is_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "canary.json"
    file.write_text('{"judge": {}, "metrics": [{"query": {"type": "atlas"}}], "classifier": {}}')

    code = main(["import", str(file)])

    printed = capsys.readouterr()
    assert (code, printed.out) == (1, "")
    assert printed.err.splitlines()[-1] == f"{file}: nothing could be translated"
    assert main(["import", str(file), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["settings"] is None


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["{folder}/absent.json"], "{folder}/absent.json: No such file or directory"),
        (["{folder}"], "{folder}: not a file"),
        (["{folder}/broken"], "{folder}/broken:1: "),
        (["{folder}/binary"], "{folder}/binary: not UTF-8 text"),
        (["{folder}/large"], "{folder}/large: larger than 1000000 bytes"),
        (["{folder}/canary.json", "--arg", "a=1"], "--arg: a canary config has no arguments"),
        (["{folder}/canary.json", "--output", "{folder}/no/where"], "{folder}/no/where: No such file"),
    ],
)
def test_what_can_t_be_read_or_written_is_one_line(
    arguments: list[str], error: str, config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken").write_text("{")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "large").write_text("#" * 1_000_001)

    code = main(["import", *(argument.format(folder=tmp_path) for argument in arguments)])

    printed = capsys.readouterr()
    assert (code, printed.out) == (2, "")
    assert printed.err.startswith(f"rehearse: {error.format(folder=tmp_path)}")
    assert printed.err.count("\n") == 1
