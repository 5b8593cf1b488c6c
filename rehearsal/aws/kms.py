"""Public keys in KMS that are known beforehand; moto's own keys are drawn anew in each run.

Source: https://docs.aws.amazon.com/kms/latest/APIReference/API_GetPublicKey.html
"""

import hashlib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rehearsal.aws.call import AwsError, Call, JsonObject
from rehearsal.aws.shapes import check_shape


@dataclass(slots=True)
class PublicKey:
    """A key to verify with."""

    der: bytes
    """SubjectPublicKeyInfo."""
    spec: str = "ECC_NIST_P256"
    algorithms: tuple[str, ...] = ("ECDSA_SHA_256",)
    is_enabled: bool = True


class PublicKeys:
    """The keys of one account and Region."""

    def __init__(self, account: str, region: str) -> None:
        self._prefix = f"arn:aws:kms:{region}:{account}:"
        self._keys: dict[str, PublicKey] = {}

    @property
    def operations(self) -> Mapping[str, Callable[[Call], JsonObject | None]]:
        """What is answered here, by operation."""
        return {"GetPublicKey": self.public_key}

    def reset(self) -> None:
        """Forget all keys."""
        self._keys.clear()

    def add(self, name: str, key: PublicKey) -> str:
        """Have a key; returns its ARN, which *name* alone decides."""
        identifier = uuid.UUID(bytes=hashlib.sha256(name.encode()).digest()[:16], version=4)
        arn = f"{self._prefix}key/{identifier}"
        self._keys[arn] = key
        return arn

    def answer(self, call: Call) -> JsonObject | None:
        """Answer a call, and make sure that KMS could have said so; ``None`` leaves it to moto."""
        result = self.operations[call.operation](call)
        if result is not None:
            check_shape(call.service, call.operation, result)
        return result

    def public_key(self, call: Call) -> JsonObject | None:
        """Return a key of ours; any other is moto's."""
        arn = str(call.parameters.get("KeyId", ""))
        arn = arn if arn.startswith("arn:") else f"{self._prefix}key/{arn}"
        key = self._keys.get(arn)
        if key is None:
            return None
        if not key.is_enabled:
            raise AwsError("DisabledException", f"{arn} is disabled.")
        return {
            "KeyId": arn,
            "PublicKey": key.der,
            "CustomerMasterKeySpec": key.spec,
            "KeySpec": key.spec,
            "KeyUsage": "SIGN_VERIFY",
            "SigningAlgorithms": list(key.algorithms),
        }
