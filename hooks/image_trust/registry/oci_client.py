"""Requests to one registry: let in by it, bounded, and led nowhere else.

::

    401 ──▶ WWW-Authenticate: Bearer ──▶ GET realm, with the password where there is one ──▶ token ──▶ again
                              Basic ──────────────────────────── the password itself ───────────────▶ again

Password and token go to the registry and to where its tokens come from, by TLS, and never along with a
redirect. Nothing is taken from the environment: no proxy, no ``.netrc``, no certificates of its own. The
``Session`` of requests is not used: it reads a redirect's body, unbounded and unpacked, before it lets one
refuse to follow it, and it keeps cookies.

Source: https://github.com/distribution/distribution/blob/v2.8.2/docs/spec/auth/token.md
"""

import base64
import http.client
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

import requests
import urllib3
from requests.adapters import HTTPAdapter

from hooks.image_trust import strict_json
from hooks.image_trust.finding import Rejected
from hooks.image_trust.reference import DOCKER_HUB, ECR_PUBLIC, canonical_host
from hooks.image_trust.registry import challenge, transfer
from hooks.image_trust.registry.destination import Destinations, Origin, Url, parse
from shared.errors import HookError, Misconfigured, Transient, shown

# https://github.com/distribution/reference/blob/v0.6.0/normalize.go: its name is not its address.
_ADDRESSES: Mapping[str, str] = {DOCKER_HUB: "registry-1.docker.io"}

_TOKEN_HOSTS: Mapping[str, tuple[str, ...]] = {
    # https://distribution.github.io/distribution/spec/auth/token/
    DOCKER_HUB: ("auth.docker.io",)
}
_BLOB_HOSTS: Mapping[str, tuple[str, ...]] = {
    # https://docs.docker.com/desktop/setup/allow-list/ has the first two; the third is seen since 2026.
    DOCKER_HUB: (
        "production.cloudflare.docker.com",
        "docker-images-prod.6aa30f8b08e16409b46e0173d6de2f56.r2.cloudflarestorage.com",
        "production.cloudfront.docker.com",
    ),
    # https://docs.github.com/en/actions/reference/runners/self-hosted-runners, "GitHub Packages"
    "ghcr.io": ("pkg-containers.githubusercontent.com",),
    # https://access.redhat.com/node/7001746, and since April 2025 the last three
    "quay.io": (
        "cdn.quay.io",
        "cdn01.quay.io",
        "cdn02.quay.io",
        "cdn03.quay.io",
        "cdn04.quay.io",
        "cdn05.quay.io",
        "cdn06.quay.io",
    ),
    # https://anywhere.eks.amazonaws.com/docs/getting-started/vsphere/vsphere-prereq/
    ECR_PUBLIC: ("d2glxqk2uabbnd.cloudfront.net", "d5l0dvt14r5h8.cloudfront.net"),
    # gcr.io and pkg.dev send to a path of their own (/artifacts-downloads/), which needs no entry.
    # registry.k8s.io has none: what is behind it changes "at any time", and it redirects manifests, too.
    # https://github.com/kubernetes/registry.k8s.io#stability
}

MAX_REDIRECTS = 3
MAX_TOKEN_BYTES = 64 * 1024
"""Of the answer with a token in it. Tokens have two to eight KiB."""
MAX_IGNORED_BYTES = 16 * 1024
"""Of an answer that is of no use, read so that its connection can be used again."""

