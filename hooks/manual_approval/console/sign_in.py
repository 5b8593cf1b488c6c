"""Signing in with OpenID Connect: the authorization code flow, with PKCE.

::

    GET /sign-in?to=PATH      ─▶ cookie {state, nonce, verifier, PATH};  to the issuer, with state, nonce and
                                 the verifier's hash
    GET /signed-in?code&state ─▶ same state? ─▶ code + verifier for an ID token ─▶ same nonce? ─▶ session

The state ties the answer to the browser that began, the nonce ties the token to it, and the verifier makes
the code worthless to whoever else gets hold of it. All three are in one cookie, which lives for ten minutes
and ends with the answer. The session is new each time: nothing a browser brings along becomes part of it.

Sources: https://openid.net/specs/openid-connect-core-1_0.html#CodeFlowAuth,
https://www.rfc-editor.org/rfc/rfc9700 (best practice), https://www.rfc-editor.org/rfc/rfc9207 (``iss``)
"""

import hmac
import re
import secrets
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from hooks.manual_approval.console import provider
from hooks.manual_approval.console.cookies import (
    Flow,
    Session,
    TooLarge,
    flow_cookie,
    flow_of,
    forget_flow,
    session_cookie,
)
from hooks.manual_approval.console.id_token import NotBelieved, judge, who
from hooks.manual_approval.console.settings import ConsoleSettings
from shared.errors import Untrusted

MAX_QUERY_CHARACTERS = 8 * 1024
MAX_PATH_CHARACTERS = 512

# Only what the console's own addresses are made of; neither // nor \ nor a dot segment, which a browser could
# take for another host's. After a sign-in, nobody wants to sign in.
_SEGMENT = r"(?!\.{1,2}(?:[/?]|\Z))[A-Za-z0-9_.-]+"
_RETURN_PATH = re.compile(
    rf"/(?!sign-in\b|signed-in\b|sign-out\b)(?:{_SEGMENT}(?:/{_SEGMENT})*)?(?:\?[A-Za-z0-9_.=&-]*)?"
)

# https://www.iana.org/assignments/oauth-parameters, "OAuth Extensions Error", of authorization responses.
REGISTERED_ERRORS = frozenset(
    {
        "access_denied",
        "account_selection_required",
        "consent_required",
        "interaction_required",
        "invalid_request",
        "invalid_request_object",
        "invalid_request_uri",
        "invalid_scope",
        "invalid_target",
        "login_required",
        "registration_not_supported",
        "request_not_supported",
        "request_uri_not_supported",
        "server_error",
        "temporarily_unavailable",
        "unauthorized_client",
        "unmet_authentication_requirements",
        "unsupported_response_type",
    }
)


@dataclass(frozen=True, slots=True)
class Redirect:
    """Where to send a browser (303), and what it has to remember."""

    url: str
    cookies: tuple[str, ...]
    """Values of ``Set-Cookie``."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Somebody has signed in."""

    session: Session
    to: str
    """Path to go on to, of this site."""
    cookies: tuple[str, ...]
    """Values of ``Set-Cookie``."""


class SignInRefused(Untrusted):
    """Nobody has signed in; the text is a sentence or two for whoever tried."""

    def __init__(self, reason: str, cookies: tuple[str, ...] = ()) -> None:
        super().__init__(_sentence(reason))
        self.reason = reason
        """A code for the log; it holds nothing of what anybody said."""
        self.cookies = cookies
        """Values of ``Set-Cookie``, which belong to the page that says so."""


def _sentence(reason: str) -> str:
    code, _, detail = reason.partition(":")
    match code:
        case "flow-unknown" | "state":
            return (
                "This sign-in took too long, is finished already, or was begun elsewhere. Please begin again."
            )
        case "provider-error":
            return f"The provider did not complete your sign-in, with the error code {detail}."
        case "identity-claim" | "email-not-verified":
            return "The provider does not vouch for what you are known by here. Ask whoever runs it."
        case "groups-malformed" | "groups-too-many" | "session-too-large":
            return (
                "The provider sends your groups in a form, or a number, that is not taken here. "
                "Ask whoever runs it to send those that matter to this console."
            )
    return "What came back from the provider can't be believed. Please begin again."


def return_path(to: str | None) -> str:
    """Return *to* where it is a page of this site, else ``/``."""
    if to is not None and len(to) <= MAX_PATH_CHARACTERS and _RETURN_PATH.fullmatch(to):
        return to
    return "/"


