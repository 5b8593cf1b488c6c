"""The image trust hook on the stage machine: under every value of every switch, with ECR beside it.

What is proven starts, and nothing else does: no task of a revision that is refused at PRE_SCALE_UP ever runs,
and one that ECS starts from another image than was admitted gets no traffic. A rollback is never held up.
"""

import random
from collections.abc import Sequence
from typing import Any

import pytest

from hooks.image_trust.handler import handler
from rehearsal.outcome import HookCalled, Outcome, WeightsChanged
from rehearsal.scenario import Scenario
from rehearsal.switches import Switches, values
from rehearsal.world import Rehearsal
from shared.lifecycle import Stage
from tests.conformance.cases import every_switch

ADMITS_AT = (Stage.PRE_SCALE_UP, Stage.POST_SCALE_UP)
USELESS_AT = tuple(stage for stage in Stage if stage not in ADMITS_AT)

OLD, NEW, OTHER = "shop/checkout:41", "shop/checkout:42", "shop/checkout:43"
BY_KEY: dict[str, Any] = {"signed": [{"by": "release"}]}
BY_SIGNER: dict[str, Any] = {"signed": [{"how": "signer", "by": "ci"}]}
FOR_BOTH: dict[str, Any] = {**BY_KEY, "platforms": ["amd64", "arm64"]}
UNSIGNED: dict[str, Any] = {}

KEY: dict[str, Any] = {"cosign": {"key": "release"}}
SIGNER: dict[str, Any] = {"awsSigner": {"store": "signer", "profiles": ["${profile ci}"]}}
POLICY: dict[str, Any] = {
    "version": 1,
    "name": "shop",
    "references": {"requireDigest": False},
    "trust": {
        "keys": {"release": {"pem": "${key release}"}},
        "stores": {"signer": {"type": "signingAuthority", "fingerprints": ["${fingerprint}"]}},
    },
}


# A run is about what is said and when, and each look takes as long here as it does anywhere.
DETAILS: dict[str, Any] = {"pollSeconds": 60}


def policy(require: dict[str, Any] = KEY, **more: Any) -> dict[str, Any]:
    rule = {"name": "ours", "match": {"images": ["${ecr}/shop/**"]}, "require": require}
    return {**POLICY, "rules": [rule], **more}


def rehearse(
    rehearsal: Rehearsal,
    switches: dict[str, str],
    *actors: dict[str, Any],
    green: dict[str, Any] = BY_KEY,
    require: dict[str, Any] = KEY,
    stages: Sequence[Stage] = ADMITS_AT,
    registry: dict[str, Any] | None = None,
    details: dict[str, Any] | None = None,
    seed: int = 0,
    **parts: Any,
) -> Outcome:
    """Run a deployment with the hook at *stages*, and hold what must always hold against it."""
    service = {"images": {"app": [OLD, NEW]}, "scaleUp": 60, **parts.pop("service", {})}
    images = {OLD: BY_KEY, NEW: green, OTHER: BY_KEY}
    shelf = {"images": images, "policy": policy(require), **(registry or {})}
    scenario = Scenario.model_validate(
        {
            "name": "conformance",
            "service": service,
            "strategy": {"type": "BLUE_GREEN", "bakeTimeInMinutes": 1},
            "hooks": [
                {"hook": "image_trust", "stages": list(stages), "hookDetails": {**DETAILS, **(details or {})}}
            ],
            "actors": [{"registry": shelf}, *actors],
            "expect": {"status": "SUCCESSFUL"},
            **parts,
        }
    )
    outcome = rehearsal.run(scenario, seed=seed, switches=switches)
    assert {call.answer for call in calls(outcome, rollback=True)} <= {"SUCCEEDED"}
    for call in outcome.calls:
        if call.record and call.record["inputs"]:
            assert handler.replay(call.record) == call.record["verdict"]
    assert_nothing_starts_unproven(rehearsal, outcome)
    return outcome


