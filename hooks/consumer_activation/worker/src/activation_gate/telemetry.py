"""Logs and metrics of a worker, for those who have nothing of their own.

Both are opt-in. The library logs through ``logging.getLogger("activation_gate")`` and configures nothing.
``log_as_json`` writes each record as one JSON object; ``Metrics`` writes CloudWatch's embedded metric format
(https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html),
which CloudWatch Logs turns into metrics, with no call to an API:

======================================================= ==================================================
``Active``                                              1 while this task may receive, else 0
``LeaseAgeSeconds``                                     since the latest successful read began
``InFlight``                                            messages received and not yet deleted or given up
``Received`` ``Deleted`` ``Failed`` ``PutBack``         messages since the line before
======================================================= ==================================================

The only dimension is the service: each deployment makes a new revision, and a dimension that never repeats
costs a metric each time. The revision is a property of the line, for Logs Insights.
"""

import json
import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TextIO

NAMESPACE = "ActivationGate"

_UNITS = {"Active": "None", "LeaseAgeSeconds": "Seconds"}

_STANDARD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Metrics:
    """Metrics of one task, written to *stream* as one line per ``flush``.

    >>> import io
    >>> lines = io.StringIO()
    >>> metrics = Metrics("notifications", revision="42", stream=lines, clock=lambda: 1772442003.0)
    >>> metrics.count("Received", 3)
    >>> metrics.flush()
    >>> json.loads(lines.getvalue())["Received"]
    3
    """

    def __init__(
        self,
        service: str,
        *,
        revision: str | None = None,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.service = service
        self.revision = revision
        self._stream = stream
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._gauges: dict[str, Callable[[], float | None]] = {}
        self._lock = threading.Lock()

    def count(self, name: str, by: int = 1) -> None:
        """Add to a count, which each line starts anew."""
        with self._lock:
            self._counts[name] += by

    def gauge(self, name: str, value: Callable[[], float | None]) -> None:
        """Have each line hold what *value* returns then; ``None`` leaves it out."""
        with self._lock:
            self._gauges[name] = value

    def flush(self) -> None:
        """Write one line."""
        with self._lock:
            gauges = dict(self._gauges)
            counts = dict(self._counts)
            self._counts = Counter(dict.fromkeys(counts, 0))
        read = {name: value() for name, value in gauges.items()}
        values = {name: value for name, value in read.items() if value is not None} | counts
        line: dict[str, Any] = {
            "_aws": {
                "Timestamp": int(self._clock() * 1000),
                "CloudWatchMetrics": [
                    {
                        "Namespace": NAMESPACE,
                        "Dimensions": [["Service"]],
                        "Metrics": [{"Name": name, "Unit": _UNITS.get(name, "Count")} for name in values],
                    }
                ],
            },
            "Service": self.service,
            "Revision": self.revision,
        }
        # Looked up each time: who replaces sys.stdout means all that is written afterwards.
        print(json.dumps(line | values), file=self._stream or sys.stdout, flush=True)


class JsonFormatter(logging.Formatter):
    """Each record as one JSON object, with what ``extra=`` gave it."""

    def __init__(self, **fields: Any) -> None:
        super().__init__()
        self._fields = fields

    def format(self, record: logging.LogRecord) -> str:
        found: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **self._fields,
            **{name: value for name, value in vars(record).items() if name not in _STANDARD_ATTRIBUTES},
        }
        if record.exc_info:
            found["exception"] = self.formatException(record.exc_info)
        return json.dumps(found, default=str)


def log_as_json(level: int | str = logging.INFO, **fields: Any) -> None:
    """Send all logging to standard error as JSON lines, each with *fields* in it."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter(**fields))
    logging.basicConfig(level=level, handlers=[handler], force=True)
