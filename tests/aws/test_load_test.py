"""The load test hook under exactly the permissions that the template gives it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from load_generator.job import Job
from load_generator.snapshot import Counts, Problem, Snapshot, State

from hooks.load_test.handler import handler
from rehearsal import load_channel
from rehearsal.aws.call import AwsError
from rehearsal.aws.policy import unused_grants
from rehearsal.model import ServiceDeployment, Status
from shared import clock
from shared.record import canonical
from tests.aws.answers import Answers
from tests.aws.conftest import BUCKET, Account
from tests.shared.checkout import (
    BLUE,
    DEPLOYMENT,
    GREEN,
    POST_TEST,
    ROLLBACK_PRODUCTION,
    deploy,
    event,
)

FUNCTION = "LoadTestFunction"
RUN = f"{DEPLOYMENT.id}-{GREEN.id}-%d"
PROCEEDS = {"hookStatus": "SUCCEEDED"}
REFUSES = {"hookStatus": "FAILED"}

# Two minutes at ten requests a second; the first ten seconds do not count.
DETAILS = {
    "load": [{"seconds": 120, "at": 10}],
    "rules": [
        "errors < 1%",
        "p(95) < 200ms",
        "p(95) <= 1.25 x blue",
        {"rule": "errors < 20%", "abort": True},
    ],
}
ALIAS = {
    "port": 8080,
    "dnsName": "checkout",
    "testTrafficRules": {"header": {"name": "x-try", "value": {"exact": "green"}}},
}
SERVICE_CONNECT = {
    "enabled": True,
    "namespace": "shop",
    "services": [{"portName": "http", "clientAliases": [ALIAS]}],
}
RULES = "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener-rule/app/shop/50dc6c495c0c9188"
GROUP = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup"
TASK_DEFINITION = "checkout:7"


@dataclass
class Shop(Answers):
    """A blue/green deployment whose green has test traffic, and a generator that a test plays."""

    account: Account
    deployment: ServiceDeployment
    details: Any = field(default_factory=lambda: dict(DETAILS))

    def call(self, payload: Mapping[str, Any] | None = None, **variables: str) -> dict[str, Any]:
        """Call the hook once, as ECS does."""
        invocation = self.account.invoke(
            FUNCTION, payload or event(POST_TEST, details=self.details), **variables
        )
        return self.heard(invocation)

    def let_pass(self, seconds: float) -> None:
        self.account.pass_time(seconds=seconds)

    def jobs(self) -> list[Job]:
        """Take what is in the queue, as the generator's agent does."""
        sqs = self.account.cloud.client("sqs", user="admin")
        url = load_channel.variables()["LOAD_QUEUE_URL"]
        found = []
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            found += [Job.read(message["Body"]) for message in messages]
            for message in messages:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return found

    def put(self, name: str, document: Any, attempt: int = 1) -> None:
        """Write a file of a run."""
        body = document if isinstance(document, str) else json.dumps(document)
        self.account.cloud.client("s3", user="admin").put_object(
            Bucket=load_channel.variables()["LOAD_BUCKET"],
            Key=f"runs/{RUN % attempt}/{name}.json",
            Body=body.encode(),
        )

    def control(self, attempt: int = 1) -> dict[str, Any]:
        s3 = self.account.cloud.client("s3", user="admin")
        key = f"runs/{RUN % attempt}/control.json"
        found = s3.get_object(Bucket=load_channel.variables()["LOAD_BUCKET"], Key=key)
        document: dict[str, Any] = json.loads(found["Body"].read())
        return document

    def measures(
        self,
        *,
        seconds: float = 120,
        state: State = State.FINISHED,
        attempt: int = 1,
        green: Mapping[str, float] | None = None,
        workers: tuple[int, int, int] = (2, 2, 0),
        **changes: Any,
    ) -> None:
        """Let the generator say how a run goes; latencies are even from 20 to 120 ms, times *slower*."""
        counts = Counts()
        for name, manner in (("green", green or {}), ("blue", {})):
            arm, due = counts.arm(name), round((seconds - 10) * (10 if name == "green" else 2))
            arm.sent = arm.answered = due
            failed = round(due * manner.get("errors", 0.0))
            if failed:
                arm.errors["status 503"] = failed
            for number in range(due - failed):
                arm.latency.record(manner.get("slower", 1.0) * (0.02 + 0.1 * number / due))
        snapshot = Snapshot(
            run=RUN % attempt,
            state=state,
            at=clock.now(),
            elapsed_seconds=seconds,
            due_seconds=seconds,
            workers=workers,
            preflight={"green": TASK_DEFINITION, "blue": TASK_DEFINITION},
            counts=counts,
            due={"green": (seconds - 10) * 10, "blue": (seconds - 10) * 2},
            **changes,
        )
        self.put("result" if state.is_final else "progress", snapshot.write(), attempt)

    def ended(self, problem: Problem, reason: str, attempt: int = 1) -> None:
        """Let the generator say that a run came to nothing."""
        snapshot = Snapshot(
            run=RUN % attempt, state=State.ENDED, at=clock.now(), problem=problem, reason=reason
        )
        self.put("result", snapshot.write(), attempt)

    def fail(self, action: str, code: str, status: int = 400, times: int | None = None) -> None:
        self.account.cloud.faults.add(
            action=action,
            make=lambda *_: AwsError(code, "said AWS", status),
            identity="*LoadTestRole*",
            times=times,
        )


