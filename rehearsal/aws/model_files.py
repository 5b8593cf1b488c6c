"""Each of botocore's data files is read once in a process, however many sessions there are.

A session has a loader of its own and reads the endpoints of all regions (1.2 MB) and its services'
models anew. moto makes several while it is imported, and a rehearsal one for each identity. Importing
this module, before moto, is what it takes.
"""

import functools
from typing import Any

from botocore.loaders import JSONFileLoader

_load_file = JSONFileLoader.load_file


@functools.cache
def _read(path: str) -> Any:
    return _load_file(JSONFileLoader(), path)


def load_file(_loader: JSONFileLoader, path: str) -> Any:
    """Read a file as botocore does, or return what was read before.

    botocore itself hands one loaded model to all clients of a session; none of them changes it.
    """
    return _read(path)


JSONFileLoader.load_file = load_file  # type: ignore[method-assign, assignment]  # botocore has no seam here
