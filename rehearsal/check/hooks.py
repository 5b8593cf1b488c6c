"""Which hooks are ours, and how a template's function is recognised as one of them."""

import importlib
import importlib.util
import pkgutil
from collections.abc import Mapping
from typing import Protocol

import hooks
from rehearsal.intrinsics import Unresolved
from rehearsal.lambda_functions import Function
from shared.lifecycle import Stage
from shared.settings import Settings


class KnownHook(Protocol):
    """What a hook's entry point says about itself."""

    name: str
    stages: frozenset[Stage]
    settings: type[Settings]


def known_hooks() -> dict[str, KnownHook]:
    """Import the hooks' Lambda entry points, by package: ``{"manual_approval": ...}``."""
    found: dict[str, KnownHook] = {}
    for package in pkgutil.iter_modules(hooks.__path__):
        name = f"hooks.{package.name}.handler"
        if package.ispkg and importlib.util.find_spec(name) is not None:
            handler = importlib.import_module(name).handler
            found[package.name] = getattr(handler, "hook", handler)
    return found


def recognised[HookT](target: object, function: Function | None, known: Mapping[str, HookT]) -> HookT | None:
    """Tell which of our hooks, by package, a hook entry invokes; ``None`` for somebody else's.

    In the template, the handler decides, and the logical id where no handler stands. Elsewhere only
    names are left: the function's in the ARN, or that of the export, output or parameter that holds it.
    """
    if function is not None and function.handler:
        return next(
            (hook for name, hook in known.items() if function.handler == f"hooks.{name}.handler.handler"),
            None,
        )
    if function is not None:
        name = function.logical_id
    elif isinstance(target, Unresolved):
        name = target.name
    elif isinstance(target, str) and ":function:" in target:
        name = target.split(":function:", 1)[1].split(":")[0]
    else:
        return None
    return next((hook for package, hook in known.items() if _letters(package) in _letters(name)), None)


def _letters(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
