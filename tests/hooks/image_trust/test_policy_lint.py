import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hooks.image_trust.lint import Level, Note, lint
from hooks.image_trust.policy import Policy

A, B = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
ECR = "111122223333.dkr.ecr.*.amazonaws.com"
PROFILE = "arn:aws:signer:eu-west-1:111122223333:/signing-profiles/release"
KMS = "arn:aws:kms:eu-west-1:111122223333:key/1234"
PINNED = {"pinned": {"digests": [A]}}
RELEASE = {"cosign": {"key": "release"}}
GITHUB = "https://token.actions.githubusercontent.com"
WORKFLOW = "https://github.com/example/shop/.github/workflows/release.yml@refs/heads/main"
FINGERPRINT = "c" * 64


def pem() -> str:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


PEM = pem()
TRUST = {
    "keys": {
        "release": {"kms": KMS},
        "also release": {"kms": KMS},
        "review": {"pem": PEM},
        "also review": {"pem": PEM},
        "build": {"pem": pem()},
    },
    "roots": {
        name: {"source": "ssm:/root", "sha256": sha256, "fetched": NOON, "maxAgeDays": 90}
        for name, sha256 in (("public", "d" * 64), ("also public", "d" * 64), ("own", "e" * 64))
    },
    "stores": {
        "ca": {"type": "ca", "fingerprints": [FINGERPRINT]},
        "also ca": {"type": "ca", "fingerprints": [FINGERPRINT, "f" * 64]},
        "other ca": {"type": "ca", "fingerprints": ["1" * 64]},
        "tsa": {"type": "tsa", "fingerprints": [FINGERPRINT]},
        "signer": {"type": "signingAuthority", "fingerprints": [FINGERPRINT]},
    },
}


def rule(
    require: Any = PINNED, images: Sequence[str] = ("ghcr.io/example/shop",), **more: Any
) -> dict[str, Any]:
    return {"name": "r", "match": {"images": images}, "require": require, **more}


def policy(*rules: dict[str, Any], **more: Any) -> Policy:
    named = [
        {**one, "name": one["name"] if one["name"] != "r" else f"r{number}"}
        for number, one in enumerate(rules)
    ]
    return Policy.model_validate({"version": 1, "name": "p", "rules": named, "trust": TRUST, **more})


def notes(found: Policy, level: Level, now: datetime | None = None) -> list[str]:
    """Return what is said at a level, but that something trusted is named by no rule."""
    return [
        note.sentence
        for note in lint(found, now=now)
        if note.level is level and not note.text.endswith("is named by no rule")
    ]


def errors(*rules: dict[str, Any], **more: Any) -> list[str]:
    return notes(policy(*rules, **more), Level.ERROR)


def warnings(*rules: dict[str, Any], now: datetime | None = None, **more: Any) -> list[str]:
    found = policy(*rules, **more)
    assert notes(found, Level.ERROR) == []
    return notes(found, Level.WARNING, now)


def test_there_is_nothing_to_say_of_a_policy_that_is_as_it_should_be() -> None:
    found = policy(rule(RELEASE), trust={"keys": {"release": {"kms": KMS}}})

    assert lint(found, now=NOON) == ()


def test_errors_come_first_then_what_is_about_the_whole_then_rules_in_their_order() -> None:
    found = policy(
        rule(mode="observe"),
        rule(PINNED, ["https://ghcr.io/x"]),
        rule(PINNED, ["ghcr.io/-"]),
        trust={"keys": {"release": {"kms": KMS}}},
    )

    assert lint(found) == (
        Note(Level.ERROR, "r1", "https://ghcr.io/x covers no image, because none can be called so"),
        Note(Level.ERROR, "r2", "ghcr.io/- covers no image, because none can be called so"),
        Note(Level.WARNING, None, "trust.keys.release is named by no rule"),
        Note(Level.WARNING, "r0", "only observes: it refuses nothing"),
    )


# --- Which rule decides -----------------------------------------------------------------------------


def pair(
    one: Sequence[str],
    other: Sequence[str],
    ours: dict[str, Any] | None = None,
    theirs: dict[str, Any] | None = None,
) -> list[str]:
    return errors(
        {**rule(images=one), "match": {"images": one, **(ours or {})}},
        {**rule(images=other), "match": {"images": other, **(theirs or {})}},
    )


TIE = "rule 'r0': as specific as rule 'r1', so that neither decides on"