@pytest.fixture
def shop(account: Account) -> Iterator[Shop]:
    load_channel.make(account.cloud)
    deployment = deploy(account.cloud)
    for arn in (GREEN, BLUE):
        account.cloud.control_plane.revisions[str(arn)].service_connect = SERVICE_CONNECT
    yield Shop(account, deployment)
    allowed = {call.action for call in account.calls if not call.allowed}
    assert allowed == set()


def test_the_first_call_asks_for_a_run_and_holds_a_lease_on_it(shop: Shop) -> None:
    reply = shop.call()

    [job] = shop.jobs()
    assert (reply["hookStatus"], reply["callBackDelay"]) == ("IN_PROGRESS", 20)
    assert job.write() == {
        "version": 1,
        "run": RUN % 1,
        "service": "shop/checkout",
        "target": "http://checkout:8080",
        "marker": "x-revision",
        "arms": {
            "green": {"headers": {"x-try": "green"}, "marker": TASK_DEFINITION},
            "blue": {"headers": {}, "marker": TASK_DEFINITION},
        },
        "load": [{"seconds": 120.0, "from": 10.0, "to": 10.0}],
        "blueShare": 0.2,
        "graceSeconds": 10.0,
        "timeoutSeconds": 10.0,
        "requests": [
            {
                "method": "GET",
                "path": "/",
                "weight": 1.0,
                "headers": {},
                "body": None,
                "expect": [[200, 299], [300, 399]],
            }
        ],
        "protectBlue": {"errorsAbove": 0.05, "slowerThanSeconds": None},
        "startBefore": "2026-03-05T12:03:00Z",
    }
    assert shop.control() == {
        "version": 1,
        "askedAt": "2026-03-05T12:00:00Z",
        "leaseUntil": "2026-03-05T12:01:30Z",
        "stop": "",
    }
    assert shop.record["changes"] == [f"asked for {RUN % 1}"]


def test_a_second_call_of_the_same_moment_joins_the_run(shop: Shop) -> None:
    shop.call()
    shop.call()
    shop.details = dict(DETAILS)  # as if ECS had lost what the hook remembers
    shop.call()

    assert [job.run for job in shop.jobs()] == [RUN % 1]


