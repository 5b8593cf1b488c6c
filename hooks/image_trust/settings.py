"""What the image trust hook is told, by the service (``hookDetails``) and by the organisation (policy).

What images have to prove is not said here: that is the policy document's (``hooks.image_trust.policy``),
which is the organisation's alone. ``hookDetails`` can choose among the documents that the organisation offers
to the service, and tighten::

    {"policy": "payments", "requireDigest": true, "waitMinutes": 10}
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from shared.settings import Settings, Stricter, chosen, first_of, sooner

DEFAULT_POLICY = "default"

Source = Annotated[str, StringConstraints(pattern=r"^(ssm:/|s3://|package:)\S{1,1024}$")]
PolicyName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]


def _either(policy: bool, service: bool) -> bool:  # noqa: FBT001  # pydantic's values
    return policy or service


class ImageTrustSettings(Settings):
    """Keys of ``hookDetails``."""

    policy: Annotated[PolicyName, Stricter(chosen)] = Field(
        DEFAULT_POLICY, description="which of the policy documents that are offered to the service"
    )
    require_digest: Annotated[bool, Stricter(_either)] = Field(
        False, description="refuse images named by a tag, although the document allows them"
    )
    wait_minutes: Annotated[int, sooner("on_trouble")] = Field(
        30,
        ge=0,
        le=1439,
        description="how long to wait for what is not known yet: a signature under way, a throttled registry",
    )
    poll_seconds: Annotated[int, Stricter(chosen)] = Field(
        15, ge=1, le=300, description="delay between looks while waiting"
    )
    self_check: Annotated[Literal["refuse", "report"], first_of("refuse", "report")] = Field(
        "report", description="what to do where the service's configuration lets images past this hook"
    )

    @property
    def longest_minutes(self) -> float:
        return self.wait_minutes


class Offered(BaseModel):
    """A policy document that services may choose."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, validate_default=True)

    source: Source = Field(description="ssm:/name, s3://bucket/key?versionId=... or package:file")
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        None, description="of the document; another one is refused"
    )
    services: tuple[str, ...] = Field(
        ("**",), min_length=1, max_length=100, description="globs of the cluster/service that may choose it"
    )


class ImageTrustPolicy(ImageTrustSettings):
    """Keys of ``HOOK_POLICY``: those above as limits, and some that are the organisation's alone."""

    policies: dict[PolicyName, Offered] = Field(
        {},
        max_length=20,
        description="documents beside the default one, which the function's environment names",
    )

    @model_validator(mode="before")
    @classmethod
    def _opens_nothing_by_silence(cls, values: Any) -> Any:
        """Have a policy where none is set: without any, a service could observe instead, or proceed.

        There always is one here, the document, and whoever writes ``hookDetails`` can't let himself off it.
        """
        return {"mode": "enforce", **values} if isinstance(values, dict) else values
