"""The canary hook under exactly the permissions that the template gives it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from moto.cloudwatch.models import cloudwatch_backends

from hooks.canary_comparison.handler import handler
from rehearsal.aws.access_logs import put_minute
from rehearsal.aws.cloud import ACCOUNT
from rehearsal.aws.cloudwatch import Sample, Shortfall, fall_short
from rehearsal.aws.cloudwatch import record as put
from rehearsal.aws.faults import Fault
from rehearsal.aws.policy import unused_grants
from rehearsal.model import RevisionSummary, ServiceDeployment, Task
from shared import clock
from shared.lifecycle import ServiceRevisionArn
from shared.record import canonical
from tests.aws.conftest import BUCKET, Account
from tests.shared.checkout import (
    BLUE,
    GREEN,
    PRE_PRODUCTION,
    PRODUCTION,
    REGION,
    SERVICE,
    START,
    TASK_DEFINITION,
    assert_valid,
    deploy,
    event,
    split,
)

FUNCTION = "CanaryComparisonFunction"
METRICS = "cloudwatch:GetMetricData"
BALANCER = "app/shop/50dc6c495c0c9188"
GROUPS = {GREEN: "targetgroup/shop-b/73e2", BLUE: "targetgroup/shop-a/6d0e"}
ELB = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}"
RULE = f"{ELB}:listener-rule/{BALANCER}/f2f7dc8efc522ab2/9683b2d02a6cabee"

CANARY = {
    "strategy": "CANARY",
    "canaryConfiguration": {"canaryPercent": 10.0, "canaryBakeTimeInMinutes": 10},
}
STEP, FINAL, BACK = split(10, 90), split(100, 0), split(0, 100)
MINUTE = timedelta(minutes=1)

PROCEEDS = {"hookStatus": "SUCCEEDED"}
REFUSES = {"hookStatus": "FAILED"}

EMF = {
    "name": "declined",
    "source": "emf",
    "kind": "proportion",
    "namespace": "Shop",
    "dimensions": {"ServiceRevision": "{revision}"},
    "bad": "Declined",
    "total": "Payments",
}


@dataclass
class Shop:
    """A canary deployment at its first step, and the traffic that both revisions have."""

    account: Account
    deployment: ServiceDeployment

    def call(
        self,
        production: Mapping[str, float] = STEP,
        *,
        stage: str = PRODUCTION,
        details: Any = None,
        **variables: str,
    ) -> dict[str, Any]:
        """Call the hook once."""
        payload = event(stage, production=production, details=details)
        invocation = self.account.invoke(FUNCTION, payload, **variables)
        assert invocation.error is None, invocation.error
        assert_valid(invocation.reply)
        reply: dict[str, Any] = invocation.reply
        return reply

    def walk(
        self,
        production: Mapping[str, float] = STEP,
        *,
        stage: str = PRODUCTION,
        details: Any = None,
        **variables: str,
    ) -> list[dict[str, Any]]:
        """Call the hook until it has decided, as ECS does, and return its replies."""
        replies = [self.call(production, stage=stage, details=details, **variables)]
        while replies[-1]["hookStatus"] == "IN_PROGRESS":
            assert len(replies) < 300, "never decided"
            self.let_pass(seconds=replies[-1]["callBackDelay"])
            details = replies[-1]["hookDetails"]
            replies.append(self.call(production, stage=stage, details=details, **variables))
        return replies

    def let_pass(self, **duration: float) -> None:
        self.account.pass_time(**duration)

    def shifted(self, green: float) -> None:
        """Have ECS say that green has so much of the traffic."""
        self.deployment.target.production_weight = green
        self.deployment.sources[0].production_weight = 100 - green

    def serve(
        self,
        revision: ServiceRevisionArn,
        minutes: Sequence[int],
        requests: int,
        errors: int = 0,
        slow: int = 0,
    ) -> None:
        """Let the load balancer report requests of each of the minutes since the start.

        Counts are there only where there is something to count; what is slow takes a second.
        """
        dimensions = {"LoadBalancer": BALANCER, "TargetGroup": GROUPS[revision]}
        backend = cloudwatch_backends[ACCOUNT][REGION]
        for minute in minutes:
            at = (START + minute * MINUTE).timestamp()
            counts = {"RequestCount": requests, "HTTPCode_Target_5XX_Count": errors}
            for name, count in counts.items():
                if count:
                    put(backend, "AWS/ApplicationELB", name, dimensions, Sample.of(count, "Count", at))
            for seconds, count in ((0.05, requests - slow), (1.0, slow)):
                if count:
                    sample = Sample(at, seconds * count, count, seconds, seconds, "Seconds")
                    put(backend, "AWS/ApplicationELB", "TargetResponseTime", dimensions, sample)

    def traffic(self, *, green_errors: int = 5, green_slow: int = 20) -> None:
        """Let both revisions serve for an hour from the start on, and blue for the hour before."""
        self.serve(BLUE, range(-61, 60), 9000, errors=45, slow=180)
        self.serve(GREEN, range(60), 1000, errors=green_errors, slow=green_slow)

    def log(self, revision: ServiceRevisionArn, minutes: Sequence[int], requests: int, errors: int) -> None:
        """Let the Service Connect proxy of a revision's task log requests."""
        task = Task(
            arn=f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/shop/{int(revision.id):032x}",
            service=SERVICE,
            revision=revision,
            task_definition=TASK_DEFINITION,
            created_at=START,
            started_at=START,
        )
        self.account.cloud.control_plane.tasks[task.arn] = task
        self.account.cloud.control_plane.revisions[str(revision)].service_connect = {
            "enabled": True,
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {
                    "awslogs-group": "/ecs/proxies",
                    "awslogs-region": REGION,
                    "awslogs-stream-prefix": "checkout",
                },
            },
            "accessLogConfiguration": {"format": "JSON"},
        }
        world = cast("Any", SimpleNamespace(cloud=self.account.cloud))
        for minute in minutes:
            put_minute(
                world,
                task,
                START + minute * MINUTE,
                requests=requests,
                server_errors=errors,
                seconds=[(0.05, requests)],
            )

    def fail(self, action: str, error: str = "ThrottlingException", **how: Any) -> Fault:
        return self.account.cloud.faults.add(action=action, error=error, identity=f"*/{FUNCTION}", **how)

    def records(self) -> list[dict[str, Any]]:
        s3 = self.account.cloud.client("s3", user="admin")
        found = s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        documents = [json.loads(s3.get_object(Bucket=BUCKET, Key=one["Key"])["Body"].read()) for one in found]
        return sorted(documents, key=lambda document: str(document["at"]))

    @property
    def record(self) -> dict[str, Any]:
        """The latest decision record."""
        return self.records()[-1]

    @property
    def reason(self) -> str:
        return str(self.record["verdict"]["reason"])

    def made(self) -> list[str]:
        """Return what the function has called since this was last asked, but for keeping the record."""
        made = [call.action for call in self.account.calls if f"/{FUNCTION}" in call.identity]
        self.account.calls.clear()
        return [action for action in made if action not in {"s3:PutObject", "sns:Publish"}]


