import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hooks.manual_approval.approvers import Electorate
from hooks.manual_approval.request import (
    MARK_BYTES,
    MAX_VALUE_BYTES,
    Kind,
    Statement,
    Version,
    is_request_for,
    parameter_name,
    part_of,
    read,
    rules_in,
    write_request,
)
from hooks.manual_approval.rules import Rules, read_rules
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
RULES = Rules(
    required=2,
    electorate=Electorate(
        allowed=(("*",), ("arn:aws:iam::123456789012:role/release",)),
        excluded=("arn:aws:iam::123456789012:role/deploy",),
        personal_sessions=("arn:*:sts::*:assumed-role/AWSReservedSSO_*",),
        console="arn:aws:iam::123456789012:role/console",
    ),
    expires_after=timedelta(hours=23),
    extendable_to=timedelta(minutes=1439),
    on_expiry="refuse",
)


def parsed(stage: str = POST_TEST, **weights: Any) -> LifecycleEvent:
    return LifecycleEvent.parse(event(stage, **weights))


def revision(arn: Any, *images: Image, header: Header | None = None) -> Revision:
    return Revision(arn, TASK_DEFINITION, images, (), header)


def written(green: Revision, blue: Revision | None = None, of: LifecycleEvent | None = None) -> str:
    return write_request(NAME, of or parsed(), green=green, blue=blue, rules=RULES, now=START)


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
    assert parameter_name(prefix, payload.deployment, part_of(payload)) == name


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
        "rules": RULES.document(),
    }


def test_the_request_of_a_step_names_the_step() -> None:
    text = json.loads(
        written(
            revision(GREEN, header=Header("x-try", None)), of=parsed(PRE_PRODUCTION, production=split(10, 90))
        )
    )

    assert text["ask"] == "May checkout in shop go on with this deployment, the step after 10 %?"
    assert (text["greenPercent"], "images" in text, "moreImages" in text) == ("10", False, False)
    assert text["testRequests"] == "send the header x-try to reach green"


def test_the_images_that_stayed_the_same_are_the_first_to_be_left_out() -> None:
    images = [Image(f"container-{number}", "shop/" + "x" * 100, f"sha256:{HEX}") for number in range(40)]
    green = revision(GREEN, *images, Image("changed", "shop/app:2", None))
    text = written(green, revision(BLUE, *images, Image("changed", "shop/app:1", None)))
    document = json.loads(text)

    assert len(text.encode()) <= MAX_VALUE_BYTES - MARK_BYTES
    assert document["images"][0] == {"container": "changed", "green": "shop/app:2", "blue": "shop/app:1"}
    assert document["moreImages"] == 41 - len(document["images"])
    assert read_rules(rules_in(text)) == RULES


def test_a_test_header_without_end_costs_neither_the_images_nor_who_may_decide() -> None:
    images = (Image("app", "shop/app:1.5", None), Image("proxy", "shop/proxy:2", None))
    document = json.loads(written(revision(GREEN, *images, header=Header("x-try", "h" * 4000))))

    assert [image["green"] for image in document["images"]] == ["shop/app:1.5", "shop/proxy:2"]
    assert read_rules(document["rules"]) == RULES
    assert "testRequests" not in document


def test_who_may_decide_is_left_out_before_what_is_asked() -> None:
    many = tuple(f"arn:aws:iam::123456789012:user/{number:050}" for number in range(50))
    rules = replace(RULES, electorate=replace(RULES.electorate, excluded=many))
    green = revision(GREEN, Image("app", "shop/app:1.5", None), header=Header("x-try", "1.5"))
    text = write_request(NAME, parsed(), green=green, blue=None, rules=rules, now=START)
    document = json.loads(text)

    assert rules_in(text) is None
    assert document["images"] == [{"container": "app", "green": "shop/app:1.5"}]
    assert document["testRequests"] == "send the header x-try: 1.5 to reach green"


def test_however_many_may_decide_the_first_image_is_shown() -> None:
    told = set()
    for length in range(0, 3000, 50):
        rules = replace(RULES, electorate=replace(RULES.electorate, excluded=("x" * length,)))
        green = revision(
            GREEN, Image("app", "shop/" + "a" * 110, f"sha256:{HEX}"), Image("proxy", "shop/proxy", None)
        )
        text = write_request(NAME, parsed(), green=green, blue=None, rules=rules, now=START)
        document = json.loads(text)
        assert document["images"][0]["container"] == "app"
        told.add((len(document["images"]), "rules" in document))

    # First the second image has to go, then the rules, and then there is room again.
    assert told == {(2, True), (1, True), (2, False)}


NAMES = st.text("abcXYZ019_-", min_size=1, max_size=255)
TEXT = st.text(st.characters(codec="utf-8"), max_size=300)
IMAGES = st.lists(st.builds(Image, TEXT, TEXT, st.none() | TEXT), max_size=25)
HEADERS = st.none() | st.builds(
    Header, TEXT.map(lambda text: text * 20), st.none() | TEXT.map(lambda text: text * 20)
)
PATTERNS = st.lists(st.text(max_size=256), max_size=12).map(tuple)
LONGEST = ("c" * 255, "s" * 255, "d" * 255)
WIDE = Image("ü" * 300, "ü" * 300, "ü" * 300)


