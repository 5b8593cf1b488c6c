"""Reading somebody else's configuration so that nothing in it is dropped without a word.

Each :class:`Part` remembers which of its keys were asked for; :meth:`Part.done` notes the others.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rehearsal.document import Document, DocumentError, Path_
from shared.errors import shown

NOTHING_LIKE_IT = "not carried over: there is nothing like it here"


class Untranslatable(Exception):
    """A metric that can't be said in this hook's settings. Its text says why, and what to do."""


@dataclass(frozen=True, slots=True, order=True)
class Note:
    """Something in the input that reads differently here, or not at all."""

    file: str
    line: int
    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.key + ': ' if self.key else ''}{self.text}"


@dataclass(slots=True)
class Imported:
    """Settings made of a file, and what there is to say about them."""

    settings: dict[str, Any] = field(default_factory=dict)
    """As ``hookDetails`` would hold them, but for the metrics."""
    metrics: list[tuple[dict[str, Any], "Part"]] = field(default_factory=list)
    """With the part each comes from."""
    notes: list[Note] = field(default_factory=list)


@dataclass(slots=True)
class Part:
    """A mapping somewhere in a document."""

    document: Document
    path: Path_
    notes: list[Note]
    data: Mapping[str, Any] = field(init=False)
    read: set[str] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        value = self.document.data
        for step in self.path:
            value = value[step]
        if not isinstance(value, Mapping):
            raise self.document.error(self.path, f"expected keys and values, not {shown(value)}")
        self.data = value

    def raw(self, key: str) -> Any:
        """Return whatever stands there, ``None`` where nothing does."""
        self.read.add(key)
        return self.data.get(key)

    def has(self, key: str) -> bool:
        return self.data.get(key) is not None

    def text(self, key: str) -> str | None:
        value: str | None = self._of_type(key, str, "text")
        return value

    def flag(self, key: str) -> bool:
        return bool(self._of_type(key, bool, "true or false"))

    def number(self, key: str) -> float | None:
        """Return a number, which may be written as text, as Spinnaker's stages do."""
        value = self.raw(key)
        if value is None:
            return None
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if isinstance(value, bool) or not math.isfinite(number):
            raise self.error(key, f"expected a number, not {shown(value)}")
        return number

    def texts(self, key: str) -> list[str]:
        value = self._of_type(key, list, "a list") or []
        return [str(item) for item in value]

    def part(self, key: str) -> "Part | None":
        """Return the mapping that stands there."""
        self.read.add(key)
        return Part(self.document, (*self.path, key), self.notes) if self.has(key) else None

    def parts(self, key: str) -> "list[Part]":
        """Return the mappings in the list that stands there."""
        found = self._of_type(key, list, "a list") or []
        return [Part(self.document, (*self.path, key, number), self.notes) for number in range(len(found))]

    def note(self, key: str, text: str) -> None:
        """Note something about a key, or about the part where *key* is empty."""
        path = (*self.path, key) if key else self.path
        where = ".".join(str(step) for step in path)
        self.notes.append(Note(self.document.file, self.document.line(path), where, text))

    def leave(self, text: str, *keys: str) -> None:
        """Note keys that are known and not carried over; those that aren't there are fine."""
        for key in keys:
            if self.raw(key) is not None:
                self.note(key, text)

    def done(self) -> None:
        """Note all keys that nobody asked for."""
        for key in self.data:
            if key not in self.read:
                self.note(key, NOTHING_LIKE_IT)

    def error(self, key: str, text: str) -> DocumentError:
        return self.document.error((*self.path, key), text)

    def _of_type(self, key: str, kind: type, words: str) -> Any:
        value = self.raw(key)
        if value is not None and not isinstance(value, kind):
            raise self.error(key, f"expected {words}, not {shown(value)}")
        return value


def lower_first(data: Any) -> Any:
    """Spell the keys of a query as in Kubernetes: CloudWatch's own begin with a capital letter."""
    if isinstance(data, Mapping):
        return {key[:1].lower() + key[1:]: lower_first(value) for key, value in data.items()}
    if isinstance(data, Sequence) and not isinstance(data, str):
        return [lower_first(item) for item in data]
    return data