@pytest.fixture
def shop(account: Account) -> Shop:
    deployment = deploy(
        account.cloud,
        configuration=CANARY,
        started_at=START - timedelta(minutes=4),
        sources=[RevisionSummary(arn=BLUE, running_task_count=2, production_weight=90.0)],
        target=RevisionSummary(arn=GREEN, running_task_count=2, production_weight=10.0),
    )
    for arn, group in GROUPS.items():
        account.cloud.control_plane.revisions[str(arn)].resolved_load_balancers = [
            {"targetGroupArn": f"{ELB}:{group}", "productionListenerRule": RULE}
        ]
    return Shop(account, deployment)


# What is decided


def test_a_green_as_good_as_blue_is_let_through_before_its_hold_is_over(shop: Shop) -> None:
    shop.traffic()

    replies = shop.walk(details={"holdMinutes": 30})

    assert replies[-1] == PROCEEDS
    assert shop.reason.startswith("green is as good as blue: errors: green 0.5 % of ")
    assert timedelta(minutes=5) <= clock.now() - START < timedelta(minutes=30)


def test_a_worse_one_is_refused_with_its_numbers_and_people_are_told(shop: Shop) -> None:
    shop.traffic(green_errors=50)

    replies = shop.walk()

    assert replies[-1] == REFUSES
    assert shop.reason.startswith("green is worse: errors: green 5 % of ")
    assert "blue 0.5 % of" in shop.reason
    assert clock.now() - START < timedelta(minutes=10)
    assert shop.record["revisions"] == {"green": str(GREEN), "blue": str(BLUE)}


