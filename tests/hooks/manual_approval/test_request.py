import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hooks.manual_approval.request import (
    MAX_VALUE_BYTES,
    Kind,
    Statement,
    Version,
    is_request_for,
    parameter_name,
    read,
    write_closing,
    write_request,
)
from shared.lifecycle import LifecycleEvent
from shared.revision import Image, Revision
from shared.revision import TestHeader as Header
from tests.shared.checkout import (
    BLUE,
    DEPLOYMENT,
    GREEN,
    HEX,
    POST_TEST,
    PRE_PRODUCTION,
    START,
    TASK_DEFINITION,
    event,
    split,
)

NAME = f"/ecs-approvals/shop/checkout/{DEPLOYMENT.id}"
LATER = START + timedelta(hours=23)


def parsed(stage: str = POST_TEST, **weights: Any) -> LifecycleEvent:
    return LifecycleEvent.parse(event(stage, **weights))


def revision(arn: Any, *images: Image, header: Header | None = None) -> Revision:
    return Revision(arn, TASK_DEFINITION, images, (), header)


def written(green: Revision, blue: Revision | None = None, of: LifecycleEvent | None = None) -> str:
    return write_request(
        NAME, of or parsed(), green=green, blue=blue, required=2, now=START, expires_at=LATER
    )


# ---------------------------------------------------------------------------------- where it stands


@pytest.mark.parametrize(
    ("prefix", "payload", "name"),
    [
        ("/ecs-approvals", parsed(), NAME),
        ("/ecs-approvals/", parsed(), NAME),
        ("/", parsed(), f"/shop/checkout/{DEPLOYMENT.id}"),
        ("/ecs-approvals", parsed(PRE_PRODUCTION, production=split(0, 100)), f"{NAME}/step-from-0"),
        ("/ecs-approvals", parsed(PRE_PRODUCTION, production=split(12.5, 87.5)), f"{NAME}/step-from-12.5"),
        ("/ecs-approvals", parsed(PRE_PRODUCTION), f"{NAME}/step-from-unknown"),
        ("/ecs-approvals", parsed("PRE_BAKE"), NAME),
    ],
)
def test_each_deployment_and_each_step_has_a_parameter_of_its_own(
    prefix: str, payload: LifecycleEvent, name: str
) -> None:
    assert parameter_name(prefix, payload) == name


# ---------------------------------------------------------------------------------- what is asked


def test_a_request_says_what_is_asked_and_how_to_answer() -> None:
    green = revision(
        GREEN,
        Image("proxy", "shop/proxy:2", f"sha256:{HEX}"),
        Image("app", "registry.example.com/shop/app:1.5", f"sha256:{HEX}"),
        Image("new", "shop/new:1", None),
        header=Header("x-try", "1.5"),
    )
    blue = revision(
        BLUE,
        Image("app", f"shop/app@sha256:{HEX[::-1]}", None),
        Image("proxy", "shop/proxy:2", f"sha256:{HEX}"),
    )

    assert json.loads(written(green, blue)) == {
        "schema": 1,
        "state": "pending",
        "ask": "May checkout in shop go on with this deployment?",
        "deployment": str(DEPLOYMENT),
        "stage": POST_TEST,
        "approvalsNeeded": 2,
        "requestedAt": "2026-03-05T12:00:00Z",
        "expiresAt": "2026-03-06T11:00:00Z",
        "howToAnswer": f"aws ssm put-parameter --overwrite --name {NAME} --value APPROVED   (or REJECTED, or "
        '{"state": "REJECTED", "comment": "why"})',
        "images": [
            {
                "container": "app",
                "green": "registry.example.com/shop/app:1.5@sha256:0123456789ab",
                "blue": "shop/app@sha256:fedcba987654",
            },
            {"container": "new", "green": "shop/new:1"},
            {"container": "proxy", "green": "shop/proxy:2@sha256:0123456789ab", "blue": "the same"},
        ],
        "testRequests": "send the header x-try: 1.5 to reach green",
    }


def test_the_request_of_a_step_names_the_step() -> None:
    text = json.loads(
        written(
            revision(GREEN, header=Header("x-try", None)), of=parsed(PRE_PRODUCTION, production=split(10, 90))
        )
    )

    assert text["ask"] == "May checkout in shop go on with this deployment, the step after 10 %?"
    assert (text["greenPercent"], text["images"]) == ("10", [])
    assert text["testRequests"] == "send the header x-try to reach green"


