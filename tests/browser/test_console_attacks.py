"""What somebody may try who is not, or not quite, let in. Each attempt is refused and changes nothing.

The service that waits is one that alice and bob decide on, carol may look at, and mallory may not see.
"""

import dataclasses
import json
import re
import string
from collections.abc import Iterator
from datetime import timedelta
from itertools import product
from urllib.parse import parse_qsl, quote, urlencode, urljoin

import pytest

from hooks.manual_approval.console.cookies import csrf_token, session_cookie
from hooks.manual_approval.console.security_headers import security_headers
from hooks.manual_approval.console.sign_in import start_sign_in
from rehearsal.console.site import ISSUER, URL
from rehearsal.console.web import Request
from shared import clock
from tests.browser.scenes import PATIENT, paused, waiting
from tests.browser.standstill import FORM, HOST, SESSION, Sent, Standstill, standstill

EVIL = "evil.example"


@pytest.fixture(scope="module")
def console() -> Iterator[Standstill]:
    scenarios = [
        waiting("checkout", expiresAfterMinutes=1000, **PATIENT),
        waiting("finished", **PATIENT),
        waiting("ledger", cluster="bank", **PATIENT),
        paused("streaming"),
    ]
    with standstill(*scenarios) as still:
        assert still.answer("alice", "finished", "approve").status == 303
        still.pass_time(180)
        still.worlds["finished"].invoke_sweeper()
        assert still.deployment("finished").status == "SUCCESSFUL"
        yield still


@pytest.fixture
def still(console: Standstill) -> Iterator[Standstill]:
    """A console that is the same afterwards."""
    for person in ("alice", "bob", "carol", "mallory"):
        console.cookie(person)
    before = console.state()
    yield console
    assert console.state() == before


@pytest.fixture
def checkout(still: Standstill) -> str:
    return still.path("checkout")


@pytest.fixture
def answer(checkout: str) -> str:
    return f"{checkout}/answer"


def approval(still: Standstill, path: str, **changes: str) -> dict[str, str]:
    """Return the fields of alice's form, as her page has them."""
    return {"csrf": still.csrf("alice", path), "seen": "1", "answer": "approve", "comment": "", **changes}


def title(sent: Sent) -> str:
    found = re.search(r"<title>(.*) – ECS approvals</title>", sent.text)
    assert found, sent.text[:200]
    return found[1]


def refused(sent: Sent, status: int, heading: str) -> None:
    """Hold an answer against what was expected, and to what all answers have to be."""
    assert (sent.status, title(sent)) == (status, heading)
    guarded(sent)


def guarded(sent: Sent) -> None:
    headers = dict(sent.response.headers)
    expected = {name.lower(): value for name, value in security_headers(URL).items()}
    assert {name: headers.get(name) for name in expected} == expected
    assert headers["content-type"] in {"text/html; charset=utf-8", "text/plain; charset=utf-8"}
    assert sent.writes == set()


# ---------------------------------------------------------------------------------------------- cookies

SIGN_IN = (403, "Sign in")


def test_nobody_sees_anything_without_signing_in(still: Standstill, checkout: str, answer: str) -> None:
    for path in ("/", "/history", "/history/2026-03-02", checkout):
        refused(still.get("", path), *SIGN_IN)
    for path in (answer, still.stop_path("checkout"), "/sign-out"):
        refused(still.post("", path, approval(still, answer)), *SIGN_IN)


def test_a_cookie_holds_to_the_letter(still: Standstill) -> None:
    cookie = still.cookie("alice")

    def knows_who(value: str) -> bool:
        sent = still.send("GET", "/no-such-page", cookies=f"{SESSION}={value}")
        return "Signed in as" in sent.text

    assert knows_who(cookie)
    for place, letter in enumerate(cookie):
        other = "A" if letter != "A" else "B"
        assert not knows_who(f"{cookie[:place]}{other}{cookie[place + 1 :]}")
        assert not knows_who(cookie[:place])
    # Two bits of its last letter say nothing, and count all the same.
    alphabet = f"{string.ascii_letters}{string.digits}-_"
    assert [last for last in alphabet if knows_who(f"{cookie[:-1]}{last}")] == [cookie[-1]]