def test_one_that_is_only_slower_is_refused_as_well(shop: Shop) -> None:
    shop.traffic(green_slow=200)

    assert shop.walk()[-1] == REFUSES
    assert shop.reason.startswith("green is worse: slow above 0.05 s: green 20 % of ")


def test_without_a_hold_the_second_step_judges_what_the_first_one_saw(shop: Shop) -> None:
    shop.traffic(green_errors=50)
    details = {"holdMinutes": 0}

    assert shop.call(details=details) == PROCEEDS
    assert shop.reason.startswith("holdMinutes is 0, so the next call judges; so far: ")
    shop.let_pass(minutes=10)
    assert shop.call(STEP, stage=PRE_PRODUCTION, details=details) == REFUSES
    shop.shifted(100)
    assert shop.call(FINAL, details=details) == REFUSES


def test_nothing_is_compared_before_ecs_says_that_green_has_traffic(shop: Shop) -> None:
    shop.traffic()
    shop.shifted(0)

    first = shop.call()
    assert (first["hookStatus"], first["callBackDelay"]) == ("IN_PROGRESS", 30)
    shop.shifted(10)
    shop.let_pass(seconds=30)
    second = shop.call(details=first["hookDetails"])
    assert second["hookStatus"] == "IN_PROGRESS"
    assert "cloudwatch:GetMetricData" not in shop.made()
    shop.let_pass(minutes=3)
    shop.call(details=second["hookDetails"])
    assert "cloudwatch:GetMetricData" in shop.made()


def test_where_ecs_shifts_only_after_the_hook_the_first_step_is_not_held(shop: Shop) -> None:
    shop.shifted(0)

    replies = shop.walk()

    assert replies[-1] == PROCEEDS
    assert clock.now() - START == timedelta(minutes=2)
    assert shop.reason.startswith("nothing to compare: ECS waits for this hook")


def test_an_extended_step_is_watched_for_as_long_as_it_is_held(shop: Shop) -> None:
    shop.serve(BLUE, range(60), 900, errors=1)
    shop.serve(GREEN, range(60), 20)
    errors = {"source": "alb", "measure": "errors"}
    details = {"metrics": [errors], "holdMinutes": 10, "onInconclusive": "extend", "extendMinutes": 20}

    assert shop.walk(details=details)[-1] == REFUSES
    assert shop.reason.startswith("nothing is certain after 20 more minutes, and onInconclusive is extend: ")
    (observed,) = shop.record["inputs"]["observations"]
    assert [minute for minute, *_ in observed["minutes"]] == list(range(30))


# From step to step


def test_what_is_remembered_outlives_a_call_that_ecs_makes_too_early(shop: Shop) -> None:
    shop.traffic()
    held = shop.walk()
    shop.let_pass(minutes=10)

    # The snapshot still says 10 %.
    early = shop.call(FINAL, details=held[-2]["hookDetails"])
    assert (early["hookStatus"], early["callBackDelay"]) == ("IN_PROGRESS", 30)
    shop.shifted(100)
    shop.let_pass(seconds=30)
    assert shop.walk(FINAL, details=early["hookDetails"])[-1] == PROCEEDS
    watch = shop.record["inputs"]["watch"]
    assert (watch["phase"], watch["start"], watch["note"]) == ("look back", START.isoformat(), "")


def test_what_an_earlier_step_remembered_is_used_where_ecs_carries_it(shop: Shop) -> None:
    shop.traffic()
    held = shop.walk()
    shop.let_pass(minutes=10)
    shop.shifted(100)

    assert shop.walk(FINAL, details=held[-2]["hookDetails"])[-1] == PROCEEDS
    watch = shop.record["inputs"]["watch"]
    assert (watch["phase"], watch["start"], watch["note"]) == ("look back", START.isoformat(), "")


def test_and_where_it_is_lost_the_window_is_worked_out_and_the_record_says_so(shop: Shop) -> None:
    shop.traffic()
    shop.walk()
    shop.let_pass(minutes=10)
    shop.shifted(100)
    since = clock.now()

    assert shop.walk(FINAL)[-1] == PROCEEDS
    watch = shop.record["inputs"]["watch"]
    assert {name: watch[name] for name in ("phase", "start", "end", "note")} == {
        "phase": "look back",
        "start": (since - timedelta(minutes=10)).isoformat(),
        "end": since.isoformat(),
        "note": "what earlier steps remembered is not known here: by the deployment's configuration both "
        "have served for the last 10 minutes",
    }


