"""Production traffic: who gets how much of it, how it goes, and what is published of it."""

import itertools
import math
import random
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import timedelta
from statistics import NormalDist, fmean, pstdev
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto.cloudwatch.models import cloudwatch_backends

from rehearsal import world
from rehearsal.actors import actor_of, traffic
from rehearsal.actors.traffic import Traffic, deal, latencies, poisson
from rehearsal.aws.cloudwatch import _samples_of
from rehearsal.outcome import ActorSpoke, Happening, Outcome, WeightsChanged
from rehearsal.scenario import Scenario
from rehearsal.timing import EPOCH, VirtualEnvironment
from rehearsal.world import Rehearsal

ALB = "AWS/ApplicationELB"
# The service's target groups take turns; the first has blue.
BLUE = {"LoadBalancer": "app/shop/50dc6c495c0c9188", "TargetGroup": "targetgroup/checkout-a/6d0ecf831eec9f09"}
GREEN = {**BLUE, "TargetGroup": "targetgroup/checkout-b/73e2d6bc24d8a067"}

REQUESTS, OK = "RequestCount", "HTTPCode_Target_2XX_Count"
FAILED, REFUSED = "HTTPCode_Target_5XX_Count", "TargetConnectionErrorCount"
SECONDS = "TargetResponseTime"

# How far from what is expected a number drawn may be, in standard deviations: once in a billion.
SIGMAS = 6

CANARY = {"type": "CANARY", "canaryPercent": 20, "canaryBakeTimeInMinutes": 20}
HALVES = {"type": "LINEAR", "stepPercent": 50, "stepBakeTimeInMinutes": 60}

Series = dict[int, float]


def scenario(*actors: Mapping[str, Any], **parts: Any) -> Scenario:
    return Scenario.model_validate(
        {"name": "test", "actors": list(actors), "expect": {"status": "SUCCESSFUL"}, **parts}
    )


def rehearse(rehearsal: Rehearsal, settings: Mapping[str, Any], *others: Any, **parts: Any) -> Outcome:
    seed = parts.pop("seed", 0)
    return rehearsal.run(scenario({"traffic": settings}, *others, **parts), seed=seed)