def test_each_look_renews_the_lease_and_says_how_the_run_goes(shop: Shop) -> None:
    shop.call()
    shop.let_pass(60)
    shop.measures(seconds=60, state=State.RUNNING)
    reply = shop.call()

    assert reply["hookStatus"] == "IN_PROGRESS"
    assert shop.control()["leaseUntil"] == "2026-03-05T12:02:30Z"
    assert (
        "for 60 s of the load; green 500 requests, p(95) 115 ms, 0 % errors; blue 100 requests" in shop.said
    )


@pytest.mark.parametrize(
    ("green", "reply", "reason"),
    [
        ({}, PROCEEDS, "green holds the load: errors < 1%: "),
        ({"slower": 2.0}, REFUSES, "green fails the load test: p(95) < 200ms: 230 ms"),
        (
            {"slower": 1.5},
            REFUSES,
            "green fails the load test: p(95) <= 1.25 x blue: green 173 ms, blue 115 ms",
        ),
        ({"errors": 0.05}, REFUSES, "green fails the load test: errors < 1%: "),
        ({"errors": 1.0}, REFUSES, "green fails the load test: errors < 1%: "),
        ({"slower": 1.25}, REFUSES, "the load test is inconclusive: p(95) <= 1.25 x blue: "),
    ],
    ids=["good", "slow", "slower than blue", "failing", "failing altogether", "hard to say"],
)
def test_a_run_that_has_come_to_its_end_is_judged(
    shop: Shop, green: Mapping[str, float], reply: dict[str, str], reason: str
) -> None:
    shop.call()
    shop.let_pass(125)
    shop.measures(green=green)

    assert shop.call() == reply
    assert shop.reason.startswith(reason)
    assert handler.replay(shop.record) == shop.record["verdict"]
    # Whoever calls once more hears the same.
    assert shop.call() == reply


def test_a_rule_with_abort_ends_the_run_before_its_time(shop: Shop) -> None:
    shop.call()
    shop.let_pass(40)
    shop.measures(seconds=40, state=State.RUNNING, green={"errors": 0.5})

    assert shop.call() == REFUSES
    assert shop.reason.startswith("green fails the load test: errors < 20%: ")
    assert shop.control()["stop"] == shop.reason
    assert shop.call() == REFUSES


def test_a_generator_that_falls_silent_is_given_a_second_chance_and_no_third(shop: Shop) -> None:
    shop.call()
    shop.let_pass(30)
    shop.measures(seconds=20, state=State.RUNNING)
    shop.call()
    shop.let_pass(60)
    assert shop.call()["hookStatus"] == "IN_PROGRESS"
    assert shop.control(1)["stop"].startswith("another run takes its place: ")

    assert [job.run for job in shop.jobs()] == [RUN % 1, RUN % 2]
    shop.ended(Problem.LOST, "the master has died", attempt=2)
    assert shop.call() == REFUSES
    assert shop.reason == "not tested, because of the generator: the master has died"


def test_a_second_run_that_goes_well_is_as_good_as_a_first(shop: Shop) -> None:
    shop.call()
    shop.ended(Problem.LOST, "a worker has died")
    shop.call()
    shop.measures(attempt=2)

    assert shop.call() == PROCEEDS


def test_without_a_generator_nothing_passes(shop: Shop) -> None:
    while (reply := shop.call()) not in (PROCEEDS, REFUSES):
        shop.let_pass(reply["callBackDelay"])

    assert reply == REFUSES
    assert shop.reason == ("not tested, because of the generator: no generator took the run within 180 s")
    assert len(shop.jobs()) == 2


def test_who_lets_it_fail_open_has_to_say_so(shop: Shop) -> None:
    shop.details |= {"onGeneratorTrouble": "proceed", "attempts": 1}
    shop.call()
    shop.ended(Problem.LOST, "the master has died")

    assert shop.call() == PROCEEDS
    assert shop.reason == "not tested, and onGeneratorTrouble is proceed: the master has died"


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (Problem.REFUSED, "the generator's operator does not allow this load: so it is"),
        (Problem.BLUE_DEGRADED, "blue suffered, and with it production: so it is"),
        (Problem.TOO_MANY_BYTES, "the run was ended: so it is"),
    ],
)
def test_what_another_run_would_not_mend_is_refused_at_once(
    shop: Shop, problem: Problem, reason: str
) -> None:
    shop.call()
    shop.ended(problem, "so it is")

    assert (shop.call(), shop.reason) == (REFUSES, reason)


