"""No garbage collection while a function's code is imported.

Imports make objects that live as long as the environment; looking for garbage among them takes about a
tenth of a cold start (``make benchmark``) and finds nothing. Only in Lambda: elsewhere a process does
more than import a handler.
"""

import gc
import os

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
