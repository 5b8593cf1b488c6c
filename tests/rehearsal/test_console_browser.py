"""The actor's browser, as far as sites rely on browsers: cookies, redirects, forms, and their origin."""

from collections.abc import Callable
from typing import Any

import pytest
import requests
import time_machine

from rehearsal.console.browser import Browser, Page, Surprise
from rehearsal.console.web import Request, Response
from rehearsal.console.wire import wired

HERE, SUBDOMAIN, THERE = "https://here.example.com", "https://sub.example.com", "https://there.example.org"
PLAIN = "http://here.example.com"


def site(*cookies: str, body: str = "", headers: tuple[tuple[str, str], ...] = (), status: int = 200) -> Any:
    """Return a site that answers one thing, and the requests that it has got."""
    seen: list[Request] = []

    def answer(request: Request) -> Response:
        seen.append(request)
        kept = tuple(("Set-Cookie", cookie) for cookie in cookies)
        return Response(status=status, headers=(*headers, *kept), body=body.encode())

    return answer, seen


def answering(routes: dict[str, Response]) -> tuple[Callable[[Request], Response], list[Request]]:
    seen: list[Request] = []

    def answer(request: Request) -> Response:
        seen.append(request)
        return routes[f"{request.method} {request.path}"]

    return answer, seen


@pytest.mark.parametrize(
    ("cookie", "url", "sent"),
    [
        ("a=1", f"{HERE}/deep/page", True),
        ("a=1; Path=/deep", f"{HERE}/deep/page", True),
        ("a=1; Path=/deep", f"{HERE}/deeper", False),
        ("a=1; Secure", f"{HERE}/", True),
        ("a=1; Max-Age=0", f"{HERE}/", False),
        ("__Host-a=1; Secure; Path=/", f"{HERE}/", True),
        ("__Host-a=1; Path=/", f"{HERE}/", False),
        ("__Host-a=1; Secure; Path=/deep", f"{HERE}/deep", False),
        ("__Host-a=1; Secure; Path=/; Domain=example.com", f"{HERE}/", False),
        ("a=1; SameSite=None", f"{HERE}/", False),
        ("a=1", f"{SUBDOMAIN}/", False),
    ],
)
def test_a_cookie_goes_where_it_belongs(cookie: str, url: str, sent: bool) -> None:
    first, _ = site(cookie)
    second, seen = site()
    browser = Browser({HERE: first, SUBDOMAIN: second})
    browser.open(f"{HERE}/")
    browser._sites = {HERE: second, SUBDOMAIN: second}

    browser.open(url)

    assert bool(seen[0].header("cookie")) is sent


def test_a_secure_cookie_needs_tls_or_this_machine() -> None:
    answer, seen = site("a=1; Secure")
    for origin in (PLAIN, "http://127.0.0.1:8765"):
        browser = Browser({origin: answer})
        browser.open(f"{origin}/")
        browser.open(f"{origin}/")

    assert [request.header("cookie") for request in seen] == ["", "", "", "a=1"]


def test_a_cookie_ends_with_its_time() -> None:
    answer, seen = answering(
        {
            "GET /set": Response(status=200, headers=(("Set-Cookie", "a=1; Max-Age=60"),)),
            "GET /": Response(status=200),
        }
    )
    browser = Browser({HERE: answer})
    with time_machine.travel(0, tick=False) as clock:
        browser.open(f"{HERE}/set")
        for seconds in (59, 60):
            clock.move_to(seconds)
            browser.open(f"{HERE}/")

    assert [request.header("cookie") for request in seen] == ["", "a=1", ""]


@pytest.mark.parametrize(
    ("same_site", "by", "sent"),
    [
        ("Strict", "link", False),
        ("Strict", "address", True),
        ("Lax", "link", True),
        ("Lax", "form", False),
        ("None; Secure", "form", True),
    ],
)
def test_a_cookie_comes_along_from_another_site_as_it_says(same_site: str, by: str, sent: bool) -> None:
    page = f'<a href="{HERE}/">go</a><form method="post" action="{HERE}/"><input name="x"></form>'
    here, seen = site(f"a=1; SameSite={same_site}")
    there, _ = site(body=page)
    browser = Browser({HERE: here, THERE: there})
    browser.open(f"{HERE}/")
    start = browser.open(f"{THERE}/")

    if by == "link":
        start.follow(HERE)
    elif by == "form":
        start.submit("/", {})
    else:
        browser.open(f"{HERE}/")

    assert bool(seen[1].header("cookie")) is sent