@pytest.mark.parametrize(
    ("one", "other", "ours", "theirs", "said"),
    [
        (["ghcr.io/a"], ["ghcr.io/a"], {}, {}, [f"{TIE} images ghcr.io/a"]),
        (
            ["docker.io/nginx"],
            ["index.docker.io/library/nginx"],
            {},
            {},
            [
                f"{TIE} images that both docker.io/nginx and index.docker.io/library/nginx cover "
                "(docker.io/library/nginx is "
                "one)"
            ],
        ),
        (
            ["ghcr.io/a/*-web"],
            ["ghcr.io/a/web-*"],
            {},
            {},
            [f"{TIE} images that both ghcr.io/a/*-web and ghcr.io/a/web-* cover (ghcr.io/a/web-web is one)"],
        ),
        (["ghcr.io/b", "ghcr.io/a"], ["ghcr.io/a", "ghcr.io/c"], {}, {}, [f"{TIE} images ghcr.io/a"]),
        (
            ["ghcr.io/a"],
            ["ghcr.io/a"],
            {"containers": ["a*"]},
            {"containers": ["*b"]},
            [f"{TIE} images ghcr.io/a, containers that both a* and *b cover"],
        ),
        (
            ["ghcr.io/a"],
            ["ghcr.io/a"],
            {"services": ["a/*"]},
            {"services": ["*/b"]},
            [f"{TIE} images ghcr.io/a, services that both a/* and */b cover"],
        ),
        (
            ["ghcr.io/a"],
            ["ghcr.io/a"],
            {"containers": ["web", "*"]},
            {"containers": ["*"]},
            [f"{TIE} images ghcr.io/a"],
        ),
        (
            ["111122223333.dkr-ecr.eu-west-1.on.aws/a"],
            ["111122223333.dkr.ecr-fips.eu-west-1.amazonaws.com/a"],
            {},
            {},
            [
                f"{TIE} images that both 111122223333.dkr-ecr.eu-west-1.on.aws/a and "
                "111122223333.dkr.ecr-fips.eu-west-1.amazonaws.com/a cover "
                "(111122223333.dkr.ecr.eu-west-1.amazonaws.com/a is one)"
            ],
        ),
        # One comes before the other, or they never meet.
        (["ghcr.io/a/*"], ["ghcr.io/a/b"], {}, {}, []),
        (["ghcr.io/a/*"], ["ghcr.io/a/**"], {}, {}, []),
        (["ghcr.io/a/*"], ["ghcr.io/b/*"], {}, {}, []),
        (["ghcr.io/a"], ["ghcr.io/a"], {"containers": ["web"]}, {}, []),
        (["ghcr.io/a"], ["ghcr.io/a"], {"containers": ["web"]}, {"containers": ["log"]}, []),
        (["ghcr.io/a"], ["ghcr.io/a"], {"services": ["shop/**"]}, {}, []),
        (["ghcr.io/a"], ["ghcr.io/a"], {"services": ["shop/**"]}, {"services": ["cart/**"]}, []),
    ],
)
def test_two_rules_that_are_equally_specific_for_some_container_are_an_error(
    one: list[str], other: list[str], ours: dict[str, Any], theirs: dict[str, Any], said: list[str]
) -> None:
    assert pair(one, other, ours, theirs) == said


def test_tags_tell_rules_apart() -> None:
    tags = {"references": {"requireDigest": False}}

    assert errors(rule(images=["ghcr.io/a:1.*"]), rule(images=["ghcr.io/a:2.*"]), **tags) == []
    assert errors(rule(images=["ghcr.io/a:1.*"]), rule(images=["ghcr.io/a"]), **tags) == []
    assert errors(rule(images=["ghcr.io/a:1*"]), rule(images=["ghcr.io/a:*1"]), **tags) == [
        f"{TIE} images that both ghcr.io/a:1* and ghcr.io/a:*1 cover (ghcr.io/a:1 is one)"
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "111122223333.dkr.ecr.cn-*.amazonaws.com/a",
            "111122223333.dkr.ecr.cn-*.amazonaws.com/a covers no image, because none can be called so",
        ),
        (
            "111122223333.dkr.ecr.zz*.amazonaws.com/a",
            "111122223333.dkr.ecr.zz*.amazonaws.com/a covers no image, because none can be called so",
        ),
        ("ghcr.io//a", "ghcr.io//a covers no image, because none can be called so"),
        ("ghcr.io/a/", "ghcr.io/a/ covers no image, because none can be called so"),
        ("ghcr.io/a-/*", "ghcr.io/a-/* covers no image, because none can be called so"),
        ("ghcr_io.x/a", "ghcr_io.x/a covers no image, because none can be called so"),
        ("ghcr.io/a:.b*", "ghcr.io/a:.b* covers no image, because none can be called so"),
        ("ghcr.io/a@sha512:*", "ghcr.io/a@sha512:* covers no image, because none can be called so"),
        (
            "11112222333.dkr.ecr.*.amazonaws.com/a",
            "11112222333.dkr.ecr.*.amazonaws.com/a is no host of ECR: an account has 12 digits, and a "
            "Region its own domain",
        ),
        (
            "111122223333.dkr.ecr.eu-west-1.amazonaws.com.cn/a",
            "111122223333.dkr.ecr.eu-west-1.amazonaws.com.cn/a is no host of ECR: an account has 12 digits, "
            "and a Region "
            "its own domain",
        ),
        (
            "ghcr.io/a:1.*",
            "ghcr.io/a:1.* covers tags, and references.requireDigest refuses whatever is named by one",
        ),
    ],
)
def test_a_glob_that_covers_nothing_is_an_error(text: str, said: str) -> None:
    assert errors(rule(images=[text])) == [f"rule 'r0': {said}"]


