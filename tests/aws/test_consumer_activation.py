"""The activation hook under exactly the permissions that the template gives it."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from hooks.consumer_activation.handler import handler
from hooks.consumer_activation.state import NotUnderstoodError, State, is_void, parse
from rehearsal.aws.cloud import ACCOUNT
from rehearsal.aws.policy import unused_grants
from rehearsal.model import RevisionSummary, Status, Task
from shared.lifecycle import ServiceRevisionArn
from tests.aws.conftest import BUCKET, Account
from tests.shared.checkout import (
    BLUE,
    DEPLOYMENT,
    GREEN,
    PRODUCTION,
    REGION,
    SERVICE,
    TASK_DEFINITION,
    assert_valid,
    deploy,
    event,
    split,
)

FUNCTION = "ConsumerActivationFunction"
PARAMETER = "/ecs-consumers/shop/checkout/consumers"
QUEUE, DEAD = "orders", "orders-dead"

FORWARD, BACK = split(100, 0), split(0, 100)
DETAILS: Mapping[str, Any] = {"queue": QUEUE, "monitorMinutes": 2}

# As long as the leases of the defaults may be alive: (15 + 3) × 1.01.
QUIET_SECONDS = 18.18


@dataclass
class Service:
    """The service's parameter and queue, and whoever else has to do with them."""

    account: Account
    answers: list[str] = field(default_factory=list)

    def call(
        self,
        production: Mapping[str, float] = FORWARD,
        *,
        stage: str = PRODUCTION,
        details: Mapping[str, Any] = DETAILS,
        **variables: str,
    ) -> dict[str, Any]:
        """Call the hook once."""
        invocation = self.account.invoke(
            FUNCTION, event(stage, production=production, details=details), **variables
        )
        assert invocation.error is None, invocation.error
        assert_valid(invocation.reply)
        reply: dict[str, Any] = invocation.reply
        self.answers.append(reply["hookStatus"])
        return reply

    def walk(
        self,
        production: Mapping[str, float] = FORWARD,
        *,
        stage: str = PRODUCTION,
        details: Mapping[str, Any] = DETAILS,
        most: int = 200,
    ) -> str:
        """Call the hook until it has decided, as ECS does, and return its answer."""
        for _ in range(most):
            reply = self.call(production, stage=stage, details=details)
            if reply["hookStatus"] != "IN_PROGRESS":
                return str(reply["hookStatus"])
            details = reply["hookDetails"]
            self.account.pass_time(seconds=reply["callBackDelay"])
        raise AssertionError(f"not decided after {most} calls")

    def hand_over(self, **details: Any) -> None:
        """Call the hook until green is active."""
        given: Mapping[str, Any] = {**DETAILS, **details}
        while self.active != GREEN.id:
            reply = self.call(details=given)
            given = reply["hookDetails"]
            self.let_pass(seconds=reply["callBackDelay"])

    def let_pass(self, **duration: float) -> None:
        self.account.pass_time(**duration)

    def versions(self) -> list[str]:
        """Return all values of the parameter, oldest first."""
        ssm = self.account.cloud.client("ssm", user="admin")
        pages = ssm.get_paginator("get_parameter_history").paginate(Name=PARAMETER)
        return [version["Value"] for page in pages for version in page["Parameters"]]

    def states(self) -> list[State]:
        """Return those that hold and can be understood, oldest first."""
        found = []
        for number, text in enumerate(self.versions(), start=1):
            with contextlib.suppress(NotUnderstoodError):
                if not is_void(text, number):
                    found.append(parse(text))
        return found

    @property
    def active(self) -> str | None:
        return self.states()[-1].active

    def history(self) -> list[tuple[str | None, str | None]]:
        """Return who was active and who was drained, version by version."""
        names = {BLUE.id: "blue", GREEN.id: "green", None: None}
        return [(names[state.active], names[state.draining]) for state in self.states()]

    def write(self, value: State | str) -> None:
        """Write the parameter as a person does."""
        self.account.write(value if isinstance(value, str) else value.write(), name=PARAMETER)

    def delete(self) -> None:
        self.account.cloud.client("ssm", user="admin").delete_parameter(Name=PARAMETER)

    def record(self) -> dict[str, Any]:
        """Return the latest decision record."""
        return self.records()[-1]

    def records(self) -> list[dict[str, Any]]:
        s3 = self.account.cloud.client("s3", user="admin")
        found = s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        documents = [json.loads(s3.get_object(Bucket=BUCKET, Key=one["Key"])["Body"].read()) for one in found]
        return sorted(documents, key=lambda document: str(document["at"]))

    @property
    def reason(self) -> str:
        return str(self.record()["verdict"]["reason"])

    def fail(self, action: str, error: str = "ThrottlingException", **how: Any) -> Any:
        return self.account.cloud.faults.add(action=action, error=error, identity=f"*/{FUNCTION}", **how)

    def send(self, queue: str = QUEUE, messages: int = 1) -> None:
        for number in range(messages):
            self.sqs.send_message(QueueUrl=self.url(queue), MessageBody=str(number))

    def receive(self, seconds: int) -> str:
        """Take a message that is worked on for so long; returns its receipt."""
        (message,) = self.sqs.receive_message(QueueUrl=self.url(), VisibilityTimeout=seconds)["Messages"]
        return str(message["ReceiptHandle"])

    def finish(self, receipt: str) -> None:
        self.sqs.delete_message(QueueUrl=self.url(), ReceiptHandle=receipt)

    @property
    def sqs(self) -> Any:
        return self.account.cloud.client("sqs", user="admin")

    def url(self, queue: str = QUEUE) -> str:
        return str(self.sqs.get_queue_url(QueueName=queue)["QueueUrl"])

    def run_task(self, revision: ServiceRevisionArn, *, protected_seconds: int = 0) -> None:
        now = datetime.now(UTC)
        task = Task(
            arn=f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/{SERVICE.cluster}/{revision.id}",
            service=SERVICE,
            revision=revision,
            task_definition=TASK_DEFINITION,
            created_at=now,
            started_at=now,
            protected_until=now + timedelta(seconds=protected_seconds) if protected_seconds else None,
        )
        self.account.cloud.control_plane.tasks[task.arn] = task


