"""What the hook asks for is what the generator reads, and takes the time and the requests that were meant."""

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from load_generator.job import MAX_JOB_BYTES, Job, JobRefused, Limits

from hooks.load_test.decision import Terms
from hooks.load_test.plan import Plan, check_allowed, rates, terms_of
from hooks.load_test.route import Route
from hooks.load_test.rules import parse
from hooks.load_test.settings import GENERATORS_OWN, Header, LoadTestPolicy, LoadTestSettings, Piece
from hooks.load_test.verdict import Standards
from shared.errors import Misconfigured
from shared.lifecycle import ServiceRevisionArn
from shared.revision import Revision
from tests.hooks.load_test.runs import NAME
from tests.shared.checkout import BLUE, GREEN, START, TASK_DEFINITION

ROUTE = Route("http://checkout:8080", Header(name="x-release", value="green"))


def revision(arn: ServiceRevisionArn, number: int) -> Revision:
    return Revision(
        arn=arn,
        task_definition_arn=TASK_DEFINITION.replace(":7", f":{number}"),
        images=(),
        target_groups=(),
        test_header=None,
    )


def plan(*, blue: bool = True, route: Route = ROUTE, **details: Any) -> Plan:
    return Plan(
        name=NAME,
        service="shop/checkout",
        settings=LoadTestSettings.model_validate(details),
        route=route,
        green=revision(GREEN, 7),
        blue=revision(BLUE, 6) if blue else None,
    )


def read(job: dict[str, Any]) -> Job:
    return Job.read(json.dumps(job))


DETAILS = {
    "load": [{"seconds": 10, "to": 50}, {"seconds": 110, "at": 50}, {"seconds": 5, "to": 0}],
    "requests": [
        {"path": "/items?page=2", "weight": 3, "headers": {"accept": "text/html"}},
        {"method": "POST", "path": "/search", "body": "{}", "expect": ["2xx", "404", "409-410"]},
    ],
    "timeoutSeconds": 5,
    "protectBlue": {"slowerThanSeconds": 2},
}


def test_the_job_says_all_that_the_generator_has_to_know() -> None:
    assert plan(**DETAILS).job(2, START) == {
        "version": 1,
        "run": f"{NAME}-2",
        "service": "shop/checkout",
        "target": "http://checkout:8080",
        "marker": "x-revision",
        "arms": {
            "green": {"headers": {"x-release": "green"}, "marker": "checkout:7"},
            "blue": {"headers": {}, "marker": "checkout:6"},
        },
        "load": [
            {"seconds": 10.0, "from": 0.0, "to": 50.0},
            {"seconds": 110.0, "from": 50.0, "to": 50.0},
            {"seconds": 5.0, "from": 50.0, "to": 0.0},
        ],
        "blueShare": 0.2,
        "graceSeconds": 10.0,
        "timeoutSeconds": 5.0,
        "requests": [
            {
                "method": "GET",
                "path": "/items?page=2",
                "weight": 3.0,
                "headers": {"accept": "text/html"},
                "body": None,
                "expect": [[200, 299], [300, 399]],
            },
            {
                "method": "POST",
                "path": "/search",
                "weight": 1.0,
                "headers": {},
                "body": "{}",
                "expect": [[200, 299], [404, 404], [409, 410]],
            },
        ],
        "protectBlue": {"errorsAbove": 0.05, "slowerThanSeconds": 2.0},
        "startBefore": "2026-03-05T12:03:00Z",
    }


def arms(**changes: Any) -> Any:
    job = plan(**changes).job(1, START)
    return job["marker"], job["arms"]


RULES = ["errors < 1%"]
GREEN_ARM = {"headers": {"x-release": "green"}, "marker": "checkout:7"}


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"blue": False}, ("x-revision", {"green": GREEN_ARM})),
        ({"blueShare": 0, "rules": RULES}, ("x-revision", {"green": GREEN_ARM})),
        (
            {"proof": "none"},
            (None, {"green": {**GREEN_ARM, "marker": None}, "blue": {"headers": {}, "marker": None}}),
        ),
        (
            {"marker": {"header": "x-arn", "green": "r/{revision}/{taskDefinition}", "blue": ""}},
            (
                "x-arn",
                {
                    "green": {**GREEN_ARM, "marker": f"r/{GREEN.id}/checkout:7"},
                    "blue": {"headers": {}, "marker": None},
                },
            ),
        ),
    ],
)
def test_each_arm_is_told_by_its_header_and_its_marker(changes: dict[str, Any], found: Any) -> None:
    assert arms(**changes) == found
    assert read(plan(**changes).job(1, START)).run == f"{NAME}-1"