@pytest.mark.parametrize(
    "text",
    [
        "ghcr.io/a",
        "ghcr.io/*",
        "ghcr.io/**",
        "**",
        "**/a",
        "*.example/*",
        "ghcr.io/a-*",
        "ghcr.io/*-a",
        "ghcr.io/a*b",
        "*.dkr.ecr.*.amazonaws.com/**",
        "1111*.dkr.ecr.us-gov-*.amazonaws.com/a",
        "11*22*.dkr-ecr.*-1.on.aws/a",
        "111122223333.dkr.ecr.*west*.amazonaws.com/a",
        "*.dkr.ecr.*.amazonaws.com.cn/a",
        "111122223333.dkr.ecr.*.amazonaws.eu/a",
        "111122223333.dkr.ecr.us-isof-*.csp.hci.ic.gov/a",
        "[::1]:5000/*",
        "localhost:*/a",
        "ghcr.io/a@sha256:*",
        "ghcr.io/*/a",
        "ghcr.io/**/a",
    ],
)
def test_a_glob_that_covers_something_is_none(text: str) -> None:
    assert errors(rule(images=[text])) == []


@pytest.mark.parametrize(
    ("match", "said"),
    [
        ({"containers": ["web server"]}, None),
        (
            {"containers": ["web.server"]},
            "'web.server' covers no container: their names are letters, digits, _ and -",
        ),
        (
            {"containers": ["web", "[ab]"]},
            "'[ab]' covers no container: their names are letters, digits, _ and -",
        ),
        ({"services": ["shop"]}, "'shop' covers no service: they are called cluster/service"),
        ({"services": ["*"]}, "'*' covers no service: they are called cluster/service"),
        ({"services": ["a/b/c", "a/b"]}, "'a/b/c' covers no service: they are called cluster/service"),
    ],
)
def test_containers_and_services_that_nothing_is_called_are_an_error(
    match: dict[str, Any], said: str | None
) -> None:
    if said is None:
        with pytest.raises(ValueError, match="should match pattern"):
            policy({**rule(), "match": {"images": ["a.b/c"], **match}})
    else:
        assert errors({**rule(), "match": {"images": ["a.b/c"], **match}}) == [f"rule 'r0': {said}"]


@pytest.mark.parametrize(
    ("one", "other", "match", "is_reached"),
    [
        ("**", "**/**", {}, False),
        ("ghcr.io/**", "**.**/**", {}, True),
        ("*.example/*", "**.**/**", {}, True),
        ("ghcr.io/a/**", "ghcr.io/a/b", {}, True),
        ("ghcr.io/a/**", "ghcr.io/a/*", {}, True),
        # What is more specific is not for all the containers, or services.
        ("**", "**/**", {"containers": ["web"]}, True),
        ("**", "**/**", {"services": ["shop/**"]}, True),
    ],
)
def test_a_rule_before_which_another_always_comes_is_an_error(
    one: str, other: str, match: dict[str, Any], is_reached: bool
) -> None:
    found = errors(rule(images=[one]), {**rule(), "match": {"images": [other], **match}})

    assert found == (
        []
        if is_reached
        else [f"rule 'r0': {one} decides nothing: wherever it covers, rule 'r1' is more specific"]
    )


def test_rules_are_told_apart_in_time_or_not_at_all() -> None:
    begun = time.process_time()
    # All equally specific, alike to their last characters, and never the same.
    alike = [f"ghcr.io/**{letter}{'x' * 80}" for letter in "abcdefghijklmnopqrstuvw0123456789"]
    found = errors(*(rule(images=[text]) for text in alike))
    starred = errors(*(rule(images=[f"ghcr.io/{n}-{m}/*" for m in range(100)]) for n in range(4)))

    assert found == ["its globs of images are too much alike to be told apart; split the policy"]
    assert starred == ["more than 300 globs of images have stars; split the policy"]
    assert time.process_time() - begun < 10


@pytest.mark.thorough
def test_a_policy_as_large_as_it_may_be_takes_no_time() -> None:
    begun = time.process_time()
    rules = [
        rule(images=[f"{ECR}/team{n}/{m}/**" for m in range(3)] + [f"ghcr.io/team{n}/{m}" for m in range(97)])
        for n in range(100)
    ]

    assert errors(*rules) == []
    assert time.process_time() - begun < 20


# --- "n of m" ---------------------------------------------------------------------------------------


def keyless(**changes: Any) -> dict[str, Any]:
    said = {"root": "public", "issuer": GITHUB, "identity": WORKFLOW, **changes}
    return {"keyless": {key: value for key, value in said.items() if value is not None}}


def notation(*identities: str, store: str = "ca") -> dict[str, Any]:
    return {"notation": {"stores": [store], "identities": identities}}


