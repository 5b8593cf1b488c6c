"""Sign-in, at a provider that says whatever a test wants. test_console_openid_provider has a real one."""

import base64
import hashlib
import hmac
import json
import subprocess
import sys
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import RSAKey

from hooks.manual_approval.console import provider as provider_module
from hooks.manual_approval.console.cookies import Session, flow_of, session_of
from hooks.manual_approval.console.id_token import ALGORITHMS, NotBelieved, read_keys, verified
from hooks.manual_approval.console.settings import ConsoleSettings
from hooks.manual_approval.console.sign_in import (
    REGISTERED_ERRORS,
    Redirect,
    SignedIn,
    SignInRefused,
    finish_sign_in,
    return_path,
    sign_in_path,
    start_sign_in,
)
from shared.errors import Misconfigured, Transient
from tests.hooks.manual_approval.console.misbehaving_provider import (
    DISCOVERY,
    Answer,
    MisbehavingProvider,
    key,
    public,
    running,
    signed,
)
from tests.hooks.manual_approval.console.surroundings import (
    CLIENT_SECRET_ARN,
    NOW,
    RULES,
    Secrets,
    console_settings,
)

AT = int(NOW.timestamp())
FORGET_FLOW = "approvals-sign-in=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"


@pytest.fixture(scope="module")
def server() -> Iterator[MisbehavingProvider]:
    with running() as server:
        yield server


@pytest.fixture
def provider(server: MisbehavingProvider, secrets_kept: Secrets) -> MisbehavingProvider:
    server.__post_init__()
    server.seen.clear()
    return server


def settings_for(provider: MisbehavingProvider, **variables: str) -> ConsoleSettings:
    there = {"CONSOLE_ISSUER": provider.issuer, "APPROVAL_CONSOLE_URL": "http://127.0.0.1:8080"}
    return console_settings(RULES, **{**there, **variables})


def asked_for(going: Redirect) -> dict[str, str]:
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(going.url).query, strict_parsing=True))


def kept(going: Redirect) -> list[str]:
    return [line.partition(";")[0] for line in going.cookies]


def claims_for(provider: MisbehavingProvider, wanted: str, **changes: Any) -> dict[str, Any]:
    claims = {
        "iss": provider.issuer,
        "aud": "console",
        "sub": "alice",
        "exp": AT + 300,
        "iat": AT,
        "nonce": wanted,
        "name": "Alice",
        "groups": ["release-managers", "cooks"],
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not ...}


def sign_in(
    provider: MisbehavingProvider,
    token: Callable[[dict[str, Any]], Any] = signed,
    settings: ConsoleSettings | None = None,
    *,
    gives: bool = True,
    **changes: Any,
) -> SignedIn:
    """Sign in with an ID token whose claims have these changes; ``...`` leaves one out."""
    settings = settings or settings_for(provider)
    going = start_sign_in(settings, "/history", NOW)
    wanted = asked_for(going)
    if gives:
        provider.gives(token(claims_for(provider, wanted["nonce"], **changes)))
    query = urllib.parse.urlencode({"code": "a code", "state": wanted["state"]})
    return finish_sign_in(settings, query, kept(going), NOW)


def refused(provider: MisbehavingProvider, *arguments: Any, **changes: Any) -> str:
    """Return the reason why a sign-in is refused."""
    with pytest.raises(SignInRefused) as raised:
        sign_in(provider, *arguments, **changes)
    assert raised.value.cookies == (FORGET_FLOW,)
    return raised.value.reason


# ------------------------------------------------------------------------------------ there


def test_the_browser_is_sent_to_the_issuer_with_what_ties_its_answer_to_it(
    provider: MisbehavingProvider,
) -> None:
    settings = settings_for(provider, CONSOLE_SCOPES="groups")
    going = start_sign_in(settings, "/requests/shop/checkout/1", NOW)
    flow = flow_of(settings, kept(going), NOW)
    assert flow is not None
    assert going.url.startswith(f"{provider.issuer}/authorize?")
    digest = base64.urlsafe_b64encode(hashlib.sha256(flow.verifier.encode()).digest()).rstrip(b"=").decode()
    assert asked_for(going) == {
        "response_type": "code",
        "client_id": "console",
        "redirect_uri": "http://127.0.0.1:8080/signed-in",
        "scope": "openid profile email groups",
        "state": flow.state,
        "nonce": flow.nonce,
        "code_challenge": digest,
        "code_challenge_method": "S256",
    }
    assert flow.to == "/requests/shop/checkout/1"
    assert {len(flow.state), len(flow.nonce), len(flow.verifier)} == {43}


def test_no_two_sign_ins_have_anything_in_common(provider: MisbehavingProvider) -> None:
    settings = settings_for(provider)
    flows = [flow_of(settings, kept(start_sign_in(settings, None, NOW)), NOW) for _ in range(2)]
    assert all(flows)
    values = [value for flow in flows if flow for value in (flow.state, flow.nonce, flow.verifier)]
    assert len(set(values)) == 6


def test_what_the_issuers_address_asks_for_already_stays(provider: MisbehavingProvider) -> None:
    endpoint = f"{provider.issuer}/authorize?tenant=1"
    provider.answers[DISCOVERY] = Answer(provider.discovery(authorization_endpoint=endpoint))
    assert asked_for(start_sign_in(settings_for(provider), None, NOW))["tenant"] == "1"


