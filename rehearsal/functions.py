"""The functions that ``template.yaml`` deploys, as the rehearsal calls them."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from rehearsal.lambda_functions import Function
from rehearsal.runtime import architecture
from rehearsal.template import Template

TEMPLATE = Path(__file__).parent.parent / "template.yaml"

_HOOK = re.compile(r"hooks\.([a-z_]+)\.handler\.handler")


# Where a laptop needs other values than the template's defaults: layers for its own processor, and those for
# rules of every kind.
_PARAMETERS = {"Architecture": architecture(), "ImageTrustKeyless": "true"}


@cache
def deployed(parameters: tuple[tuple[str, str], ...] = ()) -> Mapping[str, Function]:
    """Return the template's functions by logical id, for these parameter values."""
    template = Template.read(TEMPLATE, parameters={**_PARAMETERS, **dict(parameters)})
    return {function.logical_id: function for function in template.functions()}


def hooks(functions: Mapping[str, Function]) -> Mapping[str, Function]:
    """Return those that are hooks, by the name of their package."""
    found = {}
    for function in functions.values():
        if match := _HOOK.fullmatch(function.handler):
            found[match[1]] = function
    return found


def environment(function: Function) -> dict[str, str]:
    """Return the variables that the template gives a function, as far as they could be resolved."""
    return {name: value for name, value in function.environment.items() if isinstance(value, str)}