@pytest.mark.parametrize(
    "cookies",
    [
        "approvals={alice}",
        "__host-approvals={alice}",
        "__Secure-approvals={alice}",
        "__Host-approvals-sign-in={alice}",
        '__Host-approvals="{alice}"',
        "__Host-approvals={alice}x",
        "__Host-approvals=x{alice}",
        "__Host-approvals={alice}=",
        "__Host-approvals={alice}.",
        "__Host-approvals=.{alice}",
        "__Host-approvals=",
        "__Host-approvals",
        "__Host-approvals={alice},{bob}",
        "__Host-approvals={alice}; __Host-approvals={bob}",
        "__Host-approvals={alice}; __Host-approvals=",
        "__Host-approvals=x; __Host-approvals={alice}",
        "$Version=1; __Host-approvals={mixed}",
    ],
)
def test_a_cookie_counts_under_its_own_name_whole_and_once(
    still: Standstill, checkout: str, cookies: str
) -> None:
    alice, bob = still.cookie("alice"), still.cookie("bob")
    mixed = f"{alice.rpartition('.')[0]}.{bob.rpartition('.')[2]}"
    refused(still.send("GET", checkout, cookies=cookies.format(alice=alice, bob=bob, mixed=mixed)), *SIGN_IN)


def test_what_the_console_has_signed_for_something_else_signs_nobody_in(
    still: Standstill, checkout: str, answer: str
) -> None:
    now, alice = clock.now(), still.session("alice")
    with still.as_console():
        settings = still.settings()
        going = start_sign_in(settings, "/", now)
        others = [
            # Of another issuer, which the console was set up with before.
            session_cookie(settings, dataclasses.replace(alice, issuer="https://other.example.org"), now),
            # Of a time that is over, or not yet.
            session_cookie(settings, dataclasses.replace(alice, expires_at=now), now - timedelta(minutes=1)),
            session_cookie(settings, alice, now + timedelta(minutes=5)),
            session_cookie(
                settings,
                dataclasses.replace(alice, expires_at=now + timedelta(days=9)),
                now - settings.session_length,
            ),
            # Nobody.
            session_cookie(settings, dataclasses.replace(alice, subject=""), now),
            going.cookies[0],
            f"={csrf_token(settings, alice, answer, now)}",
        ]
    for line in others:
        value = line.partition(";")[0].partition("=")[2]
        refused(still.send("GET", checkout, cookies=f"{SESSION}={value}"), *SIGN_IN)


# ------------------------------------------------------------------------------------------------- forms

STALE_FORM = (403, "Open the page again")


def test_a_form_needs_the_token_of_this_person_sign_in_and_form(still: Standstill, answer: str) -> None:
    now, alice = clock.now(), still.session("alice")
    with still.as_console():
        settings = still.settings()
        again = dataclasses.replace(alice, id="another sign-in")
        tokens = [
            "",
            "0",
            still.cookie("alice"),
            still.csrf("bob", answer),
            still.csrf("alice", still.stop_path("checkout")),
            still.csrf("alice", "/sign-out"),
            still.csrf("alice", still.path("checkout")),
            still.csrf("alice", f"{answer}/"),
            csrf_token(settings, again, answer, now),
            csrf_token(settings, alice, answer, now - settings.session_length),
            csrf_token(settings, alice, answer, now + timedelta(minutes=5)),
            f"{still.csrf('alice', answer)} ",
            still.csrf("alice", answer)[:-1],
        ]
    for token in tokens:
        refused(still.post("alice", answer, approval(still, answer, csrf=token)), *STALE_FORM)
    without = approval(still, answer)
    del without["csrf"]
    refused(still.post("alice", answer, without), *STALE_FORM)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": ""},
        {"Origin": "null"},
        {"Origin": f"https://{EVIL}"},
        {"Origin": f"{URL}.{EVIL}"},
        {"Origin": f"https://{EVIL}#{URL}"},
        {"Origin": URL.replace("https", "http")},
        {"Origin": f"{URL}:443"},
        {"Origin": f"{URL}:8443"},
        {"Origin": f"{URL}/"},
        {"Origin": URL.upper()},
        {"Origin": f"{URL} "},
        {"Origin": f"{URL},{URL}"},
        {"Origin": f"{URL}, https://{EVIL}"},
        {"Origin": "", "Referer": f"{URL}/"},
        {"Origin": "", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "", "Sec-Fetch-Site": "same-site"},
        {"Origin": "", "Sec-Fetch-Site": "none"},
        {"Origin": "", "Sec-Fetch-Site": "same-origin, cross-site"},
        {"Origin": f"https://{EVIL}", "Sec-Fetch-Site": "same-origin"},
    ],
    ids=json.dumps,
)
def test_a_form_has_to_come_from_a_page_of_the_console(
    still: Standstill, answer: str, headers: dict[str, str]
) -> None:
    named = {name.replace("-", "_"): value for name, value in headers.items()}
    for path in (answer, still.stop_path("checkout"), "/sign-out"):
        refused(
            still.post("alice", path, approval(still, answer, csrf=still.csrf("alice", path)), **named),
            403,
            "Not from here",
        )