SAFE = [
    "/",
    "/history",
    "/history/2026-03-02",
    "/requests/shop/checkout/qR7sT2uV9wX4yZ1aB6cD3",
    "/requests/shop/checkout/qR7sT2uV9wX4yZ1aB6cD3/step-from-12.5",
    "/requests/-a_b/c/d/ecs-pause-1?done=approve&x=1",
    "/a..b/c",
]
UNSAFE = [
    "",
    "history",
    "//evil.example.com",
    "///evil.example.com",
    "/\\evil.example.com",
    "\\\\evil.example.com",
    "/history//evil.example.com",
    "https://evil.example.com",
    "https:evil.example.com",
    "HTTPS://evil.example.com",
    "http:///evil.example.com",
    "javascript:alert(1)",
    "data:text/html,x",
    "/javascript:alert(1)",
    "@evil.example.com",
    "/@evil.example.com",
    ".evil.example.com",
    " /history",
    "/history ",
    "/history\n",
    "/history\r\nSet-Cookie: approvals=x",
    "/history%0d%0aSet-Cookie:%20approvals=x",
    "/%2fevil.example.com",
    "/%5cevil.example.com",
    "/\t/evil.example.com",
    "/\x00",
    "/\u2028",
    "/\u00e4",
    "/\uff0fevil.example.com",
    "/./",
    "/.",
    "/..",
    "/../",
    "/..//evil.example.com",
    "/history/../..//evil.example.com",
    "/history/./x",
    "/..?x",
    "/history#x",
    "/history?to=https://evil.example.com",
    "/history?a=b?c",
    "/history/",
    "/sign-in",
    "/sign-in?to=/",
    "/sign-out",
    "/signed-in?code=x&state=y",
    "/" + "a" * 512,
]


@pytest.mark.parametrize("to", SAFE)
def test_after_a_sign_in_the_browser_goes_to_the_page_it_came_from(
    provider: MisbehavingProvider, to: str
) -> None:
    assert return_path(to) == to
    settings = settings_for(provider)
    flow = flow_of(settings, kept(start_sign_in(settings, to, NOW)), NOW)
    assert flow is not None
    assert flow.to == to


@pytest.mark.parametrize("to", [None, *UNSAFE])
def test_after_a_sign_in_the_browser_goes_nowhere_else(provider: MisbehavingProvider, to: str | None) -> None:
    assert return_path(to) == "/"
    settings = settings_for(provider)
    going = start_sign_in(settings, to, NOW)
    assert all(line.isascii() and line.isprintable() for line in (going.url, *going.cookies))
    flow = flow_of(settings, kept(going), NOW)
    assert flow is not None
    assert flow.to == "/"


@given(st.text() | st.text("/\\.:@?#%\r\n\t a").map("/".__add__))
def test_no_text_leads_to_another_site(to: str) -> None:
    found = return_path(to)
    assert urllib.parse.urljoin("https://approvals.example.com/x/y", found).startswith(
        "https://approvals.example.com/"
    )
    assert found.startswith("/")
    assert not found.startswith(("//", "/\\"))
    assert found.isascii()
    assert found.isprintable()


def test_a_link_to_the_sign_in_brings_its_page_along() -> None:
    assert sign_in_path("/requests/shop/checkout/1?done=approve&x=1") == (
        "/sign-in?to=/requests/shop/checkout/1%3Fdone%3Dapprove%26x%3D1"
    )
    assert sign_in_path("//evil.example.com") == "/sign-in?to=/"


# ------------------------------------------------------------------------------------ and back


def test_whoever_the_issuer_vouches_for_is_signed_in(provider: MisbehavingProvider) -> None:
    settings = settings_for(provider)
    came = sign_in(provider)
    assert came.session == Session(
        issuer=provider.issuer,
        subject="alice",
        name="Alice",
        groups=("release-managers",),
        id=came.session.id,
        expires_at=NOW + timedelta(hours=1),
    )
    assert len(came.session.id) == 32
    assert came.to == "/history"
    session, flow = came.cookies
    assert flow == FORGET_FLOW
    assert session_of(settings, [session.partition(";")[0]], NOW) == came.session


def test_the_code_goes_to_the_issuer_with_the_verifier_and_without_a_secret(
    provider: MisbehavingProvider,
) -> None:
    settings = settings_for(provider)
    going = start_sign_in(settings, None, NOW)
    wanted = asked_for(going)
    flow = flow_of(settings, kept(going), NOW)
    assert flow is not None
    provider.gives(signed(claims_for(provider, wanted["nonce"])))
    code = "4/0a b&c=d+e%20\u00e4"
    finish_sign_in(settings, urllib.parse.urlencode({"code": code, "state": flow.state}), kept(going), NOW)
    (seen,) = provider.asked("/token")
    assert seen.form == {
        "grant_type": "authorization_code",
        "redirect_uri": "http://127.0.0.1:8080/signed-in",
        "code": code,
        "code_verifier": flow.verifier,
        "client_id": "console",
    }
    assert "Authorization" not in seen.headers


@pytest.mark.parametrize(
    ("methods", "authorization", "form"),
    [
        # As RFC 6749 has it: "s3cret:+" is encoded before it is joined to the client's name.
        (None, "console:s3cret%3A%2B", {}),
        (["client_secret_post", "client_secret_basic"], "console:s3cret%3A%2B", {}),
        (["client_secret_post"], None, {"client_id": "console", "client_secret": "s3cret:+"}),
    ],
)
def test_a_client_with_a_secret_shows_it_as_the_issuer_wants(
    provider: MisbehavingProvider,
    methods: list[str] | None,
    authorization: str | None,
    form: Mapping[str, str],
) -> None:
    provider.answers[DISCOVERY] = Answer(provider.discovery(token_endpoint_auth_methods_supported=methods))
    sign_in(provider, settings=settings_for(provider, CONSOLE_CLIENT_SECRET_ARN=CLIENT_SECRET_ARN))
    (seen,) = provider.asked("/token")
    shown = seen.headers.get("Authorization", "").removeprefix("Basic ")
    assert (base64.b64decode(shown).decode() or None) == authorization
    about_client = {name: value for name, value in seen.form.items() if name.startswith("client")}
    assert about_client == form
    assert seen.form["code_verifier"]


@pytest.mark.parametrize("methods", [["private_key_jwt"], [], "client_secret_basic"])
def test_a_secret_is_not_shown_in_a_way_that_the_issuer_does_not_know(
    provider: MisbehavingProvider, methods: Any
) -> None:
    provider.answers[DISCOVERY] = Answer(provider.discovery(token_endpoint_auth_methods_supported=methods))
    with pytest.raises(Misconfigured, match="takes a client's secret neither by client_secret_basic nor by"):
        sign_in(provider, settings=settings_for(provider, CONSOLE_CLIENT_SECRET_ARN=CLIENT_SECRET_ARN))
    assert provider.asked("/token") == []


