"""Requests over real sockets: what comes, what does not, and what nobody may stretch."""

import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hooks.smoke_test import probe
from hooks.smoke_test.address import Origin
from hooks.smoke_test.decision import Answer, Expected
from hooks.smoke_test.probe import MAX_BODY_BYTES, MAX_HEADER_CHARACTERS, ask, open_door
from shared import clock
from shared.errors import Misconfigured
from tests.hooks.smoke_test.answering import OK, answering

HEALTH = Expected(method="GET", path="/health?deep=1", status=200, text="ok", headers={})
GOOD = Answer(status=200, milliseconds=0, headers={"x-revision": "shop:7"}, has_text=True)


@pytest.fixture(autouse=True)
def _standing_clock() -> Any:
    """Let answers take no time, except where a test says so."""
    with time_machine.travel(datetime(2026, 3, 5, 12, tzinfo=UTC), tick=False):
        yield


def asked(
    port: int,
    expected: Expected = HEALTH,
    *,
    headers: dict[str, str] | None = None,
    timeout: float = 5.0,
    wanted: tuple[str, ...] = ("X-Revision",),
) -> Answer:
    door = open_door(Origin("http", "127.0.0.1", port))
    return ask(door, expected, headers=headers or {}, wanted=wanted, timeout_seconds=timeout)


def test_one_request_is_sent_with_the_header_and_nothing_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login alice password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with answering(OK) as server:
        answer = asked(server.port, headers={"X-BG-Test": "green"})

    assert answer == GOOD
    assert server.requests == [
        b"GET /health?deep=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX-BG-Test: green\r\n"
        b"Accept-Encoding: identity\r\nConnection: close\r\nUser-Agent: ecs-lifecycle-hooks\r\n\r\n"
        % server.port
    ]


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    with answering(OK) as elsewhere:
        moved = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%d/\r\nContent-Length: 0\r\n\r\n"
        with answering(moved % elsewhere.port) as server:
            answer = asked(server.port, wanted=("Location",))

    assert (answer.status, answer.headers) == (302, {"location": f"http://127.0.0.1:{elsewhere.port}/"})
    assert (len(server.requests), elsewhere.requests) == (1, [])


def test_head_has_no_body() -> None:
    with answering(OK.removesuffix(b"ok")) as server:
        answer = asked(server.port, Expected(method="HEAD", path="/", status=200, text="", headers={}))

    assert answer == GOOD
    assert server.requests[0].startswith(b"HEAD / HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 9\r\n\r\nit is ok.",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nit is\r\n4\r\n ok.\r\n0\r\n\r\n",
        b"\r\nit is ok.",
    ],
    ids=["of a length", "in pieces", "to the end"],
)
def test_a_body_is_looked_through_however_it_comes(body: bytes) -> None:
    with answering(b"HTTP/1.1 200 OK\r\nx-revision: shop:7\r\n" + body) as server:
        assert asked(server.port) == GOOD


def test_no_more_of_a_body_is_read_than_is_looked_through() -> None:
    body = b" " * MAX_BODY_BYTES + b"ok"
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body) as server:
        assert not asked(server.port).has_text


def test_headers_are_cut_and_only_those_kept_that_count() -> None:
    long = (
        b"HTTP/1.1 200 OK\r\nx-revision: "
        + b"7" * 1000
        + b"\r\nset-cookie: secret\r\nContent-Length: 0\r\n\r\n"
    )
    with answering(long) as server:
        assert asked(server.port).headers == {"x-revision": "7" * MAX_HEADER_CHARACTERS}