def assert_nothing_starts_unproven(rehearsal: Rehearsal, outcome: Outcome) -> None:
    """Hold the tasks and the traffic of each deployment against what the hook has said."""
    plane = rehearsal.cloud.control_plane
    for deployment in plane.deployments.values():
        said = {
            stage: [
                call
                for call in calls(outcome)
                if (call.deployment, call.stage) == (deployment.arn.id, stage) and call.hook == "image_trust"
            ]
            for stage in ADMITS_AT
        }
        admitted = [call.at for call in said[Stage.PRE_SCALE_UP] if call.answer == "SUCCEEDED"]
        if said[Stage.PRE_SCALE_UP]:
            started = [task.created_at for task in plane.tasks_of(deployment.target.arn)]
            assert bool(started) <= bool(admitted), "a task was made that nobody admitted"
            for moment in started:
                assert (moment - outcome.started_at).total_seconds() >= min(admitted)
        if any(call.answer == "FAILED" for call in said[Stage.POST_SCALE_UP]):
            moved = [
                one.green
                for one in outcome.happenings
                if isinstance(one, WeightsChanged) and one.deployment == deployment.arn.id
            ]
            assert not any(moved), "traffic went to what was refused"


def calls(outcome: Outcome, *, rollback: bool = False) -> list[HookCalled]:
    return [call for call in outcome.calls if call.rollback == rollback]


def reasons(outcome: Outcome, *, rollback: bool = False) -> list[str]:
    """Return the reasons of the answers that ended a stage."""
    return [
        str(call.record["verdict"]["reason"])
        for call in calls(outcome, rollback=rollback)
        if call.record and call.answer != "IN_PROGRESS"
    ]


def answers(outcome: Outcome) -> list[tuple[str, str]]:
    """Return how each stage ended on the way forward, duplicates left out."""
    ended = [(call.stage, call.answer) for call in calls(outcome) if call.answer != "IN_PROGRESS"]
    return list(dict.fromkeys(ended))


PASSES = [("PRE_SCALE_UP", "SUCCEEDED"), ("POST_SCALE_UP", "SUCCEEDED")]
NEVER_STARTS = [("PRE_SCALE_UP", "FAILED")]
STARTS_AND_ENDS = [("PRE_SCALE_UP", "SUCCEEDED"), ("POST_SCALE_UP", "FAILED")]


# Proven, or not


@every_switch
@pytest.mark.parametrize("named", ["digest", "tag"])
def test_what_is_proven_runs(rehearsal: Rehearsal, switches: dict[str, str], named: str) -> None:
    outcome = rehearse(rehearsal, switches, registry={"named": named})

    assert (outcome.status, answers(outcome)) == ("SUCCESSFUL", PASSES)
    assert set(reasons(outcome)) == {"policy 'shop' admits 1 container"}


@every_switch
def test_what_is_not_proven_never_starts(rehearsal: Rehearsal, switches: dict[str, str]) -> None:
    outcome = rehearse(rehearsal, switches, green=UNSIGNED)

    assert (outcome.status, answers(outcome)) == ("ROLLBACK_SUCCESSFUL", NEVER_STARTS)


@every_switch
def test_an_image_for_several_platforms_is_one_image(rehearsal: Rehearsal, switches: dict[str, str]) -> None:
    outcome = rehearse(rehearsal, switches, green=FOR_BOTH, registry={"named": "tag"})

    assert (outcome.status, answers(outcome)) == ("SUCCESSFUL", PASSES)