# ------------------------------------------------------------------------------------ the answer in the URL


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("", "state"),
        ("code=c", "state"),
        ("code=c&state=", "state"),
        ("code=c&state=other", "state"),
        ("code=c&state={state}x", "state"),
        ("code=c&state=%00{state}", "state"),
        ("code=c&state=%C3%A4", "state"),
        ("error=access_denied&state=other", "state"),
        ("code=c&state={state}&state={state}", "query"),
        ("code=c&code=d&state={state}", "query"),
        ("code=c&state={state}&iss={issuer}&iss={issuer}", "query"),
        ("state={state}", "query"),
        ("code=&state={state}", "query"),
        ("code=c&state={state}&x=%FF", "query"),
        ("code=c&state={state}&x=" + "a" * 8192, "query"),
        ("code=c&state={state}" + "&x" * 30, "query"),
        ("code=c&state={state}&iss=https://evil.example.com", "issuer"),
        ("code=c&state={state}&iss=", "issuer"),
        ("code=c&state={state}&iss={issuer}/", "issuer"),
        ("error=access_denied&state={state}&iss=https://evil.example.com", "issuer"),
        ("error=access_denied&state={state}", "provider-error:access_denied"),
        ("error=access_denied&code=c&state={state}", "provider-error:access_denied"),
        ("error=&state={state}", "provider-error:unregistered"),
        ("error=%3Cscript%3E&error_description=%3Cscript%3E&state={state}", "provider-error:unregistered"),
        ("error=access_denied%0D%0ASet-Cookie:x&state={state}", "provider-error:unregistered"),
    ],
)
def test_an_answer_that_does_not_belong_to_this_sign_in_is_refused(
    provider: MisbehavingProvider, query: str, reason: str
) -> None:
    settings = settings_for(provider)
    going = start_sign_in(settings, None, NOW)
    state = asked_for(going)["state"]
    with pytest.raises(SignInRefused) as raised:
        finish_sign_in(
            settings, query.replace("{state}", state).replace("{issuer}", provider.issuer), kept(going), NOW
        )
    assert raised.value.reason == reason
    assert raised.value.cookies == (FORGET_FLOW,)
    assert "script" not in str(raised.value)
    assert provider.asked("/token") == []


def test_an_issuer_that_says_it_names_itself_has_to(provider: MisbehavingProvider) -> None:
    document = provider.discovery(authorization_response_iss_parameter_supported=True)
    provider.answers[DISCOVERY] = Answer(document)
    assert refused(provider) == "issuer"
    settings = settings_for(provider)
    going = start_sign_in(settings, None, NOW)
    wanted = asked_for(going)
    provider.gives(signed(claims_for(provider, wanted["nonce"])))
    query = urllib.parse.urlencode({"code": "c", "state": wanted["state"], "iss": provider.issuer})
    assert finish_sign_in(settings, query, kept(going), NOW).session.subject == "alice"


@pytest.mark.parametrize("error", sorted(REGISTERED_ERRORS))
def test_only_the_code_of_a_registered_error_is_shown(provider: MisbehavingProvider, error: str) -> None:
    settings = settings_for(provider)
    going = start_sign_in(settings, None, NOW)
    query = f"error={error}&error_description=hello+there&state={asked_for(going)['state']}"
    with pytest.raises(SignInRefused) as raised:
        finish_sign_in(settings, query, kept(going), NOW)
    assert str(raised.value) == f"The provider did not complete your sign-in, with the error code {error}."


def test_without_the_cookie_of_this_sign_in_nobody_is_signed_in(provider: MisbehavingProvider) -> None:
    settings = settings_for(provider)
    mine, other = (start_sign_in(settings, None, NOW) for _ in range(2))
    query = f"code=c&state={asked_for(mine)['state']}"
    local = start_sign_in(
        settings_for(provider, APPROVAL_CONSOLE_URL="https://approvals.example.com"), None, NOW
    )
    for cookies, now, reason in (
        ([], NOW, "flow-unknown"),
        (["approvals-sign-in=x"], NOW, "flow-unknown"),
        (kept(mine) * 2, NOW, "flow-unknown"),
        (kept(mine) + kept(other), NOW, "flow-unknown"),
        (kept(local), NOW, "flow-unknown"),
        (kept(mine), NOW + timedelta(minutes=10), "flow-unknown"),
        (kept(other), NOW, "state"),
    ):
        with pytest.raises(SignInRefused) as raised:
            finish_sign_in(settings, query, cookies, now)
        assert raised.value.reason == reason
    assert provider.asked("/token") == []


def test_nothing_that_a_browser_brings_along_becomes_part_of_a_session(provider: MisbehavingProvider) -> None:
    first = sign_in(provider)
    settings = settings_for(provider)
    going = start_sign_in(settings, None, NOW)
    wanted = asked_for(going)
    provider.gives(signed(claims_for(provider, wanted["nonce"], sub="bob")))
    planted = [*kept(going), first.cookies[0].partition(";")[0]]
    second = finish_sign_in(settings, f"code=c&state={wanted['state']}", planted, NOW)
    assert (second.session.subject, first.session.subject) == ("bob", "alice")
    assert second.session.id != first.session.id


# ------------------------------------------------------------------------------------ the ID token


def test_an_issuer_that_changes_its_keys_is_believed_with_the_new_one(provider: MisbehavingProvider) -> None:
    sign_in(provider)
    provider.answers["/keys"] = Answer({"keys": [public(key("EC", "new"))]})

    def by_the_new_one(claims: Mapping[str, Any]) -> str:
        return signed(claims, key("EC", "new"), alg="ES256", kid="new")

    # Within the minute it can't be told from a made-up name.
    assert refused(provider, by_the_new_one) == "key-unknown"
    assert len(provider.asked("/keys")) == 1
    provider_module._keys = {
        url: (NOW - timedelta(minutes=1), keys) for url, (_, keys) in provider_module._keys.items()
    }
    assert sign_in(provider, by_the_new_one).session.subject == "alice"
    assert len(provider.asked("/keys")) == 2
    assert len(provider.asked(DISCOVERY)) == 1


