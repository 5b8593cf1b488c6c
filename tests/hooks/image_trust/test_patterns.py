import json
import re
import time
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hooks.image_trust.finding import Digest, Rejected
from hooks.image_trust.image_glob import image_glob
from hooks.image_trust.pattern import MAX_TEXT_LENGTH, common, matches, overlap, specificity, tokens
from hooks.image_trust.reference import Reference
from rehearsal.runtime.lambda_python import ROOT

CASES = ROOT.parent / "shared" / "data" / "trust" / "policy-controller-glob" / "glob_cases.json"
A = Digest(f"sha256:{'a' * 64}")


@pytest.mark.parametrize(
    ("glob", "covered", "not_covered"),
    [
        ("shop", ["shop"], ["", "sho", "shops", "a/shop", "Shop"]),
        ("shop/*", ["shop/", "shop/web"], ["shop", "shop/web/v2", "shop/web/"]),
        ("shop/**", ["shop/", "shop/web", "shop/web/v2"], ["shop", "ashop/web"]),
        ("*", ["", "shop", "a.b-c_d"], ["/", "a/b"]),
        ("**", ["", "shop", "a/b/c"], []),
        ("*/web", ["/web", "shop/web"], ["web", "a/shop/web", "shop/web2"]),
        ("a*b*c", ["abc", "axbxc", "abbc"], ["ac", "a/bc", "abcd"]),
        ("a**b", ["ab", "a/b", "a/x/b/b"], ["a", "b", "ab/"]),
        ("***", ["", "a/b"], []),
        ("a.c", ["a.c"], ["abc", "a/c"]),
        ("[a-z]?", ["[a-z]?"], ["a", "ab"]),
    ],
)
def test_a_star_is_anything_but_a_slash_and_two_are_anything(
    glob: str, covered: list[str], not_covered: list[str]
) -> None:
    assert [text for text in covered if not matches(glob, text)] == []
    assert [text for text in not_covered if matches(glob, text)] == []