@pytest.fixture
def service(account: Account) -> Service:
    """A service with blue active for an hour, in the middle of its deployment of green."""
    deploy(
        account.cloud,
        sources=[
            RevisionSummary(
                arn=BLUE,
                requested_task_count=2,
                running_task_count=2,
                test_weight=0.0,
                production_weight=100.0,
            )
        ],
    )
    service = Service(account)
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{DEAD}"
    service.sqs.create_queue(QueueName=DEAD)
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 5})
    service.sqs.create_queue(QueueName=QUEUE, Attributes={"RedrivePolicy": redrive})
    service.write(State(version=1, epoch=7, active=BLUE.id))
    service.let_pass(hours=1)
    return service


# The hand-over


def test_green_takes_over_once_blue_s_leases_are_over_and_its_work_is_done(service: Service) -> None:
    service.send(messages=2)
    receipt = service.receive(seconds=3600)

    assert service.call()["callBackDelay"] == 14
    for _ in range(10):
        service.let_pass(seconds=30)
        assert service.call()["hookStatus"] == "IN_PROGRESS"
    assert service.history() == [("blue", None), (None, "blue")]

    service.finish(receipt)
    assert service.walk() == "SUCCEEDED"
    assert service.history() == [("blue", None), (None, "blue"), ("green", None)]
    epochs = [state.epoch for state in service.states()]
    assert epochs == sorted(set(epochs))


def gap_seconds(service: Service) -> float:
    """Return how long nobody was active in the latest hand-over."""
    taken = service.states()[-1]
    assert taken.since is not None
    assert taken.released is not None
    return (taken.since - taken.released).total_seconds()