def test_what_green_did_with_all_the_traffic_is_not_held_against_it(shop: Shop) -> None:
    shop.traffic()
    shop.walk()
    shop.let_pass(minutes=10)
    shop.shifted(100)
    # Blue is idle by now, so there is nothing to compare this with.
    since = (clock.now() - START) // MINUTE + 1
    shop.serve(GREEN, range(since, since + 20), 9000, errors=9000)

    assert shop.walk(FINAL)[-1] == PROCEEDS


@pytest.mark.parametrize("watched", ["nonsense", "1970-01-01T00:00:00Z", "2027-01-01T00:00:00Z", None, 7])
def test_a_memory_that_somebody_else_wrote_moves_no_window(shop: Shop, watched: object) -> None:
    shop.traffic(green_errors=50)
    first = shop.call()
    first["hookDetails"]["_lifecycleHookState"]["data"]["watchedSince"] = watched

    assert shop.walk(details=first["hookDetails"])[-1] == REFUSES
    assert shop.record["inputs"]["watch"]["start"] == START.isoformat()


def test_where_even_the_looks_of_one_step_forget_each_other_nothing_is_let_through(shop: Shop) -> None:
    shop.traffic(green_errors=50)

    answers = set()
    for _ in range(40):
        answers.add(shop.call()["hookStatus"])
        shop.let_pass(minutes=1)

    assert answers == {"IN_PROGRESS"}


def test_a_duplicate_of_a_call_gets_the_same_answer_and_leaves_the_same_record(shop: Shop) -> None:
    shop.traffic(green_errors=50)
    replies = shop.walk()
    before = shop.records()

    assert shop.call(details=replies[-2]["hookDetails"]) == REFUSES
    assert shop.records() == before


# A rollback


@pytest.mark.parametrize("error", ["", "AccessDeniedException", "ThrottlingException"])
def test_a_rollback_is_never_refused_and_asks_nobody(shop: Shop, error: str) -> None:
    shop.traffic(green_errors=50)
    if error:
        shop.fail("*", error)

    assert shop.call(BACK) == PROCEEDS
    assert shop.call(BACK, details={"holdMinute": 3}) == PROCEEDS
    assert shop.made() == []


# AWS in trouble


# IAM decides on each revision, though both are asked about at once.
LOOK = ["ecs:DescribeServiceDeployments", *["ecs:DescribeServiceRevisions"] * 2]
SLOW = {"source": "alb", "measure": "slow", "slowAboveSeconds": 0.3}
ERRORS = {"source": "alb", "measure": "errors"}


@pytest.mark.parametrize(
    ("details", "asked"),
    [({}, 2), ({"metrics": [ERRORS, SLOW]}, 1), ({"metrics": [ERRORS]}, 1)],
    ids=["the preset", "slowAboveSeconds is set", "errors alone"],
)
def test_a_look_asks_cloudwatch_twice_at_most(shop: Shop, details: dict[str, Any], asked: int) -> None:
    shop.traffic()
    reply = shop.call(details=details)
    assert shop.made() == LOOK

    shop.let_pass(minutes=4)
    assert shop.call(details=reply["hookDetails"])["hookStatus"] == "IN_PROGRESS"
    assert shop.made() == [*LOOK, *([METRICS] * asked)]


@pytest.mark.parametrize(
    ("error", "status"), [("ThrottlingException", 400), ("InternalServerError", 500), ("Throttling", 400)]
)
@pytest.mark.parametrize("action", ["ecs:*", "ecs:DescribeServiceRevisions", METRICS, "*"])
@pytest.mark.parametrize(("green_errors", "answer"), [(5, PROCEEDS), (50, REFUSES)], ids=["good", "worse"])
def test_aws_failing_before_every_look_only_takes_longer(
    shop: Shop, action: str, error: str, status: int, green_errors: int, answer: dict[str, Any]
) -> None:
    shop.traffic(green_errors=green_errors)
    details: dict[str, Any] = {}
    for _ in range(100):
        fault = shop.fail(action, error, status=status)
        reply = shop.call(details=details)
        shop.account.cloud.faults.remove(fault)
        if reply["hookStatus"] == "IN_PROGRESS":
            shop.let_pass(seconds=reply["callBackDelay"])
            reply = shop.call(details=reply["hookDetails"])
        if reply["hookStatus"] != "IN_PROGRESS":
            break
        shop.let_pass(seconds=reply["callBackDelay"])
        details = reply["hookDetails"]

    assert reply == answer


