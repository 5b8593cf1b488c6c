import json
from typing import Any

import pytest

from hooks.manual_approval.settings import ApprovalPolicy, ApprovalSettings
from shared.errors import Misconfigured
from shared.settings import POLICY_VARIABLE, Resolved, resolve

DEFAULTS = {
    "mode": "enforce",
    "giveUpAfterMinutes": 1380,
    "onTrouble": "refuse",
    "requiredApprovals": 1,
    "allowedApprovers": ["*"],
    "excludedApprovers": [],
    "expiresAfterMinutes": 1380,
    "extendableToMinutes": 1439,
    "onExpiry": "refuse",
    "onFirstDeployment": "ask",
    "pollFirstSeconds": 5,
    "pollGrowth": 1.5,
    "pollSeconds": 30,
    "pollLateSeconds": 180,
    "pollLateAfterMinutes": 60,
}
DEPLOY = "arn:aws:iam::123456789012:role/deploy"
ALICE = "arn:aws:iam::123456789012:user/alice"
PERSON = "oidc:https://login.example.com#alice"
GROUP = "oidc-group:https://login.example.com#releases"


def resolved(details: dict[str, Any], policy: dict[str, Any]) -> Resolved[ApprovalSettings, ApprovalPolicy]:
    return resolve(ApprovalSettings, ApprovalPolicy, details, {POLICY_VARIABLE: json.dumps(policy)})


def test_the_defaults_refuse_wherever_there_is_doubt() -> None:
    assert ApprovalSettings().model_dump(mode="json", by_alias=True) == DEFAULTS


def test_sessions_of_identity_center_are_personal_by_default() -> None:
    assert ApprovalPolicy().personal_sessions == ("arn:*:sts::*:assumed-role/AWSReservedSSO_*",)


@pytest.mark.parametrize(
    ("key", "policy", "service", "holds"),
    [
        ("requiredApprovals", 2, 1, 2),
        ("requiredApprovals", 2, 3, 3),
        ("excludedApprovers", [DEPLOY], [], [DEPLOY]),
        ("excludedApprovers", [DEPLOY], [ALICE], [DEPLOY, ALICE]),
        # The decision asks for a match in both lists, so the service's stands as it is.
        ("allowedApprovers", [ALICE], ["*"], ["*"]),
        ("expiresAfterMinutes", 60, 600, 60),
        ("expiresAfterMinutes", 60, 30, 30),
        ("extendableToMinutes", 60, 600, 60),
        ("extendableToMinutes", 60, 30, 30),
        ("allowedApprovers", [GROUP], [PERSON], [PERSON]),
        ("excludedApprovers", [GROUP], [PERSON], [GROUP, PERSON]),
        ("onExpiry", "refuse", "proceed", "refuse"),
        ("onExpiry", "proceed", "refuse", "refuse"),
        ("onFirstDeployment", "ask", "skip", "ask"),
        ("onFirstDeployment", "skip", "ask", "ask"),
        ("mode", "enforce", "observe", "enforce"),
        ("onTrouble", "refuse", "proceed", "refuse"),
        ("pollFirstSeconds", 20, 5, 20),
        ("pollSeconds", 60, 30, 60),
        ("pollLateSeconds", 600, 180, 600),
        ("pollGrowth", 2.0, 9.0, 2.0),
        ("pollLateAfterMinutes", 30, 600, 30),
    ],
)
def test_a_service_can_t_go_below_the_organisation_s_policy(
    key: str, policy: Any, service: Any, holds: Any
) -> None:
    found = resolved({key: service}, {key: policy})

    assert found.settings.model_dump(mode="json", by_alias=True) == {**DEFAULTS, key: holds}
    assert found.policy.model_dump(mode="json", by_alias=True)[key] == policy


def test_only_the_organisation_says_which_sessions_are_personal() -> None:
    assert resolved({}, {"personalSessions": [DEPLOY]}).policy.personal_sessions == (DEPLOY,)
    with pytest.raises(Misconfigured, match="hookDetails: unknown key 'personalSessions'"):
        resolved({"personalSessions": ["*"]}, {})


