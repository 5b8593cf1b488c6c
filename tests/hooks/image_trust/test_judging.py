"""What becomes of a container: by which rule, for which digest, and never admitted by accident."""

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from hooks.image_trust.containers import Container
from hooks.image_trust.evidence import AttachedTo, Evidence, ImageAt, Kind, SigningStatus, Want
from hooks.image_trust.finding import Digest, Finding, Outcome, Problem
from hooks.image_trust.judging import MAX_ROUNDS, Circumstances, Judged, Verdict, judge
from hooks.image_trust.manifest import Platform
from hooks.image_trust.policy import Policy
from tests.hooks.image_trust.judged_images import (
    AMD64,
    ARM64,
    FORBIDDEN,
    HERE,
    IDENTITY,
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
SIGNED = {"by": "release"}
TAGGED, PINNED = f"{REPOSITORY}:v1", f"{REPOSITORY}@{d('a')}"
ANYWHERE = policy()
KEPT = policy(references={"requireDigest": True})
BY_KEY = policy(COSIGN)


@pytest.fixture(autouse=True, scope="module")
def _verifiers() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        trusting(monkeypatch)
        yield


def stands(found: Judged) -> tuple[str, str]:
    return found.verdict.value, found.finding.code


def shop() -> World:
    """Return a registry with a signed image and two others."""
    world = World().add(manifest("a"), manifest("b"), index("i", a=AMD64, b=ARM64), v1="a")
    return world.hang(candidate("a", **SIGNED))


# ------------------------------------------------------------------------------------ whose rule


def test_a_container_that_no_rule_is_for_is_refused() -> None:
    found = shop().judge("nginx", policy(images=[f"{REPOSITORY}"]))

    assert found == Judged(
        container="web",
        image="nginx",
        digest=None,
        rule=None,
        verdict=Verdict.DENY,
        finding=Finding(
            check="image",
            outcome=Outcome.UNTRUSTED,
            code="no-rule",
            text="no rule of policy 'production' is for docker.io/library/nginx",
        ),
    )


@pytest.mark.parametrize("image", ["", " ", "a b", "UPPER/case", "x" * 2000, "web@sha256:abc", "a" * 64])
def test_an_image_that_can_t_be_read_is_refused(image: str) -> None:
    found = shop().judge(image, ANYWHERE)

    assert found.verdict is Verdict.DENY
    assert found.finding.code in {"malformed-reference", "malformed-digest"}


def test_the_most_specific_rule_decides() -> None:
    strict = {"name": "web", "match": {"images": [f"{REPOSITORY}"]}, "require": COSIGN}
    both = policy(rules=[strict])

    assert (shop().judge(PINNED, both).rule, stands(shop().judge(PINNED, both))) == ("web", ("pass", "ok"))
    unsigned = shop().judge(f"{REPOSITORY}@{d('b')}", both)
    assert (unsigned.rule, stands(unsigned)) == ("web", ("deny", "no-signature"))


@pytest.mark.parametrize(
    ("service", "container", "rule"),
    [("shop/checkout", "web", "web"), ("shop/other", "web", None), ("shop/checkout", "log", None)],
)
def test_a_rule_is_for_its_services_and_containers(service: str, container: str, rule: str | None) -> None:
    mine = {"name": "web", "match": {"images": ["**"], "containers": ["web"], "services": ["shop/checkout"]}}
    found = shop().judge(PINNED, policy(rule=mine), service=service, container=container)

    assert found.rule == rule
    assert (found.verdict is Verdict.PASS) == (rule is not None)


# ------------------------------------------------------------------------------------ by digest or tag


@pytest.mark.parametrize(
    ("by", "require_digest"),
    [(KEPT, False), (ANYWHERE, True), (KEPT, True)],
    ids=["policy", "service", "both"],
)
@pytest.mark.parametrize("is_running", [True, False])
@pytest.mark.parametrize("recorded", [None, d("a")])
def test_a_tag_is_refused_where_anybody_demands_a_digest(
    by: Policy, require_digest: bool, is_running: bool, recorded: Digest | None
) -> None:
    terms = {"require_digest": require_digest, "is_running": is_running, "recorded": recorded}

    assert stands(shop().judge(TAGGED, by, **terms)) == ("deny", "tag")
    assert stands(shop().judge("nginx", by, **terms)) == ("deny", "tag")
    assert stands(shop().judge(PINNED, by, require_digest=require_digest)) == ("pass", "ok")


def test_before_anything_runs_a_tag_is_looked_up_and_what_it_leads_to_is_judged() -> None:
    found = shop().judge(TAGGED, BY_KEY)

    assert (stands(found), found.digest, found.bind) == (("pass", "ok"), d("a"), True)
    assert found.notes == (f"the tag led to {d('a')}",)
    other = World().add(manifest("b"), v1="b").judge(TAGGED, BY_KEY)
    assert (stands(other), other.digest) == (("deny", "no-signature"), d("b"))


@pytest.mark.parametrize(
    ("problem", "stand"),
    [
        (THROTTLED, ("indeterminate", "unavailable")),
        (FORBIDDEN, ("deny", "misconfigured")),
        (Problem(Outcome.UNTRUSTED, "no-image", "not there"), ("deny", "no-image")),
    ],
)
def test_a_tag_that_can_t_be_looked_up_is_what_its_problem_says(
    problem: Problem, stand: tuple[str, str]
) -> None:
    world = World()
    world.problems[ImageAt(replace(HERE, tag="v1"))] = problem
    found = world.judge(TAGGED, ANYWHERE)

    assert (stands(found), found.digest, found.finding.text) == (stand, None, problem.text)


def test_what_ecs_has_recorded_already_is_what_is_judged_and_held_to() -> None:
    world = shop().add(v1="b")
    found = world.judge(TAGGED, BY_KEY, recorded=d("a"))

    assert (stands(found), found.digest, found.bind, found.notes) == (("pass", "ok"), d("a"), True, ())
    assert stands(world.judge(TAGGED, BY_KEY, recorded=d("b"))) == ("deny", "no-signature")


def test_an_image_named_by_digest_binds_nothing() -> None:
    found = shop().judge(PINNED, BY_KEY)

    assert (found.bind, found.notes, found.digest) == (False, (), d("a"))


@pytest.mark.parametrize("recorded", [None, d("a")])
@pytest.mark.parametrize("is_running", [True, False])
@pytest.mark.parametrize("bound", [{}, {"web": d("a")}])
def test_a_tag_that_means_something_new_at_every_start_is_refused(
    recorded: Digest | None, is_running: bool, bound: dict[str, Digest]
) -> None:
    found = shop().judge(
        TAGGED, ANYWHERE, recorded=recorded, is_consistent=False, is_running=is_running, bound=bound
    )

    assert stands(found) == ("deny", "version-consistency-disabled")


def test_by_digest_every_start_means_the_same() -> None:
    assert stands(shop().judge(PINNED, BY_KEY, is_consistent=False)) == ("pass", "ok")


# ------------------------------------------------------------------------------------ what has started

INDEX = f"{REPOSITORY}@{d('i')}"


@pytest.mark.parametrize(
    ("image", "bound", "recorded", "stand"),
    [
        # Named by digest: that, or an image of the index.
        (PINNED, None, "a", ("pass", "ok")),
        (PINNED, None, None, ("pass", "ok")),
        (PINNED, None, "b", ("deny", "drift")),
        (PINNED, "b", "a", ("pass", "ok")),
        (INDEX, None, "i", ("pass", "ok")),
        (INDEX, None, "a", ("pass", "ok")),
        (INDEX, None, "b", ("pass", "ok")),
        (INDEX, None, "x", ("deny", "drift")),
        # Named by tag: what was admitted under it.
        (TAGGED, "a", "a", ("pass", "ok")),
        (TAGGED, "a", "b", ("deny", "drift")),
        (TAGGED, "i", "i", ("pass", "ok")),
        (TAGGED, "i", "a", ("pass", "ok")),
        (TAGGED, "i", "x", ("deny", "drift")),
        (TAGGED, "a", "i", ("deny", "drift")),
        (TAGGED, "a", None, ("indeterminate", "not-recorded")),
        (TAGGED, None, None, ("indeterminate", "not-recorded")),
        # Nothing was admitted: what runs is judged, as it would have been.
        (TAGGED, None, "a", ("pass", "ok")),
        (TAGGED, None, "x", ("pass", "ok")),
    ],
)
def test_what_has_started_has_to_be_what_was_admitted(
    image: str, bound: str | None, recorded: str | None, stand: tuple[str, str]
) -> None:
    world = World().add(manifest("a"), manifest("b"), index("i", a=AMD64, b=ARM64), v1="b")
    found = world.judge(
        image,
        ANYWHERE,
        recorded=d(recorded) if recorded else None,
        is_running=True,
        bound={"web": d(bound)} if bound else {},
    )

    assert stands(found) == stand
    assert found.bind is False


def test_what_drifted_says_from_what_to_what() -> None:
    found = shop().judge(TAGGED, BY_KEY, recorded=d("b"), is_running=True, bound={"web": d("a")})

    assert found.finding.text == f"admitted was {d('a')}, ECS runs {d('b')}"
    assert found.verdict is Verdict.DENY


def test_what_runs_without_having_been_admitted_is_judged_and_said() -> None:
    terms = {"is_running": True, "bound": {"log": d("a")}}
    found = shop().judge(TAGGED, BY_KEY, recorded=d("a"), **terms)

    assert (stands(found), found.notes) == (("pass", "ok"), ("was not admitted before it started",))
    assert stands(shop().judge(TAGGED, BY_KEY, recorded=d("b"), **terms)) == ("deny", "no-signature")


def test_what_was_admitted_is_judged_again_after_it_started() -> None:
    terms = {"recorded": d("b"), "is_running": True, "bound": {"web": d("b")}}

    assert stands(shop().judge(TAGGED, BY_KEY, **terms)) == ("deny", "no-signature")


def test_a_binding_to_an_index_does_not_admit_whatever_somebody_put_into_it() -> None:
    """Whoever could write the binding, or had such an index admitted, gets no further than the policy."""
    world = shop().add(index("evil", a=AMD64, b=ARM64))
    terms = {"is_running": True, "bound": {"web": d("evil")}, "platform": AMD64}

    assert stands(world.judge(TAGGED, BY_KEY, recorded=d("a"), **terms)) == ("pass", "ok")
    assert stands(world.judge(TAGGED, BY_KEY, recorded=d("b"), **terms)) == ("deny", "no-signature")


@pytest.mark.parametrize(
    ("problem", "stand"),
    [(THROTTLED, ("indeterminate", "unavailable")), (FORBIDDEN, ("deny", "misconfigured"))],
)
def test_whether_it_drifted_is_not_known_without_the_index(problem: Problem, stand: tuple[str, str]) -> None:
    world = World()
    world.problems[ImageAt(replace(HERE, digest=d("i")))] = problem

    assert stands(world.judge(INDEX, ANYWHERE, recorded=d("a"), is_running=True)) == stand


# ------------------------------------------------------------------------------------ only observed


@pytest.mark.parametrize(
    ("by", "observed"),
    [
        (policy(COSIGN), False),
        (policy(COSIGN, mode="observe"), True),
        (policy(COSIGN, rule={"mode": "observe"}), True),
    ],
)
def test_what_is_only_observed_is_judged_all_the_same(by: Policy, observed: bool) -> None:
    unsigned = shop().judge(f"{REPOSITORY}@{d('b')}", by)
    tag = shop().judge(TAGGED, by, require_digest=True)

    assert (stands(unsigned), unsigned.observed) == (("deny", "no-signature"), observed)
    assert (stands(tag), tag.observed) == (("deny", "tag"), observed)


@pytest.mark.parametrize(("mode", "observed"), [("observe", True), ("enforce", False)])
def test_without_a_rule_only_the_policy_says_whether_it_is_observed(mode: str, observed: bool) -> None:
    by = policy(images=["ghcr.io/**"], rule={"mode": "observe"}, mode=mode)

    assert shop().judge("nginx", by).observed == observed
    assert shop().judge("no image", by).observed == observed


@pytest.mark.parametrize(("mode", "observed"), [("enforce", False), ("observe", True)])
def test_a_ban_is_the_policy_s_word_whatever_the_rule_only_observes(mode: str, observed: bool) -> None:
    by = policy(rule={"mode": "observe"}, mode=mode, references={"denyDigests": [d("a")]})
    found = shop().judge(PINNED, by)

    assert (stands(found), found.observed) == (("deny", "denied-digest"), observed)


# ------------------------------------------------------------------------------------ exemptions


def exempting(digest: str, require: dict[str, Any] = COSIGN, **changes: Any) -> Policy:
    exemption = {
        "name": "INC-1",
        "rule": "our own",
        "digests": [d(digest)],
        "reason": "the signing service is down",
        "approvedBy": "on call",
        "approved": (NOW - timedelta(days=1)).isoformat(),
        "expires": (NOW + timedelta(days=1)).isoformat(),
        **changes.pop("exemption", {}),
    }
    return policy(require, exemptions=[exemption], **changes)


OTHER = f"{REPOSITORY}@{d('b')}"


def test_an_exemption_admits_its_digest_and_says_so() -> None:
    found = shop().judge(OTHER, exempting("b"))

    assert (stands(found), found.exemption) == (("exempt", "no-signature"), "INC-1")
    assert found.notes == ("exempt until 2026-03-06 12:00 UTC: the signing service is down",)
    assert found.write()["exemption"] == "INC-1"


def test_what_passes_needs_no_exemption() -> None:
    found = shop().judge(PINNED, exempting("a"))

    assert (stands(found), found.exemption, found.notes) == (("pass", "ok"), None, ())


def test_an_exemption_holds_for_what_is_not_known_too() -> None:
    world = shop().lack("b", THROTTLED)

    assert stands(world.judge(OTHER, BY_KEY)) == ("indeterminate", "unavailable")
    assert stands(world.judge(OTHER, exempting("b"))) == ("exempt", "unavailable")


@pytest.mark.parametrize(
    "exemption",
    [
        {"digests": [d("a")]},
        {"containers": ["log"]},
        {"expires": NOW.isoformat()},
        {"approved": (NOW + timedelta(seconds=1)).isoformat()},
    ],
)
def test_an_exemption_is_for_one_digest_one_container_and_a_while(exemption: dict[str, Any]) -> None:
    assert stands(shop().judge(OTHER, exempting("b", exemption=exemption))) == ("deny", "no-signature")


def test_an_exemption_from_another_rule_is_none() -> None:
    strict = {"name": "web", "match": {"images": [REPOSITORY]}, "require": COSIGN}

    assert stands(shop().judge(OTHER, exempting("b", {"registry": {}}, rules=[strict]))) == (
        "deny",
        "no-signature",
    )


@pytest.mark.parametrize(
    ("image", "terms", "changes", "code"),
    [
        (OTHER, {}, {"references": {"denyDigests": [d("b")]}}, "denied-digest"),
        (OTHER, {"recorded": d("a"), "is_running": True}, {}, "drift"),
        (TAGGED, {}, {"references": {"requireDigest": True}}, "tag"),
        (TAGGED, {"recorded": d("b"), "is_running": True, "bound": {"web": d("a")}}, {}, "drift"),
        (TAGGED, {"recorded": d("b"), "is_consistent": False}, {}, "version-consistency-disabled"),
        (OTHER, {}, {"images": ["ghcr.io/**"]}, "no-rule"),
        (f"{REPOSITORY}@@{d('b')}", {}, {}, "malformed-digest"),
        (TAGGED, {"is_running": True}, {}, "not-recorded"),
    ],
)
def test_an_exemption_is_from_what_has_to_be_proven_and_nothing_else(
    image: str, terms: dict[str, Any], changes: dict[str, Any], code: str
) -> None:
    found = shop().judge(image, exempting("b", **changes), **terms)

    assert found.verdict in {Verdict.DENY, Verdict.INDETERMINATE}
    assert found.finding.code == code


def test_an_exempt_index_with_a_banned_image_in_it_is_banned() -> None:
    by = exempting("i", references={"denyDigests": [d("b")]})

    assert stands(shop().judge(INDEX, by)) == ("deny", "denied-digest")


@pytest.mark.parametrize(("problem", "verdict"), [(THROTTLED, "indeterminate"), (FORBIDDEN, "deny")])
def test_an_exemption_waits_for_what_could_be_banned(problem: Problem, verdict: str) -> None:
    world = shop()
    world.problems[ImageAt(replace(HERE, digest=d("b")))] = problem

    assert stands(world.judge(OTHER, exempting("b"))) == ("exempt", problem.code)
    assert stands(world.judge(OTHER, exempting("b", references={"denyDigests": [d("x")]}))) == (
        verdict,
        problem.code,
    )


def test_an_exempt_tag_is_bound_as_any_other() -> None:
    found = shop().add(v1="b").judge(TAGGED, exempting("b"))

    assert (found.verdict, found.digest, found.bind) == (Verdict.EXEMPT, d("b"), True)
    assert found.notes == (
        f"the tag led to {d('b')}",
        "exempt until 2026-03-06 12:00 UTC: the signing service is down",
    )


# ------------------------------------------------------------------------------------ several containers


def several(world: World, by: Policy, *images: str) -> tuple[Judged, ...]:
    containers = [Container(name=f"c{number}", image=image) for number, image in enumerate(images)]
    return judge(containers, Circumstances(policy=by, service="shop/checkout", now=NOW), world.fetch)


def test_one_container_s_trouble_is_not_another_s() -> None:
    world = shop().lack("b", THROTTLED)
    found = several(world, BY_KEY, PINNED, OTHER, "no image", f"{REPOSITORY}@{d('x')}", TAGGED)

    assert [(one.container, *stands(one)) for one in found] == [
        ("c0", "pass", "ok"),
        ("c1", "indeterminate", "unavailable"),
        ("c2", "deny", "malformed-reference"),
        ("c3", "deny", "no-image"),
        ("c4", "pass", "ok"),
    ]


def test_what_several_need_is_asked_for_once() -> None:
    world = shop()
    several(world, BY_KEY, *[PINNED] * 9)

    assert [len(wants) for wants in world.rounds] == [1, 1]


def test_all_that_is_wanted_is_wanted_at_once_and_in_one_order() -> None:
    orders: list[list[Want]] = []

    def fetch(wants: Any, evidence: Evidence) -> None:
        orders.append(list(wants))
        world.fetch(orders[-1], evidence)

    for images in ((PINNED, OTHER), (OTHER, PINNED)):
        world = shop()
        containers = [Container(name="c", image=image) for image in images]
        judge(containers, Circumstances(policy=BY_KEY, service="s", now=NOW), fetch)
    assert orders[:2] == orders[2:]
    assert [len(wants) for wants in orders] == [2, 2, 2, 2]


# ------------------------------------------------------------------------------------ how long


def test_the_longest_way_to_a_verdict_ends_in_time() -> None:
    """Tag, image, index's signatures, their revocation, images', theirs, whether they are being signed."""
    world = World().add(index("i", a=AMD64), v1="i")
    for name in "ia":
        world.hang(candidate(name, Kind.NOTATION, by=PROFILE, job=name))
        world.revoked[name] = ("arn:job",)
        world.signing[d(name)] = (SigningStatus(PROFILE, "COMPLETE"),)
    found = world.judge(TAGGED, policy({"awsSigner": {"profiles": [PROFILE]}}))

    assert stands(found) == ("deny", "revoked")
    assert [{type(want).__name__ for want in wants} for wants in world.rounds] == [
        {"ImageAt"},
        {"ImageAt"},
        {"AttachedTo"},
        {"RevocationOf"},
        {"AttachedTo"},
        {"RevocationOf"},
        {"SigningOf"},
    ]
    assert len(world.rounds) < MAX_ROUNDS


def test_an_image_its_index_and_its_tag_take_no_longer() -> None:
    world = World().add(manifest("a"), index("i", a=AMD64), v1="i")
    for name in "ia":
        world.hang(candidate(name, Kind.NOTATION, by=PROFILE, job=name))
        world.revoked[name] = ("arn:job",)
    found = world.judge(f"{TAGGED}@{d('a')}", policy({"awsSigner": {"profiles": [PROFILE]}}))

    assert stands(found) == ("deny", "revoked")
    assert len(world.rounds) < MAX_ROUNDS


def test_a_key_a_log_and_a_tag_take_no_longer() -> None:
    world = World().add(index("i", a=AMD64), v1="i")
    world.hang(candidate("a", by="managed", logged="2026-03-01T00:00:00+00:00"))
    world.hang(candidate("i", by="managed"))
    found = world.judge(TAGGED, policy({"cosign": {"key": "managed", "log": "public"}}))

    assert stands(found) == ("pass", "ok")
    assert len(world.rounds) < MAX_ROUNDS


def test_whoever_asks_on_and_on_ends() -> None:
    with pytest.raises(RuntimeError, match=f"still wanted after {MAX_ROUNDS} rounds"):
        judge(
            [Container(name="web", image=PINNED)],
            Circumstances(policy=BY_KEY, service="s", now=NOW),
            lambda *_: None,
        )


# ------------------------------------------------------------------------------------ the record


def test_a_verdict_is_written_with_what_it_rests_on() -> None:
    assert shop().judge(TAGGED, BY_KEY).write() == {
        "container": "web",
        "image": TAGGED,
        "digest": d("a"),
        "rule": "our own",
        "verdict": "pass",
        "observed": False,
        "notes": [f"the tag led to {d('a')}"],
        "finding": {
            "check": "cosign",
            "outcome": "pass",
            "code": "ok",
            "text": "signed by key release",
            "evidence": {
                "signatures": [
                    {
                        "signer": "key release",
                        "digest": d("a"),
                        "in": d("m"),
                        "kind": "cosign-signature",
                    }
                ]
            },
        },
    }


# ------------------------------------------------------------------------------------ whatever evidence
#
# The oracle reads the world that a test made up, not the evidence, and by another road: level by level. At
# the level of "proven" only what holds counts; at the level of "may still be proven" what is not known now
# counts as well, and so on. The best level at which the rule is fulfilled is what has to come out.

KEYS = ("release", "other")
LEVELS = (Outcome.PASS, Outcome.UNVERIFIABLE, Outcome.MISCONFIGURED)
PROBLEMS = {"waits": THROTTLED, "wrong": FORBIDDEN}
COUNTS_FROM = {"waits": Outcome.UNVERIFIABLE, "wrong": Outcome.MISCONFIGURED}


@dataclass(frozen=True)
class Case:
    """A world: an index ``i`` of ``a``, ``b`` and ``c``, and the image ``a`` with the tag ``v1``."""

    image: str
    recorded: str | None
    platform: Platform | None
    platforms: dict[str, Platform | None]
    tag_leads_to: str | None
    hanging: dict[str, list[str]]
    """By image: ``release``, ``other``; ``stolen``, ``crash``; ``waits``, ``wrong``."""
    unreadable: dict[str, str]
    """By image: why what hangs on it can't be read at all."""
    lost: dict[str, str]
    """By image or tag: why it itself can't be read."""
    key: str
    """How the managed key is: ``there``, ``waits``, ``wrong``."""
    scope: str
    require: dict[str, Any]
    denied: tuple[str, ...]


def counts(why: str | None, level: Outcome) -> bool:
    """Tell whether what is not known for this reason counts at a level."""
    return why is None or (why in COUNTS_FROM and LEVELS.index(COUNTS_FROM[why]) <= LEVELS.index(level))


def oracle(case: Case) -> Outcome:
    """Say how the case has to stand."""
    return outright(case) or next(
        (level for level in LEVELS if fulfilled(case, case.require, level)), Outcome.UNTRUSTED
    )


def outright(case: Case) -> Outcome | None:
    """Say how it stands before the rule is asked: for what has started, and for what is banned."""
    subject = case.image.partition("@")[2]
    drifts = case.recorded not in {None, subject}
    lost = case.lost.get(subject)
    if {subject, *({case.recorded} if case.recorded else ())} & set(case.denied) and not (drifts and lost):
        return Outcome.UNTRUSTED
    if lost and (drifts or case.denied):
        return PROBLEMS[lost].outcome
    listed = set(case.platforms) if subject == "i" else set()
    is_banned = bool(listed & set(case.denied))
    return Outcome.UNTRUSTED if is_banned or (drifts and case.recorded not in listed) else None


def fulfilled(case: Case, require: dict[str, Any], level: Outcome) -> bool:
    ((name, said),) = require.items()
    match name:
        case "allOf":
            return all(fulfilled(case, one, level) for one in said)
        case "anyOf":
            return any(fulfilled(case, one, level) for one in said)
        case "atLeast":
            return sum(fulfilled(case, one, level) for one in said["of"]) >= said["n"]
        case "registry":
            return "accounts" not in said
        case "pinned":
            return d(case.image.partition("@")[2]) in said["digests"]
    return signed(case, said["key"], level)


def signed(case: Case, key: str, level: Outcome) -> bool:
    subject = case.image.partition("@")[2]
    if key == "managed" and case.key != "there":
        return counts(case.key, level)
    if why := case.lost.get(subject):
        return counts(why, level)
    if subject != "i":
        ways = [{subject}]
        if case.scope != "platform" and ":v1@" in case.image:
            if why := case.lost.get("v1"):
                if counts(why, level):
                    return True
            elif case.tag_leads_to == "i" and subject in case.platforms and "i" not in case.denied:
                ways.append({"i"})
    else:
        may_run = {name for name, platform in case.platforms.items() if may_be_run(platform, case.platform)}
        may_run |= {case.recorded} - {None, "i"}  # type: ignore[arg-type]  # the difference has none
        ways = [] if case.scope == "platform" else [{"i"}]
        ways += [may_run] if case.scope != "index" and may_run else []
    return any(all(holds(case, one, key, level) for one in way) for way in ways)


def holds(case: Case, name: str, key: str, level: Outcome) -> bool:
    if why := case.unreadable.get(name):
        return counts(why, level)
    return any(
        one == key or (one in COUNTS_FROM and counts(one, level)) for one in case.hanging.get(name, [])
    )


def may_be_run(listed: Platform | None, machine: Platform | None) -> bool:
    if machine is None or listed is None:
        return True
    smaller = {"amd64": "386", "arm64": "arm"}[machine.architecture]
    return listed.os in {"", "linux"} and listed.architecture in {"", machine.architecture, smaller}


def made(case: Case) -> tuple[World, str, Policy]:
    """Make the case's world."""
    says: dict[str, dict[str, Any]] = {
        "stolen": {"by": "release", "of": d("z")},
        "crash": {"raises": "crash"},
        "waits": {"raises": "transient"},
        "wrong": {"raises": "misconfigured"},
    }
    world = World().add(manifest("a"), manifest("x"), index("i", **case.platforms))
    if case.tag_leads_to:
        world.add(v1=case.tag_leads_to)
    for name, hanging in case.hanging.items():
        kinds = itertools.cycle((Kind.COSIGN_SIGNATURE, Kind.BUNDLE))
        world.hang(*(candidate(name, next(kinds), **says.get(one, {"by": one})) for one in hanging))
    kinds_ = frozenset({Kind.COSIGN_SIGNATURE, Kind.BUNDLE})
    for name, why in case.unreadable.items():
        world.problems[AttachedTo(HERE, d(name), kinds_)] = PROBLEMS[why]
    head, _, subject = case.image.partition("@")
    tag = head.removeprefix("R").removeprefix(":") or None
    for name, why in case.lost.items():
        where = replace(HERE, tag=tag) if name == "v1" else replace(HERE, tag=tag, digest=d(name))
        world.problems[ImageAt(where)] = PROBLEMS[why]
    world.keys[KMS] = b"managed" if case.key == "there" else PROBLEMS[case.key]
    by = policy(
        case.require,
        rule={"multiArch": case.scope},
        references={"requireDigest": False, "denyDigests": [d(name) for name in case.denied]},
    )
    return world, f"{REPOSITORY}{':' + tag if tag else ''}@{d(subject)}", by


LEAVES = st.sampled_from(
    [
        {"cosign": {"key": "release"}},
        {"cosign": {"key": "other"}},
        {"cosign": {"key": "managed"}},
        {"pinned": {"digests": [d("a")]}},
        {"pinned": {"digests": [d("i"), d("z")]}},
        {"registry": {}},
        {"registry": {"accounts": ["999999999999"]}},
    ]
)


@st.composite
def at_least(draw: st.DrawFn, inner: st.SearchStrategy[dict[str, Any]]) -> dict[str, Any]:
    of = draw(st.lists(inner, min_size=1, max_size=3))
    return {"atLeast": {"n": draw(st.integers(1, len(of))), "of": of}}


REQUIREMENTS = LEAVES | st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(lambda of: {"allOf": of})
        | st.lists(inner, min_size=1, max_size=3).map(lambda of: {"anyOf": of})
        | at_least(inner)
    ),
    max_leaves=6,
)
WHY = st.sampled_from(["waits", "wrong"])
CANDIDATES = st.sampled_from([*KEYS, "managed", "release", "stolen", "crash", "waits", "wrong"])
PLATFORMS = st.sampled_from(
    [AMD64, ARM64, None, Platform("linux", "386"), Platform("", "amd64"), Platform("windows", "amd64")]
)
CASES = st.builds(
    Case,
    image=st.sampled_from(["R@a", "R:v1@a", "R@i", "R:v1@i"]),
    recorded=st.sampled_from([None, None, "a", "i", "b", "x"]),
    platform=st.sampled_from([None, AMD64, ARM64]),
    platforms=st.fixed_dictionaries({}, optional={"a": PLATFORMS, "b": PLATFORMS, "c": PLATFORMS}),
    tag_leads_to=st.sampled_from([None, "a", "i", "i"]),
    hanging=st.dictionaries(st.sampled_from("aabci"), st.lists(CANDIDATES, max_size=4), max_size=4),
    unreadable=st.dictionaries(st.sampled_from("abi"), WHY, max_size=1),
    lost=st.dictionaries(st.sampled_from(["a", "i", "v1"]), WHY, max_size=1) | st.just({}),
    key=st.sampled_from(["there", "there", "waits", "wrong"]),
    scope=st.sampled_from(["either", "either", "index", "platform"]),
    require=REQUIREMENTS,
    denied=st.just(()) | st.sampled_from([("a",), ("i",), ("b",), ("z",)]),
)