def test_two_headers_that_say_where_it_comes_from_are_one_too_many(still: Standstill, answer: str) -> None:
    sent = still.send(
        "POST",
        answer,
        cookies=f"{SESSION}={still.cookie('alice')}",
        headers=[("Origin", f"https://{EVIL}"), ("Origin", URL), ("Content-Type", FORM)],
        body=urlencode(approval(still, answer)).encode(),
    )
    refused(sent, 403, "Not from here")


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "text/plain",
        "application/json",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded-not",
        "text/plain; application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded, text/plain",
    ],
)
def test_what_is_posted_has_to_be_a_form(still: Standstill, answer: str, kind: str) -> None:
    refused(still.post("alice", answer, approval(still, answer), Content_Type=kind), 415, "Not a form")


@pytest.mark.parametrize(
    ("body", "status", "heading"),
    [
        ("csrf={csrf}&seen=1&answer=approve&answer=reject", 400, "Not a form"),
        ("csrf={csrf}&csrf={csrf}&seen=1&answer=approve", 400, "Not a form"),
        ("csrf={csrf}&seen=1&answer=approve" + "&x=" * 30, 400, "Not a form"),
        ("csrf={csrf}&seen=1&answer=approve&comment=%ff%fe", 400, "Not a form"),
        ("csrf={csrf}&seen=1&answer=approve&comment=" + "x" * 17_000, 413, "Too long"),
        ("csrf={csrf}&seen=1", 400, "No answer"),
        ("csrf={csrf}&seen=1&answer=", 400, "No answer"),
        ("csrf={csrf}&seen=1&answer=APPROVE", 400, "No answer"),
        ("csrf={csrf}&seen=1&answer=approved", 400, "No answer"),
        ("csrf={csrf}&seen=1&answer=stop", 400, "No answer"),
        ("csrf={csrf}&seen=1&answer=extend", 400, "No time"),
        ("csrf={csrf}&seen=1&answer=extend&expires_at=tomorrow", 400, "No time"),
        ("csrf={csrf}&seen=1&answer=extend&expires_at=9999-99-99T99:99:99Z", 400, "No time"),
        ("csrf={csrf}&seen=1&answer=extend&expires_at=2026-03-02T12:00:00", 400, "No time"),
        ("csrf={csrf};seen=1;answer=approve", *STALE_FORM),
        ("", *STALE_FORM),
        ("\x00", *STALE_FORM),
    ],
)
def test_a_form_is_read_as_a_browser_writes_it_or_not_at_all(
    still: Standstill, answer: str, body: str, status: int, heading: str
) -> None:
    sent = still.send(
        "POST",
        answer,
        cookies=f"{SESSION}={still.cookie('alice')}",
        headers={"Origin": URL, "Content-Type": FORM},
        body=body.replace("{csrf}", still.csrf("alice", answer)).encode(),
    )
    refused(sent, status, heading)


@pytest.mark.parametrize("seen", ["", "0", "2", "01", "1.0", " 1", "-1", "1e0", "１", "9" * 400])  # noqa: RUF001
def test_an_answer_counts_for_the_version_that_was_shown(still: Standstill, answer: str, seen: str) -> None:
    refused(
        still.post("alice", answer, approval(still, answer, seen=seen)),
        409,
        "Problem: checkout: Waiting for a decision",
    )


@pytest.mark.parametrize(
    "expires_at",
    [
        "2026-03-02T09:30:00Z",
        "2026-03-03T01:00:00Z",
        "2026-03-09T10:00:00Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59-23:59",
        "0001-01-01T00:00:00+23:59",
    ],
)
def test_an_expiry_is_put_off_within_the_bounds_only(still: Standstill, answer: str, expires_at: str) -> None:
    sent = still.post("alice", answer, approval(still, answer, answer="extend", expires_at=expires_at))
    assert sent.status in {400, 409}
    guarded(sent)


