import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.manual_approval.approvers import Person
from hooks.manual_approval.console.access import Access, AccessPolicy, AccessRule, is_name
from tests.hooks.manual_approval.console.surroundings import ISSUER, RULES


def access(subject: str, *groups: str, rules: list[dict[str, Any]] = RULES) -> Access:
    return Access(AccessPolicy.model_validate({"rules": rules}), ISSUER, subject, groups)


def rule(may: str, *services: str, groups: tuple[str, ...] = ("releases",)) -> dict[str, Any]:
    return {"groups": groups, "services": services, "may": may}


@pytest.mark.parametrize(
    ("who", "cluster", "service", "may"),
    [
        (access("alice", "release-managers"), "shop", "checkout", "decide"),
        (access("alice", "release-managers"), "shop", "catalog", "decide"),
        (access("alice", "release-managers"), "shop-eu", "checkout", "nothing"),
        (access("alice", "release-managers"), "Shop", "checkout", "nothing"),
        (access("bob", "shop"), "shop", "checkout", "view"),
        (access("bob", "support", "release-managers"), "shop", "checkout", "decide"),
        (access("bob", "Release-Managers"), "shop", "checkout", "nothing"),
        (access("bob"), "shop", "checkout", "nothing"),
        (access("carol"), "shop", "checkout", "decide"),
        (access("carol"), "shop", "catalog", "nothing"),
        (access("Carol"), "shop", "checkout", "nothing"),
        # Who is called like a group is not in it, and a group that is called like somebody is nobody.
        (access("release-managers"), "shop", "checkout", "nothing"),
        (access("bob", "carol"), "shop", "checkout", "nothing"),
        # No group is everybody's but in the policy.
        (access("bob", "*"), "shop", "checkout", "nothing"),
        (access("bob", rules=[]), "shop", "checkout", "nothing"),
        (access("bob", rules=[rule("view", "*/*", groups=("*",))]), "shop", "checkout", "view"),
        (access("bob", rules=[rule("decide", "*/*", groups=("*",))]), "shop", "checkout", "decide"),
    ],
)
def test_everybody_may_what_a_rule_grants_and_nothing_else(
    who: Access, cluster: str, service: str, may: str
) -> None:
    expected = (may in {"view", "decide"}, may == "decide")
    assert (who.may_view(cluster, service), who.may_decide(cluster, service)) == expected


@pytest.mark.parametrize(
    ("pattern", "cluster", "service", "covers"),
    [
        ("shop/checkout", "shop", "checkout", True),
        ("shop/checkout", "shop", "checkout2", False),
        ("shop/checkout", "myshop", "checkout", False),
        ("shop/*", "shop", "checkout", True),
        ("*/checkout", "shop", "checkout", True),
        ("*/*", "shop", "checkout", True),
        ("*shop*/check*out", "eshop2", "checkout", True),
        ("shop/check?ut", "shop", "checkout", True),
        ("shop/checkout?", "shop", "checkout", False),
        ("sho?/checkout", "shop", "checkout", True),
        ("*/*", "shop", "a/b", False),
        ("*/*", "shop/a", "b", False),
        ("*/*", "", "b", False),
        ("*/*", "shop", "b\n", False),
        ("shop/*", "shop\n", "b", False),
    ],
)
def test_a_pattern_reaches_over_no_slash(pattern: str, cluster: str, service: str, covers: bool) -> None:
    assert access("bob", "releases", rules=[rule("view", pattern)]).may_view(cluster, service) is covers


_side = st.text("ab-_*?", min_size=1, max_size=8)
_name = st.text("ab-_", min_size=1, max_size=8)


@given(_side, _side, _name, _name)
def test_a_pattern_means_what_its_two_signs_say(left: str, right: str, cluster: str, service: str) -> None:
    signs = {"*": "[^/]*", "?": "[^/]"}
    expression = "".join(signs.get(character, re.escape(character)) for character in f"{left}/{right}")
    expected = re.fullmatch(expression, f"{cluster}/{service}") is not None
    covering = AccessRule.model_validate(rule("view", f"{left}/{right}"))
    assert covering.covers(cluster, service) is expected


def test_a_pattern_of_many_stars_is_judged_at_once() -> None:
    many = AccessRule.model_validate(rule("view", f"{'*a' * 127}b/*"))
    assert not many.covers("a" * 255, "checkout")