@pytest.mark.parametrize("action", ["ecs:DescribeServiceDeployments", METRICS])
def test_throttling_without_end_ends_in_a_refusal(shop: Shop, action: str) -> None:
    shop.traffic()
    shop.fail(action)

    assert shop.walk(details={"giveUpAfterMinutes": 10})[-1] == REFUSES
    assert f"{action} on " in shop.reason
    assert "ThrottlingException" in shop.reason


@pytest.mark.parametrize("action", [*LOOK[:2], METRICS])
def test_a_missing_permission_is_refused_at_once_and_named(shop: Shop, action: str) -> None:
    shop.traffic()
    reply = shop.call()
    shop.fail(action, "AccessDeniedException")
    shop.let_pass(minutes=4)

    assert shop.call(details=reply["hookDetails"]) == REFUSES
    assert f"the function's role may not {action} on " in shop.reason


def falls_short(shop: Shop, shortfall: Shortfall) -> Fault:
    """Let CloudWatch answer, with less than there is."""
    return shop.fail(METRICS, make=lambda call, _: fall_short(call, shortfall))


@pytest.mark.parametrize(
    ("shortfall", "words"),
    [
        (Shortfall("PartialData"), "CloudWatch answered PartialData for "),
        (Shortfall("InternalError"), "CloudWatch answered InternalError for "),
        (Shortfall("Complete", late_seconds=7200), "no "),
    ],
    ids=["PartialData", "InternalError", "withheld"],
)
def test_what_cloudwatch_does_not_tell_is_waited_for_and_then_refused(
    shop: Shop, shortfall: Shortfall, words: str
) -> None:
    shop.traffic()
    falls_short(shop, shortfall)

    assert shop.walk(details={"metrics": [ERRORS], "holdMinutes": 30})[-1] == REFUSES
    assert shop.reason.startswith("not known for 10 minutes: errors is not known in 10 of 10 minutes: ")
    assert words in shop.reason


@pytest.mark.parametrize(
    "shortfall",
    [Shortfall("PartialData"), Shortfall("InternalError"), Shortfall("Complete", late_seconds=480)],
    ids=["PartialData", "InternalError", "late"],
)
@pytest.mark.parametrize(("green_errors", "answer"), [(5, PROCEEDS), (50, REFUSES)], ids=["good", "worse"])
def test_what_it_tells_later_is_judged_then(
    shop: Shop, shortfall: Shortfall, green_errors: int, answer: dict[str, Any]
) -> None:
    shop.traffic(green_errors=green_errors)
    fault = falls_short(shop, shortfall)
    reply = shop.call()
    for _ in range(6):
        shop.let_pass(seconds=reply["callBackDelay"])
        reply = shop.call(details=reply["hookDetails"])
        assert reply["hookStatus"] == "IN_PROGRESS"

    shop.account.cloud.faults.remove(fault)
    shop.let_pass(seconds=reply["callBackDelay"])
    assert shop.walk(details=reply["hookDetails"])[-1] == answer


@pytest.mark.parametrize(("silent", "colour"), [(GREEN, "green"), (BLUE, "blue")], ids=["green", "blue"])
def test_a_revision_of_which_nothing_is_heard_is_not_good(
    shop: Shop, silent: ServiceRevisionArn, colour: str
) -> None:
    shop.serve(BLUE, range(-61, 0), 9000, slow=180)
    shop.serve(BLUE if silent == GREEN else GREEN, range(60), 1000, errors=1)

    assert shop.walk()[-1] == REFUSES
    name = GROUPS[silent]
    assert shop.reason.startswith(
        "not known for 10 minutes: errors is not known in 10 of 10 minutes: "
        f"{colour}: no RequestCount of {name} in 10 of 10 minutes"
    )


# What can't be compared


def no_target_group(shop: Shop) -> None:
    shop.account.cloud.control_plane.revisions[str(GREEN)].resolved_load_balancers = None


