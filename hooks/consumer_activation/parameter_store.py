"""Parameter Store, as far as activation uses it: read what holds, write what is to come next."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from hooks.consumer_activation.protocol import Standing
from hooks.consumer_activation.state import NotUnderstoodError, State, is_void, parse
from shared.clients import client
from shared.errors import code_of, translated
from shared.lifecycle import ServiceArn

if TYPE_CHECKING:
    from mypy_boto3_ssm.type_defs import GetParameterResultTypeDef, ParameterTypeDef

# Void versions are the losers of races between two writers. Whoever finds more than these in a row
# takes what stands there for garbage, as workers do.
MAX_VOID_VERSIONS = 10

# CreateCluster and CreateService.
_ECS_NAME = r"[A-Za-z0-9_-]{1,255}"


def parameter_name(prefix: str, service: ServiceArn) -> str:
    """Return the name of a service's parameter."""
    return f"{prefix}/{service.cluster}/{service.service}/consumers"


def service_of(prefix: str, name: str) -> tuple[str, str] | None:
    """Return cluster and service of a parameter's name; ``None`` if no service's parameter is called so."""
    match = re.fullmatch(rf"{re.escape(prefix)}/({_ECS_NAME})/({_ECS_NAME})/consumers", name)
    return (match[1], match[2]) if match else None


class ParameterStore:
    """The parameter of one service."""

    def __init__(self, name: str) -> None:
        self.name = name

    def read(self, now: datetime) -> Standing:
        """Return what holds.

        Parameters
        ----------
        now
            Our own time, for where the answer does not tell Parameter Store's.
        """
        newest = self._get(self.name)
        if newest is None:
            return Standing(0, None, 0.0, "there is no parameter")
        number = newest["Parameter"]["Version"]
        held, remark = newest, ""
        for _ in range(MAX_VOID_VERSIONS + 1):
            version, text = held["Parameter"]["Version"], held["Parameter"]["Value"]
            if not is_void(text, version):
                try:
                    return Standing(number, parse(text), _age(held, now), remark)
                except NotUnderstoodError as error:
                    return Standing(number, None, _age(held, now), f"version {version}: {error}")
            remark = remark or f"version {version} is void: somebody else wrote at the same time"
            older = self._get(f"{self.name}:{version - 1}") if version > 1 else None
            if older is None:
                break
            held = older
        return Standing(number, None, _age(held, now), f"{remark}; no version that holds was found")

    def last_understood(self, standing: Standing) -> State | None:
        """Return what stood there before garbage, whose lease tasks may hold and whose pace they keep."""
        for number in range(standing.number - 1, max(0, standing.number - 1 - MAX_VOID_VERSIONS), -1):
            older = self._get(f"{self.name}:{number}")
            if older is None:
                break
            try:
                return parse(older["Parameter"]["Value"])
            except NotUnderstoodError:
                continue
        return None

    def write(self, state: State) -> bool:
        """Write a version; tell whether it became the one it was meant to be."""
        with translated("ssm:PutParameter", self.name):
            written = client("ssm").put_parameter(
                Name=self.name, Value=state.write(), Type="String", Overwrite=True
            )
        return written["Version"] == state.version

    def _get(self, name: str) -> "GetParameterResultTypeDef | None":
        with translated("ssm:GetParameter", name):
            try:
                return client("ssm").get_parameter(Name=name)
            except ClientError as error:
                if code_of(error) in {"ParameterNotFound", "ParameterVersionNotFound"}:
                    return None
                raise


def _age(found: "GetParameterResultTypeDef", now: datetime) -> float:
    """Return how long ago the version was written, in seconds, both times by AWS's own clock."""
    parameter: ParameterTypeDef = found["Parameter"]
    told = found["ResponseMetadata"]["HTTPHeaders"].get("date", "")
    try:
        at = parsedate_to_datetime(told).astimezone(UTC)
    except ValueError:
        at = now
    # An HTTP date has whole seconds, so an age may come out a second short, which is the safe side.
    return max((at - parameter["LastModifiedDate"].astimezone(UTC)).total_seconds(), 0.0)