@pytest.mark.parametrize(
    ("details", "least", "most"),
    [
        ({}, QUIET_SECONDS, 20),
        ({"drainBy": "protection"}, 120, 155),
        ({"drainBy": "time", "drainSeconds": 40}, QUIET_SECONDS + 40, 61),
        ({"leaseSeconds": 60, "readSeconds": 20}, 63.6, 66),
    ],
    ids=str,
)
def test_how_long_nobody_is_active_follows_from_what_is_waited_for(
    service: Service, details: dict[str, Any], least: float, most: float
) -> None:
    service.run_task(BLUE, protected_seconds=120)
    service.run_task(GREEN, protected_seconds=3600)

    assert service.walk(details={**DETAILS, **details}) == "SUCCEEDED"

    # States have whole seconds.
    assert least - 1 <= gap_seconds(service) <= most


def test_where_ecs_loses_the_count_of_looks_time_makes_up_for_it(service: Service) -> None:
    while service.active != GREEN.id:
        service.let_pass(seconds=service.call()["callBackDelay"])

    assert 60 <= gap_seconds(service) - QUIET_SECONDS <= 66


def test_a_lease_that_gets_shorter_is_waited_out_as_long_as_it_was(service: Service) -> None:
    service.write(State(version=None, epoch=8, active=BLUE.id, lease_seconds=120))
    service.let_pass(hours=1)

    assert service.walk() == "SUCCEEDED"

    assert gap_seconds(service) >= 120
    assert service.states()[-1].lease_seconds == 15


def test_work_that_never_ends_gives_the_queue_back(service: Service) -> None:
    service.send()
    service.receive(seconds=40_000)

    assert service.walk(details={**DETAILS, "drainTimeoutSeconds": 60}) == "FAILED"

    assert service.history() == [("blue", None), (None, "blue"), ("blue", None)]
    assert "was not done after" in service.reason
    assert "1 messages of orders in flight" in service.reason


def test_or_lets_green_start_beside_it_where_that_is_asked_for(service: Service) -> None:
    service.send()
    service.receive(seconds=40_000)
    details = {**DETAILS, "drainTimeoutSeconds": 60, "onDrainTimeout": "activate"}

    assert service.walk(details=details) == "SUCCEEDED"
    assert service.active == GREEN.id


def test_a_headless_service_hands_over_without_weights_as_well(service: Service) -> None:
    assert service.walk({}) == "SUCCEEDED"
    assert service.history() == [("blue", None), (None, "blue"), ("green", None)]


def test_no_weights_say_nothing_about_the_steps_of_a_canary(service: Service) -> None:
    deployment = service.account.cloud.control_plane.deployments[str(DEPLOYMENT)]
    deployment.configuration = {"strategy": "CANARY"}

    assert service.walk({}) == "FAILED"
    assert service.active == BLUE.id
    assert "can't be told apart" in service.reason


@pytest.mark.parametrize("green", [0.1, 10, 99.9])
def test_blue_stays_the_only_one_while_traffic_is_split(service: Service, green: float) -> None:
    assert service.walk(split(green, 100 - green)) == "SUCCEEDED"
    assert service.history() == [("blue", None)]


def test_a_first_deployment_is_active_at_once(service: Service) -> None:
    service.delete()
    deploy(service.account.cloud, sources=[])

    assert service.call({str(GREEN): 100})["hookStatus"] == "IN_PROGRESS"
    assert service.history() == [("green", None)]
    assert service.walk({str(GREEN): 100}) == "SUCCEEDED"


def test_dead_letters_from_before_a_first_deployment_are_not_its_own(service: Service) -> None:
    service.delete()
    deploy(service.account.cloud, sources=[])
    service.send(DEAD, messages=3)

    assert service.walk({str(GREEN): 100}) == "SUCCEEDED"


# Watching green


def test_dead_letters_give_the_queue_back_and_the_deployment_is_not_tried_twice(service: Service) -> None:
    service.send(DEAD, messages=3)
    service.hand_over()
    service.send(DEAD)

    assert service.walk() == "FAILED"
    reason = f"{GREEN.id}: 1 dead letters since, at most 0 may be"
    assert service.reason == reason
    assert service.history() == [
        ("blue", None),
        (None, "blue"),
        ("green", None),
        (None, "green"),
        ("blue", None),
    ]
    assert service.states()[-1].hand_back == reason

    # A duplicate of the call, and the rollback that follows, find it done.
    assert service.call()["hookStatus"] == "FAILED"
    assert service.call(BACK)["hookStatus"] == "SUCCEEDED"
    assert service.active == BLUE.id


