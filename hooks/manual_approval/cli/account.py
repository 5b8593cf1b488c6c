"""As whom the command runs, and whose requests it believes.

The stack writes one parameter that nobody but the stack may write::

    {prefix}-setup
    {
        "hookRole": "arn:aws:iam::123456789012:role/approval",       whose requests are believed
        "pauseRole": "arn:aws:iam::123456789012:role/pause",         whose about PAUSE hooks
        "consoleUrl": "https://approvals.example.com",               empty where there is no console
        "recordBucket": "releases",                                  these two may be left out: with them
        "hookFunction": "arn:aws:lambda:...:function:approval"       more can be shown
    }

A request counts as one only where AWS says that one of these roles wrote it. Otherwise whoever may write
below the prefix could have somebody approve what nobody asked.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import botocore.session
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from hooks.manual_approval.parameter_store import own_identity
from hooks.manual_approval.proceeding import Askers
from shared.clients import client
from shared.errors import HookError, Misconfigured, code_of, shown, translated

DEFAULT_PREFIX = "/ecs-approvals"
PREFIX_VARIABLE = "APPROVALS_PREFIX"

_ROLE = re.compile(r"arn:[^:\s]+:(iam|sts)::\d+:\S+")
_URL = re.compile(r"https://[A-Za-z0-9.-]+(:\d{1,5})?/?")
_BUCKET = re.compile(r"[a-z0-9.-]{3,63}")
_FUNCTION = re.compile(r"arn:[^:\s]+:lambda:[^:\s]+:\d+:function:[A-Za-z0-9_:-]+")
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_UNKNOWN = frozenset(
    {"InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
)


@dataclass(frozen=True, slots=True)
class Account:
    """An account and Region, seen by somebody who answers requests there."""

    prefix: str
    """Of the parameters that are requests."""
    identity: str
    """ARN of the caller, as AWS records it with each version."""
    region: str
    askers: Askers
    console_url: str = ""
    """Without a slash at its end; empty where there is no console, or none that is known."""
    record_bucket: str = ""
    """Where hooks keep their decision records; empty where they don't, or where that is not known."""
    hook_function: str = ""
    """ARN of the approval hook's function; empty where it is not known, and with it ECS's own deadline."""

    @property
    def partition(self) -> str:
        return self.identity.split(":")[1]

    @property
    def number(self) -> str:
        return self.identity.split(":")[4]


def choose_credentials(profile: str | None, region: str | None) -> str:
    """Let all clients of this process use a profile and a Region, by the AWS CLI's rules; return the Region.

    Credentials in the environment are nobody's choice once a profile is named on the command line.
    """
    if profile:
        for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            os.environ.pop(variable, None)
        os.environ.pop("AWS_DEFAULT_PROFILE", None)
        os.environ["AWS_PROFILE"] = profile
    # botocore knows AWS_DEFAULT_REGION only.
    chosen = region or os.environ.get("AWS_REGION")
    if not chosen:
        try:
            chosen = botocore.session.Session().get_config_variable("region")
        except BotoCoreError as error:
            raise Misconfigured(str(error)) from error
    if not chosen:
        raise Misconfigured("no Region: name it with --region, AWS_REGION or in the profile")
    os.environ["AWS_REGION"] = os.environ["AWS_DEFAULT_REGION"] = chosen
    return chosen


def read_account(
    prefix: str | None, region: str, *, hook_role: str | None = None, pause_role: str | None = None
) -> Account:
    """Make out who calls, and whose requests count.

    Parameters
    ----------
    prefix
        Of the parameters; ``None`` for the environment's, or the template's default.
    hook_role, pause_role
        ARNs of roles, where there is no stack that says them; its parameter is not read then.
    """
    prefix = (prefix or os.environ.get(PREFIX_VARIABLE) or DEFAULT_PREFIX).rstrip("/")
    if not prefix.startswith("/"):
        raise Misconfigured(f"--prefix: expected a path such as {DEFAULT_PREFIX}, got {shown(prefix)}")
    identity = own_identity()
    if hook_role or pause_role:
        askers = Askers(_role("--hook-role", hook_role), _role("--pause-role", pause_role))
        return Account(prefix, identity, region, askers)
    name = f"{prefix}-setup"
    setup = _setup(name, f"{region} of account {identity.split(':')[4]}")
    askers = Askers(
        _role(f"{name}: hookRole", setup.get("hookRole")), _role(f"{name}: pauseRole", setup.get("pauseRole"))
    )
    if not askers.hook:
        raise Misconfigured(f"{name}: hookRole is missing; only the stack should write it")
    return Account(
        prefix,
        identity,
        region,
        askers,
        console_url=_matching(_URL, name, setup, "consoleUrl").rstrip("/"),
        record_bucket=_matching(_BUCKET, name, setup, "recordBucket"),
        hook_function=_matching(_FUNCTION, name, setup, "hookFunction"),
    )


def _setup(name: str, where: str) -> Mapping[str, Any]:
    with translated("ssm:GetParameter", name):
        try:
            text = client("ssm").get_parameter(Name=name)["Parameter"].get("Value", "")
        except ClientError as error:
            if code_of(error) != "ParameterNotFound":
                raise
            raise Misconfigured(
                f"there is no parameter {name} in {where}. Is it the right --profile, --region and --prefix? "
                "Where no stack of template.yaml writes it, say whose requests to believe: --hook-role ARN, "
                "and --pause-role ARN for PAUSE hooks"
            ) from error
    try:
        setup = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Misconfigured(f"{name}: not JSON; only the stack should write it") from error
    if not isinstance(setup, dict):
        raise Misconfigured(f"{name}: expected an object, got {shown(setup)}; only the stack should write it")
    return setup


def _matching(pattern: re.Pattern[str], name: str, setup: Mapping[str, Any], key: str) -> str:
    value = setup.get(key) or ""
    if not isinstance(value, str) or (value and not pattern.fullmatch(value)):
        raise Misconfigured(f"{name}: {key}: {shown(value)} is none; only the stack should write it")
    return value


def _role(where: str, arn: object) -> str:
    if not arn:
        return ""
    if not isinstance(arn, str) or not _ROLE.fullmatch(arn):
        raise Misconfigured(f"{where}: expected the ARN of a role, got {shown(arn)}")
    return arn


def complaint(error: HookError) -> str:
    """Return an error's one line, for somebody with credentials of their own rather than for a function."""
    cause = error.__cause__
    if isinstance(cause, NoCredentialsError):
        return "there are no AWS credentials: sign in, or name a profile with --profile"
    if isinstance(cause, ClientError) and code_of(cause) in _EXPIRED:
        return "the AWS credentials have expired: sign in again"
    if isinstance(cause, ClientError) and code_of(cause) in _UNKNOWN:
        return f"AWS does not know these credentials ({code_of(cause)})"
    if isinstance(error, Misconfigured) and isinstance(cause, BotoCoreError):
        # It never came to the call: a profile or a sign-in is at fault.
        return str(cause)
    return reworded(str(error))


def reworded(text: str) -> str:
    """Say of the caller what ``translated`` says of a function, for which it was made."""
    return text.replace("the function's role may not ", "you may not ").replace(
        "; add it to the role's policy", "; no policy of yours allows it"
    )