@pytest.mark.parametrize("recorded", ["index", "platform"])
@pytest.mark.parametrize(
    ("multi_arch", "over", "expected"),
    [
        ("either", "image", PASSES),
        ("either", "platforms", PASSES),
        ("index", "image", PASSES),
        ("index", "platforms", NEVER_STARTS),
        ("platform", "image", NEVER_STARTS),
        ("platform", "platforms", PASSES),
    ],
)
def test_a_rule_says_what_of_several_platforms_is_to_be_signed(
    rehearsal: Rehearsal, recorded: str, multi_arch: str, over: str, expected: list[tuple[str, str]]
) -> None:
    rules = [{**policy()["rules"][0], "multiArch": multi_arch}]
    outcome = rehearse(
        rehearsal,
        {"recorded_digest": recorded},
        green={**FOR_BOTH, "signed": [{"by": "release", "over": over}]},
        registry={"named": "tag", "policy": {**POLICY, "rules": rules}},
        service={"architecture": "ARM64"},
    )

    assert answers(outcome) == expected


SIGNED_BY_OTHERS: dict[str, dict[str, Any]] = {
    "another key": {"signed": [{"by": "mallory"}]},
    "another key's bundle": {"signed": [{"by": "mallory", "how": "bundle"}]},
    "another profile": {"signed": [{"how": "signer", "by": "other"}]},
    "many others": {"signed": [{"by": f"m{number}", "how": "bundle"} for number in range(20)]},
}


@pytest.mark.parametrize("require", [KEY, SIGNER], ids=["key", "signer"])
@pytest.mark.parametrize("green", SIGNED_BY_OTHERS.values(), ids=SIGNED_BY_OTHERS)
def test_signatures_of_others_prove_nothing(
    rehearsal: Rehearsal, green: dict[str, Any], require: dict[str, Any]
) -> None:
    outcome = rehearse(rehearsal, {}, green=green, require=require)

    assert answers(outcome) == NEVER_STARTS


def test_signatures_of_others_hide_no_good_one(rehearsal: Rehearsal) -> None:
    others = [{"by": f"m{number}", "how": "bundle"} for number in range(20)]
    green = {"signed": [*others, {"by": "release", "how": "bundle"}, *BY_SIGNER["signed"], {"by": "mallory"}]}
    for require in (KEY, SIGNER):
        assert answers(rehearse(rehearsal, {}, green=green, require=require)) == PASSES


def test_a_key_in_kms_is_read_with_the_permissions_of_the_template(rehearsal: Rehearsal) -> None:
    trust = {"keys": {"release": {"kms": "${kms release}"}}}
    shelf = {"policy": policy(trust=trust)}

    assert answers(rehearse(rehearsal, {}, registry=shelf)) == PASSES
    assert answers(rehearse(rehearsal, {}, registry=shelf, green=SIGNED_BY_OTHERS["another key"])) == (
        NEVER_STARTS
    )


@pytest.mark.parametrize(
    ("found", "expected"),
    [({}, PASSES), ({"HIGH": 3}, PASSES), ({"CRITICAL": 1}, NEVER_STARTS), (None, NEVER_STARTS)],
    ids=str,
)
def test_what_ecr_has_found_is_held_against_the_rule(
    rehearsal: Rehearsal, found: dict[str, int] | None, expected: list[tuple[str, str]]
) -> None:
    require = {"ecr": {"scan": {"maxAgeHours": 24, "block": {"CRITICAL": 0}}}}
    outcome = rehearse(rehearsal, {}, green={"found": found}, require=require)

    assert answers(outcome) == expected


@pytest.mark.parametrize(("immutable", "expected"), [(True, PASSES), (False, NEVER_STARTS)])
def test_tags_have_to_stay_where_the_rule_says_so(
    rehearsal: Rehearsal, immutable: bool, expected: list[tuple[str, str]]
) -> None:
    require = {"ecr": {"tagImmutability": "required"}}
    outcome = rehearse(rehearsal, {}, require=require, registry={"immutable": immutable, "named": "tag"})

    assert answers(outcome) == expected


# Every container


