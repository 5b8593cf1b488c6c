import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hooks.load_test.plan import check_allowed
from hooks.load_test.route import Route
from hooks.load_test.rules import Metric, Rule, parse
from hooks.load_test.settings import (
    GENERATORS_OWN,
    Header,
    LoadTestPolicy,
    LoadTestSettings,
    Piece,
    Request,
    RuleEntry,
)
from shared.errors import Misconfigured
from shared.settings import POLICY_VARIABLE, Resolved, resolve

DEFAULTS = {
    "mode": "enforce",
    "giveUpAfterMinutes": 1380,
    "onTrouble": "refuse",
    "load": [{"seconds": 30.0, "at": None, "to": 20.0}, {"seconds": 270.0, "at": 20.0, "to": None}],
    "blueShare": 0.2,
    "requests": [
        {
            "method": "GET",
            "path": "/",
            "weight": 1.0,
            "headers": {},
            "body": None,
            "expect": ["2xx", "3xx"],
        }
    ],
    "rules": ["errors < 1%", "rps >= 95%", "p(95) <= 1.25 x blue + 10ms"],
    "graceSeconds": 10.0,
    "timeoutSeconds": 10.0,
    "minimumSamples": 100,
    "confidence": 0.95,
    "onInconclusive": "refuse",
    "onGeneratorTrouble": "refuse",
    "onFirstDeployment": "load",
    "attempts": 2,
    "startWithinSeconds": 180,
    "maxLagSeconds": 0.1,
    "pollSeconds": 20,
    "portName": None,
    "header": None,
    "marker": {"header": "x-revision", "green": "{taskDefinition}", "blue": "{taskDefinition}"},
    "proof": "marker",
    "protectBlue": {"errorsAbove": 0.05, "slowerThanSeconds": None},
}
LIMITS = {
    "maxRequestsPerSecond": 100.0,
    "maxBlueRequestsPerSecond": 20.0,
    "maxSeconds": 1800.0,
    "allowedMethods": ["GET", "HEAD"],
    "allowedPaths": ["/*"],
}


def resolved(
    details: dict[str, Any], policy: dict[str, Any] | None = None
) -> Resolved[LoadTestSettings, LoadTestPolicy]:
    return resolve(LoadTestSettings, LoadTestPolicy, details, {POLICY_VARIABLE: json.dumps(policy or {})})


def dumped(found: LoadTestSettings) -> dict[str, Any]:
    return found.model_dump(mode="json", by_alias=True)


def said_of(details: dict[str, Any], policy: dict[str, Any] | None = None) -> str:
    with pytest.raises(Misconfigured) as caught:
        resolved(details, policy)
    return str(caught.value)


# ------------------------------------------------------------------------------------ what is said


def test_by_default_five_minutes_of_twenty_requests_a_second_are_held_against_blue() -> None:
    assert dumped(LoadTestSettings()) == DEFAULTS
    assert dumped(LoadTestPolicy()) == {**DEFAULTS, **LIMITS}


def test_a_service_says_what_it_is_loaded_with() -> None:
    details = {
        "load": [{"seconds": 30, "to": 50}, {"seconds": 300, "at": 50}],
        "requests": [{"path": "/items?page=2", "weight": 3}, {"path": "/items/7"}],
        "rules": ["errors < 1%", "p(95)<500ms", {"rule": "errors < 20%", "abort": True}],
    }
    found = resolved(details).settings

    assert found.load == (Piece(seconds=30, to=50), Piece(seconds=300, at=50))
    assert found.requests == (Request(path="/items?page=2", weight=3), Request(path="/items/7"))
    assert found.rules == ("errors < 1%", "p(95)<500ms", RuleEntry(rule="errors < 20%", abort=True))


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (["p(95) < 1s"], ["errors < 1%", "rps >= 95%", "p(95) < 1s"]),
        (["errors < 5%"], ["rps >= 95%", "errors < 5%"]),
        (["rps >= 50%"], ["errors < 1%", "rps >= 50%"]),
        # What only observes, or holds green against blue, is not there.
        ([{"rule": "errors < 5%", "observe": True}], ["errors < 1%", "rps >= 95%", "errors < 5%"]),
        (["errors <= 2 x blue + 1%"], ["errors < 1%", "rps >= 95%", "errors <= 2 x blue + 1%"]),
        ([{"rule": "errors <  5%", "abort": True}], ["rps >= 95%", "errors < 5%"]),
    ],
)
def test_a_rule_on_errors_and_one_on_the_rate_are_always_there(said: list[Any], found: list[str]) -> None:
    rules = resolved({"rules": said}).settings.parsed_rules

    assert [rule.text for rule in rules] == found


