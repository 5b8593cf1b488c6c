"""What a hook is told: ``hookDetails`` under the organisation's policy.

Three sources, weakest first: the defaults in the model, the function's environment variable
``HOOK_POLICY`` (a JSON object: the organisation's), and the event's ``hookDetails`` (whoever can
update the service). A value the policy sets is both the default and the limit: a service may go
further in the direction each field declares as stricter, and nowhere where it declares none. Where
there is a policy at all, what would fail open (``observe``, ``proceed``, ``skip``) is the policy's to
allow, whether it names those keys or not.

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
    always: bool = False
    """Whether a policy that is silent about the field still holds it at its default."""
    opening: str = ""
    """The field under whose ``proceed`` a smaller value opens sooner, so that the larger is stricter."""


def first_of(*values: str) -> Stricter:
    """Declare the stricter of two words to be the one that comes first here, which is the default.

    A policy that demands anything demands these: what good are two approvals if observing needs none?
    """
    return Stricter(lambda one, other: min(one, other, key=values.index), always=True)


def sooner(opening: str) -> Stricter:
    """Declare less time to be stricter, unless the verdict at its end is to proceed."""
    return Stricter(min, opening=opening)


def chosen[ValueT](_policy: ValueT, service: ValueT) -> ValueT:
    """Keep the service's word: how far it may go is said by keys that only the policy has."""
    return service


def union(one: Sequence[str], other: Sequence[str]) -> tuple[str, ...]:
    """Combine two lists of which each entry makes the hook stricter."""
    return tuple(dict.fromkeys((*one, *other)))


class Settings(BaseModel):
    """What every hook understands. camelCase in JSON; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, validate_default=True)

    mode: Annotated[Literal["enforce", "observe"], first_of("enforce", "observe")] = Field(
        "enforce", description="observe: judge, log and record as usual, but never refuse"
    )
    give_up_after_minutes: Annotated[int, sooner("on_trouble")] = Field(
        1380, ge=1, le=1439, description="how long AWS may keep failing before the hook gives up"
    )
    on_trouble: Annotated[Literal["refuse", "proceed"], first_of("refuse", "proceed")] = Field(
        "refuse", description="the verdict when AWS kept failing that long; proceed fails open"
    )

    @property
    def longest_minutes(self) -> float | None:
        """How long a hook may take with these settings, where they say so; ECS must let it."""
        return None


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
    held: dict[str, Any] = {}
    tightened: list[str] = []
    # Words before times: what a time means may depend on a word.
    for name in sorted(model.model_fields, key=lambda name: bool(_mark(model, name).opening)):
        mark = _mark(model, name)
        demanded, wanted = getattr(policy, name), getattr(details, name)
        if name not in details.model_fields_set:
            held[name] = demanded
        elif name in policy.model_fields_set or (mark.always and policy.model_fields_set):
            opens = held.get(mark.opening) == "proceed"
            held[name] = max(demanded, wanted) if opens else mark.choose(demanded, wanted)
            if held[name] != wanted and not isinstance(wanted, tuple):
                tightened.append(model.model_fields[name].alias or name)
        else:
            held[name] = wanted
    values = {info.alias or name: held[name] for name, info in model.model_fields.items()}
    return Resolved(_read(model, values, "settings"), policy, tuple(tightened))


def _mark(model: type[BaseModel], name: str) -> Stricter:
    marks = (mark for mark in model.model_fields[name].metadata if isinstance(mark, Stricter))
    # Nothing declared: a service can't go further, and the policy's value stands.
    return next(marks, Stricter(lambda policy, _service: policy))


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
    found = error.errors(include_url=False, include_context=False)
    # A default that is made from another field is not made where that one is wrong.
    return [_problem(model, one) for one in found if one["type"] != "default_factory_not_called"][:10]


def _problem(model: type[BaseModel], found: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in found["loc"])
    if found["type"] == "extra_forbidden" and len(found["loc"]) == 1:
        valid = sorted(info.alias or name for name, info in model.model_fields.items())
        near = difflib.get_close_matches(where, valid, n=1)
        hint = f", did you mean {near[0]!r}?" if near else f"; valid: {', '.join(valid)}"
        return f"unknown key {shown(where)}{hint}"
    message = "unknown key" if found["type"] == "extra_forbidden" else str(found["msg"])
    return (
        f"{where + ': ' if where else ''}{message[:1].lower()}{message[1:]}, got {shown(found.get('input'))}"
    )
