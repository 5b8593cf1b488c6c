"""The development provider: whom it lets in, with what, and what it refuses."""

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import pytest
import time_machine
from joserfc import jwt
from joserfc.jwk import KeySet

from rehearsal.console.browser import Page, Surprise
from rehearsal.console.provider import CODE_SECONDS, Client, DevelopmentProvider
from rehearsal.console.web import Request, Response

ISSUER = "https://login.example.org"
CALLBACK = "https://approvals.example.com/signed-in"
VERIFIER = "v" * 43
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

ASKED = {
    "client_id": "approvals",
    "redirect_uri": CALLBACK,
    "response_type": "code",
    "scope": "openid profile",
    "state": 'st"ate',
    "nonce": "nonce",
    "code_challenge": base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest())
    .rstrip(b"=")
    .decode(),
    "code_challenge_method": "S256",
}
FOR_A_TOKEN = {
    "grant_type": "authorization_code",
    "client_id": "approvals",
    "redirect_uri": CALLBACK,
    "code_verifier": VERIFIER,
}


@pytest.fixture
def provider() -> DevelopmentProvider:
    return DevelopmentProvider(Client("approvals", CALLBACK), issuer=ISSUER)


def get(provider: DevelopmentProvider, path: str, **query: str) -> Response:
    target = f"{path}?{urlencode(query)}" if query else path
    return provider.answer(Request(method="GET", target=target))


def post(provider: DevelopmentProvider, path: str, *headers: tuple[str, str], **form: str) -> Response:
    return provider.answer(
        Request(method="POST", target=path, headers=headers, body=urlencode(form).encode())
    )


def code_for(provider: DevelopmentProvider, person: str = "alice") -> str:
    location = post(provider, "/authorize", **ASKED, person=person).header("location")
    return dict(parse_qsl(urlsplit(location).query))["code"]


def token(provider: DevelopmentProvider, *headers: tuple[str, str], **form: str) -> tuple[int, Any]:
    response = post(provider, "/token", *headers, **{**FOR_A_TOKEN, **form})
    return response.status, json.loads(response.body)


def test_it_says_where_everything_is(provider: DevelopmentProvider) -> None:
    found = json.loads(get(provider, "/.well-known/openid-configuration").body)

    assert {
        key: found[key] for key in ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")
    } == {
        "issuer": ISSUER,
        "authorization_endpoint": f"{ISSUER}/authorize",
        "token_endpoint": f"{ISSUER}/token",
        "jwks_uri": f"{ISSUER}/keys",
    }


def test_the_page_asks_who_one_wants_to_be_and_says_what_it_is_for(provider: DevelopmentProvider) -> None:
    response = get(provider, "/authorize", **ASKED)

    assert response.status == 200
    text = response.body.decode()
    assert "belongs to a rehearsal" in text
    assert 'name="state" value="st&quot;ate"' in text
    assert [name for name in provider.people if f'name="person" value="{name}"' in text] == [
        "alice",
        "bob",
        "carol",
        "deployer",
    ]
    # Chromium holds the redirect that answers the form against this.
    assert "form-action 'self' https://approvals.example.com" in response.header("content-security-policy")


def test_whoever_is_chosen_goes_back_with_a_code_and_what_was_sent_along(
    provider: DevelopmentProvider,
) -> None:
    response = post(provider, "/authorize", **ASKED, person="bob")

    address, _, query = response.header("location").partition("?")
    answer = dict(parse_qsl(query))
    assert (response.status, address, answer.pop("code") != "") == (303, CALLBACK, True)
    assert answer == {"state": 'st"ate', "iss": ISSUER}


def test_a_code_is_worth_a_token_that_its_key_has_signed(provider: DevelopmentProvider) -> None:
    with time_machine.travel(NOW, tick=False):
        status, answer = token(provider, code=code_for(provider, "deployer"))

    keys = KeySet.import_key_set(json.loads(get(provider, "/keys").body))
    signed = jwt.decode(answer["id_token"], keys, algorithms=["RS256"])
    now = int(NOW.timestamp())
    assert (status, answer["token_type"]) == (200, "Bearer")
    assert signed.claims == {
        "iss": ISSUER,
        "sub": "deployer",
        "aud": "approvals",
        "iat": now,
        "auth_time": now,
        "exp": now + 300,
        "nonce": "nonce",
        "name": "Deployer",
        "preferred_username": "deployer",
        "email": "deployer@example.com",
        "email_verified": True,
        "groups": ["release-managers", "deployers"],
    }


