import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest
from activation_gate import Metrics, log_as_json
from activation_gate.telemetry import JsonFormatter


def test_a_line_is_what_cloudwatch_turns_into_metrics() -> None:
    lines = io.StringIO()
    metrics = Metrics("notifications", revision="42", stream=lines, clock=lambda: 1772442003.5)
    metrics.gauge("Active", lambda: 1)
    metrics.gauge("LeaseAgeSeconds", lambda: None)
    metrics.count("Received", 2)
    metrics.count("Received")
    metrics.flush()
    assert json.loads(lines.getvalue()) == {
        "_aws": {
            "Timestamp": 1772442003500,
            "CloudWatchMetrics": [
                {
                    "Namespace": "ActivationGate",
                    "Dimensions": [["Service"]],
                    "Metrics": [{"Name": "Active", "Unit": "None"}, {"Name": "Received", "Unit": "Count"}],
                }
            ],
        },
        "Service": "notifications",
        "Revision": "42",
        "Active": 1,
        "Received": 3,
    }


def test_counts_begin_anew_with_each_line_and_are_written_when_they_are_zero() -> None:
    lines = io.StringIO()
    metrics = Metrics("notifications", stream=lines)
    metrics.count("Deleted", 10)
    metrics.flush()
    metrics.flush()
    assert [json.loads(line)["Deleted"] for line in lines.getvalue().splitlines()] == [10, 0]


def test_metrics_go_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    Metrics("notifications").flush()
    assert json.loads(capsys.readouterr().out)["Service"] == "notifications"


@pytest.fixture
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("_logging_as_before")
def test_a_record_is_one_line_of_json_with_all_that_was_said(capsys: pytest.CaptureFixture[str]) -> None:
    # pytest's own handlers would be closed by force=True.
    logging.getLogger().handlers.clear()
    log_as_json(revision="42")
    logging.getLogger("activation_gate.test").info("open %s", "now", extra={"epoch": 7, "odd": {1}})
    found = json.loads(capsys.readouterr().err)
    assert found.pop("timestamp").endswith("+00:00")
    assert found == {
        "level": "INFO",
        "logger": "activation_gate.test",
        "message": "open now",
        "revision": "42",
        "epoch": 7,
        "odd": "{1}",
    }


def test_a_trace_is_part_of_the_line() -> None:
    try:
        {}["poison"]
    except KeyError:
        record = logging.LogRecord("x", logging.ERROR, __file__, 1, "failed", None, sys.exc_info())
    found = json.loads(JsonFormatter().format(record))
    assert found["exception"].endswith("KeyError: 'poison'")
