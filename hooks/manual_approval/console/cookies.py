"""What a browser keeps for the console: two signed cookies, and the token in each form.

::

    __Host-approvals           who is signed in        until the session ends
    __Host-approvals-sign-in   one sign-in under way   ten minutes, or until the issuer sends them back
    csrf, in a form            session and form        as long as the session

The console itself keeps nothing: whoever holds a session's cookie is that person until it expires, and
signing out makes the browser forget it. So it is short, out of reach of scripts, and never sent with another
site's POST. On plain HTTP, which is for one's own machine alone, the names lack ``__Host-``, for browsers
take that from TLS only.

All are signed with HMAC-SHA-256, each purpose with a key of its own, derived from the secret's text. Of a
rotated secret the version before counts as well, so that a rotation signs nobody out; two rotations sign out
everybody. Whatever is not exactly as it was signed reads as if it were not there.
Source: https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis#section-4.1.3.2
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from itsdangerous import BadData, TimestampSigner, URLSafeTimedSerializer
from itsdangerous.encoding import base64_decode, base64_encode

from hooks.manual_approval.console.access import is_name
from hooks.manual_approval.console.secret import PREVIOUS, TIME_TO_LIVE, secret
from hooks.manual_approval.console.settings import ConsoleSettings
from shared.errors import Misconfigured

SESSION_COOKIE = "approvals"
FLOW_COOKIE = "approvals-sign-in"
FLOW_LENGTH = timedelta(minutes=10)

# Browsers take 4096 bytes for name and value; here that is the whole line.
MAX_COOKIE_BYTES = 4096

MIN_SECRET_CHARACTERS = 32

# Somebody who sends rubbish must not have the secret read anew each time.
MIN_SECRET_AGE = timedelta(minutes=1)

_SESSION_SALT = "approvals session 1"
_FLOW_SALT = "approvals sign-in 1"
_SIGNED = re.compile(r"[A-Za-z0-9_.-]{1,4096}")

# Clocks of two execution environments differ a little.
SKEW = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is signed in."""

    issuer: str
    subject: str
    """What ``CONSOLE_IDENTITY_CLAIM`` says of them."""
    name: str
    """For people to read."""
    groups: tuple[str, ...]
    """Those that the access policy names, as the issuer calls them."""
    id: str
    """New at each sign-in."""
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Flow:
    """A sign-in under way."""

    state: str
    nonce: str
    verifier: str
    """Of PKCE."""
    to: str
    """Path to go to afterwards."""


class TooLarge(Exception):
    """What should be kept does not fit into a cookie."""


def session_of(settings: ConsoleSettings, cookies: Iterable[str], now: datetime) -> Session | None:
    """Return who is signed in, or ``None``.

    Parameters
    ----------
    cookies
        ``name=value`` as an HTTP API's event lists them, or whole ``Cookie`` headers.

    Raises
    ------
    HookError
        When the secret can't be read; never because of what the cookies say.
    """
    text = _value(cookies, _name(settings, SESSION_COOKIE))
    kept = _unsigned(settings, _SESSION_SALT, text, settings.session_length, now)
    match kept:
        case {
            "iss": str(issuer),
            "sub": str(subject),
            "name": str(name),
            "groups": list(groups),
            "sid": str(session_id),
            "exp": int(expires),
        } if issuer == settings.issuer and is_name(subject) and now.timestamp() < expires:
            # What the policy no longer names counts no longer.
            named = settings.access.groups_named(group for group in groups if isinstance(group, str))
            return Session(issuer, subject, name, named, session_id, datetime.fromtimestamp(expires, UTC))
    return None


def session_cookie(settings: ConsoleSettings, session: Session, now: datetime) -> str:
    """Return the value of ``Set-Cookie`` that signs somebody in; raises :class:`TooLarge`."""
    kept = {
        "iss": session.issuer,
        "sub": session.subject,
        "name": session.name,
        "groups": session.groups,
        "sid": session.id,
        "exp": int(session.expires_at.timestamp()),
    }
    text = _signed(settings, _SESSION_SALT, kept, now)
    return _set_cookie(settings, SESSION_COOKIE, text, session.expires_at - now)


def flow_of(settings: ConsoleSettings, cookies: Iterable[str], now: datetime) -> Flow | None:
    """Return the sign-in under way, or ``None``; raises as :func:`session_of` does."""
    text = _value(cookies, _name(settings, FLOW_COOKIE))
    match _unsigned(settings, _FLOW_SALT, text, FLOW_LENGTH, now):
        case [str(state), str(nonce), str(verifier), str(to)]:
            return Flow(state, nonce, verifier, to)
    return None


