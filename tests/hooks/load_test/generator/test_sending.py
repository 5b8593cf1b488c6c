"""One worker's sending, at real servers: what is sent when, and what is counted as what."""

import http.server
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import gevent
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from gevent.event import Event
from load_generator.job import Job
from load_generator.sending import Sending, _Alarm
from load_generator.snapshot import ArmCounts

from rehearsal.loopback import Behaviour, Entry, Loopback
from tests.hooks.load_test.generator.surroundings import a_job

MARKERS = {"green": "catalog:42", "blue": "catalog:41"}


def sent(job: Job, *, max_in_flight: int = 1000) -> Sending:
    sending = Sending(job, 0, 1, max_in_flight=max_in_flight, markers=MARKERS)
    sending.run()
    for arm in sending.counts.arms.values():
        assert arm.sent == arm.answered + arm.misrouted + arm.in_flight
        assert arm.answered == arm.latency.count + arm.errors.total()
    return sending


def new(loopback: Loopback, job: Job, colour: Any) -> list[Entry]:
    """Return what a colour has answered of this job: its path is the job's run."""
    return [entry for entry in loopback.log(colour) if entry.path == f"/{job.run}"]


def at(loopback: Loopback, run: str, **changes: Any) -> Job:
    return a_job(
        loopback.url, run=run, **{"seconds": 0.5, "rate": 100, "requests": [{"path": f"/{run}"}], **changes}
    )


def numbers(arm: ArmCounts) -> tuple[int, int, int, int, int, dict[str, int]]:
    return arm.sent, arm.held, arm.answered, arm.misrouted, arm.in_flight, dict(arm.errors)


def p95(arm: ArmCounts) -> float:
    found = arm.latency.percentile(95)
    assert found is not None
    return found


def test_the_servers_have_seen_exactly_what_was_counted(loopback: Loopback) -> None:
    job = at(loopback, "exact", rate=200)
    counts = sent(job).counts
    assert {name: numbers(arm) for name, arm in counts.arms.items()} == {
        "green": (100, 0, 100, 0, 0, {}),
        "blue": (20, 0, 20, 0, 0, {}),
    }
    assert counts.requests == {"GET /exact": [120, 0]}
    assert [entry.marked for entry in new(loopback, job, "green")] == [True] * 100
    assert [entry.marked for entry in new(loopback, job, "blue")] == [False] * 20
    assert counts.arms["green"].bytes == 100 * Behaviour().body_bytes


def test_requests_of_the_grace_period_are_sent_and_not_counted(loopback: Loopback) -> None:
    job = at(loopback, "grace", rate=200, graceSeconds=0.25)
    sending = sent(job)
    assert numbers(sending.counts.arms["green"]) == (50, 0, 50, 0, 0, {})
    assert sending.counts.lag.count == 60
    assert len(new(loopback, job, "green")) == 100


def test_slow_answers_don_t_slow_the_requests(loopback: Loopback) -> None:
    loopback.behave("green", Behaviour(latency_seconds=0.4))
    job = at(loopback, "slow", rate=100)
    arms = sent(job).counts.arms
    arrived = [entry.arrived for entry in new(loopback, job, "green")]
    assert len(arrived) == 50
    assert arrived[-1] - arrived[0] < 0.7
    assert p95(arms["green"]) >= 0.4
    assert p95(arms["blue"]) < 0.4


def test_what_is_due_beyond_the_limit_is_held_and_never_sent(loopback: Loopback) -> None:
    loopback.behave("green", Behaviour(latency_seconds=1.5))
    job = at(loopback, "held", rate=100, blueShare=0)
    sending = sent(job, max_in_flight=10)
    assert numbers(sending.counts.arms["green"]) == (10, 40, 10, 0, 0, {})
    assert len(new(loopback, job, "green")) == 10


def test_errors_are_in_no_latency(loopback: Loopback) -> None:
    loopback.behave("green", Behaviour(errors=0.25))
    counts = sent(at(loopback, "errors", rate=200)).counts
    assert numbers(counts.arms["green"]) == (100, 0, 100, 0, 0, {"status 503": 25})
    assert counts.arms["green"].latency.count == 75
    assert counts.requests == {"GET /errors": [120, 25]}