_group = st.sampled_from(["releases", "shop", "support", "everybody"])
_rules = st.lists(
    st.fixed_dictionaries(
        {
            "groups": st.lists(_group | st.just("*"), max_size=3).map(tuple),
            "people": st.lists(st.sampled_from(["alice", "bob"]), max_size=2).map(tuple),
            "services": st.lists(
                st.sampled_from(["shop/*", "*/checkout", "shop/catalog"]), min_size=1, max_size=3
            ).map(tuple),
            "may": st.sampled_from(["view", "decide"]),
        }
    ).filter(lambda rule: rule["groups"] or rule["people"]),
    max_size=4,
)
_services = st.tuples(st.sampled_from(["shop", "bank"]), st.sampled_from(["checkout", "catalog"]))


@given(_rules, _rules, st.lists(_group, unique=True), _services)
def test_whoever_may_decide_may_view_and_a_further_rule_only_grants(
    rules: list[dict[str, Any]], more: list[dict[str, Any]], groups: list[str], service: tuple[str, str]
) -> None:
    before, after = access("alice", *groups, rules=rules), access("alice", *groups, rules=rules + more)
    assert before.may_decide(*service) <= before.may_view(*service)
    assert before.may_decide(*service) <= after.may_decide(*service)
    assert before.may_view(*service) <= after.may_view(*service)


@given(_rules, st.lists(_group, unique=True), _services)
def test_whoever_is_written_down_is_in_those_groups_and_the_policy_names_them(
    rules: list[dict[str, Any]], groups: list[str], service: tuple[str, str]
) -> None:
    person = access("alice", *groups, rules=rules).person(*service, name="Alice")
    named = {group for rule in rules for group in rule["groups"]} - {"*"}
    expected = {f"oidc-group:{ISSUER}#{group}" for group in named.intersection(groups)}
    assert (person.identity, person.name, set(person.groups)) == (f"oidc:{ISSUER}#alice", "Alice", expected)
    assert person.is_well_formed


def test_the_groups_that_let_somebody_decide_come_first() -> None:
    rules = [
        rule("view", "shop/*", groups=("shop",)),
        rule("decide", "bank/*", groups=("bankers",)),
        rule("decide", "shop/*", groups=("releases",)),
    ]
    who = access("alice", "bankers", "releases", "shop", "unheard-of", rules=rules)
    assert who.person("shop", "checkout", "Alice") == Person(
        identity=f"oidc:{ISSUER}#alice",
        groups=(
            f"oidc-group:{ISSUER}#releases",
            f"oidc-group:{ISSUER}#shop",
            f"oidc-group:{ISSUER}#bankers",
        ),
        name="Alice",
    )


def test_a_group_that_is_called_like_the_sign_for_everybody_is_none() -> None:
    policy = access("alice", rules=[rule("view", "*/*", groups=("*", "shop"))]).policy
    assert policy.groups_named(["*", "shop", "unheard-of"]) == ("shop",)


def test_of_many_groups_none_is_left_out_and_those_that_let_decide_come_first() -> None:
    many = tuple(f"g{number:02}" for number in range(20))
    who = access(
        "alice", *many, rules=[rule("view", "a/*", groups=many), rule("decide", "shop/*", groups=("g19",))]
    )
    groups = who.person("shop", "checkout", "Alice").groups
    assert groups == tuple(f"oidc-group:{ISSUER}#{group}" for group in ("g19", *many[:-1]))


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("alice", True),
        ("Al Ice", True),
        ("\u00c4lice, O'Neil (ops) #1", True),
        ("/team/releases", True),
        ("x" * 256, True),
        ("x" * 257, False),
        ("", False),
        (" alice", False),
        ("alice ", False),
        ("ali\nce", False),
        ("ali\x00ce", False),
        ("ali\x9bce", False),
        ("ali\u202ece", False),
        ("ali\u200bce", False),
        ("ali\u2028ce", False),
        ("ali\u00a0ce", False),
        ("ali\ud800ce", False),
    ],
)
def test_a_name_has_nothing_in_it_that_cannot_be_seen(text: str, is_one: bool) -> None:
    assert is_name(text) is is_one
