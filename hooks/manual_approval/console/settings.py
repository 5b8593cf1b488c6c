"""What the console is told, all of it by the stack that deploys it, in environment variables.

They are read once, and what is wrong is named by its variable. Nothing here is secret: secrets stand in
Secrets Manager, and here are their ARNs.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from hooks.manual_approval.console.access import AccessPolicy, AccessRule
from shared.errors import Misconfigured, shown
from shared.settings import problems

ACCESS_VARIABLE = "CONSOLE_ACCESS"
CALLBACK_PATH = "/signed-in"
DEFAULT_SCOPES = ("openid", "profile", "email")

# All variables of a function together have 4096 bytes.
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MAX_ACCESS_CHARACTERS = 4096

_BASE = re.compile(
    r"http://(?:127\.0\.0\.1|localhost|\[::1\])(?::[1-9][0-9]{0,4})?"
    r"|https://[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?(?::[1-9][0-9]{0,4})?"
)
_PATH = re.compile(r"(?:/[A-Za-z0-9._~%!$&'()*+,;=:@-]*)*")
_SECRETS_ARN = r"^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:[A-Za-z0-9/_+=.@-]{1,519}$"
_ROLE_ARN = r"^arn:aws[a-z-]*:(iam|sts)::\d{12}:(role|assumed-role)/[A-Za-z0-9+=,.@_/-]{1,600}$"
_SCOPE = re.compile(r"[!#-\[\]-~]{1,100}")  # RFC 6749, 3.3


def _base_url(text: str) -> str:
    # As a browser writes it in Origin, which POSTs are held against: without a port that goes without saying.
    own_port = ":443" if text.startswith("https:") else ":80"
    if not _BASE.fullmatch(text) or text.endswith(own_port):
        raise ValueError(
            "expected https://HOST[:PORT] in lower case, or http:// on this machine, and nothing behind it"
        )
    return text


def _issuer(text: str) -> str:
    base = _BASE.match(text)
    if not base or not _PATH.fullmatch(text, base.end()):
        raise ValueError(
            "expected https://HOST[:PORT][/PATH] without query, exactly as the issuer names itself"
        )
    return text


def _scopes(text: str) -> str:
    asked = [*DEFAULT_SCOPES, *text.split()]
    if not all(map(_SCOPE.fullmatch, asked)):
        raise ValueError("expected scopes with spaces between them")
    return " ".join(dict.fromkeys(asked))


SecretArn = Annotated[str, StringConstraints(pattern=_SECRETS_ARN)]
RoleArn = Annotated[str, StringConstraints(pattern=_ROLE_ARN)]
Claim = Annotated[str, StringConstraints(pattern=r"^[!-~]+$", max_length=256)]


class ConsoleSettings(BaseModel):
    """The environment of the console's function."""

    model_config = ConfigDict(frozen=True)

    url: Annotated[str, AfterValidator(_base_url)] = Field(alias="APPROVAL_CONSOLE_URL", max_length=300)
    """Where browsers find the console, without a slash at the end."""
    parameter_prefix: str = Field(
        alias="APPROVAL_PARAMETER_PREFIX", pattern=r"^(/[A-Za-z0-9_.-]+)+$", max_length=200
    )
    hook_role: RoleArn = Field(alias="APPROVAL_HOOK_ROLE")
    pause_role: RoleArn | None = Field(None, alias="APPROVAL_PAUSE_ROLE")
    function: str = Field("", alias="APPROVAL_FUNCTION_ARN", max_length=256)
    """ARN of the approval hook, by which ECS's own deadline is found."""
    retention_days: int = Field(30, alias="APPROVAL_RETENTION_DAYS", ge=2, le=365)
    record_bucket: str = Field("", alias="RECORD_BUCKET", max_length=63)
    issuer: Annotated[str, AfterValidator(_issuer)] = Field(alias="CONSOLE_ISSUER", max_length=200)
    client_id: str = Field(alias="CONSOLE_CLIENT_ID", pattern=r"^[ -~]+$", max_length=256)
    client_secret_arn: SecretArn | None = Field(None, alias="CONSOLE_CLIENT_SECRET_ARN")
    """``None`` for a public client, which has PKCE alone."""
    cookie_secret_arn: SecretArn = Field(alias="CONSOLE_COOKIE_SECRET_ARN")
    access: AccessPolicy = Field(AccessPolicy(), alias=ACCESS_VARIABLE)
    identity_claim: Claim = Field("sub", alias="CONSOLE_IDENTITY_CLAIM")
    """What tells people apart, and names them in policies. Where it is not ``sub``, the issuer has to make
    sure that nobody can choose it, and that it is never given to somebody else."""
    groups_claim: Claim = Field("groups", alias="CONSOLE_GROUPS_CLAIM")
    scopes: Annotated[str, AfterValidator(_scopes)] = Field(
        "", alias="CONSOLE_SCOPES", max_length=500, validate_default=True
    )
    """All that are asked for; the variable names those beyond ``openid profile email``."""
    session_minutes: int = Field(60, alias="CONSOLE_SESSION_MINUTES", ge=5, le=720)

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "ConsoleSettings":
        """Read the environment, once for each.

        Raises
        ------
        Misconfigured
            Naming the variable.
        """
        names = (info.alias or name for name, info in cls.model_fields.items())
        # An empty one is one that is not there: a template has no other way of leaving one out.
        return _read(tuple((name, value) for name in names if (value := environment.get(name, ""))))

    @property
    def session_length(self) -> timedelta:
        return timedelta(minutes=self.session_minutes)

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach the console by TLS: everywhere but on one's own machine."""
        return self.url.startswith("https:")

    @property
    def callback(self) -> str:
        """Where the issuer sends people back to: the redirect URI to register with it."""
        return self.url + CALLBACK_PATH


@lru_cache(maxsize=8)
def _read(variables: Sequence[tuple[str, str]]) -> ConsoleSettings:
    values: dict[str, Any] = dict(variables)
    if ACCESS_VARIABLE in values:
        values[ACCESS_VARIABLE] = read_access(values[ACCESS_VARIABLE])
    try:
        return ConsoleSettings.model_validate(values)
    except ValidationError as error:
        raise Misconfigured("; ".join(problems(ConsoleSettings, error))) from error


def read_access(text: str) -> AccessPolicy:
    """Read the text of ``CONSOLE_ACCESS``; raises :class:`Misconfigured` naming the rule and the key."""
    if len(text) > MAX_ACCESS_CHARACTERS:
        raise Misconfigured(
            f"{ACCESS_VARIABLE}: expected at most {MAX_ACCESS_CHARACTERS} characters, got {len(text)}"
        )
    try:
        document = json.loads(text, object_pairs_hook=_each_key_once)
    except (ValueError, RecursionError) as error:
        raise Misconfigured(f"{ACCESS_VARIABLE}: not JSON, or a key twice: {shown(text)}") from error
    rules = document.get("rules") if isinstance(document, dict) else None
    # One by one first: of a key within a rule, the nearest valid one is found among the rule's.
    for number, rule in enumerate(rules if isinstance(rules, list) else []):
        _validated(AccessRule, rule, f"{ACCESS_VARIABLE}: rule {number + 1}")
    return _validated(AccessPolicy, document, ACCESS_VARIABLE)


def _validated[ModelT: BaseModel](model: type[ModelT], value: Any, where: str) -> ModelT:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise Misconfigured(f"{where}: " + "; ".join(problems(model, error))) from error


def _each_key_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise ValueError("a key stands there twice")
    return document
