"""How much load one core sends, and whether a stall is seen: this generator beside Locust's own users.

    python -m benchmarks.load_generator [--seconds 6]

*Throughput*: one generator at a time on one core, against one server on another: nginx where it is
installed, else the server of ``rehearsal.loopback``. Locust's HttpUser and FastHttpUser, and wrk and hey
where they are installed, are closed loops of 20 connections: they send as fast as they are answered. The open
loop has its rate prescribed, so that is raised by a quarter until twice in a row a request leaves later than
1 % of the run's length; the last rate before was held. Its master shares the core with its worker.

*Stall*: a server that stalls for one second in every five, asked a hundred times a second. The truth is the
server's own log: from the moment at which a request was due to the moment at which it was answered. Locust's
users are paced by ``constant_throughput``, ten of them with ten requests a second each.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from load_generator.engine import LocustEngine
from load_generator.job import Job
from load_generator.snapshot import Snapshot

from rehearsal.loopback import Behaviour, Loopback

CONNECTIONS = 20
HELD = 0.01
STEP = 1.25
TRIES = 2
FIRST_RATE = 2000.0

STALL = Behaviour(latency_seconds=0.002, stall=(1.0, 5.0))
STALL_RATE, STALL_SECONDS = 100.0, 20.0

LEAST_RATIO = 3.0

_NGINX = """\
daemon off; worker_processes 1; pid {folder}/pid; error_log stderr emerg;
events {{ worker_connections 4096; }}
http {{
    access_log off; keepalive_requests 1000000000;
    client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
    uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
    server {{
        listen 127.0.0.1:{port};
        location / {{ add_header x-revision catalog:42; return 200 "................"; }}
    }}
}}
"""

_LOCUSTFILE = """\
import locust

class Paced(locust.{user}):
    host = {url!r}
    {pace}

    @locust.task
    def ask(self):
        self.client.get("/", headers={{"x-release": "green"}})