def series(
    rehearsal: Rehearsal, name: str, dimensions: Mapping[str, str], stat: str = "Sum", namespace: str = ALB
) -> Series:
    """Return a metric by minute; the scenario begins at minute 0."""
    answer = rehearsal.cloud.client("cloudwatch", user="admin").get_metric_data(
        StartTime=EPOCH - timedelta(days=1),
        EndTime=EPOCH + timedelta(days=4),
        MetricDataQueries=[
            {
                "Id": "m",
                "MetricStat": {
                    "Metric": {
                        "Namespace": namespace,
                        "MetricName": name,
                        "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
                    },
                    "Period": 60,
                    "Stat": stat,
                },
            }
        ],
        ScanBy="TimestampAscending",
    )
    (result,) = answer["MetricDataResults"]
    minutes = ((time - EPOCH) // timedelta(minutes=1) for time in result["Timestamps"])
    return dict(zip(minutes, result["Values"], strict=True))


def spoken(outcome: Outcome) -> list[tuple[float, str]]:
    return [
        (seen.at, seen.text)
        for seen in outcome.happenings
        if isinstance(seen, ActorSpoke) and seen.actor == "traffic"
    ]


def near(expected: float) -> Any:
    """Equal to what is drawn where so much is expected."""
    return pytest.approx(expected, abs=SIGMAS * math.sqrt(expected) + SIGMAS)


def scripted(*replies: Any, at: str = "POST_TEST_TRAFFIC_SHIFT") -> dict[str, Any]:
    return {"hook": "scripted", "stages": [at], "replies": list(replies)}


def waits(minutes: int, at: str = "POST_TEST_TRAFFIC_SHIFT") -> dict[str, Any]:
    return scripted(
        {"hookStatus": "IN_PROGRESS", "callBackDelay": 60 * minutes}, {"hookStatus": "SUCCEEDED"}, at=at
    )


FAILS = {"hookStatus": "FAILED"}


# who gets how much


def shares(outcome: Outcome, until: int) -> dict[int, dict[str, float]]:
    """Return which part of each minute's traffic green and blue get, by the weights seen from outside."""
    changes = [
        seen for seen in outcome.happenings if isinstance(seen, WeightsChanged) and seen.route == "production"
    ]
    parts: dict[int, dict[str, float]] = defaultdict(lambda: {"green": 0.0, "blue": 0.0})
    for change, following in itertools.pairwise([*changes, None]):
        assert change is not None
        end = following.at if following else until * 60.0
        for minute in range(int(change.at // 60), math.ceil(end / 60)):
            part = (min(end, 60.0 * minute + 60) - max(change.at, 60.0 * minute)) / 60
            parts[minute]["green"] += part * change.green / 100
            parts[minute]["blue"] += part * change.blue / 100
    return parts


@pytest.mark.parametrize(
    "parts",
    [
        {"strategy": {"type": "BLUE_GREEN"}},
        {"strategy": CANARY},
        {"strategy": {"type": "LINEAR", "stepPercent": 30, "stepBakeTimeInMinutes": 3}},
        {"strategy": CANARY, "hooks": [scripted(FAILS, at="POST_PRODUCTION_TRAFFIC_SHIFT")]},
        {"strategy": CANARY, "alarms": ["sick"], "others": [{"alarm": {"name": "sick", "after": "13m10s"}}]},
        {"service": {"firstDeployment": True}},
    ],
    ids=["all at once", "canary", "linear", "rolled back at the end", "rolled back in between", "first"],
)
def test_shares_follow_the_weights(rehearsal: Rehearsal, parts: dict[str, Any]) -> None:
    others = parts.pop("others", []) if "others" in parts else []
    outcome = rehearse(rehearsal, {"requestsPerMinute": 60_000, "before": 0}, *others, **parts)

    # What is published some time after the end is not seen any more.
    last = int(outcome.duration_seconds // 60) - 2
    expected = shares(outcome, last + 1)
    # A service that is deployed for the first time has the first of the target groups.
    first = "firstDeployment" in parts.get("service", {})
    green, blue = (series(rehearsal, REQUESTS, group) for group in ((BLUE, {}) if first else (GREEN, BLUE)))
    seen = {
        minute: {"green": green.get(minute, 0), "blue": blue.get(minute, 0)} for minute in range(last + 1)
    }
    assert seen == {
        minute: {colour: near(60_000 * part) for colour, part in expected[minute].items()}
        for minute in range(last + 1)
    }


def test_after_a_rollback_and_in_the_next_deployment_weights_are_followed_too(rehearsal: Rehearsal) -> None:
    outcome = rehearse(
        rehearsal,
        {"requestsPerMinute": 10_000, "before": 0},
        {"release": {"after": "20m"}},
        strategy=CANARY,
        service={"scaleUp": "5m"},
        expect={"status": "STOPPED", "later": {"2": "SUCCESSFUL"}},
    )

    first, second = [
        seen.at
        for seen in outcome.happenings
        if isinstance(seen, WeightsChanged) and seen.route == "production" and seen.green == 20
    ]
    assert [text for _, text in spoken(outcome)] == [
        "20 % of 10,000 requests a minute go to green",
        "20 % of 10,000 requests a minute go to green-2",
    ]
    blue = series(rehearsal, REQUESTS, BLUE)
    minutes = [int(first // 60) + 2, int(second // 60) - 2, int(second // 60) + 2]
    assert [blue[minute] for minute in minutes] == [near(8000), near(10_000), near(8000)]


def test_all_of_the_time_before_is_blue_s(rehearsal: Rehearsal) -> None:
    rehearse(rehearsal, {"requestsPerMinute": 500})

    blue, green = (series(rehearsal, REQUESTS, group) for group in (BLUE, GREEN))
    assert list(blue)[:62] == list(range(-60, 2))
    assert min(green) >= 1
    assert {minute: blue[minute] for minute in range(-60, 1)} == dict.fromkeys(range(-60, 1), near(500))


def test_a_first_deployment_has_no_time_before(rehearsal: Rehearsal) -> None:
    rehearse(rehearsal, {}, service={"firstDeployment": True})

    assert min(series(rehearsal, REQUESTS, BLUE)) == 1


def test_test_requests_are_in_green_s_metrics_until_production_traffic_comes(rehearsal: Rehearsal) -> None:
    settings = {"testRequestsPerMinute": 300, "requestsPerMinute": 5000, "green": {"errors": 0.5}, "noise": 0}
    outcome = rehearse(rehearsal, settings, hooks=[waits(20)])

    tested, produced = (
        next(
            seen.at
            for seen in outcome.happenings
            if isinstance(seen, WeightsChanged) and seen.route == route and seen.green
        )
        for route in ("test", "production")
    )
    requests, failed = (series(rehearsal, name, GREEN) for name in (REQUESTS, FAILED))
    before = range(int(tested // 60) + 1, int(produced // 60))
    after = range(int(produced // 60) + 1, int(produced // 60) + 10)
    assert min(requests) == int(tested // 60)
    assert len(before) > 15
    assert [requests[minute] for minute in before] == [near(300)] * len(before)
    assert [failed[minute] for minute in before] == [near(150)] * len(before)
    assert [requests[minute] for minute in after] == [near(5000)] * len(after)


def test_without_test_requests_green_has_no_metrics_before_production_traffic(rehearsal: Rehearsal) -> None:
    outcome = rehearse(rehearsal, {}, hooks=[waits(20)])

    (at, _), *_ = spoken(outcome)
    assert min(series(rehearsal, REQUESTS, GREEN)) == int(at // 60) >= 20


# how it goes


def test_every_request_is_answered_or_refused(rehearsal: Rehearsal) -> None:
    settings = {
        "errors": 0.1,
        "green": {"connectionErrors": 0.3, "errors": 0.2, "latencyFactor": 2},
        "noise": 0,
    }
    rehearse(rehearsal, settings, strategy=HALVES)

    requests, ok, failed, refused = (
        series(rehearsal, name, GREEN) for name in (REQUESTS, OK, FAILED, REFUSED)
    )
    assert requests == {minute: ok[minute] + failed[minute] + refused[minute] for minute in requests}
    answered = {minute: ok[minute] + failed[minute] for minute in requests}
    assert series(rehearsal, SECONDS, GREEN, "SampleCount") == answered
    whole = [minute for minute in requests if 5 < minute < 50]
    assert [refused[minute] for minute in whole] == [near(150)] * len(whole)
    assert [failed[minute] for minute in whole] == [near(70)] * len(whole)


def test_what_did_not_happen_is_not_told(rehearsal: Rehearsal) -> None:
    rehearse(rehearsal, {"errors": 0, "requestsPerMinute": 1, "noise": 0})

    listed = rehearsal.cloud.client("cloudwatch", user="admin").list_metrics(Namespace=ALB)["Metrics"]
    assert {metric["MetricName"] for metric in listed} == {REQUESTS, OK, SECONDS}
    # Of one a minute there are none in one minute of three.
    requests = series(rehearsal, REQUESTS, BLUE)
    assert min(requests.values()) > 0
    assert set(range(-60, 0)) - set(requests)


def test_green_gets_worse_some_time_after_its_first_traffic(rehearsal: Rehearsal) -> None:
    settings = {
        "requestsPerMinute": 20_000,
        "noise": 0,
        "errors": 0.01,
        "green": {"errors": 0.05, "latencyFactor": 1.5, "connectionErrors": 0.1, "after": "10m"},
    }
    outcome = rehearse(rehearsal, settings, strategy=HALVES)

    (first, _), (worse, text) = spoken(outcome)
    assert (worse, text) == (
        first + 600,
        "green: 5 % errors, latency × 1.5, 10 % of connections refused",
    )
    turn = int(worse // 60)
    blue, green = (series(rehearsal, FAILED, group) for group in (BLUE, GREEN))
    medians = [series(rehearsal, SECONDS, group, "p50") for group in (BLUE, GREEN)]
    refused = series(rehearsal, REFUSED, GREEN)
    before, after = range(turn - 8, turn), range(turn + 1, turn + 20)
    assert [green[minute] for minute in before] == [near(100)] * len(before)
    assert [green[minute] for minute in after] == [near(450)] * len(after)
    assert [blue[minute] for minute in (*before, *after)] == [near(100)] * len([*before, *after])
    assert min(refused) == turn
    ratios = {minute: medians[1][minute] / medians[0][minute] for minute in (*before, *after)}
    assert ratios == {minute: pytest.approx(1.5 if minute > turn else 1, rel=0.05) for minute in ratios}


def test_a_cold_start_passes(rehearsal: Rehearsal) -> None:
    settings = {
        "requestsPerMinute": 40_000,
        "noise": 0,
        "errors": 0.01,
        "coldStart": {"errors": 0.2, "lasts": "4m"},
    }
    outcome = rehearse(rehearsal, settings, strategy=HALVES)

    (first, _), (warm, text) = spoken(outcome)
    assert (warm, text) == (first + 240, "green has warmed up")
    green = series(rehearsal, FAILED, GREEN)

    def expected(minute: int) -> float:
        moments = [60 * minute + second + 0.5 for second in range(60)]
        served = [moment - first for moment in moments if moment > first]
        return sum(20_000 / 60 * (0.01 + 0.2 * max(1 - since / 240, 0)) for since in served)

    start = int(first // 60)
    # Weights move between two half seconds.
    assert [green[minute] for minute in range(start, start + 12)] == [
        pytest.approx(near(expected(minute)).expected, abs=near(expected(minute)).abs + 80)
        for minute in range(start, start + 12)
    ]
    assert expected(start + 1) > 3 * expected(start + 8)


def test_an_outage_is_everybody_s(rehearsal: Rehearsal) -> None:
    settings = {
        "requestsPerMinute": 20_000,
        "noise": 0,
        "errors": 0.02,
        "outage": {"after": "10m30s", "lasts": "5m", "errors": 0.25},
    }
    outcome = rehearse(rehearsal, settings, strategy=HALVES)

    assert spoken(outcome)[1:] == [
        (630, "an outage begins: 25 % of all requests fail, whoever serves them"),
        (930, "the outage is over"),
    ]
    both = 10_000 * (1 - 0.98 * 0.75)
    for group in (BLUE, GREEN):
        failed = series(rehearsal, FAILED, group)
        assert [failed[minute] for minute in range(9, 17)] == [
            near(200),
            near((200 + both) / 2),
            *[near(both)] * 4,
            near((200 + both) / 2),
            near(200),
        ]


def test_noise_is_common_to_both_and_lasts_over_minutes(rehearsal: Rehearsal) -> None:
    settings = {"requestsPerMinute": 1_000_000, "errors": 0.05, "noise": 0.5, "before": "10h", "latency": 0.2}
    rehearse(rehearsal, settings, strategy=HALVES)

    rates, medians = [], []
    for group in (BLUE, GREEN):
        requests, failed = (series(rehearsal, name, group) for name in (REQUESTS, FAILED))
        rates.append({minute: math.log(failed[minute] / requests[minute]) for minute in requests})
        medians.append(series(rehearsal, SECONDS, group, "p50"))
    together = [minute for minute in rates[1] if 3 < minute < 55]
    assert [rates[0][minute] for minute in together] == [
        pytest.approx(rates[1][minute], abs=0.06) for minute in together
    ]
    assert [medians[0][minute] for minute in together] == [
        pytest.approx(medians[1][minute], rel=0.02) for minute in together
    ]
    blue = [rates[0][minute] for minute in sorted(rates[0])]
    logs = [value - fmean(blue) for value in blue]
    neighbours = fmean(a * b for a, b in itertools.pairwise(logs)) / fmean(value**2 for value in logs)
    assert pstdev(blue) == pytest.approx(0.5, rel=0.3)
    assert neighbours == pytest.approx(0.8, abs=0.12)
    assert pstdev(math.log(value) for value in medians[0].values()) == pytest.approx(0.05, rel=0.3)


def test_noise_does_not_depend_on_how_many_requests_there_are(rehearsal: Rehearsal) -> None:
    medians = []
    for requests in (200_000, 1_000_000):
        rehearse(rehearsal, {"requestsPerMinute": requests, "noise": 1})
        medians.append(series(rehearsal, SECONDS, BLUE, "p50"))

    assert medians[0] == {minute: pytest.approx(value, rel=0.02) for minute, value in medians[1].items()}


def test_equal_seeds_give_equal_traffic(rehearsal: Rehearsal) -> None:
    runs = []
    for seed in (1, 1, 2):
        rehearse(rehearsal, {"coldStart": {}, "testRequestsPerMinute": 20}, strategy=CANARY, seed=seed)
        names = itertools.product((REQUESTS, FAILED, SECONDS), (BLUE, GREEN))
        runs.append([series(rehearsal, name, group) for name, group in names])

    assert runs[0] == runs[1]
    assert all(one != other for one, other in zip(runs[1], runs[2], strict=True))


# when, and by whom, it is published


def test_a_minute_is_published_some_time_after_its_end(rehearsal: Rehearsal) -> None:
    newest: dict[float, int] = {}

    def look(happening: Happening) -> None:
        both = [*series(rehearsal, REQUESTS, BLUE), *series(rehearsal, REQUESTS, GREEN)]
        newest[happening.at] = max(both, default=-99)

    settings = {"publishedAfter": "95s", "requestsPerMinute": 1000}
    rehearsal.run(scenario({"traffic": settings}, hooks=[waits(1), waits(7)]), saw=look)

    # At the very start nobody has sent anything yet.
    del newest[0]
    assert newest == {at: int((at - 95) // 60) - 1 for at in newest}
    assert len(newest) > 5


def test_minutes_are_the_clock_s_wherever_the_scenario_begins(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = EPOCH + timedelta(seconds=37.5)
    monkeypatch.setattr(world, "VirtualEnvironment", lambda: VirtualEnvironment(began))
    rehearse(rehearsal, {}, hooks=[waits(20)])

    blue = series(rehearsal, REQUESTS, BLUE)
    assert {minute: blue.get(minute) for minute in range(-60, 20)} == dict.fromkeys(
        range(-60, 20), near(1000)
    )


def test_a_busy_minute_is_no_longer_than_a_quiet_one(rehearsal: Rehearsal) -> None:
    rehearse(rehearsal, {"requestsPerMinute": 60_000, "noise": 0}, strategy=HALVES)

    backend = cloudwatch_backends[rehearsal.cloud.account][rehearsal.cloud.region]
    minutes = _samples_of(backend)[ALB, SECONDS, frozenset(BLUE.items())]
    assert max(len(samples) for samples in minutes.values()) <= 100
    assert series(rehearsal, SECONDS, BLUE, "SampleCount")[-30] == near(60_000)
    percentiles = {
        percent: series(rehearsal, SECONDS, BLUE, f"p{percent}")[-30] for percent in (50, 90, 95, 99, 99.9)
    }
    assert percentiles == {
        percent: pytest.approx(0.05 * math.exp(0.6 * NormalDist().inv_cdf(percent / 100)), rel=0.01)
        for percent in percentiles
    }


def test_the_service_s_own_metrics_are_by_revision(rehearsal: Rehearsal) -> None:
    settings = {"publish": ["emf", "alb"], "errors": 0.2, "green": {"connectionErrors": 0.2}}
    rehearse(rehearsal, settings, strategy=HALVES)

    plane = rehearsal.cloud.control_plane
    ids = [revision.arn.id for revision in plane.revisions.values()]
    for name, group in zip(ids, (BLUE, GREEN), strict=True):
        of = {"ServiceRevision": name}
        alb = {metric: series(rehearsal, metric, group) for metric in (OK, FAILED)}
        payments = series(rehearsal, "Payments", of, namespace="Shop")
        assert payments == {minute: alb[OK][minute] + alb[FAILED][minute] for minute in alb[OK]}
        assert series(rehearsal, "Payments", of, "SampleCount", "Shop") == payments
        assert series(rehearsal, "Declined", of, namespace="Shop") == alb[FAILED]
        assert series(rehearsal, "PaymentSeconds", of, "p90", "Shop") == series(
            rehearsal, SECONDS, group, "p90"
        )


class Logs:
    """What the proxies are told to log."""

    def __init__(self) -> None:
        self.lines: list[tuple[Any, int, int, int, Counter[float]]] = []
        """Task, minute, requests, errors, latencies."""

    def put_minute(
        self, _world: Any, task: Any, minute: Any, *, requests: int, server_errors: int, seconds: Any
    ) -> None:
        took: Counter[float] = Counter()
        for value, count in seconds:
            took[value] += count
        number = (minute - EPOCH) // timedelta(minutes=1)
        self.lines.append((task, number, requests, server_errors, took))


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> Logs:
    logs = Logs()
    monkeypatch.setattr(traffic, "access_logs", logs)
    return logs


def test_the_proxies_log_the_same_requests_as_the_load_balancer_counts(
    rehearsal: Rehearsal, logs: Logs
) -> None:
    rehearse(
        rehearsal,
        {"errors": 0.1, "green": {"connectionErrors": 0.1}},
        strategy=HALVES,
        service={"exposure": "alb+service-connect", "tasks": 3},
    )

    revisions = rehearsal.cloud.control_plane.revisions
    for arn, group in zip(revisions, (BLUE, GREEN), strict=True):
        own = [line for line in logs.lines if str(line[0].revision) == arn]
        requests: Counter[int] = Counter()
        errors: Counter[int] = Counter()
        of_tasks: dict[int, list[int]] = defaultdict(list)
        for _, minute, number, bad, took in own:
            requests[minute] += number
            errors[minute] += bad
            of_tasks[minute].append(number)
            assert took.total() == number >= bad
        failed, refused = (series(rehearsal, name, group) for name in (FAILED, REFUSED))
        assert requests == series(rehearsal, REQUESTS, group)
        assert +errors == {minute: failed.get(minute, 0) + refused.get(minute, 0) for minute in failed}
        assert {len(numbers) for numbers in of_tasks.values()} == {3}
        assert all(max(numbers) - min(numbers) <= 1 for numbers in of_tasks.values())


def test_only_tasks_that_ran_in_a_minute_log_it(rehearsal: Rehearsal, logs: Logs) -> None:
    rehearse(rehearsal, {}, strategy=CANARY, service={"exposure": "service-connect"})

    assert series(rehearsal, REQUESTS, BLUE) == {}
    assert min(minute for _, minute, *_ in logs.lines) == -60
    for task, minute, *_ in logs.lines:
        begin = EPOCH + timedelta(minutes=minute)
        assert task.started_at < begin + timedelta(minutes=1)
        assert task.unwanted_since is None or task.unwanted_since > begin


# what is said, and who is in the way


def test_it_says_once_when_green_gets_traffic(rehearsal: Rehearsal) -> None:
    settings = {"requestsPerMinute": 1200, "green": {"errors": 0.025, "latencyFactor": 1.3}}
    outcome = rehearse(rehearsal, settings, strategy={"type": "LINEAR", "stepPercent": 25})

    assert spoken(outcome) == [
        (71, "25 % of 1,200 requests a minute go to green: 2.5 % errors, latency × 1.3")
    ]


def test_green_may_be_as_healthy_as_blue(rehearsal: Rehearsal) -> None:
    outcome = rehearse(rehearsal, {"green": {}})

    assert spoken(outcome) == [(71, "100 % of 1,000 requests a minute go to green: as healthy as blue")]


def test_nothing_is_said_of_a_revision_that_lost_its_traffic_meanwhile(rehearsal: Rehearsal) -> None:
    outcome = rehearse(
        rehearsal,
        {"green": {"errors": 0.5, "after": "30m"}, "coldStart": {"lasts": "40m"}},
        {"alarm": {"name": "sick", "after": "10m"}},
        {"sweeper": {"after": "1h"}},
        alarms=["sick"],
        strategy=CANARY,
    )

    assert [text for _, text in spoken(outcome)] == ["20 % of 1,000 requests a minute go to green"]


def test_nobody_waits_for_the_end_of_traffic(rehearsal: Rehearsal) -> None:
    rehearse(rehearsal, {"requestsPerMinute": 10}, {"sweeper": {"after": "1h"}})

    assert max(series(rehearsal, REQUESTS, GREEN)) < 120


@pytest.mark.parametrize(
    ("settings", "parts", "problem"),
    [
        ({}, {}, None),
        ({}, {"service": {"exposure": "service-connect"}}, None),
        ({"publish": ["emf"]}, {"service": {"exposure": "nlb"}}, None),
        ({"publish": ["alb", "accessLogs"]}, {"service": {"exposure": "alb+service-connect"}}, None),
        (
            {"publish": ["emf"]},
            {"service": {"exposure": "headless"}},
            "traffic does not reach a headless service",
        ),
        (
            {},
            {"service": {"exposure": "nlb"}},
            "nlb has no metrics of requests; name what the service itself publishes: [emf]",
        ),
        (
            {"publish": ["alb"]},
            {"service": {"exposure": "nlb"}},
            "alb needs a service with alb exposure, not nlb",
        ),
        (
            {"publish": ["accessLogs"]},
            {},
            "accessLogs needs a service with service-connect exposure, not alb",
        ),
        (
            {},
            {"strategy": {"type": "ROLLING"}},
            "traffic is split by weights, and a ROLLING deployment has none",
        ),
    ],
    ids=str,
)
def test_traffic_that_can_not_be_is_refused_at_the_start(
    rehearsal: Rehearsal, settings: dict[str, Any], parts: dict[str, Any], problem: str | None
) -> None:
    kind = actor_of({"traffic": settings})
    assert isinstance(kind, Traffic)
    assert kind.problem(scenario(**parts)) == problem
    if problem:
        with pytest.raises(ValueError, match=r"^actor traffic: ") as caught:
            rehearse(rehearsal, settings, **parts)
        assert str(caught.value) == f"actor traffic: {problem}"


@pytest.mark.parametrize(
    ("exposure", "published"),
    [
        ("alb", ("alb",)),
        ("service-connect", ("accessLogs",)),
        ("alb+service-connect", ("alb", "accessLogs")),
    ],
)
def test_what_is_published_follows_from_the_exposure(exposure: str, published: tuple[str, ...]) -> None:
    assert Traffic().published(scenario(service={"exposure": exposure})) == published


@pytest.mark.parametrize(
    "settings",
    [
        {"errors": 1.1},
        {"latency": 0},
        {"publish": []},
        {"publish": ["nlb"]},
        {"green": {"errors": -0.1}},
        {"green": {"eror": 0.1}},
        {"coldStart": {"lasts": 0}},
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        actor_of({"traffic": settings})


# draws


@given(
    st.lists(st.tuples(st.floats(0, 9), st.integers(0, 50)), max_size=8),
    st.integers(1, 7),
    st.integers(0, 200),
)
def test_dealing_loses_nothing_and_is_fair(values: list[tuple[float, int]], hands: int, fewer: int) -> None:
    dealt = deal(values, hands)
    everything, whole = Counter[float](), Counter[float]()
    for value, count in values:
        whole[value] += count
    for value, count in (one for hand in dealt for one in hand):
        everything[value] += count
    totals = [sum(count for _, count in hand) for hand in dealt]
    some = [sum(count for _, count in hand) for hand in deal([(0.0, min(fewer, sum(totals)))], hands)]

    assert +everything == +whole
    assert max(totals) - min(totals) <= 1
    # Fewer of them, dealt from the same hand on, are nowhere more.
    assert all(few <= many for few, many in zip(some, totals, strict=True))


@pytest.mark.parametrize("expected", [0.0, 0.3, 4.0, 1000.0, 60_000.0])
def test_numbers_of_requests_are_poisson_s(expected: float) -> None:
    rng = random.Random(1)
    drawn = [poisson(rng, expected) for _ in range(4000)]

    assert fmean(drawn) == pytest.approx(expected, abs=SIGMAS * math.sqrt(expected / 4000))
    assert pstdev(drawn) ** 2 == pytest.approx(expected, rel=0.25)


@pytest.mark.parametrize("number", [0, 1, 100, 101, 3000, 200_000])
def test_latencies_are_as_many_as_requests_and_never_many_values(number: int) -> None:
    drawn = latencies(random.Random(1), number, 0.05, 0.6)

    assert sum(count for _, count in drawn) == number
    assert len(drawn) <= 100
    assert drawn == sorted(drawn)
    assert all(count > 0 for _, count in drawn)


@pytest.mark.parametrize("number", [50, 1000, 60_000])
@pytest.mark.parametrize("percent", [50, 90, 95, 99])
def test_as_many_are_slow_as_the_distribution_says(number: int, percent: int) -> None:
    rng = random.Random(2)
    threshold = 0.05 * math.exp(0.6 * NormalDist().inv_cdf(percent / 100))
    rounds = 200
    slow = [
        sum(count for value, count in latencies(rng, number, 0.05, 0.6) if value > threshold)
        for _ in range(rounds)
    ]
    share = 1 - percent / 100

    # Bins are up to two percent of all wide; one may lie across the threshold.
    assert fmean(slow) / number == pytest.approx(share, abs=0.013 if percent == 50 else 0.1 * share + 0.002)
    assert pstdev(slow) ** 2 == pytest.approx(number * share * (1 - share), rel=0.5)


def test_latencies_without_spread_are_the_median() -> None:
    assert latencies(random.Random(1), 90, 0.05, 0) == [(0.05, 90)]
    assert {value for value, _ in latencies(random.Random(1), 9000, 0.05, 0)} == {0.05}