@given(NAMES, NAMES, NAMES, IMAGES, IMAGES, HEADERS, st.sampled_from([POST_TEST, PRE_PRODUCTION]), PATTERNS)
@example(*LONGEST, [], [], Header("h" * 5000, None), PRE_PRODUCTION, ())
@example(*LONGEST, [WIDE] * 50, [], Header("\0" * 900, "\0" * 900), PRE_PRODUCTION, ("ü" * 256,) * 100)
@example(*LONGEST, [WIDE] * 50, [], None, POST_TEST, ("\0" * 256,) * 100)
@settings(max_examples=60, deadline=None)
def test_a_request_fits_parameter_store_whatever_the_service_looks_like(
    cluster: str,
    service: str,
    id_: str,
    images: list[Image],
    before: list[Image],
    header: Header | None,
    stage: str,
    excluded: tuple[str, ...],
) -> None:
    payload = json.loads(
        json.dumps(event(stage, production=split(33.3, 66.7)))
        .replace("/shop/checkout", f"/{cluster}/{service}")
        .replace(DEPLOYMENT.id, id_)
    )
    asked = LifecycleEvent.parse(payload)
    name = parameter_name("/" + "p" * 60, asked.deployment, part_of(asked))
    rules = replace(RULES, electorate=replace(RULES.electorate, excluded=excluded))
    text = write_request(
        name,
        asked,
        green=revision(GREEN, *images, header=header),
        blue=revision(BLUE, *before),
        rules=rules,
        now=START,
    )

    assert len(text.encode()) <= MAX_VALUE_BYTES - MARK_BYTES
    document = json.loads(text)
    assert document["state"] == "pending"
    assert document["deployment"] == str(asked.deployment)
    assert len(document.get("images", [])) + document.get("moreImages", 0) == len(images)
    assert "rules" not in document or read_rules(rules_in(text)) == rules
    assert name in document["howToAnswer"]
    assert is_request_for(Version(1, START, "anyone", text), asked.deployment)
    assert len(name) <= 1011


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        (written(revision(GREEN)), True),
        (json.dumps({"state": "PENDING", "deployment": str(DEPLOYMENT)}), True),
        (json.dumps({"state": "pending", "deployment": str(DEPLOYMENT) + "x"}), False),
        (json.dumps({"state": "pending"}), False),
        (json.dumps({"state": "approved", "deployment": str(DEPLOYMENT)}), False),
        (json.dumps({"state": "pending", "deployment": str(DEPLOYMENT), "pause": "ecs-pause-1"}), False),
        (json.dumps({"state": "pending", "deployment": [str(DEPLOYMENT)]}), False),
        ("pending", False),
    ],
)
def test_a_request_is_told_by_its_deployment(text: str, is_one: bool) -> None:
    assert is_request_for(Version(1, START, "anyone", text), DEPLOYMENT) is is_one


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
        ('{"state": "APPROVED", "answers": 3}', Statement(Kind.APPROVED, answers=3)),
        ('{"state": "APPROVED", "answers": -3}', Statement(Kind.APPROVED, answers=-3)),
        (
            '{"state": "Extended", "expiresAt": "2026-03-06T12:00:00+01:00", "comment": "ask bob"}',
            Statement(Kind.EXTENDED, "ask bob", expires_at=START + timedelta(hours=23)),
        ),
        (
            '{"state": "extended", "expiresAt": "9999-12-31T23:59:59Z"}',
            Statement(Kind.EXTENDED, expires_at=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ),
        # Nested as deeply as there is room for.
        (
            '{"state": "APPROVED", "more": ' + "[" * 4000 + "]" * 4000 + "}",
            Statement(Kind.APPROVED),
        ),
        ('{"state": "APPROVED", "deployment": ["arn"], "stage": 1}', Statement(Kind.APPROVED)),
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
        "APPROVED\nREJECTED",
        "\ufeffAPPROVED",
        "extended",
        "EXTENDED",
        "closed",
        '{"state": "extended"}',
        '{"state": "extended", "expiresAt": null}',
        '{"state": "extended", "expiresAt": 1772798400}',
        '{"state": "extended", "expiresAt": ""}',
        '{"state": "extended", "expiresAt": "tomorrow"}',
        '{"state": "extended", "expiresAt": "2026-03-06T12:00:00"}',
        '{"state": "extended", "expiresAt": "99999-03-06T12:00:00Z"}',
        '{"state": "extended", "expiresAt": "0001-01-01T00:00:00+23:59"}',
        '{"state": "extended", "expiresAt": "2026-03-06T12:00:00Z", "expiresAt": "2026-03-07T12:00:00Z"}',
        # Whatever says what it answers, and says it so that nobody can tell.
        '{"state": "APPROVED", "answers": true}',
        '{"state": "APPROVED", "answers": 1.0}',
        '{"state": "APPROVED", "answers": "1"}',
        '{"state": "APPROVED", "answers": null}',
        '{"state": "APPROVED", "answers": [1]}',
        '{"state": "APPROVED", "answers": NaN}',
        '{"state": "APPROVED", "answers": 1' + "0" * 4400 + "}",
        '{"state": "APPROVED", "answers": 1, "answers": 2}',
        '{"state": "APPROVED", "by": {"identity": "a", "identity": "b"}}',
        "[" * 4096,
        '{"a":' * 700,
        '{"state": 1' + "0" * 4000 + "}",
        "-" + "9" * 4095,
        "[" * 200_000,
        '{"state": "APPROVED", "comment": ' + "[" * 100_000 + "]" * 100_000 + "}",
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