def attested(
    by: dict[str, Any], predicate: str = "https://slsa.dev/provenance/v1", **where: Any
) -> dict[str, Any]:
    clauses = [{"path": path, "equals": value} for path, value in where.items()]
    return {"attestation": {"predicateType": predicate, "signedBy": by, "where": clauses}}


ALICE, BOB = "x509.subject: C=US, ST=WA, O=a, CN=alice", "x509.subject: C=US, ST=WA, O=a, CN=bob"
RELEASE_TEAM = "x509.subject: C=US, ST=WA, O=a, OU=release"
REVIEW, BUILD = {"cosign": {"key": "review"}}, {"cosign": {"key": "build"}}


@pytest.mark.parametrize(
    ("one", "other", "twice"),
    [
        (RELEASE, RELEASE, True),
        (RELEASE, {"cosign": {"key": "also release"}}, True),
        (REVIEW, {"cosign": {"key": "also review"}}, True),
        (REVIEW, {"cosign": {"key": "review", "formats": ["tag"]}}, True),
        (RELEASE, {"cosign": {"key": "release", "annotations": {"a": "1"}}}, True),
        (REVIEW, BUILD, False),
        (RELEASE, REVIEW, False),
        (
            {"cosign": {"key": "release", "annotations": {"a": "1"}}},
            {"cosign": {"key": "release", "annotations": {"a": "2"}}},
            False,
        ),
        (keyless(), keyless(), True),
        (keyless(), keyless(root="also public"), True),
        (keyless(), keyless(root="own"), False),
        (keyless(), keyless(issuer="https://gitlab.com"), False),
        (keyless(), keyless(identity=WORKFLOW + "2"), False),
        (keyless(), keyless(identity=None, identityPattern="https://github.com/example/**"), True),
        (
            keyless(identity=None, identityPattern="https://github.com/example/*/**"),
            keyless(identity=None, identityPattern="https://github.com/example/shop**"),
            True,
        ),
        (keyless(), keyless(identity=None, identityPattern="https://github.com/other/**"), False),
        (keyless(), keyless(issuer=None, issuerPattern="https://*.githubusercontent.com"), True),
        (keyless(sourceRef="refs/heads/*"), keyless(sourceRef="refs/tags/*"), False),
        (
            keyless(sourceRepository="https://github.com/a/b"),
            keyless(sourceRepository="https://github.com/a/c"),
            False,
        ),
        (keyless(sourceRepository="https://github.com/a/b"), keyless(), True),
        # A star in an identity is a star.
        (keyless(identity="a*c"), keyless(identity="abc"), False),
        (notation(ALICE), notation(ALICE), True),
        (notation(ALICE), notation(BOB), False),
        (notation(ALICE), notation(ALICE, store="other ca"), False),
        (notation(ALICE), notation(ALICE, store="also ca"), True),
        (notation(ALICE), notation("*"), True),
        (notation(ALICE), notation(RELEASE_TEAM), True),
        ({"awsSigner": {"profiles": [PROFILE]}}, {"awsSigner": {"profiles": [PROFILE + "2", PROFILE]}}, True),
        (
            {"awsSigner": {"profiles": [PROFILE]}},
            {"awsSigner": {"profiles": [PROFILE + "/ABCDE12345"]}},
            True,
        ),
        (
            {"awsSigner": {"profiles": [PROFILE]}},
            {"awsSigner": {"profiles": [PROFILE.replace("rel", "REL")]}},
            True,
        ),
        ({"awsSigner": {"profiles": [PROFILE]}}, {"awsSigner": {"profiles": [PROFILE + "2"]}}, False),
        (
            {"awsSigner": {"profiles": [PROFILE + "/ABCDE12345"]}},
            {"awsSigner": {"profiles": [PROFILE + "/FGHIJ67890"]}},
            False,
        ),
        (attested(RELEASE), attested(RELEASE), True),
        (attested(RELEASE), attested({"cosign": {"key": "also release"}}), True),
        (attested(RELEASE, a=1, b=2), attested(RELEASE, b=2, a=1), True),
        (attested(RELEASE), attested(RELEASE, "https://spdx.dev/Document"), False),
        (attested(RELEASE), attested(RELEASE, a=1), False),
        (attested(RELEASE), attested(REVIEW), False),
        (attested(keyless()), attested(keyless(root="also public")), True),
        (attested(RELEASE), RELEASE, False),
        (PINNED, {"pinned": {"digests": [B, A]}}, True),
        (PINNED, {"pinned": {"digests": [B]}}, False),
        # Of a branch that one of its leaves fulfils.
        ({"anyOf": [REVIEW, BUILD]}, REVIEW, True),
        ({"atLeast": {"n": 1, "of": [REVIEW, BUILD]}}, {"anyOf": [RELEASE, REVIEW]}, True),
        ({"allOf": [{"allOf": [REVIEW]}]}, REVIEW, True),
        ({"anyOf": [REVIEW, BUILD]}, RELEASE, False),
        ({"allOf": [REVIEW, BUILD]}, REVIEW, False),
    ],
)
def test_what_one_signature_fulfils_twice_is_counted_once(
    one: dict[str, Any], other: dict[str, Any], twice: bool
) -> None:
    third = {"cosign": {"key": "build"}} if "build" not in str((one, other)) else {"pinned": {"digests": [B]}}
    both = {"atLeast": {"n": 2, "of": [one, third, other]}}
    said = (
        "rule 'r0': atLeast 2 of 3: the same signature can fulfil requirements 1 and 3, and would be counted "
        "twice"
    )
    expected = [said] if twice else []

    assert errors(rule(both)) == expected
    assert errors(rule({"allOf": [{"anyOf": [both, REVIEW]}]})) == expected
    # Where one is enough, nothing is counted twice.
    assert errors(rule({"atLeast": {"n": 1, "of": [one, third, other]}})) == []


