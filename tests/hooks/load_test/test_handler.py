"""Whole calls of the hook with a generator that a test plays."""

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from load_generator.job import Job
from load_generator.snapshot import Problem as Told
from load_generator.snapshot import State as Stands

from hooks.load_test import handler as module
from hooks.load_test.decision import Attempt
from hooks.load_test.drivers import Driver, lease_of
from hooks.load_test.drivers.fake import FakeDriver
from hooks.load_test.drivers.locust import SECRET_VARIABLE, URL_VARIABLE, LocustDriver
from hooks.load_test.drivers.queue import BUCKET_VARIABLE, QUEUE_VARIABLE, QueueDriver
from hooks.load_test.handler import DRIVER_VARIABLE, driver_of, handler
from hooks.load_test.measurement import Measurement
from rehearsal.aws.cloud import Cloud
from rehearsal.model import Rollback, Status
from shared.errors import Misconfigured, Transient
from shared.record import canonical
from shared.settings import POLICY_VARIABLE
from tests.hooks.load_test.runs import NAME, RUN, arm, ended, measured, steady
from tests.shared.checkout import (
    BLUE,
    GREEN,
    POST_TEST,
    PRE_PRODUCTION,
    REGION,
    ROLLBACK_PRODUCTION,
    START,
    TASK_DEFINITION,
    TEST_SHIFT,
    Context,
    assert_valid,
    deploy,
    event,
)
from tests.shared.conftest import Log

SUCCEEDED, FAILED = {"hookStatus": "SUCCEEDED"}, {"hookStatus": "FAILED"}
SECOND = f"{NAME}-2"
SERVICE_CONNECT = {
    "enabled": True,
    "namespace": "shop",
    "services": [
        {
            "portName": "http",
            "clientAliases": [
                {
                    "port": 8080,
                    "dnsName": "checkout",
                    "testTrafficRules": {"header": {"name": "x-release", "value": {"exact": "green"}}},
                }
            ],
        }
    ],
}
GOOD, BLUES = arm(steady(1000)), arm(steady(500))
PASSES = measured(GOOD, BLUES)
FAILS = measured(arm(steady(500), {"status 500": 500}), BLUES)
LOST = measured(GOOD, BLUES, workers=(2, 1, 1))