def test_a_rule_may_have_more_to_it_than_its_sentence() -> None:
    entry = {
        "rule": "p(95) < 1s",
        "abort": True,
        "afterSeconds": 5,
        "minimumSamples": 300,
        "observe": True,
    }
    *_, rule = resolved({"rules": [entry]}).settings.parsed_rules

    assert rule == Rule(
        text="p(95) < 1s",
        metric=Metric.PERCENTILE,
        percent=95.0,
        strict=True,
        limit=1.0,
        abort=True,
        after_seconds=5.0,
        minimum_samples=300,
        observe=True,
    )


@pytest.mark.parametrize(
    ("details", "minutes"),
    [
        ({}, 2 * (180 + 300 + 10) / 60),
        (
            {
                "attempts": 1,
                "startWithinSeconds": 60,
                "timeoutSeconds": 5,
                "load": [{"seconds": 55, "at": 1}],
            },
            2,
        ),
    ],
)
def test_how_long_a_test_may_take_is_how_long_every_attempt_may(
    details: dict[str, Any], minutes: float
) -> None:
    assert resolved(details).settings.longest_minutes == pytest.approx(minutes)


# ------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("details", "said"),
    [
        ({"laod": []}, "unknown key 'laod', did you mean 'load'?"),
        ({"maxSeconds": 99999}, "unknown key 'maxSeconds', did you mean 'maxLagSeconds'?"),
        ({"allowedPaths": ["/*"]}, "unknown key 'allowedPaths'; valid: "),
        ({"target": "http://example.com"}, "unknown key 'target'; valid: "),
        # The load.
        ({"load": []}, "load: tuple should have at least 1 item"),
        ({"load": [{"seconds": 10}]}, "load.0: value error, a piece of the load says either at or to"),
        ({"load": [{"seconds": 10, "at": 1, "to": 2}]}, "a piece of the load says either at or to"),
        ({"load": [{"seconds": 10, "at": 0}, {"seconds": 99, "to": 0}]}, "load: no request is ever due"),
        ({"load": [{"seconds": 0, "at": 5}]}, "load.0.seconds: input should be greater than 0"),
        ({"load": [{"seconds": 1e9, "at": 5}]}, "load.0.seconds: input should be less than or equal to"),
        ({"load": [{"seconds": float("inf"), "at": 5}]}, "load.0.seconds: input should be"),
        ({"load": [{"seconds": 9, "at": float("nan")}]}, "load.0.at: input should be"),
        ({"load": [{"seconds": 9, "at": -1}]}, "load.0.at: input should be greater than or equal to 0"),
        ({"load": [{"seconds": 9, "for": 1}]}, "load.0.for: unknown key"),
        ({"load": [{"seconds": 60, "at": 5}] * 51}, "load: tuple should have at most 50 items"),
        (
            {"load": [{"seconds": 10, "at": 5}]},
            "graceSeconds (10) leaves nothing of 10 s of load",
        ),
        ({"blueShare": 1.5}, "blueShare: input should be less than or equal to 1"),
        (
            {"blueShare": 0},
            "blueShare is 0, so that 'p(95) <= 1.25 x blue + 10ms' has nothing to be held against",
        ),
        # Rules.
        ({"rules": []}, "rules: tuple should have at least 1 item"),
        ({"rules": ["p95 < 1s"]}, "rules: value error, 'p95 < 1s' is no rule"),
        ({"rules": [{"rule": "errors > 1%"}]}, "'errors > 1%' asks for the worse"),
        ({"rules": [{"rule": "errors < 1%", "observed": True}]}, "observed: unknown key"),
        ({"rules": "errors < 1%"}, "rules: input should be a valid tuple"),
        ({"rules": [5]}, "rules.0"),
        # Requests.
        ({"requests": [{"method": "get"}]}, "requests.0.method: string should match pattern"),
        ({"requests": [{"path": "items"}]}, "requests.0.path: string should match pattern"),
        ({"requests": [{"path": "/a b"}]}, "requests.0.path: string should match pattern"),
        ({"requests": [{"path": "/a\r\nhost: b"}]}, "requests.0.path: string should match pattern"),
        ({"requests": [{"path": "/a\n"}]}, "requests.0.path: string should match pattern"),
        ({"requests": [{"path": "/admin#/public"}]}, "requests.0.path: string should match pattern"),
        ({"requests": [{"path": "/public\\..\\admin"}]}, "requests.0.path: string should match pattern"),
        ({"requests": [{"path": "/é"}]}, "requests.0.path: string should match pattern"),
        ({"requests": [{"weight": 0}]}, "requests.0.weight: input should be greater than 0"),
        ({"requests": [{"headers": {"a b": "c"}}]}, "requests.0.headers.a b."),
        ({"requests": [{"headers": {"a": "b\r\nc: d"}}]}, "requests.0.headers.a: string should match"),
        ({"requests": [{"headers": {"a": " b"}}]}, "requests.0.headers.a: string should match"),
        ({"requests": [{"headers": {"Host": "b"}}]}, "the header Host is the generator's own"),
        ({"requests": [{"expect": []}]}, "requests.0.expect: tuple should have at least 1"),
        ({"requests": [{"expect": ["5xx"]}]}, "requests.0.expect.0: string should match pattern"),
        ({"requests": [{"expect": ["200-599"]}]}, "requests.0.expect.0: string should match pattern"),
        ({"requests": [{"expect": ["2xx-599"]}]}, "requests.0.expect.0: string should match pattern"),
        ({"requests": [{"expect": ["2xx-3xx"]}]}, "requests.0.expect.0: string should match pattern"),
        (
            {"requests": [{"expect": ["2\N{ARABIC-INDIC DIGIT THREE}3"]}]},
            "requests.0.expect.0: string should match pattern",
        ),
        ({"requests": [{"expect": ["299-200"]}]}, "value error, no status is in 299-200"),
        ({"requests": []}, "requests: tuple should have at least 1 item"),
        # How green is reached and known.
        ({"portName": "Web"}, "portName: string should match pattern"),
        ({"header": {"name": "x-try\n"}}, "header.name: string should match pattern"),
        ({"header": {"name": "Transfer-Encoding"}}, "the header Transfer-Encoding is the generator's own"),
        ({"header": {"name": "x-try", "value": ""}}, "header.value: string should match pattern"),
        ({"marker": {"header": "host"}}, "the header host is the generator's own"),
        ({"marker": {"green": "a\nb"}}, "marker.green: string should match pattern"),
        ({"marker": {"blue": "größer"}}, "marker.blue: string should match pattern"),
        ({"marker": {"green": "x" * 257}}, "marker.green: string should match pattern"),
        ({"proof": "no"}, "proof: input should be 'marker' or 'none'"),
        # Numbers.
        ({"attempts": 6}, "attempts: input should be less than or equal to 5"),
        ({"confidence": 1}, "confidence: input should be less than or equal to 0.9999"),
        ({"minimumSamples": 0}, "minimumSamples: input should be greater than or equal to 1"),
        ({"timeoutSeconds": 0}, "timeoutSeconds: input should be greater than 0"),
        ({"maxLagSeconds": 11}, "maxLagSeconds: input should be less than or equal to 10"),
        ({"protectBlue": {"errorsAbove": 1.1}}, "protectBlue.errorsAbove: input should be less than"),
    ],
)
def test_what_is_wrong_with_a_setting_is_named(details: dict[str, Any], said: str) -> None:
    assert said in said_of(details)