# --- Whom to ask ------------------------------------------------------------------------------------

ASKING = [
    RELEASE, keyless(), notation(ALICE), {"awsSigner": {"profiles": [PROFILE]}}, attested(RELEASE, a=1),
    {"anyOf": [PINNED, RELEASE]},
]  # fmt: skip


@pytest.mark.parametrize("require", ASKING)
def test_signatures_are_asked_of_registries_that_the_policy_spells_out(require: dict[str, Any]) -> None:
    open_ = "is asked for signatures, and whoever deploys would choose; spell the"
    for text in ("ghcr.io/a", f"{ECR}/a", "111122223333.dkr.ecr.eu-*.amazonaws.com/a"):
        assert errors(rule(require, [text])) == []
    for text in ("*.example/a", "**", "**/a", "ghcr.**", "*.azurecr.io/a", "localhost:*/a"):
        assert errors(rule(require, [text])) == [
            f"rule 'r0': {text} leaves open which registry {open_} registry out"
        ]
    for text in ("*.dkr.ecr.*.amazonaws.com/a", "1111*.dkr.ecr.eu-west-1.amazonaws.com/a"):
        assert errors(rule(require, [text])) == [
            f"rule 'r0': {text} leaves open which account {open_} account out"
        ]


def test_what_is_pinned_is_asked_of_nobody() -> None:
    assert errors(rule(PINNED, ["**"])) == []
    assert errors(rule(PINNED, ["*.dkr.ecr.*.amazonaws.com/**"])) == []


def test_registries_that_are_listed_may_be_asked_for_everything() -> None:
    only = "rule 'r0': **: only registries that the policy names are asked for signatures"

    assert warnings(rule(RELEASE, ["**"]), registries={"registry.example": {}}) == [only]
    assert warnings(rule(RELEASE, ["registry.example/**"]), registries={"registry.example": {}}) == []


@pytest.mark.parametrize(
    ("require", "image", "why"),
    [
        ({"ecr": {"tagImmutability": "required"}}, "ghcr.io/a/b", "ecr is said by ECR alone"),
        ({"allOf": [RELEASE, {"ecr": {"maxImageAgeDays": 5}}]}, "ghcr.io/a/b", "ecr is said by ECR alone"),
        ({"registry": {"accounts": ["111122223333"]}}, "ghcr.io/a/b", "registry names other places"),
        ({"registry": {"regions": ["eu-west-1"]}}, "ghcr.io/a/b", "registry names other places"),
        ({"registry": {"accounts": ["444455556666"]}}, f"{ECR}/a", "registry names other places"),
        (
            {"registry": {"regions": ["eu-west-1"]}},
            "111122223333.dkr.ecr.us-*.amazonaws.com/a",
            "registry names other places",
        ),
        ({"registry": {"repositories": ["b/**"]}}, "ghcr.io/a/*", "registry names other places"),
        ({"anyOf": [RELEASE, {"ecr": {"maxImageAgeDays": 5}}]}, "ghcr.io/a/b", None),
        (
            {"atLeast": {"n": 2, "of": [RELEASE, REVIEW, {"ecr": {"maxImageAgeDays": 5}}]}},
            "ghcr.io/a/b",
            None,
        ),
        ({"registry": {"accounts": ["444455556666", "111122223333"]}}, f"{ECR}/a", None),
        ({"registry": {"regions": ["eu-west-1"]}}, f"{ECR}/a", None),
        ({"registry": {"repositories": ["a/b*"]}}, "ghcr.io/a/*c", None),
        ({"allOf": [PINNED, {"registry": {"accounts": ["111122223333"]}}]}, "**", None),
    ],
)
def test_what_can_never_hold_for_an_image_is_an_error(
    require: dict[str, Any], image: str, why: str | None
) -> None:
    assert errors(rule(require, [image])) == (
        [f"rule 'r0': what it requires can never hold for {image}: {why}"] if why else []
    )


def test_aws_signer_outside_ecr_can_t_be_waited_for() -> None:
    assert warnings(rule({"awsSigner": {"profiles": [PROFILE]}}, ["ghcr.io/a"])) == [
        "rule 'r0': outside ECR, as with ghcr.io/a, nothing says that AWS Signer is still signing: a "
        "deployment right "
        "after a push is refused instead of waiting"
    ]


