from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.image_trust.finding import Digest
from hooks.image_trust.lint import Level, lint
from hooks.image_trust.policy import Policy
from hooks.image_trust.reference import Reference
from hooks.image_trust.selection import exemption_of, matching, select
from shared.errors import Misconfigured

A, B = Digest(f"sha256:{'a' * 64}"), Digest(f"sha256:{'b' * 64}")
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
PINNED = {"pinned": {"digests": [A]}}


def policy(*rules: dict[str, Any], **more: Any) -> Policy:
    return Policy.model_validate({"version": 1, "name": "p", "rules": rules, **more})


def rule(name: str, *images: str, **match: list[str]) -> dict[str, Any]:
    return {"name": name, "match": {"images": images, **match}, "require": PINNED}


def chosen(found: Policy, image: str, container: str = "web", service: str = "shop/checkout") -> str | None:
    selected = select(found, Reference.parse(image), container, service)
    return selected.name if selected else None


SHOP = policy(
    rule("everything of ours", "ghcr.io/example/**"),
    rule("shop", "ghcr.io/example/shop/*"),
    rule("web", "ghcr.io/example/shop/web"),
    rule("web as a sidecar", "ghcr.io/example/shop/web", containers=["proxy"]),
    rule("any proxy", "ghcr.io/example/shop/*", containers=["pro*"]),
    rule("payments", "ghcr.io/example/shop/web", services=["pay/**"]),
    rule("payments in one service", "ghcr.io/example/shop/web", services=["pay/cards"]),
    rule("tagged", "ghcr.io/example/shop/web:1.*"),
    rule("two names", "ghcr.io/example/two/**", "ghcr.io/example/two/exactly"),
)


@pytest.mark.parametrize(
    ("image", "container", "service", "expected"),
    [
        ("ghcr.io/example/tools/x", "web", "shop/checkout", "everything of ours"),
        ("ghcr.io/example/shop/cart", "web", "shop/checkout", "shop"),
        ("ghcr.io/example/shop/web", "web", "shop/checkout", "web"),
        (f"ghcr.io/example/shop/web:9@{A}", "web", "shop/checkout", "web"),
        ("ghcr.io/example/shop/web:1.0", "web", "shop/checkout", "tagged"),
        (f"ghcr.io/example/shop/web:1.0@{A}", "web", "shop/checkout", "web"),
        # Of equally specific images the container decides, and then the service.
        ("ghcr.io/example/shop/web", "proxy", "shop/checkout", "web as a sidecar"),
        ("ghcr.io/example/shop/cart", "proxy", "shop/checkout", "any proxy"),
        ("ghcr.io/example/shop/web", "prox", "shop/checkout", "web"),
        ("ghcr.io/example/shop/web", "web", "pay/refunds", "payments"),
        ("ghcr.io/example/shop/web", "web", "pay/cards", "payments in one service"),
        ("ghcr.io/example/shop/web", "proxy", "pay/cards", "web as a sidecar"),
        ("ghcr.io/example/two/exactly", "web", "shop/checkout", "two names"),
        # What no rule is for is refused.
        ("ghcr.io/other/web", "web", "shop/checkout", None),
        ("nginx", "web", "shop/checkout", None),
        ("ghcr.io/example", "web", "shop/checkout", None),
    ],
)
def test_the_most_specific_rule_decides(
    image: str, container: str, service: str, expected: str | None
) -> None:
    assert chosen(SHOP, image, container, service) == expected


def test_the_order_in_the_document_decides_nothing() -> None:
    turned = SHOP.model_copy(update={"rules": SHOP.rules[::-1]})

    for image in ("ghcr.io/example/shop/web", "ghcr.io/example/shop/cart", "ghcr.io/example/x"):
        assert chosen(turned, image) == chosen(SHOP, image)


def test_an_image_does_not_escape_its_rule_by_another_name_of_its_registry() -> None:
    found = policy(
        rule("strict", "111122223333.dkr.ecr.eu-west-1.amazonaws.com/**", "docker.io/library/*"),
        rule("any", "**"),
    )
    strict = [
        "111122223333.dkr-ecr.eu-west-1.on.aws/web",
        "111122223333.dkr.ecr-fips.eu-west-1.amazonaws.com/web",
        "111122223333.dkr.ecr.eu-west-1.amazonaws.com:443/web",
        "nginx",
        "index.docker.io/nginx",
        "registry-1.docker.io/library/nginx",
    ]

    assert {image: chosen(found, image) for image in strict} == dict.fromkeys(strict, "strict")
    assert chosen(found, "ghcr.io/nginx") == "any"