@pytest.mark.parametrize(
    ("alg", "kind"),
    [
        ("RS256", "RSA"),
        ("RS384", "RSA"),
        ("RS512", "RSA"),
        ("PS256", "RSA"),
        ("PS384", "RSA"),
        ("PS512", "RSA"),
        ("ES256", "EC"),
        ("ES384", "P-384"),
        ("EdDSA", "OKP"),
    ],
)
def test_these_algorithms_are_believed(provider: MisbehavingProvider, alg: str, kind: str) -> None:
    provider.answers["/keys"] = Answer({"keys": [public(key(kind, "one")), public(key("RSA", "other"))]})
    came = sign_in(provider, lambda claims: signed(claims, key(kind, "one"), alg=alg, kid="one"))
    assert came.session.subject == "alice"


def _unsigned(claims: Mapping[str, Any], **header: Any) -> str:
    parts = ({"alg": "none", **header}, claims)
    encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    return ".".join([*encoded, ""])


def _with_public_key_as_secret(claims: Mapping[str, Any]) -> str:
    # The attack that "alg" is checked for. As a secret, joserfc itself would not take a PEM file.
    public_key = key("RSA", "rsa")
    assert isinstance(public_key, RSAKey)
    pem = public_key.as_pem(private=False)
    header = {"alg": "HS256", "kid": "rsa"}
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims))
    content = b".".join(parts)
    signature = base64.urlsafe_b64encode(hmac.digest(pem, content, "sha256")).rstrip(b"=")
    return f"{content.decode()}.{signature.decode()}"


def _tampered(claims: Mapping[str, Any]) -> str:
    header, _, signature = signed(claims).split(".")
    changed = base64.urlsafe_b64encode(json.dumps({**claims, "sub": "mallory"}).encode()).rstrip(b"=")
    return f"{header}.{changed.decode()}.{signature}"


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (_unsigned, "token-algorithm"),
        (lambda claims: _unsigned(claims, kid="rsa"), "token-algorithm"),
        (lambda claims: _unsigned(claims, alg="None", kid="rsa"), "token-algorithm"),
        (lambda claims: _unsigned(claims, alg=None, kid="rsa"), "token-algorithm"),
        (lambda claims: _unsigned(claims, alg=["RS256"], kid="rsa"), "token-algorithm"),
        (lambda claims: _unsigned(claims, alg="RS256", kid="rsa"), "token-signature"),
        (_with_public_key_as_secret, "token-algorithm"),
        (lambda claims: signed(claims, key("oct", "rsa"), alg="HS256"), "token-algorithm"),
        (lambda claims: signed(claims, key("RSA", "other")), "token-signature"),
        (lambda claims: signed(claims, key("RSA", "other"), kid="other"), "key-unknown"),
        (lambda claims: signed(claims, key("EC", "rsa"), alg="ES256"), "key-unknown"),
        (lambda claims: signed(claims, kid="RSA"), "key-unknown"),
        (lambda claims: signed(claims, kid=""), "key-unknown"),
        (lambda claims: signed(claims, jwk=public(key("RSA", "other")), kid="other"), "key-unknown"),
        (lambda claims: signed(claims, jku="https://evil.example.com/keys", kid="other"), "key-unknown"),
        (lambda claims: signed(claims, crit=["b64"], b64=True)[:-8] + "AAAAAAAA", "token-signature"),
        (_tampered, "token-signature"),
        (lambda claims: signed(claims) + ".x", "token-signature"),
        (lambda claims: signed(claims).rpartition(".")[0] + ".", "token-signature"),
        (lambda claims: signed(claims) + "=", "token-signature"),
    ],
)
def test_a_token_that_no_key_of_the_issuers_has_signed_is_refused(
    provider: MisbehavingProvider, token: Callable[[dict[str, Any]], Any], reason: str
) -> None:
    assert refused(provider, token) == reason


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("x", "token-signature"),
        ("..", "token-signature"),
        ("e30.e30.e30", "token-signature"),
        ("WzFd.e30.e30", "token-signature"),
        ("a" * 65_536, "token-signature"),
        ("a" * 65_537, "token-missing"),
        ("", "token-missing"),
        ("\u00e4", "token-missing"),
        ("a b", "token-missing"),
        (None, "token-missing"),
        (["x"], "token-missing"),
        ({"x": 1}, "token-missing"),
    ],
)
def test_what_is_no_token_is_refused(provider: MisbehavingProvider, token: Any, reason: str) -> None:
    assert refused(provider, lambda _: token) == reason


def test_the_signature_of_claims_that_are_no_object_is_not_enough(provider: MisbehavingProvider) -> None:
    token = jws.serialize_compact({"alg": "RS256", "kid": "rsa"}, b"[]", key("RSA", "rsa"))
    assert refused(provider, lambda _: token) == "token-signature"


def test_a_key_that_is_too_short_signs_nothing(provider: MisbehavingProvider) -> None:
    weak = key("short", "weak")
    provider.answers["/keys"] = Answer({"keys": [public(weak)]})
    assert refused(provider, lambda claims: signed(claims, weak, kid="weak")) == "key-unknown"


