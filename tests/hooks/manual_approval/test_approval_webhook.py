"""The webhook, against servers on loopback that listen, refuse, lead elsewhere or never end."""

import base64
import contextlib
import json
import socket
import ssl
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore.httpsession
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hooks.manual_approval import webhook
from hooks.manual_approval.announcement import Message
from hooks.manual_approval.request import Version
from shared.errors import HookError, Misconfigured, Transient

SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:webhook-AbCdEf"
TOKEN = "T0000/B0000/s3cr3tInTheUrl"
KEY = bytes(range(32))
SIGNING_SECRET = "whsec_" + base64.b64encode(KEY).decode()
NOW = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
ASKED = Version(1, NOW, "arn:aws:iam::123456789012:role/hook", "")
ANNOUNCEMENT = webhook.identifier("/ecs-approvals/shop/checkout/one", ASKED, "request")
MESSAGE = Message(
    "Approval needed: checkout in shop",
    """Deployment one of checkout in shop waits for approval.

It needs one approval, until 2026-03-06T11:00:00Z.
Read what is asked:

  aws ssm get-parameter --name /ecs-approvals/shop/checkout/one:1

Answer, if tests < done & you are sure:

  aws ssm put-parameter --value APPROVED
  aws ssm put-parameter --value '{"state": "REJECTED"}'
""",
    "https://approvals.example.com/requests/shop/checkout/one",
)


@dataclass
class Receiver:
    """A server: what it answers, and what it was sent."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"ok"
    received: list[tuple[str, Mapping[str, str], bytes]] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    receiver: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.receiver.received.append((self.path, dict(self.headers), body))
        self.send_response(self.receiver.status)
        for name, value in self.receiver.headers.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(self.receiver.body)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    receiver = Receiver()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"receiver": receiver}))
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that does not trust it
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    scheme = "https" if tls else "http"
    receiver.url = f"{scheme}://localhost:{server.server_address[1]}/services/{TOKEN}"
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def speaking(speak: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """Serve one connection with raw bytes."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                speak(connection, over)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/services/{TOKEN}"
        finally:
            over.set()
            thread.join()


@dataclass
class Secrets:
    """Secrets Manager."""

    held: str = ""
    regions: list[str | None] = field(default_factory=list)

    def hold(self, url: str, signing_secret: str = SIGNING_SECRET) -> None:
        self.held = json.dumps({"url": url, "signingSecret": signing_secret})

    def client(self, _service: str, region: str | None = None) -> Any:
        return SimpleNamespace(get_secret_value=lambda **_: self.read(region))

    def read(self, region: str | None) -> dict[str, str]:
        self.regions.append(region)
        return {"SecretString": self.held}


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> Secrets:
    kept = Secrets()
    monkeypatch.setattr(webhook, "client", kept.client)
    monkeypatch.setattr(webhook, "_kept", {})
    return kept


@pytest.fixture
def receiver(secrets: Secrets) -> Iterator[Receiver]:
    with serving() as receiver:
        secrets.hold(receiver.url)
        yield receiver


def send(now: datetime = NOW) -> None:
    webhook.send(MESSAGE, ANNOUNCEMENT, SECRET, now)


def failure(of: type[HookError]) -> str:
    """Send, and return what was said of how it failed, after looking for secrets in it."""
    with pytest.raises(of) as caught:
        send()
    told = "".join(traceback.format_exception(caught.value))
    for hidden in (TOKEN, TOKEN.rpartition("/")[2], "localhost:", "127.0.0.1", SIGNING_SECRET[6:]):
        assert hidden not in told
    return str(caught.value)


# ---------------------------------------------------------------------------------- what is sent


def test_a_message_arrives_as_slack_takes_it(receiver: Receiver) -> None:
    send()

    [(path, headers, body)] = receiver.received
    assert (path, headers["Content-Type"]) == (f"/services/{TOKEN}", "application/json; charset=utf-8")
    sections = [
        "*Approval needed: checkout in shop*",
        "Deployment one of checkout in shop waits for approval.\n\n"
        "It needs one approval, until 2026-03-06T11:00:00Z.\nRead what is asked:",
        "```\naws ssm get-parameter --name /ecs-approvals/shop/checkout/one:1\n```",
        "Answer, if tests &lt; done &amp; you are sure:",
        "```\naws ssm put-parameter --value APPROVED\n"
        """aws ssm put-parameter --value '{"state": "REJECTED"}'\n```""",
    ]
    assert json.loads(body) == {
        "text": f"{MESSAGE.subject}\n\n{MESSAGE.text}".replace("< done &", "&lt; done &amp;"),
        "blocks": [
            *({"type": "section", "text": {"type": "mrkdwn", "text": section}} for section in sections),
            {
                "type": "actions",
                "elements": [
                    {
                        "type": "button",
                        "text": {"type": "plain_text", "text": "Open the request"},
                        "url": MESSAGE.link,
                    }
                ],
            },
        ],
    }


