"""YAML from outside, read so that it has one meaning and costs little.

What is read are JSON's values in YAML's notation, much as version 1.2 has them in its JSON schema: ``no`` is
a text and ``010`` as well, and times stay texts, so that a document means the same in both. Whatever two
parsers could read differently, or one could be made to choke on, is refused: anchors and aliases
(https://en.wikipedia.org/wiki/Billion_laughs_attack), tags, directives, several documents, keys that stand
twice or are no texts, and what nests deeper than any document of ours.

PyYAML only splits the text into events; nothing is constructed by it. It is loaded where there is YAML to
read, and without libyaml, which Lambda does not have.
"""

import math
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from hooks.image_trust.finding import Rejected
from hooks.image_trust.strict_json import MAX_DEPTH
from shared.errors import shown

if TYPE_CHECKING:
    import yaml

# https://www.rfc-editor.org/rfc/rfc8259#section-6
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?P<fraction>\.[0-9]+)?(?P<exponent>[eE][+-]?[0-9]+)?")
_MAX_DIGITS = 20
"""Of an integer; none here comes near."""
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}


class _NotRead(ValueError):
    """Something in the document is refused; the text says in which line."""


def loads(content: bytes, what: str, *, limit_bytes: int) -> Any:
    """Parse a document.

    Parameters
    ----------
    what
        What it is, for the message: ``"the policy"``.
    limit_bytes
        How long it may be.

    Raises
    ------
    Rejected
        ``too-large`` or ``malformed-yaml``.
    """
    if len(content) > limit_bytes:
        raise Rejected("too-large", f"{what} has {len(content)} bytes, at most {limit_bytes} are read")
    import yaml  # noqa: PLC0415  # 40 ms, for a document that is YAML

    try:
        return _Reader(yaml.parse(content.decode("utf-8"), Loader=yaml.SafeLoader)).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" in line {mark.line + 1}" if mark else ""
        text = f"{what} is not YAML{where}: {error.problem or error.context}"
        raise Rejected("malformed-yaml", text) from error
    except _NotRead as error:
        raise Rejected("malformed-yaml", f"{what} can't be read: {error}") from error
    except (
        Exception
    ) as error:  # PyYAML raises more than its own errors, OverflowError on "\\UFFFFFFFF" for one
        raise Rejected("malformed-yaml", f"{what} is not YAML: {shown(str(error))}") from error


class _Reader:
    """Builds a document from PyYAML's events."""

    def __init__(self, events: Iterator["yaml.Event"]) -> None:
        import yaml  # noqa: PLC0415  # see above

        self._events = events
        self._yaml = yaml

    def document(self) -> Any:
        next(self._events)  # the stream starts
        start = next(self._events)
        if not isinstance(start, self._yaml.DocumentStartEvent):
            raise _NotRead("it is empty")
        if start.version or start.tags:
            raise _refused(start, "a directive is not read")
        found = self._node(next(self._events), 1)
        next(self._events)  # the document ends
        if isinstance(more := next(self._events), self._yaml.DocumentStartEvent):
            raise _refused(more, "a second document is not read")
        return found

    def _node(self, event: "yaml.Event", depth: int) -> Any:
        if isinstance(event, self._yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise _refused(event, "an anchor or an alias is not read, write it out")
        if getattr(event, "tag", None) is not None:
            raise _refused(event, "a tag is not read")
        if isinstance(event, self._yaml.ScalarEvent):
            return _scalar(event)
        if depth > MAX_DEPTH:
            raise _refused(event, f"it nests deeper than {MAX_DEPTH} levels")
        read: Callable[[int], Any] = (
            self._sequence if isinstance(event, self._yaml.SequenceStartEvent) else self._mapping
        )
        return read(depth)

    def _sequence(self, depth: int) -> list[Any]:
        found = []
        while not isinstance(event := next(self._events), self._yaml.SequenceEndEvent):
            found.append(self._node(event, depth + 1))
        return found

    def _mapping(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := next(self._events), self._yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            if not isinstance(key, str):
                raise _refused(event, f"expected a key, which is a text, got {shown(key)}")
            if key in found:
                raise _refused(event, f"the key {shown(key)} stands there twice")
            found[key] = self._node(next(self._events), depth + 1)
        return found


def _scalar(event: "yaml.ScalarEvent") -> Any:
    text = event.value
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise _refused(event, "half a character is no text")
    if event.style is not None:  # in quotation marks, or a block
        return text
    if text in _WORDS:
        return _WORDS[text]
    found = _NUMBER.fullmatch(text)
    if found is None:
        return text
    if not found["fraction"] and not found["exponent"]:
        if len(text) > _MAX_DIGITS:
            raise _refused(event, f"an integer of more than {_MAX_DIGITS} digits")
        return int(text)
    if not math.isfinite(number := float(text)):
        raise _refused(event, f"{text} is no number that can be held")
    return number


def _refused(event: "yaml.Event", why: str) -> _NotRead:
    line = event.start_mark.line + 1 if event.start_mark else 1
    return _NotRead(f"line {line}: {why}")