@dataclass
class Shop:
    """The deployment of ``checkout``, its generator, and the time it is."""

    cloud: Cloud
    driver: FakeDriver
    clock: time_machine.Traveller
    log: Log
    details: dict[str, Any] = field(default_factory=dict)

    def call(self, payload: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Call the hook once, as ECS does."""
        reply = handler(payload or event(POST_TEST, details=self.details), Context())
        assert_valid(reply)
        self.details = reply.get("hookDetails", self.details)
        return reply

    def wait(self) -> int:
        """Call it once, and let the time pass that it asks for."""
        reply = self.call()
        assert reply["hookStatus"] == "IN_PROGRESS", self.reason
        self.clock.shift(timedelta(seconds=reply["callBackDelay"]))
        return int(reply["callBackDelay"])

    def tells(self, measurement: Measurement | None, run: str = RUN) -> None:
        """Let the generator say how a run goes."""
        if measurement is not None:
            measurement = measurement.model_copy(update={"run": run, "at": datetime.now(UTC)})
        self.driver.attempts[run] = replace(self.driver.attempts[run], measured=measurement)

    @property
    def records(self) -> list[dict[str, Any]]:
        return self.log.records

    @property
    def reason(self) -> str:
        return str(self.records[-1]["verdict"]["reason"])


@pytest.fixture
def log() -> Iterator[Log]:
    found = Log()
    with contextlib.ExitStack() as stack:
        for one in logging.getLogger("ecs-lifecycle-hooks").handlers:
            if isinstance(one, logging.StreamHandler) and (before := one.setStream(found.stream)):
                stack.callback(one.setStream, before)
        yield found


@pytest.fixture
def shop(log: Log, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    for name in (POLICY_VARIABLE, "RECORD_BUCKET", "NOTIFICATION_TOPIC_ARN"):
        monkeypatch.delenv(name, raising=False)
    driver = FakeDriver()
    monkeypatch.setattr(module, "driver_of", lambda _: driver)
    with (
        time_machine.travel(START, tick=False) as clock,
        Cloud(region=REGION, seed=1) as cloud,
        cloud.acting_as("hook"),
    ):
        deploy(cloud)
        for arn, number in ((GREEN, 7), (BLUE, 6)):
            revision = cloud.control_plane.revisions[str(arn)]
            revision.service_connect = SERVICE_CONNECT
            revision.task_definition = TASK_DEFINITION.replace(":7", f":{number}")
        yield Shop(cloud, driver, clock, log)
        assert cloud.defects == []


# ------------------------------------------------------------------------------------ from start to verdict


def test_a_run_is_asked_for_once_kept_while_it_runs_and_judged_when_it_is_over(shop: Shop) -> None:
    assert shop.wait() == 20
    (job,) = shop.driver.jobs
    read = Job.read(json.dumps(job))
    assert (read.run, read.service, read.target) == (RUN, "shop/checkout", "http://checkout:8080")
    assert (read.arms.green.headers, read.arms.green.marker) == ({"x-release": "green"}, "checkout:7")
    assert read.arms.blue is not None
    assert (read.arms.blue.headers, read.arms.blue.marker) == ({}, "checkout:6")

    assert shop.wait() == 20
    running = measured(GOOD, BLUES, state=Stands.RUNNING, elapsed_seconds=290.0, due_seconds=290.0)
    shop.tells(running)
    assert shop.wait() == 15
    assert shop.driver.kept == [RUN]
    shop.tells(PASSES)
    assert shop.call() == SUCCEEDED

    assert shop.driver.jobs == [job]
    assert (shop.driver.kept, shop.driver.stopped) == ([RUN], {})
    assert shop.reason.startswith("green holds the load: errors < 1%: 0 of 1,000 requests, 0 %; rps >= 95%: ")
    assert [record["changes"] for record in shop.records] == [[f"asked for {RUN}"], []]


def test_a_green_that_fails_is_refused(shop: Shop) -> None:
    shop.wait()
    shop.tells(FAILS)

    assert shop.call() == FAILED
    assert shop.reason.startswith("green fails the load test: errors < 1%: 500 of 1,000 requests, 50 %")
    assert shop.log.messages("ERROR") == [f"refused: {shop.reason}"]


def test_a_run_that_breaks_a_rule_is_ended_and_a_call_that_comes_late_refuses_too(shop: Shop) -> None:
    shop.details = {"rules": [{"rule": "errors < 20%", "abort": True, "afterSeconds": 5}]}
    shop.wait()
    shop.tells(
        measured(
            arm(steady(500), {"status 500": 500}),
            BLUES,
            state=Stands.RUNNING,
            elapsed_seconds=60.0,
            due_seconds=60.0,
        )
    )

    assert shop.call() == FAILED
    assert shop.driver.stopped == {
        RUN: "green fails the load test: errors < 20%: 500 of 1,000 requests, 50 %"
    }
    assert shop.records[-1]["changes"] == [f"ended {RUN}"]
    assert shop.call() == FAILED
    assert shop.reason == "green fails the load test: errors < 20%: 500 of 1,000 requests, 50 %"


def test_a_duplicate_of_the_first_call_joins_the_run_that_was_asked_for(shop: Shop) -> None:
    first, second = shop.call(event(POST_TEST)), shop.call(event(POST_TEST))

    assert (first["hookStatus"], second["hookStatus"]) == ("IN_PROGRESS", "IN_PROGRESS")
    assert [job["run"] for job in shop.driver.jobs] == [RUN]


def test_nothing_rests_on_what_ecs_carries_from_call_to_call(shop: Shop) -> None:
    for _ in range(3):
        shop.call(event(POST_TEST))
        shop.clock.shift(timedelta(seconds=20))
    shop.tells(PASSES)

    assert shop.call(event(POST_TEST, details={"_lifecycleHookState": {"version": 99}})) == SUCCEEDED
    assert len(shop.driver.jobs) == 1


def test_the_generator_s_trouble_takes_a_second_run_and_then_no_third(shop: Shop) -> None:
    shop.wait()
    shop.tells(LOST)
    assert shop.wait() == 20
    assert [job["run"] for job in shop.driver.jobs] == [RUN, SECOND]
    assert shop.driver.stopped == {RUN: "another run takes its place: the generator lost 1 of its 2 workers"}
    assert shop.records[-1]["changes"] == [f"asked for {SECOND}", f"ended {RUN}"]

    shop.tells(LOST, SECOND)
    assert shop.call() == FAILED
    assert shop.reason == "not tested, because of the generator: the generator lost 1 of its 2 workers"
    assert len(shop.driver.jobs) == 2


def test_the_second_run_may_pass(shop: Shop) -> None:
    shop.wait()
    shop.clock.shift(timedelta(seconds=180))
    shop.wait()
    shop.tells(PASSES, SECOND)

    assert shop.call() == SUCCEEDED
    assert [job["run"] for job in shop.driver.jobs] == [RUN, SECOND]


def test_a_driver_that_knows_the_latest_run_only_is_asked_for_the_next_by_its_number(shop: Shop) -> None:
    shop.details = {"attempts": 3}
    shop.driver.attempts[SECOND] = Attempt(run=SECOND, asked_at=START)
    shop.tells(LOST, SECOND)

    shop.wait()
    assert [job["run"] for job in shop.driver.jobs] == [f"{NAME}-3"]


def test_where_trouble_may_pass_a_duplicate_passes_too(shop: Shop) -> None:
    shop.details = {"onGeneratorTrouble": "proceed", "attempts": 1}
    shop.wait()
    shop.clock.shift(timedelta(seconds=180))

    assert [shop.call(), shop.call()] == [SUCCEEDED, SUCCEEDED]
    assert shop.driver.stopped == {}


def test_on_a_first_deployment_green_is_loaded_alone(shop: Shop) -> None:
    deploy(shop.cloud, sources=[])
    shop.cloud.control_plane.revisions[str(GREEN)].service_connect = SERVICE_CONNECT

    shop.wait()
    assert sorted(shop.driver.jobs[0]["arms"]) == ["green"]
    shop.tells(measured(GOOD, None))
    assert shop.call() == SUCCEEDED
    assert shop.reason.endswith("p(95) <= 1.25 x blue + 10ms: there is no blue")
    assert shop.records[-1]["revisions"] == {"green": str(GREEN), "blue": None}


def test_a_first_deployment_may_go_without_load_and_no_other_one(shop: Shop) -> None:
    shop.details = {"onFirstDeployment": "skip"}
    shop.wait()

    deploy(shop.cloud, sources=[])
    shop.driver.jobs.clear()
    shop.details = {"onFirstDeployment": "skip"}
    assert shop.call() == SUCCEEDED
    assert shop.driver.jobs == []


def test_where_there_is_a_blue_a_generator_that_leaves_it_out_passes_nothing(shop: Shop) -> None:
    shop.wait()
    shop.tells(measured(GOOD, None))

    assert shop.call() == FAILED
    assert shop.reason.startswith(
        "the load test is inconclusive: p(95) <= 1.25 x blue + 10ms: answers without"
    )


def test_in_observe_mode_nothing_is_refused_and_all_of_it_is_recorded(shop: Shop) -> None:
    shop.details = {"mode": "observe"}
    shop.wait()
    shop.tells(FAILS)

    assert shop.call() == SUCCEEDED
    record = shop.records[-1]
    assert (record["wouldRefuse"], record["verdict"]["answer"]) == (True, "refuse")
    assert [chart["title"] for chart in record["charts"]] == ["latency by percentile"]


@pytest.mark.parametrize(
    ("measurements", "details"),
    [
        ([PASSES], {}),
        ([FAILS], {}),
        ([LOST, LOST], {}),
        ([LOST, PASSES], {"attempts": 3}),
        ([measured(arm(steady(1000, 0.125)), BLUES)], {"onInconclusive": "pass", "confidence": 0.99}),
        ([ended(Told.UNPROVEN, "both are checkout:7", green=GOOD)] * 2, {}),
        ([None, None], {"onGeneratorTrouble": "proceed"}),
    ],
)
def test_each_verdict_follows_from_its_record_byte_for_byte(
    shop: Shop, measurements: list[Measurement | None], details: dict[str, Any]
) -> None:
    shop.details = {"rules": ["p(95) <= 1.25 x blue", {"rule": "errors < 20%", "abort": True}], **details}
    for number, measurement in enumerate(measurements, 1):
        shop.wait()
        shop.tells(measurement, f"{NAME}-{number}")
        if measurement is None:
            shop.clock.shift(timedelta(seconds=300))
    shop.call()

    for record in shop.records:
        kept = json.loads(canonical(record))
        assert canonical(handler.replay(kept)) == canonical(kept["verdict"])
    assert len(shop.records) == len(measurements) + 1


# ------------------------------------------------------------------------------------ what stands in the way


def test_settings_and_policy_are_held_against_the_route_before_anything_is_asked_for(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(POLICY_VARIABLE, json.dumps({"maxRequestsPerSecond": 10}))

    assert shop.call() == FAILED
    assert shop.reason == "load: asks for 24, the policy's maxRequestsPerSecond is 10"
    assert (shop.driver.jobs, shop.records[-1]["inputs"]) == ([], {})


def test_without_a_way_to_green_there_is_no_test(shop: Shop) -> None:
    shop.cloud.control_plane.revisions[str(GREEN)].service_connect = None

    assert shop.call() == FAILED
    assert shop.reason == (
        "nothing leads test traffic to green: the service has neither a Service Connect alias nor a test "
        "listener rule"
    )


def test_a_generator_that_can_t_be_reached_is_waited_for(shop: Shop) -> None:
    shop.driver.failure = Transient("http://locust:8089/load/health: NewConnectionError")

    assert shop.call()["hookStatus"] == "IN_PROGRESS"
    shop.driver.failure = Misconfigured("http://locust:8089/load/health does not take the token")
    assert shop.call() == FAILED


def test_a_run_that_can_t_be_ended_costs_no_verdict(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise Transient("s3:PutObject: SlowDown")

    shop.details = {"attempts": 1}
    shop.wait()
    shop.tells(LOST)
    monkeypatch.setattr(shop.driver, "stop", fail)

    assert shop.call() == FAILED
    assert f"{RUN} could not be ended: s3:PutObject: SlowDown" in shop.log.messages("WARNING")


@pytest.mark.parametrize("stage", [PRE_PRODUCTION, "POST_SCALE_UP"])
def test_at_another_stage_it_has_no_use(shop: Shop, stage: str) -> None:
    assert shop.call(event(stage)) == FAILED
    assert "attach it at one of: POST_TEST_TRAFFIC_SHIFT" in shop.reason


# ------------------------------------------------------------------------------------ rollbacks


def rolled_back(shop: Shop) -> dict[str, Any]:
    """Return the reply to a call that says nothing of weights, when the deployment is being rolled back."""
    deploy(
        shop.cloud,
        status=Status.ROLLBACK_IN_PROGRESS,
        rollback=Rollback(reason="alarm", started_at=START, service_revision_arn=BLUE),
    )
    return shop.call(event(TEST_SHIFT))


def test_a_rollback_ends_every_run_however_many_the_settings_are_about_now(shop: Shop) -> None:
    for number, measurement in ((1, LOST), (4, None), (5, measured(GOOD, BLUES, state=Stands.RUNNING))):
        run = f"{NAME}-{number}"
        shop.driver.attempts[run] = Attempt(run=run, asked_at=START, measured=measurement)

    assert rolled_back(shop) == SUCCEEDED
    assert shop.driver.stopped == {
        f"{NAME}-4": "the deployment is rolled back",
        f"{NAME}-5": "the deployment is rolled back",
    }
    assert shop.records[-1]["changes"] == [f"ended {NAME}-4", f"ended {NAME}-5"]
    # Again, and nothing is left to do.
    assert rolled_back(shop) == SUCCEEDED
    assert shop.reason == "rollback: no run had to be ended"


@pytest.mark.parametrize(
    "failure", [Transient("s3:ListBucket: SlowDown"), Misconfigured("the function's environment variables")]
)
def test_a_rollback_is_neither_refused_nor_held_up_by_a_generator_that_fails(
    shop: Shop, failure: Exception
) -> None:
    shop.driver.failure = failure

    assert rolled_back(shop) == SUCCEEDED
    assert shop.reason == f"rollback: runs end with their leases, because of {failure}"


def test_a_rollback_of_a_deployment_that_it_never_saw_has_nothing_to_end(shop: Shop) -> None:
    shop.cloud.control_plane.revisions.clear()

    assert shop.call(ROLLBACK_PRODUCTION) == SUCCEEDED
    assert shop.driver.stopped == {}


# ------------------------------------------------------------------------------------ drivers

QUEUE = {QUEUE_VARIABLE: "https://sqs.us-east-1.amazonaws.com/1/load.fifo", BUCKET_VARIABLE: "load"}
LOCUST = {URL_VARIABLE: "https://locust:8089", SECRET_VARIABLE: "arn:secret"}


@pytest.mark.parametrize(
    ("environment", "kind"),
    [
        (QUEUE, QueueDriver),
        ({**QUEUE, DRIVER_VARIABLE: ""}, QueueDriver),
        ({**QUEUE, DRIVER_VARIABLE: "queue"}, QueueDriver),
        ({**QUEUE, **LOCUST, DRIVER_VARIABLE: "locust"}, LocustDriver),
    ],
)
def test_the_function_s_environment_names_the_driver(environment: dict[str, str], kind: type[Driver]) -> None:
    assert type(driver_of(environment)) is kind


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({DRIVER_VARIABLE: "k6"}, "LOAD_DRIVER: expected queue or locust, got 'k6'"),
        ({}, "the function's environment variables LOAD_QUEUE_URL and LOAD_BUCKET must name"),
        (
            {**QUEUE, QUEUE_VARIABLE: "https://sqs/1/load"},
            "the function's environment variables LOAD_QUEUE_URL",
        ),
        (
            {**LOCUST, URL_VARIABLE: "", DRIVER_VARIABLE: "locust"},
            "the function's environment variables LOCUST_URL",
        ),
    ],
)
def test_a_driver_that_is_not_known_or_not_told_enough_is_refused(
    environment: dict[str, str], said: str
) -> None:
    with pytest.raises(Misconfigured, match=said):
        driver_of(environment)


@pytest.mark.parametrize(("poll", "seconds"), [(1, 90), (20, 90), (30, 90), (31, 93), (300, 900)])
def test_a_lease_outlasts_two_calls_that_do_not_come(poll: float, seconds: float) -> None:
    assert lease_of(poll) == timedelta(seconds=seconds)


def test_the_fake_driver_does_what_a_real_one_promises() -> None:
    driver = FakeDriver()
    for _ in range(2):
        driver.start({"run": RUN}, START, timedelta(seconds=90))
    driver.health()
    driver.keep(RUN, START, timedelta(seconds=90))
    driver.stop(RUN, "first", START)
    driver.stop(RUN, "second", START)
    driver.stop(SECOND, "never asked for", START)

    assert driver.jobs == [{"run": RUN}]
    assert driver.poll([RUN, SECOND], START) == (Attempt(run=RUN, asked_at=START, stopped="first"),)
    assert (driver.kept, driver.stopped) == ([RUN], {RUN: "first", SECOND: "never asked for"})
