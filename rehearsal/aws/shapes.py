"""Answers of ours, held against the API's own model: what AWS could not say is a defect of the rehearsal."""

from collections.abc import Iterable
from typing import Any

from botocore.model import ListShape, Shape, StructureShape
from botocore.validate import ParamValidator

from rehearsal.aws.call import JsonObject, operation_model
from shared.lifecycle import Stage

# The model's list of stages lacks this one, while the documentation of the same field has it; which of
# the two ECS shows is a switch (`pre_production_reported_as`).
_UNLISTED_STAGES = {Stage.PRE_PRODUCTION_TRAFFIC_SHIFT}


class WrongAnswerError(AssertionError):
    """An answer of ours does not have the shape that the API's model demands: a defect of the rehearsal."""


def check_shape(service: str, operation: str, result: JsonObject) -> None:
    """Raise :class:`WrongAnswerError` unless *result* is what botocore's model says the operation returns."""
    shape = operation_model(service, operation).output_shape
    if shape is None:  # none of ours
        return
    report = ParamValidator().validate(result, shape)
    wrong = [report.generate_report()] if report.has_errors() else list(_outside_enums(result, shape, ""))
    if wrong:
        raise WrongAnswerError(
            f"{service}:{operation} would answer what {service.upper()} can't: {'; '.join(wrong)}"
        )


def _outside_enums(value: Any, shape: Shape, where: str) -> Iterable[str]:
    """Yield the values that are not among those the model lists, which botocore does not check."""
    if isinstance(shape, StructureShape) and not shape.is_document_type:
        for key, item in value.items():
            yield from _outside_enums(item, shape.members[key], f"{where}.{key}")
    elif isinstance(shape, ListShape):
        for index, item in enumerate(value):
            yield from _outside_enums(item, shape.member, f"{where}[{index}]")
    elif shape.type_name == "string":
        listed = shape.metadata.get("enum")
        if listed and value not in listed and value not in _UNLISTED_STAGES:
            yield f"{where}: {value!r} is not one of {', '.join(listed)}"