def test_the_keys_have_nothing_private(provider: DevelopmentProvider) -> None:
    [key] = json.loads(get(provider, "/keys").body)["keys"]

    assert set(key) == {"kty", "n", "e", "kid", "use", "alg"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("client_id", "somebody-else"),
        ("redirect_uri", "https://elsewhere.example.net/signed-in"),
        ("redirect_uri", f"{CALLBACK}/.."),
        ("response_type", "token"),
        ("scope", "profile"),
        ("code_challenge", ""),
        ("code_challenge_method", "plain"),
    ],
)
def test_nobody_is_sent_anywhere_else(provider: DevelopmentProvider, name: str, value: str) -> None:
    asked = {**ASKED, name: value}

    for response in (
        get(provider, "/authorize", **asked),
        post(provider, "/authorize", **asked, person="bob"),
    ):
        assert (response.status, response.header("location")) == (400, "")


def test_nobody_else_can_be_chosen(provider: DevelopmentProvider) -> None:
    assert post(provider, "/authorize", **ASKED, person="mallory").status == 400
    assert post(provider, "/authorize", **ASKED).status == 400


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"code_verifier": "w" * 43}, (400, {"error": "invalid_grant"})),
        ({"redirect_uri": "https://elsewhere.example.net"}, (400, {"error": "invalid_grant"})),
        ({"code": "made-up"}, (400, {"error": "invalid_grant"})),
        ({"client_id": "somebody-else"}, (401, {"error": "invalid_client"})),
        ({"grant_type": "password"}, (400, {"error": "unsupported_grant_type"})),
    ],
)
def test_a_code_is_worth_nothing_to_others(
    provider: DevelopmentProvider, form: dict[str, str], expected: tuple[int, Any]
) -> None:
    assert token(provider, **{"code": code_for(provider), **form}) == expected


def test_a_code_is_good_for_one_attempt(provider: DevelopmentProvider) -> None:
    code = code_for(provider)

    assert token(provider, code=code, code_verifier="wrong")[0] == 400
    assert token(provider, code=code)[0] == 400


def test_a_code_is_good_for_a_minute_of_the_rehearsals_own_time(provider: DevelopmentProvider) -> None:
    with time_machine.travel(NOW, tick=False) as clock:
        in_time, late = code_for(provider), code_for(provider)
        clock.shift(timedelta(seconds=CODE_SECONDS))
        assert token(provider, code=in_time)[0] == 200
        clock.shift(timedelta(seconds=1))
        assert token(provider, code=late)[0] == 400


def basic(name: str, secret: str) -> tuple[str, str]:
    pair = f"{quote(name, safe='')}:{quote(secret, safe='')}"
    return "Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}"


@pytest.mark.parametrize(
    ("headers", "form", "status"),
    [
        ([basic("approvals", "s:e cret")], {}, 200),
        ([], {"client_secret": "s:e cret"}, 200),
        ([basic("approvals", "wrong")], {}, 401),
        ([("Authorization", "Basic %")], {}, 401),
        ([], {}, 401),
    ],
)
def test_a_client_with_a_secret_has_to_say_it(
    headers: list[tuple[str, str]], form: dict[str, str], status: int
) -> None:
    provider = DevelopmentProvider(Client("approvals", CALLBACK, secret="s:e cret"), issuer=ISSUER)

    assert token(provider, *headers, **{"code": code_for(provider), **form})[0] == status


def test_what_it_does_not_understand_does_no_harm(provider: DevelopmentProvider) -> None:
    many = "&".join(f"f{number}=1" for number in range(1000))
    requests = [
        Request(method="GET", target="/authorize?%ff&&&="),
        Request(method="GET", target=f"/authorize?{many}"),
        Request(method="POST", target="/token", body=b"\xff\xfe"),
        Request(method="DELETE", target="/keys"),
        Request(method="GET", target="/../keys"),
    ]

    assert [provider.answer(request).status for request in requests] == [400, 400, 401, 404, 404]


def test_without_a_client_nobody_is_let_in() -> None:
    provider = DevelopmentProvider(issuer=ISSUER)

    assert get(provider, "/authorize", **ASKED).status == 400
    assert token(provider)[0] == 401


def test_it_listens_on_this_machine_alone_and_by_another_name_than_the_console() -> None:
    with DevelopmentProvider() as provider:
        assert provider.issuer.startswith("http://localhost:")
        assert provider._server is not None
        assert provider._server._server.server_address[0] == "127.0.0.1"


def test_a_page_that_is_not_as_expected_says_what_it_is(provider: DevelopmentProvider) -> None:
    page = Page(None, f"{ISSUER}/authorize", get(provider, "/authorize"))  # type: ignore[arg-type]

    with pytest.raises(Surprise, match="no such form for /authorize; it says: no such client"):
        page.submit("/authorize", {})
