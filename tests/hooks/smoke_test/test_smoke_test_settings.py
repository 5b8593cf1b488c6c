"""What a service may set, and what the organisation's policy makes of it."""

import json
from typing import Any

import pytest

from hooks.smoke_test.settings import Header, Marker, SmokeTestPolicy, SmokeTestSettings
from shared.errors import Misconfigured
from shared.settings import POLICY_VARIABLE, Resolved, resolve

URL = "https://test.shop.example"


def resolved(
    details: dict[str, Any], policy: dict[str, Any] | None = None
) -> Resolved[SmokeTestSettings, SmokeTestPolicy]:
    environment = {POLICY_VARIABLE: json.dumps(policy)} if policy is not None else {}
    return resolve(SmokeTestSettings, SmokeTestPolicy, details, environment)


def test_by_default_one_page_is_asked_for_and_no_host_may_be() -> None:
    found = resolved({"url": URL})

    [check] = found.settings.checks
    assert (check.method, check.path, check.expect_status) == ("GET", "/", 200)
    assert (found.settings.header, found.settings.marker) == (None, Marker())
    assert found.policy.allowed_hosts == ()


@pytest.mark.parametrize(
    ("policy", "details", "held"),
    [
        ({"maxMilliseconds": 800}, {"maxMilliseconds": 3000}, {"max_milliseconds": 800}),
        ({"maxMilliseconds": 800}, {"maxMilliseconds": 300}, {"max_milliseconds": 300}),
        ({"attempts": 3}, {"attempts": 30}, {"attempts": 3}),
        ({"timeoutSeconds": 2}, {"timeoutSeconds": 9}, {"timeout_seconds": 2}),
        # Where there is a policy, what fails open is its to allow.
        ({"attempts": 3}, {"proof": "none", "mode": "observe"}, {"proof": "marker", "mode": "enforce"}),
        ({"proof": "none"}, {}, {"proof": "none"}),
        ({"url": URL}, {}, {"url": URL}),
        ({"url": URL}, {"url": "https://other.example"}, {"url": "https://other.example"}),
        ({"header": {"name": "x-try"}}, {}, {"header": Header(name="x-try", value="green")}),
    ],
)
def test_a_service_goes_further_and_never_below_its_policy(
    policy: dict[str, Any], details: dict[str, Any], held: dict[str, Any]
) -> None:
    settings = resolved(details, policy).settings

    assert {name: getattr(settings, name) for name in held} == held


def test_the_policy_s_checks_are_made_whatever_the_service_adds() -> None:
    health = {"path": "/health", "bodyContains": "ok"}
    found = resolved({"checks": [{"path": "/items"}, health]}, {"checks": [health]})

    assert [check.path for check in found.settings.checks] == ["/health", "/items"]


@pytest.mark.parametrize(
    ("details", "problem"),
    [
        ({"allowedHosts": ["evil.example"]}, "unknown key 'allowedHosts'"),
        ({"url": "https://shop.example/path"}, "url: string should match pattern"),
        ({"url": "https://user:secret@shop.example"}, "url: string should match pattern"),
        ({"url": "file:///etc/passwd"}, "url: string should match pattern"),
        ({"header": {"name": "Host", "value": "evil.example"}}, "the header Host is the connection's own"),
        ({"header": {"name": "x-try\r\nHost"}}, "header.name: string should match pattern"),
        ({"header": {"name": "x-try", "value": "a\r\nHost: b"}}, "header.value: string should match pattern"),
        ({"checks": []}, "checks: tuple should have at least 1 item"),
        ({"checks": [{"method": "POST"}]}, "checks.0.method: input should be 'GET' or 'HEAD'"),
        ({"checks": [{"path": "items"}]}, "checks.0.path: string should match pattern"),
        ({"checks": [{"path": "/a b"}]}, "checks.0.path: string should match pattern"),
        ({"checks": [{"expectStatus": 500}]}, "checks.0.expectStatus: input should be less than or equal"),
        ({"checks": [{"method": "HEAD", "bodyContains": "ok"}]}, "an answer to HEAD has no body"),
        ({"checks": [{"path": f"/{number}"} for number in range(11)]}, "11 checks of timeoutSeconds 4 may"),
        # What does not depend on the revision could be blue's as well.
        ({"marker": {"green": "shop:7"}}, "marker.green: string should match pattern"),
        ({"marker": {"green": ""}}, "marker.green: string should match pattern"),
        ({"timeoutSeconds": float("inf")}, "timeoutSeconds: "),
    ],
)
def test_what_can_t_be_asked_is_refused_and_named(details: dict[str, Any], problem: str) -> None:
    with pytest.raises(Misconfigured) as raised:
        resolved(details)

    assert problem in str(raised.value)


@pytest.mark.parametrize("pattern", ["*", "*.*", "https://shop.example", "shop.example/", "shop.*", ""])
def test_a_host_is_named_and_not_circumscribed(pattern: str) -> None:
    with pytest.raises(Misconfigured, match=r"HOOK_POLICY: allowedHosts\.0: string should match pattern"):
        resolved({}, {"allowedHosts": [pattern]})


def test_how_long_it_may_take_is_known_beforehand() -> None:
    settings = SmokeTestSettings.model_validate({"attempts": 6, "waitSeconds": 20, "timeoutSeconds": 10})

    assert settings.longest_minutes == 3.0