@pytest.mark.parametrize("name", sorted(GENERATORS_OWN))
def test_headers_that_make_the_request_are_the_generator_s(name: str) -> None:
    said = f"the header {name.title()} is the generator's own"

    assert said in said_of({"requests": [{"headers": {name.title(): "x"}}]})
    assert said in said_of({"header": {"name": name.title()}})


DOTS = [".", "..", "%2e", "%2E.", ".%2e", "%2e%2E", "%252e%252e", "%25252e.", "..;", "..;v=1", ".;"]


@pytest.mark.parametrize("dots", DOTS)
@pytest.mark.parametrize(
    "around", ["/public/{}/admin", "/public/{}", "/{}/admin", "/public//{}//admin", "/public/{}?a=b"]
)
def test_a_path_leads_nowhere_else_than_it_says(dots: str, around: str) -> None:
    said = said_of({"requests": [{"path": around.format(dots)}]})

    assert "requests.0.path: value error, a path has no . and .. in it, encoded or not" in said


@pytest.mark.parametrize("slash", ["%2f", "%2F", "%252f", "%5c", "%5C"])
def test_no_more_does_one_whose_slashes_are_encoded(slash: str) -> None:
    assert "a path has no . and .. in it" in said_of({"requests": [{"path": f"/public/a{slash}..{slash}b"}]})


