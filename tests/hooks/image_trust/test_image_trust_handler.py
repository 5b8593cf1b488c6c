"""Whole calls of the hook, with a registry that a test plays: what ECS hears, and what stays on record."""

import contextlib
import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from hooks.image_trust import handler as module
from hooks.image_trust.bindings import PREFIX_VARIABLE
from hooks.image_trust.finding import Outcome, Problem
from hooks.image_trust.handler import (
    FUNCTION_VARIABLE,
    POLICY_SHA256_VARIABLE,
    POLICY_VARIABLE,
    handler,
)
from rehearsal.aws.cloud import ACCOUNT, Cloud
from rehearsal.model import ContainerImage, ServiceDeployment, Status
from shared import clients, deployment
from shared.deployment import Deployment
from shared.errors import Misconfigured, Transient
from shared.record import canonical
from shared.settings import POLICY_VARIABLE as HOOK_POLICY_VARIABLE
from tests.hooks.image_trust.judged_images import (
    AMD64,
    ARM64,
    HOST,
    REPOSITORY,
    THROTTLED,
    TRUST,
    World,
    candidate,
    d,
    index,
    manifest,
    trusting,
)
from tests.shared.checkout import (
    BLUE,
    GREEN,
    REGION,
    ROLLBACK_PRODUCTION,
    START,
    TEST_SHIFT,
    Context,
    assert_valid,
    deploy,
    event,
)
from tests.shared.conftest import Log

SUCCEEDED, FAILED = {"hookStatus": "SUCCEEDED"}, {"hookStatus": "FAILED"}
PRE, POST = "PRE_SCALE_UP", "POST_SCALE_UP"
NAME = "hooks-ImageTrust"
BINDINGS = "/ecs-image-trust/bindings"
BINDING = f"{BINDINGS}/shop/checkout"
PINNED, OTHER, TAGGED = f"{REPOSITORY}@{d('a')}", f"{REPOSITORY}@{d('b')}", f"{REPOSITORY}:v1"
UNKNOWN = f"{REPOSITORY}@{d('x')}"

DOCUMENT: dict[str, Any] = {
    "version": 1,
    "name": "production",
    "references": {"requireDigest": False},
    "trust": {**TRUST, "keys": {"release": {"kms": "arn:aws:kms:eu-west-1:111122223333:key/release"}}},
    "rules": [
        {
            "name": "our own",
            "match": {"images": [f"{HOST}/shop/**"]},
            "require": {"cosign": {"key": "release"}},
        }
    ],
}
ANYTHING = {"registry": {"accounts": ["111122223333"]}}