# --- What anybody can fulfil ------------------------------------------------------------------------

ANYWHERE = {"registry": {}}
OURS = {"registry": {"accounts": ["111122223333"]}}
IMMUTABLE = {"ecr": {"tagImmutability": "required"}}


@pytest.mark.parametrize(
    ("require", "image", "said"),
    [
        # The sample that AWS publishes.
        (
            ANYWHERE,
            "*.dkr.ecr.*.amazonaws.com/**",
            "*.dkr.ecr.*.amazonaws.com/** lets in images of any AWS account, with nothing proven; name the "
            "account",
        ),
        (
            ANYWHERE,
            "1111*.dkr.ecr.eu-west-1.amazonaws.com/a",
            "1111*.dkr.ecr.eu-west-1.amazonaws.com/a lets in images of any AWS account, with nothing proven; "
            "name the "
            "account",
        ),
        (
            {"anyOf": [RELEASE, ANYWHERE]},
            "docker.io/**",
            "docker.io/** lets in whatever anybody has pushed to docker.io, with nothing proven",
        ),
        (
            {"atLeast": {"n": 2, "of": [ANYWHERE, RELEASE, {"registry": {"repositories": ["**"]}}]}},
            "quay.io/*/*",
            "quay.io/*/* lets in whatever anybody has pushed to quay.io, with nothing proven",
        ),
        (ANYWHERE, "**", "** lets in images of any registry, with nothing proven"),
        (ANYWHERE, "*.example/a", "*.example/a lets in images of any registry, with nothing proven"),
        (
            ANYWHERE,
            "registry.example/**",
            "registry.example/** lets in whatever anybody has pushed to registry.example, with nothing "
            "proven; name it in "
            "registries if it is yours",
        ),
        (
            ANYWHERE,
            "ghcr.io/exam*/a",
            "ghcr.io/exam*/a lets in whatever anybody has pushed to ghcr.io, with nothing proven",
        ),
        (OURS, "*.dkr.ecr.*.amazonaws.com/a/*", None),
        ({"allOf": [OURS, IMMUTABLE]}, f"{ECR}/a/*", None),
        (ANYWHERE, f"{ECR}/a/*", None),
        (IMMUTABLE, f"{ECR}/a/*", None),
        (ANYWHERE, "ghcr.io/example/*", None),
        ({"allOf": [ANYWHERE, PINNED]}, "**", None),
        ({"allOf": [ANYWHERE, RELEASE]}, "ghcr.io/**", None),
        ({"atLeast": {"n": 2, "of": [ANYWHERE, RELEASE, REVIEW]}}, "ghcr.io/**", None),
    ],
)
def test_a_rule_that_anybody_s_image_fulfils_is_an_error(
    require: dict[str, Any], image: str, said: str | None
) -> None:
    assert errors(rule(require, [image])) == ([f"rule 'r0': {said}"] if said else [])


def test_a_registry_of_one_s_own_may_be_named_as_such() -> None:
    lets = (
        "rule 'r0': registry.example/** lets in whatever anybody has pushed to registry.example, with "
        "nothing proven"
    )

    assert warnings(rule(ANYWHERE, ["registry.example/**"]), registries={"registry.example": {}}) == [lets]
    assert errors(rule(ANYWHERE, ["docker.io/**"]), registries={"docker.io": {}}) == [
        "rule 'r0': docker.io/** lets in whatever anybody has pushed to docker.io, with nothing proven"
    ]


def test_where_an_image_lies_proves_nothing_of_it() -> None:
    assert warnings(rule(OURS, [f"{ECR}/shop/**"])) == [
        f"rule 'r0': {ECR}/shop/** lets in all that may be pushed there, with nothing proven"
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"identity": None, "identityPattern": "**"}, "identityPattern '**' takes signatures of anybody"),
        ({"identity": None, "identityPattern": "*"}, "identityPattern '*' takes signatures of anybody"),
        (
            {"identity": None, "identityPattern": "https://**"},
            "identityPattern 'https://**' takes signatures of anybody",
        ),
        (
            {"identity": None, "identityPattern": "https://github.com/**"},
            "identityPattern 'https://github.com/**' takes signatures of anybody",
        ),
        (
            {
                "identity": None,
                "identityPattern": "https://github.com/*/shop/.github/workflows/release.yml@refs/heads/main",
            },
            "identityPattern 'https://github.com/*/shop/.github/workflows/release.yml@refs/heads/main' takes "
            "signatures of "
            "anybody",
        ),
        (
            {"identity": None, "identityPattern": "https://github.com/example*/**"},
            "identityPattern 'https://github.com/example*/**' takes signatures of anybody",
        ),
        (
            {"identity": None, "identityPattern": "**/.github/workflows/release.yml@refs/heads/main"},
            "identityPattern '**/.github/workflows/release.yml@refs/heads/main' takes signatures of anybody",
        ),
        (
            {"identity": None, "identityPattern": "https://gitlab.com/*/**"},
            "identityPattern 'https://gitlab.com/*/**' takes signatures of anybody",
        ),
        ({"identity": None, "identityPattern": "*@*"}, "identityPattern '*@*' takes signatures of anybody"),
        ({"identity": None, "identityPattern": "https://github.com/example/**"}, None),
        (
            {
                "identity": None,
                "identityPattern": "https://gitlab.com/example/*/*//.gitlab-ci.yml@refs/heads/main",
            },
            None,
        ),
        ({"identity": None, "identityPattern": "*@corp.example"}, None),
        (
            {
                "identity": None,
                "identityPattern": "https://github.com/**",
                "sourceRepository": "https://github.com/example/shop",
            },
            None,
        ),
    ],
)
def test_a_signature_of_anybody_is_an_error(changes: dict[str, Any], said: str | None) -> None:
    more = "; spell out the organisation, or name the sourceRepository"
    expected = [f"rule 'r0': {said}{more}"] if said else []

    assert errors(rule(keyless(**changes))) == expected
    assert errors(rule(attested(keyless(**changes), a=1))) == expected


