"""An OpenID provider for people who try the console without one of their own: it asks who they want to be.

::

    GET  /.well-known/openid-configuration
    GET  /keys                         the public key, made when the process first needs one
    GET  /authorize?client_id=...      a page with a button for each person
    POST /authorize                    the button ─▶ the client's redirect URI, with a code
    POST /token                        code and PKCE verifier ─▶ ID token, RS256

Anybody can become anybody, so it is for rehearsals and nothing else, and says so. It serves one client, on
the loopback interface.

Sources: https://openid.net/specs/openid-connect-core-1_0.html (authorization code flow),
https://openid.net/specs/openid-connect-discovery-1_0.html, RFC 7636 (PKCE), RFC 9207 (``iss`` in the answer).
"""

import base64
import binascii
import functools
import hashlib
import hmac
import html
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

from rehearsal.console.web import LoopbackServer, Request, Response, text_response
from shared.errors import JsonObject

CODE_SECONDS = 60
ID_TOKEN_SECONDS = 300

# Codes that nobody fetches are kept until there are this many.
MAX_CODES = 100


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody who can sign in."""

    subject: str
    name: str
    groups: tuple[str, ...] = ()
    about: str = ""
    """For whoever chooses."""


PEOPLE = (
    Identity("alice", "Alice", ("release-managers",), "release manager"),
    Identity("bob", "Bob", ("release-managers",), "release manager"),
    Identity("carol", "Carol", ("developers",), "may look, and not decide"),
    Identity("deployer", "Deployer", ("release-managers", "deployers"), "has started the deployments"),
)


@dataclass(frozen=True, slots=True)
class Client:
    """Who may send people here."""

    id: str
    redirect_uri: str
    secret: str = ""
    """Empty for a public client, which has PKCE alone."""


@dataclass(frozen=True, slots=True)
class _Grant:
    """What a code stands for."""

    identity: Identity
    nonce: str
    challenge: str
    expires_at: float


class DevelopmentProvider:
    """The provider. Answers by itself, or serves as a context manager.

    ::

        with DevelopmentProvider(port=8766) as provider:
            provider.client = Client("console", f"{console}/signed-in")
            provider.issuer              http://localhost:8766
    """

    def __init__(
        self,
        client: Client | None = None,
        *,
        port: int = 0,
        issuer: str = "",
        people: Sequence[Identity] = PEOPLE,
    ) -> None:
        self.client = client
        """Nobody is let in before it is known."""
        self.people = {person.subject: person for person in people}
        self._codes: dict[str, _Grant] = {}
        # Another site than the console's, as a provider is: cookies have to do without its being the same.
        self._server = None if issuer else LoopbackServer(self.answer, name="localhost", port=port)
        self.issuer = issuer or (self._server.url if self._server else "")
        """Of one that does not listen, what it is given."""

    def __enter__(self) -> Self:
        if self._server:
            self._server.__enter__()
        return self

    def __exit__(self, *details: object) -> None:
        if self._server:
            self._server.__exit__(*details)

    def answer(self, request: Request) -> Response:
        """Answer a request."""
        match request.method, request.path:
            case "GET", "/.well-known/openid-configuration":
                return _json(self._configuration())
            case "GET", "/keys":
                return _json({"keys": [_key().as_dict(private=False)]})
            case "GET", "/authorize":
                return self._ask(_fields(request.query))
            case "POST", "/authorize":
                return self._grant(_fields(request.body.decode(errors="replace")))
            case "POST", "/token":
                return self._token(request)
            case _:
                return text_response(HTTPStatus.NOT_FOUND, "this provider has no such page")

    def _configuration(self) -> JsonObject:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid", "profile", "email", "groups"],
            "token_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
            "code_challenge_methods_supported": ["S256"],
            "claims_supported": ["sub", "name", "preferred_username", "email", "email_verified", "groups"],
            "authorization_response_iss_parameter_supported": True,
        }

    def _ask(self, asked: Mapping[str, str]) -> Response:
        """Show who there is to be."""
        if problem := self._problem(asked):
            return text_response(HTTPStatus.BAD_REQUEST, problem)
        carried = "".join(
            f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
            for name, value in asked.items()
        )
        buttons = "".join(
            f'<p><button name="person" value="{html.escape(person.subject)}">{html.escape(person.name)}'
            f"</button> {html.escape(person.about)}</p>"
            for person in self.people.values()
        )
        back = urlsplit(asked["redirect_uri"])
        # Browsers hold the redirect that follows a form against form-action as well.
        policy = (
            f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none'; base-uri 'none'; "
        )
        policy += f"form-action 'self' {back.scheme}://{back.netloc}"
        return Response(
            status=HTTPStatus.OK,
            headers=(
                ("Content-Type", "text/html; charset=utf-8"),
                ("Content-Security-Policy", policy),
                ("Cache-Control", "no-store"),
            ),
            body=_PAGE.format(style=_STYLE, carried=carried, buttons=buttons).encode(),
        )

    def _grant(self, asked: Mapping[str, str]) -> Response:
        """Send the person back, with a code."""
        if problem := self._problem(asked):
            return text_response(HTTPStatus.BAD_REQUEST, problem)
        person = self.people.get(asked.get("person", ""))
        if person is None:
            return text_response(HTTPStatus.BAD_REQUEST, "nobody here is called so")
        code = secrets.token_urlsafe(24)
        if len(self._codes) >= MAX_CODES:
            self._codes.pop(next(iter(self._codes)))
        self._codes[code] = _Grant(
            person, asked.get("nonce", ""), asked["code_challenge"], time.time() + CODE_SECONDS
        )
        answer = urlencode({"code": code, "state": asked.get("state", ""), "iss": self.issuer})
        return Response(
            status=HTTPStatus.SEE_OTHER,
            headers=(
                ("Location", f"{asked['redirect_uri']}?{answer}"),
                ("Cache-Control", "no-store"),
                ("Referrer-Policy", "no-referrer"),
            ),
        )

    def _problem(self, asked: Mapping[str, str]) -> str:
        """Return what is wrong with an authorization request; it is told here, and not to whoever sent it."""
        if self.client is None or asked.get("client_id") != self.client.id:
            return "no such client"
        expected = {
            "redirect_uri": self.client.redirect_uri,
            "response_type": "code",
            "code_challenge_method": "S256",
        }
        for name, value in expected.items():
            if asked.get(name) != value:
                return f"{name}: expected {value}"
        if "openid" not in asked.get("scope", "").split():
            return "scope: expected openid among them"
        return "" if asked.get("code_challenge") else "code_challenge: expected one"

    def _token(self, request: Request) -> Response:
        """Exchange a code for an ID token; a code is good for one attempt."""
        form = _fields(request.body.decode(errors="replace"))
        client = self.client
        if client is None or not self._is_client(client, request, form):
            return _json({"error": "invalid_client"}, HTTPStatus.UNAUTHORIZED)
        if form.get("grant_type") != "authorization_code":
            return _json({"error": "unsupported_grant_type"}, HTTPStatus.BAD_REQUEST)
        grant = self._codes.pop(form.get("code", ""), None)
        if (
            grant is None
            or time.time() > grant.expires_at
            or form.get("redirect_uri") != client.redirect_uri
            or not hmac.compare_digest(_challenge(form.get("code_verifier", "")), grant.challenge)
        ):
            return _json({"error": "invalid_grant"}, HTTPStatus.BAD_REQUEST)
        return _json(
            {
                "access_token": secrets.token_urlsafe(24),
                "token_type": "Bearer",
                "expires_in": ID_TOKEN_SECONDS,
                "id_token": self._id_token(grant, client),
            }
        )

    def _is_client(self, client: Client, request: Request, form: Mapping[str, str]) -> bool:
        """Tell whether a request is the client's: by its secret, where it has one."""
        scheme, _, credentials = request.header("authorization").partition(" ")
        if scheme.lower() == "basic":
            try:
                pair = base64.b64decode(credentials.encode()).decode(errors="replace")
            except binascii.Error:
                return False
            name, _, secret = (unquote_plus(part) for part in pair.partition(":"))
        else:
            name, secret = form.get("client_id", ""), form.get("client_secret", "")
        return name == client.id and hmac.compare_digest(secret.encode(), client.secret.encode())

    def _id_token(self, grant: _Grant, client: Client) -> str:
        now, person = int(time.time()), grant.identity
        claims: JsonObject = {
            "iss": self.issuer,
            "sub": person.subject,
            "aud": client.id,
            "iat": now,
            "auth_time": now,
            "exp": now + ID_TOKEN_SECONDS,
            "name": person.name,
            "preferred_username": person.subject,
            "email": f"{person.subject}@example.com",
            "email_verified": True,
            "groups": list(person.groups),
        }
        if grant.nonce:
            claims["nonce"] = grant.nonce
        return jwt.encode({"alg": "RS256", "kid": _key().kid}, claims, _key())


@functools.cache
def _key() -> RSAKey:
    # One for the process: making one takes longer than a rehearsal of hours.
    return RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)


def _challenge(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _fields(text: str) -> dict[str, str]:
    """Read a form, or a query; one of more fields than any request here has reads as empty."""
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=50))
    except ValueError:
        return {}


def _json(document: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(
        status=status,
        headers=(("Content-Type", "application/json"), ("Cache-Control", "no-store")),
        body=json.dumps(document).encode(),
    )


_STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:3rem auto;padding:0 1rem}"
    "button{font:inherit;font-weight:600;min-width:8rem;padding:.5rem 1rem;margin-right:.75rem}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Who do you want to be?</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>Who do you want to be?</h1>
<p>This provider belongs to a rehearsal on this machine. It asks for no password, so anybody can be anybody:
nothing real may trust it.</p>
<form method="post" action="/authorize">
{carried}
{buttons}
</form>
</main>
</body>
</html>
"""