def test_commands_that_stand_apart_are_fenced_apart() -> None:
    assert webhook.sections("\n  one\n\n  two\nthree") == ["```\none\n```", "```\ntwo\n```", "three"]


def test_a_message_without_a_link_has_no_button() -> None:
    blocks = json.loads(webhook.payload(Message("Approval needed", "Read it.")))["blocks"]

    assert [block["type"] for block in blocks] == ["section", "section"]


@settings(deadline=None)
@example(subject="x" * 4000, text="y" * 4000, link="")
@given(subject=st.text(max_size=300), text=st.text(max_size=9000), link=st.sampled_from(["", MESSAGE.link]))
def test_nothing_in_a_message_can_mention_anybody_or_grow_beyond_what_slack_takes(
    subject: str, text: str, link: str
) -> None:
    document = json.loads(webhook.payload(Message(subject, text, link)))

    shown = [block["text"]["text"] for block in document["blocks"] if block["type"] == "section"]
    assert not any(character in part for part in (document["text"], *shown) for character in "<>")
    assert all(0 < len(part) <= 3000 for part in shown)


def test_a_receiver_can_verify_who_sent_it(receiver: Receiver) -> None:
    send()

    [(_, headers, body)] = receiver.received
    version, _, signed = headers["webhook-signature"].partition(",")
    assert (version, headers["webhook-timestamp"]) == ("v1", str(int(NOW.timestamp())))
    mac = hmac.HMAC(KEY, hashes.SHA256())
    mac.update(f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body)
    mac.verify(base64.b64decode(signed, validate=True))