@pytest.mark.parametrize(
    "entry",
    [
        None,
        7,
        {},
        {"kty": "XYZ", "kid": "rsa"},
        {"kty": ["RSA"], "kid": "rsa"},
        {"kty": "RSA", "kid": "rsa"},
        {"kty": "RSA", "kid": "rsa", "n": "AQAB", "e": "AQAB"},
        {"kty": "RSA", "kid": "rsa", "n": "!", "e": "AQAB"},
        {"kty": "RSA", "kid": "rsa", "n": 7, "e": "AQAB"},
        {"kty": "EC", "kid": "rsa", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "oct", "kid": "rsa", "k": "c2VjcmV0"},
        {**public(key("RSA", "rsa")), "use": "enc"},
    ],
)
def test_an_entry_that_is_no_key_for_signatures_is_passed_over(
    provider: MisbehavingProvider, entry: Any
) -> None:
    provider.answers["/keys"] = Answer({"keys": [entry]})
    assert refused(provider) == "key-unknown"
    provider_module.forget()
    provider.answers["/keys"] = Answer({"keys": [entry, public(key("RSA", "rsa"))]})
    assert sign_in(provider).session.subject == "alice"


@pytest.mark.parametrize(
    "changes",
    [{"alg": "PS256"}, {"key_ops": ["encrypt"]}, {"use": "sig", "key_ops": ["sign"]}],
)
def test_a_key_signs_only_what_it_is_for(provider: MisbehavingProvider, changes: dict[str, Any]) -> None:
    provider.answers["/keys"] = Answer({"keys": [{**public(key("RSA", "rsa")), **changes}]})
    assert refused(provider) in {"token-signature", "key-unknown"}


@pytest.mark.parametrize("document", [{}, {"keys": None}, {"keys": {}}, {"keys": []}, {"keys": "rsa"}])
def test_an_issuer_without_keys_is_not_believed(provider: MisbehavingProvider, document: Any) -> None:
    provider.answers["/keys"] = Answer(document)
    assert refused(provider) == "key-unknown"


def test_a_token_need_not_name_its_key_where_there_is_one_that_fits(provider: MisbehavingProvider) -> None:
    keys = [public(key("RSA", "rsa")), public(key("EC", "ec"))]
    provider.answers["/keys"] = Answer({"keys": keys})
    assert sign_in(provider, lambda claims: signed(claims, kid=None)).session.subject == "alice"
    provider_module.forget()
    provider.answers["/keys"] = Answer({"keys": [*keys, public(key("RSA", "other"))]})
    assert refused(provider, lambda claims: signed(claims, kid=None)) == "key-unknown"


def test_two_keys_of_one_name_are_none(provider: MisbehavingProvider) -> None:
    keys = [public(key("RSA", "rsa")), {**public(key("RSA", "other")), "kid": "rsa"}]
    provider.answers["/keys"] = Answer({"keys": keys})
    assert refused(provider) == "key-unknown"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "https://evil.example.com"}, "token-issuer"),
        ({"iss": ...}, "token-issuer"),
        ({"iss": None}, "token-issuer"),
        ({"iss": ["{issuer}"]}, "token-issuer"),
        ({"aud": "other"}, "token-audience"),
        ({"aud": ...}, "token-audience"),
        ({"aud": None}, "token-audience"),
        ({"aud": []}, "token-audience"),
        ({"aud": ["other"]}, "token-audience"),
        ({"aud": "consolex"}, "token-audience"),
        ({"aud": {"console": 1}}, "token-audience"),
        ({"aud": [["console"]]}, "token-audience"),
        ({"aud": ["console", "other"]}, "token-authorized-party"),
        ({"aud": ["console", "other"], "azp": "other"}, "token-authorized-party"),
        ({"aud": ["console", "other"], "azp": None}, "token-authorized-party"),
        ({"azp": "other"}, "token-authorized-party"),
        ({"azp": None}, "token-authorized-party"),
        ({"azp": ["console"]}, "token-authorized-party"),
        ({"exp": AT - 60}, "token-expired"),
        ({"exp": 0}, "token-expired"),
        ({"exp": ...}, "token-expired"),
        ({"exp": None}, "token-expired"),
        ({"exp": True}, "token-expired"),
        ({"exp": str(AT + 300)}, "token-expired"),
        ({"exp": float("nan")}, "token-expired"),
        ({"exp": float("inf")}, "token-expired"),
        ({"iat": AT + 61}, "token-from-the-future"),
        ({"iat": ...}, "token-from-the-future"),
        ({"iat": "now"}, "token-from-the-future"),
        ({"iat": float("nan")}, "token-from-the-future"),
        ({"nbf": AT + 61}, "token-from-the-future"),
        ({"nbf": "now"}, "token-from-the-future"),
        ({"nbf": None}, "token-from-the-future"),
        ({"nonce": "other"}, "token-nonce"),
        ({"nonce": ""}, "token-nonce"),
        ({"nonce": "\u00e4"}, "token-nonce"),
        ({"nonce": ...}, "token-nonce"),
        ({"nonce": None}, "token-nonce"),
        ({"nonce": 7}, "token-nonce"),
        ({"sub": ...}, "token-subject"),
        ({"sub": None}, "token-subject"),
        ({"sub": ""}, "token-subject"),
        ({"sub": 7}, "token-subject"),
        ({"sub": ["alice"]}, "token-subject"),
        ({"sub": "ali\nce"}, "token-subject"),
        ({"sub": "alice "}, "token-subject"),
        ({"sub": "a" * 257}, "token-subject"),
        ({"sub": "\u00e4" * 129}, "token-subject"),
        ({"groups": {"release-managers": 1}}, "groups-malformed"),
        ({"groups": 7}, "groups-malformed"),
        ({"groups": ["release-managers", 7]}, "groups-malformed"),
        ({"groups": [["release-managers"]]}, "groups-malformed"),
        ({"groups": [f"g{number}" for number in range(201)]}, "groups-too-many"),
    ],
)
def test_a_token_for_another_client_sign_in_or_time_is_refused(
    provider: MisbehavingProvider, changes: dict[str, Any], reason: str
) -> None:
    assert refused(provider, **changes) == reason


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": ["console"]},
        {"azp": "console"},
        {"aud": ["other", "console"], "azp": "console"},
        {"exp": AT - 59},
        {"exp": AT + 0.5},
        {"iat": AT + 60},
        {"nbf": AT + 60},
        {"nbf": 0},
        {"sub": "alice", "email": None, "name": 7},
    ],
)
def test_a_token_for_this_client_and_sign_in_is_believed(
    provider: MisbehavingProvider, changes: dict[str, Any]
) -> None:
    assert sign_in(provider, **changes).session.subject == "alice"