@pytest.mark.parametrize(
    "said",
    [
        "<!doctype html><title>no</title>",
        '{"version": 1}',
        "NaN",
        "[" * 100_000,
        '{"version": 1, "run": "another"}',
    ],
    ids=["HTML", "incomplete", "NaN", "nested", "of another run"],
)
def test_what_is_no_measurement_is_never_a_pass(shop: Shop, said: str) -> None:
    shop.call()
    shop.put("result", said)
    waited = shop.call()
    while (reply := shop.call()) not in (PROCEEDS, REFUSES):
        shop.let_pass(60)
        # Neither attempt is any better.
        for attempt in (1, 2):
            shop.put("result", said, attempt)

    assert waited["hookStatus"] == "IN_PROGRESS"
    assert reply == REFUSES
    assert "unreadable" in shop.reason or "no run has come to its end" in shop.reason


def test_a_rollback_ends_what_goes_on_and_is_never_refused(shop: Shop) -> None:
    shop.call()
    shop.measures(seconds=20, state=State.RUNNING)

    assert shop.call({**ROLLBACK_PRODUCTION, "hookDetails": DETAILS}) == PROCEEDS
    assert shop.control()["stop"] == "the deployment is rolled back"
    assert shop.record["changes"] == [f"ended {RUN % 1}"]


@pytest.mark.parametrize("status", [Status.ROLLBACK_IN_PROGRESS, Status.STOP_REQUESTED])
def test_a_call_that_comes_late_ends_the_run_of_a_deployment_that_turns_back(
    shop: Shop, status: Status
) -> None:
    shop.call()
    shop.measures(seconds=20, state=State.RUNNING)
    shop.deployment.status = status

    assert shop.call() == PROCEEDS
    assert shop.control()["stop"] == "the deployment is rolled back"
    assert [job.run for job in shop.jobs()] == [RUN % 1]


def test_more_than_the_organisation_allows_is_refused_and_never_asked_for(shop: Shop) -> None:
    shop.details |= {"load": [{"seconds": 60, "at": 500}]}

    assert shop.call() == REFUSES
    assert shop.reason == "load: asks for 600, the policy's maxRequestsPerSecond is 100"
    assert shop.jobs() == []


def behind_a_load_balancer(shop: Shop) -> None:
    balancer = {
        "targetGroupArn": f"{GROUP}/a/6d0e",
        "advancedConfiguration": {
            "alternateTargetGroupArn": f"{GROUP}/b/73e2",
            "productionListenerRule": f"{RULES}/f2f7dc8efc522ab2/9683b2d02a6cabee",
            "testListenerRule": f"{RULES}/0467ef3c8400ae65/8bd3b5d0a9e2c417",
        },
    }
    for arn in (GREEN, BLUE):
        revision = shop.account.cloud.control_plane.revisions[str(arn)]
        revision.service_connect, revision.load_balancers = None, [balancer]


def test_without_service_connect_the_test_listener_s_rule_leads_to_green(shop: Shop) -> None:
    behind_a_load_balancer(shop)
    shop.call()

    [job] = shop.jobs()
    assert job.target == "http://shop-123456789.us-east-1.elb.amazonaws.com:8080"
    assert job.arms.green.headers == {"x-release": "green"}


CALLS = [
    "ecs:DescribeServiceDeployments",
    "ecs:DescribeServiceRevisions",
    "s3:ListBucket",
    "s3:PutObject",
    "sqs:SendMessage",
]