_TOKEN = re.compile(r"[\x21-\x7e]{1,32768}")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,512}")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class OciClient:
    """Asks one registry."""

    def __init__(
        self,
        host: str,
        *,
        credentials: tuple[str, str] | None,
        token_hosts: Sequence[str],
        blob_hosts: Sequence[str],
        insecure: bool,
        ca_file: str | None,
        limits: transfer.Limits,
    ) -> None:
        """Take whom to ask; for the parameters see ``OciRegistry``."""
        self.host = host
        self._credentials = credentials
        self._ca_file = ca_file
        self._limits = limits
        self._authorization: dict[str, str] = {}
        """By repository."""
        first_name = canonical_host(host)
        address = _ADDRESSES.get(first_name, host)
        origin = Origin.parse("http" if insecure else "https", address)
        if origin is None:
            raise Misconfigured(f"{shown(host)} is no host of a registry")
        self.origin = origin

        def destinations(what: str, setting: str, *hosts: str) -> Destinations:
            return Destinations(what, frozenset({address, *hosts}), setting, insecure)

        destinations("the registry", "registries of the policy").check(origin)
        of = f"of registries.{first_name} in the policy"
        self._tokens = destinations(
            "a token", f"tokenHosts {of}", *_TOKEN_HOSTS.get(first_name, ()), *token_hosts
        )
        self._blobs = destinations("a blob", f"blobHosts {of}", *_BLOB_HOSTS.get(first_name, ()), *blob_hosts)

    # --- Being let in -----------------------------------------------------------------------------

    def ask(self, request: "Request") -> "Answer":
        """Ask the registry, once more after it has said how to be let in."""
        known = self._authorization.get(request.name)
        answer = self._follow(request, known)
        # What the host of a blob wants is not what the registry wants.
        if answer.status != 401 or answer.origin != self.origin:
            return answer
        self._authorization[request.name] = self._authorize(request, answer)
        return self._follow(request, self._authorization[request.name])

    def _authorize(self, request: "Request", answer: "Answer") -> str:
        """Meet a challenge: return what goes into ``Authorization``."""
        try:
            chosen = challenge.choose(challenge.parse(answer.headers.get("WWW-Authenticate", "")))
        except Misconfigured as error:
            raise Misconfigured(f"{self.host}: {error}") from error
        if chosen.scheme == "bearer":
            return f"Bearer {self._token(request.name, chosen.parameters)}"
        if self._credentials is None:
            raise Misconfigured(
                f"{self.host} wants a password for {request.name}; credentials of registries.{self.host} in "
                "the policy can name a secret with one"
            )
        return self._basic

    @cached_property
    def _basic(self) -> str:
        assert self._credentials is not None  # the only way here
        return f"Basic {base64.b64encode(':'.join(self._credentials).encode()).decode()}"

    def _token(self, name: str, said: Mapping[str, str]) -> str:
        url = self._tokens.resolve(said.get("realm", ""), self.origin)
        query = {"scope": self._scope(name, said.get("scope", ""))}
        if service := said.get("service"):
            query["service"] = service
        joint = "&" if "?" in url.target else "?"
        target = f"{url.target.rstrip('?&')}{joint}{urlencode(query)}"
        what = f"a token of {url.origin} for {self.host}/{name}"
        request = Request(name, target, what, MAX_TOKEN_BYTES, accept="application/json")
        answer = self._send(Url(url.origin, target), request, self._basic if self._credentials else None)
        document = strict_json.loads(answer.checked(), what, limit_bytes=MAX_TOKEN_BYTES)
        found = document if isinstance(document, Mapping) else {}
        token = found.get("token") or found.get("access_token")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise Misconfigured(f"expected {what}, got an answer without one")
        return token

    def _scope(self, name: str, said: str) -> str:
        """Return what a token is asked for: to read this repository, and never more."""
        ours = f"repository:{name}:pull"
        if not said or said.startswith(f"repository:{name}:"):
            return ours
        # Amazon's public registry has one scope for all of it, "aws".
        if _SCOPE.fullmatch(said) and ":" not in said:
            return said
        raise Misconfigured(f"{self.host} wants a token for {shown(said)}, asked for was {name}")

    # --- One request ------------------------------------------------------------------------------

    def _follow(self, request: "Request", authorization: str | None) -> "Answer":
        url = Url(self.origin, request.target)
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._send(url, request, authorization)
            if answer.status not in _REDIRECTS:
                return answer
            if not request.follows:
                raise Misconfigured(
                    f"{request.what}: {url.origin} redirects, which is followed for blobs only"
                )
            url = self._blobs.resolve(answer.headers.get("Location", ""), url.origin)
            # Pre-signed, or for anybody: whoever is there gets neither password nor token.
            authorization = None
        raise Misconfigured(f"{request.what}: more than {MAX_REDIRECTS} redirects")

    def _send(self, url: Url, request: "Request", authorization: str | None) -> "Answer":
        headers = {
            "Accept": request.accept,
            "Accept-Encoding": "identity",
            "User-Agent": "ecs-lifecycle-hooks",
            **({"Authorization": authorization} if authorization else {}),
        }
        try:
            prepared = requests.Request("GET", str(url), headers=headers).prepare()
            # What goes out is what was held against the lists, however requests reads an address.
            if (sent := parse(prepared.url or "")) is None or sent.origin != url.origin:
                raise Misconfigured(
                    f"{request.what}: an address at {url.origin} that can be read in two ways"
                )
            response = self._adapter.send(
                prepared, stream=True, timeout=self._limits.pair, verify=self._ca_file or True
            )
            return self._read(response, request, url.origin)
        except (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException) as error:
            raise _failed(error, request.what, url.origin) from None
        # For certificates that are not there, and headers or addresses that can't be sent.
        except (OSError, ValueError) as error:
            raise Misconfigured(f"{request.what} at {url.origin}: {type(error).__name__}") from None

    def _read(self, response: requests.Response, request: "Request", origin: Origin) -> "Answer":
        answer: urllib3.BaseHTTPResponse = response.raw
        body = b""
        try:
            if response.status_code == 200:
                body = transfer.read(answer, request.limit_bytes, request.what)
            else:
                transfer.skim(answer, MAX_IGNORED_BYTES)
        finally:
            answer.close()
        return Answer(response.status_code, response.headers, body, request.what, origin)

    @cached_property
    def _adapter(self) -> HTTPAdapter:
        return _Adapter(self._limits)