def test_headers_that_nobody_has_registered_are_ignored_unless_they_are_critical(
    provider: MisbehavingProvider,
) -> None:
    assert sign_in(provider, lambda claims: signed(claims, ctx="x")).session.subject == "alice"
    header, payload, _ = signed({"sub": "x"}).split(".")
    critical = base64.urlsafe_b64encode(b'{"alg":"RS256","kid":"rsa","crit":["exp"],"exp":1}').rstrip(b"=")
    token = f"{critical.decode()}.{payload}.{header}"
    assert refused(provider, lambda _: token) == "token-signature"


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
_member = _json | st.sampled_from(["AQAB", "P-256", "P-384", "Ed25519", "X25519", "RS256", "sig", "verify"])
_members = ["kty", "kid", "use", "alg", "key_ops", "n", "e", "d", "crv", "x", "y", "x5c"]
_entry = _json | st.builds(
    lambda kind, changes: {**public(key(kind, "rsa")), **changes},
    st.sampled_from(["RSA", "EC", "OKP"]),
    st.dictionaries(st.sampled_from(_members), _member, max_size=3),
)


@given(
    entries=st.lists(_entry, max_size=3),
    header=st.dictionaries(st.sampled_from(["kid", "crit", "b64", "typ", "jwk", "x5c"]), _member, max_size=3),
    alg=st.sampled_from(sorted(ALGORITHMS)) | _json,
    claims=_json,
    signature=st.binary(max_size=80),
)
def test_no_key_and_no_token_break_what_reads_them(
    entries: list[Any], header: dict[str, Any], alg: Any, claims: Any, signature: bytes
) -> None:
    parts = (
        json.dumps({"kid": "rsa", **header, "alg": alg}).encode(),
        json.dumps(claims).encode(),
        signature,
    )
    token = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
    with pytest.raises(NotBelieved):
        verified(token, read_keys({"keys": entries}))


# ------------------------------------------------------------------------------------ who it is


@pytest.mark.parametrize(
    ("value", "groups"),
    [
        (["release-managers", "shop"], ("release-managers", "shop")),
        (["shop", "release-managers", "shop"], ("release-managers", "shop")),
        ("shop", ("shop",)),
        ("shop release-managers", ()),
        ([], ()),
        (None, ()),
        (["*"], ()),
        (["Shop", " shop", "shop\n", "shop\u200b", "", "x" * 300], ()),
        ([*(f"g{number}" for number in range(199)), "shop"], ("shop",)),
    ],
)
def test_of_the_groups_those_are_kept_that_the_policy_names(
    provider: MisbehavingProvider, value: Any, groups: tuple[str, ...]
) -> None:
    assert sign_in(provider, groups=value).session.groups == groups


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"name": "Alice"}, "Alice"),
        ({"name": ..., "preferred_username": "al", "email": "alice@example.com"}, "al"),
        ({"name": ..., "email": "alice@example.com"}, "alice@example.com"),
        ({"name": ...}, "alice"),
        ({"name": ["Alice"]}, "alice"),
        ({"name": "\u202e\u200b\n"}, "alice"),
        ({"name": " A\u202eli\nce\x00 "}, "Alice"),
        ({"name": "A" * 200}, "A" * 100),
    ],
)
def test_the_name_is_for_people_to_read(
    provider: MisbehavingProvider, changes: dict[str, Any], name: str
) -> None:
    assert sign_in(provider, **changes).session.name == name


@pytest.mark.parametrize(
    ("claim", "changes", "subject"),
    [
        ("preferred_username", {"preferred_username": "al"}, "al"),
        ("upn", {"upn": "al#1@example.com"}, "al#1@example.com"),
        ("email", {"email": "alice@example.com", "email_verified": True}, "alice@example.com"),
    ],
)
def test_people_are_told_apart_by_the_claim_that_the_settings_name(
    provider: MisbehavingProvider, claim: str, changes: dict[str, Any], subject: str
) -> None:
    settings = settings_for(provider, CONSOLE_IDENTITY_CLAIM=claim)
    assert sign_in(provider, settings=settings, **changes).session.subject == subject


@pytest.mark.parametrize(
    ("claim", "changes", "reason"),
    [
        ("upn", {}, "identity-claim"),
        ("upn", {"upn": None}, "identity-claim"),
        ("upn", {"upn": 7}, "identity-claim"),
        ("upn", {"upn": ""}, "identity-claim"),
        ("upn", {"upn": "a\x00"}, "identity-claim"),
        ("upn", {"upn": "a" * 257}, "identity-claim"),
        ("email", {"email": "alice@example.com"}, "email-not-verified"),
        ("email", {"email": "alice@example.com", "email_verified": False}, "email-not-verified"),
        ("email", {"email": "alice@example.com", "email_verified": "true"}, "email-not-verified"),
        ("email", {"email": "alice@example.com", "email_verified": 1}, "email-not-verified"),
    ],
)
def test_nobody_is_signed_in_by_a_claim_that_the_issuer_does_not_vouch_for(
    provider: MisbehavingProvider, claim: str, changes: dict[str, Any], reason: str
) -> None:
    settings = settings_for(provider, CONSOLE_IDENTITY_CLAIM=claim)
    provider.answers["/userinfo"] = Answer({"sub": "alice", "email_verified": True})
    assert refused(provider, signed, settings, **changes) == reason


def test_what_the_token_does_not_say_is_asked_for(provider: MisbehavingProvider) -> None:
    provider.answers["/userinfo"] = Answer(
        {
            "sub": "alice",
            "name": "Alice B.",
            "groups": ["shop"],
            "email": "a@example.com",
            "email_verified": True,
        }
    )
    settings = settings_for(provider, CONSOLE_IDENTITY_CLAIM="email")
    came = sign_in(provider, settings=settings, groups=..., name=...)
    assert (came.session.subject, came.session.name, came.session.groups) == (
        "a@example.com",
        "Alice B.",
        ("shop",),
    )
    (seen,) = provider.asked("/userinfo")
    assert seen.headers["Authorization"] == "Bearer opaque"


