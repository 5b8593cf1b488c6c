"""What runs as visitors: requests at a rate that no answer changes, and a count of what came of them.

::

    python -I -S visits.py '{"to": 8080, "rate": 100, "paths": ["/catalog/unicorns"], ...}'    ─▶  ready
                      standard input: a line, to send no more and to count what is under way   ─▶  ready
    log, each second  {"sent": 300, "answers": {"catalog:41 200": 270, "catalog:42 200": 29}, "lost": 1}

Run by its path, like ``program``. It ends when its standard input does.
"""

import http.client
import json
import os
import queue
import sys
import threading
import time
from collections import Counter
from typing import Any

ADDRESS = "127.0.0.1"

# As many may wait for an answer at once. More than are needed while answers come.
CONNECTIONS = 32
TIMEOUT_SECONDS = 10.0

MAX_BODY_BYTES = 1024 * 1024

UNNAMED = "nobody"


class Visits:
    """The visitors, each with a connection that is kept."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._port: int = settings["to"]
        self._paths: list[str] = settings["paths"]
        self._seconds: float = 1 / settings["rate"]
        self._marker: str = settings["marker"]
        self._log: int = settings["log"]
        self._due: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._sent = self._lost = 0
        self._answers: Counter[str] = Counter()
        self._ends = threading.Event()
        self._threads = [threading.Thread(target=self._visit, daemon=True) for _ in range(CONNECTIONS)]
        self._clock = threading.Thread(target=self._send, daemon=True)

    def start(self) -> None:
        for thread in (*self._threads, self._clock):
            thread.start()

    def end(self) -> None:
        """Send no more, wait for what is under way, and tell the final count."""
        self._ends.set()
        self._clock.join()
        for _ in self._threads:
            self._due.put(None)
        for thread in self._threads:
            thread.join()
        self.tell()

    def tell(self) -> None:
        with self._lock:
            told = {"sent": self._sent, "answers": dict(self._answers), "lost": self._lost}
        os.write(self._log, json.dumps(told).encode() + b"\n")

    def _send(self) -> None:
        """Have each request leave when it is due, however the ones before it fare."""
        began = time.monotonic()
        number = 0
        told = began
        while not self._ends.wait(max(began + number * self._seconds - time.monotonic(), 0)):
            self._due.put(self._paths[number % len(self._paths)])
            number += 1
            if time.monotonic() - told >= 1:
                told = time.monotonic()
                self.tell()

    def _visit(self) -> None:
        connection = http.client.HTTPConnection(ADDRESS, self._port, timeout=TIMEOUT_SECONDS)
        while (path := self._due.get()) is not None:
            with self._lock:
                self._sent += 1
            try:
                connection.request("GET", path)
                answer = connection.getresponse()
                answer.read(MAX_BODY_BYTES)
            except (OSError, http.client.HTTPException):
                connection.close()
                with self._lock:
                    self._lost += 1
            else:
                with self._lock:
                    self._answers[f"{answer.headers.get(self._marker, UNNAMED)} {answer.status}"] += 1
        connection.close()


def main() -> None:
    visits = Visits(json.loads(sys.argv[1]))
    visits.start()
    os.write(1, b"ready\n")
    if sys.stdin.buffer.readline():
        visits.end()
        os.write(1, b"ready\n")
        sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