@dataclass
class Shop:
    """The deployment of ``checkout``, the registry that its images are in, and the time it is."""

    cloud: Cloud
    clock: time_machine.Traveller
    log: Log
    monkeypatch: pytest.MonkeyPatch
    deployed: ServiceDeployment
    world: World = field(default_factory=World)
    defined: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)

    def runs(self, *images: str | tuple[str, str | None], **more: Any) -> None:
        """Let green run containers ``c0``, ``c1``, ... by image, and digest as ECS has recorded it."""
        pairs = [(one, None) if isinstance(one, str) else one for one in images]
        containers = [
            {"name": f"c{number}", "image": image, **more} for number, (image, _) in enumerate(pairs)
        ]
        self.defined = {"containerDefinitions": containers}
        self.lists([(f"c{number}", image, digest) for number, (image, digest) in enumerate(pairs)])

    def lists(self, images: list[tuple[str, str, str | None]], arn: Any = GREEN) -> None:
        """Let a revision list images."""
        self.cloud.control_plane.revisions[str(arn)].container_images = [
            ContainerImage(container_name=name, image=image, image_digest=digest)
            for name, image, digest in images
        ]

    def policy(self, *, name: str = "/policy", **changes: Any) -> str:
        """Write the policy document, and return its SHA-256."""
        require = changes.pop("require", None)
        document = {**DOCUMENT, **changes}
        if require:
            document["rules"] = [{**DOCUMENT["rules"][0], "require": require}]
        content = json.dumps(document)
        self.cloud.client("ssm", role="hook").put_parameter(
            Name=name, Value=content, Type="String", Overwrite=True
        )
        return hashlib.sha256(content.encode()).hexdigest()

    def environment(self, **variables: str | Mapping[str, Any]) -> None:
        for name, value in variables.items():
            self.monkeypatch.setenv(name, value if isinstance(value, str) else json.dumps(value))

    def call(self, stage: str | Mapping[str, Any] = PRE, **details: Any) -> dict[str, Any]:
        """Call the hook once, as ECS does."""
        payload = event(stage, details={**self.details, **details}) if isinstance(stage, str) else stage
        reply = handler(payload, Context())
        assert_valid(reply)
        self.details = reply.get("hookDetails", {})
        return reply

    def wait(self, stage: str = PRE, **details: Any) -> str:
        """Call it once, let the time pass that it asks for, and return why it waits."""
        reply = self.call(stage, **details)
        assert reply["hookStatus"] == "IN_PROGRESS", self.log.lines[-3:]
        self.clock.shift(timedelta(seconds=reply["callBackDelay"]))
        return self.log.messages("INFO")[-1]

    @property
    def record(self) -> dict[str, Any]:
        return self.log.records[-1]

    @property
    def reason(self) -> str:
        return str(self.record["verdict"]["reason"])

    @property
    def bound(self) -> Any:
        found = self.cloud.client("ssm", role="hook").get_parameters(Names=[BINDING])["Parameters"]
        return json.loads(found[0]["Value"]) if found else None


@pytest.fixture
def log() -> Iterator[Log]:
    found = Log()
    with contextlib.ExitStack() as stack:
        for one in logging.getLogger("ecs-lifecycle-hooks").handlers:
            if isinstance(one, logging.StreamHandler) and (before := one.setStream(found.stream)):
                stack.callback(one.setStream, before)
        yield found


@pytest.fixture(scope="module")
def aws() -> Iterator[Cloud]:
    with time_machine.travel(START, tick=False), Cloud(region=REGION, seed=1) as cloud:
        yield cloud