# ----------------------------------------------------------------------------------------------- rights


@pytest.mark.parametrize("what", ["approve", "reject", "extend"])
def test_whoever_may_only_look_is_not_heard(still: Standstill, what: str) -> None:
    later = "2026-03-02T12:00:00Z"
    refused(still.answer("carol", "checkout", what, expires_at=later), 403, "Not yours to decide")
    part = still.pause("streaming")
    refused(still.answer("carol", "streaming", what, part=part, expires_at=later), 403, "Not yours to decide")


def test_whoever_may_only_look_stops_nothing(still: Standstill) -> None:
    path = still.stop_path("checkout")
    refused(still.post("carol", path, {"csrf": still.csrf("carol", path)}), 403, "Not yours to stop")


def test_the_page_of_whoever_may_only_look_has_no_form_but_the_way_out(still: Standstill) -> None:
    for path in (still.path("checkout"), still.path("streaming", still.pause("streaming"))):
        sent = still.get("carol", path)
        assert sent.status == 200
        assert re.findall(r'<form[^>]* action="([^"]*)"', sent.text) == ["/sign-out"]


def nothing_here(still: Standstill, subject: str) -> Sent:
    sent = still.get(subject, "/no-such-page")
    refused(sent, 404, "Nothing here")
    return sent


def test_what_one_may_not_see_looks_like_what_is_not_there(still: Standstill) -> None:
    """Nothing differs by which somebody could tell: neither status, nor a byte of the page, nor AWS calls."""
    real = still.path("ledger")
    cluster, service, deployment = real.removeprefix("/requests/").split("/")
    same = nothing_here(still, "alice").response
    hidden = [
        real,
        f"/requests/{cluster}/{service}/{deployment[:-1]}x",
        f"/requests/{cluster}/nothing/{deployment}",
        f"/requests/nothing/{service}/{deployment}",
        f"{real}/step-from-10",
        f"{real}/{still.pause('streaming')}",
    ]
    for path in hidden:
        sent = still.get("alice", path)
        assert sent.response == same
        assert sent.calls == []
    for path in hidden:
        form = {"csrf": still.csrf("alice", f"{path}/answer"), "seen": "1", "answer": "approve"}
        sent = still.post("alice", f"{path}/answer", form)
        assert (sent.response, sent.calls) == (same, [])
    for path in hidden[:4]:
        stop = f"{path.replace('/requests', '/deployments')}/stop"
        sent = still.post("alice", stop, {"csrf": still.csrf("alice", stop)})
        assert (sent.response, sent.calls) == (same, [])


def test_a_request_that_is_over_or_never_was_looks_like_what_is_not_there(still: Standstill) -> None:
    same = nothing_here(still, "carol").response
    deployment = still.deployment("checkout").arn.id
    for path in (
        still.path("finished"),
        f"/requests/shop/checkout/{deployment[:-1]}x",
        f"/requests/shop/nothing/{deployment}",
        f"/requests/shop/streaming/{deployment}",
        f"/requests/shop/checkout/{deployment}/step-from-10",
        f"/requests/shop/checkout/{deployment}/{still.pause('streaming')}",
        f"{still.path('streaming')}/ecs-pause-00000000-0000-4000-8000-000000000000",
        still.path("streaming"),
    ):
        assert still.get("carol", path).response == same


def test_a_stranger_finds_nothing_anywhere(still: Standstill) -> None:
    for path in ("/", "/history", "/history/2026-03-02"):
        page = still.get("mallory", path)
        assert page.status == 200
        for name in ("checkout", "finished", "ledger", "streaming", "shop", "bank"):
            assert name not in page.text
    same = nothing_here(still, "mallory").response
    for service in ("checkout", "ledger", "finished"):
        assert still.get("mallory", still.path(service)).response == same
        assert still.answer("mallory", service, "approve").response == same


def test_a_release_manager_of_one_cluster_does_not_see_another(still: Standstill) -> None:
    for path in ("/", "/history"):
        assert "ledger" not in still.get("alice", path).text


# ------------------------------------------------------------------------------------- redirects, headers