@pytest.mark.parametrize("action", CALLS)
def test_what_is_not_permitted_is_refused_and_named(shop: Shop, action: str) -> None:
    shop.fail(action, "AccessDenied" if action.startswith("s3") else "AccessDeniedException", 403)

    assert shop.call() == REFUSES
    assert f"the function's role may not {action} on " in shop.reason


@pytest.mark.parametrize("action", CALLS)
def test_throttling_passes(shop: Shop, action: str) -> None:
    shop.fail(action, "SlowDown" if action.startswith("s3") else "ThrottlingException", 503, times=1)

    reply = shop.call()
    assert reply["hookStatus"] == "IN_PROGRESS"
    shop.let_pass(reply["callBackDelay"])
    shop.call()
    assert [job.run for job in shop.jobs()] == [RUN % 1]


def test_a_run_goes_on_while_the_lease_can_t_be_renewed_and_the_verdict_comes_later(shop: Shop) -> None:
    shop.call()
    shop.let_pass(125)
    shop.measures()
    shop.fail("s3:GetObject", "InternalError", 500, times=2)

    assert shop.call()["hookStatus"] == "IN_PROGRESS"
    shop.let_pass(20)
    assert shop.call()["hookStatus"] == "IN_PROGRESS"
    shop.let_pass(20)
    assert shop.call() == PROCEEDS


def test_a_verdict_stands_although_the_run_can_t_be_stopped(shop: Shop) -> None:
    shop.call()
    shop.let_pass(40)
    shop.measures(seconds=40, state=State.RUNNING, green={"errors": 0.5})
    shop.fail("s3:PutObject", "SlowDown", 503)

    assert shop.call() == REFUSES
    assert f"{RUN % 1} could not be ended: " in shop.said


def test_every_grant_is_used_and_nothing_else_is_called(shop: Shop) -> None:
    behind_a_load_balancer(shop)
    test_a_rule_with_abort_ends_the_run_before_its_time(shop)

    unused = unused_grants(shop.account.policy(FUNCTION), shop.account.made_by(FUNCTION))
    # Lambda's own runtime writes the logs; the function makes no such call.
    assert [grant for grant in unused if "WriteLogs" not in grant] == []


def test_records_are_kept_and_a_refusal_is_told(shop: Shop) -> None:
    shop.call()
    shop.let_pass(125)
    shop.measures(green={"slower": 2.0})
    shop.call()

    s3 = shop.account.cloud.client("s3", user="admin")
    kept = [one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert len(kept) == 2
    newest = s3.get_object(Bucket=BUCKET, Key=max(kept))["Body"].read().decode()
    assert newest == canonical(shop.record)
    titles = [chart["title"] for chart in shop.record["charts"]]
    assert titles == ["latency by percentile"]


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"LOAD_QUEUE_URL": ""}, "environment variables LOAD_QUEUE_URL and LOAD_BUCKET must name"),
        ({"LOAD_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/1/no-fifo"}, "must name"),
        ({"LOAD_DRIVER": "k6"}, "LOAD_DRIVER: expected queue or locust, got 'k6'"),
        ({"LOAD_DRIVER": "locust"}, "environment variables LOCUST_URL and LOCUST_TOKEN_SECRET_ARN must name"),
    ],
)
def test_a_function_that_is_set_up_wrongly_says_how(
    shop: Shop, variables: dict[str, str], problem: str
) -> None:
    assert shop.call(None, **variables) == REFUSES
    assert problem in shop.reason


def test_a_look_takes_few_calls(shop: Shop) -> None:
    shop.call()
    shop.let_pass(60)
    shop.measures(seconds=60, state=State.RUNNING)
    before = len(shop.account.calls)
    shop.call()

    made = [call.action for call in shop.account.calls[before:]]
    assert made == [
        "ecs:DescribeServiceDeployments",
        # Of green and of blue, in one call.
        "ecs:DescribeServiceRevisions",
        "ecs:DescribeServiceRevisions",
        "s3:ListBucket",
        "s3:GetObject",
        "s3:GetObject",
        "s3:GetObject",
        "s3:PutObject",
    ]