@pytest.mark.parametrize(
    "path",
    ["/", "/.well-known/health", "/a..b/...", "/a.json", "/items?next=../x", "/%E2%82%AC;v=1.2", "/a/%"],
)
def test_dots_may_be_in_names_and_after_the_question_mark(path: str) -> None:
    assert resolved({"requests": [{"path": path}]}).settings.requests[0].path == path


# ------------------------------------------------------------------------------------ under a policy


@pytest.mark.parametrize(
    ("key", "policy", "service", "holds"),
    [
        # A quicker time-out is more errors.
        ("timeoutSeconds", 5.0, 60.0, 5.0),
        ("timeoutSeconds", 5.0, 1.0, 1.0),
        # A smaller lag is more trouble, which is refused.
        ("maxLagSeconds", 0.05, 5.0, 0.05),
        ("maxLagSeconds", 0.05, 0.01, 0.01),
        # What is less certain is neither stricter nor not.
        ("confidence", 0.99, 0.5, 0.99),
        ("confidence", 0.99, 0.9999, 0.99),
        ("minimumSamples", 1000, 1, 1000),
        ("minimumSamples", 1000, 10**9, 1000),
        # Words.
        ("onInconclusive", "refuse", "pass", "refuse"),
        ("onInconclusive", "pass", "refuse", "refuse"),
        ("onGeneratorTrouble", "refuse", "proceed", "refuse"),
        ("onGeneratorTrouble", "proceed", "refuse", "refuse"),
        ("onFirstDeployment", "load", "skip", "load"),
        ("onFirstDeployment", "skip", "load", "load"),
        ("proof", "marker", "none", "marker"),
        ("proof", "none", "marker", "marker"),
        ("mode", "enforce", "observe", "enforce"),
        ("onTrouble", "refuse", "proceed", "refuse"),
        ("giveUpAfterMinutes", 60, 600, 60),
        # Production is protected by the stricter of both, each by itself.
        (
            "protectBlue",
            {"errorsAbove": 0.02, "slowerThanSeconds": None},
            {"errorsAbove": 0.5, "slowerThanSeconds": 1.0},
            {"errorsAbove": 0.02, "slowerThanSeconds": 1.0},
        ),
        (
            "protectBlue",
            {"errorsAbove": 0.02, "slowerThanSeconds": 0.5},
            {"errorsAbove": 0.01, "slowerThanSeconds": None},
            {"errorsAbove": 0.01, "slowerThanSeconds": 0.5},
        ),
        # Each adds rules, and none takes one away.
        (
            "rules",
            ["errors < 0.5%", "p(95) < 1s"],
            ["errors < 50%", "p(95) < 1s", "max < 5s"],
            ["rps >= 95%", "errors < 0.5%", "p(95) < 1s", "errors < 50%", "max < 5s"],
        ),
        # What a service is asked for is its own affair, within the policy's limits.
        ("attempts", 3, 1, 1),
        ("startWithinSeconds", 300, 60, 60),
        ("pollSeconds", 30, 5, 5),
        ("graceSeconds", 30.0, 0.0, 0.0),
        ("blueShare", 0.5, 0.1, 0.1),
        ("portName", "http", "grpc", "grpc"),
        ("header", None, {"name": "x-try", "value": "green"}, {"name": "x-try", "value": "green"}),
    ],
)
def test_a_service_can_t_go_below_the_organisation_s_policy(
    key: str, policy: Any, service: Any, holds: Any
) -> None:
    found = resolved({key: service}, {key: policy})

    assert dumped(found.settings) == {**DEFAULTS, key: holds}


