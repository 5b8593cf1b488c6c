"""A channel for people by HTTP: an incoming webhook as Slack has them, or whatever takes the same JSON.

::

    POST https://hooks.slack.com/services/...
    webhook-id: msg_5a1c...             the same however often one announcement is sent
    webhook-timestamp: 1772712000       of this attempt
    webhook-signature: v1,K5oZ...       base64 of HMAC-SHA256 over id.timestamp.body

    {"text": "for whoever shows no blocks", "blocks": [...]}

The signature is for receivers of one's own. Slack does not look at it and knows us by the URL alone, so the
URL is a secret as much as the key is, and neither is ever in a log. Secrets Manager holds both::

    {"url": "https://hooks.slack.com/services/...", "signingSecret": "whsec_..."}

Sources: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md,
https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks/ and
https://docs.slack.dev/reference/block-kit/blocks/.
"""

import base64
import hashlib
import hmac
import http.client
import io
import itertools
import json
import os
import re
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, BinaryIO, cast
from urllib.parse import urlsplit

from hooks.manual_approval.announcement import Message
from hooks.manual_approval.request import Version
from shared.clients import client
from shared.errors import Misconfigured, Transient, translated

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CONNECT_SECONDS, ANSWER_SECONDS = 2.0, 5.0
MAX_ANSWER_BYTES = 1024
SECRET_KEPT_FOR = timedelta(minutes=10)

# https://docs.slack.dev/reference/block-kit/blocks/section-block/
MAX_SECTION_CHARACTERS = 3000

# "Random. At least 24 bytes (192 bits, 512 maximum)", says the specification.
KEY_BYTES = range(24, 65)
_KEY_PREFIX = "whsec_"

# In the clear to this very machine only: a rehearsal's, or a test's.
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_URL = re.compile(
    rf"(https://{_LABEL}(\.{_LABEL}){{0,20}}|http://(127\.0\.0\.1|localhost|\[::1\]))(:[0-9]{{1,5}})?(/[\x21-\x7e]{{0,2000}})?"
)

# How Slack says what is wrong, such as ``no_service``. Anything else may be an echo of the URL.
_REASON = re.compile(r"[a-z]{1,20}(_[a-z]{1,20}){1,6}")


@dataclass(frozen=True, slots=True)
class Destination:
    """Where to send, and how to sign."""

    url: str = field(repr=False)
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Kept:
    destination: Destination
    read_at: datetime


# By whoever may read it, and its ARN.
_kept: dict[tuple[str, str], _Kept] = {}


def forget() -> None:
    """Forget where messages go, as a new execution environment has."""
    _kept.clear()


def send(message: Message, announcement: str, secret: str, now: datetime) -> None:
    """Post a message.

    Parameters
    ----------
    announcement
        What :func:`identifier` returned.
    secret
        ARN of the secret.

    Raises
    ------
    Transient
        When it took too long, could not be reached, or is busy or broken (408, 429, 5xx).
    Misconfigured
        When anything else came back, or the secret is not what it should be.
    """
    destination, fresh = _destination(secret, now)
    body = payload(message)
    try:
        _post(destination, secret, announcement, body, now)
    except Misconfigured:
        # A secret that was changed since it was read is no mistake to be mended.
        _forget(secret)
        renewed = destination if fresh else _destination(secret, now)[0]
        if renewed == destination:
            raise
        _post(renewed, secret, announcement, body, now)


def identifier(name: str, asked: Version, what: str) -> str:
    """Return what an announcement is known by to its receiver, who may have had it before.

    Parameters
    ----------
    name, asked
        The parameter, and the version that asks.
    what
        The occasion's key.
    """
    # With the time: where a parameter was deleted, the same number may ask anew.
    told = json.dumps([name, asked.number, asked.at.isoformat(), what])
    return f"msg_{hashlib.sha256(told.encode()).hexdigest()[:32]}"


def payload(message: Message) -> bytes:
    """Write a message as Slack takes it."""
    blocks = [_section(f"*{escaped(message.subject)}*"), *map(_section, sections(message.text))]
    if message.link:
        label = {"type": "plain_text", "text": "Open the request"}
        button = {"type": "button", "text": label, "url": message.link}
        blocks.append({"type": "actions", "elements": [button]})
    fallback = escaped(f"{message.subject}\n\n{message.text}")
    return json.dumps({"text": fallback, "blocks": blocks}, separators=(",", ":")).encode()


def _section(text: str) -> dict[str, object]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[:MAX_SECTION_CHARACTERS]}}


def escaped(text: str) -> str:
    """Escape the three characters that Slack reads as the beginning of a link or a mention.

    Source: https://docs.slack.dev/messaging/formatting-message-text/#escaping
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def sections(text: str) -> Sequence[str]:
    """Return a message's text in parts; what is to be copied is fenced, so that no quote is prettied."""
    parts = []
    for copied, lines in itertools.groupby(text.splitlines(), lambda line: line.startswith("  ")):
        part = escaped("\n".join(line.strip() for line in lines)).strip()
        if part:
            parts.append(f"```\n{part}\n```" if copied else part)
    return parts


def signature(key: bytes, announcement: str, seconds: int, body: bytes) -> str:
    """Sign an attempt that is made at *seconds* since 1970."""
    signed = b".".join((announcement.encode(), str(seconds).encode(), body))
    return f"v1,{base64.b64encode(hmac.digest(key, signed, 'sha256')).decode()}"


