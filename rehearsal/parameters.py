"""The values of a template's ``Parameters``: those given, else the defaults."""

from collections.abc import Mapping

from rehearsal.document import Document
from rehearsal.intrinsics import Unresolved, as_text
from shared.errors import shown

# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html
MAX_VALUE_CHARACTERS = 4096
_CHOICES_SHOWN = 20


def parameter_values(document: Document, given: Mapping[str, object]) -> dict[str, object]:
    """Return the value of every parameter a template declares; lists for list types.

    Raises
    ------
    DocumentError
        When a value is too long or not among the ``AllowedValues``.

    """
    values: dict[str, object] = {}
    for name, raw in (document.data.get("Parameters") or {}).items():
        declared = raw if isinstance(raw, Mapping) else {}
        value = given.get(name, declared.get("Default"))
        allowed = declared.get("AllowedValues")
        text = value if isinstance(value, Unresolved | list) else as_text(value)
        if isinstance(text, str) and len(text) > MAX_VALUE_CHARACTERS:
            raise document.error(("Parameters", name), f"longer than {MAX_VALUE_CHARACTERS} characters")
        if isinstance(text, str) and isinstance(allowed, list) and text not in map(as_text, allowed):
            choices = ", ".join(str(as_text(choice)) for choice in allowed[:_CHOICES_SHOWN])
            raise document.error(
                ("Parameters", name, "AllowedValues"), f"expected one of {choices}, got {shown(text)}"
            )
        values[name] = _typed(name, str(declared.get("Type", "String")), text)
    return values


def _typed(name: str, kind: str, value: object) -> object:
    if isinstance(value, Unresolved | list):
        return value
    if value is None:
        return Unresolved(f"the parameter {name} has no default and was given no value", name)
    if kind.startswith("AWS::SSM::Parameter::Value"):
        return Unresolved(f"the parameter {name} is read from Parameter Store ({shown(value)})", name)
    if kind == "CommaDelimitedList" or kind.startswith("List<"):
        return [item.strip() for item in str(value).split(",")]
    return value