VERDICTS = {
    Outcome.PASS: Verdict.PASS,
    Outcome.UNVERIFIABLE: Verdict.INDETERMINATE,
    Outcome.MISCONFIGURED: Verdict.DENY,
    Outcome.UNTRUSTED: Verdict.DENY,
}


@settings(max_examples=500, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(CASES)
def test_whatever_the_evidence_it_stands_as_the_oracle_says(case: Case) -> None:
    world, image, by = made(case)
    recorded = d(case.recorded) if case.recorded else None
    found = world.judge(image, by, recorded=recorded, platform=case.platform, is_running=True)

    assert (found.finding.outcome, found.verdict) == (oracle(case), VERDICTS[oracle(case)])


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(CASES, st.randoms())
def test_in_whatever_order_evidence_comes_the_verdict_is_the_same(case: Case, random: Any) -> None:
    world, image, by = made(case)
    recorded = d(case.recorded) if case.recorded else None

    def verdict(fetch: Callable[..., None]) -> Outcome:
        container = Container(name="web", image=image, recorded=recorded, platform=case.platform)
        terms = Circumstances(policy=by, service="s", now=NOW, is_running=True)
        return judge([container], terms, fetch)[0].finding.outcome

    before = verdict(world.fetch)
    for subject, attachments in world.hanging.items():
        shuffled = list(attachments.found)
        random.shuffle(shuffled)
        world.hanging[subject] = replace(attachments, found=tuple(shuffled))

    def backwards(wants: Any, evidence: Evidence) -> None:
        world.fetch(reversed(list(wants)), evidence)

    assert verdict(backwards) is before


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(CASES, st.sampled_from("abci"), st.lists(CANDIDATES, min_size=1, max_size=3))
def test_nothing_that_is_attached_on_top_takes_a_pass_away(case: Case, name: str, more: list[str]) -> None:
    signed = {one: [*case.hanging.get(one, []), *KEYS, "managed"] for one in "abci"}
    case = replace(case, hanging=signed, lost={}, unreadable={}, key="there", denied=())
    assume(oracle(case) is Outcome.PASS)
    world, image, by = made(replace(case, hanging={**signed, name: [*more, *signed[name]]}))
    recorded = d(case.recorded) if case.recorded else None

    assert world.judge(image, by, recorded=recorded, platform=case.platform, is_running=True).verdict is (
        Verdict.PASS
    )


def test_the_oracle_says_all_that_can_be_said() -> None:
    """So that agreeing with it means something."""
    case = Case("R@a", None, None, {"a": AMD64}, "i", {}, {}, {}, "there", "either", COSIGN, ())
    other = {"cosign": {"key": "other"}}

    assert oracle(replace(case, hanging={"a": ["release"]})) is Outcome.PASS
    assert oracle(replace(case, hanging={"a": ["other"]}, require={"anyOf": [COSIGN, other]})) is Outcome.PASS
    assert oracle(replace(case, hanging={"i": ["release"]}, image="R:v1@a")) is Outcome.PASS
    assert oracle(replace(case, hanging={"a": ["waits"]})) is Outcome.UNVERIFIABLE
    assert oracle(replace(case, hanging={"a": ["wrong"]})) is Outcome.MISCONFIGURED
    assert oracle(replace(case, hanging={"a": ["stolen", "crash"]})) is Outcome.UNTRUSTED
    assert oracle(replace(case, hanging={"a": ["release"]}, denied=("a",))) is Outcome.UNTRUSTED
    assert json.dumps(case.require)


def test_an_identity_is_a_signer_like_any_other() -> None:
    keyless = {"root": "public", "issuer": "https://token.actions", "identity": IDENTITY}
    world = World().add(manifest("a")).hang(candidate("a", by=IDENTITY))

    assert stands(world.judge(PINNED, policy({"keyless": keyless}))) == ("pass", "ok")