@pytest.mark.parametrize(
    ("pattern", "is_open"),
    [
        ("**", True),
        ("https://**", True),
        ("https://*", True),
        ("https://*.example", True),
        ("https://token.actions.githubusercontent.com/*", False),
        ("https://oidc.eks.*.amazonaws.com/id/*", False),
    ],
)
def test_an_issuer_that_anybody_may_run_is_an_error(pattern: str, is_open: bool) -> None:
    assert errors(rule(keyless(issuer=None, issuerPattern=pattern))) == (
        [f"rule 'r0': issuerPattern {pattern!r} takes identities of any issuer, and anyone may run one"]
        if is_open
        else []
    )


@pytest.mark.parametrize("where", ["rule", "policy"])
def test_a_rule_that_only_observes_lets_nothing_in(where: str) -> None:
    lets = "rule 'r0': docker.io/** lets in whatever anybody has pushed to docker.io, with nothing proven"
    one = rule(ANYWHERE, ["docker.io/**"])

    if where == "rule":
        assert warnings({**one, "mode": "observe"}) == [lets, "rule 'r0': only observes: it refuses nothing"]
    else:
        assert warnings(one, mode="observe") == ["the policy only observes: it refuses nothing", lets]


# --- Whom the policy trusts -------------------------------------------------------------------------