@pytest.fixture
def shop(aws: Cloud, log: Log, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    trusting(monkeypatch)
    for name in (HOOK_POLICY_VARIABLE, POLICY_SHA256_VARIABLE, "RECORD_BUCKET", "NOTIFICATION_TOPIC_ARN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv(POLICY_VARIABLE, "ssm:/policy")
    monkeypatch.setenv(PREFIX_VARIABLE, BINDINGS)
    monkeypatch.setenv(FUNCTION_VARIABLE, NAME)
    clients._client.cache_clear()
    aws.reset(seed=1)
    with time_machine.travel(START, tick=False) as clock, aws.acting_as("hook"):
        hooks = [
            {
                "hookTargetArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{NAME}",
                "lifecycleStages": [PRE, POST],
            }
        ]
        deployed = deploy(aws, configuration={"strategy": "BLUE_GREEN", "lifecycleHooks": hooks})
        made = Shop(aws, clock, log, monkeypatch, deployed)
        made.world.add(manifest("a"), manifest("b"), index("i", a=AMD64, b=ARM64), v1="a")
        made.world.hang(candidate("a", by="release"))
        made.world.keys["arn:aws:kms:eu-west-1:111122223333:key/release"] = b"release"
        monkeypatch.setattr(module, "Sources", lambda _: made.world)
        monkeypatch.setattr(Deployment, "task_definition", lambda *_: made.defined)
        made.runs(PINNED)
        made.policy()
        yield made
        assert aws.defects == []


# ------------------------------------------------------------------------------------ what ECS gets to hear


def test_an_image_that_is_proven_goes_on(shop: Shop) -> None:
    assert shop.call() == SUCCEEDED
    assert shop.reason == "policy 'production' admits 1 container"
    assert shop.call(POST) == SUCCEEDED
    assert shop.bound is None


def test_one_that_is_not_is_refused_and_named(shop: Shop) -> None:
    shop.runs(PINNED, OTHER)

    assert shop.call() == FAILED
    assert shop.reason == f"c1: no bundle or cosign-signature is attached to {d('b')}"
    assert shop.log.messages("ERROR") == [f"refused: {shop.reason}"]


def test_what_is_not_known_is_asked_again_until_its_time_is_over(shop: Shop) -> None:
    shop.world.lack("b", THROTTLED)
    shop.runs(PINNED, OTHER)
    waits = 0
    while shop.call(waitMinutes=2, pollSeconds=30)["hookStatus"] == "IN_PROGRESS":
        shop.clock.shift(timedelta(seconds=30))
        waits += 1

    assert waits == 4
    assert shop.record["reply"] == "FAILED"
    assert shop.reason == "still not known after 0:02:00: c1: throttled"


def test_what_becomes_known_goes_on(shop: Shop) -> None:
    shop.world.lack("b", THROTTLED)
    shop.runs(OTHER)
    assert shop.wait() == "waits 15 s: c0: throttled"
    shop.world.hang(candidate("b", by="release"))

    assert shop.call() == SUCCEEDED


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ([("c0", PINNED, None), ("miner", "miner:1", None)], "the revision runs container 'miner'"),
        ([("web", PINNED, None)], "the revision lists no image of container 'c0'"),
        ([("c0", OTHER, None)], "container 'c0': the task definition has"),
    ],
)
def test_a_revision_that_runs_something_else_than_its_task_definition_is_refused(
    shop: Shop, images: list[tuple[str, str, str | None]], said: str
) -> None:
    shop.lists(images)

    assert shop.call() == FAILED
    assert shop.reason.startswith(said)


def test_what_aws_adds_is_named_and_not_judged(shop: Shop) -> None:
    shop.lists([("c0", PINNED, d("a")), ("ecs-service-connect-x7", "proxy:1", d("x"))])

    assert shop.call(POST) == SUCCEEDED
    assert shop.record["inputs"]["injected"] == ["ecs-service-connect-x7"]


@pytest.mark.parametrize("stage", [PRE, POST])
def test_a_defect_is_a_refusal(shop: Shop, stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shop.world, "fetch", lambda *_: 1 / 0)

    assert shop.call(stage) == FAILED
    assert shop.reason == "a defect in the hook: ZeroDivisionError: 'division by zero'"


@pytest.mark.parametrize("stage", ["POST_TEST_TRAFFIC_SHIFT", "RECONCILE_SERVICE"])
def test_at_another_stage_it_has_no_use(shop: Shop, stage: str) -> None:
    assert shop.call(stage) == FAILED
    assert shop.reason == f"image_trust has no use at {stage}; attach it at one of: {PRE}, {POST}"


def test_while_ecs_fails_it_waits(shop: Shop) -> None:
    shop.cloud.faults.add(action="ecs:DescribeServiceRevisions", error="ThrottlingException", times=1)
    assert shop.wait().startswith("waits ")

    assert shop.call() == SUCCEEDED


# ------------------------------------------------------------------------------------ from stage to stage


def test_what_a_tag_led_to_is_what_has_to_start(shop: Shop) -> None:
    shop.runs(TAGGED)
    assert shop.call() == SUCCEEDED
    assert shop.bound == {"version": 1, "revision": str(GREEN), "digests": {"c0": d("a")}}
    assert shop.record["changes"] == ["bound c0 to what their tags led to"]

    shop.world.add(v1="b")
    shop.runs((TAGGED, d("a")))
    assert shop.call(POST) == SUCCEEDED