def test_nothing_is_asked_for_packed_or_with_credentials_that_lie_about(
    provider: MisbehavingProvider, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login mallory password hunter2\n")
    monkeypatch.setenv("NETRC", str(netrc))
    provider.answers["/userinfo"] = Answer({"sub": "alice"})
    sign_in(provider, groups=...)
    assert [(seen.path, seen.headers.get("Authorization")) for seen in provider.seen] == [
        (DISCOVERY, None),
        ("/token", None),
        ("/keys", None),
        ("/userinfo", "Bearer opaque"),
    ]
    assert {seen.headers["Accept-Encoding"] for seen in provider.seen} == {"identity"}


def test_what_the_token_says_is_not_asked_for(provider: MisbehavingProvider) -> None:
    sign_in(provider)
    assert provider.asked("/userinfo") == []


def test_what_the_token_says_holds_and_nothing_of_one_source_vouches_for_the_other(
    provider: MisbehavingProvider,
) -> None:
    provider.answers["/userinfo"] = Answer({"sub": "alice", "email_verified": True, "groups": ["shop"]})
    settings = settings_for(provider, CONSOLE_IDENTITY_CLAIM="email")
    assert refused(provider, signed, settings, groups=..., email="a@example.com") == "email-not-verified"
    assert sign_in(provider, groups=["release-managers"]).session.groups == ("release-managers",)


@pytest.mark.parametrize("subject", ["bob", "Alice", "", None, ...])
def test_what_is_said_about_somebody_else_is_refused(provider: MisbehavingProvider, subject: Any) -> None:
    answer = {"groups": ["release-managers"]} | ({} if subject is ... else {"sub": subject})
    provider.answers["/userinfo"] = Answer(answer)
    assert refused(provider, groups=...) == "userinfo-subject"


def test_without_anybody_to_ask_there_are_no_groups(provider: MisbehavingProvider) -> None:
    provider.answers[DISCOVERY] = Answer(provider.discovery(userinfo_endpoint=None))
    assert sign_in(provider, groups=...).session.groups == ()


def test_more_groups_than_a_cookie_holds_sign_nobody_in(provider: MisbehavingProvider) -> None:
    many = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(100)]
    rules = [
        {"groups": many[:50], "services": ["a/b"], "may": "view"},
        {"groups": many[50:], "services": ["a/b"], "may": "view"},
    ]
    settings = console_settings(rules[:1], CONSOLE_ISSUER=provider.issuer)
    assert len(sign_in_groups(provider, settings, many)) == 50
    access = console_settings(rules[:1]).access.model_copy(
        update={"rules": tuple(console_settings([rule]).access.rules[0] for rule in rules)}
    )
    with pytest.raises(SignInRefused) as raised:
        sign_in_groups(provider, settings.model_copy(update={"access": access}), many)
    assert raised.value.reason == "session-too-large"


def sign_in_groups(
    provider: MisbehavingProvider, settings: ConsoleSettings, groups: list[str]
) -> tuple[str, ...]:
    return sign_in(provider, settings=settings, groups=groups).session.groups


# ------------------------------------------------------------------------------------ a provider in trouble


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://evil.example.com"},
        {"issuer": "{issuer}/"},
        {"issuer": None},
        {"issuer": ["{issuer}"]},
        {"authorization_endpoint": None},
        {"token_endpoint": None},
        {"jwks_uri": None},
        {"jwks_uri": ["{issuer}/keys"]},
        {"jwks_uri": "http://169.254.169.254/latest"},
        {"jwks_uri": "http://login.example.com/keys"},
        {"jwks_uri": "ftp://127.0.0.1/keys"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "https://"},
        {"jwks_uri": "https://["},
        {"jwks_uri": "https://alice@login.example.com/keys"},
        {"jwks_uri": "https://login.example.com\\@evil/keys"},
        {"jwks_uri": "https://login.example.com/k eys"},
        {"jwks_uri": "https://login.example.com/\nkeys"},
        {"jwks_uri": "https://login.example.com/k\u00e4ys"},
        {"jwks_uri": "https://login.example.com/keys#1"},
        {"jwks_uri": "https://login.example.com/" + "k" * 2048},
        {"userinfo_endpoint": "http://login.example.com/userinfo"},
        {"token_endpoint": "http://127.0.0.1.example.com/token"},
    ],
)
def test_an_issuer_that_does_not_say_who_and_where_it_is_is_named(
    provider: MisbehavingProvider, changes: dict[str, Any]
) -> None:
    filled = json.loads(json.dumps(changes).replace("{issuer}", provider.issuer))
    provider.answers[DISCOVERY] = Answer(provider.discovery(**filled))
    with pytest.raises(Misconfigured, match=f"{provider.issuer}"):
        start_sign_in(settings_for(provider), None, NOW)
    assert [seen.path for seen in provider.seen] == [DISCOVERY]


@pytest.mark.parametrize(
    ("endpoint", "may"),
    [
        ("https://keys.example.com/x?y=z", True),
        ("http://127.0.0.1:1/keys", False),
        ("http://localhost/keys", False),
        ("http://login.example.com/keys", False),
    ],
)
def test_an_issuer_with_tls_has_tls_everywhere(endpoint: str, may: bool) -> None:
    assert provider_module._may_be_asked(endpoint, "https://login.example.com") is may


