"""Deployment strategies: the steps in which production traffic moves, and the bakes between them.

Sources: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-linear.html and
canary-deployment.html; limits from CloudFormation's AWS::ECS::Service schema.
"""

from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel


def _tenths(percent: float) -> float:
    if Decimal(str(percent)) % Decimal("0.1"):
        raise ValueError("must be a multiple of 0.1")
    return percent


Percent = Annotated[float, AfterValidator(_tenths)]
Minutes = Annotated[int, Field(ge=0, le=1440)]


class Strategy(BaseModel):
    """``deploymentConfiguration`` without hooks and alarms; keys as in CloudFormation, in camelCase."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)

    type: Literal["BLUE_GREEN", "CANARY", "LINEAR", "ROLLING"] = "BLUE_GREEN"
    bake_time_in_minutes: Minutes = 15
    canary_percent: Percent = Field(5.0, ge=0.1, le=100)
    canary_bake_time_in_minutes: Minutes = 10
    step_percent: Percent = Field(10.0, ge=3, le=100)
    step_bake_time_in_minutes: Minutes = 6

    @model_validator(mode="after")
    def _only_its_own_keys(self) -> Self:
        foreign = {
            "canary_percent": "CANARY",
            "canary_bake_time_in_minutes": "CANARY",
            "step_percent": "LINEAR",
            "step_bake_time_in_minutes": "LINEAR",
        }
        for name in sorted(self.model_fields_set & foreign.keys()):
            if self.type != foreign[name]:
                raise ValueError(f"{to_camel(name)} belongs to {foreign[name]}, not to {self.type}")
        return self

    @property
    def steps(self) -> tuple[float, ...]:
        """Percent of production traffic on green after each step; the last is 100."""
        match self.type:
            case "CANARY" if self.canary_percent < 100:
                return (self.canary_percent, 100.0)
            case "LINEAR":
                step = Decimal(str(self.step_percent))
                whole = int(Decimal(100) / step)
                below = [float(step * number) for number in range(1, whole + 1) if step * number < 100]
                return (*below, 100.0)
            case _:
                return (100.0,)

    @property
    def step_bake_seconds(self) -> float:
        """How long to wait after each step but the last."""
        minutes = {"CANARY": self.canary_bake_time_in_minutes, "LINEAR": self.step_bake_time_in_minutes}
        return 60.0 * minutes.get(self.type, 0)

    @property
    def bake_seconds(self) -> float:
        """How long both revisions run after the last step; a rolling deployment has its own rules."""
        return 0.0 if self.type == "ROLLING" else 60.0 * self.bake_time_in_minutes

    def describe(self) -> dict[str, Any]:
        """Write it as the API's ``deploymentConfiguration``."""
        described: dict[str, Any] = {"strategy": self.type, "bakeTimeInMinutes": self.bake_time_in_minutes}
        if self.type == "CANARY":
            described["canaryConfiguration"] = {
                "canaryPercent": self.canary_percent,
                "canaryBakeTimeInMinutes": self.canary_bake_time_in_minutes,
            }
        if self.type == "LINEAR":
            described["linearConfiguration"] = {
                "stepPercent": self.step_percent,
                "stepBakeTimeInMinutes": self.step_bake_time_in_minutes,
            }
        return described