def test_a_tag_that_was_moved_meanwhile_is_refused_although_it_is_signed_too(shop: Shop) -> None:
    shop.world.hang(candidate("b", by="release"))
    shop.runs(TAGGED)
    assert shop.call() == SUCCEEDED

    shop.runs((TAGGED, d("b")))
    assert shop.call(POST) == FAILED
    assert shop.reason == f"c0: admitted was {d('a')}, ECS runs {d('b')}"


def test_of_an_index_ecs_may_record_one_of_its_images(shop: Shop) -> None:
    shop.world.add(v1="i").hang(candidate("i", by="release"))
    shop.runs(TAGGED)
    assert shop.call() == SUCCEEDED

    for recorded, reply in (("i", SUCCEEDED), ("a", SUCCEEDED), ("b", SUCCEEDED), ("x", FAILED)):
        shop.runs((TAGGED, d(recorded)))
        assert shop.call(POST) == reply


def test_until_ecs_has_recorded_what_runs_it_waits(shop: Shop) -> None:
    shop.runs(TAGGED)
    shop.call()
    assert shop.wait(POST) == "waits 15 s: c0: ECS has not recorded yet which digest it runs"
    shop.runs((TAGGED, d("a")))

    assert shop.call(POST) == SUCCEEDED


def test_that_ecs_never_records_it_is_refused_in_the_end(shop: Shop) -> None:
    shop.runs(TAGGED)
    shop.call()
    shop.wait(POST, waitMinutes=1)
    shop.clock.shift(timedelta(minutes=1))

    assert shop.call(POST, waitMinutes=1) == FAILED
    assert shop.reason.startswith("still not known after ")


def test_without_a_binding_what_runs_is_judged_by_itself(shop: Shop) -> None:
    shop.runs((TAGGED, d("a")))
    assert shop.call(POST) == SUCCEEDED
    (judged,) = shop.record["inputs"]["containers"]
    assert judged["notes"] == ["was not admitted before it started"]

    shop.runs((TAGGED, d("b")))
    assert shop.call(POST) == FAILED


def test_the_binding_of_another_revision_is_none(shop: Shop) -> None:
    other = {"version": 1, "revision": str(BLUE), "digests": {"c0": d("b")}}
    shop.cloud.client("ssm", role="hook").put_parameter(Name=BINDING, Value=json.dumps(other), Type="String")
    shop.runs((TAGGED, d("a")))

    assert shop.call(POST) == SUCCEEDED


def test_a_binding_that_somebody_else_wrote_stops_the_deployment(shop: Shop) -> None:
    shop.cloud.client("ssm", role="hook").put_parameter(Name=BINDING, Value="{}", Type="String")
    shop.runs((TAGGED, d("a")))

    assert shop.call(POST) == FAILED
    assert shop.reason.startswith(f"{BINDING}: not what this hook wrote")


def test_what_ecs_had_recorded_before_is_bound_as_well(shop: Shop) -> None:
    shop.world.add(v1="b")
    shop.runs((TAGGED, d("a")))
    assert shop.call() == SUCCEEDED

    assert shop.bound["digests"] == {"c0": d("a")}


def test_only_what_goes_on_is_bound_and_only_what_has_a_tag(shop: Shop) -> None:
    shop.runs(TAGGED, OTHER)
    assert shop.call() == FAILED
    assert shop.bound is None

    shop.runs(TAGGED, PINNED)
    assert shop.call() == SUCCEEDED
    assert shop.bound["digests"] == {"c0": d("a")}


def test_polling_binds_what_the_passing_call_judged(shop: Shop) -> None:
    shop.world.lack("b", THROTTLED).add(v1="b")
    shop.runs(TAGGED)
    shop.wait()
    assert shop.bound is None
    shop.world.add(v1="a")
    shop.call()

    assert shop.bound["digests"] == {"c0": d("a")}


def test_a_second_call_writes_nothing_new(shop: Shop) -> None:
    shop.runs(TAGGED)
    shop.call()
    assert shop.call() == SUCCEEDED

    assert shop.record["changes"] == []
    history = shop.cloud.client("ssm", role="hook").get_parameter_history(Name=BINDING)
    assert len(history["Parameters"]) == 1