"""


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Have what is started meanwhile run on one core, where there is more than one."""
    before = os.sched_getaffinity(0)
    cores = sorted(before)
    os.sched_setaffinity(0, {cores[core % len(cores)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def server() -> Iterator[tuple[str, str]]:
    """Serve the smallest page there is; give the server's name and where it listens."""
    nginx = shutil.which("nginx")
    if nginx is None:
        with on_core(1), Loopback() as loopback:
            yield "rehearsal.loopback (nginx is not installed)", loopback.green_url
        return
    with tempfile.TemporaryDirectory() as folder:
        # Free a moment ago, which on this machine is good enough.
        port = 18_000 + os.getpid() % 10_000
        configuration = Path(folder, "nginx.conf")
        configuration.write_text(_NGINX.format(folder=folder, port=port))
        with on_core(1):
            process = subprocess.Popen([nginx, "-c", str(configuration)])
        try:
            time.sleep(1)
            assert process.poll() is None, "nginx did not start"
            yield "nginx, one worker", f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def job(url: str, rate: float, seconds: float) -> Job:
    """Return a run that loads green alone."""
    document = {
        "version": 1,
        "run": "benchmark",
        "service": "shop/catalog",
        "target": url,
        "marker": "x-revision",
        "arms": {"green": {"headers": {"x-release": "green"}}},
        "load": [{"seconds": seconds, "from": rate, "to": rate}],
        "timeoutSeconds": 10,
        "startBefore": "2100-01-01T00:00:00Z",
    }
    return Job.read(json.dumps(document))


def open_loop(url: str, rate: float, seconds: float) -> Snapshot:
    """Run the generator with one worker."""
    environment = {**os.environ, "LOAD_TARGETS": "127.0.0.1:*", "LOAD_MAX_RATE": "1000000"}
    engine = LocustEngine(workers=1, environment=environment)
    with on_core(0):
        engine.start(job(url, rate, seconds))
    try:
        while not (snapshot := engine.look()).state.is_final:
            time.sleep(0.5)
    finally:
        engine.close()
    return snapshot


def locust(user: str, url: str, users: int, seconds: float, pace: str = "") -> dict[str, Any]:
    """Run one of Locust's own users in one process, and return its statistics' row."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "locustfile.py")
        file.write_text(_LOCUSTFILE.format(user=user, url=url, pace=pace))
        command = [sys.executable, "-m", "locust", "-f", str(file), "--headless", "--json", "--only-summary"]
        command += ["--users", str(users), "--spawn-rate", str(users), "--run-time", f"{seconds:g}s"]
        with on_core(0):
            done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
    (row,) = json.loads(done.stdout)
    return dict(row)


def rate_of(row: dict[str, Any]) -> float:
    """Return the requests per second of a statistics' row."""
    return float(row["num_requests"] / (row["last_request_timestamp"] - row["start_time"]))


def percentile(row: dict[str, Any], percent: float) -> float:
    """Return a percentile of a statistics' row, in milliseconds: what Locust's own pages show."""
    seen = 0
    for milliseconds, count in sorted((float(key), count) for key, count in row["response_times"].items()):
        seen += count
        if seen >= percent / 100 * row["num_requests"]:
            return milliseconds
    raise AssertionError("no requests")


def held(url: str, seconds: float) -> float:
    """Return the highest rate, of those tried, that was held within 1 %."""
    rate, last = FIRST_RATE, 0.0
    while any(_is_held(url, rate, seconds) for _ in range(TRIES)):
        rate, last = rate * STEP, rate
    return last


def _is_held(url: str, rate: float, seconds: float) -> bool:
    snapshot = open_loop(url, rate, seconds)
    green = snapshot.counts.arm("green")
    late = snapshot.counts.lag.highest / 1e6
    is_held = late <= HELD * seconds and green.sent == snapshot.due["green"] and not green.errors
    print(
        f"    {rate:7.0f} a second: the latest {late * 1000:.0f} ms late{'' if is_held else ', not held'}",
        flush=True,
    )
    return is_held


def other_tools(url: str, seconds: float) -> Iterator[tuple[str, float | None]]:
    """Measure wrk and hey, where they are."""
    for name, command in (
        ("wrk -t1", ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}", url]),
        ("hey", ["hey", "-c", str(CONNECTIONS), "-cpus", "1", "-z", f"{seconds:.0f}s", url]),
    ):
        if shutil.which(command[0]) is None:
            yield name, None
            continue
        with on_core(0):
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        line = next(line for line in done.stdout.splitlines() if line.strip().startswith("Requests/sec"))
        yield name, float(line.split(":")[1])


def throughput(seconds: float) -> bool:
    """Print who sends how much from one core; tell whether that is enough."""
    with server() as (name, url):
        print(f"throughput of one core, {CONNECTIONS} connections; the server is {name}")
        closed = {
            user: rate_of(locust(user, url, CONNECTIONS, seconds)) for user in ("HttpUser", "FastHttpUser")
        }
        most = held(url, seconds)
        # Both ends of the series: a machine that is shared is not the same all the time.
        again = rate_of(locust("HttpUser", url, CONNECTIONS, seconds))
        base = max(closed["HttpUser"], again)
        rows: list[tuple[str, float | None]] = [
            ("Locust HttpUser", base),
            ("Locust FastHttpUser", closed["FastHttpUser"]),
            ("OpenLoopUser, rate held within 1 %", most),
            *other_tools(url, seconds),
        ]
    for what, rate in rows:
        told = "not installed" if rate is None else f"{rate:8.0f} a second  {rate / base:5.1f} x HttpUser"
        print(f"  {what:36}{told}")
    return most >= LEAST_RATIO * base


def stall() -> bool:
    """Print who sees a stall; tell whether the open loop does."""
    rate, seconds, number = STALL_RATE, STALL_SECONDS, round(STALL_RATE * STALL_SECONDS)
    print(f"a server that stalls 1 s in every 5, {rate:g} requests a second for {seconds:g} s")
    with Loopback(green=STALL) as loopback:
        before = len(loopback.log("green"))
        snapshot = open_loop(loopback.green_url, rate, seconds)
        # The preflight asks first.
        entries = sorted(loopback.log("green")[before:])[-number:]
        begin = min(entry.arrived - index / rate for index, entry in enumerate(entries))
        truth = sorted(entry.answered - begin - index / rate for index, entry in enumerate(entries))
        rows = [("the server's own log", number, truth[int(0.95 * number) - 1] * 1000)]
        green = snapshot.counts.arm("green")
        rows.append(("OpenLoopUser", green.sent, (green.latency.percentile(95) or 0) * 1000))
        for user in ("HttpUser", "FastHttpUser"):
            loopback.behave("green", STALL)
            pace = "wait_time = locust.constant_throughput(10)"
            row = locust(user, loopback.green_url, 10, seconds, pace)
            rows.append((f"{user}, constant_throughput", row["num_requests"], percentile(row, 95)))
    for what, sent, p95 in rows:
        print(f"  {what:36}{sent:6d} requests   p95 {p95:6.0f} ms")
    return abs(rows[1][2] / rows[0][2] - 1) <= 0.05


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure both; return 1 if the generator is slower than promised, or blind."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load_generator", description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="length of each run (%(default)g)")
    options = parser.parse_args(arguments)
    results = [throughput(options.seconds), stall()]
    return int(not all(results))


if __name__ == "__main__":
    sys.exit(main())