ELSEWHERE = [
    f"https://{EVIL}/",
    f"//{EVIL}",
    f"///{EVIL}",
    f"////{EVIL}",
    f"/\\{EVIL}",
    f"\\\\{EVIL}",
    f"\\/{EVIL}",
    f"/\t/{EVIL}",
    f"/\n/{EVIL}",
    f"\t//{EVIL}",
    f" //{EVIL}",
    f"/%2f{EVIL}",
    f"/%5c{EVIL}",
    f"/..//{EVIL}",
    f"/.//{EVIL}",
    f"/history/..//{EVIL}",
    f"/history//{EVIL}",
    f"https:{EVIL}",
    f"https:/{EVIL}",
    f"@{EVIL}",
    f"/@{EVIL}",
    f".{EVIL}",
    f":@{EVIL}",
    f"/:80@{EVIL}",
    "javascript:alert(1)",
    "data:text/html,x",
    "/%0d%0aSet-Cookie:x=1",
    "/\r\nSet-Cookie: x=1",
    "/\u2028/",
    "/ｅvil",  # noqa: RUF001
    "/sign-in?to=/history",
    "/signed-in?code=x",
    "/sign-out",
    "/" + "a" * 3000,
    "",
]


@pytest.mark.parametrize("to", ELSEWHERE)
def test_signing_in_leads_to_a_page_of_the_console_whatever_the_link_says(still: Standstill, to: str) -> None:
    begun = still.send("GET", f"/sign-in?{urlencode({'to': to})}")
    assert begun.status == 303
    guarded(begun)
    assert begun.response.header("location").startswith(f"{ISSUER}/authorize?")
    came = finish(still, begun)
    assert (came.status, came.response.header("location")) == (303, "/")
    guarded(came)


@pytest.mark.parametrize(
    "to", ["/history", "/history/2026-03-02", "/requests/shop/checkout/x", "/?done=stop"]
)
def test_signing_in_leads_to_the_page_that_was_asked_for(still: Standstill, to: str) -> None:
    came = finish(still, still.send("GET", f"/sign-in?{urlencode({'to': to})}"))
    assert (came.status, came.response.header("location")) == (303, to)


def finish(still: Standstill, begun: Sent) -> Sent:
    """Have alice sign in at the provider, and come back."""
    assert still.site.provider is not None
    asked = begun.response.header("location").partition("?")[2]
    chosen = Request(
        method="POST",
        target="/authorize",
        headers=(("Content-Type", FORM),),
        body=f"{asked}&person=alice".encode(),
    )
    back = still.site.provider.answer(chosen).header("location")
    assert back.startswith(f"{URL}/signed-in?")
    cookie = begun.response.header("set-cookie").partition(";")[0]
    return still.send("GET", back.removeprefix(URL), cookies=cookie)


INJECTED = ["\r\nX-Injected: 1", "\nX-Injected: 1", "\r", "\x00", "\x0b", "\u2028", "é\r\n\r\n<b>"]
MARKUP = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'; --",
    "{{7*7}}",
    "${7*7}",
    "\u202e",
]


@pytest.mark.parametrize("said", [*INJECTED, *MARKUP])
def test_what_is_said_in_an_address_or_a_form_comes_back_in_no_header_and_no_markup(
    still: Standstill, checkout: str, said: str
) -> None:
    encoded = quote(said, safe="")
    deployment = checkout.rpartition("/")[2]
    addresses = [
        f"/{encoded}",
        f"/?done={encoded}",
        f"/history/{encoded}",
        f"{checkout}?done={encoded}",
        f"{checkout}/{encoded}",
        f"/requests/{encoded}/checkout/{deployment}",
        f"/requests/shop/{encoded}/{deployment}",
        f"/requests/shop/checkout/{encoded}",
        f"/sign-in?to={encoded}",
        f"/sign-in?to=/{encoded}",
        f"/signed-in?error={encoded}&error_description={encoded}&state={encoded}&iss={encoded}",
        f"/style.css?v={encoded}",
    ]
    answers = [still.get(subject, address) for subject in ("alice", "") for address in addresses]
    fields = [
        {"csrf": said},
        {"answer": said},
        {"seen": said},
        {"answer": "extend", "expires_at": said},
    ]
    answer = f"{checkout}/answer"
    answers += [still.post("alice", answer, approval(still, answer) | changed) for changed in fields]
    for sent in answers:
        assert sent.status < 500
        assert "x-injected" not in dict(sent.response.headers)
        assert all(value.isprintable() for _, value in sent.response.headers)
        assert "<script" not in sent.text
        assert "onerror" not in sent.text
        assert "49" not in re.sub(r"[0-9a-zA-Z_.-]{12,}", "", sent.text) or "7*7" not in said


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": EVIL},
        {"Host": f"{HOST}:{EVIL}"},
        {"Host": f"{HOST}, {EVIL}"},
        {"Host": ""},
        {"X-Forwarded-Host": EVIL},
        {"X-Forwarded-Proto": EVIL, "X-Forwarded-For": EVIL, "X-Forwarded-Prefix": f"//{EVIL}"},
        {"Forwarded": f"host={EVIL};proto=http"},
        {"X-Original-URL": "/history", "X-Rewrite-URL": "/history"},
    ],
    ids=json.dumps,
)
def test_no_header_says_where_the_console_is(still: Standstill, headers: dict[str, str]) -> None:
    signing_in = still.send("GET", "/sign-in?to=/history", headers=headers)
    assert signing_in.status == 303
    assert f"redirect_uri={quote(f'{URL}/signed-in', safe='')}" in signing_in.response.header("location")
    page = still.send("GET", "/", headers=headers, cookies=f"{SESSION}={still.cookie('alice')}")
    assert title(page) == "Pending"
    for sent in (signing_in, page):
        assert EVIL not in sent.text
        assert all(EVIL not in value for _, value in sent.response.headers)
        assert "domain" not in sent.response.header("set-cookie").lower()