def test_images_named_by_digest_need_no_binding(shop: Shop) -> None:
    shop.monkeypatch.delenv(PREFIX_VARIABLE)

    assert (shop.call(), shop.call(POST)) == (SUCCEEDED, SUCCEEDED)


@pytest.mark.parametrize("stage", [PRE, POST])
def test_a_tag_that_can_t_be_held_to_is_refused(shop: Shop, stage: str) -> None:
    shop.monkeypatch.delenv(PREFIX_VARIABLE)
    shop.runs((TAGGED, d("a")))

    assert shop.call(stage) == FAILED
    assert shop.reason == "IMAGE_BINDINGS is not set, and images are named by tag"
    # The answer does not follow from what was judged.
    assert shop.record["inputs"] == {}


@pytest.mark.parametrize(
    ("error", "status"), [("ThrottlingException", "IN_PROGRESS"), ("AccessDeniedException", "FAILED")]
)
def test_a_binding_that_can_t_be_written_admits_nothing(shop: Shop, error: str, status: str) -> None:
    shop.cloud.faults.add(action="ssm:PutParameter", error=error)
    shop.runs(TAGGED)

    assert shop.call()["hookStatus"] == status
    assert all(record["inputs"] == {} for record in shop.log.records)


@pytest.mark.parametrize("stage", [PRE, POST])
def test_a_service_may_refuse_its_own_tags(shop: Shop, stage: str) -> None:
    shop.runs((TAGGED, d("a")))
    assert shop.call(stage, requireDigest=False) == SUCCEEDED

    assert shop.call(stage, requireDigest=True) == FAILED
    assert shop.reason == "c0: it is named by a tag, which can be moved; name it by its digest"


@pytest.mark.parametrize("stage", [PRE, POST])
def test_a_tag_without_version_consistency_is_refused(shop: Shop, stage: str) -> None:
    shop.runs((TAGGED, d("a")), versionConsistency="disabled")

    assert shop.call(stage) == FAILED
    assert shop.record["inputs"]["containers"][0]["finding"]["code"] == "version-consistency-disabled"


# ------------------------------------------------------------------------------------ on which machine


def test_a_task_definition_s_word_for_its_machine_counts_only_on_fargate(shop: Shop) -> None:
    image = f"{REPOSITORY}@{d('i')}"
    shop.runs(image)
    shop.defined["runtimePlatform"] = {"operatingSystemFamily": "LINUX", "cpuArchitecture": "X86_64"}
    shop.defined["requiresCompatibilities"] = ["FARGATE"]
    assert shop.call() == FAILED

    shop.monkeypatch.setattr(deployment, "_is_on_fargate", lambda _: True)
    assert shop.call() == SUCCEEDED
    shop.defined["runtimePlatform"]["cpuArchitecture"] = "ARM64"
    assert shop.call() == FAILED


# ------------------------------------------------------------------------------------ by which policy


def test_without_any_document_nothing_runs(shop: Shop) -> None:
    shop.monkeypatch.delenv(POLICY_VARIABLE)

    assert shop.call() == FAILED
    assert shop.reason == "policy: shop/checkout is offered no 'default', but none at all"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({POLICY_VARIABLE: "/etc/passwd"}, f"{POLICY_VARIABLE} and {POLICY_SHA256_VARIABLE}: source: string"),
        ({POLICY_VARIABLE: "https://evil.example/policy"}, f"{POLICY_VARIABLE} and "),
        ({POLICY_SHA256_VARIABLE: "abc"}, f"{POLICY_VARIABLE} and {POLICY_SHA256_VARIABLE}: sha256: string"),
        ({POLICY_VARIABLE: "ssm:/none"}, "ssm:GetParameter on /none: ParameterNotFound"),
        ({POLICY_SHA256_VARIABLE: "0" * 64}, "ssm:/policy: its SHA-256 is "),
    ],
)
def test_a_document_that_can_t_be_had_stops_the_deployment(
    shop: Shop, variables: dict[str, str], said: str
) -> None:
    shop.environment(**variables)

    assert shop.call() == FAILED
    assert shop.reason.startswith(said)


