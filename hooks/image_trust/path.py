r"""Paths into JSON documents, as clauses of a policy have them.

::

    path   := ( name | select ) { "." name | select }
    name   := letters, digits, "_", "-", "$", "@"        runDetails.builder.id
    select := "[" index "]"                              materials[0].uri
            | "[*]"                                      components[*].name
            | "[" string "]"                             annotations["org.opencontainers.image.source"]
    string := '"' any but control characters; \" for a quote, \\ for a backslash '"'

A path leads to as many places as its stars make of it. Where the document ends before the path does there is
:data:`MISSING`, so that nothing is true of all components only because some of them leave it out.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final

MAX_PATH_LENGTH = 512
"""Characters; the deepest path into a statement of SLSA has about 60."""
MAX_STEPS = 32
"""Half of what a document may nest, ``strict_json.MAX_DEPTH``."""


class Place(Enum):
    """What is no value of JSON."""

    EVERY = "[*]"
    """The step to each element of an array."""
    MISSING = "missing"
    """What a path leads to where the document has nothing."""


EVERY: Final = Place.EVERY
MISSING: Final = Place.MISSING

type Step = str | int | Place

_NAME = re.compile(r"[A-Za-z0-9_$@-]+")
_SELECT = re.compile(
    r"\[(?:(?P<every>\*)|(?P<index>0|[1-9][0-9]{0,5})|"
    r'"(?P<string>(?:[^"\\\x00-\x1f\x7f]|\\["\\])*)")\]'
)
_ESCAPED = re.compile(r'\\(["\\])')


@dataclass(frozen=True, slots=True)
class Path:
    """A path, parsed by :func:`parse_path`."""

    text: str
    steps: tuple[Step, ...]

    def select(self, document: object) -> list[object]:
        """Return what it leads to in a parsed document, ``MISSING`` included; none in an empty array."""
        found = [document]
        for step in self.steps:
            found = [value for one in found for value in _take(one, step)]
        return found

    def __str__(self) -> str:
        return self.text


def _take(value: object, step: Step) -> list[object]:
    if isinstance(step, str):
        return [value[step]] if isinstance(value, Mapping) and step in value else [MISSING]
    if not isinstance(value, list):
        return [MISSING]
    if isinstance(step, int):
        return [value[step]] if step < len(value) else [MISSING]
    return value


@lru_cache(maxsize=1024)
def parse_path(text: str) -> Path:
    """Read a path.

    >>> parse_path('materials[0].digest["sha256"]').steps
    ('materials', 0, 'digest', 'sha256')

    Raises
    ------
    ValueError
        When it is none of the grammar above, or too long.
    """
    if len(text) > MAX_PATH_LENGTH:
        raise ValueError(f"a path has at most {MAX_PATH_LENGTH} characters, this one has {len(text)}")
    steps: list[Step] = []
    position = 0
    while position < len(text) or not steps:
        if found := _SELECT.match(text, position):
            steps.append(_selected(found))
        else:
            dot = text.startswith(".", position) and bool(steps)
            found = _NAME.match(text, position + dot)
            if found is None or dot != bool(steps):
                raise ValueError(
                    f"the path {text!r} is not understood from character {position + 1} on; paths are like "
                    'runDetails.builder.id, materials[0].uri, components[*].name, annotations["a.b"]'
                )
            steps.append(found[0])
        position = found.end()
    if len(steps) > MAX_STEPS:
        raise ValueError(f"a path has at most {MAX_STEPS} steps, {text!r} has {len(steps)}")
    return Path(text, tuple(steps))


def _selected(found: re.Match[str]) -> Step:
    if found["every"]:
        return EVERY
    if found["index"]:
        return int(found["index"])
    return _ESCAPED.sub(r"\1", found["string"])
