"""What a hook is told: ``hookDetails`` under the organisation's policy.

Three sources, weakest first: the defaults in the model, the function's environment variable
``HOOK_POLICY`` (a JSON object: the organisation's), and the event's ``hookDetails`` (whoever can
update the service). A value the policy sets is both the default and the limit: a service may go
further in the direction each field declares as stricter, and nowhere where it declares none.

::

    required_approvals: Annotated[int, Stricter(max)] = Field(1, ge=1, le=10)
"""

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from shared.errors import Misconfigured, shown
from shared.response import STATE_KEY

POLICY_VARIABLE = "HOOK_POLICY"


@dataclass(frozen=True, slots=True)
class Stricter:
    """Marks a field: *choose* returns the stricter of the policy's value and the service's."""

    choose: Callable[[Any, Any], Any]


def first_of(*values: str) -> Stricter:
    """Declare the stricter of two words to be the one that comes first here."""
    return Stricter(lambda one, other: min(one, other, key=values.index))


def union(one: Sequence[str], other: Sequence[str]) -> tuple[str, ...]:
    """Combine two lists of which each entry makes the hook stricter."""
    return tuple(dict.fromkeys((*one, *other)))


class Settings(BaseModel):
    """What every hook understands. camelCase in JSON; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, validate_default=True)

    mode: Annotated[Literal["enforce", "observe"], first_of("enforce", "observe")] = Field(
        "enforce", description="observe: judge, log and record as usual, but never refuse"
    )
    give_up_after_minutes: Annotated[int, Stricter(min)] = Field(
        1380, ge=1, le=1439, description="how long AWS may keep failing before the hook gives up"
    )
    on_trouble: Annotated[Literal["refuse", "proceed"], first_of("refuse", "proceed")] = Field(
        "refuse", description="the verdict when AWS kept failing that long; proceed fails open"
    )


@dataclass(frozen=True, slots=True)
class Resolved[SettingsT: Settings, PolicyT: Settings]:
    """The settings of one invocation, and where the policy overruled the service."""

    settings: SettingsT
    policy: PolicyT
    """The policy by itself; keys that only a policy may have are read from here."""
    tightened: tuple[str, ...]
    """Keys of hookDetails that asked for less than the policy demands."""


def resolve[SettingsT: Settings, PolicyT: Settings](
    model: type[SettingsT],
    policy_model: type[PolicyT],
    hook_details: Mapping[str, Any],
    environment: Mapping[str, str],
) -> Resolved[SettingsT, PolicyT]:
    """Combine policy and ``hookDetails`` into the settings that hold.

    Raises
    ------
    Misconfigured
        Naming the source, the key and, for an unknown key, the nearest valid one.
    """
    policy = _read(policy_model, _policy(environment), POLICY_VARIABLE)
    chosen = {key: value for key, value in hook_details.items() if key != STATE_KEY}
    details = _read(model, chosen, "hookDetails")
    values: dict[str, Any] = {}
    tightened: list[str] = []
    for name, info in model.model_fields.items():
        value = getattr(details if name in details.model_fields_set else policy, name)
        if name in policy.model_fields_set and name in details.model_fields_set:
            stricter = next((mark for mark in info.metadata if isinstance(mark, Stricter)), None)
            demanded = getattr(policy, name)
            held = stricter.choose(demanded, value) if stricter else demanded
            if held != value and not isinstance(value, tuple):
                tightened.append(info.alias or name)
            value = held
        values[info.alias or name] = value
    return Resolved(_read(model, values, "settings"), policy, tuple(tightened))


def _policy(environment: Mapping[str, str]) -> Any:
    text = environment.get(POLICY_VARIABLE, "").strip()
    try:
        return json.loads(text) if text else {}
    except (ValueError, RecursionError) as error:
        raise Misconfigured(f"{POLICY_VARIABLE}: not JSON: {shown(text)}") from error


def _read[ModelT: BaseModel](model: type[ModelT], values: Any, source: str) -> ModelT:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise Misconfigured(f"{source}: " + "; ".join(problems(model, error))) from error


def problems(model: type[BaseModel], error: ValidationError) -> list[str]:
    """Describe what pydantic found, one sentence a key, with the nearest valid key for a wrong one."""
    return [_problem(model, found) for found in error.errors(include_url=False, include_context=False)[:10]]


def _problem(model: type[BaseModel], found: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in found["loc"])
    if found["type"] == "extra_forbidden":
        valid = sorted(info.alias or name for name, info in model.model_fields.items())
        near = difflib.get_close_matches(where, valid, n=1)
        hint = f", did you mean {near[0]!r}?" if near else f"; valid: {', '.join(valid)}"
        return f"unknown key {shown(where)}{hint}"
    message = str(found["msg"])
    return (
        f"{where + ': ' if where else ''}{message[:1].lower()}{message[1:]}, got {shown(found.get('input'))}"
    )