@pytest.mark.parametrize(
    ("pieces", "written"),
    [
        ([Piece(seconds=5, to=10)], [(5, 0, 10)]),
        ([Piece(seconds=5, at=10)], [(5, 10, 10)]),
        (
            [Piece(seconds=5, at=10), Piece(seconds=6, to=20), Piece(seconds=7, to=0)],
            [(5, 10, 10), (6, 10, 20), (7, 20, 0)],
        ),
        (
            [Piece(seconds=5, to=10), Piece(seconds=1, at=3), Piece(seconds=1, to=4)],
            [(5, 0, 10), (1, 3, 3), (1, 3, 4)],
        ),
    ],
)
def test_each_piece_goes_on_from_the_one_before(
    pieces: list[Piece], written: list[tuple[float, ...]]
) -> None:
    assert [tuple(piece.values()) for piece in rates(pieces)] == written


# ------------------------------------------------------------------------------------ both sides

RATES = st.floats(0, 1000, allow_nan=False)
PIECES = st.builds(
    lambda seconds, rate, key: {"seconds": seconds, key: rate},
    st.floats(0.01, 300),
    RATES,
    st.sampled_from(["at", "to"]),
)
TOKENS = st.from_regex(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,20}", fullmatch=True).filter(
    lambda name: name.lower() not in GENERATORS_OWN
)
VALUES = st.from_regex(r"[\x21-\x7e]([\x20-\x7e]{0,30}[\x21-\x7e])?", fullmatch=True)
SAFE = "/[A-Za-z0-9_~!$&'()*+,=:@-]{0,30}([?][\x21\x22\x24-\x5b\x5d-\x7e]{0,20})?"
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "method": st.sampled_from(["GET", "HEAD", "POST", "PATCH"]),
        "path": st.from_regex(SAFE, fullmatch=True),
        "weight": st.floats(0.001, 1000),
        "headers": st.dictionaries(TOKENS, VALUES, max_size=3),
        "body": st.none() | st.text(max_size=50),
        "expect": st.lists(
            st.sampled_from(["1xx", "2xx", "4xx", "200", "404"]) | st.just("200-399"), min_size=1, max_size=4
        ),
    },
)
WHOLE = st.fixed_dictionaries(
    {"load": st.lists(PIECES, min_size=1, max_size=10)},
    optional={
        "requests": st.lists(REQUESTS, min_size=1, max_size=5),
        "blueShare": st.floats(0.01, 1),
        "timeoutSeconds": st.floats(0.01, 300),
        "proof": st.sampled_from(["marker", "none"]),
        "header": st.fixed_dictionaries({"name": TOKENS, "value": VALUES}),
        "marker": st.fixed_dictionaries(
            {"header": TOKENS, "green": VALUES | st.just(""), "blue": st.sampled_from(["", "{revision}"])}
        ),
        "protectBlue": st.fixed_dictionaries(
            {"errorsAbove": st.floats(0, 1), "slowerThanSeconds": st.none() | st.floats(0.001, 3600)}
        ),
        "startWithinSeconds": st.integers(10, 14_400),
    },
)


@settings(max_examples=100, deadline=None)
@given(WHOLE, st.booleans(), st.integers(1, 5), st.floats(0, 0.9))
def test_every_job_of_the_hook_is_one_that_the_generator_reads(
    details: dict[str, Any], blue: bool, number: int, grace: float
) -> None:
    seconds = sum(piece["seconds"] for piece in details["load"])
    if not any(piece.get("at") or piece.get("to") for piece in details["load"]):
        return
    made = plan(blue=blue, graceSeconds=grace * seconds, **details)
    job = made.job(number, START)
    found = read(job)

    written = found.write()
    written["arms"] = {arm: one for arm, one in written["arms"].items() if one is not None}
    assert json.loads(json.dumps(written)) == json.loads(json.dumps(job))
    assert len(json.dumps(job)) < MAX_JOB_BYTES
    assert found.seconds == pytest.approx(terms_of(made.settings, has_blue=blue).seconds)
    assert found.start_before == START + timedelta(seconds=made.settings.start_within_seconds)
    # As the pieces say it, without either side's own sums.
    requests, rate = 0.0, 0.0
    for piece in details["load"]:
        first = piece.get("at", rate)
        rate = piece.get("to", first)
        requests += (first + rate) / 2 * piece["seconds"]
    assert sum(piece.requests for piece in found.pieces) == pytest.approx(requests)
    assert sorted(found.shares) == (["blue", "green"] if blue else ["green"])
    assert [request.name for request in found.requests] == [
        f"{one.method} {one.path.partition('?')[0]}" for one in made.settings.requests
    ]