def test_a_queue_that_gets_stuck_gives_it_back(service: Service) -> None:
    def publish(**values: float) -> None:
        units = {"oldest": "ApproximateAgeOfOldestMessage", "waiting": "ApproximateNumberOfMessagesVisible"}
        names = {
            units.get(name, "NumberOfMessagesDeleted"): (value, "None") for name, value in values.items()
        }
        service.account.cloud.publish_metrics("AWS/SQS", {"QueueName": QUEUE}, names, datetime.now(UTC))

    details = {**DETAILS, "monitorMinutes": 10}
    service.hand_over(monitorMinutes=10)
    for _ in range(7):
        publish(oldest=30, waiting=50, deleted=0)
        service.let_pass(minutes=1)

    assert service.walk(details=details) == "FAILED"
    assert service.active == BLUE.id
    assert service.reason == f"{GREEN.id}: 50 messages wait and none was deleted in 3 minutes"


def test_a_service_without_a_queue_is_handed_over_by_time_and_not_watched(service: Service) -> None:
    assert service.walk(details={"drainSeconds": 5}) == "SUCCEEDED"
    assert service.history() == [("blue", None), (None, "blue"), ("green", None)]
    assert not {action for action, _ in service.account.made_by(FUNCTION) if action.startswith("sqs")}


# Going back


def test_a_rollback_hands_back_likewise(service: Service) -> None:
    service.hand_over()
    service.send()
    receipt = service.receive(seconds=3600)

    assert service.call(BACK)["hookStatus"] == "IN_PROGRESS"
    service.let_pass(seconds=30)
    assert service.call(BACK)["hookStatus"] == "IN_PROGRESS"
    service.finish(receipt)

    assert service.walk(BACK) == "SUCCEEDED"
    assert service.history()[-3:] == [("green", None), (None, "green"), ("blue", None)]
    assert gap_seconds(service) >= QUIET_SECONDS - 1


def test_a_rollback_waits_for_green_s_work_only_so_long(service: Service) -> None:
    service.hand_over()
    service.send()
    service.receive(seconds=40_000)

    assert service.walk(BACK) == "SUCCEEDED"
    assert service.active == BLUE.id
    assert gap_seconds(service) <= QUIET_SECONDS + 60 + 30


def test_a_rollback_that_never_saw_the_forward_call_switches_nothing(service: Service) -> None:
    assert [service.call(BACK), service.call(BACK)] == [{"hookStatus": "SUCCEEDED"}] * 2
    # Written once more, so that a shift that is still on its way comes too late.
    assert service.history() == [("blue", None), ("blue", None)]


def test_a_rollback_in_the_middle_lets_blue_in_at_once(service: Service) -> None:
    service.call()

    assert service.call(BACK) == {"hookStatus": "SUCCEEDED"}
    assert service.history() == [("blue", None), (None, "blue"), ("blue", None)]


@pytest.mark.parametrize("error", ["AccessDeniedException", "ThrottlingException"])
@pytest.mark.parametrize(
    "action", ["*", "ssm:GetParameter", "ssm:PutParameter", "ecs:*", "sqs:*", "cloudwatch:*"]
)
def test_a_rollback_is_never_refused(service: Service, action: str, error: str) -> None:
    service.hand_over()
    service.fail(action, error)

    assert service.walk(BACK) == "SUCCEEDED"
    if not action.startswith(("*", "ssm")):
        assert service.active == BLUE.id


@pytest.mark.parametrize("status", [Status.STOPPED, Status.SUCCESSFUL, Status.ROLLBACK_SUCCESSFUL])
def test_a_late_call_of_a_deployment_that_has_ended_changes_nothing(service: Service, status: Status) -> None:
    service.account.cloud.control_plane.deployments[str(DEPLOYMENT)].status = status

    assert service.call() == {"hookStatus": "FAILED"}
    assert service.history() == [("blue", None)]


