"""Sign-in, at a real OpenID provider; there is no browser, but all that one would send."""

import dataclasses
import urllib.parse
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from hooks.manual_approval.console.access import Access
from hooks.manual_approval.console.cookies import Session, flow_cookie, flow_of, session_of
from hooks.manual_approval.console.settings import ConsoleSettings
from hooks.manual_approval.console.sign_in import (
    Redirect,
    SignedIn,
    SignInRefused,
    finish_sign_in,
    start_sign_in,
)
from tests.hooks.manual_approval.console import provider_process
from tests.hooks.manual_approval.console.provider_process import sign_in_as
from tests.hooks.manual_approval.console.surroundings import (
    CLIENT_SECRET_ARN,
    RULES,
    Secrets,
    console_settings,
)

CONSOLE = "http://127.0.0.1:8080"


@pytest.fixture
def settings(issuer: str, secrets_kept: Secrets) -> ConsoleSettings:
    return settings_at(issuer)


def settings_at(issuer: str, **variables: str) -> ConsoleSettings:
    return console_settings(RULES, CONSOLE_ISSUER=issuer, APPROVAL_CONSOLE_URL=CONSOLE, **variables)


def now() -> datetime:
    return datetime.now(UTC)


def kept(going: Redirect) -> list[str]:
    return [line.partition(";")[0] for line in going.cookies]


def answer_of(person: str, going: Redirect) -> str:
    """Return the query that the provider sends a person back with."""
    address = urllib.parse.urlsplit(sign_in_as(person, going.url))
    assert f"{address.scheme}://{address.netloc}{address.path}" == f"{CONSOLE}/signed-in"
    return address.query


def signed_in(person: str, settings: ConsoleSettings) -> SignedIn:
    going = start_sign_in(settings, "/history", now())
    return finish_sign_in(settings, answer_of(person, going), kept(going), now())


def refused(settings: ConsoleSettings, query: str, cookies: list[str]) -> str:
    with pytest.raises(SignInRefused) as raised:
        finish_sign_in(settings, query, cookies, now())
    return raised.value.reason


def test_alice_signs_in_and_may_decide(settings: ConsoleSettings) -> None:
    began = now()
    came = signed_in("alice", settings)
    assert came.session == Session(
        issuer=settings.issuer,
        subject="alice",
        name="Alice",
        groups=("release-managers", "shop"),
        id=came.session.id,
        expires_at=came.session.expires_at,
    )
    assert began <= came.session.expires_at - timedelta(hours=1) <= now()
    assert came.to == "/history"
    session = session_of(settings, [came.cookies[0].partition(";")[0]], now())
    assert session is not None
    access = Access(settings.access, session.issuer, session.subject, session.groups)
    assert access.may_decide("shop", "checkout")
    assert access.person("shop", "checkout", session.name).is_well_formed


@pytest.mark.parametrize(
    ("person", "groups", "may"),
    [("bob", ("shop",), (True, False)), ("carol", (), (True, True))],
)
def test_everybody_gets_what_the_provider_says_they_are(
    settings: ConsoleSettings, person: str, groups: tuple[str, ...], may: tuple[bool, bool]
) -> None:
    session = signed_in(person, settings).session
    access = Access(settings.access, session.issuer, session.subject, session.groups)
    assert (session.subject, session.groups) == (person, groups)
    assert (access.may_view("shop", "checkout"), access.may_decide("shop", "checkout")) == may


def test_people_can_be_told_apart_by_an_address_that_is_theirs(issuer: str, secrets_kept: Secrets) -> None:
    settings = settings_at(issuer, CONSOLE_IDENTITY_CLAIM="email")
    assert signed_in("alice", settings).session.subject == "alice@example.com"
    for person, reason in (("bob", "email-not-verified"), ("carol", "identity-claim")):
        going = start_sign_in(settings, None, now())
        assert refused(settings, answer_of(person, going), kept(going)) == reason


def test_whoever_changes_their_mind_is_not_signed_in(settings: ConsoleSettings) -> None:
    going = start_sign_in(settings, None, now())
    assert refused(settings, answer_of("", going), kept(going)) == "provider-error:access_denied"


def test_an_answer_counts_once(settings: ConsoleSettings) -> None:
    going = start_sign_in(settings, None, now())
    query = answer_of("alice", going)
    came = finish_sign_in(settings, query, kept(going), now())
    assert came.cookies[1].startswith("approvals-sign-in=; Path=/; Max-Age=0;")
    # A browser has forgotten the cookie; somebody who has kept it gets nothing for the code.
    assert refused(settings, query, []) == "flow-unknown"
    assert refused(settings, query, kept(going)) == "code-refused"


def test_a_code_is_worth_nothing_without_the_verifier_of_its_sign_in(settings: ConsoleSettings) -> None:
    going = start_sign_in(settings, None, now())
    query = answer_of("alice", going)
    flow = flow_of(settings, kept(going), now())
    assert flow is not None
    other = flow_cookie(settings, dataclasses.replace(flow, verifier="x" * 43), now()).partition(";")[0]
    assert refused(settings, query, [other]) == "code-refused"


def test_a_code_of_one_sign_in_is_worth_nothing_in_another(settings: ConsoleSettings) -> None:
    mine, other = (start_sign_in(settings, None, now()) for _ in range(2))
    code = urllib.parse.parse_qs(answer_of("alice", other))["code"][0]
    flow = flow_of(settings, kept(mine), now())
    assert flow is not None
    query = urllib.parse.urlencode({"code": code, "state": flow.state, "iss": settings.issuer})
    assert refused(settings, query, kept(mine)) == "code-refused"


def test_this_provider_names_itself_and_is_held_to_it(settings: ConsoleSettings) -> None:
    going = start_sign_in(settings, None, now())
    answer = dict(urllib.parse.parse_qsl(answer_of("alice", going)))
    assert answer.pop("iss") == settings.issuer
    assert refused(settings, urllib.parse.urlencode(answer), kept(going)) == "issuer"


@pytest.mark.parametrize("changes", [{"client_id": "other"}, {"redirect_uri": "https://evil.example.com/"}])
def test_the_provider_takes_nobody_elsewhere(settings: ConsoleSettings, changes: dict[str, str]) -> None:
    going = start_sign_in(settings, None, now())
    address = urllib.parse.urlsplit(going.url)
    query = urllib.parse.urlencode({**dict(urllib.parse.parse_qsl(address.query)), **changes})
    answer = requests.get(address._replace(query=query).geturl(), allow_redirects=False, timeout=10)
    assert answer.status_code == 400


@pytest.fixture(scope="module")
def confidential(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A provider whose client has a secret, and that puts all into the ID token."""
    if reason := provider_process.missing():
        pytest.skip(reason)
    client: dict[str, Any] = {**provider_process.CLIENT, "secret": "s3cret:+"}
    folder = tmp_path_factory.mktemp("confidential")
    with provider_process.running(folder, clients=[client], claims_in_id_token=True) as issuer:
        yield issuer


def test_a_client_with_a_secret_signs_people_in(confidential: str, secrets_kept: Secrets) -> None:
    settings = settings_at(confidential, CONSOLE_CLIENT_SECRET_ARN=CLIENT_SECRET_ARN)
    session = signed_in("alice", settings).session
    assert (session.subject, session.name, session.groups) == ("alice", "Alice", ("release-managers", "shop"))
