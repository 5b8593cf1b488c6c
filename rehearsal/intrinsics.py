"""CloudFormation's intrinsic functions, resolved as far as a laptop can.

::

    "text", 3, true              → itself                ("{{resolve:...}}" → Unresolved)
    Ref, Fn::GetAtt, Fn::Sub     → what the scope says   (parameters, pseudo-parameters, resources)
    Fn::Join, Split, Select, ... → computed
    Fn::If                       → the branch taken; Ref AWS::NoValue leaves its key or item out
    Fn::ImportValue, unknown     → Unresolved(reason)

Nothing here raises on a malformed function: what can't be told becomes :class:`Unresolved`, which
spreads to the text it is part of, but not to the object it stands in.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html
"""

import base64
import datetime as dt
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from rehearsal.document import Path_
from shared.errors import shown

# A template nests a dozen levels; resources that name each other add some. Far above both, and far
# below Python's recursion limit.
MAX_DEPTH = 64

# CloudFormation takes 1 MB of template; texts that grow past sixteen times that were built to exhaust us.
MAX_TEXT = 16_000_000
MAX_NUMBER_BITS = 256


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A value that is only known in the account, or that can't be read."""

    reason: str
    """Why, as the end of a sentence: ``"exported by another stack"``."""
    name: str = ""
    """The export, parameter or resource that would hold the value."""

    def __str__(self) -> str:
        return f"<{self.reason}>"


class _NoValue:
    """``AWS::NoValue``."""


NO_VALUE = _NoValue()


class Scope(Protocol):
    """What names mean in one template."""

    def ref(self, name: str) -> object:
        """Return the value of a parameter, pseudo-parameter or resource."""

    def attribute(self, name: str, attribute: str) -> object:
        """Return an attribute of a resource."""

    def condition(self, name: str) -> bool | Unresolved:
        """Return the value of a named condition."""

    def mapping(self, name: str, first: str, second: str) -> object:
        """Return an entry of ``Mappings``."""

    def enter(self) -> bool:
        """Go one level down; ``False`` when that is too deep."""

    def leave(self) -> None:
        """Come up again."""

    def wrote(self, length: int) -> bool:
        """Count text that was put together; ``False`` when it is too much."""


