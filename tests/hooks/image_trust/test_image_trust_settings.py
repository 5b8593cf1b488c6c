"""What a service may choose, and what it can't be let off."""

import json
from typing import Any

import pytest

from hooks.image_trust.settings import ImageTrustPolicy, ImageTrustSettings, Offered
from shared.errors import Misconfigured
from shared.settings import POLICY_VARIABLE, Resolved, resolve

DEFAULTS = {
    "mode": "enforce",
    "giveUpAfterMinutes": 1380,
    "onTrouble": "refuse",
    "policy": "default",
    "requireDigest": False,
    "waitMinutes": 30,
    "pollSeconds": 15,
    "selfCheck": "report",
}


def resolved(
    details: dict[str, Any], policy: dict[str, Any] | None = None
) -> Resolved[ImageTrustSettings, ImageTrustPolicy]:
    environment = {} if policy is None else {POLICY_VARIABLE: json.dumps(policy)}
    return resolve(ImageTrustSettings, ImageTrustPolicy, details, environment)


def said_of(details: dict[str, Any], policy: dict[str, Any] | None = None) -> str:
    with pytest.raises(Misconfigured) as caught:
        resolved(details, policy)
    return str(caught.value)


def test_the_defaults_refuse_wherever_there_is_doubt() -> None:
    assert ImageTrustSettings().model_dump(mode="json", by_alias=True) == DEFAULTS
    assert ImageTrustPolicy().model_dump(mode="json", by_alias=True) == {**DEFAULTS, "policies": {}}
    assert resolved({}).settings == ImageTrustSettings()


@pytest.mark.parametrize("policy", [None, {}, {"waitMinutes": 10}, {"mode": "enforce"}])
@pytest.mark.parametrize(("key", "value"), [("mode", "observe"), ("onTrouble", "proceed")])
def test_a_service_can_t_let_itself_off_whatever_the_organisation_leaves_unsaid(
    policy: dict[str, Any] | None, key: str, value: str
) -> None:
    found = resolved({key: value}, policy)

    assert found.settings.model_dump(by_alias=True)[key] == DEFAULTS[key]
    assert found.tightened == (key,)


@pytest.mark.parametrize(
    ("key", "policy", "service", "holds"),
    [
        ("mode", "observe", "enforce", "enforce"),
        ("mode", "observe", "observe", "observe"),
        ("onTrouble", "proceed", "refuse", "refuse"),
        ("onTrouble", "proceed", "proceed", "proceed"),
        ("requireDigest", False, True, True),
        ("requireDigest", True, False, True),
        ("requireDigest", True, True, True),
        ("requireDigest", False, False, False),
        ("waitMinutes", 30, 60, 30),
        ("waitMinutes", 30, 10, 10),
        ("pollSeconds", 30, 5, 5),
        ("pollSeconds", 30, 60, 60),
        ("selfCheck", "refuse", "report", "refuse"),
        ("selfCheck", "report", "refuse", "refuse"),
        ("selfCheck", "report", "report", "report"),
        # Which documents it may choose, each document's services say.
        ("policy", "strict", "payments", "payments"),
    ],
)
def test_a_service_may_tighten_and_not_loosen(key: str, policy: Any, service: Any, holds: Any) -> None:
    found = resolved({key: service}, {key: policy})

    assert found.settings.model_dump(mode="json", by_alias=True) == {**DEFAULTS, key: holds}


@pytest.mark.parametrize(
    ("key", "value"), [("selfCheck", "refuse"), ("requireDigest", True), ("waitMinutes", 5), ("policy", "x")]
)
def test_where_the_organisation_is_silent_a_service_may_be_stricter(key: str, value: Any) -> None:
    assert resolved({key: value}).settings.model_dump(mode="json", by_alias=True) == {**DEFAULTS, key: value}


def test_what_the_organisation_says_holds_where_a_service_is_silent() -> None:
    said = {"mode": "observe", "onTrouble": "proceed", "requireDigest": True, "selfCheck": "refuse"}

    assert resolved({}, said).settings.model_dump(mode="json", by_alias=True) == {**DEFAULTS, **said}


@pytest.mark.parametrize(
    ("details", "said"),
    [
        ({"polcy": "x"}, "hookDetails: unknown key 'polcy', did you mean 'policy'?"),
        ({"policies": {}}, "hookDetails: unknown key 'policies', did you mean 'policy'?"),
        ({"policy": "../x"}, "hookDetails: policy: string should match pattern"),
        ({"policy": "s3://mine/x"}, "hookDetails: policy: string should match pattern"),
        ({"waitMinutes": -1}, "hookDetails: waitMinutes: input should be greater than or equal to 0, got -1"),
        (
            {"waitMinutes": 1440},
            "hookDetails: waitMinutes: input should be less than or equal to 1439, got 1440",
        ),
        ({"pollSeconds": 0}, "hookDetails: pollSeconds: input should be greater than or equal to 1, got 0"),
        ({"selfCheck": "ignore"}, "hookDetails: selfCheck: input should be 'refuse' or 'report'"),
    ],
)
def test_what_is_wrong_is_named(details: dict[str, Any], said: str) -> None:
    assert said_of(details).startswith(said)


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ([], "HOOK_POLICY: input should be a valid dictionary or instance of ImageTrustPolicy"),
        ({"policies": {"a b": {"source": "ssm:/x"}}}, "HOOK_POLICY: policies.a b."),
        ({"policies": {"a": {"source": "https://x"}}}, "HOOK_POLICY: policies.a.source: string should match"),
        ({"policies": {"a": {"source": "/etc/passwd"}}}, "HOOK_POLICY: policies.a.source: string should"),
        (
            {"policies": {"a": {"source": "ssm:/x", "sha256": "abc"}}},
            "HOOK_POLICY: policies.a.sha256: string should match",
        ),
        ({"policies": {"a": {"source": "ssm:/x", "services": []}}}, "HOOK_POLICY: policies.a.services: "),
        ({"policies": {"a": {"source": "ssm:/x", "service": "x"}}}, "HOOK_POLICY: policies.a.service: "),
        (
            {"policies": {f"p{number}": {"source": "ssm:/x"} for number in range(21)}},
            "HOOK_POLICY: policies: dictionary should have at most 20 items",
        ),
    ],
)
def test_what_is_wrong_with_the_organisation_s_is_named(policy: Any, said: str) -> None:
    assert said_of({}, policy).startswith(said)


def test_documents_are_offered_to_all_services_unless_they_are_named() -> None:
    offered = resolved({}, {"policies": {"strict": {"source": "ssm:/strict"}}}).policy.policies

    assert offered == {"strict": Offered(source="ssm:/strict", sha256=None, services=("**",))}


def test_ecs_has_to_let_the_hook_wait_as_long_as_it_says() -> None:
    assert resolved({"waitMinutes": 45}).settings.longest_minutes == 45