@pytest.mark.parametrize(
    ("said", "failure"),
    [
        (b"", "no answer: RemoteDisconnected"),
        (b"SSH-2.0-OpenSSH_9.7\r\n", "no answer: BadStatusLine"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok", "no answer: IncompleteRead"),
        (b"HTTP/1.1 200 " + b"x" * 70_000, "no answer: LineTooLong"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n", "no answer: HTTPException"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "no answer: IncompleteRead"),
    ],
    ids=[
        "nothing",
        "something else",
        "cut off",
        "a line without an end",
        "headers without an end",
        "no pieces",
    ],
)
def test_what_is_no_answer_is_none(said: bytes, failure: str) -> None:
    with answering(said) as server:
        answer = asked(server.port, Expected(method="GET", path="/", status=200, text="", headers={}))

    assert answer == Answer(failure=failure, headers={})


def test_nobody_listens() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        answer = asked(bound.getsockname()[1])

    assert answer == Answer(failure="no answer: Connection refused", headers={})


@pytest.mark.parametrize(
    "drops",
    [
        (b"HTTP/1.1 100 Continue\r\n\r\n",),
        (b"x",),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    ],
    ids=["continue", "a line without an end", "a body without an end"],
)
def test_an_answer_that_comes_a_little_at_a_time_ends_with_the_time(drops: tuple[bytes, ...]) -> None:
    over: list[bool] = []
    with answering(*drops, again=lambda: not over) as server:
        answer = asked(server.port, timeout=0.3)
        over.append(True)

    assert answer == Answer(failure="no answer within 0.3 s", headers={})


def test_an_answer_s_time_counts_from_before_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    began = datetime(2026, 3, 5, 12, tzinfo=UTC)
    times = iter([began, began + timedelta(milliseconds=321)])
    monkeypatch.setattr(clock, "now", lambda: next(times))
    with answering(OK) as server:
        assert asked(server.port).milliseconds == 321


# Names


Resolves = Callable[..., list[list[str]]]


@pytest.fixture
def resolves(monkeypatch: pytest.MonkeyPatch) -> Resolves:
    """Have DNS answer look-ups one after the other, and the last for ever; returns who asked for what."""

    def set_up(port: int, *answers: list[str]) -> list[list[str]]:
        said: list[list[str]] = []

        def look_up(*_: Any, **__: Any) -> list[Any]:
            said.append(answers[min(len(said), len(answers) - 1)])
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in said[-1]]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        return said

    return set_up


def test_a_name_is_looked_up_once_so_that_it_can_t_mean_something_else_meanwhile(resolves: Resolves) -> None:
    with answering(OK) as server:
        said = resolves(server.port, ["127.0.0.1"], ["169.254.169.254"])
        door = open_door(Origin("http", "localhost", 80))
        answers = [ask(door, HEALTH, headers={}, wanted=["x-revision"], timeout_seconds=5) for _ in range(2)]

    assert answers == [GOOD, GOOD]
    assert said == [["127.0.0.1"]]


@pytest.mark.parametrize("addresses", [["169.254.169.254"], ["10.0.0.7", "169.254.169.254"], ["127.0.0.1"]])
def test_a_name_that_leads_to_what_is_never_asked_is_not_asked(
    resolves: Resolves, addresses: list[str]
) -> None:
    with answering(OK) as server:
        resolves(server.port, addresses)
        with pytest.raises(Misconfigured, match=r"url: test\.shop\.example is at .*, which is never asked"):
            open_door(Origin("http", "test.shop.example", 80))

    assert server.requests == []


def test_of_several_addresses_the_first_that_takes_a_connection_is_asked(resolves: Resolves) -> None:
    with answering(OK) as server:
        resolves(server.port, ["127.0.0.2", "127.0.0.1"])
        door = open_door(Origin("http", "localhost", 80))
        assert ask(door, HEALTH, headers={}, wanted=["x-revision"], timeout_seconds=5) == GOOD


@pytest.mark.parametrize("host", ["test.shop.invalid", "a" * 64 + ".example", "a..b"])
def test_a_name_that_nobody_knows_is_no_answer(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    def look_up(name: str, *_: Any, **__: Any) -> Any:
        name.encode("idna")
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    door = open_door(Origin("https", host, 443))

    expected = Answer(failure=f"the name {host} can't be resolved", headers={})
    assert ask(door, HEALTH, headers={}, wanted=(), timeout_seconds=5) == expected


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost, with its key, that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2026, 3, 1, tzinfo=UTC))
        .not_valid_after(datetime(2036, 3, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("certificate") / "localhost.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch, certificate: Path) -> Any:
    monkeypatch.setattr(probe, "get_cert_path", lambda _: str(certificate))
    probe._trust.cache_clear()
    yield
    probe._trust.cache_clear()


def asked_by_tls(port: int, host: str) -> Answer:
    door = open_door(Origin("https", host, port))
    return ask(door, HEALTH, headers={}, wanted=["x-revision"], timeout_seconds=5)


@pytest.mark.usefixtures("trusted")
def test_a_host_is_asked_by_tls(tls: ssl.SSLContext) -> None:
    with answering(OK, tls=tls) as server:
        assert asked_by_tls(server.port, "localhost") == GOOD


@pytest.mark.usefixtures("trusted")
def test_a_certificate_of_another_name_is_not_trusted(tls: ssl.SSLContext) -> None:
    with answering(OK, tls=tls) as server:
        answer = asked_by_tls(server.port, "127.0.0.1")

    assert answer.failure.startswith("the certificate is not trusted: IP address mismatch")
    assert server.requests == []


def test_a_certificate_that_nobody_vouches_for_is_not_trusted_whatever_the_environment_says(
    tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe._trust.cache_clear()
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE"):
        monkeypatch.setenv(name, str(certificate))
    with answering(OK, tls=tls) as server:
        answer = asked_by_tls(server.port, "localhost")

    assert answer.failure == "the certificate is not trusted: self-signed certificate"
    assert server.requests == []