def test_a_call_without_weights_while_a_newer_deployment_waits_gives_back_and_refuses_nothing(
    service: Service,
) -> None:
    service.call({})
    service.account.cloud.control_plane.deployments[str(DEPLOYMENT)].status = Status.STOP_REQUESTED

    # Nothing tells whether ECS goes forward still or back already.
    assert service.call({}) == {"hookStatus": "SUCCEEDED"}
    assert service.history() == [("blue", None), (None, "blue"), ("blue", None)]
    assert service.call({}) == {"hookStatus": "SUCCEEDED"}


def test_a_late_call_while_the_deployment_rolls_back_lets_green_in_no_more(service: Service) -> None:
    service.call()
    service.account.cloud.control_plane.deployments[str(DEPLOYMENT)].status = Status.ROLLBACK_IN_PROGRESS

    assert service.walk() == "FAILED"
    assert service.history() == [("blue", None), (None, "blue"), ("blue", None)]


# Repairs


@pytest.mark.parametrize("stage", ["RECONCILE_SERVICE", "PRE_SCALE_UP"])
@pytest.mark.parametrize(
    "left",
    [
        None,
        "half of a JSON obj",
        State(version=None, epoch=9, active=None, draining=BLUE.id),
        State(version=None, epoch=9, active=None, draining="8801652994063175203"),
        State(version=None, epoch=9, active="8801652994063175203"),
        State(version=None, epoch=9, active=None),
    ],
    ids=["nothing", "garbage", "half-way from blue", "half-way from another", "another", "nobody"],
)
def test_what_an_earlier_deployment_left_is_put_right(
    service: Service, stage: str, left: State | str | None
) -> None:
    if left is None:
        service.delete()
    else:
        service.write(left)

    assert service.walk({}, stage=stage) == "SUCCEEDED"
    assert service.active == BLUE.id
    assert service.walk() == "SUCCEEDED"
    assert service.active == GREEN.id


def test_a_repair_lets_the_queue_be_with_whichever_revision_serves(service: Service) -> None:
    other = replace(BLUE, id="8801652994063175203")
    sources = [RevisionSummary(arn=arn, running_task_count=2) for arn in (BLUE, other)]
    deploy(service.account.cloud, sources=sources)
    service.write(State(version=None, epoch=9, active=other.id))

    assert service.call({}, stage="RECONCILE_SERVICE") == {"hookStatus": "SUCCEEDED"}
    assert service.states()[-1].active == other.id


@pytest.mark.parametrize(
    ("details", "answer", "active"),
    [({"drainBy": "time", "drainSeconds": 0}, "SUCCEEDED", GREEN), ({}, "FAILED", BLUE)],
    ids=["as docs/consumer-activation.md says", "by the defaults"],
)
def test_a_blue_that_has_no_gate_yet_does_not_stop_for_the_parameter(
    service: Service, details: dict[str, Any], answer: str, active: ServiceRevisionArn
) -> None:
    service.delete()
    service.send()
    service.receive(seconds=40_000)

    assert service.walk({}, stage="PRE_SCALE_UP", details={**DETAILS, **details}) == "SUCCEEDED"
    assert service.active == BLUE.id
    assert service.walk(details={**DETAILS, **details}) == answer
    assert service.active == active.id


# What is denied, missing or damaged


@pytest.mark.parametrize(
    ("action", "details"),
    [
        ("ssm:GetParameter", {}),
        ("ssm:PutParameter", {}),
        ("ecs:DescribeServiceDeployments", {}),
        ("sqs:GetQueueUrl", {}),
        ("sqs:GetQueueAttributes", {}),
        ("cloudwatch:GetMetricData", {}),
        ("ecs:ListTasks", {"drainBy": "protection"}),
        ("ecs:GetTaskProtection", {"drainBy": "protection"}),
    ],
)
def test_a_missing_permission_is_named_before_anything_is_changed(
    service: Service, action: str, details: dict[str, str]
) -> None:
    service.run_task(GREEN)
    service.fail(action, "AccessDeniedException")

    for production in (FORWARD, {}):
        # Without weights it is the API that says which way it goes, and a way back is not refused.
        is_unknown = not production and action == "ecs:DescribeServiceDeployments"
        reply = service.call(production, details={**DETAILS, **details})
        assert reply["hookStatus"] == ("IN_PROGRESS" if is_unknown else "FAILED")
        assert f"the function's role may not {action} on " in service.reason
    assert service.history() == [("blue", None)]


