"""What was admitted under a tag, from PRE_SCALE_UP to POST_SCALE_UP, in Parameter Store.

A tag may be moved between the two, and ``hookDetails`` may not last from one stage to the next. So the
digests that tags led to stand in a parameter per service, PREFIX/CLUSTER/SERVICE::

    {"version": 1, "revision": "arn:aws:ecs:...:service-revision/...", "digests": {"web": "sha256:..."}}

The next deployment overwrites it. It can only make the hook stricter: whatever it says, what ECS runs is
judged by the policy.
"""

import json
from collections.abc import Mapping

from botocore.exceptions import ClientError

from hooks.image_trust import strict_json
from hooks.image_trust.finding import Digest, Rejected
from hooks.image_trust.reference import digest
from shared.clients import client
from shared.errors import Misconfigured, code_of, translated
from shared.lifecycle import LifecycleEvent

PREFIX_VARIABLE = "IMAGE_BINDINGS"
VERSION = 1

# https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html, standard tier
MAX_VALUE_CHARACTERS = 4096


def name_of(prefix: str, event: LifecycleEvent) -> str:
    """Return the parameter of a service."""
    return f"{prefix}/{event.service.cluster}/{event.service.service}"


def keep(name: str, revision: str, digests: Mapping[str, Digest]) -> bool:
    """Write what was admitted; tell whether it was not there already."""
    value = json.dumps(
        {"version": VERSION, "revision": revision, "digests": dict(digests)}, separators=(",", ":")
    )
    if len(value) > MAX_VALUE_CHARACTERS:
        raise Misconfigured(
            f"{len(digests)} containers named by tag are more than can be remembered; name images by digest"
        )
    if _value(name) == value:
        return False
    with translated("ssm:PutParameter", name):
        client("ssm").put_parameter(
            Name=name,
            Value=value,
            Type="String",
            Overwrite=True,
            Description="Digests that the image trust hook admitted under a tag",
        )
    return True


def read(name: str, revision: str) -> dict[str, Digest]:
    """Return what was admitted for *revision*, by container; nothing where it was another's.

    Raises
    ------
    Misconfigured
        When the parameter holds something else.
    """
    value = _value(name)
    if value is None:
        return {}
    try:
        found = strict_json.loads(value, name, limit_bytes=2 * MAX_VALUE_CHARACTERS)
        if not isinstance(found, Mapping) or found.get("version") != VERSION:
            raise Rejected("malformed-binding", "it is of another version")  # noqa: TRY301
        if found.get("revision") != revision:
            return {}
        return {str(container): digest(text) for container, text in dict(found.get("digests") or {}).items()}
    except (Rejected, ValueError, TypeError) as error:
        raise Misconfigured(
            f"{name}: not what this hook wrote: {error}; delete the parameter and deploy again"
        ) from error


def _value(name: str) -> str | None:
    with translated("ssm:GetParameter", name):
        try:
            return client("ssm").get_parameter(Name=name)["Parameter"].get("Value", "")
        except ClientError as error:
            if code_of(error) == "ParameterNotFound":
                return None
            raise