def test_a_document_with_its_sha256_is_taken_and_noted(shop: Shop) -> None:
    sha256 = shop.policy()
    shop.environment(**{POLICY_SHA256_VARIABLE: sha256})
    assert shop.call() == SUCCEEDED
    assert shop.record["inputs"]["policy"] == {"name": "production", "sha256": sha256}

    shop.policy(name="/policy", require=ANYTHING)
    assert shop.call() == FAILED


def test_no_document_but_a_whole_one_is_judged_by(shop: Shop) -> None:
    shop.policy(rules=[])

    assert shop.call() == FAILED
    assert shop.reason.startswith("ssm:/policy: rules: ")


def test_a_service_chooses_among_what_it_is_offered(shop: Shop) -> None:
    shop.policy(name="/lax", require=ANYTHING)
    offered = {
        "mine": {"source": "ssm:/lax", "services": ["shop/*"]},
        "theirs": {"source": "ssm:/lax", "services": ["other/*", "shop/other"]},
    }
    shop.environment(**{HOOK_POLICY_VARIABLE: {"policies": offered}})
    shop.runs(OTHER)
    assert shop.call() == FAILED
    assert shop.call(policy="default") == FAILED
    assert shop.call(policy="mine") == SUCCEEDED

    for name in ("theirs", "none"):
        assert shop.call(policy=name) == FAILED
        assert shop.reason == f"policy: shop/checkout is offered no {name!r}, but default, mine"


def test_an_offered_document_s_sha256_is_held_to(shop: Shop) -> None:
    sha256 = shop.policy(name="/lax", require=ANYTHING)
    shop.runs(OTHER)
    for pinned, reply in ((sha256, SUCCEEDED), ("0" * 64, FAILED)):
        offered = {"mine": {"source": "ssm:/lax", "sha256": pinned}}
        shop.environment(**{HOOK_POLICY_VARIABLE: {"policies": offered}})
        assert shop.call(policy="mine") == reply


def test_the_organisation_may_put_another_document_in_the_place_of_the_default(shop: Shop) -> None:
    shop.policy(name="/lax", require=ANYTHING)
    shop.environment(**{HOOK_POLICY_VARIABLE: {"policies": {"default": {"source": "ssm:/lax"}}}})
    shop.runs(OTHER)

    assert shop.call() == SUCCEEDED


# ------------------------------------------------------------------------------------ only observed


@pytest.mark.parametrize(
    ("image", "details"),
    [(OTHER, {"mode": "observe"}), (UNKNOWN, {"onTrouble": "proceed", "waitMinutes": 0})],
)
def test_a_service_can_t_let_itself_off(shop: Shop, image: str, details: dict[str, Any]) -> None:
    shop.world.add(manifest("x")).lack("x", THROTTLED)
    shop.runs(image)

    assert shop.call(**details) == FAILED


def test_the_organisation_may_let_through_what_is_not_known_and_nothing_else(shop: Shop) -> None:
    shop.environment(**{HOOK_POLICY_VARIABLE: {"onTrouble": "proceed"}})
    shop.world.add(manifest("x"), v2="x").lack("x", THROTTLED)
    shop.runs(f"{REPOSITORY}:v2")
    assert shop.call(waitMinutes=0) == SUCCEEDED
    assert shop.reason == "onTrouble is proceed: still not known after 0:00:00: c0: throttled"
    assert shop.bound["digests"] == {"c0": d("x")}

    shop.runs(UNKNOWN, OTHER)
    assert shop.call(waitMinutes=0) == FAILED


