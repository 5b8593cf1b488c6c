"""An OpenID provider that says whatever a test wants: everything a real one would not.

Its keys are real, and so is HTTP.
"""

import json
import threading
import urllib.parse
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, Key, KeyParameters, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

DISCOVERY = "/.well-known/openid-configuration"


@cache
def key(kind: str, kid: str) -> Key:
    """Make a key, once for all tests."""
    parameters: KeyParameters = {"kid": kid, "use": "sig"}
    match kind:
        case "short":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SecurityWarning)
                return RSAKey.generate_key(1024, parameters=parameters, private=True)
        case "RSA":
            return RSAKey.generate_key(2048, parameters=parameters, private=True)
        case "EC":
            return ECKey.generate_key("P-256", parameters=parameters, private=True)
        case "P-384":
            return ECKey.generate_key("P-384", parameters=parameters, private=True)
        case "oct":
            return OctKey.generate_key(256, parameters=parameters, private=True)
        case _:
            return OKPKey.generate_key("Ed25519", parameters=parameters, private=True)


def public(one: Key) -> dict[str, Any]:
    """Return a key as a provider publishes it."""
    return dict(one.as_dict(private=False))


@dataclass(frozen=True)
class Answer:
    """One answer over HTTP."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass(frozen=True)
class Seen:
    """One request, as the provider got it."""

    path: str
    headers: Mapping[str, str]
    form: Mapping[str, str]


@dataclass
class MisbehavingProvider:
    """What the provider answers, by path, and what it was asked."""

    issuer: str
    answers: dict[str, Answer] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.answers = {
            DISCOVERY: Answer(self.discovery()),
            "/keys": Answer({"keys": [public(key("RSA", "rsa"))]}),
            "/userinfo": Answer({}),
        }

    def discovery(self, **changes: Any) -> dict[str, Any]:
        """Return what it says about itself; ``None`` leaves a thing out."""
        document = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            **changes,
        }
        return {name: value for name, value in document.items() if value is not None}

    def gives(self, id_token: Any, **others: Any) -> None:
        """Give this for any code."""
        self.answers["/token"] = Answer(
            {"access_token": "opaque", "token_type": "Bearer", "id_token": id_token, **others}
        )

    def asked(self, path: str) -> list[Seen]:
        return [one for one in self.seen if one.path == path]


def signed(
    claims: Mapping[str, Any], by: Key | None = None, *, alg: str = "RS256", kid: Any = "rsa", **header: Any
) -> str:
    """Sign an ID token; a *kid* of ``None`` is left out."""
    named = {} if kid is None else {"kid": kid}
    registry = JWSRegistry(algorithms=[alg], strict_check_header=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)  # of what is done here on purpose
        return jwt.encode(
            {"alg": alg, **named, **header}, dict(claims), by or key("RSA", "rsa"), registry=registry
        )


@contextmanager
def running() -> Iterator[MisbehavingProvider]:
    """Serve on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve({})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
            self._serve(dict(urllib.parse.parse_qsl(body, keep_blank_values=True, strict_parsing=True)))

        def _serve(self, form: Mapping[str, str]) -> None:
            provider.seen.append(Seen(self.path, dict(self.headers), form))
            answer = provider.answers.get(self.path, Answer({}, 404))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *_arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider = MisbehavingProvider(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
