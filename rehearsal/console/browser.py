"""A browser, as far as somebody needs one who signs in and sends a form: no script, no picture, no socket.

::

    browser = Browser({"https://approvals.example.com": ..., "https://login.example.org": ...})
    page = browser.open(url)                       as by a link in a mail
    page = page.follow("/sign-in")                 the link to there
    page = page.submit("/answer", {"comment": "tried it"}, press=("answer", "approve"))

It does what sites rely on: it follows redirects, sends each form as it was given with what was filled in,
says where a POST comes from, and keeps cookies to the rules of Secure, SameSite and ``__Host-``.

Sources: https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis,
https://fetch.spec.whatwg.org/#origin-header
"""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from http import HTTPStatus
from typing import Literal
from urllib.parse import urlencode, urljoin, urlsplit

from rehearsal.console.web import Request, Response
from rehearsal.console.wire import Sites, ask, origin_of

MAX_REDIRECTS = 20

_REDIRECTS = {
    HTTPStatus.MOVED_PERMANENTLY,
    HTTPStatus.FOUND,
    HTTPStatus.SEE_OTHER,
    HTTPStatus.TEMPORARY_REDIRECT,
    HTTPStatus.PERMANENT_REDIRECT,
}


class Surprise(Exception):
    """The page is not as whoever looks at it expected."""


@dataclass(frozen=True, slots=True)
class Cookie:
    """What a site left."""

    name: str
    value: str
    host: str
    path: str
    secure: bool
    same_site: Literal["Strict", "Lax", "None"]
    expires_at: float | None
    """In seconds since 1970; ``None`` for as long as the browser runs."""


@dataclass(slots=True)
class Form:
    """A form of a page."""

    action: str
    method: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    """As the page has filled it in."""
    buttons: list[tuple[str, str]] = field(default_factory=list)
    """Names and values of those that say something."""
    choices: dict[str, list[str]] = field(default_factory=dict)
    """What may be chosen from, by field: options, and radio buttons."""


class Browser:
    """Somebody's browser, with its cookies."""

    def __init__(self, sites: Sites, *, agent: str = "rehearsal") -> None:
        self._sites = sites
        self._agent = agent
        self._cookies: dict[tuple[str, str, str], Cookie] = {}

    def open(self, url: str) -> "Page":
        """Go to an address that no page led to."""
        return self._go(url, Request(method="GET", target=""), came_from="")

    def send(self, url: str, request: Request, came_from: str) -> "Page":
        """Go where a page leads to.

        Parameters
        ----------
        came_from
            The page's URL.
        """
        return self._go(url, request, came_from)

    def _go(self, url: str, request: Request, came_from: str) -> "Page":
        for _ in range(MAX_REDIRECTS):
            response = self._exchange(url, request, came_from)
            if response.status not in _REDIRECTS:
                return Page(self, url, response)
            url = urljoin(url, response.header("location"))
            if response.status not in {HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.PERMANENT_REDIRECT}:
                request = replace(request, method="GET", headers=(), body=b"")
        raise Surprise(f"{url}: more than {MAX_REDIRECTS} redirects")

    def _exchange(self, url: str, request: Request, came_from: str) -> Response:
        parts = urlsplit(url)
        headers = [("Host", parts.netloc), ("User-Agent", self._agent), *request.headers]
        if request.method != "GET":
            headers.append(("Origin", origin_of(came_from)))
        site = "none" if not came_from else _relation(url, came_from)
        headers.append(("Sec-Fetch-Site", site))
        if cookies := self._cookies_for(url, request.method, is_cross_site=site == "cross-site"):
            headers.append(("Cookie", "; ".join(f"{cookie.name}={cookie.value}" for cookie in cookies)))
        target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        response = ask(self._sites, url, replace(request, target=target, headers=tuple(headers)))
        for name, value in response.headers:
            if name.lower() == "set-cookie" and (cookie := _cookie(value, url, time.time())):
                self._keep(cookie)
        return response

    def _cookies_for(self, url: str, method: str, *, is_cross_site: bool) -> list[Cookie]:
        parts = urlsplit(url)

        def goes_along(cookie: Cookie) -> bool:
            if cookie.expires_at is not None and cookie.expires_at <= time.time():
                return False
            if is_cross_site and cookie.same_site == "Strict":
                return False
            if is_cross_site and cookie.same_site == "Lax" and method != "GET":
                return False
            return (
                cookie.host == parts.hostname
                and (not cookie.secure or parts.scheme == "https" or _is_here(url))
                and _is_below(parts.path or "/", cookie.path)
            )

        return [cookie for cookie in self._cookies.values() if goes_along(cookie)]

    def _keep(self, cookie: Cookie) -> None:
        key = (cookie.host, cookie.path, cookie.name)
        self._cookies.pop(key, None)
        if cookie.expires_at is None or cookie.expires_at > time.time():
            self._cookies[key] = cookie