def test_where_the_organisation_only_observes_what_would_be_refused_goes_on_and_is_said(shop: Shop) -> None:
    shop.environment(**{HOOK_POLICY_VARIABLE: {"mode": "observe"}})
    shop.runs(OTHER)

    assert shop.call() == SUCCEEDED
    assert shop.record["wouldRefuse"] is True
    assert shop.record["verdict"]["answer"] == "refuse"


@pytest.mark.parametrize("stage", [PRE, POST])
def test_a_document_that_only_observes_refuses_nothing(shop: Shop, stage: str) -> None:
    shop.policy(mode="observe")
    shop.runs(OTHER, "nginx", "no image", TAGGED)
    assert shop.call(stage) == SUCCEEDED
    assert "only observed, and would have been refused: c0: " in shop.reason

    shop.lists([("c0", OTHER, None), ("miner", "miner:1", None)])
    assert shop.call(stage) == SUCCEEDED
    assert shop.reason.startswith("only observed, and would have been refused: the revision lists no image")
    assert shop.log.messages("WARNING")[-1] == shop.reason


def test_a_rule_that_only_observes_does_not_observe_what_it_is_not_for(shop: Shop) -> None:
    rules = [{**DOCUMENT["rules"][0], "mode": "observe"}]
    shop.policy(rules=rules)
    shop.runs(OTHER)
    assert shop.call() == SUCCEEDED

    shop.runs(OTHER, "nginx")
    assert shop.call() == FAILED
    assert shop.reason == "c1: no rule of policy 'production' is for docker.io/library/nginx"


# ------------------------------------------------------------------------------------ the service's own


@pytest.mark.parametrize(("details", "reply"), [({}, SUCCEEDED), ({"selfCheck": "refuse"}, FAILED)])
def test_what_fails_open_is_said_and_may_be_refused(
    shop: Shop, details: dict[str, str], reply: dict[str, str]
) -> None:
    hooks = [{**shop.deployed.configuration["lifecycleHooks"][0], "lifecycleStages": [PRE]}]
    shop.deployed.configuration = {**shop.deployed.configuration, "lifecycleHooks": hooks}

    assert shop.call(**details) == reply
    assert shop.record["inputs"]["warnings"] == [
        "the hook is not attached at POST_SCALE_UP: nothing compares what ECS started with what was admitted"
    ]
    assert shop.log.messages("WARNING") == [
        f"images may get past this hook: {shop.record['inputs']['warnings'][0]}"
    ]


# ------------------------------------------------------------------------------------ back again

ROLLBACKS = [ROLLBACK_PRODUCTION, event(TEST_SHIFT, test={str(GREEN): 0, str(BLUE): 100})]


@pytest.mark.parametrize("payload", ROLLBACKS)
def test_a_rollback_is_never_refused_and_asks_no_registry(shop: Shop, payload: dict[str, Any]) -> None:
    shop.lists([("c0", PINNED, d("a"))], BLUE)

    assert shop.call(payload) == SUCCEEDED
    assert shop.reason == "rollback: what ran before is not refused"
    assert shop.world.rounds == []
    assert shop.record["revisions"]["blue"] == str(BLUE)


def test_what_today_s_policy_bans_is_said_on_the_way_back(shop: Shop) -> None:
    shop.policy(references={"requireDigest": True, "denyDigests": [d("a")]})
    shop.runs(PINNED, TAGGED, OTHER, "nginx")
    images = [one["image"] for one in shop.defined["containerDefinitions"]]
    shop.lists([(f"c{number}", image, None) for number, image in enumerate(images)], BLUE)

    assert shop.call(ROLLBACK_PRODUCTION) == SUCCEEDED
    assert shop.reason == "rollback: what ran before is not refused; today's policy would: c0, c1, c3"
    assert shop.log.messages("WARNING") == [
        f"rolled back to all the same: c0: the policy bans {d('a')}",
        "rolled back to all the same: c1: it is named by a tag, which can be moved; name it by its digest",
        "rolled back to all the same: c3: no rule of policy 'production' is for docker.io/library/nginx",
    ]


