"""The console's pages: right in every state, sensible when read aloud by a machine, safe with any text."""

import html.parser
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hooks.manual_approval.console import pages
from hooks.manual_approval.console.views import (
    Answer,
    Choices,
    Difference,
    Dossier,
    Evidence,
    ImageChange,
    TestAccess,
    Viewer,
)
from hooks.manual_approval.request import Version
from shared.clock import timestamp
from shared.legible import without_acting
from tests.hooks.manual_approval.console.preview import (
    ALICE,
    ASKED,
    BOB,
    BOB_APPROVES,
    BOB_REJECTS,
    CONSOLE,
    DEPLOYMENT,
    ERRORS,
    EVIDENCE,
    LATER,
    MAY,
    NOW,
    PAUSE,
    REQUESTS,
    VIEWER,
    all_pages,
    dossier,
    entry,
    history,
    overview,
    rules,
    waiting,
)

TestAccess.__test__ = False  # type: ignore[attr-defined]  # not a test

VOID = {"meta", "link", "br", "hr", "img", "input", "wbr"}
# Within a line; all else begins a new one.
INLINE = {"a", "b", "button", "code", "i", "pre", "q", "span", "textarea", "time", "title"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    text: str = ""
    """Of it and all within."""

    def __getitem__(self, name: str) -> str:
        return self.attributes.get(name, "")


class Reader(html.parser.HTMLParser):
    """Reads a page, insisting that every element is closed where it should be."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), (tag, attrs)
        self._part(tag)
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().tag == tag
        self._part(tag)

    def _part(self, tag: str) -> None:
        if tag not in INLINE:
            self.handle_data(" ")

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def all(self, *tags: str) -> list[Element]:
        return [element for element in self.elements if element.tag in tags]

    @property
    def text(self) -> str:
        (body,) = self.all("body")
        return " ".join(body.text.split())

    def heading(self) -> str:
        (heading,) = self.all("h1")
        return " ".join(heading.text.split())


PAGES = all_pages()


@cache
def read(name: str) -> Reader:
    return Reader(PAGES[name])


every_page = pytest.mark.parametrize("name", PAGES)


# ------------------------------------------------------------------------------------------- every page


@every_page
def test_a_page_needs_nothing_from_elsewhere_and_runs_nothing(name: str) -> None:
    page = read(name)

    assert not page.all("script", "style", "iframe", "object", "embed", "base", "template")
    for element in page.elements:
        assert not [name for name in element.attributes if name.startswith("on") or name == "style"]
        for attribute in ("href", "src", "action"):
            if attribute in element.attributes:
                assert re.match(r"(/(?!/)|#)", element[attribute]), element


@every_page
def test_every_form_is_a_post_that_carries_the_token_of_its_path(name: str) -> None:
    page = PAGES[name]
    forms = re.findall(r"<form[^>]*>.*?</form>", page, re.DOTALL)

    assert len(forms) == page.count("<form")
    for form in map(Reader, forms):
        (element,) = form.all("form")
        fields = {one["name"]: one["value"] for one in form.all("input") if one["type"] == "hidden"}
        assert element["method"] == "post"
        assert fields["csrf"] == VIEWER.csrf(element["action"])
        if element["action"] != "/sign-out":
            assert fields["seen"] == "1"
            assert [button["name"] for button in form.all("button")] == ["answer"] * len(form.all("button"))


@every_page
def test_every_page_has_landmarks_and_headings_in_order(name: str) -> None:
    page = read(name)

    assert page.all("html")[0]["lang"] == "en"
    assert [len(page.all(tag)) for tag in ("header", "main", "footer", "h1")] == [1] * 4
    assert [title["id"] for title in page.all("title") if not title["id"].startswith("chart-")] == [""]
    levels = [int(element.tag[1]) for element in page.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert page.all("a")[0]["href"] == f"#{page.all('main')[0]['id']}"
    assert all(
        element.text.strip() for element in page.all("a", "button", "h1", "h2", "h3", "summary", "title")
    )


@every_page
def test_whatever_is_referred_to_is_there_once(name: str) -> None:
    page = read(name)
    ids = [element["id"] for element in page.elements if element["id"]]

    assert len(set(ids)) == len(ids)
    for element in page.elements:
        for attribute in ("for", "aria-labelledby", "aria-describedby"):
            assert set(element[attribute].split()) <= set(ids)
    labelled = {element["for"] for element in page.all("label")}
    for field in page.all("textarea", "select"):
        assert field["id"] in labelled


@every_page
def test_tables_have_captions_and_scopes_and_pictures_words(name: str) -> None:
    page = read(name)

    assert len(page.all("caption")) == len(page.all("table"))
    assert all(element.text.strip() for element in page.all("caption"))
    assert all(element["scope"] in {"col", "row"} for element in page.all("th"))
    assert all("alt" in element.attributes for element in page.all("img"))
    for drawing in page.all("svg"):
        if drawing["role"] == "img":
            assert len(drawing["aria-labelledby"].split()) == 2
    assert all(datetime.fromisoformat(element["datetime"]).tzinfo for element in page.all("time"))


def test_a_name_of_a_page_tells_it_from_others() -> None:
    titles = {name: read(name).all("title")[0].text for name in PAGES}

    assert titles["pending"] == "Pending – ECS approvals"
    assert titles["request-stale"] == "Problem: checkout: Waiting for a decision – ECS approvals"
    assert titles["request-rejected"] == "checkout: Rejected – ECS approvals"
    assert titles["history"] == "History of Thursday, 5 Mar 2026 – ECS approvals"
    assert titles["error-404"] == "Nothing here – ECS approvals"


# -------------------------------------------------------------------------------------------------- list


def test_a_line_says_what_is_asked_of_what_and_until_when() -> None:
    line = waiting(0, images=("shop/checkout:42@sha256:4b0ea2bbb1a1", "envoy:1", "log:2", "x:3"))

    text = Reader(pages.overview_page(replace(overview(0), waiting=(line,)), VIEWER, NOW)).text

    assert (
        "Pending 1 As of 14:10 UTC. Refresh media-production / checkout Go on towards production traffic? "
        "Green runs shop/checkout:42 4b0ea2bbb1a1 envoy:1 and 2 more 25 min left until 14:35 UTC" in text
    )


def test_a_line_leads_to_its_request() -> None:
    page = read("pending")

    leads = [element["href"] for element in page.all("a") if element["href"].startswith("/requests/")]
    assert leads == [waiting(index).path for index in range(7)]
    assert leads[3] == f"/requests/media-production/streaming/qR7sT2uV9wX4yZ1aB6c03/{PAUSE}"


def test_a_hundred_requests_fit_into_a_hundred_kilobytes() -> None:
    assert len(PAGES["pending-100"].encode()) <= 100_000
    lines = [
        waiting(index, images=(f"team/some-long-repository-name:{'1' * 40}@4b0ea2bbb1a1",) * 3)
        for index in range(100)
    ]
    long = [
        replace(line, deployment=replace(line.deployment, cluster="c" * 60, service="s" * 60))
        for line in lines
    ]

    page = pages.overview_page(replace(overview(0), waiting=tuple(long)), VIEWER, NOW)

    assert len(page.encode()) <= 100_000


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pending-none", "Nothing waits for a decision."),
        ("pending-unread", "Nothing was found that waits, and not everything could be read."),
        ("pending-100", "There are more requests than this page shows."),
        ("pending-others", "Not everything could be read."),
        ("pending-others", "ssm:GetParametersByPath on /ecs-approvals: ThrottlingException"),
        ("pending-others", "Decided its deployment goes on"),
        ("pending-others", "Deployment ended rolled back"),
        ("pending-others", "Deployment ended not known to ECS any more"),
    ],
)
def test_the_list_says_what_there_is_to_say(name: str, words: str) -> None:
    assert words in read(name).text


def test_a_line_without_expiry_says_so_and_one_that_is_over_promises_nothing() -> None:
    lines = (waiting(0, expires_at=None), waiting(1, expires_at=NOW - timedelta(minutes=5)))

    text = Reader(pages.overview_page(replace(overview(0), waiting=lines), VIEWER, NOW)).text

    assert "No expiry is known" in text
    assert "Expired 5 min ago" in text
    assert "until" not in text


# ----------------------------------------------------------------------------------------------- history


def test_a_day_of_the_history_says_who_decided_what() -> None:
    text = read("history").text

    assert (
        "12:30 UTC media-production / checkout Approved Go on towards production traffic? "
        "Deployment finished. "
        "shop/checkout:40 4b0ea2bbb1a1 Approved by Alice alice at login.example.com, 12:10 UTC "
        "Tried with the test header. Extended by carol IAM user, 12:10 UTC "
        "Approved by bob permission set ReleaseManager, 12:10 UTC" in text
    )
    assert "Not decided" in text
    assert "Nobody answered." in text


def test_the_history_leads_on_where_there_is_more() -> None:
    leads = [element["href"] for element in read("history").all("a")]
    assert "/history/2026-03-03" in leads
    text = read("history-none").text
    assert "Nothing earlier Tuesday, 3 Mar 2026 Thursday, 5 Mar 2026" in text
    assert "No request ended on this day." in text


# ----------------------------------------------------------------------------------------------- request


@pytest.mark.parametrize(
    ("name", "state"),
    [
        (
            "pending",
            "Waiting for a decision 1 of 2 approvals. It takes one more, by somebody else. "
            "3 h 12 min left until 17:22 UTC",
        ),
        ("fresh", "Waiting for a decision It takes one approval."),
        (
            "approved-by-me",
            "Waiting for a decision 1 of 2 approvals, yours. It takes one more, by somebody else.",
        ),
        ("soon", "Waiting for a decision It takes one approval. 22 min left until 14:32 UTC"),
        (
            "approved",
            "Approved By Alice, bob. The deployment goes on when ECS next asks, in a few minutes at most.",
        ),
        ("approved-closed", "Approved By Alice, bob. The deployment is in progress."),
        (
            "rejected",
            "Rejected By bob. “The cart loses items when two tabs are open.” "
            "The deployment is being rolled back.",
        ),
        (
            "expired",
            "Expired 1 of 2 approvals came in time. The hook refuses, and ECS rolls the deployment back.",
        ),
        ("ended", "The deployment has ended It is rolled back, and nobody had decided by then."),
        (
            "turning-back",
            "The deployment turns back It is being rolled back. An answer would change nothing.",
        ),
        ("past", "No longer waiting The deployment has gone past this stage."),
        ("not-known", "Not known to be waiting ECS could not be asked about the deployment"),
        ("without-rules", "Waiting, and not to be decided here Who may decide is too long a list"),
        ("pause", "Waiting for a decision It takes one approval."),
        ("pause-elsewhere", "Decided elsewhere ECS no longer waits at this pause"),
    ],
)
def test_each_state_has_its_words(name: str, state: str) -> None:
    sections = [one for one in read(f"request-{name}").all("section") if one["aria-label"] == "State"]

    assert " ".join(sections[0].text.split()).startswith(state)


@pytest.mark.parametrize(
    ("expired", "words"),
    [
        (dossier(ruled=rules(expires_after=timedelta(0))), "Nobody approved in time. The hook refuses"),
        (
            dossier(ruled=rules(expires_after=timedelta(0), on_expiry="proceed")),
            "Nobody approved in time. The hook lets the deployment go on",
        ),
        (
            dossier(part=PAUSE, ruled=rules(expires_after=timedelta(0))),
            "Nobody approved in time. ECS does what the service says for a pause that times out.",
        ),
    ],
)
def test_an_expired_request_says_what_follows(expired: Dossier, words: str) -> None:
    assert words in Reader(pages.request_page(expired, MAY, VIEWER, NOW)).text


def test_a_request_without_rules_can_be_closed() -> None:
    made = dossier(without_rules=True)
    closing = replace(made.proceeding.statement, outcome="approved")
    made = replace(made, proceeding=replace(made.proceeding, closed=closing), is_waiting=False)

    text = Reader(pages.request_page(made, MAY, VIEWER, NOW)).text

    assert "Approved The deployment is in progress." in text


def test_a_request_that_is_closed_otherwise_says_as_what() -> None:
    closed = dossier()
    closing = replace(closed.proceeding.statement, outcome="deployment ended: STOPPED")
    closed = replace(closed, proceeding=replace(closed.proceeding, closed=closing))

    page = Reader(pages.request_page(closed, MAY, VIEWER, NOW))

    assert "Closed What the request says of it: deployment ended: STOPPED." in page.text
    assert not page.all("textarea")


def buttons(page: Reader) -> list[tuple[str, str]]:
    return [(one.text, one["value"]) for one in page.all("button") if one["name"] == "answer"]


APPROVE_OR_REJECT = [("Approve", "approve"), ("Reject", "reject")]
STOP = ("Stop and roll back", "stop")


@pytest.mark.parametrize(
    ("name", "offered"),
    [
        ("pending", [*APPROVE_OR_REJECT, ("Extend", "extend"), STOP]),
        ("stale", APPROVE_OR_REJECT),
        ("approved-by-me", [("Reject", "reject"), STOP]),
        ("pause", [("Continue", "approve"), ("Roll back", "reject"), STOP]),
        ("may-not", []),
        ("without-rules", []),
        ("approved", []),
        ("approved-closed", [STOP]),
        ("rejected", []),
        ("expired", []),
        ("ended", []),
        ("turning-back", []),
        ("past", []),
        ("not-known", []),
        ("pause-elsewhere", []),
    ],
)
def test_only_what_can_still_be_done_is_offered(name: str, offered: list[tuple[str, str]]) -> None:
    assert buttons(read(f"request-{name}")) == offered


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "fails-open",
            "Approve, and the deployment goes on once enough people have agreed. Reject, and ECS ",
        ),
        ("pending", "Approve, and the deployment goes on. Reject, and ECS moves everything back to blue."),
        ("approved-by-me", "Reject, and ECS moves everything back to blue."),
        ("pause", "Continue, and the deployment goes on. Roll back, and ECS moves everything back to blue."),
    ],
)
def test_what_a_button_does_is_said_before_it_is_pressed(name: str, told: str) -> None:
    (effect,) = [one.text for one in read(f"request-{name}").elements if one["id"] == "effect"]

    assert effect.startswith(told)


def test_nothing_is_offered_for_what_nobody_waits_for_whatever_the_choices_say() -> None:
    may = Choices("", has_approved=False, extend_to=LATER, may_stop=False)

    for over in (
        dossier(is_waiting=False),
        dossier(CONSOLE_AND_BOB[0], CONSOLE_AND_BOB[1]),
        dossier(BOB_REJECTS),
    ):
        assert buttons(Reader(pages.request_page(over, may, VIEWER, NOW))) == []


CONSOLE_AND_BOB = (
    (timedelta(minutes=1), f"{BOB.rpartition('/')[0]}/alice", "APPROVED"),
    BOB_APPROVES,
)


def test_a_form_answers_the_version_that_is_shown_on_the_path_of_its_request() -> None:
    page = Reader(pages.request_page(dossier(part="step-from-10"), MAY, VIEWER, NOW))

    actions = [form["action"] for form in page.all("form")]
    assert actions == ["/sign-out", f"/requests/shop/checkout/{DEPLOYMENT.id}/step-from-10/answer"]


def test_an_expiry_is_put_off_to_one_of_the_times_given() -> None:
    page = read("request-pending")

    assert [(option["value"], option.text) for option in page.all("option")] == [
        ("2026-03-05T19:10:00Z", "19:10 UTC, in 5 h"),
        ("2026-03-05T22:10:00Z", "22:10 UTC, in 8 h"),
        ("2026-03-06T12:11:00Z", "6 Mar, 12:11 UTC, in 22 h 1 min"),
    ]


def test_stopping_takes_a_word_of_consent() -> None:
    page = read("request-pending")

    (box,) = [field for field in page.all("input") if field["type"] == "checkbox"]
    assert "required" in box.attributes
    (form,) = [form for form in page.all("form") if form["action"].endswith("/stop")]
    assert form["action"] == f"/deployments/shop/checkout/{DEPLOYMENT.id}/stop"
    assert "Roll checkout back" in form.text


def test_what_was_typed_is_not_lost_when_it_was_not_taken() -> None:
    page = read("request-stale")

    (alert,) = [one for one in page.elements if one["role"] == "alert"]
    assert "Nothing was changed: it was asked anew since this page was opened." in alert.text
    assert page.all("textarea")[0].text == "\nLooks right to me."


def test_what_was_done_is_said() -> None:
    (status,) = [one for one in read("request-approved-by-me").elements if one["role"] == "status"]

    assert status.text.strip() == "Your approval is recorded."


def test_who_may_not_decide_is_told_why() -> None:
    text = read("request-may-not").text

    assert "You can't decide this You are not among those whom this service's rules let decide." in text


def test_answers_are_listed_with_what_does_not_count() -> None:
    text = read("request-pending").text

    assert (
        "Answers Approved carol IAM user 12:24 UTC Does not count: they are not among those who may decide. "
        "Not understood carol IAM user 12:32 UTC Does not count: not understood; write APPROVED or REJECTED "
        "Approved bob permission set ReleaseManager 13:22 UTC" in text
    )


def test_the_time_line_has_everything_in_order_and_what_is_to_come() -> None:
    (line,) = [one for one in read("request-pending").all("ol") if one["class"] == "timeline"]

    assert [" ".join(item.split()) for item in line.text.strip().split("\n")] == [
        "11:17 UTC Image trust: passed",
        "12:12 UTC The hook asked",
        "12:12 UTC People were told (topic, webhook)",
        "12:24 UTC Approved: carol; does not count",
        "12:32 UTC Not understood: carol; does not count",
        "12:43 UTC Load test: passed",
        "12:52 UTC Canary comparison: would refuse",
        "13:22 UTC Approved: bob",
        "17:22 UTC This request expires",
        "6 Mar, 12:12 UTC ECS itself ends the wait",
    ]


def test_images_and_differences_stand_side_by_side() -> None:
    text = read("request-pending").text

    assert (
        "app changed "
        "Blue before 123456789012.dkr.ecr.eu-west-1.amazonaws.com/ shop/checkout:41 sha256:30a2f1c70000… "
        "Green after 123456789012.dkr.ecr.eu-west-1.amazonaws.com/ shop/checkout:42 sha256:4b0ea2bbb1a1…"
        in text
    )
    assert "proxy the same" in text
    assert f"app, green sha256:4b0ea2bbb1a1{'7' * 52}" in text
    assert "app secret DB_PASSWORD parameter /shop/db secret shop/db-AbCdEf" in text


def test_a_first_deployment_is_compared_with_nothing() -> None:
    text = read("request-first").text

    assert "app new Blue before not there Green after shop/checkout:1 no digest yet" in text
    assert "Nothing ran before, so there is nothing to compare with." in text


def test_a_container_that_is_gone_is_said_to_be() -> None:
    gone = dossier(images=(ImageChange("sidecar", "envoy:1", "", "", ""),))

    assert (
        "sidecar removed Blue before envoy:1 Green after not there"
        in Reader(pages.request_page(gone, MAY, VIEWER, NOW)).text
    )


def test_evidence_is_drawn_and_told() -> None:
    page = read("request-pending")

    described = [one.text for one in page.all("desc")]
    assert len(described) == 3
    assert described[0].startswith("From 5 Mar, 11:42:00 UTC to 5 Mar, 12:11:00 UTC. green: from")
    assert [one.text for one in page.all("caption")] == ["Task definition", "Containers"]
    assert "It would have refused: errors: green 1.4 %, blue 0.3 %" in page.text


def test_a_page_of_charts_is_bounded() -> None:
    points = [[timestamp(ASKED + timedelta(seconds=second)), second % 97] for second in range(240)]
    chart = {"title": "t", "series": [{"name": "green", "points": points}] * 20}
    wild = replace(EVIDENCE[0], charts=(chart,) * 20)

    page = pages.request_page(dossier(evidence=(wild,) * 12), MAY, VIEWER, NOW)

    assert page.count('role="img"') == 40
    assert 500_000 < len(page) < 2_000_000


def test_green_can_be_reached_by_a_command() -> None:
    commands = [one.text for one in read("request-pending").all("pre")]

    assert "curl -i -H 'X-BG-Test: on' http://internal-shop.example.com:80/checkout/" in commands
    assert "curl -i -H 'x-test-traffic: 1' http://checkout.shop:8080" in commands


def test_a_command_is_one_word_for_each_argument() -> None:
    hostile = TestAccess("http://a/$(id);`id`", (("X'; rm -rf ~ #", "a b"),), inside=False)

    commands = [
        one.text
        for one in Reader(pages.request_page(dossier(test_access=(hostile,)), MAY, VIEWER, NOW)).all("pre")
    ]

    assert """curl -i -H 'X'"'"'; rm -rf ~ #: a b' 'http://a/$(id);`id`'""" in commands


def test_the_same_answer_can_be_given_from_a_shell() -> None:
    def commands(name: str) -> list[str]:
        return [one.text for one in read(name).all("pre") if one.text.startswith("aws")]

    put = "aws ssm put-parameter --region eu-west-1 --overwrite --name /ecs-approvals/shop/checkout"
    rejected = """'{"state": "REJECTED", "comment": "why", "answers": 1}'"""
    assert commands("request-pending") == [
        f"{put}/{DEPLOYMENT.id} --value APPROVED",
        f"{put}/{DEPLOYMENT.id} --value {rejected}",
    ]
    act = (
        f"aws ecs continue-service-deployment --region eu-west-1 --service-deployment-arn {DEPLOYMENT} "
        f"--hook-id {PAUSE} --action"
    )
    assert commands("request-pause") == [
        f"{put}/{DEPLOYMENT.id}/{PAUSE} --value APPROVED",
        f"{put}/{DEPLOYMENT.id}/{PAUSE} --value {rejected}",
        f"{act} CONTINUE",
        f"{act} ROLLBACK",
    ]


# -------------------------------------------------------------------------------------- signed out, errors


def test_signing_in_leads_back_to_where_one_was_going() -> None:
    page = Reader(pages.signed_out_page('/requests/a/b/c?x="&y=//evil.example'))

    (lead,) = [one["href"] for one in page.all("a") if one["class"] == "button"]
    assert lead == "/sign-in?to=/requests/a/b/c%3Fx%3D%22%26y%3D//evil.example"
    assert not page.all("form", "nav")


@pytest.mark.parametrize(("status", "title", "text"), ERRORS)
def test_an_error_explains_and_leads_on(status: int, title: str, text: str) -> None:
    page = read(f"error-{status}")

    assert page.heading() == title
    assert f"Error {status} {title} {text}" in page.text
    assert [one["href"] for one in page.all("a")][-2:] == ["/", "/history"]


def test_an_error_of_somebody_who_is_not_signed_in_leads_to_signing_in() -> None:
    page = read("error-signed-out")

    assert page.all("a")[-1]["href"] == "/sign-in?to=/"
    assert not page.all("form", "nav")


# ------------------------------------------------------------------------------------------- any text at all

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' autofocus onfocus=alert(1) x='",
    "</textarea></title></svg><iframe src=//evil.example>",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% include 'layout.html' %}",
    "&lt;b&gt; &amp;",
    "approved \u202edetcejer\u202c",
    "\x00\x1b[31m\r\n<!--",
    "\ud800",
)
_text = st.sampled_from(HOSTILE) | st.text(max_size=40)
_name = st.sampled_from(HOSTILE) | st.text(min_size=1, max_size=40)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=2),
    max_leaves=4,
)
_exhibit = st.fixed_dictionaries(
    {},
    optional={
        "title": _json,
        "unit": _json,
        "series": st.lists(
            st.fixed_dictionaries(
                {"name": _json, "points": st.lists(st.lists(st.integers() | _text, min_size=2, max_size=2))}
            ),
            max_size=2,
        ),
        "thresholds": st.lists(st.fixed_dictionaries({"name": _json, "value": st.integers()}), max_size=1),
        "columns": st.lists(_json, max_size=2),
        "rows": st.lists(st.lists(_json, max_size=2), max_size=2),
    },
)
_exhibits = st.lists(_exhibit, max_size=2).map(tuple)
_moment = st.datetimes(datetime(2001, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
_viewer = st.builds(Viewer, _name, _text, _text.map(lambda token: lambda _path: token))
_evidence = st.builds(Evidence, _text, _text, _text, _moment, _text, _text, _text, _exhibits, _exhibits)
_versions = st.builds(Version, st.integers(2, 9), _moment, _text | st.sampled_from([BOB, CONSOLE]), _text)


@st.composite
def _dossiers(draw: st.DrawFn) -> Dossier:
    part = draw(st.sampled_from(["", "step-from-10", PAUSE]))
    made = dossier(*draw(st.sampled_from([(), (BOB_APPROVES,), (BOB_REJECTS,)])), part=part)
    statement = replace(made.proceeding.statement, stage=draw(_text))
    closed = draw(st.none() | st.builds(lambda outcome: replace(statement, outcome=outcome), _text))
    return Dossier(
        proceeding=replace(
            made.proceeding,
            part=draw(st.just(part) | _text),
            name=draw(_text),
            asker=draw(_text),
            statement=statement,
            history=[*made.proceeding.history, *draw(st.lists(_versions, max_size=2))],
            closed=closed,
        ),
        deployment_status=draw(st.sampled_from(["IN_PROGRESS", ""]) | _text),
        lifecycle_stage=draw(_text),
        strategy=draw(_text),
        is_waiting=draw(st.booleans()),
        ecs_deadline=draw(st.none() | _moment),
        images=tuple(draw(st.lists(st.builds(ImageChange, *[_name] * 5), max_size=2))),
        differences=tuple(draw(st.lists(st.builds(Difference, *[_name] * 4), max_size=2))),
        evidence=tuple(draw(st.lists(_evidence, max_size=2))),
        test_access=tuple(
            draw(
                st.lists(
                    st.builds(TestAccess, _name, st.tuples(st.tuples(_name, _text)), st.booleans()),
                    max_size=1,
                )
            )
        ),
        answers=tuple(draw(st.lists(st.builds(Answer, st.integers(), _moment, *[_text] * 5), max_size=2))),
        problems=tuple(draw(st.lists(_text, max_size=1))),
        is_first=draw(st.booleans()),
    )


@cache
def known() -> set[tuple[str, str]]:
    """Return all elements and their attributes that pages with harmless text have."""
    return set(markup(*map(read, PAGES)))


def markup(*readers: Reader) -> Iterator[tuple[str, str]]:
    for page in readers:
        for element in page.elements:
            yield element.tag, ""
            yield from ((element.tag, name) for name in element.attributes)


def assert_harmless(text: str) -> Reader:
    text.encode()
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", text)
    page = Reader(text)
    assert set(markup(page)) <= known()
    for element in page.elements:
        for name in ("href", "src", "action"):
            assert re.fullmatch(r"(/(?!/)[\w./%?=,~:@&-]*|#content)?", element[name]), element
        assert re.fullmatch(r"[a-z0-9 -]*", element["class"])
    return page


quick = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@quick
@given(
    _dossiers(),
    st.builds(Choices, _text, st.booleans(), st.lists(_moment, max_size=2).map(tuple), st.booleans()),
    _viewer,
    _text,
    _text,
)
def test_no_text_becomes_markup_on_the_page_of_a_request(
    made: Dossier, choices: Choices, viewer: Viewer, said: str, comment: str
) -> None:
    page = pages.request_page(made, choices, viewer, NOW, notice=said, problem=said, comment=comment)

    read = assert_harmless(page)
    typed = [field.text for field in read.all("textarea") if field["id"] == "comment"]
    # HTML drops the line break that begins a text area.
    assert typed in ([], ["\n" + without_acting(comment)])


@quick
@given(
    _viewer,
    st.lists(
        st.builds(
            lambda stage, step, images, state, status: waiting(
                0, stage=stage, step=step, images=images, state=state, deployment_status=status
            ),
            _text,
            _text,
            st.lists(_text, max_size=4).map(tuple),
            _text,
            _text,
        ),
        max_size=3,
    ),
    _text,
)
@example(VIEWER, [waiting(0, part='"><script>', path="javascript:alert(1)")], "")
def test_no_text_becomes_markup_in_the_list(viewer: Viewer, lines: list[Any], problem: str) -> None:
    made = replace(overview(0), waiting=tuple(lines), others=tuple(lines), problems=(problem,))

    assert_harmless(pages.overview_page(made, viewer, NOW))


@quick
@given(_viewer, _text, _text, _text, _text, _text)
def test_no_text_becomes_markup_in_the_history(
    viewer: Viewer, part: str, stage: str, outcome: str, status: str, said: str
) -> None:
    past = entry(0, part=part, stage=stage, outcome=outcome, deployment_status=status, images=(said,) * 3)
    answers = tuple(replace(answer, what=said, who=said, name=said, comment=said) for answer in past.answers)
    made = history(0, entries=(replace(past, answers=answers),), problems=(said,))

    assert_harmless(pages.history_page(made, viewer, NOW))


@quick
@given(_name, _text, _viewer)
def test_no_text_becomes_markup_in_a_message(title: str, text: str, viewer: Viewer) -> None:
    assert_harmless(pages.error_page(404, title, text, viewer))
    assert_harmless(pages.error_page(404, title, text, None))
    assert_harmless(pages.signed_out_page(f"/{text}"))


def test_a_comment_is_shown_as_it_was_written_but_for_what_acts_on_a_screen() -> None:
    comment = "<b>two</b>\nlines & \u202esdrawkcab"
    made = dossier(answers=(Answer(3, NOW, "rejected", ALICE.identity, "Alice", comment, ""),))

    (quote,) = Reader(pages.request_page(made, MAY, VIEWER, NOW)).all("blockquote")

    assert quote.text == "<b>two</b>\nlines & ·sdrawkcab"


# -------------------------------------------------------------------------------------- templates and style

CONSOLE_FOLDER = Path(pages.__file__).parent


def test_no_template_takes_the_escaping_away() -> None:
    templates = sorted((CONSOLE_FOLDER / "templates").glob("*.html"))

    assert len(templates) == 7
    for template in templates:
        text = template.read_text("utf-8")
        found = re.findall(r"\|\s*safe|autoescape|Markup|tojson|style=|<style|<script|\son\w+=|https?:", text)
        assert found == [], template.name


def test_the_style_takes_nothing_from_elsewhere() -> None:
    assert re.findall(r"url\(|@import|https?:|expression|<", pages.STYLE) == []
    assert pages.STYLE.count("{") == pages.STYLE.count("}")


def test_an_address_of_the_style_changes_with_it() -> None:
    assert re.fullmatch(r"/style\.css\?v=[0-9a-f]{12}", pages.STYLE_URL)
    assert pages._versioned("/style.css", pages.STYLE + " ") != pages.STYLE_URL


def palette(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))


LIGHT = palette(pages.STYLE.partition("@media")[0])
DARK = palette(pages.STYLE.partition("@media")[2].partition("*,")[0])


def luminance(colour: str) -> float:
    """Return what https://www.w3.org/TR/WCAG22/#dfn-relative-luminance says."""
    channels = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return sum(share * value for share, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("front", "back", "least"),
    [
        *[
            (ink, ground, 4.5)
            for ink in ("ink", "soft", "link", "bad", "back")
            for ground in ("page", "card", "faint")
        ],
        *[(tone, f"{tone}-soft", 4.5) for tone in ("good", "bad", "back", "wait", "plain")],
        *[("on-fill", fill, 4.5) for fill in ("good", "link")],
        # https://www.w3.org/TR/WCAG22/#non-text-contrast
        *[(line, "card", 3) for line in ("edge", "blue", "green", "s2", "s3", "plain", "good", "wait")],
    ],
)
def test_colours_are_told_apart(colours: dict[str, str], front: str, back: str, least: float) -> None:
    assert contrast(colours[front], colours[back]) >= least


def test_light_and_dark_name_the_same_colours() -> None:
    assert set(LIGHT) == set(DARK)
    assert len(LIGHT) > 20


def test_every_state_is_shown_in_the_preview() -> None:
    assert len(REQUESTS) == len([name for name in PAGES if name.startswith("request-")])