@pytest.mark.parametrize(
    ("details", "said"),
    [
        ({"requiredApprovals": 0}, "requiredApprovals: "),
        ({"requiredApprovals": 11}, "requiredApprovals: "),
        ({"allowedApprovers": []}, "allowedApprovers: "),
        ({"allowedApprovers": [""]}, "allowedApprovers.0: "),
        ({"allowedApprovers": ["*"] * 51}, "allowedApprovers: "),
        ({"excludedApprovers": ["x" * 257]}, "excludedApprovers.0: "),
        ({"allowedApprovers": "*"}, "allowedApprovers: "),
        # What could never match anybody, or has more in it than can be seen.
        ({"allowedApprovers": ["alice"]}, "allowedApprovers.0: "),
        ({"allowedApprovers": ["*alice"]}, "allowedApprovers.0: "),
        ({"allowedApprovers": [f" {ALICE}"]}, "allowedApprovers.0: "),
        ({"allowedApprovers": [f"{ALICE}\n"]}, "allowedApprovers.0: "),
        ({"allowedApprovers": [f"{ALICE}\n*"]}, "allowedApprovers.0: "),
        ({"allowedApprovers": ["oidc:https://login.example.com"]}, "allowedApprovers.0: "),
        ({"allowedApprovers": ["oidc:#alice"]}, "allowedApprovers.0: "),
        ({"allowedApprovers": ["oidc-group:https://login.example.com#"]}, "allowedApprovers.0: "),
        ({"allowedApprovers": ["oidc-role:https://login.example.com#x"]}, "allowedApprovers.0: "),
        ({"extendableToMinutes": 1440}, "extendableToMinutes: "),
        ({"extendableToMinutes": 0}, "extendableToMinutes: "),
        # Without its path, which sessions have lost, each of these would be more roles than it says.
        (
            {"allowedApprovers": [ALICE, "arn:aws:iam::123456789012:role/ops/*"]},
            "allowedApprovers: value error, 'arn:aws:iam::123456789012:role/ops/*': the path of a role is "
            "not known of its sessions; name the role, or leave the path out",
        ),
        ({"allowedApprovers": ["arn:aws:iam::*:role/ops/deploy-?"]}, "allowedApprovers: value error, "),
        ({"allowedApprovers": ["arn:aws:iam::*:role/*/ops/*"]}, "allowedApprovers: value error, "),
        ({"expiresAfterMinutes": 1440}, "expiresAfterMinutes: "),
        ({"onExpiry": "approve"}, "onExpiry: input should be 'refuse' or 'proceed', got 'approve'"),
        ({"pollGrowth": 0.5}, "pollGrowth: "),
        ({"pollGrowth": float("nan")}, "pollGrowth: "),
        (
            {"pollSeconds": 200},
            "value error, pollFirstSeconds, pollSeconds and pollLateSeconds must not fall in this order",
        ),
        ({"approvers": ["*"]}, "unknown key 'approvers'"),
        ({"requiredApproval": 2}, "unknown key 'requiredApproval', did you mean 'requiredApprovals'?"),
    ],
)
def test_a_setting_out_of_its_range_is_named(details: dict[str, Any], said: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        resolved(details, {})
    assert str(caught.value).startswith(f"hookDetails: {said}")


def test_delays_that_only_together_fall_are_refused_too() -> None:
    with pytest.raises(Misconfigured) as caught:
        resolved({"pollFirstSeconds": 25}, {"pollSeconds": 20})
    assert str(caught.value).startswith("settings: value error, pollFirstSeconds, pollSeconds")


SSO_PATH = "arn:aws:iam::*:role/aws-reserved/sso.amazonaws.com/*"


def test_a_path_never_makes_all_sessions_personal() -> None:
    with pytest.raises(
        Misconfigured, match=r"HOOK_POLICY: personalSessions: value error, .*leave the path out"
    ):
        resolved({}, {"personalSessions": [SSO_PATH]})


@pytest.mark.parametrize(
    "pattern",
    [
        "*",
        "arn:aws:iam::*:role/*",
        "arn:aws:iam::*:role/ops-*",
        "arn:aws:iam::*:role/*/deploy",
        "arn:aws:iam::*:role/*/deploy-*",
        "arn:aws:iam::*:role/ops/more/deploy",
        "arn:aws:iam::*:user/ops/*",
        "arn:aws:sts::*:assumed-role/ops/*",
        PERSON,
        GROUP,
        "oidc:*#*",
    ],
)
def test_what_patterns_may_say(pattern: str) -> None:
    assert ApprovalSettings(allowedApprovers=(pattern,)).allowed_approvers == (pattern,)
    assert ApprovalPolicy(personalSessions=(pattern,)).personal_sessions == (pattern,)


def test_an_exclusion_may_name_a_path_for_it_holds_whatever_the_path() -> None:
    assert ApprovalSettings(excludedApprovers=(SSO_PATH,)).excluded_approvers == (SSO_PATH,)
