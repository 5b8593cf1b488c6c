"""AWS Signer's word on what is revoked, which moto does not have.

Source: https://docs.aws.amazon.com/signer/latest/api/API_GetRevocationStatus.html
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from botocore.utils import parse_to_aware_datetime

from rehearsal.aws.call import AwsError, Call, JsonObject
from rehearsal.aws.shapes import check_shape

# The one platform of signatures of container images:
# https://docs.aws.amazon.com/signer/latest/developerguide/container-workflow.html
PLATFORM = "Notation-OCI-SHA384-ECDSA"


@dataclass(slots=True)
class Revocations:
    """What is revoked: versions of profiles, jobs, certificates."""

    revoked: dict[str, datetime] = field(default_factory=dict)
    """Since when what was signed with it does not hold: by the ARN of a profile's version or of a job, or by
    a certificate's hash."""

    @property
    def operations(self) -> Mapping[str, Callable[[Call], JsonObject]]:
        """What is answered here, by operation."""
        return {"GetRevocationStatus": self.status}

    def answer(self, call: Call) -> JsonObject:
        """Answer a call, and make sure that Signer could have said so."""
        result = self.operations[call.operation](call)
        check_shape(call.service, call.operation, result)
        return result

    def status(self, call: Call) -> JsonObject:
        """Return which of the entities behind a signature are revoked."""
        asked = call.parameters
        for name in ("profileVersionArn", "jobArn"):
            _check_arn(name, str(asked.get(name, "")))
        if asked.get("platformId") != PLATFORM:
            raise AwsError("ValidationException", f"Platform {asked.get('platformId')} is not supported.")
        try:
            signed_at = parse_to_aware_datetime(str(asked.get("signatureTimestamp")))
        except (ValueError, TypeError) as error:
            raise AwsError("ValidationException", "signatureTimestamp is no time") from error
        entities = [asked["profileVersionArn"], asked["jobArn"], *asked.get("certificateHashes", [])]
        found = [one for one in entities if one in self.revoked and self.revoked[one] <= signed_at]
        return {"revokedEntities": found}


def _check_arn(name: str, arn: str) -> None:
    parts = arn.split(":")
    if len(parts) != 6 or parts[:3] != ["arn", "aws", "signer"]:
        raise AwsError("ValidationException", f"{name} is not an ARN of this partition: {arn}")