def test_every_container_has_to_be_proven(rehearsal: Rehearsal) -> None:
    vendor = {
        "name": "vendors",
        "match": {"images": ["${ecr}/vendor/**"]},
        "require": {"pinned": {"digests": ["${digest vendor/proxy:1}"]}},
    }
    images = {OLD: BY_KEY, NEW: BY_KEY, "vendor/proxy:1": UNSIGNED, "vendor/proxy:2": UNSIGNED}
    shelf = {"images": images, "policy": {**policy(), "rules": [*policy()["rules"], vendor]}}
    expected = {"vendor/proxy:1": PASSES, "vendor/proxy:2": NEVER_STARTS, "redis:7": NEVER_STARTS}

    for proxy, ends in expected.items():
        service = {"images": {"app": [OLD, NEW], "proxy": ["vendor/proxy:1", proxy]}}
        outcome = rehearse(rehearsal, {}, registry=shelf, service=service)
        assert (proxy, answers(outcome)) == (proxy, ends)


@every_switch
def test_what_aws_adds_to_a_task_is_not_the_services(rehearsal: Rehearsal, switches: dict[str, str]) -> None:
    outcome = rehearse(rehearsal, switches, service={"exposure": "service-connect"})
    injected = [call.record["inputs"]["injected"] for call in calls(outcome) if call.record]

    assert answers(outcome) == PASSES
    assert any(injected) is (switches.get("injected_containers") == "listed")


def test_where_nothing_is_taken_for_aws_own_it_is_refused(rehearsal: Rehearsal) -> None:
    outcome = rehearse(
        rehearsal,
        {"injected_containers": "listed"},
        registry={"policy": policy(injected=[])},
        service={"exposure": "service-connect"},
    )

    assert answers(outcome) == STARTS_AND_ENDS


# Tags that move


@every_switch
def test_what_ecs_starts_is_what_was_admitted_or_gets_no_traffic(
    rehearsal: Rehearsal, switches: dict[str, str]
) -> None:
    moves = [{"tag": NEW, "to": OTHER, "after": "30s"}]
    outcome = rehearse(rehearsal, switches, registry={"named": "tag", "moves": moves})

    assert (outcome.status, answers(outcome)) == ("ROLLBACK_SUCCESSFUL", STARTS_AND_ENDS)


@every_switch
def test_a_tag_that_moves_after_tasks_have_started_changes_nothing(
    rehearsal: Rehearsal, switches: dict[str, str]
) -> None:
    moves = [{"tag": NEW, "to": OTHER, "after": "63s"}]
    outcome = rehearse(rehearsal, switches, registry={"named": "tag", "moves": moves})

    assert answers(outcome) == PASSES


def test_a_tag_is_refused_where_digests_are_demanded_by_the_policy_or_the_service(
    rehearsal: Rehearsal,
) -> None:
    demanded = {"named": "tag", "policy": policy(references={"requireDigest": True})}

    assert answers(rehearse(rehearsal, {}, registry=demanded)) == NEVER_STARTS
    assert answers(rehearse(rehearsal, {}, registry={"named": "tag"}, details={"requireDigest": True})) == (
        NEVER_STARTS
    )


def test_without_its_first_stage_the_hook_still_refuses_what_is_not_proven(rehearsal: Rehearsal) -> None:
    for green, expected in ((BY_KEY, "SUCCEEDED"), (UNSIGNED, "FAILED")):
        outcome = rehearse(
            rehearsal, {}, green=green, stages=[Stage.POST_SCALE_UP], registry={"named": "tag"}
        )
        assert answers(outcome) == [("POST_SCALE_UP", expected)]


# Not to be said yet


@every_switch
def test_a_throttled_registry_is_waited_for_and_nothing_starts_meanwhile(
    rehearsal: Rehearsal, switches: dict[str, str]
) -> None:
    trouble = {"trouble": {"call": "ecr:*", "how": "throttled", "lasts": "5m"}}
    outcome = rehearse(rehearsal, switches, trouble)
    first = next(call for call in calls(outcome) if call.answer == "SUCCEEDED")

    assert (outcome.status, answers(outcome)) == ("SUCCESSFUL", PASSES)
    assert first.at >= 300