def flow_cookie(settings: ConsoleSettings, flow: Flow, now: datetime) -> str:
    """Return the value of ``Set-Cookie`` that remembers a sign-in."""
    text = _signed(settings, _FLOW_SALT, [flow.state, flow.nonce, flow.verifier, flow.to], now)
    return _set_cookie(settings, FLOW_COOKIE, text, FLOW_LENGTH)


def forget_flow(settings: ConsoleSettings) -> str:
    """Return the value of ``Set-Cookie`` that ends a sign-in."""
    return _set_cookie(settings, FLOW_COOKIE, "", timedelta(0))


def sign_out(settings: ConsoleSettings) -> tuple[str, ...]:
    """Return the values of ``Set-Cookie`` that make a browser forget everything."""
    return _set_cookie(settings, SESSION_COOKIE, "", timedelta(0)), forget_flow(settings)


def csrf_token(settings: ConsoleSettings, session: Session, path: str, now: datetime) -> str:
    """Return what a form that posts to *path* has to carry in this session."""
    return _signed(settings, _form_salt(session, path), 0, now)


def csrf_holds(settings: ConsoleSettings, session: Session, path: str, token: str, now: datetime) -> bool:
    """Tell whether a form that was posted to *path* is one that this session was given."""
    # What is in it says nothing: the key says all.
    return _unsigned(settings, _form_salt(session, path), token, settings.session_length, now) is not None


def _form_salt(session: Session, path: str) -> str:
    # A session's id has no space, so no two forms have the same.
    return f"approvals form 1 {session.id} {path}"


class _Signer(TimestampSigner):
    """Signs with the time that it is given."""

    def __init__(self, *arguments: Any, moment: datetime, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._moment = moment

    def get_timestamp(self) -> int:
        return int(self._moment.timestamp())


def _serializer(
    settings: ConsoleSettings, salt: str, now: datetime, keep: timedelta
) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(
        _keys(settings, now, keep),
        salt=salt,
        signer=_Signer,
        signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac", "moment": now},
    )


def _keys(settings: ConsoleSettings, now: datetime, keep: timedelta) -> list[str]:
    """Return the secret's versions, the present one last: it signs."""
    arn = settings.cookie_secret_arn
    current = secret(arn, now, keep=keep)
    if len(current) < MIN_SECRET_CHARACTERS:
        raise Misconfigured(f"{arn}: expected at least {MIN_SECRET_CHARACTERS} random characters")
    previous = secret(arn, now, stage=PREVIOUS, keep=keep)
    return [previous, current] if len(previous) >= MIN_SECRET_CHARACTERS else [current]


def _signed(settings: ConsoleSettings, salt: str, value: Any, now: datetime) -> str:
    text = _serializer(settings, salt, now, TIME_TO_LIVE).dumps(value)
    return text if isinstance(text, str) else text.decode()


def _unsigned(settings: ConsoleSettings, salt: str, text: str, max_age: timedelta, now: datetime) -> Any:
    """Return what was signed no longer than *max_age* ago; ``None`` for everything else."""
    if not _SIGNED.fullmatch(text) or not _is_canonical(text):
        return None
    # Again with a fresh secret: another execution environment may have seen a rotation first.
    for keep in (TIME_TO_LIVE, MIN_SECRET_AGE):
        try:
            value, signed_at = _serializer(settings, salt, now, keep).loads(text, return_timestamp=True)
        except BadData:
            continue
        return value if -SKEW <= now - signed_at < max_age else None
    return None


def _is_canonical(text: str) -> bool:
    """Tell whether the signature is spelled as it was made: two bits of its last character say nothing."""
    signature = text.rpartition(".")[2]
    try:
        return base64_encode(base64_decode(signature)).decode() == signature
    except BadData:
        return False


def _name(settings: ConsoleSettings, name: str) -> str:
    return f"__Host-{name}" if settings.is_secure else name


def _value(cookies: Iterable[str], name: str) -> str:
    """Return a cookie's value; empty where there is none, or more than one."""
    pairs = (pair.strip(" \t").partition("=") for line in cookies for pair in line.split(";"))
    values = [value for found, _, value in pairs if found == name]
    return values[0] if len(values) == 1 else ""


def _set_cookie(settings: ConsoleSettings, name: str, value: str, lasts: timedelta) -> str:
    secure = "; Secure" if settings.is_secure else ""
    seconds = int(lasts.total_seconds())
    line = f"{_name(settings, name)}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"
    if len(line) > MAX_COOKIE_BYTES:
        raise TooLarge(f"{len(line)} bytes")
    return line
