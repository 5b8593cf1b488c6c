"""No garbage collection while a function's code is imported.

Imports make objects that live as long as the environment; looking for garbage among them takes about a
tenth of a cold start (``make benchmark``) and finds nothing. Only in Lambda: elsewhere a process does
more than import a handler.
"""

import contextlib
import gc
import os
import sys
from collections.abc import Iterator

_IN_LAMBDA = "AWS_LAMBDA_FUNCTION_NAME" in os.environ


def importing() -> None:
    """Stop collecting; called before the first import of a hook."""
    if _IN_LAMBDA:
        gc.disable()


def imported() -> None:
    """Collect again, but never look through what was imported; called when a handler is made."""
    if _IN_LAMBDA:
        gc.enable()
        gc.freeze()


@contextlib.contextmanager
def importing_late(*, without: str = "") -> Iterator[None]:
    """Do the same around an import that a first call makes, because only some need it.

    Parameters
    ----------
    without
        A module that would be imported along wherever it is found, and is of no use here.
    """
    importing()
    found = sys.modules.get(without)
    if without:
        # Python's own way to say that there is none: https://docs.python.org/3/reference/import.html
        sys.modules[without] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if found is not None:
            sys.modules[without] = found
        else:
            sys.modules.pop(without, None)
        imported()