def test_both_sides_leave_the_same_headers_to_the_generator() -> None:
    for name in GENERATORS_OWN:
        job = plan().job(1, START)
        job["requests"][0]["headers"] = {name: "x"}
        with pytest.raises(JobRefused, match=f"the header {name} is the generator's own"):
            read(job)


def test_a_service_connect_name_may_have_an_underscore_in_it() -> None:
    job = read(plan(route=Route("http://check_out.shop:8080", ROUTE.header)).job(1, START))

    Limits.from_environment({"LOAD_TARGETS": "check_out.shop:8080"}).check(job)


# The most that a service may ask for under a policy that says nothing.
AT_THE_LIMIT = [
    {},
    {"load": [{"seconds": 1800, "at": 80}], "blueShare": 0.25},
    {"load": [{"seconds": 60, "at": 20}], "blueShare": 1},
    {"load": [{"seconds": 60, "at": 100}], "blueShare": 0, "rules": RULES},
    {"requests": [{"method": "HEAD", "path": "/health"}]},
]


@pytest.mark.parametrize("details", AT_THE_LIMIT)
def test_what_the_hook_s_policy_allows_by_default_the_generator_s_operator_does_too(
    details: dict[str, Any],
) -> None:
    made = plan(**details)

    check_allowed(made.settings, LoadTestPolicy(), made.route)
    Limits(targets=("checkout:8080",)).check(read(made.job(1, START)))


@pytest.mark.parametrize(
    "details",
    [
        {"load": [{"seconds": 1801, "at": 1}]},
        {"load": [{"seconds": 60, "at": 84}]},
        {"load": [{"seconds": 60, "at": 21}], "blueShare": 1},
        {"requests": [{"method": "POST"}]},
    ],
)
def test_and_what_it_does_not_allow_the_operator_does_not_either(details: dict[str, Any]) -> None:
    made = plan(**details)

    with pytest.raises(Misconfigured):
        check_allowed(made.settings, LoadTestPolicy(), made.route)
    with pytest.raises(JobRefused):
        Limits(targets=("checkout:8080",)).check(read(made.job(1, START)))


# ------------------------------------------------------------------------------------ terms


def test_the_settings_decide_by_these_terms() -> None:
    settings = LoadTestSettings.model_validate(DETAILS)

    assert terms_of(settings, has_blue=True) == Terms(
        rules=settings.parsed_rules,
        standards=Standards(
            minimum_samples=100, confidence=0.95, max_lag_seconds=0.1, sent_share=0.95, has_blue=True
        ),
        seconds=125.0,
        timeout_seconds=5.0,
        poll_seconds=20,
        start_within_seconds=180,
        attempts=2,
        on_inconclusive="refuse",
        on_generator_trouble="refuse",
    )
    assert terms_of(settings, has_blue=False).standards.has_blue is False


@pytest.mark.parametrize(
    ("rules", "share"),
    [
        (["rps >= 50%"], 0.95),
        (["rps >= 95%"], 0.95),
        (["rps >= 99%", "rps >= 97%"], 0.99),
        (["rps > 99.5%"], 0.995),
        ([{"rule": "rps >= 99%", "observe": True}], 0.95),
    ],
)
def test_the_generator_has_to_send_as_much_as_green_is_judged_by(rules: list[Any], share: float) -> None:
    found = terms_of(LoadTestSettings.model_validate({"rules": rules}), has_blue=True)

    assert found.standards.sent_share == share
    assert parse("errors < 1%") in found.rules
