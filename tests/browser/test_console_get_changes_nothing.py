"""Opening a page changes nothing, as whoever is signed in: a mail scanner may follow every link there is."""

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
import yaml

from rehearsal.console.site import URL
from tests.browser.scenes import PATIENT, paused, waiting
from tests.browser.standstill import SESSION, Standstill, standstill

DOCUMENT = Path("docs/schema/approval_console.openapi.yaml")

# What a link could be made to say, were there something that listened to it.
QUERIES = (
    "",
    "?done=approve",
    "?done=stop",
    "?answer=approve&seen=1",
    "?answer=reject&seen=1&csrf={csrf}",
    "?_method=POST&answer=approve&csrf={csrf}&seen=1",
)
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


@pytest.fixture(scope="module")
def still() -> Iterator[Standstill]:
    """Requests in every state: open, half approved, decided, expired, over; PAUSE hooks, too."""
    scenarios = [
        waiting("open", **PATIENT),
        waiting("half", policy={"requiredApprovals": 2}, **PATIENT),
        waiting("decided", **PATIENT),
        waiting("brief", expiresAfterMinutes=1, **PATIENT),
        waiting("finished", **PATIENT),
        paused("streaming"),
    ]
    with standstill(*scenarios) as still:
        assert still.answer("alice", "finished", "approve").status == 303
        still.pass_time(180)
        still.worlds["finished"].invoke_sweeper()
        assert still.answer("bob", "half", "approve", comment="https://example.com/run/1").status == 303
        assert still.answer("bob", "decided", "reject", comment="no").status == 303
        yield still


def links(page: str, base: str) -> set[str]:
    """Return every address of this site that a page leads to by a link, a picture or a style sheet."""
    found = re.findall(r'\b(?:href|src)="([^"]*)"', page)
    addresses = {urljoin(base, unescape(address)) for address in found}
    return {address.partition("#")[0].removeprefix(URL) for address in addresses if address.startswith(URL)}


def crawl(still: Standstill, subject: str) -> set[str]:
    """Follow every link from the list on; return the addresses."""
    known: set[str] = set()
    ahead = {"/"}
    while ahead:
        address = ahead.pop()
        known.add(address)
        sent = still.get(subject, address)
        assert sent.writes == set()
        if sent.response.header("content-type").startswith("text/html"):
            ahead |= links(sent.text, f"{URL}{address}") - known
    return known


@pytest.mark.parametrize("subject", ["alice", "carol", "mallory", ""])
def test_every_link_can_be_followed_and_nothing_is_different(still: Standstill, subject: str) -> None:
    if subject:
        still.cookie(subject)
    before = still.state()
    reached = {urlsplit(address).path for address in crawl(still, subject)}
    assert still.state() == before
    if subject in {"alice", "carol"}:
        pages = {still.path(service) for service in ("open", "half", "decided")}
        assert {"/", "/history", "/history/2026-03-01", "/style.css", "/icon.svg", *pages} <= reached
        assert still.path("streaming", still.pause("streaming")) in reached
    else:
        assert not any(address.startswith("/requests") for address in reached)


def described(still: Standstill) -> list[str]:
    """Return an address for each path of the document, whatever method it takes, and each request."""
    paths: dict[str, Any] = yaml.safe_load(DOCUMENT.read_text("utf-8"))["paths"]
    known = []
    for service in still.worlds:
        arn = still.deployment(service).arn
        part = still.pause(service) if service == "streaming" else "step-from-10"
        values = {"cluster": arn.cluster, "service": arn.service, "deployment": arn.id, "part": part}
        known += [path.format(**values, day="2026-03-02") for path in paths]
    return sorted(set(known))


def test_every_address_there_is_can_be_opened_with_any_query_and_nothing_is_different(
    still: Standstill,
) -> None:
    cookies = f"{SESSION}={still.cookie('alice')}"
    before = still.state()
    for address in described(still):
        csrf = still.csrf("alice", address)
        for query in QUERIES:
            for method in SAFE_METHODS:
                sent = still.send(method, f"{address}{query.format(csrf=csrf)}", cookies=cookies)
                assert sent.status < 500
                assert sent.writes == set()
    assert still.state() == before
