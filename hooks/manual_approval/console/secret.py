"""Values of Secrets Manager, kept for a while.

A secret that is rotated has two versions that matter: the present one (``AWSCURRENT``) and the one before
(``AWSPREVIOUS``).
Source: https://docs.aws.amazon.com/secretsmanager/latest/userguide/whats-in-a-secret.html
"""

from datetime import datetime, timedelta

from botocore.exceptions import ClientError

from shared.clients import client
from shared.errors import Misconfigured, code_of, translated

TIME_TO_LIVE = timedelta(minutes=5)

CURRENT = "AWSCURRENT"
PREVIOUS = "AWSPREVIOUS"

_kept: dict[tuple[str, str], tuple[datetime, str]] = {}


def secret(arn: str, now: datetime, *, stage: str = CURRENT, keep: timedelta = TIME_TO_LIVE) -> str:
    """Read a secret's text, or what it was up to *keep* ago; empty where there is no such version.

    Raises
    ------
    Misconfigured
        When it is not there, may not be read, or is binary. The text itself is in no message.
    Transient
    """
    kept = _kept.get((arn, stage))
    if kept is None or not now - keep < kept[0] <= now:
        kept = _kept[arn, stage] = now, _read(arn, stage)
    return kept[1]


def forget() -> None:
    """Forget all of them, as a new execution environment has."""
    _kept.clear()


def _read(arn: str, stage: str) -> str:
    with translated("secretsmanager:GetSecretValue", arn):
        try:
            found = client("secretsmanager", region=arn.split(":")[3]).get_secret_value(
                SecretId=arn, VersionStage=stage
            )
        except ClientError as error:
            if stage == PREVIOUS and code_of(error) == "ResourceNotFoundException":
                return ""  # it was never rotated
            raise
    if "SecretString" not in found:
        raise Misconfigured(f"{arn}: expected a text, got binary")
    return found["SecretString"]