def test_the_images_that_stayed_the_same_are_the_first_to_be_left_out() -> None:
    images = [Image(f"container-{number}", "shop/" + "x" * 100, f"sha256:{HEX}") for number in range(40)]
    green = revision(GREEN, *images, Image("changed", "shop/app:2", None))
    text = written(green, revision(BLUE, *images, Image("changed", "shop/app:1", None)))
    document = json.loads(text)

    assert len(text.encode()) <= MAX_VALUE_BYTES
    assert document["images"][0] == {"container": "changed", "green": "shop/app:2", "blue": "shop/app:1"}
    assert document["moreImages"] == 41 - len(document["images"])


NAMES = st.text("abcXYZ019_-", min_size=1, max_size=255)
TEXT = st.text(st.characters(codec="utf-8"), max_size=300)
IMAGES = st.lists(st.builds(Image, TEXT, TEXT, st.none() | TEXT), max_size=25)
HEADERS = st.none() | st.builds(
    Header, TEXT.map(lambda text: text * 20), st.none() | TEXT.map(lambda text: text * 20)
)


@given(NAMES, NAMES, NAMES, IMAGES, IMAGES, HEADERS, st.sampled_from([POST_TEST, PRE_PRODUCTION]))
@example("c" * 255, "s" * 255, "d" * 255, [], [], Header("h" * 5000, None), PRE_PRODUCTION)
@example("c" * 255, "s" * 255, "d" * 255, [Image("ü" * 300, "ü" * 300, "ü" * 300)] * 50, [], None, POST_TEST)
def test_a_request_fits_parameter_store_whatever_the_service_looks_like(
    cluster: str,
    service: str,
    id_: str,
    images: list[Image],
    before: list[Image],
    header: Header | None,
    stage: str,
) -> None:
    payload = json.loads(
        json.dumps(event(stage, production=split(33.3, 66.7)))
        .replace("/shop/checkout", f"/{cluster}/{service}")
        .replace(DEPLOYMENT.id, id_)
    )
    asked = LifecycleEvent.parse(payload)
    name = parameter_name("/" + "p" * 60, asked)
    text = write_request(
        name,
        asked,
        green=revision(GREEN, *images, header=header),
        blue=revision(BLUE, *before),
        required=10,
        now=START,
        expires_at=LATER,
    )

    assert len(text.encode()) <= MAX_VALUE_BYTES
    document = json.loads(text)
    assert document["state"] == "pending"
    assert document["deployment"] == str(asked.deployment)
    assert len(document["images"]) + document.get("moreImages", 0) == len(images)
    assert name in document["howToAnswer"]
    assert is_request_for(Version(1, START, "anyone", text), asked)
    assert len(name) <= 1011


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        (written(revision(GREEN)), True),
        (json.dumps({"state": "PENDING", "deployment": str(DEPLOYMENT)}), True),
        (json.dumps({"state": "pending", "deployment": str(DEPLOYMENT) + "x"}), False),
        (json.dumps({"state": "pending"}), False),
        (json.dumps({"state": "approved", "deployment": str(DEPLOYMENT)}), False),
        ("pending", False),
    ],
)
def test_a_request_is_told_by_its_deployment(text: str, is_one: bool) -> None:
    assert is_request_for(Version(1, START, "anyone", text), parsed()) is is_one


# ---------------------------------------------------------------------------------- what came of it


def test_a_closing_says_what_came_of_the_request() -> None:
    text = write_closing("rejected", by=["alice"], comment="broken\nagain", now=START)

    assert json.loads(text) == {
        "schema": 1,
        "state": "closed",
        "outcome": "rejected",
        "closedAt": "2026-03-05T12:00:00Z",
        "by": ["alice"],
        "comment": "broken\nagain",
    }
    assert read(text).kind is Kind.CLOSED


