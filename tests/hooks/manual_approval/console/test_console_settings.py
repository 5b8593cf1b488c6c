import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.manual_approval.console.access import AccessPolicy, AccessRule
from hooks.manual_approval.console.settings import ConsoleSettings, read_access
from shared.errors import Misconfigured
from tests.hooks.manual_approval.console.surroundings import (
    CLIENT_SECRET_ARN,
    COOKIE_SECRET_ARN,
    ENVIRONMENT,
    ISSUER,
)

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:approval"
RULE = {"groups": ["release-managers"], "services": ["shop/*"], "may": "decide"}


def test_without_a_word_nobody_may_see_anything() -> None:
    assert ConsoleSettings.read(ENVIRONMENT).model_dump() == {
        "url": "https://approvals.example.com",
        "parameter_prefix": "/ecs-approvals",
        "hook_role": "arn:aws:iam::123456789012:role/hook",
        "pause_role": None,
        "function": "",
        "retention_days": 30,
        "record_bucket": "",
        "issuer": ISSUER,
        "client_id": "console",
        "client_secret_arn": None,
        "cookie_secret_arn": COOKIE_SECRET_ARN,
        "access": {"rules": ()},
        "identity_claim": "sub",
        "groups_claim": "groups",
        "scopes": "openid profile email",
        "session_minutes": 60,
    }


def test_every_variable_is_read() -> None:
    assert ConsoleSettings.read(
        {
            "APPROVAL_CONSOLE_URL": "http://127.0.0.1:8080",
            "APPROVAL_PARAMETER_PREFIX": "/team/approvals",
            "APPROVAL_HOOK_ROLE": "arn:aws-cn:iam::123456789012:role/path/hook",
            "APPROVAL_PAUSE_ROLE": "arn:aws:sts::123456789012:assumed-role/pause/pause",
            "APPROVAL_FUNCTION_ARN": FUNCTION,
            "APPROVAL_RETENTION_DAYS": "90",
            "RECORD_BUCKET": "release-evidence",
            "CONSOLE_ISSUER": "http://localhost:3000",
            "CONSOLE_CLIENT_ID": "0oa1",
            "CONSOLE_CLIENT_SECRET_ARN": CLIENT_SECRET_ARN,
            "CONSOLE_COOKIE_SECRET_ARN": COOKIE_SECRET_ARN,
            "CONSOLE_ACCESS": json.dumps({"rules": [RULE]}),
            "CONSOLE_IDENTITY_CLAIM": "email",
            "CONSOLE_GROUPS_CLAIM": "https://example.com/groups",
            "CONSOLE_SCOPES": "groups email",
            "CONSOLE_SESSION_MINUTES": "30",
            "PATH": "/usr/bin",
        }
    ).model_dump() == {
        "url": "http://127.0.0.1:8080",
        "parameter_prefix": "/team/approvals",
        "hook_role": "arn:aws-cn:iam::123456789012:role/path/hook",
        "pause_role": "arn:aws:sts::123456789012:assumed-role/pause/pause",
        "function": FUNCTION,
        "retention_days": 90,
        "record_bucket": "release-evidence",
        "issuer": "http://localhost:3000",
        "client_id": "0oa1",
        "client_secret_arn": CLIENT_SECRET_ARN,
        "cookie_secret_arn": COOKIE_SECRET_ARN,
        "access": {
            "rules": (
                {"groups": ("release-managers",), "people": (), "services": ("shop/*",), "may": "decide"},
            )
        },
        "identity_claim": "email",
        "groups_claim": "https://example.com/groups",
        "scopes": "openid profile email groups",
        "session_minutes": 30,
    }


def test_an_empty_variable_is_one_that_is_not_there() -> None:
    optional = {
        "APPROVAL_PAUSE_ROLE": "",
        "RECORD_BUCKET": "",
        "CONSOLE_CLIENT_SECRET_ARN": "",
        "CONSOLE_ACCESS": "",
        "CONSOLE_IDENTITY_CLAIM": "",
        "CONSOLE_GROUPS_CLAIM": "",
        "CONSOLE_SCOPES": "",
        "CONSOLE_SESSION_MINUTES": "",
    }
    assert ConsoleSettings.read({**ENVIRONMENT, **optional}) == ConsoleSettings.read(ENVIRONMENT)