class _Adapter(HTTPAdapter):
    """Requests' own, over connections whose answers end."""

    def __init__(self, limits: transfer.Limits) -> None:
        self._limits = limits
        super().__init__(pool_connections=4, pool_maxsize=4, max_retries=0)

    def init_poolmanager(self, *args: Any, **keywords: Any) -> None:
        super().init_poolmanager(*args, **keywords)
        self.poolmanager.pool_classes_by_scheme = dict(transfer.connections(self._limits))


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for."""

    name: str
    """The repository."""
    target: str
    what: str
    limit_bytes: int
    accept: str = "*/*"
    follows: bool = False
    """Whether redirects are."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    what: str
    origin: Origin

    def checked(self, missing: Rejected | None = None) -> bytes:
        """Return the body of a success.

        Raises
        ------
        HookError
            For every other status; *missing* for 404.
        """
        said = f"{self.what} at {self.origin}: {self.status}"
        match self.status:
            case 200:
                return self.body
            case 404 if missing:
                raise missing
            case 401 | 403:
                raise Misconfigured(
                    f"{said}; does registries of the policy name credentials that may read it?"
                )
            case 408 | 425 | 429:
                raise Transient(said)
            case status if status >= 500:
                raise Transient(said)
        raise Misconfigured(said)


def _failed(error: Exception, what: str, origin: Origin) -> HookError:
    """Return what a failure to get an answer is. Its own text may have the address, and is left out."""
    seen: BaseException | None = error
    chain: list[BaseException] = []
    while seen is not None and len(chain) < 10:
        chain.append(seen)
        inner = getattr(seen, "reason", None) or next(iter(seen.args), None)
        seen = inner if isinstance(inner, BaseException) else seen.__cause__ or seen.__context__
    if any(isinstance(one, ssl.SSLCertVerificationError) for one in chain):
        return Misconfigured(f"{what}: the certificate of {origin} is not valid or not trusted")
    return Transient(f"{what} at {origin}: {type(error).__name__}")