def _relation(url: str, came_from: str) -> Literal["same-origin", "same-site", "cross-site"]:
    if origin_of(url) == origin_of(came_from):
        return "same-origin"
    return "same-site" if _site(url) == _site(came_from) else "cross-site"


def _site(url: str) -> tuple[str, str]:
    """Return scheme and registrable domain, as far as the names here go: their last two labels."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return parts.scheme, host if re.fullmatch(r"[\d.]+", host) else ".".join(host.split(".")[-2:])


def _is_here(url: str) -> bool:
    """Tell whether it is this machine, which browsers trust without TLS."""
    return urlsplit(url).hostname in {"127.0.0.1", "localhost"}


def _is_below(path: str, above: str) -> bool:
    return path == above or path.startswith(above if above.endswith("/") else f"{above}/")


def _cookie(line: str, url: str, now: float) -> Cookie | None:
    """Read a ``Set-Cookie``; ``None`` where a browser does not keep it."""
    pair, *rest = (part.strip() for part in line.split(";"))
    name, _, value = pair.partition("=")
    attributes = {
        key.strip().lower(): text.strip() for key, _, text in (part.partition("=") for part in rest)
    }
    secure, path = "secure" in attributes, attributes.get("path") or "/"
    is_trusted = url.startswith("https:") or _is_here(url)
    if secure and not is_trusted:
        return None
    if name.startswith("__Host-") and (not secure or path != "/" or "domain" in attributes):
        return None
    same_site = attributes.get("samesite", "lax").capitalize()
    if same_site == "None" and not secure:
        return None
    lasts = attributes.get("max-age")
    return Cookie(
        name=name,
        value=value,
        host=urlsplit(url).hostname or "",
        path=path,
        secure=secure,
        same_site="Strict" if same_site == "Strict" else "None" if same_site == "None" else "Lax",
        expires_at=None if lasts is None else now + int(lasts),
    )


class Page:
    """What somebody sees."""

    def __init__(self, browser: Browser, url: str, response: Response) -> None:
        self.url = url
        self.status = response.status
        self._browser = browser
        reader = _Reader()
        reader.feed(response.body.decode(errors="replace"))
        reader.close()
        self.forms: Sequence[Form] = reader.forms
        self.links: Sequence[str] = reader.links
        self.title = " ".join("".join(reader.title).split())
        self.heading = " ".join("".join(reader.heading).split())
        self.alert = " ".join("".join(reader.alert).split())
        """What stands in elements with the role ``alert`` or ``status``."""
        self.text = " ".join("".join(reader.text).split())

    def form(self, ending: str, button: tuple[str, str] | None = None) -> Form | None:
        """Return the first form whose address ends so, and which has the button; ``None`` without any."""
        for form in self.forms:
            has_button = button is None or button in form.buttons
            if form.action.partition("?")[0].endswith(ending) and has_button:
                return form
        return None

    def has_link(self, beginning: str) -> bool:
        return any(link.startswith(beginning) for link in self.links)

    def words_after(self, words: str) -> str:
        """Return the sentence that follows some words; empty where they don't stand there."""
        return self.text.partition(words)[2].strip().partition(". ")[0].rstrip(".")

    def follow(self, beginning: str) -> "Page":
        """Follow the first link that begins so; raises :class:`Surprise` where there is none."""
        for link in self.links:
            if link.startswith(beginning):
                return self._browser.send(urljoin(self.url, link), Request(method="GET", target=""), self.url)
        raise Surprise(f"{self.url}: no link to {beginning}; it says: {self.text[:200]}")

    def submit(
        self, ending: str, filled_in: Mapping[str, str], *, press: tuple[str, str] | None = None
    ) -> "Page":
        """Fill a form in and send it.

        Parameters
        ----------
        press
            Name and value of the button.

        Raises
        ------
        Surprise
            When there is no such form, or no such field in it.
        """
        form = self.form(ending, press)
        if form is None:
            raise Surprise(f"{self.url}: no such form for {ending}; it says: {self.text[:200]}")
        known = {*(name for name, _ in form.fields), *form.choices}
        if missing := filled_in.keys() - known:
            raise Surprise(f"{self.url}: the form for {ending} has no {', '.join(sorted(missing))}")
        # What has no name is not sent.
        sent = [(name, value) for name, value in form.fields if name and name not in filled_in]
        sent += [*filled_in.items(), *([press] if press else [])]
        address = urljoin(self.url, form.action) if form.action else self.url
        if form.method != "post":
            address = f"{address.partition('?')[0]}?{urlencode(sent)}"
            return self._browser.send(address, Request(method="GET", target=""), self.url)
        body = urlencode(sent).encode()
        headers = (
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Content-Length", str(len(body))),
        )
        request = Request(method="POST", target="", headers=headers, body=body)
        return self._browser.send(address, request, self.url)


