"""The OpenID provider over HTTP: what it says about itself, its keys, a code's token, and about a person.

::

    GET  {issuer}/.well-known/openid-configuration   once an hour
    GET  {jwks_uri}           once an hour; once a minute where a token names another key
    POST {token_endpoint}     once for each sign-in
    GET  {userinfo_endpoint}  where the ID token does not say enough

Endpoints have TLS, unless the issuer itself is on this machine and without. No answer may redirect, be large,
or take long. What the provider sends is in no message and no log.
Source: https://openid.net/specs/openid-connect-discovery-1_0.html
"""

import base64
import contextlib
import json
import re
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hooks.manual_approval.console.id_token import KeyUnknown, NotBelieved, read_keys, verified
from hooks.manual_approval.console.secret import secret
from hooks.manual_approval.console.settings import ConsoleSettings
from shared.errors import Misconfigured, Transient, shown

if TYPE_CHECKING:
    import requests
    from joserfc.jwk import Key

TIMEOUT_SECONDS = (2, 5)
"""To connect, and between two bytes."""
ANSWER_SECONDS = 8
MAX_ANSWER_BYTES = 256 * 1024
MAX_URL_CHARACTERS = 2048

TIME_TO_LIVE = timedelta(hours=1)

# Whoever makes up key names must not have the keys read anew each time.
MIN_KEYS_AGE = timedelta(minutes=1)

_DISCOVERY_PATH = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a code was exchanged for. Neither is ever shown."""

    id_token: str = field(repr=False)
    access_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a provider says about itself."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    client_authentication: tuple[str, ...]
    names_itself: bool
    """Whether each of its answers says who it is (RFC 9207)."""


_metadata: dict[str, tuple[datetime, Metadata]] = {}
_keys: dict[str, "tuple[datetime, tuple[Key, ...]]"] = {}


def forget() -> None:
    """Forget what providers said, as a new execution environment has."""
    _metadata.clear()
    _keys.clear()


def metadata(issuer: str, now: datetime) -> Metadata:
    """Return what the issuer says about itself, or said within the hour.

    Raises
    ------
    Transient
        When it does not answer.
    Misconfigured
        When it answers something else, or names another issuer.
    """
    kept = _metadata.get(issuer)
    if kept is None or not now - TIME_TO_LIVE < kept[0] <= now:
        kept = _metadata[issuer] = now, _read_metadata(issuer, _get(issuer.rstrip("/") + _DISCOVERY_PATH))
    return kept[1]


def _read_metadata(issuer: str, document: Mapping[str, Any]) -> Metadata:
    if document.get("issuer") != issuer:
        raise Misconfigured(
            f"CONSOLE_ISSUER is {shown(issuer)}, and the provider there calls itself "
            f"{shown(document.get('issuer'))}; they have to be the same, character by character"
        )

    def endpoint(name: str) -> str:
        url = document.get(name)
        if not isinstance(url, str) or not _may_be_asked(url, issuer):
            raise Misconfigured(f"{issuer}: {name}: expected an https URL, got {shown(url)}")
        return url

    # client_secret_basic is what a provider means that does not say.
    methods = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    return Metadata(
        endpoint("authorization_endpoint"),
        endpoint("token_endpoint"),
        endpoint("jwks_uri"),
        endpoint("userinfo_endpoint") if document.get("userinfo_endpoint") else None,
        tuple(method for method in methods if isinstance(method, str)) if isinstance(methods, list) else (),
        document.get("authorization_response_iss_parameter_supported") is True,
    )


def _may_be_asked(url: str, issuer: str) -> bool:
    if (
        len(url) > MAX_URL_CHARACTERS
        or not url.isascii()
        or not url.isprintable()
        or set(url) & set(' \\"<>#')
    ):
        return False
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return False
    if parts.scheme == "https":
        return bool(parts.hostname) and "@" not in parts.netloc
    # A provider on this machine has all of it here.
    return issuer.startswith("http:") and parts.scheme == "http" and parts.hostname in _THIS_MACHINE


_THIS_MACHINE = {"127.0.0.1", "localhost", "::1"}


def believed(token: str, issuer: str, now: datetime) -> dict[str, Any]:
    """Check an ID token's signature and return its claims, not judged yet.

    Raises
    ------
    NotBelieved
    Transient, Misconfigured
        When the keys can't be read.
    """
    where = metadata(issuer, now).jwks_uri
    try:
        return verified(token, _keys_at(where, now, TIME_TO_LIVE))
    except KeyUnknown:
        # Providers change their keys whenever they like.
        return verified(token, _keys_at(where, now, MIN_KEYS_AGE))


def _keys_at(url: str, now: datetime, keep: timedelta) -> "tuple[Key, ...]":
    kept = _keys.get(url)
    if kept is None or not now - keep < kept[0] <= now:
        kept = _keys[url] = now, read_keys(_get(url))
    return kept[1]


def client(settings: ConsoleSettings, now: datetime) -> Any:
    """Return Authlib's ``OAuth2Session`` for the provider; it is to be closed."""
    # Only a sign-in needs it; it comes without types.
    from authlib.integrations.requests_client import (  # type: ignore[import-untyped]  # noqa: PLC0415
        OAuth2Session,
    )

    password, method = "", "none"
    if settings.client_secret_arn:
        password = secret(settings.client_secret_arn, now)
        methods = metadata(settings.issuer, now).client_authentication
        method = next((known for known in _SECRET_METHODS if known in methods), "")
        if not method:
            raise Misconfigured(
                f"{settings.issuer} takes a client's secret neither by {' nor by '.join(_SECRET_METHODS)}"
            )
    session = OAuth2Session(
        settings.client_id,
        password,
        token_endpoint_auth_method=method,
        scope=settings.scopes,
        redirect_uri=settings.callback,
        code_challenge_method="S256",
    )
    _prepare(session)
    session.register_client_auth_method(("client_secret_basic", _basic))
    session.register_compliance_hook("access_token_response", _token_answer)
    return session


