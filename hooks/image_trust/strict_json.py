"""JSON from outside, read so that it has one meaning and costs little.

Two parsers that disagree about a document are how something else is verified than what is used: duplicate
keys, NaN, and bytes that are no UTF-8 are refused, and so is what nests deeper than any document of ours.
"""

import json
import math
import re
from collections import Counter
from typing import Any

from hooks.image_trust.finding import Rejected
from shared.errors import shown

MAX_DEPTH = 64
"""Levels of objects and arrays. In-toto statements, the deepest documents read here, use about ten."""


def loads(content: bytes | str, what: str, *, limit_bytes: int) -> Any:
    """Parse a document.

    Parameters
    ----------
    what
        What it is, for the message: ``"the manifest"``.
    limit_bytes
        How long it may be.

    Raises
    ------
    Rejected
        ``too-large`` or ``malformed-json``.
    """
    if len(content) > limit_bytes:
        raise Rejected("too-large", f"{what} has {len(content)} bytes, at most {limit_bytes} are read")
    try:
        text = content if isinstance(content, str) else content.decode("utf-8")
        if _depth(text) > MAX_DEPTH:
            raise Rejected("malformed-json", f"{what} nests deeper than {MAX_DEPTH} levels")
        document = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_number,
            parse_int=_integer,
        )
        if _SURROGATE.search(text):
            # Half a pair is no character: this raises for it, before something that writes it down does.
            json.dumps(document, ensure_ascii=False).encode()
        return document
    except (ValueError, RecursionError) as error:
        raise Rejected("malformed-json", f"{what} is not JSON: {error}") from error


# Strings are skipped as a whole, also one that does not end: what stands within them is no structure.
_STRUCTURE = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[{\]}]', re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def _depth(text: str) -> int:
    deepest = depth = 0
    for found in _STRUCTURE.finditer(text):
        character = text[found.start()]
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
            if depth > MAX_DEPTH:
                break
        elif character in "]}":
            depth -= 1
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f"the key {shown(twice)} stands there twice")
    return found


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number that is too large")
    return number


def _integer(text: str) -> int:
    # Python refuses to read more than 4300 digits by itself; no number here has more than 20.
    if len(text) > 20:
        raise ValueError("an integer of more than 20 digits")
    return int(text)