@pytest.mark.parametrize(
    ("key", "policy", "service", "holds"),
    [
        ("attempts", 3, 1, 3),
        ("attempts", 3, 5, 5),
        ("startWithinSeconds", 300, 10, 300),
        ("startWithinSeconds", 300, 600, 600),
        ("maxLagSeconds", 0.1, 0.0001, 0.1),
    ],
)
def test_where_trouble_opens_nothing_may_bring_it_about_sooner(
    key: str, policy: Any, service: Any, holds: Any
) -> None:
    found = resolved({key: service}, {key: policy, "onGeneratorTrouble": "proceed"})

    assert dumped(found.settings) == {**DEFAULTS, key: holds, "onGeneratorTrouble": "proceed"}


def test_a_policy_that_demands_anything_demands_proof_and_a_verdict() -> None:
    lax = {
        "mode": "observe",
        "proof": "none",
        "onInconclusive": "pass",
        "onGeneratorTrouble": "proceed",
        "onFirstDeployment": "skip",
        "onTrouble": "proceed",
    }

    found = resolved(lax, {"rules": ["p(95) < 1s"]})
    assert dumped(found.settings) == {**DEFAULTS, "rules": ["p(95) < 1s"]}
    assert sorted(found.tightened) == sorted(lax)
    assert dumped(resolved(lax).settings) == {**DEFAULTS, **lax}


def test_a_service_can_t_observe_what_the_policy_enforces() -> None:
    found = resolved({"rules": [{"rule": "errors < 1%", "observe": True}]}, {"rules": ["errors < 1%"]})

    assert [(rule.text, rule.observe) for rule in found.settings.parsed_rules] == [
        ("rps >= 95%", False),
        ("errors < 1%", False),
        ("errors < 1%", True),
    ]


def test_what_can_t_be_judged_early_aborts_nothing() -> None:
    said = said_of({"rules": [{"rule": "rps >= 99%", "abort": True}]})

    assert "abort: 'rps >= 99%' is judged at the end" in said


def test_more_rules_than_can_be_read_are_refused_together_as_they_would_be_alone() -> None:
    def some(unit: str) -> list[str]:
        return [f"p(95) < {number}{unit}" for number in range(1, 31)]

    assert "settings: rules: tuple should have at most 50 items" in said_of(
        {"rules": some("s")}, {"rules": some("ms")}
    )


RULES = st.lists(
    st.sampled_from(["errors < 1%", "errors < 99%", "rps >= 1%", "p(95) < 9s"])
    | st.builds(
        # A rule on rps is judged at the end only.
        lambda rule, abort, **more: {"rule": rule, "abort": abort and "rps" not in rule, **more},
        st.sampled_from(["errors < 1%", "p(95) < 1s", "rps >= 95%"]),
        observe=st.booleans(),
        abort=st.booleans(),
        minimumSamples=st.sampled_from([1, 10**9]),
    ),
    min_size=1,
    max_size=5,
)


@settings(deadline=None)
@given(RULES, RULES)
def test_every_rule_of_the_policy_holds_whatever_a_service_says(
    policy: list[Any], service: list[Any]
) -> None:
    demanded = resolved({}, {"rules": policy}).settings.parsed_rules
    found = resolved({"rules": service}, {"rules": policy}).settings.parsed_rules

    # Also those that hold where the policy has none of the kind.
    assert set(demanded) <= set(found)
    for metric in (Metric.ERRORS, Metric.RATE):
        assert any(rule.metric is metric and not rule.observe for rule in found)


# ------------------------------------------------------------------------------------ what is allowed at all

ROUTE = Route("http://checkout:8080", Header(name="x-release", value="green"))


def allowed(details: dict[str, Any], policy: dict[str, Any] | None = None) -> None:
    found = resolved(details, policy)
    check_allowed(found.settings, found.policy, ROUTE)


BESIDE_NOTHING = {"rules": ["errors < 1%"]}