_SECRET_METHODS = ("client_secret_basic", "client_secret_post")


def _basic(client: Any, _method: str, uri: str, headers: Any, body: Any) -> tuple[str, Any, Any]:
    # Authlib leaves out the encoding that RFC 6749, 2.3.1, asks for.
    pair = ":".join(urllib.parse.quote_plus(part) for part in (client.client_id, client.client_secret))
    headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return uri, headers, body


def exchange(settings: ConsoleSettings, code: str, verifier: str, now: datetime) -> Tokens:
    """Exchange a code for tokens.

    Raises
    ------
    NotBelieved
        When the provider does not take the code, or gives something else for it.
    Transient, Misconfigured
    """
    # As above.
    from authlib.integrations.base_client import OAuthError  # type: ignore[import-untyped]  # noqa: PLC0415

    where = metadata(settings.issuer, now).token_endpoint
    with client(settings, now) as session:
        try:
            with _translated(where):
                found = session.fetch_token(
                    where,
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=verifier,
                    **_ON_A_LEASH,
                )
        except OAuthError as error:
            # Of a code that was used, is too old, or is somebody else's.
            if error.error == "invalid_grant":
                raise NotBelieved("code-refused") from None
            # Not chained: its description is the provider's.
            known = error.error if error.error in _CLIENT_ERRORS else "an error that is none of OAuth's"
            raise Misconfigured(f"{where} answers client {shown(settings.client_id)}: {known}") from None
    tokens = (found.get("id_token"), found.get("access_token"))
    if not all(isinstance(token, str) and _VISIBLE.fullmatch(token) for token in tokens):
        raise NotBelieved("token-missing")
    return Tokens(*tokens)


def userinfo(issuer: str, tokens: Tokens, subject: str, now: datetime) -> Mapping[str, Any]:
    """Ask what the provider says about whoever has signed in, beyond the ID token; nothing where it can't.

    Raises
    ------
    NotBelieved
        When it is about somebody else than *subject*, the ID token's ``sub``.
    Transient, Misconfigured
    """
    where = metadata(issuer, now).userinfo_endpoint
    if where is None:
        return {}
    found = _get(where, {"Authorization": f"Bearer {tokens.access_token}"})
    # OpenID Connect Core, 5.3.2: else one person's token could be given out as another's.
    if found.get("sub") != subject:
        raise NotBelieved("userinfo-subject")
    return found