def test_a_signature_is_that_of_other_implementations() -> None:
    """The example of the specification's own libraries, and of Svix, where the scheme comes from."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    made = webhook.signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')

    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_an_announcement_keeps_its_id_and_no_other_has_it(receiver: Receiver) -> None:
    send()
    send(NOW + timedelta(minutes=2))

    ids = [headers["webhook-id"] for _, headers, _ in receiver.received]
    others = [
        webhook.identifier("/ecs-approvals/shop/checkout/two", ASKED, "request"),
        webhook.identifier("/ecs-approvals/shop/checkout/one", ASKED, "half-time"),
        webhook.identifier("/ecs-approvals/shop/checkout/one", Version(2, NOW, "", ""), "request"),
        webhook.identifier(
            "/ecs-approvals/shop/checkout/one", Version(1, NOW - timedelta(1), "", ""), "request"
        ),
    ]
    assert ids == [ANNOUNCEMENT] * 2
    assert len({ANNOUNCEMENT, *others}) == 5
    assert all("." not in one and len(one) == 36 for one in (ANNOUNCEMENT, *others))


# ---------------------------------------------------------------------------------- what comes back


@pytest.mark.parametrize("status", [200, 202, 204, 299])
def test_any_success_is_one(receiver: Receiver, status: int) -> None:
    receiver.status, receiver.body = status, b""

    send()

    assert len(receiver.received) == 1


ABOUT = f"the webhook of {SECRET}"
ISSUED = "is its url still the one that was issued?"


@pytest.mark.parametrize(
    ("status", "body", "error", "said"),
    [
        (408, b"", Transient, f"{ABOUT} answers 408"),
        (429, b"rate_limited", Transient, f"{ABOUT} answers 429 (rate_limited)"),
        (500, b"<html>oops</html>", Transient, f"{ABOUT} answers 500"),
        (503, b"", Transient, f"{ABOUT} answers 503"),
        (400, b"invalid_payload", Misconfigured, f"{ABOUT} answers 400 (invalid_payload); {ISSUED}"),
        (403, b"invalid_token\n", Misconfigured, f"{ABOUT} answers 403 (invalid_token); {ISSUED}"),
        (404, f"no /services/{TOKEN}".encode(), Misconfigured, f"{ABOUT} answers 404; {ISSUED}"),
        (410, b"\xff" * 5000, Misconfigured, f"{ABOUT} answers 410; {ISSUED}"),
        (600, b"", Misconfigured, f"{ABOUT} answers 600; {ISSUED}"),
    ],
)
def test_what_else_comes_back_is_told_without_the_secret(
    receiver: Receiver, status: int, body: bytes, error: type[HookError], said: str
) -> None:
    receiver.status, receiver.body = status, body

    assert failure(error) == said


def test_a_reason_that_is_part_of_the_url_is_not_repeated(receiver: Receiver, secrets: Secrets) -> None:
    secrets.hold(receiver.url.replace(TOKEN, "all_lower_case"))
    receiver.status, receiver.body = 404, b"all_lower_case"

    assert failure(Misconfigured) == f"{ABOUT} answers 404; {ISSUED}"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(receiver: Receiver, secrets: Secrets, status: int) -> None:
    receiver.status = status
    receiver.headers["Location"] = f"{receiver.url}/elsewhere"

    assert failure(Misconfigured) == f"{ABOUT} answers {status}, and is not followed elsewhere; mend its url"
    assert (len(receiver.received), len(secrets.regions)) == (1, 1)


def drips(what: bytes) -> Callable[[socket.socket, threading.Event], None]:
    """Send that again and again, faster than any time-out between two bytes."""

    def speak(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 ")
        while not over.wait(0.02):
            connection.sendall(what)

    return speak


def floods(what: bytes) -> Callable[[socket.socket, threading.Event], None]:
    def speak(connection: socket.socket, over: threading.Event) -> None:
        while not over.is_set():
            connection.sendall(what)

    return speak


@pytest.mark.parametrize(
    ("speak", "error"),
    [
        (lambda _, over: over.wait(10), "TimeoutError"),
        (drips(b"2"), "TimeoutError"),
        (drips(b"200 OK\r\nX-More: and more\r\n"), "TimeoutError"),
        (floods(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000), "TimeoutError"),
        (lambda connection, _: connection.sendall(b"SSH-2.0-OpenSSH_9.9\r\n"), "BadStatusLine"),
        (lambda connection, _: connection.sendall(b"HTTP/1.1 200 " + b"x" * 70_000), "LineTooLong"),
        (lambda connection, _: connection.close(), "RemoteDisconnected"),
    ],
    ids=[
        "silent",
        "dripping a status",
        "dripping headers",
        "going on",
        "no HTTP",
        "a line without end",
        "gone",
    ],
)
def test_whatever_a_receiver_does_it_ends_and_may_be_tried_again(
    secrets: Secrets,
    monkeypatch: pytest.MonkeyPatch,
    speak: Callable[[socket.socket, threading.Event], None],
    error: str,
) -> None:
    monkeypatch.setattr(webhook, "ANSWER_SECONDS", 0.3)
    with speaking(speak) as url:
        secrets.hold(url)

        assert failure(Transient) == f"{ABOUT} can't be reached: {error}"


def test_a_read_waits_no_longer_than_the_answer_may_take() -> None:
    waits: list[float] = []
    sock: Any = SimpleNamespace(settimeout=waits.append, recv_into=lambda _: 0)

    webhook._UntilTheEnd(sock, time.monotonic() + 60).readinto(bytearray(1))

    assert len(waits) == 1
    assert 0 < waits[0] <= 60


def test_an_error_whose_reason_never_ends_is_that_error(
    secrets: Secrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "ANSWER_SECONDS", 0.3)

    def speak(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 400 Bad\r\n\r\n")
        over.wait(10)

    with speaking(speak) as url:
        secrets.hold(url)

        assert failure(Misconfigured) == f"{ABOUT} answers 400; {ISSUED}"


def test_a_body_without_end_is_left(secrets: Secrets) -> None:
    taken = [0]

    def speak(connection: socket.socket, _: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while taken[0] < 64 * 1024 * 1024:
            taken[0] += connection.send(b"x" * 65536)

    with speaking(speak) as url:
        secrets.hold(url)
        send()

    # What the sockets of both sides hold, and no more.
    assert taken[0] < 32 * 1024 * 1024


def test_a_receiver_that_is_not_there_may_be_tried_again(secrets: Secrets) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        secrets.hold(f"http://127.0.0.1:{gone.getsockname()[1]}/services/{TOKEN}")

    assert failure(Transient) == f"{ABOUT} can't be reached: ConnectionRefusedError"


# ---------------------------------------------------------------------------------- whom to trust


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost, beside its key, that vouches for itself."""
    folder = tmp_path_factory.mktemp("certificate")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "both.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


@pytest.fixture
def by_https(certificate: Path, secrets: Secrets) -> Iterator[Receiver]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with serving(context) as receiver:
        secrets.hold(receiver.url)
        yield receiver


def test_a_certificate_that_nobody_vouches_for_is_refused(by_https: Receiver) -> None:
    said = failure(Misconfigured)

    assert said == f"{ABOUT} has no certificate to be trusted: OpenSSL's verify code 18"
    assert by_https.received == []


def test_a_certificate_that_is_vouched_for_is_enough_for_its_own_host(
    by_https: Receiver, certificate: Path, secrets: Secrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(botocore.httpsession, "get_cert_path", lambda _: str(certificate))

    send()
    assert len(by_https.received) == 1

    other = by_https.url.replace("localhost", "other.example.com")
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, *rest, **more: resolve("127.0.0.1", *rest, **more))
    secrets.hold(other)
    webhook._kept.clear()
    assert failure(Misconfigured) == f"{ABOUT} has no certificate to be trusted: OpenSSL's verify code 62"