@given(
    st.lists(st.text(st.characters(codec="utf-8"), max_size=2048), max_size=12),
    st.text(st.characters(codec="utf-8")),
)
@example(["arn:" + "x" * 200] * 10, "\0" * 500)
@example(["x" * 2048] * 10, "\U0001f600" * 500)
def test_a_closing_fits_parameter_store_and_is_never_an_answer(by: list[str], comment: str) -> None:
    text = write_closing("approved", by=by, comment=comment, now=datetime(2026, 3, 5, tzinfo=UTC))

    assert len(text.encode()) <= MAX_VALUE_BYTES
    assert read(text).kind is Kind.CLOSED


# ---------------------------------------------------------------------------------- what people type


@pytest.mark.parametrize(
    ("text", "statement"),
    [
        ("APPROVED", Statement(Kind.APPROVED)),
        ("approved", Statement(Kind.APPROVED)),
        (" Approved\r\n", Statement(Kind.APPROVED)),
        ('"APPROVED"', Statement(Kind.APPROVED)),
        ("REJECTED", Statement(Kind.REJECTED)),
        ("\tRejected ", Statement(Kind.REJECTED)),
        ('{"state": "REJECTED", "comment": "why"}', Statement(Kind.REJECTED, "why")),
        ('{"decision": "approved", "comment": "ok"}', Statement(Kind.APPROVED, "ok")),
        ('{"State": " Approved ", "Comment": "ok"}', Statement(Kind.APPROVED, "ok")),
        ('{"state": "APPROVED", "decision": "approved"}', Statement(Kind.APPROVED)),
        ('{"state": "APPROVED", "comment": null}', Statement(Kind.APPROVED, "None")),
        ('{"state": "APPROVED", "comment": ["a"]}', Statement(Kind.APPROVED, "['a']")),
        ('{"state": "APPROVED", "comment": "' + "x" * 900 + '"}', Statement(Kind.APPROVED, "x" * 500)),
        ('{"state": "APPROVED", "comment": "half \\ud800"}', Statement(Kind.APPROVED, "half ?")),
        (
            '{"state": "APPROVED", "deployment": "arn", "stage": "S", "more": 1}',
            Statement(Kind.APPROVED, "", "arn", "S"),
        ),
    ],
)
def test_what_people_type_is_understood(text: str, statement: Statement) -> None:
    assert read(text) == statement


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "APPROVE",
        "yes",
        "ok",
        "true",
        "1",
        "LGTM",
        "NOT APPROVED",
        "APPROVED REJECTED",
        "APPROVED by bob",
        "'APPROVED'",
        "not understood",
        "null",
        "[]",
        '["APPROVED"]',
        "{}",
        '{"comment": "APPROVED"}',
        '{"approved": true}',
        '{"state": true}',
        '{"state": null}',
        '{"state": ["APPROVED"]}',
        '{"state": {"state": "APPROVED"}}',
        '{"state": "not understood"}',
        '{"state": "APPROVED", "decision": "REJECTED"}',
        '{"state": "APPROVED", "STATE": "REJECTED"}',
        '{"state": "REJECTED", "state": "APPROVED"}',
        '{"state": "APPROVED"',
        '{"state": "APPROVED"} {"state": "REJECTED"}',
        "state: APPROVED",
        "ＡＰＰＲＯＶＥＤ",  # noqa: RUF001  # letters that only look it
        "АPPROVED",  # noqa: RUF001  # letters that only look it
        "APPROVED\0",
        "[" * 4096,
        '{"a":' * 700,
        '{"state": 1' + "0" * 4000 + "}",
        "-" + "9" * 4095,
    ],
    ids=lambda text: repr(text)[:40],
)
def test_what_makes_no_sense_or_two_senses_decides_nothing(text: str) -> None:
    assert read(text) == Statement(Kind.NOT_UNDERSTOOD)


JSON_TEXT = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.text(max_size=10)
    | st.sampled_from(["APPROVED", "rejected"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["state", "decision", "comment", "deployment", "x"]), inner, max_size=4
        )
    ),
    max_leaves=6,
).map(json.dumps)


@given(st.text() | JSON_TEXT | st.binary(max_size=60).map(lambda raw: raw.decode("utf-8", "surrogateescape")))
def test_no_text_is_too_hostile_to_read(text: str) -> None:
    statement = read(text)

    assert isinstance(statement.kind, Kind)
    assert len(statement.comment) <= 500
    statement.comment.encode()
    if statement.kind in {Kind.APPROVED, Kind.REJECTED}:
        assert statement.kind.value in text.casefold()