class Resolver:
    """Resolves one value, and remembers where in the file each part of the result came from."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.origins: dict[Path_, Path_] = {}
        """From the path in the result to the path in the document."""

    def value(self, value: Any, source: Path_, out: Path_ = ()) -> Any:
        """Resolve *value*, which stands at *source* in the document and goes to *out* in the result."""
        if not self.scope.enter():
            return Unresolved(f"nested more than {MAX_DEPTH} deep, or circular")
        try:
            self.origins[out] = source
            return self._value(value, source, out)
        finally:
            self.scope.leave()

    def _value(self, value: Any, source: Path_, out: Path_) -> Any:  # noqa: PLR0911 - one return per kind
        if isinstance(value, Mapping):
            # `Condition: name` is a function only among conditions; elsewhere it is a plain key.
            if len(value) == 1 and ((name := next(iter(value))) == "Ref" or name.startswith("Fn::")):
                return self._function(name, value[name], (*source, name), out)
            resolved = ((key, self.value(item, (*source, key), (*out, key))) for key, item in value.items())
            return {key: item for key, item in resolved if item is not NO_VALUE}
        if isinstance(value, list):
            items: list[Any] = []
            for index, item in enumerate(value):
                one = self.value(item, (*source, index), (*out, len(items)))
                if one is not NO_VALUE:
                    items.append(one)
            return items
        if isinstance(value, str) and "{{resolve:" in value:
            return Unresolved(
                f"the dynamic reference {shown(value)} is read when the stack is deployed", value
            )
        if isinstance(value, int) and value.bit_length() > MAX_NUMBER_BITS:
            return Unresolved(
                f"a number of more than {MAX_NUMBER_BITS} bits is none that CloudFormation takes"
            )
        if isinstance(value, dt.date):
            return value.isoformat()  # CloudFormation has no dates: `Version: 2012-10-17` is a text
        return value

    def _function(self, name: str, argument: Any, source: Path_, out: Path_) -> Any:
        if name == "Fn::If":
            return self._if(argument, source, out)
        if name == "Fn::Sub":
            return self._sub(argument, source)
        function = _FUNCTIONS.get(name)
        if function is None:
            return Unresolved(f"{name} is not a function this rehearsal knows")
        inner = Resolver(self.scope).value(argument, source)
        if isinstance(inner, Unresolved):
            return inner
        result = function(self.scope, inner)
        if isinstance(result, str) and not self.scope.wrote(len(result)):
            return Unresolved(f"the texts of this template grow beyond {MAX_TEXT} characters")
        return malformed(name, inner) if result is None else result

    def _if(self, argument: Any, source: Path_, out: Path_) -> Any:
        if not isinstance(argument, list) or len(argument) != 3 or not isinstance(argument[0], str):
            return malformed("Fn::If", argument)
        chosen = self.scope.condition(argument[0])
        if isinstance(chosen, Unresolved):
            return chosen
        branch = 1 if chosen else 2
        return self.value(argument[branch], (*source, branch), out)

    def _sub(self, argument: Any, source: Path_) -> Any:
        variables: dict[str, Any] = {}
        text = argument
        if isinstance(argument, list) and len(argument) == 2 and isinstance(argument[1], Mapping):
            text = argument[0]
            variables = {
                key: Resolver(self.scope).value(item, (*source, 1, key)) for key, item in argument[1].items()
            }
        if not isinstance(text, str):
            return malformed("Fn::Sub", argument)
        parts: list[str] = []
        end = 0
        for match in _PLACEHOLDER.finditer(text):
            parts.append(text[end : match.start()])
            end = match.end()
            name = match["name"]
            if name.startswith("!"):
                parts.append(f"${{{name[1:]}}}")
                continue
            value = self._placeholder(name.strip(), variables)
            if isinstance(value, Unresolved):
                return value
            written = as_text(value)
            if written is None:
                return malformed("Fn::Sub", f"${{{name}}}")
            if not self.scope.wrote(len(written)):
                return Unresolved(f"the texts of this template grow beyond {MAX_TEXT} characters")
            parts.append(written)
        result = "".join(parts) + text[end:]
        return self._value(result, source, ())  # a dynamic reference may have been put together

    def _placeholder(self, name: str, variables: Mapping[str, Any]) -> object:
        if name in variables:
            return variables[name]
        if "." in name:
            return self.scope.attribute(*name.split(".", 1))
        return self.scope.ref(name)

    def condition(self, value: Any) -> bool | Unresolved:
        """Evaluate an expression of ``Conditions``."""
        if not self.scope.enter():
            return Unresolved(f"nested more than {MAX_DEPTH} deep, or circular")
        try:
            return self._condition(value)
        finally:
            self.scope.leave()

    def _condition(self, value: Any) -> bool | Unresolved:  # noqa: PLR0911 - one return per function
        if not isinstance(value, Mapping) or len(value) != 1:
            return malformed("Conditions", value)
        name, argument = next(iter(value.items()))
        if name == "Condition" and isinstance(argument, str):
            return self.scope.condition(argument)
        if not isinstance(argument, list):
            return malformed(name, argument)
        if name == "Fn::Equals" and len(argument) == 2:
            left, right = (Resolver(self.scope).value(side, ()) for side in argument)
            for side in (left, right):
                if isinstance(side, Unresolved):
                    return side
            texts = as_text(left), as_text(right)
            return texts[0] == texts[1] if None not in texts else bool(left == right)
        if name == "Fn::Not" and len(argument) == 1:
            negated = self.condition(argument[0])
            return negated if isinstance(negated, Unresolved) else not negated
        if name in {"Fn::And", "Fn::Or"} and argument:
            decided: bool = name == "Fn::Or"
            answers = [self.condition(item) for item in argument]
            # One certain answer can settle the whole, whatever the others would be.
            if any(answer is decided for answer in answers):
                return decided
            return next((answer for answer in answers if isinstance(answer, Unresolved)), not decided)
        return malformed(name, argument)


_PLACEHOLDER = re.compile(r"\$\{(?P<name>[^${}]{1,300})\}")


def malformed(name: str, argument: object) -> Unresolved:
    """Say that a function can't be read."""
    return Unresolved(f"{name} is not written as CloudFormation reads it: {shown(argument)}")