def test_keys_and_stores_that_can_t_be_read_are_an_error() -> None:
    trust = {
        "keys": {"k": {"pem": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"}},
        "stores": {"s": {"type": "ca", "certificates": ["none"]}},
    }
    found = errors(rule({"allOf": [{"cosign": {"key": "k"}}, notation(ALICE, store="s")]}), trust=trust)

    assert [text.partition(": ")[0] for text in found] == ["trust.keys.k", "trust.stores.s"]
    # What may be a private key is never shown.
    assert "AAAA" not in str(found)


def test_a_key_that_can_t_be_read_is_still_counted_once() -> None:
    trust = {"keys": {"one": {"pem": "x"}, "other": {"pem": "x"}}}
    both = {"atLeast": {"n": 2, "of": [{"cosign": {"key": "one"}}, {"cosign": {"key": "other"}}]}}

    assert len(errors(rule(both), trust=trust)) == 3


@pytest.mark.parametrize(
    ("require", "said"),
    [
        (
            {"notation": {"stores": ["tsa"], "identities": [ALICE]}},
            "notation.stores has only stores of type tsa: those vouch for times, and for no signer",
        ),
        (
            {"notation": {"stores": ["ca", "tsa"], "identities": ["*", ALICE]}},
            "notation.identities: * stands for everybody; no other identity can stand beside it",
        ),
        (
            {"awsSigner": {"profiles": [PROFILE], "store": "ca"}},
            "awsSigner.store 'ca' is of type ca, expected signingAuthority",
        ),
        ({"awsSigner": {"profiles": [PROFILE], "store": "signer"}}, None),
        ({"notation": {"stores": ["signer"], "identities": [ALICE]}}, None),
    ],
)
def test_a_store_of_the_wrong_type_is_an_error(require: dict[str, Any], said: str | None) -> None:
    assert errors(rule(require, [f"{ECR}/a"])) == ([f"rule 'r0': {said}"] if said else [])


def test_a_root_of_one_partition_may_not_vouch_for_another() -> None:
    govcloud = PROFILE.replace("arn:aws:", "arn:aws-us-gov:")

    assert warnings(rule({"awsSigner": {"profiles": [govcloud]}}, [f"{ECR}/a"])) == [
        "rule 'r0': awsSigner.store is missing, and the root of the commercial partition is not known to "
        "vouch for "
        f"{govcloud} in aws-us-gov"
    ]
    assert warnings(rule({"awsSigner": {"profiles": [govcloud], "store": "signer"}}, [f"{ECR}/a"])) == []


# --- What should be meant ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("require", "said"),
    [
        (
            {"notation": {"stores": ["ca"], "identities": [ALICE]}},
            "notation.stores has none of type tsa: they hold until the signer's certificate ends",
        ),
        (
            {"notation": {"stores": ["signer"], "identities": [ALICE], "level": "permissive"}},
            "notation.level permissive: an expired signature is only logged",
        ),
        (
            {"notation": {"stores": ["signer"], "identities": [ALICE], "level": "audit"}},
            "notation.level audit: an untrusted signer is only logged",
        ),
        (
            {"notation": {"stores": ["signer"], "identities": [ALICE], "revocation": "skip"}},
            "notation.revocation skip: a revoked certificate is accepted",
        ),
        (
            {"notation": {"stores": ["signer"], "identities": ["*"]}},
            "notation.identities *: whoever has a certificate of the stores may sign",
        ),
        (
            {"awsSigner": {"profiles": [PROFILE], "revocation": "logged"}},
            "awsSigner.revocation logged: that revocation can't be asked is only logged, and the image runs",
        ),
        (
            attested(RELEASE),
            "attestation of https://slsa.dev/provenance/v1 without where: whatever it says is enough",
        ),
    ],
)
def test_leniency_is_said(require: dict[str, Any], said: str) -> None:
    assert warnings(rule(require, [f"{ECR}/a"])) == [f"rule 'r0': {said}"]


def test_what_may_change_behind_the_policy_s_back_is_said() -> None:
    trust = {
        "keys": {"k": {"kms": "arn:aws:kms:eu-west-1:111122223333:alias/release"}},
        "roots": {"r": {"source": "trusted_root.json", "sha256": "a" * 64}},
    }
    both = {"allOf": [{"cosign": {"key": "k"}}, keyless(root="r")]}

    assert warnings(rule(both), trust=trust, references={"requireDigest": False}) == [
        "trust.keys.k: whoever may move arn:aws:kms:eu-west-1:111122223333:alias/release chooses which key "
        "is trusted",
        "references.requireDigest is false: what a tag leads to may change between two deployments",
        "trust.roots.r has no fetched and maxAgeDays: that its publisher has withdrawn a key is never learnt",
        "trust.roots.r: trusted_root.json is a path, which only the command line reads",
    ]


def test_what_is_never_used_is_said() -> None:
    found = policy(rule(keyless()), registries={"quay.io": {}, "ghcr.io": {}})

    assert [note.text for note in lint(found)] == [
        *(f"trust.keys.{name} is named by no rule" for name in TRUST["keys"]),
        *(f"trust.roots.{name} is named by no rule" for name in ("also public", "own")),
        *(f"trust.stores.{name} is named by no rule" for name in TRUST["stores"]),
        "registries.quay.io is covered by no rule",
    ]


def exemption(**changes: Any) -> dict[str, Any]:
    return {
        "name": "INC-1",
        "rule": "r0",
        "digests": [A],
        "reason": "x",
        "approvedBy": "y",
        "approved": NOON - timedelta(days=1),
        "expires": NOON + timedelta(days=1),
        **changes,
    }


@pytest.mark.parametrize(
    ("now", "changes", "said"),
    [
        (None, {}, []),
        (NOON, {}, []),
        (NOON + timedelta(days=1), {}, ["exemption 'INC-1' has expired at 2026-11-25 12:00 UTC"]),
        (NOON - timedelta(days=2), {}, ["exemption 'INC-1' holds only from 2026-11-23 12:00 UTC on"]),
        (
            NOON,
            {"digests": [B, A]},
            ["rule 'r0': exemption 'INC-1' has a digest that denyDigests bans all the same"],
        ),
        (
            NOON,
            {"containers": ["log"]},
            ["rule 'r0': exemption 'INC-1' is for containers that the rule is not for"],
        ),
    ],
)
def test_an_exemption_that_does_not_hold_is_said(
    now: datetime | None, changes: dict[str, Any], said: list[str]
) -> None:
    one = {**rule(), "match": {"images": ["ghcr.io/a"], "containers": ["web*"]}}

    assert warnings(one, now=now, exemptions=[exemption(**changes)], references={"denyDigests": [B]}) == said


def test_a_digest_that_is_banned_is_pinned_in_vain() -> None:
    assert warnings(rule(), references={"denyDigests": [A]}) == [
        "rule 'r0': pinned has a digest that denyDigests bans all the same"
    ]


def test_keys_and_roots_that_are_past_their_end_are_said() -> None:
    trust = {
        "keys": {"release": {"kms": KMS, "validUntil": NOON}},
        "roots": {"public": {"source": "ssm:/r", "sha256": "a" * 64, "fetched": NOON, "maxAgeDays": 1}},
    }
    both = rule({"allOf": [RELEASE, keyless()]})

    assert warnings(both, now=NOON - timedelta(seconds=1), trust=trust) == []
    assert warnings(both, now=NOON + timedelta(days=1, seconds=1), trust=trust) == [
        "trust.keys.release was valid until 2026-11-24 12:00 UTC",
        "trust.roots.public was fetched over 1 days ago: nothing holds",
    ]