def test_the_same_environment_is_read_once() -> None:
    assert ConsoleSettings.read(ENVIRONMENT) is ConsoleSettings.read(
        {**ENVIRONMENT, "AWS_REGION": "eu-west-1"}
    )


def test_what_follows_from_the_settings() -> None:
    settings = ConsoleSettings.read(ENVIRONMENT)
    assert settings.callback == "https://approvals.example.com/signed-in"
    assert settings.session_length == timedelta(hours=1)
    assert settings.is_secure
    local = ConsoleSettings.read({**ENVIRONMENT, "APPROVAL_CONSOLE_URL": "http://[::1]:8080"})
    assert not local.is_secure


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("APPROVAL_CONSOLE_URL", url) for url in (
            "",
            "approvals.example.com",
            "https://",
            "https://approvals.example.com/",
            "https://approvals.example.com/console",
            "https://approvals.example.com?x=1",
            "https://approvals.example.com#x",
            "https://Approvals.example.com",
            "https://approvals.example.com.",
            "https://alice@approvals.example.com",
            "https://approvals.example.com:0",
            "https://approvals.example.com:443",
            "http://localhost:80",
            "https://approvals.example.com\n",
            "https://approvals.example.com\r\nX: y",
            "http://approvals.example.com",
            "http://127.0.0.1.example.com",
            "http://localhost.example.com",
            "http://127.0.0.2",
            "ftp://127.0.0.1",
        )],
        *[("CONSOLE_ISSUER", url) for url in (
            "",
            "http://login.example.com",
            "https://login.example.com?tenant=1",
            "https://login.example.com/#x",
            "https://alice@login.example.com",
            "https://login.example.com/a b",
            "https://login.example.com\\evil",
            "https://login.example.com/" + "x" * 200,
        )],
        ("APPROVAL_PARAMETER_PREFIX", ""),
        ("APPROVAL_PARAMETER_PREFIX", "approvals"),
        ("APPROVAL_PARAMETER_PREFIX", "/"),
        ("APPROVAL_PARAMETER_PREFIX", "/approvals/"),
        ("APPROVAL_HOOK_ROLE", ""),
        ("APPROVAL_HOOK_ROLE", "hook"),
        ("APPROVAL_HOOK_ROLE", "arn:aws:iam::123456789012:user/hook"),
        ("APPROVAL_PAUSE_ROLE", "*"),
        ("CONSOLE_CLIENT_ID", ""),
        ("CONSOLE_CLIENT_ID", "con\nsole"),
        ("CONSOLE_CLIENT_SECRET_ARN", "s3cret"),
        ("CONSOLE_COOKIE_SECRET_ARN", ""),
        ("CONSOLE_COOKIE_SECRET_ARN", "arn:aws:ssm:us-east-1:123456789012:parameter/cookies"),
        ("CONSOLE_IDENTITY_CLAIM", "user name"),
        ("CONSOLE_GROUPS_CLAIM", "x" * 257),
        ("CONSOLE_SCOPES", 'groups "all"'),
        ("CONSOLE_SCOPES", "gruppen\u00e4"),
        ("CONSOLE_SESSION_MINUTES", "4"),
        ("CONSOLE_SESSION_MINUTES", "721"),
        ("CONSOLE_SESSION_MINUTES", "an hour"),
        ("CONSOLE_ACCESS", "release-managers"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_by_its_variable(name: str, value: str) -> None:
    with pytest.raises(Misconfigured, match=f"^{name}: "):
        ConsoleSettings.read({**ENVIRONMENT, name: value})


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "CONSOLE_ACCESS: input should be a valid dictionary or instance of AccessPolicy, got []"),
        ({"rule": []}, "CONSOLE_ACCESS: unknown key 'rule', did you mean 'rules'?"),
        ({"rules": {}}, "CONSOLE_ACCESS: rules: input should be a valid tuple, got {}"),
        (
            {"rules": [RULE, {**RULE, "service": ["shop/*"]}]},
            "CONSOLE_ACCESS: rule 2: unknown key 'service', did you mean 'services'?",
        ),
        (
            {"rules": [{**RULE, "group": ["shop"]}]},
            "CONSOLE_ACCESS: rule 1: unknown key 'group', did you mean 'groups'?",
        ),
        (
            {"rules": [{"services": ["shop/*"], "may": "view"}]},
            "CONSOLE_ACCESS: rule 1: value error, a rule needs groups or people, got an object of 2",
        ),
        (
            {"rules": [{"people": ["*"], "services": ["shop/*"], "may": "view"}]},
            'CONSOLE_ACCESS: rule 1: value error, "*" belongs in groups, where it is whoever is signed in, '
            "got an object of 3",
        ),
        (
            {"rules": [{**RULE, "services": ["*"]}]},
            "CONSOLE_ACCESS: rule 1: services.0: value error, expected CLUSTER/SERVICE, with * and ? on "
            "either side of the slash, got '*'",
        ),
        (
            {"rules": [{**RULE, "services": []}]},
            "CONSOLE_ACCESS: rule 1: value error, a rule needs services, got an object of 3",
        ),
        (
            {"rules": [{**RULE, "may": "approve"}]},
            "CONSOLE_ACCESS: rule 1: may: input should be 'decide' or 'view', got 'approve'",
        ),
        (
            {"rules": [{"groups": ["release-managers"], "services": ["shop/*"]}]},
            "CONSOLE_ACCESS: rule 1: may: field required, got an object of 2",
        ),
        (
            {"rules": [{**RULE, "groups": "release-managers"}]},
            "CONSOLE_ACCESS: rule 1: groups: input should be a valid tuple, got 'release-managers'",
        ),
        (
            {"rules": [{**RULE, "groups": [7]}]},
            "CONSOLE_ACCESS: rule 1: groups.0: input should be a valid string, got 7",
        ),
        (
            {"rules": [{**RULE, "groups": ["shop\n"]}]},
            "CONSOLE_ACCESS: rule 1: groups: value error, a name has no control characters, and no spaces "
            "around it, got an array of 1",
        ),
        (
            {"rules": [{**RULE, "groups": ["x" * 257]}]},
            "CONSOLE_ACCESS: rule 1: groups.0: string should have at most 256 characters, got "
            f"'{'x' * 118}…",
        ),
        (
            {"rules": [RULE] * 51},
            "CONSOLE_ACCESS: rules: tuple should have at most 50 items after validation, not 51, "
            "got an array of 51",
        ),
    ],
)  # fmt: skip
def test_a_policy_that_is_not_understood_grants_nothing_and_says_why(document: Any, message: str) -> None:
    with pytest.raises(Misconfigured) as raised:
        read_access(json.dumps(document))
    assert str(raised.value) == message


def test_a_policy_is_bounded_and_says_each_thing_once() -> None:
    with pytest.raises(Misconfigured, match="at most 4096 characters, got 4097"):
        read_access(" " * 4097)
    with pytest.raises(Misconfigured, match="a key twice"):
        read_access('{"rules": [], "rules": []}')
    with pytest.raises(Misconfigured, match="not JSON"):
        read_access("[" * 4096)


def test_a_policy_is_read_as_it_stands() -> None:
    text = (
        '{"rules": [{"groups": ["*"], "people": ["alice"], "services": ["*/*", "shop/a-?"], "may": "view"}]}'
    )
    assert read_access(text) == AccessPolicy(
        rules=(AccessRule(groups=("*",), people=("alice",), services=("*/*", "shop/a-?"), may="view"),)
    )


@given(
    st.recursive(
        st.none() | st.booleans() | st.text() | st.integers(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["rules", "groups", "people", "services", "may"]) | st.text(), inner
            )
        ),
    )
)
def test_no_policy_breaks_the_reader(document: Any) -> None:
    try:
        policy = read_access(json.dumps(document))
    except Misconfigured:
        return
    assert policy == AccessPolicy.model_validate(document)