@pytest.mark.parametrize(
    "switches",
    [
        {},
        {"hook_details_scope": "per-hook-entry"},
        {"merge": "replace"},
        {"hook_details_absent_form": "null"},
        {"duplicate_delivery": "on"},
    ],
    ids=str,
)
def test_a_registry_that_stays_throttled_is_not_waited_for_forever(
    rehearsal: Rehearsal, switches: dict[str, str]
) -> None:
    trouble = {"trouble": {"call": "ecr:*", "how": "throttled", "lasts": "2h"}}
    outcome = rehearse(rehearsal, switches, trouble, details={"waitMinutes": 10})
    last = calls(outcome)[-1]

    assert answers(outcome) == NEVER_STARTS
    assert 600 <= last.at <= 660
    assert "after 0:10:00: app: ecr:BatchGetImage" in reasons(outcome)[-1]


TROUBLES = ["ecr:BatchGetImage", "ecr:ListImageReferrers", "ecr:GetDownloadUrlForLayer", "s3:GetObject",
            "ssm:GetParameter", "ecs:DescribeServiceRevisions", "ecs:DescribeTaskDefinition"]  # fmt: skip


@pytest.mark.parametrize("how", ["throttled", "failing", "unanswered"])
@pytest.mark.parametrize("call", TROUBLES)
def test_whatever_does_not_answer_at_first_is_waited_for(rehearsal: Rehearsal, call: str, how: str) -> None:
    trouble = {"trouble": {"call": call, "how": how, "lasts": "5m"}}
    outcome = rehearse(
        rehearsal, {}, trouble, green={"signed": [{"by": "release", "how": "bundle"}]}
    )  # fmt: skip
    first = next(one for one in calls(outcome) if one.answer == "SUCCEEDED")

    assert answers(outcome) == PASSES
    assert first.at >= 300


@pytest.mark.parametrize("call", TROUBLES)
def test_what_is_denied_is_refused_at_once(rehearsal: Rehearsal, call: str) -> None:
    trouble = {"trouble": {"call": call, "how": "denied"}}
    outcome = rehearse(
        rehearsal, {}, trouble, green={"signed": [{"by": "release", "how": "bundle"}]}
    )  # fmt: skip

    assert answers(outcome) == NEVER_STARTS
    assert len(calls(outcome)) == 1


@every_switch
def test_an_image_that_is_being_signed_is_waited_for(rehearsal: Rehearsal, switches: dict[str, str]) -> None:
    green = {"signed": [{"how": "signer", "by": "ci", "after": "4m"}]}
    outcome = rehearse(rehearsal, switches, green=green, require=SIGNER)
    first = next(call for call in calls(outcome) if call.answer == "SUCCEEDED")

    assert (outcome.status, answers(outcome)) == ("SUCCESSFUL", PASSES)
    assert first.at >= 240


def test_signing_that_fails_or_takes_too_long_is_refused(rehearsal: Rehearsal) -> None:
    fails = {"signed": [{"how": "signer", "by": "ci", "after": "4m", "fails": True}]}
    late = {"signed": [{"how": "signer", "by": "ci", "after": "20m"}]}
    failed = rehearse(rehearsal, {}, green=fails, require=SIGNER)
    waited = rehearse(rehearsal, {}, green=late, require=SIGNER, details={"waitMinutes": 10})

    assert answers(failed) == answers(waited) == NEVER_STARTS
    assert "failed to sign it" in reasons(failed)[-1]
    assert "is still signing it" in reasons(waited)[-1]


# What is taken back