# ---------------------------------------------------------------------------------- the secret


def test_the_secret_is_read_where_it_is_and_once_in_ten_minutes(receiver: Receiver, secrets: Secrets) -> None:
    for minutes in (0, 5, 9.9):
        send(NOW + timedelta(minutes=minutes))
    assert secrets.regions == ["eu-west-1"]

    send(NOW + timedelta(minutes=10))
    assert len(secrets.regions) == 2
    send(NOW + timedelta(minutes=19))
    assert len(secrets.regions) == 2
    send(NOW)
    assert len(secrets.regions) == 3


def test_a_secret_that_was_renewed_meanwhile_is_used_at_once(receiver: Receiver, secrets: Secrets) -> None:
    with serving() as before:
        secrets.hold(before.url)
        send()
        before.status = 410
        secrets.hold(receiver.url)

        send(NOW + timedelta(minutes=1))
        send(NOW + timedelta(minutes=2))

    assert (len(before.received), len(receiver.received), len(secrets.regions)) == (2, 2, 2)


def test_a_secret_that_was_not_renewed_is_sent_once_and_read_again(
    receiver: Receiver, secrets: Secrets
) -> None:
    send()
    receiver.status = 410

    failure(Misconfigured)

    assert (len(receiver.received), len(secrets.regions)) == (2, 2)


EXPECTED = f'{SECRET}: expected {{"url": "https://...", "signingSecret": "whsec_..."}}'
URL = f"{SECRET}: its url must begin with https:// and a host's name"
SIGNING = f"{SECRET}: its signingSecret must be whsec_ and the base64 of 24 to 64 random bytes"


def secret(url: Any = f"https://hooks.example.com/services/{TOKEN}", key: Any = SIGNING_SECRET) -> str:
    return json.dumps({"url": url, "signingSecret": key})


def whsec(length: int) -> str:
    return "whsec_" + base64.b64encode(bytes(length)).decode()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", EXPECTED),
        (f"https://hooks.example.com/services/{TOKEN}", EXPECTED),
        ("[" * 100_000, EXPECTED),
        (json.dumps([TOKEN]), EXPECTED),
        (json.dumps({"url": f"https://hooks.example.com/{TOKEN}"}), EXPECTED),
        (secret(key=None), EXPECTED),
        (secret(key=[SIGNING_SECRET]), EXPECTED),
        (secret(key=f"{SIGNING_SECRET[:20]}!{SIGNING_SECRET[20:]}"), EXPECTED),
        (secret(key=SIGNING_SECRET.removeprefix("whsec_")), SIGNING),
        (secret(key=whsec(23)), SIGNING),
        (secret(key=whsec(65)), SIGNING),
        (secret(url=None), URL),
        (secret(url=f"http://hooks.example.com/{TOKEN}"), URL),
        (secret(url=f"http://localhost.example.com/{TOKEN}"), URL),
        (secret(url=f"http://127.0.0.1@example.com/{TOKEN}"), URL),
        (secret(url=f"http://169.254.170.2/{TOKEN}"), URL),
        (secret(url=f"https://alice:password@example.com/{TOKEN}"), URL),
        (secret(url=f"https://hooks..example.com/{TOKEN}"), URL),
        (secret(url=f"https://{'a' * 64}.example.com/{TOKEN}"), URL),
        (secret(url=f"https://hooks.example.com:65536/{TOKEN}"), URL),
        (secret(url=f"https://hooks.example.com:0/{TOKEN}"), URL),
        (secret(url=f"https://hooks.example.com/{TOKEN}\r\nHost: example.org"), URL),
        (secret(url=f"https://hooks.example.com/{TOKEN} HTTP/1.1"), URL),
        (secret(url=f"https://hooks.example.com/{'a' * 2001}"), URL),
        (secret(url=f"file:///{TOKEN}"), URL),
    ],
)
def test_a_secret_that_is_something_else_says_what_it_should_be_and_nothing_of_what_it_is(
    secrets: Secrets, text: str, said: str
) -> None:
    secrets.held = text

    assert failure(Misconfigured) == said


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("https://hooks.example.com", KEY),
        ("https://a.example.com:8443/x?token=y", bytes(24)),
        ("http://[::1]:8080/", bytes(64)),
    ],
)
def test_what_a_secret_may_be(url: str, key: bytes) -> None:
    text = secret(url=url, key="whsec_" + base64.b64encode(key).decode())

    destination = webhook._read(text, SECRET)

    assert (destination.url, destination.key) == (url, key)
    assert repr(destination) == "Destination()"


def test_a_query_is_part_of_the_url(receiver: Receiver, secrets: Secrets) -> None:
    secrets.hold(f"{receiver.url}?token=y")

    send()

    assert receiver.received[0][0] == f"/services/{TOKEN}?token=y"