def test_globs_are_read_in_time_however_they_are_made() -> None:
    begun = time.process_time()
    text = "a" * MAX_TEXT_LENGTH
    for glob in ("*a" * 128 + "b", "**a" * 128 + "b", "*" * 500 + "b", "a*" * 256, "**/" * 100 + "b"):
        matches(glob, text)
        matches(glob, "a/" * (MAX_TEXT_LENGTH // 2))
    overlap("*a" * 60 + "b", "*a" * 60 + "c*")
    overlap("a" + "*ab" * 60 + "c", "a" + "*ba" * 60 + "c")

    assert time.process_time() - begun < 5


def test_no_glob_covers_a_text_that_nobody_would_write() -> None:
    assert matches("**", "a" * MAX_TEXT_LENGTH)
    assert not matches("**", "a" * (MAX_TEXT_LENGTH + 1))


# --- Against every text there is, of a small alphabet ------------------------------------------------

TEXTS = ["".join(letters) for length in range(6) for letters in product("a/b", repeat=length)]
GLOBS = st.lists(st.sampled_from(["a", "b", "/", "*", "**"]), max_size=5).map("".join)


def by_expression(glob: str) -> Callable[[str], Any]:
    """Match by Python's regular expressions: another's work, which may take long where this one must not."""
    parts = re.split(r"(\*+)", glob)
    return re.compile(
        "".join(
            part and (re.escape(part) if part[0] != "*" else "[^/]*" if part == "*" else ".*")
            for part in parts
        )
    ).fullmatch


@given(GLOBS)
def test_a_glob_covers_what_the_same_expression_does(glob: str) -> None:
    expression = by_expression(glob)

    assert [text for text in TEXTS if matches(glob, text)] == [text for text in TEXTS if expression(text)]


@settings(max_examples=300)
@given(GLOBS, GLOBS)
def test_two_globs_overlap_where_some_text_is_covered_by_both(one: str, other: str) -> None:
    both = [text for text in TEXTS if matches(one, text) and matches(other, text)]

    assert overlap(one, other) == overlap(other, one)
    found = common(tokens(one), tokens(other))
    if found is None:
        assert both == []
    else:
        assert matches(one, found)
        assert matches(other, found)


# Every glob of up to four tokens, and what it covers. A letter that is in no glob tells any two apart.
TELLING = ["".join(letters) for length in range(6) for letters in product("a/x", repeat=length)]
COVERED = {
    glob: frozenset(text for text in TELLING if matches(glob, text))
    for length in range(5)
    for glob in map("".join, product(("a", "/", "*", "**"), repeat=length))
    if "***" not in glob
}


def test_a_glob_that_covers_less_is_more_specific() -> None:
    wrong = [
        (less, more)
        for less, here in COVERED.items()
        for more, there in COVERED.items()
        if here and here < there and specificity(less) <= specificity(more)
    ]

    assert wrong == []


# --- Globs of images --------------------------------------------------------------------------------


def image(text: str) -> Reference:
    return Reference.parse(text)


ACCOUNT = "111122223333.dkr.ecr.eu-west-1.amazonaws.com"


@pytest.mark.parametrize(
    ("glob", "covered", "not_covered"),
    [
        # A repository: whatever its tag or digest.
        (
            "ghcr.io/example/shop",
            [
                "ghcr.io/example/shop",
                "ghcr.io/example/shop:1.0",
                f"ghcr.io/example/shop@{A}",
                f"ghcr.io/example/shop:1@{A}",
                "GHCR.io:443/example/shop",
            ],
            [
                "ghcr.io/example/shop/web",
                "ghcr.io/example/shops",
                "ghcr.io/example",
                "example/shop",
                "ghcr.io:8443/example/shop",
                "ghcr.io.evil.example/example/shop",
            ],
        ),
        (
            "docker.io/library/nginx",
            ["nginx", "docker.io/nginx:1", "index.docker.io/library/nginx"],
            ["x/nginx"],
        ),
        ("docker.io/nginx", ["nginx", "registry-1.docker.io/library/nginx"], ["example/nginx"]),
        ("index.docker.io/*", ["nginx", "docker.io/nginx"], ["example/nginx"]),
        ("docker.io/**", ["nginx", "example/nginx"], ["ghcr.io/nginx"]),
        # Within the host, a star is a label.
        (
            "111122223333.dkr.ecr.*.amazonaws.com/shop/**",
            [
                f"{ACCOUNT}/shop/web",
                f"{ACCOUNT}/shop/a/b",
                "111122223333.dkr-ecr.us-east-1.on.aws/shop/web",
                "111122223333.dkr.ecr-fips.us-east-1.amazonaws.com/shop/web",
            ],
            [
                f"{ACCOUNT}/shop",
                "111122223333.dkr.ecr.x.s3.amazonaws.com/shop/web",
                "111122223333.dkr.ecr.evil.amazonaws.com/shop/web",
                "444455556666.dkr.ecr.eu-west-1.amazonaws.com/shop/web",
                "111122223333.dkr.ecr.amazonaws.com/shop/web",
                "111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn/shop/web",
                f"evil.example/{ACCOUNT}/shop/web",
            ],
        ),
        (
            "*.dkr.ecr.*.amazonaws.com/**",
            [f"{ACCOUNT}/a", "444455556666.dkr.ecr.eu-west-1.amazonaws.com/a"],
            ["a.444455556666.dkr.ecr.eu-west-1.amazonaws.com/a", "evil.example/a"],
        ),
        ("111122223333.dkr-ecr.*.on.aws/shop", [f"{ACCOUNT}/shop"], [f"{ACCOUNT}/shop/web"]),
        ("*.example/*", ["a.example/b"], ["a.b.example/b", "example.evil/b", "a.example/b/c"]),
        ("ecr-public.aws.com/a/*", ["public.ecr.aws/a/b", "ecr-public.aws.com/a/b"], ["public.ecr.aws/b/b"]),
        ("[::1]:5000/*", ["[::1]:5000/a"], ["[::1]/a", "[::2]:5000/a"]),
        ("**/nginx", ["nginx", "a.b/nginx", "a.b/c/nginx"], ["a.b/nginx2"]),
        # A tag: references by such a tag, and never one that has a digest beside it.
        (
            "ghcr.io/example/*:1.*",
            ["ghcr.io/example/shop:1.0", "ghcr.io/example/shop:1.x"],
            [
                "ghcr.io/example/shop",
                "ghcr.io/example/shop:10",
                f"ghcr.io/example/shop:1.0@{A}",
                f"ghcr.io/example/shop@{A}",
            ],
        ),
        ("**:latest", ["nginx", "a.b/c:latest"], ["nginx:1", f"nginx@{A}", f"nginx:latest@{A}"]),
        ("a.b:5000/c:*", ["a.b:5000/c:1"], [f"a.b:5000/c@{A}", "a.b/c:1"]),
        # A star in the name is no tag.
        ("ghcr.io/example/*-prod", ["ghcr.io/example/a-prod"], ["ghcr.io/example/a:b-prod"]),
        ("ghcr.io/example/shop*", ["ghcr.io/example/shops:1"], ["ghcr.io/example/a:shop"]),
        (
            "ghcr.io/example/shop@sha256:a*",
            [f"ghcr.io/example/shop@{A}", f"ghcr.io/example/shop:1@{A}"],
            ["ghcr.io/example/shop:a", "ghcr.io/example/shop", f"ghcr.io/example/shop@sha256:{'b' * 64}"],
        ),
    ],
)
def test_a_glob_of_images_covers(glob: str, covered: list[str], not_covered: list[str]) -> None:
    read = image_glob(glob)

    assert [text for text in covered if not read.covers(image(text))] == []
    assert [text for text in not_covered if read.covers(image(text))] == []


@pytest.mark.parametrize(
    ("glob", "said"),
    [
        ("[a-z]*", "is no glob of images"),
        ("ghcr.io/{a,b}", "is no glob of images"),
        ("ghcr.io/a?", "is no glob of images"),
        ("!ghcr.io/a", "is no glob of images"),
        ("ghcr.io/a b", "is no glob of images"),
        ("ghcr.io/a:1:2", "is no glob of images"),
        ("ghcr.io/a@b@c", "is no glob of images"),
        (f"ghcr.io/a:1@{A}", "is no glob of images"),
        ("ghcr.io/a:", "is no glob of images"),
        ("", "is no glob of images"),
        ("ghcr.io/Example/*", "hosts and repositories have no capitals"),
        ("*", "names no registry; of Docker Hub's it would be docker.io/library/*"),
        ("nginx", "names no registry; of Docker Hub's it would be docker.io/library/nginx"),
        ("*/*", "names no registry; of Docker Hub's it would be docker.io/*/*"),
        ("example/*", "names no registry; of Docker Hub's it would be docker.io/example/*"),
    ],
)
def test_a_glob_of_images_that_could_cover_none_is_refused(glob: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        image_glob(glob)


@pytest.mark.parametrize(
    ("glob", "names_registry"),
    [
        ("ghcr.io/**", True),
        ("index.docker.io/a/*", True),
        ("[::1]:5000/*", True),
        ("*.azurecr.io/a", False),
        ("**", False),
        ("**/a", False),
        ("**.ghcr.io/a", False),
        ("localhost:*/a", False),
        # In ECR the account is who is asked; its Regions are all AWS.
        ("111122223333.dkr.ecr.*.amazonaws.com/a", True),
        ("111122223333.dkr-ecr.*.on.aws/a", True),
        ("*.dkr.ecr.eu-west-1.amazonaws.com/a", False),
        ("1111*.dkr.ecr.eu-west-1.amazonaws.com/a", False),
        ("111122223333.dkr.ecr.**.amazonaws.com/a", False),
        ("111122223333.dkr.*.eu-west-1.amazonaws.com/a", False),
    ],
)
def test_a_glob_names_a_registry_where_it_leaves_no_choice(glob: str, names_registry: bool) -> None:
    assert image_glob(glob).names_registry is names_registry


@pytest.mark.parametrize(
    ("more", "less"),
    [
        ("ghcr.io/example/shop", "ghcr.io/example/*"),
        ("ghcr.io/example/*", "ghcr.io/example/**"),
        ("ghcr.io/example/*", "ghcr.io/**"),
        ("ghcr.io/example/shop:1.*", "ghcr.io/example/shop"),
        ("ghcr.io/**", "**"),
        ("111122223333.dkr.ecr.*.amazonaws.com/**", "*.dkr.ecr.*.amazonaws.com/**"),
        # However its registry is called.
        ("docker.io/library/ngin*", "index.docker.io/library/**"),
        ("111122223333.dkr.ecr.eu-west-1.amazonaws.com/a*", "111122223333.dkr-ecr-fips.eu-west-1.on.aws/**"),
    ],
)
def test_what_covers_less_comes_first(more: str, less: str) -> None:
    assert image_glob(more).specificity > image_glob(less).specificity


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ("ghcr.io/a/*-web", "ghcr.io/a/web-*", "ghcr.io/a/web-web"),
        ("index.docker.io/library/*", "docker.io/*", "docker.io/library/"),
        ("111122223333.dkr-ecr.*.on.aws/a", "*.dkr.ecr.eu-west-1.amazonaws.com/a", f"{ACCOUNT}/a"),
        ("ghcr.io/a:1.*", "ghcr.io/a:*.1", "ghcr.io/a:1.1"),
        ("ghcr.io/a:1.*", "ghcr.io/a", "ghcr.io/a:1."),
        ("ghcr.io/a:1", "ghcr.io/a:2", None),
        ("ghcr.io/a:*", "ghcr.io/a@*", None),
        ("ghcr.io/a", "ghcr.io/b", None),
        ("*.example/a", "a.b.example/a", None),
        ("111122223333.dkr.ecr.*.amazonaws.com/a", "444455556666.dkr.ecr.*.amazonaws.com/a", None),
    ],
)
def test_globs_of_images_overlap(one: str, other: str, both: str | None) -> None:
    assert image_glob(one).overlap(image_glob(other)) == both


def test_most_globs_are_told_apart_at_once() -> None:
    assert image_glob("ghcr.io/a/*").steps_beside(image_glob("ghcr.io/b/*")) == 0
    assert (
        image_glob(f"{ACCOUNT}/team-a/**").steps_beside(image_glob("*.dkr.ecr.*.amazonaws.com/team-b/**"))
        == 0
    )
    assert image_glob("ghcr.io/**/b").steps_beside(image_glob("ghcr.io/a/*/c")) == 0
    assert image_glob("ghcr.io/*b").steps_beside(image_glob("ghcr.io/a*")) == 100


# --- Beside policy-controller -----------------------------------------------------------------------


def is_short(case: dict[str, Any]) -> bool:
    """Return whether a glob without a registry is to match an image without one: deprecated there."""
    host, slash, _ = case["glob"].partition("/")
    return not slash or not ("." in host or ":" in host or host == "localhost")


def is_of_any_tag(case: dict[str, Any]) -> bool:
    """Return whether a glob says nothing of tags: here it is for all of them, there for none."""
    return ":" not in case["glob"].rpartition("/")[2] and "@" not in case["glob"]


def is_docker_hub(case: dict[str, Any]) -> bool:
    """Return whether a glob calls Docker Hub docker.io, which is index.docker.io there."""
    return str(case["glob"]).startswith("docker.io/")


@pytest.mark.skipif(not CASES.exists(), reason="shared/data/trust/policy-controller-glob is not there")
def test_globs_cover_what_policy_controller_s_do_but_where_the_documentation_says_otherwise() -> None:
    cases = json.loads(CASES.read_text())["cases"]
    stricter = []
    for case in cases:
        try:
            covered, refused = image_glob(case["glob"]).covers(Reference.parse(case["image"])), False
        except (ValueError, Rejected):
            covered, refused = False, True
        if case["error"]:
            assert refused, case["name"]
        elif case["match"] and not covered:
            assert is_short(case), case["name"]
            stricter.append(case["name"])
        elif covered and not case["match"]:
            assert is_of_any_tag(case) or is_docker_hub(case), case["name"]

    # A case that is not here is of the same kind; those that are stand on the page by name.
    listed = set(re.findall(r"`([^`|\s]+\|[^`|\s]+)`", (ROOT / "docs" / "image-policy.md").read_text()))
    assert len(listed) == 3
    assert listed <= set(stricter)