@every_switch
def test_what_is_revoked_while_it_starts_gets_no_traffic(
    rehearsal: Rehearsal, switches: dict[str, str]
) -> None:
    revocations = {"revocations": [{"profile": "ci", "after": "30s"}]}
    outcome = rehearse(rehearsal, switches, green=BY_SIGNER, require=SIGNER, registry=revocations)

    assert (outcome.status, answers(outcome)) == ("ROLLBACK_SUCCESSFUL", STARTS_AND_ENDS)
    assert "revoked" in reasons(outcome)[-1]


def test_a_signature_that_is_deleted_while_it_starts_is_missed(rehearsal: Rehearsal) -> None:
    outcome = rehearse(rehearsal, {}, registry={"losses": [{"of": NEW, "after": "30s"}]})

    assert answers(outcome) == STARTS_AND_ENDS


def test_revocation_that_can_not_be_asked_about_is_waited_for_and_then_refused(rehearsal: Rehearsal) -> None:
    def throttled(lasts: str) -> Outcome:
        trouble = {"trouble": {"call": "signer:*", "how": "throttled", "lasts": lasts}}
        return rehearse(
            rehearsal, {}, trouble, green=BY_SIGNER, require=SIGNER, details={"waitMinutes": 10}
        )  # fmt: skip

    assert answers(throttled("5m")) == PASSES
    assert answers(throttled("1h")) == NEVER_STARTS


EXEMPTION: dict[str, Any] = {
    "name": "INC-1",
    "rule": "ours",
    "digests": ["${digest shop/checkout:42}"],
    "reason": "signing is down",
    "approvedBy": "alice",
    "approved": "${ago 1h}",
    "expires": "${in 30m}",
}


@every_switch
def test_an_exemption_holds_until_it_ends(rehearsal: Rehearsal, switches: dict[str, str]) -> None:
    shelf = {"policy": policy(exemptions=[EXEMPTION])}
    late = rehearse(rehearsal, switches, green=UNSIGNED, registry=shelf, service={"scaleUp": "29m59s"})

    assert answers(late) == STARTS_AND_ENDS
    assert reasons(late)[0] == "policy 'shop' admits 1 container, by exemption: app"


def test_what_is_exempt_runs(rehearsal: Rehearsal) -> None:
    outcome = rehearse(
        rehearsal, {}, green=UNSIGNED, registry={"policy": policy(exemptions=[EXEMPTION])}
    )  # fmt: skip

    assert answers(outcome) == PASSES
    assert set(reasons(outcome)) == {"policy 'shop' admits 1 container, by exemption: app"}


def test_an_exemption_is_for_its_digest_only(rehearsal: Rehearsal) -> None:
    other = {**EXEMPTION, "digests": ["${digest shop/checkout:41}"]}
    outcome = rehearse(rehearsal, {}, green=UNSIGNED, registry={"policy": policy(exemptions=[other])})

    assert answers(outcome) == NEVER_STARTS


# What is only observed


@every_switch
def test_what_is_observed_is_said_and_decides_nothing(rehearsal: Rehearsal, switches: dict[str, str]) -> None:
    outcome = rehearse(rehearsal, switches, green=UNSIGNED, registry={"policy": policy(mode="observe")})

    assert (outcome.status, answers(outcome)) == ("SUCCESSFUL", PASSES)
    assert all("only observed, and would have been refused: app" in said for said in reasons(outcome))


# Policies that are not there


def test_without_a_policy_nothing_runs(rehearsal: Rehearsal) -> None:
    outcome = rehearse(rehearsal, {}, registry={"policy": None})

    assert answers(outcome) == NEVER_STARTS


@pytest.mark.parametrize(
    "wrong",
    [{"version": 2}, {"rules": []}, {"deault": "deny"}, {"rules": [{"name": "ours"}]}],
    ids=str,
)
def test_a_policy_that_can_not_be_read_admits_nothing(rehearsal: Rehearsal, wrong: dict[str, Any]) -> None:
    outcome = rehearse(rehearsal, {}, registry={"policy": {**policy(), **wrong}})

    assert answers(outcome) == NEVER_STARTS