_VISIBLE = re.compile(r"[!-~]{1,65536}")
"""Of which tokens are made, and how long they may be."""

# https://www.rfc-editor.org/rfc/rfc6749#section-5.2
_CLIENT_ERRORS = {
    "invalid_client",
    "invalid_request",
    "invalid_scope",
    "unauthorized_client",
    "unsupported_grant_type",
}

_ON_A_LEASH: Any = {"allow_redirects": False, "stream": True, "timeout": TIMEOUT_SECONDS}


def _get(url: str, headers: Mapping[str, str] = MappingProxyType({})) -> Mapping[str, Any]:
    """Read a JSON object."""
    import requests  # noqa: PLC0415 - only a sign-in needs it

    # With credentials of its own, so that none are taken from a .netrc file.
    def as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request

    with _translated(url), requests.Session() as session:
        _prepare(session)
        answer = session.get(
            url, headers={"Accept": "application/json", **headers}, auth=as_it_is, **_ON_A_LEASH
        )
        return _object(url, _answer(answer))


def _prepare(session: "requests.Session") -> None:
    from botocore.httpsession import get_cert_path  # noqa: PLC0415 - only a sign-in needs it

    # Those whom the calls to AWS trust: an artifact has no other list.
    session.verify = get_cert_path(True)
    # A few KiB can be packed GiB.
    session.headers["Accept-Encoding"] = "identity"


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer read, as far as Authlib wants to know it."""

    status_code: int
    content: bytes = field(repr=False)

    def json(self) -> Any:
        return json.loads(self.content)

    def raise_for_status(self) -> None:
        """Do nothing: what is no answer has been raised already."""


def _answer(answer: "requests.Response") -> _Answer:
    """Read an answer, no more and no longer than there is need for."""
    ends = time.monotonic() + ANSWER_SECONDS
    content = bytearray()
    with answer:
        for piece in answer.iter_content(16 * 1024):
            content += piece
            if len(content) > MAX_ANSWER_BYTES:
                raise Misconfigured(f"{answer.url}: answers more than {MAX_ANSWER_BYTES} bytes")
            if time.monotonic() > ends:
                raise Transient(f"{answer.url}: takes more than {ANSWER_SECONDS} s to answer")
    status = answer.status_code
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
        raise Transient(f"{answer.url}: answers {status}")
    return _Answer(status, bytes(content))


def _token_answer(answer: "requests.Response") -> _Answer:
    read = _answer(answer)
    # RFC 6749, 5.2: an error is told with 400, or 401 where it is the client that is not known.
    if read.status_code not in {HTTPStatus.OK, HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED}:
        raise Misconfigured(f"{answer.url}: answers {read.status_code}, expected 200")
    found = _json(answer.url, read)
    if read.status_code != HTTPStatus.OK and not isinstance(found.get("error"), str):
        raise Misconfigured(f"{answer.url}: answers {read.status_code} without an error of OAuth's")
    return read


def _object(url: str, answer: _Answer) -> Mapping[str, Any]:
    if answer.status_code != HTTPStatus.OK:
        raise Misconfigured(f"{url}: answers {answer.status_code}, expected 200")
    return _json(url, answer)


def _json(url: str, answer: _Answer) -> Mapping[str, Any]:
    try:
        document = answer.json()
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        # Not chained, not shown: it may hold a token.
        raise Misconfigured(f"{url}: expected a JSON object, got something else") from None
    return document


@contextlib.contextmanager
def _translated(url: str) -> Iterator[None]:
    import requests  # noqa: PLC0415 - only a sign-in needs it

    try:
        yield
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
        raise Misconfigured(f"{url}: {type(error).__name__}") from error
    except requests.RequestException as error:
        raise Transient(f"{url}: {type(error).__name__}") from error