def network_load_balancer(shop: Shop) -> None:
    rule = f"{ELB}:listener/net/shop/50dc6c495c0c9188/f2f7dc8efc522ab2"
    for revision in shop.account.cloud.control_plane.revisions.values():
        for balancer in revision.resolved_load_balancers or ():
            balancer["productionListenerRule"] = rule


def one_group(shop: Shop) -> None:
    revisions = shop.account.cloud.control_plane.revisions
    revisions[str(GREEN)].resolved_load_balancers = revisions[str(BLUE)].resolved_load_balancers


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (no_target_group, "has no target group"),
        (network_load_balancer, "a Network Load Balancer, which knows no requests"),
        (one_group, "green and blue are both in targetgroup/shop-a/6d0e"),
    ],
)
def test_revisions_that_the_load_balancer_can_t_tell_apart_are_refused_at_once(
    shop: Shop, make: Callable[[Shop], None], words: str
) -> None:
    shop.traffic()
    make(shop)

    assert shop.call() == REFUSES
    assert words in shop.reason


def test_no_weights_in_a_canary_deployment_are_refused(shop: Shop) -> None:
    assert shop.call({}) == REFUSES
    assert "the step of this CANARY deployment is not known" in shop.reason


@pytest.mark.parametrize("strategy", ["BLUE_GREEN", "ROLLING"])
def test_without_shared_traffic_there_is_nothing_to_compare(shop: Shop, strategy: str) -> None:
    shop.deployment.configuration = {"strategy": strategy}

    assert shop.call(FINAL) == PROCEEDS
    assert shop.call({}) == PROCEEDS
    assert shop.reason.startswith(f"nothing to compare: with {strategy}, ")


# Policy, settings, modes


@pytest.mark.parametrize(
    ("details", "policy", "words"),
    [
        (
            {"metrics": [EMF]},
            {"allowedNamespaces": ["AWS/*"]},
            "the namespace 'Shop' of 'declined' is not among the policy's allowedNamespaces: AWS/*",
        ),
        (
            {"metrics": [{**ERRORS, "toleratedRatio": 3}]},
            {"maxToleratedRatio": 1.5},
            "'errors' tolerates 3 times as bad, the policy's maxToleratedRatio is 1.5",
        ),
        ({}, {"maxToleratedRatio": 1.3}, "'slow' tolerates 1.4 times as bad"),
    ],
    ids=["namespace", "tolerated ratio", "a preset's tolerated ratio"],
)
def test_what_the_policy_forbids_is_refused_and_named(
    shop: Shop, details: dict[str, Any], policy: dict[str, Any], words: str
) -> None:
    shop.traffic()

    assert shop.call(details=details, HOOK_POLICY=json.dumps(policy)) == REFUSES
    assert words in shop.reason
    assert METRICS not in shop.made()


def test_a_service_can_t_do_without_what_the_policy_compares(shop: Shop) -> None:
    shop.traffic(green_errors=50)
    policy = json.dumps({"metrics": ["alb"]})

    details = {"metrics": [{**ERRORS, "observe": True, "toleratedRatio": 50}, SLOW]}
    assert shop.walk(details=details, HOOK_POLICY=policy)[-1] == REFUSES
    assert shop.reason.startswith("green is worse: errors: ")


def test_details_as_a_json_string_are_the_same_details(shop: Shop) -> None:
    shop.traffic(green_errors=50)
    details = {"metrics": [ERRORS], "holdMinutes": 20}

    replies = shop.walk(details=json.dumps(details))

    assert replies[-1] == REFUSES
    assert replies[0]["hookDetails"].items() >= details.items()
    assert shop.record["settings"]["holdMinutes"] == 20


@pytest.mark.parametrize(
    ("details", "words"),
    [
        ({"holdMinute": 3}, "unknown key 'holdMinute', did you mean 'holdMinutes'?"),
        ({"metrics": []}, "metrics"),
        ({"metrics": ["elb"]}, "metrics"),
    ],
    ids=str,
)
def test_settings_that_can_t_be_meant_are_refused_and_named(
    shop: Shop, details: dict[str, Any], words: str
) -> None:
    assert shop.call(details=details) == REFUSES
    assert words in shop.reason


def test_observing_it_refuses_nothing_and_records_what_it_would_have_refused(shop: Shop) -> None:
    shop.traffic(green_errors=50)

    assert shop.walk(details={"mode": "observe"})[-1] == PROCEEDS
    assert (shop.record["wouldRefuse"], shop.record["reply"]) == (True, "SUCCEEDED")
    assert shop.record["verdict"]["answer"] == "refuse"