# Where it has no use, and back


def assert_has_no_use(rehearsal: Rehearsal, switches: dict[str, str], stage: Stage) -> None:
    outcome = rehearse(rehearsal, switches, stages=[stage], service={"leftovers": True})

    assert outcome.status == "ROLLBACK_SUCCESSFUL"
    assert f"image_trust has no use at {stage}" in reasons(outcome)[-1]


@pytest.mark.parametrize("stage", USELESS_AT)
def test_where_it_has_no_use_it_refuses(rehearsal: Rehearsal, stage: Stage) -> None:
    assert_has_no_use(rehearsal, {}, stage)


@every_switch
def test_it_does_so_however_ecs_behaves(rehearsal: Rehearsal, switches: dict[str, str]) -> None:
    assert_has_no_use(rehearsal, switches, Stage.PRODUCTION_TRAFFIC_SHIFT)


# Attached where it has no use as well, so that the rollback calls it.
CALLED_BACK_AT = (*ADMITS_AT, Stage.TEST_TRAFFIC_SHIFT, Stage.PRODUCTION_TRAFFIC_SHIFT)


@every_switch
def test_a_rollback_is_let_through(rehearsal: Rehearsal, switches: dict[str, str]) -> None:
    outcome = rehearse(rehearsal, switches, stages=CALLED_BACK_AT)

    assert outcome.status == "ROLLBACK_SUCCESSFUL"
    assert {call.answer for call in calls(outcome, rollback=True)} == {"SUCCEEDED"}


BANNED = {"references": {"requireDigest": False, "denyDigests": ["${digest shop/checkout:41}"]}}


@pytest.mark.parametrize(
    ("blue", "references", "says"),
    [
        (BY_KEY, {}, "rollback: what ran before is not refused"),
        (UNSIGNED, {}, "rollback: what ran before is not refused"),
        (BY_KEY, BANNED, "rollback: what ran before is not refused; today's policy would: app"),
    ],
    ids=["signed", "unsigned", "banned"],
)
def test_a_rollback_is_let_through_whatever_ran_before(
    rehearsal: Rehearsal,
    blue: dict[str, Any],
    references: dict[str, Any],
    says: str,
) -> None:
    shelf = {"images": {OLD: blue, NEW: BY_KEY}, "policy": policy(**references)}
    outcome = rehearse(rehearsal, {}, stages=CALLED_BACK_AT, registry=shelf)

    assert outcome.status == "ROLLBACK_SUCCESSFUL"
    assert set(reasons(outcome, rollback=True)) == {says}


@pytest.mark.parametrize("call", ["ecr:*", "ssm:*", "ecs:*"])
@pytest.mark.parametrize("how", ["throttled", "denied", "failing"])
def test_a_rollback_is_let_through_whatever_aws_says(rehearsal: Rehearsal, call: str, how: str) -> None:
    trouble = {"trouble": {"call": call, "how": how, "after": "62s", "lasts": "6h"}}
    outcome = rehearse(rehearsal, {}, trouble, stages=CALLED_BACK_AT)

    assert outcome.status == "ROLLBACK_SUCCESSFUL"
    assert {call.answer for call in calls(outcome, rollback=True)} == {"SUCCEEDED"}


@every_switch
def test_after_an_alarm_nothing_holds_the_way_back_up(rehearsal: Rehearsal, switches: dict[str, str]) -> None:
    outcome = rehearse(
        rehearsal,
        switches,
        {"alarm": {"since": "stage", "stage": "BAKE_TIME", "after": "30s"}},
        registry={"losses": [{"of": OLD, "after": "30s"}]},
        alarms=["green-5xx"],
    )

    assert (outcome.status, answers(outcome)) == ("ROLLBACK_SUCCESSFUL", PASSES)


# Kinds of deployments


