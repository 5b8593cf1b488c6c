"""Debian's docker-registry, a real one: CNCF's distribution, without referrers API.

It runs on a free port of 127.0.0.1 with a configuration of its own, and ends with its block.
"""

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

COMMAND = "docker-registry"

_CONFIGURATION = """\
version: 0.1
log: {{level: info}}
storage:
  filesystem: {{rootdirectory: "{folder}"}}
  delete: {{enabled: false}}
http:
  addr: 127.0.0.1:0
"""


def is_installed() -> bool:
    return shutil.which(COMMAND) is not None


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Run the registry; yield its ``host:port``."""
    configuration = folder / "config.yml"
    configuration.write_text(_CONFIGURATION.format(folder=folder / "storage"))
    process = subprocess.Popen(
        [COMMAND, "serve", str(configuration)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": "/usr/bin:/bin", "OTEL_TRACES_EXPORTER": "none"},
    )
    # A pipe that nobody reads would stop the registry after some hundred requests.
    log = process.stderr
    assert log is not None
    rest = threading.Thread(target=lambda: list(log), daemon=True)
    try:
        address = _address(log)
        rest.start()
        yield address
    finally:
        process.terminate()
        process.wait(timeout=10)
        if rest.ident:
            rest.join()
        log.close()


def _address(log: IO[str]) -> str:
    """Read where it listens from its log: the port is free when it is chosen, and nobody else's then."""
    seen = []
    for line in log:
        seen.append(line)
        if found := re.search(r"listening on (127\.0\.0\.1:\d+)", line):
            return found[1]
    raise RuntimeError(f"{COMMAND} ended: {''.join(seen[-5:])}")