# ------------------------------------------------------------------------------------- methods and paths


def routes(still: Standstill) -> dict[str, str]:
    """Return an address for each route, and the method that it takes."""
    checkout, streaming = still.path("checkout"), still.path("streaming", still.pause("streaming"))
    return {
        "/": "GET",
        "/history": "GET",
        "/history/2026-03-02": "GET",
        checkout: "GET",
        streaming: "GET",
        "/sign-in": "GET",
        "/signed-in": "GET",
        "/style.css": "GET",
        "/icon.svg": "GET",
        f"{checkout}/answer": "POST",
        f"{streaming}/answer": "POST",
        still.stop_path("checkout"): "POST",
        "/sign-out": "POST",
    }


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND")


def test_a_route_takes_its_own_method_and_no_other(still: Standstill) -> None:
    for (path, own), method in product(routes(still).items(), METHODS):
        if method == own:
            continue
        fields = urlencode(approval(still, path)).encode()
        for override in ({}, {"X-HTTP-Method-Override": own, "X-HTTP-Method": own, "X-Method-Override": own}):
            sent = still.send(
                method,
                f"{path}?_method={own}",
                cookies=f"{SESSION}={still.cookie('alice')}",
                headers={"Origin": URL, "Content-Type": FORM, **override},
                body=fields,
            )
            refused(sent, 404, "Nothing here")


def test_nothing_is_reached_by_another_spelling_of_its_path(still: Standstill, checkout: str) -> None:
    cluster, service, deployment = checkout.removeprefix("/requests/").split("/")
    spellings = [
        f"/{checkout}",
        f"{checkout}/",
        f"{checkout}//",
        f"{checkout}/.",
        f"{checkout};x=1",
        f"{checkout}%20",
        f"{checkout}%00",
        f"/./{checkout}",
        f"/history/..{checkout}",
        f"/history/%2e%2e{checkout}",
        f"/history/%252e%252e{checkout}",
        f"/style.css/..{checkout}",
        f"/REQUESTS/{cluster}/{service}/{deployment}",
        f"/requests/{cluster}//{service}/{deployment}",
        f"/requests/{cluster.upper()}/{service}/{deployment}",
        f"/requests/{cluster}%252f{service}/{deployment}",
        f"/requests/{cluster}%2f%2f{service}/{deployment}",
        f"/requests/{cluster}/{service}/{deployment}%252fstep-from-10",
        f"/requests/{cluster}/x/../{service}/{deployment}",
        f"/requests/{cluster}/{service}%2f..%2f{service}/{deployment}",
        f"/requests/*/{service}/{deployment}",
        f"/requests/{cluster}/*/*",
        f"/requests/{cluster}/{service}/%25{ord(deployment[0]):02x}{deployment[1:]}",
        f"/requests/..%2f..%2f{cluster}/{service}/{deployment}",
        "/static/style.css",
        "/templates/layout.html",
        "/handler.py",
        "/..%2fhandler.py",
        "/style.css%2f..%2f..%2fhandler.py",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%5c..%5chandler.py",
        "/$default/",
        "/%24default/history",
        "/history/2026-03-02/x",
        "/history/..%2f..",
        "/history/-history",
        "/history/2026-13-45",
        "/history/%32026-03-32",
    ]
    same = nothing_here(still, "alice").response
    for spelling in spellings:
        assert (spelling, still.get("alice", spelling).response) == (spelling, same)