@pytest.mark.parametrize(
    ("action", "details"),
    [
        ("sqs:GetQueueUrl", {}),
        ("sqs:GetQueueAttributes", {}),
        ("ecs:ListTasks", {"drainBy": "protection"}),
        ("ecs:GetTaskProtection", {"drainBy": "protection"}),
    ],
)
def test_one_that_is_taken_away_while_blue_drains_gives_the_queue_back(
    service: Service, action: str, details: dict[str, str]
) -> None:
    service.run_task(BLUE)
    service.run_task(GREEN)
    service.call(details={**DETAILS, **details})
    service.fail(action, "AccessDeniedException")

    service.let_pass(seconds=30)
    assert service.walk(details={**DETAILS, **details}) == "FAILED"
    assert service.history() == [("blue", None), (None, "blue"), ("blue", None)]
    assert f"may not {action}" in service.reason


@pytest.mark.parametrize("action", ["sqs:GetQueueAttributes", "cloudwatch:GetMetricData"])
def test_or_while_green_is_watched(service: Service, action: str) -> None:
    service.hand_over()
    service.fail(action, "AccessDeniedException")

    assert service.walk() == "FAILED"
    assert service.history()[-2:] == [(None, "green"), ("blue", None)]
    assert f"may not {action}" in service.reason


@pytest.mark.parametrize("queue", [QUEUE, DEAD])
def test_a_queue_that_is_not_there_is_refused_and_named(service: Service, queue: str) -> None:
    service.sqs.delete_queue(QueueUrl=service.url(queue))

    assert service.call() == {"hookStatus": "FAILED"}
    assert service.history() == [("blue", None)]
    assert f"sqs:GetQueueUrl on {queue}: AWS.SimpleQueueService.NonExistentQueue" in service.reason


@pytest.mark.parametrize(
    ("details", "named"),
    [
        ({"leaseSeconds": 9}, "leaseSeconds (9) must be at least twice readSeconds (5)"),
        ({"leaseSecond": 15}, "unknown key 'leaseSecond', did you mean 'leaseSeconds'?"),
        ({"queue": None, "drainBy": "queue"}, "drainBy is queue, but no queue is named"),
        ({"queue": "https://sqs.eu-west-1.amazonaws.com/1/orders"}, "queue: "),
    ],
    ids=str,
)
def test_settings_that_can_t_be_meant_are_refused_and_named(
    service: Service, details: dict[str, Any], named: str
) -> None:
    assert service.call(details={**DETAILS, **details}) == {"hookStatus": "FAILED"}
    assert named in service.reason
    assert service.history() == [("blue", None)]


def test_a_queue_outside_the_policy_is_refused(service: Service) -> None:
    policy = json.dumps({"allowedQueues": ["mail-*"]})

    assert service.call(HOOK_POLICY=policy) == {"hookStatus": "FAILED"}
    assert "queue: 'orders' is not among the policy's allowedQueues: mail-*" in service.reason
    assert service.history() == [("blue", None)]


def test_a_service_can_lengthen_the_policy_s_lease_and_not_shorten_it(service: Service) -> None:
    policy = json.dumps({"leaseSeconds": 30})
    for wanted, held in ((10, 30), (60, 60)):
        service.write(State(version=None, epoch=9, active=BLUE.id))
        service.call(details={**DETAILS, "leaseSeconds": wanted}, HOOK_POLICY=policy)
        assert service.states()[-1].lease_seconds == held