def test_a_status_that_is_expected_is_no_error(loopback: Loopback) -> None:
    loopback.behave("green", Behaviour(errors=1))
    job = at(loopback, "expected", blueShare=0, requests=[{"path": "/x", "expect": [[200, 200], [503, 599]]}])
    assert numbers(sent(job).counts.arms["green"]) == (50, 0, 50, 0, 0, {})


def test_connections_that_are_refused_don_t_look_fast() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        target = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        green = sent(a_job(target, seconds=0.5)).counts.arms["green"]
    assert numbers(green) == (25, 0, 25, 0, 0, {"connection refused": 25})
    assert green.latency.percentile(95) is None


def test_a_target_without_an_address_is_an_error_of_its_own() -> None:
    green = sent(a_job("http://nowhere.invalid:80", rate=10, seconds=0.3)).counts.arms["green"]
    assert numbers(green) == (3, 0, 3, 0, 0, {"no address": 3})


def test_an_answer_that_does_not_come_is_a_time_out(loopback: Loopback) -> None:
    loopback.behave("green", Behaviour(latency_seconds=3))
    green = sent(at(loopback, "late", rate=40, timeoutSeconds=0.5)).counts.arms["green"]
    assert numbers(green) == (20, 0, 20, 0, 0, {"timeout": 20})


def test_answers_of_another_revision_count_in_nothing_else(loopback: Loopback) -> None:
    loopback.behave("green", Behaviour(wrong_revision=0.2, errors=0.5))
    counts = sent(at(loopback, "misrouted", rate=100, blueShare=0)).counts
    green = counts.arms["green"]
    assert (green.sent, green.answered, green.misrouted) == (50, 40, 10)
    assert counts.requests["GET /misrouted"][0] == 40


def test_an_answer_without_a_marker_is_misrouted_unless_it_is_an_error(loopback: Loopback) -> None:
    loopback.behave("green", Behaviour(marker=False, errors=0.5))
    green = sent(at(loopback, "unmarked", rate=100, blueShare=0)).counts.arms["green"]
    assert numbers(green) == (50, 0, 25, 25, 0, {"status 503": 25})


def test_without_a_marker_nothing_is_misrouted(loopback: Loopback) -> None:
    loopback.behave("green", Behaviour(marker=False))
    green = sent(at(loopback, "no-marker", marker=None, blueShare=0)).counts.arms["green"]
    assert numbers(green) == (50, 0, 50, 0, 0, {})


def test_a_server_that_keeps_no_connection_is_asked_on_new_ones(loopback: Loopback) -> None:
    loopback.behave("green", Behaviour(keep_alive=False))
    job = a_job(loopback.green_url, seconds=0.5, rate=100, blueShare=0)
    assert numbers(sent(job).counts.arms["green"]) == (50, 0, 50, 0, 0, {})


def test_requests_are_drawn_by_weight_with_their_own_methods_and_bodies(loopback: Loopback) -> None:
    kinds = [
        {"path": "/drawn?page=1", "weight": 3},
        {"method": "POST", "path": "/drawn", "body": "x" * 60_000},
        {"method": "HEAD", "path": "/drawn"},
    ]
    counts = sent(at(loopback, "drawn", rate=200, requests=kinds)).counts
    assert counts.arms["green"].errors.total() == 0
    assert counts.requests == {
        "GET /drawn": [pytest.approx(72, abs=3), 0],
        "POST /drawn": [pytest.approx(24, abs=3), 0],
        "HEAD /drawn": [pytest.approx(24, abs=3), 0],
    }


