"""Parameter Store where moto falls short of it, over moto's own parameters.

What is mended: the caller's identity in ``LastModifiedUser`` (moto says ``N/A``), the size limits of
the tiers, the rules for names, pages of DescribeParameters. GetParameter is here for its speed: it is
what hooks poll with.

Source: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html and
https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.core.utils import utcnow
from moto.moto_api._internal import mock_random
from moto.ssm.exceptions import ParameterVersionNotFound
from moto.ssm.models import Parameter, SimpleSystemManagerBackend, ssm_backends

from rehearsal.aws.call import AwsError, Call, JsonObject
from rehearsal.aws.identities import Identities

MAX_VALUE_BYTES = {"Standard": 4096, "Advanced": 8192}
MAX_LEVELS = 15
MAX_NAME_CHARACTERS = 1011
MAX_DESCRIBED = 50
DEFAULT_DESCRIBED = 10

_NAME = re.compile(r"[a-zA-Z0-9_.\-/]+")
_TIERS_URL = (
    "https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html"
)


@dataclass(frozen=True, slots=True)
class ReadLag:
    """How far GetParameter may be behind: SSM promises consistency eventually, and no time for it.

    https://docs.aws.amazon.com/systems-manager/latest/userguide/systems-manager-parameter-store.html
    """

    seconds: float
    """For this long after a write, reads may see what was there before it."""
    chance: float = 1.0
    """That a single read does."""


class ParameterStore:
    """The operations on parameters that are answered here."""

    def __init__(self, identities: Identities) -> None:
        self._identities = identities
        self.read_lag: ReadLag | None = None
        """Set to let reads be stale; a deletion is seen at once all the same."""

    @property
    def operations(self) -> Mapping[str, Callable[[Call], JsonObject]]:
        """What is answered here, by operation."""
        return {
            "GetParameter": self.get,
            "GetParameterHistory": self.history,
            "PutParameter": self.put,
            "DescribeParameters": self.describe,
        }

    def answer(self, call: Call) -> JsonObject:
        """Answer a call."""
        return self.operations[call.operation](call)

    def write_earlier(self, name: str, value: str, at: datetime) -> None:
        """Have a parameter that was written before anything began."""
        backend = ssm_backends[self._identities.account][self._identities.region]
        written = backend.put_parameter(
            name,
            None,  # type: ignore[arg-type]
            value,
            "String",
            None,  # type: ignore[arg-type]
            None,  # type: ignore[arg-type]
            overwrite=True,
            tags=[],
            data_type="text",
            tier="Standard",
            policies=None,
        )
        written.last_modified_date = at.astimezone(UTC).replace(tzinfo=None)

    def get(self, call: Call) -> JsonObject:
        """Return the newest version, or the one that ``name:version`` or ``name:label`` selects."""
        parameters = call.parameters
        name = str(parameters.get("Name", ""))
        parameter = _backend(call).get_parameter(name)
        if parameter is not None and self.read_lag is not None:
            parameter = self._as_seen(parameter, call, name)
        if parameter is None:
            raise _not_found(name)
        shown = parameter.response_object(bool(parameters.get("WithDecryption")), call.region)
        # The selector is what follows the name, and an ARN has colons of its own.
        selector = name.rpartition("/")[2].partition(":")[2]
        return {"Parameter": {**shown, "Selector": f":{selector}" if selector else None}}

    def _as_seen(self, parameter: Parameter, call: Call, name: str) -> Parameter | None:
        """Return the version that a lagging read sees, ``None`` for a parameter it does not know yet."""
        lag = self.read_lag or ReadLag(0)
        settled = utcnow() - timedelta(seconds=lag.seconds)
        if parameter.last_modified_date <= settled or mock_random.random() >= lag.chance:
            return parameter
        versions = _backend(call)._parameters[parameter.name]  # noqa: SLF001 - moto has no other way to them
        older = [version for version in versions if version.last_modified_date <= settled]
        if older and name.rpartition("/")[2].partition(":")[2].isdecimal():
            raise ParameterVersionNotFound(
                f"Systems Manager could not find version {parameter.version} of {parameter.name}. "
                "Verify the version and try again."
            )
        return older[-1] if older else None

    def history(self, call: Call) -> JsonObject:
        """Return the versions, oldest first, in pages of at most 50."""
        parameters = call.parameters
        name = str(parameters.get("Name", ""))
        versions, token = _backend(call).get_parameter_history(
            name, parameters.get("NextToken"), parameters.get("MaxResults", 50)
        )
        if versions is None:
            raise _not_found(name)
        decrypt = bool(parameters.get("WithDecryption"))
        return {
            "Parameters": [_described(version, decrypt=decrypt, labels=True) for version in versions],
            "NextToken": token,
        }

    def put(self, call: Call) -> JsonObject:
        """Create or overwrite a parameter, and remember who did."""
        parameters = call.parameters
        name, value = str(parameters.get("Name", "")), str(parameters.get("Value", ""))
        backend = _backend(call)
        _check_name(name)
        previous = backend.get_parameter(name)
        tier = _tier(parameters.get("Tier"), previous, value)
        if len(value.encode()) > MAX_VALUE_BYTES[tier]:
            raise _too_large(tier)
        # moto's annotations leave out the None that its code takes for "as before".
        written = backend.put_parameter(
            name,
            parameters.get("Description"),  # type: ignore[arg-type]
            value,
            parameters.get("Type"),  # type: ignore[arg-type]
            parameters.get("AllowedPattern"),  # type: ignore[arg-type]
            parameters.get("KeyId"),  # type: ignore[arg-type]
            bool(parameters.get("Overwrite", False)),
            parameters.get("Tags"),  # type: ignore[arg-type]
            parameters.get("DataType", "text"),
            tier,
            parameters.get("Policies"),
        )
        _mark(written, self._identities.caller(call.access_key))
        return {"Version": written.version, "Tier": written.tier}

    def describe(self, call: Call) -> JsonObject:
        """Describe the newest version of each parameter that the filters let through."""
        parameters = call.parameters
        limit = parameters.get("MaxResults", DEFAULT_DESCRIBED)
        if not isinstance(limit, int) or not 1 <= limit <= MAX_DESCRIBED:
            raise AwsError("ValidationException", f"MaxResults must be between 1 and {MAX_DESCRIBED}.")
        token = str(parameters.get("NextToken") or "0")
        if not token.isdecimal():
            raise AwsError("InvalidNextToken", "The specified token is not valid.")
        start = int(token)
        found = _backend(call).describe_parameters(
            parameters.get("Filters", []), parameters.get("ParameterFilters", [])
        )
        page = found[start : start + limit]
        return {
            "Parameters": [
                {**_described(parameter, decrypt=False, labels=False), "ARN": _arn(parameter, call)}
                for parameter in page
            ],
            "NextToken": str(start + limit) if start + limit < len(found) else None,
        }


def _backend(call: Call) -> SimpleSystemManagerBackend:
    return ssm_backends[call.account][call.region]


def _arn(parameter: Parameter, call: Call) -> Any:
    return parameter.response_object(False, call.region)["ARN"]


def _described(parameter: Parameter, *, decrypt: bool, labels: bool) -> JsonObject:
    shown = parameter.describe_response_object(decrypt=decrypt, include_labels=labels)
    return {**shown, "LastModifiedUser": getattr(parameter, _WRITER, shown["LastModifiedUser"])}


# On moto's own object, so that it lives and dies with the version it is about.
_WRITER = "rehearsal_last_modified_user"


def _mark(parameter: Parameter, writer: str) -> None:
    setattr(parameter, _WRITER, writer)


def _not_found(name: str) -> AwsError:
    return AwsError("ParameterNotFound", f"Parameter {name} not found.")


def _check_name(name: str) -> None:
    if "/" in name and not name.startswith("/"):
        raise AwsError("ValidationException", "Parameter name must be a fully qualified name.")
    if not _NAME.fullmatch(name):
        raise AwsError(
            "ValidationException",
            'Parameter name: can\'t be prefixed with "ssm" (case-insensitive). If formed as a path, it can '
            "consist of sub-paths divided by slash symbol; each sub-path can be formed as a mix of letters, "
            "numbers and the following 3 symbols .-_",
        )
    if len(name) > MAX_NAME_CHARACTERS:
        raise AwsError(
            "ValidationException", f"Parameter name is longer than {MAX_NAME_CHARACTERS} characters."
        )
    if name.count("/") > MAX_LEVELS:
        raise AwsError(
            "HierarchyLevelLimitExceededException",
            f"A parameter can have at most {MAX_LEVELS} levels in its hierarchy.",
        )


def _tier(asked: object, previous: Parameter | None, value: str) -> str:
    if asked == "Intelligent-Tiering":
        return "Standard" if len(value.encode()) <= MAX_VALUE_BYTES["Standard"] else "Advanced"
    tier = str(asked or (previous.tier if previous and previous.tier else "Standard"))
    if tier not in MAX_VALUE_BYTES:
        raise AwsError(
            "ValidationException", f"Tier must be Standard, Advanced or Intelligent-Tiering, not {tier!r}."
        )
    return tier


def _too_large(tier: str) -> AwsError:
    limit = f"{tier} tier parameters support a maximum parameter value of {MAX_VALUE_BYTES[tier]} characters."
    if tier == "Standard":
        limit += (
            " To create a larger parameter value, upgrade the parameter to use the advanced-parameter tier. "
            f"For more information, see {_TIERS_URL}"
        )
    return AwsError("ValidationException", limit)