def test_a_prefix_that_is_not_set_is_refused(service: Service) -> None:
    assert service.call(CONSUMER_PARAMETER_PREFIX="") == {"hookStatus": "FAILED"}
    assert "CONSUMER_PARAMETER_PREFIX must name a path" in service.reason


def damage(service: Service, how: str) -> None:
    match how:
        case "deleted":
            service.delete()
        case "void":
            for _ in range(12):
                service.write(State(version=1, epoch=9, active="8801652994063175203"))
        case text:
            service.write(text)


DAMAGES = [
    "deleted",
    "void",
    "",
    "{",
    "null",
    '{"schema": 2, "active": "7"}',
    '{"schema": 1, "epoch": 1}',
    '{"schema": 1, "epoch": 1, "active": true}',
]


@pytest.mark.parametrize("how", [how for how in DAMAGES if how])
@pytest.mark.parametrize("moment", ["blue is active", "blue drains", "green is watched"])
def test_a_parameter_that_is_damaged_lets_nobody_in_and_is_written_anew(
    service: Service, how: str, moment: str
) -> None:
    if moment == "blue drains":
        service.call()
    elif moment == "green is watched":
        service.hand_over()
    before = max(state.epoch for state in service.states())
    service.let_pass(seconds=5)
    damage(service, how)

    reply = service.call()
    assert reply["hookStatus"] == "IN_PROGRESS"
    assert service.active is None
    assert service.states()[-1].epoch > before
    assert service.walk() == "SUCCEEDED"
    assert service.active == GREEN.id
    assert gap_seconds(service) >= QUIET_SECONDS - 1


# Writes that fail, and writes of others


@pytest.mark.parametrize("error", ["ThrottlingException", "InternalServerError", "TooManyUpdates"])
@pytest.mark.parametrize(
    "action", ["ssm:PutParameter", "ssm:GetParameter", "sqs:*", "ecs:*", "cloudwatch:*", "*"]
)
def test_aws_failing_for_a_while_at_every_step_only_takes_longer(
    service: Service, action: str, error: str
) -> None:
    details = DETAILS
    for _ in range(60):
        fault = service.fail(action, error)
        reply = service.call(details=details)
        assert reply["hookStatus"] == "IN_PROGRESS" or service.active == GREEN.id
        service.account.cloud.faults.remove(fault)
        service.let_pass(seconds=reply.get("callBackDelay", 0))
        reply = service.call(details=details)
        if reply["hookStatus"] != "IN_PROGRESS":
            break
        service.let_pass(seconds=reply["callBackDelay"])

    assert reply == {"hookStatus": "SUCCEEDED"}
    assert service.history() == [("blue", None), (None, "blue"), ("green", None)]


def test_a_write_that_is_throttled_has_changed_nothing(service: Service) -> None:
    fault = service.fail("ssm:PutParameter")

    reply = service.call()

    assert (reply["hookStatus"], service.history()) == ("IN_PROGRESS", [("blue", None)])
    service.account.cloud.faults.remove(fault)
    assert service.walk() == "SUCCEEDED"


def test_throttling_without_end_ends_in_a_refusal_with_blue_consuming(service: Service) -> None:
    service.fail("ssm:PutParameter")

    assert service.walk(details={**DETAILS, "giveUpAfterMinutes": 10}) == "FAILED"
    assert service.history() == [("blue", None)]


def test_a_write_whose_answer_is_lost_is_taken_up_where_it_got(service: Service) -> None:
    service.fail(
        "ssm:PutParameter",
        after=True,
        times=1,
        make=lambda *_: ReadTimeoutError(endpoint_url="https://ssm.us-east-1.amazonaws.com"),
    )

    assert service.call()["hookStatus"] == "IN_PROGRESS"
    assert service.active is None
    assert service.walk() == "SUCCEEDED"
    assert service.history() == [("blue", None), (None, "blue"), ("green", None)]


def interrupt(service: Service, value: State) -> None:
    """Have somebody write just before the hook's next write arrives."""
    waiting = [value]

    def write_first(*_: object) -> None:
        if waiting:
            service.write(waiting.pop())

    service.account.cloud.faults.add(action="ssm:PutParameter", identity=f"*/{FUNCTION}", make=write_first)


