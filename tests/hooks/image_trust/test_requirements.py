"""What a rule requires: each requirement by itself, and by what it is proven."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hooks.image_trust.evidence import (
    Attached,
    AttachedTo,
    EcrFacts,
    ImageAt,
    Kind,
    Scan,
    SigningOf,
    SigningStatus,
)
from hooks.image_trust.finding import Digest, Outcome, Problem
from hooks.image_trust.judging import Judged, Verdict
from hooks.image_trust.manifest import Platform
from hooks.image_trust.requirements import MAX_EXPLAINED, MAX_RUNNABLE
from tests.hooks.image_trust.judged_images import (
    AMD64,
    ARM64,
    ELSEWHERE,
    FORBIDDEN,
    HERE,
    HOST,
    IDENTITY,
    INDEX,
    KMS,
    NOW,
    PROFILE,
    REPOSITORY,
    THROTTLED,
    World,
    candidate,
    d,
    index,
    manifest,
    policy,
    trusting,
)

COSIGN = {"cosign": {"key": "release"}}
KEYLESS = {"keyless": {"root": "public", "issuer": "https://token.actions", "identity": IDENTITY}}
NOTATION = {"notation": {"stores": ["company"], "identities": ["x509.subject: CN=ci"]}}
SIGNER = {"awsSigner": {"profiles": [PROFILE]}}
SLSA = "https://slsa.dev/provenance/v1"
ATTESTED = {"attestation": {"predicateType": SLSA, "signedBy": COSIGN}}
ATTESTED_KEYLESS = {"attestation": {"predicateType": SLSA, "signedBy": KEYLESS}}

SIGNED = {"by": "release"}


@pytest.fixture(autouse=True)
def _verifiers(monkeypatch: pytest.MonkeyPatch) -> None:
    trusting(monkeypatch)


def of(name: str, host: str = REPOSITORY, tag: str = "") -> str:
    return f"{host}{tag and ':' + tag}@{d(name)}"


def judged(world: World, require: dict[str, Any], image: str = of("a"), **terms: Any) -> Judged:
    rule = {"rule": terms.pop("rule", {}), **terms.pop("policy", {})}
    return world.judge(image, policy(require, **rule), **terms)


def stands(found: Judged) -> tuple[str, str]:
    return found.finding.outcome.value, found.finding.code


PASS = ("pass", "ok")


def plain(*attached: Attached) -> World:
    return World().add(manifest("a")).hang(*attached)


# ------------------------------------------------------------------------------------ without signatures


@pytest.mark.parametrize(
    ("where", "image", "stand"),
    [
        ({}, of("a"), PASS),
        ({}, of("a", ELSEWHERE), PASS),
        ({"accounts": ["111122223333"]}, of("a"), PASS),
        ({"accounts": ["444455556666"]}, of("a"), ("untrusted", "other-account")),
        ({"accounts": ["111122223333"]}, of("a", ELSEWHERE), ("untrusted", "other-account")),
        ({"regions": ["eu-west-1", "eu-central-1"]}, of("a"), PASS),
        ({"regions": ["eu-central-1"]}, of("a"), ("untrusted", "other-region")),
        ({"regions": ["eu-west-1"]}, of("a", ELSEWHERE), ("untrusted", "other-region")),
        ({"repositories": ["shop/*"]}, of("a", ELSEWHERE), PASS),
        ({"repositories": ["other/*", "shop/web"]}, of("a"), PASS),
        ({"repositories": ["shop/*"]}, of("a", f"{HOST}/shop/web/v2"), ("untrusted", "other-repository")),
        (
            {"accounts": ["111122223333"], "repositories": ["x"]},
            of("a"),
            ("untrusted", "other-repository"),
        ),
    ],
)
def test_where_an_image_comes_from(where: dict[str, Any], image: str, stand: tuple[str, str]) -> None:
    world = World()

    assert stands(judged(world, {"registry": where}, image)) == stand
    assert world.rounds == []


def test_a_pinned_digest_is_that_one_alone() -> None:
    pinned = {"pinned": {"digests": [d("a"), d("b")]}}

    assert stands(judged(World(), pinned, of("b"))) == PASS
    found = judged(World(), pinned, of("c"))
    assert stands(found) == ("untrusted", "other-digest")
    assert found.finding.text == f"{d('c')} is none of the 2 pinned digests"


def test_a_pinned_index_does_not_pin_what_it_lists() -> None:
    world = World().add(index("i", a=AMD64), manifest("a"))

    assert stands(judged(world, {"pinned": {"digests": [d("i")]}}, of("a"))) == ("untrusted", "other-digest")


# ------------------------------------------------------------------------------------ by what key


@pytest.mark.parametrize(
    ("require", "attached"),
    [
        (COSIGN, candidate("a", **SIGNED)),
        (COSIGN, candidate("a", Kind.BUNDLE, **SIGNED)),
        ({"cosign": {"key": "managed"}}, candidate("a", by="managed")),
        ({"cosign": {"key": "release", "formats": ["tag"]}}, candidate("a", **SIGNED)),
        ({"cosign": {"key": "release", "formats": ["bundle"]}}, candidate("a", Kind.BUNDLE, **SIGNED)),
        (KEYLESS, candidate("a", by=IDENTITY)),
        (KEYLESS, candidate("a", Kind.BUNDLE, by=IDENTITY)),
        (NOTATION, candidate("a", Kind.NOTATION, by="x509.subject: CN=ci")),
        (SIGNER, candidate("a", Kind.NOTATION, by=PROFILE)),
        (
            {"awsSigner": {"profiles": [PROFILE], "store": "signer"}},
            candidate("a", Kind.NOTATION, by=PROFILE),
        ),
        (ATTESTED, candidate("a", Kind.COSIGN_ATTESTATION, by="release", type=SLSA)),
        (ATTESTED, candidate("a", Kind.BUNDLE, by="release", type=SLSA)),
        (ATTESTED_KEYLESS, candidate("a", Kind.COSIGN_ATTESTATION, by=IDENTITY, type=SLSA)),
        (ATTESTED_KEYLESS, candidate("a", Kind.BUNDLE, by=IDENTITY, type=SLSA)),
    ],
)
def test_a_signature_of_the_kind_that_holds_is_enough(require: dict[str, Any], attached: Attached) -> None:
    found = judged(plain(attached), require)

    assert stands(found) == PASS
    assert found.verdict is Verdict.PASS
    assert found.finding.check == next(iter(require))
    (signature,) = found.finding.evidence["signatures"]
    assert (signature["digest"], signature["in"]) == (d("a"), d("m"))
    assert signature["kind"] == attached.kind.value


@pytest.mark.parametrize(
    ("require", "attached"),
    [
        # Of another kind, however good: it was not asked for, but came along.
        ({"cosign": {"key": "release", "formats": ["tag"]}}, candidate("a", Kind.BUNDLE, **SIGNED)),
        ({"cosign": {"key": "release", "formats": ["bundle"]}}, candidate("a", **SIGNED)),
        (COSIGN, candidate("a", Kind.COSIGN_ATTESTATION, **SIGNED)),
        (NOTATION, candidate("a", Kind.BUNDLE, by="x509.subject: CN=ci")),
        (ATTESTED, candidate("a", Kind.COSIGN_SIGNATURE, by="release", type=SLSA)),
    ],
)
def test_a_signature_of_another_kind_is_none(require: dict[str, Any], attached: Attached) -> None:
    assert stands(judged(plain(attached), require)) == ("untrusted", "no-signature")


def test_what_hangs_on_another_image_is_no_signature_of_this_one() -> None:
    world = plain()
    world.hanging[d("a")] = replace(World().lack("a", THROTTLED).hanging[d("a")], problems=())
    world.hanging[d("a")] = replace(world.hanging[d("a")], found=(candidate("b", **SIGNED),))

    assert stands(judged(world, COSIGN)) == ("untrusted", "no-signature")


@pytest.mark.parametrize(
    ("says", "code"),
    [
        ({"by": "other"}, "wrong-signature"),
        ({"by": "release", "of": d("b")}, "signed-other-digest"),
        ({"by": "release", "lies": d("b")}, "signed-other-digest"),
        ({"raises": "crash"}, "unreadable"),
        ({"raises": "recursion"}, "unreadable"),
    ],
)
def test_what_does_not_hold_is_refused_and_says_why(says: dict[str, Any], code: str) -> None:
    found = judged(plain(candidate("a", **says)), COSIGN)

    assert stands(found) == ("untrusted", code)
    assert found.verdict is Verdict.DENY
    assert found.finding.evidence == {"candidates": [{"code": code, "text": found.finding.text}]}


def test_without_any_it_says_what_was_looked_for_and_where() -> None:
    found = judged(plain(), COSIGN)

    assert stands(found) == ("untrusted", "no-signature")
    assert found.finding.text == f"no bundle or cosign-signature is attached to {d('a')}"


@pytest.mark.parametrize(
    "bad",
    [
        {"by": "other"},
        {"raises": "crash"},
        {"raises": "recursion"},
        {"raises": "transient"},
        {"raises": "misconfigured"},
        {"raises": "unsettled"},
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_a_bad_signature_never_hides_a_good_one(bad: dict[str, Any], is_first: bool) -> None:
    both = [candidate("a", **bad), candidate("a", **SIGNED)]
    world = plain(*(both if is_first else both[::-1])).lack("a", THROTTLED).lack("a", FORBIDDEN)

    assert stands(judged(world, COSIGN)) == PASS


@pytest.mark.parametrize(
    ("bad", "stand"),
    [
        # The best that may still come true, over what is wrong with others.
        ([{"by": "other"}, {"raises": "transient"}], ("unverifiable", "unavailable")),
        ([{"raises": "misconfigured"}, {"raises": "transient"}], ("unverifiable", "unavailable")),
        ([{"by": "other"}, {"raises": "misconfigured"}], ("misconfigured", "misconfigured")),
        ([{"by": "other"}, {"raises": "unsettled"}], ("unverifiable", "unavailable")),
        ([{"by": "other"}, {"raises": "crash"}], ("untrusted", "no-valid-signature")),
        ([{"by": "other"}, {"by": "x"}], ("untrusted", "wrong-signature")),
    ],
)
def test_what_may_still_come_true_counts_more_than_what_does_not(
    bad: list[dict[str, Any]], stand: tuple[str, str]
) -> None:
    assert stands(judged(plain(*(candidate("a", **one) for one in bad)), COSIGN)) == stand


@pytest.mark.parametrize(
    ("problem", "stand"),
    [
        (THROTTLED, ("unverifiable", "unavailable")),
        (FORBIDDEN, ("misconfigured", "misconfigured")),
        (Problem(Outcome.UNTRUSTED, "other-subject", "not of it"), ("untrusted", "other-subject")),
    ],
)
def test_a_candidate_that_could_not_be_read_is_what_its_problem_says(
    problem: Problem, stand: tuple[str, str]
) -> None:
    found = judged(plain().lack("a", problem), COSIGN)

    assert stands(found) == stand
    assert found.finding.evidence == {"candidates": [{"code": problem.code, "text": problem.text}]}


def test_thousands_of_bad_signatures_make_no_long_record() -> None:
    world = plain(*(candidate("a", by=f"miner {number}") for number in range(2000)))
    unread = (Problem(Outcome.UNTRUSTED, "x", "y" * 900),) * 2000
    world.hanging[d("a")] = replace(world.hanging[d("a")], problems=unread)
    found = judged(world, COSIGN)

    assert stands(found) == ("untrusted", "no-valid-signature")
    assert found.finding.text == "it was signed by miner 0 (and 3999 more)"
    assert len(found.finding.evidence["candidates"]) == 2 * MAX_EXPLAINED
    assert len(json.dumps(found.write())) < 20_000


def test_annotations_have_to_be_under_the_signature() -> None:
    require = {"cosign": {"key": "release", "annotations": {"env": "prod"}}}
    dev, prod = ({"by": "release", "annotations": {"env": env}} for env in ("dev", "prod"))

    assert stands(judged(plain(candidate("a", **dev)), require)) == ("untrusted", "missing-annotation")
    assert stands(judged(plain(candidate("a", **dev), candidate("a", **prod)), require)) == PASS


@pytest.mark.parametrize("kind", [Kind.COSIGN_SIGNATURE, Kind.BUNDLE])
def test_signer_and_key_are_those_of_the_policy(kind: Kind) -> None:
    found = judged(plain(candidate("a", kind, **SIGNED)), COSIGN)

    assert found.finding.text == "signed by key release"


def test_a_key_that_can_t_be_had_is_what_its_problem_says() -> None:
    for problem, stand in ((THROTTLED, "unverifiable"), (FORBIDDEN, "misconfigured")):
        world = plain(candidate("a", by="managed"))
        world.keys[KMS] = problem

        assert judged(world, {"cosign": {"key": "managed"}}).finding.outcome == stand


def test_a_key_that_is_none_is_the_policy_s_fault() -> None:
    world = plain(candidate("a", by="managed"))
    world.keys[KMS] = b"bad"
    found = judged(world, {"cosign": {"key": "managed"}})

    assert stands(found) == ("misconfigured", "malformed-key")
    assert found.finding.text == "key 'managed' of the policy: no key"


# ------------------------------------------------------------------------------------ at what time

ENDED = {"cosign": {"key": "ended"}}
ENDED_LOGGED = {"cosign": {"key": "ended", "log": "public"}}


@pytest.mark.parametrize(
    ("require", "says", "stand"),
    [
        # Nothing proves that it was made before: it could have been made today.
        (ENDED, {"by": "ended"}, ("untrusted", "key-expired")),
        (ENDED, {"by": "ended", "logged": "2026-02-01T00:00:00+00:00"}, ("untrusted", "key-expired")),
        (ENDED_LOGGED, {"by": "ended", "logged": "2026-02-28T23:59:59+00:00"}, PASS),
        (ENDED_LOGGED, {"by": "ended", "logged": "2026-03-01T00:00:00+00:00"}, ("untrusted", "key-expired")),
        (ENDED_LOGGED, {"by": "ended"}, ("untrusted", "no-entry")),
        (
            {"cosign": {"key": "release", "log": "public"}},
            {"by": "release", "logged": "2026-02-28T23:59:59+00:00"},
            PASS,
        ),
        ({"cosign": {"key": "release", "log": "public"}}, {"by": "release"}, ("untrusted", "no-entry")),
    ],
)
def test_after_its_end_a_key_counts_only_for_what_is_proven_to_be_from_before(
    require: dict[str, Any], says: dict[str, Any], stand: tuple[str, str]
) -> None:
    assert stands(judged(plain(candidate("a", **says)), require)) == stand


def test_a_key_counts_until_its_end() -> None:
    keys = {"release": {"pem": "release", "validUntil": (NOW + timedelta(seconds=1)).isoformat()}}
    at_its_end = {"release": {"pem": "release", "validUntil": NOW.isoformat()}}
    signed = plain(candidate("a", **SIGNED))

    assert stands(judged(signed, COSIGN, policy={"trust": {"keys": keys}})) == PASS
    assert stands(judged(signed, COSIGN, policy={"trust": {"keys": at_its_end}})) == (
        "untrusted",
        "key-expired",
    )


def test_what_the_log_says_stands_in_the_record() -> None:
    signed = candidate("a", by="release", logged="2026-02-28T10:00:00+00:00")
    found = judged(plain(signed), {"cosign": {"key": "release", "log": "public"}})

    assert found.finding.evidence["signatures"] == [
        {
            "signer": "key release",
            "digest": d("a"),
            "signedAt": "2026-02-28T10:00:00+00:00",
            "logIndex": 7,
            "in": d("m"),
            "kind": "cosign-signature",
        }
    ]


@pytest.mark.parametrize(
    "require",
    [
        {"cosign": {"key": "release", "log": "old"}},
        {"keyless": {**KEYLESS["keyless"], "root": "old"}},
        {
            "attestation": {
                "predicateType": SLSA,
                "signedBy": {"keyless": {**KEYLESS["keyless"], "root": "old"}},
            }
        },
    ],
)
def test_a_root_that_is_too_old_is_no_longer_trusted(require: dict[str, Any]) -> None:
    both = [
        candidate("a", kind, by=by, type=SLSA, logged="2026-02-28T10:00:00+00:00")
        for by in ("release", IDENTITY)
        for kind in Kind
    ]
    found = judged(plain(*both), require)

    assert stands(found) == ("misconfigured", "root-too-old")
    assert found.finding.text == "root 'old' of the policy is 63 days old, 30 allowed"


def test_a_root_counts_until_its_last_day() -> None:
    def root(days: int) -> dict[str, Any]:
        fetched = NOW - timedelta(days=30)
        one = {"source": "package:r", "sha256": "a" * 64, "fetched": fetched.isoformat(), "maxAgeDays": days}
        return {"trust": {"roots": {"public": one}}}

    signed = plain(candidate("a", by=IDENTITY))

    assert stands(judged(signed, KEYLESS, policy=root(30))) == PASS
    assert stands(judged(signed, KEYLESS, policy=root(29))) == ("misconfigured", "root-too-old")


@pytest.mark.parametrize(
    ("content", "stand", "text"),
    [
        (THROTTLED, ("unverifiable", "unavailable"), "throttled"),
        (FORBIDDEN, ("misconfigured", "misconfigured"), "no permission"),
        (b"bad", ("misconfigured", "malformed-root"), "root 'public' of the policy: no root"),
        (
            b"none",
            ("misconfigured", "not-built-in"),
            "this function was built without sigstore, which keyless signatures take",
        ),
    ],
)
@pytest.mark.parametrize("require", [KEYLESS, ATTESTED_KEYLESS])
def test_a_root_that_can_t_be_used_is_no_signer_s_fault(
    content: bytes | Problem, stand: tuple[str, str], text: str, require: dict[str, Any]
) -> None:
    world = plain(candidate("a", Kind.BUNDLE, by=IDENTITY, type=SLSA))
    world.roots["public"] = content
    found = judged(world, require)

    assert (stands(found), found.finding.text) == (stand, text)


def test_a_log_s_root_that_can_t_be_read_is_the_policy_s_fault() -> None:
    world = plain(candidate("a", by="release", logged="2026-02-28T10:00:00+00:00"))
    world.roots["public"] = b"bad"
    found = judged(world, {"cosign": {"key": "release", "log": "public"}})

    assert stands(found) == ("misconfigured", "malformed-root")
    assert found.finding.text == "root 'public' of the policy: no root"


def test_sigstore_s_own_objection_to_a_root_is_the_policy_s_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    from hooks.image_trust.formats import trusted_root

    monkeypatch.setattr(trusted_root, "read", lambda _: "")
    world = plain(candidate("a", by=IDENTITY))
    world.roots["public"] = b"bad"

    assert stands(judged(world, KEYLESS)) == ("misconfigured", "malformed-root")


# ------------------------------------------------------------------------------------ revocation


def test_what_aws_signer_has_revoked_does_not_hold() -> None:
    world = plain(candidate("a", Kind.NOTATION, by=PROFILE, job="one"))
    world.revoked["one"] = ("arn:job", "arn:profile")
    found = judged(world, SIGNER)

    assert stands(found) == ("untrusted", "revoked")
    assert found.finding.text == "AWS Signer has revoked arn:job, arn:profile"


def test_a_revoked_signature_does_not_hide_another() -> None:
    world = plain(*(candidate("a", Kind.NOTATION, by=PROFILE, job=job) for job in ("one", "two")))
    world.revoked["one"] = ("arn:job",)

    assert stands(judged(world, SIGNER)) == PASS
    # Both are asked about at once.
    assert len(world.rounds[-1]) == 2


@pytest.mark.parametrize(
    ("revocation", "problem", "stand"),
    [
        ("required", THROTTLED, ("unverifiable", "unavailable")),
        ("required", FORBIDDEN, ("misconfigured", "misconfigured")),
        ("logged", THROTTLED, PASS),
        ("logged", FORBIDDEN, PASS),
    ],
)
def test_revocation_that_can_t_be_asked_is_what_the_rule_says(
    revocation: str, problem: Problem, stand: tuple[str, str]
) -> None:
    world = plain(candidate("a", Kind.NOTATION, by=PROFILE, job="one"))
    world.revoked["one"] = problem
    found = judged(world, {"awsSigner": {"profiles": [PROFILE], "revocation": revocation}})

    assert stands(found) == stand
    if stand == PASS:
        (signature,) = found.finding.evidence["signatures"]
        assert signature["warnings"] == [f"revocation not checked: {problem.text}"]


def test_where_revocation_is_only_logged_what_is_revoked_is_refused_all_the_same() -> None:
    world = plain(candidate("a", Kind.NOTATION, by=PROFILE, job="one"))
    world.revoked["one"] = ("arn:job",)
    found = judged(world, {"awsSigner": {"profiles": [PROFILE], "revocation": "logged"}})

    assert stands(found) == ("untrusted", "revoked")


# ------------------------------------------------------------------------------------ being signed

OTHERS = PROFILE.replace("/ci", "/others")


def status(state: str, profile: str = PROFILE, failure: str = "") -> SigningStatus:
    return SigningStatus(profile, state, failure)


@pytest.mark.parametrize(
    ("statuses", "stand", "text"),
    [
        ([status("IN_PROGRESS")], ("unverifiable", "signing-in-progress"), f"{PROFILE} is still signing it"),
        (
            [status("FAILED", failure="AccessDenied: no")],
            ("untrusted", "signing-failed"),
            f"{PROFILE} failed to sign it: AccessDenied: no",
        ),
        (
            [status("FAILED")],
            ("untrusted", "signing-failed"),
            f"{PROFILE} failed to sign it: no reason given",
        ),
        ([status("COMPLETE")], ("untrusted", "no-signature"), f"no notation is attached to {d('a')}"),
        ([], ("untrusted", "no-signature"), f"no notation is attached to {d('a')}"),
        # Of others' profiles nothing is to be expected, good or bad.
        (
            [status("IN_PROGRESS", OTHERS)],
            ("untrusted", "no-signature"),
            f"no notation is attached to {d('a')}",
        ),
        (
            [status("FAILED", OTHERS), status("IN_PROGRESS")],
            ("unverifiable", "signing-in-progress"),
            f"{PROFILE} is still signing it",
        ),
        (
            [status("FAILED"), status("IN_PROGRESS")],
            ("unverifiable", "signing-in-progress"),
            f"{PROFILE} is still signing it",
        ),
    ],
)
def test_a_signature_that_ecr_is_making_is_waited_for(
    statuses: list[SigningStatus], stand: tuple[str, str], text: str
) -> None:
    world = plain()
    world.signing[d("a")] = tuple(statuses)
    found = judged(world, SIGNER)

    assert (stands(found), found.finding.text) == (stand, text)


@pytest.mark.parametrize("profile", [f"{PROFILE}/AbCdEf0123", PROFILE.replace("ci", "CI")])
def test_a_profile_is_the_same_with_a_version_and_in_any_case(profile: str) -> None:
    world = plain()
    world.signing[d("a")] = (status("IN_PROGRESS"),)

    assert stands(judged(world, {"awsSigner": {"profiles": [profile]}}))[1] == "signing-in-progress"


def test_a_profile_whose_name_only_begins_alike_is_another() -> None:
    world = plain()
    world.signing[d("a")] = (status("IN_PROGRESS"),)

    assert stands(judged(world, {"awsSigner": {"profiles": [f"{PROFILE}_other"]}}))[1] == "no-signature"


def test_that_ecr_says_it_has_signed_is_no_signature() -> None:
    world = plain(candidate("a", Kind.NOTATION, by="somebody"))
    world.signing[d("a")] = (status("COMPLETE"),)

    assert stands(judged(world, SIGNER)) == ("untrusted", "wrong-signature")


def test_the_images_of_an_index_may_be_signed_one_after_the_other() -> None:
    world = World().add(index("i", a=AMD64, b=ARM64)).hang(candidate("a", Kind.NOTATION, by=PROFILE))
    world.signing = {d("i"): (status("COMPLETE"),), d("b"): (status("IN_PROGRESS"),)}
    found = judged(world, SIGNER, of("i"), rule={"multiArch": "platform"})

    assert stands(found) == ("unverifiable", "signing-in-progress")


@pytest.mark.parametrize(("problem", "outcome"), [(THROTTLED, "unverifiable"), (FORBIDDEN, "misconfigured")])
def test_a_status_that_can_t_be_asked_leaves_the_question_open(problem: Problem, outcome: str) -> None:
    world = plain()
    world.signing[d("a")] = problem
    found = judged(world, SIGNER)

    assert found.finding.outcome == outcome
    assert found.finding.text == (
        f"no notation is attached to {d('a')}; whether ECR is still signing it is not known: {problem.text}"
    )


def test_a_status_of_an_image_that_ecr_lacks_changes_nothing() -> None:
    world = plain()
    world.signing[d("a")] = Problem(Outcome.UNTRUSTED, "no-image", "not there")

    assert stands(judged(world, SIGNER)) == ("untrusted", "no-signature")


@pytest.mark.parametrize(
    ("require", "image"),
    [
        (NOTATION, of("a")),  # not AWS's to sign
        (SIGNER, of("a", ELSEWHERE)),  # not ECR's
    ],
)
def test_nobody_else_is_asked_whether_they_are_signing(require: dict[str, Any], image: str) -> None:
    world = plain()
    world.signing[d("a")] = (status("IN_PROGRESS"),)

    assert stands(judged(world, require, image)) == ("untrusted", "no-signature")
    assert not any(isinstance(want, SigningOf) for wants in world.rounds for want in wants)


@pytest.mark.parametrize("problem", [THROTTLED, FORBIDDEN])
def test_what_is_not_known_of_candidates_comes_before_whether_it_is_being_signed(problem: Problem) -> None:
    world = plain().lack("a", problem)
    world.signing[d("a")] = (status("FAILED"),)

    assert judged(world, SIGNER).finding.code == problem.code


# ------------------------------------------------------------------------------------ attestations


@pytest.mark.parametrize(
    ("clauses", "says", "stand"),
    [
        ({}, {}, PASS),
        ({"where": [{"path": "builder.id", "equals": "ci"}]}, {"says": {"builder": {"id": "ci"}}}, PASS),
        (
            {"where": [{"path": "builder.id", "equals": "ci"}]},
            {"says": {"builder": {"id": "me"}}},
            ("untrusted", "clause-not-met"),
        ),
        ({}, {"type": "https://spdx.dev/Document"}, ("untrusted", "other-predicate")),
        ({}, {"by": "other"}, ("untrusted", "wrong-signature")),
        ({"maxAgeHours": 24}, {}, ("untrusted", "unproven-time")),
    ],
)
def test_an_attestation_says_what_it_has_to(
    clauses: dict[str, Any], says: dict[str, Any], stand: tuple[str, str]
) -> None:
    require = {"attestation": {**ATTESTED["attestation"], **clauses}}
    attached = candidate("a", Kind.COSIGN_ATTESTATION, **{"by": "release", "type": SLSA, **says})

    assert stands(judged(plain(attached), require)) == stand


@pytest.mark.parametrize(
    ("at", "stand"),
    [
        (NOW - timedelta(hours=24), PASS),
        (NOW - timedelta(hours=24, seconds=1), ("untrusted", "too-old")),
        (None, ("untrusted", "unproven-time")),
    ],
)
@pytest.mark.parametrize("is_keyless", [True, False])
def test_its_age_is_that_of_its_proven_time(at: Any, stand: tuple[str, str], is_keyless: bool) -> None:
    logged = {"cosign": {"key": "release", "log": "public"}}
    signed_by = KEYLESS if is_keyless else logged if at else COSIGN
    require = {"attestation": {"predicateType": SLSA, "signedBy": signed_by, "maxAgeHours": 24}}
    moment = {"at": at.isoformat(), "logged": at.isoformat()} if at else {}
    by = IDENTITY if is_keyless else "release"
    attached = candidate("a", Kind.BUNDLE, by=by, type=SLSA, **moment)

    assert stands(judged(plain(attached), require)) == stand


def test_all_clauses_have_to_be_true_of_one_statement() -> None:
    require = {
        "attestation": {
            **ATTESTED["attestation"],
            "where": [{"path": "a", "equals": 1}, {"path": "b", "equals": 1}],
        }
    }
    halves = [
        candidate("a", Kind.BUNDLE, by="release", type=SLSA, says=says) for says in ({"a": 1}, {"b": 1})
    ]
    both = candidate("a", Kind.BUNDLE, by="release", type=SLSA, says={"a": 1, "b": 1})

    assert stands(judged(plain(*halves), require)) == ("untrusted", "clause-not-met")
    assert stands(judged(plain(*halves, both), require)) == PASS


def test_an_attestation_by_a_key_after_its_end_does_not_hold() -> None:
    require = {"attestation": {"predicateType": SLSA, "signedBy": ENDED}}
    attached = candidate("a", Kind.BUNDLE, by="ended", type=SLSA)

    assert stands(judged(plain(attached), require)) == ("untrusted", "key-expired")


def test_a_limit_of_any_length_is_a_limit() -> None:
    require = {"attestation": {"predicateType": SLSA, "signedBy": KEYLESS, "maxAgeHours": 1e300}}
    attached = candidate("a", Kind.BUNDLE, by=IDENTITY, type=SLSA, at="2001-01-01T00:00:00+00:00")

    assert stands(judged(plain(attached), require)) == PASS


def test_a_predicate_of_any_length_makes_no_long_reason() -> None:
    attached = candidate("a", Kind.BUNDLE, by="release", type="x" * 100_000)

    assert len(judged(plain(attached), ATTESTED).finding.text) < 300


# ------------------------------------------------------------------------------------ for several platforms

EITHER, ONLY_INDEX, ONLY_PLATFORM = ({"multiArch": scope} for scope in ("either", "index", "platform"))
BOTH = index("i", a=AMD64, b=ARM64)


@pytest.mark.parametrize(
    ("signed", "rule", "platform", "stand"),
    [
        ("i", EITHER, AMD64, PASS),
        ("i", ONLY_INDEX, AMD64, PASS),
        ("i", ONLY_PLATFORM, AMD64, ("untrusted", "no-signature")),
        ("a", EITHER, AMD64, PASS),
        ("a", ONLY_INDEX, AMD64, ("untrusted", "no-signature")),
        ("a", ONLY_PLATFORM, AMD64, PASS),
        ("b", EITHER, AMD64, ("untrusted", "no-signature")),
        ("b", EITHER, ARM64, PASS),
        # Where any machine may run it, all images have to be signed.
        ("a", EITHER, None, ("untrusted", "no-signature")),
        ("b", EITHER, None, ("untrusted", "no-signature")),
        ("ab", EITHER, None, PASS),
        ("ab", ONLY_PLATFORM, None, PASS),
        ("ab", ONLY_INDEX, None, ("untrusted", "no-signature")),
        ("i", EITHER, None, PASS),
        ("i", ONLY_PLATFORM, None, ("untrusted", "no-signature")),
        ("", EITHER, AMD64, ("untrusted", "no-signature")),
    ],
)
def test_of_an_index_it_or_what_the_task_may_run_has_to_be_signed(
    signed: str, rule: dict[str, str], platform: Platform | None, stand: tuple[str, str]
) -> None:
    world = World().add(BOTH).hang(*(candidate(one, **SIGNED) for one in signed))

    assert stands(judged(world, COSIGN, of("i"), rule=rule, platform=platform)) == stand


@pytest.mark.parametrize(
    ("other", "has_to_be_signed"),
    [
        # For another machine, beyond doubt.
        (ARM64, False),
        (Platform("windows", "amd64"), False),
        (Platform("linux", "s390x"), False),
        # What the index does not say, or says in words of its own, a runtime may take for its machine.
        (None, True),
        (Platform("", "amd64"), True),
        (Platform("linux", ""), True),
        (Platform("", ""), True),
        # What the machine runs as well.
        (Platform("linux", "386"), True),
        (AMD64, True),
        # No machine's.
        (Platform("unknown", "unknown"), False),
    ],
)
def test_every_image_that_the_machine_could_choose_has_to_be_signed(
    other: Platform | None, has_to_be_signed: bool
) -> None:
    world = World().add(index("i", a=AMD64, evil=other)).hang(candidate("a", **SIGNED))
    found = judged(world, COSIGN, of("i"), platform=AMD64)

    assert stands(found) == (("untrusted", "no-signature") if has_to_be_signed else PASS)


def test_what_build_tools_put_into_an_index_need_not_be_signed() -> None:
    listed = index("i", a=AMD64, sbom=Platform("unknown", "unknown"))
    world = World().add(listed).hang(candidate("a", **SIGNED))

    assert stands(judged(world, COSIGN, of("i"))) == PASS


def test_an_arm_machine_runs_what_is_for_smaller_ones_too() -> None:
    world = World().add(index("i", a=ARM64, evil=Platform("linux", "arm"))).hang(candidate("a", **SIGNED))

    assert stands(judged(world, COSIGN, of("i"), platform=ARM64)) == ("untrusted", "no-signature")


def test_an_index_without_platforms_is_one_of_images_for_any() -> None:
    world = World().add(index("i", a=None, b=None)).hang(candidate("a", **SIGNED))

    assert stands(judged(world, COSIGN, of("i"), platform=AMD64)) == ("untrusted", "no-signature")
    assert stands(judged(world.hang(candidate("b", **SIGNED)), COSIGN, of("i"), platform=AMD64)) == PASS


def test_each_image_may_be_signed_in_its_own_way_and_all_are_recorded() -> None:
    world = World().add(BOTH).hang(candidate("a", **SIGNED), candidate("b", Kind.BUNDLE, **SIGNED))
    found = judged(world, COSIGN, of("i"), rule=ONLY_PLATFORM)

    assert [(one["digest"], one["kind"]) for one in found.finding.evidence["signatures"]] == [
        (d("a"), "cosign-signature"),
        (d("b"), "bundle"),
    ]


def test_what_the_index_lists_for_no_machine_of_the_task() -> None:
    world = World().add(index("i", b=ARM64))
    found = judged(world, COSIGN, of("i"), platform=AMD64, rule=ONLY_PLATFORM)

    assert stands(found) == ("untrusted", "no-platform")
    assert found.finding.text == "the index lists no image for linux/amd64"


def test_a_signed_index_is_signed_whatever_it_lists() -> None:
    for listed in (index("i"), index("i", b=ARM64)):
        world = World().add(listed).hang(candidate("i", **SIGNED))

        assert stands(judged(world, COSIGN, of("i"), platform=AMD64)) == PASS


def test_an_empty_index_is_refused() -> None:
    world = World().add(index("i"))
    found = judged(world, COSIGN, of("i"), rule=ONLY_PLATFORM)

    assert (stands(found), found.finding.text) == (
        ("untrusted", "no-platform"),
        "the index lists no image for any platform",
    )


def test_that_there_is_no_image_for_the_machine_does_not_hide_what_is_not_known_of_the_index() -> None:
    world = World().add(index("i", b=ARM64)).lack("i", THROTTLED)

    assert stands(judged(world, COSIGN, of("i"), platform=AMD64)) == ("unverifiable", "unavailable")


def test_what_is_wrong_with_the_index_and_with_its_images_stands_side_by_side() -> None:
    world = World().add(index("i", b=ARM64)).hang(candidate("i", by="other"))
    found = judged(world, COSIGN, of("i"), platform=AMD64)

    assert stands(found) == ("untrusted", "no-valid-signature")
    assert [one["code"] for one in found.finding.evidence["candidates"]] == ["wrong-signature", "no-platform"]


def test_an_index_of_hundreds_of_images_is_refused_before_each_is_asked_for() -> None:
    many = index("i", **{f"n{number}": AMD64 for number in range(MAX_RUNNABLE + 1)})
    world = World().add(many)
    found = judged(world, COSIGN, of("i"), platform=AMD64, rule=ONLY_PLATFORM)

    assert stands(found) == ("untrusted", "too-many-platforms")
    assert world.rounds == [frozenset({ImageAt(replace(HERE, digest=d("i")))})]


def test_an_index_of_as_many_images_as_are_allowed_is_looked_at() -> None:
    names = [f"n{number}" for number in range(MAX_RUNNABLE)]
    world = World().add(index("i", **dict.fromkeys(names, AMD64)))
    world.hang(*(candidate(name, **SIGNED) for name in names))

    assert stands(judged(world, COSIGN, of("i"), platform=AMD64, rule=ONLY_PLATFORM)) == PASS


@pytest.mark.parametrize(
    ("scope", "hanging", "problem", "stand"),
    [
        # The index is not known, its images are signed, and the other way round.
        (EITHER, "a", ("i", THROTTLED), PASS),
        (EITHER, "i", ("a", THROTTLED), PASS),
        (EITHER, "a", ("i", FORBIDDEN), PASS),
        (EITHER, "", ("i", THROTTLED), ("unverifiable", "unavailable")),
        (EITHER, "", ("a", THROTTLED), ("unverifiable", "unavailable")),
        (ONLY_PLATFORM, "", ("i", THROTTLED), ("untrusted", "no-signature")),
        (ONLY_INDEX, "", ("a", THROTTLED), ("untrusted", "no-signature")),
    ],
)
def test_one_alternative_holds_whatever_is_wrong_with_the_other(
    scope: dict[str, str], hanging: str, problem: tuple[str, Problem], stand: tuple[str, str]
) -> None:
    world = World().add(BOTH).lack(*problem).hang(*(candidate(one, **SIGNED) for one in hanging))

    assert stands(judged(world, COSIGN, of("i"), platform=AMD64, rule=scope)) == stand


# --- One image, and the index that lists it


@pytest.mark.parametrize(
    ("signed", "rule", "tag", "stand"),
    [
        ("i", EITHER, "v1", PASS),
        ("i", ONLY_INDEX, "v1", PASS),
        ("i", ONLY_PLATFORM, "v1", ("untrusted", "no-signature")),
        # Nobody says which index it is from.
        ("i", EITHER, "", ("untrusted", "no-signature")),
        # A tag that leads elsewhere, to another image, or nowhere.
        ("i", EITHER, "other", ("untrusted", "no-signature")),
        ("i", EITHER, "image", ("untrusted", "no-signature")),
        ("i", EITHER, "none", ("untrusted", "no-signature")),
        # Its own signature is enough, whatever the rule says of indexes.
        ("a", EITHER, "v1", PASS),
        ("a", ONLY_INDEX, "v1", PASS),
        ("a", ONLY_PLATFORM, "v1", PASS),
        ("a", EITHER, "none", PASS),
        ("b", EITHER, "v1", ("untrusted", "no-signature")),
    ],
)
def test_an_image_of_one_platform_is_covered_by_a_signed_index_that_its_tag_leads_to(
    signed: str, rule: dict[str, str], tag: str, stand: tuple[str, str]
) -> None:
    world = World().add(BOTH, manifest("a"), index("o", x=AMD64), v1="i", other="o", image="a")
    world.hang(*(candidate(one, **SIGNED) for one in signed))

    assert stands(judged(world, COSIGN, of("a", tag=tag), rule=rule)) == stand


def test_what_an_index_lists_for_no_machine_it_does_not_cover() -> None:
    world = World().add(index("i", a=Platform("unknown", "unknown")), manifest("a"), v1="i")

    assert stands(judged(world.hang(candidate("i", **SIGNED)), COSIGN, of("a", tag="v1"))) == (
        "untrusted",
        "no-signature",
    )


@pytest.mark.parametrize(
    ("problem", "stand"),
    [
        (THROTTLED, ("unverifiable", "unavailable")),
        (FORBIDDEN, ("misconfigured", "misconfigured")),
    ],
)
def test_a_tag_that_can_t_be_looked_up_may_have_led_to_a_signed_index(
    problem: Problem, stand: tuple[str, str]
) -> None:
    world = World().add(manifest("a"))
    world.problems[ImageAt(replace(HERE, tag="v1"))] = problem

    assert stands(judged(world, COSIGN, of("a", tag="v1"))) == stand
    assert stands(judged(world.hang(candidate("a", **SIGNED)), COSIGN, of("a", tag="v1"))) == PASS


def test_the_tag_is_looked_up_only_where_the_image_s_own_signature_does_not_hold() -> None:
    world = plain(candidate("a", **SIGNED)).add(BOTH, v1="i")

    assert stands(judged(world, COSIGN, of("a", tag="v1"))) == PASS
    assert ImageAt(replace(HERE, tag="v1")) not in frozenset().union(*world.rounds)


# --- What ECS says that it runs


def test_of_an_index_the_image_that_runs_has_to_be_signed_whatever_the_platform_says() -> None:
    world = World().add(index("i", a=AMD64, evil=ARM64)).hang(candidate("a", **SIGNED))

    def stand(recorded: Digest | None, rule: dict[str, str] = EITHER) -> tuple[str, str]:
        return stands(judged(world, COSIGN, of("i"), platform=AMD64, recorded=recorded, rule=rule))

    assert stand(None) == PASS
    assert stand(d("i")) == PASS
    assert stand(d("a")) == PASS
    assert stand(d("evil")) == ("untrusted", "no-signature")
    world.hang(candidate("i", **SIGNED))
    assert stand(d("evil")) == PASS
    assert stand(d("evil"), ONLY_PLATFORM) == ("untrusted", "no-signature")


# ------------------------------------------------------------------------------------ what ECR says

ECR = {"ecr": {"tagImmutability": "required"}}
FACTS = EcrFacts(tag_mutability="IMMUTABLE", exclusions=(), pushed_at=NOW - timedelta(days=2), scan=None)
CLEAN = replace(FACTS, scan=Scan(status="COMPLETE", at=NOW - timedelta(hours=1), counts={"LOW": 2}))


def known(name: str = "a", facts: EcrFacts = FACTS, scanned: EcrFacts | None = None) -> World:
    world = World().add(manifest(name))
    world.facts[d(name), False] = facts
    if scanned:
        world.facts[d(name), True] = scanned
    return world


@pytest.mark.parametrize(
    ("require", "stand", "text"),
    [
        ({"tagImmutability": "required"}, PASS, "its tags can't be moved"),
        ({"maxImageAgeDays": 2}, PASS, "pushed 2.0 days ago"),
        (
            {"maxImageAgeDays": 1.5},
            ("untrusted", "image-too-old"),
            "it was pushed 2.0 days ago, 1.5 allowed",
        ),
        ({"scan": {}}, PASS, "scanned: 2 LOW"),
        ({"scan": {"block": {"LOW": 1}}}, ("untrusted", "vulnerable"), None),
        (
            {"tagImmutability": "required", "maxImageAgeDays": 3, "scan": {"block": {"LOW": 2}}},
            PASS,
            "its tags can't be moved; pushed 2.0 days ago; scanned: 2 LOW",
        ),
    ],
)
def test_what_ecr_has_to_say(require: dict[str, Any], stand: tuple[str, str], text: str | None) -> None:
    found = judged(known(scanned=CLEAN), {"ecr": require})

    assert stands(found) == stand
    assert text is None or found.finding.text == text


def test_an_image_elsewhere_can_t_be_vouched_for_by_ecr() -> None:
    found = judged(known(), ECR, of("a", ELSEWHERE))

    assert stands(found) == ("untrusted", "not-ecr")


@pytest.mark.parametrize("require", [ECR, {"ecr": {"scan": {}}}, {"ecr": {"maxImageAgeDays": 3}}])
@pytest.mark.parametrize("problem", [THROTTLED, FORBIDDEN])
def test_what_ecr_can_t_be_asked_is_what_its_problem_says(require: dict[str, Any], problem: Problem) -> None:
    world = known()
    world.facts = {(d("a"), False): FACTS, (d("a"), True): problem}
    if "scan" not in require["ecr"]:
        world.facts[d("a"), False] = problem

    assert stands(judged(world, require)) == (problem.outcome.value, problem.code)


@pytest.mark.parametrize(
    ("mutability", "image", "stand"),
    [
        ("IMMUTABLE_WITH_EXCLUSION", f"{REPOSITORY}:v1", PASS),
        ("IMMUTABLE_WITH_EXCLUSION", f"{REPOSITORY}:dev-1", ("untrusted", "mutable-tags")),
        ("MUTABLE_WITH_EXCLUSION", f"{REPOSITORY}:dev-1", PASS),
        ("MUTABLE_WITH_EXCLUSION", f"{REPOSITORY}:v1", ("untrusted", "mutable-tags")),
        # Beside a digest a tag is decoration: whoever deploys can write any.
        ("MUTABLE_WITH_EXCLUSION", of("a", tag="dev-1"), ("untrusted", "mutable-tags")),
        ("MUTABLE_WITH_EXCLUSION", of("a"), ("untrusted", "mutable-tags")),
        ("IMMUTABLE_WITH_EXCLUSION", of("a", tag="dev-1"), PASS),
    ],
)
def test_which_tag_has_to_be_immutable_is_the_one_that_names_the_image(
    mutability: str, image: str, stand: tuple[str, str]
) -> None:
    world = known(facts=replace(FACTS, tag_mutability=mutability, exclusions=("dev-*",)))
    world.add(**{"v1": "a", "dev-1": "a"})

    assert stands(judged(world, ECR, image)) == stand


def test_of_an_index_what_the_task_may_run_has_to_be_scanned() -> None:
    dirty = replace(FACTS, scan=Scan(status="COMPLETE", at=NOW, counts={"CRITICAL": 1}))
    world = World().add(BOTH)
    world.facts = {(d("i"), False): FACTS, (d("a"), True): CLEAN, (d("b"), True): dirty}
    require = {"ecr": {"scan": {}}}

    assert stands(judged(world, require, of("i"), platform=AMD64)) == PASS
    assert stands(judged(world, require, of("i"), platform=ARM64)) == ("untrusted", "vulnerable")
    assert stands(judged(world, require, of("i"))) == ("untrusted", "vulnerable")
    assert stands(judged(world, require, of("i"), platform=AMD64, recorded=d("b"))) == (
        "untrusted",
        "vulnerable",
    )


def test_all_scans_are_asked_for_at_once() -> None:
    world = World().add(BOTH)
    world.facts = {(d("i"), False): FACTS, (d("a"), True): CLEAN, (d("b"), True): CLEAN}

    assert stands(judged(world, {"ecr": {"scan": {}}}, of("i"))) == PASS
    assert [len(wants) for wants in world.rounds] == [1, 1, 2]


def test_a_scan_under_way_is_waited_for() -> None:
    pending = replace(FACTS, scan=Scan(status="PENDING", at=None, counts={}))

    assert stands(judged(known(scanned=pending), {"ecr": {"scan": {}}})) == (
        "unverifiable",
        "scan-in-progress",
    )


# ------------------------------------------------------------------------------------ banned

BAN_A = {"references": {"requireDigest": False, "denyDigests": [d("a")]}}


def test_a_banned_digest_is_refused_whatever_is_proven() -> None:
    found = judged(plain(candidate("a", **SIGNED)), COSIGN, policy=BAN_A)

    assert (found.finding.check, *stands(found)) == ("denyDigests", "untrusted", "denied-digest")
    assert found.finding.text == f"the policy bans {d('a')}"


@pytest.mark.parametrize("require", [{"registry": {}}, {"pinned": {"digests": [d("i")]}}, COSIGN])
@pytest.mark.parametrize("platform", [AMD64, ARM64, None])
def test_an_index_that_lists_a_banned_image_is_banned_with_it(
    require: dict[str, Any], platform: Platform | None
) -> None:
    world = World().add(BOTH).hang(candidate("i", **SIGNED))
    found = judged(world, require, of("i"), platform=platform, policy=BAN_A)

    assert stands(found) == ("untrusted", "denied-digest")
    assert found.finding.text == f"the policy bans {d('a')}, which it lists"


def test_what_ecs_runs_is_held_against_the_ban_too() -> None:
    world = World().add(BOTH)
    found = judged(world, {"registry": {}}, of("i"), recorded=d("a"), policy=BAN_A)

    assert stands(found) == ("untrusted", "denied-digest")


def test_a_banned_index_vouches_for_none_of_its_images() -> None:
    world = World().add(BOTH, manifest("a"), v1="i").hang(candidate("i", **SIGNED))
    ban = {"references": {"requireDigest": False, "denyDigests": [d("i")]}}

    assert stands(judged(world, COSIGN, of("a", tag="v1"))) == PASS
    assert stands(judged(world, COSIGN, of("a", tag="v1"), policy=ban)) == ("untrusted", "no-signature")
    # By itself it may be good.
    assert stands(judged(world.hang(candidate("a", **SIGNED)), COSIGN, of("a"), policy=ban)) == PASS


def test_an_index_in_an_index_hides_nothing_from_the_ban() -> None:
    inner = index("i", a=AMD64)
    outer = replace(
        inner,
        digest=d("o"),
        manifests=(replace(inner.manifests[0], media_type=INDEX, digest=d("i")),),
    )
    world = World().add(outer, inner)

    assert stands(judged(world, {"registry": {}}, of("o"))) == PASS
    assert stands(judged(world, {"registry": {}}, of("o"), policy=BAN_A)) == ("untrusted", "nested-index")


@pytest.mark.parametrize("problem", [THROTTLED, FORBIDDEN])
def test_what_can_t_be_held_against_the_ban_does_not_pass(problem: Problem) -> None:
    world = World()
    world.problems[ImageAt(replace(HERE, digest=d("x")))] = problem

    assert stands(judged(world, {"registry": {}}, of("x"), policy=BAN_A)) == (
        problem.outcome.value,
        problem.code,
    )


def test_without_a_ban_nothing_is_read_for_it() -> None:
    world = World()

    assert stands(judged(world, {"registry": {}}, of("x"))) == PASS
    assert world.rounds == []


# ------------------------------------------------------------------------------------ trees


@pytest.mark.parametrize(
    ("require", "stand"),
    [
        ({"allOf": [COSIGN, {"registry": {}}]}, PASS),
        ({"allOf": [COSIGN, {"cosign": {"key": "other"}}]}, ("untrusted", "wrong-signature")),
        ({"anyOf": [{"cosign": {"key": "other"}}, COSIGN]}, PASS),
        ({"atLeast": {"n": 2, "of": [{"cosign": {"key": "other"}}, COSIGN, {"registry": {}}]}}, PASS),
        (
            {"atLeast": {"n": 3, "of": [{"cosign": {"key": "other"}}, COSIGN, {"registry": {}}]}},
            ("untrusted", "wrong-signature"),
        ),
        # One branch is the policy's fault, another one waits.
        (
            {"anyOf": [{"keyless": {**KEYLESS["keyless"], "root": "old"}}, COSIGN]},
            PASS,
        ),
        (
            {
                "anyOf": [
                    {"keyless": {**KEYLESS["keyless"], "root": "old"}},
                    {"cosign": {"key": "managed"}},
                ]
            },
            ("unverifiable", "unavailable"),
        ),
    ],
)
def test_requirements_make_trees(require: dict[str, Any], stand: tuple[str, str]) -> None:
    world = plain(candidate("a", **SIGNED))
    world.keys[KMS] = THROTTLED

    assert stands(judged(world, require)) == stand


def test_nothing_is_fetched_that_no_rule_needs() -> None:
    world = plain(candidate("a", **SIGNED))
    kinds = frozenset({Kind.COSIGN_SIGNATURE, Kind.BUNDLE})

    assert stands(judged(world, COSIGN)) == PASS
    assert world.rounds == [
        frozenset({ImageAt(replace(HERE, digest=d("a")))}),
        frozenset({AttachedTo(HERE, d("a"), kinds)}),
    ]