class _Reader(HTMLParser):
    """Reads a page for its forms, links and words."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.title: list[str] = []
        self.text: list[str] = []
        self.heading: list[str] = []
        self.alert: list[str] = []
        self._form: Form | None = None
        self._select = ""
        self._open: list[tuple[str, bool]] = []
        """Elements that are open, and whether each is an alert."""
        self._written: tuple[str, list[str]] | None = None
        """Name and text of the text area that is open."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag not in _VOID:
            self._open.append((tag, given.get("role") in {"alert", "status"}))
        match tag:
            case "a" if "href" in given:
                self.links.append(given["href"])
            case "form":
                self._form = Form(given.get("action", ""), given.get("method", "get").lower())
                self.forms.append(self._form)
            case "input" | "button" | "select" | "option" | "textarea":
                self._control(tag, given)

    def _control(self, tag: str, given: Mapping[str, str]) -> None:
        form, name, value = self._form, given.get("name", ""), given.get("value", "")
        if form is None or "disabled" in given:
            return
        match tag, given.get("type", ""):
            case ("button", "" | "submit") | ("input", "submit"):
                form.buttons.append((name, value))
            case "input", "radio" | "checkbox":
                form.choices.setdefault(name, []).append(value or "on")
                if "checked" in given:
                    form.fields.append((name, value or "on"))
            case "input", _:
                form.fields.append((name, value))
            case "select", _:
                self._select = name
                form.choices[name] = []
            case "option", _:
                self._option(form, value, is_selected="selected" in given)
            case "textarea", _:
                self._written = (name, [])

    def _option(self, form: Form, value: str, *, is_selected: bool) -> None:
        options = form.choices[self._select]
        options.append(value)
        # Without another word it is the first that is chosen.
        if len(options) == 1 or is_selected:
            form.fields[:] = [pair for pair in form.fields if pair[0] != self._select]
            form.fields.append((self._select, value))

    def handle_endtag(self, tag: str) -> None:
        if tag not in {name for name, _ in self._open}:
            return
        while self._open.pop()[0] != tag:
            pass
        if tag == "form":
            self._form = None
        if tag == "textarea" and self._written and self._form:
            name, text = self._written
            self._form.fields.append((name, "".join(text)))
            self._written = None

    def handle_data(self, data: str) -> None:
        if self._written:
            self._written[1].append(data)
            return
        inside = [tag for tag, _ in self._open]
        if "title" in inside:
            self.title.append(data)
        elif "style" not in inside and "script" not in inside:
            self.text.append(data)
        if "h1" in inside:
            self.heading.append(data)
        if any(is_alert for _, is_alert in self._open):
            self.alert.append(data)


_VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}