def test_a_write_that_comes_too_late_is_void_and_the_other_one_holds(service: Service) -> None:
    by_hand = State(version=None, epoch=50, active=None, draining=BLUE.id)
    interrupt(service, by_hand)

    reply = service.call()

    assert (reply["hookStatus"], reply["callBackDelay"]) == ("IN_PROGRESS", 2)
    assert len(service.versions()) == 3
    assert is_void(service.versions()[-1], 3)
    assert service.states()[-1] == by_hand
    assert service.walk() == "SUCCEEDED"
    assert service.history() == [("blue", None), (None, "blue"), ("green", None)]


def test_void_versions_are_stepped_over(service: Service) -> None:
    for _ in range(3):
        service.write(State(version=1, epoch=99, active=GREEN.id))

    reply = service.call()

    assert reply["hookStatus"] == "IN_PROGRESS"
    assert parse(service.versions()[-1]).version == 5
    assert service.history() == [("blue", None), (None, "blue")]


def test_two_calls_at_once_write_one_version_that_holds(service: Service) -> None:
    # The other call has read the same and is faster.
    twin = State(
        version=2,
        epoch=int(datetime.now(UTC).timestamp()),
        active=None,
        draining=BLUE.id,
        released=datetime.now(UTC),
        deployment=DEPLOYMENT.id,
    )
    interrupt(service, twin)

    assert service.call()["hookStatus"] == "IN_PROGRESS"
    assert service.states() == [service.states()[0], twin]
    assert service.walk() == "SUCCEEDED"
    assert service.history() == [("blue", None), (None, "blue"), ("green", None)]


def test_a_person_s_edit_is_what_the_next_call_goes_on_from(service: Service) -> None:
    # Nobody counts dead letters when a person writes; those from before are not held against green.
    service.send(DEAD, messages=3)
    service.call()
    service.write(State(version=None, epoch=service.states()[-1].epoch + 1, active=GREEN.id))

    assert service.walk() == "SUCCEEDED"
    assert service.history() == [("blue", None), (None, "blue"), ("green", None)]


# Evidence


def test_every_decision_can_be_computed_again_from_its_record(service: Service) -> None:
    service.walk({}, stage="PRE_SCALE_UP")
    service.hand_over()
    service.send(DEAD)
    service.walk()
    service.walk(BACK)

    replayed = [record for record in service.records() if record["inputs"]]
    assert len(replayed) == len(service.records()) == 6
    assert [handler.replay(record) for record in replayed] == [record["verdict"] for record in replayed]


def test_a_record_says_what_was_written_and_why(service: Service) -> None:
    service.call()

    record = service.record()
    epoch = service.states()[-1].epoch
    assert record["changes"] == [f"epoch {epoch}: {BLUE.id} is to stop"]
    assert record["revisions"] == {"green": str(GREEN), "blue": str(BLUE)}
    assert (record["verdict"]["answer"], record["reply"]) == ("wait", "IN_PROGRESS")


def test_observing_hands_over_and_refuses_nothing(service: Service) -> None:
    service.send()
    service.receive(seconds=40_000)
    details = {**DETAILS, "mode": "observe", "drainTimeoutSeconds": 60}

    assert service.walk(details=details) == "SUCCEEDED"
    assert service.active == GREEN.id


def test_the_template_allows_every_call_that_is_made_and_none_that_is_not(service: Service) -> None:
    service.run_task(BLUE)
    service.run_task(GREEN)
    service.walk({}, stage="PRE_SCALE_UP", details={**DETAILS, "drainBy": "protection"})
    service.hand_over()
    service.send(DEAD)
    service.walk(details={**DETAILS, "drainBy": "protection"})
    service.walk(BACK)

    account = service.account
    made = account.made_by(FUNCTION)
    assert [call for call in account.calls if not call.allowed] == []
    # Lambda's own runtime writes the logs; the function makes no such call.
    unused = [grant for grant in unused_grants(account.policy(FUNCTION), made) if "WriteLogs" not in grant]
    assert unused == []