@pytest.mark.parametrize("strategy", ["BLUE_GREEN", "CANARY", "LINEAR", "ROLLING"])
@pytest.mark.parametrize("exposure", ["alb", "nlb", "service-connect", "headless"])
def test_every_strategy_comes_by_before_anything_starts(
    rehearsal: Rehearsal, strategy: str, exposure: str
) -> None:
    if strategy in {"CANARY", "LINEAR"} and exposure == "headless":
        return
    parts: dict[str, Any] = {"strategy": {"type": strategy}, "service": {"exposure": exposure}}
    proven = rehearse(rehearsal, {}, **parts)
    unproven = rehearse(rehearsal, {}, green=UNSIGNED, **parts)

    assert proven.status == "SUCCESSFUL"
    assert answers(proven) == (PASSES[:1] if strategy == "ROLLING" else PASSES)
    assert (unproven.status, answers(unproven)) == ("ROLLBACK_SUCCESSFUL", NEVER_STARTS)


@every_switch
def test_a_first_deployment_is_proven_as_any_other(rehearsal: Rehearsal, switches: dict[str, str]) -> None:
    first = {"firstDeployment": True}
    proven = rehearse(rehearsal, switches, service=first)
    unproven = rehearse(rehearsal, switches, green=UNSIGNED, service=first)

    assert (proven.status, answers(proven)) == ("SUCCESSFUL", PASSES)
    assert (unproven.status, answers(unproven)) == ("ROLLBACK_FAILED", NEVER_STARTS)


@every_switch
def test_a_newer_deployment_is_proven_by_itself(rehearsal: Rehearsal, switches: dict[str, str]) -> None:
    # The first one waits for its signature when the second one comes, for which it is there.
    outcome = rehearse(
        rehearsal,
        switches,
        {"release": {"after": "3m"}},
        green={"signed": [{"how": "signer", "by": "ci", "after": "4m"}]},
        require=SIGNER,
        registry={"named": "tag"},
        expect={"status": "STOPPED", "later": {"2": "SUCCESSFUL"}},
    )

    assert outcome.as_expected, outcome.checks
    deployments = list(dict.fromkeys(call.deployment for call in outcome.calls))
    ended = {(call.deployment, call.answer) for call in calls(outcome)} - {
        (one, "IN_PROGRESS") for one in deployments
    }
    assert ended == {(deployments[1], "SUCCEEDED")}


def test_stopped_by_hand_while_it_waits_nothing_starts(rehearsal: Rehearsal) -> None:
    trouble = {"trouble": {"call": "ecr:*", "how": "throttled", "lasts": "1h"}}
    outcome = rehearse(rehearsal, {}, trouble, {"stop": {"after": "2m"}})

    assert (outcome.status, answers(outcome)) == ("ROLLBACK_SUCCESSFUL", [])


# All of it at once


@pytest.mark.parametrize("seed", range(12))
def test_no_combination_of_switches_admits_what_is_not_proven_or_refuses_what_is(
    rehearsal: Rehearsal, seed: int
) -> None:
    rng = random.Random(seed)
    switches = {name: rng.choice(values(name)) for name in Switches.model_fields}
    parts: dict[str, Any] = {
        "seed": seed,
        "registry": {"named": rng.choice(["digest", "tag"])},
        "service": {"exposure": rng.choice(["service-connect", "alb", "alb+service-connect", "headless"])},
    }
    proven = rehearse(rehearsal, switches, green=rng.choice([BY_KEY, FOR_BOTH]), **parts)
    unproven = rehearse(rehearsal, switches, green=UNSIGNED, **parts)
    moved = {**parts["registry"], "named": "tag", "moves": [{"tag": NEW, "to": OTHER, "after": "30s"}]}
    drifted = rehearse(rehearsal, switches, **{**parts, "registry": moved})

    assert (proven.status, answers(proven)) == ("SUCCESSFUL", PASSES)
    assert answers(unproven) == NEVER_STARTS
    assert answers(drifted) == STARTS_AND_ENDS