def test_which_rules_were_considered_and_why_can_be_told() -> None:
    found = matching(SHOP, Reference.parse("ghcr.io/example/shop/web"), "proxy", "pay/cards")

    assert [(one.rule.name, one.image, one.container, one.service) for one in found] == [
        ("web as a sidecar", "ghcr.io/example/shop/web", "proxy", "**"),
        ("payments in one service", "ghcr.io/example/shop/web", "*", "pay/cards"),
        ("payments", "ghcr.io/example/shop/web", "*", "pay/**"),
        ("web", "ghcr.io/example/shop/web", "*", "**"),
        ("any proxy", "ghcr.io/example/shop/*", "pro*", "**"),
        ("shop", "ghcr.io/example/shop/*", "*", "**"),
        ("everything of ours", "ghcr.io/example/**", "*", "**"),
    ]
    assert found[0].weight == ((24, 0, 0), (5, 0, 0), (0, -1, 0))


def test_a_tie_that_nobody_has_found_before_is_an_error_of_the_policy() -> None:
    tied = policy(rule("one", "ghcr.io/a/*-web"), rule("other", "ghcr.io/a/web-*"))

    with pytest.raises(Misconfigured) as error:
        chosen(tied, "ghcr.io/a/web-web")

    assert str(error.value) == (
        "policy 'p': rules 'one' and 'other' are equally specific for container 'web' with ghcr.io/a/web-web"
    )
    assert chosen(tied, "ghcr.io/a/web-x") == "other"


# Names short enough that globs meet, which they seldom would of themselves.
_PIECES = st.lists(st.sampled_from(["a", "b", "*", "**", "/"]), min_size=1, max_size=4).map("".join)
_GLOBS = _PIECES.map(lambda path: f"x.io/{path}")
_NAMES = st.lists(st.sampled_from(["a", "b", "ab", "aa"]), min_size=1, max_size=2).map("/".join)


@given(
    st.lists(st.tuples(_GLOBS, st.sampled_from(["*", "a*", "a", "*b"])), min_size=2, max_size=4, unique=True),
    st.lists(st.tuples(_NAMES, st.sampled_from(["a", "b", "ab"])), min_size=5, max_size=20),
)
def test_a_policy_without_errors_has_no_ties(
    globs: list[tuple[str, str]], asked: list[tuple[str, str]]
) -> None:
    found = policy(
        *(rule(f"r{number}", glob, containers=[container]) for number, (glob, container) in enumerate(globs))
    )
    tied = any("so that neither decides" in note.text for note in lint(found) if note.level is Level.ERROR)

    for name, container in asked:
        try:
            select(found, Reference.parse(f"x.io/{name}"), container, "c/s")
        except Misconfigured:
            assert tied


# --- Exemptions -------------------------------------------------------------------------------------


def exemption(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "rule": "shop",
        "digests": [A],
        "reason": "an incident",
        "approvedBy": "security",
        "approved": NOON - timedelta(days=1),
        "expires": NOON + timedelta(days=1),
        **more,
    }


def exempt(
    *exemptions: dict[str, Any], container: str = "web", digest: Digest = A, now: datetime = NOON
) -> str | None:
    found = policy(rule("shop", "ghcr.io/a"), rule("other", "ghcr.io/b"), exemptions=exemptions)
    held = exemption_of(found, found.rules[0], container, digest, now)
    return held.name if held else None


@pytest.mark.parametrize(
    ("more", "circumstances", "expected"),
    [
        ({}, {}, "e"),
        ({}, {"digest": B}, None),
        ({"digests": [B, A]}, {}, "e"),
        ({"rule": "other"}, {}, None),
        ({"containers": ["web"]}, {}, "e"),
        ({"containers": ["w*", "x"]}, {}, "e"),
        ({"containers": ["worker"]}, {}, None),
        # From the moment of its approval to the one at which it expires, which is no longer in it.
        ({}, {"now": NOON - timedelta(days=1)}, "e"),
        ({}, {"now": NOON - timedelta(days=1, microseconds=1)}, None),
        ({}, {"now": NOON + timedelta(days=1) - timedelta(microseconds=1)}, "e"),
        ({}, {"now": NOON + timedelta(days=1)}, None),
    ],
)
def test_an_exemption_holds_for_its_digests_its_rule_its_containers_and_its_time(
    more: dict[str, Any], circumstances: dict[str, Any], expected: str | None
) -> None:
    assert exempt(exemption("e", **more), **circumstances) == expected


def test_of_several_exemptions_the_one_that_lasts_longest_is_named() -> None:
    longer = exemption("longer", expires=NOON + timedelta(days=2))
    gone = exemption("gone", approved=NOON - timedelta(days=9), expires=NOON)

    assert exempt(exemption("e"), longer, gone) == "longer"