def sign_in_path(to: str) -> str:
    """Return the path of the link that signs in, and comes back to *to*."""
    return f"/sign-in?to={urllib.parse.quote(return_path(to), safe='/')}"


def start_sign_in(settings: ConsoleSettings, to: str | None, now: datetime) -> Redirect:
    """Send a browser to the issuer.

    Raises
    ------
    Transient, Misconfigured
        When the issuer can't be asked for its addresses.
    """
    where = provider.metadata(settings.issuer, now)
    flow = Flow(
        state=secrets.token_urlsafe(32),
        nonce=secrets.token_urlsafe(32),
        verifier=secrets.token_urlsafe(32),
        to=return_path(to),
    )
    with provider.client(settings, now) as client:
        url, _ = client.create_authorization_url(
            where.authorization_endpoint, state=flow.state, nonce=flow.nonce, code_verifier=flow.verifier
        )
    return Redirect(url, (flow_cookie(settings, flow, now),))


def finish_sign_in(settings: ConsoleSettings, query: str, cookies: Iterable[str], now: datetime) -> SignedIn:
    """Take a browser that comes back from the issuer.

    Parameters
    ----------
    query
        As it came: an HTTP API's ``rawQueryString``.
    cookies
        As for ``cookies.session_of``.

    Raises
    ------
    SignInRefused
    Transient
        When the issuer, or AWS, does not answer; trying again may help, with the same cookie.
    Misconfigured
    """
    try:
        flow = _flow(settings, cookies, now)
        session = _session(settings, _code(settings, query, flow, now), flow, now)
        kept = (_session_cookie(settings, session, now), forget_flow(settings))
        return SignedIn(session, return_path(flow.to), kept)
    except NotBelieved as error:
        raise SignInRefused(error.reason, (forget_flow(settings),)) from error


def _flow(settings: ConsoleSettings, cookies: Iterable[str], now: datetime) -> Flow:
    flow = flow_of(settings, cookies, now)
    if flow is None:
        raise NotBelieved("flow-unknown")
    return flow


def _code(settings: ConsoleSettings, query: str, flow: Flow, now: datetime) -> str:
    """Return the code that the issuer has sent the browser back with."""
    answer = _parameters(query)
    if not hmac.compare_digest(answer.get("state", "").encode(), flow.state.encode()):
        raise NotBelieved("state")
    says_who = provider.metadata(settings.issuer, now).names_itself
    if answer.get("iss", None if says_who else settings.issuer) != settings.issuer:
        raise NotBelieved("issuer")
    if "error" in answer:
        error = answer["error"] if answer["error"] in REGISTERED_ERRORS else "unregistered"
        raise NotBelieved(f"provider-error:{error}")
    if not answer.get("code"):
        raise NotBelieved("query")
    return answer["code"]


def _parameters(query: str) -> Mapping[str, str]:
    if len(query) > MAX_QUERY_CHARACTERS:
        raise NotBelieved("query")
    try:
        pairs = urllib.parse.parse_qsl(query, keep_blank_values=True, max_num_fields=20, errors="strict")
    except ValueError as error:
        raise NotBelieved("query") from error
    parameters = dict(pairs)
    # RFC 6749, 3.1: none may be there twice. Which one counts, others might see differently.
    if len(parameters) < len(pairs):
        raise NotBelieved("query")
    return parameters


def _session(settings: ConsoleSettings, code: str, flow: Flow, now: datetime) -> Session:
    """Have the issuer say who it is."""
    tokens = provider.exchange(settings, code, flow.verifier, now)
    claims = provider.believed(tokens.id_token, settings.issuer, now)
    judge(claims, issuer=settings.issuer, client_id=settings.client_id, nonce=flow.nonce, now=now)
    wanted = {settings.identity_claim, settings.groups_claim}
    # Many issuers put little into a token, and the rest where it has to be asked for.
    further = (
        {} if wanted <= claims.keys() else provider.userinfo(settings.issuer, tokens, claims["sub"], now)
    )
    person = who(claims, further, identity_claim=settings.identity_claim, groups_claim=settings.groups_claim)
    return Session(
        issuer=settings.issuer,
        subject=person.subject,
        name=person.name,
        groups=settings.access.groups_named(person.groups),
        id=secrets.token_urlsafe(24),
        expires_at=now + settings.session_length,
    )


def _session_cookie(settings: ConsoleSettings, session: Session, now: datetime) -> str:
    try:
        return session_cookie(settings, session, now)
    except TooLarge as error:
        raise NotBelieved("session-too-large") from error