def _destination(secret: str, now: datetime) -> tuple[Destination, bool]:
    """Return where to send to, and whether it was read just now."""
    key = (os.environ.get("AWS_ACCESS_KEY_ID", ""), secret)
    known = _kept.get(key)
    if known and timedelta() <= now - known.read_at < SECRET_KEPT_FOR:
        return known.destination, False
    with translated("secretsmanager:GetSecretValue", secret):
        found = client("secretsmanager", region=_region_of(secret)).get_secret_value(SecretId=secret)
    _kept[key] = _Kept(_read(found.get("SecretString", ""), secret), now)
    return _kept[key].destination, True


def _forget(secret: str) -> None:
    _kept.pop((os.environ.get("AWS_ACCESS_KEY_ID", ""), secret), None)


def _region_of(arn: str) -> str | None:
    parts = arn.split(":")
    return parts[3] if len(parts) > 3 else None


def _read(text: str, secret: str) -> Destination:
    """Read the secret; what is wrong with it is said without showing any of it."""
    try:
        document = json.loads(text)
        url, signing = document["url"], document["signingSecret"]
        key = base64.b64decode(signing.removeprefix(_KEY_PREFIX), validate=True)
        prefixed = signing.startswith(_KEY_PREFIX)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        # Not chained: the error would show what it read.
        raise Misconfigured(
            f'{secret}: expected {{"url": "https://...", "signingSecret": "whsec_..."}}'
        ) from None
    if not isinstance(url, str) or not _URL.fullmatch(url) or not _has_port(url):
        raise Misconfigured(f"{secret}: its url must begin with https:// and a host's name")
    if not prefixed or len(key) not in KEY_BYTES:
        raise Misconfigured(
            f"{secret}: its signingSecret must be {_KEY_PREFIX} and the base64 of "
            f"{KEY_BYTES.start} to {KEY_BYTES.stop - 1} random bytes"
        )
    return Destination(url, key)


def _has_port(url: str) -> bool:
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def _post(destination: Destination, secret: str, announcement: str, body: bytes, now: datetime) -> None:
    seconds = int(now.timestamp())
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "ecs-lifecycle-hooks",
        "Connection": "close",
        "webhook-id": announcement,
        "webhook-timestamp": str(seconds),
        "webhook-signature": signature(destination.key, announcement, seconds, body),
    }
    webhook = f"the webhook of {secret}"
    # None of these errors is chained: some hold the path, and the path is the secret.
    try:
        status, reason = _exchange(destination.url, headers, body)
    except ssl.SSLCertVerificationError as error:
        # Its text names the host.
        raise Misconfigured(
            f"{webhook} has no certificate to be trusted: OpenSSL's verify code {error.verify_code}"
        ) from None
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise Transient(f"{webhook} can't be reached: {type(error).__name__}") from None
    if 200 <= status < 300:
        return
    said = f"{status} ({reason})" if reason else str(status)
    if status in {408, 429} or 500 <= status < 600:
        raise Transient(f"{webhook} answers {said}")
    if 300 <= status < 400:
        raise Misconfigured(f"{webhook} answers {said}, and is not followed elsewhere; mend its url")
    raise Misconfigured(f"{webhook} answers {said}; is its url still the one that was issued?")


def _exchange(url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
    """Post once; return status and reason."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    connection = (
        http.client.HTTPSConnection(host, port, timeout=CONNECT_SECONDS, context=_trusting())
        if parts.scheme == "https"
        else http.client.HTTPConnection(host, port, timeout=CONNECT_SECONDS)
    )
    path = parts.path or "/"
    try:
        connection.connect()
        ends = time.monotonic() + ANSWER_SECONDS
        connection.sock.settimeout(ANSWER_SECONDS)
        connection.request("POST", f"{path}?{parts.query}" if parts.query else path, body, dict(headers))
        answer = http.client.HTTPResponse(
            cast("socket.socket", _Source(connection.sock, ends)), method="POST"
        )
        answer.begin()
        return answer.status, _reason(answer, url)
    finally:
        connection.close()


def _reason(answer: http.client.HTTPResponse, url: str) -> str:
    try:
        said = answer.read(MAX_ANSWER_BYTES).decode("ascii", "replace").strip()
    except (OSError, http.client.HTTPException):
        return ""
    return said if _REASON.fullmatch(said) and said not in url else ""


def _trusting() -> ssl.SSLContext:
    # Loaded by whatever client of AWS was made before.
    from botocore.httpsession import get_cert_path  # noqa: PLC0415  # most calls send nothing

    return ssl.create_default_context(cafile=get_cert_path(True))


class _UntilTheEnd(io.RawIOBase):
    """A socket's bytes, up to a moment: a time-out of a socket is between two of them."""

    def __init__(self, sock: socket.socket, ends: float) -> None:
        self._sock = sock
        self._ends = ends

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer takes too long")
        self._sock.settimeout(left)
        return self._sock.recv_into(buffer)


@dataclass(frozen=True, slots=True)
class _Source:
    """What ``http.client`` takes for a socket."""

    sock: socket.socket
    ends: float

    def makefile(self, _mode: str) -> BinaryIO:
        return cast("BinaryIO", io.BufferedReader(_UntilTheEnd(self.sock, self.ends), MAX_ANSWER_BYTES))