def test_a_redirect_is_followed_with_get_and_counts_as_from_where_it_began() -> None:
    here, seen = answering(
        {
            "POST /form": Response(status=303, headers=(("Location", f"{THERE}/"),)),
            "GET /back": Response(status=200, body=b"<h1>back</h1>"),
            "GET /": Response(status=200, body=b'<form method="post" action="/form"></form>'),
        }
    )
    there, others = site(status=302, headers=(("Location", f"{HERE}/back"),))
    browser = Browser({HERE: here, THERE: there})

    page = browser.open(f"{HERE}/").submit("/form", {})

    assert (page.url, page.heading) == (f"{HERE}/back", "back")
    assert [(request.method, request.target) for request in (*seen, *others)] == [
        ("GET", "/"),
        ("POST", "/form"),
        ("GET", "/back"),
        ("GET", "/"),
    ]
    assert [request.header("origin") for request in (*seen, *others)] == ["", HERE, "", ""]
    assert others[0].header("sec-fetch-site") == "cross-site"


def test_redirects_end() -> None:
    answer, _ = site(status=302, headers=(("Location", "/"),))

    with pytest.raises(Surprise, match="more than 20 redirects"):
        Browser({HERE: answer}).open(f"{HERE}/")


FORM = """
<form method="post" action="/answer?x=1">
<input type="hidden" name="csrf" value="a&amp;b"> <input type="hidden" name="seen" value="1">
<textarea name="comment">as it &lt;was</textarea>
<select name="when"><option value="1">one<option value="2" selected>two</select>
<input type="radio" name="how" value="fast"> <input type="radio" name="how" value="slow" checked>
<input type="checkbox" required> <input name="off" value="x" disabled>
<button name="answer" value="approve">Approve</button> <button name="answer" value="reject">Reject</button>
</form>
<form method="post" action="/answer"><button name="answer" value="extend">Extend</button></form>
"""


def sent_by(press: tuple[str, str], **filled_in: str) -> bytes:
    answer, seen = site(body=FORM)
    Browser({HERE: answer}).open(f"{HERE}/").submit("/answer", filled_in, press=press)
    assert seen[1].header("content-type") == "application/x-www-form-urlencoded"
    return bytes(seen[1].body)


def test_a_form_is_sent_as_it_was_given_with_what_was_filled_in() -> None:
    assert sent_by(("answer", "reject")) == (
        b"csrf=a%26b&seen=1&comment=as+it+%3Cwas&when=2&how=slow&answer=reject"
    )
    assert sent_by(("answer", "approve"), comment="fine", when="1") == (
        b"csrf=a%26b&seen=1&how=slow&comment=fine&when=1&answer=approve"
    )


def test_a_form_is_found_by_its_button() -> None:
    assert sent_by(("answer", "extend")) == b"answer=extend"


@pytest.mark.parametrize(
    ("press", "filled_in", "said"),
    [
        (("answer", "maybe"), {}, "no such form"),
        (("answer", "approve"), {"off": "y"}, "the form for /answer has no off"),
    ],
)
def test_what_is_not_there_is_not_sent(press: tuple[str, str], filled_in: dict[str, str], said: str) -> None:
    with pytest.raises(Surprise, match=said):
        sent_by(press, **filled_in)


def test_a_page_is_read_for_what_people_see() -> None:
    body = (
        b"<title>T</title><style>p{}</style><h1>A <b>b</b></h1><p role=alert>No &amp; no<br>never</p>"
        b"<h2>Why</h2><p>Because of this. And that.</p>"
    )

    page = Page(Browser({}), HERE, Response(status=200, body=body))

    assert (page.title, page.heading, page.alert) == ("T", "A b", "No & nonever")
    assert page.words_after("Why") == "Because of this"
    assert page.words_after("Nothing") == ""


def test_requests_reaches_a_site_without_a_socket_and_only_that_one() -> None:
    answer, seen = site(body="hello", headers=(("Content-Type", "text/plain"),), status=401)

    with wired({HERE: answer}), requests.Session() as session:
        response = session.post(f"{HERE}/path?x=1", data={"a": "b"}, stream=True, allow_redirects=False)
        kept = type(session.get_adapter(f"{THERE}/")).__name__

    assert (response.status_code, response.text) == (401, "hello")
    assert (seen[0].method, seen[0].target, seen[0].body) == ("POST", "/path?x=1", b"a=b")
    assert kept == "HTTPAdapter"