# Evidence


def test_every_decision_is_computed_again_byte_for_byte_from_its_record(shop: Shop) -> None:
    shop.traffic()
    shop.walk()
    observed = {**ERRORS, "name": "watched", "observe": True}
    for judge in ("sequential", "kayenta"):
        shop.walk(details={"judge": judge, "metrics": ["alb", observed]})
    latency = {"source": "alb", "measure": "latency", "percentile": 99}
    shop.walk(details={"metrics": [latency], "onInconclusive": "refuse"})
    shop.walk(details={"metrics": [EMF], "holdMinutes": 20})
    shop.let_pass(minutes=10)
    shop.shifted(100)
    shop.walk(FINAL)

    records = shop.records()
    assert [canonical(handler.replay(record)) for record in records] == [
        canonical(record["verdict"]) for record in records
    ]
    answers = [record["verdict"]["answer"] for record in records]
    assert (len(records), set(answers)) == (6, {"proceed", "refuse"})


def test_a_record_draws_both_revisions_and_the_evidence(shop: Shop) -> None:
    shop.traffic(green_errors=30)
    shop.walk(details={"metrics": [ERRORS]})

    both, evidence = shop.record["charts"]
    minutes = len(shop.record["inputs"]["observations"][0]["minutes"])
    times = [(START + number * MINUTE).isoformat() for number in range(minutes)]
    assert both == {
        "title": "errors",
        "unit": "%",
        "series": [
            {"name": "green", "points": [[at, 3.0] for at in times]},
            {"name": "blue", "points": [[at, 0.5] for at in times]},
        ],
        "thresholds": [],
    }
    assert evidence["title"] == "evidence that green is worse: errors"
    [series], [threshold] = evidence["series"], evidence["thresholds"]
    values = [value for _, value in series["points"]]
    assert len(values) == minutes
    assert values[-1] >= threshold["value"] > max(values[:-1])


def test_a_look_that_only_waits_leaves_no_record(shop: Shop) -> None:
    shop.traffic()
    reply = shop.call()
    shop.let_pass(minutes=4)

    assert shop.call(details=reply["hookDetails"])["hookStatus"] == "IN_PROGRESS"
    assert shop.records() == []


def test_the_template_allows_every_call_that_is_made_and_none_that_is_not(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(clock, "sleep", waited.append)
    shop.traffic(green_errors=50)
    shop.walk()
    shop.account.clock.move_to(START, tick=False)
    for revision, requests, errors in ((GREEN, 300, 60), (BLUE, 2700, 14)):
        shop.log(revision, range(-61, 30), requests, errors)
    details = {"metrics": ["serviceConnectAccessLogs"]}
    queries = shop.account.cloud.log_queries
    # A query that takes too long is stopped.
    queries.runs_for_looks = 1000
    reply = shop.call(details=details)
    shop.let_pass(minutes=4)
    assert shop.call(details=reply["hookDetails"])["hookStatus"] == "IN_PROGRESS"
    queries.runs_for_looks = 0
    shop.let_pass(minutes=1)
    assert shop.walk(details=reply["hookDetails"])[-1] == REFUSES
    assert shop.reason.startswith("green is worse: errors: ")

    account = shop.account
    assert [call for call in account.calls if not call.allowed] == []
    # Lambda's own runtime writes the logs; the function makes no such call.
    unused = unused_grants(account.policy(FUNCTION), account.made_by(FUNCTION))
    assert [grant for grant in unused if "WriteLogs" not in grant] == []


def test_a_log_group_that_the_template_does_not_name_is_refused(shop: Shop) -> None:
    for revision in (GREEN, BLUE):
        shop.log(revision, range(10), 100, 0)
    shop.fail("logs:StartQuery", "AccessDeniedException")
    reply = shop.call(details={"metrics": ["serviceConnectAccessLogs"]})
    shop.let_pass(minutes=4)

    assert shop.call(details=reply["hookDetails"]) == REFUSES
    assert "the function's role may not logs:StartQuery on " in shop.reason


def test_times_are_of_the_hook_s_own_clock(shop: Shop) -> None:
    shop.traffic(green_errors=50)
    shop.walk()

    assert datetime.fromisoformat(shop.record["inputs"]["now"]) == clock.now()