def as_text(value: object) -> str | None:
    """Write a scalar the way CloudFormation does; ``None`` for anything else."""
    if isinstance(value, bool):
        return "true" if value else "false"
    # Python refuses to write integers of thousands of digits; no property takes one.
    if isinstance(value, str | float) or (isinstance(value, int) and value.bit_length() <= MAX_NUMBER_BITS):
        return str(value)
    return None


def _ref(scope: Scope, argument: Any) -> object:
    return scope.ref(argument) if isinstance(argument, str) else None


def _get_att(scope: Scope, argument: Any) -> object:
    if isinstance(argument, str):
        argument = argument.split(".", 1)
    match argument:
        case [str(name), str(attribute)]:
            return scope.attribute(name, attribute)
    return None


def _join(scope: Scope, argument: Any) -> object:
    match argument:
        case [str(separator), list(items)]:
            texts: list[str] = []
            for item in items:
                if isinstance(item, Unresolved):
                    return item
                if (text := as_text(item)) is None:
                    return None
                texts.append(text)
            if not scope.wrote(len(separator) * len(texts)):
                return Unresolved(f"the texts of this template grow beyond {MAX_TEXT} characters")
            return separator.join(texts)
        case [_, Unresolved() as unresolved]:
            return unresolved
    return None


def _split(_: Scope, argument: Any) -> object:
    match argument:
        case [str(separator), str(text)] if separator:
            return text.split(separator)
        case [_, Unresolved() as unresolved]:
            return unresolved
    return None


def _select(_: Scope, argument: Any) -> object:
    match argument:
        case [index, list(items)] if re.fullmatch(r"\d{1,6}", as_text(index) or ""):
            return items[int(index)] if int(index) < len(items) else None
        case [_, Unresolved() as unresolved]:
            return unresolved
    return None


def _find_in_map(scope: Scope, argument: Any) -> object:
    match argument:
        case [name, first, second, *_]:
            for part in (name, first, second):
                if isinstance(part, Unresolved):
                    return part
            keys = [as_text(part) for part in (name, first, second)]
            if all(key is not None for key in keys):
                return scope.mapping(*(key or "" for key in keys))
    return None


def _import_value(_: Scope, argument: Any) -> object:
    name = as_text(argument)
    return None if name is None else Unresolved(f"{shown(name)} is exported by another stack", name)


def _get_azs(scope: Scope, argument: Any) -> object:
    region = argument or scope.ref("AWS::Region")
    return [f"{region}{letter}" for letter in "abc"] if isinstance(region, str) else None


def _base64(_: Scope, argument: Any) -> object:
    text = as_text(argument)
    return None if text is None else base64.b64encode(text.encode(errors="replace")).decode()


def _to_json_string(_: Scope, argument: Any) -> object:
    def unresolved(value: Any) -> Any:
        if isinstance(value, Unresolved):
            raise _UnresolvedError(value)
        raise TypeError

    try:
        return json.dumps(argument, separators=(",", ":"), default=unresolved)
    except _UnresolvedError as inside:
        return inside.value
    except (TypeError, ValueError, RecursionError):
        return None


class _UnresolvedError(Exception):
    """An unresolved value stands somewhere in what should become JSON."""

    def __init__(self, value: Unresolved) -> None:
        self.value = value


def _length(_: Scope, argument: Any) -> object:
    return len(argument) if isinstance(argument, list) else None


_FUNCTIONS: dict[str, Callable[[Scope, Any], object]] = {
    "Ref": _ref,
    "Fn::GetAtt": _get_att,
    "Fn::Join": _join,
    "Fn::Split": _split,
    "Fn::Select": _select,
    "Fn::FindInMap": _find_in_map,
    "Fn::ImportValue": _import_value,
    "Fn::GetAZs": _get_azs,
    "Fn::Base64": _base64,
    "Fn::ToJsonString": _to_json_string,
    "Fn::Length": _length,
}