@pytest.mark.parametrize(
    ("details", "policy", "said"),
    [
        (
            {"load": [{"seconds": 60, "at": 84}]},
            {},
            "load: asks for 100.8, the policy's maxRequestsPerSecond is 100",
        ),
        # The highest rate counts, wherever it is, and of a ramp its end.
        (
            {"load": [{"seconds": 60, "to": 9}, {"seconds": 1, "to": 90}, {"seconds": 60, "at": 1}]},
            {},
            "load: asks for 108, the policy's maxRequestsPerSecond is 100",
        ),
        (
            {"load": [{"seconds": 60, "at": 50}], "blueShare": 1},
            {},
            "blueShare: asks for 50, the policy's maxBlueRequestsPerSecond is 20",
        ),
        (
            {"load": [{"seconds": 20, "at": 1}], **BESIDE_NOTHING},
            {"maxBlueRequestsPerSecond": 0},
            "blueShare: asks for 0.2, the policy's maxBlueRequestsPerSecond is 0",
        ),
        (
            {"load": [{"seconds": 1000, "at": 1}, {"seconds": 801, "at": 1}]},
            {},
            "load: asks for 1801, the policy's maxSeconds is 1800",
        ),
        (
            {"requests": [{}, {"method": "POST"}]},
            {},
            "requests: POST is not among the policy's allowedMethods: GET, HEAD",
        ),
        (
            {"requests": [{"path": "/public"}]},
            {"allowedPaths": ["/public/*", "/health"]},
            "requests: '/public' is not among the policy's allowedPaths: /public/*, /health",
        ),
        (
            {"requests": [{"path": "/admin?x=/public/"}]},
            {"allowedPaths": ["/public/*"]},
            "requests: '/admin' is not among the policy's allowedPaths: /public/*",
        ),
        (
            {"requests": [{"path": "/PUBLIC/a"}]},
            {"allowedPaths": ["/public/*"]},
            "requests: '/PUBLIC/a' is not",
        ),
        (
            {"requests": [{"path": "//public/a"}]},
            {"allowedPaths": ["/public/*"]},
            "requests: '//public/a' is not",
        ),
        (
            {"requests": [{"path": "/%70ublic/a"}]},
            {"allowedPaths": ["/public/*"]},
            "requests: '/%70ublic/a' is not",
        ),
        ({}, {"allowedPaths": []}, "requests: '/' is not among the policy's allowedPaths: "),
        (
            {"requests": [{"headers": {"X-Release": "green"}}]},
            {},
            "requests: x-release is what leads to green; a request that has it by itself would lead blue's",
        ),
    ],
)
def test_what_the_organisation_does_not_allow_is_refused(
    details: dict[str, Any], policy: dict[str, Any], said: str
) -> None:
    with pytest.raises(Misconfigured) as caught:
        allowed(details, policy)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("details", "policy"),
    [
        ({}, {}),
        ({"load": [{"seconds": 1800, "at": 83}]}, {}),
        ({"load": [{"seconds": 60, "at": 100}], "blueShare": 0, **BESIDE_NOTHING}, {}),
        ({"load": [{"seconds": 60, "at": 20}], "blueShare": 1}, {}),
        (
            {"load": [{"seconds": 60, "at": 500}]},
            {"maxRequestsPerSecond": 600, "maxBlueRequestsPerSecond": 100},
        ),
        ({"requests": [{"path": "/public/a/b?c"}]}, {"allowedPaths": ["/public/*"]}),
        ({"requests": [{"method": "POST", "path": "/search"}]}, {"allowedMethods": ["POST"]}),
        ({"requests": [{"headers": {"authorization": "Bearer test"}}]}, {}),
    ],
)
def test_the_rest_is_allowed(details: dict[str, Any], policy: dict[str, Any]) -> None:
    allowed(details, policy)


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(["public", "admin", "..", ".", "%2e", "%2F", "%25", "2e", ";", "/", "?", "a", ""])
    )
)
def test_no_path_gets_out_of_the_folder_that_is_allowed(parts: list[str]) -> None:
    path = "/public/" + "".join(parts)
    try:
        allowed({"requests": [{"path": path}]}, {"allowedPaths": ["/public/*"]})
    except Misconfigured:
        return
    # As a server may walk it: decoded as often as it likes, and parameters left out.
    walked: list[str] = []
    decoded = path.partition("?")[0]
    for _ in range(10):
        decoded = decoded.replace("%25", "%")
    for code, character in (("%2e", "."), ("%2F", "/")):
        decoded = decoded.replace(code, character)
    for segment in decoded.split("/"):
        name = segment.partition(";")[0]
        if name == ".." and walked:
            walked.pop()
        elif name not in {"", "."}:
            walked.append(name)
    assert walked[:1] in ([], ["public"])
    assert path.startswith("/public/")


def test_whatever_the_rule_they_are_read_by_the_defaults_are_rules() -> None:
    assert [rule.text for rule in LoadTestSettings().parsed_rules] == DEFAULTS["rules"]
    assert LoadTestSettings().parsed_rules == tuple(parse(text) for text in DEFAULTS["rules"])  # type: ignore[arg-type]