def test_a_run_that_is_stopped_counts_what_was_on_its_way(loopback: Loopback) -> None:
    loopback.behave("green", Behaviour(latency_seconds=0.3))
    job = at(loopback, "stopped", rate=50, seconds=30, blueShare=0)
    sending = Sending(job, 0, 1, max_in_flight=100, markers=MARKERS)
    gevent.spawn_later(0.7, sending.stop)
    sending.run()
    green = sending.counts.arms["green"]
    assert numbers(green) == (len(new(loopback, job, "green")), 0, green.sent, 0, 0, {})
    assert 0.5 < sending.reached < 5
    assert sending.done.is_set()


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """Answer whatever is asked with these bytes, and close."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def handle(self) -> None:
            self.rfile.readline()
            self.wfile.write(answer)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("answer", "errors", "received"),
    [
        (b"HTTP/1.1 200 OK\r\nX-Revision: catalog:42\r\n\r\nto the end of it", {}, 16),
        (
            b"HTTP/1.1 200 OK\r\nX-Revision: catalog:42\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            {},
            5,
        ),
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 Done\r\nX-Empty:\r\nX-Revision: catalog:42\r\n\r\n",
            {},
            0,
        ),
        (b"HTTP/1.1 302 Found\r\nX-Revision: catalog:42\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n", {}, 0),
        (b"HTTP/1.1 200 OK\r\nX-Revision: catalog:42\r\nContent-Length: 9\r\n\r\nabc", {"cut short": 5}, 0),
        (b"SSH-2.0-OpenSSH_9.2\r\n", {"not HTTP": 5}, 0),
        (b"", {"no answer": 5}, 0),
    ],
    ids=["until closed", "chunked", "interim", "redirect", "cut short", "no HTTP", "nothing"],
)
def test_whatever_is_answered_is_counted_for_what_it_is(
    answer: bytes, errors: dict[str, int], received: int
) -> None:
    with answering(answer) as target:
        green = sent(a_job(target, rate=10, seconds=0.5, blueShare=0)).counts.arms["green"]
    # A server that closes with the request unread resets the connection.
    found = {kind.replace("connection reset", "no answer"): count for kind, count in green.errors.items()}
    if answer.startswith(b"SSH"):
        found = {"not HTTP": sum(found.values())}
    assert (green.sent, green.answered, found, green.bytes) == (5, 5, errors, 5 * received)


def test_a_stall_is_in_the_latency_of_all_that_waited_for_its_end(loopback: Loopback) -> None:
    """One second in five, in half the time."""
    job = at(loopback, "stall", rate=200, seconds=5, blueShare=0)
    loopback.behave("green", Behaviour(stall=(0.5, 2.5), latency_seconds=0.002))
    sending = sent(job)
    entries = sorted(new(loopback, job, "green"))
    # The load is even, so the earliest arrival tells the moments at which all of them were due.
    begin = min(entry.arrived - number / 200 for number, entry in enumerate(entries))
    truth = sorted(entry.answered - (begin + number / 200) for number, entry in enumerate(entries))
    assert len(truth) == 1000
    assert truth[949] > 0.3
    assert p95(sending.counts.arms["green"]) == pytest.approx(truth[949], rel=0.05)


@pytest.mark.parametrize("seconds", [1e-12, 1e-9, 1e-4])
def test_the_shortest_wait_ends_too(seconds: float) -> None:
    with gevent.Timeout(10), _Alarm() as alarm:
        alarm.wait(seconds, Event())


def test_what_runs_in_ordinary_processes_brings_no_gevent() -> None:
    modules = ("agent", "engine", "job", "part", "preflight", "progress", "snapshot", "__main__")
    program = (
        f"import sys, importlib; [importlib.import_module('load_generator.' + name) for name in {modules}];"
        "sys.exit(' '.join(sorted({'gevent', 'locust', 'geventhttpclient'} & sys.modules.keys())) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


class Answering(http.server.BaseHTTPRequestHandler):
    """Says who it is."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("x-revision", MARKERS["green"])
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def over_tls(folder: Path) -> Iterator[str]:
    """Serve HTTPS with a certificate of its own, which is written to ``folder/certificate.pem``."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    address, now = x509.IPAddress(IPv4Address("127.0.0.1")), datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    both = folder / "both.pem"
    both.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("trusted", [True, False])
def test_a_load_balancer_s_certificate_has_to_be_one_that_is_trusted(
    trusted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with over_tls(tmp_path) as url:
        if trusted:
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        arm = sent(a_job(url, seconds=0.5, rate=40, blueShare=0)).counts.arms["green"]

    if trusted:
        assert numbers(arm) == (20, 0, 20, 0, 0, {})
    else:
        assert (arm.sent, arm.latency.count, arm.errors.total()) == (20, 0, 20)