@pytest.mark.parametrize("path", [DISCOVERY, "/keys", "/token", "/userinfo"])
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer({}, 500), Transient),
        (Answer({}, 503), Transient),
        (Answer({}, 429), Transient),
        (Answer({}, 404), Misconfigured),
        (Answer({}, 204), Misconfigured),
        (Answer({"error": "invalid_client"}, 401), Misconfigured),
        (Answer({"x": "token-of-alice"}, 302, {"Location": "http://127.0.0.1:1/"}), Misconfigured),
        (Answer({"x": "token-of-alice"}, 307, {"Location": "{path}?again"}), Misconfigured),
        (Answer(b"<html>token-of-alice</html>"), Misconfigured),
        (Answer(b""), Misconfigured),
        (Answer(b"[" * 100_000), Misconfigured),
        (Answer(b"\xff\xfe"), Misconfigured),
        (Answer(["token-of-alice"]), Misconfigured),
        (Answer({"x": "x" * 262_144}), Misconfigured),
        (Answer(b"token-of-alice", headers={"Content-Encoding": "gzip"}), Transient),
    ],
    ids=lambda value: f"{value.status} {value.content[:20]!r}" if isinstance(value, Answer) else None,
)
def test_an_answer_that_is_none_is_named_by_its_address_and_not_shown(
    provider: MisbehavingProvider, path: str, answer: Answer, error: type[Exception]
) -> None:
    provider.answers[path] = answer
    with pytest.raises(error) as raised:
        sign_in(provider, groups=..., gives=path != "/token")
    assert str(raised.value).startswith(f"{provider.issuer}{path}")
    assert "token-of-alice" not in str(raised.value)
    # Nothing was followed.
    assert {seen.path for seen in provider.seen} <= {DISCOVERY, "/keys", "/token", "/userinfo"}


def test_a_provider_that_is_not_there_is_asked_again_later(secrets_kept: Secrets) -> None:
    gone = "http://127.0.0.1:1"
    with pytest.raises(Transient, match=f"^{gone}{DISCOVERY}: ConnectionError$"):
        start_sign_in(console_settings(CONSOLE_ISSUER=gone), None, NOW)


def test_an_address_that_is_none_is_named(provider: MisbehavingProvider) -> None:
    document = provider.discovery(jwks_uri="https://.example.com/keys")
    provider.answers[DISCOVERY] = Answer(document)
    with pytest.raises(Misconfigured, match=r"^https://\.example\.com/keys: InvalidURL$"):
        sign_in(provider)


def test_a_provider_that_takes_too_long_is_given_up(
    provider: MisbehavingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_module, "ANSWER_SECONDS", -1)
    with pytest.raises(Transient, match="takes more than -1 s to answer"):
        start_sign_in(settings_for(provider), None, NOW)


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (Answer({"error": "invalid_grant"}, 400), SignInRefused, None),
        (Answer({"error": "invalid_client"}, 401), Misconfigured, "invalid_client"),
        (Answer({"error": "unauthorized_client"}, 400), Misconfigured, "unauthorized_client"),
        (Answer({"error": "invalid_client"}, 200), Misconfigured, "invalid_client"),
        (Answer({"error": "a <script>"}, 400), Misconfigured, "an error that is none of OAuth's"),
        (Answer({"error": ["x"]}, 400), Misconfigured, "answers 400 without an error of OAuth's"),
        (Answer({"id_token": "x"}, 400), Misconfigured, "answers 400 without an error of OAuth's"),
    ],
)
def test_an_issuer_that_gives_nothing_for_a_code_signs_nobody_in(
    provider: MisbehavingProvider, answer: Answer, error: type[Exception], text: str | None
) -> None:
    provider.answers["/token"] = answer
    settings = settings_for(provider)
    going = start_sign_in(settings, None, NOW)
    with pytest.raises(error) as raised:
        finish_sign_in(settings, f"code=c&state={asked_for(going)['state']}", kept(going), NOW)
    if isinstance(raised.value, SignInRefused):
        assert raised.value.reason == "code-refused"
    else:
        assert str(raised.value).endswith(str(text))


@pytest.mark.parametrize("others", [{"access_token": None}, {"access_token": "a b"}, {"access_token": "x\n"}])
def test_a_token_that_cannot_be_shown_to_the_issuer_is_refused(
    provider: MisbehavingProvider, others: dict[str, Any]
) -> None:
    settings = settings_for(provider)
    going = start_sign_in(settings, None, NOW)
    wanted = asked_for(going)
    provider.gives(signed(claims_for(provider, wanted["nonce"])), **others)
    with pytest.raises(SignInRefused) as raised:
        finish_sign_in(settings, f"code=c&state={wanted['state']}", kept(going), NOW)
    assert raised.value.reason == "token-missing"


def test_what_an_issuer_says_of_itself_is_read_once_an_hour(provider: MisbehavingProvider) -> None:
    settings = settings_for(provider)
    for minutes in (0, 30, 59, 60, 90):
        start_sign_in(settings, None, NOW + timedelta(minutes=minutes))
    assert [seen.path for seen in provider.seen] == [DISCOVERY] * 2


def test_a_sign_in_whose_issuer_does_not_answer_can_be_finished_later(provider: MisbehavingProvider) -> None:
    settings = settings_for(provider)
    going = start_sign_in(settings, None, NOW)
    wanted = asked_for(going)
    query = f"code=c&state={wanted['state']}"
    provider.answers["/token"] = Answer({}, 503)
    with pytest.raises(Transient):
        finish_sign_in(settings, query, kept(going), NOW)
    provider.gives(signed(claims_for(provider, wanted["nonce"])))
    assert finish_sign_in(settings, query, kept(going), NOW).session.subject == "alice"


def test_neither_tokens_nor_claims_are_in_what_is_raised(provider: MisbehavingProvider) -> None:
    with pytest.raises(SignInRefused) as raised:
        sign_in(provider, sub="mallory\n", name="Mallory")
    error: BaseException | None = raised.value
    while error is not None:
        assert "mallory" not in f"{error!r} {error}".lower()
        error = error.__cause__ or error.__context__


def test_looking_at_a_page_loads_nothing_that_only_a_sign_in_needs() -> None:
    script = (
        "import sys; import hooks.manual_approval.console.sign_in; "
        "print(sorted({'authlib', 'joserfc', 'requests'} & sys.modules.keys()))"
    )
    found = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert found.stdout == "[]\n"