def test_where_nothing_ran_before_there_is_nothing_to_say(shop: Shop) -> None:
    shop.deployed.sources = []
    shop.deployed.status = Status.ROLLBACK_IN_PROGRESS

    assert shop.call(event(TEST_SHIFT)) == SUCCEEDED
    assert shop.reason == "rollback: nothing ran before"


@pytest.mark.parametrize("error", ["ThrottlingException", "AccessDeniedException"])
@pytest.mark.parametrize("action", ["ecs:DescribeServiceRevisions", "ssm:GetParameter"])
def test_a_rollback_does_not_wait_for_anything(shop: Shop, action: str, error: str) -> None:
    shop.cloud.faults.add(action=action, error=error)

    assert shop.call(ROLLBACK_PRODUCTION) == SUCCEEDED
    assert shop.reason.startswith("rollback: what ran before is not judged, and could not be: ")


@pytest.mark.parametrize("error", [Transient("throttled"), Misconfigured("no permission"), RuntimeError("x")])
def test_a_rollback_is_not_refused_whatever_goes_wrong(shop: Shop, error: Exception) -> None:
    def refuse(*_: Any) -> Any:
        raise error

    shop.monkeypatch.setattr(Deployment, "task_definition", refuse)

    assert shop.call(ROLLBACK_PRODUCTION) == SUCCEEDED


def test_without_a_policy_there_is_a_way_back(shop: Shop) -> None:
    shop.monkeypatch.delenv(POLICY_VARIABLE)

    assert shop.call({**ROLLBACK_PRODUCTION, "hookDetails": {"policy": "../x"}}) == SUCCEEDED


# ------------------------------------------------------------------------------------ on record


def replayed(record: dict[str, Any]) -> str:
    return canonical(handler.replay(json.loads(canonical(record))))


def test_a_verdict_can_be_computed_again_from_its_record(shop: Shop) -> None:
    shop.world.lack("x", THROTTLED).add(manifest("x"))
    for images in ([PINNED], [OTHER, TAGGED], [TAGGED], [UNKNOWN], ["no image", UNKNOWN], ["nginx"]):
        shop.runs(*images)
        shop.call(waitMinutes=0)
    shop.policy(mode="observe")
    shop.call()

    assert len(shop.log.records) == 7
    for record in shop.log.records:
        assert replayed(record) == canonical(record["verdict"])


def test_the_record_says_what_everything_was(shop: Shop) -> None:
    shop.runs(TAGGED)
    shop.call(waitMinutes=5)
    inputs = shop.record["inputs"]
    (judged,) = inputs.pop("containers")

    assert inputs == {
        "policy": {"name": "production", "sha256": shop.policy()},
        "injected": [],
        "warnings": [],
        "terms": {
            "policy": "production",
            "wait_minutes": 5,
            "poll_seconds": 15,
            "on_trouble": "refuse",
            "self_check": "report",
        },
        "now": START.isoformat(),
        "since": START.isoformat(),
    }
    assert (judged["container"], judged["digest"], judged["rule"], judged["verdict"]) == (
        "c0",
        d("a"),
        "our own",
        "pass",
    )
    assert shop.record["revisions"] == {"green": str(GREEN), "blue": str(BLUE)}


def test_thousands_of_candidates_and_long_texts_make_no_long_record(shop: Shop) -> None:
    long = "x" * 100_000
    for name in "ab":
        shop.world.hang(*(candidate(name, by=f"{number}{long}") for number in range(50)))
        shop.world.lack(name, Problem(Outcome.UNTRUSTED, "odd", "y" * 900))
    shop.world.hanging[d("a")] = replace(
        shop.world.hanging[d("a")], found=shop.world.hanging[d("a")].found[1:]
    )
    shop.runs(PINNED, OTHER)
    shop.call()

    assert shop.record["reply"] == "FAILED"
    assert len(canonical(shop.record)) < 30_000
    assert max(len(line) for line in shop.log.stream.getvalue().splitlines()) < 60_000