def test_what_is_too_large_is_not_read(still: Standstill, answer: str) -> None:
    cookie = f"{SESSION}={still.cookie('alice')}"
    # The console's own bounds, below those of API Gateway.
    assert still.get("alice", "/" + "x" * 9000).status == 404
    assert still.get("alice", "/?" + "x=1&" * 2000).status == 200
    assert still.get("alice", "/sign-in?to=/" + "x" * 9000).status == 303
    assert still.get("alice", "/signed-in?code=" + "x" * 9000).status == 403
    assert still.get("alice", "/signed-in?" + "x=1&" * 2000).status == 403
    assert still.send("GET", "/", cookies="; ".join([cookie, *["x=1"] * 1500])).status == 200
    assert still.send("GET", "/", cookies=f"{SESSION}={'x' * 9000}").status == 403
    large = urlencode(approval(still, answer, comment="x" * 300_000)).encode()
    form = {"Origin": URL, "Content-Type": FORM}
    refused(still.send("POST", answer, cookies=cookie, headers=form, body=large), 413, "Too long")
    # Those of API Gateway, which is here as it is there.
    assert still.send("GET", "/", cookies=cookie, headers={"X": "x" * 11_000}).status == 431
    assert still.send("POST", answer, cookies=cookie, headers=form, body=b"x" * 11_000_000).status == 413


# ------------------------------------------------------------------------------------------------- stop


def test_stopping_leads_back_to_a_page_of_the_console_whatever_the_form_says(console: Standstill) -> None:
    places = [*ELSEWHERE, "step-from-10", "../../../history", "..", ".", "x?y", "x#y", "x/../../.."]
    for part in places:
        if console.deployment("finished").status.ended:
            console.worlds["finished"].deploy()
            console.pass_time(90)
        path = console.stop_path("finished")
        sent = console.post("alice", path, {"csrf": console.csrf("alice", path), "part": part})
        assert sent.status == 303
        location = sent.response.header("location")
        assert location.isprintable()
        reached = urljoin(f"{URL}{path}", location)
        # Back to the request, or to the list.
        assert reached.startswith((f"{URL}{console.path('finished')}", f"{URL}/?done="))
        console.pass_time(60)
        assert console.deployment("finished").status == "ROLLBACK_SUCCESSFUL"


# ------------------------------------------------------------------------------------------------- log


def test_the_log_has_no_secret(console: Standstill) -> None:
    path = console.path("checkout")
    begun = console.send("GET", "/sign-in?to=/history")
    came = finish(console, begun)
    assert came.status == 303
    replayed = console.send("GET", "/signed-in?code=c0de&state=st4te", cookies="x=y")
    answered = console.answer("alice", "checkout", "approve", comment="well done")
    failed = console.post("alice", f"{path}/answer", {"csrf": "t0ken", "seen": "1", "answer": "approve"})
    log = "\n".join(line for sent in (begun, came, replayed, answered, failed) for line in sent.log)
    assert '"message":"signed in"' in log
    assert '"message":"answered"' in log
    assert '"message":"sign-in refused"' in log
    secrets = [
        console.cookie("alice"),
        *(value for _, value in began_with(begun, came)),
        console.csrf("alice", f"{path}/answer"),
        "rehearsal-rehearsal-",
        "c0de",
        "st4te",
        "t0ken",
    ]
    for secret in secrets:
        assert secret not in log


def began_with(begun: Sent, came: Sent) -> list[tuple[str, str]]:
    """Return what a sign-in has that is nobody else's business: state, nonce, cookies."""
    asked = begun.response.header("location").partition("?")[2]
    cookies = [
        value for sent in (begun, came) for name, value in sent.response.headers if name == "set-cookie"
    ]
    given = [tuple(line.partition(";")[0].partition("=")[::2]) for line in cookies]
    wanted = {"state", "nonce", "code_challenge"}
    return [
        *((name, value) for name, value in parse_qsl(asked) if name in wanted),
        *((name, value) for name, value in given if value),
    ]
